// SPDX-License-Identifier: GPL-2.0-only
/*
 * A virtio network device: its features and configuration (VIRTIO 5.1.3, 5.1.4), its life,
 * and its batch of work.
 *
 * The wire and the guest meet in the worker.  It moves frames between the queues of the
 * port and the virtqueues, and does so only while the device runs.  So nothing is sent and
 * nothing is received in RUNNING_P2P and STOP; the port queues what arrives then, and drops
 * what it has no room for.
 */
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/slab.h>

#include "net.h"

#define VFMIG_NET_FEATURES							\
	(BIT_ULL(VIRTIO_NET_F_CSUM) | BIT_ULL(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |	\
	 BIT_ULL(VIRTIO_NET_F_MTU) | BIT_ULL(VIRTIO_NET_F_MAC) |		\
	 BIT_ULL(VIRTIO_NET_F_HOST_TSO4) | BIT_ULL(VIRTIO_NET_F_HOST_TSO6) |	\
	 BIT_ULL(VIRTIO_NET_F_HOST_ECN) | BIT_ULL(VIRTIO_NET_F_HOST_USO) |	\
	 BIT_ULL(VIRTIO_NET_F_MRG_RXBUF) | BIT_ULL(VIRTIO_NET_F_STATUS) |	\
	 BIT_ULL(VIRTIO_NET_F_CTRL_VQ) | BIT_ULL(VIRTIO_NET_F_CTRL_RX) |	\
	 BIT_ULL(VIRTIO_NET_F_CTRL_VLAN) | BIT_ULL(VIRTIO_NET_F_CTRL_RX_EXTRA) |	\
	 BIT_ULL(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT_ULL(VIRTIO_NET_F_MQ) |	\
	 BIT_ULL(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT_ULL(VIRTIO_NET_F_SPEED_DUPLEX) |	\
	 VFMIG_NET_GUEST_OFFLOADS)

/* Bring the configuration that the guest sees up to date; the lock is held */
void vfmig_net_update_config(struct vfmig_net *net)
{
	u16 status = (net->link_up ? VIRTIO_NET_S_LINK_UP : 0) |
		     (net->announce ? VIRTIO_NET_S_ANNOUNCE : 0);
	struct virtio_net_config config = {
		.status = __cpu_to_virtio16(true, status),
		.max_virtqueue_pairs = __cpu_to_virtio16(true, net->pairs),
		.mtu = __cpu_to_virtio16(true, net->mtu),
		.speed = cpu_to_le32(VFMIG_PORT_SPEED),
		.duplex = 1,
	};

	ether_addr_copy(config.mac, net->mac);
	vfmig_virtio_set_config(&net->dev, &config);
}

/* What the guest takes, in the words of the host's stack */
static netdev_features_t wire_features(const struct vfmig_net *net)
{
	netdev_features_t features = 0;

	if (net->offloads & BIT_ULL(VIRTIO_NET_F_GUEST_CSUM))
		features |= NETIF_F_HW_CSUM;
	if (net->offloads & BIT_ULL(VIRTIO_NET_F_GUEST_TSO4))
		features |= NETIF_F_TSO;
	if (net->offloads & BIT_ULL(VIRTIO_NET_F_GUEST_TSO6))
		features |= NETIF_F_TSO6;
	if (net->offloads & BIT_ULL(VIRTIO_NET_F_GUEST_ECN))
		features |= NETIF_F_TSO_ECN;
	if ((net->offloads & BIT_ULL(VIRTIO_NET_F_GUEST_USO4)) &&
	    (net->offloads & BIT_ULL(VIRTIO_NET_F_GUEST_USO6)))
		features |= NETIF_F_GSO_UDP_L4;
	return features;
}

/* Tell the port what the device can do now; the lock is held */
static void set_wire(struct vfmig_net *net, enum vfmig_net_wire wire)
{
	if (net->wire == wire)
		return;
	net->wire = wire;
	switch (wire) {
	case VFMIG_NET_DOWN:
		vfmig_port_down(net->port);
		break;
	case VFMIG_NET_UP:
		vfmig_port_up(net->port, wire_features(net));
		break;
	case VFMIG_NET_HOLD:
		vfmig_port_hold(net->port, wire_features(net));
		break;
	}
}

void vfmig_net_wire_down(struct vfmig_net *net)
{
	set_wire(net, VFMIG_NET_DOWN);
}

void vfmig_net_update_wire(struct vfmig_net *net)
{
	if (!vfmig_virtio_ready(&net->dev))
		set_wire(net, VFMIG_NET_DOWN);
	else if (!vfmig_is_running(&net->dev.running))
		set_wire(net, VFMIG_NET_HOLD);
	else if (net->wire == VFMIG_NET_UP)
		vfmig_port_up(net->port, wire_features(net));
	else
		set_wire(net, VFMIG_NET_UP);
}

void vfmig_net_set_mac(struct vfmig_net *net, const u8 *mac)
{
	ether_addr_copy(net->mac, mac);
	vfmig_port_set_mac(net->port, mac);
}

/* The MAC address after a reset: the administrator's, else the device's own */
static void reset_mac(struct vfmig_net *net)
{
	u8 mac[ETH_ALEN] __aligned(2);

	if (!vfmig_port_admin_mac(net->port, mac))
		vfmig_net_ident_get(net, mac);
	vfmig_net_set_mac(net, mac);
}

/* Follow the port's settings; the lock is held.  The MTU changes with a reset only. */
static void take_settings(struct vfmig_net *net, bool reset)
{
	struct vfmig_port_settings settings;
	bool link_was_up = net->link_up;

	vfmig_port_get_settings(net->port, &settings);
	net->link_up = settings.link_up;
	net->trusted = settings.trusted;
	if (reset || !net->dev.status) {
		net->mtu = clamp_t(unsigned int, settings.mtu, VFMIG_NET_MIN_MTU,
				   VFMIG_PORT_MAX_MTU);
		reset_mac(net);
	}
	vfmig_net_update_config(net);
	if (!reset && net->link_up != link_was_up)
		vfmig_virtio_config_irq(&net->dev);
}

/* With the lock held */
static void vfmig_net_reset(struct vfmig_virtio *dev)
{
	struct vfmig_net *net = vfmig_net_of(dev);

	set_wire(net, VFMIG_NET_DOWN);
	net->cur_pairs = 1;
	net->announce = false;
	net->rarp_due = false;
	net->offloads = 0;
	vfmig_net_filter_reset(&net->filter);
	bitmap_zero(net->rx_pending, VFMIG_NET_MAX_PAIRS);
	vfmig_net_tx_reset(net);
	bitmap_zero(net->rx_starved, VFMIG_NET_MAX_PAIRS);
	clear_bit(0, &net->changed);
	take_settings(net, true);
}

/* The driver is ready: begin to move frames */
static void start(struct vfmig_net *net)
{
	/* After a load and a reset this is how a guest begins to use it */
	vfmig_net_ident_run(net);
	net->offloads = net->dev.negotiated & VFMIG_NET_GUEST_OFFLOADS;
	/* Without the filter all VLANs pass (VIRTIO 5.1.6.5.3) */
	if (!vfmig_net_has(net, VIRTIO_NET_F_CTRL_VLAN))
		bitmap_fill(net->filter.vlans, VLAN_N_VID);
	set_wire(net, VFMIG_NET_UP);
}

/* Look at what the guest's notifications and the port's wakes are for */
static void take_wakes(struct vfmig_net *net)
{
	unsigned int i;

	for_each_set_bit(i, net->woken, VFMIG_NET_MAX_PAIRS) {
		clear_bit(i, net->woken);
		/* Before a look into the port's queue */
		smp_mb__after_atomic();
		__set_bit(i, net->rx_pending);
		__set_bit(i, net->tx_pending);
	}
	for_each_set_bit(i, net->dev.notified, VFMIG_VIRTIO_VQS) {
		if (i == vfmig_net_ctrl_index(net))
			continue;
		__clear_bit(i, net->dev.notified);
		if (i >= 2 * net->pairs)
			continue;
		if (i % 2) {
			__set_bit(i / 2, net->tx_pending);
			continue;
		}
		/* Any queue of the port can lead there */
		__clear_bit(i / 2, net->rx_starved);
		bitmap_fill(net->rx_pending, net->max_pairs);
	}
}

/* A turn of each pair; returns true if the batch is over and there may be more to do */
static bool move_frames(struct vfmig_net *net)
{
	/* One for each direction: a guest that sends all the time must receive too */
	unsigned int tx_budget = VFMIG_NET_BATCH, rx_budget = VFMIG_NET_BATCH;
	bool more = false;

	for (unsigned int i = 0; i < net->max_pairs; i++) {
		unsigned int pair = net->next_pair;

		net->next_pair = (pair + 1) % net->max_pairs;
		if (test_bit(pair, net->tx_pending) || test_bit(pair, net->tx_lull))
			more |= vfmig_net_tx(net, pair, &tx_budget);
		if (vfmig_virtio_must_stop(&net->dev))
			return false;
		if (test_bit(pair, net->rx_pending))
			more |= vfmig_net_rx(net, pair, &rx_budget);
		if (vfmig_virtio_must_stop(&net->dev))
			return false;
		vfmig_virtio_flush_irqs(&net->dev);
		if (!tx_budget || !rx_budget || vfmig_lock_is_wanted(&net->dev.lock))
			return true;
	}
	return more;
}

/* Control commands, then frames */
static bool move_all(struct vfmig_net *net)
{
	unsigned int ctrl = vfmig_net_ctrl_index(net);
	struct vfmig_virtio *dev = &net->dev;
	bool more = false;

	if (vfmig_net_has(net, VIRTIO_NET_F_CTRL_VQ) && dev->vq[ctrl].ops &&
	    test_bit(ctrl, dev->notified))
		more = vfmig_net_ctrl(net, &dev->vq[ctrl]);
	if (vfmig_virtio_must_stop(dev))
		return false;
	take_wakes(net);
	return move_frames(net) || more;
}

/* With the lock held, while the device runs */
static bool vfmig_net_process(struct vfmig_virtio *dev)
{
	struct vfmig_net *net = vfmig_net_of(dev);
	bool more = false;

	if (test_and_clear_bit(0, &net->changed))
		take_settings(net, false);
	if (vfmig_virtio_ready(dev)) {
		if (net->wire == VFMIG_NET_DOWN)
			start(net);
		/* The port did not take it at once, and has woken the worker since */
		if (net->rarp_due)
			vfmig_net_send_rarp(net);
		more = move_all(net);
		if (!more)
			vfmig_net_tx_arm(net);
	}
	/* The driver may have made the device need a reset */
	if (!vfmig_virtio_ready(dev))
		set_wire(net, VFMIG_NET_DOWN);
	return more;
}

static bool vfmig_net_wait(struct vfmig_virtio *dev)
{
	return vfmig_net_make_room(vfmig_net_of(dev));
}

static void vfmig_net_stopped(struct vfmig_virtio *dev)
{
	vfmig_net_update_wire(vfmig_net_of(dev));
}

static void vfmig_net_resumed(struct vfmig_virtio *dev, bool loaded)
{
	struct vfmig_net *net = vfmig_net_of(dev);

	vfmig_net_ident_run(net);
	take_settings(net, false);
	if (vfmig_virtio_ready(dev)) {
		/* Down: the driver has become ready while the device was stopped */
		if (net->wire == VFMIG_NET_DOWN)
			start(net);
		else
			set_wire(net, VFMIG_NET_UP);
		if (loaded)
			vfmig_net_announce(net);
	}
	/* The guest may have missed one, at the source too: a change, or the need of a reset */
	vfmig_virtio_config_irq(dev);
	bitmap_fill(net->rx_pending, net->max_pairs);
	bitmap_fill(net->tx_pending, net->max_pairs);
}

static void vfmig_net_lost(struct vfmig_virtio *dev, bool closed)
{
	vfmig_net_ident_lost(vfmig_net_of(dev), closed);
}

static void vfmig_net_kept(struct vfmig_virtio *dev)
{
	vfmig_net_ident_keep(vfmig_net_of(dev));
}

static void vfmig_net_given(struct vfmig_virtio *dev)
{
	vfmig_net_ident_give(vfmig_net_of(dev));
}

/* The guest sees as many pairs; the lock is held, or the device is not in use yet */
static void set_pairs(struct vfmig_net *net, unsigned int pairs)
{
	unsigned long flags;

	WRITE_ONCE(net->pairs, pairs);
	raw_spin_lock_irqsave(&net->dev.latch.lock, flags);
	net->dev.latch.nr_vqs = 2 * pairs + 1;
	raw_spin_unlock_irqrestore(&net->dev.latch.lock, flags);
}

/* With the lock held */
static void vfmig_net_opened(struct vfmig_virtio *dev)
{
	struct vfmig_net *net = vfmig_net_of(dev);

	vfmig_net_ident_open(net);
	/* The guest that was here before may have come from a VF with fewer */
	set_pairs(net, net->max_pairs);
}

static const struct vfmig_virtio_type vfmig_net_type = {
	.features = VFMIG_NET_FEATURES,
	.config_size = sizeof(struct virtio_net_config),
	.features_ok = vfmig_net_features_ok,
	.reset = vfmig_net_reset,
	.process = vfmig_net_process,
	.wait = vfmig_net_wait,
	.opened = vfmig_net_opened,
	.stopped = vfmig_net_stopped,
	.resumed = vfmig_net_resumed,
	.lost = vfmig_net_lost,
	.kept = vfmig_net_kept,
	.given = vfmig_net_given,
	.identity = vfmig_net_identity,
	.identity_check = vfmig_net_identity_check,
	.state_version = VFMIG_NET_STATE_VERSION,
	.state_oldest = VFMIG_NET_STATE_OLDEST,
	.state_size = VFMIG_NET_STATE_SIZE,
	.state_save = vfmig_net_state_save,
	.state_refusal = vfmig_net_state_refusal,
	.state_apply = vfmig_net_state_apply,
};

/* From the port, in any context */
static void vfmig_net_wake(void *vf, unsigned int queue)
{
	struct vfmig_net *net = vf;

	set_bit(queue, net->woken);
	vfmig_worker_kick(&net->dev.worker);
}

/* From the port, in any context */
static void vfmig_net_changed(void *vf)
{
	struct vfmig_net *net = vf;

	set_bit(0, &net->changed);
	vfmig_worker_kick(&net->dev.worker);
}

static const struct vfmig_port_ops vfmig_net_port_ops = {
	.wake = vfmig_net_wake,
	.changed = vfmig_net_changed,
};

static void vfmig_net_free(struct vfmig_net *net)
{
	vfmig_virtio_destroy(&net->dev);
	kvfree(net->merge);
	kvfree(net);
}

static struct vfmig_net *vfmig_net_alloc(struct vfmig_fn *fn, const struct vfmig_net_config *config)
{
	struct vfmig_net *net;
	int ret;

	net = kvzalloc(sizeof(*net), GFP_KERNEL);
	if (!net)
		return ERR_PTR(-ENOMEM);
	net->max_pairs = config->queue_pairs;
	ret = vfmig_virtio_init(&net->dev, &vfmig_net_type, fn);
	if (ret) {
		kvfree(net);
		return ERR_PTR(ret);
	}
	set_pairs(net, net->max_pairs);
	if (net->max_pairs == 1)
		net->dev.features &= ~BIT_ULL(VIRTIO_NET_F_MQ);
	if (!config->packed)
		net->dev.features &= ~BIT_ULL(VIRTIO_F_RING_PACKED);
	net->merge = kvzalloc(sizeof(*net->merge), GFP_KERNEL);
	if (net->merge)
		return net;
	vfmig_net_free(net);
	return ERR_PTR(-ENOMEM);
}

/* A device in its power-on state, at port @index of the switch @pf; or an ERR_PTR */
void *vfmig_net_create(void *pf, struct vfmig_fn *fn, unsigned int index,
		       const struct vfmig_net_config *config)
{
	struct vfmig_net *net = vfmig_net_alloc(fn, config);
	struct vfmig_port *port;

	if (IS_ERR(net))
		return net;
	vfmig_net_ident_add(net);
	port = vfmig_port_create(pf, index, net->max_pairs, &vfmig_net_port_ops, net);
	if (IS_ERR(port)) {
		vfmig_net_ident_del(net);
		vfmig_net_free(net);
		return port;
	}
	guard(vfmig_virtio)(&net->dev);
	net->port = port;
	vfmig_virtio_power_on(&net->dev);
	return &net->dev;
}

/* Nobody has a handle any more, or the VF open: the worker is nowhere */
void vfmig_net_destroy(void *vf)
{
	struct vfmig_net *net = vfmig_net_of(vf);

	vfmig_net_ident_del(net);
	vfmig_port_destroy(net->port);
	vfmig_net_free(net);
}
