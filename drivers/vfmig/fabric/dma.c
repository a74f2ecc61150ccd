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
 * dirty.c.  Memory for that is allocated without the lock.  If pages are to be
 * written again, it notes the page too, see rewrite.c.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/unaligned.h>

#include "dirty.h"
#include "fabric_priv.h"
#include "rewrite.h"

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
 * The place of a page in the sets of the IOMMU and of the function's log, as far as they
 * are on: NULL where a set is off
 */
struct vfmig_dma_places {
	struct vfmig_dirty *tracked;
	struct vfmig_dirty *logged;
	struct vfmig_dirty_place in_tracked;
	struct vfmig_dirty_place in_logged;
};

/*
 * Find the places before the page is written.  Returns NULL.  If a set has no chunk for this
 * page, the set is returned with a reference.
 */
static struct vfmig_dirty *vfmig_dma_find_places(struct vfmig_fn *fn, u64 iova,
						 struct vfmig_dma_places *places)
{
	places->tracked = READ_ONCE(fn->domain->dirty);
	places->logged = fn->logged;
	if (places->tracked && !vfmig_dirty_find(places->tracked, iova, &places->in_tracked))
		return vfmig_dirty_get(places->tracked);
	if (places->logged && !vfmig_dirty_find(places->logged, iova, &places->in_logged))
		return vfmig_dirty_get(places->logged);
	return NULL;
}

/* Add the page to the sets after it was written */
static void vfmig_dma_set_places(const struct vfmig_dma_places *places, u64 iova)
{
	if (places->tracked)
		vfmig_dirty_set(&places->in_tracked, iova);
	if (places->logged)
		vfmig_dirty_set(&places->in_logged, iova);
}

/*
 * Write within a page of IOVA, and record that.  Returns NULL, or the return value of
 * vfmig_dma_find_places() if nothing was written.
 */
static struct vfmig_dirty *vfmig_dma_write(struct vfmig_fn *fn, u64 iova, phys_addr_t paddr,
					   struct page *page, const void *buf, size_t len)
{
	if (unlikely(READ_ONCE(fn->domain->dirty) || fn->logged)) {
		struct vfmig_dma_places places;
		struct vfmig_dirty *unprepared = vfmig_dma_find_places(fn, iova, &places);

		if (unprepared)
			return unprepared;
		vfmig_dma_write_page(page, offset_in_page(paddr), buf, len);
		vfmig_dma_set_places(&places, iova);
	} else {
		vfmig_dma_write_page(page, offset_in_page(paddr), buf, len);
	}
	if (unlikely(fn->rewrite))
		vfmig_rewrite_note(fn->rewrite, iova, paddr);
	return NULL;
}

/*
 * Copy within a page of IOVA; @fn->dma_lock is held.  Sets *@unprepared to the return
 * value of vfmig_dma_write(), or NULL.
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
	else
		*unprepared = vfmig_dma_write(fn, iova, paddr, page, buf, len);
	return 0;
}

/**
 * vfmig_dma_again() - write a page again that the function has written, with what it holds
 * @fn: the function; it may do DMA, and has a domain
 * @iova: first byte of the page
 * @paddr: physical address that @iova led to
 * @unprepared: set to the return value of vfmig_dma_write(), or NULL
 *
 * Context: any; the function's dma_lock is held.
 *
 * Return: 0, -EFAULT if @iova does not lead to @paddr any more, or can't be written.
 */
int vfmig_dma_again(struct vfmig_fn *fn, u64 iova, phys_addr_t paddr,
		    struct vfmig_dirty **unprepared)
{
	struct vfmig_dma_places places;
	phys_addr_t is_now;
	struct page *page;
	void *word;

	*unprepared = NULL;
	if (!(vfmig_pt_walk(&fn->domain->pt, iova, &is_now) & VFMIG_PTE_WRITE) || is_now != paddr)
		return -EFAULT;
	page = vfmig_dma_page(paddr);
	if (!page)
		return -EFAULT;

	*unprepared = vfmig_dma_find_places(fn, iova, &places);
	if (*unprepared)
		return 0;
	word = kmap_local_page(page);
	/* A CPU may store to the word at the same time */
	atomic_or(0, (atomic_t *)word);
	kunmap_local(word);
	vfmig_dma_set_places(&places, iova);
	return 0;
}

/* A set has no chunk for @iova: allocate it.  0 or -EAGAIN.  Drops the reference. */
static int vfmig_dma_prepare(struct vfmig_fn *fn, struct vfmig_dirty *unprepared, u64 iova)
{
	int ret = vfmig_dirty_prepare(unprepared, iova, VFMIG_DIRTY_AT_ONCE);

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
	struct vfmig_dirty *unprepared = NULL;
	struct vfmig_dma_places places;

	raw_spin_lock_irq(&fn->dma_lock);
	WRITE_ONCE(fn->starved, false);
	*iova = fn->starved_at;
	if (fn->domain)
		unprepared = vfmig_dma_find_places(fn, *iova, &places);
	raw_spin_unlock_irq(&fn->dma_lock);
	return unprepared;
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
	ret = vfmig_dirty_prepare(unprepared, iova, VFMIG_DIRTY_WAIT);
	vfmig_dirty_put(unprepared);
	return !ret;
}
EXPORT_SYMBOL_GPL(vfmig_fn_get_memory);

u64 vfmig_fn_dma_faults(struct vfmig_fn *fn)
{
	return atomic64_read(&fn->dma_faults);
}
EXPORT_SYMBOL_GPL(vfmig_fn_dma_faults);
