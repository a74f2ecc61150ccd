// SPDX-License-Identifier: GPL-2.0-only
/*
 * Set Features and Get Features.  Most features are a dword that the host reads
 * back as it wrote it, as far as vfmig_nvme_feature_bits says.  The table has functions for
 * those that need more.
 */
#include <linux/kernel.h>
#include <linux/nospec.h>

#include "nvme.h"

/* Capabilities of a feature, as Get Features reports them; none is saveable */
#define VFMIG_FEAT_PER_NS	BIT(1)
#define VFMIG_FEAT_CHANGEABLE	BIT(2)

/* Get Features: values of Select */
enum {
	VFMIG_FEAT_SEL_CURRENT,
	VFMIG_FEAT_SEL_DEFAULT,
	VFMIG_FEAT_SEL_SAVED,
	VFMIG_FEAT_SEL_CAPS,
};

#define VFMIG_FEAT_SAVE		BIT(31)

/* Temperature threshold: TMPSEL and THSEL of dword 11 */
#define TMPSEL(dw11)		(((dw11) >> NVME_TEMP_THRESH_SELECT_SHIFT) & 0xf)
#define TMPSEL_ALL		0xf
#define THSEL(dw11)		(((dw11) >> 20) & 3)

/**
 * struct vfmig_nvme_feature - a feature
 * @caps: VFMIG_FEAT_, 0 for a feature that is not supported
 * @def: default value
 * @set: called instead of storing the dword, or NULL
 * @get: called instead of returning the dword, or NULL; if its argument def is true, it
 *	returns the default
 */
struct vfmig_nvme_feature {
	u8 caps;
	u32 def;
	u16 (*set)(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11);
	u16 (*get)(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11, bool def);
};

static void store(struct vfmig_nvme *ctrl, unsigned int fid, u32 dw11)
{
	ctrl->features.dword[fid] = dw11 & vfmig_nvme_feature_bits[fid];
}

static u16 set_power(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11)
{
	/* There is only power state 0 */
	if (dw11 & 0x1f)
		return VFMIG_NVME_BAD_FIELD;
	store(ctrl, NVME_FEAT_POWER_MGMT, dw11);
	return NVME_SC_SUCCESS;
}

static u16 set_temperature(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11)
{
	u16 threshold = dw11 & NVME_TEMP_THRESH_MASK;

	if (THSEL(dw11) > 1 || (TMPSEL(dw11) && TMPSEL(dw11) != TMPSEL_ALL))
		return VFMIG_NVME_BAD_FIELD;
	if (THSEL(dw11))
		ctrl->features.temp_under = threshold;
	else
		store(ctrl, NVME_FEAT_TEMP_THRESH, threshold);
	vfmig_nvme_check_health(ctrl);
	return NVME_SC_SUCCESS;
}

static u16 get_temperature(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11,
			   bool def)
{
	if (THSEL(dw11) > 1 || TMPSEL(dw11))
		return VFMIG_NVME_BAD_FIELD;
	if (THSEL(dw11))
		req->result = def ? 0 : ctrl->features.temp_under;
	else
		req->result = def ? VFMIG_NVME_WARN_TEMP :
				    ctrl->features.dword[NVME_FEAT_TEMP_THRESH];
	return NVME_SC_SUCCESS;
}

static u16 set_error_recovery(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11)
{
	/* Deallocated blocks read as zeroes, never with an error */
	if (dw11 & BIT(16))
		return VFMIG_NVME_BAD_FIELD;
	store(ctrl, NVME_FEAT_ERR_RECOVERY, dw11);
	return NVME_SC_SUCCESS;
}

static u16 get_num_queues(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11,
			  bool def)
{
	u32 queues = ctrl->queues - 1;

	req->result = queues << 16 | queues;
	return NVME_SC_SUCCESS;
}

static u16 set_num_queues(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11)
{
	for (unsigned int i = 1; i < VFMIG_NVME_QUEUES; i++)
		if (ctrl->sq[i].size || ctrl->cq[i].size)
			return NVME_SC_CMD_SEQ_ERROR | NVME_STATUS_DNR;
	if ((dw11 & 0xffff) == 0xffff || dw11 >> 16 == 0xffff)
		return VFMIG_NVME_BAD_FIELD;
	/* Grant all queues, independent of the number requested */
	return get_num_queues(ctrl, req, dw11, false);
}

/* What was held for longer or shorter than is wanted now is no longer held at all */
static u16 set_coalescing(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11)
{
	vfmig_nvme_release_irqs(ctrl, U64_MAX);
	store(ctrl, NVME_FEAT_IRQ_COALESCE, dw11);
	return NVME_SC_SUCCESS;
}

static u16 set_vector_config(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11)
{
	u32 vector = dw11 & 0xffff;

	if (vector >= VFMIG_NVME_VECTORS)
		return VFMIG_NVME_BAD_FIELD;
	vector = array_index_nospec(vector, VFMIG_NVME_VECTORS);
	vfmig_nvme_release_irq(ctrl, vector);
	ctrl->features.vector_cd &= ~BIT_ULL(vector);
	if (dw11 & BIT(16))
		ctrl->features.vector_cd |= BIT_ULL(vector);
	return NVME_SC_SUCCESS;
}

static u16 get_vector_config(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11,
			     bool def)
{
	u32 vector = dw11 & 0xffff;

	if (vector >= VFMIG_NVME_VECTORS)
		return VFMIG_NVME_BAD_FIELD;
	req->result = vector;
	if (!def && (ctrl->features.vector_cd & BIT_ULL(vector)))
		req->result |= BIT(16);
	return NVME_SC_SUCCESS;
}

static u16 set_async_event(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u32 dw11)
{
	store(ctrl, NVME_FEAT_ASYNC_EVENT, dw11);
	vfmig_nvme_check_health(ctrl);
	return NVME_SC_SUCCESS;
}

static const struct vfmig_nvme_feature features[VFMIG_NVME_FEATURES] = {
	[NVME_FEAT_ARBITRATION] = { VFMIG_FEAT_CHANGEABLE, 0x7 },
	[NVME_FEAT_POWER_MGMT] = { VFMIG_FEAT_CHANGEABLE, 0, set_power },
	[NVME_FEAT_TEMP_THRESH] = { VFMIG_FEAT_CHANGEABLE, VFMIG_NVME_WARN_TEMP, set_temperature,
				    get_temperature },
	[NVME_FEAT_ERR_RECOVERY] = { VFMIG_FEAT_CHANGEABLE | VFMIG_FEAT_PER_NS, 0,
				     set_error_recovery },
	[NVME_FEAT_VOLATILE_WC] = { VFMIG_FEAT_CHANGEABLE, 1 },
	[NVME_FEAT_NUM_QUEUES] = { VFMIG_FEAT_CHANGEABLE, 0, set_num_queues, get_num_queues },
	[NVME_FEAT_IRQ_COALESCE] = { VFMIG_FEAT_CHANGEABLE, 0, set_coalescing },
	[NVME_FEAT_IRQ_CONFIG] = { VFMIG_FEAT_CHANGEABLE, 0, set_vector_config,
				   get_vector_config },
	[NVME_FEAT_WRITE_ATOMIC] = { VFMIG_FEAT_CHANGEABLE },
	[NVME_FEAT_ASYNC_EVENT] = { VFMIG_FEAT_CHANGEABLE, 0, set_async_event },
};

void vfmig_nvme_default_features(struct vfmig_nvme *ctrl)
{
	ctrl->features = (struct vfmig_nvme_features) {};
	for (unsigned int i = 0; i < VFMIG_NVME_FEATURES; i++)
		ctrl->features.dword[i] = features[i].def;
}

static const struct vfmig_nvme_feature *find_feature(const struct vfmig_nvme *ctrl, u8 fid)
{
	if (fid >= VFMIG_NVME_FEATURES)
		return NULL;
	if (fid == NVME_FEAT_VOLATILE_WC && !vfmig_nvme_has_cache(ctrl))
		return NULL;
	fid = array_index_nospec(fid, VFMIG_NVME_FEATURES);
	return features[fid].caps ? &features[fid] : NULL;
}

u16 vfmig_nvme_set_features(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	u32 dw10 = le32_to_cpu(req->cmd.features.fid);
	u32 dw11 = le32_to_cpu(req->cmd.features.dword11);
	u32 nsid = le32_to_cpu(req->cmd.features.nsid);
	const struct vfmig_nvme_feature *feature = find_feature(ctrl, dw10);

	if (!feature)
		return VFMIG_NVME_BAD_FIELD;
	if (dw10 & VFMIG_FEAT_SAVE)
		return NVME_SC_FEATURE_NOT_SAVEABLE | NVME_STATUS_DNR;

	if (nsid != VFMIG_NVME_NSID && nsid != NVME_NSID_ALL &&
	    (nsid || (feature->caps & VFMIG_FEAT_PER_NS)))
		return NVME_SC_INVALID_NS | NVME_STATUS_DNR;
	if (nsid == VFMIG_NVME_NSID && !(feature->caps & VFMIG_FEAT_PER_NS))
		return NVME_SC_FEATURE_NOT_PER_NS | NVME_STATUS_DNR;

	if (feature->set)
		return feature->set(ctrl, req, dw11);
	store(ctrl, feature - features, dw11);
	return NVME_SC_SUCCESS;
}

u16 vfmig_nvme_get_features(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	u32 dw10 = le32_to_cpu(req->cmd.features.fid);
	u32 dw11 = le32_to_cpu(req->cmd.features.dword11);
	u32 nsid = le32_to_cpu(req->cmd.features.nsid);
	const struct vfmig_nvme_feature *feature = find_feature(ctrl, dw10);
	unsigned int select = (dw10 >> 8) & 7;
	bool def = select != VFMIG_FEAT_SEL_CURRENT;

	if (!feature || select > VFMIG_FEAT_SEL_CAPS)
		return VFMIG_NVME_BAD_FIELD;
	if ((feature->caps & VFMIG_FEAT_PER_NS) && nsid != VFMIG_NVME_NSID)
		return NVME_SC_INVALID_NS | NVME_STATUS_DNR;

	if (select == VFMIG_FEAT_SEL_CAPS) {
		req->result = feature->caps;
		return NVME_SC_SUCCESS;
	}
	/* No feature is saveable, so the saved value is the default */
	if (feature->get)
		return feature->get(ctrl, req, dw11, def);
	req->result = def ? feature->def : ctrl->features.dword[feature - features];
	return NVME_SC_SUCCESS;
}
