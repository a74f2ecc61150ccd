// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration state machine: every arc from every state, allowed or refused, as
 * include/uapi/linux/vfio.h has it; which arcs give a data fd; what a data fd is.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "rig.h"

#include "harness.h"

static bool is_pre_copy(u32 state)
{
	return state == PRE_COPY || state == PRE_COPY_P2P;
}

static bool is_saving(u32 state)
{
	return is_pre_copy(state) || state == STOP_COPY;
}

/* Entering a session makes a data fd; moving on within a saving session does not */
static bool gives_data_fd(u32 from, u32 to)
{
	if (from == to)
		return false;
	return to == RESUMING || (is_saving(to) && !is_saving(from));
}

static bool is_allowed(u32 from, u32 to, bool pre_copy)
{
	if (to == ERROR || to >= STATES)
		return false;
	if (is_pre_copy(to) && !pre_copy)
		return false;
	return !(from == STOP_COPY && is_pre_copy(to));
}

/* One arc at a time, no help from combination transitions */
static void walk_to(struct vfio_dev *dev, u32 state, int *fd)
{
	*fd = -1;
	switch (state) {
	case RUNNING:
		break;
	case PRE_COPY:
		must(!mig_set(dev, PRE_COPY, fd));
		break;
	case PRE_COPY_P2P:
		must(!mig_set(dev, RUNNING_P2P, NULL));
		must(!mig_set(dev, PRE_COPY_P2P, fd));
		break;
	default:
		must(!mig_set(dev, RUNNING_P2P, NULL));
		if (state == RUNNING_P2P)
			break;
		must(!mig_set(dev, STOP, NULL));
		if (state == STOP)
			break;
		must(!mig_set(dev, state, fd));
	}
	must(mig_get(dev) == (int)state);
}

FIXTURE(state)
{
	struct rig rig;
	bool pre_copy;
};

FIXTURE_VARIANT(state)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(state, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(state, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(state)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = 2 };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);
	u64 flags;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mig_flags(&self->rig.dev[0], &flags), 0);
	self->pre_copy = flags & VFIO_MIGRATION_PRE_COPY;
}

FIXTURE_TEARDOWN(state)
{
	rig_close(&self->rig);
}

TEST_F(state, device_runs_when_opened)
{
	EXPECT_EQ(mig_get(&self->rig.dev[0]), RUNNING);
}

/* Each start state with each target: the table of the uAPI */
FIXTURE(arcs)
{
	struct rig rig;
	bool pre_copy;
	struct blob stream;
};

FIXTURE_VARIANT(arcs)
{
	enum iommu_mode mode;
	u32 from;
	bool loaded;	/* RESUMING: a whole stream was written */
};

FIXTURE_VARIANT_ADD(arcs, from_running)
{
	.mode = IOMMU_TYPE1,
	.from = RUNNING,
};

FIXTURE_VARIANT_ADD(arcs, from_running_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.from = RUNNING,
};

FIXTURE_VARIANT_ADD(arcs, from_running_p2p)
{
	.mode = IOMMU_TYPE1,
	.from = RUNNING_P2P,
};

FIXTURE_VARIANT_ADD(arcs, from_running_p2p_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.from = RUNNING_P2P,
};

FIXTURE_VARIANT_ADD(arcs, from_stop)
{
	.mode = IOMMU_TYPE1,
	.from = STOP,
};

FIXTURE_VARIANT_ADD(arcs, from_stop_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.from = STOP,
};

FIXTURE_VARIANT_ADD(arcs, from_stop_copy)
{
	.mode = IOMMU_TYPE1,
	.from = STOP_COPY,
};

FIXTURE_VARIANT_ADD(arcs, from_stop_copy_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.from = STOP_COPY,
};

FIXTURE_VARIANT_ADD(arcs, from_resuming)
{
	.mode = IOMMU_TYPE1,
	.from = RESUMING,
	.loaded = true,
};

FIXTURE_VARIANT_ADD(arcs, from_resuming_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.from = RESUMING,
	.loaded = true,
};

FIXTURE_VARIANT_ADD(arcs, from_resuming_with_nothing_loaded)
{
	.mode = IOMMU_TYPE1,
	.from = RESUMING,
};

FIXTURE_VARIANT_ADD(arcs, from_resuming_with_nothing_loaded_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.from = RESUMING,
};

FIXTURE_VARIANT_ADD(arcs, from_pre_copy)
{
	.mode = IOMMU_TYPE1,
	.from = PRE_COPY,
};

FIXTURE_VARIANT_ADD(arcs, from_pre_copy_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.from = PRE_COPY,
};

FIXTURE_VARIANT_ADD(arcs, from_pre_copy_p2p)
{
	.mode = IOMMU_TYPE1,
	.from = PRE_COPY_P2P,
};

FIXTURE_VARIANT_ADD(arcs, from_pre_copy_p2p_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.from = PRE_COPY_P2P,
};

FIXTURE_SETUP(arcs)
{
	struct pf_vfs vfs = { .count = 2 };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);
	u64 flags;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mig_flags(&self->rig.dev[0], &flags), 0);
	self->pre_copy = flags & VFIO_MIGRATION_PRE_COPY;
	if (is_pre_copy(variant->from) && !self->pre_copy)
		SKIP(return, "the driver does not offer PRE_COPY");
	mig_save(&self->rig.dev[0], &self->stream);
	ASSERT_EQ(mig_set(&self->rig.dev[0], RUNNING, NULL), 0);
}

FIXTURE_TEARDOWN(arcs)
{
	blob_free(&self->stream);
	rig_close(&self->rig);
}

TEST_F_TIMEOUT(arcs, to_every_state, 60)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u32 from = variant->from;
	int old_fd, fd, err;
	bool stuck;
	u64 size;

	for (u32 to = 0; to <= STATES; to++) {
		bool allowed = is_allowed(from, to, self->pre_copy);

		walk_to(dev, from, &old_fd);
		if (variant->loaded) {
			ASSERT_EQ(mig_write(old_fd, self->stream.data, self->stream.len, MIB(1)),
				  0);
		}
		/* An incomplete stream keeps the device where it is */
		stuck = from == RESUMING && !variant->loaded && to != RESUMING;
		err = mig_set(dev, to, &fd);
		if (allowed && !stuck) {
			EXPECT_EQ(err, 0) TH_LOG("%s to %s", mig_name(from), mig_name(to));
			EXPECT_EQ(mig_get(dev), (int)to);
			EXPECT_EQ(fd >= 0, gives_data_fd(from, to))
				TH_LOG("%s to %s", mig_name(from), mig_name(to));
		} else {
			EXPECT_EQ(err, -EINVAL) TH_LOG("%s to %s", mig_name(from), mig_name(to));
			EXPECT_EQ(fd, -1);
			EXPECT_TRUE(mig_get(dev) == (int)from || (stuck && mig_get(dev) == ERROR))
				TH_LOG("%s to %s: now %s", mig_name(from), mig_name(to),
				       mig_name(mig_get(dev)));
		}
		EXPECT_EQ(mig_size(dev, &size), 0);
		EXPECT_GT(size, 0);
		close(old_fd);
		close(fd);
		ASSERT_EQ(vfio_reset(dev), 0);
		ASSERT_EQ(mig_get(dev), RUNNING);
	}
}

TEST_F(arcs, again_after_a_round_trip)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	int fd;

	if (variant->from == RESUMING && !variant->loaded)
		SKIP(return, "needs a reset to be left");
	for (int i = 0; i < 3; i++) {
		walk_to(dev, variant->from, &fd);
		if (variant->loaded)
			ASSERT_EQ(mig_write(fd, self->stream.data, self->stream.len, MIB(1)), 0);
		close(fd);
		ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
	}
	/* The device is none the worse for it */
	rig_start(&self->rig);
}

TEST_F(arcs, data_size_is_never_0)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u64 before, size;
	bool runs;
	int fd;

	ASSERT_EQ(mig_size(dev, &before), 0);
	EXPECT_EQ(before, RUNNING_SIZE);
	walk_to(dev, variant->from, &fd);
	ASSERT_EQ(mig_size(dev, &size), 0);
	runs = variant->from == RUNNING || variant->from == RUNNING_P2P;
	if (variant->from != RESUMING)
		EXPECT_EQ(size, runs ? before : self->stream.len);
	EXPECT_GT(size, 0);
	close(fd);
}

TEST_F(state, reading_fd_is_for_reading_in_order)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct pollfd pfd = { .events = POLLIN };
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	char buf[64];
	int fd;

	walk_to(dev, STOP_COPY, &fd);
	EXPECT_EQ(write(fd, buf, sizeof(buf)), -1);
	EXPECT_EQ(errno, EBADF);
	EXPECT_EQ(lseek(fd, 0, SEEK_SET), -1);
	EXPECT_EQ(errno, ESPIPE);
	EXPECT_EQ(pread(fd, buf, sizeof(buf), 0), -1);
	EXPECT_EQ(errno, ESPIPE);
	EXPECT_EQ(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	pfd.fd = fd;
	EXPECT_EQ(poll(&pfd, 1, 0), 1);
	EXPECT_TRUE(pfd.revents & POLLIN);
	EXPECT_EQ(ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, &info), -1);
	EXPECT_TRUE(errno == EINVAL || (!self->pre_copy && errno == ENOTTY));
	EXPECT_EQ(read(fd, buf, 0), 0);
	EXPECT_EQ(read(fd, buf, sizeof(buf)), (ssize_t)sizeof(buf));
	close(fd);
}

TEST_F(state, writing_fd_is_for_writing_in_order)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	char buf[64];
	int fd;

	walk_to(dev, RESUMING, &fd);
	EXPECT_EQ(read(fd, buf, sizeof(buf)), -1);
	EXPECT_EQ(errno, EBADF);
	EXPECT_EQ(lseek(fd, 0, SEEK_SET), -1);
	EXPECT_EQ(errno, ESPIPE);
	EXPECT_EQ(pwrite(fd, buf, sizeof(buf), 0), -1);
	EXPECT_EQ(errno, ESPIPE);
	EXPECT_EQ(write(fd, buf, 0), 0);
	EXPECT_EQ(write(fd, bad_address(), 64), -1);
	EXPECT_EQ(errno, EFAULT);
	close(fd);
}

/* MIG_DATA_SIZE of the device when it stands still; it runs again afterwards */
static u64 stopped_size(struct vfio_dev *dev)
{
	u64 size;

	must(!mig_set(dev, STOP, NULL));
	must(!mig_size(dev, &size));
	must(!mig_set(dev, RUNNING, NULL));
	return size;
}

TEST_F(state, data_size_follows_the_medium)
{
	struct rig *rig = &self->rig;
	u64 empty, full, size;
	u8 *buf;

	rig_start(rig);
	buf = arena_alloc(&rig->mem, KIB(256));
	empty = stopped_size(&rig->dev[0]);
	fill_pattern(buf, KIB(256), 3);
	nvme_write_bytes(&rig->nvme, 0, buf, 16 * PAGE);
	full = stopped_size(&rig->dev[0]);
	EXPECT_GE(full, empty + 16 * PAGE);
	EXPECT_LT(full, empty + 17 * PAGE);

	/* While it runs too, from where a VMM's buffer is no larger for it */
	for (u64 i = 0; i < 8; i++)
		nvme_write_bytes(&rig->nvme, i * KIB(256), buf, KIB(256));
	ASSERT_EQ(mig_size(&rig->dev[0], &size), 0);
	EXPECT_EQ(size, stopped_size(&rig->dev[0]));
	EXPECT_GE(size, MIB(2));

	nvme_deallocate_all(&rig->nvme);
	EXPECT_LT(stopped_size(&rig->dev[0]), full);
}

/* QEMU asks once and makes its buffer of the answer */
TEST_F(state, data_size_of_a_fresh_device_that_runs_is_worth_a_buffer)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u64 size;

	ASSERT_EQ(mig_size(dev, &size), 0);
	EXPECT_EQ(size, RUNNING_SIZE);
	ASSERT_EQ(mig_set(dev, RUNNING_P2P, NULL), 0);
	ASSERT_EQ(mig_size(dev, &size), 0);
	EXPECT_EQ(size, RUNNING_SIZE);
	EXPECT_LT(stopped_size(dev), 16 * PAGE);
}

TEST_HARNESS_MAIN
