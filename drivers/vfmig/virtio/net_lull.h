/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Whether a transmit queue that is empty is to be looked at again before the guest may notify, see
 * net_lull.c.  This needs nothing of the device, so that a test can have it by itself.
 */
#ifndef _VFMIG_VIRTIO_NET_LULL_H
#define _VFMIG_VIRTIO_NET_LULL_H

#include <linux/types.h>

/**
 * struct vfmig_net_lull - what is known of a guest that sends
 * @waiting: the device looks by itself at @until, and the guest does not notify
 * @until: ktime in ns
 * @waits: the device waits when it has sent something
 * @trying: @waits is not as it was before, to see what comes of it
 * @bytes: bytes that came since @since
 * @looks: how often the device has waited since then
 * @found: how often something had come
 * @since: ktime in ns
 * @rate: what came before the try, in units of about 1 KB/s
 * @rest: time between two tries, in ns
 * @next_try: ktime in ns
 */
struct vfmig_net_lull {
	bool waiting;
	u64 until;
	bool waits;
	bool trying;
	u64 bytes;
	unsigned int looks;
	unsigned int found;
	u64 since;
	u64 rate;
	u64 rest;
	u64 next_try;
};

/**
 * vfmig_net_lull_wait() - the queue is empty
 * @lull: zeroed for a queue that has not been used yet
 * @bytes: bytes that were there since the last call
 * @now: ktime in ns
 *
 * Return: true if the device is to look again at @lull->until.  False if it is to let the guest
 * notify.
 */
bool vfmig_net_lull_wait(struct vfmig_net_lull *lull, unsigned int bytes, u64 now);

#endif /* _VFMIG_VIRTIO_NET_LULL_H */
