// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load on a device, by the driver that libvfio has for it.  The driver's state is in memory that
 * the device sees, at the same addresses wherever the device goes.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include <linux/sizes.h>

#include "mig.h"

bool mig_pages_has(const struct mig_pages *pages, u64 page)
{
	return pages->words[page / 64] >> page % 64 & 1;
}

u64 mig_pages_count(const struct mig_pages *pages)
{
	u64 count = 0;

	for (u64 page = 0; page < MIG_LOAD_PAGES; page++)
		count += mig_pages_has(pages, page);
	return count;
}

/* What libvfio's own vfio_pci_device_init() learns of a device, for drivers to use */
static void learn(struct vfio_pci_device *vfio)
{
	struct vfio_irq_info *irqs[] = {
		[VFIO_PCI_MSI_IRQ_INDEX] = &vfio->msi_info,
		[VFIO_PCI_MSIX_IRQ_INDEX] = &vfio->msix_info,
	};

	vfio->config_space = (struct vfio_region_info){
		.argsz = sizeof(vfio->config_space),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	ioctl_assert(vfio->fd, VFIO_DEVICE_GET_REGION_INFO, &vfio->config_space);
	for (u32 i = VFIO_PCI_MSI_IRQ_INDEX; i <= VFIO_PCI_MSIX_IRQ_INDEX; i++) {
		*irqs[i] = (struct vfio_irq_info){ .argsz = sizeof(*irqs[i]), .index = i };
		ioctl_assert(vfio->fd, VFIO_DEVICE_GET_IRQ_INFO, irqs[i]);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(vfio->msi_eventfds); i++)
		vfio->msi_eventfds[i] = -1;
}

/* A BAR that can be mapped in part only has capabilities, and is left to read() and write() */
static void map_bars(struct vfio_pci_device *vfio)
{
	for (u32 i = 0; i < PCI_STD_NUM_BARS; i++) {
		struct vfio_region_info *info = &vfio->bars[i].info;

		*info = (struct vfio_region_info){ .argsz = sizeof(*info), .index = i };
		ioctl_assert(vfio->fd, VFIO_DEVICE_GET_REGION_INFO, info);
		vfio->bars[i].vaddr = NULL;
		if (!(info->flags & VFIO_REGION_INFO_FLAG_MMAP) ||
		    (info->flags & VFIO_REGION_INFO_FLAG_CAPS))
			continue;
		vfio->bars[i].vaddr = mmap(NULL, info->size, PROT_READ | PROT_WRITE, MAP_SHARED,
					   vfio->fd, info->offset);
		VFIO_ASSERT_NE(vfio->bars[i].vaddr, MAP_FAILED);
	}
}

static void unmap_bars(struct vfio_pci_device *vfio)
{
	for (u32 i = 0; i < PCI_STD_NUM_BARS; i++) {
		if (vfio->bars[i].vaddr)
			munmap(vfio->bars[i].vaddr, vfio->bars[i].info.size);
		vfio->bars[i].vaddr = NULL;
	}
}

static void allocate(struct mig_load *load, struct mig_device *dev)
{
	struct iova_allocator *iovas = iova_allocator_init(dev->iommu);

	for (unsigned int i = 0; i < MIG_LOAD_REGIONS; i++) {
		struct dma_region *region = &load->memory[i];

		region->size = MIG_LOAD_SIZE;
		region->vaddr = mmap(NULL, region->size, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		VFIO_ASSERT_NE(region->vaddr, MAP_FAILED);
		region->iova = iova_allocator_alloc(iovas, region->size);
		iommu_map(dev->iommu, region);
		if (i != MIG_LOAD_DRIVER)
			load->image[i] = calloc_assert(1, region->size);
	}
	iova_allocator_cleanup(iovas);
}

const char *mig_load_begin(struct mig_load *load, struct mig_device *dev)
{
	struct vfio_pci_driver *driver = &dev->vfio->driver;

	*load = (struct mig_load){};
	if (strlen(dev->name) == 36)
		return "libvfio has no driver for mdevs";
	learn(dev->vfio);
	vfio_pci_driver_probe(dev->vfio);
	if (!driver->ops)
		return "libvfio has no driver for this device";
	map_bars(dev->vfio);
	allocate(load, dev);
	driver->region = load->memory[MIG_LOAD_DRIVER];
	vfio_pci_driver_init(dev->vfio);
	load->size = min_t(u64, driver->max_memcpy_size, SZ_1M);
	load->count = driver->max_memcpy_count;
	return NULL;
}

void mig_load_move(struct mig_load *load, struct mig_device *from, struct mig_device *to)
{
	void *memory = load->memory[MIG_LOAD_DRIVER].vaddr;
	bool was_there = !__iommu_hva2iova(to->iommu, memory, NULL);
	struct vfio_pci_driver driver = from->vfio->driver;
	u32 index;

	if (!was_there) {
		memcpy(load->moved, load->memory, sizeof(load->moved));
		for (unsigned int i = 0; i < MIG_LOAD_REGIONS; i++)
			iommu_map(to->iommu, &load->moved[i]);
		learn(to->vfio);
		map_bars(to->vfio);
	}
	from->vfio->driver = (struct vfio_pci_driver){};
	to->vfio->driver = driver;
	index = to->vfio->msix_info.count ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
	vfio_pci_cmd_set(to->vfio, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	if (!driver.ops->send_msi)
		return;
	if (was_there)
		vfio_pci_irq_reenable(to->vfio, index, 0, driver.msi + 1);
	else
		vfio_pci_irq_enable(to->vfio, index, 0, driver.msi + 1);
}

static void fill_source(struct mig_load *load, unsigned int seed)
{
	u64 *words = (u64 *)load->image[MIG_LOAD_SOURCE];

	/* No word is twice in a pattern, so that a part in a wrong place is seen */
	for (u64 i = 0; i < MIG_LOAD_SIZE / sizeof(*words); i++)
		words[i] = (u64)(seed + 1) << 32 | i;
	memcpy(load->memory[MIG_LOAD_SOURCE].vaddr, words, MIG_LOAD_SIZE);
}

void mig_load_start(struct mig_load *load, struct mig_device *dev, unsigned int seed, u64 count)
{
	u64 room = (load->size + MIG_LOAD_PAGE - 1) / MIG_LOAD_PAGE * MIG_LOAD_PAGE;
	u64 places = MIG_LOAD_SIZE / room;
	u64 target = load->starts % places * room;
	u64 source = load->starts * 3 % places * room;

	load->starts++;
	fill_source(load, seed);
	memcpy(load->image[MIG_LOAD_TARGET] + target, load->image[MIG_LOAD_SOURCE] + source,
	       load->size);
	for (u64 page = target / MIG_LOAD_PAGE; page < (target + room) / MIG_LOAD_PAGE; page++)
		load->written.words[page / 64] |= 1ULL << page % 64;
	vfio_pci_driver_memcpy_start(dev->vfio, load->memory[MIG_LOAD_SOURCE].iova + source,
				     load->memory[MIG_LOAD_TARGET].iova + target, load->size,
				     count);
}

int mig_load_wait(struct mig_load *load, struct mig_device *dev)
{
	if (vfio_pci_driver_memcpy_wait(dev->vfio))
		return -EIO;
	for (unsigned int i = MIG_LOAD_SOURCE; i <= MIG_LOAD_TARGET; i++)
		if (memcmp(load->memory[i].vaddr, load->image[i], MIG_LOAD_SIZE))
			return -EILSEQ;
	return 0;
}

int mig_load_check(struct mig_load *load, struct mig_device *dev)
{
	int ret = mig_load_wait(load, dev);

	if (ret)
		return ret;
	mig_load_start(load, dev, load->starts + 1000, 1);
	return mig_load_wait(load, dev);
}

void mig_load_end(struct mig_load *load, struct mig_device *dev)
{
	if (dev->fd >= 0)
		unmap_bars(dev->vfio);
	for (unsigned int i = 0; i < MIG_LOAD_REGIONS; i++) {
		free(load->image[i]);
		if (load->memory[i].vaddr)
			munmap(load->memory[i].vaddr, load->memory[i].size);
	}
}
