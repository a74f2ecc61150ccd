/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The simulated PFs and their VFs in sysfs and debugfs.
 *
 * A test calls pf_require() for the VFs that it needs.  VFs of the previous test are
 * reused if they fit, because the kernel takes a second to disable VFs.  They are
 * removed when the program ends.  VFs that others have created are not changed.
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

/* Names of the variant driver, of a driver for any function, and of the PF driver's module */
#define VF_DRIVER	"vfmig_vfio_pci"
#define STOCK_DRIVER	"vfio-pci"
#define SIM_MODULE	"vfmig_sim"

/* Is it built into the kernel, so that it can't be unloaded? */
bool sim_built_in(void);

/* Fill @bdf with our functions of this device ID, in the order of their addresses; their number */
unsigned int pci_find(u16 device, char bdf[][BDF_SIZE], unsigned int max);
/* Fill @bdf with the PFs, in the order of their addresses; returns their number */
unsigned int pf_find(char bdf[][BDF_SIZE], unsigned int max);

/**
 * struct pf_vfs - the VFs that a test needs
 * @model: model of the PF, a string that lives on; NULL for nvme
 * @count: number of VFs
 * @media_mb: 0 for 1
 * @lba_size: 0 for 512
 * @queues: 0 for 32
 * @pairs: queue pairs of a virtio-net VF, 0 for 2
 */
struct pf_vfs {
	const char *model;
	unsigned int count;
	unsigned int media_mb;
	unsigned int lba_size;
	unsigned int queues;
	unsigned int pairs;
};

/*
 * Create the VFs on the first PF, which gets the model, and set @pf to its address.  Returns
 * NULL, or why the test must be skipped.  io_latency_us, erase_on_close, doorbell_poll_us
 * and map_registers of an NVMe PF are 0 afterwards.
 */
const char *pf_require(const struct pf_vfs *want, char *pf);

/* To be called after a test has removed the VFs by itself */
void pf_vfs_gone(void);

/*
 * Returns why a PF that has VFs can't be removed through sysfs on this kernel, or NULL.  If it
 * can't, a remove hangs, and then everything that needs the PCI core's lock.  The function
 * creates and removes a VF of @pf to find out; @pf must have no VFs.
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
 * Path of a function's file in sysfs, and of a VF's file in debugfs.  The path is valid
 * until the next call in the same thread.
 */
const char *pci_path(const char *bdf, const char *file);
const char *vf_debugfs(const char *bdf, const char *file);
u64 vf_dma_faults(const char *bdf);
u64 vf_media_allocated(const char *bdf);
/* Erase the medium of a VF, as an administrator does; 0 or -errno */
int vf_erase(const char *bdf);

/* Memory for all media together, in MiB; 0 for half of memory */
u64 media_limit(void);
void media_limit_set(u64 mib);

/* Name of the driver of a function; false if it has none */
bool pci_driver(const char *bdf, char *name, size_t size);
bool pci_has_driver(const char *bdf, const char *driver);

/*
 * Unbind a function and let only the driver @override probe it; "\n" for any driver.
 * 0 or -errno; pci_has_driver() tells whether the driver is bound.
 */
int pci_rebind(const char *bdf, const char *override);

#endif /* VFMIG_TEST_PF_H */
