// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ports: creation and destruction, the state that the device sets, and the link, which
 * depends on that state, on the administrator and on the representor.  port.h is the
 * interface; the frames are in port_queue.c.
 */
#include <linux/etherdevice.h>
#include <linux/if_link.h>
#include <linux/pci.h>
#include <linux/rtnetlink.h>

#include "port_priv.h"

static void update_carrier(struct vfmig_port *port)
{
	int link_state = READ_ONCE(port->policy.link_state);

	lockdep_assert_held(&port->lock);
	if (port->state != VFMIG_PORT_DOWN && link_state != IFLA_VF_LINK_STATE_DISABLE)
		netif_carrier_on(port->dev);
	else
		netif_carrier_off(port->dev);
}

/* The administrator or the representor changed something that the link depends on */
void vfmig_port_update_link(struct vfmig_port *port)
{
	spin_lock_bh(&port->lock);
	update_carrier(port);
	spin_unlock_bh(&port->lock);
	port->ops->changed(port->vf);
}

/* Is the guest's link up? */
bool vfmig_port_guest_link(struct vfmig_port *port)
{
	switch (READ_ONCE(port->policy.link_state)) {
	case IFLA_VF_LINK_STATE_ENABLE:
		return true;
	case IFLA_VF_LINK_STATE_DISABLE:
		return false;
	default:
		return netif_running(port->dev);
	}
}

/*
 * The queues hear of a change only: a guest that is stalled must not look as if it took frames
 * because it says again that it is up.
 */
static void set_state(struct vfmig_port *port, enum vfmig_port_state state,
		      netdev_features_t features)
{
	spin_lock_bh(&port->lock);
	WRITE_ONCE(port->features, features);
	if (port->state != state) {
		port->state = state;
		for (unsigned int i = 0; i < port->nr_queues; i++)
			vfmig_port_queue_set_state(&port->queues[i], state);
		update_carrier(port);
	}
	spin_unlock_bh(&port->lock);
}

void vfmig_port_up(struct vfmig_port *port, netdev_features_t features)
{
	set_state(port, VFMIG_PORT_UP, features);
}

void vfmig_port_hold(struct vfmig_port *port, netdev_features_t features)
{
	set_state(port, VFMIG_PORT_HOLD, features);
}

void vfmig_port_down(struct vfmig_port *port)
{
	set_state(port, VFMIG_PORT_DOWN, 0);
}

void vfmig_port_get_settings(struct vfmig_port *port, struct vfmig_port_settings *settings)
{
	settings->link_up = vfmig_port_guest_link(port);
	settings->trusted = READ_ONCE(port->policy.trusted);
	settings->mtu = READ_ONCE(port->dev->mtu);
}

bool vfmig_port_admin_mac(struct vfmig_port *port, u8 mac[ETH_ALEN])
{
	struct vfmig_policy *policy = &port->policy;
	unsigned int seq;
	bool set;

	do {
		seq = read_seqbegin(&policy->lock);
		set = !is_zero_ether_addr(policy->admin_mac);
		if (set)
			ether_addr_copy(mac, policy->admin_mac);
	} while (read_seqretry(&policy->lock, seq));
	return set;
}

bool vfmig_port_allows_mac(struct vfmig_port *port, const u8 mac[ETH_ALEN])
{
	u8 admin_mac[ETH_ALEN] __aligned(2);

	if (!is_valid_ether_addr(mac))
		return false;
	if (READ_ONCE(port->policy.trusted) || !vfmig_port_admin_mac(port, admin_mac))
		return true;
	return ether_addr_equal(admin_mac, mac);
}

void vfmig_port_set_mac(struct vfmig_port *port, const u8 mac[ETH_ALEN])
{
	write_seqlock_bh(&port->policy.lock);
	ether_addr_copy(port->policy.mac, mac);
	write_sequnlock_bh(&port->policy.lock);
}

/**
 * vfmig_port_set_admin_mac() - set the MAC address of a VF, for the administrator
 * @port: the VF's port
 * @mac: the address, or zeroes to take back the one that was set
 * @extack: where the reason of an error goes, or NULL
 *
 * Return: 0, or -EINVAL
 */
int vfmig_port_set_admin_mac(struct vfmig_port *port, const u8 *mac,
			     struct netlink_ext_ack *extack)
{
	if (!is_zero_ether_addr(mac) && !is_valid_ether_addr(mac)) {
		NL_SET_ERR_MSG(extack, "A VF's MAC address must be one of a station");
		return -EINVAL;
	}
	write_seqlock_bh(&port->policy.lock);
	ether_addr_copy(port->policy.admin_mac, mac);
	write_sequnlock_bh(&port->policy.lock);
	port->ops->changed(port->vf);
	return 0;
}

/* The MAC address of the VF, or the one that it will have */
void vfmig_port_shown_mac(struct vfmig_port *port, u8 *mac)
{
	struct vfmig_policy *policy = &port->policy;

	read_seqlock_excl_bh(&policy->lock);
	memcpy(mac, is_zero_ether_addr(policy->admin_mac) ? policy->mac : policy->admin_mac,
	       ETH_ALEN);
	read_sequnlock_excl_bh(&policy->lock);
}

/* What the representor can do: the guest's offloads, or the same in software */
static void init_rep(struct vfmig_port *port)
{
	struct net_device *dev = port->dev;

	dev->netdev_ops = &vfmig_rep_ops;
	dev->ethtool_ops = &vfmig_rep_ethtool_ops;
	dev->hw_features = NETIF_F_SG | NETIF_F_FRAGLIST | NETIF_F_HW_CSUM | NETIF_F_RXCSUM |
			   NETIF_F_TSO | NETIF_F_TSO_ECN | NETIF_F_TSO6 | NETIF_F_GSO_UDP_L4;
	/* No NETIF_F_GSO_ROBUST: the stack verifies what one guest says before another sees it */
	dev->features = dev->hw_features | NETIF_F_HIGHDMA;
	dev->vlan_features = dev->features;
	dev->max_mtu = VFMIG_PORT_MAX_MTU;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	/* A frame waits in a queue, so nobody else may have it */
	dev->priv_flags &= ~IFF_TX_SKB_SHARING;
	/* It transmits with interrupts off, on a CPU that may hold a lock of the port */
	dev->priv_flags |= IFF_DISABLE_NETPOLL;
	SET_NETDEV_DEV(dev, &port->net->pdev->dev);
	eth_hw_addr_random(dev);
	netif_carrier_off(dev);
}

static struct vfmig_port *alloc_port(struct vfmig_pf_net *net, unsigned int index,
				     unsigned int queues)
{
	struct net_device *dev;
	struct vfmig_port *port;

	dev = alloc_etherdev_mqs(struct_size(port, queues, queues), queues, queues);
	if (!dev)
		return NULL;
	port = netdev_priv(dev);
	port->nr_queues = queues;
	port->dev = dev;
	port->net = net;
	port->index = index;
	spin_lock_init(&port->lock);
	vfmig_policy_init(&port->policy);
	vfmig_port_queues_init(port);
	init_rep(port);
	return port;
}

static void free_port(struct vfmig_port *port)
{
	vfmig_port_queues_exit(port);
	free_netdev(port->dev);
}

/* The ports of a PF change together with the netdevs, so the PF's netdev finds no other */
static int register_rep(struct vfmig_port *port)
{
	int ret;

	rtnl_lock();
	ret = register_netdevice(port->dev);
	if (!ret)
		port->net->ports[port->index] = port;
	rtnl_unlock();
	return ret;
}

static void unregister_rep(struct vfmig_port *port)
{
	rtnl_lock();
	port->net->ports[port->index] = NULL;
	unregister_netdevice(port->dev);
	rtnl_unlock();
}

struct vfmig_port *vfmig_port_create(struct vfmig_pf_net *net, unsigned int index,
				     unsigned int queues, const struct vfmig_port_ops *ops,
				     void *vf)
{
	struct vfmig_port *port;
	int ret;

	if (index >= VFMIG_MAX_VFS || !queues || queues > VFMIG_PORT_MAX_QUEUES)
		return ERR_PTR(-EINVAL);
	port = alloc_port(net, index, queues);
	if (!port)
		return ERR_PTR(-ENOMEM);
	port->ops = ops;
	port->vf = vf;

	ret = vfmig_devlink_add_port(port);
	if (ret)
		goto err_free;
	ret = register_rep(port);
	if (ret)
		goto err_devlink;
	return port;

err_devlink:
	vfmig_devlink_remove_port(port);
err_free:
	free_port(port);
	return ERR_PTR(ret);
}

void vfmig_port_destroy(struct vfmig_port *port)
{
	vfmig_port_down(port);
	unregister_rep(port);
	vfmig_devlink_remove_port(port);
	free_port(port);
}
