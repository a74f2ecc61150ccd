/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the commands of "vfmigctl stream" have in common.
 */
#ifndef VFMIGCTL_CMD_STREAM_H
#define VFMIGCTL_CMD_STREAM_H

#include "stream.h"
#include "vfmigctl.h"

/**
 * struct stream_file - a file that a stream is read from
 * @in: the file
 * @source: the stream's bytes
 * @stream: the stream
 */
struct stream_file {
	struct input *in;
	struct source source;
	struct stream stream;
};

/* --device, for parse_stream_option(), which takes @data for where the name goes */
#define DEVICE_OPTION	\
	{ "device", 'd', "NAME", 0, "Stream of this device of a QEMU file, 0000:00:05.0/vfio " \
	  "for example", 0 }

error_t parse_stream_option(int key, char *arg, struct argp_state *state, void *data);

/* stream_file.c */
/* False, with a message, if it can't be opened.  @device is a name in a file of QEMU, or NULL. */
bool open_stream(struct stream_file *file, const char *name, const char *device);
void close_stream(struct stream_file *file);

/* Says why the stream is refused; returns EXIT_FAILED */
int stream_refused(const struct stream_file *file);
/* The same as JSON, or that nothing is wrong */
struct json_object *describe_result(const struct stream_file *file);

struct json_object *describe_identity(const struct stream_identity *id);
/* After a record END without a problem: of a model that is known here, all that is in it */
struct json_object *describe_state(const struct stream *stream);
/* Identity, state, and how much there is of what, of a stream that was read to its end */
struct json_object *describe_stream(const struct stream *stream);

/* image.c: the disk that a stream has, in a sparse file */
int image_create(const char *dir);
/* 0 or -errno */
int image_apply(int fd, const struct stream *stream, const struct stream_record *record);
/* Reads the rest of @file into @fd; false, with a message, if that is not possible */
bool image_fill(int fd, struct stream_file *file);

#endif /* VFMIGCTL_CMD_STREAM_H */
