// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a PF driver reports of its VFs: a reset, a device that is lost or gone; and a PF driver
 * that resets a VF because the PCI core can't.  The PF driver is that of the module
 * vfmig_test_border.
 */
#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "border.h"
#include "dirty.h"
#include "precopy.h"

#include "harness.h"

#define ALL	"flags=7"

FIXTURE(border_reset)
{
	struct border border;
	struct vfio_dev *dev;	/* VF 0, which border_begin() opens */
};

FIXTURE_SETUP(border_reset)
{
	const char *why = border_setup(&self->border, ALL);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->border.dev[0];
}

FIXTURE_TEARDOWN(border_reset)
{
	border_close(&self->border);
}

static bool reads_as(int fd, int err)
{
	u8 byte;

	return read(fd, &byte, 1) == -1 && errno == err;
}

static bool writes_as(int fd, int err)
{
	u8 byte = 0;

	return write(fd, &byte, 1) == -1 && errno == err;
}

TEST_F(border_reset, reset_by_the_pf_driver_ends_all)
{
	int fd;

	border_begin(&self->border, ALL);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, &fd), 0);
	border_tell(0, "event", "reset");
	EXPECT_TRUE(reads_as(fd, ENODEV));
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	EXPECT_EQ(border_running(0), RUNS);
	close(fd);
	ASSERT_EQ(mig_set(self->dev, RESUMING, &fd), 0);
	border_tell(0, "event", "reset");
	EXPECT_TRUE(writes_as(fd, ENODEV));
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	EXPECT_EQ(border_calls(0, "load_abort"), 1);
	close(fd);
}

/* No arc says that it succeeded, in whichever part of it the reset comes */
TEST_F(border_reset, reset_in_the_middle_of_an_arc_is_told)
{
	static const struct {
		const char *op;
		u32 from, to;
	} arcs[] = {
		{ "quiesce", RUNNING, RUNNING_P2P },
		{ "quiesce", RUNNING, STOP_COPY },
		{ "freeze", RUNNING, STOP },
		{ "freeze", RUNNING, STOP_COPY },
		{ "freeze", RUNNING, RESUMING },
		{ "freeze", PRE_COPY, STOP_COPY },
		{ "thaw", STOP, RUNNING_P2P },
		{ "resume", PRE_COPY_P2P, PRE_COPY },
	};

	border_begin(&self->border, ALL);
	for (unsigned int i = 0; i < ARRAY_SIZE(arcs); i++) {
		int fd = -1, old = -1;

		ASSERT_EQ(mig_set(self->dev, arcs[i].from, &old), 0);
		border_fail(0, arcs[i].op, ECANCELED, 1);
		EXPECT_EQ(mig_set(self->dev, arcs[i].to, &fd), -ECANCELED)
			TH_LOG("%s in %s -> %s", arcs[i].op, mig_name(arcs[i].from),
			       mig_name(arcs[i].to));
		EXPECT_LT(fd, 0);
		EXPECT_EQ(mig_get(self->dev), RUNNING);
		EXPECT_EQ(border_running(0), RUNS);
		close(old);
	}
	/* What the reset led to is what was asked for */
	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	border_fail(0, "thaw", ECANCELED, 1);
	EXPECT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	EXPECT_EQ(border_running(0), RUNS);
}

/* A PF driver that does not notice an FLR */
TEST_F(border_reset, reset_that_the_pf_driver_does_not_report_ends_all)
{
	int fd;

	border_begin(&self->border, "flags=7 silent");
	border_tell(0, "calls", "0");
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, &fd), 0);
	ASSERT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	EXPECT_TRUE(reads_as(fd, ENODEV));
	EXPECT_EQ(border_calls(0, "reset_prepare"), 1);
	EXPECT_EQ(border_calls(0, "reset_done"), 1);
	close(fd);
}

TEST_F(border_reset, lost_device_is_in_error_until_a_reset)
{
	int fd;

	border_begin(&self->border, ALL);
	/* One that runs has nothing to lose */
	border_tell(0, "event", "lost");
	EXPECT_EQ(mig_get(self->dev), RUNNING);

	fd = precopy_begin(self->dev, PRE_COPY);
	border_tell(0, "event", "lost");
	EXPECT_TRUE(reads_as(fd, ENODEV));
	EXPECT_EQ(mig_get(self->dev), ERROR);
	EXPECT_EQ(mig_set(self->dev, RUNNING, NULL), -EIO);
	border_tell(0, "event", "lost");
	EXPECT_EQ(mig_get(self->dev), ERROR);
	ASSERT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	close(fd);

	ASSERT_EQ(mig_set(self->dev, RESUMING, &fd), 0);
	border_tell(0, "event", "lost");
	EXPECT_TRUE(writes_as(fd, ENODEV));
	EXPECT_EQ(mig_get(self->dev), ERROR);
	close(fd);
	/* Who opens it next begins anew */
	border_close(&self->border);
	border_open(&self->border, 1);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
}

/* The report must not say that nothing was written */
TEST_F(border_reset, log_that_was_lost_is_not_reported)
{
	u64 bits[4];

	border_begin(&self->border, "flags=7 log");
	if (track_offered(self->dev, BY_DEVICE))
		SKIP(return, "this kernel has no logging");
	ASSERT_EQ(track_start(self->dev, BY_DEVICE, 0, MIB(1)), 0);
	border_tell(0, "event", "lost");
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	EXPECT_EQ(track_report(self->dev, BY_DEVICE, 0, MIB(1), PAGE, bits), -EIO);
	/* No other log while it is on */
	EXPECT_EQ(track_start(self->dev, BY_DEVICE, 0, MIB(1)), -EINVAL);
	EXPECT_EQ(track_report(self->dev, BY_DEVICE, 0, MIB(1), PAGE, bits), -EIO);
	ASSERT_EQ(track_stop(self->dev, BY_DEVICE), 0);
	ASSERT_EQ(track_start(self->dev, BY_DEVICE, 0, MIB(1)), 0);
	EXPECT_EQ(track_report(self->dev, BY_DEVICE, 0, MIB(1), PAGE, bits), 0);
}

TEST_F(border_reset, device_that_is_gone_stays_gone)
{
	u64 size;
	int fd;

	border_begin(&self->border, ALL);
	bar_write64(self->dev, 0, 5);
	ASSERT_EQ(bar_read64(self->dev, 0), 5);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, &fd), 0);
	border_tell(0, "event", "gone");
	EXPECT_TRUE(reads_as(fd, ENODEV));
	close(fd);
	EXPECT_EQ(mig_get(self->dev), ERROR);
	EXPECT_EQ(mig_set(self->dev, RUNNING, NULL), -ENODEV);
	EXPECT_EQ(mig_set(self->dev, STOP_COPY, &fd), -ENODEV);
	EXPECT_EQ(mig_size(self->dev, &size), -ENODEV);
	EXPECT_EQ(bar_read64(self->dev, 0), ~0ULL);
	bar_write64(self->dev, 0, 6);
	EXPECT_EQ(bar_read64(self->dev, 0), ~0ULL);
	/* No reset brings it back */
	EXPECT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(mig_set(self->dev, STOP, NULL), -ENODEV);
	border_tell(0, "event", "reset");
	EXPECT_EQ(mig_set(self->dev, STOP, NULL), -ENODEV);

	border_tell(0, "calls", "0");
	border_close(&self->border);
	EXPECT_EQ(border_calls(0, "close"), 1);
	EXPECT_EQ(border_try_open(&self->border, 0), -ENODEV);
	EXPECT_EQ(border_calls(0, "open"), 0);
	/* The other VF is there */
	EXPECT_EQ(border_try_open(&self->border, 1), 0);
}

static bool can_reset(struct vfio_dev *dev)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	must(!ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &info));
	return info.flags & VFIO_DEVICE_FLAGS_RESET;
}

TEST_F(border_reset, device_resets_itself_where_the_pci_core_can_not)
{
	int fd;

	ASSERT_EQ(file_write(pci_path(self->border.vf[0], "reset_method"), "\n"), 0);
	border_begin(&self->border, ALL);
	EXPECT_TRUE(can_reset(self->dev));
	/* The open was one */
	EXPECT_EQ(border_calls(0, "reset"), 1);
	bar_write64(self->dev, 0, 5);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, &fd), 0);
	EXPECT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(border_calls(0, "reset"), 2);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	EXPECT_EQ(bar_read64(self->dev, 0), 0);
	EXPECT_TRUE(reads_as(fd, ENODEV));
	close(fd);

	/* So is the close, as that of the PCI core */
	border_close(&self->border);
	EXPECT_EQ(border_calls(0, "reset"), 3);

	border_fail(0, "reset", EXDEV, 1);
	EXPECT_EQ(border_try_open(&self->border, 0), -EXDEV);
	EXPECT_EQ(border_try_open(&self->border, 0), 0);
}

TEST_F(border_reset, device_without_any_reset_says_so)
{
	ASSERT_EQ(file_write(pci_path(self->border.vf[0], "reset_method"), "\n"), 0);
	border_begin(&self->border, "flags=7 without=reset");
	EXPECT_FALSE(can_reset(self->dev));
	EXPECT_EQ(vfio_reset(self->dev), -EINVAL);
}

TEST_HARNESS_MAIN
