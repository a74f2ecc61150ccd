// SPDX-License-Identifier: GPL-2.0-only
/*
 * Streams of a virtio-net VF that are damaged.  Where the state makes sense nevertheless, it may
 * be taken.  Taken or refused, the device works afterwards.
 */
#include <errno.h>
#include <string.h>

#include "net_rig.h"
#include "stream.h"

#include "harness.h"

#define PAIRS		2

FIXTURE(damaged)
{
	struct net_rig rig;
	struct vnet net;
	struct blob good;
	struct blob bad;
	struct stream_record records[STREAM_MAX_RECORDS];
};

FIXTURE_SETUP(damaged)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 2, PAIRS);

	if (why)
		SKIP(return, "%s", why);
	net_rig_start(&self->rig, 0, &self->net, VNET_PACKED, PAIRS);
	mig_save(&self->rig.dev[0], &self->good);
	blob_copy(&self->bad, &self->good);
	ASSERT_EQ(stream_parse(&self->bad, self->records), 3);
}

FIXTURE_TEARDOWN(damaged)
{
	blob_free(&self->good);
	blob_free(&self->bad);
	net_rig_close(&self->rig);
}

#define header(i) ((struct vfmig_record *)(self->bad.data + self->records[i].offset))
#define payload(i) ((u8 *)(header(i) + 1))

/* Load self->bad, and run it if it is taken; returns whether it was */
static bool try_load(struct net_rig *rig, const struct blob *blob)
{
	struct vfio_dev *dev = &rig->dev[1];
	int err = mig_load(dev, blob);

	must(err == 0 || err == -EINVAL);
	if (!err) {
		vfio_bus_master(dev, true);
		must(!mig_set(dev, RUNNING, NULL));
	} else {
		must(!vfio_reset(dev));
	}
	return !err;
}

static void expect_works(struct __test_metadata *_metadata, struct net_rig *rig)
{
	static struct port_frame out;
	static u8 frame[200];
	static struct vnet net;

	memset(&net, 0, sizeof(net));
	net_rig_start(rig, 1, &net, VNET_ALL, 1);
	vnet_send(&net, 0, frame, frame_make(frame, mac_broadcast, net.mac, 1, 100));
	EXPECT_TRUE(port_expect(&rig->port[1], &out, 1));
}

TEST_F(damaged, cut_off_anywhere)
{
	struct vfio_dev *dev = &self->rig.dev[1];

	for (size_t len = 0; len < self->good.len; len += len < 200 ? 7 : 61) {
		self->bad.len = len;
		EXPECT_EQ(mig_load(dev, &self->bad), 0) TH_LOG("%zu bytes", len);
		EXPECT_EQ(mig_set(dev, STOP, NULL), -EINVAL) TH_LOG("%zu bytes", len);
		ASSERT_EQ(vfio_reset(dev), 0);
	}
	expect_works(_metadata, &self->rig);
}

TEST_F(damaged, state_of_another_length)
{
	size_t len = header(1)->length;
	struct blob state = {};
	static const u8 more[64];

	blob_append(&state, payload(1), len);
	blob_append(&state, more, sizeof(more));
	for (unsigned int i = 0; i < 4; i++) {
		size_t lens[] = { 1, len / 2, len - 1, len + sizeof(more) };

		self->bad.len = self->records[1].offset;
		stream_add(&self->bad, VFMIG_RECORD_STATE, header(0)->flags, state.data, lens[i]);
		stream_add_end(&self->bad);
		EXPECT_FALSE(try_load(&self->rig, &self->bad)) TH_LOG("%zu bytes", lens[i]);
	}
	blob_free(&state);
	expect_works(_metadata, &self->rig);
}

/* Every byte of the identity's part of the model counts */
TEST_F(damaged, identity_that_does_not_fit)
{
	struct vfmig_identity *id = (void *)payload(0);
	unsigned int len = id->model_data_length, fewer_pairs = 0;

	EXPECT_EQ(strcmp(id->model, NET_MODEL), 0);
	EXPECT_EQ(id->memory_size, 0);
	for (unsigned int i = 0; i < len; i++) {
		blob_copy(&self->bad, &self->good);
		id = (void *)payload(0);
		id->model_data[i] ^= 1 << i % 8;
		stream_seal(header(0));
		fewer_pairs += try_load(&self->rig, &self->bad);
	}
	/* Only a source with fewer queues would fit, and that does not go with this state */
	EXPECT_EQ(fewer_pairs, 0);
	expect_works(_metadata, &self->rig);
}

/*
 * Bytes to damage: all of the registers and of one queue, and some of the rest.  A reset takes
 * 100 ms, so not all can be.
 */
static size_t next_byte(size_t at)
{
	return at + (at < 120 ? 1 : 31);
}

TEST_F_TIMEOUT(damaged, bytes_of_the_state, 120)
{
	struct vfmig_record *record = header(1);
	unsigned int taken = 0, all = 0;

	ASSERT_EQ(record->type, VFMIG_RECORD_STATE);
	for (size_t at = 0; at < record->length; at = next_byte(at)) {
		payload(1)[at] ^= at % 3 ? 1 << at % 8 : 0xff;
		stream_seal(record);
		taken += try_load(&self->rig, &self->bad);
		payload(1)[at] ^= at % 3 ? 1 << at % 8 : 0xff;
		all++;
	}
	note("%u of %u taken", taken, all);
	EXPECT_TRUE(try_load(&self->rig, &self->good));
	expect_works(_metadata, &self->rig);
}

/* Two bytes of a queue in the state: what the driver has set, and what the device has seen */
#define QUEUE_STATE	108
#define QUEUE_ENABLED	1
#define QUEUE_TAKEN	4

TEST_F(damaged, queue_in_use_that_is_not_enabled)
{
	u8 *queue = payload(1) + QUEUE_STATE;

	ASSERT_EQ(queue[0], QUEUE_ENABLED);
	ASSERT_TRUE(queue[1] & QUEUE_TAKEN);
	queue[0] = 0;
	stream_seal(header(1));
	EXPECT_FALSE(try_load(&self->rig, &self->bad));
	expect_works(_metadata, &self->rig);
}

TEST_F_TIMEOUT(damaged, nonsense_in_the_state, 60)
{
	u64 seed = 3;

	for (unsigned int i = 0; i < 60; i++) {
		size_t len = header(1)->length, at = next_random(&seed) % len;
		static const u64 values[] = { 0, 1, 0x8000, 0xffff, 1ULL << 63, ~0ULL };
		u64 value = i % 2 ? values[i / 2 % ARRAY_SIZE(values)] : next_random(&seed);

		if (i % 5 == 4)
			fill_pattern(payload(1) + at, len - at, i);
		else
			memcpy(payload(1) + (at & ~7UL), &value, at + 8 <= len ? 8 : 1);
		stream_seal(header(1));
		try_load(&self->rig, &self->bad);
		blob_copy(&self->bad, &self->good);
	}
	expect_works(_metadata, &self->rig);
}

TEST_HARNESS_MAIN
