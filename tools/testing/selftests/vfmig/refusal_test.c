// SPDX-License-Identifier: GPL-2.0-only
/*
 * Streams that a destination must not take.  It runs, with data of its own, and gets
 * a bad stream: the write() of it says -EINVAL, at the latest that of the last byte;
 * RESUMING is left by reset only; and the medium is as it was.
 */
#include <errno.h>

#include "rig.h"

#include "harness.h"

#define SHALL		(VFMIG_RECORD_MANDATORY | VFMIG_RECORD_PAYLOAD_CRC)
#define MEDIUM		MIB(1)
#define UNKNOWN_TYPE	0x7777
#define NONSENSE	24
#define STATE_DISABLED	1	/* flag of the state: CC.EN was cleared a moment ago */

FIXTURE(refused)
{
	struct rig rig;
	struct blob good;
	struct blob bad;
	struct stream_record records[STREAM_MAX_RECORDS];
	unsigned int n;
	struct nvme dst;
	u8 *buf;
};

FIXTURE_VARIANT(refused)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(refused, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(refused, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(refused)
{
	struct pf_vfs vfs = { .count = 2 };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 2);
	struct rig *rig = &self->rig;

	if (why)
		SKIP(return, "%s", why);
	rig_start(rig);
	self->buf = arena_alloc(&rig->mem, 2 * PAGE);
	fill_pattern(self->buf, 2 * PAGE, 1);
	nvme_write_bytes(&rig->nvme, 0, self->buf, PAGE);
	nvme_write_bytes(&rig->nvme, 4 * PAGE, self->buf, PAGE);
	mig_save(&rig->dev[0], &self->good);
	self->n = stream_parse(&self->good, self->records);
	ASSERT_EQ(self->n, 5);
	blob_copy(&self->bad, &self->good);

	nvme_init(&self->dst, &rig->dev[1], &rig->mem);
	ASSERT_EQ(nvme_create_io(&self->dst, 1, 16, -1), 0);
	ASSERT_EQ(nvme_deallocate(&self->dst, 0, self->dst.lbas), 0);
	fill_pattern(self->buf, 2 * PAGE, 2);
	nvme_write_bytes(&self->dst, 0, self->buf, 2 * PAGE);
}

FIXTURE_TEARDOWN(refused)
{
	blob_free(&self->good);
	blob_free(&self->bad);
	rig_close(&self->rig);
}

/* Offset in self->bad of a record's header and payload */
#define bad_header(i) ((struct vfmig_record *)(self->bad.data + self->records[i].offset))
#define bad_payload(i) ((void *)(bad_header(i) + 1))

/* Write @blob to VF 1; expect @error, and no way out of RESUMING but reset */
static void expect_refused(struct __test_metadata *_metadata, struct rig *rig,
			   const struct blob *blob, int error, const char *what)
{
	struct vfio_dev *dev = &rig->dev[1];
	int err, fd;
	u8 byte = 0;

	must(!mig_set(dev, RESUMING, &fd));
	err = mig_write(fd, blob->data, blob->len, MIB(1));
	EXPECT_EQ(err, error) TH_LOG("%s: write() says %d", what, err);
	if (error)
		EXPECT_EQ(write(fd, &byte, 1), -1) TH_LOG("%s: goes on", what);
	EXPECT_EQ(mig_set(dev, STOP, NULL), -EINVAL) TH_LOG("%s: leaves RESUMING", what);
	must(!vfio_reset(dev));
	must(mig_get(dev) == RUNNING);
	close(fd);
}

static void expect_accepted(struct __test_metadata *_metadata, struct rig *rig,
			    const struct blob *blob, const char *what)
{
	struct vfio_dev *dev = &rig->dev[1];
	int err, fd;

	must(!mig_set(dev, RESUMING, &fd));
	err = mig_write(fd, blob->data, blob->len, MIB(1));
	EXPECT_EQ(err, 0) TH_LOG("%s: write() says %d", what, err);
	EXPECT_EQ(mig_set(dev, STOP, NULL), 0) TH_LOG("%s: does not leave RESUMING", what);
	must(!vfio_reset(dev));
	close(fd);
}

static void expect_dst_untouched(struct __test_metadata *_metadata, struct rig *rig,
				 struct nvme *dst, u8 *buf)
{
	nvme_restart(dst);
	ASSERT_EQ(nvme_create_io(dst, 1, 16, -1), 0);
	memset(buf, 0, 2 * PAGE);
	nvme_read_bytes(dst, 0, buf, 2 * PAGE);
	EXPECT_TRUE(is_pattern(buf, 2 * PAGE, 2));
	nvme_read_bytes(dst, 4 * PAGE, buf, PAGE);
	EXPECT_TRUE(is_filled(buf, PAGE, 0));
	EXPECT_EQ(vf_media_allocated(rig->dev[1].bdf), 2 * PAGE);
}

#define REFUSED(what) expect_refused(_metadata, &self->rig, &self->bad, -EINVAL, what)
#define INCOMPLETE(what) expect_refused(_metadata, &self->rig, &self->bad, 0, what)
#define ACCEPTED(what) expect_accepted(_metadata, &self->rig, &self->bad, what)
#define UNTOUCHED() expect_dst_untouched(_metadata, &self->rig, &self->dst, self->buf)

TEST_F_TIMEOUT(refused, truncated_stream, 60)
{
	char what[64];

	for (unsigned int i = 0; i < self->n; i++) {
		size_t at = self->records[i].offset;
		size_t cuts[] = {
			at, at + sizeof(struct vfmig_record), at + self->records[i].size - 1,
		};

		for (unsigned int c = 0; c < ARRAY_SIZE(cuts); c++) {
			self->bad.len = cuts[c];
			snprintf(what, sizeof(what), "record %u cut at %zu of %zu", i,
				 cuts[c] - at, self->records[i].size);
			INCOMPLETE(what);
		}
	}
	UNTOUCHED();
}

/* Spoil the identity in way number @n; what was done, or NULL if there is no such way */
static const char *spoil_identity(struct vfmig_identity *id, unsigned int n)
{
	struct vfmig_nvme_identity *nvme = (void *)id->model_data;

	switch (n) {
	case 0:
		id->magic++;
		return "magic";
	case 1:
		id->version_major++;
		return "newer format";
	case 2:
		id->granule *= 2;
		return "other granule";
	case 3:
		id->model[0] = 'x';
		return "other model";
	case 4:
		id->model[4] = '2';
		return "longer model name";
	case 5:
		id->model_version++;
		return "newer model version";
	case 6:
		id->memory_size += PAGE;
		return "more memory";
	case 7:
		id->memory_size -= PAGE;
		return "less memory";
	case 8:
		id->memory_size = 0;
		return "no memory";
	case 9:
		id->model_data_length++;
		return "model data too long";
	case 10:
		id->model_data_length = ~0U;
		return "model data huge";
	case 11:
		id->model_data_length = 0;
		return "no model data";
	case 12:
		nvme->lba_shift = 12;
		return "other LBA size";
	case 13:
		nvme->lba_shift = 0xffff;
		return "absurd LBA size";
	case 14:
		nvme->queues++;
		return "more queues";
	case 15:
		nvme->vectors++;
		return "more vectors";
	case 16:
		nvme->digest++;
		return "looks different to a guest";
	case 17:
		id->model_version--;
		return "older model version";
	default:
		return NULL;
	}
}

TEST_F(refused, identity_that_does_not_fit)
{
	const char *what;

	for (unsigned int n = 0; (what = spoil_identity(bad_payload(0), n)); n++) {
		stream_seal(bad_header(0));
		/* At the first record: nothing but that is sent */
		self->bad.len = self->records[0].size;
		REFUSED(what);
		blob_copy(&self->bad, &self->good);
	}
	UNTOUCHED();
}

TEST_F(refused, unfit_identity_is_refused_whatever_the_source_has)
{
	struct vfmig_identity *id = bad_payload(0);
	struct vfmig_nvme_identity *nvme = (void *)id->model_data;

	/* Fewer is fine, and so is a newer minor version */
	nvme->queues = 16;
	stream_seal(bad_header(0));
	self->bad.len = self->records[0].size;
	INCOMPLETE("fewer queues");
	blob_copy(&self->bad, &self->good);
	id = bad_payload(0);
	id->version_minor++;
	stream_seal(bad_header(0));
	ACCEPTED("newer minor version");
}

TEST_F(refused, bad_crc)
{
	for (unsigned int i = 0; i < self->n; i++) {
		bad_header(i)->header_crc ^= 1;
		REFUSED("header CRC");
		blob_copy(&self->bad, &self->good);
		bad_header(i)->length ^= 1;
		REFUSED("header with a bit flipped");
		blob_copy(&self->bad, &self->good);
		if (bad_header(i)->type == VFMIG_RECORD_MEMORY)
			continue;
		((u8 *)bad_payload(i))[self->records[i].size / 2 - 12] ^= 0x10;
		REFUSED("payload with a bit flipped");
		blob_copy(&self->bad, &self->good);
		bad_header(i)->flags &= ~VFMIG_RECORD_PAYLOAD_CRC;
		stream_seal(bad_header(i));
		REFUSED("payload CRC left out");
		blob_copy(&self->bad, &self->good);
	}
	/* MEMORY may have one, and then it counts */
	bad_header(1)->flags |= VFMIG_RECORD_PAYLOAD_CRC;
	stream_seal(bad_header(1));
	((u8 *)bad_payload(1))[100] ^= 1;
	REFUSED("memory with a wrong CRC");
	UNTOUCHED();
	stream_seal(bad_header(1));
	ACCEPTED("memory with a right CRC");
}

/* One bit, and the data would go elsewhere on the disk: each of them is noticed */
TEST_F_TIMEOUT(refused, extent_with_a_bit_flipped, 60)
{
	ASSERT_EQ(bad_header(1)->type, VFMIG_RECORD_MEMORY);
	for (unsigned int bit = 0; bit < 64; bit++) {
		((struct vfmig_extent *)bad_payload(1))->offset ^= 1ULL << bit;
		/* The extent is enough to refuse it */
		self->bad.len = self->records[1].offset + sizeof(struct vfmig_record) +
				sizeof(struct vfmig_extent);
		REFUSED("extent with a bit flipped");
		blob_copy(&self->bad, &self->good);
	}
	UNTOUCHED();
}

TEST_F(refused, unknown_flags)
{
	for (unsigned int i = 0; i < self->n; i++) {
		bad_header(i)->flags |= 1U << (2 + 7 * i);
		stream_seal(bad_header(i));
		REFUSED("unknown flag");
		blob_copy(&self->bad, &self->good);
	}
	UNTOUCHED();
}

TEST_F_TIMEOUT(refused, hostile_lengths, 60)
{
	static const u64 lengths[] = { 0, 15, 17, VFMIG_STATE_MAX + 17, 1ULL << 63, ~0ULL - 23 };

	for (unsigned int i = 0; i < self->n; i++) {
		for (unsigned int l = 0; l < ARRAY_SIZE(lengths); l++) {
			if (bad_header(i)->type == VFMIG_RECORD_STATE && lengths[l] &&
			    lengths[l] <= VFMIG_STATE_MAX)
				continue;
			/* The header alone is enough to refuse it */
			bad_header(i)->length = lengths[l];
			bad_header(i)->header_crc =
				crc32c(bad_header(i), offsetof(struct vfmig_record, header_crc));
			self->bad.len = self->records[i].offset + sizeof(struct vfmig_record);
			REFUSED("hostile length");
			blob_copy(&self->bad, &self->good);
		}
	}
	UNTOUCHED();
}

TEST_F(refused, hostile_extents)
{
	static const struct {
		const char *what;
		u64 offset;
		u64 length;
	} wrong[] = {
		{ "unaligned offset", 512, PAGE },
		{ "beyond the end", MEDIUM, PAGE },
		{ "far beyond the end", 1ULL << 62, PAGE },
		{ "runs off the end", MEDIUM - PAGE, 2 * PAGE },
		{ "wraps around", -PAGE, 2 * PAGE },
		{ "wraps to the start", -PAGE, PAGE },
	};
	struct blob record = {};

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct vfmig_extent extent = {
			.offset = wrong[i].offset,
			.length = wrong[i].length,
		};

		record.len = 0;
		stream_add_memory(&record, wrong[i].offset, wrong[i].length, 0xaa);
		stream_insert(&self->bad, &self->good, 1, &record);
		REFUSED(wrong[i].what);
		record.len = 0;
		stream_add(&record, VFMIG_RECORD_HOLE, SHALL, &extent, sizeof(extent));
		stream_insert(&self->bad, &self->good, 1, &record);
		REFUSED(wrong[i].what);
	}
	/* Length that is none, unaligned, huge, or not that of the record */
	for (u64 length = 0; length <= 4; length++) {
		static const u64 lengths[] = { 0, 512, MEDIUM + PAGE, -PAGE, ~0ULL };
		struct vfmig_extent extent = { .length = lengths[length] };

		record.len = 0;
		stream_add(&record, VFMIG_RECORD_HOLE, SHALL, &extent, sizeof(extent));
		stream_insert(&self->bad, &self->good, 1, &record);
		REFUSED("hole of a bad length");
		blob_copy(&self->bad, &self->good);
		((struct vfmig_extent *)bad_payload(1))->length = lengths[length];
		stream_seal(bad_header(1));
		REFUSED("memory of a bad length");
	}
	blob_free(&record);
	UNTOUCHED();
}

TEST_F(refused, records_out_of_order)
{
	struct stream_record *r = self->records;
	static const struct {
		const char *what;
		const char *order;	/* i and I: identity, m: memory, s: state, e: end */
	} wrong[] = {
		{ "no identity", "mse" },
		{ "state first", "se" },
		{ "end first", "e" },
		{ "no state", "ime" },
		{ "two states", "isse" },
		{ "more after the end", "imsem" },
		{ "two ends", "imsee" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		self->bad.len = 0;
		for (const char *c = wrong[i].order; *c; c++) {
			if (*c == 'e')
				stream_add_end(&self->bad);
			else
				stream_add_record(&self->bad, *c == 'i' ? &r[0] :
						  *c == 'm' ? &r[1] : &r[3]);
		}
		if (strchr(wrong[i].order, 'e') == wrong[i].order + strlen(wrong[i].order) - 1) {
			REFUSED(wrong[i].what);
		} else {
			/* What comes after the end is refused, what came before it holds */
			struct vfio_dev *dev = &self->rig.dev[1];
			int fd;

			ASSERT_EQ(mig_set(dev, RESUMING, &fd), 0);
			EXPECT_EQ(mig_write(fd, self->bad.data, self->bad.len, 100), -EINVAL)
				TH_LOG("%s", wrong[i].what);
			close(fd);
			ASSERT_EQ(vfio_reset(dev), 0);
		}
	}
}

TEST_F(refused, end_that_does_not_fit)
{
	struct vfmig_end *end = bad_payload(self->n - 1);

	end->bytes++;
	stream_seal(bad_header(self->n - 1));
	REFUSED("bytes");
	end->bytes--;
	end->records--;
	stream_seal(bad_header(self->n - 1));
	REFUSED("records");

	/* A record that got lost on the way */
	self->bad.len = 0;
	for (unsigned int i = 0; i < self->n; i++)
		if (i != 2)
			stream_add_record(&self->bad, &self->records[i]);
	REFUSED("a record missing");
	UNTOUCHED();
}

TEST_F(refused, unknown_records_by_their_flags)
{
	static u8 payload[VFMIG_OPTIONAL_MAX + 1];
	struct blob record = {};

	stream_add(&record, UNKNOWN_TYPE, VFMIG_RECORD_MANDATORY, payload, 10);
	stream_insert(&self->bad, &self->good, 1, &record);
	REFUSED("unknown mandatory record");
	record.len = 0;
	stream_add(&record, UNKNOWN_TYPE, SHALL, payload, 0);
	stream_insert(&self->bad, &self->good, self->n - 1, &record);
	REFUSED("unknown mandatory record after the state");
	record.len = 0;
	stream_add(&record, UNKNOWN_TYPE, 0, payload, VFMIG_OPTIONAL_MAX + 1);
	stream_insert(&self->bad, &self->good, 1, &record);
	REFUSED("unknown optional record that is too long");
	UNTOUCHED();

	record.len = 0;
	stream_add(&record, UNKNOWN_TYPE, 0, payload, 0);
	stream_add(&record, UNKNOWN_TYPE + 1, VFMIG_RECORD_PAYLOAD_CRC, payload, 33);
	stream_insert(&self->bad, &self->good, 2, &record);
	ACCEPTED("unknown optional records");
	record.len = 0;
	stream_add(&record, UNKNOWN_TYPE, 0, payload, VFMIG_OPTIONAL_MAX);
	stream_insert(&self->bad, &self->good, self->n - 1, &record);
	ACCEPTED("long unknown optional record after the state");
	blob_free(&record);
}

TEST_F(refused, later_memory_and_holes_win)
{
	struct rig *rig = &self->rig;
	struct vfmig_extent hole = { .offset = 4 * PAGE, .length = PAGE };
	struct blob more = {};

	/* As PRE_COPY will have it: the same granule again, and one deallocated */
	stream_add_memory(&more, 0, PAGE, 0x5a);
	stream_add(&more, VFMIG_RECORD_HOLE, SHALL, &hole, sizeof(hole));
	stream_insert(&self->bad, &self->good, 3, &more);
	rig_land(rig, &self->bad, RUNNING);
	nvme_read_bytes(&rig->nvme, 0, self->buf, PAGE);
	EXPECT_TRUE(is_filled(self->buf, PAGE, 0x5a));
	nvme_read_bytes(&rig->nvme, 4 * PAGE, self->buf, PAGE);
	EXPECT_TRUE(is_filled(self->buf, PAGE, 0));
	EXPECT_EQ(vf_media_allocated(rig->dev[1].bdf), PAGE);
	blob_free(&more);
}

/*
 * Nonsense in the device's state, with CRCs that are right: taken or refused, the
 * device works after the reset either way.
 */
TEST_F_TIMEOUT(refused, nonsense_in_the_state, 90)
{
	struct vfio_dev *dev = &self->rig.dev[1];
	size_t len = bad_header(3)->length;
	unsigned int taken = 0;
	u64 random[4];

	for (unsigned int i = 0; i < NONSENSE; i++) {
		u8 *state = bad_payload(3);
		int err, fd;

		fill_pattern(random, sizeof(random), i + 1);
		/* A byte, a word, or all from somewhere on; a quarter in the first bytes */
		random[0] %= i % 4 ? len : 64;
		if (i % 3 == 0)
			state[random[0]] = random[1];
		else if (i % 3 == 1 && len - random[0] >= 8)
			memcpy(state + random[0], i % 2 ? &(u64){ ~0ULL } : &random[1], 8);
		else
			fill_pattern(state + random[0], len - random[0], random[2]);
		stream_seal(bad_header(3));
		ASSERT_EQ(mig_set(dev, RESUMING, &fd), 0);
		err = mig_write(fd, self->bad.data, self->bad.len, MIB(1));
		ASSERT_TRUE(err == 0 || err == -EINVAL) TH_LOG("write() says %d", err);
		if (!err) {
			taken++;
			vfio_bus_master(dev, true);
			EXPECT_EQ(mig_set(dev, RUNNING, NULL), 0);
			nvme_doorbell(&self->dst, 1, false, 3);
		}
		close(fd);
		ASSERT_EQ(vfio_reset(dev), 0);
		blob_copy(&self->bad, &self->good);
	}
	note("%u of %u taken", taken, NONSENSE);
	nvme_restart(&self->dst);
	ASSERT_EQ(nvme_create_io(&self->dst, 1, 16, -1), 0);
	nvme_read_bytes(&self->dst, 0, self->buf, PAGE);
}

/*
 * A controller that is enabled hears of each write of CC.  With what the state says it would go on
 * with a page size that it does not have, or without being enabled, and its own state be refused.
 */
TEST_F(refused, control_that_the_controller_did_not_hear_of)
{
	struct {
		u32 flags, intm, cc, cc_seen;	/* the first ones of the state */
	} *state = bad_payload(3);
	const u32 changed[] = { NVME_CC_EN, 1 << 4, 1 << 7, 1 << 11 };
	const u32 unused[] = { 1 << 4, 1 << 11 };	/* command set, arbitration */

	ASSERT_EQ(state->flags, 0);
	ASSERT_EQ(state->cc, state->cc_seen);
	ASSERT_EQ(state->cc & NVME_CC_EN, NVME_CC_EN);
	for (unsigned int i = 0; i < ARRAY_SIZE(changed); i++) {
		state->cc ^= changed[i];
		stream_seal(bad_header(3));
		REFUSED("CC that differs from the one that is used");
		state->cc ^= changed[i];
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(unused); i++) {
		state->cc ^= unused[i];
		state->cc_seen ^= unused[i];
		stream_seal(bad_header(3));
		REFUSED("ready with a CC that can't be");
		state->cc ^= unused[i];
		state->cc_seen ^= unused[i];
	}
	UNTOUCHED();

	/* The controller is about to hear of it */
	state->flags |= STATE_DISABLED;
	state->cc = 0;
	stream_seal(bad_header(3));
	ACCEPTED("CC.EN cleared just now");
}

TEST_F(refused, shortened_and_lengthened_state)
{
	size_t len = self->records[3].header->length;
	static const u8 more[64];
	struct blob state = {};

	blob_append(&state, self->records[3].payload, len);
	blob_append(&state, more, sizeof(more));
	for (unsigned int i = 0; i < 4; i++) {
		size_t lens[] = { 1, len / 2, len - 1, len + sizeof(more) };

		self->bad.len = self->records[3].offset;
		stream_add(&self->bad, VFMIG_RECORD_STATE, SHALL, state.data, lens[i]);
		stream_add_end(&self->bad);
		REFUSED("state of another length");
	}
	blob_free(&state);
	UNTOUCHED();
}

TEST_HARNESS_MAIN
