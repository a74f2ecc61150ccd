// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration stream in a file that QEMU wrote: a snapshot ("migrate file:..."), or what went
 * over a socket.
 *
 * Such a file is a sequence of sections without a length, and only QEMU knows where the
 * sections of guest memory end.  So this looks for the sections of VFIO devices.  All words that
 * QEMU's VFIO code writes begin with the same seven bytes.  What comes before them must be the
 * header of a section: the first one of a device has its name, later ones have its number.
 * Numbers are big-endian.  A section holds such words, and after DATA a length and as
 * many bytes of the stream.
 */
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source.h"

#define QEMU_MAGIC		"QEVM"
#define QEMU_SECTION_START	1
#define QEMU_SECTION_PART	2
#define QEMU_SECTION_END	3

#define VFIO_PREFIX		"\xff\xff\xff\xff\xef\x10\x00"
#define VFIO_PREFIX_LEN		7U
#define VFIO_WORD		8U

/* The last byte of a word */
enum vfio_word {
	VFIO_END_OF_STATE = 1,
	VFIO_CONFIG_STATE = 2,
	VFIO_SETUP_STATE = 3,
	VFIO_DATA_STATE = 4,
	VFIO_INIT_DATA_SENT = 5,
	VFIO_CONFIG_LOAD_READY = 6,
};

#define PART_HEADER		5U	/* type, number */
#define START_FIXED		6U	/* type, number, length of the name */
#define START_TRAILER		8U	/* instance and version, behind the name */
#define NAME_SUFFIX		"/vfio"

bool qemu_is_file(struct input *in)
{
	const u8 *bytes;

	return input_peek(in, 4, &bytes) >= 4 && !memcmp(bytes, QEMU_MAGIC, 4);
}

static u32 get_be32(const u8 *bytes)
{
	u32 value;

	memcpy(&value, bytes, sizeof(value));
	return be32toh(value);
}

static bool name_valid(const u8 *name, size_t len)
{
	const size_t suffix = sizeof(NAME_SUFFIX) - 1;

	if (len < suffix || memcmp(name + len - suffix, NAME_SUFFIX, suffix))
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return true;
}

/* Is the first section of a device before @end?  @len bytes are readable there. */
static bool find_start(const u8 *end, size_t len, struct source_device *device)
{
	for (size_t name = 1; name + START_FIXED + START_TRAILER <= len && name < SOURCE_NAME;
	     name++) {
		const u8 *begin = end - START_TRAILER - name - START_FIXED;

		if (begin[0] != QEMU_SECTION_START || begin[5] != name ||
		    !name_valid(begin + START_FIXED, name))
			continue;
		device->section = get_be32(begin + 1);
		memcpy(device->name, begin + START_FIXED, name);
		device->name[name] = '\0';
		return true;
	}
	return false;
}

/* All devices come before the data of any */
static void list_devices(struct source *source, const char *problem)
{
	int used = snprintf(source->error, sizeof(source->error), "%s", problem);

	for (unsigned int i = 0; i < source->nr_devices; i++) {
		if (used < 0 || (size_t)used >= sizeof(source->error))
			return;
		used += snprintf(source->error + used, sizeof(source->error) - used, "%s %s",
				 i ? "," : "", source->devices[i].name);
	}
}

static void add_device(struct source *source, const struct source_device *device)
{
	if (source->nr_devices == SOURCE_DEVICES) {
		snprintf(source->error, sizeof(source->error), "more than %u VFIO devices",
			 SOURCE_DEVICES);
		return;
	}
	source->devices[source->nr_devices] = *device;
	if (source->wanted ? !strcmp(source->wanted, device->name) : !source->nr_devices)
		source->chosen = source->nr_devices;
	source->nr_devices++;
	if (!source->wanted && source->nr_devices > 1)
		list_devices(source, "there are several devices, and --device has to choose one:");
}

/* A word comes next.  Is it the first one of a section of ours?  Learns of devices. */
static bool begins_section(struct source *source)
{
	struct source_device device;
	const u8 *behind, *end;
	size_t len;

	len = input_behind(source->in, &behind);
	end = behind + len;
	if (find_start(end, len, &device)) {
		add_device(source, &device);
		return source->chosen == (int)source->nr_devices - 1;
	}
	if (source->chosen < 0 || len < PART_HEADER)
		return false;
	end -= PART_HEADER;
	return (end[0] == QEMU_SECTION_PART || end[0] == QEMU_SECTION_END) &&
	       get_be32(end + 1) == source->devices[source->chosen].section;
}

/* Gets to the next word that begins a section of the device; false at the end */
static bool find_section(struct source *source)
{
	while (!source->error[0]) {
		const u8 *bytes, *found;
		size_t len = input_peek(source->in, VFIO_WORD, &bytes);

		if (len < VFIO_WORD)
			return false;
		found = memmem(bytes, len, VFIO_PREFIX, VFIO_PREFIX_LEN);
		if (!found) {
			input_skip(source->in, len - (VFIO_PREFIX_LEN - 1));
			continue;
		}
		input_skip(source->in, found - bytes);
		if (begins_section(source))
			return !source->error[0];
		input_skip(source->in, 1);
	}
	return false;
}

static void bad_section(struct source *source, const char *problem)
{
	snprintf(source->error, sizeof(source->error), "byte %llu of the file: %s %s",
		 source->in->offset, problem, source->devices[source->chosen].name);
}

void qemu_data_ends(struct source *source)
{
	if (!source->in->error)
		bad_section(source, "the file ends in the data of");
}

static void take_length(struct source *source)
{
	u64 length;

	if (input_read(source->in, &length, sizeof(length)) < sizeof(length))
		qemu_data_ends(source);
	else
		source->left = be64toh(length);
}

/* Takes the next word of a section */
static void take_word(struct source *source)
{
	const u8 *bytes;

	if (input_peek(source->in, VFIO_WORD, &bytes) < VFIO_WORD) {
		bad_section(source, "the file ends in a section of");
		return;
	}
	if (memcmp(bytes, VFIO_PREFIX, VFIO_PREFIX_LEN)) {
		bad_section(source, "something unknown in a section of");
		return;
	}
	switch (bytes[VFIO_PREFIX_LEN]) {
	case VFIO_DATA_STATE:
		input_skip(source->in, VFIO_WORD);
		take_length(source);
		return;
	case VFIO_SETUP_STATE:
		input_skip(source->in, VFIO_WORD);
		return;
	case VFIO_END_OF_STATE:
	case VFIO_INIT_DATA_SENT:
	case VFIO_CONFIG_LOAD_READY:
	case VFIO_CONFIG_STATE:
		input_skip(source->in, VFIO_WORD);
		source->in_section = false;
		return;
	default:
		bad_section(source, "an unknown flag in a section of");
	}
}

static void check_chosen(struct source *source)
{
	if (source->chosen >= 0 || source->error[0])
		return;
	if (!source->nr_devices)
		list_devices(source, "a file of QEMU without a VFIO device");
	else
		list_devices(source, "no device of that name in the file, but");
}

bool qemu_find(struct source *source)
{
	while (!source->left && !source->error[0]) {
		if (!source->in_section) {
			if (!find_section(source)) {
				check_chosen(source);
				return false;
			}
			source->in_section = true;
		}
		take_word(source);
	}
	return !source->error[0];
}
