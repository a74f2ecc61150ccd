// SPDX-License-Identifier: GPL-2.0-only
/*
 * A boot loader for UEFI that has the firmware read the disk that it was booted from, for ever,
 * and compares.  It does what boot.S does for a BIOS, and says the same, after a STX: the serial
 * port was the firmware's own console until then.
 */
#include <efi.h>

#define COM2_DATA	0x2f8
#define COM2_STATUS	0x2fd
#define COM2_EMPTY	0x20
#define STX		0x02

#define BLOCK		4096
#define FIRST		(16 << 20)
#define BLOCKS		1024
/* Blocks to each dot */
#define DOT		64

static UINT8 in8(UINT16 port)
{
	UINT8 value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void say(char c)
{
	while (!(in8(COM2_STATUS) & COM2_EMPTY))
		;
	asm volatile("outb %0, %1" : : "a"(c), "Nd"((UINT16)COM2_DATA));
}

/* '.', or what is wrong with the block at @offset */
static char read_block(EFI_BLOCK_IO_PROTOCOL *disk, UINT64 *block, UINT64 offset)
{
	static UINT32 seed;

	if (disk->ReadBlocks(disk, disk->Media->MediaId, offset / disk->Media->BlockSize, BLOCK,
			     block))
		return 'R';
	if (!seed)
		seed = (UINT32)block[0];
	return block[0] == (offset << 32 | seed) ? '.' : 'W';
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
	EFI_GUID loaded_image = LOADED_IMAGE_PROTOCOL, block_io = BLOCK_IO_PROTOCOL;
	EFI_BOOT_SERVICES *boot = system->BootServices;
	EFI_PHYSICAL_ADDRESS block;
	EFI_BLOCK_IO_PROTOCOL *disk;
	EFI_LOADED_IMAGE *loaded;

	if (boot->HandleProtocol(image, &loaded_image, (void **)&loaded) ||
	    boot->HandleProtocol(loaded->DeviceHandle, &block_io, (void **)&disk) ||
	    boot->AllocatePages(AllocateAnyPages, EfiLoaderData, BLOCK / 4096, &block))
		return EFI_DEVICE_ERROR;
	/* Or the firmware resets the machine after 5 minutes */
	boot->SetWatchdogTimer(0, 0, 0, NULL);
	say(STX);
	for (UINTN i = 0; ; i = (i + 1) % BLOCKS) {
		char result = read_block(disk, (UINT64 *)block, FIRST + i * BLOCK);

		if (result != '.' || i % DOT == 0)
			say(result);
	}
}
