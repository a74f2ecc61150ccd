/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the commands of vfmigctl have in common: options, arguments, messages, output.
 */
#ifndef VFMIGCTL_H
#define VFMIGCTL_H

#include <argp.h>

#include "types.h"

struct json_object;

/* Exit statuses */
enum {
	EXIT_OK,
	EXIT_FAILED,		/* what was asked for was not done, or a stream is wrong */
	EXIT_USAGE,		/* what was asked for makes no sense */
};

/**
 * struct options - options that every command has
 * @json: print JSON
 * @root: directory to look for /sys, /proc and /dev in, "" for the real ones
 */
struct options {
	bool json;
	const char *root;
};

extern struct options options;

/**
 * struct command - a command, or one of "stream"
 * @name: what it is called by
 * @args: its arguments, for the usage
 * @doc: what it does, in one line
 * @run: does it; @argv begins with its name; returns the exit status
 */
struct command {
	const char *name;
	const char *args;
	const char *doc;
	int (*run)(const struct command *command, int argc, char **argv);
};

extern const struct command list_command, show_command, watch_command, create_command,
	remove_command, set_command, erase_command, resize_command, fault_command, profile_command,
	stream_command;
extern const struct command decode_command, check_command, diff_command, extract_command;

#define MAX_ARGS	8U

/**
 * struct args - what a command takes
 * @min: arguments that it needs
 * @max: arguments that it takes, at most MAX_ARGS
 * @option: takes an option of its own, as an argp parser does; or NULL
 * @options: its own options, or NULL
 * @help: more than @doc of the command, or NULL
 * @data: for @option
 * @count: arguments that are there
 * @value: these
 */
struct args {
	unsigned int min;
	unsigned int max;
	error_t (*option)(int key, char *arg, struct argp_state *state, void *data);
	const struct argp_option *options;
	const char *help;
	void *data;
	unsigned int count;
	char *value[MAX_ARGS];
};

/* args.c */
extern const struct argp common_argp;
/* Exits with a message if they are wrong */
void parse_args(const struct command *command, struct args *args, int argc, char **argv);
/* The number that @text is; exits with a message that calls it @what if it is none */
u64 parse_number(const char *what, const char *text, u64 min, u64 max);
/* Runs the command that @argv begins with */
int run_command(const struct command *const *commands, const char *what, int argc, char **argv);
/*
 * The same where options may come before it; @what and @more are for --help, and @children has
 * the options.  @more and @children can be NULL.
 */
int run_group(const struct command *const *commands, const char *what, const char *more,
	      const struct argp_child *children, int argc, char **argv);
/* The text for --help */
char *list_commands(const struct command *const *commands);

/* output.c: a message on standard error; returns EXIT_FAILED */
int __printf(1, 2) fail(const char *format, ...);
/* There is no memory: exits */
void *need(const void *pointer);
/* Prints @object, and drops it */
void print_json(struct json_object *object);
/* "1.5 MiB" */
const char *size_text(u64 bytes, char *buf, size_t size);
#define SIZE_TEXT	16U
/* Prints the members of @object, one a line and indented by their depth */
void print_members(struct json_object *object, unsigned int depth);

#endif /* VFMIGCTL_H */
