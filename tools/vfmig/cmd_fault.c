// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl fault: what a VF does wrong on purpose.  Documentation/faults.rst has the words of a
 * fault; the kernel knows them, and this does not.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "setting.h"
#include "sys.h"
#include "vfmigctl.h"

/* Writes a line, and prints the kernel's reason if it is refused */
static int write_line(const struct function *vf, const char *line)
{
	char *why;
	int error;

	if (strchr(line, '\n'))
		return fail("a fault is one line");
	if (!sys_exists(DEBUG_DRIVER "/%s/faults", vf->bdf))
		return no_driver_file(vf, "faults");
	error = sys_write(line, DEBUG_DRIVER "/%s/faults", vf->bdf);
	if (!error)
		return EXIT_OK;
	why = sys_read(DEBUG_DRIVER "/%s/fault_error", vf->bdf);
	fail("%s: %s", vf->bdf, why && *why ? why : strerror(-error));
	free(why);
	return EXIT_FAILED;
}

/* The words from @first on, with blanks between them */
static char *join(const struct args *args, unsigned int first)
{
	char *text = NULL;
	size_t size;
	FILE *out = need(open_memstream(&text, &size));

	for (unsigned int i = first; i < args->count; i++)
		fprintf(out, "%s%s", i > first ? " " : "", args->value[i]);
	fclose(out);
	return need(text);
}

static int run_add(const struct command *command, int argc, char **argv)
{
	struct args args = {
		.min = 2,
		.max = MAX_ARGS,
		.help = "\vThe words are those of vfmig's documentation, faults.rst: 'arc "
			"PRE_COPY_P2P:STOP_COPY errno=EIO once' for example.",
	};
	struct function vf;
	char *line;
	int ret;

	parse_args(command, &args, argc, argv);
	if (!get_function(args.value[0], WANT_VF, &vf))
		return EXIT_FAILED;
	line = join(&args, 1);
	ret = write_line(&vf, line);
	free(line);
	return ret;
}

static int run_clear(const struct command *command, int argc, char **argv)
{
	struct args args = { .min = 1, .max = 2 };
	struct function vf;
	char line[32] = "clear";

	parse_args(command, &args, argc, argv);
	if (args.count == 2)
		snprintf(line, sizeof(line), "clear %llu",
			 parse_number("fault", args.value[1], 1, UINT32_MAX));
	if (!get_function(args.value[0], WANT_VF, &vf))
		return EXIT_FAILED;
	return write_line(&vf, line);
}

/* A line of the kernel: "NUMBER HAPPENED COULD WORDS" */
static struct json_object *describe_fault(const char *line)
{
	struct json_object *fault = json_object_new_object();
	unsigned long long done = 0, could = 0;
	unsigned int number = 0;
	int words = 0;

	if (sscanf(line, "%u %llu %llu %n", &number, &done, &could, &words) != 3)
		words = 0;
	json_object_object_add(fault, "number", json_object_new_int64(number));
	json_object_object_add(fault, "happened", json_object_new_uint64(done));
	json_object_object_add(fault, "could_happen", json_object_new_uint64(could));
	json_object_object_add(fault, "fault", json_object_new_string(line + words));
	return fault;
}

static void list_faults(char *text)
{
	struct json_object *list = json_object_new_array();
	char *rest = text, *line;

	while ((line = strsep(&rest, "\n"))) {
		if (!*line)
			continue;
		if (options.json)
			json_object_array_add(list, describe_fault(line));
		else
			puts(line);
	}
	if (options.json)
		print_json(list);
	else
		json_object_put(list);
}

static int run_list(const struct command *command, int argc, char **argv)
{
	struct args args = {
		.min = 1,
		.max = 1,
		.help = "\vA line is the number of the fault, how often it has happened, how often "
			"it could have happened, and its words.",
	};
	struct function vf;
	char *text;

	parse_args(command, &args, argc, argv);
	if (!get_function(args.value[0], WANT_VF, &vf))
		return EXIT_FAILED;
	text = sys_read(DEBUG_DRIVER "/%s/faults", vf.bdf);
	if (!text)
		return no_driver_file(&vf, "faults");
	list_faults(text);
	free(text);
	return EXIT_OK;
}

static const struct command add_fault = {
	.name = "add",
	.args = "VF WORD...",
	.doc = "make a VF do something wrong",
	.run = run_add,
};

static const struct command list_faults_command = {
	.name = "list",
	.args = "VF",
	.doc = "the faults of a VF",
	.run = run_list,
};

static const struct command clear_fault = {
	.name = "clear",
	.args = "VF [NUMBER]",
	.doc = "remove a fault, or all",
	.run = run_clear,
};

static const struct command *const commands[] = {
	&add_fault, &list_faults_command, &clear_fault, NULL
};

static int run_fault(const struct command *command, int argc, char **argv)
{
	(void)command;
	return run_group(commands, "Makes a VF do something wrong on purpose.", NULL, NULL, argc,
			 argv);
}

const struct command fault_command = {
	.name = "fault",
	.args = "COMMAND ...",
	.doc = "make a VF do something wrong",
	.run = run_fault,
};
