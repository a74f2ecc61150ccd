/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A load of device memory: what a stream brings is kept beside the device's own memory, until
 * it replaces that at a stroke.
 *
 * The owner of the memory embeds a &struct vfmig_memory_load beside it.  Two locks play a
 * part.  The load's lock, which is the outer one, serialises a load with a resize.  The
 * owner's lock is that of the memory.  Each function says which of them the caller holds.
 * The caller serialises start, page, hole, commit and abort, as &struct vfmig_vf_ops says.
 */
#ifndef _VFMIG_MEMORY_LOAD_H
#define _VFMIG_MEMORY_LOAD_H

#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/workqueue.h>

#include "memory.h"

/**
 * struct vfmig_memory_load - a load, or the place for one
 * @mem: the device's memory
 * @lock: protects all that follows.  The owner may protect by it what else it keeps of a
 *	load.  A reset may have to wait for it.
 * @loaded: what was loaded, or NULL if no load is on; always of the size of @mem
 * @kept: the smallest size in bytes that @loaded had since the last identity record with
 *	that size or less; data loaded beyond it is lost.  U64_MAX if nothing was lost.
 * @discarded: what the last load left over, for @discard, or NULL
 * @discard: frees @discarded, which takes a second for some GiB.  The next load waits for
 *	it, so there is at most one.
 */
struct vfmig_memory_load {
	struct vfmig_memory *mem;

	struct mutex lock;	/* all below */
	struct vfmig_memory *loaded;
	u64 kept;
	struct vfmig_memory *discarded;
	struct work_struct discard;
};

/** vfmig_memory_load_init() - make the place for a load that is to replace @mem */
void vfmig_memory_load_init(struct vfmig_memory_load *load, struct vfmig_memory *mem);

/**
 * vfmig_memory_load_destroy() - undo vfmig_memory_load_init()
 * @load: no load is on
 *
 * Waits until what the last one left over is freed.  The caller holds no lock.
 */
void vfmig_memory_load_destroy(struct vfmig_memory_load *load);

/**
 * vfmig_memory_load_start() - begin a load
 * @load: the load
 *
 * The caller holds no lock.
 *
 * Return: 0, -EBUSY if a load is on, -ENOMEM.
 */
int vfmig_memory_load_start(struct vfmig_memory_load *load);

/**
 * vfmig_memory_load_page() - load a page
 * @load: the load
 * @offset: of the granule, a multiple of VFMIG_GRANULE; dropped if it is beyond the memory
 * @page: the data, which belongs to the load from now on, but on error to the caller
 *
 * The caller does not hold the load's lock, nor the owner's.
 *
 * Return: 0, -EINVAL if no load is on, -ENOMEM where it is worth trying again after
 * vfmig_memory_load_get_memory() or later, -ENOSPC at the limit of all devices together.
 */
int vfmig_memory_load_page(struct vfmig_memory_load *load, u64 offset, struct page *page);

/**
 * vfmig_memory_load_get_memory() - get the memory that a page has found none of
 * @load: the load, or the place for one
 *
 * Charged to the current memory cgroup.  May sleep for long.  The caller holds no lock that others
 * wait for.  One caller at a time.  If this fails too, vfmig_memory_load_page() fails again.
 */
void vfmig_memory_load_get_memory(struct vfmig_memory_load *load);

/**
 * vfmig_memory_load_hole() - make a range read as zeroes
 * @load: the load
 * @offset: first byte; what is beyond the memory is ignored
 * @length: bytes
 *
 * What goes is for vfmig_memory_free_erased() of the memory to free, so the owner kicks its
 * worker.  The caller holds no lock.
 */
void vfmig_memory_load_hole(struct vfmig_memory_load *load, u64 offset, u64 length);

/**
 * vfmig_memory_load_expect() - the stream is that of a memory of @size bytes from now on
 * @load: the load; the caller holds its lock
 * @size: bytes.  What this load lost beyond @size, as the device's own memory was smaller
 *	for a time, the source does not have any more either.
 */
void vfmig_memory_load_expect(struct vfmig_memory_load *load, u64 size);

/** vfmig_memory_load_is_on() - is a load on?  The caller holds its lock. */
static inline bool vfmig_memory_load_is_on(const struct vfmig_memory_load *load)
{
	return load->loaded;
}

/**
 * vfmig_memory_load_lost() - was data lost, as the memory was smaller for a time?
 * @load: a load that is on; the caller holds its lock
 *
 * Return: true if so.
 */
static inline bool vfmig_memory_load_lost(const struct vfmig_memory_load *load)
{
	return load->kept < load->loaded->size;
}

/**
 * vfmig_memory_load_commit() - replace the memory by what was loaded, and end the load
 * @load: a load that is on; the caller holds its lock and the owner's
 *
 * Ends a session of the memory.
 */
void vfmig_memory_load_commit(struct vfmig_memory_load *load);

/**
 * vfmig_memory_load_abort() - end a load, if one is on, and drop what was loaded
 * @load: the load; the caller does not hold its lock
 */
void vfmig_memory_load_abort(struct vfmig_memory_load *load);

/**
 * struct vfmig_memory_tables - what a resize needs
 * @mem: the table of the memory, or NULL
 * @loaded: that of what is loaded, or NULL
 */
struct vfmig_memory_tables {
	struct vfmig_memory_chunk **mem;
	struct vfmig_memory_chunk **loaded;
};

/**
 * vfmig_memory_load_new_tables() - allocate what a resize needs
 * @tables: the tables; vfmig_memory_load_free_tables() frees them
 * @size: bytes, a multiple of VFMIG_CHUNK_SIZE
 *
 * May sleep for long.  The caller holds no lock that others wait for.
 *
 * Return: 0, -ENOMEM.
 */
int vfmig_memory_load_new_tables(struct vfmig_memory_tables *tables, u64 size);

/** vfmig_memory_load_free_tables() - free what a resize did not use */
void vfmig_memory_load_free_tables(struct vfmig_memory_tables *tables);

/**
 * vfmig_memory_load_resize() - resize the memory, and what is loaded beside it
 * @load: the load, or the place for one; the caller holds its lock and the owner's
 * @size: bytes, a multiple of VFMIG_CHUNK_SIZE
 * @tables: of that size; this function takes those that it needs
 *
 * What is new reads as zeroes.  Costs O(what was written).  The caller then frees what was
 * cut off (vfmig_memory_free_all_erased()), without the owner's lock.
 */
void vfmig_memory_load_resize(struct vfmig_memory_load *load, u64 size,
			      struct vfmig_memory_tables *tables);

#endif /* _VFMIG_MEMORY_LOAD_H */
