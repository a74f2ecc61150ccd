/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers that follow from a seed.
 */
#ifndef VFMIG_FUZZ_RANDOM_H
#define VFMIG_FUZZ_RANDOM_H

#include <linux/types.h>

struct random {
	u64 state;
};

static inline void random_begin(struct random *random, u32 seed)
{
	random->state = seed * 0x9e3779b97f4a7c15ULL + 1;
}

/* Any number but 0 (xorshift) */
static inline u64 random_next(struct random *random)
{
	random->state ^= random->state << 13;
	random->state ^= random->state >> 7;
	random->state ^= random->state << 17;
	return random->state;
}

/* A number below @n, which is not 0 */
static inline u32 random_below(struct random *random, u32 n)
{
	return (random_next(random) >> 16) % n;
}

/* A number from @min to @max, often one of these */
static inline u64 random_between(struct random *random, u64 min, u64 max)
{
	switch (random_below(random, 8)) {
	case 0:
		return min;
	case 1:
		return max;
	default:
		return min + random_next(random) % (max - min + 1);
	}
}

#endif /* VFMIG_FUZZ_RANDOM_H */
