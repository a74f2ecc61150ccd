/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parser needs of the kernel's header of this name */
#ifndef VFMIG_FUZZ_COMPILER_H
#define VFMIG_FUZZ_COMPILER_H

#define READ_ONCE(x)	(*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, val)	(*(volatile typeof(x) *)&(x) = (val))

#endif /* VFMIG_FUZZ_COMPILER_H */
