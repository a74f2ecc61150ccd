#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Tests "vfmigctl stream" with streams that are whole, damaged and hostile.

Usage: stream_test.py VFMIGCTL

VFMIGCTL should be built with the compiler's sanitizers, whose messages fail a test.
"""

import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Iterator, Optional

from ktap import Failed, expect, run
from streams import (DATA_STATE, END, GRANULE, HEADER_SIZE, HOLE, IDENTITY, MANDATORY, MEDIA_SIZE_AT,
                     MEMORY, MEMORY_SIZE_AT, MIB, MODEL_VERSION_AT, NAME, PAYLOAD_CRC, SAMPLE, STATE,
                     VERSION_MINOR_AT, Record, chunk, closed, crc32c, disk, end, flag, header, hole,
                     identity, memory, noise, pack, qemu_file, read_disk, sample, setup,
                     starts)

SEED = 20
# KiB that vfmigctl may take, whatever a stream claims; the sanitizers take most of it
MEMORY_LIMIT = 80 << 10

vfmigctl = ""
scratch = Path()
rng = random.Random(SEED)


@dataclass
class Result:
    status: int
    out: str
    err: str
    memory: int


def call(*arguments: str, stdin: Optional[Callable[[object], None]] = None) -> Result:
    """vfmigctl; whatever is asked of it, it ends by itself and within bounds."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        # pylint: disable=consider-using-with
        process = subprocess.Popen([vfmigctl, *arguments], stdout=out, stderr=err,
                                   stdin=subprocess.PIPE if stdin else subprocess.DEVNULL)
        if stdin:
            feeder = threading.Thread(target=stdin, args=(process.stdin,))
            feeder.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if stdin:
            process.stdin.close()
            feeder.join()
        out.seek(0)
        err.seek(0)
        result = Result(process.returncode, out.read().decode(), err.read().decode(),
                        usage.ru_maxrss)
    expect(result.status in (0, 1, 2) and "Sanitizer" not in result.err and
           "runtime error" not in result.err,
           f"{arguments}: status {result.status}: {result.err}")
    expect(result.memory < MEMORY_LIMIT, f"{arguments}: {result.memory} KiB of memory")
    return result


def file_of(data: bytes, name: str = "stream") -> str:
    path = scratch / name
    path.write_bytes(data)
    return str(path)


def accepted(data: bytes, *options: str) -> dict:
    """What is in it."""
    name = file_of(data)
    result = call("stream", "check", "--json", *options, name)
    expect(result.status == 0, f"refused: {result.out}")
    found = json.loads(result.out)
    expect(found["accepted"] and found["file"] == name, found)
    return found["stream"]


def refused(data: bytes, reason: str = "", *options: str, offset: Optional[int] = None,
            record: Optional[int] = None) -> dict:
    """Why; all commands must agree, and extract must leave nothing behind."""
    name = file_of(data)
    result = call("stream", "check", "--json", *options, name)
    found = json.loads(result.out)
    expect(result.status == 1 and not found["accepted"], f"not refused ({reason})")
    expect(reason in found["reason"], f"'{found['reason']}', not '{reason}'")
    if offset is not None:
        expect(found["offset"] == offset, f"{found}, not at {offset} ({reason})")
    if record is not None:
        expect(found["record"] == record, f"{found}, not in record {record} ({reason})")
    return found


def refused_by_all(data: bytes, *options: str) -> None:
    """Messages for people, and no file that is half done."""
    found = refused(data, "", *options)
    name = file_of(data)
    device = [option for option in options if option.startswith("--device")]
    text = call("stream", "check", *options, name)
    expect(text.status == 1 and not text.out, text)
    expect(re.fullmatch(rf"vfmigctl: {re.escape(name)}: refused at record \d+, byte \d+.*: "
                        rf"{re.escape(found['reason'])}\n", text.err), text.err)
    image = scratch / "image"
    before = sorted(scratch.iterdir())
    for command in (["extract", *device, name, str(image)], ["decode", *device, name],
                    ["diff", *device, name, str(SAMPLE)], ["diff", *device, str(SAMPLE), name]):
        if "--like" in "".join(options):
            break
        result = call("stream", *command)
        expect(result.status == 1 and result.err, f"{command}: {result}")
    expect(sorted(scratch.iterdir()) == before, f"{name}: {sorted(scratch.iterdir())}")
    result = call("stream", "decode", "--json", *device, name)
    expect(json.loads(result.out)["result"]["accepted"] is bool(options and not device), result.out)


def resized(records: list[Record], size: int) -> list[Record]:
    """The same device with a disk of another size."""
    out = []
    for record in records:
        if record.type == IDENTITY:
            record = record.patch(MEMORY_SIZE_AT, struct.pack("<Q", size))
        elif record.type == STATE:
            record = record.patch(MEDIA_SIZE_AT, struct.pack("<Q", size))
        out.append(record)
    return out


def version_1_0() -> list[Record]:
    out = []
    for record in sample():
        if record.type == IDENTITY:
            record = record.patch(VERSION_MINOR_AT, b"\0\0")
        elif record.type == MEMORY:
            record = replace(record, payload_crc=0)
        out.append(record)
    return out


def body() -> list[Record]:
    """All but the closing record."""
    return sample()[:-1]


def version_1_2() -> list[Record]:
    """Pieces of the state between memory, a hole, data twice, a resize, something unknown."""
    head, *rest = body()
    state = rest.pop()
    head = head.patch(VERSION_MINOR_AT, b"\2\0")
    big = 80 * MIB
    state = state.patch(MEDIA_SIZE_AT, struct.pack("<Q", big))
    pieces = [replace(state, payload=state.payload[at:at + 700])
              for at in range(0, len(state.payload), 700)]
    out = [head, rest[0], pieces[0], *rest[1:], hole(0x1000, 0x1000), pieces[1]]
    out += [Record(77, noise(MIB), 0), Record(78, b"", PAYLOAD_CRC)]
    out += [head.patch(MEMORY_SIZE_AT, struct.pack("<Q", big)), *pieces[2:]]
    out += [memory(big - GRANULE, noise(GRANULE), MANDATORY | PAYLOAD_CRC)]
    out += [memory(0x2000, bytes(GRANULE)), hole(MIB, big - MIB - GRANULE)]
    return closed(out)


# --- The tests ---

def whole_streams_are_accepted() -> None:
    for records in (sample(), version_1_0(), version_1_2(),
                    closed([identity(b"else", 2 * MIB, b"xyz"), memory(0, noise(MIB)),
                            Record(STATE, b"x")])):
        found = accepted(pack(records))
        expect(found["bytes"] == len(pack(records)), found)
        expect(sum(found["records"].values()) == len(records), found)
    found = accepted(SAMPLE.read_bytes())
    expect(found["identity"] == {
        "model": "nvme", "model_version": 3, "format": "1.1", "memory_size": 64 * MIB,
        "lba_size": 512, "queues": 32, "vectors": 33, "digest": "0x4c9a9515"}, found)
    expect(found["state"]["commands_waiting"] == 4 and len(found["state"]["queues"]) == 4, found)


def decode_shows_every_record() -> None:
    for records in (sample(), version_1_2()):
        name = file_of(pack(records))
        found = json.loads(call("stream", "decode", "--json", name).out)
        expect(found["result"] == {"file": name, "accepted": True}, found["result"])
        for got, record, at in zip(found["records"], records, starts(records)):
            expect((got["offset"], got["file_offset"], got["length"]) ==
                   (at, at, len(record.payload)), got)
            if record.type == MEMORY:
                expect(got["data_crc32c"] == hex(crc32c(record.payload[16:])), got)
        expect(len(found["records"]) == len(records), found)
        text = call("stream", "decode", name)
        expect(text.status == 0 and text.out.count(" MEMORY ") ==
               sum(record.type == MEMORY for record in records), text)


def decode_goes_on_behind_bad_payload() -> None:
    records = sample()
    records[2] = replace(records[2], payload_crc=1)
    found = json.loads(call("stream", "decode", "--json", file_of(pack(records))).out)
    expect([bool(record.get("problem")) for record in found["records"]] ==
           [i == 2 for i in range(len(records))], found)
    expect(found["result"]["record"] == 2, found)


def disk_is_extracted() -> None:
    for number, records in enumerate((sample(), version_1_0(), version_1_2())):
        name, image = file_of(pack(records)), scratch / f"image{number}"
        result = call("stream", "extract", name, str(image))
        expect(result.status == 0 and not result.out, result)
        expect(read_disk(image) == disk(records), "another disk")
        expect(image.stat().st_blocks * 512 <= 64 << 10, f"{image.stat().st_blocks} blocks")
        again = call("stream", "extract", name, str(image))
        expect(again.status == 1 and again.err ==
               f"vfmigctl: {image} exists; --force replaces it\n", again)
        image.write_bytes(b"")
        expect(call("stream", "extract", "-f", name, str(image)).status == 0, "--force")
        expect(read_disk(image) == disk(records), "another disk")
        image.unlink()
    bad = call("stream", "extract", name, str(scratch / "no" / "image"))
    expect(bad.status == 1 and "can't create" in bad.err, bad)


def streams_are_compared() -> None:
    name = file_of(SAMPLE.read_bytes(), "a")
    same = call("stream", "diff", name, file_of(SAMPLE.read_bytes(), "b"))
    expect(same.status == 0 and len(same.out.splitlines()) == 1, same)
    # The same disk in other records
    first, *rest = body()
    other = closed([first, memory(0x80000, noise(GRANULE)), *reversed(rest[:-1]), rest[-1]])
    found = json.loads(call("stream", "diff", "--json", name, file_of(pack(other), "b")).out)
    expect(not found["disk"] and not found["same"], found)
    changed = disk_changed(rest)
    result = call("stream", "diff", "--json", name,
                  file_of(pack(closed([first, *changed])), "b"))
    found = json.loads(result.out)
    expect(result.status == 1 and found["disk"] == [
        {"offset": 0x1000, "length": 0x1000}, {"offset": 0x500000, "length": 0x2000}], found)
    expect([row["name"] for row in found["values"]] == ["state.crc32c", "state.cntlid"], found)
    text = call("stream", "diff", "--all", name, str(scratch / "b")).out
    expect("! state.cntlid" in text and "  identity.digest" in text, text)


def disk_changed(rest: list[Record]) -> list[Record]:
    """One granule of the first, all of the third, and the controller's ID."""
    rest = list(rest)
    rest[0] = rest[0].patch(16 + GRANULE, b"!")
    rest[2] = memory(0x500000, noise(2 * GRANULE))
    at = rest[-1].payload.index(b"VFMIG") + 20 + 16 + 8 + 16 + 2
    rest[-1] = rest[-1].patch(at, b"\x09")
    return rest


def cut_streams_are_refused() -> None:
    for records in (sample(), version_1_2()):
        data = pack(records)
        places = set(starts(records)[:-1])
        places |= {place + HEADER_SIZE for place in places} | {1, 23, len(data) - 1}
        places |= {rng.randrange(len(data)) for _ in range(30)}
        for place in sorted(places):
            refused(data[:place], offset=place)
    refused(b"", "nothing is there")
    refused_by_all(SAMPLE.read_bytes()[:-1])
    refused_by_all(SAMPLE.read_bytes()[:9000])


def more_data_is_refused() -> None:
    data = SAMPLE.read_bytes()
    refused(data + b"x", "more data after the closing record", offset=len(data))
    refused(data + data, "more data after the closing record", offset=len(data))


def flipped_bits_are_found() -> None:
    """All that a CRC covers.  Data of memory has none, and is then data."""
    records = sample()
    data = pack(records)
    for number, (record, at) in enumerate(zip(records, starts(records))):
        covered = HEADER_SIZE + (16 if record.type == MEMORY else len(record.payload))
        bits = set(rng.sample(range(8 * covered), 25)) | {0, 8 * HEADER_SIZE - 1}
        for bit in bits:
            damaged = bytearray(data)
            damaged[at + bit // 8] ^= 1 << bit % 8
            refused(bytes(damaged), record=number)
    damaged = bytearray(data)
    damaged[starts(records)[2] - 1] ^= 1
    accepted(bytes(damaged))
    with_crc = closed([replace(record, flags=MANDATORY | PAYLOAD_CRC) for record in body()])
    damaged = bytearray(pack(with_crc))
    damaged[starts(with_crc)[2] - 1] ^= 1
    refused(bytes(damaged), "bad payload CRC of record type 2", record=1)


def flipped_bits_with_right_crc_are_survived() -> None:
    """What happens depends on the bit.  Bits of the state are mostly ones that a device can have."""
    outcomes = set()
    for _ in range(150):
        records = sample()
        number = rng.choice([0, 0, 1, 5, 5, 5, 6])
        record = records[number]
        at = rng.randrange(min(len(record.payload), 16) if number == 1 else len(record.payload))
        records[number] = record.patch(at, bytes([record.payload[at] ^ 1 << rng.randrange(8)]))
        name = file_of(pack(records))
        result = call("stream", "check", name)
        expect(result.status in (0, 1) and bool(result.err) == bool(result.status), result)
        outcomes.add(result.status)
        expect(call("stream", "decode", "--json", name).status == result.status, "decode differs")
    expect(outcomes == {0, 1}, outcomes)


def headers_are_checked() -> None:
    first, data, *rest = body()
    at = starts([first])[1]
    for record, reason, where in [
            (replace(data, flags=5), "unknown flags 0x5", 4),
            (Record(99, b"x"), "unknown mandatory record type 99", 0),
            (Record(0, b"x"), "unknown mandatory record type 0", 0),
            (Record(END, bytes(16)), "record type 5 out of order", 0),
            (replace(hole(0, GRANULE), flags=MANDATORY), "record type 3 without payload CRC", 4),
            (replace(data, length=GRANULE), "record type 2 with 4096 bytes, not 4112 to", 8),
            (replace(data, length=MIB + 17), "not 4112 to 1048592", 8),
            (replace(data, length=-1), "with 18446744073709551615 bytes", 8),
            (Record(HOLE, bytes(15)), "record type 3 with 15 bytes, not 16 to 16", 8),
            (Record(STATE, b""), "record type 4 with 0 bytes, not 1 to 1048576", 8),
            (Record(STATE, b"", length=1 << 31), "with 2147483648 bytes", 8),
            (Record(IDENTITY, b"", length=313), "with 313 bytes, not 48 to 304", 8),
            (Record(77, b"", 0, length=MIB + 1), "with 1048577 bytes, not 0 to 1048576", 8),
            (replace(data, header_crc=1), "bad header CRC: 0x00000001, not 0x", 20),
            (replace(hole(0, GRANULE), payload_crc=1), "bad payload CRC of record type 3", 16),
            (replace(data, payload_crc=1), "bad CRC of an extent: 0x00000001, not 0x", 16)]:
        refused(pack([first, record, *rest]), reason, offset=at + where, record=1)


def identities_are_checked() -> None:
    first, *rest = sample()
    for where, value, reason in [
            (0, b"x", "no vfmig stream: magic 0x1a0a0d67696d6678"),
            (8, b"\2", "format version 2, not 1"),
            (12, b"\0\x20", "granule of 8192 bytes, not 4096"),
            (32, b"\2", "its device is of a version that is not known here: 2"),
            (32, b"\5", "version 5 of the device model, newer than 4"),
            (36, b"\0", "0 bytes of model data in a record that has 12"),
            (40, b"\1", "67108865 bytes of device memory, which are no whole granules"),
            (48, b"\x0a", "its LBA format is one that no device has"),
            (50, b"\x21", "it has more queues than any device"),
            (52, b"\x22", "it has more vectors than any device"),
            (54, b"\1", "its NVMe part makes no sense")]:
        at = HEADER_SIZE + (48 if where > 48 else where)
        refused(pack([first.patch(where, value), *rest]), reason, offset=at, record=0)
    refused(pack([rest[0], first, *rest]), "record type 2 out of order", offset=0)
    other = identity(b"virtio-net", 0, bytes(24))
    refused(pack([first, other, *rest]), "it has more queues than any device", record=1)
    refused(pack([first, identity(b"x", 64 * MIB), *rest]), 'device model "x" after "nvme"')


def likeness_is_checked() -> None:
    like = f"--like={SAMPLE}"
    first, *rest = sample()
    accepted(pack([first, *rest]), like)
    accepted(pack([first.patch(50, b"\x08"), *rest]), like)
    digest, = struct.unpack_from("<I", first.payload, 56)
    for where, value, reason in [
            (48, b"\x0c", "its LBA format is another"),
            (56, struct.pack("<I", digest ^ 1),
             f"looks different to a guest: digest {digest ^ 1:#010x}, not {digest:#010x}")]:
        refused(pack([first.patch(where, value), *rest]), reason, like, record=0)
    refused(pack(resized(sample(), 65 * MIB)), "68157440 bytes of device memory, not 67108864",
            like)
    refused(pack(closed([identity(b"else", 0), Record(STATE, b"x")])),
            'device model "else", not "nvme"', like)
    result = call("stream", "check", "--like=/dev/null", str(SAMPLE))
    expect(result.status == 1 and "/dev/null: refused" in result.err, result)


def extents_are_checked() -> None:
    first, *rest = body()
    at = starts([first])[1] + HEADER_SIZE
    size = 64 * MIB
    for offset, length in [(0, 0), (1, GRANULE), (0, GRANULE + 1), (size, GRANULE),
                           (size - GRANULE, 2 * GRANULE), (1 << 63, GRANULE),
                           (2 ** 64 - GRANULE, GRANULE), (GRANULE, 2 ** 64 - GRANULE),
                           (0, 2 ** 64 - GRANULE), (2 ** 64 - GRANULE, 2 ** 64 - GRANULE)]:
        refused(pack([first, hole(offset, length), *rest]),
                f"extent at {offset:#x} of" if offset else "extent at 0 of", offset=at, record=1)
    lie = memory(0, noise(GRANULE)).patch(8, struct.pack("<Q", 2 * GRANULE))
    refused(pack([first, lie, *rest]), "extent of 0x2000 bytes in a record of 0x1010",
            offset=at + 8)
    smaller = first.patch(MEMORY_SIZE_AT, struct.pack("<Q", 4 * MIB))
    refused(pack([first, smaller, *rest]), "extent at 0x500000", record=4)


def order_is_checked() -> None:
    records = sample()
    for i in range(len(records)):
        for j in range(i):
            swapped = list(records)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            data = pack(swapped)
            # Memory in another order is the same memory, and a state can be anywhere
            if records[i].type in (MEMORY, STATE) and records[j].type in (MEMORY, STATE):
                accepted(data)
            else:
                refused(data, "out of order", record=min(j, len(records) - 2))
    without = [record for record in body() if record.type != STATE]
    refused(pack(closed(without)), "record type 5 out of order")
    refused(pack(body()), "the stream ends without the closing record")
    wrong = struct.pack("<QQ", 32121, 7)
    refused(pack([*body(), Record(END, wrong)]),
            "closed after 32121 bytes in 7 records, not 32121 in 6", record=6)
    del records[2]
    refused(pack(records), "closed after 32121 bytes in 6 records")
    refused_by_all(pack(records))


def states_are_checked() -> None:
    *front, state = body()
    serial = state.payload.index(b"VFMIG")
    nr_reqs = len(state.payload) - 5 * 88
    for where, value, reason in [
            (0, b"\4", "registers"),
            (8, b"\2", "registers"),
            (MEDIA_SIZE_AT, b"\1", "size of the medium"),
            (serial, b"\n", "identity of the controller"),
            (serial + 60, b"\0\0", "identity of the controller"),
            (serial + 62, b"\0\0", "identity of the controller"),
            (serial + 64, b"\1", "features, events or sanitize status"),
            (len(state.payload) - 5 * 88, b"\4", "commands in flight")]:
        refused(pack(closed([*front, state.patch(where, value)])), f"bad device state: {reason}")
    expect(nr_reqs > 0, nr_reqs)
    shadowed = state.patch(1, b"\1")
    refused(pack(closed([*front, shadowed])), "bad device state: length of the state")
    for version, at, reason in ((4, 0x1234000, None), (4, 0x1234800, "shadow doorbells"),
                                (3, 0x1234000, "shadow doorbells")):
        payload = shadowed.payload + struct.pack("<QQ", 0x5678000, at)
        first = front[0].patch(MODEL_VERSION_AT, struct.pack("<I", version))
        stream = pack(closed([first, *front[1:], replace(shadowed, payload=payload)]))
        if reason:
            refused(stream, f"bad device state: {reason}")
        else:
            accepted(stream)
    for payload in (state.payload[:-1], state.payload + b"\0", b"x"):
        refused(pack(closed([*front, replace(state, payload=payload)])),
                "bad device state: length of the state")
    refused(pack(closed([*front, state] + 8 * [Record(STATE, noise(16 << 10))])),
            "bad device state: too long", record=7)


def network_cards_are_checked() -> None:
    """A virtio device that no driver has touched."""
    features = 1 << 32
    model_data = struct.pack("<QHHHHII", features, 1, 256, 34, 0, 25000, 0)
    virtio = struct.pack("<QQIIHHHBBBBB5xQQQIIB7x", 0, 0, 0, 0, 0xffff, 0, 3, 0, 0, 0, 0, 0,
                         0, 0, 0, 0, 0, 0)
    queue = struct.pack("<QQQHHBBHH6x", 0, 0, 0, 256, 0xffff, 0, 0, 0, 0)
    mac = b"\x02abcde"
    net = mac + mac + struct.pack("<HHHBBQBB6x", 1, 1, 1500, 0, 1, 0, 0, 0) + bytes(512)
    state = virtio + 33 * queue + net
    state += bytes(len(virtio) + 33 * 40 + 1360 - len(state))

    def stream(what: bytes, version: int = 1) -> bytes:
        first = identity(b"virtio-net", 0, model_data, version)
        return pack(closed([first, Record(STATE, what)]))

    found = accepted(stream(state))
    expect(found["state"]["mac"] == "02:61:62:63:64:65" and found["state"]["mtu"] == 1500, found)
    result = call("stream", "extract", file_of(stream(state)), str(scratch / "image"))
    expect(result.status == 1 and result.err.endswith(": a virtio-net has no disk\n") and
           not (scratch / "image").exists(), result)
    at = len(virtio) + 33 * 40
    for where, value, reason in [
            (28, b"\0", "number of queues"), (30, b"\x04", "registers"),
            (len(virtio) + 30, b"\1", "queues"), (at, b"\1", "MAC address"),
            (at + 30, b"\1", "bytes that are reserved in this version"),
            (at + 14, b"\2", "number of queues in use"), (at + 16, b"\1\0", "MTU"),
            (at + 20, b"\2", "offloads"), (at + 18, b"\2", "filter")]:
        damaged = state[:where] + value + state[where + len(value):]
        refused(stream(damaged), f"bad device state: {reason}")
    accepted(stream(state[:at + 30] + b"\1" + state[at + 31:], 2))
    refused(stream(state + b"\0"), "bad device state: too long")


def feed(write: Iterator[bytes]) -> Callable[[object], None]:
    def feeder(pipe) -> None:
        try:
            for piece in write:
                pipe.write(piece)
            pipe.close()
        except BrokenPipeError:
            pass
    return feeder


def long_stream() -> Iterator[bytes]:
    """300 MiB of memory and state of a device that is not known here."""
    first = identity(b"else", 1 << 62)
    zero = bytes(MIB)
    state = Record(STATE, zero, payload_crc=0x14298c12).pack()
    yield first.pack()
    for i in range(200):
        yield memory(i << 50, zero).pack()
    for _ in range(100):
        yield state
    bytes_so_far = len(first.pack()) + 200 * (HEADER_SIZE + 16 + MIB) + 100 * len(state)
    yield Record(END, struct.pack("<QQ", bytes_so_far, 301)).pack()


def memory_is_bounded() -> None:
    """call() has looked how much it was."""
    result = call("stream", "check", "--json", "-", stdin=feed(long_stream()))
    expect(result.status == 0 and json.loads(result.out)["stream"]["memory_bytes"] == 200 * MIB,
           result)
    huge = pack(closed([identity(b"else", (1 << 64) - GRANULE), hole(0, (1 << 64) - GRANULE),
                        Record(STATE, b"x")]))
    accepted(huge)
    result = call("stream", "extract", file_of(huge), str(scratch / "image"))
    expect(result.status == 1 and "File too large" in result.err and
           not (scratch / "image").exists(), result)
    far = pack(closed([identity(b"else", 1 << 40), memory((1 << 40) - GRANULE, noise(GRANULE)),
                       Record(STATE, b"x")]))
    result = call("stream", "diff", file_of(far, "a"), file_of(far, "b"))
    expect(result.status == 0, result)
    call("stream", "check", "/dev/zero")


def garbage_is_refused() -> None:
    what = "neither a migration stream of vfmig nor a migration file of QEMU"
    for data in (noise(100000), b"#!/bin/sh\n" * 10, bytes(5000), b"\x7fELF" + noise(500)):
        refused(data, what, offset=0)
    refused(b"x", "the stream ends in the header of a record", offset=1)
    refused(b"QFI\xfb" + noise(5000), "this is a qcow2 image")
    refused_by_all(noise(5000))
    result = call("stream", "check", "/")
    expect(result.status == 1 and "can't be read: Is a directory" in result.err, result)
    result = call("stream", "check", "/nowhere")
    expect(result.status == 1 and
           result.err == "vfmigctl: can't open /nowhere: No such file or directory\n", result)


def streams_in_files_of_qemu_are_found() -> None:
    data = SAMPLE.read_bytes()
    other = pack(version_1_2())
    for step in (901, 5000, 40000):
        found = accepted(qemu_file({NAME: data}, step))
        expect(found["bytes"] == len(data), found)
    both = qemu_file({NAME: data, "0000:00:06.0/vfio": other})
    refused(both, f"there are several devices, and --device has to choose one: {NAME}, "
            "0000:00:06.0/vfio")
    expect(accepted(both, f"--device={NAME}")["bytes"] == len(data), "the first")
    expect(accepted(both, "--device=0000:00:06.0/vfio")["bytes"] == len(other), "the second")
    refused(both, f"no device of that name in the file, but {NAME}, 0000:00:06.0/vfio",
            "--device=x")
    refused(data, "this is no file of QEMU, so it has no device x", "--device=x")
    image = scratch / "image"
    expect(call("stream", "extract", file_of(qemu_file({NAME: data})), str(image)).status == 0,
           "extract")
    expect(read_disk(image) == disk(sample()), "another disk")
    image.unlink()
    whole = qemu_file({NAME: data}, 40000)
    records = json.loads(call("stream", "decode", "--json", file_of(whole)).out)["records"]
    expect(all(whole[record["file_offset"]:][:HEADER_SIZE] ==
               data[record["offset"]:][:HEADER_SIZE] for record in records), records)


def bad_files_of_qemu_are_refused() -> None:
    data = SAMPLE.read_bytes()
    refused(b"QEVM" + noise(90000), "a file of QEMU without a VFIO device")
    whole = qemu_file({NAME: data})
    for _ in range(25):
        refused(whole[:rng.randrange(4, whole.rindex(data[-100:]))])
    start = b"QEVM" + setup(40, NAME) + header(3, 40)
    refused(start + chunk(data) + flag(9), "an unknown flag in a section of")
    refused(start + chunk(data[:5000]) + b"12345678", "something unknown in a section of")
    refused(start + flag(DATA_STATE) + struct.pack(">Q", 1 << 63) + data,
            "the file ends in the data of")
    refused(start + flag(DATA_STATE) + b"123", "the file ends in the data of")
    refused(start + chunk(data[:5000]) + flag(1), "the stream ends in the")
    refused(start + flag(1), "nothing is there")
    refused_by_all(start + chunk(data[:5000]) + flag(1))
    many = b"QEVM" + b"".join(setup(i, f"{i}/vfio") for i in range(100))
    refused(many, "more than 16 VFIO devices", "--device=x")
    refused(many, "there are several devices")
    damaged = bytearray(whole)
    damaged[whole.index(data[:100]) + 30] ^= 1
    refused(bytes(damaged), "bad payload CRC of record type 1", record=0)


def wrong_words_are_named() -> None:
    for arguments, text in [
            ([], "vfmigctl: which command?"),
            (["no"], "vfmigctl: unknown command 'no' (see vfmigctl --help)"),
            (["stream"], "vfmigctl stream: which command?"),
            (["stream", "no"], "vfmigctl stream: unknown command 'no' (see vfmigctl stream --help)"),
            (["stream", "check"], "vfmigctl stream check: an argument is missing"),
            (["stream", "check", "a", "b"],
             "vfmigctl stream check: one argument too many: 'b'"),
            (["stream", "diff", "a"], "vfmigctl stream diff: an argument is missing"),
            (["stream", "check", "--no", "a"],
             "vfmigctl stream check: unrecognized option '--no'")]:
        result = call(*arguments)
        expect(result.status == 2 and not result.out, result)
        expect(result.err.splitlines()[0] == text, f"{result.err.splitlines()[0]}, not {text}")
    for arguments in (["--help"], ["stream", "--help"], ["stream", "check", "--help"]):
        result = call(*arguments)
        expect(result.status == 0 and result.out.startswith("Usage: vfmigctl"), result)


TESTS = [whole_streams_are_accepted, decode_shows_every_record, decode_goes_on_behind_bad_payload,
         disk_is_extracted, streams_are_compared, cut_streams_are_refused, more_data_is_refused,
         flipped_bits_are_found, flipped_bits_with_right_crc_are_survived, headers_are_checked,
         identities_are_checked, likeness_is_checked, extents_are_checked, order_is_checked,
         states_are_checked, network_cards_are_checked, memory_is_bounded, garbage_is_refused,
         streams_in_files_of_qemu_are_found, bad_files_of_qemu_are_refused, wrong_words_are_named]


def main() -> int:
    global vfmigctl, scratch        # pylint: disable=global-statement
    if len(sys.argv) != 2:
        sys.exit("usage: stream_test.py VFMIGCTL")
    vfmigctl = os.path.abspath(sys.argv[1])
    os.environ["LC_ALL"] = "C"
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        return run(TESTS)


if __name__ == "__main__":
    sys.exit(main())
