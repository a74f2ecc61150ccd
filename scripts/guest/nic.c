// SPDX-License-Identifier: GPL-2.0-only
/*
 * Gives a NIC its number of queue pairs and its IPv4 address, and brings it up.  COUNT 0 leaves the
 * number as it is.
 *
 *   nic INTERFACE COUNT ADDRESS NETMASK
 *
 * The driver then notifies the device.  An emulated CPU may lose a guest that does so right after a
 * page fault (testing.rst).  A program that has just begun has page faults all the time, if it does
 * not lock its memory first.
 */

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int set_queue_pairs(int fd, struct ifreq *request, unsigned int count)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };

	request->ifr_data = (char *)&channels;
	if (ioctl(fd, SIOCETHTOOL, request))
		return fail("SIOCETHTOOL");
	channels.cmd = ETHTOOL_SCHANNELS;
	channels.combined_count = count;
	if (!ioctl(fd, SIOCETHTOOL, request))
		return 0;
	fprintf(stderr, "%u queue pairs, of at most %u: ", count, channels.max_combined);
	return fail("SIOCETHTOOL");
}

static int set_address(int fd, struct ifreq *request, unsigned long what, const char *text)
{
	struct sockaddr_in *address = (struct sockaddr_in *)&request->ifr_addr;

	memset(address, 0, sizeof(*address));
	address->sin_family = AF_INET;
	if (inet_pton(AF_INET, text, &address->sin_addr) != 1) {
		fprintf(stderr, "%s is no address\n", text);
		return 2;
	}
	return ioctl(fd, what, request) ? fail(text) : 0;
}

static int bring_up(int fd, struct ifreq *request)
{
	if (ioctl(fd, SIOCGIFFLAGS, request))
		return fail("SIOCGIFFLAGS");
	request->ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, request) ? fail("SIOCSIFFLAGS") : 0;
}

int main(int argc, char **argv)
{
	struct ifreq request = { };
	unsigned int count;
	int fd;

	if (argc != 5 || strlen(argv[1]) >= IFNAMSIZ) {
		fprintf(stderr, "usage: nic INTERFACE COUNT ADDRESS NETMASK\n");
		return 2;
	}
	memcpy(request.ifr_name, argv[1], strlen(argv[1]));
	count = strtoul(argv[2], NULL, 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0)
		return fail("socket");
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		return fail("mlockall");
	return (count ? set_queue_pairs(fd, &request, count) : 0) ?:
	       set_address(fd, &request, SIOCSIFADDR, argv[3]) ?:
	       set_address(fd, &request, SIOCSIFNETMASK, argv[4]) ?:
	       bring_up(fd, &request);
}
