// SPDX-License-Identifier: GPL-2.0-only
/*
 * Get Log Page: error information, SMART, firmware slot, changed namespaces,
 * commands supported and effects; also the data of the first two.  The sanitize
 * status is in erase.c.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include "nvme.h"

#define VFMIG_NVME_RAE		BIT(7)	/* Retain Asynchronous Event, in byte LSP */

/* Seconds of power-on, including those on other VFs */
u64 vfmig_nvme_power_on_s(const struct vfmig_nvme *ctrl)
{
	u64 now = vfmig_running_now(&ctrl->running);

	return ctrl->health.power_on_s + div_u64(now - ctrl->health.since, NSEC_PER_SEC);
}

u8 vfmig_nvme_critical_warning(const struct vfmig_nvme *ctrl)
{
	u32 over = ctrl->features.dword[NVME_FEAT_TEMP_THRESH];

	if (VFMIG_NVME_TEMPERATURE >= over || VFMIG_NVME_TEMPERATURE <= ctrl->features.temp_under)
		return NVME_SMART_CRIT_TEMPERATURE;
	return 0;
}

/* Add an error of @req to the log, or of queue @sqid if @req is NULL */
void vfmig_nvme_log_error(struct vfmig_nvme *ctrl, const struct vfmig_nvme_req *req,
			  u16 sqid, u16 status)
{
	u64 count = ++ctrl->errors.count;
	struct nvme_error_slot *slot = &ctrl->errors.slots[count % VFMIG_NVME_ERRORS];

	*slot = (struct nvme_error_slot) {
		.error_count = cpu_to_le64(count),
		.sqid = cpu_to_le16(sqid),
		.cmdid = cpu_to_le16(U16_MAX),
		.status_field = cpu_to_le16(status << 1),
		.param_error_location = cpu_to_le16(U16_MAX),
	};
	if (!req)
		return;
	slot->cmdid = (__force __le16)req->cmd.common.command_id;
	slot->nsid = req->cmd.common.nsid;
	if (sqid && req->cmd.common.opcode != nvme_cmd_flush &&
	    req->cmd.common.opcode != nvme_cmd_dsm)
		slot->lba = req->cmd.rw.slba;
}

/* Each of these fills in the zeroed page @buf and returns the size of the log page */
static u32 error_log(struct vfmig_nvme *ctrl, u8 *buf)
{
	struct nvme_error_slot *out = (void *)buf;
	u64 count = ctrl->errors.count;

	/* The newest first */
	for (unsigned int i = 0; i < VFMIG_NVME_ERRORS && i < count; i++)
		out[i] = ctrl->errors.slots[(count - i) % VFMIG_NVME_ERRORS];
	return VFMIG_NVME_ERRORS * sizeof(*out);
}

static u32 smart_log(struct vfmig_nvme *ctrl, u8 *buf)
{
	const struct vfmig_nvme_health *health = &ctrl->health;
	struct nvme_smart_log *log = (void *)buf;

	log->critical_warning = vfmig_nvme_critical_warning(ctrl);
	put_unaligned_le16(VFMIG_NVME_TEMPERATURE, log->temperature);
	log->avail_spare = 100;
	log->spare_thresh = 10;
	/* Thousands of 512-byte units, rounded up */
	put_unaligned_le64(DIV_ROUND_UP_ULL(health->read_units, 1000), log->data_units_read);
	put_unaligned_le64(DIV_ROUND_UP_ULL(health->written_units, 1000),
			   log->data_units_written);
	put_unaligned_le64(health->reads, log->host_reads);
	put_unaligned_le64(health->writes, log->host_writes);
	put_unaligned_le64(1, log->power_cycles);
	put_unaligned_le64(div_u64(vfmig_nvme_power_on_s(ctrl), 3600), log->power_on_hours);
	put_unaligned_le64(health->media_errors, log->media_errors);
	put_unaligned_le64(ctrl->errors.count, log->num_err_log_entries);
	return sizeof(*log);
}

static u32 firmware_log(struct vfmig_nvme *ctrl, u8 *buf)
{
	struct nvme_fw_slot_info_log *log = (void *)buf;

	log->afi = 1;
	memcpy(&log->frs[0], VFMIG_NVME_FIRMWARE, sizeof(log->frs[0]));
	return sizeof(*log);
}

static u32 changed_ns_log(struct vfmig_nvme *ctrl, u8 *buf)
{
	if (ctrl->events.ns_changed)
		put_unaligned_le32(VFMIG_NVME_NSID, buf);
	return NVME_MAX_CHANGED_NAMESPACES * sizeof(__le32);
}

static u32 effects_log(struct vfmig_nvme *ctrl, u8 *buf)
{
	struct nvme_effects_log *log = (void *)buf;

	for (unsigned int i = 0; i < ARRAY_SIZE(log->acs); i++) {
		log->acs[i] = cpu_to_le32(vfmig_nvme_admin_effects(ctrl, i));
		log->iocs[i] = cpu_to_le32(vfmig_nvme_io_effects(i));
	}
	return sizeof(*log);
}

static const struct {
	u8 lid;
	u32 (*fill)(struct vfmig_nvme *ctrl, u8 *buf);
} logs[] = {
	{ NVME_LOG_ERROR, error_log },
	{ NVME_LOG_SMART, smart_log },
	{ NVME_LOG_FW_SLOT, firmware_log },
	{ NVME_LOG_CHANGED_NS, changed_ns_log },
	{ NVME_LOG_CMD_EFFECTS, effects_log },
	{ VFMIG_NVME_LOG_SANITIZE, vfmig_nvme_sanitize_log },
};

/* Log page @lid in @ctrl->buf, of @size bytes; false if there is none */
bool vfmig_nvme_fill_log(struct vfmig_nvme *ctrl, u8 lid, u32 *size)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(logs); i++) {
		if (logs[i].lid != lid)
			continue;
		memset(ctrl->buf, 0, VFMIG_NVME_BUF);
		*size = logs[i].fill(ctrl, ctrl->buf);
		return true;
	}
	return false;
}

/* Transfer a piece of the log page in @ctrl->buf; zeroes beyond the buffer */
static u16 log_piece(struct vfmig_nvme *ctrl, const struct vfmig_nvme_piece *piece, void *arg)
{
	const void *from = page_address(ZERO_PAGE(0));

	static_assert(VFMIG_NVME_BUF % VFMIG_GRANULE == 0);
	if (piece->offset < VFMIG_NVME_BUF)
		from = ctrl->buf + piece->offset;
	return vfmig_nvme_dma_status(vfmig_fn_dma_write(ctrl->fn, piece->iova, from, piece->len));
}

u16 vfmig_nvme_get_log_page(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	const struct nvme_get_log_page_command *cmd = &req->cmd.get_log_page;
	u64 offset = le64_to_cpu(cmd->lpo);
	u32 nsid = le32_to_cpu(cmd->nsid), size;
	u64 len;
	u16 status;

	len = ((u64)le16_to_cpu(cmd->numdu) << 16 | le16_to_cpu(cmd->numdl)) + 1;
	len *= 4;

	if (!vfmig_nvme_fill_log(ctrl, cmd->lid, &size))
		return NVME_SC_INVALID_LOG_PAGE | NVME_STATUS_DNR;
	if (nsid && nsid != NVME_NSID_ALL) {
		if (nsid != VFMIG_NVME_NSID)
			return NVME_SC_INVALID_NS | NVME_STATUS_DNR;
		/* LPA reports no SMART log per namespace */
		if (cmd->lid == NVME_LOG_SMART)
			return VFMIG_NVME_BAD_FIELD;
	}
	if (offset > size || offset & 3 || len > VFMIG_NVME_MAX_TRANSFER)
		return VFMIG_NVME_BAD_FIELD;

	status = vfmig_nvme_transfer(ctrl, &req->cmd, offset, len, log_piece, NULL);
	if (!status && !(cmd->lsp & VFMIG_NVME_RAE))
		vfmig_nvme_clear_events(ctrl, cmd->lid);
	return status;
}
