/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of load_stress.
 *
 * A stream that a device has saved is changed, and written into a VF in RESUMING.  The drivers
 * refuse it, or the VF must be as if a source had been so.  What a stream makes the drivers do for
 * the first time, as the kernel's KCOV sees it, makes that stream worth changing further.
 */
#ifndef VFMIG_LOAD_H
#define VFMIG_LOAD_H

#include <pthread.h>

#include "../lib/mig.h"
#include "../lib/stress.h"

/* ---- load_cover.c: what threads execute of the drivers */

/**
 * struct cover - what one thread executes
 * @fd: of KCOV, or -1 if this kernel has none, or does not watch the drivers
 * @trace: number of places, and their addresses in the order of execution
 */
struct cover {
	int fd;
	unsigned long *trace;
};

/* For the calling thread */
void cover_open(struct cover *cover);
void cover_close(struct cover *cover);
void cover_begin(struct cover *cover);
/* True if something was executed that no thread had executed before */
bool cover_end(struct cover *cover);
/* Pairs of places that were executed one after the other, by all threads */
unsigned int cover_pairs(void);

/* ---- load_corpus.c: streams that are worth changing */

#define CORPUS_MAX	256
#define INPUT_MAX	KIB(256)	/* bytes of a stream */

/**
 * struct corpus - streams
 * @lock: protects the rest, once there is more than one thread
 * @blob: streams, those that a device has saved first
 * @nr: number of streams
 * @seeds: number of those that a device has saved
 */
struct corpus {
	pthread_mutex_t lock;
	struct blob blob[CORPUS_MAX];
	unsigned int nr;
	unsigned int seeds;
};

void corpus_init(struct corpus *corpus);
/* What a device has saved */
void corpus_seed(struct corpus *corpus, const struct blob *blob);
/* One that did something new; another one may have to go */
void corpus_add(struct corpus *corpus, const struct blob *blob, u64 *random);
/* A copy of any */
void corpus_some(struct corpus *corpus, u64 *random, struct blob *blob);
void corpus_free(struct corpus *corpus);

/* ---- load_mutate.c */

/* Change one of @corpus; the result is in @out.  Most of the time its CRCs are right. */
void mutate(struct corpus *corpus, u64 *random, struct blob *out);
/* A number that is a bound of something, or near to @old */
u64 mutate_number(u64 *random, u64 old);

/* ---- load_device.c: a VF and its driver, of either model */

#define SUBJECTS	4

struct subject;

/**
 * struct subject_ops - what depends on the model
 * @open: open VF @index and start the driver; NULL, or why that can't be.  The last one first.
 * @seeds: save the device in some of its states
 * @works: after a reset: start the driver, and do I/O that is verified
 * @close: undo @open
 */
struct subject_ops {
	const char *(*open)(struct subject *s, unsigned int index);
	void (*seeds)(struct subject *s, struct corpus *corpus);
	void (*works)(struct subject *s);
	void (*close)(struct subject *s);
};

struct subject {
	const struct subject_ops *ops;
	struct vfio_dev *dev;
	void *priv;
};

extern const struct subject_ops nvme_subject, net_subject;

#endif /* VFMIG_LOAD_H */
