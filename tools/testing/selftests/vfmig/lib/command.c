// SPDX-License-Identifier: GPL-2.0-only
/* See command.h */
#include "command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND_DIR	"/sys/kernel/debug/" VF_DRIVER

const char *command_path(const char *bdf, const char *file)
{
	static _Thread_local char path[PATH_SIZE];

	snprintf(path, sizeof(path), COMMAND_DIR "/%s/%s", bdf, file);
	return path;
}

static int try_line(const char *bdf, const char *fmt, va_list args)
{
	char line[1024];

	must(vsnprintf(line, sizeof(line), fmt, args) < (int)sizeof(line));
	return file_write(command_path(bdf, "faults"), line);
}

int command_try(const char *bdf, const char *fmt, ...)
{
	va_list args;
	int err;

	va_start(args, fmt);
	err = try_line(bdf, fmt, args);
	va_end(args);
	return err;
}

const char *command_list(const char *bdf)
{
	static char list[16384];

	must(!file_read(command_path(bdf, "faults"), list, sizeof(list)));
	return list;
}

const char *command_error(const char *bdf)
{
	static char why[512];

	must(!file_read(command_path(bdf, "fault_error"), why, sizeof(why)));
	return why;
}

unsigned int command(const char *bdf, const char *fmt, ...)
{
	const char *list, *last;
	va_list args;
	int err;

	va_start(args, fmt);
	err = try_line(bdf, fmt, args);
	va_end(args);
	if (err)
		fail(__FILE__, __LINE__, "\"%s\" refused: %s", fmt, command_error(bdf));
	list = command_list(bdf);
	last = strrchr(list, '\n');
	return strtoul(last ? last + 1 : list, NULL, 10);
}

void command_clear(const char *bdf)
{
	must(!file_write(command_path(bdf, "faults"), "clear\n"));
}

const char *command_begin(const char *bdf)
{
	if (!file_exists(command_path(bdf, "faults")))
		return "no debugfs";
	command_clear(bdf);
	return NULL;
}

void command_end(const char *bdf)
{
	if (*bdf)
		command_begin(bdf);
}

static bool find(const char *bdf, unsigned int id, u64 *done, u64 *seen)
{
	for (const char *line = command_list(bdf); line; line = strchr(line, '\n')) {
		unsigned long long d, s;
		unsigned int is;

		line += *line == '\n';
		if (sscanf(line, "%u %llu %llu ", &is, &d, &s) == 3 && is == id) {
			*done = d;
			*seen = s;
			return true;
		}
	}
	return false;
}

u64 command_done(const char *bdf, unsigned int id)
{
	u64 done = 0, seen = 0;

	find(bdf, id, &done, &seen);
	return done;
}

u64 command_seen(const char *bdf, unsigned int id)
{
	u64 done = 0, seen = 0;

	find(bdf, id, &done, &seen);
	return seen;
}

unsigned int command_count(const char *bdf)
{
	const char *list = command_list(bdf);
	unsigned int lines = !!*list;

	for (; *list; list++)
		lines += *list == '\n';
	return lines;
}
