/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between a virtio-net device and its port on the PF's switch.
 *
 * A VF has a port from its creation to its destruction.  The host's end of the port is a
 * netdev, the representor.  What the host transmits there, the VF receives, and what the
 * guest transmits, the representor receives.  Guest-side terms are used here: a frame goes
 * "to the guest" or "from the guest".
 *
 * The port owns the queues of frames, the policies that the administrator sets through
 * the PF's netdev (MAC, VLAN, spoof check, trust, link state, rate), and the counters.
 * It knows no virtqueue.  The device owns the virtqueues and the guest's own filters.  It
 * knows no netdev.
 *
 * The port never calls into the device with a lock held that a function below takes, nor
 * does a function below take the RTNL, unless said otherwise.
 */
#ifndef _VFMIG_PORT_H
#define _VFMIG_PORT_H

#include <linux/if_ether.h>
#include <linux/netdev_features.h>
#include <linux/types.h>

#include "format.h"

/* MAC addresses in calls are aligned to 2 bytes, as <linux/etherdevice.h> wants them */

struct pci_dev;
struct sk_buff;
struct vfmig_pf_net;
struct vfmig_port;

/* Most queues of a port, in each direction */
#define VFMIG_PORT_MAX_QUEUES	16

/* Most frames that vfmig_port_may_send() allows at once */
#define VFMIG_PORT_BURST	16

/**
 * enum vfmig_port_drop - why the device dropped a frame
 * @VFMIG_DROP_FILTERED: the guest's own filters do not want the frame
 * @VFMIG_DROP_TOO_LONG: the frame does not fit into the guest's buffers
 * @VFMIG_DROP_OFFLOAD: the frame needs an offload that the guest did not negotiate
 * @VFMIG_DROP_FAULT: the DMA of the frame failed
 * @VFMIG_DROP_MALFORMED: the guest's frame or its header is invalid
 * @VFMIG_DROP_NO_MEMORY: there was no memory for the guest's frame
 * @VFMIG_DROP_NR: number of reasons
 */
enum vfmig_port_drop {
	VFMIG_DROP_FILTERED,
	VFMIG_DROP_TOO_LONG,
	VFMIG_DROP_OFFLOAD,
	VFMIG_DROP_FAULT,
	VFMIG_DROP_MALFORMED,
	VFMIG_DROP_NO_MEMORY,
	VFMIG_DROP_NR,
};

/**
 * struct vfmig_port_settings - what the administrator's settings mean for the device
 * @link_up: the guest's link is up.  With the link state auto, it is up if the
 *	representor is (IFF_UP).
 * @trusted: the guest may set promiscuous modes.  Of a guest that is not trusted they are
 *	accepted, but unicast that is not for the VF does not reach it.
 * @mtu: MTU of the representor.  The device offers it as its maximum from its next
 *	reset on.
 */
struct vfmig_port_settings {
	bool link_up;
	bool trusted;
	u16 mtu;
};

/**
 * struct vfmig_port_ops - callbacks from a port to the device
 *
 * Called in any context, also with interrupts off and with the port's locks held.  They
 * must not sleep, and must not call a function of the port.  They typically set a flag and
 * kick the device's worker.
 */
struct vfmig_port_ops {
	/**
	 * @wake: A frame waits for vfmig_port_take() on @queue, or vfmig_port_may_send() allows
	 * frames again on @queue, where it returned 0.
	 */
	void (*wake)(void *vf, unsigned int queue);

	/**
	 * @changed: What vfmig_port_get_settings() or vfmig_port_admin_mac() returns has changed.
	 */
	void (*changed)(void *vf);
};

/*
 * Lifetime
 *
 * Both functions take the RTNL and the lock of the PF's devlink instance, and sleep.  The
 * PF driver's locks may be held: the PF's device lock, then the PF driver's mutex, then
 * devlink's lock, then the RTNL.  No lock of the device may be held that @ops take.
 */

/**
 * vfmig_port_create() - create the port of a VF, and its representor
 * @net: the PF's network part
 * @index: number of the VF, from 0; less than VFMIG_MAX_VFS
 * @queues: queues in each direction, 1 to VFMIG_PORT_MAX_QUEUES
 * @ops: callbacks.  They can be called before this function returns, so the device must
 *	be ready for them.
 * @vf: argument of the callbacks
 *
 * The port is down, see vfmig_port_down().
 *
 * Return: the port, or an ERR_PTR
 */
struct vfmig_port *vfmig_port_create(struct vfmig_pf_net *net, unsigned int index,
				     unsigned int queues, const struct vfmig_port_ops *ops,
				     void *vf);

/**
 * vfmig_port_destroy() - unregister the representor and free the port
 * @port: the port.  The VF is closed, and the device does not use the port any more.
 *
 * No callback is called after this function has returned.
 */
void vfmig_port_destroy(struct vfmig_port *port);

/*
 * States
 *
 * A port is down from its creation on.  The functions can be called in process or softirq
 * context, with interrupts on, and do not sleep.  The device serialises them.
 *
 * On the way to RUNNING_P2P and STOP, the device calls vfmig_port_hold() after it has
 * stopped to take and to send frames.  Frames that it sent before are the host's already.
 * After a load, the device calls it too: the carrier of the destination is then on, and a
 * bridge forwards, before the guest runs and announces itself.  A port of a device without
 * a driver stays down in all running states.
 */

/**
 * vfmig_port_up() - the guest's driver is ready (DRIVER_OK) and the VF runs
 * @port: the port
 * @features: NETIF_F_HW_CSUM, NETIF_F_TSO, NETIF_F_TSO_ECN, NETIF_F_TSO6 and
 *	NETIF_F_GSO_UDP_L4, as far as the guest takes such frames.  The stack prepares
 *	others in software.
 *
 * The representor's carrier is on.  Frames to the guest are queued.  If a queue is full,
 * the representor's queue is stopped.  A guest that takes no frame for a second gets them
 * as if the port were on hold until it takes one.
 *
 * Frames that were queued while the port was on hold stay.  A port that is up already gets the
 * @features and is otherwise unchanged.
 */
void vfmig_port_up(struct vfmig_port *port, netdev_features_t features);

/**
 * vfmig_port_hold() - the guest's driver is ready, but the VF is stopped (RUNNING_P2P, STOP)
 * @port: the port
 * @features: see vfmig_port_up()
 *
 * The representor's carrier is on.  Frames to the guest are queued as long as there is
 * room in the queue, and are dropped and counted then: nobody on the host waits for a VF
 * that is stopped.  If the VF goes on, for example after an aborted migration, the guest
 * gets the first frames that it missed, so TCP recovers without a timeout.  If the VF
 * moved, the frames go with the function that is left behind.
 */
void vfmig_port_hold(struct vfmig_port *port, netdev_features_t features);

/**
 * vfmig_port_down() - there is no driver (a reset, a close, no DRIVER_OK)
 * @port: the port
 *
 * The carrier is off, and frames that wait for the guest are dropped.
 */
void vfmig_port_down(struct vfmig_port *port);

/*
 * Frames to the guest
 *
 * Process context.  One thread at a time for each queue.
 */

/**
 * vfmig_port_take() - take the next frame to the guest
 * @port: the port
 * @queue: the queue
 *
 * The caller owns the frame until it hands it to vfmig_port_delivered(),
 * vfmig_port_dropped() or vfmig_port_untake().  skb->data is at the Ethernet header, a
 * VLAN tag is in the frame, and checksum and GSO state are those of a transmitted frame
 * (CHECKSUM_PARTIAL or CHECKSUM_NONE or CHECKSUM_UNNECESSARY; virtio_net_hdr_from_skb()).
 * The frame can be nonlinear.  It may need an offload that the guest has given up
 * meanwhile; the device then drops it.
 *
 * Return: the frame, or NULL; &vfmig_port_ops.wake comes when there is one
 */
struct sk_buff *vfmig_port_take(struct vfmig_port *port, unsigned int queue);

/**
 * vfmig_port_untake() - give a frame back that the guest has no buffers for
 * @port: the port
 * @queue: the queue
 * @skb: the frame, unchanged; vfmig_port_take() returns it next
 *
 * &vfmig_port_ops.wake is not called for this frame.
 */
void vfmig_port_untake(struct vfmig_port *port, unsigned int queue, struct sk_buff *skb);

/**
 * vfmig_port_delivered() - free a frame that was written to the guest, and count it
 * @port: the port
 * @queue: the queue
 * @skb: the frame
 */
void vfmig_port_delivered(struct vfmig_port *port, unsigned int queue, struct sk_buff *skb);

/**
 * vfmig_port_dropped() - free and count a frame to the guest that the device drops
 * @port: the port
 * @queue: the queue
 * @skb: the frame
 * @why: the reason
 */
void vfmig_port_dropped(struct vfmig_port *port, unsigned int queue, struct sk_buff *skb,
			enum vfmig_port_drop why);

/*
 * Frames from the guest
 *
 * Process context.  One thread at a time for each queue.
 */

/**
 * vfmig_port_may_send() - how many frames may the guest send now?
 * @port: the port
 * @queue: the queue
 *
 * The device leaves other frames in the virtqueue.  This is how the rate is limited, and
 * how a guest waits for a host that is slower.
 *
 * Return: the number of frames that vfmig_port_send() can be called for, at most
 *	VFMIG_PORT_BURST.  It is 1 for a VF with a limited rate, so that a burst of large
 *	frames does not make the next frame wait for long.  If it is 0, &vfmig_port_ops.wake
 *	comes when it is not 0 any more.
 */
unsigned int vfmig_port_may_send(struct vfmig_port *port, unsigned int queue);

/**
 * vfmig_port_send() - send a frame of the guest
 * @port: the port
 * @queue: the queue; of another one than the queue of the last call, if there is more
 *	than one, the frames of a flow can be reordered
 * @skb: the frame, at most 65535 + ETH_HLEN bytes and at least ETH_HLEN, owned by the
 *	port from now on.  skb->data is at the Ethernet header, and that is linear.
 *	Checksum and GSO state are set and checked (virtio_net_hdr_to_skb()).
 *
 * The frame goes through the policies, which may drop it, and is received by the
 * representor after vfmig_port_flush() at the latest.
 */
void vfmig_port_send(struct vfmig_port *port, unsigned int queue, struct sk_buff *skb);

/**
 * vfmig_port_flush() - make the representor receive what was sent
 * @port: the port
 * @queue: the queue
 *
 * To be called at the end of a batch.  Runs the network stack's receive path, in the
 * context of the caller in the usual case, so no lock may be held that
 * &vfmig_port_ops take.
 */
void vfmig_port_flush(struct vfmig_port *port, unsigned int queue);

/**
 * vfmig_port_send_dropped() - count a frame of the guest that the device drops
 * @port: the port
 * @queue: the queue
 * @why: the reason
 */
void vfmig_port_send_dropped(struct vfmig_port *port, unsigned int queue,
			     enum vfmig_port_drop why);

/*
 * Settings
 *
 * Any context with interrupts on.
 */

/**
 * vfmig_port_get_settings() - read the settings that concern the device
 * @port: the port
 * @settings: where to
 */
void vfmig_port_get_settings(struct vfmig_port *port, struct vfmig_port_settings *settings);

/**
 * vfmig_port_admin_mac() - MAC address that the administrator set
 * @port: the port
 * @mac: where to, if there is one.  The VF has it from its next reset on, or at once if it
 *	has no driver.  Else the VF has a random one, which belongs to the device.
 *
 * Return: true if the administrator set an address
 */
bool vfmig_port_admin_mac(struct vfmig_port *port, u8 mac[ETH_ALEN]);

/**
 * vfmig_port_allows_mac() - may the VF have this MAC address?
 * @port: the port
 * @mac: the address, which a guest or a migrated state asks for
 *
 * Return: true if the address is valid for a station, and the administrator set none or
 *	the same one, or trusts the VF
 */
bool vfmig_port_allows_mac(struct vfmig_port *port, const u8 mac[ETH_ALEN]);

/**
 * vfmig_port_set_mac() - say which MAC address the VF has now
 * @port: the port
 * @mac: the address.  The spoof check compares it with a frame's source, and "ip link
 *	show" prints it.
 *
 * To be called after the creation, and with every reset, change by the guest and load.
 */
void vfmig_port_set_mac(struct vfmig_port *port, const u8 mac[ETH_ALEN]);

/*
 * The PF
 */

/**
 * vfmig_pf_net_create() - create the network part of a PF: netdev, switch, devlink
 * @pdev: the PF, with its device lock held
 *
 * Return: it, or an ERR_PTR
 */
struct vfmig_pf_net *vfmig_pf_net_create(struct pci_dev *pdev);

/**
 * vfmig_pf_net_destroy() - undo vfmig_pf_net_create()
 * @net: the PF's network part, which has no ports
 */
void vfmig_pf_net_destroy(struct vfmig_pf_net *net);

#endif /* _VFMIG_PORT_H */
