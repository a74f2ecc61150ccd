// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arcs of PRE_COPY at any byte of the stream: STOP_COPY finishes the record that
 * it cuts into, and a session that is given up leaves nothing behind.
 */
#include <errno.h>
#include <poll.h>

#include "source.h"

#include "harness.h"

/* STOP_COPY cuts in at any byte: the record under way is finished from the same fd */
FIXTURE(cut)
{
	struct source src;
	struct vfio_dev *dev;
	struct blob whole, blob;
	int fd;
};

FIXTURE_VARIANT(cut)
{
	enum iommu_mode mode;
	u32 begin;
	u32 path[4];	/* the last is STOP_COPY */
};

FIXTURE_VARIANT_ADD(cut, at_once)
{
	.mode = IOMMU_TYPE1,
	.begin = PRE_COPY,
	.path = { STOP_COPY },
};

FIXTURE_VARIANT_ADD(cut, at_once_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.begin = PRE_COPY,
	.path = { STOP_COPY },
};

FIXTURE_VARIANT_ADD(cut, by_p2p)
{
	.mode = IOMMU_TYPE1,
	.begin = PRE_COPY,
	.path = { PRE_COPY_P2P, STOP_COPY },
};

FIXTURE_VARIANT_ADD(cut, by_p2p_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.begin = PRE_COPY,
	.path = { PRE_COPY_P2P, STOP_COPY },
};

FIXTURE_VARIANT_ADD(cut, in_p2p_all_the_time)
{
	.mode = IOMMU_TYPE1,
	.begin = PRE_COPY_P2P,
	.path = { STOP_COPY },
};

FIXTURE_VARIANT_ADD(cut, in_p2p_all_the_time_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.begin = PRE_COPY_P2P,
	.path = { STOP_COPY },
};

FIXTURE_VARIANT_ADD(cut, to_and_fro)
{
	.mode = IOMMU_TYPE1,
	.begin = PRE_COPY_P2P,
	.path = { PRE_COPY, PRE_COPY_P2P, PRE_COPY, STOP_COPY },
};

FIXTURE_VARIANT_ADD(cut, to_and_fro_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.begin = PRE_COPY_P2P,
	.path = { PRE_COPY, PRE_COPY_P2P, PRE_COPY, STOP_COPY },
};

FIXTURE_SETUP(cut)
{
	const char *why = source_open_with_runs(&self->src, variant->mode);

	if (why)
		SKIP(return, "%s", why);
	self->dev = self->src.dev;
	mig_save(self->dev, &self->whole);
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
}

FIXTURE_TEARDOWN(cut)
{
	blob_free(&self->whole);
	blob_free(&self->blob);
	source_close(&self->src);
}

/* The byte to cut at after @at: all of headers and extents, some of the data */
static size_t next_cut(size_t at)
{
	size_t a = IDENTITY_BYTES, b = a + RUN_BYTES(3);
	size_t in, edge;

	if (at < a || at >= FIRST_COPY)
		return at + 1;
	in = at < b ? at - a : at - b;
	if (in < HOLE_BYTES)
		return at + 1;
	/* Both sides of the edge of a granule */
	edge = PAGE - (in - HOLE_BYTES) % PAGE;
	if (edge == PAGE || edge == 1)
		return at + 1;
	return at + (edge - 1 < 509 ? edge - 1 : 509);
}

TEST_F_TIMEOUT(cut, at_any_byte, 60)
{
	struct stream_record records[16];
	unsigned int cuts = 0;
	size_t memory = 0;
	u64 size;

	ASSERT_EQ(stream_parse(&self->whole, records), 5);
	memory = records[3].offset;
	for (size_t at = 0; at <= FIRST_COPY; at = next_cut(at)) {
		self->blob.len = 0;
		self->fd = precopy_begin(self->dev, variant->begin);
		precopy_read(self->fd, &self->blob, at);
		for (unsigned int i = 0; variant->path[i]; i++) {
			ASSERT_EQ(mig_set(self->dev, variant->path[i], NULL), 0);
			ASSERT_EQ(mig_get(self->dev), (int)variant->path[i]);
			/* A byte more in each state, as long as there is one */
			if (variant->path[i] != STOP_COPY && self->blob.len < FIRST_COPY)
				precopy_read(self->fd, &self->blob, 1);
		}
		ASSERT_EQ(mig_size(self->dev, &size), 0);
		ASSERT_EQ(size, self->whole.len - self->blob.len);
		ASSERT_EQ(mig_read(self->fd, &self->blob, 5000), 0);
		close(self->fd);

		/* Nothing was written: it is the stream of a stopped device, cut or not */
		ASSERT_EQ(self->blob.len, self->whole.len);
		ASSERT_EQ(memcmp(self->blob.data, self->whole.data, memory), 0)
			TH_LOG("cut at %zu", at);
		ASSERT_EQ(stream_parse(&self->blob, records), 5) TH_LOG("cut at %zu", at);
		if (cuts++ % 32 == 0)
			ASSERT_TRUE(source_lands_right(&self->src, &self->blob))
				TH_LOG("cut at %zu", at);
		ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	}
	EXPECT_GT(cuts, IDENTITY_BYTES + 2 * HOLE_BYTES);

	/* The guest itself sees the right data at the destination */
	rig_land(&self->src.rig, &self->blob, RUNNING);
	EXPECT_TRUE(source_reads_right(&self->src));
}

/* A session that is given up, in whatever way, at whatever point */
FIXTURE(abort)
{
	struct source src;
	struct vfio_dev *dev;
	struct blob blob;
	int fd;
};

enum abort_how {
	BY_STATE,
	BY_RESUMING,
	BY_CLOSING_THE_FD_FIRST,
	BY_CLOSING_THE_DEVICE,
	BY_RESET,
};

struct abort_way {
	enum abort_how how;
	u32 begin;
	u32 end;
	enum reset_kind kind;
	bool slow;	/* try fewer points */
};

FIXTURE_VARIANT(abort)
{
	enum iommu_mode mode;
	struct abort_way way;
};

FIXTURE_VARIANT_ADD(abort, by_running)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_STATE, .begin = PRE_COPY, .end = RUNNING },
};

FIXTURE_VARIANT_ADD(abort, by_running_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_STATE, .begin = PRE_COPY, .end = RUNNING },
};

FIXTURE_VARIANT_ADD(abort, by_running_p2p)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_STATE, .begin = PRE_COPY_P2P, .end = RUNNING_P2P },
};

FIXTURE_VARIANT_ADD(abort, by_running_p2p_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_STATE, .begin = PRE_COPY_P2P, .end = RUNNING_P2P },
};

FIXTURE_VARIANT_ADD(abort, by_running_from_p2p)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_STATE, .begin = PRE_COPY_P2P, .end = RUNNING },
};

FIXTURE_VARIANT_ADD(abort, by_running_from_p2p_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_STATE, .begin = PRE_COPY_P2P, .end = RUNNING },
};

FIXTURE_VARIANT_ADD(abort, by_stop)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_STATE, .begin = PRE_COPY, .end = STOP },
};

FIXTURE_VARIANT_ADD(abort, by_stop_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_STATE, .begin = PRE_COPY, .end = STOP },
};

FIXTURE_VARIANT_ADD(abort, by_stop_from_p2p)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_STATE, .begin = PRE_COPY_P2P, .end = STOP },
};

FIXTURE_VARIANT_ADD(abort, by_stop_from_p2p_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_STATE, .begin = PRE_COPY_P2P, .end = STOP },
};

FIXTURE_VARIANT_ADD(abort, by_resuming)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_RESUMING, .begin = PRE_COPY, .slow = true },
};

FIXTURE_VARIANT_ADD(abort, by_resuming_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_RESUMING, .begin = PRE_COPY, .slow = true },
};

FIXTURE_VARIANT_ADD(abort, by_closing_the_fd_first)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_CLOSING_THE_FD_FIRST, .begin = PRE_COPY, .end = RUNNING },
};

FIXTURE_VARIANT_ADD(abort, by_closing_the_fd_first_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_CLOSING_THE_FD_FIRST, .begin = PRE_COPY, .end = RUNNING },
};

FIXTURE_VARIANT_ADD(abort, by_closing_the_device)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_CLOSING_THE_DEVICE, .begin = PRE_COPY, .slow = true },
};

FIXTURE_VARIANT_ADD(abort, by_closing_the_device_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_CLOSING_THE_DEVICE, .begin = PRE_COPY, .slow = true },
};

FIXTURE_VARIANT_ADD(abort, by_reset)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_RESET, .begin = PRE_COPY, .kind = RESET_VFIO, .slow = true },
};

FIXTURE_VARIANT_ADD(abort, by_reset_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_RESET, .begin = PRE_COPY, .kind = RESET_VFIO, .slow = true },
};

FIXTURE_VARIANT_ADD(abort, by_flr_from_p2p)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_RESET, .begin = PRE_COPY_P2P, .kind = RESET_FLR, .slow = true },
};

FIXTURE_VARIANT_ADD(abort, by_flr_from_p2p_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_RESET, .begin = PRE_COPY_P2P, .kind = RESET_FLR, .slow = true },
};

FIXTURE_VARIANT_ADD(abort, by_sysfs_reset)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_RESET, .begin = PRE_COPY, .kind = RESET_SYSFS, .slow = true },
};

FIXTURE_VARIANT_ADD(abort, by_sysfs_reset_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_RESET, .begin = PRE_COPY, .kind = RESET_SYSFS, .slow = true },
};

FIXTURE_VARIANT_ADD(abort, by_pf_reset)
{
	.mode = IOMMU_TYPE1,
	.way = { .how = BY_RESET, .begin = PRE_COPY, .kind = RESET_PF, .slow = true },
};

FIXTURE_VARIANT_ADD(abort, by_pf_reset_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.way = { .how = BY_RESET, .begin = PRE_COPY, .kind = RESET_PF, .slow = true },
};

FIXTURE_SETUP(abort)
{
	const char *why = source_open_with_runs(&self->src, variant->mode);

	if (why)
		SKIP(return, "%s", why);
	self->dev = self->src.dev;
}

FIXTURE_TEARDOWN(abort)
{
	blob_free(&self->blob);
	source_close(&self->src);
}

/* The guest's driver finds a device that was reset */
static void start_over(struct source *src)
{
	nvme_restart(&src->rig.nvme);
	rig_irqs(&src->rig, 0);
	must(!nvme_create_io(&src->rig.nvme, 1, 64, 1));
}

static void abort_session(struct __test_metadata *_metadata, struct source *src, int fd,
			  const struct abort_way *way)
{
	struct vfio_dev *dev = src->dev;
	char bdf[BDF_SIZE];
	int load_fd;

	switch (way->how) {
	case BY_CLOSING_THE_FD_FIRST:
		close(fd);
		ASSERT_EQ(mig_get(dev), (int)way->begin);
		ASSERT_EQ(mig_set(dev, way->end, NULL), 0);
		break;
	case BY_STATE:
		ASSERT_EQ(mig_set(dev, way->end, NULL), 0);
		break;
	case BY_RESUMING:
		ASSERT_EQ(mig_set(dev, RESUMING, &load_fd), 0);
		EXPECT_EQ(precopy_try(fd), -ENODEV);
		close(load_fd);
		ASSERT_EQ(vfio_reset(dev), 0);
		break;
	case BY_CLOSING_THE_DEVICE:
		bdf_copy(bdf, dev->bdf);
		vfio_close(dev);
		EXPECT_EQ(precopy_try(fd), -ENODEV);
		ASSERT_EQ(vfio_open(dev, &src->rig.iommu[0], bdf), 0);
		arena_map_again(&src->rig.mem, &src->rig.iommu[0]);
		break;
	case BY_RESET:
		vfio_reset_by(dev, src->rig.pf, way->kind);
		break;
	}
	if (way->how != BY_STATE && way->how != BY_CLOSING_THE_FD_FIRST) {
		ASSERT_EQ(mig_get(dev), RUNNING);
		start_over(src);
	}
}

TEST_F_TIMEOUT(abort, at_any_point, 60)
{
	/* Every end of a record, and the middle of each part */
	static const size_t points[] = {
		0, 12, IDENTITY_BYTES, IDENTITY_BYTES + 12, IDENTITY_BYTES + 24,
		IDENTITY_BYTES + 30, IDENTITY_BYTES + HOLE_BYTES, IDENTITY_BYTES + HOLE_BYTES + 99,
		IDENTITY_BYTES + RUN_BYTES(1), IDENTITY_BYTES + RUN_BYTES(3),
		IDENTITY_BYTES + RUN_BYTES(3) + 1, FIRST_COPY - 1, FIRST_COPY,
	};
	const struct abort_way *way = &variant->way;
	struct source *src = &self->src;
	u64 initial, dirty;
	struct poller poller;
	size_t pos;
	bool wait;

	for (unsigned int i = 0; i < ARRAY_SIZE(points); i += way->slow ? 3 : 1) {
		self->blob.len = 0;
		self->fd = precopy_begin(self->dev, PRE_COPY);
		precopy_read(self->fd, &self->blob, points[i]);
		/* With something dirty, sent or not, or with somebody who waits for that */
		wait = points[i] == FIRST_COPY && way->how != BY_CLOSING_THE_FD_FIRST;
		if (wait)
			poller_start(&poller, self->fd);
		else
			source_write(src, RUN_A + PAGE, PAGE);
		ASSERT_EQ(mig_set(self->dev, way->begin, NULL), 0);
		abort_session(_metadata, src, self->fd, way);
		if (wait)
			EXPECT_EQ(poller_end(&poller), POLLIN | POLLERR | POLLHUP);
		if (way->how != BY_CLOSING_THE_FD_FIRST) {
			EXPECT_EQ(precopy_try(self->fd), -ENODEV) TH_LOG("at %zu", points[i]);
			EXPECT_EQ(precopy_info(self->fd, &initial, &dirty), -EINVAL);
			EXPECT_EQ(poll_now(self->fd), POLLIN | POLLERR | POLLHUP);
			close(self->fd);
		}
		ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);

		/* It works, and nobody keeps a book of what it does */
		source_write(src, RUN_A, 2 * PAGE);
		EXPECT_TRUE(source_reads_right(src)) TH_LOG("at %zu", points[i]);
		self->blob.len = 0;
		self->fd = precopy_begin(self->dev, PRE_COPY);
		ASSERT_EQ(precopy_info(self->fd, &initial, &dirty), 0);
		EXPECT_EQ(initial, FIRST_COPY) TH_LOG("at %zu", points[i]);
		EXPECT_EQ(dirty, 0) TH_LOG("at %zu", points[i]);
		EXPECT_EQ(precopy_drain(self->fd, &self->blob), FIRST_COPY);
		pos = 0;
		EXPECT_TRUE(source_copied_right(src, &self->blob, &pos))
			TH_LOG("at %zu", points[i]);
		close(self->fd);
		ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	}
}

TEST_HARNESS_MAIN
