// SPDX-License-Identifier: GPL-2.0-only
/*
 * The checks of the state of a virtio device of any type.  It is hostile: all of it is checked, and
 * against each other, before state.c uses any of it.
 */
#include <linux/bitops.h>
#include <linux/string.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include <asm/byteorder.h>

#include "state_check.h"

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

static bool features_valid(const struct vfmig_virtio_limits *limits, u64 features)
{
	return !(features & ~limits->features) && (features & BIT_ULL(VIRTIO_F_VERSION_1)) &&
	       limits->features_ok(features);
}

static bool registers_valid(const struct vfmig_virtio_state *state,
			    const struct vfmig_virtio_limits *limits)
{
	u64 negotiated = le64_to_cpu(state->negotiated);

	if ((state->flags & ~STATE_FLAGS) ||
	    memchr_inv(state->reserved, 0, sizeof(state->reserved)) ||
	    memchr_inv(state->cap.reserved, 0, sizeof(state->cap.reserved)) ||
	    (state->isr & ~(BIT(0) | VIRTIO_PCI_ISR_CONFIG)) ||
	    !vector_valid(state->config_vector) || !status_valid(state->status) ||
	    !status_valid(state->status_seen))
		return false;
	if ((state->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    !features_valid(limits, le64_to_cpu(state->driver_features)))
		return false;
	if (!(state->status_seen & VIRTIO_CONFIG_S_DRIVER_OK))
		return !negotiated;
	return features_valid(limits, negotiated);
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

	return size && size <= VFMIG_VQ_SIZE_MAX && (packed || !(size & (size - 1)));
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

/* NULL if a device with @limits can have @state, or what is wrong with it, and at which byte */
const char *vfmig_virtio_state_check(const struct vfmig_virtio_state *state,
				     const struct vfmig_virtio_limits *limits, size_t *where)
{
	u16 nr_vqs = le16_to_cpu(state->nr_vqs);

	*where = offsetof(struct vfmig_virtio_state, nr_vqs);
	if (!nr_vqs || nr_vqs > VFMIG_VIRTIO_VQS)
		return "number of queues";
	*where = 0;
	if (!registers_valid(state, limits) || !seen_valid(state))
		return "registers";
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++) {
		*where = offsetof(struct vfmig_virtio_state, vq) + i * sizeof(state->vq[0]);
		if (!vq_valid(state, i))
			return "queues";
	}
	return NULL;
}
