// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device that has nothing ready for a reader, or no room for what was written: -EAGAIN of its
 * operations.  The PF driver is that of the module vfmig_test_border.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "border_memory.h"
#include "precopy.h"

/* One read() or write() of another thread */
struct call {
	pthread_t thread;
	int fd;
	u8 *buf;
	size_t len;
	bool write;
	ssize_t ret;
	int done;
};

static void *call_thread(void *arg)
{
	struct call *call = arg;
	ssize_t ret;

	ret = call->write ? write(call->fd, call->buf, call->len) :
			    read(call->fd, call->buf, call->len);
	call->ret = ret < 0 ? -errno : ret;
	__atomic_store_n(&call->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void call_start(struct call *call)
{
	call->done = 0;
	must(!pthread_create(&call->thread, NULL, call_thread, call));
}

static bool call_is_done(struct call *call)
{
	return __atomic_load_n(&call->done, __ATOMIC_ACQUIRE);
}

static ssize_t call_end(struct call *call)
{
	must(wait_until(call_is_done(call)));
	must(!pthread_join(call->thread, NULL));
	return call->ret;
}

/* Begin a stream of @src and read up to the piece that @op makes a reader wait for; its fd */
static int starve(struct __test_metadata *_metadata, struct vfio_dev *src, const char *op,
		  struct blob *blob)
{
	int fd;

	must(!mig_set(src, STOP_COPY, &fd));
	precopy_read(fd, blob, border_identity_bytes());
	border_fail(0, op, EAGAIN, -1);
	must(!fcntl(fd, F_SETFL, O_NONBLOCK));
	EXPECT_EQ(mig_read(fd, blob, 10000), -EAGAIN);
	return fd;
}

/* The operation by which the device makes a reader wait */
static void read_waits(struct __test_metadata *_metadata, struct border *border, const char *op)
{
	struct vfio_dev *src = &border->dev[0];
	struct call call = { .buf = malloc(MIB(1)), .len = MIB(1) };
	struct pollfd pfd = { .events = POLLIN };
	struct blob good = {}, blob = {};

	must(call.buf);
	mig_save(src, &good);
	call.fd = starve(_metadata, src, op, &blob);
	pfd.fd = call.fd;
	EXPECT_EQ(poll(&pfd, 1, QUIET_MS), 0);
	EXPECT_EQ(precopy_try(call.fd), -EAGAIN);
	must(!fcntl(call.fd, F_SETFL, 0));

	call_start(&call);
	EXPECT_TRUE(stays_false(call_is_done(&call)));
	border_tell(0, "event", "ready 50");
	EXPECT_GT(call_end(&call), 0);
	if (call.ret > 0)
		blob_append(&blob, call.buf, call.ret);
	EXPECT_EQ(mig_read(call.fd, &blob, 10000), 0);
	EXPECT_TRUE(blob_equal(&good, &blob));
	close(call.fd);
	must(!mig_set(src, STOP, NULL));

	/* poll() is woken too, and so is a reader by a reset */
	call.fd = starve(_metadata, src, op, &blob);
	pfd.fd = call.fd;
	border_tell(0, "event", "ready 50");
	EXPECT_EQ(poll(&pfd, 1, WAIT_MS), 1);
	EXPECT_EQ(pfd.revents, POLLIN);
	border_fail(0, op, EAGAIN, -1);
	must(!fcntl(call.fd, F_SETFL, 0));
	do {
		call_start(&call);
		if (stays_false(call_is_done(&call)))
			break;
	} while (call_end(&call) > 0);
	EXPECT_FALSE(call_is_done(&call));
	must(!vfio_reset(src));
	EXPECT_EQ(call_end(&call), -ENODEV);
	EXPECT_EQ(poll(&pfd, 1, WAIT_MS), 1);
	EXPECT_TRUE(pfd.revents & POLLERR);
	close(call.fd);
	border_tell(0, "fail", "none");
	free(call.buf);
	blob_free(&good);
	blob_free(&blob);
}

TEST_F_TIMEOUT(border_memory, reader_waits_for_a_piece_that_is_being_made, 60)
{
	border_tell(0, "state", "size=200000");
	border_memory_fill(0, MIB(1) + KIB(200), 1);
	read_waits(_metadata, &self->border, "state_read");
	if (!variant->page)
		return;
	read_waits(_metadata, &self->border, "next");
	if (strcmp(variant->page, "read"))
		return;
	for (int crc = 0; crc < 2; crc++) {
		mig_set_data_crc(crc);
		read_waits(_metadata, &self->border, "read");
	}
}

/* A device with one buffer, so that each piece is there at the second try only */
TEST_F_TIMEOUT(border_memory, device_may_have_one_piece_at_a_time, 60)
{
	struct blob good = {};
	int fd;

	if (!variant->page || strcmp(variant->page, "read"))
		SKIP(return, "no memory that is read through a buffer");
	border_memory_fill(0, MIB(1), 1);
	for (int crc = 0; crc < 2; crc++) {
		unsigned int tries = 0;

		mig_set_data_crc(crc);
		mig_save(self->src, &good);
		self->blob.len = 0;
		ASSERT_EQ(mig_set(self->src, STOP_COPY, &fd), 0);
		ASSERT_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
		do {
			/* Each but the first read() of the device since the last time */
			border_fail_later(0, "read", EAGAIN, -1, 1);
		} while (mig_read(fd, &self->blob, MIB(2)) == -EAGAIN && ++tries < 100);
		EXPECT_LE(tries, crc ? 34 : 17);
		EXPECT_TRUE(blob_equal(&good, &self->blob));
		close(fd);
		border_tell(0, "fail", "none");
		ASSERT_EQ(mig_set(self->src, STOP, NULL), 0);
	}
	blob_free(&good);
}

static void write_waits(struct __test_metadata *_metadata, struct border *border, const char *op,
			const struct blob *blob)
{
	struct vfio_dev *dst = &border->dev[1];
	struct call call = { .buf = blob->data, .len = blob->len, .write = true };
	size_t done = 0;
	ssize_t n;

	border_fail(1, op, EAGAIN, -1);
	must(!mig_set(dst, RESUMING, &call.fd));
	must(!fcntl(call.fd, F_SETFL, O_NONBLOCK));
	n = write(call.fd, blob->data, blob->len);
	EXPECT_GT(n, 0);
	EXPECT_LT(n, (ssize_t)blob->len);
	done += n;
	EXPECT_EQ(write(call.fd, blob->data + done, 1), -1);
	EXPECT_EQ(errno, EAGAIN);
	must(!fcntl(call.fd, F_SETFL, 0));

	call.buf += done;
	call.len -= done;
	call_start(&call);
	EXPECT_TRUE(stays_false(call_is_done(&call)));
	border_tell(1, "event", "ready 50");
	EXPECT_EQ(call_end(&call), (ssize_t)call.len);
	close(call.fd);
	EXPECT_EQ(mig_set(dst, STOP, NULL), 0);

	/* And a reset */
	border_fail(1, op, EAGAIN, -1);
	must(!mig_set(dst, RESUMING, &call.fd));
	call.buf = blob->data;
	call.len = blob->len;
	call_start(&call);
	EXPECT_TRUE(stays_false(call_is_done(&call)));
	must(!vfio_reset(dst));
	EXPECT_EQ(call_end(&call), -ENODEV);
	close(call.fd);
	border_tell(1, "fail", "none");
}

TEST_F_TIMEOUT(border_memory, writer_waits_for_room, 60)
{
	border_tell(0, "state", "size=200000");
	border_memory_fill(0, MIB(1) + KIB(200), 1);
	mig_save(self->src, &self->blob);
	write_waits(_metadata, &self->border, "load_state", &self->blob);
	if (variant->load && !strcmp(variant->load, "load_data"))
		write_waits(_metadata, &self->border, "load_data", &self->blob);
	ASSERT_EQ(border_load(self->dst, &self->blob, MIB(1)), 0);
	EXPECT_EQ(border_loaded(1), 200000);
	if (variant->page)
		EXPECT_TRUE(border_memory_same());
}

TEST_HARNESS_MAIN
