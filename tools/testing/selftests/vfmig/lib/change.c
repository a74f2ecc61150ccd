// SPDX-License-Identifier: GPL-2.0-only
/* See change.h */
#include <string.h>

#include "change.h"

void change_apply(u8 *state, size_t len, const struct change *change)
{
	u64 value;

	must(change->offset + sizeof(value) <= len);
	memcpy(&value, state + change->offset, sizeof(value));
	value = (value & ~change->clear) | change->set;
	memcpy(state + change->offset, &value, sizeof(value));
}

struct vfmig_record *change_state(const struct blob *blob)
{
	struct stream_record records[STREAM_MAX_RECORDS], *state;

	state = stream_find(records, stream_parse(blob, records), VFMIG_RECORD_STATE);
	must(state);
	return state->header;
}
