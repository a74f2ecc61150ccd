/* SPDX-License-Identifier: GPL-2.0-only */
/* What the checks of a state need of the kernel's header of this name */
#ifndef VFMIG_KERNEL_BITOPS_H
#define VFMIG_KERNEL_BITOPS_H

#define BIT(n)		(1UL << (n))
#define BIT_ULL(n)	(1ULL << (n))

#endif /* VFMIG_KERNEL_BITOPS_H */
