// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading a VF's stream.  The records are made as they are read.  Device
 * memory goes straight to the user's.  Of the device's state one piece at a time is kept
 * aside, because the header before it has its length and its CRC.
 *
 * The file can outlive the transition that made it, the device fd and the VF.
 * It then has no vfdev any more, and reads as -ENODEV.
 */
#include <linux/anon_inodes.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include <asm/byteorder.h>

#include "compat.h"
#include "device.h"
#include "fault.h"
#include "profile.h"
#include "save.h"
#include "stream.h"
#include "trace.h"

static bool data_crc;
module_param(data_crc, bool, 0644);
MODULE_PARM_DESC(data_crc, "Add a CRC of the data to device memory that is read in STOP_COPY (N)");

/* What the record under way counts as */
enum vfmig_save_kind {
	VFMIG_SAVE_INITIAL,
	VFMIG_SAVE_REINIT,	/* new initial data */
	VFMIG_SAVE_DIRTY,
	VFMIG_SAVE_TRAILER,	/* what only a stopped VF gives */
};

/**
 * struct vfmig_save - a data fd that is read from
 * @filp: its file, with the driver's own reference while @vfdev is set
 * @wait: pollers, and a reader whose piece is being made; woken when there is something to
 *	read and when the file's state changes
 * @ready: how often the PF driver said that there is something to read
 * @read_lock: serialises readers, held while user memory is touched.  Taken by
 *	readers only, so that nobody else ever waits for user memory.  Protects @fault, @pos
 *	and @flipped.
 * @fault: what is to go wrong with it on purpose
 * @pos: bytes that were read
 * @flipped: a byte of the stream in which bits were inverted
 * @lock: protects all that follows.  Nests in the state_mutex and in @read_lock;
 *	nothing that waits for the user is done under it.
 * @vfdev: the VF, or NULL when the session is over
 * @stop_copy: the VF is stopped: nothing gets dirty any more, the trailer is due
 * @data_crc: MEMORY records that begin from now on have a CRC of their data; only with
 *	@stop_copy
 * @ended: the closing record was begun
 * @lost: the PF driver does not know where the VF stands, and the migration state becomes ERROR
 * @kind: what the record under way counts as
 * @memory: the rest of its payload is in device memory, not in @piece
 * @head: its header and the fixed part of its payload; written by the reader that
 *	begins a record, so that one under @read_lock may read it without @lock
 * @head_len: bytes in @head
 * @head_pos: bytes of @head that were read
 * @body_offset: where in device memory, or in @piece, the rest of the payload is
 * @body_left: bytes of it that were not read yet
 * @piece: a piece of the state, or of device memory that has no pages, VFMIG_STATE_CHUNK
 *	bytes; written as @head is.  The pointer is constant, and freed with the file.
 * @piece_at: where the piece begins, as @body_offset
 * @piece_len: bytes in @piece
 * @run: a run of device memory whose record is about to begin
 * @run_due: @run was taken from the device.  It stays so if its CRC can't be made now.
 * @run_crc: CRC of @run's extent and of its first @run_done bytes
 * @run_done: see @run_crc
 * @starved: the last piece was not there when @ready was @starved_at.  Read without @lock by
 *	the reader that waits.
 * @starved_at: see @starved
 * @profile: of the VF; constant
 * @whole: size of a whole stream, for a profile that wants it
 * @announced: position up to which the user was told of data
 * @reinits: how often new initial data had appeared when the user was last told
 * @memory_size: of the VF, as the last identity record says
 * @identity_bytes: bytes of an identity record
 * @states: STATE records begun so far
 * @bytes: bytes of the records begun so far
 * @records: records begun so far
 */
struct vfmig_save {
	struct file *filp;
	wait_queue_head_t wait;
	atomic_t ready;
	struct mutex read_lock;		/* readers; fault, pos, flipped */
	struct vfmig_fault_fd fault;
	u64 pos;
	u8 flipped;

	struct mutex lock;		/* all below */
	struct vfmig_device *vfdev;
	bool stop_copy;
	bool data_crc;
	bool ended;
	bool lost;
	enum vfmig_save_kind kind;
	bool memory;
	u8 head[sizeof(struct vfmig_record) + VFMIG_IDENTITY_MAX];
	size_t head_len;
	size_t head_pos;
	u64 body_offset;
	size_t body_left;
	void *piece;
	u64 piece_at;
	size_t piece_len;
	struct vfmig_mem_run run;
	bool run_due;
	u32 run_crc;
	u64 run_done;
	bool starved;
	int starved_at;
	const struct vfmig_profile *profile;
	u64 whole;
	u64 announced;
	u64 reinits;
	u64 memory_size;
	size_t identity_bytes;
	u64 states;
	u64 bytes;
	u64 records;
};

/* One contiguous thing to copy to the user: of @page if @memory is set, else of @buf */
struct vfmig_piece {
	bool memory;
	struct page *page;
	const void *buf;
	size_t offset;
	size_t len;
};

static size_t vfmig_record_unread(const struct vfmig_save *save)
{
	return save->head_len - save->head_pos + save->body_left;
}

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

static int vfmig_begin_identity(struct vfmig_save *save, enum vfmig_save_kind kind)
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

/* Bytes of the identity record that is due since the VF's memory was resized, or 0 */
static size_t vfmig_identity_due(const struct vfmig_save *save,
				 const struct vfmig_mem_pending *pending)
{
	return pending->memory_size == save->memory_size ? 0 : save->identity_bytes;
}

/* Of a device without memory nothing is pending, ever */
static int vfmig_get_mem_pending(const struct vfmig_save *save, struct vfmig_mem_pending *pending)
{
	struct vfmig_device *vfdev = save->vfdev;

	*pending = (struct vfmig_mem_pending) { .memory_size = save->memory_size };
	return vfdev->ops->mem ? vfdev->ops->mem->pending(vfdev->vf, pending) : 0;
}

static enum vfmig_save_kind vfmig_run_kind(const struct vfmig_mem_run *run)
{
	switch (run->kind) {
	case VFMIG_MEM_INITIAL:
		return VFMIG_SAVE_INITIAL;
	case VFMIG_MEM_REINIT:
		return VFMIG_SAVE_REINIT;
	default:
		return VFMIG_SAVE_DIRTY;
	}
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
	vfmig_begin_record(save, vfmig_run_kind(run), sizeof(*extent), run->offset, body);
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
	ret = vfmig_get_mem_pending(save, &pending);
	if (ret)
		return ret;
	if (vfmig_identity_due(save, &pending))
		return vfmig_begin_identity(save, VFMIG_SAVE_REINIT) ?: 1;
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

/**
 * struct vfmig_unread - what is still to be read, in bytes of the stream
 * @initial: the first full copy
 * @reinit: new initial data, which comes next
 * @dirty: what changed
 * @trailer: what comes only when the VF is stopped
 * @reinits: how often new initial data appeared
 */
struct vfmig_unread {
	u64 initial;
	u64 reinit;
	u64 dirty;
	u64 trailer;
	u64 reinits;
};

static void vfmig_add_unread(struct vfmig_unread *unread, enum vfmig_save_kind kind, u64 bytes)
{
	switch (kind) {
	case VFMIG_SAVE_INITIAL:
		unread->initial += bytes;
		break;
	case VFMIG_SAVE_REINIT:
		unread->reinit += bytes;
		break;
	case VFMIG_SAVE_DIRTY:
		unread->dirty += bytes;
		break;
	case VFMIG_SAVE_TRAILER:
		unread->trailer += bytes;
		break;
	}
}

/* Adds what is left of the record under way, and the run that is due */
static void vfmig_add_records(const struct vfmig_save *save, struct vfmig_unread *unread)
{
	const struct vfmig_mem_run *run = &save->run;

	vfmig_add_unread(unread, save->kind, vfmig_record_unread(save));
	if (save->run_due)
		vfmig_add_unread(unread, vfmig_run_kind(run),
				 VFMIG_MEMORY_OVERHEAD + run->length);
}

/* All of it comes only when the VF is stopped */
static void vfmig_postpone(struct vfmig_unread *unread)
{
	unread->trailer += unread->initial + unread->reinit + unread->dirty;
	unread->initial = 0;
	unread->reinit = 0;
	unread->dirty = 0;
}

static int vfmig_count_unread(struct vfmig_save *save, struct vfmig_unread *unread)
{
	struct vfmig_device *vfdev = save->vfdev;
	struct vfmig_state_pending state = {};
	struct vfmig_mem_pending pending;
	int ret;

	*unread = (struct vfmig_unread) {};
	ret = vfmig_get_mem_pending(save, &pending) ?:
	      vfdev->ops->state_pending(vfdev->vf, &state);
	if (ret)
		return ret;
	unread->initial = vfmig_count_bytes(&pending.initial) + vfmig_state_bytes(state.initial);
	unread->reinit = vfmig_count_bytes(&pending.reinit) + vfmig_state_bytes(state.reinit) +
			 vfmig_identity_due(save, &pending);
	unread->dirty = vfmig_count_bytes(&pending.dirty) + vfmig_state_bytes(state.dirty);
	if (!save->ended)
		unread->trailer = vfmig_state_bytes(state.final) + VFMIG_END_BYTES;
	unread->reinits = pending.reinits + state.reinits;
	if (save->profile->identity_only && !save->stop_copy)
		vfmig_postpone(unread);
	vfmig_add_records(save, unread);
	return 0;
}

/* Does a VF with this profile not give now what is pending?  No record is under way. */
static bool vfmig_withholds(struct vfmig_save *save)
{
	struct vfmig_unread unread;

	if (save->profile->identity_only)
		return true;
	if (!save->profile->on_request || save->pos < save->announced)
		return false;
	return !vfmig_count_unread(save, &unread) && !unread.initial;
}

/* Can anything be read of a VF that runs?  What VFIO_MIG_GET_PRECOPY_INFO would say. */
static int vfmig_is_drained(struct vfmig_save *save)
{
	struct vfmig_unread unread;
	int ret;

	if (!vfmig_record_unread(save) && vfmig_withholds(save))
		return 1;
	ret = vfmig_count_unread(save, &unread);
	return ret ?: !(unread.initial + unread.reinit + unread.dirty);
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
	if (save->stop_copy || !vfdev->ops->mem || vfmig_get_mem_pending(save, &mem))
		return false;
	return !vfmig_count_bytes(&mem.initial) && !vfmig_count_bytes(&mem.reinit) &&
	       !vfmig_identity_due(save, &mem) &&
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

/* As vfmig_need_record(), for a VF that runs */
static int vfmig_look_for_record(struct vfmig_save *save)
{
	int ret;

	if (vfmig_withholds(save))
		return -ENOMSG;
	for (unsigned int i = 0; i < VFMIG_LOOKS; i++) {
		ret = vfmig_begin_next(save);
		if (ret)
			return ret;
		ret = vfmig_is_drained(save);
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
static int vfmig_need_record(struct vfmig_save *save)
{
	int ret;

	if (vfmig_record_unread(save))
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

static int vfmig_get_piece(struct vfmig_save *save, struct vfmig_piece *piece)
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

static size_t vfmig_copy_piece(const struct vfmig_piece *piece, struct iov_iter *to)
{
	size_t copied;

	if (!piece->memory)
		return copy_to_iter(piece->buf + piece->offset, piece->len, to);
	/* Deallocated since its record was begun: a hole follows */
	if (!piece->page)
		return iov_iter_zero(min(piece->len, iov_iter_count(to)), to);
	copied = copy_page_to_iter(piece->page, piece->offset, piece->len, to);
	put_page(piece->page);
	return copied;
}

static void vfmig_advance(struct vfmig_save *save, size_t bytes)
{
	save->pos += bytes;
	if (save->head_pos < save->head_len) {
		save->head_pos += bytes;
	} else {
		save->body_offset += bytes;
		save->body_left -= bytes;
	}
}

/*
 * Tells the PF driver if @piece ends the stream and @room bytes have room for it.  This comes
 * before the copy, which no lock is held over: a reset in the middle of it must find the VF handed
 * over, and after a reset, which has not ended the save yet, the last byte is not read any more.
 */
static int vfmig_hand_over(struct vfmig_save *save, const struct vfmig_piece *piece, size_t room)
{
	struct vfmig_device *vfdev = save->vfdev;

	if (!save->ended || vfmig_record_unread(save) > min(piece->len, room) ||
	    !vfdev->ops->handed_over)
		return 0;
	return vfdev->ops->handed_over(vfdev->vf) ? -ENODEV : 0;
}

/* Under @lock */
static int vfmig_next_piece(struct vfmig_save *save, struct vfmig_piece *piece)
{
	int seen = atomic_read(&save->ready);
	int ret;

	if (!save->vfdev)
		return -ENODEV;
	if (save->lost)
		return -ENOTRECOVERABLE;
	save->starved = false;
	save->starved_at = seen;
	ret = vfmig_need_record(save);
	if (ret > 0)
		ret = vfmig_get_piece(save, piece) ?: 1;
	if (ret == -EAGAIN)
		save->starved = true;
	if (ret == -ENOTRECOVERABLE) {
		save->lost = true;
		vfmig_migration_lost(save->vfdev);
	}
	return ret;
}

/* Is something to go wrong with a read() on purpose? */
static bool vfmig_save_is_spoilt(const struct vfmig_save *save)
{
	return vfmig_fault_armed(save->fault.faults, VFMIG_FAULT_READ);
}

/* A piece with a bit to be inverted ends before its byte, or is that byte */
static void vfmig_spoil_piece(struct vfmig_save *save, struct vfmig_piece *piece)
{
	u8 mask;

	piece->len = vfmig_fault_flips(&save->fault, save->pos, piece->len, &mask);
	if (!mask)
		return;
	if (!piece->memory)
		save->flipped = *(const u8 *)(piece->buf + piece->offset);
	else if (piece->page)
		memcpy_from_page(&save->flipped, piece->page, piece->offset, 1);
	else
		save->flipped = 0;
	save->flipped ^= mask;
	if (piece->page)
		put_page(piece->page);
	*piece = (struct vfmig_piece) { .buf = &save->flipped, .len = 1 };
}

/* Bytes copied, 0 at the end of the stream, or a negative errno */
static ssize_t vfmig_read_piece(struct vfmig_save *save, struct iov_iter *to)
{
	struct vfmig_piece piece;
	size_t copied;
	int ret;

	scoped_guard(mutex, &save->lock) {
		ret = vfmig_next_piece(save, &piece);
		if (ret <= 0)
			return ret;
		if (vfmig_save_is_spoilt(save))
			vfmig_spoil_piece(save, &piece);
		ret = vfmig_hand_over(save, &piece, iov_iter_count(to));
		if (ret)
			return ret;
	}
	copied = vfmig_copy_piece(&piece, to);
	scoped_guard(mutex, &save->lock)
		vfmig_advance(save, copied);
	return copied ? copied : -EFAULT;
}

/* Is the piece still being made that a reader wanted? */
static bool vfmig_is_starved(const struct vfmig_save *save)
{
	return READ_ONCE(save->starved) && save->starved_at == atomic_read(&save->ready);
}

/* Waits for a piece that is being made; the device, not the user, is what ends this */
static int vfmig_wait_for_piece(struct vfmig_save *save)
{
	return wait_event_interruptible(save->wait, !vfmig_is_starved(save) ||
					!READ_ONCE(save->vfdev));
}

/* What is to go wrong with this read() on purpose?  Returns 1 if it goes on, or its result. */
static int vfmig_spoil_read(struct vfmig_save *save, struct iov_iter *to, bool nonblock)
{
	struct vfmig_fault_io io = { .pos = save->pos, .reach = 1 };
	int ret;

	if (!iov_iter_count(to))
		return 1;
	scoped_guard(mutex, &save->lock) {
		if (!save->vfdev)
			return -ENODEV;
		/* Which record comes next */
		if (!save->lost && vfmig_need_record(save) > 0 && !save->head_pos) {
			io.record = save->records;
			io.last = save->ended;
		}
	}
	ret = vfmig_fault_meet_call(&save->fault, &io, nonblock);
	iov_iter_truncate(to, io.most);
	if (ret != -ENOTRECOVERABLE)
		return ret;
	scoped_guard(mutex, &save->lock) {
		save->lost = true;
		if (save->vfdev)
			vfmig_migration_lost(save->vfdev);
	}
	return ret;
}

/* Does a fault on purpose wait for the next read()? */
static bool vfmig_read_is_cut(struct vfmig_save *save)
{
	return vfmig_save_is_spoilt(save) && !vfmig_record_unread(save) &&
	       vfmig_fault_is_next(&save->fault, save->records);
}

static ssize_t vfmig_read_all(struct vfmig_save *save, struct iov_iter *to, bool nonblock)
{
	ssize_t done = 0, ret = 0;

	while (iov_iter_count(to)) {
		ret = vfmig_read_piece(save, to);
		if (ret == -EAGAIN && !done && !nonblock) {
			ret = vfmig_wait_for_piece(save);
			if (!ret)
				continue;
		}
		if (ret <= 0)
			break;
		done += ret;
		if (signal_pending(current) || vfmig_read_is_cut(save))
			break;
		cond_resched();
	}
	return done ? done : ret;
}

static ssize_t vfmig_save_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct vfmig_save *save = iocb->ki_filp->private_data;
	bool nonblock = iocb->ki_filp->f_flags & O_NONBLOCK;
	ssize_t ret = 1;

	if (nonblock) {
		if (!mutex_trylock(&save->read_lock))
			return -EAGAIN;
	} else if (mutex_lock_interruptible(&save->read_lock)) {
		return -ERESTARTSYS;
	}
	if (vfmig_save_is_spoilt(save))
		ret = vfmig_spoil_read(save, to, nonblock);
	if (ret > 0)
		ret = vfmig_read_all(save, to, nonblock);
	mutex_unlock(&save->read_lock);
	return ret;
}

/* Bytes that a reader has got, and would still get if the VF were stopped now */
int vfmig_save_progress(struct vfmig_save *save, u64 *done, u64 *left)
{
	struct vfmig_unread unread;
	int ret;

	guard(mutex)(&save->lock);
	ret = vfmig_count_unread(save, &unread);
	*done = save->bytes - vfmig_record_unread(save);
	*left = unread.initial + unread.reinit + unread.dirty + unread.trailer;
	return ret;
}

/* The latter alone */
int vfmig_save_unread(struct vfmig_save *save, u64 *bytes)
{
	u64 done;

	return vfmig_save_progress(save, &done, bytes);
}

/* The same for a VF that no save is on for */
int vfmig_save_estimate(struct vfmig_device *vfdev, u64 *bytes)
{
	struct vfmig_state_pending state = {};
	struct vfmig_vf_identity id = {};
	struct vfmig_mem_count count = {};
	int ret;

	ret = vfdev->ops->identity(vfdev->vf, &id) ?:
	      vfdev->ops->state_pending(vfdev->vf, &state);
	if (!ret && vfdev->ops->mem)
		ret = vfdev->ops->mem->allocated(vfdev->vf, &count);
	if (ret)
		return ret;
	*bytes = vfmig_identity_bytes(&id) + vfmig_count_bytes(&count) +
		 vfmig_state_bytes(state.final) + VFMIG_END_BYTES;
	return 0;
}

/* The size of the whole stream, whatever was read of it; @bytes is what an estimate says now */
void vfmig_save_whole(struct vfmig_save *save, u64 *bytes)
{
	guard(mutex)(&save->lock);
	save->whole = max(save->whole, *bytes);
	*bytes = save->whole;
}

static __poll_t vfmig_save_poll(struct file *filp, struct poll_table_struct *table)
{
	struct vfmig_save *save = filp->private_data;

	poll_wait(filp, &save->wait, table);

	guard(mutex)(&save->lock);
	if (!save->vfdev)
		return EPOLLIN | EPOLLRDNORM | EPOLLERR | EPOLLHUP;
	if (vfmig_is_starved(save))
		return 0;
	if (vfmig_save_is_spoilt(save) && vfmig_fault_fd_stalls(&save->fault))
		return 0;
	/* Always readable, be it for the end of the stream */
	if (save->stop_copy)
		return EPOLLIN | EPOLLRDNORM;
	/* An error is for read() to tell */
	return vfmig_is_drained(save) == 1 ? 0 : EPOLLIN | EPOLLRDNORM;
}

/*
 * For a user that knows of REINIT: once for what appeared since the last time, if it was not
 * read already
 */
static void vfmig_report_reinit(struct vfmig_save *save, struct vfmig_unread *unread,
				struct vfio_precopy_info *info)
{
	info->flags = 0;
	if (unread->reinits == save->reinits)
		return;
	save->reinits = unread->reinits;
	if (!unread->reinit)
		return;
	info->flags = VFIO_PRECOPY_INFO_REINIT;
	/* What is left of this record comes before the new initial data */
	if (save->kind == VFMIG_SAVE_DIRTY) {
		save->kind = VFMIG_SAVE_REINIT;
		unread->dirty -= vfmig_record_unread(save);
		unread->reinit += vfmig_record_unread(save);
	}
}

static int vfmig_precopy_info(struct vfmig_save *save, struct vfio_precopy_info *info)
{
	struct vfmig_device *vfdev;
	struct vfmig_unread unread;
	bool v2;
	int ret;

	guard(mutex)(&save->lock);
	vfdev = save->vfdev;
	if (!vfdev || save->stop_copy)
		return -EINVAL;

	ret = vfmig_count_unread(save, &unread);
	if (ret)
		return ret;
	v2 = vfmig_compat_precopy_info_v2(&vfdev->core.vdev);
	if (v2)
		vfmig_report_reinit(save, &unread, info);
	info->initial_bytes = unread.initial + (v2 ? unread.reinit : 0);
	info->dirty_bytes = unread.dirty + (v2 ? 0 : unread.reinit);
	if (save->profile->on_request && info->initial_bytes)
		info->dirty_bytes = 0;
	save->announced = save->pos + info->initial_bytes + info->dirty_bytes;
	if (vfmig_fault_armed(vfdev->faults, VFMIG_FAULT_PRECOPY))
		return vfmig_fault_meet_info(&save->fault, info, v2);
	return 0;
}

/*
 * Without vfio_check_precopy_ioctl(), which looks at the VF while it touches user
 * memory: the VF may be gone, and the lock that keeps it can't be held for that.
 */
static long vfmig_save_ioctl(struct file *filp, unsigned int cmd, unsigned long arg)
{
	const size_t size = offsetofend(struct vfio_precopy_info, dirty_bytes);
	struct vfio_precopy_info info;
	int ret;

	if (cmd != VFIO_MIG_GET_PRECOPY_INFO)
		return -ENOTTY;
	if (copy_from_user(&info, (void __user *)arg, size))
		return -EFAULT;
	if (info.argsz < size)
		return -EINVAL;
	ret = vfmig_precopy_info(filp->private_data, &info);
	if (ret)
		return ret;
	return copy_to_user((void __user *)arg, &info, size) ? -EFAULT : 0;
}

static void vfmig_save_free(struct vfmig_save *save)
{
	vfmig_fault_fd_exit(&save->fault);
	mutex_destroy(&save->lock);
	mutex_destroy(&save->read_lock);
	kvfree(save->piece);
	kfree(save);
}

static int vfmig_save_release(struct inode *inode, struct file *filp)
{
	vfmig_save_free(filp->private_data);
	return 0;
}

static const struct file_operations vfmig_save_fops = {
	.owner = THIS_MODULE,
	.read_iter = vfmig_save_read_iter,
	.poll = vfmig_save_poll,
	.unlocked_ioctl = vfmig_save_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = vfmig_save_release,
};

/* All that reading needs is allocated now, as the guest may be running: later it waits */
static struct vfmig_save *vfmig_save_alloc(struct vfmig_device *vfdev)
{
	struct vfmig_save *save;

	save = kzalloc(sizeof(*save), GFP_KERNEL_ACCOUNT);
	if (!save)
		return NULL;
	save->piece = kvzalloc(VFMIG_STATE_CHUNK, GFP_KERNEL_ACCOUNT);
	if (!save->piece) {
		kfree(save);
		return NULL;
	}
	save->vfdev = vfdev;
	save->profile = vfdev->profile;
	init_waitqueue_head(&save->wait);
	mutex_init(&save->read_lock);
	mutex_init(&save->lock);
	vfmig_fault_fd_init(&save->fault, vfdev->faults, &save->vfdev, &save->wait, &save->ready);
	return save;
}

/*
 * The data fd of a save, which the PF driver begins next.  Under the state_mutex.
 * Ended by vfmig_save_end(), which drops the driver's reference to the file.
 */
struct vfmig_save *vfmig_save_create(struct vfmig_device *vfdev)
{
	struct vfmig_save *save;
	struct file *filp;
	int ret;

	save = vfmig_save_alloc(vfdev);
	if (!save)
		return ERR_PTR(-ENOMEM);
	ret = vfmig_begin_identity(save, VFMIG_SAVE_INITIAL);
	if (!ret && save->profile->whole_size)
		ret = vfmig_save_estimate(vfdev, &save->whole);
	if (ret)
		goto err;
	filp = anon_inode_getfile("[vfmig-save]", &vfmig_save_fops, save, O_RDONLY);
	if (IS_ERR(filp)) {
		ret = PTR_ERR(filp);
		goto err;
	}
	stream_open(filp->f_inode, filp);
	save->filp = filp;
	return save;

err:
	vfmig_save_free(save);
	return ERR_PTR(ret);
}

struct file *vfmig_save_file(struct vfmig_save *save)
{
	return save->filp;
}

/* The VF is frozen, and what is left can be read.  Under the state_mutex. */
void vfmig_save_enter_stop_copy(struct vfmig_save *save)
{
	scoped_guard(mutex, &save->lock) {
		save->stop_copy = true;
		WRITE_ONCE(save->starved, false);
		save->data_crc = READ_ONCE(data_crc);
	}
	wake_up_interruptible_poll(&save->wait, EPOLLIN | EPOLLRDNORM);
}

/* The save is over: reads fail with -ENODEV.  Under the state_mutex. */
void vfmig_save_end(struct vfmig_save *save)
{
	scoped_guard(mutex, &save->lock)
		save->vfdev = NULL;
	wake_up_interruptible_poll(&save->wait, EPOLLIN | EPOLLERR | EPOLLHUP);
	fput(save->filp);
}

/* There is something to read.  Atomic context. */
void vfmig_save_wake(struct vfmig_save *save)
{
	atomic_inc(&save->ready);
	wake_up_interruptible_poll(&save->wait, EPOLLIN | EPOLLRDNORM);
}
