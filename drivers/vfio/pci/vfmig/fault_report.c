// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of what a VF reports of itself: how much data there is, and which pages it wrote.
 */
#include <linux/jhash.h>
#include <linux/kernel.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/overflow.h>
#include <linux/sizes.h>

#include "compat.h"
#include "fault_list.h"

/* Neither field falls in a session */
static void vfmig_fault_stick(struct vfmig_fault *fault, u64 session,
			      struct vfio_precopy_info *info)
{
	if (fault->met_in != session) {
		fault->met_in = session;
		fault->initial = 0;
		fault->dirty = 0;
	}
	fault->initial = max(fault->initial, info->initial_bytes);
	fault->dirty = max(fault->dirty, info->dirty_bytes);
	info->initial_bytes = fault->initial;
	info->dirty_bytes = fault->dirty;
}

static void vfmig_fault_change_info(struct vfmig_fault *fault, u64 session,
				    struct vfio_precopy_info *info)
{
	switch (fault->action) {
	case VFMIG_FAULT_INITIAL:
		info->initial_bytes = fault->value;
		break;
	case VFMIG_FAULT_DIRTY:
		info->dirty_bytes = fault->value;
		break;
	case VFMIG_FAULT_STUCK:
		vfmig_fault_stick(fault, session, info);
		break;
	case VFMIG_FAULT_JUMP:
		info->dirty_bytes = size_add(info->dirty_bytes, fault->value);
		break;
	case VFMIG_FAULT_GROW:
		info->dirty_bytes = size_add(info->dirty_bytes,
					     size_mul(fault->done, fault->value));
		break;
	case VFMIG_FAULT_REINIT:
		info->flags |= VFIO_PRECOPY_INFO_REINIT;
		info->initial_bytes = size_add(info->initial_bytes, info->dirty_bytes);
		info->dirty_bytes = 0;
		break;
	default:
		break;
	}
}

/* The answer to VFIO_MIG_GET_PRECOPY_INFO.  @v2: the user knows of REINIT. */
int vfmig_fault_meet_info(struct vfmig_fault_fd *fd, struct vfio_precopy_info *info, bool v2)
{
	struct vfmig_fault *fault;
	int ret = 0;

	spin_lock(&fd->faults->lock);
	list_for_each_entry(fault, &fd->faults->list, node) {
		if (ret || fault->point != VFMIG_FAULT_PRECOPY ||
		    (fault->action == VFMIG_FAULT_REINIT && !v2) ||
		    !vfmig_fault_happens(fd->faults, fault))
			continue;
		if (fault->action == VFMIG_FAULT_ERRNO)
			ret = -(int)fault->value;
		vfmig_fault_change_info(fault, fd->session, info);
	}
	spin_unlock(&fd->faults->lock);
	return ret;
}

/* The answer to VFIO_DEVICE_FEATURE_MIG_DATA_SIZE */
int vfmig_fault_meet_size(struct vfmig_faults *faults, unsigned long *size)
{
	struct vfmig_fault *fault;
	int ret = 0;

	spin_lock(&faults->lock);
	list_for_each_entry(fault, &faults->list, node) {
		if (ret || fault->point != VFMIG_FAULT_SIZE || !vfmig_fault_happens(faults, fault))
			continue;
		if (fault->action == VFMIG_FAULT_ERRNO)
			ret = -(int)fault->value;
		else if (fault->action == VFMIG_FAULT_SET)
			*size = fault->value;
		else if (fault->action == VFMIG_FAULT_MULTIPLY)
			*size = size_mul(*size, fault->value);
		else
			*size /= fault->value;
	}
	spin_unlock(&faults->lock);
	return ret;
}

/* DMA logging is about to start, or, with @log, to report */
int vfmig_fault_meet_log(struct vfmig_faults *faults, enum vfmig_fault_point point,
			 struct vfmig_fault_log *log)
{
	struct vfmig_fault *fault;
	int ret = 0;

	spin_lock(&faults->lock);
	list_for_each_entry(fault, &faults->list, node) {
		if (ret || fault->point != point || !vfmig_fault_happens(faults, fault))
			continue;
		if (fault->action == VFMIG_FAULT_ERRNO) {
			ret = -(int)fault->value;
		} else if (fault->action == VFMIG_FAULT_ALL) {
			log->all = true;
		} else {
			log->forget = fault->value;
			log->seed = fault->seed;
		}
	}
	spin_unlock(&faults->lock);
	return ret;
}

/* Is the page at @iova one of those that are never reported?  Depends on nothing else. */
bool vfmig_fault_forgets(const struct vfmig_fault_log *log, u64 iova)
{
	u64 page = iova / SZ_4K;
	u32 hash = jhash_3words(lower_32_bits(page), upper_32_bits(page), lower_32_bits(log->seed),
				upper_32_bits(log->seed));

	return reciprocal_scale(hash, 100) < log->forget;
}
