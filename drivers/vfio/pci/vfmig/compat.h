/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What of the kernel's interfaces differs for the variant driver.  Kbuild asks the
 * headers for the VFMIG_HAS_ symbols.
 */
#ifndef _VFMIG_VFIO_COMPAT_H
#define _VFMIG_VFIO_COMPAT_H

#include <linux/vfio_pci_core.h>

/* vfio_device_ops.get_region_info_caps takes region info out of the ioctl (6.19) */
#ifdef VFMIG_HAS_REGION_INFO_CAPS
#define VFMIG_COMPAT_REGION_INFO_OP					\
	.get_region_info_caps = vfio_pci_ioctl_get_region_info,
#else
#define VFMIG_COMPAT_REGION_INFO_OP
#endif

/* .match_token_uuid takes the VF token out of the device name (6.17) */
#ifdef VFMIG_HAS_MATCH_TOKEN_UUID
#define VFMIG_COMPAT_MATCH_TOKEN_OP					\
	.match_token_uuid = vfio_pci_core_match_token_uuid,
#else
#define VFMIG_COMPAT_MATCH_TOKEN_OP
#endif

/*
 * Did the user ask for VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, and so know of
 * VFIO_PRECOPY_INFO_REINIT?  The kernel has both or none.
 */
#ifdef VFIO_PRECOPY_INFO_REINIT
static inline bool vfmig_compat_precopy_info_v2(const struct vfio_device *vdev)
{
	return READ_ONCE(vdev->precopy_info_v2);
}
#else
#define VFIO_PRECOPY_INFO_REINIT BIT(0)

static inline bool vfmig_compat_precopy_info_v2(const struct vfio_device *vdev)
{
	return false;
}
#endif

#endif /* _VFMIG_VFIO_COMPAT_H */
