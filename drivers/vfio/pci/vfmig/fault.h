/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Faults on command: what the rest of the driver calls where it serves a user of VFIO.
 * Documentation/faults.rst describes them.  While no VF has a fault, each call is a branch
 * that is patched out.
 */
#ifndef _VFMIG_FAULT_H
#define _VFMIG_FAULT_H

#include <linux/bits.h>
#include <linux/jump_label.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/vfio.h>
#include <linux/wait.h>

struct dentry;
struct vfmig_device;

/* Where a fault can be */
enum vfmig_fault_point {
	VFMIG_FAULT_ARC,
	VFMIG_FAULT_READ,
	VFMIG_FAULT_WRITE,
	VFMIG_FAULT_PRECOPY,
	VFMIG_FAULT_SIZE,
	VFMIG_FAULT_LOG_START,
	VFMIG_FAULT_LOG_REPORT,
	VFMIG_FAULT_POINTS
};

#define VFMIG_FAULT_LINE	128	/* bytes of a line */
#define VFMIG_FAULT_WHY		(VFMIG_FAULT_LINE + 160)

/**
 * struct vfmig_faults - the faults of a VF
 * @ref: the VF's reference, and one of each data fd, which can outlive the VF
 * @armed: bit N is set if a fault is at point N.  Written under @edit and @lock, read without.
 * @name: PCI address of the VF; constant
 * @wait: threads whose arc is delayed; woken when the VF is reset or lost
 * @edit: serialises those who add and clear faults, and protects @last_id, @nr and @why
 * @last_id: number of the last fault
 * @nr: number of faults
 * @why: why the last line was refused
 * @lock: protects @list and the counters of its entries; nests in every lock of the driver
 * @list: struct vfmig_fault, in the order of their numbers
 */
struct vfmig_faults {
	struct kref ref;
	unsigned long armed;
	char name[24];
	wait_queue_head_t wait;

	struct mutex edit;		/* last_id, nr, why; changes of list */
	unsigned int last_id;
	unsigned int nr;
	char why[VFMIG_FAULT_WHY];

	spinlock_t lock;		/* list */
	struct list_head list;
};

/**
 * struct vfmig_fault_arc - what is to happen to an arc
 * @delay: milliseconds before it
 * @delay_id: number of the fault with the longest delay
 * @reset: the VF is to be reset before it
 * @ret: 0, or the negative errno of the arc
 */
struct vfmig_fault_arc {
	unsigned int delay;
	unsigned int delay_id;
	bool reset;
	int ret;
};

/**
 * struct vfmig_fault_fd - faults of a data fd
 * @faults: those of its VF, with a reference; constant
 * @vfdev: where the fd has its VF, NULL when the session is over; constant
 * @wait: its waitqueue; constant
 * @ready: what a thread compares that waits there for the device; constant
 * @session: number of the session, unique; constant
 * @writes: it is written to; constant
 * @timer: increments @ready while the fd stalls
 * @not_before: no data passes before this time.  Written by the only reader or writer, as all
 *	that follows.  This and @stalled_by are read by pollers too.
 * @stalled_by: number of the fault that says so
 * @paced_by: number of the fault that limits the rate
 * @paid: position up to which that has taken time
 * @due: when data may pass because of it
 */
struct vfmig_fault_fd {
	struct vfmig_faults *faults;
	struct vfmig_device **vfdev;
	wait_queue_head_t *wait;
	atomic_t *ready;
	u64 session;
	bool writes;
	struct timer_list timer;

	u64 not_before;
	unsigned int stalled_by;
	unsigned int paced_by;
	u64 paid;
	u64 due;
};

/**
 * struct vfmig_fault_io - a read() or write() that begins
 * @pos: position in the stream
 * @reach: how many bytes from there on can meet a fault: 1 for a read, all for a write
 * @record: number of the record that begins at @pos, or 0
 * @last: that is END
 * @most: set to the greatest number of bytes that the call may move
 * @refuse: set if the stream is to be refused
 * @ret: set to what vfmig_fault_meet_call() returns
 */
struct vfmig_fault_io {
	u64 pos;
	u64 reach;
	u64 record;
	bool last;
	u64 most;
	bool refuse;
	int ret;
};

/**
 * struct vfmig_fault_log - what is to go wrong with a report of DMA logging
 * @all: all pages are reported
 * @forget: percent of pages that never are
 * @seed: which ones
 */
struct vfmig_fault_log {
	bool all;
	u64 forget;
	u64 seed;
};

DECLARE_STATIC_KEY_FALSE(vfmig_faults_set);

/* Is there a fault at @point? */
static inline bool vfmig_fault_armed(const struct vfmig_faults *faults,
				     enum vfmig_fault_point point)
{
	return static_branch_unlikely(&vfmig_faults_set) && READ_ONCE(faults->armed) & BIT(point);
}

/* fault.c */
struct vfmig_faults *vfmig_faults_create(const char *name);
void vfmig_faults_put(struct vfmig_faults *faults);
void vfmig_faults_clear(struct vfmig_faults *faults);

/* fault_arc.c */
void vfmig_fault_meet_arc(struct vfmig_faults *faults, enum vfio_device_mig_state from,
			  enum vfio_device_mig_state to, struct vfmig_fault_arc *arc);
int vfmig_fault_delay(struct vfmig_faults *faults, const struct vfmig_fault_arc *arc,
		      const unsigned int *upsets, unsigned int seen);

/* fault_fd.c */
void vfmig_fault_fd_init(struct vfmig_fault_fd *fd, struct vfmig_faults *faults,
			 struct vfmig_device **vfdev, wait_queue_head_t *wait, atomic_t *ready);
void vfmig_fault_fd_exit(struct vfmig_fault_fd *fd);
bool vfmig_fault_fd_stalls(struct vfmig_fault_fd *fd);
int vfmig_fault_meet_call(struct vfmig_fault_fd *fd, struct vfmig_fault_io *io, bool nonblock);
int vfmig_fault_meet_record(struct vfmig_fault_fd *fd, u64 record, bool last);
bool vfmig_fault_is_next(struct vfmig_fault_fd *fd, u64 records);
size_t vfmig_fault_flips(struct vfmig_fault_fd *fd, u64 pos, size_t len, u8 *mask);

/* fault_report.c */
int vfmig_fault_meet_info(struct vfmig_fault_fd *fd, struct vfio_precopy_info *info, bool v2);
int vfmig_fault_meet_size(struct vfmig_faults *faults, unsigned long *size);
int vfmig_fault_meet_log(struct vfmig_faults *faults, enum vfmig_fault_point point,
			 struct vfmig_fault_log *log);
bool vfmig_fault_forgets(const struct vfmig_fault_log *log, u64 iova);

/* fault_fs.c */
void vfmig_fault_fs_add(struct vfmig_faults *faults, struct dentry *dir);

#endif /* _VFMIG_FAULT_H */
