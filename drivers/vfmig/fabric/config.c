// SPDX-License-Identifier: GPL-2.0-only
/*
 * Config space: the values of a function's registers, their writable bits, and
 * the effects of a write.
 *
 * The PCI core calls the accessors with a raw spinlock held and interrupts off.
 * A write takes effect before it returns.  An effect that has to sleep (a reset)
 * begins before the write returns and continues in a work.
 */
#include <linux/nospec.h>
#include <linux/pci.h>
#include <linux/unaligned.h>

#include "fabric_priv.h"

/* Offsets of the capabilities; a VF has no power management and no SR-IOV */
#define CFG_PM		0x40
#define CFG_EXP		0x50
#define CFG_MSIX	0x90
#define CFG_CAPS	(CFG_MSIX + PCI_CAP_MSIX_SIZEOF)	/* vendor-specific ones */
#define CFG_SRIOV	0x100

/* PCIe capability version 2, its slot and root registers left 0 */
#define CFG_EXP_VERSION	2
/* There is no link, but a function must report one */
#define CFG_LINK_SPEED	PCI_EXP_LNKCAP_SLS_16_0GB
#define CFG_LINK_WIDTH	4
#define CFG_LNKCAP2	(PCI_EXP_LNKCAP2_SLS_2_5GB | PCI_EXP_LNKCAP2_SLS_5_0GB | \
			 PCI_EXP_LNKCAP2_SLS_8_0GB | PCI_EXP_LNKCAP2_SLS_16_0GB)

/* 4 KiB, 8 KiB, 64 KiB, 256 KiB, 1 MiB, 4 MiB: the sizes that each PF must support */
#define CFG_SRIOV_PGSIZES	0x553

static u16 cfg_get16(const struct vfmig_fn *fn, unsigned int where)
{
	return get_unaligned_le16(&fn->cfg[where]);
}

static u32 cfg_get32(const struct vfmig_fn *fn, unsigned int where)
{
	return get_unaligned_le32(&fn->cfg[where]);
}

/* Set a register and its writable bits */
static void cfg_set8(struct vfmig_fn *fn, unsigned int where, u8 val, u8 writable)
{
	fn->cfg[where] = val;
	fn->cfg_writable[where] = writable;
}

static void cfg_set16(struct vfmig_fn *fn, unsigned int where, u16 val, u16 writable)
{
	put_unaligned_le16(val, &fn->cfg[where]);
	put_unaligned_le16(writable, &fn->cfg_writable[where]);
}

static void cfg_set32(struct vfmig_fn *fn, unsigned int where, u32 val, u32 writable)
{
	put_unaligned_le32(val, &fn->cfg[where]);
	put_unaligned_le32(writable, &fn->cfg_writable[where]);
}

static void cfg_init_bars(struct vfmig_fn *fn, unsigned int where, const u32 *sizes, u32 min_size)
{
	for (unsigned int i = 0; i < PCI_STD_NUM_BARS; i++) {
		u32 size = max(sizes[i], min_size);

		if (!sizes[i])
			continue;
		cfg_set32(fn, where + 4 * i, PCI_BASE_ADDRESS_MEM_TYPE_64, -size);
		cfg_set32(fn, where + 4 * (i + 1), 0, ~0);
	}
}

static void cfg_init_header(struct vfmig_fn *fn)
{
	u16 vendor = vfmig_fn_pf_desc(fn)->vendor;
	bool vf = vfmig_fn_is_vf(fn);
	u16 command = PCI_COMMAND_MASTER;
	u8 type = PCI_HEADER_TYPE_NORMAL;

	if (!vf)
		command |= PCI_COMMAND_MEMORY | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
			   PCI_COMMAND_INTX_DISABLE;
	if (!vf && fn->fabric->desc.num_pfs > 1)
		type |= PCI_HEADER_TYPE_MFD;

	cfg_set16(fn, PCI_VENDOR_ID, vf ? 0xffff : vendor, 0);
	cfg_set16(fn, PCI_DEVICE_ID, vf ? 0xffff : fn->desc->device, 0);
	cfg_set16(fn, PCI_COMMAND, 0, command);
	cfg_set16(fn, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	cfg_set32(fn, PCI_CLASS_REVISION, fn->desc->class << 8 | fn->desc->revision, 0);
	cfg_set8(fn, PCI_CACHE_LINE_SIZE, 0, vf ? 0 : 0xff);
	cfg_set8(fn, PCI_HEADER_TYPE, type, 0);
	cfg_set16(fn, PCI_SUBSYSTEM_VENDOR_ID, fn->desc->subsystem_vendor ?: vendor, 0);
	cfg_set16(fn, PCI_SUBSYSTEM_ID, fn->desc->subsystem_device ?: fn->desc->device, 0);
	cfg_set8(fn, PCI_CAPABILITY_LIST, vf ? CFG_EXP : CFG_PM, 0);
	if (!vf)
		cfg_init_bars(fn, PCI_BASE_ADDRESS_0, fn->desc->bar_size, 0);
}

static void cfg_init_pm(struct vfmig_fn *fn)
{
	cfg_set8(fn, CFG_PM, PCI_CAP_ID_PM, 0);
	cfg_set8(fn, CFG_PM + PCI_CAP_LIST_NEXT, CFG_EXP, 0);
	cfg_set16(fn, CFG_PM + PCI_PM_PMC, 3, 0);
	cfg_set16(fn, CFG_PM + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET, PCI_PM_CTRL_STATE_MASK);
}

static void cfg_init_exp(struct vfmig_fn *fn)
{
	u8 next = fn->desc->num_caps ? CFG_CAPS : 0;
	bool vf = vfmig_fn_is_vf(fn);
	u16 control = PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN |
		      PCI_EXP_DEVCTL_READRQ_512B;
	u16 writable = control | PCI_EXP_DEVCTL_READRQ | PCI_EXP_DEVCTL_PAYLOAD |
		       PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
		       PCI_EXP_DEVCTL_URRE;

	cfg_set8(fn, CFG_EXP, PCI_CAP_ID_EXP, 0);
	cfg_set8(fn, CFG_EXP + PCI_CAP_LIST_NEXT, fn->desc->msix_vectors ? CFG_MSIX : next, 0);
	cfg_set16(fn, CFG_EXP + PCI_EXP_FLAGS, CFG_EXP_VERSION | PCI_EXP_TYPE_ENDPOINT << 4, 0);
	cfg_set32(fn, CFG_EXP + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 0);
	cfg_set16(fn, CFG_EXP + PCI_EXP_DEVCTL, vf ? 0 : control,
		  (vf ? 0 : writable) | PCI_EXP_DEVCTL_BCR_FLR);
	cfg_set32(fn, CFG_EXP + PCI_EXP_LNKCAP,
		  CFG_LINK_SPEED | CFG_LINK_WIDTH << PCI_EXP_LNKSTA_NLW_SHIFT, 0);
	if (!vf)	/* 0 in a VF: the link belongs to the PF */
		cfg_set16(fn, CFG_EXP + PCI_EXP_LNKSTA,
			  PCI_EXP_LNKSTA_CLS_16_0GB | CFG_LINK_WIDTH << PCI_EXP_LNKSTA_NLW_SHIFT,
			  0);
	cfg_set32(fn, CFG_EXP + PCI_EXP_DEVCAP2, PCI_EXP_DEVCAP2_COMP_TMOUT_DIS, 0);
	cfg_set32(fn, CFG_EXP + PCI_EXP_LNKCAP2, CFG_LNKCAP2, 0);
	if (!vf)
		cfg_set16(fn, CFG_EXP + PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS_16_0GT, 0);
}

static void cfg_init_msix(struct vfmig_fn *fn)
{
	const struct vfmig_fn_desc *desc = fn->desc;

	cfg_set8(fn, CFG_MSIX, PCI_CAP_ID_MSIX, 0);
	cfg_set8(fn, CFG_MSIX + PCI_CAP_LIST_NEXT, desc->num_caps ? CFG_CAPS : 0, 0);
	cfg_set16(fn, CFG_MSIX + PCI_MSIX_FLAGS, desc->msix_vectors - 1,
		  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	cfg_set32(fn, CFG_MSIX + PCI_MSIX_TABLE, desc->msix_table | desc->msix_bar, 0);
	cfg_set32(fn, CFG_MSIX + PCI_MSIX_PBA, desc->msix_pba | desc->msix_bar, 0);
}

/* ID, pointer to the next capability, length; the body follows */
#define CFG_CAP_HEADER	3

static unsigned int cfg_cap_size(const struct vfmig_cap *cap)
{
	return ALIGN(CFG_CAP_HEADER + cap->length, 4);
}

/* Do the vendor-specific capabilities fit? */
bool vfmig_caps_are_valid(const struct vfmig_fn_desc *desc)
{
	unsigned int size = 0;

	static_assert(CFG_CAPS + VFMIG_CAPS_SIZE == PCI_CFG_SPACE_SIZE);
	for (unsigned int i = 0; i < desc->num_caps; i++) {
		const struct vfmig_cap *cap = &desc->caps[i];

		size += cfg_cap_size(cap);
		if (size > VFMIG_CAPS_SIZE || cap->window > cap->length)
			return false;
	}
	return true;
}

static void cfg_init_caps(struct vfmig_fn *fn)
{
	unsigned int pos = CFG_CAPS;

	for (unsigned int i = 0; i < fn->desc->num_caps; i++) {
		const struct vfmig_cap *cap = &fn->desc->caps[i];
		unsigned int next = pos + cfg_cap_size(cap);
		unsigned int body = pos + CFG_CAP_HEADER;

		cfg_set8(fn, pos, PCI_CAP_ID_VNDR, 0);
		cfg_set8(fn, pos + PCI_CAP_LIST_NEXT, i + 1 < fn->desc->num_caps ? next : 0, 0);
		cfg_set8(fn, pos + PCI_CAP_FLAGS, CFG_CAP_HEADER + cap->length, 0);
		memcpy(&fn->cfg[body], cap->body, cap->length);
		if (cap->writable)
			memcpy(&fn->cfg_writable[body], cap->writable, cap->length);
		pos = next;
	}
}

/* The size of a VF BAR is at least a system page */
static void cfg_init_vf_bars(struct vfmig_fn *pf)
{
	cfg_init_bars(pf, CFG_SRIOV + PCI_SRIOV_BAR, pf->pf_desc->vf.bar_size,
		      cfg_get32(pf, CFG_SRIOV + PCI_SRIOV_SYS_PGSIZE) << 12);
}

static void cfg_init_sriov(struct vfmig_fn *pf)
{
	const struct vfmig_fabric_desc *desc = &pf->fabric->desc;

	cfg_set32(pf, CFG_SRIOV, PCI_EXT_CAP_ID_SRIOV | 1 << 16, 0);
	cfg_set16(pf, CFG_SRIOV + PCI_SRIOV_CTRL, 0, PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE);
	cfg_set16(pf, CFG_SRIOV + PCI_SRIOV_INITIAL_VF, desc->total_vfs, 0);
	cfg_set16(pf, CFG_SRIOV + PCI_SRIOV_TOTAL_VF, desc->total_vfs, 0);
	cfg_set16(pf, CFG_SRIOV + PCI_SRIOV_NUM_VF, 0, 0xffff);
	cfg_set8(pf, CFG_SRIOV + PCI_SRIOV_FUNC_LINK, pf->rid, 0);
	cfg_set16(pf, CFG_SRIOV + PCI_SRIOV_VF_OFFSET, pf->vfs[0].rid - pf->rid, 0);
	cfg_set16(pf, CFG_SRIOV + PCI_SRIOV_VF_STRIDE, 1, 0);
	cfg_set16(pf, CFG_SRIOV + PCI_SRIOV_VF_DID, pf->pf_desc->vf.device, 0);
	cfg_set32(pf, CFG_SRIOV + PCI_SRIOV_SUP_PGSIZE, CFG_SRIOV_PGSIZES, 0);
	cfg_set32(pf, CFG_SRIOV + PCI_SRIOV_SYS_PGSIZE, 1, CFG_SRIOV_PGSIZES);
	cfg_init_vf_bars(pf);
}

/**
 * vfmig_cfg_init() - set config space to its power-on state
 * @fn: the function
 *
 * Context: &vfmig_fabric.cfg_lock is held, or the function is not in use yet.
 */
void vfmig_cfg_init(struct vfmig_fn *fn)
{
	memset(fn->cfg, 0, sizeof(fn->cfg));
	memset(fn->cfg_writable, 0, sizeof(fn->cfg_writable));

	cfg_init_header(fn);
	cfg_init_exp(fn);
	if (fn->desc->msix_vectors)
		cfg_init_msix(fn);
	cfg_init_caps(fn);
	if (vfmig_fn_is_vf(fn))
		return;
	cfg_init_pm(fn);
	cfg_init_sriov(fn);
}

/* May the function send requests?  cfg_lock is held. */
bool vfmig_cfg_bus_master(const struct vfmig_fn *fn)
{
	return (cfg_get16(fn, PCI_COMMAND) & PCI_COMMAND_MASTER) &&
	       (vfmig_fn_is_vf(fn) ||
		!(cfg_get16(fn, CFG_PM + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK));
}

/* Is MSI-X enabled and not masked?  cfg_lock is held. */
bool vfmig_cfg_msix_open(const struct vfmig_fn *fn)
{
	u16 flags = cfg_get16(fn, CFG_MSIX + PCI_MSIX_FLAGS);

	return (flags & PCI_MSIX_FLAGS_ENABLE) && !(flags & PCI_MSIX_FLAGS_MASKALL);
}

/* There are only D0 and D3hot: a write of another state changes nothing */
static void cfg_pm_written(struct vfmig_fn *fn, u32 old)
{
	u16 state = cfg_get16(fn, CFG_PM + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK;

	if (state && state != PCI_PM_CTRL_STATE_MASK)
		put_unaligned_le16(old, &fn->cfg[CFG_PM + PCI_PM_CTRL]);
	vfmig_fn_update(fn);
}

static void cfg_vf_enable_written(struct vfmig_fn *pf, u32 old)
{
	u16 ctrl = cfg_get16(pf, CFG_SRIOV + PCI_SRIOV_CTRL);
	bool enable = ctrl & PCI_SRIOV_CTRL_VFE;
	unsigned int num_vfs = min_t(unsigned int, pf->fabric->desc.total_vfs,
				     cfg_get16(pf, CFG_SRIOV + PCI_SRIOV_NUM_VF));

	if (!((old ^ ctrl) & PCI_SRIOV_CTRL_VFE))
		return;

	/* While VFs are enabled, their number and the system page size can't change */
	put_unaligned_le16(enable ? 0 : 0xffff,
			   &pf->cfg_writable[CFG_SRIOV + PCI_SRIOV_NUM_VF]);
	put_unaligned_le32(enable ? 0 : CFG_SRIOV_PGSIZES,
			   &pf->cfg_writable[CFG_SRIOV + PCI_SRIOV_SYS_PGSIZE]);

	for (unsigned int i = 0; i < num_vfs; i++)
		vfmig_fn_set_present(&pf->vfs[i], enable);
}

/* A write that is not exactly one of the supported sizes changes nothing */
static void cfg_pgsize_written(struct vfmig_fn *pf, u32 old)
{
	u32 size = cfg_get32(pf, CFG_SRIOV + PCI_SRIOV_SYS_PGSIZE);

	if (hweight32(size) != 1)
		put_unaligned_le32(old, &pf->cfg[CFG_SRIOV + PCI_SRIOV_SYS_PGSIZE]);
	else if (size != old)
		cfg_init_vf_bars(pf);
}

static void cfg_devctl_written(struct vfmig_fn *fn, u32 old)
{
	u16 control = cfg_get16(fn, CFG_EXP + PCI_EXP_DEVCTL);

	if (!(control & PCI_EXP_DEVCTL_BCR_FLR))
		return;
	put_unaligned_le16(control & ~PCI_EXP_DEVCTL_BCR_FLR, &fn->cfg[CFG_EXP + PCI_EXP_DEVCTL]);

	if (!vfmig_fn_is_vf(fn)) {
		u16 ctrl = cfg_get16(fn, CFG_SRIOV + PCI_SRIOV_CTRL);

		/* This removes and resets the VFs until VF Enable is set again */
		put_unaligned_le16(0, &fn->cfg[CFG_SRIOV + PCI_SRIOV_CTRL]);
		cfg_vf_enable_written(fn, ctrl);
	}
	vfmig_fn_reset(fn);
}

static void cfg_gate_written(struct vfmig_fn *fn, u32 old)
{
	vfmig_fn_update(fn);
}

/* Effects of writes; @old is the previous value of the aligned 32 bits at @where, shifted */
static const struct cfg_effect {
	unsigned int where;
	unsigned int shift;
	void (*written)(struct vfmig_fn *fn, u32 old);
} cfg_effects[] = {
	{ PCI_COMMAND,				0,	cfg_gate_written },
	{ CFG_PM + PCI_PM_CTRL,			0,	cfg_pm_written },
	{ CFG_EXP + PCI_EXP_DEVCTL,		0,	cfg_devctl_written },
	{ CFG_MSIX,				16,	cfg_gate_written },
	{ CFG_SRIOV + PCI_SRIOV_CTRL,		0,	cfg_vf_enable_written },
	{ CFG_SRIOV + PCI_SRIOV_SYS_PGSIZE,	0,	cfg_pgsize_written },
};

static const struct cfg_effect *cfg_effect_of(unsigned int where)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(cfg_effects); i++)
		if (cfg_effects[i].where == ALIGN_DOWN(where, 4))
			return &cfg_effects[i];
	return NULL;
}

/* Call the model if the access meets the window of a capability; cfg_lock is held */
static void cfg_access_caps(struct vfmig_fn *fn, unsigned int where, unsigned int size, bool write)
{
	unsigned int pos = CFG_CAPS;

	for (unsigned int i = 0; i < fn->desc->num_caps; i++) {
		const struct vfmig_cap *cap = &fn->desc->caps[i];
		unsigned int body = pos + CFG_CAP_HEADER;

		if (cap->window && where < body + cap->length &&
		    where + size > body + cap->window && fn->ops && fn->ops->cap_access)
			fn->ops->cap_access(fn->model, i, &fn->cfg[body], write);
		pos += cfg_cap_size(cap);
	}
}

/* cfg_lock is held */
static u32 cfg_read(struct vfmig_fn *fn, unsigned int where, unsigned int size)
{
	u32 val = 0;

	cfg_access_caps(fn, where, size, false);
	for (unsigned int i = 0; i < size && where + i < VFMIG_CFG_SIZE; i++)
		val |= fn->cfg[array_index_nospec(where + i, VFMIG_CFG_SIZE)] << (8 * i);
	return val;
}

/* Write what is writable; cfg_lock is held */
static void cfg_write8(struct vfmig_fn *fn, unsigned int where, u8 val)
{
	u8 writable;

	where = array_index_nospec(where, VFMIG_CFG_SIZE);
	writable = fn->cfg_writable[where];
	fn->cfg[where] &= ~writable;
	fn->cfg[where] |= val & writable;
}

/* cfg_lock is held */
static void cfg_write(struct vfmig_fn *fn, unsigned int where, unsigned int size, u32 val)
{
	const struct cfg_effect *effect = cfg_effect_of(where);
	u32 old = effect ? cfg_get32(fn, effect->where) >> effect->shift : 0;

	for (unsigned int i = 0; i < size && where + i < VFMIG_CFG_SIZE; i++)
		cfg_write8(fn, where + i, val >> (8 * i));
	if (effect)
		effect->written(fn, old);
	cfg_access_caps(fn, where, size, true);
}

/* Where the body of a vendor-specific capability begins */
static unsigned int cfg_cap_body(const struct vfmig_fn *fn, unsigned int cap)
{
	unsigned int pos = CFG_CAPS;

	for (unsigned int i = 0; i < cap; i++)
		pos += cfg_cap_size(&fn->desc->caps[i]);
	return pos + CFG_CAP_HEADER;
}

void vfmig_fn_cap_save(struct vfmig_fn *fn, unsigned int cap, u8 *body)
{
	unsigned int where = cfg_cap_body(fn, cap);
	unsigned long flags;

	raw_spin_lock_irqsave(&fn->fabric->cfg_lock, flags);
	memcpy(body, &fn->cfg[where], fn->desc->caps[cap].length);
	raw_spin_unlock_irqrestore(&fn->fabric->cfg_lock, flags);
}
EXPORT_SYMBOL_GPL(vfmig_fn_cap_save);

void vfmig_fn_cap_load(struct vfmig_fn *fn, unsigned int cap, const u8 *body)
{
	unsigned int where = cfg_cap_body(fn, cap);
	unsigned long flags;

	raw_spin_lock_irqsave(&fn->fabric->cfg_lock, flags);
	for (unsigned int i = 0; i < fn->desc->caps[cap].length; i++)
		cfg_write8(fn, where + i, body[i]);
	raw_spin_unlock_irqrestore(&fn->fabric->cfg_lock, flags);
}
EXPORT_SYMBOL_GPL(vfmig_fn_cap_load);

static int vfmig_cfg_read(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 *val)
{
	struct vfmig_fn *fn = vfmig_fabric_fn(bus, devfn);
	int ret = PCIBIOS_DEVICE_NOT_FOUND;
	unsigned long flags;

	/* Also the answer during a reset: it looks like Configuration Request Retry Status */
	PCI_SET_ERROR_RESPONSE(val);
	if (!fn)
		return ret;

	raw_spin_lock_irqsave(&fn->fabric->cfg_lock, flags);
	if (fn->present)
		ret = PCIBIOS_SUCCESSFUL;
	if (fn->alive)
		*val = cfg_read(fn, where, size);
	raw_spin_unlock_irqrestore(&fn->fabric->cfg_lock, flags);
	return ret;
}

static int vfmig_cfg_write(struct pci_bus *bus, unsigned int devfn, int where, int size, u32 val)
{
	struct vfmig_fn *fn = vfmig_fabric_fn(bus, devfn);
	int ret = PCIBIOS_DEVICE_NOT_FOUND;
	unsigned long flags;

	if (!fn)
		return ret;

	raw_spin_lock_irqsave(&fn->fabric->cfg_lock, flags);
	if (fn->present)
		ret = PCIBIOS_SUCCESSFUL;
	if (fn->alive)
		cfg_write(fn, where, size, val);
	raw_spin_unlock_irqrestore(&fn->fabric->cfg_lock, flags);
	return ret;
}

struct pci_ops vfmig_pci_ops = {
	.read	= vfmig_cfg_read,
	.write	= vfmig_cfg_write,
};
