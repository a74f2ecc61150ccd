/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A set of pages that were written: the part that dma.c needs for each write.
 * dirty.c has the rest, and describes the ordering.
 */
#ifndef _VFMIG_FABRIC_DIRTY_H
#define _VFMIG_FABRIC_DIRTY_H

#include <linux/atomic.h>
#include <linux/bits.h>
#include <linux/kref.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sizes.h>
#include <linux/types.h>

#include "fabric_priv.h"

struct iova_bitmap;

/* Bytes of IOVA that each covers */
#define VFMIG_DIRTY_WORD	((u64)PAGE_SIZE * BITS_PER_LONG)
#define VFMIG_DIRTY_CHUNK	(VFMIG_DIRTY_WORD * BITS_PER_LONG)	/* 16 MiB */
#define VFMIG_DIRTY_TABLE	((u64)SZ_4G)
#define VFMIG_DIRTY_DIR		((u64)SZ_1T)

/**
 * struct vfmig_dirty_chunk - dirty bits of 16 MiB
 * @words: a bit for each page
 */
struct vfmig_dirty_chunk {
	atomic_long_t words[BITS_PER_LONG];
};

/**
 * struct vfmig_dirty_table - dirty bits of 4 GiB
 * @chunks: NULL where no page was ever dirty
 * @written: for each chunk, which of its words may have a bit set
 */
struct vfmig_dirty_table {
	struct vfmig_dirty_chunk *chunks[VFMIG_DIRTY_TABLE / VFMIG_DIRTY_CHUNK];
	atomic_long_t written[VFMIG_DIRTY_TABLE / VFMIG_DIRTY_CHUNK];
};

/**
 * struct vfmig_dirty_dir - dirty bits of 1 TiB
 * @tables: NULL where no page was ever dirty
 */
struct vfmig_dirty_dir {
	struct vfmig_dirty_table *tables[VFMIG_DIRTY_DIR / VFMIG_DIRTY_TABLE];
};

/**
 * struct vfmig_dirty - a set of pages of the whole address space
 * @ref: references.  A thread that allocates a chunk or reads the set has one, because
 *	tracking may be disabled in the meantime.
 * @dirs: NULL where no page was ever dirty
 *
 * Directories, tables and chunks are allocated on first use and freed with the set.
 */
struct vfmig_dirty {
	struct kref ref;
	struct vfmig_dirty_dir *dirs[BIT_ULL(VFMIG_PT_IOVA_BITS) / VFMIG_DIRTY_DIR];
};

/**
 * struct vfmig_dirty_place - place of a page in a set
 * @word: the word with its bit
 * @written: the word of the table that marks @word
 */
struct vfmig_dirty_place {
	atomic_long_t *word;
	atomic_long_t *written;
};

static inline struct vfmig_dirty_dir **vfmig_dirty_dir(struct vfmig_dirty *dirty, u64 iova)
{
	return &dirty->dirs[array_index_nospec(iova / VFMIG_DIRTY_DIR, ARRAY_SIZE(dirty->dirs))];
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
 * vfmig_dirty_find() - find the place of a page in a set
 * @dirty: the set
 * @iova: any byte of the page, within the aperture
 * @place: set to the place
 *
 * Context: any.
 *
 * Return: false if there is no chunk yet: call vfmig_dirty_prepare().
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
 * vfmig_dirty_set() - add a page after it was written
 * @place: its place, from vfmig_dirty_find()
 * @iova: any byte of the page
 *
 * Context: any; the dma_lock is held since before the data was written.
 */
static __always_inline void vfmig_dirty_set(const struct vfmig_dirty_place *place, u64 iova)
{
	unsigned long word = BIT(vfmig_dirty_word(iova));

	/* The data before the bit, see dirty.c; pairs with take_bits() */
	smp_mb__before_atomic();
	atomic_long_or(BIT(vfmig_dirty_bit(iova)), place->word);
	/* The bit before the test of the mark; pairs with take_words() */
	smp_mb__after_atomic();
	if (!(atomic_long_read(place->written) & word))
		atomic_long_or(word, place->written);
}

/* How the memory of a set is allocated: by a caller that may not wait, and by one that may */
#define VFMIG_DIRTY_AT_ONCE	(GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN)
#define VFMIG_DIRTY_WAIT	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

struct vfmig_dirty *vfmig_dirty_create(void);
struct vfmig_dirty *vfmig_dirty_get(struct vfmig_dirty *dirty);
void vfmig_dirty_put(struct vfmig_dirty *dirty);
int vfmig_dirty_prepare(struct vfmig_dirty *dirty, u64 iova, gfp_t gfp);
void vfmig_dirty_read(struct vfmig_dirty *dirty, u64 first, u64 last, bool clear,
		      struct iova_bitmap *bitmap);

#endif /* _VFMIG_FABRIC_DIRTY_H */
