// SPDX-License-Identifier: GPL-2.0-only
/*
 * Measures TCP over two paths in turns.
 *
 *   speed serve PORT
 *   speed send|receive|ask PORT ROUNDS ADDRESS ADDRESS
 *
 * "serve" is the other end, for any number of connections.  It prints a line when it listens.
 * The others measure how many bytes per second they send and the other end acknowledges, how many
 * they receive, or how many requests per second of one byte are answered with a byte.  A line is
 * printed for each round: the figures of both addresses.
 *
 * A figure is of several slices of time, in turns with those of the other address: what else
 * the machine does comes and goes, and then is in both.  A slice ends when all that was sent
 * in it has arrived, so nothing is under way to an address that is not its turn.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/sockios.h>
#include <linux/types.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (64 << 10)
/* Bytes that a receiver gets for each byte that it sends, and how many it asks for ahead */
#define BLOCK (4 * CHUNK)
#define AHEAD (4 * BLOCK)
#define SLICES 8
#define SLICE 0.125	/* s */
/* A connection has found its speed after so many slices */
#define WARM 4

enum mode { SEND = 's', RECEIVE = 'r', ASK = 'a' };

static char data[CHUNK];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void set_nodelay(int fd)
{
	const int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		fail("TCP_NODELAY");
}

static void send_all(int fd, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len < CHUNK ? len : CHUNK, MSG_NOSIGNAL);

		if (n <= 0)
			fail("send");
		len -= n;
	}
}

static ssize_t receive(int fd)
{
	char buffer[CHUNK];

	return recv(fd, buffer, sizeof(buffer), 0);
}

/* Ends when the other end does */
static void *serve(void *arg)
{
	int fd = (long)arg;
	char mode;
	ssize_t n;

	set_nodelay(fd);
	if (recv(fd, &mode, 1, 0) != 1)
		mode = 0;
	while (mode && (n = receive(fd)) > 0) {
		if (mode != SEND)
			send_all(fd, mode == RECEIVE ? n * BLOCK : n);
	}
	close(fd);
	return NULL;
}

static void serve_all(struct sockaddr_in *address)
{
	const int on = 1;
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (listener < 0 ||
	    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(listener, (struct sockaddr *)address, sizeof(*address)) || listen(listener, 16))
		fail("listen");
	puts("listening");
	fflush(stdout);
	for (;;) {
		long fd = accept(listener, NULL, NULL);
		pthread_t thread;

		if (fd < 0 || pthread_create(&thread, NULL, serve, (void *)fd))
			fail("accept");
		pthread_detach(thread);
	}
}

static int connect_to(struct sockaddr_in *address, const char *name, char mode)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || inet_pton(AF_INET, name, &address->sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)address, sizeof(*address)))
		fail(name);
	set_nodelay(fd);
	if (send(fd, &mode, 1, 0) != 1)
		fail("send");
	return fd;
}

/* Each of these returns what was done, in bytes or requests */

static __u64 send_until(int fd, double end)
{
	const struct timespec turn = { .tv_nsec = 100000 };
	__u64 done = 0;
	int left;

	for (; now() < end; done += CHUNK)
		send_all(fd, CHUNK);
	while (!ioctl(fd, SIOCOUTQ, &left) && left)
		nanosleep(&turn, NULL);
	return done;
}

static __u64 receive_until(int fd, double end)
{
	__u64 asked = 0, got = 0;

	do {
		for (; asked < got + AHEAD && now() < end; asked += BLOCK)
			send_all(fd, 1);
		if (got < asked) {
			ssize_t n = receive(fd);

			if (n <= 0)
				fail("receive");
			got += n;
		}
	} while (got < asked);
	return got;
}

static __u64 ask_until(int fd, double end)
{
	__u64 done = 0;

	for (; now() < end; done++) {
		send_all(fd, 1);
		if (receive(fd) != 1)
			fail("receive");
	}
	return done;
}

/* Adds what was done in a slice, and the time that it took */
static void take_slice(int fd, enum mode mode, double *done, double *seconds)
{
	double begin = now(), end = begin + SLICE;

	*done += mode == SEND ? send_until(fd, end) :
		 mode == RECEIVE ? receive_until(fd, end) : ask_until(fd, end);
	*seconds += now() - begin;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	unsigned long rounds;
	int fds[2];

	if (argc >= 3)
		address.sin_port = htons(strtoul(argv[2], NULL, 0));
	if (argc == 3 && !strcmp(argv[1], "serve"))
		serve_all(&address);
	if (argc != 6 || !strchr("sra", argv[1][0])) {
		fprintf(stderr, "usage: speed serve PORT, or\n"
			"       speed send|receive|ask PORT ROUNDS ADDRESS ADDRESS\n");
		return 2;
	}
	/* An emulated CPU may lose a guest that sends right after a page fault (testing.rst) */
	if (mlockall(MCL_CURRENT | MCL_FUTURE)) {
		perror("mlockall");
		return 1;
	}
	rounds = strtoul(argv[3], NULL, 0);
	for (int path = 0; path < 2; path++) {
		double done = 0, seconds = 0;

		fds[path] = connect_to(&address, argv[4 + path], argv[1][0]);
		for (int i = 0; i < WARM; i++)
			take_slice(fds[path], argv[1][0], &done, &seconds);
	}
	while (rounds--) {
		double done[2] = { }, seconds[2] = { };

		for (int i = 0; i < 2 * SLICES; i++)
			take_slice(fds[i % 2], argv[1][0], &done[i % 2], &seconds[i % 2]);
		printf("%.1f %.1f\n", done[0] / seconds[0], done[1] / seconds[1]);
	}
	return 0;
}
