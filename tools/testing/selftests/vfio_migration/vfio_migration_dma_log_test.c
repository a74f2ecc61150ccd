// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arguments of DMA logging.  The device is idle: nobody drives it, so it writes nothing.
 * Clauses are those of VFIO_DEVICE_FEATURE_DMA_LOGGING_START, _STOP and _REPORT in
 * include/uapi/linux/vfio.h.
 */
#include <stdlib.h>
#include <unistd.h>

#include "mig.h"

#include "kselftest_harness.h"

#define S(name)	VFIO_DEVICE_STATE_##name

#define PAGE		0x1000ULL
#define BASE		0x100000000ULL
#define LENGTH		0x1000000ULL	/* 16 MiB */

/* "The core kernel code guarantees to support by minimum num_ranges that fit into a single page" */
#define MIN_RANGES	(PAGE / sizeof(struct vfio_device_feature_dma_logging_range))

FIXTURE(dma_log) {
	struct mig_device dev;
};

FIXTURE_VARIANT(dma_log) {
	const char *mode;
};

#define FIXTURE_VARIANT_ADD_IOMMU_MODE(_mode) \
FIXTURE_VARIANT_ADD(dma_log, _mode) { \
	.mode = #_mode, \
}

FIXTURE_VARIANT_ADD_ALL_IOMMU_MODES();

FIXTURE_SETUP(dma_log)
{
	const char *why = mig_open(&self->dev, mig_source(), variant->mode);

	if (why)
		SKIP(return, "%s", why);
	if (!self->dev.dma_log)
		SKIP(return, "the device does not log its DMA");
}

FIXTURE_TEARDOWN(dma_log)
{
	mig_close(&self->dev);
}

/* *@page_size in and out */
static int start(struct mig_device *dev, const struct vfio_device_feature_dma_logging_range *ranges,
		 u32 count, u64 *page_size)
{
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = *page_size,
		.num_ranges = count,
		.ranges = (uintptr_t)ranges,
	};
	int ret = mig_feature(dev, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
			      &control, sizeof(control));

	*page_size = control.page_size;
	return ret;
}

static int start_default(struct mig_device *dev)
{
	struct vfio_device_feature_dma_logging_range range = { .iova = BASE, .length = LENGTH };
	u64 page_size = PAGE;

	return start(dev, &range, 1, &page_size);
}

static int stop(struct mig_device *dev)
{
	return mig_feature(dev, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
			   NULL, 0);
}

static int report(struct mig_device *dev, u64 iova, u64 length, u64 page_size, void *bitmap)
{
	struct vfio_device_feature_dma_logging_report get = {
		.iova = iova,
		.length = length,
		.page_size = page_size,
		.bitmap = (uintptr_t)bitmap,
	};

	return mig_feature(dev, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
			   &get, sizeof(get));
}

/* "VFIO_DEVICE_FEATURE_PROBE can be used to detect if the device supports DMA logging." */
TEST_F(dma_log, has_all_three)
{
	EXPECT_TRUE(mig_has_feature(&self->dev, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP));
	EXPECT_TRUE(mig_has_feature(&self->dev, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT));
}

/* "A single call to start device DMA logging can be issued and a matching stop should follow" */
TEST_F(dma_log, starts_and_stops_and_starts)
{
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(start_default(&self->dev), 0);
		ASSERT_EQ(stop(&self->dev), 0);
	}
}

/* "Another start is not allowed in the meantime." */
TEST_F(dma_log, second_start_is_refused)
{
	u64 bitmap[LENGTH / PAGE / 64] = {};

	ASSERT_EQ(start_default(&self->dev), 0);
	EXPECT_NE(start_default(&self->dev), 0);
	/* And the first goes on */
	EXPECT_EQ(report(&self->dev, BASE, LENGTH, PAGE, bitmap), 0);
	EXPECT_EQ(stop(&self->dev), 0);
}

/* "If DMA logging is not enabled, an error will be returned." */
TEST_F(dma_log, report_without_logging_is_an_error)
{
	u64 bitmap[LENGTH / PAGE / 64] = {};
	int ret;

	EXPECT_NE(report(&self->dev, BASE, LENGTH, PAGE, bitmap), 0);
	ASSERT_EQ(start_default(&self->dev), 0);
	ASSERT_EQ(stop(&self->dev), 0);
	EXPECT_NE(report(&self->dev, BASE, LENGTH, PAGE, bitmap), 0);
	ret = stop(&self->dev);
	if (!ret)
		mig_report("a stop without a start succeeds");
}

/* "On output the device will return the page size it selected." */
TEST_F(dma_log, page_size_is_a_hint)
{
	struct vfio_device_feature_dma_logging_range range = { .iova = BASE, .length = 1ULL << 32 };

	for (unsigned int shift = 12; shift <= 32; shift++) {
		u64 size = 1ULL << shift;
		int ret = start(&self->dev, &range, 1, &size);

		if (ret) {
			mig_report("a hint of 2^%u is refused: %d", shift, ret);
			continue;
		}
		EXPECT_NE(size, 0);
		EXPECT_EQ(size & (size - 1), 0) TH_LOG("%#llx", (unsigned long long)size);
		EXPECT_EQ(stop(&self->dev), 0);
	}
}

/* "If the device cannot do the hinted page size then it's the driver choice which [...] to pick" */
TEST_F(dma_log, page_sizes_that_no_device_has)
{
	static const u64 sizes[] = { 0, 1, 512, 2048, 3 * PAGE, PAGE + 1, 1ULL << 63, ~0ULL };
	struct vfio_device_feature_dma_logging_range range = { .iova = BASE, .length = LENGTH };

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		u64 size = sizes[i];

		if (start(&self->dev, &range, 1, &size))
			continue;
		mig_report("a hint of %#llx gives pages of %#llx", (unsigned long long)sizes[i],
			   (unsigned long long)size);
		EXPECT_EQ(stop(&self->dev), 0);
	}
}

static struct vfio_device_feature_dma_logging_range *make_ranges(u32 count)
{
	struct vfio_device_feature_dma_logging_range *ranges;

	ranges = calloc_assert(count, sizeof(*ranges));
	for (u32 i = 0; i < count; i++) {
		ranges[i].iova = BASE + 2 * i * PAGE;
		ranges[i].length = PAGE;
	}
	return ranges;
}

TEST_F(dma_log, page_of_ranges)
{
	struct vfio_device_feature_dma_logging_range *ranges = make_ranges(MIN_RANGES);
	u64 page_size = PAGE;

	EXPECT_EQ(start(&self->dev, ranges, MIN_RANGES, &page_size), 0);
	EXPECT_EQ(stop(&self->dev), 0);
	free(ranges);
}

/* "User space can try higher values but should give up if the above can't be achieved" */
TEST_F(dma_log, more_ranges)
{
	static const u32 counts[] = { MIN_RANGES + 1, 4 * MIN_RANGES, 1 << 16 };

	for (unsigned int i = 0; i < ARRAY_SIZE(counts); i++) {
		struct vfio_device_feature_dma_logging_range *ranges = make_ranges(counts[i]);
		u64 page_size = PAGE;
		int ret = start(&self->dev, ranges, counts[i], &page_size);

		mig_report("%u ranges: %d", counts[i], ret);
		if (!ret)
			EXPECT_EQ(stop(&self->dev), 0);
		free(ranges);
	}
	EXPECT_EQ(start_default(&self->dev), 0);
}

/* Which ranges make sense is not said.  None of them may do harm. */
TEST_F(dma_log, odd_ranges)
{
	static const struct {
		const char *name;
		u32 count;
		struct vfio_device_feature_dma_logging_range ranges[2];
	} tries[] = {
		{ "no range", 0, {} },
		{ "an empty range", 1, { { BASE, 0 } } },
		{ "overlapping ranges", 2, { { BASE, 4 * PAGE }, { BASE + PAGE, PAGE } } },
		{ "the same range twice", 2, { { BASE, PAGE }, { BASE, PAGE } } },
		{ "ranges side by side", 2, { { BASE, PAGE }, { BASE + PAGE, PAGE } } },
		{ "ranges in falling order", 2, { { BASE + 2 * PAGE, PAGE }, { BASE, PAGE } } },
		{ "an unaligned address", 1, { { BASE + 1, PAGE } } },
		{ "an unaligned length", 1, { { BASE, PAGE + 1 } } },
		{ "the last page", 1, { { -PAGE, PAGE } } },
		{ "a range beyond the last page", 1, { { -PAGE, 2 * PAGE } } },
		{ "all but the last page", 1, { { 0, -PAGE } } },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(tries); i++) {
		u64 page_size = PAGE;
		int ret = start(&self->dev, tries[i].ranges, tries[i].count, &page_size);

		mig_report("%s: %d", tries[i].name, ret);
		if (!ret)
			EXPECT_EQ(stop(&self->dev), 0);
	}
	/* One that was refused has not started */
	EXPECT_EQ(start_default(&self->dev), 0);
	EXPECT_EQ(stop(&self->dev), 0);
}

TEST_F(dma_log, bad_addresses)
{
	void *bad = mmap_reserve(PAGE, PAGE, 0);
	u64 page_size = PAGE;

	EXPECT_EQ(start(&self->dev, bad, 1, &page_size), -EFAULT);
	ASSERT_EQ(start_default(&self->dev), 0);
	if (!report(&self->dev, BASE, LENGTH, PAGE, bad))
		mig_report("a report without a bit to set does not look at its bitmap");
	EXPECT_EQ(stop(&self->dev), 0);
}

/*
 * "The LOGGING_REPORT will only set bits in the bitmap and never clear or perform any
 * initialization of the user provided bitmap."
 */
TEST_F(dma_log, report_clears_no_bit)
{
	u64 bitmap[LENGTH / PAGE / 64 + 1];

	ASSERT_EQ(start_default(&self->dev), 0);
	memset(bitmap, 0xa5, sizeof(bitmap));
	ASSERT_EQ(report(&self->dev, BASE, LENGTH, PAGE, bitmap), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(bitmap); i++) {
		EXPECT_EQ(bitmap[i], 0xa5a5a5a5a5a5a5a5ULL)
			TH_LOG("word %u", i);
	}
	EXPECT_EQ(stop(&self->dev), 0);
}

/* "Query the device's DMA log for written pages": an idle device has written none */
TEST_F(dma_log, idle_device_reports_nothing)
{
	u64 bitmap[LENGTH / PAGE / 64] = {};

	ASSERT_EQ(start_default(&self->dev), 0);
	ASSERT_EQ(report(&self->dev, BASE, LENGTH, PAGE, bitmap), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(bitmap); i++) {
		EXPECT_EQ(bitmap[i], 0)
			TH_LOG("word %u", i);
	}
	EXPECT_EQ(stop(&self->dev), 0);
}

/*
 * "The input page_size can be any power of two value and does not have to match the value given
 * to VFIO_DEVICE_FEATURE_DMA_LOGGING_START."
 */
TEST_F(dma_log, report_has_a_page_size_of_its_own)
{
	u64 *bitmap = calloc_assert(LENGTH / 64 + 1, sizeof(*bitmap));

	ASSERT_EQ(start_default(&self->dev), 0);
	for (unsigned int shift = 0; shift < 40; shift++) {
		int ret = report(&self->dev, BASE, LENGTH, 1ULL << shift, bitmap);

		/* Less than a page is what no IOMMU has, and Linux refuses it */
		if (shift < 12) {
			if (ret)
				mig_report("a report in units of 2^%u: %d", shift, ret);
			continue;
		}
		EXPECT_EQ(ret, 0) TH_LOG("units of 2^%u", shift);
	}
	EXPECT_NE(report(&self->dev, BASE, LENGTH, 0, bitmap), 0);
	EXPECT_NE(report(&self->dev, BASE, LENGTH, 3 * PAGE, bitmap), 0);
	EXPECT_EQ(stop(&self->dev), 0);
	free(bitmap);
}

/* "within the given IOVA range": one that was not logged, or only in part */
TEST_F(dma_log, report_of_other_ranges)
{
	u64 bitmap[2 * LENGTH / PAGE / 64] = {};

	ASSERT_EQ(start_default(&self->dev), 0);
	mig_report("a report from below the range: %d",
		   report(&self->dev, BASE - LENGTH, 2 * LENGTH, PAGE, bitmap));
	mig_report("a report beyond the range: %d",
		   report(&self->dev, BASE + LENGTH, LENGTH, PAGE, bitmap));
	mig_report("a report of nothing: %d", report(&self->dev, BASE, 0, PAGE, bitmap));
	EXPECT_NE(report(&self->dev, -PAGE, 2 * PAGE, PAGE, bitmap), 0);
	EXPECT_EQ(report(&self->dev, BASE, LENGTH, PAGE, bitmap), 0);
	EXPECT_EQ(stop(&self->dev), 0);
}

/* "this API is not connected to VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE" */
TEST_F_TIMEOUT(dma_log, works_in_each_state, 60)
{
	u64 bitmap[LENGTH / PAGE / 64] = {};

	for (u32 state = S(STOP); state < VFIO_DEVICE_STATE_NR; state++) {
		int fd;

		if (!mig_has_state(&self->dev, state))
			continue;
		fd = mig_go(&self->dev, state);
		EXPECT_EQ(start_default(&self->dev), 0) TH_LOG("in %s", mig_state_name(state));
		EXPECT_EQ(report(&self->dev, BASE, LENGTH, PAGE, bitmap), 0);
		EXPECT_EQ(stop(&self->dev), 0);
		if (fd >= 0)
			close(fd);
		mig_reset(&self->dev);
	}
	/* And a transition does not end it */
	ASSERT_EQ(start_default(&self->dev), 0);
	mig_go(&self->dev, S(STOP));
	EXPECT_EQ(report(&self->dev, BASE, LENGTH, PAGE, bitmap), 0);
	EXPECT_EQ(stop(&self->dev), 0);
}

/* "If DMA logging is not enabled, an error will be returned.": the next user has not enabled it */
TEST_F(dma_log, ends_with_its_user)
{
	u64 bitmap[LENGTH / PAGE / 64] = {};

	ASSERT_EQ(start_default(&self->dev), 0);
	mig_reopen(&self->dev);
	mig_reset(&self->dev);
	EXPECT_NE(report(&self->dev, BASE, LENGTH, PAGE, bitmap), 0);
	EXPECT_EQ(start_default(&self->dev), 0);
	EXPECT_EQ(stop(&self->dev), 0);
}

TEST_F(dma_log, reset_beside_it)
{
	u64 bitmap[LENGTH / PAGE / 64] = {};
	int ret;

	ASSERT_EQ(start_default(&self->dev), 0);
	mig_reset(&self->dev);
	ret = report(&self->dev, BASE, LENGTH, PAGE, bitmap);
	if (ret)
		mig_report("a reset ends logging: %d", ret);
	else
		EXPECT_EQ(stop(&self->dev), 0);
}

int main(int argc, char *argv[])
{
	mig_get_devices(&argc, argv);
	return test_harness_run(argc, argv);
}
