// SPDX-License-Identifier: GPL-2.0-only
/* See memory.h */
#include "memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* kmemleak's books, and KASAN's quarantine, which is some percent of all memory */
bool memory_kept_when_freed(void)
{
	return file_exists("/sys/kernel/debug/kmemleak") ||
	       kernel_has_symbol("kasan_quarantine_put");
}

s64 memory_kib(void)
{
	static const char name[] = "SUnreclaim:";
	char text[8192], *at;

	/* Have each CPU say now what it would within a second */
	file_write("/proc/sys/vm/stat_refresh", "1");
	must(!file_read("/proc/meminfo", text, sizeof(text)));
	at = strstr(text, name);
	must(at);
	return strtoll(at + strlen(name), NULL, 10);
}

s64 memory_kib_settled(void)
{
	s64 least = memory_kib();

	for (unsigned int same = 0; same < 10; same++) {
		s64 now_kib;

		usleep(20000);
		now_kib = memory_kib();
		if (now_kib < least) {
			least = now_kib;
			same = 0;
		}
	}
	return least;
}

bool memory_given_back(s64 before, s64 limit)
{
	return wait_until(memory_kib() - before < limit);
}
