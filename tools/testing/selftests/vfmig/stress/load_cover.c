// SPDX-License-Identifier: GPL-2.0-only
/* What a thread executes of the drivers, by the kernel's KCOV */
#include <fcntl.h>
#include <linux/kcov.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "load.h"

#define KCOV		"/sys/kernel/debug/kcov"
#define TRACE		(1UL << 18)	/* places; what comes after them is not seen */
#define SEEN_BITS	(1U << 18)

/* Hashes of pairs, a bit each, and how many are set; of all threads, by atomic operations */
static u8 seen[SEEN_BITS / 8];
static unsigned int pairs;

void cover_open(struct cover *cover)
{
	cover->fd = open(KCOV, O_RDWR);
	if (cover->fd < 0)
		return;
	must(!ioctl(cover->fd, KCOV_INIT_TRACE, TRACE));
	cover->trace = mmap(NULL, TRACE * sizeof(*cover->trace), PROT_READ | PROT_WRITE,
			    MAP_SHARED, cover->fd, 0);
	must(cover->trace != MAP_FAILED);
	must(!ioctl(cover->fd, KCOV_ENABLE, KCOV_TRACE_PC));
}

void cover_close(struct cover *cover)
{
	if (cover->fd < 0)
		return;
	must(!ioctl(cover->fd, KCOV_DISABLE, 0));
	must(!munmap(cover->trace, TRACE * sizeof(*cover->trace)));
	close(cover->fd);
}

void cover_begin(struct cover *cover)
{
	if (cover->fd >= 0)
		__atomic_store_n(cover->trace, 0, __ATOMIC_RELAXED);
}

static u32 hash(u64 from, u64 to)
{
	return ((from * 0x9e3779b97f4a7c15ULL) ^ (to * 0xc2b2ae3d27d4eb4fULL)) >> 32;
}

static bool see(u64 from, u64 to)
{
	u32 bit = hash(from, to) % SEEN_BITS;
	u8 mask = 1 << bit % 8;

	if (__atomic_fetch_or(&seen[bit / 8], mask, __ATOMIC_RELAXED) & mask)
		return false;
	__atomic_fetch_add(&pairs, 1, __ATOMIC_RELAXED);
	return true;
}

bool cover_end(struct cover *cover)
{
	unsigned long n, from = 0;
	bool is_new = false;

	if (cover->fd < 0)
		return false;
	n = __atomic_load_n(cover->trace, __ATOMIC_RELAXED);
	for (unsigned long i = 1; i <= n; i++) {
		is_new |= see(from, cover->trace[i]);
		from = cover->trace[i];
	}
	return is_new;
}

unsigned int cover_pairs(void)
{
	return __atomic_load_n(&pairs, __ATOMIC_RELAXED);
}
