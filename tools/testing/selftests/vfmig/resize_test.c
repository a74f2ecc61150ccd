// SPDX-License-Identifier: GPL-2.0-only
/*
 * The administrator makes a VF's medium larger or smaller: what the guest sees, and
 * what a migration makes of it.  The source says in its stream what it is by now; the
 * destination goes along if it was resized too, and refuses if not.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "source.h"

#include "harness.h"

#define MEDIA_MB		4
#define GRANULES_PER_MB		256
#define REINIT			VFIO_PRECOPY_INFO_REINIT
#define NS_ATTR_EVENTS		0x100
#define LOG_CHANGED_NS		4

FIXTURE(resize)
{
	struct source src;
	struct session s;
};

FIXTURE_VARIANT(resize)
{
	enum iommu_mode mode;
	bool v2;
};

FIXTURE_VARIANT_ADD(resize, v1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(resize, v1_iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_VARIANT_ADD(resize, v2)
{
	.mode = IOMMU_TYPE1,
	.v2 = true,
};

FIXTURE_VARIANT_ADD(resize, v2_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.v2 = true,
};

/* 0 or -errno */
static int resize(const char *bdf, unsigned int mb)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", mb);
	return file_write(vf_debugfs(bdf, "media_mb"), text);
}

static void resize_both(const char *pf, unsigned int mb)
{
	char bdf[BDF_SIZE];

	for (unsigned int i = 0; i < 2; i++) {
		must(pf_vf(pf, i, bdf));
		must(!resize(bdf, mb));
	}
}

FIXTURE_SETUP(resize)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = MEDIA_MB };
	char pf[BDF_SIZE];
	const char *why = pf_require(&vfs, pf);

	if (why)
		SKIP(return, "%s", why);
	/* A test that failed may have left them otherwise */
	resize_both(pf, MEDIA_MB);
	why = source_open(&self->src, variant->mode, MEDIA_MB);
	if (why)
		SKIP(return, "%s", why);
	if (variant->v2 && precopy_opt_in(self->src.dev))
		SKIP(return, "this kernel has no VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2");
}

FIXTURE_TEARDOWN(resize)
{
	session_end(&self->s);
	source_close(&self->src);
	resize_both(self->src.rig.pf, MEDIA_MB);
}

static void resize_source(struct source *src, unsigned int mb)
{
	u64 old = src->size;

	must(!resize(src->dev->bdf, mb));
	src->size = MIB(mb);
	src->rig.nvme.lbas = src->size / src->rig.nvme.lba_size;
	src->medium = realloc(src->medium, src->size);
	src->copy = realloc(src->copy, src->size);
	must(src->medium && src->copy);
	if (src->size > old) {
		memset(src->medium + old, 0, src->size - old);
		memset(src->copy + old, 0, src->size - old);
	}
}

static void resize_destination(struct source *src, unsigned int mb)
{
	char bdf[BDF_SIZE];

	must(pf_vf(src->rig.pf, 1, bdf));
	must(!resize(bdf, mb));
}

static void begin_and_drain(struct session *s, struct source *src)
{
	u64 bytes;

	session_begin(s, src);
	must(session_drains_right(s, &bytes));
}

#define INFO_IS(...)	EXPECT_TRUE(session_info_is(&self->s, variant->v2, __VA_ARGS__))

/* The record at @pos is an identity, of a medium of @mb */
static bool is_identity_of(const struct blob *blob, size_t pos, unsigned int mb)
{
	struct stream_record record;
	struct vfmig_identity *id;

	must(stream_next(blob, &pos, &record) > 0);
	id = record.payload;
	return record.header->type == VFMIG_RECORD_IDENTITY && id->memory_size == MIB(mb);
}

/*
 * STOP_COPY and all the rest: as much as was announced, and @medium at a destination
 * that is resized to @mb when it has the first @split bytes?
 */
static bool lands_right(struct session *s, size_t split, unsigned int mb)
{
	struct source *src = s->src;
	struct vfio_dev *dst = rig_second(&src->rig);
	size_t before = s->blob.len;
	u64 size;
	int fd;

	must(!mig_set(src->dev, STOP_COPY, NULL));
	must(!mig_size(src->dev, &size));
	must(!mig_read(s->fd, &s->blob, KIB(100)));
	if (s->blob.len - before != size)
		note("%llu bytes announced, %zu read", size, s->blob.len - before);

	must(!mig_set(dst, RESUMING, &fd));
	must(!mig_write(fd, s->blob.data, split, 1000));
	resize_destination(src, mb);
	must(!mig_write(fd, s->blob.data + split, s->blob.len - split, 1000));
	close(fd);
	must(!mig_set(dst, STOP, NULL));
	stream_medium(dst, src->copy, src->size);
	return s->blob.len - before == size && !memcmp(src->copy, src->medium, src->size);
}

static u64 blocks_of_namespace(struct source *src)
{
	u64 blocks;

	must(!nvme_identify(&src->rig.nvme, 0, 1, src->buf));
	memcpy(&blocks, src->buf, sizeof(blocks));
	return blocks;
}

TEST_F(resize, guest_sees_another_size)
{
	struct nvme_cmd aer = { .opcode = NVME_AER };
	struct nvme *nvme = &self->src.rig.nvme;
	struct source *src = &self->src;
	struct nvme_cqe cqe;
	u16 cid;

	source_put(src, 10, 2);
	source_put(src, 3 * GRANULES_PER_MB + 7, 2);
	ASSERT_EQ(nvme_set_feature(nvme, 0x0b, NS_ATTR_EVENTS), 0);
	cid = nvme_submit(nvme, &nvme->admin, &aer);
	nvme_ring(nvme, &nvme->admin);
	resize_source(src, 6);
	/* Notice, namespace attribute changed, log page */
	ASSERT_EQ(nvme_wait(nvme, &nvme->admin, cid, &cqe), 0);
	EXPECT_EQ(cqe.dw0, LOG_CHANGED_NS << 16 | 2);
	ASSERT_EQ(nvme_get_log(nvme, LOG_CHANGED_NS, src->buf, PAGE), 0);
	EXPECT_EQ(((u32 *)src->buf)[0], 1);
	EXPECT_EQ(((u32 *)src->buf)[1], 0);
	ASSERT_EQ(nvme_get_log(nvme, LOG_CHANGED_NS, src->buf, PAGE), 0);
	EXPECT_EQ(((u32 *)src->buf)[0], 0);

	EXPECT_EQ(blocks_of_namespace(src), src->size / nvme->lba_size);
	source_put(src, 5 * GRANULES_PER_MB, 1);
	EXPECT_TRUE(source_reads_right(src));
	/* What goes is gone, for good */
	resize_source(src, 2);
	EXPECT_EQ(blocks_of_namespace(src), src->size / nvme->lba_size);
	EXPECT_EQ(vf_media_allocated(src->dev->bdf), 2 * PAGE);
	EXPECT_EQ(nvme_rw(nvme, &nvme->io[1], NVME_READ, nvme->lbas, 1, src->buf),
		  NVME_LBA_OUT_OF_RANGE);
	EXPECT_TRUE(source_reads_right(src));
	resize_source(src, 6);
	EXPECT_TRUE(source_reads_right(src));
}

TEST_F(resize, nonsense_is_refused)
{
	EXPECT_EQ(resize(self->src.dev->bdf, 0), -EINVAL);
	EXPECT_EQ(resize(self->src.dev->bdf, 0xffffffff), -EINVAL);
	EXPECT_EQ(file_u64(vf_debugfs(self->src.dev->bdf, "media_mb"), 0), MEDIA_MB);
}

TEST_F(resize, larger_in_precopy)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	size_t at;
	u64 n;

	source_put(src, 10, 4);
	begin_and_drain(s, src);
	resize_source(src, 6);
	INFO_IS(REINIT, 0, IDENTITY_BYTES, 0);
	INFO_IS(0, 0, IDENTITY_BYTES, 0);
	source_put(src, 5 * GRANULES_PER_MB, 2);
	INFO_IS(0, 0, IDENTITY_BYTES, RUN_BYTES(2));
	at = s->blob.len;
	precopy_read(s->fd, &s->blob, 10);
	INFO_IS(0, 0, IDENTITY_BYTES - 10, RUN_BYTES(2));
	EXPECT_TRUE(session_drains_right(s, &n));
	EXPECT_TRUE(is_identity_of(&s->blob, at, 6));
	EXPECT_TRUE(session_copied_right(s));
	EXPECT_TRUE(lands_right(s, at, 6));
}

TEST_F(resize, smaller_in_precopy)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	size_t at;

	source_put(src, 10, 4);
	source_put(src, 3 * GRANULES_PER_MB, 4);
	begin_and_drain(s, src);
	at = s->blob.len;
	source_put(src, 11, 1);
	source_put(src, 3 * GRANULES_PER_MB, 1);
	source_drop(src, (3 * GRANULES_PER_MB + 2) * PAGE, PAGE);
	INFO_IS(0, 0, 0, 2 * RUN_BYTES(1) + HOLE_BYTES);
	/* What was dirty is new initial data, what lay beyond is nothing */
	resize_source(src, 2);
	INFO_IS(REINIT, 0, IDENTITY_BYTES + RUN_BYTES(1), 0);
	source_put(src, 12, 1);
	INFO_IS(0, 0, IDENTITY_BYTES + RUN_BYTES(1), RUN_BYTES(1));
	/* Is in what is to come anyway */
	source_put(src, 11, 1);
	INFO_IS(0, 0, IDENTITY_BYTES + RUN_BYTES(1), RUN_BYTES(1));
	EXPECT_TRUE(lands_right(s, at, 2));
}

TEST_F(resize, initial_data_stays_initial)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 4);
	source_put(src, 20, 2);
	source_put(src, 3 * GRANULES_PER_MB, 2);
	session_begin(s, src);
	precopy_read(s->fd, &s->blob, RUN_BYTES(1) + 7);
	INFO_IS(0, 3 * PAGE - 7 + 2 * RUN_BYTES(2), 0, 0);
	resize_source(src, 3);
	INFO_IS(REINIT, 3 * PAGE - 7 + RUN_BYTES(2), IDENTITY_BYTES, 0);
	source_put(src, 20, 1);
	source_put(src, 30, 1);
	INFO_IS(0, 3 * PAGE - 7 + RUN_BYTES(2), IDENTITY_BYTES, RUN_BYTES(1));
	EXPECT_TRUE(lands_right(s, s->blob.len, 3));
}

TEST_F(resize, in_the_middle_of_what_goes)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 3 * GRANULES_PER_MB, 4);
	session_begin(s, src);
	precopy_read(s->fd, &s->blob, RUN_BYTES(1) + 100);
	resize_source(src, 2);
	INFO_IS(REINIT, 3 * PAGE - 100, IDENTITY_BYTES, 0);
	/* The destination may be ahead of its stream */
	EXPECT_TRUE(lands_right(s, IDENTITY_BYTES, 2));
}

TEST_F(resize, smaller_and_larger_again)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 1);
	source_put(src, 3 * GRANULES_PER_MB, 4);
	begin_and_drain(s, src);
	resize_source(src, 2);
	INFO_IS(REINIT, 0, IDENTITY_BYTES, 0);
	source_put(src, 10, 1);
	resize_source(src, 4);
	/* The destination never hears of the size, but of what was lost */
	INFO_IS(REINIT, 0, HOLE_BYTES + RUN_BYTES(1), 0);
	source_put(src, 3 * GRANULES_PER_MB + 1, 1);
	INFO_IS(0, 0, HOLE_BYTES + RUN_BYTES(1), RUN_BYTES(1));
	EXPECT_TRUE(lands_right(s, 0, 4));
}

/* What is beyond the end of a medium is not erased with it, and forgotten nevertheless */
TEST_F(resize, erased_while_smaller)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 1);
	source_put(src, 3 * GRANULES_PER_MB, 4);
	begin_and_drain(s, src);
	for (unsigned int i = 0; i < 2; i++) {
		resize_source(src, 2);
		resize_source(src, 4);
		INFO_IS(REINIT, 0, HOLE_BYTES, 0);
	}
	resize_source(src, 2);
	source_erase(src);
	INFO_IS(REINIT, 0, IDENTITY_BYTES + HOLE_BYTES, 0);
	resize_source(src, 4);
	INFO_IS(REINIT, 0, HOLE_BYTES, 0);
	source_put(src, 3 * GRANULES_PER_MB + 1, 1);
	INFO_IS(0, 0, HOLE_BYTES, RUN_BYTES(1));
	EXPECT_TRUE(lands_right(s, 0, 4));
}

TEST_F(resize, both_follow_each_step)
{
	static const unsigned int steps[] = { 2, 5, 1, 4 };
	struct source *src = &self->src;
	struct session *s = &self->s;
	struct vfio_dev *dst = rig_second(&src->rig);
	size_t written = 0;
	int fd;
	u64 n;

	must(!mig_set(dst, RESUMING, &fd));
	source_put(src, 10, 4);
	source_put(src, 3 * GRANULES_PER_MB, 4);
	session_begin(s, src);
	for (unsigned int i = 0; i < ARRAY_SIZE(steps); i++) {
		u64 last;

		EXPECT_TRUE(session_drains_right(s, &n));
		ASSERT_EQ(mig_write(fd, s->blob.data + written, s->blob.len - written, 1000), 0);
		written = s->blob.len;
		resize_destination(src, steps[i]);
		resize_source(src, steps[i]);
		last = src->size / PAGE - 2;
		source_put(src, last, 1);
	}
	must(!mig_set(src->dev, STOP_COPY, NULL));
	must(!mig_read(s->fd, &s->blob, KIB(100)));
	ASSERT_EQ(mig_write(fd, s->blob.data + written, s->blob.len - written, 1000), 0);
	must(!mig_set(dst, STOP, NULL));
	stream_medium(dst, src->copy, src->size);
	EXPECT_EQ(memcmp(src->copy, src->medium, src->size), 0);
	close(fd);
}

TEST_F(resize, destination_that_was_not_resized_refuses)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	struct vfio_dev *dst = rig_second(&src->rig);
	size_t before;
	int fd;

	must(!mig_set(dst, RESUMING, &fd));
	source_put(src, 10, 4);
	begin_and_drain(s, src);
	ASSERT_EQ(mig_write(fd, s->blob.data, s->blob.len, MIB(1)), 0);
	before = s->blob.len;
	resize_source(src, 6);
	precopy_read(s->fd, &s->blob, IDENTITY_BYTES);
	/* At its last byte */
	EXPECT_EQ(mig_write(fd, s->blob.data + before, IDENTITY_BYTES - 1, MIB(1)), 0);
	EXPECT_EQ(mig_write(fd, s->blob.data + s->blob.len - 1, 1, 1), -EINVAL);
	close(fd);
	/* The source runs on */
	must(!mig_set(src->dev, RUNNING, NULL));
	source_put(src, 5 * GRANULES_PER_MB, 1);
	EXPECT_TRUE(source_reads_right(src));
}

TEST_F(resize, destination_alone_is_refused)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	struct vfio_dev *dst = rig_second(&src->rig);
	size_t half;
	int fd;

	source_put(src, 10, 4);
	source_put(src, 3 * GRANULES_PER_MB, 4);
	begin_and_drain(s, src);
	half = s->blob.len;
	must(!mig_set(src->dev, STOP_COPY, NULL));
	must(!mig_read(s->fd, &s->blob, KIB(100)));

	/* To another size; and to another one and back, which lost what lay beyond */
	for (unsigned int back = 0; back < 2; back++) {
		must(!mig_set(dst, RESUMING, &fd));
		ASSERT_EQ(mig_write(fd, s->blob.data, half, MIB(1)), 0);
		resize_destination(src, 2);
		if (back)
			resize_destination(src, 4);
		EXPECT_EQ(mig_write(fd, s->blob.data + half, s->blob.len - half, MIB(1)), -EINVAL);
		close(fd);
		vfio_reset(dst);
		resize_destination(src, 4);
	}
	EXPECT_TRUE(source_lands_right(src, &s->blob));
}

TEST_F(resize, stopped_source_stays_as_it_is)
{
	struct source *src = &self->src;
	struct session *s = &self->s;

	source_put(src, 10, 4);
	session_begin(s, src);
	must(!mig_set(src->dev, STOP_COPY, NULL));
	EXPECT_EQ(resize(src->dev->bdf, 6), -EBUSY);
	must(!mig_set(src->dev, STOP, NULL));
	EXPECT_EQ(resize(src->dev->bdf, 6), 0);
}

TEST_F(resize, quiesced_source_says_so_before_its_state)
{
	struct source *src = &self->src;
	struct session *s = &self->s;
	size_t at;

	source_put(src, 10, 4);
	begin_and_drain(s, src);
	must(!mig_set(src->dev, PRE_COPY_P2P, NULL));
	resize_source(src, 5);
	at = s->blob.len;
	EXPECT_TRUE(lands_right(s, at, 5));
	EXPECT_TRUE(is_identity_of(&s->blob, at, 5));
}

TEST_HARNESS_MAIN
