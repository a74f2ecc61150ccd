/* SPDX-License-Identifier: GPL-2.0-only */
/* Memory of the kernel, to check that it is freed */
#ifndef VFMIG_TEST_MEMORY_H
#define VFMIG_TEST_MEMORY_H

#include "util.h"

/* Does this kernel keep freed memory (KASAN, kmemleak), so that a test can't check it? */
bool memory_kept_when_freed(void);

/* Memory of the kernel that it can't reclaim, in KiB */
s64 memory_kib(void);
/* The same when it has not fallen for 200 ms: what is being freed is free */
s64 memory_kib_settled(void);
/* Has it grown by less than @limit since @before?  Waits, as some memory is freed later. */
bool memory_given_back(s64 before, s64 limit);

#endif /* VFMIG_TEST_MEMORY_H */
