/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parser needs of the kernel's header of this name */
#ifndef VFMIG_FUZZ_CRC32C_H
#define VFMIG_FUZZ_CRC32C_H

#include <linux/types.h>

u32 crc32c(u32 crc, const void *buf, size_t len);

#endif /* VFMIG_FUZZ_CRC32C_H */
