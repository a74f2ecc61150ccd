// SPDX-License-Identifier: GPL-2.0-only
/* See vfio_dev.h */
#include "vfio_dev.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool vfio_group_path(const char *bdf, char *path, size_t size)
{
	char name[32];

	if (!link_name(pci_path(bdf, "iommu_group"), name, sizeof(name)))
		return false;
	snprintf(path, size, "/dev/vfio/%s", name);
	return file_exists(path);
}

bool vfio_cdev_path(const char *bdf, char *path, size_t size)
{
	DIR *dir = opendir(pci_path(bdf, "vfio-dev"));
	struct dirent *de;
	bool found = false;

	if (!dir)
		return false;
	while ((de = readdir(dir))) {
		if (strncmp(de->d_name, "vfio", 4))
			continue;
		snprintf(path, size, "/dev/vfio/devices/%s", de->d_name);
		found = file_exists(path);
	}
	closedir(dir);
	return found;
}

static bool find_file(struct vfio_dev *dev, char *path, size_t size)
{
	if (dev->iommu->mode == IOMMU_TYPE1)
		return vfio_group_path(dev->bdf, path, size);
	return vfio_cdev_path(dev->bdf, path, size);
}

static int open_group(struct vfio_dev *dev, const char *path)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	dev->group = open(path, O_RDWR | O_CLOEXEC);
	if (dev->group < 0)
		return -errno;
	if (ioctl(dev->group, VFIO_GROUP_GET_STATUS, &status))
		return -errno;
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE))
		return -EPERM;
	if (ioctl(dev->group, VFIO_GROUP_SET_CONTAINER, &dev->iommu->fd))
		return -errno;
	/* Fails with EBUSY for the second group of a container: it is set */
	if (ioctl(dev->iommu->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) && errno != EBUSY &&
	    errno != EINVAL)
		return -errno;
	dev->fd = ioctl(dev->group, VFIO_GROUP_GET_DEVICE_FD, dev->bdf);
	return dev->fd < 0 ? -errno : 0;
}

int vfio_attach(struct vfio_dev *dev, u32 *pt_id)
{
	/* Newer headers have a PASID behind these fields */
	struct vfio_device_attach_iommufd_pt attach = { .argsz = 12, .pt_id = *pt_id };

	if (ioctl(dev->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach))
		return -errno;
	*pt_id = attach.pt_id;
	return 0;
}

int vfio_detach(struct vfio_dev *dev)
{
	/* The argument has only the first two of these fields */
	struct vfio_device_attach_iommufd_pt detach = { .argsz = 8 };

	return ioctl(dev->fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &detach) ? -errno : 0;
}

static int open_cdev(struct vfio_dev *dev, const char *path)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = dev->iommu->fd,
	};
	u32 pt_id = dev->iommu->ioas_id;
	int err = 0;

	dev->fd = open(path, O_RDWR | O_CLOEXEC);
	if (dev->fd < 0)
		return -errno;
	if (ioctl(dev->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return -errno;
	dev->dev_id = bind.out_devid;
	if (dev->iommu->mode == IOMMU_IOMMUFD_TRACKED) {
		if (!dev->iommu->hwpt_id)
			err = iommu_hwpt_alloc(dev->iommu, dev->dev_id,
					       IOMMU_HWPT_ALLOC_DIRTY_TRACKING,
					       &dev->iommu->hwpt_id);
		if (err)
			return err;
		pt_id = dev->iommu->hwpt_id;
	}
	return vfio_attach(dev, &pt_id);
}

static void closed_dev(struct vfio_dev *dev, struct iommu *iommu, const char *bdf)
{
	dev->iommu = iommu;
	dev->group = -1;
	dev->fd = -1;
	bdf_copy(dev->bdf, bdf);
}

/* 0 or -errno */
static int try_region_info(struct vfio_dev *dev, u32 index, struct vfio_region_info *info)
{
	*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = index };
	return ioctl(dev->fd, VFIO_DEVICE_GET_REGION_INFO, info) ? -errno : 0;
}

static int find_regions(struct vfio_dev *dev)
{
	struct vfio_region_info bar0, config;
	int err;

	err = try_region_info(dev, VFIO_PCI_BAR0_REGION_INDEX, &bar0) ?:
	      try_region_info(dev, VFIO_PCI_CONFIG_REGION_INDEX, &config);
	if (err)
		return err;
	dev->bar0 = bar0.offset;
	dev->bar0_size = bar0.size;
	dev->config = config.offset;
	return 0;
}

static int open_file(struct vfio_dev *dev, const char *path)
{
	int err;

	err = dev->iommu->mode == IOMMU_TYPE1 ? open_group(dev, path) : open_cdev(dev, path);
	if (!err)
		err = find_regions(dev);
	if (err)
		vfio_close(dev);
	return err;
}

int vfio_open(struct vfio_dev *dev, struct iommu *iommu, const char *bdf)
{
	char path[300];

	closed_dev(dev, iommu, bdf);
	/* udev may still be at it */
	must(wait_until(find_file(dev, path, sizeof(path))));
	return open_file(dev, path);
}

int vfio_try_open(struct vfio_dev *dev, struct iommu *iommu, const char *bdf)
{
	char path[300];

	closed_dev(dev, iommu, bdf);
	return find_file(dev, path, sizeof(path)) ? open_file(dev, path) : -ENODEV;
}

void vfio_close_device(struct vfio_dev *dev)
{
	if (dev->fd >= 0)
		close(dev->fd);
	dev->fd = -1;
}

void vfio_close(struct vfio_dev *dev)
{
	vfio_close_device(dev);
	if (dev->group >= 0)
		close(dev->group);
	dev->group = -1;
}

int vfio_reset(struct vfio_dev *dev)
{
	return ioctl(dev->fd, VFIO_DEVICE_RESET) ? -errno : 0;
}

void vfio_region_info(struct vfio_dev *dev, u32 index, struct vfio_region_info *info)
{
	must(!try_region_info(dev, index, info));
}

void vfio_irq_info(struct vfio_dev *dev, u32 index, struct vfio_irq_info *info)
{
	*info = (struct vfio_irq_info){ .argsz = sizeof(*info), .index = index };
	must(!ioctl(dev->fd, VFIO_DEVICE_GET_IRQ_INFO, info));
}

u64 bar_read(struct vfio_dev *dev, u64 offset, unsigned int size)
{
	u64 val = 0;

	must(pread(dev->fd, &val, size, dev->bar0 + offset) == size);
	return val;
}

void bar_write(struct vfio_dev *dev, u64 offset, u64 val, unsigned int size)
{
	must(pwrite(dev->fd, &val, size, dev->bar0 + offset) == size);
}

u32 bar_read32(struct vfio_dev *dev, u64 offset)
{
	return bar_read(dev, offset, sizeof(u32));
}

u64 bar_read64(struct vfio_dev *dev, u64 offset)
{
	return bar_read(dev, offset, sizeof(u64));
}

void bar_write32(struct vfio_dev *dev, u64 offset, u32 val)
{
	bar_write(dev, offset, val, sizeof(val));
}

void bar_write64(struct vfio_dev *dev, u64 offset, u64 val)
{
	bar_write(dev, offset, val, sizeof(val));
}

int cfg_try_read(struct vfio_dev *dev, unsigned int offset, u32 *val, unsigned int size)
{
	ssize_t n;

	*val = 0;
	n = pread(dev->fd, val, size, dev->config + offset);
	if (n < 0)
		return -errno;
	must(n == size);
	return 0;
}

static int cfg_try_write(struct vfio_dev *dev, unsigned int offset, u32 val, unsigned int size)
{
	ssize_t n = pwrite(dev->fd, &val, size, dev->config + offset);

	if (n < 0)
		return -errno;
	must(n == size);
	return 0;
}

u32 cfg_read(struct vfio_dev *dev, unsigned int offset, unsigned int size)
{
	u32 val;

	must(!cfg_try_read(dev, offset, &val, size));
	return val;
}

void cfg_write(struct vfio_dev *dev, unsigned int offset, u32 val, unsigned int size)
{
	must(!cfg_try_write(dev, offset, val, size));
}

u32 sysfs_cfg_read(const char *bdf, unsigned int offset, unsigned int size)
{
	u32 val = 0;
	int fd;

	fd = open(pci_path(bdf, "config"), O_RDONLY | O_CLOEXEC);
	must(fd >= 0);
	must(pread(fd, &val, size, offset) == size);
	close(fd);
	return val;
}

void sysfs_cfg_write(const char *bdf, unsigned int offset, u32 val, unsigned int size)
{
	int fd;

	fd = open(pci_path(bdf, "config"), O_RDWR | O_CLOEXEC);
	must(fd >= 0);
	must(pwrite(fd, &val, size, offset) == size);
	close(fd);
}

/* One walk for both views of config space: @dev or, if NULL, @bdf in sysfs */
static u32 any_cfg_read(struct vfio_dev *dev, const char *bdf, unsigned int off, unsigned int size)
{
	return dev ? cfg_read(dev, off, size) : sysfs_cfg_read(bdf, off, size);
}

static unsigned int find_cap(struct vfio_dev *dev, const char *bdf, u8 id)
{
	unsigned int off = any_cfg_read(dev, bdf, PCI_CAPABILITY_LIST, 1) & ~3;

	for (int limit = 48; off && limit; limit--) {
		must(off >= 0x40);
		if (any_cfg_read(dev, bdf, off, 1) == id)
			return off;
		off = any_cfg_read(dev, bdf, off + 1, 1) & ~3;
	}
	must(!off);
	return 0;
}

static unsigned int find_ext_cap(struct vfio_dev *dev, const char *bdf, u16 id)
{
	unsigned int off = 0x100;
	u32 header;

	for (int limit = 480; off && limit; limit--) {
		must(off >= 0x100);
		header = any_cfg_read(dev, bdf, off, 4);
		if (PCI_EXT_CAP_ID(header) == id && header)
			return off;
		off = PCI_EXT_CAP_NEXT(header);
	}
	must(!off);
	return 0;
}

unsigned int cfg_cap(struct vfio_dev *dev, u8 id)
{
	return find_cap(dev, NULL, id);
}

unsigned int cfg_ext_cap(struct vfio_dev *dev, u16 id)
{
	return find_ext_cap(dev, NULL, id);
}

unsigned int sysfs_cfg_cap(const char *bdf, u8 id)
{
	return find_cap(NULL, bdf, id);
}

unsigned int sysfs_cfg_ext_cap(const char *bdf, u16 id)
{
	return find_ext_cap(NULL, bdf, id);
}

int vfio_try_bus_master(struct vfio_dev *dev, bool on)
{
	u32 cmd;
	int err = cfg_try_read(dev, PCI_COMMAND, &cmd, 2);

	if (err)
		return err;
	cmd &= ~PCI_COMMAND_MASTER;
	cmd |= PCI_COMMAND_MEMORY;
	if (on)
		cmd |= PCI_COMMAND_MASTER;
	return cfg_try_write(dev, PCI_COMMAND, cmd, 2);
}

void vfio_bus_master(struct vfio_dev *dev, bool on)
{
	must(!vfio_try_bus_master(dev, on));
}

bool vfio_can_reset(struct vfio_dev *dev)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };

	must(!ioctl(dev->fd, VFIO_DEVICE_GET_INFO, &info));
	return info.flags & VFIO_DEVICE_FLAGS_RESET;
}

void vfio_flr(struct vfio_dev *dev)
{
	unsigned int ctl = cfg_cap(dev, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;

	cfg_write(dev, ctl, cfg_read(dev, ctl, 2) | PCI_EXP_DEVCTL_BCR_FLR, 2);
}

int vfio_irqs_set(struct vfio_dev *dev, unsigned int start, unsigned int count, const int *fds)
{
	u8 buf[sizeof(struct vfio_irq_set) + 64 * sizeof(int)] = {};
	struct vfio_irq_set *set = (void *)buf;

	must(count <= 64);
	set->argsz = sizeof(*set) + count * sizeof(int);
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_MSIX_IRQ_INDEX;
	set->start = start;
	set->count = count;
	memcpy(set->data, fds, count * sizeof(int));
	return ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, set) ? -errno : 0;
}

void vfio_irqs_off(struct vfio_dev *dev)
{
	struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSIX_IRQ_INDEX,
	};

	must(!ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, &set));
}

void vfio_request_irq_set(struct vfio_dev *dev, int fd)
{
	u8 buf[sizeof(struct vfio_irq_set) + sizeof(int)] = {};
	struct vfio_irq_set *set = (void *)buf;

	set->argsz = sizeof(buf);
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = VFIO_PCI_REQ_IRQ_INDEX;
	set->count = 1;
	memcpy(set->data, &fd, sizeof(fd));
	must(!ioctl(dev->fd, VFIO_DEVICE_SET_IRQS, set));
}

bool vfio_irq_pending(struct vfio_dev *dev, unsigned int vector)
{
	unsigned int cap = cfg_cap(dev, PCI_CAP_ID_MSIX);
	u32 pba = cfg_read(dev, cap + PCI_MSIX_PBA, 4);

	must((pba & PCI_MSIX_PBA_BIR) == 0);
	pba &= PCI_MSIX_PBA_OFFSET;
	return bar_read64(dev, pba + vector / 64 * 8) >> (vector % 64) & 1;
}

void vfio_reset_by(struct vfio_dev *dev, const char *pf, enum reset_kind kind)
{
	switch (kind) {
	case RESET_VFIO:
		must(!vfio_reset(dev));
		break;
	case RESET_FLR:
		vfio_flr(dev);
		break;
	case RESET_SYSFS:
		must(!file_write(pci_path(dev->bdf, "reset"), "1"));
		break;
	case RESET_PF:
		must(!file_write(pci_path(pf, "reset"), "1"));
		break;
	}
}

pid_t vfio_worker(const char *bdf, pid_t pid)
{
	char path[PATH_SIZE], name[32], comm[32];
	struct dirent *entry;
	pid_t found = 0;
	DIR *dir;

	/* As drivers/vfmig/model/worker.c has it: bus, device and function */
	snprintf(name, sizeof(name), "vfmig-%s", bdf ? strchr(bdf, ':') + 1 : "");
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/comm", pid, entry->d_name);
		if (!file_read(path, comm, sizeof(comm)) && !strncmp(comm, name, strlen(name)))
			found = atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}
