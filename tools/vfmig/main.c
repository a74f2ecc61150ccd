// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl: shows and controls the simulated devices of vfmig, and reads migration streams.
 * Each command is a file of its own, cmd_*.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfmigctl.h"

static const struct command *const commands[] = {
	&list_command, &show_command, &watch_command, &create_command, &remove_command,
	&set_command, &erase_command, &resize_command, &fault_command, &profile_command,
	&stream_command, NULL
};

const char *argp_program_version = "vfmigctl " VFMIG_VERSION;

/* The first argument is the command, and what follows it is the command's */
static error_t parse_main(int key, char *arg, struct argp_state *state)
{
	int *first = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_ARG:
		*first = state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which command?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int main(int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { 0 } };
	struct argp argp = {
		.parser = parse_main,
		.args_doc = "COMMAND [ARGUMENT]...",
		.children = children,
	};
	char *list, *doc;
	int first = 0;

	argp_err_exit_status = EXIT_USAGE;
	argv[0] = "vfmigctl";
	list = list_commands(commands);
	if (asprintf(&doc, "Shows and controls the devices of vfmig.\v"
		     "Commands:\n%s\n'vfmigctl COMMAND --help' says more.", list) < 0)
		doc = NULL;
	argp.doc = need(doc);
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &first);
	free(list);
	free(doc);
	return run_command(commands, argv[0], argc - first, argv + first);
}
