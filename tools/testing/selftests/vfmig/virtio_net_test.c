// SPDX-License-Identifier: GPL-2.0-only
/*
 * The network device of a virtio-net VF: its configuration, and frames both ways, with and
 * without offloads, of any size, right and wrong.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net_rig.h"

#include "harness.h"

#define PAIRS		2
#define PLAIN		(VNET_ALL & ~(VNET_GUEST_OFFLOADS | VNET_HOST_OFFLOADS))

FIXTURE(net)
{
	struct net_rig rig;
	struct vnet net;
	struct port *port;
	struct vnet_frame *in;		/* that the guest gets */
	struct port_frame *out;		/* that the host gets */
	u8 *frame;
	u32 seq;
};

FIXTURE_SETUP(net)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 1, PAIRS);

	if (why)
		SKIP(return, "%s", why);
	self->port = &self->rig.port[0];
	self->in = shared_alloc(sizeof(*self->in));
	self->out = shared_alloc(sizeof(*self->out));
	self->frame = shared_alloc(FRAME_MAX);
}

FIXTURE_TEARDOWN(net)
{
	if (self->frame)
		EXPECT_EQ(net_rig_restore(&self->rig, 0), 0);
	net_rig_close(&self->rig);
}

#define START(features, pairs) net_rig_start(&self->rig, 0, &self->net, features, pairs)
#define CTRL(class, cmd, data, len) vnet_ctrl(&self->net, class, cmd, data, len)

TEST_F(net, configuration)
{
	struct virtio_net_config config;

	START(VNET_ALL, 1);
	virtio_config(&self->net.vio, 0, &config, sizeof(config));
	EXPECT_EQ(config.mac[0] & 1, 0);
	EXPECT_FALSE(is_filled(config.mac, ETH_ALEN, 0));
	EXPECT_EQ(config.max_virtqueue_pairs, PAIRS);
	EXPECT_EQ(config.mtu, 1500);
	EXPECT_EQ(config.duplex, 1);
	EXPECT_GT(config.speed, 0);
	EXPECT_TRUE(wait_until(vnet_status(&self->net) & VIRTIO_NET_S_LINK_UP));
	EXPECT_EQ(vnet_status(&self->net) & VIRTIO_NET_S_ANNOUNCE, 0);
}

TEST_F(net, frames_of_all_sizes_both_ways)
{
	static const size_t sizes[] = { FRAME_MIN, 59, 60, 61, 64, 1000, 1513, 1514 };
	struct vnet *net = &self->net;

	START(VNET_ALL, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		vnet_send(net, 0, self->frame,
			  frame_make(self->frame, mac_broadcast, net->mac, i, sizes[i]));
		EXPECT_TRUE(port_expect(self->port, self->out, i)) TH_LOG("%zu", sizes[i]);
		port_send(self->port, self->frame,
			  frame_make(self->frame, net->mac, mac_other, i, sizes[i]));
		EXPECT_TRUE(vnet_expect(net, self->in, i)) TH_LOG("%zu", sizes[i]);
		EXPECT_EQ(self->in->buffers, 1);
		EXPECT_EQ(self->in->header.flags & ~VIRTIO_NET_HDR_F_DATA_VALID, 0);
		EXPECT_EQ(self->in->header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	}
}

TEST_F(net, frames_without_buffers_wait)
{
	struct vnet *net = &self->net;
	struct frame_set set;

	net_rig_irqs(&self->rig, 0);
	vnet_start_empty(net, &self->rig.dev[0], &self->rig.mem, PLAIN, 1);
	ASSERT_TRUE(port_wait_carrier(self->port));
	frame_set_init(&set, 20);
	for (u32 i = 0; i < set.count; i++)
		port_send(self->port, self->frame,
			  frame_make(self->frame, net->mac, mac_other, i, 100));
	EXPECT_TRUE(stays_false(vnet_take(net, 0, self->in)));
	/* A few at a time, and each of them is worth a notification */
	for (unsigned int i = 0; i < 5; i++) {
		EXPECT_EQ(vnet_fill(net, 0, 4), 4);
		for (unsigned int j = 0; j < 4; j++) {
			ASSERT_TRUE(wait_until(vnet_take(net, 0, self->in)));
			frame_set_add(&set, frame_seq(self->in->data, self->in->len));
		}
	}
	EXPECT_EQ(set.missing, 0);
	frame_set_free(&set);
}

#define WAITING	5

static void start_without_buffers(struct __test_metadata *_metadata, struct net_rig *rig,
				  struct vnet *net)
{
	vnet_start_empty(net, &rig->dev[0], &rig->mem, PLAIN, 1);
	ASSERT_TRUE(port_wait_carrier(&rig->port[0]));
}

/*
 * The host sends frames that the guest has no buffers for.  Returns how many were dropped of those
 * before.
 */
static u64 let_frames_wait(struct __test_metadata *_metadata, struct net_rig *rig,
			   struct vnet *net, u8 *frame)
{
	u64 before = port_counter(&rig->port[0], "to_guest_drop_flushed");

	net_rig_irqs(rig, 0);
	start_without_buffers(_metadata, rig, net);
	for (u32 i = 0; i < WAITING; i++)
		port_send(&rig->port[0], frame, frame_make(frame, net->mac, mac_other, i, 100));
	EXPECT_EQ(port_counter(&rig->port[0], "to_guest_drop_flushed"), before);
	return before;
}

/* The guest gets none of them when it has buffers, but what is sent from now on */
static void expect_flushed(struct __test_metadata *_metadata, struct port *port,
			   struct vnet *net, u8 *frame, u64 before)
{
	static struct vnet_frame in;

	EXPECT_EQ(port_counter(port, "to_guest_drop_flushed") - before, WAITING);
	vnet_fill(net, 0, 2 * WAITING);
	EXPECT_TRUE(stays_false(vnet_take(net, 0, &in)));
	port_send(port, frame, frame_make(frame, net->mac, mac_other, WAITING, 100));
	EXPECT_TRUE(vnet_expect(net, &in, WAITING));
}

TEST_F(net, frames_that_wait_go_with_the_representor)
{
	u64 before = let_frames_wait(_metadata, &self->rig, &self->net, self->frame);

	port_set_up(self->port, false);
	port_set_up(self->port, true);
	ASSERT_TRUE(port_wait_carrier(self->port));
	expect_flushed(_metadata, self->port, &self->net, self->frame, before);
}

TEST_F(net, frames_that_wait_go_with_the_driver)
{
	u64 before = let_frames_wait(_metadata, &self->rig, &self->net, self->frame);

	start_without_buffers(_metadata, &self->rig, &self->net);
	expect_flushed(_metadata, self->port, &self->net, self->frame, before);
}

/* No sender waits for long for a guest that takes no frames, also if it took one just before */
TEST_F_TIMEOUT(net, guest_that_takes_no_frames_holds_no_sender, 90)
{
	struct vnet *net = &self->net;
	u64 stalls, full;

	net_rig_irqs(&self->rig, 0);
	start_without_buffers(_metadata, &self->rig, net);
	port_send(self->port, self->frame,
		  frame_make(self->frame, net->mac, mac_other, 0, 100));
	/* The device has looked at the queue for half of the time that makes a stall */
	usleep(500 * 1000);
	vnet_fill(net, 0, 1);
	ASSERT_TRUE(wait_until(vnet_take(net, 0, self->in)));
	stalls = port_counter(self->port, "to_guest_stalls");
	full = port_counter(self->port, "to_guest_drop_full");
	port_send(self->port, self->frame,
		  frame_make(self->frame, net->mac, mac_other, 1, 100));
	ASSERT_TRUE(wait_until(port_counter(self->port, "to_guest_stalls") > stalls));
	for (u32 i = 0; i < 1000; i++)
		port_send(self->port, self->frame,
			  frame_make(self->frame, net->mac, mac_other, 2 + i, 100));
	EXPECT_GT(port_counter(self->port, "to_guest_drop_full"), full);
}

static bool take_sent(struct port *port, struct port_frame *out, struct frame_set *set)
{
	while (port_recv(port, out))
		frame_set_add(set, frame_seq(out->data, out->len));
	return !set->missing;
}

static bool take_received(struct vnet *net, struct vnet_frame *in, struct frame_set *set)
{
	for (unsigned int i = 0; i < net->pairs; i++)
		while (vnet_recv(net, i, in))
			frame_set_add(set, frame_seq(in->data, in->len));
	return !set->missing;
}

TEST_F(net, many_frames_both_ways_come_once)
{
	struct vnet *net = &self->net;
	struct frame_set sent, received;

	START(VNET_ALL, PAIRS);
	frame_set_init(&sent, 400);
	frame_set_init(&received, 400);
	for (u32 i = 0; i < 400; i++) {
		vnet_send(net, i % PAIRS, self->frame,
			  frame_make(self->frame, mac_broadcast, net->mac, i, 60 + i));
		port_send(self->port, self->frame,
			  frame_make(self->frame, net->mac, mac_other, i, 60 + i));
		take_sent(self->port, self->out, &sent);
		take_received(net, self->in, &received);
	}
	EXPECT_TRUE(wait_until(take_sent(self->port, self->out, &sent)));
	EXPECT_TRUE(wait_until(take_received(net, self->in, &received)));
	frame_set_free(&sent);
	frame_set_free(&received);
}

/* Buffers of the guest that are too small for a frame each */
TEST_F(net, frames_in_merged_buffers)
{
	struct vnet *net = &self->net;

	port_set_mtu(self->port, 9000);
	START(PLAIN, 1);
	for (u32 i = 0; i < 30; i++) {
		size_t len = 1500 + 250 * i;
		unsigned int buffers = (len + VNET_HEADER + VNET_BUF - 1) / VNET_BUF;

		port_send(self->port, self->frame,
			  frame_make(self->frame, net->mac, mac_other, i, len));
		ASSERT_TRUE(vnet_expect(net, self->in, i)) TH_LOG("%zu", len);
		EXPECT_EQ(self->in->buffers, buffers) TH_LOG("%zu", len);
	}
}

TEST_F(net, frames_that_do_not_fit_are_dropped)
{
	struct vnet *net = &self->net;

	port_set_mtu(self->port, 9000);
	START(PLAIN & ~FEATURE(VIRTIO_NET_F_MRG_RXBUF), 1);
	port_send(self->port, self->frame,
		  frame_make(self->frame, net->mac, mac_other, 1, VNET_BUF - VNET_HEADER));
	EXPECT_TRUE(vnet_expect(net, self->in, 1));
	EXPECT_EQ(self->in->header.num_buffers, 1);
	port_send(self->port, self->frame,
		  frame_make(self->frame, net->mac, mac_other, 2, VNET_BUF - VNET_HEADER + 1));
	port_send(self->port, self->frame, frame_make(self->frame, net->mac, mac_other, 3, 60));
	ASSERT_TRUE(wait_until(vnet_recv(net, 0, self->in)));
	EXPECT_EQ(frame_seq(self->in->data, self->in->len), 3);
	EXPECT_FALSE(virtio_needs_reset(&net->vio));
}

/* The guest sees it after a reset, and the driver can rely on it until then */
TEST_F(net, mtu_of_the_representor)
{
	u16 mtu;

	START(PLAIN, 1);
	port_set_mtu(self->port, 4000);
	virtio_config(&self->net.vio, offsetof(struct virtio_net_config, mtu), &mtu, 2);
	EXPECT_EQ(mtu, 1500);
	ASSERT_EQ(virtio_reset(&self->net.vio), 0);
	EXPECT_TRUE(wait_until((virtio_config(&self->net.vio,
					      offsetof(struct virtio_net_config, mtu), &mtu, 2),
				mtu == 4000)));
}

static size_t tcp_frame(u8 *frame, const u8 *dst, const u8 *src, size_t payload)
{
	struct ethhdr *eth = (void *)frame;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	u32 sum = 0;

	memset(frame, 0, sizeof(*eth) + sizeof(*ip) + sizeof(*tcp));
	memcpy(eth->h_dest, dst, ETH_ALEN);
	memcpy(eth->h_source, src, ETH_ALEN);
	eth->h_proto = htons(ETH_P_IP);
	ip->version = 4;
	ip->ihl = 5;
	ip->ttl = 64;
	ip->protocol = IPPROTO_TCP;
	ip->tot_len = htons(sizeof(*ip) + sizeof(*tcp) + payload);
	ip->saddr = htonl(0xc0000201);	/* 192.0.2.1, for documentation */
	ip->daddr = htonl(0xc0000202);
	for (unsigned int i = 0; i < sizeof(*ip) / 2; i++)
		sum += ((u16 *)ip)[i];
	sum = (sum & 0xffff) + (sum >> 16);
	ip->check = ~(sum + (sum >> 16));
	tcp->source = htons(1000);
	tcp->dest = htons(2000);
	tcp->doff = sizeof(*tcp) / 4;
	tcp->ack = 1;
	tcp->window = htons(1000);
	fill_pattern(tcp + 1, payload, payload);
	return sizeof(*eth) + sizeof(*ip) + sizeof(*tcp) + payload;
}

#define TCP_HEADERS	(ETH_HLEN + sizeof(struct iphdr) + sizeof(struct tcphdr))

TEST_F(net, partial_checksums_to_the_host)
{
	struct virtio_net_hdr_v1 header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = ETH_HLEN + sizeof(struct iphdr),
		.csum_offset = offsetof(struct tcphdr, check),
	};
	size_t len;

	START(VNET_ALL, 1);
	len = tcp_frame(self->frame, mac_other, self->net.mac, 100);
	vnet_send_header(&self->net, 0, &header, self->frame, len);
	ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
	EXPECT_EQ(self->out->len, len);
	EXPECT_EQ(self->out->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM,
		  VIRTIO_NET_HDR_F_NEEDS_CSUM);
	EXPECT_EQ(self->out->header.csum_start, header.csum_start);
	EXPECT_EQ(self->out->header.csum_offset, header.csum_offset);
	EXPECT_TRUE(is_pattern(self->out->data + TCP_HEADERS, 100, 100));
}

TEST_F(net, large_segments_to_the_host)
{
	struct virtio_net_hdr_v1 header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = TCP_HEADERS,
		.gso_size = 1448,
		.csum_start = ETH_HLEN + sizeof(struct iphdr),
		.csum_offset = offsetof(struct tcphdr, check),
	};
	size_t len, payload = 40000;

	START(VNET_ALL, 1);
	len = tcp_frame(self->frame, mac_other, self->net.mac, payload);
	vnet_send_header(&self->net, 0, &header, self->frame, len);
	ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
	EXPECT_EQ(self->out->len, len);
	EXPECT_EQ(self->out->header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	EXPECT_EQ(self->out->header.gso_size, 1448);
	EXPECT_TRUE(is_pattern(self->out->data + TCP_HEADERS, payload, payload));
}

/* A header that the features or VIRTIO do not allow: the frame is dropped, no more */
TEST_F(net, headers_that_make_no_sense)
{
	static const struct virtio_net_hdr_v1 wrong[] = {
		{ .gso_type = 2 },
		{ .gso_type = 0x7f },
		{ .gso_type = 0xff },
		{ .gso_type = VIRTIO_NET_HDR_GSO_UDP },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM },
		{ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		  .gso_size = 1448, .csum_start = 0xffff, .csum_offset = 0xffff },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 0xffff },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 0xfffe },
		{ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 1000, .csum_offset = 16 },
	};
	struct vnet *net = &self->net;

	for (unsigned int pass = 0; pass < 2; pass++) {
		START(pass ? PLAIN : VNET_ALL, 1);
		for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
			vnet_send_header(net, 0, &wrong[i], self->frame,
					 frame_make(self->frame, mac_other, net->mac, i, 100));
			vnet_send(net, 0, self->frame,
				  frame_make(self->frame, mac_other, net->mac, 1000 + i, 100));
			ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
			EXPECT_EQ(frame_seq(self->out->data, self->out->len), 1000 + i)
				TH_LOG("header %u of pass %u", i, pass);
			port_drain(self->port);
		}
		EXPECT_FALSE(virtio_needs_reset(&net->vio));
		EXPECT_TRUE(wait_until(!vnet_reap(net, 0)));
		ASSERT_EQ(virtio_reset(&net->vio), 0);
	}
}

TEST_F(net, frames_too_short_or_too_long_are_dropped)
{
	struct vnet *net = &self->net;

	START(VNET_ALL, 1);
	for (size_t len = 1; len < ETH_HLEN; len += 4) {
		vnet_send(net, 0, self->frame, len);
		EXPECT_TRUE(wait_until(!vnet_reap(net, 0)));
	}
	vnet_send(net, 0, self->frame, frame_make(self->frame, mac_other, net->mac, 7, 100));
	ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
	EXPECT_EQ(frame_seq(self->out->data, self->out->len), 7);
	EXPECT_FALSE(virtio_needs_reset(&net->vio));
}

TEST_F(net, offloads_to_the_guest)
{
	struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = TCP_HEADERS,
		.gso_size = 1448,
		.csum_start = ETH_HLEN + sizeof(struct iphdr),
		.csum_offset = offsetof(struct tcphdr, check),
	};
	size_t len, payload = 20 * 1448, got = 0;
	struct vnet *net = &self->net;
	int bypass = 0;
	u64 off = 0;

	START(VNET_ALL, 1);
	len = tcp_frame(self->frame, net->mac, mac_other, payload);
	ASSERT_EQ(port_try_send(self->port, &header, self->frame, len), 0);
	ASSERT_TRUE(wait_until(vnet_recv(net, 0, self->in)));
	EXPECT_EQ(self->in->len, len);
	EXPECT_EQ(self->in->header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
	EXPECT_EQ(self->in->header.gso_size, 1448);
	EXPECT_EQ(self->in->header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	EXPECT_EQ(self->in->header.csum_start, header.csum_start);
	EXPECT_TRUE(is_pattern(self->in->data + TCP_HEADERS, payload, payload));

	/* The host does the work if the guest does not want to */
	ASSERT_EQ(CTRL(VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, &off,
		       sizeof(off)), VIRTIO_NET_OK);
	/* A socket that bypasses the host's queues can send no frame that has to be segmented */
	ASSERT_EQ(setsockopt(self->port->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass,
			     sizeof(bypass)), 0);
	ASSERT_TRUE(wait_until(!port_try_send(self->port, &header, self->frame, len)));
	while (got < payload) {
		ASSERT_TRUE(wait_until(vnet_recv(net, 0, self->in)));
		EXPECT_EQ(self->in->header.flags, 0);
		EXPECT_EQ(self->in->header.gso_type, 0);
		EXPECT_EQ(self->in->len, TCP_HEADERS + 1448);
		EXPECT_EQ(memcmp(self->in->data + TCP_HEADERS, self->frame + TCP_HEADERS + got,
				 1448), 0);
		got += 1448;
	}
}

TEST_F(net, spoofed_frames_are_dropped)
{
	struct vnet *net = &self->net;

	START(VNET_ALL, 1);
	vnet_send(net, 0, self->frame, frame_make(self->frame, mac_other, mac_other, 1, 60));
	vnet_send(net, 0, self->frame, frame_make(self->frame, mac_other, net->mac, 2, 60));
	ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
	EXPECT_EQ(frame_seq(self->out->data, self->out->len), 2);
	ASSERT_EQ(vf_set_spoofchk(self->rig.pf, 0, false), 0);
	vnet_send(net, 0, self->frame, frame_make(self->frame, mac_other, mac_other, 3, 60));
	EXPECT_TRUE(port_expect(self->port, self->out, 3));
	ASSERT_EQ(vf_set_spoofchk(self->rig.pf, 0, true), 0);
}

TEST_F(net, tags_of_the_guest_reach_the_host)
{
	struct vnet *net = &self->net;
	size_t len;

	START(VNET_ALL, 1);
	len = frame_make(self->frame, mac_other, net->mac, 1, 80);
	vnet_send(net, 0, self->frame, frame_tag(self->frame, len, 100));
	ASSERT_TRUE(port_expect(self->port, self->out, 1));
	EXPECT_TRUE(self->out->tagged);
	EXPECT_EQ(self->out->vid, 100);
}

TEST_F(net, each_pair_transmits)
{
	struct vnet *net = &self->net;

	START(VNET_ALL, PAIRS);
	for (u32 i = 0; i < 20; i++) {
		vnet_send(net, i % PAIRS, self->frame,
			  frame_make(self->frame, mac_other, net->mac, i, 60));
		EXPECT_TRUE(port_expect(self->port, self->out, i));
	}
	EXPECT_TRUE(event_wait(self->rig.irq[0][2]));
	EXPECT_TRUE(event_wait(self->rig.irq[0][4]));
}

TEST_F(net, nothing_of_a_frame_is_left_in_the_header)
{
	struct virtio_net_hdr_v1 none = { .num_buffers = 1 };
	struct vnet *net = &self->net;

	START(PLAIN, 1);
	port_send(self->port, self->frame, frame_make(self->frame, net->mac, mac_other, 1, 60));
	ASSERT_TRUE(vnet_expect(net, self->in, 1));
	EXPECT_EQ(memcmp(&self->in->header, &none, sizeof(none)), 0);
}

/* A process that sends to the guest as fast as it can, until it is killed or the test ends */
static pid_t flood(struct port *port, u8 *frame, size_t len)
{
	pid_t pid = fork();

	must(pid >= 0);
	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!pid)
		port_try_send(port, NULL, frame, len);
	return pid;
}

static void end_flood(pid_t pid)
{
	must(!kill(pid, SIGKILL));
	must(waitpid(pid, NULL, 0) == pid);
}

#define RESETS		30

TEST_F_TIMEOUT(net, device_reset_under_traffic, 60)
{
	struct vnet *net = &self->net;
	pid_t pid;

	START(VNET_ALL, 1);
	pid = flood(self->port, self->frame,
		    frame_make(self->frame, net->mac, mac_other, 7, 300));
	for (unsigned int i = 0; i < RESETS; i++) {
		/* Both layouts in turns */
		vnet_start(net, &self->rig.dev[0], &self->rig.mem, i % 2 ? VNET_ALL : VNET_PACKED,
			   1 + i % PAIRS);
		EXPECT_TRUE(vnet_expect(net, self->in, 7)) TH_LOG("after reset %u", i);
		EXPECT_FALSE(virtio_needs_reset(&net->vio));
	}
	end_flood(pid);
}

/* From when the reset of a queue reads as done, the device accesses none of its memory */
TEST_F_TIMEOUT(net, ring_reset_under_traffic, 60)
{
	struct vnet *net = &self->net;
	const size_t len = VNET_DEPTH * VNET_BUF;
	pid_t pid;

	START(VNET_ALL, 1);
	pid = flood(self->port, self->frame,
		    frame_make(self->frame, net->mac, mac_other, 7, 300));
	for (unsigned int i = 0; i < RESETS; i++) {
		EXPECT_TRUE(vnet_expect(net, self->in, 7)) TH_LOG("after reset %u", i);
		queue_write(&net->vio, 0, VIRTIO_PCI_COMMON_Q_RESET, 1);
		ASSERT_TRUE(wait_until(!queue_read(&net->vio, 0, VIRTIO_PCI_COMMON_Q_RESET)));
		fill_pattern(net->rx_mem[0], len, i);
		sleep_ms(2);
		EXPECT_TRUE(is_pattern(net->rx_mem[0], len, i));
		virtq_setup(&net->vio, &net->rx[0], 0, VNET_DEPTH, 1);
		EXPECT_EQ(vnet_fill(net, 0, VNET_DEPTH), VNET_DEPTH);
	}
	EXPECT_FALSE(virtio_needs_reset(&net->vio));
	end_flood(pid);
}

TEST_HARNESS_MAIN
