// SPDX-License-Identifier: GPL-2.0-only
/* What a hostile guest writes: numbers, addresses and accesses to a BAR that are likely to hurt */
#include <errno.h>
#include <unistd.h>

#include "guest.h"

#define STEPS_AT_ONCE	32

/* The first bad thing may end all that follows: some guests are worse than others */
void hostile_temper(struct land *land, u64 *random)
{
	land->hostile_one_in = 2 << random_below(random, 13);
}

bool hostile_now(const struct land *land, u64 *random)
{
	return one_in(random, land->hostile_one_in);
}

u64 hostile_number(u64 *random)
{
	u64 any = next_random(random);
	u32 shift = any >> 58;

	switch (any >> 32 & 7) {
	case 0:
		return 0;
	case 1:
		return ~0ULL;
	case 2:
		return 1ULL << shift;
	case 3:
		return (1ULL << shift) - 1;
	case 4:
		return any & 0xff;
	case 5:
		return any & 0xffff;
	default:
		return next_random(random);
	}
}

u64 hostile_address(struct land *land, u64 *random)
{
	u64 any = next_random(random), page;

	/* Memory that nothing else is in */
	if (!hostile_now(land, random))
		return land->rw.iova + land->rw.used +
		       random_below(random, (land->rw.size - land->rw.used) / PAGE) * PAGE;
	switch (any % 5) {
	case 0:
		page = land_hole(land, random);
		break;
	case 1:
		page = land_readonly(land, random);
		break;
	case 2:
		page = land_writeonly(land, random);
		break;
	case 3:
		/* Queues, lists and tables */
		page = land->rw.iova + random_below(random, land->rw.used / PAGE) * PAGE;
		break;
	default:
		return hostile_number(random);
	}
	/* Some are at an odd place, and some end in the next page */
	switch (any >> 4 & 7) {
	case 0:
		return page + (any >> 8) % PAGE;
	case 1:
		return page + PAGE - 4;
	default:
		return page;
	}
}

void hostile_bar(struct vfio_dev *dev, u64 offset, u64 value, unsigned int size, bool write)
{
	ssize_t n = write ? pwrite(dev->fd, &value, size, dev->bar0 + offset)
			  : pread(dev->fd, &value, size, dev->bar0 + offset);

	/* Memory may be disabled, and there is an end */
	if (n < 0 && errno != EIO && errno != EINVAL && errno != EFAULT)
		fail(__FILE__, __LINE__, "%s: access at 0x%llx of BAR 0", dev->bdf, offset);
}

void hostile_bar_any(struct vfio_dev *dev, u64 *random, u64 most)
{
	static const u8 sizes[] = { 1, 2, 3, 4, 4, 4, 4, 5, 6, 7, 8, 8 };
	unsigned int size = sizes[random_below(random, ARRAY_SIZE(sizes))];
	u64 offset = random_below(random, most);

	if (!one_in(random, 4))
		offset &= ~3ULL;
	hostile_bar(dev, offset, hostile_number(random), size, !one_in(random, 3));
}

void hostile_config(struct vfio_dev *dev, u64 *random)
{
	unsigned int size = 1 << random_below(random, 3);
	u32 offset = random_below(random, one_in(random, 4) ? PAGE : 256) & ~(size - 1);
	u32 value = hostile_number(random);

	if (pwrite(dev->fd, &value, size, dev->config + offset) != (ssize_t)size)
		fail(__FILE__, __LINE__, "%s: write at 0x%x of config space", dev->bdf, offset);
}

void hostile_bus_masters(struct vfio_dev *devs, unsigned int n, bool on)
{
	for (unsigned int i = 0; i < n; i++)
		vfio_bus_master(&devs[i], on);
}

void hostile_move(struct vfio_dev *devs, unsigned int *vf, u64 *random)
{
	struct vfio_dev *from = &devs[*vf], *to = &devs[!*vf];
	struct blob stream = {};
	int err;

	mig_save(from, &stream);
	err = mig_load(to, &stream);
	if (err)
		fail(__FILE__, __LINE__, "%s refused what %s had become: %d", to->bdf, from->bdf,
		     err);
	blob_free(&stream);
	vfio_bus_master(to, !one_in(random, 8));
	must(!mig_set(to, RUNNING, NULL));
	__atomic_store_n(vf, !*vf, __ATOMIC_RELAXED);
	must(!vfio_reset(from));
}

bool hostile_reset(struct vfio_dev *dev, u64 *random)
{
	/* A reset of the PF would reset the other VF, too */
	static const enum reset_kind kinds[] = { RESET_VFIO, RESET_FLR, RESET_SYSFS };

	if (one_in(random, 1 + ARRAY_SIZE(kinds)))
		return false;
	vfio_reset_by(dev, NULL, kinds[random_below(random, ARRAY_SIZE(kinds))]);
	vfio_bus_master(dev, true);
	return true;
}

static void *hostile_body(void *data)
{
	struct hostile_thread *t = data;

	while (!__atomic_load_n(t->stop, __ATOMIC_RELAXED)) {
		t->step(t);
		t->steps++;
		/* The device needs a CPU, too */
		if (one_in(&t->random, STEPS_AT_ONCE))
			sleep_ms(1);
	}
	return NULL;
}

void hostile_begin(struct hostile_thread *t, void (*step)(struct hostile_thread *t), void *owner,
		   u64 seed, bool *stop)
{
	t->step = step;
	t->owner = owner;
	t->random = seed;
	t->stop = stop;
	must(!pthread_create(&t->thread, NULL, hostile_body, t));
}

void hostile_end(struct hostile_thread *t)
{
	must(!pthread_join(t->thread, NULL));
}
