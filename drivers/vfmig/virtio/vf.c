// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the variant driver does with a virtio device (include/linux/vfmig.h): who has it
 * open, its running state, a save, a load; and its reset.
 */
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/vfio.h>

#include "../model/handle.h"
#include "state.h"
#include "virtio.h"

VFMIG_HANDLE_BEGINS_WITH_FN(struct vfmig_virtio);

static void set_frozen(struct vfmig_virtio *dev, bool frozen)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&dev->latch.lock, flags);
	dev->latch.frozen = frozen;
	raw_spin_unlock_irqrestore(&dev->latch.lock, flags);
}

/* With the lock held: no DMA and no interrupt from now on */
static void quiesce_locked(struct vfmig_virtio *dev)
{
	if (!vfmig_is_running(&dev->running))
		return;
	vfmig_running_quiesce(&dev->running);
	dev->type->stopped(dev);
}

static void freeze_locked(struct vfmig_virtio *dev)
{
	quiesce_locked(dev);
	if (vfmig_running_freeze(&dev->running))
		set_frozen(dev, true);
}

static void thaw_locked(struct vfmig_virtio *dev)
{
	u64 paused;

	if (vfmig_running_thaw(&dev->running, &paused))
		set_frozen(dev, false);
	dev->type->kept(dev);
}

/*
 * The guest may have missed an interrupt while interrupts were held, or one of the source.
 * Which used buffers it has seen is not known, so each queue that has used any gets one.
 */
static void raise_all(struct vfmig_virtio *dev)
{
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++)
		if (dev->vq[i].ops)
			vfmig_virtio_vq_irq(dev, &dev->vq[i]);
	vfmig_virtio_flush_irqs(dev);
}

static int vfmig_virtio_quiesce(void *vf)
{
	struct vfmig_virtio *dev = vf;

	guard(vfmig_virtio)(dev);
	quiesce_locked(dev);
	return 0;
}

static int vfmig_virtio_freeze(void *vf)
{
	struct vfmig_virtio *dev = vf;

	guard(vfmig_virtio)(dev);
	freeze_locked(dev);
	return 0;
}

static int vfmig_virtio_thaw(void *vf)
{
	struct vfmig_virtio *dev = vf;

	guard(vfmig_virtio)(dev);
	thaw_locked(dev);
	return 0;
}

static int vfmig_virtio_resume(void *vf)
{
	struct vfmig_virtio *dev = vf;

	guard(vfmig_virtio)(dev);
	thaw_locked(dev);
	if (!vfmig_running_run(&dev->running))
		return 0;
	/* The driver may have changed a vector, or reset the device, in between */
	vfmig_virtio_take_registers(dev);
	dev->type->resumed(dev, dev->loaded);
	dev->loaded = false;
	raise_all(dev);
	vfmig_worker_kick(&dev->worker);
	return 0;
}

/*
 * From the fabric, any time.  A save and a load go on: who began them hears of the reset
 * and ends them.
 */
void vfmig_virtio_reset(void *vf)
{
	struct vfmig_virtio *dev = vf;

	scoped_guard(vfmig_virtio, dev) {
		dev->type->lost(dev, false);
		vfmig_virtio_power_on(dev);
		/* The fabric may have let interrupts out before a quiesce() held them again */
		vfmig_running_run(&dev->running);
	}
	vfmig_client_reset(&dev->client);
}

static int vfmig_virtio_save_stop(void *vf)
{
	struct vfmig_virtio *dev = vf;

	guard(vfmig_virtio)(dev);
	vfmig_blob_free(&dev->save);
	return 0;
}

static void vfmig_virtio_load_abort(void *vf)
{
	struct vfmig_virtio *dev = vf;

	guard(mutex)(&dev->load_lock);
	vfmig_blob_free(&dev->load);
}

static int vfmig_virtio_open(void *vf, const struct vfmig_vf_client *client, void *data)
{
	struct vfmig_virtio *dev = vf;
	int ret;

	guard(mutex)(&dev->client.lock);
	if (vfmig_client_is_set(&dev->client))
		return -EBUSY;
	ret = vfmig_worker_open(&dev->worker);
	if (ret)
		return ret;

	guard(vfmig_virtio)(dev);
	vfmig_client_set(&dev->client, client, data);
	dev->type->opened(dev);
	vfmig_virtio_power_on(dev);
	vfmig_running_run(&dev->running);
	return 0;
}

static void vfmig_virtio_close(void *vf)
{
	struct vfmig_virtio *dev = vf;

	scoped_guard(mutex, &dev->client.lock) {
		guard(vfmig_virtio)(dev);
		vfmig_client_clear(&dev->client);
		freeze_locked(dev);
		dev->type->lost(dev, true);
		vfmig_virtio_power_on(dev);
		set_frozen(dev, true);
	}
	vfmig_worker_close(&dev->worker);
	vfmig_virtio_save_stop(dev);
	vfmig_virtio_load_abort(dev);
	vfmig_fn_log_stop(dev->fn);
}

static void vfmig_virtio_enter(void *vf)
{
	struct vfmig_virtio *dev = vf;

	vfmig_worker_enter(&dev->worker);
}

static int vfmig_virtio_identity(void *vf, struct vfmig_vf_identity *id)
{
	struct vfmig_virtio *dev = vf;

	dev->type->identity(dev, id);
	return 0;
}

static const char *vfmig_virtio_identity_check(void *vf, const struct vfmig_vf_identity *id)
{
	struct vfmig_virtio *dev = vf;

	return dev->type->identity_check(dev, id);
}

/* The whole state is final: there is nothing to read before the device is frozen */
static int vfmig_virtio_save_start(void *vf, bool precopy)
{
	struct vfmig_virtio *dev = vf;

	guard(vfmig_virtio)(dev);
	if (dev->save.data)
		return -EBUSY;
	return vfmig_blob_alloc(&dev->save, vfmig_virtio_state_size(dev));
}

/* A reset may have been faster */
static int vfmig_virtio_save_final(void *vf)
{
	struct vfmig_virtio *dev = vf;

	guard(vfmig_virtio)(dev);
	if (!dev->save.data || !vfmig_is_frozen(&dev->running))
		return -ECANCELED;
	vfmig_virtio_state_save(dev, dev->save.data);
	dev->save.length = vfmig_virtio_state_size(dev);
	return 0;
}

static int vfmig_virtio_state_pending(void *vf, struct vfmig_state_pending *pending)
{
	struct vfmig_virtio *dev = vf;

	guard(vfmig_virtio)(dev);
	*pending = (struct vfmig_state_pending) {
		.final = dev->save.length ? vfmig_blob_left(&dev->save) :
					    vfmig_virtio_state_size(dev),
	};
	return 0;
}

static ssize_t vfmig_virtio_state_read(void *vf, void *buf, size_t size,
				       enum vfmig_state_kind *kind)
{
	struct vfmig_virtio *dev = vf;

	guard(vfmig_virtio)(dev);
	*kind = VFMIG_STATE_FINAL;
	return vfmig_blob_take(&dev->save, buf, size);
}

/* A reset may have been faster */
static int vfmig_virtio_handed_over(void *vf)
{
	struct vfmig_virtio *dev = vf;

	guard(vfmig_virtio)(dev);
	if (!vfmig_is_frozen(&dev->running))
		return -ECANCELED;
	dev->type->given(dev);
	return 0;
}

static int vfmig_virtio_load_start(void *vf)
{
	struct vfmig_virtio *dev = vf;

	guard(mutex)(&dev->load_lock);
	if (dev->load.data)
		return -EBUSY;
	return vfmig_blob_alloc(&dev->load, vfmig_virtio_state_size(dev));
}

static int vfmig_virtio_load_state(void *vf, u32 version, const void *buf, size_t size,
				   const char **why)
{
	struct vfmig_virtio *dev = vf;
	int ret;

	guard(mutex)(&dev->load_lock);
	*why = "no load is on";
	if (!dev->load.data)
		return -EINVAL;
	*why = "version of the state";
	if (version < dev->type->state_oldest || version > dev->type->state_version)
		return -EINVAL;
	dev->load_version = version;
	ret = vfmig_blob_append(&dev->load, buf, size);
	*why = ret ? "length of the state" : NULL;
	return ret;
}

static int vfmig_virtio_load_commit(void *vf, const char **why)
{
	struct vfmig_virtio *dev = vf;

	guard(mutex)(&dev->load_lock);
	*why = "no load is on";
	if (!dev->load.data)
		return -EINVAL;

	scoped_guard(vfmig_virtio, dev) {
		*why = vfmig_is_frozen(&dev->running) ?
		       vfmig_virtio_state_refusal(dev, dev->load_version, dev->load.data,
						  dev->load.length) :
		       "the device was reset";
		if (*why)
			return -EINVAL;
		vfmig_virtio_state_apply(dev, dev->load.data);
	}
	vfmig_blob_free(&dev->load);
	return 0;
}

const struct vfmig_vf_ops vfmig_virtio_vf_ops = {
	.owner = THIS_MODULE,
	.migration_flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P |
			   VFIO_MIGRATION_PRE_COPY,
	.log = &vfmig_handle_log_ops,
	.find = vfmig_pf_find,
	.open = vfmig_virtio_open,
	.close = vfmig_virtio_close,
	.enter = vfmig_virtio_enter,
	.bar_read = vfmig_handle_bar_read,
	.bar_write = vfmig_handle_bar_write,
	.quiesce = vfmig_virtio_quiesce,
	.resume = vfmig_virtio_resume,
	.freeze = vfmig_virtio_freeze,
	.thaw = vfmig_virtio_thaw,
	.identity = vfmig_virtio_identity,
	.identity_check = vfmig_virtio_identity_check,
	.save_start = vfmig_virtio_save_start,
	.save_final = vfmig_virtio_save_final,
	.save_stop = vfmig_virtio_save_stop,
	.state_pending = vfmig_virtio_state_pending,
	.state_read = vfmig_virtio_state_read,
	.handed_over = vfmig_virtio_handed_over,
	.load_start = vfmig_virtio_load_start,
	.load_state = vfmig_virtio_load_state,
	.load_commit = vfmig_virtio_load_commit,
	.load_abort = vfmig_virtio_load_abort,
};
