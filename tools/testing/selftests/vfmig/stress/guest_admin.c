// SPDX-License-Identifier: GPL-2.0-only
/*
 * Admin commands, one at a time while I/O goes on: queues, Abort, events, Format NVM and Sanitize.
 * Features are in guest_features.c, and what only returns data is in guest_pages.c.
 */
#include <string.h>

#include "guest_ref.h"

#define ALL_NAMESPACES	0xffffffff
#define BAD_ID		0xfff0	/* of a queue */

struct slot *admin_begin(struct ref *ref, u8 opcode)
{
	struct slot *slot = &ref->admin;

	slot->cmd = (struct nvme_cmd){ .opcode = opcode };
	slot->want = (struct want){};
	slot->sqid = 0;
	return slot;
}

u16 admin_do(struct ref *ref, struct nvme_cqe *cqe)
{
	struct nvme_queue *q = &ref->nvme->admin;
	struct slot *slot = &ref->admin;
	int status;

	/* A fused operation, or an SGL */
	if (one_in(&ref->random, 50)) {
		slot->cmd.flags = one_in(&ref->random, 2) ? 1 : 0x40;
		want_add(&slot->want, NVME_INVALID_FIELD);
	}
	slot->cid = nvme_submit(ref->nvme, q, &slot->cmd);
	nvme_ring(ref->nvme, q);
	status = nvme_wait(ref->nvme, q, slot->cid, cqe);
	if (status < 0)
		slot_fail(slot, "no completion", status);
	if (!want_has(&slot->want, status))
		slot_fail(slot, "wrong status", status);
	if (cqe->sq_id)
		slot_fail(slot, "completion of queue", cqe->sq_id);
	ref->counts[REF_ADMIN]++;
	ref->counts[REF_ADMIN_REFUSED] += status != NVME_OK;
	return status;
}

/* An ID: of a queue that there can be, or not */
static u16 some_id(struct ref *ref)
{
	static const u16 bad[] = { 0, NVME_MAX_IO + 1, 0x100, BAD_ID, 0xffff };

	return one_in(&ref->random, 12) ? bad[random_below(&ref->random, ARRAY_SIZE(bad))]
					: 1 + random_below(&ref->random, NVME_MAX_IO);
}

static bool is_id(u16 id)
{
	return id && id <= NVME_MAX_IO;
}

/* What both Create commands have: size, memory, and whether that is contiguous */
static u16 set_queue(struct ref *ref, struct slot *slot, const void *entries)
{
	static const u32 bad[] = { 1, 1025, 65536 };
	u32 depth = 2 + random_below(&ref->random, REF_DEPTH - 1);

	if (one_in(&ref->random, 12)) {
		depth = bad[random_below(&ref->random, ARRAY_SIZE(bad))];
		want_add(&slot->want, NVME_INVALID_QUEUE_SIZE);
	}
	slot->cmd.cdw10 |= (depth - 1) << 16;
	slot->cmd.prp1 = land_iova(&ref->land, entries);
	if (one_in(&ref->random, 12)) {
		slot->cmd.prp1 += 1 + random_below(&ref->random, PAGE - 1);
		want_add(&slot->want, NVME_PRP_OFFSET_INVALID);
	}
	if (one_in(&ref->random, 12))
		want_add(&slot->want, NVME_INVALID_FIELD);
	else
		slot->cmd.cdw11 |= 1;
	return depth;
}

void step_create_cq(struct ref *ref)
{
	struct slot *slot = admin_begin(ref, NVME_CREATE_CQ);
	u16 id = some_id(ref), depth;
	int vector = (int)random_below(&ref->random, NVME_VECTORS + 1) - 1;
	struct ref_cq *cq = &ref->cq[is_id(id) ? id : 1];
	struct nvme_cqe cqe;

	slot->cmd.cdw10 = id;
	if (!is_id(id) || cq->exists)
		want_add(&slot->want, NVME_INVALID_QID);
	if (one_in(&ref->random, 16)) {
		vector = NVME_VECTORS + random_below(&ref->random, 0x10000 - NVME_VECTORS);
		want_add(&slot->want, NVME_INVALID_VECTOR);
	}
	slot->cmd.cdw11 = vector < 0 ? 0 : (u32)vector << 16 | 2;
	depth = set_queue(ref, slot, cq->entries);
	if (is_id(id) && !cq->exists)
		memset(cq->entries, 0, REF_DEPTH * sizeof(*cq->entries));
	if (!admin_do(ref, &cqe))
		ref_cq_begins(ref, id, depth, vector);
}

void step_create_sq(struct ref *ref)
{
	struct slot *slot = admin_begin(ref, NVME_CREATE_SQ);
	u16 id = some_id(ref), cqid = some_id(ref), depth;
	struct ref_sq *sq = &ref->sq[is_id(id) ? id : 1];
	struct nvme_cqe cqe;

	slot->cmd.cdw10 = id;
	slot->cmd.cdw11 = (u32)cqid << 16 | random_below(&ref->random, 4) << 1;
	if (!is_id(id) || sq->exists || !is_id(cqid))
		want_add(&slot->want, NVME_INVALID_QID);
	if (is_id(cqid) && !ref->cq[cqid].exists)
		want_add(&slot->want, NVME_CQ_INVALID);
	depth = set_queue(ref, slot, sq->entries);
	if (!admin_do(ref, &cqe))
		ref_sq_begins(ref, id, depth, cqid);
}

/* @slot may also end with @status */
static void also_want(struct slot *slot, u16 status)
{
	if (!slot->want.n)
		want_add(&slot->want, NVME_OK);
	want_add(&slot->want, status);
}

/* All commands that are under way, of queue @sqid or 0 for any, may also end with @status */
static void all_also_want(struct ref *ref, u16 sqid, u16 status)
{
	for (unsigned int i = 0; i < REF_SLOTS; i++) {
		struct slot *slot = &ref->slots[i];

		if (slot->stage == SLOT_FLYING && (!sqid || slot->sqid == sqid))
			also_want(slot, status);
	}
}

void step_delete_sq(struct ref *ref)
{
	struct slot *slot = admin_begin(ref, NVME_DELETE_SQ);
	u16 id = some_id(ref);
	struct nvme_cqe cqe;

	slot->cmd.cdw10 = id;
	if (!is_id(id) || !ref->sq[id].exists)
		want_add(&slot->want, NVME_INVALID_QID);
	else
		all_also_want(ref, id, NVME_ABORT_SQ_DELETED);
	if (admin_do(ref, &cqe))
		return;
	ref->counts[REF_DELETED]++;
	/* What was complete before that was posted before that, as far as there was room */
	ref_reap(ref);
	ref_sq_ends(ref, id);
}

void step_delete_cq(struct ref *ref)
{
	struct slot *slot = admin_begin(ref, NVME_DELETE_CQ);
	u16 id = some_id(ref);
	struct nvme_cqe cqe;

	slot->cmd.cdw10 = id;
	if (!is_id(id) || !ref->cq[id].exists)
		want_add(&slot->want, NVME_INVALID_QID);
	else if (ref->cq[id].users)
		want_add(&slot->want, NVME_INVALID_QUEUE_DELETION);
	if (admin_do(ref, &cqe))
		return;
	ref->counts[REF_DELETED]++;
	ref_cq_ends(ref, id);
}

static struct slot *some_victim(struct ref *ref)
{
	struct slot *slot = &ref->slots[random_below(&ref->random, REF_SLOTS)];

	return slot->stage == SLOT_FLYING ? slot : NULL;
}

/* A command of the admin queue: perhaps that of an event */
static void abort_event(struct ref *ref)
{
	struct slot *slot = admin_begin(ref, NVME_ABORT);
	unsigned int i = random_below(&ref->random, REF_AERS);
	bool there = i < ref->nr_aers;
	struct nvme_cqe cqe;

	slot->cmd.cdw10 = (u32)(there ? ref->aers[i] : 0xfffe) << 16;
	if (admin_do(ref, &cqe) || cqe.dw0 & 1)
		return;
	if (!there)
		slot_fail(slot, "aborted what is not there", cqe.dw0);
	events_take_abort(ref, i);
}

static void abort_io(struct ref *ref, struct slot *victim)
{
	struct slot *slot = admin_begin(ref, NVME_ABORT);
	struct want before = victim->want;
	struct nvme_cqe cqe;

	slot->cmd.cdw10 = (u32)victim->cid << 16 | victim->sqid;
	also_want(victim, NVME_ABORT_REQUESTED);
	if (admin_do(ref, &cqe) || cqe.dw0 & 1) {
		victim->want = before;
		return;
	}
	victim->want = (struct want){};
	want_add(&victim->want, NVME_ABORT_REQUESTED);
}

void step_abort(struct ref *ref)
{
	struct slot *victim = some_victim(ref), *slot;
	struct nvme_cqe cqe;
	u16 sqid;

	if (victim) {
		abort_io(ref, victim);
		return;
	}
	if (one_in(&ref->random, 2)) {
		abort_event(ref);
		return;
	}
	slot = admin_begin(ref, NVME_ABORT);
	sqid = some_id(ref);
	/* 0 is the admin queue */
	slot->cmd.cdw10 = 0xffff0000 | sqid;
	if (sqid && (!is_id(sqid) || !ref->sq[sqid].exists))
		also_want(slot, NVME_INVALID_FIELD);
	if (!admin_do(ref, &cqe) && !(cqe.dw0 & 1))
		slot_fail(slot, "aborted what is not there", cqe.dw0);
}

/* What erases the disk, with what makes it refuse to */
static void make_format(struct ref *ref, struct slot *slot)
{
	u32 ses = random_below(&ref->random, one_in(&ref->random, 4) ? 8 : 3);
	u32 pi = one_in(&ref->random, 8) ? random_below(&ref->random, 8) : 0;
	u32 format = one_in(&ref->random, 8) ? random_below(&ref->random, 16) : 0;

	slot->cmd.nsid = one_in(&ref->random, 8) ? random_below(&ref->random, 4)
			 : one_in(&ref->random, 2) ? 1 : ALL_NAMESPACES;
	slot->cmd.cdw10 = format | pi << 5 | ses << 9;
	if (slot->cmd.nsid != 1 && slot->cmd.nsid != ALL_NAMESPACES)
		want_add(&slot->want, NVME_INVALID_NAMESPACE);
	if (ses > 2 || pi > 3)
		want_add(&slot->want, NVME_INVALID_FIELD);
	if (format || pi)
		want_add(&slot->want, NVME_INVALID_FORMAT);
	if (ref->flying)
		also_want(slot, NVME_SEQUENCE_ERROR);
}

/* True if it erases something, should it succeed */
static bool make_sanitize(struct ref *ref, struct slot *slot)
{
	u32 action = random_below(&ref->random, 8);
	bool keep = one_in(&ref->random, 8);

	/* Exit Failure Mode, Block Erase and Crypto Erase */
	slot->cmd.cdw10 = action | (keep ? 1 << 9 : 0);
	if (action != 1 && action != 2 && action != 4)
		want_add(&slot->want, NVME_INVALID_FIELD);
	if (keep && action != 1)
		want_add(&slot->want, NVME_INVALID_FIELD);
	if (!slot->want.n && action != 1)
		all_also_want(ref, 0, NVME_SANITIZE_IN_PROGRESS);
	return action != 1;
}

/* Commands were under way: nobody knows in which order.  Begin anew. */
static void erase_again(struct ref *ref)
{
	struct slot *slot;
	struct nvme_cqe cqe;

	media_forget_all(&ref->media);
	for (unsigned int i = 0; i < REF_SLOTS; i++)
		if (ref->slots[i].stage == SLOT_FLYING && ref->slots[i].effect == COMPARES)
			also_want(&ref->slots[i], NVME_COMPARE_FAILURE);
	ref_drain(ref);
	do {
		slot = admin_begin(ref, NVME_FORMAT_NVM);
		slot->cmd.nsid = 1;
	} while (admin_do(ref, &cqe));
}

void step_erase(struct ref *ref)
{
	bool sanitize = one_in(&ref->random, 2), erases = true, busy;
	struct slot *slot;
	struct nvme_cqe cqe;

	if (one_in(&ref->random, 2))
		ref_drain(ref);
	busy = ref->flying;
	slot = admin_begin(ref, sanitize ? NVME_SANITIZE : NVME_FORMAT_NVM);
	if (sanitize)
		erases = make_sanitize(ref, slot);
	else
		make_format(ref, slot);
	if (admin_do(ref, &cqe) || !erases)
		return;
	ref->counts[REF_ERASED]++;
	if (sanitize)
		events_expect(ref, EVENT_SANITIZE);
	if (busy)
		erase_again(ref);
	media_set_all(&ref->media, 0);
}

void step_doorbell_buffer(struct ref *ref)
{
	struct slot *slot = admin_begin(ref, NVME_DOORBELL_BUFFER);
	struct nvme_cqe cqe;

	slot->cmd.prp1 = land_iova(&ref->land, ref->shadow.doorbells);
	slot->cmd.prp2 = land_iova(&ref->land, ref->shadow.events);
	if (one_in(&ref->random, 2))
		slot->cmd.prp1 += 4;
	else
		slot->cmd.prp2 += 4;
	want_add(&slot->want, NVME_PRP_OFFSET_INVALID);
	admin_do(ref, &cqe);
}

void step_unknown(struct ref *ref)
{
	static const u8 opcodes[] = {
		0x03, 0x07, 0x0b, 0x0d, 0x10, 0x11, 0x14, 0x15, NVME_KEEP_ALIVE, 0x19, 0x1a, 0x1c,
		0x1d, 0x1e, 0x20, 0x24, 0x7d, 0x7f, 0x81, 0x82, 0x83, 0x85, 0x86, 0xc0, 0xff,
	};
	struct slot *slot;
	struct nvme_cqe cqe;

	slot = admin_begin(ref, opcodes[random_below(&ref->random, ARRAY_SIZE(opcodes))]);
	slot->cmd.nsid = random_below(&ref->random, 3);
	slot->cmd.prp1 = land_iova(&ref->land, slot->data);
	slot->cmd.cdw10 = next_random(&ref->random);
	slot->cmd.cdw11 = next_random(&ref->random);
	want_add(&slot->want, NVME_INVALID_OPCODE);
	admin_do(ref, &cqe);
}
