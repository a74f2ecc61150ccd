// SPDX-License-Identifier: GPL-2.0-only
/* I/O commands: random ones, what each must give, and what it does to the disk */
#include <string.h>

#include "guest_ref.h"

#define MOST_BLOCKS	65536
#define TRANSFER_MAX	KIB(512)

/* Blocks of a command that moves data; some are too many */
static u32 some_blocks(struct ref *ref)
{
	u32 most = TRANSFER_MAX / ref->media.size;

	switch (random_below(&ref->random, 32)) {
	case 0:
		return 1 + random_below(&ref->random, most);
	case 1:
		return most - 1 + random_below(&ref->random, 3);
	case 2:
		return 1 + random_below(&ref->random, MOST_BLOCKS);
	default:
		return 1 + random_below(&ref->random, 16);
	}
}

/* Where it begins; some begin or end beyond the disk */
static u64 some_block(struct ref *ref, u32 blocks)
{
	u64 count = ref->media.count;

	switch (random_below(&ref->random, 100)) {
	case 0:
		return next_random(&ref->random);
	case 1:
		return count - random_below(&ref->random, blocks) - 1;
	case 2:
		return -(u64)random_below(&ref->random, blocks);
	case 3:
		return count;
	default:
		return blocks <= count ? random_below(&ref->random, count - blocks + 1)
				       : random_below(&ref->random, count);
	}
}

static bool is_inside(const struct ref *ref, u64 first, u64 count)
{
	return first <= ref->media.count && count <= ref->media.count - first;
}

/* A namespace that may not exist, and flags that may be refused */
static void some_header(struct ref *ref, struct slot *slot)
{
	struct nvme_cmd *cmd = &slot->cmd;

	cmd->nsid = 1;
	if (one_in(&ref->random, 40)) {
		static const u32 others[] = { 0, 2, 0x10000, 0xfffffffe, 0xffffffff };

		cmd->nsid = others[random_below(&ref->random, ARRAY_SIZE(others))];
		if (cmd->opcode != NVME_FLUSH || cmd->nsid != 0xffffffff)
			want_add(&slot->want, NVME_INVALID_NAMESPACE);
	}
	/* Fused operations and SGLs, which this controller has not */
	if (one_in(&ref->random, 60)) {
		static const u8 flags[] = { 0x01, 0x02, 0x40, 0x80, 0x41 };

		cmd->flags = flags[random_below(&ref->random, ARRAY_SIZE(flags))];
		want_add(&slot->want, NVME_INVALID_FIELD);
	}
}

/* The range of a command; what it does is decided if it is a good one */
static void set_range(struct ref *ref, struct slot *slot, u64 first, u32 blocks)
{
	slot->cmd.cdw10 = first;
	slot->cmd.cdw11 = first >> 32;
	slot->cmd.cdw12 = blocks - 1;
	/* Limited Retry and Force Unit Access change nothing here */
	slot->cmd.cdw12 |= random_below(&ref->random, 4) << 30;
	if (!is_inside(ref, first, blocks)) {
		want_add(&slot->want, NVME_LBA_OUT_OF_RANGE);
		return;
	}
	slot->first = first;
	slot->count = blocks;
}

static u64 tag_of_write(const struct slot *slot, u32 i)
{
	return slot->tag + i;
}

/* What a Compare should find: what is there, as far as it is known, or not quite */
static void fill_compare(struct ref *ref, struct slot *slot, u8 *data, u32 i, bool differs)
{
	const struct block *b = &ref->media.blocks[slot->first + i];

	media_fill(&ref->media, data, b->n ? b->tags[0] : slot->tag);
	if (differs)
		data[random_below(&ref->random, ref->media.size)] ^= 0x10;
}

static void fill_data(struct ref *ref, struct slot *slot)
{
	u32 differs = slot->count;
	u8 data[BLOCK_SIZE_MAX];

	if (!slot->count)
		return;
	if (slot->cmd.opcode == NVME_COMPARE && one_in(&ref->random, 2)) {
		differs = random_below(&ref->random, slot->count);
		want_add(&slot->want, NVME_COMPARE_FAILURE);
	} else if (slot->cmd.opcode == NVME_COMPARE &&
		   !media_is_sure(&ref->media, slot->first, slot->count)) {
		want_add(&slot->want, NVME_COMPARE_FAILURE);
		want_add(&slot->want, NVME_OK);
	}
	if (differs < slot->count && !media_is_sure(&ref->media, slot->first, slot->count))
		want_add(&slot->want, NVME_OK);
	for (u32 i = 0; i < slot->count; i++) {
		if (slot->cmd.opcode == NVME_WRITE)
			media_fill(&ref->media, data, tag_of_write(slot, i));
		else
			fill_compare(ref, slot, data, i, i == differs);
		slot_put(slot, i * ref->media.size, data, ref->media.size);
	}
}

static bool make_rw(struct ref *ref, struct slot *slot, u8 opcode)
{
	u32 blocks = some_blocks(ref), len = blocks * ref->media.size;
	bool write = opcode == NVME_WRITE;

	slot->cmd.opcode = opcode;
	some_header(ref, slot);
	set_range(ref, slot, some_block(ref, blocks), blocks);
	if (len > TRANSFER_MAX) {
		want_add(&slot->want, NVME_INVALID_FIELD);
		slot->count = 0;
		return true;
	}
	if (!media_lock(&ref->media, slot->first, slot->count, write))
		return false;
	slot->effect = write ? WRITES : opcode == NVME_READ ? READS : COMPARES;
	slot->tag = next_random(&ref->random) >> 2 | 1ULL << 62;
	slot_set_prps(slot, &ref->land, &ref->random, len, opcode == NVME_READ,
		      PRP_SOMETIMES_BAD);
	if (opcode == NVME_READ)
		slot_poison(slot);
	else
		fill_data(ref, slot);
	return true;
}

static bool make_read(struct ref *ref, struct slot *slot)
{
	return make_rw(ref, slot, NVME_READ);
}

static bool make_write(struct ref *ref, struct slot *slot)
{
	return make_rw(ref, slot, NVME_WRITE);
}

static bool make_compare(struct ref *ref, struct slot *slot)
{
	return make_rw(ref, slot, NVME_COMPARE);
}

static bool make_zeroes(struct ref *ref, struct slot *slot)
{
	u32 blocks = some_blocks(ref);

	slot->cmd.opcode = NVME_WRITE_ZEROES;
	some_header(ref, slot);
	set_range(ref, slot, some_block(ref, blocks), blocks);
	/* Deallocate, or not: the blocks read as zeroes */
	slot->cmd.cdw12 |= random_below(&ref->random, 2) << 25;
	slot->effect = ZEROES;
	slot->ranges[0] = (struct dsm_range){ .first = slot->first, .blocks = slot->count };
	slot->nr_ranges = 1;
	return media_lock(&ref->media, slot->first, slot->count, true);
}

/* Ranges within one piece of the disk, which may overlap; or one of them is bad */
static bool some_ranges(struct ref *ref, struct slot *slot)
{
	u32 piece = 1 + random_below(&ref->random, ref->media.count / 4);
	u64 first = random_below(&ref->random, ref->media.count - piece + 1);
	bool bad = one_in(&ref->random, 20);

	slot->nr_ranges = one_in(&ref->random, 8) ? 1 + random_below(&ref->random, RANGES)
						  : 1 + random_below(&ref->random, 4);
	for (unsigned int i = 0; i < slot->nr_ranges; i++) {
		u32 at = random_below(&ref->random, piece);

		slot->ranges[i] = (struct dsm_range) {
			.attributes = next_random(&ref->random),
			.first = first + at,
			.blocks = random_below(&ref->random, piece - at + 1),
		};
	}
	if (bad) {
		slot->ranges[random_below(&ref->random, slot->nr_ranges)] = (struct dsm_range) {
			.first = one_in(&ref->random, 2) ? ref->media.count : -1ULL,
			.blocks = 1 + random_below(&ref->random, 1000),
		};
		return false;
	}
	slot->first = first;
	slot->count = piece;
	return true;
}

static bool make_dsm(struct ref *ref, struct slot *slot)
{
	bool deallocate = !one_in(&ref->random, 8), good;
	u32 len;

	slot->cmd.opcode = NVME_DSM;
	some_header(ref, slot);
	good = some_ranges(ref, slot);
	slot->cmd.cdw10 = slot->nr_ranges - 1;
	/* The other attributes are hints */
	slot->cmd.cdw11 = random_below(&ref->random, 4) | deallocate << 2;
	if (deallocate && !good)
		want_add(&slot->want, NVME_LBA_OUT_OF_RANGE);
	if (!deallocate)
		slot->count = 0;
	if (!media_lock(&ref->media, slot->first, slot->count, true))
		return false;
	slot->effect = ZEROES;
	len = slot->nr_ranges * sizeof(*slot->ranges);
	slot_set_prps(slot, &ref->land, &ref->random, len, false, PRP_SOMETIMES_BAD);
	slot_put(slot, 0, slot->ranges, len);
	/* Without an attribute that counts, the ranges need not be read */
	if (!deallocate && slot->want.n)
		want_add(&slot->want, NVME_OK);
	if (!slot->count)
		slot->nr_ranges = 0;
	return true;
}

static bool make_flush(struct ref *ref, struct slot *slot)
{
	slot->cmd.opcode = NVME_FLUSH;
	/* What has no meaning for a Flush */
	slot->cmd.prp1 = next_random(&ref->random);
	slot->cmd.cdw10 = next_random(&ref->random);
	slot->cmd.cdw12 = next_random(&ref->random);
	some_header(ref, slot);
	return true;
}

/* Commands that the Commands Supported and Effects log does not have */
static bool make_unknown(struct ref *ref, struct slot *slot)
{
	static const u8 known[] = {
		NVME_FLUSH, NVME_WRITE, NVME_READ, NVME_COMPARE, NVME_WRITE_ZEROES, NVME_DSM,
	};
	u64 random[sizeof(slot->cmd) / sizeof(u64)];

	for (unsigned int i = 0; i < ARRAY_SIZE(random); i++)
		random[i] = next_random(&ref->random);
	memcpy(&slot->cmd, random, sizeof(slot->cmd));
	slot->cmd.flags = 0;
	slot->cmd.nsid = 1;
	want_add(&slot->want, NVME_INVALID_OPCODE);
	for (unsigned int i = 0; i < ARRAY_SIZE(known); i++)
		if (slot->cmd.opcode == known[i])
			return false;
	return true;
}

static const struct {
	bool (*make)(struct ref *ref, struct slot *slot);
	unsigned int weight;
} makers[] = {
	{ make_read, 40 }, { make_write, 30 }, { make_compare, 12 }, { make_zeroes, 6 },
	{ make_dsm, 6 }, { make_flush, 4 }, { make_unknown, 2 },
};

bool io_make(struct ref *ref, struct slot *slot)
{
	unsigned int i = random_entry(&ref->random, makers, ARRAY_SIZE(makers));

	slot->cmd = (struct nvme_cmd){};
	slot->want = (struct want){};
	slot->effect = NO_EFFECT;
	slot->first = 0;
	slot->count = 0;
	slot->nr_ranges = 0;
	return makers[i].make(ref, slot);
}

static void check_read(struct ref *ref, struct slot *slot)
{
	u8 data[BLOCK_SIZE_MAX];

	for (u32 i = 0; i < slot->count; i++) {
		slot_get(slot, i * ref->media.size, data, ref->media.size);
		if (media_reads(&ref->media, slot->first + i, data))
			continue;
		media_say(&ref->media, slot->first + i, data);
		slot_fail(slot, "wrong data, of block", slot->first + i);
	}
	if (!slot_margins_are_intact(slot))
		slot_fail(slot, "written beyond the data", NVME_OK);
}

/* Can a command with this status have changed something?  If it is refused it can't. */
static bool may_have_begun(u16 status)
{
	return status == NVME_DATA_TRANSFER_ERROR || status == NVME_ABORT_REQUESTED ||
	       status == NVME_ABORT_SQ_DELETED || status == NVME_SANITIZE_IN_PROGRESS;
}

static void note_block(struct ref *ref, u64 i, u64 tag, u16 status)
{
	if (status == NVME_OK)
		media_set(&ref->media, i, tag);
	else if (may_have_begun(status))
		media_may_be(&ref->media, i, tag);
}

static void note_zeroes(struct ref *ref, struct slot *slot, u16 status)
{
	for (unsigned int k = 0; k < slot->nr_ranges; k++)
		for (u32 i = 0; i < slot->ranges[k].blocks; i++)
			note_block(ref, slot->ranges[k].first + i, 0, status);
}

void io_done(struct ref *ref, struct slot *slot, u16 status)
{
	bool write = slot->effect == WRITES || slot->effect == ZEROES;

	if (slot->effect == READS && status == NVME_OK)
		check_read(ref, slot);
	if (status == NVME_OK) {
		/* A Compare counts as a read */
		ref->reads += slot->effect == READS || slot->effect == COMPARES;
		ref->writes += slot->effect == WRITES;
	}
	for (u32 i = 0; slot->effect == WRITES && i < slot->count; i++)
		note_block(ref, slot->first + i, tag_of_write(slot, i), status);
	if (slot->effect == ZEROES)
		note_zeroes(ref, slot, status);
	media_unlock(&ref->media, slot->first, slot->count, write);
}
