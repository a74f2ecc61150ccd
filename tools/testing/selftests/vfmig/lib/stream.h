/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The records of a migration stream (include/uapi/linux/vfmig.h): to check the stream of a
 * device, and to create streams that no device would write.
 */
#ifndef VFMIG_TEST_STREAM_H
#define VFMIG_TEST_STREAM_H

#include <linux/vfmig.h>

#include "mig.h"

#define STREAM_MAX_RECORDS	1024

/* A record in a blob; valid until the blob changes */
struct stream_record {
	size_t offset;		/* of the header */
	size_t size;		/* with header */
	struct vfmig_record *header;
	void *payload;
};

/*
 * Parse a stream and check lengths, CRCs and order.  Returns the number of records, or
 * prints an error and returns 0.
 */
unsigned int stream_parse(const struct blob *blob, struct stream_record *records);

/*
 * Parse the record at *@pos, and move *@pos behind it.  Returns 1, or 0 at the end of the
 * blob, or prints an error and returns -1.
 */
int stream_next(const struct blob *blob, size_t *pos, struct stream_record *record);

/* Are two whole streams equal, but for the device's state?  That changes with time. */
bool stream_same(const struct blob *a, const struct blob *b);

/*
 * Apply the records from *@pos on, which must be whole, to @medium of @size bytes, like a
 * destination.  *@pos moves to the end.  Prints an error and returns false if one is wrong.
 */
bool stream_replay(const struct blob *blob, size_t *pos, u8 *medium, u64 size);

/* Read the contents of a device's medium from its STOP_COPY stream; leaves it in STOP */
void stream_medium(struct vfio_dev *dev, u8 *medium, u64 size);

/* First record of a type, NULL if there is none */
struct stream_record *stream_find(struct stream_record *records, unsigned int n, u32 type);

/* Update the CRCs of a record after a change */
void stream_seal(struct vfmig_record *record);

/* Append a record with these @flags and valid CRCs */
void stream_add(struct blob *blob, u32 type, u32 flags, const void *payload, size_t len);
/* Append a MEMORY record of @length bytes of @fill */
void stream_add_memory(struct blob *blob, u64 offset, u64 length, u8 fill);
/* Append an END record for the records in @blob */
void stream_add_end(struct blob *blob);
/* Append a record unchanged */
void stream_add_record(struct blob *blob, const struct stream_record *record);

/* Copy @in, insert @record before record number @at, and adapt END */
void stream_insert(struct blob *out, const struct blob *in, unsigned int at,
		   const struct blob *record);

#endif /* VFMIG_TEST_STREAM_H */
