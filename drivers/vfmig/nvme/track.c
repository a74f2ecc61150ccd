// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracking of what a migration has still to read of a medium.
 *
 * A granule is in at most one of three sets: initial (allocated when the session
 * began and not taken yet), dirty (changed since it was taken) and hole
 * (deallocated since it was taken).  To take a run clears its bits.  The sums
 * over all chunks are kept with each bit, so that a question for them is O(1);
 * chunks with something to take are on a list or under a cursor, so that to find
 * the next run costs nothing for memory that does not change.
 *
 * A session begins and ends without a walk over the chunks: each chunk has the
 * number of the session that it was last touched in, and what it holds of
 * another one counts as "initial is what is present, nothing is dirty".
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
	bitmap_zero(chunk->dirty, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->hole, VFMIG_CHUNK_GRANULES);
	chunk->sweep = 0;
	INIT_LIST_HEAD(&chunk->dirty_entry);
}

static bool nothing_pending(const struct vfmig_mem_pending *pending)
{
	return !pending->initial.granules && !pending->dirty.granules &&
	       !pending->dirty.hole_runs;
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

static bool take_initial(struct vfmig_media *media, struct vfmig_mem_run *run)
{
	struct vfmig_mem_count *count = &media->pending.initial;
	unsigned int first;

	while (count->granules && media->cursor) {
		struct vfmig_media_chunk *chunk = media->cursor;

		vfmig_media_track_sync(media, chunk);
		first = find_first_bit(chunk->initial, VFMIG_CHUNK_GRANULES);
		if (first < VFMIG_CHUNK_GRANULES) {
			take_run(chunk, chunk->initial, first, &count->granules,
				 &count->data_runs, run);
			run->hole = false;
			run->initial = true;
			return true;
		}
		media->cursor = list_is_last(&chunk->all, &media->all) ? NULL :
				list_next_entry(chunk, all);
	}
	return false;
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

/*
 * Sweeps over each chunk, and over the chunks in turn, so that a granule which
 * is written all the time does not keep the others waiting.
 */
static bool take_dirty(struct vfmig_media *media, struct vfmig_mem_run *run)
{
	struct vfmig_mem_count *count = &media->pending.dirty;
	struct vfmig_media_chunk *chunk;
	unsigned int data, hole;
	u64 holes = VFMIG_CHUNK_GRANULES;

	while ((chunk = list_first_entry_or_null(&media->dirty, struct vfmig_media_chunk,
						 dirty_entry))) {
		data = find_run(chunk->dirty, chunk->sweep);
		hole = find_run(chunk->hole, chunk->sweep);
		run->initial = false;
		run->hole = hole < data;
		if (run->hole)
			take_run(chunk, chunk->hole, hole, &holes, &count->hole_runs, run);
		else if (data < VFMIG_CHUNK_GRANULES)
			take_run(chunk, chunk->dirty, data, &count->granules, &count->data_runs,
				 run);
		if (min(data, hole) < VFMIG_CHUNK_GRANULES) {
			chunk->sweep = min(data, hole) + run->length / VFMIG_GRANULE;
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

	if (offset >= media->size)
		return NULL;

	spin_lock(&media->lock);
	chunk = media->chunks[offset >> VFMIG_CHUNK_SHIFT];
	if (chunk)
		page = chunk->pages[(offset & (VFMIG_CHUNK_SIZE - 1)) / VFMIG_GRANULE];
	if (page)
		get_page(page);
	spin_unlock(&media->lock);
	return page;
}
