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
	[OP_NET_START] = "starts of a driver of a NIC",
	[OP_NET_VERIFY] = "commands of a NIC in memory that stays",
	[OP_NET_GOOD] = "commands of a NIC under way, done before the unmap",
	[OP_NET_FAULT] = "drivers of a NIC ended by a DMA fault after it",
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

/* A VF that is being reset does not say where its registers are */
static void learn_layout(struct fabric *fabric)
{
	const char *pf = fabric->pf[1];
	struct vfio_dev dev = {};
	struct iommu iommu;
	char bdf[BDF_SIZE];

	must(!iommu_init(&iommu, IOMMU_TYPE1));
	must(!pf_set_numvfs(pf, 1) && wait_until(pf_vf(pf, 0, bdf)));
	must(wait_until(pci_has_driver(bdf, VF_DRIVER)));
	must(!vfio_open(&dev, &iommu, bdf));
	virtio_init(&fabric->layout, &dev, NULL);
	vfio_close(&dev);
	iommu_exit(&iommu);
	must(!pf_set_numvfs(pf, 0));
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
	learn_layout(fabric);
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

u64 ops_done(struct fabric *fabric, enum fabric_op op)
{
	u64 n = 0;

	for (unsigned int i = 0; i < USERS + ADMINS; i++)
		n += __atomic_load_n(&fabric->worker[i].ops[op], __ATOMIC_RELAXED);
	return n;
}

/* What a run must have done and has not, or FABRIC_OPS: else it has found nothing */
static enum fabric_op missing(struct fabric *fabric)
{
	static const enum fabric_op needed[] = {
		OP_OPEN, OP_START, OP_WRITE, OP_VERIFY, OP_RACE, OP_DMA_GOOD, OP_DMA_FAULT,
		OP_NET_START, OP_NET_VERIFY, OP_NET_GOOD, OP_NET_FAULT, OP_CLOSE_IN_DMA,
		OP_VF_RESET_VFIO, OP_CLASS,
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(needed); i++)
		if (!ops_done(fabric, needed[i]))
			return needed[i];
	/* A container is left by VFs that are closed, which is not for sure */
	for (enum fabric_op op = OP_DETACH; op <= OP_REPLACE && fabric->iommufd; op++)
		if (!ops_done(fabric, op))
			return op;
	return admin_missing(fabric);
}

static bool goes_on(struct fabric *fabric)
{
	return stress_goes_on_for(missing(fabric) < FABRIC_OPS);
}

static void run_round(struct fabric *fabric)
{
	u64 end = now_ms() + ROUND_MS;

	begin_threads(fabric);
	while (goes_on(fabric) && now_ms() < end) {
		sleep_ms(50);
		watch(fabric);
	}
	/* Users last, as administrators wait for them */
	end_threads(fabric, USERS, ADMINS, &fabric->admins_stop);
	end_threads(fabric, 0, USERS, &fabric->users_stop);
	unload(fabric);
}

static void say_counts(struct fabric *fabric, unsigned int rounds, u64 ms)
{
	for (unsigned int op = 0; op < FABRIC_OPS; op++)
		stress_say("fabric: %8llu %s", ops_done(fabric, op), names[op]);
	stress_say("fabric: %u rounds in %llu s, each ended by an unload of all modules", rounds,
		   ms / 1000);
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
	} while (goes_on(fabric));
	say_counts(fabric, rounds, now_ms() - begin);
	EXPECT_EQ(missing(fabric), FABRIC_OPS) {
		TH_LOG("nothing done: %s", names[missing(fabric)]);
	}
}

TEST_HARNESS_MAIN
