// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl set: changes a setting of a PF, for the VFs to come, or of a VF.
 */
#include "setting.h"
#include "vfmigctl.h"

static int run_set(const struct command *command, int argc, char **argv)
{
	struct args args = {
		.min = 3,
		.max = 3,
		.help = "\vThe settings of a PF are for the VFs that it will have.  'vfmigctl show "
			"FUNCTION' shows which there are.",
	};
	struct function function;

	parse_args(command, &args, argc, argv);
	if (!get_function(args.value[0], WANT_ANY, &function))
		return EXIT_FAILED;
	return write_setting(&function, args.value[1], args.value[2]);
}

const struct command set_command = {
	.name = "set",
	.args = "FUNCTION NAME VALUE",
	.doc = "change a setting",
	.run = run_set,
};
