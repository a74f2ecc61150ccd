/* SPDX-License-Identifier: GPL-2.0-only */
/* A control group (version 2) of a test's own */
#ifndef VFMIG_TEST_CGROUP_H
#define VFMIG_TEST_CGROUP_H

#include "util.h"

struct cgroup {
	char root[64];
	char path[96];
};

/* A new group with @controller; NULL, or why the test must be skipped */
const char *cgroup_open(struct cgroup *cg, const char *controller);
void cgroup_close(struct cgroup *cg);

/* The current process, with all its threads, moves into the group or out of it */
void cgroup_enter(struct cgroup *cg);
void cgroup_leave(struct cgroup *cg);

bool cgroup_has(struct cgroup *cg, const char *file);
void cgroup_set(struct cgroup *cg, const char *file, const char *value);
/* The number in a file, or that after @key in a file of many */
u64 cgroup_get(struct cgroup *cg, const char *file, const char *key);

#endif /* VFMIG_TEST_CGROUP_H */
