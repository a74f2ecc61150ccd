// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on command (Documentation/faults.rst) of the data fd that is written to.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "source.h"

#include "harness.h"

#define STALL_MS	300
#define LONG_MS		60000

FIXTURE(writing)
{
	struct source src;
	struct vfio_dev *dev;	/* the destination */
	char bdf[BDF_SIZE];
	struct blob whole;
	int fd;
};

FIXTURE_SETUP(writing)
{
	const char *why = source_open_with_runs(&self->src, IOMMU_TYPE1);

	if (why)
		SKIP(return, "%s", why);
	self->fd = -1;
	mig_save(self->src.dev, &self->whole);
	self->dev = rig_second(&self->src.rig);
	bdf_copy(self->bdf, self->dev->bdf);
	why = command_begin(self->bdf);
	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(writing)
{
	command_end(self->bdf);
	if (self->fd >= 0)
		close(self->fd);
	blob_free(&self->whole);
	source_close(&self->src);
}

/* One write() of the stream from @pos on; bytes or -errno */
static ssize_t put(int fd, const struct blob *blob, size_t pos)
{
	ssize_t n = write(fd, blob->data + pos, blob->len - pos);

	return n < 0 ? -errno : n;
}

/* A new session in RESUMING */
static int begin(struct vfio_dev *dev, int *fd)
{
	if (*fd >= 0)
		close(*fd);
	must(!vfio_reset(dev));
	return mig_set(dev, RESUMING, fd);
}

#define BEGIN()	ASSERT_EQ(begin(self->dev, &self->fd), 0)

/* Was the stream loaded, and is it the same device? */
static bool landed(struct vfio_dev *dev, const struct blob *whole)
{
	struct blob blob = {};
	bool same;

	if (mig_set(dev, STOP, NULL))
		return false;
	mig_save(dev, &blob);
	same = stream_same(&blob, whole);
	blob_free(&blob);
	return same;
}

TEST_F(writing, fails_at_a_byte_and_takes_nothing)
{
	const size_t at[] = { 0, 10, IDENTITY_BYTES + 1, self->whole.len - 1 };

	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		unsigned int id = command(self->bdf, "write at=%zu errno=EIO times=2", at[i]);

		BEGIN();
		EXPECT_EQ(put(self->fd, &self->whole, 0), -EIO);
		EXPECT_EQ(put(self->fd, &self->whole, 0), -EIO);
		EXPECT_EQ(command_done(self->bdf, id), 2);
		EXPECT_EQ(put(self->fd, &self->whole, 0), (ssize_t)self->whole.len);
		EXPECT_TRUE(landed(self->dev, &self->whole));
	}
}

/* The write() that has the byte, and none before */
TEST_F(writing, fails_where_the_byte_is)
{
	command(self->bdf, "write at=150 errno=EIO");
	BEGIN();
	for (unsigned int i = 0; i < 3; i++)
		ASSERT_EQ(write(self->fd, self->whole.data + i * 50, 50), 50);
	EXPECT_EQ(write(self->fd, self->whole.data + 150, 1), -1);
	EXPECT_EQ(errno, EIO);
	command_clear(self->bdf);
	EXPECT_EQ(put(self->fd, &self->whole, 150), (ssize_t)self->whole.len - 150);
	EXPECT_TRUE(landed(self->dev, &self->whole));
}

TEST_F(writing, takes_short_counts)
{
	unsigned int id = command(self->bdf, "write short=100 times=3");

	BEGIN();
	for (unsigned int i = 0; i < 3; i++)
		EXPECT_EQ(put(self->fd, &self->whole, i * 100), 100);
	EXPECT_EQ(put(self->fd, &self->whole, 300), (ssize_t)self->whole.len - 300);
	EXPECT_EQ(command_done(self->bdf, id), 3);
	EXPECT_TRUE(landed(self->dev, &self->whole));
}

/* As a stream is refused that is wrong */
TEST_F(writing, refuses_the_stream)
{
	static const struct {
		const char *line;
		int err;
	} cases[] = {
		{ "write record=first refuse", -EINVAL },
		{ "write record=2 refuse", -EINVAL },
		{ "write record=last refuse", -EINVAL },
		{ "write record=last refuse=ENOSPC", -ENOSPC },
		{ "write at=77 refuse=ENOMEM", -ENOMEM },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int id = command(self->bdf, "%s", cases[i].line);

		BEGIN();
		EXPECT_EQ(put(self->fd, &self->whole, 0), cases[i].err)
			TH_LOG("%s", cases[i].line);
		EXPECT_EQ(command_done(self->bdf, id), 1);
		command_clear(self->bdf);
		EXPECT_EQ(put(self->fd, &self->whole, 0), -EINVAL);
		EXPECT_EQ(mig_set(self->dev, STOP, NULL), -EINVAL);
		EXPECT_EQ(mig_get(self->dev), RESUMING);
		/* And not for ever */
		BEGIN();
		EXPECT_EQ(put(self->fd, &self->whole, 0), (ssize_t)self->whole.len);
		EXPECT_TRUE(landed(self->dev, &self->whole));
	}
}

TEST_F(writing, refuses_the_last_record_only)
{
	command(self->bdf, "write record=last refuse");
	BEGIN();
	ASSERT_EQ(mig_write(self->fd, self->whole.data, self->whole.len - END_BYTES, 500), 0);
	EXPECT_EQ(put(self->fd, &self->whole, self->whole.len - END_BYTES), -EINVAL);
}

/* A write of the whole stream in a thread of its own */
struct pusher {
	pthread_t thread;
	int fd;
	const struct blob *blob;
	ssize_t ret;
	u64 ms;
};

static void *pusher_run(void *arg)
{
	struct pusher *p = arg;
	u64 start = now_ms();

	p->ret = put(p->fd, p->blob, 0);
	p->ms = now_ms() - start;
	return NULL;
}

static void pusher_start(struct pusher *p, int fd, const struct blob *blob, const char *bdf,
			 unsigned int id)
{
	u64 before = command_done(bdf, id);

	*p = (struct pusher){ .fd = fd, .blob = blob };
	must(!pthread_create(&p->thread, NULL, pusher_run, p));
	must(wait_until(command_done(bdf, id) > before));
}

static const char * const stalls[] = {
	"write stall=%u", "write at=0 stall=%u", "write at=1000 stall=%u",
	"write record=first stall=%u", "write record=2 stall=%u", "write record=last stall=%u",
};

TEST_F(writing, stalls)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(stalls); i++) {
		char line[64];
		unsigned int id;
		u64 begin_ms;

		snprintf(line, sizeof(line), stalls[i], STALL_MS);
		id = command(self->bdf, "%s", line);
		BEGIN();
		begin_ms = now_ms();
		EXPECT_EQ(put(self->fd, &self->whole, 0), (ssize_t)self->whole.len);
		EXPECT_GE(now_ms() - begin_ms, STALL_MS)
			TH_LOG("%s", line);
		EXPECT_EQ(command_done(self->bdf, id), 1);
		command_clear(self->bdf);
		EXPECT_TRUE(landed(self->dev, &self->whole));
	}
}

/* Who must not wait is told to come again, and does not lose a byte */
TEST_F(writing, stalls_without_waiting)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(stalls); i++) {
		unsigned int refused = 0;
		char line[64];
		size_t pos = 0;

		snprintf(line, sizeof(line), stalls[i], QUIET_MS);
		command(self->bdf, "%s once", line);
		BEGIN();
		ASSERT_EQ(fcntl(self->fd, F_SETFL, O_NONBLOCK), 0);
		while (pos < self->whole.len) {
			ssize_t n = put(self->fd, &self->whole, pos);

			if (n == -EAGAIN && ++refused) {
				sleep_ms(5);
				continue;
			}
			ASSERT_GT(n, 0)
				TH_LOG("%s", line);
			pos += n;
		}
		EXPECT_GT(refused, 0)
			TH_LOG("%s", line);
		command_clear(self->bdf);
		EXPECT_TRUE(landed(self->dev, &self->whole));
	}
}

TEST_F(writing, reset_ends_a_stall)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(stalls); i++) {
		struct pusher p;
		char line[64];
		unsigned int id;

		snprintf(line, sizeof(line), stalls[i], LONG_MS);
		id = command(self->bdf, "%s", line);
		BEGIN();
		pusher_start(&p, self->fd, &self->whole, self->bdf, id);
		ASSERT_EQ(vfio_reset(self->dev), 0);
		pthread_join(p.thread, NULL);
		EXPECT_EQ(p.ret, -ENODEV)
			TH_LOG("%s", line);
		EXPECT_LT(p.ms, WAIT_MS);
		command_clear(self->bdf);
	}
}

TEST_F(writing, clearing_ends_a_stall)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(stalls); i++) {
		struct pusher p;
		char line[64];
		unsigned int id;

		snprintf(line, sizeof(line), stalls[i], LONG_MS);
		id = command(self->bdf, "%s", line);
		BEGIN();
		pusher_start(&p, self->fd, &self->whole, self->bdf, id);
		command_clear(self->bdf);
		pthread_join(p.thread, NULL);
		EXPECT_EQ(p.ret, (ssize_t)self->whole.len)
			TH_LOG("%s", line);
		EXPECT_LT(p.ms, WAIT_MS);
		EXPECT_TRUE(landed(self->dev, &self->whole));
	}
}

TEST_F(writing, has_a_rate)
{
	u64 begin_ms = now_ms();

	command(self->bdf, "write rate=40K");
	BEGIN();
	EXPECT_EQ(put(self->fd, &self->whole, 0), (ssize_t)self->whole.len);
	EXPECT_GE(now_ms() - begin_ms, self->whole.len * 1000 / KIB(40));
	EXPECT_TRUE(landed(self->dev, &self->whole));
}

TEST_F(writing, loses_the_device)
{
	command(self->bdf, "write at=5 errno=ENOTRECOVERABLE once");
	BEGIN();
	EXPECT_EQ(put(self->fd, &self->whole, 0), -ENOTRECOVERABLE);
	EXPECT_EQ(mig_get(self->dev), ERROR);
	BEGIN();
	EXPECT_EQ(put(self->fd, &self->whole, 0), (ssize_t)self->whole.len);
}

TEST_F(writing, to_another_vf_is_as_always)
{
	command(self->src.dev->bdf, "write errno=EIO");
	command(self->bdf, "read errno=EIO");
	BEGIN();
	EXPECT_EQ(put(self->fd, &self->whole, 0), (ssize_t)self->whole.len);
	command_clear(self->bdf);
	command_clear(self->src.dev->bdf);
	EXPECT_TRUE(landed(self->dev, &self->whole));
}

TEST_HARNESS_MAIN
