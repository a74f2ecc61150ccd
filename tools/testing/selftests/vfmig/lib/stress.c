// SPDX-License-Identifier: GPL-2.0-only
/* Seed and end of a stress program */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "stress.h"

#define DEFAULT_SECONDS	60
/* What a single call may take, on a kernel that is not slow */
#define CALL_MS		60000
/* How much longer a test may take that has not done all that it must, likewise */
#define MORE_MS		60000

/* A test that has done nothing in so many rounds has a fault */
#define ROUNDS_MOST	20

static u64 end_ms;

void stress_begin_share(unsigned int shares)
{
	const char *seconds = getenv("VFMIG_STRESS_SECONDS");
	u64 all = seconds && *seconds ? strtoul(seconds, NULL, 0) : DEFAULT_SECONDS;

	end_ms = now_ms() + 1000 * all / shares;
}

u64 stress_begin(const char *test)
{
	const char *text = getenv("VFMIG_STRESS_SEED");
	u64 seed = 0;

	if (text && *text)
		seed = strtoull(text, NULL, 0);
	else
		must(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
	stress_begin_share(1);
	stress_say("%s: seed %llu (VFMIG_STRESS_SEED=%llu repeats it)", test, seed, seed);
	return seed;
}

bool stress_goes_on(void)
{
	return now_ms() < end_ms;
}

bool stress_goes_on_until(u64 done, u64 rounds)
{
	return stress_goes_on() || !rounds || (!done && rounds < ROUNDS_MOST);
}

static u64 slowness(void)
{
	const char *times = getenv("VFMIG_SLOWNESS");

	return times ? atoi(times) : 1;
}

bool stress_goes_on_for(bool missing)
{
	return now_ms() < end_ms + (missing ? MORE_MS * slowness() : 0);
}

u64 stress_seed(u64 seed, unsigned int number)
{
	u64 state = seed ^ number * 0x9e3779b97f4a7c15ULL;

	return next_random(&state);
}

u32 random_below(u64 *state, u32 limit)
{
	return limit ? next_random(state) % limit : 0;
}

void stress_call_begins(struct stress_watch *watch, const char *what)
{
	__atomic_store_n(&watch->doing, what, __ATOMIC_RELAXED);
	__atomic_store_n(&watch->since, now_ms(), __ATOMIC_RELEASE);
}

void stress_call_ends(struct stress_watch *watch)
{
	__atomic_store_n(&watch->since, 0, __ATOMIC_RELEASE);
}

void stress_check(const struct stress_watch *watch)
{
	u64 limit = CALL_MS * slowness();
	u64 since = __atomic_load_n(&watch->since, __ATOMIC_ACQUIRE), now = now_ms();

	if (since && now > since + limit)
		fail(__FILE__, __LINE__, "%s has not ended for %llu s",
		     __atomic_load_n(&watch->doing, __ATOMIC_RELAXED), (now - since) / 1000);
}

void stress_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	flockfile(stdout);
	printf("# stress: ");
	vprintf(fmt, ap);
	putchar('\n');
	fflush(stdout);
	funlockfile(stdout);
	va_end(ap);
}
