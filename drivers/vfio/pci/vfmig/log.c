// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA logging (VFIO_DEVICE_FEATURE_DMA_LOGGING_START, _STOP and _REPORT): passes VFIO's
 * calls on to the PF driver.  It is independent of the migration states: each of the
 * three can come in any state, and a reset does not change the log.
 */
#include <linux/interval_tree.h>
#include <linux/iova_bitmap.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/range.h>
#include <linux/rbtree.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "compat.h"
#include "device.h"
#include "fault.h"

VFMIG_IMPORT_IOMMUFD;

/*
 * The ranges of @tree as an array, sorted and extended to whole pages of @page_size.  VFIO
 * has made @tree of the user's ranges and checked them.  Ranges that share a page are
 * merged, and *@count is updated.
 */
static struct range *vfmig_log_ranges(struct rb_root_cached *tree, u64 page_size, u32 *count)
{
	struct range *ranges;
	unsigned int n = 0;

	ranges = kcalloc(*count, sizeof(*ranges), GFP_KERNEL_ACCOUNT);
	if (!ranges)
		return ERR_PTR(-ENOMEM);

	for (struct rb_node *rb = rb_first_cached(tree); rb; rb = rb_next(rb)) {
		struct interval_tree_node *node = rb_entry(rb, struct interval_tree_node, rb);
		u64 start = round_down(node->start, page_size);

		/* VFIO accepts an empty range, whose end is before its start */
		if (node->last + 1 == node->start) {
			kfree(ranges);
			return ERR_PTR(-EINVAL);
		}
		if (!n || start > ranges[n - 1].end)
			ranges[n++].start = start;
		ranges[n - 1].end = node->last | (page_size - 1);
	}
	*count = n;
	return ranges;
}

/* *@page_size is the resolution that the user wants; the device sets it to its own */
static int vfmig_log_start(struct vfio_device *vdev, struct rb_root_cached *tree, u32 count,
			   u64 *page_size)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);
	struct range *ranges;
	bool lost;
	int ret;

	if (!is_power_of_2(*page_size))
		return -EINVAL;
	if (vfmig_fault_armed(vfdev->faults, VFMIG_FAULT_LOG_START)) {
		ret = vfmig_fault_meet_log(vfdev->faults, VFMIG_FAULT_LOG_START, NULL);
		if (ret)
			return ret;
	}
	*page_size = max(*page_size, SZ_4K);
	ranges = vfmig_log_ranges(tree, *page_size, &count);
	if (IS_ERR(ranges))
		return PTR_ERR(ranges);
	/* Of the new log nothing is lost, but it fails where one is on */
	lost = xchg(&vfdev->log_lost, false);
	ret = vfdev->ops->log->start(vfdev->vf, ranges, count, page_size);
	if (ret && lost)
		WRITE_ONCE(vfdev->log_lost, true);
	kfree(ranges);
	return ret;
}

static int vfmig_log_stop(struct vfio_device *vdev)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);

	return vfdev->ops->log->stop(vfdev->vf);
}

static int vfmig_log_report(struct vfmig_device *vfdev, u64 iova, u64 length,
			    struct iova_bitmap *dirty)
{
	int ret;

	ret = vfdev->ops->log->report(vfdev->vf, iova, length, dirty);
	if (!ret && READ_ONCE(vfdev->log_lost))
		return -EIO;
	return ret;
}

/* Reports all runs of pages that are not to be forgotten */
static int vfmig_log_report_some(struct vfmig_device *vfdev, u64 iova, u64 length,
				 struct iova_bitmap *dirty, const struct vfmig_fault_log *log)
{
	u64 begin = 0;
	int ret = 0;

	for (u64 at = 0; at < length && !ret; at += SZ_4K) {
		if (!vfmig_fault_forgets(log, iova + at))
			continue;
		if (at > begin)
			ret = vfmig_log_report(vfdev, iova + begin, at - begin, dirty);
		begin = at + SZ_4K;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	if (!ret && length > begin)
		ret = vfmig_log_report(vfdev, iova + begin, length - begin, dirty);
	return ret;
}

/* A report with which something is to go wrong on purpose */
static int vfmig_log_spoil_report(struct vfmig_device *vfdev, u64 iova, u64 length,
				  struct iova_bitmap *dirty)
{
	struct vfmig_fault_log log = {};
	int ret;

	ret = vfmig_fault_meet_log(vfdev->faults, VFMIG_FAULT_LOG_REPORT, &log);
	if (!ret && log.forget)
		ret = vfmig_log_report_some(vfdev, iova, length, dirty, &log);
	else if (!ret)
		ret = vfmig_log_report(vfdev, iova, length, dirty);
	if (!ret && log.all)
		iova_bitmap_set(dirty, iova, length);
	return ret;
}

static int vfmig_log_read_and_clear(struct vfio_device *vdev, unsigned long iova,
				    unsigned long length, struct iova_bitmap *dirty)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);

	if (vfmig_fault_armed(vfdev->faults, VFMIG_FAULT_LOG_REPORT))
		return vfmig_log_spoil_report(vfdev, iova, length, dirty);
	return vfmig_log_report(vfdev, iova, length, dirty);
}

/* The device does not know what it wrote.  A report must not say that it wrote nothing. */
void vfmig_log_lost(struct vfmig_device *vfdev)
{
	WRITE_ONCE(vfdev->log_lost, true);
}

static const struct vfio_log_ops vfmig_log_ops = {
	.log_start = vfmig_log_start,
	.log_stop = vfmig_log_stop,
	.log_read_and_clear = vfmig_log_read_and_clear,
};

/* Offer logging, or not, if the kernel can report and the device can log */
void vfmig_log_offer(struct vfmig_device *vfdev, bool offer)
{
	if (IS_ENABLED(CONFIG_IOMMUFD_DRIVER) && vfdev->ops->log)
		vfdev->core.vdev.log_ops = offer ? &vfmig_log_ops : NULL;
}

void vfmig_log_init(struct vfmig_device *vfdev)
{
	vfmig_log_offer(vfdev, true);
}
