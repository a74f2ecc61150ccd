/* SPDX-License-Identifier: GPL-2.0-only */
/* The layout of BAR 0 of a virtio device: a page for each kind of registers */
#ifndef _VFMIG_VIRTIO_PCI_H
#define _VFMIG_VIRTIO_PCI_H

#include <linux/sizes.h>

#define VFMIG_VIRTIO_REGION		SZ_4K
#define VFMIG_VIRTIO_COMMON		0
#define VFMIG_VIRTIO_ISR		(1 * SZ_4K)
#define VFMIG_VIRTIO_DEVICE		(2 * SZ_4K)
#define VFMIG_VIRTIO_NOTIFY		(3 * SZ_4K)
#define VFMIG_VIRTIO_MSIX_TABLE		(4 * SZ_4K)
#define VFMIG_VIRTIO_MSIX_PBA		(5 * SZ_4K)
#define VFMIG_VIRTIO_BAR		SZ_32K

/* Bytes of the common configuration: as VIRTIO 1.2 has it, and 4 that later versions added */
#define VFMIG_VIRTIO_COMMON_SIZE	64

/* queue_notify_off of a queue is its index; notify_off_multiplier */
#define VFMIG_VIRTIO_NOTIFY_STEP	4

#endif /* _VFMIG_VIRTIO_PCI_H */
