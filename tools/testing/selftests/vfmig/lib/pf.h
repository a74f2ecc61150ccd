/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The simulated PFs and their VFs as sysfs and debugfs show them.
 *
 * A test says with pf_require() which VFs it needs.  They are made if they are
 * not there already from the test before (switching VFs off takes the kernel a
 * second), and removed when the program ends.  VFs that somebody else made are
 * left alone.
 */
#ifndef VFMIG_TEST_PF_H
#define VFMIG_TEST_PF_H

#include "util.h"

#define PCI_DEVICES	"/sys/bus/pci/devices"
#define MAX_PFS		8
#define BDF_SIZE	16
#define PATH_SIZE	256

/* @to has BDF_SIZE bytes */
void bdf_copy(char *to, const char *from);

/* Name of the variant driver, of one that takes any function, of the PF driver's module */
#define VF_DRIVER	"vfmig_vfio_pci"
#define STOCK_DRIVER	"vfio-pci"
#define SIM_MODULE	"vfmig_sim"

/* Is it part of the kernel, which nothing unloads? */
bool sim_built_in(void);

/* Fills @bdf with the PFs in the order of their addresses, returns how many */
unsigned int pf_find(char bdf[][BDF_SIZE], unsigned int max);

/**
 * struct pf_vfs - the VFs that a test needs
 * @count: how many of them
 * @media_mb: 0 for 1
 * @lba_size: 0 for 512
 * @queues: 0 for 32
 */
struct pf_vfs {
	unsigned int count;
	unsigned int media_mb;
	unsigned int lba_size;
	unsigned int queues;
};

/*
 * Make the VFs on the first PF, whose address goes to @pf.  Returns NULL, or why
 * the test must be skipped.  io_latency_us and erase_on_close are 0 afterwards.
 */
const char *pf_require(const struct pf_vfs *want, char *pf);

/* Forget that VFs are there: after a test that removed them behind our back */
void pf_vfs_gone(void);

/*
 * Why a PF that has VFs can't be removed by hand on this kernel, or NULL: whoever tries
 * hangs, and with him all that needs the PCI core's lock.  Finds out by a VF of @pf, which
 * has none before and after.
 */
const char *pf_stays(const char *pf);

/* 0 or -errno */
int pf_set_numvfs(const char *pf, unsigned int count);
unsigned int pf_numvfs(const char *pf);
int pf_attr_set(const char *pf, const char *name, u64 value);
u64 pf_attr(const char *pf, const char *name);

/* Address of VF @index; false if there is none */
bool pf_vf(const char *pf, unsigned int index, char *bdf);

/*
 * Path of a function's file in sysfs, and of a VF's file in our debugfs.  The path is valid
 * until the same thread's next call.
 */
const char *pci_path(const char *bdf, const char *file);
const char *vf_debugfs(const char *bdf, const char *file);
u64 vf_dma_faults(const char *bdf);
u64 vf_media_allocated(const char *bdf);

/* Name of the driver of a function; false if it has none */
bool pci_driver(const char *bdf, char *name, size_t size);
bool pci_has_driver(const char *bdf, const char *driver);

/*
 * Has the driver @override, and no other, probe a function, which may have one; "\n" for
 * any that wants it.  0 or -errno; pci_has_driver() tells whether it took it.
 */
int pci_rebind(const char *bdf, const char *override);

#endif /* VFMIG_TEST_PF_H */
