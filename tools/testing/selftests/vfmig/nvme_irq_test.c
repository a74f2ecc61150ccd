// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupt Coalescing of an NVMe VF: how many interrupts a host gets for its commands, and that
 * none is lost.
 *
 * Commands are submitted one by one, so each has an interrupt of its own unless the controller
 * holds it.  A controller may hold one for 25.5 ms at most.  Where the commands of a test took
 * longer, which they do now and then on a busy machine, the test tries again.
 */
#include <stdlib.h>
#include <unistd.h>

#include "bells.h"
#include "ctl.h"
#include "rig.h"

#include "harness.h"

#define COALESCING	0x08
#define VECTOR_CONFIG	0x09

#define LONGEST		255	/* aggregation time in units of 100 us */
#define HOLD_MS		25
#define MANY		256	/* entries that no test posts */
#define TRIES		50

FIXTURE(nvme_irq)
{
	struct rig rig;
	struct nvme *nvme;
	u32 *bells;
};

FIXTURE_VARIANT(nvme_irq)
{
	enum iommu_mode mode;
	bool mapped;
};

FIXTURE_VARIANT_ADD(nvme_irq, trapped)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(nvme_irq, mapped)
{
	.mode = IOMMU_TYPE1,
	.mapped = true,
};

FIXTURE_VARIANT_ADD(nvme_irq, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(nvme_irq)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = 1 };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	if (!variant->mapped)
		return;
	self->bells = bells_begin(self->nvme, self->rig.pf, 200);
	if (!self->bells)
		SKIP(return, "doorbells are not mapped on a machine with one CPU");
}

FIXTURE_TEARDOWN(nvme_irq)
{
	if (self->bells)
		bells_unmap(self->bells);
	if (self->rig.devs)
		rig_close(&self->rig);
}

/* Hold interrupts for @entries, or @time in units of 100 us */
static void coalesce(struct nvme *nvme, unsigned int entries, unsigned int time)
{
	must(!nvme_set_feature(nvme, COALESCING, time << 8 | (entries - 1)));
}

static void disable_for(struct nvme *nvme, unsigned int vector)
{
	must(!nvme_set_feature(nvme, VECTOR_CONFIG, 1 << 16 | vector));
}

static int flush(struct nvme *nvme, struct nvme_queue *q)
{
	struct nvme_cmd cmd = { .opcode = NVME_FLUSH, .nsid = 1 };

	return nvme_sync(nvme, q, &cmd, NULL);
}

/* Of a block that there is not */
static void read_nothing(struct nvme *nvme, struct nvme_queue *q)
{
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, nvme->lbas, 1);

	must(nvme_sync(nvme, q, &cmd, NULL) == NVME_LBA_OUT_OF_RANGE);
}

/* Each function does a few things that may be followed by an interrupt */

static void do_flush(struct nvme *nvme)
{
	must(!flush(nvme, &nvme->io[1]));
}

static void do_flush_in_2(struct nvme *nvme)
{
	must(!flush(nvme, &nvme->io[2]));
}

static void do_flush_in_both(struct nvme *nvme)
{
	do_flush(nvme);
	do_flush_in_2(nvme);
}

static void do_admin(struct nvme *nvme)
{
	u32 value;

	must(!nvme_get_feature(nvme, COALESCING, &value));
}

static void do_fail(struct nvme *nvme)
{
	read_nothing(nvme, &nvme->io[1]);
}

/* One that can be held, and an admin command that uses the same vector */
static void do_both(struct nvme *nvme)
{
	do_flush_in_2(nvme);
	do_admin(nvme);
}

static void do_create_again(struct nvme *nvme)
{
	do_flush(nvme);
	must(!nvme_delete_sq(nvme, 1));
	must(!nvme_delete_cq(nvme, 1));
	must(!nvme_create_io(nvme, 1, 64, 1));
}

static void do_set_again(struct nvme *nvme)
{
	do_flush(nvme);
	coalesce(nvme, MANY, LONGEST);
}

static void do_configure_again(struct nvme *nvme)
{
	do_flush(nvme);
	must(!nvme_set_feature(nvme, VECTOR_CONFIG, 1));
}

/* As many as the completion queue has room for, which the host takes only then */
static void do_fill_2(struct nvme *nvme)
{
	struct nvme_cmd cmd = { .opcode = NVME_FLUSH, .nsid = 1 };
	struct nvme_queue *q = &nvme->io[2];
	const unsigned int room = q->depth - 1;

	for (unsigned int i = 0; i < room; i++)
		nvme_submit(nvme, q, &cmd);
	nvme_ring(nvme, q);
	must(wait_until(nvme_peek(q) == room));
	nvme_reap(nvme, q);
	q->stashed = 0;
}

/* Do @n times @what, all of it within the time of a hold, give @want interrupts on @vector? */
static bool gives(struct rig *rig, u64 want, unsigned int vector, unsigned int n,
		  void (*what)(struct nvme *nvme))
{
	const int fd = rig->irq[vector];
	u64 begin, events = 0;

	for (unsigned int try = 0; try < TRIES; try++) {
		rig_settle(rig);
		begin = now_ms();
		for (unsigned int i = 0; i < n; i++)
			what(&rig->nvme);
		/* A millisecond of the clock may have been over in part */
		if (now_ms() - begin >= HOLD_MS - 1)
			continue;
		wait_until((events += event_count(fd)) >= want);
		stays_false((events += event_count(fd)) > want);
		if (events != want)
			note("%llu interrupts, not %llu", (unsigned long long)events,
			     (unsigned long long)want);
		return events == want;
	}
	fail(__FILE__, __LINE__, "this takes longer than %u ms", HOLD_MS);
}

TEST_F(nvme_irq, each_command_has_one_at_first)
{
	EXPECT_TRUE(gives(&self->rig, 4, 1, 4, do_flush));
}

TEST_F(nvme_irq, number_of_entries_shares_one)
{
	coalesce(self->nvme, 4, LONGEST);
	EXPECT_TRUE(gives(&self->rig, 1, 1, 4, do_flush));
	EXPECT_TRUE(gives(&self->rig, 2, 1, 8, do_flush));
	/* That of the last one comes by time */
	EXPECT_TRUE(gives(&self->rig, 2, 1, 5, do_flush));
	coalesce(self->nvme, 2, LONGEST);
	EXPECT_TRUE(gives(&self->rig, 2, 1, 4, do_flush));
	EXPECT_TRUE(gives(&self->rig, 2, 1, 3, do_flush));
}

/* For fewer entries than that, and for those that are over */
TEST_F(nvme_irq, time_ends_the_hold)
{
	coalesce(self->nvme, MANY, LONGEST);
	EXPECT_TRUE(gives(&self->rig, 1, 1, 1, do_flush));
	EXPECT_TRUE(gives(&self->rig, 1, 1, 3, do_flush));
	coalesce(self->nvme, 4, LONGEST);
	EXPECT_TRUE(gives(&self->rig, 2, 1, 6, do_flush));
}

/* Never for less than that, and not for much more if the machine has the time */
TEST_F(nvme_irq, hold_is_as_long_as_it_was_set)
{
	u64 shortest = ~0ULL;

	coalesce(self->nvme, MANY, 100);
	for (unsigned int i = 0; i < TRIES; i++) {
		u64 begin, took;

		rig_settle(&self->rig);
		begin = now_ms();
		do_flush(self->nvme);
		ASSERT_TRUE(event_wait(self->rig.irq[1]));
		took = now_ms() - begin;
		EXPECT_GE(took, 9);
		shortest = took < shortest ? took : shortest;
	}
	EXPECT_LE(shortest, 50);
}

/* Each time the device has gone to sleep */
TEST_F(nvme_irq, none_is_lost)
{
	static const u8 times[] = { 1, 5, 20, 100 };

	for (unsigned int i = 0; i < ARRAY_SIZE(times); i++) {
		coalesce(self->nvme, MANY, times[i]);
		for (unsigned int k = 0; k < 25; k++) {
			rig_settle(&self->rig);
			do_flush(self->nvme);
			ASSERT_TRUE(event_wait(self->rig.irq[1])) TH_LOG("time %u", times[i]);
		}
	}
}

TEST_F(nvme_irq, either_0_holds_nothing)
{
	coalesce(self->nvme, 1, LONGEST);
	EXPECT_TRUE(gives(&self->rig, 4, 1, 4, do_flush));
	coalesce(self->nvme, 4, 0);
	EXPECT_TRUE(gives(&self->rig, 4, 1, 4, do_flush));
}

TEST_F(nvme_irq, vector_can_be_left_out)
{
	ASSERT_EQ(nvme_create_io(self->nvme, 2, 16, 2), 0);
	coalesce(self->nvme, 4, LONGEST);
	disable_for(self->nvme, 2);
	EXPECT_TRUE(gives(&self->rig, 4, 2, 4, do_flush_in_2));
	EXPECT_TRUE(gives(&self->rig, 1, 1, 4, do_flush));
}

TEST_F(nvme_irq, admin_queue_has_one_for_each)
{
	ASSERT_EQ(nvme_create_io(self->nvme, 2, 16, 0), 0);
	coalesce(self->nvme, MANY, LONGEST);
	EXPECT_TRUE(gives(&self->rig, 4, 0, 4, do_admin));
	EXPECT_TRUE(gives(&self->rig, 1, 0, 4, do_flush_in_2));
	EXPECT_TRUE(gives(&self->rig, 4, 0, 4, do_both));
}

/* Neither of them has so many entries */
TEST_F(nvme_irq, queues_share_the_number_of_a_vector)
{
	ASSERT_EQ(nvme_create_io(self->nvme, 2, 16, 1), 0);
	coalesce(self->nvme, 4, LONGEST);
	EXPECT_TRUE(gives(&self->rig, 2, 1, 3, do_flush_in_both));
}

TEST_F(nvme_irq, failed_command_has_one_at_once)
{
	coalesce(self->nvme, MANY, LONGEST);
	EXPECT_TRUE(gives(&self->rig, 4, 1, 4, do_fail));
}

TEST_F(nvme_irq, full_queue_has_one_at_once)
{
	ASSERT_EQ(nvme_create_io(self->nvme, 2, 4, 2), 0);
	coalesce(self->nvme, MANY, LONGEST);
	EXPECT_TRUE(gives(&self->rig, 4, 2, 4, do_fill_2));
}

TEST_F(nvme_irq, new_setting_ends_the_hold)
{
	coalesce(self->nvme, MANY, LONGEST);
	EXPECT_TRUE(gives(&self->rig, 4, 1, 4, do_set_again));
	EXPECT_TRUE(gives(&self->rig, 4, 1, 4, do_configure_again));
}

TEST_F(nvme_irq, deleted_queue_ends_the_hold)
{
	coalesce(self->nvme, MANY, LONGEST);
	EXPECT_TRUE(gives(&self->rig, 2, 1, 2, do_create_again));
}

/* Nothing would raise it at the destination: the host has consumed the entry */
TEST_F(nvme_irq, held_one_comes_before_p2p)
{
	struct vfio_dev *dev = &self->rig.dev[0];

	coalesce(self->nvme, MANY, LONGEST);
	for (unsigned int i = 0; i < 10; i++) {
		rig_settle(&self->rig);
		do_flush(self->nvme);
		ASSERT_EQ(mig_set(dev, RUNNING_P2P, NULL), 0);
		EXPECT_EQ(event_count(self->rig.irq[1]), 1);
		ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
		EXPECT_EQ(event_count(self->rig.irq[1]), 0);
	}
}

TEST_F(nvme_irq, setting_moves)
{
	ASSERT_EQ(nvme_create_io(self->nvme, 2, 16, 2), 0);
	coalesce(self->nvme, 4, LONGEST);
	disable_for(self->nvme, 2);
	bells_use(self->nvme, NULL);
	rig_second(&self->rig);
	rig_move(&self->rig, RUNNING);
	EXPECT_TRUE(gives(&self->rig, 1, 1, 4, do_flush));
	EXPECT_TRUE(gives(&self->rig, 4, 2, 4, do_flush_in_2));
}

TEST_F(nvme_irq, vfmigctl_tells_the_setting)
{
	const char *why = ctl_require();
	char path[] = "/tmp/nvme_irq.XXXXXX";
	struct blob blob = {};
	int fd;

	if (why)
		SKIP(return, "%s", why);
	fd = mkstemp(path);
	ASSERT_GE(fd, 0);
	coalesce(self->nvme, 4, LONGEST);
	disable_for(self->nvme, 2);
	mig_save(&self->rig.dev[0], &blob);
	ASSERT_EQ(write(fd, blob.data, blob.len), (ssize_t)blob.len);
	EXPECT_TRUE(ctl_json("[d[\"stream\"][\"state\"][k] for k in (\"coalescing_threshold\", "
			     "\"coalescing_time_us\", \"vectors_not_coalesced\")] == "
			     "[4, 25500, \"0x4\"]", "stream check %s", path))
		TH_LOG("%s", tool_said());
	close(fd);
	unlink(path);
	blob_free(&blob);
}

TEST_F_TIMEOUT(nvme_irq, reset_ends_it, 90)
{
	struct nvme *nvme = self->nvme;
	u32 value;

	for (unsigned int i = 0; i < 5; i++) {
		coalesce(nvme, MANY, LONGEST);
		disable_for(nvme, 2);
		do_flush(nvme);
		if (i < 4)
			vfio_reset_by(&self->rig.dev[0], self->rig.pf, i);
		else
			ASSERT_EQ(nvme_disable(nvme), 0);
		event_count(self->rig.irq[1]);
		/* A reset of the PF leaves MSI-X of the VF disabled */
		vfio_irqs_off(&self->rig.dev[0]);
		rig_irqs(&self->rig, 0);
		EXPECT_TRUE(stays_false(event_count(self->rig.irq[1])));
		nvme_restart(nvme);
		ASSERT_EQ(nvme_get_feature(nvme, COALESCING, &value), 0);
		EXPECT_EQ(value, 0);
		ASSERT_EQ(nvme_create_io(nvme, 1, 64, 1), 0);
		ASSERT_EQ(nvme_create_io(nvme, 2, 64, 2), 0);
		EXPECT_TRUE(gives(&self->rig, 4, 1, 4, do_flush)) TH_LOG("reset %u", i);
		coalesce(nvme, 4, LONGEST);
		EXPECT_TRUE(gives(&self->rig, 1, 2, 4, do_flush_in_2)) TH_LOG("reset %u", i);
	}
}

TEST_HARNESS_MAIN
