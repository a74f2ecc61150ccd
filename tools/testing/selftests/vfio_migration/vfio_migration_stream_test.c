// SPDX-License-Identifier: GPL-2.0-only
/*
 * Streams: what one device saved is loaded by another, or by itself, and what is not such a
 * stream is refused.  Clauses are those of enum vfio_device_mig_state in
 * include/uapi/linux/vfio.h.
 */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "mig.h"

#include "kselftest_harness.h"

#define S(name)	VFIO_DEVICE_STATE_##name

FIXTURE(stream) {
	struct mig_device dev;
	struct mig_stream saved;
};

FIXTURE_VARIANT(stream) {
	const char *mode;
};

#define FIXTURE_VARIANT_ADD_IOMMU_MODE(_mode) \
FIXTURE_VARIANT_ADD(stream, _mode) { \
	.mode = #_mode, \
}

FIXTURE_VARIANT_ADD_ALL_IOMMU_MODES();

/* Save, and open the destination; the source is closed, as another VMM has it */
FIXTURE_SETUP(stream)
{
	const char *why = mig_open(&self->dev, mig_source(), variant->mode);

	if (why)
		SKIP(return, "%s", why);
	mig_save(&self->dev, &self->saved);
	mig_close(&self->dev);
	why = mig_open(&self->dev, mig_destination(), variant->mode);
	if (why)
		SKIP(return, "the destination: %s", why);
}

FIXTURE_TEARDOWN(stream)
{
	mig_stream_free(&self->saved);
	mig_close(&self->dev);
}

/* After a refusal: the state is one that the clause allows, and the device takes the next one */
static void expect_recovery(struct __test_metadata *_metadata, struct mig_device *dev,
			    const struct mig_stream *saved)
{
	u32 state = mig_get_state(dev);

	EXPECT_TRUE(state == S(RESUMING) || state == S(ERROR))
		TH_LOG("a refused stream leaves %s", mig_state_name(state));
	mig_reset(dev);
	EXPECT_EQ(mig_feed(dev, saved->data, saved->size, MIG_CHUNK), 0);
	EXPECT_EQ(mig_set_state(dev, S(RUNNING), NULL), 0);
	mig_reset(dev);
}

/*
 * "The data stream fed into the data_fd should be taken from the data transfer output of a single
 * FD during saving from a compatible device."
 */
TEST_F(stream, is_loaded)
{
	EXPECT_EQ(mig_feed(&self->dev, self->saved.data, self->saved.size, MIG_CHUNK), 0);
	EXPECT_EQ(mig_get_state(&self->dev), S(STOP));
	EXPECT_EQ(mig_set_state(&self->dev, S(RUNNING), NULL), 0);
	EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
}

/* "from a compatible device": one of another kind is none, and the destination must see that */
TEST_F(stream, of_another_kind_is_refused)
{
	struct mig_stream foreign = {};
	struct mig_device other;
	const char *why;

	if (!mig_foreign())
		SKIP(return, "no device of another kind (VFIO_SELFTESTS_FOREIGN)");
	why = mig_open(&other, mig_foreign(), variant->mode);
	if (why)
		SKIP(return, "%s: %s", mig_foreign(), why);
	mig_save(&other, &foreign);
	mig_close(&other);
	EXPECT_NE(mig_feed(&self->dev, foreign.data, foreign.size, MIG_CHUNK), 0);
	mig_stream_free(&foreign);
	expect_recovery(_metadata, &self->dev, &self->saved);
}

/* What was loaded can be saved: it is the same device */
TEST_F(stream, can_be_saved_again)
{
	struct mig_stream again = {};

	ASSERT_EQ(mig_feed(&self->dev, self->saved.data, self->saved.size, MIG_CHUNK), 0);
	ASSERT_EQ(mig_set_state(&self->dev, S(RUNNING), NULL), 0);
	mig_save(&self->dev, &again);
	if (again.size != self->saved.size)
		mig_report("%zu bytes at first, %zu after they were loaded", self->saved.size,
			   again.size);
	mig_reset(&self->dev);
	EXPECT_EQ(mig_feed(&self->dev, again.data, again.size, MIG_CHUNK), 0);
	mig_stream_free(&again);
}

/* "The user is not required to preserve buffer segmentation when writing the data stream" */
TEST_F_TIMEOUT(stream, segments_do_not_matter, 120)
{
	static const size_t chunks[] = { 1, 7, 100, 4097, 1 << 20 };

	for (unsigned int i = 0; i < ARRAY_SIZE(chunks); i++) {
		/* A byte at a time is slow */
		if (self->saved.size / chunks[i] > 1 << 17)
			continue;
		EXPECT_EQ(mig_feed(&self->dev, self->saved.data, self->saved.size, chunks[i]),
			  0)
			TH_LOG("%zu bytes at a time", chunks[i]);
		mig_reset(&self->dev);
	}
}

/*
 * "If the user provided data is found to be incomplete, inconsistent, or otherwise invalid, the
 * migration driver must fail the SET_STATE ioctl and optionally go to the ERROR state".  A driver
 * that fails the write() already does better.
 */
TEST_F_TIMEOUT(stream, cut_is_refused, 120)
{
	size_t size = self->saved.size;
	const size_t cuts[] = { 0, 1, 2, 4, 7, 8, 12, 15, 16, 24, 31, 32, 48, 63, 64, 100,
				size / 4, size / 3, size / 2, size - size / 4, size - 65, size - 64,
				size - 32, size - 16, size - 8, size - 2, size - 1 };
	for (unsigned int i = 0; i < ARRAY_SIZE(cuts); i++) {
		if (cuts[i] >= size)
			continue;
		EXPECT_NE(mig_feed(&self->dev, self->saved.data, cuts[i], MIG_CHUNK), 0)
			TH_LOG("cut after %zu of %zu bytes", cuts[i], size);
		mig_reset(&self->dev);
	}
	EXPECT_NE(mig_feed(&self->dev, self->saved.data, size - 1, MIG_CHUNK), 0);
	expect_recovery(_metadata, &self->dev, &self->saved);
}

/*
 * An invalid stream that write() has complained of is invalid at the end too: "the migration
 * driver must fail the SET_STATE ioctl".  The user may not have looked.
 */
TEST_F_TIMEOUT(stream, refusal_by_write_is_final, 120)
{
	unsigned int refused = 0;

	for (size_t at = 0; at < self->saved.size && at < 256; at += 5) {
		int fd = mig_go(&self->dev, S(RESUMING)), err;

		self->saved.data[at] ^= 0xff;
		err = mig_write_all(fd, self->saved.data, at + 1, MIG_CHUNK);
		if (!err)
			err = mig_write_all(fd, self->saved.data + at + 1,
					    self->saved.size - at - 1, MIG_CHUNK);
		if (err) {
			refused++;
			EXPECT_NE(mig_set_state(&self->dev, S(STOP), NULL), 0)
				TH_LOG("write() fails with %d for byte %zu, and STOP is reached",
				       err, at);
		}
		self->saved.data[at] ^= 0xff;
		close(fd);
		mig_reset(&self->dev);
	}
	if (!refused)
		SKIP(return, "no damage of the first bytes was refused by write()");
}

/*
 * "If the user provided data is found to be [...] inconsistent, or otherwise invalid": how much of
 * that a driver finds is its own affair.
 */
TEST_F_TIMEOUT(stream, damage, 120)
{
	unsigned int tried = 0, taken = 0;
	size_t step = self->saved.size / 60 + 1;

	for (size_t at = 0; at < self->saved.size; at += step) {
		int ret;

		self->saved.data[at] ^= 1 << at % 8;
		ret = mig_feed(&self->dev, self->saved.data, self->saved.size, MIG_CHUNK);
		self->saved.data[at] ^= 1 << at % 8;
		tried++;
		if (ret) {
			u32 state = mig_get_state(&self->dev);

			EXPECT_TRUE(state == S(RESUMING) || state == S(ERROR))
				TH_LOG("byte %zu: %s remains", at, mig_state_name(state));
		} else {
			taken++;
			/* Whatever it is now, it can run and be reset */
			EXPECT_EQ(mig_set_state(&self->dev, S(RUNNING), NULL), 0);
		}
		mig_reset(&self->dev);
		EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
	}
	if (taken)
		mig_report("%u of %u streams with a flipped bit were taken", taken, tried);
	EXPECT_EQ(mig_feed(&self->dev, self->saved.data, self->saved.size, MIG_CHUNK), 0);
}

/* Whether the stream is taken or not, the device is in a state that the clause allows */
static void try_stream(struct __test_metadata *_metadata, struct mig_device *dev, const char *what,
		       const void *data, size_t size)
{
	int ret = mig_feed(dev, data, size, MIG_CHUNK);
	u32 state = mig_get_state(dev);

	if (ret) {
		EXPECT_TRUE(state == S(RESUMING) || state == S(ERROR))
			TH_LOG("%s: %s remains", what, mig_state_name(state));
	} else {
		mig_report("%s is taken", what);
		EXPECT_EQ(state, S(STOP));
		EXPECT_EQ(mig_set_state(dev, S(RUNNING), NULL), 0);
	}
	mig_reset(dev);
	EXPECT_EQ(mig_get_state(dev), S(RUNNING));
}

/*
 * What no saving FD gives out.  "If the user provided data is found to be [...] invalid": the
 * header does not say what a driver must find, so it may take such a stream.  The device is as
 * good as before in either case.
 */
TEST_F_TIMEOUT(stream, no_stream, 60)
{
	size_t size = self->saved.size, half = size / 2;
	u8 *data = calloc_assert(2, size);

	try_stream(_metadata, &self->dev, "a stream of zeroes", data, size);
	memcpy(data, self->saved.data, size);
	memcpy(data + size, self->saved.data, size);
	try_stream(_metadata, &self->dev, "a stream that is repeated", data, 2 * size);
	try_stream(_metadata, &self->dev, "a stream with a byte more", data, size + 1);
	memcpy(data, self->saved.data + half, size - half);
	memcpy(data + size - half, self->saved.data, half);
	try_stream(_metadata, &self->dev, "a stream whose halves are swapped", data, size);
	for (size_t i = 0; i < size; i++)
		data[i] = rand();
	try_stream(_metadata, &self->dev, "a stream of random bytes", data, size);
	free(data);
	EXPECT_EQ(mig_feed(&self->dev, self->saved.data, self->saved.size, MIG_CHUNK), 0);
}

/* "To abort a RESUMING session the device must be reset." */
TEST_F_TIMEOUT(stream, given_up_after_each_write, 120)
{
	time_t end = time(NULL) + 60;
	size_t size = self->saved.size, part = 0;
	unsigned int writes = 0;

	while (part < size && time(NULL) < end) {
		int fd = mig_go(&self->dev, S(RESUMING));

		part = (size_t)writes * MIG_CUT < size ? (size_t)writes * MIG_CUT : size;
		EXPECT_EQ(mig_write_all(fd, self->saved.data, part, MIG_CUT), 0)
			TH_LOG("%u writes", writes);
		mig_reset(&self->dev);
		EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
		EXPECT_LT(write(fd, self->saved.data, 1), 0);
		close(fd);
		writes = mig_next_cut(writes);
	}
	EXPECT_EQ(mig_feed(&self->dev, self->saved.data, size, MIG_CHUNK), 0);
}

/* The same at bytes that end no write of the source */
TEST_F_TIMEOUT(stream, given_up_after_any_byte, 60)
{
	size_t size = self->saved.size;
	const size_t parts[] = { 1, 16, size / 3, size - 1 };

	for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
		int fd = mig_go(&self->dev, S(RESUMING));

		EXPECT_EQ(mig_write_all(fd, self->saved.data, parts[i] < size ? parts[i] : size,
					MIG_CHUNK), 0);
		mig_reset(&self->dev);
		EXPECT_EQ(mig_get_state(&self->dev), S(RUNNING));
		close(fd);
	}
	EXPECT_EQ(mig_feed(&self->dev, self->saved.data, size, MIG_CHUNK), 0);
}

/*
 * STOP: "When stopped the device and kernel migration driver must accept and respond to
 * interaction to support external subsystems in the STOP state, for example PCI MSI-X and PCI
 * config space."
 */
TEST_F_TIMEOUT(stream, config_space_answers_in_each_state, 60)
{
	struct vfio_region_info config = {
		.argsz = sizeof(config),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	u32 id, first;

	ASSERT_EQ(ioctl(self->dev.fd, VFIO_DEVICE_GET_REGION_INFO, &config), 0);
	ASSERT_EQ(pread(self->dev.fd, &first, sizeof(first), config.offset), sizeof(first));
	for (u32 state = S(STOP); state < VFIO_DEVICE_STATE_NR; state++) {
		u16 command;
		int fd;

		if (!mig_has_state(&self->dev, state))
			continue;
		fd = mig_go(&self->dev, state);
		EXPECT_EQ(pread(self->dev.fd, &id, sizeof(id), config.offset), sizeof(id));
		EXPECT_EQ(id, first) TH_LOG("in %s", mig_state_name(state));
		EXPECT_EQ(pread(self->dev.fd, &command, sizeof(command),
				config.offset + PCI_COMMAND), sizeof(command));
		EXPECT_EQ(pwrite(self->dev.fd, &command, sizeof(command),
				 config.offset + PCI_COMMAND), sizeof(command));
		if (fd >= 0)
			close(fd);
		mig_reset(&self->dev);
	}
}

int main(int argc, char *argv[])
{
	mig_get_devices(&argc, argv);
	return test_harness_run(argc, argv);
}
