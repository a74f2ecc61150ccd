/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The state of a controller as bytes: the payloads of the STATE records in a stream of the
 * model "nvme", and the limits that it keeps.  All integers are little-endian.  For the model,
 * and for tools that read a stream, so this needs nothing else of the kernel but BIT() and
 * __packed.  What linux/nvme.h has too is here by a name of ours, as user space has no such header.
 */
#ifndef _VFMIG_NVME_FORMAT_H
#define _VFMIG_NVME_FORMAT_H

#include <linux/bitops.h>
#include <linux/types.h>

#define VFMIG_NVME_STATE_VERSION	4
/*
 * The oldest that is taken.  The identity of versions 1 and 2 has no digest, and what a guest
 * saw of those devices was something else: two LBA formats, or no limits of deallocation.
 */
#define VFMIG_NVME_STATE_OLDEST		3
/* The first that may have shadow doorbells: a flag, and a structure after the requests */
#define VFMIG_NVME_SHADOW_VERSION	4

#define VFMIG_NVME_QUEUES	33	/* pairs, the admin queues included */
#define VFMIG_NVME_VECTORS	33
#define VFMIG_NVME_MAX_ENTRIES	1024	/* of an I/O queue */
#define VFMIG_NVME_ADMIN_ENTRIES	4096	/* of an admin queue, at most */
#define VFMIG_NVME_MAX_REQS	256	/* commands in flight: fetched, not completed */
#define VFMIG_NVME_MAX_AERS	4
#define VFMIG_NVME_MAX_CNTLID	0xffef	/* higher IDs are reserved */
#define VFMIG_NVME_MAX_LATENCY_NS	10000000000ULL	/* until a command executes */
#define VFMIG_NVME_MIN_SHIFT	12	/* memory page sizes */
#define VFMIG_NVME_MAX_SHIFT	16
/* Bits of CC and AQA that are not reserved in NVMe 1.4 */
#define VFMIG_NVME_CC_MASK	0x00fffff1
#define VFMIG_NVME_AQA_MASK	0x0fff0fff
#define VFMIG_NVME_CC_ENABLE	BIT(0)
/* Where CC has the size of a memory page */
#define VFMIG_NVME_CC_MPS_SHIFT	7
#define VFMIG_NVME_CC_MPS_MASK	0x00000780
/* CSS, MPS and AMS of CC: the host changes them only while the controller is disabled (3.1.5) */
#define VFMIG_NVME_CC_FIXED	0x00003ff0
/* Ready, fatal, and both bits of the shutdown status; a subsystem reset and a pause never occur */
#define VFMIG_NVME_CSTS_RDY	BIT(0)
#define VFMIG_NVME_CSTS_CFS	BIT(1)
#define VFMIG_NVME_CSTS_MASK	0x0000000f
#define VFMIG_NVME_ERRORS	16	/* entries of the error log */
/* Number of features with one dword, indexed by Feature Identifier */
#define VFMIG_NVME_FEATURES	12
/* Types of asynchronous events up to NVME_AER_CSS, of which 3 to 5 are reserved */
#define VFMIG_NVME_EVENT_TYPES	7
/* Asynchronous Event Information: of errors (two), SMART, notices, I/O command sets */
#define VFMIG_NVME_DOORBELL_REGISTER	0
#define VFMIG_NVME_DOORBELL_VALUE	1
#define VFMIG_NVME_TEMP_THRESHOLD	1
#define VFMIG_NVME_NS_CHANGED		0
#define VFMIG_NVME_SANITIZED		1
/* SSTAT: never sanitized or sanitized successfully */
#define VFMIG_NVME_SSTAT_NEVER		0
#define VFMIG_NVME_SSTAT_SUCCESS	1

/* The stage of a request */
enum vfmig_nvme_stage {
	VFMIG_NVME_FREE,	/* no command */
	VFMIG_NVME_WAITING,	/* executes when it is due */
	VFMIG_NVME_EVENT,	/* an Asynchronous Event Request */
	VFMIG_NVME_DONE,	/* its completion is to be posted */
};

struct vfmig_nvme_state_sq {
	__le64 base;
	__le32 size;		/* 0: does not exist, and all is 0 */
	__le16 head;
	__le16 tail;
	__le16 cqid;
	__le16 reserved;
} __packed;

#define VFMIG_NVME_STATE_CQ_IRQ		BIT(0)
#define VFMIG_NVME_STATE_CQ_PHASE	BIT(1)

struct vfmig_nvme_state_cq {
	__le64 base;
	__le32 size;		/* 0: does not exist, and all is 0 */
	__le16 head;
	__le16 tail;
	__le16 vector;
	__le16 flags;
} __packed;

struct vfmig_nvme_state_req {
	__u8 stage;		/* enum vfmig_nvme_stage, not FREE */
	__u8 reserved;
	__le16 sqid;
	__le16 cqid;
	__le16 sq_head;
	__le16 status;
	__le16 reserved2;
	__le32 result;
	__le64 remaining_ns;	/* of a waiting one, until it executes */
	__u8 cmd[64];
} __packed;

/* Shadow doorbells: IOVA of both buffers, page-aligned */
struct vfmig_nvme_state_shadow {
	__le64 doorbells;
	__le64 events;
} __packed;

/* Flags of the latch */
#define VFMIG_NVME_DISABLED	BIT(0)	/* CC.EN was cleared since the worker's last look */
#define VFMIG_NVME_BAD_DOORBELL	BIT(1)	/* an offset beyond the doorbells was written */
#define VFMIG_NVME_LATCH_FLAGS	(VFMIG_NVME_DISABLED | VFMIG_NVME_BAD_DOORBELL)
/* A flag that is none of the latch: a struct vfmig_nvme_state_shadow follows */
#define VFMIG_NVME_STATE_SHADOW	BIT(8)

struct vfmig_nvme_state {
	/* registers: as the guest sees them, and CC as the controller last saw it */
	__le32 flags;		/* VFMIG_NVME_LATCH_FLAGS, VFMIG_NVME_STATE_SHADOW */
	__le32 intm;
	__le32 cc;
	__le32 cc_seen;
	__le32 csts;
	__le32 aqa;
	__le64 asq;
	__le64 acq;
	__u8 rung[16];		/* doorbells not looked at, a bit each */
	__le16 doorbell[2 * VFMIG_NVME_QUEUES];	/* 0 if not rung */

	/* identity */
	__le64 media_size;	/* bytes, as in the last identity record */
	__u8 serial[20];
	__u8 nguid[16];
	__u8 eui64[8];
	__u8 subsys[16];
	__le16 queues;
	__le16 cntlid;		/* not 0 */

	/* features */
	__le32 feature[VFMIG_NVME_FEATURES];
	__le16 temp_under;
	__le16 reserved2;
	__le64 vector_cd;

	/* SMART log */
	__le64 read_units;
	__le64 written_units;
	__le64 reads;
	__le64 writes;
	__le64 media_errors;
	__le64 power_on_s;

	/* Sanitize Status log */
	__le32 sanitize_cdw10;
	__le16 sanitize_status;
	__le16 sanitize_written;	/* 0 or 1 */

	/* events and error log */
	__u8 events_pending[VFMIG_NVME_EVENT_TYPES];
	__u8 events_masked;
	__u8 ns_changed;	/* 0 or 1 */
	__le32 nr_reqs;
	__le64 error_count;
	__u8 errors[VFMIG_NVME_ERRORS][64];	/* error n at n modulo the size */

	/* queues and commands */
	struct vfmig_nvme_state_sq sq[VFMIG_NVME_QUEUES];
	struct vfmig_nvme_state_cq cq[VFMIG_NVME_QUEUES];
	struct vfmig_nvme_state_req req[];
} __packed;

/* Bytes of the largest */
#define VFMIG_NVME_STATE_MAX							\
	(sizeof(struct vfmig_nvme_state) +					\
	 VFMIG_NVME_MAX_REQS * sizeof(struct vfmig_nvme_state_req) +		\
	 sizeof(struct vfmig_nvme_state_shadow))

#endif /* _VFMIG_NVME_FORMAT_H */
