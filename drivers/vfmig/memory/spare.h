/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Spare pages and chunks of a device memory.
 *
 * The owner of a device memory changes it with a lock held that transitions and resets wait for.
 * An allocation can take long: the kernel may first have to reclaim memory of the host or of the
 * cgroup.  So nothing is allocated with the lock held.  What a change needs comes from the spares.
 * The owner fills them up when it does not hold the lock, and repeats a change that found none.
 */
#ifndef _VFMIG_MEMORY_SPARE_H
#define _VFMIG_MEMORY_SPARE_H

#include <linux/list.h>
#include <linux/types.h>

struct page;
struct vfmig_memory_chunk;

/* The pages of a write of 1 MiB, and chunks for some writes far from each other */
#define VFMIG_SPARE_PAGES	256
#define VFMIG_SPARE_CHUNKS	32

/**
 * struct vfmig_spares - chunks and pages for a memory; the owner's lock protects it
 * @chunks: chunks, zeroed, by their entry @all
 * @pages: pages with old contents, by their lru
 * @nr_chunks: number of @chunks.  Also read without the lock.
 * @nr_pages: number of @pages.  Also read without the lock.
 * @wanted: the spares are to be filled up.  Also read without the lock.
 */
struct vfmig_spares {
	struct list_head chunks;
	struct list_head pages;
	unsigned int nr_chunks;
	unsigned int nr_pages;
	bool wanted;
};

/** vfmig_spares_init() - there are none */
static inline void vfmig_spares_init(struct vfmig_spares *spares)
{
	*spares = (struct vfmig_spares) {
		.chunks = LIST_HEAD_INIT(spares->chunks),
		.pages = LIST_HEAD_INIT(spares->pages),
	};
}

/** vfmig_spares_chunk() - take a chunk; NULL if there is none */
struct vfmig_memory_chunk *vfmig_spares_chunk(struct vfmig_spares *spares);

/** vfmig_spares_page() - take a page, zeroed if @zero; NULL if there is none */
struct page *vfmig_spares_page(struct vfmig_spares *spares, bool zero);

/** vfmig_spares_put() - give a page back that vfmig_spares_page() returned */
void vfmig_spares_put(struct vfmig_spares *spares, struct page *page);

/**
 * vfmig_spares_get() - allocate what spares lack
 * @fresh: where it goes; initialised by this function
 * @spares: the spares that are to be filled up
 * @chunks: the number of chunks that @spares shall have
 * @pages: the number of pages that it shall have, 0 for none
 *
 * Charged to the current memory cgroup.  Does not invoke the OOM killer.  May sleep for long, so
 * the caller holds no lock that others wait for.  Only the caller adds to @spares.
 *
 * Return: false if there will be no chunk, or no page where @pages is not 0
 */
bool vfmig_spares_get(struct vfmig_spares *fresh, const struct vfmig_spares *spares,
		      unsigned int chunks, unsigned int pages);

/** vfmig_spares_add() - move all of @fresh to @spares */
void vfmig_spares_add(struct vfmig_spares *spares, struct vfmig_spares *fresh);

/** vfmig_spares_free() - free them all */
void vfmig_spares_free(struct vfmig_spares *spares);

#endif /* _VFMIG_MEMORY_SPARE_H */
