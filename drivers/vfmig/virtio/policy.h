/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the administrator demands of a VF and its frames, in policy.c.
 */
#ifndef _VFMIG_POLICY_H
#define _VFMIG_POLICY_H

#include <linux/if_ether.h>
#include <linux/seqlock.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct sk_buff;

/**
 * struct vfmig_policy - the administrator's settings of a VF
 * @lock: protects what is between it and @rate_lock.  Frames are checked under a read
 *	section of it.
 * @admin_mac: MAC address that the administrator set, or zeroes
 * @mac: MAC address that the VF has
 * @vlan_proto: Ethernet type of the VF's VLAN tag
 * @vlan_tci: VLAN and priority of the VF's frames, or 0 for none
 * @spoofchk: frames from the guest must have the address @mac
 * @trusted: the guest may choose its address and its receive modes
 * @link_state: IFLA_VF_LINK_STATE_*
 * @max_rate: limit of what the guest sends, in Mbit/s, or 0.  Also read without the lock.
 * @rate_lock: protects what follows
 * @tokens: bytes that the guest may send now.  Negative after a frame that was larger.
 * @fraction: part of a byte beside @tokens, in 1/8000
 * @filled: time when tokens were added last, of the monotonic clock, in nanoseconds
 */
struct vfmig_policy {
	seqlock_t lock;			/* see above */
	u8 admin_mac[ETH_ALEN];
	u8 mac[ETH_ALEN];
	__be16 vlan_proto;
	u16 vlan_tci;
	bool spoofchk;
	bool trusted;
	int link_state;
	u32 max_rate;

	spinlock_t rate_lock;		/* see above */
	s64 tokens;
	u32 fraction;
	u64 filled;
};

/* A policy lets a frame pass, or tells why it does not, in the terms of enum vfmig_port_drop */
#define VFMIG_POLICY_PASS	(-1)

void vfmig_policy_init(struct vfmig_policy *policy);
int vfmig_policy_to_guest(struct vfmig_policy *policy, struct sk_buff *skb);
int vfmig_policy_from_guest(struct vfmig_policy *policy, struct sk_buff *skb);
u64 vfmig_policy_rate_wait(struct vfmig_policy *policy);
void vfmig_policy_rate_charge(struct vfmig_policy *policy, unsigned int bytes);

#endif /* _VFMIG_POLICY_H */
