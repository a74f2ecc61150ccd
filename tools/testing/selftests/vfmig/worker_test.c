// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who pays for what a guest has its device do: the commands that a vCPU does not execute itself
 * are executed in a thread of the process that opened the VF, and memory is charged to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bells.h"
#include "cgroup.h"
#include "rig.h"

#include "harness.h"

#define MEDIA_MB	16

/* More than a vCPU reads in its own access, so that the worker does it */
#define READ_BYTES	KIB(32)

/* Between two turns of the worker of a process that can't have a thread */
#define PAUSE_MS	100

/* How often a thread of @pid went to sleep */
static u64 sleeps(pid_t pid, pid_t tid)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	return file_number(path, "voluntary_ctxt_switches:");
}

/**
 * struct scene - what the processes of a test tell each other
 * @why: why the test must be skipped
 * @opener: process that opened the VF, and then does nothing
 * @user: child of it, which has the VF from it and does I/O
 * @done: commands that @user saw complete
 * @quiet: @user shall access no BAR any more
 * @is_quiet: it does not
 * @arcs: @user shall stop the VF and let it run again; false when it has
 * @stop: @user shall end
 */
struct scene {
	char why[128];
	pid_t opener;
	pid_t user;
	u64 done;
	bool quiet;
	bool is_quiet;
	bool arcs;
	bool stop;
};

FIXTURE(worker)
{
	struct rig rig;
	struct scene *scene;
};

FIXTURE_VARIANT(worker)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(worker, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(worker, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

static const char *open_rig(struct rig *rig, enum iommu_mode mode)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = MEDIA_MB };
	const char *why = rig_open(rig, &vfs, mode, 2);

	if (!why)
		rig_start(rig);
	return why;
}

FIXTURE_SETUP(worker)
{
	if (!kernel_has_symbol("vhost_task_create"))
		SKIP(return, "this kernel has no CONFIG_VHOST_TASK");
	self->scene = shared_alloc(sizeof(*self->scene));
	/* Children of children end up here */
	must(!prctl(PR_SET_CHILD_SUBREAPER, 1));
}

static void end_opener(struct scene *scene)
{
	if (!scene->opener)
		return;
	scene->stop = true;
	kill(scene->opener, SIGKILL);
	while (wait(NULL) > 0)
		;
	scene->opener = 0;
}

FIXTURE_TEARDOWN(worker)
{
	if (self->scene)
		end_opener(self->scene);
	if (self->rig.devs)
		rig_close(&self->rig);
}

static u64 commands_done(struct scene *scene)
{
	return __atomic_load_n(&scene->done, __ATOMIC_RELAXED);
}

static bool is_set(const bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static void set(bool *flag, bool value)
{
	__atomic_store_n(flag, value, __ATOMIC_RELEASE);
}

/* What a user without a guest does */
static void be_quiet(struct scene *scene, struct rig *rig)
{
	set(&scene->is_quiet, true);
	if (is_set(&scene->arcs)) {
		must(!mig_set(&rig->dev[0], STOP, NULL));
		must(!mig_set(&rig->dev[0], RUNNING, NULL));
		set(&scene->arcs, false);
	}
	sleep_ms(1);
}

static void __noreturn be_user(struct scene *scene, struct rig *rig)
{
	u8 *buf = arena_alloc(&rig->mem, READ_BYTES);

	scene->user = getpid();
	while (!is_set(&scene->stop)) {
		if (is_set(&scene->quiet)) {
			be_quiet(scene, rig);
			continue;
		}
		nvme_read_bytes(&rig->nvme, 0, buf, READ_BYTES);
		__atomic_fetch_add(&scene->done, 1, __ATOMIC_RELAXED);
	}
	exit(0);
}

static void __noreturn be_opener(struct scene *scene, struct rig *rig, enum iommu_mode mode,
				 struct cgroup *user_leaves)
{
	const char *why = open_rig(rig, mode);

	if (why) {
		snprintf(scene->why, sizeof(scene->why), "%s", why);
		exit(0);
	}
	if (!fork()) {
		if (user_leaves)
			cgroup_leave(user_leaves);
		be_user(scene, rig);
	}
	for (;;)
		pause();
}

/*
 * Start both, in @cg if there is one, which the user leaves.  NULL when I/O is done, or why
 * the test must be skipped.
 */
static const char *start_opener(struct scene *scene, struct rig *rig, enum iommu_mode mode,
				struct cgroup *cg)
{
	pid_t pid = fork();

	must(pid >= 0);
	if (!pid) {
		if (cg)
			cgroup_enter(cg);
		be_opener(scene, rig, mode, cg);
	}
	scene->opener = pid;
	must(wait_until(commands_done(scene) || scene->why[0]));
	return scene->why[0] ? scene->why : NULL;
}

TEST_F(worker, thread_of_the_opener_executes_commands)
{
	struct rig *rig = &self->rig;
	const char *why = open_rig(rig, variant->mode);
	u8 *buf;
	pid_t tid;
	u64 before;

	if (why)
		SKIP(return, "%s", why);
	buf = arena_alloc(&rig->mem, READ_BYTES);
	tid = vfio_worker(NULL, getpid());
	ASSERT_NE(tid, 0);
	before = sleeps(getpid(), tid);
	for (int i = 0; i < 20; i++)
		nvme_read_bytes(&rig->nvme, 0, buf, READ_BYTES);
	EXPECT_GT(sleeps(getpid(), tid), before);
}

/* CPU time of a thread of this process in ns */
static u64 cpu_time(pid_t tid)
{
	/* That of a thread, as the scheduler counts it: what pthread_getcpuclockid() gives */
	const clockid_t clock = (clockid_t)(~(u32)tid << 3 | 6);
	struct timespec t;

	must(!clock_gettime(clock, &t));
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* Also one that has just polled its doorbells, and held an interrupt */
TEST_F(worker, thread_of_an_idle_vf_does_not_run)
{
	struct rig *rig = &self->rig;
	const char *why = open_rig(rig, variant->mode);
	u32 *bells;
	u64 before;
	pid_t tid;
	u8 *buf;

	if (why)
		SKIP(return, "%s", why);
	vfio_close(&rig->dev[1]);
	bells = bells_begin(&rig->nvme, rig->pf, 10000);
	must(!nvme_set_feature(&rig->nvme, 0x08, 0xffff));
	buf = arena_alloc(&rig->mem, READ_BYTES);
	tid = vfio_worker(NULL, getpid());
	before = cpu_time(tid);
	for (unsigned int i = 0; i < 100; i++)
		nvme_read_bytes(&rig->nvme, 0, buf, READ_BYTES);
	EXPECT_GT(cpu_time(tid), before);
	sleep_ms(2 * QUIET_MS);
	before = cpu_time(tid);
	sleep_ms(500);
	EXPECT_EQ(cpu_time(tid), before);
	if (bells)
		bells_unmap(bells);
}

TEST_F(worker, closed_vf_has_no_thread)
{
	struct rig *rig = &self->rig;
	const char *why = open_rig(rig, variant->mode);

	if (why)
		SKIP(return, "%s", why);
	EXPECT_NE(vfio_worker(NULL, getpid()), 0);
	for (unsigned int i = 0; i < rig->devs; i++)
		vfio_close(&rig->dev[i]);
	EXPECT_TRUE(wait_until(!vfio_worker(NULL, getpid())));
}

/* As QEMU's cpr-transfer does: the process that opened the VF is gone, another has it */
TEST_F(worker, vf_goes_on_with_who_has_it_when_the_opener_is_killed)
{
	struct scene *scene = self->scene;
	const char *why = start_opener(scene, &self->rig, variant->mode, NULL);
	u64 done;

	if (why)
		SKIP(return, "%s", why);
	EXPECT_NE(vfio_worker(NULL, scene->opener), 0);
	EXPECT_EQ(vfio_worker(NULL, scene->user), 0);
	ASSERT_EQ(kill(scene->opener, SIGKILL), 0);
	ASSERT_EQ(waitpid(scene->opener, NULL, 0), scene->opener);
	done = commands_done(scene);
	EXPECT_TRUE(wait_until(commands_done(scene) > done + 50));
	EXPECT_TRUE(wait_until(vfio_worker(NULL, scene->user)));
	scene->stop = true;
	EXPECT_EQ(waitpid(scene->user, NULL, 0), scene->user);
	scene->opener = 0;
}

/* A stream may be loaded, and commands go on, before the guest accesses a register */
TEST_F(worker, thread_is_that_of_who_changes_the_state_when_the_opener_is_killed)
{
	struct scene *scene = self->scene;
	const char *why = start_opener(scene, &self->rig, variant->mode, NULL);

	if (why)
		SKIP(return, "%s", why);
	set(&scene->quiet, true);
	ASSERT_TRUE(wait_until(is_set(&scene->is_quiet)));
	ASSERT_EQ(kill(scene->opener, SIGKILL), 0);
	ASSERT_EQ(waitpid(scene->opener, NULL, 0), scene->opener);
	scene->opener = 0;
	EXPECT_EQ(vfio_worker(NULL, scene->user), 0);
	set(&scene->arcs, true);
	EXPECT_TRUE(wait_until(!is_set(&scene->arcs)));
	EXPECT_NE(vfio_worker(NULL, scene->user), 0);
	set(&scene->stop, true);
	EXPECT_EQ(waitpid(scene->user, NULL, 0), scene->user);
}

/* Are no more commands done than there are turns for a process without a thread? */
static bool is_slow(struct scene *scene)
{
	u64 begin = now_ms(), done = commands_done(scene);

	sleep_ms(5 * PAUSE_MS);
	done = commands_done(scene) - done;
	return done <= (now_ms() - begin) / PAUSE_MS + 1;
}

/*
 * Next to nothing is done for it outside of its cgroup.  But something is: a guest that waits for
 * an interrupt accesses no register, and so its VMM would never get a thread.
 */
TEST_F(worker, vf_is_slow_while_who_has_it_has_no_room_for_a_thread)
{
	struct scene *scene = self->scene;
	struct cgroup cg;
	const char *why = cgroup_open(&cg, "pids");
	u64 done;

	if (why)
		SKIP(return, "%s", why);
	why = start_opener(scene, &self->rig, variant->mode, NULL);
	if (!why) {
		cgroup_add(&cg, scene->user);
		cgroup_set(&cg, "pids.max", "1");
		ASSERT_EQ(kill(scene->opener, SIGKILL), 0);
		ASSERT_EQ(waitpid(scene->opener, NULL, 0), scene->opener);
		EXPECT_TRUE(wait_until(is_slow(scene)));
		done = commands_done(scene);
		EXPECT_TRUE(wait_until(commands_done(scene) > done + 5));
		EXPECT_TRUE(is_slow(scene));
		EXPECT_EQ(vfio_worker(NULL, scene->user), 0);

		cgroup_set(&cg, "pids.max", "max");
		EXPECT_TRUE(wait_until(vfio_worker(NULL, scene->user)));
		EXPECT_TRUE(wait_until(!is_slow(scene)));
		scene->stop = true;
		EXPECT_EQ(waitpid(scene->user, NULL, 0), scene->user);
		scene->opener = 0;
	}
	cgroup_close(&cg);
	if (why)
		SKIP(return, "%s", why);
}

/* CPU time that the group takes in half a second, in us */
static u64 cpu_used(struct cgroup *cg)
{
	u64 before = cgroup_get(cg, "cpu.stat", "usage_usec");

	sleep_ms(500);
	return cgroup_get(cg, "cpu.stat", "usage_usec") - before;
}

TEST_F(worker, commands_count_for_the_openers_cpu_limit)
{
	struct scene *scene = self->scene;
	struct cgroup cg;
	const char *why = cgroup_open(&cg, "cpu");
	u64 throttled, stood, begin;

	if (why)
		SKIP(return, "%s", why);
	why = cgroup_has(&cg, "cpu.max") ?
	      start_opener(scene, &self->rig, variant->mode, &cg) :
	      "this kernel has no CONFIG_CFS_BANDWIDTH";
	if (!why) {
		/* The opener does nothing but have the thread */
		EXPECT_GT(cpu_used(&cg), 0);
		throttled = cgroup_get(&cg, "cpu.stat", "nr_throttled");
		cgroup_set(&cg, "cpu.max", "1000 1000000");
		EXPECT_TRUE(wait_until(cgroup_get(&cg, "cpu.stat", "nr_throttled") > throttled));
		/* It is not only counted: the thread stands still most of the time */
		stood = cgroup_get(&cg, "cpu.stat", "throttled_usec");
		begin = now_ms();
		EXPECT_TRUE(wait_until(cgroup_get(&cg, "cpu.stat", "throttled_usec") - stood >
				       (now_ms() - begin) * 500));
		cgroup_set(&cg, "cpu.max", "max");
	}
	end_opener(scene);
	cgroup_close(&cg);
	if (why)
		SKIP(return, "%s", why);
}

TEST_F(worker, without_room_for_a_thread_the_open_fails)
{
	struct iommu *iommu = &self->rig.iommu[0];
	struct pf_vfs vfs = { .count = 1 };
	struct vfio_dev dev;
	struct cgroup cg;
	char bdf[BDF_SIZE];
	const char *why = pf_require(&vfs, self->rig.pf);

	if (!why)
		why = iommu_init(iommu, variant->mode);
	if (!why)
		why = cgroup_open(&cg, "pids");
	if (why)
		SKIP(return, "%s", why);
	must(pf_vf(self->rig.pf, 0, bdf));
	cgroup_enter(&cg);
	cgroup_set(&cg, "pids.max", "1");
	EXPECT_EQ(vfio_open(&dev, iommu, bdf), -EAGAIN);
	cgroup_set(&cg, "pids.max", "max");
	EXPECT_EQ(vfio_open(&dev, iommu, bdf), 0);
	vfio_close(&dev);
	cgroup_leave(&cg);
	cgroup_close(&cg);
}

/* Bytes that a stream brings are those of the VF's user, whoever writes them */
TEST_F(worker, what_is_loaded_is_charged_to_who_has_the_vf)
{
	struct rig *rig = &self->rig;
	struct blob blob = {};
	struct cgroup cg;
	const char *why = cgroup_open(&cg, "memory");
	u64 before;
	u8 *buf;
	pid_t pid;
	int fd, status;

	if (!why)
		why = open_rig(rig, variant->mode);
	if (why)
		SKIP(return, "%s", why);
	buf = arena_alloc(&rig->mem, KIB(64));
	fill_pattern(buf, KIB(64), 1);
	for (u64 at = 0; at < MIB(MEDIA_MB); at += KIB(64))
		nvme_write_bytes(&rig->nvme, at, buf, KIB(64));
	mig_save(&rig->dev[0], &blob);

	cgroup_enter(&cg);
	ASSERT_EQ(mig_set(&rig->dev[1], RESUMING, &fd), 0);
	before = cgroup_get(&cg, "memory.current", NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		cgroup_leave(&cg);
		exit(mig_write(fd, blob.data, blob.len, KIB(32)) ? 1 : 0);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
	EXPECT_GE(cgroup_get(&cg, "memory.current", NULL), before + MIB(MEDIA_MB) * 9 / 10);
	close(fd);
	cgroup_leave(&cg);
	cgroup_close(&cg);
	blob_free(&blob);
}

/*
 * Neither the VMM nor anybody else is killed for what its guest writes.  To open a file takes
 * memory of the cgroup, so memory.max is opened before it is full.
 */
TEST_F(worker, guest_that_fills_the_cgroup_gets_errors)
{
	struct rig *rig = &self->rig;
	int fd, status = 0;
	struct cgroup cg;
	const char *why = cgroup_open(&cg, "memory");
	char max[PATH_SIZE];
	u32 blocks;
	u8 *buf;

	if (why)
		SKIP(return, "%s", why);
	cgroup_enter(&cg);
	why = open_rig(rig, variant->mode);
	if (why) {
		cgroup_leave(&cg);
		cgroup_close(&cg);
		SKIP(return, "%s", why);
	}
	buf = arena_alloc(&rig->mem, KIB(64));
	fill_pattern(buf, KIB(64), 1);
	blocks = KIB(64) / rig->nvme.lba_size;

	snprintf(max, sizeof(max), "%s/memory.max", cg.path);
	fd = open(max, O_WRONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	snprintf(max, sizeof(max), "%llu",
		 (unsigned long long)cgroup_get(&cg, "memory.current", NULL) + MIB(4));
	must(write(fd, max, strlen(max)) == (ssize_t)strlen(max));
	for (u64 lba = 0; !status && lba < rig->nvme.lbas; lba += blocks)
		status = nvme_rw(&rig->nvme, &rig->nvme.io[1], NVME_WRITE, lba, blocks, buf);
	must(write(fd, "max", 3) == 3);
	close(fd);
	EXPECT_EQ(status, NVME_INTERNAL_ERROR);
	EXPECT_EQ(cgroup_get(&cg, "memory.events", "oom_kill"), 0);
	EXPECT_EQ(nvme_rw(&rig->nvme, &rig->nvme.io[1], NVME_WRITE, rig->nvme.lbas - blocks, blocks,
			  buf), 0);
	cgroup_leave(&cg);
	cgroup_close(&cg);
}

TEST_HARNESS_MAIN
