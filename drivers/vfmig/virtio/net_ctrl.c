// SPDX-License-Identifier: GPL-2.0-only
/*
 * The control virtqueue (VIRTIO 5.1.6.5): commands that change the filter, the MAC address,
 * the number of queues and the offloads.
 *
 * A command that is executed twice has the same result.  So if its buffer can't be
 * published now, it stays in the queue and is executed again.
 */
#include <linux/etherdevice.h>
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/unaligned.h>

#include "net.h"

/**
 * struct command - a command that is executed
 * @net: the device
 * @iter: position in the command's data
 * @left: bytes of data from there on
 * @cmd: command within its class
 */
struct command {
	struct vfmig_net *net;
	struct vfmig_vq_iter iter;
	u64 left;
	u8 cmd;
};

/* Read the next @len bytes of data; returns VIRTIO_NET_ERR if there are fewer */
static int get(struct command *command, void *buf, size_t len)
{
	if (len > command->left)
		return VIRTIO_NET_ERR;
	command->left -= len;
	return vfmig_iter_read(&command->net->dev, &command->iter, buf, len);
}

static int rx_mode(struct command *command)
{
	struct vfmig_net_filter *filter = &command->net->filter;
	unsigned int feature = command->cmd <= VIRTIO_NET_CTRL_RX_ALLMULTI ?
			       VIRTIO_NET_F_CTRL_RX : VIRTIO_NET_F_CTRL_RX_EXTRA;
	u8 on;
	int ret;

	if (command->cmd >= VFMIG_NET_RX_MODES || !vfmig_net_has(command->net, feature))
		return VIRTIO_NET_ERR;
	ret = get(command, &on, sizeof(on));
	if (ret)
		return ret;
	filter->chosen = true;
	if (on)
		filter->modes |= BIT(command->cmd);
	else
		filter->modes &= ~BIT(command->cmd);
	return VIRTIO_NET_OK;
}

/* One of the two tables of VIRTIO_NET_CTRL_MAC_TABLE_SET */
static int get_macs(struct command *command, struct vfmig_net_macs *macs)
{
	__le32 raw;
	u32 count;
	int ret;

	ret = get(command, &raw, sizeof(raw));
	if (ret)
		return ret;
	count = le32_to_cpu(raw);
	if ((u64)count * ETH_ALEN > command->left)
		return VIRTIO_NET_ERR;

	macs->overflow = count > VFMIG_NET_MACS;
	macs->count = macs->overflow ? 0 : count;
	if (macs->overflow) {
		vfmig_iter_skip(&command->iter, (size_t)count * ETH_ALEN);
		command->left -= (u64)count * ETH_ALEN;
		return 0;
	}
	return get(command, macs->mac, count * ETH_ALEN);
}

static int set_mac_table(struct command *command)
{
	struct vfmig_net *net = command->net;
	struct vfmig_net_macs uni = {}, multi = {};
	int ret;

	ret = get_macs(command, &uni);
	if (!ret)
		ret = get_macs(command, &multi);
	if (ret)
		return ret;
	net->filter.chosen = true;
	net->filter.uni = uni;
	net->filter.multi = multi;
	return VIRTIO_NET_OK;
}

static int set_mac_addr(struct command *command)
{
	struct vfmig_net *net = command->net;
	u8 mac[ETH_ALEN] __aligned(2);
	int ret;

	if (!vfmig_net_has(net, VIRTIO_NET_F_CTRL_MAC_ADDR))
		return VIRTIO_NET_ERR;
	ret = get(command, mac, sizeof(mac));
	if (ret)
		return ret;
	if (!vfmig_port_allows_mac(net->port, mac))
		return VIRTIO_NET_ERR;
	vfmig_net_set_mac(net, mac);
	vfmig_net_update_config(net);
	return VIRTIO_NET_OK;
}

static int mac(struct command *command)
{
	switch (command->cmd) {
	case VIRTIO_NET_CTRL_MAC_TABLE_SET:
		return vfmig_net_has(command->net, VIRTIO_NET_F_CTRL_RX) ?
		       set_mac_table(command) : VIRTIO_NET_ERR;
	case VIRTIO_NET_CTRL_MAC_ADDR_SET:
		return set_mac_addr(command);
	default:
		return VIRTIO_NET_ERR;
	}
}

static int vlan(struct command *command)
{
	struct vfmig_net *net = command->net;
	__le16 raw;
	u16 vid;
	int ret;

	if (!vfmig_net_has(net, VIRTIO_NET_F_CTRL_VLAN))
		return VIRTIO_NET_ERR;
	ret = get(command, &raw, sizeof(raw));
	if (ret)
		return ret;
	vid = le16_to_cpu(raw);
	if (vid >= VLAN_N_VID)
		return VIRTIO_NET_ERR;
	vid = array_index_nospec(vid, VLAN_N_VID);

	switch (command->cmd) {
	case VIRTIO_NET_CTRL_VLAN_ADD:
		__set_bit(vid, net->filter.vlans);
		return VIRTIO_NET_OK;
	case VIRTIO_NET_CTRL_VLAN_DEL:
		__clear_bit(vid, net->filter.vlans);
		return VIRTIO_NET_OK;
	default:
		return VIRTIO_NET_ERR;
	}
}

static int announce(struct command *command)
{
	struct vfmig_net *net = command->net;

	if (command->cmd != VIRTIO_NET_CTRL_ANNOUNCE_ACK ||
	    !vfmig_net_has(net, VIRTIO_NET_F_GUEST_ANNOUNCE))
		return VIRTIO_NET_ERR;
	net->announce = false;
	vfmig_net_update_config(net);
	return VIRTIO_NET_OK;
}

static int mq(struct command *command)
{
	struct vfmig_net *net = command->net;
	__le16 raw;
	u16 pairs;
	int ret;

	if (command->cmd != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
	    !vfmig_net_has(net, VIRTIO_NET_F_MQ))
		return VIRTIO_NET_ERR;
	ret = get(command, &raw, sizeof(raw));
	if (ret)
		return ret;
	pairs = le16_to_cpu(raw);
	if (!pairs || pairs > net->pairs)
		return VIRTIO_NET_ERR;
	net->cur_pairs = pairs;
	/* Frames that waited for buffers of one pair may go to another */
	bitmap_fill(net->rx_pending, net->max_pairs);
	return VIRTIO_NET_OK;
}

static int guest_offloads(struct command *command)
{
	struct vfmig_net *net = command->net;
	u64 offloads;
	__le64 raw;
	int ret;

	if (command->cmd != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
	    !vfmig_net_has(net, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))
		return VIRTIO_NET_ERR;
	ret = get(command, &raw, sizeof(raw));
	if (ret)
		return ret;
	offloads = le64_to_cpu(raw);
	if (offloads & ~(net->dev.negotiated & VFMIG_NET_GUEST_OFFLOADS))
		return VIRTIO_NET_ERR;
	net->offloads = offloads;
	vfmig_net_update_wire(net);
	return VIRTIO_NET_OK;
}

static int (*const classes[])(struct command *command) = {
	[VIRTIO_NET_CTRL_RX] = rx_mode,
	[VIRTIO_NET_CTRL_MAC] = mac,
	[VIRTIO_NET_CTRL_VLAN] = vlan,
	[VIRTIO_NET_CTRL_ANNOUNCE] = announce,
	[VIRTIO_NET_CTRL_MQ] = mq,
	[VIRTIO_NET_CTRL_GUEST_OFFLOADS] = guest_offloads,
};

/*
 * Execute the command in the current buffer.  Returns VIRTIO_NET_OK, VIRTIO_NET_ERR, or an error
 * of the queue, which is negative.
 */
static int execute(struct vfmig_net *net)
{
	const struct vfmig_vq_chain *chain = net->dev.chain;
	struct command command = {
		.net = net,
		.iter = vfmig_chain_out(chain),
		.left = chain->out_len,
	};
	struct virtio_net_ctrl_hdr header;
	int ret;

	ret = get(&command, &header, sizeof(header));
	if (ret)
		return ret;
	if (header.class >= ARRAY_SIZE(classes))
		return VIRTIO_NET_ERR;
	command.cmd = header.cmd;
	return classes[array_index_nospec(header.class, ARRAY_SIZE(classes))](&command);
}

/* Returns 1, 0 if there is no command, or an error */
static int next_command(struct vfmig_net *net, struct vfmig_vq *vq)
{
	struct vfmig_virtio *dev = &net->dev;
	struct vfmig_vq_iter iter;
	int ret, result;
	u8 ack;

	ret = vfmig_vq_pop(dev, vq, dev->chain);
	if (ret <= 0)
		return ret;
	if (!dev->chain->in_len) {
		vfmig_virtio_broken(dev, "control command without room for its result");
		return -EPROTO;
	}
	result = execute(net);
	if (result < 0)
		return result;
	ack = result;
	iter = vfmig_chain_in(dev->chain);
	ret = vfmig_iter_write(dev, &iter, &ack, sizeof(ack));
	if (!ret)
		ret = vfmig_vq_put(dev, vq, 0, dev->chain, sizeof(ack));
	if (!ret)
		ret = vfmig_vq_publish(dev, vq, 1);
	if (ret)
		return ret;
	/* Here, because a command that can't be published is executed again */
	net->counts.commands++;
	return 1;
}

/* Execute what is in the control queue; returns true if there may be more */
bool vfmig_net_ctrl(struct vfmig_net *net, struct vfmig_vq *vq)
{
	struct vfmig_virtio *dev = &net->dev;
	unsigned int index = vq - dev->vq;
	int ret;

	ret = vfmig_vq_quiet(dev, vq);
	for (unsigned int n = 0; !ret; n++) {
		if (n == VFMIG_NET_CTRL_MAX || vfmig_lock_is_wanted(&dev->lock))
			return true;
		ret = next_command(net, vq);
		if (!ret)
			ret = vfmig_vq_listen(dev, vq);
		if (!ret) {
			__clear_bit(index, dev->notified);
			return false;
		}
		ret = min(ret, 0);
	}
	vfmig_vq_rewind(vq);
	return false;
}
