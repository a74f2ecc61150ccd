// SPDX-License-Identifier: GPL-2.0-only
/*
 * As fault_test, of what the administrator does: drivers are bound to PFs and VFs and unbound,
 * VFs are made, settings are written, while memory is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "fault.h"
#include "mig.h"
#include "net_rig.h"

#include "harness.h"

/* On a kernel that checks much, a VF takes more than a second to come, and to go */
#define SECONDS		120

FIXTURE(admin)
{
	char pf[BDF_SIZE];
	char node[16];		/* of the PF */
};

FIXTURE_VARIANT(admin)
{
	const char *model;
	const char *create;	/* function that makes the device of a VF */
	const char *debugfs;	/* function that makes its files */
};

FIXTURE_VARIANT_ADD(admin, nvme)
{
	.model = "nvme",
	.create = "vfmig_nvme_create",
	.debugfs = "vfmig_nvme_debugfs",
};

FIXTURE_VARIANT_ADD(admin, virtio_net)
{
	.model = NET_MODEL,
	.create = "vfmig_net_create",
	.debugfs = "vfmig_fn_rewrite_debugfs",
};

/*
 * The PCI core has a worker of the function's node probe.  Only a function that has no node is
 * probed in the thread that binds it, which is the one that a sweep is about.
 */
static void leave_node(const char *bdf)
{
	if (file_exists(pci_path(bdf, "numa_node")))
		must(!file_write(pci_path(bdf, "numa_node"), "-1"));
}

FIXTURE_SETUP(admin)
{
	const char *why = fault_init() ?:
			  pf_require(&(struct pf_vfs){ .model = variant->model }, self->pf);

	if (why)
		SKIP(return, "%s", why);
	if (file_read(pci_path(self->pf, "numa_node"), self->node, sizeof(self->node)))
		self->node[0] = 0;
}

FIXTURE_TEARDOWN(admin)
{
	if (!self->pf[0])
		return;
	fault_stop();
	if (self->node[0])
		file_write(pci_path(self->pf, "numa_node"), self->node);
	pf_set_numvfs(self->pf, 0);
	pf_vfs_gone();
}

/* 0 or -errno of writing to a file of a driver */
static int driver_file(const char *driver, const char *file, const char *bdf)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/%s", driver, file);
	return file_write(path, bdf);
}

static int driver_file_swept(const char *driver, const char *file, const char *bdf,
			     struct sweep *sweep)
{
	int err;

	sweep_begin(sweep);
	err = driver_file(driver, file, bdf);
	sweep_end(sweep);
	return err;
}

static bool runs(const char *bdf)
{
	struct iommu iommu;
	struct vfio_dev dev;
	bool running;

	must(!iommu_init(&iommu, IOMMU_TYPE1));
	running = !vfio_open(&dev, &iommu, bdf) && mig_get(&dev) == RUNNING;
	vfio_close(&dev);
	iommu_exit(&iommu);
	return running;
}

TEST_F_TIMEOUT(admin, a_vf_is_bound_at_the_second_try, SECONDS)
{
	struct sweep sweep = {};
	unsigned int failed = 0;
	char vf[BDF_SIZE];
	int err;

	must(!pf_set_numvfs(self->pf, 1));
	must(pf_vf(self->pf, 0, vf));
	leave_node(vf);
	/* VFIO's core warns of a reference that it loses when it has no memory for a group */
	fault_not_below_function("vfio_device_set_group");
	while (sweep_next(&sweep)) {
		must(!driver_file(VF_DRIVER, "unbind", vf));
		err = driver_file_swept(VF_DRIVER, "bind", vf, &sweep);
		ASSERT_EQ(pci_has_driver(vf, VF_DRIVER), !err)
			TH_LOG("round %u", sweep.round);
		if (err) {
			failed++;
			EXPECT_EQ(err, -ENOMEM);
			ASSERT_EQ(driver_file(VF_DRIVER, "bind", vf), 0);
		}
		ASSERT_TRUE(runs(vf));
	}
	EXPECT_GT(failed, 0);
	note("failed for %u of %u", failed, sweep.refused);
}

TEST_F_TIMEOUT(admin, a_vf_is_unbound_at_once, SECONDS)
{
	struct sweep sweep = {};
	char vf[BDF_SIZE];

	must(!pf_set_numvfs(self->pf, 1));
	must(pf_vf(self->pf, 0, vf));
	while (sweep_next(&sweep)) {
		ASSERT_EQ(driver_file_swept(VF_DRIVER, "unbind", vf, &sweep), 0);
		ASSERT_FALSE(pci_has_driver(vf, VF_DRIVER));
		ASSERT_EQ(driver_file(VF_DRIVER, "bind", vf), 0);
	}
}

/* The core of netdevs says EINVAL of a device that has no name, and ENOBUFS */
static bool is_shortage(int err)
{
	return err == -ENOMEM || err == -EINVAL || err == -ENOBUFS;
}

TEST_F_TIMEOUT(admin, a_pf_is_bound_at_the_second_try, SECONDS)
{
	struct sweep sweep = {};
	unsigned int failed = 0;
	char model[32];
	int err;

	leave_node(self->pf);
	while (sweep_next(&sweep)) {
		must(!driver_file(SIM_MODULE, "unbind", self->pf));
		err = driver_file_swept(SIM_MODULE, "bind", self->pf, &sweep);
		ASSERT_EQ(pci_has_driver(self->pf, SIM_MODULE), !err)
			TH_LOG("round %u", sweep.round);
		if (err) {
			failed++;
			EXPECT_TRUE(is_shortage(err))
				TH_LOG("%d in round %u", err, sweep.round);
			ASSERT_EQ(driver_file(SIM_MODULE, "bind", self->pf), 0);
		}
		ASSERT_EQ(file_read(pci_path(self->pf, "vfmig/model"), model, sizeof(model)), 0);
		EXPECT_STREQ(model, variant->model);
	}
	EXPECT_GT(failed, 0);
	note("failed for %u of %u", failed, sweep.refused);
	ASSERT_EQ(pf_set_numvfs(self->pf, 1), 0);
	EXPECT_EQ(pf_numvfs(self->pf), 1);
}

/*
 * Two VFs while what @function allocates is refused.  There are both of them or none.  What the PCI
 * core allocates is left alone: where pci_setup_device() has no memory for the name of a VF it goes
 * on, and device_add() fails, whose caller goes on too.  Returns how often it failed.
 */
static unsigned int make_swept(struct __test_metadata *_metadata, const char *pf,
			       const char *function)
{
	struct sweep sweep = {};
	unsigned int failed = 0;
	int err;

	fault_below_function(function);
	while (sweep_next(&sweep)) {
		sweep_begin(&sweep);
		err = pf_set_numvfs(pf, 2);
		sweep_end(&sweep);
		EXPECT_EQ(pf_numvfs(pf), err ? 0 : 2)
			TH_LOG("round %u", sweep.round);
		if (err) {
			failed++;
			EXPECT_TRUE(is_shortage(err)) TH_LOG("%d in round %u", err, sweep.round);
		} else {
			must(!pf_set_numvfs(pf, 0));
		}
	}
	note("failed for %u of %u", failed, sweep.refused);
	EXPECT_GT(sweep.refused, 0);
	return failed;
}

TEST_F_TIMEOUT(admin, vfs_are_made_all_or_none, SECONDS)
{
	EXPECT_GT(make_swept(_metadata, self->pf, variant->create), 0);
	fault_stop();
	ASSERT_EQ(pf_set_numvfs(self->pf, 1), 0);
}

/* The kernel's rule for debugfs: a driver does without it */
TEST_F_TIMEOUT(admin, vfs_are_made_without_their_files, SECONDS)
{
	EXPECT_EQ(make_swept(_metadata, self->pf, variant->debugfs), 0);
}

FIXTURE(settings)
{
	char pf[BDF_SIZE];
	char vf[BDF_SIZE];
};

FIXTURE_SETUP(settings)
{
	const char *why = fault_init() ?: pf_require(&(struct pf_vfs){ .count = 1 }, self->pf);

	if (why)
		SKIP(return, "%s", why);
	must(pf_vf(self->pf, 0, self->vf));
}

FIXTURE_TEARDOWN(settings)
{
	if (self->vf[0])
		command_end(self->vf);
}

/* A file, and two values that it can have; a list gets longer by the second, until it is cleared */
struct setting {
	const char *(*path)(const char *bdf, const char *file);
	const char *file;
	const char *before;
	const char *after;
};

static const struct setting vf_settings[] = {
	{ command_path, "faults", "clear", "arc RUNNING->PRE_COPY errno=EIO once" },
	{ command_path, "profile", "none", "mlx5" },
	{ vf_debugfs, "dirty_memory", "none", "1000000 300" },
	{ vf_debugfs, "dirty", "none", "1 0 7" },
	{ vf_debugfs, "io_fault", "none", "error 0 7" },
	{ vf_debugfs, "media_mb", "1", "2" },
	{ vf_debugfs, "erase_on_close", "0", "1" },
	{ vf_debugfs, "doorbell_poll_us", "0", "100" },
	{ vf_debugfs, "map_registers", "0", "1" },
	{ vf_debugfs, "io_latency_us", "0", "1" },
};

static void read_setting(const struct setting *s, const char *bdf, char *text, size_t size)
{
	memset(text, 0, size);
	must(!file_read(s->path(bdf, s->file), text, size));
}

/* Returns how often it failed */
static unsigned int write_swept(struct __test_metadata *_metadata, const struct setting *s,
				const char *bdf)
{
	char before[1024], after[1024], now[1024];
	struct sweep sweep = {};
	unsigned int failed = 0;
	int err;

	while (sweep_next(&sweep)) {
		must(!file_write(s->path(bdf, s->file), s->before));
		read_setting(s, bdf, before, sizeof(before));
		sweep_begin(&sweep);
		err = file_write(s->path(bdf, s->file), s->after);
		sweep_end(&sweep);
		read_setting(s, bdf, now, sizeof(now));
		if (err) {
			failed++;
			EXPECT_EQ(err, -ENOMEM);
			EXPECT_STREQ(now, before);
			EXPECT_EQ(file_write(s->path(bdf, s->file), s->after), 0);
			read_setting(s, bdf, now, sizeof(now));
		}
		/* A list has numbers that grow */
		EXPECT_STRNE(now, before);
		if (sweep.round == 1)
			memcpy(after, now, sizeof(after));
		if (strcmp(s->before, "clear"))
			EXPECT_STREQ(now, after);
	}
	must(!file_write(s->path(bdf, s->file), s->before));
	note("%s: failed for %u of %u", s->file, failed, sweep.refused);
	return failed;
}

TEST_F_TIMEOUT(settings, of_a_vf_change_or_stay, SECONDS)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(vf_settings); i++) {
		unsigned int failed = write_swept(_metadata, &vf_settings[i], self->vf);

		/* These have memory of their own */
		if (vf_settings[i].path == command_path ||
		    !strcmp(vf_settings[i].file, "dirty_memory"))
			EXPECT_GT(failed, 0)
				TH_LOG("%s", vf_settings[i].file);
	}
}

/* The times of doorbells are what this is for: without them the latency counts from the fetch */
TEST_F_TIMEOUT(settings, a_latency_needs_no_memory, SECONDS)
{
	fault_rate(1);
	EXPECT_EQ(pf_attr_set(self->pf, "io_latency_us", 1000), 0);
	EXPECT_GT(fault_count(), 0);
	fault_stop();
	EXPECT_EQ(file_u64(vf_debugfs(self->vf, "io_latency_us"), 0), 1000);
	EXPECT_EQ(pf_attr_set(self->pf, "io_latency_us", 0), 0);
	/* The VF has them from now on */
	EXPECT_EQ(pf_attr_set(self->pf, "io_latency_us", 1), 0);
	fault_rate(1);
	EXPECT_EQ(pf_attr_set(self->pf, "io_latency_us", 2), 0);
	EXPECT_EQ(fault_count(), 0);
	fault_stop();
	EXPECT_EQ(pf_attr_set(self->pf, "io_latency_us", 0), 0);
	/* Those of this VF are tested, so the next test gets another one */
	must(!pf_set_numvfs(self->pf, 0));
	pf_vfs_gone();
}

TEST_HARNESS_MAIN
