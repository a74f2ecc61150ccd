// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading a VF's stream.  The records are made as they are read, straight from
 * the VF's memory to the user's: the only thing that is kept aside is the
 * model's state, taken when the VF was stopped.
 *
 * The file can outlive the transition that made it, the device fd and the VF.
 * It then has no vfdev any more, and reads as -ENODEV.
 */
#include <linux/anon_inodes.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include <asm/byteorder.h>

#include "compat.h"
#include "device.h"
#include "save.h"
#include "stream.h"
#include "trace.h"

static bool data_crc;
module_param(data_crc, bool, 0644);
MODULE_PARM_DESC(data_crc, "Add a CRC of the data to device memory that is read in STOP_COPY (N)");

/* What the record under way counts as */
enum vfmig_save_kind {
	VFMIG_SAVE_INITIAL,
	VFMIG_SAVE_REINIT,	/* new initial data */
	VFMIG_SAVE_DIRTY,
	VFMIG_SAVE_TRAILER,
};

/* The last record of the trailer that was begun */
enum vfmig_save_stage {
	VFMIG_STAGE_MEMORY,
	VFMIG_STAGE_STATE,
	VFMIG_STAGE_END,
};

/**
 * struct vfmig_save - a data fd that is read from
 * @filp: its file, with the driver's own reference while @vfdev is set
 * @wait: pollers; woken when memory becomes dirty and when the file's state changes
 * @read_lock: serialises readers, held while user memory is touched.  Taken by
 *	readers only, so that nobody else ever waits for user memory.
 * @lock: protects all that follows.  Nests in the state_mutex and in @read_lock;
 *	nothing that waits for the user is done under it.
 * @vfdev: the VF, or NULL when the session is over
 * @stop_copy: the VF is stopped: no more memory gets dirty, the trailer is due
 * @data_crc: MEMORY records that begin from now on have a CRC of their data; only with
 *	@stop_copy
 * @stage: how far the trailer is
 * @kind: what the record under way counts as
 * @head: its header and the fixed part of its payload; written by the reader that
 *	begins a record, so that one under @read_lock may read it without @lock
 * @head_len: bytes in @head
 * @head_pos: bytes of @head that were read
 * @body_offset: where in device memory, or in @state, the rest of the payload is
 * @body_left: bytes of it that were not read yet
 * @reinits: how often new initial data had appeared when the user was last told
 * @memory_size: of the VF, as the last identity record says
 * @identity_bytes: bytes of an identity record
 * @state: for the model's state, which the arc to STOP_COPY takes; constant, freed with
 *	the file
 * @state_room: bytes that fit in @state; constant
 * @state_len: bytes in @state
 * @bytes: bytes of the records begun so far
 * @records: records begun so far
 */
struct vfmig_save {
	struct file *filp;
	wait_queue_head_t wait;
	struct mutex read_lock;		/* readers */

	struct mutex lock;		/* all below */
	struct vfmig_device *vfdev;
	bool stop_copy;
	bool data_crc;
	enum vfmig_save_stage stage;
	enum vfmig_save_kind kind;
	u8 head[sizeof(struct vfmig_record) + VFMIG_IDENTITY_MAX];
	size_t head_len;
	size_t head_pos;
	u64 body_offset;
	size_t body_left;
	u64 reinits;
	u64 memory_size;
	size_t identity_bytes;
	void *state;
	size_t state_room;
	size_t state_len;
	u64 bytes;
	u64 records;
};

/* One contiguous thing to copy to the user: of @page if @memory is set, else of @buf */
struct vfmig_piece {
	bool memory;
	struct page *page;
	const void *buf;
	size_t offset;
	size_t len;
};

static size_t vfmig_record_unread(const struct vfmig_save *save)
{
	return save->head_len - save->head_pos + save->body_left;
}

/*
 * Begins a record whose header and fixed payload, @fixed bytes, are in @head,
 * and that goes on with @body bytes from @offset.
 */
static void vfmig_begin_record(struct vfmig_save *save, enum vfmig_save_kind kind, size_t fixed,
			       u64 offset, size_t body)
{
	const struct vfmig_record *rec = (const void *)save->head;

	save->kind = kind;
	save->head_len = sizeof(*rec) + fixed;
	save->head_pos = 0;
	save->body_offset = offset;
	save->body_left = body;
	save->bytes += save->head_len + body;
	save->records++;
	trace_vfmig_save_record(&save->vfdev->core.pdev->dev, le32_to_cpu(rec->type), offset,
				fixed + body);
}

static void vfmig_begin_identity(struct vfmig_save *save, enum vfmig_save_kind kind)
{
	struct vfmig_device *vfdev = save->vfdev;
	struct vfmig_record *rec = (void *)save->head;
	struct vfmig_vf_identity id = {};
	size_t len;

	vfdev->ops->identity(vfdev->vf, &id);
	len = vfmig_identity_pack(&id, (void *)(rec + 1));
	vfmig_record_init(rec, VFMIG_RECORD_IDENTITY, len);
	vfmig_record_set_crc(rec, rec + 1, len);
	vfmig_begin_record(save, kind, len, 0, 0);
	save->memory_size = id.memory_size;
	save->identity_bytes = save->head_len;
}

/* Bytes of the identity record that is due since the VF's memory was resized, or 0 */
static size_t vfmig_identity_due(const struct vfmig_save *save,
				 const struct vfmig_mem_pending *pending)
{
	return pending->memory_size == save->memory_size ? 0 : save->identity_bytes;
}

static u64 vfmig_pending_bytes(const struct vfmig_mem_pending *pending)
{
	return vfmig_count_bytes(&pending->initial) + vfmig_count_bytes(&pending->reinit) +
	       vfmig_count_bytes(&pending->dirty);
}

static enum vfmig_save_kind vfmig_run_kind(const struct vfmig_mem_run *run)
{
	switch (run->kind) {
	case VFMIG_MEM_INITIAL:
		return VFMIG_SAVE_INITIAL;
	case VFMIG_MEM_REINIT:
		return VFMIG_SAVE_REINIT;
	default:
		return VFMIG_SAVE_DIRTY;
	}
}

static u32 vfmig_page_crc(u32 crc, struct page *page)
{
	void *data = kmap_local_page(page);

	crc = vfmig_crc(crc, data, VFMIG_GRANULE);
	kunmap_local(data);
	return crc;
}

/*
 * CRC of a MEMORY record's payload.  The header comes before the data, so this reads the data
 * before it is copied to the user.  It is the same data: the VF is frozen.  A run has at most
 * VFMIG_MEMORY_MAX bytes, so @lock is not held for long.
 */
static u32 vfmig_memory_crc(const struct vfmig_save *save, const struct vfmig_mem_run *run,
			    const struct vfmig_extent *extent)
{
	struct vfmig_device *vfdev = save->vfdev;
	u32 crc = vfmig_crc(0, extent, sizeof(*extent));

	for (u32 done = 0; done < run->length; done += VFMIG_GRANULE) {
		struct page *page = vfdev->ops->mem_page(vfdev->vf, run->offset + done);

		/* Without a page the VF was reset, and vfmig_copy_piece() gives zeroes */
		crc = vfmig_page_crc(crc, page ?: ZERO_PAGE(0));
		if (page)
			put_page(page);
		cond_resched();
	}
	return crc;
}

static void vfmig_begin_run(struct vfmig_save *save, const struct vfmig_mem_run *run)
{
	struct vfmig_record *rec = (void *)save->head;
	struct vfmig_extent *extent = (void *)(rec + 1);
	size_t body = run->hole ? 0 : run->length;

	extent->offset = cpu_to_le64(run->offset);
	extent->length = cpu_to_le64(run->length);
	vfmig_record_init(rec, run->hole ? VFMIG_RECORD_HOLE : VFMIG_RECORD_MEMORY,
			  sizeof(*extent) + body);
	if (run->hole)
		vfmig_record_set_crc(rec, extent, sizeof(*extent));
	else if (save->data_crc)
		vfmig_record_set_payload_crc(rec, vfmig_memory_crc(save, run, extent));
	else
		vfmig_record_set_extent_crc(rec, extent);
	vfmig_begin_record(save, vfmig_run_kind(run), sizeof(*extent), run->offset, body);
}

static void vfmig_begin_state(struct vfmig_save *save)
{
	struct vfmig_record *rec = (void *)save->head;

	save->stage = VFMIG_STAGE_STATE;
	vfmig_record_init(rec, VFMIG_RECORD_STATE, save->state_len);
	vfmig_record_set_crc(rec, save->state, save->state_len);
	vfmig_begin_record(save, VFMIG_SAVE_TRAILER, 0, 0, save->state_len);
}

static void vfmig_begin_end(struct vfmig_save *save)
{
	struct vfmig_record *rec = (void *)save->head;
	struct vfmig_end *end = (void *)(rec + 1);

	save->stage = VFMIG_STAGE_END;
	end->bytes = cpu_to_le64(save->bytes);
	end->records = cpu_to_le64(save->records);
	vfmig_record_init(rec, VFMIG_RECORD_END, sizeof(*end));
	vfmig_record_set_crc(rec, end, sizeof(*end));
	vfmig_begin_record(save, VFMIG_SAVE_TRAILER, sizeof(*end), 0, 0);
}

/*
 * Begins a record of what is pending of the device's memory; false if nothing is.  What
 * becomes pending between the two looks is not passed over: a reader gets -ENOMSG only where
 * VFIO_MIG_GET_PRECOPY_INFO would have said 0.
 */
static bool vfmig_begin_memory(struct vfmig_save *save)
{
	struct vfmig_device *vfdev = save->vfdev;
	struct vfmig_mem_pending pending;
	struct vfmig_mem_run run;

	do {
		/* No run after a resize before the destination knows of it */
		if (vfdev->ops->mem_next(vfdev->vf, save->memory_size, &run)) {
			vfmig_begin_run(save, &run);
			return true;
		}
		vfdev->ops->mem_pending(vfdev->vf, &pending);
		if (vfmig_identity_due(save, &pending)) {
			vfmig_begin_identity(save, VFMIG_SAVE_REINIT);
			return true;
		}
	} while (vfmig_pending_bytes(&pending));
	return false;
}

/*
 * Sees to it that a record is under way.  Returns 1, 0 at the end of the stream,
 * -ENOMSG where there is nothing now but may be later.
 */
static int vfmig_need_record(struct vfmig_save *save)
{
	if (vfmig_record_unread(save) || vfmig_begin_memory(save))
		return 1;
	if (!save->stop_copy)
		return -ENOMSG;
	if (save->stage == VFMIG_STAGE_END)
		return 0;
	if (save->stage == VFMIG_STAGE_MEMORY)
		vfmig_begin_state(save);
	else
		vfmig_begin_end(save);
	return 1;
}

/* The next piece of the record under way, of at most a granule */
static void vfmig_get_piece(struct vfmig_save *save, struct vfmig_piece *piece)
{
	struct vfmig_device *vfdev = save->vfdev;

	*piece = (struct vfmig_piece) {};
	if (save->head_pos < save->head_len) {
		piece->buf = save->head;
		piece->offset = save->head_pos;
		piece->len = save->head_len - save->head_pos;
	} else if (save->kind == VFMIG_SAVE_TRAILER) {
		piece->buf = save->state;
		piece->offset = save->body_offset;
		piece->len = save->body_left;
	} else {
		piece->memory = true;
		piece->offset = save->body_offset % VFMIG_GRANULE;
		piece->page = vfdev->ops->mem_page(vfdev->vf, save->body_offset - piece->offset);
		piece->len = min_t(size_t, VFMIG_GRANULE - piece->offset, save->body_left);
	}
}

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
	if (save->head_pos < save->head_len) {
		save->head_pos += bytes;
	} else {
		save->body_offset += bytes;
		save->body_left -= bytes;
	}
}

/* Tells the PF driver if the last byte of the stream was read just now */
static void vfmig_check_end(struct vfmig_save *save)
{
	struct vfmig_device *vfdev = save->vfdev;

	if (vfdev && vfdev->ops->handed_over && save->stage == VFMIG_STAGE_END &&
	    !vfmig_record_unread(save))
		vfdev->ops->handed_over(vfdev->vf);
}

/* Bytes copied, 0 at the end of the stream, or a negative errno */
static ssize_t vfmig_read_piece(struct vfmig_save *save, struct iov_iter *to)
{
	struct vfmig_piece piece;
	size_t copied;
	int ret;

	scoped_guard(mutex, &save->lock) {
		if (!save->vfdev)
			return -ENODEV;
		ret = vfmig_need_record(save);
		if (ret <= 0)
			return ret;
		vfmig_get_piece(save, &piece);
	}
	copied = vfmig_copy_piece(&piece, to);
	scoped_guard(mutex, &save->lock) {
		vfmig_advance(save, copied);
		vfmig_check_end(save);
	}
	return copied ? copied : -EFAULT;
}

static ssize_t vfmig_save_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct vfmig_save *save = iocb->ki_filp->private_data;
	ssize_t done = 0, ret = 0;

	if (iocb->ki_filp->f_flags & O_NONBLOCK) {
		if (!mutex_trylock(&save->read_lock))
			return -EAGAIN;
	} else if (mutex_lock_interruptible(&save->read_lock)) {
		return -ERESTARTSYS;
	}
	while (iov_iter_count(to)) {
		ret = vfmig_read_piece(save, to);
		if (ret <= 0)
			break;
		done += ret;
		if (signal_pending(current))
			break;
		cond_resched();
	}
	mutex_unlock(&save->read_lock);
	return done ? done : ret;
}

/**
 * struct vfmig_unread - what is still to be read of the device's memory, in bytes
 * @initial: of the first full copy
 * @reinit: new initial data, which comes next
 * @dirty: what changed
 */
struct vfmig_unread {
	u64 initial;
	u64 reinit;
	u64 dirty;
};

static void vfmig_count_unread(struct vfmig_save *save, const struct vfmig_mem_pending *pending,
			       struct vfmig_unread *unread)
{
	size_t record = vfmig_record_unread(save);

	unread->initial = vfmig_count_bytes(&pending->initial);
	unread->reinit = vfmig_count_bytes(&pending->reinit) + vfmig_identity_due(save, pending);
	unread->dirty = vfmig_count_bytes(&pending->dirty);

	switch (save->kind) {
	case VFMIG_SAVE_INITIAL:
		unread->initial += record;
		break;
	case VFMIG_SAVE_REINIT:
		unread->reinit += record;
		break;
	case VFMIG_SAVE_DIRTY:
		unread->dirty += record;
		break;
	case VFMIG_SAVE_TRAILER:
		break;
	}
}

static u64 vfmig_memory_unread(struct vfmig_save *save)
{
	struct vfmig_device *vfdev = save->vfdev;
	struct vfmig_mem_pending pending;
	struct vfmig_unread unread;

	vfdev->ops->mem_pending(vfdev->vf, &pending);
	vfmig_count_unread(save, &pending, &unread);
	return unread.initial + unread.reinit + unread.dirty;
}

static u64 vfmig_trailer_unread(struct vfmig_save *save)
{
	struct vfmig_device *vfdev = save->vfdev;
	size_t state = save->stop_copy ? save->state_len : vfdev->ops->state_size(vfdev->vf);
	u64 unread = 0;

	if (save->stage < VFMIG_STAGE_STATE)
		unread += sizeof(struct vfmig_record) + state;
	if (save->stage < VFMIG_STAGE_END)
		unread += VFMIG_END_BYTES;
	if (save->kind == VFMIG_SAVE_TRAILER)
		unread += vfmig_record_unread(save);
	return unread;
}

/* Bytes that a reader would still get if the VF were stopped now */
u64 vfmig_save_unread(struct vfmig_save *save)
{
	guard(mutex)(&save->lock);
	return vfmig_memory_unread(save) + vfmig_trailer_unread(save);
}

/* The same for a VF that no session is on for */
u64 vfmig_save_estimate(struct vfmig_device *vfdev)
{
	struct vfmig_vf_identity id = {};
	struct vfmig_mem_count count;

	vfdev->ops->identity(vfdev->vf, &id);
	vfdev->ops->mem_allocated(vfdev->vf, &count);
	return vfmig_identity_bytes(&id) + vfmig_count_bytes(&count) +
	       sizeof(struct vfmig_record) + vfdev->ops->state_size(vfdev->vf) + VFMIG_END_BYTES;
}

static __poll_t vfmig_save_poll(struct file *filp, struct poll_table_struct *table)
{
	struct vfmig_save *save = filp->private_data;

	poll_wait(filp, &save->wait, table);

	guard(mutex)(&save->lock);
	if (!save->vfdev)
		return EPOLLIN | EPOLLRDNORM | EPOLLERR | EPOLLHUP;
	/* Always readable, be it for the end of the stream */
	if (save->stop_copy)
		return EPOLLIN | EPOLLRDNORM;
	return vfmig_memory_unread(save) ? EPOLLIN | EPOLLRDNORM : 0;
}

/*
 * For a user that knows of REINIT: once for what appeared since the last time, if it was not
 * read already
 */
static void vfmig_report_reinit(struct vfmig_save *save, const struct vfmig_mem_pending *pending,
				struct vfmig_unread *unread, struct vfio_precopy_info *info)
{
	info->flags = 0;
	if (pending->reinits == save->reinits)
		return;
	save->reinits = pending->reinits;
	if (!unread->reinit)
		return;
	info->flags = VFIO_PRECOPY_INFO_REINIT;
	/* What is left of this record comes before the new initial data */
	if (save->kind == VFMIG_SAVE_DIRTY) {
		save->kind = VFMIG_SAVE_REINIT;
		vfmig_count_unread(save, pending, unread);
	}
}

static int vfmig_precopy_info(struct vfmig_save *save, struct vfio_precopy_info *info)
{
	struct vfmig_mem_pending pending;
	struct vfmig_device *vfdev;
	struct vfmig_unread unread;
	bool v2;

	guard(mutex)(&save->lock);
	vfdev = save->vfdev;
	if (!vfdev || save->stop_copy)
		return -EINVAL;

	vfdev->ops->mem_pending(vfdev->vf, &pending);
	vfmig_count_unread(save, &pending, &unread);
	v2 = vfmig_compat_precopy_info_v2(&vfdev->core.vdev);
	if (v2)
		vfmig_report_reinit(save, &pending, &unread, info);
	info->initial_bytes = unread.initial + (v2 ? unread.reinit : 0);
	info->dirty_bytes = unread.dirty + (v2 ? 0 : unread.reinit);
	return 0;
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
	ret = vfmig_precopy_info(filp->private_data, &info);
	if (ret)
		return ret;
	return copy_to_user((void __user *)arg, &info, size) ? -EFAULT : 0;
}

static int vfmig_save_release(struct inode *inode, struct file *filp)
{
	struct vfmig_save *save = filp->private_data;

	mutex_destroy(&save->lock);
	mutex_destroy(&save->read_lock);
	kvfree(save->state);
	kfree(save);
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

/*
 * A session's data fd; device memory is tracked already.  Under the state_mutex.
 * Ended by vfmig_save_end(), which drops the driver's reference to the file.
 */
struct vfmig_save *vfmig_save_create(struct vfmig_device *vfdev)
{
	struct vfmig_save *save;
	struct file *filp;

	save = kzalloc(sizeof(*save), GFP_KERNEL_ACCOUNT);
	if (!save)
		return ERR_PTR(-ENOMEM);
	save->state_room = vfdev->ops->state_max(vfdev->vf);
	/* Now, as the guest may be running: later it waits */
	save->state = kvzalloc(save->state_room, GFP_KERNEL_ACCOUNT);
	if (!save->state) {
		kfree(save);
		return ERR_PTR(-ENOMEM);
	}
	filp = anon_inode_getfile("[vfmig-save]", &vfmig_save_fops, save, O_RDONLY);
	if (IS_ERR(filp)) {
		kvfree(save->state);
		kfree(save);
		return ERR_CAST(filp);
	}
	stream_open(filp->f_inode, filp);
	save->filp = filp;
	save->vfdev = vfdev;
	init_waitqueue_head(&save->wait);
	mutex_init(&save->read_lock);
	mutex_init(&save->lock);
	vfmig_begin_identity(save, VFMIG_SAVE_INITIAL);
	return save;
}

struct file *vfmig_save_file(struct vfmig_save *save)
{
	return save->filp;
}

/*
 * The VF is frozen: take its state, so that nothing but the copy to the user can
 * fail from now on.  Under the state_mutex.
 */
int vfmig_save_enter_stop_copy(struct vfmig_save *save)
{
	struct vfmig_device *vfdev = save->vfdev;
	ssize_t len;

	len = vfdev->ops->state_save(vfdev->vf, save->state, save->state_room);
	if (len < 0)
		return len;

	scoped_guard(mutex, &save->lock) {
		save->state_len = len;
		save->stop_copy = true;
		save->data_crc = READ_ONCE(data_crc);
	}
	wake_up_interruptible_poll(&save->wait, EPOLLIN | EPOLLRDNORM);
	return 0;
}

/* The session is over: reads fail with -ENODEV.  Under the state_mutex. */
void vfmig_save_end(struct vfmig_save *save)
{
	scoped_guard(mutex, &save->lock)
		save->vfdev = NULL;
	wake_up_interruptible_poll(&save->wait, EPOLLIN | EPOLLERR | EPOLLHUP);
	fput(save->filp);
}

/* Memory became dirty.  Atomic context. */
void vfmig_save_wake(struct vfmig_save *save)
{
	wake_up_interruptible_poll(&save->wait, EPOLLIN | EPOLLRDNORM);
}
