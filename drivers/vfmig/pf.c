// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver of a simulated PF.  It creates and removes VFs, and registers them with the
 * variant driver.  Its settings are in attrs.c.  A PF has no BAR and no function of
 * its own.  The fabric handles an FLR of the PF, which resets the VFs.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "pf.h"

static struct dentry *debugfs_root;

/* Module exit has begun: no more VFs are created.  Read under a PF's device lock. */
static bool pf_going;

void vfmig_pf_debugfs_init(void)
{
	debugfs_root = debugfs_create_dir("vfmig", NULL);
}

void vfmig_pf_debugfs_exit(void)
{
	debugfs_remove(debugfs_root);
}

static int dma_faults_get(void *data, u64 *value)
{
	struct vfmig_vf *vf = data;

	*value = vfmig_fn_dma_faults(vf->fn);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(dma_faults_fops, dma_faults_get, NULL, "%llu\n");

static void vf_debugfs_add(struct vfmig_vf *vf, const struct vfmig_model *model)
{
	vf->dir = debugfs_create_dir(vfmig_fn_name(vf->fn), debugfs_root);
	debugfs_create_file_unsafe("dma_faults", 0400, vf->dir, vf, &dma_faults_fops);
	/* A model without a worker has no place where that could be done */
	if (model->fn_ops->kick)
		vfmig_fn_rewrite_debugfs(vf->fn, vf->dir);
	if (model->debugfs)
		model->debugfs(vf->model, vf->dir);
}

static int vf_create(struct vfmig_pf *pf, unsigned int index)
{
	const struct vfmig_model *model = pf->model;
	struct vfmig_vf *vf = &pf->vfs[index];

	vf->fn = vfmig_fn_vf(pf->fn, index);
	vf->model = model->create(pf->model_pf, vf->fn, pf->config);
	if (IS_ERR(vf->model))
		return PTR_ERR(vf->model);

	vfmig_fn_set_model(vf->fn, model->fn_ops, vf->model);
	vf_debugfs_add(vf, model);
	return 0;
}

static void vf_destroy(struct vfmig_pf *pf, struct vfmig_vf *vf)
{
	debugfs_remove(vf->dir);
	vfmig_fn_set_model(vf->fn, NULL, NULL);
	pf->model->destroy(vf->model);
}

static void pf_destroy_vfs(struct vfmig_pf *pf)
{
	guard(mutex)(&pf->lock);
	while (pf->nr_vfs)
		vf_destroy(pf, &pf->vfs[--pf->nr_vfs]);
}

static int pf_create_vfs(struct vfmig_pf *pf, unsigned int nr)
{
	int ret;

	guard(mutex)(&pf->lock);
	if (vfmig_pf_is_replaced(pf))
		return -EBUSY;
	while (pf->nr_vfs < nr) {
		ret = vf_create(pf, pf->nr_vfs);
		if (ret)
			return ret;
		pf->nr_vfs++;
	}
	return 0;
}

/* The handle of VF @index of a PF of this driver; see &vfmig_vf_ops.find */
void *vfmig_pf_find(struct pci_dev *pdev, unsigned int index)
{
	struct vfmig_pf *pf = pci_get_drvdata(pdev);

	return index < pf->nr_vfs ? pf->vfs[index].model : NULL;
}

static int pf_sriov_configure(struct pci_dev *pdev, int nr)
{
	struct vfmig_pf *pf = pci_get_drvdata(pdev);
	int ret;

	if (!nr) {
		pci_disable_sriov(pdev);
		pf_destroy_vfs(pf);
		return 0;
	}

	if (READ_ONCE(pf_going))
		return -ENODEV;
	ret = pf_create_vfs(pf, nr);
	if (!ret)
		ret = pci_enable_sriov(pdev, nr);
	if (ret) {
		pf_destroy_vfs(pf);
		return ret;
	}
	return nr;
}

static int pf_init(struct vfmig_pf *pf, struct pci_dev *pdev)
{
	const struct vfmig_model *model = vfmig_model_of(pf->fn);
	int ret;

	pf->model = model;
	pf->config = devm_kmemdup(&pdev->dev, model->defaults, model->config_size, GFP_KERNEL);
	if (!pf->config)
		return -ENOMEM;
	ret = devm_mutex_init(&pdev->dev, &pf->lock);
	if (ret)
		return ret;
	pf->model_pf = model->pf_create ? model->pf_create(pdev) : NULL;
	return PTR_ERR_OR_ZERO(pf->model_pf);
}

static void pf_exit(struct vfmig_pf *pf)
{
	if (pf->model->pf_destroy)
		pf->model->pf_destroy(pf->model_pf);
}

static int pf_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vfmig_fn *fn = vfmig_fn_of(pdev);
	struct vfmig_pf *pf;
	int ret;

	if (!fn)
		return -ENODEV;

	pf = devm_kzalloc(&pdev->dev, sizeof(*pf), GFP_KERNEL);
	if (!pf)
		return -ENOMEM;
	pf->fn = fn;
	pci_set_drvdata(pdev, pf);
	ret = pf_init(pf, pdev);
	if (ret)
		return ret;

	ret = vfmig_register_pf(pdev, pf->model->vf_ops);
	if (ret)
		goto err_exit;
	ret = vfmig_pf_attrs_add(pf, pdev);
	if (ret)
		goto err_unregister;
	return 0;

err_unregister:
	vfmig_unregister_pf(pdev);
err_exit:
	pf_exit(pf);
	return ret;
}

static void pf_remove(struct pci_dev *pdev)
{
	struct vfmig_pf *pf = pci_get_drvdata(pdev);

	vfmig_pf_attrs_remove(pf);
	pci_disable_sriov(pdev);
	vfmig_unregister_pf(pdev);
	pf_destroy_vfs(pf);
	pf_exit(pf);
}

/* PFs, each with a reference, because a user can remove one through sysfs at any time */
struct vfmig_pf_list {
	unsigned int nr;
	struct device *dev[VFMIG_MAX_PFS];
};

static int pf_collect(struct device *dev, void *data)
{
	struct vfmig_pf_list *pfs = data;

	if (pfs->nr == VFMIG_MAX_PFS)
		return -ENOSPC;
	pfs->dev[pfs->nr++] = get_device(dev);
	return 0;
}

static struct attribute *pf_find_attr(struct device *dev, const char *name)
{
	for (const struct attribute_group **group = dev->type->groups; *group; group++)
		for (struct attribute **attr = (*group)->attrs; attr && *attr; attr++)
			if (!strcmp((*attr)->name, name))
				return *attr;
	return NULL;
}

/*
 * Remove the VFs of a PF through its sriov_numvfs.
 *
 * The locks that pci_disable_sriov() must be called with, or without, differ from kernel to
 * kernel, and not by version.  The PCI core's own store function takes the right ones in
 * each kernel, and its caller needs no lock.
 */
static void pf_write_numvfs_0(struct device *dev)
{
	struct attribute *attr = pf_find_attr(dev, "sriov_numvfs");
	ssize_t ret = -ENOENT;

	if (attr)
		ret = dev->kobj.ktype->sysfs_ops->store(&dev->kobj, attr, "0", 1);
	if (ret < 0)
		dev_warn(dev, "VFs not removed: %pe\n", ERR_PTR(ret));
}

/* The IDs of the PF of each model, and an empty entry */
static struct pci_device_id pf_ids[VFMIG_MAX_PF_DESCS + 1];

struct pci_driver vfmig_pf_driver = {
	.name = "vfmig_sim",
	.id_table = pf_ids,
	.probe = pf_probe,
	.remove = pf_remove,
	.sriov_configure = pf_sriov_configure,
};

int vfmig_pf_register_driver(void)
{
	for (unsigned int i = 0; i < vfmig_num_models; i++) {
		const struct vfmig_pf_desc *desc = &vfmig_models[i]->desc;

		pf_ids[i] = (struct pci_device_id) { PCI_DEVICE(desc->vendor, desc->pf.device) };
	}
	return pci_register_driver(&vfmig_pf_driver);
}

/*
 * For module exit.  No VF is open, and from here on no VF is created or gets a driver.  This
 * removes all VFs, so pci_disable_sriov() in pf_remove() has nothing to do, with whatever
 * locks held.
 *
 * A write to sriov_numvfs takes the PF's device lock and then the PCI core's
 * rescan-remove lock.  Removal of the PF through sysfs takes them in the opposite order.
 * This inversion is in the PCI core, not in this driver.
 */
void vfmig_pf_unregister_driver(struct vfmig_fabric *fabric)
{
	struct vfmig_pf_list pfs = {};

	WRITE_ONCE(pf_going, true);
	vfmig_fabric_retire(fabric);
	WARN_ON(driver_for_each_device(&vfmig_pf_driver.driver, NULL, &pfs, pf_collect));
	for (unsigned int i = 0; i < pfs.nr; i++) {
		pf_write_numvfs_0(pfs.dev[i]);
		put_device(pfs.dev[i]);
	}
	pci_unregister_driver(&vfmig_pf_driver);
	vfmig_pf_attrs_wait();
}
