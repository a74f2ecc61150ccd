// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmig_vfio_pci: VFIO variant driver that migrates the VFs of PF drivers which
 * register with vfmig_register_pf().  This file has the callbacks of the PCI and
 * VFIO cores.  migration.c has the state machine.
 */
#include <linux/cleanup.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "compat.h"
#include "device.h"
#include "fault.h"

static struct vfmig_device *vfmig_drvdata(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *core = dev_get_drvdata(&pdev->dev);

	return container_of(core, struct vfmig_device, core);
}

static int vfmig_init_dev(struct vfio_device *vdev)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);
	int ret;

	ret = vfmig_find_vf(to_pci_dev(vdev->dev), &vfdev->ops, &vfdev->vf);
	if (ret)
		return ret;
	vfdev->faults = vfmig_faults_create(dev_name(vdev->dev));
	if (!vfdev->faults)
		return -ENOMEM;
	ret = vfio_pci_core_init_dev(vdev);
	if (ret) {
		vfmig_faults_put(vfdev->faults);
		return ret;
	}
	mutex_init(&vfdev->map_lock);
	vfmig_migration_init(vfdev);
	vfmig_log_init(vfdev);
	return 0;
}

static void vfmig_release_dev(struct vfio_device *vdev)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);

	mutex_destroy(&vfdev->state_mutex);
	mutex_destroy(&vfdev->map_lock);
	vfmig_faults_put(vfdev->faults);
	vfio_pci_core_release_dev(vdev);
}

/* The PCI core has reset the VF, if it can.  Only the contents of its disk remain. */
static int vfmig_reset_at_open(struct vfmig_device *vfdev)
{
	vfdev->own_reset = !vfdev->core.reset_works && vfdev->ops->reset;
	if (!vfdev->own_reset)
		return 0;
	/* VFIO tells the user so */
	vfdev->core.reset_works = true;
	return vfdev->ops->reset(vfdev->vf);
}

/* VFIO's core can't map a BAR that is trapped: nothing is behind its address.  See map.c. */
static void vfmig_forbid_mmap(struct vfmig_device *vfdev)
{
	for (unsigned int bar = 0; bar < PCI_STD_NUM_BARS; bar++)
		if (!(vfdev->ops->hw_bars & BIT(bar)))
			vfdev->core.bar_mmap_supported[bar] = false;
}

static int vfmig_open_device(struct vfio_device *vdev)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);
	int ret;

	if (READ_ONCE(vfdev->gone) || !try_module_get(vfdev->ops->owner))
		return -ENODEV;
	ret = vfio_pci_core_enable(&vfdev->core);
	if (ret)
		goto err_put;
	ret = vfmig_reset_at_open(vfdev);
	if (ret)
		goto err_disable;
	ret = vfmig_migration_open(vfdev);
	if (ret)
		goto err_disable;
	vfio_pci_core_finish_enable(&vfdev->core);
	vfmig_forbid_mmap(vfdev);
	return 0;

err_disable:
	vfio_pci_core_disable(&vfdev->core);
err_put:
	module_put(vfdev->ops->owner);
	return ret;
}

static void vfmig_close_device(struct vfio_device *vdev)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);

	/* This stops DMA, or the reset does.  The IOMMU is detached next. */
	vfmig_migration_close(vfdev);
	if (vfdev->own_reset && !READ_ONCE(vfdev->gone))
		vfdev->ops->reset(vfdev->vf);
	vfio_pci_core_close_device(vdev);
	module_put(vfdev->ops->owner);
}

/* As VFIO's own reset: no access to a BAR is under way */
static long vfmig_own_reset(struct vfmig_device *vfdev)
{
	guard(rwsem_write)(&vfdev->core.memory_lock);
	vfmig_map_unmap(vfdev);
	return vfdev->ops->reset(vfdev->vf);
}

static long vfmig_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);

	/*
	 * The core would write to the address of a trapped BAR, which has no hardware behind
	 * it, and takes an offset with bit 63 for a BAR with a negative number.  To look at the
	 * argument here is no help, as the core reads it again.
	 */
	if (cmd == VFIO_DEVICE_IOEVENTFD)
		return -ENOTTY;
	if (cmd == VFIO_DEVICE_RESET && vfdev->own_reset)
		return vfmig_own_reset(vfdev);
#ifndef VFMIG_HAS_REGION_INFO_CAPS
	if (cmd == VFIO_DEVICE_GET_REGION_INFO)
		return vfmig_map_region_info(vfdev, arg);
#endif
	return vfio_pci_core_ioctl(vdev, cmd, arg);
}

/* What a user can do at any time, done on the user's behalf.  The caller holds no lock. */
int vfmig_device_reset(struct vfmig_device *vfdev)
{
	return vfmig_ioctl(&vfdev->core.vdev, VFIO_DEVICE_RESET, 0);
}

static const struct vfio_device_ops vfmig_device_ops = {
	.name = "vfmig-vfio-pci",
	.init = vfmig_init_dev,
	.release = vfmig_release_dev,
	.open_device = vfmig_open_device,
	.close_device = vfmig_close_device,
	.ioctl = vfmig_ioctl,
	.device_feature = vfio_pci_core_ioctl_feature,
	.read = vfmig_region_read,
	.write = vfmig_region_write,
	.mmap = vfmig_map_mmap,
	.request = vfio_pci_core_request,
	.match = vfio_pci_core_match,
	.bind_iommufd = vfio_iommufd_physical_bind,
	.unbind_iommufd = vfio_iommufd_physical_unbind,
	.attach_ioas = vfio_iommufd_physical_attach_ioas,
	.detach_ioas = vfio_iommufd_physical_detach_ioas,
	VFMIG_COMPAT_REGION_INFO_OP
	VFMIG_COMPAT_MATCH_TOKEN_OP
};

static int vfmig_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vfmig_device *vfdev;
	int ret;

	vfdev = vfio_alloc_device(vfmig_device, core.vdev, &pdev->dev, &vfmig_device_ops);
	if (IS_ERR(vfdev))
		return PTR_ERR(vfdev);
	dev_set_drvdata(&pdev->dev, &vfdev->core);
	ret = vfio_pci_core_register_device(&vfdev->core);
	if (ret) {
		vfio_put_device(&vfdev->core.vdev);
		return ret;
	}
	vfmig_debugfs_add(vfdev);
	return 0;
}

static void vfmig_remove(struct pci_dev *pdev)
{
	struct vfmig_device *vfdev = vfmig_drvdata(pdev);

	/* First, as the next waits for the user, who may be waiting for a fault */
	vfmig_debugfs_remove(vfdev);
	vfmig_faults_clear(vfdev->faults);
	vfio_pci_core_unregister_device(&vfdev->core);
	vfio_put_device(&vfdev->core.vdev);
}

static void vfmig_reset_prepare(struct pci_dev *pdev)
{
	vfmig_migration_reset_prepare(vfmig_drvdata(pdev));
}

static void vfmig_reset_done(struct pci_dev *pdev)
{
	vfmig_migration_reset_done(vfmig_drvdata(pdev));
}

static const struct pci_error_handlers vfmig_err_handlers = {
	.reset_prepare = vfmig_reset_prepare,
	.reset_done = vfmig_reset_done,
	.error_detected = vfio_pci_core_aer_err_detected,
};

/* VFs of other PF drivers have other IDs, so probe asks the registry, not this table */
static const struct pci_device_id vfmig_pci_table[] = {
	{ PCI_DRIVER_OVERRIDE_DEVICE_VFIO(VFMIG_PCI_VENDOR_ID, VFMIG_PCI_DEVICE_ID_VF) },
	{}
};
MODULE_DEVICE_TABLE(pci, vfmig_pci_table);

static struct pci_driver vfmig_pci_driver = {
	.name = KBUILD_MODNAME,
	.id_table = vfmig_pci_table,
	.probe = vfmig_probe,
	.remove = vfmig_remove,
	.err_handler = &vfmig_err_handlers,
	.driver_managed_dma = true,
};

static int __init vfmig_vfio_pci_init(void)
{
	int ret;

	vfmig_debugfs_init();
	ret = pci_register_driver(&vfmig_pci_driver);
	if (ret)
		vfmig_debugfs_exit();
	return ret;
}
module_init(vfmig_vfio_pci_init);

static void __exit vfmig_vfio_pci_exit(void)
{
	pci_unregister_driver(&vfmig_pci_driver);
	vfmig_debugfs_exit();
}
module_exit(vfmig_vfio_pci_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("VFIO variant driver that live-migrates vfmig VFs");
MODULE_AUTHOR("The vfmig developers");
