/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What sources of the device need of the kernel's header of this name, for numbers that are not
 * negative
 */
#ifndef VFMIG_TEST_MINMAX_H
#define VFMIG_TEST_MINMAX_H

static inline unsigned long long min(unsigned long long a, unsigned long long b)
{
	return a < b ? a : b;
}

static inline unsigned long long max(unsigned long long a, unsigned long long b)
{
	return a > b ? a : b;
}

static inline unsigned long long clamp(unsigned long long value, unsigned long long low,
				       unsigned long long high)
{
	return min(max(value, low), high);
}

#endif /* VFMIG_TEST_MINMAX_H */
