// SPDX-License-Identifier: GPL-2.0-only
/*
 * Has a NIC's driver use so many queue pairs ("ethtool -L INTERFACE combined COUNT").
 *
 *   queues INTERFACE COUNT
 */

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq request = { .ifr_data = (char *)&channels };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (argc != 3 || strlen(argv[1]) >= IFNAMSIZ) {
		fprintf(stderr, "usage: queues INTERFACE COUNT\n");
		return 2;
	}
	memcpy(request.ifr_name, argv[1], strlen(argv[1]));
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request)) {
		perror(argv[1]);
		return 1;
	}
	channels.cmd = ETHTOOL_SCHANNELS;
	channels.combined_count = strtoul(argv[2], NULL, 0);
	if (ioctl(fd, SIOCETHTOOL, &request)) {
		fprintf(stderr, "%s can't have %s queue pairs, at most %u: ", argv[1], argv[2],
			channels.max_combined);
		perror(NULL);
		return 1;
	}
	return 0;
}
