// SPDX-License-Identifier: GPL-2.0-only
/*
 * The wire of a virtio-net VF as the administrator sees it: the names of the netdevs, the settings
 * of a VF, and the counters of its representor.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net_rig.h"

#include "harness.h"

#define PAIRS		1

FIXTURE(wire)
{
	struct net_rig rig;
	struct vnet net;
	struct port *port;
	struct vnet_frame *in;		/* that the guest gets */
	struct port_frame *out;		/* that the host gets */
	u8 *frame;
	u32 seq;
};

FIXTURE_SETUP(wire)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 2, PAIRS);

	if (why)
		SKIP(return, "%s", why);
	self->port = &self->rig.port[0];
	self->in = shared_alloc(sizeof(*self->in));
	self->out = shared_alloc(sizeof(*self->out));
	self->frame = shared_alloc(FRAME_MAX);
	/* A guest that does not filter VLANs */
	net_rig_start(&self->rig, 0, &self->net,
		      VNET_ALL & ~FEATURE(VIRTIO_NET_F_CTRL_VLAN), PAIRS);
}

FIXTURE_TEARDOWN(wire)
{
	if (self->frame)
		EXPECT_EQ(net_rig_restore(&self->rig, 0), 0);
	net_rig_close(&self->rig);
}

#define COUNTER(name)	port_counter(self->port, name)

TEST_F(wire, names_of_the_netdevs)
{
	char name[32], expected[32], id[3][64];
	unsigned int number;

	ASSERT_EQ(port_attr(self->rig.pf, -1, "phys_port_name", name, sizeof(name)), 0);
	ASSERT_EQ(name[0], 'p');
	number = strtoul(name + 1, NULL, 10);
	for (int vf = -1; vf < 2; vf++) {
		ASSERT_EQ(port_attr(self->rig.pf, vf, "phys_switch_id", id[vf + 1],
				    sizeof(id[0])), 0);
		EXPECT_EQ(strlen(id[vf + 1]), 16);
		EXPECT_EQ(strcmp(id[vf + 1], id[0]), 0);
		if (vf < 0)
			continue;
		ASSERT_EQ(port_attr(self->rig.pf, vf, "phys_port_name", name, sizeof(name)), 0);
		snprintf(expected, sizeof(expected), "pf%uvf%d", number, vf);
		EXPECT_EQ(strcmp(name, expected), 0);
	}
}

/* The guest's frame number @seq, with a tag if @vid >= 0 */
static size_t make(struct vnet *net, u8 *frame, u32 seq, int vid)
{
	size_t len = frame_make(frame, mac_broadcast, net->mac, seq, 100);

	return vid >= 0 ? frame_tag(frame, len, vid) : len;
}

TEST_F(wire, frames_of_the_guest_get_the_vlan)
{
	u64 drops = COUNTER("from_guest_drop_vlan");

	ASSERT_EQ(vf_set_vlan(self->rig.pf, 0, 100, 3, ETH_P_8021Q), 0);
	/* It must not choose one itself */
	vnet_send(&self->net, 0, self->frame, make(&self->net, self->frame, 1, 100));
	vnet_send(&self->net, 0, self->frame, make(&self->net, self->frame, 2, -1));
	ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
	EXPECT_EQ(frame_seq(self->out->data, self->out->len), 2);
	EXPECT_TRUE(self->out->tagged);
	EXPECT_EQ(self->out->vid, 100);
	EXPECT_EQ(self->out->priority, 3);
	EXPECT_EQ(self->out->protocol, ETH_P_8021Q);
	EXPECT_EQ(COUNTER("from_guest_drop_vlan") - drops, 1);

	ASSERT_EQ(vf_set_vlan(self->rig.pf, 0, 0, 0, ETH_P_8021Q), 0);
	vnet_send(&self->net, 0, self->frame, make(&self->net, self->frame, 3, -1));
	ASSERT_TRUE(port_expect(self->port, self->out, 3));
	EXPECT_FALSE(self->out->tagged);
}

/* The guest's VLANs are inside of the administrator's */
TEST_F(wire, vlan_of_802_1ad_has_others_inside)
{
	size_t len;

	ASSERT_EQ(vf_set_vlan(self->rig.pf, 0, 200, 0, ETH_P_8021AD), 0);
	len = make(&self->net, self->frame, 1, 7);
	vnet_send(&self->net, 0, self->frame, len);
	ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
	EXPECT_TRUE(self->out->tagged);
	EXPECT_EQ(self->out->vid, 200);
	EXPECT_EQ(self->out->protocol, ETH_P_8021AD);
	ASSERT_EQ(self->out->len, len);
	EXPECT_EQ(memcmp(self->out->data, self->frame, len), 0);
}

/* A frame of each of these VLANs to a guest, numbered from 0; without a tag where it is -1 */
static void send_tagged(struct port *port, u8 *frame, const u8 *mac, const int *vids,
			unsigned int n)
{
	for (u32 i = 0; i < n; i++) {
		size_t len = frame_make(frame, mac, mac_other, i, 100);

		if (vids[i] >= 0)
			len = frame_tag(frame, len, vids[i]);
		port_send(port, frame, len);
	}
}

TEST_F(wire, frames_of_other_vlans_do_not_reach_the_guest)
{
	static const int vids[] = { -1, 101, 0, 100 };
	u64 drops = COUNTER("to_guest_drop_vlan");

	ASSERT_EQ(vf_set_vlan(self->rig.pf, 0, 100, 0, ETH_P_8021Q), 0);
	send_tagged(self->port, self->frame, self->net.mac, vids, ARRAY_SIZE(vids));
	/* Only the last one comes, without its tag */
	ASSERT_TRUE(wait_until(vnet_recv(&self->net, 0, self->in)));
	EXPECT_EQ(frame_seq(self->in->data, self->in->len), 3);
	EXPECT_EQ(COUNTER("to_guest_drop_vlan") - drops, 3);
}

/* A priority without a VLAN: VLAN 0, which is none */
TEST_F(wire, priority_goes_with_or_without_a_vlan)
{
	static const int vids[] = { -1, 7, 0 };

	ASSERT_EQ(vf_set_vlan(self->rig.pf, 0, 0, 5, ETH_P_8021Q), 0);
	vnet_send(&self->net, 0, self->frame, make(&self->net, self->frame, 1, -1));
	ASSERT_TRUE(port_expect(self->port, self->out, 1));
	EXPECT_TRUE(self->out->tagged);
	EXPECT_EQ(self->out->vid, 0);
	EXPECT_EQ(self->out->priority, 5);

	/* To the guest: without a tag, and with one of VLAN 0, which it does not see */
	send_tagged(self->port, self->frame, self->net.mac, vids, ARRAY_SIZE(vids));
	ASSERT_TRUE(wait_until(vnet_recv(&self->net, 0, self->in)));
	EXPECT_EQ(frame_seq(self->in->data, self->in->len), 0);
	ASSERT_TRUE(wait_until(vnet_recv(&self->net, 0, self->in)));
	EXPECT_EQ(frame_seq(self->in->data, self->in->len), 2);
}

/* A guest with a VLAN of either kind can't have one of 802.1ad around it */
TEST_F(wire, outer_tags_of_the_guest_are_dropped)
{
	static const u16 protocols[] = { ETH_P_8021Q, ETH_P_8021AD };
	u64 drops = COUNTER("from_guest_drop_vlan");

	for (u32 i = 0; i < ARRAY_SIZE(protocols); i++) {
		size_t len = make(&self->net, self->frame, i, 9);

		self->frame[2 * ETH_ALEN] = ETH_P_8021AD >> 8;
		self->frame[2 * ETH_ALEN + 1] = ETH_P_8021AD & 0xff;
		ASSERT_EQ(vf_set_vlan(self->rig.pf, 0, 100, 0, protocols[i]), 0);
		vnet_send(&self->net, 0, self->frame, len);
		EXPECT_TRUE(wait_until(COUNTER("from_guest_drop_vlan") == drops + i + 1));
	}
	EXPECT_FALSE(port_recv(self->port, self->out));
}

/* The VFs that there could be, and those that there can't */
TEST_F(wire, settings_of_a_vf_that_is_not_there_are_refused)
{
	static const u8 mac[ETH_ALEN] = { 0x02, 0, 0, 0, 0, 7 };
	static const unsigned int vfs[] = { 2, 63, 64, 0x7fffffff, 0xffffffff };

	for (unsigned int i = 0; i < ARRAY_SIZE(vfs); i++) {
		EXPECT_EQ(vf_set_mac(self->rig.pf, vfs[i], mac), -EINVAL);
		EXPECT_EQ(vf_set_vlan(self->rig.pf, vfs[i], 1, 0, ETH_P_8021Q), -EINVAL);
		EXPECT_EQ(vf_set_rate(self->rig.pf, vfs[i], 1), -EINVAL);
		EXPECT_EQ(vf_set_spoofchk(self->rig.pf, vfs[i], false), -EINVAL);
		EXPECT_EQ(vf_set_trust(self->rig.pf, vfs[i], true), -EINVAL);
		EXPECT_EQ(vf_set_link(self->rig.pf, vfs[i], IFLA_VF_LINK_STATE_DISABLE), -EINVAL);
	}
}

TEST_F(wire, settings_out_of_range_are_refused)
{
	EXPECT_EQ(vf_set_vlan(self->rig.pf, 0, 4095, 0, ETH_P_8021Q), -EINVAL);
	EXPECT_EQ(vf_set_vlan(self->rig.pf, 0, 1, 8, ETH_P_8021Q), -EINVAL);
	EXPECT_EQ(vf_set_vlan(self->rig.pf, 0, 1, 0, ETH_P_IP), -EPROTONOSUPPORT);
	EXPECT_EQ(vf_set_rate(self->rig.pf, 0, 25001), -EINVAL);
	EXPECT_EQ(vf_set_mac(self->rig.pf, 0, mac_broadcast), -EINVAL);
	EXPECT_EQ(vf_set_link(self->rig.pf, 0, IFLA_VF_LINK_STATE_DISABLE + 1), -EINVAL);
	EXPECT_EQ(vf_set_rate(self->rig.pf, 63, 1), -EINVAL);
}

/* All frames come, as fast as the rate allows, after those of the first 64 KiB */
TEST_F(wire, frames_wait_for_the_rate)
{
	const unsigned int frames = 20, len = 20000, mbit = 8;
	const u64 least_ms = (frames * len - KIB(64) - len) / (mbit * 1000 / 8);
	u64 start = now_ms();

	ASSERT_EQ(vf_set_rate(self->rig.pf, 0, mbit), 0);
	for (u32 seq = 0; seq < frames; seq++) {
		vnet_send(&self->net, 0, self->frame,
			  frame_make(self->frame, mac_broadcast, self->net.mac, seq, len));
		EXPECT_TRUE(port_expect(self->port, self->out, seq));
	}
	EXPECT_GE(now_ms() - start, least_ms);
	note("%u ms, at least %u", (unsigned int)(now_ms() - start), (unsigned int)least_ms);
}

/* What the host's tools show of all queues together */
static u64 statistic(const struct port *port, const char *name)
{
	char path[128], text[32];

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", port->name, name);
	must(!file_read(path, text, sizeof(text)));
	return strtoull(text, NULL, 10);
}

TEST_F(wire, statistics_of_the_representor)
{
	u64 received = statistic(self->port, "rx_packets");
	u64 sent = statistic(self->port, "tx_packets");

	/* The host has sent nothing yet but what comes with a link */
	EXPECT_LT(sent, 100);
	EXPECT_LT(received, 100);
	for (u32 seq = 0; seq < 2 * PAIRS; seq++) {
		vnet_send(&self->net, seq % PAIRS, self->frame,
			  make(&self->net, self->frame, seq, -1));
		ASSERT_TRUE(port_expect(self->port, self->out, seq));
		port_send(self->port, self->frame,
			  frame_make(self->frame, self->net.mac, mac_other, seq, 200));
		ASSERT_TRUE(vnet_expect(&self->net, self->in, seq));
	}
	EXPECT_EQ(statistic(self->port, "rx_packets") - received, 2 * PAIRS);
	EXPECT_EQ(statistic(self->port, "tx_packets") - sent, 2 * PAIRS);
}

TEST_F(wire, counters_of_the_representor)
{
	static const u8 forged[ETH_ALEN] = { 0x02, 1, 2, 3, 4, 5 };
	u64 sent = COUNTER("from_guest_q0_bytes"), got = COUNTER("to_guest_q0_bytes");
	u64 sent_frames = COUNTER("from_guest_q0_packets");
	u64 got_frames = COUNTER("to_guest_q0_packets");
	u64 filtered = COUNTER("to_guest_drop_filtered");
	u64 spoof = COUNTER("from_guest_drop_spoof");
	u64 link = COUNTER("from_guest_drop_link");

	for (u32 seq = 0; seq < 10; seq++) {
		vnet_send(&self->net, 0, self->frame, make(&self->net, self->frame, seq, -1));
		ASSERT_TRUE(port_expect(self->port, self->out, seq));
		port_send(self->port, self->frame,
			  frame_make(self->frame, self->net.mac, mac_other, seq, 200));
		ASSERT_TRUE(vnet_expect(&self->net, self->in, seq));
	}
	EXPECT_EQ(COUNTER("from_guest_q0_packets") - sent_frames, 10);
	EXPECT_EQ(COUNTER("from_guest_q0_bytes") - sent, 10 * 100);
	EXPECT_EQ(COUNTER("to_guest_q0_packets") - got_frames, 10);
	EXPECT_EQ(COUNTER("to_guest_q0_bytes") - got, 10 * 200);

	/* Why frames were dropped */
	vnet_send(&self->net, 0, self->frame,
		  frame_make(self->frame, mac_broadcast, forged, 20, 100));
	EXPECT_TRUE(wait_until(COUNTER("from_guest_drop_spoof") == spoof + 1));
	port_send(self->port, self->frame,
		  frame_make(self->frame, mac_other, mac_other, 21, 100));
	EXPECT_TRUE(wait_until(COUNTER("to_guest_drop_filtered") == filtered + 1));
	ASSERT_EQ(vf_set_link(self->rig.pf, 0, IFLA_VF_LINK_STATE_DISABLE), 0);
	vnet_send(&self->net, 0, self->frame, make(&self->net, self->frame, 22, -1));
	EXPECT_TRUE(wait_until(COUNTER("from_guest_drop_link") == link + 1));
}

/* What ethtool shows: a queue for each pair, and how many frames wait at the port */
TEST_F(wire, queues_of_the_representor)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ethtool_ringparam rings = { .cmd = ETHTOOL_GRINGPARAM };
	unsigned int sent = 0;
	size_t len;

	ASSERT_EQ(port_ethtool(self->port, &channels), 0);
	EXPECT_EQ(channels.combined_count, PAIRS);
	EXPECT_EQ(channels.max_combined, PAIRS);
	EXPECT_EQ(channels.rx_count + channels.tx_count + channels.other_count, 0);
	ASSERT_EQ(port_ethtool(self->port, &rings), 0);
	EXPECT_EQ(rings.tx_pending, rings.tx_max_pending);
	EXPECT_EQ(rings.rx_pending, rings.rx_max_pending);
	EXPECT_GT(rings.rx_pending, 0);
	/* None of them can be set */
	channels.cmd = ETHTOOL_SCHANNELS;
	EXPECT_EQ(port_ethtool(self->port, &channels), -EOPNOTSUPP);
	rings.cmd = ETHTOOL_SRINGPARAM;
	EXPECT_EQ(port_ethtool(self->port, &rings), -EOPNOTSUPP);

	/* A guest without buffers: so many frames wait, and the next is refused */
	net_rig_irqs(&self->rig, 0);
	vnet_start_empty(&self->net, &self->rig.dev[0], &self->rig.mem, VNET_ALL, PAIRS);
	ASSERT_TRUE(port_wait_carrier(self->port));
	len = frame_make(self->frame, self->net.mac, mac_other, 1, 60);
	while (sent < 2 * rings.tx_pending &&
	       !port_try_send(self->port, NULL, self->frame, len))
		sent++;
	EXPECT_EQ(sent, rings.tx_pending);
}

/* No cable is in the uplink: nothing that is sent there arrives anywhere */
TEST_F(wire, uplink_has_no_carrier)
{
	struct ethtool_value link = { .cmd = ETHTOOL_GLINK, .data = 1 };
	struct port uplink = { .fd = -1 };
	char carrier[8];

	port_netdev(self->rig.pf, uplink.name);
	port_no_ipv6(&uplink);
	port_set_up(&uplink, true);
	ASSERT_EQ(port_attr(self->rig.pf, -1, "carrier", carrier, sizeof(carrier)), 0);
	EXPECT_EQ(strcmp(carrier, "0"), 0);
	ASSERT_EQ(port_ethtool(&uplink, &link), 0);
	EXPECT_EQ(link.data, 0);
	/* A representor has one as its guest runs */
	link.cmd = ETHTOOL_GLINK;
	ASSERT_EQ(port_ethtool(self->port, &link), 0);
	EXPECT_EQ(link.data, 1);
	port_set_up(&uplink, false);
}

TEST_HARNESS_MAIN
