/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * An input of the fuzzer: what the destination is like, and a stream.
 *
 * Device memory makes a stream long, and its bytes decide nothing.  So an input has the stream as
 * chunks, and behind each the number of zeroes that follow.  A chunk is a record, unless the
 * fuzzer has cut it.
 */
#ifndef VFMIG_FUZZ_INPUT_H
#define VFMIG_FUZZ_INPUT_H

#include <linux/types.h>

#define MAX_CHUNKS	24
#define MAX_CHUNK	512		/* bytes that are no zeroes */
#define MAX_ZEROES	(160U << 10)
#define MAX_STREAM	(256U << 10)

/* Bits of &setup.device */
#define DEVICE_PAGED	(1U << 0)	/* it takes its memory as pages */
#define DEVICE_MEMORY	(1U << 1)	/* it has memory */

/**
 * struct setup - what the destination is like
 * @device: DEVICE_*
 * @fail_call: which call of the device fails, counted from 1, or 0
 * @fail_errno: with which errno, an index
 * @fail_alloc: which allocation of the parser fails, counted from 1, or 0
 * @cuts: seed of the sizes of the pieces in which the stream is written
 */
struct setup {
	u8 device;
	u8 fail_call;
	u8 fail_errno;
	u8 fail_alloc;
	__le32 cuts;
} __packed;

/**
 * struct chunk - a piece of the stream
 * @len: bytes of @data
 * @zeroes: zeroes behind them
 * @data: what they are
 */
struct chunk {
	u32 len;
	u32 zeroes;
	u8 data[MAX_CHUNK];
};

/**
 * struct input - an input, taken apart
 * @setup: what the destination is like
 * @nr: number of @chunks
 * @chunks: the stream
 */
struct input {
	struct setup setup;
	unsigned int nr;
	struct chunk chunks[MAX_CHUNKS];
};

void input_unpack(struct input *input, const u8 *data, size_t size);
size_t input_pack(const struct input *input, u8 *data, size_t room);
size_t input_stream(const struct input *input, u8 *stream);

#endif /* VFMIG_FUZZ_INPUT_H */
