// SPDX-License-Identifier: GPL-2.0-only
/*
 * Queues: doorbells, fetching commands, posting completions; and the worker's turn.
 *
 * A command is fetched if there is room for its completion and a free request.  It
 * is executed at once or when it is due.  Commands that zero or deallocate are
 * executed in pieces, and wait between the pieces.
 *
 * If something can't be done now, because bus master is off, or for lack of memory
 * or of room in a queue, the command stays where it is: in its submission queue,
 * waiting, or done and not posted.  Each of these is part of the migration state.
 */
#include <linux/sched.h>
#include <linux/timekeeping.h>

#include "nvme.h"

#define VFMIG_NVME_BATCH	32	/* commands before the worker reads the registers again */
/* Data of a command that a vCPU executes in its access, at most */
#define VFMIG_NVME_BRIEF_BYTES	SZ_16K

/**
 * struct pass - commands that are executed with the lock held once
 * @budget: number of commands that are left
 * @brief: a vCPU waits: execute only commands that are over soon
 * @progress: a command was fetched in this round
 */
struct pass {
	unsigned int budget;
	bool brief;
	bool progress;
};

static bool must_stop(const struct vfmig_nvme *ctrl)
{
	return ctrl->stalled || !vfmig_nvme_ready(ctrl);
}

static struct list_head *stage_list(struct vfmig_nvme *ctrl, enum vfmig_nvme_stage stage)
{
	switch (stage) {
	case VFMIG_NVME_WAITING:
		return &ctrl->waiting;
	case VFMIG_NVME_EVENT:
		return &ctrl->aers;
	case VFMIG_NVME_DONE:
		return &ctrl->done;
	default:
		return &ctrl->free;
	}
}

/* Drop all commands */
void vfmig_nvme_init_reqs(struct vfmig_nvme *ctrl)
{
	INIT_LIST_HEAD(&ctrl->free);
	INIT_LIST_HEAD(&ctrl->waiting);
	INIT_LIST_HEAD(&ctrl->aers);
	INIT_LIST_HEAD(&ctrl->done);
	WRITE_ONCE(ctrl->nr_reqs, 0);
	ctrl->nr_events = 0;

	for (unsigned int i = 0; i < VFMIG_NVME_MAX_REQS; i++) {
		ctrl->reqs[i].stage = VFMIG_NVME_FREE;
		list_add_tail(&ctrl->reqs[i].entry, &ctrl->free);
	}
}

/* Take a request from the free list, or return NULL; it is in no list then */
struct vfmig_nvme_req *vfmig_nvme_get_req(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_req *req;

	req = list_first_entry_or_null(&ctrl->free, struct vfmig_nvme_req, entry);
	if (!req)
		return NULL;
	list_del_init(&req->entry);
	req->result = 0;
	req->done = 0;
	req->tries = 0;
	WRITE_ONCE(ctrl->nr_reqs, ctrl->nr_reqs + 1);
	return req;
}

void vfmig_nvme_move_req(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req,
			 enum vfmig_nvme_stage stage)
{
	ctrl->nr_events -= req->stage == VFMIG_NVME_EVENT;
	ctrl->nr_events += stage == VFMIG_NVME_EVENT;
	req->stage = stage;
	list_move_tail(&req->entry, stage_list(ctrl, stage));
}

void vfmig_nvme_put_req(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	vfmig_nvme_move_req(ctrl, req, VFMIG_NVME_FREE);
	WRITE_ONCE(ctrl->nr_reqs, ctrl->nr_reqs - 1);
}

static u32 free_entries(const struct vfmig_nvme_cq *cq)
{
	return cq->size - 1 - vfmig_nvme_distance(cq->head, cq->tail, cq->size);
}

/* Room in completion queue @cqid.  If there is none, somebody waits for it. */
static u32 cq_room(struct vfmig_nvme *ctrl, unsigned int cqid)
{
	const struct vfmig_nvme_cq *cq = &ctrl->cq[cqid];

	/* Once in a turn */
	if (!free_entries(cq) && !test_bit(cqid, ctrl->full))
		vfmig_nvme_shadow_head(ctrl, cqid, false);
	if (!free_entries(cq))
		__set_bit(cqid, ctrl->full);
	return free_entries(cq);
}

/* Completions that are posted by one write: as many as vfmig_fn_dma_write() keeps in order */
#define VFMIG_NVME_POST		(VFMIG_DMA_ORDERED / sizeof(struct nvme_completion))

static struct nvme_completion completion(const struct vfmig_nvme_req *req, bool phase)
{
	return (struct nvme_completion) {
		.result.u32 = cpu_to_le32(req->result),
		.sq_head = cpu_to_le16(req->sq_head),
		.sq_id = cpu_to_le16(req->sqid),
		.command_id = req->cmd.common.command_id,
		.status = cpu_to_le16(req->status << 1 | phase),
	};
}

/*
 * Post up to @max completions of one queue, for @req and those that follow it in the list; returns
 * how many, or 0 if that can't be done now.  The guest must not see the phase tag, which is in the
 * second half of an entry, before the rest of it, nor an entry before those of lower addresses.
 * vfmig_fn_dma_write() guarantees the order.  A write within a host page fails as a whole.
 */
static unsigned int post_entries(struct vfmig_nvme *ctrl, const struct vfmig_nvme_cq *cq,
				 const struct vfmig_nvme_req *req, unsigned int max)
{
	struct nvme_completion cqes[VFMIG_NVME_POST];
	u64 iova = cq->base + (u64)cq->tail * sizeof(*cqes);
	unsigned int n = 0, cqid = req->cqid;
	int ret;

	max = min3(max, (unsigned int)ARRAY_SIZE(cqes), cq->size - cq->tail);
	max = min_t(unsigned int, max, (PAGE_SIZE - offset_in_page(iova)) / sizeof(*cqes));
	list_for_each_entry_from(req, &ctrl->done, entry) {
		if (n == max || req->cqid != cqid)
			break;
		cqes[n++] = completion(req, cq->phase);
	}

	/* First, so that a user who sees a completion gets a state size without it */
	WRITE_ONCE(ctrl->nr_reqs, ctrl->nr_reqs - n);
	ret = vfmig_fn_dma_write(ctrl->fn, iova, cqes, n * sizeof(*cqes));
	if (!ret)
		return n;
	WRITE_ONCE(ctrl->nr_reqs, ctrl->nr_reqs + n);
	if (ret == -EAGAIN)
		ctrl->stalled = true;
	else
		vfmig_nvme_fatal(ctrl);
	return 0;
}

/* Did one of @n commands fail, @req and those that follow it in the list? */
static bool any_failed(const struct vfmig_nvme *ctrl, const struct vfmig_nvme_req *req,
		       unsigned int n)
{
	list_for_each_entry_from(req, &ctrl->done, entry) {
		if (!n--)
			break;
		if (req->status)
			return true;
	}
	return false;
}

/*
 * @n entries are posted to @cq, from @req on.  A host that wants few interrupts must hear at once
 * of a command that failed, and of a full queue: nothing more comes to it.
 */
static bool is_urgent(struct vfmig_nvme *ctrl, const struct vfmig_nvme_cq *cq,
		      const struct vfmig_nvme_req *req, unsigned int n)
{
	if (!vfmig_nvme_is_coalesced(ctrl, cq))
		return true;
	if (!free_entries(cq))
		vfmig_nvme_shadow_head(ctrl, cq - ctrl->cq, false);
	return !free_entries(cq) || any_failed(ctrl, req, n);
}

/* The next @n entries of @cq are posted, from @req on */
static void advance(struct vfmig_nvme *ctrl, struct vfmig_nvme_cq *cq,
		    const struct vfmig_nvme_req *req, unsigned int n)
{
	u32 tail = cq->tail + n;

	if (tail == cq->size) {
		tail = 0;
		cq->phase = !cq->phase;
	}
	WRITE_ONCE(cq->tail, tail);
	vfmig_nvme_want_irq(ctrl, cq, n, is_urgent(ctrl, cq, req, n));
}

/*
 * Post the completions of done commands, as far as there is room.  Their writes must be marked
 * dirty before the host sees a completion.
 */
static void post_done(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_req *req, *next;
	unsigned int n = 0;

	vfmig_memory_settle(&ctrl->media);
	list_for_each_entry_safe(req, next, &ctrl->done, entry) {
		struct vfmig_nvme_cq *cq = &ctrl->cq[req->cqid];
		u32 room;

		/* @n: this one and the following that were posted together */
		if (!n) {
			room = cq_room(ctrl, req->cqid);
			if (must_stop(ctrl))
				return;
			if (!room)
				continue;
			n = post_entries(ctrl, cq, req, room);
			if (!n)
				return;
			advance(ctrl, cq, req, n);
		}
		vfmig_nvme_move_req(ctrl, req, VFMIG_NVME_FREE);
		n--;
	}
}

/* Does an error go to the error log?  Not if the host expects it, for example after an Abort. */
static bool worth_logging(const struct vfmig_nvme_req *req, u16 status)
{
	switch (status & NVME_SCT_SC_MASK) {
	case NVME_SC_SUCCESS:
	case NVME_SC_ABORT_REQ:
	case NVME_SC_ABORT_QUEUE:
	case NVME_SC_COMPARE_FAILED:
		return false;
	case NVME_SC_DATA_XFER_ERROR:
		return true;
	default:
		return req->sqid;
	}
}

/* @req is done; post_done() posts its completion */
void vfmig_nvme_complete(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req, u16 status)
{
	const struct vfmig_nvme_sq *sq = &ctrl->sq[req->sqid];

	if (worth_logging(req, status)) {
		status |= NVME_STATUS_MORE;
		vfmig_nvme_log_error(ctrl, req, req->sqid, status);
	}
	req->status = status;
	req->cqid = sq->cqid;
	req->sq_head = sq->head;
	vfmig_nvme_move_req(ctrl, req, VFMIG_NVME_DONE);
}

/* An invalid doorbell write: report it by an event */
void vfmig_nvme_doorbell_error(struct vfmig_nvme *ctrl, u16 qid, unsigned int info)
{
	vfmig_nvme_log_error(ctrl, NULL, qid, VFMIG_NVME_BAD_FIELD);
	vfmig_nvme_event(ctrl, NVME_AER_ERROR, info);
}

static bool sq_doorbell(struct vfmig_nvme *ctrl, unsigned int sqid, u16 tail)
{
	struct vfmig_nvme_sq *sq = &ctrl->sq[sqid];
	u32 submitted = vfmig_nvme_distance(sq->head, sq->tail, sq->size);

	/* The new tail must not go back or pass the head */
	if (tail >= sq->size || vfmig_nvme_distance(sq->head, tail, sq->size) < submitted)
		return false;
	vfmig_nvme_note_arrivals(ctrl, sqid, sq->tail, tail);
	sq->tail = tail;
	__set_bit(sqid, ctrl->busy);
	return true;
}

/* Can the host have consumed the entries up to @head? */
static bool head_is_valid(const struct vfmig_nvme_cq *cq, u16 head)
{
	u16 from = READ_ONCE(cq->head), to = READ_ONCE(cq->tail);
	u32 size = READ_ONCE(cq->size);

	return head < size &&
	       vfmig_nvme_distance(from, head, size) <= vfmig_nvme_distance(from, to, size);
}

static bool cq_doorbell(struct vfmig_nvme_cq *cq, u16 head)
{
	if (!head_is_valid(cq, head))
		return false;
	WRITE_ONCE(cq->head, head);
	return true;
}

/*
 * Must the worker hear of a head doorbell at once, because it may be an error?  Called without
 * the lock, while the worker may be posting.  If this returns true by mistake, the worker looks
 * for nothing.  If it returns false by mistake, the worker reports the error in its next turn.
 */
bool vfmig_nvme_head_is_news(const struct vfmig_nvme *ctrl, unsigned int cqid, u16 head)
{
	return !head_is_valid(&ctrl->cq[cqid], head);
}

/* Take the value of doorbell @index, whose queue exists */
void vfmig_nvme_take_doorbell(struct vfmig_nvme *ctrl, unsigned int index, u16 value)
{
	unsigned int qid = index / 2;
	bool is_cq = index % 2, good;

	good = is_cq ? cq_doorbell(&ctrl->cq[qid], value) : sq_doorbell(ctrl, qid, value);
	if (!good)
		vfmig_nvme_doorbell_error(ctrl, qid, VFMIG_NVME_DOORBELL_VALUE);
}

/* Handle a write to the register of doorbell @index: SQ n is at 2n, CQ n at 2n + 1 */
void vfmig_nvme_doorbell(struct vfmig_nvme *ctrl, unsigned int index, u16 value)
{
	unsigned int qid = index / 2;

	if (!(index % 2 ? ctrl->cq[qid].size : ctrl->sq[qid].size))
		vfmig_nvme_doorbell_error(ctrl, qid, VFMIG_NVME_DOORBELL_REGISTER);
	else if (ctrl->shadow.on && qid)
		vfmig_nvme_shadow_rung(ctrl, index);
	else
		vfmig_nvme_take_doorbell(ctrl, index, value);
}

/* Returns true if the batch is over: it is full, or another thread waits for the lock */
static bool count_command(struct vfmig_nvme *ctrl, struct pass *pass)
{
	return !--pass->budget || vfmig_lock_is_wanted(&ctrl->lock);
}

static void try_later(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	req->due = ktime_get_ns() + VFMIG_NVME_TRY_NS;
	vfmig_nvme_move_req(ctrl, req, VFMIG_NVME_WAITING);
}

/*
 * Execute an I/O command.  If it gets no memory, or is to hang, it waits for another try, and this
 * returns VFMIG_NVME_SC_SHORT.  After the last try without memory it returns NVME_SC_INTERNAL,
 * which a host may retry.
 */
static u16 execute_io(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	u16 status;

	if (vfmig_nvme_has_fault(ctrl, &req->cmd, VFMIG_NVME_FAULT_HANG)) {
		try_later(ctrl, req);
		return VFMIG_NVME_SC_SHORT;
	}
	status = vfmig_nvme_execute_io(ctrl, req);
	if (status != VFMIG_NVME_SC_SHORT)
		return status;
	if (req->tries == VFMIG_NVME_TRIES) {
		ctrl->health.media_errors++;
		return NVME_SC_INTERNAL;
	}
	req->tries++;
	try_later(ctrl, req);
	return VFMIG_NVME_SC_SHORT;
}

/* There is memory now for the commands that found none: at least one of them gets on */
static void try_again(struct vfmig_nvme *ctrl)
{
	struct vfmig_nvme_req *req;

	list_for_each_entry(req, &ctrl->waiting, entry) {
		if (!req->tries)
			continue;
		req->tries = 0;
		req->due = vfmig_running_now(&ctrl->running);
	}
}

/* Execute the waiting commands that are due; returns true if the batch is over */
static bool run_due(struct vfmig_nvme *ctrl, struct pass *pass)
{
	struct vfmig_nvme_req *req, *next;
	u64 now = ktime_get_ns();
	u16 status;

	list_for_each_entry_safe(req, next, &ctrl->waiting, entry) {
		if (req->due > now || !cq_room(ctrl, ctrl->sq[req->sqid].cqid))
			continue;
		/* One piece per batch, in turns; the rest of the batch is for other commands */
		if (ctrl->unfinished && req->done)
			continue;
		status = execute_io(ctrl, req);
		if (status == VFMIG_NVME_SC_AGAIN) {
			ctrl->stalled = true;
			return false;
		}
		if (status == VFMIG_NVME_SC_MORE) {
			ctrl->unfinished = true;
			list_move_tail(&req->entry, &ctrl->waiting);
			continue;
		}
		if (status == VFMIG_NVME_SC_SHORT) {
			if (count_command(ctrl, pass))
				return true;
			continue;
		}
		vfmig_nvme_complete(ctrl, req, status);
		post_done(ctrl);
		if (must_stop(ctrl))
			return false;
		if (count_command(ctrl, pass))
			return true;
	}
	return false;
}

/*
 * Returns the time when the next waiting command can execute, a burst of commands should have
 * come, or an interrupt was held for long enough.  U64_MAX if there is none, or if it needs a
 * doorbell or a kick first, which start the worker by themselves.
 */
static u64 next_due(struct vfmig_nvme *ctrl)
{
	const struct vfmig_nvme_req *req;
	u64 due = vfmig_nvme_held_until(ctrl);

	if (must_stop(ctrl))
		return due;
	due = min(due, vfmig_nvme_shadow_until(ctrl));
	list_for_each_entry(req, &ctrl->waiting, entry)
		if (cq_room(ctrl, ctrl->sq[req->sqid].cqid))
			due = min(due, req->due);
	return due;
}

/*
 * Fetch up to @max entries of @sq, all by one read, into @ctrl->fetched; returns how many, or 0
 * if that can't be done now.  A read within a host page fails as a whole: no entry is lost because
 * of another one.
 */
static unsigned int fetch_entries(struct vfmig_nvme *ctrl, const struct vfmig_nvme_sq *sq,
				  unsigned int max)
{
	const size_t size = sizeof(struct nvme_command);
	u64 iova = sq->base + (u64)sq->head * size;
	u32 n = sq->tail > sq->head ? sq->tail - sq->head : sq->size - sq->head;
	int ret;

	n = min3(n, max, (u32)((PAGE_SIZE - offset_in_page(iova)) / size));
	ret = vfmig_fn_dma_read(ctrl->fn, iova, ctrl->fetched, n * size);
	if (ret == -EAGAIN)
		ctrl->stalled = true;
	else if (ret)
		vfmig_nvme_fatal(ctrl);
	return ret ? 0 : n;
}

/*
 * Does an I/O command execute quickly?  Then completions of earlier commands of the same turn may
 * wait for it.  Other commands take longer, or change the queues.
 */
static bool is_quick(const struct nvme_command *cmd)
{
	switch (cmd->common.opcode) {
	case nvme_cmd_flush:
	case nvme_cmd_write:
	case nvme_cmd_read:
	case nvme_cmd_compare:
		return true;
	default:
		return false;
	}
}

/* May a vCPU wait for @cmd of queue @sqid? */
static bool is_brief(const struct vfmig_nvme *ctrl, unsigned int sqid,
		     const struct nvme_command *cmd)
{
	u32 blocks = le16_to_cpu(cmd->rw.length) + 1;

	if (!sqid || !is_quick(cmd))
		return false;
	return cmd->common.opcode == nvme_cmd_flush ||
	       blocks << ctrl->lba_shift <= VFMIG_NVME_BRIEF_BYTES;
}

/* Start @cmd, the next one of queue @sqid; returns false if that can't be done now */
static bool start(struct vfmig_nvme *ctrl, unsigned int sqid, const struct nvme_command *cmd)
{
	struct vfmig_nvme_sq *sq = &ctrl->sq[sqid];
	struct vfmig_nvme_req *req;
	u64 due;
	u16 status;

	if (must_stop(ctrl))
		return false;
	if (sqid && ctrl->nr_reqs >= VFMIG_NVME_MAX_REQS - VFMIG_NVME_ADMIN_REQS)
		return false;
	req = vfmig_nvme_get_req(ctrl);
	if (!req)
		return false;
	req->cmd = *cmd;
	req->sqid = sqid;
	if (!sqid || !is_quick(cmd)) {
		post_done(ctrl);
		if (must_stop(ctrl))
			goto put;
	}

	due = vfmig_nvme_due(ctrl, sqid, sq->head);
	if (due) {
		sq->head = vfmig_nvme_next_entry(sq->head, sq->size);
		req->due = due;
		vfmig_nvme_move_req(ctrl, req, VFMIG_NVME_WAITING);
		return true;
	}

	status = sqid ? execute_io(ctrl, req) : vfmig_nvme_execute_admin(ctrl, req);
	if (status == VFMIG_NVME_SC_AGAIN) {
		ctrl->stalled = true;
		goto put;
	}
	sq->head = vfmig_nvme_next_entry(sq->head, sq->size);
	if (status == VFMIG_NVME_SC_SHORT)
		return true;
	if (status == VFMIG_NVME_SC_MORE) {
		req->due = ktime_get_ns();
		vfmig_nvme_move_req(ctrl, req, VFMIG_NVME_WAITING);
		ctrl->unfinished = true;
	} else if (status != VFMIG_NVME_SC_HELD) {
		vfmig_nvme_complete(ctrl, req, status);
	}
	return true;

put:
	vfmig_nvme_put_req(ctrl, req);
	return false;
}

/*
 * A turn of queue @sqid: start a few commands that have room for their completions, and post
 * these together.  Returns true if the batch is over.
 */
static bool take_turn(struct vfmig_nvme *ctrl, unsigned int sqid, struct pass *pass)
{
	const struct vfmig_nvme_sq *sq = &ctrl->sq[sqid];
	unsigned int n, i;
	bool over = false;

	if (sq->head == sq->tail) {
		__clear_bit(sqid, ctrl->busy);
		return false;
	}
	n = min(VFMIG_NVME_BURST, cq_room(ctrl, sq->cqid));
	if (n)
		n = fetch_entries(ctrl, sq, n);
	for (i = 0; i < n && !over; i++) {
		const struct nvme_command *cmd = &ctrl->fetched[i];

		if ((pass->brief && !is_brief(ctrl, sqid, cmd)) || !start(ctrl, sqid, cmd))
			break;
		pass->progress = true;
		over = count_command(ctrl, pass);
	}
	post_done(ctrl);
	return over;
}

/* A turn of each queue that has commands; returns true if the batch is over */
static bool fetch_round(struct vfmig_nvme *ctrl, struct pass *pass)
{
	unsigned int sqid, first = ctrl->next_sq;

	for_each_set_bit_wrap(sqid, ctrl->busy, VFMIG_NVME_QUEUES, first) {
		ctrl->next_sq = (sqid + 1) % VFMIG_NVME_QUEUES;
		if (take_turn(ctrl, sqid, pass))
			return true;
		if (must_stop(ctrl))
			return false;
		vfmig_nvme_flush_late_irqs(ctrl);
	}
	return false;
}

/* Execute the commands of a pass; returns true if there may be more to do at once */
static bool process(struct vfmig_nvme *ctrl, struct pass *pass)
{
	bool over;

	ctrl->stalled = false;
	ctrl->unfinished = false;
	bitmap_zero(ctrl->full, VFMIG_NVME_QUEUES);
	if (!vfmig_nvme_ready(ctrl))
		return false;

	post_done(ctrl);
	over = !pass->brief && run_due(ctrl, pass);
	do {
		pass->progress = false;
		if (!over && !must_stop(ctrl))
			over = fetch_round(ctrl, pass);
	} while (pass->progress && !over && !must_stop(ctrl));

	if (!must_stop(ctrl)) {
		vfmig_nvme_send_events(ctrl);
		post_done(ctrl);
	}
	/* Also mark the writes of a command that will be executed again */
	vfmig_memory_settle(&ctrl->media);
	return (over || ctrl->unfinished) && !must_stop(ctrl);
}

/* One batch; true if there is more to do at once */
static bool batch(struct vfmig_nvme *ctrl)
{
	struct pass pass = { .budget = VFMIG_NVME_BATCH };
	bool more;

	guard(mutex)(&ctrl->lock.mutex);
	vfmig_nvme_map_watch(ctrl);
	if (!vfmig_is_running(&ctrl->running))
		return false;

	vfmig_nvme_take_registers(ctrl);
	more = process(ctrl, &pass);
	vfmig_nvme_flush_irqs(ctrl);
	if (more || (!ctrl->stalled && vfmig_nvme_shadow_rest(ctrl)))
		return true;

	ctrl->next_due = next_due(ctrl);
	if (ctrl->next_due != U64_MAX)
		vfmig_worker_arm(&ctrl->worker, ns_to_ktime(ctrl->next_due));
	return vfmig_nvme_await_room(ctrl);
}

static bool has_commands(const struct vfmig_nvme *ctrl)
{
	unsigned int sqid;

	for_each_set_bit(sqid, ctrl->busy, VFMIG_NVME_QUEUES)
		if (ctrl->sq[sqid].head != ctrl->sq[sqid].tail)
			return true;
	return false;
}

/* Is nothing left that the worker has to do, or to wait for? */
static bool is_idle(const struct vfmig_nvme *ctrl)
{
	return !must_stop(ctrl) && !has_commands(ctrl) &&
	       bitmap_empty(ctrl->full, VFMIG_NVME_QUEUES) && list_empty(&ctrl->waiting) &&
	       list_empty(&ctrl->done) && !READ_ONCE(ctrl->media.spares.wanted);
}

/*
 * A vCPU has rung a doorbell: do the worker's part here and now, if nobody has the controller.
 * That costs less than to wake the worker.  Commands that are not brief are left to it, and bursts:
 * the guest submits the next one meanwhile.  Returns false if the worker must be woken.
 */
bool vfmig_nvme_serve(struct vfmig_nvme *ctrl)
{
	struct pass pass = { .budget = VFMIG_NVME_BRIEF, .brief = true };
	bool served = false;
	u64 due;

	if (vfmig_lock_is_wanted(&ctrl->lock) || !mutex_trylock(&ctrl->lock.mutex))
		return false;
	if (vfmig_is_running(&ctrl->running) && !vfmig_nvme_shadow_awaits_burst(ctrl)) {
		vfmig_nvme_take_registers(ctrl);
		process(ctrl, &pass);
		vfmig_nvme_flush_irqs(ctrl);
		/* The worker may have set the timer to look at the pages that are mapped */
		served = is_idle(ctrl) && !READ_ONCE(ctrl->map.mapped) &&
			 !vfmig_nvme_shadow_rest(ctrl) && !must_stop(ctrl);
		due = served ? next_due(ctrl) : U64_MAX;
		if (due != U64_MAX)
			vfmig_worker_arm(&ctrl->worker, ns_to_ktime(due));
	}
	mutex_unlock(&ctrl->lock.mutex);
	return served;
}

/*
 * Fill up the spares of the medium, so that no command has to wait for memory with the lock held.
 * Returns true if commands that found none may go on.
 */
static bool get_memory(struct vfmig_nvme *ctrl)
{
	struct vfmig_spares *spares = &ctrl->media.spares, fresh;
	bool enough;

	if (!READ_ONCE(spares->wanted))
		return false;
	enough = vfmig_spares_get(&fresh, spares, VFMIG_SPARE_CHUNKS, VFMIG_SPARE_PAGES);
	guard(vfmig_nvme)(ctrl);
	vfmig_spares_add(spares, &fresh);
	if (enough)
		try_again(ctrl);
	return enough;
}

/*
 * What the worker does: commands, memory for the next ones, and a piece of what an erase left to
 * free.  Then it waits for doorbells that are mapped.  Returns true if there is more to do at once.
 */
bool vfmig_nvme_turn(void *vf)
{
	struct vfmig_nvme *ctrl = vf;
	bool more;

	vfmig_lock_give_way(&ctrl->lock);
	more = batch(ctrl);
	more = get_memory(ctrl) || more;
	more = vfmig_memory_free_erased(&ctrl->media) || more;
	return more || vfmig_nvme_map_wait(ctrl);
}
