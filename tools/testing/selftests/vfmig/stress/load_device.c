// SPDX-License-Identifier: GPL-2.0-only
/* VFs that streams are loaded into, and what they save to begin with */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/net_rig.h"
#include "../lib/rig.h"
#include "../lib/shadow.h"
#include "load.h"

#define LATENCY_US	1000000
#define QUEUES		5
#define DEPTH		32
#define BLOCKS		8	/* of a page */
#define FRAME_SIZE	200
#define PAIRS		2

static void save_seed(struct subject *s, struct corpus *corpus)
{
	struct blob blob = {};

	mig_save(s->dev, &blob);
	corpus_seed(corpus, &blob);
	must(!mig_set(s->dev, RUNNING, NULL));
	blob_free(&blob);
}

struct nvme_part {
	struct rig rig;
	struct shadow shadow;
	u8 *buf;
	bool started;
};

static const char *nvme_open(struct subject *s, unsigned int index)
{
	struct pf_vfs vfs = { .count = SUBJECTS, .media_mb = 1 };
	struct nvme_part *part = calloc(1, sizeof(*part));
	const char *why;

	must(part);
	s->priv = part;
	part->rig.first_vf = index;
	why = rig_open(&part->rig, &vfs, IOMMU_TYPE1, 1);
	if (why)
		return why;
	s->dev = &part->rig.dev[0];
	rig_start(&part->rig);
	part->buf = arena_alloc(&part->rig.mem, 2 * PAGE);
	return NULL;
}

static void nvme_close(struct subject *s)
{
	struct nvme_part *part = s->priv;

	rig_close(&part->rig);
	free(part);
}

static void nvme_start_reads(struct nvme *nvme, u8 *buf)
{
	struct nvme_cmd aer = { .opcode = NVME_AER };

	for (unsigned int i = 0; i < 5; i++)
		nvme_start_rw(nvme, &nvme->io[1 + i % QUEUES], NVME_READ, i * BLOCKS, buf);
	nvme_submit(nvme, &nvme->admin, &aer);
	nvme_submit(nvme, &nvme->admin, &aer);
	nvme_ring(nvme, &nvme->admin);
}

static void nvme_restart_all(struct subject *s)
{
	struct nvme_part *part = s->priv;

	must(!vfio_reset(s->dev));
	rig_irqs(&part->rig, 0);
	part->rig.nvme.shadow = NULL;
	nvme_restart(&part->rig.nvme);
	must(!nvme_create_io(&part->rig.nvme, 1, DEPTH, 1));
}

/* Idle; with data, queues and commands in flight; the same with shadow doorbells */
static void nvme_seeds(struct subject *s, struct corpus *corpus)
{
	struct nvme_part *part = s->priv;
	struct nvme *nvme = &part->rig.nvme;

	save_seed(s, corpus);
	for (unsigned int i = 0; i < 2; i++) {
		nvme_restart_all(s);
		for (unsigned int qid = 2; qid <= QUEUES; qid++)
			must(!nvme_create_io(nvme, qid, DEPTH << (qid % 3), qid % 3));
		nvme_deallocate_all(nvme);
		fill_pattern(part->buf, PAGE, i);
		must(!nvme_rw(nvme, &nvme->io[1], NVME_WRITE, 16 * BLOCKS, BLOCKS, part->buf));
		if (i)
			shadow_use(nvme, &part->shadow);
		must(!pf_attr_set(part->rig.pf, "io_latency_us", LATENCY_US));
		nvme_start_reads(nvme, part->buf);
		save_seed(s, corpus);
		must(!pf_attr_set(part->rig.pf, "io_latency_us", 0));
	}
	nvme_restart_all(s);
	must(!nvme_disable(nvme));
	save_seed(s, corpus);
}

static void nvme_works(struct subject *s)
{
	struct nvme_part *part = s->priv;
	struct nvme *nvme = &part->rig.nvme;

	nvme_restart_all(s);
	fill_pattern(part->buf, PAGE, nvme->next_cid);
	must(!nvme_rw(nvme, &nvme->io[1], NVME_WRITE, 8 * BLOCKS, BLOCKS, part->buf));
	memset(part->buf + PAGE, 0, PAGE);
	must(!nvme_rw(nvme, &nvme->io[1], NVME_READ, 8 * BLOCKS, BLOCKS, part->buf + PAGE));
	must(!memcmp(part->buf, part->buf + PAGE, PAGE));
}

const struct subject_ops nvme_subject = {
	.open = nvme_open,
	.seeds = nvme_seeds,
	.works = nvme_works,
	.close = nvme_close,
};

/* The memory of a device that does what a stream says is its own, as in no net_rig */
struct net_part {
	char pf[BDF_SIZE];
	struct iommu iommu;
	struct vfio_dev dev;
	struct port port;
	struct arena mem;
	struct vnet net;
	int irq[VNET_VECTORS];
	struct port_frame in;
	struct vnet_frame out;
	u32 seq;
};

static void net_start(struct net_part *part, u64 wanted, unsigned int pairs)
{
	must(!vfio_irqs_set(&part->dev, 0, VNET_VECTORS, part->irq));
	vnet_start(&part->net, &part->dev, &part->mem, wanted, pairs);
	must(port_wait_carrier(&part->port));
	port_drain(&part->port);
}

static const char *net_open(struct subject *s, unsigned int index)
{
	struct pf_vfs vfs = { .model = NET_MODEL, .count = SUBJECTS, .pairs = PAIRS };
	struct net_part *part = calloc(1, sizeof(*part));
	char bdf[BDF_SIZE];
	const char *why;

	must(part);
	why = pf_require(&vfs, part->pf) ?: iommu_init(&part->iommu, IOMMU_TYPE1);
	if (why)
		return why;
	must(pf_vf(part->pf, index, bdf));
	must(!vfio_open(&part->dev, &part->iommu, bdf));
	arena_init(&part->mem);
	arena_map(&part->mem, &part->iommu);
	for (unsigned int i = 0; i < VNET_VECTORS; i++)
		part->irq[i] = event_new();
	s->priv = part;
	s->dev = &part->dev;
	return port_open(&part->port, part->pf, index);
}

static void net_close(struct subject *s)
{
	struct net_part *part = s->priv;

	vfio_close(&part->dev);
	iommu_exit(&part->iommu);
	port_close(&part->port);
	arena_exit(&part->mem);
	for (unsigned int i = 0; i < VNET_VECTORS; i++)
		close(part->irq[i]);
	free(part);
}

/* Addresses of hosts, one here, and of groups */
struct mac_table {
	u32 hosts;
	u8 mac[ETH_ALEN];
	u32 groups;
} __packed;

static void set_filters(struct vnet *net)
{
	struct mac_table table = { .hosts = 1, .mac = { 0x02, 0, 0, 0, 0, 9 } };
	u16 vid = 100;

	must(vnet_ctrl(net, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, &table,
		       sizeof(table)) == VIRTIO_NET_OK);
	must(vnet_ctrl(net, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, &vid, sizeof(vid)) ==
	     VIRTIO_NET_OK);
}

/* Without a driver; with one pair of queues, split, and with all, packed */
static void net_seeds(struct subject *s, struct corpus *corpus)
{
	struct net_part *part = s->priv;

	save_seed(s, corpus);
	net_start(part, VNET_ALL, 1);
	set_filters(&part->net);
	save_seed(s, corpus);
	must(!vfio_reset(s->dev));
	net_start(part, VNET_PACKED, PAIRS);
	set_filters(&part->net);
	save_seed(s, corpus);
}

/* A frame each way */
static void net_works(struct subject *s)
{
	static const u8 host[ETH_ALEN] = { 0x02, 0, 0, 0, 0, 1 };
	struct net_part *part = s->priv;
	u8 frame[FRAME_SIZE];

	must(!vfio_reset(s->dev));
	net_start(part, VNET_ALL, 1);
	frame_make(frame, host, part->net.mac, ++part->seq, sizeof(frame));
	vnet_send(&part->net, 0, frame, sizeof(frame));
	must(port_expect(&part->port, &part->in, part->seq));
	frame_make(frame, part->net.mac, host, ++part->seq, sizeof(frame));
	port_send(&part->port, frame, sizeof(frame));
	must(vnet_expect(&part->net, &part->out, part->seq));
}

const struct subject_ops net_subject = {
	.open = net_open,
	.seeds = net_seeds,
	.works = net_works,
	.close = net_close,
};
