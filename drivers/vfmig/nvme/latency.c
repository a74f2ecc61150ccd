// SPDX-License-Identifier: GPL-2.0-only
/*
 * The latency of I/O commands: io_latency_us, from the doorbell to the execution.
 *
 * A command can stay in its queue for a long time before it is fetched, because the number of
 * requests is a quarter of the largest queue.  So a VF that has ever had a latency stores the
 * time of the doorbell for each entry.
 */
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>

#include "nvme.h"

#define VFMIG_NVME_ARRIVALS	(VFMIG_MAX_QUEUES * VFMIG_NVME_MAX_ENTRIES)

static u64 *arrival(const struct vfmig_nvme *ctrl, unsigned int sqid, u16 entry)
{
	return &ctrl->arrivals[(sqid - 1) * VFMIG_NVME_MAX_ENTRIES + entry];
}

/* The tail of queue @sqid moves from @from to @to.  Admin commands have no latency. */
void vfmig_nvme_note_arrivals(struct vfmig_nvme *ctrl, unsigned int sqid, u16 from, u16 to)
{
	u32 size = ctrl->sq[sqid].size;
	u64 now = ktime_get_ns();

	if (!sqid || !ctrl->arrivals)
		return;
	for (u16 entry = from; entry != to; entry = vfmig_nvme_next_entry(entry, size))
		*arrival(ctrl, sqid, entry) = now;
}

/* Time stood still for @paused ns, for commands that were not fetched too */
void vfmig_nvme_shift_arrivals(struct vfmig_nvme *ctrl, u64 paused)
{
	if (!ctrl->arrivals)
		return;
	for (unsigned int sqid = 1; sqid < VFMIG_NVME_QUEUES; sqid++) {
		const struct vfmig_nvme_sq *sq = &ctrl->sq[sqid];

		for (u16 entry = sq->head; entry != sq->tail;
		     entry = vfmig_nvme_next_entry(entry, sq->size)) {
			u64 *at = arrival(ctrl, sqid, entry);

			if (*at)
				*at += paused;
		}
	}
}

/* The queues are those of another device now */
void vfmig_nvme_forget_arrivals(struct vfmig_nvme *ctrl)
{
	if (ctrl->arrivals)
		memset(ctrl->arrivals, 0, VFMIG_NVME_ARRIVALS * sizeof(*ctrl->arrivals));
}

/*
 * Returns the time when the command in @entry of queue @sqid is due, ktime in ns, or 0 for at
 * once.  The latency counts from now if the time of the doorbell is unknown: the doorbell was
 * rung before the VF had a latency, or on the source of a migration.
 */
u64 vfmig_nvme_due(const struct vfmig_nvme *ctrl, unsigned int sqid, u16 entry)
{
	u64 latency = READ_ONCE(ctrl->io_latency_ns), begin = 0;

	if (!sqid || !latency)
		return 0;
	if (ctrl->arrivals)
		begin = *arrival(ctrl, sqid, entry);
	return (begin ?: ktime_get_ns()) + latency;
}

/*
 * Set the latency of later commands; any time.  If there is no memory for the times of doorbells,
 * it counts from the fetch.
 */
void vfmig_nvme_set_io_latency(void *vf, unsigned int us)
{
	struct vfmig_nvme *ctrl = vf;
	u64 *arrivals = NULL;

	if (us && !READ_ONCE(ctrl->arrivals))
		arrivals = kvcalloc(VFMIG_NVME_ARRIVALS, sizeof(*arrivals),
				    GFP_KERNEL | __GFP_NOWARN);
	scoped_guard(vfmig_nvme, ctrl) {
		WRITE_ONCE(ctrl->io_latency_ns, (u64)us * NSEC_PER_USEC);
		if (!ctrl->arrivals)
			swap(ctrl->arrivals, arrivals);
	}
	kvfree(arrivals);
}

unsigned int vfmig_nvme_get_io_latency(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	return div_u64(READ_ONCE(ctrl->io_latency_ns), NSEC_PER_USEC);
}
