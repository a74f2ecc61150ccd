// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that nobody has to trust, and one that knows what it must get.  guest.h says which part
 * does what.
 */
#include <stdlib.h>
#include <unistd.h>

#include "guest.h"

#include "harness.h"

/* The time that it goes on is the user's to say */
#define LIMIT	100000

FIXTURE(reference)
{
	struct ref *ref;
};

FIXTURE_SETUP(reference)
{
	const char *why;

	if (geteuid())
		SKIP(return, "needs root");
	self->ref = calloc(1, sizeof(*self->ref));
	must(self->ref);
	why = ref_open(self->ref, stress_begin_share("guest: reference", GUEST_TESTS));
	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(reference)
{
	if (self->ref)
		ref_close(self->ref);
}

TEST_F_TIMEOUT(reference, each_command_gives_what_it_must, LIMIT)
{
	ref_run(self->ref);
	EXPECT_GT(self->ref->counts[REF_IO], 0);
}

TEST_HARNESS_MAIN
