// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl stream diff: two streams side by side.  Of disks the contents count, not in which
 * records and which order they came.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cmd_stream.h"
#include "model.h"

#define COLUMN	28

struct diff_options {
	const char *device;
	bool all;
};

static const struct argp_option diff_options[] = {
	DEVICE_OPTION,
	{ "all", 'a', NULL, 0, "Also show what is the same", 0 },
	{ 0 }
};

static error_t parse_diff(int key, char *arg, struct argp_state *state, void *data)
{
	struct diff_options *own = data;

	if (key == 'a') {
		own->all = true;
		return 0;
	}
	return parse_stream_option(key, arg, state, &own->device);
}

/**
 * struct diff - what is compared
 * @all: also show what is the same
 * @differs: something differs
 * @values: rows, as JSON
 * @extents: extents of the disks that differ, as JSON
 */
struct diff {
	bool all;
	bool differs;
	struct json_object *values;
	struct json_object *extents;
};

static const char *text_of(struct json_object *value)
{
	return value ? json_object_get_string(value) : "-";
}

static void add_row(struct diff *diff, const char *name, struct json_object *a,
		    struct json_object *b)
{
	bool same = json_object_equal(a, b);
	struct json_object *row;

	if (!same)
		diff->differs = true;
	if (same && !diff->all)
		return;
	if (!options.json) {
		printf("%c %-*s %-*s %s\n", same ? ' ' : '!', COLUMN, name, COLUMN, text_of(a),
		       text_of(b));
		return;
	}
	row = json_object_new_object();
	json_object_object_add(row, "name", json_object_new_string(name));
	json_object_object_add(row, "a", json_object_get(a));
	json_object_object_add(row, "b", json_object_get(b));
	json_object_object_add(row, "same", json_object_new_boolean(same));
	json_object_array_add(diff->values, row);
}

static void compare(struct diff *diff, const char *name, struct json_object *a,
		    struct json_object *b);

static bool is_a(struct json_object *a, struct json_object *b, enum json_type type)
{
	return (a || b) && (!a || json_object_is_type(a, type)) &&
	       (!b || json_object_is_type(b, type));
}

static void compare_objects(struct diff *diff, const char *name, struct json_object *a,
			    struct json_object *b)
{
	char path[128];

	if (a) {
		json_object_object_foreach(a, key, value) {
			snprintf(path, sizeof(path), "%s%s%s", name, *name ? "." : "", key);
			compare(diff, path, value, b ? json_object_object_get(b, key) : NULL);
		}
	}
	if (b) {
		json_object_object_foreach(b, key, value) {
			if (a && json_object_object_get_ex(a, key, NULL))
				continue;
			snprintf(path, sizeof(path), "%s%s%s", name, *name ? "." : "", key);
			compare(diff, path, NULL, value);
		}
	}
}

static void compare_arrays(struct diff *diff, const char *name, struct json_object *a,
			   struct json_object *b)
{
	size_t na = a ? json_object_array_length(a) : 0;
	size_t nb = b ? json_object_array_length(b) : 0;
	char path[128];

	for (size_t i = 0; i < na || i < nb; i++) {
		snprintf(path, sizeof(path), "%s.%zu", name, i);
		compare(diff, path, i < na ? json_object_array_get_idx(a, i) : NULL,
			i < nb ? json_object_array_get_idx(b, i) : NULL);
	}
}

static void compare(struct diff *diff, const char *name, struct json_object *a,
		    struct json_object *b)
{
	if (is_a(a, b, json_type_object))
		compare_objects(diff, name, a, b);
	else if (is_a(a, b, json_type_array))
		compare_arrays(diff, name, a, b);
	else
		add_row(diff, name, a, b);
}

static void add_extent(struct diff *diff, u64 offset, u64 length)
{
	struct json_object *extent;

	diff->differs = true;
	if (!options.json) {
		printf("! disk at %#llx: %llu bytes\n", offset, length);
		return;
	}
	extent = json_object_new_object();
	put_number(extent, "offset", offset);
	put_number(extent, "length", length);
	json_object_array_add(diff->extents, extent);
}

/* Where either has data from @offset on; -1 if neither has, -2 on an error */
static off_t next_data(const int *fd, off_t offset)
{
	off_t next = -1;

	for (unsigned int i = 0; i < 2; i++) {
		off_t at = lseek(fd[i], offset, SEEK_DATA);

		if (at < 0 && errno != ENXIO)
			return -2;
		if (at >= 0 && (next < 0 || at < next))
			next = at;
	}
	return next < 0 ? next : next - next % VFMIG_GRANULE;
}

static bool granule_differs(const int *fd, off_t offset)
{
	u8 data[2][VFMIG_GRANULE] = {};

	for (unsigned int i = 0; i < 2; i++)
		if (pread(fd[i], data[i], VFMIG_GRANULE, offset) < 0)
			return true;
	return memcmp(data[0], data[1], VFMIG_GRANULE);
}

/* Adjacent granules that differ are one extent */
static bool compare_disks(struct diff *diff, const int *fd)
{
	off_t offset = 0, begin = -1;

	for (;;) {
		off_t next = next_data(fd, offset);

		if (next == -2)
			return false;
		if (begin >= 0 && next != offset) {
			add_extent(diff, begin, offset - begin);
			begin = -1;
		}
		if (next < 0)
			return true;
		if (granule_differs(fd, next)) {
			if (begin < 0)
				begin = next;
		} else if (begin >= 0) {
			add_extent(diff, begin, next - begin);
			begin = -1;
		}
		offset = next + VFMIG_GRANULE;
	}
}

/* Reads a stream whole: its disk into a file without a name, the rest as JSON */
static bool read_stream(const char *name, const char *device, int *fd, struct json_object **out)
{
	const char *dir = getenv("TMPDIR");
	struct stream_file file;
	bool ok;

	if (!open_stream(&file, name, device))
		return false;
	*fd = image_create(dir ? dir : "/var/tmp");
	ok = *fd >= 0;
	if (ok)
		ok = image_fill(*fd, &file);
	else
		fail("can't create a file in %s: %s", dir ? dir : "/var/tmp", strerror(errno));
	if (ok)
		*out = describe_stream(&file.stream);
	close_stream(&file);
	return ok;
}

static int diff_streams(struct diff *diff, char **names, struct json_object **streams,
			const int *fd)
{
	struct json_object *out;

	if (!options.json)
		printf("  %-*s %-*s %s\n", COLUMN, "", COLUMN, names[0], names[1]);
	compare(diff, "", streams[0], streams[1]);
	if (!compare_disks(diff, fd))
		return fail("can't compare the disks: %s", strerror(errno));
	if (options.json) {
		out = json_object_new_object();
		json_object_object_add(out, "same", json_object_new_boolean(!diff->differs));
		json_object_object_add(out, "values", json_object_get(diff->values));
		json_object_object_add(out, "disk", json_object_get(diff->extents));
		print_json(out);
	}
	return diff->differs ? EXIT_FAILED : EXIT_OK;
}

static int run_diff(const struct command *command, int argc, char **argv)
{
	struct diff_options own = {};
	struct args args = {
		.min = 2,
		.max = 2,
		.option = parse_diff,
		.options = diff_options,
		.data = &own,
		.help = "\vShows what differs in identity, state, numbers of records, and on the "
			"disks.  The exit status is 1 if anything does.",
	};
	struct json_object *streams[2] = {};
	int fd[2] = { -1, -1 }, ret = EXIT_FAILED;
	struct diff diff = {};

	parse_args(command, &args, argc, argv);
	diff.all = own.all;
	diff.values = json_object_new_array();
	diff.extents = json_object_new_array();
	if (read_stream(args.value[0], own.device, &fd[0], &streams[0]) &&
	    read_stream(args.value[1], own.device, &fd[1], &streams[1]))
		ret = diff_streams(&diff, args.value, streams, fd);
	for (unsigned int i = 0; i < 2; i++) {
		if (fd[i] >= 0)
			close(fd[i]);
		json_object_put(streams[i]);
	}
	json_object_put(diff.values);
	json_object_put(diff.extents);
	return ret;
}

const struct command diff_command = {
	.name = "diff",
	.args = "FILE FILE",
	.doc = "show two side by side",
	.run = run_diff,
};
