// SPDX-License-Identifier: GPL-2.0-only
/* Streams: read from a data fd, and written to one */
#include <stdlib.h>
#include <unistd.h>

#include "mig.h"

void mig_stream_free(struct mig_stream *stream)
{
	free(stream->data);
	*stream = (struct mig_stream){};
}

ssize_t mig_stream_read(struct mig_stream *stream, int data_fd, size_t len)
{
	ssize_t n;

	stream->data = realloc(stream->data, stream->size + len);
	VFIO_ASSERT_NOT_NULL(stream->data);
	n = read(data_fd, stream->data + stream->size, len);
	if (n < 0)
		return -errno;
	VFIO_ASSERT_LE(n, len);
	stream->size += n;
	return n;
}

int mig_stream_read_all(struct mig_stream *stream, int data_fd, size_t chunk)
{
	ssize_t n;

	do {
		n = mig_stream_read(stream, data_fd, chunk);
	} while (n > 0);
	return n;
}

int mig_write_all(int data_fd, const void *data, size_t size, size_t chunk)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(data_fd, data + done, chunk < size - done ? chunk : size - done);

		if (n < 0)
			return -errno;
		VFIO_ASSERT_GT(n, 0, "write() takes nothing\n");
		done += n;
	}
	return 0;
}

void mig_save(struct mig_device *dev, struct mig_stream *stream)
{
	int data_fd = mig_go(dev, VFIO_DEVICE_STATE_STOP_COPY);

	VFIO_ASSERT_EQ(mig_stream_read_all(stream, data_fd, MIG_CHUNK), 0);
	VFIO_ASSERT_GT(stream->size, 0, "a stream without a byte\n");
	close(data_fd);
	VFIO_ASSERT_EQ(mig_set_state(dev, VFIO_DEVICE_STATE_RUNNING, NULL), 0);
}

int mig_feed(struct mig_device *dev, const void *data, size_t size, size_t chunk)
{
	int data_fd = mig_go(dev, VFIO_DEVICE_STATE_RESUMING);
	int ret = mig_write_all(data_fd, data, size, chunk);

	if (!ret)
		ret = mig_set_state(dev, VFIO_DEVICE_STATE_STOP, NULL);
	close(data_fd);
	return ret;
}

unsigned int mig_next_cut(unsigned int n)
{
	return n < 32 ? n + 1 : 2 * n;
}
