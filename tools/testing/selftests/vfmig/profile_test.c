// SPDX-License-Identifier: GPL-2.0-only
/*
 * Profiles (Documentation/faults.rst): what a user sees of a VF that behaves as that of another
 * driver, and that its data moves all the same.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "source.h"

#include "harness.h"

#define S	VFIO_MIGRATION_STOP_COPY
#define P	VFIO_MIGRATION_P2P
#define C	VFIO_MIGRATION_PRE_COPY

static const struct profile {
	const char *name;
	u64 flags;
	bool log;
	bool identity_only;
	bool on_request;
	bool whole_size;
} profiles[] = {
	{ "mlx5", S | P | C, .log = true, .on_request = true, .whole_size = true },
	{ "xe", S | P, .whole_size = true },
	{ "qat", S | P | C, .identity_only = true, .whole_size = true },
	{ "hisi", S | C, .identity_only = true, .whole_size = true },
	{ "pds", S | P, .log = true, .whole_size = true },
	{ "virtio", S | P | C, .on_request = true, .whole_size = true },
	{ "stop-copy-only", S, .log = false },
	{ "no-p2p", S | C, .log = true },
	{ "no-precopy", S | P, .log = true },
	{ "no-logging", S | P | C, .log = false },
	{ "none", S | P | C, .log = true },
};

FIXTURE(profile)
{
	struct source src;
	struct vfio_dev *dev;
	char bdf[BDF_SIZE];
	bool log;	/* it is offered without a profile */
};

static bool logs(struct vfio_dev *dev)
{
	return !vfio_feature(dev, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
			     VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0);
}

static int set(const char *bdf, const char *name)
{
	return file_write(command_path(bdf, "profile"), name);
}

/* Opens the device again as @name, with the contents that the guest knows */
static void wear(struct source *src, const char *bdf, const char *name)
{
	rig_user_ends(&src->rig, 0);
	must(!set(bdf, name));
	rig_user_begins(&src->rig, 0, bdf);
}

FIXTURE_SETUP(profile)
{
	const char *why = source_open(&self->src, IOMMU_TYPE1, 1);

	if (why)
		SKIP(return, "%s", why);
	self->dev = self->src.dev;
	bdf_copy(self->bdf, self->dev->bdf);
	if (!file_exists(command_path(self->bdf, "profile")))
		SKIP(return, "no debugfs");
	/* A test that failed may have left one */
	wear(&self->src, self->bdf, "none");
	rig_start(&self->src.rig);
	self->log = logs(self->dev);
}

FIXTURE_TEARDOWN(profile)
{
	if (self->dev) {
		vfio_close(self->dev);
		set(self->bdf, "none");
		must(!vfio_open(self->dev, &self->src.rig.iommu[0], self->bdf));
	}
	source_close(&self->src);
}

TEST_F(profile, offers_what_that_driver_does)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(profiles); i++) {
		const struct profile *p = &profiles[i];
		char all[256], one[64];
		u64 flags;

		vfio_close(self->dev);
		ASSERT_EQ(set(self->bdf, p->name), 0);
		ASSERT_EQ(file_read(command_path(self->bdf, "profile"), all, sizeof(all)), 0);
		snprintf(one, sizeof(one), "[%s]", p->name);
		EXPECT_NE(strstr(all, one), NULL)
			TH_LOG("%s", all);
		ASSERT_EQ(vfio_open(self->dev, &self->src.rig.iommu[0], self->bdf), 0);
		EXPECT_EQ(mig_flags(self->dev, &flags), 0);
		EXPECT_EQ(flags, p->flags)
			TH_LOG("%s", p->name);
		EXPECT_EQ(logs(self->dev), p->log && self->log)
			TH_LOG("%s", p->name);
	}
}

TEST_F(profile, is_refused_if_unknown_or_open)
{
	EXPECT_EQ(set(self->bdf, "qat"), -EBUSY);
	vfio_close(self->dev);
	EXPECT_EQ(set(self->bdf, "quat"), -EINVAL);
	EXPECT_EQ(set(self->bdf, "no-precopyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"), -EINVAL);
	EXPECT_EQ(set(self->bdf, "qat\n"), 0);
	ASSERT_EQ(vfio_open(self->dev, &self->src.rig.iommu[0], self->bdf), 0);
}

/* With a guest that has written, so that there is something that can be lost */
static void run_as(struct source *src, const char *bdf, const char *name)
{
	wear(src, bdf, name);
	rig_start(&src->rig);
	memset(src->medium, 0, src->size);
	source_put(src, 3, 5);
}

/* By each way that is offered, the data comes over */
TEST_F_TIMEOUT(profile, moves_its_data, 60)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(profiles); i++) {
		const struct profile *p = &profiles[i];
		struct blob blob = {};
		int fd;

		run_as(&self->src, self->bdf, p->name);
		if (p->flags & C) {
			fd = precopy_begin(self->dev, PRE_COPY);
			precopy_drain(fd, &blob);
			source_put(&self->src, 20, 2);
			precopy_left(fd);
			precopy_drain(fd, &blob);
			source_put(&self->src, 30, 1);
			if (p->flags & P)
				ASSERT_EQ(mig_set(self->dev, PRE_COPY_P2P, NULL), 0);
			ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
			ASSERT_EQ(mig_read(fd, &blob, KIB(64)), 0);
			close(fd);
		} else {
			mig_save(self->dev, &blob);
		}
		EXPECT_TRUE(source_lands_right(&self->src, &blob))
			TH_LOG("%s", p->name);
		/* The source runs on */
		ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
		EXPECT_TRUE(source_reads_right(&self->src));
		blob_free(&blob);
	}
}

TEST_F(profile, has_identity_only_in_precopy)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(profiles); i++) {
		const struct profile *p = &profiles[i];
		u64 initial, dirty;
		struct blob blob = {};
		int fd;

		if (!p->identity_only)
			continue;
		run_as(&self->src, self->bdf, p->name);
		fd = precopy_begin(self->dev, PRE_COPY);
		EXPECT_EQ(precopy_info(fd, &initial, &dirty), 0);
		EXPECT_EQ(initial, IDENTITY_BYTES);
		EXPECT_EQ(dirty, 0);
		EXPECT_EQ(poll_now(fd), POLLIN);
		EXPECT_EQ(precopy_drain(fd, &blob), IDENTITY_BYTES);
		source_put(&self->src, 40, 1);
		EXPECT_EQ(poll_now(fd), 0);
		EXPECT_EQ(precopy_left(fd), 0);
		EXPECT_EQ(precopy_try(fd), -ENOMSG);
		ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
		EXPECT_EQ(poll_now(fd), POLLIN);
		close(fd);
		blob_free(&blob);
	}
}

/* What is dirty is there when the user has asked, and not before */
TEST_F(profile, has_dirty_data_on_request)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(profiles); i++) {
		const struct profile *p = &profiles[i];
		u64 initial, dirty;
		struct blob blob = {};
		int fd;

		if (!p->on_request)
			continue;
		run_as(&self->src, self->bdf, p->name);
		fd = precopy_begin(self->dev, PRE_COPY);
		source_put(&self->src, 50, 1);
		EXPECT_EQ(precopy_info(fd, &initial, &dirty), 0);
		EXPECT_EQ(initial, IDENTITY_BYTES + RUN_BYTES(5));
		EXPECT_EQ(dirty, 0);
		EXPECT_EQ(precopy_drain(fd, &blob), initial);
		EXPECT_EQ(precopy_try(fd), -ENOMSG);
		EXPECT_EQ(poll_now(fd), 0);
		EXPECT_EQ(precopy_info(fd, &initial, &dirty), 0);
		EXPECT_EQ(initial, 0);
		EXPECT_EQ(dirty, RUN_BYTES(1));
		EXPECT_EQ(poll_now(fd), POLLIN);
		EXPECT_EQ(precopy_drain(fd, &blob), RUN_BYTES(1));
		close(fd);
		blob_free(&blob);
	}
}

TEST_F(profile, has_a_size_that_does_not_shrink)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(profiles); i++) {
		const struct profile *p = &profiles[i];
		u64 before, after;
		struct blob blob = {};
		int fd;

		run_as(&self->src, self->bdf, p->name);
		ASSERT_EQ(mig_set(self->dev, STOP_COPY, &fd), 0);
		EXPECT_EQ(mig_size(self->dev, &before), 0);
		EXPECT_EQ(mig_read(fd, &blob, KIB(64)), 0);
		EXPECT_EQ(before, blob.len);
		EXPECT_EQ(mig_size(self->dev, &after), 0);
		EXPECT_EQ(after, p->whole_size ? before : 1)
			TH_LOG("%s", p->name);
		close(fd);
		blob_free(&blob);
	}
}

/* RUNNING to STOP and back is one arc, and the device is as still as with two */
TEST_F(profile, without_p2p_stops_at_once)
{
	run_as(&self->src, self->bdf, "no-p2p");
	EXPECT_EQ(mig_set(self->dev, RUNNING_P2P, NULL), -EINVAL);
	for (unsigned int i = 0; i < 3; i++) {
		EXPECT_EQ(mig_set(self->dev, STOP, NULL), 0);
		EXPECT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
		EXPECT_TRUE(source_reads_right(&self->src));
	}
	command_clear(self->bdf);
	command(self->bdf, "arc RUNNING->STOP errno=EIO once");
	EXPECT_EQ(mig_set(self->dev, STOP, NULL), -EIO);
	EXPECT_TRUE(source_reads_right(&self->src));
	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	EXPECT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	command_clear(self->bdf);
}

TEST_HARNESS_MAIN
