/* SPDX-License-Identifier: GPL-2.0-only */
/* Differences between Linux 6.12 and newer ones, as far as the model meets them */
#ifndef _VFMIG_NVME_COMPAT_H
#define _VFMIG_NVME_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/version.h>

/* 6.13: hrtimer_init() became hrtimer_setup() and takes the function */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
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

#endif /* _VFMIG_NVME_COMPAT_H */
