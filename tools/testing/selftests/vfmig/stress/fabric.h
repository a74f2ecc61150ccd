/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of fabric_stress.
 *
 * Each VF has a user, a thread that opens it whenever it is there, and two administrators take
 * VFs, PFs and drivers away and bring them back, whatever the users are at.  A user gives the VF
 * back when VFIO asks for it.  A round ends with nothing left: no VF, and no module.
 */
#ifndef VFMIG_FABRIC_H
#define VFMIG_FABRIC_H

#include <pthread.h>

#include "nvme.h"
#include "stress.h"
#include "virtio_net.h"

#define FABRIC_PFS	2	/* of NVMe, and of virtio-net */
#define NVME_USERS	4
#define NET_USERS	2
#define USERS		(NVME_USERS + NET_USERS)
#define ADMINS		2
#define RACE_PAGES	8
#define RACE_IOVA	0x300000000ULL
#define TAGS		64

/* What is counted; fabric_stress.c has the names */
enum fabric_op {
	OP_OPEN, OP_OPEN_FAILED, OP_ASKED, OP_START, OP_LOST, OP_WRITE, OP_VERIFY, OP_RACE,
	OP_DMA_GOOD, OP_DMA_FAULT, OP_DETACH, OP_REPLACE, OP_CLOSE_IN_DMA, OP_VF_RESET_VFIO,
	OP_NET_START, OP_NET_VERIFY, OP_NET_GOOD, OP_NET_FAULT,
	OP_CLASS, OP_NUMVFS_OFF, OP_NUMVFS_ON, OP_RESET_PF, OP_RESET_VF, OP_REBIND, OP_REMOVE_PF,
	OP_UNBIND_PF, OP_LATENCY, OP_UNLOAD, OP_UNLOAD_DRIVER,
	FABRIC_OPS
};

struct fabric;

/* A thread */
struct worker {
	pthread_t thread;
	u64 random;
	u64 ops[FABRIC_OPS];
	struct stress_watch watch;
	struct fabric *fabric;
	struct user *user;	/* NULL for an administrator */
	/* The PF of the last pf_reset_watch(), and its resets that had ended then */
	unsigned int watched_pf;
	u64 resets_before;
};

/**
 * struct user - of a VF, if it is there
 * @pf, @vf: which VF
 * @beside: another address space of the same iommufd, if @has_beside
 * @mem: for queues and data, in both
 * @race: memory that is mapped at RACE_IOVA, or NULL
 * @tags: seeds of what is on the disk, by page; 0 if that is not known
 * @started: the driver runs
 */
struct user {
	unsigned int pf, vf;
	char bdf[BDF_SIZE];
	enum iommu_mode mode;
	struct iommu iommu, beside;
	bool has_beside;
	struct vfio_dev dev;
	int request;
	bool asked;
	struct arena mem;
	struct nvme nvme;	/* of a disk */
	struct virtio vio;	/* of a NIC, like the next */
	struct virtq ctrl;
	u8 *buf;
	u8 *race;
	u64 tags[TAGS];
	bool started;
};

struct fabric {
	char pf[FABRIC_PFS][BDF_SIZE];
	char driver[64];	/* of the PFs */
	struct virtio layout;	/* where a NIC has its registers */
	bool iommufd;
	bool pf_can_go, pf_can_be_unbound;
	/* Resets of each PF that have begun, and that have ended */
	u64 resets_begun[FABRIC_PFS], resets_ended[FABRIC_PFS];
	/*
	 * Held for writing while there may be a child that has not executed its program yet: it has
	 * all fds, and what is closed here stays open.
	 */
	pthread_rwlock_t children;
	struct user user[USERS];
	struct worker worker[USERS + ADMINS];
	bool admins_stop, users_stop;
};

/* ---- fabric_user.c: sessions with a VF */
void user_init(struct fabric *fabric, unsigned int index);
void *user_thread(void *arg);
/* Has VFIO asked for the VF back? */
bool user_is_asked(struct user *u);
/*
 * A reset of the PF takes its VFs away and brings them back.  Was there one, at least in part,
 * between a call of pf_reset_watch() and that of pf_reset_seen()?
 */
void pf_reset_watch(struct worker *w, unsigned int pf);
bool pf_reset_seen(struct worker *w);
/* 0, or the -errno of a VFIO_DEVICE_RESET that another reset came in the way of */
int user_reset(struct worker *w);
/* False if a reset of the PF has taken the VF away */
bool user_bus_master(struct worker *w);

/* ---- fabric_dma.c: DMA that is verified, and DMA to memory that goes */
/* Reset the VF and start the driver; false if somebody else's reset came in between */
bool dma_start(struct worker *w);
/* The disk has what was written, or the NIC executes a command */
void dma_verify(struct worker *w);
/* Unmap pages that the device writes to, and use them for something else */
void dma_race(struct worker *w);
/* The same with the whole address space, which the device leaves for a while */
void dma_detach(struct worker *w);
/* The same with the whole address space, in place of which the device gets another one */
void dma_replace(struct worker *w);
/* The same with the device, which is closed.  False, with nothing done, if a child may have it. */
bool dma_close(struct worker *w);
/* Those that were counted for the VF; 0 if the PF has no driver any more */
u64 dma_faults(struct user *u);

/* ---- fabric_net.c: what is different for a NIC */
bool net_start(struct worker *w);
void net_verify(struct worker *w);
/* Commands for whose results the device writes to the memory at RACE_IOVA */
void net_begin(struct user *u);
void net_await(struct worker *w, u64 faults);

/* ---- fabric_stress.c */
u64 ops_done(struct fabric *fabric, enum fabric_op op);

/* ---- fabric_admin.c */
void *admin_thread(void *arg);
/* An action of the administrators that none of them has done yet, or FABRIC_OPS */
enum fabric_op admin_missing(struct fabric *fabric);

#endif /* VFMIG_FABRIC_H */
