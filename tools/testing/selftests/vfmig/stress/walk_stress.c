// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random walks over the migration states of several VFs of both models, from several threads,
 * with I/O, resets, faults on command and the host's administrator.  walk.h says how it is known
 * what must be there after each step.
 */
#include <stdlib.h>
#include <unistd.h>

#include "walk.h"

#include "harness.h"

void random_step(struct actor *a, struct walk_dev *d, const struct walk_step *steps,
		 unsigned int count)
{
	steps[random_entry(&a->random, steps, count)].step(a, d);
}

/* The time that it goes on is the user's to say */
#define LIMIT	100000

static const char * const names[OPS] = {
	[OP_SET] = "SET_STATE", [OP_GET] = "GET_STATE", [OP_READ] = "read", [OP_WRITE] = "write",
	[OP_FD_CLOSE] = "close of a data fd", [OP_INFO] = "PRECOPY_INFO", [OP_SIZE] = "DATA_SIZE",
	[OP_LOG] = "DMA logging", [OP_RESET_VFIO] = "VFIO_DEVICE_RESET", [OP_RESET_FLR] = "FLR",
	[OP_RESET_SYSFS] = "reset by sysfs", [OP_RESET_PF] = "reset of a PF",
	[OP_HOT_RESET] = "hot reset, refused",
	[OP_COMMAND] = "memory and bus master", [OP_MAP] = "map and unmap", [OP_IO] = "I/O",
	[OP_FORMAT] = "Format", [OP_RESIZE] = "resize", [OP_MOVE] = "completed move",
	[OP_ABORT] = "aborted move", [OP_REFUSE] = "refused move", [OP_REOPEN] = "close and open",
	[OP_FAULT] = "fault on command", [OP_UNBIND] = "unbind and bind",
	[OP_NUMVFS] = "VFs off and on", [OP_UNLOAD] = "unload of what is in use",
	[OP_RELOAD] = "modules out and in",
};

FIXTURE(walk)
{
	struct walk *walk;
};

static const char *best_mode(struct walk *walk)
{
	struct iommu iommu;

	walk->best_mode = IOMMU_IOMMUFD;
	if (!iommu_init(&iommu, walk->best_mode)) {
		iommu_exit(&iommu);
		return NULL;
	}
	walk->best_mode = IOMMU_TYPE1;
	return iommu_init(&iommu, walk->best_mode) ?: (iommu_exit(&iommu), NULL);
}

static void setup_pf(struct walk_pf *pf, bool nvme, unsigned int vfs)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&pf->calm, &attr);
	pf->nvme = nvme;
	pf->vfs = vfs;
}

FIXTURE_SETUP(walk)
{
	const char *why;

	if (geteuid())
		SKIP(return, "needs root");
	if (sim_built_in())
		SKIP(return, SIM_MODULE " is built into the kernel");
	self->walk = calloc(1, sizeof(*self->walk));
	must(self->walk);
	setup_pf(&self->walk->pf[0], true, NVME_VFS);
	setup_pf(&self->walk->pf[1], false, NET_VFS);
	admin_load(self->walk);
	why = best_mode(self->walk);
	if (why)
		SKIP(return, "%s", why);
	for (unsigned int i = 0; i < DEVS; i++) {
		bool nvme = i < NVME_VFS;

		dev_setup(self->walk, i, &self->walk->pf[!nvme], nvme ? i : i - NVME_VFS);
		dev_open(&self->walk->dev[i]);
	}
}

FIXTURE_TEARDOWN(walk)
{
	if (self->walk)
		admin_unload(self->walk);
}

static void *body_of(unsigned int index)
{
	if (index < DEVS)
		return owner_thread;
	return index < ACTORS - 1 ? intruder_thread : admin_thread;
}

static u64 ops_done(struct walk *walk, enum walk_op op)
{
	u64 n = 0;

	for (unsigned int i = 0; i < ACTORS; i++)
		n += __atomic_load_n(&walk->actor[i].ops[op], __ATOMIC_RELAXED);
	return n;
}

/* An operation that was not done yet, or OPS */
static enum walk_op missing(struct walk *walk)
{
	enum walk_op op = 0;

	while (op < OPS && (ops_done(walk, op) || (op == OP_LOG && !walk->dev[0].has_log)))
		op++;
	return op;
}

static void say_counts(struct walk *walk, u64 ms)
{
	u64 all = 0;

	for (unsigned int op = 0; op < OPS; op++) {
		u64 n = ops_done(walk, op);

		stress_say("walk: %8llu %s", n, names[op]);
		all += n;
	}
	stress_say("walk: %8llu operations in %llu s, %llu a minute", all, ms / 1000,
		   all * 60000 / (ms ?: 1));
}

TEST_F_TIMEOUT(walk, random_walks, LIMIT)
{
	u64 seed = stress_begin("walk"), begin = now_ms();
	struct walk *walk = self->walk;

	for (unsigned int i = 0; i < ACTORS; i++) {
		struct actor *a = &walk->actor[i];

		a->index = i;
		a->random = stress_seed(seed, i);
		a->walk = walk;
		a->dev = i < DEVS ? &walk->dev[i] : NULL;
		must(!pthread_create(&a->thread, NULL, body_of(i), a));
	}
	while (stress_goes_on_for(missing(walk) < OPS))
		sleep_ms(100);
	__atomic_store_n(&walk->stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < ACTORS; i++)
		pthread_join(walk->actor[i].thread, NULL);
	say_counts(walk, now_ms() - begin);
	EXPECT_EQ(missing(walk), OPS) {
		TH_LOG("nothing done: %s", names[missing(walk)]);
	}
}

TEST_HARNESS_MAIN
