// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fabric's IOMMU for the IOMMU core: the functions that it serves, and the
 * domains to which they can be attached.  pagetable.c has the mappings, and dma.c
 * walks them.
 *
 * DMA of a function without a paging domain is blocked.  That is the default,
 * because no driver of the host does DMA with a simulated function.  So maps and
 * unmaps come from VFIO and iommufd only, and may sleep.
 *
 * An unmap must wait until no copy can touch the unmapped pages.  A copy looks an
 * IOVA up and uses the result under its function's dma_lock.  So the unmap clears
 * the entries, and then takes and drops the dma_lock of each attached function,
 * like an IOTLB flush.  A function that is being attached is in the domain's list
 * already, or is added to it, and may use the page table, only after the unmap has
 * dropped the domain's mutex and the entries are clear.  A function that is being
 * detached stays in the list until it can't use the page table any more.
 *
 * Dirty tracking belongs to the domain, and is switched in the same way as a mapping
 * is changed.  Unmapping a range clears its dirty bits.  With tracking off, each
 * write costs one extra test.
 */
#include <linux/device/bus.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <uapi/linux/iommufd.h>

#include "compat.h"
#include "dirty.h"
#include "fabric_priv.h"

static struct vfmig_domain *to_vfmig_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct vfmig_domain, domain);
}

static void vfmig_attachment_free(struct vfmig_attachment *attachment)
{
	if (!attachment)
		return;
	scoped_guard(mutex, &attachment->domain->lock)
		list_del(&attachment->node);
	kfree(attachment);
}

/* When this returns, no copy uses the previous domain; NULL blocks DMA */
static void vfmig_attach(struct vfmig_fn *fn, struct vfmig_attachment *attachment)
{
	raw_spin_lock_irq(&fn->dma_lock);
	fn->domain = attachment ? attachment->domain : NULL;
	raw_spin_unlock_irq(&fn->dma_lock);

	vfmig_attachment_free(fn->attachment);
	fn->attachment = attachment;
}

static int vfmig_attach_blocked(VFMIG_ATTACH_ARGS(domain, dev))
{
	struct vfmig_fn *fn = vfmig_fn_of(to_pci_dev(dev));

	vfmig_attach(fn, NULL);
	return 0;
}

static struct iommu_domain vfmig_blocked_domain = {
	.type = IOMMU_DOMAIN_BLOCKED,
	.ops = &(const struct iommu_domain_ops) {
		.attach_dev = vfmig_attach_blocked,
	},
};

static int vfmig_domain_attach(VFMIG_ATTACH_ARGS(domain, dev))
{
	struct vfmig_fn *fn = vfmig_fn_of(to_pci_dev(dev));
	struct vfmig_domain *vdomain = to_vfmig_domain(domain);
	struct vfmig_attachment *attachment;

	if (fn->attachment && fn->attachment->domain == vdomain)
		return 0;

	attachment = kzalloc(sizeof(*attachment), GFP_KERNEL);
	if (!attachment)
		return -ENOMEM;
	attachment->fn = fn;
	attachment->domain = vdomain;

	scoped_guard(mutex, &vdomain->lock)
		list_add_tail(&attachment->node, &vdomain->attachments);
	vfmig_attach(fn, attachment);
	return 0;
}

static int vfmig_domain_map(struct iommu_domain *domain, unsigned long iova, phys_addr_t paddr,
			    size_t pgsize, size_t pgcount, int prot, gfp_t gfp, size_t *mapped)
{
	struct vfmig_domain *vdomain = to_vfmig_domain(domain);
	u64 perms = 0;

	if (prot & IOMMU_READ)
		perms |= VFMIG_PTE_READ;
	if (prot & IOMMU_WRITE)
		perms |= VFMIG_PTE_WRITE;

	guard(mutex)(&vdomain->lock);
	return vfmig_pt_map(&vdomain->pt, iova, paddr, pgsize, pgcount, perms, gfp, mapped);
}

/* @vdomain->lock is held */
static void vfmig_domain_wait_for_dma(struct vfmig_domain *vdomain)
{
	struct vfmig_attachment *attachment;

	list_for_each_entry(attachment, &vdomain->attachments, node) {
		raw_spin_lock_irq(&attachment->fn->dma_lock);
		raw_spin_unlock_irq(&attachment->fn->dma_lock);
	}
}

static size_t vfmig_domain_unmap(struct iommu_domain *domain, unsigned long iova, size_t pgsize,
				 size_t pgcount, struct iommu_iotlb_gather *gather)
{
	struct vfmig_domain *vdomain = to_vfmig_domain(domain);
	LIST_HEAD(unused);
	size_t unmapped;

	scoped_guard(mutex, &vdomain->lock) {
		unmapped = vfmig_pt_unmap(&vdomain->pt, iova, pgsize * pgcount, &unused);
		vfmig_domain_wait_for_dma(vdomain);
		if (vdomain->dirty && unmapped)
			vfmig_dirty_read(vdomain->dirty, iova, iova + unmapped - 1, true, NULL);
	}
	vfmig_pt_free_unused(&unused);
	return unmapped;
}

static phys_addr_t vfmig_domain_iova_to_phys(struct iommu_domain *domain, dma_addr_t iova)
{
	struct vfmig_domain *vdomain = to_vfmig_domain(domain);
	phys_addr_t paddr;

	guard(mutex)(&vdomain->lock);
	return vfmig_pt_walk(&vdomain->pt, iova, &paddr) ? paddr : 0;
}

/* A copy by the CPU is always coherent */
static bool vfmig_domain_enforce_cache_coherency(struct iommu_domain *domain)
{
	return true;
}

static void vfmig_domain_free(struct iommu_domain *domain)
{
	struct vfmig_domain *vdomain = to_vfmig_domain(domain);

	WARN_ON(!list_empty(&vdomain->attachments));
	if (vdomain->dirty)
		vfmig_dirty_put(vdomain->dirty);
	vfmig_pt_destroy(&vdomain->pt);
	mutex_destroy(&vdomain->lock);
	kfree(vdomain);
	/* vfmig_iommu_exit() waits until this function has returned */
	module_put(THIS_MODULE);
}

/*
 * Enable tracking with the set @dirty, or disable it if @dirty is NULL.  If it is in that
 * state already, nothing changes.  Returns the set that is not in use, for the caller to
 * put without the lock: freeing a large set takes a while.
 */
static struct vfmig_dirty *vfmig_domain_exchange_dirty(struct vfmig_domain *vdomain,
						       struct vfmig_dirty *dirty)
{
	struct vfmig_dirty *old;

	guard(mutex)(&vdomain->lock);
	old = vdomain->dirty;
	if (!old == !dirty)
		return dirty;

	/* Pairs with the address dependency in dma.c */
	smp_store_release(&vdomain->dirty, dirty);
	/*
	 * A copy under way may not have seen that tracking is on, and then sets no bit: its
	 * data must be written before the caller begins to read pages.  Or the copy may still
	 * use the old set.
	 */
	vfmig_domain_wait_for_dma(vdomain);
	return old;
}

/* Enabling starts with an empty set.  Enabling it again keeps the set. */
static int vfmig_domain_set_dirty_tracking(struct iommu_domain *domain, bool enabled)
{
	struct vfmig_dirty *unused, *dirty = NULL;

	if (enabled) {
		dirty = vfmig_dirty_create();
		if (!dirty)
			return -ENOMEM;
	}
	unused = vfmig_domain_exchange_dirty(to_vfmig_domain(domain), dirty);
	if (unused)
		vfmig_dirty_put(unused);
	return 0;
}

/*
 * iommufd asks for mapped ranges only.  Before it enables tracking it calls this without a
 * bitmap, to clear.  There is no IOTLB to flush.
 */
static int vfmig_domain_read_and_clear_dirty(struct iommu_domain *domain, unsigned long iova,
					     size_t size, unsigned long flags,
					     struct iommu_dirty_bitmap *bitmap)
{
	struct vfmig_domain *vdomain = to_vfmig_domain(domain);
	struct vfmig_dirty *dirty = NULL;

	scoped_guard(mutex, &vdomain->lock) {
		if (vdomain->dirty)
			dirty = vfmig_dirty_get(vdomain->dirty);
	}
	if (!dirty)
		return bitmap->bitmap ? -EINVAL : 0;
	vfmig_dirty_read(dirty, iova, iova + size - 1, !(flags & IOMMU_DIRTY_NO_CLEAR),
			 bitmap->bitmap);
	vfmig_dirty_put(dirty);
	return 0;
}

static const struct iommu_dirty_ops vfmig_dirty_ops = {
	.set_dirty_tracking	= vfmig_domain_set_dirty_tracking,
	.read_and_clear_dirty	= vfmig_domain_read_and_clear_dirty,
};

static const struct iommu_domain_ops vfmig_domain_ops = {
	.attach_dev		= vfmig_domain_attach,
	.map_pages		= vfmig_domain_map,
	.unmap_pages		= vfmig_domain_unmap,
	.iova_to_phys		= vfmig_domain_iova_to_phys,
	.enforce_cache_coherency = vfmig_domain_enforce_cache_coherency,
	.free			= vfmig_domain_free,
};

static struct iommu_domain *vfmig_iommu_domain_alloc(struct device *dev)
{
	struct vfmig_domain *vdomain = kzalloc(sizeof(*vdomain), GFP_KERNEL_ACCOUNT);

	if (!vdomain)
		return ERR_PTR(-ENOMEM);
	if (vfmig_pt_init(&vdomain->pt)) {
		kfree(vdomain);
		return ERR_PTR(-ENOMEM);
	}
	mutex_init(&vdomain->lock);
	INIT_LIST_HEAD(&vdomain->attachments);

	vdomain->domain.type = IOMMU_DOMAIN_UNMANAGED;
	vdomain->domain.ops = &vfmig_domain_ops;
	vdomain->domain.pgsize_bitmap = VFMIG_PT_PGSIZES;
	vdomain->domain.geometry.aperture_end = BIT_ULL(VFMIG_PT_IOVA_BITS) - 1;
	vdomain->domain.geometry.force_aperture = true;

	/* iommufd can keep a domain after the last function has been removed */
	__module_get(THIS_MODULE);
	return &vdomain->domain;
}

/* For iommufd: a domain with the features in @flags */
static struct iommu_domain *vfmig_iommu_domain_alloc_flags(VFMIG_ALLOC_FLAGS_ARGS(dev, flags,
										  user_data))
{
	struct iommu_domain *domain;

	if (user_data || flags & ~IOMMU_HWPT_ALLOC_DIRTY_TRACKING)
		return ERR_PTR(-EOPNOTSUPP);
	domain = vfmig_iommu_domain_alloc(dev);
	if (!IS_ERR(domain) && flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING)
		domain->dirty_ops = &vfmig_dirty_ops;
	return domain;
}

static bool vfmig_iommu_capable(struct device *dev, enum iommu_cap cap)
{
	switch (cap) {
	case IOMMU_CAP_CACHE_COHERENCY:
	case IOMMU_CAP_ENFORCE_CACHE_COHERENCY:
		return true;
	case IOMMU_CAP_DIRTY_TRACKING:
		return IS_ENABLED(CONFIG_IOMMUFD_DRIVER);
	default:
		return false;
	}
}

static struct iommu_device *vfmig_iommu_probe_device(struct device *dev)
{
	struct vfmig_fn *fn = dev_is_pci(dev) ? vfmig_fn_of(to_pci_dev(dev)) : NULL;

	return fn ? &fn->fabric->iommu : ERR_PTR(-ENODEV);
}

/*
 * On x86 a write to these addresses is an interrupt and never reaches memory.  The fabric
 * does not use them, but a mapping that fails with any other IOMMU must fail here too.
 */
#define VFMIG_MSI_START	0xfee00000
#define VFMIG_MSI_SIZE	SZ_1M

static void vfmig_iommu_get_resv_regions(struct device *dev, struct list_head *regions)
{
	struct iommu_resv_region *region;

	region = iommu_alloc_resv_region(VFMIG_MSI_START, VFMIG_MSI_SIZE, 0, IOMMU_RESV_MSI,
					 GFP_KERNEL);
	if (region)
		list_add_tail(&region->list, regions);
}

static const struct iommu_ops vfmig_iommu_ops = {
	.owner			= THIS_MODULE,
	.capable		= vfmig_iommu_capable,
	.probe_device		= vfmig_iommu_probe_device,
	.device_group		= generic_device_group,
	.get_resv_regions	= vfmig_iommu_get_resv_regions,
	.domain_alloc_paging	= vfmig_iommu_domain_alloc,
	.VFMIG_ALLOC_FLAGS	= vfmig_iommu_domain_alloc_flags,
	.default_domain		= &vfmig_blocked_domain,
	.blocked_domain		= &vfmig_blocked_domain,
	.release_domain		= &vfmig_blocked_domain,
};

/*
 * Tell the IOMMU core which IOMMU serves a function.  For hardware, firmware tables say
 * that.  iommu_fwspec_init() needs a lock that is not exported to modules, so this does
 * the same without it.  The core frees both objects.
 */
static int vfmig_iommu_set_fwspec(struct device *dev, struct fwnode_handle *fwnode)
{
	struct iommu_fwspec *fwspec __free(kfree) = kzalloc(sizeof(*fwspec), GFP_KERNEL);
	struct dev_iommu *param;

	if (!fwspec)
		return -ENOMEM;
	if (!dev->iommu) {
		param = kzalloc(sizeof(*param), GFP_KERNEL);
		if (!param)
			return -ENOMEM;
		mutex_init(&param->lock);
		dev->iommu = param;
	}
	fwspec->iommu_fwnode = fwnode_handle_get(fwnode);
	dev_iommu_fwspec_set(dev, no_free_ptr(fwspec));
	return 0;
}

/* Runs before the IOMMU core and drivers get to know the function */
static int vfmig_function_prepare(struct vfmig_fn *fn, struct pci_dev *pdev)
{
	int ret;

	vfmig_set_bars_not_mappable(pdev);
	ret = vfmig_bars_take(pdev);
	if (ret)
		return ret;
	fn->bars_taken = true;
	ret = vfmig_iommu_set_fwspec(&pdev->dev, fn->fabric->fwnode);
	if (!ret && vfmig_fn_is_vf(fn))
		ret = vfmig_set_driver_override(pdev, fn->fabric->desc.vf_driver);
	return ret;
}

/* A notifier can't prevent that a device is added.  A dead device gets no driver. */
static void vfmig_function_added(struct vfmig_fn *fn, struct pci_dev *pdev)
{
	int ret = vfmig_function_prepare(fn, pdev);

	if (!ret)
		return;
	pci_err(pdev, "can't be used by any driver: %pe\n", ERR_PTR(ret));
	guard(device)(&pdev->dev);
	kill_device(&pdev->dev);
}

/* Runs before the PCI core frees the BARs */
static void vfmig_function_removed(struct vfmig_fn *fn, struct pci_dev *pdev)
{
	if (fn->bars_taken)
		vfmig_bars_give_back(pdev);
	fn->bars_taken = false;
}

/* Is this neither the owner's own driver (of the PF) nor the variant driver? */
static bool vfmig_driver_is_foreign(const struct vfmig_fabric_desc *desc,
				    const struct device_driver *driver)
{
	return driver->owner != desc->owner && strcmp(driver->name, desc->vf_driver);
}

/*
 * A driver binds to the function.  The device is locked.  If the owner is being unloaded,
 * it can't be pinned, and soon removes the function.
 */
static void vfmig_function_bind(struct vfmig_fn *fn, struct pci_dev *pdev)
{
	struct vfmig_fabric_desc *desc = &fn->fabric->desc;

	/* With CONFIG_DEBUG_TEST_DRIVER_REMOVE a driver binds twice in a row */
	if (!fn->pins && vfmig_driver_is_foreign(desc, pdev->dev.driver))
		fn->pins = try_module_get(desc->owner);
}

/*
 * A driver has bound.  One that maps the BARs finds nothing behind them, and its user, or the
 * guest that it gives the VF to, only sees a device that does not answer.
 */
static void vfmig_function_bound(struct vfmig_fn *fn, struct pci_dev *pdev)
{
	const char *name = pdev->dev.driver->name, *vf_driver = fn->fabric->desc.vf_driver;

	if (vfmig_fn_is_vf(fn) && strcmp(name, vf_driver))
		pci_warn(pdev, "%s can't drive or migrate this VF: set driver_override to %s and bind it again\n",
			 name, vf_driver);
}

/* No driver is bound to the function any more.  The device is locked. */
static void vfmig_function_unbound(struct vfmig_fn *fn)
{
	if (fn->pins)
		module_put(fn->fabric->desc.owner);
	fn->pins = false;
}

static int vfmig_bus_notify(struct notifier_block *nb, unsigned long action, void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);
	struct vfmig_fn *fn = vfmig_fn_of(pdev);

	if (!fn)
		return NOTIFY_DONE;

	switch (action) {
	case BUS_NOTIFY_ADD_DEVICE:
		vfmig_function_added(fn, pdev);
		break;
	case BUS_NOTIFY_REMOVED_DEVICE:
		vfmig_function_removed(fn, pdev);
		break;
	case BUS_NOTIFY_BIND_DRIVER:
		vfmig_function_bind(fn, pdev);
		break;
	case BUS_NOTIFY_BOUND_DRIVER:
		vfmig_function_bound(fn, pdev);
		break;
	case BUS_NOTIFY_DRIVER_NOT_BOUND:
	case BUS_NOTIFY_UNBOUND_DRIVER:
		vfmig_function_unbound(fn);
		break;
	default:
		return NOTIFY_DONE;
	}
	return NOTIFY_OK;
}

static struct notifier_block vfmig_bus_nb = {
	.notifier_call = vfmig_bus_notify,
	.priority = 1,	/* the IOMMU core has 0 */
};

int vfmig_iommu_init(void)
{
	return bus_register_notifier(&pci_bus_type, &vfmig_bus_nb);
}

void vfmig_iommu_exit(void)
{
	bus_unregister_notifier(&pci_bus_type, &vfmig_bus_nb);
	/*
	 * The task that freed the last domain dropped the last reference to the module and
	 * may still be in vfmig_domain_free().  It does not sleep until it has returned.
	 */
	synchronize_rcu_tasks();
}

int vfmig_iommu_create(struct vfmig_fabric *fabric)
{
	int ret;

	ret = iommu_device_sysfs_add(&fabric->iommu, fabric->dev, NULL, "%s",
				     dev_name(fabric->dev));
	if (ret)
		return ret;

	ret = iommu_device_register(&fabric->iommu, &vfmig_iommu_ops, fabric->dev);
	if (ret)
		iommu_device_sysfs_remove(&fabric->iommu);
	return ret;
}

void vfmig_iommu_destroy(struct vfmig_fabric *fabric)
{
	iommu_device_unregister(&fabric->iommu);
	iommu_device_sysfs_remove(&fabric->iommu);
}
