// SPDX-License-Identifier: GPL-2.0-only
/*
 * Split virtqueues (VIRTIO 2.7): a table of descriptors, a ring of available buffers that
 * the driver writes, and a ring of used buffers that the device writes.
 */
#include <linux/minmax.h>
#include <linux/nospec.h>
#include <linux/stddef.h>
#include <linux/virtio_ring.h>

#include "virtio.h"

static u64 avail_entry(const struct vfmig_vq *vq, u16 pos)
{
	return vq->driver + offsetof(struct vring_avail, ring) +
	       sizeof(__virtio16) * (pos & (vq->size - 1));
}

static u64 used_entry(const struct vfmig_vq *vq, u16 pos)
{
	return vq->device + offsetof(struct vring_used, ring) +
	       sizeof(struct vring_used_elem) * (pos & (vq->size - 1));
}

/* After the last entry of the available ring, if VIRTIO_F_EVENT_IDX was negotiated */
static u64 used_event(const struct vfmig_vq *vq)
{
	return vq->driver + offsetof(struct vring_avail, ring) + sizeof(__virtio16) * vq->size;
}

static u64 avail_event(const struct vfmig_vq *vq)
{
	return vq->device + offsetof(struct vring_used, ring) +
	       sizeof(struct vring_used_elem) * vq->size;
}

static int read16(struct vfmig_virtio *dev, u64 addr, u16 *value)
{
	__le16 raw;
	int ret = vfmig_vq_dma_read(dev, addr, &raw, sizeof(raw));

	*value = ret ? 0 : le16_to_cpu(raw);
	return ret;
}

static int write16(struct vfmig_virtio *dev, u64 addr, u16 value)
{
	__le16 raw = cpu_to_le16(value);

	return vfmig_vq_dma_write(dev, addr, &raw, sizeof(raw));
}

/* Read the driver's index; returns 1 if there are buffers */
static int split_has_more(struct vfmig_virtio *dev, struct vfmig_vq *vq)
{
	u16 avail;
	int ret;

	ret = read16(dev, vq->driver + offsetof(struct vring_avail, idx), &avail);
	if (ret)
		return ret;
	if ((u16)(avail - vq->pos.avail) > vq->size) {
		vfmig_virtio_broken(dev, "index of the available ring jumped");
		return -EPROTO;
	}
	vq->avail_seen = avail;
	return avail != vq->pos.avail;
}

/* Read the next descriptor of an indirect table, which is in memory of the device */
static int split_indirect(struct vfmig_virtio *dev, struct vfmig_vq *vq,
			  struct vfmig_vq_chain *chain, const struct vring_desc *desc)
{
	const struct vring_desc *table = dev->table;
	u32 len = le32_to_cpu((__force __le32)desc->len);
	u16 flags = le16_to_cpu((__force __le16)desc->flags);
	unsigned int i = 0, n;
	int ret;

	if (!vfmig_virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC) || !len || len % sizeof(*desc) ||
	    (flags & VRING_DESC_F_NEXT)) {
		vfmig_virtio_broken(dev, "bad indirect descriptor");
		return -EPROTO;
	}
	/* A chain has at most as many descriptors, and Linux chains those of a table in order */
	n = min(len / sizeof(*desc), VFMIG_VQ_SIZE_MAX);
	ret = vfmig_vq_dma_read(dev, le64_to_cpu((__force __le64)desc->addr), dev->table,
				n * sizeof(*desc));
	if (ret)
		return ret;

	for (;;) {
		desc = &table[array_index_nospec(i, n)];
		flags = le16_to_cpu((__force __le16)desc->flags);
		if (flags & VRING_DESC_F_INDIRECT) {
			vfmig_virtio_broken(dev, "indirect descriptor in an indirect table");
			return -EPROTO;
		}
		ret = vfmig_chain_add(dev, vq, chain, le64_to_cpu((__force __le64)desc->addr),
				      le32_to_cpu((__force __le32)desc->len),
				      flags & VRING_DESC_F_WRITE);
		if (ret || !(flags & VRING_DESC_F_NEXT))
			return ret;
		i = le16_to_cpu((__force __le16)desc->next);
		if (i >= n) {
			vfmig_virtio_broken(dev, "index beyond an indirect table");
			return -EPROTO;
		}
	}
}

static int split_walk(struct vfmig_virtio *dev, struct vfmig_vq *vq, struct vfmig_vq_chain *chain)
{
	unsigned int i = chain->id;
	int ret;

	for (;;) {
		struct vring_desc desc;
		u16 flags;

		if (i >= vq->size) {
			vfmig_virtio_broken(dev, "index beyond the descriptor table");
			return -EPROTO;
		}
		ret = vfmig_vq_dma_read(dev, vq->desc + sizeof(desc) * i, &desc, sizeof(desc));
		if (ret)
			return ret;
		chain->slots++;
		flags = le16_to_cpu((__force __le16)desc.flags);
		if (flags & VRING_DESC_F_INDIRECT)
			return split_indirect(dev, vq, chain, &desc);
		/* This also ends a chain that loops */
		ret = vfmig_chain_add(dev, vq, chain, le64_to_cpu((__force __le64)desc.addr),
				      le32_to_cpu((__force __le32)desc.len),
				      flags & VRING_DESC_F_WRITE);
		if (ret || !(flags & VRING_DESC_F_NEXT))
			return ret;
		i = le16_to_cpu((__force __le16)desc.next);
	}
}

static int split_pop(struct vfmig_virtio *dev, struct vfmig_vq *vq, struct vfmig_vq_chain *chain)
{
	int ret;

	if (vq->pos.avail == vq->avail_seen) {
		ret = split_has_more(dev, vq);
		if (ret <= 0)
			return ret;
	}
	/* The driver writes an entry before the index */
	smp_rmb();
	ret = read16(dev, avail_entry(vq, vq->pos.avail), &chain->id);
	if (!ret)
		ret = split_walk(dev, vq, chain);
	if (ret)
		return ret;
	vq->pos.avail++;
	return 1;
}

static int split_put(struct vfmig_virtio *dev, struct vfmig_vq *vq, unsigned int n,
		     const struct vfmig_vq_chain *chain, u32 len)
{
	struct vring_used_elem elem = {
		.id = (__force __virtio32)cpu_to_le32(chain->id),
		.len = (__force __virtio32)cpu_to_le32(len),
	};

	return vfmig_vq_dma_write(dev, used_entry(vq, vq->pos.used + n), &elem, sizeof(elem));
}

static int split_publish(struct vfmig_virtio *dev, struct vfmig_vq *vq, unsigned int n)
{
	int ret;

	/* The driver reads the index before the entries */
	smp_wmb();
	ret = write16(dev, vq->device + offsetof(struct vring_used, idx), vq->pos.used + n);
	if (!ret)
		vq->pos.used += n;
	return ret;
}

/* VIRTIO 2.7.7 */
static int split_wants_irq(struct vfmig_virtio *dev, struct vfmig_vq *vq)
{
	u16 value, since = vq->signalled;
	bool valid = vq->signalled_valid;

	if (!vfmig_virtio_has(dev, VIRTIO_RING_F_EVENT_IDX)) {
		if (read16(dev, vq->driver + offsetof(struct vring_avail, flags), &value))
			return 1;
		return !(value & VRING_AVAIL_F_NO_INTERRUPT);
	}

	if (read16(dev, used_event(vq), &value))
		return 1;
	vq->signalled = vq->pos.used;
	vq->signalled_valid = true;
	return !valid || vring_need_event(value, vq->pos.used, since);
}

/* VIRTIO 2.7.10.  With EVENT_IDX an event in the past keeps the driver quiet. */
static int split_set_wants(struct vfmig_virtio *dev, struct vfmig_vq *vq,
			   enum vfmig_vq_wants wants)
{
	if (vfmig_virtio_has(dev, VIRTIO_RING_F_EVENT_IDX))
		return wants == VFMIG_VQ_NOTIFY ?
		       write16(dev, avail_event(vq), vq->pos.avail) : 0;
	return write16(dev, vq->device + offsetof(struct vring_used, flags),
		       wants == VFMIG_VQ_QUIET ? VRING_USED_F_NO_NOTIFY : 0);
}

const struct vfmig_vq_ops vfmig_vq_split = {
	.pop = split_pop,
	.put = split_put,
	.publish = split_publish,
	.wants_irq = split_wants_irq,
	.set_wants = split_set_wants,
	.has_more = split_has_more,
};
