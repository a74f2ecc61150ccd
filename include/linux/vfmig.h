/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between a PF driver and the variant driver in
 * drivers/vfio/pci/vfmig/.  They use nothing else of each other.  The registry in
 * drivers/vfmig/registry.c, a module of its own, is below both.
 *
 * The variant driver owns the migration state machine, the data fds, the framing
 * of the stream and its accounting.  The PF driver owns the device: its registers,
 * its state and its memory.
 *
 * A PF driver says what its VFs can do by the operations that it has.  The variant
 * driver offers that to users, and no more.  Documentation/new-model.rst shows a
 * smallest PF side; Documentation/border.rst shows how other devices fit.
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
 * @memory_size: size of the device memory in bytes, a multiple of VFMIG_GRANULE; 0 for a
 *	device without &struct vfmig_mem_ops
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

/* The part of &struct vfmig_state_pending that a piece of state belongs to */
enum vfmig_state_kind {
	VFMIG_STATE_INITIAL,
	VFMIG_STATE_REINIT,
	VFMIG_STATE_DIRTY,
	VFMIG_STATE_FINAL,
};

/**
 * struct vfmig_state_pending - state that a reader has not taken yet, in bytes
 * @initial: the rest of a first copy that can be read while the VF runs
 * @reinit: new initial data, which replaces what was read before
 * @dirty: what changed since it was read, and can be read while the VF runs
 * @final: what state_read() gives only after save_final(); before it, what that would be if
 *	the VF were frozen now
 * @reinits: how often in this save new initial data appeared
 *
 * All but @final are 0 for a device whose state is read only when it is frozen, and for any
 * device outside a save.  The numbers may be estimates.  The end of the state is where
 * state_read() returns 0.
 */
struct vfmig_state_pending {
	u64 initial;
	u64 reinit;
	u64 dirty;
	u64 final;
	u64 reinits;
};

/**
 * struct vfmig_mem_count - amount of memory of one kind that is still to be read
 * @granules: granules with data
 * @data_runs: runs of adjacent granules with data, as &vfmig_mem_ops.next will return them
 * @hole_runs: runs of adjacent deallocated granules, as &vfmig_mem_ops.next will return
 *	them
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
 * @dirty: memory that changed since the save began, since it was taken, or since new
 *	initial data appeared
 * @reinits: how often in this save new initial data appeared or the memory was resized
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
 * @reset: The VF was reset and is in its power-on state.  Called from a context that may
 *	sleep.  The PF driver may hold locks that open(), close(), bar_read() and
 *	bar_write() take, so the callback calls none of these.  It may call any other
 *	operation, so the PF driver holds no lock that these take.  It must not wait for
 *	anything that waits for a reset.  A PF driver that does not notice an FLR need not
 *	call it for one: the variant driver sees the resets that the PCI core makes.
 * @lost: The device has lost what it knew of the VF, for example because its firmware was
 *	restarted.  Data fds fail with -ENODEV from now on, and the migration state is
 *	ERROR until a reset, unless it was RUNNING.  A log that was on fails to report with
 *	-EIO.  Context as for @reset.
 * @gone: The device behind the VF is gone for good, for example unplugged.  Data fds fail
 *	with -ENODEV from now on, and so does every change of the migration state.
 *	Trapped BARs read as all ones, and mappings of them are taken away.  The variant
 *	driver still calls close(), and may call other operations until then, which fail or
 *	do nothing.  Context as for @reset.
 * @data_ready: There is something to read where nothing was pending, where state_read()
 *	returned 0, or where an operation returned -EAGAIN; or there is room to load again;
 *	or an operation that was awaited has failed; or the memory was resized.  Atomic
 *	context.  The callback must not call any of &struct vfmig_vf_ops.
 * @unmap: Take all mappings of BARs away.  When it returns, no store of a CPU through one of them
 *	is under way, and the next access calls &vfmig_vf_ops.map.  A device may still write to a
 *	page that the user has pinned.  May sleep.  The PF driver holds no lock that map() takes.
 */
struct vfmig_vf_client {
	void (*reset)(void *data);
	void (*lost)(void *data);
	void (*gone)(void *data);
	void (*data_ready)(void *data);
	void (*unmap)(void *data);
};

/**
 * struct vfmig_mem_ops - operations on the memory of a VF
 *
 * For a device with memory that is too large to be part of its state.  Device memory is
 * passed in granules of VFMIG_GRANULE bytes, either as referenced pages (@page,
 * @load_page) or through a buffer (@read, @load_data), so that no lock of the PF driver is
 * held while user memory is accessed.  A device has one of each two.
 *
 * A save and a load are those of &struct vfmig_vf_ops.
 */
struct vfmig_mem_ops {
	/**
	 * @allocated: Count what a full copy would read now; any time, O(1).  An error fails
	 * the user's query only.
	 */
	int (*allocated)(void *vf, struct vfmig_mem_count *count);

	/**
	 * @pending: Count what @next will return in this save; O(1).  An error fails the
	 * user's query or read, which can be repeated.
	 */
	int (*pending)(void *vf, struct vfmig_mem_pending *pending);

	/**
	 * @next: Take the next run of the save.  It is not pending any more, until it changes
	 * again.  Dirty runs come last.  Returns 1, 0 if no run is pending or if the memory
	 * does not have @size bytes any more, or a negative errno.  Costs O(pending memory).
	 */
	int (*next)(void *vf, u64 size, struct vfmig_mem_run *run);

	/**
	 * @page: Return the page with the granule at @offset, with a reference for the
	 * caller, NULL if the granule is not allocated (reads as zeroes), or an ERR_PTR.
	 * The device may write to the page while the caller reads it.  For memory that
	 * consists of pages.
	 */
	struct page *(*page)(void *vf, u64 offset);

	/**
	 * @read: Copy @length bytes at @offset to @buf: a run that @next has returned, or the
	 * rest of one, at most VFMIG_STATE_CHUNK bytes.  -EAGAIN as for state_read().  For
	 * memory without pages, behind a window for example.
	 */
	int (*read)(void *vf, u64 offset, void *buf, u64 length);

	/**
	 * @load_page: Load @page as the granule at @offset.  The caller has checked @offset
	 * against the source's memory_size.  The VF owns @page from now on; on error the
	 * caller keeps it.  A granule beyond the VF's own memory, which may have been
	 * resized, is dropped.  -ENOMEM, or -ENOSPC if the limit for the memory of all VFs
	 * is reached.  -EAGAIN as for load_state(), where memory may become free.
	 */
	int (*load_page)(void *vf, u64 offset, struct page *page);

	/**
	 * @load_data: Load the @length bytes at @buf, at most VFMIG_STATE_CHUNK, as whole
	 * granules at @offset, with the checks of @load_page.  -EAGAIN as for load_state().
	 */
	int (*load_data)(void *vf, u64 offset, const void *buf, u64 length);

	/**
	 * @load_hole: Make the @length bytes at @offset, as above, read as zeroes.  A hole
	 * can be as large as the memory; a large one comes in pieces of 64 MiB.
	 */
	int (*load_hole)(void *vf, u64 offset, u64 length);
};

/**
 * struct vfmig_log_ops - operations of a device that logs its DMA writes
 */
struct vfmig_log_ops {
	/**
	 * @start: Start to log the pages that the VF writes by DMA in the @count @ranges of
	 * IOVA.  The ranges include both ends, are sorted, do not overlap, and belong to the
	 * caller.  A log is independent of running states, saves and loads, and a reset does
	 * not change it.  *@page_size is a power of two of at least 4 KiB, to which the
	 * ranges are aligned.  It is the resolution that the user wants; the function sets
	 * it to the one that it uses.  A device that takes fewer ranges, or coarser ones, logs
	 * more than it was asked for.  -EINVAL if a log is on, -ENOMEM.
	 */
	int (*start)(void *vf, const struct range *ranges, unsigned int count, u64 *page_size);

	/**
	 * @stop: End the log, if one is on, and free it.  If it fails, the log is still on, and
	 * the user can try again; a close() ends it in any case.
	 */
	int (*stop)(void *vf);

	/**
	 * @report: Set in @dirty (iova_bitmap_set()) the pages of the @length bytes at @iova
	 * that were written, and clear them in the log.  A write that began before is
	 * reported unless it is still under way.  If a page is set in @dirty, a reader then
	 * sees its data.  A quiesced VF has no write under way.  -EINVAL if no log is on, or
	 * if @iova or @length is not a multiple of 4 KiB.
	 */
	int (*report)(void *vf, u64 iova, u64 length, struct iova_bitmap *dirty);
};

/**
 * struct vfmig_vf_ops - operations of a PF driver on its VFs
 *
 * Unless said otherwise, a function may sleep and returns 0 or a negative errno.
 *
 * The caller serialises the functions of each of three groups: those that change the
 * running state (quiesce, resume, freeze, thaw), those of a save, and those of a load.
 * bar_read, bar_write, state_pending, &vfmig_mem_ops.allocated and the log functions can
 * come at any time from any thread.  A reset by the guest or the host can come at any time,
 * in parallel to all of them.
 *
 * Running states: a VF runs after open() and after a reset.  quiesce() stops DMA and
 * interrupts, while register writes are still latched (RUNNING_P2P).  freeze() stops every
 * change of state (STOP).  Both wait for operations under way.  thaw() undoes freeze(), and
 * resume() undoes quiesce().  A device without VFIO_MIGRATION_P2P has no quiesce() and
 * resume(): freeze() leads from RUNNING to STOP, and thaw() from STOP to RUNNING.  A reset can
 * make a VF run at any time, so each of the four may find the VF in another state.  It then
 * does what it says, or fails with any errno: the variant driver learns of the reset and
 * handles it.
 *
 * Errors: an operation that fails leaves the VF as it was.  The arc fails with the errno,
 * and the migration state does not change.  -ENOTRECOVERABLE says that the PF driver does
 * not know where the device stands.  The migration state is then ERROR, and a reset leads
 * out of it.  An operation that waits may be interrupted by a signal.
 */
struct vfmig_vf_ops {
	/** @owner: module to pin while a VF is open */
	struct module *owner;

	/**
	 * @migration_flags: what the VFs can do, in the words of
	 * &struct vfio_device_feature_migration: VFIO_MIGRATION_STOP_COPY, with none, one or
	 * both of VFIO_MIGRATION_P2P and VFIO_MIGRATION_PRE_COPY
	 */
	u64 migration_flags;

	/**
	 * @hw_bars: BARs with hardware behind them, a bit each.  VFIO's core accesses and maps
	 * them, in all migration states.  An access to another BAR is trapped, and goes to
	 * bar_read() and bar_write().  VFIO_DEVICE_IOEVENTFD is refused for all BARs (ENOTTY).
	 */
	u32 hw_bars;

	/** @mem: operations on device memory; NULL for a device without */
	const struct vfmig_mem_ops *mem;

	/** @log: operations of a log of DMA writes; NULL for a device that can't log */
	const struct vfmig_log_ops *log;

	/**
	 * @find: Return the handle of VF @index (from 0) of @pf, or NULL if the variant driver
	 * is not to drive it.  The handle is
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
	 * @close: Close the VF.  Stops DMA and interrupts before it returns, or leaves that to
	 * the reset that follows, and ends a save, a load and a log.  The next open() makes the
	 * VF run; the caller resets the function before that.
	 */
	void (*close)(void *vf);

	/**
	 * @enter: The current process, which has the VF open, is about to access a BAR or to
	 * change the migration state.  A device may have a thread in the process that opened
	 * it.  That process can end while another one has its file descriptor; the device can
	 * then move the thread.  The caller holds no lock.  May be NULL.
	 */
	void (*enter)(void *vf);

	/**
	 * @reset: Reset the VF to its power-on state, as an FLR does.  For a VF that the PCI
	 * core has no means to reset; VFIO_DEVICE_RESET, an open and a close then come here: an
	 * open before open(), a close after close().  The PF driver calls
	 * &vfmig_vf_client.reset for this reset as for any other.  May be NULL.
	 */
	int (*reset)(void *vf);

	/**
	 * @reset_prepare: The PCI core is about to reset the VF.  VFIO's locks may be held.
	 * Not called for the reset after a close.  May be NULL.
	 */
	void (*reset_prepare)(void *vf);

	/**
	 * @reset_done: The PCI core has reset the VF.  The function waits for what the PF
	 * driver has to do after that.  VFIO's locks may be held.  May be NULL.
	 */
	void (*reset_done)(void *vf);

	/**
	 * @bar_read: Read @len (1, 2, 4 or 8, naturally aligned) bytes at @offset of
	 * @bar as a little-endian value.  Returns all ones if there is no register.
	 */
	u64 (*bar_read)(void *vf, unsigned int bar, u64 offset, unsigned int len);

	/**
	 * @bar_write: Write @len (1, 2, 4 or 8, naturally aligned) bytes.  Dropped if
	 * there is no register, and while the VF is frozen.  NULL, as bar_read(), if all
	 * BARs are in @hw_bars.
	 */
	void (*bar_write)(void *vf, unsigned int bar, u64 offset, unsigned int len, u64 val);

	/**
	 * @map_area: Set @area to the part of trapped BAR @bar that users can map: whole pages, as
	 * offsets of the first and last byte.  Returns false if there is none.  Any time; may be
	 * NULL.
	 */
	bool (*map_area)(void *vf, unsigned int bar, struct range *area);

	/**
	 * @map: A user touches the page at @offset of @bar, in the area of map_area(), through a
	 * mapping: for the first time, or since &vfmig_vf_client.unmap or a reset.  Returns the
	 * page to map, of which the mapping has its own reference, or NULL; the access then fails
	 * with SIGBUS.  The user may pin the page, and keep it after close(), so the next user
	 * gets another one.  A store of the user may follow at once.  In all migration states, also
	 * while the VF is frozen: what is stored then must not change it.  Locks of the memory
	 * management and of VFIO are held, so it must not wait for long, nor allocate memory.  Not
	 * called in parallel to unmap().  NULL without map_area().
	 */
	struct page *(*map)(void *vf, unsigned int bar, u64 offset);

	/** @quiesce: RUNNING to RUNNING_P2P; only with VFIO_MIGRATION_P2P */
	int (*quiesce)(void *vf);
	/**
	 * @resume: RUNNING_P2P to RUNNING; raises interrupts that the guest may have missed;
	 * only with VFIO_MIGRATION_P2P
	 */
	int (*resume)(void *vf);
	/** @freeze: RUNNING_P2P to STOP */
	int (*freeze)(void *vf);
	/** @thaw: STOP to RUNNING_P2P */
	int (*thaw)(void *vf);

	/**
	 * @identity: Fill in @id, which is zeroed.  While a VF is open, two things can change
	 * the identity.  The administrator can change &vfmig_vf_identity.memory_size, but not
	 * while the VF is frozen in a save.  load_commit() may replace &vfmig_vf_identity.data
	 * by that of the source.
	 */
	int (*identity)(void *vf, struct vfmig_vf_identity *id);

	/**
	 * @identity_check: Check whether this VF can take the state of a device @id.  The
	 * caller has compared @id->model and &vfmig_vf_identity.memory_size, and has checked
	 * that @id->model_version is not newer than that of this VF, and the bounds of
	 * @id->data_length.  NULL for a model without data of its own and older versions.
	 * Returns NULL, or the reason why not as a string that is valid until the next
	 * call.  During a load it is called for each identity record of the stream.  The
	 * records that follow belong to a device with that identity.
	 */
	const char *(*identity_check)(void *vf, const struct vfmig_vf_identity *id);

	/**
	 * @save_start: Begin a save, of a VF that runs if @precopy is set, else of a frozen
	 * one.  All allocated memory is pending as initial.  Memory that changes from now on
	 * becomes pending as dirty.  Allocates what a save needs, so that none of it has to be
	 * allocated when the VF is frozen.  -EBUSY if a save is on, -ENOMEM.
	 */
	int (*save_start)(void *vf, bool precopy);

	/**
	 * @save_final: STOP_COPY begins, and the VF is frozen: make the final state, or begin
	 * to.  Called once in a save, also if there was no PRE_COPY.  If it fails, the arc
	 * fails, and a VF that the same arc has frozen is thawed again.  -ECANCELED if the VF was
	 * reset.  May be NULL.
	 */
	int (*save_final)(void *vf);

	/**
	 * @save_stop: End the save, and drop what is pending.  If it fails, the save is still
	 * on, and the arc can be tried again.  After a reset a save ends in any case, and the
	 * result is ignored.  NULL if there is nothing to do.
	 */
	int (*save_stop)(void *vf);

	/**
	 * @state_pending: Count the state that is still to be read, or, outside a save, that
	 * a save would have to read.  Any time.  An error fails the user's query only.
	 */
	int (*state_pending)(void *vf, struct vfmig_state_pending *pending);

	/**
	 * @state_read: Write the next piece of the state to @buf, at most @size bytes, and its
	 * kind to @kind.  @size is VFMIG_STATE_CHUNK.  A piece is of one kind.  The
	 * sizes that a user is told are exact if a piece is shorter than @size only where it
	 * is the last of its kind for now.  Kinds come in the order of &enum vfmig_state_kind.
	 * Returns the number of bytes, or 0 if there is no more now: the end of the state after
	 * save_final().  -EAGAIN if the next piece is being made; &vfmig_vf_client.data_ready
	 * follows when it is there.  The function must not wait for long itself.  With another
	 * error nothing was read, and the user may try again.
	 */
	ssize_t (*state_read)(void *vf, void *buf, size_t size, enum vfmig_state_kind *kind);

	/**
	 * @handed_over: The last byte of the stream of the frozen VF is about to be read, so the
	 * device may continue at a destination.  If the VF is thawed, it keeps its identity.
	 * If it is closed or reset first, it must get a new identity, because two guests would
	 * have the same device otherwise.  NULL if a user can't tell one VF from another.
	 * -ECANCELED if the VF was reset; that byte is not read then.
	 */
	int (*handed_over)(void *vf);

	/**
	 * @load_start: Begin a load into a frozen VF.  What is loaded is kept beside the VF's
	 * own memory and state until load_commit(), or is applied at once by a device that
	 * can't keep it.  -EBUSY if a load is on, -ENOMEM.
	 */
	int (*load_start)(void *vf);

	/**
	 * @load_state: Take the next piece of the state, in the order in which state_read()
	 * of the source gave them; at most VFMIG_STATE_MAX bytes.  @version is the
	 * model_version of the stream.  The caller has checked the bytes against their
	 * checksum only.  @why is the reason of an error as a constant string, or NULL.
	 * -EINVAL if the state is inconsistent or too long, -ENOMEM.  -EAGAIN if there is no
	 * room yet and nothing was taken; &vfmig_vf_client.data_ready follows, and the same
	 * piece comes again.
	 */
	int (*load_state)(void *vf, u32 version, const void *buf, size_t size, const char **why);

	/**
	 * @load_commit: Replace the VF's memory and state by what was loaded, and end the load.
	 * The stream was complete.  On error the stream is refused, the load is still on, and
	 * @why is the reason as a constant string, or NULL.  A device that keeps what is loaded
	 * beside has not changed then.  -EINVAL if the state is inconsistent or does not fit
	 * the VF's memory, which may have been resized; -ENOMEM.
	 *
	 * The VF has the identity of the source from here on.  If it is closed before it has run,
	 * it must get a new one: the source may go on, and on another host the VF does not hear
	 * of that.  A reset leaves it the identity: a VMM may reset a device that it can't start,
	 * and run the guest on it.
	 */
	int (*load_commit)(void *vf, const char **why);

	/**
	 * @load_abort: End the load, if one is on, and drop what was loaded.  A reset or a
	 * close() follows, or has come before.  NULL if there is nothing to do.
	 */
	void (*load_abort)(void *vf);
};

/* The size of the buffers between the variant driver and a PF driver, in bytes */
#define VFMIG_STATE_CHUNK	65536U

int vfmig_register_pf(struct pci_dev *pf, const struct vfmig_vf_ops *ops);
void vfmig_unregister_pf(struct pci_dev *pf);
int vfmig_find_vf(struct pci_dev *pdev, const struct vfmig_vf_ops **ops, void **vf);

#endif /* _LINUX_VFMIG_H */
