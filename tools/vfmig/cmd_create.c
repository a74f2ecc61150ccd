// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl create: the VFs of a PF.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "device.h"
#include "sys.h"
#include "vfmigctl.h"

/* The number in an attribute of a PF */
static u64 read_number(const char *pf, const char *name)
{
	char *text = sys_read(SYS_PCI "/%s/%s", pf, name);
	u64 value = text ? strtoull(text, NULL, 10) : 0;

	free(text);
	return value;
}

static void print_vfs(const char *pf)
{
	struct json_object *vfs = json_object_new_array(), *out;
	struct function *functions;
	size_t n = find_functions(&functions);

	for (size_t i = 0; i < n; i++)
		if (functions[i].is_vf && !strcmp(functions[i].pf, pf))
			json_object_array_add(vfs, json_object_new_string(functions[i].bdf));
	free(functions);
	if (options.json) {
		out = json_object_new_object();
		json_object_object_add(out, "function", json_object_new_string(pf));
		json_object_object_add(out, "functions", vfs);
		print_json(out);
		return;
	}
	for (size_t i = 0; i < json_object_array_length(vfs); i++)
		puts(json_object_get_string(json_object_array_get_idx(vfs, i)));
	json_object_put(vfs);
}

static int create_vfs(const char *pf, const char *number)
{
	u64 have = read_number(pf, "sriov_numvfs"), max = read_number(pf, "sriov_totalvfs");
	char text[24];
	int error;

	snprintf(text, sizeof(text), "%llu", parse_number("number of VFs", number, 1, max));
	if (have)
		return fail("%s has %llu VFs already: remove them first", pf, have);
	error = sys_write(text, SYS_PCI "/%s/sriov_numvfs", pf);
	if (error)
		return fail("%s: can't create %s VFs: %s", pf, text, strerror(-error));
	print_vfs(pf);
	return EXIT_OK;
}

static int run_create(const struct command *command, int argc, char **argv)
{
	struct args args = { .min = 2, .max = 2 };
	struct function pf;

	parse_args(command, &args, argc, argv);
	if (!get_function(args.value[0], WANT_PF, &pf))
		return EXIT_FAILED;
	return create_vfs(pf.bdf, args.value[1]);
}

const struct command create_command = {
	.name = "create",
	.args = "PF NUMBER",
	.doc = "create the VFs of a PF",
	.run = run_create,
};
