/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Device memory that a migration can follow: thin memory in granules of VFMIG_GRANULE bytes,
 * and the tracking of what a migration has still to read of it.  It knows no device model.
 * A load is in load.h.
 *
 * The model that has such a memory is its owner.  The owner's lock serialises all changes.
 */
#ifndef _VFMIG_MEMORY_H
#define _VFMIG_MEMORY_H

#include <linux/bitmap.h>
#include <linux/bits.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/vfmig.h>

#include "spare.h"

/* A chunk is what one MEMORY record can carry: runs never cross a chunk */
#define VFMIG_CHUNK_SHIFT	20
#define VFMIG_CHUNK_SIZE	BIT(VFMIG_CHUNK_SHIFT)
#define VFMIG_CHUNK_GRANULES	(VFMIG_CHUNK_SIZE / VFMIG_GRANULE)

#define VFMIG_MEMORY_FORGET_NOTHING	U64_MAX

/* Writes that are recorded before they are marked dirty together, under one lock */
#define VFMIG_MEMORY_NOTES	32

/**
 * struct vfmig_memory_chunk - 1 MiB of the memory, of which something was written
 * @dirty_entry: entry in &vfmig_memory.dirty, there if @dirty or @hole has a bit
 * @session: the session that the tracking state below, and @dirty_entry, are of
 * @index: offset in the memory, in chunks
 * @dirty: granules that changed since they were taken
 * @initial: granules of the first full copy that were not taken yet
 * @reinit: granules that were dirty when new initial data appeared, and were not
 *	taken since
 * @present: granules with a page
 * @hole: granules that were deallocated since they were taken
 * @reinit_hole: granules that were holes when new initial data appeared, and were not
 *	taken since
 * @all: entry in &vfmig_memory.all
 * @sweep: where in @dirty and @hole the search for the next run goes on
 * @pages: the pages
 *
 * What marking a granule looks at is in the first two cache lines.
 */
struct vfmig_memory_chunk {
	struct list_head dirty_entry;
	u64 session;
	u64 index;
	DECLARE_BITMAP(dirty, VFMIG_CHUNK_GRANULES);
	DECLARE_BITMAP(initial, VFMIG_CHUNK_GRANULES);
	DECLARE_BITMAP(reinit, VFMIG_CHUNK_GRANULES);
	DECLARE_BITMAP(present, VFMIG_CHUNK_GRANULES);
	DECLARE_BITMAP(hole, VFMIG_CHUNK_GRANULES);
	DECLARE_BITMAP(reinit_hole, VFMIG_CHUNK_GRANULES);
	struct list_head all;
	unsigned int sweep;
	struct page *pages[VFMIG_CHUNK_GRANULES];
};

/* A write to a granule that already had a page */
struct vfmig_memory_note {
	struct vfmig_memory_chunk *chunk;
	unsigned int bit;
};

/**
 * struct vfmig_memory - the memory of a device
 * @became_dirty: called when something is pending where nothing was; atomic
 * @notes: writes of this session that are not marked dirty yet.  Only the owner accesses
 *	this array.  It calls vfmig_memory_settle() before it reports any of these writes
 *	as complete.
 * @nr_notes: entries in @notes
 * @emptied: a chunk lost its last page in a session and waits for vfmig_memory_reap().
 *	Only the owner accesses it.
 * @spares: memory for what may not wait
 * @reinit_lock: makes new initial data appear as a whole.  A resize holds it while it counts
 *	what is left to be read; a reader holds it to ask what is pending.  Nests in the
 *	owner's lock.
 * @lock: protects all that follows.  It is never held over a copy of data.  The owner
 *	adds and removes pages and chunks with its own lock held as well,
 *	so the owner can look them up without this one.
 * @size: bytes, a multiple of VFMIG_CHUNK_SIZE
 * @chunks: table of chunks, NULL where nothing was written
 * @all: all chunks, in the order in which they were made.  In a session it also has
 *	chunks that are empty: they know what a destination has to forget.
 * @erased: chunks that an erase, a deallocation or a resize removed, with their pages.  They
 *	wait for vfmig_memory_free_erased().
 * @allocated: all pages
 * @tracking: a session is on.  A session begins, and @session changes, with the owner's
 *	lock held.  So no write is under way then, and the owner reads @tracking without
 *	@lock.
 * @session: number of the last session.  A chunk with another number was not touched in
 *	this session: all its pages are initial, and none is dirty.
 * @cursor: chunk where the search for initial runs goes on, NULL at the end
 * @dirty: chunks with something dirty
 * @sent_end: end of the data that was taken in this session, in bytes: a destination has
 *	none beyond
 * @forget: a destination has to forget what it has from here to the end of the memory,
 *	in bytes; VFMIG_MEMORY_FORGET_NOTHING
 * @pending: what mem_next() has still to give, but for the size
 */
struct vfmig_memory {
	void (*became_dirty)(struct vfmig_memory *mem);

	struct vfmig_memory_note notes[VFMIG_MEMORY_NOTES];
	unsigned int nr_notes;
	bool emptied;
	struct vfmig_spares spares;

	struct mutex reinit_lock;	/* new initial data is seen as a whole */

	spinlock_t lock;	/* all below */
	u64 size;
	struct vfmig_memory_chunk **chunks;
	struct list_head all;
	struct list_head erased;
	struct vfmig_mem_count allocated;
	bool tracking;
	u64 session;
	struct vfmig_memory_chunk *cursor;
	struct list_head dirty;
	u64 sent_end;
	u64 forget;
	struct vfmig_mem_pending pending;
};

/**
 * struct vfmig_memory_write - a write to one granule under way
 * @page: where the data goes
 * @offset: the granule's offset
 * @fresh: the page is not part of the memory yet
 */
struct vfmig_memory_write {
	struct page *page;
	u64 offset;
	bool fresh;
};

/* memory.c: called by the owner, with its lock held */
int vfmig_memory_init(struct vfmig_memory *mem, u64 size,
		      void (*became_dirty)(struct vfmig_memory *mem));
void vfmig_memory_destroy(struct vfmig_memory *mem);
struct page *vfmig_memory_lookup(struct vfmig_memory *mem, u64 offset);
int vfmig_memory_write_begin(struct vfmig_memory *mem, u64 offset, bool whole,
			     struct vfmig_memory_write *write);
void vfmig_memory_write_end(struct vfmig_memory *mem, struct vfmig_memory_write *write);
u64 vfmig_memory_zero_piece(struct vfmig_memory *mem, u64 offset, u64 length, bool deallocate);
void vfmig_memory_erase(struct vfmig_memory *mem);
bool vfmig_memory_reap(struct vfmig_memory *mem, u64 *index);

/* memory.c: called at any time, and best with no lock held */
bool vfmig_memory_free_erased(struct vfmig_memory *mem);
void vfmig_memory_free_all_erased(struct vfmig_memory *mem);

/* memory.c: called by load.c, with the owner's lock held or for a memory that is being loaded */
struct vfmig_memory_chunk **vfmig_memory_new_table(u64 size);
void vfmig_memory_resize(struct vfmig_memory *mem, u64 size, struct vfmig_memory_chunk **table);
void vfmig_memory_zero(struct vfmig_memory *mem, u64 offset, u64 length, bool deallocate);
int vfmig_memory_set_page(struct vfmig_memory *mem, u64 offset, struct page *page);
void vfmig_memory_swap(struct vfmig_memory *mem, struct vfmig_memory *other);
void vfmig_memory_move_erased(struct vfmig_memory *mem, struct vfmig_memory *from);

/* limit.c: over all devices */
bool vfmig_memory_take_granule(void);
void vfmig_memory_give_granules(unsigned long n);
void vfmig_memory_count_erased(int n);
bool vfmig_memory_any_erased(void);

/* track.c: called by a migration, at any time */
void vfmig_memory_count(struct vfmig_memory *mem, struct vfmig_mem_count *count);
int vfmig_memory_track_start(struct vfmig_memory *mem);
void vfmig_memory_track_stop(struct vfmig_memory *mem);
void vfmig_memory_pending(struct vfmig_memory *mem, struct vfmig_mem_pending *pending);
bool vfmig_memory_next(struct vfmig_memory *mem, u64 size, struct vfmig_mem_run *run);
struct page *vfmig_memory_get_page(struct vfmig_memory *mem, u64 offset);

/* track.c: called by the owner, and by memory.c for it */
void vfmig_memory_note(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk,
		       unsigned int bit);
void vfmig_memory_settle(struct vfmig_memory *mem);

/* track.c: called by memory.c, with the lock held */
void vfmig_memory_track_sync(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk);
bool vfmig_memory_track_fresh(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk,
			      unsigned int bit);
bool vfmig_memory_track_hole(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk,
			     unsigned int bit);

/* track.c: called by memory.c for an erase, with the lock held */
bool vfmig_memory_track_erase(struct vfmig_memory *mem);

/* track.c: called by memory.c for a resize, with reinit_lock held */
void vfmig_memory_reinit_begin(struct vfmig_memory *mem, u64 old_size);
void vfmig_memory_reinit_chunk(struct vfmig_memory *mem, struct vfmig_memory_chunk *chunk);
void vfmig_memory_reinit_end(struct vfmig_memory *mem);

/*
 * Bitmaps of a chunk with their sums: @granules and @runs are kept over all
 * chunks of a memory, so that a question for them costs nothing.
 */
static inline unsigned int vfmig_bit_neighbours(const unsigned long *map, unsigned int bit)
{
	unsigned int word = BIT_WORD(bit), at = bit % BITS_PER_LONG;
	unsigned int n;

	/* Nearly always within the word at hand, in plain shifts */
	if (at)
		n = map[word] >> (at - 1) & 1;
	else
		n = bit && map[word - 1] >> (BITS_PER_LONG - 1);
	if (at < BITS_PER_LONG - 1)
		n += map[word] >> (at + 1) & 1;
	else
		n += bit < VFMIG_CHUNK_GRANULES - 1 && map[word + 1] & 1;
	return n;
}

static inline void vfmig_bit_set(unsigned long *map, unsigned int bit, u64 *granules, u64 *runs)
{
	if (__test_and_set_bit(bit, map))
		return;
	*granules += 1;
	*runs += 1;
	*runs -= vfmig_bit_neighbours(map, bit);
}

static inline void vfmig_bit_clear(unsigned long *map, unsigned int bit, u64 *granules, u64 *runs)
{
	if (!__test_and_clear_bit(bit, map))
		return;
	*granules -= 1;
	*runs -= 1;
	*runs += vfmig_bit_neighbours(map, bit);
}

/* Runs of bits that are set */
static inline unsigned int vfmig_bitmap_runs(const unsigned long *map)
{
	DECLARE_BITMAP(first, VFMIG_CHUNK_GRANULES);

	bitmap_shift_left(first, map, 1, VFMIG_CHUNK_GRANULES);
	bitmap_andnot(first, map, first, VFMIG_CHUNK_GRANULES);
	return bitmap_weight(first, VFMIG_CHUNK_GRANULES);
}

#endif /* _VFMIG_MEMORY_H */
