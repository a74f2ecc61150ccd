// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfmigctl watch: the table of list, over and over, with what moves per second.
 */
#include <curses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "device.h"
#include "vfmigctl.h"

/**
 * struct watch - what is watched
 * @delay: seconds between two looks
 * @count: looks to take, 0 for no end
 * @before: what was seen at the last look
 * @when: when that was, in seconds
 * @top: first row that is shown below the title
 */
struct watch {
	double delay;
	u64 count;
	struct json_object *before;
	double when;
	size_t top;
};

static const struct argp_option watch_options[] = {
	{ "delay", 'd', "SECONDS", 0, "Look again after so long, 0.1 or more (1)", 0 },
	{ "count", 'n', "NUMBER", 0, "Look so many times, then end", 0 },
	{ 0 }
};

static error_t parse_watch(int key, char *arg, struct argp_state *state, void *data)
{
	struct watch *watch = data;
	char *end;

	switch (key) {
	case 'd':
		watch->delay = strtod(arg, &end);
		if (end == arg || *end || !(watch->delay >= 0.1 && watch->delay <= 86400))
			argp_error(state, "delay '%s' is no number from 0.1 to 86400", arg);
		return 0;
	case 'n':
		watch->count = parse_number("count", arg, 1, ~0U);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* One look, which becomes the last one */
static struct table *look(struct watch *watch)
{
	struct json_object *functions = describe_functions(false);
	double when = now();
	struct table *table;

	/* The first has nothing before it, and the column of rates all the same */
	table = make_table(functions, watch->before ? watch->before : functions,
			   watch->before ? when - watch->when : 0);
	json_object_put(watch->before);
	watch->before = functions;
	watch->when = when;
	return table;
}

/* A line of JSON for each look, for other programs */
static int watch_json(struct watch *watch)
{
	for (u64 i = 0; !watch->count || i < watch->count; i++) {
		struct json_object *functions;

		if (i)
			usleep(watch->delay * 1e6);
		functions = describe_functions(false);
		puts(json_object_to_json_string_ext(functions, JSON_C_TO_STRING_PLAIN |
						    JSON_C_TO_STRING_NOSLASHESCAPE));
		json_object_put(functions);
		if (fflush(stdout))
			return EXIT_FAILED;
	}
	return EXIT_OK;
}

static void draw(struct watch *watch, struct table *table)
{
	size_t rows = table_rows(table) - 1, room = LINES > 2 ? LINES - 2 : 0;

	if (watch->top + room > rows)
		watch->top = rows > room ? rows - room : 0;
	erase();
	attron(A_REVERSE);
	mvprintw(0, 0, "%-*.*s", COLS, COLS, table_row(table, 0));
	attroff(A_REVERSE);
	for (size_t i = 0; i < room && watch->top + i < rows; i++)
		mvaddnstr(1 + i, 0, table_row(table, watch->top + i + 1), COLS);
	mvprintw(LINES - 1, 0, "%zu functions, every %.1f s   arrows scroll, q quits", rows,
		 watch->delay);
	refresh();
}

/* Handles keys until it is time for the next look; false to end */
static bool wait_for_keys(struct watch *watch, struct table *table)
{
	double left;

	while ((left = watch->when + watch->delay - now()) > 0) {
		timeout(left * 1000 + 1);
		switch (getch()) {
		case 'q':
		case 'Q':
			return false;
		case KEY_DOWN:
			watch->top++;
			break;
		case KEY_UP:
			watch->top -= !!watch->top;
			break;
		case KEY_NPAGE:
			watch->top += LINES;
			break;
		case KEY_PPAGE:
			watch->top -= watch->top > (size_t)LINES ? (size_t)LINES : watch->top;
			break;
		case KEY_RESIZE:
			break;
		default:
			continue;
		}
		draw(watch, table);
	}
	return true;
}

static int watch_screen(struct watch *watch)
{
	bool more = true;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return fail("watch needs a terminal (or --json)");
	if (!initscr())
		return fail("can't use this terminal");
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	for (u64 i = 0; more && (!watch->count || i < watch->count); i++) {
		struct table *table = look(watch);

		draw(watch, table);
		more = wait_for_keys(watch, table);
		free_table(table);
	}
	endwin();
	json_object_put(watch->before);
	return EXIT_OK;
}

static int run_watch(const struct command *command, int argc, char **argv)
{
	struct watch watch = { .delay = 1 };
	struct args args = {
		.option = parse_watch,
		.options = watch_options,
		.data = &watch,
		.help = "\vOn a terminal the arrow keys scroll, and q ends it.  With --json a "
			"line is printed for each look.",
	};

	parse_args(command, &args, argc, argv);
	return options.json ? watch_json(&watch) : watch_screen(&watch);
}

const struct command watch_command = {
	.name = "watch",
	.args = "",
	.doc = "list PFs and VFs, again and again",
	.run = run_watch,
};
