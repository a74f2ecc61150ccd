// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that nobody has to trust, and one that knows what it must get.  guest.h says which part
 * does what.
 */
#include <unistd.h>

#include "guest.h"

#include "harness.h"

/* The time that it goes on is the user's to say */
#define LIMIT	100000

FIXTURE(guest)
{
	struct ref *ref;
	struct hostile_nvme *nvme;
	struct hostile_net *net;
};

FIXTURE_SETUP(guest)
{
	if (geteuid())
		SKIP(return, "needs root");
}

FIXTURE_TEARDOWN(guest)
{
	ref_close(self->ref);
	hostile_nvme_close(self->nvme);
	hostile_net_close(self->net);
}

TEST_F_TIMEOUT(guest, each_command_gives_what_it_must, LIMIT)
{
	const char *why = ref_open(&self->ref, stress_begin("guest: reference"));

	if (why)
		SKIP(return, "%s", why);
	stress_begin_share(GUEST_TESTS);
	EXPECT_GT(ref_run(self->ref), 0);
}

TEST_F_TIMEOUT(guest, hostile_one_leaves_nvme_as_new, LIMIT)
{
	const char *why = hostile_nvme_open(&self->nvme, stress_begin("guest: hostile to nvme"));

	if (why)
		SKIP(return, "%s", why);
	stress_begin_share(GUEST_TESTS);
	EXPECT_GT(hostile_nvme_run(self->nvme), 0);
}

TEST_F_TIMEOUT(guest, hostile_one_leaves_virtio_net_as_new, LIMIT)
{
	u64 seed = stress_begin("guest: hostile to virtio-net");
	const char *why = hostile_net_open(&self->net, seed);

	if (why)
		SKIP(return, "%s", why);
	stress_begin_share(GUEST_TESTS);
	EXPECT_GT(hostile_net_run(self->net), 0);
}

TEST_HARNESS_MAIN
