// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a driver can do wrong with virtqueues, by mistake or on purpose: chains that loop, that
 * are too long, or have descriptors that make no sense; addresses that fault; indices that
 * jump.  The device asks for a reset where VIRTIO 2.1.2 says so, works after it, and the host
 * is unharmed.  And unusual buffers that are right.
 */
#include <errno.h>
#include <string.h>

#include "net_rig.h"

#include "harness.h"

#define PAIRS		1
#define RX		0
#define TX		1
#define CTRL		2

#define NEXT		VRING_DESC_F_NEXT
#define WRITE		VRING_DESC_F_WRITE
#define INDIRECT	VRING_DESC_F_INDIRECT

/* Nothing is there */
#define NOWHERE		0x7000000000ULL

FIXTURE(chain)
{
	struct net_rig rig;
	struct vnet net;
	struct virtio *vio;
	struct port *port;
	struct port_frame *out;
	u8 *frame;
	u8 *buf;	/* in the arena */
	u64 iova;	/* of it */
	u64 layout;
	u64 faults;
};

FIXTURE_VARIANT(chain)
{
	u64 features;
};

FIXTURE_VARIANT_ADD(chain, split)
{
	.features = VNET_ALL,
};

FIXTURE_VARIANT_ADD(chain, packed)
{
	.features = VNET_PACKED,
};

#define BUF_SIZE	(16 * PAGE)

FIXTURE_SETUP(chain)
{
	const char *why = net_rig_open(&self->rig, IOMMU_TYPE1, 1, PAIRS);

	if (why)
		SKIP(return, "%s", why);
	self->vio = &self->net.vio;
	self->port = &self->rig.port[0];
	self->out = shared_alloc(sizeof(*self->out));
	self->frame = shared_alloc(FRAME_MAX);
	self->layout = variant->features;
	net_rig_start(&self->rig, 0, &self->net, self->layout, 1);
	self->buf = arena_alloc(&self->rig.mem, BUF_SIZE);
	self->iova = arena_iova(&self->rig.mem, self->buf);
	self->faults = vf_dma_faults(self->rig.dev[0].bdf);
}

FIXTURE_TEARDOWN(chain)
{
	net_rig_close(&self->rig);
}

static struct virtq *queue(struct vnet *net, unsigned int index)
{
	return index == RX ? &net->rx[0] : index == TX ? &net->tx[0] : &net->ctrl;
}

/* A frame of the test with its header, at @buf; returns the bytes */
static size_t put_frame(struct vnet *net, u8 *buf, u32 seq, size_t len)
{
	memset(buf, 0, VNET_HEADER);
	return VNET_HEADER + frame_make(buf + VNET_HEADER, mac_broadcast, net->mac, seq, len);
}

/* The device works again after a reset */
static void expect_recovery(struct __test_metadata *_metadata, struct net_rig *rig,
			    struct vnet *net, u64 features, u8 *frame, struct port_frame *out)
{
	static u32 seq = 100000;

	net_rig_start(rig, 0, net, features, 1);
	EXPECT_FALSE(virtio_needs_reset(&net->vio));
	seq++;
	vnet_send(net, 0, frame, frame_make(frame, mac_broadcast, net->mac, seq, 100));
	EXPECT_TRUE(port_expect(&rig->port[0], out, seq));
}

#define RECOVERS() expect_recovery(_metadata, &self->rig, &self->net, self->layout, \
				   self->frame, self->out)

/*
 * NEEDS_RESET is set, and the driver told by the configuration interrupt.  Nothing moves until
 * the reset.
 */
#define NEEDS_RESET(what) do { \
	const char *_what = (what); \
	EXPECT_TRUE(wait_until(virtio_needs_reset(self->vio))) TH_LOG("%s", _what); \
	EXPECT_TRUE(event_wait(self->rig.irq[0][0])) TH_LOG("%s: no interrupt", _what); \
	RECOVERS(); \
} while (0)

/* Make @raw available in a queue, right or wrong, and tell the device */
static void try_raw(struct net_rig *rig, struct vnet *net, unsigned int index,
		    const struct virtq_raw *raw, unsigned int n)
{
	struct virtq *q = queue(net, index);

	net_rig_settle(rig, 0);
	virtq_add_raw(q, raw, n);
	virtq_notify(q);
}

/* Only a queue whose buffers are not the driver's can take raw ones */
static void empty_rx(struct vnet *net, struct net_rig *rig, u64 features)
{
	net_rig_irqs(rig, 0);
	vnet_start_empty(net, &rig->dev[0], &rig->mem, features, 1);
	must(port_wait_carrier(&rig->port[0]));
}

#define TRY(index, ...) do { \
	const struct virtq_raw _raw[] = { __VA_ARGS__ }; \
	try_raw(&self->rig, &self->net, index, _raw, ARRAY_SIZE(_raw)); \
} while (0)

TEST_F(chain, frame_in_many_pieces)
{
	struct virtq *q = &self->net.tx[0];
	struct virtq_piece pieces[32];
	struct virtq_used used;

	for (unsigned int n = 1; n <= ARRAY_SIZE(pieces); n += 3) {
		size_t len = put_frame(&self->net, self->buf, n, 200), at = 0;

		/* Also in the middle of the header, and of no length */
		for (unsigned int i = 0; i < n; i++) {
			size_t end = i == n - 1 ? len : i % 5 == 3 ? at : len * (i + 1) / n;

			pieces[i] = piece_out(self->iova + at, end - at);
			at = end;
		}
		virtq_add(q, pieces, n);
		virtq_kick(q);
		ASSERT_TRUE(virtq_wait(q, &used)) TH_LOG("%u pieces", n);
		EXPECT_TRUE(port_expect(self->port, self->out, n)) TH_LOG("%u pieces", n);
	}
}

TEST_F(chain, indirect_buffers)
{
	struct virtq *q = &self->net.tx[0];
	struct virtq_piece pieces[VIRTQ_INDIRECT];
	struct virtq_used used;

	for (unsigned int n = 1; n <= VIRTQ_INDIRECT; n++) {
		size_t len = put_frame(&self->net, self->buf, n, 200);

		for (unsigned int i = 0; i < n; i++)
			pieces[i] = piece_out(self->iova + len * i / n,
					      len * (i + 1) / n - len * i / n);
		virtq_add_indirect(q, pieces, n);
		virtq_kick(q);
		ASSERT_TRUE(virtq_wait(q, &used)) TH_LOG("%u pieces", n);
		EXPECT_TRUE(port_expect(self->port, self->out, n)) TH_LOG("%u pieces", n);
	}
}

TEST_F(chain, as_long_as_the_queue)
{
	struct virtq *q = &self->net.tx[0];
	struct virtq_piece pieces[VNET_DEPTH];
	size_t len = put_frame(&self->net, self->buf, 5, 500);
	struct virtq_used used;

	for (unsigned int i = 0; i < VNET_DEPTH; i++)
		pieces[i] = piece_out(self->iova + len * i / VNET_DEPTH,
				      len * (i + 1) / VNET_DEPTH - len * i / VNET_DEPTH);
	for (unsigned int i = 0; i < 2; i++) {
		virtq_add(q, pieces, VNET_DEPTH);
		virtq_kick(q);
		ASSERT_TRUE(virtq_wait(q, &used));
		EXPECT_TRUE(port_expect(self->port, self->out, 5));
	}
}

TEST_F(chain, loops)
{
	struct virtq_raw ring[VNET_DEPTH];

	if (self->net.tx[0].packed) {
		/* All descriptors of the ring go on, so the chain has no end */
		for (unsigned int i = 0; i < VNET_DEPTH; i++)
			ring[i] = RAW(self->iova, 10, NEXT, 0);
		try_raw(&self->rig, &self->net, TX, ring, VNET_DEPTH);
		NEEDS_RESET("endless chain");
		return;
	}
	TRY(TX, RAW(self->iova, 100, NEXT, 0));
	NEEDS_RESET("descriptor that is its own next");
	TRY(TX, RAW(self->iova, 100, NEXT, 1), RAW(self->iova, 100, NEXT, 0));
	NEEDS_RESET("loop of two");
	TRY(TX, RAW(self->iova, 0, NEXT, 1), RAW(self->iova, 0, NEXT, 0));
	NEEDS_RESET("loop of no bytes");
	TRY(CTRL, RAW(self->iova, 2, NEXT, 1), RAW(self->iova, 1, NEXT, 1));
	NEEDS_RESET("loop in the control queue");
	empty_rx(&self->net, &self->rig, self->layout);
	TRY(RX, RAW(self->iova, 100, NEXT | WRITE, 1), RAW(self->iova, 100, NEXT | WRITE, 0));
	port_send(self->port, self->frame,
		  frame_make(self->frame, self->net.mac, mac_other, 1, 60));
	NEEDS_RESET("loop in the receive queue");
}

TEST_F(chain, indices_beyond_the_table)
{
	if (self->net.tx[0].packed)
		SKIP(return, "descriptors of a packed ring have no index");
	TRY(TX, RAW(self->iova, 100, NEXT, VNET_DEPTH));
	NEEDS_RESET("next is beyond the table");
	TRY(TX, RAW(self->iova, 100, NEXT, 0xffff));
	NEEDS_RESET("next is far beyond the table");
	self->net.tx[0].avail->ring[0] = VNET_DEPTH;
	self->net.tx[0].avail->ring[1] = VNET_DEPTH;
	net_rig_settle(&self->rig, 0);
	__atomic_store_n(&self->net.tx[0].avail->idx, self->net.tx[0].next + 2, __ATOMIC_RELEASE);
	virtq_notify(&self->net.tx[0]);
	NEEDS_RESET("head is beyond the table");
}

TEST_F(chain, available_index_that_jumps)
{
	static const u16 jumps[] = { VNET_DEPTH + 1, 0x8000, 0xffff };

	if (self->net.tx[0].packed)
		SKIP(return, "a packed ring has no available index");
	for (unsigned int queue_index = RX; queue_index <= CTRL; queue_index++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(jumps); i++) {
			struct virtq *q = queue(&self->net, queue_index);

			if (queue_index == RX)
				empty_rx(&self->net, &self->rig, self->layout);
			net_rig_settle(&self->rig, 0);
			__atomic_store_n(&q->avail->idx, q->next + jumps[i], __ATOMIC_RELEASE);
			virtq_notify(q);
			if (queue_index == RX)
				port_send(self->port, self->frame,
					  frame_make(self->frame, self->net.mac, mac_other, 1,
						     60));
			NEEDS_RESET("index that jumps");
		}
	}
}

TEST_F(chain, addresses_that_fault)
{
	static const u64 bad[] = { 0, NOWHERE, ~0ULL, ~0ULL - 50, 1ULL << 63 };

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		TRY(TX, RAW(bad[i], 100, 0, 0));
		NEEDS_RESET("frame to send");
		TRY(CTRL, RAW(bad[i], 2, NEXT, 1), RAW(self->iova, 1, WRITE, 0));
		NEEDS_RESET("control command");
		TRY(CTRL, RAW(self->iova, 2, NEXT, 1), RAW(bad[i], 1, WRITE, 0));
		NEEDS_RESET("room for the result");
		TRY(TX, RAW(bad[i], 32, INDIRECT, 0));
		NEEDS_RESET("indirect table");
	}
	EXPECT_GT(vf_dma_faults(self->rig.dev[0].bdf), self->faults);
}

TEST_F(chain, receive_buffers_that_fault)
{
	static const u64 bad[] = { 0, NOWHERE, ~0ULL - 50 };

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		empty_rx(&self->net, &self->rig, self->layout);
		TRY(RX, RAW(bad[i], VNET_BUF, WRITE, 0));
		EXPECT_FALSE(virtio_needs_reset(self->vio));
		port_send(self->port, self->frame,
			  frame_make(self->frame, self->net.mac, mac_other, 1, 60));
		NEEDS_RESET("receive buffer");
	}
}

TEST_F(chain, a_frame_that_runs_into_a_fault)
{
	/* The arena ends there */
	u64 end = self->rig.mem.iova + self->rig.mem.size;

	memset(self->rig.mem.va + self->rig.mem.size - 60, 0, 60);
	TRY(TX, RAW(end - 60, 100, 0, 0));
	NEEDS_RESET("frame to send");
	EXPECT_FALSE(port_recv(self->port, self->out));
}

TEST_F(chain, rings_that_fault)
{
	static const unsigned int areas[] = {
		VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_PCI_COMMON_Q_AVAILLO, VIRTIO_PCI_COMMON_Q_USEDLO,
	};
	static const u64 bad[] = { NOWHERE, ~0ULL & ~15 };

	for (unsigned int area = 0; area < ARRAY_SIZE(areas); area++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
			struct virtq *q = &self->net.tx[0];

			ASSERT_TRUE(virtio_negotiate(self->vio, self->net.vio.features));
			common_write(self->vio, VIRTIO_PCI_COMMON_MSIX, 0, 2);
			/* As virtq_setup(), but for this area */
			virtq_clear(q);
			queue_write(self->vio, TX, VIRTIO_PCI_COMMON_Q_SIZE, q->size);
			queue_write64(self->vio, TX, areas[0],
				      arena_iova(&self->rig.mem, q->desc));
			queue_write64(self->vio, TX, areas[1],
				      arena_iova(&self->rig.mem, q->avail));
			queue_write64(self->vio, TX, areas[2],
				      arena_iova(&self->rig.mem, q->used));
			queue_write64(self->vio, TX, areas[area], bad[i]);
			queue_write(self->vio, TX, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
			virtio_driver_ok(self->vio);
			ASSERT_TRUE(vnet_queue(&self->net, 0, NULL, self->frame,
					       frame_make(self->frame, mac_other, self->net.mac, 1,
							  100)));
			virtq_notify(q);
			/* That a packed queue's events can't be read is no reason */
			if (q->packed && area == 1) {
				RECOVERS();
				continue;
			}
			EXPECT_TRUE(wait_until(virtio_needs_reset(self->vio)))
				TH_LOG("area %u", area);
			RECOVERS();
		}
	}
}

TEST_F(chain, direction_of_descriptors)
{
	put_frame(&self->net, self->buf, 1, 100);
	TRY(TX, RAW(self->iova, 50, WRITE | NEXT, 1), RAW(self->iova, 100, 0, 0));
	NEEDS_RESET("readable after writable");
	TRY(CTRL, RAW(self->iova, 1, WRITE | NEXT, 1), RAW(self->iova, 2, 0, 0));
	NEEDS_RESET("readable after writable in the control queue");
	TRY(CTRL, RAW(self->iova, 2, 0, 0));
	NEEDS_RESET("command without room for its result");
	empty_rx(&self->net, &self->rig, self->layout);
	TRY(RX, RAW(self->iova, VNET_BUF, 0, 0));
	port_send(self->port, self->frame,
		  frame_make(self->frame, self->net.mac, mac_other, 1, 60));
	NEEDS_RESET("receive buffer that is not writable");
	empty_rx(&self->net, &self->rig, self->layout);
	TRY(RX, RAW(self->iova, VNET_HEADER - 1, WRITE, 0));
	port_send(self->port, self->frame,
		  frame_make(self->frame, self->net.mac, mac_other, 1, 60));
	NEEDS_RESET("receive buffer that is too small for a header");
}

TEST_F(chain, frame_that_is_only_writable)
{
	struct virtq *q = &self->net.tx[0];
	struct virtq_piece piece = piece_in(self->iova, 100);
	struct virtq_used used;

	memset(self->buf, 0x77, 200);
	virtq_add(q, &piece, 1);
	virtq_notify(q);
	/* Dropped, or refused; either way nothing is written */
	EXPECT_TRUE(wait_until(virtio_needs_reset(self->vio) || virtq_get(q, &used)));
	EXPECT_TRUE(is_filled(self->buf, 200, 0x77));
	RECOVERS();
}

TEST_F(chain, frames_of_no_bytes)
{
	struct virtq *q = &self->net.tx[0];
	struct virtq_piece piece = { .iova = self->iova };
	struct virtq_used used;

	for (u32 len = 0; len <= VNET_HEADER; len += 3) {
		piece.len = len;
		virtq_add(q, &piece, 1);
		virtq_kick(q);
		ASSERT_TRUE(virtq_wait(q, &used)) TH_LOG("%u bytes", len);
		EXPECT_EQ(used.len, 0);
	}
	EXPECT_FALSE(virtio_needs_reset(self->vio));
	EXPECT_FALSE(port_recv(self->port, self->out));
}

TEST_F(chain, frames_that_are_far_too_long)
{
	struct virtq *q = &self->net.tx[0];
	struct virtq_piece pieces[3] = {
		piece_out(self->iova, 0x10000), piece_out(self->iova, 0xffffffff),
		piece_out(self->iova, 0xffffffff),
	};
	struct virtq_used used;

	for (unsigned int n = 2; n <= 3; n++) {
		virtq_add(q, pieces, n);
		virtq_kick(q);
		EXPECT_TRUE(wait_until(virtio_needs_reset(self->vio) || virtq_get(q, &used)));
		EXPECT_FALSE(port_recv(self->port, self->out));
		RECOVERS();
	}
}

TEST_F(chain, indirect_tables_that_make_no_sense)
{
	struct vring_desc *table = (void *)self->buf;
	struct vring_packed_desc *packed = (void *)self->buf;
	static const u32 lens[] = { 0, 8, 17, 31, 0xfffffff0, 0xffffffff };

	for (unsigned int i = 0; i < ARRAY_SIZE(lens); i++) {
		memset(self->buf, 0, PAGE);
		TRY(TX, RAW(self->iova, lens[i], INDIRECT, 0));
		/* A table of many entries has one chain, the first entry of which is enough */
		if (lens[i] == 0xfffffff0 && !self->net.tx[0].packed) {
			RECOVERS();
			continue;
		}
		NEEDS_RESET("length of a table");
	}
	if (self->net.tx[0].packed) {
		for (unsigned int i = 0; i <= VNET_DEPTH; i++)
			packed[i] = (struct vring_packed_desc){ self->iova + PAGE, 1, 0, 0 };
		TRY(TX, RAW(self->iova, (VNET_DEPTH + 1) * 16, INDIRECT, 0));
		NEEDS_RESET("table longer than the queue");
		return;
	}
	for (unsigned int i = 0; i <= VNET_DEPTH; i++)
		table[i] = (struct vring_desc){ self->iova + PAGE, 1,
						i < VNET_DEPTH ? NEXT : 0, i + 1 };
	TRY(TX, RAW(self->iova, (VNET_DEPTH + 1) * 16, INDIRECT, 0));
	NEEDS_RESET("chain in a table longer than the queue");
	table[0] = (struct vring_desc){ self->iova, 16, INDIRECT, 0 };
	TRY(TX, RAW(self->iova, 16, INDIRECT, 0));
	NEEDS_RESET("indirect in indirect");
	table[0] = (struct vring_desc){ self->iova + PAGE, 16, NEXT, 1 };
	TRY(TX, RAW(self->iova, 16, INDIRECT, 0));
	NEEDS_RESET("next beyond the table");
	table[0].next = 0;
	TRY(TX, RAW(self->iova, 16, INDIRECT, 0));
	NEEDS_RESET("loop in a table");
	table[0].flags = 0;
	TRY(TX, RAW(self->iova, 16, INDIRECT | NEXT, 1), RAW(self->iova + PAGE, 100, 0, 0));
	NEEDS_RESET("indirect with a next");
}

TEST_F(chain, indirect_without_the_feature)
{
	self->layout &= ~FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
	net_rig_start(&self->rig, 0, &self->net, self->layout, 1);
	memset(self->buf, 0, PAGE);
	TRY(TX, RAW(self->iova, 16, INDIRECT, 0));
	NEEDS_RESET("indirect that was not negotiated");
}

/* Pages are unmapped under the device, as a guest with an IOMMU does */
TEST_F(chain, memory_that_goes_away)
{
	struct virtq *q = &self->net.tx[0];
	struct iommu *iommu = &self->rig.iommu[0];

	net_rig_settle(&self->rig, 0);
	must(!iommu_unmap(iommu, self->rig.mem.iova, self->rig.mem.size));
	virtq_notify(q);
	EXPECT_TRUE(wait_until(virtio_needs_reset(self->vio)));
	arena_map(&self->rig.mem, iommu);
	RECOVERS();
}

/* Whatever the driver writes to its areas: the device survives it, and works after a reset */
TEST_F_TIMEOUT(chain, nonsense_everywhere, 60)
{
	u64 seed = 42;

	for (unsigned int round = 0; round < 40; round++) {
		struct virtq *q = queue(&self->net, round % 3);

		for (unsigned int i = 0; i < 40; i++) {
			u64 at = next_random(&seed) % (2 * PAGE), what = next_random(&seed);
			struct vring_desc *desc = (void *)((u8 *)q->mem + at % 1024 / 16 * 16);

			switch (what % 4) {
			case 0:
				desc->addr = self->iova + what % BUF_SIZE;
				desc->len = (what >> 32) % 4096;
				desc->flags = what >> 48;
				desc->next = (what >> 20) % (VNET_DEPTH + 1);
				break;
			case 1:
				((u8 *)q->mem)[at] = what >> 8;
				break;
			case 2:
				q->avail->idx += (what >> 8) % 8;
				break;
			case 3:
				desc->flags ^= 0x8080;
				break;
			}
			virtq_notify(q);
		}
		port_try_send(self->port, NULL, self->frame,
			      frame_make(self->frame, self->net.mac, mac_other, 1, 60));
		RECOVERS();
	}
}

TEST_HARNESS_MAIN
