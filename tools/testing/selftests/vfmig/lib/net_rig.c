// SPDX-License-Identifier: GPL-2.0-only
/* See net_rig.h */
#include "net_rig.h"

#include <string.h>
#include <unistd.h>

static const char *open_dev(struct net_rig *rig, unsigned int n, enum iommu_mode mode)
{
	char bdf[BDF_SIZE];
	const char *why;

	/* All that may be missing comes before the device, which can be open once only */
	why = iommu_init(&rig->iommu[n], mode) ?: port_open(&rig->port[n], rig->pf, n);
	if (why)
		return why;
	must(pf_vf(rig->pf, n, bdf));
	must(!vfio_open(&rig->dev[n], &rig->iommu[n], bdf));
	arena_map(&rig->mem, &rig->iommu[n]);
	for (unsigned int i = 0; i < VNET_VECTORS; i++)
		rig->irq[n][i] = event_new();
	return NULL;
}

const char *net_rig_open_vfs(struct net_rig *rig, enum iommu_mode mode, unsigned int devs)
{
	const char *why;

	must(devs <= NET_RIG_DEVS);
	arena_init(&rig->mem);
	for (rig->devs = 0; rig->devs < devs; rig->devs++) {
		why = open_dev(rig, rig->devs, mode);
		if (why)
			return why;
	}
	return NULL;
}

const char *net_rig_open(struct net_rig *rig, enum iommu_mode mode, unsigned int devs,
			 unsigned int pairs)
{
	struct pf_vfs vfs = { .model = NET_MODEL, .count = devs, .pairs = pairs };

	return pf_require(&vfs, rig->pf) ?: net_rig_open_vfs(rig, mode, devs);
}

const char *net_rig_open_best(struct net_rig *rig, unsigned int devs, unsigned int pairs)
{
	return net_rig_open(rig, IOMMU_IOMMUFD, devs, pairs) ?
	       net_rig_open(rig, IOMMU_TYPE1, devs, pairs) : NULL;
}

void net_rig_close(struct net_rig *rig)
{
	if (!rig->devs)
		return;
	for (unsigned int n = 0; n < rig->devs; n++) {
		vfio_close(&rig->dev[n]);
		iommu_exit(&rig->iommu[n]);
		port_close(&rig->port[n]);
		for (unsigned int i = 0; i < VNET_VECTORS; i++)
			close(rig->irq[n][i]);
	}
	arena_exit(&rig->mem);
}

int net_rig_restore(struct net_rig *rig, unsigned int n)
{
	static const u8 none[ETH_ALEN];
	int err;

	port_set_mtu(&rig->port[n], 1500);
	err = vf_set_mac(rig->pf, n, none);
	err = vf_set_trust(rig->pf, n, false) ?: err;
	err = vf_set_vlan(rig->pf, n, 0, 0, ETH_P_8021Q) ?: err;
	err = vf_set_rate(rig->pf, n, 0) ?: err;
	err = vf_set_link(rig->pf, n, IFLA_VF_LINK_STATE_AUTO) ?: err;
	return vf_set_spoofchk(rig->pf, n, true) ?: err;
}

void net_rig_irqs(struct net_rig *rig, unsigned int n)
{
	must(!vfio_irqs_set(&rig->dev[n], 0, VNET_VECTORS, rig->irq[n]));
}

void net_rig_start(struct net_rig *rig, unsigned int n, struct vnet *net, u64 wanted,
		   unsigned int pairs)
{
	net_rig_irqs(rig, n);
	vnet_start(net, &rig->dev[n], &rig->mem, wanted, pairs);
	must(port_wait_carrier(&rig->port[n]));
	port_drain(&rig->port[n]);
}

void net_rig_land(struct net_rig *rig, struct vnet *net, unsigned int to,
		  const struct blob *blob, u32 state)
{
	must(!mig_load(&rig->dev[to], blob));
	vfio_bus_master(&rig->dev[to], true);
	net_rig_irqs(rig, to);
	must(!mig_set(&rig->dev[to], state, NULL));
	net->vio.dev = &rig->dev[to];
}

void net_rig_move(struct net_rig *rig, struct vnet *net, unsigned int to, u32 state)
{
	struct blob blob = {};

	mig_save(net->vio.dev, &blob);
	net_rig_land(rig, net, to, &blob, state);
	blob_free(&blob);
}

void net_rig_user_ends(struct net_rig *rig, unsigned int n)
{
	vfio_close(&rig->dev[n]);
	iommu_exit(&rig->iommu[n]);
}

void net_rig_user_begins(struct net_rig *rig, unsigned int n, const char *bdf)
{
	must(!iommu_init(&rig->iommu[n], rig->iommu[n].mode));
	must(!vfio_open(&rig->dev[n], &rig->iommu[n], bdf));
	arena_map(&rig->mem, &rig->iommu[n]);
}

void net_rig_reopen(struct net_rig *rig, unsigned int n)
{
	char bdf[BDF_SIZE];

	bdf_copy(bdf, rig->dev[n].bdf);
	net_rig_user_ends(rig, n);
	net_rig_user_begins(rig, n, bdf);
}

void net_rig_settle(struct net_rig *rig, unsigned int n)
{
	must(!mig_set(&rig->dev[n], RUNNING_P2P, NULL));
	/* This raises all interrupts again */
	must(!mig_set(&rig->dev[n], RUNNING, NULL));
	for (unsigned int i = 0; i < VNET_VECTORS; i++)
		event_count(rig->irq[n][i]);
}
