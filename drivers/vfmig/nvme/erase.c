// SPDX-License-Identifier: GPL-2.0-only
/*
 * What replaces the medium at a stroke: Format NVM and Sanitize, and the log page
 * about the latter.  Nothing is left of the data when their command completes.  The
 * worker frees its memory after that.
 */
#include <linux/bitfield.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "nvme.h"

/* Dword 10 of Format NVM; MSET and PIL say nothing without metadata */
#define VFMIG_FORMAT_LBAF	GENMASK(3, 0)
#define VFMIG_FORMAT_PI		GENMASK(7, 5)
#define VFMIG_FORMAT_SES	GENMASK(11, 9)
#define VFMIG_FORMAT_PI_LAST	3	/* the others are reserved */
#define VFMIG_FORMAT_SES_LAST	2

/* Dword 10 of Sanitize: its action, No-Deallocate After Sanitize */
#define VFMIG_SANITIZE_ACTION	GENMASK(2, 0)
#define VFMIG_SANITIZE_NDAS	BIT(9)

enum {
	VFMIG_SANITIZE_EXIT_FAILURE = 1,
	VFMIG_SANITIZE_BLOCK_ERASE = 2,
	VFMIG_SANITIZE_CRYPTO_ERASE = 4,
};

/* SSTAT: Global Data Erased */
#define VFMIG_SSTAT_ERASED	BIT(8)

#define VFMIG_SANITIZE_LOG_SIZE	512

u16 vfmig_nvme_format(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	u32 dw10 = le32_to_cpu(req->cmd.format.cdw10);
	u32 nsid = le32_to_cpu(req->cmd.format.nsid);

	if (nsid != VFMIG_NVME_NSID && nsid != NVME_NSID_ALL)
		return NVME_SC_INVALID_NS | NVME_STATUS_DNR;
	if (FIELD_GET(VFMIG_FORMAT_SES, dw10) > VFMIG_FORMAT_SES_LAST ||
	    FIELD_GET(VFMIG_FORMAT_PI, dw10) > VFMIG_FORMAT_PI_LAST)
		return VFMIG_NVME_BAD_FIELD;
	/* There is one format, and no metadata for PI */
	if (FIELD_GET(VFMIG_FORMAT_LBAF, dw10) || FIELD_GET(VFMIG_FORMAT_PI, dw10))
		return NVME_SC_INVALID_FORMAT | NVME_STATUS_DNR;
	/* The specification lets it fail when I/O is under way; once that is over it won't */
	if (!list_empty(&ctrl->waiting))
		return NVME_SC_CMD_SEQ_ERROR;

	vfmig_memory_erase(&ctrl->media);
	return NVME_SC_SUCCESS;
}

u16 vfmig_nvme_sanitize(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	u32 dw10 = le32_to_cpu(req->cmd.common.cdw10);
	struct vfmig_nvme_req *waiting, *next;

	switch (FIELD_GET(VFMIG_SANITIZE_ACTION, dw10)) {
	case VFMIG_SANITIZE_EXIT_FAILURE:
		/* None ever fails */
		return NVME_SC_SUCCESS;
	case VFMIG_SANITIZE_BLOCK_ERASE:
	case VFMIG_SANITIZE_CRYPTO_ERASE:
		break;
	default:
		return VFMIG_NVME_BAD_FIELD;
	}
	if (dw10 & VFMIG_SANITIZE_NDAS)
		return VFMIG_NVME_BAD_FIELD;

	list_for_each_entry_safe(waiting, next, &ctrl->waiting, entry)
		vfmig_nvme_complete(ctrl, waiting, NVME_SC_SANITIZE_IN_PROGRESS);

	vfmig_memory_erase(&ctrl->media);
	ctrl->sanitize = (struct vfmig_nvme_sanitize) {
		.status = VFMIG_NVME_SSTAT_SUCCESS,
		.cdw10 = dw10,
	};
	vfmig_nvme_event(ctrl, NVME_AER_CSS, VFMIG_NVME_SANITIZED);
	return NVME_SC_SUCCESS;
}

/* Fills in the zeroed page @buf and returns the size of the log page */
u32 vfmig_nvme_sanitize_log(struct vfmig_nvme *ctrl, u8 *buf)
{
	const struct vfmig_nvme_sanitize *sanitize = &ctrl->sanitize;
	u16 status = sanitize->status | (sanitize->written ? 0 : VFMIG_SSTAT_ERASED);

	put_unaligned_le16(U16_MAX, buf);	/* SPROG: none is in progress */
	put_unaligned_le16(status, buf + 2);
	put_unaligned_le32(sanitize->cdw10, buf + 4);
	/*
	 * Estimated times: of Overwrite none is reported, of Block Erase and Crypto
	 * Erase it is 0, and again for No-Deallocate, which there isn't.
	 */
	put_unaligned_le32(U32_MAX, buf + 8);
	memset(buf + 20, 0xff, 3 * sizeof(u32));
	return VFMIG_SANITIZE_LOG_SIZE;
}
