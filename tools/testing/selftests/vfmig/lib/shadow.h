/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shadow doorbells: the driver stores to its own memory, and writes a register only if the device
 * wants to hear of it.
 */
#ifndef VFMIG_TEST_SHADOW_H
#define VFMIG_TEST_SHADOW_H

#include "nvme.h"

struct shadow {
	u32 *doorbells;		/* a page: SQ n at 2n, CQ n at 2n + 1 */
	u32 *events;		/* a page: the EventIdx of each */
	unsigned int rings;	/* registers that were written */
};

/* Does the data of Identify Controller say that there are shadow doorbells? */
bool shadow_is_offered(const u8 *id);
/* Doorbell Buffer Config; returns a status or -ETIMEDOUT */
int shadow_config(struct nvme *nvme, u64 doorbells, u64 events);
/* Allocate the buffers, tell the device, and have the driver use them from now on */
void shadow_use(struct nvme *nvme, struct shadow *shadow);
/*
 * Store to doorbell @index, where @old was before; returns true if the device wants its register
 * to be written.  As the kernel's driver does it.
 */
bool shadow_store(struct shadow *shadow, unsigned int index, u16 old, u16 value);

#endif /* VFMIG_TEST_SHADOW_H */
