// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmig_registry: where PF drivers register their VFs, and where the variant driver
 * finds them.  A module of its own, below both.  So a PF driver does not depend on VFIO,
 * and the variant driver does not depend on any PF driver.
 */
#include <linux/cleanup.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/vfmig.h>

struct vfmig_pf {
	struct list_head node;
	struct pci_dev *pdev;
	const struct vfmig_vf_ops *ops;
};

/* Protects vfmig_pfs and its entries.  Of the callbacks only ops->find() runs under it. */
static DEFINE_MUTEX(vfmig_pfs_lock);
static LIST_HEAD(vfmig_pfs);

static struct vfmig_pf *vfmig_pf_find(struct pci_dev *pdev)
{
	struct vfmig_pf *pf;

	list_for_each_entry(pf, &vfmig_pfs, node)
		if (pf->pdev == pdev)
			return pf;
	return NULL;
}

/**
 * vfmig_register_pf() - register a PF, whose VFs the variant driver can then drive
 * @pdev: the PF
 * @ops: operations on its VFs
 *
 * Call this before the VFs are enabled.  May sleep.
 *
 * Return: 0, -EEXIST if @pdev is registered, -ENOMEM.
 */
int vfmig_register_pf(struct pci_dev *pdev, const struct vfmig_vf_ops *ops)
{
	struct vfmig_pf *pf __free(kfree) = kzalloc(sizeof(*pf), GFP_KERNEL);

	if (!pf)
		return -ENOMEM;
	pf->pdev = pdev;
	pf->ops = ops;

	guard(mutex)(&vfmig_pfs_lock);
	if (vfmig_pf_find(pdev))
		return -EEXIST;
	list_add(&no_free_ptr(pf)->node, &vfmig_pfs);
	return 0;
}
EXPORT_SYMBOL_GPL(vfmig_register_pf);

/**
 * vfmig_unregister_pf() - unregister a PF
 * @pdev: the PF
 *
 * Call this after the VFs are disabled, because a bound VF uses the operations.
 * May sleep.
 */
void vfmig_unregister_pf(struct pci_dev *pdev)
{
	struct vfmig_pf *pf;

	guard(mutex)(&vfmig_pfs_lock);
	pf = vfmig_pf_find(pdev);
	if (WARN_ON(!pf))
		return;
	list_del(&pf->node);
	kfree(pf);
}
EXPORT_SYMBOL_GPL(vfmig_unregister_pf);

/**
 * vfmig_find_vf() - find the PF driver's side of a VF
 * @pdev: any PCI device; driver_override can bind the variant driver to each
 * @ops: set to the operations on the VF
 * @vf: set to the PF driver's handle of the VF
 *
 * For the variant driver.  Both are valid while @pdev is bound to it.  May sleep.
 *
 * Return: 0, or -ENODEV if @pdev is not a VF of a registered PF.
 */
int vfmig_find_vf(struct pci_dev *pdev, const struct vfmig_vf_ops **ops, void **vf)
{
	struct vfmig_pf *pf;

	if (!pdev->is_virtfn)
		return -ENODEV;

	guard(mutex)(&vfmig_pfs_lock);
	pf = vfmig_pf_find(pci_physfn(pdev));
	if (!pf)
		return -ENODEV;
	*ops = pf->ops;
	*vf = pf->ops->find(pf->pdev, pci_iov_vf_id(pdev));
	return *vf ? 0 : -ENODEV;
}
EXPORT_SYMBOL_GPL(vfmig_find_vf);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Registry of PF drivers whose VFs vfmig_vfio_pci migrates");
MODULE_AUTHOR("The vfmig developers");
