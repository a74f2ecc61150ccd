// SPDX-License-Identifier: GPL-2.0-only
/* Several threads do anything to one device, in any state of it */
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "command.h"
#include "compat.h"
#include "dirty.h"
#include "precopy.h"
#include "walk.h"

#define STEPS_MAX	120
#define KICKS_MAX	40	/* of a queue of 64 */
#define VISIT_MAX	25

static const u32 sizes[] = { 1, 3, 64, 511, 4096, 5001, 70000, 262144 };

static const char * const faults[] = {
	"arc *->* errno=EBUSY once", "arc *->STOP_COPY error once", "arc *->RUNNING_P2P reset once",
	"arc *->STOP delay=30 once", "arc RUNNING->PRE_COPY delay=10 times=3",
	"arc *->RESUMING error nth=2", "read errno=EIO once", "read stall=20 once",
	"read short=7 times=5", "read at=4096 stall=30 once", "write errno=EIO once",
	"write short=512 times=5", "write record=first refuse once", "precopy stuck times=3",
	"precopy errno=EIO once", "data-size errno=EIO once", "log-start errno=ENOMEM once",
	"log-report errno=EIO once", "read rate=1M", "clear", "clear",
};

static u8 *scratch(void)
{
	static _Thread_local u8 *buf;

	if (!buf)
		buf = malloc(MIB(1));
	must(buf);
	return buf;
}

static u32 some_size(struct actor *a)
{
	return sizes[random_below(&a->random, ARRAY_SIZE(sizes))];
}

static void check_errno(struct walk_dev *d, const char *what, int err, const int *allowed,
			unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (err == allowed[i])
			return;
	fail(__FILE__, __LINE__, "%s: %s in a crowd: errno %d", d->bdf, what, err);
}

#define CHECK_ERRNO(d, what, err, ...) do { \
	static const int _allowed[] = { __VA_ARGS__ }; \
	check_errno(d, what, err, _allowed, ARRAY_SIZE(_allowed)); \
} while (0)

static void step_set(struct actor *a, struct walk_dev *d)
{
	u32 target = random_below(&a->random, STATES + 1);
	int err, fd;

	if (target == ERROR && !one_in(&a->random, 10))
		target = RUNNING;
	a->ops[OP_SET]++;
	model_begin(&d->model, a->index, FLIGHT_SET, target);
	err = mig_set(&d->dev, target, &fd);
	model_end(&d->model, a->index, err);
	if (fd >= 0)
		dev_keep_fd(d, &a->random, fd, target == RESUMING ? FD_LOAD : FD_SAVE);
}

static void step_get(struct actor *a, struct walk_dev *d)
{
	a->ops[OP_GET]++;
	model_begin(&d->model, a->index, FLIGHT_GET, 0);
	model_end(&d->model, a->index, mig_get(&d->dev));
}

static void step_read(struct actor *a, struct walk_dev *d)
{
	struct slot *slot = dev_take_fd(d, &a->random);
	size_t size = some_size(a);
	ssize_t n;

	if (!slot)
		return;
	a->ops[OP_READ]++;
	n = read(slot->fd, scratch(), size);
	must(n <= (ssize_t)size);
	if (slot->kind == FD_LOAD)
		must(n < 0);
	else if (n < 0)
		CHECK_ERRNO(d, "read", errno, ENOMSG, ENODEV, EIO);
	dev_put_fd(d, slot);
}

/* A piece of a stream, mostly that which comes next */
static void step_write(struct actor *a, struct walk_dev *d)
{
	struct slot *slot = dev_take_fd(d, &a->random);
	struct blob stream = {};
	size_t size = some_size(a), at;
	ssize_t n;

	if (!slot)
		return;
	at = __atomic_load_n(&slot->written, __ATOMIC_RELAXED);
	if (slot->kind == FD_LOAD && dev_some_stream(a->walk, d, &a->random, &stream) &&
	    at < stream.len) {
		size = size < stream.len - at ? size : stream.len - at;
		if (at + size == stream.len)
			guest_forget(d->guest);
		a->ops[OP_WRITE]++;
		n = write(slot->fd, stream.data + at, size);
		must(n && n <= (ssize_t)size);
		if (n > 0)
			__atomic_fetch_add(&slot->written, n, __ATOMIC_RELAXED);
		else
			CHECK_ERRNO(d, "write", errno, EINVAL, ENODEV, EIO, ENOSPC, ENOMEM);
	}
	blob_free(&stream);
	dev_put_fd(d, slot);
}

static void step_info(struct actor *a, struct walk_dev *d)
{
	struct slot *slot = dev_take_fd(d, &a->random);
	struct vfio_precopy_info info = { .argsz = sizeof(info) };

	if (!slot)
		return;
	if (slot->kind == FD_SAVE) {
		if (ioctl(slot->fd, VFIO_MIG_GET_PRECOPY_INFO, &info))
			CHECK_ERRNO(d, "GET_PRECOPY_INFO", errno, EINVAL, ENODEV, EIO);
		a->ops[OP_INFO]++;
	}
	dev_put_fd(d, slot);
}

static void step_size(struct actor *a, struct walk_dev *d)
{
	u64 size;
	int err;

	a->ops[OP_SIZE]++;
	err = mig_size(&d->dev, &size);
	CHECK_ERRNO(d, "MIG_DATA_SIZE", -err, 0, EIO, ENODEV);
	must(err || size);
}

static void step_log(struct actor *a, struct walk_dev *d)
{
	static _Thread_local u64 bits[ARENA_SIZE / PAGE / 64];
	struct vfio_device_feature_dma_logging_range range = { ARENA_IOVA, ARENA_SIZE };
	u64 page_size = PAGE;
	int err;

	switch (random_below(&a->random, 4)) {
	case 0:
		err = log_start(&d->dev, &page_size, &range, 1);
		break;
	case 1:
		err = log_stop(&d->dev);
		break;
	default:
		err = log_report(&d->dev, ARENA_IOVA, ARENA_SIZE, PAGE, bits);
	}
	CHECK_ERRNO(d, "DMA logging", -err, 0, EINVAL, ENOTTY, EIO, ENOMEM, ENODEV);
	a->ops[OP_LOG] += d->has_log;
}

static void step_fd_close(struct actor *a, struct walk_dev *d)
{
	a->ops[OP_FD_CLOSE] += dev_close_fd(d, &a->random);
}

/*
 * An unbind holds the function's lock until the user has closed the device, and this reset
 * waits for that lock: not while the administrator is at it
 */
static int sysfs_reset(struct actor *a, struct walk_dev *d)
{
	int err;

	if (pthread_rwlock_tryrdlock(&d->pf->calm))
		return -EBUSY;
	err = file_write(pci_path(d->bdf, "reset"), "1");
	a->ops[OP_RESET_SYSFS] += !err;
	pthread_rwlock_unlock(&d->pf->calm);
	return err;
}

static void step_reset(struct actor *a, struct walk_dev *d)
{
	u16 flr = PCI_EXP_DEVCTL_BCR_FLR;
	int err = 0;

	model_begin(&d->model, a->index, FLIGHT_RESET, 0);
	switch (random_below(&a->random, 3)) {
	case 0:
		err = vfio_reset(&d->dev);
		/* Another one is under way */
		CHECK_ERRNO(d, "VFIO_DEVICE_RESET", -err, 0, EAGAIN, ENODEV, ENOTTY);
		a->ops[OP_RESET_VFIO] += !err;
		break;
	case 1:
		if (pwrite(d->dev.fd, &flr, sizeof(flr), d->dev.config + d->flr) < 0)
			err = -errno;
		a->ops[OP_RESET_FLR] += !err;
		break;
	default:
		err = sysfs_reset(a, d);
	}
	/* As long as others may interfere, the set of states keeps what it had */
	model_end(&d->model, a->index, err ?: 1);
}

static void step_command(struct actor *a, struct walk_dev *d)
{
	u16 command = random_below(&a->random, 4) * PCI_COMMAND_MEMORY;

	if (pwrite(d->dev.fd, &command, sizeof(command), d->dev.config + PCI_COMMAND) < 0)
		CHECK_ERRNO(d, "a write of COMMAND", errno, EIO, ENODEV);
	else
		a->ops[OP_COMMAND]++;
}

static void step_map(struct actor *a, struct walk_dev *d)
{
	static _Thread_local void *mem;
	u64 iova = ARENA_IOVA + (1 + a->index) * 4 * ARENA_SIZE;

	if (!mem)
		mem = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			   -1, 0);
	must(mem != MAP_FAILED);
	/* Nobody else has this range, and the device, which is open, stays in its address space */
	must(!iommu_map(&d->iommu, iova, mem, 16 * PAGE, MAP_RW));
	must(!iommu_unmap(&d->iommu, iova, 16 * PAGE));
	a->ops[OP_MAP]++;
}

static void step_fault(struct actor *a, struct walk_dev *d)
{
	pthread_mutex_lock(&d->model.lock);
	d->model.faults = true;
	pthread_mutex_unlock(&d->model.lock);
	if (!command_try(d->bdf, "%s", faults[random_below(&a->random, ARRAY_SIZE(faults))]))
		a->ops[OP_FAULT]++;
}

static const struct walk_step steps[] = {
	{ step_set, 40 }, { step_get, 15 }, { step_read, 40 }, { step_write, 30 },
	{ step_info, 12 }, { step_size, 12 }, { step_log, 12 }, { step_fd_close, 3 },
	{ step_reset, 1 }, { step_command, 4 }, { step_map, 4 }, { step_fault, 3 },
};

bool crowd_step(struct actor *a, struct walk_dev *d)
{
	bool open;

	if (pthread_rwlock_tryrdlock(&d->gate))
		return false;
	open = d->dev.fd >= 0;
	if (open)
		random_step(a, d, steps, ARRAY_SIZE(steps));
	pthread_rwlock_unlock(&d->gate);
	return open;
}

static bool stopped(struct walk *walk)
{
	return __atomic_load_n(&walk->stop, __ATOMIC_RELAXED);
}

void *intruder_thread(void *arg)
{
	struct actor *a = arg;

	while (!stopped(a->walk)) {
		struct walk_dev *d = &a->walk->dev[random_below(&a->random, DEVS)];

		for (unsigned int n = 1 + random_below(&a->random, VISIT_MAX); n; n--) {
			if (!crowd_step(a, d)) {
				sleep_ms(1);
				break;
			}
		}
	}
	return NULL;
}

static bool evicted(struct walk_dev *d)
{
	return __atomic_load_n(&d->evict, __ATOMIC_ACQUIRE);
}

/* The administrator takes the device away, and gives it back */
static void leave(struct actor *a)
{
	struct walk_dev *d = a->dev;

	pthread_rwlock_wrlock(&d->gate);
	dev_close(d);
	__atomic_store_n(&d->out, true, __ATOMIC_RELEASE);
	pthread_rwlock_unlock(&d->gate);
	while (evicted(d))
		sleep_ms(2);
	pthread_rwlock_rdlock(&d->pf->calm);
	pthread_rwlock_wrlock(&d->gate);
	dev_open(d);
	__atomic_store_n(&d->out, false, __ATOMIC_RELEASE);
	pthread_rwlock_unlock(&d->gate);
	pthread_rwlock_unlock(&d->pf->calm);
}

static void crowd_segment(struct actor *a)
{
	struct walk_dev *d = a->dev;
	unsigned int kicks = KICKS_MAX;

	for (unsigned int n = random_below(&a->random, STEPS_MAX); n && !stopped(a->walk); n--) {
		crowd_step(a, d);
		if (kicks && one_in(&a->random, 3) && !pthread_rwlock_tryrdlock(&d->gate)) {
			guest_kick(a, d);
			kicks--;
			pthread_rwlock_unlock(&d->gate);
		}
		if (evicted(d) && one_in(&a->random, 10))
			leave(a);
	}
	if (evicted(d))
		leave(a);
}

void *owner_thread(void *arg)
{
	struct actor *a = arg;
	struct walk_dev *d = a->dev;

	while (!stopped(a->walk)) {
		/* Kicks need a queue that nothing has been put into since the device was reset */
		if (alone_segment(a))
			crowd_segment(a);
		else if (evicted(d))
			leave(a);
		else
			crowd_step(a, d);
	}
	pthread_rwlock_wrlock(&d->gate);
	dev_close(d);
	dev_drop_fds(d);
	__atomic_store_n(&d->out, true, __ATOMIC_RELEASE);
	pthread_rwlock_unlock(&d->gate);
	return NULL;
}
