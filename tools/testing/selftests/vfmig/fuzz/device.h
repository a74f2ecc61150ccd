/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A destination: what a PF driver offers for a VF (include/linux/vfmig.h), as little as possible.
 */
#ifndef VFMIG_FUZZ_DEVICE_H
#define VFMIG_FUZZ_DEVICE_H

#include <linux/vfmig.h>

#include "input.h"

#define DEVICE_GRANULES	64U
#define DEVICE_SIZE	(DEVICE_GRANULES * VFMIG_GRANULE)
#define DEVICE_STATE	1024U	/* bytes of state that it takes */
#define DEVICE_MODEL	"fuzz"
#define DEVICE_VERSION	3U
#define DEVICE_OLDEST	2U
#define DEVICE_DATA	4U	/* bytes of its part of the identity, all of them DEVICE_MARK */
#define DEVICE_MARK	0xa5
#define DEVICE_BAD	0xff	/* a state that begins with it is refused as a whole */

/**
 * struct contents - what can be observed of a device
 * @granules: checksum of each granule, or 0
 * @state: state
 * @state_len: bytes of it
 */
struct contents {
	u32 granules[DEVICE_GRANULES];
	u8 state[DEVICE_STATE];
	u32 state_len;
};

/**
 * struct device - a destination
 * @setup: what it is like
 * @ops: its operations
 * @mem: those on its memory
 * @calls: number of calls so far
 * @identified: an identity was accepted
 * @committed: a load was
 * @live: what a guest sees
 * @loaded: what the load has brought so far
 * @pages: pages of @loaded, and then of the guest
 */
struct device {
	struct setup setup;
	struct vfmig_vf_ops ops;
	struct vfmig_mem_ops mem;
	unsigned int calls;
	bool identified;
	bool committed;
	struct contents live;
	struct contents loaded;
	struct page *pages[DEVICE_GRANULES];
};

void device_init(struct device *dev, const struct setup *setup);
void device_exit(struct device *dev);

#endif /* VFMIG_FUZZ_DEVICE_H */
