// SPDX-License-Identifier: GPL-2.0-only
/* The users of fabric_stress: each opens its VF when it is there, and uses it until it is asked */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>
#include <unistd.h>

#include "fabric.h"

#define STEPS_MAX	60
/* As in the kernel's pci_ids.h */
#define PCI_CLASS_NETWORK_ETHERNET	0x0200
#define PAUSE_MS	20

void user_init(struct fabric *fabric, unsigned int index)
{
	struct user *u = &fabric->user[index];

	u->pf = index >= NVME_USERS;
	u->vf = u->pf ? index - NVME_USERS : index;
	u->mode = fabric->iommufd && index % 2 ? IOMMU_IOMMUFD : IOMMU_TYPE1;
	u->request = event_new();
	u->dev.fd = -1;
	arena_init(&u->mem);
	u->buf = arena_alloc(&u->mem, PAGE);
}

bool user_is_asked(struct user *u)
{
	u->asked |= event_count(u->request) > 0;
	return u->asked;
}

void pf_reset_watch(struct worker *w, unsigned int pf)
{
	u64 *ended = &w->fabric->resets_ended[pf];

	w->watched_pf = pf;
	w->resets_before = __atomic_load_n(ended, __ATOMIC_SEQ_CST);
}

bool pf_reset_seen(struct worker *w)
{
	u64 *begun = &w->fabric->resets_begun[w->watched_pf];

	return __atomic_load_n(begun, __ATOMIC_SEQ_CST) != w->resets_before;
}

int user_reset(struct worker *w)
{
	struct user *u = w->user;
	int err;

	pf_reset_watch(w, u->pf);
	err = vfio_reset(&u->dev);
	w->ops[OP_VF_RESET_VFIO] += !err;
	/* The VF is being reset, or is not there while its PF is */
	if (err && err != -EAGAIN && !(err == -ENOTTY && pf_reset_seen(w)))
		fail(__FILE__, __LINE__, "%s: VFIO_DEVICE_RESET: %d", u->bdf, err);
	return err;
}

bool user_bus_master(struct worker *w)
{
	int err;

	pf_reset_watch(w, w->user->pf);
	err = vfio_try_bus_master(&w->user->dev, true);
	must(!err || (err == -ENODEV && pf_reset_seen(w)));
	return !err;
}

static bool stopped(struct worker *w)
{
	return __atomic_load_n(&w->fabric->users_stop, __ATOMIC_ACQUIRE);
}

/*
 * What a VF that is going, or coming, may answer to an open.  It is never EIO, not even during a
 * reset of the PF: a VF has no power states, so that its runtime PM can't fail.
 */
static void check_open(struct user *u, int err)
{
	static const int may[] = { ENODEV, ENOENT, EBUSY, EINVAL, EPERM, EAGAIN, ENXIO };

	for (unsigned int i = 0; i < ARRAY_SIZE(may); i++)
		if (err == -may[i])
			return;
	fail(__FILE__, __LINE__, "%s: open: errno %d", u->bdf, -err);
}

static bool open_vf(struct worker *w)
{
	struct user *u = w->user;
	int err;

	if (!pf_vf(w->fabric->pf[u->pf], u->vf, u->bdf))
		return false;
	must(!iommu_init(&u->iommu, u->mode));
	pf_reset_watch(w, u->pf);
	err = vfio_try_open(&u->dev, &u->iommu, u->bdf);
	if (!err && !vfio_can_reset(&u->dev)) {
		/* VFIO tried to, and the PF's reset had taken the VF away */
		must(pf_reset_seen(w));
		vfio_close(&u->dev);
		err = -ENODEV;
	}
	if (err) {
		check_open(u, err);
		iommu_exit(&u->iommu);
		w->ops[OP_OPEN_FAILED]++;
		return false;
	}
	w->ops[OP_OPEN]++;
	event_count(u->request);
	u->asked = false;
	vfio_request_irq_set(&u->dev, u->request);
	arena_map(&u->mem, &u->iommu);
	/* It may be another disk than before */
	memset(u->tags, 0, sizeof(u->tags));
	u->started = false;
	u->has_beside = false;
	return true;
}

static void close_vf(struct worker *w)
{
	struct user *u = w->user;

	if (u->started && one_in(&w->random, 2) && dma_close(w))
		return;
	vfio_close(&u->dev);
	iommu_exit(&u->iommu);
	u->started = false;
}

/* The class is the device's own, unlike much of config space, which VFIO has a copy of */
static void check_class(struct worker *w)
{
	struct user *u = w->user;
	u32 class;
	int err;

	pf_reset_watch(w, u->pf);
	err = cfg_try_read(&u->dev, PCI_CLASS_REVISION, &class, 4);
	/* There was no VF */
	if (pf_reset_seen(w) && (err == -ENODEV || class == 0xffffffff))
		return;
	if (err || class >> 16 != PCI_CLASS_NETWORK_ETHERNET)
		fail(__FILE__, __LINE__, "%s: class 0x%x: %d", u->bdf, class, err);
	w->ops[OP_CLASS]++;
}

static void user_step(struct worker *w)
{
	if (w->user->pf && one_in(&w->random, 4))
		check_class(w);
	if (!w->user->started && !dma_start(w)) {
		sleep_ms(1);
		return;
	}
	switch (random_below(&w->random, 8)) {
	case 0:
	case 1:
	case 2:
		dma_race(w);
		break;
	case 3:
		dma_detach(w);
		break;
	case 4:
		dma_replace(w);
		break;
	default:
		dma_verify(w);
	}
}

static void session(struct worker *w)
{
	unsigned int steps = 1 + random_below(&w->random, STEPS_MAX);

	while (steps-- && !stopped(w) && !user_is_asked(w->user)) {
		stress_call_begins(&w->watch, "a step of a user");
		user_step(w);
		stress_call_ends(&w->watch);
	}
	/* A user may take its time */
	if (user_is_asked(w->user)) {
		w->ops[OP_ASKED]++;
		sleep_ms(random_below(&w->random, PAUSE_MS));
	}
}

void *user_thread(void *arg)
{
	struct worker *w = arg;

	while (!stopped(w)) {
		stress_call_begins(&w->watch, "open");
		if (!open_vf(w)) {
			stress_call_ends(&w->watch);
			sleep_ms(2);
			continue;
		}
		session(w);
		stress_call_begins(&w->watch, "close");
		close_vf(w);
		stress_call_ends(&w->watch);
	}
	return NULL;
}
