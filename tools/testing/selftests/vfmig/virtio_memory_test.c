// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames of a virtio-net VF whose user has no memory left for them: the memory cgroup of the
 * process that opened the VF is charged.
 */
#include "cgroup.h"
#include "net_rig.h"

#include "harness.h"

#define LEN		60000
#define LIMIT		"2M"
/* More than fit into the group's memory */
#define FRAMES		1000
/* So many without memory are enough */
#define DROPS		10

FIXTURE(memory)
{
	struct net_rig rig;
	struct vnet net;
	struct cgroup cg;
	struct port_frame *out;
	u8 *frame;
};

FIXTURE_SETUP(memory)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 1, 1);

	if (!why)
		why = cgroup_open(&self->cg, "memory");
	if (why)
		SKIP(return, "%s", why);
	self->out = shared_alloc(sizeof(*self->out));
	self->frame = shared_alloc(FRAME_MAX);
	/* The group is that of whoever opens the VF */
	cgroup_enter(&self->cg);
	net_rig_reopen(&self->rig, 0);
	net_rig_start(&self->rig, 0, &self->net, VNET_ALL, 1);
}

FIXTURE_TEARDOWN(memory)
{
	if (self->frame)
		cgroup_leave(&self->cg);
	net_rig_close(&self->rig);
	if (self->frame)
		cgroup_close(&self->cg);
}

/*
 * Send long frames up to number @last, for @ms at most.  The port's socket keeps them.  Returns the
 * number of the next one.
 */
static u32 send_frames(struct vnet *net, u8 *frame, u32 seq, u32 last, unsigned int ms)
{
	for (u64 end = now_ms() + ms; seq <= last && now_ms() < end;) {
		size_t len = frame_make(frame, mac_broadcast, net->mac, seq, LEN);

		if (!vnet_queue(net, 0, NULL, frame, len))
			continue;
		virtq_notify(&net->tx[0]);
		seq++;
	}
	return seq;
}

/* The kernel makes tasks sleep for up to 2 s if their group is above memory.high */
TEST_F(memory, a_stop_does_not_wait_for_it)
{
	struct vfio_dev *dev = &self->rig.dev[0];
	u64 longest = 0;
	u32 seq = 0;

	cgroup_set(&self->cg, "memory.high", "1M");
	for (unsigned int i = 0; i < 10; i++) {
		u64 start, took;

		seq = send_frames(&self->net, self->frame, seq, ~0U, 200);
		start = now_ms();
		ASSERT_EQ(mig_set(dev, RUNNING_P2P, NULL), 0);
		took = now_ms() - start;
		longest = took > longest ? took : longest;
		ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
	}
	cgroup_set(&self->cg, "memory.high", "max");
	note("%u frames, a stop took up to %llu ms", seq, (unsigned long long)longest);
	EXPECT_LT(longest, 1000);
}

/* Frames are dropped, buffers are used, and it goes on when there is memory again */
TEST_F(memory, frames_without_it_are_dropped)
{
	const char *drops = "from_guest_drop_no_memory";
	struct port *port = &self->rig.port[0];
	u32 seq = 0;

	/* The test itself needs memory */
	cgroup_leave(&self->cg);
	cgroup_set(&self->cg, "memory.max", LIMIT);
	while (seq < FRAMES && port_counter(port, drops) < DROPS) {
		u32 next = send_frames(&self->net, self->frame, seq, seq, WAIT_MS);

		ASSERT_GT(next, seq);
		seq = next;
	}
	EXPECT_GE(port_counter(port, drops), DROPS);
	EXPECT_TRUE(wait_until(!vnet_reap(&self->net, 0)));
	EXPECT_FALSE(virtio_needs_reset(&self->net.vio));
	port_drain(port);
	cgroup_set(&self->cg, "memory.max", "max");
	vnet_send(&self->net, 0, self->frame,
		  frame_make(self->frame, mac_broadcast, self->net.mac, seq, LEN));
	EXPECT_TRUE(port_expect(port, self->out, seq));
	cgroup_enter(&self->cg);
}

TEST_HARNESS_MAIN
