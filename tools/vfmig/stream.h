/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A migration stream (<linux/vfmig.h>), record by record, with all the checks that a
 * destination makes.  A stream is hostile: memory is bounded whatever its headers claim.
 */
#ifndef VFMIGCTL_STREAM_H
#define VFMIGCTL_STREAM_H

#include <linux/vfmig.h>

#include "source.h"
#include "types.h"

#include "../../drivers/vfio/pci/vfmig/record_type.h"

struct model;

#define STREAM_PAYLOAD_MAX	(sizeof(struct vfmig_extent) + VFMIG_MEMORY_MAX)
#define STREAM_REASON		256U

/* The records of the header's types, and 0 for all others */
#define STREAM_TYPES		(VFMIG_RECORD_END + 1)

/**
 * struct stream_identity - an IDENTITY record; members as in &struct vfmig_identity
 * @magic: see there
 * @version_major: see there
 * @version_minor: see there
 * @granule: see there
 * @model_version: see there
 * @model_data_length: what the record says, @data_length is what it has
 * @memory_size: see there
 * @raw_model: the name as it is
 * @model: the name, which is printable, with an end
 * @data: the model's part, as it is
 * @data_length: bytes of @data
 */
struct stream_identity {
	u64 magic;
	u16 version_major;
	u16 version_minor;
	u32 granule;
	u32 model_version;
	u32 model_data_length;
	u64 memory_size;
	char raw_model[16];
	char model[17];
	u8 data[VFMIG_MODEL_DATA_MAX];
	u32 data_length;
};

/**
 * struct stream_record - a record
 * @number: from 0 on
 * @offset: of its header in the stream
 * @file_offset: of its header in the file
 * @type: &enum vfmig_record_type, or something unknown
 * @flags: VFMIG_RECORD_*
 * @length: bytes of @payload
 * @payload: what follows the header; valid until the next record
 * @extent_offset: of a MEMORY or HOLE record
 * @extent_length: the same
 * @problem: what is wrong with it, or ""
 */
struct stream_record {
	u64 number;
	u64 offset;
	u64 file_offset;
	u32 type;
	u32 flags;
	u64 length;
	const u8 *payload;
	u64 extent_offset;
	u64 extent_length;
	char problem[STREAM_REASON];
};

/**
 * struct stream - a stream that is being read
 * @source: the bytes
 * @like: identity of the stream of a device that the destination is like, or NULL
 * @keep_going: go on behind a record that is wrong, if its header is right
 * @stage: what may come; not VFMIG_PARSE_FAILED
 * @bytes: bytes before the record under way
 * @records: records before it
 * @counts: records of each type so far
 * @memory_bytes: bytes of device memory in MEMORY records so far
 * @first: the first identity
 * @identity: the last one
 * @model: of @identity, NULL if it is not known here
 * @state: the payloads of STATE records, of a known model
 * @state_length: bytes of all STATE records so far
 * @state_crc: CRC32C of them
 * @refused: something was wrong
 * @where: the byte of the stream that @reason is about
 * @where_file: the same in the file
 * @where_record: number of the record
 * @reason: the first thing that was wrong
 * @over: nothing can be read any more
 * @record: the record under way
 * @buf: its payload, STREAM_PAYLOAD_MAX bytes
 */
struct stream {
	struct source *source;
	const struct stream_identity *like;
	bool keep_going;
	enum vfmig_parse_stage stage;
	u64 bytes;
	u64 records;
	u64 counts[STREAM_TYPES];
	u64 memory_bytes;
	struct stream_identity first;
	struct stream_identity identity;
	const struct model *model;
	u8 *state;
	u64 state_length;
	u32 state_crc;
	bool refused;
	u64 where;
	u64 where_file;
	u64 where_record;
	char reason[STREAM_REASON];
	bool over;
	struct stream_record record;
	u8 *buf;
};

/* False if there is no memory.  @source stays the caller's. */
bool stream_init(struct stream *stream, struct source *source);
void stream_exit(struct stream *stream);

/*
 * The next record, which is the stream's; NULL behind the last one, or where the stream is
 * refused: @refused tells.  With @keep_going also a record that has a @problem.
 */
const struct stream_record *stream_next(struct stream *stream);

/* "MEMORY" and so on; NULL if it is not known */
const char *stream_type_name(u32 type);

/* The whole state, and its bytes, of a known model; NULL otherwise */
const u8 *stream_state(const struct stream *stream, size_t *length);

#endif /* VFMIGCTL_STREAM_H */
