/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The records of a migration stream (include/uapi/linux/vfmig.h), to look into
 * what a device wrote and to make streams that no device would write.
 */
#ifndef VFMIG_TEST_STREAM_H
#define VFMIG_TEST_STREAM_H

#include <linux/vfmig.h>

#include "mig.h"

#define STREAM_MAX_RECORDS	1024

/* A record where it lies in a blob: valid until the blob changes */
struct stream_record {
	size_t offset;		/* of the header */
	size_t size;		/* with header */
	struct vfmig_record *header;
	void *payload;
};

/*
 * Take a well-formed stream apart: lengths, CRCs and order.  Returns the number
 * of records, or 0 after saying what is wrong with it.
 */
unsigned int stream_parse(const struct blob *blob, struct stream_record *records);

/*
 * The record at *@pos, which moves behind it: 1, or 0 at the end of the blob, or -1
 * after saying what is wrong with it.
 */
int stream_next(const struct blob *blob, size_t *pos, struct stream_record *record);

/*
 * Apply the records from *@pos on, all whole, to @medium of @size bytes, as a
 * destination would; *@pos moves to the end.  False after saying what is wrong.
 */
bool stream_replay(const struct blob *blob, size_t *pos, u8 *medium, u64 size);

/* What a device has on its medium, by its STOP_COPY stream; leaves it in STOP */
void stream_medium(struct vfio_dev *dev, u8 *medium, u64 size);

/* First record of a type, NULL if there is none */
struct stream_record *stream_find(struct stream_record *records, unsigned int n, u32 type);

/* Make the CRCs of the record right again after a change */
void stream_seal(struct vfmig_record *record);

/* Append a sealed record; @flags as they shall be */
void stream_add(struct blob *blob, u32 type, u32 flags, const void *payload, size_t len);
/* Append a MEMORY record of @length bytes of @fill */
void stream_add_memory(struct blob *blob, u64 offset, u64 length, u8 fill);
/* Append an END record that fits what is in @blob */
void stream_add_end(struct blob *blob);
/* Append a record as it is */
void stream_add_record(struct blob *blob, const struct stream_record *record);

/* @in with one record more before its record number @at, and its END adapted */
void stream_insert(struct blob *out, const struct blob *in, unsigned int at,
		   const struct blob *record);

#endif /* VFMIG_TEST_STREAM_H */
