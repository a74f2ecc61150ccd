/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The PF of the module vfmig_test_border, and its two VFs.  A test tells the PF driver what it
 * offers and how it behaves: test_modules/border/debugfs.c has the words.
 */
#ifndef VFMIG_TEST_BORDER_H
#define VFMIG_TEST_BORDER_H

#include "mig.h"

#define BORDER_MODULE	"vfmig_test_border"
#define BORDER_VFS	2
#define BORDER_MEMORY	MIB(4)

struct border {
	char pf[BDF_SIZE];
	char vf[BORDER_VFS][BDF_SIZE];
	unsigned int open;	/* of the VFs, from the first */
	struct iommu iommu[BORDER_VFS];
	struct vfio_dev dev[BORDER_VFS];
};

/*
 * Load the module, if this program has not yet, and register @offer.  Returns NULL, or why the
 * test must be skipped.  The module goes when the program ends.
 */
const char *border_setup(struct border *border, const char *offer);
/* Register the PF with @offer, with no VF open; 0 or -errno */
int border_register(struct border *border, const char *offer);
/* Open the VFs that are not open yet, @count in all */
void border_open(struct border *border, unsigned int count);
/* Register @offer, and open VF 0, which is returned */
struct vfio_dev *border_begin(struct border *border, const char *offer);
/* 0 or -errno of opening VF @n, which is closed again */
int border_try_open(struct border *border, unsigned int n);
void border_close(struct border *border);
/* Unload the module; the next border_setup() loads it again.  0 or -errno. */
int border_unload(void);

/* Write to a file of VF @n */
void __printf(3, 4) border_tell(unsigned int n, const char *file, const char *fmt, ...);
/* @op fails with @err: @times, always if that is negative, after @skip calls that don't */
void border_fail_later(unsigned int n, const char *op, int err, int times, unsigned int skip);
void border_fail(unsigned int n, const char *op, int err, int times);
/* Calls of @op since border_tell(n, "calls", "0") */
unsigned int border_calls(unsigned int n, const char *op);
/* What the VF does */
enum { RUNS, QUIESCED, FROZEN };
unsigned int border_running(unsigned int n);
/* Bytes of state that were loaded, all of them right; else 0 */
u64 border_loaded(unsigned int n);
/* Write to the memory of VF 0 */
void border_memory_fill(u64 offset, size_t len, u64 seed);
/* Is the memory of both VFs the same, and is there any? */
bool border_memory_same(void);

/* Load a stream, @chunk bytes at a time, and run; 0 or -errno */
int border_load(struct vfio_dev *dev, const struct blob *blob, size_t chunk);

/* Size of the records of @bytes of state of one kind */
u64 border_state_bytes(u64 bytes);
/* Size of an identity record of the device */
u64 border_identity_bytes(void);

#endif /* VFMIG_TEST_BORDER_H */
