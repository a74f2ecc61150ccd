/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfmig_test_border: a PF driver that uses all of include/linux/vfmig.h.  A test tells it,
 * through debugfs, what its VFs can do and which operation fails.
 *
 * The state of a VF is a number of bytes, each of which follows from its place
 * (border_state_fill()).  Its memory is what a test writes to it through debugfs.
 */
#ifndef _VFMIG_TEST_BORDER_H
#define _VFMIG_TEST_BORDER_H

#include <linux/bitmap.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/vfmig.h>

#include "fabric.h"

#define BORDER_VFS		2
#define BORDER_GRANULES		1024	/* of memory of a VF */
#define BORDER_MEMORY		(BORDER_GRANULES * (u64)VFMIG_GRANULE)
#define BORDER_REGS		8	/* of 8 bytes, from offset 0 of BAR 0 */

/* The operations, in the order of border_ops */
enum border_op {
	BORDER_find,
	BORDER_open,
	BORDER_close,
	BORDER_enter,
	BORDER_reset,
	BORDER_reset_prepare,
	BORDER_reset_done,
	BORDER_bar_read,
	BORDER_bar_write,
	BORDER_map,
	BORDER_quiesce,
	BORDER_resume,
	BORDER_freeze,
	BORDER_thaw,
	BORDER_identity,
	BORDER_identity_check,
	BORDER_save_start,
	BORDER_save_final,
	BORDER_save_stop,
	BORDER_state_pending,
	BORDER_state_read,
	BORDER_handed_over,
	BORDER_load_start,
	BORDER_load_state,
	BORDER_load_commit,
	BORDER_load_abort,
	BORDER_allocated,
	BORDER_pending,
	BORDER_next,
	BORDER_page,
	BORDER_read,
	BORDER_load_page,
	BORDER_load_data,
	BORDER_load_hole,
	BORDER_start,
	BORDER_stop,
	BORDER_report,
	BORDER_OPS
};

enum border_running { BORDER_RUNS, BORDER_QUIESCED, BORDER_FROZEN };

/**
 * struct border_memory - granules; NULL is one that is not allocated
 * @pages: each with a reference
 */
struct border_memory {
	struct page *pages[BORDER_GRANULES];
};

/**
 * struct border_vf - a VF
 * @fn: its function
 * @behind: the page behind BAR 0, which users can map; NULL if there was no memory for it
 * @client_lock: held while the client is called and while it changes
 * @ready_lock: protects @client and @client_data for data_ready(), and @fail
 * @client: the user of the open VF, or NULL.  Written under both locks.
 * @client_data: see @client
 * @fail: how each operation is to fail: with @err, @left times (all if negative), after
 *	@skip calls that work
 * @ready_timer: ends each failure with -EAGAIN and calls data_ready()
 * @calls: number of calls of each operation
 * @lock: protects all that follows; the client is not called under it
 * @running: what it does
 * @regs: its registers
 * @size: bytes of state, of which @early can be read while the VF runs
 * @early: see @size
 * @piece: the most that state_read() gives at once
 * @claim: state_pending() adds this to what is dirty
 * @saving: a save is on
 * @final: save_final() was called
 * @left: what is to be read
 * @pos: place of the next byte to be read
 * @loading: a load is on
 * @loaded: bytes of state that came
 * @wrong: pieces among them that were not what they should be
 * @memory: its memory
 * @beside: what was loaded and not committed
 * @first: granules of the first copy that are to be read
 * @dirty: granules that changed
 */
struct border_vf {
	struct vfmig_fn *fn;
	struct page *behind;

	struct mutex client_lock;	/* client */
	spinlock_t ready_lock;		/* client, fail */
	const struct vfmig_vf_client *client;
	void *client_data;
	struct {
		int err;
		int left;
		unsigned int skip;
	} fail[BORDER_OPS];
	struct timer_list ready_timer;
	atomic_t calls[BORDER_OPS];

	struct mutex lock;		/* all below */
	enum border_running running;
	u64 regs[BORDER_REGS];
	u64 size;
	u64 early;
	u64 piece;
	u64 claim;
	bool saving;
	bool final;
	struct vfmig_state_pending left;
	u64 pos;
	bool loading;
	u64 loaded;
	u64 wrong;
	struct border_memory memory;
	struct border_memory beside;
	DECLARE_BITMAP(first, BORDER_GRANULES);
	DECLARE_BITMAP(dirty, BORDER_GRANULES);
};

/**
 * struct border_offer - what the PF driver registers
 * @vf: operations, as all that follow
 * @mem: see @vf
 * @log: see @vf
 * @silent: the PF driver does not report a reset
 */
struct border_offer {
	struct vfmig_vf_ops vf;
	struct vfmig_mem_ops mem;
	struct vfmig_log_ops log;
	bool silent;
};

extern struct border_offer border_offer;
extern struct border_vf border_vfs[BORDER_VFS];

/**
 * struct border_op_desc - an operation
 * @name: its name
 * @offset: of the pointer in &struct border_offer
 */
struct border_op_desc {
	const char *name;
	size_t offset;
};

extern const struct border_op_desc border_ops[BORDER_OPS];

/* ops.c */
extern const struct vfmig_vf_ops border_vf_ops;
bool border_map_area(void *data, unsigned int bar, struct range *area);
extern const struct vfmig_log_ops border_log_ops;
int border_fails(struct border_vf *vf, enum border_op op);
void border_end_waits(struct border_vf *vf);
void border_power_on(struct border_vf *vf);

/* state.c */
void border_state_begin(struct border_vf *vf, bool precopy);
int border_state_pending(void *data, struct vfmig_state_pending *pending);
ssize_t border_state_read(void *data, void *buf, size_t size, enum vfmig_state_kind *kind);
int border_load_state(void *data, u32 version, const void *buf, size_t size, const char **why);

/* memory.c */
extern const struct vfmig_mem_ops border_mem_ops;
void border_memory_begin(struct border_vf *vf);
int border_memory_write(struct border_vf *vf, u64 offset, const void *buf, size_t len);
void border_memory_read(struct border_vf *vf, u64 offset, void *buf, size_t len);
void border_memory_replace(struct border_memory *memory, struct border_memory *by);
void border_memory_free(struct border_memory *memory);

/* debugfs.c */
void border_debugfs_init(struct pci_dev *pf);
void border_debugfs_exit(void);

#endif /* _VFMIG_TEST_BORDER_H */
