// SPDX-License-Identifier: GPL-2.0-only
/* See dirty.h */
#include "dirty.h"
#include "mig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

static size_t words(const struct pageset *set)
{
	return (set->pages + 63) / 64;
}

void pageset_init(struct pageset *set, u64 iova, u64 length)
{
	must(!(iova % PAGE) && !(length % PAGE));
	set->iova = iova;
	set->pages = length / PAGE;
	set->bits = calloc(words(set), sizeof(u64));
	must(set->bits);
}

void pageset_exit(struct pageset *set)
{
	free(set->bits);
	set->bits = NULL;
}

void pageset_clear(struct pageset *set)
{
	memset(set->bits, 0, words(set) * sizeof(u64));
}

void pageset_add(struct pageset *set, u64 iova, u64 len)
{
	u64 page = (iova - set->iova) / PAGE, last = (iova + len - 1 - set->iova) / PAGE;

	must(iova >= set->iova && last < set->pages);
	for (; page <= last; page++)
		set->bits[page / 64] |= 1ULL << (page % 64);
}

bool pageset_has(const struct pageset *set, u64 iova)
{
	u64 page = (iova - set->iova) / PAGE;

	must(iova >= set->iova && page < set->pages);
	return set->bits[page / 64] >> (page % 64) & 1;
}

u64 pageset_count(const struct pageset *set)
{
	u64 n = 0;

	for (size_t i = 0; i < words(set); i++)
		n += __builtin_popcountll(set->bits[i]);
	return n;
}

bool pageset_same(const struct pageset *is, const struct pageset *should)
{
	unsigned int differ = 0;

	must(is->iova == should->iova && is->pages == should->pages);
	for (u64 page = 0; page < is->pages; page++) {
		u64 iova = is->iova + page * PAGE;

		if (pageset_has(is, iova) == pageset_has(should, iova))
			continue;
		if (differ++ < 4)
			note("page %#llx is %s", iova,
			     pageset_has(is, iova) ? "reported, and was not written" :
						     "not reported, and was written");
	}
	return !differ;
}

void pageset_merge(struct pageset *set, const struct pageset *more)
{
	must(set->iova == more->iova && set->pages == more->pages);
	for (size_t i = 0; i < words(set); i++)
		set->bits[i] |= more->bits[i];
}

int log_start(struct vfio_dev *dev, u64 *page_size,
	      const struct vfio_device_feature_dma_logging_range *ranges, u32 count)
{
	struct vfio_device_feature_dma_logging_control control = {
		.page_size = *page_size,
		.num_ranges = count,
		.ranges = (uintptr_t)ranges,
	};
	int err;

	err = vfio_feature(dev, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
			   &control, sizeof(control));
	*page_size = control.page_size;
	return err;
}

int log_stop(struct vfio_dev *dev)
{
	return vfio_feature(dev, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
			    NULL, 0);
}

int log_report(struct vfio_dev *dev, u64 iova, u64 length, u64 page_size, u64 *bits)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = iova,
		.length = length,
		.page_size = page_size,
		.bitmap = (uintptr_t)bits,
	};

	return vfio_feature(dev, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
			    &report, sizeof(report));
}

int hwpt_track(struct iommu *iommu, u32 hwpt_id, bool on)
{
	struct iommu_hwpt_set_dirty_tracking set = {
		.size = sizeof(set),
		.flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
		.hwpt_id = hwpt_id,
	};

	return ioctl(iommu->fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &set) ? -errno : 0;
}

int hwpt_report(struct iommu *iommu, u32 hwpt_id, u32 flags, u64 iova, u64 length, u64 page_size,
		u64 *bits)
{
	struct iommu_hwpt_get_dirty_bitmap get = {
		.size = sizeof(get),
		.hwpt_id = hwpt_id,
		.flags = flags,
		.iova = iova,
		.length = length,
		.page_size = page_size,
		.data = (uintptr_t)bits,
	};

	return ioctl(iommu->fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &get) ? -errno : 0;
}

const char *track_offered(struct vfio_dev *dev, enum tracker by)
{
	int err;

	if (by == BY_IOMMU)
		return NULL;
	err = vfio_feature(dev, VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET |
			   VFIO_DEVICE_FEATURE_DMA_LOGGING_START, NULL, 0);
	if (err)
		must(err == -ENOTTY);
	/* With iommufd comes iova_bitmap, and the feature must be there */
	if (err && !file_exists("/dev/iommu"))
		return "this kernel can't report what a device logs (no iova_bitmap)";
	return NULL;
}

int track_start(struct vfio_dev *dev, enum tracker by, u64 iova, u64 length)
{
	struct vfio_device_feature_dma_logging_range range = { .iova = iova, .length = length };
	u64 page_size = PAGE;

	if (by == BY_DEVICE)
		return log_start(dev, &page_size, &range, 1);
	return hwpt_track(dev->iommu, dev->iommu->hwpt_id, true);
}

int track_stop(struct vfio_dev *dev, enum tracker by)
{
	if (by == BY_DEVICE)
		return log_stop(dev);
	return hwpt_track(dev->iommu, dev->iommu->hwpt_id, false);
}

int track_report(struct vfio_dev *dev, enum tracker by, u64 iova, u64 length, u64 page_size,
		 u64 *bits)
{
	if (by == BY_DEVICE)
		return log_report(dev, iova, length, page_size, bits);
	return hwpt_report(dev->iommu, dev->iommu->hwpt_id, 0, iova, length, page_size, bits);
}

int track_read(struct vfio_dev *dev, enum tracker by, struct pageset *set)
{
	return track_report(dev, by, set->iova, set->pages * PAGE, PAGE, set->bits);
}
