/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's harness; a test program includes this last.  Its time limits end tests that
 * hang.  They are multiplied by VFMIG_SLOWNESS from the environment, for slow kernels.
 */
#ifndef VFMIG_TEST_HARNESS_H
#define VFMIG_TEST_HARNESS_H

#include <stdlib.h>

#include "kselftest_harness.h"

static inline int run_tests(int argc, char **argv)
{
	const char *text = getenv("VFMIG_SLOWNESS");
	int slowness = text ? atoi(text) : 1;

	for (struct __fixture_metadata *f = __fixture_list; f; f = f->next)
		for (struct __test_metadata *t = f->tests; t; t = t->next)
			t->timeout *= slowness > 1 ? slowness : 1;
	return test_harness_run(argc, argv);
}

#undef TEST_HARNESS_MAIN
#define TEST_HARNESS_MAIN \
	int main(int argc, char **argv) \
	{ \
		exit(run_tests(argc, argv)); \
	}

#endif /* VFMIG_TEST_HARNESS_H */
