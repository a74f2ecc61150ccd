// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long a guest waits because the device awaits more commands than it has: the device's source,
 * with guests of all depths in a time that is counted, not measured.
 */
#include "pace.h"

#include "harness.h"

#define US	1000ULL
#define MS	(1000 * US)
#define S	(1000 * MS)

/* Commands that the queue has room for */
#define ROOM	1023U

/**
 * struct guest - one that has a fixed number of commands in flight
 * @depth: that number
 * @submit: average time to submit one, in ns
 * @ring: time that a ring takes, and the interrupt that follows, in ns
 * @think: time from the last completion to the first command of the next round, in ns
 * @late: each 20th command or so takes so much longer, in ns
 */
struct guest {
	unsigned int depth;
	u64 submit;
	u64 ring;
	u64 think;
	u64 late;
};

/**
 * struct device - what the guest has to do with
 * @pace: what it awaits
 * @room: commands that the queue has room for
 * @now: the time
 * @chance: state of a generator of numbers
 * @commands: number of commands that were executed
 * @rings: doorbells that were written
 * @waits: how often the guest waited until the device looked by itself
 * @looks: how often it looked in vain
 */
struct device {
	struct vfmig_nvme_pace pace;
	unsigned int room;
	u64 now;
	u64 chance;
	unsigned int commands;
	unsigned int rings;
	unsigned int waits;
	unsigned int looks;
};

static unsigned int fewer(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* The device looks where nothing came in time */
static void pass_time(struct device *dev, u64 time)
{
	u64 end = dev->now + time;

	while (dev->pace.burst > 1 && dev->pace.until <= end) {
		vfmig_nvme_pace_count(&dev->pace, 0, dev->room, dev->pace.until);
		dev->looks++;
	}
	dev->now = end;
}

/* A number below @end */
static u64 any_below(struct device *dev, u64 end)
{
	dev->chance = dev->chance * 6364136223846793005ULL + 1442695040888963407ULL;
	return (dev->chance >> 33) % end;
}

/* Time to submit @n commands */
static u64 submission(struct device *dev, const struct guest *guest, unsigned int n)
{
	u64 time = 0;

	while (n--) {
		time += guest->submit / 2 + any_below(dev, guest->submit + 1);
		if (!any_below(dev, 20))
			time += guest->late;
	}
	return time;
}

/* Submit up to @left commands; returns how many the device has taken together */
static unsigned int play_burst(struct device *dev, const struct guest *guest, unsigned int left)
{
	unsigned int burst = dev->pace.burst, n = fewer(burst, left);

	dev->now += submission(dev, guest, n);
	if (n == burst) {
		dev->rings++;
		dev->now += guest->ring;
	} else if (dev->pace.until > dev->now) {
		dev->now = dev->pace.until;
		dev->waits++;
	}
	vfmig_nvme_pace_count(&dev->pace, n, dev->room, dev->now);
	dev->commands += n;
	return n;
}

/* A round: the guest submits all that it may, and goes on when all is done */
static void play_round(struct device *dev, const struct guest *guest)
{
	unsigned int left = guest->depth;

	pass_time(dev, guest->think);
	while (left)
		left -= play_burst(dev, guest, left);
}

static void play(struct device *dev, const struct guest *guest, u64 time)
{
	u64 end = dev->now + time;

	dev->commands = 0;
	dev->rings = 0;
	dev->waits = 0;
	dev->looks = 0;
	while (dev->now < end)
		play_round(dev, guest);
}

/*
 * A guest that submits a command each @gap or so, whatever becomes of them.  Returns the average
 * time from then until the device takes it.
 */
static u64 play_steadily(struct device *dev, u64 gap, u64 time)
{
	u64 end = dev->now + time, next = dev->now, delay = 0;
	unsigned int n = 0, total = 0;
	u64 arrived[VFMIG_NVME_MAX_BURST];

	while (dev->now < end) {
		bool timer = dev->pace.burst > 1 && dev->pace.until < next;

		dev->now = timer ? dev->pace.until : next;
		if (!timer) {
			arrived[n++] = next;
			next += gap / 2 + any_below(dev, gap);
		}
		if (!timer && n < dev->pace.burst)
			continue;
		vfmig_nvme_pace_count(&dev->pace, n, dev->room, dev->now);
		total += n;
		while (n)
			delay += dev->now - arrived[--n];
	}
	return delay / total;
}

/* Commands that the guest gets done in @time if it rings with each of them */
static u64 commands_one_by_one(const struct guest *guest, u64 time)
{
	u64 round = guest->think + guest->depth * (guest->submit + guest->ring + guest->late / 20);

	return time * guest->depth / round;
}

FIXTURE(pace)
{
	struct device dev;
};

FIXTURE_VARIANT(pace)
{
	struct guest guest;
};

FIXTURE_VARIANT_ADD(pace, fast_guest)
{
	.guest = { .submit = 3 * US, .ring = 3 * US, .think = 10 * US },
};

FIXTURE_VARIANT_ADD(pace, emulated_guest)
{
	.guest = { .submit = 100 * US, .ring = 100 * US, .think = 100 * US },
};

/* Other threads of its host get in its way */
FIXTURE_VARIANT_ADD(pace, disturbed_guest)
{
	.guest = { .submit = 100 * US, .ring = 100 * US, .think = 100 * US, .late = 2 * MS },
};

FIXTURE_SETUP(pace)
{
	vfmig_nvme_pace_init(&self->dev.pace, 0);
	self->dev.room = ROOM;
}

FIXTURE_TEARDOWN(pace)
{
}

static struct guest guest_of_depth(const struct guest *guest, unsigned int depth)
{
	struct guest other = *guest;

	other.depth = depth;
	return other;
}

/*
 * The worst guest: it waits for the last command of a round before it submits another.  It may be
 * slowed down by 5 %.  What chance takes from a disturbed one is as much as what a burst costs it,
 * so what is learned may not be best.
 */
TEST_F(pace, no_guest_is_slowed_down_at_any_depth)
{
	unsigned int percent = variant->guest.late ? 80 : 95;

	for (unsigned int depth = 1; depth <= 40; depth++) {
		struct guest guest = guest_of_depth(&variant->guest, depth);
		u64 least = commands_one_by_one(&guest, 8 * S) * percent / 100;

		vfmig_nvme_pace_init(&self->dev.pace, self->dev.now);
		play(&self->dev, &guest, 8 * S);
		EXPECT_GE(self->dev.commands, least)
			TH_LOG("depth %u, bursts of %u: %u commands of %llu", depth,
			       self->dev.pace.learned, self->dev.commands,
			       (unsigned long long)least);
	}
}

TEST_F(pace, single_command_waits_rarely)
{
	struct guest guest = guest_of_depth(&variant->guest, 1);

	play(&self->dev, &guest, 20 * S);
	EXPECT_LE(self->dev.waits, self->dev.commands / 200);
}

TEST_F(pace, deep_queue_rings_rarely)
{
	struct guest guest = guest_of_depth(&variant->guest, 64);

	play(&self->dev, &guest, 8 * S);
	play(&self->dev, &guest, 2 * S);
	EXPECT_LE(self->dev.rings, self->dev.commands / (guest.late ? 3 : 6));
	EXPECT_GE(self->dev.commands,
		  commands_one_by_one(&guest, 2 * S) * (guest.late ? 110 : 125) / 100);
}

TEST_F(pace, burst_is_as_long_as_the_queue_is_deep)
{
	for (unsigned int depth = 1; depth <= 32; depth *= 2) {
		struct guest guest = guest_of_depth(&variant->guest, depth);

		if (guest.late)
			SKIP(return, "such a guest has no best burst");
		vfmig_nvme_pace_init(&self->dev.pace, self->dev.now);
		play(&self->dev, &guest, 8 * S);
		/* The longer a burst, the less does a longer one bring */
		EXPECT_GE(self->dev.pace.learned, (depth + 1) / 2);
		EXPECT_LE(self->dev.pace.learned, depth);
	}
}

TEST_F(pace, guest_that_changes_its_depth_waits_a_little)
{
	struct guest deep = guest_of_depth(&variant->guest, 32);
	struct guest single = guest_of_depth(&variant->guest, 1);

	play(&self->dev, &deep, 8 * S);
	for (unsigned int i = 0; i < 10; i++) {
		self->dev.waits = 0;
		for (unsigned int round = 0; round < 100; round++)
			play_round(&self->dev, &single);
		EXPECT_LE(self->dev.waits, 12);
		play(&self->dev, &deep, 3 * S);
		EXPECT_GE(self->dev.pace.learned, 2);
	}
}

/* What was learned holds after a pause, and the first command is executed at once */
TEST_F(pace, pause_is_no_failure)
{
	struct guest guest = guest_of_depth(&variant->guest, 32);

	play(&self->dev, &guest, 8 * S);
	for (unsigned int pause = 0; pause < 10; pause++) {
		pass_time(&self->dev, S);
		EXPECT_EQ(self->dev.pace.burst, 1);
		play(&self->dev, &guest, S / 10);
		EXPECT_GE(self->dev.pace.learned, guest.late ? 2 : 8);
	}
}

/* Commands with a pause after each: nothing is gained by looking for more */
TEST_F(pace, slow_guest_is_not_looked_at_in_vain)
{
	static const u64 thinks[] = { MS, 3 * MS, 10 * MS, 150 * MS };

	for (unsigned int i = 0; i < ARRAY_SIZE(thinks); i++) {
		struct guest guest = guest_of_depth(&variant->guest, 1);

		guest.think = thinks[i];
		play(&self->dev, &guest, 20 * S);
		EXPECT_LE(self->dev.looks, self->dev.commands / 10)
			TH_LOG("one in %llu ms: %u looks for %u commands",
			       (unsigned long long)(thinks[i] / MS), self->dev.looks,
			       self->dev.commands);
	}
}

/* Seldom enough that the device never awaits more than one */
TEST_F(pace, guest_with_rare_commands_never_waits)
{
	struct guest guest = guest_of_depth(&variant->guest, 1);

	guest.think = 6 * MS;
	play(&self->dev, &guest, 2 * S);
	play(&self->dev, &guest, 100 * S);
	EXPECT_EQ(self->dev.waits, 0);
	EXPECT_EQ(self->dev.looks, 0);
}

/* A pause is no reason to try again at once what has failed */
TEST_F(pace, guest_with_pauses_waits_rarely)
{
	struct guest guest = guest_of_depth(&variant->guest, 1);
	unsigned int waits = 0, commands = 0;

	play(&self->dev, &guest, 20 * S);
	for (unsigned int i = 0; i < 200; i++) {
		play(&self->dev, &guest, 60 * MS);
		waits += self->dev.waits;
		commands += self->dev.commands;
		pass_time(&self->dev, 150 * MS);
	}
	EXPECT_LE(waits, commands / 100);
}

/* It gains nothing by a burst, and waits */
TEST_F(pace, guest_with_a_rate_of_its_own_is_hardly_delayed)
{
	static const u64 gaps[] = { 20 * US, 160 * US, 320 * US, 640 * US, 2 * MS };

	for (unsigned int i = 0; i < ARRAY_SIZE(gaps); i++) {
		u64 delay;

		vfmig_nvme_pace_init(&self->dev.pace, self->dev.now);
		play_steadily(&self->dev, gaps[i], 20 * S);
		delay = play_steadily(&self->dev, gaps[i], 20 * S);
		EXPECT_LE(delay, gaps[i] / 2)
			TH_LOG("one in %llu us: %llu us", (unsigned long long)(gaps[i] / US),
			       (unsigned long long)(delay / US));
	}
}

TEST_F(pace, burst_fits_in_the_queue)
{
	struct guest guest = guest_of_depth(&variant->guest, 3);

	self->dev.room = 3;
	for (unsigned int i = 0; i < 10000; i++) {
		play_round(&self->dev, &guest);
		ASSERT_LE(self->dev.pace.burst, 3);
		ASSERT_LE(self->dev.pace.learned, 4);
	}
	guest.depth = 1;
	self->dev.waits = 0;
	for (unsigned int i = 0; i < 50; i++)
		play_round(&self->dev, &guest);
	EXPECT_LE(self->dev.waits, 8);
}

TEST_F(pace, wait_is_bounded)
{
	struct guest guest = guest_of_depth(&variant->guest, 32);

	for (unsigned int i = 0; i < 1000; i++) {
		const struct vfmig_nvme_pace *pace = &self->dev.pace;

		guest.submit = (i * 7919 % 5000) * US;
		play_round(&self->dev, &guest);
		ASSERT_GE(pace->until, self->dev.now + 20 * US);
		ASSERT_LE(pace->until, self->dev.now + 16 * MS);
		ASSERT_LE(pace->until, self->dev.now + 20 * US + (pace->burst + 2) * pace->gap);
		ASSERT_GE(pace->burst, 1);
		ASSERT_LE(pace->burst, VFMIG_NVME_MAX_BURST);
		ASSERT_EQ(pace->learned & (pace->learned - 1), 0);
	}
}

TEST_HARNESS_MAIN
