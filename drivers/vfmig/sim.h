/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The border between the PF driver, which makes and removes VFs, and a device
 * model, which is what a VF does.  The PF driver knows no NVMe; a second model
 * is another &struct vfmig_model.
 */
#ifndef _VFMIG_SIM_H
#define _VFMIG_SIM_H

#include <linux/types.h>
#include <linux/vfmig.h>

#include "fabric/fabric.h"

#define VFMIG_MAX_QUEUES	32
#define VFMIG_MAX_IO_LATENCY_US	(10 * USEC_PER_SEC)

/* When a medium is erased by itself */
enum vfmig_erase_on_close {
	VFMIG_ERASE_NEVER,
	VFMIG_ERASE_MOVED,	/* when it is closed after it was read, and not used since */
	VFMIG_ERASE_CLOSE,	/* whenever the VF is closed */
};

/**
 * struct vfmig_vf_config - what a VF is made with
 * @media_mb: size of the medium in MiB
 * @lba_size: bytes of a logical block
 * @queues: I/O queue pairs
 * @io_latency_us: time that an I/O command takes
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
 * struct vfmig_model - a kind of device that a VF can be
 * @fn: what it looks like on the bus
 * @init: module init; 0 or a negative errno
 * @exit: module exit
 * @create: make a device behind function @fn, in its power-on state and with an
 *	empty medium; the handle for the other functions, or an ERR_PTR
 * @destroy: the function's pci_dev and the bus have let go of it
 * @set_io_latency: from the next I/O command on; any time
 * @get_io_latency: the last value set
 * @set_media_mb: make the medium larger or smaller, any time; -EBUSY if it can't be
 *	now, -ENOMEM
 * @get_media_mb: size of the medium in MiB
 * @erase: make the medium read as zeroes, any time; -EBUSY if it can't be now
 * @set_erase_on_close: &enum vfmig_erase_on_close, from the next close on; any time
 * @get_erase_on_close: the last value set
 * @fn_ops: for the bus
 * @vf_ops: for the variant driver; @find is vfmig_pf_find()
 */
struct vfmig_model {
	struct vfmig_fn_desc fn;
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

/* Is @value good for a setting?  NULL, or why not */
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
