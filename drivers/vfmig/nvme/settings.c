// SPDX-License-Identifier: GPL-2.0-only
/*
 * The settings of a VF: module parameters with the defaults, what is valid, and what
 * applies to a VF that exists.
 */
#include <linux/array_size.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/stddef.h>

#include "nvme.h"

/*
 * A medium is thin, so it may be larger than the machine's memory.  A much larger
 * size is probably a mistake and is refused.
 */
#define VFMIG_MAX_OVERCOMMIT	8

struct vfmig_nvme_config vfmig_nvme_defaults = {
	.media_mb = 64,
	.lba_size = 512,
	.queues = VFMIG_MAX_QUEUES,
	.io_latency_us = 0,
	.erase_on_close = VFMIG_ERASE_NEVER,
	.doorbell_poll_us = 0,
	.map_registers = 0,
};

module_param_named(media_mb, vfmig_nvme_defaults.media_mb, uint, 0444);
MODULE_PARM_DESC(media_mb, "nvme: size of a VF's medium in MiB (64)");
module_param_named(lba_size, vfmig_nvme_defaults.lba_size, uint, 0444);
MODULE_PARM_DESC(lba_size, "nvme: bytes of a logical block, 512 or 4096 (512)");
module_param_named(queues, vfmig_nvme_defaults.queues, uint, 0444);
MODULE_PARM_DESC(queues, "nvme: I/O queue pairs of a VF, 2 to 32 (32)");
module_param_named(erase_on_close, vfmig_nvme_defaults.erase_on_close, uint, 0444);
MODULE_PARM_DESC(erase_on_close,
		 "nvme: erase a VF's medium: 0 never, 1 when it was migrated away, 2 when it is closed (0)");
module_param_named(io_latency_us, vfmig_nvme_defaults.io_latency_us, uint, 0444);
MODULE_PARM_DESC(io_latency_us, "nvme: time that an I/O command takes in microseconds (0)");
module_param_named(doorbell_poll_us, vfmig_nvme_defaults.doorbell_poll_us, uint, 0444);
MODULE_PARM_DESC(doorbell_poll_us,
		 "nvme: longest time to poll mapped doorbells in microseconds, 0 not to map them (0)");
module_param_named(map_registers, vfmig_nvme_defaults.map_registers, uint, 0444);
MODULE_PARM_DESC(map_registers,
		 "nvme: 1 if the registers can be mapped where the doorbells can, else 0 (0)");

const char *vfmig_nvme_check_media_mb(unsigned int value)
{
	u64 ram_mb = ((u64)totalram_pages() << PAGE_SHIFT) / SZ_1M;

	if (!value)
		return "must not be 0";
	return value <= ram_mb * VFMIG_MAX_OVERCOMMIT ? NULL : "over 8 times the memory there is";
}

static const char *check_lba_size(unsigned int value)
{
	return value == 512 || value == 4096 ? NULL : "neither 512 nor 4096";
}

static const char *check_queues(unsigned int value)
{
	/* UEFI's driver creates two pairs and does not accept a controller with one */
	return value >= 2 && value <= VFMIG_MAX_QUEUES ? NULL : "not between 2 and 32";
}

const char *vfmig_nvme_check_io_latency_us(unsigned int value)
{
	return value <= VFMIG_MAX_IO_LATENCY_US ? NULL : "over 10 seconds";
}

const char *vfmig_nvme_check_erase_on_close(unsigned int value)
{
	return value <= VFMIG_ERASE_CLOSE ? NULL : "neither 0, 1 nor 2";
}

void vfmig_nvme_set_erase_on_close(void *vf, unsigned int when)
{
	struct vfmig_nvme *ctrl = vf;

	WRITE_ONCE(ctrl->erase_on_close, when);
}

const char *vfmig_nvme_check_doorbell_poll_us(unsigned int value)
{
	return value <= VFMIG_MAX_DOORBELL_POLL_US ? NULL : "over 10000";
}

const char *vfmig_nvme_check_map_registers(unsigned int value)
{
	return value <= 1 ? NULL : "neither 0 nor 1";
}

const struct vfmig_setting vfmig_nvme_settings[VFMIG_NVME_SETTINGS] = {
	{
		.name = "media_mb",
		.offset = offsetof(struct vfmig_nvme_config, media_mb),
		.check = vfmig_nvme_check_media_mb,
	}, {
		.name = "lba_size",
		.offset = offsetof(struct vfmig_nvme_config, lba_size),
		.check = check_lba_size,
	}, {
		.name = "queues",
		.offset = offsetof(struct vfmig_nvme_config, queues),
		.check = check_queues,
	}, {
		.name = "io_latency_us",
		.offset = offsetof(struct vfmig_nvme_config, io_latency_us),
		.check = vfmig_nvme_check_io_latency_us,
		.apply = vfmig_nvme_set_io_latency,
	}, {
		.name = "erase_on_close",
		.offset = offsetof(struct vfmig_nvme_config, erase_on_close),
		.check = vfmig_nvme_check_erase_on_close,
		.apply = vfmig_nvme_set_erase_on_close,
	}, {
		.name = "doorbell_poll_us",
		.offset = offsetof(struct vfmig_nvme_config, doorbell_poll_us),
		.check = vfmig_nvme_check_doorbell_poll_us,
		.apply = vfmig_nvme_set_doorbell_poll,
	}, {
		.name = "map_registers",
		.offset = offsetof(struct vfmig_nvme_config, map_registers),
		.check = vfmig_nvme_check_map_registers,
		.apply = vfmig_nvme_set_map_registers,
	},
};
