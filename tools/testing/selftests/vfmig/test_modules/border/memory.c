// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of a VF.  All of it is in pages, whether the variant driver gets these or copies.
 */
#include <linux/highmem.h>
#include <linux/minmax.h>
#include <linux/mm.h>

#include "border.h"

void border_memory_free(struct border_memory *memory)
{
	for (unsigned int i = 0; i < BORDER_GRANULES; i++) {
		if (memory->pages[i])
			put_page(memory->pages[i]);
		memory->pages[i] = NULL;
	}
}

/* @by is empty afterwards */
void border_memory_replace(struct border_memory *memory, struct border_memory *by)
{
	for (unsigned int i = 0; i < BORDER_GRANULES; i++)
		swap(memory->pages[i], by->pages[i]);
	border_memory_free(by);
}

static int write_granule(struct border_memory *memory, u64 offset, const void *buf, size_t len)
{
	struct page **page = &memory->pages[offset / VFMIG_GRANULE];

	if (!*page)
		*page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!*page)
		return -ENOMEM;
	memcpy_to_page(*page, offset % VFMIG_GRANULE, buf, len);
	return 0;
}

static int write_memory(struct border_memory *memory, u64 offset, const void *buf, size_t len)
{
	int ret = 0;

	while (len && !ret) {
		size_t part = min(len, VFMIG_GRANULE - offset % VFMIG_GRANULE);

		ret = write_granule(memory, offset, buf, part);
		offset += part;
		buf += part;
		len -= part;
	}
	return ret;
}

static void read_memory(const struct border_memory *memory, u64 offset, void *buf, size_t len)
{
	while (len) {
		size_t part = min(len, VFMIG_GRANULE - offset % VFMIG_GRANULE);
		struct page *page = memory->pages[offset / VFMIG_GRANULE];

		if (page)
			memcpy_from_page(buf, page, offset % VFMIG_GRANULE, part);
		else
			memset(buf, 0, part);
		offset += part;
		buf += part;
		len -= part;
	}
}

/* For a test, as if the guest wrote it */
int border_memory_write(struct border_vf *vf, u64 offset, const void *buf, size_t len)
{
	unsigned int first = offset / VFMIG_GRANULE;
	unsigned int count = DIV_ROUND_UP(offset + len, VFMIG_GRANULE) - first;

	guard(mutex)(&vf->lock);
	bitmap_set(vf->dirty, first, count);
	return write_memory(&vf->memory, offset, buf, len);
}

void border_memory_read(struct border_vf *vf, u64 offset, void *buf, size_t len)
{
	guard(mutex)(&vf->lock);
	read_memory(&vf->memory, offset, buf, len);
}

/* With the lock held */
void border_memory_begin(struct border_vf *vf)
{
	bitmap_zero(vf->dirty, BORDER_GRANULES);
	for (unsigned int i = 0; i < BORDER_GRANULES; i++)
		__assign_bit(i, vf->first, vf->memory.pages[i]);
}

/* End of the run of set bits from @start, within a record */
static unsigned int run_end(const unsigned long *bits, unsigned int start)
{
	unsigned int end = find_next_zero_bit(bits, BORDER_GRANULES, start);

	return min(end, round_down(start, VFMIG_MEMORY_MAX / VFMIG_GRANULE) +
			VFMIG_MEMORY_MAX / VFMIG_GRANULE);
}

static void count_runs(const unsigned long *bits, struct vfmig_mem_count *count)
{
	unsigned int start = find_first_bit(bits, BORDER_GRANULES);

	*count = (struct vfmig_mem_count) {};
	while (start < BORDER_GRANULES) {
		unsigned int end = run_end(bits, start);

		count->granules += end - start;
		count->data_runs++;
		start = find_next_bit(bits, BORDER_GRANULES, end);
	}
}

static int border_allocated(void *data, struct vfmig_mem_count *count)
{
	DECLARE_BITMAP(there, BORDER_GRANULES);
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_allocated);

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	for (unsigned int i = 0; i < BORDER_GRANULES; i++)
		__assign_bit(i, there, vf->memory.pages[i]);
	count_runs(there, count);
	return 0;
}

static int border_pending(void *data, struct vfmig_mem_pending *pending)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_pending);

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	*pending = (struct vfmig_mem_pending) { .memory_size = BORDER_MEMORY };
	count_runs(vf->first, &pending->initial);
	count_runs(vf->dirty, &pending->dirty);
	return 0;
}

static int border_next(void *data, u64 size, struct vfmig_mem_run *run)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_next);
	unsigned long *bits = vf->first;
	unsigned int start, end;

	/* As if the memory had been resized just now */
	if (ret == -ENODATA)
		return 0;
	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	if (bitmap_empty(bits, BORDER_GRANULES))
		bits = vf->dirty;
	start = find_first_bit(bits, BORDER_GRANULES);
	if (start == BORDER_GRANULES)
		return 0;
	end = run_end(bits, start);
	bitmap_clear(bits, start, end - start);
	*run = (struct vfmig_mem_run) {
		.offset = start * (u64)VFMIG_GRANULE,
		.length = (end - start) * (u64)VFMIG_GRANULE,
		.kind = bits == vf->first ? VFMIG_MEM_INITIAL : VFMIG_MEM_DIRTY,
	};
	return 1;
}

static struct page *border_page(void *data, u64 offset)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_page);
	struct page *page;

	if (ret)
		return ERR_PTR(ret);
	guard(mutex)(&vf->lock);
	page = vf->memory.pages[offset / VFMIG_GRANULE];
	if (page)
		get_page(page);
	return page;
}

static int border_read(void *data, u64 offset, void *buf, u64 length)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_read);

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	read_memory(&vf->memory, offset, buf, length);
	return 0;
}

static int border_load_page(void *data, u64 offset, struct page *page)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_load_page);

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	swap(vf->beside.pages[offset / VFMIG_GRANULE], page);
	if (page)
		put_page(page);
	return 0;
}

static int border_load_data(void *data, u64 offset, const void *buf, u64 length)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_load_data);

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	return write_memory(&vf->beside, offset, buf, length);
}

static int border_load_hole(void *data, u64 offset, u64 length)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_load_hole);

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	for (u64 i = offset / VFMIG_GRANULE; i < (offset + length) / VFMIG_GRANULE; i++) {
		if (vf->beside.pages[i])
			put_page(vf->beside.pages[i]);
		vf->beside.pages[i] = NULL;
	}
	return 0;
}

const struct vfmig_mem_ops border_mem_ops = {
	.allocated = border_allocated,
	.pending = border_pending,
	.next = border_next,
	.page = border_page,
	.read = border_read,
	.load_page = border_load_page,
	.load_data = border_load_data,
	.load_hole = border_load_hole,
};
