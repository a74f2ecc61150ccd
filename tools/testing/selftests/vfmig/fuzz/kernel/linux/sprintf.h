/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parser needs of the kernel's header of this name */
#ifndef VFMIG_FUZZ_SPRINTF_H
#define VFMIG_FUZZ_SPRINTF_H

#include <stdio.h>

#define vscnprintf	vsnprintf

#endif /* VFMIG_FUZZ_SPRINTF_H */
