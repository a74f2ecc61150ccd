/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The worker of a device: the place where the device does what a guest makes it do.
 *
 * A model embeds a &struct vfmig_worker and gives it one function, which does a bounded
 * piece of work.  A register access of a vCPU stores the value and kicks the worker.  The
 * worker runs in the process that has the VF open, so that process's cgroups account for
 * its CPU time and memory.
 */
#ifndef _VFMIG_MODEL_WORKER_H
#define _VFMIG_MODEL_WORKER_H

#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/workqueue.h>

struct mem_cgroup;
struct vfmig_fn;
struct vhost_task;

/* The place where a worker runs */
enum vfmig_worker_place {
	VFMIG_WORKER_NOWHERE,	/* the VF is not open */
	VFMIG_WORKER_IN_TASK,	/* in a thread of the process that uses the VF */
	VFMIG_WORKER_IN_QUEUE,	/* in a work queue: that process has ended, or no vhost_task */
	VFMIG_WORKER_SLOW,	/* the same, now and then: its heir can't have a thread */
};

/**
 * struct vfmig_worker - does the work of a device; a model accesses no member
 * @fn: the device's function; the thread has its name
 * @turn: does a piece of work, see vfmig_worker_init()
 * @model: argument of @turn
 * @flags: VFMIG_WORKER_KICKED; atomic
 * @turn_lock: held over each turn; protects @memcg
 * @memcg: memory cgroup that is charged for what a turn allocates, or NULL
 * @lock: protects @place and @task; taken in any context
 * @place: &enum vfmig_worker_place.  An open, a close and an adoption change it; the end of
 *	the process changes it from IN_TASK to IN_QUEUE, an adoption that fails from there to
 *	SLOW.
 * @task: the thread; with IN_QUEUE and SLOW one that has ended, or NULL
 * @work: the work for the work queue
 * @timer: kicks the worker, see vfmig_worker_arm()
 */
struct vfmig_worker {
	struct vfmig_fn *fn;
	bool (*turn)(void *model);
	void *model;
	unsigned long flags;

	struct mutex turn_lock;		/* memcg */
	struct mem_cgroup *memcg;

	spinlock_t lock;		/* place, task */
	enum vfmig_worker_place place;
	struct vhost_task *task;

	struct delayed_work work;
	struct hrtimer timer;
};

/**
 * vfmig_worker_init() - make a worker, which does not run yet
 * @worker: the worker
 * @fn: the device's function; NULL for a device that is never opened
 * @turn: Do a piece of work.  Returns true if there is more to do at once; the next turn then
 *	follows.  Otherwise the next turn follows a kick.  Called without a lock, and may
 *	sleep.  There is one turn at a time.  A device that is stopped has nothing to do.
 * @model: argument of @turn
 */
void vfmig_worker_init(struct vfmig_worker *worker, struct vfmig_fn *fn,
		       bool (*turn)(void *model), void *model);

/**
 * vfmig_worker_destroy() - undo vfmig_worker_init()
 * @worker: the worker; it is closed, or was never opened
 */
void vfmig_worker_destroy(struct vfmig_worker *worker);

/**
 * vfmig_worker_kick() - there may be something to do
 * @worker: the worker
 *
 * Anything that was written before is seen by a turn that follows.  Nothing happens if the
 * VF is not open.  Any context.
 */
void vfmig_worker_kick(struct vfmig_worker *worker);

/**
 * vfmig_worker_is_kicked() - was it kicked since the current turn began?
 * @worker: the worker
 *
 * For a turn that waits for something: it then returns true, and the next turn follows.
 *
 * Return: true if it was
 */
bool vfmig_worker_is_kicked(const struct vfmig_worker *worker);

/**
 * vfmig_worker_arm() - there will be something to do
 * @worker: the worker
 * @when: when to kick it, in CLOCK_MONOTONIC; replaces the time of the last call
 *
 * Called from a turn, or by a device that runs and whose lock is held: vfmig_worker_close() cancels
 * the timer when there are no more turns and the device does not run.
 */
void vfmig_worker_arm(struct vfmig_worker *worker, ktime_t when);

/**
 * vfmig_worker_charge() - call a function, and charge what it allocates as a turn's
 * @worker: the worker; there is no turn meanwhile
 * @fn: the function; may sleep
 * @model: its argument
 *
 * For what must be done although the process that has the VF open may be stopped.  Process context,
 * with no lock that a turn takes.
 */
void vfmig_worker_charge(struct vfmig_worker *worker, void (*fn)(void *model), void *model);

/**
 * vfmig_worker_open() - begin to run, in the current process
 * @worker: the worker
 *
 * What turns allocate from now on is charged to the process's memory cgroup.  It forks, and
 * a fork takes locks that the memory management nests outside of VFIO's memory_lock.  So the
 * caller may hold only what nobody waits for with the memory_lock of an open VF.
 *
 * Return: 0, or what a fork fails with.
 */
int vfmig_worker_open(struct vfmig_worker *worker);

/**
 * vfmig_worker_close() - end what vfmig_worker_open() began
 * @worker: the worker; the device is stopped, so its turns do nothing
 *
 * There is no turn after this.  Waits for the thread, which may be stopped by a signal, or
 * frozen with its cgroup.  So the caller holds no lock.
 */
void vfmig_worker_close(struct vfmig_worker *worker);

/**
 * vfmig_worker_enter() - the current process is about to access the VF, or to change its state
 * @worker: the worker, which is open
 *
 * If the process that had the thread has ended, the current one gets it.  If it can't have a
 * thread (RLIMIT_NPROC, pids.max, memory), a turn comes every 100 ms only, until an access of a
 * process that can: turns are not accounted to the process meanwhile, and not limited with it.
 * The caller holds no lock.
 */
void vfmig_worker_enter(struct vfmig_worker *worker);

/* The work queue of all workers; called at init and exit of the module */
int vfmig_workers_init(void);
void vfmig_workers_exit(void);

#endif /* _VFMIG_MODEL_WORKER_H */
