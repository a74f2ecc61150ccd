// SPDX-License-Identifier: GPL-2.0-only
/*
 * See sys.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"
#include "vfmigctl.h"

/* Attributes have a page at most, and the longest file in debugfs is that of 64 faults */
#define CONTENT_MAX	16384

static char *vpath(const char *format, va_list args)
{
	char *rest, *path;

	if (vasprintf(&rest, format, args) < 0)
		rest = NULL;
	need(rest);
	if (asprintf(&path, "%s%s", options.root, rest) < 0)
		path = NULL;
	free(rest);
	return need(path);
}

char *sys_path(const char *format, ...)
{
	va_list args;
	char *path;

	va_start(args, format);
	path = vpath(format, args);
	va_end(args);
	return path;
}

static char *read_file(const char *path)
{
	char buf[CONTENT_MAX];
	size_t length = 0;
	ssize_t n = 1;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	while (length < sizeof(buf) && n > 0) {
		n = read(fd, buf + length, sizeof(buf) - length);
		if (n > 0)
			length += n;
	}
	close(fd);
	if (n < 0)
		return NULL;
	while (length && buf[length - 1] == '\n')
		length--;
	return need(strndup(buf, length));
}

char *sys_read(const char *format, ...)
{
	char *path, *content;
	va_list args;
	int error;

	va_start(args, format);
	path = vpath(format, args);
	va_end(args);
	content = read_file(path);
	error = errno;
	free(path);
	errno = error;
	return content;
}

int sys_write(const char *text, const char *format, ...)
{
	size_t length = strlen(text);
	int fd, error = 0;
	va_list args;
	char *path;
	ssize_t n;

	va_start(args, format);
	path = vpath(format, args);
	va_end(args);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	free(path);
	if (fd < 0)
		return -errno;
	n = write(fd, text, length);
	if (n < 0)
		error = -errno;
	else if ((size_t)n < length)
		error = -EIO;
	close(fd);
	return error;
}

char *sys_link(const char *format, ...)
{
	char target[PATH_MAX], *path, *slash;
	va_list args;
	ssize_t n;

	va_start(args, format);
	path = vpath(format, args);
	va_end(args);
	n = readlink(path, target, sizeof(target) - 1);
	free(path);
	if (n < 0)
		return NULL;
	target[n] = '\0';
	slash = strrchr(target, '/');
	return need(strdup(slash ? slash + 1 : target));
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

size_t sys_list(char ***names, const char *format, ...)
{
	struct dirent **entries;
	va_list args;
	char *path;
	int n;

	va_start(args, format);
	path = vpath(format, args);
	va_end(args);
	n = scandir(path, &entries, not_hidden, versionsort);
	free(path);
	*names = NULL;
	if (n < 0)
		return 0;
	*names = need(calloc(n + 1, sizeof(**names)));
	for (int i = 0; i < n; i++) {
		(*names)[i] = need(strdup(entries[i]->d_name));
		free(entries[i]);
	}
	free(entries);
	return n;
}

void sys_free_list(char **names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i]);
	free(names);
}

bool sys_mode(unsigned int bits, const char *format, ...)
{
	struct stat stat;
	va_list args;
	char *path;
	int ret;

	va_start(args, format);
	path = vpath(format, args);
	va_end(args);
	ret = lstat(path, &stat);
	free(path);
	return !ret && S_ISREG(stat.st_mode) && (stat.st_mode & bits) == bits;
}

bool sys_exists(const char *format, ...)
{
	va_list args;
	char *path;
	int ret;

	va_start(args, format);
	path = vpath(format, args);
	va_end(args);
	ret = access(path, F_OK);
	free(path);
	return !ret;
}
