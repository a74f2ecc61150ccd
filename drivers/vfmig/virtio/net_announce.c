// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the network finds a guest that has moved.
 *
 * A driver with VIRTIO_NET_F_GUEST_ANNOUNCE sends what it needs to when it is asked to
 * (VIRTIO 5.1.6.5.4).  For another one, the firmware's for example, the device sends a RARP
 * request, as hypervisors do: the bridges on its way learn the new place of the address.
 */
#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/skbuff.h>

#include "net.h"

/* RFC 903 */
struct rarp_request {
	struct ethhdr eth;
	__be16 hardware;
	__be16 protocol;
	u8 hardware_len;
	u8 protocol_len;
	__be16 operation;
	u8 sender_mac[ETH_ALEN];
	u8 sender_ip[4];
	u8 target_mac[ETH_ALEN];
	u8 target_ip[4];
} __packed;

/* Send the request that is due, unless the port has a wake coming; the lock is held */
void vfmig_net_send_rarp(struct vfmig_net *net)
{
	struct rarp_request request = {
		.eth.h_proto = htons(ETH_P_RARP),
		.hardware = htons(ARPHRD_ETHER),
		.protocol = htons(ETH_P_IP),
		.hardware_len = ETH_ALEN,
		.protocol_len = 4,
		.operation = htons(ARPOP_RREQUEST),
	};
	struct sk_buff *skb;

	eth_broadcast_addr(request.eth.h_dest);
	ether_addr_copy(request.eth.h_source, net->mac);
	ether_addr_copy(request.sender_mac, net->mac);
	ether_addr_copy(request.target_mac, net->mac);

	if (!vfmig_port_may_send(net->port, 0))
		return;
	net->rarp_due = false;
	/* If it is lost, the guest's next frame does the same */
	skb = alloc_skb(NET_SKB_PAD + NET_IP_ALIGN + ETH_ZLEN, GFP_ATOMIC);
	if (!skb)
		return;
	skb_reserve(skb, NET_SKB_PAD + NET_IP_ALIGN);
	skb_put_zero(skb, ETH_ZLEN);
	memcpy(skb->data, &request, sizeof(request));
	skb_reset_mac_header(skb);
	vfmig_port_send(net->port, 0, skb);
	vfmig_port_flush(net->port, 0);
}

/* The device runs for the first time at its new place; the lock is held, and the port is up */
void vfmig_net_announce(struct vfmig_net *net)
{
	if (vfmig_net_has(net, VIRTIO_NET_F_GUEST_ANNOUNCE) &&
	    vfmig_net_has(net, VIRTIO_NET_F_STATUS)) {
		net->announce = true;
		vfmig_net_update_config(net);
	} else {
		net->rarp_due = true;
		vfmig_net_send_rarp(net);
	}
}
