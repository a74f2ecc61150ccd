/* SPDX-License-Identifier: GPL-2.0-only */
/* Figures of a benchmark: ratios of two things measured in turns */
#ifndef VFMIG_TEST_FIGURE_H
#define VFMIG_TEST_FIGURE_H

#include "util.h"

#define ROUNDS		15

struct sample {
	double v[ROUNDS];
};

/* Where the files go, and how many figures did not meet their target */
extern const char *figures_dir;
extern unsigned int figures_missed;

/* Seconds since some point in time */
double now(void);

/*
 * The figure @name is the median of @a over that of @b; @target is what it shall
 * be at least (@at_least) or at most.  Printed, and written to NAME.json.
 */
void report(const char *name, const char *a_name, const struct sample *a, const char *b_name,
	    const struct sample *b, const char *unit, double target, bool at_least);

/* The same of a figure that has no target on this machine, and @why not */
void show(const char *name, const char *a_name, const struct sample *a, const char *b_name,
	  const struct sample *b, const char *unit, const char *why);

/* What can't be measured here, though it should be, has missed its target */
void not_measured(const char *names, const char *why);

#endif /* VFMIG_TEST_FIGURE_H */
