/* SPDX-License-Identifier: GPL-2.0-only */
/* Figures of a benchmark: ratios of two measurements taken in turns */
#ifndef VFMIG_TEST_FIGURE_H
#define VFMIG_TEST_FIGURE_H

#include "util.h"

#define ROUNDS		15

struct sample {
	double v[ROUNDS];
};

/* The directory for the files, and the number of figures that missed their target */
extern const char *figures_dir;
extern unsigned int figures_missed;

/* Monotonic time in seconds */
double now(void);

/*
 * Print the figure @name and write it to NAME.json.  It is the median of @a divided by that
 * of @b.  @target is its lower limit if @at_least, else its upper limit.
 */
void report(const char *name, const char *a_name, const struct sample *a, const char *b_name,
	    const struct sample *b, const char *unit, double target, bool at_least);

/* The same for a figure that has no target on this machine; @why is the reason */
void show(const char *name, const char *a_name, const struct sample *a, const char *b_name,
	  const struct sample *b, const char *unit, const char *why);

/* Figures that can't be measured, although the machine should: they miss their target */
void not_measured(const char *names, const char *why);

#endif /* VFMIG_TEST_FIGURE_H */
