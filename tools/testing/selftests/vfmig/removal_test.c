// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VF is taken away, by sriov_numvfs, with the PF's driver or with the PF, while
 * it is open, in mid-migration, or held by a data fd alone.  The user is asked to let
 * go; the removal is done when he has; a data fd holds up nothing.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "bells.h"
#include "rig.h"

#include "harness.h"

enum removal {
	BY_NUMVFS,
	BY_UNBIND,	/* the PF's driver goes */
	BY_REMOVE,	/* the PF itself goes */
};

FIXTURE(removal)
{
	struct rig rig;
	char driver[64];
};

FIXTURE_VARIANT(removal)
{
	enum iommu_mode mode;
	enum removal how;
};

FIXTURE_VARIANT_ADD(removal, by_numvfs)
{
	.mode = IOMMU_TYPE1,
	.how = BY_NUMVFS,
};

FIXTURE_VARIANT_ADD(removal, by_numvfs_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.how = BY_NUMVFS,
};

FIXTURE_VARIANT_ADD(removal, by_pf_unbind)
{
	.mode = IOMMU_TYPE1,
	.how = BY_UNBIND,
};

FIXTURE_VARIANT_ADD(removal, by_pf_unbind_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.how = BY_UNBIND,
};

FIXTURE_VARIANT_ADD(removal, by_pf_remove)
{
	.mode = IOMMU_TYPE1,
	.how = BY_REMOVE,
};

FIXTURE_VARIANT_ADD(removal, by_pf_remove_iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.how = BY_REMOVE,
};

/*
 * Since Linux 6.18 the PCI core, with lockdep, warns of VFs that go without the lock of
 * rescans and removals.  To remove the PF, or to write to its sriov_numvfs, takes it; to
 * unbind its driver does not, and the driver can't know which it is.
 */
static bool kernel_warns_of_unbind(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname kernel;

	must(!uname(&kernel));
	must(sscanf(kernel.release, "%u.%u", &major, &minor) == 2);
	return file_exists("/proc/lockdep_stats") && (major > 6 || (major == 6 && minor >= 18));
}

FIXTURE_SETUP(removal)
{
	struct pf_vfs vfs = { .count = 1 };
	char pf[BDF_SIZE];
	const char *why;

	if (variant->how == BY_UNBIND && kernel_warns_of_unbind())
		SKIP(return, "the PCI core itself warns when a PF with VFs is unbound");
	if (variant->how == BY_REMOVE) {
		why = pf_require(&(struct pf_vfs){}, pf);
		if (!why)
			why = pf_stays(pf);
		if (why)
			SKIP(return, "%s", why);
	}
	why = rig_open(&self->rig, &vfs, variant->mode, 1);
	if (why)
		SKIP(return, "%s", why);
	ASSERT_TRUE(pci_driver(self->rig.pf, self->driver, sizeof(self->driver)));
}

/* Make the PF as it was, if it is not: 0 or -errno */
static int bring_back(const char *pf, enum removal how, const char *driver)
{
	char path[PATH_SIZE], name[64];

	/* Of the PF's bus, waiting for a removal that is under way */
	if (how == BY_REMOVE) {
		snprintf(path, sizeof(path), "/sys/class/pci_bus/%.7s/rescan", pf);
		return file_write(path, "1");
	}
	if (pci_driver(pf, name, sizeof(name)))
		return 0;
	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/bind", driver);
	return file_write(path, pf);
}

FIXTURE_TEARDOWN(removal)
{
	char name[64];

	rig_close(&self->rig);
	bring_back(self->rig.pf, variant->how, self->driver);
	EXPECT_TRUE(pci_driver(self->rig.pf, name, sizeof(name)));
}

struct remover {
	const char *pf;
	enum removal how;
	bool done;
	int err;
};

static void *remove_thread(void *arg)
{
	struct remover *r = arg;

	switch (r->how) {
	case BY_NUMVFS:
		r->err = pf_set_numvfs(r->pf, 0);
		break;
	case BY_UNBIND:
		r->err = file_write(pci_path(r->pf, "driver/unbind"), r->pf);
		break;
	case BY_REMOVE:
		r->err = file_write(pci_path(r->pf, "remove"), "1");
		break;
	}
	__atomic_store_n(&r->done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void remove_start(struct remover *r, pthread_t *thread, const char *pf, enum removal how)
{
	pf_vfs_gone();
	*r = (struct remover){ .pf = pf, .how = how };
	must(!pthread_create(thread, NULL, remove_thread, r));
}

static bool removed(struct remover *r)
{
	return __atomic_load_n(&r->done, __ATOMIC_ACQUIRE);
}

/* Start a removal with the VF open in @state, see it wait, let go, see it done */
static void remove_open_vf(struct __test_metadata *_metadata, struct rig *rig,
			   enum removal how, u32 state)
{
	struct vfio_dev *dev = &rig->dev[0];
	int request = event_new(), fd;
	struct remover r;
	pthread_t thread;
	ssize_t n;
	u8 byte = 0x76;

	must(!mig_set(dev, state, &fd));
	vfio_request_irq_set(dev, request);
	remove_start(&r, &thread, rig->pf, how);
	EXPECT_TRUE(event_wait(request)) TH_LOG("the user was not asked to let go");
	EXPECT_TRUE(stays_false(removed(&r)));
	/* It works until it is let go */
	EXPECT_EQ(mig_get(dev), (int)state);
	EXPECT_NE(bar_read64(dev, NVME_CAP), ~0ULL);
	if (state == STOP_COPY)
		EXPECT_EQ(read(fd, &byte, 1), 1);
	vfio_close(dev);
	ASSERT_TRUE(wait_until(removed(&r)));
	pthread_join(thread, NULL);
	EXPECT_EQ(r.err, 0);
	EXPECT_FALSE(file_exists(pci_path(dev->bdf, "vendor")));
	if (fd >= 0) {
		n = state == RESUMING ? write(fd, &byte, 1) : read(fd, &byte, 1);
		EXPECT_EQ(n, -1);
		EXPECT_EQ(errno, ENODEV);
		close(fd);
	}
	close(request);
}

TEST_F_TIMEOUT(removal, of_an_open_vf, 60)
{
	rig_start(&self->rig);
	remove_open_vf(_metadata, &self->rig, variant->how, RUNNING);
}

TEST_F_TIMEOUT(removal, in_stop_copy, 60)
{
	remove_open_vf(_metadata, &self->rig, variant->how, STOP_COPY);
}

TEST_F_TIMEOUT(removal, in_resuming, 60)
{
	remove_open_vf(_metadata, &self->rig, variant->how, RESUMING);
}

TEST_F_TIMEOUT(removal, with_io_in_flight, 60)
{
	struct rig *rig = &self->rig;
	struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };

	rig_start(rig);
	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 100000), 0);
	for (int i = 0; i < 30; i++)
		nvme_submit(&rig->nvme, &rig->nvme.io[1], &flush);
	nvme_ring(&rig->nvme, &rig->nvme.io[1]);
	remove_open_vf(_metadata, rig, variant->how, STOP);
}

/* The doorbells of queues that do not exist */
static void ring_none(u32 *bells, u32 i)
{
	bells_store(bells, 60 + i % 6, i);
}

/* It has the VF open, as the device fd has */
TEST_F_TIMEOUT(removal, waits_for_a_mapping, 60)
{
	struct rig *rig = &self->rig;
	struct vfio_dev *dev = &rig->dev[0];
	int request = event_new();
	struct remover r;
	pthread_t thread;
	struct hammer h;
	u32 *bells;

	rig_start(rig);
	ASSERT_EQ(pf_attr_set(rig->pf, "doorbell_poll_us", 200), 0);
	bells = bells_map(dev);
	if (!bells)
		SKIP(return, "doorbells are not mapped on a machine with one CPU");
	vfio_request_irq_set(dev, request);
	hammer_begin(&h, bells, ring_none);
	remove_start(&r, &thread, rig->pf, variant->how);
	EXPECT_TRUE(event_wait(request)) TH_LOG("the user was not asked to let go");
	vfio_close_device(dev);
	EXPECT_TRUE(stays_false(removed(&r)));
	EXPECT_TRUE(is_there(bells));
	hammer_end(&h);
	bells_unmap(bells);
	vfio_close(dev);
	ASSERT_TRUE(wait_until(removed(&r)));
	pthread_join(thread, NULL);
	EXPECT_EQ(r.err, 0);
	close(request);
}

TEST_F_TIMEOUT(removal, is_not_held_up_by_a_data_fd, 60)
{
	struct rig *rig = &self->rig;
	struct vfio_dev *dev = &rig->dev[0];
	struct remover r;
	pthread_t thread;
	int fd;
	u8 byte;

	ASSERT_EQ(mig_set(dev, STOP_COPY, &fd), 0);
	vfio_close(dev);
	remove_start(&r, &thread, rig->pf, variant->how);
	ASSERT_TRUE(wait_until(removed(&r)));
	pthread_join(thread, NULL);
	EXPECT_EQ(r.err, 0);
	EXPECT_EQ(read(fd, &byte, 1), -1);
	EXPECT_EQ(errno, ENODEV);
	close(fd);
}

TEST_F_TIMEOUT(removal, and_back_again, 60)
{
	struct rig *rig = &self->rig;
	char bdf[BDF_SIZE];
	struct remover r;
	pthread_t thread;
	u8 *buf;

	/* VFs made anew read as zeroes */
	rig_start(rig);
	buf = arena_alloc(&rig->mem, PAGE);
	memset(buf, 0x77, PAGE);
	nvme_write_bytes(&rig->nvme, 0, buf, PAGE);
	vfio_close(&rig->dev[0]);
	remove_start(&r, &thread, rig->pf, variant->how);
	ASSERT_TRUE(wait_until(removed(&r)));
	pthread_join(thread, NULL);
	EXPECT_EQ(r.err, 0);
	EXPECT_EQ(file_exists(pci_path(rig->pf, "vendor")), variant->how != BY_REMOVE);
	EXPECT_EQ(pf_numvfs(rig->pf), 0);
	ASSERT_EQ(bring_back(rig->pf, variant->how, self->driver), 0);
	ASSERT_EQ(pf_require(&(struct pf_vfs){ .count = 1 }, rig->pf), NULL);
	ASSERT_TRUE(pf_vf(rig->pf, 0, bdf));
	ASSERT_EQ(vfio_open(&rig->dev[0], &rig->iommu[0], bdf), 0);
	arena_map_again(&rig->mem, &rig->iommu[0]);
	nvme_init(&rig->nvme, &rig->dev[0], &rig->mem);
	ASSERT_EQ(nvme_create_io(&rig->nvme, 1, 16, -1), 0);
	nvme_read_bytes(&rig->nvme, 0, buf, PAGE);
	EXPECT_TRUE(is_filled(buf, PAGE, 0));
}

TEST_HARNESS_MAIN
