// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state machine: each pair of states, and what remains of a transition that failed.  Clauses
 * are those of enum vfio_device_mig_state and VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE in
 * include/uapi/linux/vfio.h.
 */
#include <pthread.h>
#include <unistd.h>

#include "mig.h"

#include "kselftest_harness.h"

#define S(name)	VFIO_DEVICE_STATE_##name

FIXTURE(state) {
	struct mig_device dev;
	struct mig_stream stream;
};

FIXTURE_VARIANT(state) {
	const char *mode;
};

#define FIXTURE_VARIANT_ADD_IOMMU_MODE(_mode) \
FIXTURE_VARIANT_ADD(state, _mode) { \
	.mode = #_mode, \
}

FIXTURE_VARIANT_ADD_ALL_IOMMU_MODES();

FIXTURE_SETUP(state)
{
	const char *why = mig_open(&self->dev, mig_source(), variant->mode);

	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(state)
{
	mig_stream_free(&self->stream);
	mig_close(&self->dev);
}

static void close_fd(int fd)
{
	if (fd >= 0)
		VFIO_ASSERT_EQ(close(fd), 0);
}

/* From RUNNING to @from, where RESUMING has all that it waits for; returns the session */
static int begin(struct mig_device *dev, const struct mig_stream *stream, u32 from)
{
	int fd = mig_go(dev, from);

	if (from == S(RESUMING))
		VFIO_ASSERT_EQ(mig_write_all(fd, stream->data, stream->size, MIG_CHUNK), 0);
	return fd;
}

static void check_arc(struct __test_metadata *_metadata, struct mig_device *dev, u32 from, u32 to)
{
	u32 path[VFIO_DEVICE_STATE_NR], end;
	bool possible = mig_has_state(dev, to) && to != S(ERROR) &&
			mig_path(dev, from, to, path) >= 0;
	int fd, ret = mig_set_state(dev, to, &fd);

	end = mig_get_state(dev);
	EXPECT_EQ(!ret, possible)
		TH_LOG("%s -> %s: %d", mig_state_name(from), mig_state_name(to), ret);
	EXPECT_EQ(fd >= 0, !ret && mig_begins_session(from, to))
		TH_LOG("%s -> %s: fd %d", mig_state_name(from), mig_state_name(to), fd);
	EXPECT_TRUE(ret ? mig_may_remain(dev, from, to, end) : end == to)
		TH_LOG("%s -> %s: %d leaves %s", mig_state_name(from), mig_state_name(to), ret,
		       mig_state_name(end));
	close_fd(fd);
}

/* "If this GET succeeds, the RUNNING and ERROR states are always supported." */
TEST_F(state, running_after_a_reset)
{
	EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
}

/*
 * "The remaining possible transitions are interpreted as combinations of the above FSM arcs."
 * Each ends in the state that was asked for, and a file descriptor comes with a new session only.
 */
TEST_F_TIMEOUT(state, each_pair, 240)
{
	mig_save(&self->dev, &self->stream);
	for (u32 from = S(STOP); from < VFIO_DEVICE_STATE_NR; from++) {
		if (!mig_has_state(&self->dev, from))
			continue;
		for (u32 to = S(ERROR); to < VFIO_DEVICE_STATE_NR; to++) {
			int fd;

			if (to == from)
				continue;
			fd = begin(&self->dev, &self->stream, from);
			check_arc(_metadata, &self->dev, from, to);
			close_fd(fd);
			mig_reset(&self->dev);
			ASSERT_EQ(mig_get_state(&self->dev), S(RUNNING));
		}
	}
}

/* A transition to the same state is not mentioned: whether it succeeds is reported */
TEST_F_TIMEOUT(state, to_itself, 60)
{
	for (u32 state = S(STOP); state < VFIO_DEVICE_STATE_NR; state++) {
		int session, fd, ret;

		if (!mig_has_state(&self->dev, state))
			continue;
		session = mig_go(&self->dev, state);
		ret = mig_set_state(&self->dev, state, &fd);
		EXPECT_EQ(mig_get_state(&self->dev), state);
		if (ret || fd >= 0)
			mig_report("%s -> %s: %d, fd %d", mig_state_name(state),
				   mig_state_name(state), ret, fd);
		close_fd(fd);
		close_fd(session);
		mig_reset(&self->dev);
	}
}

/* "ERROR cannot be specified as a device state" */
TEST_F_TIMEOUT(state, error_can_not_be_asked_for, 60)
{
	for (u32 state = S(STOP); state < VFIO_DEVICE_STATE_NR; state++) {
		int session, fd;

		if (!mig_has_state(&self->dev, state))
			continue;
		session = mig_go(&self->dev, state);
		EXPECT_NE(mig_set_state(&self->dev, S(ERROR), &fd), 0);
		EXPECT_EQ(fd, -1);
		/* No arc was begun that could have failed half-way */
		EXPECT_EQ(mig_get_state(&self->dev), state);
		close_fd(session);
		mig_reset(&self->dev);
	}
}

/* "The new state is supplied in device_state, see enum vfio_device_mig_state" */
TEST_F(state, states_without_a_name_are_refused)
{
	static const u32 unknown[] = { VFIO_DEVICE_STATE_NR, 0x80, 0x80000002, 0xffffffff };
	int fd;

	for (unsigned int i = 0; i < ARRAY_SIZE(unknown); i++) {
		EXPECT_NE(mig_set_state(&self->dev, unknown[i], &fd), 0)
			TH_LOG("state %#x", unknown[i]);
		EXPECT_EQ(fd, -1);
		EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
	}
}

/* "The optional states cannot be used with SET_STATE if the device does not support them." */
TEST_F(state, states_that_the_device_has_not_are_refused)
{
	unsigned int tried = 0;

	for (u32 state = S(STOP); state < VFIO_DEVICE_STATE_NR; state++) {
		int fd;

		if (mig_has_state(&self->dev, state))
			continue;
		tried++;
		EXPECT_NE(mig_set_state(&self->dev, state, &fd), 0)
			TH_LOG("%s", mig_state_name(state));
		EXPECT_EQ(fd, -1);
		EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
	}
	if (!tried)
		SKIP(return, "the device has all states");
}

/*
 * "STOP_COPY -> PRE_COPY, STOP_COPY -> PRE_COPY_P2P: These arcs are not permitted and return
 * error if requested."  The session goes on.
 */
TEST_F(state, stop_copy_does_not_go_back)
{
	static const u32 refused[] = { S(PRE_COPY), S(PRE_COPY_P2P) };
	int session = mig_go(&self->dev, S(STOP_COPY)), fd;

	for (unsigned int i = 0; i < ARRAY_SIZE(refused); i++) {
		EXPECT_NE(mig_set_state(&self->dev, refused[i], &fd), 0);
		EXPECT_EQ(fd, -1);
		ASSERT_EQ(mig_get_state(&self->dev), S(STOP_COPY));
	}
	EXPECT_EQ(mig_stream_read_all(&self->stream, session, MIG_CHUNK), 0);
	EXPECT_GT(self->stream.size, 0);
	close_fd(session);
}

/*
 * RESUMING -> STOP: "If the user provided data is found to be incomplete, [...] the migration
 * driver must fail the SET_STATE ioctl".  So the first arc of each path fails.
 */
TEST_F_TIMEOUT(state, nothing_leaves_resuming_without_a_stream, 60)
{
	for (u32 to = S(STOP); to < VFIO_DEVICE_STATE_NR; to++) {
		int session, fd;
		u32 end;

		if (to == S(RESUMING) || !mig_has_state(&self->dev, to))
			continue;
		session = mig_go(&self->dev, S(RESUMING));
		EXPECT_NE(mig_set_state(&self->dev, to, &fd), 0)
			TH_LOG("to %s", mig_state_name(to));
		EXPECT_EQ(fd, -1);
		end = mig_get_state(&self->dev);
		EXPECT_TRUE(end == S(RESUMING) || end == S(ERROR))
			TH_LOG("%s remains", mig_state_name(end));
		close_fd(fd);
		close_fd(session);
		mig_reset(&self->dev);
	}
}

/*
 * "To recover from ERROR VFIO_DEVICE_RESET must be used to return the device_state back to
 * RUNNING."  Only a stream that is refused is known to lead there.
 */
TEST_F(state, error_is_left_by_reset_only)
{
	ASSERT_NE(mig_feed(&self->dev, "not a stream", 12, 12), 0);
	if (mig_get_state(&self->dev) != S(ERROR))
		SKIP(return, "a refused stream leaves the device in %s",
		     mig_state_name(mig_get_state(&self->dev)));
	for (u32 to = S(STOP); to < VFIO_DEVICE_STATE_NR; to++) {
		int fd;

		EXPECT_NE(mig_set_state(&self->dev, to, &fd), 0)
			TH_LOG("to %s", mig_state_name(to));
		EXPECT_EQ(fd, -1);
		EXPECT_EQ(mig_get_state(&self->dev), S(ERROR));
	}
	mig_reset(&self->dev);
	EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
}

/* VFIO_DEVICE_RESET "as described above" returns each state to RUNNING, with or without an fd */
TEST_F_TIMEOUT(state, reset_in_each_state, 60)
{
	for (u32 state = S(STOP); state < VFIO_DEVICE_STATE_NR; state++) {
		if (!mig_has_state(&self->dev, state))
			continue;
		for (int first = 0; first < 2; first++) {
			int session = mig_go(&self->dev, state);

			if (first)
				close_fd(session);
			mig_reset(&self->dev);
			EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING))
				TH_LOG("from %s", mig_state_name(state));
			if (!first)
				close_fd(session);
		}
	}
	mig_save(&self->dev, &self->stream);
}

/* The next user can reset the device, whatever was under way.  The state before that is open. */
TEST_F_TIMEOUT(state, close_in_each_state, 120)
{
	for (u32 state = S(STOP); state < VFIO_DEVICE_STATE_NR; state++) {
		int session;
		u32 found;

		if (!mig_has_state(&self->dev, state))
			continue;
		session = mig_go(&self->dev, state);
		mig_reopen(&self->dev);
		found = mig_get_state(&self->dev);
		if (found != S(RUNNING))
			mig_report("closed in %s it is in %s for the next user",
				   mig_state_name(state), mig_state_name(found));
		mig_reset(&self->dev);
		EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
		close_fd(session);
	}
	mig_save(&self->dev, &self->stream);
}

/*
 * "Failure by the user [...] must not result in error conditions outside the user context (ex. host
 * system faults)."  A session ended with its user, so no state may need one from then on.
 */
TEST_F_TIMEOUT(state, close_in_each_state_without_a_reset, 120)
{
	static const u32 next[] = { S(STOP), S(RUNNING), S(STOP_COPY) };

	for (u32 state = S(STOP); state < VFIO_DEVICE_STATE_NR; state++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(next); i++) {
			int session, fd;

			if (!mig_has_state(&self->dev, state))
				continue;
			session = mig_go(&self->dev, state);
			mig_reopen(&self->dev);
			if (!mig_set_state(&self->dev, next[i], &fd))
				EXPECT_EQ(mig_get_state(&self->dev), next[i]);
			close_fd(fd);
			close_fd(session);
			mig_reset(&self->dev);
		}
	}
}

#define WALKERS	4
#define STEPS	60

struct walker {
	struct mig_device *dev;
	u32 states;	/* a bit for each that is asked for */
	u32 seen;	/* and for each that the device was in */
	unsigned int seed;
};

/* One of the states at random, and what comes of it; another thread may be faster */
static void *walk(void *arg)
{
	struct walker *walker = arg;

	for (unsigned int i = 0; i < STEPS;) {
		u32 to = rand_r(&walker->seed) % VFIO_DEVICE_STATE_NR;
		u8 buf[512];
		int fd;

		if (!(walker->states & 1U << to))
			continue;
		i++;
		mig_set_state(walker->dev, to, &fd);
		walker->seen |= 1U << mig_get_state(walker->dev);
		if (fd < 0)
			continue;
		if (to != S(RESUMING) && read(fd, buf, sizeof(buf)) < 0)
			errno = 0;
		close_fd(fd);
	}
	return NULL;
}

static void walk_by_several(struct __test_metadata *_metadata, struct mig_device *dev, u32 states)
{
	struct walker walkers[WALKERS];
	pthread_t threads[WALKERS];
	u32 seen = 0;

	for (unsigned int i = 0; i < WALKERS; i++) {
		walkers[i] = (struct walker){ .dev = dev, .states = states, .seed = i + 1 };
		ASSERT_EQ(pthread_create(&threads[i], NULL, walk, &walkers[i]), 0);
	}
	for (unsigned int i = 0; i < STEPS; i++) {
		seen |= 1U << mig_get_state(dev);
		if (i % 8 == 0)
			mig_reset(dev);
	}
	for (unsigned int i = 0; i < WALKERS; i++) {
		ASSERT_EQ(pthread_join(threads[i], NULL), 0);
		seen |= walkers[i].seen;
	}
	seen &= ~(states | 1U << S(ERROR));
	for (u32 state = S(STOP); seen >> state; state++) {
		EXPECT_EQ(seen >> state & 1, 0)
			TH_LOG("%s, which nobody asked for", mig_state_name(state));
	}
	mig_reset(dev);
	EXPECT_EQ(mig_get_state(dev), S(RUNNING));
}

/*
 * "The kernel migration driver must fully transition the device to the new state value before the
 * operation returns to the user."  "The automatic transit through the FSM arcs that make up the
 * combination transition is invisible to the user."  So a state is always one that somebody asked
 * for, or ERROR, and the device can be used when all is over.
 */
TEST_F_TIMEOUT(state, several_threads_set_states, 120)
{
	u32 p2p = 1U << S(RUNNING_P2P) | 1U << S(PRE_COPY_P2P), states = 0;

	for (u32 state = S(STOP); state < VFIO_DEVICE_STATE_NR; state++)
		if (mig_has_state(&self->dev, state))
			states |= 1U << state;
	walk_by_several(_metadata, &self->dev, states);
	/* With P2P nearly all of these are combinations */
	walk_by_several(_metadata, &self->dev, states & ~p2p);
	mig_save(&self->dev, &self->stream);
}

int main(int argc, char *argv[])
{
	mig_get_devices(&argc, argv);
	return test_harness_run(argc, argv);
}
