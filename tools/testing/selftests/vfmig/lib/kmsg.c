// SPDX-License-Identifier: GPL-2.0-only
/* See kmsg.h */
#include "kmsg.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	must(fd >= 0);
	must(lseek(fd, 0, SEEK_END) >= 0);
	return fd;
}

int kmsg_next(int kmsg, char record[KMSG_RECORD])
{
	ssize_t n = read(kmsg, record, KMSG_RECORD - 1);

	if (n < 0 && errno == EPIPE)
		return -EPIPE;
	if (n <= 0)
		return 0;
	record[n] = 0;
	return 1;
}

bool kmsg_says(int kmsg, const char *text)
{
	char record[KMSG_RECORD];
	int ret;

	while ((ret = kmsg_next(kmsg, record)))
		if (ret > 0 && strstr(record, text))
			return true;
	return false;
}
