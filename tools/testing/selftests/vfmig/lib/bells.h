/* SPDX-License-Identifier: GPL-2.0-only */
/* Doorbells and other registers of an NVMe VF that are mapped */
#ifndef VFMIG_TEST_BELLS_H
#define VFMIG_TEST_BELLS_H

#include <pthread.h>

#include "nvme.h"

/* The part of BAR 0 that can be mapped, from its region info; false if there is none */
bool bells_area(struct vfio_dev *dev, u64 *offset, u64 *size);

/* Map the doorbells, in the whole process; or NULL */
u32 *bells_map(struct vfio_dev *dev);
void bells_unmap(u32 *bells);

/* A store that the compiler neither leaves out nor delays */
void bells_store(u32 *bells, unsigned int index, u32 value);

/* Have the driver ring by @bells from now on, or by write() again if NULL */
void bells_use(struct nvme *nvme, u32 *bells);

/*
 * Have them polled for @poll_us, map them, and have the driver ring by them from now on.  NULL on a
 * machine with one CPU, where they are not mapped.
 */
u32 *bells_begin(struct nvme *nvme, const char *pf, unsigned int poll_us);

/* Map the registers before them, in the whole process; or NULL */
u32 *regs_map(struct vfio_dev *dev);
void regs_unmap(u32 *regs);

/* Accesses of one instruction each; @offset is that in the BAR */
u32 regs_load(const u32 *regs, u64 offset);
void regs_store(u32 *regs, u64 offset, u32 value);
void regs_store64(u32 *regs, u64 offset, u64 value);

/* A thread that stores to a mapped page until it is stopped, by @store the @i-th time */
struct hammer {
	pthread_t thread;
	void (*store)(u32 *page, u32 i);
	u32 *page;
	bool stop;
	u64 stores;
};

/* Returns when it has begun */
void hammer_begin(struct hammer *h, u32 *page, void (*store)(u32 *page, u32 i));
void hammer_end(struct hammer *h);

#endif /* VFMIG_TEST_BELLS_H */
