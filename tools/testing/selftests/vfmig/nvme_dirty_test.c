// SPDX-License-Identifier: GPL-2.0-only
/*
 * A medium that changes by itself, on command (Documentation/faults.rst): what a session finds
 * dirty, and that the data stays what it is.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "source.h"

#include "harness.h"

/* LBAs of two of the three granules of RUN_A, and of those after it, which hold nothing */
#define SPAN		"16 31"
#define HOLES		"40 79"

FIXTURE(dirty)
{
	struct source src;
	struct session s;
	char file[128];
};

FIXTURE_SETUP(dirty)
{
	const char *why = source_open_with_runs(&self->src, IOMMU_TYPE1);

	if (why)
		SKIP(return, "%s", why);
	snprintf(self->file, sizeof(self->file), "%s", vf_debugfs(self->src.dev->bdf, "dirty"));
}

FIXTURE_TEARDOWN(dirty)
{
	if (self->file[0])
		file_write(self->file, "none");
	source_close(&self->src);
}

static bool is(const char *file, const char *text)
{
	char found[64];

	must(!file_read(file, found, sizeof(found)));
	return !strcmp(found, text);
}

/* Granules that were written */
static u64 written(const char *file)
{
	char found[64];
	unsigned long long number;

	must(!file_read(file, found, sizeof(found)));
	must(sscanf(found, "%*u %*u %*u %llu", &number) == 1);
	return number;
}

static u64 dirty_bytes(struct session *s)
{
	u64 initial, dirty;

	must(!precopy_info(s->fd, &initial, &dirty));
	return dirty;
}

TEST_F(dirty, dirties_its_span_in_a_session)
{
	u64 bytes;

	EXPECT_TRUE(is(self->file, "none"));
	ASSERT_EQ(file_write(self->file, "1048576 " SPAN "\n"), 0);
	EXPECT_TRUE(stays_false(written(self->file)));
	session_begin(&self->s, &self->src);
	/* What is to be read anyway can't become dirty */
	precopy_drain(self->s.fd, &self->s.blob);
	for (int i = 0; i < 3; i++) {
		ASSERT_TRUE(wait_until(dirty_bytes(&self->s) == RUN_BYTES(2)));
		EXPECT_TRUE(stays_false(dirty_bytes(&self->s) != RUN_BYTES(2)));
		precopy_drain(self->s.fd, &self->s.blob);
	}
	ASSERT_EQ(file_write(self->file, "none"), 0);
	EXPECT_TRUE(is(self->file, "none"));
	EXPECT_TRUE(session_drains_right(&self->s, &bytes));
	EXPECT_TRUE(stays_false(dirty_bytes(&self->s)));
	EXPECT_TRUE(session_moves_right(&self->s));
	session_end(&self->s);
}

/* Bytes per second, whatever the size of the span */
TEST_F(dirty, keeps_its_rate)
{
	u64 before, since, ms, granules;

	ASSERT_EQ(file_write(self->file, "409600 " SPAN), 0);
	session_begin(&self->s, &self->src);
	ASSERT_TRUE(wait_until(written(self->file)));
	before = written(self->file);
	since = now_ms();
	sleep_ms(300);
	granules = written(self->file) - before;
	ms = now_ms() - since;
	/* One each 10 ms, and what a look more or less has */
	EXPECT_LE(granules, ms / 10 + 4);
	EXPECT_GE(granules, 1);
	session_end(&self->s);
}

/* They take no memory, and a destination has nothing to hear of them */
TEST_F(dirty, leaves_holes_alone)
{
	ASSERT_EQ(file_write(self->file, "104857600 " HOLES), 0);
	session_begin(&self->s, &self->src);
	precopy_drain(self->s.fd, &self->s.blob);
	EXPECT_TRUE(stays_false(dirty_bytes(&self->s)));
	EXPECT_TRUE(is(self->file, "104857600 40 79 0"));
	EXPECT_TRUE(session_moves_right(&self->s));
	session_end(&self->s);
}

TEST_F(dirty, stops_with_the_device)
{
	u64 before;

	ASSERT_EQ(file_write(self->file, "104857600 " SPAN), 0);
	session_begin(&self->s, &self->src);
	ASSERT_TRUE(wait_until(written(self->file)));
	ASSERT_EQ(mig_set(self->src.dev, PRE_COPY_P2P, NULL), 0);
	before = written(self->file);
	EXPECT_TRUE(stays_false(written(self->file) != before));
	EXPECT_TRUE(session_moves_right(&self->s));
	session_end(&self->s);
}

TEST_F(dirty, refuses_nonsense)
{
	static const char * const bad[] = {
		"", "rock", "1", "1 2", "1 2 1", "0 1 2", "1 2 3 4", "x 1 2", "1 x 2", "1 2 x",
		"none 1 2", "104857601 0 7", "1 0 2048", "-1 0 7", "1 0 18446744073709551616",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		char line[64];

		snprintf(line, sizeof(line), "%s\n", bad[i]);
		EXPECT_EQ(file_write(self->file, line), -EINVAL)
			TH_LOG("%s", bad[i]);
	}
	EXPECT_TRUE(is(self->file, "none"));
}

TEST_HARNESS_MAIN
