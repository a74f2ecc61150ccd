/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The types of records: which may come when, and how long they are.  For the parser and for
 * vfmigctl, so this needs nothing but the stream's header.
 */
#ifndef _VFMIG_RECORD_TYPE_H
#define _VFMIG_RECORD_TYPE_H

#include <linux/types.h>
#include <linux/vfmig.h>

#define VFMIG_IDENTITY_MAX	(sizeof(struct vfmig_identity) + VFMIG_MODEL_DATA_MAX)

/* Flags of a record that a reader knows */
#define VFMIG_RECORD_FLAGS	(VFMIG_RECORD_MANDATORY | VFMIG_RECORD_PAYLOAD_CRC)

enum vfmig_parse_stage {
	VFMIG_PARSE_IDENTITY,	/* nothing but the identity record may come */
	VFMIG_PARSE_BODY,	/* memory, holes, another identity or a piece of the state */
	VFMIG_PARSE_STATE,	/* the same, or the closing record, as there is a state */
	VFMIG_PARSE_DONE,	/* applied; nothing may come */
	VFMIG_PARSE_FAILED,
};

bool vfmig_type_known(u32 type);
bool vfmig_type_due(enum vfmig_parse_stage stage, u32 type);
bool vfmig_type_needs_crc(u32 type);
void vfmig_type_bounds(u32 type, u64 *min, u64 *max);

#endif /* _VFMIG_RECORD_TYPE_H */
