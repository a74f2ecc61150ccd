// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who a virtio-net VF is: its MAC address goes with what moves, no two VFs keep the same one, and
 * nobody takes another one's address away.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "net_rig.h"
#include "stream.h"

#include "harness.h"

/* The state is a few KB */
#define STREAM_MOST	KIB(8)

FIXTURE(mac)
{
	struct net_rig rig;
	struct vnet net;
	struct port_frame *out;
	u8 *frame;
	struct blob blob;
};

FIXTURE_SETUP(mac)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 2, 1);

	if (why)
		SKIP(return, "%s", why);
	self->out = shared_alloc(sizeof(*self->out));
	self->frame = shared_alloc(FRAME_MAX);
	net_rig_start(&self->rig, 0, &self->net, VNET_ALL, 1);
}

FIXTURE_TEARDOWN(mac)
{
	blob_free(&self->blob);
	net_rig_close(&self->rig);
}

/* Is a frame of the guest at the host, where device @n is? */
static bool sends(struct net_rig *rig, unsigned int n, struct vnet *net, u8 *frame,
		  struct port_frame *out)
{
	vnet_send(net, 0, frame, frame_make(frame, mac_broadcast, net->mac, 1, 100));
	return port_expect(&rig->port[n], out, 1);
}

static void mac_of(struct vfio_dev *dev, struct arena *mem, u8 *mac)
{
	struct virtio vio;

	virtio_init(&vio, dev, mem);
	virtio_config(&vio, offsetof(struct virtio_net_config, mac), mac, ETH_ALEN);
}

TEST_F(mac, moves_and_the_source_gets_another)
{
	struct net_rig *rig = &self->rig;
	u8 was[2][ETH_ALEN], is[2][ETH_ALEN];

	for (unsigned int i = 0; i < 2; i++)
		mac_of(&rig->dev[i], &rig->mem, was[i]);
	EXPECT_NE(memcmp(was[0], was[1], ETH_ALEN), 0);
	net_rig_move(rig, &self->net, 1, RUNNING);
	mac_of(&rig->dev[1], &rig->mem, is[1]);
	EXPECT_EQ(memcmp(is[1], was[0], ETH_ALEN), 0);

	net_rig_reopen(rig, 0);
	mac_of(&rig->dev[0], &rig->mem, is[0]);
	EXPECT_NE(memcmp(is[0], was[0], ETH_ALEN), 0);
	/* It stays with the function that the guest has, over its resets */
	ASSERT_EQ(virtio_reset(&self->net.vio), 0);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);
	net_rig_reopen(rig, 1);
	mac_of(&rig->dev[1], &rig->mem, is[1]);
	EXPECT_EQ(memcmp(is[1], was[0], ETH_ALEN), 0);
	self->net.vio.dev = &rig->dev[1];
}

TEST_F(mac, stays_if_the_source_goes_on)
{
	struct net_rig *rig = &self->rig;
	u8 was[ETH_ALEN], is[ETH_ALEN];

	mac_of(&rig->dev[0], &rig->mem, was);
	net_rig_move(rig, &self->net, 1, STOP);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	net_rig_reopen(rig, 0);
	mac_of(&rig->dev[0], &rig->mem, is);
	EXPECT_EQ(memcmp(is, was, ETH_ALEN), 0);
	net_rig_reopen(rig, 1);
	mac_of(&rig->dev[1], &rig->mem, is);
	EXPECT_NE(memcmp(is, was, ETH_ALEN), 0);
}

static bool has_mac(struct net_rig *rig, unsigned int n, const u8 *mac)
{
	u8 is[ETH_ALEN];

	mac_of(&rig->dev[n], &rig->mem, is);
	return !memcmp(is, mac, ETH_ALEN);
}

/*
 * The destination's VMM ends before the guest runs there.  A source on another host would run
 * again and tell nobody.
 */
TEST_F(mac, is_given_up_by_a_destination_that_never_ran)
{
	static const u32 states[] = { STOP, RUNNING_P2P };
	struct net_rig *rig = &self->rig;
	u8 was[ETH_ALEN];

	mac_of(&rig->dev[0], &rig->mem, was);
	mig_save(&rig->dev[0], &self->blob);
	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		net_rig_land(rig, &self->net, 1, &self->blob, states[i]);
		EXPECT_TRUE(has_mac(rig, 1, was));
		net_rig_reopen(rig, 1);
		EXPECT_FALSE(has_mac(rig, 1, was));
	}
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	EXPECT_TRUE(has_mac(rig, 0, was));
}

/* A VMM that can't start the device may reset it, and run the guest on it all the same */
TEST_F(mac, stays_over_a_reset_of_a_destination_that_never_ran)
{
	struct net_rig *rig = &self->rig;
	u8 was[ETH_ALEN];

	mac_of(&rig->dev[0], &rig->mem, was);
	mig_save(&rig->dev[0], &self->blob);
	net_rig_land(rig, &self->net, 1, &self->blob, STOP);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);
	EXPECT_TRUE(has_mac(rig, 1, was));
	net_rig_reopen(rig, 1);
	EXPECT_FALSE(has_mac(rig, 1, was));
}

TEST_F(mac, stays_with_a_destination_that_is_reset_and_then_started)
{
	struct net_rig *rig = &self->rig;
	u8 was[ETH_ALEN];

	mac_of(&rig->dev[0], &rig->mem, was);
	mig_save(&rig->dev[0], &self->blob);
	net_rig_land(rig, &self->net, 1, &self->blob, STOP);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);
	net_rig_start(rig, 1, &self->net, VNET_ALL, 1);
	net_rig_reopen(rig, 1);
	EXPECT_TRUE(has_mac(rig, 1, was));
}

/* A destination that never runs takes the address from nobody */
TEST_F(mac, stays_with_the_source_of_a_snapshot_that_never_ran)
{
	struct net_rig *rig = &self->rig;
	char bdf[BDF_SIZE];
	u8 was[ETH_ALEN];

	mac_of(&rig->dev[0], &rig->mem, was);
	mig_save(&rig->dev[0], &self->blob);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);

	/* The source is closed after the load, and before another one */
	net_rig_land(rig, &self->net, 1, &self->blob, STOP);
	bdf_copy(bdf, rig->dev[0].bdf);
	net_rig_user_ends(rig, 0);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);
	net_rig_land(rig, &self->net, 1, &self->blob, STOP);
	net_rig_user_begins(rig, 0, bdf);
	EXPECT_TRUE(has_mac(rig, 0, was));
	net_rig_reopen(rig, 1);
	EXPECT_FALSE(has_mac(rig, 1, was));
	EXPECT_TRUE(has_mac(rig, 0, was));
}

/* Where the state of a network device has its addresses, and what proves where they are from */
#define IDENT_MAC		ETH_ALEN
#define IDENT_TAG		30
#define IDENT_TAG_LEN		6

/* The record with the state of a device with this address, and where its addresses begin */
static struct stream_record find_macs(const struct blob *blob, const u8 *mac, u8 **at)
{
	static struct stream_record records[STREAM_MAX_RECORDS];
	struct stream_record *state;

	state = stream_find(records, stream_parse(blob, records), VFMIG_RECORD_STATE);
	must(state);
	*at = memmem(state->payload, state->header->length, mac, ETH_ALEN);
	must(*at && !memcmp(*at + IDENT_MAC, mac, ETH_ALEN));
	return *state;
}

/* A hostile guest's VMM puts the address of another guest into its own stream */
TEST_F(mac, of_another_vf_is_not_taken_away)
{
	struct net_rig *rig = &self->rig;
	struct stream_record state;
	u8 mac[2][ETH_ALEN], *at;
	char bdf[BDF_SIZE];

	for (unsigned int i = 0; i < 2; i++)
		mac_of(&rig->dev[i], &rig->mem, mac[i]);
	mig_save(&rig->dev[1], &self->blob);
	state = find_macs(&self->blob, mac[1], &at);
	memcpy(at + IDENT_MAC, mac[0], ETH_ALEN);
	stream_seal(state.header);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);

	/* While the other guest's VF is open, and while it is closed for a moment */
	net_rig_land(rig, &self->net, 1, &self->blob, RUNNING);
	net_rig_reopen(rig, 0);
	EXPECT_TRUE(has_mac(rig, 0, mac[0]));
	bdf_copy(bdf, rig->dev[0].bdf);
	net_rig_user_ends(rig, 0);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);
	net_rig_land(rig, &self->net, 1, &self->blob, RUNNING);
	net_rig_user_begins(rig, 0, bdf);
	EXPECT_TRUE(has_mac(rig, 0, mac[0]));

	/* The next user of the hostile guest's VF has nothing to do with it */
	net_rig_reopen(rig, 1);
	EXPECT_FALSE(has_mac(rig, 1, mac[0]));
}

/* A stream of the VF's user before this one proves nothing either */
TEST_F(mac, stays_when_a_former_user_loads_an_old_stream)
{
	const size_t end = sizeof(struct vfmig_record) + sizeof(struct vfmig_end);
	struct net_rig *rig = &self->rig;
	u8 mac[ETH_ALEN], buf[STREAM_MOST];
	u64 size;
	int fd;

	/* The closing record is not read, so the VF keeps the address when it is closed */
	mac_of(&rig->dev[0], &rig->mem, mac);
	ASSERT_EQ(mig_set(&rig->dev[0], STOP_COPY, &fd), 0);
	ASSERT_EQ(mig_size(&rig->dev[0], &size), 0);
	ASSERT_LE(size, sizeof(buf));
	ASSERT_EQ(read(fd, buf, size - end), (ssize_t)(size - end));
	close(fd);
	blob_append(&self->blob, buf, size - end);
	stream_add_end(&self->blob);
	net_rig_reopen(rig, 0);
	ASSERT_TRUE(has_mac(rig, 0, mac));

	net_rig_land(rig, &self->net, 1, &self->blob, RUNNING);
	net_rig_reopen(rig, 0);
	EXPECT_TRUE(has_mac(rig, 0, mac));
	net_rig_reopen(rig, 1);
	EXPECT_FALSE(has_mac(rig, 1, mac));
}

/* It has no tag, but reserved bytes in that place */
TEST_F(mac, stream_of_version_1)
{
	static struct stream_record records[STREAM_MAX_RECORDS];
	struct net_rig *rig = &self->rig;
	struct stream_record state;
	struct vfmig_identity *id;
	u8 mac[ETH_ALEN], *at;

	mac_of(&rig->dev[0], &rig->mem, mac);
	mig_save(&rig->dev[0], &self->blob);
	ASSERT_EQ(stream_parse(&self->blob, records), 3);
	id = records[0].payload;
	EXPECT_EQ(id->model_version, 2);
	id->model_version = 1;
	stream_seal(records[0].header);
	EXPECT_EQ(mig_load(&rig->dev[1], &self->blob), -EINVAL);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);

	state = find_macs(&self->blob, mac, &at);
	memset(at + IDENT_TAG, 0, IDENT_TAG_LEN);
	stream_seal(state.header);
	net_rig_land(rig, &self->net, 1, &self->blob, RUNNING);
	EXPECT_TRUE(has_mac(rig, 1, mac));
	EXPECT_TRUE(sends(rig, 1, &self->net, self->frame, self->out));
}

/* Read the stream of device 0 but for its end, which says that the address is given away */
static void save_and_keep(struct net_rig *rig, struct blob *blob)
{
	const size_t end = sizeof(struct vfmig_record) + sizeof(struct vfmig_end);
	u8 buf[STREAM_MOST];
	u64 size;
	int fd;

	must(!mig_set(&rig->dev[0], STOP_COPY, &fd));
	must(!mig_size(&rig->dev[0], &size) && size <= sizeof(buf));
	must(read(fd, buf, size - end) == (ssize_t)(size - end));
	close(fd);
	blob_append(blob, buf, size - end);
	stream_add_end(blob);
}

/* Nobody uses the source any more, and its VF must not come to the next user with the address */
TEST_F(mac, leaves_a_closed_source_when_the_destination_runs)
{
	struct net_rig *rig = &self->rig;
	char bdf[BDF_SIZE];
	u8 was[ETH_ALEN];

	mac_of(&rig->dev[0], &rig->mem, was);
	save_and_keep(rig, &self->blob);
	bdf_copy(bdf, rig->dev[0].bdf);
	net_rig_user_ends(rig, 0);

	/* A load takes it from nobody yet */
	net_rig_land(rig, &self->net, 1, &self->blob, STOP);
	EXPECT_TRUE(has_mac(rig, 1, was));
	ASSERT_EQ(mig_set(&rig->dev[1], RUNNING, NULL), 0);
	net_rig_user_begins(rig, 0, bdf);
	EXPECT_FALSE(has_mac(rig, 0, was));
	EXPECT_TRUE(has_mac(rig, 1, was));
	EXPECT_TRUE(sends(rig, 1, &self->net, self->frame, self->out));
	net_rig_reopen(rig, 1);
	EXPECT_TRUE(has_mac(rig, 1, was));
}

/* The migration failed after all, when the destination was closed already */
TEST_F(mac, leaves_a_closed_destination_when_the_source_goes_on)
{
	struct net_rig *rig = &self->rig;
	char bdf[BDF_SIZE];
	u8 was[ETH_ALEN];

	mac_of(&rig->dev[0], &rig->mem, was);
	mig_save(&rig->dev[0], &self->blob);
	net_rig_land(rig, &self->net, 1, &self->blob, RUNNING);
	EXPECT_TRUE(sends(rig, 1, &self->net, self->frame, self->out));
	bdf_copy(bdf, rig->dev[1].bdf);
	net_rig_user_ends(rig, 1);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	net_rig_user_begins(rig, 1, bdf);
	EXPECT_FALSE(has_mac(rig, 1, was));
	net_rig_reopen(rig, 0);
	EXPECT_TRUE(has_mac(rig, 0, was));
}

/* The address that the administrator gave a closed VF is not the one that it loses */
TEST_F(mac, of_the_administrator_stays_when_a_closed_source_loses_its_own)
{
	static const u8 admin[ETH_ALEN] = { 0x02, 9, 9, 9, 9, 3 }, zero[ETH_ALEN];
	struct net_rig *rig = &self->rig;
	char bdf[BDF_SIZE];
	u8 was[ETH_ALEN];

	mac_of(&rig->dev[0], &rig->mem, was);
	save_and_keep(rig, &self->blob);
	bdf_copy(bdf, rig->dev[0].bdf);
	net_rig_user_ends(rig, 0);
	ASSERT_EQ(vf_set_mac(rig->pf, 0, admin), 0);
	net_rig_land(rig, &self->net, 1, &self->blob, RUNNING);
	net_rig_user_begins(rig, 0, bdf);
	EXPECT_TRUE(has_mac(rig, 0, admin));
	ASSERT_EQ(vf_set_mac(rig->pf, 0, zero), 0);
	net_rig_reopen(rig, 0);
	EXPECT_FALSE(has_mac(rig, 0, admin));
	EXPECT_FALSE(has_mac(rig, 0, was));
}

TEST_F(mac, that_the_administrator_of_the_destination_does_not_allow)
{
	static const u8 admin[ETH_ALEN] = { 0x02, 9, 9, 9, 9, 2 }, zero[ETH_ALEN];
	struct net_rig *rig = &self->rig;

	ASSERT_EQ(vf_set_mac(rig->pf, 1, admin), 0);
	mig_save(&rig->dev[0], &self->blob);
	EXPECT_EQ(mig_load(&rig->dev[1], &self->blob), -EINVAL);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);
	ASSERT_EQ(vf_set_mac(rig->pf, 1, zero), 0);
	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
	EXPECT_TRUE(sends(rig, 0, &self->net, self->frame, self->out));
}

TEST_HARNESS_MAIN
