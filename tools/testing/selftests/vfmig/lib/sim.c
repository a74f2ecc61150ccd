// SPDX-License-Identifier: GPL-2.0-only
/* See sim.h */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

const char * const sim_modules[SIM_MODULES] = {
	SIM_MODULE, VF_DRIVER, "vfmig_fabric", "vfmig_registry",
};

/* A test that fails ends its process.  The one that began all of them puts things in order. */
static struct {
	pid_t owner;
	bool loaded;
} *shared;

/* What a user has left open closes with its process, which may not be gone yet */
static bool remove_all(void)
{
	char pfs[MAX_PFS][BDF_SIZE];
	unsigned int n = pf_find(pfs, MAX_PFS);

	for (unsigned int i = 0; i < n; i++)
		if (pf_numvfs(pfs[i]) && pf_set_numvfs(pfs[i], 0))
			return false;
	return !file_exists("/sys/module/" SIM_MODULE) || !system("modprobe -q -r " SIM_MODULE);
}

static void restore(void)
{
	if (shared->owner == getpid() && shared->loaded && !wait_until(remove_all()))
		note(SIM_MODULE " stays loaded");
}

static void __attribute__((constructor)) init_shared(void)
{
	shared = shared_alloc(sizeof(*shared));
	shared->owner = getpid();
	atexit(restore);
}

void sim_load(const char *params, char pfs[2][BDF_SIZE])
{
	char found[MAX_PFS][BDF_SIZE], model[32], command[256];

	snprintf(command, sizeof(command),
		 "modprobe -r " SIM_MODULE " && modprobe " SIM_MODULE " models=nvme,virtio-net %s",
		 params);
	shared->loaded = true;
	must(!system(command));
	must(pf_find(found, MAX_PFS) == 2);
	for (unsigned int i = 0; i < 2; i++) {
		must(!file_read(pci_path(found[i], "vfmig/model"), model, sizeof(model)));
		bdf_copy(pfs[model[0] == 'n' ? 0 : 1], found[i]);
	}
}

void sim_unload(void)
{
	must(!system("modprobe -r " SIM_MODULE));
}
