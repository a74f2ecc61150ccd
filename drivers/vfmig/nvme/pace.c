// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many commands a host may submit before it has to ring.
 *
 * A ring and the interrupt that follows cost a guest more than a command does.  A guest with many
 * commands in flight submits several in a row.  So the controller asks it, by the EventIdx of its
 * shadow doorbells, to ring with the last of them, and executes them together.  It looks by itself
 * when the time is over in which they should have come.
 *
 * The number is learned.  From time to time the controller tries twice as many.  If they come in
 * time it goes on with them.  If not, it goes on with as many as came, and the next try is later.
 * So a guest that submits one command at a time waits for a try that fails, but rarely.
 */
#include <linux/math64.h>
#include <linux/minmax.h>

#include "nvme.h"

/* Commands to a ring at most: as many as a vCPU executes in its access */
#define VFMIG_NVME_MAX_BURST	VFMIG_NVME_BRIEF

/* Bursts between two tries, after one that went well and at most */
#define VFMIG_NVME_MIN_TRIES	16
#define VFMIG_NVME_MAX_TRIES	1024

/* A guest whose commands come less often has no reason to wait */
#define VFMIG_NVME_MAX_GAP_NS	(4ULL * NSEC_PER_MSEC)

/* The wait is at least so long, or a timer would cost more than the ring */
#define VFMIG_NVME_MIN_WAIT_NS	(20ULL * NSEC_PER_USEC)
#define VFMIG_NVME_MAX_WAIT_NS	(16ULL * NSEC_PER_MSEC)

void vfmig_nvme_pace_init(struct vfmig_nvme_pace *pace, u64 now)
{
	*pace = (struct vfmig_nvme_pace) {
		.burst = 1,
		.tries = VFMIG_NVME_MIN_TRIES,
		.left = VFMIG_NVME_MIN_TRIES,
		.gap = VFMIG_NVME_MAX_GAP_NS,
		.since = now,
	};
}

/* A burst has come as it was expected */
static void came(struct vfmig_nvme_pace *pace, u64 gap)
{
	pace->gap = (3 * pace->gap + min(gap, VFMIG_NVME_MAX_GAP_NS)) / 4;
	if (pace->trying)
		pace->tries = VFMIG_NVME_MIN_TRIES;
	pace->trying = false;
	if (pace->left)
		pace->left--;
	if (pace->left || pace->burst == VFMIG_NVME_MAX_BURST ||
	    pace->gap >= VFMIG_NVME_MAX_GAP_NS)
		return;
	pace->trying = true;
	pace->burst = min(2 * pace->burst, VFMIG_NVME_MAX_BURST);
	pace->left = pace->tries;
}

/* Only @n of a burst have come.  How long that took says nothing of the next ones. */
static void missed(struct vfmig_nvme_pace *pace, unsigned int n)
{
	pace->burst = max(n, 1U);
	/* A guest that does nothing has not failed */
	if (n)
		pace->tries = min(2 * pace->tries, VFMIG_NVME_MAX_TRIES);
	pace->left = pace->tries;
	pace->trying = false;
}

/* @n commands have come since the last call, of @burst that were awaited; await the next ones */
void vfmig_nvme_pace_count(struct vfmig_nvme_pace *pace, unsigned int n, unsigned int burst,
			   u64 now)
{
	if (n >= burst)
		came(pace, div_u64(now - pace->since, n));
	else if (burst > 1)
		missed(pace, n);
	pace->since = now;
	/* The time that they should take, and that of two more */
	pace->until = now + clamp(pace->gap * (pace->burst + 2), VFMIG_NVME_MIN_WAIT_NS,
				  VFMIG_NVME_MAX_WAIT_NS);
}
