// SPDX-License-Identifier: GPL-2.0-only
/*
 * What goes through the data fds of a device that is not NVMe: a state of many pieces, before
 * the stop too, memory without pages, and what becomes of an operation that fails.  The PF
 * driver is that of the module vfmig_test_border.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "border_memory.h"
#include "precopy.h"

#define SIZE	MIB(20)

TEST_F(border_memory, large_state_moves_in_pieces)
{
	u64 size, unread;
	int fd;

	border_tell(0, "state", "size=%lu", SIZE + 1);
	ASSERT_EQ(mig_set(self->src, STOP, NULL), 0);
	ASSERT_EQ(mig_size(self->src, &size), 0);
	EXPECT_EQ(size, border_identity_bytes() + border_state_bytes(SIZE + 1) + END_BYTES);
	ASSERT_EQ(mig_set(self->src, STOP_COPY, &fd), 0);
	precopy_read(fd, &self->blob, 12345);
	ASSERT_EQ(mig_size(self->src, &unread), 0);
	EXPECT_EQ(unread, size - 12345);
	ASSERT_EQ(mig_read(fd, &self->blob, 1000003), 0);
	EXPECT_EQ(self->blob.len, size);
	EXPECT_EQ(border_calls(0, "handed_over"), 1);
	close(fd);
	ASSERT_EQ(border_load(self->dst, &self->blob, 777777), 0);
	EXPECT_EQ(border_loaded(1), SIZE + 1);
}

TEST_F(border_memory, bytes_one_by_one_are_as_good)
{
	int fd;

	border_tell(0, "state", "size=3000 early=1000 piece=700");
	fd = precopy_begin(self->src, PRE_COPY);
	EXPECT_EQ(mig_read(fd, &self->blob, 1), -ENOMSG);
	border_tell(0, "state", "dirty=500");
	ASSERT_EQ(mig_set(self->src, STOP_COPY, NULL), 0);
	EXPECT_EQ(mig_read(fd, &self->blob, 1), 0);
	close(fd);
	ASSERT_EQ(border_load(self->dst, &self->blob, 1), 0);
	EXPECT_EQ(border_loaded(1), 3500);
}

#define EXPECT_INFO(fd, want_initial, want_dirty) do { \
	u64 _initial, _dirty; \
	EXPECT_EQ(precopy_info(fd, &_initial, &_dirty), 0); \
	EXPECT_EQ(_initial, want_initial); \
	EXPECT_EQ(_dirty, want_dirty); \
} while (0)

TEST_F(border_memory, state_is_read_while_the_device_runs)
{
	u64 initial = border_state_bytes(MIB(12)), size;
	int fd;

	border_tell(0, "state", "size=%lu early=%lu", SIZE, MIB(12));
	fd = precopy_begin(self->src, PRE_COPY);
	EXPECT_INFO(fd, border_identity_bytes() + initial, 0);
	border_tell(0, "state", "dirty=%lu", MIB(3) + 5);
	EXPECT_INFO(fd, border_identity_bytes() + initial, border_state_bytes(MIB(3) + 5));
	precopy_read(fd, &self->blob, border_identity_bytes() + 10);
	EXPECT_INFO(fd, initial - 10, border_state_bytes(MIB(3) + 5));
	precopy_read(fd, &self->blob, initial);
	EXPECT_INFO(fd, 0, border_state_bytes(MIB(3) + 5) - 10);
	precopy_drain(fd, &self->blob);
	EXPECT_INFO(fd, 0, 0);
	border_tell(0, "state", "dirty=%lu", MIB(1));
	ASSERT_EQ(mig_size(self->src, &size), 0);
	EXPECT_EQ(size, border_state_bytes(MIB(1)) + border_state_bytes(SIZE - MIB(12)) +
		  END_BYTES);
	precopy_read(fd, &self->blob, 100);

	ASSERT_EQ(mig_set(self->src, STOP_COPY, NULL), 0);
	ASSERT_EQ(mig_size(self->src, &size), 0);
	EXPECT_EQ(size, border_state_bytes(MIB(1)) + border_state_bytes(SIZE - MIB(12)) +
		  END_BYTES - 100);
	ASSERT_EQ(mig_read(fd, &self->blob, MIB(1)), 0);
	ASSERT_EQ(mig_size(self->src, &size), 0);
	EXPECT_EQ(size, 1);
	close(fd);
	ASSERT_EQ(border_load(self->dst, &self->blob, MIB(1)), 0);
	EXPECT_EQ(border_loaded(1), SIZE + MIB(4) + 5);
}

TEST_F(border_memory, new_initial_state_is_reported_once)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	bool v2 = !precopy_opt_in(self->src);
	int fd;

	border_tell(0, "state", "size=5000 early=3000");
	fd = precopy_begin(self->src, PRE_COPY);
	precopy_drain(fd, &self->blob);
	border_tell(0, "state", "dirty=%lu", MIB(1));
	precopy_read(fd, &self->blob, 100);
	border_tell(0, "state", "reinit=200000");
	border_tell(0, "state", "dirty=40");
	ASSERT_EQ(ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
	/* What is left of the record under way comes first */
	if (v2) {
		EXPECT_EQ(info.flags, VFIO_PRECOPY_INFO_REINIT);
		EXPECT_EQ(info.initial_bytes, border_state_bytes(KIB(64)) - 100 +
			  border_state_bytes(200000));
		EXPECT_EQ(info.dirty_bytes, border_state_bytes(40));
		ASSERT_EQ(ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, &info), 0);
		EXPECT_EQ(info.flags, 0);
	} else {
		EXPECT_EQ(info.initial_bytes, 0);
		EXPECT_EQ(info.dirty_bytes, border_state_bytes(KIB(64)) - 100 +
			  border_state_bytes(200000) + border_state_bytes(40));
	}
	precopy_drain(fd, &self->blob);
	EXPECT_INFO(fd, 0, 0);
	close(fd);
}

/* The numbers of a device may be estimates: it says 0 where there is no more */
TEST_F(border_memory, reader_does_not_hang_on_an_estimate)
{
	struct pollfd pfd = { .events = POLLIN };

	border_tell(0, "state", "size=5000 early=3000 claim=10000");
	pfd.fd = precopy_begin(self->src, PRE_COPY);
	EXPECT_EQ(mig_read(pfd.fd, &self->blob, 1000), -ENOMSG);
	EXPECT_EQ(poll(&pfd, 1, QUIET_MS), 0);
	EXPECT_EQ(mig_read(pfd.fd, &self->blob, 1000), -ENOMSG);
	border_tell(0, "state", "dirty=1000");
	EXPECT_EQ(poll(&pfd, 1, WAIT_MS), 1);
	EXPECT_EQ(mig_read(pfd.fd, &self->blob, 1000), -ENOMSG);
	EXPECT_EQ(poll(&pfd, 1, QUIET_MS), 0);
	ASSERT_EQ(mig_set(self->src, STOP_COPY, NULL), 0);
	EXPECT_EQ(poll(&pfd, 1, WAIT_MS), 1);
	EXPECT_EQ(mig_read(pfd.fd, &self->blob, 1000), 0);
	close(pfd.fd);
	ASSERT_EQ(border_load(self->dst, &self->blob, 1000), 0);
	EXPECT_EQ(border_loaded(1), 6000);
}

TEST_F(border_memory, memory_moves)
{
	if (!variant->page)
		SKIP(return, "no memory");
	border_memory_fill(0, MIB(1) + KIB(200), 1);
	border_memory_fill(MIB(3), PAGE, 2);
	for (int crc = 0; crc < 2; crc++) {
		u64 size;
		int fd;

		mig_set_data_crc(crc);
		border_tell(1, "calls", "0");
		self->blob.len = 0;
		ASSERT_EQ(mig_set(self->src, STOP, NULL), 0);
		ASSERT_EQ(mig_size(self->src, &size), 0);
		ASSERT_EQ(mig_set(self->src, STOP_COPY, &fd), 0);
		ASSERT_EQ(mig_read(fd, &self->blob, 70000), 0);
		EXPECT_EQ(self->blob.len, size);
		close(fd);
		ASSERT_EQ(mig_set(self->src, STOP, NULL), 0);
		border_memory_fill(MIB(2), PAGE, 3 + crc);
		EXPECT_FALSE(border_memory_same());
		mig_save(self->src, &self->blob);
		ASSERT_EQ(border_load(self->dst, &self->blob, 50000), 0);
		EXPECT_TRUE(border_memory_same());
		EXPECT_NE(border_calls(1, variant->load), 0);
	}
}

TEST_F(border_memory, memory_is_read_while_the_device_runs)
{
	struct blob rest = {};
	int fd;

	if (!variant->page)
		SKIP(return, "no memory");
	border_memory_fill(0, MIB(1) + KIB(200), 1);
	fd = precopy_begin(self->src, PRE_COPY);
	precopy_drain(fd, &self->blob);
	EXPECT_INFO(fd, 0, 0);
	border_memory_fill(KIB(100), 3 * PAGE, 2);
	EXPECT_INFO(fd, 0, RUN_BYTES(3));
	precopy_drain(fd, &self->blob);
	border_memory_fill(MIB(2), 5 * PAGE, 3);
	ASSERT_EQ(mig_set(self->src, STOP_COPY, NULL), 0);
	ASSERT_EQ(mig_read(fd, &self->blob, MIB(1)), 0);
	close(fd);
	ASSERT_EQ(border_load(self->dst, &self->blob, MIB(1)), 0);
	EXPECT_TRUE(border_memory_same());
	blob_free(&rest);
}

/* A reader gets -ENOMSG only where INFO says 0.  If the memory was resized, it looks again. */
TEST_F(border_memory, resize_between_two_looks_hides_nothing)
{
	size_t before;
	int fd;

	if (!variant->page)
		SKIP(return, "no memory");
	border_memory_fill(0, PAGE, 1);
	fd = precopy_begin(self->src, PRE_COPY);
	precopy_drain(fd, &self->blob);
	border_memory_fill(KIB(100), 3 * PAGE, 2);
	before = self->blob.len;
	border_fail(0, "next", ENODATA, 1);
	EXPECT_INFO(fd, 0, RUN_BYTES(3));
	EXPECT_EQ(mig_read(fd, &self->blob, MIB(1)), -ENOMSG);
	EXPECT_EQ(self->blob.len - before, RUN_BYTES(3));
	EXPECT_INFO(fd, 0, 0);
	close(fd);
}

/*
 * The stream after errors is the right one.  @skip: which call of @op fails first.  A read() that
 * has got something returns that, and the error only if the next one fails too.
 */
static void read_through_error(struct __test_metadata *_metadata, struct vfio_dev *src,
			       const char *op, unsigned int skip, struct blob *blob)
{
	int err, fd, failed = 0;

	blob->len = 0;
	border_fail_later(0, op, EXDEV, 3, skip);
	must(!mig_set(src, STOP_COPY, &fd));
	while ((err = mig_read(fd, blob, 70000))) {
		EXPECT_EQ(err, -EXDEV);
		if (err != -EXDEV || ++failed > 3)
			break;
	}
	EXPECT_GE(failed, 2);
	close(fd);
	must(!mig_set(src, STOP, NULL));
}

TEST_F_TIMEOUT(border_memory, memory_that_was_not_read_is_read_again, 60)
{
	struct blob good = {};

	if (!variant->page)
		SKIP(return, "no memory");
	border_memory_fill(0, MIB(1) + KIB(200), 1);
	border_memory_fill(MIB(3), PAGE, 2);
	for (int crc = 0; crc < 2; crc++) {
		mig_set_data_crc(crc);
		mig_save(self->src, &good);
		for (unsigned int skip = 0; skip < 20; skip++) {
			read_through_error(_metadata, self->src, variant->page, skip, &self->blob);
			ASSERT_TRUE(blob_equal(&good, &self->blob))
				TH_LOG("crc %d, read %u: %zu bytes, not %zu", crc, skip,
				       self->blob.len, good.len);
		}
	}
	ASSERT_EQ(border_load(self->dst, &self->blob, MIB(1)), 0);
	EXPECT_TRUE(border_memory_same());
	blob_free(&good);
}

/* Nothing could be made of such a stream, and the destination would learn of it last */
TEST_F(border_memory, stream_without_a_state_has_no_end)
{
	int fd;

	border_tell(0, "state", "size=0");
	ASSERT_EQ(mig_set(self->src, STOP_COPY, &fd), 0);
	EXPECT_EQ(mig_read(fd, &self->blob, MIB(1)), -EIO);
	close(fd);
}

/* What is left is what INFO and MIG_DATA_SIZE say, after an error too */
TEST_F(border_memory, run_that_was_not_read_is_still_counted)
{
	u64 size, left;
	int fd;

	if (!variant->page)
		SKIP(return, "no memory");
	border_memory_fill(0, MIB(1) + KIB(200), 1);
	mig_set_data_crc(true);
	ASSERT_EQ(mig_set(self->src, STOP_COPY, &fd), 0);
	ASSERT_EQ(mig_size(self->src, &size), 0);
	precopy_read(fd, &self->blob, border_identity_bytes());
	border_fail_later(0, variant->page, EXDEV, 1, 5);
	EXPECT_EQ(precopy_try(fd), -EXDEV);
	ASSERT_EQ(mig_size(self->src, &left), 0);
	EXPECT_EQ(left, size - border_identity_bytes());
	EXPECT_EQ(mig_read(fd, &self->blob, 70000), 0);
	EXPECT_EQ(self->blob.len, size);
	close(fd);
}

TEST_F(border_memory, state_that_was_not_read_is_read_again)
{
	struct blob good = {};

	border_tell(0, "state", "size=200000");
	mig_save(self->src, &good);
	for (unsigned int skip = 0; skip < 4; skip++) {
		read_through_error(_metadata, self->src, "state_read", skip, &self->blob);
		EXPECT_TRUE(blob_equal(&good, &self->blob));
	}
	blob_free(&good);
}

TEST_F(border_memory, read_that_fails_for_good_leads_to_error)
{
	static const char * const ops[] = { "state_read", "next", "page", "read" };
	int fd;

	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
		if (i == 1 && !variant->page)
			break;
		if (i > 1 && strcmp(ops[i], variant->page))
			continue;
		border_memory_fill(0, PAGE, 1);
		border_fail(0, ops[i], ENOTRECOVERABLE, 1);
		ASSERT_EQ(mig_set(self->src, STOP_COPY, &fd), 0);
		EXPECT_EQ(mig_read(fd, &self->blob, MIB(1)), -ENOTRECOVERABLE);
		EXPECT_EQ(mig_get(self->src), ERROR) TH_LOG("%s", ops[i]);
		EXPECT_EQ(mig_read(fd, &self->blob, MIB(1)), -ENODEV);
		close(fd);
		ASSERT_EQ(vfio_reset(self->src), 0);
	}
}

TEST_F(border_memory, write_that_fails_refuses_the_stream)
{
	static const char * const ops[] = { "load_state", "load_commit", "load_page", "load_data" };
	int fd;

	border_memory_fill(0, PAGE, 1);
	mig_save(self->src, &self->blob);
	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
		if (i > 1 && (!variant->load || strcmp(ops[i], variant->load)))
			continue;
		for (int final = 0; final < 2; final++) {
			int err = final ? ENOTRECOVERABLE : EXDEV;

			border_fail(1, ops[i], err, 1);
			ASSERT_EQ(mig_set(self->dst, RESUMING, &fd), 0);
			EXPECT_EQ(mig_write(fd, self->blob.data, self->blob.len, MIB(1)), -err)
				TH_LOG("%s", ops[i]);
			EXPECT_EQ(mig_get(self->dst), final ? ERROR : RESUMING)
				TH_LOG("%s", ops[i]);
			EXPECT_EQ(mig_write(fd, self->blob.data, 1, 1), final ? -ENODEV : -EINVAL);
			EXPECT_EQ(mig_set(self->dst, STOP, NULL), final ? -EIO : -EINVAL);
			close(fd);
			ASSERT_EQ(vfio_reset(self->dst), 0);
		}
	}
	border_fail(1, "identity_check", EINVAL, 1);
	EXPECT_EQ(border_load(self->dst, &self->blob, MIB(1)), -EINVAL);
	ASSERT_EQ(vfio_reset(self->dst), 0);
	EXPECT_EQ(border_load(self->dst, &self->blob, MIB(1)), 0);
}

TEST_F(border_memory, query_that_fails_fails_alone)
{
	u64 size, initial, dirty;
	int fd;

	fd = precopy_begin(self->src, PRE_COPY);
	border_fail(0, "state_pending", EXDEV, 2);
	EXPECT_EQ(mig_size(self->src, &size), -EXDEV);
	EXPECT_EQ(precopy_info(fd, &initial, &dirty), -EXDEV);
	EXPECT_EQ(mig_size(self->src, &size), 0);
	EXPECT_EQ(precopy_info(fd, &initial, &dirty), 0);
	EXPECT_EQ(mig_get(self->src), PRE_COPY);
	close(fd);
}

TEST_F(border_memory, query_of_memory_that_fails_fails_alone)
{
	u64 size, initial, dirty;
	int fd;

	if (!variant->page)
		SKIP(return, "no memory");
	border_fail(0, "allocated", EXDEV, 1);
	EXPECT_EQ(mig_size(self->src, &size), -EXDEV);
	EXPECT_EQ(mig_size(self->src, &size), 0);
	fd = precopy_begin(self->src, PRE_COPY);
	border_fail(0, "pending", EXDEV, 1);
	EXPECT_EQ(precopy_info(fd, &initial, &dirty), -EXDEV);
	EXPECT_EQ(precopy_info(fd, &initial, &dirty), 0);
	EXPECT_EQ(mig_get(self->src), PRE_COPY);
	/* The whole stream comes all the same */
	ASSERT_EQ(mig_set(self->src, STOP_COPY, NULL), 0);
	ASSERT_EQ(mig_read(fd, &self->blob, 4096), 0);
	EXPECT_EQ(border_load(self->dst, &self->blob, MIB(1)), 0);
	close(fd);
}

/* Dirty memory must not keep a reader from the rest of what is initial */
TEST_F(border_memory, initial_state_comes_before_dirty_memory)
{
	u64 initial, dirty;
	int fd;

	if (!variant->page)
		SKIP(return, "no memory");
	border_tell(0, "state", "size=5000 early=3000");
	fd = precopy_begin(self->src, PRE_COPY);
	ASSERT_EQ(precopy_info(fd, &initial, &dirty), 0);
	border_memory_fill(MIB(2), 5 * PAGE, 3);
	precopy_read(fd, &self->blob, initial);
	EXPECT_INFO(fd, 0, RUN_BYTES(5));
	close(fd);
}

TEST_HARNESS_MAIN
