// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hostile guest of a virtio-net VF.  Threads write to the registers, to descriptors, indexes and
 * tables of both layouts, and send control commands of any length, while the host sends frames.
 * The VF is set up with queues that may be anywhere, is reset, and moves.  After that it must work
 * as new.
 */
#include <stdlib.h>
#include <string.h>

#include "guest_net.h"

#define EPISODE_STEPS	64
#define STEP_MS		20
/* Queues, their tables, and buffers of as many pairs, for the hostile guest and for the driver */
#define LAND_SIZE	MIB(16)

static const char * const names[N_COUNTS] = {
	[REGISTERS] = "accesses to BAR 0", [KICKS] = "kicks",
	[RINGS] = "stores to rings and tables", [CONTROLS] = "control commands",
	[FRAMES] = "frames that the host sent", [N_SETUPS] = "drivers that set the VF up",
	[N_BROKEN] = "of these until the VF needed a reset",
	[N_USED] = "buffers that the VF used, of split queues",
	[N_DISTURBED] = "resets and losses of bus master", [N_MOVES] = "moves to the other VF",
	[N_EPISODES] = "episodes",
	[N_CHECKED] = "frames in each direction, through all pairs of a VF as new",
};

static struct vfio_dev *current_dev(struct hostile_net *h)
{
	return &h->rig.dev[__atomic_load_n(&h->vf, __ATOMIC_RELAXED)];
}

static void common(struct hostile_net *h, unsigned int offset, u32 value, unsigned int size)
{
	hostile_bar(current_dev(h), h->net.vio.common.offset + offset, value, size, true);
}

static void step_registers(struct hostile_thread *t)
{
	struct hostile_net *h = t->owner;

	/* A write to the common configuration often ends all else */
	if (one_in(&t->random, 500))
		hostile_bar_any(current_dev(h), &t->random, h->rig.dev[0].bar0_size + 64);
	else if (one_in(&t->random, 32) && hostile_now(&h->land, &t->random))
		hostile_bar(current_dev(h), h->net.vio.common.offset +
			    random_below(&t->random, h->net.vio.common.length),
			    hostile_number(&t->random), 1 << random_below(&t->random, 3), true);
	else
		hostile_bar(current_dev(h), random_below(&t->random, h->rig.dev[0].bar0_size),
			    0, 1 << random_below(&t->random, 4), false);
}

static void step_kicks(struct hostile_thread *t)
{
	struct hostile_net *h = t->owner;
	u32 queue = random_below(&t->random, one_in(&t->random, 8) ? 64 : QUEUES);
	u32 value = one_in(&t->random, 8) ? hostile_number(&t->random) : queue;

	hostile_bar(current_dev(h), h->net.vio.notify.offset +
		    (u64)queue * h->net.vio.notify_step, value,
		    one_in(&t->random, 8) ? 4 : 2, true);
}

static void step_rings(struct hostile_thread *t)
{
	struct hostile_net *h = t->owner;
	unsigned int queue = random_below(&t->random, QUEUES);

	if (hostile_now(&h->land, &t->random) && one_in(&t->random, 8))
		((u64 *)h->queues)[random_below(&t->random, QUEUES_BYTES / sizeof(u64))] =
			hostile_number(&t->random);
	else if (queue == CTRL)
		return;
	else if (__atomic_load_n(&h->packed, __ATOMIC_RELAXED))
		store_packed(h, &t->random, queue);
	else
		store_split(h, &t->random, queue);
}

static void step_controls(struct hostile_thread *t)
{
	struct hostile_net *h = t->owner;

	if (__atomic_load_n(&h->packed, __ATOMIC_RELAXED))
		store_packed(h, &t->random, CTRL);
	else if (one_in(&t->random, 4))
		store_split(h, &t->random, CTRL);
	else
		store_command(h, &t->random);
	hostile_bar(current_dev(h), h->net.vio.notify.offset + CTRL * h->net.vio.notify_step, CTRL,
		    2, true);
}

/* The host sends what a guest's buffers may be too small for, and does not care if there are any */
static void step_frames(struct hostile_thread *t)
{
	struct hostile_net *h = t->owner;
	struct port *port = &h->rig.port[__atomic_load_n(&h->vf, __ATOMIC_RELAXED)];
	u8 frame[1514];
	size_t len = FRAME_MIN + random_below(&t->random, sizeof(frame) - FRAME_MIN);

	frame_make(frame, mac_broadcast, mac_other, 0, len);
	port_try_send(port, NULL, frame, len);
	sleep_ms(1);
}

/* Where a queue is, and how large; most are right */
static void set_up_queue(struct hostile_net *h, unsigned int queue)
{
	u32 size = hostile_now(&h->land, &h->random) ? hostile_number(&h->random) : QUEUE_SIZE;

	common(h, VIRTIO_PCI_COMMON_Q_SELECT, queue, 2);
	common(h, VIRTIO_PCI_COMMON_Q_SIZE, size, 2);
	common(h, VIRTIO_PCI_COMMON_Q_MSIX, one_in(&h->random, 4) ? hostile_number(&h->random)
								  : queue, 2);
	for (unsigned int i = 0; i < 3; i++) {
		u64 at = hostile_now(&h->land, &h->random) ? hostile_address(&h->land, &h->random)
						: land_iova(&h->land, area(h, queue, i));
		/* The registers of the three areas follow one another */
		unsigned int offset = VIRTIO_PCI_COMMON_Q_DESCLO + 8 * i;

		common(h, offset, at, 4);
		common(h, offset + 4, at >> 32, 4);
	}
	if (!one_in(&h->random, 32))
		common(h, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

static void write_features(struct hostile_net *h, u64 features)
{
	for (unsigned int i = 0; i < 2; i++) {
		common(h, VIRTIO_PCI_COMMON_GFSELECT, i, 4);
		common(h, VIRTIO_PCI_COMMON_GF, features >> (32 * i), 4);
	}
}

/* As a driver does it, but for some of the values */
static void set_up(struct hostile_net *h, u64 offered)
{
	u64 features = offered | VIRTIO_BASIC;

	if (one_in(&h->random, 2))
		features &= ~FEATURE(VIRTIO_F_RING_PACKED);
	/* Some need others, and then the VF does not take them */
	if (one_in(&h->random, 6))
		features &= next_random(&h->random) | VIRTIO_BASIC;
	if (hostile_now(&h->land, &h->random))
		features = hostile_number(&h->random);
	common(h, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	sleep_ms(1);
	memset(h->queues, 0, QUEUES_BYTES);
	memset(h->places, 0, sizeof(h->places));
	__atomic_store_n(&h->packed, features & FEATURE(VIRTIO_F_RING_PACKED), __ATOMIC_RELAXED);
	common(h, VIRTIO_PCI_COMMON_STATUS,
	       VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER, 1);
	write_features(h, features);
	common(h, VIRTIO_PCI_COMMON_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
	       VIRTIO_CONFIG_S_FEATURES_OK, 1);
	for (unsigned int i = 0; i < QUEUES; i++)
		set_up_queue(h, i);
	common(h, VIRTIO_PCI_COMMON_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
	       VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK, 1);
	h->counts[N_SETUPS]++;
}

static void disturb(struct hostile_net *h)
{
	struct vfio_dev *dev = current_dev(h);

	h->counts[N_DISTURBED]++;
	switch (random_below(&h->random, 5)) {
	case 0:
		common(h, VIRTIO_PCI_COMMON_STATUS, hostile_number(&h->random), 1);
		break;
	case 1:
		vfio_flr(dev);
		break;
	case 2:
		must(!vfio_reset(dev));
		break;
	case 3:
		vfio_bus_master(dev, false);
		sleep_ms(random_below(&h->random, 5));
		break;
	case 4:
		for (unsigned int i = random_below(&h->random, 8); i; i--)
			hostile_config(dev, &h->random);
		break;
	}
	vfio_bus_master(dev, true);
}

static void move(struct hostile_net *h)
{
	hostile_move(h->rig.dev, &h->vf, &h->random);
	h->counts[N_MOVES]++;
}

/* Let the threads have the VF until it needs a reset, or for a while */
static void live(struct hostile_net *h)
{
	u64 end = now_ms() + 1 + random_below(&h->random, STEP_MS);
	struct virtio vio = { .dev = current_dev(h), .common = h->net.vio.common };

	while (now_ms() < end && !virtio_needs_reset(&vio))
		sleep_ms(1);
	h->counts[N_BROKEN] += virtio_needs_reset(&vio);
	for (unsigned int i = 0; i < QUEUES && !h->packed; i++) {
		struct vring_used *used = (void *)area(h, i, 2);

		/* A store that hits the index by chance is not counted */
		if (used->idx <= ((struct vring_avail *)area(h, i, 1))->idx)
			h->counts[N_USED] += used->idx;
	}
}

static void begin_threads(struct hostile_net *h)
{
	static void (*const bodies[THREADS])(struct hostile_thread *t) = {
		[REGISTERS] = step_registers, [KICKS] = step_kicks, [RINGS] = step_rings,
		[CONTROLS] = step_controls, [FRAMES] = step_frames,
	};

	h->stop = false;
	for (unsigned int i = 0; i < THREADS; i++)
		hostile_begin(&h->threads[i], bodies[i], h, next_random(&h->random), &h->stop);
}

static void end_threads(struct hostile_net *h)
{
	__atomic_store_n(&h->stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < THREADS; i++) {
		hostile_end(&h->threads[i]);
		h->counts[i] += h->threads[i].steps;
	}
}

/* Take frames of this pair until the one with the current number comes */
static bool receive_seq(struct hostile_net *h, unsigned int pair)
{
	while (vnet_recv(&h->net, pair, &h->in))
		if (frame_seq(h->in.data, h->in.len) == h->seq)
			return true;
	return false;
}

/* A frame each way.  The host's queue of this number is that of the pair. */
static void check_pair(struct hostile_net *h, unsigned int vf, unsigned int pair)
{
	size_t len = FRAME_MIN + random_below(&h->random, 1514 - FRAME_MIN);
	struct port *port = &h->rig.port[vf];
	struct vnet *net = &h->net;

	h->seq++;
	vnet_send(net, pair, h->frame,
		  frame_make(h->frame, mac_broadcast, net->mac, h->seq, len));
	if (!port_expect(port, &h->out, h->seq))
		fail(__FILE__, __LINE__, "VF %u: the host gets no frame of pair %u", vf, pair);
	port_use_queue(port, pair, true);
	port_send(port, h->frame, frame_make(h->frame, net->mac, mac_other, h->seq, len));
	port_use_queue(port, pair, false);
	if (!wait_until(receive_seq(h, pair)))
		fail(__FILE__, __LINE__, "VF %u: pair %u gets no frame", vf, pair);
	h->counts[N_CHECKED]++;
}

static void check_frames(struct hostile_net *h, unsigned int vf)
{
	struct port *port = &h->rig.port[vf];
	struct vnet *net = &h->net;

	must(port_wait_carrier(port));
	port_drain(port);
	for (unsigned int pair = 0; pair < PAIRS; pair++)
		check_pair(h, vf, pair);
	must(vnet_ctrl(net, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, &(u8){ 1 }, 1) ==
	     VIRTIO_NET_OK);
}

/* Reset the VF in some way; then nothing of the episode is left */
static void check_as_new(struct hostile_net *h, unsigned int vf)
{
	struct vfio_dev *dev = &h->rig.dev[vf];

	if (hostile_reset(dev, &h->random))
		must(!virtio_status(&(struct virtio){ .dev = dev, .common = h->net.vio.common }));
	must(mig_get(dev) == RUNNING);
	vnet_start(&h->net, dev, &h->land.rw, one_in(&h->random, 2) ? VNET_ALL : VNET_PACKED,
		   PAIRS);
	check_frames(h, vf);
	must(!virtio_needs_reset(&h->net.vio));
	must(!virtio_reset(&h->net.vio));
	land_check(&h->land);
}

/* One after the other, alone with the memory of both */
static void check_all(struct hostile_net *h)
{
	for (unsigned int i = 0; i < NET_DEVS; i++) {
		hostile_bus_masters(h->rig.dev, NET_DEVS, false);
		check_as_new(h, i);
	}
	hostile_bus_masters(h->rig.dev, NET_DEVS, true);
}

/* At least one episode, and a buffer that the VF used for the hostile guest */
static bool goes_on(const struct hostile_net *h)
{
	return stress_goes_on_until(h->counts[N_USED], h->counts[N_EPISODES]);
}

static void episode(struct hostile_net *h, u64 offered)
{
	unsigned int n = 4 + random_below(&h->random, EPISODE_STEPS);

	hostile_temper(&h->land, &h->random);
	begin_threads(h);
	while (n-- && goes_on(h)) {
		set_up(h, offered);
		live(h);
		if (one_in(&h->random, 6))
			move(h);
		else if (one_in(&h->random, 4))
			disturb(h);
	}
	end_threads(h);
	land_check(&h->land);
	check_all(h);
	h->counts[N_EPISODES]++;
}

u64 hostile_net_run(struct hostile_net *h)
{
	u64 offered = virtio_offered(&h->net.vio);

	while (goes_on(h))
		episode(h, offered);
	for (unsigned int i = 0; i < N_COUNTS; i++)
		stress_say("guest: %10llu %s", h->counts[i], names[i]);
	return h->counts[N_USED];
}

const char *hostile_net_open(struct hostile_net **to, u64 seed)
{
	struct hostile_net *h = calloc(1, sizeof(*h));
	const char *why;

	must(h);
	*to = h;
	h->random = stress_seed(seed, 2);
	why = net_rig_open_best(&h->rig, NET_DEVS, PAIRS);
	if (why)
		return why;
	land_init(&h->land, LAND_SIZE);
	for (unsigned int i = 0; i < NET_DEVS; i++) {
		land_map(&h->land, &h->rig.iommu[i]);
		net_rig_irqs(&h->rig, i);
	}
	h->queues = arena_alloc(&h->land.rw, QUEUES_BYTES);
	h->scratch = arena_alloc(&h->land.rw, QUEUES * QUEUE_SIZE * PLACE);
	/* The driver can do all this before */
	check_all(h);
	return NULL;
}

void hostile_net_close(struct hostile_net *h)
{
	if (h)
		net_rig_close(&h->rig);
	free(h);
}
