// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parameter data_crc of the variant driver: device memory that is read in STOP_COPY has
 * a CRC of its data, which a destination checks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source.h"

#include "harness.h"

/* A source with two runs on its medium, and data_crc on */
FIXTURE(data_crc)
{
	struct source src;
	struct session s;
	struct blob blob;
	struct stream_record records[STREAM_MAX_RECORDS];
	unsigned int n;
	bool changed, was_on;
};

FIXTURE_VARIANT(data_crc)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(data_crc, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(data_crc, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(data_crc)
{
	const char *why = source_open_with_runs(&self->src, variant->mode);

	if (why)
		SKIP(return, "%s", why);
	self->was_on = mig_data_crc();
	self->changed = true;
	mig_set_data_crc(true);
}

FIXTURE_TEARDOWN(data_crc)
{
	if (self->changed)
		mig_set_data_crc(self->was_on);
	session_end(&self->s);
	blob_free(&self->blob);
	source_close(&self->src);
}

/* The source's STOP_COPY stream and its records */
#define SAVE() do { \
	mig_save(self->src.dev, &self->blob); \
	self->n = stream_parse(&self->blob, self->records); \
	ASSERT_NE(self->n, 0); \
} while (0)

static bool has_crc(const struct stream_record *record)
{
	return record->header->flags & VFMIG_RECORD_PAYLOAD_CRC;
}

/*
 * Has each MEMORY record from byte @from to byte @to of @blob a CRC of its data, if @crc is
 * set, or none of them?  False too if there is no such record.
 */
static bool memory_has(const struct blob *blob, size_t from, size_t to, bool crc)
{
	struct stream_record record;
	unsigned int seen = 0;

	while (from < to && stream_next(blob, &from, &record) > 0) {
		if (record.header->type != VFMIG_RECORD_MEMORY)
			continue;
		if (has_crc(&record) != crc) {
			note("record at %zu: flags %#x", record.offset, record.header->flags);
			return false;
		}
		seen++;
	}
	return seen;
}

/* stream_parse() finds that the CRCs are right */
TEST_F(data_crc, memory_of_a_stopped_device_has_one)
{
	struct source *src = &self->src;

	SAVE();
	EXPECT_TRUE(memory_has(&self->blob, 0, self->blob.len, true));
	EXPECT_TRUE(source_lands_right(src, &self->blob));
}

TEST_F(data_crc, largest_record_has_one)
{
	struct source *src = &self->src;

	source_write(src, 0, MIB(1));
	SAVE();
	ASSERT_EQ(self->records[1].header->length, sizeof(struct vfmig_extent) + MIB(1));
	EXPECT_TRUE(has_crc(&self->records[1]));
	EXPECT_TRUE(source_lands_right(src, &self->blob));
}

TEST_F(data_crc, costs_no_byte)
{
	struct blob plain = {};
	u64 size;

	mig_set_data_crc(false);
	mig_save(self->src.dev, &plain);
	EXPECT_TRUE(memory_has(&plain, 0, plain.len, false));
	mig_set_data_crc(true);
	ASSERT_EQ(mig_size(self->src.dev, &size), 0);
	SAVE();
	EXPECT_EQ(size, self->blob.len);
	EXPECT_EQ(plain.len, self->blob.len);
	blob_free(&plain);
}

/* RESUMING, with the first @len bytes of @blob written, and a reset: what write() said */
static int load_part(struct vfio_dev *dst, const struct blob *blob, size_t len)
{
	int err, fd;

	must(!mig_set(dst, RESUMING, &fd));
	err = mig_write(fd, blob->data, len, MIB(1));
	close(fd);
	must(!vfio_reset(dst));
	return err;
}

/* Anywhere in the data, at the last byte of the record that it is in */
TEST_F_TIMEOUT(data_crc, flipped_bit_of_data_is_refused, 60)
{
	struct vfio_dev *dst = rig_second(&self->src.rig);

	SAVE();
	for (unsigned int i = 1; i <= 2; i++) {
		struct stream_record *record = &self->records[i];
		size_t first = sizeof(struct vfmig_extent), last = record->header->length - 1;
		size_t at[] = { first, (first + last) / 2, last - PAGE / 2, last };
		size_t end = record->offset + record->size;
		u8 *payload = record->payload;

		ASSERT_EQ(record->header->type, VFMIG_RECORD_MEMORY);
		for (unsigned int n = 0; n < ARRAY_SIZE(at); n++) {
			payload[at[n]] ^= 1 << n;
			EXPECT_EQ(load_part(dst, &self->blob, end - 1), 0);
			EXPECT_EQ(load_part(dst, &self->blob, end), -EINVAL)
				TH_LOG("record %u, byte %zu", i, at[n]);
			payload[at[n]] ^= 1 << n;
		}
	}
	EXPECT_TRUE(source_lands_right(&self->src, &self->blob));
}

TEST_F(data_crc, refused_stream_changes_nothing)
{
	struct vfio_dev *dst = rig_second(&self->src.rig);
	u8 *before = calloc(2, self->src.size), *after = before + self->src.size;

	ASSERT_NE(before, NULL);
	SAVE();
	stream_medium(dst, before, self->src.size);
	((u8 *)self->records[1].payload)[PAGE] ^= 1;
	EXPECT_EQ(load_part(dst, &self->blob, self->blob.len), -EINVAL);
	stream_medium(dst, after, self->src.size);
	EXPECT_EQ(memcmp(before, after, self->src.size), 0);
	free(before);
}

/* The memory of a running device changes while it is read */
TEST_F(data_crc, memory_of_a_running_device_has_none)
{
	struct session *s = &self->s;
	u64 bytes;

	session_begin(s, &self->src);
	EXPECT_TRUE(session_drains_right(s, &bytes));
	EXPECT_EQ(bytes, FIRST_COPY - IDENTITY_BYTES);
	EXPECT_TRUE(memory_has(&s->blob, 0, s->blob.len, false));
	source_put(&self->src, 20, 2);
	EXPECT_TRUE(session_drains_right(s, &bytes));
	EXPECT_TRUE(memory_has(&s->blob, 0, s->blob.len, false));
	EXPECT_TRUE(session_completes_right(s));
}

/* STOP_COPY cuts into a record: that one has none, all that begin after it do */
TEST_F(data_crc, record_that_was_begun_before_has_none)
{
	struct session *s = &self->s;
	struct vfmig_record *header;
	size_t begun, next;
	u64 bytes, left;

	session_begin(s, &self->src);
	EXPECT_TRUE(session_drains_right(s, &bytes));
	source_put(&self->src, 20, 2);
	source_put(&self->src, 30, 1);
	source_put(&self->src, 40, 1);
	left = precopy_left(s->fd);
	EXPECT_EQ(left, RUN_BYTES(2) + 2 * RUN_BYTES(1));
	begun = s->blob.len;
	precopy_read(s->fd, &s->blob, RUN_BYTES(0) + 100);
	EXPECT_EQ(precopy_left(s->fd), left - RUN_BYTES(0) - 100);
	EXPECT_TRUE(session_completes_right(s));

	header = (void *)(s->blob.data + begun);
	next = begun + sizeof(*header) + header->length;
	EXPECT_TRUE(memory_has(&s->blob, 0, next, false));
	EXPECT_TRUE(memory_has(&s->blob, next, s->blob.len, true));
	EXPECT_TRUE(source_lands_right(&self->src, &s->blob));
}

/* A stream is of one kind from STOP_COPY on, whatever is set meanwhile */
TEST_F(data_crc, counts_as_it_is_when_the_device_stops)
{
	struct vfio_dev *dev = self->src.dev;
	int fd;

	for (unsigned int on = 0; on < 2; on++) {
		mig_set_data_crc(on);
		ASSERT_EQ(mig_set(dev, STOP_COPY, &fd), 0);
		mig_set_data_crc(!on);
		self->blob.len = 0;
		ASSERT_EQ(mig_read(fd, &self->blob, PAGE), 0);
		EXPECT_TRUE(memory_has(&self->blob, 0, self->blob.len, on));
		close(fd);
		ASSERT_EQ(mig_set(dev, STOP, NULL), 0);
	}
}

TEST_HARNESS_MAIN
