/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Profiles: a VF that behaves to its user as a VF of another driver does
 * (Documentation/faults.rst).
 */
#ifndef _VFMIG_PROFILE_H
#define _VFMIG_PROFILE_H

#include <linux/types.h>

struct vfmig_device;

/**
 * struct vfmig_profile - how the VFs of a driver behave
 * @name: of the profile
 * @flags: VFIO_MIGRATION_* that are offered, of those that the device has
 * @needs: those that the device must have
 * @log: DMA logging is offered, if the device has it
 * @identity_only: in PRE_COPY there is nothing but IDENTITY
 * @on_request: in PRE_COPY a reader gets of what is dirty only what PRECOPY_INFO has told, which
 *	tells nothing of it before the initial data was read
 * @whole_size: MIG_DATA_SIZE is the size of a whole stream, whatever was read of it
 */
struct vfmig_profile {
	const char *name;
	u64 flags;
	u64 needs;
	bool log;
	bool identity_only;
	bool on_request;
	bool whole_size;
};

extern const struct vfmig_profile vfmig_no_profile;

void vfmig_profile_fs_add(struct vfmig_device *vfdev);

#endif /* _VFMIG_PROFILE_H */
