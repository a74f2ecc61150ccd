// SPDX-License-Identifier: GPL-2.0-only
/*
 * Watches how a guest is reached over the network.
 *
 *   ping ADDRESS INTERFACE [MAC]
 *
 * Sends an ICMP echo request every 10 ms until its standard input is closed.  Prints a line
 * for each reply and for each announcement, as it comes:
 *
 *   reply TIME NUMBER DELAY    NUMBER of the request, and seconds since it was sent
 *   announcement TIME          a gratuitous ARP packet of ADDRESS, or a reverse ARP packet of MAC
 *   sent NUMBER                at the end: the number of requests
 *   error TEXT                 a reply with other data than was sent
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/types.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL 10000000	/* ns */

/* Number of requests that a reply can be late; a 16-bit sequence number has room for it */
#define WINDOW 8192

struct request {
	struct icmphdr icmp;
	__u32 number;
	__u32 inverse;
};

static double times[WINDOW];
static __u32 sent;
static struct sockaddr_in guest = { .sin_family = AF_INET };
static struct ether_addr guest_mac;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static __u16 checksum(const void *data, size_t len)
{
	const __u16 *words = data;
	__u32 sum = 0;

	for (size_t i = 0; i < len / 2; i++)
		sum += words[i];
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

static void send_request(int fd)
{
	struct request request = {
		.icmp = {
			.type = ICMP_ECHO,
			.un.echo = { .id = htons(getpid()), .sequence = htons(sent) },
		},
		.number = sent,
		.inverse = ~sent,
	};

	request.icmp.checksum = checksum(&request, sizeof(request));
	times[sent++ % WINDOW] = now();
	/* There is no room while nobody answers, or no neighbour yet: as good as lost */
	if (sendto(fd, &request, sizeof(request), 0, (struct sockaddr *)&guest,
		   sizeof(guest)) < 0 && errno != ENOBUFS && errno != EHOSTUNREACH &&
	    errno != EAGAIN)
		fail("sendto");
}

static void take_reply(int fd)
{
	char packet[256];
	struct request reply;
	ssize_t len = recv(fd, packet, sizeof(packet), 0);
	size_t header = len < (ssize_t)sizeof(struct iphdr) ? 0 : (packet[0] & 15) * 4;

	/* An error of ICMP, for example that nobody has the address */
	if (len < 0 && (errno == EHOSTUNREACH || errno == EAGAIN))
		return;
	if (len < 0)
		fail("recv");
	if (!header || (size_t)len < header + sizeof(reply))
		return;
	memcpy(&reply, packet + header, sizeof(reply));
	if (reply.icmp.type != ICMP_ECHOREPLY || reply.icmp.un.echo.id != htons(getpid()))
		return;
	if (reply.inverse != ~reply.number ||
	    ntohs(reply.icmp.un.echo.sequence) != (__u16)reply.number ||
	    reply.number >= sent || sent - reply.number > WINDOW) {
		printf("error a reply to request %u of %u\n", reply.number, sent);
		return;
	}
	printf("reply %.6f %u %.6f\n", now(), reply.number, now() - times[reply.number % WINDOW]);
}

/*
 * A packet that announces an address asks for the sender's own.  A driver that knows no address
 * asks for that of its MAC, which is reverse ARP.
 */
static bool announces(const struct ether_arp *arp)
{
	switch (ntohs(arp->arp_op)) {
	case ARPOP_REQUEST:
	case ARPOP_REPLY:
		return !memcmp(arp->arp_spa, &guest.sin_addr, sizeof(arp->arp_spa)) &&
			!memcmp(arp->arp_tpa, &guest.sin_addr, sizeof(arp->arp_tpa));
	case ARPOP_RREQUEST:
		return !memcmp(arp->arp_sha, &guest_mac, sizeof(guest_mac)) &&
			!memcmp(arp->arp_tha, &guest_mac, sizeof(guest_mac));
	}
	return false;
}

static void take_arp(int fd)
{
	struct sockaddr_ll from;
	socklen_t from_len = sizeof(from);
	struct ether_arp arp;
	ssize_t len = recvfrom(fd, &arp, sizeof(arp), 0, (struct sockaddr *)&from, &from_len);

	if (len >= (ssize_t)sizeof(arp) && from.sll_pkttype != PACKET_OUTGOING && announces(&arp))
		printf("announcement %.6f\n", now());
}

/* Packets of one protocol, ARP or reverse ARP */
static int listen_to(int protocol, const char *interface)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(protocol),
		.sll_ifindex = if_nametoindex(interface),
	};
	int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!address.sll_ifindex)
		fail(interface);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)))
		fail("socket of ARP");
	return fd;
}

static int make_timer(void)
{
	const struct itimerspec spec = { { 0, INTERVAL }, { 0, INTERVAL } };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	if (fd < 0 || timerfd_settime(fd, 0, &spec, NULL))
		fail("timerfd");
	return fd;
}

/* Should the kernel be late, what it missed is not made up for */
static void turn(int timer, int fd)
{
	__u64 expirations;

	if (read(timer, &expirations, sizeof(expirations)) != sizeof(expirations))
		fail("timerfd");
	send_request(fd);
}

int main(int argc, char **argv)
{
	enum { END, TIMER, REPLIES, ARP, RARP, FILES };
	struct pollfd fds[FILES] = {
		[0 ... FILES - 1] = { .events = POLLIN },
	};
	int icmp;

	if (argc < 3 || argc > 4 || inet_pton(AF_INET, argv[1], &guest.sin_addr) != 1 ||
	    (argc == 4 && !ether_aton_r(argv[3], &guest_mac))) {
		fprintf(stderr, "usage: ping ADDRESS INTERFACE [MAC]\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	icmp = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	if (icmp < 0)
		fail("socket of ICMP");
	fds[END].fd = STDIN_FILENO;
	fds[TIMER].fd = make_timer();
	fds[REPLIES].fd = icmp;
	fds[ARP].fd = listen_to(ETH_P_ARP, argv[2]);
	fds[RARP].fd = listen_to(ETH_P_RARP, argv[2]);

	do {
		if (poll(fds, FILES, -1) < 0)
			fail("poll");
		if (fds[REPLIES].revents)
			take_reply(icmp);
		for (int i = ARP; i <= RARP; i++)
			if (fds[i].revents)
				take_arp(fds[i].fd);
		if (fds[TIMER].revents)
			turn(fds[TIMER].fd, icmp);
	} while (!fds[END].revents);
	printf("sent %u\n", sent);
	return 0;
}
