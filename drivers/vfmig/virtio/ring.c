// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the two layouts of a virtqueue share: building a buffer out of descriptors, access to
 * its bytes, and publishing used buffers with their notification.
 */
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/virtio_ring.h>

#include "virtio.h"

/* Translate what the fabric returns: a fault is the driver's mistake */
static int dma_result(struct vfmig_virtio *dev, int ret)
{
	if (ret == -EAGAIN) {
		dev->stalled = true;
		return ret;
	}
	if (ret) {
		vfmig_virtio_broken(dev, "DMA fault");
		return -EPROTO;
	}
	return 0;
}

int vfmig_vq_dma_read(struct vfmig_virtio *dev, u64 addr, void *buf, size_t len)
{
	return dma_result(dev, vfmig_fn_dma_read(dev->fn, addr, buf, len));
}

int vfmig_vq_dma_write(struct vfmig_virtio *dev, u64 addr, const void *buf, size_t len)
{
	return dma_result(dev, vfmig_fn_dma_write(dev->fn, addr, buf, len));
}

void vfmig_chain_init(struct vfmig_vq_chain *chain)
{
	chain->slots = 0;
	chain->nr_out = 0;
	chain->nr_in = 0;
	chain->out_len = 0;
	chain->in_len = 0;
}

/* Append a descriptor; the readable ones come first (VIRTIO 2.6.4.2) */
int vfmig_chain_add(struct vfmig_virtio *dev, struct vfmig_vq *vq, struct vfmig_vq_chain *chain,
		    u64 addr, u32 len, bool in)
{
	unsigned int n = chain->nr_out + chain->nr_in;

	if (n >= min(vq->size, VFMIG_VQ_SIZE_MAX)) {
		vfmig_virtio_broken(dev, "chain of descriptors longer than the queue");
		return -EPROTO;
	}
	if (!in && chain->nr_in) {
		vfmig_virtio_broken(dev, "readable descriptor after a writable one");
		return -EPROTO;
	}
	chain->seg[n] = (struct vfmig_vq_seg) { .addr = addr, .len = len };
	if (in) {
		chain->nr_in++;
		chain->in_len += len;
	} else {
		chain->nr_out++;
		chain->out_len += len;
	}
	return 0;
}

struct vfmig_vq_iter vfmig_chain_out(const struct vfmig_vq_chain *chain)
{
	return (struct vfmig_vq_iter) { .seg = chain->seg, .left = chain->nr_out };
}

struct vfmig_vq_iter vfmig_chain_in(const struct vfmig_vq_chain *chain)
{
	return (struct vfmig_vq_iter) { .seg = chain->seg + chain->nr_out, .left = chain->nr_in };
}

/* The next piece of at most @len bytes; returns its length, 0 at the end of the buffer */
static size_t iter_next(struct vfmig_vq_iter *iter, size_t len, u64 *addr)
{
	size_t n;

	while (iter->left && iter->offset == iter->seg->len) {
		iter->seg++;
		iter->left--;
		iter->offset = 0;
	}
	if (!iter->left)
		return 0;
	n = min_t(size_t, len, iter->seg->len - iter->offset);
	*addr = iter->seg->addr + iter->offset;
	iter->offset += n;
	return n;
}

/* Read to @in, or write from @out; the caller has checked that the buffer has @len bytes left */
static int iter_copy(struct vfmig_virtio *dev, struct vfmig_vq_iter *iter, void *in,
		     const void *out, size_t len)
{
	size_t done = 0;

	while (done < len) {
		u64 addr;
		size_t n = iter_next(iter, len - done, &addr);
		int ret;

		if (WARN_ON_ONCE(!n))
			return -EPROTO;
		if (in)
			ret = vfmig_vq_dma_read(dev, addr, in + done, n);
		else
			ret = vfmig_vq_dma_write(dev, addr, out + done, n);
		if (ret)
			return ret;
		done += n;
	}
	return 0;
}

int vfmig_iter_read(struct vfmig_virtio *dev, struct vfmig_vq_iter *iter, void *buf, size_t len)
{
	return iter_copy(dev, iter, buf, NULL, len);
}

int vfmig_iter_write(struct vfmig_virtio *dev, struct vfmig_vq_iter *iter, const void *buf,
		     size_t len)
{
	return iter_copy(dev, iter, NULL, buf, len);
}

void vfmig_iter_skip(struct vfmig_vq_iter *iter, size_t len)
{
	while (len) {
		u64 addr;
		size_t n = iter_next(iter, len, &addr);

		if (!n)
			return;
		len -= n;
	}
}

/* The queue was enabled, or loaded: begin at @pos */
void vfmig_vq_start(struct vfmig_virtio *dev, struct vfmig_vq *vq, const struct vfmig_vq_pos *pos)
{
	vq->ops = vfmig_virtio_has(dev, VIRTIO_F_RING_PACKED) ? &vfmig_vq_packed : &vfmig_vq_split;
	vq->pos = *pos;
	vq->kept = *pos;
	vq->avail_seen = pos->avail;
	vq->signalled_valid = false;
	vq->wants = VFMIG_VQ_UNKNOWN;
}

/* Returns 1, or 0 if there is no buffer */
int vfmig_vq_pop(struct vfmig_virtio *dev, struct vfmig_vq *vq, struct vfmig_vq_chain *chain)
{
	vfmig_chain_init(chain);
	return vq->ops->pop(dev, vq, chain);
}

int vfmig_vq_put(struct vfmig_virtio *dev, struct vfmig_vq *vq, unsigned int n,
		 const struct vfmig_vq_chain *chain, u32 len)
{
	return vq->ops->put(dev, vq, n, chain, len);
}

/*
 * Publish the @n used buffers that vfmig_vq_put() wrote, and notify the driver if it wants
 * that.  If this fails, the driver has seen none of them.
 */
int vfmig_vq_publish(struct vfmig_virtio *dev, struct vfmig_vq *vq, unsigned int n)
{
	int ret;

	ret = vq->ops->publish(dev, vq, n);
	if (ret)
		return ret;
	vq->kept = vq->pos;

	/*
	 * The driver enables notifications, then looks for used buffers.  The device does
	 * the reverse.  If the device can't read what the driver wants, it notifies: the
	 * buffers are published, and nothing else would wake the driver.
	 */
	smp_mb();
	if (vq->ops->wants_irq(dev, vq))
		vfmig_virtio_vq_irq(dev, vq);
	return 0;
}

/* Put back all that was taken and not published */
void vfmig_vq_rewind(struct vfmig_vq *vq)
{
	vq->pos = vq->kept;
}

/* Put back the buffer that was taken last, at @pos */
void vfmig_vq_put_back(struct vfmig_vq *vq, const struct vfmig_vq_pos *pos)
{
	vq->pos = *pos;
}

static int set_wants(struct vfmig_virtio *dev, struct vfmig_vq *vq, enum vfmig_vq_wants wants)
{
	int ret;

	if (vq->wants == wants && wants == VFMIG_VQ_QUIET)
		return 0;
	ret = vq->ops->set_wants(dev, vq, wants);
	if (ret)
		return ret;
	vq->wants = wants;
	vq->awaited = vq->pos;
	return 0;
}

/* Tell the driver not to notify */
int vfmig_vq_quiet(struct vfmig_virtio *dev, struct vfmig_vq *vq)
{
	return set_wants(dev, vq, VFMIG_VQ_QUIET);
}

/*
 * Tell the driver to notify when it makes the next buffer available.  Returns 1 if there is
 * a buffer already, for which no notification may come; the queue is quiet again then.
 */
int vfmig_vq_listen(struct vfmig_virtio *dev, struct vfmig_vq *vq)
{
	int ret;

	ret = set_wants(dev, vq, VFMIG_VQ_NOTIFY);
	if (ret)
		return ret;
	/* The driver makes a buffer available, then looks whether it must notify */
	smp_mb();
	ret = vq->ops->has_more(dev, vq);
	if (ret <= 0)
		return ret;
	ret = set_wants(dev, vq, VFMIG_VQ_QUIET);
	return ret ?: 1;
}

/* Was the driver told already to notify when it makes the next buffer available? */
bool vfmig_vq_listens(const struct vfmig_vq *vq)
{
	return vq->wants == VFMIG_VQ_NOTIFY && vq->awaited.avail == vq->pos.avail &&
	       vq->awaited.avail_wrap == vq->pos.avail_wrap;
}
