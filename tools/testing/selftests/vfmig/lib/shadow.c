// SPDX-License-Identifier: GPL-2.0-only
/* See shadow.h */
#include "shadow.h"

bool shadow_is_offered(const u8 *id)
{
	return id[NVME_ID_OACS + 1] & 1;
}

int shadow_config(struct nvme *nvme, u64 doorbells, u64 events)
{
	return nvme_admin(nvme, (struct nvme_cmd) {
		.opcode = NVME_DOORBELL_BUFFER,
		.prp1 = doorbells,
		.prp2 = events,
	});
}

void shadow_use(struct nvme *nvme, struct shadow *shadow)
{
	*shadow = (struct shadow) {
		.doorbells = arena_alloc(nvme->mem, PAGE),
		.events = arena_alloc(nvme->mem, PAGE),
	};
	must(!shadow_config(nvme, arena_iova(nvme->mem, shadow->doorbells),
			    arena_iova(nvme->mem, shadow->events)));
	nvme->shadow = shadow;
}

bool shadow_store(struct shadow *shadow, unsigned int index, u16 old, u16 value)
{
	u16 event;

	__atomic_store_n(&shadow->doorbells[index], value, __ATOMIC_RELEASE);
	__sync_synchronize();
	event = __atomic_load_n(&shadow->events[index], __ATOMIC_RELAXED);
	if ((u16)(value - event - 1) >= (u16)(value - old))
		return false;
	shadow->rings++;
	return true;
}
