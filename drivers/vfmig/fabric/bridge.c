// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host bridge: its PCI domain, the functions on its buses, and the order in
 * which they are created and removed.
 */
#include <linux/irqdomain.h>
#include <linux/kernfs.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "compat.h"
#include "fabric_priv.h"

/* Held from the choice of a domain number until its root bus is registered */
static DEFINE_MUTEX(vfmig_domain_mutex);

/* QEMU's "host=" takes no more than four digits */
#define VFMIG_MAX_DOMAIN	0xffff

/* PFs first, then the VFs of each PF, across as many buses as needed */
static u16 vfmig_vf_rid(const struct vfmig_fabric_desc *desc, unsigned int pf, unsigned int vf)
{
	return desc->num_pfs + pf * VFMIG_MAX_VFS + vf;
}

static struct vfmig_fabric *bus_to_fabric(struct pci_bus *bus)
{
	return container_of(to_pci_sysdata(bus), struct vfmig_fabric, sysdata);
}

/* The function at an address on a bus of a fabric, present or not; NULL if there is none */
struct vfmig_fn *vfmig_fabric_fn(struct pci_bus *bus, unsigned int devfn)
{
	struct vfmig_fabric *fabric = bus_to_fabric(bus);
	const struct vfmig_fabric_desc *desc = &fabric->desc;
	unsigned int rid = PCI_DEVID(bus->number, devfn);
	unsigned int vf;

	if (rid < desc->num_pfs)
		return &fabric->pfs[rid];
	vf = rid - desc->num_pfs;
	if (vf / VFMIG_MAX_VFS >= desc->num_pfs || vf % VFMIG_MAX_VFS >= desc->total_vfs)
		return NULL;
	return &fabric->pfs[vf / VFMIG_MAX_VFS].vfs[vf % VFMIG_MAX_VFS];
}

struct vfmig_fn *vfmig_fn_of(struct pci_dev *pdev)
{
	if (pdev->bus->ops != &vfmig_pci_ops)
		return NULL;
	return vfmig_fabric_fn(pdev->bus, pdev->devfn);
}
EXPORT_SYMBOL_GPL(vfmig_fn_of);

static bool vfmig_range_in_bar(const struct vfmig_fn_desc *desc, u32 start, u32 len)
{
	return IS_ALIGNED(start, SZ_4K) && start < desc->bar_size[desc->msix_bar] &&
	       len <= desc->bar_size[desc->msix_bar] - start;
}

static bool vfmig_msix_is_valid(const struct vfmig_fn_desc *desc)
{
	u32 table_len = desc->msix_vectors * PCI_MSIX_ENTRY_SIZE;

	return desc->msix_vectors <= VFMIG_MAX_VECTORS && desc->msix_bar < PCI_STD_NUM_BARS &&
	       vfmig_range_in_bar(desc, desc->msix_table, table_len) &&
	       vfmig_range_in_bar(desc, desc->msix_pba, sizeof(u64)) &&
	       (desc->msix_pba < desc->msix_table ||
		desc->msix_pba >= desc->msix_table + table_len);
}

static bool vfmig_fn_desc_is_valid(const struct vfmig_fn_desc *desc)
{
	for (unsigned int i = 0; i < PCI_STD_NUM_BARS; i++) {
		u32 size = desc->bar_size[i];

		if (size && (i % 2 || size < SZ_4K || !is_power_of_2(size)))
			return false;
	}
	return (!desc->msix_vectors || vfmig_msix_is_valid(desc)) && vfmig_caps_are_valid(desc);
}

/* BARs of a PF get their addresses too late for vfmig_bars_take() */
static bool vfmig_pf_desc_is_valid(const struct vfmig_pf_desc *desc)
{
	return !memchr_inv(desc->pf.bar_size, 0, sizeof(desc->pf.bar_size)) &&
	       vfmig_fn_desc_is_valid(&desc->pf) && vfmig_fn_desc_is_valid(&desc->vf);
}

static bool vfmig_has_desc(const struct vfmig_fabric_desc *desc, const struct vfmig_pf_desc *pf)
{
	for (unsigned int i = 0; i < desc->num_descs; i++)
		if (desc->descs[i] == pf)
			return true;
	return false;
}

static bool vfmig_desc_is_valid(const struct vfmig_fabric_desc *desc)
{
	if (!in_range(desc->num_pfs, 1, VFMIG_MAX_PFS) ||
	    !in_range(desc->total_vfs, 1, VFMIG_MAX_VFS) ||
	    !in_range(desc->num_descs, 1, VFMIG_MAX_PF_DESCS) || !desc->vf_driver)
		return false;

	for (unsigned int i = 0; i < desc->num_descs; i++)
		if (!vfmig_pf_desc_is_valid(desc->descs[i]))
			return false;
	for (unsigned int i = 0; i < desc->num_pfs; i++)
		if (!vfmig_has_desc(desc, desc->pfs[i]))
			return false;
	return true;
}

static bool vfmig_domain_has_bus(int domain)
{
	struct pci_bus *bus = NULL;

	while ((bus = pci_find_next_bus(bus)))
		if (pci_domain_nr(bus) == domain)
			return true;
	return false;
}

/* From the top, because firmware and hypervisors number their domains from 0 or 1 */
static int vfmig_domain_claim(struct vfmig_fabric *fabric)
{
	int domain, ret = -ENOSPC;

	pci_lock_rescan_remove();
	for (domain = VFMIG_MAX_DOMAIN; domain >= 0 && ret == -ENOSPC; domain--) {
		if (vfmig_domain_has_bus(domain))
			continue;
		ret = vfmig_reserve_domain(domain);
		fabric->sysdata.domain = domain;
	}
	pci_unlock_rescan_remove();
	return ret;
}

static void vfmig_fns_destroy(struct vfmig_fabric *fabric)
{
	for (unsigned int p = 0; p < fabric->desc.num_pfs; p++) {
		struct vfmig_fn *pf = &fabric->pfs[p];

		for (unsigned int v = 0; pf->vfs && v < fabric->desc.total_vfs; v++)
			vfmig_fn_destroy(&pf->vfs[v]);
		kvfree(pf->vfs);
		vfmig_fn_destroy(pf);
	}
	kvfree(fabric->pfs);
}

static int vfmig_vfs_create(struct vfmig_fn *pf)
{
	struct vfmig_fabric *fabric = pf->fabric;
	int ret;

	pf->vfs = kvcalloc(fabric->desc.total_vfs, sizeof(*pf->vfs), GFP_KERNEL);
	if (!pf->vfs)
		return -ENOMEM;

	for (unsigned int v = 0; v < fabric->desc.total_vfs; v++) {
		struct vfmig_fn *vf = &pf->vfs[v];

		vf->fabric = fabric;
		vf->desc = &pf->pf_desc->vf;
		vf->pf = pf;
		vf->index = v;
		vf->rid = vfmig_vf_rid(&fabric->desc, pf->index, v);
		ret = vfmig_fn_init(vf);
		if (ret)
			return ret;
	}
	return 0;
}

/* Creates all functions, present or not.  They live as long as the fabric. */
static int vfmig_fns_create(struct vfmig_fabric *fabric)
{
	int ret;

	fabric->pfs = kvcalloc(fabric->desc.num_pfs, sizeof(*fabric->pfs), GFP_KERNEL);
	if (!fabric->pfs)
		return -ENOMEM;

	for (unsigned int p = 0; p < fabric->desc.num_pfs; p++) {
		struct vfmig_fn *pf = &fabric->pfs[p];

		pf->fabric = fabric;
		pf->pf_desc = fabric->desc.pfs[p];
		pf->desc = &pf->pf_desc->pf;
		pf->index = p;
		pf->rid = p;
		ret = vfmig_vfs_create(pf);
		if (!ret)
			ret = vfmig_fn_init(pf);
		if (ret) {
			vfmig_fns_destroy(fabric);
			return ret;
		}
	}
	return 0;
}

/* The device in /sys/devices, and the fwnode that identifies the IOMMU to the IOMMU core */
static int vfmig_device_create(struct vfmig_fabric *fabric)
{
	char name[16];

	fabric->fwnode = irq_domain_alloc_named_id_fwnode("vfmig", fabric->sysdata.domain);
	if (!fabric->fwnode)
		return -ENOMEM;

	snprintf(name, sizeof(name), "vfmig-%04x", fabric->sysdata.domain);
	fabric->dev = root_device_register(name);
	if (IS_ERR(fabric->dev)) {
		irq_domain_free_fwnode(fabric->fwnode);
		return PTR_ERR(fabric->dev);
	}
	set_primary_fwnode(fabric->dev, fabric->fwnode);
	return 0;
}

static void vfmig_device_destroy(struct vfmig_fabric *fabric)
{
	set_primary_fwnode(fabric->dev, NULL);
	root_device_unregister(fabric->dev);
	irq_domain_free_fwnode(fabric->fwnode);
}

/* As pci_add_resource(), which goes on without memory: the bus would have no window */
static int vfmig_add_window(struct pci_host_bridge *bridge, struct resource *res)
{
	struct resource_entry *entry = resource_list_create_entry(res, 0);

	if (!entry)
		return -ENOMEM;
	resource_list_add_tail(entry, &bridge->windows);
	return 0;
}

static int vfmig_bridge_create(struct vfmig_fabric *fabric)
{
	const struct vfmig_fabric_desc *desc = &fabric->desc;
	struct pci_host_bridge *bridge;
	int ret;

	bridge = pci_alloc_host_bridge(0);
	if (!bridge)
		return -ENOMEM;

	fabric->busn.name = dev_name(fabric->dev);
	fabric->busn.flags = IORESOURCE_BUS;
	fabric->busn.end = PCI_BUS_NUM(vfmig_vf_rid(desc, desc->num_pfs - 1, desc->total_vfs - 1));
	ret = vfmig_add_window(bridge, &fabric->busn);
	if (!ret)
		ret = vfmig_add_window(bridge, &fabric->window);
	if (ret) {
		pci_free_host_bridge(bridge);
		return ret;
	}

	bridge->dev.parent = fabric->dev;
	bridge->sysdata = &fabric->sysdata;
	bridge->ops = &vfmig_pci_ops;
	dev_set_msi_domain(&bridge->dev, fabric->msi_domain);

	pci_lock_rescan_remove();
	ret = pci_scan_root_bus_bridge(bridge);
	if (!ret)
		pci_bus_assign_resources(bridge->bus);
	pci_unlock_rescan_remove();
	if (ret) {
		pci_free_host_bridge(bridge);
		return ret;
	}
	fabric->bridge = bridge;
	return 0;
}

static bool vfmig_is_on_bus(struct vfmig_fn *pf, struct pci_dev *pdev)
{
	struct pci_dev *found = pci_get_slot(pf->fabric->bridge->bus, pf->rid);

	pci_dev_put(found);
	return found == pdev;
}

/*
 * Removes sriov_numvfs of a PF from sysfs, and waits for writes to it that are under way.  The
 * removal of the PF would wait for them with the rescan-remove lock held, and such a write can
 * take that lock.  A PF without a driver is safe, because the write then fails before, but
 * lockdep does not know that.
 *
 * Somebody else may remove the PF meanwhile.  Its kobject then has no directory any more, so
 * this one has a reference of its own.
 */
static void vfmig_remove_numvfs(struct vfmig_fn *pf, struct pci_dev *pdev)
{
	const struct attribute numvfs = { .name = "sriov_numvfs" };
	struct kobject kobj = {};

	pci_lock_rescan_remove();
	if (vfmig_is_on_bus(pf, pdev)) {
		kobj.sd = pdev->dev.kobj.sd;
		kernfs_get(kobj.sd);
	}
	pci_unlock_rescan_remove();
	if (kobj.sd) {
		sysfs_remove_file(&kobj, &numvfs);
		kernfs_put(kobj.sd);
	}
}

/* No PF has a driver */
static void vfmig_bridge_destroy(struct vfmig_fabric *fabric)
{
	for (unsigned int p = 0; p < fabric->desc.num_pfs; p++) {
		struct vfmig_fn *pf = &fabric->pfs[p];
		struct pci_dev *pdev = pci_get_slot(fabric->bridge->bus, pf->rid);

		if (pdev)
			vfmig_remove_numvfs(pf, pdev);
		pci_dev_put(pdev);
	}

	pci_lock_rescan_remove();
	pci_stop_root_bus(fabric->bridge->bus);
	for (unsigned int p = 0; p < fabric->desc.num_pfs; p++)
		pci_dev_put(fabric->pfs[p].replaced);
	pci_remove_root_bus(fabric->bridge->bus);
	pci_unlock_rescan_remove();
	pci_free_host_bridge(fabric->bridge);
}

/* Creates everything that is named after the PCI domain; vfmig_domain_mutex is held */
static int vfmig_fabric_register(struct vfmig_fabric *fabric)
{
	int ret;

	ret = vfmig_domain_claim(fabric);
	if (ret)
		return ret;
	fabric->sysdata.node = first_online_node;

	ret = vfmig_fns_create(fabric);
	if (ret)
		goto err_domain;

	ret = -ENOMEM;
	fabric->wq = alloc_workqueue("vfmig-%04x", WQ_UNBOUND, 0, fabric->sysdata.domain);
	if (!fabric->wq)
		goto err_fns;
	ret = vfmig_device_create(fabric);
	if (ret)
		goto err_wq;
	ret = vfmig_window_claim(fabric);
	if (ret)
		goto err_dev;
	ret = vfmig_msi_create(fabric);
	if (ret)
		goto err_window;
	ret = vfmig_iommu_create(fabric);
	if (ret)
		goto err_msi;
	ret = vfmig_bridge_create(fabric);
	if (ret)
		goto err_iommu;
	return 0;

err_iommu:
	vfmig_iommu_destroy(fabric);
err_msi:
	vfmig_msi_destroy(fabric);
err_window:
	vfmig_window_release(fabric);
err_dev:
	vfmig_device_destroy(fabric);
err_wq:
	destroy_workqueue(fabric->wq);
err_fns:
	vfmig_fns_destroy(fabric);
err_domain:
	vfmig_release_domain(fabric->sysdata.domain);
	return ret;
}

struct vfmig_fabric *vfmig_fabric_create(const struct vfmig_fabric_desc *desc)
{
	struct vfmig_fabric *fabric;
	int ret;

	if (!vfmig_desc_is_valid(desc))
		return ERR_PTR(-EINVAL);

	fabric = kzalloc(sizeof(*fabric), GFP_KERNEL);
	if (!fabric)
		return ERR_PTR(-ENOMEM);
	fabric->desc = *desc;
	raw_spin_lock_init(&fabric->cfg_lock);

	ret = -ENOMEM;
	fabric->desc.vf_driver = kstrdup(desc->vf_driver, GFP_KERNEL);
	if (!fabric->desc.vf_driver)
		goto err_free;

	scoped_guard(mutex, &vfmig_domain_mutex)
		ret = vfmig_fabric_register(fabric);
	if (ret)
		goto err_name;

	/* Drivers may make VFs right away */
	pci_lock_rescan_remove();
	pci_bus_add_devices(fabric->bridge->bus);
	pci_unlock_rescan_remove();
	return fabric;

err_name:
	kfree(fabric->desc.vf_driver);
err_free:
	kfree(fabric);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_GPL(vfmig_fabric_create);

/* The PF is not on the bus.  The rescan-remove lock is held. */
static int vfmig_find_pf(struct vfmig_fn *pf)
{
	struct pci_bus *bus = pf->fabric->bridge->bus;
	struct pci_dev *pdev = pci_scan_single_device(bus, pf->rid);

	if (!pdev)
		return -ENOMEM;
	pci_bus_assign_resources(bus);
	pci_bus_add_device(pdev);
	return 0;
}

int vfmig_fabric_replace_pf(struct pci_dev *pdev, const struct vfmig_pf_desc *desc)
{
	struct vfmig_fn *pf = vfmig_fn_of(pdev);
	int ret = -ENODEV;

	if (!pf || vfmig_fn_is_vf(pf) || !vfmig_has_desc(&pf->fabric->desc, desc))
		return -EINVAL;

	scoped_guard(device, &pdev->dev) {
		if (pci_num_vf(pdev))
			return -EBUSY;
		/* No driver binds any more */
		kill_device(&pdev->dev);
	}
	/*
	 * A write to sriov_numvfs takes the rescan-remove lock with the device locked.  The removal
	 * locks the device with the rescan-remove lock held.  They don't wait for each other,
	 * because such a write fails earlier if there is no driver.
	 */
	device_release_driver(&pdev->dev);
	vfmig_remove_numvfs(pf, pdev);

	pci_lock_rescan_remove();
	if (vfmig_is_on_bus(pf, pdev)) {
		/*
		 * A write to the PCI core's "remove" may be waiting for the lock.  Its pci_dev must
		 * exist until it finds it removed, and the core takes no reference.
		 */
		pci_dev_put(pf->replaced);
		pf->replaced = pci_dev_get(pdev);
		pci_stop_and_remove_bus_device(pdev);
		vfmig_fn_set_pf_desc(pf, desc);
		ret = vfmig_find_pf(pf);
	}
	pci_unlock_rescan_remove();
	return ret;
}
EXPORT_SYMBOL_GPL(vfmig_fabric_replace_pf);

static int vfmig_retire_device(struct device *dev, void *fabric)
{
	struct vfmig_fn *fn = vfmig_fn_of(to_pci_dev(dev));

	if (fn && fn->fabric == fabric) {
		guard(device)(dev);
		kill_device(dev);
	}
	return 0;
}

void vfmig_fabric_retire(struct vfmig_fabric *fabric)
{
	bus_for_each_dev(&pci_bus_type, NULL, fabric, vfmig_retire_device);
}
EXPORT_SYMBOL_GPL(vfmig_fabric_retire);

void vfmig_fabric_destroy(struct vfmig_fabric *fabric)
{
	vfmig_bridge_destroy(fabric);
	vfmig_iommu_destroy(fabric);
	vfmig_msi_destroy(fabric);
	vfmig_window_release(fabric);
	/* No function can be accessed any more, so no new work is queued */
	destroy_workqueue(fabric->wq);
	vfmig_device_destroy(fabric);
	vfmig_fns_destroy(fabric);
	vfmig_release_domain(fabric->sysdata.domain);
	kfree(fabric->desc.vf_driver);
	kfree(fabric);
}
EXPORT_SYMBOL_GPL(vfmig_fabric_destroy);

static int __init vfmig_fabric_init(void)
{
	return vfmig_iommu_init();
}
module_init(vfmig_fabric_init);

static void __exit vfmig_fabric_exit(void)
{
	vfmig_iommu_exit();
}
module_exit(vfmig_fabric_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Simulated PCI host bridge, SR-IOV functions, MSI-X and IOMMU");
VFMIG_IMPORT_IOMMUFD;
