// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSI-X: an MSI parent domain for the functions, and the delivery of a vector
 * from the model to its handler.
 *
 * No message is ever sent.  A vector knows its Linux interrupt number and calls
 * the handler directly, in the context that raised it.  So nothing has to be
 * masked, acknowledged or routed, and one device can't forge the interrupts of
 * another (isolated MSI).
 *
 * A raised vector is pending until it can be delivered: it has a handler, MSI-X
 * is on and not masked, the function is a bus master and not in reset, and its
 * interrupts are not held.  A change that makes one of these true queues
 * fire_work, because most changes come in atomic context.  The vector's lock
 * guarantees that either the work sees the pending bit, or vfmig_fn_raise() sees
 * the change.
 */
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/msi.h>
#include <linux/slab.h>

#include "compat.h"
#include "fabric_priv.h"

#define VFMIG_IRQ_OPEN		BIT(VFMIG_IRQ_OPEN_BIT)

/* @vec->lock is held */
static void vfmig_vector_deliver(struct vfmig_vector *vec)
{
	struct vfmig_fn *fn = vec->fn;

	if (!test_bit(vec->index, fn->irq_pending) || !test_bit(vec->index, fn->irq_live) ||
	    !vec->virq || READ_ONCE(fn->irq_state) != VFMIG_IRQ_OPEN)
		return;

	/* Before the handler runs: a raise from now on is a new interrupt */
	clear_bit(vec->index, fn->irq_pending);
	generic_handle_irq_safe(vec->virq);
}

static void vfmig_msi_deliver_all(struct vfmig_fn *fn)
{
	for (unsigned int i = 0; i < fn->desc->msix_vectors; i++) {
		spin_lock(&fn->vectors[i].lock);
		vfmig_vector_deliver(&fn->vectors[i]);
		spin_unlock(&fn->vectors[i].lock);
	}
}

static void vfmig_msi_fire_work(struct work_struct *work)
{
	vfmig_msi_deliver_all(container_of(work, struct vfmig_fn, fire_work));
}

static void vfmig_msi_queue_fire(struct vfmig_fn *fn)
{
	queue_work(fn->fabric->wq, &fn->fire_work);
}

void vfmig_fn_raise(struct vfmig_fn *fn, unsigned int vector)
{
	struct vfmig_vector *vec = &fn->vectors[vector];

	if (vector >= fn->desc->msix_vectors)
		return;

	spin_lock(&vec->lock);
	set_bit(vector, fn->irq_pending);
	vfmig_vector_deliver(vec);
	spin_unlock(&vec->lock);
}
EXPORT_SYMBOL_GPL(vfmig_fn_raise);

/* When this returns, no delivery that began before is under way */
static void vfmig_msi_wait(struct vfmig_fn *fn)
{
	for (unsigned int i = 0; i < fn->desc->msix_vectors; i++) {
		spin_lock(&fn->vectors[i].lock);
		spin_unlock(&fn->vectors[i].lock);
	}
}

void vfmig_fn_hold_irqs(struct vfmig_fn *fn, bool hold)
{
	if (hold) {
		set_bit(VFMIG_IRQ_HELD_BIT, &fn->irq_state);
		vfmig_msi_wait(fn);
		/* A page that is being written again, see rewrite.c */
		raw_spin_lock_irq(&fn->dma_lock);
		raw_spin_unlock_irq(&fn->dma_lock);
	} else {
		clear_bit(VFMIG_IRQ_HELD_BIT, &fn->irq_state);
		vfmig_msi_deliver_all(fn);
	}
}
EXPORT_SYMBOL_GPL(vfmig_fn_hold_irqs);

/* Config space allows interrupts, or does not allow them any more.  Atomic context. */
void vfmig_msi_set_open(struct vfmig_fn *fn, bool open)
{
	if (!open)
		clear_bit(VFMIG_IRQ_OPEN_BIT, &fn->irq_state);
	else if (!test_and_set_bit(VFMIG_IRQ_OPEN_BIT, &fn->irq_state))
		vfmig_msi_queue_fire(fn);
}

/* The function is in reset, so ending the hold delivers nothing */
void vfmig_msi_end_hold(struct vfmig_fn *fn)
{
	clear_bit(VFMIG_IRQ_HELD_BIT, &fn->irq_state);
}

/* The function is in reset, and the model was reset and raises nothing any more */
void vfmig_msi_drop_pending(struct vfmig_fn *fn)
{
	for (unsigned int i = 0; i < fn->desc->msix_vectors; i++) {
		spin_lock(&fn->vectors[i].lock);
		clear_bit(i, fn->irq_pending);
		spin_unlock(&fn->vectors[i].lock);
	}
}

u64 vfmig_msi_pba(const struct vfmig_fn *fn)
{
	u64 pba;

	bitmap_to_arr64(&pba, fn->irq_pending, VFMIG_MAX_VECTORS);
	return pba;
}

/*
 * The per-device domain.  The PCI core's chip for it writes to the MSI-X table, which
 * has no hardware behind it, so its callbacks are replaced.  The parent's chip_data is
 * the vector.
 */

static struct vfmig_vector *vfmig_irq_vector(struct irq_data *d)
{
	return d->parent_data->chip_data;
}

static void vfmig_irq_noop(struct irq_data *d)
{
}

static void vfmig_irq_write_msg(struct irq_data *d, struct msi_msg *msg)
{
}

/* A handler was requested.  This and the following run under the descriptor's raw lock. */
static unsigned int vfmig_irq_startup(struct irq_data *d)
{
	struct vfmig_vector *vec = vfmig_irq_vector(d);

	set_bit(vec->index, vec->fn->irq_live);
	vfmig_msi_queue_fire(vec->fn);
	return 0;
}

static void vfmig_irq_shutdown(struct irq_data *d)
{
	struct vfmig_vector *vec = vfmig_irq_vector(d);

	clear_bit(vec->index, vec->fn->irq_live);
}

/* The handler runs in the context that raises the interrupt, so every mask is accepted */
static int vfmig_irq_set_affinity(struct irq_data *d, const struct cpumask *mask, bool force)
{
	irq_data_update_effective_affinity(d, mask);
	return IRQ_SET_MASK_OK_DONE;
}

static bool vfmig_msi_init_dev_info(struct device *dev, struct irq_domain *domain,
				    struct irq_domain *parent, struct msi_domain_info *info)
{
	const struct msi_parent_ops *ops = parent->msi_parent_ops;

	if (info->bus_token != DOMAIN_BUS_PCI_DEVICE_MSIX)
		return false;

	info->flags &= ops->supported_flags;
	info->flags |= ops->required_flags;

	info->chip->irq_ack = vfmig_irq_noop;
	info->chip->irq_mask = vfmig_irq_noop;
	info->chip->irq_unmask = vfmig_irq_noop;
	info->chip->irq_startup = vfmig_irq_startup;
	info->chip->irq_shutdown = vfmig_irq_shutdown;
	info->chip->irq_set_affinity = vfmig_irq_set_affinity;
	info->chip->irq_write_msi_msg = vfmig_irq_write_msg;
	return true;
}

static const struct msi_parent_ops vfmig_msi_parent_ops = {
	.supported_flags	= MSI_GENERIC_FLAGS_MASK | MSI_FLAG_PCI_MSIX |
				  MSI_FLAG_PCI_MSIX_ALLOC_DYN | MSI_FLAG_NO_MASK,
	.required_flags		= MSI_FLAG_USE_DEF_DOM_OPS | MSI_FLAG_USE_DEF_CHIP_OPS |
				  MSI_FLAG_NO_MASK,
	.bus_select_token	= DOMAIN_BUS_NEXUS,
	.prefix			= "VFMIG-",
	.init_dev_msi_info	= vfmig_msi_init_dev_info,
};

/* The parent domain */

static void vfmig_irq_compose_msg(struct irq_data *d, struct msi_msg *msg)
{
	memset(msg, 0, sizeof(*msg));
}

/* An interrupt came while the handler was disabled: raise it again */
static int vfmig_irq_retrigger(struct irq_data *d)
{
	struct vfmig_vector *vec = d->chip_data;

	set_bit(vec->index, vec->fn->irq_pending);
	vfmig_msi_queue_fire(vec->fn);
	return 1;
}

/*
 * KVM asks for the vector to be posted to a vCPU directly, if the host's IOMMU can do
 * that.  Delivery calls the handler, so posting is declined.  @vcpu_info is NULL if KVM
 * ends posting.
 */
static int vfmig_irq_set_vcpu_affinity(struct irq_data *d, void *vcpu_info)
{
	return vcpu_info ? vfmig_decline_posting(vcpu_info) : 0;
}

static struct irq_chip vfmig_parent_chip = {
	.name			= "VFMIG",
	.irq_ack		= vfmig_irq_noop,
	.irq_mask		= vfmig_irq_noop,
	.irq_unmask		= vfmig_irq_noop,
	.irq_retrigger		= vfmig_irq_retrigger,
	.irq_set_affinity	= vfmig_irq_set_affinity,
	.irq_set_vcpu_affinity	= vfmig_irq_set_vcpu_affinity,
	.irq_compose_msi_msg	= vfmig_irq_compose_msg,
};

/*
 * The MSI-X table has no hardware behind it, so it must not be accessed.  The PCI core and
 * VFIO write messages without the irq_chip, but not for a virtual descriptor, which has no
 * table entry.  Masking still reads the table back: let it read this word instead.
 */
static void vfmig_msi_hide_table(struct msi_desc *desc)
{
	static const u32 nothing;

	desc->pci.msi_attrib.is_virtual = 1;
	desc->pci.msi_attrib.can_mask = 0;
	desc->pci.mask_base = (void __force __iomem *)&nothing;
}

static int vfmig_msi_alloc(struct irq_domain *domain, unsigned int virq, unsigned int nr_irqs,
			   void *arg)
{
	msi_alloc_info_t *info = arg;
	struct msi_desc *desc = info->desc;
	struct vfmig_fn *fn = vfmig_fn_of(to_pci_dev(desc->dev));
	struct vfmig_vector *vec;

	if (!fn || nr_irqs != 1 || desc->msi_index >= fn->desc->msix_vectors)
		return -EINVAL;

	vfmig_msi_hide_table(desc);
	vec = &fn->vectors[desc->msi_index];
	irq_domain_set_info(domain, virq, fn->rid * VFMIG_MAX_VECTORS + vec->index,
			    &vfmig_parent_chip, vec, handle_edge_irq, NULL, "edge");
	vfmig_irq_set_move_anytime(virq);

	spin_lock(&vec->lock);
	vec->virq = virq;
	spin_unlock(&vec->lock);
	return 0;
}

static void vfmig_msi_free(struct irq_domain *domain, unsigned int virq, unsigned int nr_irqs)
{
	struct irq_data *d = irq_domain_get_irq_data(domain, virq);
	struct vfmig_vector *vec = d->chip_data;

	/* The number can be reused: a delivery must not use it any more */
	spin_lock(&vec->lock);
	vec->virq = 0;
	spin_unlock(&vec->lock);
	irq_domain_reset_irq_data(d);
}

static const struct irq_domain_ops vfmig_msi_domain_ops = {
	.alloc	= vfmig_msi_alloc,
	.free	= vfmig_msi_free,
};

int vfmig_msi_create(struct vfmig_fabric *fabric)
{
	struct irq_domain_info info = {
		.fwnode		= fabric->fwnode,
		.domain_flags	= IRQ_DOMAIN_FLAG_MSI_PARENT | IRQ_DOMAIN_FLAG_ISOLATED_MSI,
		.hwirq_max	= ~0U,
		.bus_token	= DOMAIN_BUS_NEXUS,
		.ops		= &vfmig_msi_domain_ops,
		.host_data	= fabric,
	};
	struct irq_domain *domain = irq_domain_instantiate(&info);

	if (IS_ERR(domain))
		return PTR_ERR(domain);
	domain->msi_parent_ops = &vfmig_msi_parent_ops;
	fabric->msi_domain = domain;
	return 0;
}

void vfmig_msi_destroy(struct vfmig_fabric *fabric)
{
	irq_domain_remove(fabric->msi_domain);
}

/* The most vectors that the function has with any description */
static unsigned int vfmig_msi_max_vectors(const struct vfmig_fn *fn)
{
	const struct vfmig_fabric_desc *desc = &fn->fabric->desc;
	unsigned int count = 0;

	for (unsigned int i = 0; i < desc->num_descs; i++)
		count = max_t(unsigned int, count, vfmig_fn_is_vf(fn) ?
			      desc->descs[i]->vf.msix_vectors : desc->descs[i]->pf.msix_vectors);
	return count;
}

int vfmig_msi_fn_init(struct vfmig_fn *fn)
{
	unsigned int count = vfmig_msi_max_vectors(fn);

	INIT_WORK(&fn->fire_work, vfmig_msi_fire_work);
	if (!count)
		return 0;

	fn->vectors = kcalloc(count, sizeof(*fn->vectors), GFP_KERNEL);
	if (!fn->vectors)
		return -ENOMEM;
	for (unsigned int i = 0; i < count; i++) {
		spin_lock_init(&fn->vectors[i].lock);
		fn->vectors[i].fn = fn;
		fn->vectors[i].index = i;
	}
	return 0;
}

void vfmig_msi_fn_destroy(struct vfmig_fn *fn)
{
	kfree(fn->vectors);
}
