/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of a save share: the data fd (save.c), the records that are made for it
 * (save_record.c), and the numbers of bytes that are left (save_count.c).
 *
 * Unless said otherwise, functions are called under the lock of struct vfmig_save.
 */
#ifndef _VFMIG_SAVE_PRIV_H
#define _VFMIG_SAVE_PRIV_H

#include <linux/atomic.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/vfmig.h>
#include <linux/wait.h>

#include "fault.h"
#include "stream.h"

struct file;
struct page;
struct vfio_precopy_info;
struct vfmig_device;
struct vfmig_profile;

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

static inline size_t vfmig_save_record_unread(const struct vfmig_save *save)
{
	return save->head_len - save->head_pos + save->body_left;
}

static inline enum vfmig_save_kind vfmig_save_run_kind(const struct vfmig_mem_run *run)
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

/* save_record.c */
int vfmig_save_begin_identity(struct vfmig_save *save, enum vfmig_save_kind kind);
int vfmig_save_need_record(struct vfmig_save *save);
int vfmig_save_get_piece(struct vfmig_save *save, struct vfmig_piece *piece);

/* save_count.c */
size_t vfmig_save_identity_due(const struct vfmig_save *save,
			       const struct vfmig_mem_pending *pending);
int vfmig_save_mem_pending(const struct vfmig_save *save, struct vfmig_mem_pending *pending);
bool vfmig_save_withholds(struct vfmig_save *save);
int vfmig_save_is_drained(struct vfmig_save *save);
/* Takes the lock itself */
int vfmig_save_precopy_info(struct vfmig_save *save, struct vfio_precopy_info *info);

#endif /* _VFMIG_SAVE_PRIV_H */
