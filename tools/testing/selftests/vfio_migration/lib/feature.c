// SPDX-License-Identifier: GPL-2.0-only
/* The features of the migration uAPI as functions */
#include <stdlib.h>
#include <unistd.h>

#include "mig.h"

int mig_feature_argsz(struct mig_device *dev, u32 flags, void *data, size_t size, u32 argsz)
{
	struct vfio_device_feature *feature = calloc_assert(1, sizeof(*feature) + size);
	int ret;

	feature->argsz = argsz;
	feature->flags = flags;
	if (size)
		memcpy(feature->data, data, size);
	ret = ioctl(dev->fd, VFIO_DEVICE_FEATURE, feature) < 0 ? -errno : 0;
	if (size)
		memcpy(data, feature->data, size);
	free(feature);
	return ret;
}

int mig_feature(struct mig_device *dev, u32 flags, void *data, size_t size)
{
	return mig_feature_argsz(dev, flags, data, size,
				 sizeof(struct vfio_device_feature) + size);
}

bool mig_has_feature(struct mig_device *dev, u32 feature)
{
	return !mig_feature(dev, VFIO_DEVICE_FEATURE_PROBE | feature, NULL, 0);
}

int mig_set_state(struct mig_device *dev, u32 state, int *data_fd)
{
	struct vfio_device_feature_mig_state set = { .device_state = state, .data_fd = -1 };
	int ret = mig_feature(dev, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			      &set, sizeof(set));

	if (data_fd)
		*data_fd = set.data_fd;
	else
		VFIO_ASSERT_EQ(set.data_fd, -1, "a session begins unasked\n");
	return ret;
}

u32 mig_get_state(struct mig_device *dev)
{
	struct vfio_device_feature_mig_state get = {};
	int ret = mig_feature(dev, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
			      &get, sizeof(get));

	VFIO_ASSERT_EQ(ret, 0);
	VFIO_ASSERT_EQ(get.data_fd, -1);
	return get.device_state;
}

int mig_data_size(struct mig_device *dev, u64 *size)
{
	struct vfio_device_feature_mig_data_size get = {};
	int ret = mig_feature(dev, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
			      &get, sizeof(get));

	*size = get.stop_copy_length;
	return ret;
}

int mig_precopy_info(int data_fd, struct vfio_precopy_info *info)
{
	*info = (struct vfio_precopy_info){ .argsz = sizeof(*info) };
	return ioctl(data_fd, VFIO_MIG_GET_PRECOPY_INFO, info) < 0 ? -errno : 0;
}

void mig_reset(struct mig_device *dev)
{
	vfio_pci_device_reset(dev->vfio);
}
