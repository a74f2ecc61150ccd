// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loading and unloading: parameters that can't be are refused, what was loaded goes
 * without a trace.  The module is loaded again as it was at the end.
 */
#include <errno.h>
#include <linux/vfmig.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kmod.h"
#include "pf.h"
#include "vfio_dev.h"

#include "harness.h"

#define PARAM_DIR	"/sys/module/" SIM_MODULE "/parameters"

static const char * const params[] = { "num_pfs", "models", "media_mb", "lba_size", "queues",
				       "io_latency_us" };

FIXTURE(module)
{
	char path[PATH_SIZE];
	char args[256];		/* as it was loaded */
};

/* Output of a command, without its newline */
static int command_output(const char *command, char *buf, size_t size)
{
	FILE *f = popen(command, "re");

	buf[0] = 0;
	if (!f)
		return -errno;
	if (fgets(buf, size, f))
		buf[strcspn(buf, "\n")] = 0;
	return pclose(f) ? -ENOENT : 0;
}

static int unload(void)
{
	return kmod_unload(SIM_MODULE);
}

static bool loaded(void)
{
	return file_exists("/sys/module/" SIM_MODULE);
}

static unsigned int count_pfs(void)
{
	char pfs[MAX_PFS][BDF_SIZE];

	return pf_find(pfs, MAX_PFS);
}

FIXTURE_SETUP(module)
{
	char pfs[MAX_PFS][BDF_SIZE], value[32];
	unsigned int n;

	if (geteuid())
		SKIP(return, "needs root");
	if (sim_built_in())
		SKIP(return, SIM_MODULE " is built into the kernel");
	if (command_output("modinfo -n " SIM_MODULE " 2>/dev/null", self->path,
			   sizeof(self->path)))
		SKIP(return, "modinfo does not find " SIM_MODULE);
	if (!loaded())
		SKIP(return, SIM_MODULE " is not loaded");
	n = pf_find(pfs, MAX_PFS);
	for (unsigned int i = 0; i < n; i++)
		if (pf_numvfs(pfs[i]))
			SKIP(return, "%s has VFs: they would go", pfs[i]);
	for (unsigned int i = 0; i < ARRAY_SIZE(params); i++) {
		char path[PATH_SIZE], *end = self->args + strlen(self->args);

		snprintf(path, sizeof(path), PARAM_DIR "/%s", params[i]);
		ASSERT_EQ(file_read(path, value, sizeof(value)), 0);
		snprintf(end, sizeof(self->args) - strlen(self->args), "%s=%s ", params[i], value);
	}
	ASSERT_EQ(unload(), 0);
}

FIXTURE_TEARDOWN(module)
{
	if (loaded())
		unload();
	EXPECT_EQ(kmod_load(self->path, self->args), 0);
}

static void expect_refused(struct __test_metadata *_metadata, const char *path,
			   const char * const *wrong, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		EXPECT_EQ(kmod_load(path, wrong[i]), -EINVAL) TH_LOG("%s", wrong[i]);
		EXPECT_FALSE(loaded());
		EXPECT_EQ(count_pfs(), 0);
		if (loaded())
			unload();
	}
}

/* On a kernel that checks much, a module takes seconds to load */
TEST_F_TIMEOUT(module, invalid_parameters_are_refused, 150)
{
	static const char * const wrong[] = {
		"num_pfs=0", "num_pfs=9", "num_pfs=4294967295", "media_mb=0",
		"media_mb=4294967295", "lba_size=0", "lba_size=1024", "lba_size=513",
		"queues=0", "queues=1", "queues=33", "num_pfs=x",
	};

	expect_refused(_metadata, self->path, wrong, ARRAY_SIZE(wrong));
}

TEST_F_TIMEOUT(module, models_that_do_not_exist_are_refused, 150)
{
	static const char * const wrong[] = {
		"models=", "models=disk", "models=nvme,disk", "models=nvme,", "models=,nvme",
		"models=nvme,nvme num_pfs=1", "num_pfs=0 models=nvme",
		"models=nvme,nvme,nvme,nvme,nvme,nvme,nvme,nvme,nvme",
		"models=sample media_mb=0",
	};

	expect_refused(_metadata, self->path, wrong, ARRAY_SIZE(wrong));
}

TEST_F_TIMEOUT(module, comes_and_goes, 60)
{
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(kmod_load(self->path, i % 2 ? "num_pfs=3" : ""), 0);
		EXPECT_EQ(count_pfs(), i % 2 ? 3 : 1);
		ASSERT_EQ(unload(), 0);
		EXPECT_EQ(count_pfs(), 0);
		EXPECT_FALSE(file_exists("/sys/kernel/debug/vfmig/"));
	}
}

/* The models of the PFs @pfs */
static void expect_models(struct __test_metadata *_metadata, char pfs[][BDF_SIZE],
			  const char * const *want, unsigned int count)
{
	char name[32];

	for (unsigned int i = 0; i < count; i++) {
		ASSERT_EQ(file_read(pci_path(pfs[i], "vfmig/model"), name, sizeof(name)), 0);
		EXPECT_STREQ(name, want[i]);
	}
	EXPECT_EQ(file_u64(PARAM_DIR "/num_pfs", 0), count);
}

TEST_F_TIMEOUT(module, each_pf_has_its_model, 60)
{
	static const char * const two[] = { "sample", "nvme" };
	static const char * const four[] = { "nvme", "sample", "sample", "sample" };
	char pfs[MAX_PFS][BDF_SIZE];

	ASSERT_EQ(kmod_load(self->path, "models=sample,nvme"), 0);
	ASSERT_EQ(pf_find(pfs, MAX_PFS), ARRAY_SIZE(two));
	expect_models(_metadata, pfs, two, ARRAY_SIZE(two));
	ASSERT_EQ(unload(), 0);

	ASSERT_EQ(kmod_load(self->path, "num_pfs=4 models=nvme,sample"), 0);
	ASSERT_EQ(pf_find(pfs, MAX_PFS), ARRAY_SIZE(four));
	expect_models(_metadata, pfs, four, ARRAY_SIZE(four));
	ASSERT_EQ(unload(), 0);
}

/* Writes models to a PF again and again, until it is gone */
static void ask_for_models(const char *pf)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s", pci_path(pf, "vfmig/model"));
	while (file_exists("/sys/module/" SIM_MODULE)) {
		file_write(path, "sample");
		file_write(path, "nvme");
	}
	_exit(0);
}

/* The writer who changes a model is in code of the module when the attribute is gone */
TEST_F_TIMEOUT(module, goes_while_a_model_changes, 90)
{
	for (int i = 0; i < 3; i++) {
		char pfs[MAX_PFS][BDF_SIZE];
		int status;
		pid_t child;

		ASSERT_EQ(kmod_load(self->path, "media_mb=1"), 0);
		ASSERT_EQ(pf_find(pfs, MAX_PFS), 1);
		child = fork();
		ASSERT_GE(child, 0);
		if (!child)
			ask_for_models(pfs[0]);
		sleep_ms(200 + 300 * i);
		/* While it changes, the module is in use */
		EXPECT_TRUE(wait_until(unload() != -EWOULDBLOCK));
		EXPECT_FALSE(loaded());
		EXPECT_EQ(waitpid(child, &status, 0), child);
	}
}

TEST_F(module, goes_with_its_vfs)
{
	char pfs[MAX_PFS][BDF_SIZE], vf[BDF_SIZE];

	ASSERT_EQ(kmod_load(self->path, "media_mb=1"), 0);
	ASSERT_EQ(pf_find(pfs, MAX_PFS), 1);
	EXPECT_EQ(pf_attr(pfs[0], "media_mb"), 1);
	ASSERT_EQ(pf_set_numvfs(pfs[0], 4), 0);
	ASSERT_TRUE(pf_vf(pfs[0], 3, vf));
	ASSERT_EQ(unload(), 0);
	EXPECT_FALSE(file_exists(pci_path(vf, "vendor")));
	EXPECT_FALSE(file_exists(pci_path(pfs[0], "vendor")));
}

/* Asks for VFs of a PF again and again, until it has no driver to make them */
static void ask_for_vfs(const char *pf)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s", pci_path(pf, "sriov_numvfs"));
	while (file_write(path, "2") != -ENOENT)
		file_write(path, "0");
	_exit(0);
}

/* A write to sriov_numvfs takes the same locks as the removal of the bus */
TEST_F_TIMEOUT(module, goes_while_vfs_are_asked_for, 90)
{
	for (int i = 0; i < 3; i++) {
		char pfs[MAX_PFS][BDF_SIZE];
		int status;
		pid_t child;

		ASSERT_EQ(kmod_load(self->path, "num_pfs=2 media_mb=1"), 0);
		ASSERT_EQ(pf_find(pfs, MAX_PFS), 2);
		ASSERT_EQ(pf_set_numvfs(pfs[0], 8), 0);
		child = fork();
		ASSERT_GE(child, 0);
		if (!child)
			ask_for_vfs(pfs[1]);
		sleep_ms(200 + 300 * i);
		EXPECT_EQ(unload(), 0);
		EXPECT_EQ(waitpid(child, &status, 0), child);
		EXPECT_EQ(count_pfs(), 0);
	}
}

/* It takes a second until the VFs are gone, in which the driver's locks are held */
TEST_F_TIMEOUT(module, goes_while_a_pf_is_removed, 60)
{
	char pfs[MAX_PFS][BDF_SIZE];
	const char *why;
	int status;
	pid_t child;

	ASSERT_EQ(kmod_load(self->path, "num_pfs=2 media_mb=1"), 0);
	ASSERT_EQ(pf_find(pfs, MAX_PFS), 2);
	why = pf_stays(pfs[0]);
	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(pf_set_numvfs(pfs[0], 4), 0);
	child = fork();
	ASSERT_GE(child, 0);
	if (!child) {
		file_write(pci_path(pfs[0], "remove"), "1");
		_exit(0);
	}
	sleep_ms(200);
	EXPECT_EQ(unload(), 0);
	EXPECT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(count_pfs(), 0);
}

/* Whoever has a VF or PF through another driver is not waited for */
TEST_F_TIMEOUT(module, stays_while_another_driver_has_a_function, 60)
{
	char pfs[MAX_PFS][BDF_SIZE], vf[BDF_SIZE];
	struct iommu iommu;
	struct vfio_dev dev;

	if (system("modprobe " STOCK_DRIVER " 2>/dev/null"))
		SKIP(return, "no driver " STOCK_DRIVER);
	ASSERT_EQ(kmod_load(self->path, "num_pfs=2 media_mb=1"), 0);
	ASSERT_EQ(pf_find(pfs, MAX_PFS), 2);
	ASSERT_EQ(pf_set_numvfs(pfs[0], 1), 0);
	ASSERT_TRUE(pf_vf(pfs[0], 0, vf));

	ASSERT_EQ(pci_rebind(vf, STOCK_DRIVER), 0);
	ASSERT_TRUE(pci_has_driver(vf, STOCK_DRIVER));
	EXPECT_EQ(unload(), -EWOULDBLOCK);
	if (!iommu_init(&iommu, IOMMU_TYPE1)) {
		ASSERT_EQ(vfio_open(&dev, &iommu, vf), 0);
		EXPECT_EQ(unload(), -EWOULDBLOCK);
		vfio_close(&dev);
		iommu_exit(&iommu);
	}
	EXPECT_EQ(unload(), -EWOULDBLOCK);
	EXPECT_TRUE(pci_has_driver(vf, STOCK_DRIVER));

	ASSERT_EQ(pci_rebind(vf, VF_DRIVER), 0);
	ASSERT_TRUE(pci_has_driver(vf, VF_DRIVER));

	ASSERT_EQ(pci_rebind(pfs[1], STOCK_DRIVER), 0);
	ASSERT_TRUE(pci_has_driver(pfs[1], STOCK_DRIVER));
	EXPECT_EQ(unload(), -EWOULDBLOCK);
	EXPECT_TRUE(pci_has_driver(pfs[1], STOCK_DRIVER));
	ASSERT_EQ(pci_rebind(pfs[1], "\n"), 0);
	ASSERT_TRUE(pci_has_driver(pfs[1], SIM_MODULE));

	EXPECT_EQ(unload(), 0);
}

#define PROBE_MODULE	"vfmig_test_probe"

/* A driver whose probe fails has nothing */
TEST_F(module, goes_when_a_driver_failed_to_take_a_function)
{
	char pfs[MAX_PFS][BDF_SIZE], vf[BDF_SIZE];
	const char *why;

	/* An earlier run may have failed half-way */
	kmod_unload(PROBE_MODULE);
	why = kmod_load_test(PROBE_MODULE, "");
	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(kmod_load(self->path, "media_mb=1"), 0);
	ASSERT_EQ(pf_find(pfs, MAX_PFS), 1);
	ASSERT_EQ(pf_set_numvfs(pfs[0], 1), 0);
	ASSERT_TRUE(pf_vf(pfs[0], 0, vf));

	pci_rebind(vf, PROBE_MODULE);
	EXPECT_EQ(file_u64("/sys/module/" PROBE_MODULE "/parameters/probed", 0), 1);
	EXPECT_FALSE(pci_has_driver(vf, PROBE_MODULE));
	EXPECT_EQ(unload(), 0);
	EXPECT_EQ(kmod_unload(PROBE_MODULE), 0);
}

/* Asks for @vf for another driver until it is gone, and has it open for a while if it can */
static void ask_for_driver(const char *vf)
{
	char bind[] = "/sys/bus/pci/drivers/" STOCK_DRIVER "/bind", path[PATH_SIZE];
	struct iommu iommu;
	struct vfio_dev dev;

	snprintf(path, sizeof(path), "%s", pci_path(vf, "vendor"));
	while (file_exists(path)) {
		if (file_write(bind, vf))
			continue;
		if (!iommu_init(&iommu, IOMMU_TYPE1) && !vfio_open(&dev, &iommu, vf))
			sleep_ms(5000);
		_exit(1);
	}
	_exit(0);
}

/*
 * It takes a second until the VFs of one PF are gone.  A driver that gets one of another
 * meanwhile can't pin the module, which would wait for it.
 */
TEST_F_TIMEOUT(module, gives_nothing_away_while_it_goes, 60)
{
	char pfs[MAX_PFS][BDF_SIZE], first[BDF_SIZE], vf[BDF_SIZE];
	int status;
	pid_t child;

	if (system("modprobe " STOCK_DRIVER " 2>/dev/null"))
		SKIP(return, "no driver " STOCK_DRIVER);
	ASSERT_EQ(kmod_load(self->path, "num_pfs=2 media_mb=1"), 0);
	ASSERT_EQ(pf_find(pfs, MAX_PFS), 2);
	ASSERT_EQ(pf_set_numvfs(pfs[0], 1), 0);
	ASSERT_TRUE(pf_vf(pfs[0], 0, first));
	ASSERT_EQ(pf_set_numvfs(pfs[1], 1), 0);
	ASSERT_TRUE(pf_vf(pfs[1], 0, vf));
	ASSERT_EQ(file_write(pci_path(vf, "driver/unbind"), vf), 0);
	ASSERT_EQ(file_write(pci_path(vf, "driver_override"), "none"), 0);
	/* The exit is under way when the first PF's VF is gone */
	child = fork();
	ASSERT_GE(child, 0);
	if (!child) {
		while (file_exists(pci_path(first, "vendor")))
			;
		file_write(pci_path(vf, "driver_override"), STOCK_DRIVER);
		ask_for_driver(vf);
	}
	sleep_ms(200);
	EXPECT_EQ(unload(), 0);
	EXPECT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
}

#define FABRIC_MODULE	"vfmig_fabric"

/* Unload the fabric as soon as nothing is left of it */
static bool unload_fabric(void)
{
	return wait_until(!kmod_unload(FABRIC_MODULE));
}

/*
 * iommufd keeps a domain when its device is gone.  The code that frees the last one is the
 * module's, which can go from then on.
 */
TEST_F_TIMEOUT(module, goes_when_the_last_domain_is_being_freed, 180)
{
	for (int i = 0; i < 3; i++) {
		char pfs[MAX_PFS][BDF_SIZE], vf[BDF_SIZE];
		struct iommu iommu;
		struct vfio_dev dev;
		const char *why;
		u32 hwpt_id;
		pid_t child;
		int status;

		ASSERT_EQ(kmod_load(self->path, "media_mb=1"), 0);
		ASSERT_EQ(pf_find(pfs, MAX_PFS), 1);
		ASSERT_EQ(pf_set_numvfs(pfs[0], 1), 0);
		ASSERT_TRUE(pf_vf(pfs[0], 0, vf));
		why = iommu_init(&iommu, IOMMU_IOMMUFD);
		if (why)
			SKIP(return, "%s", why);
		ASSERT_EQ(vfio_open(&dev, &iommu, vf), 0);
		ASSERT_EQ(iommu_hwpt_alloc(&iommu, dev.dev_id, 0, &hwpt_id), 0);
		vfio_close(&dev);
		ASSERT_EQ(unload(), 0);
		EXPECT_EQ(kmod_unload(FABRIC_MODULE), -EWOULDBLOCK);

		child = fork();
		ASSERT_GE(child, 0);
		if (!child) {
			/* The last one that has it open is to be the parent */
			close(iommu.fd);
			_exit(!unload_fabric());
		}
		sleep_ms(20 + i);
		iommu_exit(&iommu);
		EXPECT_EQ(waitpid(child, &status, 0), child);
		EXPECT_EQ(status, 0);
		ASSERT_EQ(system("modprobe " FABRIC_MODULE), 0);
	}
}

/* The VFs of many PFs don't fit on one bus */
TEST_F_TIMEOUT(module, vfs_spill_onto_further_buses, 120)
{
	char pfs[MAX_PFS][BDF_SIZE], vf[BDF_SIZE], name[64];
	bool other_bus = false;

	ASSERT_EQ(kmod_load(self->path, "num_pfs=8 media_mb=1"), 0);
	ASSERT_EQ(pf_find(pfs, MAX_PFS), 8);
	for (int i = 0; i < 8; i++) {
		/* The first and the last, which needs the most of the buses */
		if (i != 0 && i != 7)
			continue;
		ASSERT_EQ(pf_set_numvfs(pfs[i], 64), 0);
		for (unsigned int n = 0; n < 64; n++) {
			ASSERT_TRUE(pf_vf(pfs[i], n, vf)) TH_LOG("VF %u of %s", n, pfs[i]);
			EXPECT_EQ(file_u64(pci_path(vf, "device"), 0), VFMIG_PCI_DEVICE_ID_VF);
			EXPECT_TRUE(pci_driver(vf, name, sizeof(name)));
			EXPECT_TRUE(link_name(pci_path(vf, "iommu_group"), name, sizeof(name)));
			other_bus |= strncmp(vf, pfs[0], 7);
		}
	}
	EXPECT_TRUE(other_bus);
	ASSERT_EQ(unload(), 0);
	EXPECT_EQ(count_pfs(), 0);
}

TEST_HARNESS_MAIN
