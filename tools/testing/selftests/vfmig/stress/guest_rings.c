// SPDX-License-Identifier: GPL-2.0-only
/* Descriptors, tables and indexes of virtqueues, as a hostile guest makes them */
#include <string.h>

#include "guest_net.h"

#define CHAIN_MAX	4	/* in a queue; a table may have more */
#define TABLE_MAX	(PLACE / sizeof(struct vring_desc))
#define AVAIL_USED	(1 << VRING_PACKED_DESC_F_AVAIL | 1 << VRING_PACKED_DESC_F_USED)

static u32 some_len(struct hostile_net *h, u64 *random)
{
	if (hostile_now(&h->land, random))
		return hostile_number(random);
	return 64 + random_below(random, 1400);
}

static struct vring_desc some_desc(struct hostile_net *h, u64 *random, bool write)
{
	return (struct vring_desc){
		.addr = hostile_address(&h->land, random),
		.len = write ? 2048 : some_len(h, random),
		.flags = write ? VRING_DESC_F_WRITE : 0,
	};
}

/* One field becomes something else: a chain that loops, or a table in a table */
static void mutate(struct hostile_net *h, u64 *random, struct vring_desc *desc)
{
	switch (random_below(random, 5)) {
	case 0:
		desc->addr = hostile_number(random);
		break;
	case 1:
		desc->len = hostile_number(random);
		break;
	case 2:
		desc->flags = one_in(random, 2) ? hostile_number(random) : random_below(random, 8);
		break;
	case 3:
		desc->next = hostile_number(random);
		desc->flags |= VRING_DESC_F_NEXT;
		break;
	case 4:
		desc->next = random_below(random, QUEUE_SIZE);
		desc->flags |= VRING_DESC_F_NEXT;
		break;
	}
}

/* A chain of @n from @at on, as queue @queue wants it; @place is where entry @at is */
static void store_chain(struct hostile_net *h, u64 *random, unsigned int queue,
			struct vring_desc *place, unsigned int at, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		bool write = queue == CTRL ? i == n - 1 : !(queue % 2);

		place[i] = some_desc(h, random, write);
		if (i < n - 1) {
			place[i].flags |= VRING_DESC_F_NEXT;
			place[i].next = at + i + 1;
		}
		if (hostile_now(&h->land, random))
			mutate(h, random, &place[i]);
	}
}

/* Descriptors of the packed layout have the ID before the flags, and follow one another */
static void make_packed(struct vring_desc *table, unsigned int n)
{
	struct vring_packed_desc *packed = (void *)table;

	for (unsigned int i = 0; i < n; i++) {
		struct vring_desc desc = table[i];

		packed[i].id = desc.next;
		packed[i].flags = desc.flags & ~VRING_DESC_F_NEXT;
	}
}

/* At least that many: a command has something to read and something to write */
static unsigned int chain_min(unsigned int queue)
{
	return queue == CTRL ? 2 : 1;
}

/* A descriptor of a table of descriptors */
static struct vring_desc some_table(struct hostile_net *h, u64 *random, unsigned int queue,
				    unsigned int entry)
{
	u8 *table = place_of(h, queue, entry);
	u32 most = (one_in(random, 4) ? TABLE_MAX : CHAIN_MAX) - chain_min(queue) + 1;
	unsigned int n = chain_min(queue) + random_below(random, most);
	struct vring_desc desc = {
		.addr = land_iova(&h->land, table),
		.len = n * sizeof(desc),
		.flags = VRING_DESC_F_INDIRECT,
	};

	store_chain(h, random, queue, (void *)table, 0, n);
	if (__atomic_load_n(&h->packed, __ATOMIC_RELAXED))
		make_packed((void *)table, n);
	if (hostile_now(&h->land, random))
		mutate(h, random, &desc);
	return desc;
}

void store_split(struct hostile_net *h, u64 *random, unsigned int queue)
{
	struct vring_desc *desc = (void *)area(h, queue, 0);
	struct vring_avail *avail = (void *)area(h, queue, 1);
	struct vring_used *used = (void *)area(h, queue, 2);
	u16 idx = avail->idx, waiting = idx - used->idx, head;

	if (hostile_now(&h->land, random) && one_in(random, 4)) {
		avail->idx = hostile_number(random);
		avail->flags = random_below(random, 3);
		return;
	}
	if (waiting >= QUEUE_SIZE / CHAIN_MAX)
		return;
	head = idx % (QUEUE_SIZE / CHAIN_MAX) * CHAIN_MAX;
	if (one_in(random, 3))
		desc[head] = some_table(h, random, queue, head);
	else
		store_chain(h, random, queue, desc + head, head,
			    chain_min(queue) + random_below(random, CHAIN_MAX - 1));
	if (hostile_now(&h->land, random))
		avail->ring[idx % QUEUE_SIZE] = hostile_number(random);
	else
		avail->ring[idx % QUEUE_SIZE] = head;
	__atomic_store_n(&avail->idx, idx + 1, __ATOMIC_RELEASE);
}

void store_packed(struct hostile_net *h, u64 *random, unsigned int queue)
{
	struct ring_place *place = &h->places[queue];
	struct vring_packed_desc *slot = (void *)area(h, queue, 0) + place->next * sizeof(*slot);
	u16 flags = __atomic_load_n(&slot->flags, __ATOMIC_ACQUIRE) & AVAIL_USED;
	struct vring_desc desc;

	/* Available and not used: the device has it */
	if (flags && flags != AVAIL_USED && !hostile_now(&h->land, random))
		return;
	if (queue == CTRL || one_in(random, 3))
		desc = some_table(h, random, queue, place->next);
	else
		store_chain(h, random, queue, &desc, 0, 1);
	slot->addr = desc.addr;
	slot->len = desc.len;
	slot->id = hostile_now(&h->land, random) ? hostile_number(random) : place->next;
	__atomic_store_n(&slot->flags, (desc.flags & ~AVAIL_USED) |
			 (place->wrapped ? 1 << VRING_PACKED_DESC_F_USED
					 : 1 << VRING_PACKED_DESC_F_AVAIL), __ATOMIC_RELEASE);
	if (++place->next == QUEUE_SIZE) {
		place->next = 0;
		place->wrapped = !place->wrapped;
	}
	/* What the driver wants to be told */
	if (one_in(random, 16))
		*(u32 *)area(h, queue, 1) = hostile_number(random);
}

/* A command as a driver makes it, but for its class, and how long its parts are */
void store_command(struct hostile_net *h, u64 *random)
{
	struct vring_avail *avail = (void *)area(h, CTRL, 1);
	struct vring_used *used = (void *)area(h, CTRL, 2);
	struct vring_desc *desc = (void *)area(h, CTRL, 0);
	u32 lens[3] = { 2, 1 + random_below(random, 64), 1 };
	u16 idx = avail->idx, at = idx % (QUEUE_SIZE / CHAIN_MAX) * CHAIN_MAX;
	u8 *place = place_of(h, CTRL, at);

	if ((u16)(idx - used->idx) >= QUEUE_SIZE / CHAIN_MAX)
		return;
	if (hostile_now(&h->land, random))
		lens[random_below(random, 3)] = some_len(h, random);
	place[0] = random_below(random, 8);
	place[1] = random_below(random, 6);
	fill_pattern(place + 2, 64, next_random(random));
	for (unsigned int i = 0; i < 3; i++)
		desc[at + i] = (struct vring_desc){
			.addr = land_iova(&h->land, place) + (i < 2 ? 2 * i : PLACE / 2),
			.len = lens[i],
			.flags = i < 2 ? VRING_DESC_F_NEXT : VRING_DESC_F_WRITE,
			.next = at + i + 1,
		};
	avail->ring[idx % QUEUE_SIZE] = at;
	__atomic_store_n(&avail->idx, idx + 1, __ATOMIC_RELEASE);
}
