/* SPDX-License-Identifier: GPL-2.0-only */
/* Many things that are read by a thread each, at once, or one after the other */
#ifndef VFMIG_TEST_CROWD_H
#define VFMIG_TEST_CROWD_H

#include <pthread.h>

#include "util.h"

#define CROWD		64
#define BUFFER		MIB(1)	/* for each read() */

/* One reader of one VF, with a buffer of its own as each VMM has it */
struct saver {
	pthread_t thread;
	pthread_barrier_t *start;
	int fd;
	u8 *buf;
	u64 bytes;
};

/* 64 things to read: data fds of VFs, or files as large for comparison */
struct crowd {
	int (*begin)(struct crowd *crowd, unsigned int i);
	void (*end)(struct crowd *crowd, unsigned int i, int fd);
	struct bench_vf *vfs;	/* for begin() and end() */
	int files[CROWD];
	struct saver savers[CROWD];
};

/* Read to the end; the bytes */
u64 read_all(int fd, u8 *buf);

/* MB/s of reading all at the same time */
double at_once_rate(struct crowd *crowd);
/* The same bytes, one after the other */
double one_by_one_rate(struct crowd *crowd);

#endif /* VFMIG_TEST_CROWD_H */
