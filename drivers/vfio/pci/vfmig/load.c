// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data fd that a VF's stream is written to: the file, its locks, and user memory.  Device
 * memory goes from the user's pages into pages that the PF driver keeps, or through a buffer.
 * What the bytes mean is in load_parse.c.
 *
 * The file can outlive the transition that made it, the device fd and the VF.
 * It then has no vfdev any more, and writes fail with -ENODEV.
 */
#include <linux/anon_inodes.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/memcontrol.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include <asm/byteorder.h>

#include "device.h"
#include "fault.h"
#include "load.h"
#include "load_parse.h"
#include "trace.h"

/**
 * struct vfmig_load - a data fd that is written to
 * @filp: its file, with the driver's own reference while @vfdev is set
 * @memcg: of the process that began the load.  It pays for what is loaded, not the writer.
 * @wait: a writer whose piece the device has no room for; woken when it may have, and when
 *	RESUMING was left
 * @ready: how often the PF driver said that there is room
 * @write_lock: serialises writers, held while user memory is touched, and protects
 *	@fault, @taken and @parser.  Taken by writers only, so that nobody else ever
 *	waits for user memory.
 * @fault: what is to go wrong with it on purpose
 * @taken: bytes of the stream that were taken
 * @parser: what came, and what comes next.  @vfdev's, so its steps need @lock.
 * @lock: protects @vfdev and the stage of @parser.  Nests in the state_mutex and in @write_lock;
 *	nothing that waits for the user is done under it.
 * @vfdev: the VF, or NULL when RESUMING was left
 */
struct vfmig_load {
	struct file *filp;
	struct mem_cgroup *memcg;

	wait_queue_head_t wait;
	atomic_t ready;

	struct mutex write_lock;	/* writers; fault, taken, parser */
	struct vfmig_fault_fd fault;
	u64 taken;
	struct vfmig_parser parser;

	struct mutex lock;		/* vfdev, and the stage of parser */
	struct vfmig_device *vfdev;
};

static struct vfmig_load *vfmig_load_of(struct vfmig_parser *parser)
{
	return container_of(parser, struct vfmig_load, parser);
}

/* Says in the log why the stream is refused, if there is a new reason.  Under @lock. */
static void vfmig_load_report(struct vfmig_load *load)
{
	struct vfmig_parser *parser = &load->parser;
	struct vfmig_device *vfdev = load->vfdev;

	if (!parser->why[0])
		return;
	if (__ratelimit(&vfdev->refusals))
		pci_err(vfdev->core.pdev, "migration stream refused at record %llu, byte %llu: %s\n",
			parser->records, parser->bytes, parser->why);
	parser->why[0] = '\0';
}

static bool vfmig_load_is_spoilt(const struct vfmig_load *load)
{
	return vfmig_fault_armed(load->fault.faults, VFMIG_FAULT_WRITE);
}

/* What is to go wrong with the record on purpose? */
static int vfmig_spoil_record(struct vfmig_load *load)
{
	struct vfmig_parser *parser = &load->parser;
	int ret;

	ret = vfmig_fault_meet_record(&load->fault, parser->records + 1,
				      vfmig_parse_type(parser) == VFMIG_RECORD_END);
	if (ret && ret != -EAGAIN)
		vfmig_parse_refuse(parser, "on command");
	return ret;
}

/* The parser has accepted the header of a record.  Under @lock. */
static int vfmig_load_begin(struct vfmig_parser *parser)
{
	struct vfmig_load *load = vfmig_load_of(parser);
	int ret;

	if (vfmig_load_is_spoilt(load)) {
		ret = vfmig_spoil_record(load);
		if (ret)
			return ret;
	}
	trace_vfmig_load_record(&load->vfdev->core.pdev->dev, vfmig_parse_type(parser), 0,
				le64_to_cpu(parser->rec.length));
	return 0;
}

/* Is anybody still interested, and is anything due? */
static int vfmig_load_check(struct vfmig_load *load)
{
	int ret;

	guard(mutex)(&load->lock);
	if (!load->vfdev)
		return -ENODEV;
	ret = vfmig_parse_check(&load->parser);
	vfmig_load_report(load);
	return ret;
}

/* Does the part of the work that needs the VF */
static int vfmig_load_advance(struct vfmig_load *load)
{
	struct mem_cgroup *memcg;
	int ret;

	guard(mutex)(&load->lock);
	if (!load->vfdev)
		return -ENODEV;
	memcg = set_active_memcg(load->memcg);
	ret = vfmig_parse_advance(&load->parser);
	set_active_memcg(memcg);
	vfmig_load_report(load);
	if (ret == -ENOTRECOVERABLE)
		vfmig_migration_lost(load->vfdev);
	return ret;
}

static void vfmig_load_no_memory(struct vfmig_load *load)
{
	guard(mutex)(&load->lock);
	vfmig_parse_no_memory(&load->parser);
	if (load->vfdev)
		vfmig_load_report(load);
}

/* Where does the next piece go? */
static int vfmig_load_next(struct vfmig_load *load, struct vfmig_parse_room *room)
{
	struct mem_cgroup *memcg = set_active_memcg(load->memcg);
	int ret = vfmig_parse_next(&load->parser, room);

	set_active_memcg(memcg);
	if (ret)
		vfmig_load_no_memory(load);
	return ret;
}

/* One copy from the user; bytes taken or a negative errno */
static ssize_t vfmig_take_piece(struct vfmig_load *load, struct iov_iter *from)
{
	struct vfmig_parse_room room;
	size_t copied;
	int ret;

	ret = vfmig_load_next(load, &room);
	if (ret)
		return ret;
	if (room.page)
		copied = copy_page_from_iter(room.page, room.offset, room.len, from);
	else
		copied = copy_from_iter(room.buf, room.len, from);
	vfmig_parse_took(&load->parser, &room, copied);
	load->taken += copied;
	return copied ? copied : -EFAULT;
}

/* One copy from the user and what follows from it; bytes taken or a negative errno */
static ssize_t vfmig_write_piece(struct vfmig_load *load, struct iov_iter *from)
{
	ssize_t copied = 0;
	int ret;

	ret = vfmig_load_check(load);
	if (ret)
		return ret;
	if (!load->parser.due) {
		copied = vfmig_take_piece(load, from);
		if (copied < 0 || !vfmig_parse_complete(&load->parser))
			return copied;
	}
	ret = vfmig_load_advance(load);
	/* What was taken counts, and the device gets it with the next piece */
	if (ret == -EAGAIN && copied)
		return copied;
	return ret ? ret : copied;
}

/* Waits for room in the device.  @seen is @ready before it had none. */
static int vfmig_wait_for_room(struct vfmig_load *load, int seen)
{
	return wait_event_interruptible(load->wait, atomic_read(&load->ready) != seen ||
					!READ_ONCE(load->vfdev));
}

static ssize_t vfmig_write_all(struct vfmig_load *load, struct iov_iter *from, bool nonblock)
{
	ssize_t done = 0, ret = 0;

	/* All of a hole, even if it is the last that is written now */
	while (iov_iter_count(from) || load->parser.part == VFMIG_PART_HOLE) {
		int seen = atomic_read(&load->ready);

		ret = vfmig_write_piece(load, from);
		if (ret == -EAGAIN && !nonblock) {
			ret = vfmig_wait_for_room(load, seen);
			if (!ret)
				continue;
		}
		if (ret < 0)
			break;
		done += ret;
		if (signal_pending(current)) {
			/* A piece of a hole may have been all, of a write() before this one */
			ret = done ? 0 : -ERESTARTSYS;
			break;
		}
		cond_resched();
	}
	/* These leave the stream as good as it was: what was taken counts */
	if (done && (ret == -EFAULT || ret == -EAGAIN || ret == -ERESTARTSYS))
		return done;
	return ret < 0 ? ret : done;
}

/* The stream is refused on purpose */
static void vfmig_load_spoil(struct vfmig_load *load, int why)
{
	guard(mutex)(&load->lock);
	if (!load->vfdev)
		return;
	vfmig_parse_refuse(&load->parser, "on command");
	vfmig_load_report(load);
	load->parser.stage = VFMIG_PARSE_FAILED;
	if (why == -ENOTRECOVERABLE)
		vfmig_migration_lost(load->vfdev);
}

/* What is to go wrong with this write() on purpose?  Returns 1 if it goes on, or its result. */
static int vfmig_spoil_write(struct vfmig_load *load, struct iov_iter *from, bool nonblock)
{
	struct vfmig_fault_io io = { .pos = load->taken, .reach = iov_iter_count(from) };
	int ret;

	ret = vfmig_load_check(load);
	if (ret || !io.reach)
		return ret;
	ret = vfmig_fault_meet_call(&load->fault, &io, nonblock);
	if (io.refuse || ret == -ENOTRECOVERABLE)
		vfmig_load_spoil(load, ret);
	iov_iter_truncate(from, io.most);
	return ret;
}

/*
 * A refusal fails the write() that brought it about, whatever that had taken
 * before: a caller must not take a short count for success.
 */
static ssize_t vfmig_load_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct vfmig_load *load = iocb->ki_filp->private_data;
	bool nonblock = iocb->ki_filp->f_flags & O_NONBLOCK;
	ssize_t ret = 1;

	if (nonblock) {
		if (!mutex_trylock(&load->write_lock))
			return -EAGAIN;
	} else if (mutex_lock_interruptible(&load->write_lock)) {
		return -ERESTARTSYS;
	}
	if (vfmig_load_is_spoilt(load))
		ret = vfmig_spoil_write(load, from, nonblock);
	if (ret > 0)
		ret = vfmig_write_all(load, from, nonblock);
	mutex_unlock(&load->write_lock);
	return ret;
}

static int vfmig_load_release(struct inode *inode, struct file *filp)
{
	struct vfmig_load *load = filp->private_data;

	vfmig_fault_fd_exit(&load->fault);
	mutex_destroy(&load->lock);
	mutex_destroy(&load->write_lock);
	vfmig_parse_exit(&load->parser);
	mem_cgroup_put(load->memcg);
	kfree(load);
	return 0;
}

static const struct file_operations vfmig_load_fops = {
	.owner = THIS_MODULE,
	.write_iter = vfmig_load_write_iter,
	.release = vfmig_load_release,
};

/*
 * The data fd of RESUMING; the PF driver begins its load next.  Under the
 * state_mutex.  Ended by vfmig_load_end(), which drops the driver's reference.
 */
struct vfmig_load *vfmig_load_create(struct vfmig_device *vfdev)
{
	struct vfmig_load *load;
	struct file *filp;

	load = kzalloc(sizeof(*load), GFP_KERNEL_ACCOUNT);
	if (!load)
		return ERR_PTR(-ENOMEM);
	filp = anon_inode_getfile("[vfmig-load]", &vfmig_load_fops, load, O_WRONLY);
	if (IS_ERR(filp)) {
		kfree(load);
		return ERR_CAST(filp);
	}
	stream_open(filp->f_inode, filp);
	load->filp = filp;
	load->memcg = get_mem_cgroup_from_mm(current->mm);
	load->vfdev = vfdev;
	init_waitqueue_head(&load->wait);
	mutex_init(&load->write_lock);
	mutex_init(&load->lock);
	vfmig_fault_fd_init(&load->fault, vfdev->faults, &load->vfdev, &load->wait, &load->ready);
	load->fault.writes = true;
	vfmig_parse_init(&load->parser, vfdev->ops, vfdev->vf);
	load->parser.begin = vfmig_load_begin;
	return load;
}

struct file *vfmig_load_file(struct vfmig_load *load)
{
	return load->filp;
}

/* Bytes of the records that came.  A writer that waits for the user holds none up. */
u64 vfmig_load_done(const struct vfmig_load *load)
{
	return READ_ONCE(load->parser.bytes);
}

/* Was a closing record accepted? */
bool vfmig_load_complete(struct vfmig_load *load)
{
	guard(mutex)(&load->lock);
	return load->parser.stage == VFMIG_PARSE_DONE;
}

/* RESUMING was left: writes fail with -ENODEV.  Under the state_mutex. */
void vfmig_load_end(struct vfmig_load *load)
{
	scoped_guard(mutex, &load->lock)
		load->vfdev = NULL;
	wake_up_interruptible(&load->wait);
	fput(load->filp);
}

/* The device may have room.  Atomic context. */
void vfmig_load_wake(struct vfmig_load *load)
{
	atomic_inc(&load->ready);
	wake_up_interruptible(&load->wait);
}
