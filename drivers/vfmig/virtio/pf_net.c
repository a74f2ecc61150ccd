// SPDX-License-Identifier: GPL-2.0-only
/*
 * The network part of a PF: a switch with a port for each VF, and a netdev, through which
 * the administrator sets the policies of the VFs (ip link set DEV vf N ...).
 *
 * The netdev is the switch's uplink.  No cable is in it: it has no carrier, and drops what
 * is sent.
 */
#include <linux/etherdevice.h>
#include <linux/if_link.h>
#include <linux/if_vlan.h>
#include <linux/nospec.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/rtnetlink.h>

#include "port_priv.h"

/* The netdev's private part is a pointer: the switch is there before and after it */
static struct vfmig_pf_net *net_of(struct net_device *dev)
{
	return *(struct vfmig_pf_net **)netdev_priv(dev);
}

/* These callbacks have no extack, so the reason goes to the log */
#define refuse(netdev, format, ...) \
	dev_err_ratelimited((netdev)->dev.parent, format "\n", ##__VA_ARGS__)

static struct vfmig_port *find_port(struct net_device *dev, int vf)
{
	ASSERT_RTNL();
	if (vf < 0 || vf >= VFMIG_MAX_VFS)
		return NULL;
	return net_of(dev)->ports[array_index_nospec(vf, VFMIG_MAX_VFS)];
}

static struct vfmig_port *get_port(struct net_device *dev, int vf)
{
	struct vfmig_port *port = find_port(dev, vf);

	if (!port)
		refuse(dev, "there is no VF %d", vf);
	return port;
}

static int set_vf_mac(struct net_device *dev, int vf, u8 *mac)
{
	struct vfmig_port *port = get_port(dev, vf);
	int ret;

	if (!port)
		return -EINVAL;
	ret = vfmig_port_set_admin_mac(port, mac, NULL);
	if (ret)
		refuse(dev, "VF %d: %pM is no MAC address of a station", vf, mac);
	else if (netif_carrier_ok(port->dev))
		netdev_info(dev, "VF %d has the MAC address from its next reset on\n", vf);
	return ret;
}

static int set_vf_vlan(struct net_device *dev, int vf, u16 vlan, u8 qos, __be16 proto)
{
	struct vfmig_port *port = get_port(dev, vf);

	if (!port)
		return -EINVAL;
	if (vlan >= VLAN_N_VID - 1 || qos > 7) {
		refuse(dev, "VF %d: VLAN %u or priority %u is out of range", vf, vlan, qos);
		return -EINVAL;
	}
	if (!eth_type_vlan(proto)) {
		refuse(dev, "VF %d: VLAN protocol 0x%04x is unknown", vf, ntohs(proto));
		return -EPROTONOSUPPORT;
	}
	write_seqlock_bh(&port->policy.lock);
	port->policy.vlan_proto = proto;
	port->policy.vlan_tci = qos << VLAN_PRIO_SHIFT | vlan;
	write_sequnlock_bh(&port->policy.lock);
	return 0;
}

static int set_vf_rate(struct net_device *dev, int vf, int min_rate, int max_rate)
{
	struct vfmig_port *port = get_port(dev, vf);

	if (!port)
		return -EINVAL;
	if (min_rate) {
		refuse(dev, "VF %d: no minimal rate can be promised", vf);
		return -EOPNOTSUPP;
	}
	if (max_rate < 0 || max_rate > VFMIG_PORT_SPEED) {
		refuse(dev, "VF %d: rate %d Mbit/s is over the speed of the port, %d Mbit/s",
		       vf, max_rate, VFMIG_PORT_SPEED);
		return -EINVAL;
	}
	write_seqlock_bh(&port->policy.lock);
	WRITE_ONCE(port->policy.max_rate, max_rate);
	write_sequnlock_bh(&port->policy.lock);
	vfmig_port_rate_changed(port);
	return 0;
}

static int set_vf_spoofchk(struct net_device *dev, int vf, bool on)
{
	struct vfmig_port *port = get_port(dev, vf);

	if (!port)
		return -EINVAL;
	write_seqlock_bh(&port->policy.lock);
	port->policy.spoofchk = on;
	write_sequnlock_bh(&port->policy.lock);
	return 0;
}

static int set_vf_trust(struct net_device *dev, int vf, bool on)
{
	struct vfmig_port *port = get_port(dev, vf);

	if (!port)
		return -EINVAL;
	write_seqlock_bh(&port->policy.lock);
	WRITE_ONCE(port->policy.trusted, on);
	write_sequnlock_bh(&port->policy.lock);
	port->ops->changed(port->vf);
	return 0;
}

static int set_vf_link_state(struct net_device *dev, int vf, int state)
{
	struct vfmig_port *port = get_port(dev, vf);

	if (!port)
		return -EINVAL;
	if (state < IFLA_VF_LINK_STATE_AUTO || state > IFLA_VF_LINK_STATE_DISABLE) {
		refuse(dev, "VF %d: link state %d is unknown", vf, state);
		return -EINVAL;
	}
	write_seqlock_bh(&port->policy.lock);
	WRITE_ONCE(port->policy.link_state, state);
	write_sequnlock_bh(&port->policy.lock);
	vfmig_port_update_link(port);
	return 0;
}

/* What cannot change under the RTNL is read without the policy's lock */
static int get_vf_config(struct net_device *dev, int vf, struct ifla_vf_info *info)
{
	struct vfmig_port *port = find_port(dev, vf);
	struct vfmig_policy *policy;

	if (!port)
		return -EINVAL;
	policy = &port->policy;
	info->vf = vf;
	vfmig_port_shown_mac(port, info->mac);
	info->vlan = policy->vlan_tci & VLAN_VID_MASK;
	info->qos = policy->vlan_tci >> VLAN_PRIO_SHIFT;
	info->vlan_proto = policy->vlan_proto;
	info->spoofchk = policy->spoofchk;
	info->trusted = policy->trusted;
	info->linkstate = policy->link_state;
	info->min_tx_rate = 0;
	info->max_tx_rate = policy->max_rate;
	return 0;
}

static int get_vf_stats(struct net_device *dev, int vf, struct ifla_vf_stats *stats)
{
	struct vfmig_port *port = find_port(dev, vf);
	struct vfmig_port_count to_guest, from_guest;

	if (!port)
		return -EINVAL;
	vfmig_port_sum(port, &to_guest, &from_guest);
	stats->rx_packets = to_guest.packets;
	stats->rx_bytes = to_guest.bytes;
	stats->rx_dropped = vfmig_port_sum_drops(port->to_guest_drops);
	stats->broadcast = to_guest.broadcast;
	stats->multicast = to_guest.multicast;
	stats->tx_packets = from_guest.packets;
	stats->tx_bytes = from_guest.bytes;
	stats->tx_dropped = vfmig_port_sum_drops(port->from_guest_drops);
	return 0;
}

static netdev_tx_t start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	dev_core_stats_tx_dropped_inc(dev);
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

/* In a kernel with devlink the port answers these two */
static int get_phys_port_name(struct net_device *dev, char *name, size_t size)
{
	if (dev->devlink_port)
		return -EOPNOTSUPP;
	return snprintf(name, size, "p%u", net_of(dev)->number) < size ? 0 : -EINVAL;
}

static int get_port_parent_id(struct net_device *dev, struct netdev_phys_item_id *id)
{
	if (dev->devlink_port)
		return -EOPNOTSUPP;
	*id = net_of(dev)->switch_id;
	return 0;
}

static const struct net_device_ops pf_ops = {
	.ndo_start_xmit = start_xmit,
	.ndo_set_mac_address = eth_mac_addr,
	.ndo_validate_addr = eth_validate_addr,
	.ndo_set_vf_mac = set_vf_mac,
	.ndo_set_vf_vlan = set_vf_vlan,
	.ndo_set_vf_rate = set_vf_rate,
	.ndo_set_vf_spoofchk = set_vf_spoofchk,
	.ndo_set_vf_trust = set_vf_trust,
	.ndo_set_vf_link_state = set_vf_link_state,
	.ndo_get_vf_config = get_vf_config,
	.ndo_get_vf_stats = get_vf_stats,
	.ndo_get_phys_port_name = get_phys_port_name,
	.ndo_get_port_parent_id = get_port_parent_id,
};

static struct net_device *alloc_netdev_of(struct vfmig_pf_net *net)
{
	struct net_device *dev = alloc_etherdev(sizeof(net));

	if (!dev)
		return NULL;
	*(struct vfmig_pf_net **)netdev_priv(dev) = net;
	dev->netdev_ops = &pf_ops;
	dev->ethtool_ops = &vfmig_pf_net_ethtool_ops;
	dev->max_mtu = VFMIG_PORT_MAX_MTU;
	SET_NETDEV_DEV(dev, &net->pdev->dev);
	eth_hw_addr_random(dev);
	netif_carrier_off(dev);
	return dev;
}

struct vfmig_pf_net *vfmig_pf_net_create(struct pci_dev *pdev)
{
	struct vfmig_pf_net *net;
	int ret = -ENOMEM;

	net = kzalloc(sizeof(*net), GFP_KERNEL);
	if (!net)
		return ERR_PTR(-ENOMEM);
	net->pdev = pdev;
	net->number = pdev->devfn;
	net->switch_id.id_len = 8;
	get_random_bytes(net->switch_id.id, net->switch_id.id_len);

	net->dev = alloc_netdev_of(net);
	if (!net->dev)
		goto err_free;
	ret = vfmig_devlink_create(net);
	if (ret)
		goto err_free_netdev;
	ret = register_netdev(net->dev);
	if (ret)
		goto err_devlink;
	return net;

err_devlink:
	vfmig_devlink_destroy(net);
err_free_netdev:
	free_netdev(net->dev);
err_free:
	kfree(net);
	return ERR_PTR(ret);
}

void vfmig_pf_net_destroy(struct vfmig_pf_net *net)
{
	unregister_netdev(net->dev);
	vfmig_devlink_destroy(net);
	free_netdev(net->dev);
	kfree(net);
}
