/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Short names of the integers, as in the kernel, and what goes with them.
 */
#ifndef VFMIGCTL_TYPES_H
#define VFMIGCTL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define BIT(n)			(1U << (n))
#define BIT_ULL(n)		(1ULL << (n))

/* CRC32C of @buf, continuing from @crc of the bytes before it; 0 to begin */
u32 crc32c(u32 crc, const void *buf, size_t len);

#endif /* VFMIGCTL_TYPES_H */
