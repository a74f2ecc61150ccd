// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the variant driver does with a controller (include/linux/vfmig.h): who
 * has it open, its running state, its memory, a load; and its reset.
 */
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "nvme.h"

#define VFMIG_NVME_MODEL_NAME		"nvme"
#define VFMIG_NVME_STATE_VERSION	3
/*
 * The oldest that is taken.  The identity of versions 1 and 2 has no digest, and what a guest
 * saw of those devices was something else: two LBA formats, or no limits of deallocation.
 */
#define VFMIG_NVME_STATE_OLDEST		3

/* Something is to be read where nothing was; with the lock held */
void vfmig_nvme_media_dirty(struct vfmig_memory *media)
{
	struct vfmig_nvme *ctrl = container_of(media, struct vfmig_nvme, media);

	if (ctrl->client)
		ctrl->client->mem_dirty(ctrl->client_data);
}

static void set_frozen(struct vfmig_nvme *ctrl, bool frozen)
{
	spin_lock(&ctrl->latch.lock);
	ctrl->latch.frozen = frozen;
	spin_unlock(&ctrl->latch.lock);
}

static void freeze_locked(struct vfmig_nvme *ctrl)
{
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
	set_frozen(ctrl, false);
}

static void vfmig_nvme_quiesce(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	vfmig_running_quiesce(&ctrl->running);
}

static void vfmig_nvme_freeze(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	freeze_locked(ctrl);
}

/* A migration that failed, or was called off */
static void go_on(struct vfmig_nvme *ctrl)
{
	if (vfmig_nvme_ident_keep(ctrl))
		ctrl->moved = false;
}

static void vfmig_nvme_thaw(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	thaw_locked(ctrl);
	go_on(ctrl);
}

static void vfmig_nvme_resume(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	thaw_locked(ctrl);
	go_on(ctrl);
	if (!vfmig_running_run(&ctrl->running))
		return;
	/* Doorbells of before and of the time in between say what the guest has consumed */
	vfmig_nvme_take_registers(ctrl);
	vfmig_nvme_raise_unconsumed(ctrl);
	vfmig_worker_kick(&ctrl->worker);
}

/*
 * From the fabric, any time.  A memory session and a load go on: who began them
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

	guard(mutex)(&ctrl->client_lock);
	if (ctrl->client)
		ctrl->client->reset(ctrl->client_data);
}

/* With what only the session needed */
static void vfmig_nvme_mem_stop(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_memory_track_stop(&ctrl->media);
	if (!READ_ONCE(ctrl->media.emptied))
		return;
	guard(vfmig_nvme)(ctrl);
	vfmig_memory_reap(&ctrl->media);
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

	guard(mutex)(&ctrl->client_lock);
	if (ctrl->client)
		return -EBUSY;
	ret = vfmig_worker_open(&ctrl->worker);
	if (ret)
		return ret;

	guard(vfmig_nvme)(ctrl);
	ctrl->client = client;
	ctrl->client_data = data;
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

	scoped_guard(mutex, &ctrl->client_lock) {
		guard(vfmig_nvme)(ctrl);
		ctrl->client = NULL;
		freeze_locked(ctrl);
		if (is_to_be_erased(ctrl))
			vfmig_memory_erase(&ctrl->media);
		vfmig_nvme_ident_close(ctrl);
	}
	vfmig_worker_close(&ctrl->worker);
	vfmig_memory_free_all_erased(&ctrl->media);
	vfmig_nvme_mem_stop(ctrl);
	vfmig_memory_load_abort(&ctrl->load);
	vfmig_fn_log_stop(ctrl->fn);
}

static void vfmig_nvme_enter(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_worker_enter(&ctrl->worker);
}

/* Through the fabric, which answers the PBA, and nothing while in reset */
static u64 vfmig_nvme_vf_bar_read(void *vf, unsigned int bar, u64 offset, unsigned int len)
{
	struct vfmig_nvme *ctrl = vf;

	return vfmig_fn_bar_read(ctrl->fn, bar, offset, len);
}

static void vfmig_nvme_vf_bar_write(void *vf, unsigned int bar, u64 offset, unsigned int len,
				    u64 val)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_fn_bar_write(ctrl->fn, bar, offset, len, val);
}

static void vfmig_nvme_get_identity(void *vf, struct vfmig_vf_identity *id)
{
	struct vfmig_nvme *ctrl = vf;
	struct vfmig_nvme_identity data = {
		.lba_shift = cpu_to_le16(ctrl->lba_shift),
		.queues = cpu_to_le16(READ_ONCE(ctrl->queues)),
		.vectors = cpu_to_le16(VFMIG_NVME_VECTORS),
		.digest = cpu_to_le32(ctrl->digest),
	};

	*id = (struct vfmig_vf_identity) {
		.model = VFMIG_NVME_MODEL_NAME,
		.model_version = VFMIG_NVME_STATE_VERSION,
		.memory_size = READ_ONCE(ctrl->media.size),
		.data_length = sizeof(data),
	};
	memcpy(id->data, &data, sizeof(data));
}

static bool version_known(u32 version)
{
	return version >= VFMIG_NVME_STATE_OLDEST && version <= VFMIG_NVME_STATE_VERSION;
}

/* With the load's lock held */
static const char *looks_different(struct vfmig_nvme *ctrl, u32 digest)
{
	scnprintf(ctrl->load_why, sizeof(ctrl->load_why),
		  "looks different to a guest: digest %#010x, not %#010x: made by another version",
		  digest, ctrl->digest);
	return ctrl->load_why;
}

static const char *vfmig_nvme_identity_check(void *vf, const struct vfmig_vf_identity *id)
{
	const struct vfmig_nvme_identity *data = (const void *)id->data;
	struct vfmig_nvme *ctrl = vf;

	if (!version_known(id->model_version))
		return "its device is of a version that is not known here";
	if (id->data_length != sizeof(*data) || data->reserved)
		return "its NVMe part makes no sense";
	if (id->memory_size != READ_ONCE(ctrl->media.size))
		return "its medium is of another size";
	if (le16_to_cpu(data->lba_shift) != ctrl->lba_shift)
		return "its LBA format is another";
	if (!data->queues || le16_to_cpu(data->queues) > ctrl->max_queues)
		return "it has more queues";
	if (le16_to_cpu(data->vectors) > VFMIG_NVME_VECTORS)
		return "it has more vectors";

	guard(mutex)(&ctrl->load.lock);
	if (le32_to_cpu(data->digest) != ctrl->digest)
		return looks_different(ctrl, le32_to_cpu(data->digest));
	vfmig_memory_load_expect(&ctrl->load, id->memory_size);
	return NULL;
}

static size_t vfmig_nvme_vf_state_size(void *vf)
{
	return vfmig_nvme_state_size(vf);
}

static size_t vfmig_nvme_vf_state_max(void *vf)
{
	return vfmig_nvme_state_max();
}

static ssize_t vfmig_nvme_vf_state_save(void *vf, void *buf, size_t size)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	return vfmig_nvme_state_save(ctrl, buf, size);
}

/* A reset may have been faster */
static void vfmig_nvme_handed_over(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	if (!vfmig_is_frozen(&ctrl->running))
		return;
	vfmig_nvme_ident_give(ctrl);
	ctrl->moved = true;
}

static void vfmig_nvme_mem_allocated(void *vf, struct vfmig_mem_count *count)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_memory_count(&ctrl->media, count);
}

static int vfmig_nvme_mem_start(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	return vfmig_memory_track_start(&ctrl->media);
}

static void vfmig_nvme_mem_pending(void *vf, struct vfmig_mem_pending *pending)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_memory_pending(&ctrl->media, pending);
}

static bool vfmig_nvme_mem_next(void *vf, u64 size, struct vfmig_mem_run *run)
{
	struct vfmig_nvme *ctrl = vf;

	return vfmig_memory_next(&ctrl->media, size, run);
}

static struct page *vfmig_nvme_mem_page(void *vf, u64 offset)
{
	struct vfmig_nvme *ctrl = vf;

	return vfmig_memory_get_page(&ctrl->media, offset);
}

static int vfmig_nvme_load_start(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	return vfmig_memory_load_start(&ctrl->load);
}

static int vfmig_nvme_load_page(void *vf, u64 offset, struct page *page)
{
	struct vfmig_nvme *ctrl = vf;

	return vfmig_memory_load_page(&ctrl->load, offset, page);
}

/* The worker frees what goes: it has nothing else to do */
static void vfmig_nvme_load_hole(void *vf, u64 offset, u64 length)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_memory_load_hole(&ctrl->load, offset, length);
	vfmig_worker_kick(&ctrl->worker);
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

static int resize(struct vfmig_nvme *ctrl, u64 size)
{
	int ret;

	guard(mutex)(&ctrl->load.lock);
	guard(vfmig_nvme)(ctrl);
	if (size == ctrl->media.size)
		return 0;
	if (medium_is_sent(ctrl))
		return -EBUSY;
	ret = vfmig_memory_load_resize(&ctrl->load, size);
	if (!ret)
		vfmig_nvme_ns_changed(ctrl);
	return ret;
}

/* -EBUSY where a stream is about to end that says what the medium is; -ENOMEM */
int vfmig_nvme_set_media_mb(void *vf, unsigned int mb)
{
	struct vfmig_nvme *ctrl = vf;
	int ret = resize(ctrl, (u64)mb * SZ_1M);

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

static int vfmig_nvme_load_commit(void *vf, u32 version, const void *buf, size_t size,
				  const char **why)
{
	struct vfmig_nvme *ctrl = vf;

	guard(mutex)(&ctrl->load.lock);
	*why = NULL;
	if (!vfmig_memory_load_is_on(&ctrl->load))
		*why = "no load is on";
	else if (!version_known(version))
		*why = "version of the state";
	else if (vfmig_memory_load_lost(&ctrl->load))
		*why = "the medium was smaller meanwhile, and lost data";
	if (*why)
		return -EINVAL;

	scoped_guard(vfmig_nvme, ctrl) {
		*why = vfmig_is_frozen(&ctrl->running) ?
		       vfmig_nvme_state_check(ctrl, buf, size) : "the device was reset";
		if (*why)
			return -EINVAL;
		vfmig_memory_load_commit(&ctrl->load);
		vfmig_nvme_state_apply(ctrl, buf);
		ctrl->moved = false;
	}
	return 0;
}

static void vfmig_nvme_load_abort(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_memory_load_abort(&ctrl->load);
}

/* The fabric keeps the log, in pages of 4 KiB: fine enough for who asks for larger ones */
static int vfmig_nvme_log_start(void *vf, const struct range *ranges, unsigned int count,
				u64 *page_size)
{
	struct vfmig_nvme *ctrl = vf;

	*page_size = PAGE_SIZE;
	return vfmig_fn_log_start(ctrl->fn, ranges, count);
}

static void vfmig_nvme_log_stop(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_fn_log_stop(ctrl->fn);
}

static int vfmig_nvme_log_report(void *vf, u64 iova, u64 length, struct iova_bitmap *dirty)
{
	struct vfmig_nvme *ctrl = vf;

	return vfmig_fn_log_report(ctrl->fn, iova, length, dirty);
}

const struct vfmig_vf_ops vfmig_nvme_vf_ops = {
	.owner = THIS_MODULE,
	.find = vfmig_pf_find,
	.open = vfmig_nvme_open,
	.close = vfmig_nvme_close,
	.enter = vfmig_nvme_enter,
	.bar_read = vfmig_nvme_vf_bar_read,
	.bar_write = vfmig_nvme_vf_bar_write,
	.quiesce = vfmig_nvme_quiesce,
	.resume = vfmig_nvme_resume,
	.freeze = vfmig_nvme_freeze,
	.thaw = vfmig_nvme_thaw,
	.identity = vfmig_nvme_get_identity,
	.identity_check = vfmig_nvme_identity_check,
	.state_size = vfmig_nvme_vf_state_size,
	.state_max = vfmig_nvme_vf_state_max,
	.state_save = vfmig_nvme_vf_state_save,
	.handed_over = vfmig_nvme_handed_over,
	.mem_allocated = vfmig_nvme_mem_allocated,
	.mem_start = vfmig_nvme_mem_start,
	.mem_stop = vfmig_nvme_mem_stop,
	.mem_pending = vfmig_nvme_mem_pending,
	.mem_next = vfmig_nvme_mem_next,
	.mem_page = vfmig_nvme_mem_page,
	.load_start = vfmig_nvme_load_start,
	.load_page = vfmig_nvme_load_page,
	.load_hole = vfmig_nvme_load_hole,
	.load_commit = vfmig_nvme_load_commit,
	.load_abort = vfmig_nvme_load_abort,
	.log_start = vfmig_nvme_log_start,
	.log_stop = vfmig_nvme_log_stop,
	.log_report = vfmig_nvme_log_report,
};
