// SPDX-License-Identifier: GPL-2.0-only
/*
 * The features of migration as features: what is advertised, what probing says, and which
 * arguments are refused.  Clauses are those of include/uapi/linux/vfio.h.
 */
#include <unistd.h>

#include "mig.h"

#include "kselftest_harness.h"

#define PROBE	VFIO_DEVICE_FEATURE_PROBE
#define GET	VFIO_DEVICE_FEATURE_GET
#define SET	VFIO_DEVICE_FEATURE_SET

#define HEADER	sizeof(struct vfio_device_feature)

FIXTURE(uapi) {
	struct mig_device dev;
};

FIXTURE_VARIANT(uapi) {
	const char *mode;
};

#define FIXTURE_VARIANT_ADD_IOMMU_MODE(_mode) \
FIXTURE_VARIANT_ADD(uapi, _mode) { \
	.mode = #_mode, \
}

FIXTURE_VARIANT_ADD_ALL_IOMMU_MODES();

FIXTURE_SETUP(uapi)
{
	const char *why = mig_open(&self->dev, mig_source(), variant->mode);

	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(uapi)
{
	mig_close(&self->dev);
}

/* VFIO_DEVICE_FEATURE_MIGRATION: "at least VFIO_MIGRATION_STOP_COPY must be set" */
TEST_F(uapi, stop_copy_is_supported)
{
	const u64 known = VFIO_MIGRATION_STOP_COPY | VFIO_MIGRATION_P2P | VFIO_MIGRATION_PRE_COPY;

	EXPECT_TRUE(self->dev.flags & VFIO_MIGRATION_STOP_COPY);
	/* "Other combinations of flags have behavior to be defined in the future." */
	if (self->dev.flags & ~known)
		mig_report("flags that this suite does not know: %#llx",
			   (unsigned long long)(self->dev.flags & ~known));
	ksft_print_msg("the device has STOP_COPY%s%s%s%s%s\n",
		       self->dev.flags & VFIO_MIGRATION_P2P ? ", P2P" : "",
		       self->dev.flags & VFIO_MIGRATION_PRE_COPY ? ", PRE_COPY" : "",
		       self->dev.data_size ? ", DATA_SIZE" : "",
		       self->dev.info_v2 ? ", PRECOPY_INFOv2" : "",
		       self->dev.dma_log ? ", DMA logging" : "");
}

/*
 * VFIO_DEVICE_FEATURE: "Probing a feature will return success if the feature is supported and all
 * of the optionally indicated GET/SET methods are supported.  [...] The data portion is not
 * required for probing."
 */
TEST_F(uapi, probe_knows_the_methods)
{
	static const struct {
		u32 feature;
		u32 methods;
	} features[] = {
		{ VFIO_DEVICE_FEATURE_MIGRATION, GET },
		{ VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, GET | SET },
		{ VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, GET },
		{ VFIO_DEVICE_FEATURE_DMA_LOGGING_START, SET },
		{ VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, SET },
		{ VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, GET },
		{ VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, SET },
	};
	static const u32 asked[] = { 0, GET, SET, GET | SET };

	for (unsigned int i = 0; i < ARRAY_SIZE(features); i++) {
		bool has = mig_has_feature(&self->dev, features[i].feature);

		for (unsigned int j = 0; j < ARRAY_SIZE(asked); j++) {
			int ret = mig_feature(&self->dev, PROBE | asked[j] | features[i].feature,
					      NULL, 0);

			EXPECT_EQ(!ret, has && !(asked[j] & ~features[i].methods))
				TH_LOG("feature %u, methods %#x: %d", features[i].feature,
				       asked[j], ret);
		}
	}
}

/* "GET and SET are mutually exclusive, except for use with PROBE." */
TEST_F(uapi, get_and_set_exclude_each_other)
{
	struct vfio_device_feature_mig_state state = {
		.device_state = VFIO_DEVICE_STATE_STOP,
		.data_fd = -1,
	};

	EXPECT_NE(mig_feature(&self->dev, GET | SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &state,
			      sizeof(state)), 0);
	EXPECT_EQ(mig_get_state(&self->dev), VFIO_DEVICE_STATE_RUNNING);
}

/* A feature has the methods that its comment begins with: "Upon VFIO_DEVICE_FEATURE_GET ..." */
TEST_F(uapi, methods_that_a_feature_has_not_are_refused)
{
	struct vfio_device_feature_mig_data_size size = { .stop_copy_length = 1 };
	struct vfio_device_feature_migration migration = {};

	EXPECT_NE(mig_feature(&self->dev, SET | VFIO_DEVICE_FEATURE_MIGRATION, &migration,
			      sizeof(migration)), 0);
	EXPECT_NE(mig_feature(&self->dev, SET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE, &size,
			      sizeof(size)), 0);
	EXPECT_NE(mig_feature(&self->dev, GET | VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, NULL, 0),
		  0);
}

static const struct call {
	u32 flags;
	size_t size;	/* of the data */
} calls[] = {
	{ GET | VFIO_DEVICE_FEATURE_MIGRATION, sizeof(struct vfio_device_feature_migration) },
	{ GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
	  sizeof(struct vfio_device_feature_mig_state) },
	{ SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
	  sizeof(struct vfio_device_feature_mig_state) },
	{ GET | VFIO_DEVICE_FEATURE_MIG_DATA_SIZE,
	  sizeof(struct vfio_device_feature_mig_data_size) },
	{ SET | VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2, 0 },
	/* In this order, as each but the first needs the one before */
	{ SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
	  sizeof(struct vfio_device_feature_dma_logging_control) },
	{ GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
	  sizeof(struct vfio_device_feature_dma_logging_report) },
	{ SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, 0 },
};

/* The data of any of them, and what is beyond it */
struct call_data {
	union {
		struct vfio_device_feature_mig_state state;
		struct vfio_device_feature_dma_logging_control control;
		struct vfio_device_feature_dma_logging_report report;
		u8 bytes[96];
	};
	u64 bitmap;
	struct vfio_device_feature_dma_logging_range range;
};

/* Arguments that are valid, if argsz is */
static void fill(struct call_data *data, const struct call *call)
{
	memset(data, 0xee, sizeof(*data));
	data->range.iova = 0x100000000ULL;
	data->range.length = 0x1000;
	memset(data->bytes, 0, call->size);
	switch (call->flags & VFIO_DEVICE_FEATURE_MASK) {
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		data->state.device_state = VFIO_DEVICE_STATE_STOP;
		data->state.data_fd = -1;
		break;
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		data->control.page_size = 0x1000;
		data->control.num_ranges = 1;
		data->control.ranges = (uintptr_t)&data->range;
		break;
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT:
		data->report.iova = data->range.iova;
		data->report.length = data->range.length;
		data->report.page_size = 0x1000;
		data->report.bitmap = (uintptr_t)&data->bitmap;
		break;
	}
}

static int report(struct mig_device *dev)
{
	struct call call = { GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
			     sizeof(struct vfio_device_feature_dma_logging_report) };
	struct call_data data;

	fill(&data, &call);
	return mig_feature(dev, call.flags, &data, call.size);
}

static void expect_refusal(struct __test_metadata *_metadata, struct mig_device *dev,
			   const struct call *call, u32 argsz)
{
	struct call_data data, before;

	fill(&data, call);
	before = data;
	EXPECT_EQ(mig_feature_argsz(dev, call->flags, &data, call->size, argsz), -EINVAL)
		TH_LOG("flags %#x, argsz %u", call->flags, argsz);
	EXPECT_EQ(memcmp(&data, &before, sizeof(data)), 0)
		TH_LOG("flags %#x, argsz %u: something was written", call->flags, argsz);
	EXPECT_EQ(mig_get_state(dev), VFIO_DEVICE_STATE_RUNNING);
}

/*
 * "argsz" is what the user has room for.  VFIO's ioctls fail with EINVAL if that ends before the
 * data, and have done nothing then.
 */
TEST_F(uapi, argsz_without_room_is_refused)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
		const struct call *call = &calls[i];
		struct call_data data;

		if (!mig_has_feature(&self->dev, call->flags & VFIO_DEVICE_FEATURE_MASK))
			continue;
		for (u32 argsz = 0; argsz < HEADER + call->size; argsz++)
			expect_refusal(_metadata, &self->dev, call, argsz);
		/* A stop that was refused has not stopped it */
		if (call->flags == (SET | VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP))
			EXPECT_EQ(report(&self->dev), 0);
		/* Nor has a start started it, which a second one would fail for */
		fill(&data, call);
		EXPECT_EQ(mig_feature(&self->dev, call->flags, &data, call->size), 0)
			TH_LOG("flags %#x", call->flags);
		if (call->flags == (SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE))
			mig_reset(&self->dev);
	}
}

/* A larger argsz is how the structures grow: what is beyond the data is left alone */
TEST_F(uapi, argsz_may_go_beyond_the_data)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
		const struct call *call = &calls[i];
		struct call_data data;

		if (!mig_has_feature(&self->dev, call->flags & VFIO_DEVICE_FEATURE_MASK))
			continue;
		fill(&data, call);
		EXPECT_EQ(mig_feature(&self->dev, call->flags, &data, sizeof(data.bytes)), 0)
			TH_LOG("flags %#x", call->flags);
		for (size_t at = call->size; at < sizeof(data.bytes); at++) {
			EXPECT_EQ(data.bytes[at], 0xee)
				TH_LOG("flags %#x: byte %zu is written", call->flags, at);
		}
	}
	EXPECT_EQ(mig_get_state(&self->dev), VFIO_DEVICE_STATE_STOP);
}

/* "The data portion is not required for probing." */
TEST_F(uapi, probe_takes_any_argsz_with_the_header)
{
	struct call_data data;

	memset(&data, 0, sizeof(data));
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
		u32 feature = calls[i].flags & VFIO_DEVICE_FEATURE_MASK;
		bool has = mig_has_feature(&self->dev, feature);

		for (u32 argsz = 0; argsz < HEADER + sizeof(data.bytes); argsz++) {
			int ret = mig_feature_argsz(&self->dev, PROBE | calls[i].flags, &data,
						    sizeof(data.bytes), argsz);

			EXPECT_EQ(!ret, has && argsz >= HEADER)
				TH_LOG("flags %#x, argsz %u: %d", calls[i].flags, argsz, ret);
		}
	}
}

/* "flags: ... feature-index, GET, SET, PROBE": other bits have no meaning yet */
TEST_F(uapi, unknown_flags_are_refused)
{
	struct vfio_device_feature_migration migration = {};

	for (unsigned int bit = 19; bit < 32; bit++) {
		EXPECT_NE(mig_feature(&self->dev, 1U << bit | GET | VFIO_DEVICE_FEATURE_MIGRATION,
				      &migration, sizeof(migration)), 0)
			TH_LOG("bit %u", bit);
	}
}

/* VFIO_DEVICE_FEATURE_MIG_DATA_SIZE: "Note: Can be called on each device state." */
TEST_F(uapi, data_size_answers_in_each_state)
{
	u64 size;

	if (!self->dev.data_size)
		SKIP(return, "the device does not tell the size of its data");
	for (u32 state = VFIO_DEVICE_STATE_STOP; state < VFIO_DEVICE_STATE_NR; state++) {
		int data_fd;

		if (!mig_has_state(&self->dev, state))
			continue;
		data_fd = mig_go(&self->dev, state);
		EXPECT_EQ(mig_data_size(&self->dev, &size), 0)
			TH_LOG("in %s", mig_state_name(state));
		if (state != VFIO_DEVICE_STATE_RESUMING && !size)
			mig_report("a size of 0 in %s", mig_state_name(state));
		if (data_fd >= 0)
			close(data_fd);
		mig_reset(&self->dev);
	}
}

/*
 * "read back the estimated data length that will be required to complete stop copy".  How good the
 * estimate is remains open.  Asking for it takes nothing out of the stream.
 */
TEST_F(uapi, data_size_beside_a_session)
{
	struct mig_stream stream = {};
	u64 size, left;
	ssize_t n;
	int fd;

	if (!self->dev.data_size)
		SKIP(return, "the device does not tell the size of its data");
	ASSERT_EQ(mig_data_size(&self->dev, &size), 0);
	fd = mig_go(&self->dev, VFIO_DEVICE_STATE_STOP_COPY);
	do {
		n = mig_stream_read(&stream, fd, MIG_CHUNK);
		ASSERT_EQ(mig_data_size(&self->dev, &left), 0);
	} while (n > 0);
	EXPECT_EQ(n, 0);
	close(fd);
	if (size != stream.size)
		mig_report("%llu bytes were estimated in RUNNING, and %zu came",
			   (unsigned long long)size, stream.size);
	if (left)
		mig_report("%llu bytes are estimated at the end", (unsigned long long)left);
	mig_reset(&self->dev);
	EXPECT_EQ(mig_feed(&self->dev, stream.data, stream.size, MIG_CHUNK), 0);
	mig_stream_free(&stream);
}

int main(int argc, char *argv[])
{
	mig_get_devices(&argc, argv);
	return test_harness_run(argc, argv);
}
