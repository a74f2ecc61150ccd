// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mapped doorbells of a VF that is stopped, moved, reset, suspended or recorded.  In some of the
 * tests a thread stores to them all the time.  What the doorbells do while the VF runs is in
 * bells_test.c.
 */
#include <linux/pci_regs.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bells.h"
#include "dirty.h"
#include "precopy.h"
#include "rig.h"

#include "harness.h"

#define MEDIA_MB	4
#define BLOCKS		8	/* of a page */
#define PAGES		64
#define POLL_US		200

FIXTURE(bells_state)
{
	struct rig rig;
	struct nvme *nvme;
	struct nvme_queue *q;
	u32 *bells;
	u8 *buf;
};

FIXTURE_VARIANT(bells_state)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(bells_state, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(bells_state, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(bells_state)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = MEDIA_MB };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->nvme = &self->rig.nvme;
	self->q = &self->nvme->io[1];
	self->buf = arena_alloc(&self->rig.mem, 2 * PAGE);
	self->bells = bells_begin(self->nvme, self->rig.pf, POLL_US);
	if (!self->bells)
		SKIP(return, "doorbells are not mapped on a machine with one CPU");
}

FIXTURE_TEARDOWN(bells_state)
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

static int write_page(struct nvme *nvme, u64 page, u8 *buf, u64 seed)
{
	fill_pattern(buf, PAGE, seed);
	return nvme_rw(nvme, &nvme->io[1], NVME_WRITE, page * BLOCKS, BLOCKS, buf);
}

/* The doorbells of queues that do not exist */
static void ring_none(u32 *bells, u32 i)
{
	bells_store(bells, 60 + i % 6, i);
}

static void ring_any(u32 *bells, u32 i)
{
	bells_store(bells, i * 7 % (PAGE / 4), i);
}

/* After RUNNING: each arc that there is, and the way back */
static const u32 arcs[] = {
	PRE_COPY, RUNNING, PRE_COPY, PRE_COPY_P2P, PRE_COPY, PRE_COPY_P2P, RUNNING_P2P,
	PRE_COPY_P2P, STOP_COPY, STOP, STOP_COPY, STOP, RUNNING_P2P, STOP, RESUMING, STOP,
	RUNNING_P2P, RUNNING,
};

/* The first stream of STOP_COPY is kept.  It is what RESUMING gets. */
static void use_data_fd(int fd, u32 state, struct blob *stream)
{
	if (state == STOP_COPY && !stream->len)
		must(!mig_read(fd, stream, KIB(64)));
	if (state == RESUMING)
		must(!mig_write(fd, stream->data, stream->len, KIB(64)));
}

TEST_F_TIMEOUT(bells_state, each_arc_works_while_they_are_rung, 120)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct hammer h;

	ASSERT_EQ(write_page(self->nvme, 3, self->buf, 3), 0);
	hammer_begin(&h, self->bells, ring_none);
	for (unsigned int round = 0; round < 4; round++) {
		struct blob stream = {};
		int fd, old = -1;

		for (unsigned int i = 0; i < ARRAY_SIZE(arcs); i++) {
			ASSERT_EQ(mig_set(dev, arcs[i], &fd), 0)
				TH_LOG("arc %u, to %s", i, mig_name(arcs[i]));
			ASSERT_EQ(mig_get(dev), (int)arcs[i]);
			if (fd >= 0) {
				close(old);
				old = fd;
			}
			/* After PRE_COPY it is the fd of before */
			use_data_fd(old, arcs[i], &stream);
			if (arcs[i] != RUNNING && arcs[i] != PRE_COPY)
				continue;
			ASSERT_EQ(read_page(self->nvme, 3, self->buf), 0)
				TH_LOG("after arc %u", i);
			ASSERT_TRUE(is_pattern(self->buf, PAGE, 3));
		}
		close(old);
		blob_free(&stream);
	}
	hammer_end(&h);
}

TEST_F_TIMEOUT(bells_state, resets_work_in_each_state_while_they_are_rung, 240)
{
	static const u32 states[] = {
		RUNNING_P2P, PRE_COPY, PRE_COPY_P2P, STOP, STOP_COPY, RESUMING,
	};
	struct vfio_dev *dev = &self->rig.dev[0];
	struct hammer h;

	hammer_begin(&h, self->bells, ring_any);
	for (unsigned int i = 0; i < ARRAY_SIZE(states) * 4; i++) {
		int fd;

		ASSERT_EQ(mig_set(dev, states[i / 4], &fd), 0);
		vfio_reset_by(dev, self->rig.pf, i % 4);
		EXPECT_EQ(mig_get(dev), RUNNING);
		close(fd);
	}
	hammer_end(&h);
	ASSERT_EQ(vfio_reset(dev), 0);
	nvme_restart(self->nvme);
	ASSERT_EQ(nvme_create_io(self->nvme, 1, 64, -1), 0);
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
}

TEST_F(bells_state, nothing_changes_in_stop_while_they_are_rung)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct blob before = {}, after = {};
	struct hammer h;

	mig_save(dev, &before);
	hammer_begin(&h, self->bells, ring_any);
	for (unsigned int i = 0; i < 5; i++) {
		sleep_ms(5);
		mig_save(dev, &after);
		EXPECT_TRUE(blob_equal(&before, &after));
		blob_free(&after);
	}
	hammer_end(&h);
	ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
	blob_free(&before);
}

static const struct {
	u32 state;
	bool counts;	/* what is stored there */
} touched[] = {
	{ PRE_COPY, true }, { PRE_COPY_P2P, true }, { RUNNING_P2P, true },
	{ STOP, false }, { STOP_COPY, false }, { RESUMING, false },
};

/* The device sleeps, so the store faults */
TEST_F_TIMEOUT(bells_state, fault_works_in_each_state, 60)
{
	struct vfio_dev *dev = &self->rig.dev[0];

	for (unsigned int i = 0; i < ARRAY_SIZE(touched); i++) {
		const u32 state = touched[i].state;
		struct blob stream = {};
		u16 cid;
		int fd;

		sleep_ms(QUIET_MS);
		if (state == RESUMING)
			mig_save(dev, &stream);
		ASSERT_EQ(mig_set(dev, state, &fd), 0);
		cid = nvme_start_rw(self->nvme, self->q, NVME_READ, 0, self->buf);
		sleep_ms(2);
		if (state == RESUMING)
			ASSERT_EQ(mig_write(fd, stream.data, stream.len, KIB(64)), 0);
		ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0) TH_LOG("from %s", mig_name(state));
		if (!touched[i].counts) {
			EXPECT_TRUE(stays_false(nvme_peek(self->q))) TH_LOG("%s", mig_name(state));
			nvme_ring(self->nvme, self->q);
		}
		EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), 0)
			TH_LOG("%s", mig_name(state));
		close(fd);
		blob_free(&stream);
	}
}

/* The driver goes on at the destination, and rings the doorbells that are mapped there */
static void go_on(struct __test_metadata *_metadata, struct rig *rig, u8 *buf)
{
	u32 *bells = bells_map(rig_second(rig));
	struct nvme *nvme = &rig->nvme;
	u16 cid;

	ASSERT_TRUE(bells);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING_P2P, NULL), 0);
	cid = nvme_start_rw(nvme, &nvme->io[1], NVME_READ, BLOCKS, buf);
	rig_move(rig, RUNNING);
	bells_use(nvme, bells);
	EXPECT_EQ(nvme_wait(nvme, &nvme->io[1], cid, NULL), 0);
	EXPECT_TRUE(is_pattern(buf, PAGE, 1));
	for (u64 page = 0; page < PAGES; page++) {
		ASSERT_EQ(read_page(nvme, page, buf), 0);
		EXPECT_TRUE(is_pattern(buf, PAGE, page)) TH_LOG("page %llu", page);
	}
	bells_use(nvme, NULL);
	bells_unmap(bells);
}

TEST_F(bells_state, both_vfs_are_mapped)
{
	for (u64 page = 0; page < PAGES; page++)
		ASSERT_EQ(write_page(self->nvme, page, self->buf, page), 0);
	go_on(_metadata, &self->rig, self->buf);
}

TEST_F(bells_state, only_the_destination_is_mapped)
{
	bells_use(self->nvme, NULL);
	bells_unmap(self->bells);
	self->bells = NULL;
	for (u64 page = 0; page < PAGES; page++)
		ASSERT_EQ(write_page(self->nvme, page, self->buf, page), 0);
	go_on(_metadata, &self->rig, self->buf);
}

TEST_F_TIMEOUT(bells_state, session_has_what_they_had_written, 60)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct blob stream = {};
	int fd;

	rig_second(&self->rig);
	for (u64 page = 0; page < PAGES; page++)
		ASSERT_EQ(write_page(self->nvme, page, self->buf, page), 0);
	fd = precopy_begin(dev, PRE_COPY);
	for (u64 page = 0; page < PAGES; page++) {
		if (page % 16 == 0)
			precopy_drain(fd, &stream);
		ASSERT_EQ(write_page(self->nvme, page, self->buf, 1000 + page), 0);
	}
	ASSERT_EQ(mig_set(dev, STOP_COPY, NULL), 0);
	ASSERT_EQ(mig_read(fd, &stream, KIB(64)), 0);
	close(fd);
	bells_use(self->nvme, NULL);
	rig_land(&self->rig, &stream, RUNNING);
	for (u64 page = 0; page < PAGES; page++) {
		ASSERT_EQ(read_page(self->nvme, page, self->buf), 0);
		EXPECT_TRUE(is_pattern(self->buf, PAGE, 1000 + page)) TH_LOG("page %llu", page);
	}
	blob_free(&stream);
}

TEST_F(bells_state, log_has_what_the_device_wrote)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct arena *mem = &self->rig.mem;
	const char *why = track_offered(dev, BY_DEVICE);
	u64 first = arena_iova(mem, self->buf);
	struct pageset set;

	if (why)
		SKIP(return, "%s", why);
	pageset_init(&set, first, 2 * PAGE);
	ASSERT_EQ(track_start(dev, BY_DEVICE, first, 2 * PAGE), 0);
	ASSERT_EQ(read_page(self->nvme, 0, self->buf + PAGE), 0);
	ASSERT_EQ(track_read(dev, BY_DEVICE, &set), 0);
	EXPECT_FALSE(pageset_has(&set, first));
	EXPECT_TRUE(pageset_has(&set, first + PAGE));
	ASSERT_EQ(track_stop(dev, BY_DEVICE), 0);
	pageset_exit(&set);
}

TEST_F(bells_state, dma_faults_are_counted)
{
	const char *bdf = self->rig.dev[0].bdf;
	u64 faults = vf_dma_faults(bdf);
	u16 cid = nvme_submit_read(self->nvme, self->q, 0, BLOCKS, 1ULL << 40);

	nvme_ring(self->nvme, self->q);
	EXPECT_EQ(nvme_wait(self->nvme, self->q, cid, NULL), NVME_DATA_TRANSFER_ERROR);
	EXPECT_EQ(vf_dma_faults(bdf), faults + 1);
}

/* Threads on two CPUs that share a queue pair, as the CPUs of a guest with few queues do */
#define COMMANDS	500

struct sharer {
	struct nvme *nvme;
	pthread_mutex_t *lock;
	u8 *buf;
	unsigned int cpu;
	unsigned int done;
};

static bool take(struct sharer *s, u16 cid)
{
	struct nvme_queue *q = &s->nvme->io[1];
	bool taken;

	pthread_mutex_lock(s->lock);
	nvme_reap(s->nvme, q);
	taken = nvme_take(q, cid, NULL);
	pthread_mutex_unlock(s->lock);
	return taken;
}

/* CPU number @n of those that we may run on, or the last one */
static unsigned int nth_cpu(unsigned int n)
{
	unsigned int found = 0;
	cpu_set_t cpus;

	must(!sched_getaffinity(0, sizeof(cpus), &cpus));
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &cpus))
			continue;
		found = cpu;
		if (!n--)
			break;
	}
	return found;
}

static void *share(void *arg)
{
	struct sharer *s = arg;
	cpu_set_t cpus;
	u16 cid;

	CPU_ZERO(&cpus);
	CPU_SET(s->cpu, &cpus);
	must(!sched_setaffinity(0, sizeof(cpus), &cpus));
	for (; s->done < COMMANDS; s->done++) {
		pthread_mutex_lock(s->lock);
		cid = nvme_start_rw(s->nvme, &s->nvme->io[1], NVME_READ, 0, s->buf);
		pthread_mutex_unlock(s->lock);
		if (!wait_until(take(s, cid)))
			break;
	}
	return NULL;
}

TEST_F_TIMEOUT(bells_state, two_cpus_ring_the_same, 90)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct sharer s[2];
	pthread_t thread[2];

	for (unsigned int i = 0; i < 2; i++) {
		s[i] = (struct sharer){
			.nvme = self->nvme, .lock = &lock, .buf = self->buf + i * PAGE,
			.cpu = nth_cpu(i),
		};
		ASSERT_EQ(pthread_create(&thread[i], NULL, share, &s[i]), 0);
	}
	for (unsigned int i = 0; i < 2; i++)
		ASSERT_EQ(pthread_join(thread[i], NULL), 0);
	EXPECT_EQ(s[0].done, COMMANDS);
	EXPECT_EQ(s[1].done, COMMANDS);
	EXPECT_EQ(self->q->stashed, 0);
}

TEST_F(bells_state, protection_and_place_of_a_mapping_change)
{
	u32 *place;

	for (unsigned int i = 0; i < 20; i++) {
		ASSERT_EQ(mprotect(self->bells, PAGE, i % 2 ? PROT_READ : PROT_NONE), 0);
		EXPECT_EQ(is_there(self->bells), i % 2);
		if (i % 3)
			sleep_ms(2);
		ASSERT_EQ(mprotect(self->bells, PAGE, PROT_READ | PROT_WRITE), 0);
		ASSERT_EQ(read_page(self->nvme, i, self->buf), 0);

		place = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ASSERT_NE(place, MAP_FAILED);
		self->bells = mremap(self->bells, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
				     place);
		ASSERT_EQ(self->bells, place);
		bells_use(self->nvme, self->bells);
		ASSERT_EQ(read_page(self->nvme, i, self->buf), 0) TH_LOG("move %u", i);
	}
}

/* VFIO takes the mappings away, as it does for a BAR of hardware */
TEST_F(bells_state, memory_is_disabled_while_they_are_rung)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u32 command = cfg_read(dev, PCI_COMMAND, 2);
	struct hammer h;

	hammer_begin(&h, self->bells, ring_none);
	for (unsigned int i = 0; i < 50; i++) {
		cfg_write(dev, PCI_COMMAND, command & ~PCI_COMMAND_MEMORY, 2);
		cfg_write(dev, PCI_COMMAND, command, 2);
		ASSERT_EQ(read_page(self->nvme, i, self->buf), 0) TH_LOG("time %u", i);
	}
	hammer_end(&h);
}

TEST_F(bells_state, none_is_there_while_the_vf_is_suspended)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	const u32 set = VFIO_DEVICE_FEATURE_SET;

	for (unsigned int i = 0; i < 5; i++) {
		ASSERT_EQ(read_page(self->nvme, i, self->buf), 0);
		ASSERT_EQ(vfio_feature(dev, set | VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, NULL, 0), 0);
		EXPECT_FALSE(is_there(self->bells));
		ASSERT_EQ(vfio_feature(dev, set | VFIO_DEVICE_FEATURE_LOW_POWER_EXIT, NULL, 0), 0);
		EXPECT_TRUE(is_there(self->bells));
	}
	EXPECT_EQ(read_page(self->nvme, 0, self->buf), 0);
}

TEST_HARNESS_MAIN
