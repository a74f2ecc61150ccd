// SPDX-License-Identifier: GPL-2.0-only
/*
 * Spare pages and chunks of a device memory.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "memory.h"

/* A failure is a status for the guest: no OOM killer, no warning */
#define VFMIG_SPARE_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

struct vfmig_memory_chunk *vfmig_spares_chunk(struct vfmig_spares *spares)
{
	struct vfmig_memory_chunk *chunk;

	if (spares->nr_chunks <= VFMIG_SPARE_CHUNKS / 2)
		WRITE_ONCE(spares->wanted, true);
	chunk = list_first_entry_or_null(&spares->chunks, struct vfmig_memory_chunk, all);
	if (!chunk)
		return NULL;
	list_del_init(&chunk->all);
	WRITE_ONCE(spares->nr_chunks, spares->nr_chunks - 1);
	return chunk;
}

struct page *vfmig_spares_page(struct vfmig_spares *spares, bool zero)
{
	struct page *page;

	if (spares->nr_pages <= VFMIG_SPARE_PAGES / 2)
		WRITE_ONCE(spares->wanted, true);
	page = list_first_entry_or_null(&spares->pages, struct page, lru);
	if (!page)
		return NULL;
	list_del(&page->lru);
	WRITE_ONCE(spares->nr_pages, spares->nr_pages - 1);
	if (zero)
		clear_highpage(page);
	return page;
}

void vfmig_spares_put(struct vfmig_spares *spares, struct page *page)
{
	list_add(&page->lru, &spares->pages);
	WRITE_ONCE(spares->nr_pages, spares->nr_pages + 1);
}

static void get_chunks(struct vfmig_spares *fresh, unsigned int count)
{
	while (fresh->nr_chunks < count) {
		struct vfmig_memory_chunk *chunk = kzalloc(sizeof(*chunk), VFMIG_SPARE_GFP);

		if (!chunk)
			return;
		list_add(&chunk->all, &fresh->chunks);
		fresh->nr_chunks++;
	}
}

static void get_pages(struct vfmig_spares *fresh, unsigned int count)
{
	while (fresh->nr_pages < count) {
		struct page *page = alloc_page(VFMIG_SPARE_GFP);

		if (!page)
			return;
		vfmig_spares_put(fresh, page);
	}
}

bool vfmig_spares_get(struct vfmig_spares *fresh, const struct vfmig_spares *spares,
		      unsigned int chunks, unsigned int pages)
{
	unsigned int has_chunks = READ_ONCE(spares->nr_chunks);
	unsigned int has_pages = READ_ONCE(spares->nr_pages);

	vfmig_spares_init(fresh);
	if (has_chunks < chunks)
		get_chunks(fresh, chunks - has_chunks);
	if (has_pages < pages)
		get_pages(fresh, pages - has_pages);
	return has_chunks + fresh->nr_chunks && (!pages || has_pages + fresh->nr_pages);
}

void vfmig_spares_add(struct vfmig_spares *spares, struct vfmig_spares *fresh)
{
	WRITE_ONCE(spares->wanted, false);
	list_splice(&fresh->chunks, &spares->chunks);
	list_splice(&fresh->pages, &spares->pages);
	WRITE_ONCE(spares->nr_chunks, spares->nr_chunks + fresh->nr_chunks);
	WRITE_ONCE(spares->nr_pages, spares->nr_pages + fresh->nr_pages);
	vfmig_spares_init(fresh);
}

void vfmig_spares_free(struct vfmig_spares *spares)
{
	struct vfmig_memory_chunk *chunk, *next_chunk;
	struct page *page, *next;

	list_for_each_entry_safe(chunk, next_chunk, &spares->chunks, all)
		kfree(chunk);
	list_for_each_entry_safe(page, next, &spares->pages, lru)
		put_page(page);
	vfmig_spares_init(spares);
}
