// SPDX-License-Identifier: GPL-2.0-only
/*
 * A hostile guest of an NVMe VF.  Four threads write to registers, doorbells, queues and lists
 * while the VF is reset, loses its bus master, and moves to another VF and on with all that it has.
 * After that the VF must work as new.
 */
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/bells.h"
#include "guest.h"

#define THREADS		4
#define QUEUE_DEPTH	64
#define SCRATCH_PAGES	64	/* of data, lists and queues */
#define EPISODE_STEPS	48
#define CHECK_BYTES	(8 * PAGE)
#define STEP_MS		20
#define SMART_LOG	0x02
#define ARBITRATION	0x01
#define ARBITRATION_DEFAULT 7

enum nvme_count {
	N_REGISTERS, N_DOORBELLS, N_QUEUES, N_COMMANDS, N_EXECUTED, N_FATAL, N_RESETS, N_MOVES,
	N_EPISODES, N_CHECKED,
	N_COUNTS
};

static const char * const names[N_COUNTS] = {
	[N_REGISTERS] = "accesses to BAR 0", [N_DOORBELLS] = "doorbells",
	[N_QUEUES] = "stores to queues and lists", [N_COMMANDS] = "admin commands",
	[N_EXECUTED] = "I/O commands that the VF executed, or found wrong",
	[N_FATAL] = "times that the VF reported a fatal error",
	[N_RESETS] = "resets and losses of bus master", [N_MOVES] = "moves to the other VF",
	[N_EPISODES] = "episodes", [N_CHECKED] = "bytes written and read by a VF as new",
};

struct hostile_nvme {
	struct rig rig;
	struct land land;
	struct nvme nvme;	/* the driver that finds it as new */
	u64 random;
	unsigned int vf;
	u8 *scratch;
	u32 *bells[RIG_DEVS], *regs[RIG_DEVS];
	bool mapped;		/* the threads use these */
	bool stop;
	struct hostile_thread threads[THREADS];
	u16 tail;		/* of the admin queue */
	u64 executed;		/* by the VF when the episode began */
	u64 counts[N_COUNTS];
};

static unsigned int current_vf(struct hostile_nvme *h)
{
	return __atomic_load_n(&h->vf, __ATOMIC_RELAXED);
}

/* Most accesses are to the VF that runs, and some to the other one, whatever it does */
static unsigned int some_vf(struct hostile_nvme *h, u64 *random)
{
	return current_vf(h) ^ one_in(random, 20);
}

static void step_registers(struct hostile_thread *t)
{
	struct hostile_nvme *h = t->owner;
	unsigned int vf = some_vf(h, &t->random);

	if (h->mapped && h->regs[vf] && one_in(&t->random, 2))
		/* Not CC, which would leave nothing to be hurt */
		regs_store(h->regs[vf], 0x20 + random_below(&t->random, 1000) * 4,
			   hostile_number(&t->random));
	else if (one_in(&t->random, 32) && hostile_now(&h->land, &t->random))
		hostile_bar_any(&h->rig.dev[vf], &t->random, 0x40);
	else
		hostile_bar_any(&h->rig.dev[vf], &t->random, 0x4100);
}

static void step_doorbells(struct hostile_thread *t)
{
	struct hostile_nvme *h = t->owner;
	unsigned int vf = some_vf(h, &t->random);
	u32 index = random_below(&t->random, one_in(&t->random, 8) ? 1024 : 2 * NVME_MAX_IO + 2);
	u32 value = one_in(&t->random, 8) ? hostile_number(&t->random)
					  : random_below(&t->random, QUEUE_DEPTH);

	if (h->mapped && h->bells[vf] && !one_in(&t->random, 4))
		bells_store(h->bells[vf], index, value);
	else
		hostile_bar(&h->rig.dev[vf], NVME_DOORBELLS + 4 * index, value, 4, true);
}

static u64 scratch_page(struct hostile_nvme *h, u64 *random)
{
	return land_iova(&h->land, h->scratch) + random_below(random, SCRATCH_PAGES) * PAGE;
}

static void some_data(struct hostile_nvme *h, u64 *random, struct nvme_cmd *cmd)
{
	cmd->prp1 = hostile_address(&h->land, random);
	/* A list, or a page */
	cmd->prp2 = one_in(random, 2) ? scratch_page(h, random)
				      : hostile_address(&h->land, random);
}

static struct nvme_cmd some_io(struct hostile_nvme *h, u64 *random)
{
	static const u8 opcodes[] = {
		NVME_READ, NVME_READ, NVME_WRITE, NVME_WRITE, NVME_COMPARE, NVME_FLUSH,
		NVME_WRITE_ZEROES, NVME_DSM,
	};
	u8 opcode = opcodes[random_below(random, ARRAY_SIZE(opcodes))];
	struct nvme_cmd cmd = nvme_rw_cmd(opcode, random_below(random, h->nvme.lbas),
					  1 + random_below(random, 64));

	some_data(h, random, &cmd);
	if (opcode == NVME_DSM) {
		cmd.cdw10 = random_below(random, 256);
		cmd.cdw11 = 4;
	}
	return cmd;
}

static struct nvme_cmd some_admin(struct hostile_nvme *h, u64 *random)
{
	static const u8 opcodes[] = {
		NVME_DELETE_SQ, NVME_CREATE_SQ, NVME_CREATE_SQ, NVME_DELETE_CQ, NVME_CREATE_CQ,
		NVME_CREATE_CQ, NVME_GET_LOG, NVME_IDENTIFY, NVME_ABORT, NVME_SET_FEATURES,
		NVME_GET_FEATURES, NVME_AER, NVME_DOORBELL_BUFFER, NVME_FORMAT_NVM, NVME_SANITIZE,
	};
	struct nvme_cmd cmd = {
		.opcode = opcodes[random_below(random, ARRAY_SIZE(opcodes))], .nsid = 1,
	};
	u32 id = 1 + random_below(random, NVME_MAX_IO);

	some_data(h, random, &cmd);
	cmd.cdw10 = random_below(random, 256);
	cmd.cdw11 = random_below(random, 256);
	if (cmd.opcode == NVME_CREATE_SQ || cmd.opcode == NVME_CREATE_CQ) {
		if (!hostile_now(&h->land, random))
			cmd.prp1 = scratch_page(h, random);
		cmd.cdw10 = random_below(random, QUEUE_DEPTH) << 16 | id;
		cmd.cdw11 = random_below(random, NVME_MAX_IO) << 16 | 3;
	} else if (cmd.opcode == NVME_DOORBELL_BUFFER) {
		cmd.prp1 &= ~(PAGE - 1);
		cmd.prp2 &= ~(PAGE - 1);
	} else if (cmd.opcode == NVME_DELETE_SQ || cmd.opcode == NVME_DELETE_CQ) {
		cmd.cdw10 = id;
	} else if (cmd.opcode == NVME_GET_LOG) {
		cmd.cdw10 = 1 + random_below(random, 5) + (random_below(random, 2048) << 16);
	}
	return cmd;
}

/* One field or more becomes something else */
static void mutate(struct nvme_cmd *cmd, u64 *random)
{
	u32 words[sizeof(*cmd) / sizeof(u32)];

	memcpy(words, cmd, sizeof(words));
	do
		words[random_below(random, ARRAY_SIZE(words))] = hostile_number(random);
	while (one_in(random, 3));
	memcpy(cmd, words, sizeof(words));
}

/* A list of addresses; some lists go on in themselves */
static void store_list(struct hostile_nvme *h, u64 *random, u8 *page)
{
	u64 *list = (u64 *)page;

	for (unsigned int i = random_below(random, 16); i < 512; i += 1 + random_below(random, 8))
		list[i] = hostile_address(&h->land, random) & ~(PAGE - 1);
	if (one_in(random, 2))
		list[511] = scratch_page(h, random);
}

static void step_queues(struct hostile_thread *t)
{
	struct hostile_nvme *h = t->owner;
	u8 *page = h->scratch + random_below(&t->random, SCRATCH_PAGES) * PAGE;
	struct nvme_queue *q = &h->nvme.io[1 + random_below(&t->random, NVME_MAX_IO)];
	struct nvme_cmd cmd = some_io(h, &t->random);

	if (hostile_now(&h->land, &t->random))
		mutate(&cmd, &t->random);
	switch (random_below(&t->random, 8)) {
	case 0:
		store_list(h, &t->random, page);
		break;
	case 1:
		/* In any queue that was created in memory of its own choice */
		memcpy(page + random_below(&t->random, PAGE / sizeof(cmd)) * sizeof(cmd), &cmd,
		       sizeof(cmd));
		break;
	case 2:
		/* Entries that the device has posted, or a range of Dataset Management */
		*(u64 *)(page + random_below(&t->random, 512) * 8) = hostile_number(&t->random);
		break;
	default:
		if (q->sq)
			q->sq[random_below(&t->random, QUEUE_DEPTH)] = cmd;
	}
}

static void step_admin(struct hostile_thread *t)
{
	struct hostile_nvme *h = t->owner;
	struct vfio_dev *dev = &h->rig.dev[current_vf(h)];
	struct nvme_cmd cmd = some_admin(h, &t->random);
	u16 depth = h->nvme.admin.depth;

	if (hostile_now(&h->land, &t->random))
		mutate(&cmd, &t->random);
	cmd.cid = t->steps;
	h->nvme.admin.sq[h->tail] = cmd;
	h->tail = (h->tail + 1) % depth;
	hostile_bar(dev, NVME_DOORBELLS, h->tail, 4, true);
	/* Make room, wherever the device is */
	hostile_bar(dev, NVME_DOORBELLS + 4, random_below(&t->random, depth), 4, true);
}

/* Enable the controller, right or nearly so */
static void enable(struct hostile_nvme *h)
{
	struct vfio_dev *dev = &h->rig.dev[h->vf];
	struct nvme_queue *q = &h->nvme.admin;
	u32 depth = hostile_now(&h->land, &h->random) ? hostile_number(&h->random)
						   : q->depth - 1ULL;
	u32 shift = one_in(&h->random, 4) ? random_below(&h->random, 6) : 0;
	u64 sq = land_iova(&h->land, q->sq), cq = land_iova(&h->land, q->cq);

	if (hostile_now(&h->land, &h->random))
		sq = hostile_address(&h->land, &h->random);
	if (hostile_now(&h->land, &h->random))
		cq = hostile_address(&h->land, &h->random);
	hostile_bar(dev, NVME_CC, 0, 4, true);
	if (!one_in(&h->random, 4))
		sleep_ms(1);
	hostile_bar(dev, NVME_AQA, depth << 16 | depth, 4, true);
	hostile_bar(dev, NVME_ASQ, sq, 8, true);
	hostile_bar(dev, NVME_ACQ, cq, 8, true);
	__atomic_store_n(&h->tail, 0, __ATOMIC_RELAXED);
	hostile_bar(dev, NVME_CC, 4 << 20 | 6 << 16 | shift << 7 | NVME_CC_EN, 4, true);
}

static void disturb(struct hostile_nvme *h)
{
	struct vfio_dev *dev = &h->rig.dev[h->vf];

	h->counts[N_RESETS]++;
	switch (random_below(&h->random, 10)) {
	case 0:
		hostile_bar(dev, NVME_CC, hostile_number(&h->random), 4, true);
		break;
	case 1:
		hostile_bar(dev, NVME_CC, 4 << 20 | 6 << 16 | NVME_CC_EN | NVME_CC_SHN, 4, true);
		break;
	case 2:
		vfio_flr(dev);
		vfio_bus_master(dev, true);
		break;
	case 3:
		must(!vfio_reset(dev));
		vfio_bus_master(dev, true);
		break;
	case 4:
		vfio_bus_master(dev, false);
		sleep_ms(random_below(&h->random, 5));
		vfio_bus_master(dev, true);
		break;
	case 5:
		/* Without memory a store to a mapped page would be a signal */
		for (unsigned int i = random_below(&h->random, h->mapped ? 1 : 8); i; i--)
			hostile_config(dev, &h->random);
		vfio_bus_master(dev, true);
		break;
	default:
		enable(h);
	}
}

static void move(struct hostile_nvme *h)
{
	hostile_move(h->rig.dev, &h->vf, &h->random);
	h->counts[N_MOVES]++;
}

/* Let the threads have the VF until it is dead, or for a while */
static void live(struct hostile_nvme *h)
{
	u64 end = now_ms() + 1 + random_below(&h->random, STEP_MS);
	struct vfio_dev *dev = &h->rig.dev[h->vf];

	while (now_ms() < end) {
		sleep_ms(1);
		if (!(bar_read32(dev, NVME_CSTS) & NVME_CSTS_CFS))
			continue;
		h->counts[N_FATAL]++;
		enable(h);
	}
}

static void begin_threads(struct hostile_nvme *h)
{
	static void (*const bodies[THREADS])(struct hostile_thread *t) = {
		step_registers, step_doorbells, step_queues, step_admin,
	};

	h->stop = false;
	h->mapped = one_in(&h->random, 2);
	for (unsigned int i = 0; i < THREADS; i++)
		hostile_begin(&h->threads[i], bodies[i], h, next_random(&h->random), &h->stop);
}

static void end_threads(struct hostile_nvme *h)
{
	static const enum nvme_count counts[THREADS] = {
		N_REGISTERS, N_DOORBELLS, N_QUEUES, N_COMMANDS,
	};

	__atomic_store_n(&h->stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < THREADS; i++) {
		hostile_end(&h->threads[i]);
		h->counts[counts[i]] += h->threads[i].steps;
	}
}

/* A driver at all queues: what it writes by one it reads by another */
static void check_data(struct hostile_nvme *h)
{
	struct nvme *nvme = &h->nvme;
	u32 blocks = CHECK_BYTES / nvme->lba_size;
	u8 *data = h->scratch;

	for (unsigned int i = 1; i <= NVME_MAX_IO; i++)
		must(!nvme_create_io(nvme, i, QUEUE_DEPTH, -1));
	for (unsigned int i = 1; i <= NVME_MAX_IO; i++) {
		u64 seed = next_random(&h->random);
		u64 first = random_below(&h->random, nvme->lbas - blocks);

		fill_pattern(data, CHECK_BYTES, seed);
		must(!nvme_rw(nvme, &nvme->io[i], NVME_WRITE, first, blocks, data));
		memset(data, 0, CHECK_BYTES);
		must(!nvme_rw(nvme, &nvme->io[NVME_MAX_IO + 1 - i], NVME_READ, first, blocks,
			      data));
		if (!is_pattern(data, CHECK_BYTES, seed))
			fail(__FILE__, __LINE__, "%s: queue %u: wrong data", nvme->dev->bdf, i);
		h->counts[N_CHECKED] += CHECK_BYTES;
	}
}

/* Commands by the SMART log, which counts those that succeed, and its errors */
static u64 executed(struct hostile_nvme *h)
{
	static const unsigned int counters[] = { 64, 80, 176 };
	u64 sum = 0, n;

	must(!nvme_get_log(&h->nvme, SMART_LOG, h->scratch, 512));
	for (unsigned int i = 0; i < ARRAY_SIZE(counters); i++) {
		memcpy(&n, h->scratch + counters[i], sizeof(n));
		sum += n;
	}
	return sum;
}

/* Reset the VF in some way; then nothing of the episode is left */
static void check_as_new(struct hostile_nvme *h, unsigned int vf)
{
	struct vfio_dev *dev = &h->rig.dev[vf];
	u32 value;

	h->nvme.dev = dev;
	if (hostile_reset(dev, &h->random)) {
		must(!bar_read32(dev, NVME_CC) && !bar_read32(dev, NVME_AQA));
		must(!bar_read64(dev, NVME_ASQ) && !bar_read32(dev, 0x0c));
	}
	nvme_restart(&h->nvme);
	must(mig_get(dev) == RUNNING);
	if (bar_read32(dev, NVME_CSTS) != NVME_CSTS_RDY)
		fail(__FILE__, __LINE__, "%s: CSTS 0x%x after a reset", dev->bdf,
		     bar_read32(dev, NVME_CSTS));
	must(!nvme_get_feature(&h->nvme, ARBITRATION, &value));
	must(value == ARBITRATION_DEFAULT);
	if (vf == h->vf)
		h->counts[N_EXECUTED] += executed(h) - h->executed;
	check_data(h);
	if (vf == h->vf)
		h->executed = executed(h);
	land_check(&h->land);
}

/* One after the other, alone with the memory of both */
static void check_all(struct hostile_nvme *h)
{
	for (unsigned int i = 0; i < RIG_DEVS; i++) {
		hostile_bus_masters(h->rig.dev, RIG_DEVS, false);
		check_as_new(h, i);
	}
	hostile_bus_masters(h->rig.dev, RIG_DEVS, true);
}

/* At least one episode, and a command that the VF executed for the hostile guest */
static bool goes_on(const struct hostile_nvme *h)
{
	return stress_goes_on_until(h->counts[N_EXECUTED], h->counts[N_EPISODES]);
}

static void episode(struct hostile_nvme *h)
{
	static const unsigned int latencies[] = { 0, 0, 500, 10000 };
	unsigned int n = 4 + random_below(&h->random, EPISODE_STEPS);

	must(!pf_attr_set(h->rig.pf, "io_latency_us",
			  latencies[random_below(&h->random, ARRAY_SIZE(latencies))]));
	hostile_temper(&h->land, &h->random);
	begin_threads(h);
	while (n-- && goes_on(h)) {
		live(h);
		if (one_in(&h->random, 4))
			move(h);
		else
			disturb(h);
	}
	end_threads(h);
	must(!pf_attr_set(h->rig.pf, "io_latency_us", 0));
	land_check(&h->land);
	check_all(h);
	h->counts[N_EPISODES]++;
}

u64 hostile_nvme_run(struct hostile_nvme *h)
{
	while (goes_on(h))
		episode(h);
	for (unsigned int i = 0; i < N_COUNTS; i++)
		stress_say("guest: %10llu %s", h->counts[i], names[i]);
	return h->counts[N_EXECUTED];
}

const char *hostile_nvme_open(struct hostile_nvme **to, u64 seed)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = 1 };
	struct hostile_nvme *h = calloc(1, sizeof(*h));
	const char *why;

	must(h);
	*to = h;
	h->random = stress_seed(seed, 1);
	why = rig_open_best(&h->rig, &vfs);
	if (why)
		return why;
	must(!pf_attr_set(h->rig.pf, "doorbell_poll_us", 100));
	must(!pf_attr_set(h->rig.pf, "map_registers", 1));
	land_init(&h->land, MIB(8));
	for (unsigned int i = 0; i < RIG_DEVS; i++) {
		land_map(&h->land, &h->rig.iommu[i]);
		h->bells[i] = bells_map(&h->rig.dev[i]);
		h->regs[i] = regs_map(&h->rig.dev[i]);
	}
	nvme_init(&h->nvme, &h->rig.dev[0], &h->land.rw);
	h->scratch = arena_alloc(&h->land.rw, SCRATCH_PAGES * PAGE);
	check_data(h);
	h->executed = executed(h);
	return NULL;
}

void hostile_nvme_close(struct hostile_nvme *h)
{
	if (h && h->rig.devs) {
		for (unsigned int i = 0; i < RIG_DEVS; i++) {
			if (h->bells[i])
				bells_unmap(h->bells[i]);
			if (h->regs[i])
				regs_unmap(h->regs[i]);
		}
		rig_close(&h->rig);
	}
	free(h);
}
