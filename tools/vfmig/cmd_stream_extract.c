// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl stream extract: the disk out of a stream, as a sparse raw image.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cmd_stream.h"
#include "model.h"

struct extract_options {
	const char *device;
	bool force;
};

static const struct argp_option extract_options[] = {
	DEVICE_OPTION,
	{ "force", 'f', NULL, 0, "Replace an image that exists", 0 },
	{ 0 }
};

static error_t parse_extract(int key, char *arg, struct argp_state *state, void *data)
{
	struct extract_options *own = data;

	if (key == 'f') {
		own->force = true;
		return 0;
	}
	return parse_stream_option(key, arg, state, &own->device);
}

/* A file beside @image, which it replaces when it is whole; its name is in @name */
static int create_beside(const char *image, char *name, size_t size)
{
	mode_t mask;
	int fd;

	if ((size_t)snprintf(name, size, "%s.XXXXXX", image) >= size) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(name, O_CLOEXEC);
	if (fd >= 0) {
		/* As any other file that is created */
		mask = umask(0);
		umask(mask);
		fchmod(fd, 0666 & ~mask);
	}
	return fd;
}

static int report(const struct stream_file *file, const char *image)
{
	u64 size = file->stream.identity.memory_size;
	struct json_object *out;

	if (options.json) {
		out = describe_result(file);
		json_object_object_add(out, "image", json_object_new_string(image));
		put_number(out, "size", size);
		print_json(out);
	}
	return EXIT_OK;
}

static int extract_to(struct stream_file *file, const char *image)
{
	char name[PATH_MAX];
	int fd, error = 0;

	fd = create_beside(image, name, sizeof(name));
	if (fd < 0)
		return fail("can't create %s: %s", image, strerror(errno));
	if (!image_fill(fd, file))
		goto err;
	if (!file->stream.first.memory_size && !file->stream.memory_bytes) {
		fail("%s: a %s has no disk", file->in->name, file->stream.identity.model);
		goto err;
	}
	if (fsync(fd) || rename(name, image))
		error = errno;
	if (error) {
		fail("can't write %s: %s", image, strerror(error));
		goto err;
	}
	close(fd);
	return report(file, image);

err:
	close(fd);
	unlink(name);
	return EXIT_FAILED;
}

static int run_extract(const struct command *command, int argc, char **argv)
{
	struct extract_options own = {};
	struct args args = {
		.min = 2,
		.max = 2,
		.option = parse_extract,
		.options = extract_options,
		.data = &own,
		.help = "\vIMAGE appears when the stream was read to its end and nothing was wrong "
			"with it.",
	};
	struct stream_file file;
	int ret;

	parse_args(command, &args, argc, argv);
	if (!own.force && !access(args.value[1], F_OK))
		return fail("%s exists; --force replaces it", args.value[1]);
	if (!open_stream(&file, args.value[0], own.device))
		return EXIT_FAILED;
	ret = extract_to(&file, args.value[1]);
	close_stream(&file);
	return ret;
}

const struct command extract_command = {
	.name = "extract",
	.args = "FILE IMAGE",
	.doc = "write the disk into a sparse image",
	.run = run_extract,
};
