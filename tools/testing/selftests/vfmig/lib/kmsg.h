/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's log, from where a test begins to listen */
#ifndef VFMIG_TEST_KMSG_H
#define VFMIG_TEST_KMSG_H

#include "util.h"

/* Size of the largest record, and a 0 at its end */
#define KMSG_RECORD	8193

/* A file descriptor that gives what is said from now on */
int kmsg_open(void);

/* Read the next record: 1, 0 if there is none, -EPIPE if some were overwritten unread */
int kmsg_next(int kmsg, char record[KMSG_RECORD]);

/* Is one of the records from here on that has @text in it?  The records up to it are read then. */
bool kmsg_says(int kmsg, const char *text);

#endif /* VFMIG_TEST_KMSG_H */
