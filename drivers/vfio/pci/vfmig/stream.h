/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code for both ends of the stream: headers, the identity record and sizes.
 */
#ifndef _VFMIG_STREAM_H
#define _VFMIG_STREAM_H

#include <linux/types.h>
#include <linux/vfmig.h>

#include "record_type.h"

/* Bytes of whole records; of a MEMORY record without its data */
#define VFMIG_MEMORY_OVERHEAD	(sizeof(struct vfmig_record) + sizeof(struct vfmig_extent))
#define VFMIG_HOLE_BYTES	(sizeof(struct vfmig_record) + sizeof(struct vfmig_extent))
#define VFMIG_END_BYTES		(sizeof(struct vfmig_record) + sizeof(struct vfmig_end))

u32 vfmig_crc(u32 crc, const void *buf, size_t len);

void vfmig_record_init(struct vfmig_record *rec, u32 type, u64 length);
void vfmig_record_set_payload_crc(struct vfmig_record *rec, u32 crc);
void vfmig_record_set_crc(struct vfmig_record *rec, const void *payload, size_t len);
void vfmig_record_set_extent_crc(struct vfmig_record *rec, const struct vfmig_extent *extent);
bool vfmig_record_valid(const struct vfmig_record *rec);

size_t vfmig_identity_pack(const struct vfmig_vf_identity *id, struct vfmig_identity *out);

size_t vfmig_identity_bytes(const struct vfmig_vf_identity *id);
u64 vfmig_count_bytes(const struct vfmig_mem_count *count);
u64 vfmig_state_bytes(u64 bytes);

#endif /* _VFMIG_STREAM_H */
