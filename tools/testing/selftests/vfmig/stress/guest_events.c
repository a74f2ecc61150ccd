// SPDX-License-Identifier: GPL-2.0-only
/* Asynchronous events: which must come, and which can't */
#include "guest_ref.h"

static const u32 events[REF_EVENTS] = {
	/* Type, information, log page */
	[EVENT_SMART] = 1 | 1 << 8 | 0x02 << 16,
	[EVENT_SANITIZE] = 6 | 1 << 8 | 0x81 << 16,
};

void events_reset(struct ref *ref)
{
	ref->nr_aers = 0;
	for (unsigned int i = 0; i < REF_EVENTS; i++) {
		ref->pending[i] = false;
		ref->masked[i] = false;
	}
}

void events_log_read(struct ref *ref, u8 lid)
{
	for (unsigned int i = 0; i < REF_EVENTS; i++) {
		if (events[i] >> 16 != lid)
			continue;
		ref->pending[i] = false;
		ref->masked[i] = false;
	}
}

static bool must_come(const struct ref *ref)
{
	for (unsigned int i = 0; i < REF_EVENTS; i++)
		if (ref->nr_aers && ref->pending[i] && !ref->masked[i])
			return true;
	return false;
}

static void take_event(struct ref *ref, u32 event)
{
	for (unsigned int i = 0; i < REF_EVENTS; i++) {
		if (events[i] != event || !ref->pending[i] || ref->masked[i])
			continue;
		ref->pending[i] = false;
		ref->masked[i] = true;
		return;
	}
	fail(__FILE__, __LINE__, "event 0x%x, which can't be", event);
}

/* Take the completion of request @i out, if it is there */
static bool take_request(struct ref *ref, unsigned int i, struct nvme_cqe *cqe)
{
	if (!nvme_take(&ref->nvme->admin, ref->aers[i], cqe))
		return false;
	ref->aers[i] = ref->aers[--ref->nr_aers];
	return true;
}

static void take_all(struct ref *ref)
{
	struct nvme_cqe cqe;

	nvme_reap(ref->nvme, &ref->nvme->admin);
	for (unsigned int i = 0; i < ref->nr_aers;) {
		u16 status;

		if (!take_request(ref, i, &cqe)) {
			i++;
			continue;
		}
		status = cqe.status >> 1 & 0x7ff;
		if (status)
			fail(__FILE__, __LINE__, "event request: status 0x%x", status);
		take_event(ref, cqe.dw0);
	}
}

void events_take(struct ref *ref)
{
	if (!wait_until((take_all(ref), !must_come(ref))))
		fail(__FILE__, __LINE__, "an event does not come");
	if (ref->nvme->admin.stashed)
		fail(__FILE__, __LINE__, "admin queue: nobody waits for CID 0x%x",
		     ref->nvme->admin.stash[0].cid);
}

void events_expect(struct ref *ref, enum ref_event event)
{
	ref->pending[event] = true;
}

void events_take_abort(struct ref *ref, unsigned int i)
{
	struct nvme_cqe cqe;

	if (!wait_until((nvme_reap(ref->nvme, &ref->nvme->admin), take_request(ref, i, &cqe))))
		fail(__FILE__, __LINE__, "an aborted event request does not complete");
	if ((cqe.status >> 1 & 0x7ff) != NVME_ABORT_REQUESTED)
		fail(__FILE__, __LINE__, "aborted event request: status 0x%x",
		     cqe.status >> 1 & 0x7ff);
}

void step_event_request(struct ref *ref)
{
	struct slot *slot = admin_begin(ref, NVME_AER);
	struct nvme_cqe cqe;

	if (ref->nr_aers == REF_AERS) {
		want_add(&slot->want, NVME_AER_LIMIT);
		admin_do(ref, &cqe);
		return;
	}
	ref->aers[ref->nr_aers++] = nvme_submit(ref->nvme, &ref->nvme->admin, &slot->cmd);
	nvme_ring(ref->nvme, &ref->nvme->admin);
}
