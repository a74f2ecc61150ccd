// SPDX-License-Identifier: GPL-2.0-only
/*
 * The PF and its driver, on a fabric of their own.
 */
#include <linux/module.h>
#include <linux/pci.h>

#include "border.h"

#define BORDER_VENDOR		0x564d
#define BORDER_DEVICE_PF	0x5442
#define BORDER_DEVICE_VF	0x5642

struct border_vf border_vfs[BORDER_VFS];

static struct vfmig_fabric *fabric;

static void vf_reset(void *data)
{
	struct border_vf *vf = data;

	border_power_on(vf);
	if (border_offer.silent)
		return;
	guard(mutex)(&vf->client_lock);
	if (vf->client)
		vf->client->reset(vf->client_data);
}

static void vf_kick(void *data)
{
}

static u64 no_bar_read(void *data, unsigned int bar, u64 offset, unsigned int len)
{
	return U64_MAX;
}

static void no_bar_write(void *data, unsigned int bar, u64 offset, unsigned int len, u64 val)
{
}

static const struct vfmig_fn_ops fn_ops = {
	.reset = vf_reset,
	.kick = vf_kick,
	.bar_read = no_bar_read,
	.bar_write = no_bar_write,
};

static void vf_ready(struct timer_list *timer)
{
	struct border_vf *vf = container_of(timer, struct border_vf, ready_timer);

	border_end_waits(vf);
	guard(spinlock_irqsave)(&vf->ready_lock);
	if (vf->client)
		vf->client->data_ready(vf->client_data);
}

static void vf_init(struct border_vf *vf, struct vfmig_fn *fn)
{
	vf->fn = fn;
	mutex_init(&vf->client_lock);
	spin_lock_init(&vf->ready_lock);
	mutex_init(&vf->lock);
	timer_setup(&vf->ready_timer, vf_ready, 0);
	vf->behind = alloc_page(GFP_KERNEL | __GFP_ZERO);
	vfmig_fn_set_model(fn, &fn_ops, vf);
}

static void vf_exit(struct border_vf *vf)
{
	vfmig_fn_set_model(vf->fn, NULL, NULL);
	border_memory_free(&vf->memory);
	border_memory_free(&vf->beside);
	if (vf->behind)
		put_page(vf->behind);
}

static int pf_sriov_configure(struct pci_dev *pf, int nr)
{
	int ret;

	if (nr) {
		ret = pci_enable_sriov(pf, nr);
		return ret ?: nr;
	}
	pci_disable_sriov(pf);
	return 0;
}

static int pf_probe(struct pci_dev *pf, const struct pci_device_id *id)
{
	struct vfmig_fn *fn = vfmig_fn_of(pf);

	if (!fn)
		return -ENODEV;
	for (unsigned int i = 0; i < BORDER_VFS; i++)
		vf_init(&border_vfs[i], vfmig_fn_vf(fn, i));
	border_debugfs_init(pf);
	return 0;
}

/* A test has removed the VFs */
static void pf_remove(struct pci_dev *pf)
{
	border_debugfs_exit();
	for (unsigned int i = 0; i < BORDER_VFS; i++)
		vf_exit(&border_vfs[i]);
}

static const struct pci_device_id pf_ids[] = {
	{ PCI_DEVICE(BORDER_VENDOR, BORDER_DEVICE_PF) },
	{}
};

static struct pci_driver pf_driver = {
	.name = KBUILD_MODNAME,
	.id_table = pf_ids,
	.probe = pf_probe,
	.remove = pf_remove,
	.sriov_configure = pf_sriov_configure,
};

static const struct vfmig_pf_desc pf_desc = {
	.vendor = BORDER_VENDOR,
	.pf = {
		.device = BORDER_DEVICE_PF,
		.class = PCI_CLASS_ACCELERATOR_PROCESSING << 8,
	},
	.vf = {
		.device = BORDER_DEVICE_VF,
		.class = PCI_CLASS_ACCELERATOR_PROCESSING << 8,
		.bar_size = { [0] = SZ_4K, [2] = SZ_4K },
	},
};

static int __init border_init(void)
{
	const struct vfmig_fabric_desc fabric_desc = {
		.owner = THIS_MODULE,
		.num_pfs = 1,
		.total_vfs = BORDER_VFS,
		.vf_driver = "vfmig_vfio_pci",
		.num_descs = 1,
		.descs = { &pf_desc },
		.pfs = { &pf_desc },
	};
	int ret;

	ret = pci_register_driver(&pf_driver);
	if (ret)
		return ret;
	fabric = vfmig_fabric_create(&fabric_desc);
	if (IS_ERR(fabric)) {
		pci_unregister_driver(&pf_driver);
		return PTR_ERR(fabric);
	}
	return 0;
}
module_init(border_init);

static void __exit border_exit(void)
{
	pci_unregister_driver(&pf_driver);
	vfmig_fabric_destroy(fabric);
}
module_exit(border_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of vfmig: a PF driver that can do anything, and fail");
