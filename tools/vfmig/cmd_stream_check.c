// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl stream check: would a destination take this stream?
 */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "cmd_stream.h"

struct check_options {
	const char *device;
	const char *like;
};

static const struct argp_option check_options[] = {
	DEVICE_OPTION,
	{ "like", 'l', "FILE", 0,
	  "The destination is like the device that wrote this other stream", 0 },
	{ 0 }
};

static error_t parse_check(int key, char *arg, struct argp_state *state, void *data)
{
	struct check_options *own = data;

	if (key == 'l') {
		own->like = arg;
		return 0;
	}
	return parse_stream_option(key, arg, state, &own->device);
}

/* The identity of a device is in the first record */
static bool read_like(const char *name, struct stream_identity *like)
{
	struct stream_file file;
	bool ok;

	if (!open_stream(&file, name, NULL))
		return false;
	ok = stream_next(&file.stream);
	if (ok)
		*like = file.stream.identity;
	else
		stream_refused(&file);
	close_stream(&file);
	return ok;
}

static int report(const struct stream_file *file)
{
	const struct stream *stream = &file->stream;
	char memory[SIZE_TEXT];

	if (options.json) {
		struct json_object *out = describe_result(file);

		if (!stream->refused)
			json_object_object_add(out, "stream", describe_stream(stream));
		print_json(out);
		return stream->refused ? EXIT_FAILED : EXIT_OK;
	}
	if (stream->refused)
		return stream_refused(file);
	printf("%s: whole and right: %s, %llu records, %llu bytes, %s of memory data%s\n",
	       file->in->name, stream->identity.model, stream->records, stream->bytes,
	       size_text(stream->memory_bytes, memory, sizeof(memory)),
	       stream->model ? "" : "; the model and its state are not known here");
	return EXIT_OK;
}

static int run_check(const struct command *command, int argc, char **argv)
{
	struct check_options own = {};
	struct args args = {
		.min = 1,
		.max = 1,
		.option = parse_check,
		.options = check_options,
		.data = &own,
		.help = "\vMakes all the checks that a destination makes.  What only a certain "
			"destination knows, its size and digest for example, is checked with "
			"--like.",
	};
	struct stream_identity like;
	struct stream_file file;
	int ret;

	parse_args(command, &args, argc, argv);
	if (own.like && !read_like(own.like, &like))
		return EXIT_FAILED;
	if (!open_stream(&file, args.value[0], own.device))
		return EXIT_FAILED;
	file.stream.like = own.like ? &like : NULL;
	while (stream_next(&file.stream))
		;
	ret = report(&file);
	close_stream(&file);
	return ret;
}

const struct command check_command = {
	.name = "check",
	.args = "FILE",
	.doc = "check all that a destination does",
	.run = run_check,
};
