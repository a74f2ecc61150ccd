// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl stream: commands that read a migration stream.  They need neither the modules nor
 * root.
 */
#include <stdio.h>
#include <stdlib.h>

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

static error_t parse_command(int key, char *arg, struct argp_state *state)
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

static int run_stream(const struct command *command, int argc, char **argv)
{
	struct argp argp = { .parser = parse_command, .args_doc = "COMMAND [ARGUMENT]..." };
	char *list = list_commands(commands), *doc;
	int first = 0;

	(void)command;
	if (asprintf(&doc, "Reads migration streams, by themselves or in a file of QEMU.\v"
		     "Commands:\n%s\n'-' is standard input.", list) < 0)
		doc = NULL;
	argp.doc = need(doc);
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &first);
	free(list);
	free(doc);
	return run_command(commands, argv[0], argc - first, argv + first);
}

const struct command stream_command = {
	.name = "stream",
	.args = "COMMAND ...",
	.doc = "read a migration stream",
	.run = run_stream,
};
