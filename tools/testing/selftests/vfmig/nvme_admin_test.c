// SPDX-License-Identifier: GPL-2.0-only
/*
 * The controller as a guest's driver sees it: registers, queues, admin commands, and
 * the status that the NVMe specification has for each bad input.
 */
#include <errno.h>
#include <linux/vfmig.h>
#include <string.h>

#include "rig.h"

#include "harness.h"

#define MEDIUM		MIB(1)
#define ALL_NAMESPACES	0xffffffff

FIXTURE(admin)
{
	struct rig rig;
	struct nvme *nvme;
	struct nvme_queue *q;
	u8 *buf;
	u32 lba;	/* bytes of a block */
};

FIXTURE_VARIANT(admin)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(admin, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(admin, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(admin)
{
	struct pf_vfs vfs = { .count = 2 };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	self->q = &self->nvme->io[1];
	self->buf = arena_alloc(&self->rig.mem, MIB(2));
	self->lba = self->nvme->lba_size;
}

FIXTURE_TEARDOWN(admin)
{
	rig_close(&self->rig);
}

static u32 get32(const u8 *p, size_t offset)
{
	u32 v;

	memcpy(&v, p + offset, sizeof(v));
	return v;
}

static u64 get64(const u8 *p, size_t offset)
{
	u64 v;

	memcpy(&v, p + offset, sizeof(v));
	return v;
}

TEST_F(admin, registers_are_sane)
{
	u64 cap = bar_read64(&self->rig.dev[0], NVME_CAP);

	EXPECT_GE((cap & 0xffff) + 1, 64);	/* MQES */
	EXPECT_TRUE(cap >> 16 & 1);		/* CQR */
	EXPECT_GT(cap >> 24 & 0xff, 0);		/* TO */
	EXPECT_TRUE(cap >> 37 & 1);		/* CSS: NVM */
	EXPECT_EQ(cap >> 48 & 0xf, 0);		/* MPSMIN: 4 KiB */
	EXPECT_GE(bar_read32(&self->rig.dev[0], NVME_VS), 0x10400);
	EXPECT_EQ(bar_read32(&self->rig.dev[0], 0x38), 0);	/* CMBLOC */
	EXPECT_EQ(bar_read32(&self->rig.dev[0], 0x3c), 0);	/* CMBSZ */
	/* Halves of a 64-bit register */
	EXPECT_EQ(bar_read32(&self->rig.dev[0], NVME_CAP), (u32)cap);
	EXPECT_EQ(bar_read32(&self->rig.dev[0], NVME_CAP + 4), cap >> 32);
	/* Read-only is read-only */
	bar_write32(&self->rig.dev[0], NVME_VS, 0);
	bar_write32(&self->rig.dev[0], NVME_CSTS, 0);
	EXPECT_GE(bar_read32(&self->rig.dev[0], NVME_VS), 0x10400);
	EXPECT_TRUE(bar_read32(&self->rig.dev[0], NVME_CSTS) & NVME_CSTS_RDY);
}

TEST_F(admin, controller_can_be_switched_off_and_on)
{
	struct vfio_dev *dev = &self->rig.dev[0];

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(nvme_disable(self->nvme), 0);
		EXPECT_EQ(bar_read32(dev, NVME_CSTS), 0);
		/* The admin queue's registers survive that */
		EXPECT_NE(bar_read32(dev, NVME_AQA), 0);
		ASSERT_EQ(nvme_enable(self->nvme), 0);
		EXPECT_EQ(nvme_delete_sq(self->nvme, 1), NVME_INVALID_QID);
	}
}

TEST_F(admin, shutdown_is_acknowledged)
{
	struct vfio_dev *dev = &self->rig.dev[0];

	fill_pattern(self->buf, self->lba, 1);
	nvme_write_bytes(self->nvme, 0, self->buf, self->lba);
	bar_write32(dev, NVME_CC, bar_read32(dev, NVME_CC) | NVME_CC_SHN);
	EXPECT_TRUE(wait_until((bar_read32(dev, NVME_CSTS) & NVME_CSTS_SHST_MASK) ==
			       NVME_CSTS_SHST_DONE));
	nvme_restart(self->nvme);
	EXPECT_EQ(bar_read32(dev, NVME_CSTS) & NVME_CSTS_SHST_MASK, 0);
	ASSERT_EQ(nvme_create_io(self->nvme, 1, 16, 1), 0);
	memset(self->buf, 0, self->lba);
	nvme_read_bytes(self->nvme, 0, self->buf, self->lba);
	EXPECT_TRUE(is_pattern(self->buf, self->lba, 1));
}

TEST_F(admin, admin_queue_that_is_not_there_is_fatal)
{
	struct vfio_dev *dev = &self->rig.dev[0];

	ASSERT_EQ(nvme_disable(self->nvme), 0);
	ASSERT_EQ(nvme_enable(self->nvme), 0);
	ASSERT_EQ(nvme_disable(self->nvme), 0);
	bar_write64(dev, NVME_ASQ, 0x7000);
	bar_write32(dev, NVME_CC, 4 << 20 | 6 << 16 | NVME_CC_EN);
	ASSERT_TRUE(wait_until(bar_read32(dev, NVME_CSTS) & (NVME_CSTS_RDY | NVME_CSTS_CFS)));
	nvme_doorbell(self->nvme, 0, false, 1);
	EXPECT_TRUE(wait_until(bar_read32(dev, NVME_CSTS) & NVME_CSTS_CFS));
	/* A controller reset is the way out */
	nvme_restart(self->nvme);
	EXPECT_FALSE(bar_read32(dev, NVME_CSTS) & NVME_CSTS_CFS);
}

TEST_F(admin, unsupported_configuration_is_not_ready)
{
	static const u32 bad_cc[] = {
		4 << 20 | 6 << 16 | 15 << 7 | NVME_CC_EN,	/* page size */
		4 << 20 | 6 << 16 | 7 << 11 | NVME_CC_EN,	/* arbitration */
		4 << 20 | 6 << 16 | 3 << 4 | NVME_CC_EN,	/* command set */
	};
	struct vfio_dev *dev = &self->rig.dev[0];

	for (unsigned int i = 0; i < ARRAY_SIZE(bad_cc); i++) {
		ASSERT_EQ(nvme_disable(self->nvme), 0);
		bar_write32(dev, NVME_CC, bad_cc[i]);
		EXPECT_TRUE(stays_false((bar_read32(dev, NVME_CSTS) &
					 (NVME_CSTS_RDY | NVME_CSTS_CFS)) == NVME_CSTS_RDY))
			TH_LOG("CC %#x", bad_cc[i]);
	}
	nvme_restart(self->nvme);
}

TEST_F(admin, admin_queues_that_make_no_sense_are_fatal)
{
	const u64 base = (arena_iova(&self->rig.mem, self->buf) + PAGE) & ~(2 * PAGE - 1);
	const struct {
		u32 aqa;
		u64 asq;
		u64 acq;
		unsigned int mps;
		bool ready;
	} queues[] = {
		{ 15 << 16, base, base + 4 * PAGE, 0, false },		/* one entry to submit */
		{ 15, base, base + 4 * PAGE, 0, false },		/* one to complete */
		{ 15 << 16 | 15, base + PAGE, base + 4 * PAGE, 1, false },
		{ 15 << 16 | 15, base, base + 3 * PAGE, 1, false },	/* not at a page of 8 KiB */
		{ 15 << 16 | 15, base, base + 4 * PAGE, 1, true },
		{ 1 << 16 | 1, base, base + 4 * PAGE, 0, true },
	};
	struct vfio_dev *dev = &self->rig.dev[0];

	for (unsigned int i = 0; i < ARRAY_SIZE(queues); i++) {
		u32 status;

		ASSERT_EQ(nvme_disable(self->nvme), 0);
		/* A controller that was not ready has its fatal status for a moment */
		ASSERT_TRUE(wait_until(!bar_read32(dev, NVME_CSTS)));
		bar_write32(dev, NVME_AQA, queues[i].aqa);
		bar_write64(dev, NVME_ASQ, queues[i].asq);
		bar_write64(dev, NVME_ACQ, queues[i].acq);
		bar_write32(dev, NVME_CC, 4 << 20 | 6 << 16 | queues[i].mps << 7 | NVME_CC_EN);
		EXPECT_TRUE(wait_until((status = bar_read32(dev, NVME_CSTS)) &
				       (NVME_CSTS_RDY | NVME_CSTS_CFS)));
		EXPECT_EQ(!(status & NVME_CSTS_CFS), queues[i].ready) TH_LOG("queues %u", i);
	}
	nvme_restart(self->nvme);
	EXPECT_EQ(bar_read32(dev, NVME_CSTS), NVME_CSTS_RDY);
}

TEST_F(admin, identify_controller)
{
	u8 *id = self->buf;
	char nqn[257] = {};

	ASSERT_EQ(nvme_identify(self->nvme, 1, 0, id), 0);
	EXPECT_EQ(get32(id, 0) & 0xffff, VFMIG_PCI_VENDOR_ID);
	for (int i = 4; i < 72; i++)	/* SN, MN, FR */
		EXPECT_TRUE(id[i] >= 0x20 && id[i] < 0x7f);
	EXPECT_GE(get32(id, 80), 0x10400);	/* VER */
	EXPECT_EQ(id[111], 1);			/* CNTRLTYPE: I/O */
	EXPECT_EQ(id[512], 0x66);		/* SQES */
	EXPECT_EQ(id[513], 0x44);		/* CQES */
	EXPECT_EQ(get32(id, 516), 1);		/* NN */
	EXPECT_EQ(id[520] & 0xd, 0xd);		/* ONCS: Compare, DSM, Write Zeroes */
	memcpy(nqn, id + 768, 256);
	EXPECT_EQ(strncmp(nqn, "nqn.", 4), 0);
}

TEST_F(admin, each_vf_is_somebody_else)
{
	struct nvme other;
	struct iommu iommu;
	struct vfio_dev dev;
	char bdf[BDF_SIZE];
	u8 *id = self->buf;

	ASSERT_EQ(nvme_identify(self->nvme, 1, 0, id), 0);
	ASSERT_EQ(nvme_identify(self->nvme, 0, 1, id + PAGE), 0);
	ASSERT_TRUE(pf_vf(self->rig.pf, 1, bdf));
	ASSERT_EQ(iommu_init(&iommu, variant->mode), NULL);
	ASSERT_EQ(vfio_open(&dev, &iommu, bdf), 0);
	arena_map(&self->rig.mem, &iommu);
	nvme_init(&other, &dev, &self->rig.mem);
	ASSERT_EQ(nvme_identify(&other, 1, 0, id + 2 * PAGE), 0);
	ASSERT_EQ(nvme_identify(&other, 0, 1, id + 3 * PAGE), 0);
	EXPECT_NE(memcmp(id + 4, id + 2 * PAGE + 4, 20), 0);		/* SN */
	EXPECT_NE(memcmp(id + 768, id + 2 * PAGE + 768, 256), 0);	/* SUBNQN */
	EXPECT_NE(memcmp(id + PAGE + 104, id + 3 * PAGE + 104, 16), 0);	/* NGUID */
	EXPECT_NE(memcmp(id + PAGE + 120, id + 3 * PAGE + 120, 8), 0);	/* EUI64 */
	vfio_close(&dev);
	iommu_exit(&iommu);
}

/* Identify with CNS 06h, of the NVM command set */
TEST_F(admin, deallocations_have_limits_to_stay_within)
{
	struct nvme_cmd cmd = { .opcode = NVME_IDENTIFY, .cdw10 = 6 };

	cmd.prp1 = arena_iova(&self->rig.mem, self->buf);
	ASSERT_EQ(nvme_admin(self->nvme, cmd), 0);
	EXPECT_EQ(self->buf[3], 255);						/* DMRL */
	EXPECT_EQ(get32(self->buf, 4), (1U << 30) / self->lba);			/* DMRSL */
	EXPECT_EQ(get64(self->buf, 8), 255ULL * ((1U << 30) / self->lba));	/* DMSL */
}

TEST_F(admin, identify_namespace)
{
	u8 *id = self->buf, *list = self->buf + PAGE;
	bool nguid = false, eui = false;

	ASSERT_EQ(nvme_identify(self->nvme, 0, 1, id), 0);
	EXPECT_EQ(get64(id, 0), MEDIUM / self->lba);	/* NSZE */
	EXPECT_EQ(get64(id, 8), MEDIUM / self->lba);	/* NCAP */
	EXPECT_FALSE(is_filled(id + 104, 16, 0));
	EXPECT_FALSE(is_filled(id + 120, 8, 0));

	ASSERT_EQ(nvme_identify(self->nvme, 2, 0, list), 0);
	EXPECT_EQ(get32(list, 0), 1);
	EXPECT_EQ(get32(list, 4), 0);
	ASSERT_EQ(nvme_identify(self->nvme, 2, 1, list), 0);
	EXPECT_EQ(get32(list, 0), 0);

	/* Descriptors: the same identifiers */
	ASSERT_EQ(nvme_identify(self->nvme, 3, 1, list), 0);
	for (u8 *d = list; d < list + PAGE - 4 && d[0]; d += 4 + d[1]) {
		if (d[0] == 1)
			eui = !memcmp(d + 4, id + 120, 8);
		if (d[0] == 2)
			nguid = !memcmp(d + 4, id + 104, 16);
	}
	EXPECT_TRUE(nguid);
	EXPECT_TRUE(eui);
}

TEST_F(admin, identify_refuses_what_is_not_there)
{
	struct nvme_cmd unmapped = { .opcode = NVME_IDENTIFY, .cdw10 = 1, .prp1 = 0x6000 };

	EXPECT_EQ(nvme_identify(self->nvme, 0, 2, self->buf), NVME_INVALID_NAMESPACE);
	EXPECT_EQ(nvme_identify(self->nvme, 0, 0, self->buf), NVME_INVALID_NAMESPACE);
	EXPECT_EQ(nvme_identify(self->nvme, 3, 2, self->buf), NVME_INVALID_NAMESPACE);
	EXPECT_EQ(nvme_identify(self->nvme, 0x7f, 0, self->buf), NVME_INVALID_FIELD);
	EXPECT_EQ(nvme_admin(self->nvme, unmapped), NVME_DATA_TRANSFER_ERROR);
}

/* Structures and lists by CNS; @cdw11 has the command set in its highest byte */
static int identify_of(struct nvme *nvme, u32 cdw10, u32 nsid, u32 cdw11, u8 *buf)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_IDENTIFY, .nsid = nsid, .prp1 = arena_iova(nvme->mem, buf),
		.cdw10 = cdw10, .cdw11 = cdw11,
	};

	memset(buf, 0xee, PAGE);
	return nvme_admin(nvme, cmd);
}

#define IDENTIFY(cdw10, nsid, cdw11) identify_of(self->nvme, cdw10, nsid, cdw11, self->buf)

TEST_F(admin, identify_by_command_set)
{
	const u32 other_set = 1 << 24;

	ASSERT_EQ(IDENTIFY(5, 1, 0), 0);
	EXPECT_TRUE(is_filled(self->buf, PAGE, 0));
	EXPECT_EQ(IDENTIFY(5, 2, 0), NVME_INVALID_NAMESPACE);
	EXPECT_EQ(IDENTIFY(5, 1, other_set), NVME_INVALID_FIELD);
	EXPECT_EQ(IDENTIFY(6, 0, other_set), NVME_INVALID_FIELD);
	EXPECT_TRUE(is_filled(self->buf, PAGE, 0xee));
}

TEST_F(admin, identify_lists)
{
	u32 cntlid;

	/* Namespaces that are there, and their IDs that are greater than the one in the command */
	for (u32 cns = 0x02; cns <= 0x10; cns += 0x0e) {
		EXPECT_EQ(IDENTIFY(cns, ALL_NAMESPACES, 0), NVME_INVALID_NAMESPACE);
		EXPECT_EQ(IDENTIFY(cns, ALL_NAMESPACES - 1, 0), NVME_INVALID_NAMESPACE);
		EXPECT_EQ(IDENTIFY(cns, ALL_NAMESPACES - 2, 0), 0);
		EXPECT_TRUE(is_filled(self->buf, PAGE, 0));
	}

	/* Controllers, from an ID on */
	ASSERT_EQ(IDENTIFY(1, 0, 0), 0);
	cntlid = get32(self->buf, 78) & 0xffff;
	for (u32 cns = 0x12; cns <= 0x13; cns++) {
		ASSERT_EQ(IDENTIFY(cntlid << 16 | cns, 1, 0), 0);
		EXPECT_EQ(get32(self->buf, 0), cntlid << 16 | 1);
		EXPECT_TRUE(is_filled(self->buf + 4, PAGE - 4, 0));
		ASSERT_EQ(IDENTIFY((cntlid + 1) << 16 | cns, 1, 0), 0);
		EXPECT_TRUE(is_filled(self->buf, PAGE, 0));
	}
	EXPECT_EQ(IDENTIFY(0x12, 2, 0), NVME_INVALID_NAMESPACE);
}

TEST_F(admin, fused_and_sgl_commands_are_invalid)
{
	static const u8 flags[] = { 0x01, 0x02, 0x40, 0x80 };
	struct nvme_cmd cmd = { .opcode = NVME_IDENTIFY, .cdw10 = 1 };

	cmd.prp1 = arena_iova(&self->rig.mem, self->buf);
	memset(self->buf, 0xee, PAGE);
	for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
		cmd.flags = flags[i];
		EXPECT_EQ(nvme_admin(self->nvme, cmd), NVME_INVALID_FIELD)
			TH_LOG("flags %#x", flags[i]);
	}
	EXPECT_TRUE(is_filled(self->buf, PAGE, 0xee));
}

TEST_F(admin, unknown_opcodes)
{
	static const u8 admin_ops[] = { 0x03, 0x07, 0x7f, 0xff };
	static const u8 io_ops[] = { 0x03, 0x7f, 0x91, 0xff };

	for (unsigned int i = 0; i < ARRAY_SIZE(admin_ops); i++) {
		EXPECT_EQ(nvme_admin(self->nvme, (struct nvme_cmd){ .opcode = admin_ops[i] }),
			  NVME_INVALID_OPCODE) TH_LOG("%#x", admin_ops[i]);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(io_ops); i++) {
		EXPECT_EQ(nvme_io(self->nvme, (struct nvme_cmd){ .opcode = io_ops[i], .nsid = 1 }),
			  NVME_INVALID_OPCODE) TH_LOG("%#x", io_ops[i]);
	}
}

TEST_F(admin, features_keep_what_they_are_set_to)
{
	static const struct {
		u8 fid;
		u32 value;
	} features[] = {
		{ 0x01, 0x07030201 },	/* arbitration: weights and burst */
		{ 0x04, 0x0160 },	/* temperature threshold */
		{ 0x08, 0x0203 },	/* interrupt coalescing */
		{ 0x0b, 0x001f },	/* asynchronous events */
	};
	struct nvme_cmd recovery = {
		.opcode = NVME_SET_FEATURES, .nsid = 1, .cdw10 = 0x05, .cdw11 = 0x10,
	};
	u32 value;

	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		u8 fid = features[i].fid;

		EXPECT_EQ(nvme_set_feature(self->nvme, fid, features[i].value), 0)
			TH_LOG("feature %#x", fid);
		EXPECT_EQ(nvme_get_feature(self->nvme, fid, &value), 0);
		EXPECT_EQ(value, features[i].value) TH_LOG("feature %#x", fid);
	}

	/* Error recovery is that of a namespace */
	EXPECT_EQ(nvme_set_feature(self->nvme, 0x05, 0x10), NVME_INVALID_NAMESPACE);
	EXPECT_EQ(nvme_admin(self->nvme, recovery), 0);
}

TEST_F(admin, number_of_queues_is_negotiated_before_there_are_any)
{
	struct nvme_cqe cqe;
	struct nvme_cmd cmd = { .opcode = NVME_SET_FEATURES, .cdw10 = 7, .cdw11 = 0x00030003 };

	/* Queue 1 exists */
	EXPECT_EQ(nvme_admin(self->nvme, cmd), NVME_SEQUENCE_ERROR);
	ASSERT_EQ(nvme_disable(self->nvme), 0);
	ASSERT_EQ(nvme_enable(self->nvme), 0);
	cmd.cdw11 = 0xfffe;
	ASSERT_EQ(nvme_sync(self->nvme, &self->nvme->admin, &cmd, &cqe), 0);
	EXPECT_EQ(cqe.dw0 & 0xffff, 31);
	EXPECT_EQ(cqe.dw0 >> 16, 31);
	cmd.cdw11 = 0xffff;
	EXPECT_EQ(nvme_admin(self->nvme, cmd), NVME_INVALID_FIELD);
	cmd.cdw11 = 0xffff0000;
	EXPECT_EQ(nvme_admin(self->nvme, cmd), NVME_INVALID_FIELD);
}

TEST_F(admin, bad_features)
{
	struct nvme_cmd save = {
		.opcode = NVME_SET_FEATURES, .cdw10 = 0x80000000 | 0x04, .cdw11 = 0x150,
	};
	u32 value;

	EXPECT_EQ(nvme_get_feature(self->nvme, 0x00, &value), NVME_INVALID_FIELD);
	EXPECT_EQ(nvme_get_feature(self->nvme, 0x77, &value), NVME_INVALID_FIELD);
	EXPECT_EQ(nvme_set_feature(self->nvme, 0x00, 0), NVME_INVALID_FIELD);
	EXPECT_EQ(nvme_set_feature(self->nvme, 0x77, 0), NVME_INVALID_FIELD);
	EXPECT_EQ(nvme_set_feature(self->nvme, 0x02, 31), NVME_INVALID_FIELD);
	/* Save: not supported for this one */
	EXPECT_EQ(nvme_admin(self->nvme, save), NVME_FEATURE_NOT_SAVEABLE);
	/* Vector of the interrupt vector configuration */
	EXPECT_EQ(nvme_set_feature(self->nvme, 0x09, 200), NVME_INVALID_FIELD);
}

TEST_F(admin, completion_queues_refuse_bad_input)
{
	u64 iova = arena_iova(&self->rig.mem, self->buf);
	u32 mqes = (self->nvme->cap & 0xffff) + 1;
	struct nvme_cmd gap = {
		.opcode = NVME_CREATE_CQ, .prp1 = iova, .cdw10 = 15 << 16 | 2, .cdw11 = 2 | 2 << 16,
	};

	EXPECT_EQ(nvme_create_cq(self->nvme, 0, 16, 2, iova), NVME_INVALID_QID);
	EXPECT_EQ(nvme_create_cq(self->nvme, 1, 16, 2, iova), NVME_INVALID_QID);
	EXPECT_EQ(nvme_create_cq(self->nvme, 33, 16, 2, iova), NVME_INVALID_QID);
	EXPECT_EQ(nvme_create_cq(self->nvme, 0xffff, 16, 2, iova), NVME_INVALID_QID);
	EXPECT_EQ(nvme_create_cq(self->nvme, 2, 1, 2, iova), NVME_INVALID_QUEUE_SIZE);
	if (mqes < 65536) {
		EXPECT_EQ(nvme_create_cq(self->nvme, 2, mqes + 1, 2, iova),
			  NVME_INVALID_QUEUE_SIZE);
	}
	EXPECT_EQ(nvme_create_cq(self->nvme, 2, 16, 33, iova), NVME_INVALID_VECTOR);
	EXPECT_EQ(nvme_create_cq(self->nvme, 2, 16, 0xffff, iova), NVME_INVALID_VECTOR);
	EXPECT_EQ(nvme_create_cq(self->nvme, 2, 16, 2, iova + 64), NVME_PRP_OFFSET_INVALID);
	EXPECT_EQ(nvme_admin(self->nvme, gap), NVME_INVALID_FIELD);	/* not contiguous */
	EXPECT_EQ(nvme_create_cq(self->nvme, 2, 16, 2, iova), 0);
	EXPECT_EQ(nvme_delete_cq(self->nvme, 2), 0);
}

TEST_F(admin, submission_queues_refuse_bad_input)
{
	u64 iova = arena_iova(&self->rig.mem, self->buf);
	u32 mqes = (self->nvme->cap & 0xffff) + 1;

	EXPECT_EQ(nvme_create_sq(self->nvme, 0, 16, 1, iova), NVME_INVALID_QID);
	EXPECT_EQ(nvme_create_sq(self->nvme, 1, 16, 1, iova), NVME_INVALID_QID);
	EXPECT_EQ(nvme_create_sq(self->nvme, 33, 16, 1, iova), NVME_INVALID_QID);
	EXPECT_EQ(nvme_create_sq(self->nvme, 2, 1, 1, iova), NVME_INVALID_QUEUE_SIZE);
	if (mqes < 65536) {
		EXPECT_EQ(nvme_create_sq(self->nvme, 2, mqes + 1, 1, iova),
			  NVME_INVALID_QUEUE_SIZE);
	}
	EXPECT_EQ(nvme_create_sq(self->nvme, 2, 16, 3, iova), NVME_CQ_INVALID);
	EXPECT_EQ(nvme_create_sq(self->nvme, 2, 16, 0, iova), NVME_INVALID_QID);
	EXPECT_EQ(nvme_create_sq(self->nvme, 2, 16, 33, iova), NVME_INVALID_QID);
	EXPECT_EQ(nvme_create_sq(self->nvme, 2, 16, 1, iova + 64), NVME_PRP_OFFSET_INVALID);
	EXPECT_EQ(nvme_create_sq(self->nvme, 2, 16, 1, iova), 0);
	EXPECT_EQ(nvme_delete_sq(self->nvme, 2), 0);
}

/* The host sets the sizes of entries before it creates I/O queues, and there is one of each kind */
TEST_F(admin, queues_need_the_sizes_of_their_entries)
{
	u64 iova = arena_iova(&self->rig.mem, self->buf);
	struct vfio_dev *dev = &self->rig.dev[0];
	u32 cc = bar_read32(dev, NVME_CC);

	bar_write32(dev, NVME_CC, (cc & ~0xff0000) | 3 << 20 | 6 << 16);
	EXPECT_EQ(nvme_create_cq(self->nvme, 2, 16, 2, iova), NVME_INVALID_QUEUE_SIZE);
	EXPECT_EQ(nvme_create_sq(self->nvme, 2, 16, 1, iova), 0);
	EXPECT_EQ(nvme_delete_sq(self->nvme, 2), 0);
	bar_write32(dev, NVME_CC, (cc & ~0xff0000) | 4 << 20 | 7 << 16);
	EXPECT_EQ(nvme_create_sq(self->nvme, 2, 16, 1, iova), NVME_INVALID_QUEUE_SIZE);
	EXPECT_EQ(nvme_create_cq(self->nvme, 2, 16, 2, iova), 0);
	EXPECT_EQ(nvme_delete_cq(self->nvme, 2), 0);
}

TEST_F(admin, queues_are_deleted_in_order)
{
	EXPECT_EQ(nvme_delete_sq(self->nvme, 0), NVME_INVALID_QID);
	EXPECT_EQ(nvme_delete_cq(self->nvme, 0), NVME_INVALID_QID);
	EXPECT_EQ(nvme_delete_sq(self->nvme, 2), NVME_INVALID_QID);
	EXPECT_EQ(nvme_delete_cq(self->nvme, 2), NVME_INVALID_QID);
	EXPECT_EQ(nvme_delete_cq(self->nvme, 1), NVME_INVALID_QUEUE_DELETION);
	EXPECT_EQ(nvme_delete_sq(self->nvme, 1), 0);
	EXPECT_EQ(nvme_delete_cq(self->nvme, 1), 0);
	EXPECT_EQ(nvme_delete_cq(self->nvme, 1), NVME_INVALID_QID);
	EXPECT_EQ(nvme_create_io(self->nvme, 1, 16, 1), 0);
	EXPECT_EQ(nvme_io(self->nvme, (struct nvme_cmd){ .opcode = NVME_FLUSH, .nsid = 1 }), 0);
}

TEST_F(admin, all_queues_work_side_by_side)
{
	u16 cids[NVME_MAX_IO + 1];

	for (int q = 2; q <= NVME_MAX_IO; q++)
		ASSERT_EQ(nvme_create_io(self->nvme, q, 2 + q, q % 4), 0);
	for (int round = 0; round < 10; round++) {
		for (int q = 1; q <= NVME_MAX_IO; q++) {
			struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE, q, 1);

			nvme_set_prps(self->nvme, self->q, &cmd, self->buf + q * PAGE, self->lba);
			fill_pattern(self->buf + q * PAGE, self->lba, round * 100 + q);
			cids[q] = nvme_submit(self->nvme, &self->nvme->io[q], &cmd);
		}
		for (int q = 1; q <= NVME_MAX_IO; q++)
			nvme_ring(self->nvme, &self->nvme->io[q]);
		for (int q = 1; q <= NVME_MAX_IO; q++)
			EXPECT_EQ(nvme_wait(self->nvme, &self->nvme->io[q], cids[q], NULL), 0);
	}
	nvme_read_bytes(self->nvme, 0, self->buf, (NVME_MAX_IO + 1) * self->lba);
	for (int q = 1; q <= NVME_MAX_IO; q++)
		EXPECT_TRUE(is_pattern(self->buf + q * self->lba, self->lba, 900 + q));
}

TEST_F(admin, completions_name_their_queue)
{
	struct nvme_cqe cqe;
	struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };

	/* Queue 3 completes to completion queue 1 */
	ASSERT_EQ(nvme_create_sq(self->nvme, 3, 16, 1, arena_iova(&self->rig.mem, self->buf)), 0);
	memcpy(self->buf, &flush, sizeof(flush));
	((struct nvme_cmd *)self->buf)->cid = 0x1234;
	nvme_doorbell(self->nvme, 3, false, 1);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, 0x1234, &cqe), 0);
	EXPECT_EQ(cqe.sq_id, 3);
	EXPECT_EQ(cqe.sq_head, 1);
	EXPECT_EQ(nvme_delete_sq(self->nvme, 3), 0);
}

TEST_F(admin, log_pages_are_there)
{
	static const struct {
		u8 lid;
		u32 len;
	} logs[] = { { 1, 64 }, { 2, 512 }, { 3, 512 }, { 4, 4096 }, { 5, 4096 } };

	for (unsigned int i = 0; i < ARRAY_SIZE(logs); i++) {
		EXPECT_EQ(nvme_get_log(self->nvme, logs[i].lid, self->buf, logs[i].len), 0)
			TH_LOG("log page %u", logs[i].lid);
	}
	EXPECT_EQ(nvme_get_log(self->nvme, 0x7f, self->buf, 512), NVME_INVALID_LOG_PAGE);

	/* Commands that are there have an effects entry, others have none */
	ASSERT_EQ(nvme_get_log(self->nvme, 5, self->buf, 4096), 0);
	EXPECT_TRUE(get32(self->buf, 4 * NVME_IDENTIFY) & 1);
	EXPECT_FALSE(get32(self->buf, 4 * 0x7f) & 1);
	EXPECT_TRUE(get32(self->buf, 1024 + 4 * NVME_WRITE) & 1);
	EXPECT_TRUE(get32(self->buf, 1024 + 4 * NVME_WRITE) & 2);
	EXPECT_FALSE(get32(self->buf, 1024 + 4 * 0x7f) & 1);
}

TEST_F(admin, log_page_beyond_its_end_is_invalid)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_GET_LOG, .nsid = ALL_NAMESPACES, .cdw10 = 127 << 16 | 2,
		.cdw12 = 0x10000, .prp1 = arena_iova(&self->rig.mem, self->buf),
	};

	EXPECT_EQ(nvme_admin(self->nvme, cmd), NVME_INVALID_FIELD);
	cmd.cdw12 = 2;	/* not a multiple of 4 */
	EXPECT_EQ(nvme_admin(self->nvme, cmd), NVME_INVALID_FIELD);
}

TEST_F(admin, smart_log_counts)
{
	u64 before[2], after[2];

	ASSERT_EQ(nvme_get_log(self->nvme, 2, self->buf, 512), 0);
	EXPECT_EQ(self->buf[0], 0);	/* no warning */
	EXPECT_GT(get32(self->buf, 1) & 0xffff, 273);
	before[0] = get64(self->buf, 64);	/* host reads */
	before[1] = get64(self->buf, 80);	/* host writes */
	for (int i = 0; i < 3; i++)
		nvme_write_bytes(self->nvme, 0, self->buf, self->lba);
	nvme_read_bytes(self->nvme, 0, self->buf, self->lba);
	ASSERT_EQ(nvme_get_log(self->nvme, 2, self->buf, 512), 0);
	after[0] = get64(self->buf, 64);
	after[1] = get64(self->buf, 80);
	EXPECT_EQ(after[0] - before[0], 1);
	EXPECT_EQ(after[1] - before[1], 3);
}

/* @kind of the doorbell error is the event's information */
static void expect_error_event(struct __test_metadata *_metadata, struct nvme *nvme, u16 cid,
			       unsigned int kind, u8 *log)
{
	struct nvme_cqe cqe = {};
	u64 count;

	EXPECT_EQ(nvme_wait(nvme, &nvme->admin, cid, &cqe), 0);
	EXPECT_EQ(cqe.dw0 & 7, 0);		/* error status */
	EXPECT_EQ(cqe.dw0 >> 8 & 0xff, kind);
	EXPECT_EQ(cqe.dw0 >> 16 & 0xff, 1);	/* see the error log */
	ASSERT_EQ(nvme_get_log(nvme, 1, log, 64), 0);
	count = get64(log, 0);
	EXPECT_GT(count, 0);
}

TEST_F(admin, bad_doorbells_are_events_and_no_more)
{
	struct nvme_cmd aer = { .opcode = NVME_AER };
	u16 cid;

	/* Value beyond the queue */
	cid = nvme_submit(self->nvme, &self->nvme->admin, &aer);
	nvme_ring(self->nvme, &self->nvme->admin);
	nvme_doorbell(self->nvme, 1, false, 64);
	expect_error_event(_metadata, self->nvme, cid, 1, self->buf);

	/* Completion queue head beyond what was posted */
	cid = nvme_submit(self->nvme, &self->nvme->admin, &aer);
	nvme_ring(self->nvme, &self->nvme->admin);
	nvme_doorbell(self->nvme, 1, true, (self->q->head + 5) % self->q->depth);
	expect_error_event(_metadata, self->nvme, cid, 1, self->buf);

	/* Queue that does not exist */
	cid = nvme_submit(self->nvme, &self->nvme->admin, &aer);
	nvme_ring(self->nvme, &self->nvme->admin);
	nvme_doorbell(self->nvme, 7, false, 1);
	expect_error_event(_metadata, self->nvme, cid, 0, self->buf);

	EXPECT_EQ(nvme_io(self->nvme, (struct nvme_cmd){ .opcode = NVME_FLUSH, .nsid = 1 }), 0);
}

/* A queue that is not there, and the admin queue that is there after the enable */
TEST_F(admin, doorbells_of_a_disabled_controller_are_dropped)
{
	ASSERT_EQ(nvme_disable(self->nvme), 0);
	nvme_doorbell(self->nvme, 7, false, 1);
	nvme_doorbell(self->nvme, 0, false, 3);
	ASSERT_EQ(nvme_enable(self->nvme), 0);
	EXPECT_TRUE(stays_false(nvme_peek(&self->nvme->admin)));
	EXPECT_EQ(nvme_identify(self->nvme, 1, 0, self->buf), 0);
}

/*
 * A tail that goes back would take back commands that the device was given.  There must be some
 * that it has not fetched: it has up to 256 in flight, and they are slow.
 */
TEST_F_TIMEOUT(admin, tail_that_goes_back_takes_no_command_back, 120)
{
	struct nvme_cmd read = nvme_rw_cmd(NVME_READ, 0, 1), aer = { .opcode = NVME_AER };
	const unsigned int n = 300;
	struct nvme_queue *q = &self->nvme->io[2];
	u32 arbitration;
	u16 event;

	ASSERT_EQ(nvme_create_io(self->nvme, 2, 512, -1), 0);
	event = nvme_submit(self->nvme, &self->nvme->admin, &aer);
	nvme_ring(self->nvme, &self->nvme->admin);
	ASSERT_EQ(pf_attr_set(self->rig.pf, "io_latency_us", 5000000), 0);
	nvme_set_prps(self->nvme, q, &read, self->buf, self->lba);
	for (unsigned int i = 0; i < n; i++)
		nvme_submit(self->nvme, q, &read);
	nvme_ring(self->nvme, q);
	/* The device has seen a doorbell when it has seen a later one */
	ASSERT_EQ(nvme_get_feature(self->nvme, 1, &arbitration), 0);

	nvme_doorbell(self->nvme, q->id, false, n - 10);
	ASSERT_EQ(nvme_get_feature(self->nvme, 1, &arbitration), 0);
	ASSERT_EQ(nvme_peek(q), 0) TH_LOG("slower than the commands");
	EXPECT_EQ(nvme_wait(self->nvme, &self->nvme->admin, event, NULL), 0);
	ASSERT_EQ(pf_attr_set(self->rig.pf, "io_latency_us", 0), 0);
	EXPECT_TRUE(wait_until((nvme_reap(self->nvme, q), q->stashed == n)))
		TH_LOG("%u of %u completed", q->stashed, n);
}

TEST_F(admin, doorbells_at_random_do_no_harm)
{
	u64 random[2];

	for (unsigned int i = 0; i < 300; i++) {
		fill_pattern(random, sizeof(random), i + 1);
		bar_write32(&self->rig.dev[0], NVME_DOORBELLS + random[0] % 0x1000 / 4 * 4,
			    random[1]);
	}
	nvme_restart(self->nvme);
	ASSERT_EQ(nvme_create_io(self->nvme, 1, 16, 1), 0);
	EXPECT_EQ(nvme_io(self->nvme, (struct nvme_cmd){ .opcode = NVME_FLUSH, .nsid = 1 }), 0);
}

TEST_F(admin, event_requests_have_a_limit)
{
	struct nvme_cmd aer = { .opcode = NVME_AER };
	unsigned int limit, i;

	ASSERT_EQ(nvme_identify(self->nvme, 1, 0, self->buf), 0);
	limit = self->buf[259] + 1;
	for (i = 0; i < limit; i++)
		nvme_submit(self->nvme, &self->nvme->admin, &aer);
	nvme_ring(self->nvme, &self->nvme->admin);
	EXPECT_EQ(nvme_admin(self->nvme, aer), NVME_AER_LIMIT);
	EXPECT_EQ(self->nvme->admin.stashed, 0);
}

TEST_F(admin, abort)
{
	struct nvme_cmd aer = { .opcode = NVME_AER }, cmd = { .opcode = NVME_ABORT };
	struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };
	struct nvme_cqe cqe;
	u16 cid;

	cmd.cdw10 = (u32)0xabcd << 16 | 1;
	ASSERT_EQ(nvme_sync(self->nvme, &self->nvme->admin, &cmd, &cqe), 0);
	EXPECT_EQ(cqe.dw0 & 1, 1);	/* nothing aborted */

	cid = nvme_submit(self->nvme, &self->nvme->admin, &aer);
	nvme_ring(self->nvme, &self->nvme->admin);
	cmd.cdw10 = (u32)cid << 16;
	ASSERT_EQ(nvme_sync(self->nvme, &self->nvme->admin, &cmd, &cqe), 0);
	if (!(cqe.dw0 & 1)) {
		EXPECT_EQ(nvme_wait(self->nvme, &self->nvme->admin, cid, NULL),
			  NVME_ABORT_REQUESTED);
	}

	/* A slow command: aborted, or not and then it completes */
	ASSERT_EQ(pf_attr_set(self->rig.pf, "io_latency_us", 1000000), 0);
	cid = nvme_submit(self->nvme, self->q, &flush);
	nvme_ring(self->nvme, self->q);
	cmd.cdw10 = (u32)cid << 16 | 1;
	ASSERT_EQ(nvme_sync(self->nvme, &self->nvme->admin, &cmd, &cqe), 0);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL),
		  cqe.dw0 & 1 ? 0 : NVME_ABORT_REQUESTED);
}

static int abort_of(struct nvme *nvme, u16 sqid, u16 cid, u32 *not_aborted)
{
	struct nvme_cmd cmd = { .opcode = NVME_ABORT, .cdw10 = (u32)cid << 16 | sqid };
	struct nvme_cqe cqe = {};
	int status = nvme_sync(nvme, &nvme->admin, &cmd, &cqe);

	*not_aborted = cqe.dw0;
	return status;
}

#define SLOW_US	4000000

/* Two slow commands in queue 1, and one in queue 2 with the ID of the second */
static void start_three(struct rig *rig, u16 cids[2])
{
	struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };
	struct nvme *nvme = &rig->nvme;
	struct nvme_queue *other = &nvme->io[2];

	must(!nvme_create_io(nvme, 2, 8, -1));
	must(!pf_attr_set(rig->pf, "io_latency_us", SLOW_US));
	for (unsigned int i = 0; i < 2; i++)
		cids[i] = nvme_submit(nvme, &nvme->io[1], &flush);
	nvme_submit(nvme, other, &flush);
	other->sq[0].cid = cids[1];
	nvme_ring(nvme, other);
	nvme_ring(nvme, &nvme->io[1]);
}

TEST_F(admin, abort_takes_the_command_of_that_queue_and_id)
{
	struct nvme_queue *other = &self->nvme->io[2];
	u32 not_aborted;
	u16 cids[2];

	EXPECT_EQ(abort_of(self->nvme, NVME_MAX_IO + 1, 0, &not_aborted), NVME_INVALID_FIELD);
	EXPECT_EQ(abort_of(self->nvme, 0xffff, 0, &not_aborted), NVME_INVALID_FIELD);
	EXPECT_EQ(abort_of(self->nvme, 7, 0, &not_aborted), NVME_INVALID_FIELD);

	start_three(&self->rig, cids);
	ASSERT_EQ(abort_of(self->nvme, 1, cids[1], &not_aborted), 0);
	EXPECT_EQ(not_aborted, 0);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cids[1], NULL), NVME_ABORT_REQUESTED);
	ASSERT_EQ(pf_attr_set(self->rig.pf, "io_latency_us", 0), 0);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cids[0], NULL), 0);
	EXPECT_EQ(nvme_wait(self->nvme, other, cids[1], NULL), 0);
}

TEST_F(admin, delete_takes_the_commands_of_that_queue)
{
	struct nvme_queue *other = &self->nvme->io[2];
	u16 cids[2];

	start_three(&self->rig, cids);
	ASSERT_EQ(nvme_delete_sq(self->nvme, 2), 0);
	EXPECT_EQ(nvme_wait(self->nvme, other, cids[1], NULL), NVME_ABORT_SQ_DELETED);
	EXPECT_EQ(nvme_peek(self->q), 0);
	ASSERT_EQ(pf_attr_set(self->rig.pf, "io_latency_us", 0), 0);
	for (unsigned int i = 0; i < 2; i++)
		EXPECT_EQ(nvme_wait(self->nvme, self->q, cids[i], NULL), 0);
}

TEST_F(admin, completion_queue_that_is_not_there_is_fatal)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct nvme_queue *q = &self->nvme->io[2];
	struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };

	ASSERT_EQ(nvme_create_io(self->nvme, 2, 8, -1), 0);
	ASSERT_EQ(nvme_delete_sq(self->nvme, 2), 0);
	ASSERT_EQ(nvme_delete_cq(self->nvme, 2), 0);
	ASSERT_EQ(nvme_create_cq(self->nvme, 2, 8, -1, 0x7000), 0);
	ASSERT_EQ(nvme_create_sq(self->nvme, 2, 8, 2, arena_iova(&self->rig.mem, q->sq)), 0);
	EXPECT_FALSE(bar_read32(dev, NVME_CSTS) & NVME_CSTS_CFS);
	nvme_submit(self->nvme, q, &flush);
	nvme_ring(self->nvme, q);
	EXPECT_TRUE(wait_until(bar_read32(dev, NVME_CSTS) & NVME_CSTS_CFS));
	nvme_restart(self->nvme);
	EXPECT_EQ(bar_read32(dev, NVME_CSTS), NVME_CSTS_RDY);
}

TEST_F(admin, keep_alive_as_advertised)
{
	bool has;

	ASSERT_EQ(nvme_identify(self->nvme, 1, 0, self->buf), 0);
	has = get32(self->buf, 320) & 0xffff;
	EXPECT_EQ(nvme_admin(self->nvme, (struct nvme_cmd){ .opcode = NVME_KEEP_ALIVE }),
		  has ? 0 : NVME_INVALID_OPCODE);
}

TEST_HARNESS_MAIN
