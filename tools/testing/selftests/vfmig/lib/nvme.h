/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small NVMe driver in user space, over VFIO.  All its data is in an arena, so it can
 * continue with another device that has the same state: set nvme.dev to that device.
 */
#ifndef VFMIG_TEST_NVME_H
#define VFMIG_TEST_NVME_H

#include "iommu.h"
#include "vfio_dev.h"

/* Registers */
#define NVME_CAP	0x00
#define NVME_VS		0x08
#define NVME_INTMS	0x0c
#define NVME_INTMC	0x10
#define NVME_CC		0x14
#define NVME_CSTS	0x1c
#define NVME_AQA	0x24
#define NVME_ASQ	0x28
#define NVME_ACQ	0x30
#define NVME_DOORBELLS	0x1000

#define NVME_CC_EN	0x0001
#define NVME_CC_SHN	0x4000	/* normal shutdown */
#define NVME_CC_SHN_MASK 0xc000
#define NVME_CSTS_RDY	0x0001
#define NVME_CSTS_CFS	0x0002
#define NVME_CSTS_SHST_MASK 0x000c
#define NVME_CSTS_SHST_DONE 0x0008

enum nvme_admin_opcode {
	NVME_DELETE_SQ = 0x00,
	NVME_CREATE_SQ = 0x01,
	NVME_GET_LOG = 0x02,
	NVME_DELETE_CQ = 0x04,
	NVME_CREATE_CQ = 0x05,
	NVME_IDENTIFY = 0x06,
	NVME_ABORT = 0x08,
	NVME_SET_FEATURES = 0x09,
	NVME_GET_FEATURES = 0x0a,
	NVME_AER = 0x0c,
	NVME_KEEP_ALIVE = 0x18,
	NVME_DOORBELL_BUFFER = 0x7c,
	NVME_FORMAT_NVM = 0x80,
	NVME_SANITIZE = 0x84,
};

enum nvme_io_opcode {
	NVME_FLUSH = 0x00,
	NVME_WRITE = 0x01,
	NVME_READ = 0x02,
	NVME_COMPARE = 0x05,
	NVME_WRITE_ZEROES = 0x08,
	NVME_DSM = 0x09,
};

/* Status code type << 8 | status code, as the specification names them */
enum nvme_status {
	NVME_OK = 0x000,
	NVME_INVALID_OPCODE = 0x001,
	NVME_INVALID_FIELD = 0x002,
	NVME_DATA_TRANSFER_ERROR = 0x004,
	NVME_INTERNAL_ERROR = 0x006,
	NVME_ABORT_REQUESTED = 0x007,
	NVME_ABORT_SQ_DELETED = 0x008,
	NVME_INVALID_NAMESPACE = 0x00b,
	NVME_SEQUENCE_ERROR = 0x00c,
	NVME_PRP_OFFSET_INVALID = 0x013,
	NVME_SANITIZE_IN_PROGRESS = 0x01d,
	NVME_LBA_OUT_OF_RANGE = 0x080,
	NVME_CAPACITY_EXCEEDED = 0x081,
	NVME_CQ_INVALID = 0x100,
	NVME_INVALID_QID = 0x101,
	NVME_INVALID_QUEUE_SIZE = 0x102,
	NVME_AER_LIMIT = 0x105,
	NVME_INVALID_VECTOR = 0x108,
	NVME_INVALID_LOG_PAGE = 0x109,
	NVME_INVALID_FORMAT = 0x10a,
	NVME_INVALID_QUEUE_DELETION = 0x10c,
	NVME_FEATURE_NOT_SAVEABLE = 0x10d,
	NVME_FEATURE_NOT_CHANGEABLE = 0x10e,
	NVME_FEATURE_NOT_PER_NS = 0x10f,
	NVME_COMPARE_FAILURE = 0x285,
};

/* In the data of Identify Controller */
#define NVME_ID_OACS		256	/* 16 bits */
#define NVME_ID_VWC		525	/* bit 0: there is a volatile write cache */

/* Bits of the status of a completion entry, which has the phase tag */
#define NVME_CQE_MORE		0x4000
#define NVME_CQE_DNR		0x8000

struct nvme_cmd {
	u8 opcode;
	u8 flags;
	u16 cid;
	u32 nsid;
	u32 cdw2;
	u32 cdw3;
	u64 mptr;
	u64 prp1;
	u64 prp2;
	u32 cdw10;
	u32 cdw11;
	u32 cdw12;
	u32 cdw13;
	u32 cdw14;
	u32 cdw15;
};

struct nvme_cqe {
	u32 dw0;
	u32 dw1;
	u16 sq_head;
	u16 sq_id;
	u16 cid;
	u16 status;	/* bit 0 is the phase */
};

#define NVME_MAX_IO	32
#define NVME_VECTORS	33
#define NVME_STASH	1024

/* A submission queue and the completion queue of the same number */
struct nvme_queue {
	u16 id;
	u16 depth;	/* 0 if it does not exist */
	u16 room;	/* entries for which memory is allocated */
	u16 tail;
	u16 rung;	/* the tail that the device was told */
	u16 head;
	u8 phase;
	struct nvme_cmd *sq;
	struct nvme_cqe *cq;
	u8 *lists;	/* pages for PRP lists of the last 16 commands */
	/* completions that were consumed and not asked for yet */
	struct nvme_cqe stash[NVME_STASH];
	unsigned int stashed;
};

struct shadow;

struct nvme {
	struct vfio_dev *dev;
	struct arena *mem;
	u32 *bells;	/* doorbells that are mapped, or NULL to write to the region */
	u32 *regs;	/* other registers that are mapped, or NULL */
	struct shadow *shadow;	/* shadow doorbells, or NULL; see shadow.h */
	/* Says that a reset has come, so that nothing waits for the device; NULL if none can */
	bool (*lost)(struct nvme *nvme);
	u64 cap;
	u32 lba_size;
	u64 lbas;
	u32 max_transfer;	/* bytes */
	u16 next_cid;
	struct nvme_queue admin;
	struct nvme_queue io[NVME_MAX_IO + 1];	/* from 1 */
};

/* Reset the queues in memory, then set CC.EN; 0, -ETIMEDOUT or, if @lost says so, -ECANCELED */
int nvme_enable(struct nvme *nvme);
/* Clear CC.EN and wait until it has taken effect; 0 or -ETIMEDOUT */
int nvme_disable(struct nvme *nvme);
/* Set bus master, enable, and identify namespace 1; fails the test on error */
void nvme_init(struct nvme *nvme, struct vfio_dev *dev, struct arena *mem);
/* As nvme_init(), after a reset of the device, with the memory that is allocated already */
void nvme_restart(struct nvme *nvme);

/* Put a command in the queue, without ringing; returns its cid */
u16 nvme_submit(struct nvme *nvme, struct nvme_queue *q, const struct nvme_cmd *cmd);
/* Ring the tail doorbell of the submission queue */
void nvme_ring(struct nvme *nvme, struct nvme_queue *q);
void nvme_doorbell(struct nvme *nvme, u16 qid, bool cq, u32 value);
/* Current status of an entry of the completion queue; bit 0 is the phase */
u16 nvme_cqe_status(struct nvme_queue *q, u16 entry);
/* Move new completions into the stash and ring the head doorbell */
void nvme_reap(struct nvme *nvme, struct nvme_queue *q);
/* The same without the doorbell: for the device the entries are not consumed */
unsigned int nvme_peek(struct nvme_queue *q);
/* Take the completion of @cid out of the stash; false if it is not there */
bool nvme_take(struct nvme_queue *q, u16 cid, struct nvme_cqe *cqe);
/* Number of completions of @cid in the stash; more than one is a bug of the device */
unsigned int nvme_count(struct nvme_queue *q, u16 cid);
/*
 * Wait for the completion of @cid; returns its status, -ETIMEDOUT or, if @lost says so,
 * -ECANCELED.  @cqe may be NULL.
 */
int nvme_wait(struct nvme *nvme, struct nvme_queue *q, u16 cid, struct nvme_cqe *cqe);
/* Submit, ring, wait */
int nvme_sync(struct nvme *nvme, struct nvme_queue *q, const struct nvme_cmd *cmd,
	      struct nvme_cqe *cqe);
/* The same for a command by value, in the admin queue and in queue 1 */
int nvme_admin(struct nvme *nvme, struct nvme_cmd cmd);
int nvme_io(struct nvme *nvme, struct nvme_cmd cmd);

/* PRPs for @len bytes at @buf in the arena, for the next command of the queue */
void nvme_set_prps(struct nvme *nvme, struct nvme_queue *q, struct nvme_cmd *cmd, void *buf,
		   size_t len);

/* The following return a status or -ETIMEDOUT */
int nvme_create_cq(struct nvme *nvme, u16 qid, u16 depth, int vector, u64 iova);
int nvme_create_sq(struct nvme *nvme, u16 qid, u16 depth, u16 cqid, u64 iova);
int nvme_delete_cq(struct nvme *nvme, u16 qid);
int nvme_delete_sq(struct nvme *nvme, u16 qid);
/* Create both queues and allocate memory for them; @vector -1 for no interrupts */
int nvme_create_io(struct nvme *nvme, u16 qid, u16 depth, int vector);
int nvme_identify(struct nvme *nvme, u8 cns, u32 nsid, void *buf);
int nvme_get_log(struct nvme *nvme, u8 lid, void *buf, size_t len);
int nvme_get_feature(struct nvme *nvme, u8 fid, u32 *value);
int nvme_set_feature(struct nvme *nvme, u8 fid, u32 value);

struct nvme_cmd nvme_rw_cmd(u8 opcode, u64 slba, u32 blocks);
int nvme_rw(struct nvme *nvme, struct nvme_queue *q, u8 opcode, u64 slba, u32 blocks, void *buf);
/* Submit and ring a transfer of a page, of 8 blocks of 512 bytes; returns its cid */
u16 nvme_start_rw(struct nvme *nvme, struct nvme_queue *q, u8 opcode, u64 slba, void *buf);
/* Submit a read to any IOVA, of at most two pages, without ringing; returns its cid */
u16 nvme_submit_read(struct nvme *nvme, struct nvme_queue *q, u64 slba, u32 blocks, u64 iova);
/* Any range of bytes, in as many commands as needed; fails the test on error */
void nvme_write_bytes(struct nvme *nvme, u64 offset, void *buf, size_t len);
void nvme_read_bytes(struct nvme *nvme, u64 offset, void *buf, size_t len);
/* A command to be submitted next on @q; @blocks is divided into @ranges equal ranges */
struct nvme_cmd nvme_deallocate_cmd(struct nvme *nvme, struct nvme_queue *q, u64 slba,
				    u32 blocks, unsigned int ranges);
int nvme_deallocate(struct nvme *nvme, u64 slba, u32 blocks);
void nvme_deallocate_all(struct nvme *nvme);

#endif /* VFMIG_TEST_NVME_H */
