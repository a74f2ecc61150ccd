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
 * stay as long as the set: half a KiB for each 16 MiB in which there were writes, and
 * a table of 32 KiB for each 64 GiB.  To unmap empties them and frees none: a log
 * knows nothing of mappings, and what is unmapped at a time may be any part of a
 * chunk.  So the bound is not what is mapped but the address space that was ever
 * written, 1/32768 of it and at most 8 GiB, and who has it written pays: it is charged
 * to the memory cgroup that opened the VF.
 *
 * Two steps lead from an IOVA to its bit, with nothing to lock or to count: a write
 * while pages are noted is to cost next to nothing more (dirty.h).
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
#include <linux/bitmap.h>
#include <linux/iova_bitmap.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "dirty.h"

/* An empty set with a reference for the caller, or NULL */
struct vfmig_dirty *vfmig_dirty_create(void)
{
	struct vfmig_dirty *dirty = kvzalloc(sizeof(*dirty), GFP_KERNEL_ACCOUNT);

	if (!dirty)
		return NULL;
	kref_init(&dirty->ref);
	return dirty;
}

struct vfmig_dirty *vfmig_dirty_get(struct vfmig_dirty *dirty)
{
	kref_get(&dirty->ref);
	return dirty;
}

static void free_table(struct vfmig_dirty_table *table)
{
	if (!table)
		return;
	for (unsigned int i = 0; i < ARRAY_SIZE(table->chunks); i++)
		kfree(table->chunks[i]);
	kvfree(table);
	cond_resched();
}

static void vfmig_dirty_release(struct kref *ref)
{
	struct vfmig_dirty *dirty = container_of(ref, struct vfmig_dirty, ref);

	for (unsigned int i = 0; i < ARRAY_SIZE(dirty->tables); i++)
		free_table(dirty->tables[i]);
	kvfree(dirty);
}

void vfmig_dirty_put(struct vfmig_dirty *dirty)
{
	kref_put(&dirty->ref, vfmig_dirty_release);
}

#define GFP_CERTAIN	(GFP_KERNEL_ACCOUNT | __GFP_NOFAIL)

/* The table that a page is in, made if there is none */
static struct vfmig_dirty_table *get_table(struct vfmig_dirty *dirty, u64 iova)
{
	struct vfmig_dirty_table **slot = vfmig_dirty_table(dirty, iova);
	struct vfmig_dirty_table *fresh, *table = READ_ONCE(*slot);

	if (table)
		return table;
	fresh = kvzalloc(sizeof(*fresh), GFP_CERTAIN);
	/* Pairs with the address dependency in vfmig_dirty_find() */
	table = cmpxchg(slot, NULL, fresh);
	if (!table)
		return fresh;
	kvfree(fresh);
	return table;
}

/**
 * vfmig_dirty_prepare() - make the chunk that a page is in
 * @dirty: the set
 * @iova: any byte of the page, within the aperture
 *
 * Does not fail: for a write without its bit there is no way out, so this waits
 * for memory as long as it takes.
 *
 * Context: may sleep.
 */
void vfmig_dirty_prepare(struct vfmig_dirty *dirty, u64 iova)
{
	struct vfmig_dirty_table *table = get_table(dirty, iova);
	struct vfmig_dirty_chunk *fresh = kzalloc(sizeof(*fresh), GFP_CERTAIN);

	/* Somebody else may have been here: any other function of the domain.  Pairs as above. */
	if (cmpxchg(vfmig_dirty_chunk(table, iova), NULL, fresh))
		kfree(fresh);
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
	bitmap_zero(pages, VFMIG_DIRTY_PAGES);
	for (unsigned int i = BIT_WORD(from); i <= BIT_WORD(to); i++) {
		unsigned long mask = ~0UL;

		if (i == BIT_WORD(from))
			mask &= BITMAP_FIRST_WORD_MASK(from);
		if (i == BIT_WORD(to))
			mask &= BITMAP_LAST_WORD_MASK(to + 1);
		pages[i] = take_word(&chunk->words[i], mask, clear);
	}
}

/* One chunk's part of vfmig_dirty_read(): what is in it from @first to @last */
static void read_chunk(struct vfmig_dirty_chunk *chunk, u64 first, u64 last, bool clear,
		       struct iova_bitmap *bitmap)
{
	u64 base = round_down(first, VFMIG_DIRTY_CHUNK_SIZE);
	DECLARE_BITMAP(pages, VFMIG_DIRTY_PAGES);
	unsigned int page;

	take_pages(chunk, vfmig_dirty_page(first), vfmig_dirty_page(last), clear, pages);
	if (!bitmap)
		return;
	/*
	 * Page by page.  Where a run goes over the end of what is pinned of the user's
	 * bitmap, iova_bitmap_set() goes on at a multiple of what a bit stands for
	 * before the end of the run.  If that is more than a page, it may be before
	 * the start, and without a next page of the bitmap it never ends.  A page has
	 * no two bits of 4 KiB or more, and ends with one if they are of less.
	 */
	for_each_set_bit(page, pages, VFMIG_DIRTY_PAGES)
		iova_bitmap_set(bitmap, base + (u64)page * PAGE_SIZE, PAGE_SIZE);
}

/**
 * vfmig_dirty_read() - report pages of a set
 * @dirty: the set, with a reference of the caller's
 * @first: first byte of the first page to look at
 * @last: last byte of the last page to look at
 * @clear: remove from the set what is reported
 * @bitmap: gets the pages, or NULL
 *
 * Costs what is or was dirty, and a look at each 64 GiB, and within those that
 * something was written in at each 16 MiB, between @first and @last.
 *
 * Context: may sleep, on user memory too.
 */
void vfmig_dirty_read(struct vfmig_dirty *dirty, u64 first, u64 last, bool clear,
		      struct iova_bitmap *bitmap)
{
	u64 end;

	last = min(last, BIT_ULL(VFMIG_PT_IOVA_BITS) - 1);
	for (; first <= last; first = end + 1) {
		struct vfmig_dirty_table *table = READ_ONCE(*vfmig_dirty_table(dirty, first));
		struct vfmig_dirty_chunk *chunk;

		end = first | ((table ? VFMIG_DIRTY_CHUNK_SIZE : VFMIG_DIRTY_TABLE_SIZE) - 1);
		chunk = table ? READ_ONCE(*vfmig_dirty_chunk(table, first)) : NULL;
		if (!chunk)
			continue;
		read_chunk(chunk, first, min(end, last), clear, bitmap);
		cond_resched();
	}
}
