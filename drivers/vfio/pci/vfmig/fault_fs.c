// SPDX-License-Identifier: GPL-2.0-only
/* The files of faults in debugfs */
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "fault_list.h"

/* What is looked at of one write() */
#define VFMIG_FAULT_WRITE	4096

static int vfmig_faults_show(struct seq_file *seq, void *unused)
{
	struct vfmig_faults *faults = seq->private;
	struct vfmig_fault *fault;

	spin_lock(&faults->lock);
	list_for_each_entry(fault, &faults->list, node)
		seq_printf(seq, "%u %llu %llu %s\n", fault->id, fault->done, fault->seen,
			   fault->text);
	spin_unlock(&faults->lock);
	return 0;
}

/*
 * Takes the lines of @text, up to the first that is refused.  Returns the bytes of those that were
 * taken; a last line need not have an end if @last.
 */
static ssize_t vfmig_faults_write_lines(struct vfmig_faults *faults, char *text, bool last)
{
	char *line = text, *end;
	bool more;
	int ret;

	for (;;) {
		end = strchrnul(line, '\n');
		more = *end;
		/* The rest of a line that was cut comes with the next write() */
		if (!more && (line == end || (!last && line != text)))
			return line - text;
		*end = 0;
		ret = vfmig_fault_write_line(faults, line);
		if (ret)
			return line == text ? ret : line - text;
		line = end + more;
	}
}

static ssize_t vfmig_faults_write(struct file *file, const char __user *buf, size_t count,
				  loff_t *ppos)
{
	struct vfmig_faults *faults = ((struct seq_file *)file->private_data)->private;
	size_t len = min_t(size_t, count, VFMIG_FAULT_WRITE);
	char *text;
	ssize_t ret;

	text = memdup_user_nul(buf, len);
	if (IS_ERR(text))
		return PTR_ERR(text);
	/* A byte 0 would end the text before its end */
	ret = -EINVAL;
	if (strlen(text) == len)
		ret = vfmig_faults_write_lines(faults, text, len == count);
	kfree(text);
	return ret;
}
DEFINE_SHOW_STORE_ATTRIBUTE(vfmig_faults);

static int vfmig_fault_error_show(struct seq_file *seq, void *unused)
{
	struct vfmig_faults *faults = seq->private;

	guard(mutex)(&faults->edit);
	if (faults->why[0])
		seq_printf(seq, "%s\n", faults->why);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vfmig_fault_error);

/* @dir: the directory of the VF.  When it is gone, nobody adds a fault any more. */
void vfmig_fault_fs_add(struct vfmig_faults *faults, struct dentry *dir)
{
	debugfs_create_file("faults", 0600, dir, faults, &vfmig_faults_fops);
	debugfs_create_file("fault_error", 0400, dir, faults, &vfmig_fault_error_fops);
}
