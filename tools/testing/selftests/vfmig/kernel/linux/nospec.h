/* SPDX-License-Identifier: GPL-2.0-only */
/* What the checks of a state need of the kernel's header of this name */
#ifndef VFMIG_KERNEL_NOSPEC_H
#define VFMIG_KERNEL_NOSPEC_H

#include <stddef.h>

/* The CPU may well speculate here: a program has no secrets from itself */
static inline size_t array_index_nospec(size_t index, size_t size)
{
	return index < size ? index : 0;
}

#endif /* VFMIG_KERNEL_NOSPEC_H */
