// SPDX-License-Identifier: GPL-2.0-only
/*
 * The directory vfmig/ of a PF in sysfs: the settings of the PF's model, and the model
 * itself.
 */
#include <linux/bitops.h>
#include <linux/device.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "pf.h"

/* PFs whose model is being changed, by their index; no VFs are created meanwhile */
static unsigned long vfmig_pfs_replaced;

static_assert(VFMIG_MAX_PFS <= BITS_PER_LONG);

bool vfmig_pf_is_replaced(const struct vfmig_pf *pf)
{
	return test_bit(vfmig_fn_index(pf->fn), &vfmig_pfs_replaced);
}

static unsigned int *pf_setting(const struct vfmig_pf_attr *attr)
{
	return attr->pf->config + attr->setting->offset;
}

static ssize_t setting_show(struct kobject *dir, struct kobj_attribute *kobj_attr, char *buf)
{
	struct vfmig_pf_attr *attr = container_of(kobj_attr, struct vfmig_pf_attr, attr);

	guard(mutex)(&attr->pf->lock);
	return sysfs_emit(buf, "%u\n", *pf_setting(attr));
}

static ssize_t setting_store(struct kobject *dir, struct kobj_attribute *kobj_attr,
			     const char *buf, size_t count)
{
	struct vfmig_pf_attr *attr = container_of(kobj_attr, struct vfmig_pf_attr, attr);
	const struct vfmig_setting *setting = attr->setting;
	struct vfmig_pf *pf = attr->pf;
	unsigned int value;
	int ret;

	ret = kstrtouint(buf, 0, &value);
	if (ret)
		return ret;
	if (setting->check(value))
		return -EINVAL;

	guard(mutex)(&pf->lock);
	*pf_setting(attr) = value;
	for (unsigned int i = 0; setting->apply && i < pf->nr_vfs; i++)
		setting->apply(pf->vfs[i].model, value);
	return count;
}

static struct pci_dev *dir_to_pdev(struct kobject *dir)
{
	return to_pci_dev(kobj_to_dev(dir->parent));
}

static ssize_t model_show(struct kobject *dir, struct kobj_attribute *attr, char *buf)
{
	struct vfmig_pf *pf = pci_get_drvdata(dir_to_pdev(dir));

	return sysfs_emit(buf, "%s\n", pf->model->name);
}

static bool pf_has_vfs(struct vfmig_pf *pf)
{
	guard(mutex)(&pf->lock);
	return pf->nr_vfs;
}

/*
 * Change the model of the PF @pdev, whose driver has @pf.  The driver is released, which removes
 * @attr.  The removal must not wait for this writer, so the attribute is given up before any lock
 * is taken that a removal may hold.  From then on @pf and what else the driver has can go.
 *
 * sysfs_remove_file_self() would not do: it makes others who remove the attribute wait.
 */
static int pf_replace(struct vfmig_pf *pf, struct pci_dev *pdev, struct kobject *dir,
		      struct kobj_attribute *attr, const struct vfmig_model *model)
{
	struct vfmig_fn *fn = pf->fn;
	unsigned int index = vfmig_fn_index(fn);
	struct kernfs_node *node;
	int ret = -EBUSY;

	/* Either pf_create_vfs() sees the bit, or this its VFs */
	if (test_and_set_bit(index, &vfmig_pfs_replaced))
		return ret;
	if (pf_has_vfs(pf))
		goto out;

	node = sysfs_break_active_protection(dir, &attr->attr);
	ret = vfmig_fabric_replace_pf(pdev, &model->desc);
	if (node)
		sysfs_unbreak_active_protection(node);
	if (ret)
		pr_err("vfmig %s: can't become %s: %pe\n", vfmig_fn_name(fn), model->name,
		       ERR_PTR(ret));
out:
	clear_bit(index, &vfmig_pfs_replaced);
	return ret;
}

static ssize_t model_store(struct kobject *dir, struct kobj_attribute *attr, const char *buf,
			   size_t count)
{
	const struct vfmig_model *model = vfmig_model_find(buf);
	struct pci_dev *pdev = dir_to_pdev(dir);
	struct vfmig_pf *pf = pci_get_drvdata(pdev);
	char names[VFMIG_MODEL_NAMES];
	int ret;

	if (!model) {
		vfmig_model_names(names);
		pci_err(pdev, "no model \"%*pE\"; there is: %s\n",
			(int)min(strcspn(buf, "\n"), (size_t)32), buf, names);
		return -EINVAL;
	}
	if (model == pf->model)
		return count;

	/* The removal of the attribute does not wait for this function, so unloading has to */
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	pci_dev_get(pdev);
	ret = pf_replace(pf, pdev, dir, attr, model);
	pci_dev_put(pdev);
	module_put(THIS_MODULE);
	return ret ?: count;
}

/*
 * For module exit: model_store() may have put the last reference to the module and not have
 * returned yet.  It does not sleep until it has.
 */
void vfmig_pf_attrs_wait(void)
{
	synchronize_rcu_tasks();
}

static struct kobj_attribute model_attr = __ATTR(model, 0644, model_show, model_store);

static int add_setting(struct vfmig_pf *pf, unsigned int index)
{
	struct vfmig_pf_attr *attr = &pf->attrs[index];

	attr->pf = pf;
	attr->setting = &pf->model->settings[index];
	sysfs_attr_init(&attr->attr.attr);
	attr->attr.attr.name = attr->setting->name;
	attr->attr.attr.mode = 0644;
	attr->attr.show = setting_show;
	attr->attr.store = setting_store;
	return sysfs_create_file(pf->dir, &attr->attr.attr);
}

/**
 * vfmig_pf_attrs_add() - create the directory
 * @pf: the PF, which is complete
 * @pdev: its pci_dev, with @pf as driver data
 *
 * Return: 0 or a negative errno
 */
int vfmig_pf_attrs_add(struct vfmig_pf *pf, struct pci_dev *pdev)
{
	unsigned int count = pf->model->num_settings;
	int ret;

	pf->attrs = devm_kcalloc(&pdev->dev, count, sizeof(*pf->attrs), GFP_KERNEL);
	if (!pf->attrs)
		return -ENOMEM;
	pf->dir = kobject_create_and_add("vfmig", &pdev->dev.kobj);
	if (!pf->dir)
		return -ENOMEM;

	ret = sysfs_create_file(pf->dir, &model_attr.attr);
	for (unsigned int i = 0; !ret && i < count; i++)
		ret = add_setting(pf, i);
	if (ret)
		vfmig_pf_attrs_remove(pf);
	return ret;
}

/* When this returns, no reader or writer is under way, but for one that changes the model */
void vfmig_pf_attrs_remove(struct vfmig_pf *pf)
{
	/* First: a writer needs the directory to give it up */
	sysfs_remove_file(pf->dir, &model_attr.attr);
	kobject_del(pf->dir);
	kobject_put(pf->dir);
}
