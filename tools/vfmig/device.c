// SPDX-License-Identifier: GPL-2.0-only
/*
 * See device.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <json-c/json.h>

#include "device.h"
#include "sys.h"
#include "vfmigctl.h"

#define SYS_DRIVERS	"/sys/bus/pci/drivers"

struct function_list {
	struct function *functions;
	size_t count;
};

static bool is_bdf(const char *name)
{
	unsigned int domain, bus, device, function;
	int used = 0;

	return strlen(name) < BDF_SIZE &&
	       sscanf(name, "%x:%x:%x.%x%n", &domain, &bus, &device, &function, &used) == 4 &&
	       !name[used];
}

static struct function *add_function(struct function_list *list, const char *bdf, const char *pf)
{
	struct function *function;

	list->functions = need(realloc(list->functions,
				       (list->count + 1) * sizeof(*list->functions)));
	function = &list->functions[list->count++];
	memset(function, 0, sizeof(*function));
	snprintf(function->bdf, sizeof(function->bdf), "%s", bdf);
	snprintf(function->pf, sizeof(function->pf), "%s", pf);
	function->is_vf = strcmp(bdf, pf);
	return function;
}

/* A PF with its VFs, unless it is there */
static void add_pf(struct function_list *list, const char *pf)
{
	if (!is_bdf(pf))
		return;
	for (size_t i = 0; i < list->count; i++)
		if (!strcmp(list->functions[i].bdf, pf))
			return;
	add_function(list, pf, pf);
	for (unsigned int i = 0;; i++) {
		char *vf = sys_link(SYS_PCI "/%s/virtfn%u", pf, i);

		if (!vf)
			break;
		if (is_bdf(vf))
			add_function(list, vf, pf);
		free(vf);
	}
}

/* The PFs that our driver has, and those of VFs that our variant driver has */
size_t find_functions(struct function **functions)
{
	struct function_list list = {};
	char **names;
	size_t n;

	n = sys_list(&names, SYS_DRIVERS "/vfmig_sim");
	for (size_t i = 0; i < n; i++)
		add_pf(&list, names[i]);
	sys_free_list(names, n);

	n = sys_list(&names, SYS_DRIVERS "/vfmig_vfio_pci");
	for (size_t i = 0; i < n; i++) {
		char *pf = is_bdf(names[i]) ? sys_link(SYS_PCI "/%s/physfn", names[i]) : NULL;

		if (pf)
			add_pf(&list, pf);
		free(pf);
	}
	sys_free_list(names, n);
	*functions = list.functions;
	return list.count;
}

static bool is_called(const struct function *function, const char *name)
{
	const char *short_name = strchr(function->bdf, ':') + 1;

	return !strcmp(function->bdf, name) || !strcmp(short_name, name);
}

static bool is_wanted(const struct function *function, enum wanted wanted)
{
	return wanted == WANT_ANY || function->is_vf == (wanted == WANT_VF);
}

bool get_function(const char *name, enum wanted wanted, struct function *function)
{
	struct function *functions;
	size_t n = find_functions(&functions);
	unsigned int found = 0;

	for (size_t i = 0; i < n; i++) {
		if (is_called(&functions[i], name)) {
			*function = functions[i];
			found++;
		}
	}
	free(functions);
	if (!n)
		fail("there is no device of vfmig (is vfmig_sim loaded?)");
	else if (!found)
		fail("there is no function '%s' of vfmig (see vfmigctl list)", name);
	else if (found > 1)
		fail("'%s' could be several functions: name the domain too", name);
	else if (!is_wanted(function, wanted))
		fail("%s is a %s, not a %s", function->bdf, function->is_vf ? "VF" : "PF",
		     wanted == WANT_VF ? "VF" : "PF");
	return found == 1 && is_wanted(function, wanted);
}

/* Takes @text; null without it, and a number if it is one */
static void add_text(struct json_object *out, const char *key, char *text)
{
	struct json_object *value = NULL;
	unsigned long long number;
	char *end;

	if (text) {
		errno = 0;
		number = strtoull(text, &end, 10);
		if (*text >= '0' && *text <= '9' && !*end && !errno)
			value = json_object_new_uint64(number);
		else
			value = json_object_new_string(text);
	}
	json_object_object_add(out, key, value);
	free(text);
}

/* All files of a directory that can be read */
static struct json_object *read_all(const char *dir, const char *bdf, const char *below)
{
	struct json_object *out = json_object_new_object();
	char **names;
	size_t n = sys_list(&names, "%s/%s%s", dir, bdf, below);

	for (size_t i = 0; i < n; i++)
		if (sys_mode(0400, "%s/%s%s/%s", dir, bdf, below, names[i]))
			add_text(out, names[i], sys_read("%s/%s%s/%s", dir, bdf, below, names[i]));
	sys_free_list(names, n);
	return out;
}

/* The lines of the variant driver's file, a word and a value each */
static void add_migration(struct json_object *out, const char *bdf)
{
	static const char *const keys[] = { "state", "session", "done", "left" };
	char *text = sys_read(DEBUG_DRIVER "/%s/migration", bdf), *line, *next;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		json_object_object_add(out, keys[i], NULL);
	for (line = text; line; line = next) {
		char *space;

		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		space = strchr(line, ' ');
		if (!space)
			continue;
		*space = '\0';
		add_text(out, line, need(strdup(space + 1)));
	}
	free(text);
}

/* The number of faults, of which each has a line in the variant driver's file */
static void add_faults(struct json_object *out, const char *bdf)
{
	char *text = sys_read(DEBUG_DRIVER "/%s/faults", bdf);
	struct json_object *value = NULL;
	unsigned int faults = 0;

	if (text) {
		for (const char *line = text; *line; line += strspn(line, "\n")) {
			line += strcspn(line, "\n");
			faults++;
		}
		value = json_object_new_int64(faults);
	}
	json_object_object_add(out, "faults", value);
	free(text);
}

static void add_vf(struct json_object *out, const struct function *vf,
		   struct json_object *openers, bool all_values)
{
	json_object_object_add(out, "pf", json_object_new_string(vf->pf));
	add_text(out, "model", sys_read(SYS_PCI "/%s/vfmig/model", vf->pf));
	add_text(out, "driver", sys_link(SYS_PCI "/%s/driver", vf->bdf));
	add_text(out, "iommu_group", sys_link(SYS_PCI "/%s/iommu_group", vf->bdf));
	add_migration(out, vf->bdf);
	add_faults(out, vf->bdf);
	add_text(out, "media_mb", sys_read(DEBUG_MODEL "/%s/media_mb", vf->bdf));
	add_text(out, "media_allocated", sys_read(DEBUG_MODEL "/%s/media_allocated", vf->bdf));
	json_object_object_add(out, "open_by", openers_of(openers, vf->bdf));
	if (all_values)
		json_object_object_add(out, "values", read_all(DEBUG_MODEL, vf->bdf, ""));
}

static void add_pf_info(struct json_object *out, const struct function *pf)
{
	add_text(out, "model", sys_read(SYS_PCI "/%s/vfmig/model", pf->bdf));
	add_text(out, "driver", sys_link(SYS_PCI "/%s/driver", pf->bdf));
	add_text(out, "vfs", sys_read(SYS_PCI "/%s/sriov_numvfs", pf->bdf));
	add_text(out, "max_vfs", sys_read(SYS_PCI "/%s/sriov_totalvfs", pf->bdf));
	json_object_object_add(out, "settings", read_all(SYS_PCI, pf->bdf, "/vfmig"));
}

static struct json_object *describe(const struct function *function, struct json_object *openers,
				    bool all_values)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, "function", json_object_new_string(function->bdf));
	json_object_object_add(out, "type", json_object_new_string(function->is_vf ? "VF" : "PF"));
	if (function->is_vf)
		add_vf(out, function, openers, all_values);
	else
		add_pf_info(out, function);
	return out;
}

struct json_object *describe_function(const struct function *function)
{
	struct json_object *openers = find_openers();
	struct json_object *out = describe(function, openers, true);

	json_object_put(openers);
	return out;
}

struct json_object *describe_functions(bool all_values)
{
	struct json_object *out = json_object_new_array(), *openers = find_openers(), *vfs = NULL;
	struct function *functions;
	size_t n = find_functions(&functions);

	for (size_t i = 0; i < n; i++) {
		struct json_object *one = describe(&functions[i], openers, all_values);

		if (functions[i].is_vf) {
			json_object_array_add(vfs, one);
			continue;
		}
		vfs = json_object_new_array();
		json_object_object_add(one, "functions", vfs);
		json_object_array_add(out, one);
	}
	free(functions);
	json_object_put(openers);
	return out;
}
