// SPDX-License-Identifier: GPL-2.0-only
/* See frame.h */
#include "frame.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

const u8 mac_broadcast[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
const u8 mac_multicast[ETH_ALEN] = { 0x03, 0, 0, 0, 0, 0x42 };
const u8 mac_other[ETH_ALEN] = { 0x02, 0, 0, 0, 0, 0x99 };

struct test_frame {
	struct ethhdr eth;
	u32 seq;
	u32 len;
	u8 pattern[];
} __packed;

size_t frame_make(void *buf, const u8 *dst, const u8 *src, u32 seq, size_t len)
{
	struct test_frame *frame = buf;

	must(len >= FRAME_MIN && len <= FRAME_MAX);
	memcpy(frame->eth.h_dest, dst, ETH_ALEN);
	memcpy(frame->eth.h_source, src, ETH_ALEN);
	frame->eth.h_proto = htons(FRAME_TYPE);
	frame->seq = seq;
	frame->len = len;
	fill_pattern(frame->pattern, len - sizeof(*frame), seq);
	return len;
}

s64 frame_seq(const void *buf, size_t len)
{
	const struct test_frame *frame = buf;

	if (len < sizeof(*frame) || frame->eth.h_proto != htons(FRAME_TYPE) ||
	    frame->len != len || !is_pattern(frame->pattern, len - sizeof(*frame), frame->seq))
		return -1;
	return frame->seq;
}

size_t frame_tag(void *buf, size_t len, u16 vid)
{
	u8 *at = (u8 *)buf + 2 * ETH_ALEN;
	u16 tag[2] = { htons(ETH_P_8021Q), htons(vid) };

	memmove(at + sizeof(tag), at, len - 2 * ETH_ALEN);
	memcpy(at, tag, sizeof(tag));
	return len + sizeof(tag);
}

void frame_set_init(struct frame_set *set, unsigned int count)
{
	set->count = count;
	set->missing = count;
	set->times = calloc(count, 1);
	must(set->times);
}

void frame_set_free(struct frame_set *set)
{
	free(set->times);
}

void frame_set_add(struct frame_set *set, s64 seq)
{
	must(seq >= 0 && seq < set->count);
	if (set->times[seq]++)
		fail(__FILE__, __LINE__, "frame %lld came twice", seq);
	set->missing--;
}
