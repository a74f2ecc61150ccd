// SPDX-License-Identifier: GPL-2.0-only
/* See sim.h */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

const char * const sim_modules[SIM_MODULES] = {
	SIM_MODULE, VF_DRIVER, "vfmig_fabric", "vfmig_registry",
};

void sim_load(const char *params, char pfs[2][BDF_SIZE])
{
	char found[MAX_PFS][BDF_SIZE], model[32], command[256];

	snprintf(command, sizeof(command),
		 "modprobe -r " SIM_MODULE " && modprobe " SIM_MODULE " models=nvme,virtio-net %s",
		 params);
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
