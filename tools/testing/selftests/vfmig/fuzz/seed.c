// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the fuzzer starts from: a record of each type, and streams of these.
 */
#include <string.h>

#include "../../../../../drivers/vfio/pci/vfmig/stream.h"
#include "check.h"
#include "device.h"
#include "repair.h"
#include "seed.h"

/* A type that is unknown */
#define OTHER	77

static void add(struct chunk *chunk, const void *data, size_t len)
{
	memcpy(chunk->data + chunk->len, data, len);
	chunk->len += len;
}

static void add_identity(struct chunk *chunk)
{
	u8 packed[VFMIG_IDENTITY_MAX];
	struct vfmig_vf_identity id = {
		.model = DEVICE_MODEL,
		.model_version = DEVICE_VERSION,
		.memory_size = DEVICE_SIZE,
		.data_length = DEVICE_DATA,
	};

	memset(id.data, DEVICE_MARK, DEVICE_DATA);
	add(chunk, packed, vfmig_identity_pack(&id, (void *)packed));
}

/* A record of @type without its CRCs */
void seed_record(struct chunk *chunk, u32 type)
{
	struct vfmig_record rec;
	struct vfmig_extent extent = { .offset = VFMIG_GRANULE, .length = VFMIG_GRANULE };
	struct vfmig_end end = {};

	*chunk = (struct chunk) {};
	vfmig_record_init(&rec, type, 0);
	if (type == OTHER)
		rec.flags = 0;
	if (type != VFMIG_RECORD_MEMORY)
		rec.flags |= VFMIG_RECORD_PAYLOAD_CRC;
	add(chunk, &rec, sizeof(rec));
	switch (type) {
	case VFMIG_RECORD_IDENTITY:
		add_identity(chunk);
		break;
	case VFMIG_RECORD_MEMORY:
		add(chunk, &extent, sizeof(extent));
		add(chunk, "memory", 6);
		chunk->zeroes = VFMIG_GRANULE - 6;
		break;
	case VFMIG_RECORD_HOLE:
		add(chunk, &extent, sizeof(extent));
		break;
	case VFMIG_RECORD_END:
		add(chunk, &end, sizeof(end));
		break;
	default:
		add(chunk, "some state", 10);
	}
}

/* More than goes through the buffer at once */
#define LONG_MEMORY	(VFMIG_STATE_CHUNK + VFMIG_GRANULE)

/*
 * Streams, a letter each: an identity, memory, a lot of memory, a hole, a piece of state, the end,
 * an unknown record; capitals for a device that takes pages.
 */
static const char *const streams[] = {
	"ise", "imse", "IMSE", "ihmhse", "IMHMSE", "isse", "IMSMSE", "iose", "isoe", "IMIMSE",
	"iimse", "IMMMMSSE", "ism", "i", "IMSEE", "ihse", "IHMSHE", "mse", "ie", "ose", "ilse",
};

static u32 type_of(char letter)
{
	static const char letters[] = "imhse";
	const char *found = strchr(letters, letter | 0x20);

	if (letter == 'l')
		return VFMIG_RECORD_MEMORY;
	return found ? VFMIG_RECORD_IDENTITY + (found - letters) : OTHER;
}

/* Stream @nr, or false if there is none */
bool seed_input(struct input *input, unsigned int nr)
{
	const char *letters;

	if (nr >= ARRAY_SIZE(streams))
		return false;
	letters = streams[nr];
	memset(input, 0, sizeof(*input));
	input->setup.device = DEVICE_MEMORY | (letters[0] < 'a' ? DEVICE_PAGED : 0);
	input->setup.cuts = nr;
	for (; *letters; letters++) {
		struct chunk *chunk = &input->chunks[input->nr++];

		seed_record(chunk, type_of(*letters));
		if (*letters == 'l')
			chunk->zeroes = LONG_MEMORY - VFMIG_GRANULE + chunk->zeroes;
		/* As a stopped device may */
		if (input->nr % 3 == 0 && type_of(*letters) == VFMIG_RECORD_MEMORY)
			((struct vfmig_record *)chunk->data)->flags |= VFMIG_RECORD_PAYLOAD_CRC;
	}
	repair(input, REPAIR_ALL);
	return true;
}
