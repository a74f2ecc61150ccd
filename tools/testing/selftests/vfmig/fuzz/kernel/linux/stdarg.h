/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parser needs of the kernel's header of this name */
#ifndef VFMIG_FUZZ_STDARG_H
#define VFMIG_FUZZ_STDARG_H

#include <stdarg.h>

#endif /* VFMIG_FUZZ_STDARG_H */
