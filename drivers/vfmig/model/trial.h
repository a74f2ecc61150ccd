/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A trial of two ways to do something, see trial.c.  This needs nothing of a device, so that a test
 * can have it by itself.
 */
#ifndef _VFMIG_MODEL_TRIAL_H
#define _VFMIG_MODEL_TRIAL_H

#include <linux/types.h>

/* The two ways */
#define VFMIG_TRIAL_FIRST	0
#define VFMIG_TRIAL_SECOND	1

/* The gain of two ways that bring the same */
#define VFMIG_TRIAL_EVEN	1024

/**
 * struct vfmig_trial - which of two ways brings more
 * @way: the way that is to be used now
 * @left: number of windows that are left; 0: there is no trial
 * @in_window: number of counts in this window
 * @window_ns: its length so far, in ns
 * @amount: what each way has brought
 * @ns: time that each of them took, in ns
 */
struct vfmig_trial {
	unsigned int way;
	unsigned int left;
	unsigned int in_window;
	u64 window_ns;
	u64 amount[2];
	u64 ns[2];
};

/** vfmig_trial_begin() - begin a trial, with the second way */
void vfmig_trial_begin(struct vfmig_trial *trial);

/** vfmig_trial_end() - there is no trial any more */
static inline void vfmig_trial_end(struct vfmig_trial *trial)
{
	trial->left = 0;
}

/** vfmig_trial_is_on() - has the trial begun, and not ended? */
static inline bool vfmig_trial_is_on(const struct vfmig_trial *trial)
{
	return trial->left;
}

/**
 * vfmig_trial_count() - something was done in the way that was to be used
 * @trial: the trial, which is on
 * @amount: what that brought, in any unit; at most 4 G in a second
 * @ns: time that it took; less than a second
 *
 * Sets @trial->way for the next time, and ends the trial when it has lasted for long enough.
 */
void vfmig_trial_count(struct vfmig_trial *trial, unsigned int amount, u64 ns);

/**
 * vfmig_trial_gain() - compare the ways after a trial
 * @trial: the trial
 *
 * Return: what the second way brings in the time in which the first one brings VFMIG_TRIAL_EVEN.
 */
u64 vfmig_trial_gain(const struct vfmig_trial *trial);

#endif /* _VFMIG_MODEL_TRIAL_H */
