/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A driver of an NVMe VF that keeps to the rules, and asks for things that are refused, too.  What
 * each of its commands must give is known before it is submitted.
 */
#ifndef VFMIG_GUEST_REF_H
#define VFMIG_GUEST_REF_H

#include "guest.h"
#include "shadow.h"

/* ---- guest_media.c: what a disk may hold */

#define BLOCK_TAGS	4
#define BLOCK_SIZE_MAX	4096

/* @n is 0 for a block that may hold anything.  Tag 0 is that of zeroes. */
struct block {
	u64 tags[BLOCK_TAGS];
	u8 n;
	u8 readers;
	bool writer;
};

struct media {
	struct block *blocks;
	u64 count;
	u32 size;	/* bytes of a block */
};

void media_init(struct media *m, u64 count, u32 size);
void media_exit(struct media *m);
/*
 * Keep commands apart whose order would matter; false if one of them has to wait, or if a block
 * must be read before anything else
 */
bool media_lock(struct media *m, u64 first, u32 count, bool write);
void media_unlock(struct media *m, u64 first, u32 count, bool write);
void media_set(struct media *m, u64 i, u64 tag);
void media_set_all(struct media *m, u64 tag);
void media_forget_all(struct media *m);
/* It holds this, or what it held before */
void media_may_be(struct media *m, u64 i, u64 tag);
/* Does each block hold one thing only? */
bool media_is_sure(struct media *m, u64 first, u32 count);
/* The data of a block with this tag */
void media_fill(const struct media *m, u8 *data, u64 tag);
/* May block @i read as @data?  If so, that is what it holds. */
bool media_reads(struct media *m, u64 i, const u8 *data);
/* Print what it may be, if it is not */
void media_say(const struct media *m, u64 i, const u8 *data);

/* ---- guest_cmd.c: a command, its memory, and what must come of it */

#define WANT_MAX	12
#define DATA_PAGES	131	/* a prime, so that any step visits all pages */
#define RANGES		256	/* of Dataset Management */

/*
 * The statuses that a command may have.  An empty list means that it must succeed.  In a list with
 * errors, NVME_OK means that it may succeed.
 */
struct want {
	u16 status[WANT_MAX];
	unsigned int n;
};

void want_add(struct want *want, u16 status);
bool want_has(const struct want *want, u16 status);

enum slot_stage {
	SLOT_FREE,
	SLOT_FLYING,
	SLOT_GHOST,	/* its queue was deleted: it may still complete, and need not */
};

enum slot_effect { NO_EFFECT, READS, COMPARES, WRITES, ZEROES };

struct dsm_range {
	u32 attributes;
	u32 blocks;
	u64 first;
};

/**
 * struct slot - a command that is under way
 * @cmd: as it is in the queue
 * @effect: on @count blocks from @first, which are locked
 * @tag: of the first block that is written; the next one has the next tag
 * @data: DATA_PAGES of memory, and two pages for PRP lists
 * @offset: of the data in its first page
 * @len: bytes of data
 * @start: the data is in page start, start + step and so on
 */
struct slot {
	enum slot_stage stage;
	u16 sqid, cqid, cid;
	struct nvme_cmd cmd;
	struct want want;
	enum slot_effect effect;
	u64 first;
	u32 count;
	u64 tag;
	struct dsm_range ranges[RANGES];
	unsigned int nr_ranges;
	u8 *data;
	u32 offset, len;
	u32 start, step;
};

/* Bad PRPs: how often */
enum prp_luck { PRP_GOOD, PRP_SOMETIMES_BAD };

/*
 * Set the PRPs of a command for @len bytes, in pages in any order.  If some are bad, what that
 * gives is added to @want.  @to_host: the device writes.
 */
void slot_set_prps(struct slot *slot, struct land *land, u64 *random, u32 len, bool to_host,
		   enum prp_luck luck);
/* The data, from byte @pos on */
void slot_put(struct slot *slot, u32 pos, const void *from, u32 len);
void slot_get(const struct slot *slot, u32 pos, void *to, u32 len);
/* Fill the pages of the data, and see whether what is not data still is so */
void slot_poison(struct slot *slot);
bool slot_margins_are_intact(const struct slot *slot);
/* Print the command, what was wanted, and what came; fails the test */
void __noreturn slot_fail(const struct slot *slot, const char *what, unsigned int came);

/* ---- guest_ref.c: a driver of which each step is known */

#define REF_SLOTS	64
#define REF_DEPTH	256	/* of a queue, at most */

struct ref_sq {
	bool exists;
	u16 depth, cqid;
	u16 tail, rung, head;
	struct nvme_cmd *entries;
	unsigned int flying;
};

struct ref_cq {
	bool exists;
	u16 depth, head;
	u8 phase;
	int vector;		/* -1 for none */
	bool posted;		/* to a command under way, since the last look at interrupts */
	struct nvme_cqe *entries;
	unsigned int users;	/* submission queues */
};

/* What is counted; guest_ref.c has the names */
enum ref_count {
	REF_IO, REF_REFUSED, REF_MOVED, REF_ADMIN, REF_ADMIN_REFUSED, REF_CREATED, REF_DELETED,
	REF_GHOSTS, REF_ABORTED, REF_ERASED, REF_ROUNDS, REF_MOVES,
	REF_COUNTS
};

#define REF_FEATURES	12
#define REF_AERS	4	/* event requests at a time */

enum ref_event { EVENT_SMART, EVENT_SANITIZE, REF_EVENTS };

/**
 * struct ref - the driver, and what it knows
 * @slots: the I/O commands that are under way
 * @admin: the only admin command, but for event requests
 * @features: dword 11, by feature
 * @aers: CIDs of the event requests that are under way
 * @pending: events that happened and were not reported; @masked until the log page is read
 */
struct ref {
	struct rig rig;
	struct nvme *nvme;
	struct land land;
	struct media media;
	u64 random;
	unsigned int vf;	/* where the driver is */
	bool irqs[RIG_DEVS];	/* MSI-X is enabled */
	unsigned int flying;
	struct ref_sq sq[NVME_MAX_IO + 1];
	struct ref_cq cq[NVME_MAX_IO + 1];
	struct slot slots[REF_SLOTS];
	u32 *bells;		/* if the doorbells are mapped */
	struct shadow shadow;
	struct slot admin;
	u32 features[REF_FEATURES];
	u32 temp_under;
	u64 vectors_cd;		/* vectors that are not to be coalesced */
	u16 aers[REF_AERS];
	unsigned int nr_aers;
	bool pending[REF_EVENTS], masked[REF_EVENTS];
	u8 id_ns[PAGE], id_ctrl[PAGE], id_nvm[PAGE], effects[PAGE];
	/* What the SMART log counts; commands that nobody knows of may have succeeded */
	u64 reads, writes, unsure;
	u64 reads_before, writes_before;	/* the round */
	u64 counts[REF_COUNTS];
};

/* Take all completions that are there */
void ref_reap(struct ref *ref);
/* Ring for all, and wait until nothing is under way */
void ref_drain(struct ref *ref);
/* The driver knows of these queues, whose memory is ready for them */
void ref_cq_begins(struct ref *ref, u16 id, u16 depth, int vector);
void ref_sq_begins(struct ref *ref, u16 id, u16 depth, u16 cqid);
/* They are gone, and the commands that were under way with them */
void ref_cq_ends(struct ref *ref, u16 id);
void ref_sq_ends(struct ref *ref, u16 id);

/* ---- guest_io.c: I/O commands */

/* Make a random command, or return false if it would disturb another one */
bool io_make(struct ref *ref, struct slot *slot);
/* Check the data, and note what the command did */
void io_done(struct ref *ref, struct slot *slot, u16 status);

/* ---- guest_admin.c: admin commands */

/* A new admin command, which admin_do() executes; returns its status, or fails the test */
struct slot *admin_begin(struct ref *ref, u8 opcode);
u16 admin_do(struct ref *ref, struct nvme_cqe *cqe);

void step_create_cq(struct ref *ref);
void step_create_sq(struct ref *ref);
void step_delete_cq(struct ref *ref);
void step_delete_sq(struct ref *ref);
void step_abort(struct ref *ref);
void step_erase(struct ref *ref);
void step_doorbell_buffer(struct ref *ref);
void step_unknown(struct ref *ref);

/* ---- guest_events.c: asynchronous events */

void events_reset(struct ref *ref);
/* This has happened */
void events_expect(struct ref *ref, enum ref_event event);
/* After each step: take those that are reported, and wait for those that must be */
void events_take(struct ref *ref);
/* Wait for request @i, which was aborted */
void events_take_abort(struct ref *ref, unsigned int i);
/* The host has read this log page */
void events_log_read(struct ref *ref, u8 lid);
void step_event_request(struct ref *ref);

/* ---- guest_features.c */

void features_reset(struct ref *ref);
void step_set_feature(struct ref *ref);
void step_get_feature(struct ref *ref);

/* ---- guest_pages.c: Identify and Get Log Page */

/* Read what does not change, once */
void pages_read(struct ref *ref);
/* The SMART log must have counted the commands since the last call; nothing is under way */
void pages_check_counters(struct ref *ref);
/* Let that begin here */
void pages_read_counters(struct ref *ref);
void step_identify(struct ref *ref);
void step_log(struct ref *ref);

#endif /* VFMIG_GUEST_REF_H */
