// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty tracking by the IOMMU as iommufd has it: what is offered and refused, its
 * flags, unmaps, and domains with several devices.  What is in a report is the matter
 * of dirty_test.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dirty.h"
#include "rig.h"

#include "harness.h"

#define IOVA	0x40000000ULL
#define PAGES	8

FIXTURE(track)
{
	struct rig rig;
	struct vfio_dev *dev;
	struct iommu *iommu;
	u32 hwpt;
	u8 *mem;		/* PAGES pages, at IOVA */
};

FIXTURE_SETUP(track)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 2 },
				   IOMMU_IOMMUFD_TRACKED, 1);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	self->iommu = &self->rig.iommu[0];
	self->hwpt = self->iommu->hwpt_id;
	rig_start(&self->rig);
	self->mem = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	ASSERT_NE(self->mem, MAP_FAILED);
	ASSERT_EQ(iommu_map(self->iommu, IOVA, self->mem, PAGES * PAGE, MAP_RW), 0);
}

FIXTURE_TEARDOWN(track)
{
	if (!self->mem)
		return;
	munmap(self->mem, PAGES * PAGE);
	rig_close(&self->rig);
}

static int write_page(struct nvme *nvme, unsigned int page)
{
	struct nvme_queue *q = &nvme->io[1];
	u16 cid = nvme_submit_read(nvme, q, 0, 8, IOVA + page * PAGE);

	nvme_ring(nvme, q);
	return nvme_wait(nvme, q, cid, NULL);
}

/* Of the pages at IOVA; bit 0 is the first */
static u64 dirty(struct iommu *iommu, u32 hwpt, u32 flags)
{
	u64 bits = 0;

	must(!hwpt_report(iommu, hwpt, flags, IOVA, PAGES * PAGE, PAGE, &bits));
	return bits;
}

static int attach(struct vfio_dev *dev, u32 pt_id)
{
	return vfio_attach(dev, &pt_id);
}

TEST_F(track, is_offered)
{
	struct iommu_hw_info info = { .size = sizeof(info), .dev_id = self->dev->dev_id };

	ASSERT_EQ(ioctl(self->iommu->fd, IOMMU_GET_HW_INFO, &info), 0);
	EXPECT_TRUE(info.out_capabilities & IOMMU_HW_CAP_DIRTY_TRACKING);
}

TEST_F(track, refuses_what_makes_no_sense)
{
	u32 plain, none;
	u64 bits = 0;

	EXPECT_EQ(iommu_hwpt_alloc(self->iommu, self->dev->dev_id, IOMMU_HWPT_ALLOC_NEST_PARENT,
				   &none), -EOPNOTSUPP);
	EXPECT_EQ(iommu_hwpt_alloc(self->iommu, self->dev->dev_id,
				   IOMMU_HWPT_ALLOC_DIRTY_TRACKING | IOMMU_HWPT_ALLOC_NEST_PARENT,
				   &none), -EOPNOTSUPP);

	/* A domain that was not made for it */
	ASSERT_EQ(iommu_hwpt_alloc(self->iommu, self->dev->dev_id, 0, &plain), 0);
	EXPECT_EQ(hwpt_track(self->iommu, plain, true), -EOPNOTSUPP);
	EXPECT_EQ(hwpt_report(self->iommu, plain, 0, IOVA, PAGE, PAGE, &bits), -EOPNOTSUPP);

	EXPECT_EQ(hwpt_report(self->iommu, self->hwpt, 4, IOVA, PAGE, PAGE, &bits), -EOPNOTSUPP);
	EXPECT_EQ(hwpt_report(self->iommu, self->hwpt, 0, IOVA, 0, PAGE, &bits), -EINVAL);
	EXPECT_EQ(hwpt_report(self->iommu, self->hwpt, 0, IOVA + 8, PAGE, PAGE, &bits), -EINVAL);
	EXPECT_EQ(hwpt_report(self->iommu, self->hwpt, 0, IOVA, PAGE, 2 * PAGE, &bits), -EINVAL);
}

TEST_F(track, nothing_is_reported_while_it_is_off)
{
	EXPECT_EQ(write_page(&self->rig.nvme, 0), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 0);
	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, true), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 0);
	EXPECT_EQ(write_page(&self->rig.nvme, 1), 0);
	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, false), 0);
	EXPECT_EQ(write_page(&self->rig.nvme, 2), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 0);
	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, true), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 0);
}

TEST_F(track, switched_on_twice_it_begins_anew)
{
	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, true), 0);
	EXPECT_EQ(write_page(&self->rig.nvme, 1), 0);
	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, true), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 0);
	EXPECT_EQ(write_page(&self->rig.nvme, 2), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 1 << 2);
}

TEST_F(track, no_clear_leaves_what_it_reports)
{
	const u32 no_clear = IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR;

	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, true), 0);
	EXPECT_EQ(write_page(&self->rig.nvme, 1), 0);
	EXPECT_EQ(write_page(&self->rig.nvme, 3), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, no_clear), 1 << 1 | 1 << 3);
	EXPECT_EQ(write_page(&self->rig.nvme, 4), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, no_clear), 1 << 1 | 1 << 3 | 1 << 4);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 1 << 1 | 1 << 3 | 1 << 4);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, no_clear), 0);
}

TEST_F(track, unmap_forgets)
{
	ASSERT_EQ(iommu_unmap(self->iommu, IOVA, PAGES * PAGE), 0);
	for (int i = 0; i < PAGES; i++) {
		ASSERT_EQ(iommu_map(self->iommu, IOVA + i * PAGE, self->mem + i * PAGE, PAGE,
				    MAP_RW), 0);
	}
	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, true), 0);
	for (int i = 0; i < PAGES; i++)
		ASSERT_EQ(write_page(&self->rig.nvme, i), 0);
	ASSERT_EQ(iommu_unmap(self->iommu, IOVA + 2 * PAGE, PAGE), 0);
	ASSERT_EQ(iommu_map(self->iommu, IOVA + 2 * PAGE, self->mem, PAGE, MAP_RW), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 0xfb);
	/* What is mapped there now is tracked as everything else */
	ASSERT_EQ(write_page(&self->rig.nvme, 2), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 1 << 2);
}

TEST_F(track, devices_share_what_a_domain_knows)
{
	struct vfio_dev *second = &self->rig.dev[1];
	struct nvme other = {};
	char bdf[BDF_SIZE];

	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, true), 0);
	ASSERT_TRUE(pf_vf(self->rig.pf, 1, bdf));
	ASSERT_EQ(vfio_open(second, self->iommu, bdf), 0);
	nvme_init(&other, second, &self->rig.mem);
	ASSERT_EQ(nvme_create_io(&other, 1, 16, -1), 0);
	ASSERT_EQ(dirty(self->iommu, self->hwpt, 0), 0);

	ASSERT_EQ(write_page(&self->rig.nvme, 1), 0);
	ASSERT_EQ(write_page(&other, 2), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 1 << 1 | 1 << 2);
	/* One that has gone can't take what it wrote with it */
	ASSERT_EQ(write_page(&other, 3), 0);
	vfio_close(second);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 1 << 3);
}

TEST_F(track, write_belongs_to_the_domain_that_it_went_through)
{
	u32 next;

	ASSERT_EQ(iommu_hwpt_alloc(self->iommu, self->dev->dev_id,
				   IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &next), 0);
	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, true), 0);
	ASSERT_EQ(hwpt_track(self->iommu, next, true), 0);
	ASSERT_EQ(write_page(&self->rig.nvme, 1), 0);
	ASSERT_EQ(attach(self->dev, next), 0);
	ASSERT_EQ(write_page(&self->rig.nvme, 2), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 1 << 1);
	EXPECT_EQ(dirty(self->iommu, next, 0), 1 << 2);
	/* And through one that is not tracked */
	ASSERT_EQ(attach(self->dev, self->iommu->ioas_id), 0);
	ASSERT_EQ(write_page(&self->rig.nvme, 3), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 0);
	EXPECT_EQ(dirty(self->iommu, next, 0), 0);
}

TEST_F(track, device_and_iommu_know_nothing_of_each_other)
{
	u64 bits = 0;

	if (track_offered(self->dev, BY_DEVICE))
		SKIP(return, "no log of the device's");
	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, true), 0);
	ASSERT_EQ(write_page(&self->rig.nvme, 1), 0);
	ASSERT_EQ(track_start(self->dev, BY_DEVICE, IOVA, PAGES * PAGE), 0);
	ASSERT_EQ(write_page(&self->rig.nvme, 2), 0);
	ASSERT_EQ(log_report(self->dev, IOVA, PAGES * PAGE, PAGE, &bits), 0);
	EXPECT_EQ(bits, 1 << 2);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 1 << 1 | 1 << 2);

	ASSERT_EQ(write_page(&self->rig.nvme, 3), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 1 << 3);
	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, false), 0);
	ASSERT_EQ(write_page(&self->rig.nvme, 4), 0);
	bits = 0;
	ASSERT_EQ(log_report(self->dev, IOVA, PAGES * PAGE, PAGE, &bits), 0);
	EXPECT_EQ(bits, 1 << 3 | 1 << 4);
}

/* What leads to a page is made by the first who writes there: one of two at once */
#define NEW_PLACES	64
#define NEW_IOVA(i)	((1ULL << 36) + ((u64)(i) << 32))

struct writer {
	struct nvme *nvme;
	unsigned int page;
	pthread_barrier_t *turn;
};

static void *write_new_places(void *arg)
{
	struct writer *w = arg;

	for (unsigned int i = 0; i < NEW_PLACES; i++) {
		pthread_barrier_wait(w->turn);
		must(!write_page(w->nvme, (NEW_IOVA(i) - IOVA) / PAGE + w->page));
	}
	return NULL;
}

TEST_F_TIMEOUT(track, devices_write_where_nobody_did_at_once, 60)
{
	struct vfio_dev *second = &self->rig.dev[1];
	struct nvme other = {};
	pthread_barrier_t turn;
	struct writer writers[] = {
		{ .nvme = &self->rig.nvme, .page = 1, .turn = &turn },
		{ .nvme = &other, .page = 6, .turn = &turn },
	};
	char bdf[BDF_SIZE];
	pthread_t thread;

	ASSERT_TRUE(pf_vf(self->rig.pf, 1, bdf));
	ASSERT_EQ(vfio_open(second, self->iommu, bdf), 0);
	nvme_init(&other, second, &self->rig.mem);
	ASSERT_EQ(nvme_create_io(&other, 1, 16, -1), 0);
	for (unsigned int i = 0; i < NEW_PLACES; i++)
		ASSERT_EQ(iommu_map(self->iommu, NEW_IOVA(i), self->mem, PAGES * PAGE, MAP_RW), 0);

	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, true), 0);
	ASSERT_EQ(pthread_barrier_init(&turn, NULL, 2), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, write_new_places, &writers[1]), 0);
	write_new_places(&writers[0]);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&turn);
	for (unsigned int i = 0; i < NEW_PLACES; i++) {
		u64 bits = 0;

		ASSERT_EQ(hwpt_report(self->iommu, self->hwpt, 0, NEW_IOVA(i), PAGES * PAGE, PAGE,
				      &bits), 0);
		EXPECT_EQ(bits, 1 << 1 | 1 << 6);
	}
	vfio_close(second);
}

struct switcher {
	struct iommu *iommu;
	u32 hwpt;
	bool stop;
	unsigned int rounds;
};

static void *switch_thread(void *arg)
{
	struct switcher *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		must(!hwpt_track(s->iommu, s->hwpt, true));
		dirty(s->iommu, s->hwpt, s->rounds % 2);
		must(!hwpt_track(s->iommu, s->hwpt, false));
		s->rounds++;
	}
	return NULL;
}

static void *report_thread(void *arg)
{
	struct switcher *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
		dirty(s->iommu, s->hwpt, 0);
	return NULL;
}

TEST_F_TIMEOUT(track, can_be_switched_beside_dma_unmaps_and_reports, 60)
{
	struct switcher s = { .iommu = self->iommu, .hwpt = self->hwpt };
	const u64 iova = IOVA + MIB(64);
	pthread_t thread[2];

	ASSERT_EQ(pthread_create(&thread[0], NULL, switch_thread, &s), 0);
	ASSERT_EQ(pthread_create(&thread[1], NULL, report_thread, &s), 0);
	for (int i = 0; i < 500; i++) {
		ASSERT_EQ(write_page(&self->rig.nvme, i % PAGES), 0);
		ASSERT_EQ(iommu_map(self->iommu, iova, self->mem, PAGE, MAP_RW), 0);
		ASSERT_EQ(write_page(&self->rig.nvme, (iova - IOVA) / PAGE), 0);
		ASSERT_EQ(iommu_unmap(self->iommu, iova, PAGE), 0);
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_GT(s.rounds, 10);
	ASSERT_EQ(hwpt_track(self->iommu, self->hwpt, true), 0);
	ASSERT_EQ(write_page(&self->rig.nvme, 3), 0);
	EXPECT_EQ(dirty(self->iommu, self->hwpt, 0), 1 << 3);
}

TEST_HARNESS_MAIN
