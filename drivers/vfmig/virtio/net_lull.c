// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a transmit queue that is empty is to be looked at again before the guest may notify.
 *
 * A notification is an exit of the guest to its VMM, and can cost more than a frame.  A guest in
 * the middle of a stream has the next frame soon.  So the device can do without a notification when
 * it has sent what was there: it looks once more a little later, and asks if it finds nothing.
 *
 * That delays a guest which waits for the answer to a frame.  The two can't be told apart by what
 * they send.  So the device tries both ways from time to time, and goes on with the one by which
 * more bytes come.
 */
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/time64.h>

#include "net_lull.h"

/* A NIC's moderation of interrupts is about as long */
#define VFMIG_NET_LULL_NS	(200ULL * NSEC_PER_USEC)

/* Bytes are counted for so long */
#define VFMIG_NET_WINDOW_NS	(20ULL * NSEC_PER_MSEC)

/* Time between two tries: it doubles when a try has changed nothing */
#define VFMIG_NET_MIN_REST_NS	(50ULL * NSEC_PER_MSEC)
#define VFMIG_NET_MAX_REST_NS	(1600ULL * NSEC_PER_MSEC)

/* The window is over: @rate bytes came in a unit of time */
static void decide(struct vfmig_net_lull *lull, u64 rate, u64 now)
{
	/* A guest that sends a frame now and then is not slowed down, and each look is in vain */
	bool in_vain = lull->waits && 2 * lull->found <= lull->looks;

	if (in_vain)
		rate = 0;
	if (!lull->trying) {
		if (now < lull->next_try && !in_vain)
			return;
		lull->rate = rate;
		lull->waits = !lull->waits;
		lull->trying = true;
		return;
	}
	if (rate > lull->rate) {
		lull->rest = VFMIG_NET_MIN_REST_NS;
	} else {
		lull->waits = !lull->waits;
		lull->rest = clamp(2 * lull->rest, VFMIG_NET_MIN_REST_NS, VFMIG_NET_MAX_REST_NS);
	}
	lull->next_try = now + lull->rest;
	lull->trying = false;
}

static void count(struct vfmig_net_lull *lull, unsigned int bytes, u64 now)
{
	u64 took = now - lull->since;

	lull->bytes += bytes;
	if (took < VFMIG_NET_WINDOW_NS)
		return;
	/* A guest that has paused says nothing by that */
	if (took < 2 * VFMIG_NET_WINDOW_NS)
		decide(lull, div_u64(lull->bytes << 10, took >> 10), now);
	lull->bytes = 0;
	lull->looks = 0;
	lull->found = 0;
	lull->since = now;
}

bool vfmig_net_lull_wait(struct vfmig_net_lull *lull, unsigned int bytes, u64 now)
{
	bool late;

	/* Something else than the time was a reason to look */
	if (!bytes && lull->waiting && now < lull->until)
		return true;
	/* The worker is slowed down.  It gets a thread only if the guest notifies: see worker.c. */
	late = lull->waiting && now > lull->until + VFMIG_NET_WINDOW_NS;
	lull->looks += lull->waiting;
	lull->found += lull->waiting && bytes;
	count(lull, bytes, now);
	lull->waiting = bytes && lull->waits && !late;
	lull->until = now + VFMIG_NET_LULL_NS;
	return lull->waiting;
}
