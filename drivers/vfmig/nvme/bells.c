// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells that users map, so that a guest rings without an exit.
 *
 * Behind the page with the doorbells is a page of memory.  A doorbell there has the value that
 * was written to it last, or VFMIG_NVME_NOT_RUNG if the controller has taken that.  Nobody hears
 * a store to it, so the worker polls the page for a while after the last store.  Then it takes
 * all mappings away, looks at the page once more, and sleeps.  The next store faults, which maps
 * the page again and wakes the worker.  So no store is lost, and an idle VF costs nothing.  What
 * another device stores to a page that the user has pinned does not fault: the worker finds it in
 * its next turn.
 *
 * What is taken from the page goes to the latch of the registers, like a write that was trapped,
 * and before any write that is trapped later.
 */
#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/processor.h>
#include <linux/range.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include "nvme.h"

#define VFMIG_NVME_NOT_RUNG	U32_MAX
#define VFMIG_NVME_SLOTS	(PAGE_SIZE / sizeof(u32))
/* Those that are doorbells.  Beyond them there is no register. */
#define VFMIG_NVME_BELLS	(2 * VFMIG_NVME_QUEUES)

/* The worker first polls for this long after a store, and twice as long if that was too short */
#define VFMIG_NVME_MIN_POLL_NS	(10 * NSEC_PER_USEC)

/*
 * A thread that has touched the page and has not stored yet may wait for a CPU.  It gets so much
 * time before the worker takes the mapping away.
 */
#define VFMIG_NVME_GRACE_NS	(500 * NSEC_PER_USEC)

/*
 * Each user of the VF gets a page of its own: a user may have pinned the page, for DMA of another
 * device for example, and a pin may last longer than the user has the VF.  Called before the
 * worker runs.
 */
int vfmig_nvme_bells_open(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_bells *bells = &ctrl->bells;
	struct page *page = alloc_page(GFP_KERNEL_ACCOUNT);

	if (!page)
		return -ENOMEM;
	memset32(page_address(page), VFMIG_NVME_NOT_RUNG, VFMIG_NVME_SLOTS);
	scoped_guard(spinlock, &ctrl->latch.lock) {
		swap(bells->page, page);
		bells->slots = page_address(bells->page);
		bells->in_use = false;
		bells->mapped = false;
		bells->parked_at = 0;
		bells->poll_ns = 0;
	}
	if (page)
		put_page(page);
	return 0;
}

void vfmig_nvme_bells_destroy(struct vfmig_nvme_bells *bells)
{
	if (bells->page)
		put_page(bells->page);
}

void vfmig_nvme_set_doorbell_poll(void *vf, unsigned int us)
{
	struct vfmig_nvme *ctrl = vf;

	WRITE_ONCE(ctrl->bells.max_poll_ns, us * NSEC_PER_USEC);
}

unsigned int vfmig_nvme_get_doorbell_poll(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	return div_u64(READ_ONCE(ctrl->bells.max_poll_ns), NSEC_PER_USEC);
}

/* A single CPU would have to poll while the guest waits for it */
bool vfmig_nvme_map_area(void *vf, unsigned int bar, struct range *area)
{
	struct vfmig_nvme *ctrl = vf;

	if (bar || PAGE_SIZE > NVME_REG_DBS || !READ_ONCE(ctrl->bells.max_poll_ns) ||
	    num_online_cpus() == 1)
		return false;
	area->start = NVME_REG_DBS;
	area->end = NVME_REG_DBS + PAGE_SIZE - 1;
	return true;
}

/* Would the worker have seen this store if it had polled longer?  If so, it will next time. */
static void adapt(struct vfmig_nvme_bells *bells, u64 now)
{
	u64 max = READ_ONCE(bells->max_poll_ns), poll = READ_ONCE(bells->poll_ns);

	if (now - READ_ONCE(bells->parked_at) < max)
		poll = min(2 * poll, max);
	else
		poll /= 2;
	WRITE_ONCE(bells->poll_ns, max_t(u64, poll, VFMIG_NVME_MIN_POLL_NS));
}

struct page *vfmig_nvme_map(void *vf, unsigned int bar, u64 offset)
{
	struct vfmig_nvme *ctrl = vf;
	struct vfmig_nvme_bells *bells = &ctrl->bells;
	u64 now = ktime_get_ns();

	if (!READ_ONCE(bells->mapped))
		adapt(bells, now);
	WRITE_ONCE(bells->active_at, now);
	WRITE_ONCE(bells->unused, true);
	WRITE_ONCE(bells->in_use, true);
	WRITE_ONCE(bells->mapped, true);
	vfmig_worker_kick(&ctrl->worker);
	return bells->page;
}

/* Take what was stored, with the latch's lock held */
void vfmig_nvme_take_bells(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_latch *latch = &ctrl->latch;
	struct vfmig_nvme_bells *bells = &ctrl->bells;
	bool used = false;

	if (!READ_ONCE(bells->in_use))
		return;
	for (unsigned int i = 0; i < VFMIG_NVME_BELLS; i++) {
		u32 value = READ_ONCE(bells->slots[i]);

		if (value == VFMIG_NVME_NOT_RUNG)
			continue;
		value = xchg(&bells->slots[i], VFMIG_NVME_NOT_RUNG);
		used = true;
		if (!(latch->cc & NVME_CC_ENABLE))
			continue;
		latch->doorbell[i] = value;
		__set_bit(i, latch->rung);
	}
	if (!used)
		return;
	WRITE_ONCE(bells->active_at, ktime_get_ns());
	WRITE_ONCE(bells->unused, false);
}

/* Drop what was stored, with the latch's lock held */
void vfmig_nvme_drop_bells(struct vfmig_nvme *ctrl)
{
	if (!READ_ONCE(ctrl->bells.in_use))
		return;
	for (unsigned int i = 0; i < VFMIG_NVME_SLOTS; i++)
		WRITE_ONCE(ctrl->bells.slots[i], VFMIG_NVME_NOT_RUNG);
}

/* Is there anything for the worker?  A head is news only where something waits for room. */
static bool rung(const struct vfmig_nvme *ctrl)
{
	const u32 *slots = ctrl->bells.slots;
	unsigned int step = bitmap_empty(ctrl->full, VFMIG_NVME_QUEUES) ? 2 : 1;

	for (unsigned int i = 0; i < 2 * (ctrl->queues + 1U); i += step)
		if (READ_ONCE(slots[i]) != VFMIG_NVME_NOT_RUNG)
			return true;
	return false;
}

/* Returns true if something was stored, or another thread has work for the worker */
static bool poll(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_bells *bells = &ctrl->bells;
	u64 until = READ_ONCE(bells->active_at) +
		    min(READ_ONCE(bells->poll_ns), READ_ONCE(bells->max_poll_ns));

	do {
		if (rung(ctrl) || vfmig_worker_is_kicked(&ctrl->worker))
			return true;
		cond_resched();
		cpu_relax();
	} while (ktime_get_ns() < until);
	return false;
}

/* Was anything stored to one of the @count slots from @first on? */
static bool has_stores(const struct vfmig_nvme_bells *bells, unsigned int first,
		       unsigned int count)
{
	return memchr_inv(&bells->slots[first], 0xff, count * sizeof(*bells->slots));
}

static void report_scribble(struct vfmig_nvme *ctrl)
{
	spin_lock(&ctrl->latch.lock);
	memset32(&ctrl->bells.slots[VFMIG_NVME_BELLS], VFMIG_NVME_NOT_RUNG,
		 VFMIG_NVME_SLOTS - VFMIG_NVME_BELLS);
	if (!ctrl->latch.frozen && (ctrl->latch.cc & NVME_CC_ENABLE))
		ctrl->latch.flags |= VFMIG_NVME_BAD_DOORBELL;
	spin_unlock(&ctrl->latch.lock);
}

/* Take the mappings away; returns true if there was a store before that */
static bool park(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_bells *bells = &ctrl->bells;

	WRITE_ONCE(bells->parked_at, ktime_get_ns());
	/* First: a fault that comes before the end of unmap() sets it again, and kicks */
	WRITE_ONCE(bells->mapped, false);
	bells->client->unmap(bells->client_data);

	if (has_stores(bells, VFMIG_NVME_BELLS, VFMIG_NVME_SLOTS - VFMIG_NVME_BELLS)) {
		report_scribble(ctrl);
		return true;
	}
	return has_stores(bells, 0, VFMIG_NVME_BELLS);
}

/*
 * The worker has the lock, and is about to do its work.  It may wait for bells after that if the VF
 * runs.  A close waits for the worker, so the client is there until the turn is over.
 */
void vfmig_nvme_watch_bells(struct vfmig_nvme *ctrl)
{
	ctrl->bells.client = vfmig_is_running(&ctrl->running) ? ctrl->client : NULL;
	ctrl->bells.client_data = ctrl->client_data;
}

/*
 * The worker has nothing to do: wait for a store.  Returns true if it has something to do, and
 * false if it may sleep.  Called without a lock.  While a VF does not run, what is stored stays
 * in the page; the worker is kicked when it runs again.
 */
bool vfmig_nvme_wait_for_bells(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_bells *bells = &ctrl->bells;
	u64 grace;

	if (!READ_ONCE(bells->mapped) || !bells->client)
		return false;
	if (poll(ctrl))
		return true;
	grace = READ_ONCE(bells->active_at) + VFMIG_NVME_GRACE_NS;
	if (READ_ONCE(bells->unused) && ktime_get_ns() < grace) {
		vfmig_worker_arm(&ctrl->worker, ns_to_ktime(min(grace, ctrl->next_due)));
		return false;
	}
	return park(ctrl);
}
