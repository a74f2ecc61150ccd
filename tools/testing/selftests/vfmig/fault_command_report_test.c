// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on command (Documentation/faults.rst) of what a VF reports: PRECOPY_INFO,
 * MIG_DATA_SIZE and DMA logging.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "dirty.h"
#include "source.h"

#include "harness.h"

FIXTURE(report)
{
	struct source src;
	struct vfio_dev *dev;
	char bdf[BDF_SIZE];
	struct blob blob;
	int fd;
};

FIXTURE_SETUP(report)
{
	const char *why = source_open_with_runs(&self->src, IOMMU_TYPE1);

	if (why)
		SKIP(return, "%s", why);
	self->fd = -1;
	self->dev = self->src.dev;
	bdf_copy(self->bdf, self->dev->bdf);
	why = command_begin(self->bdf);
	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(report)
{
	command_end(self->bdf);
	if (self->fd >= 0)
		close(self->fd);
	blob_free(&self->blob);
	source_close(&self->src);
}

struct info {
	u64 initial;
	u64 dirty;
	u32 flags;
};

/* The flags are what the driver has set */
static struct info info(int fd)
{
	struct vfio_precopy_info raw = { .argsz = sizeof(raw) };

	must(!ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, &raw));
	return (struct info){ raw.initial_bytes, raw.dirty_bytes, raw.flags };
}

#define EXPECT_INFO(fd, _initial, _dirty) do { \
	struct info _is = info(fd); \
	EXPECT_EQ(_is.initial, _initial); \
	EXPECT_EQ(_is.dirty, _dirty); \
} while (0)

TEST_F(report, of_precopy_says_what_is_asked_for)
{
	self->fd = precopy_begin(self->dev, PRE_COPY);
	EXPECT_INFO(self->fd, FIRST_COPY, 0);

	command(self->bdf, "precopy initial=0 times=2");
	EXPECT_INFO(self->fd, 0, 0);
	command(self->bdf, "precopy dirty=1M once");
	EXPECT_INFO(self->fd, 0, MIB(1));
	EXPECT_INFO(self->fd, FIRST_COPY, 0);
	command_clear(self->bdf);

	command(self->bdf, "precopy jump=1000 nth=2");
	EXPECT_INFO(self->fd, FIRST_COPY, 0);
	EXPECT_INFO(self->fd, FIRST_COPY, 1000);
	EXPECT_INFO(self->fd, FIRST_COPY, 0);
	command_clear(self->bdf);

	command(self->bdf, "precopy grow=10");
	for (unsigned int i = 1; i <= 3; i++)
		EXPECT_INFO(self->fd, FIRST_COPY, i * 10);
	command_clear(self->bdf);

	/* The highest value is the highest */
	command(self->bdf, "precopy dirty=0xffffffffffffffff");
	command(self->bdf, "precopy jump=1");
	command(self->bdf, "precopy grow=0xffffffffffffffff");
	EXPECT_INFO(self->fd, FIRST_COPY, ~0ULL);
	EXPECT_INFO(self->fd, FIRST_COPY, ~0ULL);
	command_clear(self->bdf);

	EXPECT_INFO(self->fd, FIRST_COPY, 0);
	/* What is read is what it was */
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), FIRST_COPY);
}

TEST_F(report, of_precopy_never_falls)
{
	unsigned int id = command(self->bdf, "precopy stuck");

	for (unsigned int i = 1; i <= 2; i++) {
		self->blob.len = 0;
		self->fd = precopy_begin(self->dev, PRE_COPY);
		if (i == 2)
			precopy_read(self->fd, &self->blob, 500);
		EXPECT_INFO(self->fd, FIRST_COPY - (i - 1) * 500, 0);
		precopy_drain(self->fd, &self->blob);
		EXPECT_INFO(self->fd, FIRST_COPY - (i - 1) * 500, 0);
		EXPECT_EQ(command_done(self->bdf, id), 2 * i);
		close(self->fd);
		ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	}
	self->fd = -1;
}

TEST_F(report, of_precopy_fails)
{
	u64 initial, dirty;

	self->fd = precopy_begin(self->dev, PRE_COPY);
	command(self->bdf, "precopy errno=EIO times=2");
	EXPECT_EQ(precopy_info(self->fd, &initial, &dirty), -EIO);
	EXPECT_EQ(precopy_info(self->fd, &initial, &dirty), -EIO);
	EXPECT_INFO(self->fd, FIRST_COPY, 0);
	/* In other states it is as always */
	command(self->bdf, "precopy errno=EIO");
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	EXPECT_EQ(precopy_info(self->fd, &initial, &dirty), -EINVAL);
}

TEST_F(report, of_precopy_has_new_initial_data)
{
	unsigned int id = command(self->bdf, "precopy reinit once");
	struct info is;

	/* Who does not know of it is told nothing */
	self->fd = precopy_begin(self->dev, PRE_COPY);
	EXPECT_INFO(self->fd, FIRST_COPY, 0);
	EXPECT_EQ(command_seen(self->bdf, id), 0);
	close(self->fd);
	self->fd = -1;
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);

	if (precopy_opt_in(self->dev))
		SKIP(return, "no VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2");
	self->fd = precopy_begin(self->dev, PRE_COPY);
	precopy_drain(self->fd, &self->blob);
	source_put(&self->src, 20, 1);
	is = info(self->fd);
	EXPECT_EQ(is.flags, VFIO_PRECOPY_INFO_REINIT);
	EXPECT_EQ(is.initial, RUN_BYTES(1));
	EXPECT_EQ(is.dirty, 0);
	is = info(self->fd);
	EXPECT_EQ(is.flags, 0);
	EXPECT_EQ(is.initial, 0);
	EXPECT_EQ(is.dirty, RUN_BYTES(1));
	EXPECT_EQ(command_done(self->bdf, id), 1);
}

TEST_F(report, of_the_size_says_what_is_asked_for)
{
	u64 running, size;

	ASSERT_EQ(mig_size(self->dev, &running), 0);
	command(self->bdf, "data-size set=0 times=1");
	EXPECT_EQ(mig_size(self->dev, &size), 0);
	EXPECT_EQ(size, 0);
	EXPECT_EQ(mig_size(self->dev, &size), 0);
	EXPECT_EQ(size, running);
	command_clear(self->bdf);

	command(self->bdf, "data-size divide=100");
	EXPECT_EQ(mig_size(self->dev, &size), 0);
	EXPECT_EQ(size, running / 100);
	command(self->bdf, "data-size multiply=7");
	EXPECT_EQ(mig_size(self->dev, &size), 0);
	EXPECT_EQ(size, running / 100 * 7);
	command(self->bdf, "data-size multiply=0xffffffffffffffff");
	EXPECT_EQ(mig_size(self->dev, &size), 0);
	EXPECT_EQ(size, ~0ULL);
	command(self->bdf, "data-size errno=EBUSY");
	EXPECT_EQ(mig_size(self->dev, &size), -EBUSY);
	command_clear(self->bdf);
	EXPECT_EQ(mig_size(self->dev, &size), 0);
	EXPECT_EQ(size, running);
}

/* A fault of another call, which can have an errno too */
TEST_F(report, of_something_else_has_no_part_in_the_size)
{
	u64 before, after;
	unsigned int id;

	ASSERT_EQ(mig_size(self->dev, &before), 0);
	id = command(self->bdf, "read errno=EIO");
	command(self->bdf, "data-size multiply=2");
	ASSERT_EQ(mig_size(self->dev, &after), 0);
	EXPECT_EQ(after, 2 * before);
	EXPECT_EQ(command_done(self->bdf, id), 0);
}

#define ARENA_PAGES	(ARENA_SIZE / PAGE)

/* DMA logging, of the buffer that the guest's driver has */
FIXTURE(logging)
{
	struct rig rig;
	struct vfio_dev *dev;
	char bdf[BDF_SIZE];
	u8 *buf;
	struct pageset set, again;
};

FIXTURE_SETUP(logging)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 2 }, IOMMU_TYPE1, 1);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	bdf_copy(self->bdf, self->dev->bdf);
	why = track_offered(self->dev, BY_DEVICE);
	if (!why && !file_exists(command_path(self->bdf, "faults")))
		why = "no debugfs";
	if (why) {
		rig_close(&self->rig);
		SKIP(return, "%s", why);
	}
	command_clear(self->bdf);
	rig_start(&self->rig);
	self->buf = arena_alloc(&self->rig.mem, MIB(1));
	pageset_init(&self->set, ARENA_IOVA, ARENA_SIZE);
	pageset_init(&self->again, ARENA_IOVA, ARENA_SIZE);
}

FIXTURE_TEARDOWN(logging)
{
	if (!self->buf)
		return;
	command_clear(self->bdf);
	pageset_exit(&self->set);
	pageset_exit(&self->again);
	rig_close(&self->rig);
}

static int start(struct vfio_dev *dev)
{
	return track_start(dev, BY_DEVICE, ARENA_IOVA, ARENA_SIZE);
}

/* The device writes all of the buffer; pages of queues are written too */
static void write_all(struct rig *rig, u8 *buf)
{
	nvme_read_bytes(&rig->nvme, 0, buf, MIB(1));
}

static unsigned int of_buffer(struct rig *rig, u8 *buf, const struct pageset *set)
{
	unsigned int n = 0;

	for (u64 at = 0; at < MIB(1); at += PAGE)
		n += pageset_has(set, arena_iova(&rig->mem, buf + at));
	return n;
}

#define BUFFER_PAGES	(MIB(1) / PAGE)

TEST_F(logging, does_not_start)
{
	command(self->bdf, "log-start errno=ENOMEM once");
	EXPECT_EQ(start(self->dev), -ENOMEM);
	/* It was not on */
	EXPECT_NE(track_read(self->dev, BY_DEVICE, &self->set), 0);
	EXPECT_EQ(start(self->dev), 0);
	EXPECT_EQ(track_stop(self->dev, BY_DEVICE), 0);
}

TEST_F(logging, does_not_report)
{
	command(self->bdf, "log-report errno=EIO once");
	ASSERT_EQ(start(self->dev), 0);
	write_all(&self->rig, self->buf);
	EXPECT_EQ(track_read(self->dev, BY_DEVICE, &self->set), -EIO);
	EXPECT_EQ(pageset_count(&self->set), 0);
	/* Nothing of it was lost */
	EXPECT_EQ(track_read(self->dev, BY_DEVICE, &self->set), 0);
	EXPECT_EQ(of_buffer(&self->rig, self->buf, &self->set), BUFFER_PAGES);
}

TEST_F(logging, reports_all)
{
	command(self->bdf, "log-report all nth=2");
	ASSERT_EQ(start(self->dev), 0);
	EXPECT_EQ(track_read(self->dev, BY_DEVICE, &self->set), 0);
	EXPECT_EQ(of_buffer(&self->rig, self->buf, &self->set), 0);
	write_all(&self->rig, self->buf);
	EXPECT_EQ(track_read(self->dev, BY_DEVICE, &self->set), 0);
	EXPECT_EQ(pageset_count(&self->set), ARENA_PAGES);
	/* What was written was in it */
	pageset_clear(&self->set);
	EXPECT_EQ(track_read(self->dev, BY_DEVICE, &self->set), 0);
	EXPECT_EQ(pageset_count(&self->set), 0);
}

TEST_F(logging, forgets_some)
{
	unsigned int id, n;

	ASSERT_EQ(start(self->dev), 0);
	id = command(self->bdf, "log-report forget=30%% seed=5");
	write_all(&self->rig, self->buf);
	EXPECT_EQ(track_read(self->dev, BY_DEVICE, &self->set), 0);
	n = of_buffer(&self->rig, self->buf, &self->set);
	EXPECT_TRUE(n > BUFFER_PAGES / 2 && n < BUFFER_PAGES * 9 / 10)
		TH_LOG("%u of %lu", n, BUFFER_PAGES);
	EXPECT_EQ(command_done(self->bdf, id), 1);

	/* The same each time, with this seed */
	write_all(&self->rig, self->buf);
	EXPECT_EQ(track_read(self->dev, BY_DEVICE, &self->again), 0);
	EXPECT_TRUE(pageset_same(&self->again, &self->set));
	command_clear(self->bdf);

	/* What was forgotten is in the log */
	EXPECT_EQ(track_read(self->dev, BY_DEVICE, &self->set), 0);
	EXPECT_EQ(of_buffer(&self->rig, self->buf, &self->set), BUFFER_PAGES);

	command(self->bdf, "log-report forget=30 seed=6");
	pageset_clear(&self->set);
	write_all(&self->rig, self->buf);
	EXPECT_EQ(track_read(self->dev, BY_DEVICE, &self->set), 0);
	EXPECT_NE(memcmp(self->set.bits, self->again.bits, ARENA_PAGES / 8), 0);
	command_clear(self->bdf);

	command(self->bdf, "log-report forget=100");
	pageset_clear(&self->set);
	write_all(&self->rig, self->buf);
	EXPECT_EQ(track_read(self->dev, BY_DEVICE, &self->set), 0);
	EXPECT_EQ(pageset_count(&self->set), 0);
}

TEST_HARNESS_MAIN
