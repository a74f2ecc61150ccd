// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of a virtio-net VF field by field: each value that no device can have is refused, by
 * itself or beside what the other fields say, and the nearest one that a device can have is taken.
 */
#include <errno.h>
#include <string.h>

#include "change.h"
#include "net_rig.h"

#include "../../../../drivers/vfmig/virtio/format.h"

#include "harness.h"

#define PAIRS		2
#define SECONDS		120

FIXTURE(state)
{
	struct net_rig rig;
	struct vnet net;
	struct blob good;
	struct blob bad;
};

FIXTURE_VARIANT(state)
{
	bool packed;
};

FIXTURE_VARIANT_ADD(state, split)
{
};

FIXTURE_VARIANT_ADD(state, packed)
{
	.packed = true,
};

FIXTURE_SETUP(state)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 2, PAIRS);

	if (why)
		SKIP(return, "%s", why);
	net_rig_start(&self->rig, 0, &self->net, variant->packed ? VNET_PACKED : VNET_ALL, PAIRS);
	mig_save(&self->rig.dev[0], &self->good);
}

FIXTURE_TEARDOWN(state)
{
	blob_free(&self->good);
	blob_free(&self->bad);
	net_rig_close(&self->rig);
}

#define CHANGES	4

/* Of the device with its queues, and of the network */
#define V(field, clear, set) { offsetof(struct vfmig_virtio_state, field), clear, set }
#define N(field, clear, set) \
	{ sizeof(struct vfmig_virtio_state) + offsetof(struct vfmig_net_state, field), clear, set }
/* Features that the driver chose, and that were negotiated: these are the same */
#define BOTH	(~0UL)
#define F(clear, set) { BOTH, clear, set }

enum verdict { REFUSED, TAKEN, SPLIT_ONLY, PACKED_ONLY };

static const struct {
	const char *what;
	enum verdict verdict;
	struct change change[CHANGES];
} cases[] = {
	{ "no queues", REFUSED, { V(nr_vqs, ALL16, 0) } },
	{ "too many queues", REFUSED, { V(nr_vqs, ALL16, VFMIG_VIRTIO_VQS + 1) } },
	{ "fewer queues than are enabled", REFUSED, { V(nr_vqs, ALL16, 3), N(pairs, ALL16, 1),
						      N(cur_pairs, ALL16, 1) } },
	{ "unknown flag", REFUSED, { V(flags, 0, BIT(2)) } },
	{ "reserved bytes", REFUSED, { V(reserved[4], 0, 1) } },
	{ "reserved bytes of the capability", REFUSED, { V(cap.reserved[6], 0, 1) } },
	{ "ISR", REFUSED, { V(isr, ALL8, 4) } },
	{ "all of the ISR", TAKEN, { V(isr, ALL8, 3) } },
	{ "vector", REFUSED, { V(config_vector, ALL16, VFMIG_VIRTIO_VECTORS) } },
	{ "last vector", TAKEN, { V(config_vector, ALL16, VFMIG_VIRTIO_VECTORS - 1) } },
	{ "no vector", TAKEN, { V(config_vector, ALL16, VIRTIO_MSI_NO_VECTOR) } },
	{ "unknown status", REFUSED, { V(status, 0, 0x20) } },
	{ "failed", TAKEN, { V(status, 0, VIRTIO_CONFIG_S_FAILED) } },
	{ "failed, as the device alone saw", REFUSED,
	  { V(status_seen, 0, VIRTIO_CONFIG_S_FAILED) } },
	{ "ready without features", REFUSED,
	  { V(status, VIRTIO_CONFIG_S_FEATURES_OK, 0),
	    V(status_seen, VIRTIO_CONFIG_S_FEATURES_OK, 0) } },
	{ "unknown feature", REFUSED, { F(0, FEATURE(45)) } },
	{ "features of a legacy device", REFUSED, { F(FEATURE(VIRTIO_F_VERSION_1), 0) } },
	{ "feature without the one it needs", REFUSED,
	  { F(FEATURE(VIRTIO_NET_F_GUEST_CSUM), 0), N(offloads, ALL64, 0) } },
	{ "features that were not negotiated", REFUSED,
	  { V(driver_features, FEATURE(VIRTIO_NET_F_MTU), 0) } },
	{ "fewer features", TAKEN, { F(FEATURE(VIRTIO_NET_F_MTU), 0) } },
	{ "broken, and no reset needed", REFUSED, { V(flags, 0, STATE_BROKEN) } },
	{ "broken", TAKEN, { V(flags, 0, STATE_BROKEN),
			     V(status, 0, VIRTIO_CONFIG_S_NEEDS_RESET) } },
	{ "unknown state of a queue", REFUSED, { V(vq[0].state, 0, BIT(2)) } },
	{ "unknown flag of a queue", REFUSED, { V(vq[0].flags, 0, BIT(4)) } },
	{ "reserved bytes of a queue", REFUSED, { V(vq[0].reserved[5], 0, 1) } },
	{ "vector of a queue", REFUSED, { V(vq[0].vector, ALL16, VFMIG_VIRTIO_VECTORS) } },
	{ "state of a queue that is not there", REFUSED,
	  { V(vq[5].state, 0, VFMIG_VQ_ENABLED) } },
	{ "flag of a queue that is not there", REFUSED,
	  { V(vq[5].flags, 0, VQ_NOTIFIED) } },
	{ "queue of no size", REFUSED, { V(vq[1].size, ALL16, 0) } },
	{ "size of a queue", REFUSED, { V(vq[1].size, ALL16, VFMIG_VQ_SIZE_MAX * 2) } },
	{ "largest queue", TAKEN, { V(vq[1].size, ALL16, VFMIG_VQ_SIZE_MAX) } },
	{ "size of no power of two", PACKED_ONLY,
	  { V(vq[1].size, ALL16, VFMIG_VQ_SIZE_MAX - 1) } },
	{ "reset of a queue that is not enabled", REFUSED,
	  { V(vq[1].state, ALL8, VFMIG_VQ_RESETTING), V(vq[1].flags, ALL8, 0),
	    V(vq[1].avail, ALL16, 0), V(vq[1].used, ALL16, 0) } },
	{ "reset of a queue", TAKEN, { V(vq[1].state, 0, VFMIG_VQ_RESETTING) } },
	{ "queue that the device has and the driver has not", REFUSED,
	  { V(vq[1].state, ALL8, 0) } },
	{ "queue that the device has not seen yet", TAKEN,
	  { V(vq[1].flags, ALL8, 0), V(vq[1].avail, ALL16, 0), V(vq[1].used, ALL16, 0) } },
	{ "position of a queue that the device has not seen", REFUSED,
	  { V(vq[1].flags, ALL8, 0), V(vq[1].avail, ALL16, 1), V(vq[1].used, ALL16, 0) } },
	{ "used position of such a queue", REFUSED,
	  { V(vq[1].flags, ALL8, 0), V(vq[1].avail, ALL16, 0), V(vq[1].used, ALL16, 1) } },
	{ "wrap counter of such a queue", REFUSED,
	  { V(vq[1].flags, ALL8, VQ_USED_WRAP), V(vq[1].avail, ALL16, 0),
	    V(vq[1].used, ALL16, 0) } },
	{ "position beyond a ring", SPLIT_ONLY, { V(vq[1].avail, ALL16, VNET_DEPTH) } },
	{ "used position beyond a ring", SPLIT_ONLY, { V(vq[1].used, ALL16, VNET_DEPTH) } },
	{ "last position", TAKEN, { V(vq[1].avail, ALL16, VNET_DEPTH - 1),
				    V(vq[1].used, ALL16, VNET_DEPTH - 1) } },

	{ "address of a group", REFUSED, { N(mac, 0, 1) } },
	{ "no address", REFUSED, { N(mac, ALL48, 0) } },
	{ "own address of a group", REFUSED, { N(ident_mac, 0, 1) } },
	{ "no own address", REFUSED, { N(ident_mac, ALL48, 0) } },
	{ "no pairs", REFUSED, { N(pairs, ALL16, 0) } },
	{ "fewer pairs than queues", REFUSED, { N(pairs, ALL16, 1), N(cur_pairs, ALL16, 1) } },
	{ "more pairs than the device has", REFUSED, { N(pairs, ALL16, PAIRS + 1) } },
	{ "no pair in use", REFUSED, { N(cur_pairs, ALL16, 0) } },
	{ "one pair in use", TAKEN, { N(cur_pairs, ALL16, 1) } },
	{ "pairs in use that are not there", REFUSED, { N(cur_pairs, ALL16, PAIRS + 1) } },
	{ "pairs in use without the feature", REFUSED,
	  { F(FEATURE(VIRTIO_NET_F_MQ), 0), N(cur_pairs, ALL16, PAIRS) } },
	{ "one pair without the feature", TAKEN,
	  { F(FEATURE(VIRTIO_NET_F_MQ), 0), N(cur_pairs, ALL16, 1) } },
	{ "MTU too small", REFUSED, { N(mtu, ALL16, VFMIG_NET_MIN_MTU - 1) } },
	{ "smallest MTU", TAKEN, { N(mtu, ALL16, VFMIG_NET_MIN_MTU) } },
	{ "largest MTU", TAKEN, { N(mtu, ALL16, VFMIG_PORT_MAX_MTU) } },
	{ "MTU too large", REFUSED, { N(mtu, ALL16, VFMIG_PORT_MAX_MTU + 1) } },
	{ "offload of the host", REFUSED, { N(offloads, 0, FEATURE(VIRTIO_NET_F_CSUM)) } },
	{ "no offloads", TAKEN, { N(offloads, ALL64, 0) } },
	{ "announcement", REFUSED, { N(announce, ALL8, 2) } },
	{ "link", REFUSED, { N(link_up, ALL8, 2) } },
	{ "choice of modes", REFUSED, { N(chosen, ALL8, 2) } },
	{ "unknown mode", REFUSED, { N(modes, ALL8, BIT(VFMIG_NET_RX_MODES)) } },
	{ "all modes", TAKEN, { N(modes, ALL8, BIT(VFMIG_NET_RX_MODES) - 1) } },
	{ "too many addresses", REFUSED, { N(uni.count, ALL8, VFMIG_NET_MACS + 1) } },
	{ "all addresses", TAKEN, { N(uni.count, ALL8, VFMIG_NET_MACS) } },
	{ "overflow of addresses", REFUSED, { N(uni.overflow, ALL8, 2) } },
	{ "addresses and an overflow", REFUSED,
	  { N(uni.count, ALL8, 1), N(uni.overflow, ALL8, 1) } },
	{ "overflow and no addresses", TAKEN, { N(uni.count, ALL8, 0), N(uni.overflow, ALL8, 1) } },
	{ "too many groups", REFUSED, { N(multi.count, ALL8, VFMIG_NET_MACS + 1) } },
	{ "groups and an overflow", REFUSED, { N(multi.count, ALL8, 1),
					       N(multi.overflow, ALL8, 1) } },
};

static void apply(u8 *state, size_t len, struct change change)
{
	bool both = change.offset == BOTH;

	if (both)
		change.offset = offsetof(struct vfmig_virtio_state, driver_features);
	change_apply(state, len, &change);
	if (both) {
		change.offset = offsetof(struct vfmig_virtio_state, negotiated);
		change_apply(state, len, &change);
	}
}

static bool is_taken(enum verdict verdict, bool packed)
{
	enum verdict only = packed ? PACKED_ONLY : SPLIT_ONLY;

	return verdict == TAKEN || verdict == only;
}

TEST_F_TIMEOUT(state, field_is_refused_for_what_it_can_not_be, SECONDS)
{
	struct vfio_dev *dev = &self->rig.dev[1];

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vfmig_record *record;
		int expected = 0;

		if (!is_taken(cases[i].verdict, variant->packed))
			expected = -EINVAL;
		blob_copy(&self->bad, &self->good);
		record = change_state(&self->bad);
		ASSERT_EQ(record->length, sizeof(struct vfmig_virtio_state) +
					  sizeof(struct vfmig_net_state));
		for (unsigned int j = 0; j < CHANGES; j++)
			apply((u8 *)(record + 1), record->length, cases[i].change[j]);
		stream_seal(record);
		EXPECT_EQ(mig_load(dev, &self->bad), expected) TH_LOG("%s", cases[i].what);
		ASSERT_EQ(vfio_reset(dev), 0);
	}
	net_rig_land(&self->rig, &self->net, 1, &self->good, RUNNING);
	EXPECT_FALSE(virtio_needs_reset(&self->net.vio));
}

TEST_HARNESS_MAIN
