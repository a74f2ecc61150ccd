// SPDX-License-Identifier: GPL-2.0-only
/*
 * PRE_COPY: the estimates of VFIO_MIG_GET_PRECOPY_INFO, the temporary end of the stream, and
 * migrations that are given up.  The device is idle: nobody drives it.  Clauses are those of
 * VFIO_MIG_GET_PRECOPY_INFO in include/uapi/linux/vfio.h.
 */
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "mig.h"

#include "kselftest_harness.h"

#define S(name)	VFIO_DEVICE_STATE_##name

FIXTURE(precopy) {
	struct mig_device dev;
	struct mig_stream stream;
	int fd;
};

FIXTURE_VARIANT(precopy) {
	const char *mode;
};

#define FIXTURE_VARIANT_ADD_IOMMU_MODE(_mode) \
FIXTURE_VARIANT_ADD(precopy, _mode) { \
	.mode = #_mode, \
}

FIXTURE_VARIANT_ADD_ALL_IOMMU_MODES();

FIXTURE_SETUP(precopy)
{
	const char *why = mig_open(&self->dev, mig_source(), variant->mode);

	self->fd = -1;
	if (why)
		SKIP(return, "%s", why);
	if (!mig_has_state(&self->dev, S(PRE_COPY)))
		SKIP(return, "no PRE_COPY");
	self->fd = mig_go(&self->dev, S(PRE_COPY));
}

FIXTURE_TEARDOWN(precopy)
{
	if (self->fd >= 0)
		close(self->fd);
	mig_stream_free(&self->stream);
	mig_close(&self->dev);
}

/* Read until nothing is left; returns what the next read() says */
static ssize_t drain(struct mig_device *dev, struct mig_stream *stream, int fd)
{
	struct vfio_precopy_info info;

	do {
		ssize_t n = mig_stream_read(stream, fd, MIG_CHUNK);

		if (n <= 0)
			return n;
		VFIO_ASSERT_EQ(mig_precopy_info(fd, &info), 0);
	} while (info.initial_bytes || info.dirty_bytes);
	return mig_stream_read(stream, fd, MIG_CHUNK);
}

/*
 * "Support for this ioctl is mandatory if a driver claims to support VFIO_MIGRATION_PRE_COPY."
 * "This field should have a non-zero initial value" (initial_bytes); "This field starts at zero"
 * (dirty_bytes)
 */
TEST_F(precopy, info_at_the_beginning)
{
	struct vfio_precopy_info info;

	ASSERT_EQ(mig_precopy_info(self->fd, &info), 0);
	EXPECT_GT(info.initial_bytes, 0);
	EXPECT_EQ(info.dirty_bytes, 0);
}

/* "... and decrease as migration data is read from the device." */
TEST_F(precopy, initial_bytes_decrease)
{
	struct vfio_precopy_info info;
	u64 before;

	ASSERT_EQ(mig_precopy_info(self->fd, &info), 0);
	before = info.initial_bytes;
	while (info.initial_bytes) {
		ssize_t n = mig_stream_read(&self->stream, self->fd, 4096);
		u64 last = info.initial_bytes;

		ASSERT_GT(n, 0) TH_LOG("%llu initial bytes are left",
				       (unsigned long long)info.initial_bytes);
		ASSERT_EQ(mig_precopy_info(self->fd, &info), 0);
		/* An estimate need not be exact, but what is read is not left */
		ASSERT_LT(info.initial_bytes, last);
	}
	if (before != self->stream.size)
		mig_report("%llu initial bytes were announced, and %zu came",
			   (unsigned long long)before, self->stream.size);
}

/*
 * "During pre-copy the migration data FD has a temporary end of stream that is reached when both
 * initial_bytes and dirty_byte are zero. [...] When read() is done on this temporary end of
 * stream the kernel driver should return ENOMSG from read()."
 */
TEST_F(precopy, temporary_end_is_enomsg)
{
	EXPECT_EQ(drain(&self->dev, &self->stream, self->fd), -ENOMSG);
	EXPECT_EQ(mig_stream_read(&self->stream, self->fd, 1), -ENOMSG);
}

/* The end is where the estimates say it is, and not before */
TEST_F(precopy, no_end_while_bytes_are_left)
{
	struct vfio_precopy_info info;

	ASSERT_EQ(mig_precopy_info(self->fd, &info), 0);
	while (info.initial_bytes || info.dirty_bytes) {
		ASSERT_GT(mig_stream_read(&self->stream, self->fd, MIG_CHUNK), 0);
		ASSERT_EQ(mig_precopy_info(self->fd, &info), 0);
	}
}

/* "Userspace can wait for more data (which may never come) by using poll." */
TEST_F(precopy, poll_before_and_at_the_temporary_end)
{
	struct pollfd poll_fd = { .fd = self->fd, .events = POLLIN };

	EXPECT_EQ(poll(&poll_fd, 1, 0), 1) TH_LOG("there is data");
	drain(&self->dev, &self->stream, self->fd);
	/* A driver may not know when there will be more: readable is no lie then, only of no use */
	if (poll(&poll_fd, 1, 0))
		mig_report("poll() calls the temporary end readable: %#x", poll_fd.revents);
	ASSERT_EQ(mig_set_state(&self->dev, S(STOP_COPY), NULL), 0);
	EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
	EXPECT_TRUE(poll_fd.revents & POLLIN);
}

/* "ENOMSG may not be returned in STOP_COPY." */
TEST_F(precopy, stop_copy_ends_for_good)
{
	drain(&self->dev, &self->stream, self->fd);
	ASSERT_EQ(mig_set_state(&self->dev, S(STOP_COPY), NULL), 0);
	EXPECT_EQ(mig_stream_read_all(&self->stream, self->fd, MIG_CHUNK), 0);
	EXPECT_EQ(mig_stream_read(&self->stream, self->fd, 1), 0);
	mig_reset(&self->dev);
	EXPECT_EQ(mig_feed(&self->dev, self->stream.data, self->stream.size, MIG_CHUNK), 0);
}

/*
 * "This ioctl is valid only in PRE_COPY states and kernel driver should return -EINVAL from any
 * other migration state."
 */
TEST_F(precopy, info_elsewhere_is_einval)
{
	struct vfio_precopy_info info;
	int fd;

	if (mig_has_state(&self->dev, S(PRE_COPY_P2P))) {
		ASSERT_EQ(mig_set_state(&self->dev, S(PRE_COPY_P2P), NULL), 0);
		EXPECT_EQ(mig_precopy_info(self->fd, &info), 0);
	}
	ASSERT_EQ(mig_set_state(&self->dev, S(STOP_COPY), NULL), 0);
	EXPECT_EQ(mig_precopy_info(self->fd, &info), -EINVAL);
	ASSERT_EQ(mig_set_state(&self->dev, S(STOP), NULL), 0);
	/* The session is over: which of the two errors wins is open */
	EXPECT_LT(mig_precopy_info(self->fd, &info), 0);

	fd = mig_go(&self->dev, S(STOP_COPY));
	EXPECT_EQ(mig_precopy_info(fd, &info), -EINVAL);
	close(fd);
	mig_reset(&self->dev);
	fd = mig_go(&self->dev, S(RESUMING));
	EXPECT_LT(mig_precopy_info(fd, &info), 0);
	if (errno != EINVAL)
		mig_report("VFIO_MIG_GET_PRECOPY_INFO in RESUMING: errno %d", errno);
	close(fd);
}

/* argsz is what the user has room for: there must be room for all three fields */
TEST_F(precopy, info_needs_its_room)
{
	struct vfio_precopy_info info;

	for (u32 argsz = 0; argsz < sizeof(info); argsz++) {
		info = (struct vfio_precopy_info){ .argsz = argsz, .initial_bytes = ~0ULL };
		EXPECT_EQ(ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, &info), -1)
			TH_LOG("argsz %u", argsz);
		EXPECT_EQ(info.initial_bytes, ~0ULL);
	}
	info.argsz = sizeof(info) + 64;
	EXPECT_EQ(ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
}

TEST_F(precopy, fd_has_no_other_ioctl)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };

	EXPECT_EQ(ioctl(self->fd, VFIO_DEVICE_RESET, &info), -1);
	EXPECT_EQ(errno, ENOTTY);
	EXPECT_EQ(mig_get_state(&self->dev), S(PRE_COPY));
}

/*
 * "Without this opt-in, the flags field of struct vfio_precopy_info is reserved for
 * bug-compatibility reasons."  With it "the vfio_precopy_info.flags is a valid output field."
 */
TEST_F(precopy, flags_are_output_with_info_v2)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info), .flags = ~0U };

	if (!self->dev.info_v2)
		SKIP(return, "no VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2");
	ASSERT_EQ(mig_feature(&self->dev, VFIO_DEVICE_FEATURE_SET |
			      VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, NULL, 0), 0);
	ASSERT_EQ(ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	EXPECT_EQ(info.flags & ~VFIO_PRECOPY_INFO_REINIT, 0);
	/* At the beginning all initial data is new, so either value says the truth */
	if (info.flags & VFIO_PRECOPY_INFO_REINIT)
		mig_report("REINIT at the beginning of a session");
}

/*
 * "The presence of the VFIO_PRECOPY_INFO_REINIT output flag indicates that new initial data is
 * present on the stream.  [...] In that case initial_bytes may report a non-zero value irrespective
 * of any previously reported values"
 */
TEST_F_TIMEOUT(precopy, reinit_brings_initial_data, 60)
{
	struct vfio_precopy_info info;
	unsigned int reinits = 0;

	if (!self->dev.info_v2)
		SKIP(return, "no VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2");
	ASSERT_EQ(mig_feature(&self->dev, VFIO_DEVICE_FEATURE_SET |
			      VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, NULL, 0), 0);
	ASSERT_EQ(mig_precopy_info(self->fd, &info), 0);
	while (info.initial_bytes + info.dirty_bytes) {
		u64 left = info.initial_bytes;

		ASSERT_GT(mig_stream_read(&self->stream, self->fd, MIG_CHUNK), 0);
		ASSERT_EQ(mig_precopy_info(self->fd, &info), 0);
		if (info.flags & VFIO_PRECOPY_INFO_REINIT) {
			EXPECT_GT(info.initial_bytes, 0);
			reinits += info.initial_bytes > left;
			/* Initial data that is always new is never read */
			ASSERT_LT(reinits, 1000);
		} else {
			EXPECT_LE(info.initial_bytes, left)
				TH_LOG("initial_bytes grows without REINIT");
		}
	}
	if (reinits)
		mig_report("REINIT %u times", reinits);
}

/* "The PRE_COPY arc will terminate a data transfer session."  The next begins from the start. */
TEST_F_TIMEOUT(precopy, given_up_after_each_read, 120)
{
	struct vfio_precopy_info info;
	time_t end = time(NULL) + 60;
	unsigned int rounds = 0;
	ssize_t n = 1;
	u64 first;

	ASSERT_EQ(mig_precopy_info(self->fd, &info), 0);
	first = info.initial_bytes;
	for (unsigned int reads = 0; n > 0 && time(NULL) < end; reads = mig_next_cut(reads)) {
		for (unsigned int i = 0; i < reads && n > 0; i++)
			n = mig_stream_read(&self->stream, self->fd, MIG_CUT);
		mig_stream_free(&self->stream);
		ASSERT_EQ(mig_set_state(&self->dev, S(RUNNING), NULL), 0);
		EXPECT_LT(mig_precopy_info(self->fd, &info), 0);
		close(self->fd);
		self->fd = mig_go(&self->dev, S(PRE_COPY));
		ASSERT_EQ(mig_precopy_info(self->fd, &info), 0);
		if (info.initial_bytes != first && !rounds++)
			mig_report("initial_bytes is %llu at first and %llu later",
				   (unsigned long long)first,
				   (unsigned long long)info.initial_bytes);
		EXPECT_GT(info.initial_bytes, 0);
	}
	EXPECT_TRUE(n >= 0 || n == -ENOMSG)
		TH_LOG("read() returns %zd", n);
	drain(&self->dev, &self->stream, self->fd);
	ASSERT_EQ(mig_set_state(&self->dev, S(STOP_COPY), NULL), 0);
	EXPECT_EQ(mig_stream_read_all(&self->stream, self->fd, MIG_CHUNK), 0);
	mig_reset(&self->dev);
	EXPECT_EQ(mig_feed(&self->dev, self->stream.data, self->stream.size, MIG_CHUNK), 0);
}

/* "Leaving PRE_COPY earlier might make things slower": at any byte it must work */
TEST_F_TIMEOUT(precopy, left_after_any_byte, 120)
{
	static const unsigned int cuts[] = { 0, 1, 2, 3, 5, 8, 13, 16, 21, 32, 34, 55, 64, 89, 233,
					     1000, 4096, 10000 };

	for (unsigned int i = 0; i < ARRAY_SIZE(cuts); i++) {
		while (self->stream.size < cuts[i]) {
			ssize_t n = mig_stream_read(&self->stream, self->fd,
						    cuts[i] - self->stream.size);

			if (n <= 0)
				break;
		}
		ASSERT_EQ(mig_set_state(&self->dev, S(STOP_COPY), NULL), 0);
		ASSERT_EQ(mig_stream_read_all(&self->stream, self->fd, MIG_CHUNK), 0);
		close(self->fd);
		mig_reset(&self->dev);
		EXPECT_EQ(mig_feed(&self->dev, self->stream.data, self->stream.size, MIG_CHUNK), 0)
			TH_LOG("after %u bytes", cuts[i]);
		mig_stream_free(&self->stream);
		mig_reset(&self->dev);
		self->fd = mig_go(&self->dev, S(PRE_COPY));
	}
}

int main(int argc, char *argv[])
{
	mig_get_devices(&argc, argv);
	return test_harness_run(argc, argv);
}
