// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device model "nvme": its part of an identity, and its state.  The checks of the state are
 * those of drivers/vfmig/nvme/state.c.
 */
#include <ctype.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "model.h"

/* They need what types.h has */
#include "../../drivers/vfmig/nvme/format.h"

#define MAX_QUEUES	(VFMIG_NVME_QUEUES - 1U)
#define MAX_ADMIN	4096U
#define MAX_LATENCY_NS	10000000000ULL

#define LATCH_DISABLED	0x1U
#define LATCH_FLAGS	0x3U
#define CC_ENABLE	0x1U
#define CC_MPS(cc)	((cc) >> 7 & 0xf)
#define CC_MPS_MASK	0x780U
#define MAX_MPS		4U
#define CSTS_READY	0x1U
#define CSTS_FATAL	0x2U
#define CSTS_MASK	0xfU
#define PAGE_BITS	0xfffULL

#define CQ_FLAGS	(VFMIG_NVME_STATE_CQ_IRQ | VFMIG_NVME_STATE_CQ_PHASE)

#define SANITIZE_NEVER		0
#define SANITIZE_SUCCESS	1

/* Bits of the features that can be set */
static const u32 feature_masks[VFMIG_NVME_FEATURES] = {
	[0x1] = 0xffffff07,	/* arbitration */
	[0x2] = 0xe0,		/* power management */
	[0x4] = 0xffff,		/* temperature threshold */
	[0x5] = 0xffff,		/* error recovery */
	[0x6] = 1,		/* volatile write cache */
	[0x8] = 0xffff,		/* interrupt coalescing */
	[0xa] = 1,		/* write atomicity */
	[0xb] = 0x11f,		/* asynchronous events */
};

/* Asynchronous Event Information by type */
static const u8 event_infos[VFMIG_NVME_EVENT_TYPES] = { 0x3, 0x2, 0x1, 0, 0, 0, 0x2 };

static const char *identity_check(const struct stream_identity *id)
{
	const struct vfmig_nvme_identity *data = (const void *)id->data;

	if (id->data_length != sizeof(*data) || data->reserved)
		return "its NVMe part makes no sense";
	if (le16toh(data->lba_shift) != 9 && le16toh(data->lba_shift) != 12)
		return "its LBA format is one that no device has";
	if (!data->queues || le16toh(data->queues) > MAX_QUEUES)
		return "it has more queues than any device";
	if (le16toh(data->vectors) > VFMIG_NVME_VECTORS)
		return "it has more vectors than any device";
	return NULL;
}

static const char *like_check(const struct stream_identity *id, const struct stream_identity *own)
{
	const struct vfmig_nvme_identity *data = (const void *)id->data;
	const struct vfmig_nvme_identity *mine = (const void *)own->data;
	static char why[96];

	if (data->lba_shift != mine->lba_shift)
		return "its LBA format is another";
	if (le16toh(data->queues) > le16toh(mine->queues))
		return "it has more queues";
	if (le16toh(data->vectors) > le16toh(mine->vectors))
		return "it has more vectors";
	/* A device knows how those of older versions looked.  This tool does not. */
	if (data->digest == mine->digest || id->model_version < own->model_version)
		return NULL;
	snprintf(why, sizeof(why), "looks different to a guest: digest %#010x, not %#010x",
		 le32toh(data->digest), le32toh(mine->digest));
	return why;
}

/* In units of the names of struct vfmig_nvme_state */
#define AT(field)	offsetof(struct vfmig_nvme_state, field)

static bool is_ready(const struct vfmig_nvme_state *state)
{
	return le32toh(state->csts) & CSTS_READY;
}

/* Where the shadow doorbells are, or NULL if there are none */
static const struct vfmig_nvme_state_shadow *shadow_of(const struct vfmig_nvme_state *state)
{
	if (!(le32toh(state->flags) & VFMIG_NVME_STATE_SHADOW))
		return NULL;
	return (const void *)&state->req[le32toh(state->nr_reqs)];
}

static bool registers_valid(const struct vfmig_nvme_state *state)
{
	u32 seen = le32toh(state->cc_seen);

	if ((le32toh(state->flags) & ~(LATCH_FLAGS | VFMIG_NVME_STATE_SHADOW)) ||
	    (le32toh(state->cc) & ~VFMIG_NVME_CC_MASK) || (seen & ~VFMIG_NVME_CC_MASK) ||
	    (le32toh(state->csts) & ~CSTS_MASK) ||
	    (le32toh(state->aqa) & ~VFMIG_NVME_AQA_MASK) || (le64toh(state->asq) & PAGE_BITS) ||
	    (le64toh(state->acq) & PAGE_BITS))
		return false;
	if ((seen & CC_ENABLE) && !(le32toh(state->csts) & (CSTS_READY | CSTS_FATAL)))
		return false;
	if (is_ready(state) && (!(seen & CC_ENABLE) || CC_MPS(seen) > MAX_MPS ||
				(seen & VFMIG_NVME_CC_FIXED & ~CC_MPS_MASK)))
		return false;
	for (unsigned int i = 2 * VFMIG_NVME_QUEUES; i < 8 * sizeof(state->rung); i++)
		if (state->rung[i / 8] & 1U << i % 8)
			return false;
	return true;
}

static bool seen_valid(const struct vfmig_nvme_state *state)
{
	u32 cc = le32toh(state->cc), seen = le32toh(state->cc_seen);

	if (!(seen & CC_ENABLE) || (le32toh(state->flags) & LATCH_DISABLED))
		return true;
	return !((cc ^ seen) & (CC_ENABLE | VFMIG_NVME_CC_FIXED));
}

static bool ident_valid(const struct vfmig_nvme_state *state)
{
	u16 queues = le16toh(state->queues), cntlid = le16toh(state->cntlid);

	for (size_t i = 0; i < sizeof(state->serial); i++)
		if (!isascii(state->serial[i]) || !isprint(state->serial[i]))
			return false;
	return queues && queues <= MAX_QUEUES && cntlid && cntlid <= VFMIG_NVME_MAX_CNTLID;
}

static bool settings_valid(const struct vfmig_nvme_state *state)
{
	u16 sanitize = le16toh(state->sanitize_status);

	for (size_t i = 0; i < VFMIG_NVME_EVENT_TYPES; i++)
		if (state->events_pending[i] & ~event_infos[i])
			return false;
	if (le16toh(state->sanitize_written) > 1 ||
	    (sanitize != SANITIZE_SUCCESS &&
	     (sanitize != SANITIZE_NEVER || state->sanitize_cdw10)))
		return false;
	for (size_t i = 0; i < VFMIG_NVME_FEATURES; i++)
		if (le32toh(state->feature[i]) & ~feature_masks[i])
			return false;
	return !(le64toh(state->vector_cd) >> VFMIG_NVME_VECTORS) && !state->reserved2 &&
	       state->ns_changed <= 1 && !(state->events_masked >> VFMIG_NVME_EVENT_TYPES);
}

/* There are queues if and only if the controller is ready */
static bool queue_may_exist(const struct vfmig_nvme_state *state, unsigned int qid)
{
	return is_ready(state) && qid <= le16toh(state->queues);
}

/* Size of a page as the host has set it */
static u64 page_size(const struct vfmig_nvme_state *state)
{
	return (PAGE_BITS + 1) << CC_MPS(le32toh(state->cc_seen));
}

static bool queue_valid(const struct vfmig_nvme_state *state, unsigned int qid, u64 base,
			u32 size, u16 head, u16 tail)
{
	return queue_may_exist(state, qid) && size >= 2 &&
	       size <= (qid ? VFMIG_NVME_MAX_ENTRIES : MAX_ADMIN) && head < size && tail < size &&
	       !(base & (page_size(state) - 1));
}

static bool sq_valid(const struct vfmig_nvme_state *state, unsigned int qid)
{
	const struct vfmig_nvme_state_sq *sq = &state->sq[qid];
	u16 cqid = le16toh(sq->cqid);

	if (!sq->size)
		return all_zero(sq, sizeof(*sq)) && (qid || !queue_may_exist(state, 0));
	if (sq->reserved || cqid >= VFMIG_NVME_QUEUES || !qid != !cqid || !state->cq[cqid].size)
		return false;
	return queue_valid(state, qid, le64toh(sq->base), le32toh(sq->size), le16toh(sq->head),
			   le16toh(sq->tail));
}

static bool cq_valid(const struct vfmig_nvme_state *state, unsigned int qid)
{
	const struct vfmig_nvme_state_cq *cq = &state->cq[qid];

	if (!cq->size)
		return all_zero(cq, sizeof(*cq)) && (qid || !queue_may_exist(state, 0));
	if ((le16toh(cq->flags) & ~CQ_FLAGS) || le16toh(cq->vector) >= VFMIG_NVME_VECTORS)
		return false;
	return queue_valid(state, qid, le64toh(cq->base), le32toh(cq->size), le16toh(cq->head),
			   le16toh(cq->tail));
}

static bool queues_valid(const struct vfmig_nvme_state *state, size_t *where)
{
	for (unsigned int i = 0; i < VFMIG_NVME_QUEUES; i++) {
		if (!sq_valid(state, i)) {
			*where = AT(sq) + i * sizeof(state->sq[0]);
			return false;
		}
		if (!cq_valid(state, i)) {
			*where = AT(cq) + i * sizeof(state->cq[0]);
			return false;
		}
	}
	return true;
}

static bool req_valid(const struct vfmig_nvme_state *state, const struct vfmig_nvme_state_req *req)
{
	u16 sqid = le16toh(req->sqid), cqid = le16toh(req->cqid);

	if (sqid >= VFMIG_NVME_QUEUES || cqid >= VFMIG_NVME_QUEUES || req->reserved ||
	    req->reserved2)
		return false;
	switch (req->stage) {
	case VFMIG_NVME_WAITING:
		return sqid && state->sq[sqid].size &&
		       le64toh(req->remaining_ns) <= MAX_LATENCY_NS;
	case VFMIG_NVME_EVENT:
		return !sqid && state->sq[0].size;
	case VFMIG_NVME_DONE:
		return !sqid == !cqid && state->cq[cqid].size && !(le16toh(req->status) >> 15);
	default:
		return false;
	}
}

static bool reqs_valid(const struct vfmig_nvme_state *state, size_t *where)
{
	unsigned int events = 0;

	for (u32 i = 0; i < le32toh(state->nr_reqs); i++) {
		*where = AT(req) + i * sizeof(state->req[0]);
		events += state->req[i].stage == VFMIG_NVME_EVENT;
		if (!req_valid(state, &state->req[i]) || events > VFMIG_NVME_MAX_AERS)
			return false;
	}
	return true;
}

static bool shadow_valid(const struct vfmig_nvme_state *state, size_t *where)
{
	const struct vfmig_nvme_state_shadow *shadow = shadow_of(state);

	*where = AT(req) + le32toh(state->nr_reqs) * sizeof(state->req[0]);
	return !shadow ||
	       (queue_may_exist(state, 0) &&
		!((le64toh(shadow->doorbells) | le64toh(shadow->events)) &
		  (page_size(state) - 1)));
}

static size_t size_of_state(const struct vfmig_nvme_state *state)
{
	return sizeof(*state) + le32toh(state->nr_reqs) * sizeof(state->req[0]) +
	       (shadow_of(state) ? sizeof(struct vfmig_nvme_state_shadow) : 0);
}

static const char *state_check(const struct stream_identity *id, const u8 *bytes, size_t length,
			       size_t *where)
{
	const struct vfmig_nvme_state *state = (const void *)bytes;

	*where = AT(nr_reqs);
	if (length < sizeof(*state) || le32toh(state->nr_reqs) > VFMIG_NVME_MAX_REQS ||
	    length != size_of_state(state))
		return "length of the state";
	*where = AT(media_size);
	if (le64toh(state->media_size) != id->memory_size)
		return "size of the medium";
	*where = AT(flags);
	if (!registers_valid(state) || !seen_valid(state))
		return "registers";
	*where = AT(serial);
	if (!ident_valid(state))
		return "identity of the controller";
	*where = AT(feature);
	if (!settings_valid(state))
		return "features, events or sanitize status";
	if (!queues_valid(state, where))
		return "queues";
	if (!reqs_valid(state, where))
		return "commands in flight";
	return shadow_valid(state, where) ? NULL : "shadow doorbells";
}

static void describe_identity(const struct stream_identity *id, struct json_object *out)
{
	const struct vfmig_nvme_identity *data = (const void *)id->data;

	put_number(out, "lba_size", 1U << (le16toh(data->lba_shift) & 15));
	put_number(out, "queues", le16toh(data->queues));
	put_number(out, "vectors", le16toh(data->vectors));
	put_hex(out, "digest", le32toh(data->digest));
}

static unsigned int count_reqs(const struct vfmig_nvme_state *state, u8 stage)
{
	unsigned int n = 0;

	for (u32 i = 0; i < le32toh(state->nr_reqs); i++)
		n += state->req[i].stage == stage;
	return n;
}

static void describe_controller(const struct vfmig_nvme_state *state, struct json_object *out)
{
	put_text(out, "serial", (const char *)state->serial, sizeof(state->serial));
	put_bytes(out, "nguid", state->nguid, sizeof(state->nguid));
	put_bytes(out, "eui64", state->eui64, sizeof(state->eui64));
	put_bytes(out, "subsystem", state->subsys, sizeof(state->subsys));
	put_number(out, "cntlid", le16toh(state->cntlid));
	put_number(out, "media_size", le64toh(state->media_size));
	put_hex(out, "cc", le32toh(state->cc));
	put_hex(out, "cc_seen", le32toh(state->cc_seen));
	put_hex(out, "csts", le32toh(state->csts));
	put_hex(out, "aqa", le32toh(state->aqa));
	put_hex(out, "asq", le64toh(state->asq));
	put_hex(out, "acq", le64toh(state->acq));
}

static void describe_counters(const struct vfmig_nvme_state *state, struct json_object *out)
{
	put_number(out, "reads", le64toh(state->reads));
	put_number(out, "read_units", le64toh(state->read_units));
	put_number(out, "writes", le64toh(state->writes));
	put_number(out, "written_units", le64toh(state->written_units));
	put_number(out, "media_errors", le64toh(state->media_errors));
	put_number(out, "power_on_s", le64toh(state->power_on_s));
	put_number(out, "errors", le64toh(state->error_count));
	put_number(out, "sanitize_status", le16toh(state->sanitize_status));
}

static void describe_queues(const struct vfmig_nvme_state *state, struct json_object *out)
{
	struct json_object *queues = json_object_new_array();

	for (unsigned int i = 0; i < VFMIG_NVME_QUEUES; i++) {
		const struct vfmig_nvme_state_sq *sq = &state->sq[i];
		const struct vfmig_nvme_state_cq *cq = &state->cq[i];
		struct json_object *queue;

		if (!sq->size && !cq->size)
			continue;
		queue = json_object_new_object();
		put_number(queue, "queue", i);
		put_number(queue, "sq_size", le32toh(sq->size));
		put_hex(queue, "sq_base", le64toh(sq->base));
		put_number(queue, "sq_head", le16toh(sq->head));
		put_number(queue, "sq_tail", le16toh(sq->tail));
		put_number(queue, "cq_size", le32toh(cq->size));
		put_hex(queue, "cq_base", le64toh(cq->base));
		put_number(queue, "cq_head", le16toh(cq->head));
		put_number(queue, "cq_tail", le16toh(cq->tail));
		put_number(queue, "vector", le16toh(cq->vector));
		json_object_array_add(queues, queue);
	}
	json_object_object_add(out, "queues", queues);
}

static void describe_shadow(const struct vfmig_nvme_state *state, struct json_object *out)
{
	const struct vfmig_nvme_state_shadow *shadow = shadow_of(state);

	if (!shadow)
		return;
	put_hex(out, "shadow_doorbells", le64toh(shadow->doorbells));
	put_hex(out, "shadow_events", le64toh(shadow->events));
}

static void describe_state(const u8 *bytes, size_t length, struct json_object *out)
{
	const struct vfmig_nvme_state *state = (const void *)bytes;

	(void)length;
	describe_controller(state, out);
	describe_shadow(state, out);
	describe_counters(state, out);
	put_number(out, "commands_waiting", count_reqs(state, VFMIG_NVME_WAITING));
	put_number(out, "event_requests", count_reqs(state, VFMIG_NVME_EVENT));
	put_number(out, "completions_due", count_reqs(state, VFMIG_NVME_DONE));
	describe_queues(state, out);
}

const struct model nvme_model = {
	.name = "nvme",
	.versions = { 3, 4 },
	.state_max = sizeof(struct vfmig_nvme_state) +
		     VFMIG_NVME_MAX_REQS * sizeof(struct vfmig_nvme_state_req) +
		     sizeof(struct vfmig_nvme_state_shadow),
	.identity_check = identity_check,
	.like_check = like_check,
	.state_check = state_check,
	.describe_identity = describe_identity,
	.describe_state = describe_state,
};
