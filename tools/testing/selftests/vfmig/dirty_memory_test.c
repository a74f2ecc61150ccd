// SPDX-License-Identifier: GPL-2.0-only
/*
 * What it costs the kernel to know which pages a device wrote: memory while somebody
 * wants to know it, none before and none after.
 */
#include <sys/mman.h>

#include "dirty.h"
#include "memory.h"
#include "rig.h"

#include "harness.h"

/*
 * A page is written every 4 GiB: half a KiB for what is around it, and 4 KiB to lead
 * there.
 */
#define STEP		(4ULL << 30)
#define PAGES		1024ULL
#define PAGES_KIB	(PAGES * 9 / 2)
#define FIRST_IOVA	(8ULL << 30)
/* Each of so many pages goes with one command */
#define PER_COMMAND	128U

/* Were either of the two kept, so many times as much would be too much for the limit */
#define ROUNDS		16
#define LIMIT_KIB	PAGES_KIB

FIXTURE(memory)
{
	struct rig rig;
	struct vfio_dev *dev;
	u64 *list;	/* PRPs */
	u8 *page;	/* what all IOVAs lead to */
};

FIXTURE_VARIANT(memory)
{
	enum iommu_mode mode;
	enum tracker by;
};

FIXTURE_VARIANT_ADD(memory, by_device_type1)
{
	.mode = IOMMU_TYPE1,
	.by = BY_DEVICE,
};

FIXTURE_VARIANT_ADD(memory, by_device_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.by = BY_DEVICE,
};

FIXTURE_VARIANT_ADD(memory, by_iommu)
{
	.mode = IOMMU_IOMMUFD_TRACKED,
	.by = BY_IOMMU,
};

static void map_pages(struct iommu *iommu, u8 *page)
{
	for (u64 i = 0; i < PAGES; i++)
		must(!iommu_map(iommu, FIRST_IOVA + i * STEP, page, PAGE, MAP_RW));
}

FIXTURE_SETUP(memory)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 1 }, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	why = track_offered(self->dev, variant->by);
	if (why)
		SKIP(return, "%s", why);
	if (memory_kept_when_freed())
		SKIP(return, "this kernel keeps memory that was freed (kmemleak or KASAN)");
	rig_start(&self->rig);
	ASSERT_GE(self->rig.nvme.max_transfer, PER_COMMAND * PAGE);
	self->list = arena_alloc(&self->rig.mem, PAGE);
	self->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(self->page, MAP_FAILED);
	map_pages(self->dev->iommu, self->page);
}

FIXTURE_TEARDOWN(memory)
{
	rig_close(&self->rig);
	munmap(self->page, PAGE);
}

/* Have the device write each page once */
static void write_pages(struct rig *rig, u64 *list)
{
	struct nvme *nvme = &rig->nvme;
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 0, PER_COMMAND * PAGE / nvme->lba_size);

	cmd.prp2 = arena_iova(&rig->mem, list);
	for (u64 iova = FIRST_IOVA; iova < FIRST_IOVA + PAGES * STEP; iova += PER_COMMAND * STEP) {
		cmd.prp1 = iova;
		for (unsigned int i = 1; i < PER_COMMAND; i++)
			list[i - 1] = iova + i * STEP;
		must(!nvme_io(nvme, cmd));
	}
}

TEST_F(memory, is_used_while_tracking_is_on_only)
{
	struct rig *rig = &self->rig;
	s64 before;

	/* What it takes otherwise it has taken then */
	write_pages(rig, self->list);
	before = memory_kib();
	write_pages(rig, self->list);
	EXPECT_TRUE(memory_given_back(before, PAGES_KIB / 2));
	ASSERT_EQ(track_start(self->dev, variant->by, FIRST_IOVA, PAGES * STEP), 0);
	write_pages(rig, self->list);
	/* If not, these tests look in the wrong place */
	EXPECT_GT(memory_kib() - before, PAGES_KIB / 2);
	ASSERT_EQ(track_stop(self->dev, variant->by), 0);
	EXPECT_TRUE(memory_given_back(before, PAGES_KIB / 2));
}

TEST_F(memory, is_given_back_when_tracking_is_stopped)
{
	s64 before = 0;

	for (int i = 0; i <= ROUNDS; i++) {
		ASSERT_EQ(track_start(self->dev, variant->by, FIRST_IOVA, PAGES * STEP), 0);
		write_pages(&self->rig, self->list);
		ASSERT_EQ(track_stop(self->dev, variant->by), 0);
		/* Once is not counted */
		if (!i)
			before = memory_kib();
	}
	EXPECT_TRUE(memory_given_back(before, LIMIT_KIB));
}

TEST_F_TIMEOUT(memory, is_given_back_when_the_device_is_closed, 60)
{
	struct iommu *iommu = self->dev->iommu;
	struct rig *rig = &self->rig;
	char bdf[BDF_SIZE];
	s64 before = 0;

	bdf_copy(bdf, self->dev->bdf);
	for (int i = 0; i <= ROUNDS; i++) {
		ASSERT_EQ(track_start(self->dev, variant->by, FIRST_IOVA, PAGES * STEP), 0);
		write_pages(rig, self->list);
		vfio_close(self->dev);
		iommu_exit(iommu);
		if (!i)
			before = memory_kib();
		if (i == ROUNDS)
			break;
		ASSERT_EQ(iommu_init(iommu, variant->mode), NULL);
		ASSERT_EQ(vfio_open(self->dev, iommu, bdf), 0);
		arena_map(&rig->mem, iommu);
		map_pages(iommu, self->page);
		nvme_restart(&rig->nvme);
		ASSERT_EQ(nvme_create_io(&rig->nvme, 1, 64, -1), 0);
	}
	EXPECT_TRUE(memory_given_back(before, LIMIT_KIB));
}

TEST_HARNESS_MAIN
