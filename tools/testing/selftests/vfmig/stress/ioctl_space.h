/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Address spaces of ioctl_stress.
 *
 * All VFs are bound to one iommufd, with two address spaces.  Each VF has a user, a thread that
 * attaches it to one or the other, by different page tables, while it does DMA.  The user has
 * pages of its own in both, at the same IOVA, and knows at any time which of them the device may
 * write to.  The pages that it may not write to have a pattern.
 */
#ifndef VFMIG_IOCTL_SPACE_H
#define VFMIG_IOCTL_SPACE_H

#include "ioctl.h"
#include "nvme.h"

#define SPACES		2
#define NOWHERE		-1
#define SPACE_PAGES	8
#define BATCH		224	/* commands, of two pages each */

/* Page tables of an address space: iommufd's own, which all devices share, and two of a user */
enum table { TABLE_SHARED, TABLE_PLAIN, TABLE_TRACKED, TABLES };

/* What is counted; ioctl_space.c has the names */
enum space_op {
	SPACE_REPLACE, SPACE_SAME, SPACE_ATTACH, SPACE_REFUSED, SPACE_NO_RESULT, SPACE_DETACH,
	SPACE_DESTROY, SPACE_BUSY, SPACE_UNMAP, SPACE_MAP, SPACE_DMA, SPACE_FAULT, SPACE_PROBE,
	SPACE_TRACK,
	SPACE_OPS
};

/* The pages of a user in an address space.  While they are @quiet, the device can't write. */
struct space_pages {
	u8 *mem;
	u64 tag;	/* seed of the pattern */
	bool mapped;
	bool quiet;
};

/**
 * struct space_user - a VF and its thread
 * @at: the space that the device is attached to, or NOWHERE
 * @table: and by which page table
 * @ids: of these tables in iommufd, that of the space for TABLE_SHARED
 * @arg: has memory that can't be written to
 * @has_dma: it is an NVMe VF
 * @started: the driver runs
 * @cids: commands that are under way, if @under_way
 * @hole: there was no page for them at some time
 * @faults: the count of DMA faults when they began
 */
struct space_user {
	pthread_t thread;
	unsigned int index;
	u64 random;
	struct spaces *spaces;
	struct stress_watch watch;
	struct argument arg;
	struct vfio_dev dev;
	int at;
	enum table table;
	u32 ids[SPACES][TABLES];
	struct space_pages pages[SPACES];
	bool has_dma, started;
	struct arena mem;
	struct nvme nvme;
	u16 cids[BATCH];
	bool under_way, hole;
	u64 faults;
	u64 ops[SPACE_OPS];
};

struct spaces {
	struct iommu space[SPACES];
	struct space_user user[IOCTL_VFS];
	bool stop;
};

/* ---- ioctl_space.c */
/* Run until the time is over; @done is how often each of SPACE_OPS was done */
void spaces_run(struct fuzz *fuzz, u64 seed, u64 *done);
const char *space_op_name(enum space_op op);

/* ---- ioctl_space_dma.c: DMA, and where it goes */
/* Memory for a driver, in both spaces */
void dma_init(struct space_user *u);
void dma_exit(struct space_user *u);
/* Start the driver, as the device was reset or could not reach its queues for a while */
void dma_start(struct space_user *u);
/* Have the device write to all pages, if it does not yet */
void dma_begin(struct space_user *u);
/* Wait for that; each command must have succeeded where nothing was missing */
void dma_end(struct space_user *u);
/* Have it write to one page, and see that it gets there, or is a fault if nothing is mapped */
void dma_probe(struct space_user *u, unsigned int page);
u64 dma_iova(const struct space_user *u);

/* Map new pages in this space, or unmap those that there are */
void pages_map(struct space_user *u, unsigned int space);
void pages_unmap(struct space_user *u, unsigned int space);
/* After a change of @at: which pages can the device write to? */
void pages_moved(struct space_user *u);
/* Those that it can't write to are as they were */
void pages_check(struct space_user *u, const char *after);

#endif /* VFMIG_IOCTL_SPACE_H */
