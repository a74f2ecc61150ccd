// SPDX-License-Identifier: GPL-2.0-only
/*
 * The records of a VF's stream, which are made as they are read.  Of the device's state one piece
 * at a time is kept aside, because the header before it has its length and its CRC.
 */
#include <linux/err.h>
#include <linux/highmem.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include <asm/byteorder.h>

#include "device.h"
#include "save_priv.h"
#include "stream.h"
#include "trace.h"

/*
 * Begins a record whose header and fixed payload, @fixed bytes, are in @head,
 * and that goes on with @body bytes from @offset of device memory or of @piece.
 */
static void vfmig_begin_record(struct vfmig_save *save, enum vfmig_save_kind kind, size_t fixed,
			       u64 offset, size_t body)
{
	const struct vfmig_record *rec = (const void *)save->head;

	save->kind = kind;
	save->memory = le32_to_cpu(rec->type) == VFMIG_RECORD_MEMORY;
	save->head_len = sizeof(*rec) + fixed;
	save->head_pos = 0;
	save->body_offset = offset;
	save->body_left = body;
	save->piece_at = offset;
	save->piece_len = save->memory ? 0 : body;
	save->bytes += save->head_len + body;
	save->records++;
	trace_vfmig_save_record(&save->vfdev->core.pdev->dev, le32_to_cpu(rec->type), offset,
				fixed + body);
}

int vfmig_save_begin_identity(struct vfmig_save *save, enum vfmig_save_kind kind)
{
	struct vfmig_device *vfdev = save->vfdev;
	struct vfmig_record *rec = (void *)save->head;
	struct vfmig_vf_identity id = {};
	size_t len;
	int ret;

	ret = vfdev->ops->identity(vfdev->vf, &id);
	if (ret)
		return ret;
	len = vfmig_identity_pack(&id, (void *)(rec + 1));
	vfmig_record_init(rec, VFMIG_RECORD_IDENTITY, len);
	vfmig_record_set_crc(rec, rec + 1, len);
	vfmig_begin_record(save, kind, len, 0, 0);
	save->memory_size = id.memory_size;
	save->identity_bytes = save->head_len;
	return 0;
}

static u32 vfmig_page_crc(u32 crc, struct page *page)
{
	void *data = kmap_local_page(page);

	crc = vfmig_crc(crc, data, VFMIG_GRANULE);
	kunmap_local(data);
	return crc;
}

/* Continue the CRC of @run */
static int vfmig_crc_pages(struct vfmig_save *save)
{
	struct vfmig_device *vfdev = save->vfdev;

	for (; save->run_done < save->run.length; save->run_done += VFMIG_GRANULE) {
		struct page *page;

		page = vfdev->ops->mem->page(vfdev->vf, save->run.offset + save->run_done);
		if (IS_ERR(page))
			return PTR_ERR(page);
		/* Without a page the VF was reset, and vfmig_copy_piece() gives zeroes */
		save->run_crc = vfmig_page_crc(save->run_crc, page ?: ZERO_PAGE(0));
		if (page)
			put_page(page);
		cond_resched();
	}
	return 0;
}

/* Read device memory that has no pages into @piece, as far as it fits */
static int vfmig_fill_piece(struct vfmig_save *save, u64 offset, u64 left)
{
	struct vfmig_device *vfdev = save->vfdev;
	size_t len = min_t(u64, left, VFMIG_STATE_CHUNK);
	int ret;

	/* On error the piece is empty, and comes next */
	save->piece_at = offset;
	save->piece_len = 0;
	ret = vfdev->ops->mem->read(vfdev->vf, offset, save->piece, len);
	if (!ret)
		save->piece_len = len;
	return ret;
}

/* The same without pages */
static int vfmig_crc_pieces(struct vfmig_save *save)
{
	int ret;

	for (; save->run_done < save->run.length; save->run_done += save->piece_len) {
		ret = vfmig_fill_piece(save, save->run.offset + save->run_done,
				       save->run.length - save->run_done);
		if (ret)
			return ret;
		save->run_crc = vfmig_crc(save->run_crc, save->piece, save->piece_len);
		cond_resched();
	}
	return 0;
}

/*
 * CRC of the payload of @run's record.  The header comes before the data, so this reads the data
 * before it is copied to the user.  It is the same data: the VF is frozen.  A run has at most
 * VFMIG_MEMORY_MAX bytes, so @lock is not held for long.  If a part can't be read now, the next
 * call continues there: the device may have no room for more than one part.
 */
static int vfmig_memory_crc(struct vfmig_save *save, const struct vfmig_extent *extent)
{
	if (!save->run_done)
		save->run_crc = vfmig_crc(0, extent, sizeof(*extent));
	return save->vfdev->ops->mem->page ? vfmig_crc_pages(save) : vfmig_crc_pieces(save);
}

/* Begins the record of @run, or leaves it due */
static int vfmig_begin_run(struct vfmig_save *save)
{
	const struct vfmig_mem_run *run = &save->run;
	struct vfmig_record *rec = (void *)save->head;
	struct vfmig_extent *extent = (void *)(rec + 1);
	size_t body = run->hole ? 0 : run->length;
	int ret;

	extent->offset = cpu_to_le64(run->offset);
	extent->length = cpu_to_le64(run->length);
	vfmig_record_init(rec, run->hole ? VFMIG_RECORD_HOLE : VFMIG_RECORD_MEMORY,
			  sizeof(*extent) + body);
	if (run->hole) {
		vfmig_record_set_crc(rec, extent, sizeof(*extent));
	} else if (save->data_crc) {
		ret = vfmig_memory_crc(save, extent);
		if (ret)
			return ret;
		vfmig_record_set_payload_crc(rec, save->run_crc);
	} else {
		vfmig_record_set_extent_crc(rec, extent);
	}
	save->run_due = false;
	vfmig_begin_record(save, vfmig_save_run_kind(run), sizeof(*extent), run->offset, body);
	return 0;
}

/* Takes the next run from the device, unless one is due */
static int vfmig_take_run(struct vfmig_save *save)
{
	struct vfmig_device *vfdev = save->vfdev;
	int ret;

	if (save->run_due)
		return 1;
	/* No run after a resize before the destination knows of it */
	ret = vfdev->ops->mem->next(vfdev->vf, save->memory_size, &save->run);
	save->run_due = ret > 0;
	save->run_done = 0;
	return ret;
}

/*
 * Begins a record of what is pending of the device's memory.  Returns 1, 0 if nothing is, or
 * a negative errno.
 */
static int vfmig_begin_memory(struct vfmig_save *save)
{
	struct vfmig_mem_pending pending;
	int ret;

	if (!save->vfdev->ops->mem)
		return 0;
	ret = vfmig_take_run(save);
	if (ret < 0)
		return ret;
	if (ret)
		return vfmig_begin_run(save) ?: 1;
	ret = vfmig_save_mem_pending(save, &pending);
	if (ret)
		return ret;
	if (vfmig_save_identity_due(save, &pending))
		return vfmig_save_begin_identity(save, VFMIG_SAVE_REINIT) ?: 1;
	return 0;
}

static enum vfmig_save_kind vfmig_state_save_kind(enum vfmig_state_kind kind)
{
	switch (kind) {
	case VFMIG_STATE_INITIAL:
		return VFMIG_SAVE_INITIAL;
	case VFMIG_STATE_REINIT:
		return VFMIG_SAVE_REINIT;
	case VFMIG_STATE_DIRTY:
		return VFMIG_SAVE_DIRTY;
	default:
		return VFMIG_SAVE_TRAILER;
	}
}

/* The same for the device's state */
static int vfmig_begin_state(struct vfmig_save *save)
{
	struct vfmig_record *rec = (void *)save->head;
	struct vfmig_device *vfdev = save->vfdev;
	enum vfmig_state_kind kind = VFMIG_STATE_FINAL;
	ssize_t len;

	len = vfdev->ops->state_read(vfdev->vf, save->piece, VFMIG_STATE_CHUNK, &kind);
	if (len <= 0)
		return len;
	vfmig_record_init(rec, VFMIG_RECORD_STATE, len);
	vfmig_record_set_crc(rec, save->piece, len);
	vfmig_begin_record(save, vfmig_state_save_kind(kind), 0, 0, len);
	save->states++;
	return 1;
}

static void vfmig_begin_end(struct vfmig_save *save)
{
	struct vfmig_record *rec = (void *)save->head;
	struct vfmig_end *end = (void *)(rec + 1);

	save->ended = true;
	end->bytes = cpu_to_le64(save->bytes);
	end->records = cpu_to_le64(save->records);
	vfmig_record_init(rec, VFMIG_RECORD_END, sizeof(*end));
	vfmig_record_set_crc(rec, end, sizeof(*end));
	vfmig_begin_record(save, VFMIG_SAVE_TRAILER, sizeof(*end), 0, 0);
}

/*
 * Does state come before memory?  Of a VF that runs, where it is initial and the memory is dirty:
 * a guest that writes memory all the time must not keep a reader from the end of what is initial.
 */
static bool vfmig_state_is_first(const struct vfmig_save *save)
{
	struct vfmig_device *vfdev = save->vfdev;
	struct vfmig_state_pending state = {};
	struct vfmig_mem_pending mem;

	/* An error is for vfmig_begin_memory() to tell */
	if (save->stop_copy || !vfdev->ops->mem || vfmig_save_mem_pending(save, &mem))
		return false;
	return !vfmig_count_bytes(&mem.initial) && !vfmig_count_bytes(&mem.reinit) &&
	       !vfmig_save_identity_due(save, &mem) &&
	       !vfdev->ops->state_pending(vfdev->vf, &state) && state.initial + state.reinit;
}

/* Begins the next record of memory or state.  Returns 1, 0 if there is none, or an errno. */
static int vfmig_begin_next(struct vfmig_save *save)
{
	int ret = 0;

	if (vfmig_state_is_first(save))
		ret = vfmig_begin_state(save);
	return ret ?: vfmig_begin_memory(save) ?: vfmig_begin_state(save);
}

/*
 * How often a reader of a VF that runs looks for a record while the VF counts something as
 * pending.  Something may have become pending since the last look.  Or the VF's numbers are
 * estimates, and there is nothing.
 */
#define VFMIG_LOOKS	4

/* As vfmig_save_need_record(), for a VF that runs */
static int vfmig_look_for_record(struct vfmig_save *save)
{
	int ret;

	if (vfmig_save_withholds(save))
		return -ENOMSG;
	for (unsigned int i = 0; i < VFMIG_LOOKS; i++) {
		ret = vfmig_begin_next(save);
		if (ret)
			return ret;
		ret = vfmig_save_is_drained(save);
		if (ret)
			return ret < 0 ? ret : -ENOMSG;
	}
	/* Until the PF driver says that there is something after all */
	save->starved = true;
	return -ENOMSG;
}

/*
 * Sees to it that a record is under way.  Returns 1, 0 at the end of the stream, -ENOMSG where
 * there is nothing now but may be later, or another errno.  What becomes pending between two
 * looks is not passed over: if the VF's numbers are exact, a reader gets -ENOMSG only where
 * VFIO_MIG_GET_PRECOPY_INFO would have said 0, or after VFMIG_LOOKS looks in vain.
 */
int vfmig_save_need_record(struct vfmig_save *save)
{
	int ret;

	if (vfmig_save_record_unread(save))
		return 1;
	if (save->ended)
		return 0;
	if (!save->stop_copy)
		return vfmig_look_for_record(save);

	ret = vfmig_begin_next(save);
	if (ret)
		return ret;
	/* A stream without a state would make a device of nothing */
	if (!save->states)
		return -EIO;
	vfmig_begin_end(save);
	return 1;
}

/* The next piece of device memory that consists of pages, at most a granule */
static int vfmig_get_page_piece(struct vfmig_save *save, struct vfmig_piece *piece)
{
	struct vfmig_device *vfdev = save->vfdev;
	struct page *page;

	piece->memory = true;
	piece->offset = save->body_offset % VFMIG_GRANULE;
	piece->len = min_t(size_t, VFMIG_GRANULE - piece->offset, save->body_left);
	page = vfdev->ops->mem->page(vfdev->vf, save->body_offset - piece->offset);
	if (IS_ERR(page))
		return PTR_ERR(page);
	piece->page = page;
	return 0;
}

static int vfmig_get_buffer_piece(struct vfmig_save *save, struct vfmig_piece *piece)
{
	int ret;

	if (save->body_offset == save->piece_at + save->piece_len) {
		ret = vfmig_fill_piece(save, save->body_offset, save->body_left);
		if (ret)
			return ret;
	}
	piece->buf = save->piece;
	piece->offset = save->body_offset - save->piece_at;
	piece->len = save->piece_len - piece->offset;
	return 0;
}

int vfmig_save_get_piece(struct vfmig_save *save, struct vfmig_piece *piece)
{
	*piece = (struct vfmig_piece) {};
	if (save->head_pos < save->head_len) {
		piece->buf = save->head;
		piece->offset = save->head_pos;
		piece->len = save->head_len - save->head_pos;
		return 0;
	}
	if (save->memory && save->vfdev->ops->mem->page)
		return vfmig_get_page_piece(save, piece);
	return vfmig_get_buffer_piece(save, piece);
}
