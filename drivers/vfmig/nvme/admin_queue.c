// SPDX-License-Identifier: GPL-2.0-only
/*
 * Admin commands for queues and their commands: Create and Delete I/O Submission
 * and Completion Queue, Abort.
 */
#include <linux/nospec.h>

#include "nvme.h"

#define VFMIG_NVME_BAD_QID	(NVME_SC_QID_INVALID | NVME_STATUS_DNR)
#define VFMIG_NVME_BAD_QSIZE	(NVME_SC_QUEUE_SIZE | NVME_STATUS_DNR)

/* The ID of an I/O queue in a command; 0, the admin queue, if the ID is invalid */
static u16 io_qid(const struct vfmig_nvme *ctrl, __le16 qid_le)
{
	unsigned int qid = le16_to_cpu(qid_le), end = ctrl->queues + 1;

	return qid < end ? array_index_nospec(qid, end) : 0;
}

/**
 * struct new_queue - parameters of both Create commands
 * @base: IOVA
 * @size: entries
 */
struct new_queue {
	u64 base;
	u32 size;
};

/*
 * Check the fields that both Create commands have at the same offsets.  @entry_size is log2 of
 * the entry size that the host has set in CC, and @right the value that it must have.
 */
static u16 check_queue(const struct vfmig_nvme *ctrl, const struct nvme_create_cq *cmd,
		       unsigned int entry_size, unsigned int right, struct new_queue *queue)
{
	u16 qsize = le16_to_cpu(cmd->qsize);	/* entries less 1 */

	static_assert(offsetof(struct nvme_create_sq, prp1) == offsetof(typeof(*cmd), prp1));
	static_assert(offsetof(struct nvme_create_sq, qsize) == offsetof(typeof(*cmd), qsize));
	static_assert(offsetof(struct nvme_create_sq, sq_flags) ==
		      offsetof(typeof(*cmd), cq_flags));

	queue->base = le64_to_cpu(cmd->prp1);
	queue->size = qsize + 1;
	if ((entry_size & 0xf) != right || !qsize || queue->size > VFMIG_NVME_MAX_ENTRIES)
		return VFMIG_NVME_BAD_QSIZE;
	if (!(le16_to_cpu(cmd->cq_flags) & NVME_QUEUE_PHYS_CONTIG))
		return VFMIG_NVME_BAD_FIELD;
	if (queue->base & ((1ULL << ctrl->page_shift) - 1))
		return NVME_SC_PRP_INVALID_OFFSET | NVME_STATUS_DNR;
	return NVME_SC_SUCCESS;
}

u16 vfmig_nvme_create_cq(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	const struct nvme_create_cq *cmd = &req->cmd.create_cq;
	u16 cqid = io_qid(ctrl, cmd->cqid), vector = le16_to_cpu(cmd->irq_vector);
	struct new_queue queue;
	u16 status;

	if (!cqid || ctrl->cq[cqid].size)
		return VFMIG_NVME_BAD_QID;
	status = check_queue(ctrl, cmd, ctrl->cc >> NVME_CC_IOCQES_SHIFT, NVME_NVM_IOCQES, &queue);
	if (status)
		return status;
	if (vector >= VFMIG_NVME_VECTORS)
		return NVME_SC_INVALID_VECTOR | NVME_STATUS_DNR;
	status = vfmig_nvme_shadow_add(ctrl, 2 * cqid + 1);
	if (status)
		return status;

	ctrl->cq[cqid] = (struct vfmig_nvme_cq) {
		.base = queue.base,
		.size = queue.size,
		.vector = array_index_nospec(vector, VFMIG_NVME_VECTORS),
		.irq = le16_to_cpu(cmd->cq_flags) & NVME_CQ_IRQ_ENABLED,
		.phase = true,
	};
	return NVME_SC_SUCCESS;
}

u16 vfmig_nvme_create_sq(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	const struct nvme_create_sq *cmd = &req->cmd.create_sq;
	u16 sqid = io_qid(ctrl, cmd->sqid), cqid = io_qid(ctrl, cmd->cqid);
	struct new_queue queue;
	u16 status;

	if (!sqid || ctrl->sq[sqid].size || !cqid)
		return VFMIG_NVME_BAD_QID;
	if (!ctrl->cq[cqid].size)
		return NVME_SC_CQ_INVALID | NVME_STATUS_DNR;
	status = check_queue(ctrl, &req->cmd.create_cq, ctrl->cc >> NVME_CC_IOSQES_SHIFT,
			     NVME_NVM_IOSQES, &queue);
	if (!status)
		status = vfmig_nvme_shadow_add(ctrl, 2 * sqid);
	if (status)
		return status;

	ctrl->sq[sqid] = (struct vfmig_nvme_sq) {
		.base = queue.base,
		.size = queue.size,
		.cqid = cqid,
	};
	return NVME_SC_SUCCESS;
}

u16 vfmig_nvme_delete_cq(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	u16 cqid = io_qid(ctrl, req->cmd.delete_queue.qid);
	struct vfmig_nvme_req *done, *next;

	if (!cqid || !ctrl->cq[cqid].size)
		return VFMIG_NVME_BAD_QID;
	for (unsigned int i = 1; i < VFMIG_NVME_QUEUES; i++)
		if (ctrl->sq[i].size && ctrl->sq[i].cqid == cqid)
			return NVME_SC_INVALID_QUEUE | NVME_STATUS_DNR;

	/* Drop completions of a deleted submission queue that were not posted yet */
	list_for_each_entry_safe(done, next, &ctrl->done, entry)
		if (done->cqid == cqid)
			vfmig_nvme_put_req(ctrl, done);

	vfmig_nvme_release_irq(ctrl, ctrl->cq[cqid].vector);
	ctrl->cq[cqid] = (struct vfmig_nvme_cq) {};
	return NVME_SC_SUCCESS;
}

u16 vfmig_nvme_delete_sq(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	u16 sqid = io_qid(ctrl, req->cmd.delete_queue.qid);
	struct vfmig_nvme_req *waiting, *next;

	if (!sqid || !ctrl->sq[sqid].size)
		return VFMIG_NVME_BAD_QID;

	list_for_each_entry_safe(waiting, next, &ctrl->waiting, entry)
		if (waiting->sqid == sqid)
			vfmig_nvme_complete(ctrl, waiting, NVME_SC_ABORT_QUEUE);

	ctrl->sq[sqid] = (struct vfmig_nvme_sq) {};
	return NVME_SC_SUCCESS;
}

static struct vfmig_nvme_req *find_req(struct list_head *list, u16 sqid, u16 command_id)
{
	struct vfmig_nvme_req *req;

	list_for_each_entry(req, list, entry)
		if (req->sqid == sqid && req->cmd.common.command_id == command_id)
			return req;
	return NULL;
}

u16 vfmig_nvme_abort(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	u16 sqid = le16_to_cpu(req->cmd.abort.sqid), cid = req->cmd.abort.cid;
	struct vfmig_nvme_req *victim;

	if (sqid >= VFMIG_NVME_QUEUES)
		return VFMIG_NVME_BAD_FIELD;
	sqid = array_index_nospec(sqid, VFMIG_NVME_QUEUES);
	if (!ctrl->sq[sqid].size)
		return VFMIG_NVME_BAD_FIELD;

	victim = find_req(sqid ? &ctrl->waiting : &ctrl->aers, sqid, cid);
	if (victim)
		vfmig_nvme_complete(ctrl, victim, NVME_SC_ABORT_REQ);

	/* Bit 0: the command was not aborted */
	req->result = !victim;
	return NVME_SC_SUCCESS;
}
