/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An I/O address space, of a VFIO type1 container or of iommufd, and memory to map
 * into it.
 */
#ifndef VFMIG_TEST_IOMMU_H
#define VFMIG_TEST_IOMMU_H

#include "util.h"

enum iommu_mode {
	IOMMU_TYPE1,		/* /dev/vfio/vfio, groups */
	IOMMU_IOMMUFD,		/* /dev/iommu, device cdevs */
	IOMMU_IOMMUFD_TRACKED,	/* ... with a domain in which writes can be tracked */
};

#define MAP_READ	1	/* the device may read */
#define MAP_WRITE	2	/* the device may write */
#define MAP_RW		(MAP_READ | MAP_WRITE)

struct iommu {
	enum iommu_mode mode;
	int fd;
	u32 ioas_id;
	u32 hwpt_id;		/* the domain of IOMMU_IOMMUFD_TRACKED, 0 without a device */
};

/* Returns NULL, or why this mode is not available */
const char *iommu_init(struct iommu *iommu, enum iommu_mode mode);
void iommu_exit(struct iommu *iommu);
/* Another address space of the same iommufd, which iommu_exit() of @first is the end of */
void iommu_init_beside(struct iommu *iommu, const struct iommu *first);
bool iommu_has(enum iommu_mode mode);

/* 0 or -errno; a container can map only after a device was opened in it */
int iommu_map(struct iommu *iommu, u64 iova, void *va, u64 size, int prot);
int iommu_unmap(struct iommu *iommu, u64 iova, u64 size);

/* 0 or -errno; @dev_id is from binding a device, @flags are IOMMU_HWPT_ALLOC_* */
int iommu_hwpt_alloc(struct iommu *iommu, u32 dev_id, u32 flags, u32 *hwpt_id);

/* Highest IOVA that can be mapped; needs an open device */
u64 iommu_last_iova(struct iommu *iommu);

/**
 * struct arena - memory for a driver, like the memory of a guest
 * @va: address for the test
 * @iova: address for the device
 * @size: in bytes
 * @used: bytes allocated so far
 *
 * It can be mapped in several address spaces at the same IOVA, so the driver's data
 * keeps its address when the device moves.
 */
struct arena {
	u8 *va;
	u64 iova;
	size_t size;
	size_t used;
};

#define ARENA_SIZE	MIB(4)
#define ARENA_IOVA	0x100000000ULL

void arena_init(struct arena *arena);
void arena_exit(struct arena *arena);
void arena_map(struct arena *arena, struct iommu *iommu);
/* Map it again after the only device of @iommu was closed and opened again */
void arena_map_again(struct arena *arena, struct iommu *iommu);
/* Zeroed, aligned to a page; lives as long as the arena */
void *arena_alloc(struct arena *arena, size_t size);
u64 arena_iova(struct arena *arena, const void *va);

/* A huge page of 1 << @shift bytes, or NULL if none is available */
u8 *map_huge(unsigned int shift);

#endif /* VFMIG_TEST_IOMMU_H */
