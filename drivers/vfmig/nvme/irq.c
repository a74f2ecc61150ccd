// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts of the completion queues.  One costs a guest more than a command does, so the
 * completions of a batch share one.
 *
 * A host can ask for fewer (Interrupt Coalescing, NVMe 1.4, 5.21.1.8).  Then the controller holds
 * a vector until enough entries were posted to its I/O queues, or until the first of them is old
 * enough.  The admin queue's interrupt is never held.
 *
 * A vector that is held is raised before the controller is quiesced.  So it is no part of the
 * migration state.
 */
#include <linux/minmax.h>
#include <linux/timekeeping.h>

#include "nvme.h"

/* A completion is older than this at most when its interrupt is raised, or a burst has begun */
#define VFMIG_NVME_IRQ_DELAY_NS	(50 * NSEC_PER_USEC)

/* Unit of the aggregation time */
#define VFMIG_NVME_IRQ_TIME_NS	(100ULL * NSEC_PER_USEC)

/* Interrupt Coalescing: number of entries less 1, and time in ns; if one is 0, there is none */
static unsigned int threshold(const struct vfmig_nvme *ctrl)
{
	return ctrl->features.dword[NVME_FEAT_IRQ_COALESCE] & 0xff;
}

static u64 longest_hold(const struct vfmig_nvme *ctrl)
{
	return (ctrl->features.dword[NVME_FEAT_IRQ_COALESCE] >> 8) * VFMIG_NVME_IRQ_TIME_NS;
}

/* May the interrupt for an entry in @cq be held? */
bool vfmig_nvme_is_coalesced(const struct vfmig_nvme *ctrl, const struct vfmig_nvme_cq *cq)
{
	return cq->irq && cq != &ctrl->cq[0] && threshold(ctrl) && longest_hold(ctrl) &&
	       !(ctrl->features.vector_cd & BIT_ULL(cq->vector));
}

static void want_vector(struct vfmig_nvme *ctrl, unsigned int vector)
{
	if (bitmap_empty(ctrl->raise, VFMIG_NVME_VECTORS))
		ctrl->raise_since = ktime_get_ns();
	__set_bit(vector, ctrl->raise);
	__clear_bit(vector, ctrl->held.vectors);
}

/* @n more entries were posted for @vector; returns false if these are enough */
static bool hold(struct vfmig_nvme *ctrl, unsigned int vector, unsigned int n)
{
	struct vfmig_nvme_held *held = &ctrl->held;

	if (!__test_and_set_bit(vector, held->vectors)) {
		held->entries[vector] = 0;
		held->until[vector] = ktime_get_ns() + longest_hold(ctrl);
	}
	held->entries[vector] += n;
	return held->entries[vector] <= threshold(ctrl);
}

/*
 * @n entries were posted to @cq.  @urgent: the host should hear of one of them at once, or nothing
 * is held for @cq.
 */
void vfmig_nvme_want_irq(struct vfmig_nvme *ctrl, const struct vfmig_nvme_cq *cq,
			 unsigned int n, bool urgent)
{
	if (!cq->irq)
		return;
	if (urgent || !hold(ctrl, cq->vector, n))
		want_vector(ctrl, cq->vector);
}

/* Raise @vector with the next ones, if it is held */
void vfmig_nvme_release_irq(struct vfmig_nvme *ctrl, unsigned int vector)
{
	if (test_bit(vector, ctrl->held.vectors))
		want_vector(ctrl, vector);
}

/* The same for those that must be raised at @time, ktime in ns; U64_MAX: for all */
void vfmig_nvme_release_irqs(struct vfmig_nvme *ctrl, u64 time)
{
	unsigned int vector;

	for_each_set_bit(vector, ctrl->held.vectors, VFMIG_NVME_VECTORS)
		if (ctrl->held.until[vector] <= time)
			want_vector(ctrl, vector);
}

static bool any_held(const struct vfmig_nvme *ctrl)
{
	return !bitmap_empty(ctrl->held.vectors, VFMIG_NVME_VECTORS);
}

/* When the first vector must be raised that is held, ktime in ns, or U64_MAX if none is */
u64 vfmig_nvme_held_until(const struct vfmig_nvme *ctrl)
{
	unsigned int vector;
	u64 until = U64_MAX;

	for_each_set_bit(vector, ctrl->held.vectors, VFMIG_NVME_VECTORS)
		until = min(until, ctrl->held.until[vector]);
	return until;
}

void vfmig_nvme_flush_irqs(struct vfmig_nvme *ctrl)
{
	unsigned int vector;

	if (any_held(ctrl))
		vfmig_nvme_release_irqs(ctrl, ktime_get_ns());
	for_each_set_bit(vector, ctrl->raise, VFMIG_NVME_VECTORS) {
		__clear_bit(vector, ctrl->raise);
		vfmig_fn_raise(ctrl->fn, vector);
	}
}

/* A batch goes on: don't let its first completions wait for its end */
void vfmig_nvme_flush_late_irqs(struct vfmig_nvme *ctrl)
{
	bool wanted = !bitmap_empty(ctrl->raise, VFMIG_NVME_VECTORS);
	u64 now;

	if (!wanted && !any_held(ctrl))
		return;
	now = ktime_get_ns();
	if ((wanted && now - ctrl->raise_since > VFMIG_NVME_IRQ_DELAY_NS) ||
	    vfmig_nvme_held_until(ctrl) <= now)
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
