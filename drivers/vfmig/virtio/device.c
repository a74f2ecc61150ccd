// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of a virtio device: made, reset, gone; and how the worker handles what the driver
 * wrote to the registers.
 */
#include <linux/kernel.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/virtio_ring.h>

#include "virtio.h"

/* The driver is told through the configuration interrupt; the lock is held */
void vfmig_virtio_config_irq(struct vfmig_virtio *dev)
{
	unsigned long flags;
	u16 vector;
	bool ok;

	/* VIRTIO 3.1.1: no notification before DRIVER_OK */
	raw_spin_lock_irqsave(&dev->latch.lock, flags);
	ok = (dev->latch.status & VIRTIO_CONFIG_S_DRIVER_OK) && !dev->latch.resetting;
	if (ok)
		dev->latch.isr |= VIRTIO_PCI_ISR_CONFIG;
	vector = dev->latch.config_vector;
	raw_spin_unlock_irqrestore(&dev->latch.lock, flags);

	if (ok && vector < VFMIG_VIRTIO_VECTORS)
		__set_bit(vector, dev->raise);
}

/* There are used buffers in a queue; the lock is held */
void vfmig_virtio_vq_irq(struct vfmig_virtio *dev, const struct vfmig_vq *vq)
{
	unsigned long flags;

	if (vq->vector < VFMIG_VIRTIO_VECTORS) {
		__set_bit(vq->vector, dev->raise);
		return;
	}
	/* A driver without vectors may poll the ISR status (VIRTIO 4.1.4.5) */
	raw_spin_lock_irqsave(&dev->latch.lock, flags);
	dev->latch.isr |= BIT(0);
	raw_spin_unlock_irqrestore(&dev->latch.lock, flags);
}

void vfmig_virtio_flush_irqs(struct vfmig_virtio *dev)
{
	unsigned int vector;

	for_each_set_bit(vector, dev->raise, VFMIG_VIRTIO_VECTORS) {
		__clear_bit(vector, dev->raise);
		vfmig_fn_raise(dev->fn, vector);
	}
}

/*
 * Change the device-specific configuration; the lock is held.  A driver that reads it in
 * pieces sees from config_generation that they don't fit together (VIRTIO 2.5.1).
 */
void vfmig_virtio_set_config(struct vfmig_virtio *dev, const void *config)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&dev->latch.lock, flags);
	if (memcmp(dev->latch.config, config, dev->type->config_size)) {
		memcpy(dev->latch.config, config, dev->type->config_size);
		dev->latch.generation++;
	}
	raw_spin_unlock_irqrestore(&dev->latch.lock, flags);
}

/*
 * The driver has violated the specification, or an address faulted.  Nothing happens until
 * it resets the device (VIRTIO 2.1.2).  The lock is held.
 */
void vfmig_virtio_broken(struct vfmig_virtio *dev, const char *why)
{
	unsigned long flags;

	if (dev->broken)
		return;
	dev->broken = true;
	dev->counts.broken++;
	/* One guest's violations must not hide another's */
	if (__ratelimit(&dev->said))
		pr_warn("vfmig %s: device needs a reset: %s\n", vfmig_fn_name(dev->fn), why);

	raw_spin_lock_irqsave(&dev->latch.lock, flags);
	if (!dev->latch.resetting)
		dev->latch.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	raw_spin_unlock_irqrestore(&dev->latch.lock, flags);
	vfmig_virtio_config_irq(dev);
}

/* Forget queues, buffers and features; the lock is held */
static void drop(struct vfmig_virtio *dev)
{
	vfmig_fn_forget_writes(dev->fn);
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++)
		dev->vq[i].ops = NULL;
	bitmap_zero(dev->notified, VFMIG_VIRTIO_VQS);
	bitmap_zero(dev->raise, VFMIG_VIRTIO_VECTORS);
	dev->status = 0;
	dev->negotiated = 0;
	dev->broken = false;
	dev->type->reset(dev);
}

/* Power-on state of all but the counters; the lock is held */
void vfmig_virtio_power_on(struct vfmig_virtio *dev)
{
	vfmig_virtio_latch_reset(dev);
	dev->loaded = false;
	drop(dev);
}

/* Begin with a queue at @pos; the lock is held */
void vfmig_virtio_enable_vq(struct vfmig_virtio *dev, unsigned int index,
			    const struct vfmig_vq_regs *regs, const struct vfmig_vq_pos *pos)
{
	struct vfmig_vq *vq = &dev->vq[index];

	vq->index = index;
	vq->size = regs->size;
	vq->vector = regs->vector;
	vq->desc = regs->desc;
	vq->driver = regs->driver;
	vq->device = regs->device;
	vfmig_vq_start(dev, vq, pos);
	__set_bit(index, dev->notified);
}

static void reset_vqs(struct vfmig_virtio *dev, const unsigned long *resetting)
{
	unsigned int i;

	for_each_set_bit(i, resetting, VFMIG_VIRTIO_VQS)
		dev->vq[i].ops = NULL;
}

/* Begin with the queues that the driver has enabled since */
static void enable_vqs(struct vfmig_virtio *dev)
{
	/* A split ring has no wrap counters */
	const struct vfmig_vq_pos start = { .avail_wrap = true, .used_wrap = true };

	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++) {
		dev->vq[i].vector = dev->regs[i].vector;
		if ((dev->regs[i].state & VFMIG_VQ_ENABLED) && !dev->vq[i].ops)
			vfmig_virtio_enable_vq(dev, i, &dev->regs[i], &start);
	}
}

/* What take_changes() found in the latch */
struct changes {
	bool any;
	bool reset;
	unsigned int resets;
	u8 status;
	u64 features;
	DECLARE_BITMAP(vq_reset, VFMIG_VIRTIO_VQS);
	DECLARE_BITMAP(notified, VFMIG_VIRTIO_VQS);
};

static void take_changes(struct vfmig_virtio *dev, struct changes *changes)
{
	struct vfmig_virtio_latch *latch = &dev->latch;
	unsigned long flags;

	bitmap_zero(changes->vq_reset, VFMIG_VIRTIO_VQS);
	raw_spin_lock_irqsave(&latch->lock, flags);
	bitmap_copy(changes->notified, latch->notified, VFMIG_VIRTIO_VQS);
	bitmap_zero(latch->notified, VFMIG_VIRTIO_VQS);
	changes->any = latch->changed;
	if (!changes->any)
		goto out;

	changes->reset = latch->resetting;
	changes->resets = latch->resets;
	changes->status = latch->status;
	changes->features = latch->driver_features;
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++) {
		if (!(latch->vq[i].state & VFMIG_VQ_RESETTING))
			continue;
		__set_bit(i, changes->vq_reset);
		vfmig_virtio_reset_vq(&latch->vq[i]);
	}
	memcpy(dev->regs, latch->vq, sizeof(latch->vq));
	latch->changed = false;
out:
	raw_spin_unlock_irqrestore(&latch->lock, flags);
}

/*
 * The driver reset the device.  When it reads that this is over, no memory is accessed and
 * the configuration is that after the reset.  If it has reset the device again meanwhile, it
 * waits for that.
 */
static void do_reset(struct vfmig_virtio *dev, unsigned int resets)
{
	unsigned long flags;

	dev->counts.resets++;
	drop(dev);
	raw_spin_lock_irqsave(&dev->latch.lock, flags);
	if (dev->latch.resets == resets)
		dev->latch.resetting = false;
	raw_spin_unlock_irqrestore(&dev->latch.lock, flags);
}

/* Handle the register writes since the last call; the lock is held and the device runs */
void vfmig_virtio_take_registers(struct vfmig_virtio *dev)
{
	struct changes changes;

	take_changes(dev, &changes);
	if (changes.any) {
		if (changes.reset)
			do_reset(dev, changes.resets);
		reset_vqs(dev, changes.vq_reset);
		dev->status = changes.status;
		if (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) {
			dev->negotiated = changes.features;
			enable_vqs(dev);
		}
	}
	dev->counts.notifications += bitmap_weight(changes.notified, VFMIG_VIRTIO_VQS);
	bitmap_or(dev->notified, dev->notified, changes.notified, VFMIG_VIRTIO_VQS);
}

/* A batch; returns true if there is more to do at once */
static bool process(struct vfmig_virtio *dev)
{
	bool more;

	guard(mutex)(&dev->lock.mutex);
	if (!vfmig_is_running(&dev->running))
		return false;
	dev->stalled = false;
	vfmig_virtio_take_registers(dev);
	more = dev->type->process(dev);
	vfmig_virtio_flush_irqs(dev);
	return more && !vfmig_virtio_must_stop(dev);
}

static bool vfmig_virtio_turn(void *model)
{
	struct vfmig_virtio *dev = model;
	bool more;

	vfmig_lock_give_way(&dev->lock);
	more = process(dev);
	return (dev->type->wait && dev->type->wait(dev)) || more;
}

static void cap_kick(struct irq_work *work)
{
	vfmig_worker_kick(&container_of(work, struct vfmig_virtio, cap_kick)->worker);
}

/* @dev is zeroed, and its type's part is ready for a reset */
int vfmig_virtio_init(struct vfmig_virtio *dev, const struct vfmig_virtio_type *type,
		      struct vfmig_fn *fn)
{
	dev->type = type;
	dev->fn = fn;
	dev->features = type->features | VFMIG_VIRTIO_FEATURES;
	raw_spin_lock_init(&dev->latch.lock);
	vfmig_client_init(&dev->client);
	mutex_init(&dev->load_lock);
	vfmig_lock_init(&dev->lock);
	init_irq_work(&dev->cap_kick, cap_kick);
	ratelimit_state_init(&dev->said, DEFAULT_RATELIMIT_INTERVAL, DEFAULT_RATELIMIT_BURST);
	vfmig_running_init(&dev->running, fn);
	vfmig_worker_init(&dev->worker, fn, vfmig_virtio_turn, dev);

	dev->regs = kcalloc(VFMIG_VIRTIO_VQS, sizeof(*dev->regs), GFP_KERNEL);
	dev->chain = kvzalloc(sizeof(*dev->chain), GFP_KERNEL);
	dev->table = kcalloc(VFMIG_VQ_SIZE_MAX, sizeof(struct vring_desc), GFP_KERNEL);
	if (dev->regs && dev->chain && dev->table)
		return 0;
	vfmig_virtio_destroy(dev);
	return -ENOMEM;
}

void vfmig_virtio_destroy(struct vfmig_virtio *dev)
{
	irq_work_sync(&dev->cap_kick);
	vfmig_worker_destroy(&dev->worker);
	kfree(dev->table);
	kvfree(dev->chain);
	kfree(dev->regs);
	vfmig_lock_destroy(&dev->lock);
	mutex_destroy(&dev->load_lock);
	vfmig_client_destroy(&dev->client);
}
