// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages and buffers that are counted.  The compiler's sanitizer finds what is freed twice or
 * used afterwards.
 */
#include <stdlib.h>

#include <linux/gfp.h>
#include <linux/slab.h>
#include <linux/vfmig.h>

#include "check.h"
#include "device.h"
#include "memory.h"

static unsigned int pages, buffers, fail_in;

/* Allocation @fail_alloc, counted from 1, fails; 0 for none */
void memory_begin(unsigned int fail_alloc)
{
	fail_in = fail_alloc;
}

/* All was freed */
void memory_end(void)
{
	check(!pages);
	check(!buffers);
}

static bool fails(void)
{
	return fail_in && !--fail_in;
}

struct page *alloc_page(int flags)
{
	struct page *page;

	(void)flags;
	if (fails())
		return NULL;
	/* A granule that is being filled, and those of the device */
	check(pages <= DEVICE_GRANULES);
	page = malloc(sizeof(*page));
	check(page);
	pages++;
	return page;
}

void __free_page(struct page *page)
{
	check(page && pages);
	pages--;
	free(page);
}

void *kvmalloc(size_t size, int flags)
{
	void *buf;

	(void)flags;
	if (fails())
		return NULL;
	/* A parser has one at a time */
	check(!buffers);
	check(size && size <= VFMIG_STATE_MAX);
	buf = malloc(size);
	check(buf);
	buffers++;
	return buf;
}

void kvfree(void *buf)
{
	if (!buf)
		return;
	check(buffers);
	buffers--;
	free(buf);
}
