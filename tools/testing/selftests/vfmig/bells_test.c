// SPDX-License-Identifier: GPL-2.0-only
/*
 * Doorbells that are mapped.  The device does not hear of a store, so it has to look for it; and
 * it has to be told of the first one after it has stopped looking.  None may be lost, and none may
 * count that comes while the device is stopped.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bells.h"
#include "rig.h"

#include "harness.h"

#define MEDIA_MB	4
#define BLOCKS		8	/* of a page */
#define POLL_US		200

FIXTURE(bells)
{
	struct rig rig;
	struct nvme *nvme;
	struct nvme_queue *q;
	u32 *bells;
	u8 *buf;
};

FIXTURE_VARIANT(bells)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(bells, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(bells, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(bells)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = MEDIA_MB };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	self->q = &self->nvme->io[1];
	self->buf = arena_alloc(&self->rig.mem, 4 * PAGE);
	self->bells = bells_begin(self->nvme, self->rig.pf, POLL_US);
	if (!self->bells)
		SKIP(return, "doorbells are not mapped on a machine with one CPU");
}

FIXTURE_TEARDOWN(bells)
{
	if (self->bells)
		bells_unmap(self->bells);
	if (self->rig.devs)
		rig_close(&self->rig);
}

static int read_page(struct nvme *nvme, u64 page, u8 *buf)
{
	return nvme_rw(nvme, &nvme->io[1], NVME_READ, page * BLOCKS, BLOCKS, buf);
}

static void *map_at(struct vfio_dev *dev, u64 offset, size_t size, int flags)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, flags, dev->fd, dev->bar0 + offset);
}

TEST_F(bells, only_they_can_be_mapped)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u64 offset, size;

	ASSERT_TRUE(bells_area(dev, &offset, &size));
	EXPECT_EQ(offset, NVME_DOORBELLS);
	EXPECT_EQ(size, PAGE);
	EXPECT_EQ(map_at(dev, 0, PAGE, MAP_SHARED), MAP_FAILED);
	EXPECT_EQ(map_at(dev, 0, 2 * PAGE, MAP_SHARED), MAP_FAILED);
	EXPECT_EQ(map_at(dev, PAGE, 2 * PAGE, MAP_SHARED), MAP_FAILED);
	EXPECT_EQ(map_at(dev, 2 * PAGE, PAGE, MAP_SHARED), MAP_FAILED);
	EXPECT_EQ(map_at(dev, PAGE, PAGE, MAP_PRIVATE), MAP_FAILED);
}

TEST_F(bells, setting_of_0_does_not_offer_them)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u64 offset, size;

	ASSERT_EQ(pf_attr_set(self->rig.pf, "doorbell_poll_us", 0), 0);
	EXPECT_FALSE(bells_area(dev, &offset, &size));
	EXPECT_EQ(map_at(dev, PAGE, PAGE, MAP_SHARED), MAP_FAILED);
	/* A mapping that is there works on */
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
	EXPECT_EQ(pf_attr_set(self->rig.pf, "doorbell_poll_us", 10001), -EINVAL);
	EXPECT_EQ(pf_attr_set(self->rig.pf, "doorbell_poll_us", POLL_US), 0);
	EXPECT_TRUE(bells_area(dev, &offset, &size));
}

TEST_F(bells, commands_complete)
{
	for (u64 page = 0; page < 64; page++) {
		fill_pattern(self->buf, PAGE, page);
		nvme_write_bytes(self->nvme, page * PAGE, self->buf, PAGE);
	}
	for (u64 page = 0; page < 64; page++) {
		fill_pattern(self->buf + PAGE, PAGE, page);
		ASSERT_EQ(read_page(self->nvme, page, self->buf), 0);
		EXPECT_EQ(memcmp(self->buf, self->buf + PAGE, PAGE), 0);
	}
}

static long minor_faults(void)
{
	struct rusage usage;

	must(!getrusage(RUSAGE_SELF, &usage));
	return usage.ru_minflt;
}

/* The device goes to sleep at other moments of the exchange each time, and a fault wakes it */
TEST_F_TIMEOUT(bells, none_is_lost_when_the_device_goes_to_sleep, 120)
{
	const u64 end = now_ms() + 2000;
	long faults = minor_faults();
	unsigned int n;

	ASSERT_EQ(pf_attr_set(self->rig.pf, "doorbell_poll_us", 20), 0);
	for (n = 0; now_ms() < end; n++) {
		ASSERT_EQ(read_page(self->nvme, n % 64, self->buf), 0) TH_LOG("read %u", n);
		for (unsigned int i = 0; i < n % 100; i++)
			now_ms();
	}
	faults = minor_faults() - faults;
	EXPECT_GE(faults, 10);
	note("%u reads, the device slept %ld times", n, faults);
}

TEST_F(bells, mapped_and_written_ones_mix)
{
	u32 *second = bells_map(&self->rig.dev[0]);

	for (unsigned int i = 0; i < 300; i++) {
		bells_use(self->nvme, i % 3 ? i % 3 == 1 ? self->bells : second : NULL);
		ASSERT_EQ(read_page(self->nvme, i % 64, self->buf), 0) TH_LOG("read %u", i);
	}
	bells_use(self->nvme, self->bells);
	bells_unmap(second);
}

/* Have all threads of the process on this CPU, that of the device too */
static void share_a_cpu(void)
{
	DIR *dir = opendir("/proc/self/task");
	struct dirent *de;
	cpu_set_t one;

	must(dir);
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	while ((de = readdir(dir)))
		if (de->d_name[0] != '.')
			must(!sched_setaffinity(atoi(de->d_name), sizeof(one), &one));
	closedir(dir);
}

/*
 * A write to a register takes the doorbell from the page before the device, which polls the page,
 * gets a CPU.  It must hear of it all the same.
 */
TEST_F(bells, one_that_a_write_finds_is_not_lost)
{
	share_a_cpu();
	for (unsigned int i = 0; i < 300; i++) {
		u16 cid = nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);

		bar_write32(self->nvme->dev, NVME_INTMS, 0);
		ASSERT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), 0) TH_LOG("read %u", i);
	}
}

/* The device sleeps until the head is rung: nothing else can be done */
TEST_F(bells, head_makes_room_in_a_full_queue)
{
	const unsigned int room = self->q->depth - 1;
	u16 cids[80];
	unsigned int n;

	for (n = 0; n < room; n++)
		cids[n] = nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);
	ASSERT_TRUE(wait_until(nvme_peek(self->q) == room));
	for (; n < ARRAY_SIZE(cids); n++)
		cids[n] = nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);
	EXPECT_TRUE(stays_false(nvme_peek(self->q) > room));
	nvme_reap(self->nvme, self->q);
	for (unsigned int i = 0; i < ARRAY_SIZE(cids); i++) {
		int status = nvme_wait(self->nvme, self->q, cids[i], NULL);

		EXPECT_EQ(status, 0) TH_LOG("read %u", i);
	}
}

TEST_F(bells, one_that_is_rung_in_p2p_counts_at_the_destination)
{
	u16 cid;

	fill_pattern(self->buf + PAGE, PAGE, 5);
	nvme_write_bytes(self->nvme, 0, self->buf + PAGE, PAGE);
	rig_second(&self->rig);
	ASSERT_EQ(mig_set(&self->rig.dev[0], RUNNING_P2P, NULL), 0);
	cid = nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);
	EXPECT_TRUE(stays_false(nvme_peek(self->q)));
	bells_use(self->nvme, NULL);
	rig_move(&self->rig, RUNNING);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), 0);
	EXPECT_EQ(memcmp(self->buf, self->buf + PAGE, PAGE), 0);
}

TEST_F(bells, one_that_is_rung_in_stop_does_not_count)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct blob before = {}, after = {};
	u16 cid;

	ASSERT_EQ(mig_set(dev, STOP, NULL), 0);
	mig_save(dev, &before);
	cid = nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);
	mig_save(dev, &after);
	EXPECT_TRUE(blob_equal(&before, &after));
	ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
	EXPECT_TRUE(stays_false(nvme_peek(self->q)));
	nvme_ring(self->nvme, self->q);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), 0);
	blob_free(&before);
	blob_free(&after);
}

TEST_F(bells, one_of_before_an_enable_does_not_count)
{
	ASSERT_EQ(nvme_disable(self->nvme), 0);
	bells_store(self->bells, 0, 1);
	bells_store(self->bells, 2, 3);
	ASSERT_EQ(nvme_enable(self->nvme), 0);
	EXPECT_EQ(nvme_identify(self->nvme, 1, 0, self->buf), 0);
	EXPECT_EQ(bar_read32(self->nvme->dev, NVME_CSTS) & NVME_CSTS_CFS, 0);
}

/* An error event, as for writes */
TEST_F(bells, store_beyond_them_is_reported)
{
	struct nvme_cmd aer = { .opcode = NVME_AER };
	struct nvme_cqe cqe;
	u16 cid = nvme_submit(self->nvme, &self->nvme->admin, &aer);

	nvme_ring(self->nvme, &self->nvme->admin);
	bells_store(self->bells, PAGE / 4 - 1, 7);
	EXPECT_EQ(nvme_wait(self->nvme, &self->nvme->admin, cid, &cqe), 0);
	EXPECT_EQ(cqe.dw0 & 0xffff, 0);
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
}

static void ring_any(u32 *bells, u32 i)
{
	bells_store(bells, i * 7 % (PAGE / 4), i);
}

/* The doorbells of queues that do not exist */
static void ring_none(u32 *bells, u32 i)
{
	bells_store(bells, 60 + i % 6, i);
}

TEST_F_TIMEOUT(bells, resets_work_while_they_are_rung, 120)
{
	struct hammer h;

	hammer_begin(&h, self->bells, ring_any);
	for (unsigned int i = 0; i < 12; i++) {
		vfio_reset_by(&self->rig.dev[0], self->rig.pf, i % 4);
		EXPECT_EQ(mig_get(&self->rig.dev[0]), RUNNING);
	}
	hammer_end(&h);
	ASSERT_EQ(vfio_reset(&self->rig.dev[0]), 0);
	nvme_restart(self->nvme);
	ASSERT_EQ(nvme_create_io(self->nvme, 1, 64, -1), 0);
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
}

TEST_F_TIMEOUT(bells, arcs_work_while_they_are_rung, 120)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};
	struct hammer h;
	int fd;

	rig_second(rig);
	hammer_begin(&h, self->bells, ring_none);
	for (unsigned int i = 0; i < 10; i++) {
		ASSERT_EQ(mig_set(&rig->dev[0], PRE_COPY, &fd), 0);
		ASSERT_EQ(mig_read(fd, &blob, KIB(32)), -ENOMSG);
		ASSERT_EQ(read_page(self->nvme, i, self->buf), 0);
		ASSERT_EQ(mig_set(&rig->dev[0], STOP_COPY, NULL), 0);
		ASSERT_EQ(mig_read(fd, &blob, KIB(32)), 0);
		close(fd);
		if (i < 9) {
			blob_free(&blob);
			ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
			ASSERT_EQ(read_page(self->nvme, i, self->buf), 0);
		}
	}
	bells_use(self->nvme, NULL);
	rig_land(rig, &blob, RUNNING);
	hammer_end(&h);
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
}

/* The device is closed with the last mapping */
TEST_F(bells, mapping_outlives_the_fd)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct vfio_dev closed = *dev;

	close(dev->fd);
	dev->fd = -1;
	bells_store(self->bells, 0, 0);
	bells_store(self->bells, 2, 0);
	sleep_ms(QUIET_MS);
	bells_store(self->bells, 2, 1);
	bells_unmap(self->bells);
	self->bells = NULL;
	rig_user_ends(&self->rig, 0);
	rig_user_begins(&self->rig, 0, closed.bdf);
	nvme_init(self->nvme, dev, &self->rig.mem);
	EXPECT_EQ(nvme_identify(self->nvme, 1, 0, self->buf), 0);
}

TEST_F(bells, child_rings_too)
{
	int status;
	pid_t child;

	ASSERT_EQ(read_page(self->nvme, 0, self->buf), 0);
	child = fork();
	if (!child) {
		for (unsigned int i = 0; i < 20; i++) {
			usleep(i * 50);
			if (read_page(self->nvme, i, self->buf))
				_exit(1);
		}
		_exit(0);
	}
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

/* VFIO pins what is mapped for DMA, as QEMU maps all of a guest's BARs */
TEST_F(bells, can_be_mapped_for_dma)
{
	struct iommu *iommu = &self->rig.iommu[0];
	const u64 iova = 1ULL << 40;

	ASSERT_EQ(iommu_map(iommu, iova, self->bells, PAGE, MAP_RW), 0);
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
	sleep_ms(QUIET_MS);
	EXPECT_EQ(read_page(self->nvme, 1, self->buf), 0);
	EXPECT_EQ(iommu_unmap(iommu, iova, PAGE), 0);
	EXPECT_EQ(read_page(self->nvme, 2, self->buf), 0);
}

TEST_HARNESS_MAIN
