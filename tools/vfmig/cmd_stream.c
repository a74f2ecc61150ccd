// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl stream: commands that read a migration stream.  They need neither the modules nor
 * root.
 */
#include "cmd_stream.h"

static const struct command *const commands[] = {
	&decode_command, &check_command, &diff_command, &extract_command, NULL
};

error_t parse_stream_option(int key, char *arg, struct argp_state *state, void *data)
{
	(void)state;
	if (key != 'd')
		return ARGP_ERR_UNKNOWN;
	*(const char **)data = arg;
	return 0;
}

static int run_stream(const struct command *command, int argc, char **argv)
{
	(void)command;
	return run_group(commands, "Reads migration streams, by themselves or in a file of QEMU.",
			 "'-' is standard input.", NULL, argc, argv);
}

const struct command stream_command = {
	.name = "stream",
	.args = "COMMAND ...",
	.doc = "read a migration stream",
	.run = run_stream,
};
