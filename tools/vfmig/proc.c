// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who has a VFIO device open.  The kernel does not say it of a device, but of a process which
 * files it has open: the group or the device in /dev/vfio, and from Linux 6.17 on also which
 * device the file of a device is.
 */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "device.h"
#include "sys.h"
#include "vfmigctl.h"

#define DEV_VFIO	"/dev/vfio/"
#define DEVICE_FILE	"anon_inode:[vfio-device]"
#define DEVICE_LINE	"vfio-device-syspath:"

static void add_opener(struct json_object *openers, const char *what, const char *pid)
{
	struct json_object *list, *opener, *last;
	long number = strtol(pid, NULL, 10);
	char *name;

	if (!json_object_object_get_ex(openers, what, &list)) {
		list = json_object_new_array();
		json_object_object_add(openers, what, list);
	}
	/* One process can have several files of it */
	if (json_object_array_length(list)) {
		last = json_object_array_get_idx(list, json_object_array_length(list) - 1);
		if (json_object_object_get_ex(last, "pid", &opener) &&
		    json_object_get_int64(opener) == number)
			return;
	}
	opener = json_object_new_object();
	json_object_object_add(opener, "pid", json_object_new_int64(number));
	name = sys_read("/proc/%s/comm", pid);
	json_object_object_add(opener, "command", json_object_new_string(name ? name : "?"));
	free(name);
	json_object_array_add(list, opener);
}

static void look_at_device(struct json_object *openers, const char *pid, const char *fd)
{
	char *info = sys_read("/proc/%s/fdinfo/%s", pid, fd);
	char *line = info ? strstr(info, DEVICE_LINE) : NULL, *slash;

	if (line) {
		line[strcspn(line, "\n")] = '\0';
		slash = strrchr(line, '/');
		if (slash)
			add_opener(openers, slash + 1, pid);
	}
	free(info);
}

static void look_at_process(struct json_object *openers, const char *pid)
{
	char **fds;
	size_t n = sys_list(&fds, "/proc/%s/fd", pid);

	for (size_t i = 0; i < n; i++) {
		char *path = sys_path("/proc/%s/fd/%s", pid, fds[i]), target[PATH_MAX];
		ssize_t length = readlink(path, target, sizeof(target) - 1);

		free(path);
		if (length < 0)
			continue;
		target[length] = '\0';
		if (!strncmp(target, DEV_VFIO, strlen(DEV_VFIO)))
			add_opener(openers, target + strlen(DEV_VFIO), pid);
		else if (!strcmp(target, DEVICE_FILE))
			look_at_device(openers, pid, fds[i]);
	}
	sys_free_list(fds, n);
}

/* NULL for a user who can't see the files of others */
struct json_object *find_openers(void)
{
	struct json_object *openers;
	char **pids;
	size_t n;

	if (geteuid() && !*options.root)
		return NULL;
	openers = json_object_new_object();
	n = sys_list(&pids, "/proc");
	for (size_t i = 0; i < n; i++)
		if (isdigit((unsigned char)pids[i][0]))
			look_at_process(openers, pids[i]);
	sys_free_list(pids, n);
	return openers;
}

static bool has_pid(struct json_object *list, struct json_object *pid)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *other;

		if (json_object_object_get_ex(json_object_array_get_idx(list, i), "pid", &other) &&
		    json_object_equal(pid, other))
			return true;
	}
	return false;
}

static void join(struct json_object *list, struct json_object *openers, const char *what)
{
	struct json_object *more, *opener, *pid;

	if (!what || !json_object_object_get_ex(openers, what, &more))
		return;
	for (size_t i = 0; i < json_object_array_length(more); i++) {
		opener = json_object_array_get_idx(more, i);
		if (json_object_object_get_ex(opener, "pid", &pid) && !has_pid(list, pid))
			json_object_array_add(list, json_object_get(opener));
	}
}

struct json_object *openers_of(struct json_object *openers, const char *bdf)
{
	struct json_object *list;
	char **cdevs, *group;
	size_t n;

	if (!openers)
		return NULL;
	list = json_object_new_array();
	join(list, openers, bdf);
	group = sys_link(SYS_PCI "/%s/iommu_group", bdf);
	join(list, openers, group);
	free(group);
	n = sys_list(&cdevs, SYS_PCI "/%s/vfio-dev", bdf);
	for (size_t i = 0; i < n; i++) {
		char device[NAME_MAX + 16];

		snprintf(device, sizeof(device), "devices/%s", cdevs[i]);
		join(list, openers, device);
	}
	sys_free_list(cdevs, n);
	return list;
}
