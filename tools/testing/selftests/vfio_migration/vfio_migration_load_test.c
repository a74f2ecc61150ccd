// SPDX-License-Identifier: GPL-2.0-only
/*
 * Migration under load: the device copies memory by a driver of libvfio while it is saved, goes on
 * where it is loaded, and writes nothing that is not logged.  Clauses are those of
 * include/uapi/linux/vfio.h.
 */
#include <stdlib.h>
#include <unistd.h>

#include "mig.h"

#include "kselftest_harness.h"

#define S(name)	VFIO_DEVICE_STATE_##name

#define PAGE	MIG_LOAD_PAGE

FIXTURE(load) {
	struct mig_device source;
	struct mig_device other;
	struct mig_device *dest;
	struct mig_stream stream;
	struct mig_load load;
};

FIXTURE_VARIANT(load) {
	const char *mode;
};

#define FIXTURE_VARIANT_ADD_IOMMU_MODE(_mode) \
FIXTURE_VARIANT_ADD(load, _mode) { \
	.mode = #_mode, \
}

FIXTURE_VARIANT_ADD_ALL_IOMMU_MODES();

FIXTURE_SETUP(load)
{
	const char *why = mig_open(&self->source, mig_source(), variant->mode);

	self->other.fd = -1;
	if (why)
		SKIP(return, "%s", why);
	self->dest = &self->source;
	if (strcmp(mig_source(), mig_destination())) {
		self->dest = &self->other;
		why = mig_open(self->dest, mig_destination(), variant->mode);
	}
	if (!why)
		why = mig_load_begin(&self->load, &self->source);
	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(load)
{
	mig_load_end(&self->load, self->dest ?: &self->source);
	mig_stream_free(&self->stream);
	mig_close(&self->source);
	mig_close(&self->other);
}

/* The rest of a migration, of which the source is in @fd's session */
static void move(struct mig_device *source, struct mig_device *dest, struct mig_load *load,
		 struct mig_stream *stream, int fd)
{
	VFIO_ASSERT_EQ(mig_set_state(source, S(STOP_COPY), NULL), 0);
	VFIO_ASSERT_EQ(mig_stream_read_all(stream, fd, MIG_CHUNK), 0);
	close(fd);
	/* It may be the source, or have been the source of an earlier migration */
	mig_reset(dest);
	VFIO_ASSERT_EQ(mig_feed(dest, stream->data, stream->size, MIG_CHUNK), 0);
	mig_load_move(load, source, dest);
	VFIO_ASSERT_EQ(mig_set_state(dest, S(RUNNING), NULL), 0);
}

/* "RUNNING: the device is fully operational": the driver finds the state that it left */
TEST_F_TIMEOUT(load, idle_driver_goes_on, 60)
{
	int fd;

	mig_load_start(&self->load, &self->source, 1, 1);
	ASSERT_EQ(mig_load_check(&self->load, &self->source), 0);
	fd = mig_go(&self->source, S(STOP_COPY));
	move(&self->source, self->dest, &self->load, &self->stream, fd);
	mig_load_start(&self->load, self->dest, 2, 1);
	EXPECT_EQ(mig_load_check(&self->load, self->dest), 0);
}

/* Copies that were started at the source end at the destination */
TEST_F_TIMEOUT(load, copies_go_on, 60)
{
	for (unsigned int round = 0; round < 4; round++) {
		u64 count = self->load.count >> 2 * round ?: 1;
		struct mig_device *source = round % 2 ? self->dest : &self->source;
		struct mig_device *dest = round % 2 ? &self->source : self->dest;
		int fd;

		mig_load_start(&self->load, source, round, count);
		fd = mig_go(source, S(STOP_COPY));
		move(source, dest, &self->load, &self->stream, fd);
		EXPECT_EQ(mig_load_check(&self->load, dest), 0) TH_LOG("%lu copies", count);
		mig_stream_free(&self->stream);
	}
}

/* The same with PRE_COPY, in which "the device is running normally" */
TEST_F_TIMEOUT(load, copies_go_on_beside_precopy, 60)
{
	int fd;

	if (!mig_has_state(&self->source, S(PRE_COPY)))
		SKIP(return, "no PRE_COPY");
	fd = mig_go(&self->source, S(PRE_COPY));
	for (unsigned int round = 0; round < 8; round++) {
		mig_load_start(&self->load, &self->source, round, 4);
		mig_stream_read(&self->stream, fd, 1000 * round + 1);
		ASSERT_EQ(mig_load_check(&self->load, &self->source), 0);
		/* At the end there is more to read again */
		mig_stream_read(&self->stream, fd, MIG_CHUNK);
	}
	mig_load_start(&self->load, &self->source, 77, self->load.count);
	move(&self->source, self->dest, &self->load, &self->stream, fd);
	EXPECT_EQ(mig_load_check(&self->load, self->dest), 0);
}

/* "PRE_COPY -> RUNNING": giving up changes nothing for the driver */
TEST_F_TIMEOUT(load, copies_go_on_when_precopy_is_given_up, 60)
{
	if (!mig_has_state(&self->source, S(PRE_COPY)))
		SKIP(return, "no PRE_COPY");
	for (unsigned int round = 0; round < 4; round++) {
		int fd;

		mig_load_start(&self->load, &self->source, round, self->load.count);
		fd = mig_go(&self->source, S(PRE_COPY));
		mig_stream_read(&self->stream, fd, 1000);
		ASSERT_EQ(mig_set_state(&self->source, S(RUNNING), NULL), 0);
		close(fd);
		EXPECT_EQ(mig_load_check(&self->load, &self->source), 0);
	}
}

static u64 checksum(const struct mig_load *load)
{
	u64 sum = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(load->memory); i++) {
		const u64 *words = load->memory[i].vaddr;

		for (u64 j = 0; j < load->memory[i].size / sizeof(*words); j++)
			sum = (sum << 5 | sum >> 59) ^ words[j];
	}
	return sum;
}

/*
 * STOP: "The device must not generate interrupts, DMA, or any other change to external state."
 * RUNNING_P2P may do DMA that is not to another device, so what it does is not judged.
 */
TEST_F_TIMEOUT(load, nothing_is_written_in_stop, 60)
{
	static const u32 stopped[] = { S(STOP), S(STOP_COPY) };

	for (unsigned int i = 0; i < ARRAY_SIZE(stopped); i++) {
		u64 before;
		int fd;

		mig_load_start(&self->load, &self->source, i, self->load.count);
		fd = mig_go(&self->source, stopped[i]);
		before = checksum(&self->load);
		usleep(200000);
		EXPECT_EQ(checksum(&self->load), before)
			TH_LOG("memory changes in %s", mig_state_name(stopped[i]));
		if (fd >= 0)
			close(fd);
		ASSERT_EQ(mig_set_state(&self->source, S(RUNNING), NULL), 0);
		EXPECT_EQ(mig_load_check(&self->load, &self->source), 0);
	}
}

static int start_logging(const struct mig_load *load, struct mig_device *dev)
{
	struct vfio_device_feature_dma_logging_range range = {
		.iova = load->memory[MIG_LOAD_TARGET].iova,
		.length = MIG_LOAD_SIZE,
	};
	struct vfio_device_feature_dma_logging_control start = {
		.page_size = PAGE,
		.num_ranges = 1,
		.ranges = (uintptr_t)&range,
	};

	return mig_feature(dev, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
			   &start, sizeof(start));
}

static int get_log(const struct mig_load *load, struct mig_device *dev, struct mig_pages *logged)
{
	struct vfio_device_feature_dma_logging_report report = {
		.iova = load->memory[MIG_LOAD_TARGET].iova,
		.length = MIG_LOAD_SIZE,
		.page_size = PAGE,
		.bitmap = (uintptr_t)logged->words,
	};

	*logged = (struct mig_pages){};
	return mig_feature(dev, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
			   &report, sizeof(report));
}

/*
 * VFIO_DEVICE_FEATURE_DMA_LOGGING_START: "Each DMA that the device initiates inside the range will
 * be logged by the device for later retrieval."  REPORT: "During querying the log is cleared".
 */
TEST_F_TIMEOUT(load, each_write_is_logged, 60)
{
	if (!self->source.dma_log)
		SKIP(return, "the device does not log its DMA");
	ASSERT_EQ(start_logging(&self->load, &self->source), 0);
	for (unsigned int round = 0; round < 4; round++) {
		struct mig_pages *written = &self->load.written, logged;
		u64 more = 0;

		*written = (struct mig_pages){};
		mig_load_start(&self->load, &self->source, round, 3);
		ASSERT_EQ(mig_load_check(&self->load, &self->source), 0);
		ASSERT_EQ(get_log(&self->load, &self->source, &logged), 0);
		for (u64 page = 0; page < MIG_LOAD_PAGES; page++) {
			bool is_logged = mig_pages_has(&logged, page);

			EXPECT_TRUE(is_logged || !mig_pages_has(written, page))
				TH_LOG("page %lu is not logged", page);
			more += is_logged && !mig_pages_has(written, page);
		}
		if (more)
			mig_report("%lu pages are logged that nothing was copied to", more);
		ASSERT_EQ(get_log(&self->load, &self->source, &logged), 0);
		if (mig_pages_count(&logged))
			mig_report("%lu pages are logged twice", mig_pages_count(&logged));
	}
}

/* What a VMM sends: the pages that a report names, as they are after the report */
static int send_logged(const struct mig_load *load, struct mig_device *dev, u8 *sent)
{
	const u8 *memory = load->memory[MIG_LOAD_TARGET].vaddr;
	struct mig_pages logged;
	int ret = get_log(load, dev, &logged);

	for (u64 page = 0; !ret && page < MIG_LOAD_PAGES; page++)
		if (mig_pages_has(&logged, page))
			memcpy(sent + page * PAGE, memory + page * PAGE, PAGE);
	return ret;
}

/*
 * The log of a device that is saved while it copies.  Reports come while copies are under way.
 * STOP_COPY "has the same behavior as STOP", in which the device does no DMA, so a report there is
 * the last one: with it a VMM has sent all that is in memory.
 */
TEST_F_TIMEOUT(load, no_write_is_missed_while_saving, 60)
{
	const struct dma_region *target = &self->load.memory[MIG_LOAD_TARGET];
	u8 *sent;
	int fd;

	if (!self->source.dma_log)
		SKIP(return, "the device does not log its DMA");
	if (!mig_has_state(&self->source, S(PRE_COPY)))
		SKIP(return, "no PRE_COPY");
	sent = calloc_assert(1, target->size);
	ASSERT_EQ(start_logging(&self->load, &self->source), 0);
	fd = mig_go(&self->source, S(PRE_COPY));
	for (unsigned int round = 0; round < 8; round++) {
		mig_load_start(&self->load, &self->source, round, self->load.count / 8 ?: 1);
		ASSERT_EQ(send_logged(&self->load, &self->source, sent), 0);
		mig_stream_read(&self->stream, fd, MIG_CHUNK);
		ASSERT_EQ(send_logged(&self->load, &self->source, sent), 0);
		ASSERT_EQ(mig_load_wait(&self->load, &self->source), 0);
	}
	mig_load_start(&self->load, &self->source, 8, self->load.count);
	ASSERT_EQ(send_logged(&self->load, &self->source, sent), 0);
	ASSERT_EQ(mig_set_state(&self->source, S(STOP_COPY), NULL), 0);
	ASSERT_EQ(send_logged(&self->load, &self->source, sent), 0);
	for (u64 page = 0; page < MIG_LOAD_PAGES; page++) {
		EXPECT_EQ(memcmp(sent + page * PAGE, target->vaddr + page * PAGE, PAGE), 0)
			TH_LOG("page %lu was written after it was last reported", page);
	}
	/* The copies go on at the destination, into the same memory */
	move(&self->source, self->dest, &self->load, &self->stream, fd);
	EXPECT_EQ(mig_load_check(&self->load, self->dest), 0);
	free(sent);
}

/* An interrupt of the destination, for what the driver does there */
TEST_F_TIMEOUT(load, interrupts_come_at_the_destination, 60)
{
	struct vfio_pci_driver *driver;
	int fd, event;
	u64 count;

	if (!self->source.vfio->driver.ops->send_msi)
		SKIP(return, "the driver can't send an interrupt");
	fd = mig_go(&self->source, S(STOP_COPY));
	move(&self->source, self->dest, &self->load, &self->stream, fd);
	driver = &self->dest->vfio->driver;
	event = self->dest->vfio->msi_eventfds[driver->msi];
	fcntl_set_nonblock(event);
	/* A device may send one for what the driver might have missed */
	if (read(event, &count, sizeof(count)) == sizeof(count))
		mig_report("%lu interrupts when the device runs again", count);
	count = 0;
	vfio_pci_driver_send_msi(self->dest->vfio);
	for (int i = 0; i < 10000 && read(event, &count, sizeof(count)) < 0; i++)
		usleep(100);
	EXPECT_EQ(count, 1);
}

int main(int argc, char *argv[])
{
	mig_get_devices(&argc, argv);
	return test_harness_run(argc, argv);
}
