// SPDX-License-Identifier: GPL-2.0-only
/*
 * PRE_COPY as a protocol: what the data fd answers to read(), poll() and
 * VFIO_MIG_GET_PRECOPY_INFO, and who waits for whom.  Its arcs are in
 * precopy_arc_test.c, what is sent of a device that works on in precopy_track_test.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "gate.h"
#include "source.h"

#include "harness.h"

#define MEDIUM		MIB(1)

/* A VF in PRE_COPY, which has two runs of data on its medium: FIRST_COPY bytes */
FIXTURE(precopy)
{
	struct source src;
	struct vfio_dev *dev;
	struct blob blob;
	u64 initial, dirty;	/* for precopy_info() */
	int fd;
};

FIXTURE_VARIANT(precopy)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(precopy, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(precopy, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(precopy)
{
	const char *why = source_open_with_runs(&self->src, variant->mode);

	if (why)
		SKIP(return, "%s", why);
	self->dev = self->src.dev;
	self->fd = precopy_begin(self->dev, PRE_COPY);
}

FIXTURE_TEARDOWN(precopy)
{
	close(self->fd);
	blob_free(&self->blob);
	source_close(&self->src);
}

#define INFO() precopy_info(self->fd, &self->initial, &self->dirty)

TEST_F(precopy, info_is_of_the_precopy_states_only)
{
	int fd;

	EXPECT_EQ(INFO(), 0);
	ASSERT_EQ(mig_set(self->dev, PRE_COPY_P2P, NULL), 0);
	EXPECT_EQ(INFO(), 0);
	ASSERT_EQ(mig_set(self->dev, PRE_COPY, NULL), 0);
	EXPECT_EQ(INFO(), 0);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	EXPECT_EQ(INFO(), -EINVAL);
	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	EXPECT_EQ(INFO(), -EINVAL);
	/* A session that never was in PRE_COPY */
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, &fd), 0);
	EXPECT_EQ(precopy_info(fd, &self->initial, &self->dirty), -EINVAL);
	EXPECT_EQ(INFO(), -EINVAL);
	close(fd);
	ASSERT_EQ(mig_set(self->dev, RESUMING, &fd), 0);
	EXPECT_NE(precopy_info(fd, &self->initial, &self->dirty), 0);
	EXPECT_EQ(INFO(), -EINVAL);
	close(fd);
	ASSERT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(INFO(), -EINVAL);
	/* The next session is not this fd's */
	fd = precopy_begin(self->dev, PRE_COPY);
	EXPECT_EQ(INFO(), -EINVAL);
	EXPECT_EQ(precopy_info(fd, &self->initial, &self->dirty), 0);
	close(fd);
}

TEST_F(precopy, info_checks_its_argument)
{
	struct vfio_precopy_info info;
	u8 *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (u32 argsz = 0; argsz < sizeof(info); argsz++) {
		memset(&info, 0x5a, sizeof(info));
		info.argsz = argsz;
		EXPECT_EQ(ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, &info), -1);
		EXPECT_EQ(errno, EINVAL);
		EXPECT_TRUE(is_filled(&info.flags, sizeof(info) - sizeof(info.argsz), 0x5a));
	}
	EXPECT_EQ(ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, bad_address()), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, NULL), -1);
	EXPECT_EQ(errno, EFAULT);
	/* Half of it is there */
	ASSERT_NE(two, MAP_FAILED);
	ASSERT_EQ(munmap(two + PAGE, PAGE), 0);
	memset(two + PAGE - 8, 0x20, 8);
	EXPECT_EQ(ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, two + PAGE - 8), -1);
	EXPECT_EQ(errno, EFAULT);
	munmap(two, PAGE);
	EXPECT_EQ(ioctl(self->fd, VFIO_DEVICE_RESET), -1);
	EXPECT_EQ(errno, ENOTTY);
}

/* A user from before PRECOPY_INFOv2 may leave anything in flags, and finds it again */
TEST_F(precopy, info_leaves_flags_alone)
{
	struct vfio_precopy_info info = { .argsz = 4096, .flags = 0xdeadbeef };

	ASSERT_EQ(ioctl(self->fd, VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	EXPECT_EQ(info.flags, 0xdeadbeef);
	EXPECT_EQ(info.argsz, 4096);
	EXPECT_EQ(info.initial_bytes, FIRST_COPY);
	EXPECT_EQ(info.dirty_bytes, 0);
}

TEST_F(precopy, initial_bytes_are_exact_and_begin_with_the_identity)
{
	size_t sizes[] = { 1, 23, 1, 63, 1, 24, 15, 2, 100, 4000, PAGE, PAGE + 1, 3000, 1, 7 };
	struct stream_record record;
	u64 left = FIRST_COPY;
	size_t pos = 0;

	for (unsigned int i = 0; left; i++) {
		size_t len = sizes[i % ARRAY_SIZE(sizes)];

		len = len < left ? len : left;
		ASSERT_EQ(INFO(), 0);
		ASSERT_EQ(self->initial, left);
		ASSERT_EQ(self->dirty, 0);
		precopy_read(self->fd, &self->blob, len);
		left -= len;
	}
	ASSERT_EQ(INFO(), 0);
	EXPECT_EQ(self->initial, 0);
	/* Neither STATE nor END are counted */
	EXPECT_EQ(self->dirty, 0);
	EXPECT_EQ(precopy_try(self->fd), -ENOMSG);
	ASSERT_EQ(stream_next(&self->blob, &pos, &record), 1);
	EXPECT_EQ(record.header->type, VFMIG_RECORD_IDENTITY);
	EXPECT_EQ(record.size, IDENTITY_BYTES);
}

TEST_F(precopy, empty_device_has_initial_bytes_too)
{
	close(self->fd);
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	nvme_deallocate_all(&self->src.rig.nvme);
	self->fd = precopy_begin(self->dev, PRE_COPY);
	ASSERT_EQ(INFO(), 0);
	EXPECT_EQ(self->initial, IDENTITY_BYTES);
	EXPECT_EQ(self->dirty, 0);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), IDENTITY_BYTES);
}

TEST_F(precopy, drained_read_says_enomsg_but_never_in_stop_copy)
{
	u64 left;

	EXPECT_EQ(precopy_drain(self->fd, &self->blob), FIRST_COPY);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(precopy_try(self->fd), -ENOMSG);
	ASSERT_EQ(mig_set(self->dev, PRE_COPY_P2P, NULL), 0);
	EXPECT_EQ(precopy_try(self->fd), -ENOMSG);
	ASSERT_EQ(mig_size(self->dev, &left), 0);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	/* To the end, which is 0 and stays so */
	EXPECT_EQ(mig_read(self->fd, &self->blob, 1000), 0);
	EXPECT_EQ(self->blob.len, FIRST_COPY + left);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(precopy_try(self->fd), -ENODATA);
}

TEST_F(precopy, read_stops_short_where_it_is_drained)
{
	ssize_t n = read(self->fd, self->src.buf, MEDIUM);

	EXPECT_EQ(n, FIRST_COPY);
	source_write(&self->src, RUN_A, PAGE);
	n = read(self->fd, self->src.buf, MEDIUM);
	EXPECT_EQ(n, RUN_BYTES(1));
}

TEST_F(precopy, bad_buffer_loses_no_byte)
{
	EXPECT_EQ(read(self->fd, bad_address(), PAGE), -1);
	EXPECT_EQ(errno, EFAULT);
	ASSERT_EQ(INFO(), 0);
	EXPECT_EQ(self->initial, FIRST_COPY);
	precopy_read(self->fd, &self->blob, IDENTITY_BYTES + 100);
	EXPECT_EQ(read(self->fd, bad_address(), PAGE), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), FIRST_COPY - IDENTITY_BYTES - 100);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	EXPECT_EQ(mig_read(self->fd, &self->blob, KIB(64)), 0);
	EXPECT_TRUE(source_lands_right(&self->src, &self->blob));
}

TEST_F(precopy, poll_waits_for_something_to_read)
{
	struct nvme *nvme = &self->src.rig.nvme;
	struct poller poller;

	EXPECT_EQ(poll_now(self->fd), POLLIN);
	precopy_read(self->fd, &self->blob, FIRST_COPY - 1);
	EXPECT_EQ(poll_now(self->fd), POLLIN);
	precopy_read(self->fd, &self->blob, 1);
	EXPECT_TRUE(stays_false(poll_now(self->fd)));

	poller_start(&poller, self->fd);
	source_write(&self->src, RUN_A, 512);
	EXPECT_EQ(poller_end(&poller), POLLIN);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), RUN_BYTES(1));
	EXPECT_EQ(poll_now(self->fd), 0);

	/* Memory that was never there before, and memory that is given back */
	poller_start(&poller, self->fd);
	source_write(&self->src, 100 * PAGE, PAGE);
	EXPECT_EQ(poller_end(&poller), POLLIN);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), RUN_BYTES(1));
	poller_start(&poller, self->fd);
	ASSERT_EQ(nvme_deallocate(nvme, 100 * PAGE / 512, PAGE / 512), 0);
	EXPECT_EQ(poller_end(&poller), POLLIN);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), HOLE_BYTES);
	EXPECT_EQ(poll_now(self->fd), 0);
}

TEST_F(precopy, poll_in_stop_copy_is_always_ready)
{
	struct poller poller;

	precopy_drain(self->fd, &self->blob);
	EXPECT_EQ(poll_now(self->fd), 0);
	poller_start(&poller, self->fd);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	EXPECT_EQ(poller_end(&poller), POLLIN);
	EXPECT_EQ(mig_read(self->fd, &self->blob, KIB(64)), 0);
	EXPECT_EQ(poll_now(self->fd), POLLIN);
	ASSERT_EQ(mig_set(self->dev, STOP, NULL), 0);
	EXPECT_EQ(poll_now(self->fd), POLLIN | POLLERR | POLLHUP);
}

TEST_F(precopy, p2p_holds_the_device_but_not_the_stream)
{
	struct nvme *nvme = &self->src.rig.nvme;
	struct nvme_queue *q = &nvme->io[1];
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE, RUN_B / 512, PAGE / 512);
	u16 cid;

	ASSERT_EQ(mig_set(self->dev, PRE_COPY_P2P, NULL), 0);
	fill_pattern(self->src.buf, PAGE, 5);
	memcpy(self->src.medium + RUN_B, self->src.buf, PAGE);
	nvme_set_prps(nvme, q, &cmd, self->src.buf, PAGE);
	cid = nvme_submit(nvme, q, &cmd);
	nvme_ring(nvme, q);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), FIRST_COPY);
	EXPECT_TRUE(stays_false(nvme_peek(q) || poll_now(self->fd)));
	ASSERT_EQ(mig_set(self->dev, PRE_COPY, NULL), 0);
	EXPECT_EQ(nvme_wait(nvme, q, cid, NULL), 0);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), RUN_BYTES(1));
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	EXPECT_EQ(mig_read(self->fd, &self->blob, KIB(64)), 0);
	EXPECT_TRUE(source_lands_right(&self->src, &self->blob));
}

/* What no destination can take fails on the first record, and the source never knows */
TEST_F(precopy, misfit_is_refused_by_the_identity_record)
{
	struct vfio_dev *dst = rig_second(&self->src.rig);
	struct vfmig_identity *id;
	struct blob spoilt = {};
	int fd;

	precopy_read(self->fd, &self->blob, IDENTITY_BYTES);
	blob_copy(&spoilt, &self->blob);
	id = (void *)(spoilt.data + sizeof(struct vfmig_record));
	id->memory_size *= 2;
	stream_seal((void *)spoilt.data);
	ASSERT_EQ(mig_set(dst, RESUMING, &fd), 0);
	EXPECT_EQ(mig_write(fd, spoilt.data, IDENTITY_BYTES - 1, PAGE), 0);
	EXPECT_EQ(mig_write(fd, spoilt.data + IDENTITY_BYTES - 1, 1, PAGE), -EINVAL);
	close(fd);
	ASSERT_EQ(vfio_reset(dst), 0);

	EXPECT_EQ(mig_get(self->dev), PRE_COPY);
	EXPECT_EQ(precopy_left(self->fd), FIRST_COPY - IDENTITY_BYTES);
	source_write(&self->src, RUN_A, PAGE);
	EXPECT_TRUE(source_reads_right(&self->src));
	/* And the same session goes on to a destination that fits, record by record */
	ASSERT_EQ(mig_set(dst, RESUMING, &fd), 0);
	EXPECT_EQ(mig_write(fd, self->blob.data, IDENTITY_BYTES, PAGE), 0);
	precopy_drain(self->fd, &self->blob);
	EXPECT_EQ(mig_write(fd, self->blob.data + IDENTITY_BYTES,
			    self->blob.len - IDENTITY_BYTES, PAGE), 0);
	blob_free(&spoilt);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	EXPECT_EQ(mig_read(self->fd, &spoilt, KIB(64)), 0);
	EXPECT_EQ(mig_write(fd, spoilt.data, spoilt.len, PAGE), 0);
	close(fd);
	ASSERT_EQ(mig_set(dst, STOP, NULL), 0);
	stream_medium(dst, self->src.buf, MEDIUM);
	EXPECT_EQ(memcmp(self->src.buf, self->src.medium, MEDIUM), 0);
	blob_free(&spoilt);
}

TEST_F(precopy, two_vfs_have_sessions_of_their_own)
{
	struct rig *rig = &self->src.rig;
	struct vfio_dev *dev = rig_second(rig);
	struct nvme other;
	struct blob blob = {};
	size_t pos = 0;
	u8 *data;
	int fd;

	nvme_init(&other, dev, &rig->mem);
	ASSERT_EQ(nvme_create_io(&other, 1, 16, -1), 0);
	nvme_deallocate_all(&other);
	data = arena_alloc(&rig->mem, 2 * PAGE);
	fill_pattern(data, 2 * PAGE, 7);
	nvme_write_bytes(&other, 5 * PAGE, data, 2 * PAGE);
	fd = precopy_begin(dev, PRE_COPY);

	/* In turns: what is written to and read of one changes nothing of the other */
	EXPECT_EQ(precopy_left(fd), IDENTITY_BYTES + RUN_BYTES(2));
	EXPECT_EQ(precopy_left(self->fd), FIRST_COPY);
	precopy_read(fd, &blob, IDENTITY_BYTES + 50);
	EXPECT_EQ(precopy_left(self->fd), FIRST_COPY);
	precopy_read(self->fd, &self->blob, FIRST_COPY);
	EXPECT_EQ(precopy_left(fd), RUN_BYTES(2) - 50);
	source_write(&self->src, RUN_B, PAGE);
	EXPECT_EQ(precopy_left(self->fd), RUN_BYTES(1));
	EXPECT_EQ(precopy_left(fd), RUN_BYTES(2) - 50);
	nvme_write_bytes(&other, 5 * PAGE, data, PAGE);
	EXPECT_EQ(precopy_left(fd), RUN_BYTES(2) - 50 + RUN_BYTES(1));
	EXPECT_EQ(precopy_left(self->fd), RUN_BYTES(1));

	/* One is given up, the other comes to its end */
	ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	EXPECT_EQ(precopy_try(self->fd), -ENODEV);
	ASSERT_EQ(mig_set(dev, STOP_COPY, NULL), 0);
	EXPECT_EQ(mig_read(fd, &blob, 999), 0);
	memset(self->src.medium, 0, MEDIUM);
	memcpy(self->src.medium + 5 * PAGE, data, 2 * PAGE);
	EXPECT_TRUE(source_copied_right(&self->src, &blob, &pos));
	close(fd);
	blob_free(&blob);
}

TEST_F(precopy, closed_fd_stops_no_arc)
{
	u64 left, size;

	precopy_read(self->fd, &self->blob, IDENTITY_BYTES + 1);
	ASSERT_EQ(mig_size(self->dev, &left), 0);
	close(self->fd);
	self->fd = -1;
	EXPECT_EQ(mig_get(self->dev), PRE_COPY);
	EXPECT_EQ(mig_set(self->dev, PRE_COPY_P2P, NULL), 0);
	EXPECT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	EXPECT_EQ(mig_size(self->dev, &size), 0);
	EXPECT_EQ(size, left);
	EXPECT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
	EXPECT_TRUE(source_reads_right(&self->src));
}

/* A reader that is held in the middle of a copy, by memory that is not there */
struct reader {
	pthread_t thread;
	int fd;
	struct gate gate;
	ssize_t n;
	int err;
};

static void *read_thread(void *arg)
{
	struct reader *reader = arg;

	reader->n = read(reader->fd, reader->gate.va, reader->gate.size);
	reader->err = errno;
	return NULL;
}

/* Held behind the first page; NULL, or why the test must be skipped */
static const char *reader_start(struct reader *reader, int fd)
{
	const char *why = gate_init(&reader->gate, 16 * PAGE, PAGE);

	if (why)
		return why;
	reader->fd = fd;
	must(!pthread_create(&reader->thread, NULL, read_thread, reader));
	must(gate_wait(&reader->gate));
	return NULL;
}

static void reader_let_go(struct reader *reader)
{
	gate_open(&reader->gate);
	pthread_join(reader->thread, NULL);
}

TEST_F(precopy, held_reader_holds_up_nobody)
{
	struct reader reader;
	const char *why = reader_start(&reader, self->fd);
	u64 size;

	if (why)
		SKIP(return, "%s", why);
	/* Neither the guest's I/O, on the very granule that is read, nor questions */
	source_write(&self->src, RUN_A, PAGE);
	EXPECT_TRUE(source_reads_right(&self->src));
	EXPECT_EQ(INFO(), 0);
	EXPECT_EQ(mig_size(self->dev, &size), 0);
	EXPECT_EQ(poll_now(self->fd), POLLIN);
	/* Nor states; another reader is told so, or waits as long as it likes */
	ASSERT_EQ(mig_set(self->dev, PRE_COPY_P2P, NULL), 0);
	ASSERT_EQ(fcntl(self->fd, F_SETFL, O_NONBLOCK), 0);
	EXPECT_EQ(precopy_try(self->fd), -EAGAIN);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	EXPECT_EQ(precopy_try(self->fd), -EAGAIN);
	reader_let_go(&reader);
	ASSERT_GT(reader.n, 0);
	blob_append(&self->blob, reader.gate.va, reader.n);
	gate_exit(&reader.gate);
	EXPECT_EQ(mig_read(self->fd, &self->blob, KIB(64)), 0);
	EXPECT_TRUE(source_lands_right(&self->src, &self->blob));
}

TEST_F(precopy, reset_and_abort_wait_for_no_reader)
{
	struct reader reader;
	const char *why;

	for (int i = 0; i < 3; i++) {
		why = reader_start(&reader, self->fd);
		if (why)
			SKIP(return, "%s", why);
		switch (i) {
		case 0:
			ASSERT_EQ(mig_set(self->dev, RUNNING, NULL), 0);
			break;
		case 1:
			ASSERT_EQ(vfio_reset(self->dev), 0);
			break;
		case 2:
			vfio_close(self->dev);
			break;
		}
		reader_let_go(&reader);
		gate_exit(&reader.gate);
		/* What it had, it had */
		EXPECT_GE(reader.n, PAGE);
		EXPECT_LT(reader.n, FIRST_COPY);
		EXPECT_EQ(precopy_try(self->fd), -ENODEV);
		close(self->fd);
		if (i < 2)
			self->fd = precopy_begin(self->dev, PRE_COPY);
	}
}

static void on_signal(int sig)
{
}

static void interrupt(pthread_t thread)
{
	struct sigaction action = { .sa_handler = on_signal };

	must(!sigaction(SIGUSR1, &action, NULL));
	must(!pthread_kill(thread, SIGUSR1));
}

TEST_F(precopy, signal_ends_a_long_read_early)
{
	struct reader reader;
	const char *why = reader_start(&reader, self->fd);

	if (why)
		SKIP(return, "%s", why);
	interrupt(reader.thread);
	reader_let_go(&reader);
	EXPECT_GE(reader.n, PAGE);
	EXPECT_LT(reader.n, FIRST_COPY);
	/* Nothing is lost by it */
	blob_append(&self->blob, reader.gate.va, reader.n);
	gate_exit(&reader.gate);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), FIRST_COPY - reader.n);
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	EXPECT_EQ(mig_read(self->fd, &self->blob, KIB(64)), 0);
	EXPECT_TRUE(source_lands_right(&self->src, &self->blob));
}

TEST_F(precopy, signal_interrupts_a_reader_that_waits_for_another)
{
	struct reader first, second = { .fd = self->fd };
	const char *why = reader_start(&first, self->fd);

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(gate_init(&second.gate, 2 * PAGE, PAGE), NULL);
	ASSERT_EQ(pthread_create(&second.thread, NULL, read_thread, &second), 0);
	sleep_ms(20);
	interrupt(second.thread);
	pthread_join(second.thread, NULL);
	EXPECT_EQ(second.n, -1);
	EXPECT_EQ(second.err, EINTR);
	reader_let_go(&first);
	EXPECT_EQ(first.n, FIRST_COPY);
	gate_exit(&first.gate);
	gate_exit(&second.gate);
}

TEST_HARNESS_MAIN
