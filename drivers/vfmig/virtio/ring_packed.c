// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packed virtqueues (VIRTIO 2.8): one ring of descriptors, which the driver makes available
 * and the device marks as used, and an area of each side for what it wants to be notified of.
 */
#include <linux/minmax.h>
#include <linux/stddef.h>
#include <linux/virtio_ring.h>

#include "virtio.h"

static u64 entry_at(const struct vfmig_vq *vq, u16 pos)
{
	return vq->desc + sizeof(struct vring_packed_desc) * pos;
}

/* Go @slots entries on, at most the size of the ring */
static void advance(const struct vfmig_vq *vq, u16 *pos, bool *wrap, unsigned int slots)
{
	unsigned int next = *pos + slots;

	if (next >= vq->size) {
		next -= vq->size;
		*wrap = !*wrap;
	}
	*pos = next;
}

static int packed_flags(struct vfmig_virtio *dev, const struct vfmig_vq *vq, u16 *flags)
{
	__le16 raw;
	int ret;

	ret = vfmig_vq_dma_read(dev, entry_at(vq, vq->pos.avail) +
				offsetof(struct vring_packed_desc, flags), &raw, sizeof(raw));
	*flags = ret ? 0 : le16_to_cpu(raw);
	return ret;
}

/* VIRTIO 2.8.1 */
static int packed_has_more(struct vfmig_virtio *dev, struct vfmig_vq *vq)
{
	u16 flags;
	int ret;

	ret = packed_flags(dev, vq, &flags);
	if (ret)
		return ret;
	return !!(flags & BIT(VRING_PACKED_DESC_F_AVAIL)) == vq->pos.avail_wrap &&
	       !!(flags & BIT(VRING_PACKED_DESC_F_USED)) != vq->pos.avail_wrap;
}

/* The descriptors of a table have no NEXT: they all belong to the buffer (VIRTIO 2.8.7) */
static int packed_indirect(struct vfmig_virtio *dev, struct vfmig_vq *vq,
			   struct vfmig_vq_chain *chain, const struct vring_packed_desc *desc)
{
	const struct vring_packed_desc *table = dev->table;
	u32 len = le32_to_cpu(desc->len);
	unsigned int n = len / sizeof(*desc);
	int ret;

	if (!vfmig_virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC) || !len || len % sizeof(*desc) ||
	    n > VFMIG_VQ_SIZE_MAX || chain->slots ||
	    (le16_to_cpu(desc->flags) & VRING_DESC_F_NEXT)) {
		vfmig_virtio_broken(dev, "bad indirect descriptor");
		return -EPROTO;
	}
	ret = vfmig_vq_dma_read(dev, le64_to_cpu(desc->addr), dev->table, len);
	for (unsigned int i = 0; !ret && i < n; i++)
		ret = vfmig_chain_add(dev, vq, chain, le64_to_cpu(table[i].addr),
				      le32_to_cpu(table[i].len),
				      le16_to_cpu(table[i].flags) & VRING_DESC_F_WRITE);
	return ret;
}

static int packed_pop(struct vfmig_virtio *dev, struct vfmig_vq *vq, struct vfmig_vq_chain *chain)
{
	struct vfmig_vq_pos pos = vq->pos;
	struct vring_packed_desc desc;
	u16 flags;
	int ret;

	ret = packed_has_more(dev, vq);
	if (ret <= 0)
		return ret;
	/* The driver writes the flags of the first descriptor last */
	smp_rmb();

	do {
		ret = vfmig_vq_dma_read(dev, entry_at(vq, pos.avail), &desc, sizeof(desc));
		if (ret)
			return ret;
		flags = le16_to_cpu(desc.flags);
		if (flags & VRING_DESC_F_INDIRECT)
			ret = packed_indirect(dev, vq, chain, &desc);
		else	/* this also ends a chain that loops */
			ret = vfmig_chain_add(dev, vq, chain, le64_to_cpu(desc.addr),
					      le32_to_cpu(desc.len), flags & VRING_DESC_F_WRITE);
		if (ret)
			return ret;
		chain->slots++;
		advance(vq, &pos.avail, &pos.avail_wrap, 1);
	} while (flags & VRING_DESC_F_NEXT);

	chain->id = le16_to_cpu(desc.id);
	vq->pos = pos;
	return 1;
}

static int packed_put(struct vfmig_virtio *dev, struct vfmig_vq *vq, unsigned int n,
		      const struct vfmig_vq_chain *chain, u32 len)
{
	if (WARN_ON_ONCE(n >= VFMIG_VQ_PENDING_MAX))
		return -EPROTO;
	vq->pending[n] = (struct vfmig_vq_pending) {
		.id = chain->id,
		.slots = chain->slots,
		.len = len,
		.written = chain->nr_in,
	};
	return 0;
}

/* Length, ID and flags are 8 bytes, which the driver sees arrive together */
static int write_used(struct vfmig_virtio *dev, struct vfmig_vq *vq,
		      const struct vfmig_vq_pending *used, const struct vfmig_vq_pos *pos)
{
	u16 flags = used->written ? VRING_DESC_F_WRITE : 0;
	struct {
		__le32 len;
		__le16 id;
		__le16 flags;
	} entry;

	if (pos->used_wrap)
		flags |= BIT(VRING_PACKED_DESC_F_AVAIL) | BIT(VRING_PACKED_DESC_F_USED);
	entry.len = cpu_to_le32(used->len);
	entry.id = cpu_to_le16(used->id);
	entry.flags = cpu_to_le16(flags);
	return vfmig_vq_dma_write(dev, entry_at(vq, pos->used) +
				  offsetof(struct vring_packed_desc, len), &entry, sizeof(entry));
}

/*
 * The driver looks at the first of these entries, so that is written last.
 *
 * The entries take the place of descriptors.  So when some are written, the device can't
 * take those buffers again, and an error that passes becomes one that does not.  The fabric
 * has such an error if the driver forbids DMA with buffers in the queue, or if there is no
 * memory for a dirty bit.
 */
static int packed_publish(struct vfmig_virtio *dev, struct vfmig_vq *vq, unsigned int n)
{
	struct vfmig_vq_pos pos = vq->pos;
	bool partly = false;
	int ret = 0;

	for (unsigned int i = 0; !ret && i < n; i++) {
		if (i) {
			ret = write_used(dev, vq, &vq->pending[i], &pos);
			partly |= !ret;
		}
		advance(vq, &pos.used, &pos.used_wrap, vq->pending[i].slots);
	}
	/* After the other entries */
	smp_wmb();
	if (!ret)
		ret = write_used(dev, vq, &vq->pending[0], &vq->pos);
	if (!ret) {
		vq->pos = pos;
	} else if (partly) {
		vfmig_virtio_broken(dev, "used buffers could be written in part only");
		return -EPROTO;
	}
	return ret;
}

/* VIRTIO 2.8.10: has the device used an entry at or after the one of the event? */
static bool is_past(const struct vfmig_vq *vq, u16 off_wrap, u16 old)
{
	int off = off_wrap & ~BIT(VRING_PACKED_EVENT_F_WRAP_CTR), since = old;
	bool wrap = off_wrap & BIT(VRING_PACKED_EVENT_F_WRAP_CTR);

	if (vq->pos.used <= since)
		since -= vq->size;
	if (vq->pos.used_wrap != wrap)
		off -= vq->size;
	return vring_need_event(off, vq->pos.used, since);
}

static int packed_wants_irq(struct vfmig_virtio *dev, struct vfmig_vq *vq)
{
	struct vring_packed_desc_event event;
	u16 since = vq->signalled;
	bool valid = vq->signalled_valid;

	vq->signalled = vq->pos.used;
	vq->signalled_valid = true;
	if (vfmig_vq_dma_read(dev, vq->driver, &event, sizeof(event)))
		return 1;
	switch (le16_to_cpu(event.flags)) {
	case VRING_PACKED_EVENT_FLAG_DISABLE:
		return 0;
	case VRING_PACKED_EVENT_FLAG_DESC:
		if (!vfmig_virtio_has(dev, VIRTIO_RING_F_EVENT_IDX))
			return 1;
		return !valid || is_past(vq, le16_to_cpu(event.off_wrap), since);
	default:
		return 1;
	}
}

static int packed_set_wants(struct vfmig_virtio *dev, struct vfmig_vq *vq,
			    enum vfmig_vq_wants wants)
{
	struct vring_packed_desc_event event = {};

	if (wants == VFMIG_VQ_QUIET) {
		event.flags = cpu_to_le16(VRING_PACKED_EVENT_FLAG_DISABLE);
	} else if (vfmig_virtio_has(dev, VIRTIO_RING_F_EVENT_IDX)) {
		event.flags = cpu_to_le16(VRING_PACKED_EVENT_FLAG_DESC);
		event.off_wrap = cpu_to_le16(vq->pos.avail |
					     vq->pos.avail_wrap << VRING_PACKED_EVENT_F_WRAP_CTR);
	} else {
		event.flags = cpu_to_le16(VRING_PACKED_EVENT_FLAG_ENABLE);
	}
	return vfmig_vq_dma_write(dev, vq->device, &event, sizeof(event));
}

const struct vfmig_vq_ops vfmig_vq_packed = {
	.pop = packed_pop,
	.put = packed_put,
	.publish = packed_publish,
	.wants_irq = packed_wants_irq,
	.set_wants = packed_set_wants,
	.has_more = packed_has_more,
};
