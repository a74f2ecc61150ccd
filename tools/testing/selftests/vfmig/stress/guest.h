/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of guest_stress, whose test is the guest: it drives a VF through VFIO.
 *
 * In one part it is a driver that keeps to the rules and asks for things that are refused, too.
 * What each command must give is known.  In the others it is hostile.
 */
#ifndef VFMIG_GUEST_H
#define VFMIG_GUEST_H

#include <pthread.h>

#include "rig.h"
#include "stress.h"

#define GUEST_TESTS	3	/* each has the same share of the time */

/* ---- guest_land.c: memory of which the device may access some, and some in one way only */

/**
 * struct land - a guest's memory
 * @rw: for everything
 * @ro: pages that the device may read
 * @wo: pages that the device may write
 * @hostile_one_in: how often a hostile guest does something bad
 *
 * Between these parts there are holes.  They have memory, which the IOMMU does not map.
 */
struct land {
	u8 *va;
	size_t size;
	struct arena rw;
	u8 *ro;
	u8 *wo;
	u32 hostile_one_in;
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

/* ---- guest_hostile.c: what hostile guests have in common */

/* From now on bad things are more or less frequent */
void hostile_temper(struct land *land, u64 *random);
/* Is it time for one? */
bool hostile_now(const struct land *land, u64 *random);
/* A number that is more likely than others to be mistaken */
u64 hostile_number(u64 *random);
/* An IOVA of memory for everything, or one that is bad */
u64 hostile_address(struct land *land, u64 *random);
/* An access to BAR 0 that may fail */
void hostile_bar(struct vfio_dev *dev, u64 offset, u64 value, unsigned int size, bool write);
/* Any access below @most */
void hostile_bar_any(struct vfio_dev *dev, u64 *random, u64 most);

/* Any write to config space; the caller makes memory and bus master right again */
void hostile_config(struct vfio_dev *dev, u64 *random);
/*
 * Let the devices access the memory that all of them share, or none of them: what one of them
 * still has to do would change what the driver of another one uses
 */
void hostile_bus_masters(struct vfio_dev *devs, unsigned int n, bool on);
/*
 * All that the guest has made of device *@vf of two moves, and must be taken by the other one.
 * The guest's threads read *@vf.
 */
void hostile_move(struct vfio_dev *devs, unsigned int *vf, u64 *random);
/* Reset a VF in some way, or return false: its driver begins with a reset, and that is one, too */
bool hostile_reset(struct vfio_dev *dev, u64 *random);

/* A thread that repeats a step until it is stopped */
struct hostile_thread {
	pthread_t thread;
	void (*step)(struct hostile_thread *t);
	void *owner;
	u64 random;
	u64 steps;
	bool *stop;
};

void hostile_begin(struct hostile_thread *t, void (*step)(struct hostile_thread *t), void *owner,
		   u64 seed, bool *stop);
/* *@stop is set */
void hostile_end(struct hostile_thread *t);

/* ---- The parts.  Each *_open() returns NULL, or why the test must be skipped. */

/* guest_ref.c: a driver of an NVMe VF that knows what each of its commands must give */
struct ref;

const char *ref_open(struct ref **ref, u64 seed);
void ref_close(struct ref *ref);
/* Returns the number of I/O commands */
u64 ref_run(struct ref *ref);

/* guest_nvme.c: a hostile guest of an NVMe VF */
struct hostile_nvme;

const char *hostile_nvme_open(struct hostile_nvme **h, u64 seed);
void hostile_nvme_close(struct hostile_nvme *h);
/* Returns the number of commands that the VF executed for the hostile guest */
u64 hostile_nvme_run(struct hostile_nvme *h);

/* guest_net.c: a hostile guest of a virtio-net VF */
struct hostile_net;

const char *hostile_net_open(struct hostile_net **h, u64 seed);
void hostile_net_close(struct hostile_net *h);
/* Returns the number of buffers that the VF used for the hostile guest */
u64 hostile_net_run(struct hostile_net *h);

#endif /* VFMIG_GUEST_H */
