/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The running state of a device: running, quiesced (RUNNING_P2P) or frozen (STOP).
 *
 * A model embeds a &struct vfmig_running.  Its own lock protects the object: it is held for
 * all calls, and for each piece of work that the state forbids.  So a call waits for the
 * piece under way.
 */
#ifndef _VFMIG_MODEL_RUNNING_H
#define _VFMIG_MODEL_RUNNING_H

#include <linux/timekeeping.h>
#include <linux/types.h>

struct vfmig_fn;

enum vfmig_running_state {
	VFMIG_RUNNING,
	VFMIG_QUIESCED,		/* no DMA, no interrupt; register writes are latched */
	VFMIG_FROZEN,		/* nothing changes */
};

/**
 * struct vfmig_running - the running state of a device; the model's lock protects it
 * @fn: the device's function
 * @state: &enum vfmig_running_state
 * @frozen_at: ktime in ns when it was frozen the last time
 */
struct vfmig_running {
	struct vfmig_fn *fn;
	enum vfmig_running_state state;
	u64 frozen_at;
};

/** vfmig_running_init() - make the state of a device that runs, behind @fn */
static inline void vfmig_running_init(struct vfmig_running *running, struct vfmig_fn *fn)
{
	*running = (struct vfmig_running) { .fn = fn, .state = VFMIG_RUNNING };
}

static inline bool vfmig_is_running(const struct vfmig_running *running)
{
	return running->state == VFMIG_RUNNING;
}

static inline bool vfmig_is_frozen(const struct vfmig_running *running)
{
	return running->state == VFMIG_FROZEN;
}

/** vfmig_running_now() - the time as the device sees it in ktime ns: it stands still if frozen */
static inline u64 vfmig_running_now(const struct vfmig_running *running)
{
	return vfmig_is_frozen(running) ? running->frozen_at : ktime_get_ns();
}

/**
 * vfmig_running_quiesce() - from running to quiesced
 * @running: in any state; nothing happens unless the device runs
 *
 * No interrupt is under way when it returns.  May sleep.
 */
void vfmig_running_quiesce(struct vfmig_running *running);

/**
 * vfmig_running_freeze() - from running or quiesced to frozen
 * @running: in any state
 *
 * May sleep.
 *
 * Return: true if the device was not frozen.  The model then drops register writes.
 */
bool vfmig_running_freeze(struct vfmig_running *running);

/**
 * vfmig_running_thaw() - from frozen to quiesced
 * @running: in any state
 * @paused: ns for which the device was frozen, if it was; a model adds them to times to come
 *
 * Return: true if the device was frozen.  The model then takes register writes again.
 */
bool vfmig_running_thaw(struct vfmig_running *running, u64 *paused);

/**
 * vfmig_running_run() - from quiesced to running; also from frozen, for a reset
 * @running: in any state
 *
 * Pending interrupts fire.  May sleep.
 *
 * Return: true if the device did not run.  If this is not a reset, the model then raises the
 * interrupts that the guest may have missed, and kicks its worker.
 */
bool vfmig_running_run(struct vfmig_running *running);

#endif /* _VFMIG_MODEL_RUNNING_H */
