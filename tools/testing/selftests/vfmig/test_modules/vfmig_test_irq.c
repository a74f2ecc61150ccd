// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asks for a vector of a function to be posted to a vCPU, and for it back, as KVM does
 * where the host's IOMMU posts interrupts.  What came of it is in the module's
 * parameters.  The vector is used as before.
 */
#include <linux/amd-iommu.h>
#include <linux/irq.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/string.h>

#include <asm/irq_remapping.h>

static char *device;
module_param(device, charp, 0);
MODULE_PARM_DESC(device, "address of the function, DDDD:BB:DD.F");

static int vector;
module_param(vector, int, 0);
MODULE_PARM_DESC(vector, "of its MSI-X table");

static int posted;
module_param(posted, int, 0444);
MODULE_PARM_DESC(posted, "answer to posting: 0 or an errno");

static int taken_back;
module_param(taken_back, int, 0444);
MODULE_PARM_DESC(taken_back, "answer to taking it back: 0 or an errno");

static bool untouched;
module_param(untouched, bool, 0444);
MODULE_PARM_DESC(untouched, "nothing was written but what KVM wants to have back");

static bool understood;
module_param(understood, bool, 0444);
MODULE_PARM_DESC(understood, "KVM goes on with the eventfd alone, and does not complain");

/* KVM hands in the one or the other, and nothing beyond it may be written */
union request {
	u8 bytes[64];
	struct amd_iommu_pi_data amd;
};

static void fill(union request *request)
{
	memset(request, 0xa5, sizeof(*request));
	if (boot_cpu_has(X86_FEATURE_SVM)) {
		request->amd.is_guest_mode = true;
		request->amd.ir_data = NULL;
	}
}

/* See avic_pi_update_irte() and vmx_pi_update_irte() */
static bool kvm_understands(int answer, const union request *request)
{
	if (!boot_cpu_has(X86_FEATURE_SVM))
		return !answer;
#ifdef KVM_NEEDS_SUCCESS
	return !answer && !request->amd.is_guest_mode;
#else
	return answer < 0 || request->amd.ir_data;
#endif
}

static void ask(unsigned int virq)
{
	union request request, same;

	fill(&request);
	posted = irq_set_vcpu_affinity(virq, &request);
	understood = kvm_understands(posted, &request);

	fill(&same);
	if (boot_cpu_has(X86_FEATURE_SVM))
		same.amd.is_guest_mode = request.amd.is_guest_mode;
	untouched = !memcmp(&request, &same, sizeof(request));

	taken_back = irq_set_vcpu_affinity(virq, NULL);
}

static int __init vfmig_test_irq_init(void)
{
	unsigned int domain, bus, slot, fn;
	struct pci_dev *pdev;
	int virq;

	if (!device || sscanf(device, "%x:%x:%x.%x", &domain, &bus, &slot, &fn) != 4)
		return -EINVAL;
	pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, fn));
	if (!pdev)
		return -ENODEV;
	virq = pci_irq_vector(pdev, vector);
	if (virq > 0)
		ask(virq);
	pci_dev_put(pdev);
	return virq > 0 ? 0 : -ENXIO;
}
module_init(vfmig_test_irq_init);

static void __exit vfmig_test_irq_exit(void)
{
}
module_exit(vfmig_test_irq_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of vfmig: asks for vectors as KVM does");
