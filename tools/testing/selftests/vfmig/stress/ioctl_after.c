// SPDX-License-Identifier: GPL-2.0-only
/* What the VFs of ioctl_stress are good for at the end: I/O, here and on another VF after a move */
#include <string.h>

#include "../lib/net_rig.h"
#include "../lib/rig.h"
#include "command.h"
#include "ioctl.h"

#define DATA_SIZE	(16 * PAGE)
#define FRAME_SIZE	200

static void read_back(struct rig *rig, u8 *buf, u64 seed)
{
	memset(buf, 0, DATA_SIZE);
	nvme_read_bytes(&rig->nvme, 0, buf, DATA_SIZE);
	must(is_pattern(buf, DATA_SIZE, seed));
}

static void check_nvme_vfs(struct fuzz *fuzz, unsigned int first)
{
	struct pf_vfs vfs = { .count = IOCTL_NVME_VFS };
	struct rig rig = { .first_vf = first };
	const char *why;
	u8 *buf;

	why = rig_open(&rig, &vfs, IOMMU_TYPE1, 2);
	if (why)
		fail(__FILE__, __LINE__, "%s", why);
	/* They are those that were used */
	must(!strcmp(rig.dev[0].bdf, fuzz->vf[first]));
	must(!vfio_reset(&rig.dev[0]));
	must(!vfio_reset(&rig.dev[1]));
	rig_start(&rig);
	buf = arena_alloc(&rig.mem, DATA_SIZE);
	fill_pattern(buf, DATA_SIZE, first);
	nvme_write_bytes(&rig.nvme, 0, buf, DATA_SIZE);
	read_back(&rig, buf, first);
	rig_move(&rig, RUNNING);
	read_back(&rig, buf, first);
	rig_close(&rig);
}

struct net_after {
	struct net_rig rig;
	struct vnet net;
	struct port_frame out;
	struct vnet_frame in;
};

/* A frame each way, with two numbers from @seq on */
static void exchange(struct net_after *n, unsigned int dev, u32 seq)
{
	struct port *port = &n->rig.port[dev];
	u8 frame[FRAME_SIZE];

	frame_make(frame, mac_broadcast, n->net.mac, seq, sizeof(frame));
	vnet_send(&n->net, 0, frame, sizeof(frame));
	must(port_expect(port, &n->out, seq));
	must(port_wait_carrier(port));
	frame_make(frame, n->net.mac, mac_other, seq + 1, sizeof(frame));
	port_send(port, frame, sizeof(frame));
	must(vnet_expect(&n->net, &n->in, seq + 1));
}

static void check_net_vfs(struct fuzz *fuzz)
{
	struct net_after *n = shared_alloc(sizeof(*n));
	const char *why;

	bdf_copy(n->rig.pf, fuzz->pf[1]);
	why = net_rig_open_vfs(&n->rig, IOMMU_TYPE1, IOCTL_NET_VFS);
	if (why)
		fail(__FILE__, __LINE__, "%s", why);
	must(!strcmp(n->rig.dev[0].bdf, fuzz->vf[IOCTL_NVME_VFS]));
	must(!vfio_reset(&n->rig.dev[0]));
	must(!vfio_reset(&n->rig.dev[1]));
	net_rig_start(&n->rig, 0, &n->net, VNET_ALL, 1);
	exchange(n, 0, 1);
	net_rig_move(&n->rig, &n->net, 1, RUNNING);
	exchange(n, 1, 3);
	net_rig_close(&n->rig);
}

void check_vfs(struct fuzz *fuzz)
{
	for (unsigned int vf = 0; vf < IOCTL_VFS; vf++)
		command_clear(fuzz->vf[vf]);
	for (unsigned int vf = 0; vf < IOCTL_NVME_VFS; vf += 2)
		check_nvme_vfs(fuzz, vf);
	check_net_vfs(fuzz);
}
