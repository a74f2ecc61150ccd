/* SPDX-License-Identifier: GPL-2.0-only */
/* What the drivers' sources need of the kernel's header of this name in user space */
#ifndef VFMIG_KERNEL_TYPES_H
#define VFMIG_KERNEL_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include_next <linux/types.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;

#endif /* VFMIG_KERNEL_TYPES_H */
