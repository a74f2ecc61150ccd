// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl stream decode: what is in a stream, record by record.
 */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "cmd_stream.h"
#include "model.h"

static const struct argp_option decode_options[] = {
	DEVICE_OPTION,
	{ 0 }
};

static const char *type_text(const struct stream_record *record, char *buf, size_t size)
{
	const char *name = stream_type_name(record->type);

	if (name)
		return name;
	snprintf(buf, size, "type %u", record->type);
	return buf;
}

static struct json_object *describe_end(const struct stream_record *record)
{
	struct json_object *out = json_object_new_object();
	struct vfmig_end end;

	memcpy(&end, record->payload, sizeof(end));
	put_number(out, "bytes", le64toh(end.bytes));
	put_number(out, "records", le64toh(end.records));
	return out;
}

/* What is in a record, as members of @out */
static void describe_payload(const struct stream *stream, const struct stream_record *record,
			     struct json_object *out)
{
	const size_t extent = sizeof(struct vfmig_extent);

	if (record->type == VFMIG_RECORD_MEMORY)
		put_hex(out, "data_crc32c",
			crc32c(0, record->payload + extent, record->length - extent));
	switch (record->type) {
	case VFMIG_RECORD_IDENTITY:
		json_object_object_add(out, "identity", describe_identity(&stream->identity));
		break;
	case VFMIG_RECORD_MEMORY:
	case VFMIG_RECORD_HOLE:
		put_number(out, "extent_offset", record->extent_offset);
		put_number(out, "extent_length", record->extent_length);
		break;
	case VFMIG_RECORD_END:
		json_object_object_add(out, "end", describe_end(record));
		json_object_object_add(out, "state", describe_state(stream));
		break;
	default:
		put_hex(out, "data_crc32c", crc32c(0, record->payload, record->length));
	}
}

static struct json_object *describe_record(const struct stream_file *file,
					   const struct stream_record *record)
{
	struct json_object *out = json_object_new_object();
	char type[24];

	put_number(out, "record", record->number);
	put_number(out, "offset", record->offset);
	put_number(out, "file_offset", record->file_offset);
	json_object_object_add(out, "type",
			       json_object_new_string(type_text(record, type, sizeof(type))));
	put_number(out, "length", record->length);
	json_object_object_add(out, "mandatory",
			       json_object_new_boolean(record->flags & VFMIG_RECORD_MANDATORY));
	json_object_object_add(out, "payload_crc",
			       json_object_new_boolean(record->flags & VFMIG_RECORD_PAYLOAD_CRC));
	describe_payload(&file->stream, record, out);
	if (record->problem[0])
		json_object_object_add(out, "problem", json_object_new_string(record->problem));
	return out;
}

/* A record at a time, so that a long stream needs no more memory than a short one */
static void decode_json(struct stream_file *file)
{
	const int flags = JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE;
	const struct stream_record *record;
	struct json_object *out;
	bool first = true;

	puts("{ \"records\": [");
	while ((record = stream_next(&file->stream))) {
		out = describe_record(file, record);
		printf("%s%s", first ? "" : ",\n", json_object_to_json_string_ext(out, flags));
		json_object_put(out);
		first = false;
	}
	out = describe_result(file);
	printf("\n], \"result\": %s }\n", json_object_to_json_string_ext(out, flags));
	json_object_put(out);
}

static void print_details(const struct stream *stream, const struct stream_record *record)
{
	struct json_object *out;

	if (record->type == VFMIG_RECORD_IDENTITY) {
		out = describe_identity(&stream->identity);
	} else if (record->type == VFMIG_RECORD_END) {
		out = json_object_new_object();
		json_object_object_add(out, "state", describe_state(stream));
	} else {
		return;
	}
	print_members(out, 4);
	json_object_put(out);
}

static void print_summary(const struct stream_record *record)
{
	struct vfmig_end end;

	switch (record->type) {
	case VFMIG_RECORD_MEMORY:
	case VFMIG_RECORD_HOLE:
		printf("  %#llx + %#llx", record->extent_offset, record->extent_length);
		break;
	case VFMIG_RECORD_END:
		memcpy(&end, record->payload, sizeof(end));
		printf("  after %llu bytes in %llu records", (u64)le64toh(end.bytes),
		       (u64)le64toh(end.records));
	}
	if (record->flags & VFMIG_RECORD_PAYLOAD_CRC && record->type == VFMIG_RECORD_MEMORY)
		printf(", CRC of the data");
	if (!stream_type_name(record->type))
		printf("  is skipped");
}

static void decode_text(struct stream_file *file)
{
	const struct stream_record *record;

	printf("%8s %12s %9s  %s\n", "RECORD", file->source.qemu ? "IN FILE" : "OFFSET", "LENGTH",
	       "TYPE");
	while ((record = stream_next(&file->stream))) {
		char type[24];

		printf("%8llu %#12llx %9llu  %s", record->number, record->file_offset,
		       record->length, type_text(record, type, sizeof(type)));
		print_summary(record);
		putchar('\n');
		if (record->problem[0])
			printf("%8s %s\n", "WRONG:", record->problem);
		print_details(&file->stream, record);
	}
}

static int run_decode(const struct command *command, int argc, char **argv)
{
	const char *device = NULL;
	struct args args = {
		.min = 1,
		.max = 1,
		.option = parse_stream_option,
		.options = decode_options,
		.data = &device,
		.help = "\vGoes on behind a record that is wrong, as long as it is known where the "
			"next one begins.",
	};
	struct stream_file file;
	int ret = EXIT_OK;

	parse_args(command, &args, argc, argv);
	if (!open_stream(&file, args.value[0], device))
		return EXIT_FAILED;
	file.stream.keep_going = true;
	if (options.json)
		decode_json(&file);
	else
		decode_text(&file);
	if (file.stream.refused)
		ret = stream_refused(&file);
	close_stream(&file);
	return ret;
}

const struct command decode_command = {
	.name = "decode",
	.args = "FILE",
	.doc = "show what is in it, record by record",
	.run = run_decode,
};
