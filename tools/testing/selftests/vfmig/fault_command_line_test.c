// SPDX-License-Identifier: GPL-2.0-only
/*
 * The lines that set faults on command (Documentation/faults.rst): which are accepted, how they
 * are listed and cleared, and that each kind of nonsense is refused with the word that is wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

#include "harness.h"

FIXTURE(line)
{
	char pf[BDF_SIZE];
	char vf[2][BDF_SIZE];
};

FIXTURE_SETUP(line)
{
	const char *why = pf_require(&(struct pf_vfs){ .count = 2 }, self->pf);

	if (why)
		SKIP(return, "%s", why);
	for (unsigned int i = 0; i < 2; i++) {
		must(pf_vf(self->pf, i, self->vf[i]));
		why = command_begin(self->vf[i]);
		if (why)
			SKIP(return, "%s", why);
	}
}

FIXTURE_TEARDOWN(line)
{
	for (unsigned int i = 0; i < 2; i++)
		command_end(self->vf[i]);
}

static const char * const good[] = {
	"arc RUNNING->PRE_COPY errno=EIO",
	"arc RUNNING:PRE_COPY errno=EIO",
	"arc *->* delay=1",
	"arc *->STOP delay=60000 times=3",
	"arc STOP->* error once",
	"arc RESUMING->STOP reset nth=18446744073709551615",
	"arc PRE_COPY_P2P->STOP_COPY probability=1 seed=0 error",
	"arc STOP_COPY->STOP errno=ENOTRECOVERABLE probability=100%",
	"read rate=10M",
	"read at=0x10 stall=5 once",
	"write record=first refuse",
	"write refuse=ENOSPC record=last nth=2",
	"read at=1T flip=7 probability=3 seed=5",
	"read record=18446744073709551615 end",
	"read errno=EAGAIN record=2",
	"write short=1K",
	"precopy initial=0",
	"precopy dirty=16777215T once",
	"precopy stuck",
	"precopy jump=1G probability=20",
	"precopy grow=1M",
	"precopy reinit nth=3",
	"data-size set=0",
	"data-size divide=100",
	"data-size multiply=2 once",
	"log-start errno=ENOMEM",
	"log-report all",
	"log-report forget=10% seed=4",
	"arc RUNNING->STOP seed=0xffffffffffffffff errno=EBUSY probability=0x32 ",
};

TEST_F(line, is_listed_as_it_was_written)
{
	const char *bdf = self->vf[0];
	unsigned int id = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(good); i++) {
		char want[256];
		size_t len;

		EXPECT_EQ(command_try(bdf, "%s\n", good[i]), 0)
			TH_LOG("%s: %s", good[i], command_error(bdf));
		EXPECT_STREQ(command_error(bdf), "");
		EXPECT_EQ(command_count(bdf), i + 1);
		id = id ?: strtoul(command_list(bdf), NULL, 10);
		snprintf(want, sizeof(want), "%u 0 0 %s", id + i, good[i]);
		len = strlen(want);
		if (want[len - 1] == ' ')
			want[len - 1] = 0;
		EXPECT_NE(strstr(command_list(bdf), want), NULL)
			TH_LOG("no \"%s\" in \"%s\"", want, command_list(bdf));
	}
}

/* Lines, and what must be in the reason */
static const struct {
	const char *line;
	const char *why;
} bad[] = {
	{ "rock", "\"rock\"" },
	{ "ARC RUNNING->STOP error", "\"ARC\"" },
	{ "clearly", "\"clearly\"" },
	{ "clear x", "\"x\"" },
	{ "clear 0", "\"0\"" },
	{ "clear 1 2", "\"1 2\"" },
	{ "clear -1", "\"-1\"" },
	{ "arc", "FROM->TO" },
	{ "arc RUNNING", "\"RUNNING\"" },
	{ "arc errno=EIO", "\"errno=EIO\"" },
	{ "arc RUNNING->WALKING error", "\"WALKING\"" },
	{ "arc running->STOP error", "\"running\"" },
	{ "arc ->STOP error", "\"\"" },
	{ "arc RUNNING->RESUMING error", "\"RUNNING->RESUMING\"" },
	{ "arc *->ERROR error", "\"*->ERROR\"" },
	{ "arc ERROR->* error", "\"ERROR->*\"" },
	{ "arc RUNNING->STOP->RUNNING error", "\"STOP->RUNNING\"" },
	{ "arc RUNNING->STOP", "without an action" },
	{ "arc RUNNING->STOP once", "without an action" },
	{ "arc RUNNING->STOP errno", "\"errno\"" },
	{ "arc RUNNING->STOP errno=", "\"\"" },
	{ "arc RUNNING->STOP errno=5", "\"5\"" },
	{ "arc RUNNING->STOP errno=EEIO", "\"EEIO\"" },
	{ "arc RUNNING->STOP errno=ERESTARTSYS", "\"ERESTARTSYS\"" },
	{ "arc RUNNING->STOP error=1", "\"error\"" },
	{ "arc RUNNING->STOP fail", "\"fail\"" },
	{ "arc RUNNING->STOP error reset", "\"reset\"" },
	{ "arc RUNNING->STOP error error", "\"error\"" },
	{ "arc RUNNING->STOP delay=0", "\"0\"" },
	{ "arc RUNNING->STOP delay=60001", "\"60001\"" },
	{ "arc RUNNING->STOP delay=1s", "\"1s\"" },
	{ "arc RUNNING->STOP delay=1K", "\"1K\"" },
	{ "arc RUNNING->STOP delay=-1", "\"-1\"" },
	{ "arc RUNNING->STOP delay=+1", "\"+1\"" },
	{ "arc RUNNING->STOP delay=010x", "\"010x\"" },
	{ "arc RUNNING->STOP error once always", "\"always\"" },
	{ "arc RUNNING->STOP error nth=0", "\"0\"" },
	{ "arc RUNNING->STOP error nth=18446744073709551616", "\"18446744073709551616\"" },
	{ "arc RUNNING->STOP error nth=99999999999999999999999999", "\"9999999999" },
	{ "arc RUNNING->STOP error times=", "\"\"" },
	{ "arc RUNNING->STOP error probability=0", "\"0\"" },
	{ "arc RUNNING->STOP error probability=101", "\"101\"" },
	{ "arc RUNNING->STOP error probability=%", "\"%\"" },
	{ "arc RUNNING->STOP error probability=50%%", "\"50%\"" },
	{ "arc RUNNING->STOP error seed=1", "\"seed\"" },
	{ "arc RUNNING->STOP error once seed=1", "\"seed\"" },
	{ "arc RUNNING->STOP error once=1", "\"once\"" },
	{ "arc RUNNING->STOP error =", "\"\"" },
	{ "arc RUNNING->STOP error at=1", "\"at\" does not go with \"arc\"" },
	{ "arc RUNNING->STOP rate=1", "\"rate\"" },
	{ "read delay=1", "\"delay\"" },
	{ "read", "without an action" },
	{ "read at=5", "without an action" },
	{ "read at=5 record=5 end", "\"record\"" },
	{ "read record=0 end", "\"0\"" },
	{ "read record=middle end", "\"middle\"" },
	{ "read at=last end", "\"last\"" },
	{ "read at=16777216T end", "\"16777216T\"" },
	{ "read at=1P end", "\"1P\"" },
	{ "read at=K end", "\"K\"" },
	{ "read rate=0", "\"0\"" },
	{ "read rate=5 once", "\"rate\"" },
	{ "read rate=5 at=5", "\"rate\"" },
	{ "read short=0", "\"0\"" },
	{ "write short=5 record=1", "\"short\"" },
	{ "read flip=1", "\"flip\"" },
	{ "read flip=1 record=1", "\"flip\"" },
	{ "read flip=8 at=1", "\"8\"" },
	{ "write flip=1 at=1", "\"flip\"" },
	{ "write end at=1", "\"end\"" },
	{ "read refuse at=1", "\"refuse\"" },
	{ "write refuse", "\"refuse\"" },
	{ "write refuse=EAGAIN at=1", "\"EAGAIN\"" },
	{ "write refuse= at=1", "\"\"" },
	{ "write errno=EIO record=1", "\"errno\"" },
	{ "precopy at=5 stuck", "\"at\"" },
	{ "precopy initial", "\"initial\"" },
	{ "precopy initial=x", "\"x\"" },
	{ "precopy stall=1", "\"stall\"" },
	{ "precopy jump=0", "\"0\"" },
	{ "data-size reinit", "\"reinit\"" },
	{ "data-size divide=0", "\"0\"" },
	{ "data-size divide=1", "\"1\"" },
	{ "log-start all", "\"all\"" },
	{ "log-report forget=0", "\"0\"" },
	{ "log-report forget=101%", "\"101\"" },
	{ "log-report all seed=1", "\"seed\"" },
	{ "log-stop errno=EIO", "\"log-stop\"" },
	{ "arc RUNNING->STOP \303\244", "0xc3" },
	{ "arc RUNNING->STOP \001", "0x1" },
};

TEST_F(line, that_makes_no_sense_is_refused)
{
	const char *bdf = self->vf[0];
	unsigned int id = command(bdf, "arc *:STOP error");

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(command_try(bdf, "%s\n", bad[i].line), -EINVAL)
			TH_LOG("%s", bad[i].line);
		EXPECT_NE(strstr(command_error(bdf), bad[i].why), NULL)
			TH_LOG("%s: %s", bad[i].line, command_error(bdf));
		EXPECT_EQ(command_count(bdf), 1);
	}
	/* A number was not used up either */
	EXPECT_EQ(command(bdf, "arc *:STOP error"), id + 1);
	EXPECT_STREQ(command_error(bdf), "");
	/* The other VF has heard nothing of it */
	EXPECT_STREQ(command_error(self->vf[1]), "");
	EXPECT_EQ(command_count(self->vf[1]), 0);
}

TEST_F(line, that_is_too_long_is_refused)
{
	char line[600];

	snprintf(line, sizeof(line), "arc RUNNING->STOP %0500u", 0);
	EXPECT_EQ(command_try(self->vf[0], "%s\n", line), -EINVAL);
	EXPECT_NE(strstr(command_error(self->vf[0]), "127 bytes"), NULL)
		TH_LOG("%s", command_error(self->vf[0]));
}

TEST_F(line, is_cleared_by_its_number)
{
	const char *bdf = self->vf[0];
	unsigned int id[3];

	for (unsigned int i = 0; i < 3; i++)
		id[i] = command(bdf, "arc RUNNING->STOP delay=%u", i + 1);
	EXPECT_EQ(command_try(bdf, "clear %u", id[1]), 0);
	EXPECT_EQ(command_count(bdf), 2);
	EXPECT_EQ(strstr(command_list(bdf), "delay=2"), NULL);
	EXPECT_EQ(command_try(bdf, "clear %u", id[1]), -ENOENT);
	EXPECT_NE(strstr(command_error(bdf), "no fault"), NULL);
	/* Of the numbers none comes again */
	EXPECT_EQ(command(bdf, "arc RUNNING->STOP delay=4"), id[2] + 1);
	EXPECT_EQ(command_try(bdf, "  clear \t"), 0);
	EXPECT_STREQ(command_list(bdf), "");
	EXPECT_EQ(command_try(bdf, "clear"), 0);
	EXPECT_EQ(command(bdf, "arc RUNNING->STOP delay=5"), id[2] + 2);
}

TEST_F(line, may_come_with_others)
{
	const char *bdf = self->vf[0];
	static const char lines[] =
		"# a comment\n"
		"\n"
		"  \t\n"
		"arc RUNNING->STOP delay=1\n"
		"\tarc   RUNNING->STOP\tdelay=2  \r\n"
		"clear\n"
		"arc RUNNING->STOP delay=3\n"
		"arc RUNNING->STOP delay=4";

	EXPECT_EQ(command_try(bdf, "%s", lines), 0);
	EXPECT_EQ(command_count(bdf), 2);
	EXPECT_NE(strstr(command_list(bdf), "0 0 arc RUNNING->STOP delay=3\n"), NULL);
}

/* What was accepted before a refusal is told by the length, as with any write() */
TEST_F(line, that_is_refused_keeps_those_before)
{
	const char *bdf = self->vf[0];
	static const char lines[] = "arc RUNNING->STOP delay=1\narc RUNNING->STOP nonsense\n";
	int fd = open(command_path(bdf, "faults"), O_WRONLY);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(write(fd, lines, strlen(lines)), (ssize_t)(strchr(lines, '\n') + 1 - lines));
	EXPECT_EQ(write(fd, strchr(lines, '\n') + 1, strlen(strchr(lines, '\n') + 1)), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_NE(strstr(command_error(bdf), "\"nonsense\""), NULL);
	EXPECT_EQ(command_count(bdf), 1);
	/* A byte 0 is none of text */
	EXPECT_EQ(write(fd, "arc\0", 4), -1);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_EQ(write(fd, "", 0), 0);
	close(fd);
}

/* A write() looks at 4096 bytes, which end anywhere */
TEST_F(line, that_is_cut_by_the_size_of_a_write)
{
	char text[6000] = "";
	const char *from = text;
	size_t len = 0, left;
	int fd;

	for (unsigned int i = 0; i < 150; i++)
		len += sprintf(text + len, "# %030u\n", i);
	for (unsigned int i = 1; i <= 20; i++)
		len += sprintf(text + len, "arc RUNNING->STOP delay=%u\n", i);
	fd = open(command_path(self->vf[0], "faults"), O_WRONLY);
	ASSERT_GE(fd, 0);
	for (left = len; left;) {
		ssize_t n = write(fd, from, left);

		ASSERT_GT(n, 0);
		from += n;
		left -= n;
	}
	close(fd);
	EXPECT_EQ(command_count(self->vf[0]), 20);
}

TEST_F(line, cannot_be_one_too_many)
{
	for (unsigned int i = 0; i < 64; i++)
		command(self->vf[0], "arc RUNNING->STOP delay=%u", i + 1);
	EXPECT_EQ(command_try(self->vf[0], "arc RUNNING->STOP error"), -ENOSPC);
	EXPECT_EQ(command_count(self->vf[0]), 64);
	command(self->vf[1], "arc RUNNING->STOP error");
	EXPECT_EQ(command_try(self->vf[0], "clear"), 0);
	command(self->vf[0], "arc RUNNING->STOP error");
}

TEST_HARNESS_MAIN
