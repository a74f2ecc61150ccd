// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state machine as the comment above enum vfio_device_mig_state describes it: its arcs, and
 * the two rules by which a path is chosen.  It is not the table of vfio_mig_get_next_state(),
 * which is under test here.
 */
#include <unistd.h>

#include "mig.h"

#define S(name)	VFIO_DEVICE_STATE_##name

/*
 * All arcs that have a heading.  A device without P2P takes those through P2P states too: "For
 * the purpose of specification the states behave as though the device was fully running if not
 * supported."
 */
static const u8 arcs[][2] = {
	{ S(RUNNING_P2P), S(STOP) },
	{ S(STOP_COPY), S(STOP) },
	{ S(RESUMING), S(STOP) },
	{ S(PRE_COPY), S(RUNNING) },
	{ S(RUNNING_P2P), S(RUNNING) },
	{ S(PRE_COPY_P2P), S(RUNNING_P2P) },
	{ S(RUNNING), S(RUNNING_P2P) },
	{ S(STOP), S(RUNNING_P2P) },
	{ S(RUNNING), S(PRE_COPY) },
	{ S(RUNNING_P2P), S(PRE_COPY_P2P) },
	{ S(STOP), S(STOP_COPY) },
	{ S(PRE_COPY), S(PRE_COPY_P2P) },
	{ S(PRE_COPY_P2P), S(PRE_COPY) },
	{ S(PRE_COPY_P2P), S(STOP_COPY) },
	{ S(STOP), S(RESUMING) },
};

static const char *const names[] = {
	[S(ERROR)] = "ERROR",
	[S(STOP)] = "STOP",
	[S(RUNNING)] = "RUNNING",
	[S(STOP_COPY)] = "STOP_COPY",
	[S(RESUMING)] = "RESUMING",
	[S(RUNNING_P2P)] = "RUNNING_P2P",
	[S(PRE_COPY)] = "PRE_COPY",
	[S(PRE_COPY_P2P)] = "PRE_COPY_P2P",
};

const char *mig_state_name(u32 state)
{
	return state < ARRAY_SIZE(names) ? names[state] : "a state without a name";
}

bool mig_has_state(const struct mig_device *dev, u32 state)
{
	u64 needs = 0;

	switch (state) {
	case S(RUNNING_P2P):
		needs = VFIO_MIGRATION_P2P;
		break;
	case S(PRE_COPY):
		needs = VFIO_MIGRATION_PRE_COPY;
		break;
	case S(PRE_COPY_P2P):
		needs = VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;
		break;
	}
	return state < VFIO_DEVICE_STATE_NR && (dev->flags & needs) == needs;
}

bool mig_is_saving(u32 state)
{
	return state == S(PRE_COPY) || state == S(PRE_COPY_P2P) || state == S(STOP_COPY);
}

/* "Arcs touching PRE_COPY and PRE_COPY_P2P are removed if support for PRE_COPY is not present." */
static bool is_removed(const struct mig_device *dev, u32 state)
{
	return (state == S(PRE_COPY) || state == S(PRE_COPY_P2P)) &&
	       !(dev->flags & VFIO_MIGRATION_PRE_COPY);
}

/*
 * "The path cannot have saving group states as interior arcs, only starting/end states."  Within
 * the group the session goes on, and PRE_COPY -> PRE_COPY_P2P -> STOP_COPY is the only way.
 */
static bool may_be_inside(u32 from, u32 to, u32 state)
{
	return !mig_is_saving(state) || (mig_is_saving(from) && mig_is_saving(to));
}

/* "STOP_COPY -> PRE_COPY, STOP_COPY -> PRE_COPY_P2P: These arcs are not permitted" */
static bool is_permitted(u32 from, u32 to)
{
	return from != S(STOP_COPY) || (to != S(PRE_COPY) && to != S(PRE_COPY_P2P));
}

int mig_path(const struct mig_device *dev, u32 from, u32 to, u32 path[VFIO_DEVICE_STATE_NR])
{
	u32 before[VFIO_DEVICE_STATE_NR], queue[VFIO_DEVICE_STATE_NR], at;
	bool seen[VFIO_DEVICE_STATE_NR] = {};
	unsigned int head = 0, tail = 0, i;
	int length = 0;

	seen[from] = true;
	queue[tail++] = from;
	while (head < tail && !seen[to] && is_permitted(from, to)) {
		at = queue[head++];
		if (at != from && !may_be_inside(from, to, at))
			continue;
		for (i = 0; i < ARRAY_SIZE(arcs); i++) {
			u32 next = arcs[i][1];

			if (arcs[i][0] != at || seen[next] || is_removed(dev, next))
				continue;
			seen[next] = true;
			before[next] = at;
			queue[tail++] = next;
		}
	}
	if (!seen[to])
		return -1;
	for (at = to; at != from; at = before[at])
		length++;
	for (at = to, i = length; at != from; at = before[at])
		path[--i] = at;
	return length;
}

bool mig_begins_session(u32 from, u32 to)
{
	if (to == S(RESUMING))
		return from != S(RESUMING);
	return mig_is_saving(to) && !mig_is_saving(from);
}

bool mig_may_remain(const struct mig_device *dev, u32 from, u32 to, u32 state)
{
	u32 path[VFIO_DEVICE_STATE_NR];
	int length = mig_path(dev, from, to, path);

	if (state == from || state == S(ERROR))
		return true;
	for (int i = 0; i < length; i++)
		if (path[i] == state)
			return true;
	return false;
}

int mig_go(struct mig_device *dev, u32 state)
{
	int data_fd;

	VFIO_ASSERT_EQ(mig_set_state(dev, state, &data_fd), 0, "can't go to %s\n",
		       mig_state_name(state));
	return data_fd;
}
