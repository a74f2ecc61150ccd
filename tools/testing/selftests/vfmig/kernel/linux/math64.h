/* SPDX-License-Identifier: GPL-2.0-only */
/* What sources of the device need of the kernel's header of this name */
#ifndef VFMIG_TEST_MATH64_H
#define VFMIG_TEST_MATH64_H

static inline unsigned long long div_u64(unsigned long long dividend, unsigned int divisor)
{
	return dividend / divisor;
}

static inline unsigned long long div64_u64(unsigned long long dividend, unsigned long long divisor)
{
	return dividend / divisor;
}

#endif /* VFMIG_TEST_MATH64_H */
