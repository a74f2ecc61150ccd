// SPDX-License-Identifier: GPL-2.0-only
/*
 * The checks of the state of a network device, besides those of any virtio device
 */
#include <linux/bitops.h>
#include <linux/string.h>
#include <linux/virtio_net.h>

#include <asm/byteorder.h>

#include "features.h"
#include "state_check.h"

/* One of a station */
static bool mac_valid(const u8 *mac)
{
	return !(mac[0] & 1) && memchr_inv(mac, 0, ETH_ALEN);
}

static bool macs_valid(const struct vfmig_net_state_macs *macs)
{
	return macs->count <= VFMIG_NET_MACS && macs->overflow <= 1 &&
	       (!macs->count || !macs->overflow);
}

static bool filter_valid(const struct vfmig_net_state *state)
{
	return state->announce <= 1 && state->link_up <= 1 && state->chosen <= 1 &&
	       !(state->modes >> VFMIG_NET_RX_MODES) && macs_valid(&state->uni) &&
	       macs_valid(&state->multi);
}

static bool in_use_valid(u16 in_use, u16 pairs, u64 features)
{
	return in_use && in_use <= pairs && (in_use == 1 || features & BIT_ULL(VIRTIO_NET_F_MQ));
}

/*
 * NULL if a device with @limits can have @state together with @virtio, which is valid; or what is
 * wrong with it, and at which byte of @state
 */
const char *vfmig_net_state_check(const struct vfmig_net_state *state,
				  const struct vfmig_virtio_state *virtio,
				  const struct vfmig_net_limits *limits, size_t *where)
{
	u64 features = le64_to_cpu(virtio->negotiated);
	u16 pairs = le16_to_cpu(state->pairs), mtu = le16_to_cpu(state->mtu);

	*where = offsetof(struct vfmig_net_state, mac);
	if (!mac_valid(state->mac) || !mac_valid(state->ident_mac))
		return "MAC address";
	*where = offsetof(struct vfmig_net_state, ident_tag);
	if (limits->version < VFMIG_NET_STATE_TAG &&
	    memchr_inv(state->ident_tag, 0, VFMIG_NET_TAG))
		return "bytes that are reserved in this version";
	*where = offsetof(struct vfmig_net_state, pairs);
	if (!pairs || pairs > limits->pairs || le16_to_cpu(virtio->nr_vqs) != 2 * pairs + 1)
		return "number of queues";
	*where = offsetof(struct vfmig_net_state, cur_pairs);
	if (!in_use_valid(le16_to_cpu(state->cur_pairs), pairs, features))
		return "number of queues in use";
	*where = offsetof(struct vfmig_net_state, mtu);
	if (mtu < VFMIG_NET_MIN_MTU || mtu > VFMIG_PORT_MAX_MTU)
		return "MTU";
	*where = offsetof(struct vfmig_net_state, offloads);
	if (le64_to_cpu(state->offloads) & ~(features & VFMIG_NET_GUEST_OFFLOADS))
		return "offloads";
	*where = offsetof(struct vfmig_net_state, announce);
	if (!filter_valid(state))
		return "filter";
	return NULL;
}
