// SPDX-License-Identifier: GPL-2.0-only
/* See stream.h; all integers are little-endian, as is every machine this runs on */
#include "stream.h"

#include <string.h>

#define HEADER_CRC_BYTES	offsetof(struct vfmig_record, header_crc)
#define BASE_FLAGS		(VFMIG_RECORD_MANDATORY | VFMIG_RECORD_PAYLOAD_CRC)

static bool payload_ok(const struct vfmig_record *header, const void *payload)
{
	if (header->flags & VFMIG_RECORD_PAYLOAD_CRC)
		return header->payload_crc == crc32c(payload, header->length);
	return header->type == VFMIG_RECORD_MEMORY &&
	       header->payload_crc == crc32c(payload, sizeof(struct vfmig_extent));
}

static bool order_ok(const struct stream_record *records, unsigned int n)
{
	if (n < 3)
		return false;
	for (unsigned int i = 0; i < n; i++) {
		u32 type = records[i].header->type;
		u32 due = i == 0 ? VFMIG_RECORD_IDENTITY :
			  i == n - 1 ? VFMIG_RECORD_END :
			  i == n - 2 ? VFMIG_RECORD_STATE :
			  type == VFMIG_RECORD_HOLE ? VFMIG_RECORD_HOLE : VFMIG_RECORD_MEMORY;

		if (type != due)
			return false;
	}
	return true;
}

int stream_next(const struct blob *blob, size_t *pos, struct stream_record *record)
{
	struct vfmig_record *header = (void *)(blob->data + *pos);
	size_t left = blob->len - *pos;

	if (!left)
		return 0;
	if (left < sizeof(*header)) {
		note("record at %zu: stream ends in its header", *pos);
		return -1;
	}
	if (header->header_crc != crc32c(header, HEADER_CRC_BYTES)) {
		note("record at %zu: bad header CRC", *pos);
		return -1;
	}
	if (header->length > left - sizeof(*header)) {
		note("record at %zu: stream ends in its payload", *pos);
		return -1;
	}
	if (!payload_ok(header, header + 1)) {
		note("record at %zu: bad payload CRC", *pos);
		return -1;
	}
	record->offset = *pos;
	record->size = sizeof(*header) + header->length;
	record->header = header;
	record->payload = header + 1;
	*pos += record->size;
	return 1;
}

unsigned int stream_parse(const struct blob *blob, struct stream_record *records)
{
	size_t pos = 0;
	unsigned int n = 0;
	int more;

	while ((more = stream_next(blob, &pos, &records[n])) > 0) {
		if (++n == STREAM_MAX_RECORDS) {
			note("more than %u records", n - 1);
			return 0;
		}
	}
	if (more < 0)
		return 0;
	if (!order_ok(records, n)) {
		note("records are not in order");
		return 0;
	}
	return n;
}

/* One MEMORY or HOLE record, by the rules for both */
static bool replay_extent(const struct stream_record *record, u8 *medium, u64 size)
{
	const struct vfmig_extent *extent = record->payload;
	bool hole = record->header->type == VFMIG_RECORD_HOLE;
	u64 last = extent->offset + extent->length - 1;
	u64 data = record->header->length - sizeof(*extent);

	if (!extent->length || (extent->offset | extent->length) % VFMIG_GRANULE || last >= size ||
	    (!hole && extent->offset / VFMIG_MEMORY_MAX != last / VFMIG_MEMORY_MAX) ||
	    data != (hole ? 0 : extent->length)) {
		note("record at %zu: bad extent %#llx+%#llx", record->offset, extent->offset,
		     extent->length);
		return false;
	}
	if (hole)
		memset(medium + extent->offset, 0, extent->length);
	else
		memcpy(medium + extent->offset, extent + 1, extent->length);
	return true;
}

bool stream_same(const struct blob *a, const struct blob *b)
{
	struct stream_record ra, rb;
	size_t at_a = 0, at_b = 0;

	if (a->len != b->len)
		return false;
	while (at_a < a->len) {
		if (stream_next(a, &at_a, &ra) <= 0 || stream_next(b, &at_b, &rb) <= 0)
			return false;
		if (ra.size != rb.size || ra.header->type != rb.header->type)
			return false;
		if (ra.header->type != VFMIG_RECORD_STATE && memcmp(ra.header, rb.header, ra.size))
			return false;
	}
	return true;
}

bool stream_replay(const struct blob *blob, size_t *pos, u8 *medium, u64 size)
{
	struct stream_record record;
	int more;

	while ((more = stream_next(blob, pos, &record)) > 0) {
		u32 type = record.header->type;

		if (!record.offset && type != VFMIG_RECORD_IDENTITY) {
			note("the first record is no identity");
			return false;
		}
		if ((type == VFMIG_RECORD_MEMORY || type == VFMIG_RECORD_HOLE) &&
		    !replay_extent(&record, medium, size))
			return false;
	}
	return !more;
}

void stream_medium(struct vfio_dev *dev, u8 *medium, u64 size)
{
	struct blob blob = {};
	size_t pos = 0;

	mig_save(dev, &blob);
	memset(medium, 0, size);
	must(stream_replay(&blob, &pos, medium, size));
	blob_free(&blob);
}

struct stream_record *stream_find(struct stream_record *records, unsigned int n, u32 type)
{
	for (unsigned int i = 0; i < n; i++)
		if (records[i].header->type == type)
			return &records[i];
	return NULL;
}

void stream_seal(struct vfmig_record *record)
{
	record->payload_crc = 0;
	if (record->flags & VFMIG_RECORD_PAYLOAD_CRC)
		record->payload_crc = crc32c(record + 1, record->length);
	else if (record->type == VFMIG_RECORD_MEMORY)
		record->payload_crc = crc32c(record + 1, sizeof(struct vfmig_extent));
	record->header_crc = crc32c(record, HEADER_CRC_BYTES);
}

void stream_add(struct blob *blob, u32 type, u32 flags, const void *payload, size_t len)
{
	struct vfmig_record header = { .type = type, .flags = flags, .length = len };
	size_t at = blob->len;

	blob_append(blob, &header, sizeof(header));
	blob_append(blob, payload, len);
	stream_seal((void *)(blob->data + at));
}

void stream_add_memory(struct blob *blob, u64 offset, u64 length, u8 fill)
{
	static u8 payload[sizeof(struct vfmig_extent) + VFMIG_MEMORY_MAX];
	struct vfmig_extent extent = { .offset = offset, .length = length };

	must(length <= VFMIG_MEMORY_MAX);
	memcpy(payload, &extent, sizeof(extent));
	memset(payload + sizeof(extent), fill, length);
	stream_add(blob, VFMIG_RECORD_MEMORY, VFMIG_RECORD_MANDATORY, payload,
		   sizeof(extent) + length);
}

static unsigned int count_records(const struct blob *blob)
{
	unsigned int n = 0;
	size_t pos = 0;

	while (pos < blob->len) {
		pos += sizeof(struct vfmig_record) +
		       ((struct vfmig_record *)(blob->data + pos))->length;
		n++;
	}
	return n;
}

void stream_add_end(struct blob *blob)
{
	struct vfmig_end end = { .bytes = blob->len, .records = count_records(blob) };

	stream_add(blob, VFMIG_RECORD_END, BASE_FLAGS, &end, sizeof(end));
}

void stream_add_record(struct blob *blob, const struct stream_record *record)
{
	blob_append(blob, record->header, record->size);
}

void stream_insert(struct blob *out, const struct blob *in, unsigned int at,
		   const struct blob *record)
{
	static struct stream_record records[STREAM_MAX_RECORDS];
	unsigned int n = stream_parse(in, records);

	must(n && at < n);
	out->len = 0;
	for (unsigned int i = 0; i < n - 1; i++) {
		if (i == at)
			blob_append(out, record->data, record->len);
		stream_add_record(out, &records[i]);
	}
	if (at == n - 1)
		blob_append(out, record->data, record->len);
	stream_add_end(out);
}
