// SPDX-License-Identifier: GPL-2.0-only
/*
 * The checks of a controller's state.  It is hostile: all of it is checked, and against each other,
 * before state.c uses any of it.
 */
#include <linux/bitops.h>
#include <linux/nospec.h>
#include <linux/string.h>

#include <asm/byteorder.h>

#include "state_check.h"

const u32 vfmig_nvme_feature_bits[VFMIG_NVME_FEATURES] = {
	[0x1] = 0xffffff07,	/* Arbitration */
	[0x2] = 0xe0,		/* Power Management: the workload hint, as there is one state */
	[0x4] = 0xffff,		/* Temperature Threshold */
	[0x5] = 0xffff,		/* Error Recovery */
	[0x6] = 0x1,		/* Volatile Write Cache */
	[0x8] = 0xffff,		/* Interrupt Coalescing */
	[0xa] = 0x1,		/* Write Atomicity Normal */
	[0xb] = 0x11f,		/* Asynchronous Events: of SMART, and Namespace Attributes */
};

/* The possible Asynchronous Event Information of each type, a bit each */
static const u8 event_infos[VFMIG_NVME_EVENT_TYPES] = {
	[0] = BIT(VFMIG_NVME_DOORBELL_REGISTER) | BIT(VFMIG_NVME_DOORBELL_VALUE),
	[1] = BIT(VFMIG_NVME_TEMP_THRESHOLD),
	[2] = BIT(VFMIG_NVME_NS_CHANGED),
	[6] = BIT(VFMIG_NVME_SANITIZED),
};

/* Bytes of a state with that many requests, with or without shadow doorbells */
size_t vfmig_nvme_state_bytes(unsigned int nr_reqs, bool shadow)
{
	return sizeof(struct vfmig_nvme_state) + nr_reqs * sizeof(struct vfmig_nvme_state_req) +
	       (shadow ? sizeof(struct vfmig_nvme_state_shadow) : 0);
}

static bool has_shadow(const struct vfmig_nvme_state *state)
{
	return le32_to_cpu(state->flags) & VFMIG_NVME_STATE_SHADOW;
}

/* The part of @state that says where the shadow doorbells are, or NULL if there are none */
const struct vfmig_nvme_state_shadow *vfmig_nvme_state_shadow(const struct vfmig_nvme_state *state)
{
	return has_shadow(state) ? (const void *)&state->req[le32_to_cpu(state->nr_reqs)] : NULL;
}

static bool is_ready(const struct vfmig_nvme_state *state)
{
	return le32_to_cpu(state->csts) & VFMIG_NVME_CSTS_RDY;
}

/* log2 of the size of a memory page, less VFMIG_NVME_MIN_SHIFT */
static unsigned int mps_of(const struct vfmig_nvme_state *state)
{
	return (le32_to_cpu(state->cc_seen) & VFMIG_NVME_CC_MPS_MASK) >> VFMIG_NVME_CC_MPS_SHIFT;
}

static bool bits_valid(const struct vfmig_nvme_state *state)
{
	const u32 flags = VFMIG_NVME_LATCH_FLAGS | VFMIG_NVME_STATE_SHADOW;
	const u64 low_bits = (1U << VFMIG_NVME_MIN_SHIFT) - 1;

	if ((le32_to_cpu(state->flags) & ~flags) ||
	    (le32_to_cpu(state->cc) & ~VFMIG_NVME_CC_MASK) ||
	    (le32_to_cpu(state->cc_seen) & ~VFMIG_NVME_CC_MASK) ||
	    (le32_to_cpu(state->csts) & ~VFMIG_NVME_CSTS_MASK) ||
	    (le32_to_cpu(state->aqa) & ~VFMIG_NVME_AQA_MASK) ||
	    (le64_to_cpu(state->asq) & low_bits) || (le64_to_cpu(state->acq) & low_bits))
		return false;
	for (unsigned int i = 2 * VFMIG_NVME_QUEUES; i < 8 * sizeof(state->rung); i++)
		if (state->rung[i / 8] & BIT(i % 8))
			return false;
	return true;
}

static bool registers_valid(const struct vfmig_nvme_state *state)
{
	/* A command set and an arbitration that it does not have */
	const u32 not_chosen = VFMIG_NVME_CC_FIXED & ~VFMIG_NVME_CC_MPS_MASK;
	u32 cc_seen = le32_to_cpu(state->cc_seen), csts = le32_to_cpu(state->csts);

	if (!bits_valid(state))
		return false;
	/* An enabled controller is ready, or has failed because its CC can't be */
	if ((cc_seen & VFMIG_NVME_CC_ENABLE) &&
	    !(csts & (VFMIG_NVME_CSTS_RDY | VFMIG_NVME_CSTS_CFS)))
		return false;
	return !is_ready(state) ||
	       ((cc_seen & VFMIG_NVME_CC_ENABLE) && !(cc_seen & not_chosen) &&
		mps_of(state) <= VFMIG_NVME_MAX_SHIFT - VFMIG_NVME_MIN_SHIFT);
}

/*
 * Does CC as the controller saw it follow from what was written?  An enabled controller keeps some
 * fields, and stays enabled until it hears otherwise.
 */
static bool seen_valid(const struct vfmig_nvme_state *state)
{
	u32 cc = le32_to_cpu(state->cc), cc_seen = le32_to_cpu(state->cc_seen);

	if (!(cc_seen & VFMIG_NVME_CC_ENABLE) ||
	    (le32_to_cpu(state->flags) & VFMIG_NVME_DISABLED))
		return true;
	return !((cc ^ cc_seen) & (VFMIG_NVME_CC_ENABLE | VFMIG_NVME_CC_FIXED));
}

static bool ident_valid(const struct vfmig_nvme_state *state, unsigned int max_queues)
{
	u16 queues = le16_to_cpu(state->queues), cntlid = le16_to_cpu(state->cntlid);

	/* Printable ASCII */
	for (unsigned int i = 0; i < sizeof(state->serial); i++)
		if (state->serial[i] < ' ' || state->serial[i] > '~')
			return false;
	return queues && queues <= max_queues && cntlid && cntlid <= VFMIG_NVME_MAX_CNTLID;
}

static bool sanitize_valid(const struct vfmig_nvme_state *state)
{
	u16 status = le16_to_cpu(state->sanitize_status);

	return le16_to_cpu(state->sanitize_written) <= 1 &&
	       (status == VFMIG_NVME_SSTAT_SUCCESS ||
		(status == VFMIG_NVME_SSTAT_NEVER && !state->sanitize_cdw10));
}

static bool settings_valid(const struct vfmig_nvme_state *state)
{
	for (unsigned int i = 0; i < VFMIG_NVME_EVENT_TYPES; i++)
		if (state->events_pending[i] & ~event_infos[i])
			return false;
	for (unsigned int i = 0; i < VFMIG_NVME_FEATURES; i++)
		if (le32_to_cpu(state->feature[i]) & ~vfmig_nvme_feature_bits[i])
			return false;
	return sanitize_valid(state) && !(le64_to_cpu(state->vector_cd) >> VFMIG_NVME_VECTORS) &&
	       !state->reserved2 && state->ns_changed <= 1 &&
	       !(state->events_masked >> VFMIG_NVME_EVENT_TYPES);
}

/* Low bits that the address of a queue or of a buffer must not have */
static u64 low_bits_of_page(const struct vfmig_nvme_state *state)
{
	return (1ULL << (VFMIG_NVME_MIN_SHIFT + mps_of(state))) - 1;
}

/* There are queues if and only if the controller is ready */
static bool queue_may_exist(const struct vfmig_nvme_state *state, unsigned int qid)
{
	return is_ready(state) && qid <= le16_to_cpu(state->queues);
}

static bool queue_valid(const struct vfmig_nvme_state *state, unsigned int qid, u64 base,
			u32 size, u16 head, u16 tail)
{
	u32 max = qid ? VFMIG_NVME_MAX_ENTRIES : VFMIG_NVME_ADMIN_ENTRIES;

	return queue_may_exist(state, qid) && size >= 2 && size <= max && head < size &&
	       tail < size && !(base & low_bits_of_page(state));
}

static bool sq_valid(const struct vfmig_nvme_state *state, unsigned int qid)
{
	const struct vfmig_nvme_state_sq *sq = &state->sq[qid];
	u16 cqid = le16_to_cpu(sq->cqid);

	if (!sq->size)
		return !memchr_inv(sq, 0, sizeof(*sq)) && (qid || !queue_may_exist(state, 0));
	if (sq->reserved || cqid >= VFMIG_NVME_QUEUES || !qid != !cqid)
		return false;
	cqid = array_index_nospec(cqid, VFMIG_NVME_QUEUES);
	if (!state->cq[cqid].size)
		return false;
	return queue_valid(state, qid, le64_to_cpu(sq->base), le32_to_cpu(sq->size),
			   le16_to_cpu(sq->head), le16_to_cpu(sq->tail));
}

static bool cq_valid(const struct vfmig_nvme_state *state, unsigned int qid)
{
	const struct vfmig_nvme_state_cq *cq = &state->cq[qid];
	const u16 flags = VFMIG_NVME_STATE_CQ_IRQ | VFMIG_NVME_STATE_CQ_PHASE;

	if (!cq->size)
		return !memchr_inv(cq, 0, sizeof(*cq)) && (qid || !queue_may_exist(state, 0));
	if ((le16_to_cpu(cq->flags) & ~flags) || le16_to_cpu(cq->vector) >= VFMIG_NVME_VECTORS)
		return false;
	return queue_valid(state, qid, le64_to_cpu(cq->base), le32_to_cpu(cq->size),
			   le16_to_cpu(cq->head), le16_to_cpu(cq->tail));
}

static bool queues_valid(const struct vfmig_nvme_state *state, size_t *where)
{
	for (unsigned int i = 0; i < VFMIG_NVME_QUEUES; i++) {
		*where = offsetof(struct vfmig_nvme_state, sq) + i * sizeof(state->sq[0]);
		if (!sq_valid(state, i))
			return false;
		*where = offsetof(struct vfmig_nvme_state, cq) + i * sizeof(state->cq[0]);
		if (!cq_valid(state, i))
			return false;
	}
	return true;
}

static bool req_valid(const struct vfmig_nvme_state *state,
		      const struct vfmig_nvme_state_req *req)
{
	u16 sqid = le16_to_cpu(req->sqid), cqid = le16_to_cpu(req->cqid);

	if (sqid >= VFMIG_NVME_QUEUES || cqid >= VFMIG_NVME_QUEUES || req->reserved ||
	    req->reserved2)
		return false;
	sqid = array_index_nospec(sqid, VFMIG_NVME_QUEUES);
	cqid = array_index_nospec(cqid, VFMIG_NVME_QUEUES);

	switch (req->stage) {
	case VFMIG_NVME_WAITING:
		return sqid && state->sq[sqid].size &&
		       le64_to_cpu(req->remaining_ns) <= VFMIG_NVME_MAX_LATENCY_NS;
	case VFMIG_NVME_EVENT:
		return !sqid && state->sq[0].size;
	case VFMIG_NVME_DONE:
		return !sqid == !cqid && state->cq[cqid].size && le16_to_cpu(req->status) < BIT(15);
	default:
		return false;
	}
}

static bool reqs_valid(const struct vfmig_nvme_state *state, size_t *where)
{
	unsigned int events = 0;

	for (u32 i = 0; i < le32_to_cpu(state->nr_reqs); i++) {
		*where = vfmig_nvme_state_bytes(i, false);
		events += state->req[i].stage == VFMIG_NVME_EVENT;
		if (!req_valid(state, &state->req[i]) || events > VFMIG_NVME_MAX_AERS)
			return false;
	}
	return true;
}

/* A guest has set them up by an admin command, so there are queues */
static bool shadow_valid(const struct vfmig_nvme_state *state, bool allowed)
{
	const struct vfmig_nvme_state_shadow *shadow = vfmig_nvme_state_shadow(state);

	if (!shadow)
		return true;
	return allowed && queue_may_exist(state, 0) &&
	       !((le64_to_cpu(shadow->doorbells) | le64_to_cpu(shadow->events)) &
		 low_bits_of_page(state));
}

/*
 * NULL if a controller with @limits can have the state at @buf, or what is wrong with it, and at
 * which byte
 */
const char *vfmig_nvme_state_check(const void *buf, size_t size,
				   const struct vfmig_nvme_limits *limits, size_t *where)
{
	const struct vfmig_nvme_state *state = buf;

	*where = offsetof(struct vfmig_nvme_state, nr_reqs);
	if (size < sizeof(*state) || le32_to_cpu(state->nr_reqs) > VFMIG_NVME_MAX_REQS ||
	    size != vfmig_nvme_state_bytes(le32_to_cpu(state->nr_reqs), has_shadow(state)))
		return "length of the state";
	*where = offsetof(struct vfmig_nvme_state, media_size);
	if (le64_to_cpu(state->media_size) != limits->media_size)
		return "size of the medium";
	*where = offsetof(struct vfmig_nvme_state, flags);
	if (!registers_valid(state) || !seen_valid(state))
		return "registers";
	*where = offsetof(struct vfmig_nvme_state, serial);
	if (!ident_valid(state, limits->queues))
		return "identity of the controller";
	*where = offsetof(struct vfmig_nvme_state, feature);
	if (!settings_valid(state))
		return "features, events or sanitize status";
	if (!queues_valid(state, where))
		return "queues";
	if (!reqs_valid(state, where))
		return "commands in flight";
	*where = vfmig_nvme_state_bytes(le32_to_cpu(state->nr_reqs), false);
	if (!shadow_valid(state, limits->shadow))
		return "shadow doorbells";
	return NULL;
}
