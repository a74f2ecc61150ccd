/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that the kernel is refused (CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC): the nth
 * allocation of the calling thread, or one of so many of anybody's; or the nth copy between
 * kernel and user (CONFIG_FAULT_INJECTION_USERCOPY).  What is set for that in debugfs is
 * put back when the program ends.
 */
#ifndef VFMIG_TEST_FAULT_H
#define VFMIG_TEST_FAULT_H

#include "util.h"

/* NULL, or why the test must be skipped.  Then nothing is refused so far. */
const char *fault_init(void);

/*
 * From now on only those allocations count that are made with a function of our modules
 * among the innermost @depth of the stack, FAULT_DEEPEST at most, as it is at first.
 */
#define FAULT_DEEPEST	32
void fault_below_us(unsigned int depth);
/* From now on only those allocations count that are made below this function, not inlined */
void fault_below_function(const char *name);
/* From now on no allocations count, but copies between kernel and user, where we make them */
void fault_copies_below_us(void);

/* Refuse one in @interval of these, whoever makes them, but for the variant driver's */
void fault_rate(unsigned int interval);
/* How many were refused since fault_rate() */
u64 fault_count(void);
/* Refuse one of the next @interval of these, whoever makes them, and no more */
void fault_once(unsigned int interval);
/* End either of them: did the latter happen? */
bool fault_stop(void);

/**
 * struct sweep - an operation is done again and again, each time with another of its
 * allocations, or copies, refused, until there was none to refuse any more
 * @round: which one it is, from 1 on.  In the first nothing is refused: KASAN allocates too,
 *	for each way to an allocation that it sees for the first time.
 * @refused: how many were refused
 *
 * The slab allocator takes new pages now and then, which count too, so that a round may come
 * to the same allocation as the one before, or pass over one: not all are refused each time.
 */
struct sweep {
	unsigned int round;
	unsigned int refused;
};

/* Is there another round?  The last one must have come to its end. */
bool sweep_next(struct sweep *sweep);
/* The operation of the calling thread begins */
void sweep_begin(struct sweep *sweep);
/* It is over: was anything refused? */
bool sweep_end(struct sweep *sweep);

#endif /* VFMIG_TEST_FAULT_H */
