// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracking of what a migration has still to read of a device's memory.
 *
 * A granule is in at most one of five sets: initial (allocated when the session
 * began and not taken yet), dirty (changed since it was taken), hole (deallocated
 * since it was taken), and of these two what was in them when the memory was
 * resized: reinit and reinit hole.  One in reinit hole can also be dirty: the hole
 * is taken first.  To take a run clears its bits.  The sums
 * over all chunks are kept with each bit, so that a question for them is O(1);
 * chunks with something to take are on a list or under a cursor, so that to find
 * the next run costs nothing for memory that does not change.
 *
 * An erase empties all five sets.  It leaves one hole over the whole memory, which is
 * taken before anything else.
 *
 * A session begins and ends without a walk over the chunks: each chunk has the
 * number of the session that it was last touched in, and what it holds of
 * another one counts as "initial is what is present, nothing is dirty".  An erase
 * needs no walk either.  A resize walks over the chunks: the host asks for it, no guest.
 */
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "memory.h"

/* Chunks without anything to take that one holder of the lock passes */
#define VFMIG_TRACK_SKIP	64

/* Bring the tracking state of @chunk to this session */
void vfmig_memory_track_sync(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk)
{
	if (chunk->session == mem->session)
		return;

	bitmap_copy(chunk->initial, chunk->present, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->reinit, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->reinit_hole, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->dirty, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->hole, VFMIG_CHUNK_GRANULES);
	chunk->sweep = 0;
	INIT_LIST_HEAD(&chunk->dirty_entry);
	chunk->session = mem->session;
}

static bool nothing_of(const struct vfmig_mem_count *count)
{
	return !count->granules && !count->hole_runs;
}

static bool nothing_pending(const struct vfmig_mem_pending *pending)
{
	return nothing_of(&pending->dirty) && nothing_of(&pending->initial) &&
	       nothing_of(&pending->reinit);
}

static void add_dirty(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk)
{
	if (list_empty(&chunk->dirty_entry))
		list_add_tail(&chunk->dirty_entry, &mem->dirty);
}

/*
 * Granule @bit of @chunk, which is in sync and with nothing of it pending but a hole,
 * was written.  True if something is pending now where nothing was.
 */
static bool mark_dirty(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk,
		       unsigned int bit)
{
	struct vfmig_mem_count *count = &mem->pending.dirty;
	bool first = nothing_pending(&mem->pending);

	vfmig_bit_set(chunk->dirty, bit, &count->granules, &count->data_runs);
	add_dirty(mem, chunk);
	return first;
}

/* Is granule @bit of @chunk still to be read anyway? */
static bool is_pending(const struct vfmig_memory *mem, const struct vfmig_memory_chunk *chunk,
		       unsigned int bit)
{
	unsigned int word = BIT_WORD(bit);

	/* A chunk that this session has not touched has all that is present as initial */
	return chunk->session != mem->session ||
	       ((chunk->dirty[word] | chunk->initial[word] | chunk->reinit[word]) &
		BIT_MASK(bit));
}

/* With the lock held.  True if something is pending now where nothing was. */
static bool mark_notes(struct vfmig_memory *mem)
{
	bool first = false;

	for (unsigned int i = 0; i < mem->nr_notes; i++) {
		const struct vfmig_memory_note *note = &mem->notes[i];

		if (!is_pending(mem, note->chunk, note->bit))
			first |= mark_dirty(mem, note->chunk, note->bit);
	}
	return first;
}

/*
 * Mark the recorded writes dirty, unless the session is over by now.  The owner calls this
 * before it reports a write as complete, before it releases its lock, and before it removes
 * pages.
 *
 * The data is written before the lock is taken.  A reader that took the granule before this
 * function marks it may have read old data: the mark makes the granule dirty again.  If this
 * function finds the granule still pending, a reader takes it later and reads the new data.
 */
void vfmig_memory_settle(struct vfmig_memory *mem)
{
	bool first = false;

	if (!mem->nr_notes)
		return;
	scoped_guard(spinlock, &mem->lock) {
		if (mem->tracking)
			first = mark_notes(mem);
	}
	mem->nr_notes = 0;
	if (first && mem->became_dirty)
		mem->became_dirty(mem);
}

/* Granule @bit of @chunk, which had a page before, was written in a session */
void vfmig_memory_note(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk,
		       unsigned int bit)
{
	mem->notes[mem->nr_notes++] = (struct vfmig_memory_note) { chunk, bit };
	if (mem->nr_notes == VFMIG_MEMORY_NOTES)
		vfmig_memory_settle(mem);
}

/*
 * Granule @bit of @chunk, which is in sync, got a page with data.  True if something is
 * pending now where nothing was.
 *
 * It is no hole any more, but stays in a hole that is new initial data: to take it out could
 * split that hole, and initial data does not grow by itself.
 */
bool vfmig_memory_track_fresh(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk,
			      unsigned int bit)
{
	bool first = mark_dirty(mem, chunk, bit);
	u64 holes = 0;

	vfmig_bit_clear(chunk->hole, bit, &holes, &mem->pending.dirty.hole_runs);
	return first;
}

/*
 * Granule @bit of @chunk, which is in sync, was deallocated: what was never taken needs no
 * hole.  True if something is pending now where nothing was.
 */
bool vfmig_memory_track_hole(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk,
			     unsigned int bit)
{
	struct vfmig_mem_count *count = &mem->pending.dirty;
	bool first = nothing_pending(&mem->pending);
	u64 holes = 0;

	if (test_bit(bit, chunk->initial)) {
		vfmig_bit_clear(chunk->initial, bit, &mem->pending.initial.granules,
				&mem->pending.initial.data_runs);
		return false;
	}

	vfmig_bit_clear(chunk->reinit, bit, &mem->pending.reinit.granules,
			&mem->pending.reinit.data_runs);
	vfmig_bit_clear(chunk->dirty, bit, &count->granules, &count->data_runs);
	/* The destination will hear of that hole */
	if (test_bit(bit, chunk->reinit_hole))
		return false;
	vfmig_bit_set(chunk->hole, bit, &holes, &count->hole_runs);
	add_dirty(mem, chunk);
	return first;
}

/*
 * A destination may have data from @from on, and there is none any more.  True if that is
 * more than it was to be told before.
 */
static bool forget_from(struct vfmig_memory *mem, u64 from)
{
	if (mem->sent_end <= from || mem->forget <= from)
		return false;
	mem->forget = from;
	return true;
}

/*
 * The memory is erased: of all that was pending, and of all that was taken, there is nothing
 * but one hole.  True if something is pending now where nothing was.
 */
bool vfmig_memory_track_erase(struct vfmig_memory *mem)
{
	bool first = nothing_pending(&mem->pending), news = forget_from(mem, 0);

	mem->pending = (struct vfmig_mem_pending) {
		.reinit.hole_runs = mem->forget != VFMIG_MEMORY_FORGET_NOTHING,
		.reinits = mem->pending.reinits + news,
	};
	mem->cursor = NULL;
	INIT_LIST_HEAD(&mem->dirty);
	return first && news;
}

/*
 * The memory was of @old_size, and is resized: nothing is pending until
 * vfmig_memory_reinit_chunk() says what is, but what a destination has beyond the old end
 * since the memory was that large before.
 */
void vfmig_memory_reinit_begin(struct vfmig_memory *mem, u64 old_size)
{
	spin_lock(&mem->lock);
	if (mem->size > old_size)
		forget_from(mem, old_size);
	else if (mem->forget >= mem->size)
		mem->forget = VFMIG_MEMORY_FORGET_NOTHING;
	mem->pending = (struct vfmig_mem_pending) {
		.reinit.hole_runs = mem->forget != VFMIG_MEMORY_FORGET_NOTHING,
		.reinits = mem->pending.reinits,
	};
	INIT_LIST_HEAD(&mem->dirty);
	spin_unlock(&mem->lock);
}

static void add_counts(const unsigned long *map, struct vfmig_mem_count *count)
{
	count->granules += bitmap_weight(map, VFMIG_CHUNK_GRANULES);
	count->data_runs += vfmig_bitmap_runs(map);
}

/* What was dirty in @chunk is new initial data */
void vfmig_memory_reinit_chunk(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk)
{
	struct vfmig_mem_pending *pending = &mem->pending;

	spin_lock(&mem->lock);
	vfmig_memory_track_sync(mem, chunk);
	bitmap_or(chunk->reinit, chunk->reinit, chunk->dirty, VFMIG_CHUNK_GRANULES);
	bitmap_or(chunk->reinit_hole, chunk->reinit_hole, chunk->hole, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->dirty, VFMIG_CHUNK_GRANULES);
	bitmap_zero(chunk->hole, VFMIG_CHUNK_GRANULES);
	INIT_LIST_HEAD(&chunk->dirty_entry);

	add_counts(chunk->initial, &pending->initial);
	add_counts(chunk->reinit, &pending->reinit);
	pending->reinit.hole_runs += vfmig_bitmap_runs(chunk->reinit_hole);
	spin_unlock(&mem->lock);
}

/* That is all, and a destination has to hear of it */
void vfmig_memory_reinit_end(struct vfmig_memory *mem)
{
	spin_lock(&mem->lock);
	mem->pending.reinits++;
	mem->cursor = list_first_entry_or_null(&mem->all, struct vfmig_memory_chunk, all);
	spin_unlock(&mem->lock);
}

/* What a full copy would read; O(1) */
void vfmig_memory_count(struct vfmig_memory *mem, struct vfmig_mem_count *count)
{
	spin_lock(&mem->lock);
	*count = mem->allocated;
	spin_unlock(&mem->lock);
}

/* Begin a session, with the owner's serialisation held; -EBUSY */
int vfmig_memory_track_start(struct vfmig_memory *mem)
{
	int ret = -EBUSY;

	WARN_ON_ONCE(mem->nr_notes);
	spin_lock(&mem->lock);
	if (!mem->tracking) {
		mem->session++;
		WRITE_ONCE(mem->tracking, true);
		mem->cursor = list_first_entry_or_null(&mem->all, struct vfmig_memory_chunk,
						       all);
		mem->sent_end = 0;
		mem->forget = VFMIG_MEMORY_FORGET_NOTHING;
		mem->pending = (struct vfmig_mem_pending) { .initial = mem->allocated };
		ret = 0;
	}
	spin_unlock(&mem->lock);
	return ret;
}

/* End a session if one is on */
void vfmig_memory_track_stop(struct vfmig_memory *mem)
{
	guard(mutex)(&mem->reinit_lock);
	spin_lock(&mem->lock);
	WRITE_ONCE(mem->tracking, false);
	mem->cursor = NULL;
	mem->pending = (struct vfmig_mem_pending) {};
	INIT_LIST_HEAD(&mem->dirty);
	spin_unlock(&mem->lock);
}

/* What vfmig_memory_next() has still to give; O(1) */
void vfmig_memory_pending(struct vfmig_memory *mem, struct vfmig_mem_pending *pending)
{
	guard(mutex)(&mem->reinit_lock);
	spin_lock(&mem->lock);
	*pending = mem->pending;
	pending->memory_size = mem->size;
	spin_unlock(&mem->lock);
}

/* Take the run of @map that begins at @first, which is set */
static void take_run(struct vfmig_memory_chunk *chunk, unsigned long *map, unsigned int first,
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

/* Take the first run from @from on, of @data or @holes (or NULL); false if there is none */
static bool take_first(struct vfmig_memory_chunk *chunk, unsigned long *data,
		       unsigned long *holes, unsigned int from, struct vfmig_mem_count *count,
		       struct vfmig_mem_run *run)
{
	unsigned int hole_bit = holes ? find_run(holes, from) : VFMIG_CHUNK_GRANULES;
	unsigned int data_bit = find_run(data, from);
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

/* Of @chunk, which the cursor is at: new initial data first */
static bool take_initial_of(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk,
			    struct vfmig_mem_run *run)
{
	struct vfmig_mem_pending *pending = &mem->pending;

	vfmig_memory_track_sync(mem, chunk);
	run->kind = VFMIG_MEM_REINIT;
	if (take_first(chunk, chunk->reinit, chunk->reinit_hole, 0, &pending->reinit, run))
		return true;
	run->kind = VFMIG_MEM_INITIAL;
	return take_first(chunk, chunk->initial, NULL, 0, &pending->initial, run);
}

/* What a destination has to forget; true if there is something */
static bool take_forget(struct vfmig_memory *mem, struct vfmig_mem_run *run)
{
	if (mem->forget == VFMIG_MEMORY_FORGET_NOTHING)
		return false;

	*run = (struct vfmig_mem_run) {
		.offset = mem->forget,
		.length = mem->size - mem->forget,
		.hole = true,
		.kind = VFMIG_MEM_REINIT,
	};
	mem->sent_end = min(mem->sent_end, mem->forget);
	mem->forget = VFMIG_MEMORY_FORGET_NOTHING;
	mem->pending.reinit.hole_runs--;
	return true;
}

/*
 * Of the first full copy, or new initial data.  Chunks that were emptied since have
 * none; @skip says how many of those may be passed, 0 after it that they were too many.
 */
static bool take_initial(struct vfmig_memory *mem, struct vfmig_mem_run *run,
			 unsigned int *skip)
{
	struct vfmig_mem_pending *pending = &mem->pending;

	while (mem->cursor && (!nothing_of(&pending->initial) || !nothing_of(&pending->reinit))) {
		struct vfmig_memory_chunk *chunk = mem->cursor;

		if (take_initial_of(mem, chunk, run))
			return true;
		mem->cursor = list_is_last(&chunk->all, &mem->all) ? NULL :
				list_next_entry(chunk, all);
		if (!--*skip)
			return false;
	}
	return false;
}

/*
 * Sweeps over each chunk, and over the chunks in turn, so that a granule which
 * is written all the time does not keep the others waiting.  @skip is as for take_initial():
 * chunks whose dirty granules were deallocated may have nothing left.
 */
static bool take_dirty(struct vfmig_memory *mem, struct vfmig_mem_run *run, unsigned int *skip)
{
	struct vfmig_mem_count *count = &mem->pending.dirty;
	struct vfmig_memory_chunk *chunk;

	run->kind = VFMIG_MEM_DIRTY;
	while ((chunk = list_first_entry_or_null(&mem->dirty, struct vfmig_memory_chunk,
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
			list_move_tail(&chunk->dirty_entry, &mem->dirty);
		if (!--*skip)
			return false;
	}
	return false;
}

/* @skip is as for take_initial() */
static bool take_any(struct vfmig_memory *mem, struct vfmig_mem_run *run, unsigned int *skip)
{
	if (!take_forget(mem, run) && !take_initial(mem, run, skip) &&
	    (!*skip || !take_dirty(mem, run, skip)))
		return false;
	if (!run->hole)
		mem->sent_end = max(mem->sent_end, run->offset + run->length);
	return true;
}

/* Take the next run, dirty ones last; false if nothing is, or it has not @size bytes */
bool vfmig_memory_next(struct vfmig_memory *mem, u64 size, struct vfmig_mem_run *run)
{
	unsigned int skip;
	bool taken;

	guard(mutex)(&mem->reinit_lock);
	do {
		cond_resched();
		skip = VFMIG_TRACK_SKIP;
		spin_lock(&mem->lock);
		taken = mem->tracking && mem->size == size && take_any(mem, run, &skip);
		spin_unlock(&mem->lock);
	} while (!taken && !skip);

	return taken;
}

/* The page at @offset with a reference, or NULL if the granule reads as zeroes */
struct page *vfmig_memory_get_page(struct vfmig_memory *mem, u64 offset)
{
	struct vfmig_memory_chunk *chunk;
	struct page *page = NULL;
	unsigned int bit;

	spin_lock(&mem->lock);
	chunk = offset < mem->size ? mem->chunks[offset >> VFMIG_CHUNK_SHIFT] : NULL;
	bit = (offset & (VFMIG_CHUNK_SIZE - 1)) / VFMIG_GRANULE;
	page = chunk ? chunk->pages[bit] : NULL;
	if (page)
		get_page(page);
	spin_unlock(&mem->lock);
	return page;
}
