// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of trapped BARs.  A PF driver can have pages of memory behind a part of such a BAR.
 * Users map that part, and the first access to a page asks the PF driver for it.  The PF driver
 * can take all mappings away at any time; the next access then asks again.
 *
 * VFIO's core takes the mappings of all BARs away, with memory_lock held for writing, before it
 * resets the VF, suspends it, or has its memory disabled.
 */
#include <linux/cleanup.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/pci.h>
#include <linux/range.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include "device.h"

/* The part of a BAR that can be mapped: returns false if there is none */
static bool vfmig_map_area(struct vfmig_device *vfdev, unsigned int bar, struct range *area)
{
	return bar < PCI_STD_NUM_BARS && !(vfdev->ops->hw_bars & BIT(bar)) &&
	       vfdev->ops->map_area && vfdev->ops->map_area(vfdev->vf, bar, area);
}

static bool vfmig_is_suspended(const struct vfio_pci_core_device *core)
{
	return core->pm_runtime_engaged || core->pdev->current_state == PCI_D3hot ||
	       core->pdev->current_state == PCI_D3cold;
}

static vm_fault_t vfmig_map_fault(struct vm_fault *vmf)
{
	struct vfmig_device *vfdev = vmf->vma->vm_private_data;
	loff_t pos = (loff_t)vmf->pgoff << PAGE_SHIFT;
	struct page *page;

	/* As of a BAR of hardware: no access reaches a VF that is being reset or is suspended */
	guard(rwsem_read)(&vfdev->core.memory_lock);
	if (vfmig_is_suspended(&vfdev->core))
		return VM_FAULT_SIGBUS;

	guard(mutex)(&vfdev->map_lock);
	/* A VF that is gone has its mappings taken away after this was set */
	if (READ_ONCE(vfdev->gone))
		return VM_FAULT_SIGBUS;
	page = vfdev->ops->map(vfdev->vf, VFIO_PCI_OFFSET_TO_INDEX(pos),
			       pos & VFIO_PCI_OFFSET_MASK);
	return page ? vmf_insert_page(vmf->vma, vmf->address, page) : VM_FAULT_SIGBUS;
}

static const struct vm_operations_struct vfmig_map_vm_ops = {
	.fault = vfmig_map_fault,
};

int vfmig_map_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	struct vfmig_device *vfdev = vfmig_device_of(vdev);
	loff_t pos = (loff_t)vma->vm_pgoff << PAGE_SHIFT;
	u64 first = pos & VFIO_PCI_OFFSET_MASK;
	struct range area;

	if (!vfmig_region_is_trapped(vfdev, pos))
		return vfio_pci_core_mmap(vdev, vma);
	if (!vfmig_map_area(vfdev, VFIO_PCI_OFFSET_TO_INDEX(pos), &area))
		return -EINVAL;
	if (first < area.start || first + vma->vm_end - vma->vm_start - 1 > area.end)
		return -EINVAL;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;

	vma->vm_private_data = vfdev;
	vma->vm_ops = &vfmig_map_vm_ops;
	vm_flags_set(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTDUMP);
	return 0;
}

/* With map_lock held no fault is between the PF driver's answer and the mapping */
void vfmig_map_unmap(struct vfmig_device *vfdev)
{
	loff_t end = VFIO_PCI_INDEX_TO_OFFSET(VFIO_PCI_ROM_REGION_INDEX);

	guard(mutex)(&vfdev->map_lock);
	unmap_mapping_range(vfdev->core.vdev.inode->i_mapping, 0, end, true);
}

/* Say which part of a BAR can be mapped */
static int vfmig_add_area(const struct range *area, struct vfio_info_cap *caps)
{
	DEFINE_RAW_FLEX(struct vfio_region_info_cap_sparse_mmap, sparse, areas, 1);

	sparse->header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP;
	sparse->header.version = 1;
	sparse->nr_areas = 1;
	sparse->areas[0].offset = area->start;
	sparse->areas[0].size = range_len(area);
	return vfio_info_add_capability(caps, &sparse->header, __struct_size(sparse));
}

#ifdef VFMIG_HAS_REGION_INFO_CAPS

int vfmig_map_region_info(struct vfio_device *vdev, struct vfio_region_info *info,
			  struct vfio_info_cap *caps)
{
	struct range area;
	int ret;

	ret = vfio_pci_ioctl_get_region_info(vdev, info, caps);
	if (ret || !vfmig_map_area(vfmig_device_of(vdev), info->index, &area))
		return ret;
	info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
	return vfmig_add_area(&area, caps);
}

#else

/* The capabilities follow the structure, if there is room for them */
static int vfmig_put_caps(struct vfio_region_info *info, struct vfio_info_cap *caps,
			  void __user *arg)
{
	size_t size = sizeof(*info) + caps->size;

	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	info->cap_offset = 0;
	if (info->argsz < size) {
		info->argsz = size;
		return 0;
	}
	vfio_info_cap_shift(caps, sizeof(*info));
	info->cap_offset = sizeof(*info);
	return copy_to_user(arg + sizeof(*info), caps->buf, caps->size) ? -EFAULT : 0;
}

long vfmig_map_region_info(struct vfmig_device *vfdev, unsigned long arg)
{
	const size_t size = offsetofend(struct vfio_region_info, offset);
	struct vfio_info_cap caps = {};
	struct vfio_region_info info;
	struct range area;
	int ret;

	if (copy_from_user(&info, (void __user *)arg, size))
		return -EFAULT;
	if (info.argsz < size || !vfmig_map_area(vfdev, info.index, &area))
		return vfio_pci_core_ioctl(&vfdev->core.vdev, VFIO_DEVICE_GET_REGION_INFO, arg);

	info.offset = VFIO_PCI_INDEX_TO_OFFSET(info.index);
	info.size = pci_resource_len(vfdev->core.pdev, info.index);
	info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE |
		     VFIO_REGION_INFO_FLAG_MMAP;
	ret = vfmig_add_area(&area, &caps);
	if (!ret)
		ret = vfmig_put_caps(&info, &caps, (void __user *)arg);
	kfree(caps.buf);
	if (ret)
		return ret;
	return copy_to_user((void __user *)arg, &info, size) ? -EFAULT : 0;
}

#endif /* VFMIG_HAS_REGION_INFO_CAPS */
