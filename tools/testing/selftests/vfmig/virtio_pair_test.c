// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two guests on a bridge, each of which asks the other one again and again.  Both move at the
 * same time.  The bridge learns from their announcements where they are.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_bridge.h>
#include <linux/ip.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_rig.h"

#include "harness.h"

FIXTURE(pair)
{
	struct net_rig rig;
	struct vnet net[2];
	struct vnet_frame *in;
	u8 *frame;
	bool bridged;
};

#define BRIDGE		"vfmig-test"

static int bridge_ioctl(unsigned long request, void *arg)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err;

	must(fd >= 0);
	err = ioctl(fd, request, arg) ? -errno : 0;
	close(fd);
	return err;
}

static const char *make_bridge(struct net_rig *rig)
{
	struct port bridge = { .name = BRIDGE, .fd = -1 };
	struct ifreq ifr = { .ifr_name = BRIDGE };

	if (bridge_ioctl(SIOCBRADDBR, BRIDGE))
		return "this kernel has no bridges";
	for (unsigned int i = 0; i < rig->devs; i++) {
		ifr.ifr_ifindex = if_nametoindex(rig->port[i].name);
		must(!bridge_ioctl(SIOCBRADDIF, &ifr));
	}
	port_no_ipv6(&bridge);
	port_set_up(&bridge, true);
	return NULL;
}

FIXTURE_SETUP(pair)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 4, 1);

	if (!why)
		why = make_bridge(&self->rig);
	if (why)
		SKIP(return, "%s", why);
	self->bridged = true;
	self->in = shared_alloc(sizeof(*self->in));
	self->frame = shared_alloc(FRAME_MAX);
}

FIXTURE_TEARDOWN(pair)
{
	struct port bridge = { .name = BRIDGE, .fd = -1 };

	if (self->bridged) {
		port_set_up(&bridge, false);
		EXPECT_EQ(bridge_ioctl(SIOCBRDELBR, BRIDGE), 0);
	}
	net_rig_close(&self->rig);
}

/* What the driver does at its new place: it sends a frame, and acknowledges */
static void announce(struct vnet *net, u8 *frame)
{
	if (!(vnet_status(net) & VIRTIO_NET_S_ANNOUNCE))
		return;
	vnet_send(net, 0, frame, frame_make(frame, mac_broadcast, net->mac, 1 << 30, 60));
	must(vnet_ctrl(net, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0) ==
	     VIRTIO_NET_OK);
}

/* Take frames; returns the last number that came, or -1 */
static s64 listen_to(struct vnet *net, struct vnet_frame *in)
{
	s64 last = -1;

	while (vnet_recv(net, 0, in)) {
		s64 seq = frame_seq(in->data, in->len);

		must(in->len < FRAME_MIN || seq >= 0 || in->data[12] != 0x88);
		if (seq >= 0 && seq < 1 << 30)
			last = seq;
	}
	return last;
}

/* One asks until the other one has heard, which answers until the one has heard */
static bool exchange(struct vnet *a, struct vnet *b, struct vnet_frame *in, u8 *frame, u32 seq)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct vnet *from = i ? b : a, *to = i ? a : b;
		bool heard = false;

		for (u64 end = now_ms() + WAIT_MS; !heard && now_ms() < end;) {
			announce(a, frame);
			announce(b, frame);
			vnet_send(from, 0, frame, frame_make(frame, to->mac, from->mac, seq, 300));
			for (unsigned int looks = 0; !heard && looks < 200; looks++) {
				heard = listen_to(to, in) == seq;
				rest(looks);
			}
		}
		if (!heard)
			return false;
	}
	return true;
}

TEST_F_TIMEOUT(pair, talk_while_both_move, 60)
{
	struct net_rig *rig = &self->rig;
	struct blob blob[2] = {};
	u32 seq = 0;

	/* From devices 0 and 1 to devices 2 and 3, and back */
	for (unsigned int i = 0; i < 2; i++)
		net_rig_start(rig, i, &self->net[i], VNET_ALL, 1);
	for (unsigned int move = 0; move < 4; move++) {
		unsigned int from = move % 2 ? 2 : 0, to = 2 - from;

		for (unsigned int i = 0; i < 30; i++)
			ASSERT_TRUE(exchange(&self->net[0], &self->net[1], self->in, self->frame,
					     seq++));
		for (unsigned int i = 0; i < 2; i++)
			ASSERT_EQ(vfio_reset(&rig->dev[to + i]), 0);
		/* On their way while the devices stop one after the other */
		for (unsigned int i = 0; i < 2; i++)
			vnet_send(&self->net[i], 0, self->frame,
				  frame_make(self->frame, self->net[!i].mac, self->net[i].mac,
					     seq++, 100));
		for (unsigned int i = 0; i < 2; i++)
			ASSERT_EQ(mig_set(&rig->dev[from + i], RUNNING_P2P, NULL), 0);
		for (unsigned int i = 0; i < 2; i++)
			mig_save(&rig->dev[from + i], &blob[i]);
		for (unsigned int i = 0; i < 2; i++)
			net_rig_land(rig, &self->net[i], to + i, &blob[i], RUNNING_P2P);
		for (unsigned int i = 0; i < 2; i++)
			ASSERT_EQ(mig_set(&rig->dev[to + i], RUNNING, NULL), 0);
	}
	for (unsigned int i = 0; i < 30; i++)
		ASSERT_TRUE(exchange(&self->net[1], &self->net[0], self->in, self->frame, seq++));
	for (unsigned int i = 0; i < 2; i++) {
		EXPECT_TRUE(wait_until(!vnet_reap(&self->net[i], 0)));
		EXPECT_EQ(self->net[i].rx[0].free, 0);
		blob_free(&blob[i]);
	}
}

#define SEGMENT		1000
#define SEGMENTS	8
#define TCP_HEADERS	(ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr))

static u32 add_words(const void *data, size_t len, u32 sum)
{
	for (size_t i = 0; i < len; i += 2)
		sum += ((const u8 *)data)[i] << 8 | ((const u8 *)data)[i + 1];
	return sum;
}

static u16 fold(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return htons(sum + (sum >> 16));
}

/* Segment @n of a TCP stream, with the part of the checksum that a driver computes */
static size_t make_segment(u8 *frame, const u8 *dst, const u8 *src, unsigned int n,
			   const u8 *data)
{
	struct ethhdr *eth = (void *)frame;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	memset(frame, 0, TCP_HEADERS);
	memcpy(eth->h_dest, dst, ETH_ALEN);
	memcpy(eth->h_source, src, ETH_ALEN);
	eth->h_proto = htons(ETH_P_IP);
	*ip = (struct iphdr){
		.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP, .id = htons(n),
		.tot_len = htons(TCP_HEADERS - ETH_HLEN + SEGMENT),
		/* For documentation */
		.saddr = htonl(0xc0000201), .daddr = htonl(0xc0000202),
	};
	ip->check = ~fold(add_words(ip, sizeof(*ip), 0));
	*tcp = (struct tcphdr){
		.source = htons(1000), .dest = htons(2000), .seq = htonl(n * SEGMENT),
		.doff = sizeof(*tcp) / 4, .ack = 1, .window = htons(1000),
	};
	tcp->check = fold(add_words(&ip->saddr, 2 * sizeof(ip->saddr),
				    IPPROTO_TCP + sizeof(*tcp) + SEGMENT));
	memcpy(tcp + 1, data + n * SEGMENT, SEGMENT);
	return TCP_HEADERS + SEGMENT;
}

/* The host merges segments of a guest.  The other guest gets what it merged, in one frame. */
TEST_F(pair, segments_that_the_host_merges)
{
	struct virtio_net_hdr_v1 header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = ETH_HLEN + sizeof(struct iphdr),
		.csum_offset = offsetof(struct tcphdr, check),
	};
	struct vnet *from = &self->net[0], *to = &self->net[1];
	u8 data[SEGMENTS * SEGMENT];
	size_t got = 0, longest = 0;

	fill_pattern(data, sizeof(data), 1);
	for (unsigned int i = 0; i < 2; i++)
		net_rig_start(&self->rig, i, &self->net[i], VNET_ALL, 1);
	ASSERT_TRUE(exchange(from, to, self->in, self->frame, 1));
	net_rig_settle(&self->rig, 0);
	while (listen_to(to, self->in) >= 0)
		;
	for (unsigned int n = 0; n < SEGMENTS; n++)
		ASSERT_TRUE(vnet_queue(from, 0, &header, self->frame,
				       make_segment(self->frame, to->mac, from->mac, n, data)));
	virtq_notify(&from->tx[0]);

	while (got < sizeof(data)) {
		size_t len;

		ASSERT_TRUE(wait_until(vnet_recv(to, 0, self->in)));
		len = self->in->len - TCP_HEADERS;
		ASSERT_LE(got + len, sizeof(data));
		EXPECT_EQ(memcmp(self->in->data + TCP_HEADERS, data + got, len), 0);
		EXPECT_EQ(self->in->header.gso_type, len > SEGMENT ? VIRTIO_NET_HDR_GSO_TCPV4 : 0);
		got += len;
		longest = len > longest ? len : longest;
	}
	EXPECT_GT(longest, SEGMENT);
}

TEST_HARNESS_MAIN
