/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory at which whoever touches it waits, the kernel included, until the gate is
 * opened: to hold a thread in the middle of a copy to the user.
 */
#ifndef VFMIG_TEST_GATE_H
#define VFMIG_TEST_GATE_H

#include "util.h"

/**
 * struct gate - such memory
 * @va: where it is
 * @size: bytes, of which the first @open ones let everybody through
 */
struct gate {
	u8 *va;
	size_t size;
	size_t open;
	int fd;
};

/* NULL, or why the test must be skipped; both sizes are of whole pages */
const char *gate_init(struct gate *gate, size_t size, size_t open);
/* Wait until somebody stands before it; false if nobody came within WAIT_MS */
bool gate_wait(struct gate *gate);
/* Let everybody through from now on */
void gate_open(struct gate *gate);
void gate_exit(struct gate *gate);

#endif /* VFMIG_TEST_GATE_H */
