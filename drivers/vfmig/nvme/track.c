// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracking of what a migration has still to read of a medium.
 *
 * A granule is in at most one of four sets: initial (allocated when the session
 * began and not taken yet), dirty (changed since it was taken), hole (deallocated
 * since it was taken) and initial hole (taken, or dirty, or a hole when the medium
 * was erased, and not written since).  To take a run clears its bits.  The sums
 * over all chunks are kept with each bit, so that a question for them is O(1);
 * chunks with something to take are on a list or under a cursor, so that to find
 * the next run costs nothing for memory that does not change.
 *
 * A session begins and ends without a walk over the chunks: each chunk has the
 * number of the session that it was last touched in, and what it holds of
 * another one counts as "initial is what is present, nothing is dirty".  An erase
 * does walk over them: it has their pages to free anyway.
 */
#include <linux/mm.h>

#include "media.h"

/* Bring the tracking state of @chunk to this session */
void vfmig_media_track_sync(struct vfmig_media *media, struct vfmig_media_chunk *chunk)
{
	if (chunk->session == media->session)
		return;

	chunk->session = media->session;
	bitmap_copy(chunk->initial, chunk->present, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->initial_hole, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->dirty, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->hole, VFMIG_CHUNK_GRANULES);
	chunk->sweep = 0;
	INIT_LIST_HEAD(&chunk->dirty_entry);
}

static bool nothing_pending(const struct vfmig_mem_pending *pending)
{
	return !pending->initial.granules && !pending->initial.hole_runs &&
	       !pending->dirty.granules && !pending->dirty.hole_runs;
}

static void add_dirty(struct vfmig_media *media, struct vfmig_media_chunk *chunk)
{
	if (list_empty(&chunk->dirty_entry))
		list_add_tail(&chunk->dirty_entry, &media->dirty);
}

/*
 * Granule @bit of @chunk, which is in sync, was written.  True if something is
 * pending now where nothing was.
 */
bool vfmig_media_track_write(struct vfmig_media *media, struct vfmig_media_chunk *chunk,
			     unsigned int bit)
{
	struct vfmig_mem_count *count = &media->pending.dirty;
	bool first = nothing_pending(&media->pending);
	u64 holes = 0;

	if (test_bit(bit, chunk->initial))
		return false;

	vfmig_bit_clear(chunk->initial_hole, bit, &holes, &media->pending.initial.hole_runs);
	vfmig_bit_clear(chunk->hole, bit, &holes, &count->hole_runs);
	vfmig_bit_set(chunk->dirty, bit, &count->granules, &count->data_runs);
	add_dirty(media, chunk);
	return first;
}

/* The same for a granule that was deallocated: one that was never taken needs no hole */
bool vfmig_media_track_hole(struct vfmig_media *media, struct vfmig_media_chunk *chunk,
			    unsigned int bit)
{
	struct vfmig_mem_count *count = &media->pending.dirty;
	bool first = nothing_pending(&media->pending);
	u64 holes = 0;

	if (test_bit(bit, chunk->initial)) {
		vfmig_bit_clear(chunk->initial, bit, &media->pending.initial.granules,
				&media->pending.initial.data_runs);
		return false;
	}

	vfmig_bit_clear(chunk->dirty, bit, &count->granules, &count->data_runs);
	vfmig_bit_set(chunk->hole, bit, &holes, &count->hole_runs);
	add_dirty(media, chunk);
	return first;
}

/*
 * All that is in @chunk was deallocated.  True if a destination has to hear of it
 * that knew nothing of an erase of @chunk before.
 */
bool vfmig_media_track_erase(struct vfmig_media *media, struct vfmig_media_chunk *chunk)
{
	DECLARE_BITMAP(holes, VFMIG_CHUNK_GRANULES);
	bool news;

	vfmig_media_track_sync(media, chunk);
	bitmap_or(holes, chunk->present, chunk->hole, VFMIG_CHUNK_GRANULES);
	bitmap_andnot(holes, holes, chunk->initial, VFMIG_CHUNK_GRANULES);
	news = !bitmap_empty(holes, VFMIG_CHUNK_GRANULES);

	bitmap_or(chunk->initial_hole, chunk->initial_hole, holes, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->initial, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->dirty, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->hole, VFMIG_CHUNK_GRANULES);
	list_del_init(&chunk->dirty_entry);
	media->pending.initial.hole_runs += vfmig_bitmap_runs(chunk->initial_hole);
	return news;
}

/*
 * An erase begins: nothing is pending until vfmig_media_track_erase() says what
 * is.  True if nothing was.
 */
bool vfmig_media_track_forget(struct vfmig_media *media)
{
	bool nothing;

	spin_lock(&media->lock);
	nothing = nothing_pending(&media->pending);
	media->pending.initial = (struct vfmig_mem_count) {};
	media->pending.dirty = (struct vfmig_mem_count) {};
	spin_unlock(&media->lock);
	return nothing;
}

/* An erase is over that a destination has to hear of */
void vfmig_media_track_reinit(struct vfmig_media *media)
{
	spin_lock(&media->lock);
	media->pending.reinits++;
	media->cursor = list_first_entry_or_null(&media->all, struct vfmig_media_chunk, all);
	spin_unlock(&media->lock);
}

/* What a full copy would read; O(1) */
void vfmig_media_count(struct vfmig_media *media, struct vfmig_mem_count *count)
{
	spin_lock(&media->lock);
	*count = media->allocated;
	spin_unlock(&media->lock);
}

/* Begin a session, with the owner's serialisation held; -EBUSY */
int vfmig_media_track_start(struct vfmig_media *media)
{
	int ret = -EBUSY;

	spin_lock(&media->lock);
	if (!media->tracking) {
		media->session++;
		media->tracking = true;
		media->cursor = list_first_entry_or_null(&media->all, struct vfmig_media_chunk,
							 all);
		media->pending = (struct vfmig_mem_pending) { .initial = media->allocated };
		ret = 0;
	}
	spin_unlock(&media->lock);
	return ret;
}

/* End a session if one is on */
void vfmig_media_track_stop(struct vfmig_media *media)
{
	guard(mutex)(&media->erase_lock);
	spin_lock(&media->lock);
	media->tracking = false;
	media->cursor = NULL;
	media->pending = (struct vfmig_mem_pending) {};
	INIT_LIST_HEAD(&media->dirty);
	spin_unlock(&media->lock);
}

/* What vfmig_media_next() has still to give; O(1) */
void vfmig_media_pending(struct vfmig_media *media, struct vfmig_mem_pending *pending)
{
	guard(mutex)(&media->erase_lock);
	spin_lock(&media->lock);
	*pending = media->pending;
	spin_unlock(&media->lock);
}

/* Take the run of @map that begins at @first, which is set */
static void take_run(struct vfmig_media_chunk *chunk, unsigned long *map, unsigned int first,
		     u64 *granules, u64 *runs, struct vfmig_mem_run *run)
{
	unsigned int end = find_next_zero_bit(map, VFMIG_CHUNK_GRANULES, first);

	bitmap_clear(map, first, end - first);
	*granules -= end - first;
	*runs -= 1;

	run->offset = (chunk->index << VFMIG_CHUNK_SHIFT) + (u64)first * VFMIG_GRANULE;
	run->length = (end - first) * VFMIG_GRANULE;
}

/* First bit of the run of @map at or after @from, whose head may lie before @from */
static unsigned int find_run(const unsigned long *map, unsigned int from)
{
	unsigned int first = find_next_bit(map, VFMIG_CHUNK_GRANULES, from);

	if (first == VFMIG_CHUNK_GRANULES)
		return first;
	while (first > 0 && test_bit(first - 1, map))
		first--;
	return first;
}

/* Take the first run from @from on, of @data or @holes; false if there is none */
static bool take_first(struct vfmig_media_chunk *chunk, unsigned long *data,
		       unsigned long *holes, unsigned int from, struct vfmig_mem_count *count,
		       struct vfmig_mem_run *run)
{
	unsigned int data_bit = find_run(data, from), hole_bit = find_run(holes, from);
	u64 hole_granules = VFMIG_CHUNK_GRANULES;	/* which nobody counts */

	run->hole = hole_bit < data_bit;
	if (run->hole)
		take_run(chunk, holes, hole_bit, &hole_granules, &count->hole_runs, run);
	else if (data_bit < VFMIG_CHUNK_GRANULES)
		take_run(chunk, data, data_bit, &count->granules, &count->data_runs, run);
	else
		return false;
	return true;
}

static bool take_initial(struct vfmig_media *media, struct vfmig_mem_run *run)
{
	struct vfmig_mem_count *count = &media->pending.initial;

	run->initial = true;
	while ((count->granules || count->hole_runs) && media->cursor) {
		struct vfmig_media_chunk *chunk = media->cursor;

		vfmig_media_track_sync(media, chunk);
		if (take_first(chunk, chunk->initial, chunk->initial_hole, 0, count, run))
			return true;
		media->cursor = list_is_last(&chunk->all, &media->all) ? NULL :
				list_next_entry(chunk, all);
	}
	return false;
}

/*
 * Sweeps over each chunk, and over the chunks in turn, so that a granule which
 * is written all the time does not keep the others waiting.
 */
static bool take_dirty(struct vfmig_media *media, struct vfmig_mem_run *run)
{
	struct vfmig_mem_count *count = &media->pending.dirty;
	struct vfmig_media_chunk *chunk;

	run->initial = false;
	while ((chunk = list_first_entry_or_null(&media->dirty, struct vfmig_media_chunk,
						 dirty_entry))) {
		if (take_first(chunk, chunk->dirty, chunk->hole, chunk->sweep, count, run)) {
			u64 end = run->offset + run->length;

			chunk->sweep = (end - (chunk->index << VFMIG_CHUNK_SHIFT)) / VFMIG_GRANULE;
			return true;
		}

		chunk->sweep = 0;
		if (bitmap_empty(chunk->dirty, VFMIG_CHUNK_GRANULES) &&
		    bitmap_empty(chunk->hole, VFMIG_CHUNK_GRANULES))
			list_del_init(&chunk->dirty_entry);
		else
			list_move_tail(&chunk->dirty_entry, &media->dirty);
	}
	return false;
}

/* Take the next run, initial ones first; false if nothing is pending */
bool vfmig_media_next(struct vfmig_media *media, struct vfmig_mem_run *run)
{
	bool taken;

	guard(mutex)(&media->erase_lock);
	spin_lock(&media->lock);
	taken = media->tracking && (take_initial(media, run) || take_dirty(media, run));
	spin_unlock(&media->lock);
	return taken;
}

/* The page at @offset with a reference, or NULL if the granule reads as zeroes */
struct page *vfmig_media_get_page(struct vfmig_media *media, u64 offset)
{
	struct vfmig_media_chunk *chunk;
	struct page *page = NULL;
	unsigned int bit;

	if (offset >= media->size)
		return NULL;

	spin_lock(&media->lock);
	chunk = media->chunks[offset >> VFMIG_CHUNK_SHIFT];
	bit = (offset & (VFMIG_CHUNK_SIZE - 1)) / VFMIG_GRANULE;
	/* An erase clears the bit first, and forgets the page without the lock */
	if (chunk && test_bit(bit, chunk->present)) {
		page = chunk->pages[bit];
		get_page(page);
	}
	spin_unlock(&media->lock);
	return page;
}
