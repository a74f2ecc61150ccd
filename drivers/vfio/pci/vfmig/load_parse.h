/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Taking a stream apart.  It arrives cut anywhere.
 *
 * This needs no file, no lock and no user memory, so that a fuzzer can have it by itself: see
 * tools/testing/selftests/vfmig/fuzz/.  What feeds it is load.c.
 */
#ifndef _VFMIG_LOAD_PARSE_H
#define _VFMIG_LOAD_PARSE_H

#include <linux/types.h>
#include <linux/vfmig.h>

#include "record_type.h"
#include "stream.h"

struct page;

/* What the bytes that come next are */
enum vfmig_parse_part {
	VFMIG_PART_HEADER,	/* of the record, into @rec */
	VFMIG_PART_FIXED,	/* of the payload, into @fixed */
	VFMIG_PART_MEMORY,	/* into @page, or a piece of it into @buf */
	VFMIG_PART_STATE,	/* into @buf */
	VFMIG_PART_SKIP,	/* into @fixed, over and over */
	VFMIG_PART_HOLE,	/* none: a hole, which is @due piece by piece */
};

#define VFMIG_PARSE_WHY	256	/* bytes of a reason */

/**
 * struct vfmig_parser - a stream that is taken apart
 * @ops: operations of the PF driver; constant
 * @vf: the PF driver's handle; constant
 * @begin: called when the header of a record was accepted, before anything follows from it; or
 *	NULL.  An error ends the step with it.  After -EAGAIN it is called again.
 * @stage: what may come
 * @part: what comes next
 * @pos: bytes of it that came
 * @len: bytes that it has
 * @rec: header of the record under way
 * @crc: CRC32C of its payload so far
 * @fixed: the payload, or its part before the bulk
 * @offset: where in device memory the next granule goes, or the next piece of a hole begins
 * @paged: the data of the memory under way goes into pages, not through @buf
 * @page: the granule that is being filled, or NULL
 * @buf: a piece of the state, or of memory that has no pages; or NULL
 * @version_minor: of the format, from the last identity record
 * @model_version: version of the state, from the last identity record
 * @memory_size: of the source, from the last identity record
 * @bytes: bytes of the stream before the record under way.  Also read by others.
 * @records: records before it
 * @due: what came is to be given to the device, which had no room for it, or gets it in pieces
 * @why: why the stream is refused, or empty
 */
struct vfmig_parser {
	const struct vfmig_vf_ops *ops;
	void *vf;
	int (*begin)(struct vfmig_parser *parser);

	enum vfmig_parse_stage stage;
	enum vfmig_parse_part part;
	u64 pos;
	u64 len;
	struct vfmig_record rec;
	u32 crc;
	u8 fixed[VFMIG_IDENTITY_MAX];
	u64 offset;
	bool paged;
	struct page *page;
	void *buf;
	u16 version_minor;
	u32 model_version;
	u64 memory_size;
	u64 bytes;
	u64 records;
	bool due;
	char why[VFMIG_PARSE_WHY];
};

/**
 * struct vfmig_parse_room - where the next bytes go
 * @page: the page, or NULL
 * @offset: offset in it
 * @buf: without a page, the address
 * @len: number of bytes, not 0
 */
struct vfmig_parse_room {
	struct page *page;
	size_t offset;
	void *buf;
	size_t len;
};

/* load_parse.c */
void vfmig_parse_init(struct vfmig_parser *parser, const struct vfmig_vf_ops *ops, void *vf);
void vfmig_parse_exit(struct vfmig_parser *parser);

u32 vfmig_parse_type(const struct vfmig_parser *parser);
int __printf(2, 3) vfmig_parse_refuse(struct vfmig_parser *parser, const char *fmt, ...);

int vfmig_parse_check(struct vfmig_parser *parser);
int vfmig_parse_advance(struct vfmig_parser *parser);
int vfmig_parse_no_memory(struct vfmig_parser *parser);

/* load_room.c */
int vfmig_parse_next(struct vfmig_parser *parser, struct vfmig_parse_room *room);
void vfmig_parse_took(struct vfmig_parser *parser, const struct vfmig_parse_room *room,
		      size_t len);
bool vfmig_parse_complete(const struct vfmig_parser *parser);

#endif /* _VFMIG_LOAD_PARSE_H */
