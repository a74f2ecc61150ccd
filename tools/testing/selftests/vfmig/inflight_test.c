// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is under way when the device stops: commands, event requests, doorbells,
 * interrupts.  All of it moves, and happens at the destination, once.
 */
#include <errno.h>
#include <string.h>

#include "rig.h"

#include "harness.h"

/* Long enough for a test to stop the device before a command is done */
#define SLOW_US		4000000

FIXTURE(inflight)
{
	struct rig rig;
	struct nvme *nvme;
	struct nvme_queue *q;
	u8 *buf;
};

FIXTURE_VARIANT(inflight)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(inflight, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(inflight, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(inflight)
{
	struct pf_vfs vfs = { .count = 2 };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 2);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	self->q = &self->nvme->io[1];
	self->buf = arena_alloc(&self->rig.mem, 32 * PAGE);
}

FIXTURE_TEARDOWN(inflight)
{
	rig_close(&self->rig);
}

/* All of @cids complete with success, each once.  Reads and writes have no result. */
static void expect_all_once(struct __test_metadata *_metadata, struct nvme *nvme,
			    struct nvme_queue *q, const u16 *cids, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct nvme_cqe cqe;
		u16 cid = cids[i];

		EXPECT_EQ(nvme_wait(nvme, q, cid, &cqe), 0) TH_LOG("command %u", i);
		EXPECT_EQ(cqe.dw0, 0) TH_LOG("command %u", i);
		EXPECT_EQ(nvme_count(q, cid), 0) TH_LOG("command %u twice", i);
	}
	EXPECT_TRUE(stays_false((nvme_reap(nvme, q), q->stashed)));
}

TEST_F_TIMEOUT(inflight, commands_move_and_complete_once, 60)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};
	u16 cids[16];

	for (int i = 0; i < 8; i++)
		fill_pattern(self->buf + i * PAGE, PAGE, i + 1);
	nvme_write_bytes(self->nvme, 0, self->buf, 8 * PAGE);
	memset(self->buf, 0, 8 * PAGE);
	rig_settle(rig);

	/* Reads of what was written, and writes elsewhere */
	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", SLOW_US), 0);
	for (int i = 0; i < 8; i++) {
		fill_pattern(self->buf + (8 + i) * PAGE, PAGE, 100 + i);
		cids[i] = nvme_start_rw(self->nvme, self->q, NVME_READ, 8 * i,
					self->buf + i * PAGE);
		cids[8 + i] = nvme_start_rw(self->nvme, self->q, NVME_WRITE, 64 + 8 * i,
					    self->buf + (8 + i) * PAGE);
	}
	mig_save(&rig->dev[0], &blob);
	ASSERT_EQ(nvme_peek(self->q), 0) TH_LOG("not in flight any more: too slow a machine?");
	EXPECT_EQ(event_count(rig->irq[1]), 0);
	EXPECT_TRUE(is_filled(self->buf, 8 * PAGE, 0));

	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 0), 0);
	rig_land(rig, &blob, RUNNING);
	expect_all_once(_metadata, self->nvme, self->q, cids, 16);
	EXPECT_TRUE(event_wait(rig->irq[1]));
	for (int i = 0; i < 8; i++)
		EXPECT_TRUE(is_pattern(self->buf + i * PAGE, PAGE, i + 1));
	nvme_read_bytes(self->nvme, 64 * 512, self->buf, 8 * PAGE);
	for (int i = 0; i < 8; i++)
		EXPECT_TRUE(is_pattern(self->buf + i * PAGE, PAGE, 100 + i));
	blob_free(&blob);
}

TEST_F_TIMEOUT(inflight, migration_given_up_loses_nothing, 60)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};
	u16 cids[8];

	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", SLOW_US), 0);
	for (int i = 0; i < 8; i++)
		cids[i] = nvme_start_rw(self->nvme, self->q, NVME_WRITE, 8 * i,
					self->buf + i * PAGE);
	mig_save(&rig->dev[0], &blob);
	ASSERT_EQ(nvme_peek(self->q), 0);
	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 0), 0);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	expect_all_once(_metadata, self->nvme, self->q, cids, 8);
	blob_free(&blob);
}

/* Commands that the device has at a time */
#define FETCHED		240
#define LATENCY_MS	400

/*
 * As many commands as the device fetches, and one with a later doorbell, which stays in the
 * queue.  Returns the cid of the latter.
 */
static u16 leave_one_in_the_queue(struct rig *rig, struct nvme_queue *deep, u8 *buf)
{
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 0, 1);
	struct nvme *nvme = &rig->nvme;
	u16 last;

	must(!pf_attr_set(rig->pf, "io_latency_us", LATENCY_MS * 1000));
	nvme_set_prps(nvme, deep, &cmd, buf, nvme->lba_size);
	for (unsigned int i = 0; i < FETCHED; i++)
		nvme_submit(nvme, deep, &cmd);
	nvme_ring(nvme, deep);
	sleep_ms(LATENCY_MS / 2);
	last = nvme_submit(nvme, deep, &cmd);
	nvme_ring(nvme, deep);
	/* The doorbell takes effect in the worker */
	sleep_ms(20);
	return last;
}

/* The time of a command in its queue counts for its latency, but not while the device is stopped */
TEST_F_TIMEOUT(inflight, latency_of_a_queued_command_waits_with_the_device, 60)
{
	struct rig *rig = &self->rig;
	struct nvme_queue *deep = &self->nvme->io[2];
	u64 begin;
	u16 last;

	ASSERT_EQ(nvme_create_io(self->nvme, 2, 1024, -1), 0);
	last = leave_one_in_the_queue(rig, deep, self->buf);
	begin = now_ms();
	ASSERT_EQ(mig_set(&rig->dev[0], STOP, NULL), 0);
	ASSERT_EQ(nvme_peek(deep), 0) TH_LOG("not in flight any more: too slow a machine?");
	sleep_ms(2 * LATENCY_MS);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	EXPECT_EQ(nvme_wait(self->nvme, deep, last, NULL), 0);
	/* All of its latency and the stop, but for what passed before @begin */
	EXPECT_GE(now_ms() - begin, 3 * LATENCY_MS - 100);
	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 0), 0);
}

/* What the destination did before says nothing about the commands in the queues that it gets */
TEST_F_TIMEOUT(inflight, latency_of_a_queued_command_begins_anew_where_it_is_loaded, 60)
{
	struct rig *rig = &self->rig;
	struct nvme_queue *deep = &self->nvme->io[2];
	struct blob blob = {};
	u64 begin;
	u16 last;

	ASSERT_EQ(nvme_create_io(self->nvme, 2, 1024, -1), 0);
	last = leave_one_in_the_queue(rig, deep, self->buf);
	mig_save(&rig->dev[0], &blob);
	ASSERT_EQ(nvme_peek(deep), 0) TH_LOG("not in flight any more: too slow a machine?");
	/* Back where it came from, which knows the times of other doorbells */
	ASSERT_EQ(mig_load(&rig->dev[0], &blob), 0);
	begin = now_ms();
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	EXPECT_EQ(nvme_wait(self->nvme, deep, last, NULL), 0);
	EXPECT_GE(now_ms() - begin, LATENCY_MS);
	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 0), 0);
	blob_free(&blob);
}

TEST_F(inflight, event_requests_move)
{
	struct nvme_cmd aer = { .opcode = NVME_AER };
	struct nvme_queue *admin = &self->nvme->admin;
	struct nvme_cqe cqe;
	u16 cid[2];
	u8 *log = arena_alloc(&self->rig.mem, PAGE);

	for (int i = 0; i < 2; i++)
		cid[i] = nvme_submit(self->nvme, admin, &aer);
	nvme_ring(self->nvme, admin);
	rig_move(&self->rig, RUNNING);
	EXPECT_TRUE(stays_false((nvme_reap(self->nvme, admin), admin->stashed)));

	/* A doorbell value that can't be: one event, for one of the requests */
	nvme_doorbell(self->nvme, 1, false, 0x7fff);
	ASSERT_TRUE(wait_until((nvme_reap(self->nvme, admin), admin->stashed)));
	EXPECT_TRUE(nvme_take(admin, cid[0], &cqe) || nvme_take(admin, cid[1], &cqe));
	EXPECT_EQ(cqe.status >> 1, 0);
	EXPECT_EQ(cqe.dw0 & 7, 0);
	EXPECT_EQ(cqe.dw0 >> 8 & 0xff, 1);
	EXPECT_EQ(cqe.dw0 >> 16 & 0xff, 1);
	EXPECT_EQ(nvme_get_log(self->nvme, 1, log, 64), 0);
	EXPECT_EQ(admin->stashed, 0);
}

TEST_F(inflight, event_waits_for_its_request_on_the_way)
{
	struct nvme_cmd aer = { .opcode = NVME_AER };
	struct nvme_cqe cqe;

	/* The event happens at the source, the request comes at the destination */
	nvme_doorbell(self->nvme, 1, false, 0x7fff);
	rig_move(&self->rig, RUNNING);
	ASSERT_EQ(nvme_sync(self->nvme, &self->nvme->admin, &aer, &cqe), 0);
	EXPECT_EQ(cqe.dw0 & 7, 0);
}

TEST_F(inflight, p2p_takes_doorbells_and_does_nothing)
{
	struct rig *rig = &self->rig;
	u16 cid;

	fill_pattern(self->buf, PAGE, 1);
	nvme_write_bytes(self->nvme, 0, self->buf, PAGE);
	memset(self->buf, 0, PAGE);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING_P2P, NULL), 0);
	event_count(rig->irq[1]);
	cid = nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);
	EXPECT_TRUE(stays_false(nvme_peek(self->q) || !is_filled(self->buf, PAGE, 0)));
	EXPECT_EQ(event_count(rig->irq[1]), 0);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), 0);
	EXPECT_TRUE(event_wait(rig->irq[1]));
	EXPECT_TRUE(is_pattern(self->buf, PAGE, 1));
}

TEST_F(inflight, p2p_takes_register_writes)
{
	struct rig *rig = &self->rig;
	struct vfio_dev *dev = &rig->dev[0];

	ASSERT_EQ(mig_set(dev, RUNNING_P2P, NULL), 0);
	EXPECT_TRUE(bar_read32(dev, NVME_CSTS) & NVME_CSTS_RDY);
	bar_write32(dev, NVME_CC, bar_read32(dev, NVME_CC) & ~NVME_CC_EN);
	EXPECT_FALSE(bar_read32(dev, NVME_CC) & NVME_CC_EN);
	ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
	EXPECT_TRUE(wait_until(!(bar_read32(dev, NVME_CSTS) & NVME_CSTS_RDY)));
	nvme_restart(self->nvme);
}

TEST_F(inflight, doorbell_rung_in_p2p_is_served_by_the_destination)
{
	struct rig *rig = &self->rig;
	u16 cid;

	fill_pattern(self->buf, PAGE, 1);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING_P2P, NULL), 0);
	cid = nvme_start_rw(self->nvme, self->q, NVME_WRITE, 0, self->buf);
	rig_move(rig, RUNNING);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), 0);
	memset(self->buf, 0, PAGE);
	nvme_read_bytes(self->nvme, 0, self->buf, PAGE);
	EXPECT_TRUE(is_pattern(self->buf, PAGE, 1));
}

TEST_F(inflight, destination_is_quiet_until_it_runs)
{
	struct rig *rig = &self->rig;
	u16 cid;

	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING_P2P, NULL), 0);
	cid = nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);
	rig_move(rig, RUNNING_P2P);
	event_count(rig->irq[1]);
	EXPECT_TRUE(stays_false(nvme_peek(self->q)));
	EXPECT_EQ(event_count(rig->irq[1]), 0);
	ASSERT_EQ(mig_set(&rig->dev[1], RUNNING, NULL), 0);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), 0);
}

TEST_F(inflight, stopped_device_does_not_change)
{
	struct rig *rig = &self->rig;
	struct vfio_dev *dev = &rig->dev[0];
	struct blob before = {}, after = {};
	u8 *copy;

	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 20000), 0);
	for (int i = 0; i < 32; i++)
		nvme_start_rw(self->nvme, self->q, i % 2 ? NVME_READ : NVME_WRITE, 8 * i,
			      self->buf + i * PAGE);
	ASSERT_EQ(mig_set(dev, STOP, NULL), 0);
	copy = malloc(rig->mem.used);
	ASSERT_NE(copy, NULL);
	memcpy(copy, rig->mem.va, rig->mem.used);
	mig_save(dev, &before);
	event_count(rig->irq[1]);

	/* Whatever a user does to it now */
	nvme_doorbell(self->nvme, 1, false, 5);
	nvme_doorbell(self->nvme, 1, true, 0x7000);
	bar_write32(dev, NVME_CC, 0);
	bar_write64(dev, NVME_ASQ, 0x123000);
	vfio_bus_master(dev, false);
	vfio_bus_master(dev, true);
	EXPECT_TRUE(stays_false(memcmp(copy, rig->mem.va, rig->mem.used)));
	EXPECT_EQ(event_count(rig->irq[1]), 0);
	EXPECT_TRUE(bar_read32(dev, NVME_CC) & NVME_CC_EN);
	mig_save(dev, &after);
	EXPECT_TRUE(blob_equal(&before, &after));
	free(copy);
	blob_free(&before);
	blob_free(&after);
}

TEST_F(inflight, missed_interrupt_is_raised_after_the_move)
{
	struct rig *rig = &self->rig;

	/*
	 * Complete, with the interrupt at the source, which the guest did not come to
	 * handle: the entry is not consumed.
	 */
	nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);
	ASSERT_TRUE(wait_until(nvme_peek(self->q) == 1));
	ASSERT_TRUE(event_wait(rig->irq[1]));
	rig_move(rig, RUNNING);
	EXPECT_TRUE(event_wait(rig->irq[1]));
	nvme_reap(self->nvme, self->q);
	EXPECT_EQ(self->q->stashed, 1);
}

TEST_F(inflight, interrupt_pending_at_the_source_is_not_lost)
{
	struct rig *rig = &self->rig;
	int none = -1;

	/* The vector is masked, as QEMU shows it, so no interrupt went out */
	ASSERT_EQ(vfio_irqs_set(&rig->dev[0], 1, 1, &none), 0);
	nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);
	ASSERT_TRUE(wait_until(vfio_irq_pending(&rig->dev[0], 1)));
	event_count(rig->irq[1]);
	rig_move(rig, RUNNING);
	EXPECT_TRUE(event_wait(rig->irq[1]));
}

TEST_F(inflight, interrupt_at_the_destination_waits_for_its_eventfd)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};
	int none = -1;

	nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);
	ASSERT_TRUE(wait_until(nvme_peek(self->q) == 1));
	ASSERT_TRUE(event_wait(rig->irq[1]));
	mig_save(&rig->dev[0], &blob);
	must(!mig_load(&rig->dev[1], &blob));
	vfio_bus_master(&rig->dev[1], true);
	ASSERT_EQ(vfio_irqs_set(&rig->dev[1], 0, 1, &rig->irq[0]), 0);
	ASSERT_EQ(vfio_irqs_set(&rig->dev[1], 1, 1, &none), 0);
	ASSERT_EQ(mig_set(&rig->dev[1], RUNNING, NULL), 0);
	EXPECT_EQ(event_count(rig->irq[1]), 0);
	ASSERT_EQ(vfio_irqs_set(&rig->dev[1], 1, 1, &rig->irq[1]), 0);
	EXPECT_TRUE(event_wait(rig->irq[1]));
	blob_free(&blob);
}

TEST_F(inflight, full_completion_queue_moves)
{
	struct rig *rig = &self->rig;
	struct nvme_queue *q = &self->nvme->io[2];
	struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };
	u16 cids[6];

	/* Completion queue of 4 entries, so 3 at a time; submission queue of 8 */
	ASSERT_EQ(nvme_create_io(self->nvme, 2, 8, 2), 0);
	ASSERT_EQ(nvme_delete_sq(self->nvme, 2), 0);
	ASSERT_EQ(nvme_delete_cq(self->nvme, 2), 0);
	memset(q->cq, 0, 8 * sizeof(*q->cq));
	ASSERT_EQ(nvme_create_cq(self->nvme, 2, 4, 2, arena_iova(&rig->mem, q->cq)), 0);
	ASSERT_EQ(nvme_create_sq(self->nvme, 2, 8, 2, arena_iova(&rig->mem, q->sq)), 0);
	for (int i = 0; i < 6; i++)
		cids[i] = nvme_submit(self->nvme, q, &flush);
	nvme_ring(self->nvme, q);
	q->depth = 4;	/* as for the completion queue from here on */
	ASSERT_TRUE(wait_until(nvme_peek(q) == 3));
	EXPECT_TRUE(stays_false((nvme_cqe_status(q, 3) & 1) == 1));
	rig_move(rig, RUNNING);
	expect_all_once(_metadata, self->nvme, q, cids, 6);
}

#define GIVEN_BACK	5
#define ROOM		2	/* for so many of these completions */

/* Delete a submission queue with commands, which are given back to a small completion queue */
static void give_back(struct rig *rig, struct nvme_queue *q, u16 *cids)
{
	struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };
	struct nvme *nvme = &rig->nvme;
	u32 value;

	must(!nvme_create_io(nvme, q->id, 8, 2));
	must(!nvme_delete_sq(nvme, q->id) && !nvme_delete_cq(nvme, q->id));
	memset(q->cq, 0, 8 * sizeof(*q->cq));
	must(!nvme_create_cq(nvme, q->id, ROOM + 1, 2, arena_iova(&rig->mem, q->cq)));
	must(!nvme_create_sq(nvme, q->id, 8, q->id, arena_iova(&rig->mem, q->sq)));
	must(!pf_attr_set(rig->pf, "io_latency_us", SLOW_US));
	for (unsigned int i = 0; i < GIVEN_BACK; i++)
		cids[i] = nvme_submit(nvme, q, &flush);
	nvme_ring(nvme, q);
	/* The device has fetched them when it has seen a later doorbell */
	must(!nvme_get_feature(nvme, 1, &value));
	must(!nvme_delete_sq(nvme, q->id));
	must(!pf_attr_set(rig->pf, "io_latency_us", 0));
	q->depth = ROOM + 1;
}

/* Commands that are done, and whose completions find no room */
TEST_F(inflight, completions_without_room_move)
{
	struct rig *rig = &self->rig;
	struct nvme_queue *q = &self->nvme->io[2];
	u16 cids[GIVEN_BACK];
	struct nvme_cqe cqe;

	q->id = 2;
	give_back(rig, q, cids);
	ASSERT_EQ(nvme_peek(q), ROOM);
	rig_move(rig, RUNNING);
	for (unsigned int i = 0; i < GIVEN_BACK; i++) {
		EXPECT_EQ(nvme_wait(self->nvme, q, cids[i], &cqe), NVME_ABORT_SQ_DELETED);
		EXPECT_EQ(cqe.sq_id, 2);
		EXPECT_EQ(nvme_count(q, cids[i]), 0);
	}
	EXPECT_TRUE(stays_false((nvme_reap(self->nvme, q), q->stashed)));
}

TEST_F(inflight, completions_of_a_deleted_queue_are_gone)
{
	struct rig *rig = &self->rig;
	struct nvme_queue *q = &self->nvme->io[2];
	u16 cids[GIVEN_BACK];
	u64 size[2];

	must(!mig_size(&rig->dev[0], &size[0]));
	q->id = 2;
	give_back(rig, q, cids);
	ASSERT_EQ(nvme_peek(q), ROOM);
	ASSERT_EQ(nvme_delete_cq(self->nvme, 2), 0);
	/* They are no part of the state any more */
	must(!mig_size(&rig->dev[0], &size[1]));
	EXPECT_EQ(size[1], size[0]);

	/* Nor do they come to a queue of the same number, here or elsewhere */
	ASSERT_EQ(nvme_create_io(self->nvme, 2, 8, 2), 0);
	EXPECT_TRUE(stays_false(nvme_peek(q)));
	rig_move(rig, RUNNING);
	EXPECT_TRUE(stays_false(nvme_peek(q)));
	EXPECT_EQ(nvme_rw(self->nvme, q, NVME_READ, 0, 1, self->buf), 0);
	EXPECT_EQ(q->stashed, 0);
}

TEST_F_TIMEOUT(inflight, back_and_forth_under_load, 90)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};
	unsigned int at = 0;
	u16 cids[16];

	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 1000), 0);
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 16; i++) {
			fill_pattern(self->buf + i * PAGE, PAGE, round * 16 + i);
			cids[i] = nvme_start_rw(self->nvme, self->q, NVME_WRITE, 8 * i,
						self->buf + i * PAGE);
		}
		mig_save(&rig->dev[at], &blob);
		at = !at;
		must(!mig_load(&rig->dev[at], &blob));
		vfio_bus_master(&rig->dev[at], true);
		rig_irqs(rig, at);
		ASSERT_EQ(mig_set(&rig->dev[at], RUNNING, NULL), 0);
		self->nvme->dev = &rig->dev[at];
		expect_all_once(_metadata, self->nvme, self->q, cids, 16);
		nvme_read_bytes(self->nvme, 0, self->buf, 16 * PAGE);
		for (int i = 0; i < 16; i++)
			EXPECT_TRUE(is_pattern(self->buf + i * PAGE, PAGE, round * 16 + i));
	}
	blob_free(&blob);
}

#define LARGE_MB	32

/*
 * One command about a lot of memory.  Only in a session does the device deallocate a whole MiB
 * granule by granule; parts of one always.
 */
FIXTURE(lengthy)
{
	struct rig rig;
	u8 *buf;
	int fd;
};

FIXTURE_VARIANT(lengthy)
{
	enum iommu_mode mode;
	unsigned int ranges;
	bool session;
};

FIXTURE_VARIANT_ADD(lengthy, one_range)
{
	.mode = IOMMU_TYPE1,
	.ranges = 1,
	.session = true,
};

FIXTURE_VARIANT_ADD(lengthy, one_range_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.ranges = 1,
	.session = true,
};

FIXTURE_VARIANT_ADD(lengthy, many_ranges)
{
	.mode = IOMMU_TYPE1,
	.ranges = 128,
};

FIXTURE_VARIANT_ADD(lengthy, many_ranges_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.ranges = 128,
};

FIXTURE_SETUP(lengthy)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = LARGE_MB };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 2);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->buf = arena_alloc(&self->rig.mem, KIB(256));
	fill_pattern(self->buf, KIB(256), 1);
	self->fd = -1;
}

FIXTURE_TEARDOWN(lengthy)
{
	rig_close(&self->rig);
}

static void fill_medium(struct nvme *nvme, u8 *buf)
{
	for (u64 at = 0; at < MIB(LARGE_MB); at += KIB(256))
		nvme_write_bytes(nvme, at, buf, KIB(256));
}

/* Who stops the device does not wait for the whole of it */
TEST_F_TIMEOUT(lengthy, deallocation_stops_half_way_and_moves, 120)
{
	struct rig *rig = &self->rig;
	struct nvme_queue *q = &rig->nvme.io[1];
	bool half_way = false;
	u16 cid;

	for (unsigned int i = 0; i < 20 && !half_way; i++) {
		struct nvme_cmd cmd;
		u64 left;

		fill_medium(&rig->nvme, self->buf);
		if (variant->session)
			ASSERT_EQ(mig_set(&rig->dev[0], PRE_COPY, &self->fd), 0);
		cmd = nvme_deallocate_cmd(&rig->nvme, q, 0, rig->nvme.lbas,
					  variant->ranges);
		cid = nvme_submit(&rig->nvme, q, &cmd);
		nvme_ring(&rig->nvme, q);
		while (vf_media_allocated(rig->dev[0].bdf) == MIB(LARGE_MB))
			;
		ASSERT_EQ(mig_set(&rig->dev[0], variant->session ? STOP_COPY : STOP, NULL), 0);
		if (variant->session)
			close(self->fd);
		left = vf_media_allocated(rig->dev[0].bdf);
		half_way = left && left < MIB(LARGE_MB);
		EXPECT_TRUE(!half_way || !nvme_peek(q));
		if (!half_way) {
			ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
			ASSERT_EQ(nvme_wait(&rig->nvme, q, cid, NULL), 0);
		}
	}
	ASSERT_TRUE(half_way);

	ASSERT_EQ(mig_set(&rig->dev[0], STOP, NULL), 0);
	rig_move(rig, RUNNING);
	expect_all_once(_metadata, &rig->nvme, q, &cid, 1);
	EXPECT_EQ(vf_media_allocated(rig->dev[1].bdf), 0);
	nvme_read_bytes(&rig->nvme, 0, self->buf, KIB(256));
	EXPECT_TRUE(is_filled(self->buf, KIB(256), 0));
}

/* Reads in another queue's turn, and the command itself, come to their end */
TEST_F_TIMEOUT(lengthy, deallocation_leaves_room_for_others, 60)
{
	struct rig *rig = &self->rig;
	struct nvme_queue *q = &rig->nvme.io[1];
	struct nvme_cmd cmd;
	unsigned int beside = 0;
	u16 cid;

	ASSERT_EQ(nvme_create_io(&rig->nvme, 2, 16, -1), 0);
	if (variant->session)
		ASSERT_EQ(mig_set(&rig->dev[0], PRE_COPY, &self->fd), 0);
	for (unsigned int i = 0; i < 20 && !beside; i++) {
		fill_medium(&rig->nvme, self->buf);
		cmd = nvme_deallocate_cmd(&rig->nvme, q, 0, rig->nvme.lbas,
					  variant->ranges);
		cid = nvme_submit(&rig->nvme, q, &cmd);
		nvme_ring(&rig->nvme, q);
		while (vf_media_allocated(rig->dev[0].bdf) == MIB(LARGE_MB))
			;
		while (!nvme_peek(q)) {
			ASSERT_EQ(nvme_rw(&rig->nvme, &rig->nvme.io[2], NVME_READ, 0, 8,
					  self->buf), 0);
			beside += !nvme_peek(q);
		}
		ASSERT_EQ(nvme_wait(&rig->nvme, q, cid, NULL), 0);
		EXPECT_EQ(vf_media_allocated(rig->dev[0].bdf), 0);
	}
	EXPECT_GT(beside, 0);
	if (variant->session)
		close(self->fd);
}

TEST_HARNESS_MAIN
