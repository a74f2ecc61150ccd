/* SPDX-License-Identifier: GPL-2.0-only */
/* What the checks of a state need of the kernel's header of this name */
#ifndef VFMIG_KERNEL_VIRTIO_NET_H
#define VFMIG_KERNEL_VIRTIO_NET_H

#include_next <linux/virtio_net.h>

/* Newer than the oldest headers that this is built with */
#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_GUEST_USO4	54
#define VIRTIO_NET_F_GUEST_USO6	55
#define VIRTIO_NET_F_HOST_USO	56
#endif

#endif /* VFMIG_KERNEL_VIRTIO_NET_H */
