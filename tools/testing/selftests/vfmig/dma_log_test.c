// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_DEVICE_FEATURE_DMA_LOGGING_START, _STOP and _REPORT as the uAPI has them: what
 * is refused, ranges, page sizes, and that they are apart from the migration states.
 * What is in a report is the matter of dirty_test.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "dirty.h"
#include "rig.h"

#include "harness.h"

#define LOG_START	VFIO_DEVICE_FEATURE_DMA_LOGGING_START
#define LOG_STOP	VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP
#define LOG_REPORT	VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT
#define RANGES		256
#define BUFFER		MIB(3)

FIXTURE(log)
{
	struct rig rig;
	struct vfio_dev *dev;
	u64 bits[ARENA_SIZE / PAGE / 64];
	u8 *buf;
};

FIXTURE_VARIANT(log)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(log, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(log, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(log)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 2 }, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	why = track_offered(self->dev, BY_DEVICE);
	if (why) {
		rig_close(&self->rig);
		SKIP(return, "%s", why);
	}
	rig_start(&self->rig);
	self->buf = arena_alloc(&self->rig.mem, BUFFER);
}

FIXTURE_TEARDOWN(log)
{
	if (self->buf)
		rig_close(&self->rig);
}

/* START with one range of the arena's */
static int start(struct vfio_dev *dev, u64 page_size, u64 iova, u64 length)
{
	struct vfio_device_feature_dma_logging_range range = { .iova = iova, .length = length };

	return log_start(dev, &page_size, &range, 1);
}

static int start_arena(struct vfio_dev *dev)
{
	return start(dev, PAGE, ARENA_IOVA, ARENA_SIZE);
}

/* Have page @page of the buffer written */
static void write_page(struct rig *rig, u8 *buf, unsigned int page)
{
	struct nvme_queue *q = &rig->nvme.io[1];
	u16 cid = nvme_submit_read(&rig->nvme, q, 0, 8, arena_iova(&rig->mem, buf + page * PAGE));

	nvme_ring(&rig->nvme, q);
	must(!nvme_wait(&rig->nvme, q, cid, NULL));
}

/* Is page @page of the buffer in the next report of it? */
static bool reported(struct rig *rig, u8 *buf, unsigned int page)
{
	u64 bit = 0;

	must(!log_report(&rig->dev[0], arena_iova(&rig->mem, buf + page * PAGE), PAGE, PAGE, &bit));
	must(bit <= 1);
	return bit;
}

TEST_F(log, start_refuses_what_makes_no_sense)
{
	static struct vfio_device_feature_dma_logging_range many[RANGES + 1];
	struct vfio_device_feature_dma_logging_control control = { .page_size = PAGE };
	struct vfio_device_feature_dma_logging_range two[2] = {
		{ .iova = MIB(1), .length = MIB(1) },
		{ .iova = MIB(2) - PAGE, .length = MIB(1) },
	};
	u64 size = PAGE;

	EXPECT_EQ(log_start(self->dev, &size, two, 0), -EINVAL);
	EXPECT_EQ(log_start(self->dev, &size, two, 2), -EINVAL) TH_LOG("they overlap");
	two[0] = two[1];
	EXPECT_EQ(log_start(self->dev, &size, two, 2), -EINVAL) TH_LOG("they are the same");
	EXPECT_EQ(log_start(self->dev, &size, bad_address(), 1), -EFAULT);
	for (unsigned int i = 0; i <= RANGES; i++)
		many[i] = (struct vfio_device_feature_dma_logging_range){ i * MIB(1), PAGE };
	EXPECT_EQ(log_start(self->dev, &size, many, RANGES + 1), -E2BIG);

	/* Ranges that are not of whole pages, of none, beyond the end */
	EXPECT_EQ(start(self->dev, PAGE, ARENA_IOVA + 512, PAGE), -EINVAL);
	EXPECT_EQ(start(self->dev, PAGE, ARENA_IOVA, PAGE + 512), -EINVAL);
	EXPECT_EQ(start(self->dev, 2 * PAGE, ARENA_IOVA + PAGE, 2 * PAGE), -EINVAL);
	EXPECT_EQ(start(self->dev, PAGE, ARENA_IOVA, 0), -EINVAL);
	EXPECT_EQ(start(self->dev, PAGE, 0, 0), -EINVAL);
	EXPECT_EQ(start(self->dev, PAGE, -PAGE, 2 * PAGE), -EOVERFLOW);

	/* Too short a structure */
	EXPECT_EQ(vfio_feature(self->dev, VFIO_DEVICE_FEATURE_SET | LOG_START, &control,
			       sizeof(control) - 8), -EINVAL);
	/* Of all that nothing is left */
	EXPECT_EQ(log_report(self->dev, ARENA_IOVA, PAGE, PAGE, self->bits), -EINVAL);
	EXPECT_EQ(start_arena(self->dev), 0);
}

/* The user says how fine it would like it, and is told how fine it is: of one page */
TEST_F(log, page_size_is_a_hint)
{
	const u64 bad[] = { 0, 4095, 4097, 6144, 12288, MIB(2) + PAGE };
	struct vfio_device_feature_dma_logging_range range = { 1ULL << 32, 1ULL << 32 };

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(start(self->dev, bad[i], 0, 12288 * MIB(2)), -EINVAL)
			TH_LOG("%llu", bad[i]);
	}
	for (u64 size = 1; size <= 1ULL << 32; size <<= 1) {
		u64 used = size;

		ASSERT_EQ(log_start(self->dev, &used, &range, 1), 0) TH_LOG("%llu", size);
		EXPECT_EQ(used, PAGE) TH_LOG("%llu", size);
		ASSERT_EQ(log_stop(self->dev), 0);
	}
}

/* Two ranges that share a page, and a third that begins in the next */
TEST_F(log, parts_of_pages_are_logged_as_whole_ones)
{
	struct vfio_device_feature_dma_logging_range parts[] = {
		{ 512, 512 },
		{ 2048, 512 },
		{ PAGE + 3584, 512 },
	};
	u64 iova = arena_iova(&self->rig.mem, self->buf), size = 512;

	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++)
		parts[i].iova += iova;
	ASSERT_EQ(log_start(self->dev, &size, parts, ARRAY_SIZE(parts)), 0);
	for (unsigned int page = 0; page < 3; page++)
		write_page(&self->rig, self->buf, page);
	ASSERT_EQ(log_report(self->dev, iova, 3 * PAGE, PAGE, self->bits), 0);
	EXPECT_EQ(self->bits[0], 3);
	self->bits[0] = 0;
	ASSERT_EQ(log_report(self->dev, iova, 3 * PAGE, PAGE, self->bits), 0);
	EXPECT_EQ(self->bits[0], 0);
}

TEST_F(log, report_refuses_what_makes_no_sense)
{
	ASSERT_EQ(start_arena(self->dev), 0);
	EXPECT_EQ(log_report(self->dev, ARENA_IOVA, PAGE, 0, self->bits), -EINVAL);
	EXPECT_EQ(log_report(self->dev, ARENA_IOVA, PAGE, 2048, self->bits), -EINVAL);
	EXPECT_EQ(log_report(self->dev, ARENA_IOVA, 3 * PAGE, 3 * PAGE, self->bits), -EINVAL);
	EXPECT_EQ(log_report(self->dev, ARENA_IOVA, 0, PAGE, self->bits), -EINVAL);
	EXPECT_EQ(log_report(self->dev, ARENA_IOVA + 8, PAGE, PAGE, self->bits), -EINVAL);
	EXPECT_EQ(log_report(self->dev, ARENA_IOVA, PAGE + 8, PAGE, self->bits), -EINVAL);
	EXPECT_EQ(log_report(self->dev, -PAGE, 2 * PAGE, PAGE, self->bits), -EOVERFLOW);
	/* It may reach beyond what is logged, where nothing is */
	EXPECT_EQ(log_report(self->dev, ARENA_IOVA + ARENA_SIZE, ARENA_SIZE, PAGE, self->bits), 0);
	EXPECT_EQ(self->bits[0], 0);
}

TEST_F(log, calls_out_of_order)
{
	EXPECT_EQ(log_stop(self->dev), 0);
	EXPECT_EQ(log_report(self->dev, ARENA_IOVA, PAGE, PAGE, self->bits), -EINVAL);
	ASSERT_EQ(start_arena(self->dev), 0);
	write_page(&self->rig, self->buf, 0);
	EXPECT_EQ(start_arena(self->dev), -EINVAL);
	/* The refused one has changed nothing */
	EXPECT_TRUE(reported(&self->rig, self->buf, 0));
	EXPECT_EQ(log_stop(self->dev), 0);
	EXPECT_EQ(log_stop(self->dev), 0);
	EXPECT_EQ(log_report(self->dev, ARENA_IOVA, PAGE, PAGE, self->bits), -EINVAL);
}

TEST_F(log, write_outside_the_ranges_is_not_logged)
{
	u64 iova = arena_iova(&self->rig.mem, self->buf), size = PAGE;
	static struct vfio_device_feature_dma_logging_range ranges[RANGES];
	struct pageset seen, should;

	/* Every other page, then every other pair, in an order that is none */
	for (unsigned int i = 0; i < RANGES; i++) {
		unsigned int n = i * 77 % RANGES;

		ranges[i].iova = iova + (n < 128 ? 2 * n : 256 + 4 * (n - 128)) * PAGE;
		ranges[i].length = n < 128 ? PAGE : 2 * PAGE;
	}
	ASSERT_EQ(log_start(self->dev, &size, ranges, RANGES), 0);
	pageset_init(&seen, ARENA_IOVA, ARENA_SIZE);
	pageset_init(&should, ARENA_IOVA, ARENA_SIZE);
	for (unsigned int i = 0; i < BUFFER / PAGE; i++)
		write_page(&self->rig, self->buf, i);
	for (unsigned int i = 0; i < RANGES; i++)
		pageset_add(&should, ranges[i].iova, ranges[i].length);
	ASSERT_EQ(track_read(self->dev, BY_DEVICE, &seen), 0);
	EXPECT_TRUE(pageset_same(&seen, &should));
	EXPECT_EQ(pageset_count(&seen), 128 + 256);
	pageset_exit(&seen);
	pageset_exit(&should);
}

/* Without a bitmap of it all: that would be 4 GiB */
TEST_F(log, whole_address_space_can_be_logged)
{
	ASSERT_EQ(start(self->dev, PAGE, 0, 1ULL << 47), 0);
	write_page(&self->rig, self->buf, 5);
	EXPECT_FALSE(reported(&self->rig, self->buf, 4));
	EXPECT_TRUE(reported(&self->rig, self->buf, 5));
	EXPECT_EQ(log_stop(self->dev), 0);
	ASSERT_EQ(start(self->dev, PAGE, 0, -PAGE), 0);
	write_page(&self->rig, self->buf, 5);
	EXPECT_TRUE(reported(&self->rig, self->buf, 5));
}

TEST_F(log, works_in_every_migration_state)
{
	int fd;

	for (u32 state = VFIO_DEVICE_STATE_STOP; state <= VFIO_DEVICE_STATE_PRE_COPY_P2P; state++) {
		ASSERT_EQ(start_arena(self->dev), 0);
		write_page(&self->rig, self->buf, 1);
		ASSERT_EQ(mig_set(self->dev, state, &fd), 0);
		EXPECT_TRUE(reported(&self->rig, self->buf, 1)) TH_LOG("%s", mig_name(state));
		EXPECT_EQ(log_stop(self->dev), 0);
		/* Started there too, it is on when the device runs again */
		EXPECT_EQ(start_arena(self->dev), 0) TH_LOG("%s", mig_name(state));
		close(fd);
		/* Out of RESUMING with nothing loaded only a reset leads */
		if (mig_set(self->dev, VFIO_DEVICE_STATE_RUNNING, NULL)) {
			ASSERT_EQ(state, VFIO_DEVICE_STATE_RESUMING);
			ASSERT_EQ(vfio_reset(self->dev), 0);
			nvme_restart(&self->rig.nvme);
			ASSERT_EQ(nvme_create_io(&self->rig.nvme, 1, 64, 1), 0);
		}
		write_page(&self->rig, self->buf, 2);
		EXPECT_FALSE(reported(&self->rig, self->buf, 1)) TH_LOG("%s", mig_name(state));
		EXPECT_TRUE(reported(&self->rig, self->buf, 2)) TH_LOG("%s", mig_name(state));
		EXPECT_EQ(log_stop(self->dev), 0);
	}
}

TEST_F(log, close_ends_it)
{
	struct rig *rig = &self->rig;
	char bdf[BDF_SIZE];

	ASSERT_EQ(start_arena(self->dev), 0);
	write_page(rig, self->buf, 0);
	bdf_copy(bdf, self->dev->bdf);
	vfio_close(self->dev);
	iommu_exit(&rig->iommu[0]);
	ASSERT_EQ(iommu_init(&rig->iommu[0], variant->mode), NULL);
	ASSERT_EQ(vfio_open(self->dev, &rig->iommu[0], bdf), 0);
	arena_map(&rig->mem, &rig->iommu[0]);
	EXPECT_EQ(log_report(self->dev, ARENA_IOVA, PAGE, PAGE, self->bits), -EINVAL);
	rig->mem.used = 0;
	rig_start(rig);
	EXPECT_EQ(start_arena(self->dev), 0);
	EXPECT_FALSE(reported(rig, self->buf, 0));
}

TEST_F(log, devices_have_logs_of_their_own)
{
	struct vfio_dev *second = rig_second(&self->rig);

	ASSERT_EQ(start_arena(self->dev), 0);
	ASSERT_EQ(start_arena(second), 0);
	write_page(&self->rig, self->buf, 0);
	ASSERT_EQ(log_report(second, ARENA_IOVA, ARENA_SIZE, PAGE, self->bits), 0);
	EXPECT_TRUE(is_filled(self->bits, sizeof(self->bits), 0));
	ASSERT_EQ(log_stop(second), 0);
	EXPECT_TRUE(reported(&self->rig, self->buf, 0));
}

struct caller {
	struct vfio_dev *dev;
	bool stop;
	u64 started;
	u64 bits[ARENA_SIZE / PAGE / 64];
};

static void *caller_thread(void *arg)
{
	struct caller *caller = arg;
	int err;

	while (!__atomic_load_n(&caller->stop, __ATOMIC_RELAXED)) {
		err = start_arena(caller->dev);
		must(!err || err == -EINVAL);
		caller->started += !err;
		err = log_report(caller->dev, ARENA_IOVA, ARENA_SIZE, PAGE, caller->bits);
		must(!err || err == -EINVAL);
		must(!log_stop(caller->dev));
	}
	return NULL;
}

TEST_F_TIMEOUT(log, calls_from_all_sides_beside_dma, 60)
{
	struct caller caller[2] = { { .dev = self->dev }, { .dev = self->dev } };
	pthread_t thread[2];

	for (int i = 0; i < 2; i++)
		ASSERT_EQ(pthread_create(&thread[i], NULL, caller_thread, &caller[i]), 0);
	for (int n = 0; n < 1000; n++)
		write_page(&self->rig, self->buf, n % (BUFFER / PAGE));
	for (int i = 0; i < 2; i++)
		__atomic_store_n(&caller[i].stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_GT(caller[0].started + caller[1].started, 0);
	ASSERT_EQ(start_arena(self->dev), 0);
	write_page(&self->rig, self->buf, 3);
	EXPECT_TRUE(reported(&self->rig, self->buf, 3));
	EXPECT_FALSE(reported(&self->rig, self->buf, 4));
}

TEST_HARNESS_MAIN
