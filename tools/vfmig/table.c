// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table that list and watch show, from the JSON description of the functions.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "device.h"
#include "vfmigctl.h"

enum column {
	COLUMN_FUNCTION,
	COLUMN_MODEL,
	COLUMN_STATE,
	COLUMN_SESSION,
	COLUMN_DONE,
	COLUMN_LEFT,
	COLUMN_RATE,
	COLUMN_DISK,
	COLUMN_USED,
	COLUMN_FAULTS,
	COLUMN_OPEN,
	COLUMNS,
};

static const char *const titles[COLUMNS] = {
	"FUNCTION", "MODEL", "STATE", "SESSION", "DONE", "LEFT", "PER SECOND", "DISK", "USED",
	"FAULTS", "OPEN BY",
};

#define CELL	48U
#define LINE	(COLUMNS * (CELL + 2))

struct row {
	char cell[COLUMNS][CELL];
	char line[LINE];
};

struct table {
	bool with_rate;
	size_t count;
	struct row *rows;
};

static struct json_object *member(struct json_object *object, const char *key)
{
	struct json_object *value;

	return object && json_object_object_get_ex(object, key, &value) ? value : NULL;
}

static void set_text(struct row *row, enum column column, struct json_object *value)
{
	snprintf(row->cell[column], CELL, "%.40s", value ? json_object_get_string(value) : "-");
}

static void set_size(struct row *row, enum column column, struct json_object *value, u64 unit)
{
	if (value)
		size_text(json_object_get_uint64(value) * unit, row->cell[column], CELL);
	else
		set_text(row, column, NULL);
}

static void set_openers(struct row *row, struct json_object *openers)
{
	size_t n = openers ? json_object_array_length(openers) : 0, used = 0;
	char *cell = row->cell[COLUMN_OPEN];

	snprintf(cell, CELL, "%s", openers ? "-" : "?");
	for (size_t i = 0; i < n && used < CELL; i++) {
		struct json_object *opener = json_object_array_get_idx(openers, i);

		used += snprintf(cell + used, CELL - used, "%s%s %s", i ? ", " : "",
				 json_object_get_string(member(opener, "command")),
				 json_object_get_string(member(opener, "pid")));
	}
}

/* What the same function had before */
static struct json_object *find_before(struct json_object *before, const char *bdf)
{
	for (size_t i = 0; before && i < json_object_array_length(before); i++) {
		struct json_object *vfs = member(json_object_array_get_idx(before, i),
						 "functions");

		for (size_t j = 0; vfs && j < json_object_array_length(vfs); j++) {
			struct json_object *vf = json_object_array_get_idx(vfs, j);

			if (!strcmp(json_object_get_string(member(vf, "function")), bdf))
				return vf;
		}
	}
	return NULL;
}

static void set_rate(struct row *row, struct json_object *vf, struct json_object *before,
		     double seconds)
{
	struct json_object *now = member(vf, "done"), *then;

	set_text(row, COLUMN_RATE, NULL);
	then = member(find_before(before, row->cell[COLUMN_FUNCTION] + 2), "done");
	if (now && then && seconds > 0 &&
	    json_object_get_uint64(now) >= json_object_get_uint64(then))
		size_text((json_object_get_uint64(now) - json_object_get_uint64(then)) / seconds,
			  row->cell[COLUMN_RATE], CELL);
}

static struct row *new_row(struct table *table)
{
	table->rows = need(realloc(table->rows, (table->count + 1) * sizeof(*table->rows)));
	memset(&table->rows[table->count], 0, sizeof(*table->rows));
	return &table->rows[table->count++];
}

static void add_vf(struct table *table, struct json_object *vf, struct json_object *before,
		   double seconds)
{
	struct row *row = new_row(table);

	snprintf(row->cell[COLUMN_FUNCTION], CELL, "  %s",
		 json_object_get_string(member(vf, "function")));
	set_text(row, COLUMN_MODEL, member(vf, "model"));
	set_text(row, COLUMN_STATE, member(vf, "state"));
	set_text(row, COLUMN_SESSION, member(vf, "session"));
	set_size(row, COLUMN_DONE, member(vf, "done"), 1);
	set_size(row, COLUMN_LEFT, member(vf, "left"), 1);
	set_rate(row, vf, before, seconds);
	set_size(row, COLUMN_DISK, member(vf, "media_mb"), 1 << 20);
	set_size(row, COLUMN_USED, member(vf, "media_allocated"), 1);
	set_text(row, COLUMN_FAULTS, member(vf, "faults"));
	set_openers(row, member(vf, "open_by"));
}

static void add_pf(struct table *table, struct json_object *pf)
{
	struct json_object *vfs = member(pf, "vfs"), *max = member(pf, "max_vfs");
	struct row *row = new_row(table);

	set_text(row, COLUMN_FUNCTION, member(pf, "function"));
	set_text(row, COLUMN_MODEL, member(pf, "model"));
	snprintf(row->cell[COLUMN_STATE], CELL, "%s of %s VFs",
		 vfs ? json_object_get_string(vfs) : "?", max ? json_object_get_string(max) : "?");
}

/* The columns as wide as they have to be */
static void make_lines(struct table *table)
{
	size_t width[COLUMNS] = {};

	for (size_t i = 0; i < table->count; i++)
		for (size_t column = 0; column < COLUMNS; column++)
			if (strlen(table->rows[i].cell[column]) > width[column])
				width[column] = strlen(table->rows[i].cell[column]);
	for (size_t i = 0; i < table->count; i++) {
		struct row *row = &table->rows[i];
		size_t used = 0;

		for (size_t column = 0; column < COLUMNS; column++)
			if (column != COLUMN_RATE || table->with_rate)
				used += snprintf(row->line + used, LINE - used, "%-*s  ",
						 (int)width[column], row->cell[column]);
		while (used && row->line[used - 1] == ' ')
			row->line[--used] = '\0';
	}
}

/* With @before, what @functions was @seconds ago, there are rates */
struct table *make_table(struct json_object *functions, struct json_object *before,
			 double seconds)
{
	struct table *table = need(calloc(1, sizeof(*table)));
	struct row *title = new_row(table);

	table->with_rate = before;
	for (size_t column = 0; column < COLUMNS; column++)
		snprintf(title->cell[column], CELL, "%s", titles[column]);
	for (size_t i = 0; i < json_object_array_length(functions); i++) {
		struct json_object *pf = json_object_array_get_idx(functions, i);
		struct json_object *vfs = member(pf, "functions");

		add_pf(table, pf);
		for (size_t j = 0; vfs && j < json_object_array_length(vfs); j++)
			add_vf(table, json_object_array_get_idx(vfs, j), before, seconds);
	}
	make_lines(table);
	return table;
}

size_t table_rows(const struct table *table)
{
	return table->count;
}

const char *table_row(const struct table *table, size_t row)
{
	return table->rows[row].line;
}

void free_table(struct table *table)
{
	free(table->rows);
	free(table);
}
