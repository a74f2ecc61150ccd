// SPDX-License-Identifier: GPL-2.0-only
/*
 * The checks of the models' states under libFuzzer: the drivers' source, in user space.
 *
 * An input is a valid state, made from a seed, and changes of it (state.h).  What is valid must be
 * accepted, what has the wrong length must be refused, and of a state that is accepted all must
 * hold that the driver relies on when it applies it.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "libfuzzer.h"
#include "state.h"

/* The sanitizer sees an access beyond it */
static u8 *copy_of(const u8 *state, size_t size)
{
	u8 *copy = malloc(size);

	check(copy || !size);
	memcpy(copy, state, size);
	return copy;
}

static size_t other_length(size_t size, int more)
{
	return more < 0 && (size_t)-more > size ? 0 : size + more;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 raw[MAX_STATE], packed[MAX_STATE];
	const struct state_model *model;
	struct state_input input;
	size_t length, where = 0;
	const char *why;
	bool valid;
	u8 *state;

	state_unpack(&input, data, size);
	model = state_model_of(&input);
	valid = state_make(&input, raw);
	length = other_length(model->pack(raw, packed), input.setup.more);
	state = copy_of(packed, length);

	why = model->refusal(input.setup.device, state, length, &where);
	if (input.setup.more) {
		check(why && !strcmp(why, "length of the state"));
	} else if (why) {
		check(!valid);
		check(why[0] && where < length);
	} else {
		model->use(input.setup.device, state);
	}
	check(!memcmp(state, packed, length));
	free(state);
	return 0;
}
