/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Can a controller have this state?  The model asks for a state that was loaded, vfmigctl for one
 * in a file, and a fuzzer for any.  So this needs nothing of the kernel that user space lacks.
 */
#ifndef _VFMIG_NVME_STATE_CHECK_H
#define _VFMIG_NVME_STATE_CHECK_H

#include <linux/types.h>

#include "format.h"

/**
 * struct vfmig_nvme_limits - what depends on the controller that is to take a state
 * @media_size: bytes of its medium
 * @queues: I/O queue pairs that it has, at most VFMIG_NVME_QUEUES - 1
 * @shadow: it may have shadow doorbells, see VFMIG_NVME_SHADOW_VERSION
 */
struct vfmig_nvme_limits {
	u64 media_size;
	unsigned int queues;
	bool shadow;
};

/* Bits of each feature's dword that a host can set, indexed by Feature Identifier */
extern const u32 vfmig_nvme_feature_bits[VFMIG_NVME_FEATURES];

size_t vfmig_nvme_state_bytes(unsigned int nr_reqs, bool shadow);
const struct vfmig_nvme_state_shadow *
vfmig_nvme_state_shadow(const struct vfmig_nvme_state *state);
const char *vfmig_nvme_state_check(const void *buf, size_t size,
				   const struct vfmig_nvme_limits *limits, size_t *where);

#endif /* _VFMIG_NVME_STATE_CHECK_H */
