// SPDX-License-Identifier: GPL-2.0-only
/*
 * See input.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "input.h"

static struct input *new_input(const char *name, int fd)
{
	struct input *in = malloc(sizeof(*in));

	if (!in)
		return NULL;
	in->name = name;
	in->fd = fd;
	in->mem = NULL;
	in->mem_left = 0;
	in->error = 0;
	in->offset = 0;
	in->begin = 0;
	in->end = 0;
	return in;
}

struct input *input_open(const char *name)
{
	bool standard = !strcmp(name, "-");
	struct input *in;
	int fd;

	fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	in = new_input(standard ? "standard input" : name, fd);
	if (!in && !standard)
		close(fd);
	return in;
}

struct input *input_from_memory(const void *mem, size_t size)
{
	struct input *in = new_input("memory", -1);

	if (in) {
		in->mem = mem;
		in->mem_left = size;
	}
	return in;
}

void input_close(struct input *in)
{
	if (in && in->fd > STDIN_FILENO)
		close(in->fd);
	free(in);
}

static ssize_t read_some(struct input *in, void *buf, size_t size)
{
	ssize_t ret;

	if (in->fd >= 0) {
		do
			ret = read(in->fd, buf, size);
		while (ret < 0 && errno == EINTR);
		return ret;
	}
	if (size > in->mem_left)
		size = in->mem_left;
	if (size)
		memcpy(buf, in->mem, size);
	in->mem += size;
	in->mem_left -= size;
	return size;
}

/* Makes room behind what is there, and keeps what input_behind() is for */
static void move_to_front(struct input *in)
{
	size_t from = in->begin > INPUT_BEHIND ? in->begin - INPUT_BEHIND : 0;

	memmove(in->buf, in->buf + from, in->end - from);
	in->begin -= from;
	in->end -= from;
}

size_t input_peek(struct input *in, size_t want, const u8 **bytes)
{
	if (in->end - in->begin < want && INPUT_BUFFER - in->begin < want)
		move_to_front(in);
	while (in->end - in->begin < want && !in->error) {
		ssize_t ret = read_some(in, in->buf + in->end, INPUT_BUFFER - in->end);

		if (ret < 0)
			in->error = errno;
		if (ret <= 0)
			break;
		in->end += ret;
	}
	*bytes = in->buf + in->begin;
	return in->end - in->begin;
}

size_t input_behind(const struct input *in, const u8 **bytes)
{
	size_t behind = in->begin > INPUT_BEHIND ? INPUT_BEHIND : in->begin;

	*bytes = in->buf + in->begin - behind;
	return behind;
}

void input_skip(struct input *in, size_t bytes)
{
	in->begin += bytes;
	in->offset += bytes;
}

size_t input_read(struct input *in, void *buf, size_t size)
{
	size_t done = 0;

	while (done < size) {
		const u8 *bytes;
		size_t n = input_peek(in, 1, &bytes);

		if (!n)
			break;
		if (n > size - done)
			n = size - done;
		memcpy((u8 *)buf + done, bytes, n);
		input_skip(in, n);
		done += n;
	}
	return done;
}
