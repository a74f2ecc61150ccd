// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmig_sim: a simulated SR-IOV device.  This file has the module parameters, and
 * creates a fabric with its PFs.  The PF driver is in pf.c, the bus in fabric/, and
 * the device model of a VF in nvme/.
 */
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>

#include "sim.h"

/*
 * A medium is thin, so it may be larger than the machine's memory.  A much larger
 * size is probably a mistake and is refused.
 */
#define VFMIG_MAX_OVERCOMMIT	8

static unsigned int num_pfs = 1;
module_param(num_pfs, uint, 0444);
MODULE_PARM_DESC(num_pfs, "Physical functions, 1 to 8 (1)");

static struct vfmig_vf_config defaults = {
	.media_mb = 64,
	.lba_size = 512,
	.queues = VFMIG_MAX_QUEUES,
	.io_latency_us = 0,
};

module_param_named(media_mb, defaults.media_mb, uint, 0444);
MODULE_PARM_DESC(media_mb, "Size of a VF's medium in MiB (64)");
module_param_named(lba_size, defaults.lba_size, uint, 0444);
MODULE_PARM_DESC(lba_size, "Bytes of a logical block, 512 or 4096 (512)");
module_param_named(queues, defaults.queues, uint, 0444);
MODULE_PARM_DESC(queues, "I/O queue pairs of a VF, 2 to 32 (32)");
module_param_named(erase_on_close, defaults.erase_on_close, uint, 0444);
MODULE_PARM_DESC(erase_on_close,
		 "Erase a VF's medium: 0 never, 1 when it was migrated away, 2 when it is closed (0)");
module_param_named(io_latency_us, defaults.io_latency_us, uint, 0444);
MODULE_PARM_DESC(io_latency_us, "Time that an I/O command takes in microseconds (0)");

const struct vfmig_model *const vfmig_model = &vfmig_nvme_model;
const struct vfmig_vf_config *const vfmig_defaults = &defaults;

static struct vfmig_fabric *fabric;

static const char *check_num_pfs(unsigned int value)
{
	return value >= 1 && value <= VFMIG_MAX_PFS ? NULL : "not between 1 and 8";
}

const char *vfmig_check_media_mb(unsigned int value)
{
	u64 ram_mb = ((u64)totalram_pages() << PAGE_SHIFT) / SZ_1M;

	if (!value)
		return "must not be 0";
	return value <= ram_mb * VFMIG_MAX_OVERCOMMIT ? NULL : "over 8 times the memory there is";
}

const char *vfmig_check_lba_size(unsigned int value)
{
	return value == 512 || value == 4096 ? NULL : "neither 512 nor 4096";
}

const char *vfmig_check_queues(unsigned int value)
{
	/* UEFI's driver creates two pairs and does not accept a controller with one */
	return value >= 2 && value <= VFMIG_MAX_QUEUES ? NULL : "not between 2 and 32";
}

const char *vfmig_check_io_latency_us(unsigned int value)
{
	return value <= VFMIG_MAX_IO_LATENCY_US ? NULL : "over 10 seconds";
}

const char *vfmig_check_erase_on_close(unsigned int value)
{
	return value <= VFMIG_ERASE_CLOSE ? NULL : "neither 0, 1 nor 2";
}

static int check_params(void)
{
	const struct {
		const char *name;
		unsigned int value;
		const char *why;
	} params[] = {
		{ "num_pfs", num_pfs, check_num_pfs(num_pfs) },
		{ "media_mb", defaults.media_mb, vfmig_check_media_mb(defaults.media_mb) },
		{ "lba_size", defaults.lba_size, vfmig_check_lba_size(defaults.lba_size) },
		{ "queues", defaults.queues, vfmig_check_queues(defaults.queues) },
		{ "io_latency_us", defaults.io_latency_us,
		  vfmig_check_io_latency_us(defaults.io_latency_us) },
		{ "erase_on_close", defaults.erase_on_close,
		  vfmig_check_erase_on_close(defaults.erase_on_close) },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(params); i++) {
		if (!params[i].why)
			continue;
		pr_err("vfmig_sim: %s=%u: %s\n", params[i].name, params[i].value, params[i].why);
		return -EINVAL;
	}
	return 0;
}

static struct vfmig_fabric *create_fabric(void)
{
	struct vfmig_fabric_desc desc = {
		.owner = THIS_MODULE,
		.num_pfs = num_pfs,
		.total_vfs = VFMIG_MAX_VFS,
		.vf_driver = "vfmig_vfio_pci",
		.num_descs = 1,
		.descs = { &vfmig_model->desc },
	};

	for (unsigned int i = 0; i < num_pfs; i++)
		desc.pfs[i] = &vfmig_model->desc;
	return vfmig_fabric_create(&desc);
}

static int __init vfmig_sim_init(void)
{
	int ret;

	ret = check_params();
	if (ret)
		return ret;

	ret = vfmig_model->init();
	if (ret)
		return ret;
	vfmig_pf_debugfs_init();

	ret = pci_register_driver(&vfmig_pf_driver);
	if (ret)
		goto err_model;

	fabric = create_fabric();
	if (IS_ERR(fabric)) {
		ret = PTR_ERR(fabric);
		goto err_driver;
	}
	return 0;

err_driver:
	pci_unregister_driver(&vfmig_pf_driver);
err_model:
	vfmig_pf_debugfs_exit();
	vfmig_model->exit();
	return ret;
}
module_init(vfmig_sim_init);

static void __exit vfmig_sim_exit(void)
{
	vfmig_pf_unregister_driver(fabric);
	vfmig_fabric_destroy(fabric);
	vfmig_pf_debugfs_exit();
	vfmig_model->exit();
}
module_exit(vfmig_sim_exit);

/* The VFs have no other driver.  modprobe loads it after this module. */
MODULE_SOFTDEP("post: vfmig_vfio_pci");
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Simulated SR-IOV NVMe device");
MODULE_AUTHOR("The vfmig authors");
