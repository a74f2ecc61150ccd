// SPDX-License-Identifier: GPL-2.0-only
/*
 * The registers: where they are in BAR 0 (VIRTIO 4.1.4), and accesses of a vCPU.
 *
 * A write is stored in the latch and kicks the worker, without waiting for it.  What the
 * driver has to wait for has a register that it polls: device_status reads 0 again, or
 * queue_reset does, when the worker has seen the reset.  A notification that the worker
 * has not seen stays in the latch and is part of the migration state.
 *
 * All this works in atomic context, because the PCI configuration access capability
 * (VIRTIO 4.1.4.9) comes here from a write to config space.
 */
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/nospec.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "pci.h"
#include "virtio.h"

static_assert(sizeof(struct virtio_pci_modern_common_cfg) == VFMIG_VIRTIO_COMMON_SIZE);

/* Power-on values of a queue's registers */
void vfmig_virtio_reset_vq(struct vfmig_vq_regs *vq)
{
	*vq = (struct vfmig_vq_regs) {
		.size = VFMIG_VQ_SIZE_MAX,
		.vector = VIRTIO_MSI_NO_VECTOR,
	};
}

/* Power-on values of all registers but the device-specific configuration; the lock is held */
static void reset_locked(struct vfmig_virtio_latch *latch)
{
	latch->device_feature_select = 0;
	latch->driver_feature_select = 0;
	latch->driver_features = 0;
	latch->config_vector = VIRTIO_MSI_NO_VECTOR;
	latch->queue_select = 0;
	latch->status = 0;
	latch->isr = 0;
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++)
		vfmig_virtio_reset_vq(&latch->vq[i]);
	bitmap_zero(latch->notified, VFMIG_VIRTIO_VQS);
}

/* Power-on state, with no reset for the worker to see */
void vfmig_virtio_latch_reset(struct vfmig_virtio *dev)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&dev->latch.lock, flags);
	reset_locked(&dev->latch);
	dev->latch.resetting = false;
	dev->latch.changed = false;
	dev->latch.frozen = false;
	raw_spin_unlock_irqrestore(&dev->latch.lock, flags);
}

/* The selected queue, or NULL; the lock is held */
static struct vfmig_vq_regs *selected(struct vfmig_virtio_latch *latch)
{
	if (latch->queue_select >= latch->nr_vqs)
		return NULL;
	return &latch->vq[array_index_nospec(latch->queue_select, VFMIG_VIRTIO_VQS)];
}

/* A 32-bit window into 64 bits of features; the upper windows have none */
static u32 feature_window(u64 features, u32 select)
{
	return select < 2 ? features >> (32 * select) : 0;
}

/*
 * VIRTIO 4.1.4.3.  While a reset is under way, the guest must not read 0: the device may
 * still access its memory.
 */
static u8 visible_status(const struct vfmig_virtio_latch *latch)
{
	return latch->status | (latch->resetting ? VIRTIO_CONFIG_S_FAILED : 0);
}

/* The common configuration as bytes; the lock is held */
static void fill_common(struct vfmig_virtio *dev, struct virtio_pci_modern_common_cfg *regs)
{
	struct vfmig_virtio_latch *latch = &dev->latch;
	const struct vfmig_vq_regs *vq = selected(latch);
	struct virtio_pci_common_cfg *cfg = &regs->cfg;

	memset(regs, 0, sizeof(*regs));
	cfg->device_feature_select = cpu_to_le32(latch->device_feature_select);
	cfg->device_feature = cpu_to_le32(feature_window(dev->features,
							 latch->device_feature_select));
	cfg->guest_feature_select = cpu_to_le32(latch->driver_feature_select);
	cfg->guest_feature = cpu_to_le32(feature_window(latch->driver_features,
							latch->driver_feature_select));
	cfg->msix_config = cpu_to_le16(latch->config_vector);
	cfg->num_queues = cpu_to_le16(latch->nr_vqs);
	cfg->device_status = visible_status(latch);
	cfg->config_generation = latch->generation;
	cfg->queue_select = cpu_to_le16(latch->queue_select);
	if (!vq)	/* queue_size is 0: there is no such queue */
		return;
	cfg->queue_size = cpu_to_le16(vq->size);
	cfg->queue_msix_vector = cpu_to_le16(vq->vector);
	cfg->queue_enable = cpu_to_le16(!!(vq->state & VFMIG_VQ_ENABLED));
	cfg->queue_notify_off = cpu_to_le16(latch->queue_select);
	cfg->queue_desc_lo = cpu_to_le32(lower_32_bits(vq->desc));
	cfg->queue_desc_hi = cpu_to_le32(upper_32_bits(vq->desc));
	cfg->queue_avail_lo = cpu_to_le32(lower_32_bits(vq->driver));
	cfg->queue_avail_hi = cpu_to_le32(upper_32_bits(vq->driver));
	cfg->queue_used_lo = cpu_to_le32(lower_32_bits(vq->device));
	cfg->queue_used_hi = cpu_to_le32(upper_32_bits(vq->device));
	regs->queue_reset = cpu_to_le16(!!(vq->state & VFMIG_VQ_RESETTING));
}

/* VIRTIO 4.1.4.5: a read clears it */
static u8 read_isr(struct vfmig_virtio_latch *latch)
{
	u8 isr = latch->isr;

	if (!latch->frozen)
		latch->isr = 0;
	return isr;
}

/* The bytes of a region of the BAR, as far as there are any */
static u64 bytes_at(const void *region, size_t size, u64 offset, unsigned int len)
{
	u8 value[sizeof(u64)] = {};

	if (offset < size) {
		offset = array_index_nospec(offset, size);
		memcpy(value, region + offset, min_t(u64, len, size - offset));
	}
	return get_unaligned_le64(value);
}

u64 vfmig_virtio_bar_read(void *vf, unsigned int bar, u64 offset, unsigned int len)
{
	struct vfmig_virtio *dev = vf;
	struct virtio_pci_modern_common_cfg common;
	u64 at = offset % VFMIG_VIRTIO_REGION;
	unsigned long flags;
	u64 value = 0;

	if (bar)
		return U64_MAX;

	raw_spin_lock_irqsave(&dev->latch.lock, flags);
	switch (offset - at) {
	case VFMIG_VIRTIO_COMMON:
		fill_common(dev, &common);
		value = bytes_at(&common, sizeof(common), at, len);
		break;
	case VFMIG_VIRTIO_ISR:
		if (!at)
			value = read_isr(&dev->latch);
		break;
	case VFMIG_VIRTIO_DEVICE:
		value = bytes_at(dev->latch.config, dev->type->config_size, at, len);
		break;
	}
	raw_spin_unlock_irqrestore(&dev->latch.lock, flags);
	return value;
}

/*
 * VIRTIO 2.1.2: the driver sets bits and does not clear them, but for a reset.  FEATURES_OK
 * stays clear if the device can't work with the features (VIRTIO 2.2.2).
 */
static void write_status(struct vfmig_virtio *dev, u8 value)
{
	struct vfmig_virtio_latch *latch = &dev->latch;
	const u8 known = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK |
			 VIRTIO_CONFIG_S_FAILED;
	u64 features = latch->driver_features;
	u8 set = value & known & ~latch->status;

	if (!value) {
		reset_locked(latch);
		latch->resetting = true;
		latch->resets++;
		return;
	}
	if ((set & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    (!(features & BIT_ULL(VIRTIO_F_VERSION_1)) || (features & ~dev->features) ||
	     !dev->type->features_ok(features)))
		set &= ~VIRTIO_CONFIG_S_FEATURES_OK;
	/* VIRTIO 3.1.1 has FEATURES_OK before DRIVER_OK */
	if (!((latch->status | set) & VIRTIO_CONFIG_S_FEATURES_OK))
		set &= ~VIRTIO_CONFIG_S_DRIVER_OK;
	latch->status |= set;
}

/* The driver must not change the features after FEATURES_OK (VIRTIO 3.1.1) */
static void write_features(struct vfmig_virtio_latch *latch, u32 value)
{
	unsigned int shift;

	if (latch->driver_feature_select > 1 || (latch->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	shift = 32 * latch->driver_feature_select;
	latch->driver_features &= ~((u64)U32_MAX << shift);
	latch->driver_features |= (u64)value << shift;
}

/* VIRTIO 4.1.5.1.2: what is no vector reads back as none */
static u16 valid_vector(u16 vector)
{
	return vector < VFMIG_VIRTIO_VECTORS ? vector : VIRTIO_MSI_NO_VECTOR;
}

static void set_half(u64 *reg, bool upper, u32 value)
{
	if (upper)
		*reg = lower_32_bits(*reg) | (u64)value << 32;
	else
		*reg = (*reg & ~(u64)U32_MAX) | value;
}

/* Power of two with split rings (VIRTIO 2.7); the features are known at this point */
static bool size_valid(const struct vfmig_virtio_latch *latch, u16 size)
{
	return size && size <= VFMIG_VQ_SIZE_MAX &&
	       ((latch->driver_features & BIT_ULL(VIRTIO_F_RING_PACKED)) || is_power_of_2(size));
}

static void write_queue_enable(const struct vfmig_virtio_latch *latch, struct vfmig_vq_regs *vq,
			       u16 value)
{
	/* The driver must not write 0 (VIRTIO 4.1.4.3.2) */
	if (value == 1 && size_valid(latch, vq->size) &&
	    (latch->status & VIRTIO_CONFIG_S_FEATURES_OK))
		vq->state |= VFMIG_VQ_ENABLED;
}

static void write_queue_reset(const struct vfmig_virtio_latch *latch, struct vfmig_vq_regs *vq,
			      u16 value)
{
	if (value == 1 && (vq->state & VFMIG_VQ_ENABLED) &&
	    (latch->driver_features & BIT_ULL(VIRTIO_F_RING_RESET)))
		vq->state |= VFMIG_VQ_RESETTING;
}

/* Registers of the selected queue.  Those of an enabled one don't change, but its vector. */
static void write_queue(struct vfmig_virtio_latch *latch, unsigned int offset, unsigned int len,
			u32 value)
{
	struct vfmig_vq_regs *vq = selected(latch);
	bool enabled;

	if (!vq)
		return;
	enabled = vq->state & VFMIG_VQ_ENABLED;

	if (len == 4 && !enabled) {
		switch (offset) {
		case VIRTIO_PCI_COMMON_Q_DESCLO:
		case VIRTIO_PCI_COMMON_Q_DESCHI:
			set_half(&vq->desc, offset & 4, value);
			return;
		case VIRTIO_PCI_COMMON_Q_AVAILLO:
		case VIRTIO_PCI_COMMON_Q_AVAILHI:
			set_half(&vq->driver, offset & 4, value);
			return;
		case VIRTIO_PCI_COMMON_Q_USEDLO:
		case VIRTIO_PCI_COMMON_Q_USEDHI:
			set_half(&vq->device, offset & 4, value);
			return;
		}
	}
	if (len != 2)
		return;
	switch (offset) {
	case VIRTIO_PCI_COMMON_Q_SIZE:
		if (!enabled)
			vq->size = value;
		return;
	case VIRTIO_PCI_COMMON_Q_MSIX:
		vq->vector = valid_vector(value);
		return;
	case VIRTIO_PCI_COMMON_Q_ENABLE:
		write_queue_enable(latch, vq, value);
		return;
	case VIRTIO_PCI_COMMON_Q_RESET:
		write_queue_reset(latch, vq, value);
		return;
	}
}

/* A field is written with its own width (VIRTIO 4.1.3.1), and other writes are dropped */
static void write_common(struct vfmig_virtio *dev, unsigned int offset, unsigned int len,
			 u32 value)
{
	struct vfmig_virtio_latch *latch = &dev->latch;

	switch (offset << 4 | len) {
	case VIRTIO_PCI_COMMON_DFSELECT << 4 | 4:
		latch->device_feature_select = value;
		return;
	case VIRTIO_PCI_COMMON_GFSELECT << 4 | 4:
		latch->driver_feature_select = value;
		return;
	case VIRTIO_PCI_COMMON_GF << 4 | 4:
		write_features(latch, value);
		return;
	case VIRTIO_PCI_COMMON_MSIX << 4 | 2:
		latch->config_vector = valid_vector(value);
		return;
	case VIRTIO_PCI_COMMON_STATUS << 4 | 1:
		write_status(dev, value);
		return;
	case VIRTIO_PCI_COMMON_Q_SELECT << 4 | 2:
		latch->queue_select = value;
		return;
	default:
		write_queue(latch, offset, len, value);
		return;
	}
}

/*
 * VIRTIO 4.1.4.4: each queue has an address of its own, so the value does not matter.
 * Returns true if the queue exists.
 */
static bool write_notify(struct vfmig_virtio_latch *latch, unsigned int offset)
{
	unsigned int index = offset / VFMIG_VIRTIO_NOTIFY_STEP;

	if (index >= latch->nr_vqs || !(latch->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return false;
	__set_bit(array_index_nospec(index, VFMIG_VIRTIO_VQS), latch->notified);
	return true;
}

/*
 * Does a write to the common configuration give the worker something to do?  The vector for
 * configuration changes is read from the latch when it is raised.
 */
static bool is_for_worker(unsigned int offset)
{
	return offset == VIRTIO_PCI_COMMON_STATUS || offset == VIRTIO_PCI_COMMON_Q_ENABLE ||
	       offset == VIRTIO_PCI_COMMON_Q_RESET || offset == VIRTIO_PCI_COMMON_Q_MSIX;
}

/* Write to BAR 0.  Returns true if the worker must be kicked.  In any context. */
bool vfmig_virtio_reg_write(struct vfmig_virtio *dev, u64 offset, unsigned int len, u64 val)
{
	unsigned int at = offset % VFMIG_VIRTIO_REGION;
	unsigned long flags;
	bool kick = false;

	raw_spin_lock_irqsave(&dev->latch.lock, flags);
	if (dev->latch.frozen)
		goto out;
	switch (offset - at) {
	case VFMIG_VIRTIO_COMMON:
		if (len == 8) {	/* the two halves of a field of 64 bits */
			write_common(dev, at, 4, lower_32_bits(val));
			write_common(dev, at + 4, 4, upper_32_bits(val));
		} else {
			write_common(dev, at, len, val);
		}
		kick = is_for_worker(at);
		dev->latch.changed |= kick;
		break;
	case VFMIG_VIRTIO_NOTIFY:
		kick = write_notify(&dev->latch, at);
		break;
	}
out:
	raw_spin_unlock_irqrestore(&dev->latch.lock, flags);
	return kick;
}

void vfmig_virtio_bar_write(void *vf, unsigned int bar, u64 offset, unsigned int len, u64 val)
{
	struct vfmig_virtio *dev = vf;

	if (!bar && vfmig_virtio_reg_write(dev, offset, len, val))
		vfmig_worker_kick(&dev->worker);
}
