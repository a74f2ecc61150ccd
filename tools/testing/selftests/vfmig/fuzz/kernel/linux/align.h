/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parser needs of the kernel's header of this name */
#ifndef VFMIG_FUZZ_ALIGN_H
#define VFMIG_FUZZ_ALIGN_H

#define IS_ALIGNED(x, a)	(((x) & ((typeof(x))(a) - 1)) == 0)

#endif /* VFMIG_FUZZ_ALIGN_H */
