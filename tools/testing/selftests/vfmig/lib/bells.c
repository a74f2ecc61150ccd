// SPDX-License-Identifier: GPL-2.0-only
/* See bells.h */
#include "bells.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

/* The region's information, and its capabilities behind it */
struct info {
	struct vfio_region_info region;
	u8 caps[256];
};

static struct vfio_info_cap_header *header(struct info *info, u32 offset)
{
	must(offset <= sizeof(*info) - sizeof(struct vfio_info_cap_header));
	return offset ? (void *)((u8 *)info + offset) : NULL;
}

bool bells_area(struct vfio_dev *dev, u64 *offset, u64 *size)
{
	struct info info = { .region = { .argsz = sizeof(info), .index = 0 } };
	struct vfio_region_info_cap_sparse_mmap *sparse;
	struct vfio_info_cap_header *cap;

	must(!ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, &info));
	if (!(info.region.flags & VFIO_REGION_INFO_FLAG_MMAP))
		return false;
	must(info.region.flags & VFIO_REGION_INFO_FLAG_CAPS);
	must(info.region.argsz <= sizeof(info));
	cap = header(&info, info.region.cap_offset);
	while (cap && cap->id != VFIO_REGION_INFO_CAP_SPARSE_MMAP)
		cap = header(&info, cap->next);
	must(cap);
	sparse = (void *)cap;
	must(sparse->nr_areas == 1);
	*offset = sparse->areas[0].offset;
	*size = sparse->areas[0].size;
	return true;
}

u32 *bells_map(struct vfio_dev *dev)
{
	u64 offset, size;
	void *bells;

	if (!bells_area(dev, &offset, &size))
		return NULL;
	must(offset == NVME_DOORBELLS && size == PAGE);
	bells = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd, dev->bar0 + offset);
	must(bells != MAP_FAILED);
	return bells;
}

void bells_unmap(u32 *bells)
{
	must(!munmap(bells, PAGE));
}

void bells_store(u32 *bells, unsigned int index, u32 value)
{
	__atomic_store_n(&bells[index], value, __ATOMIC_RELAXED);
}

void bells_use(struct nvme *nvme, u32 *bells)
{
	nvme->bells = bells;
}
