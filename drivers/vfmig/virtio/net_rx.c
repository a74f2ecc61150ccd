// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames to the guest (VIRTIO 5.1.6.3, 5.1.6.4).
 *
 * A frame is written to as many buffers as it needs, and these are published together.  If
 * that fails, or if the guest has too few buffers, the frame stays in the port's queue.
 */
#include <linux/kernel.h>
#include <linux/skbuff.h>

#include "net.h"

/* Result of a delivery: 0 or less as for the functions of a virtqueue */
#define DELIVERED	1
#define RETRY		2	/* there are more buffers than a moment ago */
#define DROP		3	/* the frame can't be delivered at all */

/*
 * Copy bytes of a frame to a buffer of the guest.  A frame that the host has merged can consist of
 * several, which are not merged further: 64 KiB in a row are hard to find.  The stack nests them
 * no deeper than its own functions of this kind can go.
 */
static int copy_piece(struct vfmig_virtio *dev, struct vfmig_vq_iter *iter,
		      const struct sk_buff *skb, unsigned int offset, unsigned int len)
{
	const struct skb_shared_info *shared = skb_shinfo(skb);
	unsigned int start = skb_headlen(skb), n;
	const struct sk_buff *part;
	int ret = 0;

	if (offset < start) {
		n = min(len, start - offset);
		ret = vfmig_iter_write(dev, iter, skb->data + offset, n);
		offset += n;
		len -= n;
	}
	for (unsigned int i = 0; !ret && len && i < shared->nr_frags; i++) {
		const skb_frag_t *frag = &shared->frags[i];
		unsigned int end = start + skb_frag_size(frag);

		if (offset < end) {
			n = min(len, end - offset);
			ret = vfmig_iter_write(dev, iter,
					       skb_frag_address(frag) + (offset - start), n);
			offset += n;
			len -= n;
		}
		start = end;
	}
	skb_walk_frags(skb, part) {
		if (ret || !len)
			break;
		if (offset < start + part->len) {
			n = min(len, start + part->len - offset);
			ret = copy_piece(dev, iter, part, offset - start, n);
			offset += n;
			len -= n;
		}
		start += part->len;
	}
	return ret;
}

/*
 * Write a frame behind its header, whose place is left out, to as many buffers as it takes.
 * Returns the number of buffers, 0 if there are too few, or an error.
 */
static int fill_buffers(struct vfmig_net *net, struct vfmig_vq *vq, const struct sk_buff *skb)
{
	bool merge = vfmig_net_has(net, VIRTIO_NET_F_MRG_RXBUF);
	unsigned int done = 0, slots = 0, header = sizeof(struct virtio_net_hdr_v1);
	struct vfmig_virtio *dev = &net->dev;
	int ret;

	for (unsigned int n = 0; n < VFMIG_VQ_PENDING_MAX; n++) {
		struct vfmig_vq_chain *chain = n ? net->merge : dev->chain;
		struct vfmig_vq_iter iter;
		unsigned int len;

		ret = vfmig_vq_pop(dev, vq, chain);
		/* If the driver has no entry left, no more buffers will come */
		if (!ret && slots >= vq->size)
			break;
		if (ret <= 0)
			return ret;
		slots += chain->slots;
		if (chain->in_len < max(header, 1U)) {
			vfmig_virtio_broken(dev, "receive buffer too small");
			return -EPROTO;
		}
		iter = vfmig_chain_in(chain);
		vfmig_iter_skip(&iter, header);
		len = min_t(u64, chain->in_len - header, skb->len - done);
		ret = copy_piece(dev, &iter, skb, done, len);
		if (!ret)
			ret = vfmig_vq_put(dev, vq, n, chain, header + len);
		if (ret)
			return ret;
		done += len;
		header = 0;
		if (done == skb->len)
			return n + 1;
		if (!merge)
			break;
	}
	return -EMSGSIZE;
}

/*
 * All buffers that there are have been taken, so it is the one after them that counts.
 * Returns 0 if a notification comes for it, RETRY, or an error.
 */
static int wait_for_buffers(struct vfmig_net *net, struct vfmig_vq *vq)
{
	unsigned int pair = vq->index / 2;
	int ret;

	/* The driver has added none since it was told to notify */
	if (vfmig_vq_listens(vq))
		return 0;
	ret = vfmig_vq_listen(&net->dev, vq);
	/*
	 * Other queues of the port may wait for a buffer of this virtqueue.  It may have come
	 * without a notification, because the driver saw the new position.
	 */
	for (unsigned int i = pair; i < net->max_pairs; i += net->cur_pairs)
		__set_bit(i, net->rx_pending);
	__assign_bit(pair, net->rx_starved, !ret);
	return ret > 0 ? RETRY : ret;
}

/*
 * Returns DELIVERED, RETRY, 0 if there are too few buffers and a notification comes for the
 * next one, or an error.
 */
static int deliver(struct vfmig_net *net, struct vfmig_vq *vq, const struct sk_buff *skb,
		   struct virtio_net_hdr_v1 *header)
{
	struct vfmig_virtio *dev = &net->dev;
	struct vfmig_vq_iter iter;
	int ret, count;

	count = fill_buffers(net, vq, skb);
	if (!count) {
		ret = wait_for_buffers(net, vq);
		goto rewind;
	}
	if (count < 0) {
		ret = count;
		goto rewind;
	}
	header->num_buffers = __cpu_to_virtio16(true, count);
	iter = vfmig_chain_in(dev->chain);
	ret = vfmig_iter_write(dev, &iter, header, sizeof(*header));
	if (!ret)
		ret = vfmig_vq_publish(dev, vq, count);
	if (!ret)
		return DELIVERED;

rewind:
	vfmig_vq_rewind(vq);
	return ret;
}

/* Does the guest take a frame with this header? */
static bool takes_offloads(const struct vfmig_net *net, const struct virtio_net_hdr_v1 *header)
{
	u64 needs = 0;

	if (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		needs |= BIT_ULL(VIRTIO_NET_F_GUEST_CSUM);
	if (header->gso_type & VIRTIO_NET_HDR_GSO_ECN)
		needs |= BIT_ULL(VIRTIO_NET_F_GUEST_ECN);
	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		needs |= BIT_ULL(VIRTIO_NET_F_GUEST_TSO4);
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		needs |= BIT_ULL(VIRTIO_NET_F_GUEST_TSO6);
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		needs |= BIT_ULL(VIRTIO_NET_F_GUEST_USO4) | BIT_ULL(VIRTIO_NET_F_GUEST_USO6);
		break;
	}
	return (net->offloads & needs) == needs;
}

/* Returns DROP with the reason, or what deliver() returns */
static int try_frame(struct vfmig_net *net, struct vfmig_vq *vq, struct sk_buff *skb,
		     enum vfmig_port_drop *why)
{
	bool valid = net->offloads & BIT_ULL(VIRTIO_NET_F_GUEST_CSUM);
	struct virtio_net_hdr_v1 header;
	int ret;

	*why = VFMIG_DROP_FILTERED;
	if (!vfmig_net_wants(net, skb)) {
		net->counts.rx_filtered++;
		return DROP;
	}
	*why = VFMIG_DROP_OFFLOAD;
	if (!skb_frags_readable(skb))
		return DROP;
	if (virtio_net_hdr_from_skb(skb, (struct virtio_net_hdr *)&header, true, valid, 0) ||
	    !takes_offloads(net, &header))
		return DROP;

	ret = deliver(net, vq, skb, &header);
	*why = ret == -EMSGSIZE ? VFMIG_DROP_TOO_LONG : VFMIG_DROP_FAULT;
	return ret == -EMSGSIZE || ret == -EPROTO ? DROP : ret;
}

/* Returns true if the next frame may follow */
static bool move_frame(struct vfmig_net *net, struct vfmig_vq *vq, unsigned int queue,
		       struct sk_buff *skb)
{
	enum vfmig_port_drop why;

	switch (try_frame(net, vq, skb, &why)) {
	case DELIVERED:
		net->counts.rx_frames++;
		vfmig_port_delivered(net->port, queue, skb);
		return true;
	case DROP:
		vfmig_port_dropped(net->port, queue, skb, why);
		return !vfmig_virtio_must_stop(&net->dev);
	case 0:
		__clear_bit(queue, net->rx_pending);
		break;
	case RETRY:
	case -EAGAIN:
		__set_bit(queue, net->rx_pending);
		break;
	}
	vfmig_port_untake(net->port, queue, skb);
	return false;
}

/*
 * Deliver what is in @queue of the port; returns true if there may be more.  The guest may
 * use fewer pairs than the port has queues, so queues share a virtqueue.  If a frame of one of
 * them waits for buffers, the others must not turn its notification off.
 */
bool vfmig_net_rx(struct vfmig_net *net, unsigned int queue, unsigned int *budget)
{
	unsigned int pair = queue % net->cur_pairs;
	struct vfmig_vq *vq = vfmig_net_rx_vq(net, pair);
	struct sk_buff *skb;

	__clear_bit(queue, net->rx_pending);
	if (!vq->ops)
		return false;
	if (!test_bit(pair, net->rx_starved) && vfmig_vq_quiet(&net->dev, vq)) {
		__set_bit(queue, net->rx_pending);
		return false;
	}
	while (*budget && !vfmig_lock_is_wanted(&net->dev.lock)) {
		skb = vfmig_port_take(net->port, queue);
		if (!skb)
			return false;
		--*budget;
		if (!move_frame(net, vq, queue, skb))
			return !bitmap_empty(net->rx_pending, VFMIG_NET_MAX_PAIRS);
	}
	__set_bit(queue, net->rx_pending);
	return true;
}
