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
#include <linux/sizes.h>
#include <linux/types.h>

#include "fabric_priv.h"

struct iova_bitmap;

#define VFMIG_DIRTY_CHUNK_SIZE	SZ_16M	/* of IOVA */
#define VFMIG_DIRTY_TABLE_SIZE	SZ_64G
/* How many in one of the next */
#define VFMIG_DIRTY_PAGES	(VFMIG_DIRTY_CHUNK_SIZE >> PAGE_SHIFT)
#define VFMIG_DIRTY_CHUNKS	(VFMIG_DIRTY_TABLE_SIZE / VFMIG_DIRTY_CHUNK_SIZE)
#define VFMIG_DIRTY_TABLES	(BIT_ULL(VFMIG_PT_IOVA_BITS) / VFMIG_DIRTY_TABLE_SIZE)

/**
 * struct vfmig_dirty_chunk - which pages of 16 MiB
 * @words: a bit for each
 */
struct vfmig_dirty_chunk {
	atomic_long_t words[BITS_TO_LONGS(VFMIG_DIRTY_PAGES)];
};

/**
 * struct vfmig_dirty_table - which pages of 64 GiB
 * @chunks: for 16 MiB each, NULL where there was no write
 */
struct vfmig_dirty_table {
	struct vfmig_dirty_chunk *chunks[VFMIG_DIRTY_CHUNKS];
};

/**
 * struct vfmig_dirty - a set of pages of all the address space
 * @ref: who makes a chunk, or reads, may still be at it when nobody else uses the
 *	set any more
 * @tables: for 64 GiB each, NULL where there was no write
 *
 * Tables and chunks are added, by whoever is first, and go with the set.
 */
struct vfmig_dirty {
	struct kref ref;
	struct vfmig_dirty_table *tables[VFMIG_DIRTY_TABLES];
};

static inline unsigned int vfmig_dirty_page(u64 iova)
{
	return iova / PAGE_SIZE % VFMIG_DIRTY_PAGES;
}

static inline struct vfmig_dirty_table **vfmig_dirty_table(struct vfmig_dirty *dirty, u64 iova)
{
	return &dirty->tables[iova / VFMIG_DIRTY_TABLE_SIZE];
}

static inline struct vfmig_dirty_chunk **vfmig_dirty_chunk(struct vfmig_dirty_table *table,
							   u64 iova)
{
	return &table->chunks[iova / VFMIG_DIRTY_CHUNK_SIZE % VFMIG_DIRTY_CHUNKS];
}

/**
 * vfmig_dirty_find() - the chunk that a page is in
 * @dirty: the set
 * @iova: any byte of the page, within the aperture
 *
 * Context: any.
 *
 * Return: the chunk, or NULL if vfmig_dirty_prepare() has to make it.
 */
static inline struct vfmig_dirty_chunk *vfmig_dirty_find(struct vfmig_dirty *dirty, u64 iova)
{
	struct vfmig_dirty_table *table = READ_ONCE(*vfmig_dirty_table(dirty, iova));

	return table ? READ_ONCE(*vfmig_dirty_chunk(table, iova)) : NULL;
}

/**
 * vfmig_dirty_set() - a page was written
 * @chunk: what vfmig_dirty_find() gave for it
 * @iova: any byte of the page
 *
 * Context: any; in the section of the dma_lock that the data was written in.
 */
static inline void vfmig_dirty_set(struct vfmig_dirty_chunk *chunk, u64 iova)
{
	unsigned int page = vfmig_dirty_page(iova);

	/* The data before the bit, see dirty.c; pairs with take_word() */
	smp_mb__before_atomic();
	atomic_long_or(BIT_MASK(page), &chunk->words[BIT_WORD(page)]);
}

struct vfmig_dirty *vfmig_dirty_create(void);
struct vfmig_dirty *vfmig_dirty_get(struct vfmig_dirty *dirty);
void vfmig_dirty_put(struct vfmig_dirty *dirty);
void vfmig_dirty_prepare(struct vfmig_dirty *dirty, u64 iova);
void vfmig_dirty_read(struct vfmig_dirty *dirty, u64 first, u64 last, bool clear,
		      struct iova_bitmap *bitmap);

#endif /* _VFMIG_FABRIC_DIRTY_H */
