/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between the PF driver, which creates and removes VFs, and a device
 * model, which implements a VF.  The PF driver does not depend on NVMe.  A second
 * model would be another &struct vfmig_model.
 */
#ifndef _VFMIG_SIM_H
#define _VFMIG_SIM_H

#include <linux/types.h>
#include <linux/vfmig.h>

#include "fabric/fabric.h"

#define VFMIG_MAX_QUEUES	32
#define VFMIG_MAX_IO_LATENCY_US	(10 * USEC_PER_SEC)

/* When the driver erases a medium by itself */
enum vfmig_erase_on_close {
	VFMIG_ERASE_NEVER,
	VFMIG_ERASE_MOVED,	/* on close, if its stream was read and it was not used since */
	VFMIG_ERASE_CLOSE,	/* on every close */
};

/**
 * struct vfmig_vf_config - settings of a VF
 * @media_mb: size of the medium in MiB
 * @lba_size: bytes of a logical block
 * @queues: I/O queue pairs
 * @io_latency_us: time from the doorbell of an I/O command to its execution
 * @erase_on_close: &enum vfmig_erase_on_close
 */
struct vfmig_vf_config {
	unsigned int media_mb;
	unsigned int lba_size;
	unsigned int queues;
	unsigned int io_latency_us;
	unsigned int erase_on_close;
};

/**
 * struct vfmig_model - a device model, which implements the VFs
 * @desc: config space of a PF and its VFs
 * @init: called at module init; returns 0 or a negative errno
 * @exit: called at module exit
 * @create: create a device behind function @fn, in its power-on state and with an
 *	empty medium.  Returns the handle for the other functions, or an ERR_PTR.
 * @destroy: free the device.  The function's pci_dev is gone, and the bus does not call
 *	the model any more.
 * @set_io_latency: set the latency for later I/O commands; any time
 * @get_io_latency: the last value set
 * @set_media_mb: resize the medium; any time.  -ENOMEM, or -EBUSY while the VF is
 *	stopped and its stream is read.
 * @get_media_mb: size of the medium in MiB
 * @erase: make the medium read as zeroes; any time.  -EBUSY as for @set_media_mb.
 * @set_erase_on_close: set &enum vfmig_erase_on_close for the next close; any time
 * @get_erase_on_close: the last value set
 * @fn_ops: callbacks for the bus
 * @vf_ops: callbacks for the variant driver; its find is vfmig_pf_find()
 */
struct vfmig_model {
	struct vfmig_pf_desc desc;
	int (*init)(void);
	void (*exit)(void);
	void *(*create)(struct vfmig_fn *fn, const struct vfmig_vf_config *config);
	void (*destroy)(void *vf);
	void (*set_io_latency)(void *vf, unsigned int us);
	unsigned int (*get_io_latency)(void *vf);
	int (*set_media_mb)(void *vf, unsigned int mb);
	unsigned int (*get_media_mb)(void *vf);
	int (*erase)(void *vf);
	void (*set_erase_on_close)(void *vf, unsigned int when);
	unsigned int (*get_erase_on_close)(void *vf);
	const struct vfmig_fn_ops *fn_ops;
	const struct vfmig_vf_ops *vf_ops;
};

/* main.c */
extern const struct vfmig_model *const vfmig_model;
extern const struct vfmig_vf_config *const vfmig_defaults;

/* Check a value of a setting; return NULL if it is valid, else the reason */
const char *vfmig_check_media_mb(unsigned int value);
const char *vfmig_check_lba_size(unsigned int value);
const char *vfmig_check_queues(unsigned int value);
const char *vfmig_check_io_latency_us(unsigned int value);
const char *vfmig_check_erase_on_close(unsigned int value);

/* pf.c */
extern struct pci_driver vfmig_pf_driver;
struct dentry;

void vfmig_pf_debugfs_init(void);
void vfmig_pf_debugfs_exit(void);
void vfmig_pf_unregister_driver(struct vfmig_fabric *fabric);
void *vfmig_pf_find(struct pci_dev *pdev, unsigned int index);

/* nvme/ */
extern const struct vfmig_model vfmig_nvme_model;

#endif /* _VFMIG_SIM_H */
