// SPDX-License-Identifier: GPL-2.0-only
/* See figure.h */
#include "figure.h"
#include "pf.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

const char *figures_dir;
unsigned int figures_missed;

static int cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(const struct sample *s)
{
	struct sample sorted = *s;

	qsort(sorted.v, ROUNDS, sizeof(double), cmp_double);
	return sorted.v[ROUNDS / 2];
}

double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void write_samples(FILE *f, const char *name, const struct sample *s)
{
	fprintf(f, "  \"%s\": [", name);
	for (unsigned int i = 0; i < ROUNDS; i++)
		fprintf(f, "%s%g", i ? ", " : "", s->v[i]);
	fprintf(f, "],\n");
}

/* @verdict is of the target, NULL if there is none */
static void write_figure(const char *name, const char *a_name, const struct sample *a,
			 const char *b_name, const struct sample *b, const char *unit,
			 const char *verdict)
{
	char path[PATH_SIZE];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.json", figures_dir, name);
	f = fopen(path, "w");
	must(f);
	fprintf(f, "{\n  \"name\": \"%s\",\n  \"unit\": \"%s\",\n", name, unit);
	write_samples(f, a_name, a);
	write_samples(f, b_name, b);
	fprintf(f, "  \"ratio\": %.4f%s\n}\n", median(a) / median(b), verdict ?: "");
	must(!fclose(f));
}

void report(const char *name, const char *a_name, const struct sample *a, const char *b_name,
	    const struct sample *b, const char *unit, double target, bool at_least)
{
	double ratio = median(a) / median(b);
	bool met = at_least ? ratio >= target : ratio <= target;
	char verdict[80];

	printf("%-14s %6.2f  (%s %g : %s %g %s; target %s %g: %s)\n", name, ratio, a_name,
	       median(a), b_name, median(b), unit, at_least ? "at least" : "at most", target,
	       met ? "met" : "NOT MET");
	figures_missed += !met;
	snprintf(verdict, sizeof(verdict), ",\n  \"target\": \"%s %g\",\n  \"met\": %s",
		 at_least ? ">=" : "<=", target, met ? "true" : "false");
	write_figure(name, a_name, a, b_name, b, unit, verdict);
}

void show(const char *name, const char *a_name, const struct sample *a, const char *b_name,
	  const struct sample *b, const char *unit, const char *why)
{
	printf("%-14s %6.2f  (%s %g : %s %g %s; no target: %s)\n", name, median(a) / median(b),
	       a_name, median(a), b_name, median(b), unit, why);
	write_figure(name, a_name, a, b_name, b, unit, NULL);
}

void not_measured(const char *names, const char *why)
{
	printf("%s: NOT MEASURED: %s\n", names, why);
	figures_missed++;
}
