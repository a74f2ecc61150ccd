/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The setup of most tests: one or two open VFs, and an NVMe driver on the first.  Each VF
 * has its own I/O address space, as with two VMMs.  The same memory is mapped at the same
 * IOVA in both.  A test may have two rigs at a time.
 */
#ifndef VFMIG_TEST_RIG_H
#define VFMIG_TEST_RIG_H

#include "mig.h"
#include "nvme.h"
#include "stream.h"

#define RIG_DEVS	2

struct rig {
	char pf[BDF_SIZE];
	unsigned int first_vf;		/* index of device 0; not 0 in a second rig */
	unsigned int devs;
	struct iommu iommu[RIG_DEVS];
	struct vfio_dev dev[RIG_DEVS];
	struct arena mem;
	struct nvme nvme;
	int irq[NVME_VECTORS];		/* eventfd of each vector */
};

/* Returns NULL, or why the test must be skipped.  The caller sets rig->first_vf. */
const char *rig_open(struct rig *rig, const struct pf_vfs *vfs, enum iommu_mode mode,
		     unsigned int devs);
/* The same with two devices, and the best mode that this kernel has */
const char *rig_open_best(struct rig *rig, const struct pf_vfs *vfs);
void rig_close(struct rig *rig);
/* Returns device 1, and opens it first if rig_open() has not: each open takes a while */
struct vfio_dev *rig_second(struct rig *rig);

/*
 * Start the driver on device 0: enable MSI-X vectors 0 to 3, create queue pair 1 with 64
 * entries and vector 1, deallocate the medium.  When this returns, no interrupt is under way.
 */
void rig_start(struct rig *rig);
/*
 * Wait for interrupts under way of the driver's device, and clear their counts.  It sees a
 * completion before the device raises its interrupt.  The arc to RUNNING_P2P waits for the
 * interrupt, as does that to STOP; the device runs again afterwards.
 */
void rig_settle(struct rig *rig);
/* Connect vectors 0 to 3 of a device to the eventfds of the rig */
void rig_irqs(struct rig *rig, unsigned int dev);

/* End the VMM that has device @n; begin another one, with the device @bdf as @n */
void rig_user_ends(struct rig *rig, unsigned int n);
void rig_user_begins(struct rig *rig, unsigned int n, const char *bdf);

/*
 * Move device 0, in any state, to device 1.  Then set up interrupts and bus master of device 1
 * as device 0 had them, and take it to @state.  The driver continues on device 1.
 */
void rig_move(struct rig *rig, u32 state);
/* The same with a stream that was read before */
void rig_land(struct rig *rig, const struct blob *blob, u32 state);

#endif /* VFMIG_TEST_RIG_H */
