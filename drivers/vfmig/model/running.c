// SPDX-License-Identifier: GPL-2.0-only
/*
 * The running state of a device.
 */
#include "../fabric/fabric.h"
#include "running.h"

void vfmig_running_quiesce(struct vfmig_running *running)
{
	if (running->state != VFMIG_RUNNING)
		return;
	running->state = VFMIG_QUIESCED;
	vfmig_fn_hold_irqs(running->fn, true);
}

bool vfmig_running_freeze(struct vfmig_running *running)
{
	if (running->state == VFMIG_FROZEN)
		return false;
	vfmig_running_quiesce(running);
	running->state = VFMIG_FROZEN;
	running->frozen_at = ktime_get_ns();
	return true;
}

bool vfmig_running_thaw(struct vfmig_running *running, u64 *paused)
{
	if (running->state != VFMIG_FROZEN)
		return false;
	*paused = ktime_get_ns() - running->frozen_at;
	running->state = VFMIG_QUIESCED;
	return true;
}

bool vfmig_running_run(struct vfmig_running *running)
{
	if (running->state == VFMIG_RUNNING)
		return false;
	running->state = VFMIG_RUNNING;
	vfmig_fn_hold_irqs(running->fn, false);
	return true;
}
