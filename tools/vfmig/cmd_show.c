// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl show: all that the kernel says about a function.
 */
#include <json-c/json.h>

#include "device.h"
#include "vfmigctl.h"

static int run_show(const struct command *command, int argc, char **argv)
{
	struct args args = { .min = 1, .max = 1 };
	struct json_object *description;
	struct function function;

	parse_args(command, &args, argc, argv);
	if (!get_function(args.value[0], WANT_ANY, &function))
		return EXIT_FAILED;
	description = describe_function(&function);
	if (options.json) {
		print_json(description);
		return EXIT_OK;
	}
	print_members(description, 0);
	json_object_put(description);
	return EXIT_OK;
}

const struct command show_command = {
	.name = "show",
	.args = "FUNCTION",
	.doc = "show all about a PF or a VF",
	.run = run_show,
};
