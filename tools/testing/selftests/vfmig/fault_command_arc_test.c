// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults on command (Documentation/faults.rst) of arcs, and when a fault happens: as asked, as
 * often as asked, and never else.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "rig.h"

#include "harness.h"

FIXTURE(arc)
{
	struct rig rig;
	struct vfio_dev *dev;
	char bdf[BDF_SIZE];
};

FIXTURE_SETUP(arc)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 2 }, IOMMU_TYPE1, 1);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	bdf_copy(self->bdf, self->dev->bdf);
	why = command_begin(self->bdf);
	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(arc)
{
	if (!self->dev)
		return;
	command_end(self->bdf);
	rig_close(&self->rig);
}

/* SET_STATE, whose data fd is not wanted; 0 or -errno */
static int go(struct vfio_dev *dev, u32 state)
{
	int fd = -1, err;

	err = mig_set(dev, state, &fd);
	if (fd >= 0)
		close(fd);
	return err;
}

/* A way over a single arc, and the way back */
static const struct {
	u32 from, to;
} arcs[] = {
	{ RUNNING, RUNNING_P2P },
	{ RUNNING_P2P, RUNNING },
	{ RUNNING_P2P, STOP },
	{ STOP, RUNNING_P2P },
	{ RUNNING, PRE_COPY },
	{ PRE_COPY, RUNNING },
	{ RUNNING_P2P, PRE_COPY_P2P },
	{ PRE_COPY, PRE_COPY_P2P },
	{ PRE_COPY_P2P, PRE_COPY },
	{ PRE_COPY_P2P, RUNNING_P2P },
	{ PRE_COPY_P2P, STOP_COPY },
	{ PRE_COPY, STOP_COPY },
	{ STOP, STOP_COPY },
	{ STOP_COPY, STOP },
	{ STOP, RESUMING },
};

static bool takes_another_arc(u32 from, u32 to)
{
	return from == PRE_COPY && to == STOP_COPY;
}

TEST_F(arc, fails_and_keeps_the_state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(arcs); i++) {
		u32 from = arcs[i].from, to = arcs[i].to;
		unsigned int id;

		ASSERT_EQ(go(self->dev, RUNNING), 0);
		ASSERT_EQ(go(self->dev, from), 0);
		id = command(self->bdf, "arc %s->%s errno=%s", mig_name(from), mig_name(to),
			     i % 2 ? "EIO" : "ENOMEM");
		if (takes_another_arc(from, to))
			continue;
		for (unsigned int n = 1; n <= 3; n++) {
			EXPECT_EQ(go(self->dev, to), i % 2 ? -EIO : -ENOMEM)
				TH_LOG("%s -> %s", mig_name(from), mig_name(to));
			EXPECT_EQ(mig_get(self->dev), from);
			EXPECT_EQ(command_done(self->bdf, id), n);
		}
		command_clear(self->bdf);
		EXPECT_EQ(go(self->dev, to), 0);
		EXPECT_EQ(mig_get(self->dev), to);
		ASSERT_EQ(vfio_reset(self->dev), 0);
	}
}

/* A way over several arcs ends where the one that fails begins */
TEST_F(arc, fails_in_the_middle_of_a_way)
{
	command(self->bdf, "arc STOP:STOP_COPY errno=EBUSY");
	EXPECT_EQ(go(self->dev, STOP_COPY), -EBUSY);
	EXPECT_EQ(mig_get(self->dev), STOP);
	EXPECT_EQ(go(self->dev, RUNNING), 0);
}

TEST_F(arc, no_other_arc_fails)
{
	unsigned int id = command(self->bdf, "arc PRE_COPY_P2P->STOP_COPY errno=EIO");

	for (unsigned int i = 0; i < ARRAY_SIZE(arcs); i++) {
		u32 from = arcs[i].from, to = arcs[i].to;

		if (to == STOP_COPY && from != STOP)
			continue;
		ASSERT_EQ(go(self->dev, from), 0);
		EXPECT_EQ(go(self->dev, to), 0);
		ASSERT_EQ(vfio_reset(self->dev), 0);
	}
	EXPECT_EQ(command_seen(self->bdf, id), 0);
	EXPECT_EQ(command_done(self->bdf, id), 0);
}

TEST_F(arc, any_state_is_a_star)
{
	unsigned int id = command(self->bdf, "arc *->STOP errno=EIO");

	EXPECT_EQ(go(self->dev, STOP), -EIO);
	EXPECT_EQ(mig_get(self->dev), RUNNING_P2P);
	EXPECT_EQ(go(self->dev, RUNNING), 0);
	EXPECT_EQ(command_done(self->bdf, id), 1);
	command_clear(self->bdf);

	command(self->bdf, "arc STOP->* errno=EIO");
	EXPECT_EQ(go(self->dev, STOP), 0);
	EXPECT_EQ(go(self->dev, STOP_COPY), -EIO);
	EXPECT_EQ(go(self->dev, RESUMING), -EIO);
	EXPECT_EQ(go(self->dev, RUNNING), -EIO);
	EXPECT_EQ(mig_get(self->dev), STOP);
}

/* Only a reset leads out of ERROR, and then all is well */
TEST_F(arc, ends_in_error)
{
	static const u32 ways[][2] = {
		{ RUNNING, RUNNING_P2P }, { RUNNING, PRE_COPY }, { PRE_COPY, PRE_COPY_P2P },
		{ STOP, STOP_COPY }, { STOP_COPY, STOP }, { STOP, RESUMING }, { RESUMING, STOP },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(ways); i++) {
		ASSERT_EQ(go(self->dev, ways[i][0]), 0);
		command(self->bdf, "arc %s->%s %s once", mig_name(ways[i][0]),
			mig_name(ways[i][1]), i % 2 ? "error" : "errno=ENOTRECOVERABLE");
		EXPECT_EQ(go(self->dev, ways[i][1]), -ENOTRECOVERABLE);
		EXPECT_EQ(mig_get(self->dev), ERROR);
		EXPECT_EQ(go(self->dev, RUNNING), -EIO);
		ASSERT_EQ(vfio_reset(self->dev), 0);
		EXPECT_EQ(mig_get(self->dev), RUNNING);
	}
	EXPECT_EQ(go(self->dev, STOP_COPY), 0);
}

TEST_F(arc, resets_the_device)
{
	unsigned int id = command(self->bdf, "arc PRE_COPY->* reset once");
	int fd;

	ASSERT_EQ(mig_set(self->dev, PRE_COPY, &fd), 0);
	bar_write32(self->dev, NVME_AQA, 0x10001);
	EXPECT_EQ(go(self->dev, PRE_COPY_P2P), -ECANCELED);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	EXPECT_EQ(bar_read32(self->dev, NVME_AQA), 0);
	EXPECT_EQ(command_done(self->bdf, id), 1);
	close(fd);

	/* The reset does what was asked for */
	ASSERT_EQ(go(self->dev, STOP), 0);
	command(self->bdf, "arc STOP->RUNNING_P2P reset once");
	EXPECT_EQ(go(self->dev, RUNNING), 0);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
}

/* A SET_STATE in a thread of its own */
struct setter {
	pthread_t thread;
	struct vfio_dev *dev;
	u32 state;
	int err;
	bool over;
	u64 ms;		/* that it took */
};

static void *setter_run(void *arg)
{
	struct setter *s = arg;
	u64 begin = now_ms();

	s->err = go(s->dev, s->state);
	s->ms = now_ms() - begin;
	__atomic_store_n(&s->over, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool setter_over(struct setter *s)
{
	return __atomic_load_n(&s->over, __ATOMIC_ACQUIRE);
}

/* Returns when fault @id holds it up */
static void setter_start(struct setter *s, struct vfio_dev *dev, u32 state, unsigned int id)
{
	u64 before = command_done(dev->bdf, id);

	*s = (struct setter){ .dev = dev, .state = state };
	must(!pthread_create(&s->thread, NULL, setter_run, s));
	must(wait_until(command_done(dev->bdf, id) > before));
}

#define DELAY_MS	300
/* So long that a test fails where something waits for its end */
#define LONG_MS		60000

TEST_F(arc, takes_its_time)
{
	unsigned int id = command(self->bdf, "arc RUNNING->RUNNING_P2P delay=%u", DELAY_MS);
	struct setter s;

	setter_start(&s, self->dev, STOP, id);
	/* Meanwhile others are not held up */
	EXPECT_EQ(mig_get(self->dev), RUNNING);
	EXPECT_FALSE(setter_over(&s));
	pthread_join(s.thread, NULL);
	EXPECT_EQ(s.err, 0);
	EXPECT_GE(s.ms, DELAY_MS);
	EXPECT_EQ(mig_get(self->dev), STOP);
	EXPECT_EQ(command_done(self->bdf, id), 1);
}

/* Both a delay and a failure, whichever comes first in the list */
TEST_F(arc, takes_its_time_and_fails)
{
	u64 begin = now_ms();

	command(self->bdf, "arc RUNNING->RUNNING_P2P errno=EIO");
	command(self->bdf, "arc RUNNING->RUNNING_P2P delay=%u", DELAY_MS);
	EXPECT_EQ(go(self->dev, RUNNING_P2P), -EIO);
	EXPECT_GE(now_ms() - begin, DELAY_MS);
}

TEST_F(arc, reset_ends_a_delay)
{
	static const enum reset_kind kinds[] = { RESET_VFIO, RESET_FLR, RESET_SYSFS, RESET_PF };
	unsigned int id = command(self->bdf, "arc RUNNING->RUNNING_P2P delay=%u", LONG_MS);
	struct setter s;

	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++) {
		setter_start(&s, self->dev, STOP_COPY, id);
		vfio_reset_by(self->dev, self->rig.pf, kinds[i]);
		pthread_join(s.thread, NULL);
		EXPECT_EQ(s.err, -ECANCELED);
		EXPECT_LT(s.ms, WAIT_MS);
		EXPECT_EQ(mig_get(self->dev), RUNNING);
	}
	command_clear(self->bdf);

	/* To where the reset leads */
	ASSERT_EQ(go(self->dev, STOP), 0);
	id = command(self->bdf, "arc STOP->RUNNING_P2P delay=%u", LONG_MS);
	setter_start(&s, self->dev, RUNNING, id);
	ASSERT_EQ(vfio_reset(self->dev), 0);
	pthread_join(s.thread, NULL);
	EXPECT_EQ(s.err, 0);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
}

TEST_F(arc, clearing_ends_a_delay)
{
	unsigned int id = command(self->bdf, "arc RUNNING->RUNNING_P2P delay=%u", LONG_MS);
	struct setter s;

	setter_start(&s, self->dev, RUNNING_P2P, id);
	/* That another fault goes is no reason */
	ASSERT_EQ(command_try(self->bdf, "clear %u", command(self->bdf, "arc *->STOP error")), 0);
	sleep_ms(QUIET_MS);
	EXPECT_FALSE(setter_over(&s));
	ASSERT_EQ(command_try(self->bdf, "clear %u", id), 0);
	pthread_join(s.thread, NULL);
	EXPECT_EQ(s.err, 0);
	EXPECT_LT(s.ms, WAIT_MS);
	EXPECT_EQ(mig_get(self->dev), RUNNING_P2P);
}

/* Another thread goes first, and the delayed arc does not begin where it was not to begin */
TEST_F(arc, another_thread_passes_a_delay)
{
	unsigned int id = command(self->bdf, "arc RUNNING->RUNNING_P2P delay=%u once", LONG_MS);
	struct setter s;

	setter_start(&s, self->dev, RUNNING_P2P, id);
	EXPECT_EQ(go(self->dev, STOP), 0);
	command_clear(self->bdf);
	pthread_join(s.thread, NULL);
	EXPECT_EQ(s.err, -ECANCELED);
	EXPECT_EQ(mig_get(self->dev), STOP);
}

TEST_F(arc, kill_ends_a_delay)
{
	unsigned int id = command(self->bdf, "arc RUNNING->RUNNING_P2P delay=%u", LONG_MS);
	u64 begin = now_ms();
	int status;
	pid_t pid;

	pid = fork();
	must(pid >= 0);
	if (!pid) {
		go(self->dev, RUNNING_P2P);
		_exit(0);
	}
	ASSERT_TRUE(wait_until(command_done(self->bdf, id)));
	kill(pid, SIGKILL);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_LT(now_ms() - begin, WAIT_MS);
	EXPECT_EQ(mig_get(self->dev), RUNNING);
}

/* Bit N is set if time N of @times fails */
static u64 failures(struct vfio_dev *dev, unsigned int times)
{
	u64 failed = 0;

	for (unsigned int i = 0; i < times; i++) {
		if (go(dev, RUNNING_P2P))
			failed |= 1ULL << i;
		must(!go(dev, RUNNING));
	}
	return failed;
}

TEST_F(arc, as_often_as_asked)
{
	static const struct {
		const char *when;
		u64 failed;
	} cases[] = {
		{ "", 0xff }, { "always", 0xff }, { "once", 1 }, { "times=3", 7 },
		{ "nth=1", 1 }, { "nth=5", 0x10 }, { "nth=9", 0 }, { "probability=100%", 0xff },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int id = command(self->bdf, "arc RUNNING->RUNNING_P2P errno=EIO %s",
					  cases[i].when);

		EXPECT_EQ(failures(self->dev, 8), cases[i].failed)
			TH_LOG("%s", cases[i].when);
		EXPECT_EQ(command_seen(self->bdf, id), 8);
		EXPECT_EQ(command_done(self->bdf, id), __builtin_popcountll(cases[i].failed));
		command_clear(self->bdf);
	}
}

static u64 failures_by_chance(struct vfio_dev *dev, unsigned int percent, unsigned int seed)
{
	u64 failed;

	command(dev->bdf, "arc RUNNING->RUNNING_P2P errno=EIO probability=%u seed=%u", percent,
		seed);
	failed = failures(dev, 64);
	command_clear(dev->bdf);
	return failed;
}

TEST_F(arc, by_a_chance_that_repeats)
{
	u64 seed_1 = failures_by_chance(self->dev, 50, 1);
	unsigned int n = __builtin_popcountll(seed_1);

	EXPECT_EQ(failures_by_chance(self->dev, 50, 1), seed_1);
	EXPECT_NE(failures_by_chance(self->dev, 50, 2), seed_1);
	EXPECT_TRUE(n >= 16 && n <= 48)
		TH_LOG("%u of 64", n);
	EXPECT_LE(__builtin_popcountll(failures_by_chance(self->dev, 5, 3)), 12);
}

TEST_F(arc, of_one_vf_only)
{
	struct vfio_dev *other = rig_second(&self->rig);

	command_clear(other->bdf);
	command(self->bdf, "arc RUNNING->RUNNING_P2P errno=EIO");
	command(other->bdf, "arc RUNNING->PRE_COPY errno=EBUSY");
	EXPECT_EQ(go(self->dev, RUNNING_P2P), -EIO);
	EXPECT_EQ(go(self->dev, PRE_COPY), 0);
	EXPECT_EQ(go(other, RUNNING_P2P), 0);
	EXPECT_EQ(go(other, RUNNING), 0);
	EXPECT_EQ(go(other, PRE_COPY), -EBUSY);
	command_clear(self->bdf);
	EXPECT_EQ(go(other, PRE_COPY), -EBUSY);
	command_clear(other->bdf);
	EXPECT_EQ(go(other, PRE_COPY), 0);
}

TEST_F(arc, stays_when_the_device_is_closed)
{
	unsigned int id = command(self->bdf, "arc RUNNING->RUNNING_P2P errno=EIO");

	EXPECT_EQ(go(self->dev, RUNNING_P2P), -EIO);
	vfio_close(self->dev);
	ASSERT_EQ(vfio_open(self->dev, &self->rig.iommu[0], self->bdf), 0);
	EXPECT_EQ(go(self->dev, RUNNING_P2P), -EIO);
	EXPECT_EQ(command_done(self->bdf, id), 2);
}

static int driver_file(const char *file, const char *bdf)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/" VF_DRIVER "/%s", file);
	return file_write(path, bdf);
}

TEST_F(arc, ends_with_the_driver)
{
	command(self->bdf, "arc RUNNING->RUNNING_P2P errno=EIO");
	vfio_close(self->dev);
	ASSERT_EQ(driver_file("unbind", self->bdf), 0);
	EXPECT_FALSE(file_exists(command_path(self->bdf, "faults")));
	ASSERT_EQ(driver_file("bind", self->bdf), 0);
	EXPECT_STREQ(command_list(self->bdf), "");
	ASSERT_EQ(vfio_open(self->dev, &self->rig.iommu[0], self->bdf), 0);
	EXPECT_EQ(go(self->dev, RUNNING_P2P), 0);
	EXPECT_EQ(command(self->bdf, "arc *:STOP error"), 1);
}

/* An unbind waits for the user, who waits for a fault */
TEST_F(arc, unbind_ends_a_delay)
{
	unsigned int id = command(self->bdf, "arc RUNNING->RUNNING_P2P delay=%u", LONG_MS);
	int request = event_new();
	struct setter s;
	pid_t pid;

	vfio_request_irq_set(self->dev, request);
	setter_start(&s, self->dev, RUNNING_P2P, id);
	pid = fork();
	must(pid >= 0);
	if (!pid) {
		close(self->dev->fd);
		close(self->dev->group);
		_exit(!!driver_file("unbind", self->bdf));
	}
	pthread_join(s.thread, NULL);
	EXPECT_EQ(s.err, 0);
	EXPECT_LT(s.ms, WAIT_MS);
	EXPECT_TRUE(event_wait(request));
	vfio_close(self->dev);
	ASSERT_EQ(waitpid(pid, NULL, 0), pid);
	ASSERT_EQ(driver_file("bind", self->bdf), 0);
	ASSERT_EQ(vfio_open(self->dev, &self->rig.iommu[0], self->bdf), 0);
	close(request);
}

#define TRACE_DIR	"/sys/kernel/tracing/instances/vfmig_fault_command"

TEST_F(arc, leaves_a_trace)
{
	char trace[8192], line[128];
	unsigned int id;

	rmdir(TRACE_DIR);
	if (mkdir(TRACE_DIR, 0700))
		SKIP(return, "no tracing");
	ASSERT_EQ(file_write(TRACE_DIR "/events/vfmig/vfmig_fault/enable", "1"), 0);
	id = command(self->bdf, "arc  RUNNING->RUNNING_P2P\terrno=EIO nth=2");
	EXPECT_EQ(go(self->dev, RUNNING_P2P), 0);
	EXPECT_EQ(go(self->dev, RUNNING), 0);
	ASSERT_EQ(file_read(TRACE_DIR "/trace", trace, sizeof(trace)), 0);
	EXPECT_EQ(strstr(trace, "vfmig_fault:"), NULL);
	EXPECT_EQ(go(self->dev, RUNNING_P2P), -EIO);
	ASSERT_EQ(file_read(TRACE_DIR "/trace", trace, sizeof(trace)), 0);
	snprintf(line, sizeof(line), "vfmig_fault: %s %u: arc RUNNING->RUNNING_P2P errno=EIO nth=2",
		 self->bdf, id);
	EXPECT_NE(strstr(trace, line), NULL)
		TH_LOG("%s", trace);
	rmdir(TRACE_DIR);
}

TEST_HARNESS_MAIN
