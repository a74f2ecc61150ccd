/* SPDX-License-Identifier: GPL-2.0-only */
/* What sources of the device need of the kernel's header of this name */
#ifndef VFMIG_TEST_LOG2_H
#define VFMIG_TEST_LOG2_H

static inline unsigned long rounddown_pow_of_two(unsigned long n)
{
	return 1UL << (8 * sizeof(n) - 1 - __builtin_clzl(n));
}

#endif /* VFMIG_TEST_LOG2_H */
