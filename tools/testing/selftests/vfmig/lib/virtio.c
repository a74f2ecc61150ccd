// SPDX-License-Identifier: GPL-2.0-only
/* See virtio.h */
#include "virtio.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

static struct virtio_regs *regs_of(struct virtio *vio, u8 type)
{
	switch (type) {
	case VIRTIO_PCI_CAP_COMMON_CFG:
		return &vio->common;
	case VIRTIO_PCI_CAP_NOTIFY_CFG:
		return &vio->notify;
	case VIRTIO_PCI_CAP_ISR_CFG:
		return &vio->isr;
	case VIRTIO_PCI_CAP_DEVICE_CFG:
		return &vio->config;
	default:
		return NULL;
	}
}

/* The first capability of a type is the one to use (VIRTIO 4.1.4) */
static void take_cap(struct virtio *vio, unsigned int cap)
{
	u8 type = cfg_read(vio->dev, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1);
	struct virtio_regs *regs = regs_of(vio, type);

	if (type == VIRTIO_PCI_CAP_PCI_CFG && !vio->access_cap)
		vio->access_cap = cap;
	if (!regs || regs->length)
		return;
	must(cfg_read(vio->dev, cap + VIRTIO_PCI_CAP_BAR, 1) == 0);
	regs->offset = cfg_read(vio->dev, cap + VIRTIO_PCI_CAP_OFFSET, 4);
	regs->length = cfg_read(vio->dev, cap + VIRTIO_PCI_CAP_LENGTH, 4);
	must(regs->offset + regs->length <= vio->dev->bar0_size);
	if (type == VIRTIO_PCI_CAP_NOTIFY_CFG)
		vio->notify_step = cfg_read(vio->dev, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
}

static void find_caps(struct virtio *vio)
{
	unsigned int cap = cfg_read(vio->dev, PCI_CAPABILITY_LIST, 1) & ~3;

	for (unsigned int limit = 48; cap && limit; limit--) {
		if (cfg_read(vio->dev, cap, 1) == PCI_CAP_ID_VNDR)
			take_cap(vio, cap);
		cap = cfg_read(vio->dev, cap + 1, 1) & ~3;
	}
	must(!cap);
}

void virtio_init(struct virtio *vio, struct vfio_dev *dev, struct arena *mem)
{
	memset(vio, 0, sizeof(*vio));
	vio->dev = dev;
	vio->mem = mem;
	find_caps(vio);
	must(vio->common.length && vio->notify.length && vio->isr.length && vio->config.length);
	vfio_bus_master(dev, true);
}

u32 common_read(struct virtio *vio, unsigned int offset, unsigned int size)
{
	return bar_read(vio->dev, vio->common.offset + offset, size);
}

void common_write(struct virtio *vio, unsigned int offset, u32 val, unsigned int size)
{
	bar_write(vio->dev, vio->common.offset + offset, val, size);
}

u8 virtio_status(struct virtio *vio)
{
	return common_read(vio, VIRTIO_PCI_COMMON_STATUS, 1);
}

void virtio_set_status(struct virtio *vio, u8 bits)
{
	common_write(vio, VIRTIO_PCI_COMMON_STATUS, virtio_status(vio) | bits, 1);
}

int virtio_reset(struct virtio *vio)
{
	common_write(vio, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	return wait_until(!virtio_status(vio)) ? 0 : -ETIMEDOUT;
}

bool virtio_needs_reset(struct virtio *vio)
{
	return virtio_status(vio) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

static u64 read_features(struct virtio *vio, unsigned int select, unsigned int window)
{
	u64 features = 0;

	for (unsigned int i = 0; i < 2; i++) {
		common_write(vio, select, i, 4);
		features |= (u64)common_read(vio, window, 4) << (32 * i);
	}
	return features;
}

u64 virtio_offered(struct virtio *vio)
{
	return read_features(vio, VIRTIO_PCI_COMMON_DFSELECT, VIRTIO_PCI_COMMON_DF);
}

u64 virtio_written(struct virtio *vio)
{
	return read_features(vio, VIRTIO_PCI_COMMON_GFSELECT, VIRTIO_PCI_COMMON_GF);
}

void virtio_write_features(struct virtio *vio, u64 features)
{
	for (unsigned int i = 0; i < 2; i++) {
		common_write(vio, VIRTIO_PCI_COMMON_GFSELECT, i, 4);
		common_write(vio, VIRTIO_PCI_COMMON_GF, features >> (32 * i), 4);
	}
}

bool virtio_negotiate(struct virtio *vio, u64 features)
{
	must(!virtio_reset(vio));
	virtio_set_status(vio, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_set_status(vio, VIRTIO_CONFIG_S_DRIVER);
	virtio_write_features(vio, features);
	virtio_set_status(vio, VIRTIO_CONFIG_S_FEATURES_OK);
	vio->features = features;
	return virtio_status(vio) & VIRTIO_CONFIG_S_FEATURES_OK;
}

void virtio_driver_ok(struct virtio *vio)
{
	virtio_set_status(vio, VIRTIO_CONFIG_S_DRIVER_OK);
}

u32 queue_read(struct virtio *vio, u16 queue, unsigned int offset)
{
	common_write(vio, VIRTIO_PCI_COMMON_Q_SELECT, queue, 2);
	return common_read(vio, offset, 2);
}

void queue_write(struct virtio *vio, u16 queue, unsigned int offset, u32 val)
{
	common_write(vio, VIRTIO_PCI_COMMON_Q_SELECT, queue, 2);
	common_write(vio, offset, val, 2);
}

void queue_write64(struct virtio *vio, u16 queue, unsigned int offset_lo, u64 val)
{
	common_write(vio, VIRTIO_PCI_COMMON_Q_SELECT, queue, 2);
	common_write(vio, offset_lo, (u32)val, 4);
	common_write(vio, offset_lo + 4, val >> 32, 4);
}

void virtio_config(struct virtio *vio, unsigned int offset, void *buf, unsigned int len)
{
	u8 *to = buf, before;

	do {
		before = common_read(vio, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
		for (unsigned int i = 0; i < len; i++)
			to[i] = bar_read(vio->dev, vio->config.offset + offset + i, 1);
	} while (before != common_read(vio, VIRTIO_PCI_COMMON_CFGGENERATION, 1));
}

static void aim_cap(struct virtio *vio, u8 bar, u32 offset, u32 size)
{
	must(vio->access_cap);
	cfg_write(vio->dev, vio->access_cap + VIRTIO_PCI_CAP_BAR, bar, 1);
	cfg_write(vio->dev, vio->access_cap + VIRTIO_PCI_CAP_OFFSET, offset, 4);
	cfg_write(vio->dev, vio->access_cap + VIRTIO_PCI_CAP_LENGTH, size, 4);
}

/* pci_cfg_data comes after the capability as all types have it */
#define CAP_DATA	sizeof(struct virtio_pci_cap)

static unsigned int access_size(u32 size)
{
	return size == 1 || size == 2 ? size : 4;
}

u32 virtio_cap_read(struct virtio *vio, u8 bar, u32 offset, u32 size)
{
	aim_cap(vio, bar, offset, size);
	return cfg_read(vio->dev, vio->access_cap + CAP_DATA, access_size(size));
}

void virtio_cap_write(struct virtio *vio, u8 bar, u32 offset, u32 val, u32 size)
{
	aim_cap(vio, bar, offset, size);
	cfg_write(vio->dev, vio->access_cap + CAP_DATA, val, access_size(size));
}
