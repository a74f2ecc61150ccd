// SPDX-License-Identifier: GPL-2.0-only
/*
 * A function's log of its own DMA writes, as a device keeps it that can log: which
 * pages of some ranges of IOVA it wrote, whatever the IOMMU makes of them.  dirty.c
 * keeps the pages, dma.c fills them in.
 *
 * The log is not a part of the function's state: it outlives resets.
 */
#include <linux/iova_bitmap.h>
#include <linux/range.h>
#include <linux/slab.h>

#include "dirty.h"
#include "fabric_priv.h"

/**
 * struct vfmig_log - a log
 * @pages: what was written
 * @count: how many @ranges
 * @ranges: of IOVA that are logged, sorted
 */
struct vfmig_log {
	struct vfmig_dirty *pages;
	unsigned int count;
	struct range ranges[] __counted_by(count);
};

static void vfmig_log_free(struct vfmig_log *log)
{
	vfmig_dirty_put(log->pages);
	kfree(log);
}

static struct vfmig_log *vfmig_log_create(const struct range *ranges, unsigned int count)
{
	struct vfmig_log *log = kzalloc(struct_size(log, ranges, count), GFP_KERNEL_ACCOUNT);

	if (!log)
		return NULL;
	log->count = count;
	memcpy(log->ranges, ranges, array_size(count, sizeof(*ranges)));
	log->pages = vfmig_dirty_create();
	if (log->pages)
		return log;
	kfree(log);
	return NULL;
}

/* When this returns no copy uses the log of before */
static void vfmig_log_replace(struct vfmig_fn *fn, struct vfmig_log *log)
{
	raw_spin_lock_irq(&fn->dma_lock);
	fn->log = log;
	raw_spin_unlock_irq(&fn->dma_lock);
}

/**
 * vfmig_log_pages() - where a write of a page is to be logged
 * @log: the log
 * @iova: any byte of the page
 *
 * Context: &vfmig_fn.dma_lock is held.
 *
 * Return: the set of pages, or NULL if @iova is in none of the ranges.
 */
struct vfmig_dirty *vfmig_log_pages(const struct vfmig_log *log, u64 iova)
{
	unsigned int low = 0, high = log->count;

	while (low < high) {
		unsigned int mid = (low + high) / 2;

		if (iova < log->ranges[mid].start)
			high = mid;
		else if (iova > log->ranges[mid].end)
			low = mid + 1;
		else
			return log->pages;
	}
	return NULL;
}

int vfmig_fn_log_start(struct vfmig_fn *fn, const struct range *ranges, unsigned int count)
{
	struct vfmig_log *log;

	guard(mutex)(&fn->log_lock);
	if (fn->log)
		return -EINVAL;
	log = vfmig_log_create(ranges, count);
	if (!log)
		return -ENOMEM;
	vfmig_log_replace(fn, log);
	return 0;
}
EXPORT_SYMBOL_GPL(vfmig_fn_log_start);

void vfmig_fn_log_stop(struct vfmig_fn *fn)
{
	struct vfmig_log *log;

	guard(mutex)(&fn->log_lock);
	log = fn->log;
	if (!log)
		return;
	vfmig_log_replace(fn, NULL);
	vfmig_log_free(log);
}
EXPORT_SYMBOL_GPL(vfmig_fn_log_stop);

int vfmig_fn_log_report(struct vfmig_fn *fn, u64 iova, u64 length, struct iova_bitmap *dirty)
{
	struct vfmig_dirty *pages = NULL;

	if (!length || !PAGE_ALIGNED(iova | length))
		return -EINVAL;

	scoped_guard(mutex, &fn->log_lock) {
		if (fn->log)
			pages = vfmig_dirty_get(fn->log->pages);
	}
	if (!pages)
		return -EINVAL;
	vfmig_dirty_read(pages, iova, iova + length - 1, true, dirty);
	vfmig_dirty_put(pages);
	return 0;
}
EXPORT_SYMBOL_GPL(vfmig_fn_log_report);
