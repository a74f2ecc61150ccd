/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's memory, as the parser sees it: counted, and it can run out.
 */
#ifndef VFMIG_FUZZ_MEMORY_H
#define VFMIG_FUZZ_MEMORY_H

#include <linux/types.h>

void memory_begin(unsigned int fail_alloc);
void memory_end(void);

#endif /* VFMIG_FUZZ_MEMORY_H */
