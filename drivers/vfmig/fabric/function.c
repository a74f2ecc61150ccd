// SPDX-License-Identifier: GPL-2.0-only
/*
 * The state of a function: present or not, in reset or alive, with or without a
 * model.  BAR accesses are passed on to the model here.
 *
 * A reset begins in a write to config space, in atomic context.  From then on the
 * function does no DMA, raises no interrupt and returns all ones for config reads.
 * A work then calls the reset callback of the model, which may sleep, and ends the
 * reset.
 */
#include <linux/pci.h>

#include "fabric_priv.h"
#include "rewrite.h"

/**
 * vfmig_fn_update() - apply config space to DMA and interrupts of a function
 * @fn: the function
 *
 * When this returns, no copy is under way that is not allowed any more.
 *
 * Context: &vfmig_fabric.cfg_lock is held.
 */
void vfmig_fn_update(struct vfmig_fn *fn)
{
	bool alive = fn->present && !fn->resetting;
	bool master = alive && vfmig_cfg_bus_master(fn);
	bool kick;

	WRITE_ONCE(fn->alive, alive);

	raw_spin_lock(&fn->dma_lock);
	kick = master && !fn->master;
	fn->master = master;
	raw_spin_unlock(&fn->dma_lock);
	if (kick)
		mod_delayed_work(fn->fabric->wq, &fn->kick_work, 0);

	vfmig_msi_set_open(fn, master && vfmig_cfg_msix_open(fn));
}

/**
 * vfmig_fn_reset() - begin a reset
 * @fn: the function
 *
 * Context: &vfmig_fabric.cfg_lock is held.
 */
void vfmig_fn_reset(struct vfmig_fn *fn)
{
	fn->resetting = true;
	fn->reset_seq++;
	vfmig_fn_update(fn);
	queue_work(fn->fabric->wq, &fn->reset_work);
}

/**
 * vfmig_fn_set_present() - VF Enable changed
 * @fn: a VF
 * @present: enabled
 *
 * Disabling resets a VF, so an enabled VF is in its power-on state.  Nothing does DMA before it
 * has a model, so its count of faults begins here.
 *
 * Context: &vfmig_fabric.cfg_lock is held.
 */
void vfmig_fn_set_present(struct vfmig_fn *fn, bool present)
{
	fn->present = present;
	if (present) {
		atomic64_set(&fn->dma_faults, 0);
		vfmig_fn_update(fn);
	} else {
		vfmig_fn_reset(fn);
	}
}

static void vfmig_fn_do_reset(struct vfmig_fn *fn)
{
	raw_spinlock_t *cfg_lock = &fn->fabric->cfg_lock;
	unsigned int seq;

	raw_spin_lock_irq(cfg_lock);
	seq = fn->reset_seq;
	raw_spin_unlock_irq(cfg_lock);

	/* Wait for BAR accesses that began before; later ones fail until the reset is over */
	down_write(&fn->model_lock);
	up_write(&fn->model_lock);

	vfmig_fn_forget_writes(fn);
	vfmig_msi_end_hold(fn);
	scoped_guard(rwsem_read, &fn->model_lock) {
		if (fn->ops && fn->ops->reset)
			fn->ops->reset(fn->model);
	}
	vfmig_msi_drop_pending(fn);

	raw_spin_lock_irq(cfg_lock);
	/* If another reset was requested, the work is queued again and ends that one */
	if (seq == fn->reset_seq) {
		vfmig_cfg_init(fn);
		fn->resetting = false;
		vfmig_fn_update(fn);
	}
	raw_spin_unlock_irq(cfg_lock);
}

static void vfmig_vf_reset_work(struct work_struct *work)
{
	vfmig_fn_do_reset(container_of(work, struct vfmig_fn, reset_work));
}

/* The reset of a PF ends after those of its VFs */
static void vfmig_pf_reset_work(struct work_struct *work)
{
	struct vfmig_fn *pf = container_of(work, struct vfmig_fn, reset_work);

	for (unsigned int i = 0; i < pf->fabric->desc.total_vfs; i++)
		flush_work(&pf->vfs[i].reset_work);
	vfmig_fn_do_reset(pf);
}

static void vfmig_fn_kick_work(struct work_struct *work)
{
	struct vfmig_fn *fn = container_of(work, struct vfmig_fn, kick_work.work);

	guard(rwsem_read)(&fn->model_lock);
	if (fn->ops && fn->ops->kick)
		fn->ops->kick(fn->model);
	if (READ_ONCE(fn->rewrite))
		vfmig_fn_kick_later(fn);
}

/* Delay for a retry after an allocation has failed, and for pages to be written again */
#define VFMIG_KICK_LATER_MS	10

/* Call kick() of the model after VFMIG_KICK_LATER_MS */
void vfmig_fn_kick_later(struct vfmig_fn *fn)
{
	queue_delayed_work(fn->fabric->wq, &fn->kick_work, msecs_to_jiffies(VFMIG_KICK_LATER_MS));
}

void vfmig_fn_set_model(struct vfmig_fn *fn, const struct vfmig_fn_ops *ops, void *model)
{
	scoped_guard(rwsem_write, &fn->model_lock) {
		raw_spin_lock_irq(&fn->fabric->cfg_lock);
		fn->ops = ops;
		fn->model = model;
		raw_spin_unlock_irq(&fn->fabric->cfg_lock);
	}
	if (ops)
		return;
	vfmig_rewrite_end(fn);
	/* Only DMA of a model, and rewriting, queue this work with a delay */
	cancel_delayed_work_sync(&fn->kick_work);
}
EXPORT_SYMBOL_GPL(vfmig_fn_set_model);

static u64 vfmig_all_ones(unsigned int len)
{
	return GENMASK_ULL(8 * len - 1, 0);
}

static bool vfmig_in_bar(const struct vfmig_fn *fn, unsigned int bar, u64 offset, unsigned int len)
{
	return bar < PCI_STD_NUM_BARS && offset < fn->desc->bar_size[bar] &&
	       len <= fn->desc->bar_size[bar] - offset;
}

static bool vfmig_in_msix_table(const struct vfmig_fn *fn, unsigned int bar, u64 offset)
{
	const struct vfmig_fn_desc *desc = fn->desc;

	return desc->msix_vectors && bar == desc->msix_bar && offset >= desc->msix_table &&
	       offset < desc->msix_table + desc->msix_vectors * PCI_MSIX_ENTRY_SIZE;
}

/* One 64-bit word, as there are at most 64 vectors */
static bool vfmig_in_pba(const struct vfmig_fn *fn, unsigned int bar, u64 offset)
{
	const struct vfmig_fn_desc *desc = fn->desc;

	return desc->msix_vectors && bar == desc->msix_bar && offset >= desc->msix_pba &&
	       offset < desc->msix_pba + sizeof(u64);
}

u64 vfmig_fn_bar_read(struct vfmig_fn *fn, unsigned int bar, u64 offset, unsigned int len)
{
	u64 ones = vfmig_all_ones(len);

	if (!vfmig_in_bar(fn, bar, offset, len) || vfmig_in_msix_table(fn, bar, offset))
		return ones;

	guard(rwsem_read)(&fn->model_lock);
	if (!READ_ONCE(fn->alive))
		return ones;
	if (vfmig_in_pba(fn, bar, offset))
		return vfmig_msi_pba(fn) >> (8 * (offset % sizeof(u64))) & ones;
	if (!fn->ops || !fn->ops->bar_read)
		return ones;
	return fn->ops->bar_read(fn->model, bar, offset, len) & ones;
}
EXPORT_SYMBOL_GPL(vfmig_fn_bar_read);

void vfmig_fn_bar_write(struct vfmig_fn *fn, unsigned int bar, u64 offset, unsigned int len,
			u64 val)
{
	if (!vfmig_in_bar(fn, bar, offset, len) || vfmig_in_msix_table(fn, bar, offset) ||
	    vfmig_in_pba(fn, bar, offset))
		return;

	guard(rwsem_read)(&fn->model_lock);
	if (READ_ONCE(fn->alive) && fn->ops && fn->ops->bar_write)
		fn->ops->bar_write(fn->model, bar, offset, len, val & vfmig_all_ones(len));
}
EXPORT_SYMBOL_GPL(vfmig_fn_bar_write);

const struct vfmig_pf_desc *vfmig_fn_pf_desc(const struct vfmig_fn *fn)
{
	return vfmig_fn_is_vf(fn) ? fn->pf->pf_desc : fn->pf_desc;
}
EXPORT_SYMBOL_GPL(vfmig_fn_pf_desc);

unsigned int vfmig_fn_index(const struct vfmig_fn *fn)
{
	return fn->index;
}
EXPORT_SYMBOL_GPL(vfmig_fn_index);

/**
 * vfmig_fn_set_pf_desc() - give a PF and its VFs another description
 * @pf: a PF
 * @desc: the description
 *
 * The functions are then in their power-on state.
 *
 * Context: May sleep.  The PF has no pci_dev, and so no VFs.
 */
void vfmig_fn_set_pf_desc(struct vfmig_fn *pf, const struct vfmig_pf_desc *desc)
{
	/* Of the PF and its VFs.  The bus finds no PF that is in reset. */
	flush_work(&pf->reset_work);

	raw_spin_lock_irq(&pf->fabric->cfg_lock);
	pf->pf_desc = desc;
	pf->desc = &desc->pf;
	for (unsigned int i = 0; i < pf->fabric->desc.total_vfs; i++) {
		pf->vfs[i].desc = &desc->vf;
		vfmig_cfg_init(&pf->vfs[i]);
	}
	vfmig_cfg_init(pf);
	vfmig_fn_update(pf);
	raw_spin_unlock_irq(&pf->fabric->cfg_lock);
}

struct vfmig_fn *vfmig_fn_vf(struct vfmig_fn *pf, unsigned int index)
{
	if (vfmig_fn_is_vf(pf) || index >= pf->fabric->desc.total_vfs)
		return NULL;
	return &pf->vfs[index];
}
EXPORT_SYMBOL_GPL(vfmig_fn_vf);

const char *vfmig_fn_name(struct vfmig_fn *fn)
{
	return fn->name;
}
EXPORT_SYMBOL_GPL(vfmig_fn_name);

/* The caller has set fabric, desc, pf_desc, pf, vfs, index and rid */
int vfmig_fn_init(struct vfmig_fn *fn)
{
	snprintf(fn->name, sizeof(fn->name), "%04x:%02x:%02x.%x", fn->fabric->sysdata.domain,
		 PCI_BUS_NUM(fn->rid), PCI_SLOT(fn->rid), PCI_FUNC(fn->rid));
	raw_spin_lock_init(&fn->dma_lock);
	ratelimit_state_init(&fn->faults_said, DEFAULT_RATELIMIT_INTERVAL,
			     DEFAULT_RATELIMIT_BURST);
	mutex_init(&fn->log_lock);
	init_rwsem(&fn->model_lock);
	INIT_DELAYED_WORK(&fn->kick_work, vfmig_fn_kick_work);
	/* Two functions, so two lockdep classes: a PF's work waits for those of its VFs */
	if (vfmig_fn_is_vf(fn))
		INIT_WORK(&fn->reset_work, vfmig_vf_reset_work);
	else
		INIT_WORK(&fn->reset_work, vfmig_pf_reset_work);

	fn->present = !vfmig_fn_is_vf(fn);
	fn->alive = fn->present;
	vfmig_cfg_init(fn);
	return vfmig_msi_fn_init(fn);
}

void vfmig_fn_destroy(struct vfmig_fn *fn)
{
	WARN_ON(fn->log);
	mutex_destroy(&fn->log_lock);
	vfmig_msi_fn_destroy(fn);
}
