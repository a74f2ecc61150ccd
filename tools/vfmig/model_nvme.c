// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device model "nvme": its part of an identity, and its state
 */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "model.h"

#include "../../drivers/vfmig/nvme/state_check.h"

#define MAX_QUEUES	(VFMIG_NVME_QUEUES - 1U)
#define FEATURE_COALESCING	0x8	/* of interrupts */

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

/* Any controller that can look like this one takes it */
static const char *state_check(const struct stream_identity *id, const u8 *bytes, size_t length,
			       size_t *where)
{
	const struct vfmig_nvme_limits limits = {
		.media_size = id->memory_size,
		.queues = MAX_QUEUES,
		.shadow = id->model_version >= VFMIG_NVME_SHADOW_VERSION,
	};

	return vfmig_nvme_state_check(bytes, length, &limits, where);
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

/* Interrupt Coalescing: the threshold is a 0's based value */
static void describe_interrupts(const struct vfmig_nvme_state *state, struct json_object *out)
{
	u32 value = le32toh(state->feature[FEATURE_COALESCING]);

	put_number(out, "coalescing_threshold", (value & 0xff) + 1);
	put_number(out, "coalescing_time_us", (value >> 8) * 100);
	put_hex(out, "vectors_not_coalesced", le64toh(state->vector_cd));
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
	const struct vfmig_nvme_state_shadow *shadow = vfmig_nvme_state_shadow(state);

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
	describe_interrupts(state, out);
	describe_counters(state, out);
	put_number(out, "commands_waiting", count_reqs(state, VFMIG_NVME_WAITING));
	put_number(out, "event_requests", count_reqs(state, VFMIG_NVME_EVENT));
	put_number(out, "completions_due", count_reqs(state, VFMIG_NVME_DONE));
	describe_queues(state, out);
}

const struct model nvme_model = {
	.name = "nvme",
	.versions = { VFMIG_NVME_STATE_OLDEST, VFMIG_NVME_STATE_VERSION },
	.state_max = VFMIG_NVME_STATE_MAX,
	.identity_check = identity_check,
	.like_check = like_check,
	.state_check = state_check,
	.describe_identity = describe_identity,
	.describe_state = describe_state,
};
