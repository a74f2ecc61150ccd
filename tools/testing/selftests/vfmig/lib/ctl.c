// SPDX-License-Identifier: GPL-2.0-only
/* See ctl.h */
#include "ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* In the source, and where the packages put it */
#define IN_SOURCE	"../../../vfmig/vfmigctl"
#define INSTALLED	"/usr/sbin/vfmigctl"

static char said[8192];

static const char *program(void)
{
	static char path[4096];

	if (program_file(IN_SOURCE, path, sizeof(path)))
		return path;
	return file_exists(INSTALLED) ? INSTALLED : NULL;
}

const char *ctl_require(void)
{
	if (!program())
		return "vfmigctl is not built and not installed";
	return file_exists("/usr/bin/python3") ? NULL : "no python3, which checks JSON";
}

/* What a shell runs, and keeps in @said.  Takes @command. */
static int run(char *command)
{
	FILE *pipe = popen(command, "r");
	size_t n;
	int status;

	must(pipe);
	n = fread(said, 1, sizeof(said) - 1, pipe);
	said[n] = '\0';
	status = pclose(pipe);
	must(WIFEXITED(status));
	free(command);
	return WEXITSTATUS(status);
}

int ctl(const char *args, ...)
{
	char *command, *rest;
	va_list list;

	va_start(list, args);
	must(vasprintf(&rest, args, list) >= 0);
	va_end(list);
	must(asprintf(&command, "%s %s 2>&1", program(), rest) >= 0);
	free(rest);
	return run(command);
}

const char *ctl_said(void)
{
	return said;
}

bool ctl_json(const char *expression, const char *args, ...)
{
	char *command, *rest;
	va_list list;

	va_start(list, args);
	must(vasprintf(&rest, args, list) >= 0);
	va_end(list);
	must(asprintf(&command, "%s --json %s | python3 -c 'import json, sys\n"
		      "d = json.load(sys.stdin)\n"
		      "if not (%s): sys.exit(json.dumps(d))' 2>&1",
		      program(), rest, expression) >= 0);
	free(rest);
	return !run(command);
}
