// SPDX-License-Identifier: GPL-2.0-only
/*
 * Valid states of a device of the model "virtio-net"
 */
#include <string.h>

#include <linux/array_size.h>
#include <linux/virtio_pci.h>

#include "state_net.h"

#define AT(member)	offsetof(struct net_state, virtio.member)
#define AT_NET(member)	offsetof(struct net_state, net.member)
#define VQS		VFMIG_VIRTIO_VQS
#define VQ		sizeof(struct vfmig_virtio_state_vq)

static const struct state_field fields[] = {
	{ AT(driver_features), 8 }, { AT(negotiated), 8 },
	{ AT(device_feature_select), 4, .any = true },
	{ AT(driver_feature_select), 4, .any = true }, { AT(config_vector), 2 },
	{ AT(queue_select), 2, .any = true }, { AT(nr_vqs), 2 }, { AT(status), 1 },
	{ AT(status_seen), 1 }, { AT(isr), 1 }, { AT(generation), 1, .any = true },
	{ AT(flags), 1 }, { AT(reserved), 1, 5 }, { AT(resets), 8, .any = true },
	{ AT(broken), 8, .any = true }, { AT(notifications), 8, .any = true },
	{ AT(cap.offset), 4, .any = true }, { AT(cap.length), 4, .any = true },
	{ AT(cap.bar), 1, .any = true }, { AT(cap.reserved), 1, 7 },

	{ AT(vq[0].desc), 8, VQS, VQ, .any = true }, { AT(vq[0].driver), 8, VQS, VQ, .any = true },
	{ AT(vq[0].device), 8, VQS, VQ, .any = true }, { AT(vq[0].size), 2, VQS, VQ },
	{ AT(vq[0].vector), 2, VQS, VQ }, { AT(vq[0].state), 1, VQS, VQ },
	{ AT(vq[0].flags), 1, VQS, VQ }, { AT(vq[0].avail), 2, VQS, VQ },
	{ AT(vq[0].used), 2, VQS, VQ }, { AT(vq[0].reserved[2]), 4, VQS, VQ },

	{ AT_NET(mac), 1, 6 }, { AT_NET(ident_mac), 1, 6 }, { AT_NET(pairs), 2 },
	{ AT_NET(cur_pairs), 2 }, { AT_NET(mtu), 2 }, { AT_NET(announce), 1 },
	{ AT_NET(link_up), 1 }, { AT_NET(offloads), 8 }, { AT_NET(modes), 1 },
	{ AT_NET(chosen), 1 }, { AT_NET(ident_tag), 1, 6 }, { AT_NET(vlans), 8, 64, .any = true },
	{ AT_NET(uni.count), 1 }, { AT_NET(uni.overflow), 1 },
	{ AT_NET(uni.mac), 2, 3 * VFMIG_NET_MACS, .any = true },
	{ AT_NET(multi.count), 1 }, { AT_NET(multi.overflow), 1 },
	{ AT_NET(multi.mac), 2, 3 * VFMIG_NET_MACS, .any = true },
	/* From rx_frames on */
	{ AT_NET(rx_frames), 8, 5, .any = true },
};

/* Many features need one of these three */
static u64 some_features(u64 offered, struct random *random)
{
	const u64 needed = BIT_ULL(VIRTIO_NET_F_CSUM) | BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) |
			   BIT_ULL(VIRTIO_NET_F_CTRL_VQ);
	u64 features = (random_next(random) | needed) & offered;

	features |= BIT_ULL(VIRTIO_F_VERSION_1);
	return vfmig_net_features_ok(features) ? features : BIT_ULL(VIRTIO_F_VERSION_1);
}

/* A driver goes from one to the next, and the device may be one behind */
static const u8 statuses[] = {
	0,
	VIRTIO_CONFIG_S_ACKNOWLEDGE,
	VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER,
	VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK,
	VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK |
		VIRTIO_CONFIG_S_DRIVER_OK,
};

static void make_status(struct vfmig_virtio_state *state, struct random *random)
{
	unsigned int at = random_below(random, 2 * ARRAY_SIZE(statuses));

	if (at >= ARRAY_SIZE(statuses))
		at = ARRAY_SIZE(statuses) - 1;
	state->status = statuses[at];
	state->status_seen = statuses[at && !random_below(random, 4) ? at - 1 : at];
	if (!random_below(random, 8)) {
		/* The driver has written 0, and perhaps gone on */
		state->flags = STATE_RESETTING;
		state->status_seen = statuses[random_below(random, ARRAY_SIZE(statuses))];
	}
	if (!random_below(random, 8)) {
		state->flags |= STATE_BROKEN;
		state->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	}
	if (!random_below(random, 8))
		state->status |= VIRTIO_CONFIG_S_FAILED;
}

static void make_registers(struct vfmig_virtio_state *state, u64 offered, struct random *random)
{
	make_status(state, random);
	state->driver_features = state->status & VIRTIO_CONFIG_S_FEATURES_OK ?
				 some_features(offered, random) : random_next(random);
	if (state->status_seen & VIRTIO_CONFIG_S_DRIVER_OK)
		state->negotiated = state->flags & STATE_RESETTING ?
				    some_features(offered, random) : state->driver_features;
	state->config_vector = random_below(random, 2) ? VIRTIO_MSI_NO_VECTOR :
							 random_between(random, 0, 33);
	state->isr = random_below(random, 4);
}

static void make_place(struct vfmig_virtio_state_vq *vq, bool packed, struct random *random)
{
	u32 below = packed ? vq->size : 1 << 16;

	vq->flags |= VQ_TAKEN | random_below(random, 4);
	vq->avail = random_between(random, 0, below - 1);
	vq->used = random_between(random, 0, below - 1);
}

static void make_vq(const struct vfmig_virtio_state *state, struct vfmig_virtio_state_vq *vq,
		    struct random *random)
{
	bool packed = state->driver_features & BIT_ULL(VIRTIO_F_RING_PACKED);

	vq->size = packed ? random_between(random, 1, 256) : 1 << random_between(random, 0, 8);
	vq->flags = random_below(random, 2) ? VQ_NOTIFIED : 0;
	if (!(state->status & VIRTIO_CONFIG_S_FEATURES_OK) || !random_below(random, 4))
		return;
	vq->state = VFMIG_VQ_ENABLED | (random_below(random, 4) ? 0 : VFMIG_VQ_RESETTING);
	if (state->status_seen & VIRTIO_CONFIG_S_DRIVER_OK && random_below(random, 4))
		make_place(vq, packed, random);
}

static void make_vqs(struct vfmig_virtio_state *state, struct random *random)
{
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++) {
		state->vq[i].vector = random_below(random, 2) ? VIRTIO_MSI_NO_VECTOR :
								random_between(random, 0, 33);
		if (i < state->nr_vqs)
			make_vq(state, &state->vq[i], random);
	}
}

static void make_mac(u8 *mac, struct random *random)
{
	for (unsigned int i = 0; i < ETH_ALEN; i++)
		mac[i] = random_next(random);
	mac[0] = (mac[0] & 0xfe) | 2;
}

static void make_macs(struct vfmig_net_state_macs *macs, struct random *random)
{
	macs->count = random_between(random, 0, 64);
	macs->overflow = !macs->count && random_below(random, 2);
}

static void make_net(struct vfmig_net_state *state, u64 features,
		     const struct vfmig_net_limits *limits, struct random *random)
{
	make_mac(state->mac, random);
	make_mac(state->ident_mac, random);
	for (unsigned int i = 0; limits->version > 1 && i < VFMIG_NET_TAG; i++)
		state->ident_tag[i] = random_next(random);
	state->pairs = random_between(random, 1, limits->pairs);
	state->cur_pairs = features & BIT_ULL(VIRTIO_NET_F_MQ) ?
			   random_between(random, 1, state->pairs) : 1;
	state->mtu = random_between(random, 68, 65535 - 14);
	state->announce = random_below(random, 2);
	state->link_up = random_below(random, 2);
	state->offloads = random_next(random) & features & VFMIG_NET_GUEST_OFFLOADS;
	state->modes = random_between(random, 0, 63);
	state->chosen = random_below(random, 2);
	make_macs(&state->uni, random);
	make_macs(&state->multi, random);
}

static void make(u8 device, struct random *random, u8 *raw)
{
	struct vfmig_virtio_limits limits = net_virtio_limits(device);
	struct vfmig_net_limits own_limits = net_limits(device);
	struct net_state *state = (void *)raw;

	make_registers(&state->virtio, limits.features, random);
	make_net(&state->net, state->virtio.negotiated, &own_limits, random);
	state->virtio.nr_vqs = 2 * state->net.pairs + 1;
	make_vqs(&state->virtio, random);
}

static size_t pack(const u8 *raw, u8 *state)
{
	memcpy(state, raw, sizeof(struct net_state));
	return sizeof(struct net_state);
}

static const char *refusal(u8 device, const u8 *bytes, size_t size, size_t *where)
{
	const struct vfmig_virtio_limits limits = net_virtio_limits(device);
	const struct vfmig_net_limits own_limits = net_limits(device);
	const struct net_state *state = (const void *)bytes;
	const char *why;

	if (size != sizeof(*state))
		return "length of the state";
	why = vfmig_virtio_state_check(&state->virtio, &limits, where);
	if (why)
		return why;
	return vfmig_net_state_check(&state->net, &state->virtio, &own_limits, where);
}

const struct state_model net_model = {
	.size = sizeof(struct net_state),
	.fields = fields,
	.nr_fields = ARRAY_SIZE(fields),
	.make = make,
	.pack = pack,
	.refusal = refusal,
	.use = net_use,
};
