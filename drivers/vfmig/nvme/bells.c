// SPDX-License-Identifier: GPL-2.0-only
/*
 * The doorbells that users map, see map.c.
 *
 * A doorbell in the page has the value that was written to it last, or VFMIG_NVME_NOT_RUNG if the
 * controller has taken that.
 *
 * What is taken from the page goes to the latch of the registers, like a write that was trapped,
 * and before any write that is trapped later.
 */
#include <linux/atomic.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "nvme.h"

#define VFMIG_NVME_NOT_RUNG	U32_MAX
#define VFMIG_NVME_SLOTS	(PAGE_SIZE / sizeof(u32))
/* Those that are doorbells.  Beyond them there is no register. */
#define VFMIG_NVME_BELLS	(2 * VFMIG_NVME_QUEUES)

/*
 * Take what was stored, with the latch's lock held.  Returns true if there was anything: the
 * worker, which may be looking at the page, does not find it there any more.
 */
bool vfmig_nvme_take_bells(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_latch *latch = &ctrl->latch;
	u32 *slots = ctrl->map.bells.words;
	bool used = false;

	if (!READ_ONCE(ctrl->map.bells.in_use))
		return false;
	for (unsigned int i = 0; i < VFMIG_NVME_BELLS; i++) {
		u32 value = READ_ONCE(slots[i]);

		if (value == VFMIG_NVME_NOT_RUNG)
			continue;
		value = xchg(&slots[i], VFMIG_NVME_NOT_RUNG);
		used = true;
		if (!(latch->cc & NVME_CC_ENABLE))
			continue;
		latch->doorbell[i] = value;
		__set_bit(i, latch->rung);
	}
	if (used)
		vfmig_nvme_map_is_used(ctrl);
	return used;
}

/* Drop what was stored, if there is a page, with the latch's lock held */
void vfmig_nvme_drop_bells(struct vfmig_nvme *ctrl)
{
	u32 *slots = ctrl->map.bells.words;

	for (unsigned int i = 0; slots && i < VFMIG_NVME_SLOTS; i++)
		WRITE_ONCE(slots[i], VFMIG_NVME_NOT_RUNG);
}

/* Is there anything for the worker?  A head is news only where something waits for room. */
bool vfmig_nvme_rung(const struct vfmig_nvme *ctrl)
{
	const u32 *slots = ctrl->map.bells.words;
	unsigned int step = bitmap_empty(ctrl->full, VFMIG_NVME_QUEUES) ? 2 : 1;

	for (unsigned int i = 0; i < 2 * (ctrl->queues + 1U); i += step)
		if (READ_ONCE(slots[i]) != VFMIG_NVME_NOT_RUNG)
			return true;
	return false;
}

/* Was anything stored to one of the @count slots from @first on? */
static bool has_stores(const struct vfmig_nvme *ctrl, unsigned int first, unsigned int count)
{
	return memchr_inv(&ctrl->map.bells.words[first], 0xff, count * sizeof(u32));
}

static void report_scribble(struct vfmig_nvme *ctrl)
{
	spin_lock(&ctrl->latch.lock);
	memset32(&ctrl->map.bells.words[VFMIG_NVME_BELLS], VFMIG_NVME_NOT_RUNG,
		 VFMIG_NVME_SLOTS - VFMIG_NVME_BELLS);
	if (!ctrl->latch.frozen && (ctrl->latch.cc & NVME_CC_ENABLE))
		ctrl->latch.flags |= VFMIG_NVME_BAD_DOORBELL;
	spin_unlock(&ctrl->latch.lock);
}

/* The page is not mapped any more; returns true if there was a store before that */
bool vfmig_nvme_check_bells(struct vfmig_nvme *ctrl)
{
	if (has_stores(ctrl, VFMIG_NVME_BELLS, VFMIG_NVME_SLOTS - VFMIG_NVME_BELLS)) {
		report_scribble(ctrl);
		return true;
	}
	return has_stores(ctrl, 0, VFMIG_NVME_BELLS);
}
