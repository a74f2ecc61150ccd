// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver of a disk's user of fabric_stress, and what any user does to memory.  Anybody may
 * reset the VF at any time, so each command may be lost.  What the device must never do is to write
 * to memory that it does not have any more: that memory is given back and used again at once, and
 * compared later.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "compat.h"
#include "fabric.h"

#define BLOCKS		(PAGE / 512)
#define DEPTH		64
#define RACE_COMMANDS	48	/* of two pages */
#define SPIN_MAX	5000
#define LATE_MS		100

/* A reset clears CC.  A device whose queues were cleared while it was being enabled fails. */
static bool is_lost(struct nvme *nvme)
{
	return !(bar_read32(nvme->dev, NVME_CC) & NVME_CC_EN) ||
	       (bar_read32(nvme->dev, NVME_CSTS) & NVME_CSTS_CFS);
}

static void lose(struct worker *w)
{
	w->ops[OP_LOST]++;
	w->user->started = false;
}

bool dma_start(struct worker *w)
{
	struct user *u = w->user;
	struct nvme *nvme = &u->nvme;
	int err;

	if (u->pf)
		return net_start(w);
	if (user_reset(w))
		return false;
	nvme->dev = &u->dev;
	nvme->mem = &u->mem;
	nvme->lost = is_lost;
	nvme->cap = bar_read64(&u->dev, NVME_CAP);
	/* The PF has gone, and the VF waits for its user */
	if (nvme->cap == ~0ULL)
		return false;
	nvme->lba_size = 512;
	nvme->lbas = MIB(1) / 512;
	if (!user_bus_master(w))
		return false;
	err = nvme_enable(nvme) ?: nvme_create_io(nvme, 1, DEPTH, -1);
	if (err && !is_lost(nvme))
		fail(__FILE__, __LINE__, "%s: start of the driver: %d", u->bdf, err);
	if (err)
		return false;
	w->ops[OP_START]++;
	u->started = true;
	return true;
}

/* False if the command was lost; nothing else may be wrong with it */
static bool transfer(struct worker *w, u8 opcode, unsigned int page)
{
	struct user *u = w->user;
	int status = nvme_rw(&u->nvme, &u->nvme.io[1], opcode, page * BLOCKS, BLOCKS, u->buf);

	/* A reset takes bus master away before it takes the queues */
	if (status && is_lost(&u->nvme)) {
		lose(w);
		return false;
	}
	if (status)
		fail(__FILE__, __LINE__, "%s: opcode %u of page %u: status 0x%x", u->bdf, opcode,
		     page, status);
	return true;
}

void dma_verify(struct worker *w)
{
	unsigned int page = random_below(&w->random, TAGS);
	struct user *u = w->user;
	u64 tag = next_random(&w->random) | 1;

	if (u->pf) {
		net_verify(w);
		return;
	}
	u->tags[page] = 0;
	fill_pattern(u->buf, PAGE, tag);
	if (!transfer(w, NVME_WRITE, page))
		return;
	u->tags[page] = tag;
	w->ops[OP_WRITE]++;
	page = random_below(&w->random, TAGS);
	memset(u->buf, 0x5a, PAGE);
	if (!u->tags[page] || !transfer(w, NVME_READ, page))
		return;
	if (!is_pattern(u->buf, PAGE, u->tags[page]))
		fail(__FILE__, __LINE__, "%s: page %u is not what was written", u->bdf, page);
	w->ops[OP_VERIFY]++;
}

static u8 *new_pages(void)
{
	u8 *mem = mmap(NULL, RACE_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);

	must(mem != MAP_FAILED);
	return mem;
}

static void map_race(struct user *u)
{
	u->race = new_pages();
	must(!iommu_map(&u->iommu, RACE_IOVA, u->race, RACE_PAGES * PAGE, MAP_RW));
}

/* The device begins to write to all pages; the cids are for await_dma() */
static void begin_dma(struct user *u, u16 *cids)
{
	struct nvme_queue *q = &u->nvme.io[1];

	if (u->pf) {
		net_begin(u);
		return;
	}
	for (unsigned int i = 0; i < RACE_COMMANDS; i++)
		cids[i] = nvme_submit_read(&u->nvme, q, i % TAGS * BLOCKS, 2 * BLOCKS,
					   RACE_IOVA + i % (RACE_PAGES - 1) * PAGE);
	nvme_ring(&u->nvme, q);
}

static void linger(struct worker *w)
{
	for (volatile unsigned int n = random_below(&w->random, SPIN_MAX); n; n--)
		;
	if (one_in(&w->random, 4))
		sched_yield();
}

/*
 * The pages are not the device's any more, and whatever it writes to them from here on is a fault.
 * Either they are ours as before, or the kernel may give them to anybody, and most likely gives
 * them to us again.
 */
static void reuse(struct worker *w, u64 tag)
{
	struct user *u = w->user;

	if (one_in(&w->random, 2)) {
		munmap(u->race, RACE_PAGES * PAGE);
		u->race = new_pages();
	}
	fill_pattern(u->race, RACE_PAGES * PAGE, tag);
}

static void check_reused(struct user *u, u64 tag, const char *after)
{
	if (!is_pattern(u->race, RACE_PAGES * PAGE, tag))
		fail(__FILE__, __LINE__, "%s: DMA to memory that was given back by %s", u->bdf,
		     after);
	munmap(u->race, RACE_PAGES * PAGE);
	u->race = NULL;
}

u64 dma_faults(struct user *u)
{
	return file_u64(vf_debugfs(u->bdf, "dma_faults"), 0);
}

/* Each command succeeds, is a DMA fault that is counted, or is lost by a reset */
static void await_dma(struct worker *w, const u16 *cids, u64 faults)
{
	struct user *u = w->user;
	u64 failed = 0, counted;

	if (u->pf) {
		net_await(w, faults);
		return;
	}
	for (unsigned int i = 0; i < RACE_COMMANDS && u->started; i++) {
		int status = nvme_wait(&u->nvme, &u->nvme.io[1], cids[i], NULL);

		if (!status)
			w->ops[OP_DMA_GOOD]++;
		else if (status == NVME_DATA_TRANSFER_ERROR)
			failed++;
		else if (is_lost(&u->nvme))
			lose(w);
		else
			fail(__FILE__, __LINE__, "%s: status 0x%x of a command whose memory went",
			     u->bdf, status);
	}
	w->ops[OP_DMA_FAULT] += failed;
	counted = dma_faults(u) - faults;
	if (dma_faults(u) && counted < failed)
		fail(__FILE__, __LINE__, "%s: %llu DMA faults, but %llu were counted", u->bdf,
		     failed, counted);
}

void dma_race(struct worker *w)
{
	u64 tag = next_random(&w->random), faults = dma_faults(w->user);
	struct user *u = w->user;
	u16 cids[RACE_COMMANDS];

	w->ops[OP_RACE]++;
	map_race(u);
	begin_dma(u, cids);
	linger(w);
	must(!iommu_unmap(&u->iommu, RACE_IOVA, RACE_PAGES * PAGE));
	reuse(w, tag);
	await_dma(w, cids, faults);
	check_reused(u, tag, "an unmap");
}

/* Only iommufd has a device leave an address space while it is open */
void dma_detach(struct worker *w)
{
	u64 tag = next_random(&w->random);
	struct user *u = w->user;
	u32 pt_id = u->iommu.ioas_id;
	u16 cids[RACE_COMMANDS];

	if (u->mode != IOMMU_IOMMUFD)
		return;
	w->ops[OP_DETACH]++;
	map_race(u);
	begin_dma(u, cids);
	linger(w);
	must(!vfio_detach(&u->dev));
	must(!iommu_unmap(&u->iommu, RACE_IOVA, RACE_PAGES * PAGE));
	reuse(w, tag);
	linger(w);
	check_reused(u, tag, "a detach");
	must(!vfio_attach(&u->dev, &pt_id));
	/* The queues were not there for a while */
	u->started = false;
}

/* The driver goes on: its queues are in both */
void dma_replace(struct worker *w)
{
	u64 tag = next_random(&w->random), faults = dma_faults(w->user);
	struct user *u = w->user;
	struct iommu left = u->iommu;
	u16 cids[RACE_COMMANDS];
	u32 pt_id;

	if (u->mode != IOMMU_IOMMUFD)
		return;
	w->ops[OP_REPLACE]++;
	if (!u->has_beside) {
		iommu_init_beside(&u->beside, &u->iommu);
		arena_map(&u->mem, &u->beside);
		u->has_beside = true;
	}
	map_race(u);
	begin_dma(u, cids);
	linger(w);
	pt_id = u->beside.ioas_id;
	must(!vfio_attach(&u->dev, &pt_id));
	/* Still mapped, but not for this device */
	fill_pattern(u->race, RACE_PAGES * PAGE, tag);
	u->iommu = u->beside;
	u->beside = left;
	await_dma(w, cids, faults);
	check_reused(u, tag, "a replace");
	must(!iommu_unmap(&left, RACE_IOVA, RACE_PAGES * PAGE));
}

/* A container loses the device when it is closed, and the group when nobody has that */
static void leave_container(struct worker *w)
{
	struct user *u = w->user;

	if (u->mode != IOMMU_TYPE1)
		return;
	if (!ioctl(u->dev.group, VFIO_GROUP_UNSET_CONTAINER))
		w->ops[OP_DETACH]++;
	else
		/* The VF was only waiting for its last user: with it the group has left */
		must(errno == EINVAL);
}

bool dma_close(struct worker *w)
{
	u64 tag = next_random(&w->random);
	struct user *u = w->user;
	u16 cids[RACE_COMMANDS];

	/* Not with waiting: the child may wait for an administrator, who waits for this user */
	if (pthread_rwlock_tryrdlock(&w->fabric->children))
		return false;
	w->ops[OP_CLOSE_IN_DMA]++;
	map_race(u);
	begin_dma(u, cids);
	linger(w);
	vfio_close_device(&u->dev);
	leave_container(w);
	/* Of all memory, also of the queues */
	vfio_close(&u->dev);
	iommu_exit(&u->iommu);
	reuse(w, tag);
	/* DMA that is late shows after a while only */
	sleep_ms(one_in(&w->random, 8) ? LATE_MS : 1);
	check_reused(u, tag, "a close");
	u->started = false;
	pthread_rwlock_unlock(&w->fabric->children);
	return true;
}
