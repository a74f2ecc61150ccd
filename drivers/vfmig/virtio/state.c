// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of a virtio device as bytes: registers and queues, and behind them the part of
 * the type.  No buffer is in flight (see ring.h), and what is in the rings is in the memory
 * of the guest.  What arrives is hostile: state_check.c checks it entirely before any of it is
 * used here, and nothing can fail after that.
 */
#include <linux/kernel.h>
#include <linux/string.h>

#include "state.h"
#include "state_check.h"
#include "virtio.h"

size_t vfmig_virtio_state_size(const struct vfmig_virtio *dev)
{
	return sizeof(struct vfmig_virtio_state) + dev->type->state_size;
}

static void save_vq(const struct vfmig_virtio *dev, unsigned int i,
		    struct vfmig_virtio_state_vq *out)
{
	const struct vfmig_vq_regs *regs = &dev->latch.vq[i];
	const struct vfmig_vq *vq = &dev->vq[i];

	*out = (struct vfmig_virtio_state_vq) {
		.desc = cpu_to_le64(regs->desc),
		.driver = cpu_to_le64(regs->driver),
		.device = cpu_to_le64(regs->device),
		.size = cpu_to_le16(regs->size),
		.vector = cpu_to_le16(regs->vector),
		.state = regs->state,
	};
	if (test_bit(i, dev->latch.notified) || test_bit(i, dev->notified))
		out->flags |= VQ_NOTIFIED;
	if (!vq->ops)
		return;
	out->flags |= VQ_TAKEN | (vq->kept.avail_wrap ? VQ_AVAIL_WRAP : 0) |
		      (vq->kept.used_wrap ? VQ_USED_WRAP : 0);
	out->avail = cpu_to_le16(vq->kept.avail);
	out->used = cpu_to_le16(vq->kept.used);
}

/* Of a frozen device, with the lock held; @buf is zeroed and large enough */
void vfmig_virtio_state_save(struct vfmig_virtio *dev, void *buf)
{
	struct vfmig_virtio_latch *latch = &dev->latch;
	struct vfmig_virtio_state *state = buf;
	unsigned long flags;

	raw_spin_lock_irqsave(&latch->lock, flags);
	state->driver_features = cpu_to_le64(latch->driver_features);
	state->device_feature_select = cpu_to_le32(latch->device_feature_select);
	state->driver_feature_select = cpu_to_le32(latch->driver_feature_select);
	state->config_vector = cpu_to_le16(latch->config_vector);
	state->queue_select = cpu_to_le16(latch->queue_select);
	state->nr_vqs = cpu_to_le16(latch->nr_vqs);
	state->status = latch->status;
	state->isr = latch->isr;
	state->generation = latch->generation;
	state->flags = (latch->resetting ? STATE_RESETTING : 0) |
		       (dev->broken ? STATE_BROKEN : 0);
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++)
		save_vq(dev, i, &state->vq[i]);
	raw_spin_unlock_irqrestore(&latch->lock, flags);

	vfmig_virtio_cap_save(dev, &state->cap);
	state->status_seen = dev->status;
	state->negotiated = cpu_to_le64(dev->negotiated);
	state->resets = cpu_to_le64(dev->counts.resets);
	state->broken = cpu_to_le64(dev->counts.broken);
	state->notifications = cpu_to_le64(dev->counts.notifications);
	dev->type->state_save(dev, state + 1);
}

/* With the lock held.  NULL if @buf can be applied, or what is wrong with it. */
const char *vfmig_virtio_state_refusal(struct vfmig_virtio *dev, u32 version, const void *buf,
				       size_t size)
{
	const struct vfmig_virtio_limits limits = {
		.features = dev->features,
		.features_ok = dev->type->features_ok,
	};
	const struct vfmig_virtio_state *state = buf;
	const char *why;
	size_t where;

	if (size != vfmig_virtio_state_size(dev))
		return "length of the state";
	why = vfmig_virtio_state_check(state, &limits, &where);
	return why ?: dev->type->state_refusal(dev, version, state, state + 1);
}

static void apply_latch(struct vfmig_virtio *dev, const struct vfmig_virtio_state *state)
{
	struct vfmig_virtio_latch *latch = &dev->latch;
	unsigned long flags;

	raw_spin_lock_irqsave(&latch->lock, flags);
	latch->driver_features = le64_to_cpu(state->driver_features);
	latch->device_feature_select = le32_to_cpu(state->device_feature_select);
	latch->driver_feature_select = le32_to_cpu(state->driver_feature_select);
	latch->config_vector = le16_to_cpu(state->config_vector);
	latch->queue_select = le16_to_cpu(state->queue_select);
	latch->nr_vqs = le16_to_cpu(state->nr_vqs);
	latch->status = state->status;
	latch->isr = state->isr;
	latch->generation = state->generation;
	latch->resetting = state->flags & STATE_RESETTING;
	latch->changed = true;
	bitmap_zero(latch->notified, VFMIG_VIRTIO_VQS);
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++) {
		const struct vfmig_virtio_state_vq *vq = &state->vq[i];

		latch->vq[i] = (struct vfmig_vq_regs) {
			.desc = le64_to_cpu(vq->desc),
			.driver = le64_to_cpu(vq->driver),
			.device = le64_to_cpu(vq->device),
			.size = le16_to_cpu(vq->size),
			.vector = le16_to_cpu(vq->vector),
			.state = vq->state,
		};
		if (vq->flags & VQ_NOTIFIED)
			__set_bit(i, latch->notified);
	}
	raw_spin_unlock_irqrestore(&latch->lock, flags);
}

/* A queue that is forgotten next is not worth beginning with */
static void apply_vqs(struct vfmig_virtio *dev, const struct vfmig_virtio_state *state)
{
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++) {
		const struct vfmig_virtio_state_vq *vq = &state->vq[i];
		const struct vfmig_vq_pos pos = {
			.avail = le16_to_cpu(vq->avail),
			.used = le16_to_cpu(vq->used),
			.avail_wrap = vq->flags & VQ_AVAIL_WRAP,
			.used_wrap = vq->flags & VQ_USED_WRAP,
		};

		dev->vq[i].ops = NULL;
		if ((vq->flags & VQ_TAKEN) && !(state->flags & STATE_RESETTING))
			vfmig_virtio_enable_vq(dev, i, &dev->latch.vq[i], &pos);
	}
}

/* With the lock held, a state that was checked */
void vfmig_virtio_state_apply(struct vfmig_virtio *dev, const void *buf)
{
	const struct vfmig_virtio_state *state = buf;

	apply_latch(dev, state);
	vfmig_virtio_cap_load(dev, &state->cap);
	dev->status = state->status_seen;
	dev->negotiated = le64_to_cpu(state->negotiated);
	dev->broken = state->flags & STATE_BROKEN;
	dev->counts.resets = le64_to_cpu(state->resets);
	dev->counts.broken = le64_to_cpu(state->broken);
	dev->counts.notifications = le64_to_cpu(state->notifications);
	bitmap_zero(dev->notified, VFMIG_VIRTIO_VQS);
	bitmap_zero(dev->raise, VFMIG_VIRTIO_VECTORS);
	vfmig_fn_forget_writes(dev->fn);
	apply_vqs(dev, state);
	dev->loaded = true;
	dev->type->state_apply(dev, state + 1);
}
