// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty tracking by the IOMMU, for a device that does not log its DMA, or beside its own log: what
 * the device writes while it is saved is marked.  The device copies memory by a driver of libvfio.
 * Clauses are those of include/uapi/linux/iommufd.h, unless they name vfio.h.
 */
#include <stdlib.h>
#include <unistd.h>

#include <linux/iommufd.h>

#include "mig.h"

#include "kselftest_harness.h"

#define S(name)	VFIO_DEVICE_STATE_##name

#define PAGE	MIG_LOAD_PAGE

FIXTURE(iommu) {
	struct mig_device dev;
	struct mig_load load;
	struct mig_stream stream;
	u32 hwpt_id;
};

FIXTURE_VARIANT(iommu) {
	const char *mode;
};

/* No other mode has page tables of its own */
FIXTURE_VARIANT_ADD(iommu, iommufd) {
	.mode = MODE_IOMMUFD,
};

static int alloc_tracking(struct mig_device *dev, u32 *hwpt_id)
{
	struct iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.flags = IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
		.dev_id = dev->dev_id,
		.pt_id = dev->iommu->ioas_id,
	};

	if (ioctl(dev->iommu->iommufd, IOMMU_HWPT_ALLOC, &alloc))
		return -errno;
	*hwpt_id = alloc.out_hwpt_id;
	return 0;
}

static int set_tracking(struct mig_device *dev, u32 hwpt_id, bool on)
{
	struct iommu_hwpt_set_dirty_tracking set = {
		.size = sizeof(set),
		.flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
		.hwpt_id = hwpt_id,
	};

	return ioctl(dev->iommu->iommufd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set) ? -errno : 0;
}

/* Adds to @marks */
static int get_marks(struct mig_device *dev, u32 hwpt_id, const struct dma_region *region,
		     u32 flags, struct mig_pages *marks)
{
	struct iommu_hwpt_get_dirty_bitmap get = {
		.size = sizeof(get),
		.hwpt_id = hwpt_id,
		.flags = flags,
		.iova = region->iova,
		.length = region->size,
		.page_size = PAGE,
		.data = (uintptr_t)marks->words,
	};

	return ioctl(dev->iommu->iommufd, IOMMU_HWPT_GET_DIRTY_BITMAP, &get) ? -errno : 0;
}

FIXTURE_SETUP(iommu)
{
	const char *why = mig_open(&self->dev, mig_source(), variant->mode);
	struct vfio_device_attach_iommufd_pt attach = { .argsz = sizeof(attach) };
	int ret;

	if (why)
		SKIP(return, "%s", why);
	ret = alloc_tracking(&self->dev, &self->hwpt_id);
	if (ret == -EOPNOTSUPP)
		SKIP(return, "the IOMMU does not track what is written");
	if (ret == -ENOENT)
		SKIP(return, "the device is behind no IOMMU: an mdev, for example");
	ASSERT_EQ(ret, 0);
	attach.pt_id = self->hwpt_id;
	ASSERT_EQ(ioctl(self->dev.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach), 0);
	why = mig_load_begin(&self->load, &self->dev);
	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(set_tracking(&self->dev, self->hwpt_id, true), 0);
}

FIXTURE_TEARDOWN(iommu)
{
	mig_load_end(&self->load, &self->dev);
	mig_stream_free(&self->stream);
	mig_close(&self->dev);
}

static bool has_all(const struct mig_pages *pages, const struct mig_pages *of)
{
	for (u64 page = 0; page < MIG_LOAD_PAGES; page++)
		if (mig_pages_has(of, page) && !mig_pages_has(pages, page))
			return false;
	return true;
}

/* Leaves what is written in load->written */
static int copy(struct mig_load *load, struct mig_device *dev, unsigned int seed)
{
	load->written = (struct mig_pages){};
	mig_load_start(load, dev, seed, 3);
	return mig_load_check(load, dev);
}

/* IOMMU_HWPT_GET_DIRTY_BITMAP returns what was written, and begins anew */
TEST_F_TIMEOUT(iommu, each_write_is_marked_once, 60)
{
	const struct dma_region *target = &self->load.memory[MIG_LOAD_TARGET];
	struct mig_pages marks = {};
	u64 more;

	ASSERT_EQ(get_marks(&self->dev, self->hwpt_id, target, 0, &marks), 0);
	EXPECT_EQ(mig_pages_count(&marks), 0)
		TH_LOG("marked before anything was copied");
	for (unsigned int round = 0; round < 4; round++) {
		const struct mig_pages *written = &self->load.written;

		marks = (struct mig_pages){};
		ASSERT_EQ(copy(&self->load, &self->dev, round), 0);
		ASSERT_EQ(get_marks(&self->dev, self->hwpt_id, target, 0, &marks), 0);
		more = 0;
		for (u64 page = 0; page < MIG_LOAD_PAGES; page++) {
			bool marked = mig_pages_has(&marks, page);

			EXPECT_TRUE(marked || !mig_pages_has(written, page))
				TH_LOG("page %lu is not marked", page);
			more += marked && !mig_pages_has(written, page);
		}
		if (more)
			mig_report("%lu pages are marked of which nothing was written", more);
		marks = (struct mig_pages){};
		ASSERT_EQ(get_marks(&self->dev, self->hwpt_id, target, 0, &marks), 0);
		EXPECT_EQ(mig_pages_count(&marks), 0);
	}
}

/* What is only read is clean */
TEST_F_TIMEOUT(iommu, reads_are_not_marked, 60)
{
	const struct dma_region *source = &self->load.memory[MIG_LOAD_SOURCE];
	struct mig_pages marks = {};

	ASSERT_EQ(copy(&self->load, &self->dev, 1), 0);
	ASSERT_EQ(get_marks(&self->dev, self->hwpt_id, source, 0, &marks), 0);
	if (mig_pages_count(&marks))
		mig_report("%lu pages are marked that the device has read only",
			   mig_pages_count(&marks));
}

/*
 * IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR: "Just read the PTEs without clearing any dirty bits
 * metadata."
 */
TEST_F_TIMEOUT(iommu, no_clear_keeps_the_marks, 60)
{
	const struct dma_region *target = &self->load.memory[MIG_LOAD_TARGET];
	struct mig_pages first = {}, second = {};

	ASSERT_EQ(copy(&self->load, &self->dev, 1), 0);
	ASSERT_EQ(get_marks(&self->dev, self->hwpt_id, target,
			    IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR, &first), 0);
	EXPECT_TRUE(has_all(&first, &self->load.written));
	ASSERT_EQ(get_marks(&self->dev, self->hwpt_id, target, 0, &second), 0);
	EXPECT_EQ(memcmp(&first, &second, sizeof(first)), 0);
}

/* The marks begin where tracking does */
TEST_F_TIMEOUT(iommu, tracking_begins_clean, 60)
{
	const struct dma_region *target = &self->load.memory[MIG_LOAD_TARGET];
	struct mig_pages marks = {};

	ASSERT_EQ(set_tracking(&self->dev, self->hwpt_id, false), 0);
	ASSERT_EQ(copy(&self->load, &self->dev, 1), 0);
	ASSERT_EQ(set_tracking(&self->dev, self->hwpt_id, true), 0);
	ASSERT_EQ(get_marks(&self->dev, self->hwpt_id, target, 0, &marks), 0);
	EXPECT_EQ(mig_pages_count(&marks), 0);
	ASSERT_EQ(copy(&self->load, &self->dev, 2), 0);
	ASSERT_EQ(get_marks(&self->dev, self->hwpt_id, target, 0, &marks), 0);
	EXPECT_TRUE(has_all(&marks, &self->load.written));
}

/*
 * vfio.h, STOP: "The device must not generate interrupts, DMA, or any other change to external
 * state."  So the marks that are taken in STOP_COPY are the last ones: with them and those before,
 * a VMM has seen all that is in memory now.
 */
TEST_F_TIMEOUT(iommu, nothing_is_missed_when_the_device_stops, 60)
{
	const struct dma_region *target = &self->load.memory[MIG_LOAD_TARGET];
	u8 *seen = malloc_assert(target->size), *memory = target->vaddr;
	bool precopy = mig_has_state(&self->dev, S(PRE_COPY));
	int fd = -1;

	memcpy(seen, memory, target->size);
	if (precopy)
		fd = mig_go(&self->dev, S(PRE_COPY));
	mig_load_start(&self->load, &self->dev, 7, self->load.count);
	for (bool stopped = false;; stopped = true) {
		struct mig_pages marks = {};

		ASSERT_EQ(get_marks(&self->dev, self->hwpt_id, target, 0, &marks), 0);
		for (u64 page = 0; page < MIG_LOAD_PAGES; page++) {
			if (mig_pages_has(&marks, page))
				memcpy(seen + page * PAGE, memory + page * PAGE, PAGE);
		}
		if (stopped)
			break;
		if (precopy) {
			mig_stream_read(&self->stream, fd, MIG_CHUNK);
			ASSERT_EQ(mig_set_state(&self->dev, S(STOP_COPY), NULL), 0);
		} else {
			fd = mig_go(&self->dev, S(STOP_COPY));
		}
	}
	EXPECT_EQ(memcmp(seen, memory, target->size), 0);
	close(fd);
	ASSERT_EQ(mig_set_state(&self->dev, S(RUNNING), NULL), 0);
	EXPECT_EQ(mig_load_check(&self->load, &self->dev), 0);
	free(seen);
}

/* A transition, a reset and the end of a session leave the tracking alone */
TEST_F_TIMEOUT(iommu, goes_on_over_states_and_resets, 60)
{
	const struct dma_region *target = &self->load.memory[MIG_LOAD_TARGET];
	struct mig_pages marks = {};

	ASSERT_EQ(copy(&self->load, &self->dev, 3), 0);
	for (u32 state = S(STOP); state < VFIO_DEVICE_STATE_NR; state++) {
		int fd;

		if (!mig_has_state(&self->dev, state))
			continue;
		fd = mig_go(&self->dev, state);
		if (fd >= 0)
			close(fd);
		mig_reset(&self->dev);
	}
	ASSERT_EQ(get_marks(&self->dev, self->hwpt_id, target, 0, &marks), 0);
	EXPECT_TRUE(has_all(&marks, &self->load.written));
}

int main(int argc, char *argv[])
{
	mig_get_devices(&argc, argv);
	return test_harness_run(argc, argv);
}
