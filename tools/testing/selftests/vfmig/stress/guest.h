/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of guest_stress, whose test is the guest: it drives a VF through VFIO.
 *
 * In one part it is a driver that keeps to the rules and asks for things that are refused, too.
 * What each command must give is known.  In the others it is hostile.
 */
#ifndef VFMIG_GUEST_H
#define VFMIG_GUEST_H

#include "rig.h"
#include "stress.h"

#define GUEST_TESTS	1	/* each has the same share of the time */

/* ---- guest_land.c: memory of which the device may access some, and some in one way only */

/**
 * struct land - a guest's memory
 * @rw: for everything
 * @ro: pages that the device may read
 * @wo: pages that the device may write
 *
 * Between these parts there are holes.  They have memory, which the IOMMU does not map.
 */
struct land {
	u8 *va;
	size_t size;
	struct arena rw;
	u8 *ro;
	u8 *wo;
};

void land_init(struct land *land, size_t size);
void land_map(struct land *land, struct iommu *iommu);
u64 land_iova(const struct land *land, const void *va);
/* Fails the test if the device wrote where it may not */
void land_check(struct land *land);
/* IOVAs of pages */
u64 land_hole(struct land *land, u64 *random);
u64 land_readonly(struct land *land, u64 *random);
u64 land_writeonly(struct land *land, u64 *random);

/* ---- The parts.  Each *_open() returns NULL, or why the test must be skipped. */

/* guest_ref.c: a driver of an NVMe VF that knows what each of its commands must give */
struct ref;

const char *ref_open(struct ref **ref, u64 seed);
void ref_close(struct ref *ref);
/* Returns the number of I/O commands */
u64 ref_run(struct ref *ref);

#endif /* VFMIG_GUEST_H */
