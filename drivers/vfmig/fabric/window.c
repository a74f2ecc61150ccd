// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bridge's window: physical addresses for the BARs.  No hardware decodes them,
 * and nothing may access them.
 *
 * The window is as low as possible: above all memory that exists or can be plugged in,
 * and above all other resources.  A high address would not be safer, because the CPU of
 * a VM may report more address bits than the host's has.
 */
#include <linux/acpi.h>
#include <linux/ioport.h>
#include <linux/log2.h>
#include <linux/pci.h>

#include <asm/processor.h>

#include "fabric_priv.h"

/* A PF has no BAR of its own */
static resource_size_t vfmig_window_size(const struct vfmig_fabric_desc *desc)
{
	resource_size_t largest = 0;

	for (unsigned int d = 0; d < desc->num_descs; d++) {
		resource_size_t size = 0;

		for (unsigned int i = 0; i < PCI_STD_NUM_BARS; i++)
			size += (u64)desc->descs[d]->vf.bar_size[i] * desc->total_vfs;
		largest = max(largest, size);
	}
	/*
	 * Eight times what the PFs can need, so BARs can be aligned, and a PF finds room between
	 * the holes that others left when they got another description.
	 */
	return roundup_pow_of_two(SZ_1M + 8 * desc->num_pfs * largest);
}

static int vfmig_note_end(struct resource *res, void *arg)
{
	u64 *end = arg;

	*end = max_t(u64, *end, res->end);
	return 0;
}

/* The last byte of all resources with @flags, at least 4 GiB - 1 */
static u64 vfmig_resources_end(unsigned long flags)
{
	u64 end = SZ_4G - 1;

	walk_iomem_res_desc(IORES_DESC_NONE, flags, 0, iomem_resource.end, &end, vfmig_note_end);
	return end;
}

/*
 * The last byte that the firmware reserves for memory, hot-pluggable memory included.  The
 * kernel's own value, max_possible_pfn, is not exported.
 *
 * ACPI 6.5, 5.2.16 System Resource Affinity Table
 */
static u64 vfmig_firmware_memory_end(void)
{
	struct acpi_table_header *srat;
	u64 end = 0;
	u32 pos = sizeof(struct acpi_table_srat);

	if (ACPI_FAILURE(acpi_get_table(ACPI_SIG_SRAT, 1, &srat)))
		return 0;

	while (pos + sizeof(struct acpi_subtable_header) <= srat->length) {
		struct acpi_subtable_header *entry = (void *)srat + pos;
		struct acpi_srat_mem_affinity *mem = (void *)entry;

		if (!entry->length || entry->length > srat->length - pos)
			break;
		if (entry->type == ACPI_SRAT_TYPE_MEMORY_AFFINITY &&
		    entry->length >= sizeof(*mem) && mem->flags & ACPI_SRAT_MEM_ENABLED &&
		    mem->length)
			end = max(end, mem->base_address + mem->length - 1);
		pos += entry->length;
	}
	acpi_put_table(srat);
	return end;
}

/* AMD CPUs reserve the 12 GiB below 1 TiB for HyperTransport */
static bool vfmig_window_is_usable(const struct resource *window)
{
	if (boot_cpu_data.x86_vendor != X86_VENDOR_AMD &&
	    boot_cpu_data.x86_vendor != X86_VENDOR_HYGON)
		return true;
	return window->end < 0xfd00000000ULL || window->start >= 0x10000000000ULL;
}

/* Claim the first @size bytes that are free above the byte @below */
static int vfmig_window_claim_above(struct resource *window, u64 size, u64 below)
{
	u64 start = ALIGN(below + 1, size);

	/* Double the step each time: the resource in the way may be large too */
	for (u64 step = size; start >= SZ_4G && start <= iomem_resource.end - size + 1; step *= 2) {
		window->start = start;
		window->end = start + size - 1;
		if (vfmig_window_is_usable(window) && !request_resource(&iomem_resource, window))
			return 0;
		start += step;
	}
	return -ENOSPC;
}

/**
 * vfmig_window_claim() - find addresses for the BARs
 * @fabric: the fabric, with description and device set
 *
 * Return: 0, or -ENOSPC if no address is free.
 */
int vfmig_window_claim(struct vfmig_fabric *fabric)
{
	u64 size = vfmig_window_size(&fabric->desc);
	u64 memory = max(vfmig_resources_end(IORESOURCE_SYSTEM_RAM), vfmig_firmware_memory_end());
	u64 all = max(vfmig_resources_end(IORESOURCE_MEM), memory);

	fabric->window.name = dev_name(fabric->dev);
	fabric->window.flags = IORESOURCE_MEM | IORESOURCE_MEM_64;

	/* Another bridge may have all addresses up to the last one: go below it, above memory */
	if (!vfmig_window_claim_above(&fabric->window, size, all))
		return 0;
	return vfmig_window_claim_above(&fabric->window, size, memory);
}

void vfmig_window_release(struct vfmig_fabric *fabric)
{
	release_resource(&fabric->window);
}

/* Release the first @count BARs */
static void vfmig_bars_release(struct pci_dev *pdev, int count)
{
	while (count--)
		if (pci_resource_len(pdev, count))
			release_mem_region(pci_resource_start(pdev, count),
					   pci_resource_len(pdev, count));
}

/*
 * Claim the BARs of a function exclusively, as a driver does.  Then neither another driver
 * nor a user through sysfs can map them.  -EBUSY if one is claimed already.
 */
int vfmig_bars_take(struct pci_dev *pdev)
{
	for (int i = 0; i < PCI_STD_NUM_BARS; i++) {
		if (!pci_resource_len(pdev, i) ||
		    request_mem_region_exclusive(pci_resource_start(pdev, i),
						 pci_resource_len(pdev, i), "vfmig_fabric"))
			continue;
		vfmig_bars_release(pdev, i);
		return -EBUSY;
	}
	return 0;
}

void vfmig_bars_give_back(struct pci_dev *pdev)
{
	vfmig_bars_release(pdev, PCI_STD_NUM_BARS);
}
