// SPDX-License-Identifier: GPL-2.0-only
/*
 * See setting.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "setting.h"
#include "sys.h"
#include "vfmigctl.h"

/* Where the settings of a function are, and the text of a path behind it */
static char *settings_dir(const struct function *function)
{
	char *dir;

	if (asprintf(&dir, function->is_vf ? DEBUG_MODEL "/%s" : SYS_PCI "/%s/vfmig",
		     function->bdf) < 0)
		dir = NULL;
	return need(dir);
}

/* Of a VF, because those of a PF are in sysfs */
static int no_debugfs(const char *dir)
{
	if (geteuid() && !*options.root)
		return fail("settings of a VF can be changed by root only");
	return fail("there is no %s%s: is debugfs mounted?", options.root, dir);
}

static int no_setting(const struct function *function, const char *dir, const char *name)
{
	char **names, *text = NULL;
	size_t n = sys_list(&names, "%s", dir), size;
	FILE *out = need(open_memstream(&text, &size));
	bool any = false;

	for (size_t i = 0; i < n; i++) {
		if (!sys_mode(0600, "%s/%s", dir, names[i]))
			continue;
		fprintf(out, "%s%s", any ? ", " : "", names[i]);
		any = true;
	}
	fclose(out);
	sys_free_list(names, n);
	fail("%s has no setting '%s'%s%s", function->bdf, name,
	     any ? "; it has: " : ", and no other", text);
	free(text);
	return EXIT_FAILED;
}

static const char *reason(int error)
{
	switch (error) {
	case EINVAL:
	case ERANGE:
		return "the device does not take this value";
	case EBUSY:
		return "not now: the device is in use or has VFs";
	default:
		return strerror(error);
	}
}

static void print_setting(const struct function *function, const char *name, const char *value)
{
	struct json_object *out;

	if (!options.json)
		return;
	out = json_object_new_object();
	json_object_object_add(out, "function", json_object_new_string(function->bdf));
	json_object_object_add(out, "name", json_object_new_string(name));
	json_object_object_add(out, "value", json_object_new_string(value));
	print_json(out);
}

int write_setting(const struct function *function, const char *name, const char *value)
{
	char *dir = settings_dir(function);
	int ret = EXIT_OK, error;

	if (!sys_exists("%s", dir)) {
		ret = no_debugfs(dir);
	} else if (strchr(name, '/') || *name == '.' ||
		   !sys_mode(0200, "%s/%s", dir, name)) {
		ret = no_setting(function, dir, name);
	} else {
		error = sys_write(value, "%s/%s", dir, name);
		if (error)
			ret = fail("%s: can't set %s to '%s': %s", function->bdf, name, value,
				   reason(-error));
		else
			print_setting(function, name, value);
	}
	free(dir);
	return ret;
}

int no_driver_file(const struct function *vf, const char *what)
{
	if (geteuid() && !*options.root)
		return fail("%s are for root only", what);
	return fail("%s has no %s: it needs the driver vfmig_vfio_pci, and debugfs", vf->bdf, what);
}

bool get_disk(const char *name, struct function *vf)
{
	if (!get_function(name, WANT_VF, vf))
		return false;
	if (!sys_exists(DEBUG_MODEL "/%s", vf->bdf) || sys_exists(DEBUG_MODEL "/%s/erase", vf->bdf))
		return true;
	fail("%s has no disk", vf->bdf);
	return false;
}
