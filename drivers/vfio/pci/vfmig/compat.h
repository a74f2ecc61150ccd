/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that the variant driver is built against.
 */
#ifndef _VFMIG_VFIO_COMPAT_H
#define _VFMIG_VFIO_COMPAT_H

#include <linux/version.h>
#include <linux/vfio_pci_core.h>

/*
 * vfio_device_ops.get_region_info_caps (6.19) takes region info out of the
 * ioctl, .match_token_uuid (6.17) the VF token out of the device name.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define VFMIG_COMPAT_DEVICE_OPS						\
	.get_region_info_caps = vfio_pci_ioctl_get_region_info,		\
	.match_token_uuid = vfio_pci_core_match_token_uuid,
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#define VFMIG_COMPAT_DEVICE_OPS						\
	.match_token_uuid = vfio_pci_core_match_token_uuid,
#else
#define VFMIG_COMPAT_DEVICE_OPS
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
