// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFs, PFs, drivers and modules that come and go, resets, and memory that is mapped and unmapped,
 * all at once and under DMA.  fabric.h says who does what.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fabric.h"
#include "sim.h"

#include "harness.h"

/* The time that it goes on is the user's to say */
#define LIMIT		100000
/* The modules are unloaded after each round */
#define ROUND_MS	20000

static const char * const names[FABRIC_OPS] = {
	[OP_OPEN] = "opens", [OP_OPEN_FAILED] = "opens of what is coming or going",
	[OP_ASKED] = "VFs given back on request", [OP_START] = "starts of a driver",
	[OP_LOST] = "drivers ended by a reset", [OP_WRITE] = "pages written",
	[OP_VERIFY] = "pages read and verified",
	[OP_RACE] = "unmaps under DMA", [OP_DMA_GOOD] = "commands under way, done before the unmap",
	[OP_DMA_FAULT] = "commands under way, with a DMA fault after it", [OP_DETACH] = "detaches",
	[OP_REPLACE] = "replaces of an address space",
	[OP_CLOSE_IN_DMA] = "closes under DMA", [OP_VF_RESET_VFIO] = "VFIO_DEVICE_RESET",
	[OP_CLASS] = "reads of the class of a NIC",
	[OP_NUMVFS_OFF] = "VFs off", [OP_NUMVFS_ON] = "VFs on", [OP_RESET_PF] = "resets of a PF",
	[OP_RESET_VF] = "resets of a VF by sysfs", [OP_REBIND] = "unbinds and binds of a VF",
	[OP_REMOVE_PF] = "removals and rescans of a PF", [OP_UNBIND_PF] = "unbinds of a PF",
	[OP_LATENCY] = "changes of the latency of the disks",
	[OP_UNLOAD] = "unloads of what is in use", [OP_UNLOAD_DRIVER] = "unloads of the VF driver",
};

FIXTURE(fabric)
{
	struct fabric *fabric;
};

static void load(struct fabric *fabric)
{
	sim_load("media_mb=1", fabric->pf);
	must(pci_driver(fabric->pf[0], fabric->driver, sizeof(fabric->driver)));
}

FIXTURE_SETUP(fabric)
{
	struct fabric *fabric = calloc(1, sizeof(*fabric));
	struct iommu iommu;
	const char *why;

	must(fabric);
	if (geteuid())
		SKIP(return, "needs root");
	if (sim_built_in())
		SKIP(return, SIM_MODULE " is built into the kernel");
	why = iommu_init(&iommu, IOMMU_TYPE1);
	if (why)
		SKIP(return, "%s", why);
	iommu_exit(&iommu);
	load(fabric);
	fabric->iommufd = iommu_has(IOMMU_IOMMUFD);
	fabric->pf_can_go = !pf_stays(fabric->pf[0]);
	must(!pf_set_numvfs(fabric->pf[0], 0));
	/* With lockdep the PCI core of newer kernels warns of a PF that is unbound with VFs */
	fabric->pf_can_be_unbound = !file_exists("/proc/lockdep_stats");
	pthread_rwlock_init(&fabric->children, NULL);
	for (unsigned int i = 0; i < USERS; i++)
		user_init(fabric, i);
	self->fabric = fabric;
}

FIXTURE_TEARDOWN(fabric)
{
}

static void watch(struct fabric *fabric)
{
	for (unsigned int i = 0; i < USERS + ADMINS; i++)
		stress_check(&fabric->worker[i].watch);
}

static void begin_threads(struct fabric *fabric)
{
	fabric->admins_stop = false;
	fabric->users_stop = false;
	for (unsigned int i = 0; i < USERS + ADMINS; i++) {
		struct worker *w = &fabric->worker[i];

		must(!pthread_create(&w->thread, NULL, i < USERS ? user_thread : admin_thread, w));
	}
}

static void end_threads(struct fabric *fabric, unsigned int first, unsigned int count, bool *stop)
{
	__atomic_store_n(stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = first; i < first + count; i++) {
		while (pthread_tryjoin_np(fabric->worker[i].thread, NULL)) {
			sleep_ms(10);
			watch(fabric);
		}
	}
}

/* What is left of it all is nothing */
static void unload(struct fabric *fabric)
{
	for (unsigned int i = 0; i < FABRIC_PFS; i++) {
		must(!pf_set_numvfs(fabric->pf[i], 0));
		must(!pf_numvfs(fabric->pf[i]));
	}
	must(!system("modprobe -r " SIM_MODULE " " VF_DRIVER));
	for (unsigned int i = 0; i < SIM_MODULES; i++) {
		char path[PATH_SIZE];

		snprintf(path, sizeof(path), "/sys/module/%s", sim_modules[i]);
		if (file_exists(path))
			fail(__FILE__, __LINE__, "module %s is still there", sim_modules[i]);
	}
}

static void run_round(struct fabric *fabric)
{
	u64 end = now_ms() + ROUND_MS;

	begin_threads(fabric);
	while (stress_goes_on() && now_ms() < end) {
		sleep_ms(50);
		watch(fabric);
	}
	/* Users last, as administrators wait for them */
	end_threads(fabric, USERS, ADMINS, &fabric->admins_stop);
	end_threads(fabric, 0, USERS, &fabric->users_stop);
	unload(fabric);
}

static u64 ops_done(struct fabric *fabric, enum fabric_op op)
{
	u64 n = 0;

	for (unsigned int i = 0; i < USERS + ADMINS; i++)
		n += fabric->worker[i].ops[op];
	return n;
}

static void say_counts(struct fabric *fabric, unsigned int rounds, u64 ms)
{
	for (unsigned int op = 0; op < FABRIC_OPS; op++)
		stress_say("fabric: %8llu %s", ops_done(fabric, op), names[op]);
	stress_say("fabric: %u rounds in %llu s, each ended by an unload of all modules", rounds,
		   ms / 1000);
}

/* A run in which no VF could be opened, or none was used, has found nothing */
static void check_done(struct __test_metadata *_metadata, struct fabric *fabric)
{
	static const enum fabric_op needed[] = {
		OP_OPEN, OP_START, OP_WRITE, OP_VERIFY, OP_RACE, OP_DMA_FAULT, OP_VF_RESET_VFIO,
		OP_CLASS, OP_NUMVFS_ON,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(needed); i++) {
		EXPECT_GT(ops_done(fabric, needed[i]), 0) {
			TH_LOG("nothing done: %s", names[needed[i]]);
		}
	}
	if (fabric->iommufd)
		EXPECT_GT(ops_done(fabric, OP_DETACH), 0);
}

TEST_F_TIMEOUT(fabric, all_at_once, LIMIT)
{
	u64 seed = stress_begin("fabric"), begin = now_ms();
	struct fabric *fabric = self->fabric;
	unsigned int rounds = 0;

	for (unsigned int i = 0; i < USERS + ADMINS; i++) {
		struct worker *w = &fabric->worker[i];

		w->random = stress_seed(seed, i);
		w->fabric = fabric;
		w->user = i < USERS ? &fabric->user[i] : NULL;
	}
	do {
		if (rounds++)
			load(fabric);
		run_round(fabric);
	} while (stress_goes_on());
	say_counts(fabric, rounds, now_ms() - begin);
	check_done(_metadata, fabric);
}

TEST_HARNESS_MAIN
