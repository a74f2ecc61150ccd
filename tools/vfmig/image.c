// SPDX-License-Identifier: GPL-2.0-only
/*
 * The disk that a stream has, in a sparse file.  A stream may claim a disk of any size: the file
 * takes as much room as there is data in the stream.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd_stream.h"

/* A file without a name */
int image_create(const char *dir)
{
	return open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static int punch(int fd, u64 offset, u64 length)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) ?
	       -errno : 0;
}

static int write_all(int fd, const u8 *data, u64 length, u64 offset)
{
	while (length) {
		ssize_t n = pwrite(fd, data, length, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		data += n;
		length -= n;
		offset += n;
	}
	return 0;
}

static bool all_zero(const u8 *granule)
{
	for (size_t i = 0; i < VFMIG_GRANULE; i++)
		if (granule[i])
			return false;
	return true;
}

/* Granules of zeroes become holes; the file may have had data there */
static int write_memory(int fd, const u8 *data, u64 length, u64 offset)
{
	int ret = 0;

	while (length && !ret) {
		bool zero = all_zero(data);
		u64 n = VFMIG_GRANULE;

		while (n < length && all_zero(data + n) == zero)
			n += VFMIG_GRANULE;
		ret = zero ? punch(fd, offset, n) : write_all(fd, data, n, offset);
		data += n;
		offset += n;
		length -= n;
	}
	return ret;
}

static int resize(int fd, u64 size)
{
	if (size > INT64_MAX)
		return -EFBIG;
	return ftruncate(fd, size) ? -errno : 0;
}

int image_apply(int fd, const struct stream *stream, const struct stream_record *record)
{
	switch (record->type) {
	case VFMIG_RECORD_IDENTITY:
		return resize(fd, stream->identity.memory_size);
	case VFMIG_RECORD_MEMORY:
		return write_memory(fd, record->payload + sizeof(struct vfmig_extent),
				    record->extent_length, record->extent_offset);
	case VFMIG_RECORD_HOLE:
		return punch(fd, record->extent_offset, record->extent_length);
	default:
		return 0;
	}
}

bool image_fill(int fd, struct stream_file *file)
{
	const struct stream_record *record;

	while ((record = stream_next(&file->stream))) {
		int error = image_apply(fd, &file->stream, record);

		if (error) {
			fail("%s: record %llu: can't write the disk of %llu bytes: %s",
			     file->in->name, record->number,
			     file->stream.identity.memory_size,
			     strerror(-error));
			return false;
		}
	}
	if (file->stream.refused)
		stream_refused(file);
	return !file->stream.refused;
}
