// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state machine of the uAPI, and the states that a device can be in while several threads
 * use it.
 *
 * The set of states grows by what the calls under way can make of it.  It shrinks when a call
 * was the only one from its beginning to its end.
 */
#include <errno.h>

#include "walk.h"

/* The states that SET_STATE goes through, as the uAPI defines it */
static const u8 next_state[STATES][STATES] = {
	[STOP] = {
		[STOP] = STOP, [RUNNING] = RUNNING_P2P, [PRE_COPY] = RUNNING_P2P,
		[PRE_COPY_P2P] = RUNNING_P2P, [STOP_COPY] = STOP_COPY, [RESUMING] = RESUMING,
		[RUNNING_P2P] = RUNNING_P2P,
	},
	[RUNNING] = {
		[STOP] = RUNNING_P2P, [RUNNING] = RUNNING, [PRE_COPY] = PRE_COPY,
		[PRE_COPY_P2P] = RUNNING_P2P, [STOP_COPY] = RUNNING_P2P,
		[RESUMING] = RUNNING_P2P, [RUNNING_P2P] = RUNNING_P2P,
	},
	[PRE_COPY] = {
		[STOP] = RUNNING, [RUNNING] = RUNNING, [PRE_COPY] = PRE_COPY,
		[PRE_COPY_P2P] = PRE_COPY_P2P, [STOP_COPY] = PRE_COPY_P2P, [RESUMING] = RUNNING,
		[RUNNING_P2P] = RUNNING,
	},
	[PRE_COPY_P2P] = {
		[STOP] = RUNNING_P2P, [RUNNING] = RUNNING_P2P, [PRE_COPY] = PRE_COPY,
		[PRE_COPY_P2P] = PRE_COPY_P2P, [STOP_COPY] = STOP_COPY,
		[RESUMING] = RUNNING_P2P, [RUNNING_P2P] = RUNNING_P2P,
	},
	[STOP_COPY] = {
		[STOP] = STOP, [RUNNING] = STOP, [STOP_COPY] = STOP_COPY, [RESUMING] = STOP,
		[RUNNING_P2P] = STOP,
	},
	[RESUMING] = {
		[STOP] = STOP, [RUNNING] = STOP, [PRE_COPY] = STOP, [PRE_COPY_P2P] = STOP,
		[STOP_COPY] = STOP, [RESUMING] = RESUMING, [RUNNING_P2P] = STOP,
	},
	[RUNNING_P2P] = {
		[STOP] = STOP, [RUNNING] = RUNNING, [PRE_COPY] = RUNNING,
		[PRE_COPY_P2P] = PRE_COPY_P2P, [STOP_COPY] = STOP, [RESUMING] = STOP,
		[RUNNING_P2P] = RUNNING_P2P,
	},
};

/* ERROR is 0, which is what the table has where there is no way */
_Static_assert(ERROR == 0, "no way is ERROR");

u32 walk_next(u32 from, u32 to)
{
	return from < STATES && to < STATES ? next_state[from][to] : ERROR;
}

bool walk_arc_has_fd(u32 from, u32 to)
{
	return (from == RUNNING && to == PRE_COPY) || (from == RUNNING_P2P && to == PRE_COPY_P2P) ||
	       (from == STOP && (to == STOP_COPY || to == RESUMING));
}

struct outcome walk_outcome(u32 from, u32 to, bool load_complete)
{
	struct outcome out = { .state = from };

	if (from == ERROR) {
		out.err = -EIO;
		return out;
	}
	while (out.state != to) {
		u32 next = walk_next(out.state, to);

		if (next == ERROR || (out.state == RESUMING && !load_complete)) {
			out.err = -EINVAL;
			out.fd = false;
			return out;
		}
		out.fd = walk_arc_has_fd(out.state, next);
		out.state = next;
	}
	return out;
}

void model_init(struct model *m)
{
	pthread_mutex_init(&m->lock, NULL);
	m->set = BIT_OF(RUNNING);
}

void model_is(struct model *m, u32 state)
{
	pthread_mutex_lock(&m->lock);
	m->set = BIT_OF(state);
	pthread_mutex_unlock(&m->lock);
}

/* States on the way from @from to @to, both included */
static u32 way(u32 from, u32 to)
{
	u32 set = BIT_OF(from);

	while (from != to) {
		from = walk_next(from, to);
		if (from == ERROR)
			break;
		set |= BIT_OF(from);
	}
	return set;
}

/* What @flight can make of the states of @set */
static u32 effects(const struct flight *flight, u32 set, bool faults)
{
	u32 result = set;

	switch (flight->kind) {
	case FLIGHT_SET:
		for (u32 state = 0; state < STATES; state++)
			if (set & BIT_OF(state) && state != ERROR)
				result |= way(state, flight->target);
		if (faults)
			result |= BIT_OF(RUNNING) | BIT_OF(ERROR);
		break;
	case FLIGHT_RESET:
		result |= BIT_OF(RUNNING);
		break;
	case FLIGHT_GONE:
		result |= BIT_OF(ERROR) | BIT_OF(RUNNING);
		break;
	default:
		break;
	}
	return result;
}

static void grow(struct model *m)
{
	u32 before;

	do {
		before = m->set;
		for (unsigned int i = 0; i < ACTORS; i++)
			m->set |= effects(&m->flights[i], m->set, m->faults);
	} while (m->set != before);
}

static bool in_flight(struct model *m, enum flight_kind kind)
{
	for (unsigned int i = 0; i < ACTORS; i++)
		if (m->flights[i].kind == kind)
			return true;
	return false;
}

static bool alone_since(struct model *m, unsigned int actor)
{
	for (unsigned int i = 0; i < ACTORS; i++)
		if (i != actor && m->flights[i].kind != FLIGHT_NONE)
			return false;
	return m->epoch == m->flights[actor].epoch;
}

/* Others were under way when it began, or none is but this one was not the last to begin */
void model_begin(struct model *m, unsigned int actor, enum flight_kind kind, u32 target)
{
	struct flight *flight = &m->flights[actor];

	pthread_mutex_lock(&m->lock);
	must(flight->kind == FLIGHT_NONE);
	flight->kind = kind;
	flight->target = target;
	flight->epoch = ++m->epoch;
	/* One that is under way can be over before this one is: then this was not alone */
	for (unsigned int i = 0; i < ACTORS; i++)
		if (i != actor && m->flights[i].kind != FLIGHT_NONE)
			flight->epoch = 0;
	flight->resets = m->resets;
	if (kind == FLIGHT_RESET)
		m->resets++;
	grow(m);
	pthread_mutex_unlock(&m->lock);
}

static bool set_may_fail_by(struct model *m, const struct flight *flight, int err)
{
	u32 others = ANY_STATE & ~BIT_OF(RESUMING);

	switch (err) {
	case -EINVAL:
		if (flight->target >= STATES || flight->target == ERROR)
			return true;
		if (m->set & BIT_OF(RESUMING) && BIT_OF(flight->target) & others)
			return true;
		return m->set & BIT_OF(STOP_COPY) &&
		       (flight->target == PRE_COPY || flight->target == PRE_COPY_P2P);
	case -ECANCELED:
		return m->faults || m->resets != flight->resets || in_flight(m, FLIGHT_RESET) ||
		       in_flight(m, FLIGHT_GONE);
	case -EIO:
		return m->set & BIT_OF(ERROR);
	case -ENOTRECOVERABLE:
	case -EBUSY:
	case -EAGAIN:
		return m->faults;
	case -ENODEV:
		return in_flight(m, FLIGHT_GONE);
	}
	return false;
}

static void end_set(struct model *m, struct flight *flight, bool alone, int err)
{
	u32 set = 0;

	if (err && !set_may_fail_by(m, flight, err))
		fail(__FILE__, __LINE__, "SET_STATE to %s: %d; it may be in 0x%x",
		     mig_name(flight->target), err, m->set);
	if (!err && !(m->set & BIT_OF(flight->target)))
		fail(__FILE__, __LINE__, "SET_STATE to %s succeeded; it may be in 0x%x",
		     mig_name(flight->target), m->set);
	if (!alone)
		return;
	if (!err)
		set = BIT_OF(flight->target);
	else
		set = m->faults || flight->target >= STATES ?
		      m->set : m->set & ~BIT_OF(flight->target);
	m->set = set;
}

void model_end(struct model *m, unsigned int actor, int result)
{
	struct flight *flight = &m->flights[actor];
	bool alone;

	pthread_mutex_lock(&m->lock);
	alone = alone_since(m, actor);
	switch (flight->kind) {
	case FLIGHT_SET:
		end_set(m, flight, alone, result);
		break;
	case FLIGHT_GET:
		if (result < 0 || !(m->set & BIT_OF(result)))
			fail(__FILE__, __LINE__, "GET_STATE: %d (%s), and it may be in 0x%x",
			     result, mig_name(result), m->set);
		if (alone)
			m->set = BIT_OF(result);
		break;
	case FLIGHT_RESET:
		if (alone && !result)
			m->set = BIT_OF(RUNNING);
		break;
	default:
		break;
	}
	flight->kind = FLIGHT_NONE;
	pthread_mutex_unlock(&m->lock);
}
