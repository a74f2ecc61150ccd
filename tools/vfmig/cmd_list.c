// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl list: the PFs and VFs.
 */
#include <stdio.h>

#include <json-c/json.h>

#include "device.h"
#include "vfmigctl.h"

static int run_list(const struct command *command, int argc, char **argv)
{
	struct json_object *functions;
	struct args args = {};
	struct table *table;

	parse_args(command, &args, argc, argv);
	functions = describe_functions(false);
	if (options.json) {
		print_json(functions);
		return EXIT_OK;
	}
	table = make_table(functions, NULL, 0);
	for (size_t i = 0; table_rows(table) > 1 && i < table_rows(table); i++)
		puts(table_row(table, i));
	if (table_rows(table) == 1)
		puts("There is no device of vfmig: modprobe vfmig_sim creates one.");
	free_table(table);
	json_object_put(functions);
	return EXIT_OK;
}

const struct command list_command = {
	.name = "list",
	.args = "",
	.doc = "list PFs and VFs",
	.run = run_list,
};
