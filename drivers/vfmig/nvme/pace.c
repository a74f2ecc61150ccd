// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many commands a host may submit before it has to ring.
 *
 * A ring and the interrupt that follows cost a guest more than a command does.  A guest with many
 * commands in flight submits several in a row.  So the controller asks it, by the EventIdx of its
 * shadow doorbells, to ring with the last of them, and executes them together.  It looks by itself
 * when the time is over in which they should have come.
 *
 * The number is learned.  From time to time the controller tries twice as many, or half, and goes
 * on with what brings more commands.  If half of a burst does not come, several times in a row, the
 * burst is too long.  That ends a trial at once, and what was learned before.  So a guest that
 * submits one command at a time rarely waits for a timer.
 */
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/time64.h>

#include "pace.h"

/* Time between two trials: longer when one has changed nothing, else shorter */
#define VFMIG_NVME_MIN_REST_NS	(10ULL * NSEC_PER_MSEC)
#define VFMIG_NVME_MAX_REST_NS	(1280ULL * NSEC_PER_MSEC)

/* One that is late may be a matter of luck */
#define VFMIG_NVME_MISSES	3

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
		.learned = 1,
		.up = true,
		.gap = VFMIG_NVME_MAX_GAP_NS,
		.since = now,
		.rest = VFMIG_NVME_MIN_REST_NS,
		.next_trial = now + VFMIG_NVME_MIN_REST_NS,
	};
}

static void set_rest(struct vfmig_nvme_pace *pace, u64 rest, u64 now)
{
	pace->rest = clamp(rest, VFMIG_NVME_MIN_REST_NS, VFMIG_NVME_MAX_REST_NS);
	pace->next_trial = now + pace->rest;
}

/* A trial is over: bursts of @learned are better */
static void learn(struct vfmig_nvme_pace *pace, unsigned int learned, u64 now)
{
	bool same = learned == pace->learned;

	/* The next trial looks the other way, or further in this one */
	pace->up ^= same;
	set_rest(pace, same ? 2 * pace->rest : pace->rest / 4, now);
	pace->learned = learned;
}

/* The shorter burst of a trial */
static unsigned int shorter(const struct vfmig_nvme_pace *pace)
{
	return pace->up ? pace->learned : pace->learned / 2;
}

static void begin_trial(struct vfmig_nvme_pace *pace, u64 now)
{
	if (now < pace->next_trial || pace->gap >= VFMIG_NVME_MAX_GAP_NS)
		return;
	if (pace->learned == 1)
		pace->up = true;
	else if (pace->learned == VFMIG_NVME_MAX_BURST)
		pace->up = false;
	vfmig_trial_begin(&pace->trial);
}

static void count_trial(struct vfmig_nvme_pace *pace, unsigned int n, u64 took, u64 now)
{
	unsigned int low = shorter(pace);

	vfmig_trial_count(&pace->trial, pace->trial.way, n, took);
	if (vfmig_trial_is_on(&pace->trial))
		return;
	learn(pace, vfmig_trial_gain(&pace->trial) < VFMIG_TRIAL_EVEN ? low : 2 * low, now);
}

/* Only @n of a burst have come.  Several times in a row, the burst is too long. */
static void count_miss(struct vfmig_nvme_pace *pace, unsigned int n, u64 now)
{
	pace->most = pace->misses ? max(pace->most, n) : n;
	if (++pace->misses < VFMIG_NVME_MISSES)
		return;
	pace->misses = 0;
	/* The guest does something else than before */
	if (!vfmig_trial_is_on(&pace->trial))
		pace->rest = 0;
	vfmig_trial_end(&pace->trial);
	learn(pace, pace->most ? rounddown_pow_of_two(pace->most) : 1, now);
}

/* Number of commands that the next burst should have */
static unsigned int next_burst(const struct vfmig_nvme_pace *pace)
{
	if (pace->idle || pace->gap >= VFMIG_NVME_MAX_GAP_NS)
		return 1;
	if (!vfmig_trial_is_on(&pace->trial))
		return pace->learned;
	return pace->trial.way == VFMIG_TRIAL_FIRST ? shorter(pace) : 2 * shorter(pace);
}

static void average(u64 *gap, u64 ns)
{
	*gap = (3 * *gap + min(ns, VFMIG_NVME_MAX_GAP_NS)) / 4;
}

static void count(struct vfmig_nvme_pace *pace, unsigned int n, unsigned int burst, u64 now)
{
	u64 took = now - pace->since;

	pace->since = now;
	if (took > VFMIG_NVME_PAUSE_NS)
		set_rest(pace, 0, now);
	else if (vfmig_trial_is_on(&pace->trial))
		count_trial(pace, n, took, now);
	if (2 * n <= burst) {
		count_miss(pace, n, now);
	} else if (!pace->idle) {
		pace->misses = 0;
		/* The wait for those that did not come says nothing of the next ones */
		if (n >= burst)
			average(&pace->gap, div_u64(took, n));
	}
	pace->idle = false;
}

void vfmig_nvme_pace_count(struct vfmig_nvme_pace *pace, unsigned int n, unsigned int burst,
			   u64 now)
{
	if (n) {
		count(pace, n, burst, now);
	} else if (burst > 1) {
		/* The host has stopped for now.  The next command is to be executed at once. */
		count_miss(pace, 0, now);
		pace->idle = true;
	}
	if (!vfmig_trial_is_on(&pace->trial))
		begin_trial(pace, now);
	pace->burst = next_burst(pace);
	/* The time that they should take, and that of two more */
	pace->until = now + clamp(pace->gap * (pace->burst + 2), VFMIG_NVME_MIN_WAIT_NS,
				  VFMIG_NVME_MAX_WAIT_NS);
}
