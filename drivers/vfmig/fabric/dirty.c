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
 * on the way to it 4 KiB for each 4 GiB, 2 KiB for each TiB, and 4 KiB.  To unmap
 * empties them and frees none: a log knows nothing of mappings, and what is unmapped at
 * a time may be any part of a chunk.  So the bound is not what is mapped but the
 * address space that was ever written: at most 8 GiB for the bits, and a quarter of one
 * to find them.  Who has it written pays: it is charged to the memory cgroup that
 * opened the VF.
 *
 * A few loads lead from an IOVA to its bit, with nothing to lock or to count: to note a
 * write is to cost next to nothing (dirty.h).  A table knows of each chunk in which of
 * its words there may be bits, so what was dirty and is not any more costs a report
 * a look at one word for each 16 MiB.
 *
 * No write is missed.  A copy, which can't sleep, finds the chunk before it
 * touches the page; where there is none it does nothing, and its caller makes one
 * and tries again.  After the data comes the bit.  So who takes a bit, and reads
 * the page then, sees the data: to take it is a full barrier, and before the bit
 * is set there is one too.  A reader who comes between the data and the bit may
 * see the one without the other, and finds the bit the next time.  A bit that is
 * set already is set again nevertheless: to look first would be a load that can
 * go ahead of the data, and a reader could take the bit between the two.  After the
 * bit, the writer marks the word in the table, if it is not.  A reader clears the mark
 * first, and looks for bits then: a writer that still saw the mark had set its bit
 * before, and the reader finds it.
 *
 * Copy and bit are in one section of the function's dma_lock.  So whoever knows
 * that no DMA is under way, having stopped the device or waited for the lock, knows
 * that all bits are there.
 */
#include <linux/bitops.h>
#include <linux/iova_bitmap.h>
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "dirty.h"

/* An empty set with a reference for the caller, or NULL */
struct vfmig_dirty *vfmig_dirty_create(void)
{
	struct vfmig_dirty *dirty = kzalloc(sizeof(*dirty), GFP_KERNEL_ACCOUNT);

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
	for (unsigned int i = 0; table && i < ARRAY_SIZE(table->chunks); i++)
		kfree(table->chunks[i]);
	kfree(table);
	cond_resched();
}

static void free_dir(struct vfmig_dirty_dir *dir)
{
	for (unsigned int i = 0; dir && i < ARRAY_SIZE(dir->tables); i++)
		free_table(dir->tables[i]);
	kfree(dir);
}

static void vfmig_dirty_release(struct kref *ref)
{
	struct vfmig_dirty *dirty = container_of(ref, struct vfmig_dirty, ref);

	for (unsigned int i = 0; i < ARRAY_SIZE(dirty->dirs); i++)
		free_dir(dirty->dirs[i]);
	kfree(dirty);
}

void vfmig_dirty_put(struct vfmig_dirty *dirty)
{
	kref_put(&dirty->ref, vfmig_dirty_release);
}

/* Where a failure is retried: neither the OOM killer nor a warning */
#define VFMIG_DIRTY_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* What *@slot leads to, made if there is nothing; NULL if there is no memory */
static void *get_or_make(void **slot, size_t size)
{
	void *fresh, *there = READ_ONCE(*slot);

	if (there)
		return there;
	fresh = kzalloc(size, VFMIG_DIRTY_GFP);
	if (!fresh)
		return NULL;
	/* Pairs with the address dependencies in vfmig_dirty_find() */
	there = cmpxchg(slot, NULL, fresh);
	if (!there)
		return fresh;
	/* Somebody else was here: any other function of the domain */
	kfree(fresh);
	return there;
}

/**
 * vfmig_dirty_prepare() - make the place where a page is noted
 * @dirty: the set
 * @iova: any byte of the page, within the aperture
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.  What was made so far stays.
 */
int vfmig_dirty_prepare(struct vfmig_dirty *dirty, u64 iova)
{
	struct vfmig_dirty_dir *dir;
	struct vfmig_dirty_table *table;

	dir = get_or_make((void **)vfmig_dirty_dir(dirty, iova), sizeof(*dir));
	if (!dir)
		return -ENOMEM;
	table = get_or_make((void **)vfmig_dirty_table(dir, iova), sizeof(*table));
	if (!table)
		return -ENOMEM;
	if (!get_or_make((void **)&table->chunks[vfmig_dirty_chunk(iova)],
			 sizeof(struct vfmig_dirty_chunk)))
		return -ENOMEM;
	return 0;
}

/* The bits @from to @to of a word that are set; they aren't any more if @clear */
static unsigned long take_bits(atomic_long_t *word, unsigned int from, unsigned int to, bool clear)
{
	unsigned long mask = GENMASK(to, from), bits = atomic_long_read(word) & mask;

	if (!bits || !clear)
		return bits;
	/* The bit before the data */
	return atomic_long_fetch_andnot(mask, word) & mask;
}

/* Which words of a chunk have something from @first to @last; forgotten if all is taken */
static unsigned long take_words(atomic_long_t *written, u64 first, u64 last, bool clear)
{
	unsigned int from = vfmig_dirty_word(first), to = vfmig_dirty_word(last);
	/* Who finds a word in it finds the chunk, too */
	unsigned long words = atomic_long_read_acquire(written) & GENMASK(to, from);
	unsigned long whole = words;

	if (!IS_ALIGNED(first, VFMIG_DIRTY_WORD))
		whole &= ~BIT(from);
	if (!IS_ALIGNED(last + 1, VFMIG_DIRTY_WORD))
		whole &= ~BIT(to);
	/* Before the bits are looked at */
	if (clear && whole)
		atomic_long_fetch_andnot(whole, written);
	return words;
}

/* One chunk's part of vfmig_dirty_read() */
static void read_chunk(struct vfmig_dirty_table *table, u64 first, u64 last, bool clear,
		       struct iova_bitmap *bitmap)
{
	unsigned int index = vfmig_dirty_chunk(first), i, bit;
	unsigned long words = take_words(&table->written[index], first, last, clear);
	u64 base = round_down(first, VFMIG_DIRTY_CHUNK);

	for_each_set_bit(i, &words, BITS_PER_LONG) {
		u64 start = max(first, base + i * VFMIG_DIRTY_WORD);
		u64 end = min(last, base + (i + 1) * VFMIG_DIRTY_WORD - 1);
		unsigned long bits = take_bits(&READ_ONCE(table->chunks[index])->words[i],
					       vfmig_dirty_bit(start), vfmig_dirty_bit(end), clear);

		if (!bitmap)
			continue;
		/*
		 * Page by page.  Where a run goes over the end of what is pinned of the user's
		 * bitmap, iova_bitmap_set() goes on at a multiple of what a bit stands for
		 * before the end of the run.  If that is more than a page, it may be before
		 * the start, and without a next page of the bitmap it never ends.  A page has
		 * no two bits of 4 KiB or more, and ends with one if they are of less.
		 */
		for_each_set_bit(bit, &bits, BITS_PER_LONG)
			iova_bitmap_set(bitmap, base + i * VFMIG_DIRTY_WORD + bit * PAGE_SIZE,
					PAGE_SIZE);
	}
}

/* One table's part of vfmig_dirty_read() */
static void read_table(struct vfmig_dirty_table *table, u64 first, u64 last, bool clear,
		       struct iova_bitmap *bitmap)
{
	u64 base = round_down(first, VFMIG_DIRTY_TABLE);

	for (unsigned int i = vfmig_dirty_chunk(first); i <= vfmig_dirty_chunk(last); i++) {
		u64 start = base + i * VFMIG_DIRTY_CHUNK;

		if (!atomic_long_read(&table->written[i]))
			continue;
		read_chunk(table, max(first, start), min(last, start + VFMIG_DIRTY_CHUNK - 1),
			   clear, bitmap);
		cond_resched();
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
 * Costs what is dirty, and a look at each 16 MiB of the 4 GiB in which something was
 * written since the set was made.
 *
 * Context: may sleep, on user memory too.
 */
void vfmig_dirty_read(struct vfmig_dirty *dirty, u64 first, u64 last, bool clear,
		      struct iova_bitmap *bitmap)
{
	u64 end;

	last = min(last, BIT_ULL(VFMIG_PT_IOVA_BITS) - 1);
	for (; first <= last; first = end + 1) {
		struct vfmig_dirty_dir *dir = READ_ONCE(*vfmig_dirty_dir(dirty, first));
		struct vfmig_dirty_table *table;

		end = first | ((dir ? VFMIG_DIRTY_TABLE : VFMIG_DIRTY_DIR) - 1);
		table = dir ? READ_ONCE(*vfmig_dirty_table(dir, first)) : NULL;
		if (table)
			read_table(table, first, min(end, last), clear, bitmap);
		cond_resched();
	}
}
