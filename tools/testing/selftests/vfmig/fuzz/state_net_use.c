// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the model "virtio-net" relies on in a state that was accepted.
 */
#include <linux/virtio_pci.h>

#include "check.h"
#include "state_net.h"

static bool all_zero(const u8 *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (bytes[i])
			return false;
	return true;
}

/* Features that a driver got are offered, and fit each other */
static void use_features(u64 features, u64 offered)
{
	check(features & BIT_ULL(VIRTIO_F_VERSION_1));
	check(!(features & ~offered));
	check(vfmig_net_features_ok(features));
}

static void use_vector(u16 vector)
{
	check(vector < 34 || vector == VIRTIO_MSI_NO_VECTOR);
}

static void use_status(u8 status)
{
	check(!(status & ~0xcf));
	check(!(status & VIRTIO_CONFIG_S_DRIVER_OK) || status & VIRTIO_CONFIG_S_FEATURES_OK);
}

static void use_registers(const struct vfmig_virtio_state *state, u64 offered)
{
	bool runs = state->status_seen & VIRTIO_CONFIG_S_DRIVER_OK;

	use_status(state->status);
	use_status(state->status_seen);
	use_vector(state->config_vector);
	check(state->isr <= 3 && state->flags <= 3);
	check(all_zero(state->reserved, sizeof(state->reserved)));
	check(all_zero(state->cap.reserved, sizeof(state->cap.reserved)));
	if (runs)
		use_features(state->negotiated, offered);
	else
		check(!state->negotiated);
	if (state->status & VIRTIO_CONFIG_S_FEATURES_OK)
		use_features(state->driver_features, offered);
	if (state->flags & STATE_RESETTING)
		return;
	/* The device sees a status later than the driver writes it, and only its latest features */
	check((state->status | state->status_seen) == state->status);
	check(!runs || state->negotiated == state->driver_features);
	check(!(state->flags & STATE_BROKEN) || state->status & VIRTIO_CONFIG_S_NEEDS_RESET);
}

/* A ring of @size entries that the device is at work on */
static void use_ring(const struct vfmig_virtio_state *state,
		     const struct vfmig_virtio_state_vq *vq)
{
	bool packed = state->negotiated & BIT_ULL(VIRTIO_F_RING_PACKED);

	check(state->status_seen & VIRTIO_CONFIG_S_DRIVER_OK);
	check(vq->state & VFMIG_VQ_ENABLED);
	check(vq->size >= 1 && vq->size <= 256);
	if (packed)
		check(vq->avail < vq->size && vq->used < vq->size);
	else
		check(!(vq->size & (vq->size - 1)));
}

static void use_vqs(const struct vfmig_virtio_state *state)
{
	check(state->nr_vqs >= 1 && state->nr_vqs <= VFMIG_VIRTIO_VQS);
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++) {
		const struct vfmig_virtio_state_vq *vq = &state->vq[i];

		use_vector(vq->vector);
		check(vq->state <= 3 && vq->flags <= 15);
		check(all_zero(vq->reserved, sizeof(vq->reserved)));
		check(i < state->nr_vqs || (!vq->state && !vq->flags));
		/* A queue is reset by the driver that has enabled it */
		check(vq->state != VFMIG_VQ_RESETTING);
		if (vq->state)
			check(state->status & VIRTIO_CONFIG_S_FEATURES_OK);
		/* The device forgets all before it looks at one */
		if (state->flags & STATE_RESETTING)
			continue;
		if (vq->flags & VQ_TAKEN)
			use_ring(state, vq);
		else
			check(!vq->avail && !vq->used && !(vq->flags & 3));
	}
}

static void use_macs(const struct vfmig_net_state_macs *macs)
{
	check(macs->count <= sizeof(macs->mac) / ETH_ALEN);
	check(macs->overflow <= 1);
	check(!macs->overflow || !macs->count);
}

static void use_net(const struct vfmig_net_state *state, const struct vfmig_virtio_state *virtio,
		    const struct vfmig_net_limits *limits)
{
	u64 features = virtio->negotiated;

	check(!(state->mac[0] & 1) && !all_zero(state->mac, ETH_ALEN));
	check(!(state->ident_mac[0] & 1) && !all_zero(state->ident_mac, ETH_ALEN));
	check(limits->version >= 2 || all_zero(state->ident_tag, VFMIG_NET_TAG));
	check(state->pairs >= 1 && state->pairs <= limits->pairs);
	check(virtio->nr_vqs == 2 * state->pairs + 1);
	check(state->cur_pairs >= 1 && state->cur_pairs <= state->pairs);
	check(state->cur_pairs == 1 || features & BIT_ULL(VIRTIO_NET_F_MQ));
	check(state->mtu >= 68 && state->mtu <= 65535 - 14);
	check(!(state->offloads & ~features));
	check(!(state->offloads & ~VFMIG_NET_GUEST_OFFLOADS));
	check(state->announce <= 1 && state->link_up <= 1 && state->chosen <= 1);
	check(state->modes < 64);
	use_macs(&state->uni);
	use_macs(&state->multi);
}

void net_use(u8 device, const u8 *bytes)
{
	const struct vfmig_virtio_limits limits = net_virtio_limits(device);
	const struct vfmig_net_limits own_limits = net_limits(device);
	const struct net_state *state = (const void *)bytes;

	use_registers(&state->virtio, limits.features);
	use_vqs(&state->virtio);
	use_net(&state->net, &state->virtio, &own_limits);
}
