// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rules of Documentation/stream.rst for a stream that is there as a whole: what a reader must
 * make of it, as simple as possible.  The parser, which gets it in pieces, must come to the same.
 */
#include <errno.h>
#include <string.h>

#include <linux/gfp.h>

#include "../../../../../drivers/vfio/pci/vfmig/stream.h"
#include "expect.h"

/**
 * struct reader - a stream that is read
 * @dev: the destination
 * @paged: it takes pages
 * @rec: header of the record under way
 * @payload: its payload, as far as it is there
 * @there: bytes of it
 * @identity: the last identity, or NULL
 * @state: there is a state
 */
struct reader {
	struct device *dev;
	bool paged;
	const struct vfmig_record *rec;
	const u8 *payload;
	u64 there;
	const struct vfmig_identity *identity;
	bool state;
};

/* Calls of the device that are to be made again are */
#define call(expression)						\
	({								\
		int ret;						\
									\
		do {							\
			ret = (expression);				\
		} while (ret == -EAGAIN);				\
		!ret;							\
	})

static bool in(u64 value, u64 min, u64 max)
{
	return value >= min && value <= max;
}

static bool header_good(const struct reader *r)
{
	const struct vfmig_record *rec = r->rec;
	bool crc = rec->flags & VFMIG_RECORD_PAYLOAD_CRC;

	if (rec->header_crc != vfmig_crc(0, rec, 20) || rec->flags > 3)
		return false;
	switch (rec->type) {
	case VFMIG_RECORD_IDENTITY:
		return crc && in(rec->length, 48, 48 + 256);
	case VFMIG_RECORD_MEMORY:
		return r->identity && in(rec->length, 16 + 4096, 16 + (1 << 20));
	case VFMIG_RECORD_HOLE:
		return r->identity && crc && rec->length == 16;
	case VFMIG_RECORD_STATE:
		return r->identity && crc && in(rec->length, 1, 1 << 20);
	case VFMIG_RECORD_END:
		return r->state && crc && rec->length == 16;
	default:
		return r->identity && !(rec->flags & VFMIG_RECORD_MANDATORY) &&
		       rec->length <= 1 << 20;
	}
}

static bool payload_good(const struct reader *r)
{
	return !(r->rec->flags & VFMIG_RECORD_PAYLOAD_CRC) ||
	       r->rec->payload_crc == vfmig_crc(0, r->payload, r->rec->length);
}

static bool identity_good(struct reader *r)
{
	const struct vfmig_identity *id = (const void *)r->payload;
	struct vfmig_vf_identity own = {}, their = {
		.model_version = id->model_version,
		.memory_size = id->memory_size,
		.data_length = id->model_data_length,
	};

	if (r->dev->ops.identity(r->dev, &own) || id->magic != VFMIG_STREAM_MAGIC ||
	    id->version_major != 1 || id->granule != 4096 ||
	    id->model_data_length != r->rec->length - 48 || memcmp(id->model, own.model, 16) ||
	    id->model_version > own.model_version || id->memory_size != own.memory_size)
		return false;
	memcpy(their.model, id->model, 16);
	memcpy(their.data, id->model_data, id->model_data_length);
	r->identity = id;
	return !r->dev->ops.identity_check(r->dev, &their);
}

static bool extent_good(const struct reader *r, const struct vfmig_extent *extent)
{
	unsigned __int128 end = (unsigned __int128)extent->offset + extent->length;

	return extent->length && !(extent->offset % 4096) && !(extent->length % 4096) &&
	       end <= r->identity->memory_size;
}

static bool hole_good(struct reader *r)
{
	const struct vfmig_extent *extent = (const void *)r->payload;
	u64 piece;

	if (!extent_good(r, extent))
		return false;
	for (u64 done = 0; done < extent->length; done += piece) {
		piece = extent->length - done < 64U << 20 ? extent->length - done : 64U << 20;
		if (!call(r->dev->mem.load_hole(r->dev, extent->offset + done, piece)))
			return false;
	}
	return true;
}

static bool page_good(struct reader *r, u64 offset, const u8 *data)
{
	struct page *page = alloc_page(0);

	memcpy(page->data, data, sizeof(page->data));
	if (call(r->dev->mem.load_page(r->dev, offset, page)))
		return true;
	__free_page(page);
	return false;
}

/* The device gets what came of it, also if the rest does not come */
static bool memory_good(struct reader *r)
{
	const struct vfmig_extent *extent = (const void *)r->payload;
	u32 piece = r->paged ? 4096 : VFMIG_STATE_CHUNK;

	if (r->there < sizeof(*extent))
		return true;
	if ((r->identity->version_minor && !(r->rec->flags & VFMIG_RECORD_PAYLOAD_CRC) &&
	     r->rec->payload_crc != vfmig_crc(0, extent, sizeof(*extent))) ||
	    extent->length != r->rec->length - sizeof(*extent) || !extent_good(r, extent))
		return false;
	for (u64 at = 0; at < extent->length; at += piece) {
		u64 len = extent->length - at < piece ? extent->length - at : piece;
		const u8 *data = r->payload + sizeof(*extent) + at;

		if (r->there - sizeof(*extent) < at + len)
			return true;
		if (r->paged ? !page_good(r, extent->offset + at, data) :
		    !call(r->dev->mem.load_data(r->dev, extent->offset + at, data, len)))
			return false;
	}
	return payload_good(r);
}

static bool record_good(struct reader *r, const struct outcome *outcome)
{
	const struct vfmig_end *end = (const void *)r->payload;
	const char *why = NULL;

	if (r->rec->type == VFMIG_RECORD_MEMORY)
		return memory_good(r);
	if (r->there < r->rec->length)
		return true;
	if (!payload_good(r))
		return false;
	switch (r->rec->type) {
	case VFMIG_RECORD_IDENTITY:
		return identity_good(r);
	case VFMIG_RECORD_HOLE:
		return hole_good(r);
	case VFMIG_RECORD_STATE:
		r->state = true;
		return call(r->dev->ops.load_state(r->dev, r->identity->model_version, r->payload,
						   r->rec->length, &why));
	case VFMIG_RECORD_END:
		return end->bytes == outcome->bytes && end->records == outcome->records &&
		       !r->dev->ops.load_commit(r->dev, &why);
	default:
		return true;
	}
}

struct outcome expect(const u8 *stream, size_t size, struct device *dev)
{
	struct reader r = { .dev = dev, .paged = dev->setup.device & DEVICE_PAGED };
	struct outcome outcome = {};
	size_t left;

	while ((left = size - outcome.bytes)) {
		if (outcome.verdict == VERDICT_DONE) {
			outcome.verdict = VERDICT_REFUSED;
			break;
		}
		if (left < sizeof(*r.rec))
			break;
		r.rec = (const void *)(stream + outcome.bytes);
		r.payload = stream + outcome.bytes + sizeof(*r.rec);
		r.there = left - sizeof(*r.rec);
		if (!header_good(&r) || !record_good(&r, &outcome)) {
			outcome.verdict = VERDICT_REFUSED;
			break;
		}
		if (r.there < r.rec->length)
			break;
		outcome.bytes += sizeof(*r.rec) + r.rec->length;
		outcome.records++;
		if (r.rec->type == VFMIG_RECORD_END)
			outcome.verdict = VERDICT_DONE;
	}
	return outcome;
}
