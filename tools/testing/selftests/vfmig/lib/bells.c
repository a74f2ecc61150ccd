// SPDX-License-Identifier: GPL-2.0-only
/* See bells.h */
#include "bells.h"

#include <sys/ioctl.h>
#include <sys/mman.h>

#include "pf.h"

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

/* The page at @offset, or NULL if it can't be mapped */
static u32 *page_map(struct vfio_dev *dev, u64 offset)
{
	u64 first, size;
	void *page;

	if (!bells_area(dev, &first, &size) || offset < first)
		return NULL;
	must(first + size == NVME_DOORBELLS + PAGE);
	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dev->fd, dev->bar0 + offset);
	must(page != MAP_FAILED);
	return page;
}

u32 *bells_map(struct vfio_dev *dev)
{
	return page_map(dev, NVME_DOORBELLS);
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

u32 *bells_begin(struct nvme *nvme, const char *pf, unsigned int poll_us)
{
	u32 *bells;

	must(!pf_attr_set(pf, "doorbell_poll_us", poll_us));
	bells = bells_map(nvme->dev);
	if (bells)
		bells_use(nvme, bells);
	return bells;
}

u32 *regs_map(struct vfio_dev *dev)
{
	return page_map(dev, 0);
}

void regs_unmap(u32 *regs)
{
	must(!munmap(regs, PAGE));
}

u32 regs_load(const u32 *regs, u64 offset)
{
	return __atomic_load_n(&regs[offset / sizeof(*regs)], __ATOMIC_ACQUIRE);
}

void regs_store(u32 *regs, u64 offset, u32 value)
{
	__atomic_store_n(&regs[offset / sizeof(*regs)], value, __ATOMIC_RELEASE);
}

void regs_store64(u32 *regs, u64 offset, u64 value)
{
	__atomic_store_n((u64 *)&regs[offset / sizeof(*regs)], value, __ATOMIC_RELEASE);
}

static void *hammer_thread(void *data)
{
	struct hammer *h = data;

	for (u32 i = 0; !__atomic_load_n(&h->stop, __ATOMIC_RELAXED); i++) {
		h->store(h->page, i);
		__atomic_store_n(&h->stores, i + 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

void hammer_begin(struct hammer *h, u32 *page, void (*store)(u32 *page, u32 i))
{
	*h = (struct hammer){ .page = page, .store = store };
	must(!pthread_create(&h->thread, NULL, hammer_thread, h));
	must(wait_until(__atomic_load_n(&h->stores, __ATOMIC_RELAXED)));
}

void hammer_end(struct hammer *h)
{
	__atomic_store_n(&h->stop, true, __ATOMIC_RELAXED);
	must(!pthread_join(h->thread, NULL));
}
