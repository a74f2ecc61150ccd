// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver with up to 32 queue pairs that keeps to the rules, and knows what each of its commands
 * must give.  Several submission queues may share a completion queue.  Now and then it moves to
 * another VF in the middle of everything.
 */
#include <stdlib.h>
#include <string.h>

#include "../lib/bells.h"
#include "guest_ref.h"

#define MEDIA_MB	2
#define STEPS_MAX	3000	/* of a round */
#define POLL_US		100

static const char * const names[REF_COUNTS] = {
	[REF_IO] = "I/O commands", [REF_REFUSED] = "of these with an error status",
	[REF_MOVED] = "of these moved when they were under way",
	[REF_ADMIN] = "admin commands", [REF_ADMIN_REFUSED] = "of these with an error status",
	[REF_CREATED] = "queues created", [REF_DELETED] = "queues deleted",
	[REF_GHOSTS] = "commands under way in a queue that was deleted",
	[REF_ABORTED] = "aborted commands", [REF_ERASED] = "Format NVM and Sanitize",
	[REF_ROUNDS] = "rounds, each with a controller that was reset",
	[REF_MOVES] = "moves to the other VF",
};

static u16 distance(u16 from, u16 to, u16 depth)
{
	return (to + depth - from) % depth;
}

static void ring(struct ref *ref, u16 id, bool cq, u16 old, u16 value)
{
	if (!ref->nvme->shadow || shadow_store(ref->nvme->shadow, 2 * id + cq, old, value))
		nvme_doorbell(ref->nvme, id, cq, value);
}

static void ring_sq(struct ref *ref, u16 id)
{
	struct ref_sq *sq = &ref->sq[id];

	if (!sq->exists || sq->rung == sq->tail)
		return;
	ring(ref, id, false, sq->rung, sq->tail);
	sq->rung = sq->tail;
}

static struct slot *find_slot(struct ref *ref, u16 sqid, u16 cid)
{
	for (unsigned int i = 0; i < REF_SLOTS; i++) {
		struct slot *slot = &ref->slots[i];

		if (slot->stage != SLOT_FREE && slot->sqid == sqid && slot->cid == cid)
			return slot;
	}
	return NULL;
}

/* Those that were under way in a deleted queue keep a slot until all that is left of it is gone */
static bool slots_run_out(const struct ref *ref)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < REF_SLOTS; i++)
		n += ref->slots[i].stage == SLOT_GHOST;
	return n > REF_SLOTS / 2;
}

static struct slot *free_slot(struct ref *ref)
{
	for (unsigned int i = 0; i < REF_SLOTS; i++)
		if (ref->slots[i].stage == SLOT_FREE)
			return &ref->slots[i];
	return NULL;
}

/* The head of a submission queue never goes back, nor beyond what was rung */
static void take_head(struct ref *ref, const struct slot *slot, u16 head)
{
	struct ref_sq *sq = &ref->sq[slot->sqid];

	if (head >= sq->depth ||
	    distance(sq->head, head, sq->depth) > distance(sq->head, sq->rung, sq->depth))
		slot_fail(slot, "wrong head of its queue", head);
	sq->head = head;
}

static void take_completion(struct ref *ref, u16 cqid, const struct nvme_cqe *cqe)
{
	struct slot *slot = find_slot(ref, cqe->sq_id, cqe->cid);
	u16 status = cqe->status >> 1 & 0x7ff;

	if (!slot || slot->cqid != cqid)
		fail(__FILE__, __LINE__, "completion queue %u: nobody waits for queue %u, CID 0x%x",
		     cqid, cqe->sq_id, cqe->cid);
	if (!want_has(&slot->want, status))
		slot_fail(slot, "wrong status", status);
	ref->counts[REF_REFUSED] += status != NVME_OK;
	ref->counts[REF_ABORTED] += status == NVME_ABORT_REQUESTED;
	if (slot->stage == SLOT_FLYING) {
		/* A drain does not wait for a ghost, and may take the interrupt before the ghost */
		ref->cq[cqid].posted = true;
		take_head(ref, slot, cqe->sq_head);
		io_done(ref, slot, status);
		ref->sq[slot->sqid].flying--;
		ref->flying--;
	}
	slot->stage = SLOT_FREE;
}

static void reap_cq(struct ref *ref, u16 id)
{
	struct ref_cq *cq = &ref->cq[id];
	u16 old = cq->head;

	for (;;) {
		struct nvme_cqe *next = &cq->entries[cq->head], cqe;

		if ((__atomic_load_n(&next->status, __ATOMIC_ACQUIRE) & 1) != cq->phase)
			break;
		cqe = *next;
		if (++cq->head == cq->depth) {
			cq->head = 0;
			cq->phase ^= 1;
		}
		take_completion(ref, id, &cqe);
	}
	if (cq->head != old)
		ring(ref, id, true, old, cq->head);
}

void ref_reap(struct ref *ref)
{
	for (unsigned int i = 1; i <= NVME_MAX_IO; i++)
		if (ref->cq[i].exists)
			reap_cq(ref, i);
}

static void fail_stuck(struct ref *ref)
{
	for (unsigned int i = 0; i < REF_SLOTS; i++)
		if (ref->slots[i].stage == SLOT_FLYING)
			slot_fail(&ref->slots[i], "no completion", 0);
}

void ref_drain(struct ref *ref)
{
	for (unsigned int i = 1; i <= NVME_MAX_IO; i++)
		ring_sq(ref, i);
	if (!wait_until((ref_reap(ref), !ref->flying)))
		fail_stuck(ref);
}

void ref_cq_begins(struct ref *ref, u16 id, u16 depth, int vector)
{
	struct ref_cq *cq = &ref->cq[id];

	cq->exists = true;
	cq->depth = depth;
	cq->head = 0;
	cq->phase = 1;
	cq->vector = vector;
	cq->posted = false;
	cq->users = 0;
	ref->counts[REF_CREATED]++;
}

void ref_sq_begins(struct ref *ref, u16 id, u16 depth, u16 cqid)
{
	struct ref_sq *sq = &ref->sq[id];

	must(!sq->flying);
	sq->exists = true;
	sq->depth = depth;
	sq->cqid = cqid;
	sq->tail = 0;
	sq->rung = 0;
	sq->head = 0;
	ref->cq[cqid].users++;
	ref->counts[REF_CREATED]++;
}

void ref_cq_ends(struct ref *ref, u16 id)
{
	must(!ref->cq[id].users);
	ref->cq[id].exists = false;
	for (unsigned int i = 0; i < REF_SLOTS; i++)
		if (ref->slots[i].stage == SLOT_GHOST && ref->slots[i].cqid == id)
			ref->slots[i].stage = SLOT_FREE;
}

void ref_sq_ends(struct ref *ref, u16 id)
{
	struct ref_sq *sq = &ref->sq[id];

	for (unsigned int i = 0; i < REF_SLOTS; i++) {
		struct slot *slot = &ref->slots[i];

		if (slot->stage != SLOT_FLYING || slot->sqid != id)
			continue;
		io_done(ref, slot, NVME_ABORT_SQ_DELETED);
		slot->stage = SLOT_GHOST;
		ref->counts[REF_GHOSTS]++;
		ref->unsure++;
		ref->flying--;
	}
	sq->flying = 0;
	sq->exists = false;
	ref->cq[sq->cqid].users--;
}

static u16 some_cid(struct ref *ref, u16 sqid)
{
	u16 cid;

	do
		cid = one_in(&ref->random, 2) ? next_random(&ref->random)
					      : random_below(&ref->random, 2 * REF_SLOTS);
	while (find_slot(ref, sqid, cid));
	return cid;
}

static void step_submit(struct ref *ref)
{
	u16 id = 1 + random_below(&ref->random, NVME_MAX_IO);
	struct slot *slot = free_slot(ref);
	struct ref_sq *sq = &ref->sq[id];

	if (!slot || !sq->exists || (sq->tail + 1) % sq->depth == sq->head)
		return;
	if (!io_make(ref, slot))
		return;
	slot->stage = SLOT_FLYING;
	slot->sqid = id;
	slot->cqid = sq->cqid;
	slot->cid = some_cid(ref, id);
	slot->cmd.cid = slot->cid;
	sq->entries[sq->tail] = slot->cmd;
	sq->tail = (sq->tail + 1) % sq->depth;
	sq->flying++;
	ref->flying++;
	ref->counts[REF_IO]++;
}

static void step_ring(struct ref *ref)
{
	ring_sq(ref, 1 + random_below(&ref->random, NVME_MAX_IO));
}

static void step_reap(struct ref *ref)
{
	u16 id = 1 + random_below(&ref->random, NVME_MAX_IO);

	if (ref->cq[id].exists)
		reap_cq(ref, id);
}

/* Each vector whose queues got something has an interrupt */
static void check_interrupts(struct ref *ref)
{
	for (unsigned int i = 1; i <= NVME_MAX_IO; i++) {
		struct ref_cq *cq = &ref->cq[i];

		if (!cq->exists || !cq->posted || cq->vector < 0)
			continue;
		if (!event_wait(ref->rig.irq[cq->vector]))
			fail(__FILE__, __LINE__, "completion queue %u: no interrupt on vector %d",
			     i, cq->vector);
		for (unsigned int k = i; k <= NVME_MAX_IO; k++)
			if (ref->cq[k].exists && ref->cq[k].vector == cq->vector)
				ref->cq[k].posted = false;
	}
}

static void step_drain(struct ref *ref)
{
	ref_drain(ref);
	check_interrupts(ref);
}

static void use_bells(struct ref *ref, bool on)
{
	if (ref->bells)
		bells_unmap(ref->bells);
	ref->bells = on ? bells_map(ref->nvme->dev) : NULL;
	bells_use(ref->nvme, ref->bells);
}

static void use_irqs(struct ref *ref, unsigned int vf, bool on)
{
	struct vfio_dev *dev = &ref->rig.dev[vf];

	if (on)
		must(!vfio_irqs_set(dev, 0, NVME_VECTORS, ref->rig.irq));
	else if (ref->irqs[vf])
		vfio_irqs_off(dev);
	ref->irqs[vf] = on;
}

static void step_move(struct ref *ref)
{
	struct vfio_dev *from = &ref->rig.dev[ref->vf], *to = &ref->rig.dev[!ref->vf];
	struct blob stream = {};
	bool mapped = ref->bells;

	mig_save(from, &stream);
	if (mig_load(to, &stream))
		fail(__FILE__, __LINE__, "%s refused the stream", to->bdf);
	blob_free(&stream);
	vfio_bus_master(to, true);
	use_irqs(ref, !ref->vf, true);
	must(!mig_set(to, RUNNING, NULL));
	use_irqs(ref, ref->vf, false);
	ref->vf = !ref->vf;
	ref->nvme->dev = to;
	use_bells(ref, mapped);
	must(!vfio_reset(from));
	ref->counts[REF_MOVES]++;
	ref->counts[REF_MOVED] += ref->flying;
}

static const struct {
	void (*step)(struct ref *ref);
	unsigned int weight;
} steps[] = {
	{ step_submit, 1200 }, { step_ring, 400 }, { step_reap, 400 }, { step_drain, 6 },
	{ step_move, 1 }, { step_create_cq, 12 }, { step_create_sq, 16 }, { step_delete_sq, 6 },
	{ step_delete_cq, 6 }, { step_abort, 12 }, { step_erase, 2 }, { step_doorbell_buffer, 1 },
	{ step_unknown, 3 }, { step_event_request, 6 }, { step_set_feature, 12 },
	{ step_get_feature, 12 }, { step_identify, 10 }, { step_log, 14 },
};

static void some_step(struct ref *ref)
{
	steps[random_entry(&ref->random, steps, ARRAY_SIZE(steps))].step(ref);
	events_take(ref);
}

/* Random depths, and submission queues that may share a completion queue */
static void create_queues(struct ref *ref)
{
	unsigned int n = one_in(&ref->random, 2) ? NVME_MAX_IO
						 : 1 + random_below(&ref->random, NVME_MAX_IO);

	for (unsigned int i = 1; i <= n; i++) {
		u16 depth = 2 + random_below(&ref->random, one_in(&ref->random, 2) ? 6 : 255);
		int vector = (int)random_below(&ref->random, NVME_VECTORS + 1) - 1;
		struct ref_cq *cq = &ref->cq[i];

		memset(cq->entries, 0, REF_DEPTH * sizeof(*cq->entries));
		must(!nvme_create_cq(ref->nvme, i, depth, vector,
				     land_iova(&ref->land, cq->entries)));
		ref_cq_begins(ref, i, depth, vector);
	}
	for (unsigned int i = 1; i <= n; i++) {
		u16 depth = 2 + random_below(&ref->random, one_in(&ref->random, 2) ? 6 : 255);
		u16 cqid = one_in(&ref->random, 2) ? i : 1 + random_below(&ref->random, n);

		must(!nvme_create_sq(ref->nvme, i, depth, cqid,
				     land_iova(&ref->land, ref->sq[i].entries)));
		ref_sq_begins(ref, i, depth, cqid);
	}
}

static void reset(struct ref *ref)
{
	switch (random_below(&ref->random, 3)) {
	case 0:
		use_irqs(ref, ref->vf, false);
		must(!vfio_reset(ref->nvme->dev));
		break;
	case 1:
		use_irqs(ref, ref->vf, false);
		vfio_flr(ref->nvme->dev);
		break;
	default:
		must(!nvme_disable(ref->nvme));
	}
	for (unsigned int i = 1; i <= NVME_MAX_IO; i++) {
		ref->sq[i].exists = false;
		ref->cq[i].exists = false;
	}
	for (unsigned int i = 0; i < REF_SLOTS; i++)
		ref->slots[i].stage = SLOT_FREE;
}

static void begin_round(struct ref *ref)
{
	static const unsigned int latencies[] = { 0, 0, 100, 1000, 20000 };

	reset(ref);
	must(!pf_attr_set(ref->rig.pf, "io_latency_us",
			  latencies[random_below(&ref->random, ARRAY_SIZE(latencies))]));
	use_bells(ref, one_in(&ref->random, 3));
	use_irqs(ref, ref->vf, true);
	nvme_restart(ref->nvme);
	pages_read_counters(ref);
	features_reset(ref);
	events_reset(ref);
	if (one_in(&ref->random, 3)) {
		must(!shadow_config(ref->nvme, land_iova(&ref->land, ref->shadow.doorbells),
				    land_iova(&ref->land, ref->shadow.events)));
		ref->nvme->shadow = &ref->shadow;
	}
	create_queues(ref);
}

/* Nothing is under way: all of the disk, by a queue of its own */
static void verify_disk(struct ref *ref)
{
	u8 *data = ref->slots[0].data;
	u32 most = KIB(256) / ref->media.size;

	must(!pf_attr_set(ref->rig.pf, "io_latency_us", 0));
	reset(ref);
	nvme_restart(ref->nvme);
	pages_check_counters(ref);
	must(!nvme_create_io(ref->nvme, 1, 16, -1));
	for (u64 i = 0; i < ref->media.count; i += most) {
		must(!nvme_rw(ref->nvme, &ref->nvme->io[1], NVME_READ, i, most, data));
		for (u32 k = 0; k < most; k++) {
			const u8 *block = data + k * ref->media.size;

			if (media_reads(&ref->media, i + k, block))
				continue;
			media_say(&ref->media, i + k, block);
			fail(__FILE__, __LINE__, "block %llu is wrong after a round", i + k);
		}
	}
}

/* At least one round, and an I/O command */
static bool goes_on(const struct ref *ref)
{
	return stress_goes_on_until(ref->counts[REF_IO], ref->counts[REF_ROUNDS]);
}

u64 ref_run(struct ref *ref)
{
	while (goes_on(ref)) {
		unsigned int n = random_below(&ref->random, STEPS_MAX);

		begin_round(ref);
		while (n-- && goes_on(ref) && !slots_run_out(ref))
			some_step(ref);
		step_drain(ref);
		land_check(&ref->land);
		verify_disk(ref);
		ref->counts[REF_ROUNDS]++;
	}
	for (unsigned int i = 0; i < REF_COUNTS; i++)
		stress_say("guest: %10llu %s", ref->counts[i], names[i]);
	return ref->counts[REF_IO];
}

static void allocate(struct ref *ref)
{
	struct arena *mem = &ref->land.rw;

	land_init(&ref->land, MIB(48));
	for (unsigned int i = 0; i < REF_SLOTS; i++)
		ref->slots[i].data = arena_alloc(mem, (DATA_PAGES + 2) * PAGE);
	ref->admin.data = arena_alloc(mem, (DATA_PAGES + 2) * PAGE);
	for (unsigned int i = 1; i <= NVME_MAX_IO; i++) {
		ref->sq[i].entries = arena_alloc(mem, REF_DEPTH * sizeof(*ref->sq[i].entries));
		ref->cq[i].entries = arena_alloc(mem, REF_DEPTH * sizeof(*ref->cq[i].entries));
	}
	ref->shadow.doorbells = arena_alloc(mem, PAGE);
	ref->shadow.events = arena_alloc(mem, PAGE);
}

const char *ref_open(struct ref **to, u64 seed)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = MEDIA_MB };
	struct ref *ref = calloc(1, sizeof(*ref));
	const char *why;

	must(ref);
	*to = ref;
	ref->random = stress_seed(seed, 0);
	vfs.lba_size = one_in(&ref->random, 2) ? 512 : 4096;
	why = rig_open_best(&ref->rig, &vfs);
	if (why)
		return why;
	must(!pf_attr_set(ref->rig.pf, "doorbell_poll_us", POLL_US));
	allocate(ref);
	for (unsigned int i = 0; i < ref->rig.devs; i++)
		land_map(&ref->land, &ref->rig.iommu[i]);
	ref->nvme = &ref->rig.nvme;
	nvme_init(ref->nvme, &ref->rig.dev[0], &ref->land.rw);
	must(!nvme_create_io(ref->nvme, 1, 16, -1));
	nvme_deallocate_all(ref->nvme);
	pages_read(ref);
	media_init(&ref->media, ref->nvme->lbas, ref->nvme->lba_size);
	return NULL;
}

void ref_close(struct ref *ref)
{
	if (ref && ref->rig.devs) {
		use_bells(ref, false);
		rig_close(&ref->rig);
		media_exit(&ref->media);
	}
	free(ref);
}
