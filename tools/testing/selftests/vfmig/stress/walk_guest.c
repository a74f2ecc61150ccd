// SPDX-License-Identifier: GPL-2.0-only
/* Drivers on the devices of a walk, and data that is verified */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "walk.h"

#define QUEUE_DEPTH	64
#define BLOCKS		(PAGE / 512)	/* of a granule */
#define BUF_PAGES	16
#define RUN_MAX		8
#define FRAME_SIZE	120

void guest_init(struct guest *g)
{
	arena_init(&g->mem);
	g->buf = arena_alloc(&g->mem, BUF_PAGES * PAGE);
	g->granules = MIB(MEDIUM_MB) / PAGE;
}

void guest_forget(struct guest *g)
{
	memset(g->unknown, true, sizeof(g->unknown));
}

static void nvme_do(struct walk_dev *d, u8 opcode, unsigned int granule, unsigned int count)
{
	struct nvme *nvme = &d->guest->nvme;
	int status;

	status = nvme_rw(nvme, &nvme->io[1], opcode, granule * BLOCKS, count * BLOCKS,
			 d->guest->buf);
	if (status)
		fail(__FILE__, __LINE__, "%s: opcode %u, granule %u of %u: status 0x%x", d->bdf,
		     opcode, granule, d->guest->granules, status);
}

static void check_granule(struct walk_dev *d, unsigned int i)
{
	struct guest *g = d->guest;

	if (g->unknown[i])
		return;
	memset(g->buf, 0x5a, PAGE);
	nvme_do(d, NVME_READ, i, 1);
	if (g->tags[i] ? !is_pattern(g->buf, PAGE, g->tags[i]) : !is_filled(g->buf, PAGE, 0))
		fail(__FILE__, __LINE__, "%s: granule %u of %u is wrong (tag 0x%llx)", d->bdf, i,
		     g->granules, g->tags[i]);
}

static void write_granules(struct actor *a, struct walk_dev *d, unsigned int i, unsigned int n)
{
	struct guest *g = d->guest;

	for (unsigned int k = 0; k < n; k++) {
		g->tags[i + k] = next_random(&a->random) | 1;
		g->unknown[i + k] = false;
		fill_pattern(g->buf + k * PAGE, PAGE, g->tags[i + k]);
	}
	nvme_do(d, NVME_WRITE, i, n);
}

static void nothing_written(struct guest *g)
{
	memset(g->tags, 0, sizeof(g->tags));
	memset(g->unknown, false, sizeof(g->unknown));
}

/* Write what is not known, or drop all of it if that is much */
static void learn_medium(struct actor *a, struct walk_dev *d)
{
	struct guest *g = d->guest;
	unsigned int unknown = 0;

	for (unsigned int i = 0; i < g->granules; i++)
		unknown += g->unknown[i];
	if (unknown > RUN_MAX) {
		nvme_deallocate_all(&g->nvme);
		nothing_written(g);
		return;
	}
	for (unsigned int i = 0; i < g->granules; i++)
		if (g->unknown[i])
			write_granules(a, d, i, 1);
}

static void nvme_revive(struct actor *a, struct walk_dev *d)
{
	struct guest *g = d->guest;

	g->nvme.dev = &d->dev;
	if (g->ever)
		nvme_restart(&g->nvme);
	else
		nvme_init(&g->nvme, &d->dev, &g->mem);
	must(!nvme_create_io(&g->nvme, 1, QUEUE_DEPTH, 1));
	g->nvme.lbas = g->granules * BLOCKS;
	g->ever = true;
	guest_check(a, d, RUN_MAX);
	learn_medium(a, d);
}

static void net_revive(struct walk_dev *d)
{
	vnet_start(&d->guest->net, &d->dev, &d->guest->mem, VNET_ALL, 1);
	d->guest->ever = true;
}

void guest_revive(struct actor *a, struct walk_dev *d)
{
	alone_reset(a, d);
	if (d->pf->nvme)
		nvme_revive(a, d);
	else
		net_revive(d);
	d->guest->alive = true;
}

static void net_io(struct actor *a, struct walk_dev *d)
{
	struct vnet *net = &d->guest->net;
	u8 frame[FRAME_SIZE] = { 0x02, 0, 0, 0, 0, 1 };

	memcpy(frame + ETH_ALEN, net->mac, ETH_ALEN);
	frame[12] = 0x88;
	frame[13] = 0xb5;
	vnet_send(net, 0, frame, sizeof(frame));
	if (!wait_until(!vnet_reap(net, 0)))
		fail(__FILE__, __LINE__, "%s: a frame is not sent", d->bdf);
	if (one_in(&a->random, 4))
		must(vnet_ctrl(net, VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC,
			       &(u8){ 1 }, 1) == VIRTIO_NET_OK);
}

void guest_check(struct actor *a, struct walk_dev *d, unsigned int granules)
{
	struct virtio_net_config config;

	if (d->pf->nvme) {
		while (granules--)
			check_granule(d, random_below(&a->random, d->guest->granules));
		return;
	}
	virtio_config(&d->guest->net.vio, 0, &config, sizeof(config.mac));
	must(!memcmp(config.mac, d->guest->net.mac, ETH_ALEN));
}

void guest_io(struct actor *a, struct walk_dev *d)
{
	unsigned int n = 1 + random_below(&a->random, RUN_MAX);

	if (!d->pf->nvme)
		net_io(a, d);
	else if (one_in(&a->random, 2))
		write_granules(a, d, random_below(&a->random, d->guest->granules - n), n);
	else
		guest_check(a, d, 1);
	a->ops[OP_IO]++;
}

/* Owner only.  What becomes of the command nobody knows. */
void guest_kick(struct actor *a, struct walk_dev *d)
{
	struct guest *g = d->guest;
	struct nvme_queue *q = &g->nvme.io[1];
	unsigned int i = random_below(&a->random, g->granules);
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE, i * BLOCKS, BLOCKS);
	u32 tail;

	if (!d->pf->nvme || !g->ever || !q->depth)
		return;
	g->unknown[i] = true;
	nvme_set_prps(&g->nvme, q, &cmd, g->buf, PAGE);
	nvme_submit(&g->nvme, q, &cmd);
	q->rung = q->tail;
	tail = q->tail;
	/* Memory may be disabled */
	if (pwrite(d->dev.fd, &tail, sizeof(tail),
		   d->dev.bar0 + NVME_DOORBELLS + (8ULL << (g->nvme.cap >> 32 & 0xf))) < 0)
		return;
	a->ops[OP_IO]++;
}

void guest_format(struct actor *a, struct walk_dev *d)
{
	struct nvme_cmd cmd = { .opcode = NVME_FORMAT_NVM, .nsid = 1 };

	must(!nvme_admin(&d->guest->nvme, cmd));
	a->ops[OP_FORMAT]++;
	nothing_written(d->guest);
	guest_check(a, d, 2);
}

void guest_resize(struct actor *a, struct walk_dev *d)
{
	unsigned int mb = 1 + random_below(&a->random, MEDIUM_MB_MAX);
	struct guest *g = d->guest;
	char text[16];

	snprintf(text, sizeof(text), "%u", mb);
	must(!file_write(vf_debugfs(d->bdf, "media_mb"), text));
	a->ops[OP_RESIZE]++;
	for (unsigned int i = MIB(mb) / PAGE; i < GRANULES_MAX; i++) {
		g->tags[i] = 0;
		g->unknown[i] = false;
	}
	g->granules = MIB(mb) / PAGE;
	g->nvme.lbas = g->granules * BLOCKS;
	guest_check(a, d, 2);
}
