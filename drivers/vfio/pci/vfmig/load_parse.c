// SPDX-License-Identifier: GPL-2.0-only
/*
 * Taking a stream apart: what a record may be, and what follows from it.  Nothing of a stream is
 * used before the closing record, which applies it all or fails.
 *
 * What is written is hostile.  A record is refused for its header where that is possible, before
 * any of its payload is taken; what is allocated is bounded by the VF's own memory,
 * VFMIG_STATE_MAX, and what the PF driver takes of a state.  After a refusal the parser stays so.
 *
 * The caller brings the bytes and has the locks.  This needs little of the kernel: a fuzzer
 * builds it for user space.
 */
#include <linux/align.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/sprintf.h>
#include <linux/stdarg.h>
#include <linux/string.h>

#include <asm/byteorder.h>

#include "load_parse.h"

/* A hole can be as large as the memory.  A step does that many bytes of it. */
#define VFMIG_HOLE_PIECE	((u64)SZ_64M)

static void vfmig_expect(struct vfmig_parser *parser, enum vfmig_parse_part part, u64 len)
{
	parser->part = part;
	parser->pos = 0;
	parser->len = len;
}

/* Of the record under way */
u32 vfmig_parse_type(const struct vfmig_parser *parser)
{
	return le32_to_cpu(parser->rec.type);
}

static u64 vfmig_rec_length(const struct vfmig_parser *parser)
{
	return le64_to_cpu(parser->rec.length);
}

/* Notes why the stream is refused; returns -EINVAL */
int vfmig_parse_refuse(struct vfmig_parser *parser, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vscnprintf(parser->why, sizeof(parser->why), fmt, args);
	va_end(args);
	return -EINVAL;
}

/* Notes that it is for lack of memory, if it is.  Returns @ret. */
static int vfmig_no_room(struct vfmig_parser *parser, int ret)
{
	if (ret == -ENOSPC)
		vfmig_parse_refuse(parser, "the memory of all VFs together is at its limit");
	else if (ret == -ENOMEM)
		vfmig_parse_refuse(parser, "no memory for it");
	return ret;
}

static int vfmig_check_header(struct vfmig_parser *parser)
{
	u32 flags = le32_to_cpu(parser->rec.flags);
	u64 length = vfmig_rec_length(parser);
	u32 type = vfmig_parse_type(parser);
	u64 min, max;

	if (!vfmig_record_valid(&parser->rec))
		return vfmig_parse_refuse(parser, "bad header CRC");
	if (flags & ~VFMIG_RECORD_FLAGS)
		return vfmig_parse_refuse(parser, "unknown flags %#x", flags);
	if (!vfmig_type_known(type) && flags & VFMIG_RECORD_MANDATORY)
		return vfmig_parse_refuse(parser, "unknown mandatory record type %u", type);
	if (!vfmig_type_due(parser->stage, type))
		return vfmig_parse_refuse(parser, "record type %u out of order", type);
	if (vfmig_type_needs_crc(type) && !(flags & VFMIG_RECORD_PAYLOAD_CRC))
		return vfmig_parse_refuse(parser, "record type %u without payload CRC", type);
	vfmig_type_bounds(type, &min, &max);
	if (length < min || length > max)
		return vfmig_parse_refuse(parser,
					  "record type %u with %llu bytes, not %llu to %llu", type,
					  length, min, max);
	return 0;
}

/* The header came: what does the payload begin with? */
static int vfmig_header_done(struct vfmig_parser *parser)
{
	u64 length = vfmig_rec_length(parser);
	int ret;

	ret = vfmig_check_header(parser);
	if (!ret && parser->begin)
		ret = parser->begin(parser);
	if (ret)
		return ret;
	parser->crc = 0;

	switch (vfmig_parse_type(parser)) {
	case VFMIG_RECORD_IDENTITY:
	case VFMIG_RECORD_HOLE:
	case VFMIG_RECORD_END:
		vfmig_expect(parser, VFMIG_PART_FIXED, length);
		return 0;
	case VFMIG_RECORD_MEMORY:
		vfmig_expect(parser, VFMIG_PART_FIXED, sizeof(struct vfmig_extent));
		return 0;
	case VFMIG_RECORD_STATE:
		vfmig_expect(parser, VFMIG_PART_STATE, length);
		return 0;
	default:
		vfmig_expect(parser, VFMIG_PART_SKIP, length);
		return 0;
	}
}

/* A record is complete */
static int vfmig_record_done(struct vfmig_parser *parser)
{
	kvfree(parser->buf);
	parser->buf = NULL;
	WRITE_ONCE(parser->bytes, parser->bytes + sizeof(parser->rec) + vfmig_rec_length(parser));
	parser->records++;
	vfmig_expect(parser, VFMIG_PART_HEADER, sizeof(parser->rec));
	return 0;
}

static int vfmig_check_crc(struct vfmig_parser *parser)
{
	if (!(le32_to_cpu(parser->rec.flags) & VFMIG_RECORD_PAYLOAD_CRC))
		return 0;
	if (le32_to_cpu(parser->rec.payload_crc) != parser->crc)
		return vfmig_parse_refuse(parser, "bad payload CRC of record type %u",
					  vfmig_parse_type(parser));
	return 0;
}

static int vfmig_check_identity(struct vfmig_parser *parser, const struct vfmig_vf_identity *id)
{
	const struct vfmig_identity *in = (const void *)parser->fixed;
	struct vfmig_vf_identity own = {};
	const char *why;
	int ret;

	ret = parser->ops->identity(parser->vf, &own);
	if (ret)
		return ret;
	if (le64_to_cpu(in->magic) != VFMIG_STREAM_MAGIC)
		return vfmig_parse_refuse(parser, "no vfmig stream: magic %#llx",
					  le64_to_cpu(in->magic));
	if (le16_to_cpu(in->version_major) != VFMIG_STREAM_VERSION_MAJOR)
		return vfmig_parse_refuse(parser, "format version %u, not %u",
					  le16_to_cpu(in->version_major),
					  VFMIG_STREAM_VERSION_MAJOR);
	if (le32_to_cpu(in->granule) != VFMIG_GRANULE)
		return vfmig_parse_refuse(parser, "granule of %u bytes, not %u",
					  le32_to_cpu(in->granule), VFMIG_GRANULE);
	if (le32_to_cpu(in->model_data_length) != id->data_length)
		return vfmig_parse_refuse(parser,
					  "%u bytes of model data in a record that has %u",
					  le32_to_cpu(in->model_data_length), id->data_length);
	if (memcmp(id->model, own.model, sizeof(own.model)))
		return vfmig_parse_refuse(parser, "device model \"%*pE\", not \"%.16s\"",
					  (int)strnlen(id->model, sizeof(id->model)), id->model,
					  own.model);
	if (id->model_version > own.model_version)
		return vfmig_parse_refuse(parser, "version %u of the device model, newer than %u",
					  id->model_version, own.model_version);
	if (id->memory_size != own.memory_size)
		return vfmig_parse_refuse(parser, "%llu bytes of device memory, not %llu",
					  id->memory_size, own.memory_size);
	if (!parser->ops->identity_check)
		return 0;
	why = parser->ops->identity_check(parser->vf, id);
	return why ? vfmig_parse_refuse(parser, "%s", why) : 0;
}

static int vfmig_identity_done(struct vfmig_parser *parser)
{
	const struct vfmig_identity *in = (const void *)parser->fixed;
	struct vfmig_vf_identity id = {
		.model_version = le32_to_cpu(in->model_version),
		.memory_size = le64_to_cpu(in->memory_size),
		.data_length = vfmig_rec_length(parser) - sizeof(*in),
	};
	int ret;

	memcpy(id.model, in->model, sizeof(id.model));
	memcpy(id.data, in->model_data, id.data_length);
	ret = vfmig_check_identity(parser, &id);
	if (ret)
		return ret;
	parser->version_minor = le16_to_cpu(in->version_minor);
	parser->model_version = id.model_version;
	parser->memory_size = id.memory_size;
	parser->stage = max(parser->stage, VFMIG_PARSE_BODY);
	return vfmig_record_done(parser);
}

static int vfmig_check_extent(struct vfmig_parser *parser, u64 offset, u64 length)
{
	if (!length || !IS_ALIGNED(offset | length, VFMIG_GRANULE) ||
	    offset >= parser->memory_size || length > parser->memory_size - offset)
		return vfmig_parse_refuse(parser,
					  "extent at %#llx of %#llx bytes in %#llx bytes of memory",
					  offset, length, parser->memory_size);
	return 0;
}

/* Version 1.0 has no CRC of it, and one of the payload covers it */
static bool vfmig_extent_valid(const struct vfmig_parser *parser, const struct vfmig_extent *extent)
{
	return !parser->version_minor ||
	       le32_to_cpu(parser->rec.flags) & VFMIG_RECORD_PAYLOAD_CRC ||
	       le32_to_cpu(parser->rec.payload_crc) == vfmig_crc(0, extent, sizeof(*extent));
}

/* The extent of a MEMORY record came, its data follows */
static int vfmig_memory_extent_done(struct vfmig_parser *parser)
{
	const struct vfmig_extent *extent = (const void *)parser->fixed;
	u64 length = le64_to_cpu(extent->length);
	int ret;

	if (!vfmig_extent_valid(parser, extent))
		return vfmig_parse_refuse(parser, "bad CRC of an extent");
	if (length != vfmig_rec_length(parser) - sizeof(*extent))
		return vfmig_parse_refuse(parser, "extent of %#llx bytes in a record of %#llx",
					  length, vfmig_rec_length(parser));
	parser->offset = le64_to_cpu(extent->offset);
	ret = vfmig_check_extent(parser, parser->offset, length);
	if (ret)
		return ret;
	parser->paged = parser->ops->mem->load_page;
	vfmig_expect(parser, VFMIG_PART_MEMORY, length);
	return 0;
}

static int vfmig_hole_done(struct vfmig_parser *parser)
{
	const struct vfmig_extent *extent = (const void *)parser->fixed;
	u64 offset = le64_to_cpu(extent->offset);
	u64 length = le64_to_cpu(extent->length);
	int ret;

	ret = vfmig_check_extent(parser, offset, length);
	if (ret)
		return ret;
	parser->offset = offset;
	vfmig_expect(parser, VFMIG_PART_HOLE, length);
	return 0;
}

/* A piece of a hole */
static int vfmig_hole_step(struct vfmig_parser *parser)
{
	u64 length = min(parser->len - parser->pos, VFMIG_HOLE_PIECE);
	int ret;

	ret = parser->ops->mem->load_hole(parser->vf, parser->offset, length);
	if (ret)
		return ret;
	parser->offset += length;
	parser->pos += length;
	return parser->pos < parser->len ? 0 : vfmig_record_done(parser);
}

/* The device refuses its state */
static int vfmig_bad_state(struct vfmig_parser *parser, int ret, const char *why)
{
	if (why)
		vfmig_parse_refuse(parser, "bad device state: %s", why);
	else
		vfmig_parse_refuse(parser, "the device refuses its state: error %d", ret);
	return ret;
}

/* The closing record came: apply it all, or refuse it */
static int vfmig_end_done(struct vfmig_parser *parser)
{
	const struct vfmig_end *end = (const void *)parser->fixed;
	const char *why = NULL;
	int ret;

	if (le64_to_cpu(end->bytes) != parser->bytes ||
	    le64_to_cpu(end->records) != parser->records)
		return vfmig_parse_refuse(parser, "closed after %llu bytes in %llu records",
					  le64_to_cpu(end->bytes), le64_to_cpu(end->records));
	ret = parser->ops->load_commit(parser->vf, &why);
	if (ret)
		return vfmig_bad_state(parser, ret, why);
	parser->stage = VFMIG_PARSE_DONE;
	return vfmig_record_done(parser);
}

static int vfmig_fixed_done(struct vfmig_parser *parser)
{
	int ret;

	if (vfmig_parse_type(parser) == VFMIG_RECORD_MEMORY)
		return vfmig_memory_extent_done(parser);

	ret = vfmig_check_crc(parser);
	if (ret)
		return ret;
	switch (vfmig_parse_type(parser)) {
	case VFMIG_RECORD_IDENTITY:
		return vfmig_identity_done(parser);
	case VFMIG_RECORD_HOLE:
		return vfmig_hole_done(parser);
	default:
		return vfmig_end_done(parser);
	}
}

/* A granule is complete: it belongs to the PF driver now */
static int vfmig_granule_done(struct vfmig_parser *parser)
{
	int ret;

	ret = parser->ops->mem->load_page(parser->vf, parser->offset, parser->page);
	if (ret)
		return vfmig_no_room(parser, ret);
	parser->page = NULL;
	parser->offset += VFMIG_GRANULE;
	return 0;
}

/* The device gets what is in @buf: all that came since it got something last */
static int vfmig_buffer_done(struct vfmig_parser *parser)
{
	size_t len = (parser->pos - 1) % VFMIG_STATE_CHUNK + 1;
	int ret;

	ret = parser->ops->mem->load_data(parser->vf, parser->offset, parser->buf, len);
	if (ret)
		return vfmig_no_room(parser, ret);
	parser->offset += len;
	return 0;
}

static int vfmig_memory_done(struct vfmig_parser *parser)
{
	int ret = vfmig_check_crc(parser);

	return ret ? ret : vfmig_record_done(parser);
}

static int vfmig_state_done(struct vfmig_parser *parser)
{
	const char *why = NULL;
	int ret;

	ret = vfmig_check_crc(parser);
	if (ret)
		return ret;
	ret = parser->ops->load_state(parser->vf, parser->model_version, parser->buf, parser->len,
				      &why);
	if (ret == -EAGAIN)
		return ret;
	if (ret)
		return vfmig_bad_state(parser, ret, why);
	parser->stage = VFMIG_PARSE_STATE;
	return vfmig_record_done(parser);
}

/* A granule or a part is complete, as far as it goes without user memory */
static int vfmig_parse_step(struct vfmig_parser *parser)
{
	int ret;

	if (parser->part == VFMIG_PART_HOLE)
		return vfmig_hole_step(parser);
	if (parser->part == VFMIG_PART_MEMORY) {
		ret = parser->paged ? vfmig_granule_done(parser) : vfmig_buffer_done(parser);
		if (ret)
			return ret;
	}
	if (parser->pos < parser->len)
		return 0;
	switch (parser->part) {
	case VFMIG_PART_HEADER:
		return vfmig_header_done(parser);
	case VFMIG_PART_FIXED:
		return vfmig_fixed_done(parser);
	case VFMIG_PART_MEMORY:
		return vfmig_memory_done(parser);
	case VFMIG_PART_STATE:
		return vfmig_state_done(parser);
	default:
		return vfmig_check_crc(parser) ?: vfmig_record_done(parser);
	}
}

/* May more come? */
int vfmig_parse_check(struct vfmig_parser *parser)
{
	if (parser->stage == VFMIG_PARSE_FAILED)
		return -EINVAL;
	if (parser->stage == VFMIG_PARSE_DONE)
		return vfmig_parse_refuse(parser, "more data after the closing record");
	return 0;
}

/*
 * What is complete goes to the device, or the next part begins.  A stream that fails stays
 * failed.  After -EAGAIN the same is due again.
 */
int vfmig_parse_advance(struct vfmig_parser *parser)
{
	int ret;

	/* A payload without bytes is complete as it begins */
	do
		ret = vfmig_parse_step(parser);
	while (!ret && !parser->len);
	parser->due = ret == -EAGAIN || (!ret && parser->part == VFMIG_PART_HOLE);
	if (!ret || parser->due)
		return ret;
	parser->stage = VFMIG_PARSE_FAILED;
	/* Other operations of a device have no words for it */
	if (!parser->why[0])
		vfmig_parse_refuse(parser, "the device fails: error %d", ret);
	return ret;
}

/* There was no memory for what comes */
int vfmig_parse_no_memory(struct vfmig_parser *parser)
{
	parser->stage = VFMIG_PARSE_FAILED;
	return vfmig_no_room(parser, -ENOMEM);
}

void vfmig_parse_init(struct vfmig_parser *parser, const struct vfmig_vf_ops *ops, void *vf)
{
	*parser = (struct vfmig_parser) { .ops = ops, .vf = vf };
	vfmig_expect(parser, VFMIG_PART_HEADER, sizeof(parser->rec));
}

void vfmig_parse_exit(struct vfmig_parser *parser)
{
	if (parser->page)
		__free_page(parser->page);
	kvfree(parser->buf);
}
