/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of a virtio device as bytes: the payloads of the STATE records in a stream of the
 * model "virtio-net", version 2, are &struct vfmig_virtio_state and then &struct
 * vfmig_net_state; and the limits that these keep.  Version 1 is the same without ident_tag.
 * All integers are little-endian.  For the model, and for tools that read a stream, so this
 * needs nothing else of the kernel but BIT() and __packed.
 */
#ifndef _VFMIG_VIRTIO_FORMAT_H
#define _VFMIG_VIRTIO_FORMAT_H

#include <linux/bitops.h>
#include <linux/if_ether.h>
#include <linux/types.h>
#include <linux/virtio_net.h>

#define VFMIG_VIRTIO_VQS	33U	/* 16 pairs and a control queue */
#define VFMIG_VIRTIO_VECTORS	34U	/* one more, for configuration changes */
/* The largest Queue Size; no chain of descriptors is longer */
#define VFMIG_VQ_SIZE_MAX	256U
#define VFMIG_NET_MIN_MTU	68
/* Largest MTU of a representor, and of a VF */
#define VFMIG_PORT_MAX_MTU	(65535 - ETH_HLEN)
/* Speed that a representor reports, and the device should, in Mbit/s */
#define VFMIG_PORT_SPEED	25000
#define VFMIG_NET_MACS		64U	/* of each kind in the guest's filter */
#define VFMIG_NET_TAG		6	/* bytes that show where a MAC address came from */
/* Bits of the filter's modes: VIRTIO_NET_CTRL_RX_PROMISC and so on */
#define VFMIG_NET_RX_MODES	(VIRTIO_NET_CTRL_RX_NOBCAST + 1)
#define VFMIG_NET_STATE_VERSION	2
#define VFMIG_NET_STATE_OLDEST	1	/* the oldest that is taken */
#define VFMIG_NET_STATE_TAG	2	/* the first version of the state with a tag */

/**
 * struct vfmig_virtio_cap_state - what the driver wrote to the PCI configuration access
 *	capability; all values are possible
 * @offset: cap.offset
 * @length: cap.length
 * @bar: cap.bar
 * @reserved: 0
 */
struct vfmig_virtio_cap_state {
	__le32 offset;
	__le32 length;
	__u8 bar;
	__u8 reserved[7];
} __packed;

/* Bits of a queue in the latch */
#define VFMIG_VQ_ENABLED	BIT(0)	/* queue_enable */
#define VFMIG_VQ_RESETTING	BIT(1)	/* queue_reset was written; the worker has not seen it */
#define VFMIG_VQ_STATES		(VFMIG_VQ_ENABLED | VFMIG_VQ_RESETTING)

#define VQ_AVAIL_WRAP	BIT(0)
#define VQ_USED_WRAP	BIT(1)
#define VQ_TAKEN	BIT(2)	/* the device has seen that the queue is enabled */
#define VQ_NOTIFIED	BIT(3)
#define VQ_FLAGS	(VQ_AVAIL_WRAP | VQ_USED_WRAP | VQ_TAKEN | VQ_NOTIFIED)

struct vfmig_virtio_state_vq {
	__le64 desc;
	__le64 driver;
	__le64 device;
	__le16 size;
	__le16 vector;
	__u8 state;		/* VFMIG_VQ_STATES */
	__u8 flags;		/* VQ_FLAGS */
	__le16 avail;		/* 0 if not taken, as the next and the wrap counters */
	__le16 used;
	__u8 reserved[6];
} __packed;

#define STATE_RESETTING	BIT(0)
#define STATE_BROKEN	BIT(1)
#define STATE_FLAGS	(STATE_RESETTING | STATE_BROKEN)

struct vfmig_virtio_state {
	__le64 driver_features;
	__le64 negotiated;	/* 0 unless status_seen has DRIVER_OK */
	__le32 device_feature_select;
	__le32 driver_feature_select;
	__le16 config_vector;
	__le16 queue_select;
	__le16 nr_vqs;
	__u8 status;
	__u8 status_seen;	/* as the device last saw it */
	__u8 isr;
	__u8 generation;
	__u8 flags;		/* STATE_FLAGS */
	__u8 reserved[5];
	__le64 resets;
	__le64 broken;
	__le64 notifications;
	struct vfmig_virtio_cap_state cap;
	struct vfmig_virtio_state_vq vq[VFMIG_VIRTIO_VQS];
} __packed;

struct vfmig_net_state_macs {
	__u8 count;
	__u8 overflow;		/* 0 or 1 */
	__u8 mac[VFMIG_NET_MACS][ETH_ALEN];
} __packed;

struct vfmig_net_state {
	__u8 mac[ETH_ALEN];
	__u8 ident_mac[ETH_ALEN];
	__le16 pairs;
	__le16 cur_pairs;
	__le16 mtu;
	__u8 announce;		/* 0 or 1 */
	__u8 link_up;		/* 0 or 1 */
	__le64 offloads;
	__u8 modes;
	__u8 chosen;		/* 0 or 1 */
	__u8 ident_tag[VFMIG_NET_TAG];	/* random; 0 in version 1 */
	__u8 vlans[4096 / 8];
	struct vfmig_net_state_macs uni;
	struct vfmig_net_state_macs multi;
	__le64 rx_frames;
	__le64 tx_frames;
	__le64 rx_filtered;
	__le64 tx_malformed;
	__le64 commands;
} __packed;

#endif /* _VFMIG_VIRTIO_FORMAT_H */
