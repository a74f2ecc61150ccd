// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver of a NIC's user of fabric_stress: commands of the control queue, which are read from
 * memory that goes, and have their results written there.  As anybody may reset the VF at any
 * time, nothing but a command under way says that it has not been reset.
 */
#include <string.h>

#include "fabric.h"

#define CTRL		2	/* the control queue of a driver of one pair */
#define DEPTH		64
#define COMMANDS	20	/* of three descriptors */
#define TABLES		(2 * sizeof(u32))	/* of MAC addresses, both empty */
#define DRIVER		(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)
#define RUNNING_DRIVER	(DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)
#define GONE		0xff	/* what the registers of a VF read that is not there */

/* A reset clears the status */
static bool is_lost(struct user *u)
{
	u8 status = virtio_status(&u->vio);

	return status == GONE || !(status & VIRTIO_CONFIG_S_DRIVER_OK);
}

static void lose(struct worker *w)
{
	w->ops[OP_LOST]++;
	w->user->started = false;
}

static void set_up_queue(struct user *u)
{
	struct virtio *vio = &u->vio;
	struct virtq *q = &u->ctrl;

	q->vio = vio;
	q->index = CTRL;
	q->size = DEPTH;
	virtq_clear(q);
	q->notify = vio->notify.offset + (u64)vio->notify_step *
		    queue_read(vio, CTRL, VIRTIO_PCI_COMMON_Q_NOFF);
	queue_write(vio, CTRL, VIRTIO_PCI_COMMON_Q_SIZE, DEPTH);
	queue_write64(vio, CTRL, VIRTIO_PCI_COMMON_Q_DESCLO, arena_iova(vio->mem, q->desc));
	queue_write64(vio, CTRL, VIRTIO_PCI_COMMON_Q_AVAILLO, arena_iova(vio->mem, q->avail));
	queue_write64(vio, CTRL, VIRTIO_PCI_COMMON_Q_USEDLO, arena_iova(vio->mem, q->used));
	queue_write(vio, CTRL, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
}

bool net_start(struct worker *w)
{
	struct user *u = w->user;
	struct virtio *vio = &u->vio;

	if (user_reset(w) || !user_bus_master(w))
		return false;
	*vio = w->fabric->layout;
	vio->dev = &u->dev;
	vio->mem = &u->mem;
	vio->features = VIRTIO_BASIC | FEATURE(VIRTIO_NET_F_CTRL_VQ) |
			FEATURE(VIRTIO_NET_F_CTRL_RX);
	common_write(vio, VIRTIO_PCI_COMMON_STATUS, DRIVER, 1);
	virtio_write_features(vio, vio->features);
	common_write(vio, VIRTIO_PCI_COMMON_STATUS, DRIVER | VIRTIO_CONFIG_S_FEATURES_OK, 1);
	set_up_queue(u);
	common_write(vio, VIRTIO_PCI_COMMON_STATUS, RUNNING_DRIVER, 1);
	/* A reset before the last write has disabled the queue.  A later one clears the status. */
	if (queue_read(vio, CTRL, VIRTIO_PCI_COMMON_Q_ENABLE) != 1 ||
	    virtio_status(vio) != RUNNING_DRIVER)
		return false;
	w->ops[OP_NET_START]++;
	u->started = true;
	return true;
}

/* Set both tables of MAC addresses.  The tables and the result are at @iova. */
static void add_command(struct user *u, u64 iova)
{
	struct virtq_piece pieces[] = {
		piece_out(arena_iova(&u->mem, u->buf), sizeof(struct virtio_net_ctrl_hdr)),
		piece_out(iova, TABLES),
		piece_in(iova + TABLES, 1),
	};

	virtq_add(&u->ctrl, pieces, ARRAY_SIZE(pieces));
}

void net_begin(struct user *u)
{
	u->buf[0] = VIRTIO_NET_CTRL_MAC;
	u->buf[1] = VIRTIO_NET_CTRL_MAC_TABLE_SET;
	for (unsigned int i = 0; i < COMMANDS; i++)
		add_command(u, RACE_IOVA + i % RACE_PAGES * PAGE + i * 64);
	virtq_notify(&u->ctrl);
}

/* Is the next command done, or will it never be? */
static bool is_over(struct user *u, bool *done)
{
	struct virtq_used used;

	*done = virtq_get(&u->ctrl, &used);
	return *done || is_lost(u) || virtio_needs_reset(&u->vio);
}

/* A NIC with a DMA fault needs a reset, and so does one that is being reset under DMA */
static void end(struct worker *w, u64 faults)
{
	struct user *u = w->user;

	if (!is_lost(u) && dma_faults(u) > faults)
		w->ops[OP_NET_FAULT]++;
	else if (!wait_until(is_lost(u)))
		fail(__FILE__, __LINE__, "%s: needs a reset, without a DMA fault", u->bdf);
	lose(w);
}

void net_await(struct worker *w, u64 faults)
{
	struct user *u = w->user;

	for (unsigned int i = 0; i < COMMANDS && u->started; i++) {
		bool done;

		if (!wait_until(is_over(u, &done)))
			fail(__FILE__, __LINE__, "%s: a control command has not ended", u->bdf);
		if (done)
			w->ops[OP_NET_GOOD]++;
		else
			end(w, faults);
	}
}

/* In memory that stays, a command succeeds */
void net_verify(struct worker *w)
{
	u64 faults = dma_faults(w->user);
	struct user *u = w->user;
	u8 *tables = u->buf + 64;
	bool done;

	u->buf[0] = VIRTIO_NET_CTRL_MAC;
	u->buf[1] = VIRTIO_NET_CTRL_MAC_TABLE_SET;
	memset(tables, 0, TABLES);
	tables[TABLES] = 0x5a;
	add_command(u, arena_iova(&u->mem, tables));
	virtq_notify(&u->ctrl);
	if (!wait_until(is_over(u, &done)))
		fail(__FILE__, __LINE__, "%s: a control command has not ended", u->bdf);
	if (!done) {
		must(dma_faults(u) <= faults);
		end(w, faults);
		return;
	}
	must(tables[TABLES] == VIRTIO_NET_OK);
	w->ops[OP_NET_VERIFY]++;
}
