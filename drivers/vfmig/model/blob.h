/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A buffer for the state of a device, which crosses the border to the variant driver in
 * pieces.  It has a bound, and no function goes beyond it, whatever a stream says.
 *
 * A save allocates the buffer when it begins, so that nothing can fail for lack of memory
 * once the device is frozen.  Then the model writes its state to &vfmig_blob.data, sets
 * &vfmig_blob.length, and hands out piece by piece.  A load appends piece by piece, and its
 * commit looks at the whole.
 *
 * The model serialises all calls for one buffer.
 */
#ifndef _VFMIG_MODEL_BLOB_H
#define _VFMIG_MODEL_BLOB_H

#include <linux/types.h>

/**
 * struct vfmig_blob - a bounded buffer; all zeroes is one that is not allocated
 * @data: the bytes; NULL if not allocated
 * @room: size of @data in bytes
 * @length: bytes in use, from the start; 0 for a state that was not saved yet, as no state is
 *	empty
 * @taken: bytes of these that were handed out
 */
struct vfmig_blob {
	void *data;
	size_t room;
	size_t length;
	size_t taken;
};

/**
 * vfmig_blob_alloc() - allocate an empty buffer
 * @blob: the buffer, which is not allocated
 * @room: its bound in bytes, not 0; from the model, never from a stream
 *
 * Charged to the memory cgroup of the current process.  May sleep.
 *
 * Return: 0, -ENOMEM.
 */
int vfmig_blob_alloc(struct vfmig_blob *blob, size_t room);

/** vfmig_blob_free() - free @blob, if it is allocated; it can be allocated again */
void vfmig_blob_free(struct vfmig_blob *blob);

/**
 * vfmig_blob_left() - bytes that vfmig_blob_take() has still to hand out
 * @blob: the buffer
 *
 * Return: the number of bytes.
 */
static inline size_t vfmig_blob_left(const struct vfmig_blob *blob)
{
	return blob->length - blob->taken;
}

/**
 * vfmig_blob_take() - hand out the next piece
 * @blob: the buffer
 * @buf: where it goes
 * @size: its size in bytes
 *
 * Return: the bytes that were copied: @size, or less at the end, or 0 after it.
 */
size_t vfmig_blob_take(struct vfmig_blob *blob, void *buf, size_t size);

/**
 * vfmig_blob_append() - append a piece
 * @blob: the buffer
 * @buf: the piece
 * @size: its size in bytes
 *
 * Return: 0, or -EINVAL if there is not that much room.  Nothing was appended then.
 */
int vfmig_blob_append(struct vfmig_blob *blob, const void *buf, size_t size);

#endif /* _VFMIG_MODEL_BLOB_H */
