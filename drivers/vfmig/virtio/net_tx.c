// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames from the guest (VIRTIO 5.1.6.2).
 *
 * A few frames are copied, then their buffers are published as used, and then the frames
 * are sent.  If a buffer can't be published, its frame was not sent, and the same is done
 * again later.  So a frame is sent once.
 */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/skbuff.h>
#include <linux/timekeeping.h>
#include <net/tcp.h>

#include "net.h"

/* Bytes of a long frame that are in the linear part: all headers */
#define LINEAR		256
/* The longest frame that is linear as a whole: it fits into a small allocation */
#define SHORT_FRAME	1600U

/*
 * May a stack use the gso_size?  The host segments frames in softirqs, where a smaller one
 * makes tens of thousands of segments of a frame.  The least of TCP is what a tiny MSS leaves
 * beside all options.  UDP has small datagrams, and virtio_net_hdr_to_skb() bounds their number.
 */
static bool gso_size_valid(const struct virtio_net_hdr_v1 *header)
{
	return (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4 ||
	       __virtio16_to_cpu(true, header->gso_size) >= TCP_MIN_GSO_SIZE;
}

/*
 * Is the header one that the features allow (VIRTIO 5.1.6.2.1)?  virtio_net_hdr_to_skb() relies
 * on NEEDS_CSUM with GSO: it would look at skb->dev otherwise.
 */
static bool header_valid(const struct vfmig_net *net, const struct virtio_net_hdr_v1 *header)
{
	unsigned int feature;

	if ((header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
	    !vfmig_net_has(net, VIRTIO_NET_F_CSUM))
		return false;
	if (header->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return true;

	switch (header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		feature = VIRTIO_NET_F_HOST_TSO4;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		feature = VIRTIO_NET_F_HOST_TSO6;
		break;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		feature = VIRTIO_NET_F_HOST_USO;
		break;
	default:
		return false;
	}
	if ((header->gso_type & VIRTIO_NET_HDR_GSO_ECN) &&
	    !vfmig_net_has(net, VIRTIO_NET_F_HOST_ECN))
		return false;
	return vfmig_net_has(net, feature) && (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
	       gso_size_valid(header);
}

/*
 * A stop and a reset wait for the lock, so nothing waits for memory with it held.  A frame that
 * finds none stays in the virtqueue until the worker has made room without the lock, see
 * vfmig_net_make_room().  If that does not help, the frame is dropped.
 */
#define FRAME_GFP	(GFP_NOWAIT | __GFP_ACCOUNT | __GFP_NOWARN)
/* It is no reason to kill the opener's processes */
#define ROOM_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

static struct sk_buff *alloc_frame(size_t len, gfp_t gfp)
{
	size_t linear = len <= SHORT_FRAME ? len : LINEAR;
	struct sk_buff *skb;
	int err;

	skb = alloc_skb_with_frags(NET_SKB_PAD + NET_IP_ALIGN + linear, len - linear,
				   PAGE_ALLOC_COSTLY_ORDER, &err, gfp);
	if (!skb)
		return NULL;
	skb_reserve(skb, NET_SKB_PAD + NET_IP_ALIGN);
	skb_put(skb, linear);
	skb->data_len = len - linear;
	skb->len += len - linear;
	return skb;
}

/* Without the lock: reclaim what a frame needs that found no memory; returns true if one did */
bool vfmig_net_make_room(struct vfmig_net *net)
{
	size_t len = net->room_wanted;

	if (!len)
		return false;
	net->room_wanted = 0;
	net->room_made = true;
	kfree_skb(alloc_frame(len, ROOM_GFP));
	return true;
}

/* Copy the rest of the guest's buffer to a frame of as many bytes */
static int fill_frame(struct vfmig_virtio *dev, struct vfmig_vq_iter *iter, struct sk_buff *skb)
{
	const struct skb_shared_info *shared = skb_shinfo(skb);
	int ret;

	ret = vfmig_iter_read(dev, iter, skb->data, skb_headlen(skb));
	for (unsigned int i = 0; !ret && i < shared->nr_frags; i++)
		ret = vfmig_iter_read(dev, iter, skb_frag_address(&shared->frags[i]),
				      skb_frag_size(&shared->frags[i]));
	return ret;
}

/**
 * struct frame - a frame of the guest
 * @skb: the frame, or NULL if it is dropped
 * @why: why it is dropped
 */
struct frame {
	struct sk_buff *skb;
	enum vfmig_port_drop why;
};

/* Memory for a frame of @len bytes; if there is none, is it worth trying again? */
static struct sk_buff *get_memory(struct vfmig_net *net, size_t len, bool *again)
{
	struct sk_buff *skb = alloc_frame(len, FRAME_GFP);

	*again = !skb && !net->room_made;
	net->room_made = false;
	if (*again)
		net->room_wanted = len;
	return skb;
}

/*
 * Copy the frame in the current buffer.  The buffer of a frame that is dropped is used like any
 * other.  Returns 0, what vfmig_iter_read() returns, or -ENOMEM if the frame is to be tried again.
 */
static int copy_frame(struct vfmig_net *net, struct frame *frame)
{
	struct vfmig_virtio *dev = &net->dev;
	struct vfmig_vq_iter iter = vfmig_chain_out(dev->chain);
	struct virtio_net_hdr_v1 header;
	u64 len = dev->chain->out_len;
	struct sk_buff *skb;
	bool again;
	int ret;

	*frame = (struct frame) { .why = VFMIG_DROP_MALFORMED };
	if (len < sizeof(header) + ETH_HLEN || len > sizeof(header) + VFMIG_NET_MAX_FRAME)
		return 0;
	ret = vfmig_iter_read(dev, &iter, &header, sizeof(header));
	if (ret || !header_valid(net, &header))
		return ret;

	skb = get_memory(net, len - sizeof(header), &again);
	if (!skb) {
		frame->why = VFMIG_DROP_NO_MEMORY;
		return again ? -ENOMEM : 0;
	}
	ret = fill_frame(dev, &iter, skb);
	/* The first members of the header are those of the older one */
	if (ret || virtio_net_hdr_to_skb(skb, (const struct virtio_net_hdr *)&header, true))
		kfree_skb(skb);
	else
		frame->skb = skb;
	return ret;
}

/**
 * struct burst - frames that are published together
 * @count: buffers that were taken
 * @frame: their frames
 */
struct burst {
	unsigned int count;
	struct frame frame[VFMIG_PORT_BURST];
};

/* A frame is counted here, because one that was copied may be copied again */
static void send_burst(struct vfmig_net *net, unsigned int pair, struct burst *burst)
{
	for (unsigned int i = 0; i < burst->count; i++) {
		struct frame *frame = &burst->frame[i];

		if (frame->skb) {
			net->counts.tx_frames++;
			net->tx[pair].bytes += frame->skb->len;
			vfmig_port_send(net->port, pair, frame->skb);
		} else {
			net->counts.tx_malformed += frame->why == VFMIG_DROP_MALFORMED;
			vfmig_port_send_dropped(net->port, pair, frame->why);
		}
	}
}

static void free_burst(struct burst *burst)
{
	for (unsigned int i = 0; i < burst->count; i++)
		kfree_skb(burst->frame[i].skb);
}

/*
 * Take a burst of at most @max frames.  Returns 1, or 0 if the queue is empty then, or an
 * error.  A frame that finds no memory ends the burst, and is the first of the next one.
 */
static int take_burst(struct vfmig_net *net, unsigned int pair, struct burst *burst,
		      unsigned int max, unsigned int *budget)
{
	struct vfmig_vq *vq = vfmig_net_tx_vq(net, pair);
	struct vfmig_virtio *dev = &net->dev;
	int ret = 1;

	burst->count = 0;
	while (burst->count < max && *budget) {
		struct frame *frame = &burst->frame[burst->count];
		const struct vfmig_vq_pos pos = vq->pos;

		ret = vfmig_vq_pop(dev, vq, dev->chain);
		if (ret <= 0)
			break;
		ret = copy_frame(net, frame);
		if (ret == -ENOMEM && burst->count) {
			vfmig_vq_put_back(vq, &pos);
			return 1;
		}
		if (ret)
			break;
		ret = vfmig_vq_put(dev, vq, burst->count, dev->chain, 0);
		if (ret) {
			kfree_skb(frame->skb);
			break;
		}
		burst->count++;
		--*budget;
		ret = 1;
	}
	return ret;
}

/* Returns 1 if there may be more frames, 0 if not, or an error */
static int move_burst(struct vfmig_net *net, unsigned int pair, unsigned int max,
		      unsigned int *budget)
{
	struct vfmig_vq *vq = vfmig_net_tx_vq(net, pair);
	struct burst burst;
	int more, ret;

	more = take_burst(net, pair, &burst, max, budget);
	if (more < 0) {
		/* Frames before the one that failed are taken again too */
		vfmig_vq_rewind(vq);
		free_burst(&burst);
		return more;
	}
	if (burst.count) {
		ret = vfmig_vq_publish(&net->dev, vq, burst.count);
		if (ret) {
			vfmig_vq_rewind(vq);
			free_burst(&burst);
			return ret;
		}
		send_burst(net, pair, &burst);
	}
	return more;
}

/* With the lock held */
void vfmig_net_tx_reset(struct vfmig_net *net)
{
	bitmap_zero(net->tx_pending, VFMIG_NET_MAX_PAIRS);
	bitmap_zero(net->tx_lull, VFMIG_NET_MAX_PAIRS);
	memset(net->tx, 0, sizeof(net->tx));
}

/* The queue is empty.  Returns 1 if it is not after all, 0, or an error. */
static int rest(struct vfmig_net *net, unsigned int pair)
{
	struct vfmig_net_tx *tx = &net->tx[pair];
	unsigned int bytes = tx->bytes;

	tx->bytes = 0;
	if (vfmig_net_lull_wait(&tx->lull, bytes, ktime_get_ns())) {
		__set_bit(pair, net->tx_lull);
		return 0;
	}
	return vfmig_vq_listen(&net->dev, vfmig_net_tx_vq(net, pair));
}

/* Kick the worker when it is to look at a queue by itself */
void vfmig_net_tx_arm(struct vfmig_net *net)
{
	u64 until = U64_MAX;
	unsigned int pair;

	for_each_set_bit(pair, net->tx_lull, VFMIG_NET_MAX_PAIRS)
		until = min(until, net->tx[pair].lull.until);
	if (until != U64_MAX)
		vfmig_worker_arm(&net->dev.worker, ns_to_ktime(until));
}

/* Send what is in the transmit queue of @pair; returns true if there may be more */
bool vfmig_net_tx(struct vfmig_net *net, unsigned int pair, unsigned int *budget)
{
	struct vfmig_vq *vq = vfmig_net_tx_vq(net, pair);
	bool more = false, sent = false;
	unsigned int room;
	int ret;

	__clear_bit(pair, net->tx_pending);
	__clear_bit(pair, net->tx_lull);
	if (!vq->ops || pair >= net->pairs)
		return false;
	if (vfmig_vq_quiet(&net->dev, vq))
		goto again;

	while (*budget && !vfmig_lock_is_wanted(&net->dev.lock)) {
		/* If not, a wake comes; the driver stays quiet, and fills the queue */
		room = vfmig_port_may_send(net->port, pair);
		if (!room)
			goto out;
		ret = move_burst(net, pair, room, budget);
		sent = true;
		if (!ret)
			ret = rest(net, pair);
		if (ret < 0)
			goto again;
		if (!ret)
			goto out;
	}
	more = true;
again:
	__set_bit(pair, net->tx_pending);
out:
	if (sent)
		vfmig_port_flush(net->port, pair);
	return more;
}
