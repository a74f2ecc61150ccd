// SPDX-License-Identifier: GPL-2.0-only
/*
 * Features and log pages of the controller: each value, its default and what can be done with it;
 * what the temperature thresholds warn of; whose features and logs they are; and the status of
 * what there is not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rig.h"

#include "harness.h"

#define ALL_NAMESPACES	0xffffffff

/* Features */
#define ARBITRATION	0x01
#define POWER		0x02
#define TEMPERATURE	0x04
#define RECOVERY	0x05
#define CACHE		0x06
#define QUEUES		0x07
#define COALESCING	0x08
#define VECTOR		0x09
#define ATOMICITY	0x0a
#define EVENTS		0x0b

/* Select of Get Features */
#define CURRENT		0
#define DEFAULT		1
#define SAVED		2
#define CAPABILITIES	3

#define PER_NAMESPACE	2
#define CHANGEABLE	4

/* Of the simulated device, in K */
#define DEGREES		310

/* Log pages */
#define ERRORS		0x01
#define SMART		0x02
#define EFFECTS		0x05

FIXTURE(features)
{
	struct rig rig;
	struct nvme *nvme;
	u8 *buf;
};

FIXTURE_SETUP(features)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 1 }, IOMMU_TYPE1, 1);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	self->buf = arena_alloc(&self->rig.mem, 2 * PAGE);
}

FIXTURE_TEARDOWN(features)
{
	rig_close(&self->rig);
}

/* Status of Set Features */
static int set(struct nvme *nvme, u8 fid, u32 value, u32 nsid)
{
	return nvme_admin(nvme, (struct nvme_cmd){
		.opcode = NVME_SET_FEATURES, .nsid = nsid, .cdw10 = fid, .cdw11 = value,
	});
}

/* Status of Get Features, whose dword 11 selects a part of some features */
static int get(struct nvme *nvme, u8 fid, u32 select, u32 dw11, u32 nsid, u32 *value)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_GET_FEATURES, .nsid = nsid, .cdw10 = select << 8 | fid,
		.cdw11 = dw11,
	};
	struct nvme_cqe cqe = {};
	int status = nvme_sync(nvme, &nvme->admin, &cmd, &cqe);

	*value = cqe.dw0;
	return status;
}

static void expect_value(struct __test_metadata *_metadata, struct nvme *nvme, u8 fid, u32 select,
			 u32 dw11, u32 nsid, u32 expected)
{
	u32 value = 0;

	EXPECT_EQ(get(nvme, fid, select, dw11, nsid, &value), 0) TH_LOG("feature %#x", fid);
	EXPECT_EQ(value, expected) TH_LOG("feature %#x, select %u", fid, select);
}

static void expect_none(struct __test_metadata *_metadata, struct nvme *nvme, u8 fid, u32 select,
			u32 dw11, u32 nsid, int status)
{
	u32 value;

	EXPECT_EQ(get(nvme, fid, select, dw11, nsid, &value), status)
		TH_LOG("feature %#x, select %u", fid, select);
}

/* Of a feature: Select, dword 11, the namespace, and the value; or the status if there is none */
#define EXPECT_VALUE(...)	expect_value(_metadata, self->nvme, __VA_ARGS__)
#define EXPECT_NO_VALUE(...)	expect_none(_metadata, self->nvme, __VA_ARGS__)

TEST_F(features, have_a_value_a_default_and_capabilities)
{
	static const struct {
		u8 fid;
		u32 def;
		u32 set;
		u32 value;	/* that @set leaves: reserved bits are none of it */
	} features[] = {
		{ ARBITRATION, 0x07, ~0U, 0xffffff07 },
		{ POWER, 0, 0xffffffe0, 0xe0 },
		{ TEMPERATURE, 343, 0x150, 0x150 },
		{ CACHE, 1, ~1U, 0 },
		{ COALESCING, 0, 0xffff0203, 0x0203 },
		{ ATOMICITY, 0, ~0U, 1 },
		{ EVENTS, 0, ~0U, 0x11f },
	};

	ASSERT_EQ(nvme_identify(self->nvme, 1, 0, self->buf), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		u8 fid = features[i].fid;

		if (fid == CACHE && !(self->buf[NVME_ID_VWC] & 1))
			continue;
		EXPECT_VALUE(fid, CURRENT, 0, 0, features[i].def);
		EXPECT_EQ(set(self->nvme, fid, features[i].set, 0), 0);
		EXPECT_VALUE(fid, CURRENT, 0, 0, features[i].value);
		/* None can be saved */
		EXPECT_VALUE(fid, DEFAULT, 0, 0, features[i].def);
		EXPECT_VALUE(fid, SAVED, 0, 0, features[i].def);
		EXPECT_VALUE(fid, CAPABILITIES, 0, 0, CHANGEABLE);
		EXPECT_NO_VALUE(fid, CAPABILITIES + 1, 0, 0, NVME_INVALID_FIELD);
	}
	for (u32 select = CURRENT; select <= SAVED; select++)
		EXPECT_VALUE(QUEUES, select, 0, 0, 31 << 16 | 31);

	/* A reset of the controller brings the defaults back */
	nvme_restart(self->nvme);
	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++)
		if (features[i].fid != CACHE)
			EXPECT_VALUE(features[i].fid, CURRENT, 0, 0, features[i].def);
}

TEST_F(features, there_is_one_power_state)
{
	ASSERT_EQ(set(self->nvme, POWER, 0x40, 0), 0);
	for (u32 state = 1; state < 32; state += 6)
		EXPECT_EQ(set(self->nvme, POWER, 0x80 | state, 0), NVME_INVALID_FIELD);
	EXPECT_VALUE(POWER, CURRENT, 0, 0, 0x40);
}

#define OVER		0
#define UNDER		(1U << 20)
#define SENSOR(n)	((u32)(n) << 16)
#define ALL_SENSORS	SENSOR(15)

static u8 warning(struct nvme *nvme, u8 *buf)
{
	must(!nvme_get_log(nvme, SMART, buf, 512));
	return buf[0];
}

TEST_F(features, temperature_warns_at_either_threshold)
{
	static const struct {
		u32 threshold;
		u8 warning;
	} steps[] = {
		{ OVER | (DEGREES + 1), 0 },
		{ OVER | DEGREES, 2 },
		{ OVER | ALL_SENSORS | 400, 0 },
		{ UNDER | (DEGREES - 1), 0 },
		{ UNDER | DEGREES, 2 },
		{ UNDER | ALL_SENSORS | 200, 0 },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++) {
		ASSERT_EQ(set(self->nvme, TEMPERATURE, steps[i].threshold, 0), 0);
		EXPECT_EQ(warning(self->nvme, self->buf), steps[i].warning) TH_LOG("step %u", i);
	}
	EXPECT_VALUE(TEMPERATURE, CURRENT, OVER, 0, 400);
	EXPECT_VALUE(TEMPERATURE, CURRENT, UNDER, 0, 200);
	EXPECT_VALUE(TEMPERATURE, DEFAULT, OVER, 0, 343);
	EXPECT_VALUE(TEMPERATURE, DEFAULT, UNDER, 0, 0);

	/* Only the composite temperature has thresholds, and there are two of them */
	EXPECT_EQ(set(self->nvme, TEMPERATURE, SENSOR(1) | 300, 0), NVME_INVALID_FIELD);
	EXPECT_EQ(set(self->nvme, TEMPERATURE, SENSOR(8) | 300, 0), NVME_INVALID_FIELD);
	EXPECT_EQ(set(self->nvme, TEMPERATURE, 2 << 20 | 300, 0), NVME_INVALID_FIELD);
	EXPECT_EQ(set(self->nvme, TEMPERATURE, 3 << 20 | 300, 0), NVME_INVALID_FIELD);
	EXPECT_NO_VALUE(TEMPERATURE, CURRENT, SENSOR(1), 0, NVME_INVALID_FIELD);
	EXPECT_NO_VALUE(TEMPERATURE, CURRENT, ALL_SENSORS, 0, NVME_INVALID_FIELD);
	EXPECT_NO_VALUE(TEMPERATURE, CURRENT, 2 << 20, 0, NVME_INVALID_FIELD);
	EXPECT_EQ(warning(self->nvme, self->buf), 0);
}

/* Read the SMART log; with @retain the event is not acknowledged */
static void read_smart(struct nvme *nvme, u8 *buf, bool retain)
{
	must(!nvme_admin(nvme, (struct nvme_cmd){
		.opcode = NVME_GET_LOG, .nsid = ALL_NAMESPACES, .prp1 = arena_iova(nvme->mem, buf),
		.cdw10 = 127 << 16 | retain << 15 | SMART,
	}));
}

static bool has_event(struct nvme *nvme, u16 cid, struct nvme_cqe *cqe)
{
	nvme_reap(nvme, &nvme->admin);
	return nvme_take(&nvme->admin, cid, cqe);
}

TEST_F(features, temperature_is_an_event_until_its_log_is_read)
{
	const struct nvme_cmd aer = { .opcode = NVME_AER };
	struct nvme *nvme = self->nvme;
	struct nvme_cqe cqe = {};
	u16 cid;

	ASSERT_EQ(set(nvme, EVENTS, 2, 0), 0);
	cid = nvme_submit(nvme, &nvme->admin, &aer);
	nvme_ring(nvme, &nvme->admin);
	ASSERT_EQ(set(nvme, TEMPERATURE, UNDER | DEGREES, 0), 0);
	ASSERT_EQ(nvme_wait(nvme, &nvme->admin, cid, &cqe), 0);
	/* SMART, temperature threshold, and which log tells more */
	EXPECT_EQ(cqe.dw0, SMART << 16 | 1 << 8 | 1);

	/* The next one waits for a read that acknowledges this one */
	cid = nvme_submit(nvme, &nvme->admin, &aer);
	nvme_ring(nvme, &nvme->admin);
	read_smart(nvme, self->buf, true);
	ASSERT_EQ(set(nvme, TEMPERATURE, UNDER | (DEGREES + 1), 0), 0);
	EXPECT_TRUE(stays_false(has_event(nvme, cid, &cqe)));
	read_smart(nvme, self->buf, false);
	EXPECT_TRUE(stays_false(has_event(nvme, cid, &cqe)));
	ASSERT_EQ(set(nvme, TEMPERATURE, UNDER | (DEGREES + 2), 0), 0);
	EXPECT_EQ(nvme_wait(nvme, &nvme->admin, cid, &cqe), 0);
	EXPECT_EQ(cqe.dw0, SMART << 16 | 1 << 8 | 1);
}

TEST_F(features, each_vector_has_a_configuration)
{
	const u32 disable = 1 << 16;

	ASSERT_EQ(set(self->nvme, VECTOR, disable | 3, 0), 0);
	EXPECT_VALUE(VECTOR, CURRENT, 3, 0, disable | 3);
	EXPECT_VALUE(VECTOR, DEFAULT, 3, 0, 3);
	EXPECT_VALUE(VECTOR, CURRENT, 2, 0, 2);
	EXPECT_VALUE(VECTOR, CURRENT, 4, 0, 4);
	ASSERT_EQ(set(self->nvme, VECTOR, 3, 0), 0);
	EXPECT_VALUE(VECTOR, CURRENT, 3, 0, 3);
	EXPECT_EQ(set(self->nvme, VECTOR, NVME_VECTORS, 0), NVME_INVALID_FIELD);
	EXPECT_NO_VALUE(VECTOR, CURRENT, NVME_VECTORS, 0, NVME_INVALID_FIELD);
	EXPECT_NO_VALUE(VECTOR, CURRENT, 0xffff, 0, NVME_INVALID_FIELD);
	EXPECT_VALUE(VECTOR, CURRENT, NVME_VECTORS - 1, 0, NVME_VECTORS - 1);
}

TEST_F(features, of_a_controller_or_of_a_namespace)
{
	struct nvme *nvme = self->nvme;

	EXPECT_EQ(set(nvme, ARBITRATION, 1, ALL_NAMESPACES), 0);
	EXPECT_EQ(set(nvme, ARBITRATION, 2, 1), NVME_FEATURE_NOT_PER_NS);
	EXPECT_EQ(set(nvme, ARBITRATION, 3, 2), NVME_INVALID_NAMESPACE);
	EXPECT_VALUE(ARBITRATION, CURRENT, 0, 0, 1);

	EXPECT_EQ(set(nvme, RECOVERY, 0x10, 1), 0);
	EXPECT_VALUE(RECOVERY, CURRENT, 0, 1, 0x10);
	EXPECT_EQ(set(nvme, RECOVERY, 0x20, ALL_NAMESPACES), 0);
	EXPECT_EQ(set(nvme, RECOVERY, 0x30, 0), NVME_INVALID_NAMESPACE);
	EXPECT_EQ(set(nvme, RECOVERY, 0x40, 2), NVME_INVALID_NAMESPACE);
	/* Blocks that were deallocated are never an error */
	EXPECT_EQ(set(nvme, RECOVERY, 1 << 16 | 0x50, 1), NVME_INVALID_FIELD);
	EXPECT_VALUE(RECOVERY, CURRENT, 0, 1, 0x20);
	EXPECT_VALUE(RECOVERY, DEFAULT, 0, 1, 0);
	EXPECT_VALUE(RECOVERY, CAPABILITIES, 0, 1, CHANGEABLE | PER_NAMESPACE);
	EXPECT_NO_VALUE(RECOVERY, CURRENT, 0, 0, NVME_INVALID_NAMESPACE);
	EXPECT_NO_VALUE(RECOVERY, CURRENT, 0, 2, NVME_INVALID_NAMESPACE);
}

/* Status of reading @len bytes of a log at @offset, to the second page of @buf */
static int log_at(struct nvme *nvme, u8 lid, u32 nsid, u32 offset, u32 len, u8 *buf)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_GET_LOG, .nsid = nsid, .prp1 = arena_iova(nvme->mem, buf + PAGE),
		.cdw10 = (len / 4 - 1) << 16 | lid, .cdw11 = (len / 4 - 1) >> 16, .cdw12 = offset,
	};

	memset(buf + PAGE, 0xee, PAGE);
	return nvme_admin(nvme, cmd);
}

TEST_F(features, logs_are_the_controllers)
{
	static const u8 lids[] = { ERRORS, SMART, 0x03, 0x04, EFFECTS };

	for (unsigned int i = 0; i < ARRAY_SIZE(lids); i++) {
		bool smart = lids[i] == SMART;

		EXPECT_EQ(log_at(self->nvme, lids[i], 0, 0, 64, self->buf), 0);
		EXPECT_EQ(log_at(self->nvme, lids[i], ALL_NAMESPACES, 0, 64, self->buf), 0);
		EXPECT_EQ(log_at(self->nvme, lids[i], 2, 0, 64, self->buf), NVME_INVALID_NAMESPACE);
		/* One of a namespace is refused where there could be one */
		EXPECT_EQ(log_at(self->nvme, lids[i], 1, 0, 64, self->buf),
			  smart ? NVME_INVALID_FIELD : 0) TH_LOG("log %#x", lids[i]);
	}
}

TEST_F(features, logs_are_read_in_pieces)
{
	u8 *whole = self->buf, *piece = self->buf + PAGE;

	ASSERT_EQ(nvme_get_log(self->nvme, EFFECTS, whole, PAGE), 0);
	for (u32 offset = 0; offset < PAGE; offset += 508) {
		u32 len = PAGE - offset < 508 ? PAGE - offset : 508;

		ASSERT_EQ(log_at(self->nvme, EFFECTS, 0, offset, len, self->buf), 0);
		EXPECT_EQ(memcmp(piece, whole + offset, len), 0) TH_LOG("at %u", offset);
		EXPECT_TRUE(is_filled(piece + len, PAGE - len, 0xee));
	}
	/* Zeroes from the end on, but nothing begins behind it */
	ASSERT_EQ(log_at(self->nvme, EFFECTS, 0, PAGE, 64, self->buf), 0);
	EXPECT_TRUE(is_filled(piece, 64, 0));
	EXPECT_TRUE(is_filled(piece + 64, PAGE - 64, 0xee));
	EXPECT_EQ(log_at(self->nvme, EFFECTS, 0, PAGE + 4, 64, self->buf), NVME_INVALID_FIELD);
	EXPECT_EQ(log_at(self->nvme, SMART, 0, 516, 64, self->buf), NVME_INVALID_FIELD);
	EXPECT_EQ(log_at(self->nvme, EFFECTS, 0, 0, self->nvme->max_transfer + 4, self->buf),
		  NVME_INVALID_FIELD);
	EXPECT_TRUE(is_filled(piece, PAGE, 0xee));
}

/* An administrator's settings of one VF, within and out of range */
TEST_F(features, settings_of_a_vf_out_of_range_are_refused)
{
	static const struct {
		const char *name, *good, *bad, *reset;
	} settings[] = {
		{ "io_latency_us", "10000000", "10000001", "0" },
		{ "media_mb", "2", "0", "1" },
		{ "erase_on_close", "2", "3", "0" },
		{ "doorbell_poll_us", "10000", "10001", "0" },
		{ "map_registers", "1", "2", "0" },
	};
	const char *bdf = self->rig.dev[0].bdf;

	for (unsigned int i = 0; i < ARRAY_SIZE(settings); i++) {
		const char *name = settings[i].name;
		u64 good = strtoull(settings[i].good, NULL, 10);

		ASSERT_EQ(file_write(vf_debugfs(bdf, name), settings[i].good), 0)
			TH_LOG("%s", name);
		EXPECT_EQ(file_write(vf_debugfs(bdf, name), settings[i].bad), -EINVAL)
			TH_LOG("%s", name);
		/* What would fit into 32 bits if some were cut off */
		EXPECT_EQ(file_write(vf_debugfs(bdf, name), "4294967297"), -EINVAL)
			TH_LOG("%s", name);
		EXPECT_EQ(file_u64(vf_debugfs(bdf, name), 9), good) TH_LOG("%s", name);
		EXPECT_EQ(file_write(vf_debugfs(bdf, name), settings[i].reset), 0);
	}
}

TEST_HARNESS_MAIN
