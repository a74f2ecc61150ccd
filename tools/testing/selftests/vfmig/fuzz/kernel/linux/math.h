/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parser needs of the kernel's header of this name */
#ifndef VFMIG_FUZZ_MATH_H
#define VFMIG_FUZZ_MATH_H

static inline unsigned long long DIV_ROUND_UP_ULL(unsigned long long n, unsigned long long d)
{
	return (n + d - 1) / d;
}

#endif /* VFMIG_FUZZ_MATH_H */
