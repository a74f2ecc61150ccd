/* SPDX-License-Identifier: GPL-2.0-only */
/* A hostile guest of a virtio-net VF */
#ifndef VFMIG_GUEST_NET_H
#define VFMIG_GUEST_NET_H

#include "../lib/net_rig.h"
#include "guest.h"

#define NET_DEVS	2
#define PAIRS		VNET_MAX_PAIRS
#define QUEUES		(2 * PAIRS + 1)
#define CTRL		(QUEUES - 1)
#define QUEUE_PAGES	6	/* two for each area */
#define QUEUES_BYTES	(QUEUES * QUEUE_PAGES * PAGE)
#define QUEUE_SIZE	256
#define PLACE		256UL	/* bytes that an entry of a queue has for a table or a command */

enum { REGISTERS, KICKS, RINGS, CONTROLS, FRAMES, THREADS };

enum net_count {
	N_SETUPS = THREADS, N_BROKEN, N_USED, N_DISTURBED, N_MOVES, N_EPISODES, N_CHECKED,
	N_COUNTS
};

/* Where the next entry of a packed ring is */
struct ring_place {
	u16 next;
	bool wrapped;
};

struct hostile_net {
	struct net_rig rig;
	struct land land;
	struct vnet net;	/* the driver that finds it as new */
	u64 random;
	unsigned int vf;
	bool packed;		/* the layout that was negotiated last */
	struct ring_place places[QUEUES];
	u8 *queues;		/* QUEUE_PAGES for each */
	u8 *scratch;		/* PLACE for each entry of each queue */
	u32 seq;
	bool stop;
	struct hostile_thread threads[THREADS];
	u64 counts[N_COUNTS];
	struct vnet_frame in;
	struct port_frame out;
	u8 frame[FRAME_MAX];
};

/* ---- guest_rings.c: what is in the queues, for queues of QUEUE_SIZE entries */

/* Make a buffer available: a chain, or a table of descriptors, right or nearly so */
void store_split(struct hostile_net *h, u64 *random, unsigned int queue);
void store_packed(struct hostile_net *h, u64 *random, unsigned int queue);
/* The same with a control command, in the split layout */
void store_command(struct hostile_net *h, u64 *random);

static inline u8 *area(struct hostile_net *h, unsigned int queue, unsigned int which)
{
	return h->queues + (queue * QUEUE_PAGES + 2 * which) * PAGE;
}

static inline u8 *place_of(struct hostile_net *h, unsigned int queue, unsigned int entry)
{
	return h->scratch + (queue * QUEUE_SIZE + entry) * PLACE;
}

#endif /* VFMIG_GUEST_NET_H */
