// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRC32C as in iSCSI (RFC 3720): reflected, initial value and final xor ~0.
 */
#include "types.h"

#define POLYNOMIAL	0x82f63b78

static u32 table[256];

static void __attribute__((constructor)) fill_table(void)
{
	for (u32 i = 0; i < ARRAY_SIZE(table); i++) {
		u32 crc = i;

		for (unsigned int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
		table[i] = crc;
	}
}

u32 crc32c(u32 crc, const void *buf, size_t len)
{
	const u8 *byte = buf;

	crc = ~crc;
	while (len--)
		crc = crc >> 8 ^ table[(crc ^ *byte++) & 0xff];
	return ~crc;
}
