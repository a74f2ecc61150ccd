/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the tests of VFIO migration share: a device that is opened by its name, the features of
 * the migration uAPI as functions, the state machine as include/uapi/linux/vfio.h describes it,
 * and streams.
 *
 * Functions that return an int return 0 or a negative errno, unless they say otherwise.  What a
 * test only needs, and does not test, is asserted by libvfio's VFIO_ASSERT_*().
 */
#ifndef SELFTESTS_VFIO_MIGRATION_LIB_MIG_H
#define SELFTESTS_VFIO_MIGRATION_LIB_MIG_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>
#include <linux/vfio.h>

#include <libvfio.h>

/**
 * struct mig_device - a device that can be migrated, and its I/O address space
 * @name: PCI address, or UUID of an mdev
 * @iommu: libvfio's
 * @vfio: libvfio's; only its file descriptors are in use
 * @fd: of the device
 * @dev_id: iommufd's, in its own mode
 * @flags: VFIO_MIGRATION_*
 * @dma_log: it can log its DMA
 * @info_v2: it has VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2
 * @data_size: it has VFIO_DEVICE_FEATURE_MIG_DATA_SIZE
 */
struct mig_device {
	const char *name;
	struct iommu *iommu;
	struct vfio_pci_device *vfio;
	int fd;
	u32 dev_id;
	u64 flags;
	bool dma_log;
	bool info_v2;
	bool data_size;
};

/*
 * Take the names of one or two devices from the end of the command line, or else from
 * VFIO_SELFTESTS_DEVICES or VFIO_SELFTESTS_BDF.  Without any the program ends as skipped.
 */
void mig_get_devices(int *argc, char *argv[]);
/* The source.  The destination is the source too, if there is one device. */
const char *mig_source(void);
const char *mig_destination(void);
/* A device of another kind, of VFIO_SELFTESTS_FOREIGN, or NULL */
const char *mig_foreign(void);

/*
 * Open a device in an address space of its own, in an IOMMU mode of libvfio, and reset it.
 * Returns NULL, or why the test must be skipped.
 */
const char *mig_open(struct mig_device *dev, const char *name, const char *mode);
/* Does nothing if the device is not open */
void mig_close(struct mig_device *dev);
/* Close it, and open it again, without a reset */
void mig_reopen(struct mig_device *dev);

/* --- Features --- */

/* VFIO_DEVICE_FEATURE with @flags, and @size bytes of @data in and out */
int mig_feature(struct mig_device *dev, u32 flags, void *data, size_t size);
/* The same with a value of argsz that does not say what there is */
int mig_feature_argsz(struct mig_device *dev, u32 flags, void *data, size_t size, u32 argsz);
bool mig_has_feature(struct mig_device *dev, u32 feature);

/* @data_fd: -1 without a new session; NULL if there can't be one */
int mig_set_state(struct mig_device *dev, u32 state, int *data_fd);
/* The state.  That the file descriptor is -1 is asserted. */
u32 mig_get_state(struct mig_device *dev);
int mig_data_size(struct mig_device *dev, u64 *size);
int mig_precopy_info(int data_fd, struct vfio_precopy_info *info);
/* VFIO_DEVICE_RESET */
void mig_reset(struct mig_device *dev);

/* --- The state machine --- */

/* Does the device have this state?  ERROR is one that all have. */
bool mig_has_state(const struct mig_device *dev, u32 state);
const char *mig_state_name(u32 state);
/* PRE_COPY, PRE_COPY_P2P or STOP_COPY? */
bool mig_is_saving(u32 state);
/*
 * The shortest path from one state to another by the arcs of the header, without a saving state
 * inside.  Returns the number of arcs, of which @path gets the end of each, or -1 if there is no
 * path.  States that the device does not have are in the path too.
 */
int mig_path(const struct mig_device *dev, u32 from, u32 to, u32 path[VFIO_DEVICE_STATE_NR]);
/* Does SET_STATE return a file descriptor? */
bool mig_begins_session(u32 from, u32 to);
/* Is @state on the path from @from to @to, both included, or ERROR? */
bool mig_may_remain(const struct mig_device *dev, u32 from, u32 to, u32 state);

/* From RUNNING to any state but ERROR; returns the file descriptor of the session, or -1 */
int mig_go(struct mig_device *dev, u32 state);

/* --- Streams --- */

/**
 * struct mig_stream - what was read from a data fd
 * @data: its bytes
 * @size: number of bytes
 */
struct mig_stream {
	u8 *data;
	size_t size;
};

void mig_stream_free(struct mig_stream *stream);
/* Read once, up to @len bytes, and append that; the result of read(), or a negative errno */
ssize_t mig_stream_read(struct mig_stream *stream, int data_fd, size_t len);
/* Read to the end, @chunk bytes at a time.  Returns what ended it: 0 or a negative errno. */
int mig_stream_read_all(struct mig_stream *stream, int data_fd, size_t chunk);
/* Write @size bytes, @chunk at a time */
int mig_write_all(int data_fd, const void *data, size_t size, size_t chunk);
/* From RUNNING through STOP_COPY and back to RUNNING */
void mig_save(struct mig_device *dev, struct mig_stream *stream);
/*
 * From RUNNING through RESUMING to STOP.  Returns what the first write() or the arc that failed
 * returned.
 */
int mig_feed(struct mig_device *dev, const void *data, size_t size, size_t chunk);

/* Bytes of a read or write where sessions are cut off after a number of them */
#define MIG_CUT		4096
/* The number after @n: 0, 1, 2, ... 32, 64, 128, ... */
unsigned int mig_next_cut(unsigned int n);

/* --- Load: a driver of libvfio that makes the device copy memory --- */

#define MIG_LOAD_SIZE	0x200000ULL
#define MIG_LOAD_PAGE	0x1000ULL
#define MIG_LOAD_PAGES	(MIG_LOAD_SIZE / MIG_LOAD_PAGE)

/**
 * struct mig_pages - a bit for each page of the region that copies go to
 * @words: as bitmaps of the uAPI have them
 */
struct mig_pages {
	u64 words[MIG_LOAD_PAGES / 64];
};

bool mig_pages_has(const struct mig_pages *pages, u64 page);
u64 mig_pages_count(const struct mig_pages *pages);

enum { MIG_LOAD_DRIVER, MIG_LOAD_SOURCE, MIG_LOAD_TARGET, MIG_LOAD_REGIONS };

/**
 * struct mig_load - memory that a driver and its device work with
 * @memory: regions that are mapped in the address space of the device
 * @moved: the same in that of another device, for libvfio's lists
 * @image: what must be in the source and in the target when all copies have ended
 * @size: of a copy
 * @count: copies that can be started together
 * @starts: how often copies were started.  Each time they have another source and target.
 * @written: pages that copies were started to.  The test clears it.
 */
struct mig_load {
	struct dma_region memory[MIG_LOAD_REGIONS];
	struct dma_region moved[MIG_LOAD_REGIONS];
	u8 *image[MIG_LOAD_REGIONS];
	u64 size;
	u64 count;
	unsigned int starts;
	struct mig_pages written;
};

/* Find a driver and start it.  Returns NULL, or why the test must be skipped. */
const char *mig_load_begin(struct mig_load *load, struct mig_device *dev);
/*
 * The state of @from has been loaded into @to, which is in STOP: give its driver memory, bus
 * mastering and interrupts there, as a VMM does.  @to may be @from, or one that the load has been
 * on before, after a reset.
 */
void mig_load_move(struct mig_load *load, struct mig_device *from, struct mig_device *to);
void mig_load_end(struct mig_load *load, struct mig_device *dev);
/* Write @seed's pattern to the source region; start @count copies of a part of it */
void mig_load_start(struct mig_load *load, struct mig_device *dev, unsigned int seed, u64 count);
/*
 * Wait for them.  Returns -EIO if the driver reports a failure, and -EILSEQ if any byte of the
 * source or the target is not what the copies must have left.
 */
int mig_load_wait(struct mig_load *load, struct mig_device *dev);
/* The same, and once more for a copy of another pattern */
int mig_load_check(struct mig_load *load, struct mig_device *dev);

/* 64 KiB: enough for most devices' reads, and little enough for several */
#define MIG_CHUNK	0x10000

/* --- Test programs --- */

/* What the uAPI leaves open is told, and not judged */
#define mig_report(fmt, ...) ksft_print_msg("open: " fmt "\n", ##__VA_ARGS__)

#endif /* SELFTESTS_VFIO_MIGRATION_LIB_MIG_H */
