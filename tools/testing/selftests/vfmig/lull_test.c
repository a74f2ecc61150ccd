// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether a guest that sends has to notify, and what it gets done: the device's source, with guests
 * of all kinds in a time that is counted, not measured.
 */
#include "lull.h"

#include "harness.h"

#define US	1000ULL
#define MS	(1000 * US)
#define S	(1000 * MS)

#define FRAME	1500U

/**
 * struct guest - one that sends, and may wait for an answer
 * @gap: time to send a frame, in ns
 * @exit: time that a notification takes, in ns
 * @frames: it waits for an answer after so many; 0: it does not wait
 * @answer: time from the last of these frames to the answer, in ns
 */
struct guest {
	u64 gap;
	u64 exit;
	unsigned int frames;
	u64 answer;
};

/**
 * struct queue - a transmit queue
 * @lull: what the device knows of the guest
 * @now: the time
 * @pending: frames that the device has not seen
 * @sent: frames that it has sent
 * @vain: how often it found none
 */
struct queue {
	struct vfmig_net_lull lull;
	u64 now;
	unsigned int pending;
	unsigned int sent;
	unsigned int vain;
};

static void look(struct queue *q, u64 when)
{
	vfmig_net_lull_wait(&q->lull, q->pending * FRAME, when);
	q->sent += q->pending;
	q->vain += !q->pending;
	q->pending = 0;
}

static void pass_time(struct queue *q, u64 time)
{
	u64 end = q->now + time;

	while (q->lull.waiting && q->lull.until <= end)
		look(q, q->lull.until);
	q->now = end;
}

static void send_frame(struct queue *q, const struct guest *guest)
{
	pass_time(q, guest->gap);
	q->pending++;
	if (q->lull.waiting)
		return;
	q->now += guest->exit;
	look(q, q->now);
}

/* Frames that the guest gets sent in @time */
static unsigned int play(struct queue *q, const struct guest *guest, u64 time)
{
	u64 end = q->now + time;

	q->sent = 0;
	while (q->now < end) {
		for (unsigned int i = 0; i < (guest->frames ?: 1); i++)
			send_frame(q, guest);
		if (!guest->frames)
			continue;
		if (q->pending)
			pass_time(q, q->lull.until - q->now);
		pass_time(q, guest->answer);
	}
	return q->sent;
}

static const struct guest stream = { .gap = 10 * US, .exit = 30 * US };
static const struct guest asker = { .gap = US, .exit = 3 * US, .frames = 1, .answer = 40 * US };

#define STREAM_FRAMES(time)	((time) / stream.gap)
#define ASKER_FRAMES(time)	((time) / (asker.gap + asker.exit + asker.answer))

FIXTURE(lull)
{
	struct queue q;
};

FIXTURE_SETUP(lull)
{
	self->q.now = S;
}

FIXTURE_TEARDOWN(lull)
{
}

TEST_F(lull, stream_goes_on_without_exits)
{
	EXPECT_GE(play(&self->q, &stream, 2 * S), STREAM_FRAMES(2 * S) * 9 / 10);
	EXPECT_TRUE(self->q.lull.waits);
}

TEST_F(lull, guest_that_waits_for_answers_is_hardly_delayed)
{
	static const u64 answers[] = { 5 * US, 40 * US, 150 * US, 300 * US, 1 * MS };

	for (unsigned int frames = 1; frames <= 4; frames++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(answers); i++) {
			struct guest guest = { US, 3 * US, frames, answers[i] };
			u64 round = frames * (guest.gap + guest.exit) + guest.answer;
			unsigned int most = 4 * S / round * frames, sent;

			memset(&self->q.lull, 0, sizeof(self->q.lull));
			sent = play(&self->q, &guest, 4 * S);
			EXPECT_GE(sent, most * 9ULL / 10)
				TH_LOG("%u frames, answer in %llu us: %u of %u", frames,
				       (unsigned long long)(answers[i] / US), sent, most);
		}
	}
}

TEST_F(lull, device_learns_again_what_the_guest_does)
{
	for (unsigned int i = 0; i < 3; i++) {
		play(&self->q, &stream, 20 * S);
		EXPECT_GE(play(&self->q, &stream, S), STREAM_FRAMES(S) * 9 / 10);
		play(&self->q, &asker, 2 * S);
		EXPECT_GE(play(&self->q, &asker, S), ASKER_FRAMES(S) * 9 / 10);
	}
}

TEST_F(lull, slow_guest_is_not_looked_at_in_vain)
{
	static const u64 gaps[] = { 210 * US, 1 * MS, 15 * MS };

	for (unsigned int i = 0; i < ARRAY_SIZE(gaps); i++) {
		struct guest guest = { .gap = gaps[i], .exit = 3 * US };

		play(&self->q, &stream, S);
		self->q.vain = 0;
		play(&self->q, &guest, 20 * S);
		EXPECT_LE(self->q.vain, self->q.sent / 10)
			TH_LOG("a frame in %llu us: %u looks in vain for %u frames",
			       (unsigned long long)(gaps[i] / US), self->q.vain, self->q.sent);
	}
}

/* The process that has the VF open gets no thread, and will get one only if its guest notifies */
TEST_F(lull, slowed_down_device_asks_for_notifications)
{
	unsigned int asked = 0;

	self->q.lull.waits = true;
	for (unsigned int i = 0; i < 10; i++) {
		self->q.now += 100 * MS;
		asked += !vfmig_net_lull_wait(&self->q.lull, FRAME, self->q.now);
	}
	EXPECT_GT(asked, 0);
}

TEST_F(lull, pause_is_not_slowness)
{
	play(&self->q, &stream, S);
	for (unsigned int i = 0; i < 20; i++) {
		pass_time(&self->q, 300 * MS);
		EXPECT_GE(play(&self->q, &stream, 100 * MS), STREAM_FRAMES(100 * MS) / 2);
	}
}

/* Other reasons to look come at any time */
TEST_F(lull, device_waits_as_long_as_it_said)
{
	struct vfmig_net_lull *lull = &self->q.lull;

	lull->waits = true;
	lull->next_try = 10 * S;
	EXPECT_FALSE(vfmig_net_lull_wait(lull, 0, S));
	EXPECT_TRUE(vfmig_net_lull_wait(lull, FRAME, S));
	EXPECT_GE(lull->until, S + 100 * US);
	EXPECT_LE(lull->until, S + 400 * US);
	EXPECT_TRUE(vfmig_net_lull_wait(lull, 0, lull->until - 1));
	EXPECT_TRUE(vfmig_net_lull_wait(lull, FRAME, lull->until - 1));
	EXPECT_FALSE(vfmig_net_lull_wait(lull, 0, lull->until));
}

TEST_HARNESS_MAIN
