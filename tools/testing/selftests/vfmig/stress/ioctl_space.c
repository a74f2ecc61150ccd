// SPDX-License-Identifier: GPL-2.0-only
/* The users of ioctl_space.h, and what they do with their devices */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../lib/dirty.h"
#include "compat.h"
#include "ioctl_space.h"

/* All of the steps have come by then */
#define STEPS_LEAST	100

static const char * const names[SPACE_OPS] = {
	[SPACE_REPLACE] = "replaces", [SPACE_SAME] = "replaces by the same page table",
	[SPACE_ATTACH] = "attaches", [SPACE_REFUSED] = "attaches that were refused",
	[SPACE_NO_RESULT] = "attaches whose result could not be written",
	[SPACE_DETACH] = "detaches", [SPACE_DESTROY] = "page tables destroyed",
	[SPACE_BUSY] = "of what is in use, refused", [SPACE_UNMAP] = "unmaps",
	[SPACE_MAP] = "maps", [SPACE_DMA] = "commands under way that succeeded",
	[SPACE_FAULT] = "commands under way with a DMA fault",
	[SPACE_PROBE] = "writes that were looked at", [SPACE_TRACK] = "dirty bitmaps",
};

const char *space_op_name(enum space_op op)
{
	return names[op];
}

/* The device is there now */
static void moved(struct space_user *u, int space, enum table table)
{
	u->at = space;
	u->table = table;
	if (space == NOWHERE) {
		/* The driver's queues are not there, and what was under way is lost */
		u->started = false;
		u->under_way = false;
	}
	pages_moved(u);
}

static void go_to(struct space_user *u, unsigned int space, enum table table)
{
	u32 id = u->ids[space][table];
	int err = vfio_attach(&u->dev, &id);

	if (err)
		fail(__FILE__, __LINE__, "%s: attach to table %u of space %u: %d", u->dev.bdf,
		     table, space, err);
	must(table == TABLE_SHARED || id == u->ids[space][table]);
	if (u->at == NOWHERE)
		u->ops[SPACE_ATTACH]++;
	else if (u->at == (int)space && u->table == table)
		u->ops[SPACE_SAME]++;
	else
		u->ops[SPACE_REPLACE]++;
	moved(u, space, table);
	if (u->has_dma && !u->started)
		dma_start(u);
}

static void step_attach(struct space_user *u)
{
	unsigned int space = random_below(&u->random, SPACES);

	go_to(u, space, random_below(&u->random, TABLES));
}

enum target { TARGET_GOOD, TARGET_NONE, TARGET_DEVICE };

/* Attaches that fail, and leave the device where it is */
static const struct {
	u32 argsz;
	u32 flags;
	enum target target;
	int err;
} refusals[] = {
	{ 12, 0, TARGET_NONE, ENOENT },
	{ 12, 0, TARGET_DEVICE, EINVAL },
	{ 11, 0, TARGET_GOOD, EINVAL },
	{ 0, 0, TARGET_GOOD, EINVAL },
	{ 12, 2, TARGET_GOOD, EINVAL },
	{ 12, 1U << 31, TARGET_GOOD, EINVAL },
	{ 16, 1, TARGET_GOOD, EOPNOTSUPP },	/* a PASID */
};

static u32 id_of(struct space_user *u, enum target target)
{
	unsigned int space = random_below(&u->random, SPACES);

	if (target == TARGET_NONE)
		return 0x7ffffff0;
	if (target == TARGET_DEVICE)
		return u->dev.dev_id;
	return u->ids[space][random_below(&u->random, TABLES)];
}

static void step_refused(struct space_user *u)
{
	unsigned int i = random_below(&u->random, ARRAY_SIZE(refusals));
	/* With room for a PASID */
	u32 arg[4] = { refusals[i].argsz, refusals[i].flags, id_of(u, refusals[i].target) };
	int ret = ioctl(u->dev.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, arg);

	if (!ret || errno != refusals[i].err)
		fail(__FILE__, __LINE__, "%s: refusal %u: returned %d, errno %d", u->dev.bdf, i,
		     ret, errno);
	u->ops[SPACE_REFUSED]++;
}

/* The kernel attaches the device before it writes the result, and detaches it if it can't */
static void step_no_result(struct space_user *u)
{
	u32 arg[3] = { sizeof(arg), 0, id_of(u, TARGET_GOOD) };

	memcpy(u->arg.room, arg, sizeof(arg));
	/* Meanwhile it may write to either */
	for (unsigned int space = 0; space < SPACES; space++)
		u->pages[space].quiet = false;
	must(ioctl(u->dev.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, u->arg.view) && errno == EFAULT);
	u->ops[SPACE_NO_RESULT]++;
	moved(u, NOWHERE, 0);
}

static void step_detach(struct space_user *u)
{
	must(!vfio_detach(&u->dev));
	u->ops[SPACE_DETACH]++;
	moved(u, NOWHERE, 0);
}

static u32 new_table(struct space_user *u, unsigned int space, enum table table)
{
	u32 id, flags = table == TABLE_TRACKED ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0;

	must(!iommu_hwpt_alloc(&u->spaces->space[space], u->dev.dev_id, flags, &id));
	return id;
}

/* What is in use stays: a table by its device, a space by its tables */
static void step_destroy(struct space_user *u)
{
	unsigned int space = random_below(&u->random, SPACES);
	enum table table = random_below(&u->random, TABLES);
	struct iommu_destroy destroy = { .size = sizeof(destroy), .id = u->ids[space][table] };
	bool used = table == TABLE_SHARED || (u->at == (int)space && u->table == table);
	int ret = ioctl(u->spaces->space[space].fd, IOMMU_DESTROY, &destroy);

	if (used ? !ret || errno != EBUSY : ret)
		fail(__FILE__, __LINE__, "%s: destroy of table %u of space %u: %d, errno %d",
		     u->dev.bdf, table, space, ret, errno);
	u->ops[used ? SPACE_BUSY : SPACE_DESTROY]++;
	if (!used)
		u->ids[space][table] = new_table(u, space, table);
}

static void step_unmap(struct space_user *u)
{
	unsigned int space = random_below(&u->random, SPACES);

	if (!u->pages[space].mapped)
		return;
	pages_unmap(u, space);
	u->ops[SPACE_UNMAP]++;
}

/* The space that the device has left a moment ago has most to show for it */
static void step_leave_and_unmap(struct space_user *u)
{
	unsigned int space = u->at == NOWHERE ? 0 : u->at;

	go_to(u, !space, random_below(&u->random, TABLES));
	if (!u->pages[space].mapped)
		return;
	pages_unmap(u, space);
	u->ops[SPACE_UNMAP]++;
}

static void step_map(struct space_user *u)
{
	for (unsigned int space = 0; space < SPACES; space++) {
		if (u->pages[space].mapped)
			continue;
		pages_map(u, space);
		u->ops[SPACE_MAP]++;
	}
}

static void step_probe(struct space_user *u)
{
	dma_probe(u, random_below(&u->random, SPACE_PAGES));
}

static u64 dirty_pages(struct space_user *u, u32 id)
{
	u64 bits = 0;

	must(!hwpt_report(&u->spaces->space[0], id, 0, dma_iova(u), SPACE_PAGES * PAGE, PAGE,
			  &bits));
	return bits;
}

/* A page table that is tracked has the write that went through it, and no other one */
static void step_track(struct space_user *u)
{
	unsigned int page = random_below(&u->random, SPACE_PAGES);
	int space = u->at;
	u32 id;

	if (!u->started || !u->pages[space].mapped)
		return;
	id = u->ids[space][TABLE_TRACKED];
	dma_end(u);
	go_to(u, space, TABLE_TRACKED);
	must(!hwpt_track(&u->spaces->space[0], id, true));
	dma_probe(u, page);
	must(dirty_pages(u, id) == 1ULL << page);
	go_to(u, space, TABLE_PLAIN);
	dma_probe(u, page);
	must(!dirty_pages(u, id));
	must(!hwpt_track(&u->spaces->space[0], id, false));
	u->ops[SPACE_TRACK]++;
}

static const struct {
	void (*step)(struct space_user *u);
	const char *name;
	unsigned int weight;
} steps[] = {
	{ step_attach, "attach", 40 }, { step_refused, "attach that is refused", 8 },
	{ step_no_result, "attach without a result", 2 }, { step_detach, "detach", 3 },
	{ step_destroy, "destroy", 10 }, { step_unmap, "unmap", 6 },
	{ step_leave_and_unmap, "replace and unmap", 8 }, { step_map, "map", 16 },
	{ step_probe, "probe", 10 }, { step_track, "track", 4 },
};

static void space_step(struct space_user *u)
{
	unsigned int i = random_entry(&u->random, steps, ARRAY_SIZE(steps));

	if (one_in(&u->random, 2))
		dma_end(u);
	dma_begin(u);
	stress_call_begins(&u->watch, steps[i].name);
	steps[i].step(u);
	stress_call_ends(&u->watch);
	pages_check(u, steps[i].name);
}

static void *user_thread(void *arg)
{
	struct space_user *u = arg;

	for (unsigned int n = 0; n < STEPS_LEAST ||
	     !__atomic_load_n(&u->spaces->stop, __ATOMIC_RELAXED); n++)
		space_step(u);
	dma_end(u);
	pages_check(u, "the end");
	return NULL;
}

static void user_open(struct space_user *u, struct spaces *spaces, struct fuzz *fuzz, u64 seed)
{
	u->spaces = spaces;
	u->random = stress_seed(seed, u->index);
	u->has_dma = !pf_of(u->index);
	argument_init(&u->arg, seed);
	must(!vfio_open(&u->dev, &spaces->space[0], fuzz->vf[u->index]));
	u->at = 0;
	u->table = TABLE_SHARED;
	dma_init(u);
	for (unsigned int space = 0; space < SPACES; space++) {
		u->ids[space][TABLE_SHARED] = spaces->space[space].ioas_id;
		u->ids[space][TABLE_PLAIN] = new_table(u, space, TABLE_PLAIN);
		u->ids[space][TABLE_TRACKED] = new_table(u, space, TABLE_TRACKED);
		pages_map(u, space);
	}
	if (u->has_dma)
		dma_start(u);
}

static void open_all(struct spaces *spaces, struct fuzz *fuzz, u64 seed)
{
	must(!iommu_init(&spaces->space[0], IOMMU_IOMMUFD));
	iommu_init_beside(&spaces->space[1], &spaces->space[0]);
	for (unsigned int i = 0; i < IOCTL_VFS; i++) {
		spaces->user[i].index = i;
		user_open(&spaces->user[i], spaces, fuzz, seed);
	}
}

static void close_all(struct spaces *spaces)
{
	for (unsigned int i = 0; i < IOCTL_VFS; i++) {
		vfio_close(&spaces->user[i].dev);
		dma_exit(&spaces->user[i]);
		argument_exit(&spaces->user[i].arg);
	}
	iommu_exit(&spaces->space[0]);
}

static void watch_all(struct spaces *spaces)
{
	for (unsigned int i = 0; i < IOCTL_VFS; i++)
		stress_check(&spaces->user[i].watch);
}

void spaces_run(struct fuzz *fuzz, u64 seed, u64 *done)
{
	struct spaces *spaces = calloc(1, sizeof(*spaces));

	must(spaces);
	open_all(spaces, fuzz, seed);
	for (unsigned int i = 0; i < IOCTL_VFS; i++)
		must(!pthread_create(&spaces->user[i].thread, NULL, user_thread,
				     &spaces->user[i]));
	while (stress_goes_on()) {
		sleep_ms(100);
		watch_all(spaces);
	}
	__atomic_store_n(&spaces->stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < IOCTL_VFS; i++) {
		while (pthread_tryjoin_np(spaces->user[i].thread, NULL)) {
			sleep_ms(10);
			watch_all(spaces);
		}
		for (unsigned int op = 0; op < SPACE_OPS; op++)
			done[op] += spaces->user[i].ops[op];
	}
	close_all(spaces);
	free(spaces);
}
