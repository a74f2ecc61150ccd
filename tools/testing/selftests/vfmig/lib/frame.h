/* SPDX-License-Identifier: GPL-2.0-only */
/* Ethernet frames with a sequence number and a pattern, which show what became of them */
#ifndef VFMIG_TEST_FRAME_H
#define VFMIG_TEST_FRAME_H

#include <linux/if_ether.h>

#include "util.h"

/* Ethertype for local experiments, which no protocol of the host takes */
#define FRAME_TYPE	0x88b5
/* Shortest test frame */
#define FRAME_MIN	22
/* Longest frame that any device here takes, without the header of virtio-net */
#define FRAME_MAX	(65535 + ETH_HLEN)

extern const u8 mac_broadcast[ETH_ALEN];
extern const u8 mac_multicast[ETH_ALEN];	/* of the range for local use */
extern const u8 mac_other[ETH_ALEN];		/* of no device here */

/* Write a frame of @len bytes; returns @len */
size_t frame_make(void *buf, const u8 *dst, const u8 *src, u32 seq, size_t len);
/* The sequence number, or -1 if it is no test frame, is damaged or not @len bytes long */
s64 frame_seq(const void *buf, size_t len);
/* Insert a VLAN tag into a frame in a buffer with room for it; returns the new length */
size_t frame_tag(void *buf, size_t len, u16 vid);

/* Which of the frames 0 to @count - 1 have come */
struct frame_set {
	unsigned int count;
	unsigned int missing;
	u8 *times;
};

void frame_set_init(struct frame_set *set, unsigned int count);
void frame_set_free(struct frame_set *set);
/* A frame has come; fails the test if it has come before or is not one of these */
void frame_set_add(struct frame_set *set, s64 seq);

#endif /* VFMIG_TEST_FRAME_H */
