/* SPDX-License-Identifier: GPL-2.0-only */
/* What the checks of a state need of the kernel's header of this name */
#ifndef VFMIG_KERNEL_ARRAY_SIZE_H
#define VFMIG_KERNEL_ARRAY_SIZE_H

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))

#endif /* VFMIG_KERNEL_ARRAY_SIZE_H */
