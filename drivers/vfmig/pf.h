/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A PF, for the files of its driver.
 */
#ifndef _VFMIG_PF_H
#define _VFMIG_PF_H

#include <linux/kobject.h>
#include <linux/mutex.h>

#include "sim.h"

/**
 * struct vfmig_vf - a VF, for the PF driver
 * @fn: its function
 * @model: the device model's handle
 * @dir: its directory in debugfs
 */
struct vfmig_vf {
	struct vfmig_fn *fn;
	void *model;
	struct dentry *dir;
};

/**
 * struct vfmig_pf_attr - a setting in sysfs
 * @attr: the attribute
 * @pf: the PF
 * @setting: the setting
 */
struct vfmig_pf_attr {
	struct kobj_attribute attr;
	struct vfmig_pf *pf;
	const struct vfmig_setting *setting;
};

/**
 * struct vfmig_pf - a PF with a driver
 * @fn: its function
 * @model: its model, constant: a PF with another model is another &struct vfmig_pf
 * @model_pf: the model's handle for the PF, or NULL
 * @dir: its directory vfmig/ in sysfs
 * @attrs: the settings there, @model->num_settings of them
 * @lock: protects @config, and @nr_vfs for users that do not hold the PF's device lock
 * @config: configuration of VFs that are created from now on
 * @nr_vfs: number of VFs
 * @vfs: the VFs.  Changed only while no VF is on the bus.
 */
struct vfmig_pf {
	struct vfmig_fn *fn;
	const struct vfmig_model *model;
	void *model_pf;
	struct kobject *dir;
	struct vfmig_pf_attr *attrs;
	struct mutex lock;	/* see above */
	void *config;
	unsigned int nr_vfs;
	struct vfmig_vf vfs[VFMIG_MAX_VFS];
};

/* attrs.c */
int vfmig_pf_attrs_add(struct vfmig_pf *pf, struct pci_dev *pdev);
void vfmig_pf_attrs_remove(struct vfmig_pf *pf);
bool vfmig_pf_is_replaced(const struct vfmig_pf *pf);
void vfmig_pf_attrs_wait(void);

#endif /* _VFMIG_PF_H */
