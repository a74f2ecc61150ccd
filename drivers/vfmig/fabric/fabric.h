/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The border between the fabric, which simulates what PCI, MSI-X and the IOMMU
 * are to a function, and a device model, which is what lies behind the BARs.
 * The fabric knows no NVMe, the model no config space.
 */
#ifndef _VFMIG_FABRIC_H
#define _VFMIG_FABRIC_H

#include <linux/pci.h>
#include <linux/types.h>

struct iova_bitmap;
struct module;
struct range;
struct vfmig_fabric;	/* a host bridge with its PFs and VFs */
struct vfmig_fn;	/* one function, PF or VF */

#define VFMIG_MAX_PFS		8
#define VFMIG_MAX_VFS		64
#define VFMIG_MAX_VECTORS	64

/**
 * struct vfmig_fn_desc - what a kind of function looks like on the bus
 * @device: PCI device ID (of a VF: what the PF's SR-IOV capability reports)
 * @class: class code, 24 bits
 * @revision: revision ID
 * @bar_size: sizes in bytes, powers of two of at least 4 KiB or 0 for none; a
 *	64-bit BAR, which all are, uses an even index
 * @msix_vectors: size of the MSI-X table, 0 for no MSI-X capability
 * @msix_bar: BAR of the MSI-X table and PBA
 * @msix_table: offset of the table, a multiple of 4 KiB
 * @msix_pba: offset of the PBA, a multiple of 4 KiB
 */
struct vfmig_fn_desc {
	u16 device;
	u32 class;
	u8 revision;
	u32 bar_size[PCI_STD_NUM_BARS];
	u16 msix_vectors;
	u8 msix_bar;
	u32 msix_table;
	u32 msix_pba;
};

/**
 * struct vfmig_fabric_desc - what vfmig_fabric_create() is to make
 * @owner: module of the PF driver and of the models.  It is pinned while a driver
 *	other than its own and @vf_driver has a function, as such a driver may have
 *	users that the module's exit would wait for.
 * @vendor: PCI vendor and subsystem vendor ID of all functions
 * @num_pfs: 1 to VFMIG_MAX_PFS
 * @total_vfs: TotalVFs of each PF, 1 to VFMIG_MAX_VFS
 * @vf_driver: driver_override that each VF gets at creation; pins @owner by itself
 *	while somebody uses a VF
 * @pf: the PFs
 * @vf: the VFs
 */
struct vfmig_fabric_desc {
	struct module *owner;
	u16 vendor;
	unsigned int num_pfs;
	unsigned int total_vfs;
	const char *vf_driver;
	struct vfmig_fn_desc pf;
	struct vfmig_fn_desc vf;
};

/**
 * struct vfmig_fn_ops - what a model does when the bus asks
 * @reset: The function is reset (FLR of it or of its PF).  May sleep; until it
 *	returns the function answers config reads as not ready.  When it returns
 *	no DMA and no interrupt of before is under way.
 * @kick: DMA may work now where it gave -EAGAIN before.  Atomic context, any
 *	lock may be held.
 * @bar_read: @len (1, 2, 4, 8; aligned) bytes at @offset of @bar, outside the
 *	MSI-X table and PBA.  May sleep.
 * @bar_write: the same for a write.
 */
struct vfmig_fn_ops {
	void (*reset)(void *model);
	void (*kick)(void *model);
	u64 (*bar_read)(void *model, unsigned int bar, u64 offset, unsigned int len);
	void (*bar_write)(void *model, unsigned int bar, u64 offset, unsigned int len, u64 val);
};

/**
 * vfmig_fabric_create() - make a host bridge with its PFs appear
 * @desc: what to make; copied
 *
 * The PFs are enumerated, added and offered to drivers when this returns.
 *
 * Return: the fabric, or -EINVAL for a bad @desc, -ENOSPC if no PCI domain or
 * address window is free, -ENOMEM, or what the PCI, MSI or IOMMU core said.
 */
struct vfmig_fabric *vfmig_fabric_create(const struct vfmig_fabric_desc *desc);

/**
 * vfmig_fabric_retire() - let no driver have a function any more
 * @fabric: from vfmig_fabric_create()
 *
 * For the owner's exit, from which on a driver that gets a function can't pin the owner.
 * The drivers that have functions keep them.  No VF may be made any more.  May sleep;
 * takes the device locks of the functions.
 */
void vfmig_fabric_retire(struct vfmig_fabric *fabric);

/**
 * vfmig_fabric_destroy() - remove it all
 * @fabric: from vfmig_fabric_create()
 *
 * Waits until drivers and users have let go of the functions.
 */
void vfmig_fabric_destroy(struct vfmig_fabric *fabric);

/**
 * vfmig_fn_of() - the function behind a pci_dev
 * @pdev: any PCI device
 *
 * Return: its function, or NULL if it is not on a bus of ours.
 */
struct vfmig_fn *vfmig_fn_of(struct pci_dev *pdev);

/**
 * vfmig_fn_vf() - a VF's function, whether or not VF Enable is set
 * @pf: function of the PF
 * @index: 0 to TotalVFs - 1
 *
 * Return: the function; it lives as long as the fabric.
 */
struct vfmig_fn *vfmig_fn_vf(struct vfmig_fn *pf, unsigned int index);

/** vfmig_fn_name() - "dddd:bb:dd.f", for messages and debugfs */
const char *vfmig_fn_name(struct vfmig_fn *fn);

/**
 * vfmig_fn_set_model() - put a model behind a function, or take it away
 * @fn: the function
 * @ops: what the bus may ask of the model, or NULL for none
 * @model: handed to @ops
 *
 * May sleep.  When it returns, no call of the previous @ops is under way.
 */
void vfmig_fn_set_model(struct vfmig_fn *fn, const struct vfmig_fn_ops *ops, void *model);

/**
 * vfmig_fn_bar_read() - an access to a BAR, from whoever traps them
 * @fn: the function
 * @bar: 0 to 5
 * @offset: byte offset in the BAR
 * @len: 1, 2, 4 or 8; @offset is a multiple of it
 *
 * The PBA is answered here, the rest by the model.  May sleep.
 *
 * Return: the value; all ones beyond the BAR, in the MSI-X table, where nothing
 * is, and while the function is being reset.
 */
u64 vfmig_fn_bar_read(struct vfmig_fn *fn, unsigned int bar, u64 offset, unsigned int len);

/** vfmig_fn_bar_write() - the same for a write, dropped where nothing is */
void vfmig_fn_bar_write(struct vfmig_fn *fn, unsigned int bar, u64 offset, unsigned int len,
			u64 val);

/**
 * vfmig_fn_dma_read() - the function reads memory through its IOMMU
 * @fn: the function
 * @iova: first byte
 * @buf: where to
 * @len: bytes, any number
 *
 * Takes no lock for longer than a page's copy.  On error a part may have been copied.
 *
 * Return: 0, -EFAULT if a page is not mapped or not with that permission
 * (counted as a DMA fault), -EAGAIN if bus master is off or the function is
 * being reset.  A kick() follows -EAGAIN when DMA may work again.
 */
int vfmig_fn_dma_read(struct vfmig_fn *fn, u64 iova, void *buf, size_t len);

/**
 * vfmig_fn_dma_write() - the function writes memory
 * @fn: the function
 * @iova: first byte
 * @buf: where from
 * @len: bytes, any number
 *
 * As vfmig_fn_dma_read(), but may sleep: for memory, where writes are tracked or
 * logged.  Where there is none it returns -EAGAIN, and a kick() follows 10 ms later.
 * Where @iova and @len are multiples of 8 and @len is at most 64, CPUs see the bytes
 * arrive in order, 8 at a time; beyond that, in none.
 *
 * Return: as vfmig_fn_dma_read().
 */
int vfmig_fn_dma_write(struct vfmig_fn *fn, u64 iova, const void *buf, size_t len);

/**
 * vfmig_fn_raise() - fire MSI-X vector @vector
 * @fn: the function
 * @vector: index in the MSI-X table; out of range is ignored
 *
 * Stays pending, once, while the vector has no handler, MSI-X is off or masked,
 * bus master is off, or interrupts are held, and fires when none is so.  Process
 * context, no raw spinlock held.
 */
void vfmig_fn_raise(struct vfmig_fn *fn, unsigned int vector);

/**
 * vfmig_fn_hold_irqs() - let no interrupt out until further notice, or again
 * @fn: the function
 * @hold: true: when it returns none is under way; false: fire what is pending
 *
 * A reset ends the hold and forgets what is pending.  May sleep.
 */
void vfmig_fn_hold_irqs(struct vfmig_fn *fn, bool hold);

/**
 * vfmig_fn_log_start() - log what the function writes from now on
 * @fn: the function
 * @ranges: of IOVA, both ends belong to it; sorted, apart, of whole pages of 4 KiB
 * @count: how many @ranges
 *
 * Writes to other addresses are not reported.  A reset changes nothing.  May sleep.
 *
 * Return: 0, -EINVAL if it logs already, -ENOMEM.
 */
int vfmig_fn_log_start(struct vfmig_fn *fn, const struct range *ranges, unsigned int count);

/**
 * vfmig_fn_log_stop() - log no more, if it did, and forget the log
 * @fn: the function
 *
 * May sleep.
 */
void vfmig_fn_log_stop(struct vfmig_fn *fn);

/**
 * vfmig_fn_log_report() - what did the function write?
 * @fn: the function
 * @iova: first byte to look at, a multiple of 4 KiB
 * @length: bytes to look at, a multiple of 4 KiB
 * @dirty: gets the pages of 4 KiB that were written since they were reported last
 *
 * Of a write that is under way the page is reported now, and the data can be seen,
 * or the next time.  May sleep, on user memory too.
 *
 * Return: 0, -EINVAL if it does not log or for a bad @iova or @length.
 */
int vfmig_fn_log_report(struct vfmig_fn *fn, u64 iova, u64 length, struct iova_bitmap *dirty);

/** vfmig_fn_dma_faults() - DMA faults of the function since it was made */
u64 vfmig_fn_dma_faults(struct vfmig_fn *fn);

#endif /* _VFMIG_FABRIC_H */
