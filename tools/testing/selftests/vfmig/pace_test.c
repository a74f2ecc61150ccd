// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long a guest waits because the device awaits more commands than it has: the device's source,
 * with guests of all depths in a time that is counted, not measured.
 */
#include "pace.h"

#include "harness.h"

#define US	1000ULL
#define MS	(1000 * US)
#define S	(1000 * MS)

/**
 * struct guest - one that has a fixed number of commands in flight
 * @depth: that number
 * @submit: time to submit one, in ns
 * @think: time from the last completion to the first command of the next round, in ns
 */
struct guest {
	unsigned int depth;
	u64 submit;
	u64 think;
};

/**
 * struct outcome - what came of it
 * @rounds: rounds that the guest did
 * @rings: doorbells that it wrote
 * @waits: rounds in which it waited until the device looked by itself
 */
struct outcome {
	unsigned int rounds;
	unsigned int rings;
	unsigned int waits;
};

static unsigned int fewer(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* A round: the guest submits all that it may, and goes on when all is done */
static u64 play_round(struct vfmig_nvme_pace *pace, const struct guest *guest, u64 now,
		      struct outcome *outcome)
{
	unsigned int left = guest->depth;

	now += guest->think;
	while (left) {
		unsigned int n = fewer(pace->burst, left);

		now += n * guest->submit;
		if (n == pace->burst) {
			outcome->rings++;
		} else if (pace->until > now) {
			now = pace->until;
			outcome->waits++;
		}
		vfmig_nvme_pace_count(pace, n, pace->burst, now);
		left -= n;
	}
	outcome->rounds++;
	return now;
}

static struct outcome play(struct vfmig_nvme_pace *pace, const struct guest *guest, u64 time)
{
	struct outcome outcome = {};
	u64 now = 0;

	vfmig_nvme_pace_init(pace, 0);
	while (now < time)
		now = play_round(pace, guest, now, &outcome);
	return outcome;
}

FIXTURE(pace)
{
	struct vfmig_nvme_pace pace;
};

FIXTURE_VARIANT(pace)
{
	u64 submit;
	u64 think;
};

FIXTURE_VARIANT_ADD(pace, fast_guest)
{
	.submit = 3 * US,
	.think = 10 * US,
};

FIXTURE_VARIANT_ADD(pace, emulated_guest)
{
	.submit = 300 * US,
	.think = 400 * US,
};

FIXTURE_SETUP(pace)
{
}

FIXTURE_TEARDOWN(pace)
{
}

/* The worst guest: it waits for the last command of a round before it submits another */
TEST_F(pace, guest_waits_rarely_at_each_depth)
{
	for (unsigned int depth = 1; depth <= 40; depth++) {
		struct guest guest = { depth, variant->submit, variant->think };
		struct outcome outcome = play(&self->pace, &guest, 4 * S);

		EXPECT_LE(outcome.waits, 8 + outcome.rounds * depth / 400)
			TH_LOG("depth %u: %u waits in %u rounds", depth, outcome.waits,
			       outcome.rounds);
	}
}

TEST_F(pace, deep_queue_rings_once_for_a_burst)
{
	struct guest guest = { 32, variant->submit, variant->think };
	struct outcome outcome = play(&self->pace, &guest, S);

	EXPECT_EQ(self->pace.burst, VFMIG_NVME_MAX_BURST);
	EXPECT_LE(outcome.rings, outcome.rounds * 5);
}

TEST_F(pace, burst_is_as_long_as_the_queue_is_deep)
{
	for (unsigned int depth = 1; depth <= VFMIG_NVME_MAX_BURST; depth *= 2) {
		struct guest guest = { depth, variant->submit, variant->think };

		play(&self->pace, &guest, 4 * S);
		EXPECT_EQ(self->pace.burst, depth);
	}
}

TEST_F(pace, guest_that_changes_its_depth_waits_a_little)
{
	struct guest deep = { 32, variant->submit, variant->think };
	struct guest single = { 1, variant->submit, variant->think };
	struct outcome outcome = {};
	u64 now = S;

	play(&self->pace, &deep, S);
	for (unsigned int i = 0; i < 1000; i++)
		now = play_round(&self->pace, &single, now, &outcome);
	EXPECT_LE(outcome.waits, 8);
	for (unsigned int i = 0; i < 200; i++)
		now = play_round(&self->pace, &deep, now, &outcome);
	EXPECT_GT(self->pace.burst, 1);
}

/* A guest that is idle is not asked for a burst, and tries do not become rare because of that */
TEST_F(pace, pause_is_no_failure)
{
	struct guest guest = { 32, variant->submit, variant->think };
	struct outcome outcome = {};
	u64 now = S;

	play(&self->pace, &guest, S);
	for (unsigned int pause = 0; pause < 10; pause++) {
		vfmig_nvme_pace_count(&self->pace, 0, self->pace.burst, self->pace.until);
		EXPECT_EQ(self->pace.burst, 1);
		now += S;
		for (unsigned int i = 0; i < 100; i++)
			now = play_round(&self->pace, &guest, now, &outcome);
		EXPECT_EQ(self->pace.burst, VFMIG_NVME_MAX_BURST);
	}
}

TEST_F(pace, wait_is_bounded)
{
	struct guest guest = { 32, variant->submit, variant->think };
	u64 now = 0;

	vfmig_nvme_pace_init(&self->pace, 0);
	for (unsigned int i = 0; i < 1000; i++) {
		struct outcome outcome = {};

		guest.submit = (i * 7919 % 5000) * US;
		now = play_round(&self->pace, &guest, now, &outcome);
		ASSERT_GE(self->pace.until, now + 20 * US);
		ASSERT_LE(self->pace.until, now + 16 * MS);
		ASSERT_GE(self->pace.burst, 1);
		ASSERT_LE(self->pace.burst, VFMIG_NVME_MAX_BURST);
	}
}

TEST_HARNESS_MAIN
