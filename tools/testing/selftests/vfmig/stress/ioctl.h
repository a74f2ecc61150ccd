/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of ioctl_stress.
 *
 * A table describes each ioctl of VFIO and iommufd: its number, which kinds of fd know it, its
 * fields, what the kernel writes, and the errnos that it may return.  Several threads make valid
 * arguments from these descriptions, damage most of them, and call any ioctl on any fd.  All
 * threads share the fds.  A description says nothing about the order of calls: the fds are in
 * whatever state the last calls have left them.
 */
#ifndef VFMIG_IOCTL_H
#define VFMIG_IOCTL_H

#include <pthread.h>

#include "mig.h"
#include "stress.h"

#define IOCTL_PFS	2	/* of NVMe, and of virtio-net */
#define IOCTL_NVME_VFS	4
#define IOCTL_NET_VFS	2
#define IOCTL_VFS	(IOCTL_NVME_VFS + IOCTL_NET_VFS)
#define IOCTL_ACTORS	6
#define FDS_OF_KIND	6	/* that are kept open at a time */
#define ERRNOS_MAX	16
#define DMA_MEM_SIZE	MIB(1)
#define DMA_IOVA	0x200000000ULL

/* ---- ioctl_fds.c: the fds, which all threads share */

enum kind {
	KIND_CONTAINER, KIND_GROUP, KIND_DEVICE, KIND_CDEV, KIND_IOMMUFD, KIND_SAVE, KIND_LOAD,
	KIND_COMMAND, KIND_EVENT,
	KINDS
};

#define OF(kind)	(1U << KIND_##kind)
#define ANY_KIND	((1U << KINDS) - 1)
#define ANY_DEVICE	(OF(DEVICE) | OF(CDEV))

/* An fd.  Each user has a reference, so that its number names the same file during a call. */
struct shared_fd {
	int fd;			/* -1 if free */
	unsigned int refs;
	bool closing;
	enum kind kind;
	unsigned int vf;	/* of a group, a device, a data fd and a command file; first NVMe */
};

struct fuzz;
struct fuzz_actor;
struct call;

void fds_init(struct fuzz *fuzz);
/* Hand over an fd; it may replace another one */
void fds_add(struct fuzz_actor *a, int fd, enum kind kind, unsigned int vf);
/* Some fd of one of these kinds, a bit each, with a reference; NULL if there is none */
struct shared_fd *fds_take(struct fuzz_actor *a, u32 kinds);
void fds_put(struct fuzz *fuzz, struct shared_fd *s);
/* An ioctl that does not run into what @containers is about */
int fds_ioctl(struct fuzz *fuzz, const struct shared_fd *s, const struct call *call,
	      unsigned long request, unsigned long arg);
/* Close it when its last user has put it */
void fds_close(struct fuzz *fuzz, struct shared_fd *s);
void fds_close_all(struct fuzz *fuzz);
/* The number of some fd of these kinds, without a reference, or -1 */
int fds_number(struct fuzz_actor *a, u32 kinds);
/* The objects of an iommufd, in the order in which fds_open_some() makes them, and their IDs */
enum object { OBJECT_NONE, OBJECT_SPACE, OBJECT_BESIDE, OBJECT_DEVICE, OBJECT_TABLE };

#define ID_OF(object)	(1U << OBJECT_##object)
#define SPACE_IDS	(ID_OF(SPACE) | ID_OF(BESIDE))
#define ANY_ID		(ATTACH_IDS | ID_OF(DEVICE))
#define ATTACH_IDS	(SPACE_IDS | ID_OF(TABLE))

/* Open something as a good user does */
void fds_open_some(struct fuzz_actor *a);
/* Number of fds that this process has open */
unsigned int fds_of_process(void);
/* Of which PF is a VF? */
static inline unsigned int pf_of(unsigned int vf)
{
	return vf >= IOCTL_NVME_VFS;
}

/* ---- ioctl_table.c: what there is */

enum field_kind {
	FIELD_ARGSZ,	/* size of the argument */
	FIELD_FLAGS,	/* @valid: bits, any of them together */
	FIELD_BIT,	/* @valid: bits, one at a time */
	FIELD_IRQ,	/* flags of SET_IRQS: one kind of data and one action */
	FIELD_FEATURE,	/* number of a device feature, and flags; @valid: these */
	FIELD_NUMBER,	/* @valid: the largest; half of the time it is @usual */
	FIELD_STATE,	/* a migration state */
	FIELD_FD,	/* @valid: kinds */
	FIELD_FILE,	/* memory for DMA as a file */
	FIELD_ID,	/* of an object of iommufd; @valid: a bit for each ID that it can be */
	FIELD_IOVA,
	FIELD_LENGTH,	/* of a range of IOVA, or of memory */
	FIELD_PAGE_SIZE,
	FIELD_MEMORY,	/* address of memory for DMA */
	FIELD_POINTER,	/* address of a buffer that the kernel reads or writes */
	FIELD_ZERO,	/* reserved */
};

struct field {
	u16 offset;
	u8 size;
	u8 kind;
	u64 valid;
	u64 usual;
};

/* Bytes that the kernel writes; TO_END up to argsz */
struct written {
	u16 offset;
	u16 size;
};

#define TO_END		0xffff
#define FIELDS_MAX	12
#define WRITTEN_MAX	4

/* Most ranges of a good user are at one of these places, and have this size */
#define AREA_SIZE	(16 * PAGE)
#define AREA_STRIDE	(64 * PAGE)
#define AREAS		4
#define AREAS_MAPPED	2	/* in each address space that is new */

enum arg_kind { ARG_STRUCT, ARG_VALUE, ARG_NAME, ARG_FD };

/**
 * struct call - an ioctl, or a feature of VFIO_DEVICE_FEATURE
 * @request: its number
 * @kinds: the kinds of fd that know it, a bit each
 * @arg: what the argument is
 * @minsz: with an argsz below this it must fail
 * @size: of a valid argument
 * @feature: number of the device feature
 * @most: the largest value that it may return
 * @refused: no argument makes it succeed
 * @writes_early: it may write before it fails
 * @only_get_writes: it sets something or gets it, and writes in the second case only
 * @fields: of the argument, up to one without a size
 * @written: what it writes, up to one without a size
 * @errnos: what it may fail with, up to a 0; not -EFAULT for the argument itself
 */
struct call {
	const char *name;
	unsigned long request;
	u32 kinds;
	enum arg_kind arg;
	u16 minsz;
	u16 size;
	u32 feature;
	int most;
	bool refused;
	bool writes_early;
	bool only_get_writes;
	struct field fields[FIELDS_MAX];
	struct written written[WRITTEN_MAX];
	int errnos[ERRNOS_MAX];
};

extern const struct call calls[];
extern const unsigned int calls_count;

/* Is there one for fds of this kind? */
bool kind_has_calls(enum kind kind);
/* What this request is to a fd of this kind; NULL if nothing.  @arg is NULL or readable. */
const struct call *call_of(unsigned long request, enum kind kind, const void *arg);
/* May a fd of this kind return this errno for a request that it does not know, or for any? */
bool errno_of_unknown(enum kind kind, int err);
bool errno_of_any(enum kind kind, int err);
bool errno_in(const int *errnos, int err);

/* ---- ioctl_arg.c: arguments and where they are */

enum place {
	PLACE_FREE,	/* memory around it, with a pattern */
	PLACE_END,	/* its end is that of the memory */
	PLACE_CROSS,	/* its end is behind that of the memory */
	PLACE_READ_ONLY,
	PLACE_NOWHERE,
};

/**
 * struct argument - of one call
 * @room: memory with a pattern, then a page that can't be accessed
 * @view: the same memory, which can't be written to
 * @pattern: what is in @room between calls
 * @image: what was in @room when the call began
 * @buffer: what FIELD_POINTER points to, behind it a page that can't be accessed
 * @offset: of the argument in @room
 * @length: of what was put there
 * @value: what is passed
 * @good: nothing is damaged
 */
struct argument {
	u8 *room;
	u8 *view;
	u8 pattern[PAGE];
	u8 image[PAGE];
	u8 *buffer;
	enum place place;
	unsigned int offset;
	unsigned int length;
	unsigned long value;
	bool good;
};

#define BUFFER_SIZE	KIB(64)

void argument_init(struct argument *arg, u64 seed);
void argument_exit(struct argument *arg);
/* An argument for @call on a fd of VF @vf, mostly a damaged one unless it is to be @good */
void argument_make(struct fuzz_actor *a, const struct call *call, unsigned int vf, bool good);
/* Put the pattern back */
void argument_end(struct argument *arg);
/* An address that must not be written to, or read either */
void *bad_pointer(struct fuzz_actor *a);

/* ---- ioctl_check.c: what must be true of a call */
void check_call(struct fuzz_actor *a, const struct call *made, const struct shared_fd *s, long ret,
		int err);

/* ---- ioctl_file.c: all else that can be done with a fd */
void file_step(struct fuzz_actor *a, struct shared_fd *s);

/* ---- ioctl_after.c: what VFs are good for after all of that */
void check_vfs(struct fuzz *fuzz);

#define COUNTS_MAX	96

/* A thread */
struct fuzz_actor {
	pthread_t thread;
	unsigned int index;
	u64 random;
	struct fuzz *fuzz;
	struct argument arg;
	struct stress_watch watch;
	u64 calls[COUNTS_MAX], good[COUNTS_MAX];
	u64 good_of_kind[KINDS];
	u64 good_of_pf[IOCTL_PFS];	/* on a device */
	u64 wrong, files, opened;
};

struct fuzz {
	char pf[IOCTL_PFS][BDF_SIZE];
	char vf[IOCTL_VFS][BDF_SIZE];
	char group[IOCTL_VFS][32];
	char cdev[IOCTL_VFS][32];	/* empty without cdevs */
	bool iommufd;
	bool lacks[COUNTS_MAX];		/* features that this kernel does not have */
	u8 *dma;			/* memory to be mapped */
	int dma_fd;			/* its file */
	pthread_mutex_t lock;		/* protects @fds */
	/*
	 * VFIO frees the IOMMU of a container when its last group leaves, also under an ioctl of
	 * the container.  Such an ioctl holds this for reading, and for writing who may drop the
	 * last reference to a group or to a device.  Nests in @lock.
	 */
	pthread_rwlock_t containers;
	struct shared_fd fds[KINDS][FDS_OF_KIND];
	struct fuzz_actor actor[IOCTL_ACTORS];
	bool stop;
};

#endif /* VFMIG_IOCTL_H */
