// SPDX-License-Identifier: GPL-2.0-only
/*
 * A destination that keeps checksums.  It trusts the parser to have checked what
 * include/linux/vfmig.h says that it has, and complains otherwise.
 */
#include <errno.h>
#include <string.h>

#include <linux/gfp.h>

#include "../../../../../drivers/vfio/pci/vfmig/stream.h"
#include "check.h"
#include "device.h"

/* One call fails with one of them.  After the first the caller comes again. */
static const int errnos[] = { EAGAIN, ENOMEM, ENOSPC, EINVAL, EIO, ENOTRECOVERABLE, ECANCELED };

/* A call begins; most devices can't tell a caller to come again */
static int begin(struct device *dev, bool again)
{
	int error = errnos[dev->setup.fail_errno % ARRAY_SIZE(errnos)];

	check(!dev->committed);
	dev->calls++;
	if (dev->calls != dev->setup.fail_call)
		return 0;
	return error == EAGAIN && !again ? -EIO : -error;
}

static int device_identity(void *vf, struct vfmig_vf_identity *id)
{
	struct device *dev = vf;

	check(!id->data_length && !id->model[0]);
	*id = (struct vfmig_vf_identity) {
		.model = DEVICE_MODEL,
		.model_version = DEVICE_VERSION,
		.memory_size = dev->setup.device & DEVICE_MEMORY ? DEVICE_SIZE : 0,
		.data_length = DEVICE_DATA,
	};
	memset(id->data, DEVICE_MARK, DEVICE_DATA);
	return begin(dev, false);
}

static const char *device_identity_check(void *vf, const struct vfmig_vf_identity *id)
{
	struct device *dev = vf;

	check(!memcmp(id->model, DEVICE_MODEL "\0\0\0\0\0\0\0\0\0\0\0", sizeof(id->model)));
	check(id->model_version <= DEVICE_VERSION);
	check(id->memory_size == (dev->setup.device & DEVICE_MEMORY ? DEVICE_SIZE : 0));
	check(id->data_length <= VFMIG_MODEL_DATA_MAX);
	if (begin(dev, false))
		return "the device does not want it";
	if (id->model_version < DEVICE_OLDEST)
		return "too old";
	if (id->data_length != DEVICE_DATA)
		return "its part has another length";
	for (unsigned int i = 0; i < DEVICE_DATA; i++)
		if (id->data[i] != DEVICE_MARK)
			return "its part is another";
	dev->identified = true;
	return NULL;
}

static void check_place(const struct device *dev, u64 offset, u64 length)
{
	check(dev->identified);
	check(dev->setup.device & DEVICE_MEMORY);
	check(length && offset % VFMIG_GRANULE == 0 && length % VFMIG_GRANULE == 0);
	check(offset < DEVICE_SIZE && length <= DEVICE_SIZE - offset);
}

static void drop(struct device *dev, u64 offset)
{
	unsigned int i = offset / VFMIG_GRANULE;

	if (dev->pages[i])
		__free_page(dev->pages[i]);
	dev->pages[i] = NULL;
	dev->loaded.granules[i] = 0;
}

/* Not 0, as that is a hole */
static u32 sum(const void *data)
{
	return vfmig_crc(0, data, VFMIG_GRANULE) | 1;
}

static int device_load_page(void *vf, u64 offset, struct page *page)
{
	struct device *dev = vf;
	int ret = begin(dev, true);

	check_place(dev, offset, VFMIG_GRANULE);
	if (ret)
		return ret;
	drop(dev, offset);
	dev->pages[offset / VFMIG_GRANULE] = page;
	dev->loaded.granules[offset / VFMIG_GRANULE] = sum(page->data);
	return 0;
}

static int device_load_data(void *vf, u64 offset, const void *buf, u64 length)
{
	struct device *dev = vf;
	int ret = begin(dev, true);

	check_place(dev, offset, length);
	check(length <= VFMIG_STATE_CHUNK);
	for (u64 at = 0; !ret && at < length; at += VFMIG_GRANULE)
		dev->loaded.granules[(offset + at) / VFMIG_GRANULE] = sum(buf + at);
	return ret;
}

static int device_load_hole(void *vf, u64 offset, u64 length)
{
	struct device *dev = vf;
	int ret = begin(dev, true);

	check_place(dev, offset, length);
	check(length <= 64U << 20);
	for (u64 at = 0; !ret && at < length; at += VFMIG_GRANULE)
		drop(dev, offset + at);
	return ret;
}

static int device_load_state(void *vf, u32 version, const void *buf, size_t size, const char **why)
{
	struct device *dev = vf;
	struct contents *loaded = &dev->loaded;
	int ret = begin(dev, true);

	check(dev->identified);
	check(version >= DEVICE_OLDEST && version <= DEVICE_VERSION);
	check(size && size <= VFMIG_STATE_MAX);
	check(!*why);
	if (ret)
		return ret;
	if (size > DEVICE_STATE - loaded->state_len) {
		*why = "too long";
		return -EINVAL;
	}
	memcpy(loaded->state + loaded->state_len, buf, size);
	loaded->state_len += size;
	return 0;
}

static int device_load_commit(void *vf, const char **why)
{
	struct device *dev = vf;
	int ret = begin(dev, false);

	check(dev->identified && dev->loaded.state_len);
	if (ret)
		return ret;
	if (dev->loaded.state[0] == DEVICE_BAD) {
		*why = "it begins badly";
		return -EINVAL;
	}
	dev->live = dev->loaded;
	dev->committed = true;
	return 0;
}

void device_init(struct device *dev, const struct setup *setup)
{
	*dev = (struct device) {
		.setup = *setup,
		.mem = { .load_hole = device_load_hole },
		.ops = {
			.mem = setup->device & DEVICE_MEMORY ? &dev->mem : NULL,
			.identity = device_identity,
			.identity_check = device_identity_check,
			.load_state = device_load_state,
			.load_commit = device_load_commit,
		},
	};
	if (setup->device & DEVICE_PAGED)
		dev->mem.load_page = device_load_page;
	else
		dev->mem.load_data = device_load_data;
}

void device_exit(struct device *dev)
{
	for (unsigned int i = 0; i < DEVICE_GRANULES; i++)
		if (dev->pages[i])
			__free_page(dev->pages[i]);
}
