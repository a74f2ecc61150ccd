/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The setup of most tests of virtio-net VFs: open VFs with an I/O address space each, in which
 * the same memory is at the same IOVA, and the host's ends of their ports.
 */
#ifndef VFMIG_TEST_NET_RIG_H
#define VFMIG_TEST_NET_RIG_H

#include "mig.h"
#include "port.h"
#include "virtio_net.h"

#define NET_RIG_DEVS	4
#define NET_MODEL	"virtio-net"

struct net_rig {
	char pf[BDF_SIZE];
	unsigned int devs;
	struct iommu iommu[NET_RIG_DEVS];
	struct vfio_dev dev[NET_RIG_DEVS];
	struct port port[NET_RIG_DEVS];
	int irq[NET_RIG_DEVS][VNET_VECTORS];	/* eventfds of the vectors */
	struct arena mem;
};

/* Open @devs VFs of @pairs queue pairs.  Returns NULL, or why the test must be skipped. */
const char *net_rig_open(struct net_rig *rig, enum iommu_mode mode, unsigned int devs,
			 unsigned int pairs);
/* The same with the first VFs that the PF rig->pf has already */
const char *net_rig_open_vfs(struct net_rig *rig, enum iommu_mode mode, unsigned int devs);
/* The same as net_rig_open() with the best mode that this kernel has */
const char *net_rig_open_best(struct net_rig *rig, unsigned int devs, unsigned int pairs);
void net_rig_close(struct net_rig *rig);
/* Undo what a test has set of VF @n and its port as the administrator; 0 or -errno */
int net_rig_restore(struct net_rig *rig, unsigned int n);
/* Connect the vectors of device @n to its eventfds */
void net_rig_irqs(struct net_rig *rig, unsigned int n);
/*
 * Connect the vectors of device @n, start a driver on it, and wait until the host can send.
 * Frames of the host that came before are gone.
 */
void net_rig_start(struct net_rig *rig, unsigned int n, struct vnet *net, u64 wanted,
		   unsigned int pairs);
/*
 * Load a stream into device @to, with vectors and bus master, and take it to @state.  The
 * driver continues there.
 */
void net_rig_land(struct net_rig *rig, struct vnet *net, unsigned int to,
		  const struct blob *blob, u32 state);
/* Move the driver's device, in any state, to device @to */
void net_rig_move(struct net_rig *rig, struct vnet *net, unsigned int to, u32 state);
/* Close device @n */
void net_rig_user_ends(struct net_rig *rig, unsigned int n);
/* Open the device @bdf as device @n, without vectors */
void net_rig_user_begins(struct net_rig *rig, unsigned int n, const char *bdf);
/* Close device @n, and open it as another user; it has no vectors then */
void net_rig_reopen(struct net_rig *rig, unsigned int n);
/* Wait for what is under way, and clear the counts of interrupts; the device runs afterwards */
void net_rig_settle(struct net_rig *rig, unsigned int n);

#endif /* VFMIG_TEST_NET_RIG_H */
