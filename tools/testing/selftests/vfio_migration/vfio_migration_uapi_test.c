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

/*
 * "argsz ... indicates the size of the structure passed in": one that ends before the data is an
 * error, as VFIO's ioctls have it.  One that goes beyond is how the structures grow.
 */
TEST_F(uapi, argsz_has_room_for_the_data)
{
	struct {
		struct vfio_device_feature_mig_state state;
		u64 beyond[4];
	} set = { .state = { .device_state = VFIO_DEVICE_STATE_STOP, .data_fd = -1 } };
	const size_t size = sizeof(set.state);
	const u32 flags = SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE;

	memset(set.beyond, 0xee, sizeof(set.beyond));
	for (u32 argsz = 0; argsz < HEADER + size; argsz++) {
		EXPECT_NE(mig_feature_argsz(&self->dev, flags, &set, size, argsz), 0)
			TH_LOG("argsz %u", argsz);
		EXPECT_EQ(mig_get_state(&self->dev), VFIO_DEVICE_STATE_RUNNING);
	}
	EXPECT_EQ(mig_feature_argsz(&self->dev, flags, &set, sizeof(set), HEADER + sizeof(set)), 0);
	EXPECT_EQ(mig_get_state(&self->dev), VFIO_DEVICE_STATE_STOP);
	for (unsigned int i = 0; i < ARRAY_SIZE(set.beyond); i++)
		EXPECT_EQ(set.beyond[i], 0xeeeeeeeeeeeeeeeeULL);
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

/* "read back the estimated data length that will be required to complete stop copy" */
TEST_F(uapi, data_size_is_an_estimate)
{
	struct mig_stream stream = {};
	u64 size;

	if (!self->dev.data_size)
		SKIP(return, "the device does not tell the size of its data");
	ASSERT_EQ(mig_data_size(&self->dev, &size), 0);
	mig_save(&self->dev, &stream);
	if (size != stream.size)
		mig_report("%llu bytes were estimated in RUNNING, and %zu came",
			   (unsigned long long)size, stream.size);
	mig_stream_free(&stream);
}

int main(int argc, char *argv[])
{
	mig_get_devices(&argc, argv);
	return test_harness_run(argc, argv);
}
