// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reset from every side in every migration state: the device is as new and RUNNING,
 * the data fd of before is dead, and nothing locks up.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>

#include "rig.h"

#include "harness.h"

FIXTURE(reset)
{
	struct rig rig;
	struct vfio_dev *dev;
	u8 *buf;
	u64 flags;
};

FIXTURE_VARIANT(reset)
{
	enum iommu_mode mode;
	enum reset_kind kind;
};

FIXTURE_VARIANT_ADD(reset, by_vfio)
{
	.mode = IOMMU_TYPE1,
	.kind = RESET_VFIO,
};

FIXTURE_VARIANT_ADD(reset, by_vfio_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.kind = RESET_VFIO,
};

FIXTURE_VARIANT_ADD(reset, by_flr)
{
	.mode = IOMMU_TYPE1,
	.kind = RESET_FLR,
};

FIXTURE_VARIANT_ADD(reset, by_flr_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.kind = RESET_FLR,
};

FIXTURE_VARIANT_ADD(reset, by_sysfs)
{
	.mode = IOMMU_TYPE1,
	.kind = RESET_SYSFS,
};

FIXTURE_VARIANT_ADD(reset, by_sysfs_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.kind = RESET_SYSFS,
};

FIXTURE_VARIANT_ADD(reset, by_pf)
{
	.mode = IOMMU_TYPE1,
	.kind = RESET_PF,
};

FIXTURE_VARIANT_ADD(reset, by_pf_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.kind = RESET_PF,
};

FIXTURE_SETUP(reset)
{
	struct pf_vfs vfs = { .count = 2 };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	ASSERT_EQ(mig_flags(self->dev, &self->flags), 0);
	rig_start(&self->rig);
	self->buf = arena_alloc(&self->rig.mem, 16 * PAGE);
	fill_pattern(self->buf, PAGE, 1);
	nvme_write_bytes(&self->rig.nvme, 0, self->buf, PAGE);
}

FIXTURE_TEARDOWN(reset)
{
	rig_close(&self->rig);
}

/* The registers are those of a reset device, and it can be used as one */
static void expect_as_new(struct __test_metadata *_metadata, struct rig *rig, u8 *buf,
			  const char *what)
{
	struct vfio_dev *dev = &rig->dev[0];

	EXPECT_EQ(mig_get(dev), RUNNING) TH_LOG("%s", what);
	EXPECT_EQ(bar_read32(dev, NVME_CC), 0) TH_LOG("%s", what);
	EXPECT_EQ(bar_read32(dev, NVME_CSTS), 0) TH_LOG("%s", what);
	nvme_restart(&rig->nvme);
	ASSERT_EQ(nvme_create_io(&rig->nvme, 1, 64, 1), 0);
	memset(buf, 0, PAGE);
	nvme_read_bytes(&rig->nvme, 0, buf, PAGE);
	EXPECT_TRUE(is_pattern(buf, PAGE, 1)) TH_LOG("%s: medium lost", what);
}

/* One byte of a stream: 1 or -errno */
static int transfer(int fd, u32 state)
{
	u8 byte = VFMIG_RECORD_IDENTITY;
	ssize_t n = state == RESUMING ? write(fd, &byte, 1) : read(fd, &byte, 1);

	return n < 0 ? -errno : n;
}

TEST_F_TIMEOUT(reset, in_every_state, 60)
{
	struct rig *rig = &self->rig;
	int fd;

	for (u32 state = STOP; state < STATES; state++) {
		if (state >= PRE_COPY &&
		    !(self->flags & VFIO_MIGRATION_PRE_COPY))
			continue;
		ASSERT_EQ(mig_set(self->dev, state, &fd), 0);
		if (fd >= 0)
			EXPECT_EQ(transfer(fd, state), 1);
		vfio_reset_by(self->dev, rig->pf, variant->kind);
		if (fd >= 0)
			EXPECT_EQ(transfer(fd, state), -ENODEV) TH_LOG("%s", mig_name(state));
		expect_as_new(_metadata, rig, self->buf, mig_name(state));
		close(fd);
	}
}

TEST_F(reset, with_a_stream_loaded)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};

	/* RESUMING with everything written, then reset: what was loaded is not kept open */
	mig_save(self->dev, &blob);
	ASSERT_EQ(mig_load(self->dev, &blob), 0);
	vfio_reset_by(self->dev, rig->pf, variant->kind);
	expect_as_new(_metadata, rig, self->buf, "loaded");
	blob_free(&blob);
}

TEST_F(reset, with_commands_in_flight)
{
	struct rig *rig = &self->rig;
	struct nvme_queue *q = &rig->nvme.io[1];
	u8 *copy = malloc(rig->mem.used);

	ASSERT_NE(copy, NULL);
	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 50000), 0);
	for (int i = 0; i < 16; i++) {
		struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 8 * i, 8);

		nvme_set_prps(&rig->nvme, q, &cmd, self->buf + i * PAGE, PAGE);
		nvme_submit(&rig->nvme, q, &cmd);
	}
	nvme_ring(&rig->nvme, q);
	vfio_reset_by(self->dev, rig->pf, variant->kind);
	memcpy(copy, rig->mem.va, rig->mem.used);
	event_count(rig->irq[1]);
	vfio_bus_master(self->dev, true);
	EXPECT_TRUE(stays_false(memcmp(copy, rig->mem.va, rig->mem.used)));
	EXPECT_EQ(event_count(rig->irq[1]), 0);
	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 0), 0);
	expect_as_new(_metadata, rig, self->buf, "in flight");
	free(copy);
}

TEST_F(reset, then_a_whole_migration)
{
	struct rig *rig = &self->rig;
	struct blob blob = {}, again = {};
	int fd;

	ASSERT_EQ(mig_set(self->dev, STOP_COPY, &fd), 0);
	vfio_reset_by(self->dev, rig->pf, variant->kind);
	close(fd);
	mig_save(self->dev, &blob);
	ASSERT_EQ(mig_load(self->dev, &blob), 0);
	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	mig_save(self->dev, &again);
	EXPECT_TRUE(blob_equal(&blob, &again));
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	blob_free(&blob);
	blob_free(&again);
}

struct resetter {
	struct vfio_dev *dev;
	const char *pf;
	enum reset_kind kind;
	bool stop;
	unsigned int done;
};

static void *reset_once(void *arg)
{
	struct resetter *r = arg;

	vfio_reset_by(r->dev, r->pf, r->kind);
	__atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * The PCI core waits for 100 ms after an FLR before it says that the reset is over.  That is
 * no second reset: a state that was entered in between stays.
 */
TEST_F(reset, is_one_reset)
{
	struct rig *rig = &self->rig;
	struct resetter r = { .dev = self->dev, .pf = rig->pf, .kind = variant->kind };
	pthread_t thread;
	bool in_between;

	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, reset_once, &r), 0);
	ASSERT_TRUE(wait_until(mig_get(self->dev) == RUNNING));
	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	in_between = !__atomic_load_n(&r.stop, __ATOMIC_ACQUIRE);
	pthread_join(thread, NULL);
	if (!in_between)
		SKIP(return, "the reset was over too soon");
	EXPECT_EQ(mig_get(self->dev), STOP);
	vfio_reset_by(self->dev, rig->pf, variant->kind);
	expect_as_new(_metadata, rig, self->buf, "afterwards");
}

static void *reset_thread(void *arg)
{
	struct resetter *r = arg;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		vfio_reset_by(r->dev, r->pf, r->kind);
		r->done++;
	}
	return NULL;
}

#define TRACE_DIR	"/sys/kernel/tracing/instances/vfmig_reset_test"

/* In our own part of the trace; the events are of arcs, and of resets that were dealt with */
static void trace_mark(const char *text)
{
	file_write(TRACE_DIR "/trace_marker", text);
}

static void trace_clear(void)
{
	FILE *f = fopen(TRACE_DIR "/trace", "we");

	must(f);
	fclose(f);
}

/*
 * What the trace says of this thread: of the state changes that a reset undid before they
 * returned, how many said so, and how many did not.  A reset that comes before the first arc
 * undoes nothing.
 */
static void trace_count(unsigned int *told, unsigned int *untold)
{
	FILE *f = fopen(TRACE_DIR "/trace", "re");
	bool moved = false, undone = false;
	char line[256], me[16];

	must(f);
	*told = 0;
	*untold = 0;
	snprintf(me, sizeof(me), "-%d ", (int)gettid());
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, me))
			continue;
		if (strstr(line, "BEGIN")) {
			moved = false;
			undone = false;
		} else if (strstr(line, "vfmig_arc:")) {
			moved = true;
		} else if (strstr(line, "vfmig_reset:")) {
			undone = moved;
		} else if (undone && strstr(line, "CANCELED")) {
			++*told;
		} else if (undone && strstr(line, "CHANGED")) {
			++*untold;
		}
	}
	fclose(f);
}

/* A state change that succeeds has ended in the state that was asked for */
TEST_F_TIMEOUT(reset, is_told_by_the_state_change_that_it_undoes, 60)
{
	struct resetter r = { .dev = self->dev, .pf = self->rig.pf, .kind = variant->kind };
	unsigned int told = 0, untold = 0;
	pthread_t thread;

	rmdir(TRACE_DIR);
	if (mkdir(TRACE_DIR, 0700))
		SKIP(return, "no tracing");
	ASSERT_EQ(file_write(TRACE_DIR "/events/vfmig/vfmig_arc/enable", "1"), 0);
	ASSERT_EQ(file_write(TRACE_DIR "/events/vfmig/vfmig_reset/enable", "1"), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, reset_thread, &r), 0);
	for (u64 end = now_ms() + WAIT_MS; now_ms() < end && !told && !untold;) {
		trace_clear();
		for (unsigned int i = 0; i < 200; i++) {
			int fd, err;

			trace_mark("BEGIN");
			err = mig_set(self->dev, i % 2 ? STOP_COPY : STOP, &fd);
			trace_mark(err == -ECANCELED ? "CANCELED" : err ? "FAILED" : "CHANGED");
			EXPECT_TRUE(!err || fd < 0);
			close(fd);
			EXPECT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
		}
		trace_count(&told, &untold);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(untold, 0);
	rmdir(TRACE_DIR);
	if (!told && !untold)
		SKIP(return, "no reset came while a state changed");
}

/* Every state call may fail when a reset comes in between; none may hang or crash */
TEST_F_TIMEOUT(reset, beside_state_changes_and_transfers, 60)
{
	struct rig *rig = &self->rig;
	struct resetter r = { .dev = self->dev, .pf = rig->pf, .kind = variant->kind };
	struct blob blob = {}, stream = {};
	bool never_0 = true;
	pthread_t thread;
	u64 size;
	int fd;

	mig_save(self->dev, &stream);
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, reset_thread, &r), 0);
	for (u64 end = now_ms() + 1000; now_ms() < end;) {
		if (!mig_set(self->dev, STOP_COPY, &fd)) {
			blob.len = 0;
			mig_read(fd, &blob, 4096);
			close(fd);
		}
		never_0 &= !mig_size(self->dev, &size) && size;
		if (!mig_set(self->dev, RESUMING, &fd)) {
			mig_write(fd, stream.data, stream.len, 4096);
			close(fd);
		}
		mig_set(self->dev, RUNNING, NULL);
	}
	__atomic_store_n(&r.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_GT(r.done, 0);
	EXPECT_TRUE(never_0) TH_LOG("MIG_DATA_SIZE was 0");
	ASSERT_EQ(vfio_reset(self->dev), 0);
	/* A load may have gone through in between: the medium is the same then */
	expect_as_new(_metadata, rig, self->buf, "afterwards");
	blob_free(&blob);
	blob_free(&stream);
}

TEST_HARNESS_MAIN
