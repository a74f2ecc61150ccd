// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of data fds: read() and write() that fail, wait or are cut, at a place in the stream or
 * at each call.
 *
 * Whoever waits holds the lock that serialises the readers or writers of the fd, as one does who
 * waits for a device, and nothing else.  The end of the session wakes it.  A poller, and a writer
 * in the middle of a write(), wait for @ready, which a timer of the fd increments.
 */
#include <linux/minmax.h>
#include <linux/poll.h>
#include <linux/sizes.h>

#include "fault_list.h"

/* No call waits longer */
#define VFMIG_FAULT_WAIT_NS	(60ULL * NSEC_PER_SEC)

static void vfmig_fault_fd_timer(struct timer_list *timer)
{
	struct vfmig_fault_fd *fd = container_of(timer, struct vfmig_fault_fd, timer);

	atomic_inc(fd->ready);
	wake_up_interruptible_poll(fd->wait, EPOLLIN | EPOLLRDNORM);
}

/* @vfdev is set until the session ends, whose end wakes @wait */
void vfmig_fault_fd_init(struct vfmig_fault_fd *fd, struct vfmig_faults *faults,
			 struct vfmig_device **vfdev, wait_queue_head_t *wait, atomic_t *ready)
{
	static atomic64_t sessions;

	kref_get(&faults->ref);
	fd->faults = faults;
	fd->vfdev = vfdev;
	fd->wait = wait;
	fd->ready = ready;
	fd->session = atomic64_inc_return(&sessions);
	timer_setup(&fd->timer, vfmig_fault_fd_timer, 0);
}

void vfmig_fault_fd_exit(struct vfmig_fault_fd *fd)
{
	timer_shutdown_sync(&fd->timer);
	vfmig_faults_put(fd->faults);
}

/* Jiffies until data passes, or 0 */
static unsigned long vfmig_fault_left(struct vfmig_fault_fd *fd)
{
	unsigned long left = vfmig_fault_until(READ_ONCE(fd->not_before));

	return left && vfmig_fault_is_set(fd->faults, READ_ONCE(fd->stalled_by)) ? left : 0;
}

/* Is the fd held up?  Then @ready is incremented when it may not be any more. */
bool vfmig_fault_fd_stalls(struct vfmig_fault_fd *fd)
{
	unsigned long left = vfmig_fault_left(fd);

	if (left)
		mod_timer(&fd->timer, jiffies + min(left, VFMIG_FAULT_LOOK));
	return left;
}

static int vfmig_fault_fd_wait(struct vfmig_fault_fd *fd, bool nonblock)
{
	unsigned long left;

	while ((left = vfmig_fault_left(fd))) {
		long ret;

		if (nonblock)
			return -EAGAIN;
		ret = wait_event_interruptible_timeout(*fd->wait, !READ_ONCE(*fd->vfdev),
						       min(left, VFMIG_FAULT_LOOK));
		if (ret < 0)
			return ret;
		if (ret)
			return -ENODEV;
	}
	return 0;
}

static bool vfmig_fault_is_here(const struct vfmig_fault *fault, const struct vfmig_fault_io *io)
{
	switch (fault->place) {
	case VFMIG_FAULT_AT:
		return fault->at - io->pos < io->reach;
	case VFMIG_FAULT_RECORD:
		return io->record == fault->at;
	case VFMIG_FAULT_LAST:
		return io->record && io->last;
	default:
		return io->reach;
	}
}

static void vfmig_fault_hold(struct vfmig_fault_fd *fd, const struct vfmig_fault *fault, u64 until)
{
	if (until <= fd->not_before)
		return;
	WRITE_ONCE(fd->not_before, until);
	WRITE_ONCE(fd->stalled_by, fault->id);
}

/* A stall begins, once at a place of a session: who comes again has waited already */
static void vfmig_fault_stall(struct vfmig_fault_fd *fd, struct vfmig_fault *fault,
			      const struct vfmig_fault_io *io, u64 now)
{
	u64 place = fault->place == VFMIG_FAULT_NOWHERE ? io->pos : fault->at;

	if (fault->met_in == fd->session && fault->met_at == place)
		return;
	fault->met_in = fd->session;
	fault->met_at = place;
	if (vfmig_fault_happens(fd->faults, fault))
		vfmig_fault_hold(fd, fault, now + fault->value * NSEC_PER_MSEC);
}

/*
 * The bytes from where the fd was last, or from @from, to @to cost time.  A reader pays for what
 * it has read, a writer for what it brings, once.
 */
static void vfmig_fault_pace(struct vfmig_fault_fd *fd, struct vfmig_fault *fault, u64 from,
			     u64 to, u64 now)
{
	u64 bytes;

	if (fd->paced_by != fault->id) {
		fd->paced_by = fault->id;
		fd->paid = fd->writes ? from : to;
		fd->due = now;
	}
	if (fd->writes)
		fd->paid = max(fd->paid, from);
	bytes = to > fd->paid ? min_t(u64, to - fd->paid, SZ_1G) : 0;
	fd->paid = max(fd->paid, to);
	/* Idle time is not saved up, but for what a thread oversleeps */
	fd->due = max(fd->due, now - NSEC_PER_SEC / 10);
	fd->due += min(bytes * NSEC_PER_SEC / fault->value, VFMIG_FAULT_WAIT_NS);
	fd->due = min(fd->due, now + VFMIG_FAULT_WAIT_NS);
	if (bytes)
		vfmig_fault_happens(fd->faults, fault);
	vfmig_fault_hold(fd, fault, fd->due);
}

/* Is it one of this end's of the stream? */
static bool vfmig_fault_is_ours(const struct vfmig_fault_fd *fd, const struct vfmig_fault *fault)
{
	return fault->point == (fd->writes ? VFMIG_FAULT_WRITE : VFMIG_FAULT_READ);
}

/* The lowest rate that is set, or NULL.  Under @lock. */
static struct vfmig_fault *vfmig_fault_rate(struct vfmig_fault_fd *fd)
{
	struct vfmig_fault *fault, *rate = NULL;

	list_for_each_entry(fault, &fd->faults->list, node)
		if (vfmig_fault_is_ours(fd, fault) && fault->action == VFMIG_FAULT_RATE &&
		    (!rate || fault->value < rate->value))
			rate = fault;
	return rate;
}

/* First what takes time */
static void vfmig_fault_begin_waits(struct vfmig_fault_fd *fd, const struct vfmig_fault_io *io)
{
	struct vfmig_fault *fault;
	u64 now = ktime_get_ns();

	spin_lock(&fd->faults->lock);
	list_for_each_entry(fault, &fd->faults->list, node)
		if (vfmig_fault_is_ours(fd, fault) && fault->action == VFMIG_FAULT_STALL &&
		    vfmig_fault_is_here(fault, io))
			vfmig_fault_stall(fd, fault, io, now);
	fault = io->reach ? vfmig_fault_rate(fd) : NULL;
	if (fault)
		vfmig_fault_pace(fd, fault, io->pos, io->pos + (fd->writes ? io->reach : 0), now);
	spin_unlock(&fd->faults->lock);
}

/* Does the call end because of @fault?  Fills in the rest of @io. */
static bool vfmig_fault_ends_call(struct vfmig_fault_io *io, const struct vfmig_fault *fault)
{
	switch (fault->action) {
	case VFMIG_FAULT_ERRNO:
		io->ret = -(int)fault->value;
		return true;
	case VFMIG_FAULT_REFUSE:
		io->ret = -(int)fault->value;
		io->refuse = true;
		return true;
	case VFMIG_FAULT_END:
		io->ret = 0;
		return true;
	case VFMIG_FAULT_SHORT:
		io->most = min(io->most, fault->value);
		return false;
	default:
		return false;
	}
}

/* Then what ends the call or cuts it.  A byte that ends a later call is not passed. */
static void vfmig_fault_meet_rest(struct vfmig_fault_fd *fd, struct vfmig_fault_io *io)
{
	struct vfmig_fault *fault;

	spin_lock(&fd->faults->lock);
	list_for_each_entry(fault, &fd->faults->list, node) {
		if (fault->action == VFMIG_FAULT_STALL || fault->action == VFMIG_FAULT_FLIP ||
		    fault->action == VFMIG_FAULT_RATE)
			continue;
		if (vfmig_fault_is_ours(fd, fault) && vfmig_fault_is_here(fault, io) &&
		    vfmig_fault_happens(fd->faults, fault) && vfmig_fault_ends_call(io, fault))
			break;
	}
	spin_unlock(&fd->faults->lock);
}

/* A reader gets no byte behind the place of a fault, and no more than a rate gives */
static void vfmig_fault_cut_read(struct vfmig_fault_fd *fd, struct vfmig_fault_io *io)
{
	struct vfmig_fault *fault;

	spin_lock(&fd->faults->lock);
	list_for_each_entry(fault, &fd->faults->list, node)
		if (vfmig_fault_is_ours(fd, fault) && fault->place == VFMIG_FAULT_AT &&
		    fault->action != VFMIG_FAULT_FLIP && fault->at > io->pos)
			io->most = min(io->most, fault->at - io->pos);
	fault = vfmig_fault_rate(fd);
	if (fault)
		io->most = min(io->most, max(fault->value / 10, 1));
	spin_unlock(&fd->faults->lock);
}

/*
 * A read() or write() begins.  Waits if it is to, and fills in &vfmig_fault_io.most.  Returns 1 if
 * the call goes on, or what it returns.  Under the lock of the fd's readers or writers.
 */
int vfmig_fault_meet_call(struct vfmig_fault_fd *fd, struct vfmig_fault_io *io, bool nonblock)
{
	int ret;

	io->ret = 1;
	io->most = U64_MAX;
	vfmig_fault_begin_waits(fd, io);
	ret = vfmig_fault_fd_wait(fd, nonblock);
	if (ret)
		return ret;
	vfmig_fault_meet_rest(fd, io);
	if (!fd->writes)
		vfmig_fault_cut_read(fd, io);
	return io->ret;
}

/*
 * The header of a record has arrived.  Returns 0, -EAGAIN if the record must wait, or the errno
 * that the stream is refused with.  Atomic context.
 */
int vfmig_fault_meet_record(struct vfmig_fault_fd *fd, u64 record, bool last)
{
	struct vfmig_fault_io io = { .record = record, .last = last, .ret = 0 };

	vfmig_fault_begin_waits(fd, &io);
	if (vfmig_fault_fd_stalls(fd))
		return -EAGAIN;
	vfmig_fault_meet_rest(fd, &io);
	return io.ret;
}

/* Is a fault at the record after @records, or may it be? */
bool vfmig_fault_is_next(struct vfmig_fault_fd *fd, u64 records)
{
	struct vfmig_fault *fault;
	bool is = false;

	spin_lock(&fd->faults->lock);
	list_for_each_entry(fault, &fd->faults->list, node)
		is |= vfmig_fault_is_ours(fd, fault) &&
		      (fault->place == VFMIG_FAULT_LAST ||
		       (fault->place == VFMIG_FAULT_RECORD && fault->at == records + 1));
	spin_unlock(&fd->faults->lock);
	return is;
}

/*
 * @len bytes at @pos are about to be read.  Returns how many of them as they are; or 1, with the
 * bits in @mask that are inverted in the first.
 */
size_t vfmig_fault_flips(struct vfmig_fault_fd *fd, u64 pos, size_t len, u8 *mask)
{
	struct vfmig_fault *fault;

	*mask = 0;
	spin_lock(&fd->faults->lock);
	list_for_each_entry(fault, &fd->faults->list, node) {
		/* Only a reader can have one */
		if (fault->action != VFMIG_FAULT_FLIP || fault->at < pos)
			continue;
		if (fault->at > pos)
			len = min_t(u64, len, fault->at - pos);
		else if (vfmig_fault_happens(fd->faults, fault))
			*mask ^= BIT(fault->value);
	}
	spin_unlock(&fd->faults->lock);
	return *mask ? 1 : len;
}
