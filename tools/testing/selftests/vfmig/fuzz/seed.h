/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Valid records and streams.
 */
#ifndef VFMIG_FUZZ_SEED_H
#define VFMIG_FUZZ_SEED_H

#include "input.h"

void seed_record(struct chunk *chunk, u32 type);
bool seed_input(struct input *input, unsigned int nr);

#endif /* VFMIG_FUZZ_SEED_H */
