// SPDX-License-Identifier: GPL-2.0-only
/*
 * The frames that the guest wants (VIRTIO 5.1.6.5.1 to 5.1.6.5.3).
 *
 * A guest that the administrator does not trust can choose every mode, but unicast that is
 * not for it does not become visible.
 */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/nospec.h>
#include <linux/string.h>

#include "net.h"

void vfmig_net_filter_reset(struct vfmig_net_filter *filter)
{
	memset(filter, 0, sizeof(*filter));
}

static bool has_mode(const struct vfmig_net_filter *filter, unsigned int mode)
{
	return filter->modes & BIT(mode);
}

static bool has_mac(const struct vfmig_net_macs *macs, const u8 *mac)
{
	for (unsigned int i = 0; i < macs->count; i++)
		if (ether_addr_equal_unaligned(macs->mac[i], mac))
			return true;
	return false;
}

static bool wants_vlan(const struct vfmig_net_filter *filter, const struct sk_buff *skb)
{
	const struct vlan_ethhdr *header;
	struct vlan_ethhdr copy;
	unsigned int vid;

	/* Only the Ethernet header is certain to be linear */
	header = skb_header_pointer(skb, 0, sizeof(copy), &copy);
	if (!header || header->h_vlan_proto != htons(ETH_P_8021Q))
		return true;
	vid = ntohs(header->h_vlan_TCI) & VLAN_VID_MASK;
	return test_bit(array_index_nospec(vid, VLAN_N_VID), filter->vlans);
}

static bool wants_multicast(const struct vfmig_net *net, const u8 *dest)
{
	const struct vfmig_net_filter *filter = &net->filter;

	if (has_mode(filter, VIRTIO_NET_CTRL_RX_NOMULTI))
		return false;
	return !filter->chosen || has_mode(filter, VIRTIO_NET_CTRL_RX_ALLMULTI) ||
	       filter->multi.overflow || has_mac(&filter->multi, dest);
}

static bool wants_unicast(const struct vfmig_net *net, const u8 *dest)
{
	const struct vfmig_net_filter *filter = &net->filter;

	if (has_mode(filter, VIRTIO_NET_CTRL_RX_NOUNI))
		return false;
	if (ether_addr_equal_unaligned(dest, net->mac))
		return true;
	return net->trusted && (has_mode(filter, VIRTIO_NET_CTRL_RX_ALLUNI) ||
				filter->uni.overflow || has_mac(&filter->uni, dest));
}

/* Does the guest get this frame, which begins with an Ethernet header? */
bool vfmig_net_wants(const struct vfmig_net *net, const struct sk_buff *skb)
{
	const struct vfmig_net_filter *filter = &net->filter;
	const u8 *dest = skb->data;

	if (!wants_vlan(filter, skb))
		return false;
	if (has_mode(filter, VIRTIO_NET_CTRL_RX_PROMISC) && net->trusted)
		return true;
	if (is_broadcast_ether_addr(dest))
		return !has_mode(filter, VIRTIO_NET_CTRL_RX_NOBCAST);
	if (is_multicast_ether_addr(dest))
		return has_mode(filter, VIRTIO_NET_CTRL_RX_PROMISC) || wants_multicast(net, dest);
	return wants_unicast(net, dest);
}
