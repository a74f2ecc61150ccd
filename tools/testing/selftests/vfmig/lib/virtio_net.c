// SPDX-License-Identifier: GPL-2.0-only
/* See virtio_net.h */
#include "virtio_net.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define CTRL_DEPTH	16
#define CTRL_DATA	1024	/* most bytes of a command */
#define NO_ACK		0xee

bool vnet_has(const struct vnet *net, unsigned int feature)
{
	return net->vio.features & FEATURE(feature);
}

u16 vnet_status(struct vnet *net)
{
	u16 status;

	virtio_config(&net->vio, offsetof(struct virtio_net_config, status), &status,
		      sizeof(status));
	return status;
}

static u16 vector_of(u16 queue)
{
	return 1 + queue < VNET_VECTORS ? 1 + queue : VIRTIO_MSI_NO_VECTOR;
}

static void setup(struct vnet *net, struct virtq *q, u16 index, u16 depth)
{
	virtq_setup(&net->vio, q, index, depth, vector_of(index));
}

static void alloc_buffers(struct vnet *net)
{
	struct arena *mem = net->vio.mem;

	for (unsigned int i = 0; i < net->pairs; i++) {
		if (net->rx_mem[i])
			continue;
		net->rx_mem[i] = arena_alloc(mem, VNET_DEPTH * VNET_BUF);
		net->tx_mem[i] = arena_alloc(mem, VNET_DEPTH * VNET_BUF);
	}
	if (net->ctrl_mem)
		return;
	net->ctrl_mem = arena_alloc(mem, PAGE);
	net->long_mem = arena_alloc(mem, VNET_HEADER + FRAME_MAX);
}

static void read_config(struct vnet *net)
{
	u16 pairs;

	virtio_config(&net->vio, offsetof(struct virtio_net_config, mac), net->mac, ETH_ALEN);
	virtio_config(&net->vio, offsetof(struct virtio_net_config, max_virtqueue_pairs), &pairs,
		      sizeof(pairs));
	net->max_pairs = vnet_has(net, VIRTIO_NET_F_MQ) ? pairs : 1;
}

void vnet_start_empty(struct vnet *net, struct vfio_dev *dev, struct arena *mem, u64 wanted,
		      unsigned int pairs)
{
	struct virtio *vio = &net->vio;

	virtio_init(vio, dev, mem);
	must(virtio_negotiate(vio, wanted & virtio_offered(vio)));
	read_config(net);
	must(pairs <= net->max_pairs && pairs <= VNET_MAX_PAIRS);
	net->pairs = pairs;
	alloc_buffers(net);

	common_write(vio, VIRTIO_PCI_COMMON_MSIX, 0, 2);
	must(common_read(vio, VIRTIO_PCI_COMMON_MSIX, 2) == 0);
	for (unsigned int i = 0; i < pairs; i++) {
		setup(net, &net->rx[i], 2 * i, VNET_DEPTH);
		setup(net, &net->tx[i], 2 * i + 1, VNET_DEPTH);
	}
	if (vnet_has(net, VIRTIO_NET_F_CTRL_VQ))
		setup(net, &net->ctrl, 2 * net->max_pairs, CTRL_DEPTH);
	virtio_driver_ok(vio);
}

void vnet_start(struct vnet *net, struct vfio_dev *dev, struct arena *mem, u64 wanted,
		unsigned int pairs)
{
	vnet_start_empty(net, dev, mem, wanted, pairs);
	for (unsigned int i = 0; i < pairs; i++)
		vnet_fill(net, i, VNET_DEPTH);
	if (pairs > 1)
		must(vnet_ctrl(net, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
			       &(u16){ pairs }, 2) == VIRTIO_NET_OK);
}

static u8 *rx_buffer(struct vnet *net, unsigned int pair, u16 id)
{
	return net->rx_mem[pair] + id * VNET_BUF;
}

unsigned int vnet_fill(struct vnet *net, unsigned int pair, unsigned int n)
{
	struct virtq *q = &net->rx[pair];
	unsigned int i;

	for (i = 0; i < n && q->free; i++) {
		u8 *buf = rx_buffer(net, pair, q->free_id);
		struct virtq_piece piece = {
			.iova = arena_iova(net->vio.mem, buf),
			.len = VNET_BUF,
			.write = true,
		};

		memset(buf, 0xdd, VNET_HEADER);
		virtq_add(q, &piece, 1);
	}
	virtq_kick(q);
	return i;
}

static void append(struct vnet_frame *frame, const u8 *buf, size_t len)
{
	must(frame->len + len <= sizeof(frame->data));
	memcpy(frame->data + frame->len, buf, len);
	frame->len += len;
}

bool vnet_take(struct vnet *net, unsigned int pair, struct vnet_frame *frame)
{
	struct virtq *q = &net->rx[pair];
	struct virtq_used used;
	const u8 *buf;

	if (!virtq_get(q, &used))
		return false;
	must(used.len > VNET_HEADER && used.len <= VNET_BUF);
	buf = rx_buffer(net, pair, used.id);
	memcpy(&frame->header, buf, VNET_HEADER);
	frame->len = 0;
	append(frame, buf + VNET_HEADER, used.len - VNET_HEADER);

	frame->buffers = frame->header.num_buffers;
	must(frame->buffers && (frame->buffers == 1 || vnet_has(net, VIRTIO_NET_F_MRG_RXBUF)));
	/* The buffers of a frame are used together */
	for (unsigned int i = 1; i < frame->buffers; i++) {
		must(virtq_get(q, &used));
		must(used.len && used.len <= VNET_BUF);
		append(frame, rx_buffer(net, pair, used.id), used.len);
	}
	return true;
}

bool vnet_recv(struct vnet *net, unsigned int pair, struct vnet_frame *frame)
{
	if (!vnet_take(net, pair, frame))
		return false;
	vnet_fill(net, pair, frame->buffers);
	return true;
}

static bool recv_seq(struct vnet *net, struct vnet_frame *frame, s64 seq)
{
	for (unsigned int i = 0; i < net->pairs; i++)
		while (vnet_recv(net, i, frame))
			if (frame_seq(frame->data, frame->len) == seq)
				return true;
	return false;
}

bool vnet_expect(struct vnet *net, struct vnet_frame *frame, s64 seq)
{
	return wait_until(recv_seq(net, frame, seq));
}

unsigned int vnet_reap(struct vnet *net, unsigned int pair)
{
	struct virtq *q = &net->tx[pair];
	struct virtq_used used;

	while (virtq_get(q, &used))
		;
	return q->size - q->free;
}

bool vnet_queue(struct vnet *net, unsigned int pair, const struct virtio_net_hdr_v1 *header,
		const void *data, size_t len)
{
	struct virtq *q = &net->tx[pair];
	struct virtq_piece piece = { .len = VNET_HEADER + len };
	u8 *buf;

	if (vnet_reap(net, pair) == q->size)
		return false;
	buf = net->tx_mem[pair] + q->free_id * VNET_BUF;
	if (piece.len > VNET_BUF) {
		/* There is one such buffer */
		if (q->free < q->size)
			return false;
		buf = net->long_mem;
	}
	memset(buf, 0, VNET_HEADER);
	if (header)
		memcpy(buf, header, VNET_HEADER);
	memcpy(buf + VNET_HEADER, data, len);
	piece.iova = arena_iova(net->vio.mem, buf);
	virtq_add(q, &piece, 1);
	return true;
}

void vnet_send_header(struct vnet *net, unsigned int pair,
		      const struct virtio_net_hdr_v1 *header, const void *data, size_t len)
{
	must(wait_until(vnet_queue(net, pair, header, data, len)));
	virtq_kick(&net->tx[pair]);
}

void vnet_send(struct vnet *net, unsigned int pair, const void *data, size_t len)
{
	vnet_send_header(net, pair, NULL, data, len);
}

/* Header, data and result have descriptors of their own, as in Linux */
int vnet_ctrl(struct vnet *net, u8 class, u8 cmd, const void *data, size_t len)
{
	u8 *mem = net->ctrl_mem, *bytes = mem + 64, *ack = mem + 64 + CTRL_DATA;
	u64 iova = arena_iova(net->vio.mem, mem);
	struct virtq_piece pieces[3] = {
		{ .iova = iova, .len = sizeof(struct virtio_net_ctrl_hdr) },
		{ .iova = iova + (bytes - mem), .len = len },
		{ .iova = iova + (ack - mem), .len = 1, .write = true },
	};
	struct virtq_used used;
	u16 id;

	must(len <= CTRL_DATA);
	mem[0] = class;
	mem[1] = cmd;
	memcpy(bytes, data, len);
	*ack = NO_ACK;
	if (!len)
		pieces[1] = pieces[2];
	id = virtq_add(&net->ctrl, pieces, len ? 3 : 2);
	virtq_kick(&net->ctrl);
	if (!virtq_wait(&net->ctrl, &used))
		return -ETIMEDOUT;
	must(used.id == id && used.len == 1 && *ack != NO_ACK);
	return *ack;
}
