// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser of a stream that is written, under libFuzzer: the drivers' source, in user space.
 *
 * An input is a destination and a stream (input.h).  The stream is written in pieces, and read as
 * a whole by the rules (expect.c).  Both must come to the same verdict after the same record, and
 * to the same device, so the sizes of the pieces make no difference.  Allocations are counted
 * (memory.c), and the device complains about a call that it must not get (device.c).
 */
#include <errno.h>
#include <string.h>

#include <linux/gfp.h>

#include "../../../../../drivers/vfio/pci/vfmig/load_parse.h"
#include "check.h"
#include "device.h"
#include "expect.h"
#include "libfuzzer.h"
#include "memory.h"

static size_t less(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* As vfmig_write_piece() of load.c: bytes taken or a negative errno */
static ssize_t write_piece(struct vfmig_parser *parser, const u8 *data, size_t len)
{
	struct vfmig_parse_room room;
	ssize_t copied = 0;
	int ret;

	ret = vfmig_parse_check(parser);
	if (ret)
		return ret;
	if (!parser->due) {
		if (vfmig_parse_next(parser, &room)) {
			vfmig_parse_no_memory(parser);
			return -ENOMEM;
		}
		check(room.len && (!room.page || room.offset + room.len <= sizeof(*room.page)));
		copied = less(room.len, len);
		memcpy(room.page ? room.page->data + room.offset : room.buf, data, copied);
		vfmig_parse_took(parser, &room, copied);
		if (!vfmig_parse_complete(parser))
			return copied;
	}
	ret = vfmig_parse_advance(parser);
	if (ret == -EAGAIN)
		return copied;
	return ret ? ret : copied;
}

/* As a write() that waits: 0 or a negative errno */
static int write_all(struct vfmig_parser *parser, const u8 *data, size_t len)
{
	size_t done = 0;

	while (done < len || parser->part == VFMIG_PART_HOLE || parser->due) {
		ssize_t ret = write_piece(parser, data + done, len - done);

		if (ret < 0)
			return ret;
		done += ret;
	}
	return 0;
}

/* A refusal has a reason, and lasts */
static void check_refused(struct vfmig_parser *parser, const struct device *dev)
{
	unsigned int calls = dev->calls;

	check(parser->why[0]);
	check(parser->stage == VFMIG_PARSE_DONE || parser->stage == VFMIG_PARSE_FAILED);
	check(write_all(parser, (const u8 *)"", 1) == -EINVAL);
	check(dev->calls == calls);
}

/* Sizes of pieces: one for all, or another one each time */
static size_t next_cut(u32 *cuts)
{
	*cuts = *cuts * 1664525 + 1013904223;
	return 1 + (*cuts >> 16) % (*cuts & 0x8000 ? 64 : 8192);
}

/* Writes the stream, in pieces if @cuts is not 0 */
static struct outcome write_stream(const u8 *stream, size_t size, u32 cuts, struct device *dev)
{
	struct vfmig_parser parser;
	struct outcome outcome = {};
	size_t pos = 0, len;
	int ret = 0;

	vfmig_parse_init(&parser, &dev->ops, dev);
	while (!ret && pos < size) {
		len = less(cuts ? next_cut(&cuts) : size, size - pos);
		ret = write_all(&parser, stream + pos, len);
		pos += len;
	}
	if (ret) {
		outcome.verdict = VERDICT_REFUSED;
		check_refused(&parser, dev);
	} else if (parser.stage == VFMIG_PARSE_DONE) {
		outcome.verdict = VERDICT_DONE;
	}
	check((parser.stage == VFMIG_PARSE_DONE) == dev->committed);
	outcome.bytes = parser.bytes;
	outcome.records = parser.records;
	vfmig_parse_exit(&parser);
	return outcome;
}

/* What was loaded is the same, and a guest sees all of it or nothing */
static void check_devices(const struct device *a, const struct device *b)
{
	static const struct contents nothing;

	check(!memcmp(&a->loaded, &b->loaded, sizeof(a->loaded)));
	check(!memcmp(&a->live, a->committed ? &a->loaded : &nothing, sizeof(a->live)));
	check(a->committed == b->committed);
}

/* The reader of the rules has no allocation that fails: then two ways to cut are compared */
static void compare(const struct setup *setup, const u8 *stream, size_t size)
{
	static struct device dev, other;
	struct outcome outcome, expected;

	memory_begin(setup->fail_alloc);
	device_init(&dev, setup);
	outcome = write_stream(stream, size, setup->cuts, &dev);
	device_exit(&dev);

	memory_begin(setup->fail_alloc);
	device_init(&other, setup);
	expected = setup->fail_alloc ? write_stream(stream, size, ~setup->cuts, &other) :
				       expect(stream, size, &other);
	device_exit(&other);

	check(outcome.verdict == expected.verdict);
	check(outcome.bytes == expected.bytes);
	check(outcome.records == expected.records);
	check_devices(&dev, &other);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 stream[MAX_STREAM];
	static struct input input;

	input_unpack(&input, data, size);
	compare(&input.setup, stream, input_stream(&input, stream));
	memory_end();
	return 0;
}
