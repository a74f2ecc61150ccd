// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the variant driver does with a controller (include/linux/vfmig.h): who
 * has it open, its running state, its registers, its log; and its reset.  What moves it is
 * in migration.c.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/vfio.h>

#include "../model/handle.h"
#include "nvme.h"

VFMIG_HANDLE_BEGINS_WITH_FN(struct vfmig_nvme);

/* Something is to be read where nothing was; with the lock held */
void vfmig_nvme_media_dirty(struct vfmig_memory *media)
{
	struct vfmig_nvme *ctrl = container_of(media, struct vfmig_nvme, media);

	vfmig_client_data_ready(&ctrl->client);
}

static void set_frozen(struct vfmig_nvme *ctrl, bool frozen)
{
	spin_lock(&ctrl->latch.lock);
	/* What is stored before belongs to the state.  What is stored meanwhile counts nowhere. */
	if (frozen) {
		vfmig_nvme_take_stores(ctrl);
	} else {
		vfmig_nvme_drop_bells(ctrl);
		vfmig_nvme_drop_regs(ctrl);
	}
	ctrl->latch.frozen = frozen;
	spin_unlock(&ctrl->latch.lock);
}

/* It holds no interrupt back beyond this: what it would do later is not part of its state */
static void settle_irqs(struct vfmig_nvme *ctrl)
{
	if (!vfmig_is_running(&ctrl->running))
		return;
	vfmig_nvme_release_irqs(ctrl, U64_MAX);
	vfmig_nvme_flush_irqs(ctrl);
}

static void freeze_locked(struct vfmig_nvme *ctrl)
{
	settle_irqs(ctrl);
	if (vfmig_running_freeze(&ctrl->running))
		set_frozen(ctrl, true);
}

static void thaw_locked(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_req *req;
	u64 paused;

	if (!vfmig_running_thaw(&ctrl->running, &paused))
		return;
	/* Time stood still for what was under way */
	list_for_each_entry(req, &ctrl->waiting, entry)
		req->due += paused;
	vfmig_nvme_shift_arrivals(ctrl, paused);
	set_frozen(ctrl, false);
}

static int vfmig_nvme_quiesce(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	settle_irqs(ctrl);
	vfmig_running_quiesce(&ctrl->running);
	return 0;
}

static int vfmig_nvme_freeze(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	freeze_locked(ctrl);
	return 0;
}

/* A migration that failed, or was called off */
static void go_on(struct vfmig_nvme *ctrl)
{
	if (vfmig_nvme_ident_keep(ctrl))
		ctrl->moved = false;
}

static int vfmig_nvme_thaw(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	thaw_locked(ctrl);
	go_on(ctrl);
	return 0;
}

static int vfmig_nvme_resume(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	thaw_locked(ctrl);
	go_on(ctrl);
	if (!vfmig_running_run(&ctrl->running))
		return 0;
	vfmig_nvme_ident_run(ctrl);
	vfmig_nvme_shadow_wake(ctrl);
	/* Doorbells of before and of the time in between say what the guest has consumed */
	vfmig_nvme_take_registers(ctrl);
	vfmig_nvme_raise_unconsumed(ctrl);
	vfmig_worker_kick(&ctrl->worker);
	return 0;
}

/*
 * From the fabric, any time.  A save and a load go on: who began them
 * hears of the reset and ends them.
 */
void vfmig_nvme_reset(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	scoped_guard(vfmig_nvme, ctrl) {
		vfmig_nvme_power_on(ctrl);
		vfmig_nvme_ident_reset(ctrl);
		/* The fabric may have let interrupts out before a quiesce() held them again */
		vfmig_running_run(&ctrl->running);
	}
	/* It may have gone to sleep with its pages mapped, as the VF did not run */
	vfmig_worker_kick(&ctrl->worker);
	vfmig_client_reset(&ctrl->client);
}

/* The VF is closed: may anybody want its data? */
static bool is_to_be_erased(const struct vfmig_nvme *ctrl)
{
	unsigned int when = READ_ONCE(ctrl->erase_on_close);

	return when == VFMIG_ERASE_CLOSE || (when == VFMIG_ERASE_MOVED && ctrl->moved);
}

static int vfmig_nvme_open(void *vf, const struct vfmig_vf_client *client, void *data)
{
	struct vfmig_nvme *ctrl = vf;
	int ret;

	guard(mutex)(&ctrl->client.lock);
	if (vfmig_client_is_set(&ctrl->client))
		return -EBUSY;
	ret = vfmig_nvme_map_open(ctrl);
	if (!ret)
		ret = vfmig_worker_open(&ctrl->worker);
	if (ret)
		return ret;

	guard(vfmig_nvme)(ctrl);
	vfmig_client_set(&ctrl->client, client, data);
	vfmig_nvme_ident_open(ctrl);
	/* The guest that was here before may have come from a VF with less */
	WRITE_ONCE(ctrl->queues, ctrl->max_queues);
	if (!vfmig_is_running(&ctrl->running)) {
		vfmig_nvme_power_on(ctrl);
		vfmig_running_run(&ctrl->running);
	}
	return 0;
}

static void vfmig_nvme_close(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	scoped_guard(mutex, &ctrl->client.lock) {
		guard(vfmig_nvme)(ctrl);
		vfmig_client_clear(&ctrl->client);
		freeze_locked(ctrl);
		if (is_to_be_erased(ctrl))
			vfmig_memory_erase(&ctrl->media);
		vfmig_nvme_ident_close(ctrl);
	}
	vfmig_worker_close(&ctrl->worker);
	/* They are charged to whoever had the VF open */
	scoped_guard(vfmig_nvme, ctrl)
		vfmig_spares_free(&ctrl->media.spares);
	cancel_delayed_work_sync(&ctrl->load_again);
	vfmig_memory_free_all_erased(&ctrl->media);
	vfmig_nvme_save_stop(ctrl);
	vfmig_nvme_load_abort(ctrl);
	vfmig_fn_log_stop(ctrl->fn);
}

static void vfmig_nvme_enter(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_worker_enter(&ctrl->worker);
}

unsigned int vfmig_nvme_get_media_mb(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	return READ_ONCE(ctrl->media.size) / SZ_1M;
}

/* A stream is about to end that says what the medium is, and what is on it */
static bool medium_is_sent(const struct vfmig_nvme *ctrl)
{
	return vfmig_is_frozen(&ctrl->running) && READ_ONCE(ctrl->media.tracking);
}

static int resize(struct vfmig_nvme *ctrl, u64 size, struct vfmig_memory_tables *tables)
{
	guard(mutex)(&ctrl->load.lock);
	guard(vfmig_nvme)(ctrl);
	if (size == ctrl->media.size)
		return 0;
	if (medium_is_sent(ctrl))
		return -EBUSY;
	vfmig_memory_load_resize(&ctrl->load, size, tables);
	vfmig_nvme_ns_changed(ctrl);
	return 0;
}

/* -EBUSY where a stream is about to end that says what the medium is; -ENOMEM */
int vfmig_nvme_set_media_mb(void *vf, unsigned int mb)
{
	struct vfmig_nvme *ctrl = vf;
	struct vfmig_memory_tables tables;
	u64 size = (u64)mb * SZ_1M;
	int ret;

	ret = vfmig_memory_load_new_tables(&tables, size);
	if (ret)
		return ret;
	ret = resize(ctrl, size, &tables);
	vfmig_memory_load_free_tables(&tables);
	vfmig_memory_free_all_erased(&ctrl->media);
	return ret;
}

/* -EBUSY where a stream is about to end that says what is on the medium */
int vfmig_nvme_erase(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	scoped_guard(vfmig_nvme, ctrl) {
		if (medium_is_sent(ctrl))
			return -EBUSY;
		vfmig_memory_erase(&ctrl->media);
	}
	vfmig_memory_free_all_erased(&ctrl->media);
	return 0;
}

const struct vfmig_vf_ops vfmig_nvme_vf_ops = {
	.owner = THIS_MODULE,
	.migration_flags = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY,
	.mem = &vfmig_nvme_mem_ops,
	.log = &vfmig_handle_log_ops,
	.find = vfmig_pf_find,
	.open = vfmig_nvme_open,
	.close = vfmig_nvme_close,
	.enter = vfmig_nvme_enter,
	.bar_read = vfmig_handle_bar_read,
	.bar_write = vfmig_handle_bar_write,
	.map_area = vfmig_nvme_map_area,
	.map = vfmig_nvme_map_page,
	.quiesce = vfmig_nvme_quiesce,
	.resume = vfmig_nvme_resume,
	.freeze = vfmig_nvme_freeze,
	.thaw = vfmig_nvme_thaw,
	.identity = vfmig_nvme_identity,
	.identity_check = vfmig_nvme_identity_check,
	.save_start = vfmig_nvme_save_start,
	.save_final = vfmig_nvme_save_final,
	.save_stop = vfmig_nvme_save_stop,
	.state_pending = vfmig_nvme_state_pending,
	.state_read = vfmig_nvme_state_read,
	.handed_over = vfmig_nvme_handed_over,
	.load_start = vfmig_nvme_load_start,
	.load_state = vfmig_nvme_load_state,
	.load_commit = vfmig_nvme_load_commit,
	.load_abort = vfmig_nvme_load_abort,
};
