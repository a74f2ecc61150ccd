// SPDX-License-Identifier: GPL-2.0-only
/*
 * As fault_test, of loading and unloading the modules: each is loaded, or it fails with ENOMEM and
 * leaves nothing behind that would be in the way of the next try.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "kmod.h"
#include "sim.h"

#include "harness.h"

/* On a kernel that checks much, a module takes seconds to load */
#define SECONDS		280

/* Each needs some of those before it; unloaded in the opposite order */
static const char *name_of(unsigned int module)
{
	return sim_modules[SIM_MODULES - 1 - module];
}

FIXTURE(load)
{
	char path[SIM_MODULES][PATH_SIZE];
	bool unloaded;
};

static const char *find_module(const char *name, char *path, size_t size)
{
	static char reason[64];
	char command[128];
	bool found;
	FILE *f;

	snprintf(command, sizeof(command), "modinfo -n %s 2>/dev/null", name);
	f = popen(command, "re");
	must(f);
	found = fgets(path, size, f);
	pclose(f);
	snprintf(reason, sizeof(reason), "modinfo does not find %s", name);
	if (!found)
		return reason;
	path[strcspn(path, "\n")] = 0;
	return NULL;
}

static const char *no_vfs(void)
{
	char pfs[MAX_PFS][BDF_SIZE];
	unsigned int n = pf_find(pfs, MAX_PFS);

	for (unsigned int i = 0; i < n; i++)
		if (pf_numvfs(pfs[i]))
			return "there are VFs, which would go";
	return NULL;
}

static bool is_loaded(unsigned int module)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/module/%s", name_of(module));
	return file_exists(path);
}

FIXTURE_SETUP(load)
{
	const char *why = fault_init() ?: no_vfs();

	for (unsigned int i = 0; !why && i < SIM_MODULES; i++)
		why = find_module(name_of(i), self->path[i], PATH_SIZE);
	if (why)
		SKIP(return, "%s", why);
	/* What else uses them, such as a test module, would be in the way */
	for (unsigned int i = SIM_MODULES; i--;) {
		ASSERT_EQ(kmod_unload(name_of(i)), 0)
			TH_LOG("%s", name_of(i));
	}
	self->unloaded = true;
}

FIXTURE_TEARDOWN(load)
{
	if (!self->unloaded)
		return;
	fault_stop();
	for (unsigned int i = 0; i < SIM_MODULES; i++)
		if (!is_loaded(i))
			EXPECT_EQ(kmod_load(self->path[i], ""), 0);
}

/* Init functions run below this one */
static void refuse_to_init(void)
{
	fault_below_function("do_one_initcall");
	if (file_exists("/sys/module/vfmig_fabric"))
		fault_not_below_function("vfmig_fabric_create");
}

/*
 * The scan of the bus is left alone, and what comes with it.  The core warns where it has no memory
 * for a device, frees too little or too much where it has none for the bus, and panics where it has
 * none to sort resources.
 */
static void refuse_to_create_the_fabric(void)
{
	fault_below_function("vfmig_fabric_create");
	fault_not_below_functions("pci_scan_root_bus_bridge", "pci_bus_assign_resources");
}

/* Has the memory of the VFs a place on the bus?  The resources of a PF: BARs, ROM, BARs of VFs. */
static bool pf_is_whole(void)
{
	char pf[1][BDF_SIZE], text[2048], *line = text;

	if (!pf_find(pf, 1) || file_read(pci_path(pf[0], "resource"), text, sizeof(text)))
		return false;
	for (unsigned int i = 0; line && i < 7; i++) {
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return line && strtoull(line, NULL, 0);
}

/* The module is not loaded before, and is afterwards; returns how often it failed */
static unsigned int load_swept(struct __test_metadata *_metadata, unsigned int module,
			       const char *path)
{
	struct sweep sweep = {};
	unsigned int failed = 0;
	int err;

	while (sweep_next(&sweep)) {
		if (is_loaded(module))
			must(!kmod_unload(name_of(module)));
		sweep_begin(&sweep);
		err = kmod_load(path, "");
		sweep_end(&sweep);
		EXPECT_EQ(is_loaded(module), !err)
			TH_LOG("%s, round %u", name_of(module), sweep.round);
		if (err) {
			failed++;
			/* EINVAL if the driver core has none for the folder of its drivers */
			EXPECT_TRUE(err == -ENOMEM || err == -EINVAL)
				TH_LOG("%s: %d in round %u", name_of(module), err, sweep.round);
		} else if (!strcmp(name_of(module), SIM_MODULE)) {
			EXPECT_TRUE(pf_is_whole())
				TH_LOG("round %u", sweep.round);
		}
	}
	note("%s: failed for %u of %u", name_of(module), failed, sweep.refused);
	return failed;
}

TEST_F_TIMEOUT(load, at_the_second_try, SECONDS)
{
	for (unsigned int i = 0; i < SIM_MODULES; i++) {
		unsigned int failed;

		refuse_to_init();
		failed = load_swept(_metadata, i, self->path[i]);
		/* The registry is a list, and the fabric's init makes none */
		if (!strcmp(name_of(i), SIM_MODULE) || !strcmp(name_of(i), VF_DRIVER))
			EXPECT_GT(failed, 0);
	}
}

TEST_F_TIMEOUT(load, with_a_whole_fabric_or_none, SECONDS)
{
	for (unsigned int i = 0; i < SIM_MODULES; i++) {
		if (strcmp(name_of(i), SIM_MODULE)) {
			must(!kmod_load(self->path[i], ""));
			continue;
		}
		refuse_to_create_the_fabric();
		EXPECT_GT(load_swept(_metadata, i, self->path[i]), 0);
	}
}

/* Of each that is loaded; what it allocates when it goes, it does without */
TEST_F_TIMEOUT(load, goes_at_once, SECONDS)
{
	for (unsigned int i = 0; i < SIM_MODULES; i++) {
		struct sweep sweep = {};

		fault_below_function("__x64_sys_delete_module");
		while (sweep_next(&sweep)) {
			must(!kmod_load(self->path[i], ""));
			sweep_begin(&sweep);
			ASSERT_EQ(kmod_unload(name_of(i)), 0)
				TH_LOG("%s, round %u", name_of(i), sweep.round);
			sweep_end(&sweep);
			ASSERT_FALSE(is_loaded(i));
		}
		note("%s: %u", name_of(i), sweep.refused);
		must(!kmod_load(self->path[i], ""));
	}
}

TEST_HARNESS_MAIN
