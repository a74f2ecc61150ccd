// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PF's switch for devlink: an instance for the PF, a physical port for its netdev, and a
 * port for each VF.  The names and the switch ID in sysfs come from these.
 */
#include <linux/etherdevice.h>
#include <linux/pci.h>
#include <net/devlink.h>

#include "port_priv.h"

/* The VFs' ports have the numbers from 1 on */
#define UPLINK_INDEX	0
#define VF_INDEX(vf)	(1 + (vf))

static int eswitch_mode_get(struct devlink *devlink, u16 *mode)
{
	*mode = DEVLINK_ESWITCH_MODE_SWITCHDEV;
	return 0;
}

static int eswitch_mode_set(struct devlink *devlink, u16 mode, struct netlink_ext_ack *extack)
{
	if (mode == DEVLINK_ESWITCH_MODE_SWITCHDEV)
		return 0;
	NL_SET_ERR_MSG(extack, "VFs have representors: the mode is always switchdev");
	return -EOPNOTSUPP;
}

static const struct devlink_ops pf_devlink_ops = {
	.eswitch_mode_get = eswitch_mode_get,
	.eswitch_mode_set = eswitch_mode_set,
};

static int fn_hw_addr_get(struct devlink_port *devlink_port, u8 *addr, int *len,
			  struct netlink_ext_ack *extack)
{
	struct vfmig_port *port = container_of(devlink_port, struct vfmig_port, devlink_port);

	vfmig_port_shown_mac(port, addr);
	*len = ETH_ALEN;
	return 0;
}

static int fn_hw_addr_set(struct devlink_port *devlink_port, const u8 *addr, int len,
			  struct netlink_ext_ack *extack)
{
	struct vfmig_port *port = container_of(devlink_port, struct vfmig_port, devlink_port);

	if (len != ETH_ALEN) {
		NL_SET_ERR_MSG(extack, "A MAC address has 6 bytes");
		return -EINVAL;
	}
	return vfmig_port_set_admin_mac(port, addr, extack);
}

static const struct devlink_port_ops vf_port_ops = {
	.port_fn_hw_addr_get = fn_hw_addr_get,
	.port_fn_hw_addr_set = fn_hw_addr_set,
};

static int add_uplink(struct vfmig_pf_net *net)
{
	struct devlink_port_attrs attrs = {
		.flavour = DEVLINK_PORT_FLAVOUR_PHYSICAL,
		.switch_id = net->switch_id,
		.phys.port_number = net->number,
	};
	int ret;

	devlink_port_attrs_set(&net->devlink_port, &attrs);
	ret = devlink_port_register(net->devlink, &net->devlink_port, UPLINK_INDEX);
	if (!ret)
		SET_NETDEV_DEVLINK_PORT(net->dev, &net->devlink_port);
	return ret;
}

/* Before the PF's netdev is registered */
int vfmig_devlink_create(struct vfmig_pf_net *net)
{
	int ret;

	net->devlink = devlink_alloc(&pf_devlink_ops, 0, &net->pdev->dev);
	if (!net->devlink)
		return -ENOMEM;
	ret = add_uplink(net);
	if (ret) {
		devlink_free(net->devlink);
		return ret;
	}
	devlink_register(net->devlink);
	return 0;
}

/* After the PF's netdev was unregistered */
void vfmig_devlink_destroy(struct vfmig_pf_net *net)
{
	devlink_unregister(net->devlink);
	devlink_port_unregister(&net->devlink_port);
	devlink_free(net->devlink);
}

/* Before the representor is registered */
int vfmig_devlink_add_port(struct vfmig_port *port)
{
	struct vfmig_pf_net *net = port->net;
	int ret;

	port->devlink_port.attrs.switch_id = net->switch_id;
	devlink_port_attrs_pci_vf_set(&port->devlink_port, 0, net->number, port->index, false);
	ret = devlink_port_register_with_ops(net->devlink, &port->devlink_port,
					     VF_INDEX(port->index), &vf_port_ops);
	if (!ret)
		SET_NETDEV_DEVLINK_PORT(port->dev, &port->devlink_port);
	return ret;
}

/* After the representor was unregistered */
void vfmig_devlink_remove_port(struct vfmig_port *port)
{
	devlink_port_unregister(&port->devlink_port);
}
