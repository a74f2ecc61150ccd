// SPDX-License-Identifier: GPL-2.0-only
/* See handle.h */
#include <linux/mm.h>
#include <linux/vfmig.h>

#include "../fabric/fabric.h"
#include "handle.h"

static struct vfmig_fn *handle_fn(void *vf)
{
	return *(struct vfmig_fn **)vf;
}

u64 vfmig_handle_bar_read(void *vf, unsigned int bar, u64 offset, unsigned int len)
{
	return vfmig_fn_bar_read(handle_fn(vf), bar, offset, len);
}

void vfmig_handle_bar_write(void *vf, unsigned int bar, u64 offset, unsigned int len, u64 val)
{
	vfmig_fn_bar_write(handle_fn(vf), bar, offset, len, val);
}

static int log_start(void *vf, const struct range *ranges, unsigned int count, u64 *page_size)
{
	*page_size = PAGE_SIZE;
	return vfmig_fn_log_start(handle_fn(vf), ranges, count);
}

static int log_stop(void *vf)
{
	vfmig_fn_log_stop(handle_fn(vf));
	return 0;
}

static int log_report(void *vf, u64 iova, u64 length, struct iova_bitmap *dirty)
{
	return vfmig_fn_log_report(handle_fn(vf), iova, length, dirty);
}

const struct vfmig_log_ops vfmig_handle_log_ops = {
	.start = log_start,
	.stop = log_stop,
	.report = log_report,
};
