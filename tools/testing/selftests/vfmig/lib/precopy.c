// SPDX-License-Identifier: GPL-2.0-only
/* See precopy.h */
#include "precopy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool precopy_offered(struct vfio_dev *dev)
{
	u64 flags;

	must(!mig_flags(dev, &flags));
	return flags & VFIO_MIGRATION_PRE_COPY;
}

int precopy_opt_in(struct vfio_dev *dev)
{
	return vfio_feature(dev, VFIO_DEVICE_FEATURE_SET |
			    VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, NULL, 0);
}

int precopy_begin(struct vfio_dev *dev, u32 state)
{
	int fd;

	must(!mig_set(dev, state, &fd));
	must(fd >= 0);
	return fd;
}

int precopy_info(int data_fd, u64 *initial, u64 *dirty)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };

	if (ioctl(data_fd, VFIO_MIG_GET_PRECOPY_INFO, &info))
		return -errno;
	*initial = info.initial_bytes;
	*dirty = info.dirty_bytes;
	return 0;
}

u64 precopy_left(int data_fd)
{
	u64 initial = 0, dirty = 0;

	must(!precopy_info(data_fd, &initial, &dirty));
	return initial + dirty;
}

void precopy_read(int data_fd, struct blob *blob, size_t len)
{
	u8 *buf = malloc(len + 1);

	must(buf);
	if (len) {
		must(read(data_fd, buf, len) == (ssize_t)len);
		blob_append(blob, buf, len);
	}
	free(buf);
}

u64 precopy_drain(int data_fd, struct blob *blob)
{
	size_t before = blob->len;

	must(mig_read(data_fd, blob, KIB(256)) == -ENOMSG);
	return blob->len - before;
}

int precopy_try(int data_fd)
{
	ssize_t n;
	u8 byte;

	n = read(data_fd, &byte, 1);
	if (n < 0)
		return -errno;
	return n ? 0 : -ENODATA;
}
