// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files of a VF in debugfs.
 */
#include <linux/debugfs.h>
#include <linux/uaccess.h>

#include "nvme.h"

/* What a user writes to a file, in one piece and shorter than @text; or an errno */
int vfmig_nvme_get_text(char text[VFMIG_NVME_TEXT], const char __user *buf, size_t count)
{
	if (count >= VFMIG_NVME_TEXT)
		return -EINVAL;
	if (copy_from_user(text, buf, count))
		return -EFAULT;
	text[count] = 0;
	return 0;
}

static int io_latency_get(void *vf, u64 *value)
{
	*value = vfmig_nvme_get_io_latency(vf);
	return 0;
}

static int io_latency_set(void *vf, u64 value)
{
	if (value > UINT_MAX || vfmig_nvme_check_io_latency_us(value))
		return -EINVAL;
	vfmig_nvme_set_io_latency(vf, value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(io_latency_fops, io_latency_get, io_latency_set, "%llu\n");

static int media_mb_get(void *vf, u64 *value)
{
	*value = vfmig_nvme_get_media_mb(vf);
	return 0;
}

static int media_mb_set(void *vf, u64 value)
{
	if (value > UINT_MAX || vfmig_nvme_check_media_mb(value))
		return -EINVAL;
	return vfmig_nvme_set_media_mb(vf, value);
}
DEFINE_DEBUGFS_ATTRIBUTE(media_mb_fops, media_mb_get, media_mb_set, "%llu\n");

static int erase_on_close_get(void *vf, u64 *value)
{
	struct vfmig_nvme *ctrl = vf;

	*value = READ_ONCE(ctrl->erase_on_close);
	return 0;
}

static int erase_on_close_set(void *vf, u64 value)
{
	if (value > UINT_MAX || vfmig_nvme_check_erase_on_close(value))
		return -EINVAL;
	vfmig_nvme_set_erase_on_close(vf, value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(erase_on_close_fops, erase_on_close_get, erase_on_close_set, "%llu\n");

static int doorbell_poll_get(void *vf, u64 *value)
{
	*value = vfmig_nvme_get_doorbell_poll(vf);
	return 0;
}

static int doorbell_poll_set(void *vf, u64 value)
{
	if (value > UINT_MAX || vfmig_nvme_check_doorbell_poll_us(value))
		return -EINVAL;
	vfmig_nvme_set_doorbell_poll(vf, value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(doorbell_poll_fops, doorbell_poll_get, doorbell_poll_set, "%llu\n");

static int map_registers_get(void *vf, u64 *value)
{
	struct vfmig_nvme *ctrl = vf;

	*value = READ_ONCE(ctrl->map.registers);
	return 0;
}

static int map_registers_set(void *vf, u64 value)
{
	if (value > UINT_MAX || vfmig_nvme_check_map_registers(value))
		return -EINVAL;
	vfmig_nvme_set_map_registers(vf, value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(map_registers_fops, map_registers_get, map_registers_set, "%llu\n");

static int erase_set(void *vf, u64 value)
{
	return value == 1 ? vfmig_nvme_erase(vf) : -EINVAL;
}
DEFINE_DEBUGFS_ATTRIBUTE(erase_fops, NULL, erase_set, "%llu\n");

static int media_allocated_get(void *vf, u64 *value)
{
	struct vfmig_nvme *ctrl = vf;
	struct vfmig_mem_count count;

	vfmig_memory_count(&ctrl->media, &count);
	*value = count.granules * VFMIG_GRANULE;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(media_allocated_fops, media_allocated_get, NULL, "%llu\n");

void vfmig_nvme_debugfs(void *vf, struct dentry *dir)
{
	debugfs_create_file_unsafe("io_latency_us", 0600, dir, vf, &io_latency_fops);
	debugfs_create_file_unsafe("media_mb", 0600, dir, vf, &media_mb_fops);
	debugfs_create_file_unsafe("erase", 0200, dir, vf, &erase_fops);
	debugfs_create_file_unsafe("erase_on_close", 0600, dir, vf, &erase_on_close_fops);
	debugfs_create_file_unsafe("doorbell_poll_us", 0600, dir, vf, &doorbell_poll_fops);
	debugfs_create_file_unsafe("map_registers", 0600, dir, vf, &map_registers_fops);
	debugfs_create_file_unsafe("media_allocated", 0400, dir, vf, &media_allocated_fops);
	vfmig_nvme_fault_debugfs(vf, dir);
	vfmig_nvme_dirty_debugfs(vf, dir);
}
