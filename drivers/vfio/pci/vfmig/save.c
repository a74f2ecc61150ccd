// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data fd that a VF's stream is read from.  save_record.c makes the records as they are read,
 * and save_count.c knows what is left.  Device memory goes straight to the user's.
 *
 * The file can outlive the transition that made it, the device fd and the VF.
 * It then has no vfdev any more, and reads as -ENODEV.
 */
#include <linux/anon_inodes.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "compat.h"
#include "device.h"
#include "fault.h"
#include "profile.h"
#include "save.h"
#include "save_priv.h"
#include "stream.h"

static bool data_crc;
module_param(data_crc, bool, 0644);
MODULE_PARM_DESC(data_crc, "Add a CRC of the data to device memory that is read in STOP_COPY (N)");

static size_t vfmig_copy_piece(const struct vfmig_piece *piece, struct iov_iter *to)
{
	size_t copied;

	if (!piece->memory)
		return copy_to_iter(piece->buf + piece->offset, piece->len, to);
	/* Deallocated since its record was begun: a hole follows */
	if (!piece->page)
		return iov_iter_zero(min(piece->len, iov_iter_count(to)), to);
	copied = copy_page_to_iter(piece->page, piece->offset, piece->len, to);
	put_page(piece->page);
	return copied;
}

static void vfmig_advance(struct vfmig_save *save, size_t bytes)
{
	save->pos += bytes;
	if (save->head_pos < save->head_len) {
		save->head_pos += bytes;
	} else {
		save->body_offset += bytes;
		save->body_left -= bytes;
	}
}

/*
 * Tells the PF driver if @piece ends the stream and @room bytes have room for it.  This comes
 * before the copy, which no lock is held over: a reset in the middle of it must find the VF handed
 * over, and after a reset, which has not ended the save yet, the last byte is not read any more.
 */
static int vfmig_hand_over(struct vfmig_save *save, const struct vfmig_piece *piece, size_t room)
{
	struct vfmig_device *vfdev = save->vfdev;

	if (!save->ended || vfmig_save_record_unread(save) > min(piece->len, room) ||
	    !vfdev->ops->handed_over)
		return 0;
	return vfdev->ops->handed_over(vfdev->vf) ? -ENODEV : 0;
}

/* Under @lock */
static int vfmig_next_piece(struct vfmig_save *save, struct vfmig_piece *piece)
{
	int seen = atomic_read(&save->ready);
	int ret;

	if (!save->vfdev)
		return -ENODEV;
	if (save->lost)
		return -ENOTRECOVERABLE;
	save->starved = false;
	save->starved_at = seen;
	ret = vfmig_save_need_record(save);
	if (ret > 0)
		ret = vfmig_save_get_piece(save, piece) ?: 1;
	if (ret == -EAGAIN)
		save->starved = true;
	if (ret == -ENOTRECOVERABLE) {
		save->lost = true;
		vfmig_migration_lost(save->vfdev);
	}
	return ret;
}

/* Is something to go wrong with a read() on purpose? */
static bool vfmig_save_is_spoilt(const struct vfmig_save *save)
{
	return vfmig_fault_armed(save->fault.faults, VFMIG_FAULT_READ);
}

/* A piece with a bit to be inverted ends before its byte, or is that byte */
static void vfmig_spoil_piece(struct vfmig_save *save, struct vfmig_piece *piece)
{
	u8 mask;

	piece->len = vfmig_fault_flips(&save->fault, save->pos, piece->len, &mask);
	if (!mask)
		return;
	if (!piece->memory)
		save->flipped = *(const u8 *)(piece->buf + piece->offset);
	else if (piece->page)
		memcpy_from_page(&save->flipped, piece->page, piece->offset, 1);
	else
		save->flipped = 0;
	save->flipped ^= mask;
	if (piece->page)
		put_page(piece->page);
	*piece = (struct vfmig_piece) { .buf = &save->flipped, .len = 1 };
}

/* Bytes copied, 0 at the end of the stream, or a negative errno */
static ssize_t vfmig_read_piece(struct vfmig_save *save, struct iov_iter *to)
{
	struct vfmig_piece piece;
	size_t copied;
	int ret;

	scoped_guard(mutex, &save->lock) {
		ret = vfmig_next_piece(save, &piece);
		if (ret <= 0)
			return ret;
		if (vfmig_save_is_spoilt(save))
			vfmig_spoil_piece(save, &piece);
		ret = vfmig_hand_over(save, &piece, iov_iter_count(to));
		if (ret)
			return ret;
	}
	copied = vfmig_copy_piece(&piece, to);
	scoped_guard(mutex, &save->lock)
		vfmig_advance(save, copied);
	return copied ? copied : -EFAULT;
}

/* Is the piece still being made that a reader wanted? */
static bool vfmig_is_starved(const struct vfmig_save *save)
{
	return READ_ONCE(save->starved) && save->starved_at == atomic_read(&save->ready);
}

/* Waits for a piece that is being made; the device, not the user, is what ends this */
static int vfmig_wait_for_piece(struct vfmig_save *save)
{
	return wait_event_interruptible(save->wait, !vfmig_is_starved(save) ||
					!READ_ONCE(save->vfdev));
}

/* What is to go wrong with this read() on purpose?  Returns 1 if it goes on, or its result. */
static int vfmig_spoil_read(struct vfmig_save *save, struct iov_iter *to, bool nonblock)
{
	struct vfmig_fault_io io = { .pos = save->pos, .reach = 1 };
	int ret;

	if (!iov_iter_count(to))
		return 1;
	scoped_guard(mutex, &save->lock) {
		if (!save->vfdev)
			return -ENODEV;
		/* Which record comes next */
		if (!save->lost && vfmig_save_need_record(save) > 0 && !save->head_pos) {
			io.record = save->records;
			io.last = save->ended;
		}
	}
	ret = vfmig_fault_meet_call(&save->fault, &io, nonblock);
	iov_iter_truncate(to, io.most);
	if (ret != -ENOTRECOVERABLE)
		return ret;
	scoped_guard(mutex, &save->lock) {
		save->lost = true;
		if (save->vfdev)
			vfmig_migration_lost(save->vfdev);
	}
	return ret;
}

/* Does a fault on purpose wait for the next read()? */
static bool vfmig_read_is_cut(struct vfmig_save *save)
{
	return vfmig_save_is_spoilt(save) && !vfmig_save_record_unread(save) &&
	       vfmig_fault_is_next(&save->fault, save->records);
}

static ssize_t vfmig_read_all(struct vfmig_save *save, struct iov_iter *to, bool nonblock)
{
	ssize_t done = 0, ret = 0;

	while (iov_iter_count(to)) {
		ret = vfmig_read_piece(save, to);
		if (ret == -EAGAIN && !done && !nonblock) {
			ret = vfmig_wait_for_piece(save);
			if (!ret)
				continue;
		}
		if (ret <= 0)
			break;
		done += ret;
		if (signal_pending(current) || vfmig_read_is_cut(save))
			break;
		cond_resched();
	}
	return done ? done : ret;
}

static ssize_t vfmig_save_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct vfmig_save *save = iocb->ki_filp->private_data;
	bool nonblock = iocb->ki_filp->f_flags & O_NONBLOCK;
	ssize_t ret = 1;

	if (nonblock) {
		if (!mutex_trylock(&save->read_lock))
			return -EAGAIN;
	} else if (mutex_lock_interruptible(&save->read_lock)) {
		return -ERESTARTSYS;
	}
	if (vfmig_save_is_spoilt(save))
		ret = vfmig_spoil_read(save, to, nonblock);
	if (ret > 0)
		ret = vfmig_read_all(save, to, nonblock);
	mutex_unlock(&save->read_lock);
	return ret;
}

static __poll_t vfmig_save_poll(struct file *filp, struct poll_table_struct *table)
{
	struct vfmig_save *save = filp->private_data;

	poll_wait(filp, &save->wait, table);

	guard(mutex)(&save->lock);
	if (!save->vfdev)
		return EPOLLIN | EPOLLRDNORM | EPOLLERR | EPOLLHUP;
	if (vfmig_is_starved(save))
		return 0;
	if (vfmig_save_is_spoilt(save) && vfmig_fault_fd_stalls(&save->fault))
		return 0;
	/* Always readable, be it for the end of the stream */
	if (save->stop_copy)
		return EPOLLIN | EPOLLRDNORM;
	/* An error is for read() to tell */
	return vfmig_save_is_drained(save) == 1 ? 0 : EPOLLIN | EPOLLRDNORM;
}

/*
 * Without vfio_check_precopy_ioctl(), which looks at the VF while it touches user
 * memory: the VF may be gone, and the lock that keeps it can't be held for that.
 */
static long vfmig_save_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	const size_t size = offsetofend(struct vfio_precopy_info, dirty_bytes);
	struct vfio_precopy_info info;
	int ret;

	if (cmd != VFIO_MIG_GET_PRECOPY_INFO)
		return -ENOTTY;
	if (copy_from_user(&info, (void __user *)arg, size))
		return -EFAULT;
	if (info.argsz < size)
		return -EINVAL;
	ret = vfmig_save_precopy_info(filp->private_data, &info);
	if (ret)
		return ret;
	return copy_to_user((void __user *)arg, &info, size) ? -EFAULT : 0;
}

static void vfmig_save_free(struct vfmig_save *save)
{
	vfmig_fault_fd_exit(&save->fault);
	mutex_destroy(&save->lock);
	mutex_destroy(&save->read_lock);
	kvfree(save->piece);
	kfree(save);
}

static int vfmig_save_release(struct inode *inode, struct file *filp)
{
	vfmig_save_free(filp->private_data);
	return 0;
}

static const struct file_operations vfmig_save_fops = {
	.owner = THIS_MODULE,
	.read_iter = vfmig_save_read_iter,
	.poll = vfmig_save_poll,
	.unlocked_ioctl = vfmig_save_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = vfmig_save_release,
};

/* All that reading needs is allocated now, as the guest may be running: later it waits */
static struct vfmig_save *vfmig_save_alloc(struct vfmig_device *vfdev)
{
	struct vfmig_save *save;

	save = kzalloc(sizeof(*save), GFP_KERNEL_ACCOUNT);
	if (!save)
		return NULL;
	save->piece = kvzalloc(VFMIG_STATE_CHUNK, GFP_KERNEL_ACCOUNT);
	if (!save->piece) {
		kfree(save);
		return NULL;
	}
	save->vfdev = vfdev;
	save->profile = vfdev->profile;
	init_waitqueue_head(&save->wait);
	mutex_init(&save->read_lock);
	mutex_init(&save->lock);
	vfmig_fault_fd_init(&save->fault, vfdev->faults, &save->vfdev, &save->wait, &save->ready);
	return save;
}

/*
 * The data fd of a save, which the PF driver begins next.  Under the state_mutex.
 * Ended by vfmig_save_end(), which drops the driver's reference to the file.
 */
struct vfmig_save *vfmig_save_create(struct vfmig_device *vfdev)
{
	struct vfmig_save *save;
	struct file *filp;
	int ret;

	save = vfmig_save_alloc(vfdev);
	if (!save)
		return ERR_PTR(-ENOMEM);
	ret = vfmig_save_begin_identity(save, VFMIG_SAVE_INITIAL);
	if (!ret && save->profile->whole_size)
		ret = vfmig_save_estimate(vfdev, &save->whole);
	if (ret)
		goto err;
	filp = anon_inode_getfile("[vfmig-save]", &vfmig_save_fops, save, O_RDONLY);
	if (IS_ERR(filp)) {
		ret = PTR_ERR(filp);
		goto err;
	}
	stream_open(filp->f_inode, filp);
	save->filp = filp;
	return save;

err:
	vfmig_save_free(save);
	return ERR_PTR(ret);
}

struct file *vfmig_save_file(struct vfmig_save *save)
{
	return save->filp;
}

/* The VF is frozen, and what is left can be read.  Under the state_mutex. */
void vfmig_save_enter_stop_copy(struct vfmig_save *save)
{
	scoped_guard(mutex, &save->lock) {
		save->stop_copy = true;
		WRITE_ONCE(save->starved, false);
		save->data_crc = READ_ONCE(data_crc);
	}
	wake_up_interruptible_poll(&save->wait, EPOLLIN | EPOLLRDNORM);
}

/* The save is over: reads fail with -ENODEV.  Under the state_mutex. */
void vfmig_save_end(struct vfmig_save *save)
{
	scoped_guard(mutex, &save->lock)
		save->vfdev = NULL;
	wake_up_interruptible_poll(&save->wait, EPOLLIN | EPOLLERR | EPOLLHUP);
	fput(save->filp);
}

/* There is something to read.  Atomic context. */
void vfmig_save_wake(struct vfmig_save *save)
{
	atomic_inc(&save->ready);
	wake_up_interruptible_poll(&save->wait, EPOLLIN | EPOLLRDNORM);
}
