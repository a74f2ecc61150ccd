/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The variant driver's state of a VF.
 */
#ifndef _VFMIG_DEVICE_H
#define _VFMIG_DEVICE_H

#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/spinlock.h>
#include <linux/vfio_pci_core.h>
#include <linux/vfmig.h>

struct vfmig_save;
struct vfmig_load;

/**
 * struct vfmig_device - a VF bound to this driver
 * @core: vfio_pci_core's part
 * @ops: operations of the PF driver; constant
 * @vf: the PF driver's handle; constant, valid while bound
 * @state_mutex: protects @open, @state, @save and @load; held during every arc.
 *	Never held while user memory is accessed.  Released only by
 *	vfmig_state_unlock().
 * @open: a user has the device open, and the PF driver calls vfmig_client
 * @state: current migration state
 * @save: the data fd of PRE_COPY and STOP_COPY, with a reference of the driver, or
 *	NULL.  Written under @state_mutex and @save_lock, read under either.
 * @load: the data fd of RESUMING, with a reference of the driver, or NULL
 * @refusals: rate limit of the messages about refused streams
 * @save_lock: allows mem_dirty(), which runs in atomic context, to read @save
 * @reset_lock: protects all below, and orders @deferred_reset with @state_mutex
 * @deferred_reset: the VF was reset, and the thread that holds @state_mutex must handle
 *	the reset in vfmig_state_unlock()
 * @resets: number of resets that the PF driver has reported
 * @resets_before: @resets when the PCI core's last reset of the VF began
 */
struct vfmig_device {
	struct vfio_pci_core_device core;
	const struct vfmig_vf_ops *ops;
	void *vf;

	struct mutex state_mutex;	/* open, state, save, load */
	bool open;
	enum vfio_device_mig_state state;
	struct vfmig_save *save;
	struct vfmig_load *load;

	struct ratelimit_state refusals;

	spinlock_t save_lock;		/* save, in mem_dirty() */

	spinlock_t reset_lock;		/* all below */
	bool deferred_reset;
	unsigned int resets;
	unsigned int resets_before;
};

static inline struct vfmig_device *vfmig_device_of(struct vfio_device *vdev)
{
	return container_of(vdev, struct vfmig_device, core.vdev);
}

/* region.c */
ssize_t vfmig_region_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos);
ssize_t vfmig_region_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			   loff_t *ppos);
long vfmig_region_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg);

/* migration.c */
void vfmig_migration_init(struct vfmig_device *vfdev);
int vfmig_migration_open(struct vfmig_device *vfdev);
void vfmig_migration_close(struct vfmig_device *vfdev);
void vfmig_migration_reset_prepare(struct vfmig_device *vfdev);
void vfmig_migration_reset_done(struct vfmig_device *vfdev);

/* log.c */
void vfmig_log_init(struct vfmig_device *vfdev);

#endif /* _VFMIG_DEVICE_H */
