// SPDX-License-Identifier: GPL-2.0-only
/*
 * A function's log of its own DMA writes: the pages that it wrote in some ranges of
 * IOVA, independent of the IOMMU.  dirty.c has the set of pages, and dma.c fills it.
 * The set also has pages outside the ranges, because a test for each write would cost
 * more.  A report leaves them out.
 *
 * The log is not part of the function's state: a reset does not change it.
 */
#include <linux/kref.h>
#include <linux/minmax.h>
#include <linux/range.h>
#include <linux/slab.h>

#include "dirty.h"
#include "fabric_priv.h"

/**
 * struct vfmig_log - a log
 * @ref: references; a report holds one, as the log may be stopped in the meantime
 * @pages: pages that were written, inside and outside @ranges
 * @count: number of @ranges
 * @ranges: ranges of IOVA to report, sorted
 */
struct vfmig_log {
	struct kref ref;
	struct vfmig_dirty *pages;
	unsigned int count;
	struct range ranges[] __counted_by(count);
};

static void vfmig_log_release(struct kref *ref)
{
	struct vfmig_log *log = container_of(ref, struct vfmig_log, ref);

	vfmig_dirty_put(log->pages);
	kfree(log);
}

static struct vfmig_log *vfmig_log_create(const struct range *ranges, unsigned int count)
{
	struct vfmig_log *log = kzalloc(struct_size(log, ranges, count), GFP_KERNEL_ACCOUNT);

	if (!log)
		return NULL;
	kref_init(&log->ref);
	log->count = count;
	memcpy(log->ranges, ranges, array_size(count, sizeof(*ranges)));
	log->pages = vfmig_dirty_create();
	if (log->pages)
		return log;
	kfree(log);
	return NULL;
}

/* When this returns, no copy uses the previous log; log_lock is held */
static void vfmig_log_replace(struct vfmig_fn *fn, struct vfmig_log *log)
{
	raw_spin_lock_irq(&fn->dma_lock);
	fn->logged = log ? log->pages : NULL;
	raw_spin_unlock_irq(&fn->dma_lock);
	fn->log = log;
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

	scoped_guard(mutex, &fn->log_lock) {
		log = fn->log;
		vfmig_log_replace(fn, NULL);
	}
	if (log)
		kref_put(&log->ref, vfmig_log_release);
}
EXPORT_SYMBOL_GPL(vfmig_fn_log_stop);

int vfmig_fn_log_report(struct vfmig_fn *fn, u64 iova, u64 length, struct iova_bitmap *dirty)
{
	struct vfmig_log *log;

	if (!length || !PAGE_ALIGNED(iova | length))
		return -EINVAL;

	scoped_guard(mutex, &fn->log_lock) {
		log = fn->log;
		if (log)
			kref_get(&log->ref);
	}
	if (!log)
		return -EINVAL;
	for (unsigned int i = 0; i < log->count; i++) {
		u64 first = max(iova, log->ranges[i].start);
		u64 last = min(iova + length - 1, log->ranges[i].end);

		if (first <= last)
			vfmig_dirty_read(log->pages, first, last, true, dirty);
	}
	kref_put(&log->ref, vfmig_log_release);
	return 0;
}
EXPORT_SYMBOL_GPL(vfmig_fn_log_report);
