// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random ioctls, and all else that a fd takes, from several threads at all fds of VFIO, iommufd
 * and the migration at once.  ioctl.h says how.  Then address spaces that replace one another
 * under DMA, of which ioctl_space.h knows more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ioctl_space.h"
#include "sim.h"

#include "harness.h"

/* The time that it goes on is the user's to say */
#define LIMIT		100000

FIXTURE(ioctl)
{
	struct fuzz *fuzz;
};

static void find_vf(struct fuzz *fuzz, unsigned int vf)
{
	unsigned int pf = pf_of(vf);
	const char *bdf = fuzz->vf[vf];

	must(pf_vf(fuzz->pf[pf], pf ? vf - IOCTL_NVME_VFS : vf, fuzz->vf[vf]));
	must(wait_until(pci_has_driver(bdf, VF_DRIVER)));
	must(wait_until(vfio_group_path(bdf, fuzz->group[vf], sizeof(fuzz->group[vf]))));
	if (fuzz->iommufd)
		must(wait_until(vfio_cdev_path(bdf, fuzz->cdev[vf], sizeof(fuzz->cdev[vf]))));
}

/* Which features does this kernel have? */
static void learn_features(struct fuzz *fuzz)
{
	struct vfio_dev dev = {};
	struct iommu iommu;

	must(!iommu_init(&iommu, IOMMU_TYPE1));
	must(!vfio_open(&dev, &iommu, fuzz->vf[0]));
	for (unsigned int i = 0; i < calls_count; i++) {
		u32 flags = calls[i].feature | calls[i].fields[1].valid;

		fuzz->lacks[i] = calls[i].request == VFIO_DEVICE_FEATURE &&
				 vfio_feature(&dev, VFIO_DEVICE_FEATURE_PROBE | flags, NULL, 0);
	}
	vfio_close(&dev);
	iommu_exit(&iommu);
}

/* Returns NULL, or why the test must be skipped */
static const char *create_vfs(struct fuzz *fuzz)
{
	struct pf_vfs vfs = { .count = IOCTL_NVME_VFS };
	char pf[BDF_SIZE];
	struct iommu iommu;
	const char *why;

	sim_load("", fuzz->pf);
	why = pf_require(&vfs, pf) ?: iommu_init(&iommu, IOMMU_TYPE1);
	if (why)
		return why;
	iommu_exit(&iommu);
	/* The one that it chose */
	must(!strcmp(pf, fuzz->pf[0]));
	must(!pf_set_numvfs(fuzz->pf[1], IOCTL_NET_VFS));
	fuzz->iommufd = iommu_has(IOMMU_IOMMUFD);
	return NULL;
}

FIXTURE_SETUP(ioctl)
{
	struct fuzz *fuzz = calloc(1, sizeof(*fuzz));
	const char *why;

	must(fuzz);
	if (geteuid())
		SKIP(return, "needs root");
	if (sim_built_in())
		SKIP(return, SIM_MODULE " is built into the kernel");
	why = create_vfs(fuzz);
	if (why)
		SKIP(return, "%s", why);
	/* Pages that can be mapped */
	must(!pf_attr_set(fuzz->pf[0], "doorbell_poll_us", 50));
	must(!pf_attr_set(fuzz->pf[0], "map_registers", 1));
	for (unsigned int vf = 0; vf < IOCTL_VFS; vf++)
		find_vf(fuzz, vf);
	learn_features(fuzz);
	fuzz->dma_fd = memfd_create("dma", MFD_CLOEXEC);
	must(fuzz->dma_fd >= 0 && !ftruncate(fuzz->dma_fd, DMA_MEM_SIZE));
	fuzz->dma = mmap(NULL, DMA_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fuzz->dma_fd, 0);
	must(fuzz->dma != MAP_FAILED);
	fds_init(fuzz);
	self->fuzz = fuzz;
}

FIXTURE_TEARDOWN(ioctl)
{
	if (!self->fuzz)
		return;
	for (unsigned int pf = 0; pf < IOCTL_PFS; pf++)
		EXPECT_EQ(pf_set_numvfs(self->fuzz->pf[pf], 0), 0);
	pf_vfs_gone();
}

static u64 sum_good(struct fuzz *fuzz, unsigned int n)
{
	u64 good = 0;

	for (unsigned int i = 0; i < IOCTL_ACTORS; i++)
		good += __atomic_load_n(&fuzz->actor[i].good[n], __ATOMIC_RELAXED);
	return good;
}

/* Can this one succeed on this kernel, and has not? */
static bool is_missing(struct fuzz *fuzz, unsigned int n)
{
	const struct call *call = &calls[n];

	if (call->refused || fuzz->lacks[n])
		return false;
	if (!fuzz->iommufd && (!(call->kinds & ~(OF(CDEV) | OF(IOMMUFD))) ||
			       call->request == VFIO_DEVICE_BIND_IOMMUFD))
		return false;
	return !sum_good(fuzz, n);
}

/* The first of these, or calls_count */
static unsigned int missing(struct fuzz *fuzz)
{
	unsigned int n = 0;

	while (n < calls_count && !is_missing(fuzz, n))
		n++;
	return n;
}

/* Can this ioctl succeed on such a fd?  A device that was opened by its group is never bound. */
static bool may_succeed(const struct call *call, enum kind kind)
{
	return call->kinds >> kind & 1 &&
	       (call->request != VFIO_DEVICE_BIND_IOMMUFD || kind == KIND_CDEV);
}

/* One of these that has not succeeded yet; NULL if all have */
static const struct call *missing_call(struct fuzz_actor *a, enum kind kind)
{
	unsigned int first = random_below(&a->random, calls_count);

	for (unsigned int i = 0; i < calls_count; i++) {
		unsigned int n = (first + i) % calls_count;

		if (may_succeed(&calls[n], kind) && is_missing(a->fuzz, n))
			return &calls[n];
	}
	return NULL;
}

/* An ioctl that this kind of fd has, mostly, else any; *@good if it is to succeed */
static const struct call *some_call(struct fuzz_actor *a, enum kind kind, bool *good)
{
	bool any = one_in(&a->random, 20) || !kind_has_calls(kind);
	const struct call *call = one_in(&a->random, 2) ? missing_call(a, kind) : NULL;

	*good = call || one_in(&a->random, 8);
	if (call)
		return call;
	do
		call = &calls[random_below(&a->random, calls_count)];
	while (!any && !(call->kinds >> kind & 1));
	return call;
}

static void ioctl_step(struct fuzz_actor *a, struct shared_fd *s)
{
	bool good, known;
	const struct call *call = some_call(a, s->kind, &good);
	long ret;

	known = call->kinds >> s->kind & 1;
	argument_make(a, call, s->vf, good);
	stress_call_begins(&a->watch, call->name);
	ret = fds_ioctl(a->fuzz, s, call, call->request, a->arg.value);
	stress_call_ends(&a->watch);
	check_call(a, call, s, ret, errno);
	argument_end(&a->arg);
	a->wrong += !known;
	a->calls[call - calls]++;
	/* The same number may be another ioctl of another kind of fd */
	a->good[call - calls] += known && ret >= 0;
	a->good_of_kind[s->kind] += ret >= 0;
	if (ANY_DEVICE >> s->kind & 1)
		a->good_of_pf[pf_of(s->vf)] += ret >= 0;
}

/* Of a request that nothing has.  Numbers of other types may mean something to any file. */
static void unknown_step(struct fuzz_actor *a, struct shared_fd *s)
{
	unsigned long request = _IO(VFIO_TYPE, 200 + random_below(&a->random, 56));
	int ret;

	stress_call_begins(&a->watch, "unknown ioctl");
	ret = fds_ioctl(a->fuzz, s, NULL, request, (unsigned long)bad_pointer(a));
	stress_call_ends(&a->watch);
	must(ret < 0);
	if (!errno_of_unknown(s->kind, errno))
		fail(__FILE__, __LINE__, "unknown ioctl of kind %u", s->kind);
	a->wrong++;
}

/* Devices and containers have many ioctls, a data fd has one at most */
static bool takes_file_step(struct fuzz_actor *a, enum kind kind)
{
	return (OF(SAVE) | OF(LOAD)) >> kind & 1 ? !one_in(&a->random, 4) : one_in(&a->random, 4);
}

static void step(struct fuzz_actor *a)
{
	/* Devices and data fds have most to lose */
	u32 kinds = one_in(&a->random, 2) ? ANY_KIND : ANY_DEVICE | OF(SAVE) | OF(LOAD);
	struct shared_fd *s = fds_take(a, kinds);

	if (!s || one_in(&a->random, 30)) {
		stress_call_begins(&a->watch, "open");
		fds_open_some(a);
		stress_call_ends(&a->watch);
	}
	if (!s)
		return;
	if (one_in(&a->random, 60))
		fds_close(a->fuzz, s);
	else if (one_in(&a->random, 50))
		unknown_step(a, s);
	else if (takes_file_step(a, s->kind))
		file_step(a, s);
	else
		ioctl_step(a, s);
	stress_call_begins(&a->watch, "close");
	fds_put(a->fuzz, s);
	stress_call_ends(&a->watch);
}

static void *fuzz_thread(void *arg)
{
	struct fuzz_actor *a = arg;

	while (!__atomic_load_n(&a->fuzz->stop, __ATOMIC_RELAXED))
		step(a);
	return NULL;
}

static void watch(struct fuzz *fuzz)
{
	for (unsigned int i = 0; i < IOCTL_ACTORS; i++)
		stress_check(&fuzz->actor[i].watch);
}

static void run_threads(struct fuzz *fuzz, u64 seed)
{
	for (unsigned int i = 0; i < IOCTL_ACTORS; i++) {
		struct fuzz_actor *a = &fuzz->actor[i];

		a->index = i;
		a->random = stress_seed(seed, i);
		a->fuzz = fuzz;
		argument_init(&a->arg, seed + i);
		must(!pthread_create(&a->thread, NULL, fuzz_thread, a));
	}
	while (stress_goes_on_for(missing(fuzz) < calls_count)) {
		sleep_ms(100);
		watch(fuzz);
	}
	__atomic_store_n(&fuzz->stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < IOCTL_ACTORS; i++) {
		while (pthread_tryjoin_np(fuzz->actor[i].thread, NULL)) {
			sleep_ms(10);
			watch(fuzz);
		}
		argument_exit(&fuzz->actor[i].arg);
	}
}

static void say_counts(struct fuzz *fuzz, u64 ms)
{
	u64 all = 0, all_good = 0, wrong = 0, files = 0, opened = 0;

	for (unsigned int n = 0; n < calls_count; n++) {
		u64 count = 0, good = sum_good(fuzz, n);

		for (unsigned int i = 0; i < IOCTL_ACTORS; i++)
			count += fuzz->actor[i].calls[n];
		all += count;
		all_good += good;
		if (count)
			stress_say("ioctl: %8llu %s, %llu of them succeeded", count, calls[n].name,
				   good);
	}
	for (unsigned int i = 0; i < IOCTL_ACTORS; i++) {
		wrong += fuzz->actor[i].wrong;
		files += fuzz->actor[i].files;
		opened += fuzz->actor[i].opened;
	}
	stress_say("ioctl: %llu ioctls, %llu of them succeeded, %llu on a fd that has no such",
		   all, all_good, wrong);
	stress_say("ioctl: %llu reads, writes and so on, %llu opens, in %llu s", files, opened,
		   ms / 1000);
}

/* A run in which nothing could be opened has found nothing */
static void check_done(struct __test_metadata *_metadata, struct fuzz *fuzz)
{
	u32 kinds = OF(CONTAINER) | OF(GROUP) | OF(DEVICE);
	u64 good[KINDS] = {}, of_pf[IOCTL_PFS] = {}, files = 0;

	if (fuzz->iommufd)
		kinds |= OF(CDEV) | OF(IOMMUFD);
	for (unsigned int i = 0; i < IOCTL_ACTORS; i++) {
		files += fuzz->actor[i].files;
		for (unsigned int kind = 0; kind < KINDS; kind++)
			good[kind] += fuzz->actor[i].good_of_kind[kind];
		for (unsigned int pf = 0; pf < IOCTL_PFS; pf++)
			of_pf[pf] += fuzz->actor[i].good_of_pf[pf];
	}
	for (unsigned int n = 0; n < calls_count; n++) {
		EXPECT_FALSE(is_missing(fuzz, n)) {
			TH_LOG("never succeeded: %s", calls[n].name);
		}
	}
	EXPECT_GT(of_pf[0], 0);
	EXPECT_GT(of_pf[1], 0);
	EXPECT_GT(files, 0);
	for (unsigned int kind = 0; kind < KINDS; kind++) {
		if (!(kinds >> kind & 1))
			continue;
		EXPECT_GT(good[kind], 0) {
			TH_LOG("no ioctl succeeded on a fd of kind %u", kind);
		}
	}
}

TEST_F_TIMEOUT(ioctl, random_ioctls, LIMIT)
{
	unsigned int fds = fds_of_process();
	u64 seed = stress_begin("ioctl"), begin = now_ms();
	struct fuzz *fuzz = self->fuzz;

	stress_begin_share(fuzz->iommufd ? 2 : 1);
	run_threads(fuzz, seed);
	say_counts(fuzz, now_ms() - begin);
	check_done(_metadata, fuzz);
	fds_close_all(fuzz);
	EXPECT_EQ(fds_of_process(), fds);
	check_vfs(fuzz);
}

TEST_F_TIMEOUT(ioctl, dma_goes_to_the_space_that_replaced_another, LIMIT)
{
	static const enum space_op needed[] = {
		SPACE_REPLACE, SPACE_REFUSED, SPACE_DETACH, SPACE_DESTROY, SPACE_BUSY,
		SPACE_UNMAP, SPACE_DMA, SPACE_PROBE, SPACE_TRACK,
	};
	unsigned int fds = fds_of_process();
	struct fuzz *fuzz = self->fuzz;
	u64 done[SPACE_OPS] = {}, seed;

	if (!fuzz->iommufd)
		SKIP(return, "this kernel has no iommufd");
	seed = stress_begin("ioctl: address spaces");
	stress_begin_share(2);
	spaces_run(fuzz, seed, done);
	for (unsigned int op = 0; op < SPACE_OPS; op++)
		stress_say("ioctl: %8llu %s", done[op], space_op_name(op));
	for (unsigned int i = 0; i < ARRAY_SIZE(needed); i++) {
		EXPECT_GT(done[needed[i]], 0) {
			TH_LOG("nothing done: %s", space_op_name(needed[i]));
		}
	}
	EXPECT_EQ(fds_of_process(), fds);
	check_vfs(fuzz);
}

TEST_HARNESS_MAIN
