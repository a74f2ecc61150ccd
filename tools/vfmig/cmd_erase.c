// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl erase: the disk of a VF.
 */
#include "setting.h"
#include "vfmigctl.h"

static int run_erase(const struct command *command, int argc, char **argv)
{
	struct args args = { .min = 1, .max = 1 };
	struct function vf;

	parse_args(command, &args, argc, argv);
	if (!get_disk(args.value[0], &vf))
		return EXIT_FAILED;
	return write_setting(&vf, "erase", "1");
}

const struct command erase_command = {
	.name = "erase",
	.args = "VF",
	.doc = "erase the disk of a VF",
	.run = run_erase,
};
