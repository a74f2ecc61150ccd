/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a PF driver offers for its VFs, and the variant driver uses: the only
 * thing that drivers/vfio/pci/vfmig/ and a PF driver know of each other.
 *
 * The variant driver owns the migration state machine, the data fds, the
 * framing of the stream and its accounting.  The PF driver owns the device:
 * what its registers do, what its state is and where its memory lies.  Device
 * memory crosses this border as pages of VFMIG_GRANULE bytes, by reference, so
 * that nobody holds a lock while user memory is touched.
 */
#ifndef _LINUX_VFMIG_H
#define _LINUX_VFMIG_H

#include <linux/types.h>
#include <uapi/linux/vfmig.h>

struct iova_bitmap;
struct module;
struct page;
struct pci_dev;
struct range;

/**
 * struct vfmig_vf_identity - what a destination must match
 * @model: name of the device model
 * @model_version: version of its state
 * @memory_size: size of the device memory in bytes, a multiple of VFMIG_GRANULE
 * @data: the model's own part, compared by &vfmig_vf_ops.identity_check
 * @data_length: bytes used of @data
 */
struct vfmig_vf_identity {
	char model[16];
	u32 model_version;
	u64 memory_size;
	u8 data[VFMIG_MODEL_DATA_MAX];
	u32 data_length;
};

/**
 * struct vfmig_mem_count - how much memory of one kind is still to be read
 * @granules: granules with data
 * @data_runs: runs of adjacent granules with data, as mem_next() will give them
 * @hole_runs: runs of adjacent deallocated granules, as mem_next() will give them
 */
struct vfmig_mem_count {
	u64 granules;
	u64 data_runs;
	u64 hole_runs;
};

/**
 * struct vfmig_mem_pending - device memory that a reader has not taken yet
 * @initial: of the first full copy; has no holes
 * @reinit: new initial data, all that was dirty when the memory was replaced at a
 *	stroke or resized
 * @dirty: changed since the tracking session began, since it was taken, or since
 *	new initial data appeared
 * @reinits: how often new initial data appeared in this session, or the memory was
 *	resized
 * @memory_size: size of the device memory in bytes
 */
struct vfmig_mem_pending {
	struct vfmig_mem_count initial;
	struct vfmig_mem_count reinit;
	struct vfmig_mem_count dirty;
	u64 reinits;
	u64 memory_size;
};

/* What a run of device memory is of, see &struct vfmig_mem_pending */
enum vfmig_mem_kind {
	VFMIG_MEM_INITIAL,
	VFMIG_MEM_REINIT,
	VFMIG_MEM_DIRTY,
};

/**
 * struct vfmig_mem_run - a run of device memory that a reader has taken
 * @offset: first byte, a multiple of VFMIG_GRANULE
 * @length: bytes, a multiple of VFMIG_GRANULE; at most VFMIG_MEMORY_MAX if it has data
 * @hole: the run was deallocated and reads as zeroes
 * @kind: what it is of
 */
struct vfmig_mem_run {
	u64 offset;
	u64 length;
	bool hole;
	enum vfmig_mem_kind kind;
};

/**
 * struct vfmig_vf_client - what the PF driver tells the user of an open VF
 * @reset: The VF was reset, whoever asked for it (an FLR of the VF or of the
 *	PF): it is as after power-on.  Called from a context that may sleep.  The PF
 *	driver may hold locks that open(), close(), bar_read() and bar_write() take:
 *	none of the four may be called from here.  Must not wait for anything that
 *	waits for a reset.
 * @mem_dirty: Memory became dirty while nothing was pending, or was resized: a
 *	reader that waits can go on.  Atomic context; must not call back.
 */
struct vfmig_vf_client {
	void (*reset)(void *data);
	void (*mem_dirty)(void *data);
};

/**
 * struct vfmig_vf_ops - what a PF driver does for its VFs
 *
 * Unless said otherwise a function may sleep, returns 0 or a negative errno,
 * and the caller serialises the functions that change the running state
 * (quiesce, resume, freeze, thaw), those of a memory session, and those of a
 * load, each against the others.  bar_read, bar_write, the two size queries and
 * the log functions come at any time from any thread.  A reset by the guest or the host may
 * happen at any moment, in parallel to all of them.
 *
 * Running states: after open() and after reset() a VF runs.  quiesce() stops
 * DMA and interrupts, register writes are still taken (RUNNING_P2P); freeze()
 * stops every change of state (STOP).  Each waits until what was under way is
 * over.  thaw() undoes freeze(), resume() undoes quiesce(); on a VF that is not
 * stopped they do nothing.  As a reset makes a VF run at any moment, freeze() may
 * meet one that runs, and quiesces it too.  None of the four can fail: a device
 * that can't be stopped in order is to be reset.
 */
struct vfmig_vf_ops {
	/** @owner: module to pin while a VF is open */
	struct module *owner;

	/**
	 * @find: The handle of VF @index (from 0) of @pf, valid until the VF's
	 * pci_dev is gone, or NULL.
	 */
	void *(*find)(struct pci_dev *pf, unsigned int index);

	/**
	 * @open: A user takes the VF; memory that the VF allocates from now on is
	 * charged to the caller's memory cgroup.  @client is called with @data
	 * until close() returns.  -EBUSY if it is open; what a fork fails with, if the
	 * device needs a thread of the caller's.
	 */
	int (*open)(void *vf, const struct vfmig_vf_client *client, void *data);

	/**
	 * @close: The user is gone: stops DMA and interrupts before it returns, ends
	 * a memory session, a load and a log.  A following open() finds the VF running;
	 * the caller resets the function before that.
	 */
	void (*close)(void *vf);

	/**
	 * @enter: The current process, which has the VF open, is about to access it.  A
	 * device may work in the name of the process that opened it, and that one can end
	 * before the others that it gave its file descriptor to.  The caller holds no lock.
	 * NULL if the device does not care.
	 */
	void (*enter)(void *vf);

	/**
	 * @bar_read: Read @len (1, 2, 4 or 8, naturally aligned) bytes at @offset of
	 * @bar, little-endian value.  All ones where nothing is.
	 */
	u64 (*bar_read)(void *vf, unsigned int bar, u64 offset, unsigned int len);

	/**
	 * @bar_write: Write @len (1, 2, 4 or 8, naturally aligned) bytes.  Dropped
	 * where nothing is, and while the VF is frozen.
	 */
	void (*bar_write)(void *vf, unsigned int bar, u64 offset, unsigned int len, u64 val);

	/** @quiesce: RUNNING to RUNNING_P2P */
	void (*quiesce)(void *vf);
	/** @resume: RUNNING_P2P to RUNNING; raises what the guest may have missed */
	void (*resume)(void *vf);
	/** @freeze: RUNNING_P2P to STOP */
	void (*freeze)(void *vf);
	/** @thaw: STOP to RUNNING_P2P */
	void (*thaw)(void *vf);

	/**
	 * @identity: Fill in @id.  While a VF is open two things can change it.  The
	 * administrator changes &vfmig_vf_identity.memory_size, but not while the VF is
	 * frozen in a memory session.  load_commit() makes &vfmig_vf_identity.data that of
	 * the source.
	 */
	void (*identity)(void *vf, struct vfmig_vf_identity *id);

	/**
	 * @identity_check: Can this VF take the state of a device @id?  The caller
	 * compared @id->model, and saw @id->data_length within bounds.  Returns
	 * NULL, or the reason why not, a constant string.  During a load called for
	 * each identity that the stream has: the source is that device from there on.
	 */
	const char *(*identity_check)(void *vf, const struct vfmig_vf_identity *id);

	/**
	 * @state_size: Bytes that state_save() would give if the VF were frozen now;
	 * never 0, at most VFMIG_STATE_MAX.  Any time.
	 */
	size_t (*state_size)(void *vf);

	/** @state_max: What state_size() never exceeds; at most VFMIG_STATE_MAX.  Constant. */
	size_t (*state_max)(void *vf);

	/**
	 * @state_save: Write the frozen VF's state to @buf.  Returns the bytes used
	 * or -ENOSPC if @size is less than state_size().
	 */
	ssize_t (*state_save)(void *vf, void *buf, size_t size);

	/**
	 * @handed_over: The stream of the frozen VF was read to its end, so the device may go
	 * on elsewhere.  If the VF is thawed, it is the same device still.  If it is closed or
	 * reset before, it must not be afterwards: two guests would have the same device.
	 * NULL if a user can't tell one VF from another.
	 */
	void (*handed_over)(void *vf);

	/** @mem_allocated: How much a full copy would read now; any time, O(1). */
	void (*mem_allocated)(void *vf, struct vfmig_mem_count *count);

	/**
	 * @mem_start: Begin a session: all allocated memory is pending as initial,
	 * and what changes from now on becomes pending as dirty.  -EBUSY if one is
	 * on.
	 */
	int (*mem_start)(void *vf);
	/** @mem_stop: End the session if one is on, forget what is pending. */
	void (*mem_stop)(void *vf);
	/** @mem_pending: What mem_next() has still to give; O(1). */
	void (*mem_pending)(void *vf, struct vfmig_mem_pending *pending);

	/**
	 * @mem_next: Take the next run: it is no longer pending, and becomes so
	 * again when it changes.  Dirty runs come last.  False if none is pending,
	 * or if the memory is not of @size bytes any more.  Costs O(what is pending).
	 */
	bool (*mem_next)(void *vf, u64 size, struct vfmig_mem_run *run);

	/**
	 * @mem_page: The page with the granule at @offset, with a reference for the
	 * caller, who may read it while the device writes it; NULL if the granule
	 * is not allocated (reads as zeroes).
	 */
	struct page *(*mem_page)(void *vf, u64 offset);

	/**
	 * @load_start: Begin to load a frozen VF, aside of the memory and state that
	 * it has.  -EBUSY if a load is on.
	 */
	int (*load_start)(void *vf);

	/**
	 * @load_page: The granule at @offset (checked by the caller against the
	 * source's memory_size) shall hold @page, which the VF owns from now on; the
	 * caller keeps it on error.  What lies beyond the VF's own memory, since that
	 * was resized, is dropped.  -ENOMEM; -ENOSPC where the memory of all VFs together
	 * is limited and there is no more.
	 */
	int (*load_page)(void *vf, u64 offset, struct page *page);

	/** @load_hole: The @length bytes at @offset, as above, shall read as zeroes. */
	void (*load_hole)(void *vf, u64 offset, u64 length);

	/**
	 * @load_commit: Take the memory loaded so far and the state in @buf in place
	 * of the VF's own, at once, and end the load.  @version is the model_version
	 * of the stream.  On error nothing changed, the load is still on, and @why
	 * names what was wrong, a constant string: -EINVAL if @buf makes no sense, or
	 * not for what the VF's memory is by now, -ENOMEM.
	 */
	int (*load_commit)(void *vf, u32 version, const void *buf, size_t size, const char **why);

	/** @load_abort: End the load if one is on, forget what was loaded. */
	void (*load_abort)(void *vf);

	/**
	 * @log_start: Log which pages the VF writes by DMA in the @count @ranges of
	 * IOVA, both ends of which belong to them; they are sorted, apart, and the
	 * caller's.  A log has nothing to do with running states, sessions and loads,
	 * and goes on over a reset.  *@page_size, a power of two from 4 KiB that the
	 * ranges are aligned to, is how fine the user wants it, and becomes how fine it
	 * will be.  -EINVAL if a log is on, -ENOMEM.  NULL for a device that can't log;
	 * log_stop and log_report are then NULL too.
	 */
	int (*log_start)(void *vf, const struct range *ranges, unsigned int count,
			 u64 *page_size);

	/** @log_stop: End the log if one is on, forget what it has. */
	void (*log_stop)(void *vf);

	/**
	 * @log_report: Set in @dirty (iova_bitmap_set()) what was written of the @length
	 * bytes at @iova, and forget that.  A write that began before is reported unless
	 * it is still under way; who finds the page in @dirty, and reads it then, sees
	 * the data.  Of a VF that is quiesced nothing is under way.  -EINVAL if no log is
	 * on, or @iova or @length is not a multiple of 4 KiB.
	 */
	int (*log_report)(void *vf, u64 iova, u64 length, struct iova_bitmap *dirty);
};

int vfmig_register_pf(struct pci_dev *pf, const struct vfmig_vf_ops *ops);
void vfmig_unregister_pf(struct pci_dev *pf);

#endif /* _LINUX_VFMIG_H */
