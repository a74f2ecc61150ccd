// SPDX-License-Identifier: GPL-2.0-only
/*
 * Segments of each kind between the guest of a virtio-net VF and the host: TCP with and without
 * ECN, and UDP, over IPv4 and IPv6.  Each goes as a whole as far as the features allow it.  What
 * they don't allow is dropped if the guest sends it, and segmented if the host does.
 */
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_rig.h"

#include "harness.h"

#define SEGMENT		1000
#define SEGMENTS	20
#define PAYLOAD		(SEGMENT * SEGMENTS)

#define ECN		VIRTIO_NET_HDR_GSO_ECN
#define TSO4		VIRTIO_NET_HDR_GSO_TCPV4
#define TSO6		VIRTIO_NET_HDR_GSO_TCPV6
#define USO		VIRTIO_NET_HDR_GSO_UDP_L4

FIXTURE(segments)
{
	struct net_rig rig;
	struct vnet net;
	struct port *port;
	struct vnet_frame *in;		/* that the guest gets */
	struct port_frame *out;		/* that the host gets */
	u8 *frame;
};

FIXTURE_VARIANT(segments)
{
	u8 gso_type;
	bool ipv6;
	u64 host;	/* features that a guest needs to send it */
	u64 guest;	/* and to receive it */
};

FIXTURE_VARIANT_ADD(segments, tcp4)
{
	.gso_type = TSO4,
	.host = FEATURE(VIRTIO_NET_F_HOST_TSO4),
	.guest = FEATURE(VIRTIO_NET_F_GUEST_TSO4),
};

FIXTURE_VARIANT_ADD(segments, tcp4_ecn)
{
	.gso_type = TSO4 | ECN,
	.host = FEATURE(VIRTIO_NET_F_HOST_TSO4) | FEATURE(VIRTIO_NET_F_HOST_ECN),
	.guest = FEATURE(VIRTIO_NET_F_GUEST_TSO4) | FEATURE(VIRTIO_NET_F_GUEST_ECN),
};

FIXTURE_VARIANT_ADD(segments, tcp6)
{
	.gso_type = TSO6,
	.ipv6 = true,
	.host = FEATURE(VIRTIO_NET_F_HOST_TSO6),
	.guest = FEATURE(VIRTIO_NET_F_GUEST_TSO6),
};

FIXTURE_VARIANT_ADD(segments, tcp6_ecn)
{
	.gso_type = TSO6 | ECN,
	.ipv6 = true,
	.host = FEATURE(VIRTIO_NET_F_HOST_TSO6) | FEATURE(VIRTIO_NET_F_HOST_ECN),
	.guest = FEATURE(VIRTIO_NET_F_GUEST_TSO6) | FEATURE(VIRTIO_NET_F_GUEST_ECN),
};

FIXTURE_VARIANT_ADD(segments, udp4)
{
	.gso_type = USO,
	.host = FEATURE(VIRTIO_NET_F_HOST_USO),
	.guest = FEATURE(VIRTIO_NET_F_GUEST_USO4) | FEATURE(VIRTIO_NET_F_GUEST_USO6),
};

FIXTURE_VARIANT_ADD(segments, udp6)
{
	.gso_type = USO,
	.ipv6 = true,
	.host = FEATURE(VIRTIO_NET_F_HOST_USO),
	.guest = FEATURE(VIRTIO_NET_F_GUEST_USO4) | FEATURE(VIRTIO_NET_F_GUEST_USO6),
};

FIXTURE_SETUP(segments)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 1, 1);

	if (why)
		SKIP(return, "%s", why);
	self->port = &self->rig.port[0];
	self->in = shared_alloc(sizeof(*self->in));
	self->out = shared_alloc(sizeof(*self->out));
	self->frame = shared_alloc(FRAME_MAX);
	net_rig_start(&self->rig, 0, &self->net, VNET_ALL, 1);
	if (~self->net.vio.features & (variant->host | variant->guest))
		SKIP(return, "this kernel has no segments of this kind");
}

FIXTURE_TEARDOWN(segments)
{
	net_rig_close(&self->rig);
}

/* A frame whose transport header, if it is of TCP, has CWR set if @ecn */
static size_t make_frame(u8 *frame, const u8 *dst, const u8 *src, bool ipv6, bool udp, bool ecn,
			 size_t payload)
{
	struct ethhdr *eth = (void *)frame;
	struct ipv6hdr *ip6 = (void *)(eth + 1);
	struct iphdr *ip = (void *)(eth + 1);
	u8 *transport = (u8 *)(eth + 1) + (ipv6 ? sizeof(*ip6) : sizeof(*ip));
	u8 protocol = udp ? IPPROTO_UDP : IPPROTO_TCP;
	struct tcphdr *tcp = (void *)transport;
	struct udphdr *datagram = (void *)transport;
	size_t header = udp ? sizeof(*datagram) : sizeof(*tcp);
	u32 sum = 0;

	memset(frame, 0, transport + header - frame);
	memcpy(eth->h_dest, dst, ETH_ALEN);
	memcpy(eth->h_source, src, ETH_ALEN);
	eth->h_proto = htons(ipv6 ? ETH_P_IPV6 : ETH_P_IP);
	if (ipv6) {
		/* 2001:db8::1 and ::2, for documentation */
		static const u8 net[4] = { 0x20, 0x01, 0x0d, 0xb8 };

		ip6->version = 6;
		ip6->payload_len = htons(header + payload);
		ip6->nexthdr = protocol;
		ip6->hop_limit = 64;
		memcpy(&ip6->saddr, net, sizeof(net));
		memcpy(&ip6->daddr, net, sizeof(net));
		ip6->saddr.s6_addr[15] = 1;
		ip6->daddr.s6_addr[15] = 2;
	} else {
		ip->version = 4;
		ip->ihl = 5;
		ip->ttl = 64;
		ip->protocol = protocol;
		ip->tot_len = htons(sizeof(*ip) + header + payload);
		ip->saddr = htonl(0xc0000201);	/* 192.0.2.1, for documentation */
		ip->daddr = htonl(0xc0000202);
		for (unsigned int i = 0; i < sizeof(*ip) / 2; i++)
			sum += ((u16 *)ip)[i];
		sum = (sum & 0xffff) + (sum >> 16);
		ip->check = ~(sum + (sum >> 16));
	}
	if (udp) {
		datagram->source = htons(1000);
		datagram->dest = htons(2000);
		datagram->len = htons(sizeof(*datagram) + payload);
	} else {
		tcp->source = htons(1000);
		tcp->dest = htons(2000);
		tcp->doff = sizeof(*tcp) / 4;
		tcp->ack = 1;
		tcp->cwr = ecn;
		tcp->window = htons(1000);
	}
	fill_pattern(transport + header, payload, payload);
	return transport + header + payload - frame;
}

static size_t headers(bool ipv6, bool udp)
{
	return ETH_HLEN + (ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) +
	       (udp ? sizeof(struct udphdr) : sizeof(struct tcphdr));
}

#define IS_UDP		(variant->gso_type == USO)
#define HEADERS		headers(variant->ipv6, IS_UDP)
#define MAKE(dst, src, payload) make_frame(self->frame, dst, src, variant->ipv6, IS_UDP, \
					   variant->gso_type & ECN, payload)

/* What virtio-net says of it; its first members are those of the older header */
static struct virtio_net_hdr_v1 gso_header(bool ipv6, u8 gso_type, u16 gso_size)
{
	bool udp = gso_type == USO;
	u16 transport = udp ? sizeof(struct udphdr) : sizeof(struct tcphdr);

	return (struct virtio_net_hdr_v1){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = gso_type,
		.hdr_len = headers(ipv6, udp),
		.gso_size = gso_size,
		.csum_start = headers(ipv6, udp) - transport,
		.csum_offset = udp ? offsetof(struct udphdr, check) :
				     offsetof(struct tcphdr, check),
	};
}

TEST_F(segments, of_the_guest_reach_the_host_as_a_whole)
{
	struct virtio_net_hdr_v1 header = gso_header(variant->ipv6, variant->gso_type, SEGMENT);
	struct virtio_net_hdr *is = &self->out->header;
	size_t len = MAKE(mac_other, self->net.mac, PAYLOAD);

	vnet_send_header(&self->net, 0, &header, self->frame, len);
	ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
	ASSERT_EQ(self->out->len, len);
	EXPECT_EQ(memcmp(self->out->data, self->frame, len), 0);
	EXPECT_EQ(is->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	EXPECT_EQ(is->gso_type, variant->gso_type);
	EXPECT_EQ(is->gso_size, SEGMENT);
	EXPECT_EQ(is->csum_start, header.csum_start);
	EXPECT_EQ(is->csum_offset, header.csum_offset);
}

/* Each of the features counts, and so does the checksum that goes with them */
TEST_F(segments, of_the_guest_without_their_feature_are_dropped)
{
	u64 needs = variant->host | FEATURE(VIRTIO_NET_F_CSUM);
	struct vnet *net = &self->net;

	for (unsigned int bit = 0; bit < 64; bit++) {
		struct virtio_net_hdr_v1 header = gso_header(variant->ipv6, variant->gso_type,
							     SEGMENT);
		u64 drops;

		if (!(needs & FEATURE(bit)))
			continue;
		/* The others need the checksum's feature too */
		net_rig_start(&self->rig, 0, net, VNET_ALL & ~(FEATURE(bit) |
			      (bit == VIRTIO_NET_F_CSUM ? VNET_HOST_OFFLOADS : 0)), 1);
		drops = port_counter(self->port, "from_guest_drop_malformed");
		vnet_send_header(net, 0, &header, self->frame, MAKE(mac_other, net->mac, PAYLOAD));
		vnet_send(net, 0, self->frame, frame_make(self->frame, mac_other, net->mac, bit,
							  100));
		ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
		EXPECT_EQ(frame_seq(self->out->data, self->out->len), bit);
		EXPECT_EQ(port_counter(self->port, "from_guest_drop_malformed"), drops + 1)
			TH_LOG("feature %u", bit);
		EXPECT_FALSE(virtio_needs_reset(&net->vio));
	}
}

/* Tiny segments of TCP would be tens of thousands; a datagram may be tiny */
TEST_F(segments, of_the_guest_may_be_short)
{
	static const u16 sizes[] = { 0, 1, 7, 8 };
	struct vnet *net = &self->net;

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct virtio_net_hdr_v1 header = gso_header(variant->ipv6, variant->gso_type,
							     sizes[i]);
		bool valid = sizes[i] >= (IS_UDP ? 1 : 8);
		u64 drops = port_counter(self->port, "from_guest_drop_malformed");

		vnet_send_header(net, 0, &header, self->frame, MAKE(mac_other, net->mac, 60));
		EXPECT_TRUE(wait_until(!vnet_reap(net, 0)));
		vnet_send(net, 0, self->frame,
			  frame_make(self->frame, mac_other, net->mac, i, 100));
		ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
		if (valid) {
			EXPECT_EQ(self->out->len, HEADERS + 60) TH_LOG("%u bytes", sizes[i]);
			EXPECT_EQ(self->out->header.gso_size, sizes[i]);
			ASSERT_TRUE(wait_until(port_recv(self->port, self->out)));
		}
		EXPECT_EQ(frame_seq(self->out->data, self->out->len), i)
			TH_LOG("%u bytes", sizes[i]);
		EXPECT_EQ(port_counter(self->port, "from_guest_drop_malformed"), drops + !valid);
	}
}

/*
 * Can the host send these segments?  What a socket sends is checked, and cut, by the part of the
 * kernel for its protocol.  That for UDP comes with IPv6, that for TCP without.
 */
static bool can_send(bool ipv6, bool udp)
{
	int fd;

	if (!ipv6 || !udp)
		return true;
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

TEST_F(segments, of_the_host_reach_the_guest_as_a_whole)
{
	struct virtio_net_hdr_v1 header = gso_header(variant->ipv6, variant->gso_type, SEGMENT);
	struct virtio_net_hdr_v1 *is = &self->in->header;
	size_t len = MAKE(self->net.mac, mac_other, PAYLOAD);

	if (!can_send(variant->ipv6, IS_UDP))
		SKIP(return, "this kernel has no IPv6");
	ASSERT_EQ(port_try_send(self->port, (void *)&header, self->frame, len), 0);
	ASSERT_TRUE(wait_until(vnet_recv(&self->net, 0, self->in)));
	ASSERT_EQ(self->in->len, len);
	EXPECT_EQ(memcmp(self->in->data, self->frame, len), 0);
	EXPECT_EQ(is->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	EXPECT_EQ(is->gso_type, variant->gso_type);
	EXPECT_EQ(is->gso_size, SEGMENT);
	EXPECT_EQ(is->csum_start, header.csum_start);
	EXPECT_EQ(is->csum_offset, header.csum_offset);
}

static bool is_up(const char *pf)
{
	char state[16];

	must(!port_attr(pf, 0, "operstate", state, sizeof(state)));
	return !strcmp(state, "up");
}

/*
 * The kernel gives a netdev its queue some time after its carrier, and says so in its operstate.
 * Before that, frames of a socket that does not bypass the queue are lost without an error.  Each
 * change of the MTU waits for what the kernel does at the time.
 */
static void wait_for_queue(const char *pf, struct port *port)
{
	port_set_mtu(port, 1500);
	must(wait_until(is_up(pf)));
	port_set_mtu(port, 1500);
}

/* A guest that takes segments, but none with CWR, is without the last of the features */
TEST_F(segments, of_the_host_are_sent_one_by_one_without_their_feature)
{
	struct virtio_net_hdr_v1 header = gso_header(variant->ipv6, variant->gso_type, SEGMENT);
	const u64 missing[] = { variant->guest, FEATURE(VIRTIO_NET_F_GUEST_ECN) };
	struct vnet *net = &self->net;
	int bypass = 0;

	if (!can_send(variant->ipv6, IS_UDP))
		SKIP(return, "this kernel has no IPv6");
	/* A socket that bypasses the host's queues can send no frame that has to be segmented */
	ASSERT_EQ(setsockopt(self->port->fd, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass,
			     sizeof(bypass)), 0);
	for (unsigned int n = 0; n < (variant->gso_type & ECN ? 2 : 1); n++) {
		size_t len = MAKE(net->mac, mac_other, PAYLOAD);

		net_rig_start(&self->rig, 0, net, VNET_ALL & ~missing[n], 1);
		wait_for_queue(self->rig.pf, self->port);
		ASSERT_TRUE(wait_until(!port_try_send(self->port, (void *)&header, self->frame,
						      len)));
		for (unsigned int i = 0; i < SEGMENTS; i++) {
			ASSERT_TRUE(wait_until(vnet_recv(net, 0, self->in)));
			EXPECT_EQ(self->in->header.gso_type, VIRTIO_NET_HDR_GSO_NONE);
			EXPECT_EQ(self->in->header.gso_size, 0);
			ASSERT_EQ(self->in->len, HEADERS + SEGMENT);
			EXPECT_EQ(memcmp(self->in->data + HEADERS,
					 self->frame + HEADERS + i * SEGMENT, SEGMENT), 0)
				TH_LOG("segment %u", i);
		}
		EXPECT_FALSE(vnet_recv(net, 0, self->in));
	}
}

TEST_HARNESS_MAIN
