/* SPDX-License-Identifier: GPL-2.0-only */
/* A device opened through VFIO: its regions, config space, interrupts */
#ifndef VFMIG_TEST_VFIO_DEV_H
#define VFMIG_TEST_VFIO_DEV_H

#include "compat.h"
#include "iommu.h"
#include "pf.h"

struct vfio_dev {
	struct iommu *iommu;
	int group;		/* -1 with iommufd */
	int fd;			/* -1 if closed */
	u32 dev_id;		/* ID of the device in iommufd */
	char bdf[BDF_SIZE];
	u64 bar0;		/* offsets of the regions in the device fd */
	u64 bar0_size;
	u64 config;
};

/* The file of the group or cdev of a device; false if it is not there, or not yet */
bool vfio_group_path(const char *bdf, char *path, size_t size);
bool vfio_cdev_path(const char *bdf, char *path, size_t size);

/* 0 or -errno of opening the group, cdev or device, or of attaching it */
int vfio_open(struct vfio_dev *dev, struct iommu *iommu, const char *bdf);
/* The same for a device that may be going, or not be there: -ENODEV without its file */
int vfio_try_open(struct vfio_dev *dev, struct iommu *iommu, const char *bdf);
void vfio_close(struct vfio_dev *dev);
/* Close the device alone: its group stays open, and in the container */
void vfio_close_device(struct vfio_dev *dev);

/*
 * Attach a device of iommufd to the address space or page table *@pt_id, in place of what it is
 * attached to.  *@pt_id is the page table then, or the address space.  0 or -errno.
 */
int vfio_attach(struct vfio_dev *dev, u32 *pt_id);
/* Leave it; 0 or -errno */
int vfio_detach(struct vfio_dev *dev);

/* Does VFIO know how to reset it?  It finds out when the device is opened. */
bool vfio_can_reset(struct vfio_dev *dev);
/* 0 or -errno */
int vfio_reset(struct vfio_dev *dev);
void vfio_region_info(struct vfio_dev *dev, u32 index, struct vfio_region_info *info);
void vfio_irq_info(struct vfio_dev *dev, u32 index, struct vfio_irq_info *info);

/* BAR 0; @size is 1, 2, 4 or 8 */
u64 bar_read(struct vfio_dev *dev, u64 offset, unsigned int size);
void bar_write(struct vfio_dev *dev, u64 offset, u64 val, unsigned int size);
u32 bar_read32(struct vfio_dev *dev, u64 offset);
u64 bar_read64(struct vfio_dev *dev, u64 offset);
void bar_write32(struct vfio_dev *dev, u64 offset, u32 val);
void bar_write64(struct vfio_dev *dev, u64 offset, u64 val);

/* Config space through VFIO; @size is 1, 2 or 4 */
u32 cfg_read(struct vfio_dev *dev, unsigned int offset, unsigned int size);
/* 0 or -errno, which is -ENODEV of a VF that is not there while its PF is reset */
int cfg_try_read(struct vfio_dev *dev, unsigned int offset, u32 *val, unsigned int size);
void cfg_write(struct vfio_dev *dev, unsigned int offset, u32 val, unsigned int size);
/* Offset of a capability or extended capability, 0 if there is none */
unsigned int cfg_cap(struct vfio_dev *dev, u8 id);
unsigned int cfg_ext_cap(struct vfio_dev *dev, u16 id);
void vfio_bus_master(struct vfio_dev *dev, bool on);
/* 0 or -errno, as cfg_try_read() */
int vfio_try_bus_master(struct vfio_dev *dev, bool on);
/* Function Level Reset through config space, as a guest does it */
void vfio_flr(struct vfio_dev *dev);

/* Config space through sysfs, bypassing VFIO */
u32 sysfs_cfg_read(const char *bdf, unsigned int offset, unsigned int size);
void sysfs_cfg_write(const char *bdf, unsigned int offset, u32 val, unsigned int size);
unsigned int sysfs_cfg_cap(const char *bdf, u8 id);
unsigned int sysfs_cfg_ext_cap(const char *bdf, u16 id);

/*
 * Connect MSI-X vectors @start and up to these eventfds (-1 for none), and enable MSI-X if it
 * is off; 0 or -errno
 */
int vfio_irqs_set(struct vfio_dev *dev, unsigned int start, unsigned int count, const int *fds);
/* Disable MSI-X */
void vfio_irqs_off(struct vfio_dev *dev);
/* Set the eventfd by which VFIO requests the device back */
void vfio_request_irq_set(struct vfio_dev *dev, int fd);

/* Bit of @vector in the MSI-X pending bit array */
bool vfio_irq_pending(struct vfio_dev *dev, unsigned int vector);

/* Kinds of reset, which must all have the same effect */
enum reset_kind {
	RESET_VFIO,		/* VFIO_DEVICE_RESET */
	RESET_FLR,		/* by the guest */
	RESET_SYSFS,		/* "reset" of the VF */
	RESET_PF,		/* "reset" of the PF */
};

void vfio_reset_by(struct vfio_dev *dev, const char *pf, enum reset_kind kind);

/* The thread of process @pid that executes the commands of VF @bdf, NULL for any VF; or 0 */
pid_t vfio_worker(const char *bdf, pid_t pid);

#endif /* VFMIG_TEST_VFIO_DEV_H */
