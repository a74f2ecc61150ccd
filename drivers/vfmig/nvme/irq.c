// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of the completion queues.  One costs a guest more than a command does, so the
 * completions of a batch share one.
 */
#include <linux/timekeeping.h>

#include "nvme.h"

/* A completion is older than this at most when its interrupt is raised, or a burst has begun */
#define VFMIG_NVME_IRQ_DELAY_NS	(50 * NSEC_PER_USEC)

/* Entries were posted to @cq */
void vfmig_nvme_want_irq(struct vfmig_nvme *ctrl, const struct vfmig_nvme_cq *cq)
{
	if (!cq->irq)
		return;
	if (bitmap_empty(ctrl->raise, VFMIG_NVME_VECTORS))
		ctrl->raise_since = ktime_get_ns();
	__set_bit(cq->vector, ctrl->raise);
}

void vfmig_nvme_flush_irqs(struct vfmig_nvme *ctrl)
{
	unsigned int vector;

	for_each_set_bit(vector, ctrl->raise, VFMIG_NVME_VECTORS) {
		__clear_bit(vector, ctrl->raise);
		vfmig_fn_raise(ctrl->fn, vector);
	}
}

/* A batch goes on: don't let its first completions wait for its end */
void vfmig_nvme_flush_late_irqs(struct vfmig_nvme *ctrl)
{
	if (!bitmap_empty(ctrl->raise, VFMIG_NVME_VECTORS) &&
	    ktime_get_ns() - ctrl->raise_since > VFMIG_NVME_IRQ_DELAY_NS)
		vfmig_nvme_flush_irqs(ctrl);
}

/*
 * The guest may have missed an interrupt while interrupts were held, or one of the source.
 * So raise the vector of each completion queue that has entries which it has not consumed.
 */
void vfmig_nvme_raise_unconsumed(struct vfmig_nvme *ctrl)
{
	for (unsigned int i = 0; i < VFMIG_NVME_QUEUES; i++) {
		const struct vfmig_nvme_cq *cq = &ctrl->cq[i];

		if (cq->size)
			vfmig_nvme_shadow_head(ctrl, i, false);
		if (cq->size && cq->irq && cq->head != cq->tail)
			__set_bit(cq->vector, ctrl->raise);
	}
	vfmig_nvme_flush_irqs(ctrl);
}
