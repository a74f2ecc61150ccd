// SPDX-License-Identifier: GPL-2.0-only
/*
 * DMA of a function: a copy, page by page, between its own memory and the pages
 * that its IOMMU domain maps.
 *
 * A copy relies on three things: that the function is a bus master, its domain,
 * and the mappings of the domain.  It looks them up and uses them under the
 * function's dma_lock.  An unmap takes the lock after its change; attach, bus
 * master and reset take it for the change.  Then no copy is under way that began
 * before the change.  The lock is a raw spinlock because config space accesses
 * take it.  It is held for the copy of a page, which takes well under a
 * microsecond.
 *
 * If writes are tracked or logged, the same section records the page, see
 * dirty.c.  Memory for that is allocated without the lock.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/unaligned.h>

#include "dirty.h"
#include "fabric_priv.h"

/*
 * The page at a physical address, or NULL if that is not memory.  User space can
 * map BARs of other devices.  They have no struct page or, next to memory, a
 * reserved one.  The zero page and persistent memory are reserved too, but may be
 * used.
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
 * A write of at most VFMIG_DMA_ORDERED bytes arrives like a PCIe write, from low to high
 * addresses.  So a driver that polls the end of a queue entry may then read the rest of
 * it, and the entries before.  memcpy() does not guarantee the order.
 */
static void vfmig_dma_write_ordered(struct page *page, size_t offset, const void *buf, size_t len)
{
	void *to = kmap_local_page(page);

	for (size_t i = 0; i < len; i += sizeof(u64)) {
		u64 word = get_unaligned((const u64 *)(buf + i));

		/* Pairs with the read barrier of the guest's driver after its poll */
		smp_store_release((u64 *)(to + offset + i), word);
	}
	kunmap_local(to);
}

/*
 * An aligned word arrives as a whole, or a ring index would be torn.  memcpy() may move a
 * byte at a time.
 */
static bool vfmig_dma_is_word(size_t offset, size_t len)
{
	return (len == sizeof(u16) || len == sizeof(u32) || len == sizeof(u64)) &&
	       IS_ALIGNED(offset, len);
}

static void vfmig_dma_copy_word(void *to, const void *from, size_t len)
{
	switch (len) {
	case sizeof(u16):
		WRITE_ONCE(*(u16 *)to, READ_ONCE(*(const u16 *)from));
		break;
	case sizeof(u32):
		WRITE_ONCE(*(u32 *)to, READ_ONCE(*(const u32 *)from));
		break;
	case sizeof(u64):
		WRITE_ONCE(*(u64 *)to, READ_ONCE(*(const u64 *)from));
		break;
	}
}

static void vfmig_dma_write_word(struct page *page, size_t offset, const void *buf, size_t len)
{
	u64 word;
	void *to;

	/* @buf may be unaligned */
	memcpy(&word, buf, len);
	to = kmap_local_page(page);
	vfmig_dma_copy_word(to + offset, &word, len);
	kunmap_local(to);
}

static void vfmig_dma_read_page(void *buf, struct page *page, size_t offset, size_t len)
{
	void *from;
	u64 word;

	if (!vfmig_dma_is_word(offset, len)) {
		memcpy_from_page(buf, page, offset, len);
		return;
	}
	from = kmap_local_page(page);
	vfmig_dma_copy_word(&word, from + offset, len);
	kunmap_local(from);
	memcpy(buf, &word, len);
}

static void vfmig_dma_write_page(struct page *page, size_t offset, const void *buf, size_t len)
{
	if (len <= VFMIG_DMA_ORDERED && IS_ALIGNED(offset | len, sizeof(u64)))
		vfmig_dma_write_ordered(page, offset, buf, len);
	else if (vfmig_dma_is_word(offset, len))
		vfmig_dma_write_word(page, offset, buf, len);
	else
		memcpy_to_page(page, offset, buf, len);
}

/*
 * The places of a page in the sets of the IOMMU and of the function's log, as far as they are on;
 * @fn->dma_lock is held.  Returns NULL, or the first set that has no chunk for this page, with a
 * reference.
 */
static struct vfmig_dirty *vfmig_dma_find(struct vfmig_fn *fn, u64 iova,
					  struct vfmig_dirty *tracked,
					  struct vfmig_dirty_place *in_tracked,
					  struct vfmig_dirty_place *in_logged)
{
	if (tracked && !vfmig_dirty_find(tracked, iova, in_tracked))
		return vfmig_dirty_get(tracked);
	if (fn->logged && !vfmig_dirty_find(fn->logged, iova, in_logged))
		return vfmig_dirty_get(fn->logged);
	return NULL;
}

/*
 * Write within a page of IOVA, and add the page to the sets that are on.
 *
 * Returns NULL.  If a set has no chunk for this page, nothing is written, and the set
 * is returned with a reference.
 */
static struct vfmig_dirty *vfmig_dma_write_noted(struct vfmig_fn *fn, u64 iova, struct page *page,
						 size_t offset, const void *buf, size_t len)
{
	struct vfmig_dirty *tracked = READ_ONCE(fn->domain->dirty);
	struct vfmig_dirty_place in_tracked, in_logged;
	struct vfmig_dirty *unprepared;

	unprepared = vfmig_dma_find(fn, iova, tracked, &in_tracked, &in_logged);
	if (unprepared)
		return unprepared;

	vfmig_dma_write_page(page, offset, buf, len);

	if (tracked)
		vfmig_dirty_set(&in_tracked, iova);
	if (fn->logged)
		vfmig_dirty_set(&in_logged, iova);
	return NULL;
}

/*
 * Copy within a page of IOVA; @fn->dma_lock is held.  Sets *@unprepared to the return
 * value of vfmig_dma_write_noted(), or NULL.
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
		vfmig_dma_read_page(buf, page, offset_in_page(paddr), len);
	else if (unlikely(READ_ONCE(fn->domain->dirty) || fn->logged))
		*unprepared = vfmig_dma_write_noted(fn, iova, page, offset_in_page(paddr), buf,
						    len);
	else
		vfmig_dma_write_page(page, offset_in_page(paddr), buf, len);
	return 0;
}

/* A failure is no news: the write is tried again */
#define VFMIG_DMA_AT_ONCE	(GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN)
/* No OOM killer, no warning */
#define VFMIG_DMA_WAIT		(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* A set has no chunk for @iova: allocate it.  0 or -EAGAIN.  Drops the reference. */
static int vfmig_dma_prepare(struct vfmig_fn *fn, struct vfmig_dirty *unprepared, u64 iova)
{
	int ret = vfmig_dirty_prepare(unprepared, iova, VFMIG_DMA_AT_ONCE);

	vfmig_dirty_put(unprepared);
	if (!ret)
		return 0;
	/* Without its bit a write must wait until there is memory */
	scoped_guard(raw_spinlock_irqsave, &fn->dma_lock) {
		WRITE_ONCE(fn->starved, true);
		fn->starved_at = iova;
	}
	vfmig_fn_kick_later(fn);
	return -EAGAIN;
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
			ret = vfmig_dma_prepare(fn, unprepared, iova);
			if (ret)
				return ret;
			continue;
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

/* The set that the write which found no memory needs now, with a reference, or NULL; and where */
static struct vfmig_dirty *vfmig_dma_starved(struct vfmig_fn *fn, u64 *iova)
{
	struct vfmig_dirty_place in_tracked, in_logged;

	guard(raw_spinlock_irqsave)(&fn->dma_lock);
	WRITE_ONCE(fn->starved, false);
	*iova = fn->starved_at;
	if (!fn->domain)
		return NULL;
	return vfmig_dma_find(fn, *iova, READ_ONCE(fn->domain->dirty), &in_tracked, &in_logged);
}

bool vfmig_fn_get_memory(struct vfmig_fn *fn)
{
	struct vfmig_dirty *unprepared;
	u64 iova;
	int ret;

	if (!READ_ONCE(fn->starved))
		return false;
	unprepared = vfmig_dma_starved(fn, &iova);
	if (!unprepared)
		return true;
	ret = vfmig_dirty_prepare(unprepared, iova, VFMIG_DMA_WAIT);
	vfmig_dirty_put(unprepared);
	return !ret;
}
EXPORT_SYMBOL_GPL(vfmig_fn_get_memory);

u64 vfmig_fn_dma_faults(struct vfmig_fn *fn)
{
	return atomic64_read(&fn->dma_faults);
}
EXPORT_SYMBOL_GPL(vfmig_fn_dma_faults);
