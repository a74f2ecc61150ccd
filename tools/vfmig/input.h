/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file, a pipe or a piece of memory that is read from its beginning to its end, once,
 * through a buffer of fixed size.
 */
#ifndef VFMIGCTL_INPUT_H
#define VFMIGCTL_INPUT_H

#include "types.h"

#define INPUT_BUFFER	(256U << 10)
#define INPUT_BEHIND	512U		/* bytes before the position that stay readable */

/**
 * struct input - something to read from
 * @name: for messages
 * @fd: file descriptor, or -1
 * @mem: what to read if there is no file
 * @mem_left: bytes left of @mem
 * @error: errno of a read that failed, or 0
 * @offset: of the next byte, from the beginning
 * @begin: index of the next byte in @buf
 * @end: index behind the last byte in @buf
 * @buf: what was read
 */
struct input {
	const char *name;
	int fd;
	const u8 *mem;
	size_t mem_left;
	int error;
	u64 offset;
	size_t begin;
	size_t end;
	u8 buf[INPUT_BUFFER];
};

/* NULL, with errno set, if @name can't be opened.  "-" is standard input. */
struct input *input_open(const char *name);
struct input *input_from_memory(const void *mem, size_t size);
void input_close(struct input *in);

/* The next bytes, of which there are at least @want or all that are left; their number */
size_t input_peek(struct input *in, size_t want, const u8 **bytes);
/* Bytes before the next one, at most INPUT_BEHIND; their number */
size_t input_behind(const struct input *in, const u8 **bytes);
/* Moves on by bytes that input_peek() has shown */
void input_skip(struct input *in, size_t bytes);
/* Fewer bytes than @size at the end only */
size_t input_read(struct input *in, void *buf, size_t size);

#endif /* VFMIGCTL_INPUT_H */
