// SPDX-License-Identifier: GPL-2.0-only
/* Opening and closing of the devices of a walk, and their data fds */
#include <errno.h>
#include <linux/pci_regs.h>
#include <unistd.h>

#include "dirty.h"
#include "walk.h"

void dev_setup(struct walk *walk, unsigned int index, struct walk_pf *pf, unsigned int vf)
{
	struct walk_dev *d = &walk->dev[index];
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&d->gate, &attr);
	pthread_mutex_init(&d->slot_lock, NULL);
	pthread_mutex_init(&d->stream_lock, NULL);
	d->index = index;
	d->pf = pf;
	d->vf = vf;
	d->mode = index % 2 ? IOMMU_TYPE1 : walk->best_mode;
	d->guest = &walk->guest[index];
	d->dev.fd = -1;
	for (unsigned int i = 0; i < ARRAY_SIZE(d->irq); i++)
		d->irq[i] = event_new();
	d->request = event_new();
	for (unsigned int i = 0; i < SLOTS; i++)
		d->slots[i].fd = -1;
	model_init(&d->model);
	guest_init(d->guest);
}

void dev_open(struct walk_dev *d)
{
	must(wait_until(pf_vf(d->pf->bdf, d->vf, d->bdf)));
	must(wait_until(pci_has_driver(d->bdf, VF_DRIVER)));
	must(!iommu_init(&d->iommu, d->mode));
	must(!vfio_open(&d->dev, &d->iommu, d->bdf));
	arena_map(&d->guest->mem, &d->iommu);
	d->flr = cfg_cap(&d->dev, PCI_CAP_ID_EXP) + PCI_EXP_DEVCTL;
	event_count(d->request);
	vfio_request_irq_set(&d->dev, d->request);
	must(!vfio_irqs_set(&d->dev, 0, ARRAY_SIZE(d->irq), d->irq));
	d->has_log = !track_offered(&d->dev, BY_DEVICE);
	d->state = RUNNING;
	d->in_session = false;
	d->load_complete = false;
	d->logging = false;
	d->guest->alive = false;
	model_is(&d->model, RUNNING);
}

void dev_close(struct walk_dev *d)
{
	vfio_close(&d->dev);
	iommu_exit(&d->iommu);
	d->in_session = false;
	d->guest->alive = false;
}

/* @slot_lock is held */
static void release(struct slot *slot)
{
	if (slot->fd < 0 || slot->refs || !slot->closing)
		return;
	close(slot->fd);
	slot->fd = -1;
	slot->closing = false;
}

static void close_slot(struct slot *slot)
{
	if (slot->fd < 0)
		return;
	slot->closing = true;
	release(slot);
}

void dev_drop_fds(struct walk_dev *d)
{
	pthread_mutex_lock(&d->slot_lock);
	for (unsigned int i = 0; i < SLOTS; i++)
		close_slot(&d->slots[i]);
	pthread_mutex_unlock(&d->slot_lock);
}

static struct slot *free_slot(struct walk_dev *d)
{
	for (unsigned int i = 0; i < SLOTS; i++)
		if (d->slots[i].fd < 0)
			return &d->slots[i];
	return NULL;
}

void dev_keep_fd(struct walk_dev *d, u64 *random, int fd, enum fd_kind kind)
{
	struct slot *slot;

	pthread_mutex_lock(&d->slot_lock);
	d->session++;
	slot = free_slot(d);
	if (!slot) {
		close_slot(&d->slots[random_below(random, SLOTS)]);
		slot = free_slot(d);
	}
	if (slot)
		*slot = (struct slot){ .fd = fd, .kind = kind, .session = d->session };
	pthread_mutex_unlock(&d->slot_lock);
	/* All are in use */
	if (!slot)
		close(fd);
}

struct slot *dev_take_fd(struct walk_dev *d, u64 *random)
{
	struct slot *slot = &d->slots[random_below(random, SLOTS)];

	pthread_mutex_lock(&d->slot_lock);
	if (slot->fd < 0 || slot->closing)
		slot = NULL;
	else
		slot->refs++;
	pthread_mutex_unlock(&d->slot_lock);
	return slot;
}

void dev_put_fd(struct walk_dev *d, struct slot *slot)
{
	pthread_mutex_lock(&d->slot_lock);
	slot->refs--;
	release(slot);
	pthread_mutex_unlock(&d->slot_lock);
}

bool dev_close_fd(struct walk_dev *d, u64 *random)
{
	struct slot *slot = &d->slots[random_below(random, SLOTS)];
	bool open;

	pthread_mutex_lock(&d->slot_lock);
	open = slot->fd >= 0 && !slot->closing;
	close_slot(slot);
	pthread_mutex_unlock(&d->slot_lock);
	return open;
}

int dev_current_fd(struct walk_dev *d)
{
	for (unsigned int i = 0; i < SLOTS; i++)
		if (d->slots[i].fd >= 0 && d->in_session && d->slots[i].session == d->session)
			return d->slots[i].fd;
	return -1;
}

bool dev_some_stream(struct walk *walk, struct walk_dev *d, u64 *random, struct blob *blob)
{
	unsigned int first = d->pf->nvme ? 0 : NVME_VFS;
	struct walk_dev *from = &walk->dev[first + random_below(random, d->pf->vfs)];
	bool found;

	pthread_mutex_lock(&from->stream_lock);
	found = from->stream.len;
	if (found)
		blob_copy(blob, &from->stream);
	pthread_mutex_unlock(&from->stream_lock);
	return found;
}
