/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Faults on command of a VF: the files of the variant driver in debugfs
 * (Documentation/faults.rst)
 */
#ifndef VFMIG_TEST_COMMAND_H
#define VFMIG_TEST_COMMAND_H

#include "pf.h"

/* Write a line to "faults" of a VF; 0 or -errno */
int __printf(2, 3) command_try(const char *bdf, const char *fmt, ...);
/* The same for a line that must be accepted; returns the number of the fault */
unsigned int __printf(2, 3) command(const char *bdf, const char *fmt, ...);
/* No fault is left on a VF */
void command_clear(const char *bdf);
/* Clear what another test left on a VF; returns why the test must be skipped, or NULL */
const char *command_begin(const char *bdf);
/* Clear what the test has left, if there is still a VF, and @bdf is not empty */
void command_end(const char *bdf);

/* How often fault @id has happened, and could have happened; 0 if it is not set */
u64 command_done(const char *bdf, unsigned int id);
u64 command_seen(const char *bdf, unsigned int id);
/* Number of faults that are set */
unsigned int command_count(const char *bdf);
/* The list; valid until the next call */
const char *command_list(const char *bdf);
/* Why the last line was refused; valid until the next call */
const char *command_error(const char *bdf);
/* Path of a file of a VF; valid until the next call in the same thread */
const char *command_path(const char *bdf, const char *file);

#endif /* VFMIG_TEST_COMMAND_H */
