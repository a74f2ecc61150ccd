// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmig_registry: where PF drivers register their VFs, and where the variant driver
 * finds them.  A module of its own, below both.  So a PF driver does not depend on VFIO,
 * and the variant driver does not depend on any PF driver.
 */
#include <linux/array_size.h>
#include <linux/bits.h>
#include <linux/cleanup.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/vfio.h>
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

/* An operation, and why it has to be there; NULL if it has not */
struct vfmig_need {
	const char *op;
	bool there;
	const char *why;
};

#define NEED(op, why)	{ #op, op, why }

static int vfmig_check_needs(struct pci_dev *pdev, const struct vfmig_need *needs,
			     unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		if (needs[i].there || !needs[i].why)
			continue;
		pci_err(pdev, "vfmig: no operation %s, which %s needs\n", needs[i].op,
			needs[i].why);
		return -EINVAL;
	}
	return 0;
}

static int vfmig_check_vf_ops(struct pci_dev *pdev, const struct vfmig_vf_ops *ops)
{
	const u32 bars = GENMASK(PCI_STD_NUM_BARS - 1, 0);
	const char *trapped = (ops->hw_bars & bars) == bars ? NULL : "a BAR without hardware";
	const char *p2p = ops->migration_flags & VFIO_MIGRATION_P2P ? "P2P" : NULL;
	const char *all = "every device";
	const struct vfmig_need needs[] = {
		NEED(ops->owner, all),
		NEED(ops->find, all),
		NEED(ops->open, all),
		NEED(ops->close, all),
		NEED(ops->bar_read, trapped),
		NEED(ops->bar_write, trapped),
		NEED(ops->map, ops->map_area ? "map_area" : NULL),
		NEED(ops->quiesce, p2p),
		NEED(ops->resume, p2p),
		NEED(ops->freeze, all),
		NEED(ops->thaw, all),
		NEED(ops->identity, all),
		NEED(ops->save_start, all),
		NEED(ops->state_pending, all),
		NEED(ops->state_read, all),
		NEED(ops->load_start, all),
		NEED(ops->load_state, all),
		NEED(ops->load_commit, all),
	};

	return vfmig_check_needs(pdev, needs, ARRAY_SIZE(needs));
}

static int vfmig_check_mem_ops(struct pci_dev *pdev, const struct vfmig_mem_ops *mem)
{
	const char *all = "device memory";
	const struct vfmig_need needs[] = {
		NEED(mem->allocated, all),
		NEED(mem->pending, all),
		NEED(mem->next, all),
		NEED(mem->page, mem->read ? NULL : "device memory without read"),
		NEED(mem->load_page, mem->load_data ? NULL : "device memory without load_data"),
		NEED(mem->load_hole, all),
	};

	return vfmig_check_needs(pdev, needs, ARRAY_SIZE(needs));
}

static int vfmig_check_log_ops(struct pci_dev *pdev, const struct vfmig_log_ops *log)
{
	const struct vfmig_need needs[] = {
		NEED(log->start, "a log"),
		NEED(log->stop, "a log"),
		NEED(log->report, "a log"),
	};

	return vfmig_check_needs(pdev, needs, ARRAY_SIZE(needs));
}

/* A PF driver that could not keep what it promises is a bug in it, found at its first try */
static int vfmig_check_ops(struct pci_dev *pdev, const struct vfmig_vf_ops *ops)
{
	const u64 known = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;
	int ret;

	if (!(ops->migration_flags & VFIO_MIGRATION_STOP_COPY) || ops->migration_flags & ~known) {
		pci_err(pdev, "vfmig: migration_flags %#llx are not STOP_COPY with P2P or PRE_COPY\n",
			ops->migration_flags);
		return -EINVAL;
	}
	ret = vfmig_check_vf_ops(pdev, ops);
	if (!ret && ops->mem)
		ret = vfmig_check_mem_ops(pdev, ops->mem);
	if (!ret && ops->log)
		ret = vfmig_check_log_ops(pdev, ops->log);
	return ret;
}

/**
 * vfmig_register_pf() - register a PF, whose VFs the variant driver can then drive
 * @pdev: the PF
 * @ops: operations on its VFs; each PF may have others
 *
 * Call this before the VFs are enabled.  May sleep.
 *
 * Return: 0, -EINVAL if @ops lack an operation that they need, which the kernel log names,
 * -EEXIST if @pdev is registered, -ENOMEM.
 */
int vfmig_register_pf(struct pci_dev *pdev, const struct vfmig_vf_ops *ops)
{
	struct vfmig_pf *pf __free(kfree) = NULL;
	int ret;

	ret = vfmig_check_ops(pdev, ops);
	if (ret)
		return ret;
	pf = kzalloc(sizeof(*pf), GFP_KERNEL);
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
