// SPDX-License-Identifier: GPL-2.0-only
/*
 * CRC32C by the instruction that x86-64 has for it, as a fuzzer makes a lot of them.
 */
#include <string.h>

#include <nmmintrin.h>

#include <linux/crc32c.h>

/* Its loops are no news for the fuzzer */
__attribute__((no_sanitize("coverage")))
u32 crc32c(u32 crc, const void *buf, size_t len)
{
	const u8 *byte = buf;

	for (; len >= 8; len -= 8, byte += 8) {
		u64 word;

		memcpy(&word, byte, sizeof(word));
		crc = _mm_crc32_u64(crc, word);
	}
	while (len--)
		crc = _mm_crc32_u8(crc, *byte++);
	return crc;
}
