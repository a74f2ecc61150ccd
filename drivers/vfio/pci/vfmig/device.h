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

struct dentry;
struct vfmig_faults;
struct vfmig_load;
struct vfmig_profile;
struct vfmig_save;

/* What happened to the VF, in &vfmig_device.deferred */
#define VFMIG_WAS_RESET		BIT(0)	/* it runs, in its power-on state */
#define VFMIG_IS_LOST		BIT(1)	/* its PF driver does not know where it stands */
#define VFMIG_IS_GONE		BIT(2)	/* there is no device any more */

/**
 * struct vfmig_device - a VF bound to this driver
 * @core: vfio_pci_core's part
 * @ops: operations of the PF driver; constant
 * @vf: the PF driver's handle; constant, valid while bound
 * @map_lock: held from the PF driver's answer to a fault until the page is mapped, and while
 *	mappings are taken away
 * @own_reset: the PCI core can't reset the VF, and &vfmig_vf_ops.reset does; constant while
 *	the device is open
 * @gone: the device behind the VF is gone.  Written under @state_mutex, never cleared; read
 *	without it by BAR accesses.
 * @log_lost: the device has lost writes of its log since the log was started
 * @dir: directory in debugfs; constant while bound
 * @faults: what is to go wrong on purpose; constant
 * @state_mutex: protects @upsets, @profile, @open, @state, @save and @load; held during every arc.
 *	Never held while user memory is accessed.  Released only by
 *	vfmig_state_unlock().
 * @upsets: how often the VF was reset or lost.  Written under @state_mutex, read without it
 *	by a thread whose arc is delayed.
 * @profile: which driver's VF this one behaves as.  Changed only while the device is closed.
 * @open: a user has the device open, and the PF driver calls vfmig_client
 * @state: current migration state
 * @save: the data fd of PRE_COPY and STOP_COPY, with a reference of the driver, or
 *	NULL.  Written under @state_mutex and @fd_lock, read under either.
 * @load: the same of RESUMING
 * @refusals: rate limit of the messages about refused streams
 * @fd_lock: allows data_ready(), which runs in atomic context, to read @save and @load
 * @reset_lock: protects all below, and orders @deferred with @state_mutex
 * @deferred: VFMIG_WAS_RESET and so on.  The thread that holds @state_mutex must handle
 *	what is set in vfmig_state_unlock().
 * @resets: number of resets that the PF driver has reported
 * @resets_before: @resets when the PCI core's last reset of the VF began
 */
struct vfmig_device {
	struct vfio_pci_core_device core;
	const struct vfmig_vf_ops *ops;
	void *vf;
	struct mutex map_lock;		/* mappings of trapped BARs */
	bool own_reset;
	bool gone;
	bool log_lost;
	struct dentry *dir;
	struct vfmig_faults *faults;

	struct mutex state_mutex;	/* upsets, profile, open, state, save, load */
	unsigned int upsets;
	const struct vfmig_profile *profile;
	bool open;
	enum vfio_device_mig_state state;
	struct vfmig_save *save;
	struct vfmig_load *load;

	struct ratelimit_state refusals;

	spinlock_t fd_lock;		/* save and load, in data_ready() */

	spinlock_t reset_lock;		/* all below */
	unsigned int deferred;
	unsigned int resets;
	unsigned int resets_before;
};

static inline struct vfmig_device *vfmig_device_of(struct vfio_device *vdev)
{
	return container_of(vdev, struct vfmig_device, core.vdev);
}

/*
 * The current process is about to use the VF.  If the process that opened the VF has ended, the
 * current one pays for what the device does from now on.  The caller holds no lock.
 */
static inline void vfmig_device_enter(struct vfmig_device *vfdev)
{
	if (vfdev->ops->enter)
		vfdev->ops->enter(vfdev->vf);
}

/* What a data fd is for */
enum vfmig_session {
	VFMIG_SESSION_NONE,
	VFMIG_SESSION_SAVE,
	VFMIG_SESSION_LOAD,
};

/**
 * struct vfmig_progress - where the migration of a VF stands
 * @state: migration state
 * @session: what the data fd is for, if there is one
 * @done: bytes of the stream that were read; or written, in complete records
 * @left: bytes left to read; 0 in another session
 */
struct vfmig_progress {
	enum vfio_device_mig_state state;
	enum vfmig_session session;
	u64 done;
	u64 left;
};

/* main.c */
int vfmig_device_reset(struct vfmig_device *vfdev);

/* region.c */
ssize_t vfmig_region_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos);
ssize_t vfmig_region_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			   loff_t *ppos);
bool vfmig_region_is_trapped(struct vfmig_device *vfdev, loff_t pos);

/* map.c */
int vfmig_map_mmap(struct vfio_device *vdev, struct vm_area_struct *vma);
void vfmig_map_unmap(struct vfmig_device *vfdev);
#ifdef VFMIG_HAS_REGION_INFO_CAPS
int vfmig_map_region_info(struct vfio_device *vdev, struct vfio_region_info *info,
			  struct vfio_info_cap *caps);
#else
long vfmig_map_region_info(struct vfmig_device *vfdev, unsigned long arg);
#endif

/* migration.c */
#define VFMIG_STATES	(VFIO_DEVICE_STATE_PRE_COPY_P2P + 1)

/* The states' names in the files of debugfs: those of the uAPI */
extern const char *const vfmig_state_names[VFMIG_STATES];

void vfmig_migration_init(struct vfmig_device *vfdev);
int vfmig_migration_open(struct vfmig_device *vfdev);
void vfmig_migration_close(struct vfmig_device *vfdev);
void vfmig_migration_reset_prepare(struct vfmig_device *vfdev);
void vfmig_migration_reset_done(struct vfmig_device *vfdev);
void vfmig_migration_lost(struct vfmig_device *vfdev);
int vfmig_migration_progress(struct vfmig_device *vfdev, struct vfmig_progress *progress);
int vfmig_migration_set_profile(struct vfmig_device *vfdev, const struct vfmig_profile *profile);

/* log.c */
void vfmig_log_init(struct vfmig_device *vfdev);
void vfmig_log_offer(struct vfmig_device *vfdev, bool offer);
void vfmig_log_lost(struct vfmig_device *vfdev);

/* debugfs.c */
void vfmig_debugfs_init(void);
void vfmig_debugfs_exit(void);
void vfmig_debugfs_add(struct vfmig_device *vfdev);
void vfmig_debugfs_remove(struct vfmig_device *vfdev);

#endif /* _VFMIG_DEVICE_H */
