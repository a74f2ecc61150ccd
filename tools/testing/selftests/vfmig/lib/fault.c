// SPDX-License-Identifier: GPL-2.0-only
/* See fault.h */
#include "fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pf.h"
#include "vfio_dev.h"

#define DEBUGFS		"/sys/kernel/debug/"
#define FAIL_NTH	"/proc/thread-self/fail-nth"
/* The most that the kernel looks at */
#define DEPTH		32
#define MOST_ROUNDS	1000

static const char * const injectors[] = { "failslab", "fail_page_alloc" };

#define USERCOPY	"fail_usercopy"

/* All that is changed here.  The first two, which are put back first, end it. */
static const char * const settings[] = {
	"failslab/probability", "fail_page_alloc/probability",
	"failslab/interval", "fail_page_alloc/interval",
	"failslab/times", "fail_page_alloc/times",
	"failslab/space", "fail_page_alloc/space",
	"failslab/verbose", "fail_page_alloc/verbose",
	"failslab/task-filter", "fail_page_alloc/task-filter",
	"failslab/stacktrace-depth", "fail_page_alloc/stacktrace-depth",
	"failslab/require-start", "fail_page_alloc/require-start",
	"failslab/require-end", "fail_page_alloc/require-end",
	"failslab/reject-start", "fail_page_alloc/reject-start",
	"failslab/reject-end", "fail_page_alloc/reject-end",
	"failslab/ignore-gfp-wait", "fail_page_alloc/ignore-gfp-wait",
	"failslab/cache-filter",
	"fail_page_alloc/ignore-gfp-highmem", "fail_page_alloc/min-order",
	"fail_usercopy/verbose", "fail_usercopy/stacktrace-depth",
	"fail_usercopy/require-start", "fail_usercopy/require-end",
};

#define NUM_SETTINGS	ARRAY_SIZE(settings)

/* Every test runs in a process of its own; the first of them is who comes after all */
static struct {
	pid_t owner;
	bool changed;
	char was[NUM_SETTINGS][32];
	u64 books_start, books_end;	/* a function of kmemleak's */
} *shared;

static int nth_fd = -1;

static const char *setting_path(const char *name)
{
	static _Thread_local char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s", name);
	return path;
}

static void restore(void)
{
	if (shared->owner != getpid() || !shared->changed)
		return;
	for (unsigned int i = 0; i < NUM_SETTINGS; i++)
		if (shared->was[i][0])
			file_write(setting_path(settings[i]), shared->was[i]);
}

/* Whoever is tired of waiting for a test */
static void restore_and_end(int sig)
{
	restore();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void __attribute__((constructor)) init_shared(void)
{
	shared = shared_alloc(sizeof(*shared));
	shared->owner = getpid();
	atexit(restore);
	signal(SIGTERM, restore_and_end);
}

/* The next symbol of the kernel and its modules, which come in any order */
static bool next_symbol(FILE *symbols, u64 *address, char symbol[256])
{
	char line[512];

	while (fgets(line, sizeof(line), symbols))
		if (sscanf(line, "%llx %*c %255s", address, symbol) == 2)
			return true;
	return false;
}

/* Where a function of the kernel is; nowhere if there is no such function */
static void find_function(const char *name, u64 *start, u64 *end)
{
	FILE *symbols = fopen("/proc/kallsyms", "r");
	char symbol[256];
	u64 address;

	must(symbols);
	*start = 0;
	*end = 0;
	while (!*start && next_symbol(symbols, &address, symbol))
		if (!strcmp(symbol, name))
			*start = address;
	rewind(symbols);
	while (*start && next_symbol(symbols, &address, symbol))
		if (address > *start && (!*end || address < *end))
			*end = address;
	fclose(symbols);
}

static void save(void)
{
	if (shared->changed)
		return;
	for (unsigned int i = 0; i < NUM_SETTINGS; i++)
		if (file_read(setting_path(settings[i]), shared->was[i], sizeof(shared->was[i])))
			shared->was[i][0] = 0;
	/* What kmemleak allocates for its books, at each allocation, it can do without */
	find_function("__alloc_object", &shared->books_start, &shared->books_end);
	shared->changed = true;
}

static void set_one(const char *injector, const char *name, const char *value)
{
	char setting[64];

	snprintf(setting, sizeof(setting), "%s/%s", injector, name);
	must(!file_write(setting_path(setting), value));
}

static void set_number(const char *injector, const char *name, u64 value)
{
	char text[32];

	snprintf(text, sizeof(text), "%#llx", value);
	set_one(injector, name, text);
}

static void set_both(const char *name, u64 value)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(injectors); i++)
		set_number(injectors[i], name, value);
}

/* Where the modules are whose name begins with @name, as one range */
static void find_modules(const char *name, u64 *start, u64 *end)
{
	char line[512], module[64];
	u64 base, size;
	FILE *modules;

	*start = ~0ULL;
	*end = 0;
	modules = fopen("/proc/modules", "r");
	must(modules);
	while (fgets(line, sizeof(line), modules)) {
		if (sscanf(line, "%63s %llu %*s %*s %*s %llx", module, &size, &base) != 3 ||
		    strncmp(module, name, strlen(name)))
			continue;
		*start = base < *start ? base : *start;
		*end = base + size > *end ? base + size : *end;
	}
	fclose(modules);
	must(*start && *start < *end);
}

static void set_range(const char *what, u64 start, u64 end)
{
	char name[32];

	snprintf(name, sizeof(name), "%s-start", what);
	set_both(name, start);
	snprintf(name, sizeof(name), "%s-end", what);
	set_both(name, end);
}

static void fault_below(u64 start, u64 end)
{
	set_range("require", start, end);
	set_both("stacktrace-depth", DEPTH);
	/* Of a stack of no depth nothing is in the range */
	set_number(USERCOPY, "require-start", start);
	set_number(USERCOPY, "require-end", end);
	set_number(USERCOPY, "stacktrace-depth", 0);
}

void fault_below_us(void)
{
	u64 start, end;

	find_modules("vfmig_", &start, &end);
	fault_below(start, end);
}

void fault_below_function(const char *name)
{
	u64 start, end;

	find_function(name, &start, &end);
	must(start);
	fault_below(start, end);
}

void fault_not_below_functions(const char *first, const char *last)
{
	u64 start, end, unused;

	find_function(first, &start, &unused);
	find_function(last, &unused, &end);
	must(start && start < end);
	set_range("reject", start, end);
}

void fault_not_below_function(const char *name)
{
	fault_not_below_functions(name, name);
}

void fault_only_at_once(bool only)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(injectors); i++)
		set_one(injectors[i], "ignore-gfp-wait", only ? "Y" : "N");
}

void fault_copies_below_us(void)
{
	set_both("stacktrace-depth", 0);
	set_number(USERCOPY, "stacktrace-depth", DEPTH);
}

static void start_rate(unsigned int interval, const char *times)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(injectors); i++) {
		set_one(injectors[i], "task-filter", "N");
		set_one(injectors[i], "times", times);
	}
	set_both("space", 0);
	set_both("interval", interval);
	set_both("probability", 100);
}

/* More than a test ever has refused */
#define MANY	"1000000"

void fault_rate(unsigned int interval)
{
	u64 start, end;

	find_modules("vfmig_vfio_pci", &start, &end);
	set_range("reject", start, end);
	start_rate(interval, MANY);
}

void fault_pages(unsigned int interval)
{
	fault_rate(interval);
	set_one("failslab", "probability", "0");
}

u64 fault_count(void)
{
	u64 count = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(injectors); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s/times", injectors[i]);
		count += strtoull(MANY, NULL, 10) - file_u64(setting_path(name), 0);
	}
	return count;
}

void fault_once(unsigned int interval)
{
	start_rate(interval, "1");
}

bool fault_stop(void)
{
	bool once = false;

	set_both("probability", 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(injectors); i++) {
		char name[64];

		snprintf(name, sizeof(name), "%s/times", injectors[i]);
		once |= !file_u64(setting_path(name), 1);
	}
	set_range("reject", shared->books_start, shared->books_end);
	return once;
}

const char *fault_init(void)
{
	if (!file_exists(FAIL_NTH))
		return "this kernel has no fault injection (no " FAIL_NTH ")";
	for (unsigned int i = 0; i < ARRAY_SIZE(injectors); i++)
		if (!file_exists(setting_path(injectors[i])))
			return "this kernel refuses no memory (no failslab or fail_page_alloc)";
	if (!file_exists(setting_path(USERCOPY)))
		return "this kernel fails no copies (no " USERCOPY ")";
	if (!file_exists(setting_path("failslab/require-start")))
		return "this kernel can't tell whose memory to refuse (no require-start)";

	/* Then they have no address range of their own */
	if (sim_built_in())
		return "our drivers are built in: this kernel can't tell whose memory to refuse";
	if (!file_exists("/sys/module/vfmig_vfio_pci"))
		return "vfmig_sim is not loaded";

	save();
	set_both("verbose", 0);
	/* By default those that may sleep are left alone, and single pages, and user pages */
	fault_only_at_once(false);
	set_one("failslab", "cache-filter", "N");
	set_one("fail_page_alloc", "ignore-gfp-highmem", "N");
	set_one("fail_page_alloc", "min-order", "0");
	set_number(USERCOPY, "verbose", 0);
	fault_below_us();
	fault_stop();
	fault_in_worker(NULL);
	return NULL;
}

void fault_in_worker(const char *bdf)
{
	char path[PATH_SIZE] = FAIL_NTH;
	pid_t worker;

	if (bdf) {
		worker = vfio_worker(bdf, getpid());
		must(worker);
		snprintf(path, sizeof(path), "/proc/self/task/%d/fail-nth", worker);
	}
	if (nth_fd >= 0)
		close(nth_fd);
	nth_fd = open(path, O_RDWR | O_CLOEXEC);
	must(nth_fd >= 0);
}

bool sweep_next(struct sweep *sweep)
{
	/* The one before went through as it was, and was not the first */
	if (sweep->round > sweep->refused + 1)
		return false;
	must(++sweep->round < MOST_ROUNDS);
	return true;
}

static void write_nth(unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	must(pwrite(nth_fd, text, len, 0) == len);
}

void sweep_begin(struct sweep *sweep)
{
	write_nth(sweep->round - 1);
}

bool sweep_end(struct sweep *sweep)
{
	char left[16] = "";

	must(pread(nth_fd, left, sizeof(left) - 1, 0) > 0);
	write_nth(0);
	if (sweep->round == 1 || strcmp(left, "0\n"))
		return false;
	sweep->refused++;
	return true;
}
