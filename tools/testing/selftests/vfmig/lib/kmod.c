// SPDX-License-Identifier: GPL-2.0-only
/* See kmod.h */
#include "kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util.h"

static const struct {
	const char *suffix;
	const char *command;
} unpackers[] = {
	{ ".xz", "xz -dc" },
	{ ".zst", "zstd -dcq" },
	{ ".gz", "gzip -dc" },
};

static const char *unpacker(const char *path)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(unpackers); i++) {
		size_t len = strlen(path), suffix = strlen(unpackers[i].suffix);

		if (len > suffix && !strcmp(path + len - suffix, unpackers[i].suffix))
			return unpackers[i].command;
	}
	return "cat";
}

/*
 * Not by the kernel: it takes xz with a CRC32 only and says -EINVAL to any other, as it
 * does to a parameter that it refuses.  DKMS of Debian 12 leaves xz its default, a CRC64.
 */
static void *read_module(const char *path, size_t *size)
{
	size_t room = 1 << 20;
	char command[1024];
	char *data = NULL;
	FILE *f;

	*size = 0;
	snprintf(command, sizeof(command), "%s '%s'", unpacker(path), path);
	f = popen(command, "re");
	if (!f)
		return NULL;
	do {
		room *= 2;
		data = realloc(data, room);
		must(data);
		*size += fread(data + *size, 1, room - *size, f);
	} while (*size == room);
	if (pclose(f) || !*size) {
		free(data);
		return NULL;
	}
	return data;
}

int kmod_load(const char *path, const char *args)
{
	size_t size;
	void *data;
	int err;

	if (access(path, R_OK))
		return -errno;
	data = read_module(path, &size);
	if (!data)
		return -ENOEXEC;
	err = syscall(SYS_init_module, data, size, args) ? -errno : 0;
	free(data);
	return err;
}

const char *kmod_load_test(const char *name, const char *args)
{
	char file[64], path[1024];
	int err;

	snprintf(file, sizeof(file), "test_modules/%s.ko", name);
	if (!program_file(file, path, sizeof(path)))
		return "the test module is not built: make KDIR=";
	err = kmod_load(path, args);
	if (err == -ENOEXEC)
		return "the test module is built for another kernel";
	must(!err);
	return NULL;
}

int kmod_unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}
