/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel takes for itself, to see that it gives it back */
#ifndef VFMIG_TEST_MEMORY_H
#define VFMIG_TEST_MEMORY_H

#include "util.h"

/* Does this kernel keep what was freed, so that there is nothing to be seen here? */
bool memory_kept_when_freed(void);

/* The kernel's own memory that it can't take back by itself, in KiB */
s64 memory_kib(void);
/* Is it less than @limit more than @before?  Some is freed a little later. */
bool memory_given_back(s64 before, s64 limit);

#endif /* VFMIG_TEST_MEMORY_H */
