// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VFIO migration v2 state machine (include/uapi/linux/vfio.h, "enum
 * vfio_device_mig_state"), and the effect of a reset on it.
 *
 * A reset can come at any time and must not wait for @state_mutex.  VFIO holds
 * locks around a reset, and the holder of @state_mutex may be waiting for these
 * locks.  So a reset sets @deferred_reset, and the holder of @state_mutex handles
 * the reset before it unlocks.
 */
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/vfio.h>

#include "device.h"
#include "load.h"
#include "save.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static void vfmig_set_save(struct vfmig_device *vfdev, struct vfmig_save *save)
{
	unsigned long flags;

	spin_lock_irqsave(&vfdev->save_lock, flags);
	vfdev->save = save;
	spin_unlock_irqrestore(&vfdev->save_lock, flags);
}

static void vfmig_end_save(struct vfmig_device *vfdev)
{
	struct vfmig_save *save = vfdev->save;

	if (!save)
		return;
	vfmig_set_save(vfdev, NULL);
	vfmig_save_end(save);
	vfdev->ops->mem_stop(vfdev->vf);
}

static void vfmig_end_load(struct vfmig_device *vfdev)
{
	if (!vfdev->load)
		return;
	vfmig_load_end(vfdev->load);
	vfdev->load = NULL;
	vfdev->ops->load_abort(vfdev->vf);
}

static struct file *vfmig_begin_save(struct vfmig_device *vfdev, bool precopy)
{
	struct vfmig_save *save;
	int ret;

	ret = vfdev->ops->mem_start(vfdev->vf);
	if (ret)
		return ERR_PTR(ret);
	save = vfmig_save_create(vfdev);
	if (IS_ERR(save)) {
		vfdev->ops->mem_stop(vfdev->vf);
		return ERR_CAST(save);
	}
	vfmig_set_save(vfdev, save);
	if (precopy)
		return get_file(vfmig_save_file(save));

	ret = vfmig_save_enter_stop_copy(save);
	if (ret) {
		vfmig_end_save(vfdev);
		return ERR_PTR(ret);
	}
	return get_file(vfmig_save_file(save));
}

static struct file *vfmig_begin_load(struct vfmig_device *vfdev)
{
	struct vfmig_load *load;
	int ret;

	ret = vfdev->ops->load_start(vfdev->vf);
	if (ret)
		return ERR_PTR(ret);
	load = vfmig_load_create(vfdev);
	if (IS_ERR(load)) {
		vfdev->ops->load_abort(vfdev->vf);
		return ERR_CAST(load);
	}
	vfdev->load = load;
	return get_file(vfmig_load_file(load));
}

/* The stream continues on the same fd, so this arc returns none */
static int vfmig_precopy_to_stop_copy(struct vfmig_device *vfdev)
{
	int ret;

	vfdev->ops->freeze(vfdev->vf);
	ret = vfmig_save_enter_stop_copy(vfdev->save);
	if (ret)
		vfdev->ops->thaw(vfdev->vf);
	return ret;
}

#define ARC(from, to) ((VFIO_DEVICE_STATE_##from) << 8 | (VFIO_DEVICE_STATE_##to))

/*
 * Take one arc.  Returns the data fd's file, with a reference for the caller, if the
 * arc creates one, else NULL.  On error the state does not change.
 */
static struct file *vfmig_take_arc(struct vfmig_device *vfdev, enum vfio_device_mig_state next)
{
	const struct vfmig_vf_ops *ops = vfdev->ops;
	void *vf = vfdev->vf;

	switch (vfdev->state << 8 | next) {
	case ARC(RUNNING, RUNNING_P2P):
	case ARC(PRE_COPY, PRE_COPY_P2P):
		ops->quiesce(vf);
		return NULL;

	case ARC(RUNNING_P2P, RUNNING):
	case ARC(PRE_COPY_P2P, PRE_COPY):
		ops->resume(vf);
		return NULL;

	case ARC(RUNNING_P2P, STOP):
		ops->freeze(vf);
		return NULL;

	case ARC(STOP, RUNNING_P2P):
		ops->thaw(vf);
		return NULL;

	case ARC(RUNNING, PRE_COPY):
	case ARC(RUNNING_P2P, PRE_COPY_P2P):
		return vfmig_begin_save(vfdev, true);

	case ARC(PRE_COPY, RUNNING):
	case ARC(PRE_COPY_P2P, RUNNING_P2P):
		vfmig_end_save(vfdev);
		return NULL;

	case ARC(PRE_COPY_P2P, STOP_COPY):
		return ERR_PTR(vfmig_precopy_to_stop_copy(vfdev));

	case ARC(STOP, STOP_COPY):
		return vfmig_begin_save(vfdev, false);

	case ARC(STOP_COPY, STOP):
		vfmig_end_save(vfdev);
		return NULL;

	case ARC(STOP, RESUMING):
		return vfmig_begin_load(vfdev);

	case ARC(RESUMING, STOP):
		/* The write() of the closing record has applied the stream: this can't fail */
		if (!vfmig_load_complete(vfdev->load))
			return ERR_PTR(-EINVAL);
		vfmig_end_load(vfdev);
		return NULL;
	}

	WARN_ON_ONCE(1);
	return ERR_PTR(-EINVAL);
}

/* The VF was reset and runs, which ends a save or a load.  state_mutex is held. */
static void vfmig_reset_locked(struct vfmig_device *vfdev)
{
	if (!vfdev->open)
		return;
	trace_vfmig_reset(&vfdev->core.pdev->dev, vfdev->state);
	vfmig_end_save(vfdev);
	vfmig_end_load(vfdev);
	/* An arc that was under way may have stopped the VF after the reset */
	vfdev->ops->thaw(vfdev->vf);
	vfdev->ops->resume(vfdev->vf);
	vfdev->state = VFIO_DEVICE_STATE_RUNNING;
}

/* Returns true if the VF was reset since state_mutex was taken; it runs then */
static bool vfmig_state_unlock(struct vfmig_device *vfdev)
{
	bool reset = false;

	for (;;) {
		spin_lock(&vfdev->reset_lock);
		if (!vfdev->deferred_reset)
			break;
		vfdev->deferred_reset = false;
		spin_unlock(&vfdev->reset_lock);
		vfmig_reset_locked(vfdev);
		reset = true;
	}
	/* Under reset_lock, or a reset could be deferred to a holder that has checked already */
	mutex_unlock(&vfdev->state_mutex);
	spin_unlock(&vfdev->reset_lock);
	return reset;
}

/*
 * The VF was reset.  reset_lock is held, and VFIO's locks may be held, so this must not wait.
 * If it returns true, the caller must drop reset_lock and call vfmig_state_unlock().
 */
static bool vfmig_note_reset(struct vfmig_device *vfdev)
{
	vfdev->deferred_reset = true;
	return mutex_trylock(&vfdev->state_mutex);
}

/*
 * The PCI core resets the VF.  Most PF drivers notice that and call the client's reset() at
 * once.  For one that does not, vfmig_migration_reset_done() handles the reset, 100 ms later.
 * It must not handle a reset that was reported, as that would undo later changes of the user.
 */
void vfmig_migration_reset_prepare(struct vfmig_device *vfdev)
{
	scoped_guard(spinlock, &vfdev->reset_lock)
		vfdev->resets_before = vfdev->resets;
}

void vfmig_migration_reset_done(struct vfmig_device *vfdev)
{
	bool locked = false;

	scoped_guard(spinlock, &vfdev->reset_lock) {
		if (vfdev->resets == vfdev->resets_before)
			locked = vfmig_note_reset(vfdev);
	}
	if (locked)
		vfmig_state_unlock(vfdev);
}

/*
 * The next arc towards @target.  Before 7.0 vfio_mig_get_next_state() never returns for
 * STOP_COPY to the PRE_COPY states, and it warns if a user asks for a way out of ERROR.
 */
static int vfmig_next_state(struct vfmig_device *vfdev, enum vfio_device_mig_state target,
			    enum vfio_device_mig_state *next)
{
	if (vfdev->state == VFIO_DEVICE_STATE_ERROR)
		return -EIO;
	if (vfdev->state == VFIO_DEVICE_STATE_STOP_COPY &&
	    (target == VFIO_DEVICE_STATE_PRE_COPY || target == VFIO_DEVICE_STATE_PRE_COPY_P2P))
		return -EINVAL;
	return vfio_mig_get_next_state(&vfdev->core.vdev, vfdev->state, target, next);
}

static struct file *vfmig_set_state(struct vfio_device *vdev, enum vfio_device_mig_state target)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);
	struct file *file = NULL;
	bool reset;

	mutex_lock(&vfdev->state_mutex);
	while (vfdev->state != target) {
		enum vfio_device_mig_state next;
		int ret;

		ret = vfmig_next_state(vfdev, target, &next);
		if (ret) {
			file = ERR_PTR(ret);
			break;
		}
		file = vfmig_take_arc(vfdev, next);
		trace_vfmig_arc(&vfdev->core.pdev->dev, vfdev->state, next,
				PTR_ERR_OR_ZERO(file));
		if (IS_ERR(file))
			break;
		vfdev->state = next;
	}
	reset = vfmig_state_unlock(vfdev);
	if (!reset || IS_ERR(file) || target == VFIO_DEVICE_STATE_RUNNING)
		return file;

	/* The reset has taken the VF out of the target state */
	if (file)
		fput(file);
	return ERR_PTR(-ECANCELED);
}

static int vfmig_get_state(struct vfio_device *vdev, enum vfio_device_mig_state *state)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);

	mutex_lock(&vfdev->state_mutex);
	*state = vfdev->state;
	vfmig_state_unlock(vfdev);
	return 0;
}

/*
 * QEMU asks a running device once, when a migration begins, and allocates its buffer by the
 * answer, up to 1 MiB.  If the memory of a VF was never written, QEMU would otherwise read in
 * pieces of the size of the state for the whole migration, even if the guest begins to write.
 */
#define VFMIG_RUNNING_SIZE_MIN	SZ_1M

static u64 vfmig_data_size(struct vfmig_device *vfdev)
{
	u64 size;

	if (vfdev->save)
		return vfmig_save_unread(vfdev->save);
	size = vfmig_save_estimate(vfdev);
	if (vfdev->state == VFIO_DEVICE_STATE_RUNNING ||
	    vfdev->state == VFIO_DEVICE_STATE_RUNNING_P2P)
		size = max(size, VFMIG_RUNNING_SIZE_MIN);
	return size;
}

static int vfmig_get_data_size(struct vfio_device *vdev, unsigned long *stop_copy_length)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);

	mutex_lock(&vfdev->state_mutex);
	*stop_copy_length = vfmig_data_size(vfdev);
	vfmig_state_unlock(vfdev);
	/* VMMs regard 0 as unknown, so return 1 at the end of the stream */
	*stop_copy_length = max(*stop_copy_length, 1UL);
	return 0;
}

static const struct vfio_migration_ops vfmig_migration_ops = {
	.migration_set_state = vfmig_set_state,
	.migration_get_state = vfmig_get_state,
	.migration_get_data_size = vfmig_get_data_size,
};

static void vfmig_client_reset(void *data)
{
	struct vfmig_device *vfdev = data;
	bool locked;

	scoped_guard(spinlock, &vfdev->reset_lock) {
		vfdev->resets++;
		locked = vfmig_note_reset(vfdev);
	}
	if (locked)
		vfmig_state_unlock(vfdev);
}

static void vfmig_client_mem_dirty(void *data)
{
	struct vfmig_device *vfdev = data;
	unsigned long flags;

	spin_lock_irqsave(&vfdev->save_lock, flags);
	if (vfdev->save)
		vfmig_save_wake(vfdev->save);
	spin_unlock_irqrestore(&vfdev->save_lock, flags);
}

static const struct vfmig_vf_client vfmig_client = {
	.reset = vfmig_client_reset,
	.mem_dirty = vfmig_client_mem_dirty,
};

/* A user opens the VF.  The caller has reset it. */
int vfmig_migration_open(struct vfmig_device *vfdev)
{
	int ret;

	ret = vfdev->ops->open(vfdev->vf, &vfmig_client, vfdev);
	if (ret)
		return ret;
	mutex_lock(&vfdev->state_mutex);
	vfdev->open = true;
	vfmig_state_unlock(vfdev);
	return 0;
}

/* The user closes the VF.  After this there is no DMA and no interrupt, and data fds are dead. */
void vfmig_migration_close(struct vfmig_device *vfdev)
{
	mutex_lock(&vfdev->state_mutex);
	vfmig_end_save(vfdev);
	vfmig_end_load(vfdev);
	vfdev->open = false;
	vfdev->state = VFIO_DEVICE_STATE_RUNNING;
	vfmig_state_unlock(vfdev);
	/* Without state_mutex: close() waits for a vfmig_client_reset() that is under way */
	vfdev->ops->close(vfdev->vf);
}

void vfmig_migration_init(struct vfmig_device *vfdev)
{
	struct vfio_device *vdev = &vfdev->core.vdev;

	mutex_init(&vfdev->state_mutex);
	spin_lock_init(&vfdev->save_lock);
	spin_lock_init(&vfdev->reset_lock);
	ratelimit_state_init(&vfdev->refusals, DEFAULT_RATELIMIT_INTERVAL,
			     DEFAULT_RATELIMIT_BURST);
	vfdev->state = VFIO_DEVICE_STATE_RUNNING;
	vdev->migration_flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P |
				VFIO_MIGRATION_PRE_COPY;
	vdev->mig_ops = &vfmig_migration_ops;
}
