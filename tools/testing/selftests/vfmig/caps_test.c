// SPDX-License-Identifier: GPL-2.0-only
/*
 * Vendor-specific capabilities, which a model describes and the fabric has in config space.
 * The module vfmig_test_caps makes a PF with two of them, of which the second has a window
 * on four registers.
 */
#include <linux/pci_regs.h>
#include <string.h>

#include "kmod.h"
#include "vfio_dev.h"

#include "harness.h"

#define CAPS_MODULE	"vfmig_test_caps"
#define CAPS_DEVICE_PF	0x5443

/* Offsets in the second capability */
#define SELECT		4
#define WINDOW		8

FIXTURE(caps)
{
	char pf[BDF_SIZE];
	unsigned int first, second;
};

FIXTURE_SETUP(caps)
{
	const char *why;

	/* An earlier run may have failed half-way */
	kmod_unload(CAPS_MODULE);
	why = kmod_load_test(CAPS_MODULE, "");
	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(pci_find(CAPS_DEVICE_PF, &self->pf, 1), 1);
	self->first = sysfs_cfg_cap(self->pf, PCI_CAP_ID_VNDR);
	ASSERT_NE(self->first, 0);
	self->second = sysfs_cfg_read(self->pf, self->first + PCI_CAP_LIST_NEXT, 1);
	ASSERT_NE(self->second, 0);
}

FIXTURE_TEARDOWN(caps)
{
	if (self->pf[0]) {
		pci_rebind(self->pf, "\n");
		EXPECT_EQ(kmod_unload(CAPS_MODULE), 0);
	}
}

TEST_F(caps, are_in_the_list)
{
	EXPECT_EQ(sysfs_cfg_read(self->pf, self->first + PCI_CAP_FLAGS, 1), 7);
	for (unsigned int i = 0; i < 4; i++)
		EXPECT_EQ(sysfs_cfg_read(self->pf, self->first + 3 + i, 1), 0xa0 + i);
	EXPECT_EQ(sysfs_cfg_read(self->pf, self->second, 1), PCI_CAP_ID_VNDR);
	EXPECT_EQ(sysfs_cfg_read(self->pf, self->second + PCI_CAP_LIST_NEXT, 1), 0);
	EXPECT_EQ(sysfs_cfg_read(self->pf, self->second + PCI_CAP_FLAGS, 1), 12);
	EXPECT_EQ(sysfs_cfg_read(self->pf, self->second + 3, 1), 0xb0);
}

TEST_F(caps, only_writable_bits_change)
{
	sysfs_cfg_write(self->pf, self->first + 4, 0xffffffff, 4);
	EXPECT_EQ(sysfs_cfg_read(self->pf, self->first + 3, 1), 0xa0);
	EXPECT_EQ(sysfs_cfg_read(self->pf, self->first + 4, 1), 0xa1);
	sysfs_cfg_write(self->pf, self->second, 0xffffffff, 4);
	EXPECT_EQ(sysfs_cfg_read(self->pf, self->second + 3, 1), 0xb0);
	sysfs_cfg_write(self->pf, self->second + SELECT, 0xff, 1);
	EXPECT_EQ(sysfs_cfg_read(self->pf, self->second + SELECT, 1), 0x0f);
}

TEST_F(caps, the_window_is_on_the_registers_of_the_model)
{
	for (unsigned int i = 0; i < 4; i++) {
		sysfs_cfg_write(self->pf, self->second + SELECT, i, 1);
		sysfs_cfg_write(self->pf, self->second + WINDOW, 0x11111111 * (i + 1), 4);
	}
	for (unsigned int i = 0; i < 4; i++) {
		sysfs_cfg_write(self->pf, self->second + SELECT, i, 1);
		EXPECT_EQ(sysfs_cfg_read(self->pf, self->second + WINDOW, 4), 0x11111111 * (i + 1));
	}
	/* A part of it is enough */
	sysfs_cfg_write(self->pf, self->second + WINDOW + 1, 0xee, 1);
	EXPECT_EQ(sysfs_cfg_read(self->pf, self->second + WINDOW, 4), 0x4444ee44);
}

/* As a guest sees it */
TEST_F(caps, vfio_passes_accesses_on)
{
	unsigned int cap = self->second;
	struct iommu iommu;
	struct vfio_dev dev;

	if (system("modprobe " STOCK_DRIVER " 2>/dev/null"))
		SKIP(return, "no driver " STOCK_DRIVER);
	if (iommu_init(&iommu, IOMMU_TYPE1))
		SKIP(return, "no type1");
	ASSERT_EQ(pci_rebind(self->pf, STOCK_DRIVER), 0);
	ASSERT_EQ(vfio_open(&dev, &iommu, self->pf), 0);
	EXPECT_EQ(cfg_read(&dev, cap + PCI_CAP_FLAGS, 1), 12);
	cfg_write(&dev, cap + SELECT, 2, 1);
	cfg_write(&dev, cap + WINDOW, 0x12345678, 4);
	cfg_write(&dev, cap + SELECT, 1, 1);
	cfg_write(&dev, cap + WINDOW, 0x87654321, 4);
	cfg_write(&dev, cap + SELECT, 2, 1);
	EXPECT_EQ(cfg_read(&dev, cap + WINDOW, 4), 0x12345678);
	/* A reset brings back what the fabric keeps.  The model keeps the rest. */
	vfio_flr(&dev);
	EXPECT_EQ(cfg_read(&dev, cap + SELECT, 1), 0);
	vfio_close(&dev);
	iommu_exit(&iommu);
}

TEST_F(caps, subsystem_ids_are_those_of_the_description)
{
	EXPECT_EQ(file_u64(pci_path(self->pf, "subsystem_vendor"), 0), 0x1234);
	EXPECT_EQ(file_u64(pci_path(self->pf, "subsystem_device"), 0), 0x5678);
}

TEST_HARNESS_MAIN
