/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small virtio-net driver: receive, transmit and control queues.  Queue n has vector 1 + n
 * as far as there are VNET_VECTORS, and vector 0 is for changes of the configuration.
 */
#ifndef VFMIG_TEST_VIRTIO_NET_H
#define VFMIG_TEST_VIRTIO_NET_H

#include <linux/virtio_net.h>

#include "frame.h"
#include "virtq.h"

#ifndef VIRTIO_NET_F_HOST_USO
#define VIRTIO_NET_F_GUEST_USO4		54
#define VIRTIO_NET_F_GUEST_USO6		55
#define VIRTIO_NET_F_HOST_USO		56
#define VIRTIO_NET_HDR_GSO_UDP_L4	5
#endif

#define VNET_HEADER	sizeof(struct virtio_net_hdr_v1)
#define VNET_MAX_PAIRS	4
#define VNET_VECTORS	8
#define VNET_DEPTH	64	/* entries of a queue */
#define VNET_BUF	2048	/* bytes of a buffer */

/* Offloads in both directions; without them a frame looks the same to guest and host */
#define VNET_GUEST_OFFLOADS \
	(FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_TSO4) | \
	 FEATURE(VIRTIO_NET_F_GUEST_TSO6) | FEATURE(VIRTIO_NET_F_GUEST_ECN) | \
	 FEATURE(VIRTIO_NET_F_GUEST_USO4) | FEATURE(VIRTIO_NET_F_GUEST_USO6))
#define VNET_HOST_OFFLOADS \
	(FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_HOST_TSO4) | \
	 FEATURE(VIRTIO_NET_F_HOST_TSO6) | FEATURE(VIRTIO_NET_F_HOST_ECN) | \
	 FEATURE(VIRTIO_NET_F_HOST_USO))

/* All that is offered, in the split layout */
#define VNET_ALL	(~FEATURE(VIRTIO_F_RING_PACKED))
/* The same in the packed layout */
#define VNET_PACKED	(~0ULL)

struct vnet {
	struct virtio vio;
	unsigned int pairs;		/* that the driver has set up */
	unsigned int max_pairs;		/* that the device has */
	u8 mac[ETH_ALEN];
	struct virtq rx[VNET_MAX_PAIRS];
	struct virtq tx[VNET_MAX_PAIRS];
	struct virtq ctrl;
	u8 *rx_mem[VNET_MAX_PAIRS];	/* a buffer for each ID */
	u8 *tx_mem[VNET_MAX_PAIRS];
	u8 *ctrl_mem;
	u8 *long_mem;			/* for a frame that is too long for a buffer */
};

struct vnet_frame {
	struct virtio_net_hdr_v1 header;
	unsigned int buffers;		/* that the device used */
	size_t len;
	u8 data[FRAME_MAX];
};

/*
 * Start the driver with @pairs, of the features @wanted as far as they are offered.  All
 * receive queues are full of buffers.  Fails the test on error.  If it was started before, the
 * memory is used again.
 */
void vnet_start(struct vnet *net, struct vfio_dev *dev, struct arena *mem, u64 wanted,
		unsigned int pairs);
/* As far as FEATURES_OK, the queues, DRIVER_OK without buffers to receive in */
void vnet_start_empty(struct vnet *net, struct vfio_dev *dev, struct arena *mem, u64 wanted,
		      unsigned int pairs);
bool vnet_has(const struct vnet *net, unsigned int feature);
u16 vnet_status(struct vnet *net);

/* Add up to @n buffers to a receive queue; returns how many */
unsigned int vnet_fill(struct vnet *net, unsigned int pair, unsigned int n);
/* Take a frame and give its buffers back; false if there is none */
bool vnet_recv(struct vnet *net, unsigned int pair, struct vnet_frame *frame);
/* The same, and leave the buffers out of the queue */
bool vnet_take(struct vnet *net, unsigned int pair, struct vnet_frame *frame);
/* Wait for the frame with this number on any queue, passing others by; false after WAIT_MS */
bool vnet_expect(struct vnet *net, struct vnet_frame *frame, s64 seq);

/* Add a frame to a transmit queue, without a notification; false if the queue is full */
bool vnet_queue(struct vnet *net, unsigned int pair, const struct virtio_net_hdr_v1 *header,
		const void *data, size_t len);
/* Add, notify, and wait until there is room; fails the test if there is none in time */
void vnet_send(struct vnet *net, unsigned int pair, const void *data, size_t len);
void vnet_send_header(struct vnet *net, unsigned int pair,
		      const struct virtio_net_hdr_v1 *header, const void *data, size_t len);
/* Take used buffers out of the transmit queue; returns how many the device still has */
unsigned int vnet_reap(struct vnet *net, unsigned int pair);

/* Execute a control command; VIRTIO_NET_OK, VIRTIO_NET_ERR, or -ETIMEDOUT */
int vnet_ctrl(struct vnet *net, u8 class, u8 cmd, const void *data, size_t len);

#endif /* VFMIG_TEST_VIRTIO_NET_H */
