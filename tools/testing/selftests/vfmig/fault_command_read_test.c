// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on command (Documentation/faults.rst) of the data fd that is read from.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "source.h"

#include "harness.h"

#define CHUNK		KIB(64)
#define STALL_MS	300
/* So long that a test fails where something waits for its end */
#define LONG_MS		60000

FIXTURE(reading)
{
	struct source src;
	struct vfio_dev *dev;
	char bdf[BDF_SIZE];
	struct blob whole, blob;
	int fd;
};

FIXTURE_SETUP(reading)
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
	mig_save(self->dev, &self->whole);
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
}

FIXTURE_TEARDOWN(reading)
{
	command_end(self->bdf);
	if (self->fd >= 0)
		close(self->fd);
	blob_free(&self->whole);
	blob_free(&self->blob);
	source_close(&self->src);
}

/* One read() of at most CHUNK bytes, added to @blob; bytes or -errno */
static ssize_t get(int fd, struct blob *blob)
{
	static u8 buf[CHUNK];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0)
		return -errno;
	blob_append(blob, buf, n);
	return n;
}

/* A new session in STOP_COPY */
static int begin(struct vfio_dev *dev, int *fd, struct blob *blob)
{
	if (*fd >= 0)
		close(*fd);
	must(!mig_set(dev, RUNNING, NULL));
	blob->len = 0;
	return mig_set(dev, STOP_COPY, fd);
}

#define BEGIN()	ASSERT_EQ(begin(self->dev, &self->fd, &self->blob), 0)

TEST_F(reading, fails_at_a_byte)
{
	const size_t at[] = { 0, 1, 100, IDENTITY_BYTES, 5000, self->whole.len - 1,
			      self->whole.len };

	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		unsigned int id = command(self->bdf, "read at=%zu errno=EIO", at[i]);

		BEGIN();
		if (at[i])
			ASSERT_EQ(get(self->fd, &self->blob), (ssize_t)at[i]);
		for (unsigned int n = 1; n <= 3; n++) {
			EXPECT_EQ(get(self->fd, &self->blob), -EIO);
			EXPECT_EQ(command_done(self->bdf, id), n);
		}
		/* Nothing was lost */
		command_clear(self->bdf);
		EXPECT_EQ(mig_read(self->fd, &self->blob, CHUNK), 0);
		EXPECT_TRUE(stream_same(&self->blob, &self->whole));
	}
}

TEST_F(reading, fails_once_and_goes_on)
{
	unsigned int id = command(self->bdf, "read at=1000 errno=ENOMEM once");

	BEGIN();
	EXPECT_EQ(mig_read(self->fd, &self->blob, 300), -ENOMEM);
	EXPECT_EQ(self->blob.len, 1000);
	EXPECT_EQ(mig_read(self->fd, &self->blob, 300), 0);
	EXPECT_TRUE(stream_same(&self->blob, &self->whole));
	EXPECT_EQ(command_done(self->bdf, id), 1);
	/* The other session meets the place, and nothing happens */
	BEGIN();
	EXPECT_EQ(mig_read(self->fd, &self->blob, 300), 0);
	EXPECT_EQ(command_done(self->bdf, id), 1);
	EXPECT_EQ(command_seen(self->bdf, id), 3);
}

TEST_F(reading, fails_at_a_record)
{
	static struct stream_record records[STREAM_MAX_RECORDS];
	unsigned int n = stream_parse(&self->whole, records);

	ASSERT_GT(n, 3);
	for (unsigned int i = 0; i < n; i++) {
		command(self->bdf, "read record=%u errno=EIO once", i + 1);
		BEGIN();
		EXPECT_EQ(mig_read(self->fd, &self->blob, CHUNK), -EIO);
		EXPECT_EQ(self->blob.len, records[i].offset);
		EXPECT_EQ(mig_read(self->fd, &self->blob, CHUNK), 0);
		EXPECT_TRUE(stream_same(&self->blob, &self->whole));
		command_clear(self->bdf);
	}
	command(self->bdf, "read record=last errno=EIO");
	BEGIN();
	EXPECT_EQ(mig_read(self->fd, &self->blob, CHUNK), -EIO);
	EXPECT_EQ(self->blob.len, self->whole.len - END_BYTES);
	command_clear(self->bdf);

	command(self->bdf, "read record=first end");
	BEGIN();
	EXPECT_EQ(get(self->fd, &self->blob), 0);
	command_clear(self->bdf);

	/* There is none with this number */
	command(self->bdf, "read record=%u errno=EIO", n + 1);
	BEGIN();
	EXPECT_EQ(mig_read(self->fd, &self->blob, CHUNK), 0);
	EXPECT_TRUE(stream_same(&self->blob, &self->whole));
}

TEST_F(reading, ends_too_early)
{
	command(self->bdf, "read end at=3000 times=2");
	BEGIN();
	EXPECT_EQ(get(self->fd, &self->blob), 3000);
	EXPECT_EQ(get(self->fd, &self->blob), 0);
	EXPECT_EQ(get(self->fd, &self->blob), 0);
	EXPECT_EQ(mig_read(self->fd, &self->blob, CHUNK), 0);
	EXPECT_TRUE(stream_same(&self->blob, &self->whole));
}

TEST_F(reading, gives_short_counts)
{
	unsigned int id = command(self->bdf, "read short=7 times=5");

	BEGIN();
	for (unsigned int i = 1; i <= 5; i++) {
		EXPECT_EQ(get(self->fd, &self->blob), 7);
		EXPECT_EQ(command_done(self->bdf, id), i);
	}
	EXPECT_GT(get(self->fd, &self->blob), 7);
	EXPECT_EQ(mig_read(self->fd, &self->blob, CHUNK), 0);
	EXPECT_TRUE(stream_same(&self->blob, &self->whole));
}

TEST_F(reading, says_that_there_is_no_data)
{
	self->fd = precopy_begin(self->dev, PRE_COPY);
	command(self->bdf, "read errno=ENOMSG nth=2");
	precopy_read(self->fd, &self->blob, 100);
	EXPECT_EQ(get(self->fd, &self->blob), -ENOMSG);
	EXPECT_EQ(precopy_left(self->fd), FIRST_COPY - 100);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), FIRST_COPY - 100);
}

/* Only this bit, and a read() that has it is not cut */
TEST_F(reading, inverts_a_bit)
{
	const size_t at[] = { 0, 5, IDENTITY_BYTES, IDENTITY_BYTES + 45, 6000,
			      self->whole.len - 1 };

	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		unsigned int id = command(self->bdf, "read at=%zu flip=%u", at[i], i);

		BEGIN();
		EXPECT_EQ(get(self->fd, &self->blob), (ssize_t)self->whole.len);
		EXPECT_EQ(get(self->fd, &self->blob), 0);
		EXPECT_EQ(command_done(self->bdf, id), 1);
		ASSERT_EQ(self->blob.len, self->whole.len);
		EXPECT_NE(self->blob.data[at[i]], self->whole.data[at[i]]);
		self->blob.data[at[i]] ^= 1 << i;
		EXPECT_TRUE(stream_same(&self->blob, &self->whole));
		command_clear(self->bdf);
	}
	command(self->bdf, "read at=8 flip=0");
	command(self->bdf, "read at=8 flip=7");
	command(self->bdf, "read at=9 flip=1 nth=2");
	BEGIN();
	EXPECT_EQ(mig_read(self->fd, &self->blob, 3), 0);
	self->blob.data[8] ^= 0x81;
	EXPECT_TRUE(stream_same(&self->blob, &self->whole));
}

TEST_F(reading, has_a_rate)
{
	unsigned int id = command(self->bdf, "read rate=40K");
	u64 begin_ms, ms;

	command(self->bdf, "read rate=4M");
	BEGIN();
	begin_ms = now_ms();
	EXPECT_EQ(get(self->fd, &self->blob), KIB(4));
	EXPECT_EQ(mig_read(self->fd, &self->blob, CHUNK), 0);
	ms = now_ms() - begin_ms;
	EXPECT_TRUE(stream_same(&self->blob, &self->whole));
	/* The first tenth of a second is free, and the last bytes are not waited for */
	EXPECT_GE(ms, (self->whole.len / KIB(4) - 1) * 100);
	EXPECT_LT(ms, WAIT_MS);
	EXPECT_GE(command_done(self->bdf, id), self->whole.len / KIB(4));
}

/* A mig_read() in a thread of its own */
struct puller {
	pthread_t thread;
	int fd;
	struct blob *blob;
	int err;
	bool over;
	u64 ms;
};

static void *puller_run(void *arg)
{
	struct puller *p = arg;
	u64 start = now_ms();

	p->err = mig_read(p->fd, p->blob, CHUNK);
	p->ms = now_ms() - start;
	__atomic_store_n(&p->over, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Returns when fault @id holds it up */
static void puller_start(struct puller *p, int fd, struct blob *blob, const char *bdf,
			 unsigned int id)
{
	u64 before = command_done(bdf, id);

	*p = (struct puller){ .fd = fd, .blob = blob };
	must(!pthread_create(&p->thread, NULL, puller_run, p));
	must(wait_until(command_done(bdf, id) > before));
}

TEST_F(reading, stalls_at_a_byte)
{
	unsigned int id = command(self->bdf, "read at=1000 stall=%u", STALL_MS);
	u64 size, begin_ms;

	for (unsigned int i = 1; i <= 2; i++) {
		BEGIN();
		EXPECT_EQ(get(self->fd, &self->blob), 1000);
		begin_ms = now_ms();
		EXPECT_EQ(mig_read(self->fd, &self->blob, CHUNK), 0);
		EXPECT_GE(now_ms() - begin_ms, STALL_MS);
		EXPECT_TRUE(stream_same(&self->blob, &self->whole));
		EXPECT_EQ(command_done(self->bdf, id), i);
	}
	EXPECT_EQ(mig_size(self->dev, &size), 0);
}

TEST_F(reading, stalls_at_a_record)
{
	unsigned int id = command(self->bdf, "read record=2 stall=%u", STALL_MS);
	u64 begin_ms = now_ms();

	BEGIN();
	EXPECT_EQ(mig_read(self->fd, &self->blob, CHUNK), 0);
	EXPECT_GE(now_ms() - begin_ms, STALL_MS);
	EXPECT_TRUE(stream_same(&self->blob, &self->whole));
	EXPECT_EQ(command_done(self->bdf, id), 1);
}

/* What waits in poll() is woken, and others are not held up */
TEST_F(reading, stalls_a_poller)
{
	unsigned int id = command(self->bdf, "read at=0 stall=%u once", STALL_MS);
	u64 begin_ms = now_ms(), size;
	struct pollfd pfd;

	BEGIN();
	ASSERT_EQ(fcntl(self->fd, F_SETFL, O_NONBLOCK), 0);
	EXPECT_EQ(get(self->fd, &self->blob), -EAGAIN);
	EXPECT_EQ(get(self->fd, &self->blob), -EAGAIN);
	EXPECT_EQ(poll_now(self->fd), 0);
	EXPECT_EQ(mig_get(self->dev), STOP_COPY);
	EXPECT_EQ(mig_size(self->dev, &size), 0);
	EXPECT_EQ(size, self->whole.len);
	pfd = (struct pollfd){ .fd = self->fd, .events = POLLIN };
	EXPECT_EQ(poll(&pfd, 1, WAIT_MS), 1);
	EXPECT_EQ(pfd.revents, POLLIN);
	EXPECT_GE(now_ms() - begin_ms, STALL_MS);
	EXPECT_EQ(mig_read(self->fd, &self->blob, CHUNK), 0);
	EXPECT_EQ(command_done(self->bdf, id), 1);
}

TEST_F(reading, reset_ends_a_stall)
{
	unsigned int id = command(self->bdf, "read at=100 stall=%u", LONG_MS);
	struct puller p;

	for (unsigned int i = 0; i < 2; i++) {
		BEGIN();
		puller_start(&p, self->fd, &self->blob, self->bdf, id);
		ASSERT_EQ(i ? vfio_reset(self->dev) : mig_set(self->dev, STOP, NULL), 0);
		pthread_join(p.thread, NULL);
		EXPECT_EQ(p.err, -ENODEV);
		EXPECT_EQ(self->blob.len, 100);
		EXPECT_LT(p.ms, WAIT_MS);
	}
}

TEST_F(reading, close_ends_a_stall)
{
	unsigned int id = command(self->bdf, "read at=100 stall=%u", LONG_MS);
	struct puller p;

	BEGIN();
	puller_start(&p, self->fd, &self->blob, self->bdf, id);
	vfio_close(self->dev);
	pthread_join(p.thread, NULL);
	EXPECT_EQ(p.err, -ENODEV);
	EXPECT_LT(p.ms, WAIT_MS);
	ASSERT_EQ(vfio_open(self->dev, &self->src.rig.iommu[0], self->bdf), 0);
}

TEST_F(reading, clearing_ends_a_stall)
{
	unsigned int id = command(self->bdf, "read at=100 stall=%u", LONG_MS);
	struct puller p;

	BEGIN();
	puller_start(&p, self->fd, &self->blob, self->bdf, id);
	sleep_ms(QUIET_MS);
	EXPECT_FALSE(__atomic_load_n(&p.over, __ATOMIC_ACQUIRE));
	command_clear(self->bdf);
	pthread_join(p.thread, NULL);
	EXPECT_EQ(p.err, 0);
	EXPECT_LT(p.ms, WAIT_MS);
	EXPECT_TRUE(stream_same(&self->blob, &self->whole));
}

TEST_F(reading, kill_ends_a_stall)
{
	unsigned int id = command(self->bdf, "read stall=%u", LONG_MS);
	u64 begin_ms = now_ms();
	pid_t pid;

	BEGIN();
	pid = fork();
	must(pid >= 0);
	if (!pid) {
		get(self->fd, &self->blob);
		_exit(0);
	}
	ASSERT_TRUE(wait_until(command_done(self->bdf, id)));
	kill(pid, SIGKILL);
	ASSERT_EQ(waitpid(pid, NULL, 0), pid);
	EXPECT_LT(now_ms() - begin_ms, WAIT_MS);
}

/* The file outlives the VF's driver */
TEST_F(reading, after_the_driver_has_gone)
{
	char path[PATH_SIZE];

	command(self->bdf, "read at=100 errno=EIO");
	BEGIN();
	vfio_close(self->dev);
	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/" VF_DRIVER "/unbind");
	ASSERT_EQ(file_write(path, self->bdf), 0);
	EXPECT_EQ(get(self->fd, &self->blob), -ENODEV);
	close(self->fd);
	self->fd = -1;
	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/" VF_DRIVER "/bind");
	ASSERT_EQ(file_write(path, self->bdf), 0);
	ASSERT_EQ(vfio_open(self->dev, &self->src.rig.iommu[0], self->bdf), 0);
}

TEST_F(reading, loses_the_device)
{
	command(self->bdf, "read at=50 errno=ENOTRECOVERABLE once");
	BEGIN();
	EXPECT_EQ(get(self->fd, &self->blob), 50);
	EXPECT_EQ(get(self->fd, &self->blob), -ENOTRECOVERABLE);
	EXPECT_EQ(mig_get(self->dev), ERROR);
	EXPECT_EQ(get(self->fd, &self->blob), -ENODEV);
	EXPECT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
}

/* Nor does a fault of writing happen to it */
TEST_F(reading, of_another_vf_is_as_always)
{
	struct vfio_dev *other = rig_second(&self->src.rig);
	struct blob blob = {};

	command(other->bdf, "read errno=EIO");
	command(self->bdf, "write errno=EIO");
	command(self->bdf, "write stall=%u", LONG_MS);
	BEGIN();
	EXPECT_EQ(get(self->fd, &self->blob), (ssize_t)self->whole.len);
	EXPECT_TRUE(stream_same(&self->blob, &self->whole));
	close(self->fd);
	ASSERT_EQ(mig_set(other, STOP_COPY, &self->fd), 0);
	EXPECT_EQ(get(self->fd, &blob), -EIO);
	command_clear(other->bdf);
	blob_free(&blob);
}

TEST_HARNESS_MAIN
