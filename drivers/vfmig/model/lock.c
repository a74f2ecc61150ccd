// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lock of a device, which its worker gives up soon to any other thread.
 */
#include <linux/delay.h>

#include "lock.h"

#define VFMIG_LOCK_GAP_US	10
#define VFMIG_LOCK_GAPS		100

void vfmig_lock_give_way(const struct vfmig_lock *lock)
{
	for (unsigned int i = 0; i < VFMIG_LOCK_GAPS && vfmig_lock_is_wanted(lock); i++)
		usleep_range(VFMIG_LOCK_GAP_US, 5 * VFMIG_LOCK_GAP_US);
}
