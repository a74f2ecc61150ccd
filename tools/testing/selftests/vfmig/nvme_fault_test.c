// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of the disk on command (Documentation/faults.rst): I/O errors and commands that do not
 * complete, by LBA, and a fatal controller; also while the disk moves.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

#include "harness.h"

#define WRITE_FAULT	0x280
#define READ_ERROR	0x281

FIXTURE(disk)
{
	struct rig rig;
	struct nvme *nvme;
	struct nvme_queue *q;
	char bdf[BDF_SIZE];
	u8 *buf;
};

FIXTURE_SETUP(disk)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 2 }, IOMMU_TYPE1, 2);

	if (why)
		SKIP(return, "%s", why);
	bdf_copy(self->bdf, self->rig.dev[0].bdf);
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	self->q = &self->nvme->io[1];
	self->buf = arena_alloc(&self->rig.mem, 2 * PAGE);
}

FIXTURE_TEARDOWN(disk)
{
	if (!self->buf)
		return;
	file_write(vf_debugfs(self->bdf, "io_fault"), "none");
	rig_close(&self->rig);
}

static int set(const char *bdf, const char *text)
{
	return file_write(vf_debugfs(bdf, "io_fault"), text);
}

static bool is_set(const char *bdf, const char *text)
{
	char is[64];

	must(!file_read(vf_debugfs(bdf, "io_fault"), is, sizeof(is)));
	return !strcmp(is, text);
}

static int rw(struct nvme *nvme, u8 opcode, u64 slba)
{
	return nvme_rw(nvme, &nvme->io[1], opcode, slba, 8, NULL);
}

static int run(struct nvme *nvme, struct nvme_queue *q, u8 opcode, u64 slba, void *buf)
{
	return nvme_wait(nvme, q, nvme_start_rw(nvme, q, opcode, slba, buf), NULL);
}

TEST_F(disk, fails_by_lba)
{
	EXPECT_TRUE(is_set(self->bdf, "none"));
	ASSERT_EQ(set(self->bdf, "error 100 199\n"), 0);
	EXPECT_EQ(run(self->nvme, self->q, NVME_READ, 92, self->buf), 0);
	EXPECT_EQ(run(self->nvme, self->q, NVME_READ, 93, self->buf), READ_ERROR);
	EXPECT_EQ(run(self->nvme, self->q, NVME_READ, 150, self->buf), READ_ERROR);
	EXPECT_EQ(run(self->nvme, self->q, NVME_WRITE, 199, self->buf), WRITE_FAULT);
	EXPECT_EQ(run(self->nvme, self->q, NVME_WRITE, 200, self->buf), 0);
	EXPECT_EQ(rw(self->nvme, NVME_WRITE_ZEROES, 100), WRITE_FAULT);
	EXPECT_TRUE(is_set(self->bdf, "error 100 199 4"));

	/* It is the administrator's, and a reset of the guest does not end it */
	ASSERT_EQ(vfio_reset(&self->rig.dev[0]), 0);
	EXPECT_TRUE(is_set(self->bdf, "error 100 199 4"));
	ASSERT_EQ(set(self->bdf, "none"), 0);
	rig_start(&self->rig);
	EXPECT_EQ(run(self->nvme, self->q, NVME_READ, 150, self->buf), 0);
}

TEST_F(disk, hangs_by_lba)
{
	u16 cid;

	ASSERT_EQ(set(self->bdf, "hang 100 199"), 0);
	cid = nvme_start_rw(self->nvme, self->q, NVME_READ, 150, self->buf);
	EXPECT_TRUE(stays_false(nvme_peek(self->q)));
	/* Others pass it */
	EXPECT_EQ(run(self->nvme, self->q, NVME_READ, 0, self->buf + PAGE), 0);
	ASSERT_EQ(set(self->bdf, "none"), 0);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), 0);
}

/* A command that hangs is device state, and the fault is not */
TEST_F(disk, moves_with_a_command_that_hangs)
{
	u16 cid;

	ASSERT_EQ(set(self->bdf, "hang 100 199"), 0);
	cid = nvme_start_rw(self->nvme, self->q, NVME_READ, 150, self->buf);
	EXPECT_TRUE(stays_false(nvme_peek(self->q)));
	rig_move(&self->rig, RUNNING);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), 0);
}

TEST_F(disk, is_reset_with_a_command_that_hangs)
{
	ASSERT_EQ(set(self->bdf, "hang 0 0xffffffffffffffff"), 0);
	nvme_start_rw(self->nvme, self->q, NVME_READ, 150, self->buf);
	EXPECT_TRUE(stays_false(nvme_peek(self->q)));
	EXPECT_EQ(nvme_disable(self->nvme), 0);
	ASSERT_EQ(set(self->bdf, "none"), 0);
	ASSERT_EQ(vfio_reset(&self->rig.dev[0]), 0);
	rig_start(&self->rig);
	EXPECT_EQ(run(self->nvme, self->q, NVME_READ, 150, self->buf), 0);
}

TEST_F(disk, goes_fatal)
{
	const char *fatal = vf_debugfs(self->bdf, "fatal");
	struct vfio_dev *dev = &self->rig.dev[0];

	ASSERT_EQ(mig_set(dev, STOP, NULL), 0);
	EXPECT_EQ(file_write(fatal, "1"), -EBUSY);
	ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
	EXPECT_FALSE(bar_read32(dev, NVME_CSTS) & NVME_CSTS_CFS);
	EXPECT_EQ(file_write(fatal, "0"), -EINVAL);
	ASSERT_EQ(file_write(fatal, "1"), 0);
	EXPECT_TRUE(bar_read32(dev, NVME_CSTS) & NVME_CSTS_CFS);
	nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);
	EXPECT_TRUE(stays_false(nvme_peek(self->q)));

	/* The guest finds it so at the destination too */
	rig_move(&self->rig, RUNNING);
	EXPECT_TRUE(bar_read32(&self->rig.dev[1], NVME_CSTS) & NVME_CSTS_CFS);
	ASSERT_EQ(vfio_reset(&self->rig.dev[1]), 0);
	EXPECT_FALSE(bar_read32(&self->rig.dev[1], NVME_CSTS) & NVME_CSTS_CFS);
}

TEST_F(disk, refuses_nonsense)
{
	static const char * const bad[] = {
		"", "rock", "error", "error 1", "error 2 1", "error 1 2 3", "hang x 1", "hang 1 y",
		"none 1 2", "error 1 18446744073709551616", "error -1 5",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		char line[64];

		snprintf(line, sizeof(line), "%s\n", bad[i]);
		EXPECT_EQ(set(self->bdf, line), -EINVAL)
			TH_LOG("%s", bad[i]);
	}
	EXPECT_TRUE(is_set(self->bdf, "none"));
}

TEST_F(disk, has_files_that_fail_on_memory_of_nobody)
{
	int fd = open(vf_debugfs(self->bdf, "io_fault"), O_RDWR);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(write(fd, bad_address(), 5), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_TRUE(is_set(self->bdf, "none"));
	close(fd);
}

TEST_HARNESS_MAIN
