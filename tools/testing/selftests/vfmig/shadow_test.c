// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow doorbells (NVMe 1.4, 5.7 and 7.13): the driver stores to its memory and often does not
 * write the register.  No command may be lost because of that, in any state of the device and over
 * a move, and whatever a driver has in these buffers must harm only itself.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rig.h"
#include "shadow.h"

#include "harness.h"

#define MEDIA_MB	4
#define BLOCKS		8	/* of a page */
#define BURST		8
#define PAGES		32

#define EFFECTS_LOG	5

FIXTURE(shadow)
{
	struct rig rig;
	struct nvme *nvme;
	struct nvme_queue *q;
	struct shadow shadow;
	u8 *buf;
};

FIXTURE_VARIANT(shadow)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(shadow, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(shadow, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(shadow)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = MEDIA_MB };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 2);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	self->q = &self->nvme->io[1];
	self->buf = arena_alloc(&self->rig.mem, PAGES * PAGE);
	shadow_use(self->nvme, &self->shadow);
}

FIXTURE_TEARDOWN(shadow)
{
	rig_close(&self->rig);
}

static int write_page(struct nvme *nvme, u64 page, u8 *buf)
{
	return nvme_rw(nvme, &nvme->io[1], NVME_WRITE, page * BLOCKS, BLOCKS, buf);
}

static int read_page(struct nvme *nvme, u64 page, u8 *buf)
{
	return nvme_rw(nvme, &nvme->io[1], NVME_READ, page * BLOCKS, BLOCKS, buf);
}

/* Submit a read of each of the first @n pages, without ringing */
static void submit_reads(struct nvme *nvme, u16 *cids, unsigned int n, u8 *buf)
{
	for (unsigned int i = 0; i < n; i++) {
		u64 iova = arena_iova(nvme->mem, buf + i * PAGE);

		cids[i] = nvme_submit_read(nvme, &nvme->io[1], i * BLOCKS, BLOCKS, iova);
	}
}

static bool all_complete(struct nvme *nvme, const u16 *cids, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (nvme_wait(nvme, &nvme->io[1], cids[i], NULL))
			return false;
	return true;
}

/* Read commands in the SMART log; @buf is overwritten */
static u64 reads_so_far(struct nvme *nvme, u8 *buf)
{
	u64 reads;

	must(!nvme_get_log(nvme, 2, buf, 512));
	memcpy(&reads, buf + 64, sizeof(reads));
	return reads;
}

/* Errors in the error log; @buf is overwritten */
static u64 errors_so_far(struct nvme *nvme, u8 *buf)
{
	u64 errors;

	must(!nvme_get_log(nvme, 1, buf, 64));
	memcpy(&errors, buf, sizeof(errors));
	return errors;
}

/* Number of commands to the next ring, or 0 if the device has not said that yet */
static unsigned int awaited(const struct nvme_queue *q, const struct shadow *shadow)
{
	u16 event = __atomic_load_n(&shadow->events[2], __ATOMIC_RELAXED);
	unsigned int ahead = (event + q->depth - q->tail) % q->depth;

	return ahead < BURST ? ahead + 1 : 0;
}

/*
 * Submit commands in bursts until the device has learned that: it then wants to hear of the last
 * one of a burst only.  It does not if they come too slowly.
 */
static bool learns_bursts(struct nvme *nvme, struct shadow *shadow, u8 *buf)
{
	struct nvme_queue *q = &nvme->io[1];
	const u64 end = now_ms() + 10000;
	u16 cids[BURST];

	while (now_ms() < end) {
		submit_reads(nvme, cids, BURST, buf);
		nvme_ring(nvme, q);
		must(all_complete(nvme, cids, BURST));
		if (awaited(q, shadow) > 1)
			return true;
	}
	return false;
}

TEST_F(shadow, device_says_that_it_has_them)
{
	u32 effects;

	ASSERT_EQ(nvme_identify(self->nvme, 0x01, 0, self->buf), 0);
	EXPECT_TRUE(shadow_is_offered(self->buf));
	EXPECT_FALSE(self->buf[NVME_ID_VWC] & 1);
	ASSERT_EQ(nvme_get_log(self->nvme, EFFECTS_LOG, self->buf, PAGE), 0);
	memcpy(&effects, self->buf + 4 * NVME_DOORBELL_BUFFER, sizeof(effects));
	EXPECT_EQ(effects, 1);
}

TEST_F(shadow, buffer_that_is_not_aligned_is_refused)
{
	u64 doorbells = arena_iova(&self->rig.mem, self->shadow.doorbells);
	u64 events = arena_iova(&self->rig.mem, self->shadow.events);

	EXPECT_EQ(shadow_config(self->nvme, doorbells + 4, events), NVME_PRP_OFFSET_INVALID);
	EXPECT_EQ(shadow_config(self->nvme, doorbells, events + 2048), NVME_PRP_OFFSET_INVALID);
	/* Those of before are still in use */
	EXPECT_EQ(write_page(self->nvme, 0, self->buf), 0);
}

TEST_F(shadow, data_is_right_over_many_turns_of_the_queue)
{
	for (u64 i = 0; i < 1000; i++) {
		fill_pattern(self->buf, PAGE, i);
		ASSERT_EQ(write_page(self->nvme, i % PAGES, self->buf), 0);
		memset(self->buf, 0, PAGE);
		ASSERT_EQ(read_page(self->nvme, i % PAGES, self->buf), 0);
		ASSERT_TRUE(is_pattern(self->buf, PAGE, i));
	}
}

/* A device that is idle must hear of the first command; of heads it hears where it waits for one */
TEST_F(shadow, heads_are_not_rung)
{
	unsigned int commands = 256;

	for (unsigned int i = 0; i < commands; i++)
		ASSERT_EQ(read_page(self->nvme, 0, self->buf), 0);
	EXPECT_LE(self->shadow.rings, commands + commands / self->q->depth + 1);
}

TEST_F_TIMEOUT(shadow, command_of_a_burst_that_does_not_come_is_executed, 60)
{
	unsigned int tries = 0, rings;

	/* The device awaits the burst for a short time only */
	do {
		ASSERT_LT(tries++, 100);
		if (!learns_bursts(self->nvme, &self->shadow, self->buf))
			SKIP(return, "commands come too slowly for the device to await bursts");
		rings = self->shadow.rings;
		ASSERT_EQ(read_page(self->nvme, 0, self->buf), 0);
	} while (self->shadow.rings != rings);
}

/*
 * A guest with fewer commands in flight than the device awaits has to wait for a timer.  The device
 * must not try that often.
 */
TEST_F_TIMEOUT(shadow, bursts_are_as_long_as_those_of_the_guest, 60)
{
	const unsigned int rounds = 400;
	unsigned int too_many = 0;
	u16 cids[3];

	for (unsigned int i = 0; i < rounds; i++) {
		submit_reads(self->nvme, cids, ARRAY_SIZE(cids), self->buf);
		nvme_ring(self->nvme, self->q);
		ASSERT_TRUE(all_complete(self->nvme, cids, ARRAY_SIZE(cids)));
		too_many += awaited(self->q, &self->shadow) > ARRAY_SIZE(cids);
	}
	/* The tries come after 16, 32, 64... bursts.  Each may be seen twice. */
	EXPECT_LE(too_many, 20);
}

/* Bursts of all sizes, with pauses in which the device goes to sleep */
TEST_F_TIMEOUT(shadow, no_command_is_lost, 120)
{
	const u64 end = now_ms() + 3000;
	u16 cids[PAGES];

	for (unsigned int n = 0; now_ms() < end; n++) {
		unsigned int size = 1 + n * 7 % PAGES;

		submit_reads(self->nvme, cids, size, self->buf);
		/* All by one store, or each by one */
		if (n % 2)
			nvme_ring(self->nvme, self->q);
		for (unsigned int i = size; n % 2 == 0 && i--; ) {
			u16 tail = self->q->tail;

			self->q->tail = (tail + self->q->depth - i) % self->q->depth;
			nvme_ring(self->nvme, self->q);
			self->q->tail = tail;
		}
		ASSERT_TRUE(all_complete(self->nvme, cids, size))
			TH_LOG("burst %u of %u", n, size);
		for (unsigned int i = 0; i < size; i++)
			EXPECT_EQ(nvme_count(self->q, cids[i]), 0);
		usleep(n * 37 % 400);
	}
}

/* What comes late in a register must not take the queue back to where it was */
TEST_F(shadow, value_in_a_register_does_not_count)
{
	u16 cids[BURST];

	for (unsigned int i = 0; i < 100; i++) {
		u16 before = self->q->tail;

		submit_reads(self->nvme, cids, BURST, self->buf);
		nvme_ring(self->nvme, self->q);
		nvme_doorbell(self->nvme, 1, false, before);
		nvme_doorbell(self->nvme, 1, false, (before + 1) % self->q->depth);
		ASSERT_TRUE(all_complete(self->nvme, cids, BURST));
		nvme_doorbell(self->nvme, 1, false, before);
	}
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
	EXPECT_FALSE(bar_read32(self->nvme->dev, NVME_CSTS) & NVME_CSTS_CFS);
}

TEST_F(shadow, device_waits_for_room_in_a_completion_queue)
{
	struct nvme *nvme = self->nvme;
	struct nvme_queue *q = &nvme->io[2];
	u16 cids[12];

	/* Queue pair 2 has room for 3 completions, and 12 commands come by queue 3 */
	ASSERT_EQ(nvme_create_io(nvme, 2, 4, 1), 0);
	ASSERT_EQ(nvme_delete_sq(nvme, 2), 0);
	ASSERT_EQ(nvme_create_sq(nvme, 2, 16, 2, arena_iova(nvme->mem, q->sq)), 0);
	q->depth = 16;
	for (unsigned int i = 0; i < ARRAY_SIZE(cids); i++)
		cids[i] = nvme_submit_read(nvme, q, 0, BLOCKS,
					   arena_iova(nvme->mem, self->buf + i * PAGE));
	nvme_ring(nvme, q);
	/* From here on as the completion queue counts */
	q->depth = 4;
	ASSERT_TRUE(wait_until(nvme_peek(q) == 3));
	for (unsigned int i = 0; i < ARRAY_SIZE(cids); i++) {
		EXPECT_EQ(nvme_wait(nvme, q, cids[i], NULL), 0)
			TH_LOG("command %u", i);
	}
}

TEST_F(shadow, stores_while_the_device_is_stopped_count_when_it_runs)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u16 cids[BURST];

	for (unsigned int i = 0; i < 10; i++) {
		ASSERT_EQ(mig_set(dev, i % 2 ? STOP : RUNNING_P2P, NULL), 0);
		submit_reads(self->nvme, cids, BURST, self->buf);
		nvme_ring(self->nvme, self->q);
		usleep(1000);
		EXPECT_EQ(nvme_peek(self->q), 0);
		ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
		ASSERT_TRUE(all_complete(self->nvme, cids, BURST));
	}
}

TEST_F_TIMEOUT(shadow, they_move, 60)
{
	struct rig *rig = &self->rig;
	u16 cids[BURST];

	learns_bursts(self->nvme, &self->shadow, self->buf);
	fill_pattern(self->buf, PAGE, 1);
	ASSERT_EQ(write_page(self->nvme, 0, self->buf), 0);
	ASSERT_EQ(mig_set(&rig->dev[0], STOP, NULL), 0);
	memset(self->buf, 0, BURST * PAGE);
	submit_reads(self->nvme, cids, BURST, self->buf);
	/* The source has told the driver when to ring, and the destination does not know */
	nvme_ring(self->nvme, self->q);
	rig_move(rig, RUNNING);
	ASSERT_TRUE(all_complete(self->nvme, cids, BURST));
	EXPECT_TRUE(is_pattern(self->buf, PAGE, 1));
	for (unsigned int i = 0; i < 100; i++)
		ASSERT_EQ(read_page(self->nvme, i % PAGES, self->buf), 0);
}

TEST_F(shadow, size_of_the_state_is_exact)
{
	struct blob blob = {};
	u64 size, read = 0;

	ASSERT_EQ(mig_set(&self->rig.dev[0], STOP, NULL), 0);
	ASSERT_EQ(mig_size(&self->rig.dev[0], &size), 0);
	mig_save(&self->rig.dev[0], &blob);
	read = blob.len;
	EXPECT_EQ(size, read);
	blob_free(&blob);
}

TEST_F(shadow, controller_reset_ends_them)
{
	struct nvme *nvme = self->nvme;

	nvme_restart(nvme);
	ASSERT_EQ(nvme_create_io(nvme, 1, 64, 1), 0);
	/* Nobody may touch the buffers any more */
	memset(self->shadow.doorbells, 0xff, PAGE);
	memset(self->shadow.events, 0xa5, PAGE);
	for (unsigned int i = 0; i < 100; i++)
		ASSERT_EQ(read_page(nvme, 0, self->buf), 0);
	EXPECT_TRUE(is_filled((u8 *)self->shadow.events, PAGE, 0xa5));
}

TEST_F(shadow, value_that_is_no_tail_is_an_error)
{
	struct nvme *nvme = self->nvme;
	u32 *tail = &self->shadow.doorbells[2];
	u64 errors;

	errors = errors_so_far(nvme, self->buf);
	*tail = 0xfff0;
	nvme_doorbell(nvme, 1, false, 0);
	nvme_doorbell(nvme, 1, false, 0);
	/* Once, and not each time that the device looks */
	EXPECT_EQ(errors_so_far(nvme, self->buf), errors + 1);
	*tail = self->q->tail;
	EXPECT_EQ(read_page(nvme, 0, self->buf), 0);
}

TEST_F(shadow, value_that_is_no_head_is_an_error)
{
	struct nvme *nvme = self->nvme;
	u32 *head = &self->shadow.doorbells[3];
	u16 cids[PAGES];
	u64 errors;

	errors = errors_so_far(nvme, self->buf);
	/* The device looks when the queue of 64 entries is full */
	*head = 0xfff0;
	submit_reads(nvme, cids, PAGES, self->buf);
	nvme_ring(nvme, self->q);
	ASSERT_TRUE(wait_until(nvme_peek(self->q) == PAGES));
	submit_reads(nvme, cids, PAGES, self->buf);
	nvme_ring(nvme, self->q);
	ASSERT_TRUE(wait_until(nvme_peek(self->q) == 2 * PAGES - 1));
	nvme_doorbell(nvme, 1, true, 0);
	EXPECT_EQ(errors_so_far(nvme, self->buf), errors + 1);
	/* A good one, and the last command completes */
	nvme_reap(nvme, self->q);
	nvme_doorbell(nvme, 1, true, 0);
	EXPECT_EQ(nvme_wait(nvme, self->q, cids[PAGES - 1], NULL), 0);
}

TEST_F(shadow, buffer_that_is_not_mapped_is_refused)
{
	EXPECT_EQ(shadow_config(self->nvme, 0x7000000000, 0x7000001000),
		  NVME_DATA_TRANSFER_ERROR);
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
}

TEST_F(shadow, buffer_that_is_unmapped_later_is_fatal)
{
	struct nvme *nvme = self->nvme;
	u64 iova = 0x7000000000;
	u8 *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(page, MAP_FAILED);
	ASSERT_EQ(iommu_map(&self->rig.iommu[0], iova, page, PAGE, PROT_READ | PROT_WRITE), 0);
	ASSERT_EQ(shadow_config(nvme, iova, arena_iova(nvme->mem, self->shadow.events)), 0);
	ASSERT_EQ(iommu_unmap(&self->rig.iommu[0], iova, PAGE), 0);
	nvme_doorbell(nvme, 1, false, 0);
	EXPECT_TRUE(wait_until(bar_read32(nvme->dev, NVME_CSTS) & NVME_CSTS_CFS));
	nvme_restart(nvme);
	ASSERT_EQ(nvme_create_io(nvme, 1, 64, 1), 0);
	EXPECT_EQ(read_page(nvme, 0, self->buf), 0);
	munmap(page, PAGE);
}

/* What the host has left in the buffers from an earlier queue is no command */
TEST_F(shadow, queue_that_is_created_again_begins_anew)
{
	struct nvme *nvme = self->nvme;
	u64 before;

	for (unsigned int i = 0; i < 20; i++)
		ASSERT_EQ(read_page(nvme, 0, self->buf), 0);
	before = reads_so_far(nvme, self->buf);
	ASSERT_EQ(nvme_delete_sq(nvme, 1), 0);
	ASSERT_EQ(nvme_delete_cq(nvme, 1), 0);
	ASSERT_EQ(self->shadow.doorbells[2], self->q->tail);
	ASSERT_EQ(nvme_create_io(nvme, 1, 64, 1), 0);
	EXPECT_EQ(self->shadow.doorbells[2], 0);
	EXPECT_EQ(self->shadow.doorbells[3], 0);
	usleep(1000);
	EXPECT_EQ(reads_so_far(nvme, self->buf), before);
	for (unsigned int i = 0; i < 100; i++)
		ASSERT_EQ(read_page(nvme, 0, self->buf), 0);
	EXPECT_EQ(reads_so_far(nvme, self->buf), before + 100);
}

TEST_F(shadow, buffers_that_are_empty_get_the_tails_of_queues_in_use)
{
	struct nvme *nvme = self->nvme;
	u64 before;

	nvme_restart(nvme);
	ASSERT_EQ(nvme_create_io(nvme, 1, 64, 1), 0);
	for (unsigned int i = 0; i < 5; i++)
		ASSERT_EQ(read_page(nvme, 0, self->buf), 0);
	before = reads_so_far(nvme, self->buf);
	shadow_use(nvme, &self->shadow);
	EXPECT_EQ(self->shadow.doorbells[2], 5);
	EXPECT_EQ(self->shadow.doorbells[3], 5);
	usleep(1000);
	EXPECT_EQ(reads_so_far(nvme, self->buf), before);
	EXPECT_EQ(read_page(nvme, 0, self->buf), 0);
}

TEST_F(shadow, device_that_was_shut_down_leaves_them_alone)
{
	struct nvme *nvme = self->nvme;
	struct vfio_dev *dev = nvme->dev;
	u16 cids[BURST];

	submit_reads(nvme, cids, BURST, self->buf);
	nvme_ring(nvme, self->q);
	ASSERT_TRUE(all_complete(nvme, cids, BURST));
	bar_write32(dev, NVME_CC, bar_read32(dev, NVME_CC) | NVME_CC_SHN);
	ASSERT_TRUE(wait_until((bar_read32(dev, NVME_CSTS) & NVME_CSTS_SHST_MASK) ==
			       NVME_CSTS_SHST_DONE));
	memset(self->shadow.doorbells, 0x11, PAGE);
	memset(self->shadow.events, 0xa5, PAGE);
	for (unsigned int i = 0; i < 100; i++)
		nvme_doorbell(nvme, 1, i % 2, i % 64);
	usleep(20000);
	EXPECT_TRUE(is_filled((u8 *)self->shadow.events, PAGE, 0xa5));
	EXPECT_FALSE(bar_read32(dev, NVME_CSTS) & NVME_CSTS_CFS);
}

/* Bus master is off when the device would write the EventIdx: it goes on later */
TEST_F(shadow, dma_that_is_off_only_delays)
{
	u16 cids[BURST];

	for (unsigned int i = 0; i < 10; i++) {
		vfio_bus_master(self->nvme->dev, false);
		submit_reads(self->nvme, cids, BURST, self->buf);
		nvme_ring(self->nvme, self->q);
		nvme_doorbell(self->nvme, 1, false, 0);
		usleep(1000);
		EXPECT_EQ(nvme_peek(self->q), 0);
		vfio_bus_master(self->nvme->dev, true);
		ASSERT_TRUE(all_complete(self->nvme, cids, BURST));
		EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
	}
}

TEST_HARNESS_MAIN
