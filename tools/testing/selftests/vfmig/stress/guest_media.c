// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each block of a disk may hold.  A block has one tag, or several after a command that may
 * have changed it and may not.  The data of a block follows from its tag.
 */
#include <stdlib.h>
#include <string.h>

#include "guest_ref.h"

void media_init(struct media *m, u64 count, u32 size)
{
	m->count = count;
	m->size = size;
	m->blocks = calloc(count, sizeof(*m->blocks));
	must(m->blocks);
	media_set_all(m, 0);
}

void media_exit(struct media *m)
{
	free(m->blocks);
}

static struct block *block_of(struct media *m, u64 i)
{
	must(i < m->count);
	return &m->blocks[i];
}

bool media_lock(struct media *m, u64 first, u32 count, bool write)
{
	for (u32 i = 0; i < count; i++) {
		struct block *b = block_of(m, first + i);

		/* A writer needs room for one more tag */
		if (b->writer || (write && (b->readers || b->n == BLOCK_TAGS)))
			return false;
	}
	for (u32 i = 0; i < count; i++) {
		if (write)
			m->blocks[first + i].writer = true;
		else
			m->blocks[first + i].readers++;
	}
	return true;
}

void media_unlock(struct media *m, u64 first, u32 count, bool write)
{
	for (u32 i = 0; i < count; i++) {
		struct block *b = block_of(m, first + i);

		must(write ? b->writer : b->readers);
		if (write)
			b->writer = false;
		else
			b->readers--;
	}
}

void media_set(struct media *m, u64 i, u64 tag)
{
	struct block *b = block_of(m, i);

	b->tags[0] = tag;
	b->n = 1;
}

void media_set_all(struct media *m, u64 tag)
{
	for (u64 i = 0; i < m->count; i++)
		media_set(m, i, tag);
}

void media_forget_all(struct media *m)
{
	for (u64 i = 0; i < m->count; i++)
		m->blocks[i].n = 0;
}

void media_may_be(struct media *m, u64 i, u64 tag)
{
	struct block *b = block_of(m, i);

	for (unsigned int k = 0; k < b->n; k++)
		if (b->tags[k] == tag)
			return;
	/* One that may hold anything may hold this */
	if (!b->n)
		return;
	must(b->n < BLOCK_TAGS);
	b->tags[b->n++] = tag;
}

bool media_is_sure(struct media *m, u64 first, u32 count)
{
	for (u32 i = 0; i < count; i++)
		if (block_of(m, first + i)->n != 1)
			return false;
	return true;
}

void media_fill(const struct media *m, u8 *data, u64 tag)
{
	if (tag)
		fill_pattern(data, m->size, tag);
	else
		memset(data, 0, m->size);
}

bool media_reads(struct media *m, u64 i, const u8 *data)
{
	struct block *b = block_of(m, i);

	for (unsigned int k = 0; k < b->n; k++) {
		u64 tag = b->tags[k];

		if (tag ? is_pattern(data, m->size, tag) : is_filled(data, m->size, 0)) {
			media_set(m, i, tag);
			return true;
		}
	}
	return !b->n;
}

/* How much of a block is that of each tag it may have */
void media_say(const struct media *m, u64 i, const u8 *data)
{
	const struct block *b = &m->blocks[i];
	u8 right[BLOCK_SIZE_MAX];

	for (unsigned int k = 0; k < b->n; k++) {
		unsigned int same = 0, first = 0;

		media_fill(m, right, b->tags[k]);
		while (first < m->size && data[first] == right[first])
			first++;
		for (unsigned int at = 0; at < m->size; at++)
			same += data[at] == right[at];
		note("block %llu may be 0x%llx: %u bytes are right, the first %u of them",
		     i, b->tags[k], same, first);
	}
}
