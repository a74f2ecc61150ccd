/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The NVMe controller behind a VF: declarations for all files of the model.
 *
 * Each controller has a worker (model/worker.h).  It handles register changes and
 * doorbells, executes commands and posts completions.  Access to the controller
 * needs &vfmig_nvme.lock, for the worker too.  A register access of a vCPU takes
 * the lock of the latch, which holds the written values for the worker.  If it has
 * rung a doorbell it does the worker's part itself, where it gets the lock at once.
 *
 * Locks, outermost first:
 *
 *	client.lock	see model/client.h
 *	save_lock	the saved state
 *	load.lock	serialises a load with a resize and its end
 *	worker.turn_lock
 *			see model/worker.h
 *	lock		the controller
 *	latch.lock	the registers as the guest sees them
 *	worker.lock	the place of the worker
 *	media.lock	see memory/memory.h
 */
#ifndef _VFMIG_NVME_H
#define _VFMIG_NVME_H

#include <linux/bitmap.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/nvme.h>
#include <linux/spinlock.h>
#include <linux/uuid.h>
#include <linux/vfmig.h>

#include <asm/byteorder.h>

#include "../sim.h"
#include "../memory/load.h"
#include "../memory/memory.h"
#include "../model/blob.h"
#include "../model/client.h"
#include "../model/lock.h"
#include "../model/running.h"
#include "../model/worker.h"
#include "format.h"
#include "pace.h"
#include "state_check.h"

#define VFMIG_MAX_QUEUES	32
#define VFMIG_MAX_IO_LATENCY_US	(10 * USEC_PER_SEC)
#define VFMIG_MAX_DOORBELL_POLL_US 10000

/* When the driver erases a medium by itself */
enum vfmig_erase_on_close {
	VFMIG_ERASE_NEVER,
	VFMIG_ERASE_MOVED,	/* on close, if its stream was read and it was not used since */
	VFMIG_ERASE_CLOSE,	/* on every close */
};

#define VFMIG_NVME_SETTINGS	7

/**
 * struct vfmig_nvme_config - settings of a VF
 * @media_mb: size of the medium in MiB
 * @lba_size: bytes of a logical block
 * @queues: I/O queue pairs
 * @io_latency_us: time from the doorbell of an I/O command to its execution
 * @erase_on_close: &enum vfmig_erase_on_close
 * @doorbell_poll_us: how long the worker polls the doorbells at most, for them to be mapped; or 0
 * @map_registers: 1 if the registers can be mapped where the doorbells can, else 0
 */
struct vfmig_nvme_config {
	unsigned int media_mb;
	unsigned int lba_size;
	unsigned int queues;
	unsigned int io_latency_us;
	unsigned int erase_on_close;
	unsigned int doorbell_poll_us;
	unsigned int map_registers;
};

/* Words of 32 bits from the beginning of BAR 0 that have all registers but the doorbells */
#define VFMIG_NVME_SHOWN	16

/* The controller's capabilities */
#define VFMIG_NVME_VERSION	NVME_VS(1, 4, 0)
#define VFMIG_NVME_MDTS		7
#define VFMIG_NVME_MAX_TRANSFER	(1U << (VFMIG_NVME_MIN_SHIFT + VFMIG_NVME_MDTS))
#define VFMIG_NVME_MAX_PRPS	(VFMIG_NVME_MAX_TRANSFER / 4096 + 1)
#define VFMIG_NVME_MAX_ABORTS	4
/* Number of retries of a command or a load that gets no memory, and the delay before each */
#define VFMIG_NVME_TRIES	100
#define VFMIG_NVME_TRY_NS	(10 * NSEC_PER_MSEC)
#define VFMIG_NVME_NSID		1
#define VFMIG_NVME_FIRMWARE	"1.0     "
#define VFMIG_NVME_BUF		4096U			/* of identify data, log pages */
#define VFMIG_NVME_TEMPERATURE	310			/* K */
#define VFMIG_NVME_WARN_TEMP	343
#define VFMIG_NVME_CRIT_TEMP	358

/* Of VFMIG_NVME_MAX_REQS, those that are reserved for admin commands */
#define VFMIG_NVME_ADMIN_REQS	16

/* Commands that a vCPU executes in its access at most */
#define VFMIG_NVME_BRIEF	8U

/* Commands of a queue before the next one has its turn */
#define VFMIG_NVME_BURST	8U

/* Internal statuses.  A status for the guest has 15 bits: the phase tag takes one. */
#define VFMIG_NVME_SC_AGAIN	0x8000	/* no DMA now: leave the command, a kick follows */
#define VFMIG_NVME_SC_HELD	0x8001	/* an event completes the command later */
#define VFMIG_NVME_SC_MORE	0x8002	/* a piece is done: execute again for the next one */
#define VFMIG_NVME_SC_SHORT	0x8003	/* no memory: execute again after a delay */

/* Fused operations and SGLs, which are not supported */
#define VFMIG_NVME_BAD_FLAGS	(NVME_CMD_FUSE_FIRST | NVME_CMD_FUSE_SECOND | NVME_CMD_SGL_ALL)

#define VFMIG_NVME_BAD_FIELD	(NVME_SC_INVALID_FIELD | NVME_STATUS_DNR)

/**
 * struct vfmig_nvme_sq - a submission queue
 * @base: IOVA
 * @size: entries, 0 for a queue that does not exist
 * @head: entry to fetch next
 * @tail: entry that the host fills in next, from its doorbell
 * @cqid: completion queue
 */
struct vfmig_nvme_sq {
	u64 base;
	u32 size;
	u16 head;
	u16 tail;
	u16 cqid;
};

/**
 * struct vfmig_nvme_cq - a completion queue
 * @base: IOVA
 * @size: entries, 0 for a queue that does not exist
 * @head: entry that the host consumes next, from its doorbell
 * @tail: entry to post next
 * @vector: MSI-X vector
 * @irq: raise @vector
 * @phase: phase tag of the next entry
 */
struct vfmig_nvme_cq {
	u64 base;
	u32 size;
	u16 head;
	u16 tail;
	u16 vector;
	bool irq;
	bool phase;
};

/**
 * struct vfmig_nvme_req - a command that was fetched
 * @entry: entry in the list of its stage
 * @stage: &enum vfmig_nvme_stage
 * @sqid: submission queue
 * @cqid: completion queue, if done
 * @sq_head: SQ head for the completion, if done
 * @status: status, if done
 * @result: dword 0 of the completion
 * @tries: how often it got no memory.  Not part of the migration state.
 * @due: when to execute it, ktime in ns, if waiting
 * @done: bytes of the medium that are done, for a command that executes in pieces.  Not
 *	part of the migration state: such a command can be executed twice.
 * @cmd: the command
 */
struct vfmig_nvme_req {
	struct list_head entry;
	u8 stage;
	u8 tries;
	u16 sqid;
	u16 cqid;
	u16 sq_head;
	u16 status;
	u32 result;
	u64 due;
	u64 done;
	struct nvme_command cmd;
};

/**
 * struct vfmig_nvme_latch - the registers as the guest sees them
 * @lock: protects all members; held for short sections only
 * @frozen: writes are dropped
 * @flags: VFMIG_NVME_LATCH_FLAGS
 * @intm: value of INTMS and INTMC
 * @cc: CC
 * @csts: CSTS; written by the worker only
 * @aqa: AQA
 * @asq: ASQ
 * @acq: ACQ
 * @rung: doorbells that the worker has not handled, SQ n at 2n, CQ n at 2n + 1
 * @doorbell: last value written to each doorbell
 * @full: completion queues in which something waits for room.  The head doorbell of another
 *	one does not kick the worker.
 */
struct vfmig_nvme_latch {
	spinlock_t lock;	/* all below */
	bool frozen;
	u32 flags;
	u32 intm;
	u32 cc;
	u32 csts;
	u32 aqa;
	u64 asq;
	u64 acq;
	DECLARE_BITMAP(rung, 2 * VFMIG_NVME_QUEUES);
	u16 doorbell[2 * VFMIG_NVME_QUEUES];
	DECLARE_BITMAP(full, VFMIG_NVME_QUEUES);
};

/**
 * struct vfmig_nvme_page - a page of BAR 0 that users map
 * @page: the page of the current user or of the last one, or NULL
 * @words: its memory.  Users write to it at any time; the holder of the latch's lock takes what
 *	they wrote.
 * @in_use: it was mapped since the VF was opened; written with the latch's lock held
 */
struct vfmig_nvme_page {
	struct page *page;
	u32 *words;
	bool in_use;
};

/**
 * struct vfmig_nvme_map - pages of BAR 0 that users map, see map.c
 * @bells: the one with the doorbells, see bells.c
 * @regs: the one with the registers, see regs_page.c
 * @shown: what the controller has put into @regs or has taken from there; written with the latch's
 *	lock held
 * @registers: the setting map_registers
 * @max_poll_ns: the setting doorbell_poll_us; 0 if nothing is to be mapped
 * @mapped: one of them may be mapped.  The worker clears it, a fault sets it.
 * @unused: nothing was stored since a fault
 * @active_at: when one was mapped, or a store was taken from it, for the last time; ktime in ns
 * @parked_at: when the worker has taken the mappings away for the last time
 * @poll_ns: how long the worker polls after @active_at
 * @client: &vfmig_client.ops of the worker's current turn, or NULL if the VF does not run.  Only
 *	the worker accesses it and @client_data.
 * @client_data: &vfmig_client.data
 *
 * No lock protects what a fault and the worker both write: these are hints for how long to poll,
 * except @mapped.
 */
struct vfmig_nvme_map {
	struct vfmig_nvme_page bells;
	struct vfmig_nvme_page regs;
	u32 shown[VFMIG_NVME_SHOWN];
	bool registers;
	u64 max_poll_ns;
	bool mapped;
	bool unused;
	u64 active_at;
	u64 parked_at;
	u64 poll_ns;
	const struct vfmig_vf_client *client;
	void *client_data;
};

/**
 * enum vfmig_nvme_look - what a guest sees of a controller, which newer versions of the driver
 *	changed.  A VF that loads the stream of an older one looks like that until it is reset.
 * @VFMIG_NVME_LOOK_PLAIN: no shadow doorbells, a volatile write cache, and no limit told for Write
 *	Zeroes, which Linux takes for that of a transfer
 * @VFMIG_NVME_LOOK_SHADOW: shadow doorbells, no volatile write cache, Write Zeroes of any size
 * @VFMIG_NVME_LOOKS: number of looks; the last one is that of a new VF
 */
enum vfmig_nvme_look {
	VFMIG_NVME_LOOK_PLAIN,
	VFMIG_NVME_LOOK_SHADOW,
	VFMIG_NVME_LOOKS,
};

/**
 * struct vfmig_nvme_shadow - shadow doorbells, see shadow.c
 * @on: the host has configured them; also read without the lock
 * @doorbells: IOVA of the host's doorbells
 * @events: IOVA of the EventIdx values
 * @awake: submission queues whose tails the controller reads: the host may not write the register
 * @seen: last value that was read of each doorbell
 * @told: tail of each submission queue when its EventIdx was written
 * @pace: of each submission queue.  It and @told are valid for a queue that exists.
 */
struct vfmig_nvme_shadow {
	bool on;
	u64 doorbells;
	u64 events;
	DECLARE_BITMAP(awake, VFMIG_NVME_QUEUES);
	u16 seen[2 * VFMIG_NVME_QUEUES];
	u16 told[VFMIG_NVME_QUEUES];
	struct vfmig_nvme_pace pace[VFMIG_NVME_QUEUES];
};

/**
 * struct vfmig_nvme_held - interrupts that are held because the host wants fewer, see irq.c
 * @vectors: vectors to raise later
 * @entries: of each of these, completion queue entries that were posted since it is held
 * @until: when it is raised at the latest, ktime in ns
 */
struct vfmig_nvme_held {
	DECLARE_BITMAP(vectors, VFMIG_NVME_VECTORS);
	u16 entries[VFMIG_NVME_VECTORS];
	u64 until[VFMIG_NVME_VECTORS];
};

/**
 * struct vfmig_nvme_ident - identity of a controller
 * @serial: serial number, printable, as in Identify Controller
 * @nguid: of the namespace
 * @eui64: of the namespace
 * @subsys: UUID in the subsystem NQN
 * @cntlid: controller ID, 1 to VFMIG_NVME_MAX_CNTLID
 */
struct vfmig_nvme_ident {
	char serial[20];
	u8 nguid[16];
	u8 eui64[8];
	uuid_t subsys;
	u16 cntlid;
};

/**
 * struct vfmig_nvme_features - values of the features
 * @dword: by Feature Identifier; the temperature threshold is the over one
 * @temp_under: under temperature threshold
 * @vector_cd: vectors with Coalescing Disable
 */
struct vfmig_nvme_features {
	u32 dword[VFMIG_NVME_FEATURES];
	u16 temp_under;
	u64 vector_cd;
};

/**
 * struct vfmig_nvme_health - counters of the SMART log
 * @read_units: 512-byte units
 * @written_units: 512-byte units
 * @reads: Read and Compare commands
 * @writes: Write commands
 * @media_errors: writes that failed for lack of memory
 * @power_on_s: seconds of power-on before @since, on other VFs
 * @since: ktime in ns when the device was created or loaded
 */
struct vfmig_nvme_health {
	u64 read_units;
	u64 written_units;
	u64 reads;
	u64 writes;
	u64 media_errors;
	u64 power_on_s;
	u64 since;
};

#define VFMIG_NVME_LOG_SANITIZE		0x81

/**
 * struct vfmig_nvme_events - asynchronous events
 * @pending: events to report: for each type a bit per Asynchronous Event Information
 * @masked: types that were reported and whose log page was not read since
 * @ns_changed: the namespace is in the Changed Namespace List
 */
struct vfmig_nvme_events {
	u8 pending[VFMIG_NVME_EVENT_TYPES];
	u8 masked;
	bool ns_changed;
};

/**
 * struct vfmig_nvme_errors - the error log
 * @count: errors since the device was created
 * @slots: error number n, counted from 1, is at n modulo the size
 */
struct vfmig_nvme_errors {
	u64 count;
	struct nvme_error_slot slots[VFMIG_NVME_ERRORS];
};

/**
 * struct vfmig_nvme_sanitize - contents of the Sanitize Status log
 * @status: SSTAT without Global Data Erased
 * @cdw10: dword 10 of the last Sanitize that erased
 * @written: user data was written since the last Sanitize, or at all if there was none
 */
struct vfmig_nvme_sanitize {
	u16 status;
	u32 cdw10;
	bool written;
};

enum vfmig_nvme_fault_kind {
	VFMIG_NVME_FAULT_NONE,
	VFMIG_NVME_FAULT_ERROR,		/* the command fails */
	VFMIG_NVME_FAULT_HANG,		/* it does not complete while this is set */
};

/**
 * struct vfmig_nvme_fault - what goes wrong with I/O commands on purpose
 * @kind: what
 * @first: first LBA
 * @last: last LBA
 * @met: how often a command met it
 */
struct vfmig_nvme_fault {
	enum vfmig_nvme_fault_kind kind;
	u64 first;
	u64 last;
	u64 met;
};

/**
 * struct vfmig_nvme_dirty - a medium that changes by itself
 * @rate: bytes per second, 0 if it does not
 * @first: first granule of the span
 * @last: last granule
 * @next: granule to write next
 * @since: time up to which all was written, ktime in ns
 * @written: granules that were written
 */
struct vfmig_nvme_dirty {
	u64 rate;
	u64 first;
	u64 last;
	u64 next;
	u64 since;
	u64 written;
};

/**
 * struct vfmig_nvme - a controller
 * @fn: its function
 * @max_queues: I/O queue pairs that this VF was created with
 * @lba_shift: log2 of the size of a logical block
 * @digests: digest of what a guest sees, see digest.c, for each look; constant
 * @io_latency_ns: latency of I/O commands that are fetched from now on; written with @lock
 *	held
 * @erase_on_close: &enum vfmig_erase_on_close
 * @media: its medium; @lock serialises changes of it
 *
 * @ident: its identity.  idents_lock in ident.c protects this and the following.  No other
 *	controller changes @ident of an open controller, so the holder of @lock may read it.
 * @ident_entry: entry in the list of all identities
 * @ident_generation: number of identities that were generated for it
 * @ident_open: a user has it open
 * @ident_given: its stream was read to the end, and it has not run or been reset since
 * @ident_stale: its identity came from a source that runs again
 * @ident_untried: its identity came with a load, and it has not run since
 *
 * @latch: registers
 * @map: pages of BAR 0 that are mapped
 * @worker: executes commands
 *
 * @client: the user that has the VF open; changes with @lock held too
 * @save_lock: protects @saved
 * @saved: the state of this save; allocated while a save is on
 * @load: what is loaded for @media
 * @loaded: the state that goes with it; @load.lock protects it and the following
 * @load_look: look of its source
 * @load_why: why the last identity was refused
 * @load_tries: how often the load in vain asked for memory for the next page; only whoever loads
 *	accesses it
 * @load_again: gets memory for it, and says that there may be some
 * @dirty_work: writes the medium as @dirty says
 *
 * @lock: protects all that follows.  The worker gives it up after a command, or a piece of one.
 * @running: its running state
 * @moved: its stream was read to the end, and it was not used since
 * @fault: what goes wrong with I/O commands on purpose
 * @dirty: what changes of the medium by itself, on purpose
 * @queues: I/O queue pairs that it reports; after a load, the number of the source
 * @look: &enum vfmig_nvme_look
 * @features: values of the features
 * @health: SMART log
 * @events: asynchronous events
 * @errors: error log
 * @sanitize: Sanitize Status log
 * @cc: CC as the worker last saw it
 * @page_shift: log2 of the memory page size
 * @stalled: DMA is off; the worker waits for a kick
 * @unfinished: a piece of a waiting command was executed in this batch, and more are left
 * @sq: submission queues
 * @cq: completion queues
 * @shadow: shadow doorbells
 * @full: completion queues in which something has found no room in this turn
 * @busy: submission queues that may have commands to fetch.  One that has is in here.
 * @next_sq: next queue in the round robin
 * @next_due: when the worker has something to do, ktime in ns, or U64_MAX; as it has found in its
 *	last turn.  Only the worker accesses it.
 * @raise: vectors to raise
 * @raise_since: time of the first completion that one of them is for, ktime in ns
 * @held: vectors to raise later
 * @reqs: all requests, each in one of the following lists
 * @free: requests without a command
 * @waiting: commands that execute when they are due
 * @aers: outstanding Asynchronous Event Requests
 * @done: commands whose completion is to be posted
 * @nr_reqs: number of requests not in @free; read without the lock
 * @nr_events: number of requests in @aers
 * @arrivals: time of the doorbell for each entry of the I/O submission queues, ktime in ns,
 *	or 0; NULL on a VF that never had an @io_latency_ns
 * @fetched: submission queue entries of the current turn of a queue
 * @prps: PRP entries for the data of the current command
 * @buf: a page for the current command
 */
struct vfmig_nvme {
	struct vfmig_fn *fn;
	unsigned int max_queues;
	unsigned int lba_shift;
	u32 digests[VFMIG_NVME_LOOKS];
	u64 io_latency_ns;
	enum vfmig_erase_on_close erase_on_close;
	struct vfmig_memory media;

	struct vfmig_nvme_ident ident;
	struct list_head ident_entry;
	u64 ident_generation;
	bool ident_open;
	bool ident_given;
	bool ident_stale;
	bool ident_untried;

	struct vfmig_nvme_latch latch;
	struct vfmig_nvme_map map;
	struct vfmig_worker worker;

	struct vfmig_client client;

	struct mutex save_lock;		/* saved */
	struct vfmig_blob saved;

	struct vfmig_memory_load load;	/* its lock: loaded, load_look, load_why */
	struct vfmig_blob loaded;
	enum vfmig_nvme_look load_look;
	char load_why[128];

	unsigned int load_tries;
	struct delayed_work load_again;
	struct delayed_work dirty_work;

	struct vfmig_lock lock;		/* all below */
	struct vfmig_running running;
	bool moved;

	struct vfmig_nvme_fault fault;
	struct vfmig_nvme_dirty dirty;
	u16 queues;
	enum vfmig_nvme_look look;
	struct vfmig_nvme_features features;
	struct vfmig_nvme_health health;
	struct vfmig_nvme_events events;
	struct vfmig_nvme_errors errors;
	struct vfmig_nvme_sanitize sanitize;

	u32 cc;
	unsigned int page_shift;
	bool stalled;
	bool unfinished;
	struct vfmig_nvme_sq sq[VFMIG_NVME_QUEUES];
	struct vfmig_nvme_cq cq[VFMIG_NVME_QUEUES];
	struct vfmig_nvme_shadow shadow;
	DECLARE_BITMAP(full, VFMIG_NVME_QUEUES);
	DECLARE_BITMAP(busy, VFMIG_NVME_QUEUES);
	unsigned int next_sq;
	u64 next_due;
	DECLARE_BITMAP(raise, VFMIG_NVME_VECTORS);
	u64 raise_since;
	struct vfmig_nvme_held held;

	struct vfmig_nvme_req *reqs;
	struct list_head free;
	struct list_head waiting;
	struct list_head aers;
	struct list_head done;
	unsigned int nr_reqs;
	unsigned int nr_events;

	u64 *arrivals;
	struct nvme_command fetched[VFMIG_NVME_BURST];
	__le64 prps[VFMIG_NVME_MAX_PRPS];
	u8 *buf;
};

/**
 * struct vfmig_nvme_piece - a piece of a transfer, within one granule and one host page
 * @offset: first byte, in the medium or in the structure that is transferred
 * @iova: first byte in host memory
 * @len: bytes
 */
struct vfmig_nvme_piece {
	u64 offset;
	u64 iova;
	u32 len;
};

typedef u16 vfmig_nvme_transfer_fn(struct vfmig_nvme *ctrl, const struct vfmig_nvme_piece *piece,
				   void *arg);

/* ctrl.c */
void vfmig_nvme_power_on(struct vfmig_nvme *ctrl);
void vfmig_nvme_fatal(struct vfmig_nvme *ctrl);
struct vfmig_nvme *vfmig_nvme_alloc(struct vfmig_fn *fn, const struct vfmig_nvme_config *config);
void vfmig_nvme_free(struct vfmig_nvme *ctrl);

DEFINE_GUARD(vfmig_nvme, struct vfmig_nvme *, vfmig_lock(&_T->lock), vfmig_unlock(&_T->lock))

/* settings.c */
extern struct vfmig_nvme_config vfmig_nvme_defaults;
extern const struct vfmig_setting vfmig_nvme_settings[VFMIG_NVME_SETTINGS];

const char *vfmig_nvme_check_media_mb(unsigned int value);
const char *vfmig_nvme_check_io_latency_us(unsigned int value);
const char *vfmig_nvme_check_erase_on_close(unsigned int value);
const char *vfmig_nvme_check_doorbell_poll_us(unsigned int value);
const char *vfmig_nvme_check_map_registers(unsigned int value);
void vfmig_nvme_set_erase_on_close(void *vf, unsigned int when);

/* fault.c */
bool vfmig_nvme_has_fault(struct vfmig_nvme *ctrl, const struct nvme_command *cmd,
			  enum vfmig_nvme_fault_kind kind);
u16 vfmig_nvme_fault_status(struct vfmig_nvme *ctrl, const struct nvme_command *cmd);
void vfmig_nvme_fault_debugfs(struct vfmig_nvme *ctrl, struct dentry *dir);

/* dirty.c */
void vfmig_nvme_dirty_init(struct vfmig_nvme *ctrl);
void vfmig_nvme_dirty_end(struct vfmig_nvme *ctrl);
void vfmig_nvme_dirty_debugfs(struct vfmig_nvme *ctrl, struct dentry *dir);

/* debugfs.c */
#define VFMIG_NVME_TEXT		64	/* size of a buffer for what is written to a file */

int vfmig_nvme_get_text(char text[VFMIG_NVME_TEXT], const char __user *buf, size_t count);
void vfmig_nvme_debugfs(void *vf, struct dentry *dir);

/* latency.c */
void vfmig_nvme_note_arrivals(struct vfmig_nvme *ctrl, unsigned int sqid, u16 from, u16 to);
void vfmig_nvme_shift_arrivals(struct vfmig_nvme *ctrl, u64 paused);
void vfmig_nvme_forget_arrivals(struct vfmig_nvme *ctrl);
u64 vfmig_nvme_due(const struct vfmig_nvme *ctrl, unsigned int sqid, u16 entry);
void vfmig_nvme_set_io_latency(void *vf, unsigned int us);
unsigned int vfmig_nvme_get_io_latency(void *vf);

/* vf.c */
extern const struct vfmig_vf_ops vfmig_nvme_vf_ops;
void vfmig_nvme_reset(void *vf);
void vfmig_nvme_media_dirty(struct vfmig_memory *media);
unsigned int vfmig_nvme_get_media_mb(void *vf);
int vfmig_nvme_set_media_mb(void *vf, unsigned int mb);
int vfmig_nvme_erase(void *vf);

/* migration.c */
extern const struct vfmig_mem_ops vfmig_nvme_mem_ops;
void vfmig_nvme_load_init(struct vfmig_nvme *ctrl);
int vfmig_nvme_identity(void *vf, struct vfmig_vf_identity *id);
const char *vfmig_nvme_identity_check(void *vf, const struct vfmig_vf_identity *id);
int vfmig_nvme_save_start(void *vf, bool precopy);
int vfmig_nvme_save_final(void *vf);
int vfmig_nvme_save_stop(void *vf);
int vfmig_nvme_state_pending(void *vf, struct vfmig_state_pending *pending);
ssize_t vfmig_nvme_state_read(void *vf, void *buf, size_t size, enum vfmig_state_kind *kind);
int vfmig_nvme_handed_over(void *vf);
int vfmig_nvme_load_start(void *vf);
int vfmig_nvme_load_state(void *vf, u32 version, const void *buf, size_t size, const char **why);
int vfmig_nvme_load_commit(void *vf, const char **why);
void vfmig_nvme_load_abort(void *vf);

/* regs.c */
u32 vfmig_nvme_reg_read(const struct vfmig_nvme_latch *latch, u64 offset);
bool vfmig_nvme_reg_write(struct vfmig_nvme *ctrl, u64 offset, u32 value);
u64 vfmig_nvme_bar_read(void *vf, unsigned int bar, u64 offset, unsigned int len);
void vfmig_nvme_bar_write(void *vf, unsigned int bar, u64 offset, unsigned int len, u64 val);
void vfmig_nvme_set_csts(struct vfmig_nvme *ctrl, u32 clear, u32 set);
bool vfmig_nvme_ready(const struct vfmig_nvme *ctrl);
void vfmig_nvme_drop_commands(struct vfmig_nvme *ctrl);
void vfmig_nvme_disable(struct vfmig_nvme *ctrl);
void vfmig_nvme_take_registers(struct vfmig_nvme *ctrl);
bool vfmig_nvme_await_room(struct vfmig_nvme *ctrl);

/* map.c */
int vfmig_nvme_map_open(struct vfmig_nvme *ctrl);
void vfmig_nvme_map_destroy(struct vfmig_nvme_map *map);
void vfmig_nvme_set_doorbell_poll(void *vf, unsigned int us);
unsigned int vfmig_nvme_get_doorbell_poll(void *vf);
void vfmig_nvme_set_map_registers(void *vf, unsigned int value);
bool vfmig_nvme_map_area(void *vf, unsigned int bar, struct range *area);
struct page *vfmig_nvme_map_page(void *vf, unsigned int bar, u64 offset);
void vfmig_nvme_map_is_used(struct vfmig_nvme *ctrl);
void vfmig_nvme_map_watch(struct vfmig_nvme *ctrl);
bool vfmig_nvme_map_wait(struct vfmig_nvme *ctrl);

/* regs_page.c */
void vfmig_nvme_show_regs(struct vfmig_nvme *ctrl);
void vfmig_nvme_drop_regs(struct vfmig_nvme *ctrl);
bool vfmig_nvme_take_stores(struct vfmig_nvme *ctrl);
bool vfmig_nvme_regs_are_stored(const struct vfmig_nvme *ctrl);
bool vfmig_nvme_check_regs(struct vfmig_nvme *ctrl);

/* bells.c */
bool vfmig_nvme_take_bells(struct vfmig_nvme *ctrl);
void vfmig_nvme_drop_bells(struct vfmig_nvme *ctrl);
bool vfmig_nvme_rung(const struct vfmig_nvme *ctrl);
bool vfmig_nvme_check_bells(struct vfmig_nvme *ctrl);

/* shadow.c */
void vfmig_nvme_shadow_set(struct vfmig_nvme *ctrl, u64 doorbells, u64 events);
u16 vfmig_nvme_shadow_add(struct vfmig_nvme *ctrl, unsigned int index);
u16 vfmig_nvme_doorbell_buffer(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
void vfmig_nvme_shadow_rung(struct vfmig_nvme *ctrl, unsigned int index);
void vfmig_nvme_shadow_wake(struct vfmig_nvme *ctrl);
void vfmig_nvme_shadow_tails(struct vfmig_nvme *ctrl);
bool vfmig_nvme_shadow_rest(struct vfmig_nvme *ctrl);
bool vfmig_nvme_shadow_head(struct vfmig_nvme *ctrl, unsigned int cqid, bool await);
bool vfmig_nvme_shadow_awaits_burst(const struct vfmig_nvme *ctrl);
u64 vfmig_nvme_shadow_until(const struct vfmig_nvme *ctrl);

/* queue.c */
void vfmig_nvme_init_reqs(struct vfmig_nvme *ctrl);
struct vfmig_nvme_req *vfmig_nvme_get_req(struct vfmig_nvme *ctrl);
void vfmig_nvme_put_req(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
void vfmig_nvme_move_req(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req,
			 enum vfmig_nvme_stage stage);
void vfmig_nvme_complete(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u16 status);
void vfmig_nvme_take_doorbell(struct vfmig_nvme *ctrl, unsigned int index, u16 value);
void vfmig_nvme_doorbell(struct vfmig_nvme *ctrl, unsigned int index, u16 value);
bool vfmig_nvme_head_is_news(const struct vfmig_nvme *ctrl, unsigned int cqid, u16 head);
void vfmig_nvme_doorbell_error(struct vfmig_nvme *ctrl, u16 qid, unsigned int info);
bool vfmig_nvme_serve(struct vfmig_nvme *ctrl);
bool vfmig_nvme_turn(void *vf);

/* irq.c */
bool vfmig_nvme_is_coalesced(const struct vfmig_nvme *ctrl, const struct vfmig_nvme_cq *cq);
void vfmig_nvme_want_irq(struct vfmig_nvme *ctrl, const struct vfmig_nvme_cq *cq,
			 unsigned int n, bool urgent);
void vfmig_nvme_release_irq(struct vfmig_nvme *ctrl, unsigned int vector);
void vfmig_nvme_release_irqs(struct vfmig_nvme *ctrl, u64 time);
u64 vfmig_nvme_held_until(const struct vfmig_nvme *ctrl);
void vfmig_nvme_flush_irqs(struct vfmig_nvme *ctrl);
void vfmig_nvme_flush_late_irqs(struct vfmig_nvme *ctrl);
void vfmig_nvme_raise_unconsumed(struct vfmig_nvme *ctrl);

/* prp.c */
u16 vfmig_nvme_dma_status(int err);
u16 vfmig_nvme_transfer(struct vfmig_nvme *ctrl, const struct nvme_command *cmd, u64 offset,
			u32 len, vfmig_nvme_transfer_fn *transfer, void *arg);
u16 vfmig_nvme_data_to_host(struct vfmig_nvme *ctrl, const struct nvme_command *cmd,
			    void *buf, u32 len);
u16 vfmig_nvme_data_from_host(struct vfmig_nvme *ctrl, const struct nvme_command *cmd,
			      void *buf, u32 len);

/* admin.c */
u16 vfmig_nvme_execute_admin(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
u32 vfmig_nvme_admin_effects(const struct vfmig_nvme *ctrl, unsigned int opcode);

/* admin_queue.c */
u16 vfmig_nvme_create_cq(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
u16 vfmig_nvme_create_sq(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
u16 vfmig_nvme_delete_cq(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
u16 vfmig_nvme_delete_sq(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
u16 vfmig_nvme_abort(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);

/* erase.c */
u16 vfmig_nvme_format(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
u16 vfmig_nvme_sanitize(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
u32 vfmig_nvme_sanitize_log(struct vfmig_nvme *ctrl, u8 *buf);

/* ident.c */
void vfmig_nvme_ident_add(struct vfmig_nvme *ctrl);
void vfmig_nvme_ident_del(struct vfmig_nvme *ctrl);
void vfmig_nvme_ident_open(struct vfmig_nvme *ctrl);
void vfmig_nvme_ident_close(struct vfmig_nvme *ctrl);
void vfmig_nvme_ident_reset(struct vfmig_nvme *ctrl);
void vfmig_nvme_ident_give(struct vfmig_nvme *ctrl);
bool vfmig_nvme_ident_keep(struct vfmig_nvme *ctrl);
void vfmig_nvme_ident_take(struct vfmig_nvme *ctrl, const struct vfmig_nvme_ident *ident);
void vfmig_nvme_ident_run(struct vfmig_nvme *ctrl);

/* digest.c */
int vfmig_nvme_make_digests(unsigned int lba_size, u32 digests[VFMIG_NVME_LOOKS]);

/* identify.c */
u16 vfmig_nvme_fill_identify(struct vfmig_nvme *ctrl, const struct nvme_identify *cmd);
u16 vfmig_nvme_identify(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);

/* features.c */
void vfmig_nvme_default_features(struct vfmig_nvme *ctrl);
u16 vfmig_nvme_set_features(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
u16 vfmig_nvme_get_features(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);

/* log.c */
u64 vfmig_nvme_power_on_s(const struct vfmig_nvme *ctrl);
u8 vfmig_nvme_critical_warning(const struct vfmig_nvme *ctrl);
void vfmig_nvme_log_error(struct vfmig_nvme *ctrl, const struct vfmig_nvme_req *req,
			  u16 sqid, u16 status);
bool vfmig_nvme_fill_log(struct vfmig_nvme *ctrl, u8 lid, u32 *size);
u16 vfmig_nvme_get_log_page(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);

/* event.c */
void vfmig_nvme_event(struct vfmig_nvme *ctrl, unsigned int type, unsigned int info);
void vfmig_nvme_check_health(struct vfmig_nvme *ctrl);
void vfmig_nvme_ns_changed(struct vfmig_nvme *ctrl);
void vfmig_nvme_clear_events(struct vfmig_nvme *ctrl, u8 log_page);
void vfmig_nvme_send_events(struct vfmig_nvme *ctrl);
u16 vfmig_nvme_async_event(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);

/* io.c */
u16 vfmig_nvme_execute_io(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
u32 vfmig_nvme_io_effects(unsigned int opcode);

/* state.c */
size_t vfmig_nvme_state_size(const struct vfmig_nvme *ctrl);
ssize_t vfmig_nvme_state_save(struct vfmig_nvme *ctrl, void *buf, size_t size);
void vfmig_nvme_state_apply(struct vfmig_nvme *ctrl, const void *buf);

/* The entry after @entry in a queue of @size */
static inline u16 vfmig_nvme_next_entry(u16 entry, u32 size)
{
	return entry + 1 < size ? entry + 1 : 0;
}

/* Number of entries from @from to @to */
static inline u32 vfmig_nvme_distance(u16 from, u16 to, u32 size)
{
	return to >= from ? to - from : to + size - from;
}

static inline u64 vfmig_nvme_lbas(const struct vfmig_nvme *ctrl)
{
	return ctrl->media.size >> ctrl->lba_shift;
}

static inline bool vfmig_nvme_has_shadow(const struct vfmig_nvme *ctrl)
{
	return ctrl->look != VFMIG_NVME_LOOK_PLAIN;
}

/* The medium is memory.  A controller that has a volatile cache only gets needless Flushes. */
static inline bool vfmig_nvme_has_cache(const struct vfmig_nvme *ctrl)
{
	return ctrl->look == VFMIG_NVME_LOOK_PLAIN;
}

#endif /* _VFMIG_NVME_H */
