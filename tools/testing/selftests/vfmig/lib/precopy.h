/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading in PRE_COPY, with exact numbers of bytes.  Functions that return void fail the
 * test if the data fd does not behave as it must.
 */
#ifndef VFMIG_TEST_PRECOPY_H
#define VFMIG_TEST_PRECOPY_H

#include "stream.h"

/* Expected size of records: of a run of granules, a hole, the identity and the end */
#define RUN_BYTES(granules) \
	(sizeof(struct vfmig_record) + sizeof(struct vfmig_extent) + (granules) * PAGE)
#define HOLE_BYTES	RUN_BYTES(0)
#define IDENTITY_BYTES \
	(sizeof(struct vfmig_record) + sizeof(struct vfmig_identity) + \
	 sizeof(struct vfmig_nvme_identity))
#define END_BYTES	(sizeof(struct vfmig_record) + sizeof(struct vfmig_end))

/* Does the device offer PRE_COPY? */
bool precopy_offered(struct vfio_dev *dev);

/* Enable VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 until the device is closed; 0 or -errno */
int precopy_opt_in(struct vfio_dev *dev);

/* From RUNNING or RUNNING_P2P to PRE_COPY or PRE_COPY_P2P (@state); returns the data fd */
int precopy_begin(struct vfio_dev *dev, u32 state);

/* VFIO_MIG_GET_PRECOPY_INFO; 0 or -errno */
int precopy_info(int data_fd, u64 *initial, u64 *dirty);
/* Sum of initial_bytes and dirty_bytes, in PRE_COPY */
u64 precopy_left(int data_fd);

/* Read exactly @len bytes, in one read() */
void precopy_read(int data_fd, struct blob *blob, size_t len);
/* Read until no more data is available now; returns the number of bytes */
u64 precopy_drain(int data_fd, struct blob *blob);

/* Read one byte and drop it; 0 or -errno, -ENODATA at the end */
int precopy_try(int data_fd);

#endif /* VFMIG_TEST_PRECOPY_H */
