// SPDX-License-Identifier: GPL-2.0-only
/*
 * The smallest model: a device with 64 registers of 32 bits in BAR 0, which it writes to
 * guest memory on command.
 *
 * Register 0 and 1 are a guest address.  A write to register 2, of any value, makes the
 * device write all registers to this address.  Register 2 is then 1, or 2 if that failed,
 * and vector 0 fires.  The others have no meaning.
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "../model/client.h"
#include "../model/handle.h"
#include "../sim.h"

enum { REG_ADDR_LOW, REG_ADDR_HIGH, REG_COMMAND, NUM_REGS = 64 };
enum { STATUS_DONE = 1, STATUS_FAILED };

#define SAMPLE_VERSION	1

/* @lock is held for each command */
struct sample {
	struct vfmig_fn *fn;
	struct vfmig_client client;
	struct mutex lock;		/* all below */
	bool frozen;
	bool state_taken;		/* in this save */
	__le32 regs[NUM_REGS];		/* all that a guest can observe */
	bool state_loaded;		/* in this load */
};

VFMIG_HANDLE_BEGINS_WITH_FN(struct sample);

/* What a guest sees.  The fabric calls these. */

static void execute(struct sample *dev)
{
	u64 addr = (u64)le32_to_cpu(dev->regs[REG_ADDR_HIGH]) << 32 |
		   le32_to_cpu(dev->regs[REG_ADDR_LOW]);
	int ret = vfmig_fn_dma_write(dev->fn, addr, dev->regs, sizeof(dev->regs));

	dev->regs[REG_COMMAND] = cpu_to_le32(ret ? STATUS_FAILED : STATUS_DONE);
	vfmig_fn_raise(dev->fn, 0);
}

static u64 sample_read(void *vf, unsigned int bar, u64 offset, unsigned int len)
{
	struct sample *dev = vf;

	if (len != 4 || offset >= sizeof(dev->regs))
		return ~0ULL;
	guard(mutex)(&dev->lock);
	return le32_to_cpu(dev->regs[array_index_nospec(offset / 4, NUM_REGS)]);
}

static void sample_write(void *vf, unsigned int bar, u64 offset, unsigned int len, u64 val)
{
	struct sample *dev = vf;

	guard(mutex)(&dev->lock);
	if (len != 4 || offset >= sizeof(dev->regs) || dev->frozen)
		return;
	dev->regs[array_index_nospec(offset / 4, NUM_REGS)] = cpu_to_le32(val);
	if (offset / 4 == REG_COMMAND)
		execute(dev);
}

static void sample_reset(void *vf)
{
	struct sample *dev = vf;

	scoped_guard(mutex, &dev->lock) {
		memset(dev->regs, 0, sizeof(dev->regs));
		dev->frozen = false;
	}
	vfmig_client_reset(&dev->client);
}

/* What a user of the VF does.  The variant driver calls these, see include/linux/vfmig.h. */

static int sample_open(void *vf, const struct vfmig_vf_client *client, void *data)
{
	struct sample *dev = vf;

	guard(mutex)(&dev->client.lock);
	if (vfmig_client_is_set(&dev->client))
		return -EBUSY;
	vfmig_client_set(&dev->client, client, data);
	return 0;
}

static void sample_close(void *vf)
{
	struct sample *dev = vf;

	guard(mutex)(&dev->client.lock);
	vfmig_client_clear(&dev->client);
}

/* Waits for a command under way, so there is no DMA after this */
static int sample_freeze(void *vf)
{
	struct sample *dev = vf;

	guard(mutex)(&dev->lock);
	dev->frozen = true;
	vfmig_fn_hold_irqs(dev->fn, true);
	return 0;
}

/* Interrupts do not move, so after a move the guest may have missed that of the last command */
static int sample_thaw(void *vf)
{
	struct sample *dev = vf;

	guard(mutex)(&dev->lock);
	if (!dev->frozen)
		return 0;
	dev->frozen = false;
	vfmig_fn_hold_irqs(dev->fn, false);
	if (dev->regs[REG_COMMAND])
		vfmig_fn_raise(dev->fn, 0);
	return 0;
}

static int sample_identity(void *vf, struct vfmig_vf_identity *id)
{
	strscpy(id->model, "sample");
	id->model_version = SAMPLE_VERSION;
	return 0;
}

static int sample_save_start(void *vf, bool precopy)
{
	((struct sample *)vf)->state_taken = false;
	return 0;
}

static int sample_state_pending(void *vf, struct vfmig_state_pending *pending)
{
	*pending = (struct vfmig_state_pending) { .final = sizeof_field(struct sample, regs) };
	return 0;
}

static ssize_t sample_state_read(void *vf, void *buf, size_t size, enum vfmig_state_kind *kind)
{
	struct sample *dev = vf;

	guard(mutex)(&dev->lock);
	if (dev->state_taken)
		return 0;
	dev->state_taken = true;
	*kind = VFMIG_STATE_FINAL;
	memcpy(buf, dev->regs, sizeof(dev->regs));
	return sizeof(dev->regs);
}

static int sample_load_start(void *vf)
{
	((struct sample *)vf)->state_loaded = false;
	return 0;
}

/*
 * Only the size of @buf is checked: there is no value of a register that can do harm.  The VF is
 * frozen, and a load that fails ends in a reset, so the state may be loaded at once.
 */
static int sample_load_state(void *vf, u32 version, const void *buf, size_t size, const char **why)
{
	struct sample *dev = vf;

	*why = "its state has another size";
	if (dev->state_loaded || size != sizeof(dev->regs))
		return -EINVAL;
	guard(mutex)(&dev->lock);
	*why = "the device was reset";
	if (!dev->frozen)
		return -EINVAL;
	memcpy(dev->regs, buf, size);
	dev->state_loaded = true;
	return 0;
}

static int sample_load_commit(void *vf, const char **why)
{
	struct sample *dev = vf;

	*why = "it has no state";
	return dev->state_loaded ? 0 : -EINVAL;
}

static const struct vfmig_vf_ops sample_vf_ops = {
	.owner = THIS_MODULE,
	.migration_flags = VFIO_MIGRATION_STOP_COPY,
	.find = vfmig_pf_find,
	.open = sample_open,
	.close = sample_close,
	.bar_read = vfmig_handle_bar_read,
	.bar_write = vfmig_handle_bar_write,
	.freeze = sample_freeze,
	.thaw = sample_thaw,
	.identity = sample_identity,
	.save_start = sample_save_start,
	.state_pending = sample_state_pending,
	.state_read = sample_state_read,
	.load_start = sample_load_start,
	.load_state = sample_load_state,
	.load_commit = sample_load_commit,
};

/* What the administrator does, who creates and removes VFs.  The PF driver calls these. */

static void *sample_create(void *pf, struct vfmig_fn *fn, const void *config)
{
	struct sample *dev = kzalloc(sizeof(*dev), GFP_KERNEL);

	if (!dev)
		return ERR_PTR(-ENOMEM);
	dev->fn = fn;
	vfmig_client_init(&dev->client);
	mutex_init(&dev->lock);
	return dev;
}

static void sample_destroy(void *vf)
{
	kfree(vf);
}

static const struct vfmig_fn_ops sample_fn_ops = {
	.reset = sample_reset,
	.bar_read = sample_read,
	.bar_write = sample_write,
};

const struct vfmig_model vfmig_sample_model = {
	.name = "sample",
	.desc = {
		.vendor = VFMIG_PCI_VENDOR_ID,
		.pf = { .device = 0x5053, .class = PCI_CLASS_ACCELERATOR_PROCESSING << 8 },
		.vf = { .device = 0x5653, .class = PCI_CLASS_ACCELERATOR_PROCESSING << 8,
			.bar_size = { SZ_16K },
			.msix_vectors = 1, .msix_table = SZ_4K, .msix_pba = SZ_8K },
	},
	.create = sample_create,
	.destroy = sample_destroy,
	.fn_ops = &sample_fn_ops,
	.vf_ops = &sample_vf_ops,
};
