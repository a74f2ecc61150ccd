/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A destination of the model "nvme".
 */
#ifndef VFMIG_FUZZ_STATE_NVME_H
#define VFMIG_FUZZ_STATE_NVME_H

#include "../../../../../drivers/vfmig/nvme/state_check.h"
#include "state.h"

#define NVME_MEDIA	(64U << 20)

/* 1 to 32 pairs of I/O queues, shadow doorbells or none */
static inline struct vfmig_nvme_limits nvme_limits(u8 device)
{
	return (struct vfmig_nvme_limits) {
		.media_size = NVME_MEDIA,
		.queues = 1 + (device >> 1) % 32,
		.shadow = device & 1,
	};
}

void nvme_use(u8 device, const u8 *state);

#endif /* VFMIG_FUZZ_STATE_NVME_H */
