/* SPDX-License-Identifier: GPL-2.0-only */
/* The state of a virtio device as bytes, and a save or a load of it */
#ifndef _VFMIG_VIRTIO_STATE_H
#define _VFMIG_VIRTIO_STATE_H

#include <linux/types.h>

struct vfmig_virtio;

size_t vfmig_virtio_state_size(const struct vfmig_virtio *dev);
void vfmig_virtio_state_save(struct vfmig_virtio *dev, void *buf);
const char *vfmig_virtio_state_refusal(struct vfmig_virtio *dev, u32 version, const void *buf,
				       size_t size);
void vfmig_virtio_state_apply(struct vfmig_virtio *dev, const void *buf);

#endif /* _VFMIG_VIRTIO_STATE_H */
