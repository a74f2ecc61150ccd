// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control queue of a virtio-net VF: every command, right and wrong, and what becomes of
 * frames by the filters that it sets, and by what the administrator allows.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "net_rig.h"

#include "harness.h"

#define PAIRS		2
#define TAG_LEN		4

FIXTURE(ctrl)
{
	struct net_rig rig;
	struct vnet net;
	struct port *port;
	struct vnet_frame *in;		/* that the guest gets */
	struct port_frame *out;		/* that the host gets */
	u8 *frame;
	u32 seq;
};

FIXTURE_SETUP(ctrl)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 1, PAIRS);

	if (why)
		SKIP(return, "%s", why);
	self->port = &self->rig.port[0];
	self->in = shared_alloc(sizeof(*self->in));
	self->out = shared_alloc(sizeof(*self->out));
	self->frame = shared_alloc(FRAME_MAX);
}

FIXTURE_TEARDOWN(ctrl)
{
	if (self->frame)
		EXPECT_EQ(net_rig_restore(&self->rig, 0), 0);
	net_rig_close(&self->rig);
}

#define START(features, pairs) net_rig_start(&self->rig, 0, &self->net, features, pairs)
#define CTRL(class, cmd, data, len) vnet_ctrl(&self->net, class, cmd, data, len)

/* Remove the VLAN tag of a frame that the guest has got */
static void untag(struct vnet_frame *in)
{
	u8 *tag = in->data + 2 * ETH_ALEN;

	if (tag[0] != 0x81 || tag[1])
		return;
	memmove(tag, tag + TAG_LEN, in->len - 2 * ETH_ALEN - TAG_LEN);
	in->len -= TAG_LEN;
}

/*
 * Does a frame of the host to @dst, with a VLAN tag if @vid >= 0, reach the guest?  A frame that
 * comes behind it tells that it does not come any more.
 */
static bool arrives_tagged(struct port *port, struct vnet *net, struct vnet_frame *in, u8 *frame,
			   u32 *seq, const u8 *dst, int vid)
{
	u32 mine = ++*seq, last = ++*seq;
	size_t len = frame_make(frame, dst, mac_other, mine, 80);
	bool seen = false, over;

	if (vid >= 0)
		len = frame_tag(frame, len, vid);
	port_send(port, frame, len);
	port_send(port, frame, frame_make(frame, net->mac, mac_other, last, 80));
	do {
		s64 got;

		must(wait_until(vnet_recv(net, 0, in)));
		untag(in);
		got = frame_seq(in->data, in->len);
		seen |= got == mine;
		over = got == last;
	} while (!over);
	return seen;
}

#define ARRIVES(dst) arrives_tagged(self->port, &self->net, self->in, self->frame, &self->seq, \
				    dst, -1)
#define ARRIVES_IN(vid) arrives_tagged(self->port, &self->net, self->in, self->frame, \
				       &self->seq, self->net.mac, vid)

TEST_F(ctrl, guest_offloads_command)
{
	u64 all, none = 0, bad;

	START(VNET_ALL, 1);
	all = self->net.vio.features & VNET_GUEST_OFFLOADS;
	EXPECT_NE(all, 0);
	EXPECT_EQ(CTRL(5, 0, &none, 8), VIRTIO_NET_OK);
	EXPECT_EQ(CTRL(5, 0, &all, 8), VIRTIO_NET_OK);
	for (unsigned int bit = 0; bit < 64; bit++) {
		bad = FEATURE(bit);
		if (all & bad)
			continue;
		EXPECT_EQ(CTRL(5, 0, &bad, 8), VIRTIO_NET_ERR) TH_LOG("bit %u", bit);
	}
	EXPECT_EQ(CTRL(5, 0, &all, 7), VIRTIO_NET_ERR);
	EXPECT_EQ(CTRL(5, 1, &all, 8), VIRTIO_NET_ERR);
	START(VNET_ALL & ~FEATURE(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS), 1);
	EXPECT_EQ(CTRL(5, 0, &none, 8), VIRTIO_NET_ERR);
}

/*
 * The host waits for a guest that takes no frames for a second, not longer.  A guest that sets its
 * offloads has taken none.
 */
TEST_F(ctrl, guest_offloads_command_takes_no_frames)
{
	cpu_set_t cpu;
	u64 all, end;
	size_t len;
	int err = 0;

	/* The port's socket chooses a queue by CPU */
	CPU_ZERO(&cpu);
	CPU_SET(sched_getcpu(), &cpu);
	ASSERT_EQ(sched_setaffinity(0, sizeof(cpu), &cpu), 0);
	net_rig_irqs(&self->rig, 0);
	vnet_start_empty(&self->net, &self->rig.dev[0], &self->rig.mem, VNET_ALL, 1);
	ASSERT_TRUE(port_wait_carrier(self->port));
	all = self->net.vio.features & VNET_GUEST_OFFLOADS;
	len = frame_make(self->frame, self->net.mac, mac_other, 1, 1000);
	for (unsigned int i = 0; i < 2000 && !err; i++)
		err = port_try_send(self->port, NULL, self->frame, len);
	ASSERT_NE(err, 0);
	for (end = now_ms() + WAIT_MS; err && now_ms() < end; usleep(100000)) {
		ASSERT_EQ(CTRL(5, 0, &all, 8), VIRTIO_NET_OK);
		err = port_try_send(self->port, NULL, self->frame, len);
	}
	EXPECT_EQ(err, 0);
	ASSERT_EQ(CTRL(5, 0, &all, 8), VIRTIO_NET_OK);
	EXPECT_EQ(port_try_send(self->port, NULL, self->frame, len), 0);
}

TEST_F(ctrl, commands_that_are_none)
{
	u8 data[64] = {};

	START(VNET_ALL, 1);
	for (unsigned int class = 0; class < 256; class += class < 8 ? 1 : 31) {
		for (unsigned int cmd = 8; cmd < 256; cmd += 49) {
			EXPECT_EQ(CTRL(class, cmd, data, sizeof(data)), VIRTIO_NET_ERR)
				TH_LOG("class %u command %u", class, cmd);
		}
	}
	/* Without data */
	for (unsigned int class = 0; class < 8; class++) {
		for (unsigned int cmd = 0; cmd < 3; cmd++) {
			if (class == VIRTIO_NET_CTRL_ANNOUNCE)
				continue;
			EXPECT_EQ(CTRL(class, cmd, data, 0), VIRTIO_NET_ERR)
				TH_LOG("class %u command %u", class, cmd);
		}
	}
	EXPECT_FALSE(virtio_needs_reset(&self->net.vio));
}

TEST_F(ctrl, commands_without_their_feature)
{
	u64 off = FEATURE(VIRTIO_NET_F_CTRL_RX) | FEATURE(VIRTIO_NET_F_CTRL_RX_EXTRA) |
		  FEATURE(VIRTIO_NET_F_CTRL_VLAN) | FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE) |
		  FEATURE(VIRTIO_NET_F_MQ) | FEATURE(VIRTIO_NET_F_CTRL_MAC_ADDR);
	u8 data[64] = { 1 };

	START(VNET_ALL & ~off, 1);
	for (unsigned int class = 0; class <= VIRTIO_NET_CTRL_MQ; class++) {
		for (unsigned int cmd = 0; cmd < 6; cmd++) {
			EXPECT_EQ(CTRL(class, cmd, data, sizeof(data)), VIRTIO_NET_ERR)
				TH_LOG("class %u command %u", class, cmd);
		}
	}
}

TEST_F(ctrl, receive_modes)
{
	static const u8 on = 1, off;
	u8 *mac = self->net.mac;

	ASSERT_EQ(vf_set_trust(self->rig.pf, 0, true), 0);
	START(VNET_ALL, 1);
	EXPECT_TRUE(ARRIVES(mac));
	EXPECT_TRUE(ARRIVES(mac_broadcast));
	EXPECT_FALSE(ARRIVES(mac_other));

	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1), VIRTIO_NET_OK);
	EXPECT_TRUE(ARRIVES(mac_other));
	EXPECT_TRUE(ARRIVES(mac_multicast));
	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_PROMISC, &off, 1), VIRTIO_NET_OK);
	EXPECT_FALSE(ARRIVES(mac_other));
	EXPECT_FALSE(ARRIVES(mac_multicast));

	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_ALLMULTI, &on, 1), VIRTIO_NET_OK);
	EXPECT_TRUE(ARRIVES(mac_multicast));
	EXPECT_FALSE(ARRIVES(mac_other));
	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_NOMULTI, &on, 1), VIRTIO_NET_OK);
	EXPECT_FALSE(ARRIVES(mac_multicast));
	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_NOMULTI, &off, 1), VIRTIO_NET_OK);

	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_ALLUNI, &on, 1), VIRTIO_NET_OK);
	EXPECT_TRUE(ARRIVES(mac_other));
	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_ALLUNI, &off, 1), VIRTIO_NET_OK);
	EXPECT_FALSE(ARRIVES(mac_other));

	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_NOBCAST, &on, 1), VIRTIO_NET_OK);
	EXPECT_FALSE(ARRIVES(mac_broadcast));
	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_NOBCAST, &off, 1), VIRTIO_NET_OK);
	EXPECT_TRUE(ARRIVES(mac_broadcast));

	/* Without unicast the frame that tells the end is one to all */
	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_NOUNI, &on, 1), VIRTIO_NET_OK);
	port_send(self->port, self->frame, frame_make(self->frame, mac, mac_other, 1, 80));
	port_send(self->port, self->frame,
		  frame_make(self->frame, mac_broadcast, mac_other, 2, 80));
	ASSERT_TRUE(wait_until(vnet_recv(&self->net, 0, self->in)));
	EXPECT_EQ(frame_seq(self->in->data, self->in->len), 2);
	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_NOUNI, &off, 1), VIRTIO_NET_OK);
	EXPECT_TRUE(ARRIVES(mac));
}

/* All modes are taken, but no unicast of others comes */
TEST_F(ctrl, promiscuous_guest_that_is_not_trusted)
{
	u8 on = 1;

	START(VNET_ALL, 1);
	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_PROMISC, &on, 1), VIRTIO_NET_OK);
	ASSERT_EQ(CTRL(0, VIRTIO_NET_CTRL_RX_ALLUNI, &on, 1), VIRTIO_NET_OK);
	EXPECT_FALSE(ARRIVES(mac_other));
	/* Multicast of others does */
	EXPECT_TRUE(ARRIVES(mac_multicast));
	/* It is as soon as the administrator says so */
	ASSERT_EQ(vf_set_trust(self->rig.pf, 0, true), 0);
	EXPECT_TRUE(wait_until(ARRIVES(mac_other)));
	ASSERT_EQ(vf_set_trust(self->rig.pf, 0, false), 0);
	EXPECT_TRUE(wait_until(!ARRIVES(mac_other)));
}

/* The data of MAC_TABLE_SET, in which the counts may be wrong */
static size_t mac_table(u8 *data, u32 uni, u32 uni_entries, u32 multi, u32 multi_entries)
{
	u8 *at = data;

	memcpy(at, &uni, 4);
	for (at += 4; uni_entries--; at += ETH_ALEN)
		memcpy(at, mac_other, ETH_ALEN);
	memcpy(at, &multi, 4);
	for (at += 4; multi_entries--; at += ETH_ALEN)
		memcpy(at, mac_multicast, ETH_ALEN);
	return at - data;
}

#define TABLE(...) CTRL(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, data, \
			mac_table(data, __VA_ARGS__))

#define MAX_MACS	64	/* of a kind */

TEST_F(ctrl, mac_table)
{
	static const u8 other_multicast[ETH_ALEN] = { 0x03, 0, 0, 0, 0, 0x43 };
	static u8 data[1024];
	u8 *mac = self->net.mac;

	ASSERT_EQ(vf_set_trust(self->rig.pf, 0, true), 0);
	START(VNET_ALL, 1);
	ASSERT_EQ(TABLE(1, 1, 1, 1), VIRTIO_NET_OK);
	EXPECT_TRUE(ARRIVES(mac));
	EXPECT_TRUE(ARRIVES(mac_other));
	EXPECT_TRUE(ARRIVES(mac_multicast));
	ASSERT_EQ(TABLE(0, 0, 0, 0), VIRTIO_NET_OK);
	EXPECT_TRUE(ARRIVES(mac));
	EXPECT_FALSE(ARRIVES(mac_other));
	EXPECT_FALSE(ARRIVES(mac_multicast));

	/* Wrong ones change nothing */
	ASSERT_EQ(TABLE(1, 1, 0, 0), VIRTIO_NET_OK);
	EXPECT_EQ(TABLE(5, 1, 0, 0), VIRTIO_NET_ERR);
	EXPECT_EQ(TABLE(0, 0, 9, 1), VIRTIO_NET_ERR);
	EXPECT_EQ(TABLE(~0U, 1, 0, 0), VIRTIO_NET_ERR);
	EXPECT_EQ(TABLE(0x2aaaaaab, 1, 0, 0), VIRTIO_NET_ERR);
	EXPECT_EQ(TABLE(0, 0, ~0U, 3), VIRTIO_NET_ERR);
	EXPECT_EQ(CTRL(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, data, 3),
		  VIRTIO_NET_ERR);
	EXPECT_TRUE(ARRIVES(mac_other));
	EXPECT_FALSE(ARRIVES(mac_multicast));

	/* As many as the device has room for: no others pass */
	ASSERT_EQ(TABLE(0, 0, MAX_MACS, MAX_MACS), VIRTIO_NET_OK);
	EXPECT_TRUE(ARRIVES(mac_multicast));
	EXPECT_FALSE(ARRIVES(other_multicast));

	/* More than that: all of the kind pass */
	ASSERT_EQ(TABLE(0, 0, 100, 100), VIRTIO_NET_OK);
	EXPECT_TRUE(ARRIVES(mac_multicast));
	EXPECT_FALSE(ARRIVES(mac_other));
	EXPECT_FALSE(virtio_needs_reset(&self->net.vio));
}

/* Addresses of each kind that the device has room for */
#define ROOM		64

static const u8 unlisted[ETH_ALEN] = { 0x02, 0, 0, 0, 0, 0x98 };
static const u8 unlisted_group[ETH_ALEN] = { 0x03, 0, 0, 0, 0, 0x43 };

TEST_F(ctrl, mac_table_has_its_entries_and_no_others)
{
	static u8 data[1024];

	ASSERT_EQ(vf_set_trust(self->rig.pf, 0, true), 0);
	START(VNET_ALL, 1);
	/* All that there is room for; only the last of each kind is as frame.h has it */
	mac_table(data, ROOM, ROOM, ROOM, ROOM);
	for (unsigned int i = 0; i < ROOM - 1; i++) {
		data[4 + ETH_ALEN * i + 4] = i + 1;
		data[8 + ETH_ALEN * (ROOM + i) + 4] = i + 1;
	}
	ASSERT_EQ(CTRL(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, data,
		       8 + 2 * ROOM * ETH_ALEN), VIRTIO_NET_OK);
	EXPECT_TRUE(ARRIVES(data + 4));
	EXPECT_TRUE(ARRIVES(data + 4 + ETH_ALEN * 17));
	EXPECT_FALSE(ARRIVES(unlisted));
	EXPECT_TRUE(ARRIVES(data + 8 + ETH_ALEN * ROOM));
	EXPECT_TRUE(ARRIVES(mac_multicast));
	EXPECT_FALSE(ARRIVES(unlisted_group));

	/* One more than that */
	ASSERT_EQ(TABLE(ROOM + 1, ROOM + 1, 0, 0), VIRTIO_NET_OK);
	EXPECT_TRUE(ARRIVES(unlisted));
	EXPECT_FALSE(ARRIVES(unlisted_group));
	ASSERT_EQ(TABLE(0, 0, ROOM + 1, ROOM + 1), VIRTIO_NET_OK);
	EXPECT_FALSE(ARRIVES(unlisted));
	EXPECT_TRUE(ARRIVES(unlisted_group));
	/* Not to a guest that is not trusted */
	ASSERT_EQ(TABLE(ROOM + 1, ROOM + 1, 0, 0), VIRTIO_NET_OK);
	ASSERT_EQ(vf_set_trust(self->rig.pf, 0, false), 0);
	EXPECT_TRUE(wait_until(!ARRIVES(unlisted)));
}

TEST_F(ctrl, mac_address_command)
{
	static const u8 zero[ETH_ALEN];
	static const u8 new[ETH_ALEN] = { 0x02, 1, 2, 3, 4, 5 };
	u8 old[ETH_ALEN], now[ETH_ALEN];
	struct vnet *net = &self->net;

	START(VNET_ALL, 1);
	memcpy(old, net->mac, ETH_ALEN);
	EXPECT_EQ(CTRL(1, VIRTIO_NET_CTRL_MAC_ADDR_SET, zero, 6), VIRTIO_NET_ERR);
	EXPECT_EQ(CTRL(1, VIRTIO_NET_CTRL_MAC_ADDR_SET, mac_multicast, 6), VIRTIO_NET_ERR);
	EXPECT_EQ(CTRL(1, VIRTIO_NET_CTRL_MAC_ADDR_SET, new, 5), VIRTIO_NET_ERR);
	EXPECT_TRUE(ARRIVES(old));
	ASSERT_EQ(CTRL(1, VIRTIO_NET_CTRL_MAC_ADDR_SET, new, 6), VIRTIO_NET_OK);
	virtio_config(&net->vio, 0, now, ETH_ALEN);
	EXPECT_EQ(memcmp(now, new, ETH_ALEN), 0);
	memcpy(net->mac, new, ETH_ALEN);
	EXPECT_TRUE(ARRIVES(new));
	EXPECT_FALSE(ARRIVES(old));

	/* It sends with the new address only, as the host checks */
	vnet_send(net, 0, self->frame, frame_make(self->frame, mac_other, old, 1, 60));
	vnet_send(net, 0, self->frame, frame_make(self->frame, mac_other, new, 2, 60));
	ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
	EXPECT_EQ(frame_seq(self->out->data, self->out->len), 2);

	/* A reset brings the old one back */
	START(VNET_ALL, 1);
	EXPECT_EQ(memcmp(net->mac, old, ETH_ALEN), 0);
}

TEST_F(ctrl, mac_address_of_the_administrator)
{
	static const u8 admin[ETH_ALEN] = { 0x02, 9, 9, 9, 9, 1 }, zero[ETH_ALEN];
	static const u8 new[ETH_ALEN] = { 0x02, 1, 2, 3, 4, 5 };
	u8 own[ETH_ALEN];

	START(VNET_ALL, 1);
	memcpy(own, self->net.mac, ETH_ALEN);
	ASSERT_EQ(vf_set_mac(self->rig.pf, 0, admin), 0);
	EXPECT_NE(vf_set_mac(self->rig.pf, 0, mac_multicast), 0);
	/* The guest keeps its own until the next reset, and must not choose another one */
	EXPECT_TRUE(ARRIVES(own));
	START(VNET_ALL, 1);
	EXPECT_EQ(memcmp(self->net.mac, admin, ETH_ALEN), 0);
	EXPECT_EQ(CTRL(1, VIRTIO_NET_CTRL_MAC_ADDR_SET, new, 6), VIRTIO_NET_ERR);
	EXPECT_EQ(CTRL(1, VIRTIO_NET_CTRL_MAC_ADDR_SET, admin, 6), VIRTIO_NET_OK);
	ASSERT_EQ(vf_set_trust(self->rig.pf, 0, true), 0);
	EXPECT_EQ(CTRL(1, VIRTIO_NET_CTRL_MAC_ADDR_SET, new, 6), VIRTIO_NET_OK);
	ASSERT_EQ(vf_set_mac(self->rig.pf, 0, zero), 0);
	START(VNET_ALL, 1);
	EXPECT_EQ(memcmp(self->net.mac, own, ETH_ALEN), 0);
}

TEST_F(ctrl, vlan_filter)
{
	static const u16 ids[] = { 0, 1, 7, 8, 100, 4094, 4095 };
	u16 bad = 4096, id;

	START(VNET_ALL, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(ids); i++) {
		id = ids[i];
		EXPECT_FALSE(ARRIVES_IN(id)) TH_LOG("VLAN %u", id);
		ASSERT_EQ(CTRL(2, VIRTIO_NET_CTRL_VLAN_ADD, &id, 2), VIRTIO_NET_OK);
		EXPECT_TRUE(ARRIVES_IN(id)) TH_LOG("VLAN %u", id);
		EXPECT_FALSE(ARRIVES_IN(id ^ 32)) TH_LOG("VLAN %u", id);
		ASSERT_EQ(CTRL(2, VIRTIO_NET_CTRL_VLAN_DEL, &id, 2), VIRTIO_NET_OK);
		EXPECT_FALSE(ARRIVES_IN(id)) TH_LOG("VLAN %u", id);
	}
	EXPECT_EQ(CTRL(2, VIRTIO_NET_CTRL_VLAN_ADD, &bad, 2), VIRTIO_NET_ERR);
	bad = 0xffff;
	EXPECT_EQ(CTRL(2, VIRTIO_NET_CTRL_VLAN_DEL, &bad, 2), VIRTIO_NET_ERR);
	EXPECT_EQ(CTRL(2, VIRTIO_NET_CTRL_VLAN_ADD, &id, 1), VIRTIO_NET_ERR);
	EXPECT_EQ(CTRL(2, 2, &id, 2), VIRTIO_NET_ERR);

	/* Without the filter all of them pass */
	START(VNET_ALL & ~FEATURE(VIRTIO_NET_F_CTRL_VLAN), 1);
	EXPECT_TRUE(ARRIVES_IN(100));
}

TEST_F(ctrl, pairs_command)
{
	static const u16 wrong[] = { 0, PAIRS + 1, 0x8000, 0xffff };
	struct vnet *net = &self->net;
	u16 pairs;

	START(VNET_ALL, PAIRS);
	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++)
		EXPECT_EQ(CTRL(4, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &wrong[i], 2), VIRTIO_NET_ERR);
	pairs = 1;
	EXPECT_EQ(CTRL(4, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs, 1), VIRTIO_NET_ERR);
	EXPECT_EQ(CTRL(4, 0x7f, &pairs, 2), VIRTIO_NET_ERR);

	/* With one pair in use, all frames come through it */
	ASSERT_EQ(CTRL(4, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, &pairs, 2), VIRTIO_NET_OK);
	for (u32 i = 0; i < 40; i++) {
		port_send(self->port, self->frame,
			  frame_make(self->frame, net->mac, mac_other, i, 60));
		ASSERT_TRUE(wait_until(vnet_recv(net, 0, self->in)));
		EXPECT_FALSE(vnet_recv(net, 1, self->in));
	}
}

TEST_F(ctrl, announcement_is_acknowledged)
{
	START(VNET_ALL, 1);
	EXPECT_EQ(vnet_status(&self->net) & VIRTIO_NET_S_ANNOUNCE, 0);
	EXPECT_EQ(CTRL(3, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0), VIRTIO_NET_OK);
	EXPECT_EQ(CTRL(3, 1, NULL, 0), VIRTIO_NET_ERR);
}

TEST_HARNESS_MAIN
