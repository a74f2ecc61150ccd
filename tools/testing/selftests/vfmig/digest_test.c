// SPDX-License-Identifier: GPL-2.0-only
/*
 * The digest of what a guest sees, in the identity record: what it is of, and that a
 * destination with another one refuses.
 */
#include <errno.h>

#include "rig.h"

#include "harness.h"

#define SHALL	(VFMIG_RECORD_MANDATORY | VFMIG_RECORD_PAYLOAD_CRC)

/*
 * The digest of this version, by LBA size.  If it changed, a guest sees another device than
 * before: a register, a byte of Identify or of a log page, a feature, or where one is.  A guest
 * that moves to such a device does not look again, so it must not move there from a device of
 * before.  The digest sees to that, so all there is to do is:
 *
 * - Was the change meant?  If not, undo it.
 * - Was the device that looks as before in a release?  If so, consider to let a VF look like
 *   it when a stream of such a device is loaded, rather than to refuse.
 * - Put the new values here.
 */
#define DIGEST_512	0x89a39617
#define DIGEST_4096	0x722b19f0

FIXTURE(digest)
{
	struct rig rig;
	struct blob blob;
	struct stream_record records[STREAM_MAX_RECORDS];
	u8 *buf;
};

FIXTURE_VARIANT(digest)
{
	enum iommu_mode mode;
	struct pf_vfs vfs;
	u32 digest;
};

FIXTURE_VARIANT_ADD(digest, type1)
{
	.mode = IOMMU_TYPE1,
	.vfs = { .count = 2 },
	.digest = DIGEST_512,
};

FIXTURE_VARIANT_ADD(digest, iommufd)
{
	.mode = IOMMU_IOMMUFD,
	.vfs = { .count = 2 },
	.digest = DIGEST_512,
};

/* The same: neither the size of the medium nor the number of queues is in it */
FIXTURE_VARIANT_ADD(digest, other_size_and_queues)
{
	.mode = IOMMU_TYPE1,
	.vfs = { .count = 2, .media_mb = 7, .queues = 5 },
	.digest = DIGEST_512,
};

FIXTURE_VARIANT_ADD(digest, blocks_of_4096)
{
	.mode = IOMMU_TYPE1,
	.vfs = { .count = 2, .lba_size = 4096 },
	.digest = DIGEST_4096,
};

FIXTURE_SETUP(digest)
{
	const char *why = rig_open(&self->rig, &variant->vfs, variant->mode, 2);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	self->buf = arena_alloc(&self->rig.mem, PAGE);
}

FIXTURE_TEARDOWN(digest)
{
	blob_free(&self->blob);
	rig_close(&self->rig);
}

/* The stream of device @n, and its NVMe identity */
static struct vfmig_nvme_identity *save(struct rig *rig, unsigned int n, struct blob *blob,
					struct stream_record *records)
{
	struct vfmig_identity *id;

	mig_save(&rig->dev[n], blob);
	must(stream_parse(blob, records));
	id = records[0].payload;
	must(id->model_data_length == sizeof(struct vfmig_nvme_identity));
	return (void *)id->model_data;
}

#define SAVE(n)	save(&self->rig, n, &self->blob, self->records)

TEST_F(digest, is_that_of_this_version)
{
	u32 digest = SAVE(0)->digest;

	EXPECT_EQ(digest, variant->digest) TH_LOG("it is %#010x", digest);
}

TEST_F(digest, has_nothing_of_a_single_disk)
{
	struct rig *rig = &self->rig;
	u32 digest = SAVE(0)->digest;

	EXPECT_EQ(SAVE(1)->digest, digest);

	/* Settings, data, an error */
	must(!mig_set(&rig->dev[0], RUNNING, NULL));
	ASSERT_EQ(nvme_set_feature(&rig->nvme, 0x04, 0x150), 0);
	ASSERT_EQ(nvme_set_feature(&rig->nvme, 0x0b, 0x3), 0);
	fill_pattern(self->buf, PAGE, 1);
	nvme_write_bytes(&rig->nvme, 0, self->buf, PAGE);
	EXPECT_GT(nvme_identify(&rig->nvme, 0xff, 0, self->buf), 0);
	EXPECT_EQ(SAVE(0)->digest, digest);

	/* And as another device */
	rig_land(rig, &self->blob, STOP);
	EXPECT_EQ(SAVE(1)->digest, digest);
}

/* At the first record, and each bit of it */
TEST_F_TIMEOUT(digest, another_one_is_refused, 60)
{
	struct vfmig_nvme_identity *nvme = SAVE(0);
	struct vfio_dev *dst = &self->rig.dev[1];
	int fd;

	for (unsigned int bit = 0; bit <= 32; bit++) {
		u32 digest = nvme->digest;

		nvme->digest ^= bit < 32 ? 1U << bit : ~0U;
		stream_seal(self->records[0].header);
		must(!mig_set(dst, RESUMING, &fd));
		EXPECT_EQ(mig_write(fd, self->blob.data, self->records[0].size - 1, MIB(1)), 0);
		EXPECT_EQ(mig_write(fd, self->blob.data + self->records[0].size - 1, 1, 1), -EINVAL)
			TH_LOG("bit %u", bit);
		EXPECT_EQ(mig_set(dst, STOP, NULL), -EINVAL);
		close(fd);
		must(!vfio_reset(dst));
		nvme->digest = digest;
	}
	stream_seal(self->records[0].header);
	EXPECT_EQ(mig_load(dst, &self->blob), 0);
	EXPECT_EQ(mig_set(dst, STOP, NULL), 0);
}

/* Versions 1 and 2 had no digest, and were of devices that looked different */
TEST_F(digest, device_of_a_version_without_is_refused)
{
	struct vfmig_nvme_identity *nvme = SAVE(0);
	struct vfio_dev *dst = &self->rig.dev[1];
	struct vfmig_identity *id = self->records[0].payload;
	struct blob old = {};
	int fd;

	for (u32 version = 0; version < 3; version++) {
		for (unsigned int cut = 0; cut < 2; cut++) {
			id->model_version = version;
			id->model_data_length = cut ? offsetof(typeof(*nvme), digest) :
						      sizeof(*nvme);
			old.len = 0;
			stream_add(&old, VFMIG_RECORD_IDENTITY, SHALL, id,
				   sizeof(*id) + id->model_data_length);
			must(!mig_set(dst, RESUMING, &fd));
			EXPECT_EQ(mig_write(fd, old.data, old.len, MIB(1)), -EINVAL)
				TH_LOG("version %u", version);
			close(fd);
			must(!vfio_reset(dst));
		}
	}
	blob_free(&old);
}

TEST_HARNESS_MAIN
