// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of the disk, on command: I/O commands to a range of LBAs that fail or do not complete,
 * and a controller that reports a fatal error.  They are the administrator's, not the device's:
 * they stay over a reset and do not move with a migration.
 */
#include <linux/debugfs.h>
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "nvme.h"

static const char * const fault_names[] = {
	[VFMIG_NVME_FAULT_NONE] = "none",
	[VFMIG_NVME_FAULT_ERROR] = "error",
	[VFMIG_NVME_FAULT_HANG] = "hang",
};

/* The commands that name a range of LBAs have it in the same place */
static bool names_range(const struct nvme_command *cmd)
{
	switch (cmd->common.opcode) {
	case nvme_cmd_read:
	case nvme_cmd_write:
	case nvme_cmd_compare:
	case nvme_cmd_write_zeroes:
		return true;
	default:
		return false;
	}
}

static bool meets_fault(const struct vfmig_nvme_fault *fault, const struct nvme_command *cmd)
{
	u64 first = le64_to_cpu(cmd->rw.slba), length = le16_to_cpu(cmd->rw.length);

	/* A range that ends beyond 64 bits is refused when the command is executed */
	return names_range(cmd) && first <= fault->last && first + length >= fault->first;
}

/* Does the command meet @kind of fault?  Counts each try of one that hangs.  Under @lock. */
bool vfmig_nvme_has_fault(struct vfmig_nvme *ctrl, const struct nvme_command *cmd,
			  enum vfmig_nvme_fault_kind kind)
{
	struct vfmig_nvme_fault *fault = &ctrl->fault;

	if (likely(fault->kind != kind) || !meets_fault(fault, cmd))
		return false;
	fault->met++;
	return true;
}

/* What a read or write fails with: the host should not try it again */
u16 vfmig_nvme_fault_status(struct vfmig_nvme *ctrl, const struct nvme_command *cmd)
{
	ctrl->health.media_errors++;
	switch (cmd->common.opcode) {
	case nvme_cmd_write:
	case nvme_cmd_write_zeroes:
		return NVME_SC_WRITE_FAULT | NVME_STATUS_DNR;
	default:
		return NVME_SC_READ_ERROR | NVME_STATUS_DNR;
	}
}

static int vfmig_nvme_fault_show(struct seq_file *seq, void *unused)
{
	struct vfmig_nvme *ctrl = seq->private;
	struct vfmig_nvme_fault fault;

	scoped_guard(vfmig_nvme, ctrl)
		fault = ctrl->fault;
	seq_puts(seq, fault_names[fault.kind]);
	if (fault.kind != VFMIG_NVME_FAULT_NONE)
		seq_printf(seq, " %llu %llu %llu", fault.first, fault.last, fault.met);
	seq_putc(seq, '\n');
	return 0;
}

/* KIND [FIRST LAST], in LBAs */
static int parse_fault(char *text, struct vfmig_nvme_fault *fault)
{
	char *kind = strsep(&text, " "), *first = strsep(&text, " ");
	int i = match_string(fault_names, ARRAY_SIZE(fault_names), kind);

	if (i < 0)
		return -EINVAL;
	*fault = (struct vfmig_nvme_fault) { .kind = i };
	if (i == VFMIG_NVME_FAULT_NONE)
		return first ? -EINVAL : 0;
	if (!first || !text || kstrtoull(first, 0, &fault->first) ||
	    kstrtoull(text, 0, &fault->last) || fault->first > fault->last)
		return -EINVAL;
	return 0;
}

static ssize_t vfmig_nvme_fault_write(struct file *file, const char __user *buf, size_t count,
				      loff_t *ppos)
{
	struct vfmig_nvme *ctrl = ((struct seq_file *)file->private_data)->private;
	struct vfmig_nvme_fault fault;
	char text[VFMIG_NVME_TEXT];
	int ret;

	ret = vfmig_nvme_get_text(text, buf, count);
	if (!ret)
		ret = parse_fault(strim(text), &fault);
	if (ret)
		return ret;
	scoped_guard(vfmig_nvme, ctrl)
		ctrl->fault = fault;
	return count;
}
DEFINE_SHOW_STORE_ATTRIBUTE(vfmig_nvme_fault);

/* A controller that is stopped for a migration does not change */
static int fatal_set(void *vf, u64 value)
{
	struct vfmig_nvme *ctrl = vf;

	if (value != 1)
		return -EINVAL;
	guard(vfmig_nvme)(ctrl);
	if (!vfmig_is_running(&ctrl->running))
		return -EBUSY;
	vfmig_nvme_fatal(ctrl);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(fatal_fops, NULL, fatal_set, "%llu\n");

void vfmig_nvme_fault_debugfs(struct vfmig_nvme *ctrl, struct dentry *dir)
{
	debugfs_create_file("io_fault", 0600, dir, ctrl, &vfmig_nvme_fault_fops);
	debugfs_create_file_unsafe("fatal", 0200, dir, ctrl, &fatal_fops);
}
