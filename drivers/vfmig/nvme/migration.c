// SPDX-License-Identifier: GPL-2.0-only
/*
 * What moves a controller: who it is, a save, and a load (include/linux/vfmig.h).  The bytes
 * of its state are in state.c, its medium is in ../memory/.
 */
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "nvme.h"

#define VFMIG_NVME_MODEL_NAME		"nvme"

/* Each version has a look */
static_assert(VFMIG_NVME_STATE_VERSION - VFMIG_NVME_STATE_OLDEST == VFMIG_NVME_LOOKS - 1);
static_assert(VFMIG_NVME_SHADOW_VERSION - VFMIG_NVME_STATE_OLDEST == VFMIG_NVME_LOOK_SHADOW);

int vfmig_nvme_identity(void *vf, struct vfmig_vf_identity *id)
{
	struct vfmig_nvme *ctrl = vf;
	enum vfmig_nvme_look look = READ_ONCE(ctrl->look);
	struct vfmig_nvme_identity data = {
		.lba_shift = cpu_to_le16(ctrl->lba_shift),
		.queues = cpu_to_le16(READ_ONCE(ctrl->queues)),
		.vectors = cpu_to_le16(VFMIG_NVME_VECTORS),
		.digest = cpu_to_le32(ctrl->digests[look]),
	};

	*id = (struct vfmig_vf_identity) {
		.model = VFMIG_NVME_MODEL_NAME,
		/* A host that made a stream of this look can take one */
		.model_version = VFMIG_NVME_STATE_OLDEST + look,
		.memory_size = READ_ONCE(ctrl->media.size),
		.data_length = sizeof(data),
	};
	memcpy(id->data, &data, sizeof(data));
	return 0;
}

static bool version_known(u32 version)
{
	return version >= VFMIG_NVME_STATE_OLDEST && version <= VFMIG_NVME_STATE_VERSION;
}

/* The VF will look as its source did.  With the load's lock held; NULL or why it can't. */
static const char *take_look(struct vfmig_nvme *ctrl, u32 version, u32 digest)
{
	enum vfmig_nvme_look look = array_index_nospec(version - VFMIG_NVME_STATE_OLDEST,
						       VFMIG_NVME_LOOKS);

	if (digest == ctrl->digests[look]) {
		ctrl->load_look = look;
		return NULL;
	}
	scnprintf(ctrl->load_why, sizeof(ctrl->load_why),
		  "looks different to a guest: digest %#010x, not %#010x: made by another version",
		  digest, ctrl->digests[look]);
	return ctrl->load_why;
}

const char *vfmig_nvme_identity_check(void *vf, const struct vfmig_vf_identity *id)
{
	const struct vfmig_nvme_identity *data = (const void *)id->data;
	struct vfmig_nvme *ctrl = vf;
	const char *why;

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
	why = take_look(ctrl, id->model_version, le32_to_cpu(data->digest));
	if (!why)
		vfmig_memory_load_expect(&ctrl->load, id->memory_size);
	return why;
}

int vfmig_nvme_save_start(void *vf, bool precopy)
{
	struct vfmig_nvme *ctrl = vf;
	int ret;

	guard(mutex)(&ctrl->save_lock);
	if (ctrl->saved.data)
		return -EBUSY;
	ret = vfmig_blob_alloc(&ctrl->saved, VFMIG_NVME_STATE_MAX);
	if (ret)
		return ret;

	guard(vfmig_nvme)(ctrl);
	ret = vfmig_memory_track_start(&ctrl->media);
	if (ret)
		vfmig_blob_free(&ctrl->saved);
	return ret;
}

/* All of the state at once, so that a reset has no part in it */
int vfmig_nvme_save_final(void *vf)
{
	struct vfmig_nvme *ctrl = vf;
	ssize_t len;

	guard(mutex)(&ctrl->save_lock);
	guard(vfmig_nvme)(ctrl);
	if (!vfmig_is_frozen(&ctrl->running))
		return -ECANCELED;
	len = vfmig_nvme_state_save(ctrl, ctrl->saved.data, ctrl->saved.room);
	if (len < 0)
		return len;
	ctrl->saved.length = len;
	return 0;
}

/* In pieces, as the guest may run, and its commands wait for the lock */
static void reap(struct vfmig_nvme *ctrl)
{
	u64 index = 0;
	bool more;

	do {
		scoped_guard(vfmig_nvme, ctrl)
			more = vfmig_memory_reap(&ctrl->media, &index);
		cond_resched();
	} while (more);
}

/* With what only the session needed */
int vfmig_nvme_save_stop(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	scoped_guard(mutex, &ctrl->save_lock) {
		vfmig_blob_free(&ctrl->saved);
		vfmig_memory_track_stop(&ctrl->media);
	}
	if (READ_ONCE(ctrl->media.emptied))
		reap(ctrl);
	return 0;
}

int vfmig_nvme_state_pending(void *vf, struct vfmig_state_pending *pending)
{
	struct vfmig_nvme *ctrl = vf;

	guard(mutex)(&ctrl->save_lock);
	*pending = (struct vfmig_state_pending) {
		.final = ctrl->saved.length ? vfmig_blob_left(&ctrl->saved) :
					      vfmig_nvme_state_size(ctrl),
	};
	return 0;
}

ssize_t vfmig_nvme_state_read(void *vf, void *buf, size_t size, enum vfmig_state_kind *kind)
{
	struct vfmig_nvme *ctrl = vf;

	guard(mutex)(&ctrl->save_lock);
	*kind = VFMIG_STATE_FINAL;
	return vfmig_blob_take(&ctrl->saved, buf, size);
}

/* A reset may have been faster */
int vfmig_nvme_handed_over(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	guard(vfmig_nvme)(ctrl);
	if (!vfmig_is_frozen(&ctrl->running))
		return -ECANCELED;
	vfmig_nvme_ident_give(ctrl);
	ctrl->moved = true;
	return 0;
}

static int vfmig_nvme_mem_allocated(void *vf, struct vfmig_mem_count *count)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_memory_count(&ctrl->media, count);
	return 0;
}

static int vfmig_nvme_mem_pending(void *vf, struct vfmig_mem_pending *pending)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_memory_pending(&ctrl->media, pending);
	return 0;
}

static int vfmig_nvme_mem_next(void *vf, u64 size, struct vfmig_mem_run *run)
{
	struct vfmig_nvme *ctrl = vf;

	return vfmig_memory_next(&ctrl->media, size, run);
}

static struct page *vfmig_nvme_mem_page(void *vf, u64 offset)
{
	struct vfmig_nvme *ctrl = vf;

	return vfmig_memory_get_page(&ctrl->media, offset);
}

#define VFMIG_NVME_LOAD_DELAY	msecs_to_jiffies(VFMIG_NVME_TRY_NS / NSEC_PER_MSEC)

static void load_get_memory(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_memory_load_get_memory(&ctrl->load);
}

/*
 * Get memory for the load that found none, here where nobody waits for it: the writer has locks,
 * and the worker may be stopped with its process.  Then the load goes on.
 */
static void load_again(struct work_struct *work)
{
	struct vfmig_nvme *ctrl = container_of(work, struct vfmig_nvme, load_again.work);

	vfmig_worker_charge(&ctrl->worker, load_get_memory, ctrl);
	guard(mutex)(&ctrl->client.lock);
	vfmig_client_data_ready(&ctrl->client);
}

void vfmig_nvme_load_init(struct vfmig_nvme *ctrl)
{
	vfmig_memory_load_init(&ctrl->load, &ctrl->media);
	INIT_DELAYED_WORK(&ctrl->load_again, load_again);
}

/* A shortage that may pass, as memory is on its way back, ends a load as late as a write */
static int try_later(struct vfmig_nvme *ctrl, int ret)
{
	if (ret != -ENOMEM) {
		ctrl->load_tries = 0;
		return ret;
	}
	if (ctrl->load_tries == VFMIG_NVME_TRIES)
		return ret;
	/* A writer that does not wait may come back before */
	if (queue_delayed_work(system_long_wq, &ctrl->load_again,
			       ctrl->load_tries ? VFMIG_NVME_LOAD_DELAY : 0))
		ctrl->load_tries++;
	return -EAGAIN;
}

static int vfmig_nvme_load_page(void *vf, u64 offset, struct page *page)
{
	struct vfmig_nvme *ctrl = vf;

	return try_later(ctrl, vfmig_memory_load_page(&ctrl->load, offset, page));
}

/* The worker frees what goes: it has nothing else to do */
static int vfmig_nvme_load_hole(void *vf, u64 offset, u64 length)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_memory_load_hole(&ctrl->load, offset, length);
	vfmig_worker_kick(&ctrl->worker);
	return 0;
}

const struct vfmig_mem_ops vfmig_nvme_mem_ops = {
	.allocated = vfmig_nvme_mem_allocated,
	.pending = vfmig_nvme_mem_pending,
	.next = vfmig_nvme_mem_next,
	.page = vfmig_nvme_mem_page,
	.load_page = vfmig_nvme_load_page,
	.load_hole = vfmig_nvme_load_hole,
};

int vfmig_nvme_load_start(void *vf)
{
	struct vfmig_nvme *ctrl = vf;
	int ret;

	ret = vfmig_memory_load_start(&ctrl->load);
	if (ret)
		return ret;
	ctrl->load_tries = 0;
	scoped_guard(mutex, &ctrl->load.lock)
		ret = vfmig_blob_alloc(&ctrl->loaded, VFMIG_NVME_STATE_MAX);
	if (ret)
		vfmig_memory_load_abort(&ctrl->load);
	return ret;
}

int vfmig_nvme_load_state(void *vf, u32 version, const void *buf, size_t size, const char **why)
{
	struct vfmig_nvme *ctrl = vf;

	guard(mutex)(&ctrl->load.lock);
	*why = NULL;
	if (!ctrl->loaded.data)
		*why = "no load is on";
	else if (!version_known(version))
		*why = "version of the state";
	else if (vfmig_blob_append(&ctrl->loaded, buf, size))
		*why = "too long";
	return *why ? -EINVAL : 0;
}

/* With the locks of the load and of the controller held.  NULL, or what is wrong. */
static const char *check_loaded(const struct vfmig_nvme *ctrl)
{
	const struct vfmig_nvme_limits limits = {
		.media_size = ctrl->media.size,
		.queues = ctrl->max_queues,
		.shadow = ctrl->load_look >= VFMIG_NVME_LOOK_SHADOW,
	};
	size_t where;

	if (!vfmig_is_frozen(&ctrl->running))
		return "the device was reset";
	return vfmig_nvme_state_check(ctrl->loaded.data, ctrl->loaded.length, &limits, &where);
}

int vfmig_nvme_load_commit(void *vf, const char **why)
{
	struct vfmig_nvme *ctrl = vf;
	struct vfmig_blob *state = &ctrl->loaded;

	guard(mutex)(&ctrl->load.lock);
	*why = NULL;
	if (!vfmig_memory_load_is_on(&ctrl->load))
		*why = "no load is on";
	else if (vfmig_memory_load_lost(&ctrl->load))
		*why = "the medium was smaller meanwhile, and lost data";
	if (*why)
		return -EINVAL;

	scoped_guard(vfmig_nvme, ctrl) {
		*why = check_loaded(ctrl);
		if (*why)
			return -EINVAL;
		vfmig_memory_load_commit(&ctrl->load);
		vfmig_nvme_state_apply(ctrl, state->data);
		WRITE_ONCE(ctrl->look, ctrl->load_look);
		ctrl->moved = false;
	}
	vfmig_blob_free(state);
	return 0;
}

void vfmig_nvme_load_abort(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_memory_load_abort(&ctrl->load);
	guard(mutex)(&ctrl->load.lock);
	vfmig_blob_free(&ctrl->loaded);
}
