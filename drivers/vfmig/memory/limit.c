// SPDX-License-Identifier: GPL-2.0-only
/*
 * A limit for the memory of all devices together.  Device memory is thin, so guests can be
 * promised more than there is; but what they write must leave the host what it needs.
 */
#include <linux/atomic.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>

#include "memory.h"

static unsigned int media_limit_mb;
module_param(media_limit_mb, uint, 0644);
MODULE_PARM_DESC(media_limit_mb, "Memory for all media together in MiB (0: half of memory)");

/* Granules of all devices, and chunks, each of which takes a page too */
static atomic_long_t granules;

/* Devices with chunks that were erased, and loads that were dropped, and are not freed yet */
static atomic_t erased;

static unsigned long limit(void)
{
	unsigned long mb = READ_ONCE(media_limit_mb);

	return mb ? mb * (SZ_1M / VFMIG_GRANULE) : totalram_pages() / 2;
}

/* A device gets another granule; false if the limit is met */
bool vfmig_memory_take_granule(void)
{
	if (likely(atomic_long_inc_return(&granules) <= limit()))
		return true;
	atomic_long_dec(&granules);
	return false;
}

/* A device has @n granules less */
void vfmig_memory_give_granules(unsigned long n)
{
	atomic_long_sub(n, &granules);
}

/* @n devices or loads more, or less, have something to free */
void vfmig_memory_count_erased(int n)
{
	/* Who sees less on its way sees the granules that came back */
	smp_mb__before_atomic();
	atomic_add(n, &erased);
}

/* Is memory of any device on its way back? */
bool vfmig_memory_any_erased(void)
{
	/* Pairs with vfmig_memory_count_erased() */
	return atomic_read_acquire(&erased);
}
