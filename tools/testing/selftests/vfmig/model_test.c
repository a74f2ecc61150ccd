// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model of a PF: what vfmig/model takes and refuses, and what becomes of the PF.  What
 * the module's parameter models= takes is in module_test.
 */
#include <errno.h>
#include <linux/vfmig.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "pf.h"

#include "harness.h"

#define SAMPLE_PF	0x5053
#define SAMPLE_VF	0x5653

FIXTURE(model)
{
	char pf[BDF_SIZE];
};

static int set_model(const char *pf, const char *name)
{
	return file_write(pci_path(pf, "vfmig/model"), name);
}

static bool has_model(const char *pf, const char *name)
{
	char text[32];

	return !file_read(pci_path(pf, "vfmig/model"), text, sizeof(text)) && !strcmp(text, name);
}

static int rescan_bus(const char *pf)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/class/pci_bus/%.7s/rescan", pf);
	return file_write(path, "1");
}

FIXTURE_SETUP(model)
{
	const char *why = pf_require(&(struct pf_vfs){}, self->pf);

	if (why)
		SKIP(return, "%s", why);
	if (!has_model(self->pf, "nvme"))
		SKIP(return, "%s has another model than nvme", self->pf);
}

FIXTURE_TEARDOWN(model)
{
	if (pf_numvfs(self->pf))
		EXPECT_EQ(pf_set_numvfs(self->pf, 0), 0);
	if (!has_model(self->pf, "nvme"))
		EXPECT_EQ(set_model(self->pf, "nvme"), 0);
}

TEST_F(model, the_same_model_changes_nothing)
{
	ASSERT_EQ(pf_attr_set(self->pf, "media_mb", 3), 0);
	EXPECT_EQ(set_model(self->pf, "nvme"), 0);
	EXPECT_EQ(set_model(self->pf, "nvme\n"), 0);
	EXPECT_EQ(pf_attr(self->pf, "media_mb"), 3);
	ASSERT_EQ(pf_set_numvfs(self->pf, 1), 0);
	EXPECT_EQ(set_model(self->pf, "nvme"), 0);
	EXPECT_EQ(pf_numvfs(self->pf), 1);
}

TEST_F(model, an_unknown_model_is_refused)
{
	static const char * const wrong[] = {
		"nvm", "nvme2", "NVME", " nvme", "nvme ", "nvme,sample", "\n", "%s%n",
		"one-whose-name-is-longer-than-any-model-can-have-and-then-some",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(wrong); i++) {
		int err = set_model(self->pf, wrong[i]);

		EXPECT_EQ(err, -EINVAL) TH_LOG("%s", wrong[i]);
	}
	EXPECT_TRUE(has_model(self->pf, "nvme"));
}

TEST_F(model, a_pf_with_vfs_keeps_its_model)
{
	ASSERT_EQ(pf_set_numvfs(self->pf, 1), 0);
	EXPECT_EQ(set_model(self->pf, "sample"), -EBUSY);
	EXPECT_EQ(set_model(self->pf, "unknown"), -EINVAL);
	EXPECT_TRUE(has_model(self->pf, "nvme"));
	EXPECT_EQ(pf_numvfs(self->pf), 1);
	ASSERT_EQ(pf_set_numvfs(self->pf, 0), 0);
	EXPECT_EQ(set_model(self->pf, "sample"), 0);
}

TEST_F(model, another_model_is_another_device)
{
	char vf[BDF_SIZE];

	ASSERT_EQ(set_model(self->pf, "sample"), 0);
	EXPECT_TRUE(has_model(self->pf, "sample"));
	EXPECT_TRUE(pci_has_driver(self->pf, SIM_MODULE));
	EXPECT_EQ(file_u64(pci_path(self->pf, "vendor"), 0), VFMIG_PCI_VENDOR_ID);
	EXPECT_EQ(file_u64(pci_path(self->pf, "device"), 0), SAMPLE_PF);
	EXPECT_EQ(file_u64(pci_path(self->pf, "subsystem_device"), 0), SAMPLE_PF);
	ASSERT_EQ(pf_set_numvfs(self->pf, 2), 0);
	ASSERT_TRUE(pf_vf(self->pf, 1, vf));
	EXPECT_EQ(file_u64(pci_path(vf, "device"), 0), SAMPLE_VF);
	EXPECT_EQ(file_u64(pci_path(vf, "subsystem_device"), 0), SAMPLE_VF);
	EXPECT_TRUE(pci_has_driver(vf, VF_DRIVER));
	ASSERT_EQ(pf_set_numvfs(self->pf, 0), 0);

	ASSERT_EQ(set_model(self->pf, "nvme"), 0);
	EXPECT_EQ(file_u64(pci_path(self->pf, "device"), 0), VFMIG_PCI_DEVICE_ID_PF);
	ASSERT_EQ(pf_set_numvfs(self->pf, 2), 0);
	ASSERT_TRUE(pf_vf(self->pf, 1, vf));
	EXPECT_EQ(file_u64(pci_path(vf, "device"), 0), VFMIG_PCI_DEVICE_ID_VF);
	EXPECT_TRUE(pci_has_driver(vf, VF_DRIVER));
}

TEST_F(model, settings_are_the_models)
{
	u64 dflt = file_u64("/sys/module/" SIM_MODULE "/parameters/media_mb", 0);
	char vf[BDF_SIZE];

	ASSERT_EQ(pf_attr_set(self->pf, "media_mb", dflt + 1), 0);
	ASSERT_EQ(set_model(self->pf, "sample"), 0);
	EXPECT_EQ(pf_attr_set(self->pf, "media_mb", 1), -ENOENT);
	ASSERT_EQ(pf_set_numvfs(self->pf, 1), 0);
	ASSERT_TRUE(pf_vf(self->pf, 0, vf));
	EXPECT_TRUE(file_exists(vf_debugfs(vf, "dma_faults")));
	EXPECT_FALSE(file_exists(vf_debugfs(vf, "media_mb")));
	ASSERT_EQ(pf_set_numvfs(self->pf, 0), 0);

	ASSERT_EQ(set_model(self->pf, "nvme"), 0);
	EXPECT_EQ(pf_attr(self->pf, "media_mb"), dflt);
	ASSERT_EQ(pf_attr_set(self->pf, "media_mb", 1), 0);
	ASSERT_EQ(pf_set_numvfs(self->pf, 1), 0);
	EXPECT_TRUE(file_exists(vf_debugfs(vf, "media_mb")));
}

TEST_F(model, outlives_driver_and_pf)
{
	char driver[PATH_SIZE] = "/sys/bus/pci/drivers/" SIM_MODULE;
	char path[PATH_SIZE + 8];

	ASSERT_EQ(set_model(self->pf, "sample"), 0);
	snprintf(path, sizeof(path), "%s/unbind", driver);
	ASSERT_EQ(file_write(path, self->pf), 0);
	EXPECT_FALSE(file_exists(pci_path(self->pf, "vfmig")));
	snprintf(path, sizeof(path), "%s/bind", driver);
	ASSERT_EQ(file_write(path, self->pf), 0);
	EXPECT_TRUE(has_model(self->pf, "sample"));

	ASSERT_EQ(file_write(pci_path(self->pf, "remove"), "1"), 0);
	EXPECT_FALSE(file_exists(pci_path(self->pf, "vendor")));
	ASSERT_EQ(rescan_bus(self->pf), 0);
	EXPECT_TRUE(has_model(self->pf, "sample"));
	EXPECT_EQ(file_u64(pci_path(self->pf, "device"), 0), SAMPLE_PF);
}

/* What else goes on while the model changes */
struct other {
	const char *pf;
	void (*act)(const char *pf);
	bool *stop;
	pthread_t thread;
};

static void *other_thread(void *arg)
{
	struct other *other = arg;

	while (!__atomic_load_n(other->stop, __ATOMIC_RELAXED))
		other->act(other->pf);
	return NULL;
}

static void toggle_model(const char *pf)
{
	set_model(pf, "sample");
	set_model(pf, "nvme");
}

static void toggle_vfs(const char *pf)
{
	pf_set_numvfs(pf, 1);
	pf_set_numvfs(pf, 0);
}

static void toggle_driver(const char *pf)
{
	file_write("/sys/bus/pci/drivers/" SIM_MODULE "/unbind", pf);
	file_write("/sys/bus/pci/drivers/" SIM_MODULE "/bind", pf);
}

static void read_all(const char *pf)
{
	has_model(pf, "nvme");
	pf_attr(pf, "media_mb");
	file_u64(pci_path(pf, "device"), 0);
	sleep_ms(1);
}

#define MAX_OTHERS	4

/* Do all of @act at once for a while */
static void do_at_once(const char *pf, void (*const *act)(const char *pf), unsigned int count)
{
	struct other others[MAX_OTHERS];
	bool stop = false;

	for (unsigned int i = 0; i < count; i++) {
		others[i] = (struct other){ .pf = pf, .act = act[i], .stop = &stop };
		must(!pthread_create(&others[i].thread, NULL, other_thread, &others[i]));
	}
	sleep_ms(5000);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < count; i++)
		pthread_join(others[i].thread, NULL);
}

/* Nobody else may have left the PF without a driver, or the bus without the PF */
static void expect_whole(struct __test_metadata *_metadata, const char *pf)
{
	char name[64];

	rescan_bus(pf);
	if (!pci_driver(pf, name, sizeof(name)))
		file_write("/sys/bus/pci/drivers/" SIM_MODULE "/bind", pf);
	ASSERT_TRUE(pci_has_driver(pf, SIM_MODULE));
	if (pf_numvfs(pf))
		ASSERT_EQ(pf_set_numvfs(pf, 0), 0);
	EXPECT_TRUE(has_model(pf, "nvme") || has_model(pf, "sample"));
	EXPECT_EQ(file_u64(pci_path(pf, "device"), 0),
		  has_model(pf, "nvme") ? VFMIG_PCI_DEVICE_ID_PF : SAMPLE_PF);
	EXPECT_EQ(set_model(pf, "sample"), 0);
	EXPECT_EQ(set_model(pf, "nvme"), 0);
}

TEST_F_TIMEOUT(model, many_writers_at_once, 60)
{
	void (*const act[])(const char *pf) = { toggle_model, toggle_model, read_all };

	do_at_once(self->pf, act, ARRAY_SIZE(act));
	expect_whole(_metadata, self->pf);
}

TEST_F_TIMEOUT(model, vfs_are_asked_for_while_it_changes, 60)
{
	void (*const act[])(const char *pf) = { toggle_model, toggle_vfs, toggle_vfs, read_all };

	do_at_once(self->pf, act, ARRAY_SIZE(act));
	expect_whole(_metadata, self->pf);
}

/*
 * The PF's "remove" is not among these: in the PCI core, a writer there and another remover of
 * the same function can wait for each other.
 */
TEST_F_TIMEOUT(model, its_driver_goes_while_it_changes, 60)
{
	void (*const act[])(const char *pf) = { toggle_model, toggle_driver, read_all };

	do_at_once(self->pf, act, ARRAY_SIZE(act));
	expect_whole(_metadata, self->pf);
}

TEST_HARNESS_MAIN
