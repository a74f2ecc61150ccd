// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model "virtio-net": what the PF driver and the fabric need to know of it.
 */
#include <linux/array_size.h>
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/pci_ids.h>
#include <linux/stddef.h>
#include <linux/virtio_ids.h>

#include "net.h"
#include "pci.h"

/* VIRTIO 4.1.2: 0x1040 and the type.  Drivers don't look at the subsystem IDs. */
#define DEVICE_ID_VF		(0x1040 + VIRTIO_ID_NET)
#define SUBSYSTEM_ID_VF		(0x1100 + VIRTIO_ID_NET)
/* Outside of the range that the host's virtio_pci takes */
#define DEVICE_ID_PF		VFMIG_PCI_DEVICE_ID_PF

static struct vfmig_net_config defaults = {
	.queue_pairs = VFMIG_NET_MAX_PAIRS,
	.packed = 1,
};

module_param_named(queue_pairs, defaults.queue_pairs, uint, 0444);
MODULE_PARM_DESC(queue_pairs, "virtio-net: queue pairs of a VF, 1 to 16 (16)");

module_param_named(packed, defaults.packed, uint, 0444);
MODULE_PARM_DESC(packed, "virtio-net: offer packed virtqueues besides split ones, 0 or 1 (1)");

static const char *check_queue_pairs(unsigned int value)
{
	return value >= 1 && value <= VFMIG_NET_MAX_PAIRS ? NULL : "not between 1 and 16";
}

static const char *check_packed(unsigned int value)
{
	return value <= 1 ? NULL : "neither 0 nor 1";
}

static const struct vfmig_setting settings[] = {
	{
		.name = "queue_pairs",
		.offset = offsetof(struct vfmig_net_config, queue_pairs),
		.check = check_queue_pairs,
	}, {
		.name = "packed",
		.offset = offsetof(struct vfmig_net_config, packed),
		.check = check_packed,
	},
};

static void *pf_create(struct pci_dev *pdev)
{
	return vfmig_pf_net_create(pdev);
}

static void pf_destroy(void *pf)
{
	vfmig_pf_net_destroy(pf);
}

static void *create(void *pf, struct vfmig_fn *fn, const void *config)
{
	return vfmig_net_create(pf, fn, vfmig_fn_index(fn), config);
}

static void kick(void *vf)
{
	struct vfmig_virtio *dev = vf;

	vfmig_worker_kick(&dev->worker);
}

/* Counters, which are read without the lock */
static void add_debugfs(void *vf, struct dentry *dir)
{
	struct vfmig_net *net = vfmig_net_of(vf);

	debugfs_create_u64("rx_frames", 0400, dir, &net->counts.rx_frames);
	debugfs_create_u64("tx_frames", 0400, dir, &net->counts.tx_frames);
	debugfs_create_u64("rx_filtered", 0400, dir, &net->counts.rx_filtered);
	debugfs_create_u64("tx_malformed", 0400, dir, &net->counts.tx_malformed);
	debugfs_create_u64("commands", 0400, dir, &net->counts.commands);
	debugfs_create_u64("driver_resets", 0400, dir, &net->dev.counts.resets);
	debugfs_create_u64("needs_reset", 0400, dir, &net->dev.counts.broken);
	debugfs_create_u64("notifications", 0400, dir, &net->dev.counts.notifications);
}

static const struct vfmig_fn_ops fn_ops = {
	.reset = vfmig_virtio_reset,
	.kick = kick,
	.bar_read = vfmig_virtio_bar_read,
	.bar_write = vfmig_virtio_bar_write,
	.cap_access = vfmig_virtio_cap_access,
};

const struct vfmig_model vfmig_virtio_net_model = {
	.name = "virtio-net",
	.desc = {
		.vendor = VFMIG_VIRTIO_VENDOR,
		.pf = {
			.device = DEVICE_ID_PF,
			.class = PCI_CLASS_NETWORK_OTHER << 8,
		},
		.vf = {
			.device = DEVICE_ID_VF,
			.subsystem_device = SUBSYSTEM_ID_VF,
			.class = PCI_CLASS_NETWORK_ETHERNET << 8,
			.revision = 1,
			.bar_size = { VFMIG_VIRTIO_BAR },
			.msix_vectors = VFMIG_VIRTIO_VECTORS,
			.msix_bar = 0,
			.msix_table = VFMIG_VIRTIO_MSIX_TABLE,
			.msix_pba = VFMIG_VIRTIO_MSIX_PBA,
			.num_caps = VFMIG_VIRTIO_CAPS,
			.caps = vfmig_virtio_caps,
		},
	},
	.num_settings = ARRAY_SIZE(settings),
	.settings = settings,
	.config_size = sizeof(struct vfmig_net_config),
	.defaults = &defaults,
	.pf_create = pf_create,
	.pf_destroy = pf_destroy,
	.create = create,
	.destroy = vfmig_net_destroy,
	.debugfs = add_debugfs,
	.fn_ops = &fn_ops,
	.vf_ops = &vfmig_virtio_vf_ops,
};
