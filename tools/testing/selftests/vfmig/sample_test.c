// SPDX-License-Identifier: GPL-2.0-only
/*
 * The model "sample", which Documentation/new-model.rst explains: its registers, its DMA
 * and interrupt, and its migration.
 */
#include <errno.h>
#include <linux/vfmig.h>
#include <string.h>
#include <unistd.h>

#include "change.h"
#include "mig.h"

#include "harness.h"

/* Registers */
#define ADDR		0x00
#define COMMAND		0x08
#define SCRATCH		0x40
#define REGS_SIZE	256

#define DONE		1
#define FAILED		2

FIXTURE(sample)
{
	char pf[BDF_SIZE];
	struct iommu iommu[2];
	struct vfio_dev dev[2];
	struct arena mem;
	int irq;
	unsigned int opened;
};

FIXTURE_SETUP(sample)
{
	const char *why = pf_require(&(struct pf_vfs){}, self->pf);
	char vf[BDF_SIZE];

	if (why)
		SKIP(return, "%s", why);
	ASSERT_EQ(file_write(pci_path(self->pf, "vfmig/model"), "sample"), 0);
	ASSERT_EQ(pf_set_numvfs(self->pf, 2), 0);
	arena_init(&self->mem);
	self->irq = event_new();
	for (unsigned int i = 0; i < 2; i++) {
		why = iommu_init(&self->iommu[i], IOMMU_TYPE1);
		if (why)
			SKIP(return, "%s", why);
		ASSERT_TRUE(pf_vf(self->pf, i, vf));
		ASSERT_EQ(vfio_open(&self->dev[i], &self->iommu[i], vf), 0);
		arena_map(&self->mem, &self->iommu[i]);
		self->opened++;
	}
	vfio_bus_master(&self->dev[0], true);
	ASSERT_EQ(vfio_irqs_set(&self->dev[0], 0, 1, &self->irq), 0);
}

static void close_devices(struct vfio_dev *dev, struct iommu *iommu, unsigned int *opened)
{
	while (*opened) {
		unsigned int i = --*opened;

		vfio_close(&dev[i]);
		iommu_exit(&iommu[i]);
	}
}

FIXTURE_TEARDOWN(sample)
{
	close_devices(self->dev, self->iommu, &self->opened);
	arena_exit(&self->mem);
	close(self->irq);
	EXPECT_EQ(pf_set_numvfs(self->pf, 0), 0);
	EXPECT_EQ(file_write(pci_path(self->pf, "vfmig/model"), "nvme"), 0);
}

TEST_F(sample, registers_keep_what_is_written)
{
	struct vfio_dev *dev = &self->dev[0];

	EXPECT_EQ(bar_read32(dev, SCRATCH), 0);
	bar_write32(dev, SCRATCH, 0x12345678);
	EXPECT_EQ(bar_read32(dev, SCRATCH), 0x12345678);
	EXPECT_EQ(bar_read32(dev, SCRATCH + 4), 0);
	EXPECT_EQ(bar_read32(&self->dev[1], SCRATCH), 0);
	bar_write32(dev, REGS_SIZE, 1);
	EXPECT_EQ(bar_read32(dev, REGS_SIZE), ~0U);
	ASSERT_EQ(vfio_reset(dev), 0);
	EXPECT_EQ(bar_read32(dev, SCRATCH), 0);
}

static void run_command(struct vfio_dev *dev, u64 iova)
{
	bar_write32(dev, ADDR, iova);
	bar_write32(dev, ADDR + 4, iova >> 32);
	bar_write32(dev, COMMAND, 7);
}

TEST_F(sample, command_writes_the_registers_to_memory)
{
	struct vfio_dev *dev = &self->dev[0];
	u32 *buf = arena_alloc(&self->mem, PAGE);

	bar_write32(dev, SCRATCH, 0xabcd);
	run_command(dev, arena_iova(&self->mem, buf));
	EXPECT_EQ(bar_read32(dev, COMMAND), DONE);
	EXPECT_TRUE(event_wait(self->irq));
	EXPECT_EQ(buf[SCRATCH / 4], 0xabcd);
	EXPECT_EQ(buf[COMMAND / 4], 7);

	run_command(dev, 0);
	EXPECT_EQ(bar_read32(dev, COMMAND), FAILED);
	EXPECT_TRUE(event_wait(self->irq));
	EXPECT_EQ(vf_dma_faults(dev->bdf), 1);

	/* Those of a VF that was there before are none of a new one's */
	close_devices(self->dev, self->iommu, &self->opened);
	ASSERT_EQ(pf_set_numvfs(self->pf, 0), 0);
	ASSERT_EQ(pf_set_numvfs(self->pf, 1), 0);
	EXPECT_EQ(vf_dma_faults(dev->bdf), 0);
}

TEST_F(sample, state_moves)
{
	u32 *buf = arena_alloc(&self->mem, PAGE);
	struct blob blob = {};

	for (u64 reg = SCRATCH; reg < REGS_SIZE; reg += 4)
		bar_write32(&self->dev[0], reg, reg * 3);
	run_command(&self->dev[0], arena_iova(&self->mem, buf));
	EXPECT_TRUE(event_wait(self->irq));
	vfio_irqs_off(&self->dev[0]);

	mig_save(&self->dev[0], &blob);
	EXPECT_LT(blob.len, PAGE);
	ASSERT_EQ(mig_load(&self->dev[1], &blob), 0);
	blob_free(&blob);
	vfio_bus_master(&self->dev[1], true);
	ASSERT_EQ(vfio_irqs_set(&self->dev[1], 0, 1, &self->irq), 0);
	ASSERT_EQ(mig_set(&self->dev[1], RUNNING, NULL), 0);

	EXPECT_TRUE(event_wait(self->irq)) TH_LOG("the interrupt did not come again");
	EXPECT_EQ(bar_read32(&self->dev[1], COMMAND), DONE);
	for (u64 reg = SCRATCH; reg < REGS_SIZE; reg += 4)
		EXPECT_EQ(bar_read32(&self->dev[1], reg), reg * 3);
	memset(buf, 0, PAGE);
	run_command(&self->dev[1], arena_iova(&self->mem, buf));
	EXPECT_EQ(buf[SCRATCH / 4], SCRATCH * 3);
}

TEST_F(sample, size_of_the_stream_is_known)
{
	struct vfio_dev *dev = &self->dev[0];
	struct blob blob = {};
	u64 running, stopped;
	int fd;

	ASSERT_EQ(mig_size(dev, &running), 0);
	ASSERT_EQ(mig_set(dev, STOP_COPY, &fd), 0);
	ASSERT_EQ(mig_size(dev, &stopped), 0);
	ASSERT_EQ(mig_read(fd, &blob, PAGE), 0);
	close(fd);
	EXPECT_GE(blob.len, REGS_SIZE);
	EXPECT_EQ(stopped, blob.len);
	EXPECT_EQ(running, blob.len);
	blob_free(&blob);
}

/* It changes nothing while it is stopped */
TEST_F(sample, writes_are_dropped_while_it_is_stopped)
{
	struct vfio_dev *dev = &self->dev[0];

	bar_write32(dev, SCRATCH, 1);
	ASSERT_EQ(mig_set(dev, STOP, NULL), 0);
	bar_write32(dev, SCRATCH, 2);
	EXPECT_EQ(bar_read32(dev, SCRATCH), 1);
	ASSERT_EQ(mig_set(dev, RUNNING, NULL), 0);
	EXPECT_EQ(bar_read32(dev, SCRATCH), 1);
}

TEST_F(sample, a_state_of_another_size_is_refused)
{
	static const u8 more[4];
	struct blob good = {}, bad = {};
	struct vfmig_record *state;
	size_t size;

	mig_save(&self->dev[0], &good);
	state = change_state(&good);
	size = (u8 *)state - good.data;
	for (int step = -4; step <= 4; step += 4) {
		struct blob payload = {};

		bad.len = 0;
		blob_append(&bad, good.data, size);
		blob_append(&payload, state + 1, state->length);
		blob_append(&payload, more, sizeof(more));
		stream_add(&bad, VFMIG_RECORD_STATE, state->flags, payload.data,
			   state->length + step);
		stream_add_end(&bad);
		EXPECT_EQ(mig_load(&self->dev[1], &bad), step ? -EINVAL : 0) TH_LOG("%d", step);
		ASSERT_EQ(vfio_reset(&self->dev[1]), 0);
		blob_free(&payload);
	}
	blob_free(&good);
	blob_free(&bad);
}

TEST_F(sample, a_stream_of_another_model_is_refused)
{
	struct blob blob = {};
	u8 *name;

	mig_save(&self->dev[0], &blob);
	name = memmem(blob.data, blob.len, "sample", 6);
	ASSERT_NE(name, NULL);
	memcpy(name, "simple", 6);
	EXPECT_NE(mig_load(&self->dev[1], &blob), 0);
	blob_free(&blob);
}

TEST_HARNESS_MAIN
