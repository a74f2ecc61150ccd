// SPDX-License-Identifier: GPL-2.0-only
/*
 * The medium.  The first write to a granule allocates its page; a deallocation frees it.
 * track.c keeps what a migration has still to read.  This file knows no NVMe.
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

#include "media.h"

/* A failure here is a status for the guest: no OOM killer, no warning */
#define VFMIG_MEDIA_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

static u64 chunk_index(u64 offset)
{
	return offset >> VFMIG_CHUNK_SHIFT;
}

/*
 * The place of a chunk in the table.  The caller has checked @offset, which comes from a guest
 * or a stream, but a CPU may speculate past that check.
 */
static struct vfmig_media_chunk **chunk_slot(struct vfmig_media *media, u64 offset)
{
	return &media->chunks[array_index_nospec(chunk_index(offset), chunk_index(media->size))];
}

static unsigned int granule_bit(u64 offset)
{
	return (offset & (VFMIG_CHUNK_SIZE - 1)) / VFMIG_GRANULE;
}

/* Of a medium of @size bytes, or NULL; freed by kvfree() */
struct vfmig_media_chunk **vfmig_media_new_table(u64 size)
{
	return kvcalloc(size >> VFMIG_CHUNK_SHIFT, sizeof(struct vfmig_media_chunk *),
			GFP_KERNEL_ACCOUNT);
}

int vfmig_media_init(struct vfmig_media *media, u64 size,
		     void (*became_dirty)(struct vfmig_media *media))
{
	*media = (struct vfmig_media) { .size = size, .became_dirty = became_dirty };
	mutex_init(&media->reinit_lock);
	spin_lock_init(&media->lock);
	INIT_LIST_HEAD(&media->all);
	INIT_LIST_HEAD(&media->erased);
	INIT_LIST_HEAD(&media->dirty);

	media->chunks = vfmig_media_new_table(size);
	if (media->chunks)
		return 0;
	mutex_destroy(&media->reinit_lock);
	return -ENOMEM;
}

static void chunk_free(struct vfmig_media_chunk *chunk)
{
	unsigned int bit;

	for_each_set_bit(bit, chunk->present, VFMIG_CHUNK_GRANULES)
		put_page(chunk->pages[bit]);
	vfmig_media_give_granules(1 + bitmap_weight(chunk->present, VFMIG_CHUNK_GRANULES));
	kfree(chunk);
}

/* Put @chunks, which are in no table any more, in line to be freed.  The lock is held. */
static void add_erased(struct vfmig_media *media, struct list_head *chunks)
{
	if (list_empty(chunks))
		return;
	if (list_empty(&media->erased))
		vfmig_media_count_erased(1);
	list_splice_tail_init(chunks, &media->erased);
}

/*
 * Free one of the chunks that an erase, a deallocation or a resize removed.  False if there was
 * none.  The removal itself takes hardly longer for a large medium, as the pages go here, and
 * here without the owner's lock.
 */
bool vfmig_media_free_erased(struct vfmig_media *media)
{
	struct vfmig_media_chunk *chunk;
	bool last = false;

	if (list_empty(&media->erased))
		return false;
	scoped_guard(spinlock, &media->lock) {
		chunk = list_first_entry_or_null(&media->erased, struct vfmig_media_chunk, all);
		if (chunk) {
			list_del(&chunk->all);
			last = list_empty(&media->erased);
		}
	}
	if (!chunk)
		return false;
	chunk_free(chunk);
	/* After that: who needs a granule knows until then that there will be one */
	if (last)
		vfmig_media_count_erased(-1);
	return true;
}

void vfmig_media_free_all_erased(struct vfmig_media *media)
{
	while (vfmig_media_free_erased(media))
		cond_resched();
}

/* What @from has to free is for @media to free */
void vfmig_media_move_erased(struct vfmig_media *media, struct vfmig_media *from)
{
	LIST_HEAD(chunks);

	scoped_guard(spinlock, &from->lock)
		list_splice_init(&from->erased, &chunks);
	if (list_empty(&chunks))
		return;
	scoped_guard(spinlock, &media->lock)
		add_erased(media, &chunks);
	vfmig_media_count_erased(-1);
}

/* 0, -ENOSPC if the limit is met, -ENOMEM if it is met but memory is on its way back */
static int take_granule(struct vfmig_media *media)
{
	if (vfmig_media_take_granule())
		return 0;
	if (vfmig_media_free_erased(media) && vfmig_media_take_granule())
		return 0;
	return vfmig_media_any_erased() ? -ENOMEM : -ENOSPC;
}

/*
 * Counts as much as a granule does.  A new chunk frees an erased one first, so both together
 * are never more than the medium has place for.
 */
static struct vfmig_media_chunk *chunk_alloc(struct vfmig_media *media)
{
	struct vfmig_media_chunk *chunk;
	int ret;

	vfmig_media_free_erased(media);
	ret = take_granule(media);
	if (ret)
		return ERR_PTR(ret);
	chunk = kzalloc(sizeof(*chunk), VFMIG_MEDIA_GFP);
	if (chunk)
		return chunk;
	vfmig_media_give_granules(1);
	return ERR_PTR(-ENOMEM);
}

void vfmig_media_destroy(struct vfmig_media *media)
{
	if (!media->chunks)
		return;
	mutex_destroy(&media->reinit_lock);
	scoped_guard(spinlock, &media->lock)
		add_erased(media, &media->all);
	vfmig_media_free_all_erased(media);
	kvfree(media->chunks);
	media->chunks = NULL;
}

/* Or an ERR_PTR */
static struct vfmig_media_chunk *chunk_get(struct vfmig_media *media, u64 offset)
{
	struct vfmig_media_chunk **slot = chunk_slot(media, offset);
	struct vfmig_media_chunk *chunk = *slot;

	if (chunk)
		return chunk;

	chunk = chunk_alloc(media);
	if (IS_ERR(chunk))
		return chunk;
	chunk->index = chunk_index(offset);
	INIT_LIST_HEAD(&chunk->dirty_entry);

	scoped_guard(spinlock, &media->lock) {
		chunk->session = media->session;
		list_add_tail(&chunk->all, &media->all);
		*slot = chunk;
	}
	return chunk;
}

/*
 * Free @chunk if there is nothing in it.  Not in a session, which may have to tell a
 * destination what went: vfmig_media_reap() comes after it.
 */
static void chunk_reap(struct vfmig_media *media, struct vfmig_media_chunk *chunk)
{
	if (!bitmap_empty(chunk->present, VFMIG_CHUNK_GRANULES))
		return;
	if (READ_ONCE(media->tracking)) {
		WRITE_ONCE(media->emptied, true);
		return;
	}

	scoped_guard(spinlock, &media->lock) {
		media->chunks[chunk->index] = NULL;
		list_del(&chunk->all);
	}
	chunk_free(chunk);
}

/* A session is over: free the chunks that were emptied in it */
void vfmig_media_reap(struct vfmig_media *media)
{
	struct vfmig_media_chunk *chunk, *next;

	WRITE_ONCE(media->emptied, false);
	list_for_each_entry_safe(chunk, next, &media->all, all) {
		chunk_reap(media, chunk);
		cond_resched();
	}
}

/* The page of the granule at @offset, or NULL if it reads as zeroes */
struct page *vfmig_media_lookup(struct vfmig_media *media, u64 offset)
{
	struct vfmig_media_chunk *chunk = *chunk_slot(media, offset);

	return chunk ? chunk->pages[granule_bit(offset)] : NULL;
}

/* The page that a new granule will have; -ENOSPC where the limit is met, -ENOMEM */
static int granule_alloc(struct vfmig_media *media, struct page **page)
{
	int ret = take_granule(media);

	if (ret)
		return ret;
	*page = alloc_page(VFMIG_MEDIA_GFP | __GFP_ZERO);
	if (*page)
		return 0;
	vfmig_media_give_granules(1);
	return -ENOMEM;
}

/*
 * Get a page for data to go into the granule at @offset; -ENOSPC where all media together have
 * what they may have, -ENOMEM where it is worth trying again
 */
int vfmig_media_write_begin(struct vfmig_media *media, u64 offset,
			    struct vfmig_media_write *write)
{
	struct vfmig_media_chunk *chunk = chunk_get(media, offset);
	int ret;

	if (IS_ERR(chunk))
		return PTR_ERR(chunk);

	write->offset = offset;
	write->page = chunk->pages[granule_bit(offset)];
	write->fresh = !write->page;
	if (!write->fresh)
		return 0;
	ret = granule_alloc(media, &write->page);
	if (ret)
		chunk_reap(media, chunk);
	return ret;
}

/* The data is in, or as much of it as could be had */
void vfmig_media_write_end(struct vfmig_media *media, struct vfmig_media_write *write)
{
	struct vfmig_media_chunk *chunk = *chunk_slot(media, write->offset);
	unsigned int bit = granule_bit(write->offset);
	bool first = false;

	if (!write->fresh) {
		if (READ_ONCE(media->tracking))
			vfmig_media_note(media, chunk, bit);
		return;
	}

	scoped_guard(spinlock, &media->lock) {
		if (media->tracking)
			vfmig_media_track_sync(media, chunk);
		chunk->pages[bit] = write->page;
		vfmig_bit_set(chunk->present, bit, &media->allocated.granules,
			      &media->allocated.data_runs);
		if (media->tracking)
			first = vfmig_media_track_fresh(media, chunk, bit);
	}
	if (first && media->became_dirty)
		media->became_dirty(media);
}

/* The page goes.  It is the caller's to give it back to the limit, or to another page. */
static void granule_deallocate(struct vfmig_media *media, struct vfmig_media_chunk *chunk,
			       unsigned int bit)
{
	struct page *page = chunk->pages[bit];
	bool first = false;

	scoped_guard(spinlock, &media->lock) {
		if (media->tracking)
			vfmig_media_track_sync(media, chunk);
		chunk->pages[bit] = NULL;
		vfmig_bit_clear(chunk->present, bit, &media->allocated.granules,
				&media->allocated.data_runs);
		if (media->tracking)
			first = vfmig_media_track_hole(media, chunk, bit);
	}
	put_page(page);
	if (first && media->became_dirty)
		media->became_dirty(media);
}

static void granule_zero(struct vfmig_media *media, u64 offset, unsigned int from,
			 unsigned int length)
{
	struct vfmig_media_write write = {
		.offset = offset,
		.page = vfmig_media_lookup(media, offset),
	};

	memzero_page(write.page, from, length);
	vfmig_media_write_end(media, &write);
}

/* Move @chunk to @chunks; what is in it counts no more.  The lock is held. */
static void take_out(struct vfmig_media *media, struct vfmig_media_chunk *chunk,
		     struct list_head *chunks)
{
	list_move_tail(&chunk->all, chunks);
	media->allocated.granules -= bitmap_weight(chunk->present, VFMIG_CHUNK_GRANULES);
	media->allocated.data_runs -= vfmig_bitmap_runs(chunk->present);
}

/* Remove @chunk with all that is in it.  Only where no session has to know what went. */
static void chunk_remove(struct vfmig_media *media, struct vfmig_media_chunk *chunk)
{
	LIST_HEAD(chunks);

	spin_lock(&media->lock);
	media->chunks[chunk->index] = NULL;
	take_out(media, chunk, &chunks);
	add_erased(media, &chunks);
	spin_unlock(&media->lock);
}

/*
 * Make the first of @length bytes at @offset read as zeroes, those in one chunk: returns how
 * many.  With @deallocate whole granules give their memory back.  What was never written
 * reads as zeroes already.
 */
u64 vfmig_media_zero_piece(struct vfmig_media *media, u64 offset, u64 length, bool deallocate)
{
	struct vfmig_media_chunk *chunk = *chunk_slot(media, offset);
	u64 left = min(length, VFMIG_CHUNK_SIZE - offset % VFMIG_CHUNK_SIZE), piece = left;

	if (!chunk)
		return piece;

	vfmig_media_settle(media);
	if (deallocate && piece == VFMIG_CHUNK_SIZE && !READ_ONCE(media->tracking)) {
		chunk_remove(media, chunk);
		return piece;
	}
	while (left && !bitmap_empty(chunk->present, VFMIG_CHUNK_GRANULES)) {
		unsigned int from = offset % VFMIG_GRANULE, bit = granule_bit(offset);
		unsigned int n = min_t(u64, left, VFMIG_GRANULE - from);

		if (chunk->pages[bit]) {
			if (deallocate && n == VFMIG_GRANULE) {
				granule_deallocate(media, chunk, bit);
				vfmig_media_give_granules(1);
			} else {
				granule_zero(media, offset - from, from, n);
			}
		}
		offset += n;
		left -= n;
	}
	chunk_reap(media, chunk);
	return piece;
}

/* All of it */
void vfmig_media_zero(struct vfmig_media *media, u64 offset, u64 length, bool deallocate)
{
	while (length) {
		u64 piece = vfmig_media_zero_piece(media, offset, length, deallocate);

		offset += piece;
		length -= piece;
		cond_resched();
	}
}

/*
 * Make all of it read as zeroes, at a stroke.  Takes as long for a full medium as for an empty
 * one: it clears 8 bytes for each MiB.  The caller frees what was erased, without its lock.
 */
void vfmig_media_erase(struct vfmig_media *media)
{
	bool first = false;

	vfmig_media_settle(media);
	scoped_guard(spinlock, &media->lock) {
		if (media->tracking)
			first = vfmig_media_track_erase(media);
		if (!list_empty(&media->all))
			memset(media->chunks, 0,
			       chunk_index(media->size) * sizeof(*media->chunks));
		add_erased(media, &media->all);
		media->allocated = (struct vfmig_mem_count) {};
	}
	if (first && media->became_dirty)
		media->became_dirty(media);
}

/* @chunk lies beyond the end of a medium that is about to become smaller */
static void chunk_cut_off(struct vfmig_media *media, struct vfmig_media_chunk *chunk,
			  struct list_head *cut)
{
	spin_lock(&media->lock);
	take_out(media, chunk, cut);
	spin_unlock(&media->lock);
}

/* Make it @size bytes, and say what that leaves to be read.  True if a session is on. */
static bool reinit_resized(struct vfmig_media *media, u64 size, struct vfmig_media_chunk **table)
{
	struct vfmig_media_chunk *chunk, *next;
	u64 old_size = media->size;
	LIST_HEAD(cut);

	guard(mutex)(&media->reinit_lock);
	list_for_each_entry_safe(chunk, next, &media->all, all) {
		if (chunk->index < chunk_index(size))
			table[chunk->index] = chunk;
		else
			chunk_cut_off(media, chunk, &cut);
		cond_resched();
	}
	scoped_guard(spinlock, &media->lock) {
		swap(media->chunks, table);
		media->size = size;
		add_erased(media, &cut);
	}
	kvfree(table);
	if (!media->tracking)
		return false;

	vfmig_media_reinit_begin(media, old_size);
	list_for_each_entry(chunk, &media->all, all) {
		vfmig_media_reinit_chunk(media, chunk);
		cond_resched();
	}
	vfmig_media_reinit_end(media);
	return true;
}

/*
 * Make it @size bytes, with @table of vfmig_media_new_table(), which is the medium's
 * from now on.  What is new reads as zeroes.  Costs O(what was written); the caller frees what
 * was cut off, without its lock.
 */
void vfmig_media_resize(struct vfmig_media *media, u64 size, struct vfmig_media_chunk **table)
{
	bool news;

	vfmig_media_settle(media);
	news = reinit_resized(media, size, table);
	if (news && media->became_dirty)
		media->became_dirty(media);
}

/*
 * The granule at @offset shall be @page, which is the medium's from now on; -ENOMEM, -ENOSPC
 * where all media together have what they may have
 */
int vfmig_media_load_page(struct vfmig_media *media, u64 offset, struct page *page)
{
	struct vfmig_media_write write = { .offset = offset, .page = page, .fresh = true };
	struct vfmig_media_chunk *chunk = chunk_get(media, offset);
	unsigned int bit = granule_bit(offset);
	int ret = 0;

	if (IS_ERR(chunk))
		return PTR_ERR(chunk);
	if (chunk->pages[bit])
		granule_deallocate(media, chunk, bit);
	else
		ret = take_granule(media);
	if (!ret)
		vfmig_media_write_end(media, &write);
	return ret;
}

/* Exchange the contents of two media of one size; ends a session of @media */
void vfmig_media_swap(struct vfmig_media *media, struct vfmig_media *other)
{
	LIST_HEAD(all);

	vfmig_media_track_stop(media);

	spin_lock(&media->lock);
	swap(media->chunks, other->chunks);
	swap(media->allocated, other->allocated);
	list_splice_init(&media->all, &all);
	list_splice_init(&other->all, &media->all);
	list_splice(&all, &other->all);
	spin_unlock(&media->lock);
}
