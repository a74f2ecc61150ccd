// SPDX-License-Identifier: GPL-2.0-only
/*
 * Data transfer sessions: who gets a file descriptor, how long it lives, and what can be done
 * with it.  Clauses are those of include/uapi/linux/vfio.h.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "mig.h"

#include "kselftest_harness.h"

#define S(name)	VFIO_DEVICE_STATE_##name

FIXTURE(session) {
	struct mig_device dev;
	struct mig_stream stream;
};

FIXTURE_VARIANT(session) {
	const char *mode;
};

#define FIXTURE_VARIANT_ADD_IOMMU_MODE(_mode) \
FIXTURE_VARIANT_ADD(session, _mode) { \
	.mode = #_mode, \
}

FIXTURE_VARIANT_ADD_ALL_IOMMU_MODES();

FIXTURE_SETUP(session)
{
	const char *why = mig_open(&self->dev, mig_source(), variant->mode);

	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(session)
{
	mig_stream_free(&self->stream);
	mig_close(&self->dev);
}

static int try_read(int fd)
{
	u8 buf[64];
	ssize_t n = read(fd, buf, sizeof(buf));

	return n < 0 ? -errno : n;
}

/* A session that is over has no data: what else read() says of it is open */
static void expect_over(struct __test_metadata *_metadata, int fd, const char *after)
{
	int n = try_read(fd);

	EXPECT_LE(n, 0) TH_LOG("%d bytes can be read after %s", n, after);
	if (n != -ENODEV)
		mig_report("read() returns %d after %s", n, after);
}

/*
 * "PRE_COPY, PRE_COPY_P2P and STOP_COPY form the saving group of states which share a data
 * transfer session.  Moving between these states alters what is streamed in session, but does not
 * terminate or otherwise affect the associated fd."
 */
TEST_F(session, saving_states_share_one)
{
	bool p2p = mig_has_state(&self->dev, S(PRE_COPY_P2P));
	int fd, none;

	if (!mig_has_state(&self->dev, S(PRE_COPY)))
		SKIP(return, "no PRE_COPY");
	fd = mig_go(&self->dev, S(PRE_COPY));
	ASSERT_GE(fd, 0);
	EXPECT_GT(mig_stream_read(&self->stream, fd, 1), 0);
	if (p2p) {
		EXPECT_EQ(mig_set_state(&self->dev, S(PRE_COPY_P2P), &none), 0);
		EXPECT_EQ(none, -1);
		EXPECT_GT(mig_stream_read(&self->stream, fd, 1), 0);
		EXPECT_EQ(mig_set_state(&self->dev, S(PRE_COPY), &none), 0);
		EXPECT_EQ(none, -1);
	}
	EXPECT_EQ(mig_set_state(&self->dev, S(STOP_COPY), &none), 0);
	EXPECT_EQ(none, -1);
	EXPECT_EQ(mig_stream_read_all(&self->stream, fd, MIG_CHUNK), 0);
	close(fd);

	/* And what came by one fd is one stream */
	mig_reset(&self->dev);
	EXPECT_EQ(mig_feed(&self->dev, self->stream.data, self->stream.size, MIG_CHUNK), 0);
}

/* "The STOP_COPY arc will terminate a data transfer session." and likewise PRE_COPY's arcs */
TEST_F_TIMEOUT(session, ends_with_the_saving_states, 60)
{
	static const u32 saving[] = { S(STOP_COPY), S(PRE_COPY), S(PRE_COPY_P2P) };

	for (unsigned int i = 0; i < ARRAY_SIZE(saving); i++) {
		for (u32 to = S(STOP); to < VFIO_DEVICE_STATE_NR; to++) {
			int fd;

			if (!mig_has_state(&self->dev, saving[i]) ||
			    !mig_has_state(&self->dev, to) || mig_is_saving(to) ||
			    to == S(RESUMING))
				continue;
			fd = mig_go(&self->dev, saving[i]);
			ASSERT_EQ(mig_set_state(&self->dev, to, NULL), 0);
			expect_over(_metadata, fd, mig_state_name(to));
			close(fd);
			mig_reset(&self->dev);
		}
	}
}

/* "These arcs begin the process of saving the device state and will return a new data_fd." */
TEST_F(session, next_one_is_another)
{
	int first = mig_go(&self->dev, S(STOP_COPY)), second;

	EXPECT_EQ(mig_stream_read_all(&self->stream, first, MIG_CHUNK), 0);
	ASSERT_EQ(mig_set_state(&self->dev, S(RUNNING), NULL), 0);
	second = mig_go(&self->dev, S(STOP_COPY));
	EXPECT_NE(first, second);
	expect_over(_metadata, first, "the next session began");
	/* Which has everything again */
	mig_stream_free(&self->stream);
	EXPECT_EQ(mig_stream_read_all(&self->stream, second, MIG_CHUNK), 0);
	EXPECT_GT(self->stream.size, 0);
	close(first);
	close(second);
	mig_reset(&self->dev);
	EXPECT_EQ(mig_feed(&self->dev, self->stream.data, self->stream.size, MIG_CHUNK), 0);
}

/* "The STOP_COPY arc will terminate a data transfer session."  The next one begins anew. */
TEST_F_TIMEOUT(session, given_up_after_each_read, 120)
{
	time_t end = time(NULL) + 60;
	ssize_t n = 1;
	int fd;

	for (unsigned int reads = 0; n > 0 && time(NULL) < end; reads = mig_next_cut(reads)) {
		fd = mig_go(&self->dev, S(STOP_COPY));
		for (unsigned int i = 0; i < reads && n > 0; i++)
			n = mig_stream_read(&self->stream, fd, MIG_CUT);
		mig_stream_free(&self->stream);
		ASSERT_EQ(mig_set_state(&self->dev, S(RUNNING), NULL), 0)
			TH_LOG("after %u reads", reads);
		expect_over(_metadata, fd, "RUNNING");
		close(fd);
	}
	EXPECT_GE(n, 0);
	mig_save(&self->dev, &self->stream);
	mig_reset(&self->dev);
	EXPECT_EQ(mig_feed(&self->dev, self->stream.data, self->stream.size, MIG_CHUNK), 0);
}

/* "The user is responsible to close this FD when it is finished."  No state waits for that. */
TEST_F_TIMEOUT(session, user_may_close_first, 60)
{
	for (u32 state = S(STOP); state < VFIO_DEVICE_STATE_NR; state++) {
		int fd;

		if (!mig_has_state(&self->dev, state) || !mig_begins_session(S(RUNNING), state))
			continue;
		fd = mig_go(&self->dev, state);
		ASSERT_GE(fd, 0);
		close(fd);
		EXPECT_EQ(mig_get_state(&self->dev), state);
		if (state == S(RESUMING))
			mig_reset(&self->dev);
		else
			EXPECT_EQ(mig_set_state(&self->dev, S(RUNNING), NULL), 0);
		EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
	}
}

/* A destination may close the fd when all is written, and leave RESUMING then */
TEST_F(session, what_was_written_outlives_the_fd)
{
	int fd;

	mig_save(&self->dev, &self->stream);
	mig_reset(&self->dev);
	fd = mig_go(&self->dev, S(RESUMING));
	ASSERT_EQ(mig_write_all(fd, self->stream.data, self->stream.size, MIG_CHUNK), 0);
	close(fd);
	EXPECT_EQ(mig_set_state(&self->dev, S(STOP), NULL), 0);
	EXPECT_EQ(mig_set_state(&self->dev, S(RUNNING), NULL), 0);
}

/* The fd may outlive its device, for its user.  Nothing of the device is left in it. */
TEST_F_TIMEOUT(session, fd_outlives_the_device, 60)
{
	static const u32 states[] = { S(STOP_COPY), S(PRE_COPY), S(RESUMING) };

	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		struct vfio_precopy_info info;
		int fd, n;

		if (!mig_has_state(&self->dev, states[i]))
			continue;
		fd = mig_go(&self->dev, states[i]);
		mig_reopen(&self->dev);
		mig_reset(&self->dev);
		if (states[i] == S(RESUMING)) {
			n = write(fd, "x", 1) < 0 ? -errno : 0;
			EXPECT_LT(n, 0);
			if (n != -ENODEV)
				mig_report("write() returns %d after a close", n);
		} else {
			expect_over(_metadata, fd, "the device was closed");
			EXPECT_LT(mig_precopy_info(fd, &info), 0);
		}
		close(fd);
	}
}

TEST_F_TIMEOUT(session, ends_with_a_reset, 60)
{
	static const u32 states[] = { S(STOP_COPY), S(PRE_COPY), S(RESUMING) };

	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		int fd, n;

		if (!mig_has_state(&self->dev, states[i]))
			continue;
		fd = mig_go(&self->dev, states[i]);
		mig_reset(&self->dev);
		/* A driver may put the reset off until it is next asked for the state */
		EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
		if (states[i] == S(RESUMING)) {
			n = write(fd, "x", 1) < 0 ? -errno : 0;
			EXPECT_LT(n, 0);
			if (n != -ENODEV)
				mig_report("write() returns %d after a reset", n);
		} else {
			expect_over(_metadata, fd, "a reset");
		}
		close(fd);
	}
}

/* "migration data will flow over the FD using read() and write()": one way in each session */
TEST_F(session, has_one_direction)
{
	u8 byte = 0;
	int fd;

	fd = mig_go(&self->dev, S(STOP_COPY));
	EXPECT_LT(write(fd, &byte, 1), 0);
	if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC))
		mig_report("the data fd has no FD_CLOEXEC");
	close(fd);
	mig_reset(&self->dev);
	fd = mig_go(&self->dev, S(RESUMING));
	EXPECT_LT(read(fd, &byte, 1), 0);
	close(fd);
}

/* "The user must [...] preserve the byte order of the stream": there is no other order to have */
TEST_F(session, is_a_stream_without_positions)
{
	int fd = mig_go(&self->dev, S(STOP_COPY));
	u8 byte;

	EXPECT_LT(pread(fd, &byte, 1, 0), 0);
	EXPECT_LT(lseek(fd, 0, SEEK_SET), 0);
	EXPECT_EQ(mig_stream_read_all(&self->stream, fd, MIG_CHUNK), 0);
	close(fd);
	mig_reset(&self->dev);
	fd = mig_go(&self->dev, S(RESUMING));
	EXPECT_LT(pwrite(fd, self->stream.data, 1, 0), 0);
	EXPECT_EQ(mig_write_all(fd, self->stream.data, self->stream.size, MIG_CHUNK), 0);
	EXPECT_EQ(mig_set_state(&self->dev, S(STOP), NULL), 0);
	close(fd);
}

/* A bad address is the user's mistake, and takes nothing out of the stream */
TEST_F(session, bad_addresses_lose_nothing)
{
	void *bad = mmap_reserve(0x1000, 0x1000, 0);
	int fd = mig_go(&self->dev, S(STOP_COPY)), ret;

	EXPECT_LT(read(fd, bad, 16), 0);
	EXPECT_EQ(errno, EFAULT);
	ret = mig_stream_read_all(&self->stream, fd, MIG_CHUNK);
	close(fd);
	mig_reset(&self->dev);
	if (ret) {
		mig_report("a session ends with the first bad address: %d", ret);
		return;
	}
	EXPECT_EQ(mig_feed(&self->dev, self->stream.data, self->stream.size, MIG_CHUNK), 0);
	mig_reset(&self->dev);
	fd = mig_go(&self->dev, S(RESUMING));
	EXPECT_LT(write(fd, bad, 16), 0);
	EXPECT_EQ(errno, EFAULT);
	close(fd);
}

/*
 * "Once in STOP_COPY the migration data FD has a permanent end of stream signaled in the usual way
 * by read() always returning 0 and poll always returning readable.  ENOMSG may not be returned in
 * STOP_COPY."
 */
TEST_F(session, end_in_stop_copy_is_permanent)
{
	int fd = mig_go(&self->dev, S(STOP_COPY));
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	EXPECT_EQ(mig_stream_read_all(&self->stream, fd, MIG_CHUNK), 0);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(try_read(fd), 0);
	EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
	EXPECT_TRUE(poll_fd.revents & POLLIN);
	close(fd);
}

/* A read of nothing is not the end of the stream */
TEST_F(session, read_of_nothing)
{
	int fd = mig_go(&self->dev, S(STOP_COPY));

	EXPECT_EQ(read(fd, NULL, 0), 0);
	EXPECT_EQ(mig_stream_read_all(&self->stream, fd, MIG_CHUNK), 0);
	EXPECT_GT(self->stream.size, 0);
	close(fd);
}

/* Reads of any size, which need not be those of the writes */
TEST_F_TIMEOUT(session, odd_sizes, 60)
{
	static const size_t sizes[] = { 1, 3, 7, 61, 1021, 4093, 4099 };
	int fd = mig_go(&self->dev, S(STOP_COPY));
	ssize_t n;

	for (unsigned int i = 0;; i++) {
		n = mig_stream_read(&self->stream, fd, sizes[i % ARRAY_SIZE(sizes)]);
		if (n <= 0)
			break;
	}
	EXPECT_EQ(n, 0);
	close(fd);
	mig_reset(&self->dev);
	EXPECT_EQ(mig_feed(&self->dev, self->stream.data, self->stream.size, 4093), 0);
}

#define READERS	4

struct reader {
	int fd;
	int end;
	struct mig_stream stream;
};

static void *read_to_the_end(void *arg)
{
	struct reader *reader = arg;

	reader->end = mig_stream_read_all(&reader->stream, reader->fd, 509);
	return NULL;
}

/* How often each value of a byte was read: the same in whatever order threads read it */
struct histogram {
	u64 count[256];
};

static void count_bytes(struct histogram *histogram, const struct mig_stream *stream)
{
	for (size_t i = 0; i < stream->size; i++)
		histogram->count[stream->data[i]]++;
}

static void save_and_count(struct mig_device *dev, struct histogram *histogram)
{
	struct mig_stream stream = {};

	mig_save(dev, &stream);
	count_bytes(histogram, &stream);
	mig_stream_free(&stream);
}

static void read_by_several(struct __test_metadata *_metadata, int fd, struct histogram *histogram)
{
	struct reader readers[READERS];
	pthread_t threads[READERS];

	for (unsigned int i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ .fd = fd };
		ASSERT_EQ(pthread_create(&threads[i], NULL, read_to_the_end, &readers[i]), 0);
	}
	for (unsigned int i = 0; i < READERS; i++) {
		ASSERT_EQ(pthread_join(threads[i], NULL), 0);
		/* "a permanent end of stream signaled [...] by read() always returning 0" */
		EXPECT_EQ(readers[i].end, 0);
		count_bytes(histogram, &readers[i].stream);
		mig_stream_free(&readers[i].stream);
	}
}

/*
 * "The user must [...] preserve the byte order of the stream": each of its bytes is read once, by
 * whichever thread.  If the device is saved twice with the same bytes, those are known.
 */
TEST_F_TIMEOUT(session, several_readers, 60)
{
	struct histogram alone = {}, again = {}, several = {};
	int fd;

	save_and_count(&self->dev, &alone);
	save_and_count(&self->dev, &again);
	fd = mig_go(&self->dev, S(STOP_COPY));
	read_by_several(_metadata, fd, &several);
	EXPECT_EQ(try_read(fd), 0);
	close(fd);
	if (memcmp(&alone, &again, sizeof(alone))) {
		mig_report("an idle device is never saved with the same bytes");
		return;
	}
	EXPECT_EQ(memcmp(&alone, &several, sizeof(alone)), 0)
		TH_LOG("bytes are lost or read twice by several readers");
}

/* A thread reads while others end the session: it gets data, the end, or an error */
TEST_F_TIMEOUT(session, reader_beside_transitions, 60)
{
	mig_save(&self->dev, &self->stream);
	for (unsigned int i = 0; i < 20; i++) {
		struct reader reader = { .fd = mig_go(&self->dev, S(STOP_COPY)) };
		pthread_t thread;

		ASSERT_EQ(pthread_create(&thread, NULL, read_to_the_end, &reader), 0);
		if (i % 2)
			mig_reset(&self->dev);
		else
			EXPECT_EQ(mig_set_state(&self->dev, S(RUNNING), NULL), 0);
		ASSERT_EQ(pthread_join(thread, NULL), 0);
		/* "ENOMSG may not be returned in STOP_COPY", and no address was bad */
		EXPECT_NE(reader.end, -ENOMSG);
		EXPECT_NE(reader.end, -EFAULT);
		if (reader.stream.size > self->stream.size)
			mig_report("%zu bytes beside a transition, %zu without one",
				   reader.stream.size, self->stream.size);
		expect_over(_metadata, reader.fd, i % 2 ? "a reset" : "RUNNING");
		EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
		mig_stream_free(&reader.stream);
		close(reader.fd);
	}
}

int main(int argc, char *argv[])
{
	mig_get_devices(&argc, argv);
	return test_harness_run(argc, argv);
}
