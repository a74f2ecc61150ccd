/* SPDX-License-Identifier: GPL-2.0-only */
/* The VFIO migration v2 features of a device, and streams held in memory */
#ifndef VFMIG_TEST_MIG_H
#define VFMIG_TEST_MIG_H

#include "vfio_dev.h"

/* The states, without prefix */
#define ERROR		VFIO_DEVICE_STATE_ERROR
#define STOP		VFIO_DEVICE_STATE_STOP
#define RUNNING		VFIO_DEVICE_STATE_RUNNING
#define STOP_COPY	VFIO_DEVICE_STATE_STOP_COPY
#define RESUMING	VFIO_DEVICE_STATE_RESUMING
#define RUNNING_P2P	VFIO_DEVICE_STATE_RUNNING_P2P
#define PRE_COPY	VFIO_DEVICE_STATE_PRE_COPY
#define PRE_COPY_P2P	VFIO_DEVICE_STATE_PRE_COPY_P2P
#define STATES		8

/* 0 or -errno; @flags are VFIO_MIGRATION_* */
int mig_flags(struct vfio_dev *dev, u64 *flags);

/*
 * 0 or -errno.  *@data_fd is the data fd that comes with the new state, or -1 without
 * one.  If @data_fd is NULL, there must be none.
 */
int mig_set(struct vfio_dev *dev, u32 state, int *data_fd);
/* The state or -errno */
int mig_get(struct vfio_dev *dev);
/* VFIO_DEVICE_FEATURE_MIG_DATA_SIZE; 0 or -errno.  A running device returns at least this. */
#define RUNNING_SIZE	MIB(1)
int mig_size(struct vfio_dev *dev, u64 *size);
const char *mig_name(u32 state);

/* The variant driver's parameter data_crc */
bool mig_data_crc(void);
void mig_set_data_crc(bool on);

/* Raw VFIO_DEVICE_FEATURE; 0 or -errno */
int vfio_feature(struct vfio_dev *dev, u32 flags, void *data, size_t size);

/* A stream in memory */
struct blob {
	u8 *data;
	size_t len;
	size_t size;
};

void blob_free(struct blob *blob);
void blob_append(struct blob *blob, const void *data, size_t len);
void blob_copy(struct blob *to, const struct blob *from);
bool blob_equal(const struct blob *a, const struct blob *b);

/* Read to the end of the stream, @chunk bytes at a time; 0 or -errno */
int mig_read(int data_fd, struct blob *blob, size_t chunk);
/* Write, @chunk bytes at a time; 0 or -errno.  A write() of 0 bytes is -EIO. */
int mig_write(int data_fd, const void *data, size_t len, size_t chunk);

/* From any state to STOP_COPY, read everything, and on to STOP */
void mig_save(struct vfio_dev *dev, struct blob *blob);
/* From any state to RESUMING, and write everything; stays in RESUMING.  0 or -errno of write(). */
int mig_load(struct vfio_dev *dev, const struct blob *blob);

#endif /* VFMIG_TEST_MIG_H */
