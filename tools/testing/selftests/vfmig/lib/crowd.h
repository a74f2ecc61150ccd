/* SPDX-License-Identifier: GPL-2.0-only */
/* Many files that are read at once, by a thread each, or one after the other */
#ifndef VFMIG_TEST_CROWD_H
#define VFMIG_TEST_CROWD_H

#include <pthread.h>

#include "util.h"

#define CROWD		64
#define BUFFER		MIB(1)	/* for each read() */

/* A reader of one VF, with its own buffer, like a VMM */
struct saver {
	pthread_t thread;
	pthread_barrier_t *start;
	int fd;
	u8 *buf;
	u64 bytes;
};

/* 64 files to read: data fds of VFs, or files of the same size for comparison */
struct crowd {
	int (*begin)(struct crowd *crowd, unsigned int i);
	void (*end)(struct crowd *crowd, unsigned int i, int fd);
	struct bench_vf *vfs;	/* for begin() and end() */
	int files[CROWD];
	struct saver savers[CROWD];
};

/* Read to the end; returns the number of bytes */
u64 read_all(int fd, u8 *buf);

/* MB/s of reading all files at the same time */
double at_once_rate(struct crowd *crowd);
/* MB/s of reading them one after the other */
double one_by_one_rate(struct crowd *crowd);

#endif /* VFMIG_TEST_CROWD_H */
