/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel modules, loaded and unloaded without modprobe */
#ifndef VFMIG_TEST_KMOD_H
#define VFMIG_TEST_KMOD_H

/* 0 or -errno; the file may be compressed if xz, zstd or gzip is installed */
int kmod_load(const char *path, const char *args);
/* Load a module of test_modules/; returns NULL, or why the test must be skipped */
const char *kmod_load_test(const char *name, const char *args);
/* 0 or -errno, without waiting: -EWOULDBLOCK if the module is in use */
int kmod_unload(const char *name);

#endif /* VFMIG_TEST_KMOD_H */
