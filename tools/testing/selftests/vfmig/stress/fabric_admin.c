// SPDX-License-Identifier: GPL-2.0-only
/*
 * The administrators of fabric_stress.  They do not know of each other, so that a VF, a PF or a
 * driver may be gone, or be somebody else's at the moment, when one of them gets there.
 *
 * No VF is removed by its "remove" in sysfs: the PCI core then leaves the link from the PF to the
 * VF behind, and complains of it when VFs are created again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fabric.h"
#include "kmod.h"
#include "sim.h"

#define PAUSE_MS	60

static const char *some_pf(struct worker *w, unsigned int *index)
{
	*index = random_below(&w->random, FABRIC_PFS);
	return w->fabric->pf[*index];
}

/* Address of a VF that is there, and of which PF it is; false if there is none */
static bool some_vf(struct worker *w, char *bdf, unsigned int *index)
{
	unsigned int pf = random_below(&w->random, FABRIC_PFS);

	*index = pf;
	return pf_vf(w->fabric->pf[pf], random_below(&w->random, pf ? NET_USERS : NVME_USERS), bdf);
}

/* Was it done?  Fails if it was not, for another reason than these. */
static bool check(const char *what, const char *bdf, int err, const int *may, unsigned int n)
{
	if (!err)
		return true;
	for (unsigned int i = 0; i < n; i++)
		if (err == -may[i])
			return false;
	fail(__FILE__, __LINE__, "%s: %s: errno %d", bdf, what, -err);
}

#define CHECK(what, bdf, err, ...) ({ \
	static const int _may[] = { __VA_ARGS__ }; \
	check(what, bdf, err, _may, ARRAY_SIZE(_may)); \
})

/*
 * The PCI core takes the lock of the PF and then that of rescans and removals for sriov_numvfs,
 * and the other way round to remove the PF.  The two must not come together.
 */
static pthread_mutex_t core_lock = PTHREAD_MUTEX_INITIALIZER;

/* ENOENT: there is no PF, or it has no driver; EBUSY: it has VFs */
static void set_numvfs(struct worker *w)
{
	unsigned int index, count;
	const char *pf = some_pf(w, &index);

	pthread_mutex_lock(&core_lock);
	if (one_in(&w->random, 3))
		w->ops[OP_NUMVFS_OFF] += CHECK("VFs off", pf, pf_set_numvfs(pf, 0), ENOENT,
					       ENODEV);
	count = 1 + random_below(&w->random, index ? NET_USERS : NVME_USERS);
	w->ops[OP_NUMVFS_ON] += CHECK("VFs on", pf, pf_set_numvfs(pf, count), ENOENT, ENODEV,
				      EBUSY);
	pthread_mutex_unlock(&core_lock);
}

static void reset_pf(struct worker *w)
{
	unsigned int index;
	const char *pf = some_pf(w, &index);

	__atomic_add_fetch(&w->fabric->resets_begun[index], 1, __ATOMIC_SEQ_CST);
	w->ops[OP_RESET_PF] += CHECK("reset", pf, file_write(pci_path(pf, "reset"), "1"), ENOENT,
				     ENODEV);
	__atomic_add_fetch(&w->fabric->resets_ended[index], 1, __ATOMIC_SEQ_CST);
}

/* How long the device takes for a command, so that more of them are under way */
static void set_latency(struct worker *w)
{
	u64 us = one_in(&w->random, 2) ? 0 : random_below(&w->random, 500);
	const char *pf = w->fabric->pf[0];

	w->ops[OP_LATENCY] += CHECK("io_latency_us", pf, pf_attr_set(pf, "io_latency_us", us),
				    ENOENT, ENODEV);
}

static void reset_vf(struct worker *w)
{
	char bdf[BDF_SIZE];
	unsigned int pf;
	int err;

	if (!some_vf(w, bdf, &pf))
		return;
	pf_reset_watch(w, pf);
	err = file_write(pci_path(bdf, "reset"), "1");
	if (err == -ENOTTY && pf_reset_seen(w))
		return;
	w->ops[OP_RESET_VF] += CHECK("reset", bdf, err, ENOENT, ENODEV);
}

static void rebind_vf(struct worker *w)
{
	char bdf[BDF_SIZE];
	unsigned int pf;

	if (!some_vf(w, bdf, &pf))
		return;
	w->ops[OP_REBIND] += CHECK("unbind and bind", bdf, pci_rebind(bdf, VF_DRIVER), ENOENT,
				   ENODEV, EINVAL, EBUSY);
}

static void find_again(const char *pf)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/class/pci_bus/%.7s/rescan", pf);
	must(!file_write(path, "1"));
}

static void remove_pf(struct worker *w)
{
	unsigned int index;
	const char *pf = some_pf(w, &index);

	if (!w->fabric->pf_can_go)
		return;
	pthread_mutex_lock(&core_lock);
	w->ops[OP_REMOVE_PF] += CHECK("remove", pf, file_write(pci_path(pf, "remove"), "1"),
				      ENOENT, ENODEV);
	find_again(pf);
	pthread_mutex_unlock(&core_lock);
}

static void unbind_pf(struct worker *w)
{
	unsigned int index;
	const char *pf = some_pf(w, &index);
	char path[PATH_SIZE];

	if (!w->fabric->pf_can_be_unbound)
		return;
	w->ops[OP_UNBIND_PF] += CHECK("unbind", pf, file_write(pci_path(pf, "driver/unbind"), pf),
				      ENOENT, ENODEV);
	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/bind", w->fabric->driver);
	CHECK("bind", pf, file_write(path, pf), ENOENT, ENODEV, EBUSY, EINVAL);
}

/* The modules above it use it, whatever becomes of the VFs */
static void try_unload(struct worker *w)
{
	const char *name = sim_modules[2 + random_below(&w->random, SIM_MODULES - 2)];

	must(kmod_unload(name) == -EWOULDBLOCK);
	w->ops[OP_UNLOAD]++;
}

/*
 * It goes when no VF is open, and a VF that comes meanwhile has no driver.  A module that is
 * coming or going can neither be unloaded nor loaded.  So the administrators take turns.
 */
static void reload_driver(struct worker *w)
{
	static pthread_mutex_t reload_lock = PTHREAD_MUTEX_INITIALIZER;
	int err;

	pthread_mutex_lock(&reload_lock);
	err = kmod_unload(VF_DRIVER);
	w->ops[OP_UNLOAD_DRIVER] += CHECK("unload", VF_DRIVER, err, EWOULDBLOCK);
	pthread_rwlock_wrlock(&w->fabric->children);
	must(!system("modprobe " VF_DRIVER));
	pthread_rwlock_unlock(&w->fabric->children);
	pthread_mutex_unlock(&reload_lock);
}

/* @weight says how often, beside other actions */
static const struct {
	void (*act)(struct worker *w);
	enum fabric_op op;
	unsigned int weight;
} acts[] = {
	{ set_latency, OP_LATENCY, 10 }, { set_numvfs, OP_NUMVFS_ON, 20 },
	{ set_numvfs, OP_NUMVFS_OFF, 0 }, { reset_pf, OP_RESET_PF, 20 },
	{ reset_vf, OP_RESET_VF, 15 }, { rebind_vf, OP_REBIND, 12 },
	{ remove_pf, OP_REMOVE_PF, 6 }, { unbind_pf, OP_UNBIND_PF, 5 },
	{ try_unload, OP_UNLOAD, 6 }, { reload_driver, OP_UNLOAD_DRIVER, 6 },
};

static bool is_missing(struct fabric *fabric, enum fabric_op op)
{
	if ((op == OP_REMOVE_PF && !fabric->pf_can_go) ||
	    (op == OP_UNBIND_PF && !fabric->pf_can_be_unbound))
		return false;
	return !ops_done(fabric, op);
}

enum fabric_op admin_missing(struct fabric *fabric)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(acts); i++)
		if (is_missing(fabric, acts[i].op))
			return acts[i].op;
	return FABRIC_OPS;
}

/* Every other time one that nobody has done yet, as a run may be too short for the rare ones */
static unsigned int some_act(struct worker *w)
{
	unsigned int first = random_below(&w->random, ARRAY_SIZE(acts));
	bool any = one_in(&w->random, 2);

	for (unsigned int n = 0; n < ARRAY_SIZE(acts) && !any; n++) {
		unsigned int i = (first + n) % ARRAY_SIZE(acts);

		if (is_missing(w->fabric, acts[i].op))
			return i;
	}
	return random_entry(&w->random, acts, ARRAY_SIZE(acts));
}

void *admin_thread(void *arg)
{
	struct worker *w = arg;

	while (!__atomic_load_n(&w->fabric->admins_stop, __ATOMIC_ACQUIRE)) {
		unsigned int i = some_act(w);

		stress_call_begins(&w->watch, "an administrator's call");
		acts[i].act(w);
		stress_call_ends(&w->watch);
		sleep_ms(random_below(&w->random, PAUSE_MS));
	}
	return NULL;
}
