// SPDX-License-Identifier: GPL-2.0-only
/*
 * An input as bytes, and the state that it is.  All bytes are an input.
 */
#include <string.h>

#include <linux/array_size.h>

#include "state.h"

static const struct state_model *const models[] = { &nvme_model, &net_model };

const struct state_model *state_model_of(const struct state_input *input)
{
	return models[input->setup.model % ARRAY_SIZE(models)];
}

void state_unpack(struct state_input *input, const u8 *data, size_t size)
{
	size_t pos = sizeof(input->setup);

	memset(input, 0, sizeof(*input));
	memcpy(&input->setup, data, size < pos ? size : pos);
	for (; input->nr < MAX_CHANGES && pos + sizeof(input->changes[0]) <= size;
	     pos += sizeof(input->changes[0]))
		memcpy(&input->changes[input->nr++], data + pos, sizeof(input->changes[0]));
}

/* Returns the number of bytes; changes that there is no room for are left out */
size_t state_pack(const struct state_input *input, u8 *data, size_t room)
{
	size_t pos = sizeof(input->setup);

	if (room < pos)
		return 0;
	memcpy(data, &input->setup, sizeof(input->setup));
	for (unsigned int i = 0; i < input->nr && room - pos >= sizeof(input->changes[0]); i++) {
		memcpy(data + pos, &input->changes[i], sizeof(input->changes[0]));
		pos += sizeof(input->changes[0]);
	}
	return pos;
}

/* Is it a number that can have any value? */
static bool any_value(const struct state_model *model, size_t at, size_t size)
{
	for (unsigned int i = 0; i < model->nr_fields; i++) {
		const struct state_field *field = &model->fields[i];

		if (field->any && at >= field->at &&
		    (at - field->at) / field_stride(field) < field_count(field) &&
		    (at - field->at) % field_stride(field) + size <= field->size)
			return true;
	}
	return false;
}

/* Fills in @raw, of MAX_STATE bytes.  Returns whether the state is valid without a doubt. */
bool state_make(const struct state_input *input, u8 *raw)
{
	const struct state_model *model = state_model_of(input);
	struct random random;
	bool valid = input->setup.source == input->setup.device;

	random_begin(&random, input->setup.seed);
	memset(raw, 0, model->size);
	model->make(input->setup.source, &random, raw);
	for (unsigned int i = 0; i < input->nr; i++) {
		const struct state_change *change = &input->changes[i];
		size_t size = 1U << (change->log2 & 3);
		size_t at = change->at % (model->size - size + 1);

		memcpy(raw + at, &change->value, size);
		valid = valid && any_value(model, at, size);
	}
	return valid;
}
