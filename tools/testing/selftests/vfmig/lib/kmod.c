// SPDX-License-Identifier: GPL-2.0-only
/* See kmod.h */
#include "kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MODULE_INIT_COMPRESSED_FILE
#define MODULE_INIT_COMPRESSED_FILE	4
#endif

int kmod_load(const char *path, const char *args)
{
	size_t len = strlen(path);
	int flags = len > 3 && !strcmp(path + len - 3, ".ko") ? 0 : MODULE_INIT_COMPRESSED_FILE;
	int fd, err;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, args, flags) ? -errno : 0;
	close(fd);
	return err;
}

int kmod_unload(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}
