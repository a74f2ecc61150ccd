// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the fuzzer changes a state: one of its numbers becomes another one, near its old value, near
 * a bound or at random.  The length stays that of the state, but for a few.
 */
#include <string.h>

#include <linux/array_size.h>

#include "libfuzzer.h"
#include "state.h"

static struct random random_state;

static u32 below(u32 n)
{
	return random_below(&random_state, n);
}

/* Where bounds are, and beside them */
static u64 number(u64 old)
{
	static const u64 bounds[] = {
		0, 1, 2, 16, 33, 34, 64, 66, 256, 1024, 4096, 1U << 15, 1U << 16, 0xfff0,
		65535 - 14, 10000000000ULL, 1ULL << 32, 1ULL << 33,
	};

	switch (below(6)) {
	case 0:
		return bounds[below(ARRAY_SIZE(bounds))];
	case 1:
		return bounds[below(ARRAY_SIZE(bounds))] + below(3) - 1;
	case 2:
		return old + below(5) - 2;
	case 3:
		return below(40);
	case 4:
		return old ^ (1ULL << below(64));
	default:
		return random_next(&random_state);
	}
}

/* A number of the state, mostly of what exists in it, and what it is now */
static struct state_change some_number(const struct state_model *model, const u8 *raw)
{
	const struct state_field *field = &model->fields[below(model->nr_fields)];
	struct state_change change = { .log2 = __builtin_ctz(field->size) };

	for (unsigned int tries = 0; tries < 4 && !change.value; tries++) {
		change.at = field->at + below(field_count(field)) * field_stride(field);
		memcpy(&change.value, raw + change.at, field->size);
	}
	return change;
}

/* Beside it may be what it must fit: the size of its queue, for example */
static u64 near_number(const struct state_model *model, const u8 *raw, size_t at)
{
	size_t size = 1U << below(4);
	u64 value = 0;

	at += 2 * below(9);
	if (at >= 8)
		at -= 8;
	if (at + size <= model->size)
		memcpy(&value, raw + at, size);
	return value + below(3) - 1;
}

/* The size of the number decides how many bits of a new value count */
static void add_change(struct state_input *input)
{
	static u8 raw[MAX_STATE];
	const struct state_model *model = state_model_of(input);
	unsigned int at = input->nr < MAX_CHANGES ? input->nr++ : below(MAX_CHANGES);
	struct state_change change;

	state_make(input, raw);
	change = some_number(model, raw);
	switch (below(4)) {
	case 0:
		change.value = near_number(model, raw, change.at);
		break;
	case 1:
		change.value ^= 1ULL << below(8U << change.log2);
		break;
	case 2:
		change.value = some_number(model, raw).value;
		break;
	default:
		change.value = number(change.value);
	}
	input->changes[at] = change;
}

static void change(struct state_input *input)
{
	struct state_change *old = &input->changes[below(input->nr ?: 1)];

	switch (below(12)) {
	case 0:
		input->setup.seed = random_next(&random_state);
		break;
	case 1:
		input->setup.source = below(256);
		input->setup.device = below(4) ? input->setup.source : below(256);
		break;
	case 2:
		input->setup.model ^= 1;
		input->nr = 0;
		break;
	case 3:
		input->setup.more = below(4) ? 0 : (int)below(1U << (1 + below(15))) - 128;
		if (below(2))
			input->setup.more = -input->setup.more;
		break;
	case 4:
		input->nr = below(input->nr + 1);
		break;
	case 5:
		old->value = number(old->value);
		break;
	default:
		add_change(input);
	}
}

size_t LLVMFuzzerCustomMutator(u8 *data, size_t size, size_t max_size, unsigned int seed)
{
	struct state_input input;
	unsigned int changes;

	random_begin(&random_state, seed);
	state_unpack(&input, data, size);
	changes = 1 + below(3);
	/* What is wrong with a state hides all that is checked after it */
	if (below(2)) {
		input.nr = 0;
		input.setup.more = 0;
		input.setup.device = input.setup.source;
		input.setup.seed = random_next(&random_state);
		changes = 1;
	}
	while (changes--)
		change(&input);
	return state_pack(&input, data, max_size);
}

/* What is changed in the one state is changed in the other too */
size_t LLVMFuzzerCustomCrossOver(const u8 *data1, size_t size1, const u8 *data2, size_t size2,
				 u8 *out, size_t max_size, unsigned int seed)
{
	struct state_input input, other;

	random_begin(&random_state, seed);
	state_unpack(&input, data1, size1);
	state_unpack(&other, data2, size2);
	if (state_model_of(&input) == state_model_of(&other))
		for (unsigned int i = 0; i < other.nr && input.nr < MAX_CHANGES; i++)
			input.changes[input.nr++] = other.changes[i];
	return state_pack(&input, out, max_size);
}
