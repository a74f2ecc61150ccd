// SPDX-License-Identifier: GPL-2.0-only
/*
 * A UEFI program that has the firmware read the disk that it was booted from, and compares.
 * FIRST and BLOCKS of 4 KiB are what scripts/migration/firmware.py has filled by "io write": each
 * block begins with the seed, the same in all, and its own offset.  It reads them again and
 * again until it gets a line from the serial port.  Then it starts Linux from the disk, with the
 * line as its parameters.
 *
 * To the serial port it writes "." for each 64 blocks, "R" for a read that failed and "W" for a
 * block that is wrong.  Before it starts Linux it writes a line feed, and "L" if that fails.
 * If it does not find the disk it writes "D".
 *
 * The firmware has its console at the first two serial ports, so the program uses the third.
 */

#include <linux/types.h>
#include <stddef.h>

#define FIRST (48 << 20)
#define BLOCKS 1024
#define BLOCK 4096

#define PORT 0x3e8
#define LINE_STATUS (PORT + 5)
#define RECEIVED 0x01
#define MAY_SEND 0x20

#define KERNEL u"\\LINUX"

/*
 * The parts of the UEFI specification that the program needs.  Its services return 0, or an
 * error.  Handles are pointers.
 */
struct guid {
	__u32 a;
	__u16 b, c;
	__u8 d[8];
};

struct node {
	__u8 type, subtype;
	__u8 length[2];
};

struct block_io_media {
	__u32 id;
	__u8 removable, present, logical_partition, read_only, write_caching;
	__u32 block_size;
};

struct block_io {
	__u64 revision;
	struct block_io_media *media;
	void *reset;
	__u64 (*read)(struct block_io *this, __u32 media, __u64 lba, __u64 size,
		      void *buffer);
};

struct loaded_image {
	__u32 revision;
	void *parent;
	void *system_table;
	void *device;
	void *path, *reserved;
	__u32 options_size;
	void *options;
};

struct boot_services {
	/* The header, and 16 services before that of protocols */
	__u8 header[24];
	void *before[16];
	__u64 (*handle_protocol)(void *handle, const struct guid *protocol, void *interface);
	void *reserved, *register_protocol_notify, *locate_handle;
	__u64 (*locate_device_path)(const struct guid *protocol, struct node **path,
				    void **handle);
	void *install_configuration_table;
	__u64 (*load_image)(__u8 boot_policy, void *parent, const struct node *path,
			    void *source, __u64 size, void **image);
	__u64 (*start_image)(void *image, __u64 *size, void *data);
	void *exit, *unload_image, *exit_boot_services, *get_next_monotonic_count, *stall;
	__u64 (*set_watchdog_timer)(__u64 seconds, __u64 code, __u64 size, void *data);
};

struct system_table {
	__u8 before[96];
	struct boot_services *boot;
};

#define NODE_MEDIA 4
#define NODE_FILE 4
#define NODE_END 0x7f

static const struct guid device_path_guid = {
	0x09576e91, 0x6d3f, 0x11d2, { 0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
static const struct guid block_io_guid = {
	0x964e5b21, 0x6459, 0x11d2, { 0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };
static const struct guid loaded_image_guid = {
	0x5b1b31a1, 0x9562, 0x11d2, { 0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } };

static __u64 buffer[BLOCK / sizeof(__u64)];
static __u8 path[512];
static __u16 options[512];

static __u8 in(__u16 port)
{
	__u8 value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void say(char c)
{
	while (!(in(LINE_STATUS) & MAY_SEND))
		;
	asm volatile("outb %0, %1" : : "a"(c), "Nd"((__u16)PORT));
}

static void hear_options(void)
{
	char c = 0;

	for (unsigned int i = 0; i < sizeof(options) / sizeof(*options) - 1 && c != '\n'; i++) {
		while (!(in(LINE_STATUS) & RECEIVED))
			;
		c = in(PORT);
		options[i] = c == '\n' ? 0 : c;
	}
}

static unsigned int length(const struct node *node)
{
	return node->length[0] | node->length[1] << 8;
}

/* Copies a device path without its end.  Returns where that goes, and the last node. */
static struct node *copy_path(const struct node *from, struct node **last)
{
	__u8 *to = path;

	*last = (struct node *)path;
	for (; from->type != NODE_END; from = (const void *)from + length(from)) {
		if (to + length(from) > path + sizeof(path) / 2)
			return NULL;
		*last = (struct node *)to;
		for (unsigned int i = 0; i < length(from); i++)
			*to++ = ((const __u8 *)from)[i];
	}
	return (struct node *)to;
}

static void end_path(struct node *node)
{
	*node = (struct node){ NODE_END, 0xff, { sizeof(*node), 0 } };
}

/* The disk that the partition with this path is on */
static struct block_io *find_disk(struct boot_services *boot, const struct node *partition)
{
	struct node *last, *remaining = (struct node *)path;
	struct block_io *disk;
	void *handle;

	if (!copy_path(partition, &last))
		return NULL;
	end_path(last);
	if (boot->locate_device_path(&block_io_guid, &remaining, &handle) ||
	    boot->handle_protocol(handle, &block_io_guid, &disk) || disk->media->logical_partition)
		return NULL;
	return disk;
}

static void poll(struct block_io *disk)
{
	const __u32 per_block = BLOCK / disk->media->block_size;
	__u32 seed = 0;

	for (__u64 block = 0; !(in(LINE_STATUS) & RECEIVED); block = (block + 1) % BLOCKS) {
		const __u64 offset = FIRST + block * BLOCK;

		if (disk->read(disk, disk->media->id, offset / BLOCK * per_block, BLOCK, buffer)) {
			say('R');
			continue;
		}
		seed = seed ?: buffer[0];
		if ((__u32)buffer[0] != seed || buffer[0] >> 32 != offset)
			say('W');
		else if (block % 64 == 63)
			say('.');
	}
}

static __u64 start_linux(struct boot_services *boot, void *program, const struct node *partition)
{
	static const __u16 kernel[] = KERNEL;
	struct node *last, *file = copy_path(partition, &last);
	struct loaded_image *loaded;
	void *image;
	__u64 status;

	if (!file)
		return 1;
	*file = (struct node){ NODE_MEDIA, NODE_FILE, { sizeof(*file) + sizeof(kernel), 0 } };
	for (unsigned int i = 0; i < sizeof(kernel); i++)
		((__u8 *)(file + 1))[i] = ((const __u8 *)kernel)[i];
	end_path((void *)file + length(file));
	status = boot->load_image(0, program, (struct node *)path, NULL, 0, &image);
	status = status ?: boot->handle_protocol(image, &loaded_image_guid, &loaded);
	if (status)
		return status;
	loaded->options = options;
	loaded->options_size = sizeof(options);
	return boot->start_image(image, NULL, NULL);
}

__u64 efi_main(void *program, struct system_table *system)
{
	struct boot_services *boot = system->boot;
	struct loaded_image *loaded;
	struct block_io *disk;
	struct node *partition;
	__u64 status;

	/* The firmware would reset the machine after five minutes */
	boot->set_watchdog_timer(0, 0, 0, NULL);
	status = boot->handle_protocol(program, &loaded_image_guid, &loaded);
	status = status ?: boot->handle_protocol(loaded->device, &device_path_guid, &partition);
	if (status)
		return status;
	disk = find_disk(boot, partition);
	if (!disk) {
		say('D');
		return 1;
	}
	poll(disk);
	hear_options();
	say('\n');
	status = start_linux(boot, program, partition);
	say('L');
	return status;
}
