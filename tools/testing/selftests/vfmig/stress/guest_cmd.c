// SPDX-License-Identifier: GPL-2.0-only
/* A command, its memory, and what must come of it */
#include <stdio.h>
#include <string.h>

#include "guest_ref.h"

#define POISON		0x5a
#define LIST_ENTRIES	(PAGE / sizeof(u64))

void want_add(struct want *want, u16 status)
{
	if (want->n && want_has(want, status))
		return;
	must(want->n < WANT_MAX);
	want->status[want->n++] = status;
}

bool want_has(const struct want *want, u16 status)
{
	for (unsigned int i = 0; i < want->n; i++)
		if (want->status[i] == status)
			return true;
	return !want->n && status == NVME_OK;
}

void slot_fail(const struct slot *slot, const char *what, unsigned int came)
{
	char text[12 * WANT_MAX] = "success";
	u32 words[16];
	size_t n = 0;

	for (unsigned int i = 0; i < slot->want.n; i++)
		n += snprintf(text + n, sizeof(text) - n, "%s0x%x", i ? " or " : "",
			      slot->want.status[i]);
	memcpy(words, &slot->cmd, sizeof(words));
	fprintf(stderr, "# command:");
	for (unsigned int i = 0; i < ARRAY_SIZE(words); i++)
		fprintf(stderr, " %08x", words[i]);
	fprintf(stderr, "\n");
	fail(__FILE__, __LINE__, "queue %u, CID 0x%x, opcode 0x%x: %s: wanted %s, got 0x%x",
	     slot->sqid, slot->cid, slot->cmd.opcode, what, text, came);
}

static u8 *data_page(const struct slot *slot, unsigned int i)
{
	return slot->data + (slot->start + i * slot->step) % DATA_PAGES * PAGE;
}

static unsigned int pages_of(const struct slot *slot)
{
	return (slot->offset + slot->len + PAGE - 1) / PAGE;
}

static void copy(const struct slot *slot, u32 pos, u8 *outside, u32 len, bool put)
{
	while (len) {
		u32 at = slot->offset + pos, n = PAGE - at % PAGE;
		u8 *inside = data_page(slot, at / PAGE) + at % PAGE;

		n = n < len ? n : len;
		if (put)
			memcpy(inside, outside, n);
		else
			memcpy(outside, inside, n);
		pos += n;
		outside += n;
		len -= n;
	}
}

void slot_put(struct slot *slot, u32 pos, const void *from, u32 len)
{
	copy(slot, pos, (u8 *)from, len, true);
}

void slot_get(const struct slot *slot, u32 pos, void *to, u32 len)
{
	copy(slot, pos, to, len, false);
}

void slot_poison(struct slot *slot)
{
	for (unsigned int i = 0; i < pages_of(slot); i++)
		memset(data_page(slot, i), POISON, PAGE);
}

bool slot_margins_are_intact(const struct slot *slot)
{
	u32 end = (slot->offset + slot->len) % PAGE;
	const u8 *last = data_page(slot, pages_of(slot) - 1);

	return is_filled(data_page(slot, 0), slot->offset, POISON) &&
	       (!end || is_filled(last + end, PAGE - end, POISON));
}

/* An address that can't be what entry @i of the PRPs points to */
static u64 bad_page(struct slot *slot, struct land *land, u64 *random, bool to_host)
{
	switch (random_below(random, 3)) {
	case 0:
		want_add(&slot->want, NVME_PRP_OFFSET_INVALID);
		return land_iova(land, data_page(slot, 0)) + 4 + random_below(random, PAGE - 4);
	case 1:
		want_add(&slot->want, NVME_DATA_TRANSFER_ERROR);
		return land_hole(land, random);
	default:
		want_add(&slot->want, NVME_DATA_TRANSFER_ERROR);
		return to_host ? land_readonly(land, random) : land_writeonly(land, random);
	}
}

/* The address of a list's page, or one that is bad */
static u64 list_address(struct slot *slot, struct land *land, u64 *random, const u64 *list,
			bool bad)
{
	if (!bad)
		return land_iova(land, list);
	if (one_in(random, 2)) {
		want_add(&slot->want, NVME_PRP_OFFSET_INVALID);
		return land_iova(land, list) + 1 + random_below(random, 7);
	}
	want_add(&slot->want, NVME_DATA_TRANSFER_ERROR);
	return one_in(random, 2) ? land_hole(land, random) : land_writeonly(land, random);
}

/* Entries of PRP lists in one page, or in two if there is no room from where the first begins */
static u64 make_list(struct slot *slot, struct land *land, u64 *random, const u64 *pages,
		     unsigned int count, bool bad)
{
	u64 *first = (u64 *)(slot->data + DATA_PAGES * PAGE), *second = first + LIST_ENTRIES;
	unsigned int at = one_in(random, 2) ? 0 : LIST_ENTRIES - 1 - random_below(random, count);
	unsigned int room = LIST_ENTRIES - at;
	bool bad_second = bad && one_in(random, 2);

	if (count <= room) {
		memcpy(first + at, pages, count * sizeof(*pages));
		return list_address(slot, land, random, first + at, bad);
	}
	memcpy(first + at, pages, (room - 1) * sizeof(*pages));
	memcpy(second, pages + room - 1, (count - room + 1) * sizeof(*pages));
	first[LIST_ENTRIES - 1] = list_address(slot, land, random, second, bad_second);
	return list_address(slot, land, random, first + at, bad && !bad_second);
}

/* The first entry may be bad in ways of its own */
static u64 first_entry(struct slot *slot, struct land *land, u64 *random, bool to_host, bool bad)
{
	u64 iova = land_iova(land, data_page(slot, 0)) + slot->offset;

	if (!bad)
		return iova;
	if (one_in(random, 3)) {
		want_add(&slot->want, NVME_PRP_OFFSET_INVALID);
		return iova + 1 + random_below(random, 3);
	}
	want_add(&slot->want, NVME_DATA_TRANSFER_ERROR);
	if (one_in(random, 2))
		return land_hole(land, random) + slot->offset;
	return (to_host ? land_readonly(land, random) : land_writeonly(land, random)) +
	       slot->offset;
}

void slot_set_prps(struct slot *slot, struct land *land, u64 *random, u32 len, bool to_host,
		   enum prp_luck luck)
{
	bool bad = luck == PRP_SOMETIMES_BAD && one_in(random, 16);
	u64 pages[DATA_PAGES];
	unsigned int n;
	/* What is bad: an entry, or the address of a list */
	u32 bad_entry = DATA_PAGES;

	slot->start = random_below(random, DATA_PAGES);
	slot->step = 1 + random_below(random, DATA_PAGES - 1);
	slot->offset = one_in(random, 2) ? 0 : random_below(random, PAGE / 4) * 4;
	slot->len = len;
	n = pages_of(slot);
	must(n <= DATA_PAGES);
	if (bad)
		bad_entry = random_below(random, n > 2 ? n + 1 : n);
	slot->cmd.prp1 = first_entry(slot, land, random, to_host, bad_entry == 0);
	/* Reserved if there is no second page: any value will do */
	slot->cmd.prp2 = one_in(random, 2) ? 0 : next_random(random);
	if (n < 2)
		return;
	for (unsigned int i = 1; i < n; i++)
		pages[i] = i == bad_entry ? bad_page(slot, land, random, to_host)
					  : land_iova(land, data_page(slot, i));
	slot->cmd.prp2 = n == 2 ? pages[1] : make_list(slot, land, random, pages + 1, n - 1,
						       bad_entry == n);
}
