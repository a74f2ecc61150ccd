// SPDX-License-Identifier: GPL-2.0-only
/*
 * Format NVM and Sanitize as a guest's driver sees them: nothing is left on the
 * medium, the log page and the event tell of it, and bad input changes nothing.
 */
#include <string.h>

#include "rig.h"

#include "harness.h"

#define MEDIUM		MIB(4)
#define ALL_NAMESPACES	0xffffffff
#define LBA		512UL

#define LOG_SANITIZE	0x81

#define FORMAT_SES(n)	((n) << 9)
#define FORMAT_PI(n)	((n) << 5)
#define BLOCK_ERASE	2
#define CRYPTO_ERASE	4
#define NO_DEALLOCATE	0x200

#define INVALID_FORMAT		0x10a
#define SANITIZE_IN_PROGRESS	0x01d

/* Long enough for a test to do something before a command is done */
#define SLOW_US		1000000

FIXTURE(erase)
{
	struct rig rig;
	struct nvme *nvme;
	struct nvme_queue *q;
	u8 *buf;
};

FIXTURE_VARIANT(erase)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(erase, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(erase, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(erase)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = MEDIUM / MIB(1) };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	self->q = &self->nvme->io[1];
	self->buf = arena_alloc(&self->rig.mem, MIB(1));
}

FIXTURE_TEARDOWN(erase)
{
	rig_close(&self->rig);
}

static int format(struct nvme *nvme, u32 nsid, u32 how)
{
	return nvme_admin(nvme, (struct nvme_cmd){ .opcode = NVME_FORMAT_NVM, .nsid = nsid,
						   .cdw10 = how });
}

static int sanitize(struct nvme *nvme, u32 how)
{
	return nvme_admin(nvme, (struct nvme_cmd){ .opcode = NVME_SANITIZE, .cdw10 = how });
}

/* Something in three chunks of the medium */
static void fill(struct rig *rig, u8 *buf)
{
	for (u64 at = 0; at < 3 * MIB(1); at += MIB(1)) {
		fill_pattern(buf, 8 * PAGE, at + 1);
		nvme_write_bytes(&rig->nvme, at + 5 * PAGE, buf, 8 * PAGE);
	}
}

static bool is_full(struct rig *rig, u8 *buf)
{
	for (u64 at = 0; at < 3 * MIB(1); at += MIB(1)) {
		nvme_read_bytes(&rig->nvme, at + 5 * PAGE, buf, 8 * PAGE);
		if (!is_pattern(buf, 8 * PAGE, at + 1))
			return false;
	}
	return vf_media_allocated(rig->dev[0].bdf) == 3 * 8 * PAGE;
}

static bool is_empty(struct rig *rig, u8 *buf)
{
	u64 used;

	for (u64 at = 0; at < MEDIUM; at += MIB(1)) {
		memset(buf, 0xee, MIB(1));
		nvme_read_bytes(&rig->nvme, at, buf, MIB(1));
		if (!is_filled(buf, MIB(1), 0))
			return false;
	}
	must(!nvme_identify(&rig->nvme, 0, 1, buf));
	memcpy(&used, buf + 16, sizeof(used));
	return !used && !vf_media_allocated(rig->dev[0].bdf);
}

static u16 start_write(struct nvme *nvme, struct nvme_queue *q, void *buf)
{
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE, 0, PAGE / LBA);
	u16 cid;

	nvme_set_prps(nvme, q, &cmd, buf, PAGE);
	cid = nvme_submit(nvme, q, &cmd);
	nvme_ring(nvme, q);
	/* Commands are fetched in turns: another queue's answer says that it was */
	must(!nvme_identify(nvme, 1, 0, (u8 *)buf + PAGE));
	return cid;
}

TEST_F(erase, controller_says_what_it_can)
{
	u32 sanicap;

	ASSERT_EQ(nvme_identify(self->nvme, 1, 0, self->buf), 0);
	EXPECT_TRUE(self->buf[256] & 2);	/* OACS: Format NVM */
	EXPECT_EQ(self->buf[524], 4);		/* FNA: with cryptographic erase */
	memcpy(&sanicap, self->buf + 328, sizeof(sanicap));
	EXPECT_EQ(sanicap & 7, 3);		/* Crypto Erase and Block Erase */

	/* Linux quiesces I/O for what has CSE set */
	ASSERT_EQ(nvme_get_log(self->nvme, 5, self->buf, 4096), 0);
	EXPECT_EQ(((u32 *)self->buf)[NVME_FORMAT_NVM], 0x10003);
	EXPECT_EQ(((u32 *)self->buf)[NVME_SANITIZE], 0x20003);
}

TEST_F(erase, format_leaves_nothing)
{
	for (u32 ses = 0; ses <= 2; ses++) {
		u32 nsid = ses ? 1 : ALL_NAMESPACES;

		fill(&self->rig, self->buf);
		ASSERT_TRUE(is_full(&self->rig, self->buf));
		EXPECT_EQ(format(self->nvme, nsid, FORMAT_SES(ses)), 0) TH_LOG("SES %u", ses);
		EXPECT_TRUE(is_empty(&self->rig, self->buf)) TH_LOG("SES %u", ses);
	}
	/* The medium is as good as before, and so is an empty one */
	EXPECT_EQ(format(self->nvme, 1, 0), 0);
	fill(&self->rig, self->buf);
	EXPECT_TRUE(is_full(&self->rig, self->buf));
}

TEST_F(erase, format_refuses_bad_input)
{
	static const struct {
		u32 nsid;
		u32 how;
		int status;
	} bad[] = {
		{ 0, 0, NVME_INVALID_NAMESPACE },
		{ 2, 0, NVME_INVALID_NAMESPACE },
		{ 1, 1, INVALID_FORMAT },		/* a format that there is not */
		{ 1, 2, INVALID_FORMAT },
		{ 1, 15, INVALID_FORMAT },
		{ 1, FORMAT_PI(1), INVALID_FORMAT },
		{ 1, FORMAT_PI(3), INVALID_FORMAT },
		{ 1, FORMAT_PI(4), NVME_INVALID_FIELD },
		{ 1, FORMAT_SES(3), NVME_INVALID_FIELD },
		{ 1, FORMAT_SES(7), NVME_INVALID_FIELD },
	};

	fill(&self->rig, self->buf);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(format(self->nvme, bad[i].nsid, bad[i].how), bad[i].status)
			TH_LOG("namespace %#x, %#x", bad[i].nsid, bad[i].how);
	}
	EXPECT_TRUE(is_full(&self->rig, self->buf));
}

TEST_F(erase, format_fails_while_io_is_under_way)
{
	struct nvme_cmd cmd = { .opcode = NVME_FORMAT_NVM, .nsid = 1 };
	struct nvme_cqe cqe;
	u16 cid;

	fill_pattern(self->buf, PAGE, 1);
	must(!pf_attr_set(self->rig.pf, "io_latency_us", SLOW_US));
	cid = start_write(self->nvme, self->q, self->buf);
	EXPECT_EQ(nvme_sync(self->nvme, &self->nvme->admin, &cmd, &cqe), NVME_SEQUENCE_ERROR);
	/* It may be tried again */
	EXPECT_FALSE(cqe.status & NVME_CQE_DNR);
	must(!pf_attr_set(self->rig.pf, "io_latency_us", 0));
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), 0);
	EXPECT_EQ(vf_media_allocated(self->rig.dev[0].bdf), PAGE);
	EXPECT_EQ(nvme_admin(self->nvme, cmd), 0);
	EXPECT_TRUE(is_empty(&self->rig, self->buf));
}

TEST_F(erase, sanitize_leaves_nothing)
{
	static const u32 actions[] = { BLOCK_ERASE, CRYPTO_ERASE };

	for (unsigned int i = 0; i < ARRAY_SIZE(actions); i++) {
		fill(&self->rig, self->buf);
		EXPECT_EQ(sanitize(self->nvme, actions[i]), 0) TH_LOG("action %u", actions[i]);
		EXPECT_TRUE(is_empty(&self->rig, self->buf)) TH_LOG("action %u", actions[i]);
	}
}

TEST_F(erase, sanitize_refuses_bad_input)
{
	/* No action, Overwrite, reserved ones, blocks to stay allocated */
	static const u32 bad[] = { 0, 3, 5, 6, 7, BLOCK_ERASE | NO_DEALLOCATE };

	fill(&self->rig, self->buf);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(sanitize(self->nvme, bad[i]), NVME_INVALID_FIELD)
			TH_LOG("%#x", bad[i]);
	}
	/* Exit Failure Mode: there is none to leave */
	EXPECT_EQ(sanitize(self->nvme, 1), 0);
	EXPECT_TRUE(is_full(&self->rig, self->buf));
}

TEST_F(erase, sanitize_aborts_io_under_way)
{
	u16 cid;

	fill_pattern(self->buf, PAGE, 1);
	must(!pf_attr_set(self->rig.pf, "io_latency_us", SLOW_US));
	cid = start_write(self->nvme, self->q, self->buf);
	EXPECT_EQ(sanitize(self->nvme, BLOCK_ERASE), 0);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), SANITIZE_IN_PROGRESS);
	must(!pf_attr_set(self->rig.pf, "io_latency_us", 0));
	EXPECT_TRUE(is_empty(&self->rig, self->buf));
}

/* SSTAT and the dword 10 of the last Sanitize are these */
static bool log_says(struct nvme *nvme, u8 *buf, u16 status, u32 how)
{
	u16 progress, got_status;
	u32 got_how;

	must(!nvme_get_log(nvme, LOG_SANITIZE, buf, 512));
	memcpy(&progress, buf, sizeof(progress));
	memcpy(&got_status, buf + 2, sizeof(got_status));
	memcpy(&got_how, buf + 4, sizeof(got_how));
	if (got_status != status || got_how != how)
		note("SSTAT %#x, SCDW10 %#x", got_status, got_how);
	return progress == 0xffff && got_status == status && got_how == how;
}

TEST_F(erase, sanitize_status_log)
{
	struct nvme *nvme = self->nvme;

	fill(&self->rig, self->buf);
	ASSERT_EQ(sanitize(nvme, CRYPTO_ERASE), 0);
	EXPECT_TRUE(log_says(nvme, self->buf, 0x101, CRYPTO_ERASE));
	/* Bit 8: nothing was written since */
	nvme_read_bytes(nvme, 0, self->buf, PAGE);
	ASSERT_EQ(sanitize(nvme, 1), 0);
	EXPECT_TRUE(log_says(nvme, self->buf, 0x101, CRYPTO_ERASE));
	nvme_write_bytes(nvme, 0, self->buf, LBA);
	EXPECT_TRUE(log_says(nvme, self->buf, 0x001, CRYPTO_ERASE));
	/* Format NVM is no Sanitize, and a controller reset changes nothing */
	ASSERT_EQ(format(nvme, 1, 0), 0);
	EXPECT_TRUE(log_says(nvme, self->buf, 0x001, CRYPTO_ERASE));
	nvme_restart(nvme);
	EXPECT_TRUE(log_says(nvme, self->buf, 0x001, CRYPTO_ERASE));
	ASSERT_EQ(sanitize(nvme, BLOCK_ERASE), 0);
	EXPECT_TRUE(log_says(nvme, self->buf, 0x101, BLOCK_ERASE));
}

TEST_F(erase, sanitize_status_moves)
{
	ASSERT_EQ(sanitize(self->nvme, CRYPTO_ERASE), 0);
	rig_second(&self->rig);
	rig_move(&self->rig, RUNNING);
	EXPECT_TRUE(log_says(self->nvme, self->buf, 0x101, CRYPTO_ERASE));
}

TEST_F(erase, writes_since_the_last_sanitize_move)
{
	ASSERT_EQ(sanitize(self->nvme, CRYPTO_ERASE), 0);
	nvme_write_bytes(self->nvme, 0, self->buf, LBA);
	rig_second(&self->rig);
	rig_move(&self->rig, RUNNING);
	EXPECT_TRUE(log_says(self->nvme, self->buf, 0x001, CRYPTO_ERASE));
}

TEST_F(erase, sanitize_reports_an_event)
{
	struct nvme_cmd aer = { .opcode = NVME_AER };
	struct nvme_queue *q = &self->nvme->admin;
	struct nvme_cqe cqe;
	u16 cid;

	cid = nvme_submit(self->nvme, q, &aer);
	ASSERT_EQ(sanitize(self->nvme, BLOCK_ERASE), 0);
	ASSERT_EQ(nvme_wait(self->nvme, q, cid, &cqe), 0);
	/* I/O command specific status, Sanitize Operation Completed, log page */
	EXPECT_EQ(cqe.dw0, LOG_SANITIZE << 16 | 1 << 8 | 6);

	/* The next one waits for the log page to be read */
	cid = nvme_submit(self->nvme, q, &aer);
	ASSERT_EQ(sanitize(self->nvme, BLOCK_ERASE), 0);
	EXPECT_TRUE(stays_false((nvme_reap(self->nvme, q), q->stashed)));
	EXPECT_TRUE(log_says(self->nvme, self->buf, 0x101, BLOCK_ERASE));
	ASSERT_EQ(sanitize(self->nvme, BLOCK_ERASE), 0);
	EXPECT_EQ(nvme_wait(self->nvme, q, cid, &cqe), 0);
}

TEST_F(erase, pending_sanitize_event_moves)
{
	struct nvme_cmd aer = { .opcode = NVME_AER };
	struct nvme_queue *q = &self->nvme->admin;
	struct nvme_cqe cqe;
	u16 cid;

	/* Nobody asks for it yet */
	ASSERT_EQ(sanitize(self->nvme, BLOCK_ERASE), 0);
	rig_second(&self->rig);
	rig_move(&self->rig, RUNNING);
	cid = nvme_submit(self->nvme, q, &aer);
	nvme_ring(self->nvme, q);
	ASSERT_EQ(nvme_wait(self->nvme, q, cid, &cqe), 0);
	EXPECT_EQ(cqe.dw0, LOG_SANITIZE << 16 | 1 << 8 | 6);
}

TEST_HARNESS_MAIN
