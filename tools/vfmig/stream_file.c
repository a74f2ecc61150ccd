// SPDX-License-Identifier: GPL-2.0-only
/*
 * A file with a stream, and what is said about it: messages, and descriptions as JSON.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "cmd_stream.h"
#include "model.h"

bool open_stream(struct stream_file *file, const char *name, const char *device)
{
	file->in = input_open(name);
	if (!file->in) {
		fail("can't open %s: %s", name, strerror(errno));
		return false;
	}
	source_init(&file->source, file->in, device);
	if (!stream_init(&file->stream, &file->source))
		need(NULL);
	return true;
}

void close_stream(struct stream_file *file)
{
	stream_exit(&file->stream);
	input_close(file->in);
}

int stream_refused(const struct stream_file *file)
{
	const struct stream *stream = &file->stream;

	if (file->source.qemu)
		return fail("%s: refused at record %llu, byte %llu (%llu of the file): %s",
			    file->in->name, stream->where_record, stream->where,
			    stream->where_file, stream->reason);
	return fail("%s: refused at record %llu, byte %llu: %s", file->in->name,
		    stream->where_record, stream->where, stream->reason);
}

struct json_object *describe_result(const struct stream_file *file)
{
	const struct stream *stream = &file->stream;
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, "file", json_object_new_string(file->in->name));
	json_object_object_add(out, "accepted", json_object_new_boolean(!stream->refused));
	if (stream->refused) {
		put_number(out, "record", stream->where_record);
		put_number(out, "offset", stream->where);
		put_number(out, "file_offset", stream->where_file);
		json_object_object_add(out, "reason", json_object_new_string(stream->reason));
	}
	return out;
}

struct json_object *describe_identity(const struct stream_identity *id)
{
	struct json_object *out = json_object_new_object();
	const struct model *model = model_find(id->model);
	char version[16];

	json_object_object_add(out, "model", json_object_new_string(id->model));
	put_number(out, "model_version", id->model_version);
	snprintf(version, sizeof(version), "%u.%u", id->version_major,
		 id->version_minor);
	json_object_object_add(out, "format", json_object_new_string(version));
	put_number(out, "memory_size", id->memory_size);
	if (model && !model->identity_check(id))
		model->describe_identity(id, out);
	else if (id->data_length)
		put_bytes(out, "model_data", id->data, id->data_length);
	return out;
}

struct json_object *describe_state(const struct stream *stream)
{
	struct json_object *out = json_object_new_object();
	size_t length, where;
	const u8 *state = stream_state(stream, &length);

	put_number(out, "length", stream->state_length);
	put_hex(out, "crc32c", stream->state_crc);
	if (state && !stream->model->state_check(&stream->identity, state, length, &where))
		stream->model->describe_state(state, length, out);
	return out;
}

struct json_object *describe_stream(const struct stream *stream)
{
	struct json_object *out = json_object_new_object(), *records = json_object_new_object();

	json_object_object_add(out, "identity", describe_identity(&stream->identity));
	json_object_object_add(out, "state", describe_state(stream));
	for (u32 type = VFMIG_RECORD_IDENTITY; type < STREAM_TYPES; type++)
		put_number(records, stream_type_name(type), stream->counts[type]);
	put_number(records, "unknown", stream->counts[0]);
	json_object_object_add(out, "records", records);
	put_number(out, "memory_bytes", stream->memory_bytes);
	put_number(out, "bytes", stream->bytes);
	return out;
}
