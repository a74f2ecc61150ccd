// SPDX-License-Identifier: GPL-2.0-only
/* A thread is alone with its device: each call has one result that is right */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "compat.h"
#include "dirty.h"
#include "precopy.h"
#include "walk.h"

#define STEPS_MAX	60

static const u32 sizes[] = { 1, 7, 63, 512, 4095, 4096, 4097, 20000, 65536, 262144 };

static u8 *scratch(void)
{
	static _Thread_local u8 *buf;

	if (!buf)
		buf = malloc(MIB(1));
	must(buf);
	return buf;
}

static bool is_session(u32 state)
{
	return state == PRE_COPY || state == PRE_COPY_P2P || state == STOP_COPY ||
	       state == RESUMING;
}

/* The guest's driver is not one for a device that was loaded or reset */
static void left_for(struct walk_dev *d, u32 state)
{
	if (state == RESUMING || state == ERROR)
		d->guest->alive = false;
	if (!is_session(state))
		d->in_session = false;
	d->load_complete = false;
	d->state = state;
	model_is(&d->model, state);
}

static void check_state(struct walk_dev *d, const char *after)
{
	int state = mig_get(&d->dev);

	if (state != (int)d->state)
		fail(__FILE__, __LINE__, "%s: %s after %s, not %s", d->bdf, mig_name(state), after,
		     mig_name(d->state));
}

void alone_set(struct actor *a, struct walk_dev *d, u32 target)
{
	struct outcome out = walk_outcome(d->state, target, d->load_complete);
	u32 from = d->state;
	int err, fd = -1;

	a->ops[OP_SET]++;
	err = mig_set(&d->dev, target, &fd);
	if (err != out.err)
		fail(__FILE__, __LINE__, "%s: SET_STATE %s to %s: %d, not %d", d->bdf,
		     mig_name(from), mig_name(target), err, out.err);
	if (out.fd ? fd < 0 : fd >= 0)
		fail(__FILE__, __LINE__, "%s: SET_STATE %s to %s: data fd %d", d->bdf,
		     mig_name(from), mig_name(target), fd);
	if (out.state != from) {
		/* On the way from one session state to another it may have ended */
		if (out.fd)
			d->in_session = false;
		left_for(d, out.state);
	}
	if (fd >= 0) {
		dev_keep_fd(d, &a->random, fd, target == RESUMING ? FD_LOAD : FD_SAVE);
		d->in_session = true;
	}
}

void alone_reset(struct actor *a, struct walk_dev *d)
{
	switch (random_below(&a->random, 4)) {
	case 0:
		vfio_flr(&d->dev);
		a->ops[OP_RESET_FLR]++;
		break;
	case 1:
		must(!file_write(pci_path(d->bdf, "reset"), "1"));
		a->ops[OP_RESET_SYSFS]++;
		break;
	default:
		must(!vfio_reset(&d->dev));
		a->ops[OP_RESET_VFIO]++;
	}
	left_for(d, RUNNING);
	d->guest->alive = false;
	check_state(d, "a reset");
}

/* VFIO resets a slot or a bus for its user.  The bus is a root bus, which nothing can reset. */
static void step_hot_reset(struct actor *a, struct walk_dev *d)
{
	bool by_group = d->dev.group >= 0;
	/* A struct vfio_pci_hot_reset; whoever has a cdev names no groups */
	int arg[4] = { sizeof(arg), 0, by_group, d->dev.group };

	must(ioctl(d->dev.fd, VFIO_DEVICE_PCI_HOT_RESET, arg) && errno == ENODEV);
	a->ops[OP_HOT_RESET]++;
	check_state(d, "a hot reset that was refused");
}

void alone_begin(struct actor *a, struct walk_dev *d)
{
	int state;

	command_try(d->bdf, "clear");
	pthread_mutex_lock(&d->model.lock);
	d->model.faults = false;
	pthread_mutex_unlock(&d->model.lock);
	model_begin(&d->model, a->index, FLIGHT_GET, 0);
	state = mig_get(&d->dev);
	model_end(&d->model, a->index, state);
	a->ops[OP_GET]++;
	d->guest->alive = false;
	d->in_session = false;
	d->load_complete = false;
	d->state = state;
	log_stop(&d->dev);
	d->logging = false;
	/* Who has the data fd of the session, and how much was loaded, only a crowd knows */
	if (state == RESUMING || state == ERROR || one_in(&a->random, 2)) {
		alone_reset(a, d);
	} else if (is_session(state)) {
		dev_drop_fds(d);
		d->in_session = true;
	}
}

static void step_set(struct actor *a, struct walk_dev *d)
{
	u32 target = random_below(&a->random, STATES + 1);

	if (d->state != ERROR || target != ERROR)
		alone_set(a, d, target);
}

static void step_get(struct actor *a, struct walk_dev *d)
{
	a->ops[OP_GET]++;
	check_state(d, "nothing");
}

static void read_of_session(struct walk_dev *d, struct slot *slot, ssize_t n, int err)
{
	if (d->state == STOP_COPY) {
		if (n < 0)
			fail(__FILE__, __LINE__, "%s: read in STOP_COPY: %d", d->bdf, err);
		if (slot->at_end && n)
			fail(__FILE__, __LINE__, "%s: %zd bytes after the end", d->bdf, n);
		slot->at_end = !n;
	} else if (n == 0 || (n < 0 && err != ENOMSG)) {
		fail(__FILE__, __LINE__, "%s: read in %s: %zd, errno %d", d->bdf,
		     mig_name(d->state), n, err);
	}
}

static void step_read(struct actor *a, struct walk_dev *d)
{
	struct slot *slot = dev_take_fd(d, &a->random);
	size_t size = sizes[random_below(&a->random, ARRAY_SIZE(sizes))];
	ssize_t n;
	int err;

	if (!slot)
		return;
	a->ops[OP_READ]++;
	n = read(slot->fd, scratch(), size);
	err = errno;
	if (n > (ssize_t)size)
		fail(__FILE__, __LINE__, "%zd bytes read of %zu", n, size);
	if (slot->kind == FD_LOAD)
		must(n < 0);
	else if (d->in_session && slot->session == d->session)
		read_of_session(d, slot, n, err);
	else if (n >= 0 || err != ENODEV)
		fail(__FILE__, __LINE__, "%s: read of a session that is over: %zd, errno %d",
		     d->bdf, n, err);
	dev_put_fd(d, slot);
}

/* What is no stream is refused when it is seen to be none, and for good */
static void step_write(struct actor *a, struct walk_dev *d)
{
	struct slot *slot = dev_take_fd(d, &a->random);
	size_t size = sizes[random_below(&a->random, 6)];
	ssize_t n;
	int err;

	if (!slot)
		return;
	a->ops[OP_WRITE]++;
	fill_pattern(scratch(), size, a->random);
	n = write(slot->fd, scratch(), size);
	err = errno;
	if (slot->kind == FD_SAVE)
		must(n < 0);
	else if (!d->in_session || slot->session != d->session)
		must(n < 0 && err == ENODEV);
	else if (n != (ssize_t)size && !(n < 0 && err == EINVAL))
		fail(__FILE__, __LINE__, "%s: write of no stream: %zd of %zu, errno %d", d->bdf, n,
		     size, err);
	dev_put_fd(d, slot);
}

static void step_info(struct actor *a, struct walk_dev *d)
{
	struct slot *slot = dev_take_fd(d, &a->random);
	bool precopy = d->state == PRE_COPY || d->state == PRE_COPY_P2P;
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	int err;

	if (!slot)
		return;
	a->ops[OP_INFO]++;
	err = ioctl(slot->fd, VFIO_MIG_GET_PRECOPY_INFO, &info) ? errno : 0;
	if (slot->kind == FD_LOAD)
		must(err);
	else if (!d->in_session || slot->session != d->session)
		must(err == ENODEV || err == EINVAL);
	else if (err != (precopy ? 0 : EINVAL))
		fail(__FILE__, __LINE__, "%s: GET_PRECOPY_INFO in %s: %d", d->bdf,
		     mig_name(d->state), err);
	dev_put_fd(d, slot);
}

static void step_size(struct actor *a, struct walk_dev *d)
{
	u64 size;

	a->ops[OP_SIZE]++;
	must(!mig_size(&d->dev, &size) && size);
}

static void step_log(struct actor *a, struct walk_dev *d)
{
	static _Thread_local u64 bits[ARENA_SIZE / PAGE / 64];
	struct vfio_device_feature_dma_logging_range range = { ARENA_IOVA, ARENA_SIZE };
	u64 page_size = PAGE;
	int err, want;

	switch (random_below(&a->random, 4)) {
	case 0:
		err = log_start(&d->dev, &page_size, &range, 1);
		want = d->logging ? -EINVAL : 0;
		d->logging |= !err;
		break;
	case 1:
		err = log_stop(&d->dev);
		want = 0;
		d->logging = false;
		break;
	default:
		err = log_report(&d->dev, ARENA_IOVA, ARENA_SIZE, PAGE, bits);
		want = d->logging ? 0 : -EINVAL;
	}
	if (err != (d->has_log ? want : -ENOTTY))
		fail(__FILE__, __LINE__, "%s: DMA logging: %d, not %d", d->bdf, err, want);
	a->ops[OP_LOG] += d->has_log;
}

static void step_close(struct actor *a, struct walk_dev *d)
{
	a->ops[OP_FD_CLOSE] += dev_close_fd(d, &a->random);
}

static void step_io(struct actor *a, struct walk_dev *d)
{
	if (!d->guest->alive && one_in(&a->random, 4))
		guest_revive(a, d);
	if (d->guest->alive && in_use(d))
		guest_io(a, d);
}

static void step_medium(struct actor *a, struct walk_dev *d)
{
	if (!d->guest->alive || !in_use(d) || !d->pf->nvme)
		return;
	if (one_in(&a->random, 2))
		guest_format(a, d);
	else
		guest_resize(a, d);
}

static void step_move(struct actor *a, struct walk_dev *d)
{
	if (!d->guest->alive || d->state != RUNNING)
		guest_revive(a, d);
	move_guest(a, d);
}

static void step_reopen(struct actor *a, struct walk_dev *d)
{
	dev_close(d);
	dev_open(d);
	a->ops[OP_REOPEN]++;
}

/* The first arc fails on command, and nothing has changed */
static void step_fault(struct actor *a, struct walk_dev *d)
{
	u32 target = random_below(&a->random, STATES);
	struct outcome out = walk_outcome(d->state, target, d->load_complete);
	int err, fd;

	if (out.err || out.state == d->state)
		return;
	must(!command_try(d->bdf, "arc %s->%s errno=EBUSY once", mig_name(d->state),
			  mig_name(walk_next(d->state, target))));
	err = mig_set(&d->dev, target, &fd);
	if (err != -EBUSY || fd >= 0)
		fail(__FILE__, __LINE__, "%s: %s to %s, which fails on command: %d", d->bdf,
		     mig_name(d->state), mig_name(target), err);
	check_state(d, "an arc that failed on command");
	a->ops[OP_FAULT]++;
	command_try(d->bdf, "clear");
}

static const struct walk_step steps[] = {
	{ step_set, 40 }, { step_get, 4 }, { step_read, 60 }, { step_write, 15 }, { step_info, 12 },
	{ step_size, 10 }, { step_log, 10 }, { step_close, 3 }, { alone_reset, 1 }, { step_io, 50 },
	{ step_medium, 4 }, { step_move, 4 }, { step_reopen, 1 }, { step_fault, 5 },
	{ step_hot_reset, 1 },
};

bool alone_segment(struct actor *a)
{
	struct walk_dev *d = a->dev;
	unsigned int n = 1 + random_below(&a->random, STEPS_MAX);

	/* It may be long until the PF is calm, and the administrator may want the device */
	if (pthread_rwlock_tryrdlock(&d->pf->calm))
		return false;
	pthread_rwlock_wrlock(&d->gate);
	alone_begin(a, d);
	while (n-- && !__atomic_load_n(&a->walk->stop, __ATOMIC_RELAXED))
		random_step(a, d, steps, ARRAY_SIZE(steps));
	pthread_rwlock_unlock(&d->gate);
	pthread_rwlock_unlock(&d->pf->calm);
	return true;
}
