// SPDX-License-Identifier: GPL-2.0-only
/*
 * Helpers for the files of a save and a load.  The format of the stream is in
 * include/uapi/linux/vfmig.h.
 */
#include <linux/crc32c.h>
#include <linux/math.h>
#include <linux/string.h>

#include <asm/byteorder.h>

#include "stream.h"

/* CRC32C of @buf, continuing from @crc of the bytes before it; 0 to begin */
u32 vfmig_crc(u32 crc, const void *buf, size_t len)
{
	return ~crc32c(~crc, buf, len);
}

static u32 vfmig_header_crc(const struct vfmig_record *rec)
{
	return vfmig_crc(0, rec, offsetof(struct vfmig_record, header_crc));
}

/* Initialise the header of a record without a CRC of the payload */
void vfmig_record_init(struct vfmig_record *rec, u32 type, u64 length)
{
	*rec = (struct vfmig_record) {
		.type = cpu_to_le32(type),
		.flags = cpu_to_le32(VFMIG_RECORD_MANDATORY),
		.length = cpu_to_le64(length),
	};
	rec->header_crc = cpu_to_le32(vfmig_header_crc(rec));
}

/* @crc is that of the whole payload */
void vfmig_record_set_payload_crc(struct vfmig_record *rec, u32 crc)
{
	rec->flags |= cpu_to_le32(VFMIG_RECORD_PAYLOAD_CRC);
	rec->payload_crc = cpu_to_le32(crc);
	rec->header_crc = cpu_to_le32(vfmig_header_crc(rec));
}

void vfmig_record_set_crc(struct vfmig_record *rec, const void *payload, size_t len)
{
	vfmig_record_set_payload_crc(rec, vfmig_crc(0, payload, len));
}

/* For a MEMORY record: a CRC of the extent, not of the data */
void vfmig_record_set_extent_crc(struct vfmig_record *rec, const struct vfmig_extent *extent)
{
	rec->payload_crc = cpu_to_le32(vfmig_crc(0, extent, sizeof(*extent)));
	rec->header_crc = cpu_to_le32(vfmig_header_crc(rec));
}

bool vfmig_record_valid(const struct vfmig_record *rec)
{
	return le32_to_cpu(rec->header_crc) == vfmig_header_crc(rec);
}

/* Fill in @out, which has room for VFMIG_IDENTITY_MAX; return the bytes used */
size_t vfmig_identity_pack(const struct vfmig_vf_identity *id, struct vfmig_identity *out)
{
	*out = (struct vfmig_identity) {
		.magic = cpu_to_le64(VFMIG_STREAM_MAGIC),
		.version_major = cpu_to_le16(VFMIG_STREAM_VERSION_MAJOR),
		.version_minor = cpu_to_le16(VFMIG_STREAM_VERSION_MINOR),
		.granule = cpu_to_le32(VFMIG_GRANULE),
		.model_version = cpu_to_le32(id->model_version),
		.model_data_length = cpu_to_le32(id->data_length),
		.memory_size = cpu_to_le64(id->memory_size),
	};
	memcpy(out->model, id->model, sizeof(out->model));
	memcpy(out->model_data, id->data, id->data_length);
	return sizeof(*out) + id->data_length;
}

/* Size of the identity record in bytes */
size_t vfmig_identity_bytes(const struct vfmig_vf_identity *id)
{
	return sizeof(struct vfmig_record) + sizeof(struct vfmig_identity) + id->data_length;
}

/* Size of the memory records for @count in bytes */
u64 vfmig_count_bytes(const struct vfmig_mem_count *count)
{
	return count->granules * VFMIG_GRANULE + count->data_runs * VFMIG_MEMORY_OVERHEAD +
	       count->hole_runs * VFMIG_HOLE_BYTES;
}

/* Size of the records for @bytes of state in bytes */
u64 vfmig_state_bytes(u64 bytes)
{
	return bytes + DIV_ROUND_UP_ULL(bytes, VFMIG_STATE_CHUNK) * sizeof(struct vfmig_record);
}
