/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the bytes of a migration stream come from: a file that is one, or a file of QEMU that
 * has one in it.
 */
#ifndef VFMIGCTL_SOURCE_H
#define VFMIGCTL_SOURCE_H

#include "input.h"

#define SOURCE_DEVICES	16U		/* VFIO devices in a file of QEMU */
#define SOURCE_NAME	256U		/* bytes of the name of one, with its end */

/**
 * struct source_device - a VFIO device in a file of QEMU
 * @name: its name there, "0000:00:05.0/vfio" for example
 * @section: number of its section
 */
struct source_device {
	char name[SOURCE_NAME];
	u32 section;
};

/**
 * struct source - the bytes of a stream
 * @in: the file
 * @qemu: it is one of QEMU
 * @wanted: device whose stream is wanted, or NULL if there is one
 * @chosen: that device in @devices, or -1
 * @nr_devices: devices that were seen so far
 * @devices: these
 * @left: bytes left of the piece under way
 * @in_section: a flag of QEMU's VFIO code comes next
 * @error: what is wrong with the file, or ""
 */
struct source {
	struct input *in;
	bool qemu;
	const char *wanted;
	int chosen;
	unsigned int nr_devices;
	struct source_device devices[SOURCE_DEVICES];
	u64 left;
	bool in_section;
	char error[512];
};

/* Looks at the beginning of @in, which stays the caller's */
void source_init(struct source *source, struct input *in, const char *wanted);

/* Fewer bytes than @size at the end of the stream only, or where @error says so */
size_t source_read(struct source *source, void *buf, size_t size);

/* The byte of the file that the next byte of the stream is */
u64 source_offset(struct source *source);

/* qemu.c */
bool qemu_is_file(struct input *in);
/* Gets to the next byte of the stream; false at its end */
bool qemu_find(struct source *source);
/* The file ends before a piece of the stream does: sets the error */
void qemu_data_ends(struct source *source);

#endif /* VFMIGCTL_SOURCE_H */
