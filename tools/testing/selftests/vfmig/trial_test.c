// SPDX-License-Identifier: GPL-2.0-only
/* Which of two ways brings more: the device's source, with amounts that chance changes */
#include "trial.h"

#include "harness.h"

#define US	1000ULL
#define MS	(1000 * US)

FIXTURE(trial)
{
	struct vfmig_trial trial;
	u64 chance;
};

FIXTURE_SETUP(trial)
{
}

FIXTURE_TEARDOWN(trial)
{
}

/* About @mean: one time in twenty is eleven times as long as the others */
static u64 any_time(u64 *chance, u64 mean)
{
	u64 usual = mean * 2 / 3;

	*chance = *chance * 6364136223846793005ULL + 1442695040888963407ULL;
	return (*chance >> 33) % 20 ? usual : 11 * usual;
}

/* A trial in which the ways take @first and @second for an amount of @amount; returns the gain */
static u64 play(struct vfmig_trial *trial, u64 *chance, u64 first, u64 second, unsigned int amount)
{
	vfmig_trial_begin(trial);
	while (vfmig_trial_is_on(trial))
		vfmig_trial_count(trial, amount, any_time(chance, trial->way ? second : first));
	return vfmig_trial_gain(trial);
}

TEST_F(trial, gain_is_what_the_ways_bring)
{
	static const u64 times[] = { 5 * US, 100 * US, 3 * MS };

	for (unsigned int i = 0; i < ARRAY_SIZE(times); i++) {
		vfmig_trial_begin(&self->trial);
		while (vfmig_trial_is_on(&self->trial))
			vfmig_trial_count(&self->trial, self->trial.way ? 2 : 3, times[i]);
		EXPECT_GE(vfmig_trial_gain(&self->trial), VFMIG_TRIAL_EVEN * 60 / 100);
		EXPECT_LE(vfmig_trial_gain(&self->trial), VFMIG_TRIAL_EVEN * 73 / 100);
	}
}

/* At most one verdict in ten is wrong, although each single time says next to nothing */
TEST_F(trial, better_way_is_found_in_noise)
{
	unsigned int right = 0;

	for (unsigned int i = 0; i < 200; i++) {
		right += play(&self->trial, &self->chance, 130 * US, 100 * US, 1) >
			 VFMIG_TRIAL_EVEN;
		right += play(&self->trial, &self->chance, 100 * US, 130 * US, 1) <
			 VFMIG_TRIAL_EVEN;
	}
	EXPECT_GE(right, 360);
}

TEST_F(trial, even_ways_are_even)
{
	u64 sum = 0;

	for (unsigned int i = 0; i < 400; i++)
		sum += play(&self->trial, &self->chance, 100 * US, 100 * US, 1);
	EXPECT_GE(sum / 400, VFMIG_TRIAL_EVEN * 95 / 100);
	EXPECT_LE(sum / 400, VFMIG_TRIAL_EVEN * 105 / 100);
}

/* A clear case is not drawn out; the other way of an even one costs nothing */
TEST_F(trial, clear_gain_ends_it_early)
{
	u64 clear, even;

	play(&self->trial, &self->chance, 200 * US, 100 * US, 1);
	clear = self->trial.ns[0] + self->trial.ns[1];
	play(&self->trial, &self->chance, 100 * US, 100 * US, 1);
	even = self->trial.ns[0] + self->trial.ns[1];
	EXPECT_LE(clear, 80 * MS);
	EXPECT_GE(clear, 32 * MS);
	EXPECT_LE(even, 400 * MS);
}

/* 4 GB a second, in the largest counts that there are */
TEST_F(trial, bytes_do_not_overflow)
{
	vfmig_trial_begin(&self->trial);
	while (vfmig_trial_is_on(&self->trial))
		vfmig_trial_count(&self->trial, 80000000, 20 * MS);
	EXPECT_EQ(vfmig_trial_gain(&self->trial), VFMIG_TRIAL_EVEN);
}

TEST_HARNESS_MAIN
