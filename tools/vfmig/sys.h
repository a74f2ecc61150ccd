/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files of the kernel, below --root.  A path is given as a format.
 */
#ifndef VFMIGCTL_SYS_H
#define VFMIGCTL_SYS_H

#include <dirent.h>

#include "types.h"

/* The path; exits if there is no memory */
__printf(1, 2) char *sys_path(const char *format, ...);
/* What a file has, without the newline at its end; NULL with errno set if it can't be read */
__printf(1, 2) char *sys_read(const char *format, ...);
/* Writes all at once; 0 or -errno */
int __printf(2, 3) sys_write(const char *text, const char *format, ...);
/* The last part of what a symbolic link is to; NULL if it is none */
__printf(1, 2) char *sys_link(const char *format, ...);
/* The entries of a directory but those with a leading dot, sorted; their number */
size_t __printf(2, 3) sys_list(char ***names, const char *format, ...);
void sys_free_list(char **names, size_t count);
/* Do these bits of a file's mode include @bits? */
bool __printf(2, 3) sys_mode(unsigned int bits, const char *format, ...);
bool __printf(1, 2) sys_exists(const char *format, ...);

#endif /* VFMIGCTL_SYS_H */
