// SPDX-License-Identifier: GPL-2.0-only
/* Identify.  The identity of the controller comes from ident.c. */
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/sizes.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "nvme.h"

#define VFMIG_NVME_MODEL	"vfmig simulated NVMe disk"

#define VFMIG_OACS_FORMAT	BIT(1)
#define VFMIG_SANICAP_CRYPTO	BIT(0)
#define VFMIG_SANICAP_BLOCK	BIT(1)
#define VFMIG_SANICAP_NDI	BIT(29)	/* NDI: blocks are deallocated in any case */
#define VFMIG_SANICAP_UNMODIFIED BIT(30)	/* NODMMAS: the medium isn't modified after */
#define VFMIG_FNA_CRYPTO	BIT(2)	/* Format NVM with cryptographic erase */
#define VFMIG_ONCS_SELECT	BIT(4)	/* Save and Select in Set and Get Features */
#define VFMIG_VWC_FLUSH_ALL	(3 << 1)	/* Flush takes NSID FFFFFFFFh */
#define VFMIG_LPA_EXTENDED	BIT(2)	/* Get Log Page takes an offset */
#define VFMIG_NSFEAT_OPTPERF	BIT(4)	/* NPWG, NPWA, NPDG, NPDA and NOWS are valid */
#define VFMIG_DLFEAT_ZEROES	1	/* deallocated blocks read as zeroes */
#define VFMIG_DLFEAT_DEAC	BIT(3)	/* Write Zeroes can deallocate */

/* Recommended limit for a range of Dataset Management, in bytes */
#define VFMIG_NVME_MAX_DEALLOCATE SZ_1G

#define VFMIG_NVME_BAD_NSID	(NVME_SC_INVALID_NS | NVME_STATUS_DNR)

/* A granule of the medium in logical blocks, as a 0's based value */
static __le16 granule_blocks(const struct vfmig_nvme *ctrl)
{
	return cpu_to_le16((VFMIG_GRANULE >> ctrl->lba_shift) - 1);
}

static u16 identify_ctrl(struct vfmig_nvme *ctrl, const struct nvme_identify *cmd)
{
	struct nvme_id_ctrl *id = (void *)ctrl->buf;

	id->vid = cpu_to_le16(VFMIG_PCI_VENDOR_ID);
	id->ssvid = cpu_to_le16(VFMIG_PCI_VENDOR_ID);
	memcpy(id->sn, ctrl->ident.serial, sizeof(id->sn));
	memcpy_and_pad(id->mn, sizeof(id->mn), VFMIG_NVME_MODEL, strlen(VFMIG_NVME_MODEL), ' ');
	memcpy(id->fr, VFMIG_NVME_FIRMWARE, sizeof(id->fr));
	id->rab = 6;
	id->mdts = VFMIG_NVME_MDTS;
	id->cntlid = cpu_to_le16(ctrl->ident.cntlid);
	id->ver = cpu_to_le32(VFMIG_NVME_VERSION);
	id->rtd3r = cpu_to_le32(100000);
	id->rtd3e = cpu_to_le32(100000);
	id->oaes = cpu_to_le32(NVME_AEN_CFG_NS_ATTR);
	id->cntrltype = NVME_CTRL_IO;

	id->oacs = cpu_to_le16(VFMIG_OACS_FORMAT);
	if (vfmig_nvme_has_shadow(ctrl))
		id->oacs |= cpu_to_le16(NVME_CTRL_OACS_DBBUF_SUPP);
	id->acl = VFMIG_NVME_MAX_ABORTS - 1;
	id->aerl = VFMIG_NVME_MAX_AERS - 1;
	id->frmw = 0x3;		/* one slot, read-only */
	id->lpa = NVME_CTRL_LPA_CMD_EFFECTS_LOG | VFMIG_LPA_EXTENDED;
	id->elpe = VFMIG_NVME_ERRORS - 1;
	id->wctemp = cpu_to_le16(VFMIG_NVME_WARN_TEMP);
	id->cctemp = cpu_to_le16(VFMIG_NVME_CRIT_TEMP);

	id->sanicap = cpu_to_le32(VFMIG_SANICAP_CRYPTO | VFMIG_SANICAP_BLOCK |
				  VFMIG_SANICAP_NDI | VFMIG_SANICAP_UNMODIFIED);

	id->sqes = NVME_NVM_IOSQES << 4 | NVME_NVM_IOSQES;
	id->cqes = NVME_NVM_IOCQES << 4 | NVME_NVM_IOCQES;
	id->nn = cpu_to_le32(1);
	id->oncs = cpu_to_le16(NVME_CTRL_ONCS_COMPARE | NVME_CTRL_ONCS_DSM |
			       NVME_CTRL_ONCS_WRITE_ZEROES | VFMIG_ONCS_SELECT);
	id->fna = VFMIG_FNA_CRYPTO;
	id->vwc = VFMIG_VWC_FLUSH_ALL;
	if (vfmig_nvme_has_cache(ctrl))
		id->vwc |= NVME_CTRL_VWC_PRESENT;
	/* AWUN and AWUPF are one block: a DMA fault can end a larger write half-way */
	snprintf(id->subnqn, sizeof(id->subnqn), "nqn.2014-08.org.nvmexpress:uuid:%pUb",
		 &ctrl->ident.subsys);
	return NVME_SC_SUCCESS;
}

static u16 identify_ns(struct vfmig_nvme *ctrl, const struct nvme_identify *cmd)
{
	struct nvme_id_ns *id = (void *)ctrl->buf;
	struct vfmig_mem_count allocated;

	if (le32_to_cpu(cmd->nsid) != VFMIG_NVME_NSID)
		return VFMIG_NVME_BAD_NSID;

	vfmig_memory_count(&ctrl->media, &allocated);
	id->nsze = cpu_to_le64(vfmig_nvme_lbas(ctrl));
	id->ncap = id->nsze;
	id->nuse = cpu_to_le64(allocated.granules * (VFMIG_GRANULE >> ctrl->lba_shift));
	id->nsfeat = NVME_NS_FEAT_THIN | VFMIG_NSFEAT_OPTPERF;
	id->dlfeat = VFMIG_DLFEAT_ZEROES | VFMIG_DLFEAT_DEAC;
	put_unaligned_le64(ctrl->media.size, id->nvmcap);
	id->npwg = granule_blocks(ctrl);
	id->npwa = granule_blocks(ctrl);
	id->npdg = granule_blocks(ctrl);
	id->npda = granule_blocks(ctrl);
	id->nows = granule_blocks(ctrl);
	memcpy(id->nguid, ctrl->ident.nguid, sizeof(id->nguid));
	memcpy(id->eui64, ctrl->ident.eui64, sizeof(id->eui64));

	/* The administrator has chosen the format.  It is the only one, number 0. */
	id->lbaf[0].ds = ctrl->lba_shift;
	return NVME_SC_SUCCESS;
}

static u16 identify_ns_list(struct vfmig_nvme *ctrl, const struct nvme_identify *cmd)
{
	__le32 *list = (void *)ctrl->buf;
	u32 after = le32_to_cpu(cmd->nsid);

	if (after >= NVME_NSID_ALL - 1)
		return VFMIG_NVME_BAD_NSID;
	if (after < VFMIG_NVME_NSID)
		list[0] = cpu_to_le32(VFMIG_NVME_NSID);
	return NVME_SC_SUCCESS;
}

static u8 *add_descriptor(u8 *at, u8 type, const void *id, u8 len)
{
	struct nvme_ns_id_desc *desc = (void *)at;

	desc->nidt = type;
	desc->nidl = len;
	memcpy(desc + 1, id, len);
	return at + sizeof(*desc) + len;
}

static u16 identify_ns_descriptors(struct vfmig_nvme *ctrl, const struct nvme_identify *cmd)
{
	u8 *at = ctrl->buf;

	if (le32_to_cpu(cmd->nsid) != VFMIG_NVME_NSID)
		return VFMIG_NVME_BAD_NSID;
	at = add_descriptor(at, NVME_NIDT_NGUID, ctrl->ident.nguid, NVME_NIDT_NGUID_LEN);
	add_descriptor(at, NVME_NIDT_EUI64, ctrl->ident.eui64, NVME_NIDT_EUI64_LEN);
	return NVME_SC_SUCCESS;
}

/* Namespace data structure of the NVM command set: all zeroes */
static u16 identify_nvm_ns(struct vfmig_nvme *ctrl, const struct nvme_identify *cmd)
{
	if (cmd->csi != NVME_CSI_NVM)
		return VFMIG_NVME_BAD_FIELD;
	return le32_to_cpu(cmd->nsid) == VFMIG_NVME_NSID ? NVME_SC_SUCCESS : VFMIG_NVME_BAD_NSID;
}

/*
 * Controller data structure of the NVM command set.  Larger deallocations work too.  A host
 * that keeps to these limits does not delay its other commands for long.
 */
static u16 identify_nvm_ctrl(struct vfmig_nvme *ctrl, const struct nvme_identify *cmd)
{
	struct nvme_id_ctrl_nvm *id = (void *)ctrl->buf;

	if (cmd->csi != NVME_CSI_NVM)
		return VFMIG_NVME_BAD_FIELD;
	/* A power of two in units of 4 KiB: the 65536 blocks that a Write Zeroes can have */
	if (ctrl->look != VFMIG_NVME_LOOK_PLAIN)
		id->wzsl = ctrl->lba_shift + 16 - VFMIG_NVME_MIN_SHIFT;
	id->dmrl = U8_MAX;
	id->dmrsl = cpu_to_le32(VFMIG_NVME_MAX_DEALLOCATE >> ctrl->lba_shift);
	/* A controller must report all three or none: this is DMRL times DMRSL */
	id->dmsl = cpu_to_le64((u64)U8_MAX * (VFMIG_NVME_MAX_DEALLOCATE >> ctrl->lba_shift));
	return NVME_SC_SUCCESS;
}

static u16 identify_ctrl_list(struct vfmig_nvme *ctrl, const struct nvme_identify *cmd)
{
	__le16 *list = (void *)ctrl->buf;

	if (le16_to_cpu(cmd->ctrlid) <= ctrl->ident.cntlid) {
		list[0] = cpu_to_le16(1);
		list[1] = cpu_to_le16(ctrl->ident.cntlid);
	}
	return NVME_SC_SUCCESS;
}

static u16 identify_ns_ctrl_list(struct vfmig_nvme *ctrl, const struct nvme_identify *cmd)
{
	if (le32_to_cpu(cmd->nsid) != VFMIG_NVME_NSID)
		return VFMIG_NVME_BAD_NSID;
	return identify_ctrl_list(ctrl, cmd);
}

/* Indexed by CNS; each function fills in the zeroed page @ctrl->buf */
static u16 (*const identify_ops[])(struct vfmig_nvme *ctrl, const struct nvme_identify *cmd) = {
	[NVME_ID_CNS_NS] = identify_ns,
	[NVME_ID_CNS_CTRL] = identify_ctrl,
	[NVME_ID_CNS_NS_ACTIVE_LIST] = identify_ns_list,
	[NVME_ID_CNS_NS_DESC_LIST] = identify_ns_descriptors,
	[NVME_ID_CNS_CS_NS] = identify_nvm_ns,
	[NVME_ID_CNS_CS_CTRL] = identify_nvm_ctrl,
	[NVME_ID_CNS_NS_PRESENT_LIST] = identify_ns_list,
	[NVME_ID_CNS_NS_PRESENT] = identify_ns,
	[NVME_ID_CNS_CTRL_NS_LIST] = identify_ns_ctrl_list,
	[NVME_ID_CNS_CTRL_LIST] = identify_ctrl_list,
};

/* The structure that @cmd asks for, in @ctrl->buf if the status is success */
u16 vfmig_nvme_fill_identify(struct vfmig_nvme *ctrl, const struct nvme_identify *cmd)
{
	static_assert(sizeof(struct nvme_id_ctrl) == VFMIG_NVME_BUF);
	static_assert(sizeof(struct nvme_id_ns) == VFMIG_NVME_BUF);

	unsigned int cns = cmd->cns;

	if (cns >= ARRAY_SIZE(identify_ops))
		return VFMIG_NVME_BAD_FIELD;
	cns = array_index_nospec(cns, ARRAY_SIZE(identify_ops));
	if (!identify_ops[cns])
		return VFMIG_NVME_BAD_FIELD;

	memset(ctrl->buf, 0, VFMIG_NVME_BUF);
	return identify_ops[cns](ctrl, cmd);
}

u16 vfmig_nvme_identify(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	u16 status = vfmig_nvme_fill_identify(ctrl, &req->cmd.identify);

	if (status)
		return status;
	return vfmig_nvme_data_to_host(ctrl, &req->cmd, ctrl->buf, VFMIG_NVME_BUF);
}
