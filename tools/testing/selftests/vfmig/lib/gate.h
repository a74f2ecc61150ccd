/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory on which every access waits, in the kernel too, until the gate is opened.  A test
 * uses it to stop a thread in the middle of a copy to the user.
 */
#ifndef VFMIG_TEST_GATE_H
#define VFMIG_TEST_GATE_H

#include "util.h"

/**
 * struct gate - memory with a gate
 * @va: its address
 * @size: bytes
 * @open: bytes at the beginning on which accesses do not wait
 * @fd: the userfaultfd
 */
struct gate {
	u8 *va;
	size_t size;
	size_t open;
	int fd;
};

/* Returns NULL, or why the test must be skipped; both sizes are multiples of a page */
const char *gate_init(struct gate *gate, size_t size, size_t open);
/* Wait until an access waits; false if none came within WAIT_MS */
bool gate_wait(struct gate *gate);
/* Let all accesses continue, now and later */
void gate_open(struct gate *gate);
void gate_exit(struct gate *gate);

#endif /* VFMIG_TEST_GATE_H */
