// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl resize: the disk of a VF.
 */
#include "setting.h"
#include "vfmigctl.h"

static int run_resize(const struct command *command, int argc, char **argv)
{
	struct args args = { .min = 2, .max = 2 };
	struct function vf;

	parse_args(command, &args, argc, argv);
	parse_number("size in MiB", args.value[1], 1, ~0U);
	if (!get_disk(args.value[0], &vf))
		return EXIT_FAILED;
	return write_setting(&vf, "media_mb", args.value[1]);
}

const struct command resize_command = {
	.name = "resize",
	.args = "VF MIB",
	.doc = "change the size of the disk of a VF",
	.run = run_resize,
};
