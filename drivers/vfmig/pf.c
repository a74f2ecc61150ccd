// SPDX-License-Identifier: GPL-2.0-only
/*
 * The driver of the simulated PF.  It creates and removes VFs, registers them with
 * the variant driver, and has the settings in sysfs and debugfs.  A PF has no BAR and
 * no function of its own.  The fabric handles an FLR of the PF, which resets the VFs.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

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
 * struct vfmig_pf - a PF
 * @fn: its function
 * @lock: protects @config, and @nr_vfs for users that do not hold the PF's device lock
 * @config: for VFs that are created from now on.  A change of the latency or of
 *	@erase_on_close also applies to existing VFs.
 * @nr_vfs: number of VFs
 * @vfs: the VFs.  Changed only while no VF is on the bus.
 */
struct vfmig_pf {
	struct vfmig_fn *fn;
	struct mutex lock;	/* see above */
	struct vfmig_vf_config config;
	unsigned int nr_vfs;
	struct vfmig_vf vfs[VFMIG_MAX_VFS];
};

static struct dentry *debugfs_root;

/* Module exit has begun: no more VFs are created.  Read under a PF's device lock. */
static bool pf_going;

void vfmig_pf_debugfs_init(void)
{
	debugfs_root = debugfs_create_dir("vfmig", NULL);
}

void vfmig_pf_debugfs_exit(void)
{
	debugfs_remove(debugfs_root);
}

static int io_latency_get(void *data, u64 *value)
{
	struct vfmig_vf *vf = data;

	*value = vfmig_model->get_io_latency(vf->model);
	return 0;
}

static int io_latency_set(void *data, u64 value)
{
	struct vfmig_vf *vf = data;

	if (value > UINT_MAX || vfmig_check_io_latency_us(value))
		return -EINVAL;
	vfmig_model->set_io_latency(vf->model, value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(io_latency_fops, io_latency_get, io_latency_set, "%llu\n");

static int media_mb_get(void *data, u64 *value)
{
	struct vfmig_vf *vf = data;

	*value = vfmig_model->get_media_mb(vf->model);
	return 0;
}

static int media_mb_set(void *data, u64 value)
{
	struct vfmig_vf *vf = data;

	if (value > UINT_MAX || vfmig_check_media_mb(value))
		return -EINVAL;
	return vfmig_model->set_media_mb(vf->model, value);
}
DEFINE_DEBUGFS_ATTRIBUTE(media_mb_fops, media_mb_get, media_mb_set, "%llu\n");

static int erase_on_close_get(void *data, u64 *value)
{
	struct vfmig_vf *vf = data;

	*value = vfmig_model->get_erase_on_close(vf->model);
	return 0;
}

static int erase_on_close_set(void *data, u64 value)
{
	struct vfmig_vf *vf = data;

	if (value > UINT_MAX || vfmig_check_erase_on_close(value))
		return -EINVAL;
	vfmig_model->set_erase_on_close(vf->model, value);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(erase_on_close_fops, erase_on_close_get, erase_on_close_set, "%llu\n");

static int erase_set(void *data, u64 value)
{
	struct vfmig_vf *vf = data;

	return value == 1 ? vfmig_model->erase(vf->model) : -EINVAL;
}
DEFINE_DEBUGFS_ATTRIBUTE(erase_fops, NULL, erase_set, "%llu\n");

static int dma_faults_get(void *data, u64 *value)
{
	struct vfmig_vf *vf = data;

	*value = vfmig_fn_dma_faults(vf->fn);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(dma_faults_fops, dma_faults_get, NULL, "%llu\n");

static int media_allocated_get(void *data, u64 *value)
{
	struct vfmig_vf *vf = data;
	struct vfmig_mem_count count;

	vfmig_model->vf_ops->mem->allocated(vf->model, &count);
	*value = count.granules * VFMIG_GRANULE;
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(media_allocated_fops, media_allocated_get, NULL, "%llu\n");

static void vf_debugfs_add(struct vfmig_vf *vf)
{
	vf->dir = debugfs_create_dir(vfmig_fn_name(vf->fn), debugfs_root);
	debugfs_create_file_unsafe("io_latency_us", 0600, vf->dir, vf, &io_latency_fops);
	debugfs_create_file_unsafe("media_mb", 0600, vf->dir, vf, &media_mb_fops);
	debugfs_create_file_unsafe("erase", 0200, vf->dir, vf, &erase_fops);
	debugfs_create_file_unsafe("erase_on_close", 0600, vf->dir, vf, &erase_on_close_fops);
	debugfs_create_file_unsafe("dma_faults", 0400, vf->dir, vf, &dma_faults_fops);
	debugfs_create_file_unsafe("media_allocated", 0400, vf->dir, vf, &media_allocated_fops);
}

static int vf_create(struct vfmig_pf *pf, unsigned int index)
{
	struct vfmig_vf *vf = &pf->vfs[index];

	vf->fn = vfmig_fn_vf(pf->fn, index);
	vf->model = vfmig_model->create(vf->fn, &pf->config);
	if (IS_ERR(vf->model))
		return PTR_ERR(vf->model);

	vfmig_fn_set_model(vf->fn, vfmig_model->fn_ops, vf->model);
	vf_debugfs_add(vf);
	return 0;
}

static void vf_destroy(struct vfmig_vf *vf)
{
	debugfs_remove(vf->dir);
	vfmig_fn_set_model(vf->fn, NULL, NULL);
	vfmig_model->destroy(vf->model);
}

static void pf_destroy_vfs(struct vfmig_pf *pf)
{
	guard(mutex)(&pf->lock);
	while (pf->nr_vfs)
		vf_destroy(&pf->vfs[--pf->nr_vfs]);
}

static int pf_create_vfs(struct vfmig_pf *pf, unsigned int nr)
{
	int ret;

	guard(mutex)(&pf->lock);
	while (pf->nr_vfs < nr) {
		ret = vf_create(pf, pf->nr_vfs);
		if (ret)
			return ret;
		pf->nr_vfs++;
	}
	return 0;
}

/* The handle of VF @index of a PF of this driver; see &vfmig_vf_ops.find */
void *vfmig_pf_find(struct pci_dev *pdev, unsigned int index)
{
	struct vfmig_pf *pf = pci_get_drvdata(pdev);

	return index < pf->nr_vfs ? pf->vfs[index].model : NULL;
}

static int pf_sriov_configure(struct pci_dev *pdev, int nr)
{
	struct vfmig_pf *pf = pci_get_drvdata(pdev);
	int ret;

	if (!nr) {
		pci_disable_sriov(pdev);
		pf_destroy_vfs(pf);
		return 0;
	}

	if (READ_ONCE(pf_going))
		return -ENODEV;
	ret = pf_create_vfs(pf, nr);
	if (!ret)
		ret = pci_enable_sriov(pdev, nr);
	if (ret) {
		pf_destroy_vfs(pf);
		return ret;
	}
	return nr;
}

static int pf_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct vfmig_fn *fn = vfmig_fn_of(pdev);
	struct vfmig_pf *pf;
	int ret;

	if (!fn)
		return -ENODEV;

	pf = devm_kzalloc(&pdev->dev, sizeof(*pf), GFP_KERNEL);
	if (!pf)
		return -ENOMEM;
	ret = devm_mutex_init(&pdev->dev, &pf->lock);
	if (ret)
		return ret;
	pf->fn = fn;
	pf->config = *vfmig_defaults;
	pci_set_drvdata(pdev, pf);

	return vfmig_register_pf(pdev, vfmig_model->vf_ops);
}

static void pf_remove(struct pci_dev *pdev)
{
	struct vfmig_pf *pf = pci_get_drvdata(pdev);

	pci_disable_sriov(pdev);
	vfmig_unregister_pf(pdev);
	pf_destroy_vfs(pf);
}

/* PFs, each with a reference, because a user can remove one through sysfs at any time */
struct vfmig_pf_list {
	unsigned int nr;
	struct device *dev[VFMIG_MAX_PFS];
};

static int pf_collect(struct device *dev, void *data)
{
	struct vfmig_pf_list *pfs = data;

	if (pfs->nr == VFMIG_MAX_PFS)
		return -ENOSPC;
	pfs->dev[pfs->nr++] = get_device(dev);
	return 0;
}

static struct attribute *pf_find_attr(struct device *dev, const char *name)
{
	for (const struct attribute_group **group = dev->type->groups; *group; group++)
		for (struct attribute **attr = (*group)->attrs; attr && *attr; attr++)
			if (!strcmp((*attr)->name, name))
				return *attr;
	return NULL;
}

/*
 * Remove the VFs of a PF through its sriov_numvfs.
 *
 * The locks that pci_disable_sriov() must be called with, or without, differ from kernel to
 * kernel, and not by version.  The PCI core's own store function takes the right ones in
 * each kernel, and its caller needs no lock.
 */
static void pf_write_numvfs_0(struct device *dev)
{
	struct attribute *attr = pf_find_attr(dev, "sriov_numvfs");
	ssize_t ret = -ENOENT;

	if (attr)
		ret = dev->kobj.ktype->sysfs_ops->store(&dev->kobj, attr, "0", 1);
	if (ret < 0)
		dev_warn(dev, "VFs not removed: %pe\n", ERR_PTR(ret));
}

/*
 * For module exit.  No VF is open, and from here on no VF is created or gets a driver.  This
 * removes all VFs, so pci_disable_sriov() in pf_remove() has nothing to do, with whatever
 * locks held.
 *
 * A write to sriov_numvfs takes the PF's device lock and then the PCI core's
 * rescan-remove lock.  Removal of the PF through sysfs takes them in the opposite order.
 * This inversion is in the PCI core, not in this driver.
 */
void vfmig_pf_unregister_driver(struct vfmig_fabric *fabric)
{
	struct vfmig_pf_list pfs = {};

	WRITE_ONCE(pf_going, true);
	vfmig_fabric_retire(fabric);
	WARN_ON(driver_for_each_device(&vfmig_pf_driver.driver, NULL, &pfs, pf_collect));
	for (unsigned int i = 0; i < pfs.nr; i++) {
		pf_write_numvfs_0(pfs.dev[i]);
		put_device(pfs.dev[i]);
	}
	pci_unregister_driver(&vfmig_pf_driver);
}

/**
 * struct vfmig_pf_attr - a setting in sysfs
 * @attr: the attribute
 * @offset: offset of the setting in &struct vfmig_vf_config
 * @check: returns NULL if a value is valid, else the reason
 * @apply: applies a value to an existing VF, or NULL if it is only for later VFs
 */
struct vfmig_pf_attr {
	struct device_attribute attr;
	size_t offset;
	const char *(*check)(unsigned int value);
	void (*apply)(void *model, unsigned int value);
};

static unsigned int *pf_setting(struct vfmig_pf *pf, const struct vfmig_pf_attr *attr)
{
	return (void *)&pf->config + attr->offset;
}

static ssize_t setting_show(struct device *dev, struct device_attribute *dev_attr, char *buf)
{
	struct vfmig_pf_attr *attr = container_of(dev_attr, struct vfmig_pf_attr, attr);
	struct vfmig_pf *pf = dev_get_drvdata(dev);

	guard(mutex)(&pf->lock);
	return sysfs_emit(buf, "%u\n", *pf_setting(pf, attr));
}

static ssize_t setting_store(struct device *dev, struct device_attribute *dev_attr,
			     const char *buf, size_t count)
{
	struct vfmig_pf_attr *attr = container_of(dev_attr, struct vfmig_pf_attr, attr);
	struct vfmig_pf *pf = dev_get_drvdata(dev);
	unsigned int value;
	int ret;

	ret = kstrtouint(buf, 0, &value);
	if (ret)
		return ret;
	if (attr->check(value))
		return -EINVAL;

	guard(mutex)(&pf->lock);
	*pf_setting(pf, attr) = value;
	for (unsigned int i = 0; attr->apply && i < pf->nr_vfs; i++)
		attr->apply(pf->vfs[i].model, value);
	return count;
}

static void apply_io_latency(void *model, unsigned int us)
{
	vfmig_model->set_io_latency(model, us);
}

static void apply_erase_on_close(void *model, unsigned int when)
{
	vfmig_model->set_erase_on_close(model, when);
}

static struct vfmig_pf_attr attr_media_mb = {
	.attr = __ATTR(media_mb, 0644, setting_show, setting_store),
	.offset = offsetof(struct vfmig_vf_config, media_mb),
	.check = vfmig_check_media_mb,
};

static struct vfmig_pf_attr attr_lba_size = {
	.attr = __ATTR(lba_size, 0644, setting_show, setting_store),
	.offset = offsetof(struct vfmig_vf_config, lba_size),
	.check = vfmig_check_lba_size,
};

static struct vfmig_pf_attr attr_queues = {
	.attr = __ATTR(queues, 0644, setting_show, setting_store),
	.offset = offsetof(struct vfmig_vf_config, queues),
	.check = vfmig_check_queues,
};

static struct vfmig_pf_attr attr_io_latency_us = {
	.attr = __ATTR(io_latency_us, 0644, setting_show, setting_store),
	.offset = offsetof(struct vfmig_vf_config, io_latency_us),
	.check = vfmig_check_io_latency_us,
	.apply = apply_io_latency,
};

static struct vfmig_pf_attr attr_erase_on_close = {
	.attr = __ATTR(erase_on_close, 0644, setting_show, setting_store),
	.offset = offsetof(struct vfmig_vf_config, erase_on_close),
	.check = vfmig_check_erase_on_close,
	.apply = apply_erase_on_close,
};

static struct attribute *pf_attrs[] = {
	&attr_media_mb.attr.attr,
	&attr_lba_size.attr.attr,
	&attr_queues.attr.attr,
	&attr_io_latency_us.attr.attr,
	&attr_erase_on_close.attr.attr,
	NULL
};

static const struct attribute_group pf_group = {
	.name = "vfmig",
	.attrs = pf_attrs,
};

static const struct attribute_group *pf_groups[] = {
	&pf_group,
	NULL
};

static const struct pci_device_id pf_ids[] = {
	{ PCI_DEVICE(VFMIG_PCI_VENDOR_ID, VFMIG_PCI_DEVICE_ID_PF) },
	{}
};

struct pci_driver vfmig_pf_driver = {
	.name = "vfmig_sim",
	.id_table = pf_ids,
	.probe = pf_probe,
	.remove = pf_remove,
	.sriov_configure = pf_sriov_configure,
	.dev_groups = pf_groups,
};
