// SPDX-License-Identifier: GPL-2.0-only
/*
 * Speed of the migration path, no test: "vfmig_bench DIR" prints figures and
 * writes one DIR/NAME.json for each.
 *
 * Machines differ, and a shared one differs from minute to minute.  So every
 * figure is a ratio of two things that were measured in turns in the same run,
 * each at least ROUNDS times: of their medians.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"
#include "dirty.h"
#include "figure.h"
#include "mig.h"
#include "nvme.h"
#include "precopy.h"
#include "stop.h"

#define MEDIUM_MB	256
#define CRC_MB		32
#define MANY_MB		8
/* With fewer the machine itself scales badly, which "scaling" allows for */
#define MANY_CORES	8
#define INFO_CALLS	20000
#define THIN_MB		4096
#define FEW_CHUNKS	64	/* of 1 MiB each, with something in them */
#define DRAIN_GRANULES	10
#define SLICE		255	/* commands that are timed together */
#define SLICES		12
#define DIRTY_PAGES	1000
#define REPORT_IOVA	0x1000000000ULL
#define REPORT_SMALL	(1ULL << 30)
#define REPORT_LARGE	(64 * REPORT_SMALL)
#define BATCH		16	/* what the driver has PRP lists for at a time */

/* An open VF; nvme is its driver if it has one */
struct bench_vf {
	struct iommu iommu;
	struct vfio_dev dev;
	struct arena mem;
	struct nvme nvme;
	u8 *buf;
};

static void vf_drive(struct bench_vf *vf, u64 seed)
{
	arena_init(&vf->mem);
	arena_map(&vf->mem, &vf->iommu);
	nvme_init(&vf->nvme, &vf->dev, &vf->mem);
	must(!nvme_create_io(&vf->nvme, 1, SLICE + 1, -1));
	vf->buf = arena_alloc(&vf->mem, MIB(1));
	fill_pattern(vf->buf, MIB(1), seed);
}

/* With a driver, and so many bytes of the medium written, if these are any */
static void vf_open(struct bench_vf *vf, const char *pf, unsigned int index,
		    enum iommu_mode mode, size_t filled)
{
	char bdf[BDF_SIZE];

	must(pf_vf(pf, index, bdf));
	must(!iommu_init(&vf->iommu, mode));
	must(!vfio_open(&vf->dev, &vf->iommu, bdf));
	if (!filled)
		return;
	vf_drive(vf, index + 1);
	for (size_t done = 0; done < filled; done += MIB(1))
		nvme_write_bytes(&vf->nvme, done, vf->buf, MIB(1));
}

static void vf_close(struct bench_vf *vf)
{
	vfio_close(&vf->dev);
	iommu_exit(&vf->iommu);
	if (vf->mem.size)
		arena_exit(&vf->mem);
}

static void write_all(int fd, const u8 *data, size_t len)
{
	for (size_t done = 0; done < len;) {
		size_t want = len - done < BUFFER ? len - done : BUFFER;
		ssize_t n = write(fd, data + done, want);

		must(n > 0);
		done += n;
	}
}

static double save_rate(struct vfio_dev *dev, u8 *buf)
{
	double begin, rate;
	int fd;

	must(!mig_set(dev, STOP_COPY, &fd));
	begin = now();
	rate = read_all(fd, buf) / (now() - begin) / 1e6;
	close(fd);
	must(!mig_set(dev, STOP, NULL));
	return rate;
}

static int tmpfs_file(const u8 *data, size_t len)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);

	must(fd >= 0);
	if (data)
		write_all(fd, data, len);
	return fd;
}

static double tmpfs_read_rate(int fd, u8 *buf)
{
	double begin = now();

	must(lseek(fd, 0, SEEK_SET) == 0);
	return read_all(fd, buf) / (now() - begin) / 1e6;
}

static double resume_rate(struct vfio_dev *dev, const struct blob *blob)
{
	double begin, rate;
	int fd;

	must(!mig_set(dev, RESUMING, &fd));
	begin = now();
	write_all(fd, blob->data, blob->len);
	rate = blob->len / (now() - begin) / 1e6;
	close(fd);
	must(!mig_set(dev, STOP, NULL));
	return rate;
}

static double tmpfs_write_rate(const struct blob *blob)
{
	int fd = tmpfs_file(NULL, 0);
	double begin = now(), rate;

	write_all(fd, blob->data, blob->len);
	rate = blob->len / (now() - begin) / 1e6;
	close(fd);
	return rate;
}

/* Reading and writing one VF's stream against a file of the same size */
static void bench_stream(struct vfio_dev *src, struct vfio_dev *dst)
{
	struct sample save, load, tread, twrite;
	struct blob blob = {};
	u8 *buf = malloc(BUFFER);
	int file;

	must(buf);
	mig_save(src, &blob);
	file = tmpfs_file(blob.data, blob.len);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		save.v[i] = save_rate(src, buf);
		tread.v[i] = tmpfs_read_rate(file, buf);
	}
	report("save", "data_fd", &save, "tmpfs", &tread, "MB/s", 0.8, true);
	close(file);

	for (unsigned int i = 0; i < ROUNDS; i++) {
		load.v[i] = resume_rate(dst, &blob);
		twrite.v[i] = tmpfs_write_rate(&blob);
	}
	report("resume", "data_fd", &load, "tmpfs", &twrite, "MB/s", 0.7, true);
	free(buf);
	blob_free(&blob);
}

/* The same of a part of the stream: where a CRC is emulated, all of it takes minutes */
static double save_part_rate(struct vfio_dev *dev, u8 *buf)
{
	double begin, rate;
	u64 bytes = 0;
	int fd;

	must(!mig_set(dev, STOP_COPY, &fd));
	begin = now();
	while (bytes < MIB(CRC_MB)) {
		ssize_t n = read(fd, buf, BUFFER);

		must(n > 0);
		bytes += n;
	}
	rate = bytes / (now() - begin) / 1e6;
	close(fd);
	must(!mig_set(dev, STOP, NULL));
	return rate;
}

/* What a CRC of the data costs */
static void bench_data_crc(struct vfio_dev *dev)
{
	struct sample on, off;
	bool was_on = mig_data_crc();
	u8 *buf = malloc(BUFFER);

	must(buf);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		mig_set_data_crc(true);
		on.v[i] = save_part_rate(dev, buf);
		mig_set_data_crc(false);
		off.v[i] = save_part_rate(dev, buf);
	}
	mig_set_data_crc(was_on);
	show("save_crc", "on", &on, "off", &off, "MB/s", "data_crc is off by default");
	free(buf);
}

static double ioctl_time(int fd, unsigned long cmd, void *arg, int err, unsigned int calls)
{
	double begin = now();

	for (unsigned int i = 0; i < calls; i++)
		must(ioctl(fd, cmd, arg) == (err ? -1 : 0) && (!err || errno == err));
	return (now() - begin) / calls * 1e9;
}

/* What PRECOPY_INFO costs beside an ioctl that does nothing but be refused */
static void bench_precopy_info(struct vfio_dev *dev)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	struct sample ask, none;
	int fd;

	must(!mig_set(dev, RUNNING, NULL));
	must(!mig_set(dev, PRE_COPY, &fd));
	for (unsigned int i = 0; i < ROUNDS; i++) {
		ask.v[i] = ioctl_time(fd, VFIO_MIG_GET_PRECOPY_INFO, &info, 0, INFO_CALLS);
		none.v[i] = ioctl_time(fd, _IO('v', 255), NULL, ENOTTY, INFO_CALLS);
	}
	report("precopy_info", "get_precopy_info", &ask, "unknown_ioctl", &none, "ns", 3, false);
	close(fd);
	must(!mig_set(dev, RUNNING, NULL));
}

static void submit_4k(struct bench_vf *vf, u8 opcode, u64 offset, unsigned int page)
{
	struct nvme_queue *q = &vf->nvme.io[1];
	u32 lba_size = vf->nvme.lba_size;
	struct nvme_cmd cmd = nvme_rw_cmd(opcode, offset / lba_size, KIB(4) / lba_size);

	nvme_set_prps(&vf->nvme, q, &cmd, vf->buf + page * KIB(4), KIB(4));
	nvme_submit(&vf->nvme, q, &cmd);
}

/* Seconds that the device takes for the @n commands that were submitted */
static double io_done(struct bench_vf *vf, unsigned int n)
{
	struct nvme_queue *q = &vf->nvme.io[1];
	unsigned int end = q->head + n - 1;
	u8 phase = end < q->depth ? q->phase : !q->phase;
	double begin = now(), time;

	nvme_ring(&vf->nvme, q);
	while ((nvme_cqe_status(q, end % q->depth) & 1) != phase)
		must(now() - begin < 10);
	time = now() - begin;

	nvme_reap(&vf->nvme, q);
	must(q->stashed == n);
	while (q->stashed)
		must(!(q->stash[--q->stashed].status >> 1));
	return time;
}

/* The same for a queue full of 4 KiB at random places */
static double io_slice(struct bench_vf *vf, u8 opcode, u64 *seed)
{
	for (unsigned int i = 0; i < SLICE; i++) {
		u64 granule = next_random(seed) % (MIB(MEDIUM_MB) / KIB(4));

		submit_4k(vf, opcode, granule * KIB(4), i % 256);
	}
	return io_done(vf, SLICE);
}

/*
 * Commands a second: of some slices the fastest, as whatever else the machine does
 * only makes them slower
 */
static double io_rate(struct bench_vf *vf, u8 opcode, u64 *seed)
{
	double best = io_slice(vf, opcode, seed);

	for (unsigned int i = 1; i < SLICES; i++) {
		double time = io_slice(vf, opcode, seed);

		if (time < best)
			best = time;
	}
	return SLICE / best;
}

/* Read all that there is for now: the bytes */
static u64 drain(int fd, u8 *buf)
{
	u64 bytes = 0;
	ssize_t n;

	while ((n = read(fd, buf, BUFFER)) > 0)
		bytes += n;
	must(errno == ENOMSG);
	return bytes;
}

/* A session whose initial data is all read, so that each write makes something dirty */
static int drained_session(struct vfio_dev *dev, u8 *buf)
{
	int fd;

	must(!mig_set(dev, PRE_COPY, &fd));
	drain(fd, buf);
	return fd;
}

static void end_session(struct vfio_dev *dev, int fd)
{
	close(fd);
	must(!mig_set(dev, RUNNING, NULL));
}

/*
 * What the guest's writes lose while a session is on.  To read the whole medium leaves
 * the caches with other things than the guest's: so both come after that.
 */
static void bench_tracking(struct bench_vf *vf)
{
	struct sample on, off;
	u64 seed = 1;
	u8 *buf = malloc(BUFFER);
	int fd;

	must(buf);
	must(!mig_set(&vf->dev, RUNNING, NULL));
	io_rate(vf, NVME_WRITE, &seed);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		end_session(&vf->dev, drained_session(&vf->dev, buf));
		off.v[i] = io_rate(vf, NVME_WRITE, &seed);
		fd = drained_session(&vf->dev, buf);
		on.v[i] = io_rate(vf, NVME_WRITE, &seed);
		end_session(&vf->dev, fd);
	}
	report("tracking", "on", &on, "off", &off, "writes/s", 0.97, true);
	free(buf);
}

/* Write one granule in each of @count stretches of @mb MiB */
static void write_thin(struct bench_vf *vf, unsigned int count, unsigned int mb)
{
	for (unsigned int i = 0; i < count; i++) {
		unsigned int n = i % SLICE + 1;

		submit_4k(vf, NVME_WRITE, MIB(i * mb), 0);
		if (n == SLICE || i == count - 1)
			io_done(vf, n);
	}
}

/* A thin medium with something in @chunks MiB, and a session on it that is drained */
struct thin {
	struct bench_vf *vf;
	unsigned int chunks;
	int fd;
	struct sample drain, info;
};

/* ns; of some times the fastest, as in io_rate() */
static void thin_round(struct thin *thin, unsigned int round, u8 *buf)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info) };
	double drain_best = 1e12, info_best = 1e12;

	for (unsigned int i = 0; i < SLICES; i++) {
		double begin, time;

		write_thin(thin->vf, DRAIN_GRANULES, thin->chunks / DRAIN_GRANULES);
		time = ioctl_time(thin->fd, VFIO_MIG_GET_PRECOPY_INFO, &info, 0,
				  INFO_CALLS / SLICES / 4);
		info_best = time < info_best ? time : info_best;
		begin = now();
		must(drain(thin->fd, buf) == DRAIN_GRANULES * RUN_BYTES(1));
		time = (now() - begin) * 1e9;
		drain_best = time < drain_best ? time : drain_best;
	}
	thin->drain.v[round] = drain_best;
	thin->info.v[round] = info_best;
}

/* What a session costs is what changes, not what there is: media of 4 GiB, much and little used */
static void bench_thin(struct bench_vf *vfs, const char *pf)
{
	static struct thin thin[] = { { .chunks = THIN_MB }, { .chunks = FEW_CHUNKS } };
	u8 *buf = malloc(BUFFER);

	must(buf);
	for (unsigned int i = 0; i < ARRAY_SIZE(thin); i++) {
		thin[i].vf = &vfs[i];
		vf_open(&vfs[i], pf, i, IOMMU_TYPE1, 0);
		vf_drive(&vfs[i], i + 1);
		write_thin(&vfs[i], thin[i].chunks, 1);
		thin[i].fd = drained_session(&vfs[i].dev, buf);
	}
	for (unsigned int round = 0; round < ROUNDS; round++)
		for (unsigned int i = 0; i < ARRAY_SIZE(thin); i++)
			thin_round(&thin[i], round, buf);
	report("drain", "4096_mib", &thin[0].drain, "64_mib", &thin[1].drain, "ns", 1.5, false);
	report("info_size", "4096_mib", &thin[0].info, "64_mib", &thin[1].info, "ns", 1.2, false);
	for (unsigned int i = 0; i < ARRAY_SIZE(thin); i++) {
		end_session(&vfs[i].dev, thin[i].fd);
		vf_close(&vfs[i]);
	}
	free(buf);
}

/* What a guest's reads lose, which are the device's writes, where each is noted */
static void bench_noting(struct bench_vf *vf)
{
	struct sample off, log, iommu;
	u64 seed = 1;

	io_rate(vf, NVME_READ, &seed);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		off.v[i] = io_rate(vf, NVME_READ, &seed);
		must(!track_start(&vf->dev, BY_DEVICE, 0, 1ULL << 47));
		log.v[i] = io_rate(vf, NVME_READ, &seed);
		must(!track_stop(&vf->dev, BY_DEVICE));
		must(!track_start(&vf->dev, BY_IOMMU, 0, 0));
		iommu.v[i] = io_rate(vf, NVME_READ, &seed);
		must(!track_stop(&vf->dev, BY_IOMMU));
	}
	report("dma_log", "on", &log, "off", &off, "reads/s", 0.95, true);
	report("iommu_dirty", "on", &iommu, "off", &off, "reads/s", 0.95, true);
	report("log_by_iommu", "log", &log, "iommu", &iommu, "reads/s", 0.95, true);
}

/*
 * 64 GiB of IOVA, as one large page over and over, so that it takes neither memory
 * nor long; NULL, or why it can't be had
 */
static const char *map_large(struct bench_vf *vf)
{
	int fd = memfd_create("vfmig_bench", MFD_HUGETLB | 21 << 26);
	u8 *mem;

	if (fd < 0 || ftruncate(fd, MIB(2)))
		return "no large pages";
	file_write("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages", "1");
	mem = mmap(NULL, REPORT_SMALL + MIB(2), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(mem != MAP_FAILED);
	mem += MIB(2) - (uintptr_t)mem % MIB(2);
	for (u64 at = 0; at < REPORT_SMALL; at += MIB(2)) {
		if (mmap(mem + at, MIB(2), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
		    MAP_FAILED)
			return "no large page of 2 MiB to be had";
	}
	close(fd);
	for (u64 at = 0; at < REPORT_LARGE; at += REPORT_SMALL)
		must(!iommu_map(&vf->iommu, REPORT_IOVA + at, mem, REPORT_SMALL, MAP_RW));
	return NULL;
}

/* Have the device write BATCH pages */
static void write_batch(struct bench_vf *vf, const u64 *iova)
{
	struct nvme_queue *q = &vf->nvme.io[1];
	u16 cid[BATCH];

	for (unsigned int i = 0; i < BATCH; i++)
		cid[i] = nvme_submit_read(&vf->nvme, q, 0, 1, iova[i]);
	nvme_ring(&vf->nvme, q);
	for (unsigned int i = 0; i < BATCH; i++)
		must(!nvme_wait(&vf->nvme, q, cid[i], NULL));
}

/* ... one in each 16 MiB, once: all of it was dirty some time */
static void write_everywhere(struct bench_vf *vf)
{
	u64 iova[BATCH];

	for (u64 at = 0; at < REPORT_LARGE; at += BATCH * MIB(16)) {
		for (unsigned int i = 0; i < BATCH; i++)
			iova[i] = REPORT_IOVA + at + i * MIB(16);
		write_batch(vf, iova);
	}
}

/* ns of a report of @length bytes, in which the same DIRTY_PAGES pages are dirty each time */
static double report_time(struct bench_vf *vf, enum tracker by, u64 length, u64 *bits)
{
	u64 iova[BATCH], seed = 1;
	double begin;

	for (unsigned int done = 0; done < DIRTY_PAGES; done += BATCH) {
		for (unsigned int i = 0; i < BATCH; i++)
			iova[i] = REPORT_IOVA + next_random(&seed) % (REPORT_SMALL / PAGE) * PAGE;
		write_batch(vf, iova);
	}
	begin = now();
	must(!track_report(&vf->dev, by, REPORT_IOVA, length, PAGE, bits));
	return (now() - begin) * 1e9;
}

/*
 * A report costs what is dirty, not what is asked for, nor what was dirty once.  Both
 * who can tell know of the same pages all the time.
 */
static void bench_report(struct bench_vf *vf)
{
	struct sample small[2], large[2];
	size_t size = REPORT_LARGE / PAGE / 8;
	u64 *bits = aligned_alloc(PAGE, size);

	must(bits);
	memset(bits, 0xff, size);
	for (enum tracker by = BY_DEVICE; by <= BY_IOMMU; by++)
		must(!track_start(&vf->dev, by, REPORT_IOVA, REPORT_LARGE));
	write_everywhere(vf);
	for (enum tracker by = BY_DEVICE; by <= BY_IOMMU; by++)
		report_time(vf, by, REPORT_LARGE, bits);
	for (unsigned int i = 0; i < ROUNDS; i++) {
		for (enum tracker by = BY_DEVICE; by <= BY_IOMMU; by++) {
			large[by].v[i] = report_time(vf, by, REPORT_LARGE, bits);
			small[by].v[i] = report_time(vf, by, REPORT_SMALL, bits);
		}
	}
	for (enum tracker by = BY_DEVICE; by <= BY_IOMMU; by++)
		must(!track_stop(&vf->dev, by));
	report("log_report", "64_gib", &large[BY_DEVICE], "1_gib", &small[BY_DEVICE], "ns", 2,
	       false);
	report("iommu_report", "64_gib", &large[BY_IOMMU], "1_gib", &small[BY_IOMMU], "ns", 2,
	       false);
	report("report_by", "device", &small[BY_DEVICE], "iommu", &small[BY_IOMMU], "ns", 1.5,
	       false);
	free(bits);
}

static void bench_dirty(const char *pf)
{
	static struct bench_vf vf;
	struct iommu iommu;
	const char *why;

	why = iommu_init(&iommu, IOMMU_IOMMUFD_TRACKED);
	if (why) {
		printf("no figures of dirty tracking: %s\n", why);
		return;
	}
	iommu_exit(&iommu);
	vf_open(&vf, pf, 0, IOMMU_IOMMUFD_TRACKED, MIB(MEDIUM_MB));
	bench_noting(&vf);
	why = map_large(&vf);
	if (!why)
		bench_report(&vf);
	else
		not_measured("log_report, iommu_report, report_by", why);
	vf_close(&vf);
}

static int begin_vf(struct crowd *crowd, unsigned int i)
{
	int fd;

	must(!mig_set(&crowd->vfs[i].dev, STOP_COPY, &fd));
	return fd;
}

static void end_vf(struct crowd *crowd, unsigned int i, int fd)
{
	close(fd);
	must(!mig_set(&crowd->vfs[i].dev, STOP, NULL));
}

static int begin_file(struct crowd *crowd, unsigned int i)
{
	must(lseek(crowd->files[i], 0, SEEK_SET) == 0);
	return crowd->files[i];
}

static void end_file(struct crowd *crowd, unsigned int i, int fd)
{
}

/*
 * All VFs at once against one, per core: nothing that they share may be in the
 * way.  How far the machine itself scales just now the same with files says.
 */
static void bench_many(struct bench_vf *vfs)
{
	static struct crowd vf_crowd = { .begin = begin_vf, .end = end_vf };
	static struct crowd file_crowd = { .begin = begin_file, .end = end_file };
	unsigned int cores = sysconf(_SC_NPROCESSORS_ONLN);
	struct sample many, one, scale, file_scale;
	u8 *data = calloc(1, MIB(MANY_MB));

	must(data);
	vf_crowd.vfs = vfs;
	for (unsigned int i = 0; i < CROWD; i++) {
		vf_crowd.savers[i].buf = malloc(BUFFER);
		must(vf_crowd.savers[i].buf);
		memset(vf_crowd.savers[i].buf, 1, BUFFER);
		file_crowd.savers[i].buf = vf_crowd.savers[i].buf;
		file_crowd.files[i] = tmpfs_file(data, MIB(MANY_MB));
	}
	for (unsigned int i = 0; i < ROUNDS; i++) {
		many.v[i] = at_once_rate(&vf_crowd) / cores;
		one.v[i] = one_by_one_rate(&vf_crowd);
		scale.v[i] = many.v[i] / one.v[i];
		file_scale.v[i] = at_once_rate(&file_crowd) / cores / one_by_one_rate(&file_crowd);
	}
	if (cores >= MANY_CORES)
		report("save_64_vfs", "per_core", &many, "one_vf", &one, "MB/s", 0.9, true);
	else
		show("save_64_vfs", "per_core", &many, "one_vf", &one, "MB/s",
		     "fewer than 8 CPUs, see scaling");
	report("scaling", "vfs", &scale, "tmpfs", &file_scale, "of one", 0.9, true);
	for (unsigned int i = 0; i < CROWD; i++) {
		free(vf_crowd.savers[i].buf);
		close(file_crowd.files[i]);
	}
	free(data);
}

/* What a part opens of the PF's VFs */
static struct bench_vf vfs[CROWD];

static void part_stream(char *pf)
{
	must(!pf_require(&(struct pf_vfs){ .count = 2, .media_mb = MEDIUM_MB }, pf));
	vf_open(&vfs[0], pf, 0, IOMMU_TYPE1, MIB(MEDIUM_MB));
	vf_open(&vfs[1], pf, 1, IOMMU_TYPE1, 0);
	bench_stream(&vfs[0].dev, &vfs[1].dev);
	bench_data_crc(&vfs[0].dev);
	bench_precopy_info(&vfs[0].dev);
	bench_tracking(&vfs[0]);
	vf_close(&vfs[0]);
	vf_close(&vfs[1]);
}

static void part_dirty(char *pf)
{
	must(!pf_require(&(struct pf_vfs){ .count = 2, .media_mb = MEDIUM_MB }, pf));
	bench_dirty(pf);
}

static void part_stop(char *pf)
{
	bench_stop();
}

static void part_thin(char *pf)
{
	must(!pf_require(&(struct pf_vfs){ .count = 2, .media_mb = THIN_MB }, pf));
	bench_thin(vfs, pf);
}

static void part_many(char *pf)
{
	must(!pf_require(&(struct pf_vfs){ .count = CROWD, .media_mb = MANY_MB }, pf));
	for (unsigned int i = 0; i < CROWD; i++)
		vf_open(&vfs[i], pf, i, IOMMU_TYPE1, MIB(MANY_MB));
	bench_many(vfs);
	for (unsigned int i = 0; i < CROWD; i++)
		vf_close(&vfs[i]);
}

/* In the order in which they run */
static const struct part {
	const char *name;
	void (*run)(char *pf);
} parts[] = {
	{ "stream", part_stream },
	{ "dirty", part_dirty },
	{ "stop", part_stop },
	{ "thin", part_thin },
	{ "many", part_many },
};

/* Was it asked for, or nothing by name? */
static bool is_wanted(const struct part *part, char **names)
{
	if (!*names)
		return true;
	while (*names)
		if (!strcmp(*names++, part->name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct pf_vfs two = { .count = 2, .media_mb = MEDIUM_MB };
	char pf[BDF_SIZE];
	const char *why;

	if (argc < 2) {
		fprintf(stderr, "usage: vfmig_bench DIR [stream|dirty|stop|thin|many]...\n");
		return 2;
	}
	figures_dir = argv[1];

	why = pf_require(&two, pf);
	if (why) {
		fprintf(stderr, "vfmig_bench: %s\n", why);
		return 2;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++)
		if (is_wanted(&parts[i], argv + 2))
			parts[i].run(pf);
	return figures_missed ? 1 : 0;
}
