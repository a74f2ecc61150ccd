// SPDX-License-Identifier: GPL-2.0-only
/*
 * The virtqueues of a virtio-net VF in both layouts, by frames that the guest sends: used
 * buffers and their interrupts, notifications of available buffers, resets.
 */
#include <string.h>

#include "net_rig.h"

#include "harness.h"

#define PAIRS		2

#define TRANSPORT \
	(VIRTIO_BASIC | FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | \
	 FEATURE(VIRTIO_RING_F_EVENT_IDX) | FEATURE(VIRTIO_F_ORDER_PLATFORM) | \
	 FEATURE(VIRTIO_F_RING_RESET))

#define ISR_QUEUE	1

FIXTURE(rings)
{
	struct net_rig rig;
	struct vfio_dev *dev;
	struct vnet net;
	struct virtio *vio;
	struct port *port;
	struct port_frame *got;
	u8 *frame;
	u64 layout;
};

FIXTURE_VARIANT(rings)
{
	u64 layout;
};

FIXTURE_VARIANT_ADD(rings, split)
{
};

FIXTURE_VARIANT_ADD(rings, packed)
{
	.layout = FEATURE(VIRTIO_F_RING_PACKED),
};

FIXTURE_SETUP(rings)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 1, PAIRS);

	if (why)
		SKIP(return, "%s", why);
	self->dev = &self->rig.dev[0];
	self->vio = &self->net.vio;
	self->port = &self->rig.port[0];
	self->frame = shared_alloc(FRAME_MAX);
	self->got = shared_alloc(sizeof(*self->got));
	self->layout = variant->layout | TRANSPORT;
}

FIXTURE_TEARDOWN(rings)
{
	net_rig_close(&self->rig);
}

static size_t outgoing(struct vnet *net, u8 *frame, u32 seq)
{
	return frame_make(frame, mac_broadcast, net->mac, seq, 100);
}

/* Send a frame, and expect it at the host */
#define EXPECT_SENT(seq) do { \
	u32 _seq = (seq); \
	vnet_send(&self->net, 0, self->frame, outgoing(&self->net, self->frame, _seq)); \
	EXPECT_TRUE(port_expect(self->port, self->got, _seq)) TH_LOG("frame %u", _seq); \
} while (0)

TEST_F(rings, frames_of_a_few_laps)
{
	net_rig_start(&self->rig, 0, &self->net, self->layout, 1);
	for (u32 seq = 0; seq < 5 * VNET_DEPTH / 2; seq++)
		EXPECT_SENT(seq);
	EXPECT_TRUE(wait_until(!vnet_reap(&self->net, 0)));
}

TEST_F(rings, used_buffers_interrupt)
{
	int irq = self->rig.irq[0][2];

	net_rig_start(&self->rig, 0, &self->net, self->layout, 1);
	net_rig_settle(&self->rig, 0);
	EXPECT_SENT(1);
	EXPECT_TRUE(event_wait(irq));
	EXPECT_EQ(vnet_reap(&self->net, 0), 0);

	virtq_quiet(&self->net.tx[0], true);
	EXPECT_SENT(2);
	EXPECT_TRUE(wait_until(!vnet_reap(&self->net, 0)));
	net_rig_settle(&self->rig, 0);
	event_count(irq);
	EXPECT_SENT(3);
	EXPECT_TRUE(wait_until(!vnet_reap(&self->net, 0)));
	EXPECT_TRUE(stays_false(event_count(irq)));

	virtq_quiet(&self->net.tx[0], false);
	EXPECT_SENT(4);
	EXPECT_TRUE(event_wait(irq));
}

TEST_F(rings, interrupts_without_event_index)
{
	int irq = self->rig.irq[0][2];

	net_rig_start(&self->rig, 0, &self->net,
		      self->layout & ~FEATURE(VIRTIO_RING_F_EVENT_IDX), 1);
	net_rig_settle(&self->rig, 0);
	EXPECT_SENT(1);
	EXPECT_TRUE(event_wait(irq));
	virtq_quiet(&self->net.tx[0], true);
	EXPECT_SENT(2);
	EXPECT_TRUE(wait_until(!vnet_reap(&self->net, 0)));
	EXPECT_TRUE(stays_false(event_count(irq)));
	virtq_quiet(&self->net.tx[0], false);
	EXPECT_SENT(3);
	EXPECT_TRUE(event_wait(irq));
}

TEST_F(rings, interrupt_at_the_event_index)
{
	struct virtq *q = &self->net.tx[0];
	int irq = self->rig.irq[0][2];
	u32 seq = 0;

	net_rig_start(&self->rig, 0, &self->net, self->layout, 1);
	/* The first notification is not suppressed by an index that nobody has written yet */
	EXPECT_SENT(seq);
	seq++;
	EXPECT_TRUE(wait_until(!vnet_reap(&self->net, 0)));
	/* A lap and more, so that the index wraps around too */
	for (unsigned int round = 0; round < 12; round++) {
		net_rig_settle(&self->rig, 0);
		virtq_interrupt_after(q, 7);
		for (unsigned int i = 0; i < 6; i++, seq++) {
			EXPECT_SENT(seq);
			EXPECT_TRUE(wait_until(!vnet_reap(&self->net, 0)));
		}
		EXPECT_EQ(event_count(irq), 0) TH_LOG("round %u", round);
		EXPECT_SENT(seq);
		seq++;
		EXPECT_TRUE(event_wait(irq)) TH_LOG("round %u", round);
		/* The event is past, also for buffers beyond the end of the ring */
		for (unsigned int i = 0; i < 10; i++, seq++)
			EXPECT_SENT(seq);
		EXPECT_TRUE(stays_false(event_count(irq))) TH_LOG("round %u", round);
		EXPECT_TRUE(wait_until(!vnet_reap(&self->net, 0)));
	}
}

TEST_F(rings, used_buffers_set_the_isr_without_a_vector)
{
	net_rig_start(&self->rig, 0, &self->net, self->layout, 1);
	EXPECT_SENT(1);
	EXPECT_TRUE(wait_until(!vnet_reap(&self->net, 0)));
	queue_write(self->vio, 1, VIRTIO_PCI_COMMON_Q_MSIX, VIRTIO_MSI_NO_VECTOR);
	bar_read(self->dev, self->vio->isr.offset, 1);
	EXPECT_SENT(2);
	EXPECT_TRUE(wait_until(bar_read(self->dev, self->vio->isr.offset, 1) & ISR_QUEUE));
}

/* The device asks for a notification before it goes to sleep, and the driver heeds that */
TEST_F(rings, notifications_are_asked_for)
{
	struct virtq *q = &self->net.tx[0];

	net_rig_start(&self->rig, 0, &self->net, self->layout, 1);
	for (u32 seq = 0; seq < 50; seq++) {
		ASSERT_TRUE(vnet_queue(&self->net, 0, NULL, self->frame,
				       outgoing(&self->net, self->frame, seq)));
		/* Idle for long enough in every second round */
		if (seq % 2)
			virtq_kick(q);
		else if (virtq_wants_kick(q))
			virtq_notify(q);
		EXPECT_TRUE(port_expect(self->port, self->got, seq));
		EXPECT_TRUE(wait_until(!vnet_reap(&self->net, 0)));
	}
}

struct sender {
	struct vnet *net;
	struct port *port;
	struct port_frame *got;
	u8 *frame;
	u32 seq;
};

/* Send @n frames, and notify if the device asks for it; returns true if it does */
static bool send_if_asked(struct sender *s, unsigned int n)
{
	bool asked;

	for (unsigned int i = 0; i < n; i++)
		must(vnet_queue(s->net, 0, NULL, s->frame, outgoing(s->net, s->frame, s->seq++)));
	asked = virtq_wants_kick(&s->net->tx[0]);
	if (asked)
		virtq_notify(&s->net->tx[0]);
	must(wait_until(!vnet_reap(s->net, 0)));
	/* The device has looked for more before these arrive */
	must(port_expect(s->port, s->got, s->seq - 1));
	return asked;
}

/* Is there no notification for a frame that comes as soon as some others were sent? */
static bool is_not_asked_for(struct sender *s)
{
	send_if_asked(s, 8);
	return !send_if_asked(s, 1);
}

static bool is_asked_for_after_pause(struct sender *s)
{
	sleep_ms(5);
	return send_if_asked(s, 1);
}

/* The device looks by itself for a while.  A slow machine may need a few tries to see it. */
TEST_F_TIMEOUT(rings, stream_goes_on_without_notifications, 60)
{
	struct sender s = {
		.net = &self->net, .port = self->port, .got = self->got, .frame = self->frame,
	};

	net_rig_start(&self->rig, 0, &self->net, self->layout, 1);
	EXPECT_TRUE(wait_until(is_not_asked_for(&s)));
	EXPECT_TRUE(wait_until(is_asked_for_after_pause(&s)));
	self->layout &= ~FEATURE(VIRTIO_RING_F_EVENT_IDX);
	net_rig_start(&self->rig, 0, &self->net, self->layout, 1);
	EXPECT_TRUE(wait_until(is_not_asked_for(&s)));
}

TEST_F(rings, notifications_of_no_queue_or_of_nothing)
{
	struct virtio *vio = self->vio;

	net_rig_start(&self->rig, 0, &self->net, self->layout, 1);
	for (u32 at = 0; at + 2 <= PAGE; at += 2)
		bar_write(self->dev, vio->notify.offset + at, 0xffff, 2);
	bar_write(self->dev, vio->notify.offset, ~0U, 4);
	EXPECT_SENT(1);
	EXPECT_FALSE(virtio_needs_reset(vio));
}

TEST_F(rings, notification_through_config_space)
{
	struct virtq *q = &self->net.tx[0];

	net_rig_start(&self->rig, 0, &self->net, self->layout, 1);
	ASSERT_TRUE(vnet_queue(&self->net, 0, NULL, self->frame,
			       outgoing(&self->net, self->frame, 1)));
	virtio_cap_write(self->vio, 0, q->notify, q->index, 2);
	EXPECT_TRUE(port_expect(self->port, self->got, 1));
}

TEST_F(rings, nothing_happens_before_driver_ok)
{
	struct vnet *net = &self->net;

	net_rig_irqs(&self->rig, 0);
	virtio_init(self->vio, self->dev, &self->rig.mem);
	vnet_start_empty(net, self->dev, &self->rig.mem, self->layout, 1);
	ASSERT_TRUE(virtio_negotiate(self->vio, self->layout & virtio_offered(self->vio)));
	virtq_setup(self->vio, &net->rx[0], 0, VNET_DEPTH, 1);
	virtq_setup(self->vio, &net->tx[0], 1, VNET_DEPTH, 2);
	port_drain(self->port);
	ASSERT_TRUE(vnet_queue(net, 0, NULL, self->frame, outgoing(net, self->frame, 1)));
	virtq_notify(&net->tx[0]);
	EXPECT_TRUE(stays_false(port_recv(self->port, self->got)));
	EXPECT_EQ(vnet_reap(net, 0), 1);
	/* The notification is lost; the buffer is not */
	virtio_driver_ok(self->vio);
	EXPECT_TRUE(port_expect(self->port, self->got, 1));
}

TEST_F(rings, reset_of_a_queue)
{
	struct vnet *net = &self->net;
	struct virtio *vio = self->vio;

	net_rig_start(&self->rig, 0, net, self->layout, 1);
	for (unsigned int round = 0; round < 3; round++) {
		EXPECT_SENT(2 * round);
		queue_write(vio, 1, VIRTIO_PCI_COMMON_Q_RESET, 1);
		EXPECT_TRUE(wait_until(!queue_read(vio, 1, VIRTIO_PCI_COMMON_Q_RESET)));
		EXPECT_EQ(queue_read(vio, 1, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
		/* No buffer is used any more */
		virtq_clear(&net->tx[0]);
		ASSERT_TRUE(vnet_queue(net, 0, NULL, self->frame,
				       outgoing(net, self->frame, 77)));
		virtq_notify(&net->tx[0]);
		EXPECT_TRUE(stays_false(port_recv(self->port, self->got)));
		/* It can be smaller the next time */
		virtq_setup(vio, &net->tx[0], 1, VNET_DEPTH >> round, 2);
		EXPECT_SENT(2 * round + 1);
	}
	EXPECT_FALSE(virtio_needs_reset(vio));
	/* The others went on */
	port_send(self->port, self->frame,
		  frame_make(self->frame, net->mac, mac_other, 99, 100));
	EXPECT_TRUE(vnet_expect(net, shared_alloc(sizeof(struct vnet_frame)), 99));
}

TEST_F(rings, no_reset_of_a_queue_without_the_feature)
{
	net_rig_start(&self->rig, 0, &self->net, self->layout & ~FEATURE(VIRTIO_F_RING_RESET), 1);
	EXPECT_SENT(1);
	queue_write(self->vio, 1, VIRTIO_PCI_COMMON_Q_RESET, 1);
	EXPECT_EQ(queue_read(self->vio, 1, VIRTIO_PCI_COMMON_Q_RESET), 0);
	EXPECT_EQ(queue_read(self->vio, 1, VIRTIO_PCI_COMMON_Q_ENABLE), 1);
	EXPECT_SENT(2);
}

/* With frames on their way: afterwards the device leaves memory and host alone */
TEST_F(rings, resets_of_all_kinds)
{
	static const enum reset_kind kinds[] = { RESET_VFIO, RESET_FLR, RESET_SYSFS, RESET_PF };
	struct vnet *net = &self->net;

	for (unsigned int i = 0; i <= ARRAY_SIZE(kinds); i++) {
		net_rig_start(&self->rig, 0, net, self->layout, 1);
		for (u32 seq = 0; vnet_queue(net, 0, NULL, self->frame,
					     outgoing(net, self->frame, seq)); seq++)
			;
		virtq_notify(&net->tx[0]);
		if (i < ARRAY_SIZE(kinds))
			vfio_reset_by(self->dev, self->rig.pf, kinds[i]);
		else
			ASSERT_EQ(virtio_reset(self->vio), 0);
		EXPECT_EQ(virtio_status(self->vio), 0) TH_LOG("reset %u", i);
		EXPECT_TRUE(wait_until(!port_carrier(self->port))) TH_LOG("reset %u", i);
		port_drain(self->port);
		EXPECT_NE(port_try_send(self->port, NULL, self->frame, 100), 0);
		memset(net->tx[0].mem, 0, 3 * PAGE);
		memset(net->rx[0].mem, 0, 3 * PAGE);
		EXPECT_TRUE(stays_false(!is_filled(net->tx[0].mem, 3 * PAGE, 0) ||
					!is_filled(net->rx[0].mem, 3 * PAGE, 0)));
		vfio_irqs_off(self->dev);
	}
	net_rig_start(&self->rig, 0, net, self->layout, 1);
	EXPECT_SENT(1000);
}

TEST_HARNESS_MAIN
