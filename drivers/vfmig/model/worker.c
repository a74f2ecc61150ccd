// SPDX-License-Identifier: GPL-2.0-only
/*
 * The worker of a device.
 *
 * A VF that is open has a thread in the process that opened it, as vhost devices have.  The
 * process's cgroups account for the thread's CPU time and memory, and limit them; its
 * priority, affinity and signals apply as well.  A VF that is not open has none.
 *
 * A file descriptor can outlive the process that opened the device: QEMU hands its
 * descriptors to its successor (cpr-transfer).  The thread then ends with the process, and a
 * work queue takes over until another process touches the VF, which gets the thread.  The
 * queue has little to do: nobody has rung a doorbell since the process ended.  A process that
 * may have no thread slows the device down, as the queue is not in its cgroups.
 *
 * The work queue does everything on a kernel without CONFIG_VHOST_TASK.
 */
#include <linux/err.h>
#include <linux/memcontrol.h>
#include <linux/printk.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/vhost_task.h>
#include <linux/string.h>
#include <linux/task_work.h>

#include "../fabric/fabric.h"
#include "compat.h"
#include "worker.h"

/* Bits of vfmig_worker.flags */
#define VFMIG_WORKER_KICKED	0	/* the thread may have work */

/* Between two turns for a process that can't have a thread: less than 1 % of a CPU */
#define VFMIG_WORKER_PAUSE	(HZ / 10)

static struct workqueue_struct *vfmig_worker_wq;

void vfmig_worker_kick(struct vfmig_worker *worker)
{
	unsigned long flags;

	set_bit(VFMIG_WORKER_KICKED, &worker->flags);
	spin_lock_irqsave(&worker->lock, flags);
	switch (worker->place) {
	case VFMIG_WORKER_NOWHERE:
		break;
	case VFMIG_WORKER_IN_TASK:
		if (IS_ENABLED(CONFIG_VHOST_TASK))
			vhost_task_wake(worker->task);
		break;
	case VFMIG_WORKER_IN_QUEUE:
		mod_delayed_work(vfmig_worker_wq, &worker->work, 0);
		break;
	case VFMIG_WORKER_SLOW:
		queue_delayed_work(vfmig_worker_wq, &worker->work, VFMIG_WORKER_PAUSE);
		break;
	}
	spin_unlock_irqrestore(&worker->lock, flags);
}

bool vfmig_worker_is_kicked(const struct vfmig_worker *worker)
{
	return test_bit(VFMIG_WORKER_KICKED, &worker->flags);
}

static enum hrtimer_restart worker_timer(struct hrtimer *timer)
{
	vfmig_worker_kick(container_of(timer, struct vfmig_worker, timer));
	return HRTIMER_NORESTART;
}

void vfmig_worker_arm(struct vfmig_worker *worker, ktime_t when)
{
	hrtimer_start(&worker->timer, when, HRTIMER_MODE_ABS);
}

/* True if there is more to do at once.  The caller has cleared VFMIG_WORKER_KICKED. */
static bool worker_turn(struct vfmig_worker *worker)
{
	struct mem_cgroup *memcg;
	bool more;

	guard(mutex)(&worker->turn_lock);
	memcg = set_active_memcg(worker->memcg);
	more = vfmig_fn_rewrite(worker->fn);
	more |= worker->turn(worker->model);
	more |= vfmig_fn_get_memory(worker->fn);
	set_active_memcg(memcg);
	return more;
}

void vfmig_worker_charge(struct vfmig_worker *worker, void (*fn)(void *model), void *model)
{
	struct mem_cgroup *memcg;

	guard(mutex)(&worker->turn_lock);
	memcg = set_active_memcg(worker->memcg);
	fn(model);
	set_active_memcg(memcg);
}

static void worker_work(struct work_struct *work)
{
	struct vfmig_worker *worker = container_of(work, struct vfmig_worker, work.work);
	bool more;

	/* A process that adopts a busy device kicks its thread, and pays from then on */
	do {
		test_and_clear_bit(VFMIG_WORKER_KICKED, &worker->flags);
		more = worker_turn(worker);
		cond_resched();
	} while (more && READ_ONCE(worker->place) == VFMIG_WORKER_IN_QUEUE);
	if (more)
		vfmig_worker_kick(worker);
}

/*
 * From 6.18 on the scheduler enforces cpu.max by task work, which runs on the way to user
 * space.  This thread never goes there.  A notification makes vhost_task run the work, with
 * no lock of ours held.
 */
static void let_task_work_run(void)
{
	if (task_work_pending(current))
		set_thread_flag(TIF_NOTIFY_SIGNAL);
}

/* False if there was nothing to do: the caller made the task sleep in advance */
static bool worker_task_fn(void *data)
{
	struct vfmig_worker *worker = data;

	if (!test_and_clear_bit(VFMIG_WORKER_KICKED, &worker->flags))
		return false;
	__set_current_state(TASK_RUNNING);
	if (worker_turn(worker))
		set_bit(VFMIG_WORKER_KICKED, &worker->flags);
	let_task_work_run();
	cond_resched();
	return true;
}

/*
 * The process was killed.  Called in the thread, which ends.  An open or a close may have
 * given the worker another place before.
 */
static void worker_task_killed(void *data)
{
	struct vfmig_worker *worker = data;

	scoped_guard(spinlock_irq, &worker->lock)
		if (worker->place == VFMIG_WORKER_IN_TASK)
			worker->place = VFMIG_WORKER_IN_QUEUE;
	vfmig_worker_kick(worker);
}

/* A thread of the current process, which waits to be started; or an ERR_PTR */
static struct vhost_task *new_task(struct vfmig_worker *worker)
{
	struct vhost_task *task;
	char name[TASK_COMM_LEN];

	/* Bus, device and function; all VFs are of one domain */
	snprintf(name, sizeof(name), "vfmig-%s", strchr(vfmig_fn_name(worker->fn), ':') + 1);
	task = vhost_task_create(worker_task_fn, worker_task_killed, worker, name);
	/* Kernels before 6.15 return NULL */
	return task ?: ERR_PTR(-ENOMEM);
}

/* Returns the thread that there was, or NULL */
static struct vhost_task *set_place(struct vfmig_worker *worker, enum vfmig_worker_place place,
				    struct vhost_task *task)
{
	scoped_guard(spinlock_irq, &worker->lock) {
		worker->place = place;
		swap(worker->task, task);
	}
	return task;
}

/* Charge what turns allocate from now on to @memcg, whose reference is the worker's */
static void set_memcg(struct vfmig_worker *worker, struct mem_cgroup *memcg)
{
	scoped_guard(mutex, &worker->turn_lock)
		swap(worker->memcg, memcg);
	mem_cgroup_put(memcg);
}

/* Has the process ended that had the thread? */
static bool is_orphan(const struct vfmig_worker *worker)
{
	enum vfmig_worker_place place = READ_ONCE(worker->place);

	return IS_ENABLED(CONFIG_VHOST_TASK) &&
	       (place == VFMIG_WORKER_IN_QUEUE || place == VFMIG_WORKER_SLOW);
}

/*
 * The current process can't have the thread.  Not much is done for it outside of its cgroups: a
 * turn now and then.  Without any, a device that has told the guest when to ring again would not
 * be accessed any more, and so never get a thread.
 */
static void slow_down(struct vfmig_worker *worker, int error)
{
	bool news;

	scoped_guard(spinlock_irq, &worker->lock) {
		news = worker->place == VFMIG_WORKER_IN_QUEUE;
		if (news)
			worker->place = VFMIG_WORKER_SLOW;
	}
	if (news)
		pr_warn_ratelimited("vfmig %s: slowed down: no thread in process %d (%s): error %d\n",
				    vfmig_fn_name(worker->fn), current->tgid, current->comm,
				    error);
}

/* The current process gets the thread, unless it has another user; returns what is to be ended */
static struct vhost_task *adopt(struct vfmig_worker *worker, struct vhost_task *task)
{
	struct mem_cgroup *memcg = get_mem_cgroup_from_mm(current->mm);

	scoped_guard(mutex, &worker->turn_lock) {
		if (is_orphan(worker)) {
			swap(worker->memcg, memcg);
			task = set_place(worker, VFMIG_WORKER_IN_TASK, task);
		}
	}
	mem_cgroup_put(memcg);
	return task;
}

void vfmig_worker_enter(struct vfmig_worker *worker)
{
	struct vhost_task *task, *old;

	if (likely(!is_orphan(worker)))
		return;
	task = new_task(worker);
	if (IS_ERR(task)) {
		/* A signal interrupts a fork.  The next access tries again. */
		if (!signal_pending(current))
			slow_down(worker, PTR_ERR(task));
		return;
	}
	old = adopt(worker, task);
	/* Also one that is not needed: it can end only after it began */
	vhost_task_start(task);
	vhost_task_stop(old);
	vfmig_worker_kick(worker);
}

int vfmig_worker_open(struct vfmig_worker *worker)
{
	struct vhost_task *task = IS_ENABLED(CONFIG_VHOST_TASK) ? new_task(worker) : NULL;

	if (IS_ERR(task))
		return PTR_ERR(task);
	set_memcg(worker, get_mem_cgroup_from_mm(current->mm));
	set_place(worker, task ? VFMIG_WORKER_IN_TASK : VFMIG_WORKER_IN_QUEUE, task);
	if (IS_ENABLED(CONFIG_VHOST_TASK))
		vhost_task_start(task);
	return 0;
}

void vfmig_worker_close(struct vfmig_worker *worker)
{
	struct vhost_task *task = set_place(worker, VFMIG_WORKER_NOWHERE, NULL);

	if (IS_ENABLED(CONFIG_VHOST_TASK) && task)
		vhost_task_stop(task);
	/* A turn may arm the timer; a kick of the timer does nothing any more */
	cancel_delayed_work_sync(&worker->work);
	hrtimer_cancel(&worker->timer);
	set_memcg(worker, NULL);
}

void vfmig_worker_init(struct vfmig_worker *worker, struct vfmig_fn *fn,
		       bool (*turn)(void *model), void *model)
{
	*worker = (struct vfmig_worker) { .fn = fn, .turn = turn, .model = model };
	mutex_init(&worker->turn_lock);
	spin_lock_init(&worker->lock);
	INIT_DELAYED_WORK(&worker->work, worker_work);
	vfmig_hrtimer_setup(&worker->timer, worker_timer);
}

void vfmig_worker_destroy(struct vfmig_worker *worker)
{
	mutex_destroy(&worker->turn_lock);
}

/* A busy worker keeps a thread of the work queue: there must be one for each VF */
int vfmig_workers_init(void)
{
	vfmig_worker_wq = alloc_workqueue("vfmig_worker", WQ_UNBOUND,
					  VFMIG_MAX_PFS * VFMIG_MAX_VFS);
	return vfmig_worker_wq ? 0 : -ENOMEM;
}

void vfmig_workers_exit(void)
{
	destroy_workqueue(vfmig_worker_wq);
}
