// SPDX-License-Identifier: GPL-2.0-only
/*
 * Valid states of a controller of the model "nvme"
 */
#include <string.h>

#include <linux/array_size.h>

#include "../../../../../drivers/vfmig/nvme/state_check.h"
#include "state_nvme.h"

/* Requests that are made; a longer state repeats them */
#define REQS	8

/**
 * struct nvme_case - what is made, before it is put together
 * @head: a &struct vfmig_nvme_state without its requests
 * @reqs: these
 * @shadow: shadow doorbells, if its flags say that there are some
 */
struct nvme_case {
	u8 head[sizeof(struct vfmig_nvme_state)];
	struct vfmig_nvme_state_req reqs[REQS];
	struct vfmig_nvme_state_shadow shadow;
} __packed;

#define AT(member)	offsetof(struct vfmig_nvme_state, member)
#define AT_REQ(member)	offsetof(struct nvme_case, reqs[0].member)
#define QUEUES		VFMIG_NVME_QUEUES
#define SQ		sizeof(struct vfmig_nvme_state_sq)
#define CQ		sizeof(struct vfmig_nvme_state_cq)
#define REQ		sizeof(struct vfmig_nvme_state_req)

static const struct state_field fields[] = {
	{ AT(flags), 4 }, { AT(intm), 4, .any = true }, { AT(cc), 4 }, { AT(cc_seen), 4 },
	{ AT(csts), 4 }, { AT(aqa), 4 }, { AT(asq), 8 }, { AT(acq), 8 }, { AT(rung), 1, 16 },
	{ AT(doorbell), 2, 66, .any = true },

	{ AT(media_size), 8 }, { AT(serial), 1, 20 }, { AT(nguid), 1, 16, .any = true },
	{ AT(eui64), 8, .any = true }, { AT(subsys), 1, 16, .any = true }, { AT(queues), 2 },
	{ AT(cntlid), 2 },

	{ AT(feature), 4, VFMIG_NVME_FEATURES }, { AT(temp_under), 2, .any = true },
	{ AT(reserved2), 2 }, { AT(vector_cd), 8 },
	/* From read_units on */
	{ AT(read_units), 8, 6, .any = true },
	{ AT(sanitize_cdw10), 4 }, { AT(sanitize_status), 2 }, { AT(sanitize_written), 2 },
	{ AT(events_pending), 1, VFMIG_NVME_EVENT_TYPES }, { AT(events_masked), 1 },
	{ AT(ns_changed), 1 }, { AT(nr_reqs), 4 }, { AT(error_count), 8, .any = true },
	{ AT(errors), 8, 8 * VFMIG_NVME_ERRORS, .any = true },

	{ AT(sq[0].base), 8, QUEUES, SQ }, { AT(sq[0].size), 4, QUEUES, SQ },
	{ AT(sq[0].head), 2, QUEUES, SQ }, { AT(sq[0].tail), 2, QUEUES, SQ },
	{ AT(sq[0].cqid), 2, QUEUES, SQ }, { AT(sq[0].reserved), 2, QUEUES, SQ },
	{ AT(cq[0].base), 8, QUEUES, CQ }, { AT(cq[0].size), 4, QUEUES, CQ },
	{ AT(cq[0].head), 2, QUEUES, CQ }, { AT(cq[0].tail), 2, QUEUES, CQ },
	{ AT(cq[0].vector), 2, QUEUES, CQ }, { AT(cq[0].flags), 2, QUEUES, CQ },

	{ AT_REQ(stage), 1, REQS, REQ }, { AT_REQ(reserved), 1, REQS, REQ },
	{ AT_REQ(sqid), 2, REQS, REQ }, { AT_REQ(cqid), 2, REQS, REQ },
	{ AT_REQ(sq_head), 2, REQS, REQ, .any = true }, { AT_REQ(status), 2, REQS, REQ },
	{ AT_REQ(reserved2), 2, REQS, REQ }, { AT_REQ(result), 4, REQS, REQ, .any = true },
	{ AT_REQ(remaining_ns), 8, REQS, REQ }, { AT_REQ(cmd[40]), 4, REQS, REQ, .any = true },
	{ offsetof(struct nvme_case, shadow), 8, 2 },
};

static u64 address(struct random *random, unsigned int mps)
{
	return random_next(random) << (12 + mps);
}

/* Registers that are free in all that is not reserved: the shutdown, the sizes of entries */
static u32 free_of_cc(struct random *random)
{
	return random_next(random) & 0x00ffc000;
}

static void make_registers(struct vfmig_nvme_state *state, struct random *random)
{
	u32 chosen = 1 | random_between(random, 0, 4) << 7;

	state->intm = random_next(random);
	state->aqa = random_next(random) & 0x0fff0fff;
	state->asq = address(random, 0);
	state->acq = address(random, 0);
	state->flags = random_below(random, 4);
	switch (random_below(random, 4)) {
	case 0:		/* disabled */
		state->cc = free_of_cc(random) | (random_below(random, 2) ? chosen : 0);
		state->csts = random_below(random, 4) << 2;
		break;
	case 1:		/* failed: with a command set that there is not, for example */
		state->cc_seen = chosen | 0x70;
		state->cc = state->cc_seen | free_of_cc(random);
		state->csts = 2 | random_below(random, 4) << 2;
		break;
	default:
		state->cc_seen = free_of_cc(random) | chosen;
		state->cc = state->flags & 1 ? random_next(random) & 0x00fffff1 :
					       free_of_cc(random) | chosen;
		state->csts = 1 | random_below(random, 8) << 1;
	}
	for (unsigned int i = 0; i < 66; i++) {
		if (random_below(random, 8))
			continue;
		state->rung[i / 8] |= 1 << i % 8;
		state->doorbell[i] = random_next(random);
	}
}

static void make_ident(struct vfmig_nvme_state *state, unsigned int queues, struct random *random)
{
	state->media_size = NVME_MEDIA;
	for (unsigned int i = 0; i < sizeof(state->serial); i++)
		state->serial[i] = random_between(random, ' ', '~');
	state->queues = random_between(random, 1, queues);
	state->cntlid = random_between(random, 1, 0xffef);
}

static void make_settings(struct vfmig_nvme_state *state, struct random *random)
{
	static const u8 infos[VFMIG_NVME_EVENT_TYPES] = { 3, 2, 1, 0, 0, 0, 2 };

	for (unsigned int i = 0; i < VFMIG_NVME_FEATURES; i++)
		state->feature[i] = random_next(random) & vfmig_nvme_feature_bits[i];
	state->vector_cd = random_next(random) & ((1ULL << 33) - 1);
	state->sanitize_status = random_below(random, 2);
	state->sanitize_cdw10 = state->sanitize_status ? random_next(random) : 0;
	state->sanitize_written = random_below(random, 2);
	for (unsigned int i = 0; i < VFMIG_NVME_EVENT_TYPES; i++)
		state->events_pending[i] = random_next(random) & infos[i];
	state->events_masked = random_below(random, 128);
	state->ns_changed = random_below(random, 2);
}

static void make_cq(struct vfmig_nvme_state_cq *cq, unsigned int max, unsigned int mps,
		    struct random *random)
{
	cq->size = random_between(random, 2, max);
	cq->base = address(random, mps);
	cq->head = random_between(random, 0, cq->size - 1);
	cq->tail = random_between(random, 0, cq->size - 1);
	cq->vector = random_between(random, 0, 32);
	cq->flags = random_below(random, 4);
}

static void make_sq(struct vfmig_nvme_state_sq *sq, unsigned int max, unsigned int mps,
		    unsigned int cqid, struct random *random)
{
	sq->size = random_between(random, 2, max);
	sq->base = address(random, mps);
	sq->head = random_between(random, 0, sq->size - 1);
	sq->tail = random_between(random, 0, sq->size - 1);
	sq->cqid = cqid;
}

static void make_queues(struct vfmig_nvme_state *state, struct random *random)
{
	unsigned int mps = state->cc_seen >> 7 & 0xf, cqid = 0;

	make_cq(&state->cq[0], 4096, mps, random);
	make_sq(&state->sq[0], 4096, mps, 0, random);
	for (unsigned int i = 1; i <= state->queues; i++) {
		if (random_below(random, 4)) {
			make_cq(&state->cq[i], 1024, mps, random);
			cqid = i;
		}
		if (cqid && random_below(random, 4))
			make_sq(&state->sq[i], 1024, mps, cqid, random);
	}
}

/* A queue that exists; the admin queues if there is no other */
static unsigned int some_sq(const struct vfmig_nvme_state *state, struct random *random)
{
	unsigned int i = random_below(random, VFMIG_NVME_QUEUES);

	while (!state->sq[i].size)
		i = (i + 1) % VFMIG_NVME_QUEUES;
	return i;
}

/* One that executes later, or whose completion is due */
static void make_req(const struct vfmig_nvme_state *state, struct vfmig_nvme_state_req *req,
		     struct random *random)
{
	req->sqid = some_sq(state, random);
	req->result = random_next(random);
	if (req->sqid && random_below(random, 2)) {
		req->stage = VFMIG_NVME_WAITING;
		req->remaining_ns = random_between(random, 0, 10000000000ULL);
		return;
	}
	req->stage = VFMIG_NVME_DONE;
	req->cqid = state->sq[req->sqid].cqid;
	req->status = random_between(random, 0, 0x7fff);
}

static void make_reqs(struct nvme_case *made, struct random *random)
{
	struct vfmig_nvme_state *state = (void *)made->head;
	bool many = !random_below(random, 8);

	for (unsigned int i = 0; i < REQS; i++)
		make_req(state, &made->reqs[i], random);
	if (many) {
		state->nr_reqs = random_between(random, 0, VFMIG_NVME_MAX_REQS);
		return;
	}
	state->nr_reqs = random_below(random, REQS + 1);
	for (unsigned int i = random_below(random, 5); i; i--)
		made->reqs[i] = (struct vfmig_nvme_state_req) { .stage = VFMIG_NVME_EVENT };
}

static void make(u8 device, struct random *random, u8 *raw)
{
	struct vfmig_nvme_limits limits = nvme_limits(device);
	struct nvme_case *made = (void *)raw;
	struct vfmig_nvme_state *state = (void *)made->head;

	make_registers(state, random);
	make_ident(state, limits.queues, random);
	make_settings(state, random);
	if (!(state->csts & 1))
		return;
	make_queues(state, random);
	make_reqs(made, random);
	made->shadow.doorbells = address(random, state->cc_seen >> 7 & 0xf);
	made->shadow.events = address(random, state->cc_seen >> 7 & 0xf);
	if (limits.shadow && random_below(random, 2))
		state->flags |= VFMIG_NVME_STATE_SHADOW;
}

/* As many requests as the state says that it has, but no more than one too many */
static size_t pack(const u8 *raw, u8 *out)
{
	const struct nvme_case *made = (const void *)raw;
	struct vfmig_nvme_state *state = (void *)out;
	u32 nr;
	bool shadow;

	memcpy(state, made->head, sizeof(made->head));
	shadow = state->flags & VFMIG_NVME_STATE_SHADOW;
	nr = state->nr_reqs <= VFMIG_NVME_MAX_REQS ? state->nr_reqs : VFMIG_NVME_MAX_REQS + 1;
	for (u32 i = 0; i < nr; i++)
		state->req[i] = made->reqs[i % REQS];
	if (shadow)
		memcpy(&state->req[nr], &made->shadow, sizeof(made->shadow));
	return sizeof(*state) + nr * sizeof(made->reqs[0]) + (shadow ? sizeof(made->shadow) : 0);
}

static const char *refusal(u8 device, const u8 *state, size_t size, size_t *where)
{
	const struct vfmig_nvme_limits limits = nvme_limits(device);

	return vfmig_nvme_state_check(state, size, &limits, where);
}

const struct state_model nvme_model = {
	.size = sizeof(struct nvme_case),
	.fields = fields,
	.nr_fields = ARRAY_SIZE(fields),
	.make = make,
	.pack = pack,
	.refusal = refusal,
	.use = nvme_use,
};
