// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmig_sim: simulated SR-IOV devices.  This file has the module parameters that concern
 * all models, and creates a fabric with its PFs.  The PF driver is in pf.c, the bus in
 * fabric/, the list of the models in models.c, and each model in a folder of its own.
 */
#include <linux/module.h>

#include "model/worker.h"
#include "sim.h"

static unsigned int num_pfs;
static bool num_pfs_given;

static int set_num_pfs(const char *val, const struct kernel_param *kp)
{
	num_pfs_given = true;
	return param_set_uint(val, kp);
}

static const struct kernel_param_ops num_pfs_ops = {
	.set = set_num_pfs,
	.get = param_get_uint,
};

module_param_cb(num_pfs, &num_pfs_ops, &num_pfs, 0444);
__MODULE_PARM_TYPE(num_pfs, "uint");
MODULE_PARM_DESC(num_pfs, "Physical functions, 1 to 8 (as many as models are named)");

static char *models[VFMIG_MAX_PFS] = { "nvme" };
static unsigned int num_models = 1;
module_param_array(models, charp, &num_models, 0444);
MODULE_PARM_DESC(models, "Device model of each PF; of the last one named for further PFs (nvme)");

static struct vfmig_fabric *fabric;

static int check_num_pfs(void)
{
	if (!num_pfs_given)
		num_pfs = num_models;
	if (num_pfs < 1 || num_pfs > VFMIG_MAX_PFS) {
		pr_err("vfmig_sim: num_pfs=%u: not between 1 and %u\n", num_pfs, VFMIG_MAX_PFS);
		return -EINVAL;
	}
	if (num_pfs < num_models) {
		pr_err("vfmig_sim: num_pfs=%u: less than the %u models named\n", num_pfs,
		       num_models);
		return -EINVAL;
	}
	return 0;
}

static int choose_models(const struct vfmig_pf_desc **pfs)
{
	char names[VFMIG_MODEL_NAMES];

	for (unsigned int i = 0; i < num_pfs; i++) {
		const char *name = models[min(i, num_models - 1)];
		const struct vfmig_model *model = vfmig_model_find(name);

		if (!model) {
			vfmig_model_names(names);
			pr_err("vfmig_sim: models=%s: no such model; there is: %s\n", name, names);
			return -EINVAL;
		}
		pfs[i] = &model->desc;
	}
	return 0;
}

static int describe(struct vfmig_fabric_desc *desc)
{
	int ret;

	ret = check_num_pfs();
	if (ret)
		return ret;

	desc->num_pfs = num_pfs;
	desc->num_descs = vfmig_num_models;
	for (unsigned int i = 0; i < vfmig_num_models; i++)
		desc->descs[i] = &vfmig_models[i]->desc;
	return choose_models(desc->pfs);
}

static int __init vfmig_sim_init(void)
{
	struct vfmig_fabric_desc desc = {
		.owner = THIS_MODULE,
		.total_vfs = VFMIG_MAX_VFS,
		.vf_driver = "vfmig_vfio_pci",
	};
	int ret;

	ret = describe(&desc);
	if (ret)
		return ret;

	ret = vfmig_workers_init();
	if (ret)
		return ret;
	ret = vfmig_models_init();
	if (ret)
		goto err_workers;
	vfmig_pf_debugfs_init();

	ret = vfmig_pf_register_driver();
	if (ret)
		goto err_models;

	fabric = vfmig_fabric_create(&desc);
	if (IS_ERR(fabric)) {
		ret = PTR_ERR(fabric);
		goto err_driver;
	}
	return 0;

err_driver:
	pci_unregister_driver(&vfmig_pf_driver);
err_models:
	vfmig_pf_debugfs_exit();
	vfmig_models_exit();
err_workers:
	vfmig_workers_exit();
	return ret;
}
module_init(vfmig_sim_init);

static void __exit vfmig_sim_exit(void)
{
	vfmig_pf_unregister_driver(fabric);
	vfmig_fabric_destroy(fabric);
	vfmig_pf_debugfs_exit();
	vfmig_models_exit();
	vfmig_workers_exit();
}
module_exit(vfmig_sim_exit);

/* The VFs have no other driver.  modprobe loads it after this module. */
MODULE_SOFTDEP("post: vfmig_vfio_pci");
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Simulated SR-IOV devices whose VFs can be migrated");
MODULE_AUTHOR("The vfmig authors");
