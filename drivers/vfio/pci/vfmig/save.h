/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The data fd of PRE_COPY and STOP_COPY: a user reads a VF's stream from it.
 */
#ifndef _VFMIG_SAVE_H
#define _VFMIG_SAVE_H

#include <linux/types.h>

struct file;
struct vfmig_device;
struct vfmig_save;

struct vfmig_save *vfmig_save_create(struct vfmig_device *vfdev);
struct file *vfmig_save_file(struct vfmig_save *save);
void vfmig_save_enter_stop_copy(struct vfmig_save *save);
void vfmig_save_end(struct vfmig_save *save);
int vfmig_save_unread(struct vfmig_save *save, u64 *unread);
int vfmig_save_progress(struct vfmig_save *save, u64 *done, u64 *left);
void vfmig_save_whole(struct vfmig_save *save, u64 *bytes);
void vfmig_save_wake(struct vfmig_save *save);

int vfmig_save_estimate(struct vfmig_device *vfdev, u64 *bytes);

#endif /* _VFMIG_SAVE_H */
