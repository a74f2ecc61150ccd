// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the fuzzer changes an input: records are changed, repeated, moved, cut and left out, and
 * most of the time what was changed is made right again, so that it gets past the first check.
 */
#include <string.h>

#include "../../../../../drivers/vfio/pci/vfmig/stream.h"
#include "check.h"
#include "device.h"
#include "libfuzzer.h"
#include "random.h"
#include "repair.h"
#include "seed.h"

static struct random random_state;

/* A length was chosen: it is not made right again */
static bool length_chosen;

static u32 below(u32 n)
{
	return random_below(&random_state, n);
}

/* Where bounds are, and what overflows beside them */
static u64 number(u64 old)
{
	static const u64 bounds[] = {
		0, 1, 16, 24, 48, 48 + 256, 4096, 16 + 4096, VFMIG_STATE_CHUNK, VFMIG_MEMORY_MAX,
		VFMIG_MEMORY_MAX + 16, 64U << 20, DEVICE_SIZE, DEVICE_STATE, 1ULL << 31, 1ULL << 32,
		1ULL << 63, 0ULL - 4096, 0ULL - DEVICE_SIZE,
	};
	u64 bound = bounds[below(ARRAY_SIZE(bounds))];

	switch (below(6)) {
	case 0:
		return bound;
	case 1:
		return bound + 1;
	case 2:
		return bound - 1;
	case 3:
		return old ^ (1ULL << below(64));
	case 4:
		return (u64)below(DEVICE_GRANULES + 2) * VFMIG_GRANULE;
	default:
		return old + (int)below(5) - 2;
	}
}

/* Around the bounds of a type */
static u64 length_of_record(void)
{
	static const u64 bounds[] = {
		1, 16, 48, 48 + 256, 16 + 4096, VFMIG_STATE_MAX, 16 + VFMIG_MEMORY_MAX,
	};

	return bounds[below(ARRAY_SIZE(bounds))] + below(3) - 1;
}

static void change_header(struct chunk *chunk)
{
	struct vfmig_record *rec = (void *)chunk->data;

	if (chunk->len < sizeof(*rec))
		return;
	switch (below(5)) {
	case 0:
		rec->type = below(2) ? below(8) : number(rec->type);
		break;
	case 1:
		rec->flags = below(4) ? below(4) : number(rec->flags);
		break;
	case 2:
		rec->payload_crc ^= 1U << below(32);
		break;
	default:
		rec->length = below(4) ? length_of_record() : number(rec->length);
		length_chosen = true;
	}
}

/* One of the numbers of a payload: all are aligned to 2 bytes in it */
static void change_number(struct chunk *chunk)
{
	size_t header = sizeof(struct vfmig_record);
	size_t sizes[] = { 1, 2, 4, 8 }, size = sizes[below(4)], at;
	u64 value = 0;

	if (chunk->len < header + size)
		return;
	at = header + below((chunk->len - header) / size) * size;
	memcpy(&value, chunk->data + at, size);
	value = number(value);
	memcpy(chunk->data + at, &value, size);
}

static void change_size(struct chunk *chunk)
{
	switch (below(4)) {
	case 0:
		chunk->zeroes = number(chunk->zeroes) % (MAX_ZEROES + 1);
		break;
	case 1:
		chunk->zeroes += below(3) * VFMIG_GRANULE;
		break;
	case 2:
		chunk->len = below(chunk->len + 1);
		break;
	default:
		chunk->zeroes = below(2 * VFMIG_STATE_CHUNK);
	}
	if (chunk->zeroes > MAX_ZEROES)
		chunk->zeroes = MAX_ZEROES;
}

static void change_bytes(struct chunk *chunk)
{
	chunk->len = LLVMFuzzerMutate(chunk->data, chunk->len, MAX_CHUNK);
}

static void insert(struct input *input, unsigned int at, const struct chunk *chunk)
{
	struct chunk copy = *chunk;

	if (input->nr == MAX_CHUNKS)
		return;
	memmove(&input->chunks[at + 1], &input->chunks[at],
		(input->nr - at) * sizeof(input->chunks[0]));
	input->chunks[at] = copy;
	input->nr++;
}

static void leave_out(struct input *input, unsigned int at)
{
	input->nr--;
	memmove(&input->chunks[at], &input->chunks[at + 1],
		(input->nr - at) * sizeof(input->chunks[0]));
}

static void swap(struct chunk *a, struct chunk *b)
{
	struct chunk kept = *a;

	*a = *b;
	*b = kept;
}

static void change_order(struct input *input)
{
	unsigned int a = below(input->nr), b = below(input->nr);
	struct chunk chunk;

	switch (below(4)) {
	case 0:
		swap(&input->chunks[a], &input->chunks[b]);
		break;
	case 1:
		insert(input, a, &input->chunks[b]);
		break;
	case 2:
		leave_out(input, a);
		break;
	default:
		seed_record(&chunk, 1 + below(6));
		insert(input, below(input->nr + 1), &chunk);
	}
}

static void change_setup(struct setup *setup)
{
	switch (below(5)) {
	case 0:
		setup->device ^= 1U << below(2);
		break;
	case 1:
		setup->fail_call = below(24);
		break;
	case 2:
		setup->fail_errno = below(7);
		break;
	case 3:
		setup->fail_alloc = below(2) * below(16);
		break;
	default:
		setup->cuts = random_next(&random_state);
	}
}

static void change(struct input *input)
{
	struct chunk *chunk = &input->chunks[below(input->nr ?: 1)];

	if (!input->nr) {
		seed_input(input, below(8));
		return;
	}
	switch (below(9)) {
	case 0:
	case 1:
		change_header(chunk);
		break;
	case 2:
	case 3:
		change_number(chunk);
		break;
	case 4:
		change_size(chunk);
		break;
	case 5:
		change_bytes(chunk);
		break;
	case 6:
		change_setup(&input->setup);
		break;
	default:
		change_order(input);
	}
}

/* Mostly all, so that the one change is what counts */
static unsigned int what_to_repair(void)
{
	if (length_chosen)
		return REPAIR_ALL & ~REPAIR_LENGTH;
	switch (below(8)) {
	case 0:
		return below(REPAIR_ALL + 1);
	case 1:
	case 2:
	case 3:
		return REPAIR_ALL & ~REPAIR_LENGTH;
	case 4:
		return REPAIR_HEADER | REPAIR_PAYLOAD;
	default:
		return REPAIR_ALL;
	}
}

static struct input input;

static void begin(unsigned int seed)
{
	random_begin(&random_state, seed);
	length_chosen = false;
}

size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t max_size, unsigned int seed)
{
	unsigned int changes;

	begin(seed);
	input_unpack(&input, data, size);
	changes = 1 + below(3);
	while (changes--)
		change(&input);
	repair(&input, what_to_repair());
	return input_pack(&input, data, max_size);
}

/* The first records of one stream, and the last ones of the other */
size_t LLVMFuzzerCustomCrossOver(const u8 *data1, size_t size1, const u8 *data2, size_t size2,
				 u8 *out, size_t max_size, unsigned int seed)
{
	static struct input other;

	begin(seed);
	input_unpack(&input, data1, size1);
	input_unpack(&other, data2, size2);
	input.nr = below(input.nr + 1);
	for (unsigned int i = below(other.nr + 1); i < other.nr; i++)
		insert(&input, input.nr, &other.chunks[i]);
	repair(&input, what_to_repair());
	return input_pack(&input, out, max_size);
}
