// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a PRE_COPY session costs the kernel once it is over: no memory, also not for what
 * the guest deallocated meanwhile, which the session had to keep in mind.
 */
#include <unistd.h>

#include "memory.h"
#include "precopy.h"
#include "rig.h"

#include "harness.h"

/*
 * A granule is written in each MiB, for which the device takes 4 KiB of its own beside
 * the page: that is the most memory for the fewest writes.
 */
#define MEDIA_MB	512U
#define CHUNKS_KIB	(MEDIA_MB * 4LL)

FIXTURE(over)
{
	struct rig rig;
	struct vfio_dev *dev;
	u8 *buf;
};

FIXTURE_VARIANT(over)
{
	enum iommu_mode mode;
	bool drained;		/* all is read before the guest deallocates it */
	u32 path[3];		/* how it ends */
};

FIXTURE_VARIANT_ADD(over, unread)
{
	.mode = IOMMU_TYPE1,
	.path = { RUNNING },
};

FIXTURE_VARIANT_ADD(over, unread_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.path = { RUNNING },
};

FIXTURE_VARIANT_ADD(over, drained)
{
	.mode = IOMMU_TYPE1,
	.drained = true,
	.path = { RUNNING },
};

FIXTURE_VARIANT_ADD(over, drained_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.drained = true,
	.path = { RUNNING },
};

FIXTURE_VARIANT_ADD(over, after_stop_copy)
{
	.mode = IOMMU_TYPE1,
	.drained = true,
	.path = { STOP_COPY, STOP, RUNNING },
};

FIXTURE_VARIANT_ADD(over, after_stop_copy_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.drained = true,
	.path = { STOP_COPY, STOP, RUNNING },
};

FIXTURE_SETUP(over)
{
	struct pf_vfs vfs = { .count = 1, .media_mb = MEDIA_MB };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	if (!precopy_offered(self->dev))
		SKIP(return, "the driver does not offer PRE_COPY");
	if (memory_kept_when_freed())
		SKIP(return, "this kernel keeps memory that was freed (kmemleak or KASAN)");
	rig_start(&self->rig);
	self->buf = arena_alloc(&self->rig.mem, PAGE);
}

FIXTURE_TEARDOWN(over)
{
	rig_close(&self->rig);
}

static void write_granules(struct nvme *nvme, u8 *buf)
{
	for (u64 i = 0; i < MEDIA_MB; i++)
		nvme_write_bytes(nvme, MIB(i), buf, PAGE);
}

TEST_F(over, holds_no_memory)
{
	struct nvme *nvme = &self->rig.nvme;
	struct blob blob = {};
	s64 before;
	int fd;

	/* What it takes otherwise it has taken then */
	write_granules(nvme, self->buf);
	nvme_deallocate_all(nvme);
	/* The device frees it after the command has completed */
	before = memory_kib_settled();
	write_granules(nvme, self->buf);
	nvme_deallocate_all(nvme);
	EXPECT_TRUE(memory_given_back(before, CHUNKS_KIB / 2));

	write_granules(nvme, self->buf);
	/* If not, this looks in the wrong place */
	EXPECT_GT(memory_kib() - before, CHUNKS_KIB / 2);
	fd = precopy_begin(self->dev, PRE_COPY);
	if (variant->drained)
		precopy_drain(fd, &blob);
	nvme_deallocate_all(nvme);
	EXPECT_EQ(vf_media_allocated(self->dev->bdf), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(variant->path) && variant->path[i]; i++)
		ASSERT_EQ(mig_set(self->dev, variant->path[i], NULL), 0);
	close(fd);
	EXPECT_TRUE(memory_given_back(before, CHUNKS_KIB / 2))
		TH_LOG("%lld KiB are not", memory_kib() - before);
	blob_free(&blob);
}

TEST_HARNESS_MAIN
