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
 *
 * A guest that submits at a rate of its own brings as many commands in both ways, and would wait in
 * vain.  So a longer burst must bring somewhat more than a shorter one.
 */
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/time64.h>

#include "pace.h"

/* Time between two trials: twice as long when one has changed nothing, else a quarter */
#define VFMIG_NVME_MIN_REST_NS	(10ULL * NSEC_PER_MSEC)
#define VFMIG_NVME_MAX_REST_NS	(1280ULL * NSEC_PER_MSEC)

/* What a longer burst must bring: 3 % more */
#define VFMIG_NVME_WORTH	(VFMIG_TRIAL_EVEN + VFMIG_TRIAL_EVEN / 32)

/* A burst that is late may be a matter of luck */
#define VFMIG_NVME_MISSES	3

/* A pause tells nothing of a burst.  After a long one the guest may do something else. */
#define VFMIG_NVME_PAUSE_NS	(100ULL * NSEC_PER_MSEC)
#define VFMIG_NVME_LONG_PAUSE_NS	(1000ULL * NSEC_PER_MSEC)

/* A guest whose commands come less often has no reason to wait */
#define VFMIG_NVME_MAX_GAP_NS	(1ULL * NSEC_PER_MSEC)

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

/* The shorter burst of a trial */
static unsigned int shorter(const struct vfmig_nvme_pace *pace)
{
	return pace->up ? pace->learned : pace->learned / 2;
}

static void begin_trial(struct vfmig_nvme_pace *pace, unsigned int limit, u64 now)
{
	if (now < pace->next_trial || pace->gap >= VFMIG_NVME_MAX_GAP_NS || limit == 1)
		return;
	if (pace->learned == 1)
		pace->up = true;
	else if (pace->learned >= min(limit, VFMIG_NVME_MAX_BURST))
		pace->up = false;
	vfmig_trial_begin(&pace->trial);
}

/* A trial is over */
static void learn(struct vfmig_nvme_pace *pace, unsigned int learned, u64 now)
{
	bool same = learned == pace->learned;

	/* The next trial looks the other way, or further in this one */
	pace->up ^= same;
	set_rest(pace, same ? 2 * pace->rest : pace->rest / 4, now);
	pace->learned = learned;
}

static void count_trial(struct vfmig_nvme_pace *pace, unsigned int n, u64 took, u64 now)
{
	unsigned int low = shorter(pace);

	if (!vfmig_trial_is_on(&pace->trial))
		return;
	vfmig_trial_count(&pace->trial, n, took);
	if (!vfmig_trial_is_on(&pace->trial))
		learn(pace, vfmig_trial_gain(&pace->trial) < VFMIG_NVME_WORTH ? low : 2 * low, now);
}

/* Only @n of a burst have come.  Several times in a row, the burst is too long. */
static void count_miss(struct vfmig_nvme_pace *pace, unsigned int n, u64 now)
{
	unsigned int learned;

	pace->most = pace->misses ? max(pace->most, n) : n;
	if (++pace->misses < VFMIG_NVME_MISSES)
		return;
	pace->misses = 0;
	learned = pace->most ? rounddown_pow_of_two(pace->most) : 1;
	if (vfmig_trial_is_on(&pace->trial)) {
		vfmig_trial_end(&pace->trial);
		learn(pace, learned, now);
	} else {
		/* The guest does something else than before */
		pace->learned = learned;
		set_rest(pace, 0, now);
	}
}

static void end_pause(struct vfmig_nvme_pace *pace, u64 took, u64 now)
{
	vfmig_trial_end(&pace->trial);
	set_rest(pace, took > VFMIG_NVME_LONG_PAUSE_NS ? 0 : pace->rest, now);
	/* It may be the worker that had no CPU: let the guest ring */
	pace->idle = true;
}

/* Rounded up, or a slow guest's would never be as long as they can be */
static void average(u64 *gap, u64 ns)
{
	*gap = (3 * *gap + min(ns, VFMIG_NVME_MAX_GAP_NS) + 3) / 4;
}

static void count(struct vfmig_nvme_pace *pace, unsigned int n, u64 now)
{
	u64 took = now - pace->since;

	pace->since = now;
	if (2 * n <= pace->burst) {
		count_miss(pace, n, now);
	} else if (!pace->idle) {
		pace->misses = 0;
		/* The wait for what did not come says nothing of the next ones */
		average(&pace->gap, div_u64(took, n));
	}
	pace->idle = false;
	if (took > VFMIG_NVME_PAUSE_NS)
		end_pause(pace, took, now);
	else
		count_trial(pace, n, took, now);
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

void vfmig_nvme_pace_count(struct vfmig_nvme_pace *pace, unsigned int n, unsigned int limit,
			   u64 now)
{
	if (n) {
		count(pace, n, now);
	} else if (pace->burst > 1) {
		/* The host has stopped for now.  The next command is to be executed at once. */
		count_miss(pace, 0, now);
		pace->idle = true;
	}
	if (!vfmig_trial_is_on(&pace->trial))
		begin_trial(pace, limit, now);
	pace->burst = min(next_burst(pace), limit);
	/* The time that they should take, and that of two more */
	pace->until = now + clamp(pace->gap * (pace->burst + 2), VFMIG_NVME_MIN_WAIT_NS,
				  VFMIG_NVME_MAX_WAIT_NS);
}
