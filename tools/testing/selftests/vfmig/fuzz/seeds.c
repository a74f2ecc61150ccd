// SPDX-License-Identifier: GPL-2.0-only
/*
 * Writes what the fuzzer starts from to a directory: "seeds corpus".  With --streams it writes the
 * streams themselves, for a reader of these.
 */
#include <stdio.h>
#include <string.h>

#include "seed.h"

static size_t make(unsigned int nr, bool stream, u8 *data)
{
	static struct input input;

	if (!seed_input(&input, nr))
		return 0;
	return stream ? input_stream(&input, data) : input_pack(&input, data, MAX_STREAM);
}

static bool save(const char *dir, unsigned int nr, const u8 *data, size_t size)
{
	char name[4096];
	FILE *file;
	bool good;

	snprintf(name, sizeof(name), "%s/seed-%02u", dir, nr);
	file = fopen(name, "wb");
	good = file && fwrite(data, 1, size, file) == size;
	if (file && fclose(file))
		good = false;
	if (!good)
		perror(name);
	return good;
}

int main(int argc, char **argv)
{
	bool streams = argc == 3 && !strcmp(argv[1], "--streams");
	static u8 data[MAX_STREAM];
	size_t size;

	if (argc != 2 && !streams) {
		fprintf(stderr, "usage: seeds [--streams] DIRECTORY\n");
		return 2;
	}
	for (unsigned int nr = 0; (size = make(nr, streams, data)); nr++)
		if (!save(argv[argc - 1], nr, data, size))
			return 1;
	return 0;
}
