/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A destination of the model "virtio-net".
 */
#ifndef VFMIG_FUZZ_STATE_NET_H
#define VFMIG_FUZZ_STATE_NET_H

#include <linux/virtio_config.h>

#include "../../../../../drivers/vfmig/virtio/features.h"
#include "../../../../../drivers/vfmig/virtio/state_check.h"
#include "state.h"

/* The whole state */
struct net_state {
	struct vfmig_virtio_state virtio;
	struct vfmig_net_state net;
} __packed;

/* One of four sets of features is offered */
static inline struct vfmig_virtio_limits net_virtio_limits(u8 device)
{
	static const u64 offered[] = {
		0,
		BIT_ULL(VIRTIO_NET_F_CTRL_VQ) | BIT_ULL(VIRTIO_NET_F_MQ),
		BIT_ULL(VIRTIO_F_RING_PACKED) | VFMIG_NET_GUEST_OFFLOADS,
		~0ULL,
	};

	return (struct vfmig_virtio_limits) {
		.features = offered[(device >> 1) & 3] | BIT_ULL(VIRTIO_F_VERSION_1),
		.features_ok = vfmig_net_features_ok,
	};
}

/* 1 to 16 pairs of queues, and each version */
static inline struct vfmig_net_limits net_limits(u8 device)
{
	return (struct vfmig_net_limits) {
		.pairs = 1 + (device >> 3) % 16,
		.version = 1 + (device & 1),
	};
}

void net_use(u8 device, const u8 *state);

#endif /* VFMIG_FUZZ_STATE_NET_H */
