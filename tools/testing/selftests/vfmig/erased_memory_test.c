// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that was erased and is not free yet: how much of it there can be, and what others
 * get that need memory meanwhile.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "precopy.h"
#include "rig.h"

#include "harness.h"

#define MEDIUM_MB	8
#define MEDIUM		MIB(MEDIUM_MB)

#define WRITE_ZEROES_DEAC	(1U << 25)

/*
 * A guest that writes a medium again and again.  The memory of the medium is charged to
 * a control group.
 */
FIXTURE(rewriting)
{
	struct rig rig;
	struct cgroup cg;
	u8 *buf;
};

FIXTURE_VARIANT(rewriting)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(rewriting, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(rewriting, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

#define WRITES	128
/* Of a MiB, in one command */
#define PIECE	KIB(512)

/* The process that opens a VF pays; what this one needs otherwise shall not count */
static const char *open_in_group(struct rig *rig, struct cgroup *cg, enum iommu_mode mode)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = MEDIUM_MB };
	const char *why;

	if (!cgroup_has(cg, "memory.peak"))
		return "this kernel has no memory.peak";
	cgroup_enter(cg);
	why = rig_open(rig, &vfs, mode, 1);
	cgroup_leave(cg);
	return why;
}

FIXTURE_SETUP(rewriting)
{
	const char *why = cgroup_open(&self->cg, "memory");

	if (!why) {
		why = open_in_group(&self->rig, &self->cg, variant->mode);
		if (why)
			cgroup_close(&self->cg);
	}
	if (why)
		SKIP(return, "%s", why);
	must(!vf_erase(self->rig.dev[0].bdf));
	rig_start(&self->rig);
	ASSERT_GE(self->rig.nvme.max_transfer, PIECE);
	ASSERT_EQ(nvme_create_io(&self->rig.nvme, 2, 2 * WRITES + 1, -1), 0);
	self->buf = arena_alloc(&self->rig.mem, PIECE);
}

FIXTURE_TEARDOWN(rewriting)
{
	rig_close(&self->rig);
	cgroup_close(&self->cg);
}

/*
 * Have the device write WRITES pieces, one to each MiB in turn, and erase them in between.  It
 * finds all commands in its queues at once, so its worker does not wait for the guest.
 */
static void rewrite(struct rig *rig, u8 *buf, bool format)
{
	struct nvme_cmd erase = { .opcode = NVME_FORMAT_NVM, .nsid = 1 };
	struct nvme *nvme = &rig->nvme;
	struct nvme_queue *q = &nvme->io[2];
	struct nvme_cmd write = nvme_rw_cmd(NVME_WRITE, 0, PIECE / nvme->lba_size);
	struct nvme_cmd zero = nvme_rw_cmd(NVME_WRITE_ZEROES, 0, MIB(1) / nvme->lba_size);
	unsigned int n = 0, erases = 0;

	zero.cdw12 |= WRITE_ZEROES_DEAC;
	nvme_set_prps(nvme, q, &write, buf, PIECE);
	must(!mig_set(&rig->dev[0], RUNNING_P2P, NULL));
	for (unsigned int i = 0; i < WRITES; i++, n++) {
		write.cdw10 = i % MEDIUM_MB * (MIB(1) / nvme->lba_size);
		nvme_submit(nvme, q, &write);
		if (format)
			continue;
		zero.cdw10 = write.cdw10;
		nvme_submit(nvme, q, &zero);
		n++;
	}
	for (; format && erases < nvme->admin.depth - 1U; erases++)
		nvme_submit(nvme, &nvme->admin, &erase);
	nvme_ring(nvme, q);
	nvme_ring(nvme, &nvme->admin);
	must(!mig_set(&rig->dev[0], RUNNING, NULL));
	must(wait_until(nvme_peek(q) == n && nvme_peek(&nvme->admin) == erases));
	for (unsigned int i = 0; i < n; i++)
		must(!(nvme_cqe_status(q, i) >> 1));
	nvme_reap(nvme, q);
	nvme_reap(nvme, &nvme->admin);
}

static void expect_one_medium_at_most(struct __test_metadata *_metadata, struct rig *rig,
				      struct cgroup *cg, u8 *buf, bool format)
{
	u64 before = cgroup_get(cg, "memory.current", NULL), most;

	for (u64 at = 0; at < MEDIUM; at += MIB(1))
		nvme_write_bytes(&rig->nvme, at, buf, PIECE);
	rewrite(rig, buf, format);
	most = cgroup_get(cg, "memory.peak", NULL) - before;
	EXPECT_LT(most, MEDIUM)
		TH_LOG("%llu KiB at a time, of %lu KiB written", most / 1024,
		       WRITES * PIECE / 1024);
	/* If not, this looks in the wrong place */
	EXPECT_GT(most, MEDIUM / 4);
}

TEST_F(rewriting, with_deallocations_takes_the_memory_of_one_medium)
{
	expect_one_medium_at_most(_metadata, &self->rig, &self->cg, self->buf, false);
}

TEST_F(rewriting, with_formats_takes_the_memory_of_one_medium)
{
	expect_one_medium_at_most(_metadata, &self->rig, &self->cg, self->buf, true);
}

/**
 * struct owner - a process that opened a VF, and can be stopped with the VF's worker
 * @pid: the process
 * @fd: the VF's device fd as the process has it, -1 until it is open; shared with the process
 * @dev: the same VF for the test
 */
struct owner {
	pid_t pid;
	int *fd;
	struct vfio_dev dev;
};

static void __noreturn be_owner(int *fd, enum iommu_mode mode, const char *bdf)
{
	struct iommu iommu = {};
	struct vfio_dev dev;

	must(!prctl(PR_SET_PDEATHSIG, SIGKILL));
	must(!iommu_init(&iommu, mode));
	/* If a test failed, its owner may not have ended yet */
	must(wait_until(!vfio_open(&dev, &iommu, bdf)));
	__atomic_store_n(fd, dev.fd, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

static int owner_fd(struct owner *owner)
{
	return __atomic_load_n(owner->fd, __ATOMIC_ACQUIRE);
}

static void owner_begins(struct owner *owner, enum iommu_mode mode, const char *bdf)
{
	int pidfd;

	owner->fd = shared_alloc(sizeof(*owner->fd));
	*owner->fd = -1;
	owner->pid = fork();
	must(owner->pid >= 0);
	if (!owner->pid)
		be_owner(owner->fd, mode, bdf);
	must(wait_until(owner_fd(owner) >= 0));
	pidfd = syscall(SYS_pidfd_open, owner->pid, 0);
	must(pidfd >= 0);
	owner->dev = (struct vfio_dev){ .group = -1 };
	bdf_copy(owner->dev.bdf, bdf);
	owner->dev.fd = syscall(SYS_pidfd_getfd, pidfd, owner_fd(owner), 0);
	must(owner->dev.fd >= 0);
	close(pidfd);
}

static void owner_ends(struct owner *owner)
{
	kill(owner->pid, SIGKILL);
	waitpid(owner->pid, NULL, 0);
	vfio_close(&owner->dev);
}

/* When this returns, each thread has stopped */
static void owner_stops(struct owner *owner)
{
	int status;

	must(!kill(owner->pid, SIGSTOP));
	must(waitpid(owner->pid, &status, WUNTRACED) == owner->pid);
	must(WIFSTOPPED(status));
}

static void owner_continues(struct owner *owner)
{
	must(!kill(owner->pid, SIGCONT));
}

/*
 * A load into VF 0, whose worker is stopped: what its holes leave is not free before the worker
 * continues.  A guest uses VF 1.
 */
FIXTURE(stopped)
{
	struct rig rig;
	struct owner owner;
	struct blob blob;
	u64 limit;
	int fd;
	u8 *buf;
};

FIXTURE_VARIANT(stopped)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(stopped, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(stopped, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

/* NULL, or why this mode is not available */
static const char *iommu_why_not(enum iommu_mode mode)
{
	struct iommu iommu = {};
	const char *why = iommu_init(&iommu, mode);

	if (!why)
		iommu_exit(&iommu);
	return why;
}

static void resize(const char *bdf, unsigned int mb)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", mb);
	must(!file_write(vf_debugfs(bdf, "media_mb"), text));
}

/* Begin @blob with the identity record of a VF of the same kind */
static void begin_stream(struct blob *blob, struct vfio_dev *dev)
{
	int fd;

	blob->len = 0;
	must(!mig_set(dev, STOP_COPY, &fd));
	precopy_read(fd, blob, IDENTITY_BYTES);
	close(fd);
	must(!mig_set(dev, RUNNING, NULL));
}

static void begin_load(struct owner *owner, const struct blob *identity, int *fd)
{
	must(!mig_set(&owner->dev, RESUMING, fd));
	must(!mig_write(*fd, identity->data, identity->len, identity->len));
}

FIXTURE_SETUP(stopped)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = MEDIUM_MB };
	const char *why = pf_require(&vfs, self->rig.pf);
	char bdf[BDF_SIZE];

	if (!why)
		why = iommu_why_not(variant->mode);
	if (!why && !kernel_has_symbol("vhost_task_create"))
		why = "this kernel has no CONFIG_VHOST_TASK";
	if (why)
		SKIP(return, "%s", why);
	self->limit = media_limit();
	must(pf_vf(self->rig.pf, 0, bdf));
	/* A test that failed may have left it otherwise */
	resize(bdf, MEDIUM_MB);
	must(!vf_erase(bdf));
	/* Before VF 1 is open, or the owner would keep it open too */
	owner_begins(&self->owner, variant->mode, bdf);
	self->rig.first_vf = 1;
	must(!rig_open(&self->rig, &vfs, variant->mode, 1));
	must(!vf_erase(self->rig.dev[0].bdf));
	rig_start(&self->rig);
	self->buf = arena_alloc(&self->rig.mem, PAGE);
	begin_stream(&self->blob, &self->rig.dev[0]);
	owner_stops(&self->owner);
	begin_load(&self->owner, &self->blob, &self->fd);
}

FIXTURE_TEARDOWN(stopped)
{
	media_limit_set(self->limit);
	owner_ends(&self->owner);
	close(self->fd);
	resize(self->owner.dev.bdf, MEDIUM_MB);
	rig_close(&self->rig);
	blob_free(&self->blob);
}

/* 0 or -errno */
static int load_memory(int fd, u64 offset, u64 length)
{
	struct blob blob = {};
	int err;

	stream_add_memory(&blob, offset, length, 0x5a);
	err = mig_write(fd, blob.data, blob.len, MIB(2));
	blob_free(&blob);
	return err;
}

static int load_hole(int fd, u64 offset, u64 length)
{
	struct vfmig_extent extent = { .offset = offset, .length = length };
	struct blob blob = {};
	int err;

	stream_add(&blob, VFMIG_RECORD_HOLE, VFMIG_RECORD_MANDATORY | VFMIG_RECORD_PAYLOAD_CRC,
		   &extent, sizeof(extent));
	err = mig_write(fd, blob.data, blob.len, MIB(2));
	blob_free(&blob);
	return err;
}

/* Load the 2 MiB that there are for all media; there is a page for each MiB too */
static int load_to_the_limit(int fd, u64 offset)
{
	int err = load_memory(fd, offset, MIB(1));

	return err ? err : load_memory(fd, offset + MIB(1), MIB(1) - 2 * PAGE);
}

/* The guest of VF 1 writes a granule; returns the status in the completion entry */
static u16 write_status(struct rig *rig, u64 offset, u8 *buf)
{
	u32 lba_size = rig->nvme.lba_size;
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE, offset / lba_size, PAGE / lba_size);
	struct nvme_queue *q = &rig->nvme.io[1];
	struct nvme_cqe cqe = {};

	nvme_set_prps(&rig->nvme, q, &cmd, buf, PAGE);
	must(nvme_sync(&rig->nvme, q, &cmd, &cqe) >= 0);
	return cqe.status & ~1;
}

#define STATUS_CODE(status)	((status) >> 1 & 0x7ff)

TEST_F_TIMEOUT(stopped, write_to_another_vf_may_be_tried_again, 60)
{
	struct rig *rig = &self->rig;
	u64 at = 0;
	u16 status;

	media_limit_set(2);
	ASSERT_EQ(load_to_the_limit(self->fd, 0), 0);
	status = write_status(rig, 0, self->buf);
	EXPECT_EQ(STATUS_CODE(status), NVME_CAPACITY_EXCEEDED);
	EXPECT_TRUE(status & NVME_CQE_DNR);
	/* From now on there will be memory, and the device itself tries again for a while */
	ASSERT_EQ(load_hole(self->fd, 0, MEDIUM), 0);
	status = write_status(rig, 0, self->buf);
	EXPECT_EQ(STATUS_CODE(status), NVME_INTERNAL_ERROR);
	EXPECT_FALSE(status & NVME_CQE_DNR);
	owner_continues(&self->owner);
	EXPECT_TRUE(wait_until(!write_status(rig, 0, self->buf)));
	/* All of it came back, and there is nothing to wait for any more */
	do
		status = write_status(rig, at += PAGE, self->buf);
	while (!status);
	EXPECT_EQ(at, MIB(2) - 2 * PAGE);
	EXPECT_EQ(STATUS_CODE(status), NVME_CAPACITY_EXCEEDED);
}

/*
 * A hole can be as large as the medium, and a reset waits for the locks that are held over it.
 * So what is in it is not freed there.
 */
TEST_F_TIMEOUT(stopped, hole_leaves_its_memory_to_the_worker, 60)
{
	struct rig *rig = &self->rig;

	media_limit_set(2);
	ASSERT_EQ(load_to_the_limit(self->fd, MEDIUM - MIB(2)), 0);
	ASSERT_EQ(load_hole(self->fd, 0, MEDIUM), 0);
	EXPECT_NE(write_status(rig, 0, self->buf), 0);
	owner_continues(&self->owner);
	EXPECT_TRUE(wait_until(!write_status(rig, 0, self->buf)));
}

TEST_F_TIMEOUT(stopped, what_a_resize_cuts_off_a_load_is_free, 60)
{
	media_limit_set(2);
	ASSERT_EQ(load_to_the_limit(self->fd, MEDIUM - MIB(2)), 0);
	resize(self->owner.dev.bdf, MEDIUM_MB - 2);
	EXPECT_EQ(write_status(&self->rig, 0, self->buf), 0);
}

/* As a stream does whose guest formats the medium again and again */
TEST_F_TIMEOUT(stopped, load_that_begins_anew_takes_the_memory_of_one_medium, 60)
{
	media_limit_set(MEDIUM_MB + 1);
	for (unsigned int i = 0; i < 4; i++) {
		for (u64 at = 0; at < MEDIUM; at += MIB(1)) {
			ASSERT_EQ(load_memory(self->fd, at, MIB(1)), 0)
				TH_LOG("round %u, at %llu", i, at);
		}
		ASSERT_EQ(load_hole(self->fd, 0, MEDIUM), 0);
	}
}

TEST_F_TIMEOUT(stopped, next_load_gets_what_holes_of_the_last_one_left, 60)
{
	media_limit_set(2);
	ASSERT_EQ(load_to_the_limit(self->fd, 0), 0);
	ASSERT_EQ(load_hole(self->fd, 0, MEDIUM), 0);
	close(self->fd);
	ASSERT_EQ(vfio_reset(&self->owner.dev), 0);
	begin_load(&self->owner, &self->blob, &self->fd);
	EXPECT_EQ(load_to_the_limit(self->fd, 0), 0);
}

/* VF 1 takes a stream too; returns its data fd */
static int begin_second_load(struct rig *rig, const struct blob *identity)
{
	int fd;

	must(!mig_set(&rig->dev[0], RESUMING, &fd));
	must(!mig_write(fd, identity->data, identity->len, identity->len));
	return fd;
}

static void *continue_soon(void *arg)
{
	sleep_ms(200);
	owner_continues(arg);
	return NULL;
}

TEST_F_TIMEOUT(stopped, load_waits_for_memory_that_becomes_free, 60)
{
	pthread_t thread;
	int fd;

	media_limit_set(2);
	ASSERT_EQ(load_to_the_limit(self->fd, 0), 0);
	ASSERT_EQ(load_hole(self->fd, 0, MEDIUM), 0);
	fd = begin_second_load(&self->rig, &self->blob);
	ASSERT_EQ(pthread_create(&thread, NULL, continue_soon, &self->owner), 0);
	EXPECT_EQ(load_to_the_limit(fd, 0), 0);
	pthread_join(thread, NULL);
	/* There is nothing to wait for any more */
	EXPECT_EQ(load_memory(fd, MIB(2), PAGE), -ENOSPC);
	close(fd);
}

TEST_F_TIMEOUT(stopped, load_does_not_wait_for_ever, 60)
{
	u64 begin;
	int fd;

	media_limit_set(2);
	ASSERT_EQ(load_to_the_limit(self->fd, 0), 0);
	ASSERT_EQ(load_hole(self->fd, 0, MEDIUM), 0);
	fd = begin_second_load(&self->rig, &self->blob);
	begin = now_ms();
	/* The second page waits until the first one is taken */
	EXPECT_EQ(load_memory(fd, 0, 2 * PAGE), -ENOMEM);
	EXPECT_GE(now_ms() - begin, 500);
	EXPECT_EQ(load_memory(fd, 0, PAGE), -EINVAL);
	close(fd);
}

TEST_HARNESS_MAIN
