/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between a PF driver and the variant driver in
 * drivers/vfio/pci/vfmig/.  They use nothing else of each other.  The registry in
 * drivers/vfmig/registry.c, a module of its own, is below both.
 *
 * The variant driver owns the migration state machine, the data fds, the framing
 * of the stream and its accounting.  The PF driver owns the device: its registers,
 * its state and its memory.  Device memory is passed as referenced pages of
 * VFMIG_GRANULE bytes, so that no lock is held while user memory is accessed.
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
 * struct vfmig_vf_identity - properties of a device that a destination must match
 * @model: name of the device model
 * @model_version: version of its state
 * @memory_size: size of the device memory in bytes, a multiple of VFMIG_GRANULE
 * @data: the model's own part; &vfmig_vf_ops.identity_check compares it
 * @data_length: bytes of @data in use
 */
struct vfmig_vf_identity {
	char model[16];
	u32 model_version;
	u64 memory_size;
	u8 data[VFMIG_MODEL_DATA_MAX];
	u32 data_length;
};

/**
 * struct vfmig_mem_count - amount of memory of one kind that is still to be read
 * @granules: granules with data
 * @data_runs: runs of adjacent granules with data, as mem_next() will return them
 * @hole_runs: runs of adjacent deallocated granules, as mem_next() will return them
 */
struct vfmig_mem_count {
	u64 granules;
	u64 data_runs;
	u64 hole_runs;
};

/**
 * struct vfmig_mem_pending - device memory that a reader has not taken yet
 * @initial: the rest of the first full copy; has no holes
 * @reinit: new initial data: a hole over memory that was erased as a whole, or all that
 *	was dirty when the memory was resized, with a hole over what it grew by
 * @dirty: memory that changed since the memory session began, since it was taken, or
 *	since new initial data appeared
 * @reinits: how often in this session new initial data appeared or the memory was
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

/* The part of &struct vfmig_mem_pending that a run of device memory belongs to */
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
 * @kind: the part of &struct vfmig_mem_pending that it belonged to
 */
struct vfmig_mem_run {
	u64 offset;
	u64 length;
	bool hole;
	enum vfmig_mem_kind kind;
};

/**
 * struct vfmig_vf_client - callbacks from the PF driver to the user of an open VF
 * @reset: The VF was reset (FLR of the VF or of the PF) and is in its power-on state.
 *	Called from a context that may sleep.  The PF driver may hold locks that open(),
 *	close(), bar_read() and bar_write() take, so the callback must call none of
 *	these.  It must not wait for anything that waits for a reset.
 * @mem_dirty: Memory became dirty while nothing was pending, or was resized, so a
 *	waiting reader can continue.  Atomic context.  The callback must not call any of
 *	&struct vfmig_vf_ops.
 */
struct vfmig_vf_client {
	void (*reset)(void *data);
	void (*mem_dirty)(void *data);
};

/**
 * struct vfmig_vf_ops - operations of a PF driver on its VFs
 *
 * Unless said otherwise, a function may sleep and returns 0 or a negative errno.
 *
 * The caller serialises the functions of each of three groups: those that change the
 * running state (quiesce, resume, freeze, thaw), those of a memory session, and those of a
 * load.  bar_read, bar_write, the two size queries and the log functions can come at any
 * time from any thread.  A reset by the guest or the host can come at any time, in parallel
 * to all of them.
 *
 * Running states: a VF runs after open() and after a reset.  quiesce() stops DMA and
 * interrupts, while register writes are still latched (RUNNING_P2P).  freeze() stops every
 * change of state (STOP).  Both wait for operations under way.  thaw() undoes freeze(), and
 * resume() undoes quiesce().  They do nothing on a VF that is not stopped.  A reset can make
 * a VF run at any time, so freeze() may be called on a running VF, and then quiesces it too.
 * None of the four can fail.  A PF driver resets a device that it can't stop.
 */
struct vfmig_vf_ops {
	/** @owner: module to pin while a VF is open */
	struct module *owner;

	/**
	 * @find: Return the handle of VF @index (from 0) of @pf, or NULL.  The handle is
	 * valid until the VF's pci_dev is gone.
	 */
	void *(*find)(struct pci_dev *pf, unsigned int index);

	/**
	 * @open: Open the VF for a user.  Memory that the VF allocates from now on is
	 * charged to the caller's memory cgroup.  @client is called with @data until
	 * close() returns.  -EBUSY if the VF is open.  If the device needs a thread in the
	 * caller's process, also the errors of a fork.
	 */
	int (*open)(void *vf, const struct vfmig_vf_client *client, void *data);

	/**
	 * @close: Close the VF.  Stops DMA and interrupts before it returns, and ends a
	 * memory session, a load and a log.  The next open() makes the VF run; the caller
	 * resets the function before that.
	 */
	void (*close)(void *vf);

	/**
	 * @enter: The current process, which has the VF open, is about to access a BAR.  A
	 * device may have a thread in the process that opened it.  That process can end
	 * while another one has its file descriptor; the device can then move the thread.
	 * The caller holds no lock.  May be NULL.
	 */
	void (*enter)(void *vf);

	/**
	 * @bar_read: Read @len (1, 2, 4 or 8, naturally aligned) bytes at @offset of
	 * @bar as a little-endian value.  Returns all ones if there is no register.
	 */
	u64 (*bar_read)(void *vf, unsigned int bar, u64 offset, unsigned int len);

	/**
	 * @bar_write: Write @len (1, 2, 4 or 8, naturally aligned) bytes.  Dropped if
	 * there is no register, and while the VF is frozen.
	 */
	void (*bar_write)(void *vf, unsigned int bar, u64 offset, unsigned int len, u64 val);

	/** @quiesce: RUNNING to RUNNING_P2P */
	void (*quiesce)(void *vf);
	/** @resume: RUNNING_P2P to RUNNING; raises interrupts that the guest may have missed */
	void (*resume)(void *vf);
	/** @freeze: RUNNING_P2P to STOP */
	void (*freeze)(void *vf);
	/** @thaw: STOP to RUNNING_P2P */
	void (*thaw)(void *vf);

	/**
	 * @identity: Fill in @id.  While a VF is open, two things can change the identity.
	 * The administrator can change &vfmig_vf_identity.memory_size, but not while the VF
	 * is frozen in a memory session.  load_commit() replaces &vfmig_vf_identity.data
	 * by that of the source.
	 */
	void (*identity)(void *vf, struct vfmig_vf_identity *id);

	/**
	 * @identity_check: Check whether this VF can take the state of a device @id.  The
	 * caller has compared @id->model and checked the bounds of @id->data_length.
	 * Returns NULL, or the reason why not as a string that is valid until the next
	 * call.  During a load it is called for each identity record of the stream.  The
	 * records that follow belong to a device with that identity.
	 */
	const char *(*identity_check)(void *vf, const struct vfmig_vf_identity *id);

	/**
	 * @state_size: Return the bytes that state_save() would write if the VF were frozen
	 * now; never 0, at most VFMIG_STATE_MAX.  Any time.
	 */
	size_t (*state_size)(void *vf);

	/** @state_max: Upper bound of state_size(); constant, at most VFMIG_STATE_MAX */
	size_t (*state_max)(void *vf);

	/**
	 * @state_save: Write the frozen VF's state to @buf.  Returns the number of bytes,
	 * or -ENOSPC if @size is less than state_size().
	 */
	ssize_t (*state_save)(void *vf, void *buf, size_t size);

	/**
	 * @handed_over: The stream of the frozen VF was read to its end, so the device may
	 * continue at a destination.  If the VF is thawed, it keeps its identity.  If it is
	 * closed or reset first, it must get a new identity, because two guests would have
	 * the same device otherwise.  NULL if a user can't tell one VF from another.
	 */
	void (*handed_over)(void *vf);

	/** @mem_allocated: Count what a full copy would read now; any time, O(1) */
	void (*mem_allocated)(void *vf, struct vfmig_mem_count *count);

	/**
	 * @mem_start: Begin a memory session.  All allocated memory is pending as initial.
	 * Memory that changes from now on becomes pending as dirty.  -EBUSY if a session
	 * is on.
	 */
	int (*mem_start)(void *vf);
	/** @mem_stop: End the session, if one is on, and drop what is pending */
	void (*mem_stop)(void *vf);
	/** @mem_pending: Count what mem_next() will return; O(1) */
	void (*mem_pending)(void *vf, struct vfmig_mem_pending *pending);

	/**
	 * @mem_next: Take the next run.  It is not pending any more, until it changes again.
	 * Dirty runs come last.  Returns false if no run is pending, or if the memory
	 * does not have @size bytes any more.  Costs O(pending memory).
	 */
	bool (*mem_next)(void *vf, u64 size, struct vfmig_mem_run *run);

	/**
	 * @mem_page: Return the page with the granule at @offset, with a reference for the
	 * caller, or NULL if the granule is not allocated (reads as zeroes).  The device may
	 * write to the page while the caller reads it.
	 */
	struct page *(*mem_page)(void *vf, u64 offset);

	/**
	 * @load_start: Begin a load into a frozen VF.  The loaded memory is kept beside the
	 * VF's own until load_commit().  -EBUSY if a load is on, -ENOMEM.
	 */
	int (*load_start)(void *vf);

	/**
	 * @load_page: Load @page as the granule at @offset.  The caller has checked @offset
	 * against the source's memory_size.  The VF owns @page from now on; on error the
	 * caller keeps it.  A granule beyond the VF's own memory, which may have been
	 * resized, is dropped.  -ENOMEM, or -ENOSPC if the limit for the memory of all VFs
	 * is reached.
	 */
	int (*load_page)(void *vf, u64 offset, struct page *page);

	/**
	 * @load_hole: Make the @length bytes at @offset, as above, read as zeroes.  A hole
	 * can be as large as the memory.
	 */
	void (*load_hole)(void *vf, u64 offset, u64 length);

	/**
	 * @load_commit: Replace the VF's memory and state by the loaded memory and the state
	 * in @buf, atomically, and end the load.  @version is the model_version of the
	 * stream.  On error nothing has changed, the load is still on, and @why is the
	 * reason as a constant string.  -EINVAL if @buf is inconsistent or does not fit the
	 * VF's memory, which may have been resized; -ENOMEM.
	 */
	int (*load_commit)(void *vf, u32 version, const void *buf, size_t size, const char **why);

	/** @load_abort: End the load, if one is on, and drop what was loaded */
	void (*load_abort)(void *vf);

	/**
	 * @log_start: Start to log the pages that the VF writes by DMA in the @count @ranges
	 * of IOVA.  The ranges include both ends, are sorted, do not overlap, and belong to
	 * the caller.  A log is independent of running states, sessions and loads, and a
	 * reset does not change it.  *@page_size is a power of two of at least 4 KiB, to
	 * which the ranges are aligned.  It is the resolution that the user wants; the
	 * function sets it to the one that it uses.  -EINVAL if a log is on, -ENOMEM.
	 * NULL for a device that can't log; log_stop and log_report are then NULL too.
	 */
	int (*log_start)(void *vf, const struct range *ranges, unsigned int count,
			 u64 *page_size);

	/** @log_stop: End the log, if one is on, and free it */
	void (*log_stop)(void *vf);

	/**
	 * @log_report: Set in @dirty (iova_bitmap_set()) the pages of the @length bytes at
	 * @iova that were written, and clear them in the log.  A write that began before is
	 * reported unless it is still under way.  If a page is set in @dirty, a reader then
	 * sees its data.  A quiesced VF has no write under way.  -EINVAL if no log is on, or
	 * if @iova or @length is not a multiple of 4 KiB.
	 */
	int (*log_report)(void *vf, u64 iova, u64 length, struct iova_bitmap *dirty);
};

int vfmig_register_pf(struct pci_dev *pf, const struct vfmig_vf_ops *ops);
void vfmig_unregister_pf(struct pci_dev *pf);
int vfmig_find_vf(struct pci_dev *pdev, const struct vfmig_vf_ops **ops, void **vf);

#endif /* _LINUX_VFMIG_H */
