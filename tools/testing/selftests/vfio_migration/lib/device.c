// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices by name, in an I/O address space of libvfio.  libvfio itself opens PCI devices, and
 * maps their BARs as a whole.  Migration needs neither, so that an mdev and a device with a BAR
 * that can be mapped in part will do.
 */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "mig.h"

static const char *devices[2];

static bool is_pci(const char *name)
{
	unsigned int s, b, d, f;
	int length;

	return sscanf(name, "%4x:%2x:%2x.%1x%n", &s, &b, &d, &f, &length) == 4 && !name[length];
}

static bool is_uuid(const char *name)
{
	unsigned int i;

	for (i = 0; name[i]; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? name[i] != '-' : !isxdigit(name[i]))
			return false;
	}
	return i == 36;
}

static bool is_device(const char *name)
{
	return is_pci(name) || is_uuid(name);
}

static void take_devices(char *const *names, int count)
{
	VFIO_ASSERT_LE(count, 2, "At most two devices: a source and a destination\n");
	devices[0] = names[0];
	devices[1] = names[count - 1];
}

void mig_get_devices(int *argc, char *argv[])
{
	char *list = getenv("VFIO_SELFTESTS_DEVICES"), *names[3], *name;
	int count = 0;

	while (*argc - count > 1 && is_device(argv[*argc - count - 1]))
		count++;
	if (count) {
		*argc -= count;
		take_devices(&argv[*argc], count);
		argv[*argc] = NULL;
		return;
	}
	list = list ?: getenv("VFIO_SELFTESTS_BDF");
	list = list ? strdup(list) : NULL;
	for (name = list ? strtok(list, " ,") : NULL; name; name = strtok(NULL, " ,")) {
		VFIO_ASSERT_TRUE(is_device(name), "Neither PCI address nor UUID: %s\n", name);
		VFIO_ASSERT_LT(count, 2, "At most two devices: a source and a destination\n");
		names[count++] = name;
	}
	if (!count) {
		fprintf(stderr, "Usage: %s [OPTION]... SOURCE [DESTINATION]\n", argv[0]);
		fprintf(stderr, "PCI addresses or UUIDs of mdevs, or VFIO_SELFTESTS_DEVICES=\n");
		exit(KSFT_SKIP);
	}
	take_devices(names, count);
}

const char *mig_source(void)
{
	return devices[0];
}

const char *mig_destination(void)
{
	return devices[1];
}

const char *mig_foreign(void)
{
	const char *name = getenv("VFIO_SELFTESTS_FOREIGN");

	if (!name || !*name)
		return NULL;
	VFIO_ASSERT_TRUE(is_device(name), "Neither PCI address nor UUID: %s\n", name);
	return name;
}

static void device_dir(const char *name, char *path)
{
	snprintf_assert(path, PATH_MAX, "/sys/bus/%s/devices/%s", is_uuid(name) ? "mdev" : "pci",
			name);
}

/*
 * The paths of nodes in /dev.  They return NULL, or why the kernel has none.  That a device is not
 * bound to a VFIO driver is not such a reason, but a mistake of the user.
 */
static const char *find_group(const char *name, char *node)
{
	char path[PATH_MAX], link[PATH_MAX], target[PATH_MAX];
	ssize_t len;

	device_dir(name, path);
	snprintf_assert(link, sizeof(link), "%.4000s/iommu_group", path);
	len = readlink(link, target, sizeof(target) - 1);
	if (len <= 0)
		return "the device has no IOMMU group";
	target[len] = 0;
	snprintf_assert(node, PATH_MAX, "/dev/vfio%.4000s", strrchr(target, '/'));
	return access(node, F_OK) ? "VFIO has no group for the device (CONFIG_VFIO_GROUP)" : NULL;
}

static const char *find_cdev(const char *name, char *node)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	device_dir(name, path);
	strcat(path, "/vfio-dev");
	dir = opendir(path);
	VFIO_ASSERT_NOT_NULL(dir, "%s is not bound to a VFIO driver\n", name);
	*node = 0;
	while ((entry = readdir(dir))) {
		if (!strncmp(entry->d_name, "vfio", 4))
			snprintf_assert(node, PATH_MAX, "/dev/vfio/devices/%s", entry->d_name);
	}
	closedir(dir);
	VFIO_ASSERT_TRUE(*node, "no device in %s\n", path);
	return access(node, F_OK) ? "the device has no cdev (CONFIG_VFIO_DEVICE_CDEV)" : NULL;
}

/* Opens the container's group, and the device in it */
static void open_by_group(struct mig_device *dev, const char *node)
{
	dev->vfio->group_fd = open(node, O_RDWR);
	VFIO_ASSERT_GE(dev->vfio->group_fd, 0, "open(%s) failed\n", node);
	ioctl_assert(dev->vfio->group_fd, VFIO_GROUP_SET_CONTAINER, &dev->iommu->container_fd);
	vfio_container_set_iommu(dev->vfio);
	__vfio_pci_group_get_device_fd(dev->vfio, dev->name, NULL);
}

static void open_by_cdev(struct mig_device *dev, const char *node)
{
	struct vfio_device_bind_iommufd bind = {
		.argsz = sizeof(bind),
		.iommufd = dev->iommu->iommufd,
	};
	struct vfio_device_attach_iommufd_pt attach = {
		.argsz = sizeof(attach),
		.pt_id = dev->iommu->ioas_id,
	};

	dev->vfio->fd = open(node, O_RDWR);
	VFIO_ASSERT_GE(dev->vfio->fd, 0, "open(%s) failed\n", node);
	/* libvfio's own keeps no out_devid */
	ioctl_assert(dev->vfio->fd, VFIO_DEVICE_BIND_IOMMUFD, &bind);
	dev->dev_id = bind.out_devid;
	ioctl_assert(dev->vfio->fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &attach);
}

/* Returns NULL, or why the kernel has no way to open the device in this mode */
static const char *open_device(struct mig_device *dev, const char *mode)
{
	char node[PATH_MAX];
	const char *why;
	bool by_group;

	dev->iommu = iommu_init(mode);
	by_group = dev->iommu->mode->container_path;
	why = by_group ? find_group(dev->name, node) : find_cdev(dev->name, node);
	if (!why && by_group && ioctl(dev->iommu->container_fd, VFIO_CHECK_EXTENSION,
				      dev->iommu->mode->iommu_type) <= 0)
		why = "the container has no IOMMU of this type (CONFIG_VFIO_IOMMU_TYPE1)";
	if (why) {
		iommu_cleanup(dev->iommu);
		return why;
	}
	dev->vfio = vfio_pci_device_alloc(dev->name, dev->iommu);
	if (by_group)
		open_by_group(dev, node);
	else
		open_by_cdev(dev, node);
	dev->fd = dev->vfio->fd;
	VFIO_ASSERT_GE(dev->fd, 0, "can't open %s\n", dev->name);
	return NULL;
}

/* Why libvfio can't have this mode here; it would end the program as failed */
static const char *mode_missing(const char *mode)
{
	if (strncmp(mode, "iommufd", 7))
		return access("/dev/vfio/vfio", R_OK | W_OK) ? "no VFIO container" : NULL;
	return access("/dev/iommu", R_OK | W_OK) ? "no iommufd" : NULL;
}

const char *mig_open(struct mig_device *dev, const char *name, const char *mode)
{
	struct vfio_device_feature_migration migration = {};
	const char *why = mode_missing(mode);
	int ret;

	*dev = (struct mig_device){ .name = name, .fd = -1 };
	why = why ?: open_device(dev, mode);
	if (why)
		return why;
	ret = mig_feature(dev, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIGRATION, &migration,
			  sizeof(migration));
	if (ret) {
		mig_close(dev);
		return "the device can't be migrated";
	}
	/* As a VMM does before it starts a guest: the last user may have left it in any state */
	mig_reset(dev);
	dev->flags = migration.flags;
	dev->dma_log = mig_has_feature(dev, VFIO_DEVICE_FEATURE_DMA_LOGGING_START);
	dev->data_size = mig_has_feature(dev, VFIO_DEVICE_FEATURE_MIG_DATA_SIZE);
	dev->info_v2 = mig_has_feature(dev, VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2);
	return NULL;
}

void mig_close(struct mig_device *dev)
{
	if (dev->fd < 0)
		return;
	VFIO_ASSERT_EQ(close(dev->fd), 0);
	if (dev->vfio->group_fd)
		VFIO_ASSERT_EQ(close(dev->vfio->group_fd), 0);
	vfio_pci_device_free(dev->vfio);
	iommu_cleanup(dev->iommu);
	dev->fd = -1;
}

void mig_reopen(struct mig_device *dev)
{
	const char *mode = dev->iommu->mode->name;

	mig_close(dev);
	VFIO_ASSERT_NULL(open_device(dev, mode), "%s can't be opened again\n", dev->name);
}
