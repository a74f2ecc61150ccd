// SPDX-License-Identifier: GPL-2.0-only
/*
 * New initial data in PRE_COPY: the guest replaces its medium at a stroke.  If the destination
 * has anything of it, one hole over the whole medium is left to send; a user that knows of
 * VFIO_PRECOPY_INFO_REINIT hears of it once, to any other it is dirty data.
 */
#include <poll.h>
#include <string.h>

#include "source.h"

#include "harness.h"

#define LBA		512UL
#define MEDIA_MB	4

/* The hole that an erase leaves */
#define ALL		{ HOLE, 0, MIB(MEDIA_MB) / PAGE }

FIXTURE(reinit)
{
	struct source src;
	struct session s;
};

FIXTURE_VARIANT(reinit)
{
	enum iommu_mode mode;
	bool v2;
};

FIXTURE_VARIANT_ADD(reinit, v1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(reinit, v1_iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_VARIANT_ADD(reinit, v2)
{
	.mode = IOMMU_TYPE1,
	.v2 = true,
};

FIXTURE_VARIANT_ADD(reinit, v2_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.v2 = true,
};

FIXTURE_SETUP(reinit)
{
	const char *why = source_open(&self->src, variant->mode, MEDIA_MB);

	if (why)
		SKIP(return, "%s", why);
	if (variant->v2 && precopy_opt_in(self->src.dev))
		SKIP(return, "this kernel has no VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2");
}

FIXTURE_TEARDOWN(reinit)
{
	session_end(&self->s);
	source_close(&self->src);
}

#define INFO_IS(...)	EXPECT_TRUE(session_info_is(&self->s, variant->v2, __VA_ARGS__))
#define REINIT		VFIO_PRECOPY_INFO_REINIT

/* What there is to read now is exactly these runs, in this order */
#define DRAINED(...)		EXPECT_TRUE(SESSION_GIVES(&self->s, true, __VA_ARGS__))
#define DRAINED_NOTHING()	EXPECT_TRUE(session_gives(&self->s, true, NULL, 0))

TEST_F(reinit, erased_after_the_initial_copy)
{
	struct source *src = &self->src;

	source_put(src, 10, 4);
	source_put(src, 20, 1);
	source_put(src, 300, 2);
	session_begin(&self->s, src);
	INFO_IS(0, RUN_BYTES(4) + RUN_BYTES(1) + RUN_BYTES(2), 0, 0);
	DRAINED({ DATA, 10, 4 }, { DATA, 20, 1 }, { DATA, 300, 2 });
	INFO_IS(0, 0, 0, 0);
	source_erase(src);
	INFO_IS(REINIT, 0, HOLE_BYTES, 0);
	/* Once */
	INFO_IS(0, 0, HOLE_BYTES, 0);
	DRAINED(ALL);
	INFO_IS(0, 0, 0, 0);
	EXPECT_TRUE(session_copied_right(&self->s));
	EXPECT_TRUE(session_moves_right(&self->s));
}

TEST_F(reinit, sanitize_is_the_same)
{
	struct nvme_cmd cmd = { .opcode = NVME_SANITIZE, .cdw10 = 2 };
	struct source *src = &self->src;

	source_put(src, 10, 4);
	session_begin(&self->s, src);
	DRAINED({ DATA, 10, 4 });
	must(!nvme_admin(&src->rig.nvme, cmd));
	memset(src->medium, 0, src->size);
	INFO_IS(REINIT, 0, HOLE_BYTES, 0);
	DRAINED(ALL);
	EXPECT_TRUE(session_moves_right(&self->s));
}

/* As any other record, the hole may be read in pieces */
TEST_F(reinit, hole_in_pieces)
{
	struct source *src = &self->src;

	source_put(src, 10, 4);
	session_begin(&self->s, src);
	DRAINED({ DATA, 10, 4 });
	source_erase(src);
	INFO_IS(REINIT, 0, HOLE_BYTES, 0);
	precopy_read(self->s.fd, &self->s.blob, HOLE_BYTES / 2);
	INFO_IS(0, 0, HOLE_BYTES - HOLE_BYTES / 2, 0);
	precopy_read(self->s.fd, &self->s.blob, HOLE_BYTES - HOLE_BYTES / 2);
	INFO_IS(0, 0, 0, 0);
	EXPECT_TRUE(session_moves_right(&self->s));
}

TEST_F(reinit, erased_in_the_middle_of_the_initial_copy)
{
	struct source *src = &self->src;

	source_put(src, 10, 4);
	source_put(src, 20, 1);
	source_put(src, 300, 2);
	session_begin(&self->s, src);
	precopy_read(self->s.fd, &self->s.blob, RUN_BYTES(4));
	/* What was not sent yet is nothing */
	source_erase(src);
	INFO_IS(REINIT, 0, HOLE_BYTES, 0);
	DRAINED(ALL);
	EXPECT_TRUE(session_moves_right(&self->s));
}

TEST_F(reinit, erased_in_the_middle_of_a_record)
{
	struct source *src = &self->src;
	struct vfmig_extent *extent;
	size_t at;

	source_put(src, 10, 4);
	source_put(src, 20, 2);
	session_begin(&self->s, src);
	at = self->s.blob.len + sizeof(struct vfmig_record);
	precopy_read(self->s.fd, &self->s.blob, RUN_BYTES(1) + 100);
	source_erase(src);
	INFO_IS(REINIT, 3 * PAGE - 100, HOLE_BYTES, 0);
	precopy_read(self->s.fd, &self->s.blob, 3 * PAGE - 100);
	extent = (void *)(self->s.blob.data + at);
	EXPECT_TRUE(is_filled((u8 *)(extent + 1) + PAGE + 100, 3 * PAGE - 100, 0));
	INFO_IS(0, 0, HOLE_BYTES, 0);
	DRAINED(ALL);
	EXPECT_TRUE(session_moves_right(&self->s));
}

/* Its rest comes before the new initial data, and dirty_bytes starts over */
TEST_F(reinit, erased_in_the_middle_of_a_dirty_record)
{
	struct source *src = &self->src;
	u64 left = 2 * PAGE - 100;
	bool v2 = variant->v2;

	session_begin(&self->s, src);
	source_put(src, 10, 2);
	source_put(src, 30, 1);
	INFO_IS(0, 0, 0, RUN_BYTES(2) + RUN_BYTES(1));
	precopy_read(self->s.fd, &self->s.blob, RUN_BYTES(0) + 100);
	source_erase(src);
	INFO_IS(REINIT, v2 ? left : 0, HOLE_BYTES, v2 ? 0 : left);
	precopy_read(self->s.fd, &self->s.blob, PAGE);
	INFO_IS(0, v2 ? left - PAGE : 0, HOLE_BYTES, v2 ? 0 : left - PAGE);
	precopy_read(self->s.fd, &self->s.blob, left - PAGE);
	DRAINED(ALL);
	EXPECT_TRUE(session_moves_right(&self->s));
}

TEST_F(reinit, erased_before_anything_was_sent)
{
	struct source *src = &self->src;

	source_put(src, 10, 4);
	session_begin(&self->s, src);
	INFO_IS(0, RUN_BYTES(4), 0, 0);
	/* The destination has nothing to forget: this is no new initial data */
	source_erase(src);
	INFO_IS(0, 0, 0, 0);
	DRAINED_NOTHING();
	source_put(src, 10, 1);
	DRAINED({ DATA, 10, 1 });
	EXPECT_TRUE(session_moves_right(&self->s));
}

TEST_F(reinit, what_is_dirty_is_in_the_hole)
{
	struct source *src = &self->src;

	source_put(src, 10, 4);
	session_begin(&self->s, src);
	DRAINED({ DATA, 10, 4 });
	source_put(src, 12, 4);
	source_punch(src, 10, 1);
	INFO_IS(0, 0, 0, HOLE_BYTES + RUN_BYTES(4));
	source_erase(src);
	INFO_IS(REINIT, 0, HOLE_BYTES, 0);
	DRAINED(ALL);
	EXPECT_TRUE(session_moves_right(&self->s));
}

TEST_F(reinit, written_after_an_erase_is_dirty)
{
	struct source *src = &self->src;

	source_put(src, 10, 5);
	session_begin(&self->s, src);
	DRAINED({ DATA, 10, 5 });
	source_erase(src);
	/* Where data was, beside it, in another chunk.  The hole is sent first. */
	source_put(src, 12, 1);
	source_put(src, 20, 1);
	source_put(src, 600, 1);
	INFO_IS(REINIT, 0, HOLE_BYTES, 3 * RUN_BYTES(1));
	/* A part of one: the rest of it reads as zeroes */
	source_write(src, 14 * PAGE + LBA, LBA);
	INFO_IS(0, 0, HOLE_BYTES, 4 * RUN_BYTES(1));
	/* A write that is deallocated again leaves a hole of its own */
	source_punch(src, 12, 1);
	INFO_IS(0, 0, HOLE_BYTES, 3 * RUN_BYTES(1) + HOLE_BYTES);
	/* Nothing is there to be deallocated */
	source_punch(src, 10, 1);
	INFO_IS(0, 0, HOLE_BYTES, 3 * RUN_BYTES(1) + HOLE_BYTES);
	DRAINED(ALL, { HOLE, 12, 1 }, { DATA, 14, 1 }, { DATA, 20, 1 }, { DATA, 600, 1 });
	EXPECT_TRUE(session_copied_right(&self->s));
	source_put(src, 10, 1);
	DRAINED({ DATA, 10, 1 });
	EXPECT_TRUE(session_moves_right(&self->s));
}

TEST_F(reinit, each_erase_is_an_event)
{
	struct source *src = &self->src;

	source_put(src, 10, 4);
	session_begin(&self->s, src);
	DRAINED({ DATA, 10, 4 });
	source_erase(src);
	INFO_IS(REINIT, 0, HOLE_BYTES, 0);
	/* Nothing new to the destination */
	source_erase(src);
	INFO_IS(0, 0, HOLE_BYTES, 0);
	source_put(src, 11, 2);
	source_erase(src);
	INFO_IS(0, 0, HOLE_BYTES, 0);
	source_put(src, 12, 1);
	source_put(src, 300, 1);
	source_erase(src);
	INFO_IS(0, 0, HOLE_BYTES, 0);
	DRAINED(ALL);
	source_erase(src);
	INFO_IS(0, 0, 0, 0);
	DRAINED_NOTHING();
	/* What was written since, and not sent, the destination need not forget */
	source_put(src, 5, 1);
	source_erase(src);
	INFO_IS(0, 0, 0, 0);
	source_put(src, 5, 1);
	source_put(src, 7, 1);
	precopy_read(self->s.fd, &self->s.blob, RUN_BYTES(1));
	source_erase(src);
	INFO_IS(REINIT, 0, HOLE_BYTES, 0);
	INFO_IS(0, 0, HOLE_BYTES, 0);
	DRAINED(ALL);
	EXPECT_TRUE(session_copied_right(&self->s));
	/* Two of them at once are told of once */
	source_put(src, 5, 1);
	DRAINED({ DATA, 5, 1 });
	source_erase(src);
	source_put(src, 7, 1);
	source_erase(src);
	INFO_IS(REINIT, 0, HOLE_BYTES, 0);
	INFO_IS(0, 0, HOLE_BYTES, 0);
	EXPECT_TRUE(session_moves_right(&self->s));
}

/* REINIT says that new initial data is there: not so if it was read before the user asked */
TEST_F(reinit, event_is_over_when_its_data_was_read)
{
	struct source *src = &self->src;

	source_put(src, 10, 4);
	session_begin(&self->s, src);
	DRAINED({ DATA, 10, 4 });
	source_erase(src);
	precopy_read(self->s.fd, &self->s.blob, HOLE_BYTES);
	INFO_IS(0, 0, 0, 0);
	/* A dirty record that began after it stays one */
	source_put(src, 10, 1);
	DRAINED({ DATA, 10, 1 });
	source_erase(src);
	precopy_read(self->s.fd, &self->s.blob, HOLE_BYTES);
	source_put(src, 10, 1);
	precopy_read(self->s.fd, &self->s.blob, RUN_BYTES(0));
	INFO_IS(0, 0, 0, PAGE);
	precopy_read(self->s.fd, &self->s.blob, PAGE);
	EXPECT_TRUE(session_moves_right(&self->s));
}

TEST_F(reinit, event_ends_with_its_session)
{
	struct source *src = &self->src;

	source_put(src, 10, 4);
	session_begin(&self->s, src);
	DRAINED({ DATA, 10, 4 });
	source_erase(src);
	session_end(&self->s);
	must(!mig_set(src->dev, RUNNING, NULL));
	source_put(src, 20, 1);
	source_erase(src);
	source_put(src, 30, 1);
	session_begin(&self->s, src);
	INFO_IS(0, RUN_BYTES(1), 0, 0);
	DRAINED({ DATA, 30, 1 });
	EXPECT_TRUE(session_moves_right(&self->s));
}

TEST_F(reinit, poll_wakes_for_an_erase)
{
	struct source *src = &self->src;
	struct poller poller;

	source_put(src, 10, 4);
	session_begin(&self->s, src);
	DRAINED({ DATA, 10, 4 });
	EXPECT_EQ(poll_now(self->s.fd), 0);
	poller_start(&poller, self->s.fd);
	source_erase(src);
	EXPECT_TRUE(poller_end(&poller) & POLLIN);
	DRAINED(ALL);
	EXPECT_EQ(poll_now(self->s.fd), 0);
}

TEST_F(reinit, stop_copy_at_once)
{
	struct source *src = &self->src;

	source_put(src, 10, 4);
	source_put(src, 300, 4);
	session_begin(&self->s, src);
	precopy_read(self->s.fd, &self->s.blob, RUN_BYTES(4) - 1);
	source_erase(src);
	source_put(src, 11, 1);
	EXPECT_TRUE(session_moves_right(&self->s));
}

/* Each read takes from what is announced just what it reads; none of it is lost */
TEST_F_TIMEOUT(reinit, random_mix, 120)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 0, 40);
	session_begin(s, src);
	for (unsigned int i = 0; i < 400; i++) {
		u64 r = next_random(&src->seed);
		u64 granule = r / 16 % 1000, count = 1 + r / 65536 % 20, left;

		switch (r % 16) {
		case 0:
			source_erase(src);
			break;
		case 1 ... 3:
			source_punch(src, granule, count);
			break;
		case 4 ... 9:
			source_put(src, granule, 1 + count / 5);
			break;
		default:
			left = precopy_left(s->fd);
			if (!left)
				break;
			count = 1 + (r >> 32) % (i % 4 ? 3000 : 100000);
			count = count < left ? count : left;
			precopy_read(s->fd, &s->blob, count);
			ASSERT_EQ(precopy_left(s->fd), left - count);
		}
	}
	EXPECT_TRUE(session_moves_right(s));
}

TEST_HARNESS_MAIN
