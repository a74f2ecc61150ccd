// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device models that a PF can have.  A new model is an entry in this list, and its
 * files in Kbuild.
 */
#include <linux/array_size.h>
#include <linux/errno.h>
#include <linux/printk.h>
#include <linux/string.h>

#include "sim.h"

const struct vfmig_model *const vfmig_models[] = {
	&vfmig_nvme_model,
	&vfmig_sample_model,
	&vfmig_virtio_net_model,
};

const unsigned int vfmig_num_models = ARRAY_SIZE(vfmig_models);

static_assert(ARRAY_SIZE(vfmig_models) <= VFMIG_MAX_PF_DESCS);

/* A newline at the end of @name is ignored; NULL if there is no such model */
const struct vfmig_model *vfmig_model_find(const char *name)
{
	for (unsigned int i = 0; i < vfmig_num_models; i++)
		if (sysfs_streq(name, vfmig_models[i]->name))
			return vfmig_models[i];
	return NULL;
}

/* The names of all models, for a message */
void vfmig_model_names(char buf[VFMIG_MODEL_NAMES])
{
	size_t len = 0;

	for (unsigned int i = 0; i < vfmig_num_models; i++)
		len += scnprintf(buf + len, VFMIG_MODEL_NAMES - len, "%s%s", i ? ", " : "",
				 vfmig_models[i]->name);
}

static int check_defaults(const struct vfmig_model *model)
{
	for (unsigned int i = 0; i < model->num_settings; i++) {
		const struct vfmig_setting *setting = &model->settings[i];
		unsigned int value = *(unsigned int *)(model->defaults + setting->offset);
		const char *why = setting->check(value);

		if (!why)
			continue;
		pr_err("vfmig_sim: %s=%u: %s\n", setting->name, value, why);
		return -EINVAL;
	}
	return 0;
}

static void exit_models(unsigned int count)
{
	while (count--)
		if (vfmig_models[count]->exit)
			vfmig_models[count]->exit();
}

/**
 * vfmig_models_init() - check the defaults of all models, and initialise the models
 *
 * Return: 0, -EINVAL for a default that is not valid, after a message, or the error of a
 * model.
 */
int vfmig_models_init(void)
{
	int ret;

	for (unsigned int i = 0; i < vfmig_num_models; i++) {
		ret = check_defaults(vfmig_models[i]);
		if (ret)
			return ret;
	}
	for (unsigned int i = 0; i < vfmig_num_models; i++) {
		ret = vfmig_models[i]->init ? vfmig_models[i]->init() : 0;
		if (ret) {
			exit_models(i);
			return ret;
		}
	}
	return 0;
}

void vfmig_models_exit(void)
{
	exit_models(vfmig_num_models);
}
