// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VFIO migration v2 state machine (include/uapi/linux/vfio.h, "enum
 * vfio_device_mig_state"), and the effect of a reset on it.
 *
 * The PF driver can report at any time that the VF was reset, or that the device is gone.
 * It must not wait for @state_mutex: VFIO holds locks around a reset, and the holder of
 * @state_mutex may be waiting for these locks.  So a report sets a bit of @deferred, and
 * the holder of @state_mutex handles it before it unlocks.
 */
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/vfio.h>

#include "device.h"
#include "fault.h"
#include "load.h"
#include "profile.h"
#include "save.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

const char *const vfmig_state_names[VFMIG_STATES] = {
	[VFIO_DEVICE_STATE_ERROR] = "ERROR",
	[VFIO_DEVICE_STATE_STOP] = "STOP",
	[VFIO_DEVICE_STATE_RUNNING] = "RUNNING",
	[VFIO_DEVICE_STATE_STOP_COPY] = "STOP_COPY",
	[VFIO_DEVICE_STATE_RESUMING] = "RESUMING",
	[VFIO_DEVICE_STATE_RUNNING_P2P] = "RUNNING_P2P",
	[VFIO_DEVICE_STATE_PRE_COPY] = "PRE_COPY",
	[VFIO_DEVICE_STATE_PRE_COPY_P2P] = "PRE_COPY_P2P",
};

static void vfmig_set_save(struct vfmig_device *vfdev, struct vfmig_save *save)
{
	unsigned long flags;

	spin_lock_irqsave(&vfdev->fd_lock, flags);
	vfdev->save = save;
	spin_unlock_irqrestore(&vfdev->fd_lock, flags);
}

static void vfmig_set_load(struct vfmig_device *vfdev, struct vfmig_load *load)
{
	unsigned long flags;

	spin_lock_irqsave(&vfdev->fd_lock, flags);
	vfdev->load = load;
	spin_unlock_irqrestore(&vfdev->fd_lock, flags);
}

/* The data fd reads as -ENODEV from now on */
static void vfmig_drop_save(struct vfmig_device *vfdev)
{
	struct vfmig_save *save = vfdev->save;

	vfmig_set_save(vfdev, NULL);
	vfmig_save_end(save);
}

static int vfmig_stop_save(struct vfmig_device *vfdev)
{
	return vfdev->ops->save_stop ? vfdev->ops->save_stop(vfdev->vf) : 0;
}

/* On error the save is still on */
static int vfmig_end_save(struct vfmig_device *vfdev)
{
	int ret = vfmig_stop_save(vfdev);

	if (!ret)
		vfmig_drop_save(vfdev);
	return ret;
}

static void vfmig_end_load(struct vfmig_device *vfdev)
{
	struct vfmig_load *load = vfdev->load;

	vfmig_set_load(vfdev, NULL);
	vfmig_load_end(load);
}

/* After a reset, or for good: nobody can use what is under way */
static void vfmig_abort(struct vfmig_device *vfdev)
{
	if (vfdev->save) {
		vfmig_drop_save(vfdev);
		vfmig_stop_save(vfdev);
	}
	if (vfdev->load) {
		vfmig_end_load(vfdev);
		if (vfdev->ops->load_abort)
			vfdev->ops->load_abort(vfdev->vf);
	}
}

static int vfmig_enter_stop_copy(struct vfmig_device *vfdev, struct vfmig_save *save)
{
	int ret = 0;

	if (vfdev->ops->save_final)
		ret = vfdev->ops->save_final(vfdev->vf);
	if (!ret)
		vfmig_save_enter_stop_copy(save);
	return ret;
}

static int vfmig_start_save(struct vfmig_device *vfdev, struct vfmig_save *save, bool precopy)
{
	int ret;

	ret = vfdev->ops->save_start(vfdev->vf, precopy);
	if (ret || precopy)
		return ret;
	ret = vfmig_enter_stop_copy(vfdev, save);
	if (ret && vfmig_stop_save(vfdev))
		return -ENOTRECOVERABLE;
	return ret;
}

/* The device begins last: some can't go back then without a reset */
static struct file *vfmig_begin_save(struct vfmig_device *vfdev, bool precopy)
{
	struct vfmig_save *save;
	int ret;

	save = vfmig_save_create(vfdev);
	if (IS_ERR(save))
		return ERR_CAST(save);
	ret = vfmig_start_save(vfdev, save, precopy);
	if (ret) {
		vfmig_save_end(save);
		return ERR_PTR(ret);
	}
	vfmig_set_save(vfdev, save);
	return get_file(vfmig_save_file(save));
}

static struct file *vfmig_begin_load(struct vfmig_device *vfdev)
{
	struct vfmig_load *load;
	int ret;

	load = vfmig_load_create(vfdev);
	if (IS_ERR(load))
		return ERR_CAST(load);
	ret = vfdev->ops->load_start(vfdev->vf);
	if (ret) {
		vfmig_load_end(load);
		return ERR_PTR(ret);
	}
	vfmig_set_load(vfdev, load);
	return get_file(vfmig_load_file(load));
}

/* A device has P2P and its profile hides it: between RUNNING and STOP it is quiesced as well */
static bool vfmig_hides_p2p(const struct vfmig_device *vfdev)
{
	u64 hidden = vfdev->ops->migration_flags & ~vfdev->core.vdev.migration_flags;

	return hidden & VFIO_MIGRATION_P2P;
}

static int vfmig_freeze(struct vfmig_device *vfdev)
{
	const struct vfmig_vf_ops *ops = vfdev->ops;
	int ret;

	if (!vfmig_hides_p2p(vfdev))
		return ops->freeze(vfdev->vf);
	ret = ops->quiesce(vfdev->vf);
	if (ret)
		return ret;
	ret = ops->freeze(vfdev->vf);
	if (ret && ops->resume(vfdev->vf))
		return -ENOTRECOVERABLE;
	return ret;
}

static int vfmig_thaw(struct vfmig_device *vfdev)
{
	const struct vfmig_vf_ops *ops = vfdev->ops;
	int ret;

	ret = ops->thaw(vfdev->vf);
	if (ret || !vfmig_hides_p2p(vfdev))
		return ret;
	ret = ops->resume(vfdev->vf);
	if (ret && ops->freeze(vfdev->vf))
		return -ENOTRECOVERABLE;
	return ret;
}

/* The stream continues on the same fd, so this arc returns none */
static int vfmig_precopy_to_stop_copy(struct vfmig_device *vfdev)
{
	int ret;

	ret = vfmig_freeze(vfdev);
	if (ret)
		return ret;
	ret = vfmig_enter_stop_copy(vfdev, vfdev->save);
	if (ret && vfmig_thaw(vfdev))
		return -ENOTRECOVERABLE;
	return ret;
}

/* The write() of the closing record has applied the stream, so this can't fail after one */
static int vfmig_finish_load(struct vfmig_device *vfdev)
{
	if (!vfmig_load_complete(vfdev->load))
		return -EINVAL;
	vfmig_end_load(vfdev);
	return 0;
}

#define ARC(from, to) ((VFIO_DEVICE_STATE_##from) << 8 | (VFIO_DEVICE_STATE_##to))

/*
 * Take one arc.  Returns the data fd's file, with a reference for the caller, if the
 * arc creates one, else NULL.  On error the VF is as it was, unless the error is
 * -ENOTRECOVERABLE.  A device without P2P has the arcs between RUNNING and STOP, and from
 * PRE_COPY to STOP_COPY.
 */
static struct file *vfmig_take_arc(struct vfmig_device *vfdev, enum vfio_device_mig_state next)
{
	const struct vfmig_vf_ops *ops = vfdev->ops;
	void *vf = vfdev->vf;

	switch (vfdev->state << 8 | next) {
	case ARC(RUNNING, RUNNING_P2P):
	case ARC(PRE_COPY, PRE_COPY_P2P):
		return ERR_PTR(ops->quiesce(vf));

	case ARC(RUNNING_P2P, RUNNING):
	case ARC(PRE_COPY_P2P, PRE_COPY):
		return ERR_PTR(ops->resume(vf));

	case ARC(RUNNING, STOP):
	case ARC(RUNNING_P2P, STOP):
		return ERR_PTR(vfmig_freeze(vfdev));

	case ARC(STOP, RUNNING):
	case ARC(STOP, RUNNING_P2P):
		return ERR_PTR(vfmig_thaw(vfdev));

	case ARC(RUNNING, PRE_COPY):
	case ARC(RUNNING_P2P, PRE_COPY_P2P):
		return vfmig_begin_save(vfdev, true);

	case ARC(PRE_COPY, RUNNING):
	case ARC(PRE_COPY_P2P, RUNNING_P2P):
	case ARC(STOP_COPY, STOP):
		return ERR_PTR(vfmig_end_save(vfdev));

	case ARC(PRE_COPY, STOP_COPY):
	case ARC(PRE_COPY_P2P, STOP_COPY):
		return ERR_PTR(vfmig_precopy_to_stop_copy(vfdev));

	case ARC(STOP, STOP_COPY):
		return vfmig_begin_save(vfdev, false);

	case ARC(STOP, RESUMING):
		return vfmig_begin_load(vfdev);

	case ARC(RESUMING, STOP):
		return ERR_PTR(vfmig_finish_load(vfdev));
	}

	WARN_ON_ONCE(1);
	return ERR_PTR(-EINVAL);
}

/* What the VF is in is not known.  Only a reset leads out of ERROR. */
static void vfmig_enter_error(struct vfmig_device *vfdev)
{
	vfmig_abort(vfdev);
	vfdev->state = VFIO_DEVICE_STATE_ERROR;
}

/*
 * The VF was reset and runs, which ends a save or a load.  An arc that was under way may have
 * stopped it after that.  If it did not, a device may refuse to be started.  state_mutex is
 * held.
 */
static void vfmig_reset_locked(struct vfmig_device *vfdev)
{
	const struct vfmig_vf_ops *ops = vfdev->ops;
	int ret;

	trace_vfmig_reset(&vfdev->core.pdev->dev, vfdev->state);
	vfmig_abort(vfdev);
	ret = ops->thaw(vfdev->vf);
	if (ret != -ENOTRECOVERABLE && ops->resume)
		ret = ops->resume(vfdev->vf);
	vfdev->state = ret == -ENOTRECOVERABLE ? VFIO_DEVICE_STATE_ERROR :
						 VFIO_DEVICE_STATE_RUNNING;
}

/* @what happened to the VF.  state_mutex is held. */
static void vfmig_handle(struct vfmig_device *vfdev, unsigned int what)
{
	if (what) {
		WRITE_ONCE(vfdev->upsets, vfdev->upsets + 1);
		wake_up_all(&vfdev->faults->wait);
	}
	if (what & VFMIG_IS_GONE)
		WRITE_ONCE(vfdev->gone, true);
	if (!vfdev->open)
		return;
	if (what & VFMIG_IS_GONE)
		vfmig_map_unmap(vfdev);
	if (what & VFMIG_WAS_RESET && !vfdev->gone)
		vfmig_reset_locked(vfdev);
	/* What is lost of a VF that runs, and is not saved, nobody has asked for */
	if (vfdev->gone || (what & VFMIG_IS_LOST && vfdev->state != VFIO_DEVICE_STATE_RUNNING))
		vfmig_enter_error(vfdev);
}

static void vfmig_state_lock(struct vfmig_device *vfdev)
{
	unsigned int what;

	mutex_lock(&vfdev->state_mutex);
	/* Of a loss only the bit is set, and it waits for the next to come here */
	scoped_guard(spinlock, &vfdev->reset_lock) {
		what = vfdev->deferred;
		vfdev->deferred = 0;
	}
	vfmig_handle(vfdev, what);
}

/* Returns the state that the VF is left in, after what happened to it meanwhile */
static enum vfio_device_mig_state vfmig_state_unlock(struct vfmig_device *vfdev)
{
	enum vfio_device_mig_state state;

	for (;;) {
		unsigned int what;

		spin_lock(&vfdev->reset_lock);
		what = vfdev->deferred;
		if (!what)
			break;
		vfdev->deferred = 0;
		spin_unlock(&vfdev->reset_lock);
		vfmig_handle(vfdev, what);
	}
	state = vfdev->state;
	/* Under reset_lock, or a reset could be deferred to a holder that has checked already */
	mutex_unlock(&vfdev->state_mutex);
	spin_unlock(&vfdev->reset_lock);
	return state;
}

/*
 * The VF was reset, or is gone.  reset_lock is held, and VFIO's locks may be held, so this
 * must not wait.  If it returns true, the caller must drop reset_lock and call
 * vfmig_state_unlock().
 */
static bool vfmig_note(struct vfmig_device *vfdev, unsigned int what)
{
	/* A reset leads out of ERROR */
	if (what == VFMIG_WAS_RESET)
		vfdev->deferred &= ~VFMIG_IS_LOST;
	vfdev->deferred |= what;
	return mutex_trylock(&vfdev->state_mutex);
}

/*
 * The PF driver does not know where the VF stands.  For the thread of a data fd, which holds a
 * lock that nests in state_mutex: the next user of the state handles it.
 */
void vfmig_migration_lost(struct vfmig_device *vfdev)
{
	scoped_guard(spinlock, &vfdev->reset_lock)
		vfdev->deferred |= VFMIG_IS_LOST;
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
	if (vfdev->ops->reset_prepare)
		vfdev->ops->reset_prepare(vfdev->vf);
}

void vfmig_migration_reset_done(struct vfmig_device *vfdev)
{
	bool locked = false;

	if (vfdev->ops->reset_done)
		vfdev->ops->reset_done(vfdev->vf);
	scoped_guard(spinlock, &vfdev->reset_lock) {
		if (vfdev->resets == vfdev->resets_before)
			locked = vfmig_note(vfdev, VFMIG_WAS_RESET);
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
	if (vfdev->gone)
		return -ENODEV;
	if (vfdev->state == VFIO_DEVICE_STATE_ERROR)
		return -EIO;
	if (vfdev->state == VFIO_DEVICE_STATE_STOP_COPY &&
	    (target == VFIO_DEVICE_STATE_PRE_COPY || target == VFIO_DEVICE_STATE_PRE_COPY_P2P))
		return -EINVAL;
	return vfio_mig_get_next_state(&vfdev->core.vdev, vfdev->state, target, next);
}

/*
 * Holds the arc up, without state_mutex, so that a reset and others who want the state need not
 * wait.  The arc goes on if none of them has done anything.
 */
static int vfmig_hold_up_arc(struct vfmig_device *vfdev, const struct vfmig_fault_arc *arc)
{
	enum vfio_device_mig_state from = vfdev->state;
	unsigned int upsets = vfdev->upsets;
	int ret;

	vfmig_state_unlock(vfdev);
	ret = vfmig_fault_delay(vfdev->faults, arc, &vfdev->upsets, upsets);
	if (!ret && arc->reset)
		ret = vfmig_device_reset(vfdev);
	vfmig_state_lock(vfdev);
	if (vfdev->gone)
		return -ENODEV;
	if (vfdev->upsets != upsets || vfdev->state != from)
		return -ECANCELED;
	return ret;
}

/* What is to go wrong with the arc on purpose */
static int vfmig_spoil_arc(struct vfmig_device *vfdev, enum vfio_device_mig_state next)
{
	struct vfmig_fault_arc arc;
	int ret = 0;

	vfmig_fault_meet_arc(vfdev->faults, vfdev->state, next, &arc);
	if (arc.delay || arc.reset)
		ret = vfmig_hold_up_arc(vfdev, &arc);
	return ret ?: arc.ret;
}

/* One arc towards @target; on error the state is as before, or ERROR */
static struct file *vfmig_step(struct vfmig_device *vfdev, enum vfio_device_mig_state target)
{
	enum vfio_device_mig_state next;
	struct file *file;
	int ret;

	ret = vfmig_next_state(vfdev, target, &next);
	if (ret)
		return ERR_PTR(ret);
	if (vfmig_fault_armed(vfdev->faults, VFMIG_FAULT_ARC))
		ret = vfmig_spoil_arc(vfdev, next);
	file = ret ? ERR_PTR(ret) : vfmig_take_arc(vfdev, next);
	trace_vfmig_arc(&vfdev->core.pdev->dev, vfdev->state, next, PTR_ERR_OR_ZERO(file));
	if (!IS_ERR(file))
		vfdev->state = next;
	else if (PTR_ERR(file) == -ENOTRECOVERABLE)
		vfmig_enter_error(vfdev);
	return file;
}

static struct file *vfmig_set_state(struct vfio_device *vdev, enum vfio_device_mig_state target)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);
	enum vfio_device_mig_state state;
	struct file *file = NULL;

	vfmig_device_enter(vfdev);
	vfmig_state_lock(vfdev);
	while (vfdev->state != target && !IS_ERR(file))
		file = vfmig_step(vfdev, target);
	state = vfmig_state_unlock(vfdev);
	/* The reset that ended the wait of an arc did what was asked for */
	if (PTR_ERR_OR_ZERO(file) == -ECANCELED && state == target)
		return NULL;
	if (IS_ERR(file) || state == target)
		return file;

	/* A reset, or a loss, has taken the VF out of the target state */
	if (file)
		fput(file);
	return ERR_PTR(READ_ONCE(vfdev->gone) ? -ENODEV : -ECANCELED);
}

static int vfmig_get_state(struct vfio_device *vdev, enum vfio_device_mig_state *state)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);

	vfmig_state_lock(vfdev);
	*state = vfmig_state_unlock(vfdev);
	return 0;
}

/*
 * QEMU asks a running device once, when a migration begins, and allocates its buffer by the
 * answer, up to 1 MiB.  If the memory of a VF was never written, QEMU would otherwise read in
 * pieces of the size of the state for the whole migration, even if the guest begins to write.
 */
#define VFMIG_RUNNING_SIZE_MIN	SZ_1M

static int vfmig_data_size(struct vfmig_device *vfdev, u64 *size)
{
	int ret;

	if (vfdev->gone)
		return -ENODEV;
	if (vfdev->save && !vfdev->profile->whole_size)
		return vfmig_save_unread(vfdev->save, size);
	ret = vfmig_save_estimate(vfdev, size);
	if (!ret && vfdev->profile->whole_size) {
		if (vfdev->save)
			vfmig_save_whole(vfdev->save, size);
		return 0;
	}
	if (!ret && vfdev->ops->mem && (vfdev->state == VFIO_DEVICE_STATE_RUNNING ||
					vfdev->state == VFIO_DEVICE_STATE_RUNNING_P2P))
		*size = max(*size, VFMIG_RUNNING_SIZE_MIN);
	return ret;
}

static int vfmig_get_data_size(struct vfio_device *vdev, unsigned long *stop_copy_length)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);
	u64 size = 0;
	int ret;

	vfmig_state_lock(vfdev);
	ret = vfmig_data_size(vfdev, &size);
	vfmig_state_unlock(vfdev);
	/* VMMs regard 0 as unknown, so return 1 at the end of the stream */
	*stop_copy_length = max(size, 1);
	if (!ret && vfmig_fault_armed(vfdev->faults, VFMIG_FAULT_SIZE))
		ret = vfmig_fault_meet_size(vfdev->faults, stop_copy_length);
	return ret;
}

static int vfmig_session_progress(struct vfmig_device *vfdev, struct vfmig_progress *progress)
{
	if (vfdev->load) {
		progress->session = VFMIG_SESSION_LOAD;
		progress->done = vfmig_load_done(vfdev->load);
	}
	if (!vfdev->save)
		return 0;
	progress->session = VFMIG_SESSION_SAVE;
	return vfmig_save_progress(vfdev->save, &progress->done, &progress->left);
}

int vfmig_migration_progress(struct vfmig_device *vfdev, struct vfmig_progress *progress)
{
	int ret;

	*progress = (struct vfmig_progress) {};
	vfmig_state_lock(vfdev);
	ret = vfmig_session_progress(vfdev, progress);
	/* A session can end as the lock is dropped, and the state is then what it led to */
	progress->state = vfmig_state_unlock(vfdev);
	return ret;
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
		locked = vfmig_note(vfdev, VFMIG_WAS_RESET);
	}
	if (locked)
		vfmig_state_unlock(vfdev);
}

static void vfmig_client_note(struct vfmig_device *vfdev, unsigned int what)
{
	bool locked;

	scoped_guard(spinlock, &vfdev->reset_lock)
		locked = vfmig_note(vfdev, what);
	if (locked)
		vfmig_state_unlock(vfdev);
}

static void vfmig_client_lost(void *data)
{
	vfmig_log_lost(data);
	vfmig_client_note(data, VFMIG_IS_LOST);
}

static void vfmig_client_gone(void *data)
{
	vfmig_client_note(data, VFMIG_IS_GONE);
}

static void vfmig_client_data_ready(void *data)
{
	struct vfmig_device *vfdev = data;
	unsigned long flags;

	spin_lock_irqsave(&vfdev->fd_lock, flags);
	if (vfdev->save)
		vfmig_save_wake(vfdev->save);
	if (vfdev->load)
		vfmig_load_wake(vfdev->load);
	spin_unlock_irqrestore(&vfdev->fd_lock, flags);
}

static void vfmig_client_unmap(void *data)
{
	vfmig_map_unmap(data);
}

static const struct vfmig_vf_client vfmig_client = {
	.reset = vfmig_client_reset,
	.lost = vfmig_client_lost,
	.gone = vfmig_client_gone,
	.data_ready = vfmig_client_data_ready,
	.unmap = vfmig_client_unmap,
};

/* A user opens the VF.  The caller has reset it. */
int vfmig_migration_open(struct vfmig_device *vfdev)
{
	int ret;

	ret = vfdev->ops->open(vfdev->vf, &vfmig_client, vfdev);
	if (ret)
		return ret;
	vfmig_state_lock(vfdev);
	vfdev->open = true;
	vfmig_state_unlock(vfdev);
	return 0;
}

/* The user closes the VF.  After this there is no DMA and no interrupt, and data fds are dead. */
void vfmig_migration_close(struct vfmig_device *vfdev)
{
	vfmig_state_lock(vfdev);
	vfmig_abort(vfdev);
	vfdev->open = false;
	vfdev->state = VFIO_DEVICE_STATE_RUNNING;
	vfmig_state_unlock(vfdev);
	/* Without state_mutex: close() waits for a vfmig_client_reset() that is under way */
	vfdev->ops->close(vfdev->vf);
}

/* -EBUSY if the device is open, -EOPNOTSUPP if it has not what the profile needs */
int vfmig_migration_set_profile(struct vfmig_device *vfdev, const struct vfmig_profile *profile)
{
	int ret = 0;

	if (profile->needs & ~vfdev->ops->migration_flags)
		return -EOPNOTSUPP;
	vfmig_state_lock(vfdev);
	if (vfdev->open) {
		ret = -EBUSY;
	} else {
		WRITE_ONCE(vfdev->profile, profile);
		vfdev->core.vdev.migration_flags = vfdev->ops->migration_flags & profile->flags;
		vfmig_log_offer(vfdev, profile->log);
	}
	vfmig_state_unlock(vfdev);
	return ret;
}

void vfmig_migration_init(struct vfmig_device *vfdev)
{
	struct vfio_device *vdev = &vfdev->core.vdev;

	mutex_init(&vfdev->state_mutex);
	spin_lock_init(&vfdev->fd_lock);
	spin_lock_init(&vfdev->reset_lock);
	ratelimit_state_init(&vfdev->refusals, DEFAULT_RATELIMIT_INTERVAL,
			     DEFAULT_RATELIMIT_BURST);
	vfdev->state = VFIO_DEVICE_STATE_RUNNING;
	vfdev->profile = &vfmig_no_profile;
	vdev->migration_flags = vfdev->ops->migration_flags;
	vdev->mig_ops = &vfmig_migration_ops;
}
