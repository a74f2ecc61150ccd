/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Settings of a function: files that the kernel has for them.
 */
#ifndef VFMIGCTL_SETTING_H
#define VFMIGCTL_SETTING_H

#include "device.h"

/* Writes a setting and prints it as JSON if that is asked for; returns the exit status */
int write_setting(const struct function *function, const char *name, const char *value);

/* Prints why the variant driver's file with @what of a VF can't be had; returns EXIT_FAILED */
int no_driver_file(const struct function *vf, const char *what);

/* A VF with a disk, as get_function() */
bool get_disk(const char *name, struct function *vf);

#endif /* VFMIGCTL_SETTING_H */
