// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of VFIO and iommufd as data.  The errnos are those that the uAPI's headers and
 * Documentation/driver.rst give, and those of the resources that a call needs.
 */
#include <errno.h>

#include "compat.h"
#include "ioctl.h"

#define GET	VFIO_DEVICE_FEATURE_GET
#define SET	VFIO_DEVICE_FEATURE_SET

#define AT(offset, size, kind, ...)	{ offset, size, FIELD_##kind, ##__VA_ARGS__ }

const struct call calls[] = {
	/* Container */
	{ .name = "GET_API_VERSION", .request = VFIO_GET_API_VERSION, .arg = ARG_VALUE,
	  .kinds = OF(CONTAINER) | OF(IOMMUFD) },
	{ .name = "CHECK_EXTENSION", .request = VFIO_CHECK_EXTENSION, .arg = ARG_VALUE,
	  .kinds = OF(CONTAINER) | OF(IOMMUFD), .most = 1 },
	{ .name = "SET_IOMMU", .request = VFIO_SET_IOMMU, .arg = ARG_VALUE,
	  .kinds = OF(CONTAINER) | OF(IOMMUFD),
	  .errnos = { EINVAL, ENODEV, EBUSY, ENOMEM, EPERM } },
	{ .name = "IOMMU_GET_INFO", .request = VFIO_IOMMU_GET_INFO,
	  .kinds = OF(CONTAINER) | OF(IOMMUFD), .minsz = 16, .size = 24,
	  .fields = { AT(0, 4, ARGSZ) },
	  .written = { { 0, TO_END } }, .errnos = { EINVAL, ENOMEM } },
	{ .name = "IOMMU_MAP_DMA", .request = VFIO_IOMMU_MAP_DMA,
	  .kinds = OF(CONTAINER) | OF(IOMMUFD), .minsz = 32, .size = 32,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 7), AT(8, 8, MEMORY), AT(16, 8, IOVA),
		      AT(24, 8, LENGTH) },
	  .errnos = { EINVAL, EEXIST, ENOENT, ENOSPC, ENOMEM, EOVERFLOW, EFAULT, EBUSY } },
	{ .name = "IOMMU_UNMAP_DMA", .request = VFIO_IOMMU_UNMAP_DMA,
	  .kinds = OF(CONTAINER), .minsz = 24, .size = 48,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 3), AT(8, 8, IOVA), AT(16, 8, LENGTH),
		      AT(24, 8, PAGE_SIZE), AT(32, 8, LENGTH), AT(40, 8, POINTER) },
	  .written = { { 16, 8 } },
	  .errnos = { EINVAL, EOVERFLOW, ENOMEM, EFAULT, ENOENT, EBUSY } },
	/* iommufd writes what it has unmapped when it fails, too */
	{ .name = "IOMMU_UNMAP_DMA of iommufd", .request = VFIO_IOMMU_UNMAP_DMA,
	  .kinds = OF(IOMMUFD), .minsz = 24, .size = 24, .writes_early = true,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 2), AT(8, 8, IOVA), AT(16, 8, LENGTH) },
	  .written = { { 16, 8 } },
	  .errnos = { EINVAL, EOVERFLOW, ENOMEM, ENOENT, EBUSY } },
	{ .name = "IOMMU_DIRTY_PAGES", .request = VFIO_IOMMU_DIRTY_PAGES, .kinds = OF(CONTAINER),
	  .minsz = 8, .size = 48,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, BIT, 7), AT(8, 8, IOVA), AT(16, 8, LENGTH),
		      AT(24, 8, PAGE_SIZE), AT(32, 8, LENGTH), AT(40, 8, POINTER) },
	  .errnos = { EINVAL, EACCES, EOVERFLOW, ENOMEM, EFAULT } },

	/* Group */
	{ .name = "GROUP_GET_STATUS", .request = VFIO_GROUP_GET_STATUS, .kinds = OF(GROUP),
	  .minsz = 8, .size = 8, .fields = { AT(0, 4, ARGSZ) },
	  .written = { { 0, 8 } }, .errnos = { EINVAL, ENODEV } },
	{ .name = "GROUP_SET_CONTAINER", .request = VFIO_GROUP_SET_CONTAINER, .kinds = OF(GROUP),
	  .arg = ARG_FD, .minsz = 4, .size = 4,
	  .fields = { AT(0, 4, FD, OF(CONTAINER) | OF(IOMMUFD)) },
	  .errnos = { EBADF, EBADFD, EINVAL, ENODEV, EBUSY, EPERM, ENOMEM } },
	{ .name = "GROUP_UNSET_CONTAINER", .request = VFIO_GROUP_UNSET_CONTAINER,
	  .kinds = OF(GROUP), .arg = ARG_VALUE, .errnos = { EINVAL, EBUSY } },
	{ .name = "GROUP_GET_DEVICE_FD", .request = VFIO_GROUP_GET_DEVICE_FD, .kinds = OF(GROUP),
	  .arg = ARG_NAME, .minsz = 1, .size = BDF_SIZE, .most = 0x7fffffff,
	  /* The last four: an iommufd attaches the device to an address space, see below */
	  .errnos = { ENODEV, EINVAL, EBUSY, ENOMEM, EPERM, EACCES, EMFILE, ENFILE, ENOENT,
		      EEXIST, EADDRINUSE, EFAULT } },

	/* Device */
	{ .name = "DEVICE_GET_INFO", .request = VFIO_DEVICE_GET_INFO, .kinds = ANY_DEVICE,
	  .minsz = 16, .size = 24, .fields = { AT(0, 4, ARGSZ) },
	  .written = { { 0, TO_END } }, .errnos = { EINVAL, ENOMEM } },
	{ .name = "DEVICE_GET_REGION_INFO", .request = VFIO_DEVICE_GET_REGION_INFO,
	  .kinds = ANY_DEVICE, .minsz = 32, .size = 32,
	  .fields = { AT(0, 4, ARGSZ), AT(8, 4, NUMBER, VFIO_PCI_NUM_REGIONS - 1) },
	  .written = { { 0, 8 }, { 12, TO_END } }, .errnos = { EINVAL, ENOMEM } },
	{ .name = "DEVICE_GET_IRQ_INFO", .request = VFIO_DEVICE_GET_IRQ_INFO, .kinds = ANY_DEVICE,
	  .minsz = 16, .size = 16,
	  .fields = { AT(0, 4, ARGSZ), AT(8, 4, NUMBER, VFIO_PCI_NUM_IRQS - 1) },
	  .written = { { 0, 8 }, { 12, 4 } }, .errnos = { EINVAL } },
	{ .name = "DEVICE_SET_IRQS", .request = VFIO_DEVICE_SET_IRQS, .kinds = ANY_DEVICE,
	  .minsz = 20, .size = 36,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, IRQ),
		      AT(8, 4, NUMBER, VFIO_PCI_NUM_IRQS - 1, VFIO_PCI_MSIX_IRQ_INDEX),
		      AT(12, 4, NUMBER, 3), AT(16, 4, NUMBER, 4, 1), AT(20, 4, FD, OF(EVENT)),
		      AT(24, 4, FD, OF(EVENT)), AT(28, 4, FD, OF(EVENT)),
		      AT(32, 4, FD, OF(EVENT)) },
	  /* ERANGE: no vector is one too few */
	  .errnos = { EINVAL, ENOTTY, EBADF, ENOMEM, ENOSPC, EFAULT, ERANGE } },
	{ .name = "DEVICE_RESET", .request = VFIO_DEVICE_RESET, .kinds = ANY_DEVICE,
	  .arg = ARG_VALUE,
	  /* Another reset has the function's lock */
	  .errnos = { EAGAIN } },
	/* The bus of a VF is a root bus, which nothing can reset */
	{ .name = "DEVICE_GET_PCI_HOT_RESET_INFO", .request = VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
	  .kinds = ANY_DEVICE, .size = 44, .refused = true,
	  .minsz = 12, .writes_early = true,
	  .fields = { AT(0, 4, ARGSZ) },
	  .written = { { 4, TO_END } }, .errnos = { EINVAL, ENODEV, ENOSPC, ENOMEM, EPERM } },
	{ .name = "DEVICE_PCI_HOT_RESET", .request = VFIO_DEVICE_PCI_HOT_RESET,
	  .kinds = ANY_DEVICE, .size = 20, .refused = true,
	  .minsz = 12,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 0), AT(8, 4, NUMBER, 2),
		      AT(12, 4, FD, OF(GROUP)), AT(16, 4, FD, OF(GROUP)) },
	  .errnos = { EINVAL, ENODEV, EBADF, ENOMEM, EPERM, EFAULT } },
	/* Nothing is behind the address of a BAR, and only BARs can have one */
	{ .name = "DEVICE_IOEVENTFD", .request = VFIO_DEVICE_IOEVENTFD, .kinds = ANY_DEVICE,
	  .minsz = 28, .size = 32, .refused = true,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 15), AT(8, 8, NUMBER, KIB(16)),
		      AT(24, 4, FD, OF(EVENT)) },
	  .errnos = { EINVAL, ENOTTY } },
	{ .name = "DEVICE_BIND_IOMMUFD", .request = VFIO_DEVICE_BIND_IOMMUFD, .kinds = ANY_DEVICE,
	  .minsz = 16, .size = 24,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 0), AT(8, 4, FD, OF(IOMMUFD)),
		      AT(16, 8, POINTER) },
	  .written = { { 12, 4 } },
	  /* E2BIG: something behind the argument.  EFAULT: a flag says that there is a token. */
	  .errnos = { EINVAL, ENOTTY, EBADF, EBADFD, EBUSY, EPERM, ENODEV, ENOMEM, E2BIG,
		      EFAULT } },
	{ .name = "DEVICE_ATTACH_IOMMUFD_PT", .request = VFIO_DEVICE_ATTACH_IOMMUFD_PT,
	  .kinds = OF(CDEV), .minsz = 12, .size = 12,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 0), AT(8, 4, ID, ATTACH_IDS) },
	  .written = { { 8, 4 } },
	  /*
	   * EFAULT: an address space without a device takes any memory, and the first device has
	   * it pinned.  EOPNOTSUPP: a flag says that there is a PASID.
	   */
	  .errnos = { EINVAL, ENOENT, ENOMEM, EBUSY, EEXIST, EADDRINUSE, ENODEV, EPERM, EFAULT,
		      EOPNOTSUPP } },
	{ .name = "DEVICE_DETACH_IOMMUFD_PT", .request = VFIO_DEVICE_DETACH_IOMMUFD_PT,
	  .kinds = OF(CDEV), .minsz = 8, .size = 8,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 0) },
	  .errnos = { EINVAL, EOPNOTSUPP } },

	/* Features of a device; the last is for all that are unknown */
	{ .name = "FEATURE MIGRATION", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_MIGRATION,
	  .minsz = 8, .size = 16,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, GET) },
	  .written = { { 8, 8 } }, .errnos = { EINVAL } },
	{ .name = "FEATURE MIG_DEVICE_STATE", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
	  .minsz = 8, .size = 16,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, SET), AT(8, 4, STATE) },
	  .writes_early = true, .written = { { 8, 8 } },
	  .errnos = { EINVAL, ECANCELED, ENOTRECOVERABLE, ENODEV, ENOMEM, ENFILE, EMFILE, EIO } },
	{ .name = "FEATURE MIG_DEVICE_STATE GET", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
	  .minsz = 8, .size = 16,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, GET) },
	  .writes_early = true, .written = { { 8, 8 } },
	  .errnos = { EINVAL, ENODEV } },
	{ .name = "FEATURE MIG_DATA_SIZE", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
	  .minsz = 8, .size = 16,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, GET) },
	  .written = { { 8, 8 } }, .errnos = { EINVAL, EIO, ENODEV } },
	{ .name = "FEATURE MIG_PRECOPY_INFOv2", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2,
	  .minsz = 8, .size = 8,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, SET) },
	  .errnos = { EINVAL, ENOTTY } },
	{ .name = "FEATURE LOW_POWER_ENTRY", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
	  .minsz = 8, .size = 8,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, SET) },
	  .errnos = { EINVAL, ENOTTY } },
	{ .name = "FEATURE LOW_POWER_ENTRY_WITH_WAKEUP", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
	  .minsz = 8, .size = 16,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, SET), AT(8, 4, FD, OF(EVENT)),
		      AT(12, 4, ZERO) },
	  .errnos = { EINVAL, ENOTTY, EBADF } },
	{ .name = "FEATURE LOW_POWER_EXIT", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
	  .minsz = 8, .size = 8,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, SET) },
	  .errnos = { EINVAL, ENOTTY } },
	{ .name = "FEATURE DMA_LOGGING_START", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
	  .minsz = 8, .size = 32,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, SET), AT(8, 8, PAGE_SIZE),
		      AT(16, 4, NUMBER, 3), AT(20, 4, ZERO), AT(24, 8, POINTER) },
	  .written = { { 8, 24 } },
	  .errnos = { EINVAL, ENOTTY, E2BIG, EOVERFLOW, ENOMEM, ENODEV, EIO, EFAULT } },
	{ .name = "FEATURE DMA_LOGGING_STOP", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
	  .minsz = 8, .size = 8,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, SET) },
	  .errnos = { EINVAL, ENOTTY, ENODEV } },
	{ .name = "FEATURE DMA_LOGGING_REPORT", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
	  .minsz = 8, .size = 40,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, GET), AT(8, 8, IOVA), AT(16, 8, LENGTH),
		      AT(24, 8, PAGE_SIZE), AT(32, 8, POINTER) },
	  .errnos = { EINVAL, ENOTTY, EOVERFLOW, ENOMEM, ENODEV, EIO, EFAULT } },
	/* PCI has a register for it */
	{ .name = "FEATURE BUS_MASTER", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_BUS_MASTER,
	  .minsz = 8, .size = 12, .refused = true,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, SET), AT(8, 4, NUMBER, 1) },
	  .errnos = { EINVAL, ENOTTY } },
	/* There is no memory behind a BAR that another device could access */
	{ .name = "FEATURE DMA_BUF", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = VFIO_DEVICE_FEATURE_DMA_BUF,
	  .minsz = 8, .size = 40, .refused = true,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, GET), AT(8, 4, NUMBER, 5),
		      AT(12, 4, NUMBER, 2), AT(16, 4, ZERO), AT(20, 4, NUMBER, 2, 1),
		      AT(24, 8, NUMBER, KIB(16)), AT(32, 8, LENGTH) },
	  .errnos = { EINVAL, ENOTTY, EOPNOTSUPP } },
	{ .name = "FEATURE unknown", .request = VFIO_DEVICE_FEATURE,
	  .kinds = ANY_DEVICE, .feature = 0x7fff,
	  .minsz = 8, .size = 24, .refused = true,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FEATURE, GET) },
	  .errnos = { EINVAL, ENOTTY, EOPNOTSUPP } },

	/* Data fd */
	{ .name = "MIG_GET_PRECOPY_INFO", .request = VFIO_MIG_GET_PRECOPY_INFO, .kinds = OF(SAVE),
	  .minsz = 24, .size = 24, .fields = { AT(0, 4, ARGSZ) },
	  .written = { { 4, 20 } }, .errnos = { EINVAL, ENODEV, EIO } },

	/* iommufd, whose errnos are below: each depends on the objects behind the IDs */
	{ .name = "IOMMU_DESTROY", .request = IOMMU_DESTROY, .kinds = OF(IOMMUFD),
	  .minsz = 8, .size = 8,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, ID, ANY_ID) } },
	{ .name = "IOMMU_IOAS_ALLOC", .request = IOMMU_IOAS_ALLOC, .kinds = OF(IOMMUFD),
	  .minsz = 12, .size = 12,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 0) },
	  .written = { { 8, 4 } } },
	{ .name = "IOMMU_IOAS_ALLOW_IOVAS", .request = IOMMU_IOAS_ALLOW_IOVAS,
	  .kinds = OF(IOMMUFD), .minsz = 24, .size = 24,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, ID, SPACE_IDS), AT(8, 4, NUMBER, 2),
		      AT(12, 4, ZERO), AT(16, 8, POINTER) } },
	{ .name = "IOMMU_IOAS_COPY", .request = IOMMU_IOAS_COPY, .kinds = OF(IOMMUFD),
	  .minsz = 40, .size = 40, .writes_early = true,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 7), AT(8, 4, ID, SPACE_IDS),
		      AT(12, 4, ID, SPACE_IDS), AT(16, 8, LENGTH), AT(24, 8, IOVA),
		      AT(32, 8, IOVA) },
	  .written = { { 24, 8 } } },
	{ .name = "IOMMU_IOAS_IOVA_RANGES", .request = IOMMU_IOAS_IOVA_RANGES,
	  .kinds = OF(IOMMUFD), .minsz = 32, .size = 32,
	  .writes_early = true,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, ID, SPACE_IDS), AT(8, 4, NUMBER, 4),
		      AT(12, 4, ZERO), AT(16, 8, POINTER) },
	  .written = { { 8, 4 }, { 24, 8 } } },
	{ .name = "IOMMU_IOAS_MAP", .request = IOMMU_IOAS_MAP, .kinds = OF(IOMMUFD),
	  .minsz = 40, .size = 40, .writes_early = true,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 7), AT(8, 4, ID, SPACE_IDS),
		      AT(12, 4, ZERO), AT(16, 8, MEMORY), AT(24, 8, LENGTH), AT(32, 8, IOVA) },
	  .written = { { 32, 8 } } },
	{ .name = "IOMMU_IOAS_MAP_FILE", .request = IOMMU_IOAS_MAP_FILE, .kinds = OF(IOMMUFD),
	  .minsz = 40, .size = 40, .writes_early = true,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 7), AT(8, 4, ID, SPACE_IDS),
		      AT(12, 4, FILE), AT(16, 8, NUMBER, 4 * PAGE), AT(24, 8, LENGTH),
		      AT(32, 8, IOVA) },
	  .written = { { 32, 8 } } },
	{ .name = "IOMMU_IOAS_UNMAP", .request = IOMMU_IOAS_UNMAP, .kinds = OF(IOMMUFD),
	  .minsz = 24, .size = 24, .writes_early = true,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, ID, SPACE_IDS), AT(8, 8, IOVA),
		      AT(16, 8, LENGTH) },
	  .written = { { 16, 8 } } },
	{ .name = "IOMMU_OPTION", .request = IOMMU_OPTION, .kinds = OF(IOMMUFD),
	  .minsz = 24, .size = 24,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, NUMBER, 1), AT(8, 2, NUMBER, 1), AT(10, 2, ZERO),
		      AT(12, 4, ID, ID_OF(NONE) | SPACE_IDS), AT(16, 8, NUMBER, 1) },
	  .only_get_writes = true, .written = { { 16, 8 } } },
	{ .name = "IOMMU_VFIO_IOAS", .request = IOMMU_VFIO_IOAS, .kinds = OF(IOMMUFD),
	  .minsz = 12, .size = 12,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, ID, SPACE_IDS), AT(8, 2, NUMBER, 2),
		      AT(10, 2, ZERO) },
	  .only_get_writes = true, .written = { { 4, 4 } } },
	{ .name = "IOMMU_HWPT_ALLOC", .request = IOMMU_HWPT_ALLOC, .kinds = OF(IOMMUFD),
	  .minsz = 24, .size = 40,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 2), AT(8, 4, ID, ID_OF(DEVICE)),
		      AT(12, 4, ID, SPACE_IDS), AT(20, 4, ZERO), AT(24, 4, NUMBER, 0),
		      AT(28, 4, NUMBER, 0), AT(32, 8, ZERO) },
	  .written = { { 16, 4 } } },
	{ .name = "IOMMU_GET_HW_INFO", .request = IOMMU_GET_HW_INFO,
	  .kinds = OF(IOMMUFD), .minsz = 32, .size = 40,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 0), AT(8, 4, ID, ID_OF(DEVICE)),
		      AT(12, 4, NUMBER, 8), AT(16, 8, POINTER), AT(24, 4, ZERO), AT(28, 4, ZERO) },
	  .written = { { 12, 4 }, { 24, 16 } } },
	/* An fd comes with success */
	{ .name = "IOMMU_FAULT_QUEUE_ALLOC", .request = IOMMU_FAULT_QUEUE_ALLOC,
	  .kinds = OF(IOMMUFD), .minsz = 16, .size = 16,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 0) },
	  .written = { { 8, 8 } } },
	/* The fabric's IOMMU has nothing of which a guest could have a part */
	{ .name = "IOMMU_VIOMMU_ALLOC", .request = IOMMU_VIOMMU_ALLOC,
	  .kinds = OF(IOMMUFD), .minsz = 24, .size = 40, .refused = true,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 0), AT(8, 4, NUMBER, 2, 1),
		      AT(12, 4, ID, ID_OF(DEVICE)), AT(16, 4, ID, ID_OF(TABLE)),
		      AT(24, 4, NUMBER, 8), AT(28, 4, ZERO), AT(32, 8, POINTER) } },
	{ .name = "IOMMU_HWPT_SET_DIRTY_TRACKING", .request = IOMMU_HWPT_SET_DIRTY_TRACKING,
	  .kinds = OF(IOMMUFD), .minsz = 16, .size = 16,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, FLAGS, 1), AT(8, 4, ID, ID_OF(TABLE)),
		      AT(12, 4, ZERO) } },
	{ .name = "IOMMU_HWPT_GET_DIRTY_BITMAP", .request = IOMMU_HWPT_GET_DIRTY_BITMAP,
	  .kinds = OF(IOMMUFD), .minsz = 48, .size = 48,
	  .fields = { AT(0, 4, ARGSZ), AT(4, 4, ID, ID_OF(TABLE)), AT(8, 4, FLAGS, 1),
		      AT(12, 4, ZERO), AT(16, 8, IOVA), AT(24, 8, LENGTH), AT(32, 8, PAGE_SIZE),
		      AT(40, 8, POINTER) } },
};

const unsigned int calls_count = ARRAY_SIZE(calls);

_Static_assert(ARRAY_SIZE(calls) <= COUNTS_MAX, "room for the counts");

/* What a fd of a kind answers to a request that it does not know, and to any request */
static const struct {
	int unknown[4];
	int any[ERRNOS_MAX];
} errnos[KINDS] = {
	/* Without an IOMMU a container knows nothing */
	[KIND_CONTAINER] = { { ENOTTY, EINVAL }, { EINVAL } },
	[KIND_GROUP] = { { ENOTTY }, {} },
	/* A device of a cdev is not bound yet, and the runtime PM of any may fail */
	[KIND_DEVICE] = { { ENOTTY, EIO }, { EIO } },
	[KIND_CDEV] = { { ENOTTY, EINVAL, EIO }, { EINVAL, EIO } },
	/* ENODEV: it has no address space for the requests of a container */
	[KIND_IOMMUFD] = { { ENOTTY, ENODEV },
			   { ENODEV, ENOTTY, EINVAL, E2BIG, ENOENT, ENOMEM, EOPNOTSUPP, EBUSY,
			     EEXIST, EOVERFLOW, EADDRINUSE, EMSGSIZE, ENOSPC, EPERM, EFAULT,
			     EBADF } },
	[KIND_SAVE] = { { ENOTTY }, {} },
	[KIND_LOAD] = { { ENOTTY }, {} },
	[KIND_COMMAND] = { { ENOTTY }, {} },
	[KIND_EVENT] = { { ENOTTY }, {} },
};

bool kind_has_calls(enum kind kind)
{
	for (unsigned int i = 0; i < calls_count; i++)
		if (calls[i].kinds >> kind & 1)
			return true;
	return false;
}

bool errno_in(const int *list, int err)
{
	for (; *list; list++)
		if (*list == err)
			return true;
	return false;
}

bool errno_of_unknown(enum kind kind, int err)
{
	return errno_in(errnos[kind].unknown, err);
}

bool errno_of_any(enum kind kind, int err)
{
	return errno_in(errnos[kind].any, err);
}

static bool is_this_feature(const struct call *call, const struct vfio_device_feature *feature)
{
	const u64 valid = call->fields[1].valid;

	if (!feature || (feature->flags & VFIO_DEVICE_FEATURE_MASK) != call->feature)
		return false;
	/* One feature has a description for GET and one for SET */
	return call->feature != VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE ||
	       (feature->flags & GET) == (valid & GET);
}

const struct call *call_of(unsigned long request, enum kind kind, const void *arg)
{
	const struct call *found = NULL;

	for (unsigned int i = 0; i < calls_count; i++) {
		if (calls[i].request != request || !(calls[i].kinds >> kind & 1))
			continue;
		found = &calls[i];
		if (request != VFIO_DEVICE_FEATURE || is_this_feature(found, arg))
			return found;
	}
	/* The last feature is all others */
	return found;
}
