// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA of a function: a copy, page by page, between its own memory and the pages
 * that its IOMMU domain maps.
 *
 * What a copy relies on it finds and uses under the function's dma_lock: that
 * the function is a bus master, which domain it is attached to, and what that
 * domain maps.  Who changes one of these takes the lock after (unmap) or for
 * (attach, bus master, reset) the change, and knows then that no copy is under
 * way that began before.  A page is copied in well under a microsecond, so the
 * lock is as raw as config space needs it, and nobody waits for long.
 *
 * Where writes are tracked or logged, each page is noted in the same section, see
 * dirty.c.  That can take memory, which has to be found without the lock.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/unaligned.h>

#include "dirty.h"
#include "fabric_priv.h"

/*
 * The page at a physical address if it is memory.  User space may map other
 * devices' BARs too; those have no struct page, or, next to memory, one that is
 * reserved, as are those of the zero page and of persistent memory.
 */
static struct page *vfmig_dma_page(phys_addr_t paddr)
{
	unsigned long pfn = PHYS_PFN(paddr);
	struct page *page;

	if (!pfn_valid(pfn))
		return NULL;
	page = pfn_to_page(pfn);
	if (PageHWPoison(page))
		return NULL;
	if (PageReserved(page) && !is_zero_pfn(pfn) && !is_zone_device_page(page))
		return NULL;
	return page;
}

/*
 * A small write arrives as a PCIe write does, from low to high addresses: whoever
 * polls the end of a queue entry may then read the rest of it.  memcpy() doesn't
 * promise that.
 */
#define VFMIG_DMA_ORDERED	64

static void vfmig_dma_write_ordered(struct page *page, size_t offset, const void *buf, size_t len)
{
	void *to = kmap_local_page(page);

	for (size_t i = 0; i < len; i += sizeof(u64)) {
		u64 word = get_unaligned((const u64 *)(buf + i));

		/* Pairs with whatever read barrier the driver has after its poll */
		smp_store_release((u64 *)(to + offset + i), word);
	}
	kunmap_local(to);
}

static void vfmig_dma_write_page(struct page *page, size_t offset, const void *buf, size_t len)
{
	if (len <= VFMIG_DMA_ORDERED && IS_ALIGNED(offset | len, sizeof(u64)))
		vfmig_dma_write_ordered(page, offset, buf, len);
	else
		memcpy_to_page(page, offset, buf, len);
}

/*
 * Write within a page of IOVA, and note that it was written where that is to be
 * known: for the IOMMU, and in the function's own log.
 *
 * Returns NULL, or a set of pages with a reference, if nothing was written because
 * the set is not prepared for this page.
 */
static struct vfmig_dirty *vfmig_dma_write_noted(struct vfmig_fn *fn, u64 iova, struct page *page,
						 size_t offset, const void *buf, size_t len)
{
	struct vfmig_dirty *tracked = READ_ONCE(fn->domain->dirty);
	struct vfmig_dirty_place in_tracked, in_logged;

	if (tracked && !vfmig_dirty_find(tracked, iova, &in_tracked))
		return vfmig_dirty_get(tracked);
	if (fn->logged && !vfmig_dirty_find(fn->logged, iova, &in_logged))
		return vfmig_dirty_get(fn->logged);

	vfmig_dma_write_page(page, offset, buf, len);

	if (tracked)
		vfmig_dirty_set(&in_tracked, iova);
	if (fn->logged)
		vfmig_dirty_set(&in_logged, iova);
	return NULL;
}

/*
 * Copy within a page of IOVA; @fn->dma_lock is held.  *@unprepared is NULL, or as
 * vfmig_dma_write_noted() returns it.
 */
static int vfmig_dma_copy(struct vfmig_fn *fn, u64 iova, void *buf, size_t len, u64 perm,
			  struct vfmig_dirty **unprepared)
{
	struct page *page;
	phys_addr_t paddr;

	*unprepared = NULL;
	if (!fn->master)
		return -EAGAIN;
	if (!fn->domain || !(vfmig_pt_walk(&fn->domain->pt, iova, &paddr) & perm))
		return -EFAULT;
	page = vfmig_dma_page(paddr);
	if (!page)
		return -EFAULT;

	if (perm == VFMIG_PTE_READ)
		memcpy_from_page(buf, page, offset_in_page(paddr), len);
	else if (unlikely(READ_ONCE(fn->domain->dirty) || fn->logged))
		*unprepared = vfmig_dma_write_noted(fn, iova, page, offset_in_page(paddr), buf,
						    len);
	else
		vfmig_dma_write_page(page, offset_in_page(paddr), buf, len);
	return 0;
}

static int vfmig_dma(struct vfmig_fn *fn, u64 iova, void *buf, size_t len, u64 perm)
{
	while (len) {
		size_t chunk = min(len, PAGE_SIZE - offset_in_page(iova));
		struct vfmig_dirty *unprepared;
		unsigned long flags;
		int ret;

		raw_spin_lock_irqsave(&fn->dma_lock, flags);
		ret = vfmig_dma_copy(fn, iova, buf, chunk, perm, &unprepared);
		raw_spin_unlock_irqrestore(&fn->dma_lock, flags);

		if (unprepared) {
			ret = vfmig_dirty_prepare(unprepared, iova);
			vfmig_dirty_put(unprepared);
			if (!ret)
				continue;
			/* No write is done without its bit: it waits until there is memory */
			vfmig_fn_kick_later(fn);
			return -EAGAIN;
		}
		if (ret == -EFAULT) {
			atomic64_inc(&fn->dma_faults);
			/* One guest's faults must not hide another's */
			if (__ratelimit(&fn->faults_said))
				pr_warn("vfmig %s: DMA fault: %s of %zu bytes at IOVA %#llx\n",
					fn->name, perm == VFMIG_PTE_WRITE ? "write" : "read",
					chunk, iova);
		}
		if (ret)
			return ret;
		iova += chunk;
		buf += chunk;
		len -= chunk;
	}
	return 0;
}

int vfmig_fn_dma_read(struct vfmig_fn *fn, u64 iova, void *buf, size_t len)
{
	return vfmig_dma(fn, iova, buf, len, VFMIG_PTE_READ);
}
EXPORT_SYMBOL_GPL(vfmig_fn_dma_read);

int vfmig_fn_dma_write(struct vfmig_fn *fn, u64 iova, const void *buf, size_t len)
{
	might_sleep();
	return vfmig_dma(fn, iova, (void *)buf, len, VFMIG_PTE_WRITE);
}
EXPORT_SYMBOL_GPL(vfmig_fn_dma_write);

u64 vfmig_fn_dma_faults(struct vfmig_fn *fn)
{
	return atomic64_read(&fn->dma_faults);
}
EXPORT_SYMBOL_GPL(vfmig_fn_dma_faults);
