// SPDX-License-Identifier: GPL-2.0-only
/* See iommu.h */
#include "iommu.h"
#include "compat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT	26
#endif

static void ioas_alloc(struct iommu *iommu)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };

	must(!ioctl(iommu->fd, IOMMU_IOAS_ALLOC, &alloc));
	iommu->ioas_id = alloc.out_ioas_id;
}

const char *iommu_init(struct iommu *iommu, enum iommu_mode mode)
{
	iommu->mode = mode;
	iommu->hwpt_id = 0;
	if (mode == IOMMU_TYPE1) {
		iommu->fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
		if (iommu->fd < 0)
			return "no VFIO container (/dev/vfio/vfio)";
		if (ioctl(iommu->fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) != 1)
			return "no VFIO type1 IOMMU";
		return NULL;
	}
	iommu->fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);
	if (iommu->fd < 0)
		return "this kernel has no iommufd (/dev/iommu)";
	if (!file_exists("/dev/vfio/devices"))
		return "this kernel has no VFIO device cdevs (/dev/vfio/devices)";
	ioas_alloc(iommu);
	return NULL;
}

void iommu_init_beside(struct iommu *iommu, const struct iommu *first)
{
	must(first->mode != IOMMU_TYPE1);
	*iommu = *first;
	iommu->hwpt_id = 0;
	ioas_alloc(iommu);
}

void iommu_exit(struct iommu *iommu)
{
	close(iommu->fd);
	iommu->fd = -1;
}

bool iommu_has(enum iommu_mode mode)
{
	struct iommu iommu = { .fd = -1 };
	bool has = !iommu_init(&iommu, mode);

	if (iommu.fd >= 0)
		iommu_exit(&iommu);
	return has;
}

static int type1_map(struct iommu *iommu, u64 iova, void *va, u64 size, int prot)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.vaddr = (uintptr_t)va,
		.iova = iova,
		.size = size,
	};

	if (prot & MAP_READ)
		map.flags |= VFIO_DMA_MAP_FLAG_READ;
	if (prot & MAP_WRITE)
		map.flags |= VFIO_DMA_MAP_FLAG_WRITE;
	return ioctl(iommu->fd, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

static int iommufd_map(struct iommu *iommu, u64 iova, void *va, u64 size, int prot)
{
	struct iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA,
		.ioas_id = iommu->ioas_id,
		.user_va = (uintptr_t)va,
		.length = size,
		.iova = iova,
	};

	if (prot & MAP_READ)
		map.flags |= IOMMU_IOAS_MAP_READABLE;
	if (prot & MAP_WRITE)
		map.flags |= IOMMU_IOAS_MAP_WRITEABLE;
	return ioctl(iommu->fd, IOMMU_IOAS_MAP, &map) ? -errno : 0;
}

int iommu_map(struct iommu *iommu, u64 iova, void *va, u64 size, int prot)
{
	if (iommu->mode == IOMMU_TYPE1)
		return type1_map(iommu, iova, va, size, prot);
	return iommufd_map(iommu, iova, va, size, prot);
}

int iommu_unmap(struct iommu *iommu, u64 iova, u64 size)
{
	struct vfio_iommu_type1_dma_unmap type1 = {
		.argsz = sizeof(type1),
		.iova = iova,
		.size = size,
	};
	struct iommu_ioas_unmap fd = {
		.size = sizeof(fd),
		.ioas_id = iommu->ioas_id,
		.iova = iova,
		.length = size,
	};

	if (iommu->mode == IOMMU_TYPE1) {
		if (ioctl(iommu->fd, VFIO_IOMMU_UNMAP_DMA, &type1))
			return -errno;
		return type1.size == size ? 0 : -ENOENT;
	}
	return ioctl(iommu->fd, IOMMU_IOAS_UNMAP, &fd) ? -errno : 0;
}

int iommu_hwpt_alloc(struct iommu *iommu, u32 dev_id, u32 flags, u32 *hwpt_id)
{
	struct iommu_hwpt_alloc alloc = {
		.size = sizeof(alloc),
		.flags = flags,
		.dev_id = dev_id,
		.pt_id = iommu->ioas_id,
	};

	if (ioctl(iommu->fd, IOMMU_HWPT_ALLOC, &alloc))
		return -errno;
	*hwpt_id = alloc.out_hwpt_id;
	return 0;
}

/* The last of the ranges that the type1 IOMMU reports */
static u64 type1_last_iova(struct iommu *iommu)
{
	u64 buf[128] = {};
	struct vfio_iommu_type1_info *info = (void *)buf;
	struct vfio_iommu_type1_info_cap_iova_range *cap;
	u32 off;

	info->argsz = sizeof(buf);
	must(!ioctl(iommu->fd, VFIO_IOMMU_GET_INFO, info));
	must(info->flags & VFIO_IOMMU_INFO_CAPS);
	for (off = info->cap_offset; off && off < sizeof(buf); off = cap->header.next) {
		cap = (void *)((u8 *)buf + off);
		if (cap->header.id == VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE)
			return cap->iova_ranges[cap->nr_iovas - 1].end;
	}
	return 0;
}

/* The same of iommufd, with what all devices of the address space can reach */
static u64 ioas_last_iova(struct iommu *iommu)
{
	struct iommu_iova_range allowed[16];
	struct iommu_ioas_iova_ranges ranges = {
		.size = sizeof(ranges),
		.ioas_id = iommu->ioas_id,
		.num_iovas = ARRAY_SIZE(allowed),
		.allowed_iovas = (uintptr_t)allowed,
	};

	must(!ioctl(iommu->fd, IOMMU_IOAS_IOVA_RANGES, &ranges));
	return allowed[ranges.num_iovas - 1].last;
}

u64 iommu_last_iova(struct iommu *iommu)
{
	return iommu->mode == IOMMU_TYPE1 ? type1_last_iova(iommu) : ioas_last_iova(iommu);
}

void arena_init(struct arena *arena)
{
	arena->va = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);
	must(arena->va != MAP_FAILED);
	arena->size = ARENA_SIZE;
	arena->iova = ARENA_IOVA;
	arena->used = 0;
}

void arena_exit(struct arena *arena)
{
	munmap(arena->va, arena->size);
}

void arena_map(struct arena *arena, struct iommu *iommu)
{
	must(!iommu_map(iommu, arena->iova, arena->va, arena->size, MAP_RW));
}

void arena_map_again(struct arena *arena, struct iommu *iommu)
{
	/* What iommufd maps stays without a device */
	if (iommu->mode == IOMMU_TYPE1)
		arena_map(arena, iommu);
}

void *arena_alloc(struct arena *arena, size_t size)
{
	void *va = arena->va + arena->used;

	size = (size + PAGE - 1) & ~(PAGE - 1);
	must(arena->used + size <= arena->size);
	arena->used += size;
	return memset(va, 0, size);
}

u64 arena_iova(struct arena *arena, const void *va)
{
	size_t off = (const u8 *)va - arena->va;

	must(off < arena->size);
	return arena->iova + off;
}

static u8 *try_huge(unsigned int shift)
{
	int flags = MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | (int)shift << MAP_HUGE_SHIFT;
	u8 *mem = mmap(NULL, 1UL << shift, PROT_READ | PROT_WRITE, flags, -1, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

u8 *map_huge(unsigned int shift)
{
	char path[128], old[32], more[32];
	u8 *mem = try_huge(shift);

	if (mem)
		return mem;
	/* None are set aside: let there be one more than may be */
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/%s",
		 (1UL << shift) / 1024, "nr_overcommit_hugepages");
	if (file_read(path, old, sizeof(old)))
		return NULL;
	snprintf(more, sizeof(more), "%llu", strtoull(old, NULL, 10) + 1);
	file_write(path, more);
	mem = try_huge(shift);
	file_write(path, old);
	return mem;
}
