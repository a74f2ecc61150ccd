/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fixture of tests that need each way in which a model of vfmig_test_border can have memory:
 * none, in pages, or through a buffer.
 */
#ifndef VFMIG_TEST_BORDER_MEMORY_H
#define VFMIG_TEST_BORDER_MEMORY_H

#include "border.h"
#include "mig.h"

#include "harness.h"

FIXTURE(border_memory)
{
	struct border border;
	struct vfio_dev *src, *dst;
	struct blob blob;
};

FIXTURE_VARIANT(border_memory)
{
	const char *offer;
	const char *page;	/* the operation that reads memory, or NULL */
	const char *load;	/* that loads it */
};

FIXTURE_VARIANT_ADD(border_memory, no_memory)
{
	.offer = "flags=5",
};

FIXTURE_VARIANT_ADD(border_memory, pages)
{
	.offer = "flags=7 mem=pages",
	.page = "page",
	.load = "load_page",
};

FIXTURE_VARIANT_ADD(border_memory, buffer)
{
	.offer = "flags=7 mem=buffer",
	.page = "read",
	.load = "load_data",
};

FIXTURE_SETUP(border_memory)
{
	const char *why = border_setup(&self->border, variant->offer);

	if (why)
		SKIP(return, "%s", why);
	border_open(&self->border, 2);
	self->src = &self->border.dev[0];
	self->dst = &self->border.dev[1];
	mig_set_data_crc(false);
}

FIXTURE_TEARDOWN(border_memory)
{
	blob_free(&self->blob);
	if (!self->src)
		return;
	mig_set_data_crc(false);
	border_close(&self->border);
}

#endif /* VFMIG_TEST_BORDER_MEMORY_H */
