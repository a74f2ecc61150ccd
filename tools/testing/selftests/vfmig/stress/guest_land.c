// SPDX-License-Identifier: GPL-2.0-only
/* Memory of a guest, with parts that a device must not touch */
#include <string.h>
#include <sys/mman.h>

#include "guest.h"

#define LAND_IOVA	0x200000000ULL
#define SMALL		(16 * PAGE)

/* Each part is followed by a hole, and there is one before the first */
static u8 *next_part(u8 **at, size_t size)
{
	u8 *part = *at;

	*at += size + SMALL;
	return part;
}

static void plant(u8 *at, size_t size)
{
	fill_pattern(at, size, (uintptr_t)at);
}

/* The memory that the device must leave alone: the holes, and what it may only read */
static void each_canary(struct land *land, void (*call)(u8 *at, size_t size))
{
	call(land->va, SMALL);
	call(land->rw.va + land->rw.size, SMALL);
	call(land->ro, SMALL);
	call(land->ro + SMALL, SMALL);
	call(land->wo + SMALL, SMALL);
}

void land_init(struct land *land, size_t size)
{
	u8 *at;

	land->size = size + 6 * SMALL;
	land->va = mmap(NULL, land->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			0);
	must(land->va != MAP_FAILED);
	at = land->va + SMALL;
	land->rw.size = size;
	land->rw.used = 0;
	land->rw.va = next_part(&at, size);
	land->rw.iova = land_iova(land, land->rw.va);
	land->ro = next_part(&at, SMALL);
	land->wo = next_part(&at, SMALL);
	each_canary(land, plant);
}

u64 land_iova(const struct land *land, const void *va)
{
	return LAND_IOVA + ((const u8 *)va - land->va);
}

void land_map(struct land *land, struct iommu *iommu)
{
	arena_map(&land->rw, iommu);
	must(!iommu_map(iommu, land_iova(land, land->ro), land->ro, SMALL, MAP_READ));
	must(!iommu_map(iommu, land_iova(land, land->wo), land->wo, SMALL, MAP_WRITE));
}

static void check(u8 *at, size_t size)
{
	if (!is_pattern(at, size, (uintptr_t)at))
		fail(__FILE__, __LINE__, "the device wrote to memory that it may not write to");
}

void land_check(struct land *land)
{
	each_canary(land, check);
}

static u64 some_page(struct land *land, u8 *part, u64 *random)
{
	return land_iova(land, part + random_below(random, SMALL / PAGE) * PAGE);
}

u64 land_hole(struct land *land, u64 *random)
{
	switch (random_below(random, 6)) {
	case 0:
		return 0;
	case 1:
		/* Beyond what the IOMMU can map, too */
		return next_random(random) & ~(PAGE - 1) & ~(1ULL << 33);
	case 2:
		return some_page(land, land->va, random);
	case 3:
		return some_page(land, land->ro + SMALL, random);
	case 4:
		return some_page(land, land->wo + SMALL, random);
	default:
		return some_page(land, land->rw.va + land->rw.size, random);
	}
}

u64 land_readonly(struct land *land, u64 *random)
{
	return some_page(land, land->ro, random);
}

u64 land_writeonly(struct land *land, u64 *random)
{
	return some_page(land, land->wo, random);
}
