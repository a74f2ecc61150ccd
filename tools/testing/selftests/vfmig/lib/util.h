/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers for all tests: failing with a reason, waiting with a limit, files of sysfs,
 * test patterns, CRC32C.
 */
#ifndef VFMIG_TEST_UTIL_H
#define VFMIG_TEST_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "kselftest.h"	/* __noreturn, __printf(), ARRAY_SIZE(), KSFT_FAIL */

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;

#define PAGE		4096UL
#define KIB(n)		((n) * 1024UL)
#define MIB(n)		((n) * 1024UL * 1024UL)

/* Time limit for events that must happen; an emulated debug kernel on a busy host is slow */
#define WAIT_MS		30000
/* Time to check that something does not happen */
#define QUIET_MS	60

/*
 * A step that a test depends on failed: print it and end this test, which runs in a process
 * of its own.  The test itself asserts the behaviour that it tests.
 */
void __noreturn __printf(3, 4) fail(const char *file, int line, const char *fmt, ...);

#define must(cond) do { \
	if (!(cond)) \
		fail(__FILE__, __LINE__, "%s", #cond); \
} while (0)

void __printf(1, 2) note(const char *fmt, ...);

/* Zeroed memory, shared by the program and all its tests, which run in their own processes */
void *shared_alloc(size_t size);

u64 now_ms(void);
void sleep_ms(unsigned int ms);
/* Sleep between two checks of a condition; briefly at first, as most come true at once */
void rest(unsigned int looks);

/* Wait until @cond holds; false if it did not within WAIT_MS */
#define wait_until(cond) ({ \
	u64 _end = now_ms() + WAIT_MS; \
	bool _ok; \
	for (unsigned int _i = 0; !(_ok = (cond)) && now_ms() < _end; _i++) \
		rest(_i); \
	_ok; \
})

/* True if @cond stays false for QUIET_MS */
#define stays_false(cond) ({ \
	u64 _end = now_ms() + QUIET_MS; \
	bool _seen; \
	while (!(_seen = (cond)) && now_ms() < _end) \
		sleep_ms(1); \
	!_seen; \
})

/* 0 or -errno; @buf is terminated and loses its last newline */
int file_read(const char *path, char *buf, size_t size);
int file_write(const char *path, const char *text);
/* The number in a file, in any base that strtoull() knows, or @dflt */
u64 file_u64(const char *path, u64 dflt);
/* The number after @key, which begins a line; fails the test if none does */
u64 file_number(const char *path, const char *key);
bool file_exists(const char *path);
/* Path of a file beside the program; false if there is none */
bool program_file(const char *name, char *path, size_t size);
/* Is this a function or variable of the kernel proper? */
bool kernel_has_symbol(const char *name);
/* Last component of what the link @path points to; false if there is none */
bool link_name(const char *path, char *buf, size_t size);

/* The next number of a pseudo-random sequence; *@state is the seed at first */
u64 next_random(u64 *state);
/* The same @seed gives the same bytes */
void fill_pattern(void *buf, size_t len, u64 seed);
bool is_pattern(const void *buf, size_t len, u64 seed);
bool is_filled(const void *buf, size_t len, u8 byte);

/* An address that is invalid for system calls */
void *bad_address(void);
/* Can the kernel read a byte there? */
bool is_there(const void *at);

u32 crc32c(const void *buf, size_t len);

/* An eventfd that does not block */
int event_new(void);
/* Events since the last call */
u64 event_count(int fd);
/* Wait for an event and take it; false after WAIT_MS */
bool event_wait(int fd);

#endif /* VFMIG_TEST_UTIL_H */
