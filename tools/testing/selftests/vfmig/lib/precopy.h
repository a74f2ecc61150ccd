/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reading in PRE_COPY: what there is to read, to the byte.  The calls that return
 * nothing fail the test where the data fd does not do what it should.
 */
#ifndef VFMIG_TEST_PRECOPY_H
#define VFMIG_TEST_PRECOPY_H

#include "stream.h"

/* Bytes of records as they must be: of a run of granules, of a hole, of the identity */
#define RUN_BYTES(granules) \
	(sizeof(struct vfmig_record) + sizeof(struct vfmig_extent) + (granules) * PAGE)
#define HOLE_BYTES	RUN_BYTES(0)
#define IDENTITY_BYTES \
	(sizeof(struct vfmig_record) + sizeof(struct vfmig_identity) + \
	 sizeof(struct vfmig_nvme_identity))
#define END_BYTES	(sizeof(struct vfmig_record) + sizeof(struct vfmig_end))

/* Does the device offer PRE_COPY? */
bool precopy_offered(struct vfio_dev *dev);

/* Ask for VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, until the device is closed: 0 or -errno */
int precopy_opt_in(struct vfio_dev *dev);

/* RUNNING or RUNNING_P2P to its PRE_COPY state; the data fd */
int precopy_begin(struct vfio_dev *dev, u32 state);

/* VFIO_MIG_GET_PRECOPY_INFO; 0 or -errno */
int precopy_info(int data_fd, u64 *initial, u64 *dirty);
/* initial_bytes and dirty_bytes together, in PRE_COPY */
u64 precopy_left(int data_fd);

/* Read exactly @len bytes, in one read() */
void precopy_read(int data_fd, struct blob *blob, size_t len);
/* Read until there is nothing more for now: the bytes that came */
u64 precopy_drain(int data_fd, struct blob *blob);

/* 0 or -errno of a read() of one byte, which is lost; -ENODATA at the end */
int precopy_try(int data_fd);

#endif /* VFMIG_TEST_PRECOPY_H */
