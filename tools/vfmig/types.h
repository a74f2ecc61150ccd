/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Short names of the integers, as in the kernel, and what goes with them.  The headers are those
 * that the drivers' sources get in user space.
 */
#ifndef VFMIGCTL_TYPES_H
#define VFMIGCTL_TYPES_H

#include <linux/array_size.h>
#include <linux/bitops.h>
#include <linux/types.h>

/* CRC32C of @buf, continuing from @crc of the bytes before it; 0 to begin */
u32 crc32c(u32 crc, const void *buf, size_t len);

#endif /* VFMIGCTL_TYPES_H */
