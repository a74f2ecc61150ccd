/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fault, for the files that know what one is: fault*.c.  The rest of the driver includes
 * fault.h only.
 */
#ifndef _VFMIG_FAULT_LIST_H
#define _VFMIG_FAULT_LIST_H

#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/prandom.h>
#include <linux/types.h>

#include "fault.h"

enum vfmig_fault_action {
	VFMIG_FAULT_NONE,
	VFMIG_FAULT_ERRNO,
	VFMIG_FAULT_ERROR,
	VFMIG_FAULT_DELAY,
	VFMIG_FAULT_RESET,
	VFMIG_FAULT_RATE,
	VFMIG_FAULT_STALL,
	VFMIG_FAULT_END,
	VFMIG_FAULT_SHORT,
	VFMIG_FAULT_FLIP,
	VFMIG_FAULT_REFUSE,
	VFMIG_FAULT_INITIAL,
	VFMIG_FAULT_DIRTY,
	VFMIG_FAULT_STUCK,
	VFMIG_FAULT_JUMP,
	VFMIG_FAULT_GROW,
	VFMIG_FAULT_REINIT,
	VFMIG_FAULT_SET,
	VFMIG_FAULT_MULTIPLY,
	VFMIG_FAULT_DIVIDE,
	VFMIG_FAULT_ALL,
	VFMIG_FAULT_FORGET,
};

enum vfmig_fault_place {
	VFMIG_FAULT_NOWHERE,
	VFMIG_FAULT_AT,		/* byte @at */
	VFMIG_FAULT_RECORD,	/* record number @at */
	VFMIG_FAULT_LAST,	/* the closing record */
};

enum vfmig_fault_when {
	VFMIG_FAULT_ALWAYS,
	VFMIG_FAULT_TIMES,	/* the first @count times */
	VFMIG_FAULT_NTH,	/* time number @count */
	VFMIG_FAULT_PROBABLY,	/* in @count percent of all times */
};

#define VFMIG_FAULT_ANY_STATE	U32_MAX

/**
 * struct vfmig_fault - a line of a user
 * @node: in &vfmig_faults.list
 * @id: its number
 * @point: where it is
 * @action: what happens
 * @value: of the action: a positive errno, milliseconds, bytes and so on
 * @from: state before the arc, or VFMIG_FAULT_ANY_STATE
 * @to: state after it, likewise
 * @place: where in a stream
 * @at: of @place
 * @when: which times it happens
 * @count: of @when
 * @seed: of @random
 * @given: the words that were given, by their index
 * @random: for VFMIG_FAULT_PROBABLY
 * @initial: highest initial_bytes that "stuck" has seen in session @met_in
 * @dirty: highest dirty_bytes
 * @met_in: the session that met this fault last, if that matters
 * @met_at: where it did
 * @seen: how often it could have happened
 * @done: how often it has happened
 * @text: the line, with single blanks
 *
 * @random and all from there to @done are protected by &vfmig_faults.lock.  All else is constant
 * once the fault is in the list.
 */
struct vfmig_fault {
	struct list_head node;
	unsigned int id;
	enum vfmig_fault_point point;
	enum vfmig_fault_action action;
	u64 value;
	u32 from;
	u32 to;
	enum vfmig_fault_place place;
	u64 at;
	enum vfmig_fault_when when;
	u64 count;
	u64 seed;
	unsigned long given;
	struct rnd_state random;
	u64 initial;
	u64 dirty;
	u64 met_in;
	u64 met_at;
	u64 seen;
	u64 done;
	char text[VFMIG_FAULT_LINE];
};

/* How often a thread that waits looks whether its fault is still set */
#define VFMIG_FAULT_LOOK	msecs_to_jiffies(100)

/* Jiffies until ktime @end in ns, or 0 */
static inline unsigned long vfmig_fault_until(u64 end)
{
	u64 now = ktime_get_ns();

	return now < end ? nsecs_to_jiffies(end - now) + 1 : 0;
}

/* fault.c */
bool vfmig_fault_happens(struct vfmig_faults *faults, struct vfmig_fault *fault);
bool vfmig_fault_is_set(struct vfmig_faults *faults, unsigned int id);
int vfmig_fault_write_line(struct vfmig_faults *faults, char *line);

/* fault_parse.c */
int vfmig_fault_parse(struct vfmig_fault *fault, const char *line, char *text, size_t size);
int vfmig_fault_parse_u64(const char *text, bool bytes, u64 *value);

#endif /* _VFMIG_FAULT_LIST_H */
