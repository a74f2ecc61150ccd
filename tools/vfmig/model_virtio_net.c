// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device model "virtio-net": its part of an identity, and its state.  The checks of the state
 * are those of drivers/vfmig/virtio/state.c and net_state.c.
 */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_pci.h>

#include <json-c/json.h>

#include "model.h"

/* They need what types.h has */
#include "../../drivers/vfmig/virtio/features.h"
#include "../../drivers/vfmig/virtio/format.h"

#define MAX_PAIRS	((VFMIG_VIRTIO_VQS - 1) / 2)
#define RX_MODES	(VIRTIO_NET_CTRL_RX_NOBCAST + 1)

#define STATUS_BITS	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |		\
			 VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK |	\
			 VIRTIO_CONFIG_S_NEEDS_RESET | VIRTIO_CONFIG_S_FAILED)

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

static bool vector_valid(u16 vector)
{
	return vector < VFMIG_VIRTIO_VECTORS || vector == VIRTIO_MSI_NO_VECTOR;
}

static bool status_valid(u8 status)
{
	return !(status & ~STATUS_BITS) &&
	       (!(status & VIRTIO_CONFIG_S_DRIVER_OK) || (status & VIRTIO_CONFIG_S_FEATURES_OK));
}

static bool features_valid(const struct stream_identity *id, u64 features)
{
	const struct vfmig_virtio_net_identity *data = (const void *)id->data;

	return !(features & ~le64toh(data->features)) &&
	       (features & BIT_ULL(VIRTIO_F_VERSION_1)) && vfmig_net_features_ok(features);
}

static bool registers_valid(const struct stream_identity *id,
			    const struct vfmig_virtio_state *state)
{
	u64 negotiated = le64toh(state->negotiated);

	if ((state->flags & ~STATE_FLAGS) ||
	    !all_zero(state->reserved, sizeof(state->reserved)) ||
	    !all_zero(state->cap.reserved, sizeof(state->cap.reserved)) ||
	    (state->isr & ~3U) || !vector_valid(le16toh(state->config_vector)) ||
	    !status_valid(state->status) || !status_valid(state->status_seen))
		return false;
	if ((state->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    !features_valid(id, le64toh(state->driver_features)))
		return false;
	if (!(state->status_seen & VIRTIO_CONFIG_S_DRIVER_OK))
		return !negotiated;
	return features_valid(id, negotiated);
}

/* Does what the device saw follow from what the driver wrote?  A reset comes between them. */
static bool seen_valid(const struct vfmig_virtio_state *state)
{
	if (state->flags & STATE_RESETTING)
		return true;
	if ((state->status_seen & ~state->status) ||
	    ((state->flags & STATE_BROKEN) && !(state->status & VIRTIO_CONFIG_S_NEEDS_RESET)))
		return false;
	return !(state->status_seen & VIRTIO_CONFIG_S_DRIVER_OK) ||
	       state->negotiated == state->driver_features;
}

static bool vq_size_valid(u16 size, bool packed)
{
	return size && size <= VFMIG_VQ_SIZE_MAX && (packed || !(size & (size - 1)));
}

static bool vq_pos_valid(const struct vfmig_virtio_state_vq *vq, bool packed)
{
	u16 avail = le16toh(vq->avail), used = le16toh(vq->used);

	if (!(vq->flags & VQ_TAKEN))
		return !avail && !used && !(vq->flags & (VQ_AVAIL_WRAP | VQ_USED_WRAP));
	return !packed || (avail < le16toh(vq->size) && used < le16toh(vq->size));
}

static bool vq_valid(const struct vfmig_virtio_state *state, unsigned int i)
{
	const struct vfmig_virtio_state_vq *vq = &state->vq[i];
	bool packed = le64toh(state->driver_features) & BIT_ULL(VIRTIO_F_RING_PACKED);
	bool resetting = state->flags & STATE_RESETTING;

	if ((vq->state & ~VFMIG_VQ_STATES) || (vq->flags & ~VQ_FLAGS) ||
	    !all_zero(vq->reserved, sizeof(vq->reserved)) || !vector_valid(le16toh(vq->vector)))
		return false;
	if (i >= le16toh(state->nr_vqs) && (vq->state || vq->flags))
		return false;
	if (vq->state & VFMIG_VQ_ENABLED) {
		if (!(state->status & VIRTIO_CONFIG_S_FEATURES_OK) ||
		    !vq_size_valid(le16toh(vq->size), packed))
			return false;
	} else if (vq->state & VFMIG_VQ_RESETTING) {
		return false;
	}
	if ((vq->flags & VQ_TAKEN) && !resetting &&
	    (!(vq->state & VFMIG_VQ_ENABLED) || !(state->status_seen & VIRTIO_CONFIG_S_DRIVER_OK)))
		return false;
	return resetting || vq_pos_valid(vq, packed);
}

static const char *virtio_check(const struct stream_identity *id,
				const struct vfmig_virtio_state *state, size_t *where)
{
	u16 nr_vqs = le16toh(state->nr_vqs);

	*where = offsetof(struct vfmig_virtio_state, nr_vqs);
	if (!nr_vqs || nr_vqs > VFMIG_VIRTIO_VQS)
		return "number of queues";
	*where = 0;
	if (!registers_valid(id, state) || !seen_valid(state))
		return "registers";
	for (unsigned int i = 0; i < VFMIG_VIRTIO_VQS; i++) {
		*where = offsetof(struct vfmig_virtio_state, vq) + i * sizeof(state->vq[0]);
		if (!vq_valid(state, i))
			return "queues";
	}
	return NULL;
}

static bool mac_valid(const u8 *mac)
{
	return !(mac[0] & 1) && !all_zero(mac, ETH_ALEN);
}

static bool macs_valid(const struct vfmig_net_state_macs *macs)
{
	return macs->count <= VFMIG_NET_MACS && macs->overflow <= 1 &&
	       (!macs->count || !macs->overflow);
}

#define AT(field)	\
	(sizeof(struct vfmig_virtio_state) + offsetof(struct vfmig_net_state, field))

static const char *net_check(const struct stream_identity *id, const struct net_state *all,
			     size_t *where)
{
	const struct vfmig_net_state *state = &all->net;
	u16 pairs = le16toh(state->pairs), cur_pairs = le16toh(state->cur_pairs);
	u64 features = le64toh(all->virtio.negotiated);
	u16 mtu = le16toh(state->mtu);

	*where = AT(mac);
	if (!mac_valid(state->mac) || !mac_valid(state->ident_mac))
		return "MAC address";
	*where = AT(ident_tag);
	if (id->model_version < VFMIG_NET_STATE_TAG &&
	    !all_zero(state->ident_tag, sizeof(state->ident_tag)))
		return "bytes that are reserved in this version";
	*where = AT(pairs);
	if (!pairs || pairs > MAX_PAIRS || le16toh(all->virtio.nr_vqs) != 2 * pairs + 1)
		return "number of queues";
	*where = AT(cur_pairs);
	if (!cur_pairs || cur_pairs > pairs ||
	    (cur_pairs > 1 && !(features & BIT_ULL(VIRTIO_NET_F_MQ))))
		return "number of queues in use";
	*where = AT(mtu);
	if (mtu < VFMIG_NET_MIN_MTU || mtu > VFMIG_PORT_MAX_MTU)
		return "MTU";
	*where = AT(offloads);
	if (le64toh(state->offloads) & ~(features & VFMIG_NET_GUEST_OFFLOADS))
		return "offloads";
	*where = AT(announce);
	if (state->announce > 1 || state->link_up > 1 || state->chosen > 1 ||
	    (state->modes >> RX_MODES) || !macs_valid(&state->uni) || !macs_valid(&state->multi))
		return "filter";
	return NULL;
}

static const char *state_check(const struct stream_identity *id, const u8 *bytes, size_t length,
			       size_t *where)
{
	const struct net_state *state = (const void *)bytes;
	const char *why;

	*where = length;
	if (length != sizeof(*state))
		return "length of the state";
	why = virtio_check(id, &state->virtio, where);
	return why ? why : net_check(id, state, where);
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
	.versions = { 1, 2 },
	.state_max = sizeof(struct net_state),
	.identity_check = identity_check,
	.like_check = like_check,
	.state_check = state_check,
	.describe_identity = describe_identity,
	.describe_state = describe_state,
};
