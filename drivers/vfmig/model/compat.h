/* SPDX-License-Identifier: GPL-2.0-only */
/* What of the kernel's interfaces differs for device models; Kbuild asks the headers */
#ifndef _VFMIG_MODEL_COMPAT_H
#define _VFMIG_MODEL_COMPAT_H

#include <linux/hrtimer.h>

/* hrtimer_setup() takes the function too, and took the place of hrtimer_init() (6.13) */
#ifdef VFMIG_HAS_HRTIMER_SETUP
static inline void vfmig_hrtimer_setup(struct hrtimer *timer,
				       enum hrtimer_restart (*function)(struct hrtimer *timer))
{
	hrtimer_setup(timer, function, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
}
#else
static inline void vfmig_hrtimer_setup(struct hrtimer *timer,
				       enum hrtimer_restart (*function)(struct hrtimer *timer))
{
	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
	timer->function = function;
}
#endif

#endif /* _VFMIG_MODEL_COMPAT_H */
