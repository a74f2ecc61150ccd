// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory that changes by itself, on command (Documentation/faults.rst): which pages are
 * recorded as written, when, and that their content stays what it is.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dirty.h"
#include "net_rig.h"
#include "rig.h"

#include "harness.h"

/* Bytes per second: 25,600 pages; and 100 */
#define FAST		"104857600"
#define SLOW		"409600"
#define BUFFER		64	/* pages */
#define OTHER_IOVA	0x40000000ULL
#define OTHER_PAGES	8UL

/* What the file says */
struct rewrite {
	unsigned long long rate;
	unsigned long long max;
	unsigned long long known;
	unsigned long long count;
};

/* All 0 for a VF that was told nothing */
static struct rewrite look(const char *bdf)
{
	struct rewrite is = {};
	char text[96];

	must(!file_read(vf_debugfs(bdf, "dirty_memory"), text, sizeof(text)));
	if (!strcmp(text, "none"))
		return is;
	must(sscanf(text, "%llu %llu %llu %llu", &is.rate, &is.max, &is.known, &is.count) == 4);
	return is;
}

static bool is_off(const char *bdf)
{
	return !look(bdf).rate;
}

static int ask(const char *bdf, const char *text)
{
	return file_write(vf_debugfs(bdf, "dirty_memory"), text);
}

/* Wait for @n more pages */
static bool goes_on(const char *bdf, unsigned int n)
{
	u64 before = look(bdf).count;

	return wait_until(look(bdf).count >= before + n);
}

static bool stands_still(const char *bdf)
{
	u64 before = look(bdf).count;

	return stays_false(look(bdf).count != before);
}

FIXTURE(rewrite)
{
	struct rig rig;
	struct vfio_dev *dev;
	struct pageset written;	/* what the device wrote since it was asked */
	struct pageset seen;	/* what was recorded */
	u8 *buf;
};

FIXTURE_VARIANT(rewrite)
{
	enum iommu_mode mode;
	enum tracker by;
};

FIXTURE_VARIANT_ADD(rewrite, by_device_type1)
{
	.mode = IOMMU_TYPE1,
	.by = BY_DEVICE,
};

FIXTURE_VARIANT_ADD(rewrite, by_device_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.by = BY_DEVICE,
};

FIXTURE_VARIANT_ADD(rewrite, by_iommu)
{
	.mode = IOMMU_IOMMUFD_TRACKED,
	.by = BY_IOMMU,
};

FIXTURE_SETUP(rewrite)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 2 }, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	why = track_offered(self->dev, variant->by);
	if (why) {
		rig_close(&self->rig);
		SKIP(return, "%s", why);
	}
	rig_start(&self->rig);
	pageset_init(&self->written, ARENA_IOVA, ARENA_SIZE);
	pageset_init(&self->seen, ARENA_IOVA, ARENA_SIZE);
	self->buf = arena_alloc(&self->rig.mem, BUFFER * PAGE);
}

FIXTURE_TEARDOWN(rewrite)
{
	if (!self->buf)
		return;
	ask(self->dev->bdf, "none");
	pageset_exit(&self->written);
	pageset_exit(&self->seen);
	rig_close(&self->rig);
}

/* Have the device write to @iova; an entry of the completion queue is a write as any other */
static void write_at(struct nvme *nvme, u64 iova)
{
	struct nvme_queue *q = &nvme->io[1];
	u16 cid = nvme_submit_read(nvme, q, 0, 8, iova);

	nvme_ring(nvme, q);
	must(!nvme_wait(nvme, q, cid, NULL));
}

static void write_page(struct rig *rig, struct pageset *written, u8 *page)
{
	write_at(&rig->nvme, arena_iova(&rig->mem, page));
	pageset_add(written, arena_iova(&rig->mem, page), PAGE);
	pageset_add(written, arena_iova(&rig->mem, rig->nvme.io[1].cq), PAGE);
}

/* Stop the device, so that its record and its count fit together; a NULL @seen drops the record */
static u64 hold(struct vfio_dev *dev, enum tracker by, struct pageset *seen)
{
	struct pageset dropped;

	must(!mig_set(dev, RUNNING_P2P, NULL));
	if (seen) {
		pageset_clear(seen);
		must(!track_read(dev, by, seen));
	} else {
		pageset_init(&dropped, ARENA_IOVA, ARENA_SIZE);
		must(!track_read(dev, by, &dropped));
		pageset_exit(&dropped);
	}
	return look(dev->bdf).count;
}

static void go_on(struct vfio_dev *dev)
{
	must(!mig_set(dev, RUNNING, NULL));
}

TEST_F(rewrite, writes_what_the_device_wrote_and_nothing_else)
{
	const char *bdf = self->dev->bdf;
	u64 faults = vf_dma_faults(bdf);

	write_page(&self->rig, &self->written, self->buf);
	pageset_clear(&self->written);
	EXPECT_TRUE(is_off(bdf));
	ASSERT_EQ(ask(bdf, FAST " 64\n"), 0);
	EXPECT_EQ(look(bdf).known, 0) TH_LOG("what was written before does not count");
	for (int i = 1; i < BUFFER; i *= 3)
		write_page(&self->rig, &self->written, self->buf + i * PAGE);
	EXPECT_EQ(look(bdf).known, pageset_count(&self->written));

	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(goes_on(bdf, self->written.pages));
		hold(self->dev, variant->by, &self->seen);
		EXPECT_TRUE(pageset_same(&self->seen, &self->written));
		go_on(self->dev);
	}
	EXPECT_EQ(look(bdf).known, pageset_count(&self->written));
	EXPECT_EQ(vf_dma_faults(bdf), faults);

	ASSERT_EQ(ask(bdf, "none"), 0);
	EXPECT_TRUE(is_off(bdf));
	hold(self->dev, variant->by, NULL);
	go_on(self->dev);
	sleep_ms(QUIET_MS);
	hold(self->dev, variant->by, &self->seen);
	EXPECT_EQ(pageset_count(&self->seen), 0);
}

/* Page after page, so that it is as many as were written, until all were */
TEST_F(rewrite, as_many_pages_are_recorded_as_the_file_says)
{
	const char *bdf = self->dev->bdf;

	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	ASSERT_EQ(ask(bdf, SLOW " 1000"), 0);
	for (int i = 0; i < BUFFER; i++)
		write_page(&self->rig, &self->written, self->buf + i * PAGE);
	for (int i = 0; i < 5; i++) {
		u64 before = hold(self->dev, variant->by, NULL), after;

		go_on(self->dev);
		ASSERT_TRUE(goes_on(bdf, 5));
		after = hold(self->dev, variant->by, &self->seen);
		EXPECT_EQ(pageset_count(&self->seen),
			  after - before < BUFFER + 1 ? after - before : BUFFER + 1);
		go_on(self->dev);
	}
}

struct guest {
	u8 *buf;
	bool stop;
	u64 stores;	/* to each page */
};

/* Increments the first word of each page, without any care */
static void *guest_thread(void *arg)
{
	struct guest *guest = arg;

	while (!__atomic_load_n(&guest->stop, __ATOMIC_RELAXED)) {
		for (int i = 0; i < BUFFER; i++)
			++*(volatile u64 *)(guest->buf + i * PAGE);
		guest->stores++;
	}
	return NULL;
}

TEST_F(rewrite, content_stays_what_the_guest_makes_it)
{
	struct guest guest = { .buf = self->buf };
	static u8 should[BUFFER * PAGE];
	pthread_t thread;

	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	ASSERT_EQ(ask(self->dev->bdf, FAST " 1000"), 0);
	for (int i = 0; i < BUFFER; i++)
		write_page(&self->rig, &self->written, self->buf + i * PAGE);
	fill_pattern(should, sizeof(should), 1);
	for (int i = 0; i < BUFFER; i++)
		memset(should + i * PAGE, 0, sizeof(u64));
	memcpy(self->buf, should, sizeof(should));
	ASSERT_EQ(pthread_create(&thread, NULL, guest_thread, &guest), 0);
	EXPECT_TRUE(goes_on(self->dev->bdf, 5000));
	__atomic_store_n(&guest.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_GT(guest.stores, 0);
	for (int i = 0; i < BUFFER; i++)
		memcpy(should + i * PAGE, &guest.stores, sizeof(u64));
	EXPECT_FALSE(memcmp(self->buf, should, sizeof(should)));
}

TEST_F(rewrite, stops_with_the_device)
{
	static const u32 states[] = { RUNNING_P2P, STOP, STOP_COPY, PRE_COPY_P2P, RESUMING };
	const char *bdf = self->dev->bdf;
	int fd;

	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	ASSERT_EQ(ask(bdf, FAST " 64"), 0);
	write_page(&self->rig, &self->written, self->buf);
	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		ASSERT_TRUE(goes_on(bdf, 1)) TH_LOG("before %s", mig_name(states[i]));
		ASSERT_EQ(mig_set(self->dev, states[i], &fd), 0);
		ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
		pageset_clear(&self->seen);
		EXPECT_TRUE(stands_still(bdf)) TH_LOG("%s", mig_name(states[i]));
		ASSERT_EQ(track_read(self->dev, variant->by, &self->seen), 0);
		EXPECT_EQ(pageset_count(&self->seen), 0) TH_LOG("%s", mig_name(states[i]));
		close(fd);
		if (states[i] != RESUMING)
			go_on(self->dev);
	}
	ASSERT_EQ(vfio_reset(self->dev), 0);
	EXPECT_EQ(look(bdf).known, 0);
}

TEST_F(rewrite, goes_on_in_a_precopy)
{
	int fd;

	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	ASSERT_EQ(ask(self->dev->bdf, FAST " 64"), 0);
	write_page(&self->rig, &self->written, self->buf);
	ASSERT_EQ(mig_set(self->dev, PRE_COPY, &fd), 0);
	EXPECT_TRUE(goes_on(self->dev->bdf, 10));
	close(fd);
}

TEST_F(rewrite, only_a_bus_master_does_it)
{
	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	ASSERT_EQ(ask(self->dev->bdf, FAST " 64"), 0);
	write_page(&self->rig, &self->written, self->buf);
	ASSERT_TRUE(goes_on(self->dev->bdf, 1));
	vfio_bus_master(self->dev, false);
	EXPECT_TRUE(stands_still(self->dev->bdf));
	vfio_bus_master(self->dev, true);
	EXPECT_TRUE(goes_on(self->dev->bdf, 1));
}

TEST_F(rewrite, only_what_is_recorded_is_done)
{
	ASSERT_EQ(ask(self->dev->bdf, FAST " 64"), 0);
	write_page(&self->rig, &self->written, self->buf);
	EXPECT_TRUE(stands_still(self->dev->bdf));
	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	EXPECT_TRUE(goes_on(self->dev->bdf, 1));
	ASSERT_EQ(track_stop(self->dev, variant->by), 0);
	EXPECT_TRUE(stands_still(self->dev->bdf));
	EXPECT_EQ(look(self->dev->bdf).known, 2);
}

TEST_F(rewrite, a_reset_forgets)
{
	const char *bdf = self->dev->bdf;
	struct rig *rig = &self->rig;

	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	ASSERT_EQ(ask(bdf, FAST " 64"), 0);
	for (int kind = RESET_VFIO; kind <= RESET_PF; kind++) {
		write_page(rig, &self->written, self->buf + kind * PAGE);
		ASSERT_TRUE(goes_on(bdf, 1));
		vfio_reset_by(self->dev, rig->pf, kind);
		EXPECT_EQ(look(bdf).known, 0) TH_LOG("%d", kind);
		EXPECT_TRUE(stands_still(bdf)) TH_LOG("%d", kind);
		nvme_restart(&rig->nvme);
		ASSERT_EQ(nvme_create_io(&rig->nvme, 1, 64, 1), 0);
		EXPECT_GT(look(bdf).known, 0);
	}
	hold(self->dev, variant->by, NULL);
	go_on(self->dev);
	ASSERT_TRUE(goes_on(bdf, 64));
	hold(self->dev, variant->by, &self->seen);
	for (int i = RESET_VFIO; i <= RESET_PF; i++)
		EXPECT_FALSE(pageset_has(&self->seen, arena_iova(&rig->mem, self->buf + i * PAGE)));
}

/* Its driver takes the buffers back */
TEST_F(rewrite, a_disabled_controller_forgets)
{
	ASSERT_EQ(ask(self->dev->bdf, FAST " 64"), 0);
	write_page(&self->rig, &self->written, self->buf);
	EXPECT_EQ(look(self->dev->bdf).known, 2);
	ASSERT_EQ(nvme_disable(&self->rig.nvme), 0);
	EXPECT_EQ(look(self->dev->bdf).known, 0);
}

/* It is another device then */
TEST_F(rewrite, a_load_forgets)
{
	struct vfio_dev *second = rig_second(&self->rig);
	struct nvme other = {};

	nvme_init(&other, second, &self->rig.mem);
	ASSERT_EQ(nvme_create_io(&other, 1, 16, -1), 0);
	ASSERT_EQ(ask(second->bdf, FAST " 64"), 0);
	write_at(&other, arena_iova(&self->rig.mem, self->buf));
	EXPECT_EQ(look(second->bdf).known, 2);
	rig_move(&self->rig, RUNNING);
	EXPECT_EQ(look(second->bdf).known, 0);
	write_page(&self->rig, &self->written, self->buf);
	EXPECT_EQ(look(second->bdf).known, 2);
	EXPECT_EQ(ask(second->bdf, "none"), 0);
}

/* Another page there is not one that the device wrote */
TEST_F(rewrite, what_is_unmapped_is_forgotten)
{
	struct iommu *iommu = &self->rig.iommu[0];
	const size_t size = OTHER_PAGES * PAGE;
	const char *bdf = self->dev->bdf;
	u64 faults = vf_dma_faults(bdf);
	u64 bits = 0;
	u8 *mem[2];

	for (int i = 0; i < 2; i++) {
		mem[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			      0);
		ASSERT_NE(mem[i], MAP_FAILED);
	}
	ASSERT_EQ(iommu_map(iommu, OTHER_IOVA, mem[0], size, MAP_RW), 0);
	ASSERT_EQ(track_start(self->dev, variant->by, 0, ARENA_IOVA + ARENA_SIZE), 0);
	ASSERT_EQ(ask(bdf, FAST " 64"), 0);
	for (int again = 0; again < 2; again++) {
		for (unsigned int i = 0; i < OTHER_PAGES; i++)
			write_at(&self->rig.nvme, OTHER_IOVA + i * PAGE);
		EXPECT_EQ(look(bdf).known, OTHER_PAGES + 1);
		ASSERT_TRUE(goes_on(bdf, 20));

		/* In P2P, so that it does not notice that there was nothing in between */
		ASSERT_EQ(mig_set(self->dev, RUNNING_P2P, NULL), 0);
		ASSERT_EQ(iommu_unmap(iommu, OTHER_IOVA, size), 0);
		if (again)
			ASSERT_EQ(iommu_map(iommu, OTHER_IOVA, mem[1], size, MAP_RW), 0);
		must(!track_report(self->dev, variant->by, OTHER_IOVA, size, PAGE, &bits));
		bits = 0;
		go_on(self->dev);
		EXPECT_TRUE(wait_until(look(bdf).known == 1));
		ASSERT_TRUE(goes_on(bdf, 20));
		ASSERT_EQ(track_report(self->dev, variant->by, OTHER_IOVA, size, PAGE, &bits), 0);
		EXPECT_EQ(bits, 0);
		if (!again)
			ASSERT_EQ(iommu_map(iommu, OTHER_IOVA, mem[0], size, MAP_RW), 0);
	}
	EXPECT_EQ(vf_dma_faults(bdf), faults);
	ASSERT_EQ(iommu_unmap(iommu, OTHER_IOVA, size), 0);
}

TEST_F(rewrite, the_last_pages_are_known)
{
	const char *bdf = self->dev->bdf;
	struct rig *rig = &self->rig;

	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	ASSERT_EQ(ask(bdf, FAST " 4"), 0);
	for (int i = 0; i < BUFFER; i++)
		write_page(rig, &self->written, self->buf + i * PAGE);
	EXPECT_EQ(look(bdf).known, 4);
	hold(self->dev, variant->by, NULL);
	go_on(self->dev);
	ASSERT_TRUE(goes_on(bdf, 4));
	hold(self->dev, variant->by, &self->seen);
	EXPECT_EQ(pageset_count(&self->seen), 4);
	/* The completion queue has a place too */
	for (int i = 0; i < BUFFER - 4; i++)
		EXPECT_FALSE(pageset_has(&self->seen, arena_iova(&rig->mem, self->buf + i * PAGE)));
	EXPECT_TRUE(pageset_has(&self->seen,
				arena_iova(&rig->mem, self->buf + (BUFFER - 1) * PAGE)));
}

TEST_F(rewrite, another_user_finds_it_set_and_nothing_known)
{
	const char *bdf = self->rig.dev[0].bdf;
	char same[BDF_SIZE];

	bdf_copy(same, bdf);
	ASSERT_EQ(ask(bdf, FAST " 64"), 0);
	write_page(&self->rig, &self->written, self->buf);
	rig_user_ends(&self->rig, 0);
	EXPECT_TRUE(stands_still(same));
	rig_user_begins(&self->rig, 0, same);
	EXPECT_EQ(look(same).known, 0);
	EXPECT_EQ(look(same).max, 64);
}

TEST_F(rewrite, leaves_a_trace)
{
	static const char dir[] = "/sys/kernel/tracing/instances/vfmig_rewrite_test";
	char path[128], trace[8192], line[64];

	rmdir(dir);
	if (mkdir(dir, 0700))
		SKIP(return, "no tracing");
	snprintf(path, sizeof(path), "%s/events/vfmig/vfmig_rewrite/enable", dir);
	ASSERT_EQ(file_write(path, "1"), 0);
	ASSERT_EQ(track_start(self->dev, variant->by, ARENA_IOVA, ARENA_SIZE), 0);
	ASSERT_EQ(ask(self->dev->bdf, SLOW " 64"), 0);
	write_page(&self->rig, &self->written, self->buf);
	ASSERT_TRUE(goes_on(self->dev->bdf, 3));
	ASSERT_EQ(ask(self->dev->bdf, "none"), 0);
	snprintf(path, sizeof(path), "%s/trace", dir);
	ASSERT_EQ(file_read(path, trace, sizeof(trace)), 0);
	snprintf(line, sizeof(line), "vfmig_rewrite: %s ", self->dev->bdf);
	EXPECT_NE(strstr(trace, line), NULL)
		TH_LOG("%s", trace);
	rmdir(dir);
}

/* Each has an address space of its own */
TEST_F(rewrite, vfs_are_apart)
{
	struct vfio_dev *second = rig_second(&self->rig);
	struct rig *rig = &self->rig;
	struct nvme other = {};
	struct pageset own;

	nvme_init(&other, second, &rig->mem);
	ASSERT_EQ(nvme_create_io(&other, 1, 16, -1), 0);
	for (unsigned int i = 0; i < 2; i++)
		ASSERT_EQ(track_start(&rig->dev[i], variant->by, ARENA_IOVA, ARENA_SIZE), 0);

	ASSERT_EQ(ask(self->dev->bdf, FAST " 64"), 0);
	write_page(rig, &self->written, self->buf);
	ASSERT_TRUE(goes_on(self->dev->bdf, 10));
	EXPECT_TRUE(is_off(second->bdf));
	ASSERT_EQ(track_read(second, variant->by, &self->seen), 0);
	EXPECT_EQ(pageset_count(&self->seen), 0);

	ASSERT_EQ(ask(second->bdf, FAST " 64"), 0);
	write_at(&other, arena_iova(&rig->mem, self->buf + PAGE));
	pageset_init(&own, ARENA_IOVA, ARENA_SIZE);
	pageset_add(&own, arena_iova(&rig->mem, self->buf + PAGE), PAGE);
	pageset_add(&own, arena_iova(&rig->mem, other.io[1].cq), PAGE);
	for (unsigned int i = 0; i < 2; i++)
		ASSERT_TRUE(goes_on(rig->dev[i].bdf, 10));
	hold(second, variant->by, &self->seen);
	EXPECT_TRUE(pageset_same(&self->seen, &own));
	hold(self->dev, variant->by, &self->seen);
	EXPECT_TRUE(pageset_same(&self->seen, &self->written));
	EXPECT_TRUE(stands_still(self->dev->bdf));
	go_on(second);
	EXPECT_TRUE(goes_on(second->bdf, 10));
	EXPECT_EQ(ask(second->bdf, "none"), 0);
	pageset_exit(&own);
}

/* What needs no record, so that it is tested on every kernel */
FIXTURE(file)
{
	struct rig rig;
	const char *bdf;
};

FIXTURE_SETUP(file)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 1 }, IOMMU_TYPE1, 1);

	if (why)
		SKIP(return, "%s", why);
	self->bdf = self->rig.dev[0].bdf;
	rig_start(&self->rig);
}

FIXTURE_TEARDOWN(file)
{
	if (!self->bdf)
		return;
	ask(self->bdf, "none");
	rig_close(&self->rig);
}

TEST_F(file, refuses_nonsense)
{
	static const char * const bad[] = {
		"", "rock", "1", "1 ", "0 1", "1 0", "1 2 3", "x 1", "1 x", "-1 1", "1 -1",
		"none 1", "1073741825 1", "1 65537", "18446744073709551616 1", "1  1", "1\t1",
		"1 000000000000000000000000000000000000000000000000000000000000001",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		char line[80];

		snprintf(line, sizeof(line), "%s\n", bad[i]);
		EXPECT_EQ(ask(self->bdf, line), -EINVAL)
			TH_LOG("%s", bad[i]);
	}
	EXPECT_TRUE(is_off(self->bdf));
	ASSERT_EQ(ask(self->bdf, "0x1000 65536"), 0);
	EXPECT_EQ(ask(self->bdf, "rock"), -EINVAL);
	EXPECT_EQ(look(self->bdf).rate, 4096);
	EXPECT_EQ(look(self->bdf).max, 65536);
	ASSERT_EQ(ask(self->bdf, "1073741824 1\n"), 0);
	EXPECT_EQ(look(self->bdf).max, 1);
}

TEST_F(file, nothing_is_written_that_nobody_records)
{
	u8 *page = arena_alloc(&self->rig.mem, PAGE);

	ASSERT_EQ(ask(self->bdf, FAST " 64"), 0);
	write_at(&self->rig.nvme, arena_iova(&self->rig.mem, page));
	EXPECT_EQ(look(self->bdf).known, 2);
	EXPECT_TRUE(stands_still(self->bdf));
	EXPECT_EQ(look(self->bdf).count, 0);
}

TEST_F(file, ends_with_the_vf)
{
	struct pf_vfs one = { .count = 1 };
	char bdf[BDF_SIZE], pf[BDF_SIZE];

	bdf_copy(bdf, self->bdf);
	ASSERT_EQ(ask(bdf, FAST " 64"), 0);
	rig_user_ends(&self->rig, 0);
	ASSERT_EQ(pf_set_numvfs(self->rig.pf, 0), 0);
	pf_vfs_gone();
	EXPECT_FALSE(file_exists(vf_debugfs(bdf, "dirty_memory")));
	ASSERT_EQ(pf_require(&one, pf), NULL);
	EXPECT_TRUE(is_off(bdf));
	rig_user_begins(&self->rig, 0, bdf);
}

FIXTURE(net)
{
	struct net_rig rig;
	struct vfio_dev *dev;
	struct vnet net;
	struct vnet_frame *in;
	u8 *frame;
};

FIXTURE_SETUP(net)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 1, 1);

	if (why)
		SKIP(return, "%s", why);
	why = track_offered(&self->rig.dev[0], BY_DEVICE);
	if (why) {
		net_rig_close(&self->rig);
		SKIP(return, "%s", why);
	}
	self->dev = &self->rig.dev[0];
	self->in = shared_alloc(sizeof(*self->in));
	self->frame = shared_alloc(FRAME_MAX);
	net_rig_start(&self->rig, 0, &self->net, VNET_ALL, 1);
}

FIXTURE_TEARDOWN(net)
{
	if (!self->dev)
		return;
	ask(self->dev->bdf, "none");
	net_rig_close(&self->rig);
}

static void receive(struct net_rig *rig, struct vnet *net, u8 *frame, struct vnet_frame *in,
		    u32 seq)
{
	port_send(&rig->port[0], frame, frame_make(frame, net->mac, mac_other, seq, 600));
	must(vnet_expect(net, in, seq));
}

/* Is any buffer for frames from the host in the set? */
static bool has_buffer(const struct pageset *set, struct net_rig *rig, struct vnet *net)
{
	u64 iova = arena_iova(&rig->mem, net->rx_mem[0]);

	for (unsigned int i = 0; i < VNET_DEPTH; i++)
		if (pageset_has(set, iova + i * VNET_BUF))
			return true;
	return false;
}

TEST_F(net, buffers_of_frames_are_written_again)
{
	const char *bdf = self->dev->bdf;
	struct pageset seen;

	ASSERT_EQ(track_start(self->dev, BY_DEVICE, ARENA_IOVA, ARENA_SIZE), 0);
	ASSERT_EQ(ask(bdf, FAST " 64"), 0);
	for (u32 seq = 0; seq < 4; seq++)
		receive(&self->rig, &self->net, self->frame, self->in, seq);
	EXPECT_GE(look(bdf).known, 2) TH_LOG("buffers and the used ring");
	hold(self->dev, BY_DEVICE, NULL);
	go_on(self->dev);
	ASSERT_TRUE(goes_on(bdf, 64));
	pageset_init(&seen, ARENA_IOVA, ARENA_SIZE);
	hold(self->dev, BY_DEVICE, &seen);
	EXPECT_EQ(pageset_count(&seen), look(bdf).known);
	EXPECT_TRUE(has_buffer(&seen, &self->rig, &self->net));
	EXPECT_TRUE(stands_still(bdf));
	go_on(self->dev);
	/* The network goes on */
	receive(&self->rig, &self->net, self->frame, self->in, 4);
	pageset_exit(&seen);
}

TEST_F(net, a_reset_by_the_driver_forgets)
{
	ASSERT_EQ(ask(self->dev->bdf, FAST " 64"), 0);
	receive(&self->rig, &self->net, self->frame, self->in, 1);
	EXPECT_GT(look(self->dev->bdf).known, 0);
	ASSERT_EQ(virtio_reset(&self->net.vio), 0);
	EXPECT_EQ(look(self->dev->bdf).known, 0);
}

TEST_HARNESS_MAIN
