/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A boot sector that has the firmware read the disk that it was booted from, for ever, and
 * compares.  FIRST and BLOCKS of 4 KiB are what scripts/migration/firmware.py has filled by
 * "io write": each block begins with the seed, the same in all, and its own offset.
 *
 * To the second serial port it writes "." for each 64 blocks, "R" for a read that failed
 * and "W" for a block that is wrong.
 */
	.code16
	.equ	SECTORS, 8
	.equ	FIRST, 16 << 11
	.equ	BLOCKS, 1024
	.equ	BUFFER, 0x8000

	.globl	_start
_start:
	ljmp	$0, $1f
1:	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$_start, %sp
	sti
	movb	%dl, drive
pass:
	movl	$FIRST, lba
next:
	movb	$0x42, %ah
	movb	drive, %dl
	movw	$packet, %si
	int	$0x13
	movb	$'R', %al
	jc	report
	movl	BUFFER, %eax
	cmpl	$0, seed
	jne	1f
	movl	%eax, seed
1:	cmpl	%eax, seed
	jne	wrong
	movl	lba, %eax
	shll	$9, %eax
	cmpl	%eax, BUFFER + 4
	jne	wrong
	testl	$63 * SECTORS, lba
	jnz	go_on
	movb	$'.', %al
	call	say
go_on:
	addl	$SECTORS, lba
	cmpl	$FIRST + BLOCKS * SECTORS, lba
	jb	next
	jmp	pass

wrong:
	movb	$'W', %al
report:
	call	say
	jmp	go_on

say:
	movb	%al, %ah
	movw	$0x2fd, %dx
1:	inb	%dx, %al
	testb	$0x20, %al
	jz	1b
	movb	%ah, %al
	movw	$0x2f8, %dx
	outb	%al, %dx
	ret

drive:	.byte	0
seed:	.long	0
packet:
	.word	16, SECTORS, BUFFER, 0
lba:	.quad	0

	.org	510
	.word	0xaa55
