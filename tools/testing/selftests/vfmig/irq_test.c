// SPDX-License-Identifier: GPL-2.0-only
/*
 * MSI-X by eventfd: each interrupt arrives, and one that can't now stays pending and
 * arrives when it can.
 */
#include <linux/pci_regs.h>
#include <pthread.h>
#include <sched.h>

#include "kmod.h"
#include "rig.h"

#include "harness.h"

FIXTURE(irq)
{
	struct rig rig;
};

FIXTURE_VARIANT(irq)
{
	enum iommu_mode mode;
};

FIXTURE_VARIANT_ADD(irq, type1)
{
	.mode = IOMMU_TYPE1,
};

FIXTURE_VARIANT_ADD(irq, iommufd)
{
	.mode = IOMMU_IOMMUFD,
};

FIXTURE_SETUP(irq)
{
	struct pf_vfs vfs = { .count = 2 };
	const char *why = rig_open(&self->rig, &vfs, variant->mode, 1);

	if (why)
		SKIP(return, "%s", why);
}

FIXTURE_TEARDOWN(irq)
{
	rig_close(&self->rig);
}

/* Write @blocks of pattern 1 from LBA 0, leaving the completion to be found */
static void write_blocks(struct rig *rig, unsigned int blocks)
{
	u8 *buf = arena_alloc(&rig->mem, blocks * 512);

	fill_pattern(buf, blocks * 512, 1);
	must(!nvme_rw(&rig->nvme, &rig->nvme.io[1], NVME_WRITE, 0, blocks, buf));
}

TEST_F(irq, has_msix_vectors_and_no_intx)
{
	struct vfio_irq_info info;

	vfio_irq_info(&self->rig.dev[0], VFIO_PCI_INTX_IRQ_INDEX, &info);
	EXPECT_EQ(info.count, 0);
	vfio_irq_info(&self->rig.dev[0], VFIO_PCI_MSI_IRQ_INDEX, &info);
	EXPECT_EQ(info.count, 0);
	vfio_irq_info(&self->rig.dev[0], VFIO_PCI_MSIX_IRQ_INDEX, &info);
	EXPECT_GE(info.count, 33);
	EXPECT_TRUE(info.flags & VFIO_IRQ_INFO_EVENTFD);
}

TEST_F(irq, interrupts_come_by_eventfd)
{
	struct rig *rig = &self->rig;

	rig_start(rig);
	write_blocks(rig, 8);
	EXPECT_TRUE(event_wait(rig->irq[1]));
	EXPECT_EQ(event_count(rig->irq[0]), 0);
	EXPECT_EQ(event_count(rig->irq[2]), 0);
	EXPECT_FALSE(vfio_irq_pending(&rig->dev[0], 1));
}

TEST_F(irq, every_vector_can_fire)
{
	struct rig *rig = &self->rig;
	struct nvme *nvme = &rig->nvme;

	ASSERT_EQ(vfio_irqs_set(&rig->dev[0], 0, NVME_VECTORS, rig->irq), 0);
	nvme_init(nvme, &rig->dev[0], &rig->mem);
	EXPECT_TRUE(event_wait(rig->irq[0]));
	for (int q = 1; q <= NVME_MAX_IO; q++) {
		struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };

		ASSERT_EQ(nvme_create_io(nvme, q, 4, q), 0);
		ASSERT_EQ(nvme_sync(nvme, &nvme->io[q], &flush, NULL), 0);
		EXPECT_TRUE(event_wait(rig->irq[q])) TH_LOG("vector %d", q);
	}
}

TEST_F(irq, vector_without_eventfd_fires_when_it_gets_one)
{
	struct rig *rig = &self->rig;
	int none = -1;

	rig_start(rig);
	ASSERT_EQ(vfio_irqs_set(&rig->dev[0], 1, 1, &none), 0);
	write_blocks(rig, 8);
	EXPECT_TRUE(wait_until(vfio_irq_pending(&rig->dev[0], 1)));
	EXPECT_EQ(event_count(rig->irq[1]), 0);
	ASSERT_EQ(vfio_irqs_set(&rig->dev[0], 1, 1, &rig->irq[1]), 0);
	EXPECT_TRUE(event_wait(rig->irq[1]));
	EXPECT_FALSE(vfio_irq_pending(&rig->dev[0], 1));
	EXPECT_TRUE(stays_false(event_count(rig->irq[1])));
}

TEST_F(irq, vector_beyond_the_enabled_fires_when_it_is_added)
{
	struct rig *rig = &self->rig;
	struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };

	rig_start(rig);
	ASSERT_EQ(nvme_create_io(&rig->nvme, 2, 8, 20), 0);
	ASSERT_EQ(nvme_sync(&rig->nvme, &rig->nvme.io[2], &flush, NULL), 0);
	EXPECT_TRUE(wait_until(vfio_irq_pending(&rig->dev[0], 20)));
	ASSERT_EQ(vfio_irqs_set(&rig->dev[0], 20, 1, &rig->irq[20]), 0);
	EXPECT_TRUE(event_wait(rig->irq[20]));
}

TEST_F(irq, interrupt_waits_while_msix_is_off)
{
	struct rig *rig = &self->rig;

	nvme_init(&rig->nvme, &rig->dev[0], &rig->mem);
	ASSERT_EQ(nvme_create_io(&rig->nvme, 1, 8, 1), 0);
	write_blocks(rig, 8);
	rig_irqs(rig, 0);
	EXPECT_TRUE(event_wait(rig->irq[0]));
	EXPECT_TRUE(event_wait(rig->irq[1]));
}

TEST_F(irq, masked_function_fires_on_unmask)
{
	struct rig *rig = &self->rig;
	char *bdf = rig->dev[0].bdf;
	unsigned int ctl = sysfs_cfg_cap(bdf, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS;
	u32 flags;

	rig_start(rig);
	flags = sysfs_cfg_read(bdf, ctl, 2);
	EXPECT_TRUE(flags & PCI_MSIX_FLAGS_ENABLE);
	sysfs_cfg_write(bdf, ctl, flags | PCI_MSIX_FLAGS_MASKALL, 2);
	write_blocks(rig, 8);
	EXPECT_TRUE(wait_until(vfio_irq_pending(&rig->dev[0], 1)));
	EXPECT_EQ(event_count(rig->irq[1]), 0);
	sysfs_cfg_write(bdf, ctl, flags, 2);
	EXPECT_TRUE(event_wait(rig->irq[1]));
}

/* Two threads, each with queues of its own, and one vector for both */
#define STORM_COMMANDS	1500

struct storm {
	struct rig *rig;
	int q;
	u32 done;
};

static void *storm_thread(void *arg)
{
	struct storm *storm = arg;
	struct nvme *nvme = &storm->rig->nvme;
	struct nvme_queue *q = &nvme->io[storm->q];
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(storm->q % 2, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);	/* one CPU only: fine as well */
	while (storm->done < STORM_COMMANDS) {
		struct nvme_cmd *slot = &q->sq[q->tail];

		*slot = (struct nvme_cmd){ .opcode = NVME_FLUSH, .nsid = 1, .cid = q->tail };
		q->tail = (q->tail + 1) % q->depth;
		nvme_ring(nvme, q);
		if (!wait_until((nvme_cqe_status(q, q->head) & 1) == q->phase))
			break;
		if (++q->head == q->depth) {
			q->head = 0;
			q->phase ^= 1;
		}
		nvme_doorbell(nvme, q->id, true, q->head);
		storm->done++;
	}
	return NULL;
}

TEST_F_TIMEOUT(irq, interrupt_storm_from_two_cpus_loses_none, 90)
{
	struct rig *rig = &self->rig;
	struct nvme *nvme = &rig->nvme;
	struct storm storm[2] = { { .rig = rig, .q = 2 }, { .rig = rig, .q = 3 } };
	pthread_t thread[2];
	u64 events = 0;

	rig_start(rig);
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(nvme_create_io(nvme, storm[i].q, 32, 2), 0);
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(pthread_create(&thread[i], NULL, storm_thread, &storm[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	EXPECT_EQ(storm[0].done, STORM_COMMANDS);
	EXPECT_EQ(storm[1].done, STORM_COMMANDS);
	events = event_count(rig->irq[2]);
	EXPECT_GT(events, 0);
	EXPECT_LE(events, 2 * STORM_COMMANDS);

	/* The last interrupt must not be the one that was lost */
	for (int i = 0; i < 2; i++) {
		struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };

		wait_until(stays_false(event_count(rig->irq[2])));
		nvme_submit(nvme, &nvme->io[storm[i].q], &flush);
		nvme_ring(nvme, &nvme->io[storm[i].q]);
		EXPECT_TRUE(event_wait(rig->irq[2]));
	}
}

/*
 * Every completion wakes a driver that sleeps until its interrupt: one that is
 * raised while the handler of the one before runs must not get lost.
 */
TEST_F_TIMEOUT(irq, every_interrupt_wakes_its_waiter, 60)
{
	struct rig *rig = &self->rig;
	struct nvme *nvme = &rig->nvme;
	struct nvme_cmd flush = { .opcode = NVME_FLUSH, .nsid = 1 };
	unsigned int sent = 0, seen = 0;

	rig_start(rig);
	ASSERT_EQ(nvme_create_io(nvme, 2, 64, 1), 0);
	while (seen < 1000) {
		while (sent < seen + 40) {
			nvme_submit(nvme, &nvme->io[1 + sent % 2], &flush);
			nvme_ring(nvme, &nvme->io[1 + sent % 2]);
			sent++;
		}
		ASSERT_TRUE(event_wait(rig->irq[1])) TH_LOG("%u of %u", seen, sent);
		nvme_reap(nvme, &nvme->io[1]);
		nvme_reap(nvme, &nvme->io[2]);
		seen += nvme->io[1].stashed + nvme->io[2].stashed;
		nvme->io[1].stashed = 0;
		nvme->io[2].stashed = 0;
	}
}

#define POST_MODULE	"vfmig_test_irq"

/* What the test module found out */
static int post_result(const char *name, char *text, size_t size)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "/sys/module/" POST_MODULE "/parameters/%s", name);
	return file_read(path, text, size);
}

/*
 * Where the host's IOMMU can post interrupts, KVM asks for each vector.  The handler must
 * go on to run, so the answer is no, in words that KVM understands.
 */
TEST_F(irq, posting_to_a_vcpu_is_declined_and_interrupts_still_come)
{
	struct rig *rig = &self->rig;
	char args[64], text[16];
	const char *why;

	rig_start(rig);
	snprintf(args, sizeof(args), "device=%s vector=1", rig->dev[0].bdf);
	why = kmod_load_test(POST_MODULE, args);
	if (why)
		SKIP(return, "%s", why);
	EXPECT_EQ(post_result("understood", text, sizeof(text)), 0);
	EXPECT_STREQ(text, "Y");
	EXPECT_EQ(post_result("untouched", text, sizeof(text)), 0);
	EXPECT_STREQ(text, "Y");
	EXPECT_EQ(post_result("taken_back", text, sizeof(text)), 0);
	EXPECT_STREQ(text, "0");
	EXPECT_EQ(kmod_unload(POST_MODULE), 0);

	event_count(rig->irq[1]);
	write_blocks(rig, 8);
	EXPECT_TRUE(event_wait(rig->irq[1]));
}

TEST_HARNESS_MAIN
