// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA goes where the mappings say, at the moment they say it: above all, when an
 * unmap returns, nothing touches those pages any more.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>

#include "cgroup.h"
#include "kmod.h"
#include "kmsg.h"
#include "rig.h"

#include "harness.h"

#define IOVA	0x40000000ULL

FIXTURE(iommu)
{
	struct rig rig;
};

FIXTURE_VARIANT(iommu)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(iommu, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(iommu, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(iommu)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 2 }, variant->mode, 2);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
}

FIXTURE_TEARDOWN(iommu)
{
	rig_close(&self->rig);
}

static u8 *map_pages(size_t size, int flags)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | flags, -1, 0);
}

/* One command on consecutive IOVAs that start anywhere; @len in whole blocks */
static int rw_at(struct rig *rig, u8 opcode, u64 iova, size_t len)
{
	struct nvme *nvme = &rig->nvme;
	struct nvme_cmd cmd = nvme_rw_cmd(opcode, 0, len / nvme->lba_size);
	u64 *list = arena_alloc(&rig->mem, PAGE);
	u64 next = (iova & ~(PAGE - 1)) + PAGE;
	unsigned int n = 0;

	cmd.prp1 = iova;
	for (; next < iova + len; next += PAGE)
		list[n++] = next;
	cmd.prp2 = n > 1 ? arena_iova(&rig->mem, list) : list[0];
	return nvme_sync(nvme, &nvme->io[1], &cmd, NULL);
}

/* Write @blocks of pattern 1 from LBA 0, leaving the completion to be found */
static void write_blocks(struct rig *rig, unsigned int blocks)
{
	u8 *buf = arena_alloc(&rig->mem, blocks * 512);

	fill_pattern(buf, blocks * 512, 1);
	must(!nvme_rw(&rig->nvme, &rig->nvme.io[1], NVME_WRITE, 0, blocks, buf));
}

TEST_F(iommu, no_interrupt_and_no_dma_without_bus_master)
{
	struct rig *rig = &self->rig;
	struct nvme *nvme = &rig->nvme;
	struct nvme_queue *q = &nvme->io[1];
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 0, 8);
	u8 *buf = arena_alloc(&rig->mem, PAGE);
	u16 cid;

	write_blocks(rig, 8);
	event_wait(rig->irq[1]);
	vfio_bus_master(&rig->dev[0], false);
	nvme_set_prps(nvme, q, &cmd, buf, PAGE);
	cid = nvme_submit(nvme, q, &cmd);
	nvme_ring(nvme, q);
	EXPECT_TRUE(stays_false(nvme_peek(q) || !is_filled(buf, PAGE, 0)));
	EXPECT_EQ(event_count(rig->irq[1]), 0);
	vfio_bus_master(&rig->dev[0], true);
	EXPECT_EQ(nvme_wait(nvme, q, cid, NULL), 0);
	EXPECT_TRUE(event_wait(rig->irq[1]));
	EXPECT_TRUE(is_pattern(buf, PAGE, 1));
}

TEST_F(iommu, dma_to_an_unmapped_address_is_a_fault)
{
	struct rig *rig = &self->rig;
	struct nvme *nvme = &rig->nvme;
	struct nvme_queue *q = &nvme->io[1];
	struct nvme_cmd read = nvme_rw_cmd(NVME_READ, 0, 8);
	struct nvme_cmd write = nvme_rw_cmd(NVME_WRITE, 0, 8);
	u64 faults = vf_dma_faults(rig->dev[0].bdf);

	read.prp1 = ARENA_IOVA + ARENA_SIZE;
	write.prp1 = 0x1000;
	EXPECT_EQ(nvme_sync(nvme, q, &read, NULL), NVME_DATA_TRANSFER_ERROR);
	EXPECT_EQ(nvme_sync(nvme, q, &write, NULL), NVME_DATA_TRANSFER_ERROR);
	read.prp1 = ~0xfffULL;
	EXPECT_EQ(nvme_sync(nvme, q, &read, NULL), NVME_DATA_TRANSFER_ERROR);
	EXPECT_GE(vf_dma_faults(rig->dev[0].bdf), faults + 3);
	/* and no more than that */
	write_blocks(rig, 8);
}

/* The log is spared a guest's thousand faults, but not the first of its neighbour */
TEST_F(iommu, faults_of_one_device_do_not_hide_those_of_another)
{
	struct rig *rig = &self->rig;
	struct nvme_cmd read = nvme_rw_cmd(NVME_READ, 0, 8);
	int kmsg = kmsg_open();
	char second[64];
	struct nvme other = {};

	snprintf(second, sizeof(second), "vfmig %s: DMA fault", rig->dev[1].bdf);
	read.prp1 = ARENA_IOVA + ARENA_SIZE;
	for (unsigned int i = 0; i < 100; i++)
		ASSERT_EQ(nvme_sync(&rig->nvme, &rig->nvme.io[1], &read, NULL),
			  NVME_DATA_TRANSFER_ERROR);

	nvme_init(&other, &rig->dev[1], &rig->mem);
	ASSERT_EQ(nvme_create_io(&other, 1, 16, -1), 0);
	ASSERT_EQ(nvme_sync(&other, &other.io[1], &read, NULL), NVME_DATA_TRANSFER_ERROR);
	EXPECT_TRUE(kmsg_says(kmsg, second));
	close(kmsg);
}

/* On x86 a write there is an interrupt, so no IOMMU lets memory be mapped there */
#define MSI_WINDOW	0xfee00000ULL
#define MSI_SIZE	MIB(1)

TEST_F(iommu, the_msi_window_can_not_be_mapped)
{
	struct iommu *iommu = &self->rig.iommu[0];
	u8 *mem = map_pages(MIB(2), 0);

	ASSERT_NE(mem, MAP_FAILED);
	EXPECT_LT(iommu_map(iommu, MSI_WINDOW, mem, PAGE, MAP_RW), 0);
	EXPECT_LT(iommu_map(iommu, MSI_WINDOW + MSI_SIZE - PAGE, mem, PAGE, MAP_RW), 0);
	EXPECT_LT(iommu_map(iommu, MSI_WINDOW - PAGE, mem, 2 * PAGE, MAP_RW), 0);
	EXPECT_LT(iommu_map(iommu, MSI_WINDOW - PAGE, mem, MIB(2), MAP_RW), 0);

	ASSERT_EQ(iommu_map(iommu, MSI_WINDOW - PAGE, mem, PAGE, MAP_RW), 0);
	ASSERT_EQ(iommu_map(iommu, MSI_WINDOW + MSI_SIZE, mem, PAGE, MAP_RW), 0);
	EXPECT_EQ(iommu_unmap(iommu, MSI_WINDOW - PAGE, PAGE), 0);
	EXPECT_EQ(iommu_unmap(iommu, MSI_WINDOW + MSI_SIZE, PAGE), 0);
	munmap(mem, MIB(2));
}

TEST_F(iommu, dma_honours_permissions)
{
	struct rig *rig = &self->rig;
	struct nvme *nvme = &rig->nvme;
	struct nvme_queue *q = &nvme->io[1];
	struct nvme_cmd read = nvme_rw_cmd(NVME_READ, 0, 8);
	struct nvme_cmd write = nvme_rw_cmd(NVME_WRITE, 0, 8);
	const u64 ro = 0x10000000, wo = 0x20000000;
	u64 faults;
	u8 *page;

	page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(page, MAP_FAILED);
	ASSERT_EQ(iommu_map(&rig->iommu[0], ro, page, PAGE, MAP_READ), 0);
	faults = vf_dma_faults(rig->dev[0].bdf);

	fill_pattern(page, PAGE, 2);
	write.prp1 = ro;
	EXPECT_EQ(nvme_sync(nvme, q, &write, NULL), 0);
	EXPECT_EQ(vf_dma_faults(rig->dev[0].bdf), faults);
	memset(page, 0, PAGE);
	read.prp1 = ro;
	EXPECT_EQ(nvme_sync(nvme, q, &read, NULL), NVME_DATA_TRANSFER_ERROR);
	EXPECT_TRUE(is_filled(page, PAGE, 0));
	EXPECT_GT(vf_dma_faults(rig->dev[0].bdf), faults);

	if (iommu_map(&rig->iommu[0], wo, page + PAGE, PAGE, MAP_WRITE))
		SKIP(goto out, "no write-only mappings here");
	read.prp1 = wo;
	EXPECT_EQ(nvme_sync(nvme, q, &read, NULL), 0);
	EXPECT_TRUE(is_pattern(page + PAGE, PAGE, 2));
	write.prp1 = wo;
	EXPECT_EQ(nvme_sync(nvme, q, &write, NULL), NVME_DATA_TRANSFER_ERROR);
out:
	munmap(page, 2 * PAGE);
}

TEST_F(iommu, dma_that_runs_off_a_mapping_is_a_fault)
{
	struct rig *rig = &self->rig;
	struct nvme *nvme = &rig->nvme;
	struct nvme_cmd read = nvme_rw_cmd(NVME_READ, 0, 24);
	u64 last = ARENA_IOVA + ARENA_SIZE - PAGE;
	u64 *list = arena_alloc(&rig->mem, PAGE);

	/* First page mapped, second not */
	read.cdw12 = 15;
	read.prp1 = last;
	read.prp2 = last + PAGE;
	EXPECT_EQ(nvme_sync(nvme, &nvme->io[1], &read, NULL), NVME_DATA_TRANSFER_ERROR);
	/* The same by a list; a list that is not mapped itself */
	read.cdw12 = 23;
	list[0] = last - PAGE;
	list[1] = last + PAGE;
	read.prp2 = arena_iova(&rig->mem, list);
	EXPECT_EQ(nvme_sync(nvme, &nvme->io[1], &read, NULL), NVME_DATA_TRANSFER_ERROR);
	read.prp2 = last + PAGE;
	EXPECT_EQ(nvme_sync(nvme, &nvme->io[1], &read, NULL), NVME_DATA_TRANSFER_ERROR);
	write_blocks(rig, 8);
}

TEST_F(iommu, data_is_right_across_scattered_pages)
{
	enum { PAGES = 16, LEN = 13 * 4096 + 512 };
	struct rig *rig = &self->rig;
	u8 *src = map_pages(PAGES * PAGE, 0), *dst = map_pages(PAGES * PAGE, 0);
	u8 flat[PAGES * PAGE];

	/* IOVA page i is page (i * 5) % 16 of the memory: none lie side by side */
	for (unsigned int i = 0; i < PAGES; i++) {
		size_t at = i * 5 % PAGES * PAGE;

		ASSERT_EQ(iommu_map(&rig->iommu[0], IOVA + i * PAGE, src + at, PAGE, MAP_RW), 0);
		ASSERT_EQ(iommu_map(&rig->iommu[0], 2 * IOVA + i * PAGE, dst + at, PAGE, MAP_RW),
			  0);
	}
	for (unsigned int off = 0; off < PAGE; off += 1020) {
		memset(flat, 0xee, sizeof(flat));
		fill_pattern(flat + off, LEN, off + 1);
		for (unsigned int i = 0; i < PAGES; i++)
			memcpy(src + i * 5 % PAGES * PAGE, flat + i * PAGE, PAGE);
		memset(dst, 0xee, PAGES * PAGE);
		ASSERT_EQ(rw_at(rig, NVME_WRITE, IOVA + off, LEN), 0);
		ASSERT_EQ(rw_at(rig, NVME_READ, 2 * IOVA + off, LEN), 0);
		EXPECT_EQ(memcmp(src, dst, PAGES * PAGE), 0) TH_LOG("offset %u", off);
	}
	munmap(src, PAGES * PAGE);
	munmap(dst, PAGES * PAGE);
}

TEST_F(iommu, unmapped_middle_faults_and_neighbours_work)
{
	struct rig *rig = &self->rig;
	u8 *mem = map_pages(3 * PAGE, 0);

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(iommu_map(&rig->iommu[0], IOVA + i * PAGE, mem + i * PAGE, PAGE, MAP_RW),
			  0);
	}
	EXPECT_EQ(rw_at(rig, NVME_READ, IOVA, 3 * PAGE), 0);
	ASSERT_EQ(iommu_unmap(&rig->iommu[0], IOVA + PAGE, PAGE), 0);
	EXPECT_EQ(rw_at(rig, NVME_READ, IOVA, PAGE), 0);
	EXPECT_EQ(rw_at(rig, NVME_READ, IOVA + 2 * PAGE, PAGE), 0);
	EXPECT_EQ(rw_at(rig, NVME_READ, IOVA, 3 * PAGE), NVME_DATA_TRANSFER_ERROR);
	ASSERT_EQ(iommu_map(&rig->iommu[0], IOVA + PAGE, mem + PAGE, PAGE, MAP_RW), 0);
	EXPECT_EQ(rw_at(rig, NVME_READ, IOVA, 3 * PAGE), 0);
	munmap(mem, 3 * PAGE);
}

TEST_F(iommu, remapped_address_reaches_the_new_page)
{
	struct rig *rig = &self->rig;
	u8 *mem = map_pages(2 * PAGE, 0);
	u8 *buf = arena_alloc(&rig->mem, PAGE);

	fill_pattern(buf, PAGE, 7);
	nvme_write_bytes(&rig->nvme, 0, buf, PAGE);
	ASSERT_EQ(iommu_map(&rig->iommu[0], IOVA, mem, PAGE, MAP_RW), 0);
	ASSERT_EQ(rw_at(rig, NVME_READ, IOVA, PAGE), 0);
	EXPECT_TRUE(is_pattern(mem, PAGE, 7));
	ASSERT_EQ(iommu_unmap(&rig->iommu[0], IOVA, PAGE), 0);
	memset(mem, 0, PAGE);
	ASSERT_EQ(iommu_map(&rig->iommu[0], IOVA, mem + PAGE, PAGE, MAP_RW), 0);
	ASSERT_EQ(rw_at(rig, NVME_READ, IOVA, PAGE), 0);
	EXPECT_TRUE(is_filled(mem, PAGE, 0));
	EXPECT_TRUE(is_pattern(mem + PAGE, PAGE, 7));
	munmap(mem, 2 * PAGE);
}

TEST_F(iommu, last_address_can_be_mapped)
{
	struct rig *rig = &self->rig;
	u64 iova = (iommu_last_iova(&rig->iommu[0]) & ~(PAGE - 1));
	u8 *mem = map_pages(PAGE, 0);

	ASSERT_GE(iova, 1ULL << 38);
	ASSERT_EQ(iommu_map(&rig->iommu[0], iova, mem, PAGE, MAP_RW), 0);
	memset(mem, 1, PAGE);
	EXPECT_EQ(rw_at(rig, NVME_READ, iova, PAGE), 0);
	EXPECT_TRUE(is_filled(mem, PAGE, 0));
	EXPECT_EQ(iommu_unmap(&rig->iommu[0], iova, PAGE), 0);
	EXPECT_EQ(rw_at(rig, NVME_READ, iova, PAGE), NVME_DATA_TRANSFER_ERROR);
	munmap(mem, PAGE);
}

TEST_F(iommu, address_spaces_are_apart)
{
	struct rig *rig = &self->rig;
	u8 *mem = map_pages(2 * PAGE, 0);
	struct nvme other = {};

	memset(mem, 0x55, 2 * PAGE);
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(iommu_map(&rig->iommu[i], IOVA, mem + i * PAGE, PAGE, MAP_RW), 0);
	ASSERT_EQ(rw_at(rig, NVME_READ, IOVA, PAGE), 0);
	EXPECT_TRUE(is_filled(mem, PAGE, 0));
	EXPECT_TRUE(is_filled(mem + PAGE, PAGE, 0x55));

	/* The other device in its own space: its page, and not what is mapped here */
	nvme_init(&other, &rig->dev[1], &rig->mem);
	ASSERT_EQ(iommu_unmap(&rig->iommu[0], IOVA, PAGE), 0);
	rig->nvme.dev = &rig->dev[1];
	rig->nvme.admin = other.admin;
	ASSERT_EQ(nvme_create_io(&rig->nvme, 1, 16, -1), 0);
	ASSERT_EQ(rw_at(rig, NVME_READ, IOVA, PAGE), 0);
	EXPECT_TRUE(is_filled(mem + PAGE, PAGE, 0));
	munmap(mem, 2 * PAGE);
}

TEST_F(iommu, device_moves_to_another_address_space)
{
	struct rig *rig = &self->rig;
	char bdf[BDF_SIZE];

	bdf_copy(bdf, rig->dev[0].bdf);
	vfio_close(&rig->dev[0]);
	vfio_close(&rig->dev[1]);
	/* VF 0 into the space of VF 1, where the arena is to be mapped anew */
	iommu_exit(&rig->iommu[1]);
	ASSERT_EQ(iommu_init(&rig->iommu[1], variant->mode), NULL);
	ASSERT_EQ(vfio_open(&rig->dev[0], &rig->iommu[1], bdf), 0);
	arena_map(&rig->mem, &rig->iommu[1]);
	rig_start(rig);
}

static bool file_is(const char *path, const char *text)
{
	char buf[64];

	return !file_read(path, buf, sizeof(buf)) && !strcmp(buf, text);
}

/* What the racing thread keeps the device busy with */
struct race {
	struct rig *rig;
	bool stop;
	u64 good;
	u64 faults;
	u64 other;
};

static void *race_thread(void *arg)
{
	struct race *race = arg;
	struct nvme *nvme = &race->rig->nvme;
	struct nvme_queue *q = &nvme->io[1];
	u64 *list = arena_alloc(&race->rig->mem, PAGE);
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 0, 32);

	/* 16 KiB into the one page, four times over */
	cmd.prp1 = IOVA;
	cmd.prp2 = arena_iova(&race->rig->mem, list);
	for (int i = 0; i < 3; i++)
		list[i] = IOVA;
	while (!__atomic_load_n(&race->stop, __ATOMIC_RELAXED)) {
		int status = nvme_sync(nvme, q, &cmd, NULL);

		if (!status)
			race->good++;
		else if (status == NVME_DATA_TRANSFER_ERROR)
			race->faults++;
		else
			race->other++;
		if (status < 0)
			break;
	}
	return NULL;
}

static void race_start(struct race *race, pthread_t *thread, struct rig *rig)
{
	*race = (struct race){ .rig = rig };
	must(!pthread_create(thread, NULL, race_thread, race));
}

static void race_end(struct race *race, pthread_t thread)
{
	__atomic_store_n(&race->stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

TEST_F_TIMEOUT(iommu, no_dma_after_unmap_has_returned, 60)
{
	struct rig *rig = &self->rig;
	u8 *mem = map_pages(PAGE, 0);
	unsigned int hit = 0, torn = 0;
	struct race race;
	pthread_t thread;

	race_start(&race, &thread, rig);
	for (int i = 0; i < 150; i++) {
		memset(mem, 0x55, PAGE);
		ASSERT_EQ(iommu_map(&rig->iommu[0], IOVA, mem, PAGE, MAP_RW), 0);
		/* Let a read get there: the medium is all zeroes */
		hit += wait_until(is_filled(mem + PAGE - 1, 1, 0));
		ASSERT_EQ(iommu_unmap(&rig->iommu[0], IOVA, PAGE), 0);
		memset(mem, 0xaa, PAGE);
		for (int look = 0; look < 20; look++) {
			sched_yield();
			torn += !is_filled(mem, PAGE, 0xaa);
		}
	}
	race_end(&race, thread);
	EXPECT_EQ(hit, 150);
	EXPECT_EQ(torn, 0);
	EXPECT_GT(race.good, 0);
	EXPECT_GT(race.faults, 0);
	EXPECT_EQ(race.other, 0);
	munmap(mem, PAGE);
}

/*
 * What comes too late goes to a page that belongs to another user by then.  Pages take turns, and
 * each gets a pattern of its next owner when it is unmapped.  The device writes without a pause.
 */
TEST_F_TIMEOUT(iommu, page_that_was_unmapped_is_its_next_owners, 120)
{
	enum { PAGES = 32, ROUNDS = 3000 };
	struct rig *rig = &self->rig;
	u8 *mem = map_pages(PAGES * PAGE, 0);
	struct race race;
	pthread_t thread;

	memset(mem, 0xaa, PAGES * PAGE);
	race_start(&race, &thread, rig);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		u8 *page = mem + i % PAGES * PAGE;

		ASSERT_TRUE(is_filled(page, PAGE, 0xaa)) TH_LOG("round %u", i);
		ASSERT_EQ(iommu_map(&rig->iommu[0], IOVA, page, PAGE, MAP_RW), 0);
		if (i % 8 == 0)
			wait_until(is_filled(page, 1, 0));
		ASSERT_EQ(iommu_unmap(&rig->iommu[0], IOVA, PAGE), 0);
		memset(page, 0xaa, PAGE);
	}
	race_end(&race, thread);
	EXPECT_TRUE(is_filled(mem, PAGES * PAGE, 0xaa));
	EXPECT_GT(race.faults, 0);
	EXPECT_EQ(race.other, 0);
	munmap(mem, PAGES * PAGE);
}

#define HOLD_MODULE	"vfmig_test_hold"
#define HOLD_PARAM(name) "/sys/module/" HOLD_MODULE "/parameters/" name

/* Stay on one CPU; returns its number */
static int stay_here(void)
{
	int cpu = sched_getcpu();
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	must(!sched_setaffinity(0, sizeof(set), &set));
	return cpu;
}

static void hold_set(const char *param, u64 value)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), HOLD_PARAM("%s"), param);
	snprintf(text, sizeof(text), "%llu", value);
	must(!file_write(path, text));
}

/*
 * Read to IOVA until a copy of that is held, on another CPU than this one.  A test that slept
 * meanwhile might wait for a timer of that CPU.  Returns the command, which is under way.
 */
static u16 hold_a_copy(struct rig *rig)
{
	struct nvme_queue *q = &rig->nvme.io[1];
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 0, 8);
	u64 end = now_ms() + WAIT_MS;
	u16 cid;

	cmd.prp1 = IOVA;
	hold_set("cpu", stay_here());
	hold_set("iova", IOVA);
	do {
		cid = nvme_submit(&rig->nvme, q, &cmd);
		nvme_ring(&rig->nvme, q);
		while (now_ms() < end && !nvme_peek(q)) {
			if (file_is(HOLD_PARAM("held"), "Y"))
				return cid;
		}
		must(!nvme_wait(&rig->nvme, q, cid, NULL));
	} while (now_ms() < end);
	fail(__FILE__, __LINE__, "no copy was held");
}

/* The same with a copy that is held after it has looked the page up, until the unmap is over */
TEST_F_TIMEOUT(iommu, unmap_waits_for_a_copy_under_way, 60)
{
	struct rig *rig = &self->rig;
	u8 *page = map_pages(PAGE, 0);
	const char *why;
	u16 cid;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "a CPU is held, and there is no other one");
	kmod_unload(HOLD_MODULE);
	why = kmod_load_test(HOLD_MODULE, "");
	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(iommu_map(&rig->iommu[0], IOVA, page, PAGE, MAP_RW), 0);
	/* The worker executes what is late, and not this thread, whose CPU is not held */
	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 1), 0);
	memset(page, 0x55, PAGE);
	cid = hold_a_copy(rig);
	ASSERT_EQ(iommu_unmap(&rig->iommu[0], IOVA, PAGE), 0);
	memset(page, 0xaa, PAGE);
	hold_set("released", 1);
	EXPECT_EQ(nvme_wait(&rig->nvme, &rig->nvme.io[1], cid, NULL), 0);
	EXPECT_TRUE(is_filled(page, PAGE, 0xaa));
	EXPECT_EQ(pf_attr_set(rig->pf, "io_latency_us", 0), 0);
	EXPECT_EQ(kmod_unload(HOLD_MODULE), 0);
	munmap(page, PAGE);
}

TEST_F_TIMEOUT(iommu, tables_survive_churn_beside_dma, 60)
{
	struct rig *rig = &self->rig;
	u8 *mem = map_pages(MIB(4), 0);
	struct race race;
	pthread_t thread;

	ASSERT_EQ(iommu_map(&rig->iommu[0], IOVA, mem, PAGE, MAP_RW), 0);
	race_start(&race, &thread, rig);
	for (int i = 0; i < 60; i++) {
		/* The same tables, other sizes, and now and then a table of its own */
		u64 iova = IOVA + PAGE + (i % 7) * MIB(2) + (i % 3) * MIB(1024);
		u64 size = i % 2 ? MIB(4) - PAGE : PAGE * (1 + i);

		ASSERT_EQ(iommu_map(&rig->iommu[0], iova, mem + PAGE, size - size % PAGE, MAP_RW),
			  0);
		ASSERT_EQ(iommu_unmap(&rig->iommu[0], iova, size - size % PAGE), 0);
	}
	race_end(&race, thread);
	EXPECT_GT(race.good, 0);
	EXPECT_EQ(race.faults, 0);
	EXPECT_EQ(race.other, 0);
	munmap(mem, MIB(4));
}

/* Tables are charged to the cgroup of the user */
TEST_F(iommu, tables_without_a_mapping_are_freed)
{
	u64 iova = IOVA + MIB(1024), before;
	u8 *mem = map_pages(PAGE, 0);
	struct cgroup cg;
	const char *why = cgroup_open(&cg, "memory");

	if (why)
		SKIP(return, "%s", why);
	cgroup_enter(&cg);
	before = cgroup_get(&cg, "memory.current", NULL);
	for (int i = 0; i < 1000; i++) {
		ASSERT_EQ(iommu_map(&self->rig.iommu[0], iova, mem, PAGE, MAP_RW), 0);
		ASSERT_EQ(iommu_unmap(&self->rig.iommu[0], iova, PAGE), 0);
	}
	EXPECT_LT(cgroup_get(&cg, "memory.current", NULL), before + MIB(2));
	cgroup_leave(&cg);
	cgroup_close(&cg);
	munmap(mem, PAGE);
}

TEST_F(iommu, no_dma_after_close)
{
	struct rig *rig = &self->rig;
	struct nvme_queue *q = &rig->nvme.io[1];
	u8 *buf = arena_alloc(&rig->mem, 32 * PAGE);

	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 50000), 0);
	for (int i = 0; i < 32; i++) {
		struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 0, 8);

		nvme_set_prps(&rig->nvme, q, &cmd, buf + i * PAGE, PAGE);
		nvme_submit(&rig->nvme, q, &cmd);
	}
	nvme_ring(&rig->nvme, q);
	vfio_close(&rig->dev[0]);
	memset(rig->mem.va, 0x33, rig->mem.used);
	EXPECT_TRUE(stays_false(!is_filled(rig->mem.va, rig->mem.used, 0x33)));
}

TEST_F_TIMEOUT(iommu, detach_beside_dma, 60)
{
	struct rig *rig = &self->rig;
	u8 *mem = map_pages(PAGE, 0);
	char bdf[BDF_SIZE];

	bdf_copy(bdf, rig->dev[0].bdf);
	for (int i = 0; i < 4; i++) {
		struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, 0, 8);

		memset(mem, 0x55, PAGE);
		ASSERT_EQ(iommu_map(&rig->iommu[0], IOVA, mem, PAGE, MAP_RW), 0);
		cmd.prp1 = IOVA;
		for (int n = 0; n < 60; n++)
			nvme_submit(&rig->nvme, &rig->nvme.io[1], &cmd);
		nvme_ring(&rig->nvme, &rig->nvme.io[1]);
		vfio_close(&rig->dev[0]);
		iommu_exit(&rig->iommu[0]);
		memset(mem, 0xaa, PAGE);
		EXPECT_TRUE(is_filled(mem, PAGE, 0xaa));
		ASSERT_EQ(iommu_init(&rig->iommu[0], variant->mode), NULL);
		ASSERT_EQ(vfio_open(&rig->dev[0], &rig->iommu[0], bdf), 0);
		EXPECT_TRUE(is_filled(mem, PAGE, 0xaa));
		arena_map(&rig->mem, &rig->iommu[0]);
		rig->mem.used = 0;
		rig_start(rig);
	}
	munmap(mem, PAGE);
}

static void check_large(struct __test_metadata *_metadata, struct rig *rig, u8 *mem, size_t size)
{
	const size_t len = 4 * PAGE;
	const size_t at[] = { 0, PAGE, size / 2 - 2 * PAGE + 12, size - 4 * PAGE };
	const u64 iova = 4ULL << 30;
	u8 *buf = arena_alloc(&rig->mem, len);

	ASSERT_EQ(iommu_map(&rig->iommu[0], 2 * iova, mem, size, MAP_RW), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
		fill_pattern(buf, len, i + 1);
		nvme_write_bytes(&rig->nvme, 0, buf, len);
		ASSERT_EQ(rw_at(rig, NVME_READ, 2 * iova + at[i], len), 0);
		EXPECT_TRUE(is_pattern(mem + at[i], len, i + 1)) TH_LOG("offset %zu", at[i]);
	}
	EXPECT_EQ(rw_at(rig, NVME_READ, 2 * iova + size - 2 * PAGE, len),
		  NVME_DATA_TRANSFER_ERROR);
	ASSERT_EQ(iommu_unmap(&rig->iommu[0], 2 * iova, size), 0);
	EXPECT_EQ(rw_at(rig, NVME_READ, 2 * iova, len), NVME_DATA_TRANSFER_ERROR);
	EXPECT_EQ(rw_at(rig, NVME_READ, 2 * iova + size / 2, len), NVME_DATA_TRANSFER_ERROR);

	/* Where a large page was, small ones fit */
	ASSERT_EQ(iommu_map(&rig->iommu[0], 2 * iova + PAGE, mem, 4 * PAGE, MAP_RW), 0);
	EXPECT_EQ(rw_at(rig, NVME_READ, 2 * iova + PAGE, len), 0);
	EXPECT_TRUE(is_pattern(mem, len, ARRAY_SIZE(at)));
	ASSERT_EQ(iommu_unmap(&rig->iommu[0], 2 * iova + PAGE, 4 * PAGE), 0);
}

TEST_F(iommu, pages_of_2_mib)
{
	u8 *mem = map_huge(21);

	if (!mem)
		SKIP(return, "no huge page of 2 MiB to be had");
	check_large(_metadata, &self->rig, mem, MIB(2));
	munmap(mem, MIB(2));
}

TEST_F(iommu, pages_of_1_gib)
{
	u8 *mem = map_huge(30);

	if (!mem)
		SKIP(return, "no huge page of 1 GiB to be had");
	check_large(_metadata, &self->rig, mem, MIB(1024));
	munmap(mem, MIB(1024));
}

TEST_HARNESS_MAIN
