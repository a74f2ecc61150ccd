/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The features of a network device that depend on each other.  For the model, and for tools
 * that check its state: this needs nothing else of the kernel but BIT_ULL() and ARRAY_SIZE(),
 * and the names of the features.
 */
#ifndef _VFMIG_VIRTIO_FEATURES_H
#define _VFMIG_VIRTIO_FEATURES_H

#include <linux/array_size.h>
#include <linux/bitops.h>
#include <linux/types.h>
#include <linux/virtio_net.h>

/* Offloads that the driver can turn on and off, and whose bit is that of the feature */
#define VFMIG_NET_GUEST_OFFLOADS						\
	(BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) | BIT_ULL(VIRTIO_NET_F_GUEST_TSO4) |	\
	 BIT_ULL(VIRTIO_NET_F_GUEST_TSO6) | BIT_ULL(VIRTIO_NET_F_GUEST_ECN) |	\
	 BIT_ULL(VIRTIO_NET_F_GUEST_USO4) | BIT_ULL(VIRTIO_NET_F_GUEST_USO6))

/*
 * Does the driver accept each feature that needs others only with at least one of these (VIRTIO
 * 5.1.3.1)?
 */
static inline bool vfmig_net_features_ok(u64 features)
{
	static const struct {
		unsigned int feature;
		u64 needs;
	} dependencies[] = {
		{ VIRTIO_NET_F_GUEST_TSO4, BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) },
		{ VIRTIO_NET_F_GUEST_TSO6, BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) },
		{ VIRTIO_NET_F_GUEST_USO4, BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) },
		{ VIRTIO_NET_F_GUEST_USO6, BIT_ULL(VIRTIO_NET_F_GUEST_CSUM) },
		{ VIRTIO_NET_F_GUEST_ECN, BIT_ULL(VIRTIO_NET_F_GUEST_TSO4) |
					  BIT_ULL(VIRTIO_NET_F_GUEST_TSO6) },
		{ VIRTIO_NET_F_HOST_TSO4, BIT_ULL(VIRTIO_NET_F_CSUM) },
		{ VIRTIO_NET_F_HOST_TSO6, BIT_ULL(VIRTIO_NET_F_CSUM) },
		{ VIRTIO_NET_F_HOST_USO, BIT_ULL(VIRTIO_NET_F_CSUM) },
		{ VIRTIO_NET_F_HOST_ECN, BIT_ULL(VIRTIO_NET_F_HOST_TSO4) |
					 BIT_ULL(VIRTIO_NET_F_HOST_TSO6) },
		{ VIRTIO_NET_F_CTRL_RX, BIT_ULL(VIRTIO_NET_F_CTRL_VQ) },
		{ VIRTIO_NET_F_CTRL_RX_EXTRA, BIT_ULL(VIRTIO_NET_F_CTRL_VQ) },
		{ VIRTIO_NET_F_CTRL_VLAN, BIT_ULL(VIRTIO_NET_F_CTRL_VQ) },
		{ VIRTIO_NET_F_CTRL_MAC_ADDR, BIT_ULL(VIRTIO_NET_F_CTRL_VQ) },
		{ VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, BIT_ULL(VIRTIO_NET_F_CTRL_VQ) },
		{ VIRTIO_NET_F_GUEST_ANNOUNCE, BIT_ULL(VIRTIO_NET_F_CTRL_VQ) },
		{ VIRTIO_NET_F_MQ, BIT_ULL(VIRTIO_NET_F_CTRL_VQ) },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(dependencies); i++)
		if ((features & BIT_ULL(dependencies[i].feature)) &&
		    !(features & dependencies[i].needs))
			return false;
	return true;
}

#endif /* _VFMIG_VIRTIO_FEATURES_H */
