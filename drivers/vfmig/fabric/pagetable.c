// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IOMMU's page table: a radix tree of four levels with leaves of 4 KiB,
 * 2 MiB and 1 GiB.
 *
 * The caller serialises writers.  vfmig_pt_walk() runs beside them without a
 * lock.  Entries are single words, and a table is complete before its entry is
 * set.  An unmap returns unused tables to the caller, who frees them when no walk
 * can be in them any more.
 *
 * Only the root can be empty.  So tables are allocated only for mappings, and an
 * entry for a table always leads to a mapping.
 */
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>

#include "fabric_priv.h"

#define PTE_LEAF	BIT_ULL(2)
#define PTE_TABLE	BIT_ULL(3)

#define PT_BITS		9	/* bits of an IOVA per level */
#define PT_ENTRIES	512U
#define PT_TOP		3	/* level of the root, whose leaves would be 512 GiB */

static unsigned int pt_shift(unsigned int level)
{
	return PAGE_SHIFT + level * PT_BITS;
}

static unsigned int pt_index(u64 iova, unsigned int level)
{
	return (iova >> pt_shift(level)) & (PT_ENTRIES - 1);
}

static u64 *pt_next(u64 pte)
{
	return phys_to_virt(pte & VFMIG_PTE_ADDR);
}

static u64 pt_entry(u64 *table)
{
	return virt_to_phys(table) | PTE_TABLE;
}

static u64 *pt_alloc(gfp_t gfp)
{
	struct page *page = alloc_page(gfp | __GFP_ZERO);

	if (!page)
		return NULL;
	set_page_private(page, 0);
	return page_address(page);
}

static void pt_free(u64 *table)
{
	struct page *page = virt_to_page(table);

	set_page_private(page, 0);
	__free_page(page);
}

/* The number of entries of a table is in its struct page */
static unsigned long pt_count(const u64 *table)
{
	return page_private(virt_to_page(table));
}

static void pt_count_add(u64 *table, long delta)
{
	struct page *page = virt_to_page(table);

	set_page_private(page, page_private(page) + delta);
}

int vfmig_pt_init(struct vfmig_pt *pt)
{
	pt->root = pt_alloc(GFP_KERNEL_ACCOUNT);
	return pt->root ? 0 : -ENOMEM;
}

static void pt_free_below(u64 *table, unsigned int level)
{
	for (unsigned int i = 0; level && i < PT_ENTRIES && pt_count(table); i++) {
		if (!table[i])
			continue;
		if (table[i] & PTE_TABLE)
			pt_free_below(pt_next(table[i]), level - 1);
		pt_count_add(table, -1);
	}
	pt_free(table);
}

/* No walk may be in the table any more.  Remaining mappings are dropped. */
void vfmig_pt_destroy(struct vfmig_pt *pt)
{
	pt_free_below(pt->root, PT_TOP);
}

/*
 * Add tables for @iova to @table, of level @top, down to @level.  They are complete
 * before a walk can see the first of them.
 */
static u64 *pt_grow(u64 *table, unsigned int top, u64 iova, unsigned int level, gfp_t gfp)
{
	u64 *fresh[PT_TOP];
	unsigned int l;

	for (l = level; l < top; l++) {
		fresh[l] = pt_alloc(gfp);
		if (!fresh[l])
			goto err_free;
		if (l == level)
			continue;
		fresh[l][pt_index(iova, l)] = pt_entry(fresh[l - 1]);
		pt_count_add(fresh[l], 1);
	}

	/* Pairs with the address dependency in vfmig_pt_walk() */
	smp_store_release(&table[pt_index(iova, top)], pt_entry(fresh[top - 1]));
	pt_count_add(table, 1);
	return fresh[level];

err_free:
	while (l-- > level)
		pt_free(fresh[l]);
	return ERR_PTR(-ENOMEM);
}

/* The table of @level for @iova, allocated if there is none */
static u64 *pt_get_table(struct vfmig_pt *pt, u64 iova, unsigned int level, gfp_t gfp)
{
	u64 *table = pt->root;

	for (unsigned int l = PT_TOP; l > level; l--) {
		u64 pte = table[pt_index(iova, l)];

		if (!pte)
			return pt_grow(table, l, iova, level, gfp);
		if (pte & PTE_LEAF)
			return ERR_PTR(-EEXIST);
		table = pt_next(pte);
	}
	return table;
}

/**
 * vfmig_pt_map() - map pages of one size
 * @pt: page table
 * @iova: first byte, aligned to @pgsize
 * @paddr: first physical address, aligned to @pgsize
 * @pgsize: one of VFMIG_PT_PGSIZES
 * @pgcount: number of pages
 * @perms: VFMIG_PTE_READ, VFMIG_PTE_WRITE
 * @gfp: for allocation of tables
 * @mapped: incremented by the bytes that were mapped, on error too
 *
 * Return: 0, -ERANGE beyond the aperture, -EEXIST if a page is mapped already,
 * -ENOMEM.
 */
int vfmig_pt_map(struct vfmig_pt *pt, u64 iova, phys_addr_t paddr, size_t pgsize, size_t pgcount,
		 u64 perms, gfp_t gfp, size_t *mapped)
{
	unsigned int level = (ilog2(pgsize) - PAGE_SHIFT) / PT_BITS;
	u64 end;

	if (check_add_overflow(iova, (u64)pgsize * pgcount - 1, &end) ||
	    end >> VFMIG_PT_IOVA_BITS)
		return -ERANGE;

	while (pgcount) {
		u64 *table = pt_get_table(pt, iova, level, gfp);
		unsigned int i;

		if (IS_ERR(table))
			return PTR_ERR(table);

		/* All entries in this table: a new one gets at least one entry */
		for (i = pt_index(iova, level); i < PT_ENTRIES && pgcount; i++, pgcount--) {
			if (table[i])
				return -EEXIST;
			WRITE_ONCE(table[i], paddr | perms | PTE_LEAF);
			pt_count_add(table, 1);
			iova += pgsize;
			paddr += pgsize;
			*mapped += pgsize;
		}
	}
	return 0;
}

/* Unmap the part of the range in one table, and unlink tables that become empty */
static size_t pt_unmap_in_table(struct vfmig_pt *pt, u64 iova, size_t size,
				struct list_head *unused)
{
	u64 *path[PT_TOP + 1] = { [PT_TOP] = pt->root };
	unsigned int level = PT_TOP;
	size_t pgsize, done = 0;
	u64 pte;

	while (!((pte = path[level][pt_index(iova, level)]) & PTE_LEAF)) {
		if (!pte)
			return 0;
		path[--level] = pt_next(pte);
	}

	/* A part of a large page can't be unmapped; VFIO and iommufd don't ask for it */
	pgsize = 1UL << pt_shift(level);
	if (!IS_ALIGNED(iova, pgsize))
		return 0;

	for (unsigned int i = pt_index(iova, level); i < PT_ENTRIES && size - done >= pgsize; i++) {
		if (!(path[level][i] & PTE_LEAF))
			break;
		WRITE_ONCE(path[level][i], 0);
		pt_count_add(path[level], -1);
		done += pgsize;
	}

	for (; level < PT_TOP && !pt_count(path[level]); level++) {
		WRITE_ONCE(path[level + 1][pt_index(iova, level + 1)], 0);
		pt_count_add(path[level + 1], -1);
		list_add(&virt_to_page(path[level])->lru, unused);
	}
	return done;
}

/**
 * vfmig_pt_unmap() - unmap pages of any size
 * @pt: page table
 * @iova: first byte, aligned to 4 KiB
 * @size: bytes, a multiple of 4 KiB
 * @unused: gets tables, for vfmig_pt_free_unused() when no walk can be in them
 *
 * Return: number of bytes unmapped; less than @size if the range has a hole or ends
 * within a large page.
 */
size_t vfmig_pt_unmap(struct vfmig_pt *pt, u64 iova, size_t size, struct list_head *unused)
{
	size_t unmapped = 0, done;

	if (iova >> VFMIG_PT_IOVA_BITS)
		return 0;

	while (unmapped < size && !((iova + unmapped) >> VFMIG_PT_IOVA_BITS)) {
		done = pt_unmap_in_table(pt, iova + unmapped, size - unmapped, unused);
		if (!done)
			break;
		unmapped += done;
	}
	return unmapped;
}

void vfmig_pt_free_unused(struct list_head *unused)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, unused, lru) {
		list_del(&page->lru);
		pt_free(page_address(page));
	}
}

/**
 * vfmig_pt_walk() - translate an IOVA
 * @pt: page table
 * @iova: any byte
 * @paddr: set to the physical address of that byte
 *
 * Context: any, under &vfmig_domain.lock or the dma_lock of an attached function, so
 * that no table is freed during the walk.
 *
 * Return: permissions (VFMIG_PTE_READ, VFMIG_PTE_WRITE) and other non-zero bits of the
 * entry, or 0 if there is no mapping.
 */
u64 vfmig_pt_walk(const struct vfmig_pt *pt, u64 iova, phys_addr_t *paddr)
{
	const u64 *table = pt->root;
	unsigned int level = PT_TOP;
	u64 pte, offset;

	if (iova >> VFMIG_PT_IOVA_BITS)
		return 0;

	while (!((pte = READ_ONCE(table[pt_index(iova, level)])) & PTE_LEAF)) {
		if (!pte)
			return 0;
		table = pt_next(pte);
		level--;
	}

	offset = iova & ((1ULL << pt_shift(level)) - 1);
	*paddr = (pte & VFMIG_PTE_ADDR) + offset;
	return pte & ~VFMIG_PTE_ADDR;
}
