/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How many commands a host may submit before it has to ring, see pace.c.  This needs nothing of the
 * controller, so that a test can have it by itself.
 */
#ifndef _VFMIG_NVME_PACE_H
#define _VFMIG_NVME_PACE_H

#include <linux/types.h>

#include "../model/trial.h"

/* Commands to a ring at most; a power of two */
#define VFMIG_NVME_MAX_BURST	64U

/**
 * struct vfmig_nvme_pace - how many commands are awaited
 * @burst: that number
 * @learned: the number that has proved best so far, a power of two
 * @trial: of a burst, which is the first way, and one twice as long; one of them is @learned
 * @up: the longer one is not @learned
 * @idle: nothing came when a burst was awaited
 * @misses: bursts in a row of which half did not come in time
 * @most: the most commands that came of one of them
 * @gap: average time from one command to the next, in ns
 * @since: when commands were counted for the last time, ktime in ns
 * @rest: time between two trials, in ns
 * @next_trial: ktime in ns
 * @until: if the burst has not come by then it won't, ktime in ns
 */
struct vfmig_nvme_pace {
	unsigned int burst;
	unsigned int learned;
	struct vfmig_trial trial;
	bool up;
	bool idle;
	unsigned int misses;
	unsigned int most;
	u64 gap;
	u64 since;
	u64 rest;
	u64 next_trial;
	u64 until;
};

/** vfmig_nvme_pace_init() - nothing is known of the host; @now is the time, ktime in ns */
void vfmig_nvme_pace_init(struct vfmig_nvme_pace *pace, u64 now);

/**
 * vfmig_nvme_pace_count() - commands have come, or it is @until
 * @pace: the pace
 * @n: number of commands that have come since the last call
 * @limit: commands that the queue has room for
 * @now: ktime in ns
 *
 * Sets @pace->burst, at most @limit, and @pace->until for the next ones.
 */
void vfmig_nvme_pace_count(struct vfmig_nvme_pace *pace, unsigned int n, unsigned int limit,
			   u64 now);

#endif /* _VFMIG_NVME_PACE_H */
