/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations of &struct vfmig_vf_ops that are the same for every model: the fabric does the
 * work.  The handle of a VF is a struct that begins with a pointer to its function, and a
 * model that uses these operations says so with VFMIG_HANDLE_BEGINS_WITH_FN().
 */
#ifndef _VFMIG_MODEL_HANDLE_H
#define _VFMIG_MODEL_HANDLE_H

#include <linux/build_bug.h>
#include <linux/stddef.h>
#include <linux/types.h>

struct vfmig_fn;
struct vfmig_log_ops;

#define VFMIG_HANDLE_BEGINS_WITH_FN(type)						\
	static_assert(!offsetof(type, fn) &&						\
		      __same_type(((type *)NULL)->fn, (struct vfmig_fn *)NULL))

/**
 * vfmig_handle_bar_read() - &vfmig_vf_ops.bar_read
 * @vf: the handle
 * @bar: the BAR
 * @offset: offset in it
 * @len: 1, 2, 4 or 8
 *
 * The fabric answers the PBA, and all ones during a reset.
 *
 * Return: the value.
 */
u64 vfmig_handle_bar_read(void *vf, unsigned int bar, u64 offset, unsigned int len);

/**
 * vfmig_handle_bar_write() - &vfmig_vf_ops.bar_write
 * @vf: the handle
 * @bar: the BAR
 * @offset: offset in it
 * @len: 1, 2, 4 or 8
 * @val: the value
 */
void vfmig_handle_bar_write(void *vf, unsigned int bar, u64 offset, unsigned int len, u64 val);

/*
 * The fabric's log, in pages of 4 KiB: fine enough for a user that asks for larger ones.  The
 * model ends it at a close, with vfmig_fn_log_stop().
 */
extern const struct vfmig_log_ops vfmig_handle_log_ops;

#endif /* _VFMIG_MODEL_HANDLE_H */
