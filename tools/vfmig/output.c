// SPDX-License-Identifier: GPL-2.0-only
/*
 * Messages, and results as JSON or for people.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "vfmigctl.h"

int fail(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("vfmigctl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

void *need(const void *pointer)
{
	if (!pointer) {
		fail("no memory");
		exit(EXIT_FAILED);
	}
	return (void *)pointer;
}

void print_json(struct json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
					    JSON_C_TO_STRING_SPACED |
					    JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

const char *size_text(u64 bytes, char *buf, size_t size)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = bytes;
	unsigned int unit = 0;

	while (value >= 1024 && unit < ARRAY_SIZE(units) - 1) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, size, unit && value != (u64)value ? "%.1f %s" : "%.0f %s", value,
		 units[unit]);
	return buf;
}

static void print_value(const char *key, struct json_object *value, unsigned int depth);

static void print_array(struct json_object *array, unsigned int depth)
{
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *value = json_object_array_get_idx(array, i);
		char key[24];

		snprintf(key, sizeof(key), "%zu", i);
		print_value(key, value, depth);
	}
}

static void print_value(const char *key, struct json_object *value, unsigned int depth)
{
	int indent = 2 * depth;

	switch (json_object_get_type(value)) {
	case json_type_object:
		printf("%*s%s\n", indent, "", key);
		print_members(value, depth + 1);
		break;
	case json_type_array:
		if (!json_object_array_length(value)) {
			printf("%*s%-*s none\n", indent, "", 24 - indent, key);
			break;
		}
		printf("%*s%s\n", indent, "", key);
		print_array(value, depth + 1);
		break;
	case json_type_null:
		printf("%*s%-*s -\n", indent, "", 24 - indent, key);
		break;
	default:
		printf("%*s%-*s %s\n", indent, "", 24 - indent, key,
		       json_object_get_string(value));
	}
}

void print_members(struct json_object *object, unsigned int depth)
{
	json_object_object_foreach(object, key, value)
		print_value(key, value, depth);
}
