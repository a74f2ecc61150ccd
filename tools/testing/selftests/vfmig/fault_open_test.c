// SPDX-License-Identifier: GPL-2.0-only
/*
 * As fault_test, before there is anything to migrate: VFs are made, bound and opened, and
 * memory is mapped for them, while memory is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "fault.h"
#include "mig.h"

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
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(opened, type1)
{
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
	const char *why = fault_init() ?: pf_require(&(struct pf_vfs){ .count = 1 }, self->pf);

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

TEST_F(opened, at_the_second_try)
{
	struct sweep sweep = {};
	unsigned int failed = 0;
	int err;

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

FIXTURE(made)
{
	char pf[BDF_SIZE];
	char vf[BDF_SIZE];
};

FIXTURE_SETUP(made)
{
	const char *why = fault_init() ?: pf_require(&(struct pf_vfs){ .count = 1 }, self->pf);

	if (why)
		SKIP(return, "%s", why);
	must(pf_vf(self->pf, 0, self->vf));
}

FIXTURE_TEARDOWN(made)
{
	pf_set_numvfs(self->pf, 0);
	pf_vfs_gone();
}

/* 0 or -errno */
static int driver_file(const char *file, const char *bdf)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/" VF_DRIVER "/%s", file);
	return file_write(path, bdf);
}

static bool bound(const char *bdf)
{
	char driver[64];

	return pci_driver(bdf, driver, sizeof(driver)) && !strcmp(driver, VF_DRIVER);
}

/* The PCI core has a worker probe: it is one of some allocations, and nobody knows which */
#define BINDS	20

TEST_F(made, is_bound_at_the_second_try)
{
	unsigned int refused = 0, failed = 0;
	int err;

	for (unsigned int i = 0; i < BINDS; i++) {
		must(!driver_file("unbind", self->vf));
		fault_once(i + 2);
		err = driver_file("bind", self->vf);
		refused += fault_stop();
		ASSERT_EQ(bound(self->vf), !err);
		if (err) {
			failed++;
			EXPECT_EQ(err, -ENOMEM);
			ASSERT_EQ(driver_file("bind", self->vf), 0);
		}
	}
	EXPECT_GT(failed, 0);
	note("failed for %u of %u", failed, refused);
}

/* 0 or -errno of making VFs, of which there are none before; they are all there, or none is */
static int make_swept(struct __test_metadata *_metadata, const char *pf, unsigned int vfs,
		      struct sweep *sweep)
{
	int err;

	must(!pf_set_numvfs(pf, 0));
	sweep_begin(sweep);
	err = pf_set_numvfs(pf, vfs);
	sweep_end(sweep);
	EXPECT_EQ(pf_numvfs(pf), err ? 0 : vfs);
	if (err)
		EXPECT_EQ(err, -ENOMEM);
	return err;
}

static bool makes_good_vfs(const char *pf)
{
	char vf[BDF_SIZE];

	must(!pf_set_numvfs(pf, 0));
	return !pf_set_numvfs(pf, 1) && pf_vf(pf, 0, vf) && wait_until(bound(vf));
}

/* How many of at most @rounds failed */
static unsigned int make_some(struct __test_metadata *_metadata, const char *pf, unsigned int vfs,
			      unsigned int rounds)
{
	/* Some were made before, it need not be seen again how that goes */
	struct sweep sweep = { .round = 1 };
	unsigned int failed = 0;

	while (sweep.refused < rounds && sweep_next(&sweep))
		failed += !!make_swept(_metadata, pf, vfs, &sweep);
	note("failed for %u of %u", failed, sweep.refused);
	return failed;
}

/*
 * To remove a VF takes the PCI core a second, and to add one takes many allocations of its
 * own, not all of which it gets right: where pci_setup_device() has no memory for the name
 * of a VF it goes on, and device_add() fails, whose caller goes on too and loses its way.
 * So the depth is what our own allocations need, and no more.  Those for the model of each
 * VF come first, before there is any VF.
 */
#define SLAB_DEPTH		7
#define PAGE_DEPTH		11
#define MODEL_SLABS		2	/* the controller, and its medium's table */
#define MODEL_ALLOCATIONS	4	/* ... a page, and requests, which need not be contiguous */

TEST_F(made, all_or_none)
{
	fault_below_us(PAGE_DEPTH);
	EXPECT_GT(make_some(_metadata, self->pf, 1, MODEL_ALLOCATIONS), 0);
	fault_below_us(SLAB_DEPTH);
	EXPECT_GT(make_some(_metadata, self->pf, 2, 2 * MODEL_SLABS), 0);

	/* The bus does not ask us: there is a VF then, but no IOMMU or no driver for it */
	EXPECT_GT(make_some(_metadata, self->pf, 1, ~0), 0);
	EXPECT_TRUE(makes_good_vfs(self->pf));
}

TEST_HARNESS_MAIN
