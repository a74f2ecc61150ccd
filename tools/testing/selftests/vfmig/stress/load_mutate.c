// SPDX-License-Identifier: GPL-2.0-only
/*
 * How streams are changed.  The device's state is what the parser of the stream does not know, so
 * most changes are there.
 */
#include <string.h>

#include <linux/vfmig.h>

#include "../lib/stream.h"
#include "load.h"

#define RECORDS		64
#define PART_MAX	128	/* bytes that are copied from one state to another */

/* A stream in pieces.  A piece has a header, and the payload that was there, of any length. */
struct piece {
	struct vfmig_record header;
	u8 *payload;
	size_t len;
};

struct pieces {
	struct piece piece[RECORDS];
	unsigned int nr;
	bool length_chosen;	/* then it is not made right again */
	size_t used;		/* of the room for payloads */
	u8 room[4 * INPUT_MAX];
};

static u8 *room_of(struct pieces *p, size_t len)
{
	u8 *room = p->room + p->used;

	must(p->used + len <= sizeof(p->room));
	p->used += len;
	return room;
}

/* What is behind the last record that fits is left out */
static void take_apart(const struct blob *blob, struct pieces *p)
{
	size_t pos = 0;

	p->nr = 0;
	p->used = 0;
	p->length_chosen = false;
	while (p->nr < RECORDS - 2 && blob->len - pos >= sizeof(struct vfmig_record)) {
		struct piece *piece = &p->piece[p->nr++];
		size_t left;

		memcpy(&piece->header, blob->data + pos, sizeof(piece->header));
		pos += sizeof(piece->header);
		left = blob->len - pos;
		piece->len = piece->header.length < left ? piece->header.length : left;
		piece->payload = room_of(p, piece->len);
		memcpy(piece->payload, blob->data + pos, piece->len);
		pos += piece->len;
	}
}

static struct piece *some_piece(struct pieces *p, u64 *random)
{
	return &p->piece[random_below(random, p->nr)];
}

/* Any of this type, or NULL */
static struct piece *some_of_type(struct pieces *p, u64 *random, u32 type)
{
	unsigned int first = random_below(random, p->nr);

	for (unsigned int i = 0; i < p->nr; i++) {
		struct piece *piece = &p->piece[(first + i) % p->nr];

		if (piece->header.type == type)
			return piece;
	}
	return NULL;
}

u64 mutate_number(u64 *random, u64 old)
{
	static const u64 bounds[] = {
		0, 1, 2, 15, 16, 31, 32, 33, 63, 64, 127, 128, 255, 256, 1023, 1024, 4095, 4096,
		65535, 65536, MIB(1), MIB(2), 1ULL << 31, 1ULL << 32, 1ULL << 63, ~0ULL,
		~0ULL - 4095, ARENA_IOVA, ARENA_IOVA + ARENA_SIZE - PAGE, ARENA_IOVA + ARENA_SIZE,
	};

	switch (random_below(random, 4)) {
	case 0:
		return bounds[random_below(random, ARRAY_SIZE(bounds))];
	case 1:
		return old ^ (1ULL << random_below(random, 64));
	case 2:
		return next_random(random);
	default:
		return old + random_below(random, 9) - 4;
	}
}

/* A number at a multiple of its size, as they all are */
static void change_number(struct piece *piece, u64 *random)
{
	size_t size = 1UL << random_below(random, 4), at;
	u64 value = 0;

	if (piece->len < size)
		return;
	at = random_below(random, piece->len / size) * size;
	memcpy(&value, piece->payload + at, size);
	value = mutate_number(random, value);
	memcpy(piece->payload + at, &value, size);
}

/* A part of another one, from the same place or from anywhere */
static void copy_part(struct piece *piece, const struct piece *from, u64 *random)
{
	size_t len = 1 + random_below(random, PART_MAX), to, at;

	if (from->len < len || piece->len < len)
		return;
	to = random_below(random, piece->len - len + 1) & ~7UL;
	at = to;
	if (at + len > from->len || one_in(random, 4))
		at = random_below(random, from->len - len + 1) & ~7UL;
	memcpy(piece->payload + to, from->payload + at, len);
}

static void change_part(struct corpus *corpus, struct piece *piece, u64 *random)
{
	static _Thread_local struct pieces p;
	static _Thread_local struct blob blob;
	struct piece *other;

	corpus_some(corpus, random, &blob);
	take_apart(&blob, &p);
	other = some_of_type(&p, random, piece->header.type);
	if (other)
		copy_part(piece, other, random);
}

static void change_length(struct pieces *p, struct piece *piece, u64 *random)
{
	size_t len = one_in(random, 2) ? random_below(random, piece->len + 1) :
		     piece->len + 1 + random_below(random, 600);
	u8 *payload = room_of(p, len);

	memset(payload, 0, len);
	memcpy(payload, piece->payload, len < piece->len ? len : piece->len);
	piece->payload = payload;
	piece->len = len;
}

static void change_header(struct pieces *p, struct piece *piece, u64 *random)
{
	switch (random_below(random, 4)) {
	case 0:
		piece->header.type = random_below(random, 8);
		break;
	case 1:
		piece->header.flags = random_below(random, 8);
		break;
	case 2:
		piece->header.length = mutate_number(random, piece->header.length);
		p->length_chosen = true;
		break;
	default:
		change_length(p, piece, random);
	}
}

static void insert(struct pieces *p, unsigned int at, const struct piece *piece)
{
	struct piece copy = *piece;

	if (p->nr == RECORDS)
		return;
	memmove(&p->piece[at + 1], &p->piece[at], (p->nr - at) * sizeof(copy));
	p->piece[at] = copy;
	p->nr++;
}

static void leave_out(struct pieces *p, unsigned int at)
{
	p->nr--;
	memmove(&p->piece[at], &p->piece[at + 1], (p->nr - at) * sizeof(p->piece[0]));
}

/* Its payload is in two records then */
static void split(struct pieces *p, unsigned int at, u64 *random)
{
	size_t cut = random_below(random, p->piece[at].len + 1);

	if (p->nr == RECORDS)
		return;
	insert(p, at, &p->piece[at]);
	p->piece[at].len = cut;
	p->piece[at + 1].payload += cut;
	p->piece[at + 1].len -= cut;
}

static void change_order(struct pieces *p, u64 *random)
{
	unsigned int a = random_below(random, p->nr), b = random_below(random, p->nr);
	struct piece kept = p->piece[a];

	switch (random_below(random, 4)) {
	case 0:
		p->piece[a] = p->piece[b];
		p->piece[b] = kept;
		break;
	case 1:
		insert(p, a, &p->piece[b]);
		break;
	case 2:
		if (p->nr > 1)
			leave_out(p, a);
		break;
	default:
		split(p, a, random);
	}
}

static void change_state(struct corpus *corpus, struct pieces *p, u64 *random)
{
	struct piece *piece = some_of_type(p, random, VFMIG_RECORD_STATE);

	if (!piece)
		return;
	switch (random_below(random, 8)) {
	case 0:
	case 1:
	case 2:
		change_part(corpus, piece, random);
		break;
	case 3:
		change_length(p, piece, random);
		break;
	default:
		change_number(piece, random);
	}
}

static void change(struct corpus *corpus, struct pieces *p, u64 *random)
{
	switch (random_below(random, 10)) {
	case 0:
		change_header(p, some_piece(p, random), random);
		break;
	case 1:
		change_number(some_piece(p, random), random);
		break;
	case 2:
		change_order(p, random);
		break;
	default:
		change_state(corpus, p, random);
	}
}

/* What END says, and lengths and CRCs; some stay as they are, so that those are checked */
static void put_together(struct pieces *p, struct blob *out, u64 *random)
{
	bool right = !one_in(random, 20);

	out->len = 0;
	for (unsigned int i = 0; i < p->nr; i++) {
		struct piece *piece = &p->piece[i];
		struct vfmig_end *end = (void *)piece->payload;
		size_t at = out->len;

		if (right && piece->header.type == VFMIG_RECORD_END && piece->len == sizeof(*end))
			*end = (struct vfmig_end){ .bytes = at, .records = i };
		if (!p->length_chosen)
			piece->header.length = piece->len;
		blob_append(out, &piece->header, sizeof(piece->header));
		blob_append(out, piece->payload, piece->len);
		if (right && piece->header.length == piece->len)
			stream_seal((void *)(out->data + at));
	}
	if (out->len > INPUT_MAX)
		out->len = INPUT_MAX;
	if (one_in(random, 50))
		out->len = random_below(random, out->len + 1);
}

void mutate(struct corpus *corpus, u64 *random, struct blob *out)
{
	static _Thread_local struct pieces p;
	static _Thread_local struct blob from;

	corpus_some(corpus, random, &from);
	take_apart(&from, &p);
	for (unsigned int n = 1 + random_below(random, 3); n && p.nr; n--)
		change(corpus, &p, random);
	put_together(&p, out, random);
}
