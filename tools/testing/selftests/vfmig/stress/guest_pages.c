// SPDX-License-Identifier: GPL-2.0-only
/* Identify and Get Log Page: what they refuse, and what stays the same */
#include <string.h>

#include "guest_ref.h"

#define ALL_NAMESPACES	0xffffffff
#define TRANSFER_MAX	KIB(512)
#define NUSE		16	/* in the data of a namespace: what is in use changes */
#define CNTLID		78

static const u32 namespaces[] = { 0, 1, 1, 1, 2, 0xfffffffd, 0xfffffffe, ALL_NAMESPACES };

static void want_namespace(struct slot *slot)
{
	if (slot->cmd.nsid != 1)
		want_add(&slot->want, NVME_INVALID_NAMESPACE);
}

/* Each sets what a structure must be, and what must be refused */
static void want_ns(struct ref *ref, struct slot *slot, u8 *page)
{
	want_namespace(slot);
	memcpy(page, ref->id_ns, PAGE);
}

static void want_ctrl(struct ref *ref, struct slot *slot, u8 *page)
{
	memcpy(page, ref->id_ctrl, PAGE);
}

static void want_ns_list(struct ref *ref, struct slot *slot, u8 *page)
{
	if (slot->cmd.nsid >= 0xfffffffe)
		want_add(&slot->want, NVME_INVALID_NAMESPACE);
	page[0] = !slot->cmd.nsid;
}

static void want_descriptors(struct ref *ref, struct slot *slot, u8 *page)
{
	static const u8 nguid[] = { 2, 16 }, eui64[] = { 1, 8 };

	want_namespace(slot);
	memcpy(page, nguid, sizeof(nguid));
	memcpy(page + 4, ref->id_ns + 104, 16);
	memcpy(page + 20, eui64, sizeof(eui64));
	memcpy(page + 24, ref->id_ns + 120, 8);
}

static void want_nvm(struct slot *slot)
{
	/* The NVM command set has identifier 0 */
	if (slot->cmd.cdw11 >> 24)
		want_add(&slot->want, NVME_INVALID_FIELD);
}

static void want_nvm_ns(struct ref *ref, struct slot *slot, u8 *page)
{
	want_nvm(slot);
	want_namespace(slot);
}

static void want_nvm_ctrl(struct ref *ref, struct slot *slot, u8 *page)
{
	want_nvm(slot);
	memcpy(page, ref->id_nvm, PAGE);
}

static void want_ctrl_list(struct ref *ref, struct slot *slot, u8 *page)
{
	u16 id = ref->id_ctrl[CNTLID] | ref->id_ctrl[CNTLID + 1] << 8;

	if (slot->cmd.cdw10 >> 16 > id)
		return;
	page[0] = 1;
	memcpy(page + 2, &id, sizeof(id));
}

static void want_ns_ctrl_list(struct ref *ref, struct slot *slot, u8 *page)
{
	want_namespace(slot);
	want_ctrl_list(ref, slot, page);
}

static void (*const structures[])(struct ref *ref, struct slot *slot, u8 *page) = {
	[0x00] = want_ns, [0x01] = want_ctrl, [0x02] = want_ns_list, [0x03] = want_descriptors,
	[0x05] = want_nvm_ns, [0x06] = want_nvm_ctrl, [0x10] = want_ns_list, [0x11] = want_ns,
	[0x12] = want_ns_ctrl_list, [0x13] = want_ctrl_list,
};

static void check_page(const struct slot *slot, const u8 *page, u32 len)
{
	static u8 got[TRANSFER_MAX];

	slot_get(slot, 0, got, len);
	for (u32 i = 0; i < len; i++)
		if (got[i] != page[i])
			slot_fail(slot, "wrong data, at byte", i);
	if (!slot_margins_are_intact(slot))
		slot_fail(slot, "written beyond the data", NVME_OK);
}

void step_identify(struct ref *ref)
{
	struct slot *slot = admin_begin(ref, NVME_IDENTIFY);
	u8 cns = one_in(&ref->random, 10) ? next_random(&ref->random)
					  : random_below(&ref->random, ARRAY_SIZE(structures));
	u8 page[PAGE] = {}, nuse[8];
	struct nvme_cqe cqe;

	slot->cmd.nsid = namespaces[random_below(&ref->random, ARRAY_SIZE(namespaces))];
	slot->cmd.cdw10 = cns | random_below(&ref->random, 3) << 16;
	slot->cmd.cdw11 = one_in(&ref->random, 8) ? next_random(&ref->random) : 0;
	if (cns < ARRAY_SIZE(structures) && structures[cns])
		structures[cns](ref, slot, page);
	else
		want_add(&slot->want, NVME_INVALID_FIELD);
	slot_set_prps(slot, &ref->land, &ref->random, PAGE, true, PRP_SOMETIMES_BAD);
	slot_poison(slot);
	if (admin_do(ref, &cqe))
		return;
	if (cns == 0x00 || cns == 0x11) {
		slot_get(slot, NUSE, nuse, sizeof(nuse));
		memcpy(page + NUSE, nuse, sizeof(nuse));
	}
	check_page(slot, page, PAGE);
}

/* Log pages, their sizes, and how many bytes of them are known */
static const struct {
	u8 lid;
	u32 size, known;
} logs[] = {
	{ 0x01, 1024, 0 }, { 0x02, 512, 0 }, { 0x03, 512, 512 }, { 0x04, 4096, 4096 },
	{ 0x05, 4096, 4096 }, { 0x81, 512, 2 },
};

/* What is known of log page @lid; the rest is zeroes */
static void fill_log(struct ref *ref, u8 lid, u8 *page)
{
	switch (lid) {
	case 0x03:
		page[0] = 1;
		memcpy(page + 8, ref->id_ctrl + 64, 8);
		break;
	case 0x05:
		memcpy(page, ref->effects, PAGE);
		break;
	case 0x81:
		page[0] = 0xff;
		page[1] = 0xff;
		break;
	}
}

static unsigned int some_log(struct ref *ref)
{
	return random_below(&ref->random, ARRAY_SIZE(logs));
}

static u32 some_length(struct ref *ref)
{
	switch (random_below(&ref->random, 10)) {
	case 0:
		return 4 * (1 + random_below(&ref->random, TRANSFER_MAX / 4));
	case 1:
		return TRANSFER_MAX + 4 * (1 + random_below(&ref->random, 100000));
	default:
		return 4 * (1 + random_below(&ref->random, 1024));
	}
}

static u64 some_offset(struct ref *ref, u32 size)
{
	switch (random_below(&ref->random, 10)) {
	case 0:
		return next_random(&ref->random);
	case 1:
		return random_below(&ref->random, size);
	case 2:
		return size;
	case 3:
	case 4:
		return random_below(&ref->random, size) & ~3;
	default:
		return 0;
	}
}

static void want_log(struct slot *slot, u8 lid, u32 size, u64 offset, u32 len)
{
	u32 nsid = slot->cmd.nsid;

	if (nsid == 1 && lid == 0x02)
		want_add(&slot->want, NVME_INVALID_FIELD);
	else if (nsid > 1 && nsid != ALL_NAMESPACES)
		want_add(&slot->want, NVME_INVALID_NAMESPACE);
	if (offset > size || offset & 3 || len > TRANSFER_MAX)
		want_add(&slot->want, NVME_INVALID_FIELD);
}

/* What is known of the data is right, and there is nothing behind the log page */
static void check_log(struct ref *ref, struct slot *slot, unsigned int i, u64 offset, u32 len)
{
	static u8 page[PAGE + TRANSFER_MAX];
	u32 known = logs[i].known > offset ? logs[i].known - offset : 0;
	u32 end = logs[i].size - offset;

	memset(page, 0, sizeof(page));
	fill_log(ref, logs[i].lid, page);
	if (known < len && known < end)
		slot_get(slot, known, page + offset + known, (end < len ? end : len) - known);
	check_page(slot, page + offset, len);
}

void step_log(struct ref *ref)
{
	struct slot *slot = admin_begin(ref, NVME_GET_LOG);
	unsigned int i = some_log(ref);
	u32 len = some_length(ref), words = len / 4 - 1;
	u64 offset = some_offset(ref, logs[i].size);
	bool retain = one_in(&ref->random, 2);
	u8 lid = logs[i].lid;
	struct nvme_cqe cqe;

	if (one_in(&ref->random, 20)) {
		/* Those of a namespace management, of fabrics, or reserved */
		lid = 0x06 + random_below(&ref->random, 0x70);
		want_add(&slot->want, NVME_INVALID_LOG_PAGE);
	}
	slot->cmd.nsid = one_in(&ref->random, 4) ? random_below(&ref->random, 4) : ALL_NAMESPACES;
	slot->cmd.cdw10 = words << 16 | retain << 15 | lid;
	slot->cmd.cdw11 = words >> 16;
	slot->cmd.cdw12 = offset;
	slot->cmd.cdw13 = offset >> 32;
	want_log(slot, lid, logs[i].size, offset, len);
	if (len <= TRANSFER_MAX) {
		slot_set_prps(slot, &ref->land, &ref->random, len, true, PRP_SOMETIMES_BAD);
		slot_poison(slot);
	}
	if (admin_do(ref, &cqe))
		return;
	if (!retain)
		events_log_read(ref, lid);
	check_log(ref, slot, i, offset, len);
}

/* What the log of effects says must be what the driver finds */
static void check_effects(struct ref *ref)
{
	static const u8 admin[] = {
		NVME_DELETE_SQ, NVME_CREATE_SQ, NVME_GET_LOG, NVME_DELETE_CQ, NVME_CREATE_CQ,
		NVME_IDENTIFY, NVME_ABORT, NVME_SET_FEATURES, NVME_GET_FEATURES, NVME_AER,
		NVME_DOORBELL_BUFFER, NVME_FORMAT_NVM, NVME_SANITIZE,
	};
	static const u8 io[] = {
		NVME_FLUSH, NVME_WRITE, NVME_READ, NVME_COMPARE, NVME_WRITE_ZEROES, NVME_DSM,
	};
	unsigned int n = 0;
	const u32 *log = (void *)ref->effects;

	for (unsigned int i = 0; i < 512; i++)
		n += log[i] & 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(admin); i++)
		n -= log[admin[i]] & 1;
	for (unsigned int i = 0; i < ARRAY_SIZE(io); i++)
		n -= log[256 + io[i]] & 1;
	if (n)
		fail(__FILE__, __LINE__, "%u more commands are supported than are known", n);
}

void pages_read(struct ref *ref)
{
	u8 *page = ref->admin.data;
	struct nvme *nvme = ref->nvme;

	must(!nvme_identify(nvme, 0x00, 1, page));
	memcpy(ref->id_ns, page, PAGE);
	must(!nvme_identify(nvme, 0x01, 0, page));
	memcpy(ref->id_ctrl, page, PAGE);
	must(!nvme_identify(nvme, 0x06, 0, page));
	memcpy(ref->id_nvm, page, PAGE);
	must(!nvme_get_log(nvme, 0x05, page, PAGE));
	memcpy(ref->effects, page, PAGE);
	check_effects(ref);
}

/* Host Read Commands and Host Write Commands */
static void read_counters(struct ref *ref, u64 *reads, u64 *writes)
{
	must(!nvme_get_log(ref->nvme, 0x02, ref->admin.data, 512));
	memcpy(reads, ref->admin.data + 64, sizeof(*reads));
	memcpy(writes, ref->admin.data + 80, sizeof(*writes));
}

void pages_read_counters(struct ref *ref)
{
	read_counters(ref, &ref->reads_before, &ref->writes_before);
	ref->reads = 0;
	ref->writes = 0;
	ref->unsure = 0;
}

void pages_check_counters(struct ref *ref)
{
	u64 reads, writes;

	read_counters(ref, &reads, &writes);
	reads -= ref->reads_before;
	writes -= ref->writes_before;
	if (reads - ref->reads > ref->unsure)
		fail(__FILE__, __LINE__, "SMART log: %llu reads, not %llu (or up to %llu more)",
		     reads, ref->reads, ref->unsure);
	if (writes - ref->writes > ref->unsure)
		fail(__FILE__, __LINE__, "SMART log: %llu writes, not %llu (or up to %llu more)",
		     writes, ref->writes, ref->unsure);
}
