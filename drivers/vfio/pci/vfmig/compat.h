/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between kernels in the interfaces that the variant driver uses.  Kbuild
 * defines the VFMIG_HAS_ symbols from the kernel's headers.
 */
#ifndef _VFMIG_VFIO_COMPAT_H
#define _VFMIG_VFIO_COMPAT_H

#include <linux/vfio_pci_core.h>

/* Region info has its own callback and is not part of the ioctl callback any more (6.19) */
#ifdef VFMIG_HAS_REGION_INFO_CAPS
#define VFMIG_COMPAT_REGION_INFO_OP					\
	.get_region_info_caps = vfmig_map_region_info,
#else
#define VFMIG_COMPAT_REGION_INFO_OP
#endif

/* The VF token has its own callback and is not only in the device name any more (6.17) */
#ifdef VFMIG_HAS_MATCH_TOKEN_UUID
#define VFMIG_COMPAT_MATCH_TOKEN_OP					\
	.match_token_uuid = vfio_pci_core_match_token_uuid,
#else
#define VFMIG_COMPAT_MATCH_TOKEN_OP
#endif

/* The argument of MODULE_IMPORT_NS() is a token (until 6.12) or a string */
#ifdef VFMIG_HAS_TOKEN_NAMESPACE
#define VFMIG_IMPORT_IOMMUFD	MODULE_IMPORT_NS(IOMMUFD)
#else
#define VFMIG_IMPORT_IOMMUFD	MODULE_IMPORT_NS("IOMMUFD")
#endif

/*
 * Has the user enabled VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, and so knows
 * VFIO_PRECOPY_INFO_REINIT?  A kernel has both or none.
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
