// SPDX-License-Identifier: GPL-2.0-only
/* The DMA of a user of ioctl_space.h, and the pages that it goes to */
#include <sched.h>
#include <sys/mman.h>

#include "ioctl_space.h"

#define DEPTH		256
#define BLOCKS		(PAGE / 512)
#define PAGES_IOVA	0x300000000ULL
#define PAGES_STRIDE	MIB(2)
#define PAGES_SIZE	(SPACE_PAGES * PAGE)
#define SPIN_MAX	3000

u64 dma_iova(const struct space_user *u)
{
	return PAGES_IOVA + u->index * PAGES_STRIDE;
}

void dma_init(struct space_user *u)
{
	arena_init(&u->mem);
	u->mem.iova += u->index * ARENA_SIZE;
	for (unsigned int space = 0; space < SPACES; space++)
		arena_map(&u->mem, &u->spaces->space[space]);
}

void dma_exit(struct space_user *u)
{
	for (unsigned int space = 0; space < SPACES; space++) {
		must(!iommu_unmap(&u->spaces->space[space], u->mem.iova, ARENA_SIZE));
		munmap(u->pages[space].mem, PAGES_SIZE);
	}
	arena_exit(&u->mem);
}

void dma_start(struct space_user *u)
{
	must(!vfio_reset(&u->dev));
	if (u->nvme.dev)
		nvme_restart(&u->nvme);
	else
		nvme_init(&u->nvme, &u->dev, &u->mem);
	must(!nvme_create_io(&u->nvme, 1, DEPTH, -1));
	/* What is read is zeros, and no pattern has a page of these */
	nvme_deallocate_all(&u->nvme);
	u->started = true;
}

static bool reaches_pages(const struct space_user *u)
{
	return u->at != NOWHERE && u->pages[u->at].mapped;
}

void dma_begin(struct space_user *u)
{
	struct nvme_queue *q = &u->nvme.io[1];

	if (!u->started || u->under_way)
		return;
	u->faults = vf_dma_faults(u->dev.bdf);
	u->hole = !reaches_pages(u);
	for (unsigned int i = 0; i < BATCH; i++)
		u->cids[i] = nvme_submit_read(&u->nvme, q, 0, 2 * BLOCKS,
					      dma_iova(u) + i % (SPACE_PAGES - 1) * PAGE);
	nvme_ring(&u->nvme, q);
	u->under_way = true;
	/* Some of them are executed before what comes next */
	for (volatile unsigned int n = random_below(&u->random, SPIN_MAX); n; n--)
		;
	if (one_in(&u->random, 4))
		sched_yield();
}

void dma_end(struct space_user *u)
{
	u64 failed = 0, counted;

	if (!u->under_way)
		return;
	for (unsigned int i = 0; i < BATCH; i++) {
		int status = nvme_wait(&u->nvme, &u->nvme.io[1], u->cids[i], NULL);

		if (status && status != NVME_DATA_TRANSFER_ERROR)
			fail(__FILE__, __LINE__, "%s: a command under way: %d", u->dev.bdf, status);
		failed += status != 0;
	}
	u->under_way = false;
	u->ops[SPACE_DMA] += BATCH - failed;
	u->ops[SPACE_FAULT] += failed;
	counted = vf_dma_faults(u->dev.bdf) - u->faults;
	/* In one place of the two or in the other, but never in none */
	if (!u->hole && (failed || counted))
		fail(__FILE__, __LINE__, "%s: all was mapped: %llu commands failed, %llu faults",
		     u->dev.bdf, failed, counted);
	if (counted < failed)
		fail(__FILE__, __LINE__, "%s: %llu DMA faults, but %llu were counted", u->dev.bdf,
		     failed, counted);
}

void dma_probe(struct space_user *u, unsigned int page)
{
	struct nvme_queue *q = &u->nvme.io[1];
	int status;
	u16 cid;

	dma_end(u);
	if (!u->started)
		return;
	if (reaches_pages(u))
		fill_pattern(u->pages[u->at].mem + page * PAGE, PAGE, u->random);
	cid = nvme_submit_read(&u->nvme, q, 0, BLOCKS, dma_iova(u) + page * PAGE);
	nvme_ring(&u->nvme, q);
	status = nvme_wait(&u->nvme, q, cid, NULL);
	if (!reaches_pages(u))
		must(status == NVME_DATA_TRANSFER_ERROR);
	else
		must(!status && is_filled(u->pages[u->at].mem + page * PAGE, PAGE, 0));
	u->ops[SPACE_PROBE]++;
	pages_check(u, "a write");
}

static u8 *new_pages(void)
{
	u8 *mem = mmap(NULL, PAGES_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		       0);

	must(mem != MAP_FAILED);
	return mem;
}

/* The device may not write there from here on */
static void now_quiet(struct space_user *u, struct space_pages *pages)
{
	pages->quiet = true;
	pages->tag = next_random(&u->random);
	fill_pattern(pages->mem, PAGES_SIZE, pages->tag);
}

void pages_map(struct space_user *u, unsigned int space)
{
	struct space_pages *pages = &u->pages[space];

	if (!pages->mem)
		pages->mem = new_pages();
	if (!pages->quiet)
		now_quiet(u, pages);
	must(!iommu_map(&u->spaces->space[space], dma_iova(u), pages->mem, PAGES_SIZE, MAP_RW));
	pages->mapped = true;
	pages->quiet = u->at != (int)space;
}

void pages_unmap(struct space_user *u, unsigned int space)
{
	struct space_pages *pages = &u->pages[space];

	must(!iommu_unmap(&u->spaces->space[space], dma_iova(u), PAGES_SIZE));
	pages->mapped = false;
	u->hole |= u->at == (int)space;
	/* The kernel may give them to anybody, and most likely gives them to us again */
	if (one_in(&u->random, 2)) {
		munmap(pages->mem, PAGES_SIZE);
		pages->mem = new_pages();
	}
	now_quiet(u, pages);
}

void pages_moved(struct space_user *u)
{
	for (int space = 0; space < SPACES; space++) {
		struct space_pages *pages = &u->pages[space];

		if (space == u->at && pages->mapped)
			pages->quiet = false;
		else if (!pages->quiet)
			now_quiet(u, pages);
	}
	u->hole |= !reaches_pages(u);
}

void pages_check(struct space_user *u, const char *after)
{
	for (unsigned int space = 0; space < SPACES; space++) {
		struct space_pages *pages = &u->pages[space];

		if (pages->quiet && !is_pattern(pages->mem, PAGES_SIZE, pages->tag))
			fail(__FILE__, __LINE__, "%s: after %s: DMA to pages of space %u",
			     u->dev.bdf, after, space);
	}
}
