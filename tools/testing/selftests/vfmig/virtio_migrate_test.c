// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migration of a virtio-net VF: what moves, what the accounting says, frames and buffers on their
 * way, interrupts, the announcement.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "net_rig.h"
#include "stream.h"

#include "harness.h"

#define PAIRS		2
/* The state is a few KB */
#define STREAM_MOST	KIB(8)

#define ANNOUNCE_ACK	vnet_ctrl(&self->net, VIRTIO_NET_CTRL_ANNOUNCE, \
				  VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0)

FIXTURE(move)
{
	struct net_rig rig;
	struct vnet net;
	struct vnet_frame *in;
	struct port_frame *out;
	u8 *frame;
	struct blob blob;
	u64 features;
};

FIXTURE_VARIANT(move)
{
	bool type1;	/* else iommufd, if the kernel has it */
	u64 features;
};

FIXTURE_VARIANT_ADD(move, split_type1)
{
	.type1 = true,
	.features = VNET_ALL,
};

FIXTURE_VARIANT_ADD(move, packed)
{
	.features = VNET_PACKED,
};

FIXTURE_SETUP(move)
{
	const char *why = variant->type1 ? net_rig_open(&self->rig, IOMMU_TYPE1, 2, PAIRS) :
					   net_rig_open_best(&self->rig, 2, PAIRS);

	if (why)
		SKIP(return, "%s", why);
	self->in = shared_alloc(sizeof(*self->in));
	self->out = shared_alloc(sizeof(*self->out));
	self->frame = shared_alloc(FRAME_MAX);
	self->features = variant->features;
	net_rig_start(&self->rig, 0, &self->net, variant->features, PAIRS);
}

FIXTURE_TEARDOWN(move)
{
	blob_free(&self->blob);
	net_rig_close(&self->rig);
}

static void send_seq(struct vnet *net, unsigned int pair, u8 *frame, u32 seq)
{
	size_t len = frame_make(frame, mac_broadcast, net->mac, seq, 60 + seq % 900);

	vnet_send(net, pair, frame, len);
}

static int offer_seq(struct port *port, struct vnet *net, u8 *frame, u32 seq)
{
	return port_try_send(port, NULL, frame,
			     frame_make(frame, net->mac, mac_other, seq, 60 + seq % 900));
}

#define EXPECT_TALKS(dev, seq) do { \
	struct port *_port = &self->rig.port[dev]; \
	u32 _seq = (seq); \
	send_seq(&self->net, 0, self->frame, _seq); \
	EXPECT_TRUE(port_expect(_port, self->out, _seq)) TH_LOG("to the host"); \
	ASSERT_TRUE(port_wait_carrier(_port)); \
	ASSERT_EQ(offer_seq(_port, &self->net, self->frame, _seq), 0); \
	EXPECT_TRUE(vnet_expect(&self->net, self->in, _seq)) TH_LOG("to the guest"); \
} while (0)

TEST_F(move, the_network_goes_on)
{
	EXPECT_TALKS(0, 1);
	net_rig_move(&self->rig, &self->net, 1, RUNNING);
	for (u32 seq = 2; seq < 3 * VNET_DEPTH; seq++)
		EXPECT_TALKS(1, seq);
	EXPECT_FALSE(virtio_needs_reset(&self->net.vio));
	/* And back */
	ASSERT_EQ(vfio_reset(&self->rig.dev[0]), 0);
	net_rig_move(&self->rig, &self->net, 0, RUNNING);
	EXPECT_TALKS(0, 1000);
}

static void read_precopy(struct vfio_dev *dev, int fd, struct vfio_precopy_info *info)
{
	*info = (struct vfio_precopy_info){ .argsz = sizeof(*info) };
	must(!ioctl(fd, VFIO_MIG_GET_PRECOPY_INFO, info));
}

TEST_F(move, accounting)
{
	static struct stream_record records[STREAM_MAX_RECORDS];
	struct vfio_dev *dev = &self->rig.dev[0];
	struct vfio_precopy_info info;
	char buf[4096];
	u64 size;
	int fd;

	ASSERT_EQ(mig_set(dev, PRE_COPY, &fd), 0);
	read_precopy(dev, fd, &info);
	EXPECT_EQ(info.dirty_bytes, 0);
	EXPECT_GT(info.initial_bytes, sizeof(struct vfmig_record));
	EXPECT_LE(info.initial_bytes, sizeof(struct vfmig_record) + sizeof(struct vfmig_identity) +
		  64);
	ASSERT_EQ(read(fd, buf, sizeof(buf)), (ssize_t)info.initial_bytes);
	blob_append(&self->blob, buf, info.initial_bytes);
	EXPECT_EQ(read(fd, buf, sizeof(buf)), -1);
	EXPECT_EQ(errno, ENOMSG);

	/* Traffic makes nothing dirty */
	for (u32 seq = 0; seq < 20; seq++)
		EXPECT_TALKS(0, seq);
	read_precopy(dev, fd, &info);
	EXPECT_EQ(info.initial_bytes, 0);
	EXPECT_EQ(info.dirty_bytes, 0);
	EXPECT_EQ(read(fd, buf, sizeof(buf)), -1);
	EXPECT_EQ(errno, ENOMSG);

	ASSERT_EQ(mig_set(dev, STOP_COPY, NULL), 0);
	ASSERT_EQ(mig_size(dev, &size), 0);
	EXPECT_LT(size, STREAM_MOST);
	ASSERT_EQ(mig_read(fd, &self->blob, 1000), 0);
	close(fd);
	EXPECT_LT(self->blob.len, STREAM_MOST);
	ASSERT_EQ(mig_set(dev, STOP, NULL), 0);
	/* Identity, state, end */
	EXPECT_EQ(stream_parse(&self->blob, records), 3);
	net_rig_land(&self->rig, &self->net, 1, &self->blob, RUNNING);
	EXPECT_TALKS(1, 30);
}

/* The registers as a guest reads them; their addresses tell the queues apart */
struct registers {
	u32 device[5];
	u8 status;
	u64 features;
	u32 queue[2 * PAIRS + 1][5];
	u64 area[2 * PAIRS + 1][3];
};

static void read_registers(struct virtio *vio, struct registers *regs)
{
	static const unsigned int queue[] = {
		VIRTIO_PCI_COMMON_Q_SIZE, VIRTIO_PCI_COMMON_Q_MSIX, VIRTIO_PCI_COMMON_Q_ENABLE,
		VIRTIO_PCI_COMMON_Q_NOFF, VIRTIO_PCI_COMMON_Q_RESET,
	};
	static const unsigned int area[] = {
		VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_PCI_COMMON_Q_AVAILLO, VIRTIO_PCI_COMMON_Q_USEDLO,
	};

	memset(regs, 0, sizeof(*regs));
	regs->device[0] = common_read(vio, VIRTIO_PCI_COMMON_DFSELECT, 4);
	regs->device[1] = common_read(vio, VIRTIO_PCI_COMMON_GFSELECT, 4);
	regs->device[2] = common_read(vio, VIRTIO_PCI_COMMON_MSIX, 2);
	regs->device[3] = common_read(vio, VIRTIO_PCI_COMMON_NUMQ, 2);
	regs->device[4] = common_read(vio, VIRTIO_PCI_COMMON_Q_SELECT, 2);
	regs->status = virtio_status(vio);
	regs->features = virtio_written(vio);
	for (u16 i = 0; i < 2 * PAIRS + 1; i++) {
		for (unsigned int j = 0; j < ARRAY_SIZE(queue); j++)
			regs->queue[i][j] = queue_read(vio, i, queue[j]);
		for (unsigned int j = 0; j < ARRAY_SIZE(area); j++)
			regs->area[i][j] = (u64)common_read(vio, area[j] + 4, 4) << 32 |
					   common_read(vio, area[j], 4);
	}
}

TEST_F(move, registers_move)
{
	struct registers before, after;

	read_registers(&self->net.vio, &before);
	/* Reading left these where it ended */
	common_write(&self->net.vio, VIRTIO_PCI_COMMON_Q_SELECT, before.device[4], 2);
	common_write(&self->net.vio, VIRTIO_PCI_COMMON_GFSELECT, before.device[1], 4);
	net_rig_move(&self->rig, &self->net, 1, RUNNING);
	read_registers(&self->net.vio, &after);
	EXPECT_EQ(memcmp(&before, &after, sizeof(before)), 0);
}

/* A driver that has only begun goes on there as here */
TEST_F(move, half_of_a_negotiation_moves)
{
	struct virtio *vio = &self->net.vio;
	u64 features = vio->features;

	ASSERT_TRUE(virtio_negotiate(vio, features));
	queue_write(vio, 3, VIRTIO_PCI_COMMON_Q_SIZE, 32);
	queue_write64(vio, 3, VIRTIO_PCI_COMMON_Q_AVAILLO, 0x1234567000);
	common_write(vio, VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
	net_rig_move(&self->rig, &self->net, 1, RUNNING);
	EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_DFSELECT, 4), 1);
	EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_Q_SELECT, 2), 3);
	EXPECT_EQ(common_read(vio, VIRTIO_PCI_COMMON_Q_AVAILLO, 4), 0x34567000);
	EXPECT_EQ(virtio_status(vio), VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
		  VIRTIO_CONFIG_S_FEATURES_OK);
	EXPECT_EQ(vnet_status(&self->net) & VIRTIO_NET_S_ANNOUNCE, 0);
	EXPECT_FALSE(port_carrier(&self->rig.port[1]));

	/* The queues that are set up after the move work */
	net_rig_start(&self->rig, 1, &self->net, self->features, PAIRS);
	EXPECT_TALKS(1, 1);
}

TEST_F(move, need_of_a_reset_moves)
{
	struct virtq_piece piece = piece_out(0, 100);

	net_rig_settle(&self->rig, 0);
	virtq_add(&self->net.tx[0], &piece, 1);
	virtq_notify(&self->net.tx[0]);
	ASSERT_TRUE(wait_until(virtio_needs_reset(&self->net.vio)));
	net_rig_move(&self->rig, &self->net, 1, RUNNING);
	EXPECT_TRUE(virtio_needs_reset(&self->net.vio));
	/* The guest may not have got the interrupt at the source */
	EXPECT_TRUE(event_wait(self->rig.irq[1][0]));
	net_rig_start(&self->rig, 1, &self->net, self->features, 1);
	EXPECT_TALKS(1, 1);
}

TEST_F(move, filters_and_modes_move)
{
	struct vnet *net = &self->net;
	u8 table[14] = { 0, 0, 0, 0, 1, 0, 0, 0 }, on = 1;
	static const u8 new[ETH_ALEN] = { 0x02, 7, 7, 7, 7, 7 };
	u16 vid = 42;
	size_t len;

	memcpy(table + 8, mac_multicast, ETH_ALEN);
	ASSERT_EQ(vnet_ctrl(net, 1, VIRTIO_NET_CTRL_MAC_TABLE_SET, table, 14), VIRTIO_NET_OK);
	ASSERT_EQ(vnet_ctrl(net, 1, VIRTIO_NET_CTRL_MAC_ADDR_SET, new, 6), VIRTIO_NET_OK);
	ASSERT_EQ(vnet_ctrl(net, 0, VIRTIO_NET_CTRL_RX_NOBCAST, &on, 1), VIRTIO_NET_OK);
	ASSERT_EQ(vnet_ctrl(net, 2, VIRTIO_NET_CTRL_VLAN_ADD, &vid, 2), VIRTIO_NET_OK);
	net_rig_move(&self->rig, net, 1, RUNNING);
	ASSERT_TRUE(port_wait_carrier(&self->rig.port[1]));

	virtio_config(&net->vio, 0, net->mac, ETH_ALEN);
	EXPECT_EQ(memcmp(net->mac, new, ETH_ALEN), 0);
	EXPECT_TALKS(1, 1);
	port_send(&self->rig.port[1], self->frame,
		  frame_make(self->frame, mac_multicast, mac_other, 2, 60));
	EXPECT_TRUE(vnet_expect(net, self->in, 2));
	len = frame_make(self->frame, net->mac, mac_other, 3, 60);
	port_send(&self->rig.port[1], self->frame, frame_tag(self->frame, len, vid));
	ASSERT_TRUE(wait_until(vnet_recv(net, 0, self->in) || vnet_recv(net, 1, self->in)));
	EXPECT_EQ(self->in->len, 64);

	/* These do not come, and the one behind them does */
	port_send(&self->rig.port[1], self->frame,
		  frame_make(self->frame, mac_broadcast, mac_other, 4, 60));
	len = frame_make(self->frame, net->mac, mac_other, 5, 60);
	port_send(&self->rig.port[1], self->frame, frame_tag(self->frame, len, vid + 1));
	ASSERT_EQ(offer_seq(&self->rig.port[1], net, self->frame, 6), 0);
	ASSERT_TRUE(wait_until(vnet_recv(net, 0, self->in) || vnet_recv(net, 1, self->in)));
	EXPECT_EQ(frame_seq(self->in->data, self->in->len), 6);
}

TEST_F(move, the_guest_is_asked_to_announce_itself)
{
	struct vnet *net = &self->net;

	EXPECT_EQ(vnet_status(net) & VIRTIO_NET_S_ANNOUNCE, 0);
	net_rig_move(&self->rig, net, 1, RUNNING);
	EXPECT_TRUE(event_wait(self->rig.irq[1][0]));
	EXPECT_TRUE(vnet_status(net) & VIRTIO_NET_S_ANNOUNCE);
	EXPECT_TRUE(vnet_status(net) & VIRTIO_NET_S_LINK_UP);
	ASSERT_EQ(ANNOUNCE_ACK, VIRTIO_NET_OK);
	EXPECT_EQ(vnet_status(net) & VIRTIO_NET_S_ANNOUNCE, 0);
}

TEST_F(move, no_announcement_without_the_feature)
{
	net_rig_start(&self->rig, 0, &self->net,
		      self->features & ~FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE), 1);
	net_rig_move(&self->rig, &self->net, 1, RUNNING);
	EXPECT_EQ(vnet_status(&self->net) & VIRTIO_NET_S_ANNOUNCE, 0);
	EXPECT_TALKS(1, 1);
}

/* The device's own announcement, a RARP request of the guest's address */
static bool recv_rarp(struct port *port, struct port_frame *out, const u8 *mac)
{
	const struct ethhdr *eth = (void *)out->data;

	while (port_recv(port, out))
		if (out->len >= sizeof(*eth) && eth->h_proto == htons(ETH_P_RARP) &&
		    !memcmp(eth->h_source, mac, ETH_ALEN))
			return true;
	return false;
}

TEST_F(move, device_announces_a_guest_that_does_not)
{
	struct net_rig *rig = &self->rig;

	net_rig_start(rig, 0, &self->net,
		      self->features & ~FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE), 1);
	net_rig_move(rig, &self->net, 1, RUNNING);
	EXPECT_TRUE(wait_until(recv_rarp(&rig->port[1], self->out, self->net.mac)));
}

/* The guest that the VF had before has sent more than its rate allows */
TEST_F(move, announcement_waits_for_the_rate)
{
	struct net_rig *rig = &self->rig;
	struct vnet before = {};
	int err;

	net_rig_start(rig, 0, &self->net,
		      self->features & ~FEATURE(VIRTIO_NET_F_GUEST_ANNOUNCE), 1);
	mig_save(&rig->dev[0], &self->blob);
	net_rig_start(rig, 1, &before, self->features, 1);
	err = vf_set_rate(rig->pf, 1, 1);
	/* At 1 Mbit/s 130 KB are more than the VF may send at once, and half a second in debt */
	for (u32 seq = 0; seq < 2 && !err; seq++)
		vnet_send(&before, 0, self->frame,
			  frame_make(self->frame, mac_broadcast, before.mac, seq, 65000));
	EXPECT_TRUE(port_expect(&rig->port[1], self->out, 1));
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);
	net_rig_land(rig, &self->net, 1, &self->blob, RUNNING);
	EXPECT_TRUE(wait_until(recv_rarp(&rig->port[1], self->out, self->net.mac)));
	err = vf_set_rate(rig->pf, 1, 0) ?: err;
	EXPECT_EQ(err, 0);
}

TEST_F(move, a_migration_given_up_asks_for_no_announcement)
{
	mig_save(&self->rig.dev[0], &self->blob);
	ASSERT_EQ(mig_set(&self->rig.dev[0], RUNNING, NULL), 0);
	EXPECT_TALKS(0, 1);
	EXPECT_EQ(vnet_status(&self->net) & VIRTIO_NET_S_ANNOUNCE, 0);
}

/* The wire is silent in both directions */
TEST_F(move, nothing_moves_while_it_is_stopped)
{
	static const u32 states[] = { RUNNING_P2P, STOP };
	struct net_rig *rig = &self->rig;
	u32 seq = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(states); i++) {
		ASSERT_EQ(mig_set(&rig->dev[0], states[i], NULL), 0);
		for (unsigned int v = 0; v < VNET_VECTORS; v++)
			event_count(rig->irq[0][v]);
		ASSERT_TRUE(vnet_queue(&self->net, 0, NULL, self->frame,
				       frame_make(self->frame, mac_other, self->net.mac, ++seq,
						  100)));
		virtq_notify(&self->net.tx[0]);
		/* The carrier stays on, so the host may send */
		EXPECT_TRUE(port_carrier(&rig->port[0]));
		ASSERT_EQ(offer_seq(&rig->port[0], &self->net, self->frame, seq), 0);
		EXPECT_TRUE(stays_false(port_recv(&rig->port[0], self->out)));
		EXPECT_FALSE(vnet_recv(&self->net, 0, self->in));
		EXPECT_FALSE(vnet_recv(&self->net, 1, self->in));
		EXPECT_EQ(vnet_reap(&self->net, 0), 1);
		for (unsigned int v = 0; v < VNET_VECTORS; v++)
			EXPECT_EQ(event_count(rig->irq[0][v]), 0);

		/* It all goes on with RUNNING, notification or not */
		ASSERT_EQ(mig_set(&rig->dev[0], RUNNING, NULL), 0);
		EXPECT_TRUE(port_expect(&rig->port[0], self->out, seq));
		EXPECT_TRUE(vnet_expect(&self->net, self->in, seq));
	}
}

static void take_sent(struct port *port, struct port_frame *out, struct frame_set *set)
{
	while (port_recv(port, out)) {
		s64 seq = frame_seq(out->data, out->len);

		/* The device may announce the guest by itself */
		if (seq >= 0)
			frame_set_add(set, seq);
	}
}

/*
 * The guest sends without a pause while its device moves, to and fro.  Each buffer is used once,
 * and each frame is at the host once.
 */
TEST_F_TIMEOUT(move, frames_to_the_host_get_there_once, 60)
{
	struct net_rig *rig = &self->rig;
	struct vnet *net = &self->net;
	unsigned int now = 0;
	struct frame_set set;
	u32 seq = 0;

	frame_set_init(&set, 1200);
	for (unsigned int move = 0; move < 6; move++) {
		for (unsigned int i = 0; i < 150; i++, seq++)
			send_seq(net, seq % PAIRS, self->frame, seq);
		mig_save(&rig->dev[now], &self->blob);
		/* These wait in the queues for the device at its new place */
		for (unsigned int i = 0; i < 50; i++) {
			if (vnet_queue(net, seq % PAIRS, NULL, self->frame,
				       frame_make(self->frame, mac_other, net->mac, seq, 60)))
				seq++;
			virtq_notify(&net->tx[0]);
		}
		take_sent(&rig->port[now], self->out, &set);
		ASSERT_EQ(vfio_reset(&rig->dev[!now]), 0);
		net_rig_land(rig, net, !now, &self->blob, RUNNING);
		virtio_config(&net->vio, 0, net->mac, ETH_ALEN);
		take_sent(&rig->port[now], self->out, &set);
		now = !now;
	}
	set.missing -= set.count - seq;
	EXPECT_TRUE(wait_until((take_sent(&rig->port[0], self->out, &set),
				take_sent(&rig->port[1], self->out, &set), !set.missing)))
		TH_LOG("%u of %u are missing", set.missing, seq);
	EXPECT_TRUE(wait_until(!vnet_reap(net, 0) && !vnet_reap(net, 1)));
	frame_set_free(&set);
}

/*
 * The host sends without a pause.  What the device takes while it is stopped may be lost, but
 * no frame comes twice, and no buffer is used for nothing.
 */
TEST_F_TIMEOUT(move, frames_to_the_guest_come_at_most_once, 60)
{
	struct net_rig *rig = &self->rig;
	struct vnet *net = &self->net;
	struct frame_set set;
	unsigned int now = 0;
	u32 seq = 0, before;

	frame_set_init(&set, 4000);
	for (unsigned int move = 0; move < 6; move++) {
		for (unsigned int i = 0; i < 150; i++) {
			seq += !offer_seq(&rig->port[now], net, self->frame, seq);
			for (unsigned int p = 0; p < PAIRS; p++)
				while (i % 3 == 0 && vnet_recv(net, p, self->in))
					frame_set_add(&set, frame_seq(self->in->data,
								      self->in->len));
		}
		mig_save(&rig->dev[now], &self->blob);
		ASSERT_EQ(vfio_reset(&rig->dev[!now]), 0);
		net_rig_land(rig, net, !now, &self->blob, RUNNING);
		now = !now;
		ASSERT_TRUE(port_wait_carrier(&rig->port[now]));
		/* What was sent to the new place from here on comes */
		before = seq;
		while (offer_seq(&rig->port[now], net, self->frame, seq))
			;
		seq++;
		EXPECT_TRUE(wait_until(({
			for (unsigned int p = 0; p < PAIRS; p++)
				while (vnet_recv(net, p, self->in))
					frame_set_add(&set, frame_seq(self->in->data,
								      self->in->len));
			set.times[before];
		})));
	}
	for (unsigned int p = 0; p < PAIRS; p++)
		EXPECT_EQ(net->rx[p].free, 0);
	note("%u of %u frames came", set.count - set.missing, seq);
	frame_set_free(&set);
}

TEST_F(move, interrupts_come_again)
{
	struct net_rig *rig = &self->rig;
	struct vnet *net = &self->net;

	/* The guest gets none at the source: used buffers wait for its attention */
	vfio_irqs_off(&rig->dev[0]);
	send_seq(net, 0, self->frame, 1);
	EXPECT_TRUE(port_expect(&rig->port[0], self->out, 1));
	ASSERT_EQ(offer_seq(&rig->port[0], net, self->frame, 1), 0);
	EXPECT_TRUE(vnet_expect(net, self->in, 1));
	for (unsigned int v = 0; v < VNET_VECTORS; v++)
		event_count(rig->irq[0][v]);
	net_rig_move(rig, net, 1, RUNNING);
	EXPECT_TRUE(event_wait(rig->irq[1][0]));
	EXPECT_TRUE(event_wait(rig->irq[1][1]));
	EXPECT_TRUE(event_wait(rig->irq[1][2]));
}

/* A notification before the stop is for the device at its new place */
TEST_F(move, notifications_move)
{
	struct net_rig *rig = &self->rig;

	ASSERT_EQ(mig_set(&rig->dev[0], RUNNING_P2P, NULL), 0);
	ASSERT_TRUE(vnet_queue(&self->net, 1, NULL, self->frame,
			       frame_make(self->frame, mac_other, self->net.mac, 9, 100)));
	virtq_notify(&self->net.tx[1]);
	net_rig_move(rig, &self->net, 1, RUNNING);
	EXPECT_TRUE(port_expect(&rig->port[1], self->out, 9));
}

/* A reset that the device has not seen when it stops is seen there */
TEST_F(move, reset_in_p2p_moves)
{
	struct virtio *vio = &self->net.vio;

	ASSERT_EQ(mig_set(&self->rig.dev[0], RUNNING_P2P, NULL), 0);
	common_write(vio, VIRTIO_PCI_COMMON_STATUS, 0, 1);
	net_rig_move(&self->rig, &self->net, 1, RUNNING);
	EXPECT_TRUE(wait_until(!virtio_status(vio)));
	EXPECT_EQ(queue_read(vio, 1, VIRTIO_PCI_COMMON_Q_ENABLE), 0);
	EXPECT_TRUE(wait_until(!port_carrier(&self->rig.port[1])));
	net_rig_start(&self->rig, 1, &self->net, self->features, 1);
	EXPECT_TALKS(1, 1);
}

TEST_HARNESS_MAIN
