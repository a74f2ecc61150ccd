// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory.  The first write to a granule allocates its page; a deallocation frees it.
 * track.c keeps what a migration has still to read.
 *
 * A write changes the data first, then marks the granule dirty.  A reader clears the mark
 * first, then reads.  So a change that the reader misses is marked again.
 */
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "memory.h"

/* Chunks that vfmig_memory_reap() looks at in one call, which takes about 100 us */
#define VFMIG_MEMORY_REAP	256

static u64 chunk_index(u64 offset)
{
	return offset >> VFMIG_CHUNK_SHIFT;
}

/*
 * The place of a chunk in the table.  The caller has checked @offset, which comes from a guest
 * or a stream, but a CPU may speculate past that check.
 */
static struct vfmig_memory_chunk **chunk_slot(struct vfmig_memory *mem, u64 offset)
{
	return &mem->chunks[array_index_nospec(chunk_index(offset), chunk_index(mem->size))];
}

static unsigned int granule_bit(u64 offset)
{
	return (offset & (VFMIG_CHUNK_SIZE - 1)) / VFMIG_GRANULE;
}

/* For a memory of @size bytes, or NULL; freed by kvfree() */
struct vfmig_memory_chunk **vfmig_memory_new_table(u64 size)
{
	return kvcalloc(size >> VFMIG_CHUNK_SHIFT, sizeof(struct vfmig_memory_chunk *),
			GFP_KERNEL_ACCOUNT);
}

int vfmig_memory_init(struct vfmig_memory *mem, u64 size,
		      void (*became_dirty)(struct vfmig_memory *mem))
{
	*mem = (struct vfmig_memory) { .size = size, .became_dirty = became_dirty };
	vfmig_spares_init(&mem->spares);
	mutex_init(&mem->reinit_lock);
	spin_lock_init(&mem->lock);
	INIT_LIST_HEAD(&mem->all);
	INIT_LIST_HEAD(&mem->erased);
	INIT_LIST_HEAD(&mem->dirty);

	mem->chunks = vfmig_memory_new_table(size);
	if (mem->chunks)
		return 0;
	mutex_destroy(&mem->reinit_lock);
	return -ENOMEM;
}

static void chunk_free(struct vfmig_memory_chunk *chunk)
{
	unsigned int bit;

	for_each_set_bit(bit, chunk->present, VFMIG_CHUNK_GRANULES)
		put_page(chunk->pages[bit]);
	vfmig_memory_give_granules(1 + bitmap_weight(chunk->present, VFMIG_CHUNK_GRANULES));
	kfree(chunk);
}

/* Put @chunks, which are in no table any more, in line to be freed.  The lock is held. */
static void add_erased(struct vfmig_memory *mem, struct list_head *chunks)
{
	if (list_empty(chunks))
		return;
	if (list_empty(&mem->erased))
		vfmig_memory_count_erased(1);
	list_splice_tail_init(chunks, &mem->erased);
}

/*
 * Free one of the chunks that an erase, a deallocation or a resize removed.  False if there was
 * none.  The removal itself takes hardly longer for a large memory, as the pages go here, and
 * here without the owner's lock.
 */
bool vfmig_memory_free_erased(struct vfmig_memory *mem)
{
	struct vfmig_memory_chunk *chunk;
	bool last = false;

	if (list_empty(&mem->erased))
		return false;
	scoped_guard(spinlock, &mem->lock) {
		chunk = list_first_entry_or_null(&mem->erased, struct vfmig_memory_chunk, all);
		if (chunk) {
			list_del(&chunk->all);
			last = list_empty(&mem->erased);
		}
	}
	if (!chunk)
		return false;
	chunk_free(chunk);
	/* After that: who needs a granule knows until then that there will be one */
	if (last)
		vfmig_memory_count_erased(-1);
	return true;
}

void vfmig_memory_free_all_erased(struct vfmig_memory *mem)
{
	while (vfmig_memory_free_erased(mem))
		cond_resched();
}

/* What @from has to free is for @mem to free */
void vfmig_memory_move_erased(struct vfmig_memory *mem, struct vfmig_memory *from)
{
	LIST_HEAD(chunks);

	scoped_guard(spinlock, &from->lock)
		list_splice_init(&from->erased, &chunks);
	if (list_empty(&chunks))
		return;
	scoped_guard(spinlock, &mem->lock)
		add_erased(mem, &chunks);
	vfmig_memory_count_erased(-1);
}

/* 0, -ENOSPC if the limit is met, -ENOMEM if it is met but memory is on its way back */
static int take_granule(struct vfmig_memory *mem)
{
	if (vfmig_memory_take_granule())
		return 0;
	if (vfmig_memory_free_erased(mem) && vfmig_memory_take_granule())
		return 0;
	if (vfmig_memory_any_erased())
		return -ENOMEM;
	/* The last that was on its way may have come back in between */
	return vfmig_memory_take_granule() ? 0 : -ENOSPC;
}

/*
 * Counts as much as a granule does.  A new chunk frees an erased one first, so both together
 * are never more than the memory has place for.
 */
static struct vfmig_memory_chunk *chunk_alloc(struct vfmig_memory *mem)
{
	struct vfmig_memory_chunk *chunk;
	int ret;

	vfmig_memory_free_erased(mem);
	ret = take_granule(mem);
	if (ret)
		return ERR_PTR(ret);
	chunk = vfmig_spares_chunk(&mem->spares);
	if (chunk)
		return chunk;
	vfmig_memory_give_granules(1);
	return ERR_PTR(-ENOMEM);
}

void vfmig_memory_destroy(struct vfmig_memory *mem)
{
	if (!mem->chunks)
		return;
	mutex_destroy(&mem->reinit_lock);
	scoped_guard(spinlock, &mem->lock)
		add_erased(mem, &mem->all);
	vfmig_memory_free_all_erased(mem);
	vfmig_spares_free(&mem->spares);
	kvfree(mem->chunks);
	mem->chunks = NULL;
}

/* Or an ERR_PTR */
static struct vfmig_memory_chunk *chunk_get(struct vfmig_memory *mem, u64 offset)
{
	struct vfmig_memory_chunk **slot = chunk_slot(mem, offset);
	struct vfmig_memory_chunk *chunk = *slot;

	if (chunk)
		return chunk;

	chunk = chunk_alloc(mem);
	if (IS_ERR(chunk))
		return chunk;
	chunk->index = chunk_index(offset);
	INIT_LIST_HEAD(&chunk->dirty_entry);

	scoped_guard(spinlock, &mem->lock) {
		chunk->session = mem->session;
		list_add_tail(&chunk->all, &mem->all);
		*slot = chunk;
	}
	return chunk;
}

/*
 * Free @chunk if there is nothing in it.  Not in a session, which may have to tell a
 * destination what went: vfmig_memory_reap() comes after it.
 */
static void chunk_reap(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk)
{
	if (!bitmap_empty(chunk->present, VFMIG_CHUNK_GRANULES))
		return;
	if (READ_ONCE(mem->tracking)) {
		WRITE_ONCE(mem->emptied, true);
		return;
	}

	scoped_guard(spinlock, &mem->lock) {
		mem->chunks[chunk->index] = NULL;
		list_del(&chunk->all);
	}
	chunk_free(chunk);
}

/*
 * A session is over: free the chunks that were emptied in it.  Looks at a part of them, from chunk
 * *@index on, which is 0 in the first call, and returns true if there are more.  The caller lets
 * go of its lock between two calls: a medium of 1 TiB can have a million of empty chunks.
 */
bool vfmig_memory_reap(struct vfmig_memory *mem, u64 *index)
{
	u64 end = min(*index + VFMIG_MEMORY_REAP, chunk_index(mem->size));

	if (!*index)
		WRITE_ONCE(mem->emptied, false);
	for (; *index < end; ++*index)
		if (mem->chunks[*index])
			chunk_reap(mem, mem->chunks[*index]);
	if (*index >= chunk_index(mem->size))
		return false;
	if (!READ_ONCE(mem->tracking))
		return true;
	/* The rest is for the end of the session that has begun since */
	WRITE_ONCE(mem->emptied, true);
	return false;
}

/* The page of the granule at @offset, or NULL if it reads as zeroes */
struct page *vfmig_memory_lookup(struct vfmig_memory *mem, u64 offset)
{
	struct vfmig_memory_chunk *chunk = *chunk_slot(mem, offset);

	return chunk ? chunk->pages[granule_bit(offset)] : NULL;
}

/*
 * The page that a new granule will have, of zeroes unless all of it is to be written;
 * -ENOSPC where the limit is met, -ENOMEM
 */
static int granule_alloc(struct vfmig_memory *mem, bool whole, struct page **page)
{
	int ret = take_granule(mem);

	if (ret)
		return ret;
	*page = vfmig_spares_page(&mem->spares, !whole);
	if (*page)
		return 0;
	vfmig_memory_give_granules(1);
	return -ENOMEM;
}

/*
 * Get a page for data to go into the granule at @offset; -ENOSPC where all devices together have
 * what they may have, -ENOMEM where it is worth trying again, with more spares if they are
 * wanted.  With @whole the caller fills the page: one that is fresh has old contents.
 */
int vfmig_memory_write_begin(struct vfmig_memory *mem, u64 offset, bool whole,
			     struct vfmig_memory_write *write)
{
	struct vfmig_memory_chunk *chunk;
	int ret;

	write->offset = offset;
	write->page = vfmig_memory_lookup(mem, offset);
	write->fresh = !write->page;
	if (!write->fresh)
		return 0;
	/* First the page: a chunk without one would have to go */
	ret = granule_alloc(mem, whole, &write->page);
	if (ret)
		return ret;
	chunk = chunk_get(mem, offset);
	if (!IS_ERR(chunk))
		return 0;
	vfmig_spares_put(&mem->spares, write->page);
	vfmig_memory_give_granules(1);
	return PTR_ERR(chunk);
}

/* The data is in, or as much of it as could be had */
void vfmig_memory_write_end(struct vfmig_memory *mem, struct vfmig_memory_write *write)
{
	struct vfmig_memory_chunk *chunk = *chunk_slot(mem, write->offset);
	unsigned int bit = granule_bit(write->offset);
	bool first = false;

	if (!write->fresh) {
		if (READ_ONCE(mem->tracking))
			vfmig_memory_note(mem, chunk, bit);
		return;
	}

	scoped_guard(spinlock, &mem->lock) {
		if (mem->tracking)
			vfmig_memory_track_sync(mem, chunk);
		chunk->pages[bit] = write->page;
		vfmig_bit_set(chunk->present, bit, &mem->allocated.granules,
			      &mem->allocated.data_runs);
		if (mem->tracking)
			first = vfmig_memory_track_fresh(mem, chunk, bit);
	}
	if (first && mem->became_dirty)
		mem->became_dirty(mem);
}

/* The page goes.  It is the caller's to give it back to the limit, or to another page. */
static void granule_deallocate(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk,
			       unsigned int bit)
{
	struct page *page = chunk->pages[bit];
	bool first = false;

	scoped_guard(spinlock, &mem->lock) {
		if (mem->tracking)
			vfmig_memory_track_sync(mem, chunk);
		chunk->pages[bit] = NULL;
		vfmig_bit_clear(chunk->present, bit, &mem->allocated.granules,
				&mem->allocated.data_runs);
		if (mem->tracking)
			first = vfmig_memory_track_hole(mem, chunk, bit);
	}
	put_page(page);
	if (first && mem->became_dirty)
		mem->became_dirty(mem);
}

static void granule_zero(struct vfmig_memory *mem, u64 offset, unsigned int from,
			 unsigned int length)
{
	struct vfmig_memory_write write = {
		.offset = offset,
		.page = vfmig_memory_lookup(mem, offset),
	};

	memzero_page(write.page, from, length);
	vfmig_memory_write_end(mem, &write);
}

/* Move @chunk to @chunks; what is in it counts no more.  The lock is held. */
static void take_out(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk,
		     struct list_head *chunks)
{
	list_move_tail(&chunk->all, chunks);
	mem->allocated.granules -= bitmap_weight(chunk->present, VFMIG_CHUNK_GRANULES);
	mem->allocated.data_runs -= vfmig_bitmap_runs(chunk->present);
}

/* Remove @chunk with all that is in it.  Only where no session has to know what went. */
static void chunk_remove(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk)
{
	LIST_HEAD(chunks);

	spin_lock(&mem->lock);
	mem->chunks[chunk->index] = NULL;
	take_out(mem, chunk, &chunks);
	add_erased(mem, &chunks);
	spin_unlock(&mem->lock);
}

/*
 * Make the first of @length bytes at @offset read as zeroes, those in one chunk: returns how
 * many.  With @deallocate whole granules give their memory back.  What was never written
 * reads as zeroes already.
 */
u64 vfmig_memory_zero_piece(struct vfmig_memory *mem, u64 offset, u64 length, bool deallocate)
{
	struct vfmig_memory_chunk *chunk = *chunk_slot(mem, offset);
	u64 left = min(length, VFMIG_CHUNK_SIZE - offset % VFMIG_CHUNK_SIZE), piece = left;

	if (!chunk)
		return piece;

	vfmig_memory_settle(mem);
	if (deallocate && piece == VFMIG_CHUNK_SIZE && !READ_ONCE(mem->tracking)) {
		chunk_remove(mem, chunk);
		return piece;
	}
	while (left && !bitmap_empty(chunk->present, VFMIG_CHUNK_GRANULES)) {
		unsigned int from = offset % VFMIG_GRANULE, bit = granule_bit(offset);
		unsigned int n = min_t(u64, left, VFMIG_GRANULE - from);

		if (chunk->pages[bit]) {
			if (deallocate && n == VFMIG_GRANULE) {
				granule_deallocate(mem, chunk, bit);
				vfmig_memory_give_granules(1);
			} else {
				granule_zero(mem, offset - from, from, n);
			}
		}
		offset += n;
		left -= n;
	}
	chunk_reap(mem, chunk);
	return piece;
}

/* All of it */
void vfmig_memory_zero(struct vfmig_memory *mem, u64 offset, u64 length, bool deallocate)
{
	while (length) {
		u64 piece = vfmig_memory_zero_piece(mem, offset, length, deallocate);

		offset += piece;
		length -= piece;
		cond_resched();
	}
}

/*
 * Make all of it read as zeroes, at a stroke.  Takes as long for a full memory as for an empty
 * one: it clears 8 bytes for each MiB.  The caller frees what was erased, without its lock.
 */
void vfmig_memory_erase(struct vfmig_memory *mem)
{
	bool first = false;

	vfmig_memory_settle(mem);
	scoped_guard(spinlock, &mem->lock) {
		if (mem->tracking)
			first = vfmig_memory_track_erase(mem);
		if (!list_empty(&mem->all))
			memset(mem->chunks, 0,
			       chunk_index(mem->size) * sizeof(*mem->chunks));
		add_erased(mem, &mem->all);
		mem->allocated = (struct vfmig_mem_count) {};
	}
	if (first && mem->became_dirty)
		mem->became_dirty(mem);
}

/* @chunk lies beyond the end of a memory that is about to become smaller */
static void chunk_cut_off(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk,
			  struct list_head *cut)
{
	spin_lock(&mem->lock);
	take_out(mem, chunk, cut);
	spin_unlock(&mem->lock);
}

/* Make it @size bytes, and say what that leaves to be read.  True if a session is on. */
static bool reinit_resized(struct vfmig_memory *mem, u64 size, struct vfmig_memory_chunk **table)
{
	struct vfmig_memory_chunk *chunk, *next;
	u64 old_size = mem->size;
	LIST_HEAD(cut);

	guard(mutex)(&mem->reinit_lock);
	list_for_each_entry_safe(chunk, next, &mem->all, all) {
		if (chunk->index < chunk_index(size))
			table[chunk->index] = chunk;
		else
			chunk_cut_off(mem, chunk, &cut);
		cond_resched();
	}
	scoped_guard(spinlock, &mem->lock) {
		swap(mem->chunks, table);
		mem->size = size;
		add_erased(mem, &cut);
	}
	kvfree(table);
	if (!mem->tracking)
		return false;

	vfmig_memory_reinit_begin(mem, old_size);
	list_for_each_entry(chunk, &mem->all, all) {
		vfmig_memory_reinit_chunk(mem, chunk);
		cond_resched();
	}
	vfmig_memory_reinit_end(mem);
	return true;
}

/*
 * Make it @size bytes, with @table of vfmig_memory_new_table(), which is the memory's
 * from now on.  What is new reads as zeroes.  Costs O(what was written); the caller frees what
 * was cut off, without its lock.
 */
void vfmig_memory_resize(struct vfmig_memory *mem, u64 size, struct vfmig_memory_chunk **table)
{
	bool news;

	vfmig_memory_settle(mem);
	news = reinit_resized(mem, size, table);
	if (news && mem->became_dirty)
		mem->became_dirty(mem);
}

/*
 * The granule at @offset shall be @page, which is the memory's from now on; -ENOMEM as for a write,
 * -ENOSPC where all devices together have what they may have
 */
int vfmig_memory_set_page(struct vfmig_memory *mem, u64 offset, struct page *page)
{
	struct vfmig_memory_write write = { .offset = offset, .page = page, .fresh = true };
	struct vfmig_memory_chunk *chunk = chunk_get(mem, offset);
	unsigned int bit = granule_bit(offset);
	int ret = 0;

	if (IS_ERR(chunk))
		return PTR_ERR(chunk);
	if (chunk->pages[bit])
		granule_deallocate(mem, chunk, bit);
	else
		ret = take_granule(mem);
	if (!ret)
		vfmig_memory_write_end(mem, &write);
	return ret;
}

/* Exchange the contents of two memories of one size; ends a session of @mem */
void vfmig_memory_swap(struct vfmig_memory *mem, struct vfmig_memory *other)
{
	LIST_HEAD(all);

	vfmig_memory_track_stop(mem);

	spin_lock(&mem->lock);
	swap(mem->chunks, other->chunks);
	swap(mem->allocated, other->allocated);
	list_splice_init(&mem->all, &all);
	list_splice_init(&other->all, &mem->all);
	list_splice(&all, &other->all);
	spin_unlock(&mem->lock);
}
