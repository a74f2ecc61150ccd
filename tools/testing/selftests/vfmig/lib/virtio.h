/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small driver for modern virtio devices on PCI, in user space over VFIO: capabilities and
 * registers.  The virtqueues are in virtq.h.  All that it shares with the device is in an
 * arena, so it can continue with another device that has the same state: set virtio.dev to
 * that device.
 */
#ifndef VFMIG_TEST_VIRTIO_H
#define VFMIG_TEST_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "iommu.h"
#include "vfio_dev.h"

#define FEATURE(bit)	(1ULL << (bit))

/* Features of any device, but for the packed layout */
#define VIRTIO_BASIC	(FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_F_ACCESS_PLATFORM))

/* A group of registers in BAR 0 */
struct virtio_regs {
	u64 offset;
	u32 length;	/* 0 if the capability is missing */
};

struct virtio {
	struct vfio_dev *dev;
	struct arena *mem;
	struct virtio_regs common;
	struct virtio_regs notify;
	struct virtio_regs isr;
	struct virtio_regs config;
	u32 notify_step;
	unsigned int access_cap;	/* in config space; 0 if there is none */
	u64 features;			/* that were negotiated */
};

/* Find the capabilities and set bus master; fails the test if one is missing or is invalid */
void virtio_init(struct virtio *vio, struct vfio_dev *dev, struct arena *mem);

/* Registers of the common configuration, by VIRTIO_PCI_COMMON_* */
u32 common_read(struct virtio *vio, unsigned int offset, unsigned int size);
void common_write(struct virtio *vio, unsigned int offset, u32 val, unsigned int size);
u8 virtio_status(struct virtio *vio);
/* Set bits of the status */
void virtio_set_status(struct virtio *vio, u8 bits);
/* Write 0 to the status and wait until it reads 0; 0 or -ETIMEDOUT */
int virtio_reset(struct virtio *vio);
bool virtio_needs_reset(struct virtio *vio);
/* Features that the device offers, and those that were written to it */
u64 virtio_offered(struct virtio *vio);
u64 virtio_written(struct virtio *vio);
void virtio_write_features(struct virtio *vio, u64 features);
/* Reset, then go as far as FEATURES_OK; false if the device does not take the features */
bool virtio_negotiate(struct virtio *vio, u64 features);
void virtio_driver_ok(struct virtio *vio);
/* Registers of a queue; selects it */
u32 queue_read(struct virtio *vio, u16 queue, unsigned int offset);
void queue_write(struct virtio *vio, u16 queue, unsigned int offset, u32 val);
void queue_write64(struct virtio *vio, u16 queue, unsigned int offset_lo, u64 val);
/* A consistent copy of a part of the device's configuration */
void virtio_config(struct virtio *vio, unsigned int offset, void *buf, unsigned int len);
/* An access through the PCI configuration access capability */
u32 virtio_cap_read(struct virtio *vio, u8 bar, u32 offset, u32 size);
void virtio_cap_write(struct virtio *vio, u8 bar, u32 offset, u32 val, u32 size);

#endif /* VFMIG_TEST_VIRTIO_H */
