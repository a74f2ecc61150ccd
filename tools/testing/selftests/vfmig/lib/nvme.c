// SPDX-License-Identifier: GPL-2.0-only
/* See nvme.h; queue 1 is what the helpers for the medium use */
#include "bells.h"
#include "shadow.h"
#include "nvme.h"

#include <errno.h>
#include <string.h>

#define ADMIN_DEPTH	64

static u64 cap_field(u64 cap, unsigned int shift, unsigned int bits)
{
	return cap >> shift & ((1ULL << bits) - 1);
}

/* Entries that there is memory for at least, so that a queue can be made anew and deeper */
#define NVME_ROOM	256

static void queue_alloc(struct nvme *nvme, struct nvme_queue *q, u16 id, u16 depth)
{
	if (!q->sq) {
		q->room = depth > NVME_ROOM ? depth : NVME_ROOM;
		q->sq = arena_alloc(nvme->mem, q->room * sizeof(*q->sq));
		q->cq = arena_alloc(nvme->mem, q->room * sizeof(*q->cq));
	}
	must(depth <= q->room);
	memset(q->sq, 0, q->room * sizeof(*q->sq));
	memset(q->cq, 0, q->room * sizeof(*q->cq));
	q->id = id;
	q->depth = depth;
	q->tail = 0;
	q->rung = 0;
	q->head = 0;
	q->phase = 1;
	q->stashed = 0;
}

static u32 reg_read32(struct nvme *nvme, u64 offset)
{
	return nvme->regs ? regs_load(nvme->regs, offset) : bar_read32(nvme->dev, offset);
}

static void reg_write32(struct nvme *nvme, u64 offset, u32 value)
{
	if (nvme->regs)
		regs_store(nvme->regs, offset, value);
	else
		bar_write32(nvme->dev, offset, value);
}

static void reg_write64(struct nvme *nvme, u64 offset, u64 value)
{
	if (nvme->regs)
		regs_store64(nvme->regs, offset, value);
	else
		bar_write64(nvme->dev, offset, value);
}

static bool is_lost(struct nvme *nvme)
{
	return nvme->lost && nvme->lost(nvme);
}

int nvme_disable(struct nvme *nvme)
{
	reg_write32(nvme, NVME_CC, reg_read32(nvme, NVME_CC) & ~(NVME_CC_EN | NVME_CC_SHN_MASK));
	return wait_until(!(reg_read32(nvme, NVME_CSTS) & NVME_CSTS_RDY)) ? 0 : -ETIMEDOUT;
}

int nvme_enable(struct nvme *nvme)
{
	/* A reset has ended them */
	nvme->shadow = NULL;
	queue_alloc(nvme, &nvme->admin, 0, ADMIN_DEPTH);
	for (int i = 1; i <= NVME_MAX_IO; i++)
		nvme->io[i].depth = 0;
	reg_write32(nvme, NVME_AQA, (ADMIN_DEPTH - 1) << 16 | (ADMIN_DEPTH - 1));
	reg_write64(nvme, NVME_ASQ, arena_iova(nvme->mem, nvme->admin.sq));
	reg_write64(nvme, NVME_ACQ, arena_iova(nvme->mem, nvme->admin.cq));
	/* 4 KiB pages, entries of 64 and 16 bytes */
	reg_write32(nvme, NVME_CC, 4 << 20 | 6 << 16 | NVME_CC_EN);
	if (!wait_until((reg_read32(nvme, NVME_CSTS) & NVME_CSTS_RDY) || is_lost(nvme)))
		return -ETIMEDOUT;
	return is_lost(nvme) ? -ECANCELED : 0;
}

void nvme_restart(struct nvme *nvme)
{
	u8 *id;

	vfio_bus_master(nvme->dev, true);
	must(!nvme_disable(nvme));
	must(!nvme_enable(nvme));
	if (nvme->lbas)
		return;

	id = arena_alloc(nvme->mem, PAGE);
	must(!nvme_identify(nvme, 0x01, 0, id));
	nvme->max_transfer = id[77] ? PAGE << id[77] : MIB(1);
	must(!nvme_identify(nvme, 0x00, 1, id));
	memcpy(&nvme->lbas, id, sizeof(nvme->lbas));
	nvme->lba_size = 1U << id[128 + 4 * (id[26] & 0xf) + 2];
	must(nvme->lbas);
}

void nvme_init(struct nvme *nvme, struct vfio_dev *dev, struct arena *mem)
{
	memset(nvme, 0, sizeof(*nvme));
	nvme->dev = dev;
	nvme->mem = mem;
	nvme->cap = bar_read64(dev, NVME_CAP);
	nvme_restart(nvme);
}

void nvme_doorbell(struct nvme *nvme, u16 qid, bool cq, u32 value)
{
	u64 stride = 4ULL << cap_field(nvme->cap, 32, 4);
	u64 offset = (2 * qid + cq) * stride;

	if (nvme->bells)
		bells_store(nvme->bells, offset / sizeof(*nvme->bells), value);
	else
		bar_write32(nvme->dev, NVME_DOORBELLS + offset, value);
}

u16 nvme_submit(struct nvme *nvme, struct nvme_queue *q, const struct nvme_cmd *cmd)
{
	struct nvme_cmd *slot = &q->sq[q->tail];

	must(q->depth);
	*slot = *cmd;
	slot->cid = nvme->next_cid++;
	if (nvme->next_cid == 0xffff)
		nvme->next_cid = 0;
	q->tail = (q->tail + 1) % q->depth;
	return slot->cid;
}

/* A doorbell of @q goes from @old to @value.  With shadow doorbells the device may not want it. */
static void tell(struct nvme *nvme, struct nvme_queue *q, bool cq, u16 old, u16 value)
{
	if (!nvme->shadow || !q->id || shadow_store(nvme->shadow, 2 * q->id + cq, old, value))
		nvme_doorbell(nvme, q->id, cq, value);
}

void nvme_ring(struct nvme *nvme, struct nvme_queue *q)
{
	u16 old = q->rung;

	q->rung = q->tail;
	__sync_synchronize();
	tell(nvme, q, false, old, q->tail);
}

u16 nvme_cqe_status(struct nvme_queue *q, u16 entry)
{
	return __atomic_load_n(&q->cq[entry].status, __ATOMIC_ACQUIRE);
}

static bool queue_has(struct nvme_queue *q, u16 head, u8 phase)
{
	return q->depth && (nvme_cqe_status(q, head) & 1) == phase;
}

unsigned int nvme_peek(struct nvme_queue *q)
{
	unsigned int n = 0;
	u16 head = q->head;
	u8 phase = q->phase;

	while (n < q->depth && queue_has(q, head, phase)) {
		n++;
		if (++head == q->depth) {
			head = 0;
			phase ^= 1;
		}
	}
	return n;
}

void nvme_reap(struct nvme *nvme, struct nvme_queue *q)
{
	u16 old = q->head;

	while (queue_has(q, q->head, q->phase)) {
		must(q->stashed < NVME_STASH);
		q->stash[q->stashed++] = q->cq[q->head];
		if (++q->head == q->depth) {
			q->head = 0;
			q->phase ^= 1;
		}
	}
	if (q->head != old)
		tell(nvme, q, true, old, q->head);
}

unsigned int nvme_count(struct nvme_queue *q, u16 cid)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < q->stashed; i++)
		n += q->stash[i].cid == cid;
	return n;
}

bool nvme_take(struct nvme_queue *q, u16 cid, struct nvme_cqe *cqe)
{
	for (unsigned int i = 0; i < q->stashed; i++) {
		if (q->stash[i].cid != cid)
			continue;
		if (cqe)
			*cqe = q->stash[i];
		q->stash[i] = q->stash[--q->stashed];
		return true;
	}
	return false;
}

/* Has it come, or is it not to come any more? */
static bool is_over(struct nvme *nvme, struct nvme_queue *q, u16 cid, struct nvme_cqe *cqe,
		    bool *done)
{
	nvme_reap(nvme, q);
	*done = nvme_take(q, cid, cqe);
	return *done || is_lost(nvme);
}

int nvme_wait(struct nvme *nvme, struct nvme_queue *q, u16 cid, struct nvme_cqe *cqe)
{
	struct nvme_cqe local;
	bool done;

	if (!cqe)
		cqe = &local;
	if (!wait_until(is_over(nvme, q, cid, cqe, &done)))
		return -ETIMEDOUT;
	return done ? cqe->status >> 1 & 0x7ff : -ECANCELED;
}

int nvme_sync(struct nvme *nvme, struct nvme_queue *q, const struct nvme_cmd *cmd,
	      struct nvme_cqe *cqe)
{
	u16 cid = nvme_submit(nvme, q, cmd);

	nvme_ring(nvme, q);
	return nvme_wait(nvme, q, cid, cqe);
}

int nvme_admin(struct nvme *nvme, struct nvme_cmd cmd)
{
	return nvme_sync(nvme, &nvme->admin, &cmd, NULL);
}

int nvme_io(struct nvme *nvme, struct nvme_cmd cmd)
{
	return nvme_sync(nvme, &nvme->io[1], &cmd, NULL);
}

void nvme_set_prps(struct nvme *nvme, struct nvme_queue *q, struct nvme_cmd *cmd, void *buf,
		   size_t len)
{
	u64 iova = arena_iova(nvme->mem, buf);
	size_t first = PAGE - iova % PAGE;
	u64 *list;

	cmd->prp1 = iova;
	cmd->prp2 = 0;
	if (len <= first)
		return;
	iova += first;
	len -= first;
	if (len <= PAGE) {
		cmd->prp2 = iova;
		return;
	}
	must(len <= PAGE * (PAGE / sizeof(*list)));
	if (!q->lists)
		q->lists = arena_alloc(nvme->mem, 16 * PAGE);
	list = (u64 *)(q->lists + q->tail % 16 * PAGE);
	cmd->prp2 = arena_iova(nvme->mem, list);
	for (; len > PAGE; iova += PAGE, len -= PAGE)
		*list++ = iova;
	*list = iova;
}

int nvme_create_cq(struct nvme *nvme, u16 qid, u16 depth, int vector, u64 iova)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_CREATE_CQ,
		.prp1 = iova,
		.cdw10 = (u32)(u16)(depth - 1) << 16 | qid,
		.cdw11 = 1 | (vector >= 0 ? 2 | (u32)vector << 16 : 0),
	};

	return nvme_sync(nvme, &nvme->admin, &cmd, NULL);
}

int nvme_create_sq(struct nvme *nvme, u16 qid, u16 depth, u16 cqid, u64 iova)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_CREATE_SQ,
		.prp1 = iova,
		.cdw10 = (u32)(u16)(depth - 1) << 16 | qid,
		.cdw11 = 1 | (u32)cqid << 16,
	};

	return nvme_sync(nvme, &nvme->admin, &cmd, NULL);
}

int nvme_delete_cq(struct nvme *nvme, u16 qid)
{
	struct nvme_cmd cmd = { .opcode = NVME_DELETE_CQ, .cdw10 = qid };

	return nvme_sync(nvme, &nvme->admin, &cmd, NULL);
}

int nvme_delete_sq(struct nvme *nvme, u16 qid)
{
	struct nvme_cmd cmd = { .opcode = NVME_DELETE_SQ, .cdw10 = qid };

	return nvme_sync(nvme, &nvme->admin, &cmd, NULL);
}

int nvme_create_io(struct nvme *nvme, u16 qid, u16 depth, int vector)
{
	struct nvme_queue *q = &nvme->io[qid];
	int status;

	queue_alloc(nvme, q, qid, depth);
	status = nvme_create_cq(nvme, qid, depth, vector, arena_iova(nvme->mem, q->cq));
	if (!status)
		status = nvme_create_sq(nvme, qid, depth, qid, arena_iova(nvme->mem, q->sq));
	if (status)
		q->depth = 0;
	return status;
}

int nvme_identify(struct nvme *nvme, u8 cns, u32 nsid, void *buf)
{
	struct nvme_cmd cmd = { .opcode = NVME_IDENTIFY, .nsid = nsid, .cdw10 = cns };

	nvme_set_prps(nvme, &nvme->admin, &cmd, buf, PAGE);
	return nvme_sync(nvme, &nvme->admin, &cmd, NULL);
}

int nvme_get_log(struct nvme *nvme, u8 lid, void *buf, size_t len)
{
	struct nvme_cmd cmd = {
		.opcode = NVME_GET_LOG,
		.nsid = 0xffffffff,
		.cdw10 = (u32)(len / 4 - 1) << 16 | lid,
	};

	nvme_set_prps(nvme, &nvme->admin, &cmd, buf, len);
	return nvme_sync(nvme, &nvme->admin, &cmd, NULL);
}

int nvme_get_feature(struct nvme *nvme, u8 fid, u32 *value)
{
	struct nvme_cmd cmd = { .opcode = NVME_GET_FEATURES, .cdw10 = fid };
	struct nvme_cqe cqe = {};
	int status;

	status = nvme_sync(nvme, &nvme->admin, &cmd, &cqe);
	*value = cqe.dw0;
	return status;
}

int nvme_set_feature(struct nvme *nvme, u8 fid, u32 value)
{
	struct nvme_cmd cmd = { .opcode = NVME_SET_FEATURES, .cdw10 = fid, .cdw11 = value };

	return nvme_sync(nvme, &nvme->admin, &cmd, NULL);
}

struct nvme_cmd nvme_rw_cmd(u8 opcode, u64 slba, u32 blocks)
{
	return (struct nvme_cmd){
		.opcode = opcode,
		.nsid = 1,
		.cdw10 = (u32)slba,
		.cdw11 = slba >> 32,
		.cdw12 = (blocks - 1) & 0xffff,
	};
}

int nvme_rw(struct nvme *nvme, struct nvme_queue *q, u8 opcode, u64 slba, u32 blocks, void *buf)
{
	struct nvme_cmd cmd = nvme_rw_cmd(opcode, slba, blocks);

	if (buf)
		nvme_set_prps(nvme, q, &cmd, buf, (size_t)blocks * nvme->lba_size);
	return nvme_sync(nvme, q, &cmd, NULL);
}

u16 nvme_start_rw(struct nvme *nvme, struct nvme_queue *q, u8 opcode, u64 slba, void *buf)
{
	struct nvme_cmd cmd = nvme_rw_cmd(opcode, slba, 8);
	u16 cid;

	nvme_set_prps(nvme, q, &cmd, buf, PAGE);
	cid = nvme_submit(nvme, q, &cmd);
	nvme_ring(nvme, q);
	return cid;
}

u16 nvme_submit_read(struct nvme *nvme, struct nvme_queue *q, u64 slba, u32 blocks, u64 iova)
{
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, slba, blocks);
	u64 second = (iova & ~(PAGE - 1)) + PAGE, end = iova + (u64)blocks * nvme->lba_size;

	must(end <= second + PAGE);
	cmd.prp1 = iova;
	cmd.prp2 = end > second ? second : 0;
	return nvme_submit(nvme, q, &cmd);
}

static void rw_bytes(struct nvme *nvme, u8 opcode, u64 offset, u8 *buf, size_t len)
{
	size_t most = nvme->max_transfer < KIB(256) ? nvme->max_transfer : KIB(256);

	must(!(offset % nvme->lba_size) && !(len % nvme->lba_size));
	while (len) {
		size_t n = len < most ? len : most;

		must(!nvme_rw(nvme, &nvme->io[1], opcode, offset / nvme->lba_size,
			      n / nvme->lba_size, buf));
		offset += n;
		buf += n;
		len -= n;
	}
}

void nvme_write_bytes(struct nvme *nvme, u64 offset, void *buf, size_t len)
{
	rw_bytes(nvme, NVME_WRITE, offset, buf, len);
}

void nvme_read_bytes(struct nvme *nvme, u64 offset, void *buf, size_t len)
{
	rw_bytes(nvme, NVME_READ, offset, buf, len);
}

struct nvme_cmd nvme_deallocate_cmd(struct nvme *nvme, struct nvme_queue *q, u64 slba,
				    u32 blocks, unsigned int ranges)
{
	struct nvme_cmd cmd = { .opcode = NVME_DSM, .nsid = 1, .cdw11 = 1 << 2 };
	struct { u32 attr, blocks; u64 slba; } *range;

	if (!q->lists)
		q->lists = arena_alloc(nvme->mem, 16 * PAGE);
	range = (void *)(q->lists + q->tail % 16 * PAGE);
	for (unsigned int i = 0; i < ranges; i++) {
		range[i].attr = 0;
		range[i].blocks = blocks / ranges;
		range[i].slba = slba + i * (blocks / ranges);
	}
	cmd.cdw10 = ranges - 1;
	cmd.prp1 = arena_iova(nvme->mem, range);
	return cmd;
}

int nvme_deallocate(struct nvme *nvme, u64 slba, u32 blocks)
{
	struct nvme_queue *q = &nvme->io[1];
	struct nvme_cmd cmd = nvme_deallocate_cmd(nvme, q, slba, blocks, 1);

	return nvme_sync(nvme, q, &cmd, NULL);
}

void nvme_deallocate_all(struct nvme *nvme)
{
	must(!nvme_deallocate(nvme, 0, nvme->lbas));
}
