// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pages that a device wrote are reported, each of them and no other: by the
 * device's own log over both I/O address spaces, and by the IOMMU.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "dirty.h"
#include "rig.h"

#include "harness.h"

#define BLOCKS		2048U	/* of 512 bytes: the medium, 1 MiB */
#define SPAN		(2 * MIB(1024))
#define BUFFER		MIB(2)

FIXTURE(dirty)
{
	struct rig rig;
	struct vfio_dev *dev;
	struct nvme *nvme;
	struct nvme_queue *q;
	struct pageset written;	/* what the test knows of */
	struct pageset seen;	/* what was reported */
	u8 *buf;
	u64 iova;
};

FIXTURE_VARIANT(dirty)
{
	enum iommu_mode mode;
	enum tracker by;
};

FIXTURE_VARIANT_ADD(dirty, by_device_type1)
{
	.mode = IOMMU_TYPE1,
	.by = BY_DEVICE,
};

FIXTURE_VARIANT_ADD(dirty, by_device_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.by = BY_DEVICE,
};

FIXTURE_VARIANT_ADD(dirty, by_iommu)
{
	.mode = IOMMU_IOMMUFD_TRACKED,
	.by = BY_IOMMU,
};

FIXTURE_SETUP(dirty)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 2 }, variant->mode, 1);
	u8 *medium;

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	why = track_offered(self->dev, variant->by);
	if (why) {
		rig_close(&self->rig);
		SKIP(return, "%s", why);
	}
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	self->q = &self->nvme->io[1];
	pageset_init(&self->written, ARENA_IOVA, ARENA_SIZE);
	pageset_init(&self->seen, ARENA_IOVA, ARENA_SIZE);

	/* No byte of the medium is 0, and no two blocks are the same */
	medium = arena_alloc(&self->rig.mem, MIB(1));
	fill_pattern(medium, MIB(1), 1);
	for (size_t i = 0; i < MIB(1); i++)
		medium[i] |= 1;
	nvme_write_bytes(self->nvme, 0, medium, MIB(1));
	self->buf = arena_alloc(&self->rig.mem, BUFFER);
	self->iova = arena_iova(&self->rig.mem, self->buf);
}

FIXTURE_TEARDOWN(dirty)
{
	if (!self->buf)
		return;
	pageset_exit(&self->written);
	pageset_exit(&self->seen);
	rig_close(&self->rig);
}

/* An entry of the completion queue is a write as any other */
static void completed(struct pageset *written, struct nvme *nvme, struct nvme_queue *q)
{
	pageset_add(written, arena_iova(nvme->mem, q->cq), PAGE);
}

/* Have the device write @blocks blocks to @iova; what of it lies in @written goes there */
static int write_at(struct pageset *written, struct nvme *nvme, u64 iova, u32 blocks)
{
	struct nvme_queue *q = &nvme->io[1];
	u16 cid = nvme_submit_read(nvme, q, iova / 512 % (BLOCKS - blocks), blocks, iova);

	nvme_ring(nvme, q);
	completed(written, nvme, q);
	if (iova >= written->iova && iova < written->iova + written->pages * PAGE)
		pageset_add(written, iova, blocks * 512);
	return nvme_wait(nvme, q, cid, NULL);
}

TEST_F(dirty, page_is_reported_once_and_no_other)
{
	struct nvme *nvme = self->nvme;

	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	/* A page, a block at the end of one, blocks over the border of two */
	ASSERT_EQ(write_at(&self->written, nvme, self->iova + 3 * PAGE, 8), 0);
	ASSERT_EQ(write_at(&self->written, nvme, self->iova + 5 * PAGE + 3584, 1), 0);
	ASSERT_EQ(write_at(&self->written, nvme, self->iova + 64 * PAGE - 4, 1), 0);
	ASSERT_EQ(write_at(&self->written, nvme, self->iova + 200 * PAGE + 2048, 8), 0);
	/* What the device reads it does not write */
	ASSERT_EQ(nvme_rw(nvme, self->q, NVME_WRITE, 0, 8, self->buf + 300 * PAGE), 0);
	/* What admin commands give */
	ASSERT_EQ(nvme_identify(nvme, 1, 0, self->buf + 400 * PAGE), 0);
	pageset_add(&self->written, self->iova + 400 * PAGE, PAGE);
	completed(&self->written, nvme, &nvme->admin);

	ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
	EXPECT_TRUE(pageset_same(&self->seen, &self->written));
	pageset_clear(&self->seen);
	ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
	EXPECT_EQ(pageset_count(&self->seen), 0);

	/* The same pages again */
	pageset_clear(&self->written);
	ASSERT_EQ(write_at(&self->written, nvme, self->iova + 3 * PAGE, 8), 0);
	ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
	EXPECT_TRUE(pageset_same(&self->seen, &self->written));
	EXPECT_EQ(track_stop(self->dev, variant->by), 0);
}

TEST_F(dirty, what_was_before_is_not_reported)
{
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(write_at(&self->written, self->nvme, self->iova + i * PAGE, 8), 0);
		ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
		ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
		EXPECT_EQ(pageset_count(&self->seen), 0);
		/* Written, not reported, and stopped */
		ASSERT_EQ(write_at(&self->written, self->nvme, self->iova + i * PAGE, 8), 0);
		EXPECT_EQ(track_stop(self->dev, variant->by), 0);
	}
}

TEST_F(dirty, completion_entries_are_reported)
{
	struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };
	struct nvme *nvme = self->nvme;

	for (u16 qid = 2; qid <= 8; qid++)
		ASSERT_EQ(nvme_create_io(nvme, qid, 64, -1), 0);
	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	for (u16 qid = 2; qid <= 8; qid += 2) {
		ASSERT_EQ(nvme_sync(nvme, &nvme->io[qid], &flush, NULL), 0);
		completed(&self->written, nvme, &nvme->io[qid]);
	}
	ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
	EXPECT_TRUE(pageset_same(&self->seen, &self->written));
	EXPECT_EQ(pageset_count(&self->seen), 4);
}

TEST_F(dirty, report_of_a_part_leaves_the_rest)
{
	struct pageset part;

	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	for (int i = 0; i < 130; i++)
		ASSERT_EQ(write_at(&self->written, self->nvme, self->iova + i * PAGE, 8), 0);

	/* From and to the middle of a word of bits, one page, and a border of two words */
	for (unsigned int i = 1; i < 129; i = 2 * i + 1) {
		pageset_init(&part, self->iova + i * PAGE, PAGE * (i + 1));
		ASSERT_EQ(track_read(self->dev, variant->by, &part), 0);
		EXPECT_EQ(pageset_count(&part), i == 127 ? 3 : i + 1) TH_LOG("at page %u", i);
		for (unsigned int n = i; n < 2 * i + 1 && n < 130; n++)
			pageset_add(&self->seen, self->iova + n * PAGE, PAGE);
		memset(part.bits, 0, (part.pages + 63) / 64 * 8);
		ASSERT_EQ(track_read(self->dev, variant->by, &part), 0);
		EXPECT_EQ(pageset_count(&part), 0) TH_LOG("at page %u", i);
		pageset_exit(&part);
	}
	/* Page 0 and the completion queue */
	EXPECT_EQ(pageset_count(&self->written) - pageset_count(&self->seen), 2);
	ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
	EXPECT_TRUE(pageset_same(&self->seen, &self->written));
}

TEST_F(dirty, report_of_larger_pages)
{
	u64 *bits = calloc(ARENA_SIZE / PAGE / 64 + 2, sizeof(u64));

	ASSERT_NE(bits, NULL);
	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	for (u64 size = PAGE; size <= ARENA_SIZE; size *= 4) {
		u64 count = ARENA_SIZE / size, last = (count + 63) / 64;

		pageset_clear(&self->written);
		for (unsigned int i = 0; i < BUFFER / PAGE; i += 73) {
			ASSERT_EQ(write_at(&self->written, self->nvme, self->iova + i * PAGE, 1),
				  0);
		}
		memset(bits, 0, (ARENA_SIZE / PAGE / 64 + 2) * sizeof(u64));
		/* What is set stays set, and nothing is beyond the end */
		bits[0] = 1;
		bits[last] = 0x5a5a5a5a5a5a5a5aULL;
		ASSERT_EQ(track_report(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE, size, bits),
			  0);
		for (u64 n = 0; n < count; n++) {
			bool dirty = !n;

			for (u64 at = n * size; at < (n + 1) * size; at += PAGE)
				dirty |= pageset_has(&self->written, ARENA_IOVA + at);
			EXPECT_EQ(bits[n / 64] >> (n % 64) & 1, dirty)
				TH_LOG("page %llu of %llu bytes", n, size);
		}
		EXPECT_EQ(bits[last], 0x5a5a5a5a5a5a5a5aULL);
	}
	free(bits);
}

/*
 * 64 pages around each of some places, the same memory all of them: by twos to either
 * side of the middle, which is on borders that a device might have to cross
 */
#define AROUND		64
#define MIDDLE		(AROUND / 2 * PAGE)

static u64 written_around(unsigned int place)
{
	return 1ULL << (AROUND / 2 - 1 - place) | 1ULL << (AROUND / 2 + place);
}

static void write_around(struct pageset *written, struct nvme *nvme, u64 middle,
			 unsigned int place)
{
	must(!write_at(written, nvme, middle - (place + 1) * PAGE, 8));
	must(!write_at(written, nvme, middle + place * PAGE, 8));
}

TEST_F(dirty, pages_far_apart_are_told_apart)
{
	const u64 end = (iommu_last_iova(self->dev->iommu) & ~(PAGE - 1)) + PAGE;
	const u64 middles[] = {
		8ULL << 30, (8ULL << 30) + MIB(16), 1ULL << 40,
		(1ULL << 40) + self->iova + MIDDLE, end - MIDDLE,
	};
	u8 *mem = mmap(NULL, AROUND * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	u64 bits;

	ASSERT_NE(mem, MAP_FAILED);
	for (unsigned int i = 0; i < ARRAY_SIZE(middles); i++)
		ASSERT_EQ(iommu_map(self->dev->iommu, middles[i] - MIDDLE, mem, AROUND * PAGE,
				    MAP_RW), 0);
	ASSERT_EQ(track_start(self->dev, variant->by, 0, end), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(middles); i++)
		write_around(&self->written, self->nvme, middles[i], i);
	ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
	EXPECT_TRUE(pageset_same(&self->seen, &self->written));
	for (int again = 0; again < 2; again++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(middles); i++) {
			bits = 0;
			ASSERT_EQ(track_report(self->dev, variant->by, middles[i] - MIDDLE,
					       AROUND * PAGE, PAGE, &bits), 0);
			EXPECT_EQ(bits, again ? 0 : written_around(i));
		}
	}
	munmap(mem, AROUND * PAGE);
}

/* All there is, most of which was never written, in one report; a bit for each GiB */
TEST_F(dirty, report_of_the_whole_address_space)
{
	const u64 gib = 1ULL << 30, far = (77ULL << 40) + 5 * gib;
	const u64 end = (iommu_last_iova(self->dev->iommu) & ~(PAGE - 1)) + PAGE;
	u64 *bits = calloc(end / gib / 64 + 1, sizeof(*bits));
	u8 *mem = arena_alloc(&self->rig.mem, PAGE);

	ASSERT_NE(bits, NULL);
	if (variant->by == BY_IOMMU) {
		free(bits);
		SKIP(return, "iommufd asks the IOMMU for what is mapped only");
	}
	ASSERT_GT(end, far);
	ASSERT_EQ(iommu_map(self->dev->iommu, far, mem, PAGE, MAP_RW), 0);
	ASSERT_EQ(track_start(self->dev, variant->by, 0, end), 0);
	ASSERT_EQ(write_at(&self->written, self->nvme, far, 8), 0);
	for (int again = 0; again < 2; again++) {
		ASSERT_EQ(track_report(self->dev, variant->by, 0, end, gib, bits), 0);
		for (u64 i = 0; i < end / gib; i++) {
			bool is = bits[i / 64] >> (i % 64) & 1;

			/* The other one is the completion queue's */
			EXPECT_EQ(is, !again && (i == far / gib || i == ARENA_IOVA / gib))
				TH_LOG("GiB %llu", i);
		}
		memset(bits, 0, (end / gib / 64 + 1) * sizeof(*bits));
	}
	free(bits);
}

/*
 * 128 bits, the second 64 of which are not there, and a write of the device to either side
 * of the border.  What is there is reported, and the kernel comes back.
 */
TEST_F(dirty, report_to_a_bitmap_that_ends_too_early)
{
	/* With the border in the middle of 16 MiB, which the kernel reports together */
	const u64 iova = (8ULL << 30) + MIB(2);
	const u64 size = MIB(2), length = 128 * size, at = iova + 64 * size;
	u8 *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	u8 *end = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	u64 *bits;

	ASSERT_NE(mem, MAP_FAILED);
	ASSERT_NE(end, MAP_FAILED);
	ASSERT_EQ(munmap(end + PAGE, PAGE), 0);
	bits = (u64 *)(end + PAGE) - 1;
	for (u64 offset = 0; offset < length; offset += size)
		ASSERT_EQ(iommu_map(self->dev->iommu, iova + offset, mem, size, MAP_RW), 0);

	ASSERT_EQ(track_start(self->dev, variant->by, iova, length), 0);
	ASSERT_EQ(write_at(&self->written, self->nvme, at - PAGE, 16), 0);
	track_report(self->dev, variant->by, iova, length, size, bits);
	EXPECT_EQ(*bits, 1ULL << 63);
	EXPECT_EQ(track_stop(self->dev, variant->by), 0);
	munmap(end, PAGE);
	munmap(mem, size);
}

static void check_large(struct __test_metadata *_metadata, struct rig *rig, enum tracker by,
			u8 *mem, u64 size)
{
	const u64 iova = 8ULL << 30, at[] = {
		0, PAGE, size / 2 - PAGE, size / 2, MIB(16) % size, MIB(32) % size - PAGE + size,
		size - PAGE,
	};
	struct pageset arena, large, seen;

	pageset_init(&arena, ARENA_IOVA, ARENA_SIZE);
	pageset_init(&large, iova, size);
	pageset_init(&seen, iova, size);
	ASSERT_EQ(iommu_map(&rig->iommu[0], iova, mem, size, MAP_RW), 0);
	ASSERT_EQ(track_start(&rig->dev[0], by, iova, size), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		u64 page = iova + at[i] % size;

		ASSERT_EQ(write_at(&arena, &rig->nvme, page, 8), 0);
		pageset_add(&large, page, PAGE);
	}
	ASSERT_EQ(track_read(&rig->dev[0], by, &seen), 0);
	EXPECT_TRUE(pageset_same(&seen, &large));
	pageset_clear(&seen);
	ASSERT_EQ(track_read(&rig->dev[0], by, &seen), 0);
	EXPECT_EQ(pageset_count(&seen), 0);
	EXPECT_EQ(track_stop(&rig->dev[0], by), 0);
	pageset_exit(&arena);
	pageset_exit(&large);
	pageset_exit(&seen);
	munmap(mem, size);
}

TEST_F(dirty, page_is_4_kib_in_one_of_2_mib)
{
	u8 *mem = map_huge(21);

	if (!mem)
		SKIP(return, "no huge page of 2 MiB to be had");
	check_large(_metadata, &self->rig, variant->by, mem, MIB(2));
}

TEST_F(dirty, page_is_4_kib_in_one_of_1_gib)
{
	u8 *mem = map_huge(30);

	if (!mem)
		SKIP(return, "no huge page of 1 GiB to be had");
	check_large(_metadata, &self->rig, variant->by, mem, MIB(1024));
}

TEST_F(dirty, write_that_faults_is_none)
{
	u8 *mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const u64 ro = ARENA_IOVA + SPAN;
	struct pageset page;

	ASSERT_NE(mem, MAP_FAILED);
	pageset_init(&page, ro, PAGE);
	ASSERT_EQ(iommu_map(self->dev->iommu, ro, mem, PAGE, MAP_READ), 0);
	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, 2 * SPAN), 0);
	EXPECT_EQ(write_at(&self->written, self->nvme, ro, 8), NVME_DATA_TRANSFER_ERROR);
	ASSERT_EQ(track_read(self->dev, variant->by, &page), 0);
	EXPECT_EQ(pageset_count(&page), 0);
	ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
	EXPECT_TRUE(pageset_same(&self->seen, &self->written));
	pageset_exit(&page);
	munmap(mem, PAGE);
}

TEST_F(dirty, goes_on_over_a_reset)
{
	struct nvme *nvme = self->nvme;

	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	for (enum reset_kind kind = RESET_VFIO; kind <= RESET_PF; kind++) {
		u64 iova = self->iova + 100 * kind * PAGE;

		/* Written, then reset, then reported */
		pageset_clear(&self->written);
		pageset_clear(&self->seen);
		ASSERT_EQ(write_at(&self->written, nvme, iova, 8), 0);
		vfio_reset_by(self->dev, self->rig.pf, kind);
		ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
		EXPECT_TRUE(pageset_same(&self->seen, &self->written)) TH_LOG("kind %d", kind);

		nvme_restart(nvme);
		ASSERT_EQ(nvme_create_io(nvme, 1, 64, -1), 0);
		ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
		pageset_clear(&self->written);
		pageset_clear(&self->seen);
		ASSERT_EQ(write_at(&self->written, nvme, iova + PAGE, 8), 0);
		ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
		EXPECT_TRUE(pageset_same(&self->seen, &self->written)) TH_LOG("kind %d", kind);
	}
}

/* Reads of a page each from all over the medium, some of them executed when it stops */
TEST_F(dirty, last_report_of_a_stopped_device_has_it_all)
{
	const u32 states[] = { VFIO_DEVICE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_STOP };
	struct nvme *nvme = self->nvme;

	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		ASSERT_EQ(vfio_reset(self->dev), 0);
		/* The reads of the last time round are over now */
		memset(self->buf, 0, 60 * PAGE);
		nvme_restart(nvme);
		ASSERT_EQ(nvme_create_io(nvme, 1, 64, -1), 0);
		pageset_clear(&self->written);
		pageset_clear(&self->seen);
		ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
		for (int n = 0; n < 60; n++)
			nvme_submit_read(nvme, self->q, n * 8, 8, self->iova + n * PAGE);
		nvme_ring(nvme, self->q);
		ASSERT_TRUE(wait_until(nvme_peek(self->q)));
		ASSERT_EQ(mig_set(self->dev, states[i], NULL), 0);

		ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
		for (int n = 0; n < 60; n++)
			if (self->buf[n * PAGE])
				pageset_add(&self->written, self->iova + n * PAGE, PAGE);
		completed(&self->written, nvme, self->q);
		EXPECT_TRUE(pageset_same(&self->seen, &self->written));
		pageset_clear(&self->seen);
		EXPECT_TRUE(stays_false((track_read(self->dev, variant->by, &self->seen),
					 pageset_count(&self->seen))));
		ASSERT_EQ(mig_set(self->dev, VFIO_DEVICE_STATE_RUNNING, NULL), 0);
		EXPECT_EQ(track_stop(self->dev, variant->by), 0);
	}
}

#define QUEUES		8
#define READS		4000
#define BATCH		32

/* A VMM: it copies what is reported, again and again */
struct copier {
	struct vfio_dev *dev;
	enum tracker by;
	struct arena *mem;
	struct pageset all;
	u8 *copy;
	bool stop;
	unsigned int rounds;
};

static void copy_dirty(struct copier *c)
{
	struct pageset set;

	pageset_init(&set, ARENA_IOVA, ARENA_SIZE);
	must(!track_read(c->dev, c->by, &set));
	for (u64 at = 0; at < ARENA_SIZE; at += PAGE)
		if (pageset_has(&set, ARENA_IOVA + at))
			memcpy(c->copy + at, c->mem->va + at, PAGE);
	pageset_merge(&c->all, &set);
	pageset_exit(&set);
}

static void *copier_thread(void *arg)
{
	struct copier *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		copy_dirty(c);
		c->rounds++;
	}
	return NULL;
}

/* A batch of reads at random on random queues; all of it is known beforehand */
static void read_batch(struct nvme *nvme, struct pageset *written, u64 iova, u64 *seed)
{
	struct { struct nvme_queue *q; u16 cid; } sent[BATCH];

	for (unsigned int i = 0; i < BATCH; i++) {
		struct nvme_queue *q = &nvme->io[1 + next_random(seed) % QUEUES];
		u32 blocks = 1 + next_random(seed) % 8;
		u64 at = iova + next_random(seed) % (BUFFER - 2 * PAGE) / 4 * 4;

		sent[i].q = q;
		sent[i].cid = nvme_submit_read(nvme, q, next_random(seed) % (BLOCKS - 8), blocks,
					       at);
		pageset_add(written, at, blocks * 512);
		completed(written, nvme, q);
	}
	for (unsigned int qid = 1; qid <= QUEUES; qid++)
		nvme_ring(nvme, &nvme->io[qid]);
	for (unsigned int i = 0; i < BATCH; i++)
		must(!nvme_wait(nvme, sent[i].q, sent[i].cid, NULL));
}

TEST_F_TIMEOUT(dirty, none_missed_and_none_invented_beside_random_io, 120)
{
	struct copier c = { .dev = self->dev, .by = variant->by, .mem = &self->rig.mem };
	struct nvme *nvme = self->nvme;
	u64 cqs = arena_iova(nvme->mem, nvme->io[1].cq);
	pthread_t thread;
	u64 seed = 1;

	for (u16 qid = 2; qid <= QUEUES; qid++)
		ASSERT_EQ(nvme_create_io(nvme, qid, 64, -1), 0);
	c.copy = malloc(ARENA_SIZE);
	ASSERT_NE(c.copy, NULL);
	pageset_init(&c.all, ARENA_IOVA, ARENA_SIZE);
	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	/* What is copied before anything is reported is no longer true of what is written */
	memcpy(c.copy, self->rig.mem.va, ARENA_SIZE);

	ASSERT_EQ(pthread_create(&thread, NULL, copier_thread, &c), 0);
	for (unsigned int done = 0; done < READS; done += BATCH)
		read_batch(nvme, &self->written, self->iova, &seed);
	__atomic_store_n(&c.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	ASSERT_EQ(mig_set(self->dev, VFIO_DEVICE_STATE_STOP, NULL), 0);
	copy_dirty(&c);

	EXPECT_GT(c.rounds, 2);
	EXPECT_TRUE(pageset_same(&c.all, &self->written));
	EXPECT_EQ(memcmp(c.copy + (self->buf - self->rig.mem.va), self->buf, BUFFER), 0);
	for (u16 qid = 1; qid <= QUEUES; qid++) {
		struct nvme_cqe *cq = nvme->io[qid].cq;

		EXPECT_EQ(memcmp(c.copy + ((u8 *)cq - self->rig.mem.va), cq, PAGE), 0)
			TH_LOG("completion queue %u", qid);
	}
	EXPECT_TRUE(pageset_has(&c.all, cqs));
	pageset_exit(&c.all);
	free(c.copy);
}

/* One of two who ask at once */
struct asker {
	struct vfio_dev *dev;
	enum tracker by;
	pthread_barrier_t *turn;
	struct pageset set;
};

static void *ask(void *arg)
{
	struct asker *a = arg;

	pthread_barrier_wait(a->turn);
	must(!track_read(a->dev, a->by, &a->set));
	return NULL;
}

#define TURNS		30

TEST_F_TIMEOUT(dirty, page_goes_to_one_of_two_reports, 60)
{
	struct asker askers[2];
	pthread_barrier_t turn;
	pthread_t thread;

	ASSERT_EQ(pthread_barrier_init(&turn, NULL, 2), 0);
	for (unsigned int i = 0; i < 2; i++) {
		askers[i] = (struct asker){ .dev = self->dev, .by = variant->by, .turn = &turn };
		pageset_init(&askers[i].set, ARENA_IOVA, ARENA_SIZE);
	}
	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	for (unsigned int i = 0; i < TURNS; i++) {
		pageset_clear(&self->written);
		for (unsigned int page = 0; page < BUFFER / PAGE; page += 4 + i)
			ASSERT_EQ(write_at(&self->written, self->nvme, self->iova + page * PAGE,
					   1), 0);
		ASSERT_EQ(pthread_create(&thread, NULL, ask, &askers[1]), 0);
		ask(&askers[0]);
		pthread_join(thread, NULL);

		EXPECT_EQ(pageset_count(&askers[0].set) + pageset_count(&askers[1].set),
			  pageset_count(&self->written));
		pageset_merge(&askers[0].set, &askers[1].set);
		EXPECT_TRUE(pageset_same(&askers[0].set, &self->written));
		pageset_clear(&askers[0].set);
		pageset_clear(&askers[1].set);
	}
	pthread_barrier_destroy(&turn);
	for (unsigned int i = 0; i < 2; i++)
		pageset_exit(&askers[i].set);
}

TEST_HARNESS_MAIN
