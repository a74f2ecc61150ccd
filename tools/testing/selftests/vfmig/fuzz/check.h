/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What must hold.  If it does not, the fuzzer keeps the input and ends.
 */
#ifndef VFMIG_FUZZ_CHECK_H
#define VFMIG_FUZZ_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include <linux/array_size.h>

#define check(condition)							\
	do {									\
		if (!(condition)) {						\
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__,	\
				__LINE__, #condition);				\
			abort();						\
		}								\
	} while (0)

#endif /* VFMIG_FUZZ_CHECK_H */
