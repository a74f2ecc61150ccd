// SPDX-License-Identifier: GPL-2.0-only
/*
 * An input as bytes, as it is in the corpus.  All bytes are an input.
 */
#include <string.h>

#include "input.h"

struct packed_chunk {
	u16 len;
	u32 zeroes;
	u8 data[];
} __packed;

static size_t less(size_t a, size_t b)
{
	return a < b ? a : b;
}

void input_unpack(struct input *input, const u8 *data, size_t size)
{
	size_t pos = sizeof(input->setup);

	memset(&input->setup, 0, sizeof(input->setup));
	memcpy(&input->setup, data, less(size, sizeof(input->setup)));
	input->nr = 0;
	while (input->nr < MAX_CHUNKS && pos + sizeof(struct packed_chunk) <= size) {
		const struct packed_chunk *in = (const void *)(data + pos);
		struct chunk *chunk = &input->chunks[input->nr++];

		pos += sizeof(*in);
		chunk->len = less(less(in->len, MAX_CHUNK), size - pos);
		chunk->zeroes = less(in->zeroes, MAX_ZEROES);
		memcpy(chunk->data, in->data, chunk->len);
		pos += chunk->len;
	}
}

/* Returns the number of bytes; what there is no room for is left out */
size_t input_pack(const struct input *input, u8 *data, size_t room)
{
	size_t pos = sizeof(input->setup);

	if (room < pos)
		return 0;
	memcpy(data, &input->setup, sizeof(input->setup));
	for (unsigned int i = 0; i < input->nr; i++) {
		const struct chunk *chunk = &input->chunks[i];
		struct packed_chunk *out = (void *)(data + pos);

		if (room - pos < sizeof(*out) + chunk->len)
			break;
		out->len = chunk->len;
		out->zeroes = chunk->zeroes;
		memcpy(out->data, chunk->data, chunk->len);
		pos += sizeof(*out) + chunk->len;
	}
	return pos;
}

/* The bytes that are written; @stream has room for MAX_STREAM */
size_t input_stream(const struct input *input, u8 *stream)
{
	size_t pos = 0;

	for (unsigned int i = 0; i < input->nr; i++) {
		const struct chunk *chunk = &input->chunks[i];
		size_t len = less(chunk->len, MAX_STREAM - pos);
		size_t zeroes = less(chunk->zeroes, MAX_STREAM - pos - len);

		memcpy(stream + pos, chunk->data, len);
		memset(stream + pos + len, 0, zeroes);
		pos += len + zeroes;
	}
	return pos;
}
