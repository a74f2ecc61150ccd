/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What stress programs have in common: a seed, which can be given again, and an end.
 *
 * scripts/stress sets VFMIG_STRESS_SEED and VFMIG_STRESS_SECONDS.  A program that is run by
 * itself chooses a seed and goes on for a minute.
 */
#ifndef VFMIG_TEST_STRESS_H
#define VFMIG_TEST_STRESS_H

#include "util.h"

/* Print the seed, and how it is given again, and let the time begin */
u64 stress_begin(const char *test);
/* Let the time begin again, after the set-up, for one of @shares tests that have it together */
void stress_begin_share(unsigned int shares);

/* Is there time left? */
bool stress_goes_on(void);
/*
 * The same for a test that must have @done something.  On a slow machine the time may be over
 * before that.  The first of the test's @rounds is whole.  Until something is done there are more
 * rounds, up to a limit.
 */
bool stress_goes_on_until(u64 done, u64 rounds);
/* The same for a test without rounds: it gets another minute, or more on a slow kernel */
bool stress_goes_on_for(bool missing);

/* The state of a generator of its own for thread or device @number, for next_random() */
u64 stress_seed(u64 seed, unsigned int number);

/* A random number below @limit */
u32 random_below(u64 *state, u32 limit);

/* True once in @n times */
static inline bool one_in(u64 *state, u32 n)
{
	return !random_below(state, n);
}

/* The index of one of @count @entries, each as often as its member weight says beside the others */
#define random_entry(state, entries, count) ({ \
	__auto_type _entries = &(entries)[0]; \
	unsigned int _total = 0, _n, _i; \
	for (_i = 0; _i < (count); _i++) \
		_total += _entries[_i].weight; \
	_n = random_below(state, _total); \
	for (_i = 0; _n >= _entries[_i].weight; _i++) \
		_n -= _entries[_i].weight; \
	_i; \
})

/* What a thread does now, for the watchdog */
struct stress_watch {
	const char *doing;
	u64 since;	/* 0 between two calls */
};

/* A call that must end is between these */
void stress_call_begins(struct stress_watch *watch, const char *what);
void stress_call_ends(struct stress_watch *watch);
/* Fails the test if the call has gone on for too long */
void stress_check(const struct stress_watch *watch);

/* A line of the result that scripts/stress shows */
void __printf(1, 2) stress_say(const char *fmt, ...);

#endif /* VFMIG_TEST_STRESS_H */
