// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl profile: which driver a VF behaves like, to its user.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "setting.h"
#include "sys.h"
#include "vfmigctl.h"

static const char *reason(int error)
{
	switch (error) {
	case EBUSY:
		return "the VF is open";
	case EINVAL:
		return "there is no such profile";
	case EOPNOTSUPP:
		return "the device can't do what the profile offers";
	default:
		return strerror(error);
	}
}

/* All names, of which the kernel has the current one in brackets */
static void print_profiles(char *text)
{
	struct json_object *out = json_object_new_object(), *all = json_object_new_array();
	char *word, *rest = text;

	while ((word = strsep(&rest, " "))) {
		bool is_current = *word == '[';

		if (is_current) {
			word++;
			word[strcspn(word, "]")] = '\0';
			json_object_object_add(out, "profile", json_object_new_string(word));
		}
		json_object_array_add(all, json_object_new_string(word));
		if (!options.json)
			printf("%c %s\n", is_current ? '*' : ' ', word);
	}
	json_object_object_add(out, "profiles", all);
	if (options.json)
		print_json(out);
	else
		json_object_put(out);
}

static int run_profile(const struct command *command, int argc, char **argv)
{
	struct args args = {
		.min = 1,
		.max = 2,
		.help = "\vWithout a name, says which there are.  'none' is the VF as it is.",
	};
	struct function vf;
	char *text;
	int error;

	parse_args(command, &args, argc, argv);
	if (!get_function(args.value[0], WANT_VF, &vf))
		return EXIT_FAILED;
	text = sys_read(DEBUG_DRIVER "/%s/profile", vf.bdf);
	if (!text)
		return no_driver_file(&vf, "profiles");
	if (args.count == 1)
		print_profiles(text);
	free(text);
	if (args.count == 1)
		return EXIT_OK;
	error = sys_write(args.value[1], DEBUG_DRIVER "/%s/profile", vf.bdf);
	return error ? fail("%s: '%s': %s", vf.bdf, args.value[1], reason(-error)) : EXIT_OK;
}

const struct command profile_command = {
	.name = "profile",
	.args = "VF [NAME]",
	.doc = "make a VF behave as one of another driver",
	.run = run_profile,
};
