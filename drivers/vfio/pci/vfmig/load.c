// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writing a VF's stream.  The records are taken apart as they arrive, cut
 * anywhere; device memory goes from the user's pages into pages that the PF
 * driver keeps, or through a buffer.  Nothing of it is used before the closing record,
 * whose write() applies it all or fails.
 *
 * What is written is hostile.  A record is refused for its header where that is
 * possible, before any of its payload is taken; what is allocated is bounded by
 * the VF's own memory, VFMIG_STATE_MAX, and what the PF driver takes of a state.  After a
 * refusal the file stays so.
 *
 * The file can outlive the transition that made it, the device fd and the VF.
 * It then has no vfdev any more, and writes fail with -ENODEV.
 */
#include <linux/anon_inodes.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/wait.h>

#include <asm/byteorder.h>

#include "device.h"
#include "fault.h"
#include "load.h"
#include "stream.h"
#include "trace.h"

/* Too large a stream is refused; it kills nobody for want of memory */
#define VFMIG_LOAD_GFP	(GFP_KERNEL_ACCOUNT | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

/* A hole can be as large as the memory.  The lock is let go after that many bytes of it. */
#define VFMIG_HOLE_PIECE	((u64)SZ_64M)

enum vfmig_load_stage {
	VFMIG_LOAD_IDENTITY,	/* nothing but the identity record may come */
	VFMIG_LOAD_BODY,	/* memory, holes, another identity or a piece of the state */
	VFMIG_LOAD_STATE,	/* the same, or the closing record, as there is a state */
	VFMIG_LOAD_DONE,	/* applied; nothing may come */
	VFMIG_LOAD_FAILED,
};

/* What the bytes that come next are */
enum vfmig_load_part {
	VFMIG_PART_HEADER,	/* of the record, into @rec */
	VFMIG_PART_FIXED,	/* of the payload, into @fixed */
	VFMIG_PART_MEMORY,	/* into @page, or a piece of it into @buf */
	VFMIG_PART_STATE,	/* into @buf */
	VFMIG_PART_SKIP,	/* into @fixed, over and over */
	VFMIG_PART_HOLE,	/* none: a hole, which is @due piece by piece */
};

/**
 * struct vfmig_load - a data fd that is written to
 * @filp: its file, with the driver's own reference while @vfdev is set
 * @memcg: of the process that began the load.  It pays for what is loaded, not the writer.
 * @wait: a writer whose piece the device has no room for; woken when it may have, and when
 *	RESUMING was left
 * @ready: how often the PF driver said that there is room
 * @write_lock: serialises writers, held while user memory is touched, and protects
 *	all from @fault to @due.  Taken by writers only, so that nobody else ever
 *	waits for user memory.
 * @fault: what is to go wrong with it on purpose
 * @taken: bytes of the stream that were taken
 * @part: what comes next
 * @pos: bytes of it that came
 * @len: bytes that it has
 * @rec: header of the record under way
 * @crc: CRC32C of its payload so far
 * @fixed: the payload, or its part before the bulk
 * @offset: where in device memory the next granule goes, or the next piece of a hole begins
 * @paged: the data of the memory under way goes into pages, not through @buf
 * @page: the granule that is being filled, or NULL
 * @buf: a piece of the state, or of memory that has no pages; or NULL.  Allocated when its first
 *	byte comes, with no lock that an arc or a reset waits for.
 * @version_minor: of the format, from the last identity record
 * @model_version: version of the state, from the last identity record
 * @memory_size: of the source, from the last identity record
 * @bytes: bytes of the stream before the record under way.  Also read without the lock.
 * @records: records before it
 * @due: what came is to be given to the device, which had no room for it, or gets it in pieces
 * @lock: protects @vfdev and @stage.  Nests in the state_mutex and in @write_lock;
 *	nothing that waits for the user is done under it.
 * @vfdev: the VF, or NULL when RESUMING was left
 * @stage: what may come
 */
struct vfmig_load {
	struct file *filp;
	struct mem_cgroup *memcg;

	wait_queue_head_t wait;
	atomic_t ready;

	struct mutex write_lock;	/* writers; fault to due */
	struct vfmig_fault_fd fault;
	u64 taken;
	enum vfmig_load_part part;
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

	struct mutex lock;		/* vfdev and stage */
	struct vfmig_device *vfdev;
	enum vfmig_load_stage stage;
};

static void vfmig_expect(struct vfmig_load *load, enum vfmig_load_part part, u64 len)
{
	load->part = part;
	load->pos = 0;
	load->len = len;
}

static u32 vfmig_rec_type(const struct vfmig_load *load)
{
	return le32_to_cpu(load->rec.type);
}

static u64 vfmig_rec_length(const struct vfmig_load *load)
{
	return le64_to_cpu(load->rec.length);
}

/* Says in the log why the stream is refused.  Under @lock. */
static int __printf(2, 3) vfmig_refuse(struct vfmig_load *load, const char *fmt, ...)
{
	struct vfmig_device *vfdev = load->vfdev;
	struct va_format vaf;
	va_list args;

	if (!__ratelimit(&vfdev->refusals))
		return -EINVAL;
	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	pci_err(vfdev->core.pdev, "migration stream refused at record %llu, byte %llu: %pV\n",
		load->records, load->bytes, &vaf);
	va_end(args);
	return -EINVAL;
}

/* Says in the log that it is for lack of memory, if it is.  Under @lock.  Returns @ret. */
static int vfmig_no_room(struct vfmig_load *load, int ret)
{
	if (ret == -ENOSPC)
		vfmig_refuse(load, "the memory of all VFs together is at its limit");
	else if (ret == -ENOMEM)
		vfmig_refuse(load, "no memory for it");
	return ret;
}

/* Which types may come at which stage */
static bool vfmig_type_due(enum vfmig_load_stage stage, u32 type)
{
	switch (type) {
	case VFMIG_RECORD_IDENTITY:
		/* Again where the source was resized */
		return stage <= VFMIG_LOAD_STATE;
	case VFMIG_RECORD_END:
		return stage == VFMIG_LOAD_STATE;
	default:
		return stage == VFMIG_LOAD_BODY || stage == VFMIG_LOAD_STATE;
	}
}

/* Bounds of the payload of a type, in bytes */
static void vfmig_type_bounds(u32 type, u64 *min, u64 *max)
{
	switch (type) {
	case VFMIG_RECORD_IDENTITY:
		*min = sizeof(struct vfmig_identity);
		*max = VFMIG_IDENTITY_MAX;
		break;
	case VFMIG_RECORD_MEMORY:
		*min = sizeof(struct vfmig_extent) + VFMIG_GRANULE;
		*max = sizeof(struct vfmig_extent) + VFMIG_MEMORY_MAX;
		break;
	case VFMIG_RECORD_HOLE:
		*min = sizeof(struct vfmig_extent);
		*max = sizeof(struct vfmig_extent);
		break;
	case VFMIG_RECORD_STATE:
		*min = 1;
		*max = VFMIG_STATE_MAX;
		break;
	case VFMIG_RECORD_END:
		*min = sizeof(struct vfmig_end);
		*max = sizeof(struct vfmig_end);
		break;
	default:
		*min = 0;
		*max = VFMIG_OPTIONAL_MAX;
	}
}

/* Every type of ours but MEMORY must carry a CRC of its payload */
static bool vfmig_type_needs_crc(u32 type)
{
	return type >= VFMIG_RECORD_IDENTITY && type <= VFMIG_RECORD_END &&
	       type != VFMIG_RECORD_MEMORY;
}

static int vfmig_check_header(struct vfmig_load *load)
{
	u32 flags = le32_to_cpu(load->rec.flags);
	u64 length = vfmig_rec_length(load);
	u32 type = vfmig_rec_type(load);
	u64 min, max;

	if (!vfmig_record_valid(&load->rec))
		return vfmig_refuse(load, "bad header CRC");
	if (flags & ~(VFMIG_RECORD_MANDATORY | VFMIG_RECORD_PAYLOAD_CRC))
		return vfmig_refuse(load, "unknown flags %#x", flags);
	if ((type < VFMIG_RECORD_IDENTITY || type > VFMIG_RECORD_END) &&
	    flags & VFMIG_RECORD_MANDATORY)
		return vfmig_refuse(load, "unknown mandatory record type %u", type);
	if (!vfmig_type_due(load->stage, type))
		return vfmig_refuse(load, "record type %u out of order", type);
	if (vfmig_type_needs_crc(type) && !(flags & VFMIG_RECORD_PAYLOAD_CRC))
		return vfmig_refuse(load, "record type %u without payload CRC", type);
	vfmig_type_bounds(type, &min, &max);
	if (length < min || length > max)
		return vfmig_refuse(load, "record type %u with %llu bytes, not %llu to %llu",
				    type, length, min, max);
	return 0;
}

static bool vfmig_load_is_spoilt(const struct vfmig_load *load)
{
	return vfmig_fault_armed(load->fault.faults, VFMIG_FAULT_WRITE);
}

/* What is to go wrong with the record on purpose? */
static int vfmig_spoil_record(struct vfmig_load *load)
{
	int ret;

	ret = vfmig_fault_meet_record(&load->fault, load->records + 1,
				      vfmig_rec_type(load) == VFMIG_RECORD_END);
	if (ret && ret != -EAGAIN)
		vfmig_refuse(load, "on command");
	return ret;
}

/* The header came: what does the payload begin with? */
static int vfmig_header_done(struct vfmig_load *load)
{
	u64 length = vfmig_rec_length(load);
	int ret;

	ret = vfmig_check_header(load);
	if (!ret && vfmig_load_is_spoilt(load))
		ret = vfmig_spoil_record(load);
	if (ret)
		return ret;
	load->crc = 0;
	trace_vfmig_load_record(&load->vfdev->core.pdev->dev, vfmig_rec_type(load), 0, length);

	switch (vfmig_rec_type(load)) {
	case VFMIG_RECORD_IDENTITY:
	case VFMIG_RECORD_HOLE:
	case VFMIG_RECORD_END:
		vfmig_expect(load, VFMIG_PART_FIXED, length);
		return 0;
	case VFMIG_RECORD_MEMORY:
		vfmig_expect(load, VFMIG_PART_FIXED, sizeof(struct vfmig_extent));
		return 0;
	case VFMIG_RECORD_STATE:
		vfmig_expect(load, VFMIG_PART_STATE, length);
		return 0;
	default:
		vfmig_expect(load, VFMIG_PART_SKIP, length);
		return 0;
	}
}

/* A record is complete */
static int vfmig_record_done(struct vfmig_load *load)
{
	kvfree(load->buf);
	load->buf = NULL;
	WRITE_ONCE(load->bytes, load->bytes + sizeof(load->rec) + vfmig_rec_length(load));
	load->records++;
	vfmig_expect(load, VFMIG_PART_HEADER, sizeof(load->rec));
	return 0;
}

static int vfmig_check_crc(struct vfmig_load *load)
{
	if (!(le32_to_cpu(load->rec.flags) & VFMIG_RECORD_PAYLOAD_CRC))
		return 0;
	if (le32_to_cpu(load->rec.payload_crc) != load->crc)
		return vfmig_refuse(load, "bad payload CRC of record type %u",
				    vfmig_rec_type(load));
	return 0;
}

static int vfmig_check_identity(struct vfmig_load *load, const struct vfmig_vf_identity *id)
{
	const struct vfmig_identity *in = (const void *)load->fixed;
	struct vfmig_device *vfdev = load->vfdev;
	struct vfmig_vf_identity own = {};
	const char *why;
	int ret;

	ret = vfdev->ops->identity(vfdev->vf, &own);
	if (ret)
		return ret;
	if (le64_to_cpu(in->magic) != VFMIG_STREAM_MAGIC)
		return vfmig_refuse(load, "no vfmig stream: magic %#llx", le64_to_cpu(in->magic));
	if (le16_to_cpu(in->version_major) != VFMIG_STREAM_VERSION_MAJOR)
		return vfmig_refuse(load, "format version %u, not %u",
				    le16_to_cpu(in->version_major), VFMIG_STREAM_VERSION_MAJOR);
	if (le32_to_cpu(in->granule) != VFMIG_GRANULE)
		return vfmig_refuse(load, "granule of %u bytes, not %u",
				    le32_to_cpu(in->granule), VFMIG_GRANULE);
	if (le32_to_cpu(in->model_data_length) != id->data_length)
		return vfmig_refuse(load, "%u bytes of model data in a record that has %u",
				    le32_to_cpu(in->model_data_length), id->data_length);
	if (memcmp(id->model, own.model, sizeof(own.model)))
		return vfmig_refuse(load, "device model \"%*pE\", not \"%.16s\"",
				    (int)strnlen(id->model, sizeof(id->model)), id->model,
				    own.model);
	if (id->model_version > own.model_version)
		return vfmig_refuse(load, "version %u of the device model, newer than %u",
				    id->model_version, own.model_version);
	if (id->memory_size != own.memory_size)
		return vfmig_refuse(load, "%llu bytes of device memory, not %llu",
				    id->memory_size, own.memory_size);
	if (!vfdev->ops->identity_check)
		return 0;
	why = vfdev->ops->identity_check(vfdev->vf, id);
	return why ? vfmig_refuse(load, "%s", why) : 0;
}

static int vfmig_identity_done(struct vfmig_load *load)
{
	const struct vfmig_identity *in = (const void *)load->fixed;
	struct vfmig_vf_identity id = {
		.model_version = le32_to_cpu(in->model_version),
		.memory_size = le64_to_cpu(in->memory_size),
		.data_length = vfmig_rec_length(load) - sizeof(*in),
	};
	int ret;

	memcpy(id.model, in->model, sizeof(id.model));
	memcpy(id.data, in->model_data, id.data_length);
	ret = vfmig_check_identity(load, &id);
	if (ret)
		return ret;
	load->version_minor = le16_to_cpu(in->version_minor);
	load->model_version = id.model_version;
	load->memory_size = id.memory_size;
	load->stage = max(load->stage, VFMIG_LOAD_BODY);
	return vfmig_record_done(load);
}

static int vfmig_check_extent(struct vfmig_load *load, u64 offset, u64 length)
{
	if (!length || !IS_ALIGNED(offset | length, VFMIG_GRANULE) ||
	    offset >= load->memory_size || length > load->memory_size - offset)
		return vfmig_refuse(load, "extent at %#llx of %#llx bytes in %#llx bytes of memory",
				    offset, length, load->memory_size);
	return 0;
}

/* Version 1.0 has no CRC of it, and one of the payload covers it */
static bool vfmig_extent_valid(const struct vfmig_load *load, const struct vfmig_extent *extent)
{
	return !load->version_minor ||
	       le32_to_cpu(load->rec.flags) & VFMIG_RECORD_PAYLOAD_CRC ||
	       le32_to_cpu(load->rec.payload_crc) == vfmig_crc(0, extent, sizeof(*extent));
}

/* The extent of a MEMORY record came, its data follows */
static int vfmig_memory_extent_done(struct vfmig_load *load)
{
	const struct vfmig_extent *extent = (const void *)load->fixed;
	u64 length = le64_to_cpu(extent->length);
	int ret;

	if (!vfmig_extent_valid(load, extent))
		return vfmig_refuse(load, "bad CRC of an extent");
	if (length != vfmig_rec_length(load) - sizeof(*extent))
		return vfmig_refuse(load, "extent of %#llx bytes in a record of %#llx", length,
				    vfmig_rec_length(load));
	load->offset = le64_to_cpu(extent->offset);
	ret = vfmig_check_extent(load, load->offset, length);
	if (ret)
		return ret;
	load->paged = load->vfdev->ops->mem->load_page;
	vfmig_expect(load, VFMIG_PART_MEMORY, length);
	return 0;
}

static int vfmig_hole_done(struct vfmig_load *load)
{
	const struct vfmig_extent *extent = (const void *)load->fixed;
	u64 offset = le64_to_cpu(extent->offset);
	u64 length = le64_to_cpu(extent->length);
	int ret;

	ret = vfmig_check_extent(load, offset, length);
	if (ret)
		return ret;
	load->offset = offset;
	vfmig_expect(load, VFMIG_PART_HOLE, length);
	return 0;
}

/* A piece of a hole */
static int vfmig_hole_step(struct vfmig_load *load)
{
	struct vfmig_device *vfdev = load->vfdev;
	u64 length = min(load->len - load->pos, VFMIG_HOLE_PIECE);
	int ret;

	ret = vfdev->ops->mem->load_hole(vfdev->vf, load->offset, length);
	if (ret)
		return ret;
	load->offset += length;
	load->pos += length;
	return load->pos < load->len ? 0 : vfmig_record_done(load);
}

/* The device refuses its state */
static int vfmig_bad_state(struct vfmig_load *load, int ret, const char *why)
{
	if (why)
		vfmig_refuse(load, "bad device state: %s", why);
	else
		vfmig_refuse(load, "the device refuses its state: error %d", ret);
	return ret;
}

/* The closing record came: apply it all, or refuse it */
static int vfmig_end_done(struct vfmig_load *load)
{
	const struct vfmig_end *end = (const void *)load->fixed;
	struct vfmig_device *vfdev = load->vfdev;
	const char *why = NULL;
	int ret;

	if (le64_to_cpu(end->bytes) != load->bytes || le64_to_cpu(end->records) != load->records)
		return vfmig_refuse(load, "closed after %llu bytes in %llu records",
				    le64_to_cpu(end->bytes), le64_to_cpu(end->records));
	ret = vfdev->ops->load_commit(vfdev->vf, &why);
	if (ret)
		return vfmig_bad_state(load, ret, why);
	load->stage = VFMIG_LOAD_DONE;
	return vfmig_record_done(load);
}

static int vfmig_fixed_done(struct vfmig_load *load)
{
	int ret;

	if (vfmig_rec_type(load) == VFMIG_RECORD_MEMORY)
		return vfmig_memory_extent_done(load);

	ret = vfmig_check_crc(load);
	if (ret)
		return ret;
	switch (vfmig_rec_type(load)) {
	case VFMIG_RECORD_IDENTITY:
		return vfmig_identity_done(load);
	case VFMIG_RECORD_HOLE:
		return vfmig_hole_done(load);
	default:
		return vfmig_end_done(load);
	}
}

/* A granule is complete: it belongs to the PF driver now */
static int vfmig_granule_done(struct vfmig_load *load)
{
	struct vfmig_device *vfdev = load->vfdev;
	int ret;

	ret = vfdev->ops->mem->load_page(vfdev->vf, load->offset, load->page);
	if (ret)
		return vfmig_no_room(load, ret);
	load->page = NULL;
	load->offset += VFMIG_GRANULE;
	return 0;
}

/* The device gets what is in @buf: all that came since it got something last */
static int vfmig_buffer_done(struct vfmig_load *load)
{
	struct vfmig_device *vfdev = load->vfdev;
	size_t len = (load->pos - 1) % VFMIG_STATE_CHUNK + 1;
	int ret;

	ret = vfdev->ops->mem->load_data(vfdev->vf, load->offset, load->buf, len);
	if (ret)
		return vfmig_no_room(load, ret);
	load->offset += len;
	return 0;
}

static int vfmig_memory_done(struct vfmig_load *load)
{
	int ret = vfmig_check_crc(load);

	return ret ? ret : vfmig_record_done(load);
}

static int vfmig_state_done(struct vfmig_load *load)
{
	struct vfmig_device *vfdev = load->vfdev;
	const char *why = NULL;
	int ret;

	ret = vfmig_check_crc(load);
	if (ret)
		return ret;
	ret = vfdev->ops->load_state(vfdev->vf, load->model_version, load->buf, load->len, &why);
	if (ret == -EAGAIN)
		return ret;
	if (ret)
		return vfmig_bad_state(load, ret, why);
	load->stage = VFMIG_LOAD_STATE;
	return vfmig_record_done(load);
}

/* A granule or a part is complete, as far as it goes without user memory */
static int vfmig_load_step(struct vfmig_load *load)
{
	int ret;

	if (load->part == VFMIG_PART_HOLE)
		return vfmig_hole_step(load);
	if (load->part == VFMIG_PART_MEMORY) {
		ret = load->paged ? vfmig_granule_done(load) : vfmig_buffer_done(load);
		if (ret)
			return ret;
	}
	if (load->pos < load->len)
		return 0;
	switch (load->part) {
	case VFMIG_PART_HEADER:
		return vfmig_header_done(load);
	case VFMIG_PART_FIXED:
		return vfmig_fixed_done(load);
	case VFMIG_PART_MEMORY:
		return vfmig_memory_done(load);
	case VFMIG_PART_STATE:
		return vfmig_state_done(load);
	default:
		return vfmig_check_crc(load) ?: vfmig_record_done(load);
	}
}

static struct page *vfmig_new_granule(struct vfmig_load *load)
{
	struct mem_cgroup *memcg = set_active_memcg(load->memcg);
	struct page *page = alloc_page(VFMIG_LOAD_GFP | __GFP_HIGHMEM);

	set_active_memcg(memcg);
	return page;
}

/* Fills a page, as far as there is data; returns bytes, -ENOMEM or -EFAULT */
static ssize_t vfmig_take_page(struct vfmig_load *load, struct iov_iter *from)
{
	size_t offset = load->pos % VFMIG_GRANULE;
	size_t copied;

	if (!load->page) {
		load->page = vfmig_new_granule(load);
		if (!load->page)
			return -ENOMEM;
	}
	copied = copy_page_from_iter(load->page, offset, VFMIG_GRANULE - offset, from);
	if (copied && le32_to_cpu(load->rec.flags) & VFMIG_RECORD_PAYLOAD_CRC) {
		void *data = kmap_local_page(load->page);

		load->crc = vfmig_crc(load->crc, data + offset, copied);
		kunmap_local(data);
	}
	return copied ? copied : -EFAULT;
}

static void *vfmig_part_buffer(struct vfmig_load *load, size_t *room)
{
	*room = load->len - load->pos;
	switch (load->part) {
	case VFMIG_PART_HEADER:
		return (u8 *)&load->rec + load->pos;
	case VFMIG_PART_FIXED:
		return load->fixed + load->pos;
	case VFMIG_PART_STATE:
		return load->buf + load->pos;
	case VFMIG_PART_MEMORY:
		*room = min(*room, VFMIG_STATE_CHUNK - load->pos % VFMIG_STATE_CHUNK);
		return load->buf + load->pos % VFMIG_STATE_CHUNK;
	default:
		*room = min(*room, sizeof(load->fixed));
		return load->fixed;
	}
}

/* Does the part that comes go into @buf, and there is none yet? */
static bool vfmig_needs_buffer(const struct vfmig_load *load)
{
	return !load->buf &&
	       (load->part == VFMIG_PART_STATE || load->part == VFMIG_PART_MEMORY);
}

static int vfmig_new_buffer(struct vfmig_load *load)
{
	struct mem_cgroup *memcg = set_active_memcg(load->memcg);
	u64 size = load->len;

	if (load->part == VFMIG_PART_MEMORY)
		size = min(size, VFMIG_STATE_CHUNK);
	load->buf = kvmalloc(size, VFMIG_LOAD_GFP);
	set_active_memcg(memcg);
	return load->buf ? 0 : -ENOMEM;
}

static ssize_t vfmig_take_bytes(struct vfmig_load *load, struct iov_iter *from)
{
	size_t room, copied;
	void *buf;

	if (vfmig_needs_buffer(load) && vfmig_new_buffer(load))
		return -ENOMEM;
	buf = vfmig_part_buffer(load, &room);
	copied = copy_from_iter(buf, room, from);
	if (load->part != VFMIG_PART_HEADER)
		load->crc = vfmig_crc(load->crc, buf, copied);
	return copied ? copied : -EFAULT;
}

/* Is anybody still interested, and is anything due? */
static int vfmig_load_check(struct vfmig_load *load)
{
	guard(mutex)(&load->lock);
	if (!load->vfdev)
		return -ENODEV;
	if (load->stage == VFMIG_LOAD_FAILED)
		return -EINVAL;
	if (load->stage == VFMIG_LOAD_DONE)
		return vfmig_refuse(load, "more data after the closing record");
	return 0;
}

/*
 * Does the part of the work that needs the VF.  A stream that fails stays failed.  After -EAGAIN
 * the same is due again.
 */
static int vfmig_load_advance(struct vfmig_load *load)
{
	struct mem_cgroup *memcg;
	int ret;

	guard(mutex)(&load->lock);
	if (!load->vfdev)
		return -ENODEV;
	memcg = set_active_memcg(load->memcg);
	/* A payload without bytes is complete as it begins */
	do
		ret = vfmig_load_step(load);
	while (!ret && !load->len);
	set_active_memcg(memcg);
	load->due = ret == -EAGAIN || (!ret && load->part == VFMIG_PART_HOLE);
	if (ret == -ENOTRECOVERABLE)
		vfmig_migration_lost(load->vfdev);
	if (ret && !load->due)
		load->stage = VFMIG_LOAD_FAILED;
	return ret;
}

static void vfmig_load_fail(struct vfmig_load *load)
{
	guard(mutex)(&load->lock);
	load->stage = VFMIG_LOAD_FAILED;
	if (load->vfdev)
		vfmig_no_room(load, -ENOMEM);
}

/* One copy from the user; bytes taken or a negative errno */
static ssize_t vfmig_take_piece(struct vfmig_load *load, struct iov_iter *from)
{
	ssize_t copied;

	if (load->part == VFMIG_PART_MEMORY && load->paged)
		copied = vfmig_take_page(load, from);
	else
		copied = vfmig_take_bytes(load, from);
	if (copied == -ENOMEM)
		vfmig_load_fail(load);
	if (copied > 0) {
		load->pos += copied;
		load->taken += copied;
	}
	return copied;
}

/* Is there something for the device, or for the next part to begin? */
static bool vfmig_piece_complete(const struct vfmig_load *load)
{
	if (load->pos == load->len)
		return true;
	return load->part == VFMIG_PART_MEMORY &&
	       IS_ALIGNED(load->pos, load->paged ? VFMIG_GRANULE : VFMIG_STATE_CHUNK);
}

/* One copy from the user and what follows from it; bytes taken or a negative errno */
static ssize_t vfmig_write_piece(struct vfmig_load *load, struct iov_iter *from)
{
	ssize_t copied = 0;
	int ret;

	ret = vfmig_load_check(load);
	if (ret)
		return ret;
	if (!load->due) {
		copied = vfmig_take_piece(load, from);
		if (copied < 0 || !vfmig_piece_complete(load))
			return copied;
	}
	ret = vfmig_load_advance(load);
	/* What was taken counts, and the device gets it with the next piece */
	if (ret == -EAGAIN && copied)
		return copied;
	return ret ? ret : copied;
}

/* Waits for room in the device.  @seen is @ready before it had none. */
static int vfmig_wait_for_room(struct vfmig_load *load, int seen)
{
	return wait_event_interruptible(load->wait, atomic_read(&load->ready) != seen ||
					!READ_ONCE(load->vfdev));
}

static ssize_t vfmig_write_all(struct vfmig_load *load, struct iov_iter *from, bool nonblock)
{
	ssize_t done = 0, ret = 0;

	/* All of a hole, even if it is the last that is written now */
	while (iov_iter_count(from) || load->part == VFMIG_PART_HOLE) {
		int seen = atomic_read(&load->ready);

		ret = vfmig_write_piece(load, from);
		if (ret == -EAGAIN && !nonblock) {
			ret = vfmig_wait_for_room(load, seen);
			if (!ret)
				continue;
		}
		if (ret < 0)
			break;
		done += ret;
		if (signal_pending(current)) {
			/* A piece of a hole may have been all, of a write() before this one */
			ret = done ? 0 : -ERESTARTSYS;
			break;
		}
		cond_resched();
	}
	/* These leave the stream as good as it was: what was taken counts */
	if (done && (ret == -EFAULT || ret == -EAGAIN || ret == -ERESTARTSYS))
		return done;
	return ret < 0 ? ret : done;
}

/* The stream is refused on purpose */
static void vfmig_load_spoil(struct vfmig_load *load, int why)
{
	guard(mutex)(&load->lock);
	if (!load->vfdev)
		return;
	vfmig_refuse(load, "on command");
	load->stage = VFMIG_LOAD_FAILED;
	if (why == -ENOTRECOVERABLE)
		vfmig_migration_lost(load->vfdev);
}

/* What is to go wrong with this write() on purpose?  Returns 1 if it goes on, or its result. */
static int vfmig_spoil_write(struct vfmig_load *load, struct iov_iter *from, bool nonblock)
{
	struct vfmig_fault_io io = { .pos = load->taken, .reach = iov_iter_count(from) };
	int ret;

	ret = vfmig_load_check(load);
	if (ret || !io.reach)
		return ret;
	ret = vfmig_fault_meet_call(&load->fault, &io, nonblock);
	if (io.refuse || ret == -ENOTRECOVERABLE)
		vfmig_load_spoil(load, ret);
	iov_iter_truncate(from, io.most);
	return ret;
}

/*
 * A refusal fails the write() that brought it about, whatever that had taken
 * before: a caller must not take a short count for success.
 */
static ssize_t vfmig_load_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct vfmig_load *load = iocb->ki_filp->private_data;
	bool nonblock = iocb->ki_filp->f_flags & O_NONBLOCK;
	ssize_t ret = 1;

	if (nonblock) {
		if (!mutex_trylock(&load->write_lock))
			return -EAGAIN;
	} else if (mutex_lock_interruptible(&load->write_lock)) {
		return -ERESTARTSYS;
	}
	if (vfmig_load_is_spoilt(load))
		ret = vfmig_spoil_write(load, from, nonblock);
	if (ret > 0)
		ret = vfmig_write_all(load, from, nonblock);
	mutex_unlock(&load->write_lock);
	return ret;
}

static int vfmig_load_release(struct inode *inode, struct file *filp)
{
	struct vfmig_load *load = filp->private_data;

	vfmig_fault_fd_exit(&load->fault);
	mutex_destroy(&load->lock);
	mutex_destroy(&load->write_lock);
	if (load->page)
		__free_page(load->page);
	kvfree(load->buf);
	mem_cgroup_put(load->memcg);
	kfree(load);
	return 0;
}

static const struct file_operations vfmig_load_fops = {
	.owner = THIS_MODULE,
	.write_iter = vfmig_load_write_iter,
	.release = vfmig_load_release,
};

/*
 * The data fd of RESUMING; the PF driver begins its load next.  Under the
 * state_mutex.  Ended by vfmig_load_end(), which drops the driver's reference.
 */
struct vfmig_load *vfmig_load_create(struct vfmig_device *vfdev)
{
	struct vfmig_load *load;
	struct file *filp;

	load = kzalloc(sizeof(*load), GFP_KERNEL_ACCOUNT);
	if (!load)
		return ERR_PTR(-ENOMEM);
	filp = anon_inode_getfile("[vfmig-load]", &vfmig_load_fops, load, O_WRONLY);
	if (IS_ERR(filp)) {
		kfree(load);
		return ERR_CAST(filp);
	}
	stream_open(filp->f_inode, filp);
	load->filp = filp;
	load->memcg = get_mem_cgroup_from_mm(current->mm);
	load->vfdev = vfdev;
	init_waitqueue_head(&load->wait);
	mutex_init(&load->write_lock);
	mutex_init(&load->lock);
	vfmig_fault_fd_init(&load->fault, vfdev->faults, &load->vfdev, &load->wait, &load->ready);
	load->fault.writes = true;
	vfmig_expect(load, VFMIG_PART_HEADER, sizeof(load->rec));
	return load;
}

struct file *vfmig_load_file(struct vfmig_load *load)
{
	return load->filp;
}

/* Bytes of the records that came.  A writer that waits for the user holds none up. */
u64 vfmig_load_done(const struct vfmig_load *load)
{
	return READ_ONCE(load->bytes);
}

/* Was a closing record accepted? */
bool vfmig_load_complete(struct vfmig_load *load)
{
	guard(mutex)(&load->lock);
	return load->stage == VFMIG_LOAD_DONE;
}

/* RESUMING was left: writes fail with -ENODEV.  Under the state_mutex. */
void vfmig_load_end(struct vfmig_load *load)
{
	scoped_guard(mutex, &load->lock)
		load->vfdev = NULL;
	wake_up_interruptible(&load->wait);
	fput(load->filp);
}

/* The device may have room.  Atomic context. */
void vfmig_load_wake(struct vfmig_load *load)
{
	atomic_inc(&load->ready);
	wake_up_interruptible(&load->wait);
}
