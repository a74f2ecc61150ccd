/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between kernels in the interfaces that the fabric uses.  Only this file
 * tests VFMIG_HAS_ symbols.  Kbuild defines them from the kernel's headers.  A version
 * in a comment is the first mainline release with a change; older stable and vendor
 * kernels may have it too.
 */
#ifndef _VFMIG_FABRIC_COMPAT_H
#define _VFMIG_FABRIC_COMPAT_H

#include <linux/amd-iommu.h>
#include <linux/irq.h>
#include <linux/pci.h>

#include <asm/cpufeature.h>

/* iommu_domain_ops.attach_dev gets the previous domain (6.19) */
#ifdef VFMIG_HAS_ATTACH_OLD
#define VFMIG_ATTACH_ARGS(_domain, _dev) \
	struct iommu_domain *_domain, struct device *_dev, struct iommu_domain *old
#else
#define VFMIG_ATTACH_ARGS(_domain, _dev) \
	struct iommu_domain *_domain, struct device *_dev
#endif

/*
 * The iommu_ops callback that allocates a domain with flags for iommufd.  Before
 * domain_alloc_paging_flags only iommufd called it, and it had a parent argument for
 * nesting.
 */
#ifdef VFMIG_HAS_ALLOC_PAGING_FLAGS
#define VFMIG_ALLOC_FLAGS	domain_alloc_paging_flags
#define VFMIG_ALLOC_FLAGS_ARGS(_dev, _flags, _data) \
	struct device *_dev, u32 _flags, const struct iommu_user_data *_data
#else
#define VFMIG_ALLOC_FLAGS	domain_alloc_user
#define VFMIG_ALLOC_FLAGS_ARGS(_dev, _flags, _data) \
	struct device *_dev, u32 _flags, struct iommu_domain *parent, \
	const struct iommu_user_data *_data
#endif

/* The argument of MODULE_IMPORT_NS() is a token (until 6.12) or a string */
#ifdef VFMIG_HAS_TOKEN_NAMESPACE
#define VFMIG_IMPORT_IOMMUFD	MODULE_IMPORT_NS(IOMMUFD)
#else
#define VFMIG_IMPORT_IOMMUFD	MODULE_IMPORT_NS("IOMMUFD")
#endif

/* The driver override moved from struct pci_dev to the driver core (7.x, late 6.12.y) */
#ifdef VFMIG_HAS_DEVICE_OVERRIDE
static inline int vfmig_set_driver_override(struct pci_dev *pdev, const char *driver)
{
	return device_set_driver_override(&pdev->dev, driver);
}
#else
static inline int vfmig_set_driver_override(struct pci_dev *pdev, const char *driver)
{
	return driver_set_override(&pdev->dev, &pdev->driver_override, driver, strlen(driver));
}
#endif

/* Tells VFIO not to map the BARs, which have no hardware behind them (6.15) */
#ifdef VFMIG_HAS_NON_MAPPABLE_BARS
static inline void vfmig_set_bars_not_mappable(struct pci_dev *pdev)
{
	pdev->non_mappable_bars = 1;
}
#else
static inline void vfmig_set_bars_not_mappable(struct pci_dev *pdev)
{
}
#endif

/* Without this flag an affinity change waits for the next interrupt (6.12) */
#ifdef VFMIG_HAS_IRQ_MOVE_PCNTXT
static inline void vfmig_irq_set_move_anytime(unsigned int virq)
{
	irq_set_status_flags(virq, IRQ_MOVE_PCNTXT);
}
#else
static inline void vfmig_irq_set_move_anytime(unsigned int virq)
{
}
#endif

/* Reserves a PCI domain number with the PCI core (6.18); -ENOSPC if it is taken */
#ifdef VFMIG_HAS_EMUL_DOMAIN
static inline int vfmig_reserve_domain(int domain)
{
	int ret = pci_bus_find_emul_domain_nr(0, domain, domain);

	return ret < 0 ? ret : 0;
}

static inline void vfmig_release_domain(int domain)
{
	pci_bus_release_emul_domain_nr(domain);
}
#else
static inline int vfmig_reserve_domain(int domain)
{
	return 0;
}

static inline void vfmig_release_domain(int domain)
{
}
#endif

/*
 * The answer to irq_set_vcpu_affinity() that tells KVM not to post this vector.
 *
 * Intel: success.  KVM keeps the eventfd in any case.
 * AMD before 6.17: clear is_guest_mode, which KVM reads back.  KVM keeps the producer even
 * if there is an error.
 * AMD from 6.17 on: an error.  KVM warns of a success without ir_data, which is private to
 * the AMD IOMMU driver.
 */
#ifdef VFMIG_HAS_PI_GUEST_MODE
static inline int vfmig_decline_posting(void *vcpu_info)
{
	struct amd_iommu_pi_data *amd = vcpu_info;

	if (boot_cpu_has(X86_FEATURE_SVM))
		amd->is_guest_mode = false;
	return 0;
}
#else
static inline int vfmig_decline_posting(void *vcpu_info)
{
	return boot_cpu_has(X86_FEATURE_SVM) ? -EOPNOTSUPP : 0;
}
#endif

#endif /* _VFMIG_FABRIC_COMPAT_H */
