// SPDX-License-Identifier: GPL-2.0-only
/*
 * PRE_COPY beside a guest that writes at random: the accounting against the reader's
 * own, and the destination against the source.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "source.h"

#include "harness.h"

#define MEDIUM		MIB(4)
#define LBA		512UL

/* A VF of 4 MiB with nothing on it, and another one to move it to */
FIXTURE(busy)
{
	struct source src;
	struct session s;
};

FIXTURE_VARIANT(busy)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(busy, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(busy, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(busy)
{
	const char *why = source_open(&self->src, variant->mode, MEDIUM / MIB(1));

	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(busy)
{
	session_end(&self->s);
	source_close(&self->src);
}

/* Two such pairs of VFs */
FIXTURE(pair)
{
	struct source src[2];
	struct session s[2];
};

FIXTURE_VARIANT(pair)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(pair, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(pair, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(pair)
{
	const char *why = source_open_pair(self->src, variant->mode, MEDIUM / MIB(1));

	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(pair)
{
	for (unsigned int i = 0; i < 2; i++) {
		session_end(&self->s[i]);
		source_close(&self->src[i]);
	}
}

static void random_change(struct source *src)
{
	u64 offset = next_random(&src->seed) % (MEDIUM / LBA) * LBA;
	size_t len = (1 + next_random(&src->seed) % 128) * LBA;

	if (len > MEDIUM - offset)
		len = MEDIUM - offset;
	switch (next_random(&src->seed) % 8) {
	case 0:
	case 1:
		len = len * 4 < MEDIUM - offset ? len * 4 : len;
		source_drop(src, offset, len);
		break;
	case 2:
		source_zero(src, offset, len, next_random(&src->seed) % 2);
		break;
	default:
		source_write(src, offset, len);
	}
}

/* What MIG_DATA_SIZE counts beside what is to be read before the guest stops */
static u64 trailer_bytes(struct session *s)
{
	u64 size;

	must(!mig_size(s->src->dev, &size));
	return size - precopy_left(s->fd);
}

/*
 * What follows is for threads too, which the checks of the harness are not for.  So it
 * returns NULL, or what is wrong, for the main thread to assert.
 */

/* A read() of @len gives what was announced, as much as fits, and counts it */
static const char *counted_read(struct session *s, size_t len)
{
	u64 initial[2], dirty[2], left, trailer = trailer_bytes(s);
	const char *wrong = NULL;
	u8 *buf = malloc(len);
	ssize_t n;

	must(buf);
	must(!precopy_info(s->fd, &initial[0], &dirty[0]));
	left = initial[0] + dirty[0];
	n = read(s->fd, buf, len);
	if (n < 0) {
		must(errno == ENOMSG);
		n = 0;
	}
	blob_append(&s->blob, buf, n);
	free(buf);
	must(!precopy_info(s->fd, &initial[1], &dirty[1]));
	if ((u64)n != (len < left ? len : left))
		wrong = "a read() did not give what was announced";
	else if (initial[1] + dirty[1] != left - n)
		wrong = "a read() was not counted as it is";
	else if (initial[1] != (initial[0] > (u64)n ? initial[0] - n : 0))
		wrong = "the first copy did not come first";
	else if (trailer_bytes(s) != trailer)
		wrong = "MIG_DATA_SIZE did not count a read() as it is";
	if (wrong)
		note("read() of %zu: %zd; initial %llu, then %llu, dirty %llu, then %llu", len, n,
		     initial[0], initial[1], dirty[0], dirty[1]);
	return wrong;
}

/* So many times: the guest changes something or not, then a read() of any length */
static const char *random_turns(struct session *s, unsigned int turns, u64 trailer)
{
	struct source *src = s->src;
	const char *wrong = NULL;

	while (turns-- && !wrong) {
		u64 r = next_random(&src->seed);

		for (r %= 4; r; r--)
			random_change(src);
		if (trailer_bytes(s) != trailer)
			return "MIG_DATA_SIZE is not what is left";
		/* From single bytes to more than there is */
		r = next_random(&src->seed);
		wrong = counted_read(s, 1 + (r >> 8) % (1U << (r % 20)));
	}
	return wrong;
}

/* All that there is while the device does nothing makes the medium */
static const char *compare_in_p2p(struct session *s)
{
	const char *wrong = NULL;
	u64 n;

	must(!mig_set(s->src->dev, PRE_COPY_P2P, NULL));
	if (!session_drains_right(s, &n))
		wrong = "in PRE_COPY_P2P it did not drain as announced";
	else if (!session_copied_right(s))
		wrong = "in PRE_COPY_P2P the copy was not the medium";
	must(!mig_set(s->src->dev, PRE_COPY, NULL));
	return wrong;
}

/* Leave something for STOP_COPY, and some record half read */
static const char *leave_changes(struct session *s, u64 trailer)
{
	for (int i = 0; i < 20; i++)
		random_change(s->src);
	if (trailer_bytes(s) != trailer)
		return "MIG_DATA_SIZE is not what is left";
	precopy_read(s->fd, &s->blob, 1000);
	return NULL;
}

TEST_F_TIMEOUT(busy, accounting_is_the_readers_own, 60)
{
	const char *wrong;
	u64 trailer;

	TH_LOG("seed %u", SOURCE_SEED);
	for (int i = 0; i < 40; i++)
		random_change(&self->src);
	session_begin(&self->s, &self->src);
	trailer = trailer_bytes(&self->s);
	for (int i = 0; i < 8; i++) {
		wrong = random_turns(&self->s, 50, trailer);
		ASSERT_EQ(wrong, NULL) TH_LOG("%s", wrong);
		wrong = compare_in_p2p(&self->s);
		ASSERT_EQ(wrong, NULL) TH_LOG("%s", wrong);
	}
	wrong = leave_changes(&self->s, trailer);
	ASSERT_EQ(wrong, NULL) TH_LOG("%s", wrong);
	EXPECT_TRUE(session_moves_right(&self->s));
	EXPECT_GT(self->s.blob.len, MEDIUM);
}

/* Is the reader within a record? */
static bool in_mid_record(const struct session *s)
{
	struct vfmig_record header;
	size_t pos = s->replayed;

	for (; pos + sizeof(header) <= s->blob.len; pos += sizeof(header) + header.length)
		memcpy(&header, s->blob.data + pos, sizeof(header));
	return pos != s->blob.len;
}

static const char *go_to_mid_record(struct session *s)
{
	u64 n = 1 + next_random(&s->src->seed) % (sizeof(struct vfmig_record) - 1);

	if (in_mid_record(s))
		return NULL;
	if (!precopy_left(s->fd))
		source_write(s->src, 0, PAGE);
	return counted_read(s, n);
}

/* The arcs within PRE_COPY in mid-record, with a read() on the way */
static const char *to_p2p_and_back(struct session *s)
{
	const char *wrong = go_to_mid_record(s);

	must(!mig_set(s->src->dev, PRE_COPY_P2P, NULL));
	if (!wrong)
		wrong = counted_read(s, 1 + next_random(&s->src->seed) % (2 * PAGE));
	must(!mig_set(s->src->dev, PRE_COPY, NULL));
	return wrong;
}

/* Give it up in mid-record: the next session has to give all of the medium again */
static const char *begin_anew(struct session *s)
{
	struct source *src = s->src;
	const char *wrong = go_to_mid_record(s);

	must(!mig_set(src->dev, RUNNING, NULL));
	session_end(s);
	random_change(src);
	session_begin(s, src);
	return wrong;
}

/* All of this in turns, and STOP_COPY in mid-record in the end */
static const char *session_goes_right(struct session *s)
{
	static const char *(* const events[])(struct session *s) = {
		begin_anew, to_p2p_and_back, compare_in_p2p,
	};
	u64 trailer = trailer_bytes(s);
	const char *wrong = NULL;

	for (unsigned int i = 0; i < 4 * ARRAY_SIZE(events) && !wrong; i++)
		wrong = random_turns(s, 25, trailer) ?: events[i % ARRAY_SIZE(events)](s);
	wrong = wrong ?: leave_changes(s, trailer) ?: go_to_mid_record(s);
	if (!wrong && !session_completes_right(s))
		wrong = "with STOP_COPY the copy was not the medium";
	return wrong;
}

static void *session_thread(void *arg)
{
	return (void *)session_goes_right(arg);
}

TEST_F_TIMEOUT(pair, sessions_at_once_are_apart, 60)
{
	pthread_t thread[2];
	void *wrong[2];

	TH_LOG("seeds %u and the next", SOURCE_SEED);
	for (unsigned int i = 0; i < 2; i++) {
		for (int n = 0; n < 40; n++)
			random_change(&self->src[i]);
		session_begin(&self->s[i], &self->src[i]);
	}
	for (unsigned int i = 0; i < 2; i++)
		must(!pthread_create(&thread[i], NULL, session_thread, &self->s[i]));
	for (unsigned int i = 0; i < 2; i++)
		must(!pthread_join(thread[i], &wrong[i]));
	ASSERT_EQ(wrong[0], NULL) TH_LOG("first VF: %s", (char *)wrong[0]);
	ASSERT_EQ(wrong[1], NULL) TH_LOG("second VF: %s", (char *)wrong[1]);

	/* Each guest finds its own at its own destination, and no other's */
	EXPECT_NE(memcmp(self->src[0].medium, self->src[1].medium, MEDIUM), 0);
	for (unsigned int i = 0; i < 2; i++) {
		struct rig *rig = &self->src[i].rig;

		rig_second(rig);
		rig_land(rig, &self->s[i].blob, RUNNING);
	}
	EXPECT_TRUE(source_reads_right(&self->src[0]));
	EXPECT_TRUE(source_reads_right(&self->src[1]));
}

/* A guest that keeps up to DEPTH writes in flight, until it is told to stop */
#define DEPTH		8
#define MOST		(2 * PAGE)

struct writer {
	pthread_t thread;
	struct rig *rig;
	u8 *data;		/* DEPTH buffers of MOST bytes */
	u64 seed;
	u64 span;		/* bytes of the medium that it writes to */
	bool settle;		/* wait for all of them in the end */
	bool stop;
	bool over;
	u64 done;
	struct flight {
		u16 cid;
		u64 offset;
		size_t len;	/* 0: free */
	} flight[DEPTH];
};

static void writer_submit(struct writer *w, unsigned int slot)
{
	struct nvme *nvme = &w->rig->nvme;
	struct nvme_queue *q = &nvme->io[1];
	struct flight *f = &w->flight[slot];
	u8 *data = w->data + slot * MOST;
	struct nvme_cmd cmd;

	f->len = (1 + next_random(&w->seed) % (MOST / LBA)) * LBA;
	f->offset = next_random(&w->seed) % ((w->span - MOST) / LBA + 1) * LBA;
	if (next_random(&w->seed) % 16) {
		cmd = nvme_rw_cmd(NVME_WRITE, f->offset / LBA, f->len / LBA);
		fill_pattern(data, f->len, next_random(&w->seed));
		nvme_set_prps(nvme, q, &cmd, data, f->len);
	} else {
		cmd = nvme_rw_cmd(NVME_WRITE_ZEROES, f->offset / LBA, f->len / LBA);
		cmd.cdw12 |= 1U << 25;
	}
	f->cid = nvme_submit(nvme, q, &cmd);
}

static void *writer_thread(void *arg)
{
	struct writer *w = arg;
	struct nvme *nvme = &w->rig->nvme;
	struct nvme_queue *q = &nvme->io[1];
	struct nvme_cqe cqe;

	while (!__atomic_load_n(&w->stop, __ATOMIC_RELAXED)) {
		nvme_reap(nvme, q);
		for (unsigned int i = 0; i < DEPTH; i++) {
			if (w->flight[i].len && !nvme_take(q, w->flight[i].cid, &cqe))
				continue;
			if (w->flight[i].len) {
				must(cqe.status >> 1 == 0);
				w->done++;
			}
			writer_submit(w, i);
		}
		nvme_ring(nvme, q);
	}
	for (unsigned int i = 0; w->settle && i < DEPTH && w->flight[i].len; i++)
		must(!nvme_wait(nvme, q, w->flight[i].cid, NULL));
	__atomic_store_n(&w->over, true, __ATOMIC_RELEASE);
	return NULL;
}

static void writer_start(struct writer *w)
{
	w->stop = false;
	w->over = false;
	memset(w->flight, 0, sizeof(w->flight));
	must(!pthread_create(&w->thread, NULL, writer_thread, w));
}

/* Read for a while what a working device gives, in pieces of any size */
static u64 read_under_load(struct session *s, unsigned int ms)
{
	u64 end = now_ms() + ms, bytes = 0;
	u8 *buf = malloc(MIB(1));
	ssize_t n;

	must(buf);
	do {
		n = read(s->fd, buf, 1 + next_random(&s->src->seed) % MIB(1));
		must(n > 0 || errno == ENOMSG);
		if (n > 0) {
			blob_append(&s->blob, buf, n);
			bytes += n;
		}
	} while (now_ms() < end);
	free(buf);
	return bytes;
}

/*
 * The last write to a granule that is read at this moment must not be lost.  A reader
 * that is always there, and as many last writes as can be had.
 */
TEST_F_TIMEOUT(busy, last_write_wins, 60)
{
	struct writer w = {
		.rig = &self->src.rig,
		.data = arena_alloc(&self->src.rig.mem, DEPTH * MOST),
		.seed = SOURCE_SEED,
		.span = 64 * PAGE,
		.settle = true,
	};
	struct source *src = &self->src;
	u64 n;

	session_begin(&self->s, src);
	for (unsigned int i = 0; i < 120; i++) {
		writer_start(&w);
		read_under_load(&self->s, 5);
		__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
		while (!__atomic_load_n(&w.over, __ATOMIC_ACQUIRE))
			read_under_load(&self->s, 0);
		pthread_join(w.thread, NULL);
		EXPECT_TRUE(session_drains_right(&self->s, &n));
		nvme_read_bytes(&src->rig.nvme, 0, src->buf, w.span);
		memcpy(src->medium, src->buf, w.span);
		ASSERT_TRUE(session_copied_right(&self->s)) TH_LOG("round %u", i);
	}
	EXPECT_GT(w.done, 100);
}

TEST_F_TIMEOUT(busy, under_load, 120)
{
	struct rig *rig = &self->src.rig;
	struct writer w = {
		.rig = rig,
		.data = self->src.buf,
		.seed = SOURCE_SEED,
		.span = MEDIUM,
	};
	u64 end, size, seen = 0;
	struct vfio_dev *dst;
	size_t before;

	for (u64 at = 0; at < MEDIUM; at += MIB(1))
		source_write(&self->src, at, MIB(1));
	session_begin(&self->s, &self->src);
	writer_start(&w);
	/* Until something of the medium was read twice, however long that takes */
	end = now_ms() + 6 * WAIT_MS;
	do {
		seen += read_under_load(&self->s, 1500);
	} while ((seen <= MEDIUM || __atomic_load_n(&w.done, __ATOMIC_RELAXED) <= 100) &&
		 now_ms() < end);
	EXPECT_GT(seen, MEDIUM);
	/* Commands may be under way when it stops, of which some completed */
	__atomic_store_n(&w.stop, true, __ATOMIC_RELAXED);
	pthread_join(w.thread, NULL);
	EXPECT_GT(w.done, 100);
	ASSERT_EQ(mig_set(self->src.dev, STOP_COPY, NULL), 0);
	ASSERT_EQ(mig_size(self->src.dev, &size), 0);
	before = self->s.blob.len;
	ASSERT_EQ(mig_read(self->s.fd, &self->s.blob, KIB(64)), 0);
	EXPECT_EQ(self->s.blob.len - before, size);

	/* Three views of what the source has: a fresh copy, the session's, VF 1's */
	ASSERT_EQ(mig_set(self->src.dev, STOP, NULL), 0);
	stream_medium(self->src.dev, self->src.medium, MEDIUM);
	EXPECT_TRUE(session_copied_right(&self->s));
	dst = rig_second(rig);
	ASSERT_EQ(mig_load(dst, &self->s.blob), 0);
	ASSERT_EQ(mig_set(dst, STOP, NULL), 0);
	stream_medium(dst, self->src.copy, MEDIUM);
	EXPECT_EQ(memcmp(self->src.copy, self->src.medium, MEDIUM), 0);

	/* The guest goes on there; what was under way completes there, once */
	rig_land(rig, &self->s.blob, RUNNING);
	for (unsigned int i = 0; i < DEPTH; i++)
		EXPECT_EQ(nvme_wait(&rig->nvme, &rig->nvme.io[1], w.flight[i].cid, NULL), 0);
	for (u64 at = 0; at < MEDIUM; at += MIB(1)) {
		nvme_read_bytes(&rig->nvme, at, self->src.buf, MIB(1));
		memcpy(self->src.copy + at, self->src.buf, MIB(1));
	}
	for (unsigned int i = 0; i < DEPTH; i++)
		memcpy(self->src.copy + w.flight[i].offset, self->src.medium + w.flight[i].offset,
		       w.flight[i].len);
	EXPECT_EQ(memcmp(self->src.copy, self->src.medium, MEDIUM), 0);
}

TEST_HARNESS_MAIN
