// SPDX-License-Identifier: GPL-2.0-only
/* A guest moves from one VF to another, or the move is given up somewhere on the way */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "walk.h"

#define CHUNK_MAX	100000

struct move {
	struct actor *a;
	struct walk_dev *from, *to;
	struct blob stream;
	size_t written;
	int out, in;		/* the data fds */
	bool refused;
};

/* Some bytes from the source; 0 at the end of what there is */
static ssize_t read_some(struct move *m)
{
	static _Thread_local u8 buf[CHUNK_MAX];
	ssize_t n;

	m->a->ops[OP_READ]++;
	n = read(m->out, buf, 1 + random_below(&m->a->random, CHUNK_MAX));
	if (n < 0 && errno == ENOMSG && m->from->state == PRE_COPY)
		return 0;
	if (n < 0)
		fail(__FILE__, __LINE__, "%s: read in a move: errno %d", m->from->bdf, errno);
	blob_append(&m->stream, buf, n);
	return n;
}

/* All bytes that were read, to the destination */
static void write_all(struct move *m)
{
	while (!m->refused && m->written < m->stream.len) {
		size_t left = m->stream.len - m->written;
		size_t size = 1 + random_below(&m->a->random, CHUNK_MAX);
		ssize_t n;

		size = size < left ? size : left;
		m->a->ops[OP_WRITE]++;
		n = write(m->in, m->stream.data + m->written, size);
		if (n < 0 && errno == EINVAL && m->from->guest->granules != m->to->guest->granules)
			m->refused = true;
		else if (n != (ssize_t)size)
			fail(__FILE__, __LINE__, "%s: write in a move: %zd of %zu at %zu, errno %d",
			     m->to->bdf, n, size, m->written, errno);
		else
			m->written += n;
	}
}

/* True if the move is to be given up */
static bool give_up(struct move *m)
{
	return m->refused || one_in(&m->a->random, 60);
}

/* True if all of it is at the destination */
static bool transfer(struct move *m)
{
	bool precopy = one_in(&m->a->random, 2);

	alone_set(m->a, m->to, RESUMING);
	m->in = dev_current_fd(m->to);
	alone_set(m->a, m->from, precopy ? PRE_COPY : STOP_COPY);
	m->out = dev_current_fd(m->from);
	must(m->in >= 0 && m->out >= 0);
	if (precopy) {
		for (unsigned int i = random_below(&m->a->random, 30); i; i--) {
			if (!read_some(m) || one_in(&m->a->random, 4))
				guest_io(m->a, m->from);
			write_all(m);
			if (give_up(m))
				return false;
		}
		alone_set(m->a, m->from, STOP_COPY);
	}
	while (read_some(m)) {
		write_all(m);
		if (give_up(m))
			return false;
	}
	return !m->refused;
}

/* What is on the disk of @to is what is on that of @from */
static void same_disk(struct guest *to, const struct guest *from)
{
	memcpy(to->tags, from->tags, sizeof(to->tags));
	memcpy(to->unknown, from->unknown, sizeof(to->unknown));
	to->granules = from->granules;
}

/* The driver goes on with the other device, and its memory with it */
static void swap_guests(struct walk_dev *from, struct walk_dev *to)
{
	struct guest *moved = from->guest, *left = to->guest;

	must(!iommu_unmap(&from->iommu, ARENA_IOVA, ARENA_SIZE));
	must(!iommu_unmap(&to->iommu, ARENA_IOVA, ARENA_SIZE));
	from->guest = left;
	to->guest = moved;
	arena_map(&left->mem, &from->iommu);
	arena_map(&moved->mem, &to->iommu);
	moved->nvme.dev = &to->dev;
	moved->net.vio.dev = &to->dev;
	/* The source's disk still has the same contents */
	same_disk(left, moved);
	left->alive = false;
}

static void complete(struct move *m)
{
	struct walk_dev *from = m->from, *to = m->to;

	alone_set(m->a, from, STOP);
	to->load_complete = true;
	alone_set(m->a, to, STOP);
	swap_guests(from, to);
	vfio_bus_master(&to->dev, true);
	must(!vfio_irqs_set(&to->dev, 0, ARRAY_SIZE(to->irq), to->irq));
	alone_set(m->a, to, RUNNING);
	to->guest->alive = true;
	guest_check(m->a, to, 8);
	guest_io(m->a, to);
	pthread_mutex_lock(&from->stream_lock);
	blob_copy(&from->stream, &m->stream);
	pthread_mutex_unlock(&from->stream_lock);
	guest_revive(m->a, from);
	m->a->ops[OP_MOVE]++;
}

/* The destination has all of it, up to the END that makes it what the stream says */
static bool was_written(struct move *m)
{
	return m->from->state == STOP_COPY && !m->refused && !read_some(m);
}

/*
 * The guest goes on at the source.  The destination's disk is as before, or, if the move was given
 * up after the last byte, as the source's.
 */
static void abandon(struct move *m)
{
	if (was_written(m))
		same_disk(m->to->guest, m->from->guest);
	alone_set(m->a, m->from, RUNNING);
	guest_check(m->a, m->from, 8);
	guest_io(m->a, m->from);
	guest_revive(m->a, m->to);
	m->a->ops[m->refused ? OP_REFUSE : OP_ABORT]++;
}

/* Two owners may want each other's device: neither waits for long */
static bool take_other(struct walk_dev *to)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += 300 * 1000000L;
	end.tv_sec += end.tv_nsec / 1000000000L;
	end.tv_nsec %= 1000000000L;
	return !pthread_rwlock_timedwrlock(&to->gate, &end);
}

void move_guest(struct actor *a, struct walk_dev *from)
{
	unsigned int first = from->pf->nvme ? 0 : NVME_VFS;
	unsigned int other = 1 + random_below(&a->random, from->pf->vfs - 1);
	struct move m = { .a = a, .from = from };

	m.to = &a->walk->dev[first + (from->vf + other) % from->pf->vfs];
	if (!take_other(m.to))
		return;
	if (m.to->dev.fd >= 0 && from->guest->alive && from->state == RUNNING) {
		alone_begin(a, m.to);
		if (m.to->state != RUNNING)
			alone_reset(a, m.to);
		if (transfer(&m))
			complete(&m);
		else
			abandon(&m);
		blob_free(&m.stream);
	}
	pthread_rwlock_unlock(&m.to->gate);
}
