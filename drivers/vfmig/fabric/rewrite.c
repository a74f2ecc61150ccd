// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory that changes by itself, on command: the function writes pages again that it
 * wrote before, at a rate.  So a migration can be kept from converging without a guest that
 * is busy.
 *
 * While this is on, each DMA write notes its pages here.  A page is known by its IOVA.  If
 * there are too many, a new page takes the place of the one that was noted first.
 *
 * The guest may use such a page for something else by now.  So what is written is one word,
 * by an atomic OR with 0: whatever the guest stores there meanwhile is not lost.  If the IOVA
 * leads to other memory than it did, or to none, the page is forgotten.  That is no DMA
 * fault, because the guest was allowed to take its buffer away.
 *
 * All rules for DMA apply, see may_rewrite().  If neither the IOMMU nor the function records
 * writes, nobody could tell that a page was written, and nothing is done.
 *
 * The function's dma_lock protects everything.  Noting a page takes a bounded time, whatever
 * addresses a guest chooses: the hash has a secret.
 */
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/jhash.h>
#include <linux/kstrtox.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/random.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

#include "dirty.h"
#include "fabric_priv.h"
#include "rewrite.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

#define VFMIG_REWRITE_RATE	SZ_1G	/* bytes per second */
#define VFMIG_REWRITE_PAGES	SZ_64K
#define VFMIG_REWRITE_TEXT	64

/* Pages that are written at a time, before the worker looks at its other work */
#define VFMIG_REWRITE_BURST	256
/* Pages that should have been written longer ago are left out */
#define VFMIG_REWRITE_BACKLOG	(100 * NSEC_PER_MSEC)

/**
 * struct vfmig_written - a page that the function wrote
 * @node: in &vfmig_rewrite.buckets
 * @iova: its IOVA
 * @paddr: its physical address when it was written
 */
struct vfmig_written {
	struct hlist_node node;
	u64 iova;
	phys_addr_t paddr;
};

/**
 * struct vfmig_rewrite - what is to be written again
 * @rate: bytes per second
 * @step: ns from page to page
 * @due: ktime in ns at which the next page is to be written
 * @count: pages that were written again
 * @secret: of the hash
 * @mask: number of @buckets - 1
 * @buckets: @pages by IOVA
 * @max: size of @pages
 * @known: number of @pages that are valid, from the first on
 * @next: the one to be written next
 * @oldest: the one that a new page replaces when all are valid
 * @pages: the pages
 */
struct vfmig_rewrite {
	u64 rate;
	u64 step;
	u64 due;
	u64 count;
	u32 secret;
	u32 mask;
	struct hlist_head *buckets;
	unsigned int max;
	unsigned int known;
	unsigned int next;
	unsigned int oldest;
	struct vfmig_written pages[] __counted_by(max);
};

static void rewrite_free(struct vfmig_rewrite *rewrite)
{
	if (rewrite)
		kvfree(rewrite->buckets);
	kvfree(rewrite);
}

static struct vfmig_rewrite *rewrite_create(u64 rate, unsigned int max)
{
	struct vfmig_rewrite *rewrite = kvzalloc(struct_size(rewrite, pages, max), GFP_KERNEL);
	u32 buckets = roundup_pow_of_two(max);

	if (!rewrite)
		return NULL;
	rewrite->max = max;
	rewrite->rate = rate;
	rewrite->step = div64_u64((u64)PAGE_SIZE * NSEC_PER_SEC, rate);
	rewrite->due = ktime_get_ns();
	rewrite->secret = get_random_u32();
	rewrite->mask = buckets - 1;
	rewrite->buckets = kvcalloc(buckets, sizeof(*rewrite->buckets), GFP_KERNEL);
	if (rewrite->buckets)
		return rewrite;
	rewrite_free(rewrite);
	return NULL;
}

/* NULL ends it */
static void rewrite_replace(struct vfmig_fn *fn, struct vfmig_rewrite *rewrite)
{
	struct vfmig_rewrite *old;

	scoped_guard(raw_spinlock_irq, &fn->dma_lock) {
		old = fn->rewrite;
		WRITE_ONCE(fn->rewrite, rewrite);
	}
	rewrite_free(old);
}

/* The function has no model any more */
void vfmig_rewrite_end(struct vfmig_fn *fn)
{
	rewrite_replace(fn, NULL);
}

static struct hlist_head *bucket_of(struct vfmig_rewrite *rewrite, u64 iova)
{
	u64 pfn = PHYS_PFN(iova);

	return &rewrite->buckets[jhash_2words(pfn, pfn >> 32, rewrite->secret) & rewrite->mask];
}

/* The place for a page that is not known, in no bucket */
static struct vfmig_written *take_place(struct vfmig_rewrite *rewrite)
{
	struct vfmig_written *page;

	if (rewrite->known < rewrite->max)
		return &rewrite->pages[rewrite->known++];
	page = &rewrite->pages[rewrite->oldest];
	rewrite->oldest = (rewrite->oldest + 1) % rewrite->max;
	hlist_del(&page->node);
	return page;
}

/**
 * vfmig_rewrite_note() - the function has written a page
 * @rewrite: its &vfmig_fn.rewrite
 * @iova: any byte of the page
 * @paddr: physical address of that byte
 *
 * Context: any; the function's dma_lock is held.
 */
void vfmig_rewrite_note(struct vfmig_rewrite *rewrite, u64 iova, phys_addr_t paddr)
{
	struct hlist_head *bucket = bucket_of(rewrite, iova);
	struct vfmig_written *page;

	hlist_for_each_entry(page, bucket, node)
		if (page->iova == (iova & PAGE_MASK))
			goto known;
	page = take_place(rewrite);
	page->iova = iova & PAGE_MASK;
	hlist_add_head(&page->node, bucket);
known:
	page->paddr = paddr & PAGE_MASK;
}

/* The last page gets the place of one that is forgotten */
static void forget_page(struct vfmig_rewrite *rewrite, unsigned int index)
{
	struct vfmig_written *page = &rewrite->pages[index];
	struct vfmig_written *last = &rewrite->pages[--rewrite->known];

	hlist_del(&page->node);
	rewrite->oldest = 0;
	if (page == last)
		return;
	hlist_del(&last->node);
	page->iova = last->iova;
	page->paddr = last->paddr;
	hlist_add_head(&page->node, bucket_of(rewrite, page->iova));
}

static void forget_all(struct vfmig_rewrite *rewrite)
{
	rewrite->known = 0;
	rewrite->next = 0;
	rewrite->oldest = 0;
	memset(rewrite->buckets, 0, array_size(rewrite->mask + 1, sizeof(*rewrite->buckets)));
}

void vfmig_fn_forget_writes(struct vfmig_fn *fn)
{
	/* Not only to save time: a device that is never opened has no function */
	if (likely(!fn || !READ_ONCE(fn->rewrite)))
		return;
	raw_spin_lock_irq(&fn->dma_lock);
	if (fn->rewrite)
		forget_all(fn->rewrite);
	raw_spin_unlock_irq(&fn->dma_lock);
}
EXPORT_SYMBOL_GPL(vfmig_fn_forget_writes);

/*
 * A model that is stopped, or not open, holds its interrupts back.  Then it does no DMA either.
 * vfmig_fn_hold_irqs() waits for a page under way.
 */
static bool may_rewrite(const struct vfmig_fn *fn)
{
	return fn->master && fn->domain && !test_bit(VFMIG_IRQ_HELD_BIT, &fn->irq_state) &&
	       (READ_ONCE(fn->domain->dirty) || fn->logged);
}

/*
 * Write the next page if it is due; returns false if none is.  If a set has no chunk for it,
 * nothing is written, and *@unprepared is the set with a reference.
 */
static bool rewrite_page(struct vfmig_fn *fn, u64 *iova, struct vfmig_dirty **unprepared)
{
	struct vfmig_rewrite *rewrite = fn->rewrite;
	u64 now = ktime_get_ns();
	int ret;

	if (!rewrite)
		return false;
	if (!rewrite->known || !may_rewrite(fn)) {
		rewrite->due = now;
		return false;
	}
	if (now < rewrite->due)
		return false;
	if (now - rewrite->due > VFMIG_REWRITE_BACKLOG)
		rewrite->due = now - VFMIG_REWRITE_BACKLOG;

	if (rewrite->next >= rewrite->known)
		rewrite->next = 0;
	*iova = rewrite->pages[rewrite->next].iova;
	ret = vfmig_dma_again(fn, *iova, rewrite->pages[rewrite->next].paddr, unprepared);
	if (*unprepared)
		return true;
	if (ret) {
		forget_page(rewrite, rewrite->next);
		return true;
	}
	rewrite->next++;
	rewrite->count++;
	rewrite->due += rewrite->step;
	return true;
}

static u64 rewrite_count(struct vfmig_fn *fn)
{
	u64 count;

	raw_spin_lock_irq(&fn->dma_lock);
	count = fn->rewrite ? fn->rewrite->count : 0;
	raw_spin_unlock_irq(&fn->dma_lock);
	return count;
}

bool vfmig_fn_rewrite(struct vfmig_fn *fn)
{
	bool more = true;
	u64 before, count;

	if (likely(!READ_ONCE(fn->rewrite)))
		return false;
	before = rewrite_count(fn);
	for (unsigned int i = 0; more && i < VFMIG_REWRITE_BURST; i++) {
		struct vfmig_dirty *unprepared = NULL;
		u64 iova;

		scoped_guard(raw_spinlock_irq, &fn->dma_lock)
			more = rewrite_page(fn, &iova, &unprepared);
		if (unprepared) {
			/* Without memory the next kick tries again */
			more = !vfmig_dirty_prepare(unprepared, iova, VFMIG_DIRTY_WAIT);
			vfmig_dirty_put(unprepared);
		}
	}
	count = rewrite_count(fn);
	if (count > before)
		trace_vfmig_rewrite(fn->name, count - before, count);
	return more;
}
EXPORT_SYMBOL_GPL(vfmig_fn_rewrite);

static int vfmig_dirty_memory_show(struct seq_file *seq, void *unused)
{
	struct vfmig_fn *fn = seq->private;
	unsigned int max = 0, known = 0;
	u64 rate = 0, count = 0;

	scoped_guard(raw_spinlock_irq, &fn->dma_lock) {
		const struct vfmig_rewrite *rewrite = fn->rewrite;

		if (rewrite) {
			rate = rewrite->rate;
			max = rewrite->max;
			known = rewrite->known;
			count = rewrite->count;
		}
	}
	if (rate)
		seq_printf(seq, "%llu %u %u %llu\n", rate, max, known, count);
	else
		seq_puts(seq, "none\n");
	return 0;
}

/* RATE PAGES, with a rate in bytes per second; or none, for a rate of 0 */
static int parse_rewrite(char *text, u64 *rate, unsigned int *max)
{
	char *word = strsep(&text, " ");

	*rate = 0;
	if (!strcmp(word, "none"))
		return text ? -EINVAL : 0;
	if (!text || kstrtoull(word, 0, rate) || kstrtouint(text, 0, max))
		return -EINVAL;
	if (!*rate || *rate > VFMIG_REWRITE_RATE || !*max || *max > VFMIG_REWRITE_PAGES)
		return -EINVAL;
	return 0;
}

static ssize_t vfmig_dirty_memory_write(struct file *file, const char __user *buf, size_t count,
					loff_t *ppos)
{
	struct vfmig_fn *fn = ((struct seq_file *)file->private_data)->private;
	struct vfmig_rewrite *rewrite = NULL;
	char text[VFMIG_REWRITE_TEXT];
	unsigned int max;
	u64 rate;
	int ret;

	if (count >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, count))
		return -EFAULT;
	text[count] = 0;
	ret = parse_rewrite(strim(text), &rate, &max);
	if (ret)
		return ret;
	if (rate) {
		rewrite = rewrite_create(rate, max);
		if (!rewrite)
			return -ENOMEM;
	}
	rewrite_replace(fn, rewrite);
	/* From now on it queues itself again */
	mod_delayed_work(fn->fabric->wq, &fn->kick_work, 0);
	return count;
}
DEFINE_SHOW_STORE_ATTRIBUTE(vfmig_dirty_memory);

void vfmig_fn_rewrite_debugfs(struct vfmig_fn *fn, struct dentry *dir)
{
	debugfs_create_file("dirty_memory", 0600, dir, fn, &vfmig_dirty_memory_fops);
}
EXPORT_SYMBOL_GPL(vfmig_fn_rewrite_debugfs);
