// SPDX-License-Identifier: GPL-2.0-only
/*
 * NVMe controllers, as the NVMe Base Specification describes them.
 *
 * A controller copies memory by way of the medium: it writes the source to namespace 1 and reads
 * it back into the destination.  This overwrites the first blocks of the namespace.  So the driver
 * takes only devices that the user names in VFIO_SELFTESTS_NVME_OVERWRITE, by PCI address.
 *
 * All state is in the driver's region, so that the driver can go on with another controller to
 * which the first has been migrated.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/pci_regs.h>
#include <linux/sizes.h>

#include <asm/barrier.h>

#include <libvfio.h>

#define PCI_CLASS_NVME		0x010802

#define REG_CAP			0x00
#define REG_CC			0x14
#define REG_CSTS		0x1c
#define REG_AQA			0x24
#define REG_ASQ			0x28
#define REG_ACQ			0x30
#define REG_DOORBELLS		0x1000

/* Entries of 64 and 16 bytes, pages of 4 KiB */
#define CC_ENABLE		(1 | 6 << 16 | 4 << 20)
#define CSTS_RDY		1

#define ADMIN_CREATE_SQ		0x01
#define ADMIN_CREATE_CQ		0x05
#define ADMIN_IDENTIFY		0x06
#define ADMIN_SET_FEATURES	0x09
#define FEATURE_QUEUES		0x07
#define IO_FLUSH		0x00
#define IO_WRITE		0x01
#define IO_READ			0x02

#define PAGE			SZ_4K
#define MAX_ENTRIES		1024
#define MAX_SIZE		SZ_128K
#define TIMEOUT_S		30

struct nvme_cmd {
	u8 opcode;
	u8 flags;
	u16 cid;
	u32 nsid;
	u64 reserved;
	u64 mptr;
	u64 prp1;
	u64 prp2;
	u32 cdw10;
	u32 cdw11;
	u32 cdw12;
	u32 cdw13;
	u32 cdw14;
	u32 cdw15;
};

struct nvme_cqe {
	u32 dw0;
	u32 dw1;
	u16 sq_head;
	u16 sq_id;
	u16 cid;
	u16 status;	/* bit 0 is the phase */
};

enum { ADMIN, COPY, MSI, QUEUES };

struct nvme_queue {
	u16 entries;
	u16 tail;
	u16 head;
	u16 phase;
	unsigned int in_flight;
	bool failed;
};

struct nvme {
	struct nvme_cmd sq[QUEUES][MAX_ENTRIES] __aligned(PAGE);
	struct nvme_cqe cq[QUEUES][MAX_ENTRIES] __aligned(PAGE);
	u8 identify[PAGE] __aligned(PAGE);
	u64 source_prps[PAGE / sizeof(u64)] __aligned(PAGE);
	u64 target_prps[PAGE / sizeof(u64)] __aligned(PAGE);
	struct nvme_queue queue[QUEUES];
	unsigned int doorbell_shift;
	unsigned int timeout_s;
	u32 block;	/* bytes */
	u64 blocks;
	int vectors;
};

static struct nvme *to_nvme(struct vfio_pci_device *device)
{
	return device->driver.region.vaddr;
}

static iova_t region_iova(struct vfio_pci_device *device, const void *at)
{
	return device->driver.region.iova + (at - device->driver.region.vaddr);
}

/* A BAR that can't be mapped is read and written through the device */
static u32 read_reg(struct vfio_pci_device *device, u64 offset)
{
	struct vfio_pci_bar *bar = &device->bars[0];
	u32 value;

	if (bar->vaddr)
		return readl(bar->vaddr + offset);
	VFIO_ASSERT_EQ(pread(device->fd, &value, sizeof(value), bar->info.offset + offset),
		       sizeof(value));
	return value;
}

static void write_reg(struct vfio_pci_device *device, u64 offset, u32 value)
{
	struct vfio_pci_bar *bar = &device->bars[0];

	/* What is in memory is for the controller to see */
	wmb();
	if (bar->vaddr) {
		writel(value, bar->vaddr + offset);
		return;
	}
	VFIO_ASSERT_EQ(pwrite(device->fd, &value, sizeof(value), bar->info.offset + offset),
		       sizeof(value));
}

static void write_reg64(struct vfio_pci_device *device, u64 offset, u64 value)
{
	write_reg(device, offset, value);
	write_reg(device, offset + 4, value >> 32);
}

static void ring(struct vfio_pci_device *device, unsigned int queue, bool cq, u32 value)
{
	struct nvme *nvme = to_nvme(device);

	write_reg(device, REG_DOORBELLS + ((2 * queue + cq) << nvme->doorbell_shift), value);
}

static void wait_ready(struct vfio_pci_device *device, bool ready)
{
	time_t end = time(NULL) + to_nvme(device)->timeout_s;

	while ((read_reg(device, REG_CSTS) & CSTS_RDY) != ready) {
		VFIO_ASSERT_LE(time(NULL), end, "CSTS.RDY does not become %d\n", ready);
		usleep(100);
	}
}

static void start_queue(struct nvme *nvme, unsigned int id, u16 entries)
{
	nvme->queue[id] = (struct nvme_queue){ .entries = entries, .phase = 1 };
	memset(nvme->cq[id], 0, sizeof(nvme->cq[id]));
}

static void submit(struct nvme *nvme, unsigned int id, struct nvme_cmd cmd)
{
	struct nvme_queue *queue = &nvme->queue[id];

	VFIO_ASSERT_LT(queue->in_flight, queue->entries - 1);
	cmd.cid = queue->tail;
	nvme->sq[id][queue->tail] = cmd;
	queue->tail = (queue->tail + 1) % queue->entries;
	queue->in_flight++;
}

/* Take the completions that are there; any of a command that failed is remembered */
static void reap(struct vfio_pci_device *device, unsigned int id)
{
	struct nvme *nvme = to_nvme(device);
	struct nvme_queue *queue = &nvme->queue[id];
	bool any = false;

	while (queue->in_flight) {
		u16 status = READ_ONCE(nvme->cq[id][queue->head].status);

		if ((status & 1) != queue->phase)
			break;
		/* The phase is read before all that the controller wrote for this completion */
		rmb();
		if (status >> 1)
			queue->failed = true;
		queue->in_flight--;
		any = true;
		if (++queue->head == queue->entries) {
			queue->head = 0;
			queue->phase ^= 1;
		}
	}
	if (any)
		ring(device, id, true, queue->head);
}

/* Wait for all commands of a queue; returns 0, or -EIO if any of them failed */
static int drain(struct vfio_pci_device *device, unsigned int id)
{
	struct nvme_queue *queue = &to_nvme(device)->queue[id];
	time_t end = time(NULL) + TIMEOUT_S;
	bool failed;

	while (reap(device, id), queue->in_flight)
		VFIO_ASSERT_LE(time(NULL), end, "%u commands do not end\n", queue->in_flight);
	failed = queue->failed;
	queue->failed = false;
	return failed ? -EIO : 0;
}

static int run(struct vfio_pci_device *device, unsigned int id, struct nvme_cmd cmd)
{
	struct nvme *nvme = to_nvme(device);

	submit(nvme, id, cmd);
	ring(device, id, false, nvme->queue[id].tail);
	return drain(device, id);
}

static void identify(struct vfio_pci_device *device, u32 cns, u32 nsid)
{
	struct nvme *nvme = to_nvme(device);
	struct nvme_cmd cmd = {
		.opcode = ADMIN_IDENTIFY,
		.nsid = nsid,
		.prp1 = region_iova(device, nvme->identify),
		.cdw10 = cns,
	};

	VFIO_ASSERT_EQ(run(device, ADMIN, cmd), 0, "Identify %u fails\n", cns);
}

/* @vector: -1 for none */
static void create_queues(struct vfio_pci_device *device, unsigned int id, u16 entries,
			  int vector)
{
	struct nvme *nvme = to_nvme(device);
	struct nvme_cmd cq = {
		.opcode = ADMIN_CREATE_CQ,
		.prp1 = region_iova(device, nvme->cq[id]),
		.cdw10 = id | (entries - 1) << 16,
		.cdw11 = vector < 0 ? 1 : 1 | 2 | vector << 16,
	};
	struct nvme_cmd sq = {
		.opcode = ADMIN_CREATE_SQ,
		.prp1 = region_iova(device, nvme->sq[id]),
		.cdw10 = id | (entries - 1) << 16,
		.cdw11 = 1 | id << 16,
	};

	start_queue(nvme, id, entries);
	VFIO_ASSERT_EQ(run(device, ADMIN, cq), 0, "no completion queue %u\n", id);
	VFIO_ASSERT_EQ(run(device, ADMIN, sq), 0, "no submission queue %u\n", id);
}

static void enable(struct vfio_pci_device *device)
{
	struct nvme *nvme = to_nvme(device);
	u64 cap = read_reg(device, REG_CAP) | (u64)read_reg(device, REG_CAP + 4) << 32;
	u16 entries = min_t(u32, (cap & 0xffff) + 1, MAX_ENTRIES);

	VFIO_ASSERT_EQ(cap >> 48 & 0xf, 0, "the controller has no pages of 4 KiB\n");
	nvme->doorbell_shift = 2 + (cap >> 32 & 0xf);
	nvme->timeout_s = (cap >> 24 & 0xff) / 2 + 1;

	write_reg(device, REG_CC, 0);
	wait_ready(device, false);
	start_queue(nvme, ADMIN, 32);
	write_reg(device, REG_AQA, 31 | 31 << 16);
	write_reg64(device, REG_ASQ, region_iova(device, nvme->sq[ADMIN]));
	write_reg64(device, REG_ACQ, region_iova(device, nvme->cq[ADMIN]));
	write_reg(device, REG_CC, CC_ENABLE);
	wait_ready(device, true);

	nvme->queue[COPY].entries = entries;
	nvme->queue[MSI].entries = min_t(u32, entries, 32);
}

static void look_at_namespace(struct vfio_pci_device *device)
{
	struct nvme *nvme = to_nvme(device);
	u32 format, mdts;
	u64 room;

	identify(device, 1, 0);
	mdts = nvme->identify[77];
	identify(device, 0, 1);
	memcpy(&nvme->blocks, nvme->identify, sizeof(nvme->blocks));
	memcpy(&format, nvme->identify + 128 + 4 * (nvme->identify[26] & 0xf), sizeof(format));
	VFIO_ASSERT_EQ(format & 0xffff, 0, "namespace 1 has metadata\n");
	nvme->block = 1U << (format >> 16 & 0xff);

	/* The copy of a source, and beside it what is written again and again */
	room = nvme->blocks * nvme->block / 2;
	device->driver.max_memcpy_size = min_t(u64, MAX_SIZE, room - room % nvme->block);
	if (mdts && mdts < 5)
		device->driver.max_memcpy_size = min_t(u64, device->driver.max_memcpy_size,
						       (u64)PAGE << mdts);
	VFIO_ASSERT_NE(device->driver.max_memcpy_size, 0, "namespace 1 is too small\n");
}

static u32 irq_index(struct vfio_pci_device *device)
{
	return device->msix_info.count ? VFIO_PCI_MSIX_IRQ_INDEX : VFIO_PCI_MSI_IRQ_INDEX;
}

static int nvme_probe(struct vfio_pci_device *device)
{
	const char *allowed = getenv("VFIO_SELFTESTS_NVME_OVERWRITE");

	if (vfio_pci_config_readl(device, PCI_CLASS_REVISION) >> 8 != PCI_CLASS_NVME)
		return -ENODEV;
	if (allowed && strstr(allowed, device->bdf))
		return 0;
	dev_info(device, "VFIO_SELFTESTS_NVME_OVERWRITE does not name this NVMe device\n");
	return -EPERM;
}

static void nvme_init(struct vfio_pci_device *device)
{
	struct nvme *nvme = to_nvme(device);
	struct nvme_cmd queues = {
		.opcode = ADMIN_SET_FEATURES,
		.cdw10 = FEATURE_QUEUES,
		.cdw11 = 1 | 1 << 16,
	};

	VFIO_ASSERT_GE(device->driver.region.size, sizeof(*nvme));
	memset(nvme, 0, sizeof(*nvme));
	vfio_pci_cmd_set(device, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
	enable(device);
	look_at_namespace(device);
	VFIO_ASSERT_EQ(run(device, ADMIN, queues), 0);

	/* Vector 0 is also that of the admin queue, which is silent after this function */
	nvme->vectors = min_t(u32, max_t(u32, device->msix_info.count, device->msi_info.count), 2);
	VFIO_ASSERT_GT(nvme->vectors, 0, "neither MSI-X nor MSI\n");
	device->driver.msi = nvme->vectors - 1;
	create_queues(device, COPY, nvme->queue[COPY].entries, -1);
	create_queues(device, MSI, nvme->queue[MSI].entries, device->driver.msi);
	device->driver.max_memcpy_count = (nvme->queue[COPY].entries - 1) / 2;
	vfio_pci_irq_enable(device, irq_index(device), 0, nvme->vectors);
}

static void nvme_remove(struct vfio_pci_device *device)
{
	write_reg(device, REG_CC, 0);
	wait_ready(device, false);
	vfio_pci_irq_disable(device, irq_index(device));
	vfio_pci_cmd_clear(device, PCI_COMMAND_MASTER);
}

/* A command for @size bytes at @iova, with @prps for a list of pages */
static struct nvme_cmd transfer(struct vfio_pci_device *device, u8 opcode, u64 lba, iova_t iova,
				u64 size, u64 *prps)
{
	struct nvme *nvme = to_nvme(device);
	struct nvme_cmd cmd = {
		.opcode = opcode,
		.nsid = 1,
		.prp1 = iova,
		.cdw10 = lba,
		.cdw11 = lba >> 32,
		.cdw12 = size / nvme->block - 1,
	};
	iova_t next = (iova & ~(PAGE - 1ULL)) + PAGE;
	unsigned int n = 0;

	for (; next < iova + size; next += PAGE)
		prps[n++] = next;
	cmd.prp2 = n > 1 ? region_iova(device, prps) : n ? prps[0] : 0;
	return cmd;
}

static void nvme_memcpy_start(struct vfio_pci_device *device, iova_t src, iova_t dst, u64 size,
			      u64 count)
{
	struct nvme *nvme = to_nvme(device);
	u64 aside = size / nvme->block;
	struct nvme_cmd write, again, read;

	VFIO_ASSERT_EQ(size, aside * nvme->block, "copies are of whole blocks of %u bytes\n",
		       nvme->block);
	write = transfer(device, IO_WRITE, 0, src, size, nvme->source_prps);
	again = transfer(device, IO_WRITE, aside, src, size, nvme->source_prps);
	read = transfer(device, IO_READ, 0, dst, size, nvme->target_prps);

	/*
	 * Commands of a queue have no order, so the source must be on the medium before a read of
	 * it begins.  After that reads and writes go on side by side.
	 */
	if (run(device, COPY, write))
		nvme->queue[COPY].failed = true;
	while (count--) {
		submit(nvme, COPY, again);
		submit(nvme, COPY, read);
	}
	ring(device, COPY, false, nvme->queue[COPY].tail);
}

static int nvme_memcpy_wait(struct vfio_pci_device *device)
{
	return drain(device, COPY);
}

/* A completion, and the interrupt for it */
static void nvme_send_msi(struct vfio_pci_device *device)
{
	struct nvme_cmd flush = { .opcode = IO_FLUSH, .nsid = 1 };

	VFIO_ASSERT_EQ(run(device, MSI, flush), 0);
}

struct vfio_pci_driver_ops nvme_ops = {
	.name = "nvme",
	.probe = nvme_probe,
	.init = nvme_init,
	.remove = nvme_remove,
	.memcpy_start = nvme_memcpy_start,
	.memcpy_wait = nvme_memcpy_wait,
	.send_msi = nvme_send_msi,
};
