/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection: fails the nth allocation of the calling thread, or one in N allocations
 * of any thread (CONFIG_FAILSLAB, CONFIG_FAIL_PAGE_ALLOC), or the nth copy between kernel and
 * user (CONFIG_FAULT_INJECTION_USERCOPY).  The settings in debugfs are restored when the
 * program ends.
 */
#ifndef VFMIG_TEST_FAULT_H
#define VFMIG_TEST_FAULT_H

#include "util.h"

/* Returns NULL, or why the test must be skipped.  Nothing fails yet. */
const char *fault_init(void);

/* From now on count only allocations below a function of the modules; so it is at first */
void fault_below_us(void);
/* From now on count only allocations below this function, which must not be inlined */
void fault_below_function(const char *name);
/*
 * Of these, from now on don't count allocations below this function, which must not be inlined.
 * Those that kmemleak makes for its own records count then.
 */
void fault_not_below_function(const char *name);
/* The same for all functions from @first to @last, in the order in which they are in memory */
void fault_not_below_functions(const char *first, const char *last);
/* From now on, or not any more, count only allocations that may not wait for memory */
void fault_only_at_once(bool only);
/* From now on count only copies between kernel and user that the modules make */
void fault_copies_below_us(void);

/* Fail one in @interval of these, in any thread, except in the variant driver */
void fault_rate(unsigned int interval);
/* The same, of pages only */
void fault_pages(unsigned int interval);
/* Number of failures since fault_rate() or fault_pages() */
u64 fault_count(void);
/* Fail exactly one of the next @interval of these, in any thread */
void fault_once(unsigned int interval);
/* End it; returns true if fault_once() has failed one */
bool fault_stop(void);

/**
 * struct sweep - repeats an operation, each time with another allocation or copy failing,
 * until a round has none left to fail
 * @round: number of the round, from 1 on.  Nothing fails in the first round, because KASAN
 *	allocates memory for each stack trace that it sees for the first time.
 * @refused: number of failures so far
 *
 * The slab allocator takes new pages now and then, and these allocations count too.  So a round
 * may fail the same allocation as the previous one, or skip one.
 */
struct sweep {
	unsigned int round;
	unsigned int refused;
};

/*
 * From now on a sweep is about the worker of VF @bdf, which the calling process has open; NULL for
 * the calling thread, as at first
 */
void fault_in_worker(const char *bdf);

/* Is there another round?  The previous one must be over. */
bool sweep_next(struct sweep *sweep);
/* Begin the operation, in the calling thread or that of fault_in_worker() */
void sweep_begin(struct sweep *sweep);
/* End it; returns true if anything failed */
bool sweep_end(struct sweep *sweep);

#endif /* VFMIG_TEST_FAULT_H */
