/* SPDX-License-Identifier: GPL-2.0-only */
/* What the checks of a state need of the kernel's header of this name */
#ifndef VFMIG_KERNEL_STRING_H
#define VFMIG_KERNEL_STRING_H

#include <string.h>

#include <linux/types.h>

/* The first byte that is not @c, or NULL */
static inline void *memchr_inv(const void *start, int c, size_t bytes)
{
	const u8 *byte = start;

	for (; bytes; bytes--, byte++)
		if (*byte != (u8)c)
			return (void *)byte;
	return NULL;
}

#endif /* VFMIG_KERNEL_STRING_H */
