/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A virtqueue as the device sees it: buffers that the driver makes available, and buffers
 * that the device has used (VIRTIO 1.2, 2.6 to 2.8).
 *
 * The device takes a buffer and uses it in one step, with the device's lock held.  So no
 * buffer is in flight when the lock is free, and none is part of the migration state.  If
 * memory can't be accessed now, the device puts all buffers back that it has not published
 * as used (vfmig_vq_rewind()), and does the same again later.
 *
 * All functions need the device's lock.  They return 0 or a positive number, -EAGAIN if
 * memory can't be accessed now, or -EPROTO if the driver has violated the specification or
 * an address faulted.  The device then needs a reset, and vfmig_virtio_broken() was called.
 */
#ifndef _VFMIG_VIRTIO_RING_H
#define _VFMIG_VIRTIO_RING_H

#include <linux/types.h>

#include "format.h"

struct vfmig_virtio;
struct vfmig_vq;

/**
 * struct vfmig_vq_seg - a piece of a buffer
 * @addr: IOVA
 * @len: bytes
 */
struct vfmig_vq_seg {
	u64 addr;
	u32 len;
};

/**
 * struct vfmig_vq_chain - a buffer
 * @id: how the device tells the driver that it has used the buffer: the index of the first
 *	descriptor (split), or the Buffer ID (packed)
 * @slots: entries of the descriptor table (split) or of the ring (packed) that it takes
 * @nr_out: number of device-readable pieces, first in @seg
 * @nr_in: number of device-writable pieces, after them
 * @out_len: bytes in the device-readable pieces
 * @in_len: bytes in the device-writable pieces
 * @seg: the pieces
 */
struct vfmig_vq_chain {
	u16 id;
	u16 slots;
	unsigned int nr_out;
	unsigned int nr_in;
	u64 out_len;
	u64 in_len;
	struct vfmig_vq_seg seg[VFMIG_VQ_SIZE_MAX];
};

/**
 * struct vfmig_vq_iter - a position in the pieces of a buffer
 * @seg: the current piece
 * @left: number of pieces from @seg on
 * @offset: bytes of @seg before the position
 */
struct vfmig_vq_iter {
	const struct vfmig_vq_seg *seg;
	unsigned int left;
	u32 offset;
};

/**
 * struct vfmig_vq_pos - positions in the ring
 * @avail: the next entry to take: a free-running index (split), or an entry (packed)
 * @used: the next entry to use, likewise
 * @avail_wrap: driver ring wrap counter (packed)
 * @used_wrap: device ring wrap counter (packed)
 */
struct vfmig_vq_pos {
	u16 avail;
	u16 used;
	bool avail_wrap;
	bool used_wrap;
};

/* What the driver was told about notifications of available buffers */
enum vfmig_vq_wants {
	VFMIG_VQ_UNKNOWN,	/* not told by this device: after DRIVER_OK or a load */
	VFMIG_VQ_QUIET,		/* no notifications, please */
	VFMIG_VQ_NOTIFY,	/* a notification for the next buffer */
};

/**
 * struct vfmig_vq_ops - one of the two layouts of a ring
 * @pop: Take the next buffer.  Returns 1, or 0 if there is none.
 * @put: Write used entry number @n after the last published one, for @chain with @len bytes
 *	written to it.  The driver does not see it yet.
 * @publish: Publish the @n used entries that @put wrote.  The driver sees them in order, and
 *	sees the first one last or together with the others.
 * @wants_irq: Does the driver want a notification of the used buffers that were published since
 *	the last call?  Returns 1 or 0.
 * @set_wants: Tell the driver which notifications of available buffers the device wants.
 * @has_more: Is there a buffer to take?  Returns 1 or 0.
 */
struct vfmig_vq_ops {
	int (*pop)(struct vfmig_virtio *dev, struct vfmig_vq *vq, struct vfmig_vq_chain *chain);
	int (*put)(struct vfmig_virtio *dev, struct vfmig_vq *vq, unsigned int n,
		   const struct vfmig_vq_chain *chain, u32 len);
	int (*publish)(struct vfmig_virtio *dev, struct vfmig_vq *vq, unsigned int n);
	int (*wants_irq)(struct vfmig_virtio *dev, struct vfmig_vq *vq);
	int (*set_wants)(struct vfmig_virtio *dev, struct vfmig_vq *vq, enum vfmig_vq_wants wants);
	int (*has_more)(struct vfmig_virtio *dev, struct vfmig_vq *vq);
};

/**
 * struct vfmig_vq_pending - a used entry of a packed ring that is not published yet
 * @id: Buffer ID
 * @slots: entries of the ring that the buffer took
 * @len: bytes written
 * @written: the device has written to the buffer
 */
struct vfmig_vq_pending {
	u16 id;
	u16 slots;
	u32 len;
	bool written;
};

/* Used entries that can wait to be published together */
#define VFMIG_VQ_PENDING_MAX	64U

/**
 * struct vfmig_vq - a virtqueue; the device's lock protects it
 * @ops: the layout; NULL for a queue that is not enabled
 * @index: its index
 * @size: Queue Size
 * @vector: MSI-X vector, or VIRTIO_MSI_NO_VECTOR
 * @desc: IOVA of the Descriptor Area
 * @driver: IOVA of the Driver Area
 * @device: IOVA of the Device Area
 * @pos: positions, with the buffers that are taken and not published
 * @kept: positions as of the last publication
 * @avail_seen: the driver's index when the device last read it (split)
 * @signalled: the driver knows of used buffers up to here, if @signalled_valid
 * @signalled_valid: @signalled holds
 * @wants: what the driver was told about notifications
 * @awaited: with VFMIG_VQ_NOTIFY, the position that it notifies of
 * @pending: used entries that are not published yet (packed)
 */
struct vfmig_vq {
	const struct vfmig_vq_ops *ops;
	u16 index;
	u16 size;
	u16 vector;
	u64 desc;
	u64 driver;
	u64 device;
	struct vfmig_vq_pos pos;
	struct vfmig_vq_pos kept;
	u16 avail_seen;
	u16 signalled;
	bool signalled_valid;
	enum vfmig_vq_wants wants;
	struct vfmig_vq_pos awaited;
	struct vfmig_vq_pending pending[VFMIG_VQ_PENDING_MAX];
};

/* ring_split.c, ring_packed.c */
extern const struct vfmig_vq_ops vfmig_vq_split;
extern const struct vfmig_vq_ops vfmig_vq_packed;

/* ring.c */
void vfmig_vq_start(struct vfmig_virtio *dev, struct vfmig_vq *vq,
		    const struct vfmig_vq_pos *pos);
int vfmig_vq_pop(struct vfmig_virtio *dev, struct vfmig_vq *vq, struct vfmig_vq_chain *chain);
int vfmig_vq_put(struct vfmig_virtio *dev, struct vfmig_vq *vq, unsigned int n,
		 const struct vfmig_vq_chain *chain, u32 len);
int vfmig_vq_publish(struct vfmig_virtio *dev, struct vfmig_vq *vq, unsigned int n);
void vfmig_vq_rewind(struct vfmig_vq *vq);
void vfmig_vq_put_back(struct vfmig_vq *vq, const struct vfmig_vq_pos *pos);
int vfmig_vq_quiet(struct vfmig_virtio *dev, struct vfmig_vq *vq);
int vfmig_vq_listen(struct vfmig_virtio *dev, struct vfmig_vq *vq);
bool vfmig_vq_listens(const struct vfmig_vq *vq);

int vfmig_vq_dma_read(struct vfmig_virtio *dev, u64 addr, void *buf, size_t len);
int vfmig_vq_dma_write(struct vfmig_virtio *dev, u64 addr, const void *buf, size_t len);

/* To build a chain */
struct vring_desc;
void vfmig_chain_init(struct vfmig_vq_chain *chain);
int vfmig_chain_add(struct vfmig_virtio *dev, struct vfmig_vq *vq, struct vfmig_vq_chain *chain,
		    u64 addr, u32 len, bool in);

/* To access a buffer */
struct vfmig_vq_iter vfmig_chain_out(const struct vfmig_vq_chain *chain);
struct vfmig_vq_iter vfmig_chain_in(const struct vfmig_vq_chain *chain);
int vfmig_iter_read(struct vfmig_virtio *dev, struct vfmig_vq_iter *iter, void *buf, size_t len);
int vfmig_iter_write(struct vfmig_virtio *dev, struct vfmig_vq_iter *iter, const void *buf,
		     size_t len);
void vfmig_iter_skip(struct vfmig_vq_iter *iter, size_t len);

#endif /* _VFMIG_VIRTIO_RING_H */
