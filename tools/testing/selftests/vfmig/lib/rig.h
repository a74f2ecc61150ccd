/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What most tests stand on: one or two open VFs, each in an I/O address space of
 * its own as of two VMMs, with the same memory mapped at the same place in both,
 * and an NVMe driver on the first.  A test may have two rigs beside each other.
 */
#ifndef VFMIG_TEST_RIG_H
#define VFMIG_TEST_RIG_H

#include "mig.h"
#include "nvme.h"
#include "stream.h"

#define RIG_DEVS	2

struct rig {
	char pf[BDF_SIZE];
	unsigned int first_vf;		/* that device 0 is; not 0 only beside another rig */
	unsigned int devs;
	struct iommu iommu[RIG_DEVS];
	struct vfio_dev dev[RIG_DEVS];
	struct arena mem;
	struct nvme nvme;
	int irq[NVME_VECTORS];		/* eventfd of each vector */
};

/* NULL, or why the test must be skipped; first_vf says which of the VFs it begins with */
const char *rig_open(struct rig *rig, const struct pf_vfs *vfs, enum iommu_mode mode,
		     unsigned int devs);
void rig_close(struct rig *rig);
/* Device 1, opened now if rig_open() was not asked for it: each open takes a while */
struct vfio_dev *rig_second(struct rig *rig);

/*
 * The driver on device 0: MSI-X vectors 0 to 3 on, queue pair 1 with 64 entries and
 * vector 1 made, the medium deallocated.  No interrupt is on its way.
 */
void rig_start(struct rig *rig);
/*
 * Device 0 runs on with no interrupt on its way and none counted.  The driver sees a
 * completion before the device raises its interrupt; the arc to RUNNING_P2P waits for it.
 */
void rig_settle(struct rig *rig);
/* Vectors 0 to 3 of a device fire the eventfds of the rig */
void rig_irqs(struct rig *rig, unsigned int dev);

/* The VMM that has device @n ends; another one begins, with the device @bdf as @n */
void rig_user_ends(struct rig *rig, unsigned int n);
void rig_user_begins(struct rig *rig, unsigned int n, const char *bdf);

/*
 * Move the state of device 0 to device 1, whatever state it is in, then device 1 to
 * @state with interrupts and bus master as device 0 had them; the driver follows.
 */
void rig_move(struct rig *rig, u32 state);
/* The same with a stream at hand */
void rig_land(struct rig *rig, const struct blob *blob, u32 state);

#endif /* VFMIG_TEST_RIG_H */
