// SPDX-License-Identifier: GPL-2.0-only
/* What an administrator of the host does meanwhile: to PFs, drivers and modules */
#include <errno.h>

#include "kmod.h"
#include "sim.h"
#include "walk.h"

#define PAUSE_MS	200

static void create_vfs(struct walk_pf *pf)
{
	must(!pf_set_numvfs(pf->bdf, pf->vfs));
}

void admin_load(struct walk *walk)
{
	char pfs[2][BDF_SIZE];

	sim_load("media_mb=1", pfs);
	for (unsigned int i = 0; i < PFS; i++) {
		bdf_copy(walk->pf[i].bdf, pfs[i]);
		create_vfs(&walk->pf[i]);
	}
}

void admin_unload(struct walk *walk)
{
	for (unsigned int i = 0; i < PFS; i++)
		must(!pf_set_numvfs(walk->pf[i].bdf, 0));
	sim_unload();
}

static struct walk_dev *some_dev(struct actor *a)
{
	return &a->walk->dev[random_below(&a->random, DEVS)];
}

static void each_dev(struct walk *walk, struct walk_pf *pf,
		     void (*act)(struct actor *a, struct walk_dev *d), struct actor *a)
{
	for (unsigned int i = 0; i < DEVS; i++)
		if (!pf || walk->dev[i].pf == pf)
			act(a, &walk->dev[i]);
}

static void begin_reset(struct actor *a, struct walk_dev *d)
{
	model_begin(&d->model, a->index, FLIGHT_RESET, 0);
}

static void end_reset(struct actor *a, struct walk_dev *d)
{
	model_end(&d->model, a->index, 1);
}

static void reset_pf(struct actor *a)
{
	struct walk_pf *pf = some_dev(a)->pf;
	int err;

	pthread_rwlock_wrlock(&pf->calm);
	each_dev(a->walk, pf, begin_reset, a);
	err = file_write(pci_path(pf->bdf, "reset"), "1");
	each_dev(a->walk, pf, end_reset, a);
	pthread_rwlock_unlock(&pf->calm);
	if (err)
		fail(__FILE__, __LINE__, "reset of %s: %d", pf->bdf, err);
	a->ops[OP_RESET_PF]++;
}

static void evict(struct actor *a, struct walk_dev *d)
{
	__atomic_store_n(&d->evict, true, __ATOMIC_RELEASE);
}

static void readmit(struct actor *a, struct walk_dev *d)
{
	__atomic_store_n(&d->evict, false, __ATOMIC_RELEASE);
}

/* Waits for the user, who is asked for the device */
static void unbind(struct actor *a)
{
	struct walk_dev *d = some_dev(a);

	/* Until it is over the device can't be reset: its owner must not be sure of anything */
	pthread_rwlock_wrlock(&d->pf->calm);
	evict(a, d);
	must(!pci_rebind(d->bdf, VF_DRIVER));
	must(wait_until(pci_has_driver(d->bdf, VF_DRIVER)));
	a->ops[OP_UNBIND]++;
	readmit(a, d);
	pthread_rwlock_unlock(&d->pf->calm);
}

static void begin_gone(struct actor *a, struct walk_dev *d)
{
	model_begin(&d->model, a->index, FLIGHT_GONE, 0);
	evict(a, d);
}

static void end_gone(struct actor *a, struct walk_dev *d)
{
	struct guest *g = d->guest;

	model_end(&d->model, a->index, 1);
	/* A new disk */
	guest_forget(g);
	g->granules = MIB(MEDIUM_MB) / PAGE;
	readmit(a, d);
}

static void await_out(struct actor *a, struct walk_dev *d)
{
	while (!__atomic_load_n(&d->out, __ATOMIC_ACQUIRE))
		sleep_ms(2);
}

static void remove_vfs(struct actor *a)
{
	struct walk_pf *pf = some_dev(a)->pf;

	pthread_rwlock_wrlock(&pf->calm);
	each_dev(a->walk, pf, begin_gone, a);
	must(!pf_set_numvfs(pf->bdf, 0));
	each_dev(a->walk, pf, await_out, a);
	create_vfs(pf);
	a->ops[OP_NUMVFS]++;
	each_dev(a->walk, pf, end_gone, a);
	pthread_rwlock_unlock(&pf->calm);
}

static void drop_fds(struct actor *a, struct walk_dev *d)
{
	pthread_rwlock_wrlock(&d->gate);
	dev_drop_fds(d);
	pthread_rwlock_unlock(&d->gate);
}

static void reload(struct actor *a)
{
	struct walk *walk = a->walk;

	for (unsigned int i = 0; i < PFS; i++)
		pthread_rwlock_wrlock(&walk->pf[i].calm);
	each_dev(walk, NULL, begin_gone, a);
	each_dev(walk, NULL, await_out, a);
	each_dev(walk, NULL, drop_fds, a);
	admin_unload(walk);
	admin_load(walk);
	a->ops[OP_RELOAD]++;
	each_dev(walk, NULL, end_gone, a);
	for (unsigned int i = 0; i < PFS; i++)
		pthread_rwlock_unlock(&walk->pf[i].calm);
}

/* A module that a device in use needs must stay */
static void try_unload(struct actor *a)
{
	struct walk_dev *d = some_dev(a);
	const char *name = sim_modules[random_below(&a->random, SIM_MODULES)];

	if (pthread_rwlock_tryrdlock(&d->gate))
		return;
	if (d->dev.fd >= 0) {
		int err = kmod_unload(name);

		if (err != -EWOULDBLOCK)
			fail(__FILE__, __LINE__, "unloading %s, which is in use: %d", name, err);
		a->ops[OP_UNLOAD]++;
	}
	pthread_rwlock_unlock(&d->gate);
}

static const struct {
	void (*act)(struct actor *a);
	enum walk_op op;
	unsigned int weight;
} acts[] = {
	{ reset_pf, OP_RESET_PF, 30 }, { unbind, OP_UNBIND, 20 }, { remove_vfs, OP_NUMVFS, 5 },
	{ reload, OP_RELOAD, 1 }, { try_unload, OP_UNLOAD, 44 },
};

/* Those that were not done yet come first, as a run may be too short for the rare ones */
static unsigned int some_act(struct actor *a)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(acts); i++)
		if (!a->ops[acts[i].op])
			return i;
	return random_entry(&a->random, acts, ARRAY_SIZE(acts));
}

void *admin_thread(void *arg)
{
	struct actor *a = arg;

	while (!__atomic_load_n(&a->walk->stop, __ATOMIC_RELAXED)) {
		acts[some_act(a)].act(a);
		for (unsigned int n = random_below(&a->random, 50); n; n--)
			crowd_step(a, some_dev(a));
		sleep_ms(random_below(&a->random, PAUSE_MS));
	}
	return NULL;
}
