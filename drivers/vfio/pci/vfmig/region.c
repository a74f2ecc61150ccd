// SPDX-License-Identifier: GPL-2.0-only
/*
 * BAR regions.  VFIO's core accesses the BARs that have hardware behind them.  An access to
 * another BAR is trapped and passed to the PF driver in naturally aligned pieces.  Of such a BAR
 * only pages of the PF driver can be mapped (map.c), and an ioeventfd can't write to it.
 */
#include <linux/cleanup.h>
#include <linux/pci.h>
#include <linux/pm_runtime.h>
#include <linux/rwsem.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>

#include <asm/byteorder.h>

#include "device.h"

bool vfmig_region_is_trapped(struct vfmig_device *vfdev, loff_t pos)
{
	u64 index = VFIO_PCI_OFFSET_TO_INDEX(pos);

	return index <= VFIO_PCI_BAR5_REGION_INDEX && !(vfdev->ops->hw_bars & BIT(index));
}

/* The widest aligned access of at most 8 bytes that begins at @offset */
static unsigned int vfmig_access_width(u64 offset, size_t count)
{
	unsigned int width = sizeof(u64);

	while (width > count || !IS_ALIGNED(offset, width))
		width /= 2;
	return width;
}

static int vfmig_bar_read(struct vfmig_device *vfdev, unsigned int bar, u64 offset,
			  char __user *buf, unsigned int width)
{
	__le64 val;

	/*
	 * VFIO resets the VF with this lock held for writing.  So an access that began before
	 * such a reset does not reach the VF after it.  For other resets (sysfs, the PF) the
	 * PF driver guarantees this.
	 */
	scoped_guard(rwsem_read, &vfdev->core.memory_lock)
		val = cpu_to_le64(READ_ONCE(vfdev->gone) ? U64_MAX :
				  vfdev->ops->bar_read(vfdev->vf, bar, offset, width));

	return copy_to_user(buf, &val, width) ? -EFAULT : 0;
}

static int vfmig_bar_write(struct vfmig_device *vfdev, unsigned int bar, u64 offset,
			   const char __user *buf, unsigned int width)
{
	__le64 val = 0;

	if (copy_from_user(&val, buf, width))
		return -EFAULT;
	if (READ_ONCE(vfdev->gone))
		return 0;
	scoped_guard(rwsem_read, &vfdev->core.memory_lock)
		vfdev->ops->bar_write(vfdev->vf, bar, offset, width, le64_to_cpu(val));
	return 0;
}

static ssize_t vfmig_bar_copy(struct vfmig_device *vfdev, char __user *rbuf,
			      const char __user *wbuf, size_t count, loff_t *ppos)
{
	unsigned int bar = VFIO_PCI_OFFSET_TO_INDEX(*ppos);
	u64 offset = *ppos & VFIO_PCI_OFFSET_MASK;
	u64 size = pci_resource_len(vfdev->core.pdev, bar);
	size_t done = 0;
	int ret;

	if (offset >= size)
		return -EINVAL;
	count = min_t(u64, count, size - offset);

	while (done < count) {
		unsigned int width = vfmig_access_width(offset, count - done);

		if (rbuf)
			ret = vfmig_bar_read(vfdev, bar, offset, rbuf + done, width);
		else
			ret = vfmig_bar_write(vfdev, bar, offset, wbuf + done, width);
		if (ret)
			return done ? done : ret;
		offset += width;
		done += width;
		*ppos += width;
	}
	return done;
}

/* Runtime PM may have suspended the VF.  A BAR access resumes it. */
static ssize_t vfmig_bar_rw(struct vfmig_device *vfdev, char __user *rbuf,
			    const char __user *wbuf, size_t count, loff_t *ppos)
{
	struct device *dev = &vfdev->core.pdev->dev;
	ssize_t ret;

	vfmig_device_enter(vfdev);
	if (pm_runtime_resume_and_get(dev))
		return -EIO;
	ret = vfmig_bar_copy(vfdev, rbuf, wbuf, count, ppos);
	pm_runtime_put(dev);
	return ret;
}

ssize_t vfmig_region_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos)
{
	if (!vfmig_region_is_trapped(vfmig_device_of(vdev), *ppos))
		return vfio_pci_core_read(vdev, buf, count, ppos);
	return vfmig_bar_rw(vfmig_device_of(vdev), buf, NULL, count, ppos);
}

ssize_t vfmig_region_write(struct vfio_device *vdev, const char __user *buf, size_t count,
			   loff_t *ppos)
{
	if (!vfmig_region_is_trapped(vfmig_device_of(vdev), *ppos))
		return vfio_pci_core_write(vdev, buf, count, ppos);
	return vfmig_bar_rw(vfmig_device_of(vdev), NULL, buf, count, ppos);
}
