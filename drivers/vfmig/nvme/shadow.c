// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shadow doorbells (NVMe 1.4, 5.7 and 7.13).
 *
 * A host that has configured them stores a doorbell's value in its own memory first.  It writes
 * the register only if the controller wants to hear of that: if the store passes the EventIdx,
 * which the controller keeps in the host's memory too.  So the host rings a busy controller
 * without an exit.  What is written to the register then says only that there is news.
 *
 * A submission queue is awake from the time when its register is written.  The controller reads
 * the tails of these queues in each turn.  When it has nothing to do it writes the EventIdx, and
 * reads the tail once more: either it sees a store, or the host sees the EventIdx.  A queue whose
 * next command will be rung sleeps then.  A queue of which a burst is awaited (pace.c) stays awake,
 * for the timer.  The controller reads a head where it finds no room in a completion queue, and
 * writes its EventIdx if there is still none.
 *
 * Hosts ring the admin queues by register only (Linux, SPDK), and so the controller expects it.
 */
#include <linux/bitmap.h>
#include <linux/minmax.h>
#include <linux/timekeeping.h>

#include "nvme.h"

/* A controller that is not ready does no DMA */
static bool is_on(const struct vfmig_nvme *ctrl)
{
	return ctrl->shadow.on && vfmig_nvme_ready(ctrl);
}

/* Doorbell @index in the buffer at @base, as in the registers: SQ n is at 2n, CQ n at 2n + 1 */
static int write_slot(struct vfmig_nvme *ctrl, u64 base, unsigned int index, u16 value)
{
	__le32 raw = cpu_to_le32(value);

	return vfmig_fn_dma_write(ctrl->fn, base + index * sizeof(raw), &raw, sizeof(raw));
}

/* False if DMA is off now, or the address is bad */
static bool dma_done(struct vfmig_nvme *ctrl, int ret)
{
	if (ret == -EAGAIN)
		ctrl->stalled = true;
	else if (ret)
		vfmig_nvme_fatal(ctrl);
	return !ret;
}

static bool read_doorbell(struct vfmig_nvme *ctrl, unsigned int index, u16 *value)
{
	__le32 raw;
	u64 iova = ctrl->shadow.doorbells + index * sizeof(raw);

	if (!dma_done(ctrl, vfmig_fn_dma_read(ctrl->fn, iova, &raw, sizeof(raw))))
		return false;
	*value = le32_to_cpu(raw);
	return true;
}

/* After this either the host's next store passes the event, or the caller sees that store */
static bool write_event(struct vfmig_nvme *ctrl, unsigned int index, u16 value)
{
	if (!dma_done(ctrl, write_slot(ctrl, ctrl->shadow.events, index, value)))
		return false;
	/* Pairs with the host's barrier between its store and its look at the EventIdx */
	smp_mb();
	return true;
}

/* The controller knows doorbell @index to be @value.  What the host stores from now on is news. */
static void begin(struct vfmig_nvme *ctrl, unsigned int index, u16 value)
{
	struct vfmig_nvme_shadow *shadow = &ctrl->shadow;
	unsigned int qid = index / 2;

	shadow->seen[index] = value;
	if (index % 2)
		return;
	shadow->told[qid] = value;
	vfmig_nvme_pace_init(&shadow->pace[qid], ktime_get_ns());
	__set_bit(qid, shadow->awake);
}

/* Have the buffers agree with a doorbell that is @value: the host may have left something there */
static int init_slots(struct vfmig_nvme *ctrl, u64 doorbells, u64 events, unsigned int index,
		      u16 value)
{
	return write_slot(ctrl, doorbells, index, value) ?:
	       write_slot(ctrl, events, index, value);
}

/* The queue of doorbell @index is about to be created */
u16 vfmig_nvme_shadow_add(struct vfmig_nvme *ctrl, unsigned int index)
{
	const struct vfmig_nvme_shadow *shadow = &ctrl->shadow;
	int ret;

	if (!shadow->on)
		return NVME_SC_SUCCESS;
	ret = init_slots(ctrl, shadow->doorbells, shadow->events, index, 0);
	if (!ret)
		begin(ctrl, index, 0);
	return vfmig_nvme_dma_status(ret);
}

/* From now on the doorbells of all queues are at these addresses, where the host keeps them */
void vfmig_nvme_shadow_set(struct vfmig_nvme *ctrl, u64 doorbells, u64 events)
{
	ctrl->shadow.doorbells = doorbells;
	ctrl->shadow.events = events;
	for (unsigned int i = 0; i < VFMIG_NVME_QUEUES; i++) {
		begin(ctrl, 2 * i, ctrl->sq[i].tail);
		begin(ctrl, 2 * i + 1, ctrl->cq[i].head);
	}
	WRITE_ONCE(ctrl->shadow.on, true);
}

u16 vfmig_nvme_doorbell_buffer(struct vfmig_nvme *ctrl, struct vfmig_nvme_req *req)
{
	u64 doorbells = le64_to_cpu(req->cmd.dbbuf.prp1);
	u64 events = le64_to_cpu(req->cmd.dbbuf.prp2);
	int ret = 0;

	if ((doorbells | events) & ((1ULL << ctrl->page_shift) - 1))
		return NVME_SC_PRP_INVALID_OFFSET | NVME_STATUS_DNR;
	for (unsigned int i = 1; !ret && i < VFMIG_NVME_QUEUES; i++) {
		if (ctrl->sq[i].size)
			ret = init_slots(ctrl, doorbells, events, 2 * i, ctrl->sq[i].tail);
		if (!ret && ctrl->cq[i].size)
			ret = init_slots(ctrl, doorbells, events, 2 * i + 1, ctrl->cq[i].head);
	}
	if (!ret)
		vfmig_nvme_shadow_set(ctrl, doorbells, events);
	return vfmig_nvme_dma_status(ret);
}

/* The register of doorbell @index was written */
void vfmig_nvme_shadow_rung(struct vfmig_nvme *ctrl, unsigned int index)
{
	if (index % 2 == 0)
		__set_bit(index / 2, ctrl->shadow.awake);
}

/* The device did not run.  A register that was written meanwhile may have counted nowhere. */
void vfmig_nvme_shadow_wake(struct vfmig_nvme *ctrl)
{
	bitmap_fill(ctrl->shadow.awake, VFMIG_NVME_QUEUES);
}

/* Take what the host stored to doorbell @index, if it is not what was there before */
static void take(struct vfmig_nvme *ctrl, unsigned int index)
{
	u16 value;

	if (!read_doorbell(ctrl, index, &value) || value == ctrl->shadow.seen[index])
		return;
	ctrl->shadow.seen[index] = value;
	vfmig_nvme_take_doorbell(ctrl, index, value);
}

/* Take the tails of all queues that are awake */
void vfmig_nvme_shadow_tails(struct vfmig_nvme *ctrl)
{
	unsigned int sqid = 1;

	if (!is_on(ctrl))
		return;
	for_each_set_bit_from(sqid, ctrl->shadow.awake, VFMIG_NVME_QUEUES)
		if (ctrl->sq[sqid].size)
			take(ctrl, 2 * sqid);
}

/*
 * Have the host ring queue @sqid when it has submitted a burst, and look once more.  Returns true
 * if it has, as then it may not ring.
 */
static bool await_burst(struct vfmig_nvme *ctrl, unsigned int sqid)
{
	const struct vfmig_nvme_sq *sq = &ctrl->sq[sqid];
	unsigned int burst = ctrl->shadow.pace[sqid].burst;
	u16 tail;

	ctrl->shadow.told[sqid] = sq->tail;
	if (!write_event(ctrl, 2 * sqid, (sq->tail + burst - 1) % sq->size) ||
	    !read_doorbell(ctrl, 2 * sqid, &tail) || tail == ctrl->shadow.seen[2 * sqid])
		return false;
	return tail >= sq->size || vfmig_nvme_distance(sq->tail, tail, sq->size) >= burst;
}

/* There is nothing to do for queue @sqid; returns true if there is something after all */
static bool rest(struct vfmig_nvme *ctrl, unsigned int sqid)
{
	const struct vfmig_nvme_sq *sq = &ctrl->sq[sqid];
	struct vfmig_nvme_pace *pace = &ctrl->shadow.pace[sqid];
	u32 n = vfmig_nvme_distance(ctrl->shadow.told[sqid], sq->tail, sq->size);
	u64 now = ktime_get_ns();

	/* Something else than this queue was a reason to look */
	if (pace->burst > 1 && n < pace->burst && now < pace->until)
		return false;
	vfmig_nvme_pace_count(pace, n, sq->size - 1, now);
	if (await_burst(ctrl, sqid))
		return true;
	/* Without the EventIdx the queue must stay awake: it goes on when DMA is on */
	if (pace->burst == 1 && !ctrl->stalled)
		__clear_bit(sqid, ctrl->shadow.awake);
	return false;
}

/* There is nothing to do.  Returns true if there is something after all. */
bool vfmig_nvme_shadow_rest(struct vfmig_nvme *ctrl)
{
	unsigned int sqid = 1;
	bool news = false;

	if (!is_on(ctrl))
		return false;
	for_each_set_bit_from(sqid, ctrl->shadow.awake, VFMIG_NVME_QUEUES) {
		if (ctrl->sq[sqid].size)
			news |= rest(ctrl, sqid);
		else
			__clear_bit(sqid, ctrl->shadow.awake);
	}
	return news;
}

/* Is a burst of any queue awaited?  The caller holds the lock. */
bool vfmig_nvme_shadow_awaits_burst(const struct vfmig_nvme *ctrl)
{
	unsigned int sqid = 1;

	if (!is_on(ctrl))
		return false;
	for_each_set_bit_from(sqid, ctrl->shadow.awake, VFMIG_NVME_QUEUES)
		if (ctrl->shadow.pace[sqid].burst > 1)
			return true;
	return false;
}

/* When the next burst should have come, ktime in ns, or U64_MAX if none is awaited */
u64 vfmig_nvme_shadow_until(const struct vfmig_nvme *ctrl)
{
	unsigned int sqid = 1;
	u64 until = U64_MAX;

	if (!is_on(ctrl))
		return until;
	for_each_set_bit_from(sqid, ctrl->shadow.awake, VFMIG_NVME_QUEUES)
		until = min(until, ctrl->shadow.pace[sqid].until);
	return until;
}

/*
 * Take the head of queue @cqid; returns true if it has moved.  If @await, the host writes the
 * register when it moves on from there.
 */
bool vfmig_nvme_shadow_head(struct vfmig_nvme *ctrl, unsigned int cqid, bool await)
{
	u16 head = ctrl->cq[cqid].head;

	if (!cqid || !is_on(ctrl) || (await && !write_event(ctrl, 2 * cqid + 1, head)))
		return false;
	take(ctrl, 2 * cqid + 1);
	return ctrl->cq[cqid].head != head;
}
