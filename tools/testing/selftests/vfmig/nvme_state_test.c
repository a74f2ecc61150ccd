// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of an NVMe VF field by field: each value that no controller can have is refused, by
 * itself or beside what the other fields say, and the nearest one that a controller can have is
 * taken.
 */
#include <errno.h>

#include "change.h"
#include "rig.h"

#include "../../../../drivers/vfmig/nvme/format.h"

#include "harness.h"

#define SECONDS		120
/* Long enough for the write to be under way when the device stops */
#define SLOW_US		4000000

/* Queue pairs 0 and 1, a command for its events, and a write under way */
FIXTURE(state)
{
	struct rig rig;
	struct blob good;
	struct blob bad;
};

FIXTURE_SETUP(state)
{
	struct pf_vfs vfs = { .count = 2 };
	const char *why = rig_open_best(&self->rig, &vfs);
	struct rig *rig = &self->rig;
	struct nvme *nvme = &rig->nvme;
	struct nvme_cmd aer = { .opcode = NVME_AER };

	if (why)
		SKIP(return, "%s", why);
	rig_start(rig);
	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", SLOW_US), 0);
	nvme_submit(nvme, &nvme->admin, &aer);
	nvme_ring(nvme, &nvme->admin);
	nvme_start_rw(nvme, &nvme->io[1], NVME_WRITE, 0, arena_alloc(&rig->mem, PAGE));
	mig_save(&rig->dev[0], &self->good);
	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 0), 0);
}

FIXTURE_TEARDOWN(state)
{
	blob_free(&self->good);
	blob_free(&self->bad);
	rig_close(&self->rig);
}

#define CHANGES	4

#define V(field, clear, set) { offsetof(struct vfmig_nvme_state, field), clear, set }
/* Of a request: that of the write comes before that of the events */
#define R(n, field, clear, set) \
	{ sizeof(struct vfmig_nvme_state) + (n) * sizeof(struct vfmig_nvme_state_req) + \
	  offsetof(struct vfmig_nvme_state_req, field), clear, set }
/* The write, completed in a CQ; what waits has none yet.  Both fields are in the same 8 bytes. */
#define DONE(queue)	R(0, stage, ALL8 | ALL16 << 32, VFMIG_NVME_DONE | (u64)(queue) << 32)
/* CC, also as the controller saw it, which follows */
#define CC(clear, set)	V(cc, (clear) * 0x100000001ULL, (set) * 0x100000001ULL)
#define FIRST_DOORBELL_THAT_IS_NONE	(2 * VFMIG_NVME_QUEUES)
#define MPS(shift)	((u64)((shift) - VFMIG_NVME_MIN_SHIFT) << VFMIG_NVME_CC_MPS_SHIFT)

static const struct {
	const char *what;
	bool taken;
	struct change change[CHANGES];
} cases[] = {
	{ "as it is", true, { } },
	{ "unknown flag", false, { V(flags, 0, BIT(2)) } },
	{ "doorbell of no queue was rung", true, { V(flags, 0, VFMIG_NVME_BAD_DOORBELL) } },
	{ "shadow doorbells that do not follow", false, { V(flags, 0, VFMIG_NVME_STATE_SHADOW) } },
	{ "reserved bit of CC", false, { CC(0, BIT(1)) } },
	{ "command set", false, { CC(0, BIT(4)) } },
	{ "arbitration", false, { CC(0, BIT(11)) } },
	{ "page size that it does not have", false, { CC(0, MPS(VFMIG_NVME_MAX_SHIFT + 1)) } },
	{ "command set that it did not hear of", false, { V(cc, 0, BIT(4)) } },
	{ "page size that it did not hear of", false, { V(cc, 0, MPS(13)) } },
	{ "arbitration that it did not hear of", false, { V(cc, 0, BIT(11)) } },
	{ "disabled, and it did not hear of that", false, { V(cc, VFMIG_NVME_CC_ENABLE, 0) } },
	{ "disabled, and it will hear of that", true, { V(cc, ALL32, 0),
							V(flags, 0, VFMIG_NVME_DISABLED) } },
	{ "entry sizes, which it does not use then", true, { V(cc, 0xff0000, 0) } },
	{ "reserved bit of CSTS", false, { V(csts, 0, BIT(4)) } },
	{ "shutdown", true, { V(csts, 0, BIT(3)) } },
	{ "enabled and not ready", false, { V(csts, VFMIG_NVME_CSTS_RDY, 0) } },
	{ "ready and not enabled", false, { CC(VFMIG_NVME_CC_ENABLE, 0) } },
	{ "reserved bit of AQA", false, { V(aqa, 0, BIT(12)) } },
	{ "ASQ within a page", false, { V(asq, 0, BIT(11)) } },
	{ "ACQ within a page", false, { V(acq, 0, BIT(11)) } },
	{ "last doorbell", true, { V(rung[(FIRST_DOORBELL_THAT_IS_NONE - 1) / 8], 0,
				     BIT((FIRST_DOORBELL_THAT_IS_NONE - 1) % 8)) } },
	{ "doorbell of no queue", false, { V(rung[FIRST_DOORBELL_THAT_IS_NONE / 8], 0,
					     BIT(FIRST_DOORBELL_THAT_IS_NONE % 8)) } },

	{ "size of the medium", false, { V(media_size, 0, 512) } },
	{ "control character in the serial number", false, { V(serial[19], ALL8, ' ' - 1) } },
	{ "first character that can be printed", true, { V(serial[19], ALL8, ' ') } },
	{ "last character that can be printed", true, { V(serial[19], ALL8, '~') } },
	{ "character behind it", false, { V(serial[19], ALL8, '~' + 1) } },
	{ "no queues", false, { V(queues, ALL16, 0) } },
	{ "more queues than there can be", false, { V(queues, ALL16, VFMIG_NVME_QUEUES) } },
	{ "controller ID 0", false, { V(cntlid, ALL16, 0) } },
	{ "last controller ID", true, { V(cntlid, ALL16, VFMIG_NVME_MAX_CNTLID) } },
	{ "reserved controller ID", false, { V(cntlid, ALL16, VFMIG_NVME_MAX_CNTLID + 1) } },

	{ "feature that there is not", false, { V(feature[0], 0, 1) } },
	{ "bit of a feature", false, { V(feature[6], 0, 2) } },
	{ "write cache", true, { V(feature[6], 0, 1) } },
	{ "all bits of a feature", true, { V(feature[8], 0, ALL16) } },
	{ "bit above a feature", false, { V(feature[8], 0, ALL16 + 1) } },
	{ "reserved bytes of the features", false, { V(reserved2, 0, 1) } },
	{ "last vector without coalescing", true,
	  { V(vector_cd, 0, BIT_ULL(VFMIG_NVME_VECTORS - 1)) } },
	{ "vector that there is not", false, { V(vector_cd, 0, BIT_ULL(VFMIG_NVME_VECTORS)) } },
	{ "sanitized", true, { V(sanitize_status, ALL16, VFMIG_NVME_SSTAT_SUCCESS),
			       V(sanitize_cdw10, 0, 2) } },
	{ "sanitize in progress", false,
	  { V(sanitize_status, ALL16, VFMIG_NVME_SSTAT_SUCCESS + 1) } },
	{ "never sanitized, and how", false, { V(sanitize_status, ALL16, VFMIG_NVME_SSTAT_NEVER),
					       V(sanitize_cdw10, 0, 2) } },
	{ "written since the last sanitize", true, { V(sanitize_written, ALL16, 1) } },
	{ "written twice since", false, { V(sanitize_written, ALL16, 2) } },
	{ "event of an error", true, { V(events_pending[0], 0, BIT(VFMIG_NVME_DOORBELL_VALUE)) } },
	{ "unknown event of an error", false,
	  { V(events_pending[0], 0, BIT(VFMIG_NVME_DOORBELL_VALUE + 1)) } },
	{ "event of a type that is reserved", false, { V(events_pending[3], 0, 1) } },
	{ "all types masked", true,
	  { V(events_masked, ALL8, BIT(VFMIG_NVME_EVENT_TYPES) - 1) } },
	{ "type that there is not masked", false,
	  { V(events_masked, 0, BIT(VFMIG_NVME_EVENT_TYPES)) } },
	{ "namespace that has changed", true, { V(ns_changed, ALL8, 1) } },
	{ "two that have changed", false, { V(ns_changed, ALL8, 2) } },
	{ "more requests than follow", false, { V(nr_reqs, ALL32, 3) } },
	{ "fewer requests than follow", false, { V(nr_reqs, ALL32, 1) } },

	{ "SQ of one entry", false, { V(sq[1].size, ALL32, 1), V(sq[1].head, ALL32, 0) } },
	{ "SQ of two entries", true, { V(sq[1].size, ALL32, 2), V(sq[1].head, ALL32, 0) } },
	{ "largest SQ", true, { V(sq[1].size, ALL32, VFMIG_NVME_MAX_ENTRIES) } },
	{ "SQ too large", false, { V(sq[1].size, ALL32, VFMIG_NVME_MAX_ENTRIES + 1) } },
	{ "largest admin SQ", true, { V(sq[0].size, ALL32, VFMIG_NVME_ADMIN_ENTRIES) } },
	{ "admin SQ too large", false, { V(sq[0].size, ALL32, VFMIG_NVME_ADMIN_ENTRIES + 1) } },
	{ "last head of an SQ", true, { V(sq[1].size, ALL32, 16), V(sq[1].head, ALL16, 15) } },
	{ "head beyond an SQ", false, { V(sq[1].size, ALL32, 16), V(sq[1].head, ALL16, 16) } },
	{ "last tail of an SQ", true, { V(sq[1].size, ALL32, 16), V(sq[1].tail, ALL16, 15) } },
	{ "tail beyond an SQ", false, { V(sq[1].size, ALL32, 16), V(sq[1].tail, ALL16, 16) } },
	{ "SQ within a page", false, { V(sq[1].base, 0, BIT(11)) } },
	{ "reserved bytes of an SQ", false, { V(sq[1].reserved, 0, 1) } },
	{ "CQ that is not there", false, { V(sq[1].cqid, ALL16, 2) } },
	{ "CQ that there can't be", false, { V(sq[1].cqid, ALL16, VFMIG_NVME_QUEUES) } },
	{ "SQ with the admin CQ", false, { V(sq[1].cqid, ALL16, 0) } },
	{ "admin SQ with another CQ", false, { V(sq[0].cqid, ALL16, 1) } },
	{ "no admin SQ", false, { V(sq[0].base, ALL64, 0), V(sq[0].size, ALL64, 0) } },
	{ "no SQ, and where it is", false, { V(sq[2].base, 0, BIT(12)) } },
	{ "last tail of a CQ", true, { V(cq[1].size, ALL32, 16), V(cq[1].head, ALL16, 0),
				       V(cq[1].tail, ALL16, 15) } },
	{ "tail beyond a CQ", false, { V(cq[1].size, ALL32, 16), V(cq[1].head, ALL16, 0),
				       V(cq[1].tail, ALL16, 16) } },
	{ "head beyond a CQ", false, { V(cq[1].size, ALL32, 16), V(cq[1].head, ALL16, 16),
				       V(cq[1].tail, ALL16, 0) } },
	{ "CQ too large", false, { V(cq[1].size, ALL32, VFMIG_NVME_MAX_ENTRIES + 1) } },
	{ "CQ within a page", false, { V(cq[1].base, 0, BIT(11)) } },
	{ "unknown flag of a CQ", false, { V(cq[1].flags, 0, BIT(2)) } },
	{ "last vector of a CQ", true, { V(cq[1].vector, ALL16, VFMIG_NVME_VECTORS - 1) } },
	{ "vector of a CQ", false, { V(cq[1].vector, ALL16, VFMIG_NVME_VECTORS) } },
	{ "no CQ, and its vector", false, { V(cq[2].vector, 0, 1) } },

	{ "event request of an I/O queue", false, { R(1, sqid, ALL16, 1) } },
	{ "free request", false, { R(0, stage, ALL8, VFMIG_NVME_FREE) } },
	{ "unknown stage", false, { R(0, stage, ALL8, VFMIG_NVME_DONE + 1) } },
	{ "reserved byte of a request", false, { R(0, reserved, ALL8, 1) } },
	{ "reserved bytes of a request", false, { R(0, reserved2, ALL16, 1) } },
	{ "admin command that waits", false, { R(0, sqid, ALL16, 0) } },
	{ "command of a queue that is not there", false, { R(0, sqid, ALL16, 2) } },
	{ "command of a queue that there can't be", false,
	  { R(0, sqid, ALL16, VFMIG_NVME_QUEUES) } },
	{ "completion in a queue that there can't be", false,
	  { R(0, cqid, ALL16, VFMIG_NVME_QUEUES) } },
	{ "longest wait", true, { R(0, remaining_ns, ALL64, VFMIG_NVME_MAX_LATENCY_NS) } },
	{ "wait too long", false, { R(0, remaining_ns, ALL64, VFMIG_NVME_MAX_LATENCY_NS + 1) } },
	{ "completed", true, { DONE(1) } },
	{ "largest status", true, { DONE(1), R(0, status, ALL16, BIT(15) - 1) } },
	{ "status with a phase", false, { DONE(1), R(0, status, ALL16, BIT(15)) } },
	{ "I/O command completed in the admin queue", false, { DONE(0) } },
	{ "completed in a queue that is not there", false, { DONE(2) } },
};

TEST_F_TIMEOUT(state, field_is_refused_for_what_it_can_not_be, SECONDS)
{
	const size_t bytes = sizeof(struct vfmig_nvme_state) +
			     2 * sizeof(struct vfmig_nvme_state_req);
	struct vfio_dev *dev = &self->rig.dev[1];

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vfmig_record *record;
		int expected = 0;

		if (!cases[i].taken)
			expected = -EINVAL;
		blob_copy(&self->bad, &self->good);
		record = change_state(&self->bad);
		ASSERT_EQ(record->length, bytes);
		for (unsigned int j = 0; j < CHANGES; j++)
			change_apply((u8 *)(record + 1), bytes, &cases[i].change[j]);
		stream_seal(record);
		EXPECT_EQ(mig_load(dev, &self->bad), expected) TH_LOG("%s", cases[i].what);
		ASSERT_EQ(vfio_reset(dev), 0);
	}
	rig_land(&self->rig, &self->good, RUNNING);
	nvme_write_bytes(&self->rig.nvme, 0, arena_alloc(&self->rig.mem, PAGE), PAGE);
}

TEST_HARNESS_MAIN
