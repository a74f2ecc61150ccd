// SPDX-License-Identifier: GPL-2.0-only
/* See rig.h */
#include "rig.h"

#include <unistd.h>

#define RIG_VECTORS	4
#define RIG_DEPTH	64

const char *rig_open(struct rig *rig, const struct pf_vfs *vfs, enum iommu_mode mode,
		     unsigned int devs)
{
	char bdf[BDF_SIZE];
	const char *why;

	must(rig->first_vf + devs <= vfs->count && devs <= RIG_DEVS);
	/* First, as without a device there is no folder of cdevs */
	why = pf_require(vfs, rig->pf);
	if (why)
		return why;
	for (unsigned int i = 0; i < devs; i++) {
		why = iommu_init(&rig->iommu[i], mode);
		if (why)
			return why;
	}
	arena_init(&rig->mem);
	for (unsigned int i = 0; i < NVME_VECTORS; i++)
		rig->irq[i] = event_new();
	for (unsigned int i = 0; i < devs; i++) {
		must(pf_vf(rig->pf, rig->first_vf + i, bdf));
		must(!vfio_open(&rig->dev[i], &rig->iommu[i], bdf));
		arena_map(&rig->mem, &rig->iommu[i]);
	}
	rig->devs = devs;
	return NULL;
}

const char *rig_open_best(struct rig *rig, const struct pf_vfs *vfs)
{
	return rig_open(rig, vfs, IOMMU_IOMMUFD, RIG_DEVS) ?
	       rig_open(rig, vfs, IOMMU_TYPE1, RIG_DEVS) : NULL;
}

struct vfio_dev *rig_second(struct rig *rig)
{
	char bdf[BDF_SIZE];

	if (rig->devs == 1) {
		must(!iommu_init(&rig->iommu[1], rig->iommu[0].mode));
		must(pf_vf(rig->pf, rig->first_vf + 1, bdf));
		must(!vfio_open(&rig->dev[1], &rig->iommu[1], bdf));
		arena_map(&rig->mem, &rig->iommu[1]);
		rig->devs = 2;
	}
	return &rig->dev[1];
}

void rig_close(struct rig *rig)
{
	for (unsigned int i = 0; i < rig->devs; i++) {
		vfio_close(&rig->dev[i]);
		iommu_exit(&rig->iommu[i]);
	}
	pf_attr_set(rig->pf, "io_latency_us", 0);
	arena_exit(&rig->mem);
	for (unsigned int i = 0; i < NVME_VECTORS; i++)
		close(rig->irq[i]);
}

void rig_irqs(struct rig *rig, unsigned int dev)
{
	must(!vfio_irqs_set(&rig->dev[dev], 0, RIG_VECTORS, rig->irq));
}

void rig_settle(struct rig *rig)
{
	struct vfio_dev *dev = rig->nvme.dev;
	u64 flags;

	/* A profile may hide P2P */
	must(!mig_flags(dev, &flags));
	must(!mig_set(dev, flags & VFIO_MIGRATION_P2P ? RUNNING_P2P : STOP, NULL));
	for (unsigned int i = 0; i < RIG_VECTORS; i++)
		event_count(rig->irq[i]);
	must(!mig_set(dev, RUNNING, NULL));
}

void rig_start(struct rig *rig)
{
	rig_irqs(rig, 0);
	nvme_init(&rig->nvme, &rig->dev[0], &rig->mem);
	must(!nvme_create_io(&rig->nvme, 1, RIG_DEPTH, 1));
	nvme_deallocate_all(&rig->nvme);
	rig_settle(rig);
}

void rig_user_ends(struct rig *rig, unsigned int n)
{
	vfio_close(&rig->dev[n]);
	iommu_exit(&rig->iommu[n]);
}

void rig_user_begins(struct rig *rig, unsigned int n, const char *bdf)
{
	must(!iommu_init(&rig->iommu[n], rig->iommu[n].mode));
	must(!vfio_open(&rig->dev[n], &rig->iommu[n], bdf));
	arena_map(&rig->mem, &rig->iommu[n]);
}

void rig_land(struct rig *rig, const struct blob *blob, u32 state)
{
	must(!mig_load(&rig->dev[1], blob));
	vfio_bus_master(&rig->dev[1], true);
	rig_irqs(rig, 1);
	must(!mig_set(&rig->dev[1], state, NULL));
	rig->nvme.dev = &rig->dev[1];
}

void rig_move(struct rig *rig, u32 state)
{
	struct blob blob = {};

	mig_save(&rig->dev[0], &blob);
	rig_land(rig, &blob, state);
	blob_free(&blob);
}
