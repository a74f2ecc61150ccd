# SPDX-License-Identifier: GPL-2.0-only
"""Migration streams, made and taken apart, and files of QEMU with a stream inside.

Written from Documentation/stream.rst, so that a mistake in vfmigctl is none here.
"""

import os
import random
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterable, Optional

MAGIC = 0x1a0a0d67696d6676
IDENTITY, MEMORY, HOLE, STATE, END = 1, 2, 3, 4, 5
MANDATORY, PAYLOAD_CRC = 1, 2
GRANULE = 4096
MIB = 1 << 20
HEADER = struct.Struct("<IIQI")
HEADER_SIZE = HEADER.size + 4
MEMORY_SIZE_AT = 40     # in an identity
VERSION_MINOR_AT = 10
MODEL_VERSION_AT = 32
MEDIA_SIZE_AT = 188     # in the state of an nvme

SAMPLE = Path(__file__).parents[2] / "testing/selftests/vfmig/data/nvme-1.1.stream"


def _table() -> list[int]:
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ 0x82f63b78 if i & 1 else i >> 1
        table.append(i)
    return table


TABLE = _table()


def crc32c(data: bytes) -> int:
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


@dataclass
class Record:
    type: int
    payload: bytes
    flags: int = MANDATORY | PAYLOAD_CRC
    length: Optional[int] = None            # what the header claims
    payload_crc: Optional[int] = None
    header_crc: Optional[int] = None

    def crc(self) -> int:
        if self.payload_crc is not None:
            return self.payload_crc
        if self.flags & PAYLOAD_CRC:
            return crc32c(self.payload)
        return crc32c(self.payload[:16]) if self.type == MEMORY else 0

    def pack(self) -> bytes:
        length = len(self.payload) if self.length is None else self.length
        header = HEADER.pack(self.type, self.flags, length & (1 << 64) - 1, self.crc())
        crc = crc32c(header) if self.header_crc is None else self.header_crc
        return header + struct.pack("<I", crc) + self.payload

    def patch(self, at: int, data: bytes) -> "Record":
        payload = self.payload[:at] + data + self.payload[at + len(data):]
        return replace(self, payload=payload)


def parse(data: bytes) -> list[Record]:
    records, at = [], 0
    while at < len(data):
        kind, flags, length, _ = HEADER.unpack_from(data, at)
        at += HEADER_SIZE
        records.append(Record(kind, data[at:at + length], flags))
        at += length
    return records


def pack(records: Iterable[Record]) -> bytes:
    return b"".join(record.pack() for record in records)


def starts(records: Iterable[Record]) -> list[int]:
    """Where each record begins, and where the stream ends."""
    places = [0]
    for record in records:
        places.append(places[-1] + HEADER_SIZE + len(record.payload))
    return places


def end(records: list[Record]) -> Record:
    return Record(END, struct.pack("<QQ", starts(records)[-1], len(records)))


def closed(records: list[Record]) -> list[Record]:
    """With a closing record that is right."""
    return records + [end(records)]


def memory(offset: int, data: bytes, flags: int = MANDATORY) -> Record:
    return Record(MEMORY, struct.pack("<QQ", offset, len(data)) + data, flags)


def hole(offset: int, length: int) -> Record:
    return Record(HOLE, struct.pack("<QQ", offset, length))


def identity(model: bytes, memory_size: int, data: bytes = b"", version: int = 1,
             minor: int = 2) -> Record:
    return Record(IDENTITY, struct.pack("<QHHI16sIIQ", MAGIC, 1, minor, GRANULE, model, version,
                                        len(data), memory_size) + data)


def sample() -> list[Record]:
    return parse(SAMPLE.read_bytes())


def disk(records: list[Record]) -> tuple[int, dict[int, bytes]]:
    """The disk, as a destination would have it: its size, and its granules that are not 0."""
    size, granules = 0, {}
    for record in records:
        if record.type == IDENTITY:
            size, = struct.unpack_from("<Q", record.payload, MEMORY_SIZE_AT)
            granules = {at: data for at, data in granules.items() if at < size}
        elif record.type in (MEMORY, HOLE):
            offset, length = struct.unpack_from("<QQ", record.payload)
            granules = {at: data for at, data in granules.items()
                        if not offset <= at < offset + length}
            for at in range(16, len(record.payload), GRANULE):
                if any(record.payload[at:at + GRANULE]):
                    granules[offset + at - 16] = record.payload[at:at + GRANULE]
    return size, granules


def read_disk(image: Path) -> tuple[int, dict[int, bytes]]:
    """The same of an image."""
    granules, at = {}, 0
    with open(image, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            data = os.pread(file.fileno(), GRANULE, at)
            if any(data):
                granules[at] = data
            at += GRANULE
    return size, granules


# --- Files of QEMU ---

FLAG = 0xffffffffef100000
END_OF_STATE, CONFIG_STATE, SETUP_STATE, DATA_STATE, INIT_DATA_SENT = range(1, 6)
NAME = "0000:00:05.0/vfio"


def flag(word: int) -> bytes:
    return struct.pack(">Q", FLAG + word)


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def header(kind: int, section: int, name: str = "") -> bytes:
    data = struct.pack(">BI", kind, section)
    if name:
        data += struct.pack(">B", len(name)) + name.encode() + struct.pack(">II", 0, 1)
    return data


def footer(section: int) -> bytes:
    return struct.pack(">BI", 0x7e, section)


def setup(section: int, name: str) -> bytes:
    return header(1, section, name) + flag(SETUP_STATE) + flag(END_OF_STATE) + footer(section)


def chunk(data: bytes) -> bytes:
    return flag(DATA_STATE) + struct.pack(">Q", len(data)) + data


def config(section: int, name: str) -> bytes:
    return (header(4, section, name) + flag(CONFIG_STATE) + noise(300) + flag(END_OF_STATE) +
            footer(section))


def qemu_file(streams: dict[str, bytes], step: int = 5000) -> bytes:
    """What QEMU writes, as far as it matters: all set up, pieces in turn, the ends."""
    names = list(streams)
    left = dict(streams)
    out = b"QEVM" + struct.pack(">I", 3) + noise(400)
    for section, name in enumerate(names, 40):
        out += setup(section, name)
    while any(len(data) > 2 * step for data in left.values()):
        for section, name in enumerate(names, 40):
            if len(left[name]) <= 2 * step:
                continue
            out += header(2, 3) + noise(9000) + footer(3)
            last = flag(INIT_DATA_SENT if len(left[name]) < 3 * step else END_OF_STATE)
            out += header(2, section) + chunk(left[name][:step]) + last + footer(section)
            left[name] = left[name][step:]
    for section, name in enumerate(names, 40):
        out += header(3, section)
        for at in range(0, len(left[name]), step):
            out += chunk(left[name][at:at + step])
        out += flag(END_OF_STATE) + footer(section)
    for section, name in enumerate(names, 40):
        out += config(section, name)
    return out + b"\0" + noise(100)
