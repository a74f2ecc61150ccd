// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP streams in both directions at once, each byte of which is verified.
 *
 *   stream listen ADDRESS PORT COUNT SEED RATE DIR
 *   stream connect ADDRESS PORT COUNT SEED RATE DIR
 *
 * One end listens and the other one connects, COUNT times.  Then each end sends and receives
 * on every connection.  A word of a stream contains its position, its connection and its
 * direction, mixed with SEED, so data that was lost, repeated, damaged or exchanged is found.
 * RATE is the number of bytes per second that each end sends on each connection (0: no
 * limit).
 *
 * DIR/ready is created when all connections are there.  When DIR/stop exists at an end, it
 * sends no more, and the other end then does the same.  When both directions of all
 * connections have ended, an end writes "SENT RECEIVED WRONG" of each connection (bytes,
 * bytes, blocks that differ) to DIR/result and creates DIR/ended.
 *
 * The end that listens also appends a line to DIR/samples ten times a second: the time, and
 * for each connection the bytes that it received, and the bytes that the other end's kernel
 * acknowledged.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <linux/types.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 16384
#define WORDS (BLOCK / sizeof(__u64))
#define MAX_CONNECTIONS 64
/* A stack of these threads holds a block or two */
#define STACK (256 << 10)
/* Memory of a socket in each direction: a guest is small, and has many */
#define BUFFER (128 << 10)
/* In nanoseconds */
#define SAMPLE 100000000
#define SECOND 1000000000ull

struct connection {
	unsigned int number;
	int fd;
	pthread_t sender, receiver;
	/* The other end sends no more */
	atomic_bool ended;
	atomic_ullong sent, received;
	unsigned long wrong;
};

static struct connection connections[MAX_CONNECTIONS];
static unsigned int count;
static __u64 seed;
static unsigned long rate;
static bool listens;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void create(const char *file)
{
	int fd = open(file, O_CREAT | O_WRONLY, 0644);

	if (fd < 0)
		fail(file);
	close(fd);
}

/* Fills in what a block has that begins at a position of a stream */
static void fill(__u64 *block, const struct connection *conn, bool from_listener, __u64 position)
{
	__u64 first = seed << 48 ^ (__u64)conn->number << 41 ^ (__u64)from_listener << 40;

	/* An odd multiplier makes each word differ from all others */
	for (unsigned int i = 0; i < WORDS; i++)
		block[i] = (first ^ (position / sizeof(*block) + i)) * 0x9e3779b97f4a7c15ull;
}

static void pause_for(__u64 ns)
{
	const struct timespec turn = { ns / SECOND, ns % SECOND };

	nanosleep(&turn, NULL);
}

static void send_block(const struct connection *conn, const char *block)
{
	for (size_t done = 0; done < BLOCK;) {
		ssize_t n = send(conn->fd, block + done, BLOCK - done, MSG_NOSIGNAL);

		if (n <= 0)
			fail("send");
		done += n;
	}
}

/* Sends until this end or the other one is to stop */
static void *run_sender(void *arg)
{
	struct connection *conn = arg;
	__u64 block[WORDS];

	while (access("stop", F_OK) && !conn->ended) {
		fill(block, conn, listens, conn->sent);
		send_block(conn, (const char *)block);
		conn->sent += BLOCK;
		/* Not at fixed times: a clock that jumps with the migration would make up for it */
		if (rate)
			pause_for(BLOCK * SECOND / rate);
	}
	if (shutdown(conn->fd, SHUT_WR))
		fail("shutdown");
	return NULL;
}

static void *run_receiver(void *arg)
{
	struct connection *conn = arg;
	__u64 block[WORDS], expected[WORDS];
	ssize_t n;

	do {
		n = recv(conn->fd, block, BLOCK, MSG_WAITALL);
		if (n < 0)
			fail("recv");
		fill(expected, conn, !listens, conn->received);
		/* A part of a block is as wrong as another block */
		if (n && (n != BLOCK || memcmp(block, expected, BLOCK)))
			conn->wrong++;
		conn->received += n;
	} while (n == BLOCK);
	conn->ended = true;
	return NULL;
}

static int make_socket(void)
{
	const int on = 1, size = BUFFER;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)))
		fail("socket");
	return fd;
}

/* The end that connects says which number a connection has */
static void connect_all(const struct sockaddr_in *address)
{
	for (unsigned int i = 0; i < count; i++) {
		__u32 number = i;
		int fd = make_socket();

		if (connect(fd, (const struct sockaddr *)address, sizeof(*address)))
			fail("connect");
		if (send(fd, &number, sizeof(number), 0) != sizeof(number))
			fail("send");
		connections[i].fd = fd;
	}
}

static void accept_all(const struct sockaddr_in *address)
{
	int listener = make_socket();

	if (bind(listener, (const struct sockaddr *)address, sizeof(*address)) ||
	    listen(listener, MAX_CONNECTIONS))
		fail("listen");
	create("listening");
	for (unsigned int i = 0; i < count; i++) {
		int fd = accept(listener, NULL, NULL);
		__u32 number;

		if (fd < 0)
			fail("accept");
		if (recv(fd, &number, sizeof(number), MSG_WAITALL) != sizeof(number) ||
		    number >= count || connections[number].fd) {
			fprintf(stderr, "connection %u has no number\n", i);
			exit(1);
		}
		connections[number].fd = fd;
	}
	close(listener);
}

static void start(pthread_t *thread, void *(*run)(void *), struct connection *conn)
{
	pthread_attr_t attr;

	if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, STACK) ||
	    pthread_create(thread, &attr, run, conn)) {
		fprintf(stderr, "no thread\n");
		exit(1);
	}
	pthread_attr_destroy(&attr);
}

static void write_sample(FILE *file)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	fprintf(file, "%lld.%06ld", (long long)now.tv_sec, now.tv_nsec / 1000);
	for (unsigned int i = 0; i < count; i++) {
		struct tcp_info info = { };
		socklen_t len = sizeof(info);

		if (getsockopt(connections[i].fd, IPPROTO_TCP, TCP_INFO, &info, &len))
			fail("TCP_INFO");
		fprintf(file, " %llu %llu", (unsigned long long)connections[i].received,
			(unsigned long long)info.tcpi_bytes_acked);
	}
	if (putc('\n', file) == EOF || fflush(file))
		fail("samples");
}

static bool all_ended(void)
{
	for (unsigned int i = 0; i < count; i++)
		if (!connections[i].ended)
			return false;
	return true;
}

static void sample_until_ended(void)
{
	FILE *file = fopen("samples", "w");

	if (!file)
		fail("samples");
	do {
		write_sample(file);
		pause_for(SAMPLE);
	} while (!all_ended());
	fclose(file);
}

static void write_result(void)
{
	FILE *file = fopen("result", "w");

	if (!file)
		fail("result");
	for (unsigned int i = 0; i < count; i++)
		fprintf(file, "%llu %llu %lu\n", (unsigned long long)connections[i].sent,
			(unsigned long long)connections[i].received, connections[i].wrong);
	if (fclose(file))
		fail("result");
	create("ended");
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	if (argc != 8 || (strcmp(argv[1], "listen") && strcmp(argv[1], "connect"))) {
		fprintf(stderr, "usage: stream listen|connect ADDRESS PORT COUNT SEED RATE DIR\n");
		return 2;
	}
	listens = !strcmp(argv[1], "listen");
	count = strtoul(argv[4], NULL, 0);
	seed = strtoull(argv[5], NULL, 0);
	rate = strtoul(argv[6], NULL, 0);
	address.sin_port = htons(strtoul(argv[3], NULL, 0));
	if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1 || !count ||
	    count > MAX_CONNECTIONS) {
		fprintf(stderr, "stream: an argument is invalid\n");
		return 2;
	}
	if (chdir(argv[7]))
		fail(argv[7]);
	/* An emulated CPU may lose a guest that sends right after a page fault (testing.rst) */
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		fail("mlockall");

	if (listens)
		accept_all(&address);
	else
		connect_all(&address);
	/* Who finds "ready" reads the samples */
	if (listens)
		create("samples");
	create("ready");
	for (unsigned int i = 0; i < count; i++) {
		connections[i].number = i;
		start(&connections[i].sender, run_sender, &connections[i]);
		start(&connections[i].receiver, run_receiver, &connections[i]);
	}
	if (listens)
		sample_until_ended();
	for (unsigned int i = 0; i < count; i++) {
		pthread_join(connections[i].sender, NULL);
		pthread_join(connections[i].receiver, NULL);
	}
	write_result();
	return 0;
}
