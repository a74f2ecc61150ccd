/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The vfmig migration stream: what is read from the data fd of a VF in
 * STOP_COPY and written to the data fd of a VF in RESUMING, byte for byte.
 *
 * A stream is a sequence of records, all integers little-endian, nothing
 * aligned or padded between records:
 *
 *	IDENTITY (MEMORY | HOLE | STATE | IDENTITY)* END
 *
 * IDENTITY comes first, so that a destination that can't take the device
 * refuses before any bulk data moves, and again where the device's memory was
 * resized.  STATE comes at least once; the payloads of all are the device's state, in
 * their order.  END comes last, so that a truncated stream is known as such.  A reader
 * skips a record of a type that it does not know, unless VFMIG_RECORD_MANDATORY is
 * set in its flags: then it refuses the stream.  Documentation/stream.rst has the
 * rules in full.
 */
#ifndef _UAPI_LINUX_VFMIG_H
#define _UAPI_LINUX_VFMIG_H

#include <linux/types.h>

/*
 * PCI identity of the simulated functions.  No entry of pci.ids and no driver
 * claims the vendor; a VF reads 0xffff for both IDs in its own config space,
 * as SR-IOV wants, and sysfs and VFIO show these.
 */
#define VFMIG_PCI_VENDOR_ID		0x564d
#define VFMIG_PCI_DEVICE_ID_PF		0x5046
#define VFMIG_PCI_DEVICE_ID_VF		0x5646

/* "vfmig\r\n\x1a" as bytes: text-mode damage to a saved stream shows at once */
#define VFMIG_STREAM_MAGIC		0x1a0a0d67696d6676ULL

/* A reader takes any minor version of its own major version */
#define VFMIG_STREAM_VERSION_MAJOR	1
#define VFMIG_STREAM_VERSION_MINOR	2

/* Device memory is moved in granules of this many bytes */
#define VFMIG_GRANULE			4096

/* Bounds of a well-formed record, in bytes of payload */
#define VFMIG_MEMORY_MAX		(1U << 20)	/* data of one MEMORY record */
#define VFMIG_STATE_MAX			(1U << 20)	/* one STATE record */
#define VFMIG_OPTIONAL_MAX		(1U << 20)	/* a record that is skipped */
#define VFMIG_MODEL_DATA_MAX		256

/**
 * enum vfmig_record_type - what a record holds
 * @VFMIG_RECORD_IDENTITY: &struct vfmig_identity and the model's own part of it
 * @VFMIG_RECORD_MEMORY: &struct vfmig_extent and the bytes of that extent
 * @VFMIG_RECORD_HOLE: &struct vfmig_extent: that extent reads as zeroes
 * @VFMIG_RECORD_STATE: a piece of the model's state, opaque to the driver.  Before version
 *	1.2 there was one STATE record, and nothing but END after it.
 * @VFMIG_RECORD_END: &struct vfmig_end; applies what the stream holds
 */
enum vfmig_record_type {
	VFMIG_RECORD_IDENTITY = 1,
	VFMIG_RECORD_MEMORY = 2,
	VFMIG_RECORD_HOLE = 3,
	VFMIG_RECORD_STATE = 4,
	VFMIG_RECORD_END = 5,
};

/* flags of a record; a reader refuses flags that it does not know */
#define VFMIG_RECORD_MANDATORY		(1U << 0)	/* refuse if unknown */
#define VFMIG_RECORD_PAYLOAD_CRC	(1U << 1)	/* payload_crc is valid */

/**
 * struct vfmig_record - header of every record
 * @type: &enum vfmig_record_type
 * @flags: VFMIG_RECORD_*
 * @length: bytes of payload that follow this header
 * @payload_crc: CRC32C of the payload if VFMIG_RECORD_PAYLOAD_CRC is set.  It is
 *	set on every record but MEMORY: the memory of a running device changes
 *	while it is read.  A MEMORY record may have it where the device is stopped;
 *	readers check it since version 1.0.  If it is not set: CRC32C of the
 *	&struct vfmig_extent of a MEMORY record from version 1.1 on, else 0.
 * @header_crc: CRC32C of the 20 bytes before it.  CRC32C as in iSCSI (RFC 3720):
 *	reflected, initial value and final xor ~0.
 */
struct vfmig_record {
	__le32 type;
	__le32 flags;
	__le64 length;
	__le32 payload_crc;
	__le32 header_crc;
} __attribute__((packed));

/**
 * struct vfmig_identity - payload of VFMIG_RECORD_IDENTITY
 * @magic: VFMIG_STREAM_MAGIC
 * @version_major: VFMIG_STREAM_VERSION_MAJOR
 * @version_minor: VFMIG_STREAM_VERSION_MINOR
 * @granule: VFMIG_GRANULE
 * @model: name of the device model, zero-padded
 * @model_version: version of the model's state and of @model_data; a
 *	destination takes its own, and older ones whose device it can look like
 * @model_data_length: bytes of @model_data, at most VFMIG_MODEL_DATA_MAX
 * @memory_size: size of the device memory in bytes, a multiple of @granule
 * @model_data: what else must fit, as the model defines it
 */
struct vfmig_identity {
	__le64 magic;
	__le16 version_major;
	__le16 version_minor;
	__le32 granule;
	char model[16];
	__le32 model_version;
	__le32 model_data_length;
	__le64 memory_size;
	__u8 model_data[];
} __attribute__((packed));

/**
 * struct vfmig_extent - a piece of device memory
 * @offset: first byte, a multiple of VFMIG_GRANULE
 * @length: bytes, a multiple of VFMIG_GRANULE, not 0; at most VFMIG_MEMORY_MAX
 *	in a MEMORY record, where as many bytes of data follow
 */
struct vfmig_extent {
	__le64 offset;
	__le64 length;
} __attribute__((packed));

/**
 * struct vfmig_end - payload of VFMIG_RECORD_END
 * @bytes: bytes of the stream before this record
 * @records: records before this one
 */
struct vfmig_end {
	__le64 bytes;
	__le64 records;
} __attribute__((packed));

/**
 * struct vfmig_nvme_identity - model_data of the model "nvme", from version 3 on
 * @lba_shift: log2 of the LBA size in bytes
 * @queues: I/O queue pairs; a destination needs at least as many
 * @vectors: MSI-X vectors; a destination needs at least as many
 * @reserved: 0
 * @digest: of all that a guest sees of the device and that is not of this one disk:
 *	registers, Identify, log pages, features and where they are on the bus.  A
 *	destination needs the same.  Versions 1 and 2 end before it, and are refused.
 */
struct vfmig_nvme_identity {
	__le16 lba_shift;
	__le16 queues;
	__le16 vectors;
	__le16 reserved;
	__le32 digest;
} __attribute__((packed));

/**
 * struct vfmig_virtio_net_identity - model_data of the model "virtio-net"
 * @features: features that the device offers, a bit each; a destination offers the same
 * @pairs: pairs of queues; a destination needs at least as many
 * @queue_size: largest size of a queue; a destination needs the same
 * @vectors: MSI-X vectors; a destination needs the same
 * @reserved: 0
 * @speed: speed that the device reports, in Mbit/s; a destination needs the same
 * @reserved2: 0
 */
struct vfmig_virtio_net_identity {
	__le64 features;
	__le16 pairs;
	__le16 queue_size;
	__le16 vectors;
	__le16 reserved;
	__le32 speed;
	__le32 reserved2;
} __attribute__((packed));

#endif /* _UAPI_LINUX_VFMIG_H */
