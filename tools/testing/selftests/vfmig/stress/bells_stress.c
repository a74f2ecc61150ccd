// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages that are mapped, and a device that goes to sleep again and again: no store may be lost in a
 * million sleeps.  Each round rings a doorbell, and some store to a register, too.  The time
 * between is chosen so that the device is about to sleep, or has just done so.
 *
 * VFMIG_STRESS_SLEEPS ends the test after so many sleeps, a million by default, if its time is not
 * over before.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "../lib/bells.h"
#include "../lib/rig.h"
#include "../lib/stress.h"

#include "../lib/harness.h"

#define POLL_US		20
#define BLOCKS		8	/* of a page */
#define WAIT_NS		150000	/* longest time between two rounds */
#define SLEEPS		1000000

static u64 now_ns(void)
{
	struct timespec t;

	must(!clock_gettime(CLOCK_MONOTONIC, &t));
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void spin(u64 ns)
{
	const u64 end = now_ns() + ns;

	while (now_ns() < end)
		;
}

/* A sleep ends with a fault, or with two if both pages are touched after it */
static u64 faults(void)
{
	struct rusage usage;

	must(!getrusage(RUSAGE_SELF, &usage));
	return usage.ru_minflt;
}

FIXTURE(sleeps)
{
	struct rig rig;
	u32 *bells;
	u32 *regs;
	u8 *buf;
};

FIXTURE_SETUP(sleeps)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = 1 };
	const char *why = rig_open(&self->rig, &vfs, IOMMU_TYPE1, 1);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->buf = arena_alloc(&self->rig.mem, PAGE);
	ASSERT_EQ(pf_attr_set(self->rig.pf, "map_registers", 1), 0);
	self->bells = bells_begin(&self->rig.nvme, self->rig.pf, POLL_US);
	if (!self->bells)
		SKIP(return, "no page is mapped on a machine with one CPU");
	self->regs = regs_map(&self->rig.dev[0]);
}

FIXTURE_TEARDOWN(sleeps)
{
	if (self->bells)
		bells_unmap(self->bells);
	if (self->regs)
		regs_unmap(self->regs);
	if (self->rig.devs)
		rig_close(&self->rig);
}

TEST_F_TIMEOUT(sleeps, none_is_lost, 7200)
{
	const char *sleeps = getenv("VFMIG_STRESS_SLEEPS");
	const u64 enough = sleeps ? strtoull(sleeps, NULL, 0) : SLEEPS;
	u64 state = stress_seed(stress_begin("bells"), 0), rounds = 0, slept = 0;
	struct nvme *nvme = &self->rig.nvme;

	while (stress_goes_on_for(!slept) && slept < enough) {
		u64 random = next_random(&state), before = faults();

		spin(random % WAIT_NS);
		/* Nobody waits for what becomes of it: a load would wake the device */
		if (!(random >> 60))
			regs_store(self->regs, NVME_VS, random);
		ASSERT_EQ(nvme_rw(nvme, &nvme->io[1], NVME_READ, (random >> 32) % 64 * BLOCKS,
				  BLOCKS, self->buf), 0)
			TH_LOG("round %llu", (unsigned long long)rounds);
		rounds++;
		slept += faults() != before;
	}
	stress_say("bells: %llu rounds, the device slept %llu times", (unsigned long long)rounds,
		   (unsigned long long)slept);
	/* Usually it sleeps in nearly all rounds */
	EXPECT_GT(slept, rounds / 10);
}

TEST_HARNESS_MAIN
