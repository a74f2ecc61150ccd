// SPDX-License-Identifier: GPL-2.0-only
/*
 * Life of a controller: made, reset, gone.  What the variant driver does with it is
 * in vf.c.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "nvme.h"

/* A failure that the guest can't be told through a completion */
void vfmig_nvme_fatal(struct vfmig_nvme *ctrl)
{
	pr_debug("vfmig %s: controller fatal status\n", vfmig_fn_name(ctrl->fn));
	vfmig_nvme_set_csts(ctrl, 0, NVME_CSTS_CFS);
}

/* Power-on state of all but the medium, the counters and who it is */
void vfmig_nvme_power_on(struct vfmig_nvme *ctrl)
{
	scoped_guard(spinlock, &ctrl->latch.lock) {
		struct vfmig_nvme_latch *latch = &ctrl->latch;

		latch->frozen = false;
		latch->flags = 0;
		latch->intm = 0;
		latch->cc = 0;
		latch->csts = 0;
		latch->aqa = 0;
		latch->asq = 0;
		latch->acq = 0;
		bitmap_zero(latch->rung, 2 * VFMIG_NVME_QUEUES);
		bitmap_zero(latch->full, VFMIG_NVME_QUEUES);
		vfmig_nvme_drop_bells(ctrl);
		vfmig_nvme_drop_regs(ctrl);
	}
	vfmig_nvme_disable(ctrl);
	ctrl->cc = 0;
	WRITE_ONCE(ctrl->look, VFMIG_NVME_LOOKS - 1);
}

void vfmig_nvme_free(struct vfmig_nvme *ctrl)
{
	vfmig_nvme_dirty_end(ctrl);
	vfmig_memory_load_destroy(&ctrl->load);
	vfmig_memory_destroy(&ctrl->media);
	vfmig_nvme_map_destroy(&ctrl->map);
	free_page((unsigned long)ctrl->buf);
	kvfree(ctrl->reqs);
	kvfree(ctrl->arrivals);
	vfmig_lock_destroy(&ctrl->lock);
	mutex_destroy(&ctrl->save_lock);
	vfmig_client_destroy(&ctrl->client);
	vfmig_worker_destroy(&ctrl->worker);
	kfree(ctrl);
}

/* In its power-on state, with no identity; or an ERR_PTR.  Without @fn it can't be opened. */
struct vfmig_nvme *vfmig_nvme_alloc(struct vfmig_fn *fn, const struct vfmig_nvme_config *config)
{
	struct vfmig_nvme *ctrl;
	int ret;

	ctrl = kzalloc(sizeof(*ctrl), GFP_KERNEL);
	if (!ctrl)
		return ERR_PTR(-ENOMEM);

	ctrl->fn = fn;
	ctrl->max_queues = config->queues;
	ctrl->queues = config->queues;
	ctrl->lba_shift = ilog2(config->lba_size);
	ctrl->erase_on_close = config->erase_on_close;
	vfmig_nvme_set_doorbell_poll(ctrl, config->doorbell_poll_us);
	vfmig_nvme_set_map_registers(ctrl, config->map_registers);
	ctrl->health.since = ktime_get_ns();
	spin_lock_init(&ctrl->latch.lock);
	vfmig_client_init(&ctrl->client);
	mutex_init(&ctrl->save_lock);
	vfmig_lock_init(&ctrl->lock);
	vfmig_nvme_load_init(ctrl);
	vfmig_nvme_dirty_init(ctrl);
	vfmig_running_init(&ctrl->running, fn);
	vfmig_worker_init(&ctrl->worker, fn, vfmig_nvme_turn, ctrl);

	ret = vfmig_memory_init(&ctrl->media, (u64)config->media_mb * SZ_1M,
				vfmig_nvme_media_dirty);
	if (ret)
		goto err;
	ret = -ENOMEM;
	ctrl->buf = (void *)get_zeroed_page(GFP_KERNEL);
	ctrl->reqs = kvcalloc(VFMIG_NVME_MAX_REQS, sizeof(*ctrl->reqs), GFP_KERNEL);
	if (!ctrl->buf || !ctrl->reqs)
		goto err;

	vfmig_nvme_init_reqs(ctrl);
	vfmig_nvme_power_on(ctrl);
	return ctrl;

err:
	vfmig_nvme_free(ctrl);
	return ERR_PTR(ret);
}

static void *vfmig_nvme_create(void *pf, struct vfmig_fn *fn, const void *settings)
{
	const struct vfmig_nvme_config *config = settings;
	struct vfmig_nvme *ctrl = vfmig_nvme_alloc(fn, config);
	int ret;

	if (IS_ERR(ctrl))
		return ctrl;
	ret = vfmig_nvme_make_digests(config->lba_size, ctrl->digests);
	if (ret) {
		vfmig_nvme_free(ctrl);
		return ERR_PTR(ret);
	}
	vfmig_nvme_ident_add(ctrl);
	vfmig_nvme_set_io_latency(ctrl, config->io_latency_us);
	return ctrl;
}

/* Nobody has a handle any more, or the VF open: the worker is nowhere */
static void vfmig_nvme_destroy(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_nvme_ident_del(ctrl);
	vfmig_nvme_free(ctrl);
}

static void vfmig_nvme_fn_kick(void *vf)
{
	struct vfmig_nvme *ctrl = vf;

	vfmig_worker_kick(&ctrl->worker);
}

static const struct vfmig_fn_ops vfmig_nvme_fn_ops = {
	.reset = vfmig_nvme_reset,
	.kick = vfmig_nvme_fn_kick,
	.bar_read = vfmig_nvme_bar_read,
	.bar_write = vfmig_nvme_bar_write,
};

const struct vfmig_model vfmig_nvme_model = {
	.name = "nvme",
	.desc = {
		.vendor = VFMIG_PCI_VENDOR_ID,
		/* Not the class of NVMe, or the host's driver would bind to the PF */
		.pf = {
			.device = VFMIG_PCI_DEVICE_ID_PF,
			.class = PCI_CLASS_ACCELERATOR_PROCESSING << 8,
		},
		.vf = {
			.device = VFMIG_PCI_DEVICE_ID_VF,
			.class = PCI_CLASS_STORAGE_EXPRESS,
			.bar_size = { SZ_16K },
			.msix_vectors = VFMIG_NVME_VECTORS,
			.msix_bar = 0,
			.msix_table = SZ_8K,
			.msix_pba = SZ_8K + SZ_4K,
		},
	},
	.num_settings = VFMIG_NVME_SETTINGS,
	.settings = vfmig_nvme_settings,
	.config_size = sizeof(struct vfmig_nvme_config),
	.defaults = &vfmig_nvme_defaults,
	.create = vfmig_nvme_create,
	.destroy = vfmig_nvme_destroy,
	.debugfs = vfmig_nvme_debugfs,
	.fn_ops = &vfmig_nvme_fn_ops,
	.vf_ops = &vfmig_nvme_vf_ops,
};
