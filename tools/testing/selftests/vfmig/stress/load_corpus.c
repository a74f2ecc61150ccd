// SPDX-License-Identifier: GPL-2.0-only
/* Streams that are worth changing */
#include "load.h"

void corpus_init(struct corpus *corpus)
{
	must(!pthread_mutex_init(&corpus->lock, NULL));
}

void corpus_seed(struct corpus *corpus, const struct blob *blob)
{
	must(blob->len && blob->len <= INPUT_MAX);
	must(corpus->nr == corpus->seeds && corpus->nr < CORPUS_MAX / 2);
	blob_copy(&corpus->blob[corpus->nr++], blob);
	corpus->seeds++;
}

void corpus_add(struct corpus *corpus, const struct blob *blob, u64 *random)
{
	unsigned int at;

	pthread_mutex_lock(&corpus->lock);
	at = corpus->nr;
	if (at == CORPUS_MAX)
		at = corpus->seeds + random_below(random, CORPUS_MAX - corpus->seeds);
	else
		corpus->nr++;
	blob_copy(&corpus->blob[at], blob);
	pthread_mutex_unlock(&corpus->lock);
}

/* Half of the time what a device has saved: no input is far from one */
void corpus_some(struct corpus *corpus, u64 *random, struct blob *blob)
{
	unsigned int nr;

	pthread_mutex_lock(&corpus->lock);
	nr = one_in(random, 2) ? corpus->seeds : corpus->nr;
	blob_copy(blob, &corpus->blob[random_below(random, nr)]);
	pthread_mutex_unlock(&corpus->lock);
}

void corpus_free(struct corpus *corpus)
{
	for (unsigned int i = 0; i < corpus->nr; i++)
		blob_free(&corpus->blob[i]);
}
