// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a guest or a stream can cause in the kernel's log is limited, of each VF by itself.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "kmsg.h"
#include "rig.h"

#include "harness.h"

/* Of the kernel's default rate limit: lines at once, and the time after which there may be more */
#define BURST		10
#define INTERVAL_MS	5000

#define TIMES		60

FIXTURE(log)
{
	struct rig rig;
	struct nvme other;	/* of VF 1 */
	int kmsg;
	u64 begin;
};

FIXTURE_SETUP(log)
{
	const char *why = rig_open(&self->rig, &(struct pf_vfs){ .count = 2 }, IOMMU_TYPE1, 2);

	if (why)
		SKIP(return, "%s", why);
	rig_start(&self->rig);
	nvme_init(&self->other, &self->rig.dev[1], &self->rig.mem);
	must(!nvme_create_io(&self->other, 1, 16, -1));
	/* What was said before does not count */
	sleep_ms(INTERVAL_MS);
	self->kmsg = kmsg_open();
	self->begin = now_ms();
}

FIXTURE_TEARDOWN(log)
{
	close(self->kmsg);
	rig_close(&self->rig);
}

/* Lines of our drivers about @bdf since the test began */
static unsigned int lines_of(int kmsg, const char *bdf)
{
	unsigned int lines = 0;
	char record[KMSG_RECORD];
	int ret;

	while ((ret = kmsg_next(kmsg, record))) {
		must(ret > 0);
		lines += strstr(record, "vfmig") && strstr(record, bdf);
	}
	return lines;
}

/* How many lines of one kind the limit has room for */
static unsigned int most(u64 begin)
{
	return BURST * ((now_ms() - begin) / INTERVAL_MS + 1);
}

static void refuse_one(struct vfio_dev *dev)
{
	struct vfmig_record nonsense = { .type = VFMIG_RECORD_IDENTITY };
	int fd;

	must(!mig_set(dev, RESUMING, &fd));
	must(mig_write(fd, &nonsense, sizeof(nonsense), sizeof(nonsense)) == -EINVAL);
	close(fd);
	must(!vfio_reset(dev));
}

/* Nothing is mapped there.  The command fails alone. */
static void fault_one(struct nvme *nvme)
{
	u16 cid = nvme_submit_read(nvme, &nvme->io[1], 0, 8, 0xdead00000000);

	nvme_ring(nvme, &nvme->io[1]);
	must(nvme_wait(nvme, &nvme->io[1], cid, NULL) > 0);
}

TEST_F_TIMEOUT(log, refused_streams_say_little, 120)
{
	struct vfio_dev *dev = &self->rig.dev[1];
	unsigned int lines, limit;

	for (unsigned int i = 0; i < TIMES; i++)
		refuse_one(dev);
	lines = lines_of(self->kmsg, dev->bdf);
	limit = most(self->begin);
	EXPECT_GE(lines, 1);
	EXPECT_LE(lines, limit);
	EXPECT_LT(limit, TIMES) TH_LOG("too slow a machine to tell");
}

TEST_F_TIMEOUT(log, dma_faults_of_a_guest_say_little, 60)
{
	struct rig *rig = &self->rig;
	unsigned int lines;

	for (unsigned int i = 0; i < TIMES; i++)
		fault_one(&rig->nvme);
	lines = lines_of(self->kmsg, rig->dev[0].bdf);
	EXPECT_GE(lines, 1);
	EXPECT_LE(lines, most(self->begin));
	/* They do not use up what another VF may say */
	fault_one(&self->other);
	EXPECT_EQ(lines_of(self->kmsg, rig->dev[1].bdf), 1);
}

TEST_HARNESS_MAIN
