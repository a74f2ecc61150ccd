// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checks that guest memory which a device wrote survives a migration.
 *
 *   memory DEVICE OFFSET SIZE SEED RATE DIR
 *
 * Fills a region of the disk (in bytes) with blocks that contain their position.  Reads
 * them into a buffer that no CPU writes, and creates DIR/ready.  Then reads blocks into
 * most of the buffer again and again, RATE times a second (0: not at all).  Each read
 * puts other data into a slot of the buffer, and only the device knows that.  If the
 * migration does not send such a page again, it has the old data.
 *
 * When DIR/stop exists, compares all of the buffer, writes "BYTES WRONG READS" (bytes
 * compared, pages that differed, blocks read) to DIR/result and creates DIR/ended.
 *
 * Verified I/O does not test this well, because it compares at once what it reads.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* Enough for a list of PRPs */
#define BLOCK 16384
#define PAGE 4096
#define SLOTS 1024
/* Blocks that go at a time while the test is prepared */
#define CHUNK 16
/* These are read once, before the migration */
#define KEPT 256

static __u64 seed;
/* The region on the disk */
static int fd;
static off_t offset;
static __u32 blocks;
/* The buffer, and which block each slot has.  This the CPU writes, and KVM knows. */
static char *buffer;
static __u32 in_slot[SLOTS];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* What word number i of a block is: an odd multiplier makes it differ from all others */
static __u64 word(__u32 block, unsigned int i)
{
	return (seed << 40 ^ (__u64)block << 16 ^ i) * 0x9e3779b97f4a7c15ull;
}

static void *allocate(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED || mlock(memory, size))
		fail("no memory");
	return memory;
}

static void write_region(void)
{
	const unsigned int words = BLOCK / sizeof(__u64);
	const ssize_t size = CHUNK * BLOCK;
	__u64 *data = allocate(size);

	for (__u32 block = 0; block < blocks; block += CHUNK) {
		for (unsigned int i = 0; i < CHUNK * words; i++)
			data[i] = word(block + i / words, i % words);
		if (pwrite(fd, data, size, offset + (off_t)block * BLOCK) != size)
			fail("can't write");
	}
	munmap(data, size);
}

/* So many slots get the blocks from one on */
static void read_blocks(unsigned int slot, __u32 block, unsigned int count)
{
	const ssize_t size = (ssize_t)count * BLOCK;

	for (unsigned int i = 0; i < count; i++)
		in_slot[slot + i] = block + i;
	if (pread(fd, buffer + (size_t)slot * BLOCK, size, offset + (off_t)block * BLOCK) != size)
		fail("can't read");
}

static unsigned int wrong_pages(unsigned int slot)
{
	const __u64 *data = (const __u64 *)(buffer + (size_t)slot * BLOCK);
	const unsigned int words = PAGE / sizeof(*data);
	unsigned int wrong = 0;

	for (unsigned int page = 0; page < BLOCK / PAGE; page++) {
		for (unsigned int i = page * words; i < (page + 1) * words; i++) {
			if (data[i] != word(in_slot[slot], i)) {
				wrong++;
				break;
			}
		}
	}
	return wrong;
}

/* Returns how often it read */
static unsigned long read_until_stopped(unsigned long rate)
{
	/* Not at fixed times: a clock that jumps with the migration would make up for it */
	const struct timespec turn = { .tv_nsec = 999999999 / (rate ?: 10) };
	unsigned long reads = 0;

	while (access("stop", F_OK)) {
		nanosleep(&turn, NULL);
		if (rate) {
			unsigned int slot = KEPT + reads++ % (SLOTS - KEPT);

			read_blocks(slot, (in_slot[slot] + 1) % blocks, 1);
		}
	}
	return reads;
}

int main(int argc, char **argv)
{
	unsigned int wrong = 0;
	unsigned long reads;
	FILE *result;

	if (argc != 7) {
		fprintf(stderr, "usage: memory DEVICE OFFSET SIZE SEED RATE DIR\n");
		return 2;
	}
	fd = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0)
		fail(argv[1]);
	offset = strtoll(argv[2], NULL, 0);
	blocks = strtoll(argv[3], NULL, 0) / (CHUNK * BLOCK) * CHUNK;
	seed = strtoull(argv[4], NULL, 0);
	if (!blocks || chdir(argv[6]))
		fail(argv[6]);

	write_region();
	buffer = allocate((size_t)SLOTS * BLOCK);
	for (unsigned int slot = 0; slot < SLOTS; slot += CHUNK)
		read_blocks(slot, slot % blocks, CHUNK);
	close(open("ready", O_CREAT | O_WRONLY, 0644));
	reads = read_until_stopped(strtoul(argv[5], NULL, 0));

	for (unsigned int slot = 0; slot < SLOTS; slot++)
		wrong += wrong_pages(slot);
	result = fopen("result", "w");
	if (!result || fprintf(result, "%d %u %lu\n", SLOTS * BLOCK, wrong, reads) < 0 ||
	    fclose(result))
		fail("result");
	close(open("ended", O_CREAT | O_WRONLY, 0644));
	return 0;
}
