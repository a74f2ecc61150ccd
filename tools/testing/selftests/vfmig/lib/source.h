/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A source VF in PRE_COPY, with a guest that knows the contents of its medium, and a
 * destination VF for tests that need one.
 */
#ifndef VFMIG_TEST_SOURCE_H
#define VFMIG_TEST_SOURCE_H

#include <pthread.h>

#include "precopy.h"
#include "rig.h"

/**
 * struct source - two VFs
 * @dev: the first
 * @size: bytes of its medium
 * @medium: its contents; empty at first
 * @copy: the contents that a destination would have so far
 * @buf: 1 MiB in the arena
 * @seed: for the data that is written, and for all other random choices of a test
 */
struct source {
	struct rig rig;
	struct vfio_dev *dev;
	u64 size;
	u8 *medium;
	u8 *copy;
	u8 *buf;
	u64 seed;
};

#define SOURCE_SEED	20240607

/* Returns NULL, or why the test must be skipped.  Call source_close() in either case. */
const char *source_open(struct source *src, enum iommu_mode mode, unsigned int media_mb);
void source_close(struct source *src);
/* Two sources on four VFs, with a seed each.  Call source_close() for both in either case. */
const char *source_open_pair(struct source src[2], enum iommu_mode mode, unsigned int media_mb);

/* As source_open(), of 1 MiB, with two runs of data: the stream has FIRST_COPY bytes */
const char *source_open_with_runs(struct source *src, enum iommu_mode mode);

#define RUN_A		(2 * PAGE)		/* three granules */
#define RUN_B		(MIB(1) - PAGE)		/* one */
#define FIRST_COPY	(IDENTITY_BYTES + RUN_BYTES(3) + RUN_BYTES(1))

/* The guest writes something new, in one command or more */
void source_write(struct source *src, u64 offset, size_t len);
/* The guest deallocates, or uses Write Zeroes with or without deallocation */
void source_drop(struct source *src, u64 offset, size_t len);
void source_zero(struct source *src, u64 offset, size_t len, bool deallocate);

/* By granules: write new data to each, in separate commands; deallocate all */
void source_put(struct source *src, u64 granule, u64 count);
void source_punch(struct source *src, u64 granule, u64 count);
/* The guest erases all of it: Format NVM */
void source_erase(struct source *src);

/* Does the driver's device, moved or not, read as @medium? */
bool source_reads_right(struct source *src);
/* Do the records of @blob from *@pos on, added to @copy, result in @medium? */
bool source_copied_right(struct source *src, const struct blob *blob, size_t *pos);
/* Does the other VF have @medium after loading @blob?  It stays in STOP. */
bool source_lands_right(struct source *src, const struct blob *blob);

/**
 * struct session - a PRE_COPY session and all its data
 * @src: the source
 * @fd: the data fd
 * @blob: the stream that was read so far
 * @replayed: bytes of @blob that were applied to the source's @copy
 */
struct session {
	struct source *src;
	int fd;
	struct blob blob;
	size_t replayed;
};

/* Begin a session, and read the identity record */
void session_begin(struct session *s, struct source *src);
/* Read all data; *@bytes is its size.  Is it the announced size, and is nothing left? */
bool session_drains_right(struct session *s, u64 *bytes);

/* A record of memory: VFMIG_RECORD_MEMORY or VFMIG_RECORD_HOLE, of @count granules */
struct run {
	u32 type;
	u64 granule;
	u64 count;
};

#define DATA	VFMIG_RECORD_MEMORY
#define HOLE	VFMIG_RECORD_HOLE

/* The same, and are there exactly these runs, in this order if @ordered? */
bool session_gives(struct session *s, bool ordered, const struct run *runs, unsigned int n);

#define SESSION_GIVES(s, ordered, ...) ({ \
	const struct run _runs[] = { __VA_ARGS__ }; \
	session_gives(s, ordered, _runs, ARRAY_SIZE(_runs)); \
})

/*
 * Does GET_PRECOPY_INFO return these values?  For a user that enabled v2, the driver sets
 * @flags, and @reinit (new initial data) counts as initial.  For any other user flags must stay
 * as passed, and @reinit counts as dirty.
 */
bool session_info_is(struct session *s, bool v2, u32 flags, u64 initial, u64 reinit, u64 dirty);
/* Do the records read so far, which must be whole, result in the source's medium? */
bool session_copied_right(struct session *s);
/* Enter STOP_COPY and read the rest: is it the announced size, and results in the medium? */
bool session_completes_right(struct session *s);
/* The same, and does the guest find its medium on the other VF? */
bool session_moves_right(struct session *s);
void session_end(struct session *s);

/* poll() a data fd without waiting; returns revents, 0 for none */
short poll_now(int fd);

/* A thread that waits in poll() of a data fd */
struct poller {
	pthread_t thread;
	int fd;
	short revents;	/* 0 if poll() has not returned */
};

void poller_start(struct poller *poller, int fd);
/* Wait for the thread to end; returns its revents */
short poller_end(struct poller *poller);

#endif /* VFMIG_TEST_SOURCE_H */
