// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the bytes of a stream go that is taken apart: the header and a short payload into the
 * parser, the state into a buffer, device memory into pages or through a buffer.
 */
#include <linux/align.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/minmax.h>
#include <linux/slab.h>

#include <asm/byteorder.h>

#include "load_parse.h"

/* Too large a stream is refused; it kills nobody for want of memory */
#define VFMIG_PARSE_GFP		(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

static int vfmig_new_granule(struct vfmig_parser *parser)
{
	parser->page = alloc_page(VFMIG_PARSE_GFP | __GFP_HIGHMEM);
	return parser->page ? 0 : -ENOMEM;
}

static int vfmig_new_buffer(struct vfmig_parser *parser)
{
	u64 size = parser->len;

	if (parser->part == VFMIG_PART_MEMORY)
		size = min(size, VFMIG_STATE_CHUNK);
	parser->buf = kvmalloc(size, VFMIG_PARSE_GFP);
	return parser->buf ? 0 : -ENOMEM;
}

/* Does the part that comes go into pages? */
static bool vfmig_part_is_paged(const struct vfmig_parser *parser)
{
	return parser->part == VFMIG_PART_MEMORY && parser->paged;
}

/* Has the part that comes a place that is not allocated yet? */
static int vfmig_make_room(struct vfmig_parser *parser)
{
	if (vfmig_part_is_paged(parser))
		return parser->page ? 0 : vfmig_new_granule(parser);
	if (parser->part != VFMIG_PART_STATE && parser->part != VFMIG_PART_MEMORY)
		return 0;
	return parser->buf ? 0 : vfmig_new_buffer(parser);
}

/*
 * Fill in @room.  Allocates memory, with no lock needed that an arc or a reset waits for: 0 or
 * -ENOMEM.
 */
int vfmig_parse_next(struct vfmig_parser *parser, struct vfmig_parse_room *room)
{
	u64 pos = parser->pos, left = parser->len - pos;
	int ret = vfmig_make_room(parser);

	*room = (struct vfmig_parse_room) {};
	if (ret)
		return ret;
	switch (parser->part) {
	case VFMIG_PART_HEADER:
		room->buf = (u8 *)&parser->rec + pos;
		break;
	case VFMIG_PART_FIXED:
		room->buf = parser->fixed + pos;
		break;
	case VFMIG_PART_STATE:
		room->buf = parser->buf + pos;
		break;
	case VFMIG_PART_MEMORY:
		if (parser->paged) {
			room->page = parser->page;
			room->offset = pos % VFMIG_GRANULE;
			left = VFMIG_GRANULE - room->offset;
			break;
		}
		room->buf = parser->buf + pos % VFMIG_STATE_CHUNK;
		left = min(left, VFMIG_STATE_CHUNK - pos % VFMIG_STATE_CHUNK);
		break;
	default:
		room->buf = parser->fixed;
		left = min(left, sizeof(parser->fixed));
	}
	room->len = left;
	return 0;
}

/* The data of a page only has a CRC if the record says so */
static void vfmig_add_page_crc(struct vfmig_parser *parser, size_t offset, size_t len)
{
	void *data;

	if (!(le32_to_cpu(parser->rec.flags) & VFMIG_RECORD_PAYLOAD_CRC))
		return;
	data = kmap_local_page(parser->page);
	parser->crc = vfmig_crc(parser->crc, data + offset, len);
	kunmap_local(data);
}

/* The first @len bytes of @room came */
void vfmig_parse_took(struct vfmig_parser *parser, const struct vfmig_parse_room *room,
		      size_t len)
{
	if (room->page)
		vfmig_add_page_crc(parser, room->offset, len);
	else if (parser->part != VFMIG_PART_HEADER)
		parser->crc = vfmig_crc(parser->crc, room->buf, len);
	parser->pos += len;
}

/* Is there something for the device, or for the next part to begin? */
bool vfmig_parse_complete(const struct vfmig_parser *parser)
{
	if (parser->pos == parser->len)
		return true;
	return parser->part == VFMIG_PART_MEMORY &&
	       IS_ALIGNED(parser->pos, parser->paged ? VFMIG_GRANULE : VFMIG_STATE_CHUNK);
}
