// SPDX-License-Identifier: GPL-2.0-only
/*
 * Chunks that are records, or were: their lengths, counts and CRCs.
 */
#include <string.h>

#include "../../../../../drivers/vfio/pci/vfmig/stream.h"
#include "repair.h"

/* Bytes of the payload of a chunk that has a whole header */
static u64 payload_bytes(const struct chunk *chunk)
{
	return chunk->len - sizeof(struct vfmig_record) + chunk->zeroes;
}

static bool has(const struct chunk *chunk, size_t payload)
{
	return chunk->len >= sizeof(struct vfmig_record) + payload;
}

static void repair_length(struct chunk *chunk)
{
	struct vfmig_record *rec = (void *)chunk->data;
	struct vfmig_identity *id = (void *)(rec + 1);
	struct vfmig_extent *extent = (void *)(rec + 1);

	rec->length = payload_bytes(chunk);
	if (rec->type == VFMIG_RECORD_IDENTITY && has(chunk, sizeof(*id)))
		id->model_data_length = payload_bytes(chunk) - sizeof(*id);
	if (rec->type == VFMIG_RECORD_MEMORY && has(chunk, sizeof(*extent)))
		extent->length = payload_bytes(chunk) - sizeof(*extent);
}

static void repair_end(struct chunk *chunk, u64 bytes, u64 records)
{
	struct vfmig_record *rec = (void *)chunk->data;
	struct vfmig_end *end = (void *)(rec + 1);

	if (rec->type != VFMIG_RECORD_END || !has(chunk, sizeof(*end)))
		return;
	end->bytes = bytes;
	end->records = records;
}

static u32 crc_of_chunk(const struct chunk *chunk)
{
	static const u8 nothing[4096];
	const u8 *payload = chunk->data + sizeof(struct vfmig_record);
	u32 crc = vfmig_crc(0, payload, chunk->len - sizeof(struct vfmig_record));
	u32 left = chunk->zeroes, len;

	for (; left; left -= len) {
		len = left < sizeof(nothing) ? left : sizeof(nothing);
		crc = vfmig_crc(crc, nothing, len);
	}
	return crc;
}

static void repair_payload(struct chunk *chunk)
{
	struct vfmig_record *rec = (void *)chunk->data;

	if (rec->flags & VFMIG_RECORD_PAYLOAD_CRC)
		rec->payload_crc = crc_of_chunk(chunk);
	else if (rec->type == VFMIG_RECORD_MEMORY && has(chunk, sizeof(struct vfmig_extent)))
		rec->payload_crc = vfmig_crc(0, rec + 1, sizeof(struct vfmig_extent));
}

void repair(struct input *input, unsigned int what)
{
	u64 bytes = 0, records = 0;

	for (unsigned int i = 0; i < input->nr; i++) {
		struct chunk *chunk = &input->chunks[i];
		struct vfmig_record *rec = (void *)chunk->data;

		if (has(chunk, 0)) {
			if (what & REPAIR_LENGTH)
				repair_length(chunk);
			if (what & REPAIR_END)
				repair_end(chunk, bytes, records);
			if (what & REPAIR_PAYLOAD)
				repair_payload(chunk);
			if (what & REPAIR_HEADER)
				rec->header_crc = vfmig_crc(0, rec, 20);
		}
		bytes += chunk->len + chunk->zeroes;
		records++;
	}
}
