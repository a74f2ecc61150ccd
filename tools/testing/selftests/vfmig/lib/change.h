/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bits of a device's state that a test changes in a stream, field by field.
 */
#ifndef VFMIG_TEST_CHANGE_H
#define VFMIG_TEST_CHANGE_H

#include "stream.h"

/* Of the 8 bytes at @offset the bits @clear are cleared, then @set are set */
struct change {
	size_t offset;
	u64 clear;
	u64 set;
};

/* All bits of a field */
#define ALL8	0xffULL
#define ALL16	0xffffULL
#define ALL32	0xffffffffULL
#define ALL48	0xffffffffffffULL
#define ALL64	(~0ULL)

/* Change @state of @len bytes; one that would be beyond its end ends the test */
void change_apply(u8 *state, size_t len, const struct change *change);
/* The record of @blob with the state, which has one that is in one piece */
struct vfmig_record *change_state(const struct blob *blob);

#endif /* VFMIG_TEST_CHANGE_H */
