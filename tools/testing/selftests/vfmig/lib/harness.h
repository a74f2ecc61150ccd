/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's harness; a test program includes this last.  Its time limits end tests that
 * hang.  They are multiplied by VFMIG_SLOWNESS from the environment, for slow kernels.  With
 * VFMIG_EACH_TEST_ONCE each test runs in one variant, and the variants take turns.
 */
#ifndef VFMIG_TEST_HARNESS_H
#define VFMIG_TEST_HARNESS_H

#include <stdlib.h>

#include "kselftest_harness.h"

/*
 * One test in one variant each, as arguments for the harness; the first one is the program's
 * name.  Returns their number, and with NULL does nothing else.
 */
static inline int each_test_once(char **argv)
{
	int argc = 1;

	for (struct __fixture_metadata *f = __fixture_list; f; f = f->next) {
		struct __fixture_variant_metadata *v = f->variant;

		for (struct __test_metadata *t = f->tests; t; t = t->next, argc += 2) {
			if (v)
				v = v->next ?: f->variant;
			if (!argv)
				continue;
			argv[argc] = "-r";
			if (asprintf(&argv[argc + 1], "%s%s%s.%s", f->name, v ? "." : "",
				     v ? v->name : "", t->name) < 0)
				exit(KSFT_FAIL);
		}
	}
	return argc;
}

static inline int run_tests(int argc, char **argv)
{
	const char *text = getenv("VFMIG_SLOWNESS");
	int slowness = text ? atoi(text) : 1;

	if (getenv("VFMIG_EACH_TEST_ONCE") && argc == 1) {
		char **arguments = calloc(each_test_once(NULL) + 1, sizeof(*arguments));

		if (!arguments)
			exit(KSFT_FAIL);
		arguments[0] = argv[0];
		argc = each_test_once(arguments);
		argv = arguments;
	}
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
