/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parser needs of the kernel's header of this name */
#ifndef VFMIG_FUZZ_SIZES_H
#define VFMIG_FUZZ_SIZES_H

#define SZ_64M	(64 << 20)

#endif /* VFMIG_FUZZ_SIZES_H */
