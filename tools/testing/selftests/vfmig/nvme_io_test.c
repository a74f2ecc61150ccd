// SPDX-License-Identifier: GPL-2.0-only
/*
 * I/O commands and the medium behind them, with both sizes of a block: data, bad
 * input, PRPs, and commands in flight when the rug is pulled.
 */
#include <errno.h>
#include <string.h>

#include "rig.h"

#include "harness.h"

#define MEDIUM		MIB(1)
#define ALL_NAMESPACES	0xffffffff

FIXTURE(io)
{
	struct rig rig;
	struct nvme *nvme;
	struct nvme_queue *q;
	u8 *buf;
	u32 lba;	/* bytes of a block */
};

FIXTURE_VARIANT(io)
{
	enum iommu_mode mode;
	unsigned int lba_size;
};

FIXTURE_VARIANT_ADD(io, lba_512)
{
	.mode = IOMMU_TYPE1,
	.lba_size = 512,
};

FIXTURE_VARIANT_ADD(io, lba_512_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.lba_size = 512,
};

FIXTURE_VARIANT_ADD(io, lba_4096)
{
	.mode = IOMMU_TYPE1,
	.lba_size = 4096,
};

FIXTURE_VARIANT_ADD(io, lba_4096_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.lba_size = 4096,
};

FIXTURE_SETUP(io)
{
	struct pf_vfs vfs = { .count = 2, .lba_size = variant->lba_size };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	self->q = &self->nvme->io[1];
	self->buf = arena_alloc(&self->rig.mem, MIB(2) + 4 * PAGE);
	self->lba = self->nvme->lba_size;
	ASSERT_EQ(self->lba, variant->lba_size);
}

FIXTURE_TEARDOWN(io)
{
	rig_close(&self->rig);
}

TEST_F(io, fused_and_sgl_commands_are_invalid)
{
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 0, 1);

	nvme_set_prps(self->nvme, self->q, &cmd, self->buf, self->lba);
	cmd.flags = 1;
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_INVALID_FIELD);
	cmd.flags = 1 << 6;
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_INVALID_FIELD);
	cmd.flags = 0;
	EXPECT_EQ(nvme_io(self->nvme, cmd), 0);
}

TEST_F(io, unwritten_blocks_read_as_zeroes)
{
	memset(self->buf, 0xee, MEDIUM);
	nvme_read_bytes(self->nvme, 0, self->buf, MEDIUM);
	EXPECT_TRUE(is_filled(self->buf, MEDIUM, 0));
	EXPECT_EQ(vf_media_allocated(self->rig.dev[0].bdf), 0);
}

TEST_F(io, whole_medium_keeps_what_is_written)
{
	fill_pattern(self->buf, MEDIUM, 1);
	nvme_write_bytes(self->nvme, 0, self->buf, MEDIUM);
	EXPECT_EQ(vf_media_allocated(self->rig.dev[0].bdf), MEDIUM);
	memset(self->buf, 0, MEDIUM);
	nvme_read_bytes(self->nvme, 0, self->buf, MEDIUM);
	EXPECT_TRUE(is_pattern(self->buf, MEDIUM, 1));
	/* A block in the middle, and its neighbours */
	fill_pattern(self->buf, self->lba, 2);
	nvme_write_bytes(self->nvme, 3 * self->lba, self->buf, self->lba);
	fill_pattern(self->buf, MEDIUM, 1);
	fill_pattern(self->buf + 3 * self->lba, self->lba, 2);
	nvme_read_bytes(self->nvme, 0, self->buf + MEDIUM, MEDIUM);
	EXPECT_EQ(memcmp(self->buf, self->buf + MEDIUM, MEDIUM), 0);
}

TEST_F(io, medium_is_thin)
{
	const char *bdf = self->rig.dev[0].bdf;

	memset(self->buf, 1, 4 * PAGE);
	nvme_write_bytes(self->nvme, 10 * PAGE, self->buf, self->lba);
	EXPECT_EQ(vf_media_allocated(bdf), PAGE);
	nvme_write_bytes(self->nvme, 10 * PAGE, self->buf, 4 * PAGE);
	EXPECT_EQ(vf_media_allocated(bdf), 4 * PAGE);
	/* Deallocating a part of a page frees nothing, all of it does */
	ASSERT_EQ(nvme_deallocate(self->nvme, 10 * PAGE / self->lba, 2 * PAGE / self->lba), 0);
	EXPECT_EQ(vf_media_allocated(bdf), 2 * PAGE);
	nvme_read_bytes(self->nvme, 10 * PAGE, self->buf, 4 * PAGE);
	EXPECT_TRUE(is_filled(self->buf, 2 * PAGE, 0));
	EXPECT_TRUE(is_filled(self->buf + 2 * PAGE, 2 * PAGE, 1));
}

TEST_F(io, deallocate_refuses_bad_input)
{
	struct nvme_cmd cmd = { .opcode = NVME_DSM, .nsid = 1, .cdw11 = 4, .prp1 = 0x9000 };

	EXPECT_EQ(nvme_deallocate(self->nvme, MEDIUM / self->lba, 1), NVME_LBA_OUT_OF_RANGE);
	EXPECT_EQ(nvme_deallocate(self->nvme, 0, MEDIUM / self->lba + 1), NVME_LBA_OUT_OF_RANGE);
	EXPECT_EQ(nvme_deallocate(self->nvme, ~0ULL, 2), NVME_LBA_OUT_OF_RANGE);
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_DATA_TRANSFER_ERROR);
	cmd.nsid = 2;
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_INVALID_NAMESPACE);
}

TEST_F(io, lba_out_of_range)
{
	static const u8 ops[] = { NVME_READ, NVME_WRITE, NVME_COMPARE, NVME_WRITE_ZEROES };
	u64 lbas = MEDIUM / self->lba;

	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
		EXPECT_EQ(nvme_rw(self->nvme, self->q, ops[i], lbas, 1, self->buf),
			  NVME_LBA_OUT_OF_RANGE);
		EXPECT_EQ(nvme_rw(self->nvme, self->q, ops[i], lbas - 1, 2, self->buf),
			  NVME_LBA_OUT_OF_RANGE);
		EXPECT_EQ(nvme_rw(self->nvme, self->q, ops[i], ~0ULL, 1, self->buf),
			  NVME_LBA_OUT_OF_RANGE);
		EXPECT_EQ(nvme_rw(self->nvme, self->q, ops[i], ~0ULL, 2, self->buf),
			  NVME_LBA_OUT_OF_RANGE);
	}
	EXPECT_EQ(nvme_rw(self->nvme, self->q, NVME_READ, lbas - 1, 1, self->buf), 0);
}

TEST_F(io, namespace_that_is_not_there)
{
	static const u8 ops[] = { NVME_READ, NVME_WRITE, NVME_COMPARE, NVME_WRITE_ZEROES };
	static const u32 nsids[] = { 0, 2, ALL_NAMESPACES };

	for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
		for (unsigned int n = 0; n < ARRAY_SIZE(nsids); n++) {
			struct nvme_cmd cmd = nvme_rw_cmd(ops[i], 0, 1);

			nvme_set_prps(self->nvme, self->q, &cmd, self->buf, self->lba);
			cmd.nsid = nsids[n];
			EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_INVALID_NAMESPACE)
				TH_LOG("opcode %#x nsid %#x", ops[i], nsids[n]);
		}
	}
	EXPECT_EQ(nvme_io(self->nvme, (struct nvme_cmd){ .opcode = NVME_FLUSH, .nsid = 2 }),
		  NVME_INVALID_NAMESPACE);
}

/* A guest can't change the format, so it is offered no other */
TEST_F(io, the_format_in_use_is_the_only_one)
{
	ASSERT_EQ(nvme_identify(self->nvme, 0, 1, self->buf), 0);
	EXPECT_EQ(self->buf[25], 0);			/* NLBAF: one */
	EXPECT_EQ(self->buf[26], 0);			/* FLBAS: number 0 */
	EXPECT_EQ(1U << self->buf[128 + 2], self->lba);	/* LBADS of LBAF0 */
	EXPECT_TRUE(is_filled(self->buf + 132, 63 * 4, 0));
}

TEST_F(io, transfer_over_the_limit)
{
	u32 blocks = self->nvme->max_transfer / self->lba;

	ASSERT_EQ(nvme_identify(self->nvme, 1, 0, self->buf), 0);
	if (!self->buf[77] || blocks >= 65536 || self->nvme->max_transfer >= MEDIUM)
		SKIP(return, "no limit that a test could pass");
	EXPECT_EQ(nvme_rw(self->nvme, self->q, NVME_READ, 0, blocks, self->buf), 0);
	EXPECT_EQ(nvme_rw(self->nvme, self->q, NVME_READ, 0, blocks + 1, self->buf),
		  NVME_INVALID_FIELD);
	EXPECT_EQ(nvme_rw(self->nvme, self->q, NVME_WRITE, 0, blocks + 1, self->buf),
		  NVME_INVALID_FIELD);
}

TEST_F(io, compare_tells_equal_from_different)
{
	fill_pattern(self->buf, 4 * PAGE, 1);
	nvme_write_bytes(self->nvme, 0, self->buf, 4 * PAGE);
	EXPECT_EQ(nvme_rw(self->nvme, self->q, NVME_COMPARE, 0, 4 * PAGE / self->lba, self->buf),
		  0);
	self->buf[4 * PAGE - 1] ^= 1;
	EXPECT_EQ(nvme_rw(self->nvme, self->q, NVME_COMPARE, 0, 4 * PAGE / self->lba, self->buf),
		  NVME_COMPARE_FAILURE);
	/* With what was never written */
	memset(self->buf, 0, PAGE);
	EXPECT_EQ(nvme_rw(self->nvme, self->q, NVME_COMPARE, 100 * PAGE / self->lba,
			  PAGE / self->lba, self->buf), 0);
	self->buf[0] = 1;
	EXPECT_EQ(nvme_rw(self->nvme, self->q, NVME_COMPARE, 100 * PAGE / self->lba,
			  PAGE / self->lba, self->buf), NVME_COMPARE_FAILURE);
}

TEST_F(io, write_zeroes_and_flush)
{
	memset(self->buf, 1, 4 * PAGE);
	nvme_write_bytes(self->nvme, 0, self->buf, 4 * PAGE);
	EXPECT_EQ(nvme_rw(self->nvme, self->q, NVME_WRITE_ZEROES, PAGE / self->lba,
			  2 * PAGE / self->lba, NULL), 0);
	nvme_read_bytes(self->nvme, 0, self->buf, 4 * PAGE);
	EXPECT_TRUE(is_filled(self->buf, PAGE, 1));
	EXPECT_TRUE(is_filled(self->buf + PAGE, 2 * PAGE, 0));
	EXPECT_TRUE(is_filled(self->buf + 3 * PAGE, PAGE, 1));
	if (self->lba < PAGE) {
		EXPECT_EQ(nvme_rw(self->nvme, self->q, NVME_WRITE_ZEROES, 1, 1, NULL), 0);
		nvme_read_bytes(self->nvme, 0, self->buf, PAGE);
		EXPECT_TRUE(is_filled(self->buf, self->lba, 1));
		EXPECT_TRUE(is_filled(self->buf + self->lba, self->lba, 0));
		EXPECT_TRUE(is_filled(self->buf + 2 * self->lba, PAGE - 2 * self->lba, 1));
	}
	EXPECT_EQ(nvme_io(self->nvme, (struct nvme_cmd){ .opcode = NVME_FLUSH, .nsid = 1 }), 0);
}

TEST_F(io, prp_lists_of_every_length)
{
	const size_t off = 0x204;

	for (unsigned int pages = 1; pages <= 20; pages++) {
		size_t len = pages * PAGE;
		u8 *src = self->buf + off, *dst = self->buf + MIB(1) + 0x7fc;

		fill_pattern(src, len, pages);
		memset(self->buf + MIB(1), 0xee, len + 2 * PAGE);
		ASSERT_EQ(nvme_rw(self->nvme, self->q, NVME_WRITE, 0, len / self->lba, src), 0);
		ASSERT_EQ(nvme_rw(self->nvme, self->q, NVME_READ, 0, len / self->lba, dst), 0);
		EXPECT_TRUE(is_pattern(dst, len, pages)) TH_LOG("%u pages", pages);
		EXPECT_TRUE(is_filled(dst - 0x7fc, 0x7fc, 0xee));
		EXPECT_TRUE(is_filled(dst + len, PAGE, 0xee));
	}
}

/* Pages of the medium end in the middle of the host's pages */
TEST_F(io, pages_of_medium_and_host_that_do_not_agree)
{
	u8 *src = self->buf + PAGE, *dst = self->buf + MIB(1) + PAGE;

	for (unsigned int lba = 1; lba < 8; lba++) {
		fill_pattern(src, 2 * PAGE, lba);
		memset(dst - PAGE, 0xee, 4 * PAGE);
		ASSERT_EQ(nvme_rw(self->nvme, self->q, NVME_WRITE, lba, 2 * PAGE / self->lba, src),
			  0);
		ASSERT_EQ(nvme_rw(self->nvme, self->q, NVME_READ, lba, 2 * PAGE / self->lba, dst),
			  0);
		EXPECT_TRUE(is_pattern(dst, 2 * PAGE, lba)) TH_LOG("LBA %u", lba);
		EXPECT_TRUE(is_filled(dst - PAGE, PAGE, 0xee));
		EXPECT_TRUE(is_filled(dst + 2 * PAGE, PAGE, 0xee));
	}
}

TEST_F(io, prp_list_goes_on_in_another_page)
{
	u8 *data = self->buf + 4 * PAGE;
	u64 *first = (u64 *)(self->buf + PAGE - 24), *second = (u64 *)(self->buf + PAGE);
	u64 iova = arena_iova(&self->rig.mem, data);
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE, 0, 8 * PAGE / self->lba);

	/* Two entries and a pointer, then five entries */
	fill_pattern(data, 8 * PAGE, 1);
	cmd.prp1 = iova;
	cmd.prp2 = arena_iova(&self->rig.mem, first);
	first[0] = iova + PAGE;
	first[1] = iova + 2 * PAGE;
	first[2] = arena_iova(&self->rig.mem, second);
	for (int i = 0; i < 5; i++)
		second[i] = iova + (3 + i) * PAGE;
	EXPECT_EQ(nvme_io(self->nvme, cmd), 0);
	memset(data, 0, 8 * PAGE);
	nvme_read_bytes(self->nvme, 0, data, 8 * PAGE);
	EXPECT_TRUE(is_pattern(data, 8 * PAGE, 1));
}

/* Data that end with the page of PRP1 need no PRP2, and it may hold anything */
TEST_F(io, second_prp_of_one_page_is_not_looked_at)
{
	u8 *data = self->buf + PAGE;
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE, 0, PAGE / self->lba);

	fill_pattern(data, PAGE, 1);
	cmd.prp1 = arena_iova(&self->rig.mem, data);
	cmd.prp2 = ~0ULL;
	EXPECT_EQ(nvme_io(self->nvme, cmd), 0);
	memset(data, 0, PAGE);
	nvme_read_bytes(self->nvme, 0, data, PAGE);
	EXPECT_TRUE(is_pattern(data, PAGE, 1));
}

TEST_F(io, bad_prps)
{
	u64 iova = arena_iova(&self->rig.mem, self->buf);
	u64 *list = (u64 *)(self->buf + PAGE);
	struct nvme_cmd cmd;

	cmd = nvme_rw_cmd(NVME_READ, 0, 4096 / self->lba);
	cmd.prp1 = iova + 2;			/* not on a dword */
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_PRP_OFFSET_INVALID);
	cmd = nvme_rw_cmd(NVME_READ, 0, 8192 / self->lba);
	cmd.prp1 = iova;
	cmd.prp2 = iova + PAGE + 512;		/* second entry with an offset */
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_PRP_OFFSET_INVALID);
	cmd = nvme_rw_cmd(NVME_READ, 0, 16384 / self->lba);
	cmd.prp1 = iova;
	cmd.prp2 = iova + PAGE;
	list[0] = iova + 2 * PAGE;
	list[1] = iova + 3 * PAGE + 4;		/* entry in a list with an offset */
	list[2] = iova + 4 * PAGE;
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_PRP_OFFSET_INVALID);
	list[1] = iova + 3 * PAGE;
	EXPECT_EQ(nvme_io(self->nvme, cmd), 0);
	cmd.prp2 += 4;				/* list that is not on a qword */
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_PRP_OFFSET_INVALID);
}

/* The last entry of a page is the address of the next one */
TEST_F(io, prp_list_that_goes_on_nowhere)
{
	u64 *list = (u64 *)(self->buf + PAGE - 16), iova;
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 0, 4 * PAGE / self->lba);
	u8 *data = self->buf + 4 * PAGE;

	memset(data, 0xee, 4 * PAGE);
	iova = arena_iova(&self->rig.mem, data);
	cmd.prp1 = iova;
	cmd.prp2 = arena_iova(&self->rig.mem, list);
	list[0] = iova + PAGE;
	list[1] = arena_iova(&self->rig.mem, self->buf) + PAGE + 8;
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_PRP_OFFSET_INVALID);
	list[1] = 0x6000;			/* unmapped */
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_DATA_TRANSFER_ERROR);
	EXPECT_TRUE(is_filled(data, 4 * PAGE, 0xee));

	cmd.prp2 = 0x6ff8;			/* an address where there is nothing */
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_DATA_TRANSFER_ERROR);
	EXPECT_TRUE(is_filled(data, 4 * PAGE, 0xee));
}

/* AWUPF is a block: an error must not leave half of one */
TEST_F(io, block_is_written_as_a_whole_or_not_at_all)
{
	u64 iova = arena_iova(&self->rig.mem, self->buf);
	const u32 n = 2 * PAGE / self->lba;
	struct nvme_cmd cmd;

	fill_pattern(self->buf, 2 * PAGE, 1);
	nvme_write_bytes(self->nvme, 0, self->buf, 2 * PAGE);
	fill_pattern(self->buf, 2 * PAGE, 2);
	/* The last block that is in memory begins in the first page and ends in the second */
	cmd = nvme_rw_cmd(NVME_WRITE, 0, PAGE / self->lba);
	cmd.prp1 = iova + self->lba / 2;
	cmd.prp2 = 0x6000;
	EXPECT_EQ(nvme_io(self->nvme, cmd), NVME_DATA_TRANSFER_ERROR);
	nvme_read_bytes(self->nvme, 0, self->buf + 2 * PAGE, 2 * PAGE);
	fill_pattern(self->buf, 2 * PAGE, 1);
	EXPECT_EQ(memcmp(self->buf + 3 * PAGE - self->lba, self->buf + PAGE - self->lba,
			 self->lba + PAGE), 0);
	/* Where both pages are there, all blocks are right */
	fill_pattern(self->buf, 3 * PAGE, 3);
	cmd = nvme_rw_cmd(NVME_WRITE, 0, n);
	nvme_set_prps(self->nvme, self->q, &cmd, self->buf + 4, 2 * PAGE);
	EXPECT_EQ(nvme_io(self->nvme, cmd), 0);
	nvme_read_bytes(self->nvme, 0, self->buf + 4 * PAGE, 2 * PAGE);
	EXPECT_EQ(memcmp(self->buf + 4 * PAGE, self->buf + 4, 2 * PAGE), 0);
}

TEST_F(io, queue_wraps_many_times)
{
	struct nvme_queue *q = &self->nvme->io[2];

	ASSERT_EQ(nvme_create_io(self->nvme, 2, 3, 2), 0);
	for (int i = 0; i < 50; i++) {
		fill_pattern(self->buf, self->lba, i);
		ASSERT_EQ(nvme_rw(self->nvme, q, NVME_WRITE, i, 1, self->buf), 0);
	}
	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(nvme_rw(self->nvme, q, NVME_READ, i, 1, self->buf), 0);
		EXPECT_TRUE(is_pattern(self->buf, self->lba, i));
	}
}

/* Start @n slow reads that the test then pulls the rug from under */
static void start_slow(struct rig *rig, unsigned int n, u8 *buf)
{
	must(!pf_attr_set(rig->pf, "io_latency_us", 100000));
	for (unsigned int i = 0; i < n; i++) {
		struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 0, 1);

		nvme_set_prps(&rig->nvme, &rig->nvme.io[1], &cmd, buf, rig->nvme.lba_size);
		nvme_submit(&rig->nvme, &rig->nvme.io[1], &cmd);
	}
	nvme_ring(&rig->nvme, &rig->nvme.io[1]);
	must(!pf_attr_set(rig->pf, "io_latency_us", 0));
}

/* The vCPU that rings executes a brief command, unless the worker has the controller just then */
TEST_F(io, brief_command_is_done_when_its_doorbell_was_written)
{
	const unsigned int commands = 100;
	unsigned int done = 0;

	for (unsigned int i = 0; i < commands; i++) {
		u64 iova = arena_iova(&self->rig.mem, self->buf);
		u16 cid = nvme_submit_read(self->nvme, self->q, 0, 1, iova);

		nvme_ring(self->nvme, self->q);
		done += nvme_peek(self->q);
		ASSERT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), 0);
	}
	EXPECT_GE(done, commands / 2);
}

/* More than the device takes at a time: those that wait in the queue do not take longer */
TEST_F_TIMEOUT(io, latency_counts_from_the_doorbell, 60)
{
	const unsigned int n = 900, slow_us = 3000000;
	struct nvme *nvme = self->nvme;
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 0, 1);
	struct nvme_queue *deep = &nvme->io[2];
	u16 last;

	ASSERT_EQ(nvme_create_io(nvme, 2, 1024, -1), 0);
	ASSERT_EQ(pf_attr_set(self->rig.pf, "io_latency_us", slow_us), 0);
	nvme_set_prps(nvme, deep, &cmd, self->buf, self->lba);
	for (unsigned int i = 0; i < n; i++)
		nvme_submit(nvme, deep, &cmd);
	nvme_ring(nvme, deep);
	sleep_ms(slow_us / 2000);
	last = nvme_submit(nvme, &nvme->io[1], &cmd);
	nvme_ring(nvme, &nvme->io[1]);
	EXPECT_EQ(nvme_peek(deep), 0);
	EXPECT_EQ(nvme_wait(nvme, &nvme->io[1], last, NULL), 0);
	nvme_reap(nvme, deep);
	EXPECT_EQ(deep->stashed, n);
}

TEST_F(io, controller_reset_drops_commands_in_flight)
{
	u8 *copy;

	start_slow(&self->rig, 30, self->buf);
	ASSERT_EQ(nvme_disable(self->nvme), 0);
	copy = malloc(self->rig.mem.used);
	ASSERT_NE(copy, NULL);
	memcpy(copy, self->rig.mem.va, self->rig.mem.used);
	sleep_ms(150);
	EXPECT_EQ(memcmp(copy, self->rig.mem.va, self->rig.mem.used), 0);
	free(copy);
	nvme_restart(self->nvme);
	ASSERT_EQ(nvme_create_io(self->nvme, 1, 16, 1), 0);
	EXPECT_EQ(nvme_io(self->nvme, (struct nvme_cmd){ .opcode = NVME_FLUSH, .nsid = 1 }), 0);
}

TEST_F(io, shutdown_with_commands_in_flight)
{
	struct vfio_dev *dev = &self->rig.dev[0];

	start_slow(&self->rig, 30, self->buf);
	bar_write32(dev, NVME_CC, bar_read32(dev, NVME_CC) | NVME_CC_SHN);
	EXPECT_TRUE(wait_until((bar_read32(dev, NVME_CSTS) & NVME_CSTS_SHST_MASK) ==
			       NVME_CSTS_SHST_DONE));
	nvme_restart(self->nvme);
}

TEST_F(io, deleted_queue_gives_its_commands_back)
{
	unsigned int n;
	u16 first = self->nvme->next_cid;

	start_slow(&self->rig, 10, self->buf);
	ASSERT_EQ(nvme_delete_sq(self->nvme, 1), 0);
	/* Whatever was fetched has completed, aborted or not; the queue is quiet now */
	nvme_reap(self->nvme, self->q);
	n = self->q->stashed;
	for (unsigned int i = 0; i < n; i++) {
		u16 status = self->q->stash[i].status >> 1 & 0x7ff;

		EXPECT_TRUE(status == 0 || status == NVME_ABORT_SQ_DELETED)
			TH_LOG("status %#x", status);
		EXPECT_LT((u16)(self->q->stash[i].cid - first), 10);
	}
	sleep_ms(150);
	EXPECT_EQ(nvme_peek(self->q), 0);
	EXPECT_EQ(nvme_delete_cq(self->nvme, 1), 0);
}

TEST_HARNESS_MAIN
