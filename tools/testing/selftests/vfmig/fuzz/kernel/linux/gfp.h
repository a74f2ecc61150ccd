/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parser needs of the kernel's header of this name */
#ifndef VFMIG_FUZZ_GFP_H
#define VFMIG_FUZZ_GFP_H

#include <linux/types.h>

#define GFP_KERNEL_ACCOUNT	0
#define __GFP_RETRY_MAYFAIL	0
#define __GFP_NOWARN		0
#define __GFP_HIGHMEM		0

struct page {
	u8 data[4096];
};

struct page *alloc_page(int flags);
void __free_page(struct page *page);

#endif /* VFMIG_FUZZ_GFP_H */
