// SPDX-License-Identifier: GPL-2.0-only
/*
 * A digest of what every guest sees of a controller: registers, Identify, log pages, features
 * and their layout on the bus.  It is part of the identity in a migration stream.  A guest
 * does not look at these again after it moved, so a destination where they differ refuses.
 *
 * The functions that answer a guest are asked about a blank controller, which has no identity,
 * the smallest medium, one queue pair and no history.  So nothing that belongs to a single
 * disk is in the digest, except for the LBA size.
 *
 * There is a digest for each look.  A destination that knows the look of a source takes its stream,
 * and goes on with that look.
 */
#include <linux/crc32c.h>
#include <linux/err.h>
#include <linux/kernel.h>

#include "nvme.h"

static void add_bytes(u32 *digest, const void *buf, size_t len)
{
	*digest = crc32c(*digest, buf, len);
}

static void add_value(u32 *digest, u32 value)
{
	__le32 bytes = cpu_to_le32(value);

	add_bytes(digest, &bytes, sizeof(bytes));
}

static void add_layout(u32 *digest)
{
	const struct vfmig_fn_desc *fn = &vfmig_nvme_model.desc.vf;

	add_value(digest, vfmig_nvme_model.desc.vendor);
	add_value(digest, fn->device);
	add_value(digest, fn->class);
	add_value(digest, fn->revision);
	for (unsigned int i = 0; i < PCI_STD_NUM_BARS; i++)
		add_value(digest, fn->bar_size[i]);
	add_value(digest, fn->msix_vectors);
	add_value(digest, fn->msix_bar);
	add_value(digest, fn->msix_table);
	add_value(digest, fn->msix_pba);
}

/* All before the doorbells, also where there is none: one may come */
static void add_registers(u32 *digest, struct vfmig_nvme *ctrl)
{
	for (u64 offset = 0; offset < NVME_REG_DBS; offset += 4)
		add_value(digest, vfmig_nvme_bar_read(ctrl, 0, offset, 4));
}

static void add_identify(u32 *digest, struct vfmig_nvme *ctrl)
{
	/* Some structures are of the controller, some are of a namespace */
	static const u32 nsids[] = { 0, VFMIG_NVME_NSID };
	struct nvme_identify cmd = {};

	for (unsigned int cns = 0; cns <= U8_MAX; cns++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(nsids); i++) {
			u16 status;

			cmd.cns = cns;
			cmd.nsid = cpu_to_le32(nsids[i]);
			status = vfmig_nvme_fill_identify(ctrl, &cmd);
			add_value(digest, status);
			if (!status)
				add_bytes(digest, ctrl->buf, VFMIG_NVME_BUF);
		}
	}
}

static void add_logs(u32 *digest, struct vfmig_nvme *ctrl)
{
	u32 size;

	for (unsigned int lid = 0; lid <= U8_MAX; lid++) {
		if (!vfmig_nvme_fill_log(ctrl, lid, &size))
			continue;
		add_value(digest, lid);
		add_value(digest, size);
		add_bytes(digest, ctrl->buf, VFMIG_NVME_BUF);
	}
}

/* What each feature is at first, and what Get Features says of it */
static void add_features(u32 *digest, struct vfmig_nvme *ctrl)
{
	for (unsigned int fid = 0; fid <= U8_MAX; fid++) {
		for (unsigned int select = 0; select < 8; select++) {
			struct vfmig_nvme_req req = {
				.cmd.features.fid = cpu_to_le32(fid | select << 8),
				.cmd.features.nsid = cpu_to_le32(VFMIG_NVME_NSID),
			};

			add_value(digest, vfmig_nvme_get_features(ctrl, &req));
			add_value(digest, req.result);
		}
	}
}

static u32 digest_of(struct vfmig_nvme *blank)
{
	u32 digest = ~0;

	add_layout(&digest);
	add_registers(&digest, blank);
	add_identify(&digest, blank);
	add_logs(&digest, blank);
	add_features(&digest, blank);
	return digest;
}

/* Fill in @digests, for controllers with logical blocks of @lba_size bytes; 0 or -ENOMEM */
int vfmig_nvme_make_digests(unsigned int lba_size, u32 digests[VFMIG_NVME_LOOKS])
{
	const struct vfmig_nvme_config config = {
		.media_mb = 1,
		.lba_size = lba_size,
		.queues = 1,
	};
	struct vfmig_nvme *blank = vfmig_nvme_alloc(NULL, &config);

	if (IS_ERR(blank))
		return PTR_ERR(blank);
	for (blank->look = 0; blank->look < VFMIG_NVME_LOOKS; blank->look++)
		digests[blank->look] = digest_of(blank);
	vfmig_nvme_free(blank);
	return 0;
}
