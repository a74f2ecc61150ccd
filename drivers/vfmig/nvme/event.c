// SPDX-License-Identifier: GPL-2.0-only
/*
 * Asynchronous events.  An event is kept until there is a request to report it.
 * After a report, events of its type are masked until the host reads the log page.
 */
#include <linux/bitops.h>

#include "nvme.h"

/* The log page of each type */
static const u8 event_log_page[VFMIG_NVME_EVENT_TYPES] = {
	[NVME_AER_ERROR] = NVME_LOG_ERROR,
	[NVME_AER_SMART] = NVME_LOG_SMART,
	[NVME_AER_NOTICE] = NVME_LOG_CHANGED_NS,
	[NVME_AER_CSS] = VFMIG_NVME_LOG_SANITIZE,
};

/* Add an event; vfmig_nvme_send_events() reports it */
void vfmig_nvme_event(struct vfmig_nvme *ctrl, unsigned int type, unsigned int info)
{
	ctrl->events.pending[type] |= BIT(info);
}

/* Called when the temperature thresholds or the event configuration have changed */
void vfmig_nvme_check_health(struct vfmig_nvme *ctrl)
{
	u32 wanted = ctrl->features.dword[NVME_FEAT_ASYNC_EVENT];

	if (vfmig_nvme_critical_warning(ctrl) & wanted & NVME_SMART_CRIT_TEMPERATURE)
		vfmig_nvme_event(ctrl, NVME_AER_SMART, VFMIG_NVME_TEMP_THRESHOLD);
}

/* The administrator changed the namespace.  Any time, with the lock held. */
void vfmig_nvme_ns_changed(struct vfmig_nvme *ctrl)
{
	ctrl->events.ns_changed = true;
	if (ctrl->features.dword[NVME_FEAT_ASYNC_EVENT] & NVME_AEN_CFG_NS_ATTR)
		vfmig_nvme_event(ctrl, NVME_AER_NOTICE, NVME_AER_NOTICE_NS_CHANGED);
	vfmig_worker_kick(&ctrl->worker);
}

/* The host read @log_page: unmask its events */
void vfmig_nvme_clear_events(struct vfmig_nvme *ctrl, u8 log_page)
{
	for (unsigned int type = 0; type < VFMIG_NVME_EVENT_TYPES; type++) {
		if (event_log_page[type] != log_page)
			continue;
		ctrl->events.pending[type] = 0;
		ctrl->events.masked &= ~BIT(type);
	}
	if (log_page == NVME_LOG_CHANGED_NS)
		ctrl->events.ns_changed = false;
}

static void send_event(struct vfmig_nvme *ctrl, unsigned int type)
{
	struct vfmig_nvme_req *req = list_first_entry(&ctrl->aers, struct vfmig_nvme_req, entry);
	unsigned int info = __ffs(ctrl->events.pending[type]);

	ctrl->events.pending[type] &= ~BIT(info);
	ctrl->events.masked |= BIT(type);
	req->result = type | info << 8 | event_log_page[type] << 16;
	vfmig_nvme_complete(ctrl, req, NVME_SC_SUCCESS);
}

/* Report events, as long as there are requests */
void vfmig_nvme_send_events(struct vfmig_nvme *ctrl)
{
	for (unsigned int type = 0; type < VFMIG_NVME_EVENT_TYPES; type++) {
		if (list_empty(&ctrl->aers))
			return;
		if (ctrl->events.pending[type] && !(ctrl->events.masked & BIT(type)))
			send_event(ctrl, type);
	}
}

u16 vfmig_nvme_async_event(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	if (ctrl->nr_events >= VFMIG_NVME_MAX_AERS)
		return NVME_SC_ASYNC_LIMIT | NVME_STATUS_DNR;
	vfmig_nvme_move_req(ctrl, req, VFMIG_NVME_EVENT);
	return VFMIG_NVME_SC_HELD;
}
