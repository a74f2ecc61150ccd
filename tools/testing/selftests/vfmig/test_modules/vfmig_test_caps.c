// SPDX-License-Identifier: GPL-2.0-only
/*
 * A fabric of its own, whose PF has vendor-specific capabilities.  The second has a window on
 * four registers, in the manner of virtio's PCI configuration access.
 */
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/unaligned.h>

#include "fabric.h"

#define VENDOR		0x564d
#define DEVICE_PF	0x5443
#define DEVICE_VF	0x5643
#define SUBVENDOR	0x1234
#define SUBDEVICE	0x5678

/* Bytes of the second capability's body */
#define SELECT		1
#define WINDOW		5
#define LENGTH		9

static const u8 first[] = { 0xa0, 0xa1, 0xa2, 0xa3 };
static const u8 second[LENGTH] = { 0xb0 };
static const u8 writable[LENGTH] = { [SELECT] = 0x0f, [WINDOW ... LENGTH - 1] = 0xff };

static const struct vfmig_cap caps[] = {
	{ .body = first, .length = sizeof(first) },
	{ .body = second, .writable = writable, .length = LENGTH, .window = WINDOW },
};

static const struct vfmig_pf_desc desc = {
	.vendor = VENDOR,
	.pf = {
		.device = DEVICE_PF,
		.subsystem_vendor = SUBVENDOR,
		.subsystem_device = SUBDEVICE,
		.class = PCI_CLASS_ACCELERATOR_PROCESSING << 8,
		.num_caps = ARRAY_SIZE(caps),
		.caps = caps,
	},
	.vf = {
		.device = DEVICE_VF,
		.class = PCI_CLASS_ACCELERATOR_PROCESSING << 8,
	},
};

/* Protected by the fabric's lock of config space */
static u32 regs[4];

static void cap_access(void *model, unsigned int cap, u8 *body, bool write)
{
	u32 *reg = &regs[body[SELECT] % ARRAY_SIZE(regs)];

	if (cap != 1)
		return;
	if (write)
		*reg = get_unaligned_le32(body + WINDOW);
	else
		put_unaligned_le32(*reg, body + WINDOW);
}

static const struct vfmig_fn_ops ops = {
	.cap_access = cap_access,
};

static struct vfmig_fabric *fabric;
static struct pci_dev *pdev;

static int __init vfmig_test_caps_init(void)
{
	const struct vfmig_fabric_desc fabric_desc = {
		.owner = THIS_MODULE,
		.num_pfs = 1,
		.total_vfs = 1,
		.vf_driver = "none",
		.num_descs = 1,
		.descs = { &desc },
		.pfs = { &desc },
	};

	fabric = vfmig_fabric_create(&fabric_desc);
	if (IS_ERR(fabric))
		return PTR_ERR(fabric);
	pdev = pci_get_device(VENDOR, DEVICE_PF, NULL);
	if (!pdev) {
		vfmig_fabric_destroy(fabric);
		return -ENODEV;
	}
	vfmig_fn_set_model(vfmig_fn_of(pdev), &ops, NULL);
	return 0;
}
module_init(vfmig_test_caps_init);

static void __exit vfmig_test_caps_exit(void)
{
	vfmig_fn_set_model(vfmig_fn_of(pdev), NULL, NULL);
	pci_dev_put(pdev);
	vfmig_fabric_destroy(fabric);
}
module_exit(vfmig_test_caps_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of vfmig: a PF with vendor-specific capabilities");
