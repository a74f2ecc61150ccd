/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Virtqueues of both layouts, as their driver.  It checks what any driver relies on: a used
 * buffer is one that is available, and is used once.  If not, the test fails.
 */
#ifndef VFMIG_TEST_VIRTQ_H
#define VFMIG_TEST_VIRTQ_H

#include <linux/virtio_ring.h>

#include "virtio.h"

#define VIRTQ_MAX	256
#define VIRTQ_INDIRECT	16	/* most pieces of an indirect buffer */

/* A piece of a buffer.  Those that the device writes come last. */
struct virtq_piece {
	u64 iova;
	u32 len;
	bool write;
};

static inline struct virtq_piece piece_out(u64 iova, u32 len)
{
	return (struct virtq_piece){ .iova = iova, .len = len };
}

static inline struct virtq_piece piece_in(u64 iova, u32 len)
{
	return (struct virtq_piece){ .iova = iova, .len = len, .write = true };
}

struct virtq_used {
	u16 id;
	u32 len;
};

/**
 * struct virtq - a virtqueue
 * @packed: the layout is packed: @ring, @want and @wanted hold.  Else @desc, @avail, @used.
 * @want: what the driver wants to be notified of
 * @wanted: what the device wants to be notified of
 * @next: the next entry to make available: a free-running index (split), or an entry (packed)
 * @last: the next entry to be used, likewise
 * @next_wrap: driver ring wrap counter
 * @last_wrap: device ring wrap counter
 * @added: entries since the last look at whether the device wants a notification
 * @free: number of free entries
 * @free_id: the ID of the next buffer
 * @link: the next free ID, or the next descriptor of a chain
 * @slots: entries that the buffer of an ID has; 0 if it is not available
 * @quiet: interrupts are not wanted
 */
struct virtq {
	struct virtio *vio;
	u16 index;
	u16 size;
	bool packed;
	u64 notify;		/* offset in BAR 0 */
	void *mem;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc *ring;
	struct vring_packed_desc_event *want;
	struct vring_packed_desc_event *wanted;
	u8 *tables;
	u16 next;
	u16 last;
	bool next_wrap;
	bool last_wrap;
	u16 added;
	u16 free;
	u16 free_id;
	u16 link[VIRTQ_MAX];
	u16 slots[VIRTQ_MAX];
	bool quiet;
};

/*
 * Set a queue up, with memory of its own, and enable it.  The layout is the one that was
 * negotiated.  @vector may be VIRTIO_MSI_NO_VECTOR.
 */
void virtq_setup(struct virtio *vio, struct virtq *q, u16 index, u16 size, u16 vector);
/* Begin anew with the memory, without a look at the device */
void virtq_clear(struct virtq *q);

/* Make a buffer available, without a notification; returns its ID */
u16 virtq_add(struct virtq *q, const struct virtq_piece *pieces, unsigned int n);
u16 virtq_add_indirect(struct virtq *q, const struct virtq_piece *pieces, unsigned int n);
/* Does the device want a notification of what was added since the last call? */
bool virtq_wants_kick(struct virtq *q);
void virtq_notify(struct virtq *q);
/* Notify the device if it wants that */
void virtq_kick(struct virtq *q);

/* Take a used buffer; false if there is none */
bool virtq_get(struct virtq *q, struct virtq_used *used);
/* The same, and wait for it; false after WAIT_MS */
bool virtq_wait(struct virtq *q, struct virtq_used *used);
/* Turn interrupts for used buffers off and on */
void virtq_quiet(struct virtq *q, bool quiet);
/* Interrupt when @n more buffers are used, with EVENT_IDX; virtq_get() changes that */
void virtq_interrupt_after(struct virtq *q, u16 n);

/* A descriptor that is written as it is; @next is for the split layout */
struct virtq_raw {
	u64 iova;
	u32 len;
	u16 flags;	/* VRING_DESC_F_* */
	u16 next;
};

#define RAW(iova, len, flags, next)	((struct virtq_raw){ iova, len, flags, next })

/*
 * Make a buffer available that consists of these descriptors, right or wrong, which begin at
 * entry 0 of a split table, and at the next entry of a packed ring.  The driver forgets it, so
 * the queue must not be used afterwards.
 */
void virtq_add_raw(struct virtq *q, const struct virtq_raw *raw, unsigned int n);

#endif /* VFMIG_TEST_VIRTQ_H */
