/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of walk_stress.
 *
 * Each device has an owner, the thread that opens it.  An owner alternates between two kinds
 * of segments.  In one it is alone with its device and knows what each call must return: the
 * state, the errno, what a data fd answers, what the medium holds.  In the other, intruders do
 * anything to the device at the same time, and the model keeps the set of states that it can
 * be in.  An administrator resets PFs, unbinds drivers and removes VFs.
 */
#ifndef VFMIG_WALK_H
#define VFMIG_WALK_H

#include <pthread.h>

#include "mig.h"
#include "nvme.h"
#include "stress.h"
#include "virtio_net.h"

#define NVME_VFS	3
#define NET_VFS		2
#define DEVS		(NVME_VFS + NET_VFS)
#define PFS		2
#define INTRUDERS	3
#define ACTORS		(DEVS + INTRUDERS + 1)	/* threads; the last is the administrator */
#define SLOTS		4	/* data fds that are kept of a device */
#define MEDIUM_MB	1
#define MEDIUM_MB_MAX	2
#define GRANULES_MAX	(MIB(MEDIUM_MB_MAX) / PAGE)

/* What is counted; walk_stress.c has the names */
enum walk_op {
	OP_SET, OP_GET, OP_READ, OP_WRITE, OP_FD_CLOSE, OP_INFO, OP_SIZE, OP_LOG, OP_RESET_VFIO,
	OP_RESET_FLR, OP_RESET_SYSFS, OP_RESET_PF, OP_HOT_RESET, OP_COMMAND, OP_MAP, OP_IO,
	OP_FORMAT, OP_RESIZE, OP_MOVE, OP_ABORT, OP_REFUSE, OP_REOPEN, OP_FAULT, OP_UNBIND,
	OP_NUMVFS, OP_UNLOAD, OP_RELOAD,
	OPS
};

/* ---- walk_model.c: the states that a device can be in */

#define BIT_OF(state)	(1U << (state))
#define ANY_STATE	(BIT_OF(STATES) - 1)

enum flight_kind { FLIGHT_NONE, FLIGHT_GET, FLIGHT_SET, FLIGHT_RESET, FLIGHT_GONE };

/* A call that is under way */
struct flight {
	enum flight_kind kind;
	u32 target;
	u64 epoch;	/* of the model when it began */
	u64 resets;
};

/**
 * struct model - what is known of a device
 * @lock: protects the rest
 * @set: the states that it can be in, a bit each
 * @flights: the calls under way, one for each thread
 * @epoch: calls that have begun
 * @resets: resets that have begun
 * @faults: faults may be set
 */
struct model {
	pthread_mutex_t lock;
	u32 set;
	struct flight flights[ACTORS];
	u64 epoch;
	u64 resets;
	bool faults;
};

void model_init(struct model *m);
/* Nobody else has the device, and it is known to be in @state */
void model_is(struct model *m, u32 state);
void model_begin(struct model *m, unsigned int actor, enum flight_kind kind, u32 target);
/* @result is the state for FLIGHT_GET, 0 or -errno for others.  Fails if it can't be. */
void model_end(struct model *m, unsigned int actor, int result);

/* The next state on the way; ERROR if there is no way */
u32 walk_next(u32 from, u32 to);
/* Does this arc return a data fd? */
bool walk_arc_has_fd(u32 from, u32 to);

/* What SET_STATE must do when nobody interferes */
struct outcome {
	u32 state;
	int err;
	bool fd;
};

struct outcome walk_outcome(u32 from, u32 to, bool load_complete);

/* ---- walk_dev.c: devices and data fds */

enum fd_kind { FD_SAVE, FD_LOAD };

/* A data fd.  A reader has a reference, so that it is not closed in a reader's hands. */
struct slot {
	int fd;			/* -1 if free */
	unsigned int refs;
	bool closing;
	enum fd_kind kind;
	unsigned int session;	/* that it belongs to */
	bool at_end;		/* the reader was told so */
	size_t written;		/* bytes of some stream, by a crowd */
};

/* What moves: memory, a driver, and what is on the disk */
struct guest {
	struct arena mem;
	struct nvme nvme;
	struct vnet net;
	bool alive;		/* the driver runs on the device */
	bool ever;		/* it has run */
	u8 *buf;
	unsigned int granules;
	u64 tags[GRANULES_MAX];	/* seed of the contents; 0 for zeros */
	bool unknown[GRANULES_MAX];
};

struct walk_pf {
	char bdf[BDF_SIZE];
	bool nvme;
	unsigned int vfs;
	/*
	 * Held for reading while a model must be exact, and while a VF is opened.  Held for
	 * writing to reset the PF, and to take VFs or their driver away.
	 */
	pthread_rwlock_t calm;
};

/**
 * struct walk_dev - a VF
 * @gate: held for reading by everybody who uses the device, for writing by who wants it alone
 * @evict: the administrator wants it closed; @out: the owner has closed it
 * @state: known while one is alone with it
 * @session: number of the current session; @in_session if there is one
 * @stream: the last stream that was read in one go, under @stream_lock
 */
struct walk_dev {
	unsigned int index;
	struct walk_pf *pf;
	unsigned int vf;
	char bdf[BDF_SIZE];
	enum iommu_mode mode;
	pthread_rwlock_t gate;
	bool evict, out;
	struct iommu iommu;
	struct vfio_dev dev;
	u32 flr;		/* offset of Device Control */
	bool has_log;		/* not on a kernel without iova_bitmap */
	int irq[2];
	int request;
	struct model model;
	u32 state;
	unsigned int session;
	bool in_session;
	bool load_complete;
	bool logging;
	pthread_mutex_t slot_lock;
	struct slot slots[SLOTS];
	pthread_mutex_t stream_lock;
	struct blob stream;
	struct guest *guest;
};

/* A thread */
struct actor {
	pthread_t thread;
	unsigned int index;
	u64 random;
	u64 ops[OPS];
	struct walk *walk;
	struct walk_dev *dev;	/* of an owner */
};

struct walk {
	struct walk_pf pf[PFS];
	struct walk_dev dev[DEVS];
	struct guest guest[DEVS];
	struct actor actor[ACTORS];
	enum iommu_mode best_mode;
	bool stop;
};

/* What a thread may do to a device; @weight says how often, beside other steps */
struct walk_step {
	void (*step)(struct actor *a, struct walk_dev *d);
	unsigned int weight;
};

/* Take one of @count steps */
void random_step(struct actor *a, struct walk_dev *d, const struct walk_step *steps,
		 unsigned int count);

void dev_setup(struct walk *walk, unsigned int index, struct walk_pf *pf, unsigned int vf);
void dev_open(struct walk_dev *d);
void dev_close(struct walk_dev *d);
/* Close all data fds */
void dev_drop_fds(struct walk_dev *d);
/* Keep a data fd; another one may have to go */
void dev_keep_fd(struct walk_dev *d, u64 *random, int fd, enum fd_kind kind);
/* A random data fd, with a reference, or NULL */
struct slot *dev_take_fd(struct walk_dev *d, u64 *random);
void dev_put_fd(struct walk_dev *d, struct slot *slot);
/* Close a random one, when its last user is through; false if there is none */
bool dev_close_fd(struct walk_dev *d, u64 *random);
/* That of the current session, when nobody else has the device; -1 if it was closed */
int dev_current_fd(struct walk_dev *d);
/* A copy of the last stream of a random device of the same model; false if there is none */
bool dev_some_stream(struct walk *walk, struct walk_dev *d, u64 *random, struct blob *blob);

/* ---- walk_alone.c: alone with a device */

/* False if the device is closed, or the PF is not calm */
bool alone_segment(struct actor *a);
/* The gate is held for writing: from the set of states to the one that the device is in */
void alone_begin(struct actor *a, struct walk_dev *d);
/* SET_STATE and all that can be said of the result */
void alone_set(struct actor *a, struct walk_dev *d, u32 target);
void alone_reset(struct actor *a, struct walk_dev *d);
static inline bool in_use(const struct walk_dev *d)
{
	return d->state == RUNNING || d->state == PRE_COPY;
}

/* ---- walk_guest.c: drivers on devices, data that is verified */
void guest_init(struct guest *g);
/* Reset the device and start the driver; the medium is verified as far as it is known */
void guest_revive(struct actor *a, struct walk_dev *d);
/* Write something, read something back.  The device runs. */
void guest_io(struct actor *a, struct walk_dev *d);
/* Start I/O and don't wait; whatever the device does at the moment */
void guest_kick(struct actor *a, struct walk_dev *d);
void guest_format(struct actor *a, struct walk_dev *d);
void guest_resize(struct actor *a, struct walk_dev *d);
void guest_check(struct actor *a, struct walk_dev *d, unsigned int granules);
/* Nothing is known of the medium */
void guest_forget(struct guest *g);

/* ---- walk_move.c: from VF to VF */
void move_guest(struct actor *a, struct walk_dev *from);

/* ---- walk_crowd.c: several threads at one device */
void *owner_thread(void *arg);
void *intruder_thread(void *arg);
/* Do something to the device, if it is open and nobody is alone with it; false if not */
bool crowd_step(struct actor *a, struct walk_dev *d);

/* ---- walk_admin.c */
void *admin_thread(void *arg);
void admin_load(struct walk *walk);
void admin_unload(struct walk *walk);

#endif /* VFMIG_WALK_H */
