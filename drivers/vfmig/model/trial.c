// SPDX-License-Identifier: GPL-2.0-only
/*
 * A trial of two ways to do something: which of them brings a guest more?
 *
 * What a guest gets done changes from one moment to the next, mostly for reasons that are not the
 * device's.  So both ways are used in turns, in short windows, until one of them is clearly better,
 * or each has had many.
 */
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/time64.h>

#include "trial.h"

/* Windows of both ways together, at least and at most */
#define VFMIG_TRIAL_MIN_WINDOWS	8
#define VFMIG_TRIAL_MAX_WINDOWS	32

/* A window has at least so many counts and lasts for at least so long */
#define VFMIG_TRIAL_COUNTS	4
#define VFMIG_TRIAL_WINDOW_NS	(8ULL * NSEC_PER_MSEC)

/* A gain or a loss beyond these is no matter of luck */
#define VFMIG_TRIAL_CLEAR_GAIN	(VFMIG_TRIAL_EVEN * 5 / 4)
#define VFMIG_TRIAL_CLEAR_LOSS	(VFMIG_TRIAL_EVEN * 3 / 4)

void vfmig_trial_begin(struct vfmig_trial *trial)
{
	*trial = (struct vfmig_trial) {
		.way = VFMIG_TRIAL_SECOND,
		.left = VFMIG_TRIAL_MAX_WINDOWS,
	};
}

/* Both ways have had the same number of windows.  Are more of them needed? */
static bool is_clear(const struct vfmig_trial *trial)
{
	u64 gain = vfmig_trial_gain(trial);

	return trial->left <= VFMIG_TRIAL_MAX_WINDOWS - VFMIG_TRIAL_MIN_WINDOWS &&
	       (gain >= VFMIG_TRIAL_CLEAR_GAIN || gain <= VFMIG_TRIAL_CLEAR_LOSS);
}

void vfmig_trial_count(struct vfmig_trial *trial, unsigned int amount, u64 ns)
{
	/* The first one still has to do with the other way */
	if (!trial->in_window++)
		return;
	trial->amount[trial->way] += amount;
	trial->ns[trial->way] += ns;
	trial->window_ns += ns;
	if (trial->in_window <= VFMIG_TRIAL_COUNTS || trial->window_ns < VFMIG_TRIAL_WINDOW_NS)
		return;
	trial->in_window = 0;
	trial->window_ns = 0;
	trial->way = !trial->way;
	trial->left--;
	if (trial->left % 2 == 0 && is_clear(trial))
		trial->left = 0;
}

u64 vfmig_trial_gain(const struct vfmig_trial *trial)
{
	/* Units of 65 us, or the products were too large for an amount of bytes */
	u64 first = trial->amount[VFMIG_TRIAL_FIRST] * (trial->ns[VFMIG_TRIAL_SECOND] >> 16);
	u64 second = trial->amount[VFMIG_TRIAL_SECOND] * (trial->ns[VFMIG_TRIAL_FIRST] >> 16);

	return div64_u64(second * VFMIG_TRIAL_EVEN, max(first, 1ULL));
}
