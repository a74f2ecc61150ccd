// SPDX-License-Identifier: GPL-2.0-only
/*
 * A load of device memory.
 *
 * What is loaded is a memory of its own, which no guest sees.  The commit exchanges the
 * contents of both.  What is left over then, the device's old contents or an aborted load,
 * may be large: a work frees it, as neither a commit nor a reset waits for that.
 */
#include <linux/err.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "load.h"

static void discard(struct work_struct *work)
{
	struct vfmig_memory_load *load = container_of(work, struct vfmig_memory_load, discard);
	struct vfmig_memory *discarded;

	scoped_guard(mutex, &load->lock) {
		discarded = load->discarded;
		load->discarded = NULL;
	}
	vfmig_memory_destroy(discarded);
	kfree(discarded);
	vfmig_memory_count_erased(-1);
}

void vfmig_memory_load_init(struct vfmig_memory_load *load, struct vfmig_memory *mem)
{
	*load = (struct vfmig_memory_load) { .mem = mem };
	mutex_init(&load->lock);
	INIT_WORK(&load->discard, discard);
}

void vfmig_memory_load_destroy(struct vfmig_memory_load *load)
{
	flush_work(&load->discard);
	mutex_destroy(&load->lock);
}

int vfmig_memory_load_start(struct vfmig_memory_load *load)
{
	struct vfmig_memory *loaded __free(kfree) = NULL;
	int ret;

	flush_work(&load->discard);
	/* The load may need the memory */
	vfmig_memory_free_all_erased(load->mem);
	guard(mutex)(&load->lock);
	if (load->loaded)
		return -EBUSY;
	loaded = kzalloc(sizeof(*loaded), GFP_KERNEL);
	if (!loaded)
		return -ENOMEM;
	ret = vfmig_memory_init(loaded, load->mem->size, NULL);
	if (ret)
		return ret;
	load->loaded = no_free_ptr(loaded);
	load->kept = U64_MAX;
	return 0;
}

int vfmig_memory_load_page(struct vfmig_memory_load *load, u64 offset, struct page *page)
{
	/* The owner's worker may be stopped.  What holes have left must stay within @mem's size. */
	vfmig_memory_free_erased(load->mem);
	guard(mutex)(&load->lock);
	if (!load->loaded)
		return -EINVAL;
	if (offset >= load->loaded->size) {
		put_page(page);
		return 0;
	}
	return vfmig_memory_set_page(load->loaded, offset, page);
}

/* @spares has but chunks: the pages come with the stream */
void vfmig_memory_load_get_memory(struct vfmig_memory_load *load)
{
	/* A copy for its numbers, as @load->loaded may go without the lock */
	struct vfmig_spares has = {}, fresh;

	scoped_guard(mutex, &load->lock)
		if (load->loaded)
			has = load->loaded->spares;
	if (!has.wanted)
		return;
	vfmig_spares_get(&fresh, &has, VFMIG_SPARE_CHUNKS, 0);
	scoped_guard(mutex, &load->lock)
		if (load->loaded)
			vfmig_spares_add(&load->loaded->spares, &fresh);
	vfmig_spares_free(&fresh);
}

void vfmig_memory_load_hole(struct vfmig_memory_load *load, u64 offset, u64 length)
{
	guard(mutex)(&load->lock);
	if (!load->loaded || offset >= load->loaded->size)
		return;
	vfmig_memory_zero(load->loaded, offset, min(length, load->loaded->size - offset), true);
	vfmig_memory_move_erased(load->mem, load->loaded);
}

void vfmig_memory_load_expect(struct vfmig_memory_load *load, u64 size)
{
	if (size <= load->kept)
		load->kept = U64_MAX;
}

/* What @load->loaded has now is left over.  The lock is held. */
static void end_load(struct vfmig_memory_load *load)
{
	load->discarded = load->loaded;
	load->loaded = NULL;
	/* Until it is freed */
	vfmig_memory_count_erased(1);
	queue_work(system_long_wq, &load->discard);
}

void vfmig_memory_load_commit(struct vfmig_memory_load *load)
{
	vfmig_memory_swap(load->mem, load->loaded);
	end_load(load);
}

void vfmig_memory_load_abort(struct vfmig_memory_load *load)
{
	guard(mutex)(&load->lock);
	if (load->loaded)
		end_load(load);
}

int vfmig_memory_load_new_tables(struct vfmig_memory_tables *tables, u64 size)
{
	*tables = (struct vfmig_memory_tables) {
		.mem = vfmig_memory_new_table(size),
		.loaded = vfmig_memory_new_table(size),
	};
	if (tables->mem && tables->loaded)
		return 0;
	vfmig_memory_load_free_tables(tables);
	return -ENOMEM;
}

void vfmig_memory_load_free_tables(struct vfmig_memory_tables *tables)
{
	kvfree(tables->mem);
	kvfree(tables->loaded);
}

void vfmig_memory_load_resize(struct vfmig_memory_load *load, u64 size,
			      struct vfmig_memory_tables *tables)
{
	if (load->loaded) {
		load->kept = min(load->kept, size);
		vfmig_memory_resize(load->loaded, size, no_free_ptr(tables->loaded));
		vfmig_memory_move_erased(load->mem, load->loaded);
	}
	vfmig_memory_resize(load->mem, size, no_free_ptr(tables->mem));
}
