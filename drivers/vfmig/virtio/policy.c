// SPDX-License-Identifier: GPL-2.0-only
/*
 * The policies of a VF: what the administrator demands of the frames of a guest, which can
 * be hostile, and of the frames to it.  The settings come from the PF's netdev, pf_net.c.
 */
#include <linux/etherdevice.h>
#include <linux/if_link.h>
#include <linux/if_vlan.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/skbuff.h>

#include "policy.h"
#include "port_priv.h"

/* Mbit/s to bytes in a time, and back */
#define NS_PER_BYTE_AT_1MBIT	(8 * NSEC_PER_USEC)

/* A VF that sent nothing may send as much at once as in this time, and at least one frame */
#define VFMIG_RATE_BURST_NS	(10 * NSEC_PER_MSEC)
#define VFMIG_RATE_MIN_BURST	SZ_64K

void vfmig_policy_init(struct vfmig_policy *policy)
{
	seqlock_init(&policy->lock);
	spin_lock_init(&policy->rate_lock);
	policy->vlan_proto = htons(ETH_P_8021Q);
	policy->spoofchk = true;
	policy->link_state = IFLA_VF_LINK_STATE_AUTO;
}

/**
 * struct frame_policy - the settings that concern each frame, read at one time
 * @mac: see &struct vfmig_policy, like the others
 * @proto: see @vlan_proto there
 * @tci: see @vlan_tci there
 * @spoofchk: see there
 * @link_off: the administrator has turned the link off
 */
struct frame_policy {
	u8 mac[ETH_ALEN];
	__be16 proto;
	u16 tci;
	bool spoofchk;
	bool link_off;
};

static struct frame_policy read_policy(struct vfmig_policy *policy)
{
	struct frame_policy frame;
	unsigned int seq;

	do {
		seq = read_seqbegin(&policy->lock);
		ether_addr_copy(frame.mac, policy->mac);
		frame.proto = policy->vlan_proto;
		frame.tci = policy->vlan_tci;
		frame.spoofchk = policy->spoofchk;
		frame.link_off = policy->link_state == IFLA_VF_LINK_STATE_DISABLE;
	} while (read_seqretry(&policy->lock, seq));
	return frame;
}

/* Remove the VF's VLAN tag, which the guest must not see */
static int pop_vlan(const struct frame_policy *frame, struct sk_buff *skb)
{
	u16 vid = frame->tci & VLAN_VID_MASK;
	u16 tci;

	if (((struct ethhdr *)skb->data)->h_proto != frame->proto)
		/* VLAN 0 is a priority only, and such a frame needs no tag */
		return vid ? VFMIG_DROP_VLAN : VFMIG_POLICY_PASS;
	if (!pskb_may_pull(skb, VLAN_ETH_HLEN))
		return VFMIG_DROP_MALFORMED;
	tci = ntohs(((struct vlan_ethhdr *)skb->data)->h_vlan_TCI);
	if ((tci & VLAN_VID_MASK) != vid)
		return VFMIG_DROP_VLAN;
	skb_reset_mac_header(skb);
	return __skb_vlan_pop(skb, &tci) ? VFMIG_DROP_NO_MEMORY : VFMIG_POLICY_PASS;
}

/*
 * Apply the policies to a frame that the representor transmits.  A VLAN tag is in the frame,
 * because the representor offers no offload for it.  Returns VFMIG_POLICY_PASS, or why the
 * frame must be dropped.  Softirq or BH-disabled context.
 */
int vfmig_policy_to_guest(struct vfmig_policy *policy, struct sk_buff *skb)
{
	struct frame_policy frame = read_policy(policy);

	if (frame.link_off)
		return VFMIG_DROP_LINK;
	return frame.tci ? pop_vlan(&frame, skb) : VFMIG_POLICY_PASS;
}

/*
 * The same for a frame of the guest.  A guest with a VLAN must not choose one itself, but with
 * an outer tag of 802.1ad it has all VLANs inside.
 */
int vfmig_policy_from_guest(struct vfmig_policy *policy, struct sk_buff *skb)
{
	const struct ethhdr *eth = (struct ethhdr *)skb->data;
	struct frame_policy frame = read_policy(policy);

	if (frame.link_off)
		return VFMIG_DROP_LINK;
	if (frame.spoofchk && !ether_addr_equal(eth->h_source, frame.mac))
		return VFMIG_DROP_SPOOF;
	if (!frame.tci)
		return VFMIG_POLICY_PASS;
	if (eth->h_proto == frame.proto || eth->h_proto == htons(ETH_P_8021AD))
		return VFMIG_DROP_VLAN;
	__vlan_hwaccel_put_tag(skb, frame.proto, frame.tci);
	return VFMIG_POLICY_PASS;
}

static void refill(struct vfmig_policy *policy, u32 rate)
{
	s64 burst = max_t(s64, VFMIG_RATE_MIN_BURST,
			  div_u64((u64)VFMIG_RATE_BURST_NS * rate, NS_PER_BYTE_AT_1MBIT));
	u64 now = ktime_get_ns();
	/* One second at most, so that the product has no more than 62 bits */
	u64 passed = min_t(u64, now - policy->filled, NSEC_PER_SEC);
	u64 bytes;

	/* The fraction is kept: at a low rate, no whole byte comes between two calls */
	bytes = div_u64_rem(passed * rate + policy->fraction, NS_PER_BYTE_AT_1MBIT,
			    &policy->fraction);
	policy->tokens = min_t(s64, burst, policy->tokens + bytes);
	policy->filled = now;
}

/* Return how long the guest must wait until it may send again, in nanoseconds; often 0 */
u64 vfmig_policy_rate_wait(struct vfmig_policy *policy)
{
	u32 rate = READ_ONCE(policy->max_rate);
	u64 wait = 0;

	if (!rate)
		return 0;
	spin_lock_bh(&policy->rate_lock);
	refill(policy, rate);
	if (policy->tokens <= 0)
		wait = div_u64((u64)(1 - policy->tokens) * NS_PER_BYTE_AT_1MBIT, rate) + 1;
	spin_unlock_bh(&policy->rate_lock);
	return wait;
}

/*
 * A guest sends @bytes.  It may do that if there was at least one token, so it is in debt for
 * less than a frame from each queue.
 */
void vfmig_policy_rate_charge(struct vfmig_policy *policy, unsigned int bytes)
{
	if (!READ_ONCE(policy->max_rate))
		return;
	spin_lock_bh(&policy->rate_lock);
	policy->tokens -= bytes;
	spin_unlock_bh(&policy->rate_lock);
}
