// SPDX-License-Identifier: GPL-2.0-only
/*
 * Streams that nobody would send, in the kernel.  The parser of a stream is fuzzed in user space,
 * too (../fuzz); here are the states of the models, and what a device does with them.
 *
 * For each stream that is written into RESUMING:
 *
 *  - A refusal is EINVAL, or a shortage.  Nothing more is taken, and the load can't be completed.
 *  - What was taken can be saved, and loaded again, and is the same then.
 *  - The VF runs on that state while the guest writes anything to its registers.  What it saves
 *    then, a VF takes.
 *  - After a reset a driver starts on it, and its I/O is right.
 *
 * VFMIG_STRESS_OUT is a folder for a stream that a VF has saved and does not take.
 */
#include <errno.h>
#include <unistd.h>

#include "../lib/stream.h"
#include "load.h"

#include "../lib/harness.h"

/* The time that it goes on is the user's to say */
#define LIMIT	100000

#define ACCESSES	40	/* of a guest to registers */
#define RUN_US		300	/* that it has for them */

struct counts {
	u64 refused, cut, taken;
};

/* A thread with a VF of its own */
struct loader {
	pthread_t thread;
	struct subject subject;
	struct corpus *corpus;
	struct cover cover;
	struct counts counts;
	u64 random;
};

FIXTURE(load)
{
	struct loader loaders[SUBJECTS];
	bool open;
	struct corpus *corpus;
};

FIXTURE_VARIANT(load)
{
	const char *name;
	const struct subject_ops *ops;
};

FIXTURE_VARIANT_ADD(load, nvme) { .name = "nvme", .ops = &nvme_subject };
FIXTURE_VARIANT_ADD(load, virtio_net) { .name = "virtio-net", .ops = &net_subject };

FIXTURE_SETUP(load)
{
	const char *why;

	self->corpus = calloc(1, sizeof(*self->corpus));
	must(self->corpus);
	corpus_init(self->corpus);
	/* What is open when one can't be is closed when the process ends */
	for (unsigned int i = SUBJECTS; i; i--) {
		struct loader *l = &self->loaders[i - 1];

		l->subject.ops = variant->ops;
		l->corpus = self->corpus;
		why = variant->ops->open(&l->subject, i - 1);
		if (why)
			SKIP(return, "%s", why);
	}
	self->open = true;
	variant->ops->seeds(&self->loaders[0].subject, self->corpus);
}

FIXTURE_TEARDOWN(load)
{
	for (unsigned int i = 0; self->open && i < SUBJECTS; i++)
		variant->ops->close(&self->loaders[i].subject);
	corpus_free(self->corpus);
	free(self->corpus);
}

/* Write a stream in pieces; 0 or -errno */
static int write_stream(int fd, const struct blob *blob, u64 *random)
{
	static const size_t sizes[] = { 24, 100, 4096, 70000, MIB(1) };

	return mig_write(fd, blob->data, blob->len, sizes[random_below(random, ARRAY_SIZE(sizes))]);
}

/* It lasts */
static void check_refusal(int fd, int err)
{
	if (err != -EINVAL && err != -ENOSPC && err != -ENOMEM)
		fail(__FILE__, __LINE__, "a stream is refused with %d", err);
	must(write(fd, "", 1) == -1);
}

/* For "vfmigctl stream check", which knows more than an errno does */
static void keep_stream(const struct blob *blob)
{
	const char *dir = getenv("VFMIG_STRESS_OUT");
	char path[PATH_SIZE];
	FILE *file;

	if (!dir || !*dir)
		return;
	snprintf(path, sizeof(path), "%s/refused.vfmig", dir);
	file = fopen(path, "w");
	if (!file || fwrite(blob->data, 1, blob->len, file) != blob->len || fclose(file))
		fail(__FILE__, __LINE__, "can't write %s", path);
	stress_say("load: the stream is in %s", path);
}

static void say_difference(const struct blob *a, const struct blob *b)
{
	size_t at = 0;

	while (at < a->len && at < b->len && a->data[at] == b->data[at])
		at++;
	fail(__FILE__, __LINE__, "saved again: %zu bytes, now %zu; at %zu 0x%x, now 0x%x", a->len,
	     b->len, at, at < a->len ? a->data[at] : 0, at < b->len ? b->data[at] : 0);
}

/* From STOP back to STOP: what the VF has saved, it takes, and then it saves @again */
static void move_to_itself(struct vfio_dev *dev, const struct blob *saved, struct blob *again)
{
	int err = mig_load(dev, saved);

	if (err) {
		keep_stream(saved);
		fail(__FILE__, __LINE__, "what was saved is refused: %d", err);
	}
	must(!mig_set(dev, STOP, NULL));
	mig_save(dev, again);
}

/*
 * From STOP back to STOP.  A VF that was loaded looks into each of its queues once more, so one
 * that ran may differ from it; but not one that was loaded from another one that was.
 */
static void check_saved(struct vfio_dev *dev)
{
	struct blob saved = {}, first = {}, second = {};

	mig_save(dev, &saved);
	move_to_itself(dev, &saved, &first);
	move_to_itself(dev, &first, &second);
	if (!blob_equal(&first, &second))
		say_difference(&first, &second);
	blob_free(&saved);
	blob_free(&first);
	blob_free(&second);
}

/* Whatever the registers are, and whether memory is enabled or not */
static void touch_registers(struct vfio_dev *dev, u64 *random)
{
	for (unsigned int i = 0; i < ACCESSES; i++) {
		unsigned int size = 1U << random_below(random, 4);
		u64 at = random_below(random, one_in(random, 4) ? dev->bar0_size : 0x1100), value;
		ssize_t n;

		at &= ~(u64)(size - 1);
		value = mutate_number(random, 0);
		if (one_in(random, 3))
			n = pread(dev->fd, &value, size, dev->bar0 + at);
		else
			n = pwrite(dev->fd, &value, size, dev->bar0 + at);
		must(n <= (ssize_t)size);
	}
}

static void run_on_it(struct vfio_dev *dev, u64 *random)
{
	vfio_bus_master(dev, true);
	must(!mig_set(dev, RUNNING, NULL));
	if (one_in(random, 2))
		touch_registers(dev, random);
	usleep(RUN_US);
	must(!mig_set(dev, STOP, NULL));
	check_saved(dev);
}

/*
 * True if all that a stream must have was there, up to its END.  What comes after that is refused,
 * and changes nothing.
 */
static bool is_complete(struct vfio_dev *dev)
{
	int err = mig_set(dev, STOP, NULL);

	if (err == -EINVAL) {
		must(mig_get(dev) == RESUMING);
		return false;
	}
	must(!err);
	return true;
}

/* True if it did something new */
static bool try_input(struct loader *l, const struct blob *blob)
{
	struct vfio_dev *dev = l->subject.dev;
	bool is_new;
	int fd, err;

	must(!mig_set(dev, RESUMING, &fd));
	cover_begin(&l->cover);
	err = write_stream(fd, blob, &l->random);
	is_new = cover_end(&l->cover);
	if (err)
		check_refusal(fd, err);
	if (is_complete(dev)) {
		l->counts.taken++;
		check_saved(dev);
		run_on_it(dev, &l->random);
	} else {
		*(err ? &l->counts.refused : &l->counts.cut) += 1;
	}
	close(fd);
	must(!vfio_reset(dev));
	must(mig_get(dev) == RUNNING);
	return is_new;
}

static void *loader_thread(void *arg)
{
	struct loader *l = arg;
	struct blob blob = {};

	cover_open(&l->cover);
	while (stress_goes_on()) {
		mutate(l->corpus, &l->random, &blob);
		if (try_input(l, &blob))
			corpus_add(l->corpus, &blob, &l->random);
		if (one_in(&l->random, 100))
			l->subject.ops->works(&l->subject);
	}
	l->subject.ops->works(&l->subject);
	cover_close(&l->cover);
	blob_free(&blob);
	return NULL;
}

static void say_counts(const char *model, const struct counts *sum, unsigned int kept)
{
	stress_say("load: %s: %llu streams were refused, %llu ended too early, %llu taken", model,
		   sum->refused, sum->cut, sum->taken);
	if (cover_pairs())
		stress_say("load: %s: %u pairs of places were executed, and %u streams kept", model,
			   cover_pairs(), kept);
	else
		stress_say("load: %s: this kernel does not say what it executes", model);
}

TEST_F_TIMEOUT(load, streams_that_are_changed, LIMIT)
{
	u64 seed = stress_begin("load");
	struct counts sum = {};

	stress_begin_share(2);
	for (unsigned int i = 0; i < SUBJECTS; i++) {
		struct loader *l = &self->loaders[i];

		l->random = stress_seed(seed, i);
		must(!pthread_create(&l->thread, NULL, loader_thread, l));
	}
	for (unsigned int i = 0; i < SUBJECTS; i++) {
		struct loader *l = &self->loaders[i];

		pthread_join(l->thread, NULL);
		sum.refused += l->counts.refused;
		sum.cut += l->counts.cut;
		sum.taken += l->counts.taken;
	}
	say_counts(variant->name, &sum, self->corpus->nr);
	ASSERT_NE(sum.refused, 0);
	ASSERT_NE(sum.taken, 0);
}

TEST_HARNESS_MAIN
