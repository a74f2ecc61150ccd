// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which pages were written: a sparse set of pages of 4 KiB of an I/O address
 * space.  The IOMMU has one for each domain whose writes are tracked (iommu.c), a
 * function one while it logs its own (log.c).  They know nothing of each other.
 *
 * By IOVA and apart from the page table: a page is 4 KiB whatever it is mapped by,
 * and to look for what is dirty costs what is dirty, not what is mapped.
 *
 * The bits lie in chunks, which are made when the first page of them is written and
 * stay as long as the set: half a KiB for each 16 MiB in which there were writes.  To
 * unmap empties them and frees none: a log knows nothing of mappings, and what is
 * unmapped at a time may be any part of a chunk.  So the bound is not what is mapped
 * but the address space that was ever written, 1/32768 of it and at most 8 GiB, and
 * who has it written pays: it is charged to the memory cgroup that opened the VF.
 *
 * No write is missed.  A copy, which can't sleep, finds the chunk before it
 * touches the page; where there is none it does nothing, and its caller makes one
 * and tries again.  After the data comes the bit.  So who takes a bit, and reads
 * the page then, sees the data: to take it is a full barrier, and before the bit
 * is set there is one too.  A reader who comes between the data and the bit may
 * see the one without the other, and finds the bit the next time.  A bit that is
 * set already is set again nevertheless: to look first would be a load that can
 * go ahead of the data, and a reader could take the bit between the two.
 *
 * Copy and bit are in one section of the function's dma_lock.  So whoever knows
 * that no DMA is under way, having stopped the device or waited for the lock, knows
 * that all bits are there.
 */
#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/iova_bitmap.h>
#include <linux/kref.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "fabric_priv.h"

#define CHUNK_SHIFT	24	/* 16 MiB */
#define CHUNK_PAGES	BIT(CHUNK_SHIFT - PAGE_SHIFT)
#define CHUNK_WORDS	BITS_TO_LONGS(CHUNK_PAGES)

/**
 * struct vfmig_dirty - a set of pages
 * @ref: who makes a chunk, or reads, may still be at it when nobody else uses the
 *	set any more
 * @chunks: &struct vfmig_dirty_chunk by IOVA in units of a chunk
 */
struct vfmig_dirty {
	struct kref ref;
	struct xarray chunks;
};

/**
 * struct vfmig_dirty_chunk - a part of a set
 * @words: a bit for each page
 */
struct vfmig_dirty_chunk {
	atomic_long_t words[CHUNK_WORDS];
};

static unsigned int page_in_chunk(u64 iova)
{
	return (iova >> PAGE_SHIFT) & (CHUNK_PAGES - 1);
}

/* An empty set with a reference for the caller, or NULL */
struct vfmig_dirty *vfmig_dirty_create(void)
{
	struct vfmig_dirty *dirty = kzalloc(sizeof(*dirty), GFP_KERNEL_ACCOUNT);

	if (!dirty)
		return NULL;
	kref_init(&dirty->ref);
	xa_init_flags(&dirty->chunks, XA_FLAGS_ACCOUNT);
	return dirty;
}

struct vfmig_dirty *vfmig_dirty_get(struct vfmig_dirty *dirty)
{
	kref_get(&dirty->ref);
	return dirty;
}

static void vfmig_dirty_release(struct kref *ref)
{
	struct vfmig_dirty *dirty = container_of(ref, struct vfmig_dirty, ref);
	struct vfmig_dirty_chunk *chunk;
	unsigned long index;

	xa_for_each(&dirty->chunks, index, chunk)
		kfree(chunk);
	xa_destroy(&dirty->chunks);
	kfree(dirty);
}

void vfmig_dirty_put(struct vfmig_dirty *dirty)
{
	kref_put(&dirty->ref, vfmig_dirty_release);
}

/**
 * vfmig_dirty_find() - the chunk that a page is in
 * @dirty: the set
 * @iova: any byte of the page
 *
 * Context: any.
 *
 * Return: the chunk, or NULL if vfmig_dirty_prepare() has to make it.
 */
struct vfmig_dirty_chunk *vfmig_dirty_find(struct vfmig_dirty *dirty, u64 iova)
{
	return xa_load(&dirty->chunks, iova >> CHUNK_SHIFT);
}

/**
 * vfmig_dirty_prepare() - make the chunk that a page is in
 * @dirty: the set
 * @iova: any byte of the page
 *
 * Does not fail: for a write without its bit there is no way out, so this waits
 * for memory as long as it takes.
 *
 * Context: may sleep.
 */
void vfmig_dirty_prepare(struct vfmig_dirty *dirty, u64 iova)
{
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NOFAIL;
	struct vfmig_dirty_chunk *chunk = kzalloc(sizeof(*chunk), gfp);

	/* Somebody else may have been here: any other function of the domain */
	if (xa_insert(&dirty->chunks, iova >> CHUNK_SHIFT, chunk, gfp))
		kfree(chunk);
}

/**
 * vfmig_dirty_set() - a page was written
 * @chunk: what vfmig_dirty_find() gave for it
 * @iova: any byte of the page
 *
 * Context: any; in the section of the dma_lock that the data was written in.
 */
void vfmig_dirty_set(struct vfmig_dirty_chunk *chunk, u64 iova)
{
	unsigned int page = page_in_chunk(iova);

	/* The data before the bit, see above; pairs with take_word() */
	smp_mb__before_atomic();
	atomic_long_or(BIT_MASK(page), &chunk->words[BIT_WORD(page)]);
}

static unsigned long take_word(atomic_long_t *word, unsigned long mask, bool clear)
{
	unsigned long bits = atomic_long_read(word) & mask;

	if (!bits || !clear)
		return bits;
	/* The bit before the data */
	return atomic_long_fetch_andnot(mask, word) & mask;
}

/* Pages @from to @to of @chunk into @pages */
static void take_pages(struct vfmig_dirty_chunk *chunk, unsigned int from, unsigned int to,
		       bool clear, unsigned long *pages)
{
	bitmap_zero(pages, CHUNK_PAGES);
	for (unsigned int i = BIT_WORD(from); i <= BIT_WORD(to); i++) {
		unsigned long mask = ~0UL;

		if (i == BIT_WORD(from))
			mask &= BITMAP_FIRST_WORD_MASK(from);
		if (i == BIT_WORD(to))
			mask &= BITMAP_LAST_WORD_MASK(to + 1);
		pages[i] = take_word(&chunk->words[i], mask, clear);
	}
}

/**
 * vfmig_dirty_read() - report pages of a set
 * @dirty: the set, with a reference of the caller's
 * @first: first byte of the first page to look at
 * @last: last byte of the last page to look at
 * @clear: remove from the set what is reported
 * @bitmap: gets the pages, or NULL
 *
 * Costs what is or was dirty, not what lies between @first and @last.
 *
 * Context: may sleep, on user memory too.
 */
void vfmig_dirty_read(struct vfmig_dirty *dirty, u64 first, u64 last, bool clear,
		      struct iova_bitmap *bitmap)
{
	unsigned long index, last_index = last >> CHUNK_SHIFT;
	DECLARE_BITMAP(pages, CHUNK_PAGES);
	struct vfmig_dirty_chunk *chunk;
	unsigned int from, to;

	xa_for_each_range(&dirty->chunks, index, chunk, first >> CHUNK_SHIFT, last_index) {
		u64 base = (u64)index << CHUNK_SHIFT;

		from = index == first >> CHUNK_SHIFT ? page_in_chunk(first) : 0;
		to = index == last_index ? page_in_chunk(last) : CHUNK_PAGES - 1;
		take_pages(chunk, from, to, clear, pages);
		cond_resched();
		if (!bitmap)
			continue;
		/*
		 * Page by page.  Where a run goes over the end of what is pinned of the user's
		 * bitmap, iova_bitmap_set() goes on at a multiple of what a bit stands for
		 * before the end of the run.  If that is more than a page, it may be before
		 * the start, and without a next page of the bitmap it never ends.  A page has
		 * no two bits of 4 KiB or more, and ends with one if they are of less.
		 */
		for_each_set_bit(from, pages, CHUNK_PAGES)
			iova_bitmap_set(bitmap, base + (u64)from * PAGE_SIZE, PAGE_SIZE);
	}
}
