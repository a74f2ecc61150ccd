// SPDX-License-Identifier: GPL-2.0-only
/*
 * What PRE_COPY sends of a device that goes on working: each granule that changed,
 * nothing else, to the byte as announced; and in the end the destination has what
 * the source has.
 */
#include "source.h"

#include "harness.h"

#define GRANULES_PER_MB	256U
#define LBA		512UL

/* A VF of 4 MiB with nothing on it, and another one to move it to */
FIXTURE(track)
{
	struct source src;
	struct session s;
};

FIXTURE_VARIANT(track)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(track, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(track, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(track)
{
	const char *why = source_open(&self->src, variant->mode, 4);

	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(track)
{
	session_end(&self->s);
	source_close(&self->src);
}

/* What there is to read now is exactly these runs, in any order: that is the device's */
#define DRAINED(...)		EXPECT_TRUE(SESSION_GIVES(s, false, __VA_ARGS__))
#define DRAINED_NOTHING()	EXPECT_TRUE(session_gives(s, false, NULL, 0))

TEST_F(track, rewritten_after_it_was_sent_is_sent_again)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 4);
	session_begin(s, src);
	DRAINED({ DATA, 10, 4 });
	/* One sector of one granule; twice is as good as once */
	source_write(src, 12 * PAGE + 3 * LBA, LBA);
	EXPECT_EQ(precopy_left(s->fd), RUN_BYTES(1));
	source_write(src, 12 * PAGE, LBA);
	EXPECT_EQ(precopy_left(s->fd), RUN_BYTES(1));
	DRAINED({ DATA, 12, 1 });
	EXPECT_TRUE(session_copied_right(s));
	DRAINED_NOTHING();
	/* On both sides of an edge */
	source_write(src, 11 * PAGE - LBA, 2 * LBA);
	DRAINED({ DATA, 10, 2 });
	EXPECT_TRUE(session_moves_right(s));
}

TEST_F(track, written_before_it_is_sent_is_sent_once)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 4);
	session_begin(s, src);
	source_put(src, 11, 2);
	EXPECT_EQ(precopy_left(s->fd), RUN_BYTES(4));
	DRAINED({ DATA, 10, 4 });
	DRAINED_NOTHING();
	EXPECT_TRUE(session_completes_right(s));
}

TEST_F(track, first_write_in_a_session_is_sent_once)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	session_begin(s, src);
	DRAINED_NOTHING();
	/* In memory that has nothing near it, and beside some that was sent */
	source_put(src, 700, 1);
	source_put(src, 700, 1);
	DRAINED({ DATA, 700, 1 });
	source_put(src, 701, 1);
	DRAINED({ DATA, 701, 1 });
	DRAINED_NOTHING();
	EXPECT_TRUE(session_completes_right(s));
}

TEST_F(track, reads_send_nothing)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 2);
	session_begin(s, src);
	/* Of what was never written, before and after it was looked at */
	nvme_read_bytes(&src->rig.nvme, 8 * PAGE, src->buf, 8 * PAGE);
	DRAINED({ DATA, 10, 2 });
	nvme_read_bytes(&src->rig.nvme, 8 * PAGE, src->buf, 8 * PAGE);
	DRAINED_NOTHING();
	ASSERT_EQ(nvme_io(&src->rig.nvme, (struct nvme_cmd){ .opcode = NVME_FLUSH, .nsid = 1 }),
		  0);
	DRAINED_NOTHING();
}

TEST_F(track, deallocated_before_it_is_sent_is_not_sent)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 8);
	source_put(src, 300, 2);
	session_begin(s, src);
	source_punch(src, 12, 2);
	source_punch(src, 300, 2);
	EXPECT_EQ(precopy_left(s->fd), RUN_BYTES(2) + RUN_BYTES(4));
	DRAINED({ DATA, 10, 2 }, { DATA, 14, 4 });
	EXPECT_TRUE(session_completes_right(s));
}

TEST_F(track, deallocated_after_it_was_sent_is_a_hole)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 8);
	source_put(src, 300, 2);
	session_begin(s, src);
	DRAINED({ DATA, 10, 8 }, { DATA, 300, 2 });
	source_punch(src, 12, 2);
	source_punch(src, 300, 2);
	EXPECT_EQ(precopy_left(s->fd), 2 * HOLE_BYTES);
	DRAINED({ HOLE, 12, 2 }, { HOLE, 300, 2 });
	EXPECT_TRUE(session_copied_right(s));
	/* What is not there can't be given back again */
	source_punch(src, 12, 2);
	DRAINED_NOTHING();
	EXPECT_TRUE(session_moves_right(s));
}

TEST_F(track, deallocated_and_written_again_is_data)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 4);
	session_begin(s, src);
	DRAINED({ DATA, 10, 4 });
	source_punch(src, 10, 4);
	source_put(src, 12, 1);
	DRAINED({ HOLE, 10, 2 }, { DATA, 12, 1 }, { HOLE, 13, 1 });
	/* A hole that was sent already, and the other way round */
	source_put(src, 10, 1);
	source_punch(src, 12, 1);
	DRAINED({ DATA, 10, 1 }, { HOLE, 12, 1 });
	EXPECT_TRUE(session_moves_right(s));
}

TEST_F(track, parts_of_granules_that_are_zeroed_are_data)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 8);
	session_begin(s, src);
	DRAINED({ DATA, 10, 8 });
	source_drop(src, 10 * PAGE + LBA, LBA);
	DRAINED({ DATA, 10, 1 });
	/* Half a granule, two whole ones, half a granule */
	source_drop(src, 12 * PAGE + PAGE / 2, 3 * PAGE);
	DRAINED({ DATA, 12, 1 }, { HOLE, 13, 2 }, { DATA, 15, 1 });
	EXPECT_TRUE(session_completes_right(s));
}

TEST_F(track, write_zeroes_counts_as_a_write)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 8);
	session_begin(s, src);
	DRAINED({ DATA, 10, 8 });
	source_zero(src, 10 * PAGE, 2 * PAGE, false);
	DRAINED({ DATA, 10, 2 });
	source_zero(src, 14 * PAGE, 2 * PAGE, true);
	DRAINED({ HOLE, 14, 2 });
	/* Zeroes where zeroes are */
	source_zero(src, 100 * PAGE, 8 * PAGE, false);
	DRAINED_NOTHING();
	EXPECT_TRUE(session_completes_right(s));
}

/* The write fails half-way: what it did before that is on the medium nevertheless */
TEST_F(track, half_a_write_is_tracked)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	struct nvme *nvme = &src->rig.nvme;
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE, 10 * PAGE / LBA, 2 * PAGE / LBA);
	u64 n;

	source_put(src, 10, 2);
	session_begin(s, src);
	DRAINED({ DATA, 10, 2 });
	fill_pattern(src->buf, PAGE, 1);
	cmd.prp1 = arena_iova(&src->rig.mem, src->buf);
	cmd.prp2 = ARENA_IOVA + 2 * ARENA_SIZE;
	ASSERT_EQ(nvme_io(nvme, cmd), NVME_DATA_TRANSFER_ERROR);
	nvme_read_bytes(nvme, 10 * PAGE, src->buf, 2 * PAGE);
	memcpy(src->medium + 10 * PAGE, src->buf, 2 * PAGE);
	EXPECT_TRUE(session_drains_right(s, &n));
	EXPECT_TRUE(session_completes_right(s));
}

TEST_F(track, written_while_it_is_read_is_sent_again)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	u64 n;

	source_put(src, 10, 3);
	session_begin(s, src);
	/* In the middle of granule 11 */
	precopy_read(s->fd, &s->blob, RUN_BYTES(1) + PAGE / 2);
	source_put(src, 10, 3);
	EXPECT_EQ(precopy_left(s->fd), PAGE + PAGE / 2 + RUN_BYTES(3));
	EXPECT_TRUE(session_drains_right(s, &n));
	EXPECT_TRUE(session_copied_right(s));
	DRAINED_NOTHING();
	/* And what is sent again is no different */
	source_put(src, 11, 1);
	precopy_read(s->fd, &s->blob, RUN_BYTES(1) - 1);
	source_put(src, 11, 1);
	precopy_read(s->fd, &s->blob, 1);
	DRAINED({ DATA, 11, 1 });
	EXPECT_TRUE(session_moves_right(s));
}

TEST_F(track, deallocated_while_it_is_read_reads_as_zeroes)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	struct vfmig_extent *extent;
	size_t at;
	u64 n;

	source_put(src, 10, 2);
	session_begin(s, src);
	at = s->blob.len + sizeof(struct vfmig_record);
	precopy_read(s->fd, &s->blob, HOLE_BYTES + 100);
	source_punch(src, 10, 2);
	EXPECT_EQ(precopy_left(s->fd), 2 * PAGE - 100 + HOLE_BYTES);
	EXPECT_TRUE(session_drains_right(s, &n));
	extent = (void *)(s->blob.data + at);
	/* Nothing of what is in that page by now */
	EXPECT_TRUE(is_filled((u8 *)(extent + 1) + 100, 2 * PAGE - 100, 0));
	EXPECT_TRUE(session_moves_right(s));
}

TEST_F(track, stop_copy_in_a_record_that_changes)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 3);
	source_put(src, 500, 3);
	session_begin(s, src);
	precopy_read(s->fd, &s->blob, RUN_BYTES(1) + PAGE / 2);
	source_put(src, 10, 1);
	source_put(src, 11, 1);
	source_punch(src, 12, 1);
	source_put(src, 501, 1);
	EXPECT_TRUE(session_completes_right(s));
}

TEST_F(track, neighbours_are_merged_within_a_mib)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	const u64 mb = GRANULES_PER_MB;

	/* Written from the outside in */
	for (u64 i = 0; i < 3; i++) {
		source_put(src, mb - 3 + i, 1);
		source_put(src, mb + 2 - i, 1);
	}
	session_begin(s, src);
	EXPECT_EQ(precopy_left(s->fd), 2 * RUN_BYTES(3));
	DRAINED({ DATA, mb - 3, 3 }, { DATA, mb, 3 });
	for (u64 i = 0; i < 3; i++) {
		source_put(src, mb - 3 + i, 1);
		source_put(src, mb + 2 - i, 1);
	}
	EXPECT_EQ(precopy_left(s->fd), 2 * RUN_BYTES(3));
	DRAINED({ DATA, mb - 3, 3 }, { DATA, mb, 3 });
	source_punch(src, mb - 3, 6);
	DRAINED({ HOLE, mb - 3, 3 }, { HOLE, mb, 3 });
	EXPECT_TRUE(session_completes_right(s));
}

TEST_F(track, no_record_is_longer_than_a_mib)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	const u64 mb = GRANULES_PER_MB;

	source_write(src, MIB(1) - PAGE, MIB(1));
	source_write(src, MIB(2) - PAGE, MIB(1));
	source_write(src, MIB(3) - PAGE, 2 * PAGE);
	session_begin(s, src);
	DRAINED({ DATA, mb - 1, 1 }, { DATA, mb, mb }, { DATA, 2 * mb, mb }, { DATA, 3 * mb, 1 });
	source_write(src, MIB(1), MIB(1));
	source_write(src, MIB(2), MIB(1));
	DRAINED({ DATA, mb, mb }, { DATA, 2 * mb, mb });
	source_punch(src, 0, 4 * mb);
	DRAINED({ HOLE, mb - 1, 1 }, { HOLE, mb, mb }, { HOLE, 2 * mb, mb }, { HOLE, 3 * mb, 1 });
	EXPECT_TRUE(session_moves_right(s));
}

/* Holes in a run, then none: the sums go up and down with it */
TEST_F(track, runs_part_and_meet)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	u64 n;

	source_put(src, 0, 16);
	session_begin(s, src);
	EXPECT_TRUE(session_drains_right(s, &n));
	for (u64 i = 0; i < 16; i += 2)
		source_put(src, i, 1);
	EXPECT_EQ(precopy_left(s->fd), 8 * RUN_BYTES(1));
	for (u64 i = 1; i < 16; i += 4)
		source_punch(src, i, 1);
	EXPECT_EQ(precopy_left(s->fd), 8 * RUN_BYTES(1) + 4 * HOLE_BYTES);
	for (u64 i = 1; i < 16; i += 2)
		source_put(src, i, 1);
	EXPECT_EQ(precopy_left(s->fd), RUN_BYTES(16));
	source_punch(src, 4, 1);
	EXPECT_EQ(precopy_left(s->fd), RUN_BYTES(4) + HOLE_BYTES + RUN_BYTES(11));
	DRAINED({ DATA, 0, 4 }, { HOLE, 4, 1 }, { DATA, 5, 11 });
	EXPECT_TRUE(session_completes_right(s));
}

/* One granule that is written all the time keeps no other from being sent */
TEST_F(track, hot_granule_starves_nobody)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	struct stream_record record;
	size_t pos;
	bool seen = false;
	u64 n;

	source_put(src, 10, 1);
	session_begin(s, src);
	EXPECT_TRUE(session_drains_right(s, &n));
	pos = s->blob.len;
	source_put(src, 0, 1);
	source_put(src, 10, 1);
	source_put(src, 600, 1);
	for (int i = 0; i < 16 && !seen; i++) {
		source_put(src, 0, 1);
		precopy_read(s->fd, &s->blob, RUN_BYTES(1));
		ASSERT_EQ(stream_next(&s->blob, &pos, &record), 1);
		seen = ((struct vfmig_extent *)record.payload)->offset == 600 * PAGE;
	}
	EXPECT_TRUE(seen);
	EXPECT_TRUE(session_completes_right(s));
}

/* Much memory, of which little is there and less changes */
FIXTURE(large)
{
	struct rig rig;
	struct vfio_dev *dev;
	u8 *buf;
	int fd;
	struct blob blob;
};

FIXTURE_VARIANT(large)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(large, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(large, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

#define LARGE_MB	4096ULL
#define LARGE_STEP	(LARGE_MB * 256 / 10 * PAGE)

FIXTURE_SETUP(large)
{
	struct pf_vfs vfs = { .count = 1, .media_mb = LARGE_MB };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	self->fd = -1;
	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	if (!precopy_offered(self->dev))
		SKIP(return, "the driver does not offer PRE_COPY");
	rig_start(&self->rig);
	self->buf = arena_alloc(&self->rig.mem, MIB(1));
}

FIXTURE_TEARDOWN(large)
{
	close(self->fd);
	blob_free(&self->blob);
	rig_close(&self->rig);
}

/* 10 granules all over it */
static void touch_ten(struct rig *rig, u8 *buf)
{
	for (u64 i = 1; i <= 10; i++)
		nvme_write_bytes(&rig->nvme, i * LARGE_STEP - PAGE, buf, PAGE);
}

TEST_F(large, ten_dirty_granules_are_ten_records)
{
	u64 initial, dirty;

	self->fd = precopy_begin(self->dev, PRE_COPY);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), IDENTITY_BYTES);
	for (int i = 0; i < 3; i++) {
		touch_ten(&self->rig, self->buf);
		ASSERT_EQ(precopy_info(self->fd, &initial, &dirty), 0);
		EXPECT_EQ(initial, 0);
		EXPECT_EQ(dirty, 10 * RUN_BYTES(1));
		EXPECT_EQ(precopy_drain(self->fd, &self->blob), 10 * RUN_BYTES(1));
	}
	nvme_deallocate_all(&self->rig.nvme);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), 10 * HOLE_BYTES);
}

TEST_F(large, dirty_granules_among_many_clean_ones)
{
	const u64 mb = 16;
	u64 initial, dirty;

	fill_pattern(self->buf, MIB(1), 1);
	for (u64 i = 0; i < mb; i++)
		nvme_write_bytes(&self->rig.nvme, i * MIB(1), self->buf, MIB(1));
	self->fd = precopy_begin(self->dev, PRE_COPY);
	ASSERT_EQ(precopy_info(self->fd, &initial, &dirty), 0);
	EXPECT_EQ(initial, IDENTITY_BYTES + mb * RUN_BYTES(256));
	EXPECT_EQ(dirty, 0);
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), initial);
	for (u64 i = 0; i < 10; i++)
		nvme_write_bytes(&self->rig.nvme, (i + 3) * MIB(1) + 77 * PAGE, self->buf,
				 PAGE);
	ASSERT_EQ(precopy_info(self->fd, &initial, &dirty), 0);
	EXPECT_EQ(initial, 0);
	EXPECT_EQ(dirty, 10 * RUN_BYTES(1));
	EXPECT_EQ(precopy_drain(self->fd, &self->blob), dirty);
	/* And what is left for the time when the guest stands still */
	ASSERT_EQ(mig_set(self->dev, STOP_COPY, NULL), 0);
	self->blob.len = 0;
	EXPECT_EQ(mig_read(self->fd, &self->blob, KIB(64)), 0);
	EXPECT_LT(self->blob.len, KIB(64));
}

TEST_HARNESS_MAIN
