/* SPDX-License-Identifier: GPL-2.0-only */
/* The program vfmigctl */
#ifndef VFMIG_TEST_CTL_H
#define VFMIG_TEST_CTL_H

#include "tool.h"

/* Returns NULL, or why tests that need vfmigctl must be skipped */
const char *ctl_require(void);

/* Runs "vfmigctl ARGS": the exit status.  tool_said() is what it printed, errors too. */
int __printf(1, 2) ctl(const char *args, ...);

/* Does "vfmigctl --json ARGS" print what tool_json() says? */
bool __printf(2, 3) ctl_json(const char *expression, const char *args, ...);

#endif /* VFMIG_TEST_CTL_H */
