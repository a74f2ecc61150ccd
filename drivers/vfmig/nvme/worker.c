// SPDX-License-Identifier: GPL-2.0-only
/*
 * The worker of a controller: where a guest's commands are executed.
 *
 * A VF that is open has a thread in the process that opened it, as vhost devices have.  The
 * process's cgroups account for the thread's CPU time and memory, and limit them; its
 * priority, affinity and signals apply as well.  A VF that is not open has none.
 *
 * A file descriptor can outlive the process that opened the device: QEMU hands its
 * descriptors to its successor (cpr-transfer).  The thread then ends with the process, and a
 * work queue takes over until another process touches the VF, which gets the thread.  The
 * work queue does everything on a kernel without CONFIG_VHOST_TASK.
 */
#include <linux/err.h>
#include <linux/memcontrol.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/vhost_task.h>
#include <linux/task_work.h>

#include "compat.h"
#include "nvme.h"

static struct workqueue_struct *vfmig_nvme_wq;

/* There may be something to do.  Any context. */
void vfmig_nvme_kick(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_worker *worker = &ctrl->worker;
	unsigned long flags;

	set_bit(VFMIG_NVME_KICKED, &worker->flags);
	spin_lock_irqsave(&worker->lock, flags);
	switch (worker->place) {
	case VFMIG_NVME_NOWHERE:
		break;
	case VFMIG_NVME_IN_TASK:
		if (IS_ENABLED(CONFIG_VHOST_TASK))
			vhost_task_wake(worker->task);
		break;
	case VFMIG_NVME_IN_QUEUE:
		queue_work(vfmig_nvme_wq, &worker->work);
		break;
	}
	spin_unlock_irqrestore(&worker->lock, flags);
}

static enum hrtimer_restart worker_timer(struct hrtimer *timer)
{
	vfmig_nvme_kick(container_of(timer, struct vfmig_nvme, worker.timer));
	return HRTIMER_NORESTART;
}

/* Start the worker when there will be something to do */
static void arm_timer(struct vfmig_nvme *ctrl)
{
	u64 due = vfmig_nvme_next_due(ctrl);

	if (due != U64_MAX)
		hrtimer_start(&ctrl->worker.timer, ns_to_ktime(due), HRTIMER_MODE_ABS);
}

/* One batch; true if there is more to do at once */
static bool worker_batch(struct vfmig_nvme *ctrl)
{
	struct mem_cgroup *memcg;
	bool more;

	guard(mutex)(&ctrl->lock);
	if (ctrl->running != VFMIG_NVME_RUNNING)
		return false;

	memcg = set_active_memcg(ctrl->memcg);
	vfmig_nvme_take_registers(ctrl);
	more = vfmig_nvme_process(ctrl);
	vfmig_nvme_flush_irqs(ctrl);
	set_active_memcg(memcg);

	if (!more)
		arm_timer(ctrl);
	return more;
}

/* Commands, and a piece of what an erase left to free; true if there is more to do at once */
static bool worker_turn(struct vfmig_nvme *ctrl)
{
	bool more = worker_batch(ctrl);

	return vfmig_memory_free_erased(&ctrl->media) || more;
}

static void worker_work(struct work_struct *work)
{
	struct vfmig_nvme *ctrl = container_of(work, struct vfmig_nvme, worker.work);

	while (worker_turn(ctrl))
		cond_resched();
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
	struct vfmig_nvme *ctrl = data;

	if (!test_and_clear_bit(VFMIG_NVME_KICKED, &ctrl->worker.flags))
		return false;
	__set_current_state(TASK_RUNNING);
	if (worker_turn(ctrl))
		set_bit(VFMIG_NVME_KICKED, &ctrl->worker.flags);
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
	struct vfmig_nvme *ctrl = data;

	scoped_guard(spinlock_irq, &ctrl->worker.lock)
		if (ctrl->worker.place == VFMIG_NVME_IN_TASK)
			ctrl->worker.place = VFMIG_NVME_IN_QUEUE;
	vfmig_nvme_kick(ctrl);
}

/*
 * A thread of the current process, which waits to be started; or an ERR_PTR.  The fork takes
 * locks that the memory management nests outside of VFIO's memory_lock.  So nothing may be
 * held that somebody with the memory_lock of an open VF waits for.
 */
static struct vhost_task *new_task(struct vfmig_nvme *ctrl)
{
	struct vhost_task *task;
	char name[TASK_COMM_LEN];

	/* Bus, device and function; all VFs are of one domain */
	snprintf(name, sizeof(name), "vfmig-%s", strchr(vfmig_fn_name(ctrl->fn), ':') + 1);
	task = vhost_task_create(worker_task_fn, worker_task_killed, ctrl, name);
	/* Kernels before 6.15 return NULL */
	return task ?: ERR_PTR(-ENOMEM);
}

/* Returns the thread that there was, or NULL */
static struct vhost_task *set_place(struct vfmig_nvme *ctrl, enum vfmig_nvme_place place,
				    struct vhost_task *task)
{
	scoped_guard(spinlock_irq, &ctrl->worker.lock) {
		ctrl->worker.place = place;
		swap(ctrl->worker.task, task);
	}
	return task;
}

/* Has the process ended that had the thread? */
static bool is_orphan(const struct vfmig_nvme *ctrl)
{
	return IS_ENABLED(CONFIG_VHOST_TASK) &&
	       READ_ONCE(ctrl->worker.place) == VFMIG_NVME_IN_QUEUE;
}

/* The current process gets the thread, unless it has another user; returns what is to be ended */
static struct vhost_task *adopt(struct vfmig_nvme *ctrl, struct vhost_task *task)
{
	struct mem_cgroup *memcg;

	guard(mutex)(&ctrl->client_lock);
	if (!is_orphan(ctrl))
		return task;
	memcg = get_mem_cgroup_from_mm(current->mm);
	scoped_guard(vfmig_nvme, ctrl)
		swap(ctrl->memcg, memcg);
	mem_cgroup_put(memcg);
	return set_place(ctrl, VFMIG_NVME_IN_TASK, task);
}

/*
 * The current process is about to access the VF.  If the process that had the thread has
 * ended, the current one gets it; if that fails, the work queue goes on until the next
 * access.
 */
void vfmig_nvme_worker_enter(void *vf)
{
	struct vfmig_nvme *ctrl = vf;
	struct vhost_task *task, *old;

	if (likely(!is_orphan(ctrl)))
		return;
	task = new_task(ctrl);
	if (IS_ERR(task))
		return;
	old = adopt(ctrl, task);
	/* Also one that is not needed: it can end only after it began */
	vhost_task_start(task);
	vhost_task_stop(old);
	vfmig_nvme_kick(ctrl);
}

/*
 * The current process opens the VF; client_lock is held, and nobody has its memory_lock before
 * it is open.  What a fork fails with.
 */
int vfmig_nvme_worker_open(struct vfmig_nvme *ctrl)
{
	struct vhost_task *task;

	if (!IS_ENABLED(CONFIG_VHOST_TASK)) {
		set_place(ctrl, VFMIG_NVME_IN_QUEUE, NULL);
		return 0;
	}
	task = new_task(ctrl);
	if (IS_ERR(task))
		return PTR_ERR(task);
	set_place(ctrl, VFMIG_NVME_IN_TASK, task);
	vhost_task_start(task);
	return 0;
}

/*
 * The VF is closed, and frozen.  Nothing is executed after this.  Waits for the thread, which
 * may be stopped by a signal, or frozen with its cgroup: no lock is held.
 */
void vfmig_nvme_worker_close(struct vfmig_nvme *ctrl)
{
	struct vhost_task *task = set_place(ctrl, VFMIG_NVME_NOWHERE, NULL);

	if (IS_ENABLED(CONFIG_VHOST_TASK) && task)
		vhost_task_stop(task);
	hrtimer_cancel(&ctrl->worker.timer);
	cancel_work_sync(&ctrl->worker.work);
}

void vfmig_nvme_worker_init(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_worker *worker = &ctrl->worker;

	spin_lock_init(&worker->lock);
	INIT_WORK(&worker->work, worker_work);
	vfmig_hrtimer_setup(&worker->timer, worker_timer);
}

/* The work queue of all controllers.  A busy one keeps its worker: there must be one each. */
int vfmig_nvme_workers_init(void)
{
	vfmig_nvme_wq = alloc_workqueue("vfmig_nvme", WQ_UNBOUND, VFMIG_MAX_PFS * VFMIG_MAX_VFS);
	return vfmig_nvme_wq ? 0 : -ENOMEM;
}

void vfmig_nvme_workers_exit(void)
{
	destroy_workqueue(vfmig_nvme_wq);
}
