// SPDX-License-Identifier: GPL-2.0-only
/*
 * As fault_test, of a virtio-net VF: its arcs, a load, and frames of the guest while memory is
 * refused to the worker, or to the host that sends.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "net_rig.h"

#include "harness.h"

#define PAIRS	2

FIXTURE(net)
{
	struct net_rig rig;
	struct vnet vnet;
	struct vnet_frame *in;
	struct port_frame *out;
	u8 *frame;
	struct blob blob;
};

FIXTURE_SETUP(net)
{
	const char *why = fault_init() ?: net_rig_open_best(&self->rig, 2, PAIRS);

	if (why)
		SKIP(return, "%s", why);
	self->in = shared_alloc(sizeof(*self->in));
	self->out = shared_alloc(sizeof(*self->out));
	self->frame = shared_alloc(FRAME_MAX);
	net_rig_start(&self->rig, 0, &self->vnet, VNET_ALL, PAIRS);
}

FIXTURE_TEARDOWN(net)
{
	if (self->in)
		fault_stop();
	blob_free(&self->blob);
	net_rig_close(&self->rig);
}

static void send_seq(struct vnet *net, u8 *frame, u32 seq, size_t len)
{
	vnet_send(net, 0, frame, frame_make(frame, mac_broadcast, net->mac, seq, len));
}

#define EXPECT_TALKS(dev, seq) do { \
	struct port *_port = &self->rig.port[dev]; \
	u32 _seq = (seq); \
	send_seq(&self->vnet, self->frame, _seq, 60); \
	EXPECT_TRUE(port_expect(_port, self->out, _seq)) TH_LOG("to the host"); \
	ASSERT_TRUE(port_wait_carrier(_port)); \
	port_send(_port, self->frame, \
		  frame_make(self->frame, self->vnet.mac, mac_other, _seq, 60)); \
	EXPECT_TRUE(vnet_expect(&self->vnet, self->in, _seq)) TH_LOG("to the guest"); \
} while (0)

/* Each of these makes a data fd.  The device goes to RUNNING before the next. */
static const struct {
	u32 to;
	u32 stays;
} arcs[] = {
	{ PRE_COPY, RUNNING },
	{ STOP_COPY, STOP },
	{ RESUMING, STOP },
};

TEST_F(net, an_arc_leaves_the_device_where_it_was)
{
	struct vfio_dev *dev = &self->rig.dev[0];

	for (unsigned int i = 0; i < ARRAY_SIZE(arcs); i++) {
		struct sweep sweep = {};
		unsigned int failed = 0;
		int err, fd;

		while (sweep_next(&sweep)) {
			sweep_begin(&sweep);
			err = mig_set(dev, arcs[i].to, &fd);
			sweep_end(&sweep);
			if (err) {
				failed++;
				ASSERT_EQ(err, -ENOMEM);
				ASSERT_EQ(mig_get(dev), arcs[i].stays);
				ASSERT_EQ(mig_set(dev, arcs[i].to, &fd), 0);
			}
			ASSERT_EQ(mig_get(dev), arcs[i].to);
			close(fd);
			/* A load that has nothing fails, and only a reset ends that */
			if (arcs[i].to == RESUMING) {
				must(!vfio_reset(dev));
				continue;
			}
			ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
			EXPECT_TALKS(0, 100 * i + sweep.round);
		}
		EXPECT_GT(failed, 0);
		note("to %s: failed for %u of %u", mig_name(arcs[i].to), failed, sweep.refused);
	}
}

TEST_F(net, a_save_needs_none_and_a_load_can_be_done_again)
{
	struct vfio_dev *src = &self->rig.dev[0], *dst = &self->rig.dev[1];
	struct sweep save = {}, load = {};
	unsigned int failed = 0;
	int err, fd;

	self->blob.data = malloc(KIB(64));
	must(self->blob.data);
	self->blob.size = KIB(64);
	memset(self->blob.data, 0xff, KIB(64));
	while (sweep_next(&save)) {
		must(!mig_set(src, STOP_COPY, &fd));
		self->blob.len = 0;
		sweep_begin(&save);
		EXPECT_EQ(mig_read(fd, &self->blob, KIB(16)), 0);
		EXPECT_FALSE(sweep_end(&save));
		close(fd);
		must(!mig_set(src, STOP, NULL));
	}

	while (sweep_next(&load)) {
		must(!mig_set(dst, RESUMING, &fd));
		sweep_begin(&load);
		err = mig_write(fd, self->blob.data, self->blob.len, KIB(16));
		sweep_end(&load);
		if (err) {
			failed++;
			ASSERT_EQ(err, -ENOMEM);
			ASSERT_EQ(mig_set(dst, STOP, NULL), -EINVAL);
			ASSERT_EQ(mig_get(dst), RESUMING);
			must(!vfio_reset(dst));
			ASSERT_EQ(mig_load(dst, &self->blob), 0);
		}
		close(fd);
		ASSERT_EQ(mig_set(dst, STOP, NULL), 0);
	}
	EXPECT_GT(failed, 0);
	note("failed for %u of %u", failed, load.refused);
	net_rig_land(&self->rig, &self->vnet, 1, &self->blob, RUNNING);
	EXPECT_TALKS(1, 1);
}

/* Each frame arrives: the worker tries again when it does not hold the lock */
TEST_F(net, frames_of_the_guest_arrive)
{
	static const size_t lens[] = { 60, 1500, 9000 };
	struct port *port = &self->rig.port[0];
	u32 seq = 0;

	port_set_mtu(port, 9000);
	fault_in_worker(self->rig.dev[0].bdf);
	for (unsigned int i = 0; i < ARRAY_SIZE(lens); i++) {
		struct sweep sweep = {};

		while (sweep_next(&sweep)) {
			sweep_begin(&sweep);
			send_seq(&self->vnet, self->frame, ++seq, lens[i]);
			ASSERT_TRUE(port_expect(port, self->out, seq))
				TH_LOG("%zu bytes, round %u", lens[i], sweep.round);
			EXPECT_EQ(self->out->len, lens[i]);
			sweep_end(&sweep);
		}
		EXPECT_GT(sweep.refused, 0);
		note("%zu bytes: %u", lens[i], sweep.refused);
	}
	fault_in_worker(NULL);
	port_set_mtu(port, 1500);
	EXPECT_TALKS(0, ++seq);
}

TEST_F(net, frames_are_dropped_while_there_is_no_memory)
{
	struct port *port = &self->rig.port[0];

	fault_below_function("vfmig_virtio_turn");
	fault_rate(1);
	for (u32 seq = 1; seq < 20; seq++)
		send_seq(&self->vnet, self->frame, seq, 60);
	EXPECT_TRUE(wait_until(!vnet_reap(&self->vnet, 0)));
	EXPECT_GT(fault_count(), 0);
	fault_stop();
	EXPECT_FALSE(port_recv(port, self->out));
	EXPECT_FALSE(virtio_needs_reset(&self->vnet.vio));
	EXPECT_TALKS(0, 100);
}

TEST_HARNESS_MAIN
