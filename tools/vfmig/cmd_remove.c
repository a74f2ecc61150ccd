// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl remove: the VFs of a PF.
 */
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "device.h"
#include "sys.h"
#include "vfmigctl.h"

static const struct argp_option remove_options[] = {
	{ "force", 'f', NULL, 0, "Remove VFs that are open too: wait until they are closed", 0 },
	{ 0 }
};

static error_t parse_remove(int key, char *arg, struct argp_state *state, void *data)
{
	(void)arg;
	(void)state;
	if (key != 'f')
		return ARGP_ERR_UNKNOWN;
	*(bool *)data = true;
	return 0;
}

/* The kernel would wait for whoever has one open, with locks that others wait for */
static int check_closed(const char *pf)
{
	struct json_object *openers = find_openers();
	struct function *functions;
	size_t n = find_functions(&functions);
	int ret = EXIT_OK;

	for (size_t i = 0; i < n && !ret; i++) {
		struct json_object *list, *first, *command, *pid;

		if (!functions[i].is_vf || strcmp(functions[i].pf, pf))
			continue;
		list = openers_of(openers, functions[i].bdf);
		if (list && json_object_array_length(list)) {
			first = json_object_array_get_idx(list, 0);
			json_object_object_get_ex(first, "command", &command);
			json_object_object_get_ex(first, "pid", &pid);
			ret = fail("%s is open, by process %s (%s); --force waits for it",
				   functions[i].bdf, json_object_get_string(pid),
				   json_object_get_string(command));
		}
		json_object_put(list);
	}
	free(functions);
	json_object_put(openers);
	return ret;
}

static int run_remove(const struct command *command, int argc, char **argv)
{
	bool force = false;
	struct args args = {
		.min = 1,
		.max = 1,
		.option = parse_remove,
		.options = remove_options,
		.data = &force,
	};
	struct function pf;
	int error;

	parse_args(command, &args, argc, argv);
	if (!get_function(args.value[0], WANT_PF, &pf))
		return EXIT_FAILED;
	if (!force && check_closed(pf.bdf))
		return EXIT_FAILED;
	error = sys_write("0", SYS_PCI "/%s/sriov_numvfs", pf.bdf);
	if (error)
		return fail("%s: can't remove its VFs: %s", pf.bdf, strerror(-error));
	if (options.json) {
		struct json_object *out = json_object_new_object();

		json_object_object_add(out, "function", json_object_new_string(pf.bdf));
		json_object_object_add(out, "functions", json_object_new_array());
		print_json(out);
	}
	return EXIT_OK;
}

const struct command remove_command = {
	.name = "remove",
	.args = "PF",
	.doc = "remove the VFs of a PF",
	.run = run_remove,
};
