// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of a network device as bytes, besides that of any virtio device: addresses,
 * filters, offloads, statistics.  And what a destination must have in common with the
 * source.
 */
#include <linux/etherdevice.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "net.h"
#include "state_check.h"

#define VFMIG_NET_MODEL_NAME	"virtio-net"

static_assert(sizeof(struct vfmig_net_state) == VFMIG_NET_STATE_SIZE);
static_assert(sizeof_field(struct vfmig_net_state, vlans) == VLAN_N_VID / 8);

void vfmig_net_identity(struct vfmig_virtio *dev, struct vfmig_vf_identity *id)
{
	struct vfmig_net *net = vfmig_net_of(dev);
	const struct vfmig_virtio_net_identity data = {
		.features = cpu_to_le64(dev->features),
		.pairs = cpu_to_le16(READ_ONCE(net->pairs)),
		.queue_size = cpu_to_le16(VFMIG_VQ_SIZE_MAX),
		.vectors = cpu_to_le16(VFMIG_VIRTIO_VECTORS),
		.speed = cpu_to_le32(VFMIG_PORT_SPEED),
	};

	strscpy(id->model, VFMIG_NET_MODEL_NAME);
	id->model_version = VFMIG_NET_STATE_VERSION;
	memcpy(id->data, &data, sizeof(data));
	id->data_length = sizeof(data);
}

const char *vfmig_net_identity_check(struct vfmig_virtio *dev, const struct vfmig_vf_identity *id)
{
	const struct vfmig_virtio_net_identity *data = (const void *)id->data;
	struct vfmig_net *net = vfmig_net_of(dev);

	if (id->model_version < VFMIG_NET_STATE_OLDEST ||
	    id->model_version > VFMIG_NET_STATE_VERSION)
		return "its device is of a version that is not known here";
	if (id->data_length != sizeof(*data) || data->reserved || data->reserved2)
		return "its virtio-net part makes no sense";
	if (le64_to_cpu(data->features) != dev->features)
		return "it offers other features";
	if (!data->pairs || le16_to_cpu(data->pairs) > net->max_pairs)
		return "it has more queues";
	if (le16_to_cpu(data->queue_size) != VFMIG_VQ_SIZE_MAX)
		return "its queues have another size";
	if (le16_to_cpu(data->vectors) != VFMIG_VIRTIO_VECTORS)
		return "it has another number of vectors";
	if (le32_to_cpu(data->speed) != VFMIG_PORT_SPEED)
		return "it has another speed";
	return NULL;
}

static void save_macs(const struct vfmig_net_macs *macs, struct vfmig_net_state_macs *out)
{
	out->count = macs->count;
	out->overflow = macs->overflow;
	memcpy(out->mac, macs->mac, macs->count * ETH_ALEN);
}

/* With the lock held; @buf is zeroed */
void vfmig_net_state_save(struct vfmig_virtio *dev, void *buf)
{
	const struct vfmig_net *net = vfmig_net_of(dev);
	const struct vfmig_net_filter *filter = &net->filter;
	struct vfmig_net_state *state = buf;
	unsigned int vid;

	ether_addr_copy(state->mac, net->mac);
	ether_addr_copy(state->ident_mac, net->ident_mac);
	memcpy(state->ident_tag, net->ident_tag, sizeof(state->ident_tag));
	state->pairs = cpu_to_le16(net->pairs);
	state->cur_pairs = cpu_to_le16(net->cur_pairs);
	state->mtu = cpu_to_le16(net->mtu);
	state->announce = net->announce;
	state->link_up = net->link_up;
	state->offloads = cpu_to_le64(net->offloads);
	state->modes = filter->modes;
	state->chosen = filter->chosen;
	for_each_set_bit(vid, filter->vlans, VLAN_N_VID)
		state->vlans[vid / 8] |= BIT(vid % 8);
	save_macs(&filter->uni, &state->uni);
	save_macs(&filter->multi, &state->multi);
	state->rx_frames = cpu_to_le64(net->counts.rx_frames);
	state->tx_frames = cpu_to_le64(net->counts.tx_frames);
	state->rx_filtered = cpu_to_le64(net->counts.rx_filtered);
	state->tx_malformed = cpu_to_le64(net->counts.tx_malformed);
	state->commands = cpu_to_le64(net->counts.commands);
}

/* The administrator can give this VF an address at any time, so its port decides about that */
const char *vfmig_net_state_refusal(struct vfmig_virtio *dev, u32 version,
				    const struct vfmig_virtio_state *state, const void *buf)
{
	const struct vfmig_net *net = vfmig_net_of(dev);
	const struct vfmig_net_limits limits = { .pairs = net->max_pairs, .version = version };
	const struct vfmig_net_state *own = buf;
	size_t where;

	if (is_valid_ether_addr(own->mac) && !vfmig_port_allows_mac(net->port, own->mac))
		return "MAC address: the administrator gave this VF another one";
	return vfmig_net_state_check(own, state, &limits, &where);
}

static void apply_macs(struct vfmig_net_macs *macs, const struct vfmig_net_state_macs *in)
{
	macs->count = in->count;
	macs->overflow = in->overflow;
	memcpy(macs->mac, in->mac, macs->count * ETH_ALEN);
}

/* With the lock held */
void vfmig_net_state_apply(struct vfmig_virtio *dev, const void *buf)
{
	const struct vfmig_net_state *state = buf;
	struct vfmig_net *net = vfmig_net_of(dev);
	struct vfmig_net_filter *filter = &net->filter;

	/* Frames that wait are for the guest that was here before */
	vfmig_net_wire_down(net);
	vfmig_net_tx_reset(net);
	vfmig_net_ident_take(net, state->ident_mac, state->ident_tag);
	vfmig_net_set_mac(net, state->mac);
	WRITE_ONCE(net->pairs, le16_to_cpu(state->pairs));
	net->cur_pairs = le16_to_cpu(state->cur_pairs);
	net->mtu = le16_to_cpu(state->mtu);
	net->announce = state->announce;
	net->rarp_due = false;
	net->link_up = state->link_up;
	net->offloads = le64_to_cpu(state->offloads);

	vfmig_net_filter_reset(filter);
	filter->modes = state->modes;
	filter->chosen = state->chosen;
	for (unsigned int vid = 0; vid < VLAN_N_VID; vid++)
		if (state->vlans[vid / 8] & BIT(vid % 8))
			__set_bit(vid, filter->vlans);
	apply_macs(&filter->uni, &state->uni);
	apply_macs(&filter->multi, &state->multi);

	net->counts = (struct vfmig_net_counts) {
		.rx_frames = le64_to_cpu(state->rx_frames),
		.tx_frames = le64_to_cpu(state->tx_frames),
		.rx_filtered = le64_to_cpu(state->rx_filtered),
		.tx_malformed = le64_to_cpu(state->tx_malformed),
		.commands = le64_to_cpu(state->commands),
	};
	vfmig_net_update_config(net);
	/* Frames for the guest that arrive at its new place wait until it runs */
	vfmig_net_update_wire(net);
}
