// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory is refused to whatever a migration does: it fails with ENOMEM and nothing has
 * changed, or it does without; and done again it succeeds.
 *
 * Refused is each allocation once, as far as it is made below a function of our modules,
 * so in the PCI, VFIO, IOMMU and file system cores on our behalf too.  What these do before
 * they come to us says nothing of us.  NVMe commands are a worker's, and allocate for the
 * medium only: io_and_precopy_go_on is about these.  To make a queue takes no memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dirty.h"
#include "fault.h"
#include "source.h"

#include "harness.h"

#define MEDIA_MB	2
#define GRANULES	(MIB(MEDIA_MB) / PAGE)

/* Is that on the medium?  From any state to STOP. */
static bool holds(struct vfio_dev *dev, const u8 *medium)
{
	u8 *is = malloc(MIB(MEDIA_MB));
	bool same;

	must(is);
	stream_medium(dev, is, MIB(MEDIA_MB));
	same = !memcmp(is, medium, MIB(MEDIA_MB));
	free(is);
	return same;
}

FIXTURE(refused)
{
	struct source src;
	struct vfio_dev *dev;
	struct blob blob;
};

FIXTURE_SETUP(refused)
{
	const char *why = fault_init() ?: source_open(&self->src, IOMMU_TYPE1, MEDIA_MB);

	if (why)
		SKIP(return, "%s", why);
	self->dev = self->src.dev;
	/* The worker executes what is late.  Nothing is refused to who calls the variant driver. */
	ASSERT_EQ(pf_attr_set(self->src.rig.pf, "io_latency_us", 1), 0);
	source_put(&self->src, 1, 2);
	source_put(&self->src, 300, 1);
}

FIXTURE_TEARDOWN(refused)
{
	blob_free(&self->blob);
	if (!self->dev)
		return;
	/* A test that failed may have left it on */
	fault_stop();
	pf_attr_set(self->src.rig.pf, "io_latency_us", 0);
	source_close(&self->src);
}

/* Way of a device, and where it stays if memory is refused: there is one arc that wants any */
struct way {
	u32 from;
	u32 to;
	u32 stays;
};

/* These make a data fd */
static const struct way costly[] = {
	{ RUNNING, PRE_COPY, RUNNING },
	{ RUNNING_P2P, PRE_COPY_P2P, RUNNING_P2P },
	{ STOP, STOP_COPY, STOP },
	{ RUNNING, STOP_COPY, STOP },
	{ STOP, RESUMING, STOP },
	{ RUNNING, RESUMING, STOP },
};

static const struct way free_of_charge[] = {
	{ .from = RUNNING, .to = RUNNING_P2P },
	{ .from = RUNNING, .to = STOP },
	{ .from = RUNNING_P2P, .to = RUNNING },
	{ .from = STOP, .to = RUNNING },
	{ .from = PRE_COPY, .to = PRE_COPY_P2P },
	{ .from = PRE_COPY_P2P, .to = RUNNING_P2P },
	{ .from = PRE_COPY_P2P, .to = PRE_COPY },
	{ .from = PRE_COPY, .to = RUNNING },
	/* The guest waits meanwhile: what is needed was taken before */
	{ .from = PRE_COPY, .to = STOP_COPY },
	{ .from = PRE_COPY_P2P, .to = STOP_COPY },
	{ .from = STOP_COPY, .to = RUNNING },
};

/* To the beginning of @way; the data fd that comes with it, or -1 */
static int set_out(struct vfio_dev *dev, const struct way *way)
{
	int fd;

	must(!mig_set(dev, way->from, &fd));
	return fd;
}

static bool goes_through(struct vfio_dev *dev, const struct way *way, int *fd, int *err,
			 struct sweep *sweep)
{
	int new_fd;

	sweep_begin(sweep);
	*err = mig_set(dev, way->to, &new_fd);
	sweep_end(sweep);
	if (new_fd >= 0)
		*fd = new_fd;
	return !*err;
}

/* At the end of a way: is the data fd as good as ever?  Back to RUNNING. */
static bool ends_well(struct source *src, u32 state, int fd, const struct blob *saved)
{
	struct blob blob = {};
	size_t pos = 0;
	bool right;

	switch (state) {
	case STOP_COPY:
		must(!mig_read(fd, &blob, KIB(64)));
		right = source_copied_right(src, &blob, &pos);
		break;
	case RESUMING:
		right = !mig_write(fd, saved->data, saved->len, KIB(64)) &&
			!mig_set(src->dev, STOP, NULL) && holds(src->dev, src->medium);
		break;
	default:
		precopy_drain(fd, &blob);
		right = source_copied_right(src, &blob, &pos);
	}
	close(fd);
	blob_free(&blob);
	return !mig_set(src->dev, RUNNING, NULL) && right;
}

TEST_F(refused, an_arc_leaves_the_device_where_it_was)
{
	mig_save(self->dev, &self->blob);
	must(!mig_set(self->dev, RUNNING, NULL));
	for (unsigned int i = 0; i < ARRAY_SIZE(costly); i++) {
		const struct way *way = &costly[i];
		struct sweep sweep = {};
		unsigned int failed = 0;
		int err, fd;

		while (sweep_next(&sweep)) {
			fd = set_out(self->dev, way);
			if (!goes_through(self->dev, way, &fd, &err, &sweep)) {
				failed++;
				ASSERT_EQ(err, -ENOMEM);
				ASSERT_EQ(mig_get(self->dev), way->stays);
				err = mig_set(self->dev, way->to,
					      way->from == PRE_COPY || way->from == PRE_COPY_P2P ?
					      NULL : &fd);
				ASSERT_EQ(err, 0);
			}
			ASSERT_EQ(mig_get(self->dev), way->to);
			ASSERT_TRUE(ends_well(&self->src, way->to, fd, &self->blob))
				TH_LOG("%s to %s, round %u", mig_name(way->from),
				       mig_name(way->to), sweep.round);
		}
		EXPECT_GT(failed, 0)
			TH_LOG("%s to %s", mig_name(way->from), mig_name(way->to));
		note("%s to %s: failed for %u of %u", mig_name(way->from), mig_name(way->to),
		     failed, sweep.refused);
	}
	EXPECT_TRUE(source_reads_right(&self->src));
}

/* How many allocations @way takes, none of which it needs */
static unsigned int allocations_of(struct __test_metadata *_metadata, struct vfio_dev *dev,
				   const struct way *way)
{
	struct sweep sweep = {};
	int err, fd;

	while (sweep_next(&sweep)) {
		fd = set_out(dev, way);
		EXPECT_TRUE(goes_through(dev, way, &fd, &err, &sweep));
		close(fd);
		must(!mig_set(dev, RUNNING, NULL));
	}
	return sweep.refused;
}

TEST_F(refused, an_arc_without_data_fd_needs_none)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(free_of_charge); i++) {
		const struct way *way = &free_of_charge[i];

		/* Now and then some are what the kernel checks itself with: not twice in a row */
		if (allocations_of(_metadata, self->dev, way))
			EXPECT_EQ(allocations_of(_metadata, self->dev, way), 0);
	}
}

TEST_F(refused, asking_and_reading_need_none)
{
	struct sweep sweep = {};
	u64 initial, dirty, size;
	int fd;

	/* A user's page that is not there yet is memory too */
	self->blob.data = malloc(MIB(1));
	must(self->blob.data);
	self->blob.size = MIB(1);
	memset(self->blob.data, 0xff, MIB(1));

	while (sweep_next(&sweep)) {
		self->blob.len = 0;
		fd = precopy_begin(self->dev, PRE_COPY);
		sweep_begin(&sweep);
		EXPECT_EQ(precopy_info(fd, &initial, &dirty), 0);
		EXPECT_EQ(mig_size(self->dev, &size), 0);
		EXPECT_EQ(mig_read(fd, &self->blob, KIB(64)), -ENOMSG);
		EXPECT_FALSE(sweep_end(&sweep));

		must(!mig_set(self->dev, STOP_COPY, NULL));
		sweep_begin(&sweep);
		EXPECT_EQ(mig_size(self->dev, &size), 0);
		EXPECT_EQ(mig_read(fd, &self->blob, KIB(64)), 0);
		EXPECT_FALSE(sweep_end(&sweep));
		close(fd);
		must(!mig_set(self->dev, RUNNING, NULL));
	}
}

/* What is said in Documentation/driver.rst of a stream that is refused */
static bool is_over(struct vfio_dev *dev, int fd)
{
	u8 byte = 0;

	return mig_write(fd, &byte, 1, 1) == -EINVAL && mig_set(dev, STOP, NULL) == -EINVAL &&
	       mig_get(dev) == RESUMING;
}

TEST_F(refused, a_load_ends_with_nothing_changed)
{
	struct source *src = &self->src;
	struct vfio_dev *dst = rig_second(&src->rig);
	u8 *media[2] = { malloc(src->size), malloc(src->size) };
	struct blob blobs[2] = {};
	unsigned int failed = 0, now = 0;
	struct sweep sweep = {};
	int err, fd;

	/* Two streams in turns, so that it shows which one is on the medium */
	for (unsigned int i = 0; i < 2; i++) {
		source_put(src, 10 + i, 1);
		mig_save(src->dev, &blobs[i]);
		memcpy(media[i], src->medium, src->size);
		must(!mig_set(src->dev, RUNNING, NULL));
	}
	must(!mig_load(dst, &blobs[now]));
	must(!mig_set(dst, STOP, NULL));

	while (sweep_next(&sweep)) {
		must(!mig_set(dst, RESUMING, &fd));
		sweep_begin(&sweep);
		err = mig_write(fd, blobs[!now].data, blobs[!now].len, MIB(1));
		sweep_end(&sweep);
		if (err) {
			failed++;
			ASSERT_EQ(err, -ENOMEM);
			ASSERT_TRUE(is_over(dst, fd));
			must(!vfio_reset(dst));
			ASSERT_TRUE(holds(dst, media[now]));
			ASSERT_EQ(mig_load(dst, &blobs[!now]), 0);
		}
		close(fd);
		now = !now;
		ASSERT_EQ(mig_set(dst, STOP, NULL), 0);
		ASSERT_TRUE(holds(dst, media[now]))
			TH_LOG("round %u", sweep.round);
	}
	/* Four granules at least, the two chunks that they are in, the device's state */
	EXPECT_GT(failed, 4);
	note("failed for %u of %u", failed, sweep.refused);
	for (unsigned int i = 0; i < 2; i++) {
		blob_free(&blobs[i]);
		free(media[i]);
	}
}

/* The rest of the stream, from *@at on; false if a write() said what it must not */
static bool write_rest(int fd, const struct blob *blob, size_t *at)
{
	while (*at < blob->len) {
		ssize_t n = write(fd, blob->data + *at, blob->len - *at);

		if (n <= 0)
			return n < 0 && errno == EFAULT;
		*at += n;
	}
	return true;
}

TEST_F(refused, a_copy_can_be_done_again)
{
	struct source *src = &self->src;
	struct vfio_dev *dst = rig_second(&src->rig);
	struct sweep save = {}, load = {};
	size_t pos, at;
	int err, fd;

	fault_copies_below_us();
	while (sweep_next(&save)) {
		must(!mig_set(src->dev, STOP_COPY, &fd));
		self->blob.len = 0;
		sweep_begin(&save);
		err = mig_read(fd, &self->blob, KIB(6));
		sweep_end(&save);
		if (err) {
			ASSERT_EQ(err, -EFAULT);
			ASSERT_EQ(mig_read(fd, &self->blob, KIB(6)), 0);
		}
		pos = 0;
		ASSERT_TRUE(source_copied_right(src, &self->blob, &pos));
		close(fd);
		must(!mig_set(src->dev, STOP, NULL));
	}
	EXPECT_GT(save.refused, 6);

	while (sweep_next(&load)) {
		must(!mig_set(dst, RESUMING, &fd));
		at = 0;
		sweep_begin(&load);
		ASSERT_TRUE(write_rest(fd, &self->blob, &at));
		sweep_end(&load);
		ASSERT_TRUE(write_rest(fd, &self->blob, &at));
		ASSERT_EQ(at, self->blob.len);
		close(fd);
		ASSERT_EQ(mig_set(dst, STOP, NULL), 0);
		ASSERT_TRUE(holds(dst, src->medium));
	}
	EXPECT_GT(load.refused, 6);
	note("%u of saving, %u of loading", save.refused, load.refused);
}

/* 0 or -errno, while the allocation that is due is refused */
static int resize_swept(const char *bdf, const char *mb, struct sweep *sweep)
{
	int err;

	sweep_begin(sweep);
	err = file_write(vf_debugfs(bdf, "media_mb"), mb);
	sweep_end(sweep);
	return err;
}

static void resize_back_and_forth(struct __test_metadata *_metadata, struct source *src)
{
	const char *bdf = src->dev->bdf;
	struct sweep sweep = {};
	unsigned int failed = 0;
	int err;

	while (sweep_next(&sweep)) {
		err = resize_swept(bdf, "3", &sweep);
		if (err) {
			failed++;
			ASSERT_EQ(err, -ENOMEM);
			ASSERT_EQ(file_u64(vf_debugfs(bdf, "media_mb"), 0), MEDIA_MB);
			ASSERT_EQ(file_write(vf_debugfs(bdf, "media_mb"), "3"), 0);
		}
		ASSERT_EQ(file_u64(vf_debugfs(bdf, "media_mb"), 0), 3);
		ASSERT_EQ(file_write(vf_debugfs(bdf, "media_mb"), "2"), 0);
	}
	EXPECT_GT(failed, 0);
}

/* kmemleak overlooks some: the slab allocator's own lists still name what it gave out */
#define LEAKS	16

TEST_F(refused, a_resize_leaves_the_medium_as_it_was)
{
	int fd;

	resize_back_and_forth(_metadata, &self->src);
	EXPECT_TRUE(source_reads_right(&self->src));

	/* The same where a load is on, which has a medium of its own */
	must(!mig_set(self->dev, RESUMING, &fd));
	for (unsigned int i = 0; i < LEAKS; i++)
		resize_back_and_forth(_metadata, &self->src);
	close(fd);
	must(!vfio_reset(self->dev));
	EXPECT_TRUE(holds(self->dev, self->src.medium));
}

/* Have the device write a page of memory: a Read, whose id is returned */
static u16 submit_page_write(struct source *src, unsigned int page)
{
	struct nvme *nvme = &src->rig.nvme;
	u16 cid = nvme_submit_read(nvme, &nvme->io[1], 0, 8,
				   arena_iova(&src->rig.mem, src->buf + page * PAGE));

	nvme_ring(nvme, &nvme->io[1]);
	return cid;
}

/* The device writes page @page of the buffer */
static void write_page(struct source *src, unsigned int page)
{
	struct nvme *nvme = &src->rig.nvme;

	must(!nvme_wait(nvme, &nvme->io[1], submit_page_write(src, page), NULL));
}

TEST_F(refused, a_log_is_off_or_on_and_loses_nothing)
{
	struct source *src = &self->src;
	struct sweep start = {}, report = {};
	struct pageset is, should;
	const char *why = track_offered(self->dev, BY_DEVICE);
	struct nvme *nvme = &src->rig.nvme;
	struct nvme_queue *q = &nvme->io[1];
	unsigned int failed = 0;
	u16 cid;
	int err;

	if (why)
		SKIP(return, "%s", why);
	pageset_init(&is, arena_iova(&src->rig.mem, src->buf), MIB(1));
	pageset_init(&should, is.iova, MIB(1));
	memset(is.bits, 0, is.pages / 8);

	while (sweep_next(&start)) {
		sweep_begin(&start);
		err = track_start(self->dev, BY_DEVICE, ARENA_IOVA, ARENA_SIZE);
		sweep_end(&start);
		if (err) {
			failed++;
			ASSERT_EQ(err, -ENOMEM);
			ASSERT_EQ(track_read(self->dev, BY_DEVICE, &is), -EINVAL);
			ASSERT_EQ(track_start(self->dev, BY_DEVICE, ARENA_IOVA, ARENA_SIZE), 0);
		}
		/* A write that can't be logged is not done before it can */
		fault_rate(1);
		cid = submit_page_write(src, 3);
		ASSERT_TRUE(stays_false(nvme_peek(q)));
		fault_stop();
		ASSERT_EQ(nvme_wait(nvme, q, cid, NULL), 0);
		pageset_clear(&is);
		ASSERT_EQ(track_read(self->dev, BY_DEVICE, &is), 0);
		ASSERT_TRUE(pageset_has(&is, is.iova + 3 * PAGE));
		ASSERT_EQ(track_stop(self->dev, BY_DEVICE), 0);
	}
	EXPECT_GT(failed, 0);

	must(!track_start(self->dev, BY_DEVICE, ARENA_IOVA, ARENA_SIZE));
	while (sweep_next(&report)) {
		write_page(src, report.round);
		pageset_clear(&should);
		pageset_add(&should, is.iova + report.round * PAGE, PAGE);
		pageset_clear(&is);
		sweep_begin(&report);
		err = track_read(self->dev, BY_DEVICE, &is);
		sweep_end(&report);
		if (err) {
			ASSERT_EQ(err, -ENOMEM);
			ASSERT_EQ(track_read(self->dev, BY_DEVICE, &is), 0);
		}
		ASSERT_TRUE(pageset_same(&is, &should));
	}
	ASSERT_EQ(track_stop(self->dev, BY_DEVICE), 0);
	pageset_exit(&is);
	pageset_exit(&should);
}

#define INTERVAL	7
#define WRITES		400

/* Write a granule: 0, or the status of a command that left the granule as it was */
static int try_write(struct source *src, u64 granule)
{
	struct nvme *nvme = &src->rig.nvme;
	u32 blocks = PAGE / nvme->lba_size;
	int status;

	fill_pattern(src->buf, PAGE, next_random(&src->seed));
	status = nvme_rw(nvme, &nvme->io[1], NVME_WRITE, granule * blocks, blocks, src->buf);
	if (!status)
		memcpy(src->medium + granule * PAGE, src->buf, PAGE);
	return status;
}

TEST_F(refused, io_and_precopy_go_on)
{
	struct source *src = &self->src;
	struct session s;
	u64 bytes;

	session_begin(&s, src);
	fault_rate(INTERVAL);
	for (unsigned int i = 0; i < WRITES; i++) {
		ASSERT_EQ(try_write(src, next_random(&src->seed) % GRANULES), 0);
		/* So that there is always something to allocate */
		if (i % 16 == 15)
			source_punch(src, next_random(&src->seed) % (GRANULES - 64), 64);
		if (i % 100 == 99)
			precopy_drain(s.fd, &s.blob);
	}
	EXPECT_TRUE(source_reads_right(src));
	EXPECT_GT(fault_count(), 0);
	fault_stop();
	for (unsigned int i = 0; i < 16; i++)
		ASSERT_EQ(try_write(src, next_random(&src->seed) % GRANULES), 0);
	ASSERT_TRUE(session_drains_right(&s, &bytes));
	EXPECT_TRUE(session_moves_right(&s));
	session_end(&s);
}

/*
 * Write where there are no pages, while each allocation of the thread that sweeps are about is
 * refused in turn.  It takes as many pages as the device has spare.  Returns how many were refused.
 */
static unsigned int write_swept(struct __test_metadata *_metadata, struct source *src)
{
	struct sweep sweep = {};

	while (sweep_next(&sweep)) {
		source_punch(src, 0, GRANULES);
		sweep_begin(&sweep);
		source_write(src, 0, MIB(1));
		sweep_end(&sweep);
		EXPECT_TRUE(source_reads_right(src))
			TH_LOG("round %u", sweep.round);
	}
	return sweep.refused;
}

TEST_F_TIMEOUT(refused, a_write_is_done_when_the_worker_has_memory, 60)
{
	fault_in_worker(self->dev->bdf);
	EXPECT_GT(write_swept(_metadata, &self->src), 0);
}

/* Without a latency, whoever rings the doorbell executes the command */
TEST_F(refused, a_doorbell_allocates_nothing)
{
	must(!pf_attr_set(self->src.rig.pf, "io_latency_us", 0));
	EXPECT_EQ(write_swept(_metadata, &self->src), 0);
}

/* Arcs and resets wait for the controller's lock, so nothing is allocated with it held */
TEST_F(refused, a_write_allocates_nothing_with_the_lock_held)
{
	struct source *src = &self->src;

	source_punch(src, 0, GRANULES);
	fault_below_function("vfmig_nvme_execute_io");
	fault_rate(1);
	for (unsigned int i = 0; i < GRANULES; i++)
		EXPECT_EQ(try_write(src, i), 0);
	EXPECT_EQ(fault_count(), 0);
	fault_stop();
	EXPECT_TRUE(source_reads_right(src));
}

TEST_F(refused, a_logged_write_gets_memory_without_the_lock)
{
	struct source *src = &self->src;
	struct nvme *nvme = &src->rig.nvme;
	struct nvme_queue *q = &nvme->io[1];
	const char *why = track_offered(self->dev, BY_DEVICE);

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(track_start(src->dev, BY_DEVICE, ARENA_IOVA, ARENA_SIZE), 0);
	fault_only_at_once(true);
	fault_rate(1);
	EXPECT_EQ(nvme_wait(nvme, q, submit_page_write(src, 3), NULL), 0);
	EXPECT_GT(fault_count(), 0);
	fault_stop();
	fault_only_at_once(false);
	EXPECT_EQ(track_stop(src->dev, BY_DEVICE), 0);
}

TEST_F(refused, a_load_allocates_nothing_with_the_lock_held)
{
	struct source *src = &self->src;
	struct blob blob = {};

	ASSERT_EQ(try_write(src, 0), 0);
	mig_save(src->dev, &blob);
	fault_below_function("vfmig_nvme_load_page");
	fault_once(1);
	EXPECT_TRUE(source_lands_right(src, &blob));
	EXPECT_FALSE(fault_stop());
	blob_free(&blob);
}

/*
 * Write granules one after the other while memory is refused, until the device has used up what it
 * has in reserve.  Returns the status of the write that it refuses, or 0 if it refuses none.
 */
static int status_without_memory(struct source *src)
{
	struct nvme *nvme = &src->rig.nvme;
	u32 blocks = PAGE / nvme->lba_size;
	struct nvme_cqe cqe;

	for (unsigned int i = 0; i < GRANULES; i++) {
		struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE, i * blocks, blocks);

		nvme_set_prps(nvme, &nvme->io[1], &cmd, src->buf, PAGE);
		if (nvme_sync(nvme, &nvme->io[1], &cmd, &cqe))
			return cqe.status & ~(NVME_CQE_MORE | 1);
		memcpy(src->medium + i * PAGE, src->buf, PAGE);
	}
	return 0;
}

TEST_F(refused, a_write_that_finds_no_memory_for_long_may_be_retried)
{
	struct source *src = &self->src;

	source_punch(src, 0, GRANULES);
	fault_rate(1);
	/* Without Do Not Retry */
	EXPECT_EQ(status_without_memory(src), NVME_INTERNAL_ERROR << 1);
	fault_stop();
	EXPECT_EQ(try_write(src, GRANULES - 1), 0);
	EXPECT_TRUE(source_reads_right(src));
}

/* There is memory for what describes a page, and none for a page: that must end too */
TEST_F(refused, a_write_that_finds_no_page_for_long_may_be_retried)
{
	struct source *src = &self->src;

	source_punch(src, 0, GRANULES);
	fault_pages(1);
	EXPECT_EQ(status_without_memory(src), NVME_INTERNAL_ERROR << 1);
	fault_stop();
	EXPECT_EQ(try_write(src, GRANULES - 1), 0);
	EXPECT_TRUE(source_reads_right(src));
}

TEST_HARNESS_MAIN
