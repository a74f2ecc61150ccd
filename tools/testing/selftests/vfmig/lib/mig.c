// SPDX-License-Identifier: GPL-2.0-only
/* See mig.h */
#include "mig.h"
#include "pf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DATA_CRC_FILE	"/sys/module/" VF_DRIVER "/parameters/data_crc"

int vfio_feature(struct vfio_dev *dev, u32 flags, void *data, size_t size)
{
	u64 buf[16] = {};
	struct vfio_device_feature *feature = (void *)buf;
	int err = 0;

	must(sizeof(*feature) + size <= sizeof(buf));
	feature->argsz = sizeof(*feature) + size;
	feature->flags = flags;
	if (size)
		memcpy(feature->data, data, size);
	if (ioctl(dev->fd, VFIO_DEVICE_FEATURE, feature))
		err = -errno;
	if (size)
		memcpy(data, feature->data, size);
	return err;
}

int mig_flags(struct vfio_dev *dev, u64 *flags)
{
	struct vfio_device_feature_migration mig = {};
	int err;

	err = vfio_feature(dev, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, &mig,
			   sizeof(mig));
	*flags = mig.flags;
	return err;
}

int mig_set(struct vfio_dev *dev, u32 state, int *data_fd)
{
	struct vfio_device_feature_mig_state mig = {
		.device_state = state,
		.data_fd = -1,
	};
	int err;

	err = vfio_feature(dev, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			   &mig, sizeof(mig));
	if (err)
		mig.data_fd = -1;
	if (data_fd)
		*data_fd = mig.data_fd;
	else
		must(mig.data_fd == -1);
	return err;
}

int mig_get(struct vfio_dev *dev)
{
	struct vfio_device_feature_mig_state mig = {};
	int err;

	err = vfio_feature(dev, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			   &mig, sizeof(mig));
	if (err)
		return err;
	must(mig.data_fd == -1);
	return mig.device_state;
}

int mig_size(struct vfio_dev *dev, u64 *size)
{
	struct vfio_device_feature_mig_data_size data = {};
	int err;

	err = vfio_feature(dev, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
			   &data, sizeof(data));
	*size = data.stop_copy_length;
	return err;
}

const char *mig_name(u32 state)
{
	static const char * const names[] = {
		[ERROR] = "ERROR",
		[STOP] = "STOP",
		[RUNNING] = "RUNNING",
		[STOP_COPY] = "STOP_COPY",
		[RESUMING] = "RESUMING",
		[RUNNING_P2P] = "RUNNING_P2P",
		[PRE_COPY] = "PRE_COPY",
		[PRE_COPY_P2P] = "PRE_COPY_P2P",
	};

	return state < ARRAY_SIZE(names) ? names[state] : "unknown state";
}

bool mig_data_crc(void)
{
	char text[8];

	must(!file_read(DATA_CRC_FILE, text, sizeof(text)));
	return text[0] == 'Y';
}

void mig_set_data_crc(bool on)
{
	must(!file_write(DATA_CRC_FILE, on ? "Y" : "N"));
}

void blob_free(struct blob *blob)
{
	free(blob->data);
	*blob = (struct blob){};
}

static void blob_reserve(struct blob *blob, size_t len)
{
	size_t size = blob->size ?: 65536;

	while (size < blob->len + len)
		size *= 2;
	if (size != blob->size) {
		blob->data = realloc(blob->data, size);
		must(blob->data);
		blob->size = size;
	}
}

void blob_append(struct blob *blob, const void *data, size_t len)
{
	blob_reserve(blob, len);
	memcpy(blob->data + blob->len, data, len);
	blob->len += len;
}

void blob_copy(struct blob *to, const struct blob *from)
{
	to->len = 0;
	blob_append(to, from->data, from->len);
}

bool blob_equal(const struct blob *a, const struct blob *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

int mig_read(int data_fd, struct blob *blob, size_t chunk)
{
	ssize_t n;

	for (;;) {
		blob_reserve(blob, chunk);
		n = read(data_fd, blob->data + blob->len, chunk);
		if (n < 0)
			return -errno;
		if (!n)
			return 0;
		blob->len += n;
	}
}

int mig_write(int data_fd, const void *data, size_t len, size_t chunk)
{
	const u8 *p = data;
	ssize_t n;

	while (len) {
		n = write(data_fd, p, len < chunk ? len : chunk);
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		p += n;
		len -= n;
	}
	return 0;
}

void mig_save(struct vfio_dev *dev, struct blob *blob)
{
	int fd;

	blob->len = 0;
	must(!mig_set(dev, STOP_COPY, &fd));
	must(fd >= 0);
	must(!mig_read(fd, blob, MIB(1)));
	close(fd);
	must(!mig_set(dev, STOP, NULL));
}

int mig_load(struct vfio_dev *dev, const struct blob *blob)
{
	int err, fd;

	must(!mig_set(dev, RESUMING, &fd));
	must(fd >= 0);
	err = mig_write(fd, blob->data, blob->len, MIB(1));
	close(fd);
	return err;
}
