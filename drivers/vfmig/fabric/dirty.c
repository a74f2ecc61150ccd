// SPDX-License-Identifier: GPL-2.0-only
/*
 * A sparse set of pages of 4 KiB of an I/O address space, for the pages that were
 * written.  The IOMMU has one set for each domain whose writes are tracked
 * (iommu.c).  A function has one while it logs its own writes (log.c).  They are
 * independent of each other.
 *
 * The set goes by IOVA and is separate from the page table.  So a page is 4 KiB
 * even in a larger mapping, and the cost of a report depends on what is dirty, not
 * on what is mapped.
 *
 * The bits are in chunks.  The first write to a page of a chunk allocates it, and
 * it is freed with the set.  Memory: 512 bytes for each 16 MiB in which there were
 * writes, and for the tables 4 KiB for each 4 GiB, 2 KiB for each TiB, and 4 KiB.
 * An unmap clears bits but frees no chunk, because a log does not know the
 * mappings, and an unmap may cover any part of a chunk.  So the address space that
 * was ever written limits the memory: at most 8 GiB of bits, and a quarter GiB of
 * tables.  It is charged to the memory cgroup of the process that opened the VF.
 *
 * A write must add its bit at almost no cost (dirty.h): a few loads lead from an
 * IOVA to its bit, without a lock or a reference.  For each chunk a table has a word
 * that says which words of the chunk may have bits.  So for pages that are not dirty
 * any more a report reads one word per 16 MiB.
 *
 * No write is missed.  A copy can't sleep, so it looks up the chunk before it
 * touches the page.  If there is no chunk, it copies nothing; its caller allocates
 * the chunk and tries again.
 *
 * The bit is set after the data is written, with a full barrier in between.  A reader
 * that takes the bit, which is a full barrier too, and then reads the page sees the
 * data.  A reader that comes between the data and the bit may see the data without
 * the bit; it finds the bit the next time.  A writer sets the bit even if it is set
 * already.  A test before it would be a load that can pass the data, and a reader
 * could take the bit between the two.
 *
 * After the bit, the writer marks the word in the table unless it is marked.  A
 * reader clears the mark first and looks for bits then.  A writer that still saw the
 * mark had set its bit before, so the reader finds the bit.
 *
 * Data and bit are written in one section of the function's dma_lock.  So after the
 * device was stopped, or after the lock was taken and dropped, all bits of earlier
 * writes are set.
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

/* The object in *@slot, allocated if there is none; NULL if there is no memory */
static void *get_or_make(void **slot, size_t size, gfp_t gfp)
{
	void *fresh, *there = READ_ONCE(*slot);

	if (there)
		return there;
	fresh = kzalloc(size, gfp);
	if (!fresh)
		return NULL;
	/* Pairs with the address dependencies in vfmig_dirty_find() */
	there = cmpxchg(slot, NULL, fresh);
	if (!there)
		return fresh;
	/* Another function of the domain was faster */
	kfree(fresh);
	return there;
}

/**
 * vfmig_dirty_prepare() - allocate the chunk for a page
 * @dirty: the set
 * @iova: any byte of the page, within the aperture
 * @gfp: how memory is allocated
 *
 * Context: as @gfp says.
 * Return: 0 or -ENOMEM.  Tables that were allocated stay.
 */
int vfmig_dirty_prepare(struct vfmig_dirty *dirty, u64 iova, gfp_t gfp)
{
	struct vfmig_dirty_dir *dir;
	struct vfmig_dirty_table *table;

	dir = get_or_make((void **)vfmig_dirty_dir(dirty, iova), sizeof(*dir), gfp);
	if (!dir)
		return -ENOMEM;
	table = get_or_make((void **)vfmig_dirty_table(dir, iova), sizeof(*table), gfp);
	if (!table)
		return -ENOMEM;
	if (!get_or_make((void **)&table->chunks[vfmig_dirty_chunk(iova)],
			 sizeof(struct vfmig_dirty_chunk), gfp))
		return -ENOMEM;
	return 0;
}

/* Returns the bits @from to @to of a word, and clears them if @clear */
static unsigned long take_bits(atomic_long_t *word, unsigned int from, unsigned int to, bool clear)
{
	unsigned long mask = GENMASK(to, from), bits = atomic_long_read(word) & mask;

	if (!bits || !clear)
		return bits;
	/* Full barrier: the bit is taken before the caller reads the data */
	return atomic_long_fetch_andnot(mask, word) & mask;
}

/* Returns the marked words of a chunk from @first to @last; with @clear unmarks whole ones */
static unsigned long take_words(atomic_long_t *written, u64 first, u64 last, bool clear)
{
	unsigned int from = vfmig_dirty_word(first), to = vfmig_dirty_word(last);
	/* Acquire: if a word is marked, the chunk can be seen too */
	unsigned long words = atomic_long_read_acquire(written) & GENMASK(to, from);
	unsigned long whole = words;

	if (!IS_ALIGNED(first, VFMIG_DIRTY_WORD))
		whole &= ~BIT(from);
	if (!IS_ALIGNED(last + 1, VFMIG_DIRTY_WORD))
		whole &= ~BIT(to);
	/* Before the bits are read */
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
		 * Page by page.  If a run crosses the end of the pinned part of the user's
		 * bitmap, iova_bitmap_set() continues at a multiple of the bitmap's page size
		 * before the end of the run.  If that page size is larger than 4 KiB, the
		 * multiple may be before the start, and if the bitmap has no next page the
		 * function never returns.  A single page can't cross: it has at most one bit if
		 * the page size is 4 KiB or more, and ends with a bit if it is less.
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
 * @dirty: the set; the caller has a reference
 * @first: first byte of the first page
 * @last: last byte of the last page
 * @clear: remove the reported pages from the set
 * @bitmap: gets the pages, or NULL
 *
 * The cost depends on what is dirty.  In addition it reads one word per 16 MiB, for each
 * 4 GiB in which something was written since the set was created.
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
