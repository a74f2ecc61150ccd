// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arguments of a command, and which command it is.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vfmigctl.h"

struct options options = { .root = "" };

static const struct argp_option common_options[] = {
	{ "json", 'j', NULL, 0, "Print JSON", 90 },
	{ "root", 'R', "DIR", 0, "Look for /sys, /proc and /dev in DIR, not in /", 90 },
	{ 0 }
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	(void)state;
	switch (key) {
	case 'j':
		options.json = true;
		return 0;
	case 'R':
		options.root = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp common_argp = { .options = common_options, .parser = parse_common };

static error_t parse_own(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		if (args->count == args->max)
			argp_error(state, "one argument too many: '%s'", arg);
		else
			args->value[args->count++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (args->count < args->min)
			argp_error(state, "an argument is missing");
		return 0;
	default:
		return args->option ? args->option(key, arg, state, args->data) :
				      ARGP_ERR_UNKNOWN;
	}
}

static char *format(const char *format, const char *a, const char *b)
{
	char *text;

	if (asprintf(&text, format, a, b) < 0)
		text = NULL;
	return need(text);
}

void parse_args(const struct command *command, struct args *args, int argc, char **argv)
{
	const struct argp_child children[] = { { .argp = &common_argp }, { 0 } };
	struct argp argp = {
		.options = args->options,
		.parser = parse_own,
		.args_doc = command->args,
		.doc = format("%s%s", command->doc, args->help ? args->help : ""),
		.children = children,
	};

	argp_parse(&argp, argc, argv, 0, NULL, args);
	free((char *)argp.doc);
}

u64 parse_number(const char *what, const char *text, u64 min, u64 max)
{
	unsigned long long value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || !isdigit((unsigned char)*text) || *end || value < min || value > max) {
		fprintf(stderr, "vfmigctl: %s '%s' is no number from %llu to %llu\n", what, text,
			min, max);
		exit(EXIT_USAGE);
	}
	return value;
}

char *list_commands(const struct command *const *commands)
{
	char *text = NULL;
	size_t size;
	FILE *out = need(open_memstream(&text, &size));

	for (; *commands; commands++)
		fprintf(out, "  %-8s %-20s %s\n", (*commands)->name, (*commands)->args,
			(*commands)->doc);
	fclose(out);
	return need(text);
}

int run_command(const struct command *const *commands, const char *what, int argc, char **argv)
{
	for (; *commands; commands++) {
		if (strcmp((*commands)->name, argv[0]))
			continue;
		/* argp's messages begin with it */
		argv[0] = format("%s %s", what, argv[0]);
		return (*commands)->run(*commands, argc, argv);
	}
	fprintf(stderr, "%s: unknown command '%s' (see %s --help)\n", what, argv[0], what);
	return EXIT_USAGE;
}

/* The first argument is the command, and what follows it is the command's */
static error_t parse_group(int key, char *arg, struct argp_state *state)
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

int run_group(const struct command *const *commands, const char *what, const char *more,
	      const struct argp_child *children, int argc, char **argv)
{
	struct argp argp = {
		.parser = parse_group,
		.args_doc = "COMMAND [ARGUMENT]...",
		.children = children,
	};
	char *list = list_commands(commands), *doc;
	int first = 0;

	if (asprintf(&doc, "%s\vCommands:\n%s%s%s", what, list, more ? "\n" : "",
		     more ? more : "") < 0)
		doc = NULL;
	argp.doc = need(doc);
	argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &first);
	free(list);
	free(doc);
	return run_command(commands, argv[0], argc - first, argv + first);
}
