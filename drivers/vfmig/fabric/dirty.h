/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A set of pages that were written: what dma.c needs of it for each write.  See
 * dirty.c for the rest, and for what holds when a page is added and taken.
 */
#ifndef _VFMIG_FABRIC_DIRTY_H
#define _VFMIG_FABRIC_DIRTY_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/types.h>

#include "fabric_priv.h"

struct iova_bitmap;

/* How much IOVA each is for */
#define VFMIG_DIRTY_WORD	((u64)PAGE_SIZE * BITS_PER_LONG)
#define VFMIG_DIRTY_CHUNK	(VFMIG_DIRTY_WORD * BITS_PER_LONG)	/* 16 MiB */
#define VFMIG_DIRTY_TABLE	((u64)SZ_4G)
#define VFMIG_DIRTY_DIR		((u64)SZ_1T)

/**
 * struct vfmig_dirty_chunk - which pages of 16 MiB
 * @words: a bit for each
 */
struct vfmig_dirty_chunk {
	atomic_long_t words[BITS_PER_LONG];
};

/**
 * struct vfmig_dirty_table - which pages of 4 GiB
 * @chunks: NULL where there never was one
 * @written: for each chunk, which of its words may have a bit set
 */
struct vfmig_dirty_table {
	struct vfmig_dirty_chunk *chunks[VFMIG_DIRTY_TABLE / VFMIG_DIRTY_CHUNK];
	atomic_long_t written[VFMIG_DIRTY_TABLE / VFMIG_DIRTY_CHUNK];
};

/**
 * struct vfmig_dirty_dir - which pages of 1 TiB
 * @tables: NULL where there never was one
 */
struct vfmig_dirty_dir {
	struct vfmig_dirty_table *tables[VFMIG_DIRTY_DIR / VFMIG_DIRTY_TABLE];
};

/**
 * struct vfmig_dirty - a set of pages of all the address space
 * @ref: who makes a chunk, or reads, may still be at it when nobody else uses the
 *	set any more
 * @dirs: NULL where there never was a page
 *
 * What leads to a page is added by whoever needs it first, and goes with the set.
 */
struct vfmig_dirty {
	struct kref ref;
	struct vfmig_dirty_dir *dirs[BIT_ULL(VFMIG_PT_IOVA_BITS) / VFMIG_DIRTY_DIR];
};

/**
 * struct vfmig_dirty_place - where in a set a page is noted
 * @word: has its bit, or NULL
 * @written: what says that there is one in the word
 */
struct vfmig_dirty_place {
	atomic_long_t *word;
	atomic_long_t *written;
};

static inline struct vfmig_dirty_dir **vfmig_dirty_dir(struct vfmig_dirty *dirty, u64 iova)
{
	return &dirty->dirs[iova / VFMIG_DIRTY_DIR];
}

static inline struct vfmig_dirty_table **vfmig_dirty_table(struct vfmig_dirty_dir *dir, u64 iova)
{
	return &dir->tables[iova % VFMIG_DIRTY_DIR / VFMIG_DIRTY_TABLE];
}

static inline unsigned int vfmig_dirty_chunk(u64 iova)
{
	return iova % VFMIG_DIRTY_TABLE / VFMIG_DIRTY_CHUNK;
}

static inline unsigned int vfmig_dirty_word(u64 iova)
{
	return iova % VFMIG_DIRTY_CHUNK / VFMIG_DIRTY_WORD;
}

static inline unsigned int vfmig_dirty_bit(u64 iova)
{
	return iova % VFMIG_DIRTY_WORD / PAGE_SIZE;
}

/**
 * vfmig_dirty_find() - where a page is noted
 * @dirty: the set
 * @iova: any byte of the page, within the aperture
 * @place: set to it
 *
 * Context: any.
 *
 * Return: false if vfmig_dirty_prepare() has to make the place.
 */
static __always_inline bool vfmig_dirty_find(struct vfmig_dirty *dirty, u64 iova,
					     struct vfmig_dirty_place *place)
{
	struct vfmig_dirty_dir *dir = READ_ONCE(*vfmig_dirty_dir(dirty, iova));
	struct vfmig_dirty_table *table = dir ? READ_ONCE(*vfmig_dirty_table(dir, iova)) : NULL;
	unsigned int index = vfmig_dirty_chunk(iova);
	struct vfmig_dirty_chunk *chunk = table ? READ_ONCE(table->chunks[index]) : NULL;

	if (!chunk)
		return false;
	place->word = &chunk->words[vfmig_dirty_word(iova)];
	place->written = &table->written[index];
	return true;
}

/**
 * vfmig_dirty_set() - a page was written
 * @place: what vfmig_dirty_find() gave for it
 * @iova: any byte of the page
 *
 * Context: any; in the section of the dma_lock that the data was written in.
 */
static __always_inline void vfmig_dirty_set(const struct vfmig_dirty_place *place, u64 iova)
{
	unsigned long word = BIT(vfmig_dirty_word(iova));

	/* The data before the bit, see dirty.c; pairs with take_bits() */
	smp_mb__before_atomic();
	atomic_long_or(BIT(vfmig_dirty_bit(iova)), place->word);
	/* The bit before a look at whether it will be found; pairs with take_words() */
	smp_mb__after_atomic();
	if (!(atomic_long_read(place->written) & word))
		atomic_long_or(word, place->written);
}

struct vfmig_dirty *vfmig_dirty_create(void);
struct vfmig_dirty *vfmig_dirty_get(struct vfmig_dirty *dirty);
void vfmig_dirty_put(struct vfmig_dirty *dirty);
int vfmig_dirty_prepare(struct vfmig_dirty *dirty, u64 iova);
void vfmig_dirty_read(struct vfmig_dirty *dirty, u64 first, u64 last, bool clear,
		      struct iova_bitmap *bitmap);

#endif /* _VFMIG_FABRIC_DIRTY_H */
