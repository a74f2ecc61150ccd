// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registers that are mapped, with the doorbells.  A load shows what a read of the region returns.
 * A store does what a write does, soon.  The device does not hear of it, so it has to look for it,
 * and has to be told of the first access after it has stopped looking.
 */
#include <errno.h>
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
#define SHOWN		0x40	/* bytes with registers */

FIXTURE(regs)
{
	struct rig rig;
	struct nvme *nvme;
	u32 *bells;
	u32 *regs;
	u8 *buf;
};

FIXTURE_VARIANT(regs)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(regs, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(regs, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

static void use(struct nvme *nvme, u32 *regs, u32 *bells)
{
	nvme->regs = regs;
	bells_use(nvme, bells);
}

FIXTURE_SETUP(regs)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = MEDIA_MB };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	self->buf = arena_alloc(&self->rig.mem, 4 * PAGE);
	ASSERT_EQ(pf_attr_set(self->rig.pf, "map_registers", 1), 0);
	self->bells = bells_begin(self->nvme, self->rig.pf, POLL_US);
	if (!self->bells)
		SKIP(return, "no page is mapped on a machine with one CPU");
	self->regs = regs_map(&self->rig.dev[0]);
	ASSERT_TRUE(self->regs);
	use(self->nvme, self->regs, self->bells);
}

FIXTURE_TEARDOWN(regs)
{
	if (self->bells)
		bells_unmap(self->bells);
	if (self->regs)
		regs_unmap(self->regs);
	if (self->rig.devs)
		rig_close(&self->rig);
}

static int read_page(struct nvme *nvme, u64 page, u8 *buf)
{
	return nvme_rw(nvme, &nvme->io[1], NVME_READ, page * BLOCKS, BLOCKS, buf);
}

/* Disable, enable, make queue 1 anew, and use it */
static int cycle(struct nvme *nvme, u8 *buf)
{
	int ret = nvme_disable(nvme) ?: nvme_enable(nvme);

	return ret ?: nvme_create_io(nvme, 1, 64, -1) ?: read_page(nvme, 0, buf);
}

/* Is each register the same in the page as by a read of the region?  INTMC shows 0. */
static bool shows_registers(struct vfio_dev *dev, const u32 *regs)
{
	for (u64 offset = 0; offset < SHOWN; offset += sizeof(u32)) {
		u32 expected = offset == NVME_INTMC ? 0 : bar_read32(dev, offset);

		if (regs_load(regs, offset) != expected)
			return false;
	}
	return true;
}

TEST_F(regs, area_begins_with_them)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u64 offset, size;

	ASSERT_TRUE(bells_area(dev, &offset, &size));
	EXPECT_EQ(offset, 0);
	EXPECT_EQ(size, 2 * PAGE);
	EXPECT_EQ(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, dev->fd, dev->bar0), MAP_FAILED);
	EXPECT_EQ(mmap(NULL, 3 * PAGE, PROT_READ, MAP_SHARED, dev->fd, dev->bar0), MAP_FAILED);
}

TEST_F(regs, setting_of_0_does_not_offer_them)
{
	struct vfio_dev *dev = &self->rig.dev[0];

	ASSERT_EQ(pf_attr_set(self->rig.pf, "map_registers", 0), 0);
	EXPECT_FALSE(regs_map(dev));
	/* A mapping that is there works on */
	EXPECT_EQ(cycle(self->nvme, self->buf), 0);
	EXPECT_EQ(pf_attr_set(self->rig.pf, "map_registers", 2), -EINVAL);
	EXPECT_EQ(pf_attr_set(self->rig.pf, "map_registers", 1), 0);
	ASSERT_EQ(pf_attr_set(self->rig.pf, "doorbell_poll_us", 0), 0);
	EXPECT_FALSE(regs_map(dev));
}

TEST_F(regs, page_shows_what_a_read_returns)
{
	struct vfio_dev *dev = &self->rig.dev[0];

	EXPECT_TRUE(shows_registers(dev, self->regs));
	ASSERT_EQ(nvme_disable(self->nvme), 0);
	EXPECT_TRUE(shows_registers(dev, self->regs));
	ASSERT_EQ(nvme_enable(self->nvme), 0);
	EXPECT_TRUE(shows_registers(dev, self->regs));
	use(self->nvme, NULL, NULL);
	ASSERT_EQ(nvme_disable(self->nvme), 0);
	EXPECT_TRUE(shows_registers(dev, self->regs));
	EXPECT_EQ(cycle(self->nvme, self->buf), 0);
	EXPECT_TRUE(shows_registers(dev, self->regs));
}

TEST_F(regs, controller_is_disabled_and_enabled)
{
	for (unsigned int i = 0; i < 50; i++)
		ASSERT_EQ(cycle(self->nvme, self->buf), 0);
}

TEST_F(regs, stores_and_writes_mix)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u32 *second = regs_map(dev);

	for (unsigned int i = 0; i < 60; i++) {
		use(self->nvme, i % 3 ? i % 3 == 1 ? self->regs : second : NULL,
		    i % 2 ? self->bells : NULL);
		ASSERT_EQ(nvme_disable(self->nvme), 0) TH_LOG("cycle %u", i);
		use(self->nvme, i % 5 ? self->regs : NULL, self->bells);
		ASSERT_EQ(cycle(self->nvme, self->buf), 0) TH_LOG("cycle %u", i);
	}
	regs_unmap(second);
}

TEST_F(regs, shutdown_completes)
{
	regs_store(self->regs, NVME_CC, regs_load(self->regs, NVME_CC) | 1 << 14);
	EXPECT_TRUE(wait_until((regs_load(self->regs, NVME_CSTS) >> 2 & 3) == 2));
	EXPECT_EQ(cycle(self->nvme, self->buf), 0);
}

/* The configuration is refused: memory pages that are too large */
TEST_F(regs, fatal_status_is_shown)
{
	ASSERT_EQ(nvme_disable(self->nvme), 0);
	regs_store(self->regs, NVME_CC, 0xf << 7 | NVME_CC_EN);
	EXPECT_TRUE(wait_until(regs_load(self->regs, NVME_CSTS) & NVME_CSTS_CFS));
	EXPECT_EQ(cycle(self->nvme, self->buf), 0);
}

/* The same CPU stores, and then reads by a system call */
TEST_F(regs, read_returns_what_was_stored)
{
	struct vfio_dev *dev = &self->rig.dev[0];

	ASSERT_EQ(nvme_disable(self->nvme), 0);
	for (u32 i = 1; i <= 300; i++) {
		if (i % 50 == 0)
			sleep_ms(2);
		regs_store(self->regs, NVME_AQA, i % 100 << 16 | (i + 1) % 100);
		regs_store64(self->regs, NVME_ASQ, (u64)i << 32 | i << 12 | 0xfff);
		ASSERT_EQ(bar_read32(dev, NVME_AQA), i % 100 << 16 | (i + 1) % 100);
		ASSERT_EQ(bar_read64(dev, NVME_ASQ), (u64)i << 32 | i << 12);
		/* Reserved bits read as 0 in the page, too */
		ASSERT_EQ(regs_load(self->regs, NVME_ASQ), i << 12);
	}
}

TEST_F(regs, mask_has_the_bits_that_were_stored)
{
	struct vfio_dev *dev = &self->rig.dev[0];

	regs_store(self->regs, NVME_INTMS, 0x5);
	EXPECT_EQ(bar_read32(dev, NVME_INTMS), 0x5);
	regs_store(self->regs, NVME_INTMS, 0x2);
	EXPECT_EQ(bar_read32(dev, NVME_INTMS), 0x7);
	EXPECT_EQ(regs_load(self->regs, NVME_INTMS), 0x7);
	regs_store(self->regs, NVME_INTMC, 0x7);
	EXPECT_EQ(bar_read32(dev, NVME_INTMC), 0);
	EXPECT_EQ(regs_load(self->regs, NVME_INTMS), 0);
	EXPECT_EQ(regs_load(self->regs, NVME_INTMC), 0);
}

TEST_F(regs, scribbling_over_the_others_harms_nobody)
{
	static const u64 others[] = {
		NVME_CAP, NVME_CAP + 4, NVME_VS, NVME_CSTS, 0x18, 0x20, 0x3c,
	};
	struct vfio_dev *dev = &self->rig.dev[0];

	for (u32 i = 0; i < 100; i++) {
		u64 offset = others[i % ARRAY_SIZE(others)];
		u32 before = bar_read32(dev, offset);

		regs_store(self->regs, offset, ~before ^ i << 20);
		ASSERT_EQ(bar_read32(dev, offset), before);
		ASSERT_EQ(regs_load(self->regs, offset), before);
		regs_store(self->regs, offset, i);
		ASSERT_TRUE(wait_until(regs_load(self->regs, offset) == before));
	}
	/* Where there is no register */
	for (u64 offset = SHOWN; offset < PAGE; offset += sizeof(u32))
		regs_store(self->regs, offset, ~0U);
	EXPECT_EQ(bar_read32(dev, PAGE - 4), 0);
	EXPECT_TRUE(wait_until(!regs_load(self->regs, PAGE - 4)));
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
	EXPECT_EQ(cycle(self->nvme, self->buf), 0);
}

/* What is rung before the controller is enabled does not count, however late it looks */
TEST_F(regs, doorbell_of_before_an_enable_does_not_count)
{
	ASSERT_EQ(nvme_disable(self->nvme), 0);
	for (unsigned int i = 0; i < 20; i++) {
		sleep_ms(i % 4);
		bells_store(self->bells, 0, 1);
		bells_store(self->bells, 2, 3);
		ASSERT_EQ(nvme_enable(self->nvme), 0);
		ASSERT_EQ(nvme_identify(self->nvme, 1, 0, self->buf), 0) TH_LOG("enable %u", i);
		EXPECT_EQ(regs_load(self->regs, NVME_CSTS) & NVME_CSTS_CFS, 0);
		ASSERT_EQ(nvme_disable(self->nvme), 0);
	}
}

TEST_F(regs, store_in_stop_does_not_count)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct blob before = {}, after = {};
	u32 cc = bar_read32(dev, NVME_CC);

	ASSERT_EQ(mig_set(dev, STOP, NULL), 0);
	mig_save(dev, &before);
	regs_store(self->regs, NVME_CC, 0);
	regs_store(self->regs, NVME_INTMS, 1);
	regs_store64(self->regs, NVME_ASQ, 0x123000);
	sleep_ms(QUIET_MS);
	EXPECT_EQ(bar_read32(dev, NVME_CC), cc);
	mig_save(dev, &after);
	EXPECT_TRUE(blob_equal(&before, &after));
	ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
	EXPECT_TRUE(shows_registers(dev, self->regs));
	EXPECT_EQ(regs_load(self->regs, NVME_CC), cc);
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
	blob_free(&before);
	blob_free(&after);
}

/* A disable that is stored in RUNNING_P2P takes effect where the device runs again */
TEST_F(regs, store_in_p2p_counts_at_the_destination)
{
	struct vfio_dev *to = rig_second(&self->rig);
	u32 *regs = regs_map(to);

	ASSERT_TRUE(regs);
	EXPECT_EQ(regs_load(regs, NVME_CC), 0);
	ASSERT_EQ(mig_set(&self->rig.dev[0], RUNNING_P2P, NULL), 0);
	regs_store(self->regs, NVME_INTMS, 0x10);
	regs_store(self->regs, NVME_CC, regs_load(self->regs, NVME_CC) & ~NVME_CC_EN);
	EXPECT_TRUE(stays_false(!(regs_load(self->regs, NVME_CSTS) & NVME_CSTS_RDY)));
	rig_move(&self->rig, RUNNING_P2P);
	EXPECT_TRUE(shows_registers(to, regs));
	EXPECT_EQ(regs_load(regs, NVME_CSTS) & NVME_CSTS_RDY, NVME_CSTS_RDY);
	EXPECT_EQ(regs_load(regs, NVME_INTMS), 0x10);
	ASSERT_EQ(mig_set(to, RUNNING, NULL), 0);
	EXPECT_TRUE(wait_until(!(regs_load(regs, NVME_CSTS) & NVME_CSTS_RDY)));
	use(self->nvme, regs, NULL);
	EXPECT_EQ(cycle(self->nvme, self->buf), 0);
	regs_unmap(regs);
}

/* The device goes to sleep at other moments each time, and a fault wakes it */
TEST_F_TIMEOUT(regs, none_is_lost_when_the_device_goes_to_sleep, 120)
{
	const u64 end = now_ms() + 2000;
	struct rusage usage;
	long faults;
	unsigned int n;

	ASSERT_EQ(pf_attr_set(self->rig.pf, "doorbell_poll_us", 20), 0);
	must(!getrusage(RUSAGE_SELF, &usage));
	faults = usage.ru_minflt;
	for (n = 0; now_ms() < end; n++) {
		ASSERT_EQ(nvme_disable(self->nvme), 0) TH_LOG("cycle %u", n);
		for (unsigned int i = 0; i < n % 100; i++)
			now_ms();
		ASSERT_EQ(nvme_enable(self->nvme), 0) TH_LOG("cycle %u", n);
		for (unsigned int i = 0; i < n % 70; i++)
			now_ms();
	}
	must(!getrusage(RUSAGE_SELF, &usage));
	faults = usage.ru_minflt - faults;
	EXPECT_GE(faults, 10);
	note("%u cycles, %ld faults", n, faults);
}

/* Anything, to all of the page */
static void store_any(u32 *regs, u32 i)
{
	regs_store(regs, i * 7 % (i % 3 ? SHOWN / 4 : PAGE / 4) * 4, i * 0x01010101);
}

TEST_F_TIMEOUT(regs, resets_work_while_they_are_stored, 120)
{
	struct hammer h;

	hammer_begin(&h, self->regs, store_any);
	for (unsigned int i = 0; i < 12; i++) {
		vfio_reset_by(&self->rig.dev[0], self->rig.pf, i % 4);
		EXPECT_EQ(mig_get(&self->rig.dev[0]), RUNNING);
	}
	hammer_end(&h);
	ASSERT_EQ(vfio_reset(&self->rig.dev[0]), 0);
	EXPECT_TRUE(shows_registers(&self->rig.dev[0], self->regs));
	EXPECT_EQ(regs_load(self->regs, NVME_CC), 0);
	nvme_restart(self->nvme);
	ASSERT_EQ(nvme_create_io(self->nvme, 1, 64, -1), 0);
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
}

TEST_F_TIMEOUT(regs, arcs_work_while_they_are_stored, 120)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct blob before = {}, after = {};
	struct hammer h;

	hammer_begin(&h, self->regs, store_any);
	for (unsigned int i = 0; i < 10; i++) {
		ASSERT_EQ(mig_set(dev, STOP, NULL), 0);
		mig_save(dev, &before);
		mig_save(dev, &after);
		EXPECT_TRUE(blob_equal(&before, &after)) TH_LOG("save %u", i);
		blob_free(&before);
		blob_free(&after);
		ASSERT_EQ(mig_set(dev, i % 2 ? RUNNING_P2P : RUNNING, NULL), 0);
		sleep_ms(2);
	}
	hammer_end(&h);
	ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
	ASSERT_EQ(vfio_reset(dev), 0);
	nvme_restart(self->nvme);
	ASSERT_EQ(nvme_create_io(self->nvme, 1, 64, -1), 0);
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
}

/* The device is closed with the last mapping */
TEST_F(regs, mapping_outlives_the_fd)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct vfio_dev closed = *dev;

	close(dev->fd);
	dev->fd = -1;
	regs_store(self->regs, NVME_CC, 0);
	EXPECT_TRUE(wait_until(!(regs_load(self->regs, NVME_CSTS) & NVME_CSTS_RDY)));
	sleep_ms(QUIET_MS);
	regs_store(self->regs, NVME_CC, NVME_CC_EN | 6 << 16 | 4 << 20);
	EXPECT_TRUE(wait_until(regs_load(self->regs, NVME_CSTS) & NVME_CSTS_RDY));
	bells_unmap(self->bells);
	regs_unmap(self->regs);
	self->bells = NULL;
	self->regs = NULL;
	rig_user_ends(&self->rig, 0);
	rig_user_begins(&self->rig, 0, closed.bdf);
	nvme_init(self->nvme, dev, &self->rig.mem);
	EXPECT_EQ(nvme_identify(self->nvme, 1, 0, self->buf), 0);
}

TEST_F(regs, child_stores_too)
{
	int status;
	pid_t child;

	child = fork();
	if (!child) {
		for (unsigned int i = 0; i < 20; i++) {
			usleep(i * 50);
			if (cycle(self->nvme, self->buf))
				_exit(1);
		}
		_exit(0);
	}
	ASSERT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
	EXPECT_TRUE(shows_registers(&self->rig.dev[0], self->regs));
}

/* As QEMU's driver: the registers for reads and writes, and both pages for writes only */
TEST_F(regs, both_pages_are_mapped_at_once)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u32 *both = mmap(NULL, 2 * PAGE, PROT_WRITE, MAP_SHARED, dev->fd, dev->bar0);

	ASSERT_NE(both, MAP_FAILED);
	use(self->nvme, self->regs, both + PAGE / sizeof(*both));
	EXPECT_EQ(cycle(self->nvme, self->buf), 0);
	sleep_ms(QUIET_MS);
	regs_store(both, NVME_INTMS, 0x40);
	EXPECT_TRUE(wait_until(regs_load(self->regs, NVME_INTMS) == 0x40));
	EXPECT_EQ(bar_read32(dev, NVME_INTMS), 0x40);
	use(self->nvme, self->regs, self->bells);
	ASSERT_EQ(munmap(both, 2 * PAGE), 0);
	EXPECT_EQ(cycle(self->nvme, self->buf), 0);
}

TEST_F(regs, protection_and_place_of_a_mapping_change)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u32 *moved, *place;

	for (unsigned int i = 0; i < 20; i++) {
		ASSERT_EQ(mprotect(self->regs, PAGE, PROT_READ), 0);
		EXPECT_TRUE(shows_registers(dev, self->regs));
		if (i % 2)
			sleep_ms(2);
		ASSERT_EQ(mprotect(self->regs, PAGE, PROT_READ | PROT_WRITE), 0);
		ASSERT_EQ(cycle(self->nvme, self->buf), 0);

		place = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(place, MAP_FAILED);
		moved = mremap(self->regs, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, place);
		ASSERT_EQ(moved, place);
		self->regs = moved;
		use(self->nvme, moved, self->bells);
		ASSERT_EQ(cycle(self->nvme, self->buf), 0) TH_LOG("move %u", i);
	}
	/* It can't grow */
	EXPECT_EQ(mremap(self->regs, PAGE, 2 * PAGE, MREMAP_MAYMOVE), MAP_FAILED);
}

/* VFIO pins what is mapped for DMA, as QEMU maps all of a guest's BARs */
TEST_F(regs, can_be_mapped_for_dma)
{
	struct iommu *iommu = &self->rig.iommu[0];
	const u64 iova = 1ULL << 40;

	ASSERT_EQ(iommu_map(iommu, iova, self->regs, PAGE, MAP_RW), 0);
	EXPECT_EQ(cycle(self->nvme, self->buf), 0);
	sleep_ms(QUIET_MS);
	EXPECT_EQ(cycle(self->nvme, self->buf), 0);
	EXPECT_EQ(iommu_unmap(iommu, iova, PAGE), 0);
	EXPECT_EQ(cycle(self->nvme, self->buf), 0);
}

TEST_HARNESS_MAIN
