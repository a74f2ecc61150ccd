// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the model "nvme" relies on in a state that was accepted.
 */
#include "check.h"
#include "state_nvme.h"

static void use_registers(const struct vfmig_nvme_state *state)
{
	bool enabled = state->cc_seen & 1, ready = state->csts & 1;

	check(!(state->flags & ~0x103U));
	check(!(state->csts >> 4));
	/* Reserved bits would be visible in these registers */
	check(!((state->cc | state->cc_seen) & ~0x00fffff1U));
	check(!(state->aqa & ~0x0fff0fffU));
	check(state->asq % 4096 == 0 && state->acq % 4096 == 0);
	/* Pages of 4 to 64 KiB, the NVM command set, round robin */
	if (ready)
		check(enabled && (state->cc_seen & 0x3870) == 0 &&
		      (state->cc_seen >> 7 & 0xf) <= 4);
	/* A controller that the worker sees enabled has been started, and not again */
	if (enabled)
		check(state->csts & 3);
	/* The worker compares these to see that CC has changed */
	if (enabled && !(state->flags & 1))
		check((state->cc & 0x3ff1) == (state->cc_seen & 0x3ff1));
	for (unsigned int i = 66; i < 128; i++)
		check(!(state->rung[i / 8] >> i % 8 & 1));
}

static void use_ident(const struct vfmig_nvme_state *state, const struct vfmig_nvme_limits *limits)
{
	check(state->media_size == limits->media_size);
	check(state->queues >= 1 && state->queues <= limits->queues);
	check(state->cntlid >= 1 && state->cntlid < 0xfff0);
	for (unsigned int i = 0; i < sizeof(state->serial); i++)
		check(state->serial[i] >= 0x20 && state->serial[i] < 0x7f);
}

static void use_settings(const struct vfmig_nvme_state *state)
{
	/* Features that a host can't set or whose value is elsewhere have none */
	static const u8 unset[] = { 0, 3, 7, 9 };

	for (unsigned int i = 0; i < ARRAY_SIZE(unset); i++)
		check(!state->feature[unset[i]]);
	check(!(state->feature[1] & 0xf8));		/* reserved in Arbitration */
	check(!(state->feature[2] & ~0xe0U));		/* power state 0 */
	check(state->feature[4] <= 0xffff && state->feature[5] <= 0xffff);
	check(state->feature[6] <= 1 && state->feature[10] <= 1);
	check(state->feature[8] <= 0xffff);
	check(!(state->feature[11] & ~0x11fU));		/* events that there are */
	check(state->vector_cd < 1ULL << 33);
	check(state->sanitize_status <= 1 && state->sanitize_written <= 1);
	check(state->sanitize_status || !state->sanitize_cdw10);
	/* Each has a log page that clears it */
	for (unsigned int type = 0; type < VFMIG_NVME_EVENT_TYPES; type++)
		check((type <= 2 || type == 6) ? state->events_pending[type] <= 3 :
						 !state->events_pending[type]);
	check(!(state->events_masked >> 7));
	check(state->ns_changed <= 1);
}

static void use_ring(const struct vfmig_nvme_state *state, unsigned int qid, u64 base, u32 size,
		     u16 head, u16 tail)
{
	check(qid <= state->queues);
	check(size >= 2 && size <= (qid ? 1024 : 4096));
	check(head < size && tail < size);
	check(base % (4096ULL << (state->cc_seen >> 7 & 0xf)) == 0);
}

static void use_queues(const struct vfmig_nvme_state *state)
{
	bool ready = state->csts & 1;

	check(ready == !!state->sq[0].size && ready == !!state->cq[0].size);
	for (unsigned int i = 0; i < VFMIG_NVME_QUEUES; i++) {
		const struct vfmig_nvme_state_sq *sq = &state->sq[i];
		const struct vfmig_nvme_state_cq *cq = &state->cq[i];

		check(ready || (!sq->size && !cq->size));
		if (sq->size) {
			use_ring(state, i, sq->base, sq->size, sq->head, sq->tail);
			check(sq->cqid < VFMIG_NVME_QUEUES && state->cq[sq->cqid].size);
			check(!i == !sq->cqid && !sq->reserved);
		} else {
			check(!sq->base && !sq->head && !sq->tail && !sq->cqid && !sq->reserved);
		}
		if (cq->size) {
			use_ring(state, i, cq->base, cq->size, cq->head, cq->tail);
			check(cq->vector < VFMIG_NVME_VECTORS && cq->flags <= 3);
		} else {
			check(!cq->base && !cq->head && !cq->tail && !cq->vector && !cq->flags);
		}
	}
}

/* The controller takes each from a pool, and puts it into the list of its stage */
static void use_reqs(const struct vfmig_nvme_state *state)
{
	unsigned int events = 0;

	check(state->nr_reqs <= 256);
	for (u32 i = 0; i < state->nr_reqs; i++) {
		const struct vfmig_nvme_state_req *req = &state->req[i];

		check(req->stage >= VFMIG_NVME_WAITING && req->stage <= VFMIG_NVME_DONE);
		check(req->sqid < VFMIG_NVME_QUEUES && req->cqid < VFMIG_NVME_QUEUES);
		check(!req->reserved && !req->reserved2);
		if (req->stage == VFMIG_NVME_WAITING)
			check(req->sqid && state->sq[req->sqid].size &&
			      req->remaining_ns <= 10000000000ULL);
		if (req->stage == VFMIG_NVME_EVENT)
			check(!req->sqid && state->sq[0].size);
		/* It is posted to a queue, and the phase tag takes a bit of its status */
		if (req->stage == VFMIG_NVME_DONE)
			check(state->cq[req->cqid].size && !(req->status >> 15) &&
			      !req->sqid == !req->cqid);
		events += req->stage == VFMIG_NVME_EVENT;
	}
	check(events <= 4);
}

/* They are beside each other in one page each */
static void use_shadow(const struct vfmig_nvme_state *state, bool allowed)
{
	const struct vfmig_nvme_state_shadow *shadow = vfmig_nvme_state_shadow(state);
	u64 page = 4096ULL << (state->cc_seen >> 7 & 0xf);

	check(!!shadow == !!(state->flags & 0x100));
	if (shadow)
		check(allowed && state->csts & 1 && shadow->doorbells % page == 0 &&
		      shadow->events % page == 0);
}

void nvme_use(u8 device, const u8 *bytes)
{
	const struct vfmig_nvme_limits limits = nvme_limits(device);
	const struct vfmig_nvme_state *state = (const void *)bytes;

	use_registers(state);
	use_ident(state, &limits);
	use_settings(state);
	use_queues(state);
	use_reqs(state);
	use_shadow(state, limits.shadow);
}
