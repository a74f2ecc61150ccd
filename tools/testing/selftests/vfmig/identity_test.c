// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who a VF is to a guest: serial number, NGUID, EUI-64, subsystem NQN and controller ID go
 * with the medium, and no two VFs have the same.
 */
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#include "gate.h"
#include "rig.h"

#include "harness.h"

/* Where Identify Controller and Identify Namespace have it */
struct who {
	u8 serial[20];
	u8 nqn[256];
	u8 nguid[16];
	u8 eui64[8];
	u16 cntlid;
};

FIXTURE(identity)
{
	struct rig rig;
	u8 *buf;
	char bdf[2][BDF_SIZE];
	struct who was[2];
};

FIXTURE_VARIANT(identity)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(identity, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(identity, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

/* Of device @n, whose controller is enabled anew for that */
static struct who ask(struct rig *rig, u8 *buf, unsigned int n)
{
	struct nvme nvme = {};
	struct who who;

	nvme_init(&nvme, &rig->dev[n], &rig->mem);
	must(!nvme_identify(&nvme, 1, 0, buf));
	must(!nvme_identify(&nvme, 0, 1, buf + PAGE));
	memset(&who, 0, sizeof(who));
	memcpy(who.serial, buf + 4, sizeof(who.serial));
	memcpy(&who.cntlid, buf + 78, sizeof(who.cntlid));
	memcpy(who.nqn, buf + 768, sizeof(who.nqn));
	memcpy(who.nguid, buf + PAGE + 104, sizeof(who.nguid));
	memcpy(who.eui64, buf + PAGE + 120, sizeof(who.eui64));
	return who;
}

static bool same(const struct who *a, const struct who *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* Nothing that a guest goes by is the same */
static bool apart(const struct who *a, const struct who *b)
{
	return memcmp(a->serial, b->serial, sizeof(a->serial)) &&
	       memcmp(a->nqn, b->nqn, sizeof(a->nqn)) &&
	       memcmp(a->nguid, b->nguid, sizeof(a->nguid)) &&
	       memcmp(a->eui64, b->eui64, sizeof(a->eui64)) && a->cntlid != b->cntlid;
}

FIXTURE_SETUP(identity)
{
	struct rig *rig = &self->rig;
	const char *why = rig_open(rig, &(struct pf_vfs){ .count = 2 }, variant->mode, 2);

	if (why)
		SKIP(return, "%s", why);
	self->buf = arena_alloc(&rig->mem, 2 * PAGE);
	for (unsigned int i = 0; i < 2; i++) {
		bdf_copy(self->bdf[i], rig->dev[i].bdf);
		self->was[i] = ask(rig, self->buf, i);
	}
	rig_start(rig);
}

FIXTURE_TEARDOWN(identity)
{
	if (self->buf)
		rig_close(&self->rig);
}

static void reopen(struct rig *rig, unsigned int n, const char *bdf)
{
	rig_user_ends(rig, n);
	rig_user_begins(rig, n, bdf);
}

static bool is(struct rig *rig, u8 *buf, unsigned int n, const struct who *who)
{
	struct who now = ask(rig, buf, n);

	return same(&now, who);
}

static bool is_new(struct rig *rig, u8 *buf, unsigned int n, const struct who *who)
{
	struct who now = ask(rig, buf, n);

	return apart(&now, &who[0]) && apart(&now, &who[1]);
}

TEST_F(identity, differs_from_vf_to_vf)
{
	EXPECT_TRUE(apart(&self->was[0], &self->was[1]));
	EXPECT_NE(self->was[0].cntlid, 0);
	EXPECT_LT(self->was[0].cntlid, 0xfff0);
}

TEST_F(identity, stays_over_reset_close_and_open)
{
	ASSERT_EQ(vfio_reset(&self->rig.dev[0]), 0);
	EXPECT_TRUE(is(&self->rig, self->buf, 0, &self->was[0]));
	reopen(&self->rig, 0, self->bdf[0]);
	EXPECT_TRUE(is(&self->rig, self->buf, 0, &self->was[0]));
}

/* A guest with its disk went from VF 0 to VF 1, both VMMs end, and two new ones begin */
TEST_F(identity, moves_with_the_medium_and_stays_with_it)
{
	struct rig *rig = &self->rig;

	rig_move(rig, RUNNING);
	reopen(rig, 0, self->bdf[0]);
	EXPECT_TRUE(is(rig, self->buf, 1, &self->was[0]));
	EXPECT_TRUE(is_new(rig, self->buf, 0, self->was));
	reopen(rig, 1, self->bdf[1]);
	EXPECT_TRUE(is(rig, self->buf, 1, &self->was[0]));
}

/* The other order: the destination's VMM ends while the source's is still there */
TEST_F(identity, stays_when_the_destination_is_closed_first)
{
	struct rig *rig = &self->rig;

	rig_move(rig, RUNNING);
	reopen(rig, 1, self->bdf[1]);
	EXPECT_TRUE(is(rig, self->buf, 1, &self->was[0]));
	reopen(rig, 0, self->bdf[0]);
	EXPECT_TRUE(is_new(rig, self->buf, 0, self->was));
}

TEST_F(identity, is_new_for_a_source_that_is_reset)
{
	struct rig *rig = &self->rig;

	rig_move(rig, RUNNING);
	ASSERT_EQ(vfio_reset(&rig->dev[0]), 0);
	EXPECT_TRUE(is_new(rig, self->buf, 0, self->was));
	EXPECT_TRUE(is(rig, self->buf, 1, &self->was[0]));
}

/* The destination had taken it all when the migration failed */
TEST_F(identity, stays_with_a_source_that_runs_on)
{
	struct rig *rig = &self->rig;

	rig_move(rig, STOP);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	EXPECT_TRUE(is(rig, self->buf, 0, &self->was[0]));
	reopen(rig, 1, self->bdf[1]);
	EXPECT_TRUE(is_new(rig, self->buf, 1, self->was));
	reopen(rig, 0, self->bdf[0]);
	EXPECT_TRUE(is(rig, self->buf, 0, &self->was[0]));
}

/* The same, and the source's guest is shut down before the destination's VMM ends */
TEST_F(identity, stays_with_a_source_that_runs_on_and_ends_first)
{
	struct rig *rig = &self->rig;

	rig_move(rig, STOP);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	rig_user_ends(rig, 0);
	rig_user_ends(rig, 1);
	rig_user_begins(rig, 0, self->bdf[0]);
	rig_user_begins(rig, 1, self->bdf[1]);
	EXPECT_TRUE(is(rig, self->buf, 0, &self->was[0]));
	EXPECT_TRUE(is_new(rig, self->buf, 1, self->was));
}

/* The same, and the destination's VMM ended first */
TEST_F(identity, stays_with_a_source_that_runs_on_later)
{
	struct rig *rig = &self->rig;

	rig_move(rig, STOP);
	rig_user_ends(rig, 1);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	EXPECT_TRUE(is(rig, self->buf, 0, &self->was[0]));
	rig_user_begins(rig, 1, self->bdf[1]);
	EXPECT_TRUE(is_new(rig, self->buf, 1, self->was));
}

/*
 * The destination's VMM ends before the guest runs there.  A source on another host would run
 * again and tell nobody.
 */
TEST_F(identity, is_given_up_by_a_destination_that_never_ran)
{
	static const u32 states[] = { STOP, RUNNING_P2P };
	struct rig *rig = &self->rig;
	struct blob blob = {};

	mig_save(&rig->dev[0], &blob);
	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		rig_land(rig, &blob, states[i]);
		reopen(rig, 1, self->bdf[1]);
		EXPECT_TRUE(is_new(rig, self->buf, 1, self->was));
	}
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	EXPECT_TRUE(is(rig, self->buf, 0, &self->was[0]));
	blob_free(&blob);
}

/* A VMM that can't start the device may reset it, and run the guest on it all the same */
TEST_F(identity, stays_with_a_destination_that_is_reset_and_then_enabled)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};

	mig_save(&rig->dev[0], &blob);
	rig_land(rig, &blob, STOP);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);
	EXPECT_TRUE(is(rig, self->buf, 1, &self->was[0]));
	reopen(rig, 1, self->bdf[1]);
	EXPECT_TRUE(is(rig, self->buf, 1, &self->was[0]));
	blob_free(&blob);
}

TEST_F(identity, is_given_up_by_a_destination_that_is_reset_and_never_enabled)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};

	mig_save(&rig->dev[0], &blob);
	rig_land(rig, &blob, STOP);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);
	reopen(rig, 1, self->bdf[1]);
	EXPECT_TRUE(is_new(rig, self->buf, 1, self->was));
	blob_free(&blob);
}

/* The guest of a snapshot runs on such a destination, while nobody has the source open */
TEST_F(identity, is_new_for_a_closed_source_when_the_destination_is_enabled)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};

	mig_save(&rig->dev[0], &blob);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	rig_land(rig, &blob, STOP);
	rig_user_ends(rig, 0);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);
	EXPECT_TRUE(is(rig, self->buf, 1, &self->was[0]));
	rig_user_begins(rig, 0, self->bdf[0]);
	EXPECT_TRUE(is_new(rig, self->buf, 0, self->was));
	blob_free(&blob);
}

/* Nobody takes it over who never runs */
TEST_F(identity, stays_with_the_source_of_a_snapshot_that_never_ran)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};

	mig_save(&rig->dev[0], &blob);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	rig_land(rig, &blob, STOP);
	reopen(rig, 0, self->bdf[0]);
	EXPECT_TRUE(is(rig, self->buf, 0, &self->was[0]));
	reopen(rig, 1, self->bdf[1]);
	EXPECT_TRUE(is_new(rig, self->buf, 1, self->was));
	EXPECT_TRUE(is(rig, self->buf, 0, &self->was[0]));
	blob_free(&blob);
}

struct last_read {
	int fd;
	struct gate gate;
	ssize_t n;
};

static void *read_last(void *arg)
{
	struct last_read *last = arg;

	last->n = read(last->fd, last->gate.va, 1);
	return NULL;
}

/* The reset comes while the last byte is copied: whoever has that one has the device */
TEST_F(identity, is_new_for_a_source_that_is_reset_as_the_last_byte_is_read)
{
	struct rig *rig = &self->rig;
	struct last_read last = {};
	const char *why = gate_init(&last.gate, PAGE, 0);
	struct blob blob = {};
	u8 stream[4 * PAGE];
	pthread_t thread;
	u64 size;

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(mig_set(&rig->dev[0], STOP_COPY, &last.fd), 0);
	ASSERT_EQ(mig_size(&rig->dev[0], &size), 0);
	ASSERT_LE(size, sizeof(stream));
	ASSERT_EQ(read(last.fd, stream, size - 1), (ssize_t)(size - 1));
	ASSERT_EQ(pthread_create(&thread, NULL, read_last, &last), 0);
	ASSERT_TRUE(gate_wait(&last.gate));
	ASSERT_EQ(vfio_reset(&rig->dev[0]), 0);
	gate_open(&last.gate);
	pthread_join(thread, NULL);
	ASSERT_EQ(last.n, 1);
	blob_append(&blob, stream, size - 1);
	blob_append(&blob, last.gate.va, 1);
	ASSERT_EQ(mig_load(&rig->dev[1], &blob), 0);
	ASSERT_EQ(mig_set(&rig->dev[1], RUNNING, NULL), 0);
	EXPECT_TRUE(is(rig, self->buf, 1, &self->was[0]));
	EXPECT_TRUE(is_new(rig, self->buf, 0, self->was));
	close(last.fd);
	gate_exit(&last.gate);
	blob_free(&blob);
}

/* Half of the stream was read: nobody else can have become this device */
TEST_F(identity, stays_where_the_stream_was_not_read_to_its_end)
{
	struct rig *rig = &self->rig;
	u8 stream[4 * PAGE];
	u64 size;
	int fd;

	ASSERT_EQ(mig_set(&rig->dev[0], STOP_COPY, &fd), 0);
	ASSERT_EQ(mig_size(&rig->dev[0], &size), 0);
	ASSERT_LE(size, sizeof(stream));
	ASSERT_EQ(read(fd, stream, size - 1), (ssize_t)(size - 1));
	close(fd);
	reopen(rig, 0, self->bdf[0]);
	EXPECT_TRUE(is(rig, self->buf, 0, &self->was[0]));
}

/* A snapshot is loaded a second time, when the first guest is gone */
TEST_F(identity, goes_to_whoever_loaded_a_stream_last)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};

	mig_save(&rig->dev[0], &blob);
	rig_land(rig, &blob, RUNNING);
	rig_user_ends(rig, 1);
	reopen(rig, 0, self->bdf[0]);
	ASSERT_EQ(mig_load(&rig->dev[0], &blob), 0);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	EXPECT_TRUE(is(rig, self->buf, 0, &self->was[0]));
	rig_user_begins(rig, 1, self->bdf[1]);
	EXPECT_TRUE(is_new(rig, self->buf, 1, self->was));
	blob_free(&blob);
}

TEST_HARNESS_MAIN
