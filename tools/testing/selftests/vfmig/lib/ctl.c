// SPDX-License-Identifier: GPL-2.0-only
/* See ctl.h */
#include "ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* In the source, and where the packages put it */
#define IN_SOURCE	"../../../vfmig/vfmigctl"
#define INSTALLED	"/usr/sbin/vfmigctl"

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

int ctl(const char *args, ...)
{
	va_list list;
	char *text;
	int status;

	va_start(list, args);
	must(vasprintf(&text, args, list) >= 0);
	va_end(list);
	status = tool("%s %s", program(), text);
	free(text);
	return status;
}

bool ctl_json(const char *expression, const char *args, ...)
{
	va_list list;
	char *text;
	bool is;

	va_start(list, args);
	must(vasprintf(&text, args, list) >= 0);
	va_end(list);
	is = tool_json(expression, "%s --json %s", program(), text);
	free(text);
	return is;
}
