/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data fd of RESUMING: a user writes a stream to it.
 */
#ifndef _VFMIG_LOAD_H
#define _VFMIG_LOAD_H

#include <linux/types.h>

struct file;
struct vfmig_device;
struct vfmig_load;

struct vfmig_load *vfmig_load_create(struct vfmig_device *vfdev);
struct file *vfmig_load_file(struct vfmig_load *load);
u64 vfmig_load_done(const struct vfmig_load *load);
bool vfmig_load_complete(struct vfmig_load *load);
void vfmig_load_end(struct vfmig_load *load);
void vfmig_load_wake(struct vfmig_load *load);

#endif /* _VFMIG_LOAD_H */
