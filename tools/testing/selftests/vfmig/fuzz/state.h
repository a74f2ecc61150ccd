/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An input of the fuzzer of states: a valid state, which follows from a seed, and what is changed
 * in it.  So the fuzzer has the structure of a state by itself, and most inputs get past the first
 * checks.
 */
#ifndef VFMIG_FUZZ_STATE_H
#define VFMIG_FUZZ_STATE_H

#include <linux/types.h>

#include "random.h"

#define MAX_CHANGES	8
#define MAX_STATE	(64U << 10)

/**
 * struct state_setup - where an input begins
 * @model: which model, an index
 * @source: what the device is like whose state it is, as the model takes it
 * @device: what the destination is like
 * @more: bytes that the state has too many, or too few if negative
 * @seed: what the state follows from
 */
struct state_setup {
	u8 model;
	u8 source;
	u8 device;
	__s16 more;
	u32 seed;
} __packed;

/**
 * struct state_change - a number in it that is another
 * @at: at which byte
 * @log2: log2 of its size in bytes
 * @value: the number
 */
struct state_change {
	u16 at;
	u8 log2;
	u64 value;
} __packed;

/**
 * struct state_input - an input, taken apart
 * @setup: where it begins
 * @nr: number of @changes
 * @changes: changes, in their order
 */
struct state_input {
	struct state_setup setup;
	unsigned int nr;
	struct state_change changes[MAX_CHANGES];
};

/**
 * struct state_field - a number of a state, or several that are alike
 * @at: where the first one is
 * @size: bytes of each
 * @count: how many there are, or 0 for one
 * @stride: bytes from one to the next, or 0 for @size
 * @any: each can have any value
 */
struct state_field {
	u16 at;
	u8 size;
	u16 count;
	u16 stride;
	bool any;
};

/**
 * struct state_model - a device model
 * @size: bytes that @make fills in and that can be changed
 * @fields: numbers in them
 * @nr_fields: number of @fields
 * @make: makes a valid state
 * @pack: puts together what a stream would have, with the length that it says itself; returns that
 * @refusal: what the driver finds wrong with a state, or NULL
 * @use: what the driver relies on in a state that was accepted
 */
struct state_model {
	size_t size;
	const struct state_field *fields;
	unsigned int nr_fields;
	void (*make)(u8 device, struct random *random, u8 *raw);
	size_t (*pack)(const u8 *raw, u8 *state);
	const char *(*refusal)(u8 device, const u8 *state, size_t size, size_t *where);
	void (*use)(u8 device, const u8 *state);
};

extern const struct state_model nvme_model, net_model;

static inline size_t field_stride(const struct state_field *field)
{
	return field->stride ?: field->size;
}

static inline size_t field_count(const struct state_field *field)
{
	return field->count ?: 1;
}

/* state_input.c */
const struct state_model *state_model_of(const struct state_input *input);
void state_unpack(struct state_input *input, const u8 *data, size_t size);
size_t state_pack(const struct state_input *input, u8 *data, size_t room);
bool state_make(const struct state_input *input, u8 *raw);

#endif /* VFMIG_FUZZ_STATE_H */
