// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver that takes a function by driver_override only, and fails to.
 */
#include <linux/module.h>
#include <linux/pci.h>

static unsigned int probed;
module_param(probed, uint, 0444);
MODULE_PARM_DESC(probed, "functions that it was offered");

static int vfmig_test_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	probed++;
	return -EIO;
}

static struct pci_driver vfmig_test_probe_driver = {
	.name = "vfmig_test_probe",
	.probe = vfmig_test_probe,
};
module_pci_driver(vfmig_test_probe_driver);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of vfmig: a driver whose probe fails");
