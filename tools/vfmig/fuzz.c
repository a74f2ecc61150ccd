// SPDX-License-Identifier: GPL-2.0-only
/*
 * The reader of streams as a fuzzer calls it.  "make fuzz" builds it with libFuzzer.
 */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "cmd_stream.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* Reads all, as decode does, or as check does */
static void read_all(const u8 *data, size_t size, bool keep_going)
{
	struct stream_file file = { .in = input_from_memory(data, size) };

	if (!file.in)
		return;
	source_init(&file.source, file.in, NULL);
	if (!stream_init(&file.stream, &file.source)) {
		input_close(file.in);
		return;
	}
	file.stream.keep_going = keep_going;
	while (stream_next(&file.stream))
		;
	json_object_put(describe_stream(&file.stream));
	close_stream(&file);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	read_all(data, size, false);
	read_all(data, size, true);
	return 0;
}
