// SPDX-License-Identifier: GPL-2.0-only
/* See util.h */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

void fail(const char *file, int line, const char *fmt, ...)
{
	int err = errno;
	va_list ap;

	fprintf(stderr, "# %s:%d: ", file, line);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (errno %d: %s)\n", err, strerror(err));
	fflush(stderr);
	_exit(KSFT_FAIL);
}

void note(const char *fmt, ...)
{
	va_list ap;

	fputs("# ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void *shared_alloc(size_t size)
{
	void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(mem != MAP_FAILED);
	return mem;
}

u64 now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

void sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, (ms % 1000) * 1000000L };

	nanosleep(&ts, NULL);
}

void rest(unsigned int looks)
{
	if (looks < 100)
		sched_yield();
	else
		sleep_ms(1);
}

int file_read(const char *path, char *buf, size_t size)
{
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n < 0)
		return n;
	buf[n] = 0;
	if (n && buf[n - 1] == '\n')
		buf[n - 1] = 0;
	return 0;
}

int file_write(const char *path, const char *text)
{
	int err = 0;
	int fd;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

u64 file_u64(const char *path, u64 dflt)
{
	char buf[64];

	if (file_read(path, buf, sizeof(buf)))
		return dflt;
	return strtoull(buf, NULL, 0);
}

u64 file_number(const char *path, const char *key)
{
	FILE *f = fopen(path, "re");
	char line[128];

	must(f);
	do
		must(fgets(line, sizeof(line), f));
	while (strncmp(line, key, strlen(key)));
	fclose(f);
	return strtoull(line + strlen(key), NULL, 10);
}

bool file_exists(const char *path)
{
	return !access(path, F_OK);
}

bool program_file(const char *name, char *path, size_t size)
{
	ssize_t len = readlink("/proc/self/exe", path, size - 1);
	char *end;

	must(len > 0);
	path[len] = 0;
	end = strrchr(path, '/') + 1;
	snprintf(end, path + size - end, "%s", name);
	return file_exists(path);
}

bool kernel_has_symbol(const char *name)
{
	FILE *symbols = fopen("/proc/kallsyms", "r");
	char line[512], symbol[256];
	bool found = false;

	if (!symbols)
		return false;
	/* A module's have its name after them */
	snprintf(symbol, sizeof(symbol), " %s\n", name);
	while (!found && fgets(line, sizeof(line), symbols))
		found = strstr(line, symbol);
	fclose(symbols);
	return found;
}

bool link_name(const char *path, char *buf, size_t size)
{
	char target[PATH_MAX];
	const char *base;
	ssize_t n;

	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return false;
	target[n] = 0;
	base = strrchr(target, '/');
	base = base ? base + 1 : target;
	if (strlen(base) >= size)
		return false;
	memcpy(buf, base, strlen(base) + 1);
	return true;
}

/* splitmix64: any two seeds give unrelated bytes */
u64 next_random(u64 *state)
{
	u64 z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

void fill_pattern(void *buf, size_t len, u64 seed)
{
	u8 *p = buf;

	while (len) {
		u64 r = next_random(&seed);
		size_t n = len < sizeof(r) ? len : sizeof(r);

		memcpy(p, &r, n);
		p += n;
		len -= n;
	}
}

bool is_pattern(const void *buf, size_t len, u64 seed)
{
	const u8 *p = buf;

	while (len) {
		u64 r = next_random(&seed);
		size_t n = len < sizeof(r) ? len : sizeof(r);

		if (memcmp(p, &r, n))
			return false;
		p += n;
		len -= n;
	}
	return true;
}

bool is_filled(const void *buf, size_t len, u8 byte)
{
	const u8 *p = buf;

	while (len--)
		if (__atomic_load_n(p++, __ATOMIC_RELAXED) != byte)
			return false;
	return true;
}

void *bad_address(void)
{
	void *va = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(va != MAP_FAILED);
	return va;
}

bool is_there(const void *at)
{
	int fds[2];
	bool there;

	must(!pipe(fds));
	there = write(fds[1], at, 1) == 1;
	must(there || errno == EFAULT);
	close(fds[0]);
	close(fds[1]);
	return there;
}

static u32 crc32c_table[256];

/* Before there are threads that it would have to be kept from */
static void __attribute__((constructor)) init_crc32c(void)
{
	for (u32 i = 0; i < ARRAY_SIZE(crc32c_table); i++) {
		u32 c = i;

		for (int bit = 0; bit < 8; bit++)
			c = c & 1 ? (c >> 1) ^ 0x82f63b78 : c >> 1;
		crc32c_table[i] = c;
	}
}

u32 crc32c(const void *buf, size_t len)
{
	const u8 *p = buf;
	u32 crc = ~0U;

	while (len--)
		crc = crc32c_table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
	return ~crc;
}

int event_new(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	must(fd >= 0);
	return fd;
}

u64 event_count(int fd)
{
	u64 count;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	return count;
}

bool event_wait(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	if (poll(&pfd, 1, WAIT_MS) != 1)
		return false;
	return event_count(fd) > 0;
}
