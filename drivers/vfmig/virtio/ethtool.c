// SPDX-License-Identifier: GPL-2.0-only
/*
 * What ethtool shows of a representor and of the PF's netdev: link, driver, channels, and
 * the counters of the port, with the reasons of dropped frames.
 */
#include <linux/ethtool.h>
#include <linux/netdevice.h>
#include <linux/pci.h>

#include "port_priv.h"

static const char *const drop_names[VFMIG_DROP_ALL] = {
	[VFMIG_DROP_FILTERED] = "filtered",
	[VFMIG_DROP_TOO_LONG] = "too_long",
	[VFMIG_DROP_OFFLOAD] = "offload",
	[VFMIG_DROP_FAULT] = "fault",
	[VFMIG_DROP_MALFORMED] = "malformed",
	[VFMIG_DROP_NO_MEMORY] = "no_memory",
	[VFMIG_DROP_LINK] = "link",
	[VFMIG_DROP_VLAN] = "vlan",
	[VFMIG_DROP_SPOOF] = "spoof",
	[VFMIG_DROP_FULL] = "full",
	[VFMIG_DROP_FLUSHED] = "flushed",
};

/* Of each queue: packets and bytes in each direction */
#define QUEUE_STATS	4
#define PORT_STATS	(2 * VFMIG_DROP_ALL + 1)

static int rep_get_sset_count(struct net_device *dev, int sset)
{
	struct vfmig_port *port = netdev_priv(dev);

	if (sset != ETH_SS_STATS)
		return -EOPNOTSUPP;
	return PORT_STATS + port->nr_queues * QUEUE_STATS;
}

static void rep_get_strings(struct net_device *dev, u32 sset, u8 *data)
{
	struct vfmig_port *port = netdev_priv(dev);

	if (sset != ETH_SS_STATS)
		return;
	for (unsigned int i = 0; i < VFMIG_DROP_ALL; i++)
		ethtool_sprintf(&data, "to_guest_drop_%s", drop_names[i]);
	for (unsigned int i = 0; i < VFMIG_DROP_ALL; i++)
		ethtool_sprintf(&data, "from_guest_drop_%s", drop_names[i]);
	ethtool_puts(&data, "to_guest_stalls");
	for (unsigned int i = 0; i < port->nr_queues; i++) {
		ethtool_sprintf(&data, "to_guest_q%u_packets", i);
		ethtool_sprintf(&data, "to_guest_q%u_bytes", i);
		ethtool_sprintf(&data, "from_guest_q%u_packets", i);
		ethtool_sprintf(&data, "from_guest_q%u_bytes", i);
	}
}

static void rep_get_ethtool_stats(struct net_device *dev, struct ethtool_stats *stats, u64 *data)
{
	struct vfmig_port *port = netdev_priv(dev);
	struct vfmig_port_count count;

	for (unsigned int i = 0; i < VFMIG_DROP_ALL; i++)
		*data++ = atomic64_read(&port->to_guest_drops[i]);
	for (unsigned int i = 0; i < VFMIG_DROP_ALL; i++)
		*data++ = atomic64_read(&port->from_guest_drops[i]);
	*data++ = atomic64_read(&port->stalls);
	for (unsigned int i = 0; i < port->nr_queues; i++) {
		vfmig_port_read_count(&port->queues[i].delivered, &count);
		*data++ = count.packets;
		*data++ = count.bytes;
		vfmig_port_read_count(&port->queues[i].sent, &count);
		*data++ = count.packets;
		*data++ = count.bytes;
	}
}

static int rep_get_link_ksettings(struct net_device *dev, struct ethtool_link_ksettings *cmd)
{
	cmd->base.speed = netif_carrier_ok(dev) ? VFMIG_PORT_SPEED : SPEED_UNKNOWN;
	cmd->base.duplex = netif_carrier_ok(dev) ? DUPLEX_FULL : DUPLEX_UNKNOWN;
	cmd->base.port = PORT_OTHER;
	cmd->base.autoneg = AUTONEG_DISABLE;
	return 0;
}

static void rep_get_channels(struct net_device *dev, struct ethtool_channels *channels)
{
	struct vfmig_port *port = netdev_priv(dev);

	channels->max_combined = port->nr_queues;
	channels->combined_count = port->nr_queues;
}

static void rep_get_ringparam(struct net_device *dev, struct ethtool_ringparam *ring,
			      struct kernel_ethtool_ringparam *kernel_ring,
			      struct netlink_ext_ack *extack)
{
	ring->tx_max_pending = VFMIG_TO_GUEST_FRAMES;
	ring->tx_pending = VFMIG_TO_GUEST_FRAMES;
	ring->rx_max_pending = VFMIG_FROM_GUEST_FRAMES;
	ring->rx_pending = VFMIG_FROM_GUEST_FRAMES;
}

static void get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, "vfmig_sim", sizeof(info->driver));
	strscpy(info->bus_info, dev_name(dev->dev.parent), sizeof(info->bus_info));
}

static void rep_get_drvinfo(struct net_device *dev, struct ethtool_drvinfo *info)
{
	get_drvinfo(dev, info);
	strscpy(info->driver, "vfmig_sim_rep", sizeof(info->driver));
}

const struct ethtool_ops vfmig_rep_ethtool_ops = {
	.get_drvinfo = rep_get_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_link_ksettings = rep_get_link_ksettings,
	.get_channels = rep_get_channels,
	.get_ringparam = rep_get_ringparam,
	.get_ts_info = ethtool_op_get_ts_info,
	.get_sset_count = rep_get_sset_count,
	.get_strings = rep_get_strings,
	.get_ethtool_stats = rep_get_ethtool_stats,
};

const struct ethtool_ops vfmig_pf_net_ethtool_ops = {
	.get_drvinfo = get_drvinfo,
	.get_link = ethtool_op_get_link,
};
