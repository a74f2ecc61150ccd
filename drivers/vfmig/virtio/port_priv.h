/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the wire share: ports, their queues, and the PF's switch.  port.h is
 * what the device sees of it.
 */
#ifndef _VFMIG_PORT_PRIV_H
#define _VFMIG_PORT_PRIV_H

#include <linux/if_ether.h>
#include <linux/netdevice.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/u64_stats_sync.h>
#include <net/devlink.h>

#include "../fabric/fabric.h"
#include "policy.h"
#include "port.h"

/* Why the port dropped a frame, beside enum vfmig_port_drop, whose values these follow */
enum vfmig_port_own_drop {
	VFMIG_DROP_LINK = VFMIG_DROP_NR,	/* the link is off, or the representor down */
	VFMIG_DROP_VLAN,			/* not of the VF's VLAN */
	VFMIG_DROP_SPOOF,			/* a source address that is not the VF's */
	VFMIG_DROP_FULL,			/* the VF is stopped or stalled, its queue full */
	VFMIG_DROP_FLUSHED,			/* queued when the link went down */
	VFMIG_DROP_ALL,
};

/* Bounds of the queues of frames, of each queue in each direction */
#define VFMIG_TO_GUEST_FRAMES	256
#define VFMIG_TO_GUEST_BYTES	SZ_2M	/* of memory, skb->truesize */
#define VFMIG_FROM_GUEST_FRAMES	128

/* A guest that takes no frame for so long is stalled */
#define VFMIG_STALL_JIFFIES	HZ

enum vfmig_port_state {
	VFMIG_PORT_DOWN,
	VFMIG_PORT_HOLD,
	VFMIG_PORT_UP,
};

/**
 * struct vfmig_port_count - what went through a queue in one direction
 * @packets: frames
 * @bytes: their bytes
 * @multicast: frames to a multicast address
 * @broadcast: frames to the broadcast address
 */
struct vfmig_port_count {
	u64 packets;
	u64 bytes;
	u64 multicast;
	u64 broadcast;
};

/**
 * struct vfmig_port_counter - counts what goes through a queue in one direction
 * @sync: for readers; there is one writer, the device's thread for the queue
 * @packets: see &struct vfmig_port_count
 * @bytes: see there
 * @multicast: see there
 * @broadcast: see there
 */
struct vfmig_port_counter {
	struct u64_stats_sync sync;
	u64_stats_t packets;
	u64_stats_t bytes;
	u64_stats_t multicast;
	u64_stats_t broadcast;
};

/**
 * struct vfmig_port_queue - a queue of frames in each direction
 * @port: its port
 * @index: its number
 * @lock: protects @state, @stalled, @progress, @to_guest and @memory
 * @state: the port's state
 * @stalled: the guest took no frame for VFMIG_STALL_JIFFIES
 * @progress: when it took the last one, or when one was queued after the queue was empty;
 *	in jiffies
 * @to_guest: frames to the guest.  Its own lock is not used.
 * @memory: truesize of the frames in @to_guest
 * @delivered: frames that the guest got
 * @from_guest: frames from the guest for NAPI.  Its own lock protects it, @open and @full.
 * @open: the representor is up
 * @full: the device waits for room in @from_guest
 * @slowed: the device waits for the rate; atomic
 * @napi: receives @from_guest
 * @sent: frames that the guest sent
 */
struct vfmig_port_queue {
	struct vfmig_port *port;
	unsigned int index;

	spinlock_t lock;		/* see above */
	enum vfmig_port_state state;
	bool stalled;
	unsigned long progress;
	struct sk_buff_head to_guest;
	unsigned int memory;
	struct vfmig_port_counter delivered;

	struct sk_buff_head from_guest ____cacheline_aligned_in_smp;
	bool open;
	bool full;
	bool slowed;
	struct napi_struct napi;
	struct vfmig_port_counter sent;
} ____cacheline_aligned_in_smp;

/**
 * struct vfmig_port - a port, the private part of its representor
 * @dev: the representor
 * @net: the PF's switch
 * @index: number of the VF
 * @ops: callbacks to the device
 * @vf: their argument
 * @policy: the administrator's settings; it has its locks
 * @lock: protects @state and the representor's carrier; taken before the queues' locks
 * @state: what the device says
 * @features: offloads that the guest takes; atomic
 * @stall_timer: looks for stalled queues while frames wait
 * @rate_timer: wakes the queues that wait for the rate
 * @to_guest_drops: frames to the guest that were dropped, by reason
 * @from_guest_drops: frames from the guest that were dropped, by reason
 * @stalls: how often the guest stalled
 * @devlink_port: the port for devlink
 * @nr_queues: number of @queues
 * @queues: the queues
 */
struct vfmig_port {
	struct net_device *dev;
	struct vfmig_pf_net *net;
	unsigned int index;
	const struct vfmig_port_ops *ops;
	void *vf;

	struct vfmig_policy policy;
	spinlock_t lock;		/* see above */
	enum vfmig_port_state state;
	netdev_features_t features;
	struct timer_list stall_timer;
	struct timer_list rate_timer;
	atomic64_t to_guest_drops[VFMIG_DROP_ALL];
	atomic64_t from_guest_drops[VFMIG_DROP_ALL];
	atomic64_t stalls;
	struct devlink_port devlink_port;

	unsigned int nr_queues;
	struct vfmig_port_queue queues[] __counted_by(nr_queues);
};

/**
 * struct vfmig_pf_net - the network part of a PF: a switch that its VFs' ports are on
 * @pdev: the PF
 * @dev: its netdev
 * @devlink: its devlink instance, or NULL in a kernel without
 * @devlink_port: the port of @dev for devlink
 * @number: number of the PF, its devfn
 * @switch_id: identifies the switch
 * @ports: the ports of the VFs; RTNL
 */
struct vfmig_pf_net {
	struct pci_dev *pdev;
	struct net_device *dev;
	struct devlink *devlink;
	struct devlink_port devlink_port;
	unsigned int number;
	struct netdev_phys_item_id switch_id;
	struct vfmig_port *ports[VFMIG_MAX_VFS];
};

/* port.c */
void vfmig_port_update_link(struct vfmig_port *port);
bool vfmig_port_guest_link(struct vfmig_port *port);
void vfmig_port_shown_mac(struct vfmig_port *port, u8 *mac);
int vfmig_port_set_admin_mac(struct vfmig_port *port, const u8 *mac,
			     struct netlink_ext_ack *extack);

/* port_queue.c */
void vfmig_port_queues_init(struct vfmig_port *port);
void vfmig_port_queues_exit(struct vfmig_port *port);
void vfmig_port_queue_set_state(struct vfmig_port_queue *q, enum vfmig_port_state state);
void vfmig_port_queue_open(struct vfmig_port_queue *q);
void vfmig_port_queue_close(struct vfmig_port_queue *q);
void vfmig_port_rate_changed(struct vfmig_port *port);
netdev_tx_t vfmig_port_queue_xmit(struct vfmig_port_queue *q, struct sk_buff *skb);
void vfmig_port_read_count(const struct vfmig_port_counter *counter,
			   struct vfmig_port_count *count);
void vfmig_port_sum(struct vfmig_port *port, struct vfmig_port_count *to_guest,
		    struct vfmig_port_count *from_guest);
u64 vfmig_port_sum_drops(const atomic64_t drops[VFMIG_DROP_ALL]);

/* rep.c */
extern const struct net_device_ops vfmig_rep_ops;

/* ethtool.c */
extern const struct ethtool_ops vfmig_rep_ethtool_ops;
extern const struct ethtool_ops vfmig_pf_net_ethtool_ops;

/* devlink.c */
#if IS_ENABLED(CONFIG_NET_DEVLINK)
int vfmig_devlink_create(struct vfmig_pf_net *net);
void vfmig_devlink_destroy(struct vfmig_pf_net *net);
int vfmig_devlink_add_port(struct vfmig_port *port);
void vfmig_devlink_remove_port(struct vfmig_port *port);
#else
static inline int vfmig_devlink_create(struct vfmig_pf_net *net)
{
	return 0;
}

static inline void vfmig_devlink_destroy(struct vfmig_pf_net *net)
{
}

static inline int vfmig_devlink_add_port(struct vfmig_port *port)
{
	return 0;
}

static inline void vfmig_devlink_remove_port(struct vfmig_port *port)
{
}
#endif

#endif /* _VFMIG_PORT_PRIV_H */
