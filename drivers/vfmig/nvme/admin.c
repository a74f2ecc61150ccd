// SPDX-License-Identifier: GPL-2.0-only
/*
 * Admin commands: which there are.  Each is one function, in the file named
 * after what it is about.
 */
#include <linux/bitfield.h>
#include <linux/nospec.h>

#include "nvme.h"

/*
 * Changes the contents; no other command may be outstanding to the same namespace
 * (@cse 1) or to any (@cse 2).
 */
#define VFMIG_EFFECTS_ERASE(cse)	(NVME_CMD_EFFECTS_CSUPP | NVME_CMD_EFFECTS_LBCC | \
					 FIELD_PREP_CONST(NVME_CMD_EFFECTS_CSE_MASK, cse))

struct vfmig_nvme_admin_op {
	u16 (*execute)(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req);
	u32 effects;
};

static const struct vfmig_nvme_admin_op admin_ops[] = {
	[nvme_admin_delete_sq] = { vfmig_nvme_delete_sq, NVME_CMD_EFFECTS_CSUPP },
	[nvme_admin_create_sq] = { vfmig_nvme_create_sq, NVME_CMD_EFFECTS_CSUPP },
	[nvme_admin_get_log_page] = { vfmig_nvme_get_log_page, NVME_CMD_EFFECTS_CSUPP },
	[nvme_admin_delete_cq] = { vfmig_nvme_delete_cq, NVME_CMD_EFFECTS_CSUPP },
	[nvme_admin_create_cq] = { vfmig_nvme_create_cq, NVME_CMD_EFFECTS_CSUPP },
	[nvme_admin_identify] = { vfmig_nvme_identify, NVME_CMD_EFFECTS_CSUPP },
	[nvme_admin_abort_cmd] = { vfmig_nvme_abort, NVME_CMD_EFFECTS_CSUPP },
	[nvme_admin_set_features] = { vfmig_nvme_set_features, NVME_CMD_EFFECTS_CSUPP },
	[nvme_admin_get_features] = { vfmig_nvme_get_features, NVME_CMD_EFFECTS_CSUPP },
	[nvme_admin_async_event] = { vfmig_nvme_async_event, NVME_CMD_EFFECTS_CSUPP },
	[nvme_admin_dbbuf] = { vfmig_nvme_doorbell_buffer, NVME_CMD_EFFECTS_CSUPP },
	[nvme_admin_format_nvm] = { vfmig_nvme_format, VFMIG_EFFECTS_ERASE(1) },
	[nvme_admin_sanitize_nvm] = { vfmig_nvme_sanitize, VFMIG_EFFECTS_ERASE(2) },
};

/* The command, or NULL if this controller has none of this @opcode */
static const struct vfmig_nvme_admin_op *find_op(const struct vfmig_nvme *ctrl,
						 unsigned int opcode)
{
	if (opcode >= ARRAY_SIZE(admin_ops) ||
	    (opcode == nvme_admin_dbbuf && !vfmig_nvme_has_shadow(ctrl)))
		return NULL;
	opcode = array_index_nospec(opcode, ARRAY_SIZE(admin_ops));
	return admin_ops[opcode].execute ? &admin_ops[opcode] : NULL;
}

/* Its entry in the Commands Supported and Effects log */
u32 vfmig_nvme_admin_effects(const struct vfmig_nvme *ctrl, unsigned int opcode)
{
	const struct vfmig_nvme_admin_op *op = find_op(ctrl, opcode);

	return op ? op->effects : 0;
}

u16 vfmig_nvme_execute_admin(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	const struct vfmig_nvme_admin_op *op = find_op(ctrl, req->cmd.common.opcode);

	if (!op)
		return NVME_SC_INVALID_OPCODE | NVME_STATUS_DNR;
	if (req->cmd.common.flags & VFMIG_NVME_BAD_FLAGS)
		return VFMIG_NVME_BAD_FIELD;
	return op->execute(ctrl, req);
}
