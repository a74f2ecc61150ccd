/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parser needs of the kernel's header of this name */
#ifndef VFMIG_FUZZ_SLAB_H
#define VFMIG_FUZZ_SLAB_H

#include <linux/types.h>

void *kvmalloc(size_t size, int flags);
void kvfree(void *buf);

#endif /* VFMIG_FUZZ_SLAB_H */
