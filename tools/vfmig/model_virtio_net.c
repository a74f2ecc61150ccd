// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device model "virtio-net": its part of an identity, and its state
 */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "model.h"

#include "../../drivers/vfmig/virtio/features.h"
#include "../../drivers/vfmig/virtio/state_check.h"

#define MAX_PAIRS	((VFMIG_VIRTIO_VQS - 1) / 2)

/* The whole state */
struct net_state {
	struct vfmig_virtio_state virtio;
	struct vfmig_net_state net;
} __packed;

static const char *identity_check(const struct stream_identity *id)
{
	const struct vfmig_virtio_net_identity *data = (const void *)id->data;

	if (id->data_length != sizeof(*data) || data->reserved || data->reserved2)
		return "its virtio-net part makes no sense";
	if (!data->pairs || le16toh(data->pairs) > MAX_PAIRS)
		return "it has more queues than any device";
	if (le16toh(data->queue_size) != VFMIG_VQ_SIZE_MAX)
		return "its queues have a size that no device has";
	if (le16toh(data->vectors) != VFMIG_VIRTIO_VECTORS)
		return "it has a number of vectors that no device has";
	if (le32toh(data->speed) != VFMIG_PORT_SPEED)
		return "it has a speed that no device has";
	return NULL;
}

static const char *like_check(const struct stream_identity *id, const struct stream_identity *own)
{
	const struct vfmig_virtio_net_identity *data = (const void *)id->data;
	const struct vfmig_virtio_net_identity *mine = (const void *)own->data;

	if (data->features != mine->features)
		return "it offers other features";
	if (le16toh(data->pairs) > le16toh(mine->pairs))
		return "it has more queues";
	return NULL;
}

static const char *state_check(const struct stream_identity *id, const u8 *bytes, size_t length,
			       size_t *where)
{
	const struct vfmig_virtio_net_identity *data = (const void *)id->data;
	const struct vfmig_virtio_limits limits = {
		.features = le64toh(data->features),
		.features_ok = vfmig_net_features_ok,
	};
	const struct vfmig_net_limits net_limits = {
		.pairs = MAX_PAIRS,
		.version = id->model_version,
	};
	const struct net_state *state = (const void *)bytes;
	const char *why;

	*where = length;
	if (length != sizeof(*state))
		return "length of the state";
	why = vfmig_virtio_state_check(&state->virtio, &limits, where);
	if (why)
		return why;
	why = vfmig_net_state_check(&state->net, &state->virtio, &net_limits, where);
	*where += offsetof(struct net_state, net);
	return why;
}

static void describe_identity(const struct stream_identity *id, struct json_object *out)
{
	const struct vfmig_virtio_net_identity *data = (const void *)id->data;

	put_hex(out, "features", le64toh(data->features));
	put_number(out, "pairs", le16toh(data->pairs));
	put_number(out, "queue_size", le16toh(data->queue_size));
	put_number(out, "vectors", le16toh(data->vectors));
	put_number(out, "speed", le32toh(data->speed));
}

static void put_mac(struct json_object *out, const char *key, const u8 *mac)
{
	char text[3 * ETH_ALEN];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	put_text(out, key, text, strlen(text));
}

static void describe_queues(const struct vfmig_virtio_state *state, struct json_object *out)
{
	struct json_object *queues = json_object_new_array();

	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++) {
		const struct vfmig_virtio_state_vq *vq = &state->vq[i];
		struct json_object *queue;

		if (!(vq->state & VFMIG_VQ_ENABLED))
			continue;
		queue = json_object_new_object();
		put_number(queue, "queue", i);
		put_number(queue, "size", le16toh(vq->size));
		put_hex(queue, "desc", le64toh(vq->desc));
		put_hex(queue, "driver", le64toh(vq->driver));
		put_hex(queue, "device", le64toh(vq->device));
		put_number(queue, "avail", le16toh(vq->avail));
		put_number(queue, "used", le16toh(vq->used));
		put_number(queue, "vector", le16toh(vq->vector));
		json_object_array_add(queues, queue);
	}
	json_object_object_add(out, "queues", queues);
}

static void describe_state(const u8 *bytes, size_t length, struct json_object *out)
{
	const struct net_state *state = (const void *)bytes;

	(void)length;
	put_mac(out, "mac", state->net.mac);
	put_mac(out, "identity_mac", state->net.ident_mac);
	put_hex(out, "status", state->virtio.status);
	put_hex(out, "driver_features", le64toh(state->virtio.driver_features));
	put_hex(out, "negotiated", le64toh(state->virtio.negotiated));
	put_number(out, "pairs", le16toh(state->net.pairs));
	put_number(out, "pairs_in_use", le16toh(state->net.cur_pairs));
	put_number(out, "mtu", le16toh(state->net.mtu));
	put_number(out, "link_up", state->net.link_up);
	put_hex(out, "offloads", le64toh(state->net.offloads));
	put_number(out, "unicast_filters", state->net.uni.count);
	put_number(out, "multicast_filters", state->net.multi.count);
	put_number(out, "rx_frames", le64toh(state->net.rx_frames));
	put_number(out, "tx_frames", le64toh(state->net.tx_frames));
	put_number(out, "rx_filtered", le64toh(state->net.rx_filtered));
	put_number(out, "tx_malformed", le64toh(state->net.tx_malformed));
	put_number(out, "commands", le64toh(state->net.commands));
	describe_queues(&state->virtio, out);
}

const struct model virtio_net_model = {
	.name = "virtio-net",
	.versions = { VFMIG_NET_STATE_OLDEST, VFMIG_NET_STATE_VERSION },
	.state_max = sizeof(struct net_state),
	.identity_check = identity_check,
	.like_check = like_check,
	.state_check = state_check,
	.describe_identity = describe_identity,
	.describe_state = describe_state,
};
