/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What libFuzzer calls, and what it offers; it has no header of its own for C.
 */
#ifndef VFMIG_FUZZ_LIBFUZZER_H
#define VFMIG_FUZZ_LIBFUZZER_H

#include <linux/types.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const u8 *data1, size_t size1, const u8 *data2, size_t size2,
				 u8 *out, size_t max_size, unsigned int seed);

size_t LLVMFuzzerMutate(u8 *data, size_t size, size_t max_size);

#endif /* VFMIG_FUZZ_LIBFUZZER_H */
