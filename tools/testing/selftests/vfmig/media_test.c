// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an administrator says of media: erase one, erase it when its user is gone, and how
 * much memory all of them may have.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

#include "harness.h"

#define MEDIUM		MIB(4)

enum { NEVER, MOVED, ON_CLOSE };

FIXTURE(media)
{
	struct rig rig;
	u8 *buf;
	u64 limit;
};

FIXTURE_VARIANT(media)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(media, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(media, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(media)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = MEDIUM / MIB(1) };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);
	char bdf[BDF_SIZE];

	if (why)
		SKIP(return, "%s", why);
	self->limit = media_limit();
	for (unsigned int i = 0; i < vfs.count; i++) {
		must(pf_vf(self->rig.pf, i, bdf));
		must(!vf_erase(bdf));
	}
	rig_start(&self->rig);
	self->buf = arena_alloc(&self->rig.mem, MIB(1));
}

FIXTURE_TEARDOWN(media)
{
	media_limit_set(self->limit);
	rig_close(&self->rig);
}

static void fill(struct rig *rig, u8 *buf)
{
	fill_pattern(buf, 8 * PAGE, 1);
	nvme_write_bytes(&rig->nvme, MIB(1) + 3 * PAGE, buf, 8 * PAGE);
}

static bool is_full(struct rig *rig, u8 *buf)
{
	nvme_read_bytes(&rig->nvme, MIB(1) + 3 * PAGE, buf, 8 * PAGE);
	return is_pattern(buf, 8 * PAGE, 1);
}

static bool is_empty(struct rig *rig, u8 *buf)
{
	for (u64 at = 0; at < MEDIUM; at += MIB(1)) {
		memset(buf, 0xff, MIB(1));
		nvme_read_bytes(&rig->nvme, at, buf, MIB(1));
		if (!is_filled(buf, MIB(1), 0))
			return false;
	}
	return !file_u64(vf_debugfs(rig->dev[0].bdf, "media_allocated"), 1);
}

static int erase(struct rig *rig, const char *value)
{
	return file_write(vf_debugfs(rig->dev[0].bdf, "erase"), value);
}

static void start_driver(struct rig *rig)
{
	memset(&rig->nvme, 0, sizeof(rig->nvme));
	nvme_init(&rig->nvme, &rig->dev[0], &rig->mem);
	must(!nvme_create_io(&rig->nvme, 1, 64, 1));
}

/* The user goes, and another one comes */
static void open_again(struct rig *rig)
{
	char bdf[BDF_SIZE];

	bdf_copy(bdf, rig->dev[0].bdf);
	rig_user_ends(rig, 0);
	rig_user_begins(rig, 0, bdf);
	start_driver(rig);
}

TEST_F(media, erase_leaves_nothing)
{
	fill(&self->rig, self->buf);
	ASSERT_TRUE(is_full(&self->rig, self->buf));
	EXPECT_EQ(erase(&self->rig, "0"), -EINVAL);
	EXPECT_EQ(erase(&self->rig, "2"), -EINVAL);
	EXPECT_TRUE(is_full(&self->rig, self->buf));
	EXPECT_EQ(erase(&self->rig, "1"), 0);
	EXPECT_TRUE(is_empty(&self->rig, self->buf));
}

/* The stream of a medium that is erased when all of it was read */
static void save_and_erase(struct __test_metadata *_metadata, struct rig *rig, struct blob *blob)
{
	int fd;

	ASSERT_EQ(mig_set(&rig->dev[0], PRE_COPY, &fd), 0);
	ASSERT_EQ(mig_read(fd, blob, KIB(32)), -ENOMSG);
	ASSERT_EQ(erase(rig, "1"), 0);
	ASSERT_EQ(mig_set(&rig->dev[0], STOP_COPY, NULL), 0);
	ASSERT_EQ(mig_read(fd, blob, KIB(32)), 0);
	close(fd);
}

TEST_F(media, erase_in_precopy_moves)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};

	rig_second(rig);
	fill(rig, self->buf);
	save_and_erase(_metadata, rig, &blob);
	rig_land(rig, &blob, RUNNING);
	nvme_read_bytes(&rig->nvme, MIB(1) + 3 * PAGE, self->buf, 8 * PAGE);
	EXPECT_TRUE(is_filled(self->buf, 8 * PAGE, 0));
	blob_free(&blob);
}

static void resize(struct rig *rig, const char *mb)
{
	for (unsigned int i = 0; i < 2; i++)
		must(!file_write(vf_debugfs(rig->dev[i].bdf, "media_mb"), mb));
}

/* The hole over all of it is too large to be loaded in one go */
TEST_F(media, erase_of_a_large_medium_moves)
{
	const u64 at[] = { 0, MIB(100) - PAGE, MIB(257) - PAGE };
	struct rig *rig = &self->rig;
	struct blob blob = {};

	rig_second(rig);
	resize(rig, "257");
	start_driver(rig);
	fill_pattern(self->buf, PAGE, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++)
		nvme_write_bytes(&rig->nvme, at[i], self->buf, PAGE);
	save_and_erase(_metadata, rig, &blob);
	rig_land(rig, &blob, RUNNING);
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		nvme_read_bytes(&rig->nvme, at[i], self->buf, PAGE);
		EXPECT_TRUE(is_filled(self->buf, PAGE, 0));
	}
	/* A stopped source can't be resized */
	ASSERT_EQ(vfio_reset(&rig->dev[0]), 0);
	resize(rig, "4");
	blob_free(&blob);
}

TEST_F(media, stopped_medium_that_is_read_is_not_erased)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};
	int fd;

	fill(rig, self->buf);
	ASSERT_EQ(mig_set(&rig->dev[0], STOP_COPY, &fd), 0);
	EXPECT_EQ(erase(rig, "1"), -EBUSY);
	ASSERT_EQ(mig_read(fd, &blob, KIB(32)), 0);
	close(fd);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	EXPECT_TRUE(is_full(rig, self->buf));
	blob_free(&blob);
}

TEST_F(media, stays_or_is_erased_when_its_user_is_gone)
{
	struct rig *rig = &self->rig;

	EXPECT_EQ(pf_attr_set(rig->pf, "erase_on_close", ON_CLOSE + 1), -EINVAL);
	fill(rig, self->buf);
	open_again(rig);
	EXPECT_TRUE(is_full(rig, self->buf));

	ASSERT_EQ(pf_attr_set(rig->pf, "erase_on_close", ON_CLOSE), 0);
	EXPECT_EQ(file_u64(vf_debugfs(rig->dev[0].bdf, "erase_on_close"), 9), ON_CLOSE);
	ASSERT_EQ(vfio_reset(&rig->dev[0]), 0);
	start_driver(rig);
	EXPECT_TRUE(is_full(rig, self->buf));
	open_again(rig);
	EXPECT_TRUE(is_empty(rig, self->buf));
}

TEST_F(media, is_erased_when_it_moved_away)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};

	ASSERT_EQ(pf_attr_set(rig->pf, "erase_on_close", MOVED), 0);
	fill(rig, self->buf);
	open_again(rig);
	EXPECT_TRUE(is_full(rig, self->buf));

	/* The migration failed after all, and the guest goes on */
	mig_save(&rig->dev[0], &blob);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	open_again(rig);
	EXPECT_TRUE(is_full(rig, self->buf));

	/* A reset takes nothing; who uses the disk after it wants it */
	mig_save(&rig->dev[0], &blob);
	ASSERT_EQ(vfio_reset(&rig->dev[0]), 0);
	start_driver(rig);
	open_again(rig);
	EXPECT_TRUE(is_full(rig, self->buf));

	mig_save(&rig->dev[0], &blob);
	ASSERT_EQ(vfio_reset(&rig->dev[0]), 0);
	open_again(rig);
	EXPECT_TRUE(is_empty(rig, self->buf));

	fill(rig, self->buf);
	mig_save(&rig->dev[0], &blob);
	open_again(rig);
	EXPECT_TRUE(is_empty(rig, self->buf));
	blob_free(&blob);
}

/* Granules that could be written one after the other; @cqe is of the write that failed */
static unsigned int write_until_full(struct rig *rig, u8 *buf, struct nvme_cqe *cqe)
{
	struct nvme_queue *q = &rig->nvme.io[1];

	for (unsigned int i = 0; i < MEDIUM / PAGE; i++) {
		struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE, i * 8, 8);

		nvme_set_prps(&rig->nvme, q, &cmd, buf, PAGE);
		if (nvme_sync(&rig->nvme, q, &cmd, cqe))
			return i;
	}
	return MEDIUM / PAGE;
}

TEST_F(media, limit_is_met_with_capacity_exceeded)
{
	struct rig *rig = &self->rig;
	struct nvme_cqe cqe = {};

	media_limit_set(1);
	fill_pattern(self->buf, PAGE, 1);
	/* What there is for each MiB of the medium counts as a page */
	EXPECT_EQ(write_until_full(rig, self->buf, &cqe), MIB(1) / PAGE - 1);
	EXPECT_EQ(cqe.status & ~(NVME_CQE_MORE | 1), NVME_CAPACITY_EXCEEDED << 1 | NVME_CQE_DNR);
	/* What is there can be written; what is given back can be had again */
	EXPECT_EQ(nvme_rw(&rig->nvme, &rig->nvme.io[1], NVME_WRITE, 0, 8, self->buf), 0);
	nvme_deallocate_all(&rig->nvme);
	EXPECT_EQ(write_until_full(rig, self->buf, &cqe), MIB(1) / PAGE - 1);
	media_limit_set(2);
	EXPECT_EQ(write_until_full(rig, self->buf, &cqe), MIB(2) / PAGE - 2);
	/* Failed writes leave nothing behind that counts */
	nvme_deallocate_all(&rig->nvme);
	media_limit_set(1);
	EXPECT_EQ(write_until_full(rig, self->buf, &cqe), MIB(1) / PAGE - 1);
}

/* The limit has room for the medium once; its pages may be on their way back yet */
TEST_F(media, what_was_erased_does_not_count)
{
	struct nvme_cmd format = { .opcode = NVME_FORMAT_NVM, .nsid = 1 };
	struct rig *rig = &self->rig;

	media_limit_set(5);
	fill_pattern(self->buf, MIB(1), 1);
	for (unsigned int i = 0; i < 5; i++) {
		for (u64 at = 0; at < MEDIUM; at += MIB(1))
			nvme_write_bytes(&rig->nvme, at, self->buf, MIB(1));
		ASSERT_EQ(nvme_admin(&rig->nvme, format), 0);
	}
	ASSERT_TRUE(is_empty(rig, self->buf));
}

/* Write until the device refuses it; bytes that were written, all of the disk at most */
static u64 fill_up(struct rig *rig, u8 *buf, u64 size, struct nvme_cqe *cqe)
{
	const u32 step = KIB(512);
	struct nvme_queue *q = &rig->nvme.io[1];

	for (u64 at = 0; at < size; at += step) {
		struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE, at / 512, step / 512);

		nvme_set_prps(&rig->nvme, q, &cmd, buf, step);
		if (nvme_sync(&rig->nvme, q, &cmd, cqe))
			return at;
	}
	return size;
}

/*
 * A guest fills a disk that is larger than the machine's memory, with the limit as it is by
 * default.  The host keeps what it needs, and kills nobody.
 */
TEST_F_TIMEOUT(media, guest_that_fills_its_disk_leaves_the_host_its_memory, 240)
{
	u64 memory = file_number("/proc/meminfo", "MemTotal:") * 1024;
	u64 killed = file_number("/proc/vmstat", "oom_kill ");
	struct rig *rig = &self->rig;
	struct nvme_cqe cqe = {};
	char mb[16];
	u64 written;

	media_limit_set(0);
	if (file_number("/proc/meminfo", "MemAvailable:") * 1024 < memory * 5 / 8)
		SKIP(return, "half of the memory is not available as it is");
	snprintf(mb, sizeof(mb), "%llu", (memory + MIB(1)) / MIB(1));
	must(!file_write(vf_debugfs(rig->dev[0].bdf, "media_mb"), mb));
	written = fill_up(rig, self->buf, memory, &cqe);
	EXPECT_EQ(cqe.status & ~(NVME_CQE_MORE | 1), NVME_CAPACITY_EXCEEDED << 1 | NVME_CQE_DNR);
	EXPECT_LE(written, memory / 2);
	EXPECT_GT(written, memory * 3 / 8);
	EXPECT_EQ(file_number("/proc/vmstat", "oom_kill "), killed);
	must(!vf_erase(rig->dev[0].bdf));
	must(!file_write(vf_debugfs(rig->dev[0].bdf, "media_mb"), "4"));
}

TEST_F(media, load_beyond_the_limit_is_refused)
{
	struct rig *rig = &self->rig;
	struct vfio_dev *dst = rig_second(rig);
	struct blob blob = {};
	int fd;

	for (u64 at = 0; at < MIB(2); at += MIB(1)) {
		fill_pattern(self->buf, MIB(1), at + 1);
		nvme_write_bytes(&rig->nvme, at, self->buf, MIB(1));
	}
	mig_save(&rig->dev[0], &blob);
	media_limit_set(3);
	ASSERT_EQ(mig_set(dst, RESUMING, &fd), 0);
	EXPECT_EQ(mig_write(fd, blob.data, blob.len, KIB(32)), -ENOSPC);
	close(fd);
	ASSERT_EQ(vfio_reset(dst), 0);
	media_limit_set(5);
	EXPECT_EQ(mig_load(dst, &blob), 0);
	blob_free(&blob);
}

TEST_HARNESS_MAIN
