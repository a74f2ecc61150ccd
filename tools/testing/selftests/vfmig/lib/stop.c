// SPDX-License-Identifier: GPL-2.0-only
/* See stop.h */
#include "stop.h"

#include <stdio.h>
#include <unistd.h>

#include "figure.h"
#include "mig.h"
#include "rig.h"

#define MEDIUM_MB	128
/* The larger medium, unless that is more than five sixths of the memory that is free */
#define LARGE_MB	16384
#define RANGES		256
#define MORE_US		10000
#define MAX_TRIES	10
#define BEGIN_US	1000

struct bench {
	struct rig rig;
	u8 *buf;
};

static void fill_medium(struct bench *bench)
{
	for (u64 at = 0; at < MIB(MEDIUM_MB); at += MIB(1))
		nvme_write_bytes(&bench->rig.nvme, at, bench->buf, MIB(1));
}

static bool completed(struct nvme_queue *q)
{
	return (nvme_cqe_status(q, q->head) & 1) == q->phase;
}

/* A migration's arc from PRE_COPY to STOP_COPY, and back to RUNNING */
static double stop_us(struct bench *bench, int fd)
{
	struct vfio_dev *dev = &bench->rig.dev[0];
	double begin = now(), time;

	must(!mig_set(dev, STOP_COPY, NULL));
	time = (now() - begin) * 1e6;
	close(fd);
	return time;
}

static int begin_session(struct bench *bench)
{
	int fd;

	must(!mig_set(&bench->rig.dev[0], PRE_COPY, &fd));
	return fd;
}

static void end_session(struct bench *bench)
{
	must(!mig_set(&bench->rig.dev[0], RUNNING, NULL));
}

/* Stop after @cmd was submitted to @q; *@over: it completed before that */
static double stop_in(struct bench *bench, struct nvme_queue *q, const struct nvme_cmd *cmd,
		      bool *over)
{
	struct nvme *nvme = &bench->rig.nvme;
	int fd = begin_session(bench);
	u16 cid = nvme_submit(nvme, q, cmd);
	double us;

	nvme_ring(nvme, q);
	/* So that the device has begun */
	usleep(BEGIN_US);
	us = stop_us(bench, fd);
	*over = completed(q);
	end_session(bench);
	must(!nvme_wait(nvme, q, cid, NULL));
	return us;
}

/* A discard in a session is dealt with granule by granule */
static double stop_in_discard(struct bench *bench)
{
	struct nvme *nvme = &bench->rig.nvme;
	struct nvme_queue *q = &nvme->io[1];

	for (unsigned int i = 0; i < MAX_TRIES; i++) {
		struct nvme_cmd cmd;
		double us;
		bool over;

		fill_medium(bench);
		cmd = nvme_deallocate_cmd(nvme, q, 0, nvme->lbas, 1);
		us = stop_in(bench, q, &cmd, &over);
		if (!over)
			return us;
	}
	note("a discard of %u MiB is always over before the VF can be stopped", MEDIUM_MB);
	must(false);
	return 0;
}

/* Format NVM is soon over, what it leaves to free is not */
static double stop_after_format(struct bench *bench)
{
	struct nvme_cmd cmd = { .opcode = NVME_FORMAT_NVM, .nsid = 1 };

	for (unsigned int i = 0; i < MAX_TRIES; i++) {
		double us;
		bool over;

		fill_medium(bench);
		us = stop_in(bench, &bench->rig.nvme.admin, &cmd, &over);
		if (over)
			return us;
	}
	note("Format NVM does not complete within %u us", BEGIN_US);
	must(false);
	return 0;
}

static double stop_idle(struct bench *bench)
{
	double us;

	fill_medium(bench);
	us = stop_us(bench, begin_session(bench));
	end_session(bench);
	return us + MORE_US;
}

static void open_bench(struct bench *bench, unsigned int media_mb)
{
	struct pf_vfs vfs = { .count = 1, .media_mb = media_mb };

	must(!rig_open(&bench->rig, &vfs, IOMMU_TYPE1, 1));
	rig_start(&bench->rig);
	bench->buf = arena_alloc(&bench->rig.mem, MIB(1));
	fill_pattern(bench->buf, MIB(1), 1);
}

/* In MiB, whole GiB; 0 if there is no memory for one */
static unsigned int large_medium(void)
{
	u64 available = file_number("/proc/meminfo", "MemAvailable:") / 1024;
	u64 mb = available * 5 / 6 / 1024 * 1024;

	return mb < LARGE_MB ? mb : LARGE_MB;
}

/* Write what the discards before have deallocated: they begin at the same end */
static void refill(struct bench *bench, u64 size)
{
	u64 gone = size - vf_media_allocated(bench->rig.dev[0].bdf);

	for (u64 at = 0; at < gone; at += MIB(1))
		nvme_write_bytes(&bench->rig.nvme, at, bench->buf, MIB(1));
}

/* A discard of all that there is.  Most of it is left when the controller drops the command. */
static double stop_in_large_discard(struct bench *bench)
{
	struct nvme *nvme = &bench->rig.nvme;
	struct nvme_queue *q = &nvme->io[1];
	struct nvme_cmd cmd = nvme_deallocate_cmd(nvme, q, 0, nvme->lbas, RANGES);
	int fd = begin_session(bench);
	u16 depth = q->depth;
	double us;

	nvme_submit(nvme, q, &cmd);
	nvme_ring(nvme, q);
	usleep(BEGIN_US);
	us = stop_us(bench, fd);
	must(!completed(q));
	end_session(bench);
	nvme_restart(nvme);
	must(!nvme_create_io(nvme, 1, depth, 1));
	return us;
}

/*
 * What the time depends on is how long a command lasts, so this needs as large a medium as can be
 * had.  It is written once.
 */
static void bench_stop_large(void)
{
	unsigned int mb = large_medium();
	struct sample discard, idle;
	static struct bench bench;
	u64 limit = media_limit();
	char name[32];

	if (!mb) {
		not_measured("stop_large", "no memory for a larger medium");
		return;
	}
	media_limit_set(mb + 1024);
	open_bench(&bench, mb);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		refill(&bench, MIB(mb));
		idle.v[i] = stop_us(&bench, begin_session(&bench)) + MORE_US;
		end_session(&bench);
		discard.v[i] = stop_in_large_discard(&bench);
	}
	snprintf(name, sizeof(name), "discard_%u_mib", mb);
	report("stop_large", name, &discard, "idle_10_ms", &idle, "us", 1, false);
	rig_close(&bench.rig);
	media_limit_set(limit);
}

static void bench_stop_small(void)
{
	struct sample discard, format, idle;
	static struct bench bench;

	open_bench(&bench, MEDIUM_MB);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		idle.v[i] = stop_idle(&bench);
		discard.v[i] = stop_in_discard(&bench);
		format.v[i] = stop_after_format(&bench);
	}
	report("stop_in_discard", "discard", &discard, "idle_10_ms", &idle, "us", 1, false);
	report("stop_after_format", "format", &format, "idle_10_ms", &idle, "us", 1, false);
	rig_close(&bench.rig);
}

void bench_stop(void)
{
	bench_stop_small();
	bench_stop_large();
}
