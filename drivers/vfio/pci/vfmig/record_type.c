// SPDX-License-Identifier: GPL-2.0-only
/*
 * See record_type.h.  The rules are those of Documentation/stream.rst.
 */
#include "record_type.h"

bool vfmig_type_known(u32 type)
{
	return type >= VFMIG_RECORD_IDENTITY && type <= VFMIG_RECORD_END;
}

/* Which types may come at which stage */
bool vfmig_type_due(enum vfmig_parse_stage stage, u32 type)
{
	switch (type) {
	case VFMIG_RECORD_IDENTITY:
		/* Again where the source was resized */
		return stage <= VFMIG_PARSE_STATE;
	case VFMIG_RECORD_END:
		return stage == VFMIG_PARSE_STATE;
	default:
		return stage == VFMIG_PARSE_BODY || stage == VFMIG_PARSE_STATE;
	}
}

/* Bounds of the payload of a type, in bytes */
void vfmig_type_bounds(u32 type, u64 *min, u64 *max)
{
	switch (type) {
	case VFMIG_RECORD_IDENTITY:
		*min = sizeof(struct vfmig_identity);
		*max = VFMIG_IDENTITY_MAX;
		break;
	case VFMIG_RECORD_MEMORY:
		*min = sizeof(struct vfmig_extent) + VFMIG_GRANULE;
		*max = sizeof(struct vfmig_extent) + VFMIG_MEMORY_MAX;
		break;
	case VFMIG_RECORD_HOLE:
		*min = sizeof(struct vfmig_extent);
		*max = sizeof(struct vfmig_extent);
		break;
	case VFMIG_RECORD_STATE:
		*min = 1;
		*max = VFMIG_STATE_MAX;
		break;
	case VFMIG_RECORD_END:
		*min = sizeof(struct vfmig_end);
		*max = sizeof(struct vfmig_end);
		break;
	default:
		*min = 0;
		*max = VFMIG_OPTIONAL_MAX;
	}
}

/* Every type of ours but MEMORY must carry a CRC of its payload */
bool vfmig_type_needs_crc(u32 type)
{
	return vfmig_type_known(type) && type != VFMIG_RECORD_MEMORY;
}
