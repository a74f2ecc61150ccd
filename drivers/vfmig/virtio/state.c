// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of a virtio device as bytes: registers and queues, and behind them the part of
 * the type.  No buffer is in flight (see ring.h), and what is in the rings is in the memory
 * of the guest.  What arrives is hostile: it is checked entirely before any of it is used,
 * and nothing can fail after that.
 */
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/string.h>

#include "state.h"
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

static bool vector_valid(__le16 vector)
{
	return le16_to_cpu(vector) < VFMIG_VIRTIO_VECTORS ||
	       le16_to_cpu(vector) == VIRTIO_MSI_NO_VECTOR;
}

/* Bits of device_status that may be set together */
static bool status_valid(u8 status)
{
	const u8 known = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK |
			 VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED;

	return !(status & ~known) &&
	       (!(status & VIRTIO_CONFIG_S_DRIVER_OK) || (status & VIRTIO_CONFIG_S_FEATURES_OK));
}

static bool features_valid(const struct vfmig_virtio *dev, u64 features)
{
	return !(features & ~dev->features) && (features & BIT_ULL(VIRTIO_F_VERSION_1)) &&
	       dev->type->features_ok(features);
}

static bool registers_valid(const struct vfmig_virtio *dev, const struct vfmig_virtio_state *state)
{
	u64 negotiated = le64_to_cpu(state->negotiated);

	if ((state->flags & ~STATE_FLAGS) || memchr_inv(state->reserved, 0, 5) ||
	    memchr_inv(state->cap.reserved, 0, sizeof(state->cap.reserved)) ||
	    (state->isr & ~(BIT(0) | VIRTIO_PCI_ISR_CONFIG)) ||
	    !vector_valid(state->config_vector) || !status_valid(state->status) ||
	    !status_valid(state->status_seen))
		return false;
	if ((state->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    !features_valid(dev, le64_to_cpu(state->driver_features)))
		return false;
	if (!(state->status_seen & VIRTIO_CONFIG_S_DRIVER_OK))
		return !negotiated;
	return features_valid(dev, negotiated);
}

/* Does what the device saw follow from what the driver wrote?  A reset comes between them. */
static bool seen_valid(const struct vfmig_virtio_state *state)
{
	if (state->flags & STATE_RESETTING)
		return true;
	if ((state->status_seen & ~state->status) ||
	    ((state->flags & STATE_BROKEN) && !(state->status & VIRTIO_CONFIG_S_NEEDS_RESET)))
		return false;
	return !(state->status_seen & VIRTIO_CONFIG_S_DRIVER_OK) ||
	       state->negotiated == state->driver_features;
}

/* The size is what the driver could write; that of an enabled queue is right */
static bool vq_size_valid(const struct vfmig_virtio_state_vq *vq, bool packed)
{
	u16 size = le16_to_cpu(vq->size);

	return size && size <= VFMIG_VQ_SIZE_MAX && (packed || is_power_of_2(size));
}

static bool vq_pos_valid(const struct vfmig_virtio_state_vq *vq, bool packed)
{
	u16 avail = le16_to_cpu(vq->avail), used = le16_to_cpu(vq->used);

	if (!(vq->flags & VQ_TAKEN))
		return !avail && !used && !(vq->flags & (VQ_AVAIL_WRAP | VQ_USED_WRAP));
	return !packed || (avail < le16_to_cpu(vq->size) && used < le16_to_cpu(vq->size));
}

static bool vq_valid(const struct vfmig_virtio_state *state, unsigned int i)
{
	const struct vfmig_virtio_state_vq *vq = &state->vq[i];
	bool packed = le64_to_cpu(state->driver_features) & BIT_ULL(VIRTIO_F_RING_PACKED);
	bool exists = i < le16_to_cpu(state->nr_vqs);

	if ((vq->state & ~VFMIG_VQ_STATES) || (vq->flags & ~VQ_FLAGS) ||
	    memchr_inv(vq->reserved, 0, sizeof(vq->reserved)) || !vector_valid(vq->vector))
		return false;
	if (!exists && (vq->state || vq->flags))
		return false;
	if (vq->state & VFMIG_VQ_ENABLED) {
		if (!(state->status & VIRTIO_CONFIG_S_FEATURES_OK) || !vq_size_valid(vq, packed))
			return false;
	} else if (vq->state & VFMIG_VQ_RESETTING) {
		return false;
	}
	/*
	 * A queue is enabled before the device sees it.  After a reset that the device has
	 * not seen, it still has queues that are not enabled any more, and forgets them next.
	 */
	if ((vq->flags & VQ_TAKEN) && !(state->flags & STATE_RESETTING) &&
	    (!(vq->state & VFMIG_VQ_ENABLED) ||
	     !(state->status_seen & VIRTIO_CONFIG_S_DRIVER_OK)))
		return false;
	return (state->flags & STATE_RESETTING) || vq_pos_valid(vq, packed);
}

/* With the lock held.  NULL if @buf can be applied, or what is wrong with it. */
const char *vfmig_virtio_state_check(struct vfmig_virtio *dev, u32 version, const void *buf,
				     size_t size)
{
	const struct vfmig_virtio_state *state = buf;
	u16 nr_vqs;

	if (size != vfmig_virtio_state_size(dev))
		return "length of the state";
	nr_vqs = le16_to_cpu(state->nr_vqs);
	if (!nr_vqs || nr_vqs > VFMIG_VIRTIO_VQS)
		return "number of queues";
	if (!registers_valid(dev, state) || !seen_valid(state))
		return "registers";
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++)
		if (!vq_valid(state, i))
			return "queues";
	return dev->type->state_check(dev, version, state + 1, le64_to_cpu(state->negotiated),
				      nr_vqs);
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
