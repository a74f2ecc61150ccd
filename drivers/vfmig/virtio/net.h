/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtio network device (VIRTIO 5.1) at a port of the PF's switch.
 */
#ifndef _VFMIG_VIRTIO_NET_H
#define _VFMIG_VIRTIO_NET_H

#include <linux/bitmap.h>
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/list.h>
#include <linux/virtio_net.h>

#include "features.h"
#include "net_lull.h"
#include "port.h"
#include "virtio.h"

#define VFMIG_NET_MAX_PAIRS	VFMIG_PORT_MAX_QUEUES
#define VFMIG_NET_BATCH		64U	/* frames of a direction in a batch */
#define VFMIG_NET_CTRL_MAX	64U	/* control commands in a batch */
#define VFMIG_NET_MAX_FRAME	(65535U + ETH_HLEN)

static_assert(sizeof(struct virtio_net_config) <= VFMIG_VIRTIO_CONFIG_MAX);
static_assert(2 * VFMIG_NET_MAX_PAIRS + 1 == VFMIG_VIRTIO_VQS);
static_assert(VFMIG_PORT_BURST <= VFMIG_VQ_PENDING_MAX);

/**
 * struct vfmig_net_config - settings of a VF
 * @queue_pairs: pairs of queues, 1 to VFMIG_NET_MAX_PAIRS
 * @packed: offer packed virtqueues, 0 or 1
 */
struct vfmig_net_config {
	unsigned int queue_pairs;
	unsigned int packed;
};

/**
 * struct vfmig_net_macs - addresses of one kind in the guest's filter
 * @count: entries of @mac in use
 * @overflow: the guest has more, so all addresses of this kind pass
 * @mac: addresses
 */
struct vfmig_net_macs {
	u8 count;
	bool overflow;
	u8 mac[VFMIG_NET_MACS][ETH_ALEN];
};

/**
 * struct vfmig_net_filter - frames that the guest wants
 * @modes: a bit for each VIRTIO_NET_CTRL_RX_* that is on
 * @chosen: the guest has chosen modes.  One that can't, or has not yet, gets all multicast.
 * @uni: unicast addresses besides the device's own
 * @multi: multicast addresses
 * @vlans: VLAN IDs
 */
struct vfmig_net_filter {
	u8 modes;
	bool chosen;
	struct vfmig_net_macs uni;
	struct vfmig_net_macs multi;
	DECLARE_BITMAP(vlans, VLAN_N_VID);
};

/**
 * struct vfmig_net_counts - what a device has done; they move with it
 * @rx_frames: frames written to the guest
 * @tx_frames: frames taken from the guest, without those that its device dropped
 * @rx_filtered: frames that the guest's filter did not let through
 * @tx_malformed: frames from the guest that were invalid
 * @commands: control commands
 */
struct vfmig_net_counts {
	u64 rx_frames;
	u64 tx_frames;
	u64 rx_filtered;
	u64 tx_malformed;
	u64 commands;
};

/**
 * struct vfmig_net_tx - how the device waits for frames of a transmit queue
 * @lull: whether it looks by itself
 * @bytes: bytes of frames since it was last empty
 */
struct vfmig_net_tx {
	struct vfmig_net_lull lull;
	unsigned int bytes;
};

/* What the port was told */
enum vfmig_net_wire {
	VFMIG_NET_DOWN,
	VFMIG_NET_UP,
	VFMIG_NET_HOLD,
};

/**
 * struct vfmig_net - a virtio network device
 * @dev: the virtio device.  Its lock protects what follows, unless said otherwise.
 * @port: the port; constant
 * @max_pairs: pairs of queues that the VF was created with, and of the port; constant
 * @woken: queues of the port that have frames or room; atomic
 * @changed: the port's settings have changed; atomic
 * @room_wanted: bytes of a frame of the guest that found no memory, or 0.  Only the worker
 *	accesses it and @room_made.
 * @room_made: memory was reclaimed for the next frame
 *
 * @ident_mac: MAC address that belongs to this device, see net_ident.c.  idents_lock there
 *	protects this and the following.
 * @ident_tag: tells devices with the same address because of a move from others
 * @ident_entry: entry in the list of all identities
 * @ident_open: a user has it open
 * @ident_given: its stream was read to the end, and it has not run or been reset since
 * @ident_stale: its identity came from a source that runs again
 * @ident_doubled: its address is one that another device had when it was loaded
 * @ident_untried: its address was loaded, and it has not run since
 *
 * @pairs: pairs of queues that it reports; after a load, the number of the source
 * @cur_pairs: pairs in use
 * @mac: MAC address
 * @mtu: MTU that it reports
 * @link_up: the link is up
 * @trusted: the guest may receive what is not for it
 * @announce: the guest is asked to announce itself
 * @rarp_due: the device is to announce the guest
 * @offloads: VFMIG_NET_GUEST_OFFLOADS that the guest has on
 * @filter: frames that the guest wants
 * @counts: statistics
 * @wire: what the port was told
 * @rx_pending: queues of the port that may have frames
 * @tx_pending: pairs whose transmit queue may have frames
 * @tx_lull: pairs whose transmit queue the device looks at by itself
 * @tx: of each pair
 * @rx_starved: pairs for whose receive buffers a frame waits.  The driver is to notify.
 * @next_pair: next pair in the round robin
 * @merge: the second and further buffers of a frame
 */
struct vfmig_net {
	struct vfmig_virtio dev;
	struct vfmig_port *port;
	unsigned int max_pairs;
	DECLARE_BITMAP(woken, VFMIG_NET_MAX_PAIRS);
	unsigned long changed;
	size_t room_wanted;
	bool room_made;

	u8 ident_mac[ETH_ALEN];
	u8 ident_tag[VFMIG_NET_TAG];
	struct list_head ident_entry;
	bool ident_open;
	bool ident_given;
	bool ident_stale;
	bool ident_doubled;
	bool ident_untried;

	u16 pairs;
	u16 cur_pairs;
	u8 mac[ETH_ALEN];
	u16 mtu;
	bool link_up;
	bool trusted;
	bool announce;
	bool rarp_due;
	u64 offloads;
	struct vfmig_net_filter filter;
	struct vfmig_net_counts counts;
	enum vfmig_net_wire wire;
	DECLARE_BITMAP(rx_pending, VFMIG_NET_MAX_PAIRS);
	DECLARE_BITMAP(tx_pending, VFMIG_NET_MAX_PAIRS);
	DECLARE_BITMAP(tx_lull, VFMIG_NET_MAX_PAIRS);
	struct vfmig_net_tx tx[VFMIG_NET_MAX_PAIRS];
	DECLARE_BITMAP(rx_starved, VFMIG_NET_MAX_PAIRS);
	unsigned int next_pair;
	struct vfmig_vq_chain *merge;
};

static inline struct vfmig_net *vfmig_net_of(struct vfmig_virtio *dev)
{
	return container_of(dev, struct vfmig_net, dev);
}

static inline bool vfmig_net_has(const struct vfmig_net *net, unsigned int feature)
{
	return vfmig_virtio_has(&net->dev, feature);
}

/* Queues of pair n are 2n (to the guest) and 2n + 1 (from the guest) (VIRTIO 5.1.2) */
static inline struct vfmig_vq *vfmig_net_rx_vq(struct vfmig_net *net, unsigned int pair)
{
	return &net->dev.vq[2 * pair];
}

static inline struct vfmig_vq *vfmig_net_tx_vq(struct vfmig_net *net, unsigned int pair)
{
	return &net->dev.vq[2 * pair + 1];
}

/* Index of the control queue: after all pairs if the driver knows of more than one */
static inline unsigned int vfmig_net_ctrl_index(const struct vfmig_net *net)
{
	return vfmig_net_has(net, VIRTIO_NET_F_MQ) ? 2 * net->pairs : 2;
}

/* net.c */
void *vfmig_net_create(void *pf, struct vfmig_fn *fn, unsigned int index,
		       const struct vfmig_net_config *config);
void vfmig_net_destroy(void *vf);
void vfmig_net_update_config(struct vfmig_net *net);
void vfmig_net_wire_down(struct vfmig_net *net);
void vfmig_net_update_wire(struct vfmig_net *net);
void vfmig_net_set_mac(struct vfmig_net *net, const u8 *mac);

/* net_filter.c */
void vfmig_net_filter_reset(struct vfmig_net_filter *filter);
bool vfmig_net_wants(const struct vfmig_net *net, const struct sk_buff *skb);

/* net_tx.c */
bool vfmig_net_make_room(struct vfmig_net *net);
bool vfmig_net_tx(struct vfmig_net *net, unsigned int pair, unsigned int *budget);
void vfmig_net_tx_reset(struct vfmig_net *net);
void vfmig_net_tx_arm(struct vfmig_net *net);

/* net_rx.c */
bool vfmig_net_rx(struct vfmig_net *net, unsigned int queue, unsigned int *budget);

/* net_ctrl.c */
bool vfmig_net_ctrl(struct vfmig_net *net, struct vfmig_vq *vq);

/* net_announce.c */
void vfmig_net_announce(struct vfmig_net *net);
void vfmig_net_send_rarp(struct vfmig_net *net);

/* net_state.c */
#define VFMIG_NET_STATE_SIZE	1360	/* bytes */

void vfmig_net_identity(struct vfmig_virtio *dev, struct vfmig_vf_identity *id);
const char *vfmig_net_identity_check(struct vfmig_virtio *dev,
				     const struct vfmig_vf_identity *id);
void vfmig_net_state_save(struct vfmig_virtio *dev, void *buf);
const char *vfmig_net_state_refusal(struct vfmig_virtio *dev, u32 version,
				    const struct vfmig_virtio_state *state, const void *buf);
void vfmig_net_state_apply(struct vfmig_virtio *dev, const void *buf);

/* net_ident.c */
void vfmig_net_ident_add(struct vfmig_net *net);
void vfmig_net_ident_del(struct vfmig_net *net);
void vfmig_net_ident_get(struct vfmig_net *net, u8 *mac);
void vfmig_net_ident_open(struct vfmig_net *net);
void vfmig_net_ident_lost(struct vfmig_net *net, bool closed);
void vfmig_net_ident_give(struct vfmig_net *net);
void vfmig_net_ident_keep(struct vfmig_net *net);
void vfmig_net_ident_take(struct vfmig_net *net, const u8 *mac, const u8 *tag);
void vfmig_net_ident_run(struct vfmig_net *net);

#endif /* _VFMIG_VIRTIO_NET_H */
