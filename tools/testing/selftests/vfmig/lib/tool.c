// SPDX-License-Identifier: GPL-2.0-only
/* See tool.h */
#include "tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static char said[16384];

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

int tool(const char *command, ...)
{
	char *line, *text;
	va_list list;

	va_start(list, command);
	must(vasprintf(&text, command, list) >= 0);
	va_end(list);
	must(asprintf(&line, "{ %s; } 2>&1", text) >= 0);
	free(text);
	return run(line);
}

const char *tool_said(void)
{
	return said;
}

bool tool_json(const char *expression, const char *command, ...)
{
	char *line, *text;
	va_list list;

	va_start(list, command);
	must(vasprintf(&text, command, list) >= 0);
	va_end(list);
	must(asprintf(&line, "{ %s | python3 -c 'import json, sys\n"
		      "d = json.load(sys.stdin)\n"
		      "if not (%s): sys.exit(json.dumps(d))'; } 2>&1", text, expression) >= 0);
	free(text);
	return !run(line);
}
