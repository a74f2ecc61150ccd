// SPDX-License-Identifier: GPL-2.0-only
/*
 * The migration stream from end to end: what a device writes is well-formed, and
 * makes another one the same device, in pieces of whatever size.
 */
#include <errno.h>
#include <poll.h>

#include "rig.h"

#include "harness.h"

#define MEDIUM		MIB(1)

/* Two VFs of 1 MiB; the stream of VF 0, which has two runs of data on it */
FIXTURE(stream)
{
	struct rig rig;
	struct blob blob;
	struct stream_record records[STREAM_MAX_RECORDS];
	unsigned int n;
	u8 *medium;	/* what VF 0 has on it */
	u8 *buf;	/* as large, in the arena */
};

FIXTURE_VARIANT(stream)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(stream, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(stream, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(stream)
{
	struct pf_vfs vfs = { .count = 2 };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 2);
	struct rig *rig = &self->rig;

	if (why)
		SKIP(return, "%s", why);
	rig_start(rig);
	self->buf = arena_alloc(&rig->mem, MEDIUM);
	self->medium = arena_alloc(&rig->mem, MEDIUM);
	fill_pattern(self->medium + 2 * PAGE, 3 * PAGE, 1);
	fill_pattern(self->medium + MEDIUM - PAGE, PAGE, 2);
	nvme_write_bytes(&rig->nvme, 2 * PAGE, self->medium + 2 * PAGE, 3 * PAGE);
	nvme_write_bytes(&rig->nvme, MEDIUM - PAGE, self->medium + MEDIUM - PAGE, PAGE);
	mig_save(&rig->dev[0], &self->blob);
	self->n = stream_parse(&self->blob, self->records);
	ASSERT_NE(self->n, 0);
}

FIXTURE_TEARDOWN(stream)
{
	blob_free(&self->blob);
	rig_close(&self->rig);
}

static bool medium_is(struct rig *rig, u8 *buf, const u8 *expected)
{
	memset(buf, 0xee, MEDIUM);
	nvme_read_bytes(&rig->nvme, 0, buf, MEDIUM);
	return !memcmp(buf, expected, MEDIUM);
}

TEST_F(stream, records_say_what_is_there)
{
	struct vfmig_identity *id = self->records[0].payload;
	struct vfmig_nvme_identity *nvme = (void *)id->model_data;
	struct vfmig_end *end = self->records[self->n - 1].payload;
	struct vfmig_extent *extent;

	EXPECT_EQ(id->magic, VFMIG_STREAM_MAGIC);
	EXPECT_EQ(id->version_major, VFMIG_STREAM_VERSION_MAJOR);
	EXPECT_EQ(id->version_minor, VFMIG_STREAM_VERSION_MINOR);
	EXPECT_EQ(id->granule, VFMIG_GRANULE);
	EXPECT_EQ(id->model_version, 4);
	EXPECT_EQ(strncmp(id->model, "nvme", sizeof(id->model)), 0);
	EXPECT_EQ(id->memory_size, MEDIUM);
	ASSERT_EQ(id->model_data_length, sizeof(*nvme));
	EXPECT_EQ(nvme->lba_shift, 9);
	EXPECT_EQ(nvme->queues, 32);
	EXPECT_EQ(nvme->vectors, 33);
	EXPECT_EQ(nvme->reserved, 0);

	/* Only what is allocated, neighbours together, no holes in a first copy */
	ASSERT_EQ(self->n, 5);
	extent = self->records[1].payload;
	EXPECT_EQ(self->records[1].header->type, VFMIG_RECORD_MEMORY);
	EXPECT_EQ(extent->offset, 2 * PAGE);
	EXPECT_EQ(extent->length, 3 * PAGE);
	EXPECT_TRUE(is_pattern(extent + 1, 3 * PAGE, 1));
	extent = self->records[2].payload;
	EXPECT_EQ(self->records[2].header->type, VFMIG_RECORD_MEMORY);
	EXPECT_EQ(extent->offset, MEDIUM - PAGE);
	EXPECT_EQ(extent->length, PAGE);
	EXPECT_TRUE(is_pattern(extent + 1, PAGE, 2));

	for (unsigned int i = 0; i < self->n; i++)
		EXPECT_TRUE(self->records[i].header->flags & VFMIG_RECORD_MANDATORY);
	EXPECT_EQ(end->bytes, self->records[self->n - 1].offset);
	EXPECT_EQ(end->records, self->n - 1);
}

TEST_F(stream, data_size_counts_down_as_it_is_read)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u64 size, left;
	u8 buf[1000];
	ssize_t n;
	int fd;

	ASSERT_EQ(mig_set(dev, STOP, NULL), 0);
	ASSERT_EQ(mig_size(dev, &size), 0);
	EXPECT_EQ(size, self->blob.len);
	ASSERT_EQ(mig_set(dev, STOP_COPY, &fd), 0);
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		ASSERT_GE(size, (u64)n);
		size -= n;
		ASSERT_EQ(mig_size(dev, &left), 0);
		if (size)
			ASSERT_EQ(left, size);
		EXPECT_GT(left, 0);
	}
	EXPECT_EQ(n, 0);
	EXPECT_EQ(size, 0);
	close(fd);
}

TEST_F(stream, same_device_gives_the_same_stream_again)
{
	struct blob again = {};

	mig_save(&self->rig.dev[0], &again);
	EXPECT_TRUE(blob_equal(&again, &self->blob));
	blob_free(&again);
}

TEST_F(stream, end_is_read_again_and_again)
{
	struct pollfd pfd = { .events = POLLIN };
	struct blob again = {};
	u8 byte;

	ASSERT_EQ(mig_set(&self->rig.dev[0], STOP_COPY, &pfd.fd), 0);
	ASSERT_EQ(mig_read(pfd.fd, &again, KIB(64)), 0);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(read(pfd.fd, &byte, 1), 0);
		EXPECT_EQ(poll(&pfd, 1, 0), 1);
		EXPECT_TRUE(pfd.revents & POLLIN);
	}
	close(pfd.fd);
	blob_free(&again);
}

TEST_F(stream, bad_buffer_loses_no_byte)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	struct blob again = {};
	u8 *two = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ssize_t n;
	int fd;

	ASSERT_NE(two, MAP_FAILED);
	ASSERT_EQ(mprotect(two + PAGE, PAGE, PROT_NONE), 0);
	ASSERT_EQ(mig_set(dev, STOP_COPY, &fd), 0);
	EXPECT_EQ(read(fd, bad_address(), PAGE), -1);
	EXPECT_EQ(errno, EFAULT);
	/* Room for 100 bytes, then none: what was taken is reported, or nothing was */
	n = read(fd, two + PAGE - 100, PAGE);
	if (n > 0)
		blob_append(&again, two + PAGE - 100, n);
	else
		EXPECT_EQ(errno, EFAULT);
	EXPECT_LE(n, 100);
	EXPECT_EQ(mig_read(fd, &again, MIB(1)), 0);
	EXPECT_TRUE(blob_equal(&again, &self->blob));
	close(fd);
	blob_free(&again);
	munmap(two, 2 * PAGE);
}

TEST_F(stream, moved_device_is_the_same_device)
{
	struct rig *rig = &self->rig;
	struct blob again = {};
	u8 *id = arena_alloc(&rig->mem, 4 * PAGE);
	u8 *smart = arena_alloc(&rig->mem, 2 * PAGE);
	u32 value;

	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	ASSERT_EQ(nvme_set_feature(&rig->nvme, 0x04, 0x150), 0);
	ASSERT_EQ(nvme_set_feature(&rig->nvme, 0x0b, 0x3), 0);
	ASSERT_EQ(nvme_identify(&rig->nvme, 1, 0, id), 0);
	ASSERT_EQ(nvme_identify(&rig->nvme, 0, 1, id + PAGE), 0);
	ASSERT_EQ(nvme_get_log(&rig->nvme, 2, smart, 512), 0);
	mig_save(&rig->dev[0], &self->blob);
	rig_land(rig, &self->blob, STOP);
	mig_save(&rig->dev[1], &again);
	EXPECT_TRUE(blob_equal(&again, &self->blob));
	blob_free(&again);
	ASSERT_EQ(mig_set(&rig->dev[1], RUNNING, NULL), 0);

	EXPECT_TRUE(medium_is(rig, self->buf, self->medium));
	EXPECT_EQ(nvme_identify(&rig->nvme, 1, 0, id + 2 * PAGE), 0);
	EXPECT_EQ(nvme_identify(&rig->nvme, 0, 1, id + 3 * PAGE), 0);
	EXPECT_EQ(memcmp(id, id + 2 * PAGE, 2 * PAGE), 0);
	EXPECT_EQ(nvme_get_feature(&rig->nvme, 0x04, &value), 0);
	EXPECT_EQ(value, 0x150);
	EXPECT_EQ(nvme_get_feature(&rig->nvme, 0x0b, &value), 0);
	EXPECT_EQ(value, 0x3);
	/* Host write commands: none since */
	EXPECT_EQ(nvme_get_log(&rig->nvme, 2, smart + PAGE, 512), 0);
	EXPECT_EQ(memcmp(smart + 80, smart + PAGE + 80, 16), 0);
	EXPECT_FALSE(is_filled(smart + 80, 16, 0));
}

/*
 * Version 1.0 of the format has no CRC of an extent.  Old versions of the device are another
 * matter: see digest_test.
 */
TEST_F(stream, old_version_of_the_format_is_taken)
{
	struct rig *rig = &self->rig;
	struct vfmig_identity *id = self->records[0].payload;

	id->version_minor = 0;
	for (unsigned int i = 0; i < self->n; i++) {
		struct vfmig_record *header = self->records[i].header;

		stream_seal(header);
		if (header->type != VFMIG_RECORD_MEMORY)
			continue;
		header->payload_crc = 0;
		header->header_crc = crc32c(header, offsetof(struct vfmig_record, header_crc));
	}
	rig_land(rig, &self->blob, RUNNING);
	EXPECT_TRUE(medium_is(rig, self->buf, self->medium));
}

#define CHECKED	(VFMIG_RECORD_MANDATORY | VFMIG_RECORD_PAYLOAD_CRC)

/* The state in pieces, with the memory between them and another identity: version 1.2 */
TEST_F(stream, state_comes_in_pieces_between_memory)
{
	struct stream_record *state = stream_find(self->records, self->n, VFMIG_RECORD_STATE);
	u64 length = state->header->length, done = 0;
	struct rig *rig = &self->rig;
	struct blob pieces = {};

	stream_add_record(&pieces, &self->records[0]);
	for (unsigned int i = 1; i < self->n - 2; i++) {
		u64 piece = (length - done) / 3;

		stream_add(&pieces, VFMIG_RECORD_STATE, CHECKED,
			   state->payload + done, piece);
		done += piece;
		stream_add_record(&pieces, &self->records[i]);
		stream_add_record(&pieces, &self->records[0]);
	}
	stream_add(&pieces, VFMIG_RECORD_STATE, CHECKED, state->payload + done,
		   length - done);
	stream_add_end(&pieces);

	rig_land(rig, &pieces, RUNNING);
	EXPECT_TRUE(medium_is(rig, self->buf, self->medium));
	blob_free(&pieces);
}

TEST_F(stream, what_the_destination_had_is_gone)
{
	struct rig *rig = &self->rig;
	struct nvme dst;

	/* Data on the destination where the source has none */
	nvme_init(&dst, &rig->dev[1], &rig->mem);
	ASSERT_EQ(nvme_create_io(&dst, 1, 16, -1), 0);
	fill_pattern(self->buf, MEDIUM, 9);
	nvme_write_bytes(&dst, 0, self->buf, MEDIUM);
	rig_land(rig, &self->blob, RUNNING);
	EXPECT_TRUE(medium_is(rig, self->buf, self->medium));
	EXPECT_EQ(vf_media_allocated(rig->dev[1].bdf), 4 * PAGE);
}

/* CC.MPS is for a disabled controller: a guest must not make its own stream refused */
TEST_F(stream, page_size_that_an_enabled_controller_ignores_does_not_move)
{
	struct rig *rig = &self->rig;
	u32 cc;

	must(!mig_set(&rig->dev[0], RUNNING, NULL));
	cc = bar_read32(&rig->dev[0], NVME_CC);
	bar_write32(&rig->dev[0], NVME_CC, cc | 5 << 7);
	EXPECT_EQ(bar_read32(&rig->dev[0], NVME_CC), cc);
	rig_move(rig, RUNNING);
	EXPECT_EQ(bar_read32(&rig->dev[1], NVME_CC), cc);
	EXPECT_TRUE(medium_is(rig, self->buf, self->medium));
}

TEST_F(stream, vfs_move_side_by_side)
{
	struct rig *rig = &self->rig;
	struct blob one = {};
	u8 a[5000], b[5000];
	int fd[2];
	ssize_t n;

	/* Two sessions at a time, read in turns */
	ASSERT_EQ(mig_set(&rig->dev[0], STOP_COPY, &fd[0]), 0);
	ASSERT_EQ(mig_set(&rig->dev[1], STOP_COPY, &fd[1]), 0);
	do {
		EXPECT_GE(read(fd[1], b, sizeof(b)), 0);
		n = read(fd[0], a, sizeof(a));
		ASSERT_GE(n, 0);
		blob_append(&one, a, n);
	} while (n);
	EXPECT_TRUE(blob_equal(&one, &self->blob));
	close(fd[0]);
	close(fd[1]);
	blob_free(&one);
}

TEST_F(stream, vmm_may_close_the_fd_before_it_leaves_resuming)
{
	struct rig *rig = &self->rig;
	int fd;

	ASSERT_EQ(mig_set(&rig->dev[1], RESUMING, &fd), 0);
	ASSERT_EQ(mig_write(fd, self->blob.data, self->blob.len, KIB(32)), 0);
	ASSERT_EQ(close(fd), 0);
	EXPECT_EQ(mig_get(&rig->dev[1]), RESUMING);
	vfio_bus_master(&rig->dev[1], true);
	EXPECT_EQ(mig_set(&rig->dev[1], RUNNING, NULL), 0);
	rig->nvme.dev = &rig->dev[1];
	EXPECT_TRUE(medium_is(rig, self->buf, self->medium));
}

TEST_F(stream, config_irqs_and_bars_work_in_resuming)
{
	struct rig *rig = &self->rig;
	struct vfio_dev *dst = &rig->dev[1];
	int fd;

	ASSERT_EQ(mig_set(dst, RESUMING, &fd), 0);
	vfio_bus_master(dst, false);
	ASSERT_EQ(mig_write(fd, self->blob.data, self->blob.len, KIB(32)), 0);
	/* Bus master is the VMM's, not the stream's */
	EXPECT_EQ(cfg_read(dst, 4, 2) & 4, 0);
	vfio_bus_master(dst, true);
	EXPECT_EQ(cfg_read(dst, 4, 2) & 4, 4);
	rig_irqs(rig, 1);
	EXPECT_NE(bar_read64(dst, NVME_CAP), ~0ULL);
	EXPECT_FALSE(vfio_irq_pending(dst, 3));
	ASSERT_EQ(mig_set(dst, RUNNING, NULL), 0);
	close(fd);
	rig->nvme.dev = dst;
	EXPECT_TRUE(medium_is(rig, self->buf, self->medium));
	EXPECT_TRUE(event_wait(rig->irq[1]));
}

/* Streams cut in pieces of any size */
FIXTURE(pieces)
{
	struct rig rig;
	u8 *buf;
};

FIXTURE_VARIANT(pieces)
{
	enum iommu_mode mode;
	size_t read;
	size_t write;
};

FIXTURE_VARIANT_ADD(pieces, of_1)
{
	.mode = IOMMU_TYPE1,
	.read = 1,
	.write = 1,
};

FIXTURE_VARIANT_ADD(pieces, of_1_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.read = 1,
	.write = 1,
};

FIXTURE_VARIANT_ADD(pieces, of_7_and_4095)
{
	.mode = IOMMU_TYPE1,
	.read = 7,
	.write = 4095,
};

FIXTURE_VARIANT_ADD(pieces, of_7_and_4095_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.read = 7,
	.write = 4095,
};

FIXTURE_VARIANT_ADD(pieces, of_4097_and_13)
{
	.mode = IOMMU_TYPE1,
	.read = 4097,
	.write = 13,
};

FIXTURE_VARIANT_ADD(pieces, of_4097_and_13_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.read = 4097,
	.write = 13,
};

FIXTURE_VARIANT_ADD(pieces, of_32k_and_1m)
{
	.mode = IOMMU_TYPE1,
	.read = 32768,
	.write = 1048576,
};

FIXTURE_VARIANT_ADD(pieces, of_32k_and_1m_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.read = 32768,
	.write = 1048576,
};

FIXTURE_SETUP(pieces)
{
	struct pf_vfs vfs = { .count = 2 };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 2);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->buf = arena_alloc(&self->rig.mem, 2 * PAGE);
}

FIXTURE_TEARDOWN(pieces)
{
	rig_close(&self->rig);
}

TEST_F_TIMEOUT(pieces, round_trip, 60)
{
	struct rig *rig = &self->rig;
	struct blob blob = {}, whole = {};
	int fd;

	fill_pattern(self->buf, PAGE, 5);
	nvme_write_bytes(&rig->nvme, 3 * PAGE, self->buf, PAGE);
	mig_save(&rig->dev[0], &whole);
	ASSERT_EQ(mig_set(&rig->dev[0], STOP_COPY, &fd), 0);
	ASSERT_EQ(mig_read(fd, &blob, variant->read), 0);
	close(fd);
	EXPECT_TRUE(blob_equal(&blob, &whole));

	ASSERT_EQ(mig_set(&rig->dev[1], RESUMING, &fd), 0);
	ASSERT_EQ(mig_write(fd, blob.data, blob.len, variant->write), 0);
	ASSERT_EQ(mig_set(&rig->dev[1], STOP, NULL), 0);
	close(fd);
	mig_save(&rig->dev[1], &whole);
	EXPECT_TRUE(blob_equal(&blob, &whole));
	vfio_bus_master(&rig->dev[1], true);
	ASSERT_EQ(mig_set(&rig->dev[1], RUNNING, NULL), 0);
	rig->nvme.dev = &rig->dev[1];
	nvme_read_bytes(&rig->nvme, 2 * PAGE, self->buf, 2 * PAGE);
	EXPECT_TRUE(is_filled(self->buf, PAGE, 0));
	EXPECT_TRUE(is_pattern(self->buf + PAGE, PAGE, 5));
	blob_free(&blob);
	blob_free(&whole);
}

TEST_HARNESS_MAIN
