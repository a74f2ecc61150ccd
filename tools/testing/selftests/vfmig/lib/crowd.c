// SPDX-License-Identifier: GPL-2.0-only
/* See crowd.h */
#include "crowd.h"
#include "figure.h"

#include <unistd.h>

u64 read_all(int fd, u8 *buf)
{
	u64 bytes = 0;
	ssize_t n;

	while ((n = read(fd, buf, BUFFER)) > 0)
		bytes += n;
	must(n == 0);
	return bytes;
}

static void *saver_thread(void *arg)
{
	struct saver *saver = arg;

	pthread_barrier_wait(saver->start);
	saver->bytes = read_all(saver->fd, saver->buf);
	return NULL;
}

double at_once_rate(struct crowd *crowd)
{
	struct saver *savers = crowd->savers;
	pthread_barrier_t start;
	double begin, end;
	u64 bytes = 0;

	must(!pthread_barrier_init(&start, NULL, CROWD + 1));
	for (unsigned int i = 0; i < CROWD; i++) {
		savers[i].start = &start;
		savers[i].fd = crowd->begin(crowd, i);
		must(!pthread_create(&savers[i].thread, NULL, saver_thread, &savers[i]));
	}
	begin = now();
	pthread_barrier_wait(&start);
	for (unsigned int i = 0; i < CROWD; i++) {
		pthread_join(savers[i].thread, NULL);
		bytes += savers[i].bytes;
	}
	end = now();
	for (unsigned int i = 0; i < CROWD; i++)
		crowd->end(crowd, i, savers[i].fd);
	pthread_barrier_destroy(&start);
	return bytes / (end - begin) / 1e6;
}

double one_by_one_rate(struct crowd *crowd)
{
	double busy = 0;
	u64 bytes = 0;

	for (unsigned int i = 0; i < CROWD; i++) {
		int fd = crowd->begin(crowd, i);
		double begin = now();

		bytes += read_all(fd, crowd->savers[i].buf);
		busy += now() - begin;
		crowd->end(crowd, i, fd);
	}
	return bytes / busy / 1e6;
}
