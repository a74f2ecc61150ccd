// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl: shows and controls the simulated devices of vfmig, and reads migration streams.
 * Each command is a file of its own, cmd_*.c.
 */
#include "vfmigctl.h"

static const struct command *const commands[] = {
	&list_command, &show_command, &watch_command, &create_command, &remove_command,
	&set_command, &erase_command, &resize_command, &fault_command, &profile_command,
	&stream_command, NULL
};

const char *argp_program_version = "vfmigctl " VFMIG_VERSION;

int main(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { 0 } };

	argp_err_exit_status = EXIT_USAGE;
	argv[0] = "vfmigctl";
	return run_group(commands, "Shows and controls the devices of vfmig.",
			 "'vfmigctl COMMAND --help' says more.", children, argc, argv);
}
