// SPDX-License-Identifier: GPL-2.0-only
/*
 * A data fd lives as long as somebody holds it; what it is good for ends with its
 * migration session, with a reset, or with the device.  From then on it says -ENODEV.
 */
#include <errno.h>
#include <pthread.h>

#include "rig.h"

#include "harness.h"

FIXTURE(data_fd)
{
	struct rig rig;
	struct vfio_dev *dev;
	int fd;
};

FIXTURE_VARIANT(data_fd)
{
	enum iommu_mode mode;
	u32 state;
};

FIXTURE_VARIANT_ADD(data_fd, of_stop_copy)
{
	.mode = IOMMU_TYPE1,
	.state = STOP_COPY,
};

FIXTURE_VARIANT_ADD(data_fd, of_stop_copy_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.state = STOP_COPY,
};

FIXTURE_VARIANT_ADD(data_fd, of_resuming)
{
	.mode = IOMMU_TYPE1,
	.state = RESUMING,
};

FIXTURE_VARIANT_ADD(data_fd, of_resuming_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.state = RESUMING,
};

FIXTURE_SETUP(data_fd)
{
	struct pf_vfs vfs = { .count = 2 };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	ASSERT_EQ(mig_set(self->dev, variant->state, &self->fd), 0);
}

FIXTURE_TEARDOWN(data_fd)
{
	close(self->fd);
	rig_close(&self->rig);
}

/* 0 or -errno of a small transfer */
static int data_fd_use(int fd, u32 state)
{
	struct vfmig_record byte = {};
	ssize_t n = state == RESUMING ? write(fd, &byte, 1) : read(fd, &byte, 1);

	return n < 0 ? -errno : 0;
}

TEST_F(data_fd, works_before)
{
	EXPECT_EQ(data_fd_use(self->fd, variant->state), 0);
}

TEST_F(data_fd, is_dead_after_reset)
{
	ASSERT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	EXPECT_EQ(data_fd_use(self->fd, variant->state), -ENODEV);
	/* And a new session has nothing to do with it */
	close(self->fd);
	ASSERT_EQ(mig_set(self->dev, variant->state, &self->fd), 0);
	EXPECT_EQ(data_fd_use(self->fd, variant->state), 0);
}

TEST_F(data_fd, is_dead_after_the_device_was_closed)
{
	char bdf[BDF_SIZE];
	int fd;

	bdf_copy(bdf, self->dev->bdf);
	vfio_close(self->dev);
	EXPECT_EQ(data_fd_use(self->fd, variant->state), -ENODEV);
	/* It holds up nobody else */
	ASSERT_EQ(vfio_open(self->dev, &self->rig.iommu[0], bdf), 0);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	ASSERT_EQ(mig_set(self->dev, variant->state, &fd), 0);
	EXPECT_EQ(data_fd_use(self->fd, variant->state), -ENODEV);
	EXPECT_EQ(data_fd_use(fd, variant->state), 0);
	close(fd);
}

TEST_F(data_fd, is_dead_when_the_state_was_left)
{
	struct blob blob = {};
	int fd;

	if (variant->state == RESUMING) {
		/* Leave it as one may: with a whole stream */
		ASSERT_EQ(vfio_reset(self->dev), 0);
		mig_save(self->dev, &blob);
		ASSERT_EQ(mig_set(self->dev, RESUMING, &fd), 0);
		ASSERT_EQ(mig_write(fd, blob.data, blob.len, KIB(64)), 0);
		blob_free(&blob);
		close(self->fd);
		self->fd = fd;
	}
	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	EXPECT_EQ(data_fd_use(self->fd, variant->state), -ENODEV);
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	EXPECT_EQ(data_fd_use(self->fd, variant->state), -ENODEV);
}

static void *reader_thread(void *arg)
{
	struct blob blob = {};
	int *fd = arg;
	int err;

	err = mig_read(*fd, &blob, 16);
	blob_free(&blob);
	return (void *)(intptr_t)err;
}

TEST_F(data_fd, reset_beside_a_reader)
{
	pthread_t thread;
	void *err;

	if (variant->state != STOP_COPY)
		SKIP(return, "not a reader");
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(pthread_create(&thread, NULL, reader_thread, &self->fd), 0);
		ASSERT_EQ(vfio_reset(self->dev), 0);
		pthread_join(thread, &err);
		EXPECT_TRUE((intptr_t)err == 0 || (intptr_t)err == -ENODEV);
		close(self->fd);
		ASSERT_EQ(mig_set(self->dev, STOP_COPY, &self->fd), 0);
	}
}

TEST_HARNESS_MAIN
