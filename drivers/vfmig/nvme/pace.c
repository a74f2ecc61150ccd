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
 * time, for as long as it would wait until the next try, it has learned that.  If not, it goes on
 * with as many as before or as have come, and the next try is later.  So a guest that submits one
 * command at a time, or that stops in the middle of a burst, waits for a timer but rarely.
 */
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/time64.h>

#include "pace.h"

/* Bursts between two tries, at first and after many that failed */
#define VFMIG_NVME_MIN_TRIES	16
#define VFMIG_NVME_MAX_TRIES	512

/* After a pause the guest may do something else */
#define VFMIG_NVME_PAUSE_NS	(100ULL * NSEC_PER_MSEC)

/* A guest whose commands come less often has no reason to wait */
#define VFMIG_NVME_MAX_GAP_NS	(4ULL * NSEC_PER_MSEC)

/* The wait is at least so long, or a timer would cost more than the ring */
#define VFMIG_NVME_MIN_WAIT_NS	(20ULL * NSEC_PER_USEC)
#define VFMIG_NVME_MAX_WAIT_NS	(16ULL * NSEC_PER_MSEC)

void vfmig_nvme_pace_init(struct vfmig_nvme_pace *pace, u64 now)
{
	*pace = (struct vfmig_nvme_pace) {
		.burst = 1,
		.good = 1,
		.tries = VFMIG_NVME_MIN_TRIES,
		.left = VFMIG_NVME_MIN_TRIES,
		.gap = VFMIG_NVME_MAX_GAP_NS,
		.since = now,
	};
}

/* A burst has come as it was expected */
static void came(struct vfmig_nvme_pace *pace)
{
	if (pace->left)
		pace->left--;
	if (pace->left)
		return;
	/* The guest keeps up with it */
	if (pace->trying)
		pace->tries = max(pace->tries / 2, VFMIG_NVME_MIN_TRIES);
	pace->trying = false;
	pace->good = pace->burst;
	if (pace->burst == VFMIG_NVME_MAX_BURST || pace->gap >= VFMIG_NVME_MAX_GAP_NS)
		return;
	pace->trying = true;
	pace->burst = min(2 * pace->burst, VFMIG_NVME_MAX_BURST);
	pace->left = pace->tries;
}

/* Only @n of a burst have come */
static void missed(struct vfmig_nvme_pace *pace, unsigned int n)
{
	/* Not a matter of luck, as one or two that are late would be */
	if (n && (pace->trying || 2 * n <= pace->burst))
		pace->tries = min(2 * pace->tries, VFMIG_NVME_MAX_TRIES);
	if (!pace->trying)
		pace->good = max(n, 1U);
	pace->burst = n ? max(n, pace->good) : 1;
	pace->trying = false;
	pace->left = pace->tries;
}

void vfmig_nvme_pace_count(struct vfmig_nvme_pace *pace, unsigned int n, unsigned int burst,
			   u64 now)
{
	u64 took = now - pace->since;

	if (took > VFMIG_NVME_PAUSE_NS) {
		pace->tries = VFMIG_NVME_MIN_TRIES;
		pace->left = min(pace->left, pace->tries);
	}
	/* How long the wait for those that did not come was says nothing of the next ones */
	if (n >= burst) {
		pace->gap = (3 * pace->gap + min(div_u64(took, n), VFMIG_NVME_MAX_GAP_NS)) / 4;
		came(pace);
	} else if (burst > 1) {
		missed(pace, n);
	}
	pace->since = now;
	/* The time that they should take, and that of two more */
	pace->until = now + clamp(pace->gap * (pace->burst + 2), VFMIG_NVME_MIN_WAIT_NS,
				  VFMIG_NVME_MAX_WAIT_NS);
}
