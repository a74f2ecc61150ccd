// SPDX-License-Identifier: GPL-2.0-only
/*
 * See source.h.
 */
#include <stdio.h>
#include <string.h>

#include "source.h"

#define QCOW2_MAGIC	"QFI\xfb"

void source_init(struct source *source, struct input *in, const char *wanted)
{
	const u8 *bytes;

	memset(source, 0, sizeof(*source));
	source->in = in;
	source->wanted = wanted;
	source->chosen = -1;
	if (input_peek(in, 4, &bytes) >= 4 && !memcmp(bytes, QCOW2_MAGIC, 4)) {
		snprintf(source->error, sizeof(source->error),
			 "this is a qcow2 image, and what savevm puts there is not read here");
		return;
	}
	source->qemu = qemu_is_file(in);
	if (wanted && !source->qemu)
		snprintf(source->error, sizeof(source->error),
			 "this is no file of QEMU, so it has no device %s", wanted);
}

size_t source_read(struct source *source, void *buf, size_t size)
{
	size_t done = 0;

	if (source->error[0])
		return 0;
	if (!source->qemu)
		return input_read(source->in, buf, size);
	while (done < size && !source->in->error && qemu_find(source)) {
		size_t want = size - done, n;

		if (want > source->left)
			want = source->left;
		n = input_read(source->in, (u8 *)buf + done, want);
		source->left -= n;
		done += n;
		if (n < want)
			qemu_data_ends(source);
	}
	return done;
}

u64 source_offset(struct source *source)
{
	if (source->qemu)
		qemu_find(source);
	return source->in->offset;
}
