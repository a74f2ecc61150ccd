/* SPDX-License-Identifier: GPL-2.0-only */
/* The modules, loaded with a PF of each model and unloaded, for programs that own them */
#ifndef VFMIG_TEST_SIM_H
#define VFMIG_TEST_SIM_H

#include "pf.h"

/* All modules of ours that a VF in use needs, each before those that it needs */
#define SIM_MODULES	4
extern const char * const sim_modules[SIM_MODULES];

/*
 * Load anew, with these parameters; @pfs are then the NVMe PF and the virtio-net PF.  When the
 * program ends, all is unloaded, with the VFs that a test which failed has left.
 */
void sim_load(const char *params, char pfs[2][BDF_SIZE]);
/* Unload.  All VFs must be gone, and nobody may use anything. */
void sim_unload(void);

#endif /* VFMIG_TEST_SIM_H */
