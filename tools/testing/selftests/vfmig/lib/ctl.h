/* SPDX-License-Identifier: GPL-2.0-only */
/* The program vfmigctl */
#ifndef VFMIG_TEST_CTL_H
#define VFMIG_TEST_CTL_H

#include "util.h"

/* Returns NULL, or why tests that need vfmigctl must be skipped */
const char *ctl_require(void);

/* Runs "vfmigctl ARGS": the exit status.  ctl_said() is what it printed, errors too. */
int __printf(1, 2) ctl(const char *args, ...);
const char *ctl_said(void);

/* Does it print JSON, d, of which this expression of Python is true? */
bool __printf(2, 3) ctl_json(const char *expression, const char *args, ...);

#endif /* VFMIG_TEST_CTL_H */
