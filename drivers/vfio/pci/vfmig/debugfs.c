// SPDX-License-Identifier: GPL-2.0-only
/*
 * The directory of a VF in debugfs, and the file that says where its migration stands.  VFIO
 * has a directory and a file with the state, but only on kernels with CONFIG_VFIO_DEBUGFS, which
 * distributions leave out.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/seq_file.h>

#include "device.h"
#include "fault.h"
#include "profile.h"

static struct dentry *vfmig_debugfs_root;

static const char *const vfmig_session_names[] = {
	[VFMIG_SESSION_NONE] = "none",
	[VFMIG_SESSION_SAVE] = "save",
	[VFMIG_SESSION_LOAD] = "load",
};

static int migration_show(struct seq_file *file, void *unused)
{
	struct vfmig_progress progress;
	int ret;

	ret = vfmig_migration_progress(file->private, &progress);
	if (ret)
		return ret;
	if (progress.state >= VFMIG_STATES)
		return -EINVAL;
	seq_printf(file, "state %s\n", vfmig_state_names[progress.state]);
	seq_printf(file, "session %s\n", vfmig_session_names[progress.session]);
	if (progress.session != VFMIG_SESSION_NONE)
		seq_printf(file, "done %llu\n", progress.done);
	if (progress.session == VFMIG_SESSION_SAVE)
		seq_printf(file, "left %llu\n", progress.left);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(migration);

/* The VF is registered with VFIO */
void vfmig_debugfs_add(struct vfmig_device *vfdev)
{
	vfdev->dir = debugfs_create_dir(pci_name(vfdev->core.pdev), vfmig_debugfs_root);
	debugfs_create_file("migration", 0400, vfdev->dir, vfdev, &migration_fops);
	vfmig_fault_fs_add(vfdev->faults, vfdev->dir);
	vfmig_profile_fs_add(vfdev);
}

/* When this returns, no reader or writer is under way */
void vfmig_debugfs_remove(struct vfmig_device *vfdev)
{
	debugfs_remove(vfdev->dir);
}

void vfmig_debugfs_init(void)
{
	vfmig_debugfs_root = debugfs_create_dir("vfmig_vfio_pci", NULL);
}

void vfmig_debugfs_exit(void)
{
	debugfs_remove(vfmig_debugfs_root);
}
