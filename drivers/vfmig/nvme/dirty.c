// SPDX-License-Identifier: GPL-2.0-only
/*
 * A medium that changes by itself, on command: while a migration reads it, granules of a span
 * are written with what they hold, at a rate.  So a migration can be kept from converging
 * without a guest that is busy.
 */
#include <linux/debugfs.h>
#include <linux/kstrtox.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/workqueue.h>

#include "nvme.h"

#define VFMIG_NVME_DIRTY_MS	10
/* Granules that are looked at with the lock held once */
#define VFMIG_NVME_DIRTY_BURST	256U
#define VFMIG_NVME_DIRTY_RATE	(VFMIG_NVME_DIRTY_BURST * VFMIG_GRANULE * \
				 (MSEC_PER_SEC / VFMIG_NVME_DIRTY_MS))

/* Write a granule with what it holds.  One without a page needs memory, and is left alone. */
static bool write_again(struct vfmig_nvme *ctrl, u64 offset)
{
	struct vfmig_memory_write write;

	if (offset >= ctrl->media.size || !vfmig_memory_lookup(&ctrl->media, offset))
		return false;
	/* It has a page, so this does not fail */
	if (vfmig_memory_write_begin(&ctrl->media, offset, false, &write))
		return false;
	vfmig_memory_write_end(&ctrl->media, &write);
	return true;
}

/* The next @granules of the span, with the lock held */
static void write_some(struct vfmig_nvme *ctrl, unsigned int granules)
{
	struct vfmig_nvme_dirty *dirty = &ctrl->dirty;

	while (granules--) {
		dirty->written += write_again(ctrl, dirty->next * VFMIG_GRANULE);
		dirty->next = dirty->next < dirty->last ? dirty->next + 1 : dirty->first;
	}
	vfmig_memory_settle(&ctrl->media);
}

/* Granules that are to be written by now.  The rest of the time counts for the next ones. */
static unsigned int due(struct vfmig_nvme_dirty *dirty)
{
	u64 now = ktime_get_ns();
	u64 granules = mul_u64_u64_div_u64(now - dirty->since, dirty->rate,
					   (u64)NSEC_PER_SEC * VFMIG_GRANULE);

	if (granules > VFMIG_NVME_DIRTY_BURST) {
		dirty->since = now;
		return VFMIG_NVME_DIRTY_BURST;
	}
	dirty->since += mul_u64_u64_div_u64(granules, (u64)NSEC_PER_SEC * VFMIG_GRANULE,
					    dirty->rate);
	return granules;
}

static void dirty_fn(struct work_struct *work)
{
	struct vfmig_nvme *ctrl = container_of(to_delayed_work(work), struct vfmig_nvme,
					       dirty_work);

	guard(vfmig_nvme)(ctrl);
	if (!ctrl->dirty.rate)
		return;
	if (vfmig_is_running(&ctrl->running) && READ_ONCE(ctrl->media.tracking))
		write_some(ctrl, due(&ctrl->dirty));
	else
		ctrl->dirty.since = ktime_get_ns();
	schedule_delayed_work(&ctrl->dirty_work, msecs_to_jiffies(VFMIG_NVME_DIRTY_MS));
}

static int vfmig_nvme_dirty_show(struct seq_file *seq, void *unused)
{
	struct vfmig_nvme *ctrl = seq->private;
	struct vfmig_nvme_dirty dirty;
	u64 lbas = VFMIG_GRANULE >> ctrl->lba_shift;

	scoped_guard(vfmig_nvme, ctrl)
		dirty = ctrl->dirty;
	if (dirty.rate)
		seq_printf(seq, "%llu %llu %llu %llu\n", dirty.rate, dirty.first * lbas,
			   (dirty.last + 1) * lbas - 1, dirty.written);
	else
		seq_puts(seq, "none\n");
	return 0;
}

/* RATE FIRST LAST: bytes per second, and LBAs, of which all granules are meant; or none */
static int parse_dirty(const struct vfmig_nvme *ctrl, char *text, struct vfmig_nvme_dirty *dirty)
{
	char *rate = strsep(&text, " "), *first = strsep(&text, " ");
	u64 lbas = VFMIG_GRANULE >> ctrl->lba_shift;

	*dirty = (struct vfmig_nvme_dirty) { .since = ktime_get_ns() };
	if (!strcmp(rate, "none"))
		return first ? -EINVAL : 0;
	if (!first || !text || kstrtoull(rate, 0, &dirty->rate) ||
	    kstrtoull(first, 0, &dirty->first) || kstrtoull(text, 0, &dirty->last))
		return -EINVAL;
	if (!dirty->rate || dirty->rate > VFMIG_NVME_DIRTY_RATE || dirty->first > dirty->last ||
	    dirty->last >= vfmig_nvme_lbas(ctrl))
		return -EINVAL;
	dirty->first /= lbas;
	dirty->last /= lbas;
	dirty->next = dirty->first;
	return 0;
}

static ssize_t vfmig_nvme_dirty_write(struct file *file, const char __user *buf, size_t count,
				      loff_t *ppos)
{
	struct vfmig_nvme *ctrl = ((struct seq_file *)file->private_data)->private;
	struct vfmig_nvme_dirty dirty;
	char text[VFMIG_NVME_TEXT];
	int ret;

	ret = vfmig_nvme_get_text(text, buf, count);
	if (ret)
		return ret;
	guard(vfmig_nvme)(ctrl);
	ret = parse_dirty(ctrl, strim(text), &dirty);
	if (ret)
		return ret;
	ctrl->dirty = dirty;
	schedule_delayed_work(&ctrl->dirty_work, 0);
	return count;
}
DEFINE_SHOW_STORE_ATTRIBUTE(vfmig_nvme_dirty);

void vfmig_nvme_dirty_debugfs(struct vfmig_nvme *ctrl, struct dentry *dir)
{
	debugfs_create_file("dirty", 0600, dir, ctrl, &vfmig_nvme_dirty_fops);
}

void vfmig_nvme_dirty_init(struct vfmig_nvme *ctrl)
{
	INIT_DELAYED_WORK(&ctrl->dirty_work, dirty_fn);
}

/* Nobody writes the file any more */
void vfmig_nvme_dirty_end(struct vfmig_nvme *ctrl)
{
	scoped_guard(vfmig_nvme, ctrl)
		ctrl->dirty.rate = 0;
	cancel_delayed_work_sync(&ctrl->dirty_work);
}
