// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many bytes of a VF's stream are left to be read: what VFIO_MIG_GET_PRECOPY_INFO and
 * VFIO_DEVICE_FEATURE_MIG_DATA_SIZE say.
 */
#include <linux/cleanup.h>
#include <linux/minmax.h>
#include <linux/vfio.h>

#include "compat.h"
#include "device.h"
#include "profile.h"
#include "save.h"
#include "save_priv.h"
#include "stream.h"

/* Bytes of the identity record that is due since the VF's memory was resized, or 0 */
size_t vfmig_save_identity_due(const struct vfmig_save *save,
			       const struct vfmig_mem_pending *pending)
{
	return pending->memory_size == save->memory_size ? 0 : save->identity_bytes;
}

/* Of a device without memory nothing is pending, ever */
int vfmig_save_mem_pending(const struct vfmig_save *save, struct vfmig_mem_pending *pending)
{
	struct vfmig_device *vfdev = save->vfdev;

	*pending = (struct vfmig_mem_pending) { .memory_size = save->memory_size };
	return vfdev->ops->mem ? vfdev->ops->mem->pending(vfdev->vf, pending) : 0;
}

static void vfmig_add_unread(struct vfmig_unread *unread, enum vfmig_save_kind kind, u64 bytes)
{
	switch (kind) {
	case VFMIG_SAVE_INITIAL:
		unread->initial += bytes;
		break;
	case VFMIG_SAVE_REINIT:
		unread->reinit += bytes;
		break;
	case VFMIG_SAVE_DIRTY:
		unread->dirty += bytes;
		break;
	case VFMIG_SAVE_TRAILER:
		unread->trailer += bytes;
		break;
	}
}

/* Adds what is left of the record under way, and the run that is due */
static void vfmig_add_records(const struct vfmig_save *save, struct vfmig_unread *unread)
{
	const struct vfmig_mem_run *run = &save->run;

	vfmig_add_unread(unread, save->kind, vfmig_save_record_unread(save));
	if (save->run_due)
		vfmig_add_unread(unread, vfmig_save_run_kind(run),
				 VFMIG_MEMORY_OVERHEAD + run->length);
}

/* All of it comes only when the VF is stopped */
static void vfmig_postpone(struct vfmig_unread *unread)
{
	unread->trailer += unread->initial + unread->reinit + unread->dirty;
	unread->initial = 0;
	unread->reinit = 0;
	unread->dirty = 0;
}

static int vfmig_save_count_unread(struct vfmig_save *save, struct vfmig_unread *unread)
{
	struct vfmig_device *vfdev = save->vfdev;
	struct vfmig_state_pending state = {};
	struct vfmig_mem_pending pending;
	int ret;

	*unread = (struct vfmig_unread) {};
	ret = vfmig_save_mem_pending(save, &pending) ?:
	      vfdev->ops->state_pending(vfdev->vf, &state);
	if (ret)
		return ret;
	unread->initial = vfmig_count_bytes(&pending.initial) + vfmig_state_bytes(state.initial);
	unread->reinit = vfmig_count_bytes(&pending.reinit) + vfmig_state_bytes(state.reinit) +
			 vfmig_save_identity_due(save, &pending);
	unread->dirty = vfmig_count_bytes(&pending.dirty) + vfmig_state_bytes(state.dirty);
	if (!save->ended)
		unread->trailer = vfmig_state_bytes(state.final) + VFMIG_END_BYTES;
	unread->reinits = pending.reinits + state.reinits;
	if (save->profile->identity_only && !save->stop_copy)
		vfmig_postpone(unread);
	vfmig_add_records(save, unread);
	return 0;
}

/* Does a VF with this profile not give now what is pending?  No record is under way. */
bool vfmig_save_withholds(struct vfmig_save *save)
{
	struct vfmig_unread unread;

	if (save->profile->identity_only)
		return true;
	if (!save->profile->on_request || save->pos < save->announced)
		return false;
	return !vfmig_save_count_unread(save, &unread) && !unread.initial;
}

/* Can anything be read of a VF that runs?  What VFIO_MIG_GET_PRECOPY_INFO would say. */
int vfmig_save_is_drained(struct vfmig_save *save)
{
	struct vfmig_unread unread;
	int ret;

	if (!vfmig_save_record_unread(save) && vfmig_save_withholds(save))
		return 1;
	ret = vfmig_save_count_unread(save, &unread);
	return ret ?: !(unread.initial + unread.reinit + unread.dirty);
}

/* Bytes that a reader has got, and would still get if the VF were stopped now */
int vfmig_save_progress(struct vfmig_save *save, u64 *done, u64 *left)
{
	struct vfmig_unread unread;
	int ret;

	guard(mutex)(&save->lock);
	ret = vfmig_save_count_unread(save, &unread);
	*done = save->bytes - vfmig_save_record_unread(save);
	*left = unread.initial + unread.reinit + unread.dirty + unread.trailer;
	return ret;
}

/* The latter alone */
int vfmig_save_unread(struct vfmig_save *save, u64 *bytes)
{
	u64 done;

	return vfmig_save_progress(save, &done, bytes);
}

/* The same for a VF that no save is on for */
int vfmig_save_estimate(struct vfmig_device *vfdev, u64 *bytes)
{
	struct vfmig_state_pending state = {};
	struct vfmig_vf_identity id = {};
	struct vfmig_mem_count count = {};
	int ret;

	ret = vfdev->ops->identity(vfdev->vf, &id) ?:
	      vfdev->ops->state_pending(vfdev->vf, &state);
	if (!ret && vfdev->ops->mem)
		ret = vfdev->ops->mem->allocated(vfdev->vf, &count);
	if (ret)
		return ret;
	*bytes = vfmig_identity_bytes(&id) + vfmig_count_bytes(&count) +
		 vfmig_state_bytes(state.final) + VFMIG_END_BYTES;
	return 0;
}

/* The size of the whole stream, whatever was read of it; @bytes is what an estimate says now */
void vfmig_save_whole(struct vfmig_save *save, u64 *bytes)
{
	guard(mutex)(&save->lock);
	save->whole = max(save->whole, *bytes);
	*bytes = save->whole;
}

/*
 * For a user that knows of REINIT: once for what appeared since the last time, if it was not
 * read already
 */
static void vfmig_report_reinit(struct vfmig_save *save, struct vfmig_unread *unread,
				struct vfio_precopy_info *info)
{
	info->flags = 0;
	if (unread->reinits == save->reinits)
		return;
	save->reinits = unread->reinits;
	if (!unread->reinit)
		return;
	info->flags = VFIO_PRECOPY_INFO_REINIT;
	/* What is left of this record comes before the new initial data */
	if (save->kind == VFMIG_SAVE_DIRTY) {
		save->kind = VFMIG_SAVE_REINIT;
		unread->dirty -= vfmig_save_record_unread(save);
		unread->reinit += vfmig_save_record_unread(save);
	}
}

int vfmig_save_precopy_info(struct vfmig_save *save, struct vfio_precopy_info *info)
{
	struct vfmig_device *vfdev;
	struct vfmig_unread unread;
	bool v2;
	int ret;

	guard(mutex)(&save->lock);
	vfdev = save->vfdev;
	if (!vfdev || save->stop_copy)
		return -EINVAL;

	ret = vfmig_save_count_unread(save, &unread);
	if (ret)
		return ret;
	v2 = vfmig_compat_precopy_info_v2(&vfdev->core.vdev);
	if (v2)
		vfmig_report_reinit(save, &unread, info);
	info->initial_bytes = unread.initial + (v2 ? unread.reinit : 0);
	info->dirty_bytes = unread.dirty + (v2 ? 0 : unread.reinit);
	if (save->profile->on_request && info->initial_bytes)
		info->dirty_bytes = 0;
	save->announced = save->pos + info->initial_bytes + info->dirty_bytes;
	if (vfmig_fault_armed(vfdev->faults, VFMIG_FAULT_PRECOPY))
		return vfmig_fault_meet_info(&save->fault, info, v2);
	return 0;
}
