// SPDX-License-Identifier: GPL-2.0-only
/*
 * The representor: the host's end of a VF's port, an ordinary netdev.  Users put it on a
 * bridge or give it an address.
 */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/netdevice.h>

#include "port_priv.h"

/* What vfmig_port_up() can turn off */
#define GUEST_OFFLOADS	(NETIF_F_HW_CSUM | NETIF_F_TSO | NETIF_F_TSO_ECN | NETIF_F_TSO6 | \
			 NETIF_F_GSO_UDP_L4)

static int rep_open(struct net_device *dev)
{
	struct vfmig_port *port = netdev_priv(dev);

	for (unsigned int i = 0; i < port->nr_queues; i++)
		vfmig_port_queue_open(&port->queues[i]);
	vfmig_port_update_link(port);
	return 0;
}

static int rep_stop(struct net_device *dev)
{
	struct vfmig_port *port = netdev_priv(dev);

	for (unsigned int i = 0; i < port->nr_queues; i++)
		vfmig_port_queue_close(&port->queues[i]);
	vfmig_port_update_link(port);
	return 0;
}

static netdev_tx_t rep_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct vfmig_port *port = netdev_priv(dev);

	return vfmig_port_queue_xmit(&port->queues[skb_get_queue_mapping(skb)], skb);
}

/* The guest's offloads change without the RTNL, so they are no features of the netdev */
static netdev_features_t rep_features_check(struct sk_buff *skb, struct net_device *dev,
					    netdev_features_t features)
{
	struct vfmig_port *port = netdev_priv(dev);

	features &= READ_ONCE(port->features) | ~GUEST_OFFLOADS;
	return vlan_features_check(skb, features);
}

static int rep_change_mtu(struct net_device *dev, int mtu)
{
	struct vfmig_port *port = netdev_priv(dev);

	WRITE_ONCE(dev->mtu, mtu);
	port->ops->changed(port->vf);
	return 0;
}

static void rep_get_stats64(struct net_device *dev, struct rtnl_link_stats64 *stats)
{
	struct vfmig_port *port = netdev_priv(dev);
	struct vfmig_port_count to_guest, from_guest;

	vfmig_port_sum(port, &to_guest, &from_guest);
	stats->tx_packets = to_guest.packets;
	stats->tx_bytes = to_guest.bytes;
	stats->tx_dropped = vfmig_port_sum_drops(port->to_guest_drops);
	stats->rx_packets = from_guest.packets;
	stats->rx_bytes = from_guest.bytes;
	stats->rx_dropped = vfmig_port_sum_drops(port->from_guest_drops);
	stats->multicast = from_guest.multicast;
}

/* In a kernel with devlink the port answers these two */
static int rep_get_phys_port_name(struct net_device *dev, char *name, size_t size)
{
	struct vfmig_port *port = netdev_priv(dev);
	int len;

	if (dev->devlink_port)
		return -EOPNOTSUPP;
	len = snprintf(name, size, "pf%uvf%u", port->net->number, port->index);
	return len < size ? 0 : -EINVAL;
}

static int rep_get_port_parent_id(struct net_device *dev, struct netdev_phys_item_id *id)
{
	struct vfmig_port *port = netdev_priv(dev);

	if (dev->devlink_port)
		return -EOPNOTSUPP;
	*id = port->net->switch_id;
	return 0;
}

const struct net_device_ops vfmig_rep_ops = {
	.ndo_open = rep_open,
	.ndo_stop = rep_stop,
	.ndo_start_xmit = rep_start_xmit,
	.ndo_features_check = rep_features_check,
	.ndo_change_mtu = rep_change_mtu,
	.ndo_get_stats64 = rep_get_stats64,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
	.ndo_get_phys_port_name = rep_get_phys_port_name,
	.ndo_get_port_parent_id = rep_get_port_parent_id,
};
