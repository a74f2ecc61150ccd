/* SPDX-License-Identifier: GPL-2.0-only */
/* Programs that users have: ip, devlink, vfmigctl */
#ifndef VFMIG_TEST_TOOL_H
#define VFMIG_TEST_TOOL_H

#include "util.h"

/* Run a command in a shell: the exit status.  tool_said() is what it printed, errors too. */
int __printf(1, 2) tool(const char *command, ...);
const char *tool_said(void);

/*
 * Does a command print JSON, d, of which this expression of Python is true?  If not, tool_said()
 * is what d is.  Needs python3.
 */
bool __printf(2, 3) tool_json(const char *expression, const char *command, ...);

#endif /* VFMIG_TEST_TOOL_H */
