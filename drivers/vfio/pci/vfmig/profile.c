// SPDX-License-Identifier: GPL-2.0-only
/*
 * The profiles, and their file in debugfs.  What they say of other drivers is from the sources of
 * Linux 7.3, drivers/vfio/pci/.
 */
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vfio.h>

#include "device.h"
#include "profile.h"

#define STOP_COPY	VFIO_MIGRATION_STOP_COPY
#define P2P		VFIO_MIGRATION_P2P
#define PRE_COPY	VFIO_MIGRATION_PRE_COPY
#define EVERYTHING	(STOP_COPY | P2P | PRE_COPY)

const struct vfmig_profile vfmig_no_profile = {
	.name = "none",
	.flags = EVERYTHING,
	.log = true,
};

static const struct vfmig_profile vfmig_profiles[] = {
	{
		.name = "mlx5",
		.flags = EVERYTHING,
		.needs = EVERYTHING,
		.log = true,
		.on_request = true,
		.whole_size = true,
	}, {
		.name = "xe",
		.flags = STOP_COPY | P2P,
		.needs = STOP_COPY | P2P,
		.whole_size = true,
	}, {
		.name = "qat",
		.flags = EVERYTHING,
		.needs = EVERYTHING,
		.identity_only = true,
		.whole_size = true,
	}, {
		.name = "hisi",
		.flags = STOP_COPY | PRE_COPY,
		.needs = STOP_COPY | PRE_COPY,
		.identity_only = true,
		.whole_size = true,
	}, {
		.name = "pds",
		.flags = STOP_COPY | P2P,
		.needs = STOP_COPY | P2P,
		.log = true,
		.whole_size = true,
	}, {
		.name = "virtio",
		.flags = EVERYTHING,
		.needs = EVERYTHING,
		.on_request = true,
		.whole_size = true,
	}, {
		.name = "stop-copy-only",
		.flags = STOP_COPY,
	}, {
		.name = "no-p2p",
		.flags = STOP_COPY | PRE_COPY,
		.log = true,
	}, {
		.name = "no-precopy",
		.flags = STOP_COPY | P2P,
		.log = true,
	}, {
		.name = "no-logging",
		.flags = EVERYTHING,
	},
};

static const struct vfmig_profile *vfmig_find_profile(const char *name)
{
	if (!strcmp(name, vfmig_no_profile.name))
		return &vfmig_no_profile;
	for (unsigned int i = 0; i < ARRAY_SIZE(vfmig_profiles); i++)
		if (!strcmp(name, vfmig_profiles[i].name))
			return &vfmig_profiles[i];
	return NULL;
}

/* All names, with brackets around the current one */
static int vfmig_profile_show(struct seq_file *seq, void *unused)
{
	struct vfmig_device *vfdev = seq->private;
	const struct vfmig_profile *current_one = READ_ONCE(vfdev->profile);

	seq_printf(seq, current_one == &vfmig_no_profile ? "[%s]" : "%s", vfmig_no_profile.name);
	for (unsigned int i = 0; i < ARRAY_SIZE(vfmig_profiles); i++)
		seq_printf(seq, current_one == &vfmig_profiles[i] ? " [%s]" : " %s",
			   vfmig_profiles[i].name);
	seq_putc(seq, '\n');
	return 0;
}

static ssize_t vfmig_profile_write(struct file *file, const char __user *buf, size_t count,
				   loff_t *ppos)
{
	struct vfmig_device *vfdev = ((struct seq_file *)file->private_data)->private;
	const struct vfmig_profile *profile;
	char name[32] = "";
	int ret;

	if (count >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, buf, count))
		return -EFAULT;
	profile = vfmig_find_profile(strim(name));
	if (!profile)
		return -EINVAL;
	ret = vfmig_migration_set_profile(vfdev, profile);
	return ret ? ret : count;
}
DEFINE_SHOW_STORE_ATTRIBUTE(vfmig_profile);

/* Goes with the directory of the VF */
void vfmig_profile_fs_add(struct vfmig_device *vfdev)
{
	debugfs_create_file("profile", 0600, vfdev->dir, vfdev, &vfmig_profile_fops);
}
