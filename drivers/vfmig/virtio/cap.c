// SPDX-License-Identifier: GPL-2.0-only
/*
 * The capabilities in config space that say where the registers are (VIRTIO 4.1.4), and
 * access to the registers through one of them.
 */
#include <linux/kernel.h>
#include <linux/stddef.h>
#include <linux/virtio_pci.h>

#include "pci.h"
#include "state.h"
#include "virtio.h"

/**
 * struct cap_body - a capability without its first bytes, which the fabric fills in
 * @cfg_type: VIRTIO_PCI_CAP_COMMON_CFG and so on
 * @bar: 0
 * @id: 0
 * @padding: 0
 * @offset: offset of the registers in the BAR
 * @length: bytes of registers
 * @more: notify_off_multiplier, or pci_cfg_data
 */
struct cap_body {
	u8 cfg_type;
	u8 bar;
	u8 id;
	u8 padding[2];
	__le32 offset;
	__le32 length;
	__le32 more;
} __packed;

#define CAP_HEADER	VIRTIO_PCI_CAP_CFG_TYPE
#define CAP_SIZE	offsetof(struct cap_body, more)

static_assert(offsetof(struct cap_body, offset) == VIRTIO_PCI_CAP_OFFSET - CAP_HEADER);
static_assert(sizeof(struct virtio_pci_cap) - CAP_HEADER == CAP_SIZE);

static const struct cap_body common_cap = {
	.cfg_type = VIRTIO_PCI_CAP_COMMON_CFG,
	.offset = cpu_to_le32(VFMIG_VIRTIO_COMMON),
	.length = cpu_to_le32(VFMIG_VIRTIO_COMMON_SIZE),
};

static const struct cap_body notify_cap = {
	.cfg_type = VIRTIO_PCI_CAP_NOTIFY_CFG,
	.offset = cpu_to_le32(VFMIG_VIRTIO_NOTIFY),
	.length = cpu_to_le32(VFMIG_VIRTIO_VQS * VFMIG_VIRTIO_NOTIFY_STEP),
	.more = cpu_to_le32(VFMIG_VIRTIO_NOTIFY_STEP),
};

static const struct cap_body isr_cap = {
	.cfg_type = VIRTIO_PCI_CAP_ISR_CFG,
	.offset = cpu_to_le32(VFMIG_VIRTIO_ISR),
	.length = cpu_to_le32(1),
};

static const struct cap_body device_cap = {
	.cfg_type = VIRTIO_PCI_CAP_DEVICE_CFG,
	.offset = cpu_to_le32(VFMIG_VIRTIO_DEVICE),
	.length = cpu_to_le32(VFMIG_VIRTIO_CONFIG_MAX),
};

/* The driver writes bar, offset and length, then accesses pci_cfg_data */
static const struct cap_body access_cap = { .cfg_type = VIRTIO_PCI_CAP_PCI_CFG };

static const struct cap_body access_writable = {
	.bar = 0xff,
	.offset = cpu_to_le32(U32_MAX),
	.length = cpu_to_le32(U32_MAX),
	.more = cpu_to_le32(U32_MAX),
};

const struct vfmig_cap vfmig_virtio_caps[VFMIG_VIRTIO_CAPS] = {
	{ .body = (const u8 *)&common_cap, .length = CAP_SIZE },
	{ .body = (const u8 *)&notify_cap, .length = sizeof(notify_cap) },
	{ .body = (const u8 *)&isr_cap, .length = CAP_SIZE },
	{ .body = (const u8 *)&device_cap, .length = CAP_SIZE },
	{
		.body = (const u8 *)&access_cap,
		.writable = (const u8 *)&access_writable,
		.length = sizeof(access_cap),
		.window = CAP_SIZE,
	},
};

/* Its index in vfmig_virtio_caps */
#define ACCESS_CAP		(VFMIG_VIRTIO_CAPS - 1)

/* VIRTIO 4.1.4.9.1: the length is 1, 2 or 4, and the offset a multiple of it */
static bool access_valid(unsigned int bar, u32 offset, u32 length)
{
	return !bar && (length == 1 || length == 2 || length == 4) && !(offset % length) &&
	       offset < VFMIG_VIRTIO_MSIX_TABLE;
}

/* An access to pci_cfg_data; in atomic context */
void vfmig_virtio_cap_access(void *vf, unsigned int cap, u8 *body, bool write)
{
	struct cap_body *access = (struct cap_body *)body;
	u32 offset = le32_to_cpu(access->offset), length = le32_to_cpu(access->length);
	struct vfmig_virtio *dev = vf;

	if (!access_valid(access->bar, offset, length)) {
		access->more = 0;
		return;
	}
	if (!write) {
		access->more = cpu_to_le32(vfmig_virtio_bar_read(dev, 0, offset, length) &
					   GENMASK_ULL(8 * length - 1, 0));
		return;
	}
	/* A lock that sleeps on some kernels can't be taken here, so the worker is kicked later */
	if (vfmig_virtio_reg_write(dev, offset, length,
				   le32_to_cpu(access->more) & GENMASK_ULL(8 * length - 1, 0)))
		irq_work_queue(&dev->cap_kick);
}

/* pci_cfg_data is no state: the driver writes it, or reads it anew, with each access */
void vfmig_virtio_cap_save(struct vfmig_virtio *dev, struct vfmig_virtio_cap_state *state)
{
	struct cap_body body;

	vfmig_fn_cap_save(dev->fn, ACCESS_CAP, (u8 *)&body);
	state->offset = body.offset;
	state->length = body.length;
	state->bar = body.bar;
}

void vfmig_virtio_cap_load(struct vfmig_virtio *dev, const struct vfmig_virtio_cap_state *state)
{
	const struct cap_body body = {
		.bar = state->bar,
		.offset = state->offset,
		.length = state->length,
	};

	vfmig_fn_cap_load(dev->fn, ACCESS_CAP, (const u8 *)&body);
}
