/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Internal interfaces between the files of the fabric.
 *
 * Locks, outermost first:
 *
 *	vfmig_fn.model_lock	the model behind a function
 *	vfmig_fn.log_lock	a function's log of its writes
 *	vfmig_vector.lock	one MSI-X vector, held while its handler runs
 *	vfmig_domain.lock	changes of a page table, and the list of its users
 *	vfmig_fabric.cfg_lock	config space; taken under the PCI core's pci_lock
 *	vfmig_fn.dma_lock	everything that a copy under way relies on
 *
 * The callbacks of a model run under model_lock and may raise vectors and do
 * DMA.  No other lock of the fabric is taken with vfmig_vector.lock held, and no
 * two locks of one kind are held together.  The PCI core calls config.c with a
 * raw spinlock held and interrupts off, so config.c uses raw spinlocks and
 * queued work only.
 */
#ifndef _VFMIG_FABRIC_PRIV_H
#define _VFMIG_FABRIC_PRIV_H

#include <linux/iommu.h>
#include <linux/ioport.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/range.h>
#include <linux/ratelimit.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include <asm/pci.h>

#include "fabric.h"

struct irq_domain;
struct vfmig_dirty;
struct vfmig_domain;
struct vfmig_log;
struct vfmig_rewrite;

/* Bytes of config space up to the end of the SR-IOV capability; all others are 0 */
#define VFMIG_CFG_SIZE		0x140

/**
 * struct vfmig_pt - an IOMMU page table
 * @root: top level table
 */
struct vfmig_pt {
	u64 *root;
};

#define VFMIG_PTE_READ		BIT_ULL(0)
#define VFMIG_PTE_WRITE		BIT_ULL(1)
#define VFMIG_PTE_ADDR		GENMASK_ULL(51, PAGE_SHIFT)

#define VFMIG_PT_IOVA_BITS	48
#define VFMIG_PT_PGSIZES	(SZ_4K | SZ_2M | SZ_1G)

/**
 * struct vfmig_domain - a paging domain of the IOMMU
 * @domain: the IOMMU core's part
 * @lock: serialises changes of @pt and @dirty, protects @attachments
 * @pt: page table; DMA reads it without @lock, see dma.c
 * @dirty: pages written since tracking was enabled, NULL while it is off; DMA reads it
 *	without @lock too
 * @attachments: functions that may be using @pt, &struct vfmig_attachment
 */
struct vfmig_domain {
	struct iommu_domain domain;
	struct mutex lock; /* see above */
	struct vfmig_pt pt;
	struct vfmig_dirty *dirty;
	struct list_head attachments;
};

/**
 * struct vfmig_attachment - a function using a domain
 * @node: in &vfmig_domain.attachments
 * @domain: the domain
 * @fn: the function
 */
struct vfmig_attachment {
	struct list_head node;
	struct vfmig_domain *domain;
	struct vfmig_fn *fn;
};

/**
 * struct vfmig_vector - one MSI-X vector
 * @lock: held while the interrupt is delivered, so no delivery is under way while
 *	another thread holds it; protects @virq and setting the pending bit
 * @fn: its function
 * @index: index in the MSI-X table
 * @virq: Linux interrupt number, 0 for none
 */
struct vfmig_vector {
	spinlock_t lock; /* see above */
	struct vfmig_fn *fn;
	unsigned int index;
	unsigned int virq;
};

/* Bits of vfmig_fn.irq_state; vectors fire if only VFMIG_IRQ_OPEN_BIT is set */
enum {
	VFMIG_IRQ_OPEN_BIT,	/* MSI-X on and not masked, bus master, not in reset */
	VFMIG_IRQ_HELD_BIT,	/* vfmig_fn_hold_irqs(); pages are not written again either */
};

/**
 * struct vfmig_fn - one function, PF or VF
 * @fabric: the fabric that it belongs to
 * @desc: its description.  It changes under cfg_lock, and only while the function's PF has no
 *	pci_dev and so no VFs.
 * @pf_desc: for a PF: description of the PF and its VFs; changes with @desc
 * @pf: its PF; NULL for a PF
 * @vfs: for a PF: its VFs, TotalVFs of them
 * @index: for a VF: among the VFs of its PF; for a PF: among all PFs
 * @rid: routing ID: bus number and devfn
 * @name: for messages
 *
 * @cfg: config space, protected by cfg_lock
 * @cfg_writable: mask of the writable bits, protected by cfg_lock
 * @present: a PF, or a VF that is enabled; protected by cfg_lock
 * @resetting: a reset is under way; protected by cfg_lock
 * @reset_seq: number of resets requested; protected by cfg_lock
 * @alive: present and not in reset; written under cfg_lock, read without a lock
 *
 * @dma_lock: protects all from @domain to @rewrite, and is held for each copy
 * @domain: IOMMU domain of its DMA, NULL if DMA is blocked
 * @master: may do DMA
 * @logged: pages written since the function's log was started, NULL while it is off
 * @starved: a write found no memory for its dirty bits, see vfmig_fn_get_memory().  Also read
 *	without the lock.
 * @starved_at: the IOVA of that write
 * @rewrite: pages that are to be written again, NULL while that is off
 * @log_lock: protects @log, and serialises changes of @logged
 * @log: the function's log of its writes, or NULL
 * @attachment: its attachment to @domain; serialised by the IOMMU core's group mutex
 * @pins: a foreign driver is bound, and @fabric's owner is pinned for it; protected by
 *	the device lock of its pci_dev
 * @bars_taken: vfmig_bars_take() must be undone; set and cleared when its pci_dev is added
 *	and removed
 * @dma_faults: number of DMA faults since the VF was enabled
 * @faults_said: rate limit of their messages
 *
 * @vectors: MSI-X vectors, as many as the function has with any description
 * @irq_state: VFMIG_IRQ_ bits
 * @irq_pending: vectors that were raised and not delivered
 * @irq_live: vectors with a handler
 * @fire_work: delivers vectors that have become deliverable
 *
 * @model_lock: read for each call of the model, written to change it; cap_access() is called
 *	under cfg_lock instead, which is also held to change the model
 * @ops: callbacks of the model, NULL for none
 * @model: argument of @ops
 * @replaced: for a PF: its last pci_dev that was removed for another description, with a
 *	reference, or NULL; protected by the PCI core's rescan-remove lock
 * @reset_work: completes a reset that a config write began
 * @kick_work: tells the model that it may do DMA again; while @rewrite is on, every 10 ms
 */
struct vfmig_fn {
	struct vfmig_fabric *fabric;
	const struct vfmig_fn_desc *desc;
	const struct vfmig_pf_desc *pf_desc;
	struct vfmig_fn *pf;
	struct vfmig_fn *vfs;
	unsigned int index;
	u16 rid;
	char name[16];

	u8 cfg[VFMIG_CFG_SIZE];
	u8 cfg_writable[VFMIG_CFG_SIZE];
	bool present;
	bool resetting;
	unsigned int reset_seq;
	bool alive;

	raw_spinlock_t dma_lock;
	struct vfmig_domain *domain;
	bool master;
	struct vfmig_dirty *logged;
	bool starved;
	u64 starved_at;
	struct vfmig_rewrite *rewrite;
	struct mutex log_lock; /* see above */
	struct vfmig_log *log;
	struct vfmig_attachment *attachment;
	bool pins;
	bool bars_taken;
	atomic64_t dma_faults;
	struct ratelimit_state faults_said;

	struct vfmig_vector *vectors;
	unsigned long irq_state;
	DECLARE_BITMAP(irq_pending, VFMIG_MAX_VECTORS);
	DECLARE_BITMAP(irq_live, VFMIG_MAX_VECTORS);
	struct work_struct fire_work;

	struct rw_semaphore model_lock;
	const struct vfmig_fn_ops *ops;
	void *model;
	struct pci_dev *replaced;
	struct work_struct reset_work;
	struct delayed_work kick_work;
};

/**
 * struct vfmig_fabric - a host bridge with its PFs and VFs
 * @desc: its description; &vfmig_fabric_desc.vf_driver is a copy
 * @pfs: its PFs, @desc.num_pfs of them
 * @cfg_lock: protects the config space of all functions
 * @wq: for resets and other work that config writes can't do in atomic context
 * @dev: parent of the bridge and of the IOMMU
 * @fwnode: names the IOMMU and the MSI domain
 * @msi_domain: MSI parent domain
 * @iommu: the IOMMU
 * @sysdata: what x86 wants to know of a root bus
 * @busn: bus numbers
 * @window: addresses for BARs
 * @bridge: the host bridge
 */
struct vfmig_fabric {
	struct vfmig_fabric_desc desc;
	struct vfmig_fn *pfs;
	raw_spinlock_t cfg_lock;
	struct workqueue_struct *wq;

	struct device *dev;
	struct fwnode_handle *fwnode;
	struct irq_domain *msi_domain;
	struct iommu_device iommu;

	struct pci_sysdata sysdata;
	struct resource busn;
	struct resource window;
	struct pci_host_bridge *bridge;
};

static inline bool vfmig_fn_is_vf(const struct vfmig_fn *fn)
{
	return fn->pf;
}

/* bridge.c */
struct vfmig_fn *vfmig_fabric_fn(struct pci_bus *bus, unsigned int devfn);

/* window.c */
int vfmig_window_claim(struct vfmig_fabric *fabric);
void vfmig_window_release(struct vfmig_fabric *fabric);
int vfmig_bars_take(struct pci_dev *pdev);
void vfmig_bars_give_back(struct pci_dev *pdev);

/* config.c */
extern struct pci_ops vfmig_pci_ops;

void vfmig_cfg_init(struct vfmig_fn *fn);
bool vfmig_caps_are_valid(const struct vfmig_fn_desc *desc);
bool vfmig_cfg_bus_master(const struct vfmig_fn *fn);
bool vfmig_cfg_msix_open(const struct vfmig_fn *fn);

/* function.c */
int vfmig_fn_init(struct vfmig_fn *fn);
void vfmig_fn_destroy(struct vfmig_fn *fn);
void vfmig_fn_update(struct vfmig_fn *fn);
void vfmig_fn_kick_later(struct vfmig_fn *fn);
void vfmig_fn_reset(struct vfmig_fn *fn);
void vfmig_fn_set_present(struct vfmig_fn *fn, bool present);
void vfmig_fn_set_pf_desc(struct vfmig_fn *pf, const struct vfmig_pf_desc *desc);

/* msi.c */
int vfmig_msi_create(struct vfmig_fabric *fabric);
void vfmig_msi_destroy(struct vfmig_fabric *fabric);
int vfmig_msi_fn_init(struct vfmig_fn *fn);
void vfmig_msi_fn_destroy(struct vfmig_fn *fn);
void vfmig_msi_set_open(struct vfmig_fn *fn, bool open);
void vfmig_msi_end_hold(struct vfmig_fn *fn);
void vfmig_msi_drop_pending(struct vfmig_fn *fn);
u64 vfmig_msi_pba(const struct vfmig_fn *fn);

/* iommu.c */
int vfmig_iommu_init(void);
void vfmig_iommu_exit(void);
int vfmig_iommu_create(struct vfmig_fabric *fabric);
void vfmig_iommu_destroy(struct vfmig_fabric *fabric);

/* pagetable.c */
int vfmig_pt_init(struct vfmig_pt *pt);
void vfmig_pt_destroy(struct vfmig_pt *pt);
int vfmig_pt_map(struct vfmig_pt *pt, u64 iova, phys_addr_t paddr, size_t pgsize, size_t pgcount,
		 u64 perms, gfp_t gfp, size_t *mapped);
size_t vfmig_pt_unmap(struct vfmig_pt *pt, u64 iova, size_t size, struct list_head *unused);
void vfmig_pt_free_unused(struct list_head *unused);
u64 vfmig_pt_walk(const struct vfmig_pt *pt, u64 iova, phys_addr_t *paddr);

#endif /* _VFMIG_FABRIC_PRIV_H */
