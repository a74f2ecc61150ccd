// SPDX-License-Identifier: GPL-2.0-only
/* See cgroup.h */
#include "cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void file_of(const char *dir, const char *file, char *path, size_t size)
{
	must((size_t)snprintf(path, size, "%s/%s", dir, file) < size);
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += len)
		if ((at == text || at[-1] == ' ') && (!at[len] || at[len] == ' '))
			return true;
	return false;
}

const char *cgroup_open(struct cgroup *cg, const char *controller)
{
	char path[160], text[256], enable[32];

	snprintf(cg->root, sizeof(cg->root), "/tmp/vfmig-cgroup-XXXXXX");
	must(mkdtemp(cg->root));
	/* There is one hierarchy, wherever it is mounted */
	if (mount("none", cg->root, "cgroup2", 0, NULL)) {
		rmdir(cg->root);
		return "this kernel has no cgroup2";
	}
	file_of(cg->root, "cgroup.controllers", path, sizeof(path));
	if (file_read(path, text, sizeof(text)) || !has_word(text, controller)) {
		umount(cg->root);
		rmdir(cg->root);
		return "cgroup2 has no such controller here";
	}
	snprintf(enable, sizeof(enable), "+%s", controller);
	file_of(cg->root, "cgroup.subtree_control", path, sizeof(path));
	must(!file_write(path, enable));
	snprintf(cg->path, sizeof(cg->path), "%s/vfmig-%d", cg->root, getpid());
	must(!mkdir(cg->path, 0700));
	return NULL;
}

void cgroup_close(struct cgroup *cg)
{
	/* A process that was killed may be a little longer in it */
	must(wait_until(!rmdir(cg->path) || errno != EBUSY));
	umount(cg->root);
	rmdir(cg->root);
}

void cgroup_enter(struct cgroup *cg)
{
	cgroup_set(cg, "cgroup.procs", "0");
}

void cgroup_add(struct cgroup *cg, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	cgroup_set(cg, "cgroup.procs", text);
}

void cgroup_leave(struct cgroup *cg)
{
	char path[160];

	file_of(cg->root, "cgroup.procs", path, sizeof(path));
	must(!file_write(path, "0"));
}

bool cgroup_has(struct cgroup *cg, const char *file)
{
	char path[160];

	file_of(cg->path, file, path, sizeof(path));
	return file_exists(path);
}

void cgroup_set(struct cgroup *cg, const char *file, const char *value)
{
	char path[160];

	file_of(cg->path, file, path, sizeof(path));
	must(!file_write(path, value));
}

u64 cgroup_get(struct cgroup *cg, const char *file, const char *key)
{
	char path[160], text[1024];
	const char *at = text;

	file_of(cg->path, file, path, sizeof(path));
	must(!file_read(path, text, sizeof(text)));
	if (key) {
		at = strstr(text, key);
		must(at);
		at += strlen(key);
	}
	return strtoull(at, NULL, 10);
}
