// SPDX-License-Identifier: GPL-2.0-only
/*
 * The functions on the bus: what the PCI core, sysfs and VFIO see of them.  Their
 * interrupts are in irq_test.c, their DMA in iommu_test.c.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/vfmig.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "rig.h"

#include "harness.h"

#define CLASS_NVME		0x010802
#define CLASS_ACCELERATOR	0x120000

/* Last byte that the firmware keeps for memory, from its SRAT; 0 if it says nothing */
static u64 firmware_memory_end(void)
{
	FILE *f = fopen("/sys/firmware/acpi/tables/SRAT", "re");
	u8 table[65536];
	u64 end = 0;
	size_t len, pos;

	if (!f)
		return 0;
	len = fread(table, 1, sizeof(table), f);
	fclose(f);
	for (pos = 48; pos + 2 <= len && table[pos + 1]; pos += table[pos + 1]) {
		u64 base, length;
		u32 flags;

		if (table[pos] != 1 || pos + 40 > len)	/* memory affinity */
			continue;
		memcpy(&base, table + pos + 8, sizeof(base));
		memcpy(&length, table + pos + 16, sizeof(length));
		memcpy(&flags, table + pos + 28, sizeof(flags));
		if ((flags & 1) && length && base + length - 1 > end)
			end = base + length - 1;
	}
	return end;
}

/* The functions as they lie on the bus, with no user */
FIXTURE(host)
{
	char pf[BDF_SIZE];
	char vf[BDF_SIZE];
};

FIXTURE_SETUP(host)
{
	const char *why = pf_require(&(struct pf_vfs){ .count = 2 }, self->pf);

	if (why)
		SKIP(return, "%s", why);
	ASSERT_TRUE(pf_vf(self->pf, 0, self->vf));
}

FIXTURE_TEARDOWN(host)
{
}

TEST_F(host, pf_has_ids_that_no_other_driver_takes)
{
	EXPECT_EQ(file_u64(pci_path(self->pf, "vendor"), 0), VFMIG_PCI_VENDOR_ID);
	EXPECT_EQ(file_u64(pci_path(self->pf, "device"), 0), VFMIG_PCI_DEVICE_ID_PF);
	EXPECT_EQ(file_u64(pci_path(self->pf, "class"), 0), CLASS_ACCELERATOR);
	EXPECT_EQ(sysfs_cfg_read(self->pf, PCI_VENDOR_ID, 2), VFMIG_PCI_VENDOR_ID);
}

TEST_F(host, functions_have_a_domain_of_their_own)
{
	struct dirent *de;
	DIR *dir = opendir(PCI_DEVICES);

	ASSERT_NE(dir, NULL);
	while ((de = readdir(dir))) {
		if (de->d_name[0] == '.' || strncmp(de->d_name, self->pf, 5))
			continue;
		EXPECT_EQ(file_u64(pci_path(de->d_name, "vendor"), 0), VFMIG_PCI_VENDOR_ID)
			TH_LOG("%s", de->d_name);
	}
	closedir(dir);
	/* QEMU's host= takes no more than four digits */
	EXPECT_EQ(self->pf[4], ':');
}

/* Firmware and hypervisors number their domains from below */
TEST_F(host, the_domain_is_the_last_that_is_free)
{
	unsigned int domain = strtoul(self->pf, NULL, 16), taken = 0xffff;
	struct dirent *de;
	DIR *dir;

	/* Those above are somebody's */
	for (; taken > domain; taken--) {
		char name[8];
		bool found = false;

		snprintf(name, sizeof(name), "%04x:", taken);
		dir = opendir("/sys/class/pci_bus");
		ASSERT_NE(dir, NULL);
		while ((de = readdir(dir)))
			found |= !strncmp(de->d_name, name, strlen(name));
		closedir(dir);
		EXPECT_TRUE(found) TH_LOG("domain %#x is free", taken);
	}
}

/* Of /proc/iomem: what our window and all else take, as far as it is no part of another */
struct iomem {
	u64 window, window_end;
	u64 memory_end, all_end;
};

static void read_iomem(struct iomem *iomem, const char *window)
{
	FILE *f = fopen("/proc/iomem", "re");
	char line[256], *name;
	unsigned long long start, end;

	must(f);
	*iomem = (struct iomem){};
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == ' ' || sscanf(line, "%llx-%llx", &start, &end) != 2)
			continue;
		name = strstr(line, " : ");
		must(name);
		if (!strncmp(name + 3, window, strlen(window))) {
			iomem->window = start;
			iomem->window_end = end;
			continue;
		}
		if (end > iomem->all_end)
			iomem->all_end = end;
		if (strstr(name, "System RAM") && end > iomem->memory_end)
			iomem->memory_end = end;
	}
	fclose(f);
}

/*
 * Addresses that nobody decodes are not to be high ones: a VM's processor may claim more
 * address bits than there are.
 */
TEST_F(host, the_window_is_the_first_that_is_free_above_memory)
{
	u64 below, firmware = firmware_memory_end();
	struct iomem iomem;
	char window[16];

	snprintf(window, sizeof(window), "vfmig-%.4s", self->pf);
	read_iomem(&iomem, window);
	ASSERT_NE(iomem.window, 0);
	EXPECT_GT(iomem.window, iomem.memory_end);
	EXPECT_GE(iomem.window, 1ULL << 32);
	/* Where others reach up to the last address it is between them and memory */
	below = iomem.window > iomem.all_end ? iomem.all_end : iomem.memory_end;
	if (below < 0xffffffff)
		below = 0xffffffff;
	/* Memory that may be plugged in can be more than is there: then this is a VM with that */
	if (firmware > below)
		below = firmware;
	EXPECT_LT(iomem.window - below, 2 * (iomem.window_end - iomem.window + 1));
}

TEST_F(host, pf_has_power_management_and_sriov)
{
	unsigned int pm = sysfs_cfg_cap(self->pf, PCI_CAP_ID_PM);
	unsigned int exp = sysfs_cfg_cap(self->pf, PCI_CAP_ID_EXP);
	unsigned int iov = sysfs_cfg_ext_cap(self->pf, PCI_EXT_CAP_ID_SRIOV);

	EXPECT_NE(pm, 0);
	ASSERT_NE(exp, 0);
	EXPECT_TRUE(sysfs_cfg_read(self->pf, exp + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR);
	ASSERT_NE(iov, 0);
	EXPECT_EQ(sysfs_cfg_read(self->pf, iov + PCI_SRIOV_TOTAL_VF, 2), 64);
	EXPECT_EQ(sysfs_cfg_read(self->pf, iov + PCI_SRIOV_INITIAL_VF, 2), 64);
	EXPECT_EQ(sysfs_cfg_read(self->pf, iov + PCI_SRIOV_NUM_VF, 2), 2);
	EXPECT_TRUE(sysfs_cfg_read(self->pf, iov + PCI_SRIOV_CTRL, 2) & PCI_SRIOV_CTRL_VFE);
	EXPECT_NE(sysfs_cfg_read(self->pf, iov + PCI_SRIOV_VF_OFFSET, 2), 0);
	EXPECT_NE(sysfs_cfg_read(self->pf, iov + PCI_SRIOV_VF_STRIDE, 2), 0);
	EXPECT_EQ(sysfs_cfg_read(self->pf, iov + PCI_SRIOV_VF_DID, 2), VFMIG_PCI_DEVICE_ID_VF);
	EXPECT_TRUE(sysfs_cfg_read(self->pf, iov + PCI_SRIOV_SUP_PGSIZE, 4) & 1);
}

TEST_F(host, vf_config_space_is_that_of_a_vf)
{
	EXPECT_EQ(file_u64(pci_path(self->vf, "vendor"), 0), VFMIG_PCI_VENDOR_ID);
	EXPECT_EQ(file_u64(pci_path(self->vf, "device"), 0), VFMIG_PCI_DEVICE_ID_VF);
	EXPECT_EQ(file_u64(pci_path(self->vf, "class"), 0), CLASS_NVME);
	EXPECT_EQ(sysfs_cfg_read(self->vf, PCI_VENDOR_ID, 4), 0xffffffff);
	EXPECT_EQ(sysfs_cfg_read(self->vf, PCI_INTERRUPT_PIN, 1), 0);
	EXPECT_EQ(sysfs_cfg_read(self->vf, PCI_ROM_ADDRESS, 4), 0);
	EXPECT_EQ(sysfs_cfg_read(self->vf, PCI_HEADER_TYPE, 1) & 0x7f, 0);
	for (int bar = 0; bar < 6; bar++)
		EXPECT_EQ(sysfs_cfg_read(self->vf, PCI_BASE_ADDRESS_0 + 4 * bar, 4), 0);
}

TEST_F(host, vf_has_flr_and_msix_and_no_more)
{
	unsigned int exp = sysfs_cfg_cap(self->vf, PCI_CAP_ID_EXP);
	unsigned int msix = sysfs_cfg_cap(self->vf, PCI_CAP_ID_MSIX);

	ASSERT_NE(exp, 0);
	EXPECT_EQ(sysfs_cfg_read(self->vf, exp + PCI_EXP_FLAGS, 2) & PCI_EXP_FLAGS_TYPE,
		  PCI_EXP_TYPE_ENDPOINT << 4);
	EXPECT_TRUE(sysfs_cfg_read(self->vf, exp + PCI_EXP_DEVCAP, 4) & PCI_EXP_DEVCAP_FLR);
	ASSERT_NE(msix, 0);
	EXPECT_GE(sysfs_cfg_read(self->vf, msix + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE, 32);
	EXPECT_EQ(sysfs_cfg_ext_cap(self->vf, PCI_EXT_CAP_ID_ATS), 0);
	EXPECT_EQ(sysfs_cfg_ext_cap(self->vf, PCI_EXT_CAP_ID_SRIOV), 0);
}

/* Registers that have writable bits */
static void mark_writable(const char *bdf, bool *writable)
{
	unsigned int exp = sysfs_cfg_cap(bdf, PCI_CAP_ID_EXP);
	unsigned int msix = sysfs_cfg_cap(bdf, PCI_CAP_ID_MSIX);
	unsigned int pm = sysfs_cfg_cap(bdf, PCI_CAP_ID_PM);
	unsigned int iov = sysfs_cfg_ext_cap(bdf, PCI_EXT_CAP_ID_SRIOV);

	memset(writable + PCI_COMMAND, true, 2);
	memset(writable + exp + PCI_EXP_DEVCTL, true, 2);
	if (msix)
		memset(writable + msix + PCI_MSIX_FLAGS, true, 2);
	if (pm)
		memset(writable + pm + PCI_PM_CTRL, true, 2);
	if (!iov)
		return;
	/* A VF has neither BARs of its own nor a cache line size */
	writable[PCI_CACHE_LINE_SIZE] = true;
	memset(writable + PCI_BASE_ADDRESS_0, true, 24);
	memset(writable + iov + PCI_SRIOV_CTRL, true, 2);
	memset(writable + iov + PCI_SRIOV_NUM_VF, true, 2);
	memset(writable + iov + PCI_SRIOV_SYS_PGSIZE, true, 4);
	memset(writable + iov + PCI_SRIOV_BAR, true, 24);
}

TEST_F(host, read_only_registers_can_not_be_written)
{
	const char *const bdfs[] = { self->pf, self->vf };

	for (int i = 0; i < 2; i++) {
		bool writable[4096] = {};

		mark_writable(bdfs[i], writable);
		for (unsigned int pos = 0; pos < sizeof(writable); pos += 4) {
			u32 before = sysfs_cfg_read(bdfs[i], pos, 4), turned = 0;

			for (unsigned int b = 0; b < 4; b++)
				if (!writable[pos + b])
					turned |= 0xffU << 8 * b;
			if (!turned)
				continue;
			sysfs_cfg_write(bdfs[i], pos, before ^ turned, 4);
			EXPECT_EQ(sysfs_cfg_read(bdfs[i], pos, 4), before) {
				TH_LOG("%s: offset %#x", bdfs[i], pos);
				sysfs_cfg_write(bdfs[i], pos, before, 4);
			}
		}
	}
}

TEST_F(host, vf_bars_are_cut_from_the_pfs)
{
	unsigned long long start[2], end, flags;
	char text[2048], bdf[BDF_SIZE];
	int n;

	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(pf_vf(self->pf, i, bdf));
		ASSERT_EQ(file_read(pci_path(bdf, "resource"), text, sizeof(text)), 0);
		n = sscanf(text, "%llx %llx %llx", &start[i], &end, &flags);
		ASSERT_EQ(n, 3);
		EXPECT_EQ(end - start[i] + 1, KIB(16));
		EXPECT_EQ(start[i] % KIB(16), 0);
	}
	EXPECT_EQ(start[1] - start[0], KIB(16));
}

TEST_F(host, each_vf_is_alone_in_its_iommu_group)
{
	char group[2][32], bdf[BDF_SIZE];

	for (int i = 0; i < 2; i++) {
		ASSERT_TRUE(pf_vf(self->pf, i, bdf));
		ASSERT_TRUE(link_name(pci_path(bdf, "iommu_group"), group[i], 32));
	}
	EXPECT_STRNE(group[0], group[1]);
}

TEST_F(host, vf_is_bound_through_driver_override)
{
	char name[64], text[64];

	ASSERT_EQ(file_read(pci_path(self->vf, "driver_override"), text, sizeof(text)), 0);
	EXPECT_STREQ(text, VF_DRIVER);
	ASSERT_TRUE(pci_driver(self->vf, name, sizeof(name)));
	EXPECT_STREQ(name, VF_DRIVER);

	/* The user has the last word */
	ASSERT_EQ(file_write(pci_path(self->vf, "driver/unbind"), self->vf), 0);
	ASSERT_EQ(file_write(pci_path(self->vf, "driver_override"), "nobody"), 0);
	file_write("/sys/bus/pci/drivers_probe", self->vf);
	EXPECT_FALSE(pci_driver(self->vf, name, sizeof(name)));
	ASSERT_EQ(file_write(pci_path(self->vf, "driver_override"), VF_DRIVER), 0);
	ASSERT_EQ(file_write("/sys/bus/pci/drivers_probe", self->vf), 0);
	EXPECT_TRUE(pci_driver(self->vf, name, sizeof(name)));
}

/* Nothing decodes the addresses of the BARs, so nobody may get to them */
TEST_F(host, no_other_way_leads_to_the_bars)
{
	struct vfio_region_info info;
	struct iommu iommu;
	struct vfio_dev dev;
	u32 value;
	int fd;

	/* A kernel that is not strict gives root any address, as /dev/mem does */
	fd = open(pci_path(self->vf, "resource0"), O_RDWR);
	if (fd >= 0 && !system("grep -qs ^CONFIG_STRICT_DEVMEM=y /boot/config-$(uname -r)"))
		EXPECT_EQ(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0), MAP_FAILED);
	close(fd);

	if (system("modprobe " STOCK_DRIVER " 2>/dev/null"))
		SKIP(return, "no driver " STOCK_DRIVER);
	if (iommu_init(&iommu, IOMMU_TYPE1))
		SKIP(return, "no type1");
	ASSERT_EQ(pci_rebind(self->vf, STOCK_DRIVER), 0);
	ASSERT_EQ(vfio_open(&dev, &iommu, self->vf), 0);
	vfio_region_info(&dev, VFIO_PCI_BAR0_REGION_INDEX, &info);
	EXPECT_EQ(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, dev.fd, info.offset), MAP_FAILED);
	EXPECT_LT(pread(dev.fd, &value, sizeof(value), info.offset), 0);
	vfio_close(&dev);
	iommu_exit(&iommu);
	EXPECT_EQ(pci_rebind(self->vf, VF_DRIVER), 0);
	EXPECT_TRUE(pci_has_driver(self->vf, VF_DRIVER));
}

/* A device of somebody else with no driver and no override, to try ours on */
static bool find_idle_device(char *bdf, const char *pf)
{
	char text[64];
	struct dirent *de;
	bool found = false;
	DIR *dir = opendir(PCI_DEVICES);

	while (dir && !found && (de = readdir(dir))) {
		if (de->d_name[0] == '.' || !strncmp(de->d_name, pf, 5) ||
		    strlen(de->d_name) >= BDF_SIZE || pci_driver(de->d_name, text, sizeof(text)))
			continue;
		if (file_read(pci_path(de->d_name, "driver_override"), text, sizeof(text)) ||
		    strcmp(text, "(null)"))
			continue;
		bdf_copy(bdf, de->d_name);
		found = true;
	}
	if (dir)
		closedir(dir);
	return found;
}

TEST_F(host, driver_refuses_a_device_that_is_not_ours)
{
	char bdf[BDF_SIZE], name[64];

	if (!find_idle_device(bdf, self->pf))
		SKIP(return, "no PCI device without a driver to try it on");
	ASSERT_EQ(file_write(pci_path(bdf, "driver_override"), VF_DRIVER), 0);
	EXPECT_NE(file_write("/sys/bus/pci/drivers/" VF_DRIVER "/bind", bdf), 0);
	EXPECT_FALSE(pci_driver(bdf, name, sizeof(name)));
	ASSERT_EQ(file_write(pci_path(bdf, "driver_override"), "\n"), 0);
}

TEST_F(host, sriov_numvfs_takes_what_it_should)
{
	char bdf[BDF_SIZE];

	EXPECT_EQ(file_u64(pci_path(self->pf, "sriov_totalvfs"), 0), 64);
	EXPECT_EQ(pf_set_numvfs(self->pf, 3), -EBUSY);
	EXPECT_EQ(pf_set_numvfs(self->pf, 65), -ERANGE);
	EXPECT_EQ(pf_numvfs(self->pf), 2);
	EXPECT_EQ(pf_attr_set(self->pf, "lba_size", 1024), -EINVAL);
	EXPECT_EQ(pf_attr_set(self->pf, "queues", 1), -EINVAL);
	EXPECT_EQ(pf_attr_set(self->pf, "queues", 33), -EINVAL);
	EXPECT_EQ(pf_attr_set(self->pf, "media_mb", 0), -EINVAL);

	ASSERT_EQ(pf_set_numvfs(self->pf, 0), 0);
	pf_vfs_gone();
	EXPECT_FALSE(pf_vf(self->pf, 0, bdf));
	EXPECT_FALSE(file_exists(pci_path(self->vf, "vendor")));
	EXPECT_FALSE(file_exists(vf_debugfs(self->vf, "dma_faults")));
}

/*
 * All VFs of all PFs: with four PFs and more they don't fit on one bus.
 * module_test does it with many PFs.
 */
TEST_F_TIMEOUT(host, sixty_four_vfs_of_each_pf, 120)
{
	char pfs[MAX_PFS][BDF_SIZE], bdf[BDF_SIZE], name[64];
	unsigned int n = pf_find(pfs, MAX_PFS);

	ASSERT_EQ(pf_set_numvfs(self->pf, 0), 0);
	pf_vfs_gone();
	for (unsigned int i = 0; i < n; i++)
		if (pf_numvfs(pfs[i]))
			SKIP(return, "%s has VFs already", pfs[i]);
	for (unsigned int i = 0; i < n; i++) {
		EXPECT_EQ(pf_set_numvfs(pfs[i], 64), 0);
		for (unsigned int vf = 0; vf < 64; vf++) {
			ASSERT_TRUE(pf_vf(pfs[i], vf, bdf));
			EXPECT_EQ(file_u64(pci_path(bdf, "class"), 0), CLASS_NVME);
			EXPECT_TRUE(pci_driver(bdf, name, sizeof(name))) TH_LOG("%s", bdf);
		}
	}
	for (unsigned int i = 0; i < n; i++)
		EXPECT_EQ(pf_set_numvfs(pfs[i], 0), 0);
}

/* A VF that somebody uses */
FIXTURE(vf)
{
	struct rig rig;
};

FIXTURE_VARIANT(vf)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(vf, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(vf, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(vf)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 2 }, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(vf)
{
	rig_close(&self->rig);
}

TEST_F(vf, regions_are_trapped)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct vfio_region_info info;

	vfio_region_info(dev, VFIO_PCI_BAR0_REGION_INDEX, &info);
	EXPECT_EQ(info.size, KIB(16));
	EXPECT_TRUE(info.flags & VFIO_REGION_INFO_FLAG_READ);
	EXPECT_TRUE(info.flags & VFIO_REGION_INFO_FLAG_WRITE);
	EXPECT_FALSE(info.flags & VFIO_REGION_INFO_FLAG_MMAP);
	EXPECT_EQ(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, dev->fd, info.offset), MAP_FAILED);
	for (u32 bar = VFIO_PCI_BAR1_REGION_INDEX; bar <= VFIO_PCI_ROM_REGION_INDEX; bar++) {
		vfio_region_info(dev, bar, &info);
		EXPECT_EQ(info.size, 0);
	}
}

TEST_F(vf, bar_access_ends_at_the_bar)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u8 buf[8192];

	EXPECT_EQ(pread(dev->fd, buf, 4, dev->bar0 + dev->bar0_size), -1);
	EXPECT_EQ(pwrite(dev->fd, buf, 4, dev->bar0 + dev->bar0_size), -1);
	/* Any size and alignment is split as needed */
	memset(buf, 0, sizeof(buf));
	EXPECT_EQ(pread(dev->fd, buf, 7, dev->bar0 + 1), 7);
	EXPECT_EQ(memcmp(buf, (u8 *)&(u64){ bar_read64(dev, NVME_CAP) } + 1, 7), 0);
	EXPECT_EQ(pread(dev->fd, buf, sizeof(buf), dev->bar0), (ssize_t)sizeof(buf));
	/* A bad buffer is the caller's problem only */
	EXPECT_EQ(pread(dev->fd, bad_address(), 8, dev->bar0), -1);
	EXPECT_EQ(errno, EFAULT);
	EXPECT_EQ(pwrite(dev->fd, bad_address(), 8, dev->bar0), -1);
	EXPECT_EQ(errno, EFAULT);
}

TEST_F(vf, bar_size_reads_back_by_the_book)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u32 low, high;

	cfg_write(dev, PCI_BASE_ADDRESS_0, 0xffffffff, 4);
	cfg_write(dev, PCI_BASE_ADDRESS_1, 0xffffffff, 4);
	low = cfg_read(dev, PCI_BASE_ADDRESS_0, 4);
	high = cfg_read(dev, PCI_BASE_ADDRESS_1, 4);
	EXPECT_EQ(low & PCI_BASE_ADDRESS_MEM_TYPE_64, PCI_BASE_ADDRESS_MEM_TYPE_64);
	EXPECT_EQ(~(((u64)high << 32) | (low & ~0xfU)) + 1, KIB(16));
}

TEST_F(vf, ioeventfd_is_refused)
{
	struct vfio_device_ioeventfd io = {
		.argsz = sizeof(io),
		.flags = VFIO_DEVICE_IOEVENTFD_32,
		.offset = self->rig.dev[0].bar0 + NVME_DOORBELLS,
		.fd = self->rig.irq[0],
	};

	EXPECT_EQ(ioctl(self->rig.dev[0].fd, VFIO_DEVICE_IOEVENTFD, &io), -1);
	EXPECT_EQ(errno, ENOTTY);
	/* VFIO's core must not see this one: for it the number of the BAR is negative */
	io.offset = 0xff80000000000000;
	EXPECT_EQ(ioctl(self->rig.dev[0].fd, VFIO_DEVICE_IOEVENTFD, &io), -1);
	EXPECT_EQ(errno, ENOTTY);
}

TEST_F(vf, each_reset_gives_a_device_as_new)
{
	struct rig *rig = &self->rig;
	struct vfio_dev *dev = &rig->dev[0];
	u8 *buf = arena_alloc(&rig->mem, PAGE);

	rig_start(rig);
	fill_pattern(buf, PAGE, 1);
	nvme_write_bytes(&rig->nvme, 0, buf, PAGE);
	for (enum reset_kind kind = RESET_VFIO; kind <= RESET_PF; kind++) {
		vfio_reset_by(dev, rig->pf, kind);
		EXPECT_EQ(bar_read32(dev, NVME_CC), 0);
		EXPECT_EQ(bar_read32(dev, NVME_CSTS), 0);
		EXPECT_EQ(bar_read32(dev, NVME_AQA), 0);
		EXPECT_EQ(bar_read64(dev, NVME_ASQ), 0);
		nvme_restart(&rig->nvme);
		EXPECT_NE(nvme_delete_sq(&rig->nvme, 1), 0) TH_LOG("a queue survived");
		ASSERT_EQ(nvme_create_io(&rig->nvme, 1, 64, 1), 0);
		memset(buf, 0, PAGE);
		nvme_read_bytes(&rig->nvme, 0, buf, PAGE);
		EXPECT_TRUE(is_pattern(buf, PAGE, 1)) TH_LOG("medium lost by reset %d", kind);
	}
	EXPECT_EQ(pf_numvfs(rig->pf), 2);
}

TEST_F(vf, open_device_is_busy)
{
	struct rig *rig = &self->rig;
	struct vfio_dev other;

	/* A cdev can be opened twice, but not bound */
	EXPECT_EQ(vfio_open(&other, &rig->iommu[0], rig->dev[0].bdf),
		  variant->mode == IOMMU_TYPE1 ? -EBUSY : -EINVAL);
}

TEST_F(vf, module_stays_while_a_vf_is_open)
{
	u64 refs = file_u64("/sys/module/" SIM_MODULE "/refcnt", 0);

	if (sim_built_in())
		SKIP(return, SIM_MODULE " is built into the kernel");
	EXPECT_GT(refs, 0);
	/* modprobe -r makes EBUSY of it */
	EXPECT_EQ(syscall(SYS_delete_module, SIM_MODULE, O_NONBLOCK), -1);
	EXPECT_TRUE(errno == EBUSY || errno == EWOULDBLOCK);
	vfio_close(&self->rig.dev[0]);
	EXPECT_TRUE(wait_until(file_u64("/sys/module/" SIM_MODULE "/refcnt", 0) < refs));
}

TEST_HARNESS_MAIN
