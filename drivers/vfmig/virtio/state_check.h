/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Can a device have this state?  The model asks for a state that was loaded, vfmigctl for one in
 * a file, and a fuzzer for any.  So this needs nothing of the kernel that user space lacks.
 */
#ifndef _VFMIG_VIRTIO_STATE_CHECK_H
#define _VFMIG_VIRTIO_STATE_CHECK_H

#include <linux/types.h>

#include "format.h"

/**
 * struct vfmig_virtio_limits - what depends on the device that is to take a state
 * @features: features that it offers
 * @features_ok: see &struct vfmig_virtio_type
 */
struct vfmig_virtio_limits {
	u64 features;
	bool (*features_ok)(u64 features);
};

/**
 * struct vfmig_net_limits - the same of a network device
 * @pairs: pairs of queues that it has
 * @version: version of the state
 */
struct vfmig_net_limits {
	unsigned int pairs;
	u32 version;
};

/* state_check.c */
const char *vfmig_virtio_state_check(const struct vfmig_virtio_state *state,
				     const struct vfmig_virtio_limits *limits, size_t *where);

/* net_state_check.c */
const char *vfmig_net_state_check(const struct vfmig_net_state *state,
				  const struct vfmig_virtio_state *virtio,
				  const struct vfmig_net_limits *limits, size_t *where);

#endif /* _VFMIG_VIRTIO_STATE_CHECK_H */
