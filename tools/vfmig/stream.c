// SPDX-License-Identifier: GPL-2.0-only
/*
 * See stream.h.  The checks are those of drivers/vfio/pci/vfmig/load_parse.c, in its order and in
 * its words; those of a record's type and of a state are the drivers' own code.  What only the
 * destination itself knows is checked against another stream, if there is one.
 */
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "stream.h"

static const char *const type_names[STREAM_TYPES] = {
	[VFMIG_RECORD_IDENTITY] = "IDENTITY",
	[VFMIG_RECORD_MEMORY] = "MEMORY",
	[VFMIG_RECORD_HOLE] = "HOLE",
	[VFMIG_RECORD_STATE] = "STATE",
	[VFMIG_RECORD_END] = "END",
};

const char *stream_type_name(u32 type)
{
	return type < STREAM_TYPES ? type_names[type] : NULL;
}

bool stream_init(struct stream *stream, struct source *source)
{
	memset(stream, 0, sizeof(*stream));
	stream->source = source;
	stream->buf = malloc(STREAM_PAYLOAD_MAX);
	return stream->buf;
}

void stream_exit(struct stream *stream)
{
	free(stream->buf);
	free(stream->state);
}

static void note_problem(struct stream *stream, u64 where, const char *format, va_list args)
{
	struct stream_record *record = &stream->record;

	if (!record->problem[0])
		vsnprintf(record->problem, sizeof(record->problem), format, args);
	if (stream->refused)
		return;
	stream->refused = true;
	stream->where = record->offset + where;
	stream->where_file = record->file_offset + where;
	stream->where_record = record->number;
	memcpy(stream->reason, record->problem, sizeof(stream->reason));
}

/*
 * Something is wrong at byte @where of the record under way.  Returns whether to go on all the
 * same: only if that is asked for.
 */
static bool __printf(3, 4) problem(struct stream *stream, u64 where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note_problem(stream, where, format, args);
	va_end(args);
	return stream->keep_going;
}

/* The same where nothing behind it can make sense */
static bool __printf(3, 4) fatal(struct stream *stream, u64 where, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note_problem(stream, where, format, args);
	va_end(args);
	stream->over = true;
	return false;
}

/* @what of the record under way ends @got bytes behind @where */
static bool cut_short(struct stream *stream, u64 where, size_t got, const char *what)
{
	struct source *source = stream->source;

	if (source->error[0])
		return fatal(stream, where + got, "%s", source->error);
	if (source->in->error)
		return fatal(stream, where + got, "can't be read: %s",
			     strerror(source->in->error));
	return fatal(stream, where + got, "the stream ends in the %s of a record", what);
}

static bool check_header_crc(struct stream *stream, const struct vfmig_record *header)
{
	u32 crc = crc32c(0, header, offsetof(struct vfmig_record, header_crc));
	u32 claimed = le32toh(header->header_crc);

	if (crc == claimed)
		return true;
	if (!stream->records && le32toh(header->type) != VFMIG_RECORD_IDENTITY)
		return fatal(stream, 0,
			     "neither a migration stream of vfmig nor a migration file of QEMU");
	return fatal(stream, offsetof(struct vfmig_record, header_crc),
		     "bad header CRC: %#010x, not %#010x", claimed, crc);
}

static bool check_header(struct stream *stream)
{
	const struct stream_record *record = &stream->record;
	u32 type = record->type;
	u64 min, max;

	if (record->flags & ~VFMIG_RECORD_FLAGS &&
	    !problem(stream, offsetof(struct vfmig_record, flags), "unknown flags %#x",
		     record->flags))
		return false;
	if (!vfmig_type_known(type) && record->flags & VFMIG_RECORD_MANDATORY &&
	    !problem(stream, 0, "unknown mandatory record type %u", type))
		return false;
	if (!vfmig_type_due(stream->stage, type) &&
	    !problem(stream, 0, "record type %u out of order", type))
		return false;
	if (vfmig_type_needs_crc(type) && !(record->flags & VFMIG_RECORD_PAYLOAD_CRC) &&
	    !problem(stream, offsetof(struct vfmig_record, flags),
		     "record type %u without payload CRC", type))
		return false;
	vfmig_type_bounds(type, &min, &max);
	if (record->length < min || record->length > max)
		return fatal(stream, offsetof(struct vfmig_record, length),
			     "record type %u with %llu bytes, not %llu to %llu", type,
			     record->length, min, max);
	return true;
}

static const u8 *payload_of(const struct stream *stream)
{
	return stream->buf;
}

static bool check_payload_crc(struct stream *stream, u32 claimed)
{
	const struct stream_record *record = &stream->record;
	const u64 where = offsetof(struct vfmig_record, payload_crc);
	u32 crc;

	if (record->flags & VFMIG_RECORD_PAYLOAD_CRC) {
		crc = crc32c(0, payload_of(stream), record->length);
		return crc == claimed ||
		       problem(stream, where,
			       "bad payload CRC of record type %u: %#010x, not %#010x",
			       record->type, claimed, crc);
	}
	/* Version 1.0 has none there */
	if (record->type != VFMIG_RECORD_MEMORY || !stream->identity.version_minor)
		return true;
	crc = crc32c(0, payload_of(stream), sizeof(struct vfmig_extent));
	return crc == claimed ||
	       problem(stream, where, "bad CRC of an extent: %#010x, not %#010x", claimed, crc);
}

static void parse_identity(const struct stream *stream, struct stream_identity *id)
{
	struct vfmig_identity in;

	memcpy(&in, payload_of(stream), sizeof(in));
	*id = (struct stream_identity) {
		.magic = le64toh(in.magic),
		.version_major = le16toh(in.version_major),
		.version_minor = le16toh(in.version_minor),
		.granule = le32toh(in.granule),
		.model_version = le32toh(in.model_version),
		.model_data_length = le32toh(in.model_data_length),
		.memory_size = le64toh(in.memory_size),
		.data_length = stream->record.length - sizeof(in),
	};
	memcpy(id->data, payload_of(stream) + sizeof(in), id->data_length);
	memcpy(id->raw_model, in.model, sizeof(in.model));
	memcpy(id->model, in.model, sizeof(in.model));
	for (char *c = id->model; *c; c++)
		if (!isascii(*c) || !isprint(*c))
			*c = '?';
}

#define IN_IDENTITY(field)	\
	(sizeof(struct vfmig_record) + offsetof(struct vfmig_identity, field))

/* What any destination refuses */
static bool check_format(struct stream *stream, const struct stream_identity *id)
{
	if (id->magic != VFMIG_STREAM_MAGIC)
		return problem(stream, IN_IDENTITY(magic), "no vfmig stream: magic %#llx",
			       id->magic);
	if (id->version_major != VFMIG_STREAM_VERSION_MAJOR)
		return problem(stream, IN_IDENTITY(version_major), "format version %u, not %u",
			       id->version_major, VFMIG_STREAM_VERSION_MAJOR);
	if (id->granule != VFMIG_GRANULE)
		return problem(stream, IN_IDENTITY(granule), "granule of %u bytes, not %u",
			       id->granule, VFMIG_GRANULE);
	if (id->model_data_length != id->data_length)
		return problem(stream, IN_IDENTITY(model_data_length),
			       "%u bytes of model data in a record that has %u",
			       id->model_data_length, id->data_length);
	if (id->memory_size % VFMIG_GRANULE)
		return problem(stream, IN_IDENTITY(memory_size),
			       "%llu bytes of device memory, which are no whole granules",
			       id->memory_size);
	return true;
}

/* What a destination with a device of this model refuses */
static bool check_model(struct stream *stream, const struct stream_identity *id)
{
	const struct model *model = model_find(id->model);
	u32 version = id->model_version;
	const char *why;

	if (!model)
		return true;
	if (version > model->versions[1])
		return problem(stream, IN_IDENTITY(model_version),
			       "version %u of the device model, newer than %u", version,
			       model->versions[1]);
	if (version < model->versions[0])
		return problem(stream, IN_IDENTITY(model_version),
			       "its device is of a version that is not known here: %u", version);
	why = model->identity_check(id);
	return !why || problem(stream, IN_IDENTITY(model_data), "%s", why);
}

/* What a destination refuses that is like another device */
static bool check_like(struct stream *stream, const struct stream_identity *id)
{
	const struct stream_identity *own = stream->like;
	const struct model *model = model_find(id->model);
	const char *why = NULL;

	if (!own)
		return true;
	if (memcmp(id->raw_model, own->raw_model, sizeof(own->raw_model)))
		return problem(stream, IN_IDENTITY(model), "device model \"%s\", not \"%s\"",
			       id->model, own->model);
	if (id->model_version > own->model_version)
		return problem(stream, IN_IDENTITY(model_version),
			       "version %u of the device model, newer than %u",
			       id->model_version, own->model_version);
	/* The destination is resized when the source is */
	if (stream->stage == VFMIG_PARSE_IDENTITY && id->memory_size != own->memory_size)
		return problem(stream, IN_IDENTITY(memory_size),
			       "%llu bytes of device memory, not %llu",
			       id->memory_size, own->memory_size);
	if (model)
		why = model->like_check(id, own);
	else if (id->data_length != own->data_length ||
		 memcmp(id->data, own->data, own->data_length))
		why = "other model data";
	return !why || problem(stream, IN_IDENTITY(model_data), "%s", why);
}

static bool take_identity(struct stream *stream)
{
	struct stream_identity id;

	parse_identity(stream, &id);
	if (!check_format(stream, &id) || !check_model(stream, &id) || !check_like(stream, &id))
		return false;
	if (stream->stage == VFMIG_PARSE_IDENTITY)
		stream->first = id;
	else if (memcmp(id.raw_model, stream->identity.raw_model, sizeof(id.raw_model)) &&
		 !problem(stream, IN_IDENTITY(model), "device model \"%s\" after \"%s\"",
			  id.model, stream->identity.model))
		return false;
	/* What is kept of a state is sized for one model */
	if (stream->state_length && stream->model != model_find(id.model))
		return fatal(stream, IN_IDENTITY(model), "another device model after a state");
	stream->identity = id;
	stream->model = model_find(id.model);
	if (stream->stage < VFMIG_PARSE_BODY)
		stream->stage = VFMIG_PARSE_BODY;
	return true;
}

static bool take_extent(struct stream *stream)
{
	struct stream_record *record = &stream->record;
	u64 size = stream->identity.memory_size;
	struct vfmig_extent extent;
	u64 offset, length;

	memcpy(&extent, payload_of(stream), sizeof(extent));
	offset = le64toh(extent.offset);
	length = le64toh(extent.length);
	record->extent_offset = offset;
	record->extent_length = length;
	if (record->type == VFMIG_RECORD_MEMORY && length != record->length - sizeof(extent))
		return problem(stream, sizeof(struct vfmig_record) + sizeof(extent.offset),
			       "extent of %#llx bytes in a record of %#llx", length,
			       record->length);
	if (!length || (offset | length) % VFMIG_GRANULE || offset >= size ||
	    length > size - offset)
		return problem(stream, sizeof(struct vfmig_record),
			       "extent at %#llx of %#llx bytes in %#llx bytes of memory", offset,
			       length, size);
	if (record->type == VFMIG_RECORD_MEMORY)
		stream->memory_bytes += length;
	return true;
}

/* The state of a known model is kept, which bounds it */
static bool take_state(struct stream *stream)
{
	const struct stream_record *record = &stream->record;

	if (stream->model) {
		size_t max = stream->model->state_max;

		if (!stream->state)
			stream->state = malloc(max);
		if (!stream->state)
			return fatal(stream, 0, "no memory for the state");
		if (stream->state_length > max || record->length > max - stream->state_length)
			return problem(stream, sizeof(struct vfmig_record),
				       "bad device state: too long");
		memcpy(stream->state + stream->state_length, payload_of(stream), record->length);
	}
	stream->state_length += record->length;
	stream->state_crc = crc32c(stream->state_crc, payload_of(stream), record->length);
	if (stream->stage == VFMIG_PARSE_BODY)
		stream->stage = VFMIG_PARSE_STATE;
	return true;
}

const u8 *stream_state(const struct stream *stream, size_t *length)
{
	*length = stream->state_length;
	return stream->model && stream->state_length <= stream->model->state_max ?
	       stream->state : NULL;
}

static bool take_end(struct stream *stream)
{
	struct vfmig_end end;
	const char *why;
	size_t where = 0, length;
	const u8 *state;

	memcpy(&end, payload_of(stream), sizeof(end));
	stream->stage = VFMIG_PARSE_DONE;
	if ((le64toh(end.bytes) != stream->bytes || le64toh(end.records) != stream->records) &&
	    !problem(stream, sizeof(struct vfmig_record),
		     "closed after %llu bytes in %llu records, not %llu in %llu",
		     (u64)le64toh(end.bytes), (u64)le64toh(end.records), stream->bytes,
		     stream->records))
		return false;
	state = stream_state(stream, &length);
	if (!state)
		return true;
	why = stream->model->state_check(&stream->identity, state, length, &where);
	return !why ||
	       problem(stream, 0, "bad device state: %s, byte %zu of the state", why, where);
}

static bool take_payload(struct stream *stream)
{
	switch (stream->record.type) {
	case VFMIG_RECORD_IDENTITY:
		return take_identity(stream);
	case VFMIG_RECORD_MEMORY:
	case VFMIG_RECORD_HOLE:
		return take_extent(stream);
	case VFMIG_RECORD_STATE:
		return take_state(stream);
	case VFMIG_RECORD_END:
		return take_end(stream);
	default:
		return true;
	}
}

/* Nothing comes behind the last record, and something before it */
static bool at_end(struct stream *stream, size_t got)
{
	struct stream_record *record = &stream->record;

	if (stream->source->error[0] || stream->source->in->error)
		cut_short(stream, 0, got, "header");
	else if (stream->stage == VFMIG_PARSE_DONE && got)
		fatal(stream, 0, "more data after the closing record");
	else if (got)
		cut_short(stream, 0, got, "header");
	else if (!record->number)
		fatal(stream, 0, "nothing is there");
	else if (stream->stage != VFMIG_PARSE_DONE)
		fatal(stream, 0, "the stream ends without the closing record%s",
		      stream->source->qemu ? "; multifd's channels may have the rest" : "");
	stream->over = true;
	return false;
}

static bool read_header(struct stream *stream, struct vfmig_record *header)
{
	struct stream_record *record = &stream->record;
	size_t got;

	*record = (struct stream_record) {
		.number = stream->records,
		.offset = stream->bytes,
		.file_offset = source_offset(stream->source),
		.payload = stream->buf,
	};
	got = source_read(stream->source, header, sizeof(*header));
	if (got < sizeof(*header) || stream->stage == VFMIG_PARSE_DONE)
		return at_end(stream, got);
	record->type = le32toh(header->type);
	record->flags = le32toh(header->flags);
	record->length = le64toh(header->length);
	return check_header_crc(stream, header) && check_header(stream);
}

static bool read_payload(struct stream *stream, u32 payload_crc)
{
	const struct stream_record *record = &stream->record;
	size_t got;

	got = source_read(stream->source, stream->buf, record->length);
	if (got < record->length)
		return cut_short(stream, sizeof(struct vfmig_record), got, "payload");
	return check_payload_crc(stream, payload_crc) && take_payload(stream);
}

const struct stream_record *stream_next(struct stream *stream)
{
	struct stream_record *record = &stream->record;
	struct vfmig_record header;

	if (stream->over)
		return NULL;
	if (!read_header(stream, &header) || !read_payload(stream, le32toh(header.payload_crc))) {
		stream->over = true;
		return NULL;
	}
	stream->counts[vfmig_type_known(record->type) ? record->type : 0]++;
	stream->bytes += sizeof(header) + record->length;
	stream->records++;
	return record;
}
