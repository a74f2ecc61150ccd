/* SPDX-License-Identifier: GPL-2.0-only */
/* A control group (version 2) for a test */
#ifndef VFMIG_TEST_CGROUP_H
#define VFMIG_TEST_CGROUP_H

#include <sys/types.h>

#include "util.h"

struct cgroup {
	char root[64];
	char path[96];
};

/* Create a group with @controller; returns NULL, or why the test must be skipped */
const char *cgroup_open(struct cgroup *cg, const char *controller);
void cgroup_close(struct cgroup *cg);

/* Move the current process, with all its threads, into the group or out of it */
void cgroup_enter(struct cgroup *cg);
void cgroup_leave(struct cgroup *cg);

/* Move another process into the group */
void cgroup_add(struct cgroup *cg, pid_t pid);

bool cgroup_has(struct cgroup *cg, const char *file);
void cgroup_set(struct cgroup *cg, const char *file, const char *value);
/* The number in a file, or the one after @key */
u64 cgroup_get(struct cgroup *cg, const char *file, const char *key);

#endif /* VFMIG_TEST_CGROUP_H */
