// SPDX-License-Identifier: GPL-2.0-only
/*
 * As fault_test, before there is anything to migrate: VFs are opened, memory is mapped for them,
 * their interrupts are enabled, writes are tracked, while memory is refused.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bells.h"
#include "dirty.h"
#include "fault.h"
#include "mig.h"
#include "net_rig.h"

#include "harness.h"

FIXTURE(opened)
{
	struct iommu iommu;
	struct vfio_dev dev;
	char bdf[BDF_SIZE];
	char pf[BDF_SIZE];
	u8 *mem;
};

FIXTURE_VARIANT(opened)
{
	const char *model;
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(opened, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(opened, virtio_type1)
{
	.model = NET_MODEL,
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(opened, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_VARIANT_ADD(opened, iommufd_tracked)
{
	.mode = IOMMU_IOMMUFD_TRACKED,
};

#define MAPPED		MIB(3)
/* Not at the start of any table: it takes two of the lowest level, and what leads to them */
#define MAPPED_IOVA	((1ULL << 39) - MIB(1))

FIXTURE_SETUP(opened)
{
	struct pf_vfs vfs = { .model = variant->model, .count = 1 };
	const char *why = fault_init() ?: pf_require(&vfs, self->pf);

	if (!why)
		why = iommu_init(&self->iommu, variant->mode);
	if (why)
		SKIP(return, "%s", why);
	must(pf_vf(self->pf, 0, self->bdf));
	self->mem = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	must(self->mem != MAP_FAILED);
}

FIXTURE_TEARDOWN(opened)
{
	if (!self->mem)
		return;
	munmap(self->mem, MAPPED);
	iommu_exit(&self->iommu);
}

/* The kernel says loudly that it has no memory for the stack of the worker's thread */
static void refuse_to_open(void)
{
	fault_not_below_function("copy_process");
}

TEST_F(opened, at_the_second_try)
{
	struct sweep sweep = {};
	unsigned int failed = 0;
	int err;

	refuse_to_open();
	while (sweep_next(&sweep)) {
		/* A domain with tracking would stay */
		iommu_exit(&self->iommu);
		must(!iommu_init(&self->iommu, variant->mode));
		sweep_begin(&sweep);
		err = vfio_open(&self->dev, &self->iommu, self->bdf);
		sweep_end(&sweep);
		if (err) {
			failed++;
			EXPECT_EQ(err, -ENOMEM)
				TH_LOG("round %u", sweep.round);
			ASSERT_EQ(vfio_open(&self->dev, &self->iommu, self->bdf), 0);
		}
		ASSERT_EQ(mig_get(&self->dev), RUNNING);
		vfio_close(&self->dev);
	}
	EXPECT_GT(failed, 0);
	note("failed for %u of %u", failed, sweep.refused);
}

TEST_F(opened, maps_all_or_nothing)
{
	struct sweep sweep = {};
	unsigned int failed = 0;
	int err;

	must(!vfio_open(&self->dev, &self->iommu, self->bdf));
	while (sweep_next(&sweep)) {
		sweep_begin(&sweep);
		err = iommu_map(&self->iommu, MAPPED_IOVA, self->mem, MAPPED, MAP_RW);
		sweep_end(&sweep);
		if (err) {
			failed++;
			ASSERT_EQ(err, -ENOMEM);
			/* What was left would be in the way */
			ASSERT_EQ(iommu_map(&self->iommu, MAPPED_IOVA, self->mem, MAPPED, MAP_RW),
				  0);
		}
		ASSERT_EQ(iommu_unmap(&self->iommu, MAPPED_IOVA, MAPPED), 0);
	}
	/* A table of each of three levels, and at the other side of a border the same */
	EXPECT_GT(failed, 4);
	note("failed for %u of %u", failed, sweep.refused);
	vfio_close(&self->dev);
}

#define VECTORS		4

TEST_F(opened, has_all_vectors_or_none)
{
	struct vfio_irq_info info;
	struct sweep sweep = {};
	unsigned int failed = 0;
	int irq[VECTORS], err;

	for (unsigned int i = 0; i < VECTORS; i++)
		irq[i] = event_new();
	must(!vfio_open(&self->dev, &self->iommu, self->bdf));
	vfio_irq_info(&self->dev, VFIO_PCI_MSIX_IRQ_INDEX, &info);
	ASSERT_GE(info.count, VECTORS);
	/* Without memory for a file in /proc/irq the core goes on, and warns when it removes it */
	fault_not_below_function("register_irq_proc");
	while (sweep_next(&sweep)) {
		sweep_begin(&sweep);
		err = vfio_irqs_set(&self->dev, 0, VECTORS, irq);
		sweep_end(&sweep);
		if (err) {
			failed++;
			/* The core of interrupts says ENOSPC if the first one finds no memory */
			ASSERT_TRUE(err == -ENOMEM || err == -ENOSPC)
				TH_LOG("%d in round %u", err, sweep.round);
			ASSERT_EQ(vfio_irqs_set(&self->dev, 0, VECTORS, irq), 0);
		}
		vfio_irqs_off(&self->dev);
	}
	EXPECT_GT(failed, 0);
	note("failed for %u of %u", failed, sweep.refused);
	vfio_close(&self->dev);
	for (unsigned int i = 0; i < VECTORS; i++)
		close(irq[i]);
}

FIXTURE(mapped)
{
	struct iommu iommu;
	struct vfio_dev dev;
	char bdf[BDF_SIZE];
	char pf[BDF_SIZE];
};

FIXTURE_SETUP(mapped)
{
	const char *why = fault_init() ?: pf_require(&(struct pf_vfs){ .count = 1 }, self->pf);

	if (!why)
		why = iommu_init(&self->iommu, IOMMU_TYPE1);
	if (why)
		SKIP(return, "%s", why);
	must(pf_vf(self->pf, 0, self->bdf));
	must(!pf_attr_set(self->pf, "doorbell_poll_us", 100));
	must(!pf_attr_set(self->pf, "map_registers", 1));
}

FIXTURE_TEARDOWN(mapped)
{
	if (!self->bdf[0])
		return;
	iommu_exit(&self->iommu);
	pf_attr_set(self->pf, "doorbell_poll_us", 0);
	pf_attr_set(self->pf, "map_registers", 0);
}

/* As opened.at_the_second_try; that the BAR can be mapped takes memory to say */
TEST_F(mapped, at_the_second_try)
{
	struct sweep sweep = {};
	unsigned int failed = 0;
	u32 *regs;
	int err;

	refuse_to_open();
	while (sweep_next(&sweep)) {
		iommu_exit(&self->iommu);
		must(!iommu_init(&self->iommu, IOMMU_TYPE1));
		sweep_begin(&sweep);
		err = vfio_open(&self->dev, &self->iommu, self->bdf);
		sweep_end(&sweep);
		if (err) {
			failed++;
			EXPECT_EQ(err, -ENOMEM);
			ASSERT_EQ(vfio_open(&self->dev, &self->iommu, self->bdf), 0);
		}
		regs = regs_map(&self->dev);
		if (!regs)
			SKIP(goto out, "BAR 0 can't be mapped");
		EXPECT_EQ(regs_load(regs, NVME_VS), bar_read32(&self->dev, NVME_VS));
		regs_unmap(regs);
		vfio_close(&self->dev);
	}
	EXPECT_GT(failed, 0);
	note("failed for %u of %u", failed, sweep.refused);
	return;
out:
	vfio_close(&self->dev);
}

FIXTURE(tracked)
{
	struct iommu iommu;
	struct vfio_dev dev;
};

FIXTURE_SETUP(tracked)
{
	char pf[BDF_SIZE], vf[BDF_SIZE];
	const char *why = fault_init() ?: pf_require(&(struct pf_vfs){ .count = 1 }, pf);

	if (!why)
		why = iommu_init(&self->iommu, IOMMU_IOMMUFD_TRACKED);
	if (why)
		SKIP(return, "%s", why);
	must(pf_vf(pf, 0, vf));
	must(!vfio_open(&self->dev, &self->iommu, vf));
}

FIXTURE_TEARDOWN(tracked)
{
	if (!self->dev.iommu)
		return;
	vfio_close(&self->dev);
	iommu_exit(&self->iommu);
}

TEST_F(tracked, is_off_or_on)
{
	struct sweep sweep = {};
	unsigned int failed = 0;
	u64 bits = 0;
	int err;

	while (sweep_next(&sweep)) {
		sweep_begin(&sweep);
		err = hwpt_track(&self->iommu, self->iommu.hwpt_id, true);
		sweep_end(&sweep);
		if (err) {
			failed++;
			ASSERT_EQ(err, -ENOMEM);
			ASSERT_EQ(hwpt_track(&self->iommu, self->iommu.hwpt_id, true), 0);
		}
		ASSERT_EQ(hwpt_report(&self->iommu, self->iommu.hwpt_id, 0, 0, PAGE, PAGE, &bits),
			  0);
		ASSERT_EQ(hwpt_track(&self->iommu, self->iommu.hwpt_id, false), 0);
	}
	EXPECT_GT(failed, 0);
	note("failed for %u of %u", failed, sweep.refused);
}

TEST_HARNESS_MAIN
