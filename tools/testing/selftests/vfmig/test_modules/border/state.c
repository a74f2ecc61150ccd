// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of a VF: bytes that follow from their place.  So a destination can tell whether
 * they came complete and in order, and nobody has to keep them.
 */
#include <linux/minmax.h>

#include "border.h"

static u8 byte_at(u64 pos)
{
	return (pos * 0x9e3779b97f4a7c15ULL) >> 56;
}

static void border_state_fill(u64 pos, u8 *buf, size_t len)
{
	while (len--)
		*buf++ = byte_at(pos++);
}

static bool border_state_is(u64 pos, const u8 *buf, size_t len)
{
	while (len--)
		if (*buf++ != byte_at(pos++))
			return false;
	return true;
}

/* With the lock held, as the next one */
void border_state_begin(struct border_vf *vf, bool precopy)
{
	vf->pos = 0;
	vf->final = false;
	vf->left = (struct vfmig_state_pending) {
		.initial = precopy ? vf->early : 0,
		.final = vf->size - (precopy ? vf->early : 0),
	};
}

int border_state_pending(void *data, struct vfmig_state_pending *pending)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_state_pending);

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	if (vf->saving) {
		*pending = vf->left;
		pending->dirty += vf->claim;
	} else {
		*pending = (struct vfmig_state_pending) { .final = vf->size };
	}
	return 0;
}

static u64 *next_kind(struct border_vf *vf, enum vfmig_state_kind *kind)
{
	if (vf->left.initial) {
		*kind = VFMIG_STATE_INITIAL;
		return &vf->left.initial;
	}
	if (vf->left.reinit) {
		*kind = VFMIG_STATE_REINIT;
		return &vf->left.reinit;
	}
	if (vf->left.dirty) {
		*kind = VFMIG_STATE_DIRTY;
		return &vf->left.dirty;
	}
	*kind = VFMIG_STATE_FINAL;
	return vf->final ? &vf->left.final : NULL;
}

ssize_t border_state_read(void *data, void *buf, size_t size, enum vfmig_state_kind *kind)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_state_read);
	u64 *left;

	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	left = next_kind(vf, kind);
	if (!left)
		return 0;
	size = min3(*left, vf->piece, (u64)size);
	border_state_fill(vf->pos, buf, size);
	vf->pos += size;
	*left -= size;
	return size;
}

int border_load_state(void *data, u32 version, const void *buf, size_t size, const char **why)
{
	struct border_vf *vf = data;
	int ret = border_fails(vf, BORDER_load_state);

	*why = ret == -EINVAL ? "told to refuse it" : NULL;
	if (ret)
		return ret;
	guard(mutex)(&vf->lock);
	if (!border_state_is(vf->loaded, buf, size))
		vf->wrong++;
	vf->loaded += size;
	return 0;
}
