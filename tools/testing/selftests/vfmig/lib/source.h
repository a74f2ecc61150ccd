/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A VF to migrate from in PRE_COPY, with a guest that knows what it has on its
 * medium, and another VF to migrate to if a test does.
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
 * @medium: what is on it: nothing at first
 * @copy: what a destination would have on it so far
 * @buf: 1 MiB in the arena
 * @seed: decides what is written, and whatever else a test wants to be random
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

/* NULL, or why the test must be skipped; source_close() in either case */
const char *source_open(struct source *src, enum iommu_mode mode, unsigned int media_mb);
void source_close(struct source *src);
/* Two beside each other, on four VFs, with a seed each; source_close() both in either case */
const char *source_open_pair(struct source src[2], enum iommu_mode mode, unsigned int media_mb);

/* The same of 1 MiB, with two runs on it: FIRST_COPY bytes of stream */
const char *source_open_with_runs(struct source *src, enum iommu_mode mode);

#define RUN_A		(2 * PAGE)		/* three granules */
#define RUN_B		(MIB(1) - PAGE)		/* one */
#define FIRST_COPY	(IDENTITY_BYTES + RUN_BYTES(3) + RUN_BYTES(1))

/* The guest writes something new, in one command or more */
void source_write(struct source *src, u64 offset, size_t len);
/* The guest deallocates, or writes zeroes and leaves the rest to the device */
void source_drop(struct source *src, u64 offset, size_t len);
void source_zero(struct source *src, u64 offset, size_t len, bool deallocate);

/* The same by granules: something new in each, in commands of their own; nothing in all */
void source_put(struct source *src, u64 granule, u64 count);
void source_punch(struct source *src, u64 granule, u64 count);
/* The guest erases all of it: Format NVM */
void source_erase(struct source *src);

/* Does the device that the driver drives, moved or not, read as @medium? */
bool source_reads_right(struct source *src);
/* Do the records of @blob from *@pos on, after those before it, make @medium? */
bool source_copied_right(struct source *src, const struct blob *blob, size_t *pos);
/* Has the other VF @medium on it after loading @blob?  It stays in STOP. */
bool source_lands_right(struct source *src, const struct blob *blob);

/**
 * struct session - a PRE_COPY session, all of whose data is kept
 * @replayed: bytes of @blob that went into the source's @copy
 */
struct session {
	struct source *src;
	int fd;
	struct blob blob;
	size_t replayed;
};

/* Begin, and read the identity record */
void session_begin(struct session *s, struct source *src);
/* Read what there is now to *@bytes: is it what was announced, and nothing is left? */
bool session_drains_right(struct session *s, u64 *bytes);

/* A record of memory: VFMIG_RECORD_MEMORY or VFMIG_RECORD_HOLE, of so many granules */
struct run {
	u32 type;
	u64 granule;
	u64 count;
};

#define DATA	VFMIG_RECORD_MEMORY
#define HOLE	VFMIG_RECORD_HOLE

/* The same, and does it give these runs and no other, in this order if it is @ordered? */
bool session_gives(struct session *s, bool ordered, const struct run *runs, unsigned int n);

#define SESSION_GIVES(s, ordered, ...) ({ \
	const struct run _runs[] = { __VA_ARGS__ }; \
	session_gives(s, ordered, _runs, ARRAY_SIZE(_runs)); \
})

/*
 * Does GET_PRECOPY_INFO say this?  To a user that asked for v2 @flags is the kernel's and
 * @reinit, new initial data, initial; to any other flags is its own and @reinit dirty.
 */
bool session_info_is(struct session *s, bool v2, u32 flags, u64 initial, u64 reinit, u64 dirty);
/* With whole records read: do they make the source's medium? */
bool session_copied_right(struct session *s);
/* STOP_COPY and all the rest: is it what was announced, and makes the medium? */
bool session_completes_right(struct session *s);
/* The same, and does the guest find its medium at the other VF? */
bool session_moves_right(struct session *s);
void session_end(struct session *s);

/* poll() of a data fd without waiting: what is set, 0 for nothing */
short poll_now(int fd);

/* Somebody who waits in poll() of a data fd */
struct poller {
	pthread_t thread;
	int fd;
	short revents;	/* 0: it was not woken */
};

void poller_start(struct poller *poller, int fd);
/* What it came back with */
short poller_end(struct poller *poller);

#endif /* VFMIG_TEST_SOURCE_H */
