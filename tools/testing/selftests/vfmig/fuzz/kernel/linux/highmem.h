/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parser needs of the kernel's header of this name */
#ifndef VFMIG_FUZZ_HIGHMEM_H
#define VFMIG_FUZZ_HIGHMEM_H

#include <linux/gfp.h>

#define kmap_local_page(page)	((void *)(page)->data)
#define kunmap_local(data)	((void)(data))

#endif /* VFMIG_FUZZ_HIGHMEM_H */
