/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between the PF driver, which creates and removes VFs, and a device
 * model, which implements a VF.  The PF driver does not depend on a model.  models.c
 * has the list of all models.
 */
#ifndef _VFMIG_SIM_H
#define _VFMIG_SIM_H

#include <linux/container_of.h>
#include <linux/types.h>
#include <linux/vfmig.h>

#include "fabric/fabric.h"

struct dentry;

/**
 * struct vfmig_setting - a setting of a model, in the PF's directory vfmig/ in sysfs
 * @name: its name, also that of the module parameter with its default
 * @offset: offset in the model's configuration of the setting, an unsigned int
 * @check: returns NULL if a value is valid, else the reason
 * @apply: applies a value to a VF that exists.  NULL for a setting that only VFs get which are
 *	created later.
 */
struct vfmig_setting {
	const char *name;
	size_t offset;
	const char *(*check)(unsigned int value);
	void (*apply)(void *vf, unsigned int value);
};

/**
 * struct vfmig_model - a device model, which implements the VFs of a PF
 * @name: its name, for users
 * @desc: config space of the PF and its VFs.  No two models have the same IDs of a PF.
 * @num_settings: number of @settings
 * @settings: its settings
 * @config_size: size of its configuration: a struct of its own, with all settings
 * @defaults: configuration of a new PF; module parameters may have changed it
 * @init: called at module init; returns 0 or a negative errno.  May be NULL, as @exit.
 * @exit: called at module exit
 * @pf_create: create what the model has for a PF.  Returns the handle for @create and
 *	@pf_destroy, or an ERR_PTR.  The PF's device lock is held.  May be NULL, as @pf_destroy.
 * @pf_destroy: free it.  The PF has no VFs any more.  The PF's device lock is held.
 * @create: create a device behind function @fn in its power-on state, with @config, of which
 *	it keeps no reference.  @pf is the handle of @pf_create, or NULL.  Returns the handle
 *	for the other functions, or an ERR_PTR.
 * @destroy: free the device.  The function's pci_dev is gone, and the bus does not call
 *	the model any more.
 * @debugfs: create the model's files in the VF's directory @dir, which is removed before the
 *	device is destroyed.  May be NULL.
 * @fn_ops: callbacks for the bus
 * @vf_ops: callbacks for the variant driver; its find is vfmig_pf_find()
 */
struct vfmig_model {
	const char *name;
	struct vfmig_pf_desc desc;
	unsigned int num_settings;
	const struct vfmig_setting *settings;
	size_t config_size;
	const void *defaults;
	int (*init)(void);
	void (*exit)(void);
	void *(*pf_create)(struct pci_dev *pdev);
	void (*pf_destroy)(void *pf);
	void *(*create)(void *pf, struct vfmig_fn *fn, const void *config);
	void (*destroy)(void *vf);
	void (*debugfs)(void *vf, struct dentry *dir);
	const struct vfmig_fn_ops *fn_ops;
	const struct vfmig_vf_ops *vf_ops;
};

/* models.c */
#define VFMIG_MODEL_NAMES	64	/* size of a buffer for all names */

extern const struct vfmig_model *const vfmig_models[];
extern const unsigned int vfmig_num_models;

const struct vfmig_model *vfmig_model_find(const char *name);
void vfmig_model_names(char buf[VFMIG_MODEL_NAMES]);
int vfmig_models_init(void);
void vfmig_models_exit(void);

/* The model of a PF */
static inline const struct vfmig_model *vfmig_model_of(const struct vfmig_fn *pf)
{
	return container_of_const(vfmig_fn_pf_desc(pf), struct vfmig_model, desc);
}

/* pf.c */
extern struct pci_driver vfmig_pf_driver;

void vfmig_pf_debugfs_init(void);
void vfmig_pf_debugfs_exit(void);
int vfmig_pf_register_driver(void);
void vfmig_pf_unregister_driver(struct vfmig_fabric *fabric);
void *vfmig_pf_find(struct pci_dev *pdev, unsigned int index);

/* nvme/, sample/, virtio/ */
extern const struct vfmig_model vfmig_nvme_model;
extern const struct vfmig_model vfmig_sample_model;
extern const struct vfmig_model vfmig_virtio_net_model;

#endif /* _VFMIG_SIM_H */
