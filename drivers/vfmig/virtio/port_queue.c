// SPDX-License-Identifier: GPL-2.0-only
/*
 * The queues of a port.
 *
 * To the guest: the representor's transmit function queues a frame, and the device's
 * worker takes it.  A full queue stops the representor's, and byte queue limits keep it
 * short, so that a sender on the host waits instead of losing frames.  No sender may wait
 * for a guest that is stopped, or does not take frames.  The queue then keeps frames without
 * their sender's memory accounting, and drops what it has no room for.
 *
 * From the guest: the device's worker queues a frame, and NAPI hands it to the host.  A
 * guest that is faster than the host, or than its rate, leaves its frames in its own memory.
 */
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/jiffies.h>

#include "port_priv.h"

/**
 * struct frame_cb - the port's part of a frame in a queue to the guest
 * @memory: what the frame counts for in &vfmig_port_queue.memory
 * @limited: byte queue limits wait for the frame
 */
struct frame_cb {
	unsigned int memory;
	bool limited;
};

static struct frame_cb *frame_cb(struct sk_buff *skb)
{
	BUILD_BUG_ON(sizeof(struct frame_cb) > sizeof(skb->cb));
	return (struct frame_cb *)skb->cb;
}

static struct netdev_queue *tx_queue(const struct vfmig_port_queue *q)
{
	return netdev_get_tx_queue(q->port->dev, q->index);
}

static void count(struct vfmig_port_counter *counter, const struct sk_buff *skb)
{
	const u8 *dest = ((const struct ethhdr *)skb->data)->h_dest;

	u64_stats_update_begin(&counter->sync);
	u64_stats_inc(&counter->packets);
	u64_stats_add(&counter->bytes, skb->len);
	if (is_broadcast_ether_addr(dest))
		u64_stats_inc(&counter->broadcast);
	else if (is_multicast_ether_addr(dest))
		u64_stats_inc(&counter->multicast);
	u64_stats_update_end(&counter->sync);
}

void vfmig_port_read_count(const struct vfmig_port_counter *counter,
			   struct vfmig_port_count *count)
{
	unsigned int start;

	do {
		start = u64_stats_fetch_begin(&counter->sync);
		count->packets = u64_stats_read(&counter->packets);
		count->bytes = u64_stats_read(&counter->bytes);
		count->multicast = u64_stats_read(&counter->multicast);
		count->broadcast = u64_stats_read(&counter->broadcast);
	} while (u64_stats_fetch_retry(&counter->sync, start));
}

static void add_count(struct vfmig_port_count *sum, const struct vfmig_port_counter *counter)
{
	struct vfmig_port_count count;

	vfmig_port_read_count(counter, &count);
	sum->packets += count.packets;
	sum->bytes += count.bytes;
	sum->multicast += count.multicast;
	sum->broadcast += count.broadcast;
}

/* What all queues of a port have counted */
void vfmig_port_sum(struct vfmig_port *port, struct vfmig_port_count *to_guest,
		    struct vfmig_port_count *from_guest)
{
	memset(to_guest, 0, sizeof(*to_guest));
	memset(from_guest, 0, sizeof(*from_guest));
	for (unsigned int i = 0; i < port->nr_queues; i++) {
		add_count(to_guest, &port->queues[i].delivered);
		add_count(from_guest, &port->queues[i].sent);
	}
}

u64 vfmig_port_sum_drops(const atomic64_t drops[VFMIG_DROP_ALL])
{
	u64 sum = 0;

	for (unsigned int i = 0; i < VFMIG_DROP_ALL; i++)
		sum += atomic64_read(&drops[i]);
	return sum;
}

static void drop_all(atomic64_t *counter, struct sk_buff_head *frames)
{
	atomic64_add(skb_queue_len(frames), counter);
	__skb_queue_purge(frames);
}

/* --- To the guest --- */

static bool has_room(const struct vfmig_port_queue *q)
{
	return skb_queue_len(&q->to_guest) < VFMIG_TO_GUEST_FRAMES &&
	       q->memory < VFMIG_TO_GUEST_BYTES;
}

static bool has_much_room(const struct vfmig_port_queue *q)
{
	return skb_queue_len(&q->to_guest) <= VFMIG_TO_GUEST_FRAMES / 2 &&
	       q->memory <= VFMIG_TO_GUEST_BYTES / 2;
}

/* Do senders wait for the guest? */
static bool has_pressure(const struct vfmig_port_queue *q)
{
	return q->state == VFMIG_PORT_UP && !q->stalled;
}

static void wake_senders(struct vfmig_port_queue *q)
{
	if (netif_tx_queue_stopped(tx_queue(q)))
		netif_tx_wake_queue(tx_queue(q));
}

static void watch_for_stall(struct vfmig_port *port)
{
	if (!timer_pending(&port->stall_timer))
		mod_timer(&port->stall_timer, jiffies + VFMIG_STALL_JIFFIES);
}

static void append(struct vfmig_port_queue *q, struct sk_buff *skb)
{
	struct frame_cb *cb = frame_cb(skb);

	if (skb_queue_empty(&q->to_guest))
		WRITE_ONCE(q->progress, jiffies);
	cb->memory = skb->truesize;
	cb->limited = has_pressure(q);
	q->memory += cb->memory;
	__skb_queue_tail(&q->to_guest, skb);
}

/* Returns VFMIG_POLICY_PASS, or why the frame is dropped */
static int queue_to_guest(struct vfmig_port_queue *q, struct sk_buff *skb)
{
	if (q->state == VFMIG_PORT_DOWN)
		return VFMIG_DROP_LINK;

	if (has_pressure(q)) {
		append(q, skb);
		netdev_tx_sent_queue(tx_queue(q), skb->len);
		if (!has_room(q))
			netif_tx_stop_queue(tx_queue(q));
		watch_for_stall(q->port);
		return VFMIG_POLICY_PASS;
	}

	if (!has_room(q))
		return VFMIG_DROP_FULL;
	skb_orphan(skb);
	append(q, skb);
	return VFMIG_POLICY_PASS;
}

/* Policies and preparations that need no lock; as queue_to_guest() */
static int prepare_to_guest(struct vfmig_port *port, struct sk_buff *skb)
{
	int why;

	if (!pskb_may_pull(skb, ETH_HLEN))
		return VFMIG_DROP_MALFORMED;
	why = vfmig_policy_to_guest(&port->policy, skb);
	if (why != VFMIG_POLICY_PASS)
		return why;
	/* The frame may wait for long, so it must not keep user memory */
	if (skb_orphan_frags_rx(skb, GFP_ATOMIC))
		return VFMIG_DROP_NO_MEMORY;
	skb_tx_timestamp(skb);
	nf_reset_ct(skb);
	return VFMIG_POLICY_PASS;
}

/* The representor's ndo_start_xmit.  BH-disabled context. */
netdev_tx_t vfmig_port_queue_xmit(struct vfmig_port_queue *q, struct sk_buff *skb)
{
	struct vfmig_port *port = q->port;
	int why;

	why = prepare_to_guest(port, skb);
	if (why == VFMIG_POLICY_PASS) {
		spin_lock(&q->lock);
		why = queue_to_guest(q, skb);
		spin_unlock(&q->lock);
	}
	if (why != VFMIG_POLICY_PASS) {
		atomic64_inc(&port->to_guest_drops[why]);
		kfree_skb(skb);
		return NETDEV_TX_OK;
	}
	port->ops->wake(port->vf, q->index);
	return NETDEV_TX_OK;
}

/* Byte queue limits wait for none of the queued frames any more */
static void end_limits(struct vfmig_port_queue *q)
{
	unsigned int packets = 0, bytes = 0;
	struct sk_buff *skb;

	skb_queue_walk(&q->to_guest, skb) {
		struct frame_cb *cb = frame_cb(skb);

		if (!cb->limited)
			continue;
		cb->limited = false;
		packets++;
		bytes += skb->len;
	}
	netdev_tx_completed_queue(tx_queue(q), packets, bytes);
}

/* From here on nobody waits for the guest */
static void release_senders(struct vfmig_port_queue *q)
{
	struct sk_buff *skb;

	skb_queue_walk(&q->to_guest, skb)
		skb_orphan(skb);
	end_limits(q);
	wake_senders(q);
}

/* The queue is empty after this */
static void flush_to_guest(struct vfmig_port_queue *q, struct sk_buff_head *frames)
{
	end_limits(q);
	skb_queue_splice_tail_init(&q->to_guest, frames);
	q->memory = 0;
	wake_senders(q);
}

/* Senders wait for the guest from here on.  Frames that waited for the VF stay. */
static void press_senders(struct vfmig_port_queue *q)
{
	WRITE_ONCE(q->progress, jiffies);
	if (!has_room(q))
		netif_tx_stop_queue(tx_queue(q));
	if (!skb_queue_empty(&q->to_guest))
		watch_for_stall(q->port);
}

/* The port's lock is held, BHs are off */
void vfmig_port_queue_set_state(struct vfmig_port_queue *q, enum vfmig_port_state state)
{
	struct vfmig_port *port = q->port;
	struct sk_buff_head frames;
	bool wake;

	__skb_queue_head_init(&frames);
	spin_lock(&q->lock);
	q->state = state;
	WRITE_ONCE(q->stalled, false);
	switch (state) {
	case VFMIG_PORT_DOWN:
		flush_to_guest(q, &frames);
		break;
	case VFMIG_PORT_HOLD:
		release_senders(q);
		break;
	case VFMIG_PORT_UP:
		press_senders(q);
		break;
	}
	wake = !skb_queue_empty(&q->to_guest);
	spin_unlock(&q->lock);

	drop_all(&port->to_guest_drops[VFMIG_DROP_FLUSHED], &frames);
	if (wake)
		port->ops->wake(port->vf, q->index);
}

static void stall(struct vfmig_port_queue *q)
{
	WRITE_ONCE(q->stalled, true);
	atomic64_inc(&q->port->stalls);
	release_senders(q);
}

/* Returns whether to look again */
static bool check_stall(struct vfmig_port_queue *q)
{
	bool again = false;

	spin_lock(&q->lock);
	if (has_pressure(q) && !skb_queue_empty(&q->to_guest)) {
		again = time_before(jiffies, READ_ONCE(q->progress) + VFMIG_STALL_JIFFIES);
		if (!again)
			stall(q);
	}
	spin_unlock(&q->lock);
	return again;
}

static void stall_timer(struct timer_list *timer)
{
	struct vfmig_port *port = container_of(timer, struct vfmig_port, stall_timer);
	bool again = false;

	for (unsigned int i = 0; i < port->nr_queues; i++)
		again |= check_stall(&port->queues[i]);
	if (again)
		mod_timer(timer, jiffies + VFMIG_STALL_JIFFIES);
}

struct sk_buff *vfmig_port_take(struct vfmig_port *port, unsigned int queue)
{
	struct vfmig_port_queue *q = &port->queues[queue];
	struct sk_buff *skb = NULL;

	spin_lock_bh(&q->lock);
	if (q->state == VFMIG_PORT_UP)
		skb = __skb_dequeue(&q->to_guest);
	if (skb) {
		q->memory -= frame_cb(skb)->memory;
		if (frame_cb(skb)->limited)
			netdev_tx_completed_queue(tx_queue(q), 1, skb->len);
		if (has_much_room(q))
			wake_senders(q);
	}
	spin_unlock_bh(&q->lock);
	return skb;
}

void vfmig_port_untake(struct vfmig_port *port, unsigned int queue, struct sk_buff *skb)
{
	struct vfmig_port_queue *q = &port->queues[queue];
	struct sk_buff_head frames;

	__skb_queue_head_init(&frames);
	spin_lock_bh(&q->lock);
	if (q->state == VFMIG_PORT_DOWN) {
		__skb_queue_head(&frames, skb);
	} else {
		frame_cb(skb)->limited = false;
		q->memory += frame_cb(skb)->memory;
		__skb_queue_head(&q->to_guest, skb);
		if (has_pressure(q))
			watch_for_stall(port);
		else
			skb_orphan(skb);
	}
	spin_unlock_bh(&q->lock);
	drop_all(&port->to_guest_drops[VFMIG_DROP_FLUSHED], &frames);
}

/* The guest takes frames */
static void note_progress(struct vfmig_port_queue *q)
{
	WRITE_ONCE(q->progress, jiffies);
	if (likely(!READ_ONCE(q->stalled)))
		return;
	spin_lock_bh(&q->lock);
	if (q->stalled) {
		WRITE_ONCE(q->stalled, false);
		press_senders(q);
	}
	spin_unlock_bh(&q->lock);
}

void vfmig_port_delivered(struct vfmig_port *port, unsigned int queue, struct sk_buff *skb)
{
	struct vfmig_port_queue *q = &port->queues[queue];

	count(&q->delivered, skb);
	note_progress(q);
	consume_skb(skb);
}

void vfmig_port_dropped(struct vfmig_port *port, unsigned int queue, struct sk_buff *skb,
			enum vfmig_port_drop why)
{
	atomic64_inc(&port->to_guest_drops[why]);
	note_progress(&port->queues[queue]);
	kfree_skb(skb);
}

/* --- From the guest --- */

static bool is_full(struct vfmig_port_queue *q)
{
	bool full;

	spin_lock_bh(&q->from_guest.lock);
	full = skb_queue_len(&q->from_guest) >= VFMIG_FROM_GUEST_FRAMES;
	if (full)
		q->full = true;
	spin_unlock_bh(&q->from_guest.lock);
	return full;
}

unsigned int vfmig_port_may_send(struct vfmig_port *port, unsigned int queue)
{
	struct vfmig_port_queue *q = &port->queues[queue];
	u64 wait = vfmig_policy_rate_wait(&port->policy);

	if (wait) {
		WRITE_ONCE(q->slowed, true);
		timer_reduce(&port->rate_timer, jiffies + nsecs_to_jiffies(wait) + 1);
		return 0;
	}
	if (is_full(q))
		return 0;
	return READ_ONCE(port->policy.max_rate) ? 1 : VFMIG_PORT_BURST;
}

/* Let the queues send that wait for the rate */
static void rate_timer(struct timer_list *timer)
{
	struct vfmig_port *port = container_of(timer, struct vfmig_port, rate_timer);

	for (unsigned int i = 0; i < port->nr_queues; i++)
		if (xchg(&port->queues[i].slowed, false))
			port->ops->wake(port->vf, i);
}

void vfmig_port_rate_changed(struct vfmig_port *port)
{
	mod_timer(&port->rate_timer, jiffies);
}

/* Returns VFMIG_POLICY_PASS, or why the frame is dropped */
static int queue_from_guest(struct vfmig_port_queue *q, struct sk_buff *skb)
{
	int why = VFMIG_DROP_LINK;

	spin_lock_bh(&q->from_guest.lock);
	if (q->open) {
		why = VFMIG_POLICY_PASS;
		count(&q->sent, skb);
		__skb_queue_tail(&q->from_guest, skb);
	}
	spin_unlock_bh(&q->from_guest.lock);
	return why;
}

void vfmig_port_send(struct vfmig_port *port, unsigned int queue, struct sk_buff *skb)
{
	unsigned int len = skb->len;
	int why = VFMIG_DROP_MALFORMED;

	if (pskb_may_pull(skb, ETH_HLEN))
		why = vfmig_policy_from_guest(&port->policy, skb);
	if (why == VFMIG_POLICY_PASS)
		why = queue_from_guest(&port->queues[queue], skb);
	if (why != VFMIG_POLICY_PASS) {
		atomic64_inc(&port->from_guest_drops[why]);
		kfree_skb(skb);
		return;
	}
	vfmig_policy_rate_charge(&port->policy, len);
}

void vfmig_port_send_dropped(struct vfmig_port *port, unsigned int queue,
			     enum vfmig_port_drop why)
{
	atomic64_inc(&port->from_guest_drops[why]);
}

void vfmig_port_flush(struct vfmig_port *port, unsigned int queue)
{
	struct vfmig_port_queue *q = &port->queues[queue];

	if (skb_queue_empty_lockless(&q->from_guest))
		return;
	local_bh_disable();
	napi_schedule(&q->napi);
	local_bh_enable();
}

/* Let the device send, if it waits for room */
static void wake_guest(struct vfmig_port_queue *q)
{
	bool wake = false;

	if (!READ_ONCE(q->full))
		return;
	spin_lock_bh(&q->from_guest.lock);
	if (q->full && skb_queue_len(&q->from_guest) <= VFMIG_FROM_GUEST_FRAMES / 2) {
		WRITE_ONCE(q->full, false);
		wake = true;
	}
	spin_unlock_bh(&q->from_guest.lock);
	if (wake)
		q->port->ops->wake(q->port->vf, q->index);
}

static int poll(struct napi_struct *napi, int budget)
{
	struct vfmig_port_queue *q = container_of(napi, struct vfmig_port_queue, napi);
	struct sk_buff *skb;
	int done = 0;

	while (done < budget) {
		skb = skb_dequeue(&q->from_guest);
		if (!skb)
			break;
		skb->protocol = eth_type_trans(skb, q->port->dev);
		skb_record_rx_queue(skb, q->index);
		napi_gro_receive(napi, skb);
		done++;
	}
	wake_guest(q);
	if (done < budget && napi_complete_done(napi, done) &&
	    !skb_queue_empty_lockless(&q->from_guest))
		napi_schedule(napi);
	return done;
}

/* --- Both --- */

/* The representor goes up; RTNL */
void vfmig_port_queue_open(struct vfmig_port_queue *q)
{
	napi_enable(&q->napi);
	spin_lock_bh(&q->from_guest.lock);
	q->open = true;
	spin_unlock_bh(&q->from_guest.lock);
	netdev_tx_reset_queue(tx_queue(q));
	netif_tx_start_queue(tx_queue(q));
}

/* The representor goes down, and transmits nothing any more; RTNL */
void vfmig_port_queue_close(struct vfmig_port_queue *q)
{
	struct vfmig_port *port = q->port;
	struct sk_buff_head frames;

	__skb_queue_head_init(&frames);
	spin_lock_bh(&q->lock);
	flush_to_guest(q, &frames);
	spin_unlock_bh(&q->lock);
	drop_all(&port->to_guest_drops[VFMIG_DROP_FLUSHED], &frames);

	spin_lock_bh(&q->from_guest.lock);
	q->open = false;
	skb_queue_splice_tail_init(&q->from_guest, &frames);
	spin_unlock_bh(&q->from_guest.lock);
	drop_all(&port->from_guest_drops[VFMIG_DROP_FLUSHED], &frames);
	wake_guest(q);
	napi_disable(&q->napi);
}

static void init_counter(struct vfmig_port_counter *counter)
{
	u64_stats_init(&counter->sync);
}

void vfmig_port_queues_init(struct vfmig_port *port)
{
	timer_setup(&port->stall_timer, stall_timer, 0);
	timer_setup(&port->rate_timer, rate_timer, 0);
	for (unsigned int i = 0; i < port->nr_queues; i++) {
		struct vfmig_port_queue *q = &port->queues[i];

		q->port = port;
		q->index = i;
		spin_lock_init(&q->lock);
		__skb_queue_head_init(&q->to_guest);
		skb_queue_head_init(&q->from_guest);
		init_counter(&q->delivered);
		init_counter(&q->sent);
		netif_napi_add(port->dev, &q->napi, poll);
	}
}

/* The representor is unregistered, and the device does not use the port any more */
void vfmig_port_queues_exit(struct vfmig_port *port)
{
	timer_shutdown_sync(&port->stall_timer);
	timer_shutdown_sync(&port->rate_timer);
}
