/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The pages that a device wrote: logged by the device, tracked by the IOMMU, or
 * recorded by a test.
 */
#ifndef VFMIG_TEST_DIRTY_H
#define VFMIG_TEST_DIRTY_H

#include "vfio_dev.h"

/**
 * struct pageset - some of the pages of 4 KiB of a range of IOVA
 * @iova: where the range begins
 * @pages: how many pages it has
 * @bits: one for each page, as a report gives them
 */
struct pageset {
	u64 iova;
	u64 pages;
	u64 *bits;
};

/* An empty set; @iova and @length are multiples of 4 KiB */
void pageset_init(struct pageset *set, u64 iova, u64 length);
void pageset_exit(struct pageset *set);
void pageset_clear(struct pageset *set);
/* The pages that @len bytes at @iova touch; all must be in the range */
void pageset_add(struct pageset *set, u64 iova, u64 len);
bool pageset_has(const struct pageset *set, u64 iova);
u64 pageset_count(const struct pageset *set);
/* Are two sets of the same range equal?  Prints where they differ. */
bool pageset_same(const struct pageset *is, const struct pageset *should);
/* Add the pages of @more to @set */
void pageset_merge(struct pageset *set, const struct pageset *more);

/* Who records the writes */
enum tracker {
	BY_DEVICE,	/* VFIO_DEVICE_FEATURE_DMA_LOGGING_* */
	BY_IOMMU,	/* IOMMU_HWPT_*_DIRTY_*, opened with IOMMU_IOMMUFD_TRACKED */
};

/* Returns NULL, or why the test must be skipped */
const char *track_offered(struct vfio_dev *dev, enum tracker by);
/* The following return 0 or -errno.  The IOMMU tracks everything, not just the range. */
int track_start(struct vfio_dev *dev, enum tracker by, u64 iova, u64 length);
int track_stop(struct vfio_dev *dev, enum tracker by);
/* Set a bit for each @page_size bytes that were written, and clear the record of these writes */
int track_report(struct vfio_dev *dev, enum tracker by, u64 iova, u64 length, u64 page_size,
		 u64 *bits);
/* Add the pages that were written in the range of @set to it */
int track_read(struct vfio_dev *dev, enum tracker by, struct pageset *set);

/* The same for one kind of tracker; 0 or -errno */
int log_start(struct vfio_dev *dev, u64 *page_size,
	      const struct vfio_device_feature_dma_logging_range *ranges, u32 count);
int log_stop(struct vfio_dev *dev);
int log_report(struct vfio_dev *dev, u64 iova, u64 length, u64 page_size, u64 *bits);
int hwpt_track(struct iommu *iommu, u32 hwpt_id, bool on);
/* @flags are IOMMU_HWPT_GET_DIRTY_BITMAP_* */
int hwpt_report(struct iommu *iommu, u32 hwpt_id, u32 flags, u64 iova, u64 length, u64 page_size,
		u64 *bits);

#endif /* VFMIG_TEST_DIRTY_H */
