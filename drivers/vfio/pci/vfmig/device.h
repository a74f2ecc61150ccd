/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The variant driver's own view of an open VF.
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
 * @core: what vfio_pci_core knows of it
 * @ops: what the PF driver does for it; constant
 * @vf: the PF driver's handle; constant, valid while bound
 * @state_mutex: protects @open, @state, @save and @load; held over every arc.
 *	Never held while user memory is touched.  Released by
 *	vfmig_state_unlock() only.
 * @open: a user has the device, the PF driver has us for a client
 * @state: where the migration state machine stands
 * @save: the data fd of PRE_COPY and STOP_COPY, with our own reference, or NULL.
 *	Written under @state_mutex and @save_lock, read under either.
 * @load: the data fd of RESUMING, with our own reference, or NULL
 * @refusals: limits what the log says of refused streams
 * @save_lock: lets mem_dirty(), in atomic context, look at @save
 * @reset_lock: protects all below, and orders @deferred_reset with @state_mutex
 * @deferred_reset: the VF was reset while somebody held @state_mutex, who does
 *	in vfmig_state_unlock() what there is to do
 * @resets: how many resets the PF driver has told of
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

	spinlock_t save_lock;		/* save, for mem_dirty() */

	spinlock_t reset_lock;		/* all below */
	bool deferred_reset;
	unsigned int resets;
	unsigned int resets_before;
};

static inline struct vfmig_device *vfmig_device_of(struct vfio_device *vdev)
{
	return container_of(vdev, struct vfmig_device, core.vdev);
}

/* registry.c */
int vfmig_find_vf(struct pci_dev *pdev, const struct vfmig_vf_ops **ops, void **vf);

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
