// SPDX-License-Identifier: GPL-2.0-only
/*
 * A buffer for the state of a device.
 */
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "blob.h"

/* Zeroed: what a model does not write must not be of somebody else when a user reads it */
int vfmig_blob_alloc(struct vfmig_blob *blob, size_t room)
{
	*blob = (struct vfmig_blob) { .data = kvzalloc(room, GFP_KERNEL_ACCOUNT) };
	if (!blob->data)
		return -ENOMEM;
	blob->room = room;
	return 0;
}

void vfmig_blob_free(struct vfmig_blob *blob)
{
	kvfree(blob->data);
	*blob = (struct vfmig_blob) {};
}

size_t vfmig_blob_take(struct vfmig_blob *blob, void *buf, size_t size)
{
	size_t n = min(size, vfmig_blob_left(blob));

	memcpy(buf, blob->data + blob->taken, n);
	blob->taken += n;
	return n;
}

int vfmig_blob_append(struct vfmig_blob *blob, const void *buf, size_t size)
{
	if (size > blob->room - blob->length)
		return -EINVAL;
	memcpy(blob->data + blob->length, buf, size);
	blob->length += size;
	return 0;
}
