// SPDX-License-Identifier: GPL-2.0-only
/* See source.h */
#include "source.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WRITE_ZEROES_DEAC	(1U << 25)

const char *source_open(struct source *src, enum iommu_mode mode, unsigned int media_mb)
{
	struct rig *rig = &src->rig;
	struct pf_vfs vfs = { .count = rig->first_vf + 2, .media_mb = media_mb };
	const char *why = rig_open(rig, &vfs, mode, 1);

	if (why)
		return why;
	src->dev = &rig->dev[0];
	if (!precopy_offered(src->dev))
		return "the driver does not offer PRE_COPY";
	rig_start(rig);
	src->buf = arena_alloc(&rig->mem, MIB(1));
	src->size = MIB(media_mb);
	src->medium = calloc(1, src->size);
	src->copy = calloc(1, src->size);
	must(src->medium && src->copy);
	src->seed = SOURCE_SEED;
	return NULL;
}

const char *source_open_pair(struct source src[2], enum iommu_mode mode, unsigned int media_mb)
{
	const char *why;

	/* The last first: for it all VFs are made, which then are there for the other */
	src[1].rig.first_vf = 2;
	why = source_open(&src[1], mode, media_mb);
	if (why)
		return why;
	why = source_open(&src[0], mode, media_mb);
	src[1].seed++;
	return why;
}

const char *source_open_with_runs(struct source *src, enum iommu_mode mode)
{
	const char *why = source_open(src, mode, 1);

	if (why)
		return why;
	source_write(src, RUN_A, 3 * PAGE);
	source_write(src, RUN_B, PAGE);
	return NULL;
}

void source_close(struct source *src)
{
	free(src->medium);
	free(src->copy);
	rig_close(&src->rig);
}

void source_write(struct source *src, u64 offset, size_t len)
{
	must(len <= MIB(1));
	fill_pattern(src->buf, len, next_random(&src->seed));
	nvme_write_bytes(&src->rig.nvme, offset, src->buf, len);
	memcpy(src->medium + offset, src->buf, len);
}

void source_drop(struct source *src, u64 offset, size_t len)
{
	struct nvme *nvme = &src->rig.nvme;

	must(!nvme_deallocate(nvme, offset / nvme->lba_size, len / nvme->lba_size));
	memset(src->medium + offset, 0, len);
}

void source_zero(struct source *src, u64 offset, size_t len, bool deallocate)
{
	struct nvme *nvme = &src->rig.nvme;
	struct nvme_cmd cmd = nvme_rw_cmd(NVME_WRITE_ZEROES, offset / nvme->lba_size,
					  len / nvme->lba_size);

	cmd.cdw12 |= deallocate ? WRITE_ZEROES_DEAC : 0;
	must(!nvme_io(nvme, cmd));
	memset(src->medium + offset, 0, len);
}

void source_put(struct source *src, u64 granule, u64 count)
{
	for (; count; granule++, count--)
		source_write(src, granule * PAGE, PAGE);
}

void source_punch(struct source *src, u64 granule, u64 count)
{
	source_drop(src, granule * PAGE, count * PAGE);
}

void source_erase(struct source *src)
{
	struct nvme_cmd cmd = { .opcode = NVME_FORMAT_NVM, .nsid = 1 };

	must(!nvme_admin(&src->rig.nvme, cmd));
	memset(src->medium, 0, src->size);
}

bool source_reads_right(struct source *src)
{
	for (u64 at = 0; at < src->size; at += MIB(1)) {
		memset(src->buf, 0xee, MIB(1));
		nvme_read_bytes(&src->rig.nvme, at, src->buf, MIB(1));
		if (memcmp(src->buf, src->medium + at, MIB(1)))
			return false;
	}
	return true;
}

bool source_copied_right(struct source *src, const struct blob *blob, size_t *pos)
{
	if (!*pos)
		memset(src->copy, 0, src->size);
	return stream_replay(blob, pos, src->copy, src->size) &&
	       !memcmp(src->copy, src->medium, src->size);
}

bool source_lands_right(struct source *src, const struct blob *blob)
{
	struct vfio_dev *dst = rig_second(&src->rig);

	must(!mig_load(dst, blob));
	must(!mig_set(dst, STOP, NULL));
	stream_medium(dst, src->copy, src->size);
	return !memcmp(src->copy, src->medium, src->size);
}

void session_begin(struct session *s, struct source *src)
{
	*s = (struct session){ .src = src };
	s->fd = precopy_begin(src->dev, PRE_COPY);
	precopy_read(s->fd, &s->blob, IDENTITY_BYTES);
}

void session_end(struct session *s)
{
	if (s->src)
		close(s->fd);
	blob_free(&s->blob);
}

bool session_drains_right(struct session *s, u64 *bytes)
{
	u64 left = precopy_left(s->fd);

	*bytes = precopy_drain(s->fd, &s->blob);
	if (*bytes != left)
		note("%llu bytes announced, %llu read", left, *bytes);
	return *bytes == left && !precopy_left(s->fd);
}

static bool is_run(const struct stream_record *record, const struct run *run)
{
	const struct vfmig_extent *extent = record->payload;

	return run->type == record->header->type && run->granule * PAGE == extent->offset &&
	       run->count * PAGE == extent->length;
}

bool session_gives(struct session *s, bool ordered, const struct run *runs, unsigned int n)
{
	size_t pos = s->blob.len;
	struct stream_record record;
	unsigned int seen = 0;
	bool right;
	u64 bytes;

	right = session_drains_right(s, &bytes);
	for (; stream_next(&s->blob, &pos, &record) > 0; seen++) {
		const struct vfmig_extent *extent = record.payload;
		unsigned int first = ordered ? seen : 0, end = ordered ? seen + 1 : n, i;

		for (i = first; i < n && i < end && !is_run(&record, &runs[i]); i++)
			;
		if (i < n && i < end)
			continue;
		note("record %u is of type %u, %#llx+%#llx", seen, record.header->type,
		     extent->offset, extent->length);
		right = false;
	}
	if (seen != n)
		note("%u records, not %u", seen, n);
	return right && seen == n && pos == s->blob.len;
}

/* flags as the caller passes them, which is what they stay without v2 */
#define OWN_FLAGS	0xa5a5a5a5

bool session_info_is(struct session *s, bool v2, u32 flags, u64 initial, u64 reinit, u64 dirty)
{
	struct vfio_precopy_info info = { .argsz = sizeof(info), .flags = OWN_FLAGS };

	flags = v2 ? flags : OWN_FLAGS;
	initial += v2 ? reinit : 0;
	dirty += v2 ? 0 : reinit;
	must(!ioctl(s->fd, VFIO_MIG_GET_PRECOPY_INFO, &info));
	if (info.flags == flags && info.initial_bytes == initial && info.dirty_bytes == dirty)
		return true;
	note("flags %#x, initial %llu, dirty %llu, not %#x, %llu, %llu", info.flags,
	     info.initial_bytes, info.dirty_bytes, flags, initial, dirty);
	return false;
}

bool session_copied_right(struct session *s)
{
	return source_copied_right(s->src, &s->blob, &s->replayed);
}

bool session_completes_right(struct session *s)
{
	size_t before = s->blob.len;
	u64 size;

	must(!mig_set(s->src->dev, STOP_COPY, NULL));
	must(!mig_size(s->src->dev, &size));
	must(!mig_read(s->fd, &s->blob, KIB(100)));
	if (s->blob.len - before != size)
		note("%llu bytes announced, %zu read", size, s->blob.len - before);
	return s->blob.len - before == size && session_copied_right(s);
}

bool session_moves_right(struct session *s)
{
	struct rig *rig = &s->src->rig;

	if (!session_completes_right(s))
		return false;
	rig_second(rig);
	rig_land(rig, &s->blob, RUNNING);
	return source_reads_right(s->src);
}

short poll_now(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	must(poll(&pfd, 1, 0) >= 0);
	return pfd.revents;
}

static void *poll_thread(void *arg)
{
	struct poller *poller = arg;
	struct pollfd pfd = { .fd = poller->fd, .events = POLLIN };
	u64 end = now_ms() + WAIT_MS;

	/* poll() looks once more when the time is up: then nobody woke it */
	if (poll(&pfd, 1, WAIT_MS) == 1 && now_ms() < end)
		poller->revents = pfd.revents;
	return NULL;
}

void poller_start(struct poller *poller, int fd)
{
	*poller = (struct poller){ .fd = fd };
	must(!pthread_create(&poller->thread, NULL, poll_thread, poller));
	/* Let it go to sleep */
	sleep_ms(20);
}

short poller_end(struct poller *poller)
{
	pthread_join(poller->thread, NULL);
	return poller->revents;
}
