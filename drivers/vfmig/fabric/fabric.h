/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between the fabric and a device model.  The fabric simulates
 * PCI, MSI-X and the IOMMU.  The model simulates what is behind the BARs.  The
 * fabric does not depend on NVMe, and the model does not handle config space.
 */
#ifndef _VFMIG_FABRIC_H
#define _VFMIG_FABRIC_H

#include <linux/pci.h>
#include <linux/types.h>

struct dentry;
struct iova_bitmap;
struct module;
struct range;
struct vfmig_fabric;	/* a host bridge with its PFs and VFs */
struct vfmig_fn;	/* one function, PF or VF */

#define VFMIG_MAX_PFS		8
#define VFMIG_MAX_VFS		64
#define VFMIG_MAX_VECTORS	64
#define VFMIG_MAX_PF_DESCS	8
#define VFMIG_CAPS_SIZE		100
#define VFMIG_DMA_ORDERED	128	/* bytes, see vfmig_fn_dma_write() */

/**
 * struct vfmig_cap - a vendor-specific capability in config space
 * @body: its bytes after the ID, the pointer to the next capability and the length
 * @writable: mask of the writable bits of @body, as many bytes; NULL if there are none
 * @length: bytes of @body
 * @window: the bytes of @body from this one on are no registers: an access to them calls
 *	&vfmig_fn_ops.cap_access.  0 for no such bytes.
 *
 * VFIO's users can access such a capability: the kernel's vfio_pci_core passes both reads
 * and writes on.
 */
struct vfmig_cap {
	const u8 *body;
	const u8 *writable;
	u8 length;
	u8 window;
};

/**
 * struct vfmig_fn_desc - config space of one kind of function
 * @device: PCI device ID (for a VF: the one that the PF's SR-IOV capability reports)
 * @subsystem_vendor: subsystem vendor ID, 0 for the vendor ID
 * @subsystem_device: subsystem ID, 0 for @device
 * @class: class code, 24 bits
 * @revision: revision ID
 * @bar_size: sizes in bytes, powers of two of at least 4 KiB, 0 for no BAR.  All
 *	BARs are 64-bit and so have an even index.
 * @msix_vectors: size of the MSI-X table, 0 for no MSI-X capability
 * @msix_bar: BAR of the MSI-X table and PBA
 * @msix_table: offset of the table, a multiple of 4 KiB
 * @msix_pba: offset of the PBA, a multiple of 4 KiB
 * @num_caps: number of @caps
 * @caps: vendor-specific capabilities, in this order.  There is room for VFMIG_CAPS_SIZE bytes,
 *	of which each capability takes 3 and its body, rounded up to a multiple of 4.
 */
struct vfmig_fn_desc {
	u16 device;
	u16 subsystem_vendor;
	u16 subsystem_device;
	u32 class;
	u8 revision;
	u32 bar_size[PCI_STD_NUM_BARS];
	u16 msix_vectors;
	u8 msix_bar;
	u32 msix_table;
	u32 msix_pba;
	unsigned int num_caps;
	const struct vfmig_cap *caps;
};

/**
 * struct vfmig_pf_desc - description of a PF and its VFs
 * @vendor: PCI vendor ID.  A VF has the vendor ID of its PF.
 * @pf: config space of the PF; it has no BAR
 * @vf: config space of each VF
 *
 * No driver of the host may bind to PF or VF by itself.  A VF has a driver_override.  A PF needs
 * IDs that no driver takes.  For VFs of vendor 0x1af4 (virtio) that is a device ID outside of
 * 0x1000-0x107f: virtio_pci is tried on every device of that vendor, but its probe returns
 * -ENODEV for other device IDs, in Linux 6.12 and 7.3 (vp_modern_probe(), vp_legacy_probe()),
 * and the driver core goes on to the next driver.
 */
struct vfmig_pf_desc {
	u16 vendor;
	struct vfmig_fn_desc pf;
	struct vfmig_fn_desc vf;
};

/**
 * struct vfmig_fabric_desc - description of a fabric, for vfmig_fabric_create()
 * @owner: module of the PF driver and of the models.  The fabric pins it while a
 *	driver other than the module's own and @vf_driver is bound to a function.
 *	The module's exit would otherwise wait for the users of that driver.
 * @num_pfs: 1 to VFMIG_MAX_PFS
 * @total_vfs: TotalVFs of each PF, 1 to VFMIG_MAX_VFS
 * @vf_driver: driver_override that each VF gets at creation.  This driver itself
 *	pins @owner while a VF is open.
 * @num_descs: 1 to VFMIG_MAX_PF_DESCS
 * @descs: all descriptions that a PF can have; constant while the fabric exists
 * @pfs: which of @descs each PF has at first
 */
struct vfmig_fabric_desc {
	struct module *owner;
	unsigned int num_pfs;
	unsigned int total_vfs;
	const char *vf_driver;
	unsigned int num_descs;
	const struct vfmig_pf_desc *descs[VFMIG_MAX_PF_DESCS];
	const struct vfmig_pf_desc *pfs[VFMIG_MAX_PFS];
};

/**
 * struct vfmig_fn_ops - callbacks from the bus to a model
 * @reset: The function is reset (FLR of it or of its PF).  May sleep.  Until it
 *	returns, config reads of the function return all ones.  When it returns, no
 *	DMA and no interrupt that began before the reset is under way.
 * @kick: DMA that returned -EAGAIN may work now, or vfmig_fn_rewrite() may have something to
 *	do.  Atomic context, any lock may be held.
 * @bar_read: @len (1, 2, 4, 8; aligned) bytes at @offset of @bar, outside the
 *	MSI-X table and PBA.  May sleep.
 * @bar_write: the same for a write.
 * @cap_access: The window of vendor-specific capability @cap, an index in
 *	&vfmig_fn_desc.caps, was written, or is about to be read.  @body is its whole body.  The
 *	model updates the bytes of the window before a read.  A raw spinlock is held and interrupts
 *	are off: the model may take raw spinlocks and queue work, and calls no function of
 *	the fabric.  NULL if no capability has a window.
 */
struct vfmig_fn_ops {
	void (*reset)(void *model);
	void (*kick)(void *model);
	u64 (*bar_read)(void *model, unsigned int bar, u64 offset, unsigned int len);
	void (*bar_write)(void *model, unsigned int bar, u64 offset, unsigned int len, u64 val);
	void (*cap_access)(void *model, unsigned int cap, u8 *body, bool write);
};

/**
 * vfmig_fabric_create() - create a host bridge with its PFs
 * @desc: description; the fabric keeps a copy, which refers to the same &struct vfmig_pf_desc
 *
 * When this returns, the PFs are enumerated and have been offered to drivers.
 *
 * Return: the fabric, or -EINVAL for a bad @desc, -ENOSPC if no PCI domain or
 * address window is free, -ENOMEM, or an error of the PCI, MSI or IOMMU core.
 */
struct vfmig_fabric *vfmig_fabric_create(const struct vfmig_fabric_desc *desc);

/**
 * vfmig_fabric_replace_pf() - give a PF another description
 * @pdev: a PF without VFs
 * @desc: one of &vfmig_fabric_desc.descs
 *
 * The PF is removed, with its driver, and found again with the new IDs, because the PCI core
 * remembers what it has read of a function.  When this returns, the PF has been offered to
 * drivers.  The function is not @pdev any more.
 *
 * The caller has a reference to @pdev and to the owner of the fabric.  It prevents that VFs of
 * this PF are enabled meanwhile.  May sleep; takes the device lock of the PF and the PCI core's
 * rescan-remove lock.  The caller holds neither, and no sysfs attribute of the PF that its
 * driver removes.
 *
 * Return: 0, -EINVAL for a bad @desc or if @pdev is no PF, -EBUSY if it has VFs, -ENODEV if
 * somebody else has removed it meanwhile; it then keeps its description.  -ENOMEM if the PF
 * with its new description can't be found; a rescan of the bus tries again.
 */
int vfmig_fabric_replace_pf(struct pci_dev *pdev, const struct vfmig_pf_desc *desc);

/**
 * vfmig_fabric_retire() - let no driver be bound to a function any more
 * @fabric: from vfmig_fabric_create()
 *
 * For the exit function of the owner: from then on the fabric can't pin the owner for a
 * driver that binds.  Drivers that are bound stay bound.  The caller must create no VF any
 * more.  May sleep; takes the device locks of the functions.
 */
void vfmig_fabric_retire(struct vfmig_fabric *fabric);

/**
 * vfmig_fabric_destroy() - remove the bridge and its functions
 * @fabric: from vfmig_fabric_create()
 *
 * Waits until drivers and users have released the functions.
 */
void vfmig_fabric_destroy(struct vfmig_fabric *fabric);

/**
 * vfmig_fn_of() - the function behind a pci_dev
 * @pdev: any PCI device
 *
 * Return: the function, or NULL if @pdev is not on a bus of a fabric.
 */
struct vfmig_fn *vfmig_fn_of(struct pci_dev *pdev);

/**
 * vfmig_fn_pf_desc() - the description of a PF, or of the PF of a VF
 * @fn: the function
 *
 * Return: the description; it does not change while the PF has a driver.
 */
const struct vfmig_pf_desc *vfmig_fn_pf_desc(const struct vfmig_fn *fn);

/** vfmig_fn_index() - index of a PF among the PFs, or of a VF among the VFs of its PF */
unsigned int vfmig_fn_index(const struct vfmig_fn *fn);

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
 * vfmig_fn_set_model() - attach a model to a function, or detach it
 * @fn: the function
 * @ops: callbacks of the model, or NULL to detach
 * @model: argument of @ops
 *
 * May sleep.  When it returns, no call of the previous @ops is under way.
 */
void vfmig_fn_set_model(struct vfmig_fn *fn, const struct vfmig_fn_ops *ops, void *model);

/**
 * vfmig_fn_bar_read() - read from a BAR
 * @fn: the function
 * @bar: 0 to 5
 * @offset: byte offset in the BAR
 * @len: 1, 2, 4 or 8; @offset is a multiple of it
 *
 * For the driver that traps BAR accesses.  The fabric answers reads of the PBA, the
 * model all others.  May sleep.
 *
 * Return: the value; all ones beyond the BAR, in the MSI-X table, without a model, and
 * while the function is being reset.
 */
u64 vfmig_fn_bar_read(struct vfmig_fn *fn, unsigned int bar, u64 offset, unsigned int len);

/** vfmig_fn_bar_write() - write to a BAR; dropped where a read returns all ones, and in the PBA */
void vfmig_fn_bar_write(struct vfmig_fn *fn, unsigned int bar, u64 offset, unsigned int len,
			u64 val);

/**
 * vfmig_fn_cap_save() - read the body of a vendor-specific capability
 * @fn: the function
 * @cap: an index in &vfmig_fn_desc.caps
 * @body: where to, as many bytes as the body has
 *
 * For a migration: what the guest has written there is state of the device.  The window is read
 * as it is, without a call of the model.  Any context, and no lock may be held that
 * &vfmig_fn_ops.cap_access takes.
 */
void vfmig_fn_cap_save(struct vfmig_fn *fn, unsigned int cap, u8 *body);

/** vfmig_fn_cap_load() - write the writable bits of a body that vfmig_fn_cap_save() has read */
void vfmig_fn_cap_load(struct vfmig_fn *fn, unsigned int cap, const u8 *body);

/**
 * vfmig_fn_dma_read() - read memory through the function's IOMMU
 * @fn: the function
 * @iova: first byte
 * @buf: destination
 * @len: bytes, any number
 *
 * Holds a lock for the copy of a page at most.  On error a part may have been copied.  2, 4 or
 * 8 bytes with a natural alignment are read as a whole.
 *
 * Return: 0, -EFAULT if a page is not mapped, is mapped without the permission, or is not
 * memory (counted as a DMA fault), -EAGAIN if bus master is off or the function is being
 * reset.  A kick() follows -EAGAIN when DMA may work again.
 */
int vfmig_fn_dma_read(struct vfmig_fn *fn, u64 iova, void *buf, size_t len);

/**
 * vfmig_fn_dma_write() - write memory through the function's IOMMU
 * @fn: the function
 * @iova: first byte
 * @buf: source
 * @len: bytes, any number
 *
 * As vfmig_fn_dma_read(), with two differences.  If writes are tracked or logged, it allocates
 * memory for the dirty bits, but does not wait for it.  If that fails, it returns -EAGAIN, and a
 * kick() follows 10 ms later; vfmig_fn_get_memory() waits for the memory.  2, 4 or 8 bytes with a
 * natural alignment arrive as a whole.  If @iova and @len are multiples of 8 and @len is at most
 * VFMIG_DMA_ORDERED, CPUs see the bytes arrive in order, 8 at a time.  Otherwise there is no order.
 *
 * Return: as vfmig_fn_dma_read().
 */
int vfmig_fn_dma_write(struct vfmig_fn *fn, u64 iova, const void *buf, size_t len);

/**
 * vfmig_fn_get_memory() - get the memory that a write has found none of
 * @fn: the function
 *
 * A write can't wait for memory, as its caller holds a lock that transitions wait for.  Charged to
 * the current memory cgroup.  May sleep for long, so the caller holds no such lock.
 *
 * Return: true if a write has returned -EAGAIN for lack of memory, and there is some now
 */
bool vfmig_fn_get_memory(struct vfmig_fn *fn);

/**
 * vfmig_fn_raise() - raise MSI-X vector @vector
 * @fn: the function
 * @vector: index in the MSI-X table; out of range is ignored
 *
 * The vector stays pending while it has no handler, MSI-X is off or masked, bus master is
 * off, or interrupts are held.  It fires once when none of these holds any more.  Process
 * context, no raw spinlock held.
 */
void vfmig_fn_raise(struct vfmig_fn *fn, unsigned int vector);

/**
 * vfmig_fn_hold_irqs() - hold interrupts back, or release them
 * @fn: the function
 * @hold: true: when this returns, no interrupt is under way, and no page is being written
 *	again; false: fire pending vectors
 *
 * A device that is stopped does no DMA either, so vfmig_fn_rewrite() does nothing while
 * interrupts are held.  A reset ends the hold and clears pending vectors.  May sleep.
 */
void vfmig_fn_hold_irqs(struct vfmig_fn *fn, bool hold);

/**
 * vfmig_fn_log_start() - start to log DMA writes of the function
 * @fn: the function
 * @ranges: of IOVA, both ends inclusive; sorted, not overlapping, of whole pages of 4 KiB
 * @count: number of @ranges
 *
 * Writes to other addresses are not reported.  A reset does not change the log.  May sleep.
 *
 * Return: 0, -EINVAL if a log is on, -ENOMEM.
 */
int vfmig_fn_log_start(struct vfmig_fn *fn, const struct range *ranges, unsigned int count);

/**
 * vfmig_fn_log_stop() - end the log, if one is on, and free it
 * @fn: the function
 *
 * May sleep.
 */
void vfmig_fn_log_stop(struct vfmig_fn *fn);

/**
 * vfmig_fn_log_report() - report and clear the writes in a range
 * @fn: the function
 * @iova: first byte to look at, a multiple of 4 KiB
 * @length: bytes to look at, a multiple of 4 KiB
 * @dirty: gets the pages of 4 KiB that were written since they were reported last
 *
 * If a page is reported, its data is visible.  A page whose write is under way may be
 * reported the next time.  May sleep, on user memory too.
 *
 * Return: 0, -EINVAL if no log is on or for a bad @iova or @length.
 */
int vfmig_fn_log_report(struct vfmig_fn *fn, u64 iova, u64 length, struct iova_bitmap *dirty);

/**
 * vfmig_fn_rewrite_debugfs() - let the administrator have guest memory written again
 * @fn: the function
 * @dir: its directory in debugfs, which gets a file; it is removed before the model is detached
 *
 * For functions of a model that calls vfmig_fn_rewrite().  It ends with the model.
 */
void vfmig_fn_rewrite_debugfs(struct vfmig_fn *fn, struct dentry *dir);

/**
 * vfmig_fn_rewrite() - write pages again that the function has written, if that is due
 * @fn: the function
 *
 * The content of the pages does not change, but they count as written for dirty tracking and
 * the log.  A model's worker calls this in each turn (model/worker.c), so it is done in the
 * process that uses the function; kick() wakes it.  May sleep.  No page is written while
 * interrupts are held, or while DMA does not work.  Without the administrator's command it
 * costs one test.
 *
 * Return: true if there is more to be written at once.
 */
bool vfmig_fn_rewrite(struct vfmig_fn *fn);

/**
 * vfmig_fn_forget_writes() - forget what the function has written
 * @fn: the function, or NULL
 *
 * For a device that its driver resets, or that gets another state: the buffers are not its own
 * any more.  A reset of the function does the same.  May sleep.
 */
void vfmig_fn_forget_writes(struct vfmig_fn *fn);

/** vfmig_fn_dma_faults() - number of DMA faults since the VF was enabled */
u64 vfmig_fn_dma_faults(struct vfmig_fn *fn);

#endif /* _VFMIG_FABRIC_H */
