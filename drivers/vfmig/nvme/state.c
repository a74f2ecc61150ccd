// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of a controller as bytes: all that the guest can observe of it but
 * the medium.  What arrives is hostile: state_check.c checks it entirely before any of it
 * is used here, and nothing can fail after that.
 */
#include <linux/kernel.h>
#include <linux/string.h>

#include "nvme.h"

static_assert(sizeof(struct nvme_command) == 64);
static_assert(sizeof(struct nvme_error_slot) == 64);
static_assert(2 * VFMIG_NVME_QUEUES <= 16 * 8);
static_assert(VFMIG_NVME_QUEUES - 1 == VFMIG_MAX_QUEUES);
static_assert(VFMIG_NVME_FEATURES - 1 == NVME_FEAT_ASYNC_EVENT);
static_assert(VFMIG_NVME_EVENT_TYPES - 1 == NVME_AER_CSS);
static_assert(VFMIG_NVME_STATE_MAX <= VFMIG_STATE_MAX);
static_assert(!(VFMIG_NVME_LATCH_FLAGS & VFMIG_NVME_STATE_SHADOW));
static_assert(VFMIG_NVME_MAX_LATENCY_NS == (u64)VFMIG_MAX_IO_LATENCY_US * NSEC_PER_USEC);
static_assert(VFMIG_NVME_CC_ENABLE == NVME_CC_ENABLE);
static_assert(VFMIG_NVME_CC_MPS_SHIFT == NVME_CC_MPS_SHIFT);
static_assert(VFMIG_NVME_CSTS_RDY == NVME_CSTS_RDY);
static_assert(VFMIG_NVME_CSTS_CFS == NVME_CSTS_CFS);
static_assert(VFMIG_NVME_CSTS_MASK == (NVME_CSTS_RDY | NVME_CSTS_CFS | NVME_CSTS_SHST_MASK));
static_assert(VFMIG_NVME_NS_CHANGED == NVME_AER_NOTICE_NS_CHANGED);

/* Any time, without the lock */
size_t vfmig_nvme_state_size(const struct vfmig_nvme *ctrl)
{
	return vfmig_nvme_state_bytes(READ_ONCE(ctrl->nr_reqs), READ_ONCE(ctrl->shadow.on));
}

static void save_registers(struct vfmig_nvme *ctrl, struct vfmig_nvme_state *state)
{
	struct vfmig_nvme_latch *latch = &ctrl->latch;
	unsigned int i;

	state->cc_seen = cpu_to_le32(ctrl->cc);

	spin_lock(&latch->lock);
	state->flags = cpu_to_le32(latch->flags);
	state->intm = cpu_to_le32(latch->intm);
	state->cc = cpu_to_le32(latch->cc);
	state->csts = cpu_to_le32(latch->csts);
	state->aqa = cpu_to_le32(latch->aqa);
	state->asq = cpu_to_le64(latch->asq);
	state->acq = cpu_to_le64(latch->acq);
	for_each_set_bit(i, latch->rung, 2 * VFMIG_NVME_QUEUES) {
		state->rung[i / 8] |= BIT(i % 8);
		state->doorbell[i] = cpu_to_le16(latch->doorbell[i]);
	}
	spin_unlock(&latch->lock);
}

static void save_ident(struct vfmig_nvme *ctrl, struct vfmig_nvme_state *state)
{
	const struct vfmig_nvme_ident *ident = &ctrl->ident;

	state->media_size = cpu_to_le64(ctrl->media.size);
	memcpy(state->serial, ident->serial, sizeof(state->serial));
	memcpy(state->nguid, ident->nguid, sizeof(state->nguid));
	memcpy(state->eui64, ident->eui64, sizeof(state->eui64));
	export_uuid(state->subsys, &ident->subsys);
	state->cntlid = cpu_to_le16(ident->cntlid);
	state->queues = cpu_to_le16(ctrl->queues);
}

static void save_settings(struct vfmig_nvme *ctrl, struct vfmig_nvme_state *state)
{
	const struct vfmig_nvme_health *health = &ctrl->health;

	for (unsigned int i = 0; i < VFMIG_NVME_FEATURES; i++)
		state->feature[i] = cpu_to_le32(ctrl->features.dword[i]);
	state->temp_under = cpu_to_le16(ctrl->features.temp_under);
	state->vector_cd = cpu_to_le64(ctrl->features.vector_cd);

	state->read_units = cpu_to_le64(health->read_units);
	state->written_units = cpu_to_le64(health->written_units);
	state->reads = cpu_to_le64(health->reads);
	state->writes = cpu_to_le64(health->writes);
	state->media_errors = cpu_to_le64(health->media_errors);
	state->power_on_s = cpu_to_le64(vfmig_nvme_power_on_s(ctrl));

	state->sanitize_cdw10 = cpu_to_le32(ctrl->sanitize.cdw10);
	state->sanitize_status = cpu_to_le16(ctrl->sanitize.status);
	state->sanitize_written = cpu_to_le16(ctrl->sanitize.written);

	memcpy(state->events_pending, ctrl->events.pending, sizeof(state->events_pending));
	state->events_masked = ctrl->events.masked;
	state->ns_changed = ctrl->events.ns_changed;
	state->error_count = cpu_to_le64(ctrl->errors.count);
	memcpy(state->errors, ctrl->errors.slots, sizeof(state->errors));
}

static void save_queues(struct vfmig_nvme *ctrl, struct vfmig_nvme_state *state)
{
	for (unsigned int i = 0; i < VFMIG_NVME_QUEUES; i++) {
		const struct vfmig_nvme_sq *sq = &ctrl->sq[i];
		const struct vfmig_nvme_cq *cq = &ctrl->cq[i];

		state->sq[i] = (struct vfmig_nvme_state_sq) {
			.base = cpu_to_le64(sq->base),
			.size = cpu_to_le32(sq->size),
			.head = cpu_to_le16(sq->head),
			.tail = cpu_to_le16(sq->tail),
			.cqid = cpu_to_le16(sq->cqid),
		};
		state->cq[i] = (struct vfmig_nvme_state_cq) {
			.base = cpu_to_le64(cq->base),
			.size = cpu_to_le32(cq->size),
			.head = cpu_to_le16(cq->head),
			.tail = cpu_to_le16(cq->tail),
			.vector = cpu_to_le16(cq->vector),
			.flags = cpu_to_le16((cq->irq ? VFMIG_NVME_STATE_CQ_IRQ : 0) |
					     (cq->phase ? VFMIG_NVME_STATE_CQ_PHASE : 0)),
		};
	}
}

static void save_reqs(struct vfmig_nvme *ctrl, struct vfmig_nvme_state *state)
{
	struct list_head *lists[] = { &ctrl->waiting, &ctrl->aers, &ctrl->done };
	struct vfmig_nvme_state_req *out = state->req;
	u64 now = vfmig_running_now(&ctrl->running);
	const struct vfmig_nvme_req *req;

	for (unsigned int i = 0; i < ARRAY_SIZE(lists); i++) {
		list_for_each_entry(req, lists[i], entry) {
			u64 left = req->stage == VFMIG_NVME_WAITING && req->due > now ?
				   req->due - now : 0;
			bool done = req->stage == VFMIG_NVME_DONE;

			*out = (struct vfmig_nvme_state_req) {
				.stage = req->stage,
				.sqid = cpu_to_le16(req->sqid),
				.cqid = cpu_to_le16(done ? req->cqid : 0),
				.sq_head = cpu_to_le16(done ? req->sq_head : 0),
				.status = cpu_to_le16(done ? req->status : 0),
				.result = cpu_to_le32(done ? req->result : 0),
				.remaining_ns = cpu_to_le64(left),
			};
			memcpy(out->cmd, &req->cmd, sizeof(out->cmd));
			out++;
		}
	}
}

static void save_shadow(struct vfmig_nvme *ctrl, struct vfmig_nvme_state *state)
{
	struct vfmig_nvme_state_shadow *shadow = (void *)&state->req[ctrl->nr_reqs];

	if (!ctrl->shadow.on)
		return;
	state->flags |= cpu_to_le32(VFMIG_NVME_STATE_SHADOW);
	shadow->doorbells = cpu_to_le64(ctrl->shadow.doorbells);
	shadow->events = cpu_to_le64(ctrl->shadow.events);
}

/* With the lock held, of a frozen controller.  The bytes used, or -ENOSPC. */
ssize_t vfmig_nvme_state_save(struct vfmig_nvme *ctrl, void *buf, size_t size)
{
	size_t used = vfmig_nvme_state_bytes(ctrl->nr_reqs, ctrl->shadow.on);
	struct vfmig_nvme_state *state = buf;

	if (size < used)
		return -ENOSPC;

	memset(buf, 0, used);
	save_registers(ctrl, state);
	save_ident(ctrl, state);
	save_settings(ctrl, state);
	save_queues(ctrl, state);
	save_reqs(ctrl, state);
	save_shadow(ctrl, state);
	state->nr_reqs = cpu_to_le32(ctrl->nr_reqs);
	return used;
}

static void load_features(struct vfmig_nvme_features *features,
			  const struct vfmig_nvme_state *state)
{
	for (unsigned int i = 0; i < VFMIG_NVME_FEATURES; i++)
		features->dword[i] = le32_to_cpu(state->feature[i]);
	features->temp_under = le16_to_cpu(state->temp_under);
	features->vector_cd = le64_to_cpu(state->vector_cd);
}

static void load_sanitize(struct vfmig_nvme_sanitize *sanitize,
			  const struct vfmig_nvme_state *state)
{
	sanitize->cdw10 = le32_to_cpu(state->sanitize_cdw10);
	sanitize->status = le16_to_cpu(state->sanitize_status);
	sanitize->written = le16_to_cpu(state->sanitize_written);
}

static void apply_registers(struct vfmig_nvme *ctrl, const struct vfmig_nvme_state *state)
{
	struct vfmig_nvme_latch *latch = &ctrl->latch;

	ctrl->cc = le32_to_cpu(state->cc_seen);
	ctrl->page_shift = VFMIG_NVME_MIN_SHIFT;
	if (le32_to_cpu(state->csts) & NVME_CSTS_RDY)
		ctrl->page_shift += (ctrl->cc >> NVME_CC_MPS_SHIFT) & 0xf;

	spin_lock(&latch->lock);
	latch->flags = le32_to_cpu(state->flags) & VFMIG_NVME_LATCH_FLAGS;
	latch->intm = le32_to_cpu(state->intm);
	latch->cc = le32_to_cpu(state->cc);
	latch->csts = le32_to_cpu(state->csts);
	latch->aqa = le32_to_cpu(state->aqa);
	latch->asq = le64_to_cpu(state->asq);
	latch->acq = le64_to_cpu(state->acq);
	for (unsigned int i = 0; i < 2 * VFMIG_NVME_QUEUES; i++) {
		__assign_bit(i, latch->rung, state->rung[i / 8] & BIT(i % 8));
		latch->doorbell[i] = le16_to_cpu(state->doorbell[i]);
	}
	vfmig_nvme_drop_regs(ctrl);
	spin_unlock(&latch->lock);
}

static void apply_ident(struct vfmig_nvme *ctrl, const struct vfmig_nvme_state *state)
{
	struct vfmig_nvme_ident ident = { .cntlid = le16_to_cpu(state->cntlid) };

	memcpy(ident.serial, state->serial, sizeof(ident.serial));
	memcpy(ident.nguid, state->nguid, sizeof(ident.nguid));
	memcpy(ident.eui64, state->eui64, sizeof(ident.eui64));
	import_uuid(&ident.subsys, state->subsys);
	vfmig_nvme_ident_take(ctrl, &ident);
	WRITE_ONCE(ctrl->queues, le16_to_cpu(state->queues));
}

static void apply_settings(struct vfmig_nvme *ctrl, const struct vfmig_nvme_state *state)
{
	load_features(&ctrl->features, state);
	ctrl->health = (struct vfmig_nvme_health) {
		.read_units = le64_to_cpu(state->read_units),
		.written_units = le64_to_cpu(state->written_units),
		.reads = le64_to_cpu(state->reads),
		.writes = le64_to_cpu(state->writes),
		.media_errors = le64_to_cpu(state->media_errors),
		.power_on_s = le64_to_cpu(state->power_on_s),
		.since = vfmig_running_now(&ctrl->running),
	};

	load_sanitize(&ctrl->sanitize, state);
	memcpy(ctrl->events.pending, state->events_pending, sizeof(ctrl->events.pending));
	ctrl->events.masked = state->events_masked;
	ctrl->events.ns_changed = state->ns_changed;
	ctrl->errors.count = le64_to_cpu(state->error_count);
	memcpy(ctrl->errors.slots, state->errors, sizeof(ctrl->errors.slots));
}

static void apply_queues(struct vfmig_nvme *ctrl, const struct vfmig_nvme_state *state)
{
	for (unsigned int i = 0; i < VFMIG_NVME_QUEUES; i++) {
		const struct vfmig_nvme_state_sq *sq = &state->sq[i];
		const struct vfmig_nvme_state_cq *cq = &state->cq[i];

		ctrl->sq[i] = (struct vfmig_nvme_sq) {
			.base = le64_to_cpu(sq->base),
			.size = le32_to_cpu(sq->size),
			.head = le16_to_cpu(sq->head),
			.tail = le16_to_cpu(sq->tail),
			.cqid = le16_to_cpu(sq->cqid),
		};
		__set_bit(i, ctrl->busy);
		ctrl->cq[i] = (struct vfmig_nvme_cq) {
			.base = le64_to_cpu(cq->base),
			.size = le32_to_cpu(cq->size),
			.head = le16_to_cpu(cq->head),
			.tail = le16_to_cpu(cq->tail),
			.vector = le16_to_cpu(cq->vector),
			.irq = le16_to_cpu(cq->flags) & VFMIG_NVME_STATE_CQ_IRQ,
			.phase = le16_to_cpu(cq->flags) & VFMIG_NVME_STATE_CQ_PHASE,
		};
	}
	vfmig_nvme_forget_arrivals(ctrl);
}

static void apply_reqs(struct vfmig_nvme *ctrl, const struct vfmig_nvme_state *state)
{
	u64 now = vfmig_running_now(&ctrl->running);

	for (u32 i = 0; i < le32_to_cpu(state->nr_reqs); i++) {
		const struct vfmig_nvme_state_req *in = &state->req[i];
		struct vfmig_nvme_req *req = vfmig_nvme_get_req(ctrl);

		req->sqid = le16_to_cpu(in->sqid);
		req->cqid = le16_to_cpu(in->cqid);
		req->sq_head = le16_to_cpu(in->sq_head);
		req->status = le16_to_cpu(in->status);
		req->result = le32_to_cpu(in->result);
		req->due = now + le64_to_cpu(in->remaining_ns);
		memcpy(&req->cmd, in->cmd, sizeof(in->cmd));
		vfmig_nvme_move_req(ctrl, req, in->stage);
	}
}

static void apply_shadow(struct vfmig_nvme *ctrl, const struct vfmig_nvme_state *state)
{
	const struct vfmig_nvme_state_shadow *shadow = vfmig_nvme_state_shadow(state);

	if (shadow)
		vfmig_nvme_shadow_set(ctrl, le64_to_cpu(shadow->doorbells),
				      le64_to_cpu(shadow->events));
}

/* With the lock held, of a frozen controller; vfmig_nvme_state_check() found nothing */
void vfmig_nvme_state_apply(struct vfmig_nvme *ctrl, const void *buf)
{
	const struct vfmig_nvme_state *state = buf;

	vfmig_nvme_drop_commands(ctrl);
	apply_registers(ctrl, state);
	apply_ident(ctrl, state);
	apply_settings(ctrl, state);
	apply_queues(ctrl, state);
	apply_reqs(ctrl, state);
	apply_shadow(ctrl, state);
}
