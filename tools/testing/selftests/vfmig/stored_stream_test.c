// SPDX-License-Identifier: GPL-2.0-only
/*
 * Streams of earlier versions, kept as files in data/, are still taken.
 *
 * The test prepares a device as the one that the file is from was prepared.  So memory and
 * driver are as they were, and the driver can go on with a device that loads the file.  To make
 * a file, run this program at the commit whose stream is to be kept, with
 *
 *	VFMIG_STORE=FILE ./stored_stream_test -t stores
 *
 * nvme-1.1.stream is from Linux 7.3 and the last commit before version 1.2 of the format,
 * "nvme: take a chunk out of a medium in one place".  That device had no shadow doorbells, and the
 * one that takes its stream looks like it.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"
#include "shadow.h"

#include "harness.h"

#define STREAM		"data/nvme-1.1.stream"

/* Long enough for a test to stop the device before a command is done */
#define SLOW_US		4000000

#define GRANULES	7
#define READS		4

struct disk {
	struct rig rig;
	u8 *data;		/* GRANULES that were written */
	u8 *buf;		/* as large */
	u8 *read;		/* for the commands in flight */
	u16 cids[READS];
};

FIXTURE(stored)
{
	struct disk disk;
};

/* Where granule @i is: some are adjacent, some are in one MiB */
static u64 place(unsigned int i)
{
	static const u64 places[GRANULES] = {
		0, PAGE, 2 * PAGE, KIB(512), MIB(5), MIB(5) + PAGE, MIB(64) - PAGE,
	};

	return places[i];
}

/* Two more queues, one of which has wrapped; data; commands in flight, an event request */
static void prepare(struct disk *disk)
{
	struct rig *rig = &disk->rig;
	struct nvme *nvme = &rig->nvme;
	u8 *data = disk->data;
	struct nvme_cmd event = { .opcode = NVME_AER };

	rig_start(rig);
	must(!nvme_create_io(nvme, 2, 4, 2));
	must(!nvme_create_io(nvme, 3, 16, -1));
	for (unsigned int i = 0; i < GRANULES; i++) {
		fill_pattern(data + i * PAGE, PAGE, i + 1);
		must(!nvme_rw(nvme, &nvme->io[2], NVME_WRITE, place(i) / 512, 8, data + i * PAGE));
	}
	nvme_submit(nvme, &nvme->admin, &event);
	nvme_ring(nvme, &nvme->admin);
	rig_settle(rig);
	must(!pf_attr_set(rig->pf, "io_latency_us", SLOW_US));
	for (unsigned int i = 0; i < READS; i++) {
		struct nvme_cmd cmd = nvme_rw_cmd(NVME_READ, place(i + 2) / 512, 8);

		nvme_set_prps(nvme, &nvme->io[3], &cmd, disk->read + i * PAGE, PAGE);
		disk->cids[i] = nvme_submit(nvme, &nvme->io[3], &cmd);
	}
	nvme_ring(nvme, &nvme->io[3]);
}

FIXTURE_SETUP(stored)
{
	struct pf_vfs vfs = { .count = 2, .media_mb = 64 };
	struct disk *disk = &self->disk;
	struct rig *rig = &disk->rig;
	const char *why = rig_open(rig, &vfs, IOMMU_TYPE1, 2);

	if (why)
		SKIP(return, "%s", why);
	disk->data = arena_alloc(&rig->mem, GRANULES * PAGE);
	disk->buf = arena_alloc(&rig->mem, GRANULES * PAGE);
	disk->read = arena_alloc(&rig->mem, READS * PAGE);
	prepare(disk);
	ASSERT_EQ(mig_set(&rig->dev[0], STOP, NULL), 0);
}

FIXTURE_TEARDOWN(stored)
{
	rig_close(&self->disk.rig);
}

TEST_F(stored, stores)
{
	const char *path = getenv("VFMIG_STORE");
	struct blob blob = {};
	int fd;

	if (!path)
		SKIP(return, "VFMIG_STORE= to keep this version's stream");
	mig_save(&self->disk.rig.dev[0], &blob);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(write(fd, blob.data, blob.len), (ssize_t)blob.len);
	close(fd);
	blob_free(&blob);
}

static void read_file(struct blob *blob)
{
	char path[1024], buf[65536];
	ssize_t n;
	int fd;

	must(program_file(STREAM, path, sizeof(path)));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		blob_append(blob, buf, n);
	must(!n);
	close(fd);
}

/* Rewrite it as version 1.0 */
static void make_1_0(struct blob *blob)
{
	static struct stream_record records[STREAM_MAX_RECORDS];
	unsigned int n = stream_parse(blob, records);
	struct vfmig_identity *id;

	must(n);
	id = records[0].payload;
	must(id->version_major == 1 && id->version_minor == 1);
	id->version_minor = 0;
	for (unsigned int i = 0; i < n; i++) {
		struct vfmig_record *header = records[i].header;

		stream_seal(header);
		if (header->type != VFMIG_RECORD_MEMORY)
			continue;
		header->payload_crc = 0;
		header->header_crc = crc32c(header, offsetof(struct vfmig_record, header_crc));
	}
}

static u32 digest_in(const struct stream_record *records)
{
	const struct vfmig_identity *id = records[0].payload;
	const struct vfmig_nvme_identity *nvme = (const void *)id->model_data;

	must(id->model_data_length == sizeof(*nvme));
	return nvme->digest;
}

/* The driver of the device that was stored goes on with the one that has loaded it */
static void goes_on(struct __test_metadata *_metadata, struct disk *disk,
		    const struct blob *blob)
{
	struct rig *rig = &disk->rig;
	struct nvme *nvme = &rig->nvme;

	ASSERT_EQ(pf_attr_set(rig->pf, "io_latency_us", 0), 0);
	memset(disk->read, 0, READS * PAGE);
	rig_land(rig, blob, RUNNING);
	for (unsigned int i = 0; i < READS; i++) {
		EXPECT_EQ(nvme_wait(nvme, &nvme->io[3], disk->cids[i], NULL), 0);
		EXPECT_EQ(nvme_count(&nvme->io[3], disk->cids[i]), 0);
		EXPECT_TRUE(is_pattern(disk->read + i * PAGE, PAGE, i + 3));
	}
	for (unsigned int i = 0; i < GRANULES; i++) {
		ASSERT_EQ(nvme_rw(nvme, &nvme->io[2], NVME_READ, place(i) / 512, 8, disk->buf), 0);
		EXPECT_TRUE(is_pattern(disk->buf, PAGE, i + 1)) TH_LOG("granule %u", i);
	}
	nvme_read_bytes(nvme, KIB(516), disk->buf, GRANULES * PAGE);
	EXPECT_TRUE(is_filled(disk->buf, GRANULES * PAGE, 0));
	EXPECT_EQ(vf_media_allocated(rig->dev[1].bdf), GRANULES * PAGE);
}

TEST_F(stored, stream_of_version_1_1_is_taken)
{
	struct blob blob = {};

	read_file(&blob);
	goes_on(_metadata, &self->disk, &blob);
	blob_free(&blob);
}

/* A guest that moved does not look again, so what it saw before must stay so */
TEST_F(stored, device_looks_as_its_source_until_a_reset)
{
	struct rig *rig = &self->disk.rig;
	struct blob blob = {}, again = {};
	static struct stream_record records[STREAM_MAX_RECORDS];
	u8 *id = self->disk.buf;
	u32 digest;

	read_file(&blob);
	must(stream_parse(&blob, records));
	digest = digest_in(records);
	goes_on(_metadata, &self->disk, &blob);
	ASSERT_EQ(nvme_identify(&rig->nvme, 0x01, 0, id), 0);
	EXPECT_FALSE(shadow_is_offered(id));
	EXPECT_TRUE(id[NVME_ID_VWC] & 1);
	EXPECT_EQ(shadow_config(&rig->nvme, 0, 0), NVME_INVALID_OPCODE);

	mig_save(&rig->dev[1], &again);
	must(stream_parse(&again, records));
	EXPECT_EQ(digest_in(records), digest);
	ASSERT_EQ(vfio_reset(&rig->dev[1]), 0);
	nvme_restart(&rig->nvme);
	ASSERT_EQ(nvme_identify(&rig->nvme, 0x01, 0, id), 0);
	EXPECT_TRUE(shadow_is_offered(id));
	blob_free(&blob);
	blob_free(&again);
}

TEST_F(stored, stream_of_version_1_0_is_taken)
{
	struct blob blob = {};

	read_file(&blob);
	make_1_0(&blob);
	goes_on(_metadata, &self->disk, &blob);
	blob_free(&blob);
}

TEST_HARNESS_MAIN
