// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long an I/O command takes: io_latency_us, from its doorbell to its execution.
 *
 * A command can be in its queue for long before it is fetched, as there are requests for a
 * quarter of the largest queue only.  So the time of the doorbell is kept for each entry, on
 * a VF that has ever had a latency.
 */
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "nvme.h"

static u64 *arrival(const struct vfmig_nvme *ctrl, unsigned int sqid, u16 entry)
{
	return &ctrl->arrivals[(sqid - 1) * VFMIG_NVME_MAX_ENTRIES + entry];
}

/* The tail of queue @sqid goes from @from to @to.  Admin commands have no latency. */
void vfmig_nvme_note_arrivals(struct vfmig_nvme *ctrl, unsigned int sqid, u16 from, u16 to)
{
	u32 size = ctrl->sq[sqid].size;
	u64 now = ktime_get_ns();

	if (!sqid || !ctrl->arrivals)
		return;
	for (u16 entry = from; entry != to; entry = vfmig_nvme_next_entry(entry, size))
		*arrival(ctrl, sqid, entry) = now;
}

/*
 * When the command in @entry of queue @sqid is due, ktime in ns, or 0 for at once.  It counts
 * from now where the doorbell was rung before there was a latency, or elsewhere.
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

/* From the next command on; any time.  Without memory it counts from the fetch on. */
void vfmig_nvme_set_io_latency(void *vf, unsigned int us)
{
	struct vfmig_nvme *ctrl = vf;
	u64 *arrivals = NULL;

	if (us && !READ_ONCE(ctrl->arrivals))
		arrivals = kvcalloc(VFMIG_MAX_QUEUES * VFMIG_NVME_MAX_ENTRIES,
				    sizeof(*arrivals), GFP_KERNEL);
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
