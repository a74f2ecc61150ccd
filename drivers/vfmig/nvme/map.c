// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of BAR 0 that users map, so that a guest accesses them without an exit.
 *
 * A page of memory is behind each of them.  Nobody hears a store to it, so the worker polls the
 * memory for a while after the last store.  Then it takes all mappings away, looks at the memory
 * once more, and sleeps.  The next access faults, which maps the page again and wakes the worker.
 * So no store is lost, and an idle VF costs nothing.  What another device stores to a page that
 * the user has pinned does not fault: the worker finds it in its next turn.
 *
 * This file has the life of the mappings.  What is in the pages, and what a store to one means, is
 * in bells.c and regs_page.c.
 */
#include <linux/gfp.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/processor.h>
#include <linux/range.h>
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "nvme.h"

/* The worker first polls for this long after a store, and twice as long if that was too short */
#define VFMIG_NVME_MIN_POLL_NS	(10 * NSEC_PER_USEC)

/*
 * A thread that has touched the page and has not stored yet may wait for a CPU.  It gets so much
 * time before the worker takes the mapping away.
 */
#define VFMIG_NVME_GRACE_NS	(500 * NSEC_PER_USEC)

static bool page_alloc(struct vfmig_nvme_page *page)
{
	page->page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	page->words = page->page ? page_address(page->page) : NULL;
	page->in_use = false;
	return page->page;
}

static void page_free(const struct vfmig_nvme_page *page)
{
	if (page->page)
		put_page(page->page);
}

/*
 * Each user of the VF gets pages of its own: a user may have pinned a page, for DMA of another
 * device for example, and a pin may last longer than the user has the VF.  Called before the
 * worker runs.
 */
int vfmig_nvme_map_open(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_map *map = &ctrl->map;
	struct vfmig_nvme_page bells, regs;

	if (!page_alloc(&bells))
		return -ENOMEM;
	if (!page_alloc(&regs)) {
		page_free(&bells);
		return -ENOMEM;
	}
	scoped_guard(spinlock, &ctrl->latch.lock) {
		swap(map->bells, bells);
		swap(map->regs, regs);
		vfmig_nvme_drop_bells(ctrl);
		vfmig_nvme_drop_regs(ctrl);
		map->mapped = false;
		map->parked_at = 0;
		map->poll_ns = 0;
	}
	page_free(&bells);
	page_free(&regs);
	return 0;
}

void vfmig_nvme_map_destroy(struct vfmig_nvme_map *map)
{
	page_free(&map->bells);
	page_free(&map->regs);
}

void vfmig_nvme_set_doorbell_poll(void *vf, unsigned int us)
{
	struct vfmig_nvme *ctrl = vf;

	WRITE_ONCE(ctrl->map.max_poll_ns, us * NSEC_PER_USEC);
}

unsigned int vfmig_nvme_get_doorbell_poll(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	return div_u64(READ_ONCE(ctrl->map.max_poll_ns), NSEC_PER_USEC);
}

void vfmig_nvme_set_map_registers(void *vf, unsigned int value)
{
	struct vfmig_nvme *ctrl = vf;

	WRITE_ONCE(ctrl->map.registers, value);
}

/* A single CPU would have to poll while the guest waits for it */
bool vfmig_nvme_map_area(void *vf, unsigned int bar, struct range *area)
{
	struct vfmig_nvme *ctrl = vf;

	if (bar || PAGE_SIZE > NVME_REG_DBS || !READ_ONCE(ctrl->map.max_poll_ns) ||
	    num_online_cpus() == 1)
		return false;
	area->start = READ_ONCE(ctrl->map.registers) ? 0 : NVME_REG_DBS;
	area->end = NVME_REG_DBS + PAGE_SIZE - 1;
	return true;
}

/* Would the worker have seen this store if it had polled longer?  If so, it will next time. */
static void adapt(struct vfmig_nvme_map *map, u64 now)
{
	u64 max = READ_ONCE(map->max_poll_ns), poll = READ_ONCE(map->poll_ns);

	if (now - READ_ONCE(map->parked_at) < max)
		poll = min(2 * poll, max);
	else
		poll /= 2;
	WRITE_ONCE(map->poll_ns, max_t(u64, poll, VFMIG_NVME_MIN_POLL_NS));
}

/* A page that is touched for the first time since the open shows what is so now */
static void begin_use(struct vfmig_nvme *ctrl, struct vfmig_nvme_page *page)
{
	spin_lock(&ctrl->latch.lock);
	if (!page->in_use && page == &ctrl->map.regs)
		vfmig_nvme_drop_regs(ctrl);
	WRITE_ONCE(page->in_use, true);
	spin_unlock(&ctrl->latch.lock);
}

struct page *vfmig_nvme_map_page(void *vf, unsigned int bar, u64 offset)
{
	struct vfmig_nvme *ctrl = vf;
	struct vfmig_nvme_map *map = &ctrl->map;
	struct vfmig_nvme_page *page = offset < NVME_REG_DBS ? &map->regs : &map->bells;
	u64 now = ktime_get_ns();

	if (!READ_ONCE(map->mapped))
		adapt(map, now);
	WRITE_ONCE(map->active_at, now);
	WRITE_ONCE(map->unused, true);
	begin_use(ctrl, page);
	WRITE_ONCE(map->mapped, true);
	vfmig_worker_kick(&ctrl->worker);
	return page->page;
}

/* A store was found: more may follow */
void vfmig_nvme_map_is_used(struct vfmig_nvme *ctrl)
{
	WRITE_ONCE(ctrl->map.active_at, ktime_get_ns());
	WRITE_ONCE(ctrl->map.unused, false);
}

/* Returns true if something was stored, or another thread has work for the worker */
static bool poll(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_map *map = &ctrl->map;
	u64 until = READ_ONCE(map->active_at) +
		    min(READ_ONCE(map->poll_ns), READ_ONCE(map->max_poll_ns));

	do {
		if (vfmig_nvme_rung(ctrl) || vfmig_nvme_regs_are_stored(ctrl) ||
		    vfmig_worker_is_kicked(&ctrl->worker))
			return true;
		cond_resched();
		cpu_relax();
	} while (ktime_get_ns() < until);
	return false;
}

/* Take the mappings away; returns true if there was a store before that */
static bool park(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_map *map = &ctrl->map;
	bool stored;

	WRITE_ONCE(map->parked_at, ktime_get_ns());
	/* First: a fault that comes before the end of unmap() sets it again, and kicks */
	WRITE_ONCE(map->mapped, false);
	map->client->unmap(map->client_data);
	stored = vfmig_nvme_check_bells(ctrl);
	return vfmig_nvme_check_regs(ctrl) || stored;
}

/*
 * The worker has the lock, and is about to do its work.  It may wait for stores after that if the
 * VF runs.  A close waits for the worker, so the client is there until the turn is over.
 */
void vfmig_nvme_map_watch(struct vfmig_nvme *ctrl)
{
	ctrl->map.client = vfmig_is_running(&ctrl->running) ? ctrl->client.ops : NULL;
	ctrl->map.client_data = ctrl->client.data;
}

/*
 * The worker has nothing to do: wait for a store.  Returns true if it has something to do, and
 * false if it may sleep.  Called without a lock.  While a VF does not run, what is stored stays
 * in the page; the worker is kicked when it runs again.
 */
bool vfmig_nvme_map_wait(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_map *map = &ctrl->map;
	u64 grace;

	if (!READ_ONCE(map->mapped) || !map->client)
		return false;
	if (poll(ctrl))
		return true;
	grace = READ_ONCE(map->active_at) + VFMIG_NVME_GRACE_NS;
	if (READ_ONCE(map->unused) && ktime_get_ns() < grace) {
		vfmig_worker_arm(&ctrl->worker, ns_to_ktime(min(grace, ctrl->next_due)));
		return false;
	}
	return park(ctrl);
}
