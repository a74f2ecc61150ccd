// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of arcs: what is to happen to one, and the wait of one that takes a while.
 */
#include <linux/minmax.h>
#include <linux/sched/signal.h>

#include "fault_list.h"

static bool vfmig_fault_is_at(const struct vfmig_fault *fault, enum vfio_device_mig_state from,
			      enum vfio_device_mig_state to)
{
	return (fault->from == VFMIG_FAULT_ANY_STATE || fault->from == from) &&
	       (fault->to == VFMIG_FAULT_ANY_STATE || fault->to == to);
}

/* Delays come first, so those after a failure count too, up to it */
static void vfmig_fault_take(struct vfmig_fault_arc *arc, const struct vfmig_fault *fault)
{
	switch (fault->action) {
	case VFMIG_FAULT_ERRNO:
		arc->ret = -(int)fault->value;
		break;
	case VFMIG_FAULT_ERROR:
		arc->ret = -ENOTRECOVERABLE;
		break;
	case VFMIG_FAULT_RESET:
		arc->reset = true;
		break;
	default:
		if (fault->value > arc->delay) {
			arc->delay = fault->value;
			arc->delay_id = fault->id;
		}
	}
}

/* What happens to this arc?  Fills in @arc. */
void vfmig_fault_meet_arc(struct vfmig_faults *faults, enum vfio_device_mig_state from,
			  enum vfio_device_mig_state to, struct vfmig_fault_arc *arc)
{
	struct vfmig_fault *fault;

	*arc = (struct vfmig_fault_arc) {};
	spin_lock(&faults->lock);
	list_for_each_entry(fault, &faults->list, node) {
		bool fails = fault->action != VFMIG_FAULT_DELAY;

		/* Of those that end the arc, the first does */
		if (fault->point != VFMIG_FAULT_ARC || (fails && (arc->ret || arc->reset)))
			continue;
		if (vfmig_fault_is_at(fault, from, to) && vfmig_fault_happens(faults, fault))
			vfmig_fault_take(arc, fault);
	}
	spin_unlock(&faults->lock);
}

/*
 * Waits as long as @arc says, or until *@upsets is not @seen any more, or the fault is cleared.
 * The caller holds no lock.  Returns -EINTR on a fatal signal.
 */
int vfmig_fault_delay(struct vfmig_faults *faults, const struct vfmig_fault_arc *arc,
		      const unsigned int *upsets, unsigned int seen)
{
	u64 end = ktime_get_ns() + (u64)arc->delay * NSEC_PER_MSEC;
	unsigned long left;

	while ((left = vfmig_fault_until(end)) && vfmig_fault_is_set(faults, arc->delay_id)) {
		long ret;

		ret = wait_event_killable_timeout(faults->wait, READ_ONCE(*upsets) != seen,
						  min(left, VFMIG_FAULT_LOOK));
		if (ret < 0)
			return -EINTR;
		if (ret)
			break;
	}
	return 0;
}
