// SPDX-License-Identifier: GPL-2.0-only
/* Get and Set Features: what each feature may be set to, and what it is then */
#include "guest_ref.h"

#define ALL_NAMESPACES	0xffffffff
#define SAVE		(1U << 31)
#define QUEUES_GRANTED	((NVME_MAX_IO - 1) << 16 | (NVME_MAX_IO - 1))
#define TEMPERATURE	310	/* K, which does not change */
#define WARN_TEMP	343

enum feature_id {
	ARBITRATION = 0x01, POWER = 0x02, TEMP_THRESHOLD = 0x04, ERROR_RECOVERY = 0x05,
	NUM_QUEUES = 0x07, COALESCING = 0x08, VECTOR_CONFIG = 0x09, WRITE_ATOMICITY = 0x0a,
	ASYNC_EVENTS = 0x0b,
};

/* The bits that a feature has, and what they are after a reset; no mask if there is none */
static const struct {
	u32 mask, def;
} features[REF_FEATURES] = {
	[ARBITRATION] = { 0xffffff07, 7 }, [POWER] = { 0xe0, 0 },
	[TEMP_THRESHOLD] = { 0xffff, WARN_TEMP }, [ERROR_RECOVERY] = { 0xffff, 0 },
	[NUM_QUEUES] = { ~0U, 0 }, [COALESCING] = { 0xffff, 0 }, [VECTOR_CONFIG] = { ~0U, 0 },
	[WRITE_ATOMICITY] = { 1, 0 }, [ASYNC_EVENTS] = { 0x11f, 0 },
};

void features_reset(struct ref *ref)
{
	for (unsigned int i = 0; i < REF_FEATURES; i++)
		ref->features[i] = features[i].def;
	ref->temp_under = 0;
	ref->vectors_cd = 0;
}

static bool has_feature(u8 fid)
{
	return fid < REF_FEATURES && features[fid].mask;
}

static u8 some_feature(struct ref *ref)
{
	return one_in(&ref->random, 16) ? next_random(&ref->random)
					: random_below(&ref->random, REF_FEATURES);
}

static u32 some_namespace(struct ref *ref, u8 fid)
{
	static const u32 odd[] = { 0, 1, 2, ALL_NAMESPACES };

	if (one_in(&ref->random, 6))
		return odd[random_below(&ref->random, ARRAY_SIZE(odd))];
	return fid == ERROR_RECOVERY;
}

/* Dword 11: any value, or one that makes sense */
static u32 some_value(struct ref *ref, u8 fid)
{
	u32 any = next_random(&ref->random);

	if (one_in(&ref->random, 6))
		return any;
	switch (fid) {
	case POWER:
		return any & 0xe0;
	case TEMP_THRESHOLD:
		return 300 + any % 20 + (any >> 31 << 20);
	case ERROR_RECOVERY:
		return any & 0xffff;
	case VECTOR_CONFIG:
		return any % NVME_VECTORS | (any >> 31 << 16);
	default:
		return any;
	}
}

static u32 temp_type(u32 value)
{
	return value >> 20 & 3;
}

static u32 temp_sensor(u32 value)
{
	return value >> 16 & 0xf;
}

static bool any_queue(const struct ref *ref)
{
	for (unsigned int i = 1; i <= NVME_MAX_IO; i++)
		if (ref->cq[i].exists)
			return true;
	return false;
}

/* The values that Set Features must refuse */
static void want_value(struct ref *ref, struct want *want, u8 fid, u32 value)
{
	bool bad = false;

	switch (fid) {
	case POWER:
		bad = value & 0x1f;
		break;
	case TEMP_THRESHOLD:
		bad = temp_type(value) > 1 || (temp_sensor(value) && temp_sensor(value) != 0xf);
		break;
	case ERROR_RECOVERY:
		bad = value & 1 << 16;
		break;
	case NUM_QUEUES:
		bad = value >> 16 == 0xffff || (value & 0xffff) == 0xffff;
		if (any_queue(ref))
			want_add(want, NVME_SEQUENCE_ERROR);
		break;
	case VECTOR_CONFIG:
		bad = (value & 0xffff) >= NVME_VECTORS;
		break;
	}
	if (bad)
		want_add(want, NVME_INVALID_FIELD);
}

static void want_set_namespace(struct want *want, u8 fid, u32 nsid)
{
	bool of_namespace = fid == ERROR_RECOVERY;

	if (nsid == ALL_NAMESPACES)
		return;
	if (nsid == 1 && !of_namespace)
		want_add(want, NVME_FEATURE_NOT_PER_NS);
	else if (nsid > 1 || (!nsid && of_namespace))
		want_add(want, NVME_INVALID_NAMESPACE);
}

static void store(struct ref *ref, u8 fid, u32 value)
{
	u32 vector = value & 0xffff;

	if (fid == TEMP_THRESHOLD && temp_type(value)) {
		ref->temp_under = vector;
	} else if (fid == VECTOR_CONFIG) {
		ref->vectors_cd &= ~(1ULL << vector);
		ref->vectors_cd |= (u64)(value >> 16 & 1) << vector;
	} else {
		ref->features[fid] = value & features[fid].mask;
	}
}

/* Is the temperature worth an event? */
static bool is_alarming(const struct ref *ref)
{
	return (ref->features[ASYNC_EVENTS] & 2) &&
	       (TEMPERATURE >= ref->features[TEMP_THRESHOLD] || TEMPERATURE <= ref->temp_under);
}

void step_set_feature(struct ref *ref)
{
	struct slot *slot = admin_begin(ref, NVME_SET_FEATURES);
	u8 fid = some_feature(ref);
	u32 value = some_value(ref, fid);
	bool save = one_in(&ref->random, 20);
	struct nvme_cqe cqe;

	slot->cmd.nsid = some_namespace(ref, fid);
	slot->cmd.cdw10 = fid | (save ? SAVE : 0);
	slot->cmd.cdw11 = value;
	if (save)
		want_add(&slot->want, NVME_FEATURE_NOT_SAVEABLE);
	if (!has_feature(fid))
		want_add(&slot->want, NVME_INVALID_FIELD);
	want_set_namespace(&slot->want, fid, slot->cmd.nsid);
	want_value(ref, &slot->want, fid, value);
	if (admin_do(ref, &cqe))
		return;
	if (fid == NUM_QUEUES && cqe.dw0 != QUEUES_GRANTED)
		slot_fail(slot, "wrong number of queues", cqe.dw0);
	if (fid != NUM_QUEUES)
		store(ref, fid, value);
	if ((fid == TEMP_THRESHOLD || fid == ASYNC_EVENTS) && is_alarming(ref))
		events_expect(ref, EVENT_SMART);
}

/* What Get Features returns; @def: the default */
static u32 value_of(struct ref *ref, u8 fid, u32 dw11, bool def)
{
	switch (fid) {
	case TEMP_THRESHOLD:
		if (temp_type(dw11))
			return def ? 0 : ref->temp_under;
		break;
	case NUM_QUEUES:
		return QUEUES_GRANTED;
	case VECTOR_CONFIG:
		return (dw11 & 0xffff) |
		       (def ? 0 : (ref->vectors_cd >> (dw11 & 0xffff) & 1) << 16);
	}
	return def ? features[fid].def : ref->features[fid];
}

static void want_get(struct want *want, u8 fid, u32 nsid, u32 select, u32 dw11)
{
	if (!has_feature(fid) || select > 3)
		want_add(want, NVME_INVALID_FIELD);
	if (fid == ERROR_RECOVERY && nsid != 1)
		want_add(want, NVME_INVALID_NAMESPACE);
	if (select == 3)
		return;
	if (fid == TEMP_THRESHOLD && (temp_type(dw11) > 1 || temp_sensor(dw11)))
		want_add(want, NVME_INVALID_FIELD);
	if (fid == VECTOR_CONFIG && (dw11 & 0xffff) >= NVME_VECTORS)
		want_add(want, NVME_INVALID_FIELD);
}

void step_get_feature(struct ref *ref)
{
	struct slot *slot = admin_begin(ref, NVME_GET_FEATURES);
	u8 fid = some_feature(ref);
	u32 select = one_in(&ref->random, 3) ? random_below(&ref->random, 5) : 0, value;
	struct nvme_cqe cqe;

	slot->cmd.nsid = some_namespace(ref, fid);
	slot->cmd.cdw10 = fid | select << 8;
	slot->cmd.cdw11 = some_value(ref, fid);
	want_get(&slot->want, fid, slot->cmd.nsid, select, slot->cmd.cdw11);
	if (admin_do(ref, &cqe))
		return;
	/* Changeable, and of a namespace */
	value = select == 3 ? (fid == ERROR_RECOVERY ? 6 : 4)
			    : value_of(ref, fid, slot->cmd.cdw11, select);
	if (cqe.dw0 != value) {
		note("the feature must be 0x%x", value);
		slot_fail(slot, "wrong feature", cqe.dw0);
	}
}
